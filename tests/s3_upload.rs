//! Uploads into a real bucket: what is in it afterwards, after success, failure and death.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/s3_faults.rs"]
mod s3_faults;
mod support;

use mayfly::model::{BlobId, SystemClock};
use mayfly::store::s3::{Client, Journal, MemoryJournal, Retries, S3Settings, Uploads};
use mayfly::store::{Stage, StoreError};
use s3_faults::{Fault, FaultServer, Op};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{Launch, LoopDisk, MIB, S3Server, Server, Upload, get, within};

/// The size of a part of a blob whose length is known to be small.
const PART: usize = 7_864_320;

struct World {
    uploads: Arc<Uploads>,
    journal: Arc<MemoryJournal>,
    _incoming: tempfile::TempDir,
}

fn world(settings: &S3Settings) -> World {
    world_in(settings, &std::env::temp_dir())
}

/// One whose parts wait in a directory of `home`.
fn world_in(settings: &S3Settings, home: &Path) -> World {
    let incoming = tempfile::tempdir_in(home).unwrap();
    let journal = Arc::new(MemoryJournal::default());
    let client = Client::new(settings, Arc::new(SystemClock::new())).unwrap();
    let own: Arc<dyn Journal> = Arc::clone(&journal) as _;
    let retries = Retries::default();
    let uploads = Uploads::new(client, own, incoming.path(), 0, retries).unwrap();
    World {
        uploads,
        journal,
        _incoming: incoming,
    }
}

impl World {
    fn put(&self, id: &BlobId, bytes: &[u8], expected: Option<u64>) -> Result<(), StoreError> {
        let mut stage = self.uploads.stage(id, expected)?;
        fill(&mut *stage, bytes)?;
        stage.commit()
    }

    /// What the journal has open.
    fn open(&self) -> usize {
        self.journal.open(None, 1000).unwrap().len()
    }
}

fn fill(stage: &mut dyn Stage, bytes: &[u8]) -> Result<(), StoreError> {
    bytes
        .chunks(65_537)
        .try_for_each(|piece| stage.write(piece))
}

/// Bytes in which no place is like another one nearby.
fn pattern(length: usize) -> Vec<u8> {
    (0u64..)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
        .take(length)
        .collect()
}

