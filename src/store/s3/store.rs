//! Blobs as objects in a bucket, named `PREFIX` and 32 hex digits. Nothing else of them is there: no
//! names, no links, and no plaintext unless sealing is switched off.

use super::claims::{Claiming, ClaimingAssembly, Claims};
use super::client::Client;
use super::listing::{Listed, Listing};
use super::marker::Marker;
use super::parts::MAX_BLOB;
use super::read::Reads;
use super::trials;
use super::uploads::Uploads;
use crate::model::BlobId;
use crate::store::{Assembly, Pieces, Stage, Store, StoreError, StoredBlob};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// How long an object is left alone that nothing refers to: whoever stored it may be about to say so.
const GRACE: Duration = Duration::from_secs(3600);

/// Blobs in a bucket.
pub struct S3Store {
    client: Client,
    uploads: Arc<Uploads>,
    reads: Reads,
    marker: Marker,
    claims: Arc<Claims>,
    grace: Duration,
}

impl S3Store {
    /// The store in the client's bucket, which `uploads` go to. Touches no network: a server that is
    /// away keeps nobody from starting. `owner_mark`: 32 hex digits that no other installation has,
    /// and that tell nothing.
    pub fn new(client: Client, uploads: Arc<Uploads>, owner_mark: &str) -> Self {
        Self {
            reads: Reads::new(client.clone()),
            marker: Marker::new(owner_mark, &client.settings().prefix),
            claims: Arc::default(),
            client,
            uploads,
            grace: GRACE,
        }
    }

    /// The same, with another time for which an object is left alone that nothing refers to.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The same, with another time for which a reader of an open blob waits while reading on fails.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.reads.patience = patience;
        self
    }

    /// The same, whose objects have addresses for others than us, or have none.
    #[must_use]
    pub fn with_redirects(mut self, redirects: bool) -> Self {
        self.reads.redirects = redirects;
        self
    }

    /// The same, with another time after which another process under the same mark is gone that has said
    /// nothing.
    #[must_use]
    pub fn with_sure(mut self, sure: Duration) -> Self {
        self.marker = self.marker.with_sure(sure);
        self
    }

    /// Why nothing can be stored now, or nothing read; nothing while all goes well.
    pub fn problem(&self) -> Option<String> {
        let problem = self.client.health().problem();
        problem.or_else(|| self.marker.problem())
    }

    /// Whether what is wrong stays so until somebody mends it: asking often does not help.
    pub fn is_lasting(&self) -> bool {
        self.marker.problem().is_some() || self.client.health().is_lasting()
    }

    /// Why nothing is removed from the bucket, although it can be used.
    pub fn remark(&self) -> Option<String> {
        self.marker.remark()
    }

    /// Tells the next process that this one has ended: it need not find out whether another one lives.
    /// Takes as long as the server likes, and does nothing while it is away.
    pub fn sign_off(&self) {
        if self.client.health().problem().is_some() {
            return;
        }
        if let Err(error) = self.marker.sign_off(&self.reads) {
            log::debug!("the end is not marked in the bucket: {error}");
        }
    }

    /// Begins no upload any more, and has those that are under way refused; whoever reads waits for the
    /// server no more: for the end of the process.
    pub fn stop(&self) {
        self.reads.stop();
        self.uploads.stop();
    }

    /// Whether the bucket bears the mark of this installation, which is made if there is none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it bears another's, or the server is away.
    pub fn look_for_mark(&self) -> Result<(), StoreError> {
        self.marker.look(&self.reads)?;
        // Who asks now and then whether the bucket can be used keeps this going as well.
        if self.marker.may_sweep(self.reads.elapsed()).is_ok() {
            self.uploads.look_again();
        }
        Ok(())
    }

    /// Ends the multipart uploads that nobody is at any more, and removes what trials have left.
    fn clear_up(&self) {
        self.uploads.end_abandoned();
        match trials::sweep(&self.reads) {
            Ok(0) => {}
            Ok(removed) => {
                log::info!("removed {removed} objects of trials of the bucket that were broken off")
            }
            // Few bytes, which are there tomorrow.
            Err(error) => log::debug!("objects of trials may stay until tomorrow: {error}"),
        }
    }

    fn claiming(&self, id: &BlobId, assembly: Arc<dyn Assembly>) -> Arc<dyn Assembly> {
        Arc::new(ClaimingAssembly {
            id: *id,
            assembly,
            claims: Arc::clone(&self.claims),
        })
    }

    fn key(&self, id: &BlobId) -> String {
        format!("{}{}", self.client.settings().prefix, id.to_hex())
    }

    /// Lists from `after` on, which is a name without its prefix.
    fn visit(
        &self,
        after: String,
        wanted: usize,
        visit: impl FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let listing = Listing {
            reads: &self.reads,
            grace: self.grace,
            after,
            wanted,
        };
        listing.run(visit)
    }
}

