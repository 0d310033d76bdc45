//! A front before a real object storage that breaks requests by chance: the plan follows a seed.
//!
//! What it passes on is passed on unchanged, but for `Expect`, which it answers itself. And it makes good what
//! s3s-fs lacks: it lists multipart uploads, and says `NoSuchUpload` of one that is not there.

use super::{Dice, reset};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a request hangs that its client does not give up.
const HANG: Duration = Duration::from_secs(10);
const PIECE: usize = 64 * 1024;
/// A name of the form of an object, for an upload whose name was lost.
const NAMELESS: &str = "00000000000000000000000000000000";

/// What happens to a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// The connection ends in the middle of the body.
    CutBody,
    /// The connection is reset in the middle of the body, or without an answer.
    Reset,
    /// Done, and the connection ends in the middle of the answer.
    CutAnswer,
    /// Done, and the connection ends without an answer.
    LostAnswer,
    /// Status 500.
    Error,
    /// Status 503, come back in a second.
    SlowDown,
    /// No answer.
    Hang,
    /// The middle of the body is not read on.
    HangInBody,
    /// Refused for want of rights before the body.
    Early403,
    /// Status 200 with an error in it, and nothing is done.
    ErrorIn200,
}

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Begin,
    Complete,
    /// Whatever stores bytes.
    Put,
    Uploads,
    Other,
}

struct State {
    dice: Dice,
    /// Of a hundred requests, so many meet a fault.
    percent: u64,
    counts: BTreeMap<Fault, u64>,
    requests: u64,
    /// Requests that could not be passed on.
    unserved: u64,
    /// Hanging requests that their client gave up.
    given_up: u64,
    /// Objects of the uploads that began, by the names of the uploads.
    begun: HashMap<String, String>,
    over: bool,
}

struct Shared {
    behind: SocketAddr,
    /// The directory of s3s-fs: it has a file for each multipart upload.
    home: PathBuf,
    state: Mutex<State>,
}

/// The front; it ends when this is dropped.
pub struct FaultyFront {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl FaultyFront {
    /// Passes on to `behind`, an s3s-fs that keeps its files in `home`. Of a hundred requests, `percent` meet a
    /// fault.
    pub fn before(behind: SocketAddr, home: &Path, seed: u64, percent: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behind,
            home: home.to_owned(),
            state: Mutex::new(State {
                dice: Dice::new(seed),
                percent,
                counts: BTreeMap::new(),
                requests: 0,
                unserved: 0,
                given_up: 0,
                begun: HashMap::new(),
                over: false,
            }),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.lock().over {
                    return;
                }
                let own = Arc::clone(&own);
                std::thread::spawn(move || {
                    // The end of a connection is part of the plan.
                    let _ = serve(&own, client);
                });
            }
        });
        Self { address, shared }
    }

    /// No fault any more. From now on, uploads that began are listed, as if that had been long ago.
    pub fn behave(&self) {
        self.shared.lock().percent = 0;
    }

    /// Requests that came so far.
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// Requests that came while nobody was behind.
    pub fn unserved(&self) -> u64 {
        self.shared.lock().unserved
    }

    /// How many requests met each fault, in words.
    pub fn told(&self) -> String {
        let state = self.shared.lock();
        let counts = state.counts.iter().map(|(f, n)| format!("{f:?} {n}"));
        let counts: Vec<String> = counts.collect();
        format!(
            "{} requests: {}; {} of the hanging ones were given up by the client; {} found no server",
            state.requests,
            counts.join(", "),
            state.given_up,
            state.unserved
        )
    }

    /// Faults so far.
    pub fn faults(&self) -> u64 {
        self.shared.lock().counts.values().sum()
    }

    /// The multipart uploads that the server has.
    pub fn uploads(&self) -> Vec<String> {
        self.shared.uploads()
    }
}

impl Drop for FaultyFront {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roll(&self, sides: u64) -> u64 {
        self.lock().dice.roll(sides)
    }

    /// Takes the request down; returns what becomes of it.
    fn fault(&self, asked: &Asked) -> Option<Fault> {
        use Fault::*;
        let mut state = self.lock();
        state.requests += 1;
        if state.dice.roll(100) >= state.percent {
            return None;
        }
        // A refusal for want of rights is for good, so it is rare.
        let among: &[Fault] = match asked.op {
            Op::Put => &[
                CutBody, CutBody, Reset, Reset, CutAnswer, LostAnswer, Error, Error, SlowDown,
                SlowDown, Hang, HangInBody, Early403,
            ],
            Op::Complete => &[
                Reset, CutAnswer, LostAnswer, LostAnswer, LostAnswer, Error, SlowDown, Hang,
                ErrorIn200,
            ],
            Op::Begin => &[Reset, CutAnswer, LostAnswer, Error, SlowDown, Hang],
            Op::Uploads | Op::Other => &[
                Reset, CutAnswer, CutAnswer, LostAnswer, Error, SlowDown, Hang,
            ],
        };
        let at = state.dice.roll(among.len() as u64);
        let fault = among[usize::try_from(at).unwrap()];
        *state.counts.entry(fault).or_default() += 1;
        Some(fault)
    }

