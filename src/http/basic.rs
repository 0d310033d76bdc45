//! `Authorization: Basic` (RFC 7617), with the password wiped when it is dropped.

use data_encoding::BASE64;
use zeroize::Zeroizing;

/// Decodes the value of an `Authorization` field to name and password. Nothing for other schemes,
/// bad base64, text that is not UTF-8, or a missing colon.
pub fn decode(authorization: &str) -> Option<(String, Zeroizing<String>)> {
    let (scheme, encoded) = authorization.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let encoded = encoded.trim();
    // The decoder takes one encoded text after another; here there is one, and padding ends it.
    if encoded.trim_end_matches('=').contains('=') {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok()?);
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), Zeroizing::new(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_decoded() {
        let cases = [
            ("Basic YTpi", "a", "b"),
            ("basic  YTpi ", "a", "b"),
            ("BASIC OmI6Yw==", "", "b:c"),
            ("Basic YTo=", "a", ""),
            ("Basic w7w6cMOkc3M=", "ü", "päss"),
        ];
        for (value, name, password) in cases {
            let (n, p) = decode(value).unwrap();
            assert_eq!((n.as_str(), p.as_str()), (name, password), "{value}");
        }
    }

    #[test]
    fn everything_else_is_nothing() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer YTpi",
            "Basic YWI=",
            "Basic YTpi=",
            "Basic YTp",
            "Basic YTpi YTpi",
            "Basic YTo=YTo=",
            "Basic OmI6Yw==OmI6Yw==",
            "Basic !!!!",
            "Basic /zr/",
        ] {
            assert!(decode(value).is_none(), "{value}");
        }
    }
}
