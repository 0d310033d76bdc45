//! The data of a server that does not run, for commands that change accounts and keys.
//!
//! Takes the lock of the directory, so that no server starts meanwhile, and makes no file: whoever
//! runs the command may be another user than the one whose files these are.

use super::StartError;
use super::data_dir::DataDir;
use super::opened::{self, Missing};
use crate::config::Settings;
use crate::metadata::OnFatal;
use crate::model::{Clock, Timekeeper};
use crate::service::Service;
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
        // The service reports every failure to its caller as well.
        let on_fatal: OnFatal = Arc::new(|_| {});
        let missing = Missing::StaysMissing;
        let opened = opened::open(settings, &data_dir, missing, &on_fatal, |_| {
            // Nothing here ends by time, and the word of the operator is for the server.
            Ok(Timekeeper::unquestioned(clock))
        })?;
        Ok(Self {
            service: opened.service,
            _data_dir: data_dir,
        })
    }

    /// The service on that data. It has not recovered what an earlier process left open: accounts
    /// and keys do not depend on that.
    pub fn service(&self) -> &Service {
        &self.service
    }
}
