//! Uploads that come in chunks.

use super::schema::{CHUNKS, Change, EDGES, ENDED};
use super::writing::{Disk, Handle, counted, no_failure};
use super::*;
use crate::model::{Chunk, ChunkSession};
use std::sync::atomic::Ordering;

const SIZE: u64 = 1_000;
const MOST: u64 = 256;

/// Session number `n` of account 1, with blob `n`.
pub(super) fn session(n: u64) -> ChunkSession {
    ChunkSession {
        lookup: lookup(n),
        owner: AccountId(1),
        blob: blob_id(n),
        format: BlobFormat::Sealed,
        size: SIZE,
        header: [8; 40],
        by_owner: vec![9; 64],
        begun: NOW,
        touched: NOW,
    }
}

pub(super) fn chunk(offset: u64, length: u64) -> Chunk {
    Chunk {
        offset,
        length,
        digest: [u8::try_from(offset % 251).unwrap(); 16],
    }
}

/// A database with account 1.
fn with_account() -> RedbMetadata {
    let db = fresh();
    assert_eq!(
        db.add_account(account("Ann"), None).unwrap(),
        Some(AccountId(1))
    );
    db
}

fn with_session() -> RedbMetadata {
    let db = with_account();
    let begun = db.begin_chunks(&session(1), MOST).unwrap();
    assert_eq!(begun, ChunksBegun::Done);
    db
}

fn add(db: &RedbMetadata, offset: u64, length: u64) -> ChunkAdded {
    db.add_chunk(&lookup(1), chunk(offset, length), vec![], NOW)
        .unwrap()
}

/// The link of the file that the chunks of session `n` make.
fn published(n: u64) -> NewLink {
    let mut new = with_blob(Link {
        size: SIZE,
        ..link(n)
    });
    new.session = Some(lookup(n));
    new
}

#[test]
fn chunks_come_in_any_order_and_are_told_in_theirs() {
    let db = with_session();
    assert_eq!(db.chunk_session(&lookup(1)).unwrap(), Some(session(1)));
    assert_eq!(db.chunk_session(&lookup(2)).unwrap(), None);
    for offset in [600, 0, 300] {
        assert_eq!(add(&db, offset, 100), ChunkAdded::Done);
    }
    let all = [0, 300, 600].map(|offset| chunk(offset, 100));
    assert_eq!(db.chunks(&lookup(1), None, 9).unwrap(), all);
    assert_eq!(db.chunks(&lookup(1), None, 2).unwrap(), all[..2]);
    assert_eq!(db.chunks(&lookup(1), Some(0), 9).unwrap(), all[1..]);
    assert_eq!(db.chunks(&lookup(1), Some(600), 9).unwrap(), []);
    assert_eq!(db.chunks(&lookup(2), None, 9).unwrap(), []);
    db.verify().unwrap();
}

#[test]
fn no_byte_is_taken_down_twice() {
    let db = with_session();
    assert_eq!(add(&db, 100, 100), ChunkAdded::Done);
    assert_eq!(add(&db, 400, 100), ChunkAdded::Done);
    for (offset, length) in [
        (100, 100),
        (100, 50),
        (100, 150),
        (0, 101),
        (0, 1_000),
        (199, 1),
        (150, 300),
        (399, 2),
        (499, 1),
    ] {
        assert_eq!(
            add(&db, offset, length),
            ChunkAdded::Overlaps,
            "{offset} {length}"
        );
    }
    for (offset, length) in [(0, 100), (200, 200), (500, 500)] {
        assert_eq!(
            add(&db, offset, length),
            ChunkAdded::Done,
            "{offset} {length}"
        );
    }
    assert_eq!(db.chunks(&lookup(1), None, 9).unwrap().len(), 5);
    db.verify().unwrap();
}

