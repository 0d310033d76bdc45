//! What is tried again, when, and how often; what is learnt from a refusal.

use crate::store::s3::tests::stage::{Act, Body, NOW, answer, error, request, stage};
use crate::store::s3::{Kind, Method, Request};
use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_request_is_tried_four_times_with_the_pauses_that_the_server_asks_for() {
    let slow = |after: &str| Act::Answer(error(503, after, "SlowDown"));
    let stage = stage(vec![
        slow("Retry-After: 3\r\n"),
        slow("Retry-After: Fri, 02 Jan 2026 03:04:12 GMT\r\n"),
        slow("Retry-After: 86400\r\n"),
        Act::Answer(answer(200, "ETag: \"e\"\r\n", "well")),
    ]);
    let put = request(Method::Put, "a");
    let answer = stage.client.call(&put, b"small", 100).unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"well"[..]));
    assert_eq!(answer.etag.as_deref(), Some("\"e\""));
    let seconds: Vec<u64> = stage.pauses().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [3, 7, 20], "the last one is cut");
    let seen = stage.server.seen();
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter()
            .all(|s| s.body == b"small" && s.head.starts_with("PUT /bucket/a HTTP"))
    );
}

#[test]
fn pauses_without_a_wish_grow_and_stay_below_their_bounds() {
    let broken = || Act::Answer(answer(500, "", ""));
    let stage = stage(vec![broken(), broken(), broken(), broken(), broken()]);
    let error = stage
        .client
        .call(&request(Method::Get, "a"), b"", 9)
        .unwrap_err();
    assert_eq!((error.kind(), error.status()), (&Kind::Server, Some(500)));
    assert_eq!(stage.server.seen().len(), 4);
    let pauses = stage.pauses();
    for (pause, most) in pauses.iter().zip([500, 1000, 2000]) {
        assert!(*pause <= Duration::from_millis(most), "{pauses:?}");
    }
    assert!(stage.client.health().problem().is_some());
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    for (status, code, kind) in [
        (404, "NoSuchKey", Kind::NotFound),
        (404, "NoSuchBucket", Kind::NoBucket),
        (404, "NoSuchUpload", Kind::NoUpload),
        (403, "AccessDenied", Kind::Denied),
        (403, "InvalidAccessKeyId", Kind::BadKey),
        (403, "SignatureDoesNotMatch", Kind::BadSignature),
        (412, "PreconditionFailed", Kind::Precondition),
        (501, "NotImplemented", Kind::NotImplemented),
        (400, "InvalidPart", Kind::Refused),
        (507, "XMinioStorageFull", Kind::Full),
        (403, "QuotaExceeded", Kind::Full),
    ] {
        let stage = stage(vec![Act::Answer(error(status, "", code))]);
        let error = stage
            .client
            .call(&request(Method::Post, "a"), b"", 9)
            .unwrap_err();
        assert_eq!((error.kind(), error.code()), (&kind, code));
        assert_eq!(
            error.to_string(),
            format!("the server says: it is so (status {status}, {code})")
        );
        assert!(!error.may_pass());
        assert_eq!(stage.server.seen().len(), 1, "{code}");
    }
}

