//! Where a database comes from: a file, made or opened, or a backend of redb.

use super::clock::Ride;
use super::room::Room;
use super::writer::Writer;
use super::{MetadataError, OnFatal, RedbMetadata, file};
use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl RedbMetadata {
    /// Whether there is a file at `path`, of whatever kind.
    ///
    /// # Errors
    /// [`MetadataError::Unavailable`] when that cannot be told.
    pub fn exists(path: &Path) -> Result<bool, MetadataError> {
        file::exists(path)
    }

    /// Makes an empty database at `path`, where nothing may be, readable by this user only.
    ///
    /// It is made under another name, synced and then renamed: a crash leaves no database, or a
    /// whole one. Whether an empty database is right here is for the caller to know.
    /// `on_fatal` is called at most once, from whichever thread finds out.
    ///
    /// # Errors
    /// [`MetadataError::InUse`] when another process makes the same file, [`MetadataError::Full`],
    /// [`MetadataError::Quota`], [`MetadataError::ReadOnly`], [`MetadataError::Unavailable`] when `path` exists or cannot be written.
    pub fn create(path: &Path, on_fatal: OnFatal) -> Result<Self, MetadataError> {
        let room = Arc::new(Room::beside(path));
        let database = file::create(path, &room)?;
        room.hold_again(true);
        Self::with_database(database, Some(room), on_fatal)
    }

    /// Opens the database at `path`, which must exist, and brings it to the newest schema.
    /// `on_fatal` is called at most once, from whichever thread finds out.
    ///
    /// # Errors
    /// [`MetadataError::InUse`], [`MetadataError::TooNew`], [`MetadataError::Corrupt`] when the
    /// file is empty, cut or is no database, [`MetadataError::Full`], [`MetadataError::Quota`],
    /// [`MetadataError::ReadOnly`], [`MetadataError::Unavailable`] when it is not there.
    pub fn open(path: &Path, on_fatal: OnFatal) -> Result<Self, MetadataError> {
        let room = Arc::new(Room::beside(path));
        let database = file::open(path, &room)?;
        room.hold_again(false);
        Self::with_database(database, Some(room), on_fatal)
    }

    /// A database on a storage backend of redb: an empty one is initialised, another is opened.
    ///
    /// # Errors
    /// As [`RedbMetadata::open`].
    pub fn with_backend(
        backend: impl StorageBackend,
        on_fatal: OnFatal,
    ) -> Result<Self, MetadataError> {
        Self::with_database(file::on_backend(backend)?, None, on_fatal)
    }

    /// An empty database in memory, gone when it is dropped: for tests.
    ///
    /// # Errors
    /// [`MetadataError::Unavailable`] when there is no thread for it.
    pub fn in_memory() -> Result<Self, MetadataError> {
        Self::with_backend(InMemoryBackend::new(), Arc::new(|_| {}))
    }

    pub(super) fn with_database(
        database: Database,
        room: Option<Arc<Room>>,
        on_fatal: OnFatal,
    ) -> Result<Self, MetadataError> {
        let called = AtomicBool::new(false);
        let once: OnFatal = Arc::new(move |reason| {
            if !called.swap(true, Ordering::SeqCst) {
                log::error!("the database cannot be used any more: {reason}");
                on_fatal(reason);
            }
        });
        let database = Arc::new(database);
        let ride = Ride::default();
        let shared = Arc::clone(&database);
        let writer = Writer::start(shared, room, ride.clone(), Arc::clone(&once))?;
        Ok(Self {
            database,
            on_fatal: once,
            ride,
            writer,
        })
    }
}
