//! Request bodies: whole, cut, slow, and of absurd lengths.

use crate::harness::{Client, Rig, eventually, get, patient, rig};
use mayfly::server::Limits;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn a_body_is_read_however_it_arrives() {
    let rig = rig(patient());
    let head = "HTTP/1.1\r\nHost: a\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    for path in ["/read", "/t/read", "/p/read"] {
        for framed in ["Content-Length: 11\r\n\r\nhello world", chunked] {
            let request = format!("POST {path} {head}{framed}");
            for at in [
                request.len(),
                request.len() - 1,
                request.len() - 11,
                request.len() - 20,
                10,
            ] {
                let mut client = rig.client();
                client.send(&request.as_bytes()[..at]);
                if at < request.len() {
                    std::thread::sleep(Duration::from_millis(3));
                    client.send(&request.as_bytes()[at..]);
                }
                client.send(get("/").as_bytes());
                assert_eq!(client.reply().text(), "read 11", "{path} {at}");
                assert_eq!(client.reply().text(), "hello", "{path} {at}");
            }
        }
    }
}

#[test]
fn large_bodies_pass() {
    let rig = rig(patient());
    let body = vec![b'x'; 5_000_000];
    for path in ["/read", "/t/read"] {
        let mut client = rig.client();
        client.send(
            format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n").as_bytes(),
        );
        client.send(&body);
        assert_eq!(client.reply().text(), "read 5000000");
        client.send(
            format!("PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                .as_bytes(),
        );
        for part in body.chunks(70_001) {
            client.send(format!("{:x}\r\n", part.len()).as_bytes());
            client.send(part);
            client.send(b"\r\n");
        }
        client.send(b"0\r\n\r\n");
        assert_eq!(client.reply().text(), "read 5000000");
    }
    let mut client = rig.client();
    client.send(b"POST /p/read HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
    client.send(&body[..100_000]);
    assert_eq!(client.reply().status, 413, "a password needs no such body");
}

#[test]
fn a_cut_body_is_an_error() {
    for reset in [false, true] {
        for start in [
            "Content-Length: 5000\r\n\r\nabcdefghi",
            "Transfer-Encoding: chunked\r\n\r\n100\r\nabcdefghi",
        ] {
            let rig = rig(patient());
            let mut client = rig.client();
            client.send(format!("POST /t/read HTTP/1.1\r\nHost: a\r\n{start}").as_bytes());
            rig.wait_for("/t/read");
            match reset {
                true => client.reset(),
                false => drop(client),
            }
            rig.wait_for("UnexpectedEof after 9");
        }
    }
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let rig = rig(patient());
    let mut client = rig.client();
    client.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    client.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.reply().text(), "read 3");
}

#[test]
fn continue_is_sent_when_the_body_is_wanted_and_only_then() {
    let rig = rig(patient());
    for path in ["/read", "/t/read", "/p/read"] {
        let mut client = rig.client();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").as_bytes());
        assert_eq!(client.reply().status, 100);
        client.send(b"abc");
        assert_eq!(client.reply().text(), "read 3", "{path}");
        client.send(get("/").as_bytes());
        assert_eq!(client.reply().text(), "hello");
    }
    for path in ["/refuse", "/t/refuse"] {
        let mut client = rig.client();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").as_bytes());
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.field("Connection")),
            (401, Some("close"))
        );
        assert!(client.is_ended());
    }
}

