//! Two stores as one: what lies in either can be read, listed and deleted; new blobs go to one of
//! them. For a disk beside a bucket, and for the time while blobs move from one to the other.
//!
//! A blob that moves is in both for a while, and always in at least one. Nothing here remembers
//! which: the near store, where asking costs nothing, is asked first. While the far store is away, the
//! near one is looked after all the same.

use super::{Assembly, Pieces, Stage, Store, StoreError, StoredBlob};
use crate::model::BlobId;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// One of both stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The one that is asked first.
    Near,
    /// The other.
    Far,
}

/// Two stores as one.
pub struct BothStores {
    pub(super) near: Arc<dyn Store>,
    pub(super) far: Arc<dyn Store>,
    new_blobs: Place,
    /// It was said that the far store cannot be listed.
    far_is_away: AtomicBool,
    /// The blob that moves from one to the other now: nobody deletes it meanwhile.
    pub(super) moving: Mutex<Option<BlobId>>,
    /// Whoever holds this moves a blob, or removes one of two copies.
    pub(super) turn: Mutex<()>,
    /// Moves of many that run now.
    pub(super) moves: AtomicUsize,
}

impl BothStores {
    /// Both, with the place for new blobs.
    pub fn new(near: Arc<dyn Store>, far: Arc<dyn Store>, new_blobs: Place) -> Self {
        Self {
            near,
            far,
            new_blobs,
            far_is_away: AtomicBool::new(false),
            moving: Mutex::default(),
            turn: Mutex::default(),
            moves: AtomicUsize::new(0),
        }
    }

    /// Where new blobs go.
    pub fn new_blobs(&self) -> Place {
        self.new_blobs
    }

    fn for_new_blobs(&self) -> &dyn Store {
        match self.new_blobs {
            Place::Near => &*self.near,
            Place::Far => &*self.far,
        }
    }
}

impl Store for BothStores {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        self.for_new_blobs().stage(id, expected)
    }

    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        // The third time for one that moved from the far store to the near one meanwhile.
        for store in [&self.near, &self.far, &self.near] {
            match store.open(id) {
                Err(StoreError::NotFound) => {}
                result => return result,
            }
        }
        Err(StoreError::NotFound)
    }

    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        if self.is_moving(id) {
            return Err(StoreError::InUse);
        }
        let near = self.near.delete(id);
        self.far.delete(id).and(near)
    }

    fn delete_at_once(&self, id: &BlobId) -> Result<(), StoreError> {
        if self.is_moving(id) {
            return Err(StoreError::InUse);
        }
        let near = self.near.delete_at_once(id);
        self.far.delete_at_once(id).and(near)
    }

    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.merged(limit, |store| store.list(after, limit))
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.near.is_empty()? && self.far.is_empty()?)
    }

    fn sizes(&self, ids: &[BlobId]) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
        let mut sizes = self.near.sizes(ids)?;
        self.fill_in(&*self.far, ids, &mut sizes)?;
        // As in `open`.
        self.fill_in(&*self.near, ids, &mut sizes)?;
        Ok(sizes)
    }

    fn sweep_staged(&self) -> Result<u64, StoreError> {
        let near = self.near.sweep_staged();
        let far = self.far.sweep_staged();
        Ok(near? + far?)
    }

    fn available(&self) -> Result<u64, StoreError> {
        self.for_new_blobs().available()
    }

    fn assemble(
        &self,
        id: &BlobId,
        size: u64,
        pieces: Pieces,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        self.for_new_blobs().assemble(id, size, pieces)
    }

    /// Where it was begun: new blobs may have gone elsewhere then.
    fn reassemble(&self, id: &BlobId, size: u64) -> Result<Arc<dyn Assembly>, StoreError> {
        match self.near.reassemble(id, size) {
            Err(StoreError::NotFound) => self.far.reassemble(id, size),
            result => result,
        }
    }

    /// The far one first: what it knows of the blob may be among the files of the near one.
    fn abandon(&self, id: &BlobId) -> Result<(), StoreError> {
        let far = self.far.abandon(id);
        self.near.abandon(id).and(far)
    }

    fn assemblies(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.merged(limit, |store| store.assemblies(after, limit))
    }
}

