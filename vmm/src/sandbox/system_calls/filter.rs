//! Seccomp filters that find a system call's number by binary search.
//!
//! seccompiler compares the number with one entry of its list after the other. When a filter is
//! installed, the kernel runs it once for each system call that exists, to learn which are always
//! allowed (kernel/seccomp.c, `seccomp_cache_prepare`), so a list of 100 calls costs a start
//! milliseconds. Here the number alone decides in about eight comparisons, and only calls
//! whose arguments matter reach the program by seccompiler, which is appended.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch, sock_filter};

// Instructions, each without its operands (include/uapi/linux/bpf_common.h).
/// `BPF_LD | BPF_W | BPF_ABS`: loads a word of `seccomp_data`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JA`: skips instructions.
const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`: skips `jt` instructions if the word loaded is `k`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`: skips `jt` instructions if it is `k` or greater.
const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
/// `BPF_JMP | BPF_JA`; the distance is filled in when the start of the socket part is known.
const TO_SOCKETS: u32 = 1;
/// `BPF_RET | BPF_K`: the answer.
const RETURN: u16 = 0x06;

/// `AUDIT_ARCH_X86_64` (include/uapi/linux/audit.h).
const ARCHITECTURE: u32 = 0xc000_003e;
/// Where `seccomp_data` has the number and the architecture (include/uapi/linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// Where it has the lower half of the first argument.
const FIRST: u32 = 16;
/// The first number of the x32 ABI, which has a second number for each system call
/// (arch/x86/include/uapi/asm/unistd.h).
pub(in crate::sandbox) const X32: u32 = 0x4000_0000;

/// The first number that no system call had in Linux 6.10, after mseal. What was added later is as
/// if the kernel did not have it, where a filter lists what is blocked.
const LATER: u32 = 463;

/// What a filter does about a system call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Allow,
    /// SIGSYS: see `blocked`.
    Block,
    /// ENOSYS, as if the kernel did not have it.
    Missing,
    /// Its arguments decide.
    Examine,
    /// The family of the socket decides: EAFNOSUPPORT for one that is not listed.
    Family,
}

/// A filter that is being made.
pub(super) struct Filter {
    answers: BTreeMap<u32, Answer>,
    listed: Answer,
    otherwise: Answer,
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    families: Vec<u32>,
}

impl Filter {
    /// Blocks every system call that is not listed.
    pub(super) fn allowing(lists: &[&[c_long]]) -> Self {
        Self::new(lists, Answer::Allow, Answer::Block)
    }

    /// Allows every system call that is not listed.
    pub(super) fn blocking(lists: &[&[c_long]]) -> Self {
        let mut filter = Self::new(lists, Answer::Block, Answer::Allow);
        filter.answers.insert(LATER, Answer::Missing);
        filter
    }

    fn new(lists: &[&[c_long]], listed: Answer, otherwise: Answer) -> Self {
        let answers = BTreeMap::from([(X32, Answer::Block)]);
        let (rules, families) = (BTreeMap::new(), Vec::new());
        let filter = Self { answers, listed, otherwise, rules, families };
        lists.iter().copied().flatten().fold(filter, |filter, &call| filter.answer(call, listed))
    }

    /// Answers ENOSYS to a system call.
    pub(super) fn without(self, call: c_long) -> Self {
        self.answer(call, Answer::Missing)
    }

    /// Answers EAFNOSUPPORT to socket(2) unless it is for one of these address families.
    pub(super) fn with_families(mut self, families: &[libc::c_int]) -> Self {
        self.families = families.iter().map(|family| family.cast_unsigned()).collect();
        self.answer(libc::SYS_socket, Answer::Family)
    }

    /// Treats a system call like the listed ones if one of the rules matches its arguments.
    pub(super) fn when(self, call: c_long, rules: Vec<SeccompRule>) -> Self {
        let mut filter = self.answer(call, Answer::Examine);
        filter.rules.insert(call, rules);
        filter
    }

    fn answer(mut self, call: c_long, answer: Answer) -> Self {
        // Numbers in libc are below 1024.
        self.answers.insert(u32::try_from(call).unwrap_or(X32), answer);
        self
    }

    /// The filter as the kernel takes it.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn program(self) -> io::Result<BpfProgram> {
        let action = |answer| match answer {
            Answer::Allow => SeccompAction::Allow,
            _ => SeccompAction::Trap,
        };
        let ranges = self.ranges();
        let sockets = about_sockets(&self.families)?;
        let examine = SeccompFilter::new(
            self.rules,
            action(self.otherwise),
            action(self.listed),
            TargetArch::x86_64,
        );
        let examine = examine.and_then(BpfProgram::try_from).map_err(io::Error::other)?;
        let mut program = vec![
            instruction(LOAD, 0, ARCH),
            instruction(JUMP_IF_EQUAL, 1, ARCHITECTURE),
            // seccompiler's program kills the process.
            leaf(Answer::Examine),
            instruction(LOAD, 0, NUMBER),
        ];
        program.extend(search(&ranges)?);
        // Only now is it known where seccompiler's begins.
        let end = program.len();
        for (index, step) in program.iter_mut().enumerate().filter(|(_, step)| step.code == JUMP) {
            let skipped = if step.k == TO_SOCKETS { 0 } else { sockets.len() };
            step.k = u32::try_from(end - index - 1 + skipped).map_err(io::Error::other)?;
        }
        program.extend(sockets);
        program.extend(examine);
        Ok(program)
    }

    /// The first number of each range of system calls with the same answer.
    fn ranges(&self) -> Vec<(u32, Answer)> {
        let mut ranges = vec![(0, self.otherwise)];
        for (&number, &answer) in &self.answers {
            ranges.push((number, answer));
            if number != X32 && number != LATER {
                ranges.push((number + 1, self.otherwise));
            }
        }
        // Where a listed number follows another, the range between them is empty.
        ranges.reverse();
        ranges.dedup_by_key(|range| range.0);
        ranges.reverse();
        ranges.dedup_by_key(|range| range.1);
        ranges
    }
}

