//! Whatever wedges a server stops the beats of its watchdog, and nothing else does: real workers,
//! real clients, a real database, a handler and a disk that hang on purpose.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use mayfly::app::database_probe;
use mayfly::http::{Handler, Head, Method, Request, Response, Room, Stream};
use mayfly::metadata::{BlobSource, Metadata, NewLink, RedbMetadata};
use mayfly::model::{
    AccountId, Allowance, Blob, BlobFormat, BlobId, Expiry, Link, Lookup, Timestamp,
};
use mayfly::server::{Limits, Server};
use mayfly::tasks::notify::Notice;
use mayfly::tasks::watchdog::{Plan, Probe, Watchdog};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long the service manager would wait for a beat.
const PATIENCE: Duration = Duration::from_secs(2);
/// No test waits longer for anything.
const LONG: Duration = Duration::from_secs(30);

/// Something that can be shut for a while: who comes meanwhile hangs.
#[derive(Clone, Debug, Default)]
struct Door(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Door {
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.1 += 1;
        changed.notify_all();
        let mut state = changed.wait_while(state, |(shut, _)| *shut).unwrap();
        state.1 -= 1;
    }

    fn set(&self, shut: bool) {
        self.0.0.lock().unwrap().0 = shut;
        self.0.1.notify_all();
    }

    /// Waits until so many hang in front of it.
    fn holds(&self, count: usize) {
        let (state, changed) = &*self.0;
        let waited = changed.wait_timeout_while(state.lock().unwrap(), LONG, |s| s.1 < count);
        assert!(!waited.unwrap().1.timed_out(), "not all of them came");
    }
}

/// A handler whose rooms are named by the path; `/…/hang` goes through the door.
struct Rooms(Door);

impl Handler for Rooms {
    fn room(&self, head: &Head) -> Room {
        match head.path.split('/').nth(1) {
            Some("change") => Room::Change,
            Some("upload") => Room::Upload,
            Some("download") => Room::Download,
            Some("password") => Room::Password,
            _ => Room::Control,
        }
    }

    fn handle(&self, request: Request<'_>) -> Response {
        if request.head.path.ends_with("/hang") {
            self.0.pass();
        }
        let mut body = Vec::new();
        if request.head.method == Method::Post && request.body.read_to_end(&mut body).is_err() {
            return Response::new(400);
        }
        match request.head.path.ends_with("/endless") {
            false => Response::new(200).body("text/plain", "ok\n"),
            true => Response::new(200).stream(Stream {
                length: None,
                send: Box::new(|sink| {
                    loop {
                        sink.write_all(&[0; 64 * 1024])?;
                    }
                }),
            }),
        }
    }
}

struct Rig {
    server: Option<Server>,
    door: Door,
    watchdog: Option<Watchdog>,
    told: Receiver<(Instant, Notice)>,
    clients: Vec<TcpStream>,
}

fn watch(probes: Vec<Probe>) -> (Watchdog, Receiver<(Instant, Notice)>) {
    let (tell, told) = channel();
    let watchdog = Watchdog::start(Plan {
        probes,
        status: Box::new(|| "well".to_owned()),
        patience: Some(PATIENCE),
        tell: Box::new(move |notices| {
            for notice in notices {
                let _the_test_is_over = tell.send((Instant::now(), notice.clone()));
            }
        }),
    });
    (watchdog.unwrap(), told)
}

fn rig(limits: Limits) -> Rig {
    let door = Door::default();
    let server = Server::start(
        TcpListener::bind("127.0.0.1:0").unwrap(),
        Arc::new(Rooms(door.clone())),
        limits,
        Vec::new(),
        Arc::new(|_| {}),
    )
    .unwrap();
    let question = server.self_probe("/health");
    let ask = move || question.ask(PATIENCE / 4);
    let mut probes = vec![Probe::on_thread("the listener", ask).unwrap()];
    let signs = server.worker_signs().into_iter();
    probes.extend(signs.map(|(name, sign)| Probe::of_signs(name, sign)));
    let (watchdog, told) = watch(probes);
    let rig = Rig {
        server: Some(server),
        door,
        watchdog: Some(watchdog),
        told,
        clients: Vec::new(),
    };
    rig.beats(2);
    rig
}

/// The next notice, and when.
fn next(told: &Receiver<(Instant, Notice)>, limit: Duration) -> Option<(Instant, Notice)> {
    match told.recv_timeout(limit) {
        Ok(told) => Some(told),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => panic!("the watchdog is gone"),
    }
}

