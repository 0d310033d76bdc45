//! What the process needs: descriptors, threads, memory. Each test runs in a process of its own,
//! so that it can count, and so that limits hurt nobody else.

use crate::harness::{Client, eventually, get, patient, rig, rig_on};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Runs the test `name` of this file in a child process; true inside of it.
fn inside_child(name: &str) -> bool {
    const MARK: &str = "MAYFLY_GATE_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("resources::{name}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(MARK, "1")
        .env("RUNTIME_DIRECTORY", place.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

#[test]
fn the_backend_is_private_and_believes_nobody() {
    if !inside_child("the_backend_is_private_and_believes_nobody") {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let rig = rig(patient());
    // The process of its own has a directory of its own.
    let place = std::env::var_os("RUNTIME_DIRECTORY").unwrap();
    let entries = || {
        std::fs::read_dir(&place)
            .unwrap()
            .map(|e| e.unwrap().path())
    };
    let directory = entries().next().unwrap();
    let mode = std::fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for field in [
        "",
        "X-Mayfly-Exchange: 0123456789abcdef0123456789abcdef\r\n",
        "X-Mayfly-Exchange: 0\r\n",
        "X-Mayfly-Exchange:\r\n",
    ] {
        let mut foreign = UnixStream::connect(directory.join("http")).unwrap();
        write!(
            foreign,
            "GET /foreign HTTP/1.1\r\n{field}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        foreign.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{field:?} {answer}");
    }
    assert_eq!(rig.seen(), [""; 0]);
    rig.assert_answers();
    drop(rig);
    assert_eq!(entries().count(), 0, "the directory is removed");
}

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_lack_of_descriptors_passes() {
    if !inside_child("a_lack_of_descriptors_passes") {
        return;
    }
    let rig = rig(patient());
    let mut held = rig.client();
    held.send(get("/").as_bytes());
    held.reply();
    for _ in 0..3 {
        let mut fillers = fill();
        // The client's end takes the last descriptor, so the server has none for its own.
        fillers.pop();
        let mut waiting = rig.client();
        fillers.extend(fill());
        waiting.send(get("/").as_bytes());
        // Connections made before the lack are served during it.
        for path in ["/", "/t/", "/p/"] {
            held.send(get(path).as_bytes());
            assert_eq!(held.reply().status, 200);
        }
        assert!(rig.server.is_alive());
        drop(fillers);
        assert_eq!(waiting.reply().status, 200);
        rig.assert_answers();
    }
}

/// Takes every descriptor that is left.
fn fill() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn few_descriptors_are_enough_to_serve() {
    if !inside_child("few_descriptors_are_enough_to_serve") {
        return;
    }
    use rustix::process::{Resource, Rlimit, setrlimit};
    let few = Some(72);
    let limit = Rlimit {
        current: few,
        maximum: few,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let rig = rig(patient());
    for _ in 0..10 {
        // The clients' ends come out of the same few, so some of these may find none.
        let clients: Vec<TcpStream> = (0..8)
            .filter_map(|_| TcpStream::connect(rig.server.address).ok())
            .collect();
        drop(clients);
    }
    eventually("a client is served", || {
        let Ok(stream) = TcpStream::connect(rig.server.address) else {
            return false;
        };
        let mut client = Client::of(stream);
        client.send(get("/").as_bytes());
        client
            .try_reply_to("GET")
            .is_some_and(|reply| reply.status == 200)
    });
    assert!(rig.server.is_alive());
}

#[test]
fn a_listener_that_fails_for_good_is_told_once_and_running_requests_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let same = listener.try_clone().unwrap();
    let rig = rig_on(listener, patient(), Vec::new());
    let mut held = rig.client();
    held.send(get("/").as_bytes());
    held.reply();
    // Nothing brings a listener back that was shut down.
    rustix::net::shutdown(&same, rustix::net::Shutdown::Both).unwrap();
    let cause = rig.lost.recv_timeout(Duration::from_secs(20));
    assert!(cause.unwrap().contains("accepting fails"));
    assert!(!rig.server.is_alive());
    held.send(get("/").as_bytes());
    assert_eq!(held.reply().status, 200);
    assert_eq!(rig.server.drain(Duration::from_secs(5)), 0);
    assert!(rig.lost.try_recv().is_err(), "told more than once");
}

#[test]
fn nothing_is_left_behind() {
    if !inside_child("nothing_is_left_behind") {
        return;
    }
    // The first server starts what the process keeps for good.
    drop(rig(patient()));
    let threads = || count("/proc/self/task");
    eventually("the first server's threads end", || threads() <= 3);
    let (threads_before, files_before) = (threads(), count("/proc/self/fd"));
    let rig = rig(patient());
    let (threads_running, files_running) = (threads(), count("/proc/self/fd"));
    for round in 0..300 {
        let mut client = rig.client();
        let path = [
            "/",
            "/t/stream?1000",
            "/panic",
            "/t/panic",
            "/t/short",
            "/p/",
        ][round % 6];
        client.send(get(path).as_bytes());
        let _ = client.try_reply_to("GET");
        rig.ask("GET / HTTP/2.0\r\n\r\n");
        let mut cut = rig.client();
        cut.send(b"POST /t/read HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc");
        cut.reset();
    }
    eventually("threads and files end with their requests", || {
        threads() <= threads_running && count("/proc/self/fd") <= files_running
    });
    drop(rig);
    eventually("threads and files end with the server", || {
        threads() <= threads_before && count("/proc/self/fd") <= files_before
    });
}

#[test]
fn two_thousand_idle_connections_need_little() {
    if !inside_child("two_thousand_idle_connections_need_little") {
        return;
    }
    let connections = 2_000;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let enough = Some(8_192);
    let current = maximum.map_or(enough, |most| Some(most.min(8_192)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let rig = rig(patient());
    let serve_all = |clients: &mut Vec<std::net::TcpStream>| {
        for client in clients {
            client.write_all(get("/").as_bytes()).unwrap();
            let mut answer = [0; 512];
            assert!(client.read(&mut answer).unwrap() > 50);
        }
    };
    let connect = || std::net::TcpStream::connect(rig.server.address).unwrap();
    let mut warm: Vec<_> = (0..20).map(|_| connect()).collect();
    serve_all(&mut warm);
    let before = resident_kib();
    let mut clients: Vec<_> = (0..connections).map(|_| connect()).collect();
    serve_all(&mut clients);
    let each = (resident_kib().saturating_sub(before)) * 1024 / connections;
    assert!(each <= 2048, "{each} bytes for an idle connection");
    rig.assert_answers();
}