    fn has_upload(&self, upload: &str) -> bool {
        self.home.join(format!(".upload-{upload}.json")).exists()
    }

    fn uploads(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.home).unwrap().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        let upload = |name: String| {
            let upload = name.strip_prefix(".upload-")?.strip_suffix(".json")?;
            Some(upload.to_owned())
        };
        names.filter_map(upload).collect()
    }

    /// All uploads that began, as if that had been long ago.
    fn listing(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\"?><ListMultipartUploadsResult>");
        for upload in self.uploads() {
            let key = self.lock().begun.get(&upload).cloned();
            let key = key.unwrap_or_else(|| NAMELESS.to_owned());
            let _ = write!(
                text,
                "<Upload><Key>{key}</Key><UploadId>{upload}</UploadId>\
                 <Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
            );
        }
        text + "<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"
    }
}

/// A request, without its body.
struct Asked {
    op: Op,
    /// The answer has no body.
    is_head: bool,
    key: String,
    upload: String,
    length: u64,
    expects: bool,
    /// To be passed on.
    text: String,
}

/// Reads the head of a request; `None` at the end of the connection.
fn asked(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap_or(""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = || {
        query
            .split('&')
            .map(|p| p.split_once('=').unwrap_or((p, "")))
    };
    let value = |name: &str| pairs().find(|(n, _)| *n == name).map(|(_, v)| v.to_owned());
    let upload = value("uploadId");
    let lists = value("uploads").is_some();
    let op = match (method, &upload) {
        ("POST", None) => Op::Begin,
        ("POST", Some(_)) => Op::Complete,
        ("PUT", _) => Op::Put,
        ("GET", _) if lists => Op::Uploads,
        _ => Op::Other,
    };
    // The path has the bucket first.
    let key = path.trim_start_matches('/').split_once('/');
    let mut asked = Asked {
        op,
        is_head: method == "HEAD",
        key: key.map_or("", |(_, key)| key).to_owned(),
        upload: upload.unwrap_or_default(),
        length: 0,
        expects: false,
        text: first.clone(),
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.trim_end().to_ascii_lowercase();
        match lower.split_once(':') {
            Some(("expect", _)) => {
                asked.expects = true;
                continue;
            }
            Some(("content-length", length)) => asked.length = length.trim().parse().unwrap(),
            _ => {}
        }
        asked.text.push_str(&line);
        if lower.is_empty() {
            return Ok(Some(asked));
        }
    }
}

fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut connection = Connection {
        shared,
        from: BufReader::with_capacity(PIECE, client.try_clone()?),
        to: client,
        server: None,
    };
    while let Some(asked) = asked(&mut connection.from)? {
        let fault = shared.fault(&asked);
        if !connection.one(&asked, fault)? {
            return Ok(());
        }
    }
    Ok(())
}

struct Connection<'a> {
    shared: &'a Shared,
    from: BufReader<TcpStream>,
    to: TcpStream,
    server: Option<BufReader<TcpStream>>,
}

