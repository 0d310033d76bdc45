//! Clients that mean harm: slow, huge, endless, many, gone.

use crate::harness::{Client, eventually, get, patient, rig};
use mayfly::server::Limits;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

#[test]
fn slow_heads_are_answered_408_and_nobody_waits_for_them() {
    let rig = rig(Limits {
        head: Duration::from_millis(150),
        ..patient()
    });
    let mut slow: Vec<Client> = (0..200).map(|_| rig.client()).collect();
    for round in 0..5 {
        for client in &mut slow {
            client.send(&b"GET /slow HTTP/1.1\r\n"[round..=round]);
        }
        rig.assert_answers();
    }
    for client in &mut slow {
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.field("Connection")),
            (408, Some("close"))
        );
        assert!(client.is_ended());
    }
    assert!(!rig.seen().contains(&"/slow".to_owned()));
}

#[test]
fn long_heads_that_never_end_have_a_bound_together_and_short_ones_pass() {
    let rig = rig(patient());
    let mut crowd: Vec<Client> = (0..400).map(|_| rig.client()).collect();
    let begin = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(12_000));
    for client in &mut crowd {
        client.send(begin.as_bytes());
    }
    let mut last = crowd.pop().unwrap();
    let reply = last.reply();
    assert_eq!((reply.status, reply.field("Retry-After")), (503, Some("5")));
    rig.assert_answers();
    // Those that had room go on, and whoever leaves makes room.
    let mut first = crowd.swap_remove(0);
    first.send(b"\r\n\r\n");
    assert_eq!(first.reply().status, 200);
    drop(crowd);
    for _ in 0..1000 {
        let mut client = rig.client();
        client.send(begin.as_bytes());
        client.send(b"\r\n\r\n");
        if client.reply().status == 200 {
            return;
        }
    }
    panic!("the room was never given back");
}

#[test]
fn idle_connections_end_without_a_word() {
    let rig = rig(Limits {
        idle: Duration::from_millis(100),
        ..patient()
    });
    let mut fresh = rig.client();
    let mut used = rig.client();
    used.send(get("/").as_bytes());
    used.reply();
    assert!(fresh.is_ended() && used.is_ended());
}

#[test]
fn huge_heads_are_refused_early() {
    let rig = rig(patient());
    for (start, status) in [("GET / HTTP/1.1\r\nHost: a\r\nX: ", 431), ("GET /", 414)] {
        let mut client = rig.client();
        client.send(start.as_bytes());
        let begun = Instant::now();
        // The server stops taking them long before the end.
        client.send(&vec![b'x'; 10 << 20]);
        if let Some(reply) = client.try_reply_to("GET") {
            assert_eq!(reply.status, status);
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        let mut client = rig.client();
        client.send(start.as_bytes());
        client.send(&vec![b'x'; 100_000]);
        assert_eq!(client.reply().status, status, "{start:?}");
        assert!(client.is_ended());
    }
    let mut client = rig.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "a:b\r\n".repeat(20_000)).as_bytes());
    assert_eq!(client.reply().status, 431);
    assert_eq!(rig.seen(), [""; 0]);
}

#[test]
fn an_endless_chunk_size_line_is_refused() {
    let rig = rig(patient());
    for line in ["0", "1;x", "1 "] {
        let mut client = rig.client();
        client.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(line.as_bytes());
        client.send(&vec![b'0'; 100_000]);
        let reply = client.reply();
        assert_eq!((reply.status, reply.text()), (400, "InvalidData after 0"));
    }
    let mut client = rig.client();
    client.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    client.send(&b"x: y\r\n".repeat(20_000));
    assert_eq!(client.reply().status, 400);
}

#[test]
fn thousands_of_resets_change_nothing() {
    let rig = rig(patient());
    for n in 0..5_000 {
        let mut client = rig.client();
        if n % 2 == 0 {
            client.send(get("/t/stream?100").as_bytes());
        }
        client.reset();
        if n % 1_000 == 0 {
            rig.assert_answers();
        }
    }
    rig.assert_answers();
}

#[test]
fn a_thousand_future_versions_are_answered() {
    let rig = rig(patient());
    for _ in 0..1_000 {
        assert_eq!(rig.ask("GET / HTTP/2.0\r\n\r\n").status, 505);
    }
    assert_eq!(rig.seen(), [""; 0]);
    rig.assert_answers();
}

