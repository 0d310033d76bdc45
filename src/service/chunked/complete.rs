//! The end of an upload in chunks: all bytes are there, and become a file with a link.

use super::work::Entered;
use super::{ChunkError, Upload};
use crate::metadata::{BlobSource, MetadataError, Published};
use crate::model::Blob;
use crate::pipeline::seal::SEGMENT;
use crate::service::upload::told;
use crate::service::{Error, FileView, LinkWish, Service, Session};
use crate::store::StoreError;

/// Chunks that are looked at in one step.
const PAGE: usize = 256;

impl Service {
    /// Makes a file of `size` bytes of the chunks that were received, visible under a new link. When it returns,
    /// file and link are durable, and the upload is no more.
    ///
    /// # Errors
    /// [`Error::Chunk`], and what [`Service::publish`] says. The upload stays as it is then, and can be
    /// completed later.
    pub fn complete_chunks(
        &self,
        session: &Session,
        upload: &str,
        size: u64,
        wish: &LinkWish,
    ) -> Result<FileView, Error> {
        let lookup = self.chunks_lookup(session, upload)?;
        let work = self.chunk_works.enter(&lookup);
        let found = |service: &Self| {
            let found = service.find_upload(session, &lookup)?;
            found.ok_or(Error::from(ChunkError::Unknown))
        };
        // Nothing of an upload that is not there is to be told from one that is busy.
        found(self)?;
        let _closed = work.close()?;
        let upload = found(self)?;
        if upload.row.size != size {
            return Err(ChunkError::SizeDiffers.into());
        }
        self.check_complete(&upload)?;
        let row = &upload.row;
        let plan = self.plan(session, size, row.format, wish)?;
        if plan.is_over() {
            // Over before it began: nobody could ever open it, so nothing is kept.
            self.give_up(&lookup)?;
            return Ok(told(plan.view(), "none"));
        }
        let shield = self.shield(row.blob);
        if let Err(error) = self.put_together(session, &upload, &work) {
            if matches!(error, Error::Internal(_)) {
                // Whatever is there stays for the next start to judge.
                std::mem::forget(shield);
            }
            return Err(error);
        }
        let blob = Blob {
            id: row.blob,
            format: row.format,
            size,
            stored: upload.stored(),
            tag: None,
            references: 1,
        };
        let source = BlobSource::New {
            blob,
            by_plaintext: None,
        };
        let mut link = plan.new_link(session, &row.blob, &upload.content, source);
        link.session = Some(lookup);
        match self.parts.metadata.publish(link) {
            Ok(Published::Done) => {}
            Ok(Published::OwnerGone) => {
                // In no list: what stays is an orphan.
                self.delete_bytes(&[row.blob]);
                return Err(Error::Unauthorized);
            }
            // Somebody else has completed it, or it was given up. The bytes may have a link.
            Ok(Published::SessionGone) => return Err(ChunkError::Unknown.into()),
            Ok(Published::SharedBlobGone) => {
                let what = "the database misses a blob that was not to be shared";
                return Err(Error::Internal(what.into()));
            }
            Err(error) => {
                if matches!(error, MetadataError::OutcomeUnknown(_)) {
                    std::mem::forget(shield);
                }
                return Err(self.failed(error));
            }
        }
        self.forget_chunks(&lookup);
        self.note_birth(&plan);
        Ok(told(plan.view(), "own"))
    }

    /// Whether every byte has come, and stands where it belongs.
    fn check_complete(&self, upload: &Upload) -> Result<(), Error> {
        let (lookup, size) = (&upload.row.lookup, upload.row.size);
        let mut at = None;
        let mut after = None;
        let mut waits = false;
        loop {
            let page = self.parts.metadata.chunks(lookup, after, PAGE);
            let page = page.map_err(|error| self.failed(error))?;
            for chunk in &page {
                let from = at.unwrap_or(0);
                if chunk.offset > from {
                    return Err(missing(from, chunk.offset));
                }
                at = Some(chunk.end());
            }
            let ends = page.iter().map(|chunk| chunk.end() / SEGMENT as u64);
            let edges = self.parts.metadata.edges(lookup, &ends.collect::<Vec<_>>());
            let edges = edges.map_err(|error| self.failed(error))?;
            waits |= edges.iter().any(Option::is_some);
            after = page.last().map(|chunk| chunk.offset);
            if page.len() < PAGE {
                break;
            }
        }
        match at {
            Some(end) if end == size && !waits => Ok(()),
            Some(end) if end == size => {
                log::error!("upload={lookup} all of its chunks came, and a segment is not whole");
                Err(Error::Internal("a segment is not whole".into()))
            }
            end => Err(missing(end.unwrap_or(0), size)),
        }
    }

    /// Makes the bytes durable under the name of the blob, unless an earlier try has.
    fn put_together(
        &self,
        session: &Session,
        upload: &Upload,
        work: &Entered<'_>,
    ) -> Result<(), Error> {
        let blob = &upload.row.blob;
        let kept = work.turn().take();
        let assembly = match kept {
            Some((of, assembly)) if of == *blob => Ok(assembly),
            _ => self.parts.store.reassemble(blob, upload.stored()),
        };
        let committed = match assembly {
            Ok(assembly) => assembly.commit(),
            Err(StoreError::NotFound) => Err(StoreError::NotFound),
            Err(error) => return Err(self.refused(&error)),
        };
        match committed {
            Ok(()) => Ok(()),
            Err(StoreError::NotFound) => match self.parts.store.open(blob) {
                Ok(stored) if stored.size() == upload.stored() => Ok(()),
                Ok(_) | Err(StoreError::NotFound) => Err(self.lost(upload)),
                Err(error) => Err(self.refused(&error)),
            },
            Err(error) => {
                let error = self.not_durable(&error, "a file");
                crate::service::events::upload_refused(session.account, &error);
                Err(error)
            }
        }
    }
}

fn missing(from: u64, to: u64) -> Error {
    ChunkError::Missing { from, to }.into()
}
