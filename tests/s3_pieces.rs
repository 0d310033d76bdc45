//! Blobs that come in pieces and go into a real bucket: over the end of a process, and what of them is
//! written to the local disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::{BlobId, SystemClock};
use mayfly::store::s3::{Client, Journal, MemoryJournal, Retries, S3Settings, S3Store, Uploads};
use mayfly::store::{Assembly, Pieces, Store, StoreError, contract};
use rustix::process::{Pid, Signal, kill_process};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{FaultyFront, LoopDisk, S3Server, within};

const MARK: &str = "0123456789abcdef0123456789abcdef";
const ID: BlobId = BlobId([0x5A; 16]);
/// A chunk of 45 MiB, sealed; the first has a header of 40 bytes more.
const CHUNK: u64 = 2880 * 16_400;

fn open(settings: &S3Settings, journal: &Arc<MemoryJournal>, incoming: &Path) -> S3Store {
    open_both(settings, journal, incoming).0
}

fn open_both(
    settings: &S3Settings,
    journal: &Arc<MemoryJournal>,
    incoming: &Path,
) -> (S3Store, Arc<Uploads>) {
    let client = Client::new(settings, Arc::new(SystemClock::new())).unwrap();
    let own = Arc::<MemoryJournal>::clone(journal);
    let uploads = Uploads::new(client.clone(), own, incoming, 0, Retries::default()).unwrap();
    let store = S3Store::new(client, Arc::clone(&uploads), MARK);
    (store.with_grace(Duration::ZERO), uploads)
}

fn pieces() -> Pieces {
    Pieces {
        first: CHUNK + 40,
        each: CHUNK,
    }
}

/// The byte at this place of a blob.
fn bytes_at(offset: u64, length: usize) -> Vec<u8> {
    let byte = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8 | 1;
    (offset..).take(length).map(byte).collect()
}

fn write(assembly: &dyn Assembly, start: u64, end: u64) -> Result<(), StoreError> {
    let mut piece = assembly.piece(start)?;
    let mut at = start;
    while at < end {
        let length = (end - at).min(64 << 10);
        piece.write(&bytes_at(at, length as usize))?;
        at += length;
    }
    piece.finish()
}

