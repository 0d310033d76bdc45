//! The writer: one commit for those who come together, and none when nothing changes.

use super::clock::Ride;
use super::*;
use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;

/// Counts reads, syncs and written bytes, and fails on demand.
#[derive(Debug, Default)]
pub(super) struct Disk {
    memory: InMemoryBackend,
    reads: AtomicU64,
    syncs: AtomicU64,
    pub(super) written: AtomicU64,
    fails: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Handle(pub(super) Arc<Disk>);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.0.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the card is gone"));
        }
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        StorageBackend::read(&self.0.memory, offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.memory.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the card is gone"));
        }
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let length = u64::try_from(data.len()).unwrap();
        self.0.written.fetch_add(length, Ordering::SeqCst);
        StorageBackend::write(&self.0.memory, offset, data)
    }
}

impl Disk {
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }
}

/// A database with its tables, without a writer of its own.
fn engine() -> (Database, Arc<Disk>) {
    let (db, disk) = counted(no_failure());
    drop(db);
    let database = Database::builder().create_with_backend(Handle(disk.clone()));
    (database.unwrap(), disk)
}

pub(super) fn counted(on_fatal: OnFatal) -> (RedbMetadata, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let db = RedbMetadata::with_backend(Handle(disk.clone()), on_fatal).unwrap();
    (db, disk)
}

pub(super) fn no_failure() -> OnFatal {
    Arc::new(|reason| panic!("{reason}"))
}

#[test]
fn a_change_is_synced_when_it_is_answered_and_costs_few_bytes() {
    let (db, disk) = counted(no_failure());
    db.publish(with_blob(link(0))).unwrap();
    let (syncs, written) = (disk.syncs(), disk.written.load(Ordering::SeqCst));
    db.publish(with_blob(link(1))).unwrap();
    assert_eq!(disk.syncs() - syncs, 2, "two phases");
    let cost = disk.written.load(Ordering::SeqCst) - written;
    assert!(cost < 100_000, "one commit wrote {cost} bytes");
}

#[test]
fn what_changes_nothing_is_never_written() {
    let (db, disk) = counted(no_failure());
    db.publish(with_blob(link(1))).unwrap();
    let (syncs, written) = (disk.syncs(), disk.written.load(Ordering::SeqCst));
    db.remove(&lookup(9)).unwrap();
    db.edit(&lookup(1), LinkEdit::default()).unwrap();
    db.remove_over(&[lookup(1)], NOW).unwrap();
    db.settle_lease(&lease(1, 1).id).unwrap();
    db.return_lease(&lease(1, 1).id).unwrap();
    db.add_downloads(&[(lookup(9), 1)]).unwrap();
    db.collected(&[blob_id(9)]).unwrap();
    db.publish(with_blob(link(1))).unwrap_err();
    db.publish(sharing(link(2), blob_id(9))).unwrap();
    let of_no_upload = NewLink {
        session: Some(lookup(9)),
        ..with_blob(link(2))
    };
    let published = db.publish(of_no_upload).unwrap();
    assert_eq!(published, Published::SessionGone);
    assert_eq!(db.drop_chunks(&lookup(9)).unwrap(), None);
    assert_eq!(disk.syncs(), syncs);
    assert_eq!(disk.written.load(Ordering::SeqCst), written);
}

#[test]
fn changes_that_wait_together_share_one_commit() {
    let (database, disk) = engine();
    let (queue, jobs) = channel();
    let answers: Vec<_> = (0..20)
        .map(|n| {
            // Every other one is refused: its blob is not there.
            let new = match n % 2 {
                0 => with_blob(link(n)),
                _ => sharing(link(n), blob_id(1_000)),
            };
            let (job, answer) = writer::job(move |to| changes::publish(to, new));
            queue.send(job).unwrap();
            answer
        })
        .collect();
    drop(queue);
    let syncs = disk.syncs();
    writer::serve(&database, &jobs, None, &Ride::default(), &no_failure());
    assert_eq!(disk.syncs() - syncs, 2);
    for (n, answer) in answers.into_iter().enumerate() {
        let expected = match n % 2 {
            0 => Published::Done,
            _ => Published::SharedBlobGone,
        };
        assert_eq!(answer.recv().unwrap().unwrap(), expected);
    }
}

