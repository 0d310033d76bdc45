//! Uploads into a bucket that fails by chance, with a server and an object storage that are killed
//! again and again. After it every acknowledged file is there and right, every row has its object,
//! and the next sweep leaves nothing in the bucket that no row names.
//!
//! `MAYFLY_S3_SEED` repeats a plan, as far as threads allow.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "faults/oracle.rs"]
#[allow(dead_code, reason = "another test uses the rest of it")]
mod oracle;
mod support;

use oracle::{Fate, Known, Oracle, Unanswered, listing};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::tls_front::TlsFront;
use support::{
    Blobs, Chunks, Conn, Dice, FaultyFront, Launch, Payload, S3Server, Server, Upload, Uploaded,
    get, have, hex, opener, preload, slow, stranger, within,
};

/// Clients at once.
const CLIENTS: u64 = 8;
/// Of a hundred requests to the bucket, so many meet a fault.
const FAULTS: u64 = 22;
/// How long a client tries to get a file in.
const PERSISTENCE: Duration = Duration::from_secs(300);
/// Between two tries.
const BREATH: Duration = Duration::from_millis(300);
/// How long the sweep after it may take.
const SWEPT: Duration = Duration::from_secs(180);
/// What is sealed from so many bytes fills a part of 7.5 MiB, and two of them: every 16 KiB get a tag of 16
/// bytes, and all of it a head of 40.
const ONE_PART: u64 = 7_856_600;
const TWO_PARTS: u64 = 15_713_240;
/// Of a file in chunks.
const CHUNK: u64 = 5_300_001;

/// Bucket, front and server.
struct World {
    server: RwLock<Server>,
    front: FaultyFront,
    /// Held while chunks are put together, and by whoever kills the storage: killed then, s3s-fs forgets an
    /// upload that it has not put together yet, and nobody can finish it.
    assembling: RwLock<()>,
    uploads: AtomicU64,
    wanted: u64,
    /// Answers that were refusals, and tries without an answer.
    refused: AtomicU64,
    unanswered: AtomicU64,
}

struct Client {
    number: u64,
    dice: Dice,
    oracle: Oracle,
    names: u64,
    wrong: Vec<String>,
}

