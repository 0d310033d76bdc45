//! A response: small ones as bytes, large ones as something that writes itself to the client.

use std::fs::File;
use std::io;

/// What a handler answers.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields, without those that the server itself sets: `Content-Length`,
    /// `Transfer-Encoding`, `Connection`, `Date`. Use [`Response::with`] to add.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub payload: Payload,
}

/// The body of a response.
pub enum Payload {
    /// Small and whole.
    Bytes(Vec<u8>),
    /// Written by the handler's code, straight to the client.
    Stream(Stream),
}

/// A body that writes itself. Not run for HEAD.
pub struct Stream {
    /// Its length, if known; otherwise it is sent in chunks (HTTP/1.0: until the connection ends).
    pub length: Option<u64>,
    /// Writes it. An error, or fewer bytes than `length`, ends the connection, so that the client
    /// never takes a part for the whole.
    #[allow(clippy::type_complexity, reason = "a name would hide what it takes")]
    pub send: Box<dyn FnOnce(&mut dyn Sink) -> io::Result<()> + Send>,
}

/// The client's socket, as far as a body may use it.
pub trait Sink {
    /// Writes all of `bytes`. `TimedOut` when the client takes nothing for too long.
    ///
    /// # Errors
    /// What the socket reports.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Sends `length` bytes of `file` from `offset`, without passing them through this process.
    ///
    /// # Errors
    /// As [`Sink::write_all`]; `UnexpectedEof` when the file is shorter.
    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()>;
    /// Waits until the client's TCP has acknowledged every byte written so far, or the connection
    /// broke, or nothing moved for too long. Returns how many bytes of this body it has
    /// acknowledged (never more than it has received). Callable after an error, too.
    fn settle(&mut self) -> u64;
    /// Waits until the client takes bytes again, for bodies that would otherwise fill memory for a
    /// client that stands still.
    ///
    /// # Errors
    /// `TimedOut` when it takes nothing for too long, or what the socket reports.
    fn ready(&mut self) -> io::Result<()>;
}

impl Response {
    /// An answer without fields and body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Bytes(Vec::new()),
        }
    }

    /// Adds a field. A value with control or non-ASCII characters would let a client write the
    /// answer's head: such characters are replaced by `?`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            value = value
                .chars()
                .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
                .collect();
        }
        self.headers.push((name, value));
        self
    }

    /// Sets a whole body and its type.
    #[must_use]
    pub fn body(self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let mut response = self.with("Content-Type", content_type);
        response.payload = Payload::Bytes(bytes.into());
        response
    }

    /// Sets a body that writes itself. Its type is added by [`Response::with`].
    #[must_use]
    pub fn stream(mut self, stream: Stream) -> Self {
        self.payload = Payload::Stream(stream);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_split_the_head() {
        let response = Response::new(200).with("X-Name", "a\r\nSet-Cookie: pwned=1\u{7f}ü");
        assert_eq!(
            response.headers,
            [("X-Name", "a??Set-Cookie: pwned=1??".to_owned())]
        );
    }
}
