//! A connection to an FTP server (RFC 959, with EPSV of 2428 and SIZE, MDTM, REST and MLSD of 3659): made when it is needed, made again
//! when it broke, and never used for two things at once.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use suppaftp::list::{File as Listed, ListParser};
use suppaftp::types::{FileType, Response};
use suppaftp::{FtpError, FtpStream, Mode, Status, TlsStream, TransferStream};

use super::Login;
use crate::remote::address::{connect, goes_on, is_stall, limit, said, stalled, unreached};
use storage::{Entry, Failure};

/// As RFC 959 has it.
const PORT: u16 = 21;
/// Maximum number of directory entries read.
const ENTRIES: usize = 1 << 16;
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
    ftp: FtpStream,
    /// The directory that the server shows first.
    home: String,
    /// Whether it does not know EPSV.
    is_passive: bool,
}

/// A file that is being sent.
struct Running {
    path: String,
    at: u64,
    data: Box<dyn Data>,
}

/// A data connection. suppaftp does not name the type of one without TLS.
trait Data: Read + Send {
    /// Closes it, and reads the server's last word about it.
    fn end(self: Box<Self>) -> Result<(), FtpError>;
}

impl<T: TlsStream + Send> Data for TransferStream<T> {
    fn end(self: Box<Self>) -> Result<(), FtpError> {
        self.finish()
    }
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
        let size = self.with_line(|line| refusal(line.ftp.size(path)))?;
        let len = match size {
            Ok(len) => Some(len as u64),
            // It does not know the command.
            Err(Status::BadCommand | Status::NotImplemented | Status::NotImplementedParameter) => {
                None
            }
            Err(_) => {
                let is_directory = self.with_line(|line| line.enter(path))?;
                return Ok(if is_directory { Found::Other("a directory") } else { Found::Nothing });
            }
        };
        let changed = self.with_line(|line| refusal(line.ftp.mdtm(path)))?;
        Ok(Found::This(About { len, version: changed.map_or(String::new(), |at| at.to_string()) }))
    }

    /// What is in a directory.
    pub fn list(&mut self, path: &str) -> io::Result<Found<Vec<Entry>>> {
        let entries = self.with_line(|line| line.list(path))?;
        if let Some(mut entries) = entries {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(Found::This(entries));
        }
        let size = self.with_line(|line| refusal(line.ftp.size(path)))?;
        Ok(if size.is_ok() { Found::Other("a file") } else { Found::Nothing })
    }

    /// Everything of a file whose length is not known; `None`: there is none.
    pub fn whole<T>(
        &mut self,
        path: &str,
        take: impl Fn(&mut dyn Read, u64) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let most = self.login.net.unannounced;
        self.with_line(|line| {
            let Ok(mut data) = line.retrieve(path, 0)? else { return Ok(None) };
            let taken = take(&mut data, most).map_err(FtpError::ConnectionError)?;
            data.end()?;
            Ok(Some(taken))
        })
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
                    Err(response) => return Err(FtpError::UnexpectedResponse(response)),
                };
                Running { path: path.into(), at, data }
            }
        };
        let most = usize::try_from(len - at).map_or(to.len(), |rest| rest.min(to.len()));
        let count = running.data.read(&mut to[..most]).map_err(FtpError::ConnectionError)?;
        if count == 0 {
            let problem = format!("it ended after {at} bytes, expected {len}");
            return Err(broken(problem));
        }
        running.at += count as u64;
        if running.at < len {
            self.running = Some(running);
            return Ok(count);
        }
        if running.data.read(&mut [0]).map_err(FtpError::ConnectionError)? != 0 {
            return Err(FtpError::ConnectionError(goes_on(len)));
        }
        running.data.end()?;
        Ok(count)
    }

    /// Does something with the connection, once more where that was an old one that the server has closed.
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
        let line = match self.line.take() {
            Some(line) => line,
            None => Line::connect(&self.login)?,
        };
        Ok(self.line.insert(line))
    }

    /// Ends what is being sent, so that the connection can be used for something else.
    fn stop_running(&mut self) {
        let Some(running) = self.running.take() else { return };
        let Some(line) = &self.line else { return };
        let hurried = line.ftp.get_ref().set_read_timeout(Some(FAREWELL));
        let in_step = match running.data.end() {
            Ok(()) => true,
            Err(FtpError::UnexpectedResponse(Response { status, .. })) => {
                status == Status::TransferAborted
            }
            Err(_) => false,
        };
        let idle = Some(self.login.net.idle);
        let patient = self.line.as_ref().map(|line| line.ftp.get_ref().set_read_timeout(idle));
        if !in_step || hurried.is_err() || !matches!(patient, Some(Ok(()))) {
            self.hang_up();
        }
    }

    /// Without a word: what is at the other end is not in step, or gone.
    fn hang_up(&mut self) {
        if let Some(line) = &self.line {
            // A transfer that is dropped would wait for the server's last word.
            let _ = line.ftp.get_ref().shutdown(std::net::Shutdown::Both);
        }
        self.running = None;
        self.line = None;
    }

    fn explained(&self, error: FtpError) -> io::Error {
        let problem = match error {
            FtpError::ConnectionError(error) if is_stall(&error) => {
                return stalled(self.login.net.idle);
            }
            FtpError::ConnectionError(error) => return error,
            FtpError::UnexpectedResponse(response) => {
                let text = said(&response.body);
                let text = match self.login.password.as_str() {
                    "" => text,
                    password => text.replace(password, "***"),
                };
                if response.status == Status::NotLoggedIn {
                    let problem = format!("the FTP server refused the login: {text}");
                    let hint = "give a user name: ftp://USER:PASSWORD@HOST/PATH";
                    return Failure::new(problem, hint).into();
                }
                format!("the FTP server said: {text}")
            }
            FtpError::BadResponse => "the server's reply is not FTP".into(),
            error => format!("unexpected reply of the FTP server: {error}"),
        };
        Failure::new(problem, "is it an FTP server, and check that the user may read it").into()
    }
}

