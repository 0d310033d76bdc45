//! What clients get back.

use crate::harness::{get, large_bytes, patient, rig, rig_behind};
use mayfly::server::Limits;
use std::io::Read;
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[test]
fn a_connection_serves_one_request_after_another() {
    let rig = rig(patient());
    let mut client = rig.client();
    for path in [
        "/a",
        "/bytes?5",
        "/t/stream?2000",
        "/t/open?2000",
        "/t/file?3000",
        "/b",
    ] {
        client.send(get(path).as_bytes());
        let reply = client.reply();
        assert_eq!((reply.status, reply.complete), (200, true), "{path}");
        assert_eq!(reply.field("Connection"), None, "{path}");
        assert!(reply.field("Date").unwrap().ends_with(" GMT"));
        assert_eq!(reply.field("Server"), None);
    }
    client.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.reply().text(), "read 3");
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.reply().field("Connection"), Some("close"));
    assert!(client.is_ended());
}

#[test]
fn bodies_are_framed_by_what_is_known() {
    let rig = rig(patient());
    for (path, length) in [
        ("/bytes?10", 10),
        ("/bytes?16384", 16384),
        ("/bytes?1000000", 1_000_000),
        ("/t/bytes?40000", 40000),
    ] {
        let reply = rig.ask(&get(path));
        assert_eq!(
            reply.field("Content-Length"),
            Some(&*length.to_string()),
            "{path}"
        );
        assert_eq!(reply.body, vec![b'b'; length]);
    }
    for (path, length, declared) in [
        ("/stream?5000", 5000, true),
        ("/t/stream?5000", 5000, true),
        ("/t/stream?0", 0, true),
        ("/open?50000", 50000, false),
        ("/t/open?50000", 50000, false),
        ("/t/open?0", 0, false),
    ] {
        let reply = rig.ask(&get(path));
        assert!(reply.complete, "{path}");
        assert_eq!(reply.body, vec![b's'; length], "{path}");
        assert_eq!(reply.field("Content-Length").is_some(), declared);
        assert_eq!(reply.field("Transfer-Encoding").is_some(), !declared);
    }
    let file = large_bytes();
    assert_eq!(rig.ask(&get("/t/file?3000000")).body, file[100..3_000_100]);
    let mixed = rig.ask(&get("/t/openfile?2000000"));
    assert!(mixed.complete);
    assert_eq!(
        mixed.body,
        [b"begin", &file[100..2_000_100], b"end"].concat()
    );
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let rig = rig(patient());
    let mut client = rig.client();
    for (path, length, coding) in [
        ("/", Some("5"), None),
        ("/bytes?100000", Some("100000"), None),
        ("/stream?99999999999999", Some("99999999999999"), None),
        ("/t/stream?99999999999999", Some("99999999999999"), None),
        ("/open?7", None, Some("chunked")),
        ("/t/open?7", None, Some("chunked")),
        ("/t/bytes?70000", Some("70000"), None),
    ] {
        client.send(get(path).replace("GET", "HEAD").as_bytes());
        let reply = client.reply_to("HEAD");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.field("Content-Length"), length, "{path}");
        assert_eq!(reply.field("Transfer-Encoding"), coding, "{path}");
    }
    client.send(get("/").as_bytes());
    assert_eq!(client.reply().text(), "hello");
}

#[test]
fn statuses_without_a_body_declare_none() {
    let rig = rig(patient());
    let mut client = rig.client();
    for room in ["", "/t"] {
        for status in [204, 304] {
            client.send(get(&format!("{room}/empty?{status}")).as_bytes());
            let reply = client.reply();
            assert_eq!(reply.status, status);
            assert_eq!(reply.field("Content-Length"), None);
            assert_eq!(reply.field("Transfer-Encoding"), None);
        }
        client.send(get(&format!("{room}/empty?404")).as_bytes());
        assert_eq!(client.reply().field("Content-Length"), Some("0"));
    }
}

