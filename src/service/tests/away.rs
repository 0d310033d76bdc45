//! Stores that say "not now": one that is away, and blobs that are being read.

use super::sweeps::expiring;
use super::world::*;
use crate::metadata::{Metadata, RedbMetadata};
use crate::model::{BlobId, Timekeeper};
use crate::pipeline::seal::keys;
use crate::service::{Error, Parts, Service};
use crate::store::{Fault, MemoryStore, Operation, Stage, Store, StoreError, StoredBlob};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

type Ids = Arc<Mutex<BTreeSet<BlobId>>>;

/// A store that deletes nothing of what is being read, and not what it is forbidden to.
struct Held {
    inner: MemoryStore,
    reading: Ids,
    forbidden: Ids,
    asked: Arc<AtomicU64>,
}

impl Store for Held {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        self.inner.stage(id, expected)
    }
    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        self.inner.open(id)
    }
    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.forbidden.lock().unwrap().contains(id) {
            return Err(StoreError::Refused(io::Error::other("not allowed")));
        }
        if self.reading.lock().unwrap().contains(id) {
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

/// A service like that of `world`, with another database and another store.
pub(super) fn service(
    world: &World,
    metadata: Arc<dyn Metadata>,
    store: Arc<dyn Store>,
) -> Service {
    let parts = Parts {
        metadata,
        store,
        waiting: crate::store::WaitingFiles::open(&std::env::temp_dir(), 0).unwrap(),
        clock: Arc::new(Timekeeper::unquestioned(world.clock.clone())),
        server_key: keys::random_secret(),
        master_key: None,
        on_fatal: Arc::new(|what| panic!("{what}")),
    };
    Service::new(parts, world.policy.clone())
}

/// A service like that of `world`, and its store, which can be told what to hold.
fn held(world: &World) -> (Service, Arc<Held>) {
    let held = Arc::new(Held {
        inner: world.store.clone(),
        reading: Ids::default(),
        forbidden: Ids::default(),
        asked: Arc::default(),
    });
    let store = Arc::<Held>::clone(&held);
    (service(world, Arc::clone(&world.metadata), store), held)
}

#[test]
fn what_is_being_read_goes_when_that_ends_and_keeps_nothing_else_from_going() {
    let world = World::new();
    for n in 0..300u32 {
        world.upload(&n.to_be_bytes(), expiring(10));
    }
    // The first in the order of names: more than are looked at in one go.
    let reading: BTreeSet<_> = world.blobs().into_iter().take(200).collect();
    let (service, held) = held(&world);
    *held.reading.lock().unwrap() = reading;
    world.clock.advance(10);
    assert_eq!(service.sweep().unwrap(), 300);
    let left: BTreeSet<_> = world.blobs().into_iter().collect();
    assert_eq!(left, *held.reading.lock().unwrap());
    let garbage = world.metadata.garbage(None, 1000).unwrap();
    assert_eq!(garbage.len(), 200, "what is gone is struck off");
    // Later garbage is not held up by what comes before it.
    world.upload(b"one more", expiring(10));
    world.clock.advance(10);
    service.sweep().unwrap();
    assert_eq!(world.metadata.garbage(None, 1000).unwrap().len(), 200);
    held.reading.lock().unwrap().clear();
    service.sweep().unwrap();
    assert_eq!(world.blobs(), []);
    assert_eq!(world.metadata.garbage(None, 1000).unwrap(), []);
}

#[test]
fn one_that_the_store_may_not_delete_is_asked_for_now_and_then_and_holds_up_no_other() {
    let world = World::new();
    for n in 0..300u32 {
        world.upload(&n.to_be_bytes(), expiring(10));
    }
    let (service, held) = held(&world);
    let all = world.blobs();
    let forbidden: BTreeSet<_> = [3, 4, 200].map(|at: usize| all[at]).into();
    *held.forbidden.lock().unwrap() = forbidden.clone();
    world.clock.advance(10);
    assert_eq!(service.sweep().unwrap(), 300);
    let asked = held.asked.load(Ordering::Relaxed);
    service.sweep().unwrap();
    assert_eq!(held.asked.load(Ordering::Relaxed), asked, "not at once");
    for _ in 0..6 {
        world.clock.advance(30);
        service.sweep().unwrap();
    }
    let left: BTreeSet<_> = world.blobs().into_iter().collect();
    assert_eq!(left, forbidden);
    let garbage = world.metadata.garbage(None, 1000).unwrap();
    assert_eq!(garbage, forbidden.into_iter().collect::<Vec<_>>());
    held.forbidden.lock().unwrap().clear();
    world.clock.advance(30);
    service.sweep().unwrap();
    assert_eq!(world.metadata.garbage(None, 1000).unwrap(), []);
    assert_eq!(world.blobs(), []);
}

#[test]
fn while_the_store_is_away_deletions_wait_and_nothing_counts_as_damaged() {
    let world = World::new();
    let view = world.upload(b"here", unlimited());
    for n in 0..9u8 {
        world.upload(&[n], expiring(10));
    }
    let refuse = |operation| world.faults.fail_after_only(operation, 0, Fault::Refused);
    refuse(Operation::Open);
    assert!(matches!(world.open(&view), Err(Error::Away(_))));
    assert!(world.open(&view).is_ok());
    refuse(Operation::Open);
    assert_eq!(world.service.check_blobs_step().unwrap(), (vec![], false));
    assert_eq!(world.service.check_blobs_step().unwrap(), (vec![], false));
    world.clock.advance(10);
    // It is asked once, not once for each.
    let before = world.faults.operations();
    refuse(Operation::Delete);
    let due = world.metadata.due(world.clock.now(), None, 100).unwrap();
    let blobs = world.blobs();
    world.service.unlink(&blobs[..5]);
    assert_eq!(world.faults.operations() - before, 1);
    assert_eq!((due.len(), world.blobs().len()), (9, 10));
}

#[test]
fn a_new_database_starts_while_its_store_is_away() {
    let world = World::new();
    let (store, faults) = crate::store::FaultStore::new(Box::new(world.store.clone()));
    let empty = Arc::new(RedbMetadata::in_memory().unwrap());
    let service = service(&world, empty, Arc::new(store));
    faults.fail_after_only(Operation::IsEmpty, 0, Fault::Refused);
    service.recover().unwrap();
}

/// A store that is far away: a request takes a second, and nobody is to wait for it.
struct Far(MemoryStore, Arc<ManualClock>);

impl Store for Far {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        self.0.stage(id, expected)
    }
    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        self.0.open(id)
    }
    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        self.1.advance(1);
        self.0.delete(id)
    }
    fn delete_at_once(&self, _: &BlobId) -> Result<(), StoreError> {
        Ok(())
    }
    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.0.list(after, limit)
    }
    fn is_empty(&self) -> Result<bool, StoreError> {
        self.0.is_empty()
    }
    fn sweep_staged(&self) -> Result<u64, StoreError> {
        self.0.sweep_staged()
    }
    fn available(&self) -> Result<u64, StoreError> {
        self.0.available()
    }
    crate::store::forward_assemblies!(0);
}