impl Line {
    fn connect(login: &Login) -> Result<Self, FtpError> {
        let idle = login.net.idle;
        let addresses = login.host.addresses(PORT).map_err(FtpError::ConnectionError)?;
        let stream = connect(&addresses, idle).map_err(FtpError::ConnectionError)?;
        let peer = stream.peer_addr().map_err(FtpError::ConnectionError)?.ip();
        let mut ftp = FtpStream::connect_with_stream(stream)?.passive_stream_builder(move |to| {
            // Whatever address the server names: its data come from itself.
            data_connection(SocketAddr::new(peer, to.port()), idle)
                .map_err(FtpError::ConnectionError)
        });
        ftp.set_mode(Mode::ExtendedPassive);
        ftp.login(login.user.as_str(), login.password.as_str())?;
        ftp.transfer_type(FileType::Binary)?;
        let home = ftp.pwd()?;
        Ok(Self { ftp, home, is_passive: false })
    }

    /// Goes into a directory, and back; whether it is one.
    fn enter(&mut self, path: &str) -> Result<bool, FtpError> {
        if refusal(self.ftp.cwd(path))?.is_err() {
            return Ok(false);
        }
        self.ftp.cwd(&self.home)?;
        Ok(true)
    }

    /// Has a file sent from byte `at` on; else what the server says instead.
    fn retrieve(
        &mut self,
        path: &str,
        at: u64,
    ) -> Result<Result<Box<dyn Data>, Response>, FtpError> {
        let from = usize::try_from(at).map_err(|_| FtpError::BadResponse)?;
        loop {
            self.ftp.resume_transfer(from)?;
            match self.ftp.retr_as_stream(path) {
                Err(FtpError::UnexpectedResponse(response)) if self.is_epsv_unknown(&response) => {}
                Err(FtpError::UnexpectedResponse(response))
                    if response.status == Status::FileUnavailable =>
                {
                    return Ok(Err(response));
                }
                done => return Ok(Ok(Box::new(done?))),
            }
        }
    }