impl Store for S3Store {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        // After a failure also as a question whether the server is back, before a client sends a file.
        if !self.marker.is_ours() || self.client.health().problem().is_some() {
            self.look_for_mark()?;
        }
        let stage = self.uploads.stage(id, expected)?;
        Ok(Box::new(Claiming {
            id: *id,
            stage,
            claims: Arc::clone(&self.claims),
        }))
    }

    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        Ok(Box::new(self.reads.open(id, self.key(id))?))
    }

    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        self.marker.may_delete()?;
        let _deleting = self.reads.deleting(id).ok_or(StoreError::InUse)?;
        self.reads.delete(&self.key(id))
    }

    /// Nothing: it would take a request, and that as long as the server likes.
    fn delete_at_once(&self, _: &BlobId) -> Result<(), StoreError> {
        Ok(())
    }

    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        // Once for every walk: whoever came here since must not lose anything.
        if after.is_none() || !self.marker.is_ours() {
            self.look_for_mark()?;
        }
        self.marker.may_sweep(self.reads.elapsed())?;
        if after.is_none() {
            self.clear_up();
        }
        let mut ids = Vec::new();
        if limit == 0 {
            return Ok(ids);
        }
        let after = after.map_or_else(String::new, |id| id.to_hex());
        self.visit(after, limit, |listed| {
            if listed.is_old {
                ids.push(listed.id);
            }
            go_on(ids.len() < limit)
        })?;
        Ok(ids)
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        let mut empty = true;
        // All the names at once that a page has: it may be another's things that come first.
        self.visit(String::new(), usize::MAX, |_| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }

    /// By listing them: one request for some 250, if they are near each other.
    fn sizes(&self, ids: &[BlobId]) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
            return Ok(Vec::new());
        };
        // What is right before the first.
        let mut after = first.to_hex();
        after.pop();
        let mut sizes = HashMap::new();
        self.visit(after, ids.len(), |listed| {
            if ids.binary_search(&listed.id).is_ok() {
                sizes.insert(listed.id, listed.size);
            }
            go_on(listed.id < *last)
        })?;
        let size = |id| sizes.get(id).copied().ok_or(StoreError::NotFound);
        Ok(ids.iter().map(size).collect())
    }

    /// Nothing yet: it would keep a start waiting for the server. Every walk of [`Store::list`] begins
    /// with it.
    fn sweep_staged(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn available(&self) -> Result<u64, StoreError> {
        Ok(MAX_BLOB)
    }

    fn assemble(
        &self,
        id: &BlobId,
        size: u64,
        pieces: Pieces,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        if !self.marker.is_ours() || self.client.health().problem().is_some() {
            self.look_for_mark()?;
        }
        let assembly = self.uploads.assemble(id, size, pieces)?;
        Ok(self.claiming(id, assembly))
    }

    fn reassemble(&self, id: &BlobId, size: u64) -> Result<Arc<dyn Assembly>, StoreError> {
        let assembly = self.uploads.reassemble(id, size)?;
        Ok(self.claiming(id, assembly))
    }

    fn abandon(&self, id: &BlobId) -> Result<(), StoreError> {
        self.uploads.abandon(id)
    }

    /// From the disk: needs no server.
    fn assemblies(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.uploads.assemblies(after, limit)
    }
}

fn go_on(yes: bool) -> ControlFlow<()> {
    if yes {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
