//! A connection to an FTP server (RFC 959, with EPSV of 2428 and SIZE, MDTM, REST and MLSD of
//! 3659): made when it is needed, made again when it broke, and never used for two things at once.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use suppaftp::list::{File as Listed, ListParser};

use super::Login;
use super::control::{Control, FtpError, Reply, Transfer};
use crate::remote::address::{goes_on, said};
use crate::remote::unannounced::{self, Taken, Wanted};
use storage::{Entry, Failure};

/// The code that says so.
const NOT_LOGGED_IN: u16 = 530;
/// As RFC 959 has it.
const PORT: u16 = 21;
/// Maximum number of directory entries read.
const ENTRIES: usize = 1 << 16;
/// Lines of a list, some of which are no entries.
const LINES: usize = 2 * ENTRIES;
/// A line of a directory is no longer.
const LINE: u64 = 1 << 14;
/// So long a server has for its last word about a transfer that was not wanted to its end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What there is of a name.
pub(super) enum Found<T> {
    /// What was looked for.
    This(T),
    /// Something else.
    Other(&'static str),
    /// Nothing.
    Nothing,
}

/// The server's metadata of a file.
pub(super) struct About {
    /// Bytes, where it says so.
    pub len: Option<u64>,
    /// When it was changed, where it says so.
    pub version: String,
}

pub(super) struct Session {
    login: Login,
    line: Option<Line>,
    running: Option<Running>,
}

/// A connection, logged in.
struct Line {
    control: Control,
    /// The directory that the server shows first, if it told.
    home: Option<String>,
    /// Whether it is in another directory, and there is no way back.
    is_away: bool,
}

/// A file that is being sent.
struct Running {
    path: String,
    at: u64,
    data: Transfer,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No password.
        f.debug_struct("Session").field("host", &self.login.host).finish_non_exhaustive()
    }
}

impl Session {
    pub fn new(login: Login) -> Self {
        Self { login, line: None, running: None }
    }

    /// Looks for a file.
    pub fn find(&mut self, path: &str) -> io::Result<Found<About>> {
        if path.is_empty() {
            return self.with_line(|_| Ok(Found::Other("a directory")));
        }
        let size = self.with_line(|line| line.ask(&format!("SIZE {path}")))?;
        let len = match size {
            // A length is good to have (RFC 3659, 4), and what is none is as none.
            Ok(reply) => reply.words().parse::<u64>().ok(),
            Err(reply) if reply.is_unknown() => None,
            Err(_) => {
                let is_directory = self.with_line(|line| line.enter(path))?;
                return Ok(if is_directory { Found::Other("a directory") } else { Found::Nothing });
            }
        };
        // A version is good to have, and what is none is as none.
        let changed = self.with_line(|line| line.ask(&format!("MDTM {path}")))?;
        let version = changed.map(|reply| reply.words()).unwrap_or_default();
        let is_time =
            version.len() >= 14 && version.bytes().take(14).all(|byte| byte.is_ascii_digit());
        Ok(Found::This(About { len, version: if is_time { version } else { String::new() } }))
    }

    /// What is in a directory.
    pub fn list(&mut self, path: &str) -> io::Result<Found<Vec<Entry>>> {
        let entries = self.with_line(|line| line.list(path))?;
        if let Some(mut entries) = entries {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(Found::This(entries));
        }
        let size = self.with_line(|line| line.ask(&format!("SIZE {path}")))?;
        Ok(if size.is_ok() { Found::Other("a file") } else { Found::Nothing })
    }

    /// What is wanted of a file whose length is not known; `None`: there is none.
    pub fn take(&mut self, path: &str, wanted: Wanted) -> io::Result<Option<Taken>> {
        let idle = self.login.net.idle;
        let taken = self.with_line(|line| {
            let Ok(mut data) = line.retrieve(path, 0)? else { return Ok(None) };
            let taken = unannounced::take(wanted, &[], |to| data.read(to), |error| error)?;
            if !taken.is_whole {
                let running = Running { path: path.into(), at: taken.len, data };
                return Ok(Some((taken, Some(running))));
            }
            line.control.finish(data, idle)?;
            Ok(Some((taken, None)))
        })?;
        Ok(taken.map(|(taken, running)| {
            self.running = running;
            self.stop_running();
            taken
        }))
    }

    /// Reads of a file that has `len` bytes, `at` being before its end.
    pub fn read(&mut self, path: &str, len: u64, to: &mut [u8], at: u64) -> io::Result<usize> {
        self.again(|session| session.read_once(path, len, to, at))
    }

