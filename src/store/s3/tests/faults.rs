//! Answers that break off, never end, never come, or come too early.

use crate::store::s3::tests::stage::{Act, Body, answer, error, request, stage, stage_with};
use crate::store::s3::{Kind, Method, Range, Request, S3Error};
use std::io::{self, Read};
use std::time::Duration;

/// Short enough for a test that waits for it to be over.
const BRIEF: Duration = Duration::from_millis(200);

fn read_all(mut body: impl Read) -> (Vec<u8>, io::Result<usize>) {
    let mut bytes = Vec::new();
    let outcome = body.read_to_end(&mut bytes);
    (bytes, outcome)
}

#[test]
fn a_body_that_is_cut_off_is_an_error_after_all_bytes_that_came() {
    let half = "x".repeat(500);
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{half}");
    let counted = format!("HTTP/1.1 206 Part\r\nContent-Length: 1000\r\n\r\n{half}");
    for text in [chunked, counted] {
        let stage = stage(vec![Act::AnswerAndClose(text.clone().into_bytes())]);
        let streaming = stage.client.fetch(&request(Method::Get, "a")).unwrap();
        let (bytes, outcome) = read_all(streaming);
        assert_eq!(bytes.len(), 500);
        assert_eq!(
            outcome.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof,
            "{text}"
        );
    }
}

#[test]
fn a_small_answer_that_is_cut_off_is_tried_again() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal".to_vec();
    let stage = stage(vec![
        Act::AnswerAndClose(cut),
        Act::AnswerAndClose(b"HTTP/1.1 200".to_vec()),
        Act::AnswerAndClose(Vec::new()),
        Act::Answer(answer(200, "", "all of it")),
    ]);
    let answer = stage
        .client
        .call(&request(Method::Get, "a"), b"", 9)
        .unwrap();
    assert_eq!(answer.body, b"all of it");
    assert_eq!(stage.server.seen().len(), 4);
}

#[test]
fn a_body_without_a_length_is_not_believed() {
    let stage = stage(vec![Act::AnswerAndClose(
        b"HTTP/1.1 200 OK\r\n\r\nsome".to_vec(),
    )]);
    let error = stage.client.fetch(&request(Method::Get, "a")).unwrap_err();
    assert_eq!(*error.kind(), Kind::Broken);
}

#[test]
fn heads_and_bodies_without_an_end_are_cut() {
    let head = Act::Endless(b"X-More: and more and more and more\r\n".to_vec());
    let start =
        Act::Endless(b"HTTP/1.1 200 OK\r\nX-More: and more\r\nX-More: and more\r\n".to_vec());
    let line = Act::Endless(vec![b'x'; 1000]);
    for act in [head, start, line] {
        let stage = stage(vec![act]);
        let error = stage.client.fetch(&request(Method::Get, "a")).unwrap_err();
        assert_eq!(*error.kind(), Kind::Broken, "{error}");
    }
    for status in [200, 403] {
        let body = format!("HTTP/1.1 {status} OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut bytes = body.into_bytes();
        bytes.extend_from_slice(&b"5\r\nhello\r\n".repeat(100_000));
        let stage = stage(vec![Act::Hang(bytes)]);
        let put = request(Method::Put, "a");
        let outcome = stage.client.send(&put, &mut Body::of(1), 1, Some(&[0; 32]));
        let expected = if status == 200 {
            Kind::Broken
        } else {
            Kind::Denied
        };
        assert_eq!(*outcome.unwrap_err().kind(), expected);
    }
}

#[test]
fn an_answer_that_is_only_announced_for_ever_is_given_up() {
    let stage = stage_with(
        vec![Act::Endless(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())],
        BRIEF,
    );
    let error = stage.client.fetch(&request(Method::Get, "a")).unwrap_err();
    assert!(error.may_pass(), "{error}");
}

#[test]
fn silence_is_given_up_before_the_head_in_it_and_in_the_body() {
    for (said, what) in [
        (&b""[..], "nothing"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "half a head"),
    ] {
        let hang = || Act::Hang(said.to_vec());
        let stage = stage_with(vec![hang(), hang()], BRIEF);
        for _ in 0..2 {
            let error = stage.client.fetch(&request(Method::Get, "a")).unwrap_err();
            assert_eq!(*error.kind(), Kind::TimedOut, "{what}: {error}");
        }
        assert!(stage.client.health().problem().is_some());
    }
    let said = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal".to_vec();
    // The head has to come within the same time; a slow machine is given more of it.
    let streaming = (0..10).find_map(|doubled| {
        let stage = stage_with(vec![Act::Hang(said.clone())], BRIEF * (1 << doubled));
        stage.client.fetch(&request(Method::Get, "a")).ok()
    });
    let (bytes, outcome) = read_all(streaming.unwrap());
    assert_eq!(bytes, b"hal");
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let inner = error.get_ref().unwrap().downcast_ref::<S3Error>().unwrap();
    assert!(inner.may_pass());
}

#[test]
fn a_server_that_refuses_at_once_and_closes_is_heard() {
    for (status, code, kind) in [
        (403, "AccessDenied", Kind::Denied),
        (503, "SlowDown", Kind::Busy),
    ] {
        let stage = stage(vec![Act::Early(error(
            status,
            "Connection: close\r\n",
            code,
        ))]);
        let mut body = Body::of(64 << 20);
        let put = request(Method::Put, "a");
        let error = stage
            .client
            .send(&put, &mut body, 64 << 20, Some(&[0; 32]))
            .unwrap_err();
        assert_eq!((error.kind(), error.status()), (&kind, Some(status)));
        assert_eq!(body.read, 0, "no byte was wasted");
    }
}

#[test]
fn a_body_that_fails_is_this_ends_fault_and_the_connection_is_not_used_again() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let stage = stage(vec![
        Act::Answer(Vec::new()),
        Act::Answer(answer(200, "", "")),
    ]);
    let put = request(Method::Put, "a");
    let error = stage
        .client
        .send(&put, &mut Failing, 10, Some(&[0; 32]))
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::Body);
    assert!(
        !error.may_pass() && error.to_string().contains("the disk is gone"),
        "{error}"
    );
    assert_eq!(stage.client.health().problem(), None);
    let mut short = Body::of(9);
    let error = stage
        .client
        .send(&put, &mut short, 10, Some(&[0; 32]))
        .unwrap_err();
    assert_eq!(
        *error.kind(),
        Kind::Body,
        "it is shorter than it was said to be"
    );
}

