//! `-chardev`, and the same devices in the short form of `-serial`, `-debugcon`, `-monitor` and
//! `-qmp` (`qemu_chr_parse_compat`, chardev/char.c).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::error::ArgsError;
use super::listen::{Listen, listen};
use super::options::Options;
use super::refusals::Refusals;
use super::value::{Pair, RawPair, id, raw, raw_pairs};
use vmm::config::{CharBackend, CharFile, CharSocket, Chardev, InterruptKey, SocketAddress};

/// The short form.
pub(super) const EXPECTED: &str =
    "stdio, file:PATH, pty, unix:PATH, tcp:HOST:PORT, chardev:ID, null or none";
/// The backends of `-chardev`.
const BACKENDS: &str = "stdio, file, socket, pty or null";
/// QEMU's others, by the beginning of their short forms, which are also their names.
const QEMU_S: [&str; 14] = [
    "vc",
    "telnet",
    "websocket",
    "udp",
    "pipe",
    "/dev/",
    "con:",
    "COM",
    "ringbuf",
    "spice",
    "serial",
    "parallel",
    "braille",
    "msmouse",
];

/// A `-chardev`.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    chardev: Chardev,
    /// `mux=on`: monitors may share it with a device.
    is_shared: bool,
    /// Where Ctrl-C goes, if it is standard input.
    interrupt: InterruptKey,
    is_used: bool,
}

impl Known {
    /// What stands in for one that is wrong.
    fn nothing(id: String) -> Self {
        Self {
            id,
            chardev: CharBackend::Null.into(),
            is_shared: false,
            interrupt: InterruptKey::EndsChukka,
            is_used: false,
        }
    }
}

/// All of `-chardev`, and what becomes of Ctrl-C.
#[derive(Clone, Debug, Default)]
pub(super) struct Chardevs {
    known: Vec<Known>,
    /// Where Ctrl-C goes, once a device has standard input.
    pub interrupt: InterruptKey,
}

impl Chardevs {
    /// Reads them all, as devices may refer to those that come later.
    pub fn read(options: &Options, refusals: &mut Refusals) -> Self {
        let mut this = Self::default();
        for given in raw(&options.chardevs) {
            let chardev = match chardev(given) {
                Ok(chardev) => chardev,
                Err(error) => {
                    refusals.add(error);
                    // A device that names it is not wrong.
                    let id = id(&raw_pairs(given, "backend")).unwrap_or_default();
                    Known::nothing(id)
                }
            };
            if this.known.iter().any(|earlier| earlier.id == chardev.id) {
                let given = format!("-chardev id={}", chardev.id);
                refusals.add(
                    ArgsError::bad(given, "each id once")
                        .with_hint("give each -chardev an id of its own"),
                );
            } else {
                this.known.push(chardev);
            }
        }
        this
    }

    /// The one that a device names by its id; `given` shows where. No other device gets it.
    pub fn take(&mut self, id: &str, given: String, example: &str) -> Result<Chardev, ArgsError> {
        let free = self.known.iter_mut().find(|known| known.id == id && !known.is_used);
        let Some(known) = free else {
            let expected = "the id of a -chardev that no other device has";
            return Err(
                ArgsError::bad(given, expected).with_hint(format!("for example: {example}"))
            );
        };
        known.is_used = true;
        if known.chardev.is_stdio() && known.interrupt == InterruptKey::GoesToGuest {
            self.interrupt = known.interrupt;
        }
        Ok(known.chardev.clone())
    }

    /// Whether a device has this one and shares it with monitors.
    pub fn is_shared(&self, id: &str) -> bool {
        self.known.iter().any(|known| known.id == id && known.is_used && known.is_shared)
    }

    /// Warns of those that nothing uses.
    pub fn finish(self, warnings: &mut Vec<String>) {
        for known in self.known.iter().filter(|known| !known.is_used) {
            warnings.push(format!("-chardev id={}: no device uses it", known.id));
        }
    }