#[test]
fn what_waits_for_the_rest_of_a_segment_changes_with_the_chunk() {
    let db = with_session();
    let edges = |edges| db.add_chunk(&lookup(1), chunk(0, 100), edges, NOW).unwrap();
    let first = vec![(0, Some(vec![1; 20_000])), (7, Some(vec![2]))];
    assert_eq!(edges(first), ChunkAdded::Done);
    let found = db.edges(&lookup(1), &[7, 0, 1]).unwrap();
    assert_eq!(found, [Some(vec![2]), Some(vec![1; 20_000]), None]);
    let refused = vec![(0, None)];
    assert_eq!(edges(refused), ChunkAdded::Overlaps);
    let next = vec![(0, None), (1, None), (7, Some(vec![3; 9]))];
    let added = db.add_chunk(&lookup(1), chunk(100, 1), next, NOW).unwrap();
    assert_eq!(added, ChunkAdded::Done);
    let found = db.edges(&lookup(1), &[0, 1, 7]).unwrap();
    assert_eq!(found, [None, None, Some(vec![3; 9])]);
    assert_eq!(db.edges(&lookup(2), &[0, 7]).unwrap(), [None, None]);
    db.verify().unwrap();
}

#[test]
fn publishing_ends_the_session_in_the_same_step() {
    let db = with_session();
    add(&db, 0, SIZE);
    let ids = [blob_id(1), blob_id(2)];
    assert_eq!(db.unknown_blobs(&ids).unwrap(), [blob_id(2)]);
    assert_eq!(db.publish(published(1)).unwrap(), Published::Done);
    assert_eq!(db.chunk_session(&lookup(1)).unwrap(), None);
    assert_eq!(db.unknown_blobs(&ids).unwrap(), [blob_id(2)]);
    assert!(db.link(&lookup(1)).unwrap().is_some());
    db.verify().unwrap();

    db.remove(&lookup(1)).unwrap();
    assert_eq!(db.publish(published(1)).unwrap(), Published::SessionGone);
    assert_eq!(db.link(&lookup(1)).unwrap(), None);
    assert_eq!(add(&db, 0, SIZE), ChunkAdded::Gone);
    db.verify().unwrap();
}

#[test]
fn a_session_that_is_dropped_leaves_nothing() {
    let db = with_session();
    let edge = vec![(0, Some(vec![1; 100]))];
    db.add_chunk(&lookup(1), chunk(0, 100), edge, NOW).unwrap();
    assert_eq!(db.drop_chunks(&lookup(1)).unwrap(), Some(blob_id(1)));
    assert_eq!(db.drop_chunks(&lookup(1)).unwrap(), None);
    assert_eq!(db.unknown_blobs(&[blob_id(1)]).unwrap(), [blob_id(1)]);
    assert_eq!(db.idle_chunks(Timestamp(i64::MAX), 9).unwrap(), []);

    // The same name again, with another blob: nothing of the first is found.
    let again = ChunkSession {
        blob: blob_id(2),
        ..session(1)
    };
    assert_eq!(db.begin_chunks(&again, 1).unwrap(), ChunksBegun::Done);
    assert_eq!(db.chunks(&lookup(1), None, 9).unwrap(), []);
    assert_eq!(db.edges(&lookup(1), &[0]).unwrap(), [None]);
    db.verify().unwrap();
}

#[test]
fn each_chunk_moves_its_session_to_the_end_of_those_that_are_idle() {
    let db = with_account();
    for n in 1..=3 {
        let at = NOW.plus(i64::try_from(n).unwrap());
        let begun = ChunkSession {
            touched: at,
            ..session(n)
        };
        db.begin_chunks(&begun, MOST).unwrap();
    }
    let idle = |before| {
        let found = db.idle_chunks(before, 9).unwrap();
        found.iter().map(|s| s.lookup).collect::<Vec<_>>()
    };
    assert_eq!(idle(NOW.plus(1)), []);
    assert_eq!(idle(NOW.plus(2)), [lookup(1)]);
    let touched = NOW.plus(60);
    db.add_chunk(&lookup(1), chunk(0, 1), vec![], touched)
        .unwrap();
    assert_eq!(idle(NOW.plus(60)), [2, 3].map(lookup));
    assert_eq!(idle(NOW.plus(61)), [2, 3, 1].map(lookup));
    assert_eq!(db.idle_chunks(NOW.plus(61), 2).unwrap().len(), 2);
    let found = db.chunk_session(&lookup(1)).unwrap().unwrap();
    assert_eq!((found.begun, found.touched), (NOW, touched));
    db.verify().unwrap();
}

