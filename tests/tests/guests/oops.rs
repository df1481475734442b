//! An oops of Debian's kernel, with and without `-fail-on oops`.

use chukka_tests::assets::{self, Kernel};
use chukka_tests::guest::Initrd;
use chukka_tests::runner::{Guest, Runner};

/// How the function begins that starts a module of congestion control: `call __fentry__`,
/// `mov rdi, OPS`, `jmp tcp_register_congestion_control`. The zeros are relocated.
const START: [u8; 17] = [0xe8, 0, 0, 0, 0, 0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0];
/// `xor edi, edi`, and `test eax, imm32` around the relocated word: the kernel gets a null pointer.
const NULL: [u8; 3] = [0x31, 0xff, 0xa9];
/// What a signed module ends with (`MODULE_SIG_STRING` in include/linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// A module of this kernel that registers a null pointer when it is loaded.
fn faulty_module(kernel: &Kernel) -> Vec<u8> {
    let path = kernel.modules.join("kernel/net/ipv4/tcp_scalable.ko");
    let mut module = std::fs::read(path).expect("Debian's kernel has it");
    let starts = module.windows(START.len()).enumerate().filter(|(_, bytes)| *bytes == START);
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    assert_eq!(starts.len(), 1, "tcp_scalable.ko starts in another way: {starts:?}");
    module[starts[0] + 5..starts[0] + 8].copy_from_slice(&NULL);
    // Linux loads a module without a signature, but not one with a wrong signature.
    if module.ends_with(SIGNED) {
        module.truncate(module.len() - SIGNED.len());
    }
    module
}

#[test]
fn an_oops_fails_the_run_with_fail_on_and_not_without_it() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    // The kernel kills insmod and goes on. Level 2 shows the line with the error, and few others.
    let script = "dmesg -n 2; insmod /faulty.ko; echo insmod ended with status $?";
    let initrd = Initrd::new()
        .and_then(|initrd| initrd.file("faulty.ko", &faulty_module(&kernel)).script(script).write())
        .expect("busybox is there");
    let line = "BUG: kernel NULL pointer dereference, address: 00000000000000";
    let boot = |words: &[&str]| {
        let guest = Guest::new().initrd(&initrd).args(["-json", "-"]);
        let run = guest.args(words.iter().copied()).run(runner);
        run.assert_userspace().assert_stdout(line).assert_stdout("insmod ended with status 137");
        run
    };
    let run = boot(&[]);
    run.assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run.assert_json("power-off", 0, "");
    let run = boot(&["-fail-on", "oops"]);
    run.assert_exit(119).assert_json("oops", 119, line);
    run.assert_stderr(&format!("chukka: the guest's kernel reported an oops: {line}"));
    run.assert_stderr("; then the guest powered off (after ");
}