impl BothStores {
    /// What both have, in order, each once; of the near one alone while the far one is away.
    fn merged(
        &self,
        limit: usize,
        list: impl Fn(&dyn Store) -> Result<Vec<BlobId>, StoreError>,
    ) -> Result<Vec<BlobId>, StoreError> {
        let mut ids = list(&*self.near)?;
        match list(&*self.far) {
            Ok(far) => {
                self.far_is_away.store(false, Ordering::Relaxed);
                ids.extend(far);
            }
            Err(StoreError::Refused(cause)) => self.far_is_away(&cause),
            Err(error) => return Err(error),
        }
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(limit);
        Ok(ids)
    }

    /// Asks `store` for those that were not found.
    fn fill_in(
        &self,
        store: &dyn Store,
        ids: &[BlobId],
        sizes: &mut [Result<u64, StoreError>],
    ) -> Result<(), StoreError> {
        let missing = |at: &usize| matches!(sizes[*at], Err(StoreError::NotFound));
        let missing: Vec<_> = (0..sizes.len()).filter(missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = missing.iter().map(|at| ids[*at]).collect();
        let found = match store.sizes(&asked) {
            // Of the others something can be said.
            Err(StoreError::Refused(cause)) => {
                self.far_is_away(&cause);
                let refused = || Err(StoreError::Refused(io::Error::other(cause.to_string())));
                asked.iter().map(|_| refused()).collect()
            }
            found => found?,
        };
        for (at, size) in missing.into_iter().zip(found) {
            sizes[at] = size;
        }
        Ok(())
    }

    /// Tells in the log once, until it can be listed again.
    fn far_is_away(&self, cause: &io::Error) {
        if !self.far_is_away.swap(true, Ordering::Relaxed) {
            log::warn!("the files in the bucket cannot be looked through for now: {cause}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fault, FaultStore, MemoryStore, Operation, contract};

    struct World {
        near: MemoryStore,
        far: MemoryStore,
        both: BothStores,
    }

    fn world(new_blobs: Place) -> World {
        let (near, far) = (MemoryStore::new(None), MemoryStore::new(None));
        let both = BothStores::new(Arc::new(near.clone()), Arc::new(far.clone()), new_blobs);
        World { near, far, both }
    }

    fn id(n: u8) -> BlobId {
        BlobId([n; 16])
    }

    fn put(store: &dyn Store, id: BlobId, bytes: &[u8]) {
        let mut stage = store.stage(&id, None).unwrap();
        stage.write(bytes).unwrap();
        stage.commit().unwrap();
    }

    #[test]
    fn it_keeps_the_contract_wherever_new_blobs_go() {
        contract::check(&|| Box::new(world(Place::Near).both));
        contract::check(&|| Box::new(world(Place::Far).both));
        contract::check_assemblies(&|| Box::new(world(Place::Near).both), 300_000);
        contract::check_assemblies(&|| Box::new(world(Place::Far).both), 300_000);
    }

    #[test]
    fn new_blobs_go_where_they_are_to_go_and_count_there() {
        let world = world(Place::Far);
        put(&world.both, id(1), b"one");
        assert!(world.near.is_empty().unwrap());
        assert_eq!(world.far.list(None, 9).unwrap(), [id(1)]);
        let available = world.far.available().unwrap();
        assert_eq!(world.both.available().unwrap(), available);
        assert!(available < world.near.available().unwrap());
    }

    #[test]
    fn what_lies_in_either_is_there_once_and_in_order_and_deletion_takes_it_from_both() {
        let World { near, far, both } = world(Place::Near);
        for n in [1, 3, 5] {
            put(&near, id(n), b"near");
        }
        for n in [2, 3, 4, 9] {
            put(&far, id(n), b"far away");
        }
        assert_eq!(
            both.list(None, 9).unwrap(),
            [1, 2, 3, 4, 5, 9].map(id),
            "one that is in both is listed once"
        );
        assert_eq!(both.list(Some(&id(2)), 2).unwrap(), [3, 4].map(id));
        assert_eq!(both.open(&id(3)).unwrap().size(), 4, "near before far");
        assert_eq!(both.open(&id(4)).unwrap().size(), 8);
        let sizes = both.sizes(&[1, 2, 3, 7].map(id)).unwrap();
        let sizes: Vec<_> = sizes.into_iter().map(Result::ok).collect();
        assert_eq!(sizes, [Some(4), Some(8), Some(4), None]);
        both.delete(&id(3)).unwrap();
        assert!(matches!(both.open(&id(3)), Err(StoreError::NotFound)));
        for n in [1, 2, 4, 5] {
            assert!(!both.is_empty().unwrap());
            both.delete(&id(n)).unwrap();
        }
        assert!(near.is_empty().unwrap() && !both.is_empty().unwrap());
        both.delete(&id(9)).unwrap();
        assert!(both.is_empty().unwrap());
    }

    /// Moves a blob into another store just before it answers that it has it not.
    struct MovesAway {
        from: MemoryStore,
        to: MemoryStore,
    }

    impl Store for MovesAway {
        fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
            self.from.stage(id, expected)
        }
        fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
            if self.from.open(id).is_ok() {
                put(&self.to, *id, b"moved");
                self.from.delete(id)?;
            }
            self.from.open(id)
        }
        fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
            self.from.delete(id)
        }
        fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
            self.from.list(after, limit)
        }
        fn is_empty(&self) -> Result<bool, StoreError> {
            self.from.is_empty()
        }
        fn sweep_staged(&self) -> Result<u64, StoreError> {
            self.from.sweep_staged()
        }
        fn available(&self) -> Result<u64, StoreError> {
            self.from.available()
        }
        crate::store::forward_assemblies!(from);
    }

