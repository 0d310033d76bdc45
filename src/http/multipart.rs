//! `multipart/form-data` (RFC 7578) as a stream: one fixed buffer, parts in any order, and never a
//! body that was cut short taken for a complete one.
//!
//! File data goes from the input straight into the buffer of the reader; only what lies on a
//! delimiter's edge is moved. The whole body is complete when [`Multipart::next_part`] has
//! returned `Ok(None)`, and not before: whoever stores a part publishes it after that.

mod part;

#[cfg(test)]
mod tests;

use super::parameters::Parameters;
use memchr::memmem::{self, Finder};
use std::fmt;
use std::io::{self, Read};

pub use part::Part;
use part::PartHead;

/// The buffer, unless much turns out to be behind the end of a part: every upload has one, also
/// those that stand still.
const BUFFER: usize = 16 * 1024;
/// The most that a single read takes from the input.
const WINDOW: usize = 128 * 1024;
/// Readers with at least this much room get the input's bytes without a copy.
const DIRECT: usize = 4 * 1024;
/// The header block of a part with the delimiter line's padding, in bytes.
const HEAD_LIMIT: usize = 8 * 1024;
/// Parts in one body.
const PART_LIMIT: u64 = 64;
/// Bytes before the first and after the last delimiter. Clients send none.
const AROUND_LIMIT: u64 = 64 * 1024;

/// Why a body was refused.
#[derive(Debug)]
pub enum MultipartError {
    /// The input failed; unchanged, so that a cut, a timeout and a limit stay apart.
    Input(io::Error),
    /// The request's Content-Type is not `multipart/form-data` with a valid boundary.
    ContentType,
    /// The input ended before the last delimiter.
    Unfinished,
    /// The body breaks the grammar.
    Malformed(&'static str),
    /// Something in the body is larger than it may be.
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it may be: bytes, or a count.
        limit: u64,
    },
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(e) => write!(f, "the body broke off: {e}"),
            Self::ContentType => write!(f, "no multipart/form-data with a valid boundary"),
            Self::Unfinished => write!(f, "the form ends before its last boundary"),
            Self::Malformed(what) => write!(f, "malformed form: {what}"),
            Self::TooLarge { what, limit } => write!(f, "{what}: more than {limit}"),
        }
    }
}

impl std::error::Error for MultipartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(e) => Some(e),
            _ => None,
        }
    }
}

impl From<MultipartError> for io::Error {
    /// The input's own error, or `InvalidData` around the reason.
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::Input(e) => e,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Where the parser stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Before the first delimiter.
    Preamble,
    /// In the data of a part.
    Part,
    /// After the last delimiter.
    Done,
    /// After an error that no later call may forget.
    Failed,
}

/// A body being read. The caller limits the body as a whole.
pub struct Multipart<'a> {
    input: &'a mut dyn Read,
    /// CRLF, two hyphens and the boundary.
    delimiter: Finder<'static>,
    buffer: Box<[u8]>,
    /// What is buffered: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// How many of the buffered bytes are known to be data.
    clear: usize,
    /// Whether a delimiter follows these.
    at_delimiter: bool,
    phase: Phase,
    parts: u64,
}

impl<'a> Multipart<'a> {
    /// Starts on a body. `content_type` is the value of the request's field of that name.
    ///
    /// # Errors
    /// [`MultipartError::ContentType`].
    pub fn new(content_type: &str, input: &'a mut dyn Read) -> Result<Self, MultipartError> {
        let boundary = boundary(content_type).ok_or(MultipartError::ContentType)?;
        let delimiter = [b"\r\n--".as_slice(), &boundary].concat();
        let mut buffer = vec![0; BUFFER].into_boxed_slice();
        // The first delimiter may open the body; with a line end in front of it, it is like all
        // the others.
        if let Some(front) = buffer.get_mut(..2) {
            front.copy_from_slice(b"\r\n");
        }
        Ok(Self {
            input,
            delimiter: Finder::new(&delimiter).into_owned(),
            buffer,
            start: 0,
            end: 2,
            clear: 0,
            at_delimiter: false,
            phase: Phase::Preamble,
            parts: 0,
        })
    }

