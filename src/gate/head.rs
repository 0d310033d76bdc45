//! Request heads, validated so strictly that no two parsers can read them differently.
//!
//! [`Scan`] finds the end of a head while it arrives, looking at each byte once; [`parse`] then
//! accepts or refuses it as a whole (RFC 9112 sections 2 to 6). What is refused never reaches a
//! handler, and the connection ends, because nobody can tell where the next request would start.

use super::peer::Trusted;
use crate::http::{BodyLength, Head, Headers, Method};
use std::net::IpAddr;

/// The longest head, in bytes.
pub(super) const LENGTH: usize = 16 * 1024;
/// The most fields of a head.
const FIELDS: usize = 64;
/// Fields that concern the connection, the framing or the proxies before us; handlers do not see them.
const CONNECTION_FIELDS: [&str; 10] = [
    "Connection",
    "Expect",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "X-Forwarded-For",
    super::EXCHANGE_FIELD,
];

/// A valid head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Valid {
    pub(super) head: Head,
    pub(super) length: BodyLength,
    /// The client waits for `100 Continue`.
    pub(super) expects_continue: bool,
    /// The client allows another request on the connection.
    pub(super) keep_alive: bool,
}

/// Why a head is refused, as a status and a sentence for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: &'static str,
}

const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// Looks for the end of a head in a buffer that grows.
#[derive(Debug, Default)]
pub(super) struct Scan {
    line: usize,
    seen: usize,
    lines: usize,
}

impl Scan {
    /// Returns the length of the head in `bytes` with its final empty line, once it is complete.
    /// `bytes` must start with the same bytes at each call.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        if !bytes.first().is_none_or(|b| is_token(*b)) {
            return Err(refuse(400, "this is not an HTTP request"));
        }
        while let Some(at) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let lf = self.seen + at;
            if lf >= LENGTH {
                return Err(self.too_long());
            }
            if lf == 0 || bytes[lf - 1] != b'\r' {
                return Err(refuse(400, "a line ends with a bare line feed"));
            }
            self.seen = lf + 1;
            if self.line + 1 == lf {
                return Ok(Some(self.seen));
            }
            self.line = self.seen;
            self.lines += 1;
            // One more than the fields, for the request line.
            if self.lines > FIELDS + 1 {
                return Err(refuse(431, "the request has too many header fields"));
            }
        }
        self.seen = bytes.len();
        match bytes.len() < LENGTH {
            true => Ok(None),
            false => Err(self.too_long()),
        }
    }

    fn too_long(&self) -> Refusal {
        match self.lines {
            0 => refuse(414, "the address of the request is too long"),
            _ => refuse(431, "the header of the request is too long"),
        }
    }
}

/// Reads a whole head, as [`Scan`] delimited it.
pub(super) fn parse(bytes: &[u8], peer: IpAddr, trusted: &Trusted) -> Result<Valid, Refusal> {
    let line_end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    let (line, rest) = bytes.split_at(line_end);
    let (method, target, http11) = request_line(line)?;

    let mut space = [httparse::EMPTY_HEADER; FIELDS];
    let fields = match httparse::parse_headers(rest, &mut space) {
        Ok(httparse::Status::Complete((length, fields))) if length == rest.len() => fields,
        Ok(_) => return Err(refuse(400, "the header of the request is malformed")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(refuse(431, "the request has too many header fields"));
        }
        Err(_) => return Err(refuse(400, "a header field is malformed")),
    };
    // A lone carriage return is a line end to some parsers.
    if fields.iter().any(|f| f.value.contains(&b'\r')) {
        return Err(refuse(400, "a header field is malformed"));
    }

    check_host(fields, http11)?;
    let length = body_length(fields, http11)?;
    let expects_continue = expects_continue(fields)? && http11;
    let keep_alive = http11 && !names(fields, "Connection", "close");
    let forwarded: Vec<&[u8]> = values(fields, "X-Forwarded-For").collect();
    let peer = trusted.client(peer, forwarded.into_iter());

    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let mut headers = Headers::default();
    for field in fields.iter() {
        if !CONNECTION_FIELDS
            .iter()
            .any(|n| n.eq_ignore_ascii_case(field.name))
        {
            headers.push(field.name, clean(field.value));
        }
    }
    Ok(Valid {
        head: Head {
            method,
            path: path.to_owned(),
            query,
            http11,
            headers,
            peer,
        },
        length,
        expects_continue,
        keep_alive,
    })
}