#[test]
fn ten_thousand_pipelined_requests_are_answered_in_order() {
    let rig = rig(patient());
    let client = rig.client();
    let mut writer = client.stream.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for n in 0..10_000 {
            let room = if n % 500 == 0 { "/t" } else { "" };
            writer
                .write_all(get(&format!("{room}/bytes?{}", n % 97)).as_bytes())
                .unwrap();
        }
    });
    let mut client = client;
    for n in 0..10_000 {
        assert_eq!(client.reply().body.len(), n % 97, "answer {n}");
    }
    sender.join().unwrap();
    rig.assert_answers();
}

#[test]
fn requests_behind_a_stalled_download_wait_alone() {
    let rig = rig(patient());
    let mut clients: Vec<Client> = (0..20).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.send(get("/t/stream?900000000").as_bytes());
        client.send(get("/behind").repeat(100).as_bytes());
    }
    for _ in 0..10 {
        rig.assert_answers();
    }
    assert!(!rig.seen().contains(&"/behind".to_owned()));
}

#[test]
fn clients_that_take_no_answers_are_cut_off() {
    let rig = rig(Limits {
        write_stall: Duration::from_millis(200),
        ..patient()
    });
    let mut client = rig.client();
    client
        .stream
        .get_ref()
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    // Each answer is small; together they fill every buffer on the way.
    let requests = get("/bytes?16000").repeat(100);
    let begun = Instant::now();
    while client
        .stream
        .get_mut()
        .write_all(requests.as_bytes())
        .is_ok()
        || client.stream.get_ref().take_error().unwrap().is_none()
    {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it was never cut off"
        );
        if client
            .stream
            .get_ref()
            .write(b"GET")
            .is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock)
        {
            break;
        }
    }
    rig.assert_answers();
}

#[test]
fn clients_that_take_no_answers_hold_up_neither_password_checks_nor_changes() {
    let rig = rig(patient());
    // One fills the thread for passwords, 64 fill the places for changes; an answer that is not
    // small is enough by itself.
    let ask = |room: &str, size: usize| get(&format!("/{room}/bytes?{size}"));
    for (room, count, size) in [("p", 1, 16_000), ("p", 9, 9_000_000), ("c", 64, 9_000_000)] {
        let clients: Vec<Client> = (0..count)
            .map(|_| {
                let mut client = rig.client();
                let stream = client.stream.get_mut();
                stream
                    .set_write_timeout(Some(Duration::from_millis(200)))
                    .unwrap();
                match size {
                    // Until the server reads no more of them.
                    ..=16_384 => while stream.write_all(ask(room, size).as_bytes()).is_ok() {},
                    _ => client.send(ask(room, size).as_bytes()),
                }
                client
            })
            .collect();
        for client in &clients {
            eventually("an answer begins", || client.has_reply());
        }
        let begun = Instant::now();
        assert_eq!(rig.ask(&get(&format!("/{room}/"))).status, 200);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{room} {size}: {took:?}");
    }
}

#[test]
fn a_crowd_is_told_to_come_back() {
    let rig = rig(Limits {
        connections: 10,
        ..patient()
    });
    let mut inside: Vec<Client> = (0..10).map(|_| rig.client()).collect();
    for client in &mut inside {
        client.send(get("/").as_bytes());
        assert_eq!(client.reply().status, 200);
    }
    let mut outside = rig.client();
    let reply = outside.reply();
    assert_eq!((reply.status, reply.field("Retry-After")), (503, Some("5")));
    drop(inside);
    for _ in 0..1000 {
        let mut client = rig.client();
        client.send(get("/").as_bytes());
        if client
            .try_reply_to("GET")
            .is_some_and(|reply| reply.status == 200)
        {
            return;
        }
    }
    panic!("the places were never given back");
}

#[test]
fn hundreds_of_turned_away_connections_cost_nothing() {
    let rig = rig(Limits {
        connections: 1,
        ..patient()
    });
    let mut inside = rig.client();
    inside.send(get("/").as_bytes());
    inside.reply();
    let crowd: Vec<Client> = (0..500).map(|_| rig.client()).collect();
    inside.send(get("/").as_bytes());
    assert_eq!(inside.reply().status, 200);
    for mut client in crowd {
        let mut answer = Vec::new();
        // Some get words, the rest an end.
        let _ = client.stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "));
    }
}