#[test]
fn nobody_waits_for_a_deletion_far_away_and_a_sweep_has_an_end() {
    let world = World::new();
    let store = Far(world.store.clone(), world.clock.clone());
    let service = service(&world, Arc::clone(&world.metadata), Arc::new(store));
    for n in 0..9u8 {
        let view = world.upload(&[n], unlimited());
        service.delete(&world.owner, view.id.reveal(), 0).unwrap();
    }
    let freed = crate::metadata::Freed {
        link: None,
        blob: world.blobs().first().copied(),
    };
    service.dispose(&freed);
    assert_eq!(world.blobs().len(), 9, "nobody asked for it yet");
    for left in [6, 3, 0] {
        service.sweep().unwrap();
        assert_eq!(world.blobs().len(), left, "two seconds, and the one begun");
        assert_eq!(world.metadata.garbage(None, 10).unwrap().len(), left);
    }
}

#[test]
fn a_file_whose_beginning_cannot_be_read_now_is_not_damaged() {
    let world = World::new();
    let view = world.upload(&content(4096), unlimited());
    let mut file = world.open(&view).unwrap();
    world
        .faults
        .fail_after_only(Operation::Read, 0, Fault::Refused);
    assert!(matches!(file.first_bytes(4096), Err(Error::Away(_))));
    assert_eq!(file.first_bytes(4096).unwrap(), content(4096));
}
