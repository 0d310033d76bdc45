//! Response heads: the fields that the server itself sets, and nothing that could split a head.

use super::head::{Refusal, is_token};
use std::borrow::Cow;
use std::fmt::Write;

/// How the end of a response body is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framed {
    /// By its length in bytes.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the end of the connection (HTTP/1.0), or not at all: the response has no body.
    Unmarked,
}

/// Whether a response of that status never has a body (RFC 9110 section 6.4.1).
pub(crate) fn is_bodyless(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// The fields of a handler's response that may be sent: valid names, no control characters in
/// values, and none of those that the server sets.
pub(crate) fn fields<'a, N: AsRef<str> + 'a>(
    headers: &'a [(N, String)],
) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
    const OURS: [&str; 5] = [
        "Connection",
        "Content-Length",
        "Date",
        "Keep-Alive",
        "Transfer-Encoding",
    ];
    headers
        .iter()
        .map(|(name, value)| (name.as_ref(), value))
        .filter(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(is_token)
                && !OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
        })
        .map(|(name, value)| (name, visible(value)))
}

/// A value with everything but visible ASCII and spaces replaced by `?`.
fn visible(value: &str) -> Cow<'_, str> {
    match value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        true => Cow::Borrowed(value),
        false => value
            .chars()
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
            .collect(),
    }
}

/// Writes the head of a response.
pub(crate) fn head<N: AsRef<str>>(
    status: u16,
    headers: &[(N, String)],
    framed: Framed,
    close: bool,
) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in fields(headers) {
        line(&mut text, name, &value);
    }
    line(&mut text, "Date", &date());
    match framed {
        Framed::Length(length) => line(&mut text, "Content-Length", &length.to_string()),
        Framed::Chunked => line(&mut text, "Transfer-Encoding", "chunked"),
        Framed::Unmarked => {}
    }
    if close {
        line(&mut text, "Connection", "close");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{name}: {value}\r\n");
}

/// A whole answer of the gate itself, after which the connection ends.
pub(super) fn refusal(refusal: Refusal) -> Vec<u8> {
    let body = format!("{}\n", refusal.why);
    let mut headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    if refusal.status == 503 {
        headers.push(("Retry-After", "5".to_owned()));
    }
    let mut bytes = head(
        refusal.status,
        &headers,
        Framed::Length(body.len() as u64),
        true,
    );
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

/// The date of now, as HTTP writes it (RFC 9110 section 5.6.7).
pub(super) fn date() -> String {
    let mut text = String::new();
    // A clock outside the years 0 to 9999 gets no date.
    let _ = jiff::fmt::rfc2822::DateTimePrinter::new()
        .print_timestamp_rfc9110(&jiff::Timestamp::now(), &mut text);
    text
}

/// The phrase for a status (RFC 9110 section 15); clients ignore it.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        460 => "Checksum Mismatch",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_cannot_split_or_frame_the_head() {
        let head = head(
            200,
            &[
                ("X-Name", "a\r\nSet-Cookie: pwned=1".to_owned()),
                ("X:Bad", "dropped".to_owned()),
                ("content-length", "7".to_owned()),
                ("Transfer-Encoding", "gzip".to_owned()),
            ],
            Framed::Length(3),
            true,
        );
        let text = String::from_utf8(head).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 200 OK");
        assert_eq!(lines[1], "X-Name: a??Set-Cookie: pwned=1");
        assert!(lines[2].starts_with("Date: ") && lines[2].ends_with(" GMT"));
        assert_eq!(
            lines[3..],
            ["Content-Length: 3", "Connection: close", "", ""]
        );
    }
}