#[test]
fn a_body_that_goes_on_is_sent_up_to_its_length() {
    let stage = stage(vec![Act::Answer(answer(200, "", ""))]);
    let put = request(Method::Put, "a");
    let mut body = Body::of(1000);
    stage
        .client
        .send(&put, &mut body, 600, Some(&[0; 32]))
        .unwrap();
    assert_eq!((body.read, stage.server.seen()[0].body.len()), (600, 600));
}

#[test]
fn nothing_is_sent_in_the_clear_without_its_hash() {
    let stage = stage(vec![]);
    let put = request(Method::Put, "a");
    let error = stage
        .client
        .send(&put, &mut Body::of(1), 1, None)
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::Refused);
    assert!(stage.server.seen().is_empty());
}

#[test]
fn a_range_is_told_and_one_that_makes_no_sense_is_not() {
    for (value, expected) in [
        ("bytes 5-9/20", Some((5, 9, Some(20)))),
        ("bytes 0-0/*", Some((0, 0, None))),
        ("bytes 9-5/20", None),
        ("bytes 5-20/20", None),
        ("bytes +5-9/20", None),
        ("bytes */20", None),
        ("items 5-9/20", None),
        ("bytes 5-99999999999999999999/*", None),
    ] {
        let headers = format!("Content-Range: {value}\r\n");
        let stage = stage(vec![Act::Answer(answer(206, &headers, "01234"))]);
        let get = Request {
            headers: &[("range", "bytes=5-9"), ("if-match", "\"e\"")],
            ..request(Method::Get, "a")
        };
        let streaming = stage.client.fetch(&get).unwrap();
        let expected = expected.map(|(start, end, total)| Range { start, end, total });
        assert_eq!(streaming.range, expected, "{value}");
        let seen = stage.server.seen();
        assert_eq!(seen[0].header("range"), Some("bytes=5-9"));
        assert_eq!(seen[0].header("if-match"), Some("\"e\""));
    }
}

#[test]
fn endpoints_and_prefixes_that_make_no_requests_are_refused_before_any() {
    use crate::store::s3::tests::stage::{Hand, settings};
    use crate::store::s3::{Client, S3Settings};
    let refused = |change: &dyn Fn(&mut S3Settings)| {
        let mut settings = settings("https://s3.example".to_owned());
        change(&mut settings);
        let clock = std::sync::Arc::<Hand>::default();
        Client::new(&settings, clock)
            .err()
            .map(|e| e.kind().clone())
    };
    assert_eq!(refused(&|_| {}), None);
    assert_eq!(
        refused(&|s| s.endpoint = "https://[::1]:9000".to_owned()),
        None
    );
    for endpoint in [
        "",
        "s3.example",
        "ftp://s3.example",
        "https://",
        "https://a b",
        "https://key@s3.example",
    ] {
        let kind = refused(&|s| s.endpoint = endpoint.to_owned());
        assert_eq!(kind, Some(Kind::Refused), "{endpoint}");
    }
    assert_eq!(
        refused(&|s| s.prefix = "a/../b/".to_owned()),
        Some(Kind::Refused)
    );
    assert_eq!(
        refused(&|s| s.ca_file = Some("/nowhere/ca.pem".into())),
        Some(Kind::Tls)
    );
}
