//! What every store must do with blobs that come in pieces.

#![allow(
    clippy::unwrap_used,
    reason = "a suite of tests: whatever fails is to panic"
)]

use super::{get, id, put};
use crate::store::{Assembly, Pieces, Store, StoreError};
use std::sync::{Arc, Barrier};

/// Runs what concerns blobs that come in pieces, each part on a new and empty store of `make`. Most blobs have
/// `size` bytes, at least 200,000: where a store has parts of its own, more than two of them.
///
/// # Panics
/// When the store breaks the contract.
pub fn check_assemblies(make: &dyn Fn() -> Box<dyn Store>, size: usize) {
    let parts: [fn(&dyn Store, usize); 10] = [
        pieces_in_any_order_make_the_blob,
        pieces_at_the_same_time_make_the_blob,
        an_assembly_outlives_whoever_began_it,
        the_same_bytes_may_come_again_and_others_may_not,
        a_dropped_piece_may_be_written_again,
        nothing_is_visible_before_the_commit_and_nothing_of_it_after,
        what_is_given_up_is_gone_and_that_may_be_repeated,
        assemblies_are_listed_in_order_and_in_pages,
        an_empty_blob_needs_no_piece,
        what_cannot_fit_is_refused_at_once,
    ];
    for part in parts {
        part(&*make(), size);
    }
}

/// No zeros: those may be bytes that were never written.
fn content(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at.wrapping_mul(0x9E37_79B1) >> 13) as u8 | 1)
        .collect()
}

fn pieces() -> Pieces {
    Pieces {
        first: 16_440,
        each: 5 << 20,
    }
}

fn begin(store: &dyn Store, size: usize) -> Arc<dyn Assembly> {
    store.assemble(&id(1, 1), size as u64, pieces()).unwrap()
}

/// Writes the bytes from `start` to `end` as one piece.
fn piece(
    assembly: &dyn Assembly,
    content: &[u8],
    start: usize,
    end: usize,
) -> Result<(), StoreError> {
    let mut piece = assembly.piece(start as u64)?;
    for bytes in content[start..end].chunks(65_537) {
        piece.write(bytes)?;
    }
    piece.finish()
}

/// Where pieces begin and end: on no border of anything.
fn cuts(size: usize) -> Vec<(usize, usize)> {
    let ends = [
        16_440,
        size / 3 + 1,
        size / 2,
        size * 3 / 4 + 7,
        size - 1,
        size,
    ];
    let starts = [0].into_iter().chain(ends);
    starts.zip(ends).collect()
}

fn pieces_in_any_order_make_the_blob(store: &dyn Store, size: usize) {
    let content = content(size);
    for (n, order) in (0..).zip([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]]) {
        let id = id(n, 0);
        let assembly = store.assemble(&id, size as u64, pieces()).unwrap();
        for at in order {
            let (start, end) = cuts(size)[at];
            piece(&*assembly, &content, start, end).unwrap();
        }
        assembly.commit().unwrap();
        assert!(get(store, &id) == content, "{order:?}");
        store.delete(&id).unwrap();
    }
}

fn pieces_at_the_same_time_make_the_blob(store: &dyn Store, size: usize) {
    let content = content(size);
    let assembly = begin(store, size);
    let together = Barrier::new(cuts(size).len());
    std::thread::scope(|scope| {
        for (start, end) in cuts(size) {
            let (assembly, content, together) = (&assembly, &content, &together);
            scope.spawn(move || {
                let mut piece = assembly.piece(start as u64).unwrap();
                together.wait();
                for bytes in content[start..end].chunks(40_000) {
                    piece.write(bytes).unwrap();
                }
                piece.finish().unwrap();
            });
        }
    });
    assembly.commit().unwrap();
    assert!(get(store, &id(1, 1)) == content);
}

fn an_assembly_outlives_whoever_began_it(store: &dyn Store, size: usize) {
    let content = content(size);
    assert!(matches!(
        store.reassemble(&id(1, 1), size as u64),
        Err(StoreError::NotFound)
    ));
    drop(begin(store, size));
    for (start, end) in cuts(size) {
        let assembly = store.reassemble(&id(1, 1), size as u64).unwrap();
        piece(&*assembly, &content, start, end).unwrap();
        drop(assembly);
        assert_eq!(store.sweep_staged().unwrap(), 0);
    }
    assert!(matches!(
        store.assemble(&id(1, 1), size as u64, pieces()),
        Err(StoreError::Exists)
    ));
    store
        .reassemble(&id(1, 1), size as u64)
        .unwrap()
        .commit()
        .unwrap();
    assert!(get(store, &id(1, 1)) == content);
    assert!(matches!(
        store.reassemble(&id(1, 1), size as u64),
        Err(StoreError::NotFound)
    ));
}

fn the_same_bytes_may_come_again_and_others_may_not(store: &dyn Store, size: usize) {
    let content = content(size);
    let assembly = begin(store, size);
    for (start, end) in cuts(size) {
        piece(&*assembly, &content, start, end).unwrap();
        // As one whose acknowledgement was lost.
        let again = store.reassemble(&id(1, 1), size as u64).unwrap();
        piece(&*again, &content, start, end).unwrap();
    }
    for at in [0, size / 3, size / 2 + 1, size - 1] {
        let mut others = content.clone();
        others[at] ^= 0x80;
        let cut = cuts(size)
            .into_iter()
            .find(|(start, end)| (start..end).contains(&&at));
        let (start, end) = cut.unwrap();
        let error = piece(&*assembly, &others, start, end).unwrap_err();
        assert!(matches!(error, StoreError::Differs), "{at}: {error}");
    }
    // Cut in other ways, and all at once.
    piece(&*assembly, &content, size / 5, size / 2 + 100).unwrap();
    piece(&*assembly, &content, 0, size).unwrap();
    assembly.commit().unwrap();
    assert!(get(store, &id(1, 1)) == content);
}

