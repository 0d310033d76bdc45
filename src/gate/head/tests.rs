//! Heads that pass and heads that do not, as tables.

use super::*;

fn peer() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

fn read(head: &str) -> Result<Valid, u16> {
    let bytes = head.as_bytes();
    let length = Scan::default().end(bytes).map_err(|r| r.status)?;
    let length = length.ok_or(0u16)?;
    parse(&bytes[..length], peer(), &Trusted::default()).map_err(|r| r.status)
}

fn with(fields: &str) -> Result<Valid, u16> {
    read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn a_head_is_read() {
    let valid = read(
        "GET /d/a%20b?x=1?y HTTP/1.1\r\nHost: a:1\r\nX-Name:\t\u{fc}\tb \r\nCookie: c\r\nX-Forwarded-For: 10.0.0.1\r\n\
         x-mayfly-exchange: 00\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nrest",
    )
    .unwrap();
    let mut headers = Headers::default();
    headers.push("Host", *b"a:1");
    headers.push("X-Name", "\u{fc} b");
    headers.push("Cookie", *b"c");
    assert_eq!(
        valid,
        Valid {
            head: Head {
                method: Method::Get,
                path: "/d/a%20b".to_owned(),
                query: Some("x=1?y".to_owned()),
                http11: true,
                headers,
                peer: peer(),
            },
            length: BodyLength::None,
            expects_continue: false,
            keep_alive: true,
        }
    );
}

#[test]
fn request_lines() {
    for (line, status) in [
        ("GET / HTTP/2.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/1.10", 400),
        ("GET / http/1.1", 400),
        ("GET /", 400),
        ("GET", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 junk", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET\t/\tHTTP/1.1", 400),
        ("get / HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
        ("CONNECT a:1 HTTP/1.1", 501),
        ("BREW / HTTP/1.1", 501),
        ("G(T / HTTP/1.1", 400),
        ("GET http://a/ HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET /\u{fc} HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("GET /\u{1b}[2J HTTP/1.1", 400),
        ("GET /#f HTTP/1.1", 400),
        ("GET /\r HTTP/1.1", 400),
        (" GET / HTTP/1.1", 400),
        ("\u{16}\u{3}\u{1}", 400),
    ] {
        assert_eq!(
            read(&format!("{line}\r\nHost: a\r\n\r\n")),
            Err(status),
            "{line:?}"
        );
    }
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert!(read(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).is_ok());
    }
}

#[test]
fn lengths_and_codings() {
    for (fields, result) in [
        ("", Ok(BodyLength::None)),
        ("Content-Length: 0\r\n", Ok(BodyLength::Exact(0))),
        ("content-length:  7 \r\n", Ok(BodyLength::Exact(7))),
        (
            "Content-Length: 18446744073709551615\r\n",
            Ok(BodyLength::Exact(u64::MAX)),
        ),
        ("Content-Length: 18446744073709551616\r\n", Err(413)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(400)),
        ("Content-Length: 5, 5\r\n", Err(400)),
        ("Content-Length: +5\r\n", Err(400)),
        ("Content-Length: -1\r\n", Err(400)),
        ("Content-Length: 0x5\r\n", Err(400)),
        ("Content-Length: 5 5\r\n", Err(400)),
        ("Content-Length: 1e3\r\n", Err(400)),
        ("Content-Length: \u{665}\r\n", Err(400)),
        ("Content-Length:\r\n", Err(400)),
        ("Content-Length : 5\r\n", Err(400)),
        ("Transfer-Encoding: chunked\r\n", Ok(BodyLength::Chunked)),
        ("transfer-encoding: Chunked\r\n", Ok(BodyLength::Chunked)),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(400),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            Err(400),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        ("Transfer-Encoding: identity\r\n", Err(501)),
        ("Transfer-Encoding: xchunked\r\n", Err(501)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(501)),
        ("Transfer-Encoding: chunked, identity\r\n", Err(501)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(501)),
        ("Transfer-Encoding:\r\n", Err(501)),
        ("Transfer-Encoding : chunked\r\n", Err(400)),
        ("Transfer-Encoding:\u{b}chunked\r\n", Err(400)),
        ("X: b\r\n Transfer-Encoding: chunked\r\n", Err(400)),
        ("X: b\r\n\tTransfer-Encoding: chunked\r\n", Err(400)),
    ] {
        assert_eq!(with(fields).map(|v| v.length), result, "{fields:?}");
    }
    assert_eq!(
        read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(400)
    );
}

#[test]
fn hosts_and_expectations() {
    for (head, result) in [
        ("GET / HTTP/1.1\r\n\r\n", Err(400)),
        ("GET / HTTP/1.0\r\n\r\n", Ok(false)),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err(400)),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Err(400)),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Err(400)),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(400)),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Ok(false)),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n",
            Ok(true),
        ),
        ("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", Ok(false)),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
            Err(417),
        ),
    ] {
        assert_eq!(read(head).map(|v| v.expects_continue), result, "{head:?}");
    }
}

#[test]
fn the_connection_stays_only_when_the_client_wants_it() {
    for (fields, keep) in [
        ("", true),
        ("Connection: keep-alive\r\n", true),
        ("Connection: close\r\n", false),
        ("Connection: x, CLOSE\r\n", false),
        ("Connection: x\r\nConnection: close\r\n", false),
    ] {
        assert_eq!(with(fields).map(|v| v.keep_alive), Ok(keep), "{fields:?}");
    }
    assert!(
        !read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .unwrap()
            .keep_alive
    );
}

#[test]
fn line_ends_and_control_characters() {
    for (head, status) in [
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{1b}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        assert_eq!(read(head), Err(status), "{head:?}");
    }
}

#[test]
fn limits() {
    let fields = |n: usize| "X: y\r\n".repeat(n);
    assert!(with(&fields(FIELDS - 1)).is_ok());
    assert_eq!(with(&fields(FIELDS)), Err(431));
    assert_eq!(with(&fields(1000)), Err(431));
    assert_eq!(with(&format!("X: {}\r\n", "y".repeat(LENGTH))), Err(431));
    assert_eq!(
        read(&format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "y".repeat(LENGTH)
        )),
        Err(414)
    );
    let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let fit = LENGTH - start.len() - 4;
    assert!(read(&format!("{start}{}\r\n\r\n", "y".repeat(fit))).is_ok());
    assert_eq!(
        read(&format!("{start}{}\r\n\r\n", "y".repeat(fit + 1))),
        Err(431)
    );
}

#[test]
fn a_head_is_found_however_it_arrives() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for step in 1..head.len() {
        let mut scan = Scan::default();
        let mut found = None;
        for end in (step..head.len()).step_by(step).chain([head.len()]) {
            assert_eq!(found, None);
            found = scan.end(&head[..end]).unwrap();
        }
        assert_eq!(found, Some(head.len()));
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_nothing_dangerous_passes(
        bytes in proptest::collection::vec(
            proptest::sample::select(b"GET / HTP1.:\r\n\t\0ac,0Content-Lg".to_vec()), 0..200)
    ) {
        if let Ok(Some(length)) = Scan::default().end(&bytes)
            && let Ok(valid) = parse(&bytes[..length], peer(), &Trusted::default())
        {
            assert!(valid.head.path.bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
