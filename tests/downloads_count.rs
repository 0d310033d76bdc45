//! A link with N downloads serves N complete downloads, never N + 1: whatever the concurrency, the
//! crashes, the HEAD requests, ranges, previews and aborted transfers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use support::{Conn, Launch, Payload, Server, Upload, Uploaded, reset, slow, stranger, within};

/// A server whose broken downloads come back after two seconds.
fn short_lease() -> Server {
    Server::launched(Launch::with_settings(SHORT_LEASE))
}

const SHORT_LEASE: &str = "download_patience = \"2 s\"
";

/// What became of a stampede.
#[derive(Default)]
struct Tally {
    whole: AtomicU32,
    wrong: AtomicU32,
    broken: AtomicU32,
    busy: AtomicU32,
    gone: AtomicU32,
    other: AtomicU32,
}

impl Tally {
    fn count(counter: &AtomicU32) -> u32 {
        counter.load(Ordering::Relaxed)
    }
}

/// `clients` ask for the file at the same moment. `in_the_middle` runs once, when the first bytes of
/// any body have arrived.
fn stampede(
    server: &Server,
    file: &Uploaded,
    clients: usize,
    abort_every: usize,
    in_the_middle: Option<Box<dyn FnOnce() + Send>>,
) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    let barrier = Arc::new(Barrier::new(clients));
    let (started, middle) = std::sync::mpsc::channel::<()>();
    let trigger = in_the_middle.map(|act| {
        std::thread::spawn(move || {
            if middle.recv_timeout(Duration::from_secs(30)).is_ok() {
                act();
            }
        })
    });
    let threads: Vec<_> = (0..clients)
        .map(|n| {
            let (tally, barrier, started) = (tally.clone(), barrier.clone(), started.clone());
            let (address, target) = (server.address, file.target());
            let (size, sha256) = (file.size, file.sha256.clone());
            std::thread::Builder::new()
                .stack_size(512 * 1024)
                .spawn(move || {
                    // Half of them share an address, as behind one proxy.
                    let conn = if n % 2 == 0 {
                        Conn::open(address)
                    } else {
                        Conn::open_from(stranger(), address)
                    };
                    barrier.wait();
                    let Ok(mut conn) = conn else {
                        return tally.broken.fetch_add(1, Ordering::Relaxed);
                    };
                    if conn.ask("GET", &target, &["Connection: close"]).is_err() {
                        return tally.broken.fetch_add(1, Ordering::Relaxed);
                    }
                    let Ok(head) = conn.head() else {
                        return tally.broken.fetch_add(1, Ordering::Relaxed);
                    };
                    match head.status {
                        200 => {}
                        429 | 503 => return tally.busy.fetch_add(1, Ordering::Relaxed),
                        404 => return tally.gone.fetch_add(1, Ordering::Relaxed),
                        _ => return tally.other.fetch_add(1, Ordering::Relaxed),
                    }
                    if abort_every > 0 && n % abort_every == 0 {
                        let mut some = [0; 1024];
                        let _ = conn.read(&mut some);
                        let _ = started.send(());
                        reset(conn.stream);
                        return tally.broken.fetch_add(1, Ordering::Relaxed);
                    }
                    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
                    let mut got = 0;
                    let whole = conn.body(&head, |piece| {
                        context.update(piece);
                        got += piece.len() as u64;
                        let _ = started.send(());
                    });
                    let right = support::hex(context.finish().as_ref()) == sha256;
                    match (whole && got == size, right) {
                        (true, true) => tally.whole.fetch_add(1, Ordering::Relaxed),
                        (true, false) => tally.wrong.fetch_add(1, Ordering::Relaxed),
                        _ => tally.broken.fetch_add(1, Ordering::Relaxed),
                    }
                })
                .unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(started);
    if let Some(trigger) = trigger {
        trigger.join().unwrap();
    }
    tally
}

#[test]
fn one_download_among_400_clients_is_one_download() {
    let rounds = if slow() { 50 } else { 5 };
    let server = Server::demo();
    for round in 0..rounds {
        let file = Upload::fresh(200_000).downloads(1).to(&server);
        let tally = stampede(&server, &file, 400, 0, None);
        assert_eq!(Tally::count(&tally.whole), 1, "round {round}");
        assert_eq!(Tally::count(&tally.wrong), 0, "round {round}");
        assert_eq!(Tally::count(&tally.other), 0, "round {round}");
        assert!(server.has_lost(&file), "round {round}");
    }
}

#[test]
fn three_downloads_among_40_clients_are_three() {
    let server = Server::demo();
    for _ in 0..3 {
        let file = Upload::fresh(200_000).downloads(3).to(&server);
        let tally = stampede(&server, &file, 40, 0, None);
        assert_eq!(Tally::count(&tally.whole), 3);
        assert!(server.has_lost(&file));
    }
}

#[test]
fn killed_in_the_middle_it_is_never_two_and_usable_again_if_it_was_none() {
    let rounds = if slow() { 50 } else { 6 };
    let mut server = short_lease();
    for round in 0..rounds {
        let file = Upload::fresh(8_000_000).downloads(1).to(&server);
        let pid = rustix::process::Pid::from_raw(server.pid().cast_signed()).unwrap();
        let kill: Box<dyn FnOnce() + Send> = Box::new(move || {
            // At another point of the transfer in every round.
            std::thread::sleep(Duration::from_micros(round * 400));
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        });
        let tally = stampede(&server, &file, 400, 7, Some(kill));
        let first = Tally::count(&tally.whole);
        assert!(first <= 1, "round {round}: {first} whole downloads");
        server.restart();
        // Whoever comes now gets it, if and only if nobody had it. The bytes that complete a file
        // may have gone out unseen: then it counts as delivered, too, and is gone.
        let mut later = 0;
        within(Duration::from_secs(10), || {
            match server.download(&file.target(), &[]) {
                (200, Some(sha)) if sha == file.sha256 => {
                    later += 1;
                    true
                }
                (404, _) => true,
                _ => false,
            }
        });
        assert!(
            first + later <= 1,
            "round {round}: {first} before, {later} after the crash"
        );
        assert!(server.has_lost(&file), "round {round}: used up, or counted");
    }
}

#[test]
fn aborted_downloads_give_the_file_back() {
    let server = short_lease();
    let file = Upload::fresh(20_000_000).downloads(1).to(&server);
    let begin = || {
        let mut conn = Conn::open_narrow(server.address, 16 * 1024).unwrap();
        conn.ask("GET", &file.target(), &[]).unwrap();
        let status = conn.head().unwrap().status;
        assert_ne!(status, 404, "an aborted download was counted");
        (status == 200).then_some(conn)
    };
    for _ in 0..3 {
        let mut taken = None;
        let again = within(Duration::from_secs(120), || {
            taken = begin();
            taken.is_some()
        });
        assert!(again, "usable again after its lease");
        let mut conn = taken.unwrap();
        let mut some = vec![0; 100_000];
        assert!(conn.read(&mut some).unwrap() > 0);
        // While it runs, nobody else gets it, and everybody is told when to come back.
        let mut other = Conn::open_from(stranger(), server.address).unwrap();
        other.ask("GET", &file.target(), &[]).unwrap();
        let busy = other.head().unwrap();
        assert_eq!(busy.status, 429);
        assert!(busy.field("retry-after").is_some());
        reset(conn.stream);
    }
    assert!(
        within(Duration::from_secs(120), || server.delivers(&file)),
        "still one download left"
    );
    assert!(server.has_lost(&file));
}

#[test]
fn an_aborted_small_file_does_not_count_although_it_fits_the_buffers() {
    let server = short_lease();
    let file = Upload::fresh(50_000).downloads(1).to(&server);
    // The window of this client is smaller than the file: it cannot have been delivered.
    let mut conn = Conn::open_narrow(server.address, 2048).unwrap();
    conn.ask("GET", &file.target(), &[]).unwrap();
    assert_eq!(conn.head().unwrap().status, 200);
    std::thread::sleep(Duration::from_millis(300));
    reset(conn.stream);
    assert!(
        within(Duration::from_secs(15), || server.delivers(&file)),
        "bytes in the send queue are not delivered bytes"
    );
    assert!(server.has_lost(&file));
}

#[test]
fn parallel_ranges_with_the_cookie_are_one_download() {
    let server = Server::demo();
    let payload = Payload::fresh(1_000_000);
    let file = Upload::of(&payload).downloads(1).to(&server);
    let first = support::get(server.address, &file.target(), &["Range: bytes=0-249999"]);
    assert_eq!(first.status(), 206);
    let cookie = first
        .head
        .cookie()
        .expect("the first part comes with a cookie");
    let rest: Vec<_> = (1..4u64)
        .map(|n| {
            let (address, target) = (server.address, file.target());
            let lines = [
                format!("Range: bytes={}-{}", n * 250_000, n * 250_000 + 249_999),
                format!("Cookie: {cookie}"),
            ];
            std::thread::spawn(move || {
                support::get(address, &target, &[lines[0].as_str(), lines[1].as_str()])
            })
        })
        .collect();
    let mut all = first.body;
    for part in rest {
        let part = part.join().unwrap();
        assert_eq!(part.status(), 206, "{}", part.text());
        all.extend(part.body);
    }
    assert!(all == payload.bytes());
    assert!(
        within(Duration::from_secs(5), || server.has_lost(&file)),
        "four parts were one download"
    );
}

#[test]
fn two_clients_cannot_share_one_download_by_halves() {
    let server = Server::demo();
    let file = Upload::fresh(1_000_000).downloads(1).to(&server);
    let complete = AtomicUsize::new(0);
    // Both take the first half; only one of them can be the holder of the download.
    let halves: Vec<_> = (0..2)
        .map(|_| support::get(server.address, &file.target(), &["Range: bytes=0-499999"]))
        .collect();
    for half in halves {
        let cookie = half.head.cookie().map(|c| format!("Cookie: {c}"));
        let lines: Vec<&str> = ["Range: bytes=500000-999999"]
            .into_iter()
            .chain(cookie.as_deref())
            .collect();
        let second = support::get(server.address, &file.target(), &lines);
        if half.status() == 206 && second.status() == 206 && second.whole {
            complete.fetch_add(1, Ordering::Relaxed);
        }
    }
    assert!(complete.load(Ordering::Relaxed) <= 1);
}

#[test]
fn clients_that_share_a_cookie_share_one_whole_file() {
    const SIZE: u64 = 400_000;
    const STEP: u64 = 50_000;
    let server = Server::demo();
    let mut dice = Dice(1);
    for round in 0..if slow() { 100 } else { 10 } {
        let file = Upload::fresh(SIZE).downloads(1).to(&server);
        let mut cookie: Option<String> = None;
        // Three accomplices ask for parts in any order, until nothing is handed out any more.
        let mut has = [[false; (SIZE / STEP) as usize]; 3];
        for _ in 0..60 {
            let who = dice.below(3) as usize;
            let from = dice.below(SIZE / STEP);
            let to = from + 1 + dice.below(SIZE / STEP - from);
            let range = format!("Range: bytes={}-{}", from * STEP, to * STEP - 1);
            let with = cookie.as_ref().map(|c| format!("Cookie: {c}"));
            let mut lines = vec![range.as_str()];
            lines.extend(with.as_deref());
            let part = support::get(server.address, &file.target(), &lines);
            cookie = cookie.or_else(|| part.head.cookie());
            match part.status() {
                206 if part.whole => has[who][from as usize..to as usize].fill(true),
                404 => break,
                _ => {}
            }
        }
        let complete = has.iter().filter(|parts| parts.iter().all(|p| *p)).count();
        assert!(
            complete <= 1,
            "round {round}: {complete} whole files from one download"
        );
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn looking_never_counts() {
    let server = Server::demo();
    let file = Upload::fresh(100_000).downloads(1).to(&server);
    let head = support::fetch(server.address, "HEAD", &file.target(), &[]).unwrap();
    let etag = head.head.field("etag").unwrap().to_owned();
    for _ in 0..20 {
        let head = support::fetch(server.address, "HEAD", &file.target(), &[]).unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(server.get(&format!("/d?id={}", file.id)).status(), 200);
        let same = support::get(
            server.address,
            &file.target(),
            &[&format!("If-None-Match: {etag}")],
        );
        assert_eq!(same.status(), 304);
        let beyond = support::get(server.address, &file.target(), &["Range: bytes=100000-"]);
        assert_eq!(beyond.status(), 416);
    }
    assert!(server.delivers(&file));
    assert!(server.has_lost(&file));
}

#[test]
fn the_count_survives_a_restart() {
    let mut server = Server::demo();
    let file = Upload::fresh(100_000).downloads(3).to(&server);
    for left in [2, 1] {
        assert!(server.delivers(&file));
        server.kill();
        server.restart();
        let info = server
            .api("GET", &format!("/api/files/list/{}", file.id), &[])
            .json();
        assert_eq!(info["DownloadsRemaining"], left, "{info}");
    }
    assert!(server.delivers(&file));
    server.kill();
    server.restart();
    assert!(server.has_lost(&file));
}
