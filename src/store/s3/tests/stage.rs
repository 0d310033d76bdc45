//! A server that follows a script, a clock that is turned by hand, and a client between them.

use crate::model::{Clock, Timestamp};
use crate::store::s3::exchange::Patience;
use crate::store::s3::{Client, Credentials, Method, Request, S3Settings};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with a request.
pub enum Act {
    /// Takes the whole request, answers, and waits for the next one.
    Answer(Vec<u8>),
    /// The same, and closes the connection.
    AnswerAndClose(Vec<u8>),
    /// Answers after the head, without a look at the body, and closes.
    Early(Vec<u8>),
    /// Takes the request, never says that it wants the body, and answers.
    Silently(Vec<u8>),
    /// Says this again and again until the client goes.
    Endless(Vec<u8>),
    /// Says this, then nothing until the client goes.
    Hang(Vec<u8>),
}

/// The head of a request and its body.
#[derive(Clone)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Follows `script`, one act for each request; further ones are answered with 500.
    pub fn following(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let told = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut script = script.into_iter();
            // One connection after the other: what happens when is not left to chance.
            for connection in listener.incoming().map_while(Result::ok) {
                // A client that goes away ends its connection, not the server.
                let _ = serve(&connection, &mut script, &told);
            }
        });
        Self { address, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(
    connection: &TcpStream,
    script: &mut impl Iterator<Item = Act>,
    told: &Mutex<Vec<Seen>>,
) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(60)))?;
    connection.set_write_timeout(Some(Duration::from_secs(60)))?;
    let (mut reader, mut writer) = (BufReader::new(connection), connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut seen = Seen {
            head,
            body: Vec::new(),
        };
        let length = seen
            .header("content-length")
            .map_or(0, |v| v.parse().unwrap());
        let asks = seen.header("expect").is_some();
        let act = script
            .next()
            .unwrap_or_else(|| Act::Answer(answer(500, "", "")));
        if !matches!(act, Act::Early(_)) {
            if asks && !matches!(act, Act::Silently(_)) {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            (&mut reader).take(length).read_to_end(&mut seen.body)?;
        }
        told.lock().unwrap().push(seen);
        match act {
            Act::Answer(bytes) | Act::Silently(bytes) => writer.write_all(&bytes)?,
            Act::AnswerAndClose(bytes) | Act::Early(bytes) => return writer.write_all(&bytes),
            Act::Endless(bytes) => loop {
                writer.write_all(&bytes)?;
            },
            Act::Hang(bytes) => {
                writer.write_all(&bytes)?;
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
        }
    }
}

/// An answer with a body of its length. `headers` are lines.
pub fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The same with the document of an error.
pub fn error(status: u16, headers: &str, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>it is so</Message></Error>");
    answer(status, headers, &body)
}

/// 2026-01-02T03:04:05Z.
pub const NOW: i64 = 1_767_323_045;

/// A clock that stands still until it is turned by hand, or by a pause: no test depends on how fast the machine is.
pub struct Hand {
    pub now: AtomicI64,
    pub passed: AtomicU64,
    /// Seconds that pass with every look at it.
    pub step: AtomicU64,
}

impl Default for Hand {
    fn default() -> Self {
        Self {
            now: NOW.into(),
            passed: 0.into(),
            step: 0.into(),
        }
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        let step = self.step.load(Ordering::SeqCst);
        Duration::from_secs(self.passed.fetch_add(step, Ordering::SeqCst))
    }
}

/// A client, what it waited for between its attempts, and its clock.
pub struct Stage {
    pub client: Client,
    pub server: Server,
    pub clock: Arc<Hand>,
    pauses: Arc<Mutex<Vec<Duration>>>,
}

impl Stage {
    pub fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().unwrap().clone()
    }
}

pub fn settings(endpoint: String) -> S3Settings {
    S3Settings {
        endpoint,
        region: "us-east-1".to_owned(),
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        path_style: true,
        credentials: Credentials {
            key_id: "key".to_owned().into(),
            secret: "secret".to_owned().into(),
            token: None,
        },
        ca_file: None,
        concurrency: 2,
    }
}

/// A client before a server that follows `script`. It loses patience after `stall`, and ten times that while an
/// object is put together.
pub fn stage_with(script: Vec<Act>, stall: Duration) -> Stage {
    let server = Server::following(script);
    let clock = Arc::<Hand>::default();
    let pauses = Arc::<Mutex<Vec<Duration>>>::default();
    let (noted, turned) = (Arc::clone(&pauses), Arc::clone(&clock));
    let patience = Patience {
        connect: Duration::from_secs(60),
        stall,
        assembly: stall * 10,
        asked: Duration::from_secs(60),
        pause: Box::new(move |time| {
            turned.passed.fetch_add(time.as_secs(), Ordering::SeqCst);
            noted.lock().unwrap().push(time);
        }),
    };
    let settings = settings(format!("http://{}", server.address));
    let client = Client::patient(&settings, Arc::clone(&clock) as _, patience).unwrap();
    Stage {
        client,
        server,
        clock,
        pauses,
    }
}

/// The same with all the patience that a loaded machine needs.
pub fn stage(script: Vec<Act>) -> Stage {
    stage_with(script, Duration::from_secs(60))
}

pub fn request(method: Method, key: &str) -> Request<'_> {
    Request {
        method,
        key,
        query: &[],
        headers: &[],
    }
}

/// A body that tells how much of it was read.
pub struct Body {
    pub left: u64,
    pub read: u64,
}

impl Body {
    pub fn of(length: u64) -> Self {
        Self {
            left: length,
            read: 0,
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = buffer.len().min(most);
        buffer[..count].fill(b'x');
        self.left -= count as u64;
        self.read += count as u64;
        Ok(count)
    }
}
