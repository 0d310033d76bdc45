//! Byte ranges (RFC 9110 section 14) over `u64`, and the framing of `multipart/byteranges`.

use std::ops::Range;

/// The most ranges that one request may ask for.
const RANGE_LIMIT: usize = 16;

/// What a `Range` field asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// The field is to be ignored: the whole file.
    Whole,
    /// These, at least one, none empty, each within the file, none overlapping another. In the
    /// order of the request, or ascending when overlapping ones were joined.
    Parts(Vec<Range<u64>>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// Reads the value of a `Range` field for a file of `size` bytes.
///
/// Another unit or a malformed set (also `5-4`) is ignored, as section 14.2 allows. More than 16
/// ranges are refused with 416, as section 15.5.17 allows: it is what costs the server least.
/// Ranges that overlap or touch are joined, so that no byte is sent twice. A suffix of an empty
/// file is the whole file, because a 206 cannot express it.
pub fn parse(header: &str, size: u64) -> Ranges {
    let Some((unit, set)) = header.trim().split_once('=') else {
        return Ranges::Whole;
    };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut count = 0;
    let mut parts = Vec::new();
    for spec in set.split(',').map(|s| s.trim_matches([' ', '\t'])) {
        if spec.is_empty() {
            continue;
        }
        let Some(asked) = Spec::parse(spec) else {
            return Ranges::Whole;
        };
        count += 1;
        if count > RANGE_LIMIT {
            continue;
        }
        if size == 0 && matches!(asked, Spec::Suffix(1..)) {
            return Ranges::Whole;
        }
        parts.extend(asked.within(size));
    }
    match count {
        0 => Ranges::Whole,
        1..=RANGE_LIMIT if !parts.is_empty() => Ranges::Parts(join(parts)),
        _ => Ranges::Unsatisfiable,
    }
}

/// One element of the set. Numbers beyond `u64` are pinned to its end: no file is larger.
enum Spec {
    From(u64),
    FromTo(u64, u64),
    Suffix(u64),
}

impl Spec {
    fn parse(spec: &str) -> Option<Self> {
        let (first, last) = spec.split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Suffix(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..size,
            Self::FromTo(first, last) => first..size.min(last.saturating_add(1)),
            Self::Suffix(length) => size.saturating_sub(length)..size,
        };
        (!range.is_empty()).then_some(range)
    }
}

fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Only the size can be wrong now.
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Joins ranges that overlap or touch. Without any, the order stays.
fn join(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = parts.clone();
    sorted.sort_by_key(|r| r.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    if joined.len() == parts.len() {
        parts
    } else {
        joined
    }
}

/// The value of `Content-Range` for one part of a file of `size` bytes.
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    let last = range.end.saturating_sub(1);
    format!("bytes {}-{last}/{size}", range.start)
}

/// The value of `Content-Range` for a 416 answer about a file of `size` bytes.
pub fn unsatisfied_range(size: u64) -> String {
    format!("bytes */{size}")
}

/// The framing of a `multipart/byteranges` body (RFC 9110 section 14.6).
#[derive(Clone, Debug)]
pub struct ByteRanges {
    boundary: String,
    leads: Vec<Vec<u8>>,
    data: u64,
}

impl ByteRanges {
    /// Frames `parts` of a file of `size` bytes and this type. The boundary is random: at least
    /// 128 bits in letters and digits, so that no file can hold it.
    pub fn new(boundary: &str, content_type: &str, size: u64, parts: &[Range<u64>]) -> Self {
        let lead = |part| {
            let content_range = content_range(part, size);
            format!(
                "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range}\r\n\r\n"
            )
            .into_bytes()
        };
        Self {
            boundary: boundary.to_owned(),
            leads: parts.iter().map(lead).collect(),
            data: parts
                .iter()
                .fold(0, |sum, r| sum.saturating_add(r.end - r.start)),
        }
    }

    /// The value of the answer's `Content-Type`.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// What is sent before the data of each part, in the order of the parts.
    pub fn leads(&self) -> &[Vec<u8>] {
        &self.leads
    }

    /// What is sent after the data of the last part.
    pub fn tail(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    /// The length of the whole body, in bytes.
    pub fn total(&self) -> u64 {
        let framing = self.leads.iter().map(Vec::len).sum::<usize>() + self.tail().len();
        self.data.saturating_add(framing as u64)
    }
}

#[cfg(test)]
mod tests;
