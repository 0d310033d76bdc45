//! Moves between two stores, with deletions, readers and faults at every step.

use super::*;
use crate::store::{Fault, FaultStore, MemoryStore, Operation, Stage};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct World {
    near: MemoryStore,
    far: MemoryStore,
    both: BothStores,
}

fn world() -> World {
    let (near, far) = (MemoryStore::new(None), MemoryStore::new(None));
    let both = BothStores::new(Arc::new(near.clone()), Arc::new(far.clone()), Place::Near);
    World { near, far, both }
}

const ID: BlobId = BlobId([7; 16]);

fn put(store: &dyn Store, bytes: &[u8]) {
    let mut stage = store.stage(&ID, None).unwrap();
    stage.write(bytes).unwrap();
    stage.commit().unwrap();
}

fn bytes_in(store: &dyn Store) -> Option<Vec<u8>> {
    let blob = store.open(&ID).ok()?;
    let mut bytes = vec![0; blob.size() as usize];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// Wants it, and counts; what else happens while it moves is up to the test.
struct Person<F: Fn() -> bool> {
    wants: bool,
    copied: Cell<u64>,
    meanwhile: F,
}

impl<F: Fn() -> bool> Wishes for Person<F> {
    fn is_wanted(&self, _: &BlobId) -> io::Result<bool> {
        Ok(self.wants)
    }
    fn goes_on(&self, bytes: u64) -> bool {
        self.copied.set(self.copied.get() + bytes);
        (self.meanwhile)()
    }
}

fn person<F: Fn() -> bool>(meanwhile: F) -> Person<F> {
    Person {
        wants: true,
        copied: Cell::new(0),
        meanwhile,
    }
}

#[test]
fn a_blob_of_any_size_moves_there_and_back() {
    for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 3] {
        let World { near, far, both } = world();
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        put(&near, &bytes);
        for (to, full, empty) in [(Place::Far, &far, &near), (Place::Near, &near, &far)] {
            let wishes = person(|| true);
            let sizes = both.sizes_to_move(&[ID], to).unwrap();
            assert_eq!(*sizes[0].as_ref().unwrap(), size as u64);
            let moved = both.move_blob(&ID, to, &wishes).unwrap();
            assert_eq!(
                (moved, wishes.copied.get()),
                (Moved::Done(size as u64), size as u64)
            );
            assert_eq!(bytes_in(full).as_ref(), Some(&bytes));
            assert_eq!(bytes_in(empty), None);
            // Once more is nothing.
            assert_eq!(both.move_blob(&ID, to, &wishes).unwrap(), Moved::NotThere);
        }
    }
}

#[test]
fn what_nobody_wants_stays_and_is_not_copied() {
    let World { near, far, both } = world();
    put(&near, b"bytes");
    let wishes = Person {
        wants: false,
        ..person(|| true)
    };
    assert_eq!(
        both.move_blob(&ID, Place::Far, &wishes).unwrap(),
        Moved::Unwanted
    );
    assert!(bytes_in(&near).is_some() && bytes_in(&far).is_none());
}

#[test]
fn a_deletion_in_the_middle_is_refused_and_takes_both_afterwards() {
    let World { near, far, both } = world();
    put(&near, &[1; 3 * PIECE]);
    let refused = Cell::new(0);
    let wishes = person(|| {
        assert!(matches!(both.delete(&ID), Err(StoreError::InUse)));
        refused.set(refused.get() + 1);
        true
    });
    let moved = both.move_blob(&ID, Place::Far, &wishes).unwrap();
    assert_eq!((moved, refused.get()), (Moved::Done(3 * PIECE as u64), 6));
    both.delete(&ID).unwrap();
    assert!(bytes_in(&near).is_none() && bytes_in(&far).is_none());
}

