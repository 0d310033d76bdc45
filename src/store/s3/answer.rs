//! Answers: whole ones, and those whose body is read as it comes. A body that ends early is an error.

use super::error::{Kind, S3Error};
use super::failure;
use std::fmt;
use std::io::{self, Read};
use ureq::http::HeaderMap;
use ureq::{Body, BodyReader};

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
    headers: HeaderMap,
    body: Box<dyn Read + Send>,
    left: Option<u64>,
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
        let mut next = |buffer: &mut [u8]| self.body.read(buffer).map_err(failure::of_body);
        let read = next(buffer)?;
        let Some(left) = self.left.as_mut() else {
            return Ok(read);
        };
        let longer = || S3Error::new(Kind::Broken, "the answer is longer than it said");
        if read == 0 {
            return Err(S3Error::new(Kind::Broken, "the answer is shorter than it said").into());
        }
        *left = left.checked_sub(read as u64).ok_or_else(longer)?;
        // The connection goes back to the pool when its reader has seen the end.
        if *left == 0 && next(&mut [0])? != 0 {
            return Err(longer().into());
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

/// A body without the limit that is usual for texts.
pub(super) fn reader(body: Body) -> BodyReader<'static> {
    body.into_with_config().limit(u64::MAX).reader()
}
