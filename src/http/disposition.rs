//! `Content-Disposition` of answers (RFC 6266), with any file name.

use super::parameters::is_attr_char;
use std::fmt::Write;

/// What a browser does with the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Saves it.
    Attachment,
    /// Shows it.
    Inline,
}

impl Disposition {
    /// The value of the field for a file of this name: an ASCII fallback, in which every other
    /// character is `_`, and the whole name in UTF-8 (RFC 8187). The result is visible ASCII and
    /// blanks, whatever the name is.
    pub fn with_name(self, name: &str) -> String {
        let kind = match self {
            Self::Attachment => "attachment",
            Self::Inline => "inline",
        };
        let mut value = format!("{kind}; filename=\"");
        let before = value.len();
        value.extend(name.chars().filter_map(fallback));
        if value.get(before..).is_none_or(|f| f.trim().is_empty()) {
            value.truncate(before);
            value.push_str("file");
        }
        value.push_str("\"; filename*=UTF-8''");
        for byte in name.bytes() {
            if is_attr_char(byte) {
                value.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(value, "%{byte:02X}");
            }
        }
        value
    }
}

/// Drops what clients read differently inside quotes.
fn fallback(c: char) -> Option<char> {
    match c {
        '"' | '\\' | '/' => None,
        ' '..='~' => Some(c),
        c if c.is_control() => None,
        _ => Some('_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parameters::{Parameters, extended};
    use proptest::prelude::*;
    use proptest::test_runner::Config;

    #[test]
    fn names_of_all_kinds_have_a_fallback_and_their_own_form() {
        let cases = [
            ("a.txt", "a.txt", "a.txt"),
            ("a b.txt", "a b.txt", "a%20b.txt"),
            ("a\"b\\c/d", "abcd", "a%22b%5Cc%2Fd"),
            ("€ übung", "_ _bung", "%E2%82%AC%20%C3%BCbung"),
            ("a\r\nX: y\0\u{7f}", "aX: y", "a%0D%0AX%3A%20y%00%7F"),
            ("100%.txt", "100%.txt", "100%25.txt"),
            ("it's (1)*", "it's (1)*", "it%27s%20%281%29%2A"),
            ("", "file", ""),
            ("\"\"", "file", "%22%22"),
        ];
        for (name, plain, encoded) in cases {
            assert_eq!(
                Disposition::Attachment.with_name(name),
                format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
            );
        }
        assert!(Disposition::Inline.with_name("a").starts_with("inline; "));
    }

    proptest! {
        #![proptest_config(Config { cases: 5_000, ..Config::default() })]
        #[test]
        fn every_name_comes_back(name in any::<String>()) {
            let value = Disposition::Attachment.with_name(&name);
            prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)));
            let parsed = Parameters::parse(value.as_bytes()).unwrap();
            prop_assert_eq!(&parsed.kind, "attachment");
            prop_assert_eq!(parsed.get("filename*").and_then(extended), Some(name));
            let plain = parsed.get("filename").unwrap();
            prop_assert!(!plain.is_empty());
            prop_assert!(!plain.iter().any(|b| b"\"\\/".contains(b)));
        }
    }
}