#[test]
fn whoever_reads_reads_on_and_whoever_begins_finds_it() {
    let World { near, both, .. } = world();
    let bytes = vec![3; 2 * PIECE];
    put(&near, &bytes);
    let reader = RefCell::new(None);
    let wishes = person(|| {
        reader
            .borrow_mut()
            .get_or_insert_with(|| both.open(&ID).unwrap());
        true
    });
    both.move_blob(&ID, Place::Far, &wishes).unwrap();
    let mut read = vec![0; bytes.len()];
    let reader = reader.take().unwrap();
    reader.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(read, bytes);
    assert_eq!(bytes_in(&both), Some(bytes));
}

#[test]
fn what_is_broken_off_leaves_the_original_and_no_half() {
    let World { near, far, both } = world();
    put(&near, &[1; 3 * PIECE]);
    let wishes = person(|| false);
    assert_eq!(
        both.move_blob(&ID, Place::Far, &wishes).unwrap(),
        Moved::Stopped
    );
    assert!(bytes_in(&near).is_some() && far.is_empty().unwrap());
    // Nobody is kept from deleting it then.
    both.delete(&ID).unwrap();
}

#[test]
fn a_fault_at_any_operation_leaves_the_original_or_a_whole_copy_and_the_next_move_ends_it() {
    let bytes = vec![9; 2 * PIECE + 5];
    for to in [Place::Far, Place::Near] {
        for fails_at in 0..18 {
            for faults_far in [true, false] {
                let (near, far) = (MemoryStore::new(None), MemoryStore::new(None));
                let faulty = if faults_far {
                    far.clone()
                } else {
                    near.clone()
                };
                let (faulty, faults) = FaultStore::new(Box::new(faulty));
                let both = match faults_far {
                    true => BothStores::new(Arc::new(near.clone()), Arc::new(faulty), Place::Near),
                    false => BothStores::new(Arc::new(faulty), Arc::new(far.clone()), Place::Near),
                };
                let (from, target) = match to {
                    Place::Far => (&near, &far),
                    Place::Near => (&far, &near),
                };
                put(from, &bytes);
                faults.fail_after(fails_at, Fault::Unavailable);
                let wishes = person(|| true);
                let first = both.move_blob(&ID, to, &wishes);
                let (left, copied) = (bytes_in(from), bytes_in(target));
                assert!(
                    left.is_some() || copied.is_some(),
                    "{to:?} {fails_at} {first:?}"
                );
                assert!(
                    copied.is_none_or(|copied| copied == bytes),
                    "{to:?} {fails_at}"
                );
                faults.heal();
                if first.is_err() {
                    let second = both.move_blob(&ID, to, &wishes).unwrap();
                    assert!(
                        matches!(second, Moved::Done(_) | Moved::NotThere),
                        "{second:?}"
                    );
                }
                assert_eq!(bytes_in(target).as_ref(), Some(&bytes));
                assert_eq!(bytes_in(from), None);
            }
        }
    }
}

/// A store whose blobs have another first byte, or fewer of them, when they are read; or that are being
/// read when they are to be deleted.
struct Wrong {
    inner: MemoryStore,
    flip: u8,
    cut: u64,
    busy: Arc<AtomicBool>,
}

fn wrong(inner: &MemoryStore, flip: u8, cut: u64) -> Wrong {
    Wrong {
        inner: inner.clone(),
        flip,
        cut,
        busy: Arc::default(),
    }
}

struct WrongBlob(Box<dyn StoredBlob>, u8, u64);

impl StoredBlob for WrongBlob {
    fn size(&self) -> u64 {
        self.0.size() - self.2
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)?;
        if let Some(first) = buffer.first_mut() {
            *first ^= self.1;
        }
        Ok(())
    }
    fn file(&self) -> Option<&std::fs::File> {
        None
    }
}

impl Store for Wrong {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        self.inner.stage(id, expected)
    }
    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        Ok(Box::new(WrongBlob(
            self.inner.open(id)?,
            self.flip,
            self.cut,
        )))
    }
    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        if self.busy.load(Ordering::Relaxed) {
            return Err(StoreError::InUse);
        }
        self.inner.delete(id)
    }
    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.inner.list(after, limit)
    }
    fn is_empty(&self) -> Result<bool, StoreError> {
        self.inner.is_empty()
    }
    fn sweep_staged(&self) -> Result<u64, StoreError> {
        self.inner.sweep_staged()
    }
    fn available(&self) -> Result<u64, StoreError> {
        self.inner.available()
    }
    crate::store::forward_assemblies!(inner);
}

