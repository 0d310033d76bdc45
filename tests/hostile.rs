//! No client can stop it: floods, slow bodies, endless lines and lies in the framing. During each a
//! fresh client is answered within a second and memory stays within its bound; afterwards threads,
//! descriptors and memory are back and it is the same process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use support::{Blobs, Conn, Figures, GIB, Launch, MB, Server, Upload, optimised, reset, within};

/// Sieges take turns: they measure.
static TURN: Mutex<()> = Mutex::new(());

/// Memory while under attack. A build without optimisation has larger code and stacks.
const MEMORY: u64 = 30 * MB;
const MEMORY_UNOPTIMISED: u64 = 60 * MB;

/// A server that is being watched while it is attacked.
struct Siege {
    server: Server,
    before: (u64, usize, u64),
    stop: Arc<AtomicBool>,
    worst: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    watch: Option<std::thread::JoinHandle<()>>,
    _turn: MutexGuard<'static, ()>,
}

impl Siege {
    fn begin() -> Self {
        Self::of(Launch::default())
    }

    fn of(launch: Launch) -> Self {
        let turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let server = Server::launched(launch);
        // What the first requests start once and for all is no leak.
        for _ in 0..20 {
            server.probe().unwrap();
        }
        Upload::fresh(100_000).to(&server);
        let figures = server.figures();
        let before = (figures.threads(), figures.descriptors(), figures.rss());
        figures.forget_peak();
        let stop = Arc::new(AtomicBool::new(false));
        let (worst, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let watch = {
            let (stop, worst, failed) = (stop.clone(), worst.clone(), failed.clone());
            let address = server.address;
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let answered = Conn::open(address).is_ok_and(|mut conn| {
                        conn.patience(Duration::from_secs(5));
                        conn.ask("GET", "/health", &["Connection: close"]).is_ok()
                            && conn.reply().is_ok_and(|r| r.status() == 200)
                    });
                    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
                    worst.fetch_max(took, Ordering::Relaxed);
                    if !answered {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        Self {
            server,
            before,
            stop,
            worst,
            failed,
            watch: Some(watch),
            _turn: turn,
        }
    }

    /// Ends the siege: the server answered all the time, within its memory, and is as before.
    fn lifted(mut self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        self.watch.take().unwrap().join().unwrap();
        let figures = self.server.figures();
        assert!(figures.runs(), "{what}: the process ended");
        let worst = self.worst.load(Ordering::Relaxed);
        let peak = figures.peak();
        let after = |f: Figures| (f.threads(), f.descriptors(), f.rss());
        let (threads, descriptors, rss) = self.before;
        let back = within(Duration::from_secs(60), || {
            let (t, d, _) = after(figures);
            t <= threads + 2 && d <= descriptors + 2
        });
        let now = after(figures);
        eprintln!(
            "{what}: slowest probe {worst} ms, peak {:.1} MB, before {threads} threads {descriptors} fds {:.1} MB, after {} threads {} fds {:.1} MB",
            peak as f64 / 1e6,
            rss as f64 / 1e6,
            now.0,
            now.1,
            now.2 as f64 / 1e6
        );
        assert_eq!(
            self.failed.load(Ordering::Relaxed),
            0,
            "{what}: probes went unanswered"
        );
        assert!(worst <= 1000, "{what}: a probe waited {worst} ms");
        assert!(
            back,
            "{what}: threads or descriptors leaked: {:?} -> {now:?}",
            self.before
        );
        let bound = if optimised() {
            MEMORY
        } else {
            MEMORY_UNOPTIMISED
        };
        assert!(
            peak <= bound,
            "{what}: {:.1} MB at the peak",
            peak as f64 / 1e6
        );
        let file = Upload::fresh(10_000).to(&self.server);
        assert!(self.server.delivers(&file), "{what}: it still does its job");
    }

    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Sends bytes and returns all that comes until the server closes (or 20 s of silence).
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.open();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(n) = stream.read(&mut piece) {
            if n == 0 {
                break;
            }
            answer.extend_from_slice(&piece[..n]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.match_indices("HTTP/1.1 ");
    lines
        .filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok())
        .collect()
}

#[test]
fn lies_in_the_framing_are_refused_and_nothing_is_smuggled() {
    let siege = Siege::begin();
    let smuggled = "GET /api/info/version HTTP/1.1\r\nHost: x\r\napikey: smuggled\r\n\r\n";
    let head = "POST /api/files/add HTTP/1.1\r\nHost: x\r\n";
    let cases: Vec<(&str, String, &[u16])> = vec![
        (
            "both framings",
            format!(
                "{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
            &[400],
        ),
        (
            "two lengths",
            format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello{smuggled}"),
            &[400],
        ),
        (
            "a list of lengths",
            format!("{head}Content-Length: 5, 5\r\n\r\nhello{smuggled}"),
            &[400],
        ),
        (
            "a negative length",
            format!("{head}Content-Length: -1\r\n\r\n{smuggled}"),
            &[400],
        ),
        (
            "a length with a sign",
            format!("{head}Content-Length: +5\r\n\r\nhello{smuggled}"),
            &[400],
        ),
        (
            "a hexadecimal length",
            format!("{head}Content-Length: 0x5\r\n\r\nhello{smuggled}"),
            &[400],
        ),
        (
            "a length beyond all numbers",
            format!("{head}Content-Length: 99999999999999999999999\r\n\r\n{smuggled}"),
            &[400, 413],
        ),
        (
            "folded lines",
            format!(
                "{head}X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello{smuggled}"
            ),
            &[400],
        ),
        (
            "an unknown coding",
            format!("{head}Transfer-Encoding: xchunked\r\n\r\n{smuggled}"),
            &[400, 501],
        ),
        (
            "identity",
            format!("{head}Transfer-Encoding: identity\r\n\r\n{smuggled}"),
            &[400, 501],
        ),
        (
            "a space before the colon",
            format!("{head}Content-Length : 5\r\n\r\nhello{smuggled}"),
            &[400],
        ),
        (
            "bare line feeds",
            "GET /health HTTP/1.1\nHost: x\n\n".to_owned(),
            &[400],
        ),
        (
            "a NUL in a field",
            format!("{head}X-A: a\0b\r\nContent-Length: 0\r\n\r\n{smuggled}"),
            &[400],
        ),
        ("no host", "GET /health HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        (
            "two hosts",
            "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
            &[400],
        ),
        (
            "another version",
            "GET /health HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(),
            &[400, 505],
        ),
        (
            "an unknown expectation",
            format!("{head}Expect: 200-maybe\r\nContent-Length: 5\r\n\r\nhello"),
            &[417, 400],
        ),
        (
            "a forged inner header",
            "GET /api/info/version HTTP/1.1\r\nHost: x\r\nX-Exchange: 1\r\nX-Mayfly-Exchange: 1\r\nConnection: close\r\n\r\n".to_owned(),
            &[401],
        ),
        (
            "an unread chunked body",
            format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
                smuggled.len()
            ),
            &[401],
        ),
    ];
    for (what, bytes, allowed) in cases {
        let answer = siege.say(bytes.as_bytes());
        let got = statuses(&answer);
        assert_eq!(got.len(), 1, "{what}: one answer and no more: {answer:?}");
        assert!(allowed.contains(&got[0]), "{what}: {got:?}");
    }
    siege.lifted("framing");
}

#[test]
fn an_endless_head_is_refused() {
    let siege = Siege::begin();
    let mut long = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ".to_vec();
    long.resize(10 * 1024 * 1024, b'a');
    let mut many = b"GET /health HTTP/1.1\r\nHost: x\r\n".to_vec();
    for _ in 0..1_000_000 {
        many.extend_from_slice(b"a: b\r\n");
    }
    let mut target = b"GET /".to_vec();
    target.resize(10 * 1024 * 1024, b'a');
    for (what, bytes) in [
        ("one long field", long),
        ("a million fields", many),
        ("a long target", target),
    ] {
        let got = statuses(&siege.say(&bytes));
        // A client that goes on sending may see the connection end before it sees the answer.
        assert!(
            got.is_empty() || matches!(got[..], [414 | 431 | 400]),
            "{what}: {got:?}"
        );
    }
    siege.lifted("endless head");
}

#[test]
fn a_huge_length_is_a_number_and_nothing_else() {
    let siege = Siege::begin();
    let key = siege.server.key.clone();
    let say = |auth: &str, length: &str| {
        let request = format!(
            "POST /api/files/add HTTP/1.1\r\nHost: x\r\n{auth}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhello"
        );
        let got = statuses(&siege.say(request.as_bytes()));
        assert_eq!(got.len(), 1, "{length}: {got:?}");
        got[0]
    };
    // Gokapi answers a file that is too large with 400 and code 9; no space is 507.
    for length in [
        "100000000000000000",
        "9223372036854775808",
        "18446744073709551615",
    ] {
        assert!(matches!(say("", length), 401 | 413), "{length}");
        let status = say(&format!("apikey: {key}\r\n"), length);
        assert!(matches!(status, 400 | 413 | 507), "{length}: {status}");
    }
    assert!(matches!(say("", "34359738368"), 401 | 413));
    siege.lifted("huge lengths");
}

/// The head of an upload of `length` bytes.
fn begin_form(siege: &Siege, length: u64) -> Conn {
    let mut conn = siege.server.connect();
    let lines = [
        &format!("apikey: {}", siege.server.key),
        "Content-Type: multipart/form-data; boundary=b",
        &format!("Content-Length: {length}"),
    ];
    conn.ask("POST", "/api/files/add", &lines).unwrap();
    conn
}

#[test]
fn a_cancelled_upload_of_40_gib_leaves_nothing() {
    let siege = Siege::begin();
    for end_with_reset in [false, true, false, true] {
        let mut conn = begin_form(&siege, 40 * GIB);
        conn.send("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n")
            .unwrap();
        let megabyte = vec![7; 1_000_000];
        // A disk without 40 GiB refuses at once, which is right as well.
        let _ = conn.send(&megabyte);
        if end_with_reset {
            reset(conn.stream);
        } else {
            drop(conn);
        }
        let dir = &siege.server.dir;
        assert!(within(Duration::from_secs(10), || Blobs::in_dir(dir)
            .incoming
            .is_empty()));
    }
    siege.lifted("cancelled uploads");
}

#[test]
fn an_endless_chunk_line_is_cut() {
    let siege = Siege::begin();
    let key = &siege.server.key;
    for start in ["1;ext=", "0000000000", "5\r\nhello\r\n1;"] {
        let mut stream = siege.open();
        write!(stream, "POST /api/files/add HTTP/1.1\r\nHost: x\r\napikey: {key}\r\nContent-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n{start}").unwrap();
        let piece = [b'0'; 65536];
        let cut = (0..3200).any(|_| stream.write_all(&piece).is_err());
        assert!(cut, "200 MB of a chunk line were taken");
    }
    siege.lifted("endless chunk lines");
}

#[test]
fn twenty_thousand_resets_do_no_harm() {
    let siege = Siege::begin();
    for n in 0..20_000 {
        let Ok(mut stream) = TcpStream::connect(siege.server.address) else {
            continue;
        };
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        reset(stream);
    }
    siege.lifted("resets");
}

#[test]
fn a_thousand_lines_of_another_version_do_no_harm() {
    let siege = Siege::begin();
    let mut held = Vec::new();
    for _ in 0..1000 {
        let mut stream = siege.open();
        stream.write_all(b"GET / HTTP/2.0\r\n\r\n").unwrap();
        held.push(stream);
    }
    for mut stream in held {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let got = statuses(&String::from_utf8_lossy(&answer));
        assert!(matches!(got[..], [400 | 505]), "{got:?}");
    }
    siege.lifted("HTTP/2.0");
}

#[test]
fn two_hundred_thousand_pipelined_requests_are_answered_one_by_one() {
    let siege = Siege::begin();
    let count = if optimised() { 200_000 } else { 20_000 };
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut stream = siege.open();
    let mut reader = stream.try_clone().unwrap();
    let counter = std::thread::spawn(move || {
        let (mut seen, mut tail) = (0, Vec::new());
        let mut piece = [0; 65536];
        while seen < count {
            match reader.read(&mut piece) {
                Ok(n) if n > 0 => tail.extend_from_slice(&piece[..n]),
                _ => break,
            }
            let text = String::from_utf8_lossy(&tail).into_owned();
            seen += text.matches("HTTP/1.1 200").count();
            // A status line that was cut in two is kept for the next round.
            let keep = tail.len().min(11);
            let rest = tail.split_off(tail.len() - keep);
            tail = if String::from_utf8_lossy(&rest).contains("HTTP/1.1 200") {
                Vec::new()
            } else {
                rest
            };
        }
        seen
    });
    let batch: Vec<u8> = request.repeat(1000);
    for _ in 0..count / 1000 {
        if stream.write_all(&batch).is_err() {
            break;
        }
    }
    let seen = counter.join().unwrap();
    // The server may end a connection after many requests, but not before it has served plenty.
    assert!(seen >= 1, "no pipelined request was answered");
    eprintln!("{seen} of {count} pipelined requests were answered");
    siege.lifted("pipelining");
}

#[test]
fn stuck_bodies_on_every_worker_do_not_block_the_others() {
    let siege = Siege::begin();
    let key = siege.server.key.clone();
    let file = Upload::fresh(100_000).to(&siege.server);
    let mut held = Vec::new();
    // With a key they occupy transfers; without one they are answered before the body.
    for n in 0..500 {
        let mut stream = siege.open();
        let auth = if n % 5 == 0 {
            String::new()
        } else {
            format!("apikey: {key}\r\n")
        };
        let expect = if n % 3 == 0 {
            "Expect: 100-continue\r\n"
        } else {
            ""
        };
        write!(stream, "POST /api/files/add HTTP/1.1\r\nHost: x\r\n{auth}{expect}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000\r\n\r\n").unwrap();
        held.push(stream);
    }
    std::thread::sleep(Duration::from_secs(3));
    // Small calls and downloads go on beside them; one upload more is asked to come back.
    let reply = siege.server.api("GET", "/api/info/version", &[]);
    assert_eq!(reply.status(), 200);
    assert!(siege.server.delivers(&file));
    let refused = Upload::fresh(1000).attempt(&siege.server).unwrap();
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert!(refused.head.field("retry-after").is_some());
    drop(held);
    within(Duration::from_secs(10), || {
        Upload::fresh(1000)
            .attempt(&siege.server)
            .is_ok_and(|reply| reply.status() == 200)
    });
    siege.lifted("stuck bodies");
}

#[test]
fn memory_does_not_grow_from_attack_to_attack() {
    let siege = Siege::begin();
    let figures = siege.server.figures();
    let mut after = Vec::new();
    for _ in 0..8 {
        let mut held = Vec::new();
        for _ in 0..200 {
            let mut stream = siege.open();
            let key = &siege.server.key;
            write!(stream, "POST /api/files/add HTTP/1.1\r\nHost: x\r\napikey: {key}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000\r\n\r\n").unwrap();
            held.push(stream);
        }
        for _ in 0..1000 {
            if let Ok(stream) = TcpStream::connect(siege.server.address) {
                reset(stream);
            }
        }
        drop(held);
        within(Duration::from_secs(10), || {
            figures.descriptors() <= siege.before.1 + 2
        });
        after.push(figures.rss());
    }
    let growth = after[7].saturating_sub(after[3]);
    eprintln!(
        "memory after each of eight attacks: {:?} MB",
        after.iter().map(|b| b / MB).collect::<Vec<_>>()
    );
    assert!(growth <= MB, "{growth} bytes in four attacks: {after:?}");
    siege.lifted("attack after attack");
}

#[test]
fn two_thousand_slow_heads_do_no_harm() {
    let siege = Siege::begin();
    let mut held: Vec<TcpStream> = (0..2000)
        .map(|_| {
            let mut stream = siege.open();
            let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n");
            stream
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(14);
    while Instant::now() < until {
        for stream in &mut held {
            let _ = stream.write_all(b"a");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    // The deadline for a head is ten seconds, however it trickles.
    let mut open = 0;
    for stream in &mut held {
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let timed_out = ended.is_err_and(|e| {
            matches!(
                e.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            )
        });
        open += u32::from(timed_out);
        if open > 3 {
            break;
        }
    }
    assert_eq!(open, 0, "slow heads are still held after their deadline");
    siege.lifted("slow heads");
}

#[test]
fn two_thousand_connections_that_stand_still_do_no_harm() {
    let request = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    let long = request.replace("\r\n\r\n", &format!("\r\nX: {}", "x".repeat(15_000)));
    for (what, even, odd) in [("idle", "", request), ("long heads", &long, &long)] {
        let siege = Siege::begin();
        let mut held = Vec::new();
        for n in 0..2000 {
            held.push(siege.open());
            let words = if n % 2 == 0 { even } else { odd };
            let _ = held[n].write_all(words.as_bytes());
        }
        std::thread::sleep(Duration::from_secs(5));
        drop(held);
        siege.lifted(what);
    }
}

#[test]
fn few_descriptors_are_survived() {
    if !support::have("prlimit") {
        return;
    }
    let turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::launched(Launch::under("prlimit --nofile=64"));
    let pid = server.pid();
    for _ in 0..3 {
        let held: Vec<TcpStream> = (0..300)
            .filter_map(|_| {
                let address = server.address;
                let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1));
                stream.ok().inspect(|mut s| {
                    let _ = s.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(1));
        drop(held);
        assert!(
            within(Duration::from_secs(5), || server
                .probe()
                .is_some_and(|t| t < Duration::from_secs(1))),
            "it recovers by itself"
        );
    }
    // Those that wait to be accepted count until they are found to be gone, a few at a time.
    let upload = Upload::fresh(100_000);
    let mut reply = None;
    assert!(within(Duration::from_secs(60), || {
        reply = upload.attempt(&server).ok();
        reply.as_ref().is_some_and(|reply| reply.status() == 200)
    }));
    let file = upload.acknowledged(&reply.unwrap());
    assert!(within(Duration::from_secs(60), || server.delivers(&file)));
    assert!(server.figures().runs() && server.pid() == pid);
    drop(turn);
}

#[test]
fn wrong_keys_and_guessed_ids_are_limited_and_valid_calls_are_not() {
    let turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::demo();
    let file = Upload::fresh(1000).downloads(0).to(&server);
    let mut limited = 0;
    for n in 0..100 {
        let from = support::fetch(
            server.address,
            "GET",
            "/api/info/version",
            &[&format!("apikey: wrongwrongwrong{n}")],
        )
        .unwrap();
        if from.status() == 429 {
            limited += 1;
            assert!(from.head.field("retry-after").is_some());
        }
    }
    assert!(limited > 50, "{limited} of 100 wrong keys were limited");
    let mut limited = 0;
    for n in 0..100 {
        let guess = server.get(&format!("/downloadFile?id=guessguessguess{n:07}"));
        limited += u32::from(guess.status() == 429);
    }
    assert!(limited > 30, "{limited} of 100 guesses were limited");
    // From the same address, what is valid goes through.
    for _ in 0..500 {
        assert_eq!(server.api("GET", "/api/info/version", &[]).status(), 200);
    }
    assert!(server.delivers(&file));
    drop(turn);
}

#[test]
fn huge_fields_and_passwords_are_refused_before_they_cost_anything() {
    let siege = Siege::begin();
    let file = Upload::fresh(1000)
        .downloads(0)
        .password("right")
        .to(&siege.server);
    let cpu = siege.server.figures().cpu();
    let mut conn = siege.server.connect();
    conn.ask(
        "POST",
        &format!("/d?id={}", file.id),
        &[
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Length: 100000000",
        ],
    )
    .unwrap();
    let piece = vec![b'p'; 1 << 20];
    let _ = conn.send("password=");
    let taken = (0..95).take_while(|_| conn.send(&piece).is_ok()).count();
    assert!(taken < 95, "a password of 100 MB was read");
    drop(conn);
    // A field of the upload form that never ends.
    let mut conn = begin_form(&siege, 100_000_000);
    let _ = conn.send("--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n");
    let taken = (0..95).take_while(|_| conn.send(&piece).is_ok()).count();
    assert!(taken < 95, "a field of 100 MB was read");
    drop(conn);
    let spent = siege.server.figures().cpu().saturating_sub(cpu);
    assert!(spent < Duration::from_secs(2), "{spent:?}");
    siege.lifted("huge fields");
}