    /// The short form of `option`, which takes what `expected` says; `None`: `none`.
    pub fn short(
        &mut self,
        option: &'static str,
        value: &OsStr,
        expected: &'static str,
    ) -> Result<Option<Chardev>, ArgsError> {
        let given = || format!("-{option} {}", value.to_string_lossy());
        let bytes = value.as_bytes();
        let backend = match bytes {
            b"none" => return Ok(None),
            b"null" => CharBackend::Null,
            b"stdio" => CharBackend::Stdio,
            b"pty" => CharBackend::Pty,
            [b'f', b'i', b'l', b'e', b':', path @ ..] if !path.is_empty() => {
                let path = OsStr::from_bytes(path).into();
                CharBackend::File(CharFile { path, append: false })
            }
            [b'c', b'h', b'a', b'r', b'd', b'e', b'v', b':', id @ ..] => {
                let example = format!("-chardev file,id=log,path=log -{option} chardev:log");
                return self.take(&String::from_utf8_lossy(id), given(), &example).map(Some);
            }
            _ if bytes.starts_with(b"unix:") || bytes.starts_with(b"tcp:") => {
                let value = super::value::text(value, option)?;
                let Listen { address, wait, server } = listen(option, value, expected)?;
                CharBackend::Socket(CharSocket { address, server, wait })
            }
            _ => {
                let is_qemu_s = QEMU_S.iter().any(|name| bytes.starts_with(name.as_bytes()));
                let hint = if is_qemu_s { "QEMU has this backend; chukka does not" } else { "" };
                return Err(ArgsError::bad(given(), expected).with_hint(hint));
            }
        };
        Ok(Some(backend.into()))
    }
}

/// The properties of a `-chardev`.
#[derive(Default)]
struct Properties {
    id: Option<String>,
    path: Option<PathBuf>,
    host: Option<String>,
    port: Option<u16>,
    append: bool,
    server: bool,
    /// `None`: on, as is usual for a server.
    wait: Option<bool>,
    is_shared: bool,
    keeps_signals: Option<bool>,
    log: Option<PathBuf>,
    log_append: bool,
    timestamps: bool,
}

/// `-chardev BACKEND,id=ID[,…]`.
fn chardev(given: &[u8]) -> Result<Known, ArgsError> {
    let option = "chardev";
    let shown = || format!("-chardev {}", String::from_utf8_lossy(given));
    let pairs = raw_pairs(given, "backend");
    let backend = pairs.iter().find(|pair| pair.key == "backend");
    let backend = backend.map(|pair| pair.text(option)).transpose()?;
    let backend = backend.as_ref().map(|pair| pair.value(option)).transpose()?.unwrap_or_default();
    if !["stdio", "null", "file", "pty", "socket"].contains(&backend) {
        let hint = if QEMU_S.iter().any(|name| backend.starts_with(name)) {
            "QEMU has this backend; chukka does not"
        } else {
            "for example, file,id=ID,path=PATH or socket,id=ID,path=PATH,server=on,wait=off"
        };
        return Err(ArgsError::bad(shown(), BACKENDS).with_hint(hint));
    }
    let mut found = Properties::default();
    for pair in pairs.iter().filter(|pair| pair.key != "backend") {
        property(&mut found, backend, pair)?;
    }
    let missing = |what| Err(ArgsError::bad(shown(), what));
    let Some(id) = found.id.take() else {
        return missing("an id, which devices refer to: id=ID");
    };
    let backend = match (backend, &found.path) {
        ("stdio", _) => CharBackend::Stdio,
        ("pty", _) => CharBackend::Pty,
        ("file", Some(path)) => {
            CharBackend::File(CharFile { path: path.clone(), append: found.append })
        }
        ("file", None) => return missing("the file's name: file,id=ID,path=PATH"),
        ("socket", _) => match found.socket() {
            Some(socket) => CharBackend::Socket(socket),
            None => {
                return missing(
                    "an address: socket,id=ID,path=PATH or socket,id=ID,host=HOST,port=PORT",
                );
            }
        },
        _ => CharBackend::Null,
    };
    let log = found.log.map(|path| CharFile { path, append: found.log_append });
    let interrupt = match found.keeps_signals {
        Some(false) => InterruptKey::GoesToGuest,
        _ => InterruptKey::EndsChukka,
    };
    let chardev = Chardev { id: Some(id.clone()), backend, log, timestamps: found.timestamps };
    Ok(Known { id, chardev, is_shared: found.is_shared, interrupt, is_used: false })
}