#[test]
fn a_page_that_is_not_found_says_nothing_about_an_object() {
    let page = || Act::Answer(answer(404, "", "<html>no such page</html>"));
    for method in [Method::Get, Method::Delete] {
        let stage = stage(vec![page(), page(), page(), page()]);
        let error = stage
            .client
            .call(&request(method, "a"), b"", 9)
            .unwrap_err();
        assert_eq!(*error.kind(), Kind::Broken, "{method:?}");
    }
    let head = b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n".to_vec();
    let stage = stage(vec![Act::Answer(head)]);
    let error = stage.client.call(&request(Method::Head, "a"), b"", 9);
    assert_eq!(*error.unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_session_that_has_ended_is_said_so() {
    let stage = stage(vec![Act::Answer(error(400, "", "ExpiredToken"))]);
    let error = stage.client.call(&request(Method::Put, "a"), b"", 9);
    let error = error.unwrap_err();
    assert_eq!(*error.kind(), Kind::BadKey);
    assert!(error.remedy().contains("new session token"));
}

#[test]
fn an_error_in_an_answer_that_says_all_is_well_is_one() {
    let failed = || Act::Answer(error(200, "", "InternalError"));
    let stage = stage(vec![failed(), failed(), failed(), failed()]);
    let complete = Request {
        query: &[("uploadId", "u")],
        ..request(Method::Post, "a")
    };
    let error = stage.client.call(&complete, b"<x/>", 1000).unwrap_err();
    assert_eq!(*error.kind(), Kind::Server);
    assert_eq!(stage.server.seen().len(), 4);
}

#[test]
fn a_server_that_is_asked_for_too_much_says_so_by_its_status_alone() {
    for code in ["SlowDownWrite", "XMinioServerNotInitialized", ""] {
        let busy = || Act::Answer(error(503, "", code));
        let stage = stage(vec![busy(), Act::Answer(answer(200, "", ""))]);
        let head = stage.client.fetch(&request(Method::Get, "a"));
        assert_eq!(*head.unwrap_err().kind(), Kind::Busy, "{code}");
    }
}

#[test]
fn an_object_that_is_put_together_for_long_is_waited_for() {
    let blanks = " ".repeat(6000) + "<CompleteMultipartUploadResult/>";
    let complete = Request {
        query: &[("uploadId", "u")],
        ..request(Method::Post, "a")
    };
    let stage = stage(vec![Act::Answer(answer(200, "", &blanks))]);
    // More passes between two pieces of the answer than any other one may take.
    stage.clock.step.store(125, Ordering::SeqCst);
    let answer = stage.client.call(&complete, b"<x/>", 10_000).unwrap();
    assert!(answer.body.ends_with(b"Result/>"));
    assert_eq!(stage.server.seen().len(), 1);
}

#[test]
fn while_nothing_goes_well_a_request_is_tried_once() {
    let busy = || Act::Answer(error(503, "", "SlowDown"));
    let stage = stage((0..20).map(|_| busy()).collect());
    let get = request(Method::Get, "a");
    for seen in [4, 8, 9, 10] {
        stage.client.call(&get, b"", 9).unwrap_err();
        assert_eq!(stage.server.seen().len(), seen);
    }
}

#[test]
fn a_server_that_takes_a_body_drop_by_drop_is_given_up() {
    let slowly = || {
        let stage = stage(vec![Act::Answer(answer(200, "", ""))]);
        let length = 4 << 20;
        let put = request(Method::Put, "a");
        (stage, length, put)
    };
    // At 8 KiB a second it may take 9 minutes and a half.
    for (step, taken) in [(1, true), (60, false)] {
        let (stage, length, put) = slowly();
        stage.clock.step.store(step, Ordering::SeqCst);
        let sent = stage
            .client
            .send(&put, &mut Body::of(length), length, Some(&[0; 32]));
        assert_eq!(sent.is_ok(), taken, "{step}");
        if let Err(error) = sent {
            assert_eq!(*error.kind(), Kind::TimedOut);
            assert!(error.may_pass() && error.to_string().contains("slowly"));
        }
    }
}

#[test]
fn an_object_that_looks_like_an_error_is_an_object() {
    let stage = stage(vec![Act::Answer(error(200, "", "InternalError"))]);
    let got = stage
        .client
        .call(&request(Method::Get, "a"), b"", 1000)
        .unwrap();
    assert!(got.body.starts_with(b"<Error>"));
}

#[test]
fn a_clock_that_is_wrong_is_corrected_at_once_and_for_good() {
    let ahead = "Date: Fri, 02 Jan 2026 04:04:05 GMT\r\n";
    let stage = stage(vec![
        Act::Answer(error(403, ahead, "RequestTimeTooSkewed")),
        Act::Answer(answer(200, ahead, "")),
        Act::Answer(answer(200, ahead, "")),
    ]);
    let get = request(Method::Get, "a");
    stage.client.call(&get, b"", 9).unwrap();
    stage.client.call(&get, b"", 9).unwrap();
    let seen = stage.server.seen();
    let stamps: Vec<_> = seen
        .iter()
        .map(|s| s.header("x-amz-date").unwrap())
        .collect();
    assert_eq!(
        stamps,
        ["20260102T030405Z", "20260102T040405Z", "20260102T040405Z"]
    );
    assert!(stage.pauses().is_empty(), "there is nothing to wait for");
    assert_eq!(stage.client.health().problem(), None);
}

#[test]
fn a_refused_head_says_by_its_date_that_the_clock_is_wrong_and_no_one_asks_for_ever() {
    // A year behind, as a Raspberry Pi without a network may be.
    let late = "Date: Fri, 02 Jan 2026 03:04:05 GMT\r\n";
    let no =
        || Act::Answer(format!("HTTP/1.1 403 No\r\n{late}Content-Length: 9\r\n\r\n").into_bytes());
    let stage = stage(vec![no(), no()]);
    stage.clock.now.store(NOW - 31_536_000, Ordering::SeqCst);
    let error = stage
        .client
        .call(&request(Method::Head, "a"), b"", 0)
        .unwrap_err();
    assert_eq!(
        *error.kind(),
        Kind::Denied,
        "with the right time it is what it says"
    );
    let seen = stage.server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("x-amz-date"), Some("20250102T030405Z"));
    assert_eq!(seen[1].header("x-amz-date"), Some("20260102T030405Z"));
}

#[test]
fn an_upload_learns_of_a_wrong_clock_before_its_body_and_its_caller_tries_again() {
    let ahead = "Date: Fri, 02 Jan 2026 04:04:05 GMT\r\n";
    let stage = stage(vec![
        Act::Early(error(403, ahead, "RequestTimeTooSkewed")),
        Act::Answer(answer(200, "", "")),
    ]);
    let put = request(Method::Put, "a");
    let mut body = Body::of(1 << 20);
    let error = stage
        .client
        .send(&put, &mut body, 1 << 20, Some(&[0; 32]))
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::Skewed { by: 3600 });
    assert!(error.may_pass() && error.remedy().contains("behind"));
    assert_eq!(body.read, 0);
    stage
        .client
        .send(&put, &mut body, 1 << 20, Some(&[0; 32]))
        .unwrap();
    let seen = stage.server.seen();
    assert_eq!(seen[1].header("x-amz-date"), Some("20260102T040405Z"));
    assert_eq!(seen[1].body.len(), 1 << 20);
}

