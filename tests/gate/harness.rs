//! A server with a small handler, and a client that says exactly what a test wants it to say.

use mayfly::http::{Handler, Head, Request, Response, Room, Stream};
use mayfly::server::{Limits, Server};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Bytes of [`large_file`].
const LARGE: usize = 6_000_000;

/// The bytes of [`large_file`]: each place has others.
pub fn large_bytes() -> Vec<u8> {
    let words = 0..LARGE as u32 / 4;
    words.flat_map(u32::to_le_bytes).collect()
}

/// A file of 6 MB, for handlers that send from one.
fn large_file() -> File {
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&large_bytes()).unwrap();
        file
    });
    file.try_clone().unwrap()
}

/// What the handler saw, and the strings that tests pull.
pub struct Probe {
    pub seen: Mutex<Vec<String>>,
    pub settled: Mutex<Sender<u64>>,
    pub hold: Mutex<Receiver<()>>,
}

impl Handler for Probe {
    fn room(&self, head: &Head) -> Room {
        if head.path.starts_with("/t/") {
            Room::Download
        } else if head.path.starts_with("/p/") {
            Room::Password
        } else if head.path.starts_with("/c/") {
            Room::Change
        } else if head.path.starts_with("/u/") {
            Room::Upload
        } else {
            Room::Control
        }
    }

    fn handle(&self, request: Request<'_>) -> Response {
        let Request { head, body } = request;
        self.seen.lock().unwrap().push(head.path.clone());
        let number = || -> u64 { head.query.as_deref().unwrap().parse().unwrap() };
        let path = ["/t/", "/p/", "/c/", "/u/"]
            .into_iter()
            .find_map(|room| head.path.strip_prefix(room));
        match path.unwrap_or(&head.path[1..]) {
            how @ ("read" | "halt") => {
                let mut sum = 0;
                let mut buffer = [0; 4096];
                if how == "halt" {
                    sum += body.read(&mut buffer).unwrap();
                    self.seen.lock().unwrap().push("halted".to_owned());
                    let _ = self.hold.lock().unwrap().recv();
                }
                loop {
                    match body.read(&mut buffer) {
                        Ok(0) => break text(200, format!("read {sum}")),
                        Ok(count) => sum += count,
                        Err(error) => {
                            let kind = error.kind();
                            assert_eq!(body.read(&mut buffer).unwrap_err().kind(), kind);
                            let status = if kind == ErrorKind::TimedOut {
                                408
                            } else {
                                400
                            };
                            self.seen
                                .lock()
                                .unwrap()
                                .push(format!("{kind:?} after {sum}"));
                            break text(status, format!("{kind:?} after {sum}"));
                        }
                    }
                }
            }
            "refuse" => text(401, "who are you?"),
            "length" => text(413, format!("{:?}", body.length())),
            "peer" => text(200, head.peer.to_string()),
            "field" => text(
                200,
                String::from_utf8_lossy(head.headers.all("X-Test").next().unwrap_or(b"none"))
                    .into_owned(),
            ),
            "internal" => text(
                200,
                format!("{}", head.headers.all("X-Mayfly-Exchange").count()),
            ),
            "split" => text(200, "x").with("X-Name", "a\r\nSet-Cookie: pwned=1"),
            "empty" => Response::new(u16::try_from(number()).unwrap()),
            "bytes" => text(200, "b".repeat(usize::try_from(number()).unwrap())),
            "stream" => stream(Some(number()), number()),
            "open" => stream(None, number()),
            "short" => stream(Some(1000), 500),
            "long" => stream(Some(500), 1000),
            "broken" => Response::new(200).stream(Stream {
                length: None,
                send: Box::new(|sink| {
                    sink.write_all(&[b's'; 20_000])?;
                    Err(io::Error::other("on purpose"))
                }),
            }),
            "file" => {
                let length = number();
                let file = large_file();
                Response::new(200).stream(Stream {
                    length: Some(length),
                    send: Box::new(move |sink| sink.send_file(&file, 100, length)),
                })
            }
            "openfile" => {
                let length = number();
                let file = large_file();
                Response::new(200).stream(Stream {
                    length: None,
                    send: Box::new(move |sink| {
                        sink.write_all(b"begin")?;
                        sink.send_file(&file, 100, length)?;
                        sink.write_all(b"end")
                    }),
                })
            }
            "shortfile" => {
                let file = File::open("/dev/null").unwrap();
                Response::new(200).stream(Stream {
                    length: Some(10),
                    send: Box::new(move |sink| sink.send_file(&file, 0, 10)),
                })
            }
            "settle" | "opensettle" => {
                let length = number();
                let settled = self.settled.lock().unwrap().clone();
                Response::new(200).stream(Stream {
                    length: (!head.path.contains("open")).then_some(length),
                    send: Box::new(move |sink| {
                        let mut result = Ok(());
                        let mut left = length;
                        while left > 0 && result.is_ok() {
                            let size = left.min(9_999);
                            result = sink.write_all(&vec![b's'; usize::try_from(size).unwrap()]);
                            left -= size;
                        }
                        settled.send(sink.settle()).unwrap();
                        result
                    }),
                })
            }
            "panic" => panic!("on purpose"),
            "panicstream" => Response::new(200).stream(Stream {
                length: None,
                send: Box::new(|_| panic!("on purpose")),
            }),
            "hold" => {
                let _ = self.hold.lock().unwrap().recv();
                text(200, "held")
            }
            _ => text(200, "hello"),
        }
    }
}

