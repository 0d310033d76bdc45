//! Uploads into a real bucket: what is in it afterwards, after success, failure and death.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::{BlobId, SystemClock};
use mayfly::store::s3::{Client, Journal, MemoryJournal, Retries, S3Settings, Uploads};
use mayfly::store::{Stage, StoreError};
use std::path::Path;
use std::sync::Arc;
use support::{Figures, LoopDisk, MIB, S3Server};

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
fn a_gibibyte_of_known_length_hardly_touches_the_disk_and_the_memory() {
    if !support::slow() {
        return;
    }
    let name = "a gibibyte of known length";
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
    let own = Figures::of(std::process::id());
    own.forget_peak();
    let (memory, before) = (own.rss(), disk.written().unwrap());
    let start = std::time::Instant::now();
    let length = 1024 * MIB;
    let mut stage = world.uploads.stage(&BlobId([1; 16]), Some(length)).unwrap();
    let piece = pattern(64 << 10);
    let pace: Option<f64> = std::env::var("PACE").ok().map(|p| p.parse().unwrap());
    for n in 0..length / piece.len() as u64 {
        if let Some(pace) = pace {
            let due = (n * 65536) as f64 / pace / 1e6;
            let left = due - start.elapsed().as_secs_f64();
            if left > 0.0 {
                std::thread::sleep(std::time::Duration::from_secs_f64(left));
            }
        }
        stage.write(&piece).unwrap();
    }
    stage.commit().unwrap();
    let during = disk.written().unwrap() - before;
    sync();
    let written = disk.written().unwrap() - before;
    let taken = own.peak() - memory;
    println!(
        "{written} bytes to the disk ({during} before the sync), {taken} of memory, peak {}, {:?}, cpu {:?}",
        own.peak(),
        start.elapsed(),
        own.cpu()
    );
    let stored = server.bucket().join(BlobId([1; 16]).to_hex());
    assert_eq!(stored.metadata().unwrap().len(), length);
    assert!(
        written <= 8 * MIB,
        "{written} bytes were written to the disk"
    );
    assert!(taken <= 8 * MIB, "{taken} bytes of memory were taken");
}