#[test]
fn the_original_stays_while_the_copy_is_not_what_it_should_be() {
    // A disk that gives back other bytes than it was given.
    let (inner, far) = (MemoryStore::new(None), MemoryStore::new(None));
    let near = wrong(&inner, 1, 0);
    put(&far, b"bytes");
    let both = BothStores::new(Arc::new(near), Arc::new(far.clone()), Place::Near);
    let error = both
        .move_blob(&ID, Place::Near, &person(|| true))
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(bytes_in(&far).is_some() && inner.is_empty().unwrap());
    // A bucket that has fewer of them.
    let (near, inner) = (MemoryStore::new(None), MemoryStore::new(None));
    put(&near, b"bytes");
    let far = wrong(&inner, 0, 1);
    let both = BothStores::new(Arc::new(near.clone()), Arc::new(far), Place::Near);
    assert!(both.move_blob(&ID, Place::Far, &person(|| true)).is_err());
    assert!(bytes_in(&near).is_some());
    // One that has others, now or since an earlier move.
    let (near, inner) = (MemoryStore::new(None), MemoryStore::new(None));
    put(&near, b"bytes");
    for earlier in [false, true] {
        if earlier {
            put(&inner, b"bytes");
        }
        let far = wrong(&inner, 1, 0);
        let both = BothStores::new(Arc::new(near.clone()), Arc::new(far), Place::Near);
        assert!(both.move_blob(&ID, Place::Far, &person(|| true)).is_err());
        assert!(bytes_in(&near).is_some() && inner.is_empty().unwrap());
    }
}

#[test]
fn a_copy_that_an_earlier_move_left_is_taken_and_one_cut_short_is_made_anew() {
    for (left, copied) in [(&b"bytes"[..], 0), (b"byt", 5)] {
        let World { near, far, both } = world();
        put(&near, b"bytes");
        put(&far, left);
        let wishes = person(|| true);
        assert_eq!(
            both.move_blob(&ID, Place::Far, &wishes).unwrap(),
            Moved::Done(5)
        );
        assert_eq!(wishes.copied.get(), copied);
        assert_eq!(
            (bytes_in(&near), bytes_in(&far)),
            (None, Some(b"bytes".to_vec()))
        );
    }
}

#[test]
fn an_original_that_is_being_read_is_left_for_the_next_move() {
    let (near, inner) = (MemoryStore::new(None), MemoryStore::new(None));
    put(&inner, b"bytes");
    let far = wrong(&inner, 0, 0);
    let busy = Arc::clone(&far.busy);
    let both = BothStores::new(Arc::new(near.clone()), Arc::new(far), Place::Near);
    busy.store(true, Ordering::Relaxed);
    let wishes = person(|| true);
    assert_eq!(
        both.move_blob(&ID, Place::Near, &wishes).unwrap(),
        Moved::Read
    );
    assert!(bytes_in(&near).is_some() && bytes_in(&inner).is_some());
    busy.store(false, Ordering::Relaxed);
    assert_eq!(
        both.move_blob(&ID, Place::Near, &wishes).unwrap(),
        Moved::Done(5)
    );
    assert!(bytes_in(&near).is_some() && bytes_in(&inner).is_none());
}