impl Client {
    fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            dice: Dice::new(seed ^ (number + 1) << 32),
            oracle: Oracle::default(),
            names: 0,
            wrong: Vec::new(),
        }
    }

    fn work(&mut self, world: &World) {
        while world.uploads.fetch_add(1, Ordering::SeqCst) < world.wanted {
            match self.dice.roll(5) {
                0 => self.upload_in_chunks(world),
                _ => self.upload(world),
            }
            match self.dice.roll(10) {
                0 | 1 => self.delete(world),
                2..=5 => self.download(world),
                _ => {}
            }
        }
    }

    /// A size, and whether it is known.
    fn size(&mut self) -> (u64, bool) {
        match self.dice.roll(20) {
            0 => (0, true),
            1 => (1, true),
            2..=8 => (100 * 1024, true),
            9 => (self.dice.roll(1 << 20), true),
            10 => (ONE_PART - 1, true),
            11 => (ONE_PART, true),
            12 => (ONE_PART + 1, true),
            13 => (TWO_PARTS, true),
            14 => (3 * ONE_PART - self.dice.roll(1 << 20), true),
            15 => (0, false),
            16 | 17 => (100 * 1024, false),
            18 => (9 << 20, false),
            _ => (34 << 20, false),
        }
    }

    /// Tries until it is acknowledged.
    fn upload(&mut self, world: &World) {
        let (size, known) = self.size();
        let limit = match self.dice.roll(4) {
            0 => 1 + self.dice.roll(2),
            _ => 0,
        };
        let began = Instant::now();
        while began.elapsed() < PERSISTENCE {
            let name = format!("{}-{}.bin", self.number, self.names);
            let payload = Payload::new(self.number << 32 | self.names, size);
            self.names += 1;
            let mut upload = Upload::of(&payload)
                .named(&name)
                .downloads(u32::try_from(limit).unwrap())
                .days(30);
            if !known {
                upload = upload.chunked();
            }
            let reply = upload.attempt(&world.server.read().unwrap());
            match reply.ok().filter(|r| r.whole) {
                Some(reply) if reply.status() == 200 => {
                    let file = upload.acknowledged(&reply);
                    self.oracle.files.push(Known::new(file, limit));
                    return;
                }
                Some(reply) if reply.status() == 503 => {
                    world.refused.fetch_add(1, Ordering::SeqCst);
                }
                Some(reply) => {
                    let (status, text) = (reply.status(), reply.text());
                    self.wrong.push(format!("upload: {status} {text}"));
                }
                None => {
                    world.unanswered.fetch_add(1, Ordering::SeqCst);
                    self.oracle.unanswered.push(Unanswered {
                        name,
                        payload,
                        limit,
                    });
                }
            }
            std::thread::sleep(BREATH);
        }
        self.wrong
            .push(format!("{size} bytes were never taken (known: {known})"));
    }

    /// The same for a file in chunks, in any order, each of them until it is acknowledged.
    fn upload_in_chunks(&mut self, world: &World) {
        let size = 2 * CHUNK + self.dice.roll(CHUNK);
        let mut file = Chunks::fresh(size, CHUNK, "");
        file.payload = Payload::new(self.number << 32 | self.names, size);
        file.name = format!("{}-{}.bin", self.number, self.names);
        file.uuid = format!("0123456789-{}", file.name);
        self.names += 1;
        let mut left: Vec<u64> = (0..file.count()).collect();
        let mut unanswered = false;
        let began = Instant::now();
        while began.elapsed() < PERSISTENCE {
            let server = world.server.read().unwrap();
            let next = self.dice.roll(left.len().max(1) as u64);
            let next = usize::try_from(next).unwrap();
            let reply = match left.get(next) {
                Some(chunk) => file.attempt(&server, &server.key, *chunk),
                None => {
                    let _assembling = world.assembling.read().unwrap();
                    file.complete(&server, &server.key)
                }
            };
            drop(server);
            let Some(reply) = reply.ok().filter(|r| r.whole) else {
                world.unanswered.fetch_add(1, Ordering::SeqCst);
                unanswered |= left.is_empty();
                std::thread::sleep(BREATH);
                continue;
            };
            match reply.status() {
                200 if left.is_empty() => {
                    let json = reply.json();
                    self.oracle.files.push(Known::new(
                        Uploaded {
                            id: json["FileInfo"]["Id"].as_str().unwrap().to_owned(),
                            url: String::new(),
                            sha256: file.payload.sha256(),
                            name: file.name,
                            size,
                            json,
                        },
                        0,
                    ));
                    return;
                }
                200 => _ = left.remove(next),
                // The try before it is still under way.
                409 if reply.head.field("retry-after").is_some() => {}
                503 => _ = world.refused.fetch_add(1, Ordering::SeqCst),
                400 if unanswered && reply.text().contains("does not exist") => {
                    self.oracle.unanswered.push(Unanswered {
                        name: file.name,
                        payload: file.payload,
                        limit: 0,
                    });
                    return;
                }
                status => {
                    let (text, name) = (reply.text(), &file.name);
                    self.wrong.push(format!("{name}: chunk: {status} {text}"));
                    return;
                }
            }
            if reply.status() != 200 {
                std::thread::sleep(BREATH);
            }
        }
        self.wrong.push(format!("{}: never taken", file.name));
    }

    fn one(&mut self) -> Option<usize> {
        let files = &self.oracle.files;
        let there: Vec<usize> = (0..files.len())
            .filter(|n| files[*n].fate == Fate::There)
            .collect();
        let n = self.dice.roll(there.len().max(1) as u64);
        there.get(usize::try_from(n).unwrap()).copied()
    }

    fn delete(&mut self, world: &World) {
        let Some(n) = self.one() else { return };
        let known = &mut self.oracle.files[n];
        known.fate = Fate::Either;
        let server = world.server.read().unwrap();
        let (key, id) = (format!("apikey: {}", server.key), &known.file.id);
        let lines = [&key, &format!("id: {id}"), "Content-Length: 0"];
        let reply = support::fetch(server.address, "DELETE", "/api/files/delete", &lines);
        let used_up = known.limit > 0 && known.begun >= known.limit;
        match reply.ok().filter(|r| r.whole).map(|r| r.status()) {
            Some(200) => known.fate = Fate::Gone,
            Some(404) if used_up => known.fate = Fate::Gone,
            Some(status) => self.wrong.push(format!("deletion: {status}")),
            None => {}
        }
    }

    /// As a stranger: whole and right, or not whole.
    fn download(&mut self, world: &World) {
        let Some(n) = self.one() else { return };
        let known = &mut self.oracle.files[n];
        known.begun += 1;
        let server = world.server.read().unwrap();
        let Ok(mut conn) = Conn::open_from(stranger(), server.address) else {
            return;
        };
        let asked = conn.ask("GET", &known.file.target(), &[]);
        let Ok(head) = asked.and_then(|()| conn.head()) else {
            return;
        };
        let mut got = ring::digest::Context::new(&ring::digest::SHA256);
        let whole = conn.body(&head, |piece| got.update(piece));
        let right = hex(got.finish().as_ref()) == known.file.sha256;
        match head.status {
            200 if whole && right => known.whole += 1,
            200 if whole => self.wrong.push(format!("wrong bytes: {}", known.file.name)),
            200 | 503 => {}
            // Others have what is left, or had it.
            404 | 429 if known.limit > 0 => {}
            status => self.wrong.push(format!("a stranger got {status}")),
        }
    }
}

