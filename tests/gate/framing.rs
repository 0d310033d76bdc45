//! Requests that two parsers could read differently: none may reach the handler, or leave bytes
//! behind that are taken for another request.

use crate::harness::{patient, rig};

/// Name, bytes, statuses that are right.
const CASES: &[(&str, &str, &[u16])] = &[
    (
        "length and coding",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "coding and length",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "two equal lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        &[400],
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
        &[400],
    ),
    (
        "list of lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        &[400],
    ),
    (
        "negative length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        &[400],
    ),
    (
        "signed length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        &[400],
    ),
    (
        "hexadecimal length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        &[400],
    ),
    (
        "overflowing length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
        &[413],
    ),
    (
        "empty length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        &[400],
    ),
    (
        "spaced length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\nhello",
        &[400],
    ),
    (
        "length name and space",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        &[400],
    ),
    (
        "folded coding",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: b\r\n Transfer-Encoding: chunked\r\n\r\nabc",
        &[400],
    ),
    (
        "folded by a tab",
        "POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tTransfer-Encoding: chunked\r\n\r\n",
        &[400],
    ),
    (
        "first field folded",
        "POST / HTTP/1.1\r\n Host: a\r\n\r\n",
        &[400],
    ),
    (
        "identity",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        &[501],
    ),
    (
        "unknown coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        &[501],
    ),
    (
        "two codings",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        &[501],
    ),
    (
        "coding twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        &[400],
    ),
    (
        "coding name and space",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        &[400],
    ),
    (
        "coding after a vertical tab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n",
        &[400],
    ),
    (
        "coding in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("bare line feeds", "GET / HTTP/1.1\nHost: a\n\n", &[400]),
    (
        "one bare line feed",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        &[400],
    ),
    (
        "bare carriage return",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
        &[400],
    ),
    (
        "NUL in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        &[400],
    ),
    (
        "escape in a value",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \u{1b}[2J\r\n\r\n",
        &[400],
    ),
    (
        "NUL in the target",
        "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
    ),
    (
        "raw UTF-8 in the target",
        "GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
    ),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", &[400]),
    (
        "two Hosts",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        &[400],
    ),
    (
        "absolute form",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        &[400],
    ),
    (
        "lower-case method",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[501],
    ),
    (
        "other method",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[501],
    ),
    (
        "junk after the version",
        "GET / HTTP/1.1 junk\r\nHost: a\r\n\r\n",
        &[400],
    ),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    ("HTTP/0.9", "GET /\r\n\r\n", &[400]),
    ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[505]),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", &[505]),
    ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[505]),
    (
        "other expectation",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: coffee\r\nContent-Length: 3\r\n\r\nabc",
        &[417],
    ),
    (
        "no colon",
        "GET / HTTP/1.1\r\nHost: a\r\nwhat\r\n\r\n",
        &[400],
    ),
    (
        "empty name",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        &[400],
    ),
    (
        "space in a name",
        "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
        &[400],
    ),
    (
        "TLS",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
        &[400],
    ),
];

#[test]
fn forty_five_ambiguous_heads_are_refused_and_smuggle_nothing() {
    assert_eq!(CASES.len(), 45);
    let rig = rig(patient());
    for (name, bytes, statuses) in CASES {
        let mut client = rig.client();
        client.send(bytes.as_bytes());
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = client
            .try_reply_to("GET")
            .unwrap_or_else(|| panic!("{name}: no answer"));
        assert!(statuses.contains(&reply.status), "{name}: {}", reply.status);
        assert_eq!(reply.field("Connection"), Some("close"), "{name}");
        assert!(
            reply.complete && reply.text().len() > 5,
            "{name}: says what is wrong"
        );
        assert!(client.is_ended(), "{name}: the connection goes on");
    }
    assert_eq!(rig.seen(), [""; 0], "nothing may reach the handler");
    rig.assert_answers();
}

#[test]
fn an_unread_body_is_never_taken_for_a_request() {
    let rig = rig(patient());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let size = smuggled.len();
    for path in ["/refuse", "/t/refuse", "/p/refuse"] {
        for framed in [
            format!("Content-Length: {size}\r\n\r\n{smuggled}"),
            format!("Content-Length: {}\r\n\r\n{smuggled}", size + 1),
            format!("Content-Length: 100000000000000000\r\n\r\n{smuggled}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{smuggled}\r\n0\r\n\r\n"),
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}",
                size + 1
            ),
            format!("Transfer-Encoding: chunked\r\n\r\nzz\r\n{smuggled}"),
            format!(
                "Expect: 100-continue\r\nContent-Length: {}\r\n\r\n{smuggled}",
                size + 1
            ),
        ] {
            let mut client = rig.client();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framed}").as_bytes());
            // A body that is not complete is waited for where there is one thread only.
            let _ = client.stream.get_ref().shutdown(std::net::Shutdown::Write);
            if let Some(reply) = client.try_reply_to("POST") {
                assert!(matches!(reply.status, 400 | 401 | 413), "{path} {framed:?}");
            }
            assert!(client.is_ended(), "{path} {framed:?}");
        }
    }
    assert!(!rig.seen().iter().any(|path| path == "/smuggled"));
}

#[test]
fn broken_chunks_are_errors_and_end_the_connection() {
    let rig = rig(patient());
    for chunks in [
        "+3\r\nabc\r\n0\r\n\r\n",
        "\n\n3\r\nabc",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "g\r\n",
        "10000000000000000\r\n",
    ] {
        for path in ["/read", "/t/read", "/p/read"] {
            let mut client = rig.client();
            client.send(
                format!(
                    "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
                )
                .as_bytes(),
            );
            let reply = client.reply();
            assert_eq!(reply.status, 400, "{chunks:?}");
            assert!(client.is_ended());
        }
    }
    assert!(!rig.seen().iter().any(|s| s.starts_with("read")));
}

#[test]
fn trailers_and_extensions_are_dropped() {
    let rig = rig(patient());
    let mut client = rig.client();
    client.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Test: no\r\n\r\n");
    assert_eq!(client.reply().text(), "read 3");
    client.send(b"\r\nGET /field HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().text(), "none");
}

#[test]
fn upgrades_are_ignored() {
    let rig = rig(patient());
    let mut client = rig.client();
    client.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabcGET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().text(), "read 3");
    assert_eq!(client.reply().text(), "hello");
    assert_eq!(rig.seen(), ["/t/read", "/after"]);
}