#[test]
fn an_account_has_so_many_sessions_and_no_more() {
    let db = with_account();
    for n in 1..=3 {
        assert_eq!(db.begin_chunks(&session(n), 3).unwrap(), ChunksBegun::Done);
    }
    assert_eq!(
        db.begin_chunks(&session(4), 3).unwrap(),
        ChunksBegun::TooMany
    );
    let again = ChunkSession {
        size: 7,
        ..session(2)
    };
    let begun = db.begin_chunks(&again, 3).unwrap();
    assert_eq!(begun, ChunksBegun::Exists(session(2)));
    let nobody = ChunkSession {
        owner: AccountId(2),
        ..session(5)
    };
    assert_eq!(db.begin_chunks(&nobody, 3).unwrap(), ChunksBegun::OwnerGone);
    db.drop_chunks(&lookup(1)).unwrap();
    assert_eq!(db.begin_chunks(&session(4), 3).unwrap(), ChunksBegun::Done);
    db.verify().unwrap();
}

#[test]
fn what_no_correct_caller_asks_for_is_refused_without_a_trace() {
    let db = with_session();
    for (offset, length) in [(0, SIZE + 1), (SIZE, 1), (u64::MAX, 2), (7, 0), (0, 0)] {
        let refused = db.add_chunk(&lookup(1), chunk(offset, length), vec![], NOW.plus(9));
        assert!(refused.is_err(), "{offset} {length}");
    }
    let same_blob = ChunkSession {
        blob: blob_id(1),
        ..session(2)
    };
    db.begin_chunks(&same_blob, MOST).unwrap_err();
    db.publish(with_blob(link(3))).unwrap();
    db.begin_chunks(&session(3), MOST).unwrap_err();
    // Another link, another layout, another size, another owner, and past the session.
    let other_blob = NewLink {
        session: Some(lookup(1)),
        ..published(4)
    };
    let mut other_format = published(1);
    other_format.link.format = BlobFormat::Plain;
    let mut other_size = published(1);
    other_size.link.size = SIZE - 1;
    let mut other_owner = published(1);
    other_owner.link.owner = AccountId(7);
    let past_it = NewLink {
        session: None,
        ..published(1)
    };
    for new in [other_blob, other_format, other_size, other_owner, past_it] {
        let what = format!("{:?}", new.link);
        assert!(db.publish(new).is_err(), "{what}");
    }
    assert_eq!(db.chunk_session(&lookup(1)).unwrap(), Some(session(1)));
    assert_eq!(db.chunks(&lookup(1), None, 9).unwrap(), []);
    db.verify().unwrap();
}

#[test]
fn an_empty_file_has_one_empty_chunk() {
    let db = with_account();
    let empty = ChunkSession {
        size: 0,
        ..session(1)
    };
    db.begin_chunks(&empty, MOST).unwrap();
    assert_eq!(add(&db, 0, 0), ChunkAdded::Done);
    assert_eq!(add(&db, 0, 0), ChunkAdded::Overlaps);
    assert_eq!(db.chunks_around(&lookup(1), 0..0).unwrap(), [chunk(0, 0)]);
    db.add_chunk(&lookup(1), chunk(0, 1), vec![], NOW)
        .unwrap_err();
    db.verify().unwrap();
}

#[test]
fn the_largest_file_has_a_last_byte() {
    let db = with_account();
    let large = ChunkSession {
        size: u64::MAX,
        ..session(1)
    };
    db.begin_chunks(&large, MOST).unwrap();
    for (offset, length) in [(u64::MAX - 1, 1), (0, 1), (1, u64::MAX - 2)] {
        assert_eq!(add(&db, offset, length), ChunkAdded::Done);
    }
    assert_eq!(add(&db, u64::MAX - 1, 1), ChunkAdded::Overlaps);
    let last = db
        .chunks_around(&lookup(1), u64::MAX - 1..u64::MAX)
        .unwrap();
    assert_eq!(last, [chunk(u64::MAX - 1, 1)]);
    db.verify().unwrap();
}

#[test]
fn a_range_is_told_what_touches_it_and_what_overlaps_it() {
    let db = with_session();
    for offset in [0, 200, 300, 600] {
        add(&db, offset, 100);
    }
    let around = |range| {
        let found = db.chunks_around(&lookup(1), range).unwrap();
        found.iter().map(|chunk| chunk.offset).collect::<Vec<_>>()
    };
    for (range, expected) in [
        (100..200, vec![0, 200]),
        (101..199, vec![]),
        (0..1, vec![0]),
        (0..1_000, vec![0, 200, 300, 600]),
        (300..400, vec![300]),
        (299..300, vec![200, 300]),
        (400..600, vec![300, 600]),
        (700..701, vec![600]),
        (701..1_000, vec![]),
        (450..450, vec![]),
        (600..600, vec![600]),
        (u64::MAX..u64::MAX, vec![]),
    ] {
        assert_eq!(around(range.clone()), expected, "{range:?}");
    }
    let nobody = db.chunks_around(&lookup(9), 0..1_000).unwrap();
    assert_eq!(nobody, []);
    for offset in 700..900 {
        add(&db, offset, 1);
    }
    let many = around(650..1_000);
    assert_eq!(many[..2], [600, 700]);
    assert!(many.len() < 100, "{} of a range", many.len());
}

