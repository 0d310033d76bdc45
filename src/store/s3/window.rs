//! One range request that is open, and whether its answer is the one that was asked for.

use super::answer::Streaming;
use super::client::Client;
use super::error::{Kind, S3Error};
use super::request::{Method, Request};
use std::io::{self, Read};

/// Bytes that are fetched to open an object, and kept: a header, or all of a small text.
const HEAD: u64 = 1024;

/// What is known of an object since it was opened.
pub(super) struct Object {
    pub(super) key: String,
    pub(super) etag: Option<String>,
    /// In bytes.
    pub(super) size: u64,
    /// The first bytes.
    pub(super) head: Vec<u8>,
}

impl Object {
    /// Gets the first bytes of the object of that name.
    pub(super) fn open(client: &Client, key: String) -> Result<Self, S3Error> {
        let asked = client.fetch(&Request {
            method: Method::Get,
            key: &key,
            query: &[],
            headers: &[("range", &format!("bytes=0-{}", HEAD - 1))],
        });
        let mut body = match asked {
            // There is no range in an empty object: RFC 9110, section 15.5.17.
            Err(error) if error.status() == Some(416) => return Self::open_empty(client, key),
            asked => asked?,
        };
        let total = match body.range {
            Some(range) => range.total,
            // All of it, if that is no more.
            None => body.length.filter(|length| *length <= HEAD),
        };
        let size = total.ok_or_else(|| broken("the answer does not say how long the object is"))?;
        let length = size.min(HEAD);
        check(&body, 0, length, size)?;
        let mut head = Vec::new();
        let read = body.by_ref().take(length).read_to_end(&mut head);
        read.map_err(cut)?;
        if head.len() as u64 != length {
            return Err(broken("the answer is shorter than it said"));
        }
        finish(&mut body);
        Ok(Self {
            key,
            etag: body.etag.take(),
            size,
            head,
        })
    }

    fn open_empty(client: &Client, key: String) -> Result<Self, S3Error> {
        let request = Request {
            method: Method::Head,
            key: &key,
            query: &[],
            headers: &[],
        };
        let answer = client.call(&request, &[], 0)?;
        if answer.length != Some(0) {
            return Err(broken(
                "the server gives no range of an object that is not empty",
            ));
        }
        Ok(Self {
            key,
            etag: answer.etag,
            size: 0,
            head: Vec::new(),
        })
    }

    /// Asks for the `length` bytes from `at`, which the object has.
    pub(super) fn window(&self, client: &Client, at: u64, length: u64) -> Result<Window, S3Error> {
        let end = at + length;
        let range = format!("bytes={at}-{}", end - 1);
        let mut headers = vec![("range", range.as_str())];
        if let Some(etag) = &self.etag {
            headers.push(("if-match", etag));
        }
        let body = client.fetch(&Request {
            method: Method::Get,
            key: &self.key,
            query: &[],
            headers: &headers,
        })?;
        check(&body, at, length, self.size)?;
        if let (Some(etag), Some(now)) = (&self.etag, &body.etag)
            && etag != now
        {
            let what = "the object is not the one that was opened";
            return Err(S3Error::new(Kind::Precondition, what));
        }
        Ok(Window { body, at, end })
    }
}

/// An open request, and which byte comes next.
pub(super) struct Window {
    body: Streaming,
    pub(super) at: u64,
    end: u64,
}

impl Window {
    /// Reads up to `wanted` bytes. Returns what came, and how it went: the window itself while there is
    /// more in it.
    pub(super) fn read(mut self, wanted: usize) -> (Vec<u8>, Result<Option<Self>, S3Error>) {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let mut bytes = vec![0; wanted.min(left)];
        let mut done = 0;
        while done < bytes.len() {
            let failed = match self.body.read(&mut bytes[done..]) {
                Ok(0) => broken("the answer is shorter than it said"),
                Ok(read) => {
                    done += read;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => cut(error),
            };
            bytes.truncate(done);
            return (bytes, Err(failed));
        }
        self.at += done as u64;
        if self.at < self.end {
            return (bytes, Ok(Some(self)));
        }
        finish(&mut self.body);
        (bytes, Ok(None))
    }
}

/// Whether the answer is the part of the object that was asked for. A server may answer with all of
/// it when that is the same: RFC 9110, section 14.2.
fn check(body: &Streaming, at: u64, length: u64, size: u64) -> Result<(), S3Error> {
    let fits = match body.range {
        Some(range) => {
            body.status == 206
                && range.start == at
                && length.checked_sub(1) == Some(range.end - range.start)
                && range.total.is_none_or(|total| total == size)
                && body.length.is_none_or(|said| said == length)
        }
        None => body.status == 200 && length == size && body.length == Some(size),
    };
    fits.then_some(())
        .ok_or_else(|| broken("the server answers with another part than asked for"))
}

/// Reads to the end of an answer whose bytes are all there, so that its connection can be used
/// again. One that has no end there is closed, which is all that it costs.
fn finish(body: &mut Streaming) {
    let _ = body.read(&mut [0]);
}

pub(super) fn broken(what: &str) -> S3Error {
    S3Error::new(Kind::Broken, what)
}

/// An answer that ended before its end.
fn cut(error: io::Error) -> S3Error {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Kind::TimedOut,
        _ => Kind::Broken,
    };
    S3Error::new(kind, format!("the answer was cut off: {error}")).with_source(error)
}