fn a_dropped_piece_may_be_written_again(store: &dyn Store, size: usize) {
    let content = content(size);
    let assembly = begin(store, size);
    for (start, end) in cuts(size) {
        for written in [0, 1, 100, 40_000, size / 3] {
            let mut piece = assembly.piece(start as u64).unwrap();
            let end = end.min(start + written);
            piece.write(&content[start..end]).unwrap();
        }
    }
    for (start, end) in cuts(size) {
        piece(&*assembly, &content, start, end).unwrap();
    }
    assembly.commit().unwrap();
    assert!(get(store, &id(1, 1)) == content);
}

fn nothing_is_visible_before_the_commit_and_nothing_of_it_after(store: &dyn Store, _: usize) {
    let content = content(100_000);
    let assembly = begin(store, content.len());
    piece(&*assembly, &content, 0, 100_000).unwrap();
    assert!(store.is_empty().unwrap());
    assert_eq!(store.list(None, 10).unwrap(), []);
    assert!(matches!(store.open(&id(1, 1)), Err(StoreError::NotFound)));
    // Whoever deletes a blob does not give up what is being assembled under its name.
    store.delete(&id(1, 1)).unwrap();
    assert_eq!(store.assemblies(None, 10).unwrap(), [id(1, 1)]);
    assembly.commit().unwrap();
    assert_eq!(store.assemblies(None, 10).unwrap(), []);
    assert_eq!(store.open(&id(1, 1)).unwrap().size(), 100_000);
    assert!(matches!(assembly.commit(), Err(StoreError::NotFound)));
    assert!(matches!(assembly.piece(0), Err(StoreError::NotFound)));
    store.abandon(&id(1, 1)).unwrap();
    assert!(get(store, &id(1, 1)) == content);
}

fn what_is_given_up_is_gone_and_that_may_be_repeated(store: &dyn Store, size: usize) {
    store.abandon(&id(1, 1)).unwrap();
    put(store, &id(2, 2), b"another");
    let before = store.available().unwrap();
    let content = content(size);
    let assembly = begin(store, size);
    for (start, end) in &cuts(size)[..3] {
        piece(&*assembly, &content, *start, *end).unwrap();
    }
    for _ in 0..2 {
        store.abandon(&id(1, 1)).unwrap();
        assert_eq!(store.assemblies(None, 9).unwrap(), []);
        assert!(matches!(
            store.reassemble(&id(1, 1), size as u64),
            Err(StoreError::NotFound)
        ));
    }
    assert!(matches!(assembly.commit(), Err(StoreError::NotFound)));
    // Others may use the same medium: only most of it must be back.
    assert!(store.available().unwrap() > before / 2);
    assert_eq!(store.list(None, 9).unwrap(), [id(2, 2)]);
    // Nothing of it is in the way of a blob of the same name.
    let again = begin(store, 5);
    piece(&*again, b"again", 0, 5).unwrap();
    again.commit().unwrap();
    assert_eq!(get(store, &id(1, 1)), b"again");
}

fn assemblies_are_listed_in_order_and_in_pages(store: &dyn Store, _: usize) {
    assert_eq!(store.assemblies(None, 9).unwrap(), []);
    let all = [
        id(0, 1),
        id(1, 0),
        id(1, 9),
        id(0x80, 3),
        id(0xff, u32::MAX),
    ];
    for at in [3, 0, 4, 1, 2] {
        store.assemble(&all[at], 1000, pieces()).unwrap();
    }
    put(store, &id(1, 5), b"this one is whole");
    for limit in [1, 2, 5, 9] {
        let mut seen = Vec::new();
        loop {
            let page = store.assemblies(seen.last(), limit).unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, all, "in pages of {limit}");
    }
    assert_eq!(store.assemblies(None, 0).unwrap(), []);
    assert_eq!(store.assemblies(Some(&id(1, 5)), 1).unwrap(), [id(1, 9)]);
    for id in &all {
        store.abandon(id).unwrap();
    }
    assert_eq!(store.assemblies(None, 9).unwrap(), []);
}

fn an_empty_blob_needs_no_piece(store: &dyn Store, _: usize) {
    for (n, empty_piece) in [(1, false), (2, true)] {
        let assembly = store.assemble(&id(1, n), 0, pieces()).unwrap();
        if empty_piece {
            assembly.piece(0).unwrap().finish().unwrap();
        }
        assembly.commit().unwrap();
        assert_eq!(get(store, &id(1, n)), b"");
    }
}

fn what_cannot_fit_is_refused_at_once(store: &dyn Store, _: usize) {
    match store.assemble(&id(1, 1), u64::MAX, pieces()).err().unwrap() {
        StoreError::Full { needed, available } => assert!(available < needed),
        StoreError::TooLarge { most } => assert!(most < u64::MAX),
        error => panic!("neither full nor too large but {error}"),
    }
    assert_eq!(store.assemblies(None, 9).unwrap(), []);
    let assembly = begin(store, 4);
    let beyond = assembly.piece(2).unwrap().write(b"far");
    assert!(matches!(beyond, Err(StoreError::Unavailable(_))));
    piece(&*assembly, b"fits", 0, 4).unwrap();
    assembly.commit().unwrap();
}