#[test]
fn an_account_takes_its_uploads_with_it() {
    let db = with_account();
    let ben = db.add_account(account("Ben"), None).unwrap().unwrap();
    for n in 1..=200 {
        db.begin_chunks(&session(n), MOST).unwrap();
        let edge = vec![(0, Some(vec![1; 9]))];
        db.add_chunk(&lookup(n), chunk(0, 1), edge, NOW).unwrap();
    }
    let other = ChunkSession {
        owner: ben,
        ..session(300)
    };
    db.begin_chunks(&other, MOST).unwrap();
    let mut steps = 1;
    while db.remove_account(AccountId(1)).unwrap() == AccountRemoved::HasKeys {
        db.verify().unwrap();
        steps += 1;
    }
    assert!(steps > 3, "{steps} steps");
    assert_eq!(db.account(AccountId(1)).unwrap(), None);
    let left = db.idle_chunks(Timestamp(i64::MAX), 999).unwrap();
    assert_eq!(left, [other]);
    assert_eq!(db.unknown_blobs(&[blob_id(7)]).unwrap(), [blob_id(7)]);
    assert_eq!(rows(&db), (0, 0, 0));
    let again = db.begin_chunks(&session(1), MOST).unwrap();
    assert_eq!(again, ChunksBegun::OwnerGone);
    db.verify().unwrap();
}

/// Rows of chunks, of edges and of ended sessions.
fn rows(db: &RedbMetadata) -> (u64, u64, u64) {
    db.read(|view| Ok((CHUNKS.count(view)?, EDGES.count(view)?, ENDED.count(view)?)))
        .unwrap()
}

/// Fills session 1, whose size it sets, with chunks of one byte `from..until`.
fn fill(db: &RedbMetadata, from: u64, until: u64) {
    std::thread::scope(|scope| {
        for worker in 0..32 {
            scope.spawn(move || {
                for n in (from..until).filter(|n| n % 32 == worker) {
                    assert_eq!(add(db, n, 1), ChunkAdded::Done);
                }
            });
        }
    });
}

/// With an account, and session 1 of a file of 20,000 bytes.
fn counted_session() -> (RedbMetadata, Arc<Disk>) {
    let (db, disk) = counted(no_failure());
    db.add_account(account("Ann"), None).unwrap();
    let large = ChunkSession {
        size: 20_000,
        ..session(1)
    };
    db.begin_chunks(&large, MOST).unwrap();
    (db, disk)
}

#[test]
fn a_chunk_costs_the_same_however_many_there_are() {
    let (db, disk) = counted_session();
    let cost = |n: u64, edges: Vec<(u64, Option<Vec<u8>>)>| {
        let (syncs, written) = (disk.syncs(), disk.written.load(Ordering::SeqCst));
        let touched = NOW.plus(i64::try_from(n).unwrap());
        let added = db.add_chunk(&lookup(1), chunk(n, 1), edges, touched);
        assert_eq!(added.unwrap(), ChunkAdded::Done);
        let written = disk.written.load(Ordering::SeqCst) - written;
        (disk.syncs() - syncs, written)
    };
    // The usual one of several: now and then a commit also tidies up after those before it, or the
    // file grows, which is synced on its own.
    let usual = |from: u64, edges: &dyn Fn(u64) -> Vec<(u64, Option<Vec<u8>>)>| {
        let mut costs: Vec<_> = (from..from + 7).map(|n| cost(n, edges(n))).collect();
        costs.sort_unstable();
        let (syncs, written) = costs[3];
        assert_eq!(syncs, 2, "one commit");
        written
    };
    let none = |_| vec![];
    let both = |n| {
        let edge = || Some(vec![7; 16_400]);
        vec![(2 * n, edge()), (2 * n + 1, edge())]
    };
    fill(&db, 0, 50);
    let few = (usual(15_000, &none), usual(15_010, &both));
    fill(&db, 50, 10_000);
    let many = (usual(15_020, &none), usual(15_030, &both));
    assert!(many.0 < few.0 * 2 && many.0 < 100_000, "{few:?} {many:?}");
    assert!(many.1 < few.1 * 2 && many.1 < 300_000, "{few:?} {many:?}");
    assert_eq!(rows(&db).0, 10_028);
    assert_eq!(db.chunks(&lookup(1), Some(9_990), 5).unwrap().len(), 5);
    db.verify().unwrap();
}

