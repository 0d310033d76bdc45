//! The data of a server that does not run, for commands that change accounts and keys.
//!
//! Takes the lock of the directory, so that no server starts meanwhile, and makes no file: whoever
//! runs the command may be another user than the one whose files these are.

use super::StartError;
use super::data_dir::{self, DataDir};
use crate::config::Settings;
use crate::metadata::{Metadata, RedbMetadata};
use crate::model::{Clock, Timekeeper};
use crate::pipeline::seal::keys;
use crate::service::{Parts, Service};
use crate::store::{DiskStore, Store};
use std::sync::Arc;

/// The data of a stopped server; nobody else has it until this is dropped.
pub struct Stopped {
    service: Service,
    /// Dropped last: with it the lock on the directory.
    _data_dir: DataDir,
}

impl Stopped {
    /// Takes the data directory of `settings`.
    ///
    /// # Errors
    /// [`StartError::InUse`] when a server (or another command) has it, [`StartError::NoData`] when
    /// there has never been one, and what a start reports.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let data_dir = DataDir::lock_existing(&settings.data_dir)?;
        if !RedbMetadata::exists(&data_dir.database())? {
            return Err(StartError::NoData {
                data_dir: settings.data_dir.clone(),
            });
        }
        // Nothing is stored or looked for by its contents here: another key does no harm.
        let server_key = data_dir
            .server_key_if_any()?
            .unwrap_or_else(keys::random_secret);
        let master_key = match &settings.master_key_file {
            Some(file) => Some(data_dir::master_key(file, false)?),
            None => None,
        };
        let store: Arc<dyn Store> = Arc::new(
            DiskStore::open(&settings.data_dir, settings.min_free_space)
                .map_err(StartError::Store)?,
        );
        // The service reports every failure to its caller as well.
        let on_fatal: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(|_| {});
        let metadata: Arc<dyn Metadata> = Arc::new(RedbMetadata::open(
            &data_dir.database(),
            Arc::clone(&on_fatal),
        )?);
        let parts = Parts {
            metadata,
            store,
            // Nothing here ends by time, and the word of the operator is for the server.
            clock: Arc::new(Timekeeper::unquestioned(clock)),
            server_key,
            master_key,
            on_fatal,
        };
        Ok(Self {
            service: Service::new(parts, super::policy(settings)),
            _data_dir: data_dir,
        })
    }

    /// The service on that data. It has not recovered what an earlier process left open: accounts
    /// and keys do not depend on that.
    pub fn service(&self) -> &Service {
        &self.service
    }
}
