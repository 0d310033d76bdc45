//! Cookies: what is set comes back as it was, and what others send adds nothing to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::http::Headers;
use mayfly::http::cookie::{SameSite, SetCookie, all, first};

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (name, value, other) = input;
    let mut headers = Headers::default();
    headers.push("Cookie", other);
    let found: Vec<&str> = all(&headers, name).collect();
    assert_eq!(first(&headers, name), found.first().copied());
    // As simply as it can be said.
    let pairs = std::str::from_utf8(other).unwrap_or_default().split(';');
    let wanted: Vec<&str> = pairs
        .filter_map(|pair| pair.split_once('='))
        .filter(|(other, _)| other.trim() == name)
        .map(|(_, value)| value.trim())
        .collect();
    assert_eq!(found, wanted);

    let Some(cookie) = SetCookie::new(name, value) else {
        return;
    };
    let path = String::from_utf8_lossy(other);
    let set = cookie
        .path(&path)
        .max_age(7)
        .http_only()
        .same_site(SameSite::Lax)
        .secure()
        .build();
    assert!(set.bytes().all(|b| (b' '..0x7f).contains(&b)), "{set:?}");
    let parts: Vec<&str> = set.split("; ").collect();
    assert_eq!(parts.len(), 6, "an attribute too many: {set:?}");
    assert!(parts[1].starts_with("Path=") && parts[5] == "Secure");
    // A browser sends back what stands before the first semicolon.
    let mut headers = Headers::default();
    headers.push("Cookie", format!("a b=1; {}", parts[0]));
    headers.push("Cookie", other);
    assert_eq!(first(&headers, name), Some(value));
});