fn text(status: u16, text: impl Into<String>) -> Response {
    Response::new(status).body("text/plain", text.into())
}

fn stream(length: Option<u64>, actual: u64) -> Response {
    Response::new(200).stream(Stream {
        length,
        send: Box::new(move |sink| {
            let mut left = actual;
            while left > 0 {
                let size = left.min(777);
                sink.write_all(&vec![b's'; usize::try_from(size).unwrap()])?;
                left -= size;
            }
            Ok(())
        }),
    })
}

/// A running server and what it saw.
pub struct Rig {
    pub server: Server,
    pub probe: Arc<Probe>,
    pub settled: Receiver<u64>,
    pub release: Sender<()>,
    /// Why the server stopped accepting by itself.
    pub lost: Receiver<String>,
}

/// Limits with which nothing runs into a deadline by accident.
pub fn patient() -> Limits {
    Limits::default()
}

pub fn rig(limits: Limits) -> Rig {
    rig_behind(limits, Vec::new())
}

pub fn rig_behind(limits: Limits, trusted: Vec<(IpAddr, u8)>) -> Rig {
    rig_on(TcpListener::bind("127.0.0.1:0").unwrap(), limits, trusted)
}

pub fn rig_on(listener: TcpListener, limits: Limits, trusted: Vec<(IpAddr, u8)>) -> Rig {
    let (settle, settled) = channel();
    let (release, hold) = channel();
    let probe = Arc::new(Probe {
        seen: Mutex::default(),
        settled: Mutex::new(settle),
        hold: Mutex::new(hold),
    });
    let handler: Arc<dyn Handler> = Arc::clone(&probe) as Arc<dyn Handler>;
    let (tell, lost) = channel();
    let on_loss = move |cause: &str| tell.send(cause.to_owned()).unwrap();
    let server = Server::start(listener, handler, limits, trusted, Arc::new(on_loss)).unwrap();
    Rig {
        server,
        probe,
        settled,
        release,
        lost,
    }
}

impl Rig {
    pub fn client(&self) -> Client {
        Client::connect(self.server.address)
    }

    pub fn seen(&self) -> Vec<String> {
        self.probe.seen.lock().unwrap().clone()
    }

    /// Sends `bytes` on a connection of their own and reads one answer.
    pub fn ask(&self, bytes: &str) -> Reply {
        let mut client = self.client();
        client.send(bytes.as_bytes());
        client.reply()
    }

    /// Asks until the handler saw `what`.
    pub fn wait_for(&self, what: &str) {
        for _ in 0..2000 {
            if self.seen().iter().any(|s| s == what) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{what} was never seen, only {:?}", self.seen());
    }

    /// A fresh client gets an answer at once.
    pub fn assert_answers(&self) {
        let begun = std::time::Instant::now();
        assert_eq!(self.ask(&get("/")).status, 200);
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub struct Client {
    pub stream: BufReader<TcpStream>,
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub complete: bool,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    pub fn of(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Whether something has arrived that was not read.
    pub fn has_reply(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).unwrap();
        let arrived = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).unwrap();
        arrived
    }

    /// Sends what the server is willing to take.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }

    pub fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    /// Reads the answer to a request of that method.
    pub fn reply_to(&mut self, method: &str) -> Reply {
        self.try_reply_to(method).expect("an answer")
    }

    /// `None` when the connection ends instead.
    pub fn try_reply_to(&mut self, method: &str) -> Option<Reply> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            other => other.unwrap(),
        };
        assert!(line.starts_with("HTTP/1.1 "), "{line:?}");
        let status: u16 = line[9..12].parse().unwrap();
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let line = line.strip_suffix("\r\n").unwrap();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap();
            fields.push((name.to_owned(), value.to_owned()));
        }
        let mut reply = Reply {
            status,
            fields,
            body: Vec::new(),
            complete: true,
        };
        if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
            return Some(reply);
        }
        if reply.field("Transfer-Encoding") == Some("chunked") {
            reply.complete = self.chunks(&mut reply.body).is_ok();
        } else if let Some(length) = reply.field("Content-Length") {
            let length: u64 = length.parse().unwrap();
            let result = (&mut self.stream).take(length).read_to_end(&mut reply.body);
            reply.complete = result.is_ok() && reply.body.len() as u64 == length;
        } else {
            reply.complete = self.stream.read_to_end(&mut reply.body).is_ok();
        }
        Some(reply)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = line.strip_suffix("\r\n").ok_or(ErrorKind::UnexpectedEof)?;
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let at = body.len();
            body.resize(at + size, 0);
            self.stream.read_exact(&mut body[at..])?;
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
            if &end != b"\r\n" {
                return Err(ErrorKind::InvalidData.into());
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the server ends the connection without another byte.
    pub fn is_ended(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Leaves with a reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(self.stream.get_ref(), Some(Duration::ZERO))
            .unwrap();
    }
}

/// Waits until `holds`, for at most 20 seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}");
}
