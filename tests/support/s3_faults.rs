//! A small object storage in memory that fails as it is told: for what no real server does on demand.
//!
//! It knows what an upload needs, and keeps the rules of the strictest servers: no empty part, none but the last
//! below 5 MiB, all but the last of one size. It believes every signature.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "support for tests: whatever fails is to panic, and not every test uses all of it"
)]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long somebody waits for something that is to happen.
const PATIENCE: Duration = Duration::from_secs(120);
const SMALLEST: usize = 5 << 20;

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Begin,
    Part,
    Complete,
    Abort,
    Put,
    Get,
    Head,
    List,
}

/// How a request fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not.
    None,
    /// So many bytes of the body are read, and the connection is closed.
    Cut(usize),
    /// The same, with a reset.
    Reset(usize),
    /// This status and code, and after how many seconds to come back, when the body was read.
    Status(u16, &'static str, Option<u64>),
    /// Refused for want of rights, before the body was read, and closed.
    Early,
    /// Status 200 with an error in it; nothing is done.
    ErrorIn200,
    /// Done, and the connection closed without an answer.
    LostAnswer,
    /// Done, with another tag in the answer.
    WrongTag,
    /// Done, without a tag in the answer.
    NoTag,
    /// No answer, until the server ends.
    Hang,
    /// Done after [`FaultServer::release`].
    Wait,
}

#[derive(Default)]
struct State {
    plan: VecDeque<(Op, Fault)>,
    /// What meets every request of a kind that nothing is planned for.
    always: Vec<(Op, Fault)>,
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, Upload>,
    /// Every request, and whether it asked not to replace.
    seen: Vec<(Op, bool)>,
    begun: u64,
    waiting: usize,
    released: usize,
    ended: bool,
    knows_conditions: bool,
    listing: Option<String>,
}

#[derive(Default)]
struct Upload {
    key: String,
    parts: BTreeMap<usize, (String, Vec<u8>)>,
}

/// The server; it ends when this is dropped.
pub struct FaultServer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let (state, result) = self
            .changed
            .wait_timeout_while(self.lock(), PATIENCE, |state| !until(state))
            .unwrap();
        assert!(!result.timed_out(), "what was waited for did not happen");
        state
    }
}