    /// The next part; what is left unread of the one before is skipped. `None` after the last
    /// delimiter, when the input has been read to its end.
    ///
    /// # Errors
    /// [`MultipartError`]. After one of the body itself, every call fails.
    pub fn next_part(&mut self) -> Result<Option<Part<'_, 'a>>, MultipartError> {
        let result = self.advance();
        if matches!(&result, Err(e) if !matches!(e, MultipartError::Input(_))) {
            self.phase = Phase::Failed;
        }
        Ok(result?.map(|head| Part::new(head, self)))
    }

    fn advance(&mut self) -> Result<Option<PartHead>, MultipartError> {
        match self.phase {
            Phase::Done => return Ok(None),
            Phase::Failed => return Err(MultipartError::Malformed("already refused")),
            Phase::Preamble => self.skip("bytes before the first boundary", AROUND_LIMIT)?,
            Phase::Part => self.skip("part", u64::MAX)?,
        }
        let after = self.delimiter.needle().len();
        // Behind the delimiter: `--` for the last one, else padding, CRLF, the header block and
        // an empty line. The delimiter stays buffered until all of it is there, so that a failed
        // read changes nothing.
        while self.buffered().len() < after + 2 {
            self.fill()?;
        }
        if self.buffered().get(after..after + 2) == Some(b"--") {
            self.consume(after + 2);
            // Until the input has ended well, the form is not complete.
            self.phase = Phase::Failed;
            self.epilogue()?;
            self.phase = Phase::Done;
            return Ok(None);
        }
        let block = loop {
            let rest = self.buffered().get(after..).unwrap_or_default();
            let found = memmem::find(rest, b"\r\n\r\n");
            if found.unwrap_or(rest.len()) > HEAD_LIMIT {
                return Err(MultipartError::TooLarge {
                    what: "bytes of header in a part",
                    limit: HEAD_LIMIT as u64,
                });
            }
            match found {
                Some(length) => break length + 2,
                None => self.fill()?,
            }
        };
        self.parts += 1;
        if self.parts > PART_LIMIT {
            return Err(MultipartError::TooLarge {
                what: "parts",
                limit: PART_LIMIT,
            });
        }
        let bytes = self.buffered().get(after..after + block);
        let head = PartHead::parse(bytes.unwrap_or_default())?;
        self.consume(after + block);
        self.at_delimiter = false;
        self.phase = Phase::Part;
        self.empty_line()?;
        Ok(Some(head))
    }