#[test]
fn another_region_is_named_and_no_redirect_is_followed() {
    for headers in [
        "Location: http://127.0.0.1:1/elsewhere\r\nx-amz-bucket-region: eu-central-1\r\n",
        "x-amz-bucket-region: eu-central-1\r\n",
    ] {
        for status in [301, 302, 307, 308] {
            let stage = stage(vec![Act::Answer(answer(status, headers, ""))]);
            let error = stage.client.fetch(&request(Method::Get, "a")).unwrap_err();
            let expected = Some("eu-central-1".to_owned());
            assert_eq!(*error.kind(), Kind::WrongRegion { expected });
            assert_eq!(stage.server.seen().len(), 1);
        }
    }
    let rude = "x-amz-bucket-region: eu \u{9b}2J\r\n";
    let unnamed = stage(vec![Act::Answer(answer(301, rude, ""))]);
    let error = unnamed
        .client
        .fetch(&request(Method::Get, "a"))
        .unwrap_err();
    assert_eq!(*error.kind(), Kind::Refused);
    let elsewhere = stage(vec![Act::Answer(answer(
        301,
        "Location: https://s3.lan:9443/bucket/a?x\r\n",
        "<html>moved</html>",
    ))]);
    let error = elsewhere
        .client
        .call(&request(Method::Get, "a"), b"", 9)
        .unwrap_err();
    assert!(!error.may_pass());
    let told = error.to_string();
    assert!(told.contains("https://s3.lan:9443/bucket/a: if"), "{told}");
    assert!(!told.contains("?x"), "{told}");
    let document = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message>\
                    <Region>garage</Region></Error>";
    let stage = stage(vec![Act::Answer(answer(400, "", document))]);
    let error = stage
        .client
        .call(&request(Method::Get, ""), b"", 9)
        .unwrap_err();
    let expected = Some("garage".to_owned());
    assert_eq!(*error.kind(), Kind::WrongRegion { expected });
}

