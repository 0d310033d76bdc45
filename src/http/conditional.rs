//! Conditional requests (RFC 9110 section 13), as functions of the head and the file's validators.

use super::{Head, Headers, Method, date};
use crate::model::Timestamp;

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validators<'a> {
    /// The strong entity tag, with its quotes.
    pub etag: Option<&'a str>,
    /// When it last changed. It never changes twice in a second, so this is a strong validator.
    pub modified: Option<Timestamp>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Answer the request.
    Proceed {
        /// Whether a `Range` field counts: the method is GET, and `If-Range` is absent or met.
        ranges: bool,
    },
    /// 304, without a body.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the conditions in the order of section 13.2.2. Lists and dates that cannot be read
/// match nothing, except that conditions on such dates are ignored, as the standard demands.
pub fn evaluate(head: &Head, file: &Validators<'_>) -> Outcome {
    let headers = &head.headers;
    let reading = matches!(head.method, Method::Get | Method::Head);
    if has(headers, "if-match") {
        if !matches(headers, "if-match", file.etag, Comparison::Strong) {
            return Outcome::Failed;
        }
    } else if let Some((since, modified)) = dates(headers, "if-unmodified-since", file)
        && modified > since
    {
        return Outcome::Failed;
    }
    if has(headers, "if-none-match") {
        if matches(headers, "if-none-match", file.etag, Comparison::Weak) {
            return if reading {
                Outcome::NotModified
            } else {
                Outcome::Failed
            };
        }
    } else if reading
        && let Some((since, modified)) = dates(headers, "if-modified-since", file)
        && modified <= since
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed {
        ranges: head.method == Method::Get && if_range(headers, file),
    }
}

/// Whether `If-Range` is absent or names exactly this state (section 13.1.5): the same strong tag
/// or the same date.
fn if_range(headers: &Headers, file: &Validators<'_>) -> bool {
    let mut fields = headers.all("if-range");
    let (value, more) = (fields.next(), fields.next());
    let Some(value) = value else {
        return true;
    };
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    let value = value.trim();
    let same_tag = file.etag.is_some_and(|etag| etag == value);
    let same_date = file
        .modified
        .is_some_and(|modified| date::parse(value) == Some(modified));
    more.is_none() && (same_tag || same_date)
}

fn has(headers: &Headers, name: &str) -> bool {
    headers.all(name).next().is_some()
}

/// The date in a field and that of the file, if there are both and exactly one field.
fn dates(headers: &Headers, name: &str, file: &Validators<'_>) -> Option<(Timestamp, Timestamp)> {
    let mut fields = headers.all(name);
    let value = std::str::from_utf8(fields.next()?).ok()?;
    if fields.next().is_some() {
        return None;
    }
    Some((date::parse(value.trim())?, file.modified?))
}

/// How tags are compared (RFC 9110 section 8.8.3.2). Ours are strong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag of the client's matches nothing.
    Strong,
    /// The mark of weakness is ignored.
    Weak,
}

/// Whether the list of tags in the fields of that name holds `*` or `etag`.
fn matches(headers: &Headers, name: &str, etag: Option<&str>, comparison: Comparison) -> bool {
    headers.all(name).any(|list| {
        if list.trim_ascii() == b"*" {
            return true;
        }
        etag.is_some_and(|etag| {
            Tags(list).any(|tag| {
                tag.text == etag.as_bytes() && (comparison == Comparison::Weak || !tag.weak)
            })
        })
    })
}

/// A tag in a list.
struct Tag<'h> {
    weak: bool,
    /// With its quotes.
    text: &'h [u8],
}

/// Walks a list of tags; ends at the first thing that is none. Tags may hold commas.
struct Tags<'h>(&'h [u8]);

impl<'h> Iterator for Tags<'h> {
    type Item = Tag<'h>;

    fn next(&mut self) -> Option<Tag<'h>> {
        let mut rest = self.0;
        while let Some((b' ' | b'\t' | b',', after)) = rest.split_first() {
            rest = after;
        }
        let strong = rest.strip_prefix(b"W/");
        let text = strong.unwrap_or(rest);
        let length = memchr::memchr(b'"', text.strip_prefix(b"\"")?)? + 2;
        let (tag, after) = text.split_at(length);
        self.0 = after;
        Some(Tag {
            weak: strong.is_some(),
            text: tag,
        })
    }
}

#[cfg(test)]
mod tests;
