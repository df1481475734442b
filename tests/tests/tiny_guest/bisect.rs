//! `git bisect run` with chukka.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chukka_tests::binaries;
use chukka_tests::native::{self, Scratch, guest};

/// Runs git in a repository, without the user's configuration.
fn git(repository: &Path, words: &[&str]) -> Output {
    let output = Command::new("git")
        .current_dir(repository)
        .args(["-c", "user.name=t", "-c", "user.email=t@mirror.example", "-c", "gc.auto=0"])
        .args(words)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .expect("git is installed (tests/setup.sh)");
    assert!(output.status.success(), "git {words:?}: {output:?}");
    output
}

#[test]
fn git_bisect_run_finds_the_commit_that_breaks_the_kernel() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let repository = scratch.path("repository");
    fs::create_dir(&repository).expect("there is room for it");
    git(&repository, &["init", "-q"]);
    // Good; not a kernel, which is skipped; and every way of being bad: a panic, a guest that says
    // nothing, one that hangs, a triple fault.
    let scripts = ["DP", "D\"1\"P", "-", "D\"2\"P", "D\"3\"P", "L", "P", "D~", "DT"];
    let bad = 5;
    let mut commits = Vec::new();
    for script in scripts {
        let kernel = if script == "-" { b"not a kernel".to_vec() } else { guest::kernel(script) };
        fs::write(repository.join("kernel"), kernel).expect("there is room for it");
        git(&repository, &["add", "kernel"]);
        git(&repository, &["commit", "-q", "-m", script]);
        let commit = git(&repository, &["rev-parse", "HEAD"]).stdout;
        commits.push(String::from_utf8(commit).expect("a hash").trim().to_owned());
    }
    let chukka = binaries::chukka().expect("it was built").display().to_string();
    let last = scripts.len() - 1;
    git(&repository, &["bisect", "start", &commits[last], &commits[0]]);
    let words = ["-kernel", "kernel", "-m", "64M", "-timeout", "5"];
    let run = git(&repository, &[&["bisect", "run", &chukka], &words[..]].concat());
    let said = String::from_utf8_lossy(&run.stdout);
    let found = format!("{} is the first bad commit", commits[bad]);
    assert!(said.contains(&found), "{run:?}");
}
