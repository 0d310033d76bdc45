//! What every store must do, as one suite that runs against each of them: support for tests.

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: whatever fails is to panic"
)]

mod assemblies;

pub use assemblies::check_assemblies;

use super::{Store, StoreError};
use crate::model::BlobId;

/// Runs the whole suite, each part on a new and empty store of `make`.
///
/// # Panics
/// When the store breaks the contract.
pub fn check(make: &dyn Fn() -> Box<dyn Store>) {
    check_unguarded(make);
    a_name_that_is_taken_is_not_replaced(&*make());
    of_many_who_take_a_name_at_once_one_gets_it(&*make());
}

/// The suite without what happens to a name that is taken: there are object storages that replace an object whatever
/// they are asked. No name is drawn twice, so that nothing else depends on it.
///
/// # Panics
/// When the store breaks the contract.
pub fn check_unguarded(make: &dyn Fn() -> Box<dyn Store>) {
    let parts: [fn(&dyn Store); 10] = [
        what_is_committed_can_be_read_at_any_offset,
        reading_beyond_the_end_is_an_error,
        nothing_is_visible_before_the_commit,
        a_dropped_stage_leaves_nothing,
        deletion_may_be_repeated,
        an_open_blob_survives_its_deletion,
        sizes_are_those_of_the_blobs_that_are_there,
        listing_goes_through_all_names_in_order,
        what_cannot_fit_is_refused_at_once,
        the_sweep_spares_what_is_being_written,
    ];
    for part in parts {
        part(&*make());
    }
}

/// A blob id from its first byte and its last ones.
fn id(first: u8, rest: u32) -> BlobId {
    let mut bytes = [0; 16];
    bytes[0] = first;
    bytes[12..].copy_from_slice(&rest.to_be_bytes());
    BlobId(bytes)
}

fn put(store: &dyn Store, id: &BlobId, bytes: &[u8]) {
    let mut stage = store.stage(id, Some(bytes.len() as u64)).unwrap();
    stage.write(bytes).unwrap();
    stage.commit().unwrap();
}

fn get(store: &dyn Store, id: &BlobId) -> Vec<u8> {
    let blob = store.open(id).unwrap();
    let mut bytes = vec![0; usize::try_from(blob.size()).unwrap()];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn what_is_committed_can_be_read_at_any_offset(store: &dyn Store) {
    let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
    // Known, unknown, too much and too little expected: the same bytes.
    let expectations = [Some(400_000), None, Some(1_000_000), Some(7), Some(0)];
    for (n, expected) in (0..).zip(expectations) {
        let mut stage = store.stage(&id(n, 0), expected).unwrap();
        for part in bytes.chunks(30_001) {
            stage.write(part).unwrap();
        }
        stage.write(&[]).unwrap();
        stage.commit().unwrap();
        let blob = store.open(&id(n, 0)).unwrap();
        assert_eq!(blob.size(), 400_000);
        for (offset, length) in [
            (0, 400_000),
            (1, 1),
            (399_999, 1),
            (400_000, 0),
            (30_000, 5),
        ] {
            let mut buffer = vec![0; length];
            blob.read_exact_at(&mut buffer, offset as u64).unwrap();
            assert!(
                buffer == bytes[offset..offset + length],
                "{offset} {length}"
            );
        }
    }
    let empty = store.stage(&id(200, 0), None).unwrap();
    empty.commit().unwrap();
    assert_eq!(get(store, &id(200, 0)), b"");
}

fn reading_beyond_the_end_is_an_error(store: &dyn Store) {
    put(store, &id(1, 1), b"four");
    let blob = store.open(&id(1, 1)).unwrap();
    for (offset, length) in [(0, 5), (4, 1), (3, 2), (1 << 40, 1), (i64::MAX as u64, 1)] {
        let error = blob.read_exact_at(&mut vec![0; length], offset);
        assert!(error.is_err(), "{offset} {length}");
    }
}

fn nothing_is_visible_before_the_commit(store: &dyn Store) {
    let mut stage = store.stage(&id(1, 1), None).unwrap();
    stage.write(b"secret").unwrap();
    assert!(store.is_empty().unwrap());
    assert_eq!(store.list(None, 10).unwrap(), []);
    assert!(matches!(store.open(&id(1, 1)), Err(StoreError::NotFound)));
    stage.commit().unwrap();
    assert!(!store.is_empty().unwrap());
    assert_eq!(store.list(None, 10).unwrap(), [id(1, 1)]);
}

fn a_dropped_stage_leaves_nothing(store: &dyn Store) {
    let before = store.available().unwrap();
    let mut stage = store.stage(&id(1, 1), Some(1 << 20)).unwrap();
    stage.write(&[7; 4096]).unwrap();
    drop(stage);
    assert!(store.is_empty().unwrap());
    assert_eq!(store.sweep_staged().unwrap(), 0);
    // Others may use the same medium: only most of it must be back.
    assert!(store.available().unwrap() > before / 2);
}

fn a_name_that_is_taken_is_not_replaced(store: &dyn Store) {
    put(store, &id(1, 1), b"first");
    let mut stage = store.stage(&id(1, 1), None).unwrap();
    stage.write(b"second").unwrap();
    assert!(matches!(stage.commit(), Err(StoreError::Exists)));
    assert_eq!(get(store, &id(1, 1)), b"first");
    assert_eq!(store.sweep_staged().unwrap(), 0);
}

fn of_many_who_take_a_name_at_once_one_gets_it(store: &dyn Store) {
    for round in 0..8 {
        let name = id(round, 0);
        let results: Vec<_> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4u8)
                .map(|n| {
                    let mut stage = store.stage(&name, None).unwrap();
                    scope.spawn(move || {
                        stage.write(&[n; 100]).unwrap();
                        stage.commit()
                    })
                })
                .collect();
            writers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        let winners: Vec<_> = (0..4u8)
            .filter(|n| results[usize::from(*n)].is_ok())
            .collect();
        assert_eq!(winners.len(), 1);
        let losers = results.iter().filter_map(|r| r.as_ref().err());
        losers.for_each(|e| assert!(matches!(e, StoreError::Exists), "{e}"));
        assert_eq!(get(store, &name), [winners[0]; 100]);
    }
    assert_eq!(store.sweep_staged().unwrap(), 0);
}

