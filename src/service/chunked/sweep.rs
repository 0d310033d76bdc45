//! Uploads in chunks that nobody goes on with, and what is left of them in the store.

use super::{ChunkError, Upload};
use crate::model::{BlobId, Lookup};
use crate::service::sweep::{PAGE, STEPS, broken};
use crate::service::upload::describe;
use crate::service::{Error, Service, events};
use crate::store::StoreError;
use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// How long an upload may stand still.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

impl Service {
    /// When a chunk of each upload came last, since the boot: what a clock that was in doubt has said then
    /// counts for nothing.
    fn recent_chunks(&self) -> MutexGuard<'_, HashMap<Lookup, Duration>> {
        let recent = self.recent_chunks.lock();
        recent.unwrap_or_else(PoisonError::into_inner)
    }

    /// A chunk has come.
    pub(super) fn note_chunk(&self, lookup: &Lookup) {
        let now = self.parts.clock.elapsed();
        self.recent_chunks().insert(*lookup, now);
    }

    /// No more chunks will.
    pub(super) fn forget_chunks(&self, lookup: &Lookup) {
        self.recent_chunks().remove(lookup);
    }

    /// Ends the uploads that have stood still for a day.
    pub(in crate::service) fn sweep_chunks(&self) -> Result<(), Error> {
        let now = self.parts.clock.elapsed();
        self.recent_chunks()
            .retain(|_, at| now.saturating_sub(*at) < IDLE);
        let Some(watched) = self.parts.clock.watched() else {
            return Ok(());
        };
        let seconds = i64::try_from(IDLE.as_secs()).unwrap_or(i64::MAX);
        let before = watched.until.plus(seconds.saturating_neg());
        let idle = self.parts.metadata.idle_chunks(before, PAGE);
        for row in idle.map_err(|error| self.failed(error))? {
            let lookup = &row.lookup;
            let work = self.chunk_works.enter(lookup);
            // From here on no chunk of it begins; one that has just come is looked for after that.
            let Ok(_closed) = work.close() else {
                continue;
            };
            if self.recent_chunks().contains_key(lookup) {
                continue;
            }
            self.give_up(lookup)?;
            events::chunks_expired(lookup, row.owner);
        }
        Ok(())
    }

    /// Ends an upload: its row first, then its bytes.
    pub(super) fn give_up(&self, lookup: &Lookup) -> Result<(), Error> {
        let dropped = self.parts.metadata.drop_chunks(lookup);
        if let Some(blob) = dropped.map_err(|error| self.failed(error))? {
            self.abandon(&blob);
            // It may have been put together, and have had no link yet.
            self.delete_bytes(&[blob]);
        }
        self.forget_chunks(lookup);
        Ok(())
    }

    /// Removes what is left of an assembly; what cannot be removed now is an orphan.
    pub(super) fn abandon(&self, blob: &BlobId) {
        if let Err(error) = self.parts.store.abandon(blob) {
            log::warn!(
                "what was stored of an upload in chunks could not be removed, the next sweep tries again: {}",
                describe(&error)
            );
        }
    }

    /// The bytes of an upload are neither being put together nor stored: somebody has removed them.
    pub(super) fn lost(&self, upload: &Upload) -> Error {
        let row = &upload.row;
        match self.parts.store.open(&row.blob) {
            // All of it is there, and only its link is missing: to complete it is all that can be done.
            Ok(_) => return ChunkError::Overlaps.into(),
            Err(StoreError::NotFound) => {}
            Err(error) => return self.refused(&error),
        }
        log::error!(
            "upload={} stored file {} is missing: its upload in chunks is given up",
            row.lookup,
            row.blob.to_hex()
        );
        match self.give_up(&row.lookup) {
            Ok(()) => ChunkError::Lost.into(),
            Err(error) => error,
        }
    }

    /// Removes what is being put together in the store and belongs to no upload.
    pub(in crate::service) fn sweep_assemblies(&self) -> Result<(), Error> {
        let mut after = None;
        let mut removed = 0_usize;
        for _ in 0..STEPS {
            let page = self.parts.store.assemblies(after.as_ref(), PAGE);
            let mut page = page.map_err(|error| broken(&error))?;
            let listed = page.len();
            after = page.last().copied();
            // In this order: what was listed and is not being begun any more has its row by now.
            {
                let publishing = self.publishing();
                page.retain(|id| !publishing.contains(id));
            }
            let unknown = self.parts.metadata.unknown_blobs(&page);
            let unknown = unknown.map_err(|error| self.failed(error))?;
            unknown.iter().for_each(|id| self.abandon(id));
            removed += unknown.len();
            if listed < PAGE {
                break;
            }
        }
        if removed > 0 {
            log::info!("removed what was stored of {removed} uploads in chunks that are no more");
        }
        Ok(())
    }
}