/// What the sweep looks at: rows of the database, and what lies in the bucket.
#[derive(PartialEq, Debug, Default)]
struct Left {
    rows_without_object: Vec<String>,
    objects_without_row: Vec<String>,
    uploads: Vec<String>,
    /// Uploads that the database believes to be open.
    journal: usize,
    incoming: usize,
}

impl Left {
    fn of(world: &World, s3: &S3Server) -> Self {
        let dir = &world.server.read().unwrap().dir;
        let rows = opener::rows(dir, "blobs").into_iter();
        let rows: BTreeSet<String> = rows.map(|(id, _)| hex(&id)).collect();
        let bucket = fs::read_dir(s3.bucket()).unwrap().flatten();
        let names = bucket.filter_map(|e| e.file_name().into_string().ok());
        let objects: BTreeSet<String> = names.filter(|n| n != "mayfly-owner").collect();
        Self {
            rows_without_object: rows.difference(&objects).cloned().collect(),
            objects_without_row: objects.difference(&rows).cloned().collect(),
            uploads: world.front.uploads(),
            journal: opener::rows(dir, "multiparts").len(),
            incoming: Blobs::in_dir(dir).incoming.len(),
        }
    }
}

/// What takes the kernel's limit of a minute on reads and writes to the bucket for one of two seconds.
const HASTE: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    struct timeval limit;
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    const char *port = getenv("HASTY_PORT");
    if (level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO) && size == sizeof limit && port
        && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && ntohs(peer.sin_port) == atoi(port)) {
        limit = *(const struct timeval *)value;
        if (limit.tv_sec >= 30) {
            limit.tv_sec = 2;
            return next(fd, level, name, &limit, size);
        }
    }
    return next(fd, level, name, value, size);
}
"#;

/// How the server is started.
fn launch(home: &Path, front: &FaultyFront, tls: Option<&TlsFront>) -> Launch {
    let (endpoint, port, more) = match tls {
        None => (
            format!("http://{}", front.address),
            front.address.port(),
            String::new(),
        ),
        Some(tls) => (
            format!("https://localhost:{}", tls.address.port()),
            tls.address.port(),
            format!("ca_file = \"{}\"\n", tls.ca_file.display()),
        ),
    };
    let settings = S3Server::launch_settings(home, &endpoint, S3Server::SECRET);
    let launch = Launch::with_settings(&format!(
        "min_free_space = 0\n[storage]\nkind = \"s3\"\n{settings}concurrency = 8\n{more}"
    ));
    if !have("cc") {
        eprintln!("LEFT OUT: requests that the server itself gives up");
        return launch;
    }
    let library = preload::compiled(home, "haste", HASTE);
    launch
        .with("LD_PRELOAD", library.to_str().unwrap())
        .with("HASTY_PORT", &port.to_string())
}

/// Waits until so many uploads have begun and some requests more have come: a moment in the middle of them.
fn until(world: &World, uploads: u64, dice: &mut Dice) {
    let begun = || world.uploads.load(Ordering::SeqCst) >= uploads;
    assert!(within(PERSISTENCE, begun), "nothing goes on");
    let requests = world.front.requests() + dice.roll(8);
    within(Duration::from_secs(5), || {
        world.front.requests() >= requests
    });
}

