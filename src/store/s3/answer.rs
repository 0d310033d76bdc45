//! Answers: whole ones, and those whose body is read as it comes. A body that ends early is an error.

use super::error::{Kind, S3Error};
use std::fmt;
use std::io::{self, Read};
use ureq::http::HeaderMap;

/// An answer with all of its body.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status: 200 to 299.
    pub status: u16,
    /// The entity tag, with its quotes.
    pub etag: Option<String>,
    /// `Content-Length`, also of an answer to `HEAD`: bytes.
    pub length: Option<u64>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header by its name in lower case, if it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

/// `Content-Range`: RFC 9110, section 14.4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub end: u64,
    /// Length of the whole object, where it is said.
    pub total: Option<u64>,
}

impl Range {
    fn parse(value: &str) -> Option<Self> {
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        let (start, end) = (number(start)?, number(end)?);
        (start <= end && total.is_none_or(|total| end < total)).then_some(Self {
            start,
            end,
            total,
        })
    }
}

/// An answer whose body is still to come.
pub struct Streaming {
    /// The HTTP status: 200 to 299.
    pub status: u16,
    /// The entity tag, with its quotes.
    pub etag: Option<String>,
    /// `Content-Length`: bytes of the body.
    pub length: Option<u64>,
    /// Which part of the object it is.
    pub range: Option<Range>,
    pub(super) headers: HeaderMap,
    pub(super) body: Box<dyn Read + Send>,
    pub(super) left: Option<u64>,
}

impl Streaming {
    pub(super) fn new(status: u16, headers: HeaderMap, body: Box<dyn Read + Send>) -> Self {
        let length = length(&headers);
        Self {
            status,
            etag: text(&headers, "etag").map(str::to_owned),
            length,
            range: text(&headers, "content-range").and_then(Range::parse),
            headers,
            body,
            left: length,
        }
    }

    /// A header by its name in lower case, if it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }
}

impl Read for Streaming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.left == Some(0) {
            return Ok(0);
        }
        let read = self.body.read(buffer)?;
        let Some(left) = self.left.as_mut() else {
            return Ok(read);
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *left = left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        if *left == 0 {
            // The connection goes back to the pool when its reader has seen the end.
            let more = self.body.read(&mut [0])?;
            if more != 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(read)
    }
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming")
            .field("status", &self.status)
            .field("length", &self.length)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `Content-Length`.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    number(text(headers, "content-length")?)
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// All of a body of at most `limit` bytes.
pub(super) fn whole(mut body: impl Read, limit: usize) -> Result<Vec<u8>, S3Error> {
    let mut bytes = Vec::new();
    let most = (limit as u64).saturating_add(1);
    body.by_ref()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| super::client::failed(e.into()))?;
    if bytes.len() > limit {
        return Err(S3Error::new(
            Kind::Broken,
            "the answer is longer than any that was expected",
        ));
    }
    Ok(bytes)
}