    /// Whether the server does not know EPSV, which is from 1998. PASV is used from then on.
    fn is_epsv_unknown(&mut self, response: &Response) -> bool {
        let unknown = matches!(
            response.status,
            Status::BadCommand
                | Status::BadArguments
                | Status::NotImplemented
                | Status::NotImplementedParameter
                | Status::Unknown
        );
        let changes = unknown && !self.is_passive;
        if changes {
            self.is_passive = true;
            self.ftp.set_mode(Mode::Passive);
        }
        changes
    }

    /// What is in a directory; `None`: it is none. It is entered, since servers take what is behind LIST for options too.
    fn list(&mut self, path: &str) -> Result<Option<Vec<Entry>>, FtpError> {
        if !path.is_empty() && refusal(self.ftp.cwd(path))?.is_err() {
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
                entries.ok_or(FtpError::BadResponse)?
            }
        };
        if !path.is_empty() {
            self.ftp.cwd(&self.home)?;
        }
        Ok(Some(entries))
    }

    /// A list as the server sends it; `None`: it does not know the command.
    fn lines(
        &mut self,
        command: &str,
        parse: impl Fn(&str) -> Option<Listed>,
    ) -> Result<Option<Vec<Entry>>, FtpError> {
        let begins = [Status::AboutToSend, Status::AlreadyOpen];
        let data = loop {
            match self.ftp.custom_data_command(command, &begins) {
                Err(FtpError::UnexpectedResponse(response)) => {
                    if self.is_epsv_unknown(&response) {
                        continue;
                    }
                    return if command == "MLSD" {
                        Ok(None)
                    } else {
                        Err(FtpError::UnexpectedResponse(response))
                    };
                }
                done => break done?.1,
            }
        };
        let mut entries = Vec::new();
        let mut data = BufReader::new(data);
        let mut line = Vec::new();
        while entries.len() < ENTRIES {
            line.clear();
            let count = (&mut data).take(LINE).read_until(b'\n', &mut line);
            if count.map_err(FtpError::ConnectionError)? == 0 {
                data.into_inner().finish()?;
                return Ok(Some(entries));
            }
            let text = String::from_utf8_lossy(&line);
            let Some(file) = parse(text.trim_end_matches(['\r', '\n'])) else { continue };
            let name = file.name().rsplit('/').next().unwrap_or_default().to_owned();
            if !matches!(name.as_str(), "" | "." | "..") {
                entries.push(Entry { name, is_directory: file.is_directory() });
            }
        }
        let problem = format!("the directory has more than {ENTRIES} entries");
        let failure = Failure::new(problem, "use the URLs of the kernel and the initrd themselves");
        Err(FtpError::ConnectionError(failure.into()))
    }
}

/// A connection for data.
fn data_connection(to: SocketAddr, idle: Duration) -> io::Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&to, idle).map_err(|error| unreached(to, idle, &error))?;
    limit(&stream, idle)?;
    Ok(stream)
}

/// That the other end went away in the middle.
fn broken(problem: String) -> FtpError {
    FtpError::ConnectionError(io::Error::new(io::ErrorKind::UnexpectedEof, problem))
}

/// What was answered, where that is the server's last word on it; 4xx and what is not of FTP are errors.
fn refusal<T>(answer: Result<T, FtpError>) -> Result<Result<T, Status>, FtpError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(FtpError::UnexpectedResponse(response)) if response.status.code() >= 500 => {
            if response.status == Status::NotLoggedIn {
                return Err(FtpError::UnexpectedResponse(response));
            }
            Ok(Err(response.status))
        }
        Err(error) => Err(error),
    }
}

/// Whether it may be better the next time: a connection that broke, a server that was busy or has closed it for want of use.
fn is_worth_a_try(error: &FtpError) -> bool {
    match error {
        FtpError::ConnectionError(error) => {
            error.get_ref().is_none_or(|cause| !cause.is::<Failure>()) && !is_stall(error)
        }
        FtpError::UnexpectedResponse(response) => matches!(response.status.code(), 421 | 425 | 426),
        _ => false,
    }
}
