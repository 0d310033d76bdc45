//! Descriptors, threads, memory, and a directory that somebody else has.

use crate::seen::Seen;
use crate::support::{Injector, Launch, Server, Upload, command, fetch, get, under, within};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn goes_on(seen: &mut Seen, server: &Server, kept: &crate::support::Uploaded) {
    let fast = |t: Duration| t < Duration::from_secs(1);
    let answers = within(Duration::from_secs(10), || server.probe().is_some_and(fast));
    seen.holds("answers again after it", answers, server.log());
    seen.whole("download", server, kept);
    seen.upload("upload", server, &Upload::fresh(100_000));
    seen.same_process(server);
}

pub fn descriptors(seen: &mut Seen) {
    let server = Server::launched(Launch::under("prlimit --nofile=64"));
    let kept = Upload::fresh(100_000).downloads(0).to(&server);
    for _ in 0..3 {
        let held: Vec<TcpStream> = (0..300)
            .filter_map(|_| {
                let limit = Duration::from_millis(200);
                let stream = TcpStream::connect_timeout(&server.address, limit);
                stream.ok().inspect(|mut s| {
                    let _ = s.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
                })
            })
            .collect();
        assert!(held.len() > 64, "only {} connections", held.len());
        let used = within(Duration::from_secs(5), || {
            server.figures().descriptors() >= 60
        });
        assert!(used, "descriptors are left");
    }
    goes_on(seen, &server, &kept);
}

pub fn threads(seen: &mut Seen) {
    let server = Server::demo();
    let kept = Upload::fresh(100_000).downloads(0).to(&server);
    let fault = "error=EAGAIN";
    let injector = Injector::attach(server.pid(), None, "clone,clone3", fault).unwrap();
    seen.upload("upload", &server, &Upload::fresh(100_000));
    let (status, _) = server.download(&kept.target(), &[]);
    seen.status("download", status);
    seen.status("health", server.get("/health").status());
    // More at once than threads wait for them.
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| server.probe());
        }
    });
    drop(injector);
    seen.upload("after it: upload", &server, &Upload::fresh(100_000));
    seen.whole("download", &server, &kept);
    seen.same_process(&server);
}

pub fn threads_at_start(seen: &mut Seen) {
    let mut server = Server::demo();
    server.kill();
    let without_threads = Launch {
        prefix: under(None, "clone,clone3", "error=EAGAIN"),
        ..Launch::default()
    };
    match server.try_restart_as(without_threads) {
        Ok(()) => seen.note("NO end"),
        Err(refused) => {
            seen.note(match refused.code {
                Some(code) => format!("ends with {code}"),
                None => format!("NO end ({})", refused.why),
            });
            let told = refused.log.contains("mayfly: ") && refused.log.contains("hreads");
            seen.holds("says what to do", told, refused.log);
        }
    }
    let again = server.try_restart_as(Launch::default());
    seen.holds("starts after it", again.is_ok(), format!("{again:?}"));
}

pub fn processors(seen: &mut Seen) {
    let server = Server::launched(Launch {
        prefix: under(None, "sched_setaffinity", "error=EPERM"),
        ..Launch::default()
    });
    let (name, password) = &server.admin;
    let pair = data_encoding::BASE64.encode(format!("{name}:{password}").as_bytes());
    let basic = format!("Authorization: Basic {pair}");
    let login = ["Content-Length: 0", &basic];
    let reply = fetch(server.address, "POST", "/api/auth/create", &login);
    seen.status("login", reply.map_or(0, |reply| reply.status()));
    seen.status("health", server.get("/health").status());
}

pub fn memory(seen: &mut Seen) {
    let mut server = Server::demo();
    let kept = Upload::fresh(100_000).downloads(0).to(&server);
    // A few more megabytes than it has now: for some uploads, not for all.
    let limit = server.figures().address_space() + (6 << 20);
    let limited = Command::new("prlimit")
        .arg(format!("--as={limit}"))
        .args(["--pid", &server.pid().to_string()])
        .status();
    assert!(limited.unwrap().success());
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let reply = Upload::fresh(1 << 20).downloads(0).attempt(&server);
                if reply.is_ok_and(|r| r.status() == 503) {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    eprintln!("memory: {refused:?} of 40 refused");
    // Threads and buffers that cannot be had are refused. When there is nothing for the smallest thing,
    // the process ends, as every Rust program does, and the service manager starts it again.
    let soon = Duration::from_secs(5);
    if !within(soon, || server.probe().is_some()) {
        eprintln!("memory: it ended");
        server.restart_as(Launch::default());
    }
    let answers = server.probe().is_some();
    seen.holds("answers, perhaps after a restart", answers, server.log());
    seen.whole("download", &server, &kept);
    seen.upload("upload", &server, &Upload::fresh(100_000));
}

pub fn double_start(seen: &mut Seen) {
    let server = Server::demo();
    let kept = Upload::fresh(10_000).downloads(0).to(&server);
    let began = Instant::now();
    let second = command()
        .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&server.dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let took = began.elapsed();
    seen.note(format!("ends with {}", second.status.code().unwrap_or(-1)));
    let at_once = took < Duration::from_secs(2);
    seen.holds("at once", at_once, format!("{took:?}"));
    let said = String::from_utf8_lossy(&second.stderr);
    let told = said.contains("in use by another Mayfly");
    seen.holds("says who is in the way", told, &said);
    let goes_on = server.delivers(&kept) && get(server.address, "/health", &[]).status() == 200;
    seen.holds("the first goes on", goes_on, server.log());
}
