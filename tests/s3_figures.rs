//! What a bucket costs: memory, processor time, disk, requests, handshakes and throughput of a server whose files go
//! over TLS into a real object storage. Ratios and minima are of one run. Every measured figure is printed.
//!
//! `MAYFLY_LARGE_BYTES=1073741824` makes each file as large as the bars are meant; the peak does not depend on that.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "support/s3_by_curl.rs"]
mod by_curl;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use support::{
    Chunks, Figures, GIB, Launch, LoopDisk, MB, MIB, Payload, S3Server, Server, Upload, Uploaded,
    get, have, optimised, slow, slow_readers, within,
};
use tempfile::TempDir;

/// Slow downloads from a bucket at once: as many as there may be unless the settings say otherwise.
const CROWD: usize = 256;
/// Bound at every moment, as without a bucket.
const PEAK: u64 = 30 * MB;
/// How long the server may take to find that the bucket works.
const NOTICED: Duration = Duration::from_secs(180);

/// Measurements take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of each large file: all that the bars are meant for, or as many as show it.
fn size(shows_it: u64) -> u64 {
    let asked = std::env::var("MAYFLY_LARGE_BYTES").ok();
    asked.map_or(shows_it, |bytes| bytes.parse::<u64>().unwrap().min(GIB))
}

/// True, and loud, when a test of figures is to be left out.
fn figures_are_left_out(test: &str) -> bool {
    let leave = !slow() || !optimised();
    if leave {
        eprintln!(
            "LEFT OUT: {test}: needs MAYFLY_SLOW=1 and an optimised build (cargo test --release)"
        );
    }
    leave
}

/// A server whose files go into a bucket, over TLS.
struct Bucket {
    server: Server,
    s3: S3Server,
    _home: TempDir,
}

impl Bucket {
    /// `None`, and loud, where the test is to be left out.
    fn start(test: &str) -> Option<Self> {
        Self::with(test, Launch::default())
    }

    /// The same for one of figures.
    fn to_measure(test: &str) -> Option<Self> {
        if figures_are_left_out(test) {
            return None;
        }
        Self::start(test)
    }

    fn with(test: &str, mut launch: Launch) -> Option<Self> {
        let s3 = S3Server::start_tls(test)?;
        let home = tempfile::tempdir().unwrap();
        let new_files = "[storage]\nkind = \"s3\"\n";
        launch.settings = Some(s3.daemon_settings(home.path(), S3Server::SECRET, new_files));
        let bucket = Self {
            server: Server::launched(launch),
            s3,
            _home: home,
        };
        bucket.becomes_ready();
        Some(bucket)
    }

    fn becomes_ready(&self) {
        let address = self.server.address;
        let ready = within(NOTICED, || get(address, "/ready", &[]).status() == 200);
        assert!(ready, "{}", self.server.log());
    }

    /// Goes on with a process that has done nothing yet.
    fn afresh(&mut self) {
        assert!(self.server.stop(NOTICED).success());
        self.server.restart();
        self.becomes_ready();
    }

    fn figures(&self) -> Figures {
        self.server.figures()
    }

    /// Ends links, and waits until their objects are gone.
    fn delete(&self, files: &[Uploaded]) {
        for file in files {
            let id = format!("id: {}", file.id);
            let reply = self.server.api("DELETE", "/api/files/delete", &[&id]);
            assert_eq!(reply.status(), 200, "{}", reply.text());
        }
        let left = || std::fs::read_dir(self.s3.bucket()).map_or(0, |d| d.count());
        // The owner's mark stays.
        assert!(within(NOTICED, || left() <= 1), "{} objects", left());
    }
}

/// Starts the peak anew; reports it when `work` is done, and whether it was within the bar.
fn peak_while<T>(figures: Figures, what: &str, bar: u64, work: impl FnOnce() -> T) -> (T, bool) {
    figures.forget_peak();
    let before = figures.rss();
    let result = work();
    let peak = figures.peak();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (most, before, after) = (mb(peak), mb(before), mb(figures.rss()));
    eprintln!("{what}: peak {most:.1} MB (before {before:.1} MB, after {after:.1} MB)");
    (result, peak <= bar)
}

