//! A request, as a handler sees it: the head as validated by the gate, and the body as a stream.

use std::io::Read;
use std::net::IpAddr;

/// The methods that pass the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(
    missing_docs,
    reason = "RFC 9110 section 9.3 and RFC 5789 say what they are"
)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// The head of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path, still percent-encoded, starting with `/`. Visible ASCII only.
    pub path: String,
    /// What follows the first `?`, still percent-encoded.
    pub query: Option<String>,
    /// Whether the client speaks HTTP/1.1 (else 1.0).
    pub http11: bool,
    /// The header fields, without those that concern the connection only.
    pub headers: Headers,
    /// The client's address, after the trusted-proxy rules.
    pub peer: IpAddr,
}

/// Header fields in the order they came. Names compare without case; values are bytes without
/// control characters (a client may send UTF-8).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// The first field of that name, when it is UTF-8.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name)
            .next()
            .and_then(|v| std::str::from_utf8(v).ok())
    }

    /// Every field of that name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_slice())
    }
}

/// How the client framed the body (RFC 9112 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// No body.
    None,
    /// Exactly this many bytes.
    Exact(u64),
    /// Until the last chunk.
    Chunked,
}

/// The body of a request, read straight from the client.
///
/// Reading it answers `Expect: 100-continue` first. A connection cut short is `UnexpectedEof`, a
/// client slower than the limits is `TimedOut`, a broken framing is `InvalidData`: an end of file
/// always means that the whole body was read. A body that is not read to its end costs the client
/// its connection, never memory or a worker.
pub trait Body: Read {
    /// How the client framed it.
    fn length(&self) -> BodyLength;
}

/// One request.
pub struct Request<'a> {
    /// Its head.
    pub head: &'a Head,
    /// Its body.
    pub body: &'a mut dyn Body,
}