impl FaultServer {
    /// Starts one with this plan: each request takes the first fault that is planned for its kind.
    pub fn start(plan: impl IntoIterator<Item = (Op, Fault)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.lock().plan.extend(plan);
        shared.lock().knows_conditions = true;
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.lock().ended {
                    return;
                }
                let own = Arc::clone(&own);
                std::thread::spawn(move || {
                    // The end of a connection is part of the plan.
                    let _ = serve(&own, stream);
                });
            }
        });
        Self { address, shared }
    }

    /// From now on it refuses headers that ask not to replace, as servers that do not know them.
    pub fn forget_conditions(&self) {
        self.shared.lock().knows_conditions = false;
    }

    /// What it says when uploads are listed; before that it cannot list them.
    pub fn list(&self, listing: String) {
        self.shared.lock().listing = Some(listing);
    }

    /// From now on each request of these kinds, and of no others, fails so.
    pub fn always(&self, faults: &[(Op, Fault)]) {
        self.shared.lock().always = faults.to_vec();
    }

    /// Lets one more of those that wait go on.
    pub fn release(&self) {
        self.shared.lock().released += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until so many requests have come to wait.
    pub fn until_waiting(&self, count: usize) {
        drop(self.shared.wait(|state| state.waiting >= count));
    }

    /// Waits until no upload is open.
    pub fn until_no_uploads(&self) {
        drop(self.shared.wait(|state| state.uploads.is_empty()));
    }

    pub fn uploads(&self) -> usize {
        self.shared.lock().uploads.len()
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.lock().objects.get(key).cloned()
    }

    pub fn put_object(&self, key: &str, bytes: &[u8]) {
        let mut state = self.shared.lock();
        state.objects.insert(key.to_owned(), bytes.to_vec());
    }

    pub fn objects(&self) -> usize {
        self.shared.lock().objects.len()
    }

    /// How many requests of a kind came.
    pub fn count(&self, op: Op) -> usize {
        let state = self.shared.lock();
        state.seen.iter().filter(|(seen, _)| *seen == op).count()
    }

    /// How many of them asked not to replace.
    pub fn conditional(&self, op: Op) -> usize {
        let state = self.shared.lock();
        state
            .seen
            .iter()
            .filter(|seen| **seen == (op, true))
            .count()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

struct Head {
    op: Op,
    key: String,
    upload: String,
    part: usize,
    length: usize,
    expects: bool,
    conditional: bool,
}

/// Reads a head; `None` at the end of the connection.
fn head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(n, _)| *n == name).map(|(_, v)| v.to_owned())
    };
    let (upload, part) = (value("uploadId"), value("partNumber"));
    let op = match (method, &upload) {
        ("POST", None) => Op::Begin,
        ("POST", Some(_)) => Op::Complete,
        ("PUT", Some(_)) => Op::Part,
        ("PUT", None) => Op::Put,
        ("DELETE", _) => Op::Abort,
        ("HEAD", _) => Op::Head,
        ("GET", _) if path.trim_matches('/').contains('/') => Op::Get,
        ("GET", _) => Op::List,
        other => panic!("no such request: {other:?}"),
    };
    // The path has the bucket first.
    let key = path.trim_start_matches('/').split_once('/');
    let mut head = Head {
        op,
        key: key.map_or("", |(_, key)| key).to_owned(),
        upload: upload.unwrap_or_default(),
        part: part.map_or(0, |part| part.parse().unwrap()),
        length: 0,
        expects: false,
        conditional: false,
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(": ") {
            None => return Ok(Some(head)),
            Some(("content-length", length)) => head.length = length.parse().unwrap(),
            Some(("expect", _)) => head.expects = true,
            Some(("if-none-match", _)) => head.conditional = true,
            Some(_) => {}
        }
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(head) = head(&mut reader)? {
        let fault = {
            let mut state = shared.lock();
            state.seen.push((head.op, head.conditional));
            let at = state.plan.iter().position(|(op, _)| *op == head.op);
            let planned = at.and_then(|at| state.plan.remove(at));
            let always = || state.always.iter().find(|(op, _)| *op == head.op).copied();
            planned
                .or_else(always)
                .map_or(Fault::None, |(_, fault)| fault)
        };
        if fault == Fault::Early {
            if !head.expects {
                // What came unasked is read, or closing would take the answer back.
                reader.read_exact(&mut vec![0; head.length])?;
            }
            let body = error("AccessDenied");
            return answer(&mut stream, 403, &[], body.as_bytes(), true);
        }
        if head.expects {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let wanted = match fault {
            Fault::Cut(bytes) | Fault::Reset(bytes) => head.length.min(bytes),
            _ => head.length,
        };
        let mut body = vec![0; wanted];
        reader.read_exact(&mut body)?;
        match fault {
            Fault::Cut(_) => return Ok(()),
            Fault::Reset(_) => {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                return Ok(());
            }
            Fault::Hang => {
                drop(shared.wait(|state| state.ended));
                return Ok(());
            }
            Fault::Status(status, code, after) => {
                let after = after.map(|after| after.to_string());
                let headers = after.iter().map(|after| ("Retry-After", after.as_str()));
                let headers: Vec<_> = headers.collect();
                let body = match head.op {
                    Op::Head => String::new(),
                    _ => error(code),
                };
                answer(&mut stream, status, &headers, body.as_bytes(), false)?;
                continue;
            }
            Fault::ErrorIn200 => {
                let body = error("InternalError");
                answer(&mut stream, 200, &[], body.as_bytes(), false)?;
                continue;
            }
            Fault::Wait => {
                let mut state = shared.lock();
                state.waiting += 1;
                let mine = state.waiting;
                drop(state);
                shared.changed.notify_all();
                drop(shared.wait(|state| state.released >= mine || state.ended));
            }
            _ => {}
        }
        let (status, tag, document) = shared.lock().perform(&head, body);
        shared.changed.notify_all();
        if fault == Fault::LostAnswer {
            return Ok(());
        }
        let tag = match fault {
            Fault::NoTag => None,
            Fault::WrongTag => Some("\"another\"".to_owned()),
            _ => tag,
        };
        let mut headers = vec![("Date", "Sun, 09 Sep 2001 01:46:40 GMT")];
        headers.extend(tag.iter().map(|tag| ("ETag", tag.as_str())));
        if head.op == Op::Head {
            let length = document.len();
            write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n"
            )?;
            continue;
        }
        answer(&mut stream, status, &headers, &document, false)?;
    }
    Ok(())
}