    fn read_once(
        &mut self,
        path: &str,
        len: u64,
        to: &mut [u8],
        at: u64,
    ) -> Result<usize, FtpError> {
        let is_there = |running: &Running| running.path == path && running.at == at;
        let mut running = match self.running.take() {
            Some(running) if is_there(&running) => running,
            other => {
                self.running = other;
                self.stop_running();
                let data = match self.line()?.retrieve(path, at)? {
                    Ok(data) => data,
                    Err(reply) => return Err(FtpError::Unexpected(reply)),
                };
                Running { path: path.into(), at, data }
            }
        };
        let most = usize::try_from(len - at).map_or(to.len(), |rest| rest.min(to.len()));
        let count = running.data.read(&mut to[..most])?;
        if count == 0 {
            let problem = format!("it ended after {at} bytes, expected {len}");
            return Err(broken(problem));
        }
        running.at += count as u64;
        if running.at < len {
            self.running = Some(running);
            return Ok(count);
        }
        if running.data.read(&mut [0])? != 0 {
            return Err(FtpError::Connection(goes_on(len)));
        }
        let idle = self.login.net.idle;
        self.line()?.control.finish(running.data, idle)?;
        Ok(count)
    }

    /// Does something with the connection, once more where that was an old one that the server has
    /// closed.
    fn with_line<T>(
        &mut self,
        mut act: impl FnMut(&mut Line) -> Result<T, FtpError>,
    ) -> io::Result<T> {
        self.stop_running();
        self.again(|session| session.line().and_then(&mut act))
    }

    /// Tries something until it is done or of no use, each time by a new connection.
    fn again<T>(&mut self, mut act: impl FnMut(&mut Self) -> Result<T, FtpError>) -> io::Result<T> {
        let mut tries = 0;
        loop {
            match act(self) {
                Ok(done) => return Ok(done),
                Err(error) if is_worth_a_try(&error) && tries < self.login.net.retries => {
                    self.hang_up();
                    tries += 1;
                }
                Err(error) => {
                    self.hang_up();
                    return Err(self.explained(error));
                }
            }
        }
    }

    fn line(&mut self) -> Result<&mut Line, FtpError> {
        let line = match self.line.take().filter(|line| !line.is_away) {
            Some(line) => line,
            None => Line::connect(&self.login)?,
        };
        Ok(self.line.insert(line))
    }

    /// Ends what is being sent, so that the connection can be used for something else.
    fn stop_running(&mut self) {
        let (Some(running), Some(line)) = (self.running.take(), &mut self.line) else { return };
        let in_step = match line.control.finish(running.data, FAREWELL) {
            Ok(()) => true,
            Err(FtpError::Unexpected(reply)) => reply.code == 426,
            Err(_) => false,
        };
        if !in_step {
            self.hang_up();
        }
    }

    /// Without a word: what is at the other end is not in step, or gone.
    fn hang_up(&mut self) {
        self.line = None;
        self.running = None;
    }

    fn explained(&self, error: FtpError) -> io::Error {
        let problem = match error {
            FtpError::Connection(error) => return error,
            FtpError::Unexpected(reply) => {
                let text = said(&reply.text);
                let text = match self.login.password.as_str() {
                    "" => text,
                    password => text.replace(password, "***"),
                };
                if reply.code == NOT_LOGGED_IN {
                    let problem = format!("the FTP server refused the login: {text}");
                    let hint = "give a user name: ftp://USER:PASSWORD@HOST/PATH";
                    return Failure::new(problem, hint).into();
                }
                format!("the FTP server said: {text}")
            }
            FtpError::BadReply => "the server's reply is not FTP".into(),
        };
        Failure::new(problem, "check that it is an FTP server and that the user may read the file")
            .into()
    }
}

impl Line {
    fn connect(login: &Login) -> Result<Self, FtpError> {
        let mut control = Control::connect(&login.host.addresses(PORT)?, login.net.idle)?;
        let mut reply = control.command(&format!("USER {}", login.user))?;
        if reply.code == 331 {
            reply = control.command(&format!("PASS {}", login.password))?;
        }
        reply.expect(2)?;
        control.command("TYPE I")?.expect(2)?;
        // RFC 959, appendix II: the name is in quotes, and quotes in it are doubled.
        let home = control.command("PWD")?.expect(2).ok().and_then(|reply| {
            let words = reply.words();
            let (_, rest) = words.split_once('"')?;
            Some(rest.rsplit_once('"')?.0.replace("\"\"", "\""))
        });
        let home = home.filter(|home| home.starts_with('/') && !home.contains('\0'));
        Ok(Self { control, home, is_away: false })
    }

