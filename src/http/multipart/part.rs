//! One part of a form: what its header says, and its data as a `Read`.

use super::{Multipart, MultipartError};
use crate::http::parameters::{Parameters, extended, is_token};
use std::io::{self, Read};

/// Fields in the header of one part.
const FIELD_LIMIT: usize = 32;

/// What the header of a part says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PartHead {
    name: String,
    file_name: Option<String>,
    content_type: Option<String>,
}

impl PartHead {
    /// Reads a header block: the rest of the delimiter line, then the fields, each line with its
    /// CRLF.
    pub(super) fn parse(block: &[u8]) -> Result<Self, MultipartError> {
        let malformed = |what| Err(MultipartError::Malformed(what));
        let text = block.strip_suffix(b"\r\n").unwrap_or(block);
        let mut lines = Lines(Some(text));
        let padding = lines.next().unwrap_or_default();
        if !padding.iter().all(|b| b" \t".contains(b)) {
            return malformed("text after a boundary");
        }
        let mut fields: Vec<Vec<u8>> = Vec::new();
        for line in lines {
            if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
                return malformed("control character in the header of a part");
            }
            match fields.last_mut() {
                // A line that begins with a blank continues the one before (RFC 5322 2.2.3).
                Some(last) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                    last.extend_from_slice(line);
                }
                _ => fields.push(line.to_vec()),
            }
            if fields.len() > FIELD_LIMIT {
                return Err(MultipartError::TooLarge {
                    what: "header fields in a part",
                    limit: FIELD_LIMIT as u64,
                });
            }
        }
        let mut disposition = None;
        let mut content_type = None;
        for field in &fields {
            let Some(colon) = memchr::memchr(b':', field) else {
                return malformed("header field without a colon");
            };
            let (name, value) = field.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.is_empty() || !name.iter().copied().all(is_token) {
                return malformed("name of a header field");
            }
            if name.eq_ignore_ascii_case(b"content-disposition") {
                if disposition.replace(value).is_some() {
                    return malformed("Content-Disposition twice");
                }
            } else if name.eq_ignore_ascii_case(b"content-type") {
                if content_type.replace(value).is_some() {
                    return malformed("Content-Type twice");
                }
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding")
                && ![b"7bit".as_slice(), b"8bit", b"binary"]
                    .iter()
                    .any(|plain| value.eq_ignore_ascii_case(plain))
            {
                // Nothing would decode it, and the file would be stored as something else.
                return malformed("Content-Transfer-Encoding other than binary");
            }
        }
        let Some(disposition) = disposition.and_then(Parameters::parse) else {
            return malformed("no valid Content-Disposition in a part");
        };
        let Some(name) = disposition.get("name") else {
            return malformed("part without a name");
        };
        if disposition.kind != "form-data" {
            return malformed("part that is not form-data");
        }
        Ok(Self {
            name: unescape(name),
            file_name: disposition
                .get("filename*")
                .and_then(extended)
                .or_else(|| disposition.get("filename").map(unescape)),
            content_type: content_type.map(|v| String::from_utf8_lossy(v).into_owned()),
        })
    }
}

/// Lines of a block, cut at each CRLF.
struct Lines<'b>(Option<&'b [u8]>);

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = self.0?;
        let cut = memchr::memmem::find(rest, b"\r\n");
        let (line, after) = match cut {
            Some(at) => (rest.get(..at)?, rest.get(at + 2..)),
            None => (rest, None),
        };
        self.0 = after;
        Some(line)
    }
}

/// Undoes what browsers do to names: they write a quote, CR and LF as `%22`, `%0D` and `%0A` and
/// leave everything else, even `%`, as it is (WHATWG HTML, multipart/form-data encoding).
fn unescape(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// A part of a form. Reading it gives its data; `Ok(0)` is the end of the part, not of the form.
pub struct Part<'m, 'a> {
    head: PartHead,
    form: &'m mut Multipart<'a>,
}

impl<'m, 'a> Part<'m, 'a> {
    pub(super) fn new(head: PartHead, form: &'m mut Multipart<'a>) -> Self {
        Self { head, form }
    }

    /// The name of the form field.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The name of the file, as the client sent it: it may hold a path or control characters.
    /// `None` for plain fields.
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The declared type, as the client sent it.
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type.as_deref()
    }

    /// Reads a small field as text; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`MultipartError::TooLarge`] when it has more than `limit` bytes; those of the body.
    pub fn read_text(&mut self, limit: u64) -> Result<String, MultipartError> {
        let mut text = Vec::new();
        let mut piece = [0; 1024];
        loop {
            let n = self.form.read_data(&mut piece)?;
            if n == 0 {
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            text.extend_from_slice(piece.get(..n).unwrap_or_default());
            if text.len() as u64 > limit {
                return Err(MultipartError::TooLarge {
                    what: "bytes in a field",
                    limit,
                });
            }
        }
    }
}

impl Read for Part<'_, '_> {
    /// Errors of the input come through unchanged; a body that ends inside the part is
    /// `InvalidData` with a [`MultipartError`].
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.form.read_data(out).map_err(io::Error::from)
    }
}
