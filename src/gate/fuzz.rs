//! What has to hold for every input that a client can send to the gate: for the fuzz targets, and
//! run over their corpus by the tests. Each function panics when it does not hold.

use super::framing::{Broken, Chunks, Piece};
use super::head::{self, Scan};
use super::peer::Trusted;
use crate::http::BodyLength;
use std::net::{IpAddr, Ipv4Addr};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// A request head: read the same however it arrives; what is accepted, httparse accepts with the
/// same meaning, and it means the same when it is written down again.
pub fn head(bytes: &[u8]) {
    let whole = Scan::default().end(bytes);
    let mut scan = Scan::default();
    let mut split = Ok(None);
    // Any step: the first byte chooses one.
    let step = usize::from(bytes.first().copied().unwrap_or(0) % 7) + 1;
    for end in (1..bytes.len()).step_by(step).chain([bytes.len()]) {
        split = scan.end(&bytes[..end]);
        if split != Ok(None) {
            break;
        }
    }
    match (whole, split) {
        (Ok(whole), Ok(split)) => assert_eq!(whole, split, "another end when it comes in pieces"),
        // A piece may end before the byte that is refused first in the whole; refused is refused.
        (Err(_), Err(_)) => {}
        (whole, split) => {
            panic!("whole: {whole:?}, in pieces: {split:?}");
        }
    }
    let Ok(Some(length)) = whole else { return };
    assert!(length <= head::LENGTH && bytes[..length].ends_with(b"\r\n\r\n"));
    let trusted = Trusted::new(vec![(PEER, 8)]);
    let Ok(valid) = head::parse(&bytes[..length], PEER, &trusted) else {
        return;
    };

    // Another parser reads the same.
    let mut space = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut space);
    let parsed = other.parse(&bytes[..length]);
    assert_eq!(parsed, Ok(httparse::Status::Complete(length)));
    let found = &valid.head;
    let mut target = found.path.clone();
    if let Some(query) = &found.query {
        target.push('?');
        target.push_str(query);
    }
    assert_eq!(other.method, Some(found.method.name()));
    assert_eq!(other.path, Some(target.as_str()));
    assert_eq!(other.version, Some(u8::from(found.http11)));
    let named = |name: &str| {
        let same = |f: &&httparse::Header<'_>| f.name.eq_ignore_ascii_case(name);
        other.headers.iter().filter(same).count()
    };
    let (lengths, codings) = (named("Content-Length"), named("Transfer-Encoding"));
    let framing = match valid.length {
        BodyLength::None => (0, 0),
        BodyLength::Exact(_) => (1, 0),
        BodyLength::Chunked => (0, 1),
    };
    assert_eq!((lengths, codings), framing, "the framing is ambiguous");
    assert!(named("Host") == 1 || (named("Host") == 0 && !found.http11));
    assert!(target.bytes().all(|b| b.is_ascii_graphic()));

    // No field that concerns the connection, no control character, gets to a handler.
    let mut again = format!(
        "{} {target} HTTP/1.{}\r\n",
        found.method.name(),
        u8::from(found.http11)
    )
    .into_bytes();
    if found.headers.all("Host").next().is_none() && found.http11 {
        panic!("the handler does not see the host");
    }
    assert!(found.headers.all(super::EXCHANGE_FIELD).next().is_none());
    for field in other.headers.iter() {
        for value in found.headers.all(field.name) {
            assert!(value.iter().all(|b| *b >= b' ' && *b != 0x7f));
        }
        if found.headers.all(field.name).next().is_some()
            || field.name.eq_ignore_ascii_case("X-Forwarded-For")
            || field.name.eq_ignore_ascii_case("Transfer-Encoding")
            || field.name.eq_ignore_ascii_case("Connection")
            || field.name.eq_ignore_ascii_case("Expect")
        {
            again.extend_from_slice(field.name.as_bytes());
            again.extend_from_slice(b": ");
            again.extend_from_slice(field.value);
            again.extend_from_slice(b"\r\n");
        }
    }
    again.extend_from_slice(b"\r\n");
    if again.len() < head::LENGTH {
        assert_eq!(Scan::default().end(&again), Ok(Some(again.len())));
        assert_eq!(head::parse(&again, PEER, &trusted), Ok(valid));
    }
}