    /// Asks; a refusal is an answer, too.
    fn ask(&mut self, command: &str) -> Result<Result<Reply, Reply>, FtpError> {
        let reply = self.control.command(command)?;
        match reply.code {
            200..=299 => Ok(Ok(reply)),
            500.. if reply.code != NOT_LOGGED_IN => Ok(Err(reply)),
            _ => Err(FtpError::Unexpected(reply)),
        }
    }

    /// Goes into a directory, and back; whether it is one.
    fn enter(&mut self, path: &str) -> Result<bool, FtpError> {
        if self.ask(&format!("CWD {path}"))?.is_err() {
            return Ok(false);
        }
        self.go_home()?;
        Ok(true)
    }

    fn go_home(&mut self) -> Result<(), FtpError> {
        match &self.home {
            Some(home) => {
                let command = format!("CWD {home}");
                self.control.command(&command)?.expect(2)?;
            }
            None => self.is_away = true,
        }
        Ok(())
    }

    /// Has a file sent from byte `at` on; else what the server says instead.
    fn retrieve(&mut self, path: &str, at: u64) -> Result<Result<Transfer, Reply>, FtpError> {
        match self.control.transfer(&format!("RETR {path}"), at)? {
            Err(reply) if reply.code != 550 => Err(FtpError::Unexpected(reply)),
            done => Ok(done),
        }
    }

    /// What is in a directory; `None`: it is none. It is entered, since servers take what is behind
    /// LIST for options too.
    fn list(&mut self, path: &str) -> Result<Option<Vec<Entry>>, FtpError> {
        if !path.is_empty() && self.ask(&format!("CWD {path}"))?.is_err() {
            return Ok(None);
        }
        let entries = match self.lines("MLSD", |line| ListParser::parse_mlsd(line).ok())? {
            Some(entries) => entries,
            None => {
                let parse = |line: &str| {
                    let unix = ListParser::parse_posix(line);
                    unix.or_else(|_| ListParser::parse_dos(line)).ok()
                };
                let entries = self.lines("LIST", parse)?;
                entries.ok_or(FtpError::BadReply)?
            }
        };
        if !path.is_empty() {
            self.go_home()?;
        }
        Ok(Some(entries))
    }

    /// A list as the server sends it; `None`: it does not know the command.
    fn lines(
        &mut self,
        command: &str,
        parse: impl Fn(&str) -> Option<Listed>,
    ) -> Result<Option<Vec<Entry>>, FtpError> {
        let data = match self.control.transfer(command, 0)? {
            Ok(data) => data,
            Err(_) if command == "MLSD" => return Ok(None),
            Err(reply) => return Err(FtpError::Unexpected(reply)),
        };
        let idle = data.idle();
        let mut entries = Vec::new();
        let mut data = BufReader::new(data);
        let mut line = Vec::new();
        for _ in 0..LINES {
            if entries.len() > ENTRIES {
                break;
            }
            line.clear();
            let count = (&mut data).take(LINE).read_until(b'\n', &mut line);
            if count? == 0 {
                self.control.finish(data.into_inner(), idle)?;
                return Ok(Some(entries));
            }
            let text = String::from_utf8_lossy(&line);
            let Some(file) = parse(text.trim_end_matches(['\r', '\n'])) else { continue };
            let name = file.name().rsplit('/').next().unwrap_or_default().to_owned();
            if !matches!(name.as_str(), "" | "." | "..") {
                entries.push(Entry { name, is_directory: file.is_directory() });
            }
        }
        let problem = match entries.len() > ENTRIES {
            true => format!("the directory has more than {ENTRIES} entries"),
            false => format!("the list of the directory has {LINES} lines or more"),
        };
        let failure = Failure::new(problem, "use the URLs of the kernel and the initrd themselves");
        Err(FtpError::Connection(failure.into()))
    }
}

/// That the other end went away in the middle.
fn broken(problem: String) -> FtpError {
    let failure =
        Failure::new(problem, "try again; if this repeats, the file on the server is damaged");
    FtpError::Connection(io::Error::new(io::ErrorKind::UnexpectedEof, failure))
}

/// Whether it may be better the next time: a connection that broke, a server that was busy or has
/// closed it for want of use.
fn is_worth_a_try(error: &FtpError) -> bool {
    match error {
        FtpError::Connection(error) => {
            error.kind() == io::ErrorKind::UnexpectedEof
                || error.get_ref().is_none_or(|cause| !cause.is::<Failure>())
        }
        FtpError::Unexpected(reply) => matches!(reply.code, 421 | 425 | 426),
        FtpError::BadReply => false,
    }
}