    /// Consumes the empty line before the data, unless it belongs to a delimiter: a part without
    /// a body has no other line end (RFC 2046 section 5.1.1).
    fn empty_line(&mut self) -> Result<(), MultipartError> {
        loop {
            let (have, needle) = (self.buffered(), self.delimiter.needle());
            if have.starts_with(needle) {
                return Ok(());
            }
            if !needle.starts_with(have) {
                self.consume(2);
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// Drops data up to the next delimiter.
    fn skip(&mut self, what: &'static str, limit: u64) -> Result<(), MultipartError> {
        let mut left = limit;
        while !self.at_delimiter || self.clear > 0 {
            let n = self.clear;
            left = left
                .checked_sub(n as u64)
                .ok_or(MultipartError::TooLarge { what, limit })?;
            self.consume(n);
            self.clear = 0;
            if !self.at_delimiter && !self.scan() {
                self.fill()?;
            }
        }
        Ok(())
    }

    /// Reads the input to its end: padding and CRLF, then anything.
    fn epilogue(&mut self) -> Result<(), MultipartError> {
        let mut line_over = false;
        let mut left = AROUND_LIMIT;
        loop {
            let rest = self.buffered();
            let mut n = rest.len();
            if !line_over {
                let padding = rest.iter().take_while(|b| b" \t".contains(b)).count();
                let line = rest.get(padding..).unwrap_or_default();
                line_over = line.starts_with(b"\r\n");
                if !line_over && !b"\r\n".starts_with(line) {
                    return Err(MultipartError::Malformed("text after the last boundary"));
                }
                if !line_over {
                    n = padding;
                }
            }
            left = left.checked_sub(n as u64).ok_or(MultipartError::TooLarge {
                what: "bytes after the last boundary",
                limit: AROUND_LIMIT,
            })?;
            self.consume(n);
            match self.fill() {
                Ok(()) => {}
                Err(MultipartError::Unfinished) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    /// Reads data of the current part. `Ok(0)` at its end.
    fn read_data(&mut self, out: &mut [u8]) -> Result<usize, MultipartError> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if self.clear > 0 {
                let n = self.clear.min(out.len());
                let data = self.buffered().get(..n).unwrap_or_default();
                out.get_mut(..n).unwrap_or_default().copy_from_slice(data);
                self.consume(n);
                self.clear -= n;
                return Ok(n);
            }
            if self.at_delimiter {
                return Ok(0);
            }
            if self.scan() {
                continue;
            }
            if out.len() < DIRECT {
                self.fill()?;
            } else {
                let n = self.read_direct(out)?;
                if n > 0 {
                    return Ok(n);
                }
            }
        }
    }

    /// Reads from the input into `out`, behind the buffered beginning of a possible delimiter, and
    /// takes back what is not data. `Ok(0)` when nothing is known to be data yet.
    fn read_direct(&mut self, out: &mut [u8]) -> Result<usize, MultipartError> {
        let room = out.len().min(WINDOW);
        let carry = self.end - self.start;
        let window = out.get_mut(..room).unwrap_or_default();
        let (front, back) = window.split_at_mut(carry);
        front.copy_from_slice(self.buffered());
        let length = carry + read_some(self.input, back)?;
        let window = window.get(..length).unwrap_or_default();
        let found = self.delimiter.find(window);
        let data = found.unwrap_or(length - begun(window, self.delimiter.needle()));
        let rest = window.get(data..).unwrap_or_default();
        self.at_delimiter = found.is_some();
        self.start = 0;
        self.end = rest.len();
        if rest.len() > self.buffer.len() {
            // Much was read behind the end of the part: only then a buffer of that size is needed.
            self.buffer = vec![0; WINDOW].into_boxed_slice();
        }
        let kept = self.buffer.get_mut(..rest.len()).unwrap_or_default();
        kept.copy_from_slice(rest);
        Ok(data)
    }

    /// Looks for the delimiter in what is buffered. False when more input is needed first.
    fn scan(&mut self) -> bool {
        let have = self.buffered();
        let found = self.delimiter.find(have);
        let clear = found.unwrap_or(have.len() - begun(have, self.delimiter.needle()));
        self.at_delimiter = found.is_some();
        self.clear = clear;
        self.at_delimiter || self.clear > 0
    }

    fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
    }

    /// Reads more. Called only with less than a header block and a delimiter buffered, so there is
    /// always room.
    fn fill(&mut self) -> Result<(), MultipartError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        self.end += read_some(self.input, room)?;
        Ok(())
    }
}

/// Reads at least one byte.
fn read_some(input: &mut dyn Read, room: &mut [u8]) -> Result<usize, MultipartError> {
    loop {
        match input.read(room) {
            Ok(0) => return Err(MultipartError::Unfinished),
            Ok(n) => return Ok(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(MultipartError::Input(e)),
        }
    }
}

/// How many bytes at the end of `data` could be the beginning of the delimiter. It holds a CR at
/// its front only, so the last CR of the data is the only candidate.
fn begun(data: &[u8], delimiter: &[u8]) -> usize {
    let from = data.len().saturating_sub(delimiter.len() - 1);
    let tail = data.get(from..).unwrap_or_default();
    memchr::memrchr(b'\r', tail)
        .and_then(|at| tail.get(at..))
        .filter(|end| delimiter.starts_with(end))
        .map_or(0, <[u8]>::len)
}

/// The boundary of a `multipart/form-data` Content-Type, by the grammar of RFC 2046 section 5.1.1.
fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let parsed = Parameters::parse(content_type.as_bytes())?;
    let boundary = parsed.get("boundary")?;
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(b);
    let valid = parsed.kind == "multipart/form-data"
        && (1..=70).contains(&boundary.len())
        && boundary.iter().all(allowed)
        && boundary.last() != Some(&b' ');
    valid.then(|| boundary.to_vec())
}
