//! What is in a data directory, put together: keys, store, database and the service on them. The same
//! for a server, for setup and for commands on a stopped database.

use super::StartError;
use super::data_dir::{self, DataDir};
use super::storage::{self, Storage};
use crate::config::Settings;
use crate::metadata::{Metadata, MetadataError, OnFatal, RedbMetadata};
use crate::model::Timekeeper;
use crate::pipeline::seal::keys;
use crate::service::{Parts, Service};
use crate::store::{DiskStore, Store, StoreError, WaitingFiles};
use std::sync::Arc;

/// Whether what is missing in a data directory is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// A new directory is made complete.
    IsMade,
    /// Whoever asks may be another user than the one whose directory it is.
    StaysMissing,
}

/// What was opened.
pub(super) struct Opened {
    pub service: Service,
    pub metadata: Arc<dyn Metadata>,
    pub storage: Storage,
}

/// Opens what is in `data_dir`, with the clock that `clock` makes.
pub(super) fn open(
    settings: &Settings,
    data_dir: &DataDir,
    missing: Missing,
    on_fatal: &OnFatal,
    clock: impl FnOnce(&dyn Metadata) -> Result<Timekeeper, StartError>,
) -> Result<Opened, StartError> {
    let fresh = !RedbMetadata::exists(&data_dir.database())?;
    let server_key = match missing {
        Missing::IsMade => data_dir.server_key(fresh)?,
        // Nothing is stored or looked for by its contents then: another key does no harm.
        Missing::StaysMissing => data_dir
            .server_key_if_any()?
            .unwrap_or_else(keys::random_secret),
    };
    let disk: Arc<dyn Store> = Arc::new(
        DiskStore::open(&settings.data_dir, settings.min_free_space).map_err(StartError::Store)?,
    );
    let metadata = Arc::new(match (fresh, missing) {
        (false, _) => RedbMetadata::open(&data_dir.database(), Arc::clone(on_fatal))?,
        (true, Missing::StaysMissing) => {
            return Err(StartError::NoData {
                data_dir: settings.data_dir.clone(),
            });
        }
        (true, Missing::IsMade) if disk.is_empty().map_err(StartError::Store)? => {
            RedbMetadata::create(&data_dir.database(), Arc::clone(on_fatal))?
        }
        (true, Missing::IsMade) => {
            return Err(StartError::BlobsWithoutDatabase {
                data_dir: settings.data_dir.clone(),
            });
        }
    });
    let storage = storage::open(settings, disk, &metadata, &server_key)?;
    let metadata: Arc<dyn Metadata> = metadata;
    let master_key = match &settings.master_key_file {
        Some(file) => {
            let may_be_made = missing == Missing::IsMade && !opens_accounts(&*metadata)?;
            Some(data_dir::master_key(file, may_be_made)?)
        }
        None => None,
    };
    let clock = Arc::new(clock(&*metadata)?);
    let incoming = settings.data_dir.join(storage::INCOMING);
    let waiting = WaitingFiles::open(&incoming, settings.min_free_space)
        .map_err(|e| StartError::Store(StoreError::Unavailable(e)))?;
    let parts = Parts {
        metadata: Arc::clone(&metadata),
        store: Arc::clone(&storage.store),
        waiting,
        clock,
        server_key,
        master_key,
        on_fatal: Arc::clone(on_fatal),
    };
    let service = Service::new(parts, super::policy(settings));
    if let (false, Some(file)) = (
        service.master_key_fits().map_err(StartError::Service)?,
        &settings.master_key_file,
    ) {
        return Err(StartError::Key {
            path: file.path().to_owned(),
            problem: "this is not the master key that the accounts were made with: restore the file from its copy",
        });
    }
    Ok(Opened {
        service,
        metadata,
        storage,
    })
}

/// Whether there is a master key that opens accounts here: another one would be of no use.
fn opens_accounts(metadata: &dyn Metadata) -> Result<bool, MetadataError> {
    let first = metadata.accounts(None, 1)?;
    Ok(first
        .iter()
        .any(|account| account.wraps.by_master.is_some()))
}