#[test]
fn a_refused_upload_reads_its_refusal() {
    let rig = rig(patient());
    for path in ["/refuse", "/t/refuse"] {
        let mut client = rig.client();
        client.send(
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n").as_bytes(),
        );
        client.send(&vec![b'x'; 200_000]);
        assert_eq!(client.reply().text(), "who are you?");
        assert!(client.is_ended());
    }
    // What is small and already here does not cost the connection.
    let mut client = rig.client();
    client.send(b"POST /t/refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.reply().status, 401);
    client.send(get("/").as_bytes());
    assert_eq!(client.reply().text(), "hello");
}

#[test]
fn absurd_lengths_cost_nothing() {
    let rig = rig(patient());
    for length in [
        "100000000000000000",
        "18446744073709551615",
        "4294967296",
        "4294967295",
    ] {
        for path in ["/length", "/t/length", "/t/refuse", "/t/read"] {
            let mut client = rig.client();
            client.send(
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nabc")
                    .as_bytes(),
            );
            if path == "/t/read" {
                drop(client);
                continue;
            }
            let reply = client.reply();
            match path {
                "/t/refuse" => assert_eq!(reply.status, 401),
                _ => assert_eq!(reply.text(), format!("Exact({length})")),
            }
            assert!(client.is_ended());
        }
    }
    rig.wait_for("UnexpectedEof after 3");
    rig.assert_answers();
}

#[test]
fn a_stalled_body_times_out() {
    let rig = rig(Limits {
        body_stall: Duration::from_millis(50),
        ..patient()
    });
    for path in ["/read", "/t/read", "/p/read"] {
        for start in [
            "Content-Length: 5000\r\n\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n10\r\nabc",
            "Transfer-Encoding: chunked\r\n\r\n1",
        ] {
            let mut client = rig.client();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{start}").as_bytes());
            assert_eq!(client.reply().status, 408, "{path} {start:?}");
            assert!(client.is_ended());
        }
    }
}

#[test]
fn a_client_that_waits_because_nobody_reads_is_not_held_to_its_deadlines() {
    let stall = Duration::from_millis(200);
    let rig = rig(Limits {
        body_stall: stall,
        write_stall: stall,
        ..patient()
    });
    let mut client = rig.client();
    // Few enough that the system takes them all: whatever comes late then is our own fault.
    let body = [b'x'; 200_000];
    client.send(b"POST /u/halt HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    client.send(&body);
    rig.wait_for("halted");
    // The time itself is what is to have no effect.
    std::thread::sleep(stall * 5);
    rig.release.send(()).unwrap();
    let reply = client.reply();
    assert_eq!((reply.status, &reply.body[..]), (200, &b"read 200000"[..]));
}

/// Sends `piece` twice a second until an answer comes or `bytes` are sent; returns the answer's status.
fn trickle(address: SocketAddr, piece: &[u8], bytes: usize) -> u16 {
    let mut client = TcpStream::connect(address).unwrap();
    let pause = Some(Duration::from_millis(500));
    client.set_read_timeout(pause).unwrap();
    let head = format!("POST /u/read HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let mut sent = 0;
    let mut answer = [0; 12];
    let until = Instant::now() + Duration::from_secs(600);
    while Instant::now() < until {
        let size = piece.len().min(bytes - sent);
        let _ = client.write_all(&piece[..size]);
        sent += size;
        if client.read_exact(&mut answer).is_ok() {
            let status = std::str::from_utf8(&answer[9..]).unwrap();
            return status.parse().unwrap();
        }
    }
    panic!("{sent} of {bytes} bytes were sent, and there is no answer");
}

#[test]
fn a_body_that_trickles_is_ended_after_a_minute_and_a_slow_one_is_not() {
    if std::env::var_os("MAYFLY_SLOW").is_none_or(|slow| slow == "0") {
        eprintln!("LEFT OUT: a body that trickles: takes a minute; set MAYFLY_SLOW=1");
        return;
    }
    let rig = rig(patient());
    let address = rig.server.address;
    std::thread::scope(|scope| {
        // A kibibyte a second is asked for, over the minute.
        let slow = scope.spawn(|| trickle(address, &[b'x'; 4096], 600_000));
        assert_eq!(trickle(address, &[b'x'; 100], 1_000_000), 408);
        assert_eq!(slow.join().unwrap(), 200);
    });
    rig.assert_answers();
}

fn stick(rig: &Rig, path: &str, count: usize) -> Vec<crate::harness::Client> {
    (0..count)
        .map(|_| {
            let mut client = rig.client();
            client.send(
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc")
                    .as_bytes(),
            );
            client
        })
        .collect()
}

#[test]
fn stuck_bodies_on_every_worker_leave_the_rest_alone() {
    let rig = rig(Limits {
        uploads: 20,
        ..patient()
    });
    let _control = stick(&rig, "/read", 20);
    let _passwords = stick(&rig, "/p/read", 10);
    let _refused: Vec<_> = stick(&rig, "/refuse", 5);
    let _uploads = stick(&rig, "/u/read", 20);
    rig.assert_answers();
    assert_eq!(
        rig.ask(&get("/p/")).status,
        200,
        "the password worker is free"
    );
    assert_eq!(rig.ask(&get("/t/")).status, 200, "downloads are apart");
    // The set is full by now or soon: it refuses at once.
    let mut full = false;
    for _ in 0..500 {
        let reply = rig.ask(&get("/u/"));
        full = reply.status == 503;
        if full {
            assert_eq!(reply.field("Retry-After"), Some("5"));
            break;
        }
    }
    assert!(full);
    rig.assert_answers();
}

#[test]
fn small_bodies_that_never_come_take_no_place_of_a_transfer() {
    let rig = rig(Limits {
        uploads: 1,
        downloads: 1,
        ..patient()
    });
    // Far more than wait for such bodies at once: the rest is refused.
    let mut forms = stick(&rig, "/p/read", 150);
    let mut refused = None;
    eventually("one is refused", || {
        refused = forms.iter().position(Client::has_reply);
        refused.is_some()
    });
    let reply = forms.remove(refused.unwrap()).reply();
    assert_eq!((reply.status, reply.field("Retry-After")), (503, Some("5")));
    for path in ["/u/", "/t/", "/c/"] {
        assert_eq!(rig.ask(&get(path)).status, 200, "{path}");
    }
    rig.assert_answers();
}

#[test]
fn changes_that_wait_for_a_slow_disk_hold_up_nobody_who_looks_something_up() {
    let rig = rig(patient());
    let mut changes: Vec<_> = (0..30).map(|_| rig.client()).collect();
    for client in &mut changes {
        client.send(get("/c/hold").as_bytes());
    }
    rig.wait_for("/c/hold");
    for _ in 0..20 {
        rig.assert_answers();
    }
    for _ in &changes {
        rig.release.send(()).unwrap();
    }
    for mut client in changes {
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn password_checks_beyond_the_queue_are_refused() {
    let rig = rig(patient());
    let clients: Vec<_> = (0..12)
        .map(|n| {
            let mut client = rig.client();
            client.send(get("/p/hold").as_bytes());
            if n == 0 {
                rig.wait_for("/p/hold");
            }
            client
        })
        .collect();
    rig.assert_answers();
    // One runs and eight wait; the others have their answers before anything is released.
    let answered = || {
        let is_answered = |client: &&crate::harness::Client| {
            let stream = client.stream.get_ref();
            stream.set_nonblocking(true).unwrap();
            let answered = stream.peek(&mut [0]).is_ok();
            stream.set_nonblocking(false).unwrap();
            answered
        };
        clients.iter().filter(is_answered).count()
    };
    for _ in 0..2000 {
        if answered() == 3 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..clients.len() {
        rig.release.send(()).unwrap();
    }
    let mut statuses: Vec<u16> = clients
        .into_iter()
        .map(|mut client| {
            let reply = client.reply();
            assert_eq!(reply.status == 429, reply.field("Retry-After").is_some());
            reply.status
        })
        .collect();
    statuses.sort_unstable();
    assert_eq!(
        statuses.iter().filter(|s| **s == 429).count(),
        3,
        "{statuses:?}"
    );
}
