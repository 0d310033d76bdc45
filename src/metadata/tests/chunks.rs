//! Uploads that come in chunks.

use super::*;
use crate::model::{Chunk, ChunkSession};

const SIZE: u64 = 1_000;
const MOST: u64 = 256;

/// Session number `n` of account 1, with blob `n`.
fn session(n: u64) -> ChunkSession {
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

fn chunk(offset: u64, length: u64) -> Chunk {
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