#[test]
fn of_two_same_copies_the_one_where_new_blobs_do_not_go_is_removed() {
    for place in [Place::Near, Place::Far] {
        let (near, far) = (MemoryStore::new(None), MemoryStore::new(None));
        let both = BothStores::new(Arc::new(near.clone()), Arc::new(far.clone()), place);
        let other = BlobId([8; 16]);
        let bytes = vec![5; 2 * PIECE + 1];
        let whole = (ID, bytes.len() as u64);
        put(&near, &bytes);
        assert_eq!(both.doubles(&[whole]).unwrap(), []);
        put(&far, &bytes);
        assert_eq!(both.doubles(&[(other, 3), whole]).unwrap(), [whole]);
        // As long as it is not both that should be so long, it is another trouble.
        assert_eq!(both.doubles(&[(ID, 3)]).unwrap(), []);
        let removed = both.remove_double(&ID, whole.1, &person(|| true)).unwrap();
        assert_eq!(removed, Moved::Done(whole.1));
        let (stays, leaves) = match place {
            Place::Near => (&near, &far),
            Place::Far => (&far, &near),
        };
        assert_eq!(bytes_in(stays), Some(bytes));
        assert_eq!(bytes_in(leaves), None);
        let again = both.remove_double(&ID, whole.1, &person(|| true)).unwrap();
        assert_eq!(again, Moved::NotThere);
        assert!(bytes_in(stays).is_some(), "the last copy stays");
    }
}

#[test]
fn copies_that_differ_or_are_not_whole_both_stay() {
    for (here, there) in [
        (&b"bytes"[..], &b"bites"[..]),
        (b"bytes", b"byte"),
        (b"byte", b"bytes"),
    ] {
        let World { near, far, both } = world();
        put(&near, here);
        put(&far, there);
        assert!(both.remove_double(&ID, 5, &person(|| true)).is_err());
        assert_eq!(bytes_in(&near).as_deref(), Some(here));
        assert_eq!(bytes_in(&far).as_deref(), Some(there));
        assert!(!both.is_moving(&ID));
    }
}

#[test]
fn no_copy_is_removed_that_nobody_wants_nor_while_a_move_runs_and_nobody_deletes_meanwhile() {
    let World { near, far, both } = world();
    let bytes = vec![5; 3 * PIECE];
    let size = bytes.len() as u64;
    put(&near, &bytes);
    put(&far, &bytes);
    let remove = |wishes: &dyn Wishes| both.remove_double(&ID, size, wishes).unwrap();
    let nobody = Person {
        wants: false,
        ..person(|| true)
    };
    assert_eq!(remove(&nobody), Moved::Unwanted);
    let moves = both.begin_moves();
    assert_eq!(both.doubles(&[(ID, size)]).unwrap(), []);
    assert_eq!(remove(&person(|| true)), Moved::Stopped);
    drop(moves);
    // One that begins meanwhile ends it.
    let began = RefCell::new(None);
    let begins = person(|| {
        began.borrow_mut().get_or_insert_with(|| both.begin_moves());
        true
    });
    assert_eq!(remove(&begins), Moved::Stopped);
    drop(began);
    // Whoever deletes comes again.
    let deletes = person(|| matches!(both.delete(&ID), Err(StoreError::InUse)));
    assert_eq!(bytes_in(&near).as_ref(), Some(&bytes));
    assert_eq!(bytes_in(&far).as_ref(), Some(&bytes));
    assert_eq!(remove(&deletes), Moved::Done(size));
    assert_eq!(bytes_in(&far), None);
}

#[test]
fn a_store_that_fails_while_copies_are_compared_costs_none_of_them() {
    let near = MemoryStore::new(None);
    let (far, faults) = FaultStore::new(Box::new(MemoryStore::new(None)));
    let far = Arc::new(far);
    let bytes = vec![5; 2 * PIECE];
    put(&near, &bytes);
    put(&*far, &bytes);
    let of = Arc::clone(&far);
    let both = BothStores::new(Arc::new(near.clone()), of, Place::Far);
    for operation in [Operation::Open, Operation::Read] {
        faults.fail_after_only(operation, 0, Fault::Refused);
        let removed = both.remove_double(&ID, bytes.len() as u64, &person(|| true));
        assert!(removed.is_err(), "{operation:?}");
        assert_eq!(bytes_in(&near).as_ref(), Some(&bytes));
    }
}