fn request_line(line: &[u8]) -> Result<(Method, &str, bool), Refusal> {
    const MALFORMED: Refusal = refuse(400, "the request line is malformed");
    let line = line.strip_suffix(b"\r\n").ok_or(MALFORMED)?;
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MALFORMED);
    };
    let http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        _ => return Err(MALFORMED),
    };
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"PATCH" => Method::Patch,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        other if !other.is_empty() && other.iter().all(|&b| is_token(b)) => {
            return Err(refuse(501, "this method is not supported"));
        }
        _ => return Err(MALFORMED),
    };
    const TARGET: Refusal = refuse(
        400,
        "the target must be a path that starts with / and is percent-encoded",
    );
    let target = std::str::from_utf8(target).map_err(|_| TARGET)?;
    if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(TARGET);
    }
    Ok((method, target, http11))
}

fn check_host(fields: &[httparse::Header<'_>], http11: bool) -> Result<(), Refusal> {
    let mut hosts = values(fields, "Host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(refuse(400, "there is more than one Host field"));
    }
    match host {
        None if http11 => Err(refuse(400, "the Host field is missing")),
        Some(host)
            if !host
                .iter()
                .all(|&b| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(&b)) =>
        {
            Err(refuse(400, "the Host field is malformed"))
        }
        _ => Ok(()),
    }
}

fn body_length(fields: &[httparse::Header<'_>], http11: bool) -> Result<BodyLength, Refusal> {
    let mut codings = values(fields, "Transfer-Encoding");
    let mut lengths = values(fields, "Content-Length");
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(BodyLength::None),
        (Some(_), Some(_)) => Err(refuse(
            400,
            "Content-Length and Transfer-Encoding exclude each other",
        )),
        (Some(_), None) if !http11 => Err(refuse(400, "HTTP/1.0 has no Transfer-Encoding")),
        (Some(coding), None) => {
            if codings.next().is_some() {
                return Err(refuse(
                    400,
                    "there is more than one Transfer-Encoding field",
                ));
            }
            match coding.eq_ignore_ascii_case(b"chunked") {
                true => Ok(BodyLength::Chunked),
                false => Err(refuse(
                    501,
                    "the only transfer coding known here is chunked",
                )),
            }
        }
        (None, Some(length)) => {
            if lengths.next().is_some() {
                return Err(refuse(400, "there is more than one Content-Length field"));
            }
            if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                return Err(refuse(400, "Content-Length is not a number"));
            }
            std::str::from_utf8(length)
                .ok()
                .and_then(|text| text.parse().ok())
                .map(BodyLength::Exact)
                .ok_or(refuse(413, "Content-Length is too large"))
        }
    }
}

fn expects_continue(fields: &[httparse::Header<'_>]) -> Result<bool, Refusal> {
    let mut expected = false;
    for value in values(fields, "Expect") {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(refuse(
                417,
                "the only expectation known here is 100-continue",
            ));
        }
        expected = true;
    }
    Ok(expected)
}

fn values<'a>(fields: &'a [httparse::Header<'_>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |f| f.name.eq_ignore_ascii_case(name))
        .map(|f| f.value.trim_ascii())
}

/// Whether a field of that name lists `option`.
fn names(fields: &[httparse::Header<'_>], name: &str, option: &str) -> bool {
    values(fields, name).any(|value| {
        value
            .split(|&b| b == b',')
            .any(|o| o.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    })
}

/// A tab is white space in a value (RFC 9110 section 5.5); handlers see no control characters.
fn clean(value: &[u8]) -> Vec<u8> {
    value
        .trim_ascii()
        .iter()
        .map(|&b| if b == b'\t' { b' ' } else { b })
        .collect()
}

/// Whether a byte may be part of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
