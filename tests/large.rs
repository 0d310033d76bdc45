//! Files beyond four gibibytes: lengths and offsets are 64 bits wide on every machine.
//!
//! Made to run against a foreign binary as well:
//! `MAYFLY_BIN=target/armv7-unknown-linux-gnueabihf/release/mayfly MAYFLY_RUNNER="qemu-arm-static -L
//! /usr/arm-linux-gnueabihf" MAYFLY_LARGE_BYTES=5368709120 cargo test --release --test large`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};
use support::{Blobs, Conn, GIB, Payload, Server, Upload, slow};

#[test]
fn a_file_beyond_four_gibibytes_goes_in_and_every_part_comes_out() {
    let asked = std::env::var("MAYFLY_LARGE_BYTES").ok();
    let size: u64 = match asked {
        Some(bytes) => bytes.parse().unwrap(),
        None if slow() => 5 * GIB,
        None => {
            eprintln!("LEFT OUT: a file of 5 GiB: set MAYFLY_SLOW=1 or MAYFLY_LARGE_BYTES");
            return;
        }
    };
    let server = Server::demo();
    let payload = Payload::fresh(size);
    let began = Instant::now();
    // Emulated, the last steps may take longer than a client would wait.
    let mut conn = server.connect();
    conn.patience(Duration::from_secs(600));
    let upload = Upload::of(&payload).downloads(0).named("large.bin");
    upload.send_on(&mut conn, &server.key, None).unwrap();
    let reply = conn.reply().unwrap();
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let file = upload.acknowledged(&reply);
    eprintln!("{size} bytes went in within {:.0?}", began.elapsed());
    assert_eq!(file.json["FileInfo"]["SizeBytes"], size);

    let head = support::fetch(server.address, "HEAD", &file.target(), &[]).unwrap();
    assert_eq!(head.head.length(), Some(size));
    let borders = [0, 16 * 1024, 2 * GIB, 4 * GIB, size / 2, size - 50];
    for border in borders.into_iter().filter(|b| *b < size) {
        let (from, last) = (border.saturating_sub(50), (border + 49).min(size - 1));
        let range = format!("Range: bytes={from}-{last}");
        let part = support::get(server.address, &file.target(), &[&range]);
        assert_eq!(part.status(), 206, "{range}");
        let said = format!("bytes {from}-{last}/{size}");
        assert_eq!(part.head.field("content-range"), Some(said.as_str()));
        assert!(
            part.body == payload.part(from, last + 1),
            "{range}: other bytes"
        );
    }
    assert!(server.delivers(&file), "whole and right");
    // Chunked, its length is known to nobody before its end.
    let chunked = Upload::fresh(size).chunked().downloads(1);
    let mut conn = Conn::open(server.address).unwrap();
    conn.patience(Duration::from_secs(600));
    chunked.send_on(&mut conn, &server.key, None).unwrap();
    let reply = conn.reply().unwrap();
    assert_eq!(reply.status(), 200, "{}", reply.text());
    assert_eq!(Blobs::in_dir(&server.dir).published.len(), 2);
}

#[test]
fn a_declared_length_beyond_32_bits_is_not_taken_for_a_small_one() {
    let server = Server::demo();
    // 4 GiB and five bytes: whoever cuts the number to 32 bits sees five.
    let mut conn = server.connect();
    conn.ask(
        "POST",
        "/api/files/add",
        &[
            "Content-Length: 4294967301",
            "Content-Type: multipart/form-data; boundary=b",
        ],
    )
    .unwrap();
    let _ = conn.send("helloGET /api/info/version HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = conn.reply().unwrap();
    assert_eq!(reply.status(), 401, "{}", reply.text());
    assert!(
        conn.head().is_err(),
        "the bytes of the body were taken for a request"
    );
    assert!(server.probe().is_some());
}