/// Decides about socket(2) by its address family.
fn about_sockets(families: &[u32]) -> io::Result<BpfProgram> {
    if families.is_empty() {
        return Ok(Vec::new());
    }
    let mut program = vec![instruction(LOAD, 0, FIRST)];
    for (index, &family) in families.iter().enumerate() {
        // Over those that follow, and the refusal.
        let skipped = u8::try_from(families.len() - index).map_err(io::Error::other)?;
        program.push(instruction(JUMP_IF_EQUAL, skipped, family));
    }
    let refused = libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT.cast_unsigned();
    program.push(instruction(RETURN, 0, refused));
    program.push(leaf(Answer::Allow));
    Ok(program)
}

/// Decides by the number, which has been loaded.
fn search(ranges: &[(u32, Answer)]) -> io::Result<BpfProgram> {
    if let [(_, answer)] = ranges {
        return Ok(vec![leaf(*answer)]);
    }
    let (below, rest) = ranges.split_at(ranges.len() / 2);
    let boundary = rest[0].0;
    let below = search(below)?;
    let skipped = u8::try_from(below.len()).map_err(io::Error::other)?;
    let mut program = vec![instruction(JUMP_IF_GREATER_OR_EQUAL, skipped, boundary)];
    program.extend(below);
    program.extend(search(rest)?);
    Ok(program)
}

/// The end of a search.
fn leaf(answer: Answer) -> sock_filter {
    match answer {
        Answer::Allow => instruction(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        Answer::Block => instruction(RETURN, 0, libc::SECCOMP_RET_TRAP),
        Answer::Missing => {
            instruction(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned())
        }
        Answer::Examine => instruction(JUMP, 0, 0),
        Answer::Family => instruction(JUMP, 0, TO_SOCKETS),
    }
}

fn instruction(code: u16, jt: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the search as the kernel would, and returns its answer (`None`: seccompiler's program
    /// decides) and how many instructions it took.
    fn answer(program: &[sock_filter], architecture: u32, number: u32) -> (Option<u32>, usize) {
        let (mut word, mut at) = (0, 0);
        for steps in 1.. {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            let skipped = |condition| usize::from(if condition { jt } else { jf });
            at += 1;
            match code {
                LOAD => word = if k == ARCH { architecture } else { number },
                JUMP => return (None, steps),
                JUMP_IF_EQUAL => at += skipped(word == k),
                JUMP_IF_GREATER_OR_EQUAL => at += skipped(word >= k),
                RETURN => return (Some(k), steps),
                other => panic!("{other}"),
            }
        }
        unreachable!("a program ends")
    }

    #[test]
    fn every_number_has_its_answer_after_a_few_comparisons() {
        let listed: Vec<_> = (0..250).filter(|number| number % 3 == 0 || number % 7 == 1).collect();
        let (examined, missing) = (12, 435);
        for (filter, if_listed, otherwise) in [
            (Filter::allowing(&[&listed]), libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_TRAP),
            (Filter::blocking(&[&listed]), libc::SECCOMP_RET_TRAP, libc::SECCOMP_RET_ALLOW),
        ] {
            let program = filter.without(missing).when(examined, Vec::new()).program().unwrap();
            for number in (0..600).chain([i64::from(X32) - 1]) {
                let expected = match number {
                    12 => None,
                    435 => Some(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
                    463.. if otherwise == libc::SECCOMP_RET_ALLOW => {
                        Some(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned())
                    }
                    _ if listed.contains(&number) => Some(if_listed),
                    _ => Some(otherwise),
                };
                let number = u32::try_from(number).unwrap();
                let (found, steps) = answer(&program, ARCHITECTURE, number);
                assert_eq!(found, expected, "{number}");
                assert!(steps <= 13, "{number}: {steps} instructions");
            }
            for number in [X32, X32 + 1, u32::MAX] {
                let (found, _) = answer(&program, ARCHITECTURE, number);
                assert_eq!(found, Some(libc::SECCOMP_RET_TRAP), "{number:#x}");
            }
            // Another architecture, as of a 32-bit program: seccompiler's program kills it.
            assert_eq!(answer(&program, 0x4000_0003, 0).0, None);
        }
    }
}
