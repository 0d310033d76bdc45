//! The S3 client against a real object storage, in the clear and over TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::SystemClock;
use mayfly::store::s3::{Client, Kind, Method, Request};
use ring::digest::{SHA256, digest};
use std::io::Read;
use std::sync::Arc;
use support::S3Server;

fn client(server: &S3Server) -> Client {
    Client::new(&server.settings(), Arc::new(SystemClock::new())).unwrap()
}

fn request<'a>(method: Method, key: &'a str) -> Request<'a> {
    Request {
        method,
        key,
        query: &[],
        headers: &[],
    }
}

fn put_get_head_delete(server: &S3Server) {
    let client = client(server);
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let sum: [u8; 32] = digest(&SHA256, &bytes).as_ref().try_into().unwrap();
    let put = request(Method::Put, "a/file");
    let answer = client
        .send(&put, &mut &bytes[..], bytes.len() as u64, Some(&sum))
        .unwrap();
    assert_eq!(answer.status, 200);
    let answer = client
        .call(&request(Method::Head, "a/file"), b"", 0)
        .unwrap();
    assert_eq!(answer.length, Some(300_000));
    assert!(answer.etag.is_some());
    let mut got = Vec::new();
    let part = Request {
        headers: &[("range", "bytes=1000-250999")],
        ..request(Method::Get, "a/file")
    };
    let mut streaming = client.fetch(&part).unwrap();
    assert_eq!(streaming.status, 206);
    let range = streaming.range.unwrap();
    assert_eq!(
        (range.start, range.end, range.total),
        (1000, 250_999, Some(300_000))
    );
    streaming.read_to_end(&mut got).unwrap();
    assert!(got == bytes[1000..251_000]);
    client
        .call(&request(Method::Delete, "a/file"), b"", 0)
        .unwrap();
    let error = client
        .call(&request(Method::Head, "a/file"), b"", 0)
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::NotFound, "{error}");
    assert_eq!(client.health().problem(), None);
}

#[test]
fn an_object_is_stored_read_in_part_and_deleted() {
    let Some(server) = S3Server::start("an_object_is_stored") else {
        return;
    };
    put_get_head_delete(&server);
}

#[test]
fn the_same_goes_over_tls_with_an_authority_of_ones_own_and_one_handshake() {
    let Some(server) = S3Server::start_tls("the_same_goes_over_tls") else {
        return;
    };
    put_get_head_delete(&server);
    assert_eq!(server.handshakes(), 1);
}
