//! Uploads that come in chunks, in a database that is damaged.

use super::chunks::{chunk, session};
use super::damage::{assert_damaged, flip, spoiled};
use super::schema::{BUILDING, CHUNKS, Change, EDGES, ENDED, IDLE, SESSIONS, UPLOADING};
use super::*;
use crate::metadata::chunks::{BuiltBy, Edge};
use crate::metadata::records::Mark;
use redb::WriteTransaction;

/// Account 1 has sessions 11 to 13, each with chunks at 0, 300 and 600 and with an edge. Then `spoil` was
/// done behind the back of the database.
fn with_damage(spoil: impl FnOnce(&Change<'_>, &WriteTransaction)) -> RedbMetadata {
    spoiled(|to, transaction| {
        let added = crate::metadata::accounts::add_account(to, account("Ann"), None);
        assert_eq!(added.unwrap(), Some(AccountId(1)));
        for n in 11..=13 {
            let begun = crate::metadata::chunks::begin(to, &session(n), 9).unwrap();
            assert_eq!(begun, ChunksBegun::Done);
            for offset in [0, 300, 600] {
                let edges = vec![(0, Some(vec![1; 50]))];
                let chunk = chunk(offset, 100);
                let added = crate::metadata::chunks::add(to, &lookup(n), &chunk, edges, NOW);
                assert_eq!(added.unwrap(), ChunkAdded::Done);
            }
        }
        spoil(to, transaction);
    })
}

fn chunk_key(n: u64, offset: u64) -> [u8; 24] {
    keys::chunk_key(&blob_id(n), offset)
}

#[test]
fn a_damaged_chunk_counts_as_not_received_and_is_sent_again() {
    let db = with_damage(|_, transaction| flip(transaction, CHUNKS.name, &chunk_key(12, 300)));
    assert_damaged(db.verify(), "chunks");
    let sound = [0, 600].map(|offset| chunk(offset, 100));
    assert_eq!(db.chunks(&lookup(12), None, 9).unwrap(), sound);
    assert_eq!(db.chunks_around(&lookup(12), 350..600).unwrap(), sound[1..]);
    assert_eq!(db.chunks(&lookup(11), None, 9).unwrap().len(), 3);

    let add = |offset, length| {
        let chunk = chunk(offset, length);
        db.add_chunk(&lookup(12), chunk, vec![], NOW).unwrap()
    };
    assert_eq!(add(50, 300), ChunkAdded::Overlaps, "the one before it");
    assert_eq!(add(350, 251), ChunkAdded::Overlaps, "the one after it");
    assert_eq!(add(300, 100), ChunkAdded::Done);
    assert_eq!(db.chunks(&lookup(12), None, 9).unwrap().len(), 3);
    db.verify().unwrap();
}

#[test]
fn a_damaged_session_is_named_and_the_others_go_on() {
    let db = with_damage(|_, transaction| flip(transaction, SESSIONS.name, &lookup(12).0));
    assert_damaged(db.chunk_session(&lookup(12)), "sessions");
    assert_damaged(db.chunks(&lookup(12), None, 9), "sessions");
    assert_damaged(db.chunks_around(&lookup(12), 0..9), "sessions");
    assert_damaged(db.edges(&lookup(12), &[0]), "sessions");
    let chunk = chunk(900, 1);
    assert_damaged(db.add_chunk(&lookup(12), chunk, vec![], NOW), "sessions");
    assert_damaged(db.drop_chunks(&lookup(12)), "sessions");
    assert_damaged(db.begin_chunks(&session(12), 9), "sessions");
    let new = NewLink {
        session: Some(lookup(12)),
        ..with_blob(link(12))
    };
    assert_damaged(db.publish(new), "sessions");
    assert_damaged(db.verify(), "sessions");
    // Nothing deletes its bytes.
    assert!(db.unknown_blobs(&[blob_id(12)]).unwrap().is_empty());

    let late = Timestamp(i64::MAX);
    let idle = [11, 13].map(session);
    assert_eq!(db.idle_chunks(late, 9).unwrap(), idle);
    assert_eq!(db.idle_chunks(late, 2).unwrap(), idle, "a full page");
    for n in [11, 13] {
        let added = db.add_chunk(&lookup(n), chunk, vec![], NOW).unwrap();
        assert_eq!(added, ChunkAdded::Done);
        assert_eq!(db.drop_chunks(&lookup(n)).unwrap(), Some(blob_id(n)));
    }
    assert_eq!(db.idle_chunks(late, 9).unwrap(), []);
}

#[test]
fn bytes_that_waited_and_are_damaged_are_never_taken_for_none() {
    let db = with_damage(|_, transaction| flip(transaction, EDGES.name, &chunk_key(12, 0)));
    assert_damaged(db.edges(&lookup(12), &[1, 0]), "edges");
    assert_eq!(db.edges(&lookup(12), &[1]).unwrap(), [None]);
    assert_damaged(db.verify(), "edges");
    assert_eq!(db.drop_chunks(&lookup(12)).unwrap(), Some(blob_id(12)));
    db.verify().unwrap();
}

#[test]
fn a_refused_removal_of_an_account_changes_nothing() {
    let db = with_damage(|to, transaction| {
        let ben = crate::metadata::accounts::add_account(to, account("Ben"), Some(api_key(5)));
        let session = crate::model::ChunkSession {
            owner: ben.unwrap().unwrap(),
            ..session(14)
        };
        crate::metadata::chunks::begin(to, &session, 9).unwrap();
        flip(transaction, SESSIONS.name, &lookup(14).0);
    });
    assert_damaged(db.remove_account(AccountId(2)), "sessions");
    assert!(db.account(AccountId(2)).unwrap().is_some());
    assert!(db.api_key(&lookup(5)).unwrap().is_some());
}

#[test]
fn marks_of_ended_sessions_work_damaged_or_not() {
    let db = with_damage(|to, transaction| {
        let found = SESSIONS.get(to, &lookup(12).0).unwrap().unwrap();
        crate::metadata::ended::end_for_later(to, &found).unwrap();
        let mut table = transaction
            .open_table(super::schema::Raw::new(ENDED.name))
            .unwrap();
        table.insert(&blob_id(12).0[..], &b"?"[..]).unwrap();
        table.insert(&b"short"[..], &b"?"[..]).unwrap();
        table.insert(&[][..], &b"?"[..]).unwrap();
    });
    assert_damaged(db.verify(), "ended");
    assert_eq!(db.drop_chunks(&lookup(11)).unwrap(), Some(blob_id(11)));
    db.verify().unwrap();
    let left = db.read(|view| CHUNKS.count(view)).unwrap();
    assert_eq!(left, 3, "those of the last session");
}

#[test]
fn tables_of_uploads_that_contradict_each_other_are_found() {
    let idle = keys::due_key(NOW, &lookup(12));
    let owned = keys::owned_key(AccountId(1), &lookup(12));
    let found = |table: &str, spoil: &dyn Fn(&Change<'_>)| {
        assert_damaged(with_damage(|to, _| spoil(to)).verify(), table);
    };
    found("sessions", &|to| IDLE.delete(to, &idle).unwrap());
    found("sessions", &|to| UPLOADING.delete(to, &owned).unwrap());
    found("sessions", &|to| {
        BUILDING.delete(to, &blob_id(12).0).unwrap()
    });
    found("sessions", &|to| {
        let other = BuiltBy(lookup(11));
        BUILDING.put(to, &blob_id(12).0, &other).unwrap();
    });
    found("sessions", &|to| {
        ENDED.put(to, &blob_id(12).0, &Mark).unwrap();
    });
    found("sessions", &|to| {
        // A link that has the blob of a session.
        BUILDING.delete(to, &blob_id(12).0).unwrap();
        changes::publish(to, with_blob(link(12))).unwrap();
        let by = BuiltBy(lookup(12));
        BUILDING.put(to, &blob_id(12).0, &by).unwrap();
    });
    found("sessions", &|to| {
        let other = crate::model::ChunkSession {
            owner: AccountId(2),
            ..session(12)
        };
        SESSIONS.put(to, &lookup(12).0, &other).unwrap();
    });
    for (index, key) in [(&IDLE, &idle), (&UPLOADING, &owned)] {
        let mut stray = *key;
        stray[39] ^= 1;
        found(index.name, &|to| index.put(to, &stray, &Mark).unwrap());
    }
    found("building", &|to| {
        let by = BuiltBy(lookup(12));
        BUILDING.put(to, &blob_id(99).0, &by).unwrap();
    });
    // Over another chunk, past the file, of no bytes, and of no session.
    for (blob, offset, length) in [(12, 350, 9), (12, 950, 99), (12, 900, 0), (99, 0, 9)] {
        found("chunks", &|to| {
            let key = chunk_key(blob, offset);
            CHUNKS.put(to, &key, &chunk(offset, length)).unwrap();
        });
    }
    found("edges", &|to| {
        EDGES.put(to, &chunk_key(99, 0), &Edge(vec![])).unwrap();
    });
    with_damage(|_, _| {}).verify().unwrap();
}