impl Connection<'_> {
    /// Deals with one request; false when the connection is over.
    fn one(&mut self, asked: &Asked, fault: Option<Fault>) -> io::Result<bool> {
        if fault == Some(Fault::Early403) {
            if !asked.expects {
                // What came unasked is read, or closing would take the answer back.
                self.swallow(asked.length)?;
            }
            self.refuse(asked, 403, "AccessDenied", "Connection: close\r\n")?;
            return Ok(false);
        }
        if asked.expects {
            self.to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        match fault {
            Some(Fault::CutBody | Fault::Reset | Fault::HangInBody) => {
                let part = self.shared.roll(asked.length.max(1));
                // What the server got of it is cut off, too.
                if self.begin(asked).is_ok() {
                    self.relay(part)?;
                }
                match fault {
                    Some(Fault::HangInBody) => self.hang()?,
                    Some(Fault::Reset) => reset(self.to.try_clone()?),
                    _ => {}
                }
                Ok(false)
            }
            Some(Fault::Hang) => {
                self.swallow(asked.length)?;
                self.hang()?;
                Ok(false)
            }
            Some(Fault::Error) => {
                self.swallow(asked.length)?;
                self.refuse(asked, 500, "InternalError", "")?;
                Ok(true)
            }
            Some(Fault::SlowDown) => {
                self.swallow(asked.length)?;
                self.refuse(asked, 503, "SlowDown", "Retry-After: 1\r\n")?;
                Ok(true)
            }
            Some(Fault::ErrorIn200) => {
                self.swallow(asked.length)?;
                self.refuse(asked, 200, "InternalError", "")?;
                Ok(true)
            }
            _ => self.pass(asked, fault),
        }
    }

    /// Passes the request on, and the answer back, as far as the fault lets it.
    fn pass(&mut self, asked: &Asked, fault: Option<Fault>) -> io::Result<bool> {
        if asked.op == Op::Uploads {
            // While faults come by chance nobody knows which uploads are over.
            if self.shared.lock().percent > 0 {
                self.refuse(asked, 501, "NotImplemented", "")?;
            } else {
                self.answer(200, "", &self.shared.listing())?;
            }
            return Ok(true);
        }
        self.begin(asked)?;
        self.relay(asked.length)?;
        let (head, status) = self.server_head()?;
        let missing = status == 403 && !asked.upload.is_empty();
        if missing && !self.shared.has_upload(&asked.upload) {
            let mut rest = Vec::new();
            self.server_body(asked, &head, &mut rest)?;
            self.refuse(asked, 404, "NoSuchUpload", "")?;
            return Ok(true);
        }
        if fault == Some(Fault::LostAnswer) {
            return Ok(false);
        }
        if asked.op == Op::Begin && fault.is_none() {
            let mut body = head.clone().into_bytes();
            self.server_body(asked, &head, &mut body)?;
            self.remember(asked, &body);
            self.to.write_all(&body)?;
            return Ok(true);
        }
        let length = length(&head).unwrap_or_default();
        let cut = self.shared.roll(head.len() as u64 + length);
        let mut client = Cut {
            to: self.to.try_clone()?,
            left: (fault == Some(Fault::CutAnswer)).then_some(cut),
        };
        client.write_all(head.as_bytes())?;
        self.server_body(asked, &head, &mut client)?;
        Ok(true)
    }

    fn remember(&self, asked: &Asked, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let upload = text.split_once("<UploadId>");
        if let Some((upload, _)) = upload.and_then(|(_, rest)| rest.split_once("</UploadId>")) {
            let mut state = self.shared.lock();
            state.begun.insert(upload.to_owned(), asked.key.clone());
        }
    }

    /// Sends the head to the server.
    fn begin(&mut self, asked: &Asked) -> io::Result<()> {
        if self.server.is_none() {
            let server = TcpStream::connect(self.shared.behind);
            let server = server.inspect_err(|_| self.shared.lock().unserved += 1)?;
            server.set_nodelay(true)?;
            self.server = Some(BufReader::with_capacity(PIECE, server));
        }
        self.server()?.get_mut().write_all(asked.text.as_bytes())
    }

    fn server(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        self.server
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Passes on so many bytes of the body.
    fn relay(&mut self, length: u64) -> io::Result<()> {
        let mut server = self.server()?.get_ref().try_clone()?;
        exactly(&mut self.from, length, &mut server)
    }

    fn swallow(&mut self, length: u64) -> io::Result<()> {
        exactly(&mut self.from, length, &mut io::sink())
    }

    /// Says nothing more, until the client gives up, or for a while.
    fn hang(&mut self) -> io::Result<()> {
        self.to.set_read_timeout(Some(HANG))?;
        if self.from.buffer().is_empty() && matches!(self.to.peek(&mut [0]), Ok(0) | Err(_)) {
            self.shared.lock().given_up += 1;
        }
        Ok(())
    }

    /// The head of the server's answer, and its status.
    fn server_head(&mut self) -> io::Result<(String, u16)> {
        let server = self.server()?;
        let mut head = String::new();
        loop {
            let at = head.len();
            if server.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head[at..].trim_end().is_empty() {
                let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
                return Ok((head, status.unwrap_or_default()));
            }
        }
    }

    /// The body that belongs to it.
    fn server_body(&mut self, asked: &Asked, head: &str, to: &mut impl Write) -> io::Result<()> {
        let chunked = field(head, "transfer-encoding").is_some();
        let server = self.server()?;
        if asked.is_head {
            return Ok(());
        }
        if !chunked {
            return exactly(server, length(head).unwrap_or_default(), to);
        }
        loop {
            let mut line = String::new();
            server.read_line(&mut line)?;
            to.write_all(line.as_bytes())?;
            let size = u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
            // With the end of the line.
            exactly(server, size + 2, to)?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn refuse(&mut self, asked: &Asked, status: u16, code: &str, more: &str) -> io::Result<()> {
        let text = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by chance</Message></Error>"
        );
        self.answer(status, more, if asked.is_head { "" } else { &text })
    }

    fn answer(&mut self, status: u16, more: &str, body: &str) -> io::Result<()> {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let head = format!(
            "HTTP/1.1 {status} x\r\nDate: {date}\r\nContent-Length: {}\r\n{more}\r\n",
            body.len()
        );
        self.to.write_all(head.as_bytes())?;
        self.to.write_all(body.as_bytes())
    }
}

/// Ends after so many bytes.
struct Cut {
    to: TcpStream,
    left: Option<u64>,
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.left.unwrap_or(u64::MAX);
        let most = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
        if most == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let written = self.to.write(&bytes[..most])?;
        self.left = self.left.map(|left| left - written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies exactly so many bytes.
fn exactly(from: &mut impl Read, length: u64, to: &mut impl Write) -> io::Result<()> {
    match io::copy(&mut from.take(length), to)? == length {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}

fn length(head: &str) -> Option<u64> {
    field(head, "content-length")?.parse().ok()
}