fn assert_whole(store: &dyn Store, size: u64) {
    let blob = store.open(&ID).unwrap();
    assert_eq!(blob.size(), size);
    let mut at = 0;
    while at < size {
        let length = (size - at).min(1 << 20) as usize;
        let mut read = vec![0; length];
        blob.read_exact_at(&mut read, at).unwrap();
        assert!(read == bytes_at(at, length), "at {at}");
        at += length as u64;
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_bucket_keeps_the_contract_of_blobs_in_pieces() {
    let Some(server) = S3Server::start("blobs in pieces, kept by a bucket") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    let make = || -> Box<dyn Store> {
        let number = count.replace(count.get() + 1);
        let mut settings = server.settings();
        settings.prefix = format!("store-{number}/");
        let incoming = home.path().join(number.to_string());
        std::fs::create_dir(&incoming).unwrap();
        Box::new(open(&settings, &Arc::default(), &incoming))
    };
    contract::check_assemblies(&make, 17 << 20);
}

#[test]
fn after_a_kill_another_process_goes_on_and_no_sweep_ends_what_waits() {
    let Some(server) = S3Server::start("pieces over the end of a process") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let journal = Arc::<MemoryJournal>::default();
    let new = || open(&server.settings(), &journal, home.path());
    let size = 40 << 20;
    let ends = [0, 3_000_000, 19_000_000, 19_000_001, 33_000_000, size];
    let killed = new();
    let assembly = killed.assemble(&ID, size, pieces()).unwrap();
    write(&*assembly, ends[3], ends[4]).unwrap();
    write(&*assembly, ends[0], ends[1]).unwrap();
    let mut half = assembly.piece(ends[1]).unwrap();
    half.write(&bytes_at(ends[1], 9 << 20)).unwrap();
    // Two parts are whole with it, and go at once. A process that was killed would do no more.
    let part = |n: u64| home.path().join(format!("s3-{}-{n}", ID.to_hex()));
    let gone = || !part(1).exists() && !part(2).exists();
    assert!(within(Duration::from_secs(120), gone));
    assert!(part(3).exists());
    // What a kill leaves is not cleared up by anybody.
    std::mem::forget((half, assembly, killed));

    let (next, uploads) = open_both(&server.settings(), &journal, home.path());
    assert_eq!(uploads.sweep().unwrap(), 0);
    assert_eq!(uploads.sweep_old(Duration::ZERO).unwrap(), 0);
    assert_eq!(next.assemblies(None, 10).unwrap(), [ID]);
    assert_eq!(journal.open(None, 9).unwrap().len(), 1);
    let assembly = next.reassemble(&ID, size).unwrap();
    // The piece that was acknowledged is there, the same may come again, and no other.
    write(&*assembly, ends[3], ends[4]).unwrap();
    let mut other = assembly.piece(ends[3]).unwrap();
    let mut bytes = bytes_at(ends[3], (ends[4] - ends[3]) as usize);
    bytes[100] ^= 4;
    let refused = other.write(&bytes).and_then(|()| other.finish());
    assert!(matches!(refused, Err(StoreError::Differs)), "{refused:?}");
    // Also where the part was put together from two pieces and is in the bucket, and this one never ended.
    let mut other = assembly.piece(ends[1]).unwrap();
    let mut bytes = bytes_at(ends[1], 4 << 20);
    bytes[100] ^= 4;
    let refused = other.write(&bytes);
    assert!(matches!(refused, Err(StoreError::Differs)), "{refused:?}");
    write(&*assembly, ends[1], ends[2]).unwrap();
    drop((assembly, next, uploads));

    let last = new();
    let assembly = last.reassemble(&ID, size).unwrap();
    assert!(assembly.commit().is_err(), "a byte is missing");
    write(&*assembly, ends[2], ends[3]).unwrap();
    write(&*assembly, ends[4], ends[5]).unwrap();
    assembly.commit().unwrap();
    assert_whole(&last, size);
    assert_eq!(journal.open(None, 9).unwrap(), []);
    assert_eq!(names(home.path()), [""; 0]);
    assert!(matches!(
        last.reassemble(&ID, size),
        Err(StoreError::NotFound)
    ));
}

#[test]
fn what_is_given_up_leaves_nothing_in_the_bucket_and_nothing_on_the_disk() {
    let Some(server) = S3Server::start("pieces that are given up") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let journal = Arc::<MemoryJournal>::default();
    let store = open(&server.settings(), &journal, home.path());
    let assembly = store.assemble(&ID, 20 << 20, pieces()).unwrap();
    write(&*assembly, 0, 11 << 20).unwrap();
    assert!(!names(home.path()).is_empty());
    store.abandon(&ID).unwrap();
    assert_eq!(names(home.path()), [""; 0]);
    let ended = || journal.open(None, 9).unwrap().is_empty();
    assert!(within(Duration::from_secs(120), ended));
    assert!(store.is_empty().unwrap());
    assert!(write(&*assembly, 11 << 20, 20 << 20).is_err());
}

#[test]
fn what_is_given_up_while_a_piece_is_written_is_not_there_any_more() {
    let Some(server) = S3Server::start("pieces that are given up while they come") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let store = open(&server.settings(), &Arc::default(), home.path());
    for end in [1 << 20, 11 << 20, 20 << 20] {
        let assembly = store.assemble(&ID, 20 << 20, pieces()).unwrap();
        let mut piece = assembly.piece(0).unwrap();
        piece.write(&bytes_at(0, 600_000)).unwrap();
        store.abandon(&ID).unwrap();
        let rest = bytes_at(600_000, end - 600_000);
        let ended = piece.write(&rest).and_then(|()| piece.finish());
        assert!(matches!(ended, Err(StoreError::NotFound)), "{ended:?}");
        assert_eq!(names(home.path()), [""; 0]);
    }
}

#[test]
fn a_kill_right_after_the_object_was_made_loses_nothing_and_the_next_process_finds_it() {
    let Some(server) = S3Server::start("pieces that are whole when the process ends") else {
        return;
    };
    let front = FaultyFront::before(server.address, server.home(), 1, 0);
    for endpoint in [server.endpoint(), format!("http://{}", front.address)] {
        let home = tempfile::tempdir().unwrap();
        let journal = Arc::<MemoryJournal>::default();
        let mut settings = server.settings();
        settings.endpoint = endpoint;
        let store = open(&settings, &journal, home.path());
        let assembly = store.assemble(&ID, 9 << 20, pieces()).unwrap();
        write(&*assembly, 0, 9 << 20).unwrap();
        let ledger = names(home.path()).pop().unwrap();
        let ledger = home.path().join(ledger);
        let text = std::fs::read(&ledger).unwrap();
        assembly.commit().unwrap();
        drop((assembly, store));
        std::fs::write(ledger, text).unwrap();
        let next = open(&settings, &journal, home.path());
        let assembly = next.reassemble(&ID, 9 << 20).unwrap();
        assembly.commit().unwrap();
        assert_whole(&next, 9 << 20);
        assert_eq!(names(home.path()), [""; 0]);
        next.delete(&ID).unwrap();
    }
}

#[test]
fn an_upload_that_the_bucket_has_ended_by_itself_is_lost_and_leaves_nothing() {
    let Some(server) = S3Server::start("pieces of an upload that a bucket has ended") else {
        return;
    };
    // It says of an upload that it is not there, which s3s-fs does not.
    let front = FaultyFront::before(server.address, server.home(), 1, 0);
    let mut settings = server.settings();
    settings.endpoint = format!("http://{}", front.address);
    // The last part is small: s3s-fs does not read one that it refuses.
    let middle = CHUNK / 9 * 2;
    let size = middle + 1000;
    for whole in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let journal = Arc::<MemoryJournal>::default();
        let store = open(&settings, &journal, home.path());
        let assembly = store.assemble(&ID, size, pieces()).unwrap();
        write(&*assembly, 0, if whole { size } else { middle }).unwrap();
        // As a rule for the age of unfinished uploads would.
        for name in names(server.home()) {
            if name.starts_with(".upload-") {
                std::fs::remove_file(server.home().join(name)).unwrap();
            }
        }
        let lost = match whole {
            true => assembly.commit(),
            false => write(&*assembly, middle, size),
        };
        assert!(matches!(lost, Err(StoreError::Refused(_))), "{lost:?}");
        if whole {
            // The last request may have been answered to nobody: that is no proof.
            assert!(store.reassemble(&ID, size).is_ok());
            store.abandon(&ID).unwrap();
        }
        let gone = store.reassemble(&ID, size);
        assert!(matches!(gone, Err(StoreError::NotFound)));
        assert_eq!(names(home.path()), [""; 0]);
        let ended = || journal.open(None, 9).unwrap().is_empty();
        assert!(within(Duration::from_secs(120), ended));
    }
}

#[test]
fn while_the_server_is_away_a_piece_is_refused_and_it_may_come_again_when_it_is_back() {
    let Some(mut server) = S3Server::start("pieces for a server that goes away") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let journal = Arc::<MemoryJournal>::default();
    let settings = server.settings();
    let impatient = Retries {
        tries: 2,
        first: Duration::from_millis(1),
        away: Duration::ZERO,
    };
    let new = || {
        let client = Client::new(&settings, Arc::new(SystemClock::new())).unwrap();
        let own = Arc::<MemoryJournal>::clone(&journal);
        let uploads = Uploads::new(client.clone(), own, home.path(), 0, impatient).unwrap();
        S3Store::new(client, uploads, MARK)
    };
    let (size, middle) = (20 << 20, 9 << 20);
    let store = new();
    let assembly = store.assemble(&ID, size, pieces()).unwrap();
    write(&*assembly, 0, middle).unwrap();
    let mut begun = assembly.piece(middle).unwrap();
    begun.write(&bytes_at(middle, 100)).unwrap();
    server.kill();
    let rest = bytes_at(middle + 100, (size - middle - 100) as usize);
    let refused = begun.write(&rest).and_then(|()| begun.finish());
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    // Whoever gives it up or looks for it needs no server.
    assert_eq!(store.assemblies(None, 9).unwrap(), [ID]);
    server.restart();
    drop((assembly, store));
    let store = new();
    let assembly = store.reassemble(&ID, size).unwrap();
    write(&*assembly, middle, size).unwrap();
    assembly.commit().unwrap();
    assert_whole(&store, size);
}

#[test]
fn when_the_process_is_to_end_nobody_waits_for_a_part_that_hangs() {
    let Some(server) = S3Server::start("pieces for a server that hangs") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let journal = Arc::<MemoryJournal>::default();
    let (store, uploads) = open_both(&server.settings(), &journal, home.path());
    let size = 6 << 20;
    let assembly = store.assemble(&ID, size, pieces()).unwrap();
    let s3s = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    kill_process(s3s, Signal::STOP).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| write(&*assembly, 0, size).unwrap_err());
        let ledger = home.path().join(format!("s3-{}", ID.to_hex()));
        let is_sent = || std::fs::read_to_string(&ledger).is_ok_and(|text| text.contains("sent 1"));
        assert!(within(Duration::from_secs(120), is_sent));
        uploads.stop();
        let StoreError::Refused(why) = waits.join().unwrap() else {
            panic!("it was not refused");
        };
        assert!(why.to_string().contains("stopping"), "{why}");
    });
    kill_process(s3s, Signal::CONT).unwrap();
    drop((assembly, store, uploads));
    let store = open(&server.settings(), &journal, home.path());
    let assembly = store.reassemble(&ID, size).unwrap();
    write(&*assembly, 0, size).unwrap();
    assembly.commit().unwrap();
    assert_whole(&store, size);
}

