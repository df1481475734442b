//! `-offline`, `-fetch`, `-checksum`: how a place on another host is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use location::fetch::{Keep, Settings};
use location::remote::Net;

use super::error::ArgsError;
use super::options::BootArgs;
use super::refusals::all;
use super::value::{size, texts};
use crate::request::Checksum;

/// A whole day: a time-out that is longer is none.
const LONGEST: u64 = 86_400;

/// The settings; each key's last value counts.
pub(super) fn settings(args: &BootArgs) -> Result<Settings, ArgsError> {
    settings_with(args, Net::default())
}

/// How servers with a CD are talked to. The time-out is shorter unless the user says so: Linux
/// gives a CD drive 30 seconds to answer (`SR_TIMEOUT`, drivers/scsi/sr.h).
pub(super) fn for_cds(args: &BootArgs) -> Result<Net, ArgsError> {
    let net = Net { idle: Duration::from_secs(10), retries: 1, ..Net::default() };
    Ok(settings_with(args, net)?.net)
}

fn settings_with(args: &BootArgs, net: Net) -> Result<Settings, ArgsError> {
    let mut settings = Settings { net, offline: args.offline, ..Settings::default() };
    for pair in &args.fetch {
        if pair.key == "cache" {
            settings.cache = match pair.bytes("fetch")? {
                b"off" => Keep::No,
                _ => Keep::In(absolute(&pair.path("fetch")?)?),
            };
            continue;
        }
        let pair = pair.text("fetch")?;
        let shown = pair.shown("fetch");
        let bad = |expected: &'static str| ArgsError::bad(shown.clone(), expected);
        match pair.key.as_str() {
            "timeout" => {
                let idle = timeout(pair.value("fetch")?);
                settings.net.idle = idle.ok_or_else(|| bad("seconds, 1 to 86400"))?;
            }
            "retries" => {
                let retries = pair.value("fetch")?.parse().ok().filter(|count| *count <= 100);
                settings.net.retries = retries.ok_or_else(|| bad("a number, 0 to 100"))?;
            }
            "limit" => {
                let limit = limit(pair.value("fetch")?);
                set_limit(&mut settings, limit.ok_or_else(|| bad("a size, such as 8G"))?);
            }
            "refresh" => settings.refresh = pair.switch("fetch")?,
            _ => {
                return Err(bad(
                    "timeout=SECONDS, retries=N, limit=SIZE, cache=DIR, cache=off or refresh=on",
                ));
            }
        }
    }
    if settings.offline && settings.refresh {
        let hint = "leave one of them out";
        return Err(
            ArgsError::bad("-offline with -fetch refresh=on", "one of them").with_hint(hint)
        );
    }
    Ok(settings)
}

/// Whole seconds.
fn timeout(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds))?;
    Some(Duration::from_secs(seconds))
}

/// A size that is not 0.
fn limit(text: &str) -> Option<u64> {
    size(text).filter(|limit| *limit > 0)
}

/// The bytes of one file at most, whether its server says how many it has or not.
fn set_limit(settings: &mut Settings, limit: u64) {
    settings.limit = limit;
    settings.net.unannounced = limit;
}

/// A directory that stays the same wherever it is used.
fn absolute(path: &Path) -> Result<PathBuf, ArgsError> {
    std::path::absolute(path)
        .map_err(|_| ArgsError::bad(format!("-fetch cache={}", path.display()), "a directory"))
}

/// The sums.
pub(super) fn checksums(args: &BootArgs) -> Result<Vec<Checksum>, ArgsError> {
    all(texts(&args.checksum, "checksum")?.into_iter().map(checksum))
}

/// `sha256:HEX` for the kernel, or `initrd=sha256:HEX`, or `NAME=sha256:HEX`.
fn checksum(given: &str) -> Result<Checksum, ArgsError> {
    let (of, sum) = given.split_once('=').unwrap_or(("kernel", given));
    let (algorithm, hex) = sum.split_once(':').unwrap_or(("", sum));
    let digits = match algorithm.to_ascii_lowercase().as_str() {
        "sha256" => 64,
        "sha512" => 128,
        "sha1" => 40,
        _ => 0,
    };
    if of.is_empty() || hex.len() != digits || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let expected =
            "sha256:HEX for the kernel, initrd=sha256:HEX or NAME=sha256:HEX; sha512 and sha1 too";
        return Err(ArgsError::bad(format!("-checksum {given}"), expected)
            .with_hint("64 hexadecimal digits for sha256, 128 for sha512, 40 for sha1"));
    }
    Ok(Checksum { of: of.to_owned(), sum: sum.to_owned() })
}