/// Does `work` so many times at once.
fn at_once<T: Send>(count: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn with_a_bucket_and_nobody_there_it_takes_less_than_10_mb() {
    let _turn = turn();
    let Some(bucket) = Bucket::to_measure("memory while idle, with a bucket") else {
        return;
    };
    std::thread::sleep(Duration::from_secs(2));
    let rss = bucket.figures().rss();
    eprintln!("idle with a bucket: {:.1} MB", rss as f64 / 1e6);
    assert!(rss <= 10 * MB, "{rss}");
}

#[test]
fn however_many_files_go_in_and_out_and_however_large_memory_stays_small() {
    let _turn = turn();
    let Some(mut bucket) = Bucket::to_measure("memory of transfers with a bucket") else {
        return;
    };
    let size = size(96 * MIB);
    let mut missed = Vec::new();
    for (count, bar) in [(1, 12 * MB), (4, 15 * MB), (16, 25 * MB)] {
        let what = format!("{count} uploads of {} MiB", size / MIB);
        let server = &bucket.server;
        let (files, holds) = peak_while(bucket.figures(), &what, bar, || {
            at_once(count, || Upload::fresh(size).downloads(0).to(server))
        });
        missed.extend((!holds).then_some(what));
        // What the uploads have brought into memory counts with them.
        bucket.afresh();
        let server = &bucket.server;
        let what = format!("{count} downloads of {} MiB", size / MIB);
        let next = Mutex::new(files.iter());
        let (_, holds) = peak_while(bucket.figures(), &what, bar, || {
            at_once(count, || {
                let file = next.lock().unwrap().next().unwrap();
                assert!(server.delivers(file), "{}", server.log());
            })
        });
        missed.extend((!holds).then_some(what));
        bucket.delete(&files);
    }
    // Small files next: what large ones have left behind would show.
    let what = "an upload of 8 MiB after all that";
    let server = &bucket.server;
    let (small, holds) = peak_while(bucket.figures(), what, 15 * MB, || {
        Upload::fresh(8 * MIB).downloads(0).to(server)
    });
    missed.extend((!holds).then_some(what.to_owned()));
    assert!(server.delivers(&small));
    assert!(missed.is_empty(), "{missed:?}");
}

/// Processor time of the server while `work` runs, until it is quiet again.
fn cpu_of<T>(figures: Figures, work: impl FnOnce() -> T) -> (Duration, T) {
    let before = figures.cpu();
    let result = work();
    let mut last = figures.cpu();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = figures.cpu();
        if now == last {
            return (now - before, result);
        }
        last = now;
    }
}

#[test]
fn a_gibibyte_into_the_bucket_costs_at_most_a_second_more_than_onto_the_disk() {
    if !cfg!(target_arch = "x86_64") || std::env::var_os("MAYFLY_RUNNER").is_some() {
        eprintln!("LEFT OUT: processor time of an upload into a bucket: the bar is one for x86-64");
        return;
    }
    let _turn = turn();
    let Some(bucket) = Bucket::to_measure("processor time of an upload into a bucket") else {
        return;
    };
    let disk = Server::demo();
    let size = size(256 * MIB);
    let in_a_gibibyte = |time: Duration| time.as_secs_f64() * GIB as f64 / size as f64;
    let (mut onto_disk, mut into_bucket) = (f64::MAX, f64::MAX);
    // Other work on the machine makes both larger: the least of some rounds is what they cost.
    for _ in 0..5 {
        let upload = Upload::fresh(size).downloads(1);
        let (cost, file) = cpu_of(disk.figures(), || upload.to(&disk));
        onto_disk = onto_disk.min(in_a_gibibyte(cost));
        assert!(disk.delivers(&file));
        let (cost, file) = cpu_of(bucket.figures(), || upload.to(&bucket.server));
        into_bucket = into_bucket.min(in_a_gibibyte(cost));
        bucket.delete(&[file]);
        let more = into_bucket - onto_disk;
        eprintln!(
            "processor time of 1 GiB: {onto_disk:.2} s onto the disk, {into_bucket:.2} s into the bucket, {more:.2} s more"
        );
        if more <= 1.0 {
            return;
        }
    }
    panic!("more than a second beyond the disk's: {into_bucket:.2} s and {onto_disk:.2} s");
}

