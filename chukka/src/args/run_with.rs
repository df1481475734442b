//! `-run-with`, as QEMU spells it.

use std::fs;

use vmm::sandbox::HostUser;

use super::error::ArgsError;
use super::options::Options;
use super::value::{pairs, texts};

/// The user that the process becomes before the guest starts. The last value counts.
pub(super) fn user(
    options: &Options,
    has_state: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<HostUser>, ArgsError> {
    let mut user = None;
    for text in texts(&options.run_with, "run-with")? {
        for pair in pairs(text, "") {
            match pair.key.as_str() {
                "user" => {
                    let name = pair.value("run-with")?;
                    let found = numbers(name).or_else(|| {
                        let read = |path| fs::read_to_string(path).unwrap_or_default();
                        named(name, &read("/etc/passwd"), &read("/etc/group"))
                    });
                    let expected = "a user in /etc/passwd, or UID:GID";
                    let bad = || ArgsError::bad(pair.shown("run-with"), expected);
                    user = Some(found.ok_or_else(bad)?);
                }
                "chroot" => {
                    let why = "chukka does not change its root directory";
                    let hint = "leave it out: the sandbox restricts which files can be opened";
                    return Err(ArgsError::unsupported(pair.shown("run-with"), why, hint));
                }
                "async-teardown" if !pair.switch("run-with")? => {}
                "async-teardown" => {
                    let why = "chukka frees guest memory as it ends";
                    return Err(ArgsError::unsupported(
                        pair.shown("run-with"),
                        why,
                        "leave it out",
                    ));
                }
                _ => {
                    return Err(ArgsError::bad(
                        pair.shown("run-with"),
                        "user=NAME or user=UID:GID",
                    ));
                }
            }
        }
    }
    if has_state && user.is_some() {
        let why =
            "the new user may not be able to record the result of the run in the -state directory";
        let hint = "leave out one of them, or start chukka as that user";
        return Err(ArgsError::unsupported("-run-with user= together with -state", why, hint));
    }
    if user.is_some() && (options.pid_file.is_some() || options.core_file.is_some()) {
        warnings.push(
            "-run-with user=: the files of -pidfile and -vmcore stay after the run if that user \
             may not remove them from their directories"
                .into(),
        );
    }
    Ok(user)
}

/// `UID:GID` (`os_parse_runas_uid_gid` in QEMU's os-posix.c): no other groups.
fn numbers(text: &str) -> Option<HostUser> {
    let (uid, gid) = text.split_once(':')?;
    // The largest number means "no change" to the kernel.
    let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX);
    let (uid, gid) = (number(uid)?, number(gid)?);
    Some(HostUser { uid, gid, groups: vec![gid] })
}

/// The user with this name, and the groups with this member (passwd(5), group(5)).
fn named(name: &str, users: &str, groups: &str) -> Option<HostUser> {
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let user = users.lines().map(fields).find(|user| user[0] == name && !name.is_empty())?;
    let (uid, gid) = (user.get(2)?.parse().ok()?, user.get(3)?.parse().ok()?);
    let others = groups.lines().map(fields).filter_map(|group| {
        let is_member = group.get(3)?.split(',').any(|member| member == name);
        group[2].parse().ok().filter(|other| is_member && *other != gid)
    });
    Some(HostUser { uid, gid, groups: std::iter::once(gid).chain(others).collect() })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::{HostUser, named};
    use crate::args::Invocation;

    fn user(words: &[&str]) -> Result<Option<HostUser>, String> {
        let words = [&["-kernel", "k"], words].concat();
        match parse(words.iter().map(Into::into)) {
            Ok(Invocation::Boot(request)) => Ok(request.user),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_user_is_named_or_numbered() {
        let numbered = |uid, gid| Some(HostUser { uid, gid, groups: vec![gid] });
        assert_eq!(user(&[]), Ok(None));
        assert_eq!(user(&["-run-with", "user=7:8"]), Ok(numbered(7, 8)));
        let twice = ["-run-with", "user=7:8", "-run-with", "user=9:9,async-teardown=off"];
        assert_eq!(user(&twice), Ok(numbered(9, 9)));
        let words = ["-kernel", "k", "-run-with", "user=7:8", "-pidfile", "p"];
        let Ok(Invocation::Boot(request)) = parse(words.map(Into::into)) else { panic!() };
        assert!(request.warnings[0].contains("-pidfile"), "{:?}", request.warnings);
        let users = "root:x:0:0::/root:/bin/sh\nann:x:1000:1001:Ann:/home/ann:/bin/sh\nbad:x\n";
        let groups = "kvm:x:104:bob,ann\nann:x:1001:ann\nroot:x:0:\ndisk:x:6:anna\n";
        let ann = HostUser { uid: 1000, gid: 1001, groups: vec![1001, 104] };
        assert_eq!(named("ann", users, groups), Some(ann));
        for name in ["bad", "an", "", "x"] {
            assert_eq!(named(name, users, groups), None, "{name}");
        }
    }

    #[test]
    fn other_values_are_refused() {
        for (value, expected) in [
            ("user=no-such-user", "a user in /etc/passwd, or UID:GID"),
            ("user=1:", "a user in /etc/passwd, or UID:GID"),
            ("user=4294967295:1", "a user in /etc/passwd, or UID:GID"),
            ("user", "-run-with"),
            ("chroot=/srv", "does not change its root directory"),
            ("async-teardown=on", "frees guest memory as it ends"),
        ] {
            let error = user(&["-run-with", value]).unwrap_err();
            assert!(error.contains(expected), "{value}: {error}");
        }
        let with_state = ["-state", "d", "-run-with", "user=7:8"];
        let error = parse(with_state.map(Into::into)).unwrap_err().to_string();
        assert!(error.contains("together with -state"), "{error}");
    }
}
