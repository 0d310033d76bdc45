//! Values with parameters: `type; name=value; name="quoted value"` (RFC 9110 section 5.6.6), read
//! leniently where clients differ and never with a guess about where a value ends.

use percent_encoding::percent_decode;

/// A field value cut into its parts.
#[derive(Debug)]
pub(super) struct Parameters {
    /// What stands before the first `;`, in lower case.
    pub kind: String,
    /// Names in lower case; values without quotes and escapes.
    pairs: Vec<(String, Vec<u8>)>,
}

impl Parameters {
    /// Reads a value. Nothing when a name is missing or given twice, or when a quote stays open.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let cut = memchr::memchr(b';', value).unwrap_or(value.len());
        let (kind, mut rest) = value.split_at(cut);
        let kind = std::str::from_utf8(kind).ok()?.trim().to_ascii_lowercase();
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some((b';', after)) = rest.split_first() {
            rest = after.trim_ascii_start();
            if rest.is_empty() || rest.first() == Some(&b';') {
                continue;
            }
            let equals = memchr::memchr(b'=', rest)?;
            let name = rest.get(..equals)?.trim_ascii();
            if name.is_empty() || !name.iter().copied().all(is_token) {
                return None;
            }
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            rest = rest.get(equals + 1..)?.trim_ascii_start();
            let text = if let Some(quoted) = rest.strip_prefix(b"\"") {
                let (text, after) = unquote(quoted)?;
                rest = after.trim_ascii_start();
                if !rest.is_empty() && rest.first() != Some(&b';') {
                    return None;
                }
                text
            } else {
                let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                rest = after;
                text.trim_ascii().to_vec()
            };
            if pairs.iter().any(|(other, _)| *other == name) {
                return None;
            }
            pairs.push((name, text));
        }
        Some(Self { kind, pairs })
    }

    /// The value of a parameter; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_slice())
    }
}

/// Reads up to the closing quote; returns the text and what follows the quote.
///
/// A backslash escapes only a quote or a backslash: browsers send other backslashes as they are.
/// For the same reason a `\"` that ends the whole field is a backslash and the closing quote.
fn unquote(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::with_capacity(quoted.len().min(256));
    let mut at = 0;
    loop {
        let byte = *quoted.get(at)?;
        at += 1;
        match (byte, quoted.get(at)) {
            (b'"', _) => return Some((text, quoted.get(at..)?)),
            (b'\\', Some(b'"')) if quoted.len() == at + 1 => {
                text.push(b'\\');
                return Some((text, &[]));
            }
            (b'\\', Some(next @ (b'"' | b'\\'))) => {
                text.push(*next);
                at += 1;
            }
            _ => text.push(byte),
        }
    }
}

/// Decodes an extended value, `charset'language'percent-encoded` (RFC 8187 section 3.2). Nothing
/// when it is malformed or in a charset other than UTF-8 and ISO-8859-1.
pub(super) fn extended(value: &[u8]) -> Option<String> {
    let mut pieces = value.splitn(3, |b| *b == b'\'');
    let (charset, _language, encoded) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let mut at = encoded;
    while let Some((byte, rest)) = at.split_first() {
        at = if *byte == b'%' {
            let well_formed = rest.get(..2)?.iter().all(u8::is_ascii_hexdigit);
            well_formed.then(|| rest.get(2..))??
        } else {
            is_attr_char(*byte).then_some(rest)?
        };
    }
    let bytes: Vec<u8> = percent_decode(encoded).collect();
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(bytes.into_iter().map(char::from).collect())
    } else {
        None
    }
}

/// The characters of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The characters that an extended value holds unencoded (RFC 8187 section 3.2.1).
pub(super) fn is_attr_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(value: &str, name: &str) -> Option<Vec<u8>> {
        Parameters::parse(value.as_bytes())?
            .get(name)
            .map(<[u8]>::to_vec)
    }

    #[test]
    fn values_may_be_quoted_or_not() {
        let cases: [(&str, &[u8]); 8] = [
            ("form-data; name=a", b"a"),
            ("form-data;name=\"a\"", b"a"),
            ("form-data ; x=1 ; NAME = \"a b\" ; y=2", b"a b"),
            ("form-data; name=\"a;b\"", b"a;b"),
            ("form-data; name=\"a\\\"b\\\\c\"", b"a\"b\\c"),
            ("form-data; name=\"C:\\dir\\a\"", b"C:\\dir\\a"),
            ("form-data; name=\"a\\\"", b"a\\"),
            ("form-data;; name=\"\";", b""),
        ];
        for (value, wanted) in cases {
            assert_eq!(get(value, "name").as_deref(), Some(wanted), "{value}");
        }
        let parsed = Parameters::parse(b" Form-DATA ; a=b").unwrap();
        assert_eq!(parsed.kind, "form-data");
    }

    #[test]
    fn ambiguous_values_are_refused() {
        for value in [
            "x; name=a; name=b",
            "x; name=a; Name=b",
            "x; name=\"a",
            "x; name",
            "x; =a",
            "x; na me=a",
            "x; name=\"a\"b",
        ] {
            assert!(Parameters::parse(value.as_bytes()).is_none(), "{value}");
        }
    }

    #[test]
    fn extended_values_are_decoded_or_refused() {
        let cases = [
            ("UTF-8''a%20b", Some("a b")),
            ("utf-8'en'%e2%82%AC", Some("€")),
            ("ISO-8859-1''%A3", Some("£")),
            ("UTF-8''", Some("")),
            ("UTF-8''%ff", None),
            ("UTF-8''%2", None),
            ("UTF-8''%zz", None),
            ("UTF-8''a b", None),
            ("UTF-16''a", None),
            ("a%20b", None),
            ("UTF-8'a", None),
        ];
        for (value, wanted) in cases {
            assert_eq!(extended(value.as_bytes()).as_deref(), wanted, "{value}");
        }
    }
}
