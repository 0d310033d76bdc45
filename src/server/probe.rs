//! The question that the server asks itself: does somebody who connects get an answer?
//!
//! It goes the way of every client: a TCP connection to the listener, the gate, tiny_http, a
//! worker, and back. Only limits on connections do not count for it, because being full is not
//! being stuck.

use crate::gate::OwnConnection;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, socket_with,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest answer that is read, in bytes: more than any that is expected.
const ANSWER: usize = 4096;

/// Asks the server through its own listener.
pub struct SelfProbe {
    targets: Vec<SocketAddr>,
    path: &'static str,
    own: Arc<OwnConnection>,
}

impl SelfProbe {
    pub(super) fn new(listener: SocketAddr, path: &'static str, own: Arc<OwnConnection>) -> Self {
        Self {
            targets: targets(listener),
            path,
            own,
        }
    }

    /// Asks once. Takes `limit` at most.
    ///
    /// # Errors
    /// In words: that there was no connection, no answer in time, or another answer than 200.
    pub fn ask(&self, limit: Duration) -> Result<(), String> {
        // To each its share: one that swallows everything must not keep the next from being asked.
        let share = limit / u32::try_from(self.targets.len()).unwrap_or(1).max(1);
        let mut problem = String::new();
        for target in &self.targets {
            let asked = self.exchange(*target, Instant::now() + share);
            self.own.set(None);
            match asked {
                Ok(status) if status == "200" => return Ok(()),
                Ok(status) => problem = format!("it answered with status {status}"),
                Err(e) => problem = format!("{target}: {e}"),
            }
        }
        Err(problem)
    }

    /// The status of the answer.
    fn exchange(&self, target: SocketAddr, deadline: Instant) -> io::Result<String> {
        let family = match target {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let mut from = target;
        from.set_port(0);
        self.own.set(known_in_advance(&socket, from)?);
        let mut stream = TcpStream::from(socket);
        // It bounds the connecting, too (socket(7), SO_SNDTIMEO).
        stream.set_write_timeout(Some(left(deadline)?))?;
        connect(&stream, &target)?;
        let path = self.path;
        let question =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(question.as_bytes())?;
        let mut answer = [0; ANSWER];
        let mut length = 0;
        // To the end of the connection: it is the server that ends it, as it was asked to.
        while length < answer.len() {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut answer[length..]) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(late()),
                Err(e) => return Err(e),
            }
        }
        let text = String::from_utf8_lossy(&answer[..length]);
        match text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
        {
            Some(status) => Ok(status.to_owned()),
            None => Err(io::Error::new(ErrorKind::InvalidData, "this is no answer")),
        }
    }
}

/// Where somebody on this machine reaches the listener. One for every address of a machine is
/// reached at its loopback: by IPv6, or by IPv4 where the machine has no IPv6.
fn targets(listener: SocketAddr) -> Vec<SocketAddr> {
    let port = listener.port();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    match listener.ip() {
        ip if !ip.is_unspecified() => vec![listener],
        IpAddr::V4(_) => vec![v4],
        IpAddr::V6(_) => vec![v6, v4],
    }
}

/// Binds the socket, and tells where it comes from. `None` when every port is in use, if only by
/// connections that have just ended: a connection can be had all the same, and counts like a
/// client's.
fn known_in_advance(socket: &OwnedFd, from: SocketAddr) -> io::Result<Option<SocketAddr>> {
    match bind(socket, &from) {
        Ok(()) => Ok(Some(SocketAddr::try_from(getsockname(socket)?)?)),
        Err(Errno::ADDRINUSE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(late())
    } else {
        Ok(left)
    }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_listener_for_all_addresses_is_asked_at_home() {
        assert_eq!(targets(address("0.0.0.0:80")), [address("127.0.0.1:80")]);
        assert_eq!(
            targets(address("[::]:80")),
            [address("[::1]:80"), address("127.0.0.1:80")]
        );
        assert_eq!(targets(address("192.0.2.1:80")), [address("192.0.2.1:80")]);
    }

    #[test]
    fn a_lack_of_ports_is_no_lack_of_a_connection() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap();
        let socket = || {
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
        };
        let unbound = socket();
        assert_eq!(known_in_advance(&unbound, taken).unwrap(), None);
        connect(&unbound, &taken).unwrap();
        let free = known_in_advance(&socket(), address("127.0.0.1:0")).unwrap();
        assert!(free.is_some_and(|from| from.port() != 0));
        assert!(known_in_advance(&socket(), address("192.0.2.1:0")).is_err());
    }

    #[test]
    fn one_target_that_is_silent_does_not_keep_the_next_from_being_asked() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let talks = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let probe = SelfProbe {
            targets: [&silent, &talks].map(|l| l.local_addr().unwrap()).to_vec(),
            path: "/health",
            own: Arc::default(),
        };
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = talks.accept().unwrap();
            let mut question = [0; 1024];
            assert!(stream.read(&mut question).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        });
        assert_eq!(probe.ask(Duration::from_secs(2)), Ok(()));
        answers.join().unwrap();
    }

    #[test]
    fn a_listener_that_nobody_accepts_from_is_silent_within_the_limit() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = Arc::new(OwnConnection::default());
        let probe = SelfProbe::new(listener.local_addr().unwrap(), "/health", own);
        let began = Instant::now();
        let problem = probe.ask(Duration::from_millis(100)).unwrap_err();
        assert!(problem.contains("no answer in time"), "{problem}");
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(listener);
        let problem = probe.ask(Duration::from_millis(100)).unwrap_err();
        assert!(problem.contains("refused"), "{problem}");
    }
}
