//! A raw HTTP/1.1 client: says exactly what it is told, and can be slow, rude or gone.

use rustix::net::sockopt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// No test waits longer than this for a single read or write.
const PATIENCE: Duration = Duration::from_secs(60);

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn field(&self, name: &str) -> Option<&str> {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields.iter().find(same).map(|(_, v)| v.as_str())
    }

    /// `name=value` of the first cookie whose name starts with `prefix`.
    pub fn cookie(&self) -> Option<String> {
        let value = self.field("set-cookie")?;
        Some(value.split(';').next().unwrap_or(value).to_owned())
    }

    pub fn length(&self) -> Option<u64> {
        self.field("content-length")?.parse().ok()
    }

    fn chunked(&self) -> bool {
        self.field("transfer-encoding")
            .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub head: Head,
    pub body: Vec<u8>,
    /// Whether the body came to its end; false when the connection was cut first.
    pub whole: bool,
}

impl Reply {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {} {}", self.status(), self.text()))
    }
}

/// One connection.
pub struct Conn {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

impl Conn {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        Self::on(stream)
    }

    fn on(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            ahead: Vec::new(),
        })
    }

    /// As [`Conn::open`], with a receive buffer of about `bytes`: backpressure comes early.
    pub fn open_narrow(address: SocketAddr, bytes: usize) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => rustix::net::AddressFamily::INET,
            SocketAddr::V6(_) => rustix::net::AddressFamily::INET6,
        };
        let socket = stream_socket(family)?;
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        rustix::net::connect(&socket, &address)?;
        Self::on(TcpStream::from(socket))
    }

    /// As [`Conn::open`], from another address of this machine.
    pub fn open_from(local: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = stream_socket(rustix::net::AddressFamily::INET)?;
        rustix::net::bind(&socket, &SocketAddr::from((local, 0)))?;
        rustix::net::connect(&socket, &address)?;
        Self::on(TcpStream::from(socket))
    }

    pub fn patience(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        self.stream.set_write_timeout(Some(limit)).unwrap();
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Asks for `target` with the given lines of head (without line ends).
    pub fn ask(&mut self, method: &str, target: &str, lines: &[&str]) -> io::Result<()> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        self.send(head)
    }

    /// Reads some bytes; what was read ahead comes first. 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return read_on(&mut self.stream, buffer);
        }
        let n = self.ahead.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.ahead[..n]);
        self.ahead.drain(..n);
        Ok(n)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut piece = [0; 4096];
        loop {
            if let Some(end) = self.ahead.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let n = read_on(&mut self.stream, &mut piece)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.ahead.extend_from_slice(&piece[..n]);
        }
    }

    /// Reads the head of the next answer; `100 Continue` is passed over.
    pub fn head(&mut self) -> io::Result<Head> {
        loop {
            let start = self.line()?;
            let status = start.split(' ').nth(1).and_then(|s| s.parse().ok());
            let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {start:?}")))?;
            let mut fields = Vec::new();
            loop {
                let line = self.line()?;
                let Some((name, value)) = line.split_once(':') else {
                    break;
                };
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
            if status != 100 {
                return Ok(Head { status, fields });
            }
        }
    }

    /// Reads the body that belongs to `head` in pieces; true when it came to its end.
    pub fn body(&mut self, head: &Head, mut piece: impl FnMut(&[u8])) -> bool {
        if matches!(head.status, 204 | 304) {
            return true;
        }
        if head.chunked() {
            loop {
                let Ok(size) = self.line() else { return false };
                let Ok(size) = u64::from_str_radix(&size, 16) else {
                    return false;
                };
                if !self.exactly(size, &mut piece) || self.line().is_err() {
                    return false;
                }
                if size == 0 {
                    return true;
                }
            }
        }
        match head.length() {
            Some(length) => self.exactly(length, &mut piece),
            None => self.until_closed(&mut piece),
        }
    }

    fn exactly(&mut self, mut left: u64, piece: &mut impl FnMut(&[u8])) -> bool {
        let mut buffer = vec![0; 256 * 1024];
        while left > 0 {
            let most = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            match self.read(&mut buffer[..most]) {
                Ok(0) | Err(_) => return false,
                Ok(n) => {
                    piece(&buffer[..n]);
                    left -= n as u64;
                }
            }
        }
        true
    }

    fn until_closed(&mut self, piece: &mut impl FnMut(&[u8])) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return true,
                Ok(n) => piece(&buffer[..n]),
                Err(_) => return false,
            }
        }
    }

    /// Reads a whole answer.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let head = self.head()?;
        let mut body = Vec::new();
        let whole = self.body(&head, |piece| body.extend_from_slice(piece));
        Ok(Reply { head, body, whole })
    }

    /// Whether the server has closed the connection (waits for it up to `limit`).
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.patience(limit);
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => {
                    return !matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }
}

/// An address of this machine that no other client has used: limits on failures count for each
/// address.
pub fn stranger() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + n)
}

/// Reads some bytes. A process that was stopped for a moment and goes on is told of an interruption,
/// as its socket has a timeout (signal(7)): that is no answer.
fn read_on(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// Ends a connection with RST instead of FIN.
pub fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// One request on its own connection.
pub fn fetch(address: SocketAddr, method: &str, target: &str, lines: &[&str]) -> io::Result<Reply> {
    let mut conn = Conn::open(address)?;
    conn.ask(method, target, lines)?;
    if method == "HEAD" {
        let head = conn.head()?;
        return Ok(Reply {
            head,
            body: Vec::new(),
            whole: true,
        });
    }
    conn.reply()
}

/// A GET that has to be answered.
pub fn get(address: SocketAddr, target: &str, lines: &[&str]) -> Reply {
    fetch(address, "GET", target, lines).unwrap_or_else(|e| panic!("GET {target}: {e}"))
}

/// A socket that ends when it is dropped: a server that another test starts meanwhile does not inherit it.
fn stream_socket(family: rustix::net::AddressFamily) -> io::Result<OwnedFd> {
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let kind = rustix::net::SocketType::STREAM;
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}
