//! Stored files that stay although their links end: those of an archive that is on its way. Whoever began to
//! download it gets it, as of a single file; the bytes go afterwards.
//!
//! How many files are held at once is bounded, and with it the memory of all archives that are on their way.

use super::Service;
use crate::model::BlobId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files in all archives at once. Each takes some 500 bytes, and its name.
const FILES: usize = 8_192;

/// What is held.
#[derive(Default)]
pub(super) struct Holds(Mutex<Held>);

#[derive(Default)]
struct Held {
    blobs: HashMap<BlobId, u32>,
    files: usize,
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of one archive. Dropping it lets them go.
pub(super) struct Hold {
    service: Arc<Service>,
    blobs: Vec<BlobId>,
    /// Files that there is room for.
    files: usize,
}

impl Hold {
    /// Makes room for so many files. `None` while there is none.
    pub(super) fn new(service: &Arc<Service>, files: usize) -> Option<Self> {
        let mut held = service.holds.lock();
        let after = held.files.checked_add(files)?;
        if after > FILES {
            return None;
        }
        held.files = after;
        Some(Self {
            service: Arc::clone(service),
            blobs: Vec::with_capacity(files),
            files,
        })
    }

    /// Holds a stored file. What was seen of its link before says nothing: it may be gone by now.
    pub(super) fn add(&mut self, blob: BlobId) {
        *self.service.holds.lock().blobs.entry(blob).or_default() += 1;
        self.blobs.push(blob);
    }

    /// Whether the file that was held last is this one.
    pub(super) fn has(&self, blob: &BlobId) -> bool {
        self.blobs.last() == Some(blob)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.service.holds.lock();
        for blob in &self.blobs {
            if let Some(count) = held.blobs.get_mut(blob) {
                *count -= 1;
                if *count == 0 {
                    held.blobs.remove(blob);
                }
            }
        }
        held.files -= self.files;
    }
}

impl Service {
    /// Whether a stored file has to stay for now.
    pub(super) fn is_held(&self, blob: &BlobId) -> bool {
        self.holds.lock().blobs.contains_key(blob)
    }
}