/// Kills the daemon and the storage `kills` times each, and has them go on.
fn kill_by_chance(world: &World, s3: &mut S3Server, kills: u64, dice: &mut Dice) {
    let moments = kills * 2;
    for moment in 0..moments {
        until(world, world.wanted * (moment + 1) / (moments + 1), dice);
        if moment % 2 == 0 {
            let pid = world.server.read().unwrap().pid();
            let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            kill_process(pid, Signal::KILL).unwrap();
            // As soon as everybody has noticed.
            world.server.write().unwrap().restart();
        } else {
            let assembling = world.assembling.write().unwrap();
            s3.kill();
            drop(assembling);
            let unserved = world.front.unserved() + dice.roll(6);
            within(Duration::from_secs(5), || {
                world.front.unserved() >= unserved
            });
            s3.restart();
        }
    }
}

fn campaign(uploads: u64, kills: u64, over_tls: bool) {
    let Some(mut s3) = S3Server::start("s3_campaign") else {
        return;
    };
    let seed = std::env::var("MAYFLY_S3_SEED").ok();
    let seed = seed.map_or_else(|| u64::from(std::process::id()), |s| s.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let front = FaultyFront::before(s3.address, s3.home(), seed, FAULTS);
    let tls = over_tls.then(|| TlsFront::before(front.address, home.path()));
    let server = Server::launched(launch(home.path(), &front, tls.as_ref()));
    let world = World {
        server: RwLock::new(server),
        front,
        assembling: RwLock::default(),
        uploads: AtomicU64::new(0),
        wanted: uploads,
        refused: AtomicU64::new(0),
        unanswered: AtomicU64::new(0),
    };
    let began = Instant::now();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|n| Client::new(n, seed)).collect();
    let mut dice = Dice::new(seed);
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| client.work(&world));
        }
        kill_by_chance(&world, &mut s3, kills, &mut dice);
    });
    let took = began.elapsed();
    eprintln!(
        "seed {seed}: {uploads} uploads taken in {:.0} s; {} tries refused, {} without an answer; {} kills each of \
         server and storage\n{}",
        took.as_secs_f32(),
        world.refused.load(Ordering::SeqCst),
        world.unanswered.load(Ordering::SeqCst),
        kills,
        world.front.told()
    );
    world.front.behave();
    {
        let mut server = world.server.write().unwrap();
        server.stop(Duration::from_secs(120));
        s3.age();
        server.restart();
        let ready = within(SWEPT, || get(server.address, "/ready", &[]).status() == 200);
        assert!(ready, "{}", server.log());
    }
    let mut left = Left::default();
    let swept = within(SWEPT, || {
        left = Left::of(&world, &s3);
        left == Left::default()
    });
    eprintln!("swept after {:.0} s", began.elapsed().as_secs_f32());
    let server = world.server.read().unwrap();
    let mut wrong = Vec::new();
    let listed = listing(&server);
    for client in &mut clients {
        wrong.append(&mut client.wrong);
        wrong.extend(client.oracle.check(&server, &listed));
    }
    let names: BTreeSet<&String> = clients.iter().flat_map(|c| c.oracle.names()).collect();
    let strange = listed.keys().filter(|name| !names.contains(name));
    wrong.extend(strange.map(|name| format!("{name} is listed and nobody knows it")));
    eprintln!(
        "{} files are there, checked after {:.0} s",
        listed.len(),
        began.elapsed().as_secs_f32()
    );
    assert!(
        wrong.is_empty(),
        "seed {seed}: {wrong:#?}\n{}",
        server.log()
    );
    assert!(swept, "seed {seed}: {left:#?}\n{}", server.log());
    assert!(world.front.faults() > uploads / 10, "too few faults");
}

#[test]
fn after_faults_and_kills_every_acknowledged_file_is_right_and_nothing_else_is_in_the_bucket() {
    if slow() {
        campaign(200, 6, false);
    } else {
        eprintln!("LEFT OUT: 200 uploads with faults and kills: MAYFLY_SLOW=1; here are a few");
        campaign(8, 1, false);
    }
}

#[test]
fn the_same_holds_over_tls_where_bodies_are_not_signed() {
    if slow() {
        campaign(200, 6, true);
    } else {
        campaign(8, 1, true);
    }
}
