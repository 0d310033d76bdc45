//! Looks once a day for files that are both on the disk and in the bucket, which a move leaves that was cut off
//! between both, and removes the copy that is not where new files go. A thread of its own: it may have to read
//! large files, and everything else in the background goes on meanwhile.

use super::storage::Bucket;
use crate::metadata::Metadata;
use crate::model::BlobId;
use crate::store::{BothStores, Moved, StoreError, Wishes};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// To ask a bucket over TLS takes a deep stack where the program is not optimised.
const STACK: usize = 512 * 1024;
/// Rows that are looked at in one go.
const PAGE: usize = 128;
/// Before the first walk: a start has other work, and whoever had a move cut off may start it again first.
const FIRST: Duration = Duration::from_secs(30 * 60);
/// Between two walks.
const WALK: Duration = Duration::from_secs(24 * 3600);

/// The thread that looks. It ends with this, or after the request that it is at.
pub(super) struct Doubles {
    ends: Arc<AtomicBool>,
    _ends_when_dropped: SyncSender<()>,
}

impl Doubles {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(bucket: &Bucket, metadata: &Arc<dyn Metadata>) -> io::Result<Self> {
        let (ends_when_dropped, ended) = sync_channel(0);
        let ends = Arc::new(AtomicBool::new(false));
        // It holds nothing open while it waits.
        let (both, metadata) = (Arc::downgrade(&bucket.both), Arc::downgrade(metadata));
        let is_ending = Arc::clone(&ends);
        std::thread::Builder::new()
            .name("doubles".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let mut pause = FIRST;
                while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    let walk = Walk::of(&both, &metadata, &is_ending);
                    let Some(walk) = walk else { return };
                    walk.tell();
                    pause = WALK;
                }
            })?;
        Ok(Self {
            ends,
            _ends_when_dropped: ends_when_dropped,
        })
    }
}

impl Drop for Doubles {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// One walk over all files.
struct Walk<'a> {
    both: Arc<BothStores>,
    metadata: Arc<dyn Metadata>,
    is_ending: &'a AtomicBool,
}

impl<'a> Walk<'a> {
    /// Nothing when everything has ended.
    fn of(
        both: &Weak<BothStores>,
        metadata: &Weak<dyn Metadata>,
        is_ending: &'a AtomicBool,
    ) -> Option<Self> {
        Some(Self {
            both: both.upgrade()?,
            metadata: metadata.upgrade()?,
            is_ending,
        })
    }

    /// Walks, and tells in the log what came of it.
    fn tell(&self) {
        match self.walk() {
            Ok(0) => {}
            Ok(removed) => log::info!(
                "removed {removed} second copies of stored files, which a move that was cut off had left"
            ),
            Err(e) => log::warn!(
                "looking for files that are both on the disk and in the bucket failed, and is tried again in a day: {e}"
            ),
        }
    }

    /// Returns how many copies were removed.
    fn walk(&self) -> io::Result<u64> {
        let mut removed = 0;
        let mut after: Option<BlobId> = None;
        while self.goes_on(0) {
            let page = self.metadata.blobs(after.as_ref(), PAGE);
            let page = page.map_err(io::Error::other)?;
            let blobs: Vec<_> = page.iter().map(|blob| (blob.id, blob.stored)).collect();
            for (id, size) in self.both.doubles(&blobs).map_err(cause)? {
                match self.both.remove_double(&id, size, self) {
                    Ok(Moved::Done(_)) => removed += 1,
                    // A move looks after them itself.
                    Ok(Moved::Stopped) => return Ok(removed),
                    Ok(Moved::NotThere | Moved::Unwanted | Moved::Read) => {}
                    Err(e @ StoreError::Refused(_)) => return Err(cause(e)),
                    Err(e) => log::error!("stored file {}: {}", id.to_hex(), cause(e)),
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.id),
                _ => break,
            }
        }
        Ok(removed)
    }
}

impl Wishes for Walk<'_> {
    fn is_wanted(&self, id: &BlobId) -> io::Result<bool> {
        let unknown = self.metadata.unknown_blobs(std::slice::from_ref(id));
        unknown.map(|ids| ids.is_empty()).map_err(io::Error::other)
    }

    fn goes_on(&self, _: u64) -> bool {
        !self.is_ending.load(Ordering::Relaxed)
    }
}