#[test]
fn however_many_chunks_a_session_had_they_go_in_steps() {
    let (db, disk) = counted_session();
    fill(&db, 0, 5_000);
    let none = db.begin_chunks(&session(2), MOST).unwrap();
    assert_eq!(none, ChunksBegun::Done);
    let syncs = disk.syncs();
    let mut new = published(1);
    new.link.size = 20_000;
    assert_eq!(db.publish(new).unwrap(), Published::Done);
    let commits = (disk.syncs() - syncs) / 2;
    assert!((5..10).contains(&commits), "{commits} commits");
    assert_eq!(rows(&db), (0, 0, 0));
    assert!(db.link(&lookup(1)).unwrap().is_some());
    db.verify().unwrap();
}

#[test]
fn a_session_with_many_edges_goes_in_steps_too() {
    let (db, disk) = counted_session();
    for n in 0..100 {
        let edges = vec![(2 * n, Some(vec![1; 99])), (2 * n + 1, Some(vec![2; 99]))];
        db.add_chunk(&lookup(1), chunk(n, 1), edges, NOW).unwrap();
    }
    assert_eq!(rows(&db), (100, 200, 0));
    let syncs = disk.syncs();
    db.drop_chunks(&lookup(1)).unwrap();
    let commits = (disk.syncs() - syncs) / 2;
    assert!((3..8).contains(&commits), "{commits} commits");
    assert_eq!(rows(&db), (0, 0, 0));
    db.verify().unwrap();
}

/// A database in which a session ended with `how`, and the process with it.
fn cut_short(how: fn(&Change<'_>)) -> RedbMetadata {
    let (db, disk) = counted_session();
    fill(&db, 0, 2_500);
    drop(db);
    let database = redb::Database::builder()
        .create_with_backend(Handle(disk.clone()))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    how(&Change::new(&transaction));
    transaction.commit().unwrap();
    drop(database);
    RedbMetadata::with_backend(Handle(disk), no_failure()).unwrap()
}

#[test]
fn what_a_cut_end_left_is_in_nobodys_way_and_goes_with_the_next() {
    let db = cut_short(|to| {
        let mut new = published(1);
        new.link.size = 20_000;
        assert_eq!(changes::publish(to, new).unwrap(), Published::Done);
    });
    let (chunks, _, ended) = rows(&db);
    assert!((1_000..2_000).contains(&chunks) && ended == 1, "{chunks}");
    db.verify().unwrap();
    assert_eq!(db.chunk_session(&lookup(1)).unwrap(), None);
    assert_eq!(db.chunks(&lookup(1), None, 9).unwrap(), []);
    assert!(db.unknown_blobs(&[blob_id(1)]).unwrap().is_empty());

    // The same name again.
    let again = ChunkSession {
        blob: blob_id(2),
        ..session(1)
    };
    assert_eq!(db.begin_chunks(&again, MOST).unwrap(), ChunksBegun::Done);
    assert_eq!(rows(&db), (0, 0, 0));
    assert_eq!(add(&db, 0, 100), ChunkAdded::Done);
    db.verify().unwrap();
}

#[test]
fn a_blob_of_an_ended_session_is_not_begun_again() {
    let db = cut_short(|to| {
        let dropped = ended::drop_session(to, &lookup(1)).unwrap();
        assert_eq!(dropped, Some(blob_id(1)));
    });
    assert!(rows(&db).0 > 1_000);
    db.begin_chunks(&session(1), MOST).unwrap_err();
    assert_eq!(db.drop_chunks(&lookup(1)).unwrap(), None);
    assert_eq!(rows(&db), (0, 0, 0), "the end of another goes on with it");
    db.verify().unwrap();
}
