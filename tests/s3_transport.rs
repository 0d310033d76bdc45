//! The S3 client against a real object storage, in the clear and over TLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::SystemClock;
use mayfly::store::s3::{Client, Kind, Method, Request, S3Settings, xml};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::io::{self, Read};
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

#[derive(Deserialize)]
struct Started {
    #[serde(rename = "UploadId")]
    id: String,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "Contents", default)]
    contents: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Size")]
    size: u64,
}

/// Queries with and without values, posts, parts without a hash: all that a multipart upload signs.
#[test]
fn parts_become_an_object_that_a_listing_shows() {
    let Some(server) = S3Server::start_tls("parts_become_an_object") else {
        return;
    };
    let client = client(&server);
    let start = Request {
        query: &[("uploads", "")],
        ..request(Method::Post, "some/prefix-1.2_3/whole")
    };
    let started = client.call(&start, b"", 10_000).unwrap();
    let id = xml::parse::<Started>(&started.body).unwrap().id;
    let mut document = String::from("<CompleteMultipartUpload>");
    for (number, size) in [("1", 5 << 20), ("2", 1000)] {
        let part = Request {
            query: &[("partNumber", number), ("uploadId", &id)],
            ..request(Method::Put, "some/prefix-1.2_3/whole")
        };
        let stored = client.send(&part, &mut io::repeat(7), size, None).unwrap();
        let etag = stored.etag.unwrap();
        document += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    document += "</CompleteMultipartUpload>";
    let complete = Request {
        query: &[("uploadId", &id)],
        ..start
    };
    client.call(&complete, document.as_bytes(), 10_000).unwrap();
    let list = Request {
        query: &[
            ("list-type", "2"),
            ("prefix", "some/prefix-1.2_3/"),
            ("start-after", "a b+c&d=e/~"),
        ],
        ..request(Method::Get, "")
    };
    let listing = client.call(&list, b"", 1 << 20).unwrap();
    let listing: Listing = xml::parse(&listing.body).unwrap();
    assert_eq!(listing.contents.len(), 1);
    assert_eq!(listing.contents[0].key, "some/prefix-1.2_3/whole");
    assert_eq!(listing.contents[0].size, (5 << 20) + 1000);
    // What is no longer there cannot be completed again: AWS says NoSuchUpload, this server AccessDenied.
    let again = client
        .call(&complete, document.as_bytes(), 10_000)
        .unwrap_err();
    assert!(
        matches!(again.kind(), Kind::NoUpload | Kind::Denied),
        "{again}"
    );
    assert_eq!(server.handshakes(), 1);
}

#[test]
fn odd_names_are_signed_as_they_are_sent() {
    let Some(server) = S3Server::start("odd_names_are_signed") else {
        return;
    };
    let client = client(&server);
    for key in [
        "a b",
        "a+b",
        "a%20b",
        "ü/€",
        "a$&=;:@,'()*!~b",
        "-._~",
        "q?x#y",
    ] {
        client
            .call(&request(Method::Put, key), key.as_bytes(), 0)
            .unwrap();
        let stored = client.call(&request(Method::Get, key), b"", 100);
        assert_eq!(stored.unwrap().body, key.as_bytes(), "{key}");
    }
}

#[test]
fn wrong_keys_secrets_buckets_and_hashes_are_told_apart() {
    let Some(server) = S3Server::start("wrong_keys_are_told_apart") else {
        return;
    };
    let attempt = |change: &dyn Fn(&mut S3Settings)| {
        let mut settings = server.settings();
        change(&mut settings);
        let client = Client::new(&settings, Arc::new(SystemClock::new())).unwrap();
        let list = Request {
            query: &[("list-type", "2"), ("max-keys", "1")],
            ..request(Method::Get, "")
        };
        let outcome = client.call(&list, b"", 10_000);
        outcome.map_or_else(|e| Some(e.kind().clone()), |_| None)
    };
    assert_eq!(attempt(&|_| {}), None);
    let secret = |s: &mut S3Settings| s.credentials.secret = "no".to_owned().into();
    assert_eq!(attempt(&secret), Some(Kind::BadSignature));
    let key = |s: &mut S3Settings| s.credentials.key_id = "no".to_owned().into();
    assert_eq!(attempt(&key), Some(Kind::BadKey));
    assert_eq!(
        attempt(&|s| s.bucket = "nothere".to_owned()),
        Some(Kind::NoBucket)
    );

    let client = client(&server);
    let put = request(Method::Put, "a");
    let wrong = client.send(&put, &mut io::repeat(7), 1000, Some(&[0; 32]));
    assert!(wrong.is_err(), "the server looks at the hash");
    let error = client
        .call(&request(Method::Head, "a"), b"", 0)
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::NotFound, "and stored nothing");
}

#[test]
fn a_condition_that_does_not_hold_is_told() {
    let Some(server) = S3Server::start("a_condition_that_does_not_hold") else {
        return;
    };
    let client = client(&server);
    let put = Request {
        headers: &[("if-none-match", "*")],
        ..request(Method::Put, "a")
    };
    client.call(&put, b"1", 0).unwrap();
    let error = client.call(&put, b"2", 0).unwrap_err();
    assert_eq!(*error.kind(), Kind::Precondition);
    let stored = client.call(&request(Method::Get, "a"), b"", 9).unwrap();
    assert_eq!(stored.body, b"1");
}

#[test]
fn a_body_that_stops_half_way_leaves_no_object() {
    let Some(server) = S3Server::start_tls("a_body_that_stops_half_way") else {
        return;
    };
    let client = client(&server);
    let half = &mut io::repeat(7).take(1 << 20);
    let error = client
        .send(&request(Method::Put, "a"), half, 2 << 20, None)
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::Body);
    let error = client
        .call(&request(Method::Head, "a"), b"", 0)
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::NotFound);
    let full = &mut io::repeat(7);
    client
        .send(&request(Method::Put, "a"), full, 2 << 20, None)
        .unwrap();
}