#[test]
fn a_server_that_never_asks_for_a_body_is_not_waited_for_again_and_again() {
    let server = crate::store::s3::tests::stage::Server::following(
        (0..104)
            .map(|_| Act::Silently(answer(200, "", "")))
            .collect(),
    );
    let clock = std::sync::Arc::new(crate::model::SystemClock::new());
    let patience = crate::store::s3::exchange::Patience {
        asked: Duration::from_millis(20),
        ..Default::default()
    };
    let settings = crate::store::s3::tests::stage::settings(format!("http://{}", server.address));
    let client = crate::store::s3::Client::patient(&settings, clock, patience).unwrap();
    for _ in 0..104 {
        let mut body = Body::of(10);
        client
            .send(&request(Method::Put, "a"), &mut body, 10, Some(&[0; 32]))
            .unwrap();
    }
    let asked: Vec<bool> = server
        .seen()
        .iter()
        .map(|s| s.header("expect").is_some())
        .collect();
    let of_those: Vec<usize> = (0..104).filter(|n| asked[*n]).collect();
    assert_eq!(of_those, [0, 1, 2, 102], "rarely is not never");
    assert!(server.seen().iter().all(|s| s.body.len() == 10));
}

#[test]
fn a_slow_way_to_the_server_is_not_taken_for_its_silence() {
    let bodies = || (0..5).map(|_| Act::Answer(answer(200, "", "")));
    let stage = stage(bodies().collect());
    // All the time passes before the server has the head.
    stage.clock.step.store(1000, Ordering::SeqCst);
    for _ in 0..5 {
        let put = request(Method::Put, "a");
        let mut body = Body::of(10);
        stage
            .client
            .send(&put, &mut body, 10, Some(&[0; 32]))
            .unwrap();
    }
    let seen = stage.server.seen();
    assert!(seen.iter().all(|s| s.header("expect").is_some()));
}

#[test]
fn a_server_that_cannot_be_asked_is_not_asked_any_more() {
    let stage = stage(vec![
        Act::Early(answer(417, "", "")),
        Act::Answer(answer(200, "", "")),
    ]);
    let put = request(Method::Put, "a");
    let error = stage
        .client
        .send(&put, &mut Body::of(10), 10, Some(&[0; 32]))
        .unwrap_err();
    assert!(error.may_pass());
    stage
        .client
        .send(&put, &mut Body::of(10), 10, Some(&[0; 32]))
        .unwrap();
    assert_eq!(stage.server.seen()[1].header("expect"), None);
}

#[test]
fn a_server_that_is_away_is_not_asked_and_the_answer_says_why() {
    // Bound, so that nobody else gets the port, but nobody listens.
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let gone = std::net::TcpListener::from(socket);
    let settings =
        crate::store::s3::tests::stage::settings(format!("http://{}", gone.local_addr().unwrap()));
    let clock = std::sync::Arc::new(crate::store::s3::tests::stage::Hand::default());
    let patience = crate::store::s3::exchange::Patience {
        pause: Box::new(|_| {}),
        ..Default::default()
    };
    let client = crate::store::s3::Client::patient(&settings, clock, patience).unwrap();
    for _ in 0..2 {
        let error = client.call(&request(Method::Get, "a"), b"", 9).unwrap_err();
        assert_eq!(*error.kind(), Kind::Unreachable);
        assert!(error.to_string().contains("nothing listens"), "{error}");
    }
    let error = client.call(&request(Method::Get, "a"), b"", 9).unwrap_err();
    assert!(
        error.to_string().starts_with("the object storage is away"),
        "{error}"
    );
    assert!(
        client
            .fetch(&request(Method::Get, "a"))
            .unwrap_err()
            .retry_after()
            .is_some()
    );
    assert!(
        client
            .health()
            .problem()
            .unwrap()
            .contains("Look whether the server runs")
    );
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_replaced() {
    let stage = stage(vec![
        Act::AnswerAndClose(answer(200, "", "one")),
        Act::Answer(answer(200, "", "two")),
    ]);
    let get = request(Method::Get, "a");
    let mut first = String::new();
    stage
        .client
        .fetch(&get)
        .unwrap()
        .read_to_string(&mut first)
        .unwrap();
    let second = stage.client.call(&get, b"", 9).unwrap();
    assert_eq!((first.as_str(), &second.body[..]), ("one", &b"two"[..]));
}