fn deletion_may_be_repeated(store: &dyn Store) {
    store.delete(&id(1, 1)).unwrap();
    put(store, &id(1, 1), b"bytes");
    put(store, &id(1, 2), b"others");
    for _ in 0..2 {
        store.delete(&id(1, 1)).unwrap();
        assert!(matches!(store.open(&id(1, 1)), Err(StoreError::NotFound)));
    }
    assert_eq!(get(store, &id(1, 2)), b"others");
    put(store, &id(1, 1), b"again");
    assert_eq!(get(store, &id(1, 1)), b"again");
}

fn an_open_blob_survives_its_deletion(store: &dyn Store) {
    put(store, &id(1, 1), b"still here");
    let blob = store.open(&id(1, 1)).unwrap();
    let other = store.open(&id(1, 1)).unwrap();
    let deleted = match store.delete(&id(1, 1)) {
        Err(StoreError::InUse) => false,
        result => {
            result.unwrap();
            true
        }
    };
    assert_eq!(store.is_empty().unwrap(), deleted);
    drop(other);
    assert_eq!(store.delete(&id(1, 1)).is_ok(), deleted);
    let mut buffer = [0; 10];
    blob.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"still here");
    drop(blob);
    store.delete(&id(1, 1)).unwrap();
    assert!(store.is_empty().unwrap());
}

fn sizes_are_those_of_the_blobs_that_are_there(store: &dyn Store) {
    assert!(store.sizes(&[]).unwrap().is_empty());
    put(store, &id(1, 1), b"1");
    put(store, &id(1, 2), b"");
    put(store, &id(7, 0), &[7; 20_000]);
    let ids = [id(0, 0), id(1, 1), id(1, 2), id(3, 3), id(7, 0), id(9, 0)];
    let sizes = store.sizes(&ids).unwrap();
    let sizes = sizes.into_iter().map(|size| match size {
        Ok(size) => Some(size),
        Err(StoreError::NotFound) => None,
        Err(error) => panic!("{error}"),
    });
    let expected = [None, Some(1), Some(0), None, Some(20_000), None];
    assert_eq!(sizes.collect::<Vec<_>>(), expected);
    assert_eq!(store.sizes(&ids[3..4]).unwrap().len(), 1);
}

fn listing_goes_through_all_names_in_order(store: &dyn Store) {
    let mut all = Vec::new();
    for first in [0, 1, 0x7f, 0x80, 0xff] {
        for rest in [0, 1, 77, u32::MAX] {
            all.push(id(first, rest));
        }
    }
    // Written in another order than listed.
    for i in 0..all.len() {
        put(store, &all[i * 7 % all.len()], b"x");
    }
    for limit in [1, 2, 3, 7, 20, 1000] {
        let mut seen: Vec<BlobId> = Vec::new();
        loop {
            let page = store.list(seen.last(), limit).unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    assert_eq!(store.list(None, 0).unwrap(), []);
    // A name that is not there has a place in the order all the same.
    assert_eq!(store.list(Some(&id(1, 78)), 1).unwrap(), [id(1, u32::MAX)]);
    assert_eq!(store.list(Some(&id(2, 0)), 1).unwrap(), [id(0x7f, 0)]);
}

fn what_cannot_fit_is_refused_at_once(store: &dyn Store) {
    match store.stage(&id(1, 1), Some(u64::MAX)).err().unwrap() {
        StoreError::Full { needed, available } => {
            assert_eq!(needed, u64::MAX);
            assert!(available < needed);
        }
        StoreError::TooLarge { most } => assert!(most < u64::MAX),
        error => panic!("neither full nor too large but {error}"),
    }
    assert_eq!(store.sweep_staged().unwrap(), 0);
    put(store, &id(1, 1), b"others still fit");
}

fn the_sweep_spares_what_is_being_written(store: &dyn Store) {
    let mut stage = store.stage(&id(1, 1), None).unwrap();
    stage.write(b"half").unwrap();
    assert_eq!(store.sweep_staged().unwrap(), 0);
    stage.write(b" and half").unwrap();
    stage.commit().unwrap();
    assert_eq!(get(store, &id(1, 1)), b"half and half");
}
