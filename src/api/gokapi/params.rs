//! Parameters as Gokapi takes them: in header fields, with the number and truth words of Go.
//!
//! An empty number or truth value counts as absent, an empty text as present. None of the calls
//! here is among those whose text may be in Base64.

use super::error::Fault;
use crate::http::Headers;

/// The parameters of one call.
pub struct Params<'a>(pub &'a Headers);

impl<'a> Params<'a> {
    /// A text, `None` when absent.
    ///
    /// # Errors
    /// [`Fault`] when it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        match self.0.all(name).next() {
            None => Ok(None),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(Fault::bad_value(name)),
            },
        }
    }

    /// A text that may be neither absent nor empty.
    ///
    /// # Errors
    /// [`Fault`] when it is, or is not UTF-8.
    pub fn required(&self, name: &str) -> Result<&'a str, Fault> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Fault::missing(name)),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`Fault`] when it is none.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.parsed(name, number)
    }

    /// A truth value; `false` when absent.
    ///
    /// # Errors
    /// [`Fault`] when it is none.
    pub fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.parsed(name, flag)?.unwrap_or(false))
    }

    fn parsed<T>(&self, name: &str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
        match self.text(name)? {
            None | Some("") => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| Fault::bad_value(name)),
        }
    }
}

/// A whole number as Go's `strconv.Atoi` reads it: a sign, if any, then decimal digits.
pub fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A truth value as Go's `strconv.ParseBool` reads it.
pub fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str, value: &[u8]) -> Headers {
        let mut headers = Headers::default();
        headers.push(name, value);
        headers
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("-1", -1),
            ("+7", 7),
            ("007", 7),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for text in [
            "",
            " 1",
            "1 ",
            "1_000",
            "0x10",
            "1e3",
            "1.0",
            "9223372036854775808",
            "٣",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn truth_is_read_as_go_reads_it() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(flag(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(flag(text), Some(false), "{text}");
        }
        for text in ["", "yes", "no", "tRUE", "2", "maybe"] {
            assert_eq!(flag(text), None, "{text}");
        }
    }

    #[test]
    fn empty_means_absent_for_numbers_and_truth_but_not_for_text() {
        let empty = headers("X", b"");
        let params = Params(&empty);
        assert_eq!(params.number("x").ok(), Some(None));
        assert_eq!(params.flag("x").ok(), Some(false));
        assert_eq!(params.text("x").ok(), Some(Some("")));
        assert_eq!(params.text("y").ok(), Some(None));
    }

    #[test]
    fn faults_name_the_header() {
        let given = headers("delay", b"soon");
        let fault = Params(&given).number("delay").unwrap_err();
        assert_eq!(
            (fault.status, fault.code, fault.text.as_str()),
            (400, 4, "invalid value in header delay supplied")
        );
        let fault = Params(&given).required("id").unwrap_err();
        assert_eq!(
            (fault.status, fault.code, fault.text.as_str()),
            (400, 4, "header id is required")
        );
        let raw = headers("id", b"\xff\xfe");
        assert_eq!(Params(&raw).required("id").unwrap_err().code, 4);
        let utf8 = headers("friendlyName", "Schlüssel".as_bytes());
        assert_eq!(
            Params(&utf8).text("friendlyname").ok().flatten(),
            Some("Schlüssel")
        );
    }
}