/// A chunked body: the first byte says in which pieces it arrives. The same bytes come out of any
/// pieces, and what a decoder without pieces finds; what is cut is never taken for whole.
pub fn chunked(bytes: &[u8]) {
    let Some((&size, input)) = bytes.split_first() else {
        return;
    };
    let whole = decode(input, usize::MAX);
    let pieces = decode(input, usize::from(size) + 1);
    assert_eq!(whole, pieces, "other bytes when they come in pieces");
    assert_eq!(whole, reference(input), "other bytes than the grammar has");
    if let Ok(Some((_, end))) = &whole {
        for cut in [end / 2, end - 1] {
            assert_eq!(decode(&input[..cut], 3), Ok(None), "a cut body is whole");
        }
    }

    // The input as data, in chunks of that size, comes back as it was.
    let mut encoded = Vec::new();
    for chunk in input.chunks(usize::from(size) + 1) {
        encoded.extend_from_slice(format!("{:X};x=y\r\n", chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(b"0\r\nSome: trailer\r\n\r\n");
    let end = encoded.len();
    encoded.extend_from_slice(b"GET /");
    let decoded = decode(&encoded, usize::from(size % 11) + 1);
    assert_eq!(decoded, Ok(Some((input.to_vec(), end))));
}

/// The body, and where it ends; `None` when it does not end in `input`.
type Decoded = Result<Option<(Vec<u8>, usize)>, Broken>;

fn decode(input: &[u8], size: usize) -> Decoded {
    let mut chunks = Chunks::new();
    let mut body = Vec::new();
    let mut at = 0;
    while at < input.len() {
        let end = at.saturating_add(size).min(input.len());
        match chunks.next(&input[at..end])? {
            Piece::Framing(count) => at += count,
            Piece::Data { skip, left } => {
                at += skip;
                let here = end - at;
                let count = usize::try_from(left).map_or(here, |left| left.min(here));
                body.extend_from_slice(&input[at..at + count]);
                chunks.took(count as u64);
                at += count;
            }
            Piece::End(count) => return Ok(Some((body, at + count))),
        }
    }
    Ok(None)
}

/// The grammar of RFC 9112 section 7.1 with our limits, over a whole input, as simply as it can be
/// said.
fn reference(input: &[u8]) -> Decoded {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        // A size line: digits, and an extension without control characters.
        let line = &input[at..];
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let end = line.iter().position(|b| matches!(b, b'\r' | b'\n'));
        let text = &line[..end.unwrap_or(line.len())];
        let size = match std::str::from_utf8(&text[..digits]) {
            Ok("") | Err(_) => None,
            Ok(digits) => Some(u64::from_str_radix(digits, 16).map_err(|_| Broken)?),
        };
        let extension = &text[digits..];
        let begins = extension.first().is_none_or(|b| b" \t;".contains(b));
        let printable = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        if text.len() > 64 || !begins || !extension.iter().all(printable) {
            return Err(Broken);
        }
        let Some(end) = end else {
            return match size.is_some() || text.is_empty() {
                true => Ok(None),
                false => Err(Broken),
            };
        };
        let size = size.ok_or(Broken)?;
        match line.get(end..end + 2) {
            Some(b"\r\n") => {}
            None if line[end] == b'\r' => return Ok(None),
            _ => return Err(Broken),
        }
        at += end + 2;
        if size == 0 {
            return trailers(&input[at..]).map(|end| end.map(|end| (body, at + end)));
        }
        let rest = &input[at..];
        let take = usize::try_from(size).map_or(rest.len(), |size| size.min(rest.len()));
        body.extend_from_slice(&rest[..take]);
        at += take;
        match input.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Err(Broken),
            None => {
                return match input.get(at) {
                    None | Some(b'\r') => Ok(None),
                    Some(_) => Err(Broken),
                };
            }
        }
    }
}

/// Lines up to an empty one; where they end.
fn trailers(input: &[u8]) -> Result<Option<usize>, Broken> {
    let (mut at, mut together) = (0, 0);
    loop {
        let line = &input[at..];
        let end = line.iter().position(|b| matches!(b, b'\r' | b'\n'));
        let text = &line[..end.unwrap_or(line.len())];
        let printable = |b: &u8| *b == b'\t' || (*b >= b' ' && *b != 0x7f);
        together += text.len();
        if !text.iter().all(printable) || together > 4096 {
            return Err(Broken);
        }
        let Some(end) = end else { return Ok(None) };
        match line.get(end..end + 2) {
            Some(b"\r\n") => {}
            None if line[end] == b'\r' => return Ok(None),
            _ => return Err(Broken),
        }
        at += end + 2;
        if end == 0 {
            return Ok(Some(at));
        }
    }
}

/// `X-Forwarded-For`, a field on each line: without trust it counts for nothing, and nothing that
/// stands left of an untrusted address can change who the client is.
pub fn forwarded(bytes: &[u8]) {
    let networks = |list: &[(&str, u8)]| -> Vec<(IpAddr, u8)> {
        let parsed = list.iter().filter_map(|(a, p)| Some((a.parse().ok()?, *p)));
        parsed.collect()
    };
    let trusted = Trusted::new(networks(&[
        ("10.0.0.0", 8),
        ("2001:db8::", 32),
        ("::ffff:192.168.0.0", 112),
    ]));
    let fields: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    let client = trusted.client(PEER, fields.iter().copied());
    assert_eq!(client, client.to_canonical());
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(trusted.client(stranger, fields.iter().copied()), stranger);

    // One field with commas, or a field for each entry: the same list.
    let joined = fields.join(&b',');
    assert_eq!(trusted.client(PEER, [&joined[..]].into_iter()), client);
    let single = joined.split(|b| *b == b',');
    let single: Vec<&[u8]> = single.collect();
    assert_eq!(trusted.client(PEER, single.iter().copied()), client);

    // Whoever wrote the left end is not believed.
    if !trusted.contains(client) {
        let spoofed = [&b"127.0.0.1, 192.0.2.7"[..]];
        let spoofed = spoofed.into_iter().chain(fields.iter().copied());
        assert_eq!(trusted.client(PEER, spoofed), client);
    }
    if client != PEER {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let named = match client {
            IpAddr::V4(v4) => {
                let mapped = v4.to_ipv6_mapped().segments();
                text.contains(&v4.to_string())
                    || text.contains(&format!("{:x}:{:x}", mapped[6], mapped[7]))
                    || text.contains("ffff:")
            }
            IpAddr::V6(_) => text.contains(':'),
        };
        assert!(named, "{client} is nobody's entry");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn corpus(target: &str, check: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            check(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "no corpus for {target}");
    }

    #[test]
    fn everything_holds_for_the_corpus() {
        corpus("head", head);
        corpus("chunked", chunked);
        corpus("forwarded", forwarded);
    }
}