/// Waits until there was no beat for the whole patience: now the service manager would act. What
/// the status said of it. At most `limit` after the call.
fn falls_silent(told: &Receiver<(Instant, Notice)>, limit: Duration) -> String {
    let (began, mut last) = (Instant::now(), Instant::now());
    let mut status = String::new();
    let mut silent = false;
    while !silent || status.is_empty() {
        silent = last.elapsed() >= PATIENCE;
        assert!(silent || began.elapsed() < limit, "the beats go on");
        assert!(began.elapsed() < LONG, "nobody is named");
        match next(told, Duration::from_millis(20)) {
            Some((at, Notice::Alive)) => last = at,
            Some((_, Notice::Status(text))) => status = text,
            _ => {}
        }
    }
    status
}

/// Waits for so many beats, none of which comes too late.
fn beats(told: &Receiver<(Instant, Notice)>, count: usize) {
    let mut seen = 0;
    let mut last = Instant::now();
    while seen < count {
        let left = PATIENCE.saturating_sub(last.elapsed());
        let Some((at, notice)) = next(told, left) else {
            panic!("no beat for {:?}, after {seen}", last.elapsed());
        };
        if notice == Notice::Alive {
            seen += 1;
            last = at;
        }
    }
}

impl Rig {
    fn beats(&self, count: usize) {
        beats(&self.told, count);
    }

    fn falls_silent(&self) -> String {
        falls_silent(&self.told, PATIENCE * 2)
    }

    /// Opens `count` connections, each with this request.
    fn clients(&mut self, count: usize, request: &str) {
        for _ in 0..count {
            let address = self.server.as_ref().unwrap().address;
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(LONG)).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            self.clients.push(client);
        }
    }

    /// `count` requests hang: the beats stop and the status says who is stuck. When they go on, so
    /// do the beats.
    fn wedges(mut self, count: usize, request: &str, who: &str) {
        self.door.set(true);
        self.clients(count, request);
        self.door.holds(count);
        let status = self.falls_silent();
        assert!(status.contains(who), "{who}: {status}");
        self.door.set(false);
        let end = Instant::now() + LONG;
        while !matches!(next(&self.told, LONG), Some((_, Notice::Alive))) {
            assert!(Instant::now() < end, "no beat after the wedge");
        }
        self.beats(3);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.door.set(false);
        self.clients.clear();
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.stop();
        }
        drop(self.server.take());
    }
}

fn small() -> Limits {
    Limits {
        uploads: 2,
        downloads: 2,
        ..Limits::default()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn workers_for_pages_that_all_hang_stop_the_beats() {
    rig(small()).wedges(
        8,
        &get("/page/hang"),
        "the workers for pages gave no answer",
    );
}

#[test]
fn workers_for_changes_that_all_hang_stop_the_beats() {
    rig(small()).wedges(
        64,
        &get("/change/hang"),
        "the workers for changes gave no answer",
    );
}

#[test]
fn uploads_that_all_hang_stop_the_beats() {
    rig(small()).wedges(
        2,
        &get("/upload/hang"),
        "the workers for uploads gave no answer",
    );
}

#[test]
fn downloads_that_all_hang_stop_the_beats() {
    rig(small()).wedges(
        2,
        &get("/download/hang"),
        "the workers for downloads gave no answer",
    );
}

#[test]
fn a_password_check_that_hangs_stops_the_beats() {
    rig(small()).wedges(
        1,
        &get("/password/hang"),
        "the worker for passwords gave no answer",
    );
}

#[test]
fn forms_that_all_hang_stop_the_beats() {
    // Their bodies come after their heads, so they are waited for in a place of their own.
    let head = "POST /page/hang HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";
    rig(small()).wedges(64, head, "the workers for forms gave no answer");
}

#[test]
fn a_set_that_hangs_with_a_place_to_spare_is_no_wedge() {
    let mut rig = rig(small());
    rig.door.set(true);
    rig.clients(1, &get("/upload/hang"));
    rig.clients(1, &get("/download/hang"));
    rig.clients(63, &get("/change/hang"));
    rig.door.holds(65);
    rig.beats(9);
}

#[test]
fn clients_that_stand_still_in_every_place_are_no_wedge() {
    let mut rig = rig(small());
    // Uploads that send nothing, forms without their body, downloads that nobody reads.
    rig.clients(
        2,
        "POST /upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    );
    rig.clients(
        64,
        "POST /page/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    );
    rig.clients(2, &get("/download/endless"));
    rig.beats(9);
}

#[test]
fn downloads_that_go_on_in_every_place_are_no_wedge() {
    let mut rig = rig(small());
    rig.clients(2, &get("/download/endless"));
    let readers: Vec<_> = rig
        .clients
        .drain(..)
        .map(|mut client| {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                let mut sum = 0u64;
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    sum += count as u64;
                }
                sum
            })
        })
        .collect();
    rig.beats(8);
    drop(rig);
    for reader in readers {
        assert!(reader.join().unwrap() > 64 * 1024);
    }
}

#[test]
fn a_house_that_is_full_is_no_wedge() {
    let limits = Limits {
        connections: 4,
        ..small()
    };
    let mut rig = rig(limits);
    rig.clients(4, "GET / HTTP/1.1\r\n");
    rig.clients(1, &get("/"));
    let mut answer = String::new();
    let _cut = rig.clients.last_mut().unwrap().read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    rig.beats(9);
}

/// A disk in memory whose reads and syncs go through doors.
#[derive(Debug, Default)]
struct Disk {
    memory: InMemoryBackend,
    reads: Door,
    syncs: Door,
}

#[derive(Clone, Debug, Default)]
struct Handle(Arc<Disk>);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.0.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.reads.pass();
        StorageBackend::read(&self.0.memory, offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.memory.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.pass();
        self.0.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        StorageBackend::write(&self.0.memory, offset, data)
    }
}

