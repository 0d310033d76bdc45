//! The fixed set of connections to the backend, and the way of small answers back.
//!
//! Each backend connection carries one request at a time. They are opened one after another, each
//! proven by a round trip before the next: tiny_http gives a connection a thread only when it
//! finds none waiting, and connections that come in a burst can be left without one. Nothing is
//! opened while requests are served, so a lack of descriptors or threads cannot end it.

use super::answer::{Framed, is_bodyless, reason};
use smol::Async;
use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest body that the gate sends for a worker, in bytes.
pub(crate) const SMALL: usize = 16 * 1024;
/// The longest answer of the backend.
const ANSWER: usize = 4 * SMALL;
/// The most fields of an answer.
const FIELDS: usize = 96;
/// The longest wait for the proof that a connection works.
const PROOF: Duration = Duration::from_secs(5);

/// The connections that wait for a request.
pub(super) struct Relay {
    path: PathBuf,
    idle: Receiver<Async<UnixStream>>,
    give_back: Sender<Async<UnixStream>>,
    broken: Receiver<()>,
    report: Sender<()>,
}

/// A backend connection taken for one request. Dropped before its answer is complete, it is
/// replaced by a new one.
pub(super) struct Backend<'a> {
    relay: &'a Relay,
    stream: Option<Async<UnixStream>>,
}

impl Relay {
    /// Opens `count` connections to the socket at `path`.
    pub(super) async fn open(path: &Path, count: usize) -> io::Result<Self> {
        let (give_back, idle) = bounded(count.max(1));
        let (report, broken) = unbounded();
        let relay = Self {
            path: path.to_owned(),
            idle,
            give_back,
            broken,
            report,
        };
        for _ in 0..count {
            let stream = relay.connect().await?;
            // There is room: no more connections exist than the channel holds.
            let _ = relay.give_back.try_send(stream);
        }
        Ok(relay)
    }

    /// Waits for a free connection.
    pub(super) async fn take(&self) -> io::Result<Backend<'_>> {
        let stream = self.idle.recv().await.map_err(io::Error::other)?;
        Ok(Backend {
            relay: self,
            stream: Some(stream),
        })
    }

    /// Waits until a connection broke, then opens one in its place.
    ///
    /// # Errors
    /// What the attempt failed of; the place stays empty then, and [`Relay::report`] tries again.
    pub(super) async fn repair(&self) -> io::Result<()> {
        self.broken.recv().await.map_err(io::Error::other)?;
        match self.connect().await {
            Ok(stream) => {
                let _ = self.give_back.try_send(stream);
                Ok(())
            }
            Err(error) => {
                let _ = self.report.try_send(());
                Err(error)
            }
        }
    }

    /// Opens a connection and proves that the backend serves it. A request that names no exchange
    /// is answered 400, and that is the proof.
    async fn connect(&self) -> io::Result<Async<UnixStream>> {
        let proven = async {
            let mut stream = Async::<UnixStream>::connect(&self.path).await?;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
            let answer = receive(&mut stream, false).await?;
            match answer.status {
                400 => Ok(stream),
                _ => Err(ErrorKind::InvalidData.into()),
            }
        };
        smol::future::or(proven, async {
            smol::Timer::after(PROOF).await;
            Err(ErrorKind::TimedOut.into())
        })
        .await
    }
}

impl Backend<'_> {
    /// Sends a request and receives its answer.
    pub(super) async fn ask(mut self, request: &[u8], head_only: bool) -> io::Result<Answer> {
        let Some(stream) = self.stream.as_mut() else {
            return Err(ErrorKind::NotConnected.into());
        };
        stream.write_all(request).await?;
        let answer = receive(stream, head_only).await?;
        if let Some(stream) = self.stream.take() {
            let _ = self.relay.give_back.try_send(stream);
        }
        Ok(answer)
    }
}

impl Drop for Backend<'_> {
    fn drop(&mut self) {
        if self.stream.take().is_some() {
            let _ = self.relay.report.try_send(());
        }
    }
}

/// An answer of the backend, whole.
pub(super) struct Answer {
    bytes: Vec<u8>,
    head: usize,
    status: u16,
}

/// Reads one answer to its end.
async fn receive(stream: &mut Async<UnixStream>, head_only: bool) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.len();
        bytes.resize((end * 2).clamp(1024, ANSWER), 0);
        let room = bytes.get_mut(end..).unwrap_or_default();
        if room.is_empty() {
            return Err(ErrorKind::InvalidData.into());
        }
        let count = stream.read(room).await?;
        bytes.truncate(end + count);
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some((head, status, length)) = measure(&bytes)? else {
            continue;
        };
        let body = if head_only || is_bodyless(status) {
            0
        } else {
            length
        };
        if bytes.len() - head > body {
            return Err(ErrorKind::InvalidData.into());
        }
        if bytes.len() - head == body {
            return Ok(Answer {
                bytes,
                head,
                status,
            });
        }
    }
}

/// Length of the head, status, and declared length of the body, once the head is complete.
fn measure(bytes: &[u8]) -> io::Result<Option<(usize, u16, usize)>> {
    let mut space = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut space);
    let invalid = || io::Error::from(ErrorKind::InvalidData);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(|_| invalid())? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|f| f.name.eq_ignore_ascii_case("Content-Length"))
        .and_then(|f| std::str::from_utf8(f.value).ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(invalid)?;
    Ok(Some((head, response.code.ok_or_else(invalid)?, length)))
}

impl Answer {
    /// The answer as the client gets it: without what the backend says of itself, and with our
    /// word on the connection. `length` replaces the backend's word on the length.
    pub(super) fn for_client(&self, close: bool, length: Option<Framed>) -> Vec<u8> {
        let mut space = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut space);
        // It parsed before; if it did not, there would be no fields.
        let _ = response.parse(&self.bytes);
        let mut out = Vec::with_capacity(self.bytes.len() + 64);
        let status = self.status;
        out.extend_from_slice(format!("HTTP/1.1 {status} {}\r\n", reason(status)).as_bytes());
        for field in response.headers.iter() {
            let dropped = field.name.eq_ignore_ascii_case("Server")
                || field.name.eq_ignore_ascii_case("Content-Length")
                    && (length.is_some() || is_bodyless(status));
            if !dropped {
                out.extend_from_slice(field.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value);
                out.extend_from_slice(b"\r\n");
            }
        }
        match length {
            Some(Framed::Length(length)) if !is_bodyless(status) => {
                out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
            }
            Some(Framed::Chunked) if !is_bodyless(status) => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            _ => {}
        }
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.bytes.get(self.head..).unwrap_or_default());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: &[u8]) -> Answer {
        let (head, status, _) = measure(bytes).unwrap().unwrap();
        Answer {
            bytes: bytes.to_vec(),
            head,
            status,
        }
    }

    #[test]
    fn what_the_backend_says_of_itself_stays_inside() {
        let answer =
            answer(b"HTTP/1.1 200 OK\r\nServer: x\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(
            answer.for_client(false, None),
            b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi"
        );
        assert_eq!(
            answer.for_client(true, Some(Framed::Length(1 << 40))),
            b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 1099511627776\r\nConnection: close\r\n\r\nhi"
        );
    }

    #[test]
    fn an_answer_without_a_body_declares_no_length() {
        let answer = answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(
            answer.for_client(false, None),
            b"HTTP/1.1 204 No Content\r\n\r\n"
        );
    }
}
