//! Files that come in chunks, as Gokapi's clients send them, and in every other order.

use super::*;

const ADD: &str = "/api/chunk/add";
const COMPLETE: &str = "/api/chunk/complete";
const KIND: &str = "multipart/form-data; boundary=XX";
const UUID: &str = "0123456789abcdef";

/// One chunk as a form: what stands before the file, the file, and what stands behind.
fn chunk(
    target: &str,
    before: &[(&str, &str)],
    bytes: Option<&[u8]>,
    behind: &[(&str, &str)],
) -> Ask {
    let mut body = form_fields(before).into_bytes();
    if let Some(bytes) = bytes {
        body.extend_from_slice(b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"uploadedfile\"\r\nContent-Type: application/octet-stream\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(form_fields(behind).as_bytes());
    body.extend_from_slice(b"--XX--\r\n");
    ask(Method::Post, target).body(KIND, &body)
}

/// The order of Gokapi's command line.
fn sent(bytes: &[u8], size: &str, offset: &str) -> Ask {
    let fields = [("filesize", size), ("offset", offset), ("uuid", UUID)];
    chunk(ADD, &[], Some(bytes), &fields)
}

fn completed(size: &str) -> Ask {
    get(COMPLETE)
        .header("uuid", UUID)
        .header("filename", "base64:w7xuaSDDqSAibmFtZSIucG5n")
        .header("filesize", size)
}

fn world() -> World {
    World::new()
}

#[test]
fn a_file_comes_in_chunks_as_the_command_line_sends_them() {
    let world = world();
    for (bytes, offset) in [(&b"world"[..], "6"), (b"hello ", "0")] {
        let answer = world.keyed(sent(bytes, "11", offset));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.text(), r#"{"result":"OK"}"#);
    }
    let answer = world.keyed(
        completed("11")
            .header("contenttype", "image/png")
            .header("allowedDownloads", "0")
            .header("expiryDays", "100001")
            .header("realsize", "11")
            .header("isE2E", "false"),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let info = &answer.json()["FileInfo"];
    assert_eq!(info["Name"], "üni é \"name\".png");
    assert_eq!(info["ContentType"], "image/png");
    assert_eq!(info["SizeBytes"], 11);
    assert_eq!(info["UnlimitedDownloads"], true);
    assert_eq!(info["UnlimitedTime"], true);
    let bytes = world.ask(get(&format!("/downloadFile?id={}", id(info))));
    assert_eq!(bytes.text(), "hello world");
}

#[test]
fn the_place_of_a_chunk_may_stand_anywhere() {
    let query = format!("{ADD}?uuid={UUID}&filesize=11&offset=0");
    let all = [("uuid", UUID), ("offset", "0"), ("filesize", "11")];
    let bytes = Some(&b"hello world"[..]);
    let orders = [
        chunk(ADD, &all, bytes, &[]),
        chunk(ADD, &all[..1], bytes, &all[1..]),
        chunk(ADD, &[], bytes, &all),
        chunk(&query, &[], bytes, &[]),
        // What comes first counts.
        chunk(&query, &[("offset", "5")], bytes, &[("filesize", "3")]),
        (all.iter()).fold(chunk(ADD, &[], bytes, &[]), |ask, (name, value)| {
            ask.header(name, value)
        }),
    ];
    for order in orders {
        for length in [order.length, BodyLength::Chunked] {
            let world = world();
            let order = Ask {
                head: order.head.clone(),
                body: order.body.clone(),
                length,
                takes: usize::MAX,
            };
            let answer = world.keyed(order);
            assert_eq!(answer.text(), r#"{"result":"OK"}"#);
            let answer = world.keyed(completed("11").header("nonblocking", "true"));
            assert_eq!(answer.text(), r#"{"result":"OK"}"#);
            let list = world.keyed(get("/api/files/list")).json();
            assert_eq!(list[0]["SizeBytes"], 11);
        }
    }
}

#[test]
fn what_is_wrong_with_a_chunk_is_told_as_gokapi_tells_it() {
    let world = world();
    let failure = |ask: Ask| world.keyed(ask).failure();
    let fields = |size, offset, uuid| {
        let fields = [("filesize", size), ("offset", offset), ("uuid", uuid)];
        failure(chunk(ADD, &[], Some(b"abc"), &fields))
    };
    for (said, status, code, text) in [
        (
            fields("3", "0", "123456789"),
            400,
            10,
            "invalid uuid submitted, needs to be at least 10 characters long",
        ),
        (fields("6291456", "0", UUID), 400, 11, "chunk is too small"),
        (
            fields("2", "0", UUID),
            400,
            13,
            "chunksize will be bigger than total filesize from this offset",
        ),
        (
            fields("", "0", UUID),
            400,
            10,
            "strconv.ParseInt: parsing \"\": invalid syntax",
        ),
        (fields("3", "-1", UUID), 400, 10, "value cannot be negative"),
        (
            failure(chunk(ADD, &[("uuid", UUID)], None, &[])),
            400,
            10,
            "http: no such file",
        ),
        (
            failure(ask(Method::Post, ADD).body("text/plain", b"abc")),
            400,
            0,
            "request Content-Type isn't multipart/form-data",
        ),
        (
            fields("1048577", "1048574", UUID),
            413,
            9,
            "upload limit exceeded: files may have up to 1048576 bytes",
        ),
    ] {
        assert_eq!(said, (status, code, text.to_owned()));
    }
    let before = [("uuid", UUID), ("offset", "0"), ("filesize", "6291456")];
    let small = failure(chunk(ADD, &before, Some(b"abc"), &[]));
    assert_eq!((small.0, small.1), (400, 11), "in the direct way, too");
    let unknown = failure(completed("3"));
    let text = "chunk file does not exist";
    assert_eq!(unknown, (400, 0, text.into()), "nothing has begun");
}

#[test]
fn what_is_wrong_with_the_end_is_told_and_the_chunks_stay() {
    let world = world();
    let failure = |ask: Ask| world.keyed(ask).failure();
    // The first chunk ends behind the file, by what a form adds: so that is found out only at its end.
    let before = [("uuid", UUID), ("offset", "0"), ("filesize", "2")];
    assert_eq!(failure(chunk(ADD, &before, Some(b"abc"), &[])).1, 13);
    let (status, code, text) = failure(completed("2"));
    assert_eq!((status, code), (400, 0));
    assert!(
        text.contains("bytes 0 to 1 of the file are missing"),
        "{text}"
    );
    // And a size with which nothing was taken binds nobody.
    assert_eq!(world.keyed(sent(b"abc", "3", "0")).status, 200);
    let gone = |name: &str| {
        let mut ask = completed("3");
        let all = std::mem::take(&mut ask.head.headers);
        for kept in ["uuid", "filename", "filesize"] {
            if let (Some(value), true) = (all.first(kept), kept != name) {
                ask = ask.header(kept, value);
            }
        }
        ask
    };
    for name in ["uuid", "filename", "filesize"] {
        let (status, code, text) = failure(gone(name));
        assert_eq!((status, code), (400, 4), "{name}");
        assert_eq!(text, format!("header {name} is required"));
    }
    let negative = gone("filesize").header("filesize", "-3");
    assert_eq!(failure(negative).2, "value cannot be negative");
    let name = gone("filename").header("filename", "base64:%");
    assert_eq!(failure(name).1, 4);
    let size = failure(gone("filesize").header("filesize", "4"));
    assert_eq!(size, (400, 0, "total filesize does not match".into()));
    let no_size = failure(completed("3").header("isE2E", "true"));
    let text = "e2e set, but realsize not submitted";
    assert_eq!(no_size, (400, 4, text.into()));
    let sealed = completed("3").header("isE2E", "1").header("realsize", "2");
    assert_eq!(failure(sealed).1, 17);
    assert_eq!(world.keyed(completed("3")).status, 200);
}

#[test]
fn a_chunk_may_be_sent_again_but_not_be_another() {
    let world = world();
    assert_eq!(world.keyed(sent(b"abc", "6", "3")).status, 200);
    assert_eq!(world.keyed(sent(b"abc", "6", "3")).status, 200);
    let (status, code, text) = world.keyed(sent(b"abd", "6", "3")).failure();
    assert_eq!((status, code), (409, 7), "{text}");
    let (status, code, text) = world.keyed(completed("6")).failure();
    assert_eq!((status, code), (400, 0));
    assert!(text.contains("bytes 0 to 2"), "{text}");
    // Its size is that of the whole.
    assert_eq!(world.keyed(sent(b"abc", "6", "0")).status, 200);
    assert_eq!(world.keyed(completed("6")).status, 200);
}

#[test]
fn chunks_need_a_key_that_may_upload() {
    let world = world();
    for ask in [sent(b"abc", "3", "0"), completed("3")] {
        let answer = world.ask(ask);
        assert_eq!(answer.failure(), (401, 2, "Unauthorized".into()));
        assert!(!answer.read);
    }
}