impl Properties {
    fn socket(&self) -> Option<CharSocket> {
        let address = match (&self.path, self.port) {
            (Some(path), None) if self.host.is_none() => SocketAddress::Unix(path.clone()),
            (None, Some(port)) => {
                // Other hosts reach the guest only if the user asks for it.
                let host = self.host.clone().filter(|host| !host.is_empty());
                SocketAddress::Tcp { host: host.unwrap_or_else(|| "127.0.0.1".into()), port }
            }
            _ => return None,
        };
        let wait = self.server && self.wait != Some(false);
        Some(CharSocket { address, server: self.server, wait })
    }
}

fn property(found: &mut Properties, backend: &str, pair: &RawPair) -> Result<(), ArgsError> {
    let option = "chardev";
    let unsupported = |why, hint| Err(ArgsError::unsupported(pair.shown(option), why, hint));
    // A key without a value is on.
    let on = || match pair.value {
        None => Ok(true),
        Some(_) => pair.text(option)?.switch(option),
    };
    match (pair.key.as_str(), backend) {
        ("id", _) => found.id = Some(identifier(&pair.text(option)?)?),
        ("path", "file" | "socket") => found.path = Some(pair.path(option)?),
        ("append", "file") => found.append = on()?,
        ("signal", "stdio") => found.keeps_signals = Some(on()?),
        ("mux", _) => {
            found.is_shared = on()?;
            if found.is_shared && backend != "stdio" {
                return unsupported(
                    "only stdio can be shared with a monitor",
                    "leave mux=on out, and give the monitor a socket of its own",
                );
            }
        }
        ("host", "socket") => found.host = Some(pair.text(option)?.value(option)?.to_owned()),
        ("port", "socket") => {
            let port = pair.text(option)?.value(option)?.parse().ok().filter(|port| *port > 0);
            let bad = || ArgsError::bad(pair.shown(option), "a TCP port, 1 to 65535");
            found.port = Some(port.ok_or_else(bad)?);
        }
        ("server", "socket") => found.server = on()?,
        ("wait", "socket") => found.wait = Some(on()?),
        ("nowait", "socket") => found.wait = Some(!on()?),
        ("nodelay", "socket") => drop(on()?),
        ("telnet" | "websocket", "socket") if on()? => {
            return unsupported("chukka sends and receives plain bytes", "leave it out");
        }
        ("telnet" | "websocket", "socket") => {}
        ("reconnect" | "reconnect-ms", "socket") => {
            if pair.text(option)?.value(option)? != "0" {
                return unsupported(
                    "chukka connects only once",
                    "leave it out, or have chukka listen: server=on,wait=off",
                );
            }
        }
        ("logfile", _) => found.log = Some(pair.path(option)?),
        ("logappend", _) => found.log_append = on()?,
        ("timestamp", _) => found.timestamps = on()?,
        _ => {
            let expected = match backend {
                "file" => "file,id=ID,path=PATH,append=off",
                "socket" => "socket,id=ID,path=PATH or host=HOST,port=PORT,server=on,wait=off",
                "stdio" => "stdio,id=ID,signal=on,mux=off",
                _ => "id=ID",
            };
            let expected = format!("{expected},logfile=PATH,logappend=off,timestamp=off");
            return Err(ArgsError::bad(pair.shown(option), expected));
        }
    }
    Ok(())
}

