//! Where the stored bytes are. A store knows names and bytes, nothing of links, keys or formats.
//!
//! Order of a publish (the caller's part is the last step): exclusive create in staging, write
//! once, make durable, move to the final name without replacing, make the directory durable, then
//! one metadata transaction. Deletion runs the other way round.

pub mod contract;
mod disk;
mod fault;
mod memory;

pub use disk::DiskStore;
pub use fault::{Fault, FaultStore, Faults, Operation};
pub use memory::MemoryStore;

use crate::model::BlobId;
use std::fmt;
use std::fs::File;
use std::io;

/// A place that keeps blobs.
pub trait Store: Send + Sync {
    /// Starts a blob of `expected` bytes, if known. Nothing is visible before [`Stage::commit`].
    ///
    /// # Errors
    /// [`StoreError::Full`] at once when `expected` does not fit beside the reserve,
    /// [`StoreError::Quota`] when a quota does not give it.
    fn stage(&self, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError>;
    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none of that name.
    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError>;
    /// Deletes a blob. One that is not there is no error: deletion may be repeated.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn delete(&self, id: &BlobId) -> Result<(), StoreError>;
    /// Up to `limit` names above `after`, in order. Works through any number in flat memory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError>;
    /// Whether there is at least one blob, found without listing them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn is_empty(&self) -> Result<bool, StoreError>;
    /// Removes what an earlier process had staged and never committed. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn sweep_staged(&self) -> Result<u64, StoreError>;
    /// Bytes that uploads may still take: free space less the reserve.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the medium refuses.
    fn available(&self) -> Result<u64, StoreError>;
}

/// A blob that is being written. Dropping it without [`Stage::commit`] leaves nothing behind.
pub trait Stage: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Quota`] when they do not fit,
    /// [`StoreError::Unavailable`] otherwise.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;
    /// Makes the bytes durable under their final name. When it returns, they survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken, [`StoreError::Full`] or [`StoreError::Quota`]
    /// when the medium turned out to be, [`StoreError::Refused`]: nothing is stored then. Any other
    /// error leaves the outcome unknown: the blob may be there, now or after a restart, and trying
    /// again cannot tell.
    fn commit(self: Box<Self>, id: &BlobId) -> Result<(), StoreError>;
}

/// An open blob. It stays readable after a [`Store::delete`] until it is dropped.
pub trait StoredBlob: Send {
    /// Bytes in the store.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the blob ends before the buffer is full, or what the medium reports.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// The file behind it, where there is one that the kernel can send by itself.
    fn file(&self) -> Option<&File>;
}

/// What can go wrong with a store.
#[derive(Debug)]
pub enum StoreError {
    /// There is no such blob.
    NotFound,
    /// The name is taken. Names are random: this is a fault, not a coincidence.
    Exists,
    /// Not enough space: `needed` bytes where `available` are left for uploads.
    Full {
        /// Bytes asked for, as far as known.
        needed: u64,
        /// Bytes that uploads may still take.
        available: u64,
    },
    /// A quota of the file system refused `needed` bytes. How many it would give, nobody tells.
    Quota {
        /// Bytes asked for, as far as known.
        needed: u64,
    },
    /// The medium, or this process, has too little of something right now. Nothing was changed.
    Refused(io::Error),
    /// The medium failed.
    Unavailable(io::Error),
}

impl StoreError {
    /// Whether the file system takes no writes: nothing was changed, and reading goes on.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "no such blob in the store"),
            Self::Exists => write!(f, "a blob of that name exists already"),
            Self::Full { needed, available } => {
                write!(
                    f,
                    "the store is full: {needed} bytes needed, {available} available"
                )
            }
            Self::Quota { needed } => {
                write!(f, "the disk quota is used up: {needed} bytes needed")
            }
            Self::Refused(_) => write!(f, "the store cannot take it now"),
            Self::Unavailable(_) => write!(f, "the store does not answer"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(e) | Self::Unavailable(e) => Some(e),
            _ => None,
        }
    }
}