#[test]
fn http_1_0_is_answered_once_and_closed() {
    let rig = rig(patient());
    for (path, body) in [
        ("/", "hello".to_owned()),
        ("/t/open?3", "sss".to_owned()),
        ("/t/stream?3", "sss".to_owned()),
    ] {
        let mut client = rig.client();
        client.send(format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").as_bytes());
        let reply = client.reply();
        assert_eq!(reply.text(), body);
        assert!(reply.complete);
        assert_eq!(reply.field("Transfer-Encoding"), None, "{path}");
        assert_eq!(reply.field("Connection"), Some("close"), "{path}");
        assert!(client.is_ended());
    }
}

#[test]
fn a_client_never_takes_a_part_for_the_whole() {
    let rig = rig(patient());
    for path in [
        "/t/short",
        "/t/long",
        "/t/broken",
        "/t/panicstream",
        "/t/shortfile",
    ] {
        for version in ["1.1", "1.0"] {
            let mut client = rig.client();
            client.send(format!("GET {path} HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes());
            match client.try_reply_to("GET") {
                Some(reply) if path == "/t/long" => assert!(reply.body.len() <= 500, "{path}"),
                Some(reply) => assert!(!reply.complete, "{path} {version}"),
                None => {}
            }
            assert!(client.is_ended(), "{path}");
        }
    }
    rig.assert_answers();
}

#[test]
fn a_handler_that_panics_costs_its_client_a_500_and_nobody_else() {
    let rig = rig(patient());
    for _ in 0..20 {
        for path in ["/panic", "/t/panic", "/p/panic"] {
            assert_eq!(rig.ask(&get(path)).status, 500, "{path}");
        }
    }
    rig.assert_answers();
    assert_eq!(rig.ask(&get("/p/")).status, 200);
}

#[test]
fn a_field_cannot_split_the_answer() {
    let rig = rig(patient());
    let reply = rig.ask(&get("/split"));
    assert_eq!(reply.field("X-Name"), Some("a??Set-Cookie: pwned=1"));
    assert_eq!(reply.field("Set-Cookie"), None);
}

#[test]
fn what_is_settled_was_acknowledged() {
    let rig = rig(patient());
    for path in ["/t/settle", "/t/opensettle"] {
        let reply = rig.ask(&get(&format!("{path}?3000000")));
        assert_eq!(reply.body.len(), 3_000_000);
        assert_eq!(rig.settled.recv().unwrap(), 3_000_000, "{path}");
        // A client that leaves has not got what is still queued.
        let mut client = rig.client();
        client.send(get(&format!("{path}?60000000")).as_bytes());
        let mut some = [0; 100_000];
        client.stream.read_exact(&mut some).unwrap();
        client.reset();
        let settled = rig.settled.recv().unwrap();
        assert!((1..60_000_000).contains(&settled), "{path} {settled}");
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_and_not_counted() {
    let rig = rig(Limits {
        write_stall: Duration::from_millis(200),
        ..patient()
    });
    let mut client = rig.client();
    client.send(get("/t/settle?90000000").as_bytes());
    let settled = rig.settled.recv().unwrap();
    assert!(settled < 90_000_000, "{settled}");
    let reply = client.try_reply_to("GET");
    assert!(reply.is_none_or(|reply| !reply.complete));
    rig.assert_answers();
}

/// Takes 5 MB so slowly that the socket of the server, which holds much of it, is not writable for
/// longer than the stall.
fn takes_a_little_now_and_then(path: &str) {
    let rig = rig(Limits {
        write_stall: Duration::from_secs(4),
        ..patient()
    });
    let mut client = rig.client();
    rustix::net::sockopt::set_socket_recv_buffer_size(client.stream.get_ref(), 32 * 1024).unwrap();
    client.send(get(path).as_bytes());
    let mut piece = [0; 64 * 1024];
    for _ in 0..35 {
        client.stream.read_exact(&mut piece).unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
    let mut left = 5_000_000 - 35 * piece.len();
    while left > 0 {
        let count = client.stream.read(&mut piece).unwrap();
        assert!(count > 0, "cut off");
        left = left.saturating_sub(count);
    }
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_not_cut_off() {
    takes_a_little_now_and_then("/t/stream?5000000");
}

#[test]
fn a_client_that_takes_a_little_of_a_file_now_and_then_is_not_cut_off() {
    takes_a_little_now_and_then("/t/file?5000000");
}

#[test]
fn small_answers_do_not_wait_for_acknowledgements() {
    let rig = rig(patient());
    let mut client = rig.client();
    for path in ["/bytes?2000", "/t/stream?2000", "/t/open?3000"] {
        let mut times: Vec<Duration> = (0..21)
            .map(|_| {
                let begun = Instant::now();
                client.send(get(path).as_bytes());
                assert!(client.reply().complete);
                begun.elapsed()
            })
            .collect();
        times.sort();
        // Nagle's algorithm against a delayed acknowledgement takes 40 ms.
        assert!(times[10] < Duration::from_millis(30), "{path} {times:?}");
    }
}

#[test]
fn the_peer_is_the_tcp_peer_unless_a_trusted_proxy_says_otherwise() {
    let request = "GET /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.9.9.9, 192.0.2.7\r\n\r\n";
    assert_eq!(rig(patient()).ask(request).text(), "127.0.0.1");
    let trusted = vec![(IpAddr::from([127, 0, 0, 0]), 8)];
    assert_eq!(
        rig_behind(patient(), trusted).ask(request).text(),
        "192.0.2.7"
    );
}

#[test]
fn handlers_see_utf8_but_neither_controls_nor_the_internal_field() {
    let rig = rig(patient());
    assert_eq!(
        rig.ask("GET /field HTTP/1.1\r\nHost: a\r\nX-Test: \u{fc}\tx\r\n\r\n")
            .text(),
        "\u{fc} x"
    );
    assert_eq!(
        rig.ask("GET /internal HTTP/1.1\r\nHost: a\r\nX-Mayfly-Exchange: 00\r\nx-mayfly-exchange: 0123456789abcdef0123456789abcdef\r\n\r\n").text(),
        "0"
    );
}

#[test]
fn draining_lets_requests_end_and_then_cuts() {
    let rig = rig(patient());
    let mut idle = rig.client();
    idle.send(get("/").as_bytes());
    idle.reply();
    let mut busy = rig.client();
    busy.send(get("/t/hold").as_bytes());
    rig.wait_for("/t/hold");
    let address = rig.server.address;
    let server = rig.server;
    let draining = std::thread::spawn(move || server.drain(Duration::from_secs(20)));
    assert!(idle.is_ended());
    assert!(std::net::TcpStream::connect(address).is_err());
    rig.release.send(()).unwrap();
    let reply = busy.reply();
    assert_eq!(
        (reply.text(), reply.field("Connection")),
        ("held", Some("close"))
    );
    drop(busy);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn draining_cuts_what_does_not_end() {
    let rig = rig(patient());
    let mut stuck: Vec<_> = (0..3)
        .map(|n| {
            let mut client = rig.client();
            let size = 10 + n;
            client.send(
                format!("POST /t/read HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\nabc")
                    .as_bytes(),
            );
            client
        })
        .collect();
    while rig.seen().len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(rig.server.is_alive());
    let begun = Instant::now();
    assert_eq!(rig.server.drain(Duration::from_millis(50)), 3);
    assert!(begun.elapsed() < Duration::from_secs(5));
    for client in &mut stuck {
        assert!(
            client
                .try_reply_to("POST")
                .is_none_or(|reply| reply.status == 400)
        );
    }
}