/// The share of a blob of six chunks that was written to the disk, when `together` come at a time.
fn share_written(server: &S3Server, together: u64) -> Option<f64> {
    let Some(disk) = LoopDisk::mount(400) else {
        eprintln!("LEFT OUT: what is written to the disk (needs root and mkfs.ext4)");
        return None;
    };
    let journal = Arc::<MemoryJournal>::default();
    let mut settings = server.settings();
    settings.prefix = format!("{together}/");
    let incoming = disk.path().join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    let store = open(&settings, &journal, &incoming);
    let size = 40 + 6 * CHUNK;
    let assembly = store.assemble(&ID, size, pieces()).unwrap();
    let before = disk.written().unwrap();
    let chunk = |n: u64| match n {
        0 => (0, 40 + CHUNK),
        n => (40 + n * CHUNK, 40 + (n + 1) * CHUNK),
    };
    for first in (0..6).step_by(together as usize) {
        std::thread::scope(|scope| {
            for n in first..first + together {
                let (start, end) = chunk(n);
                let assembly = &assembly;
                scope.spawn(move || write(&**assembly, start, end).unwrap());
            }
        });
    }
    assembly.commit().unwrap();
    let written = disk.written().unwrap() - before;
    assert_whole(&store, size);
    eprintln!("{together} at a time: {written} of {size} bytes were written to the disk");
    Some(written as f64 / size as f64)
}

#[test]
fn what_comes_in_order_is_hardly_written_to_the_disk_and_what_comes_together_in_small_part() {
    if std::env::var_os("MAYFLY_SLOW").is_none() {
        eprintln!("LEFT OUT: what is written to the disk (slow)");
        return;
    }
    let Some(server) = S3Server::start("what pieces write to the disk") else {
        return;
    };
    for (together, most) in [(1, 0.5), (3, 0.7)] {
        let share = share_written(&server, together);
        assert!(share.is_none_or(|share| share < most), "{share:?}");
    }
}