#[test]
fn of_a_gibibyte_for_the_bucket_next_to_nothing_is_written_to_the_disk() {
    let _turn = turn();
    let test = "what an upload into a bucket writes to the disk";
    if figures_are_left_out(test) {
        return;
    }
    let Some(disk) = LoopDisk::mount(2048) else {
        eprintln!("LEFT OUT: {test}: it needs root, mkfs.ext4 and loop devices");
        return;
    };
    let data = disk.path().join("data");
    let Some(bucket) = Bucket::with(test, Launch::default().keeping_data_in(&data)) else {
        return;
    };
    // Some of the data directory may still be on its way.
    rustix::fs::syncfs(std::fs::File::open(disk.path()).unwrap()).unwrap();
    let figures = bucket.figures();
    let (device, process) = (disk.written().unwrap(), figures.caused_to_be_written());
    let began = Instant::now();
    let file = Upload::fresh(GIB).downloads(0).to(&bucket.server);
    let took = began.elapsed();
    rustix::fs::syncfs(std::fs::File::open(disk.path()).unwrap()).unwrap();
    let device = disk.written().unwrap() - device;
    let process = figures.caused_to_be_written().saturating_sub(process);
    eprintln!(
        "1 GiB into the bucket in {:.0} s: {device} bytes written to the disk, {process} by the process",
        took.as_secs_f64()
    );
    assert!(device <= 8 * MIB && process <= 8 * MIB);
    bucket.delete(&[file]);
    drop(bucket);
}

#[test]
fn sixteen_files_in_chunks_into_the_bucket_take_little_memory_and_are_hardly_written_to_the_disk() {
    let _turn = turn();
    let test = "files in chunks into a bucket";
    if figures_are_left_out(test) {
        return;
    }
    let disk = LoopDisk::mount(2048);
    if disk.is_none() {
        eprintln!(
            "LEFT OUT: what is written to the disk: it needs root, mkfs.ext4 and loop devices"
        );
    }
    let launch = Launch::default();
    let launch = match &disk {
        Some(disk) => launch.keeping_data_in(&disk.path().join("data")),
        None => launch,
    };
    let Some(bucket) = Bucket::with(test, launch) else {
        return;
    };
    let (server, figures) = (&bucket.server, bucket.figures());
    let written = || {
        disk.as_ref().map_or(0, |disk| {
            rustix::fs::syncfs(std::fs::File::open(disk.path()).unwrap()).unwrap();
            disk.written().unwrap()
        })
    };
    let size = size(64 * MIB);
    let before = (written(), figures.caused_to_be_written());
    let next = Mutex::new(0..16);
    let what = format!("16 files of {} MiB in chunks of 45 MiB", size / MIB);
    let began = Instant::now();
    let (links, holds) = peak_while(figures, &what, PEAK, || {
        at_once(16, || {
            let number = next.lock().unwrap().next().unwrap();
            let file = Chunks::fresh(size, 45 * MIB, &format!("0123456789-{number}"));
            (0..file.count()).for_each(|chunk| file.send(server, chunk));
            let link = file.link(server);
            (file, link)
        })
    });
    let took = began.elapsed().as_secs_f64();
    let device = (written() - before.0) as f64 / (16 * size) as f64;
    let process = figures.caused_to_be_written().saturating_sub(before.1);
    let process = process as f64 / (16 * size) as f64;
    eprintln!(
        "{what}, in order, in {took:.0} s: of each byte {device:.4} were written to the disk, {process:.4} by the process"
    );
    for (file, link) in links.iter().take(2) {
        assert!(file.come_back(server, link), "{}", server.log());
    }
    assert!(holds, "memory");
    // Other work on the machine has the kernel write what would be dropped a moment later.
    assert!(device <= 0.3 && process <= 0.3, "{device} {process}");
    drop(bucket);
}

#[test]
fn a_file_of_100_kib_is_one_request() {
    let _turn = turn();
    let Some(bucket) = Bucket::start("requests of a small file") else {
        return;
    };
    let before = bucket.s3.requests().len();
    let file = Upload::fresh(100 << 10).downloads(0).to(&bucket.server);
    assert!(bucket.server.delivers(&file));
    let all = bucket.s3.requests().split_off(before);
    // The server also looks after the bucket by itself; what is for this file names its object.
    let path = format!("/{}/", S3Server::BUCKET);
    let names_object = |request: &&String| {
        let key = request.split_once(&path).map_or("", |(_, key)| key);
        let end = key.find('?').unwrap_or(key.len());
        end == 32 && key[..end].bytes().all(|b| b.is_ascii_hexdigit())
    };
    let asked: Vec<_> = all.iter().filter(names_object).collect();
    eprintln!("100 KiB in and out: {asked:?}");
    let (stored, read) = asked.split_first().unwrap();
    assert!(
        stored.starts_with("PUT ") && !stored.contains('?'),
        "{all:?}"
    );
    assert!(read.iter().all(|r| r.starts_with("GET ")), "{all:?}");
    assert!(read.len() <= 3, "{all:?}");
}