    #[test]
    fn one_that_moves_from_far_to_near_between_both_questions_is_found() {
        for by_size in [false, true] {
            let (near, from) = (MemoryStore::new(None), MemoryStore::new(None));
            put(&from, id(1), b"bytes");
            let to = near.clone();
            let far = MovesAway { from, to };
            let both = BothStores::new(Arc::new(near), Arc::new(far), Place::Near);
            if by_size {
                let sizes = both.sizes(&[id(1)]).unwrap();
                assert_eq!(*sizes[0].as_ref().unwrap(), 5);
            } else {
                assert_eq!(both.open(&id(1)).unwrap().size(), 5);
            }
        }
    }

    #[test]
    fn a_far_store_that_refuses_keeps_nobody_from_looking_after_the_near_one() {
        let near = MemoryStore::new(None);
        let (far, faults) = FaultStore::new(Box::new(MemoryStore::new(None)));
        put(&near, id(1), b"near");
        put(&near, id(2), b"near");
        put(&far, id(3), b"far");
        let both = BothStores::new(Arc::new(near.clone()), Arc::new(far), Place::Near);
        faults.fail_after_only(Operation::List, 0, Fault::Refused);
        assert_eq!(both.list(None, 9).unwrap(), [1, 2].map(id));
        assert_eq!(both.list(None, 9).unwrap(), [1, 2, 3].map(id));
        faults.fail_after_only(Operation::Open, 0, Fault::Refused);
        let sizes = both.sizes(&[1, 3].map(id)).unwrap();
        assert!(matches!(sizes[0], Ok(4)));
        assert!(matches!(sizes[1], Err(StoreError::Refused(_))));
        faults.fail_after_only(Operation::Delete, 0, Fault::Refused);
        assert!(both.delete_at_once(&id(1)).is_err());
        assert_eq!(near.list(None, 9).unwrap(), [id(2)]);
    }

    #[test]
    fn while_the_far_store_is_away_what_is_near_can_be_read_and_nothing_counts_as_missing() {
        let near = MemoryStore::new(None);
        let (far, faults) = FaultStore::new(Box::new(MemoryStore::new(None)));
        put(&near, id(1), b"near");
        let both = BothStores::new(Arc::new(near.clone()), Arc::new(far), Place::Far);
        faults.fail_after(0, Fault::Gone);
        assert_eq!(both.open(&id(1)).unwrap().size(), 4);
        assert!(!both.is_empty().unwrap());
        assert!(matches!(both.open(&id(2)), Err(StoreError::Unavailable(_))));
        assert!(both.list(None, 9).is_err(), "half of a list is none");
        assert!(both.stage(&id(2), None).is_err());
        // What was there is gone, and it is said that it may be elsewhere, too.
        assert!(both.delete(&id(1)).is_err());
        assert!(near.is_empty().unwrap());
        assert!(both.is_empty().is_err());
        faults.heal();
        both.delete(&id(1)).unwrap();
        faults.fail_after_only(Operation::SweepStaged, 0, Fault::Unavailable);
        assert!(both.sweep_staged().is_err());
        assert_eq!(both.sweep_staged().unwrap(), 0);
    }
}
