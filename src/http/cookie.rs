//! Cookies (RFC 6265): reading the request's, writing ours.

use super::Headers;
use super::parameters::is_token;
use std::fmt::Write;

/// Every value sent for the cookie `name`, in the order they came. Names compare with case.
pub fn all<'h>(headers: &'h Headers, name: &'h str) -> impl Iterator<Item = &'h str> {
    headers
        .all("cookie")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(other, _)| other.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The first value sent for the cookie `name`.
pub fn first<'h>(headers: &'h Headers, name: &'h str) -> Option<&'h str> {
    all(headers, name).next()
}

/// Which requests from other sites carry a cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameSite {
    /// Only following a link here.
    Lax,
    /// None.
    Strict,
}

/// Builds the value of a `Set-Cookie` field.
#[derive(Clone)]
pub struct SetCookie(String);

impl SetCookie {
    /// A cookie for the session of the browser. Nothing when the name is no token or the value
    /// holds other characters than those that every client sends back unchanged: visible ASCII
    /// without `"`, `,`, `;` and `\`.
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let safe = |b: u8| b.is_ascii_graphic() && !b"\",;\\".contains(&b);
        let valid = !name.is_empty() && name.bytes().all(is_token) && value.bytes().all(safe);
        valid.then(|| Self(format!("{name}={value}")))
    }

    fn attribute(mut self, text: std::fmt::Arguments<'_>) -> Self {
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "; {text}");
        self
    }

    /// Keeps it for this many seconds; 0 deletes it.
    #[must_use]
    pub fn max_age(self, seconds: u64) -> Self {
        self.attribute(format_args!("Max-Age={seconds}"))
    }

    /// Sends it below this path only. Characters that would end the attribute are dropped.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        let path: String = path
            .chars()
            .filter(|c| c.is_ascii_graphic() && *c != ';')
            .collect();
        self.attribute(format_args!("Path={path}"))
    }

    /// Hides it from scripts.
    #[must_use]
    pub fn http_only(self) -> Self {
        self.attribute(format_args!("HttpOnly"))
    }

    /// Keeps it from requests of other sites.
    #[must_use]
    pub fn same_site(self, same_site: SameSite) -> Self {
        self.attribute(format_args!("SameSite={same_site:?}"))
    }

    /// Sends it over TLS only.
    #[must_use]
    pub fn secure(self) -> Self {
        self.attribute(format_args!("Secure"))
    }

    /// The value of the field.
    pub fn build(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_all_fields_are_found() {
        let mut headers = Headers::default();
        headers.push("Cookie", "a=1; b=2;a=3;  c = x=y ; broken; =z; A=9");
        headers.push("cookie", "a=4");
        headers.push("Cookie", vec![b'a', b'=', 0xff]);
        assert_eq!(all(&headers, "a").collect::<Vec<_>>(), ["1", "3", "4"]);
        assert_eq!(first(&headers, "b"), Some("2"));
        assert_eq!(first(&headers, "c"), Some("x=y"));
        assert_eq!(first(&headers, "broken"), None);
        assert_eq!(first(&headers, "d"), None);
    }

    #[test]
    fn a_cookie_has_the_attributes_asked_for() {
        let plain = SetCookie::new("a", "").unwrap();
        assert_eq!(plain.build(), "a=");
        let full = SetCookie::new("p123", "tok=en")
            .unwrap()
            .max_age(300)
            .path("/d;\r\n evil")
            .http_only()
            .same_site(SameSite::Strict)
            .secure();
        assert_eq!(
            full.build(),
            "p123=tok=en; Max-Age=300; Path=/devil; HttpOnly; SameSite=Strict; Secure"
        );
        let lax = SetCookie::new("a", "b").unwrap().same_site(SameSite::Lax);
        assert_eq!(lax.build(), "a=b; SameSite=Lax");
    }

    #[test]
    fn unsafe_names_and_values_are_refused() {
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a;", "x"),
            ("a=", "x"),
            ("a", "x;y"),
            ("a", "x y"),
            ("a", "x\r\n"),
            ("a", "\"x\""),
            ("a", "x,y"),
            ("a", "x\\y"),
            ("a", "ü"),
        ] {
            assert!(SetCookie::new(name, value).is_none(), "{name}={value}");
        }
    }
}