#[test]
fn there_is_a_handshake_for_each_worker_and_not_for_each_request() {
    let _turn = turn();
    let Some(bucket) = Bucket::start("handshakes") else {
        return;
    };
    let (server, s3) = (&bucket.server, &bucket.s3);
    let began = (s3.handshakes(), s3.requests().len());
    let pass = |name: &str, work: &(dyn Fn() + Sync), most: usize| {
        let before = (s3.handshakes(), s3.requests().len());
        work();
        let handshakes = s3.handshakes() - before.0;
        let requests = s3.requests().len() - before.1;
        eprintln!("{name}: {requests} requests, {handshakes} handshakes");
        assert!(handshakes <= most, "{name}: {handshakes}");
    };
    let files = Mutex::new(Vec::new());
    // In parts, or in one.
    let size = if slow() { 20 * MIB } else { 100_000 };
    let upload = || {
        let file = Upload::fresh(size).downloads(0).to(server);
        files.lock().unwrap().push(file);
    };
    let upload_five = || (0..5).for_each(|_| upload());
    pass(
        "20 uploads, 4 at once",
        &|| drop(at_once(4, upload_five)),
        4,
    );
    let files = files.into_inner().unwrap();
    let download_five = || {
        for file in &files[..5] {
            assert!(server.delivers(file));
        }
    };
    let download = || drop(at_once(4, download_five));
    pass("20 downloads, 4 at once", &download, 4);
    let all = (s3.handshakes() - began.0, s3.requests().len() - began.1);
    assert!(all.1 >= 60, "{} requests", all.1);
}

#[test]
fn a_sealed_upload_is_nearly_as_fast_as_sending_the_same_bytes_with_curl() {
    if !have("curl") {
        return;
    }
    let _turn = turn();
    let Some(bucket) = Bucket::to_measure("throughput of an upload into a bucket") else {
        return;
    };
    let size = size(256 * MIB);
    let rate = |time: Duration| size as f64 / MIB as f64 / time.as_secs_f64();
    let (mut ours, mut curls) = (0f64, 0f64);
    // As with processor time: the best of some rounds, while other work takes turns.
    for _ in 0..6 {
        curls = curls.max(rate(by_curl::multipart(&bucket.s3, size, 4)));
        let upload = Upload::fresh(size).downloads(0);
        let began = Instant::now();
        let reply = upload.attempt(&bucket.server).unwrap();
        let took = began.elapsed();
        assert_eq!(reply.status(), 200, "{}", reply.text());
        ours = ours.max(rate(took));
        bucket.delete(&[upload.acknowledged(&reply)]);
        let ratio = ours / curls;
        eprintln!(
            "{} MiB into the bucket: {ours:.0} MiB/s, curl --aws-sigv4 over 4 connections {curls:.0} MiB/s: {ratio:.2}",
            size / MIB
        );
        if ratio >= 0.8 {
            return;
        }
    }
    panic!("{:.2} of what curl does", ours / curls);
}

#[test]
fn as_many_slow_downloads_from_the_bucket_as_there_may_be_and_uploads_beside_them_take_less_than_30_mb()
 {
    let _turn = turn();
    let Some(bucket) = Bucket::to_measure("slow downloads from a bucket") else {
        return;
    };
    let server = &bucket.server;
    let payload = Payload::fresh(64 * MIB);
    let file = Upload::of(&payload).downloads(0).to(server);
    let what = format!("{CROWD} slow downloads from the bucket and 4 uploads");
    let ended = AtomicBool::new(false);
    let (uploads, holds) = peak_while(bucket.figures(), &what, PEAK, || {
        std::thread::scope(|scope| {
            let uploads = scope.spawn(|| {
                let mut uploads = 0;
                while !ended.load(Ordering::Relaxed) {
                    let files = at_once(4, || Upload::fresh(32 * MIB).downloads(0).to(server));
                    uploads += files.len();
                }
                uploads
            });
            let readers = Ends(&ended);
            slow_readers(server, &file, &payload, CROWD);
            drop(readers);
            uploads.join().unwrap()
        })
    });
    eprintln!("{uploads} uploads of 32 MiB went through meanwhile");
    assert!(uploads >= 4 && holds);
}

/// Says that something has ended, also by a panic.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