/// What the medium said, where it said something.
fn cause(error: StoreError) -> io::Error {
    match error {
        StoreError::Refused(cause) | StoreError::Unavailable(cause) => cause,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{BlobSource, NewLink, RedbMetadata};
    use crate::model::{AccountId, Allowance, Blob, BlobFormat, Expiry, Link, Lookup, Timestamp};
    use crate::store::{DiskStore, Fault, FaultStore, MemoryStore, Place, Store};

    fn put(store: &dyn Store, id: BlobId, bytes: &[u8]) {
        let mut stage = store.stage(&id, None).unwrap();
        stage.write(bytes).unwrap();
        stage.commit().unwrap();
    }

    /// A link with its own blob of that many bytes.
    fn publish(metadata: &dyn Metadata, id: BlobId, stored: u64) {
        let mut lookup = [0; 32];
        lookup[..16].copy_from_slice(&id.0);
        let format = BlobFormat::Sealed;
        let new = NewLink {
            link: Link {
                lookup: Lookup(lookup),
                owner: AccountId(1),
                blob: id,
                format,
                size: 7,
                created: Timestamp(500),
                expiry: Expiry {
                    at: Timestamp(2_000),
                    unlimited: false,
                },
                allowance: Allowance {
                    remaining: 2,
                    leased: 0,
                    unlimited: false,
                    count: 0,
                },
                pending_delete: None,
                password: None,
                by_link: vec![1; 48],
                by_owner: vec![2; 120],
                label: vec![3; 60],
                hotlink: None,
            },
            source: BlobSource::New {
                blob: Blob {
                    id,
                    format,
                    size: 7,
                    stored,
                    tag: None,
                    references: 0,
                },
                by_plaintext: None,
            },
            by_hotlink: None,
            birth: None,
            session: None,
        };
        metadata.publish(new).unwrap();
    }

    #[test]
    fn what_a_move_left_twice_is_there_once_afterwards_and_all_else_stays() {
        for place in [Place::Near, Place::Far] {
            let home = tempfile::tempdir().unwrap();
            let disk = Arc::new(DiskStore::open(home.path(), 0).unwrap());
            let far = MemoryStore::new(None);
            let metadata: Arc<dyn Metadata> = Arc::new(RedbMetadata::in_memory().unwrap());
            // More than a page of them.
            let id = |n: u8| BlobId([n; 16]);
            for n in 0..200 {
                publish(&*metadata, id(n), 5);
                if n != 7 {
                    put(&*disk, id(n), b"bytes");
                }
                if n % 50 == 7 {
                    put(&far, id(n), b"bytes");
                }
            }
            // Not the same, not whole, and nobody's: none of them is touched.
            put(&far, id(20), b"other");
            put(&far, id(21), b"cut");
            put(&*disk, id(250), b"bytes");
            put(&far, id(250), b"bytes");
            let near: Arc<dyn Store> = Arc::<DiskStore>::clone(&disk);
            let both = Arc::new(BothStores::new(near, Arc::new(far.clone()), place));
            let ends = AtomicBool::new(false);
            let walk = Walk {
                both: Arc::clone(&both),
                metadata,
                is_ending: &ends,
            };
            let moves = both.begin_moves();
            assert_eq!(walk.walk().unwrap(), 0, "a move looks after them itself");
            drop(moves);
            assert_eq!(walk.walk().unwrap(), 3);
            assert_eq!(walk.walk().unwrap(), 0);
            let far_ids = far.list(None, 500).unwrap();
            let disk_ids = disk.list(None, 500).unwrap();
            match place {
                Place::Near => {
                    assert_eq!(far_ids, [7, 20, 21, 250].map(id));
                    assert_eq!(disk_ids.len(), 200);
                }
                Place::Far => {
                    assert_eq!(far_ids, [7, 20, 21, 57, 107, 157, 250].map(id));
                    assert_eq!(disk_ids.len(), 197);
                }
            }
            for n in 0..200 {
                assert_eq!(both.open(&id(n)).unwrap().size(), 5);
            }
        }
    }

    #[test]
    fn a_walk_ends_with_the_process_and_a_bucket_that_is_away_costs_nothing() {
        let (near, far) = (MemoryStore::new(None), MemoryStore::new(None));
        let metadata: Arc<dyn Metadata> = Arc::new(RedbMetadata::in_memory().unwrap());
        let id = BlobId([1; 16]);
        publish(&*metadata, id, 5);
        put(&near, id, b"bytes");
        put(&far, id, b"bytes");
        let (far, faults) = FaultStore::new(Box::new(far));
        let near = Arc::new(near);
        let of: Arc<dyn Store> = Arc::<MemoryStore>::clone(&near);
        let ends = AtomicBool::new(true);
        let walk = Walk {
            both: Arc::new(BothStores::new(of, Arc::new(far), Place::Far)),
            metadata,
            is_ending: &ends,
        };
        assert_eq!(walk.walk().unwrap(), 0);
        ends.store(false, Ordering::Relaxed);
        faults.fail_after(0, Fault::Refused);
        assert!(walk.walk().is_err());
        faults.heal();
        assert!(!near.is_empty().unwrap());
        assert_eq!(walk.walk().unwrap(), 1);
        assert!(near.is_empty().unwrap());
    }
}