#[test]
fn a_failed_commit_is_unknown_to_every_member_of_its_batch() {
    let (database, disk) = engine();
    let (queue, jobs) = channel();
    let answers: Vec<_> = (0..5)
        .map(|n| {
            let (job, answer) = writer::job(move |to| changes::publish(to, with_blob(link(n))));
            queue.send(job).unwrap();
            answer
        })
        .collect();
    drop(queue);
    disk.fails.store(true, Ordering::SeqCst);
    let calls = Arc::new(AtomicU64::new(0));
    let heard = calls.clone();
    let on_fatal: OnFatal = Arc::new(move |_| {
        heard.fetch_add(1, Ordering::SeqCst);
    });
    writer::serve(&database, &jobs, None, &Ride::default(), &on_fatal);
    for answer in answers {
        let error = answer.recv().unwrap().unwrap_err();
        assert!(matches!(error, MetadataError::OutcomeUnknown(_)), "{error}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_refused_member_of_a_batch_does_not_harm_the_others() {
    let (db, _) = counted(no_failure());
    std::thread::scope(|scope| {
        for n in 0..8 {
            let db = &db;
            scope.spawn(move || {
                db.publish(with_blob(link(n))).unwrap();
                db.publish(with_blob(link(n))).unwrap_err();
            });
        }
    });
    assert_eq!(db.link_count().unwrap(), 8);
    db.verify().unwrap();
}

#[test]
fn after_a_failed_commit_nothing_is_written_and_the_owner_hears_it_once() {
    let calls = Arc::new(AtomicU64::new(0));
    let heard = calls.clone();
    let on_fatal: OnFatal = Arc::new(move |reason| {
        assert!(reason.contains("the card is gone"), "{reason}");
        heard.fetch_add(1, Ordering::SeqCst);
    });
    let (db, disk) = counted(on_fatal);
    db.publish(with_blob(link(1))).unwrap();
    disk.fails.store(true, Ordering::SeqCst);
    let error = db.publish(with_blob(link(2))).unwrap_err();
    assert!(matches!(error, MetadataError::OutcomeUnknown(_)), "{error}");
    disk.fails.store(false, Ordering::SeqCst);
    for n in 3..6 {
        let error = db.publish(with_blob(link(n))).unwrap_err();
        assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    drop(db);
    let db = RedbMetadata::with_backend(Handle(disk), no_failure()).unwrap();
    assert_eq!(db.link(&lookup(1)).unwrap(), Some(link(1)));
    db.verify().unwrap();
}

#[test]
fn a_failed_read_is_fatal_too_because_the_engine_refuses_everything_after_it() {
    let (db, disk) = counted(no_failure());
    // More than the cache holds.
    for n in 0..30 {
        let by_owner = vec![2; 200_000];
        db.publish(with_blob(Link {
            by_owner,
            ..link(n)
        }))
        .unwrap();
    }
    drop(db);
    let calls = Arc::new(AtomicU64::new(0));
    let heard = calls.clone();
    let on_fatal: OnFatal = Arc::new(move |_| {
        heard.fetch_add(1, Ordering::SeqCst);
    });
    let db = RedbMetadata::with_backend(Handle(disk.clone()), on_fatal).unwrap();
    assert_eq!(db.link(&lookup(30)).unwrap(), None);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    disk.fails.store(true, Ordering::SeqCst);
    let error = db.verify().unwrap_err();
    assert!(matches!(error, MetadataError::Unavailable(_)), "{error}");
    assert!(db.verify().is_err());
    assert!(db.remove(&lookup(1)).is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn cost_does_not_grow_with_the_number_of_links() {
    let (db, disk) = counted(no_failure());
    let bytes_for_one = |n: u64| {
        let before = disk.written.load(Ordering::SeqCst);
        db.publish(with_blob(link(n))).unwrap();
        let page = db.links_of(AccountId(1), None, 10).unwrap();
        assert!(page.len() <= 10);
        assert!(db.due(Timestamp(2_000), None, 10).unwrap().len() <= 10);
        db.remove(&lookup(n)).unwrap();
        disk.written.load(Ordering::SeqCst) - before
    };
    for n in 0..200 {
        db.publish(with_blob(link(n))).unwrap();
    }
    let few = bytes_for_one(u64::MAX);
    std::thread::scope(|scope| {
        for worker in 0..64 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..250 {
                    db.publish(with_blob(link(1_000 + worker * 1_000 + n)))
                        .unwrap();
                }
            });
        }
    });
    let many = bytes_for_one(u64::MAX);
    assert_eq!(db.link_count().unwrap(), 16_200);
    assert!(many < few * 3, "{few} bytes at 200 links, {many} at 16,200");
}

#[test]
fn a_listing_is_read_from_few_pages_although_ids_are_random() {
    let (db, disk) = counted(no_failure());
    for n in 0..500u64 {
        let scattered = link(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let created = Timestamp(i64::try_from(n).unwrap());
        let new = Link {
            created,
            ..scattered
        };
        db.publish(with_blob(new)).unwrap();
    }
    drop(db);
    // With nothing in its cache.
    let db = RedbMetadata::with_backend(Handle(disk.clone()), no_failure()).unwrap();
    let before = disk.reads.load(Ordering::SeqCst);
    let after = LinkCursor {
        created: Timestamp(200),
        lookup: lookup(0),
    };
    let page = db.links_of(AccountId(1), Some(&after), 50).unwrap();
    assert_eq!(page.len(), 50);
    let reads = disk.reads.load(Ordering::SeqCst) - before;
    assert!(reads < 20, "{reads} pages read for 50 links");
}

#[test]
fn a_start_after_a_kill_needs_no_repair_that_walks_the_whole_file() {
    let (db, disk) = counted(no_failure());
    for n in 0..100 {
        db.publish(with_blob(link(n))).unwrap();
    }
    // What the disk has while the database is open: nothing was closed in an orderly way.
    let length = disk.memory.len().unwrap();
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    StorageBackend::read(&disk.memory, 0, &mut bytes).unwrap();
    let left = InMemoryBackend::new();
    left.set_len(length).unwrap();
    StorageBackend::write(&left, 0, &bytes).unwrap();
    Database::builder()
        .set_repair_callback(|_| panic!("the engine repairs"))
        .create_with_backend(left)
        .unwrap();
}