/// Names of the objects, and whatever else the server keeps in its directory of the bucket.
fn objects(bucket: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(bucket)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Parts and upload names that the server keeps, beside the bucket.
fn leftovers(server: &S3Server) -> usize {
    let bucket = server.bucket();
    let names = objects(bucket.parent().unwrap());
    names.iter().filter(|n| n.starts_with(".upload")).count()
}

#[test]
fn blobs_of_all_sizes_around_the_parts_arrive_whole_and_nothing_else_does() {
    let Some(server) = S3Server::start("blobs of all sizes") else {
        return;
    };
    let world = world(&server.settings());
    let all = pattern(2 * PART + 1);
    let sizes = [
        0,
        1,
        100_000,
        PART - 1,
        PART,
        PART + 1,
        2 * PART,
        2 * PART + 1,
    ];
    for (n, size) in (0..).zip(sizes) {
        let id = BlobId([n; 16]);
        // Known, unknown, and wrong in both directions.
        let expected = [Some(size as u64), Some(size as u64 + 60_000), Some(7)];
        let bytes = &all[..size];
        world.put(&id, bytes, expected[usize::from(n) % 3]).unwrap();
        let stored = std::fs::read(server.bucket().join(id.to_hex())).unwrap();
        assert!(stored == bytes, "{size} bytes");
    }
    assert_eq!(objects(&server.bucket()).len(), sizes.len());
    assert_eq!(world.open(), 0);
}

#[test]
fn a_blob_of_unknown_length_arrives_whole() {
    let Some(server) = S3Server::start("a blob of unknown length") else {
        return;
    };
    let world = world(&server.settings());
    let bytes = pattern((33 << 20) + 7);
    world.put(&BlobId([1; 16]), &bytes, None).unwrap();
    let stored = std::fs::read(server.bucket().join(BlobId([1; 16]).to_hex())).unwrap();
    assert!(stored == bytes);
    assert_eq!(objects(&server.bucket()).len(), 1);
}

#[test]
fn many_uploads_at_once_go_over_few_connections_and_all_arrive() {
    const COUNT: u8 = 12;
    let Some(server) = S3Server::start_tls("many uploads at once") else {
        return;
    };
    let world = world(&server.settings());
    // Small ones and large ones in turn.
    let length = |n: u8| match n.is_multiple_of(2) {
        true => 1000 + usize::from(n),
        false => PART + 100_000 + usize::from(n),
    };
    let bytes = pattern(length(COUNT - 1));
    std::thread::scope(|scope| {
        for n in 0..COUNT {
            let (world, bytes) = (&world, &bytes[..length(n)]);
            let put = move || world.put(&BlobId([n; 16]), bytes, Some(bytes.len() as u64));
            scope.spawn(move || put().unwrap());
        }
    });
    for n in 0..COUNT {
        let stored = std::fs::read(server.bucket().join(BlobId([n; 16]).to_hex())).unwrap();
        assert!(stored == bytes[..length(n)], "upload {n}");
    }
    assert_eq!(objects(&server.bucket()).len(), usize::from(COUNT));
    assert_eq!((world.open(), leftovers(&server)), (0, 0));
    // About one for each of four senders, and none for each of the 30 requests. A connection that was
    // idle for long, or had a request that failed, is made again.
    assert!(server.handshakes() <= 15, "{}", server.handshakes());
}

#[test]
fn what_a_process_that_died_had_sent_is_removed_by_the_next_one() {
    let Some(server) = S3Server::start("what a process that died had sent") else {
        return;
    };
    let died = world(&server.settings());
    let id = BlobId([1; 16]);
    let mut stage = died.uploads.stage(&id, Some(3 * PART as u64)).unwrap();
    fill(&mut *stage, &pattern(2 * PART + 1)).unwrap();
    // Its name and two parts.
    let sent = || leftovers(&server) >= 3;
    assert!(support::within(Duration::from_secs(120), sent));
    std::mem::forget(stage);
    // Uploads of another process, which knows the journal only.
    let next = world(&server.settings());
    let rows = died.journal.open(None, 10).unwrap();
    assert_eq!(rows.len(), 1);
    next.journal.begun(&rows[0]).unwrap();
    assert_eq!(next.uploads.sweep().unwrap(), 1);
    assert_eq!(leftovers(&server), 0);
    assert_eq!((next.open(), next.uploads.sweep().unwrap()), (0, 0));
}

#[test]
fn a_gibibyte_of_known_length_hardly_touches_the_disk() {
    let name = "a gibibyte of known length";
    if !support::slow() {
        eprintln!("LEFT OUT: {name}: takes a while; set MAYFLY_SLOW=1");
        return;
    }
    let Some(server) = S3Server::start(name) else {
        return;
    };
    let Some(disk) = LoopDisk::mount(512) else {
        eprintln!("LEFT OUT: {name}: no loop device can be mounted");
        return;
    };
    let world = world_in(&server.settings(), disk.path());
    let sync = || {
        assert!(
            std::process::Command::new("sync")
                .status()
                .unwrap()
                .success()
        )
    };
    sync();
    let before = disk.written().unwrap();
    let length = 1024 * MIB;
    let mut stage = world.uploads.stage(&BlobId([1; 16]), Some(length)).unwrap();
    let piece = pattern(64 << 10);
    for _ in 0..length / piece.len() as u64 {
        stage.write(&piece).unwrap();
    }
    stage.commit().unwrap();
    sync();
    let written = disk.written().unwrap() - before;
    eprintln!("{written} bytes to the disk");
    let stored = server.bucket().join(BlobId([1; 16]).to_hex());
    assert_eq!(stored.metadata().unwrap().len(), length);
    assert!(
        written <= 8 * MIB,
        "{written} bytes were written to the disk"
    );
}

/// A daemon whose files go into this bucket, which it has found to work.
fn daemon(home: &Path, bucket: &FaultServer) -> Server {
    for name in ["id", "secret"] {
        let path = home.join(name);
        std::fs::write(&path, name).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (at, endpoint) = (home.display(), bucket.address);
    let settings = format!(
        "min_free_space = 0\n[storage]\nkind = \"s3\"\n[s3]\nendpoint = \"http://{endpoint}\"\nbucket = \"bucket\"\nkey_id_file = \"{at}/id\"\nsecret_file = \"{at}/secret\"\n"
    );
    let server = Server::launched(Launch::with_settings(&settings));
    let ready = || get(server.address, "/ready", &[]).status() == 200;
    assert!(within(Duration::from_secs(120), ready), "{}", server.log());
    server
}

#[test]
fn an_uploader_hears_that_the_bucket_asks_for_patience_for_ever() {
    if !support::slow() {
        eprintln!(
            "LEFT OUT: a bucket that asks for patience for ever: takes minutes; set MAYFLY_SLOW=1"
        );
        return;
    }
    let busy = Fault::Status(503, "SlowDown", Some(1));
    let home = tempfile::tempdir().unwrap();
    let bucket = FaultServer::start([]);
    let server = daemon(home.path(), &bucket);
    let refused = |size| {
        // Within the minute that the client waits for an answer.
        let reply = Upload::fresh(size).attempt(&server).unwrap();
        assert_eq!(reply.status(), 503, "{size}: {}", reply.text());
        assert!(reply.head.field("retry-after").is_some(), "{size}");
        assert!(reply.text().contains("Wait"), "{}", reply.text());
    };
    let size = 2 * PART as u64;
    // Parts only: the upload has begun, and everything else goes well.
    bucket.always(&[(Op::Part, busy)]);
    refused(size);
    let ops = [Op::Begin, Op::Part, Op::Put, Op::Get, Op::Head, Op::List];
    bucket.always(&ops.map(|op| (op, busy)));
    refused(1000);
    // It is known by now: nobody sends anything in vain.
    let sent = bucket.count(Op::Put);
    refused(1000);
    assert_eq!(bucket.count(Op::Put), sent);
    bucket.always(&[]);
    for size in [1000, size] {
        Upload::fresh(size).to(&server);
    }
}

#[test]
fn what_the_bucket_says_is_for_the_log_and_an_uploader_hears_what_it_comes_to() {
    const SAID: &str = "as planned";
    let home = tempfile::tempdir().unwrap();
    let bucket = FaultServer::start([]);
    let server = daemon(home.path(), &bucket);
    bucket.always(&[(Op::Put, Fault::Status(403, "AccessDenied", None))]);
    // The second time it is known, and asked for before anything is sent.
    for _ in 0..2 {
        let reply = Upload::fresh(1000).attempt(&server).unwrap();
        assert_eq!(reply.status(), 503, "{}", reply.text());
        let text = reply.text();
        assert!(text.contains("the server denies it (status 403)"), "{text}");
        assert!(text.contains("Give the access key the rights"), "{text}");
        assert!(!text.contains(SAID), "{text}");
        let ready = get(server.address, "/ready", &[]).text();
        assert!(!ready.contains(SAID), "{ready}");
    }
    assert!(server.log().contains(SAID), "{}", server.log());
}
