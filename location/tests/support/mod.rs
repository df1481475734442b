//! What depends on the environment is read in a process of its own: the test that wants it runs
//! itself again.

use std::env;
use std::error::Error;
use std::io::Read;
use std::process::Command;
use std::time::Duration;

use location::fetch::{Keep, Settings};
use location::remote::Net;
use location::{Fetcher, Place, PlaceError};

/// Tells the second process what to read.
const READ: &str = "CHUKKA_TEST_READ";

/// What the reader's environment has from the tests alone.
const VARIABLES: [&str; 11] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "REQUEST_METHOD",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// In the second process: reads what it is to read, says what came of it, and is `true`.
pub fn is_reader() -> bool {
    let Some(url) = env::var_os(READ) else { return false };
    let net = Net { idle: Duration::from_secs(6), retries: 0, ..Net::default() };
    let fetcher = Fetcher::new(Settings { net, cache: Keep::No, ..Settings::default() });
    let text = || -> Result<String, PlaceError> {
        let file = fetcher.file(&Place::parse(&url).unwrap())?;
        let mut text = String::new();
        file.into_file().unwrap().read_to_string(&mut text).unwrap();
        Ok(text)
    };
    match text() {
        Ok(text) => println!("<<read: {text}>>"),
        Err(error) => {
            let mut shown = format!("{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                shown += &format!(": {error}");
                cause = error.source();
            }
            println!("<<failed: {shown}; {}>>", error.hint());
        }
    }
    true
}

/// Runs `test` again, which is to begin with [`is_reader`], with these variables; `read: TEXT` or
/// `failed: PROBLEM; HINT`.
pub fn read(test: &str, url: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.args(["--exact", test, "--nocapture"]).env(READ, url);
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = said.split_once("<<").and_then(|(_, said)| said.split_once(">>"));
    shown.unwrap_or_else(|| panic!("{output:?}")).0.to_owned()
}