fn answer(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    close: bool,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if close {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn error(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as planned</Message></Error>"
    )
}

fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

type Done = (u16, Option<String>, Vec<u8>);

fn refused(status: u16, code: &str) -> Done {
    (status, None, error(code).into_bytes())
}

impl State {
    fn perform(&mut self, head: &Head, body: Vec<u8>) -> Done {
        if head.conditional && !self.knows_conditions {
            return refused(501, "NotImplemented");
        }
        if head.conditional && self.objects.contains_key(&head.key) {
            return refused(412, "PreconditionFailed");
        }
        match head.op {
            Op::Put => {
                let tag = tag(&body);
                self.objects.insert(head.key.clone(), body);
                (200, Some(tag), Vec::new())
            }
            Op::Begin => {
                self.begun += 1;
                let name = format!("upload-{}", self.begun);
                let document = format!(
                    "<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
                );
                let key = head.key.clone();
                let parts = BTreeMap::new();
                self.uploads.insert(name, Upload { key, parts });
                (200, None, document.into_bytes())
            }
            Op::Part => match self.uploads.get_mut(&head.upload) {
                Some(_) if body.is_empty() => refused(400, "InvalidRequest"),
                Some(upload) => {
                    let tag = tag(&body);
                    upload.parts.insert(head.part, (tag.clone(), body));
                    (200, Some(tag), Vec::new())
                }
                None => refused(404, "NoSuchUpload"),
            },
            Op::Complete => self.complete(head, &body),
            Op::Abort => match self.uploads.remove(&head.upload) {
                Some(_) => (204, None, Vec::new()),
                None => refused(404, "NoSuchUpload"),
            },
            Op::Get => match self.objects.get(&head.key) {
                Some(bytes) => (200, Some(tag(bytes)), bytes.clone()),
                None => refused(404, "NoSuchKey"),
            },
            Op::Head => match self.objects.get(&head.key) {
                Some(bytes) => (200, None, bytes.clone()),
                None => (404, None, Vec::new()),
            },
            Op::List => match &self.listing {
                Some(listing) => (200, None, listing.clone().into_bytes()),
                None => refused(501, "NotImplemented"),
            },
        }
    }

    fn complete(&mut self, head: &Head, body: &[u8]) -> Done {
        let Some(upload) = self.uploads.get(&head.upload) else {
            return refused(404, "NoSuchUpload");
        };
        let text = String::from_utf8(body.to_vec()).unwrap();
        let named = text.matches("<Part>").count();
        let last = upload.parts.len();
        let size = upload.parts[&1].1.len();
        let mut whole = Vec::new();
        for (number, (tag, bytes)) in &upload.parts {
            let tag = tag.replace('"', "&quot;");
            let entry = format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
            if !text.contains(&entry) || named != last || bytes.len() > size {
                return refused(400, "InvalidPart");
            }
            if *number != last && (bytes.len() != size || size < SMALLEST) {
                return refused(400, "EntityTooSmall");
            }
            whole.extend_from_slice(bytes);
        }
        self.objects.insert(upload.key.clone(), whole);
        self.uploads.remove(&head.upload);
        let document =
            "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>";
        (200, None, document.as_bytes().to_vec())
    }
}