/// QEMU's `id_wellformed` (util/id.c).
fn identifier(pair: &Pair) -> Result<String, ArgsError> {
    let id = pair.value("chardev")?;
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    if id.starts_with(|first: char| first.is_ascii_alphabetic()) && id.chars().all(letter) {
        return Ok(id.to_owned());
    }
    let expected = "a letter, followed by letters, digits, '-', '.' or '_'";
    Err(ArgsError::bad(pair.shown("chardev"), expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(given: &str) -> Result<Chardev, ArgsError> {
        let options = Options { chardevs: vec![given.into()], ..Options::default() };
        let mut refusals = Refusals::default();
        let mut chardevs = Chardevs::read(&options, &mut refusals);
        refusals.finish(())?;
        let taken = chardevs.take("X", String::new(), "")?;
        assert_eq!(taken.id.as_deref(), Some("X"));
        Ok(Chardev { id: None, ..taken })
    }

    #[test]
    fn backends_are_read_as_qemu_reads_them() {
        let unix = SocketAddress::Unix("a,b".into());
        let tcp = |host: &str| SocketAddress::Tcp { host: host.into(), port: 9 };
        let socket = |address: &SocketAddress, server, wait| {
            CharBackend::Socket(CharSocket { address: address.clone(), server, wait })
        };
        let file = |append| CharBackend::File(CharFile { path: "a,b".into(), append });
        for (given, backend) in [
            ("stdio,id=X,signal=off,mux=on", CharBackend::Stdio),
            ("null,id=X", CharBackend::Null),
            ("pty,id=X", CharBackend::Pty),
            ("file,id=X,path=a,,b", file(false)),
            ("file,id=X,path=a,,b,append=on", file(true)),
            ("socket,id=X,path=a,,b", socket(&unix, false, false)),
            ("socket,id=X,path=a,,b,server,nowait", socket(&unix, true, false)),
            ("socket,id=X,path=a,,b,server=on", socket(&unix, true, true)),
            ("socket,id=X,host=::1,port=9,server=on,wait=off", socket(&tcp("::1"), true, false)),
            ("socket,id=X,port=9,nodelay=on,telnet=off", socket(&tcp("127.0.0.1"), false, false)),
        ] {
            assert_eq!(taken(given), Ok(backend.into()), "{given}");
        }
        let expected = Chardev {
            log: Some(CharFile { path: "log".into(), append: true }),
            timestamps: true,
            ..CharBackend::Null.into()
        };
        assert_eq!(taken("null,id=X,logfile=log,logappend=on,timestamp=on"), Ok(expected));
    }

    #[test]
    fn invalid_backends_are_refused() {
        for given in [
            "socket,id=X",
            "socket,id=X,host=a",
            "socket,id=X,path=a,port=9",
            "socket,id=X,path=a,host=b",
            "socket,id=X,port=0",
            "socket,id=X,port=65536",
            "socket,id=X,path=a,telnet=on",
            "socket,id=X,path=a,reconnect=1",
            "socket,id=X,path=a,tls-creds=t",
            "socket,id=X,path=",
            "file,id=X,path=a,server=on",
            "pty,id=X,mux=on",
            "null,id=X,logfile=",
            "null,id=X,timestamp=1",
            "udp,id=X,port=9",
            "ringbuf,id=X",
            "",
        ] {
            assert!(taken(given).is_err(), "{given}");
        }
    }

    #[test]
    fn a_backend_belongs_to_one_device() {
        let options = Options { chardevs: vec!["null,id=X".into()], ..Options::default() };
        let mut chardevs = Chardevs::read(&options, &mut Refusals::default());
        assert!(chardevs.take("Y", String::new(), "").is_err());
        assert!(chardevs.take("X", String::new(), "").is_ok());
        assert!(chardevs.take("X", String::new(), "").is_err());
        let mut warnings = Vec::new();
        chardevs.finish(&mut warnings);
        assert_eq!(warnings, [""; 0]);
    }
}
