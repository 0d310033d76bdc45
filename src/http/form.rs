//! `application/x-www-form-urlencoded` bodies and query strings, and reading small bodies.

use super::{Body, BodyLength};
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

/// An encoded form or query. Decoded while it is walked, so its size in memory is that of the text.
#[derive(Clone, Copy)]
pub struct Form<'a>(&'a [u8]);

impl<'a> Form<'a> {
    /// Takes the text, still encoded, without the `?` of a query.
    pub fn new(encoded: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(encoded.as_ref())
    }

    /// The pairs in their order, decoded: `+` is a blank, `%XX` a byte; a `%` without two digits
    /// stays, bytes that are not UTF-8 become U+FFFD.
    pub fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.0
            .split(|b| *b == b'&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let cut = memchr::memchr(b'=', pair);
                let (name, value) = pair.split_at(cut.unwrap_or(pair.len()));
                (decode(name), decode(value.get(1..).unwrap_or_default()))
            })
    }

    /// The value of the first pair with this name.
    pub fn first(self, name: &str) -> Option<Cow<'a, str>> {
        self.pairs()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }
}

fn decode(text: &[u8]) -> Cow<'_, str> {
    if memchr::memchr2(b'+', b'%', text).is_none() {
        return String::from_utf8_lossy(text);
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    Cow::Owned(percent_decode(&spaced).decode_utf8_lossy().into_owned())
}

/// Why a small body was not read.
#[derive(Debug)]
pub enum ReadError {
    /// It has more than `limit` bytes.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body failed.
    Input(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Self::Input(e) => write!(f, "the body broke off: {e}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(e) => Some(e),
            Self::TooLarge { .. } => None,
        }
    }
}

/// Reads a body of at most `limit` bytes. A declared length over it is refused before a byte is
/// read; memory grows with what arrives, not with what is declared.
///
/// # Errors
/// [`ReadError`].
pub fn read_limited(body: &mut dyn Body, limit: u64) -> Result<Vec<u8>, ReadError> {
    if matches!(body.length(), BodyLength::Exact(length) if length > limit) {
        return Err(ReadError::TooLarge { limit });
    }
    let mut bytes = Vec::new();
    body.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(ReadError::Input)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    struct Fake(BodyLength, io::Cursor<Vec<u8>>);

    impl Read for Fake {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.read(out)?;
            if n == 0 && !out.is_empty() && self.0 == BodyLength::Exact(99) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(n)
        }
    }

    impl Body for Fake {
        fn length(&self) -> BodyLength {
            self.0
        }
    }

    fn read(length: BodyLength, size: usize, limit: u64) -> Result<usize, String> {
        let mut body = Fake(length, io::Cursor::new(vec![7; size]));
        read_limited(&mut body, limit)
            .map(|b| b.len())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn pairs_are_decoded_in_their_order() {
        let form = Form::new("id=a%20b+c&&x&=y&id=2&%C3%BC=%ff%2&a=b=c&p=%2B%26");
        let pairs: Vec<_> = form.pairs().collect();
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            pairs,
            [
                ("id", "a b c"),
                ("x", ""),
                ("", "y"),
                ("id", "2"),
                ("ü", "\u{fffd}%2"),
                ("a", "b=c"),
                ("p", "+&"),
            ]
        );
        assert_eq!(form.first("id").as_deref(), Some("a b c"));
        assert_eq!(form.first("none"), None);
        assert_eq!(Form::new("").pairs().count(), 0);
    }

    #[test]
    fn a_small_body_is_read_up_to_its_limit() {
        assert_eq!(read(BodyLength::Chunked, 10, 10), Ok(10));
        assert_eq!(read(BodyLength::Exact(10), 10, 10), Ok(10));
        assert_eq!(read(BodyLength::None, 0, 0), Ok(0));
        let refused = Err("the body is larger than 9 bytes".to_owned());
        assert_eq!(read(BodyLength::Chunked, 10, 9), refused);
        assert_eq!(read(BodyLength::Chunked, 1_000_000, 9), refused);
        assert_eq!(read(BodyLength::Chunked, 10, u64::MAX), Ok(10));
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused_unread() {
        let mut body = Fake(BodyLength::Exact(u64::MAX), io::Cursor::new(vec![7; 20]));
        let refused = read_limited(&mut body, 10);
        assert!(matches!(refused, Err(ReadError::TooLarge { limit: 10 })));
        assert_eq!(body.1.position(), 0);
    }

    #[test]
    fn a_cut_is_not_a_short_body() {
        let mut body = Fake(BodyLength::Exact(99), io::Cursor::new(vec![7; 20]));
        let Err(ReadError::Input(e)) = read_limited(&mut body, 100) else {
            panic!("a cut body was taken for a whole one");
        };
        assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn encoded_pairs_come_back(pairs in prop::collection::vec((".+", ".*"), 0..8)) {
            let encode = |s: &str| percent_encode(s.as_bytes(), NON_ALPHANUMERIC).to_string();
            let text: Vec<_> = pairs.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
            let text = text.join("&");
            let back: Vec<_> = Form::new(&text).pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
            prop_assert_eq!(back, pairs);
        }
    }
}