/// A database on that disk, for the probe of the program.
fn database(disk: &Handle) -> Arc<dyn Metadata> {
    Arc::new(RedbMetadata::with_backend(disk.clone(), Arc::new(|_| {})).unwrap())
}

/// More than fit into the memory for the database.
const LINKS: u64 = 8000;

/// Link number `n`, far from that before.
fn link(n: u64) -> NewLink {
    let mut name = [n.to_be_bytes(); 4];
    name[0] = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut blob = [0; 16];
    blob.copy_from_slice(&name.as_flattened()[..16]);
    let link = Link {
        lookup: Lookup(*name.as_flattened().first_chunk().unwrap()),
        owner: AccountId(1),
        blob: BlobId(blob),
        format: BlobFormat::Plain,
        size: 1,
        created: Timestamp(1),
        expiry: Expiry {
            at: Timestamp(2),
            unlimited: true,
        },
        allowance: Allowance {
            remaining: 0,
            leased: 0,
            unlimited: true,
            count: 0,
        },
        pending_delete: None,
        password: None,
        by_link: Vec::new(),
        by_owner: Vec::new(),
        label: vec![0; 400],
        hotlink: None,
    };
    let blob = Blob {
        id: link.blob,
        format: link.format,
        size: 1,
        stored: 1,
        tag: None,
        references: 0,
    };
    NewLink {
        link,
        source: BlobSource::New {
            blob,
            by_plaintext: None,
        },
        by_hotlink: None,
        birth: None,
        session: None,
    }
}

#[test]
fn a_database_that_hangs_while_it_reads_stops_the_beats_and_one_that_is_slow_to_sync_does_not() {
    let disk = Handle::default();
    let metadata = database(&disk);
    let number = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // Those who come together share a commit.
        for _ in 0..64 {
            scope.spawn(|| {
                while let n = number.fetch_add(1, Ordering::Relaxed)
                    && n < LINKS
                {
                    metadata.publish(link(n)).unwrap();
                }
            });
        }
    });
    drop(metadata);
    // Opened anew, and too large for the memory that is used for it.
    let metadata = database(&disk);
    let links = Arc::new(AtomicU64::new(0));
    let probe = database_probe(&metadata, Arc::clone(&links)).unwrap();
    disk.0.reads.set(true);
    let (watchdog, told) = watch(vec![probe]);
    disk.0.reads.holds(1);
    let status = falls_silent(&told, PATIENCE * 2);
    assert!(status.contains("the database gave no answer"), "{status}");
    disk.0.reads.set(false);
    while !matches!(next(&told, LONG), Some((_, Notice::Alive))) {}
    assert_eq!(links.load(Ordering::Relaxed), LINKS);

    disk.0.syncs.set(true);
    let writer = std::thread::spawn({
        let metadata = Arc::clone(&metadata);
        move || metadata.remove(&link(7).link.lookup).unwrap()
    });
    disk.0.syncs.holds(1);
    beats(&told, 9);
    disk.0.syncs.set(false);
    assert!(writer.join().unwrap().is_some());
    watchdog.stop();
}
