//! An upload in chunks: begun, found again, and opened by its owner.

use super::work::Entered;
use super::{ChunkError, ChunkPlace};
use crate::metadata::ChunksBegun;
use crate::model::{BlobFormat, BlobId, ChunkSession, Lookup, Secret};
use crate::pipeline::Piecewise;
use crate::pipeline::seal::keys::{self, Purpose};
use crate::pipeline::seal::{Cipher, HEADER, Header, SEGMENT, stored_len};
use crate::service::{Encryption, Error, Service, Session, events};
use crate::store::{Assembly, Pieces, StoreError};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Uploads in chunks that an account may have under way at once.
const SESSIONS_MAX: u64 = 256;

/// An upload in chunks, opened by its owner.
pub(super) struct Upload {
    pub(super) row: ChunkSession,
    pub(super) content: Secret,
    header: Option<Header>,
}

impl Upload {
    pub(super) fn piecewise(&self) -> Piecewise<'_> {
        Piecewise {
            content: &self.content,
            header: self.header,
            size: self.row.size,
        }
    }

    /// Bytes in the store.
    pub(super) fn stored(&self) -> u64 {
        match self.header {
            Some(_) => stored_len(self.row.size),
            None => self.row.size,
        }
    }
}

impl Service {
    /// The upload that a chunk belongs to, begun if this is its first.
    pub(super) fn upload_of(
        &self,
        session: &Session,
        lookup: &Lookup,
        place: &ChunkPlace<'_>,
        expected: Option<&RangeInclusive<u64>>,
        work: &Entered<'_>,
    ) -> Result<Upload, Error> {
        // One begins it, the others find it begun.
        let mut turn = work.turn();
        match self.find_upload(session, lookup)? {
            Some(upload) if upload.row.size == place.size => return Ok(upload),
            Some(_) => {
                // A size that was said with nothing that was taken binds nobody.
                let any = self.parts.metadata.chunks(lookup, None, 1);
                let any = any.map_err(|error| self.failed(error))?;
                if !any.is_empty() || !work.is_alone() {
                    return Err(ChunkError::SizeDiffers.into());
                }
                *turn = None;
                self.give_up(lookup)?;
            }
            None => {}
        }
        let (upload, assembly) = self.begin_upload(session, lookup, place, expected)?;
        *turn = assembly.map(|assembly| (upload.row.blob, assembly));
        match upload.row.size == place.size {
            true => Ok(upload),
            false => Err(ChunkError::SizeDiffers.into()),
        }
    }

    /// An upload that is under way.
    pub(super) fn find_upload(
        &self,
        session: &Session,
        lookup: &Lookup,
    ) -> Result<Option<Upload>, Error> {
        let row = self.parts.metadata.chunk_session(lookup);
        match row.map_err(|error| self.failed(error))? {
            Some(row) => open(session, row).map(Some),
            None => Ok(None),
        }
    }

    /// Begins an upload: room first, then the row. What is left of one that came to nothing is swept.
    fn begin_upload(
        &self,
        session: &Session,
        lookup: &Lookup,
        place: &ChunkPlace<'_>,
        expected: Option<&RangeInclusive<u64>>,
    ) -> Result<(Upload, Option<Arc<dyn Assembly>>), Error> {
        let sealed = self.policy.encryption != Encryption::None;
        let header = sealed.then(|| Header::draw(Cipher::for_this_cpu()));
        let (content, blob) = (keys::random_secret(), BlobId(keys::random()));
        let now = self.parts.clock.now();
        let upload = Upload {
            row: ChunkSession {
                lookup: *lookup,
                owner: session.account,
                blob,
                format: match sealed {
                    true => BlobFormat::Sealed,
                    false => BlobFormat::Plain,
                },
                size: place.size,
                header: header.map_or([0; HEADER], |header| header.to_bytes()),
                by_owner: keys::wrap(
                    Purpose::ChunksByOwner,
                    &[session.account_key.reveal()],
                    &context(lookup, &blob),
                    content.reveal(),
                ),
                begun: now,
                touched: now,
            },
            content,
            header,
        };
        let _shield = self.shield(blob);
        let pieces = pieces(sealed, place, expected);
        let assembly = self.parts.store.assemble(&blob, upload.stored(), pieces);
        let assembly = assembly.map_err(|error| self.refused(&error))?;
        let begun = self.parts.metadata.begin_chunks(&upload.row, SESSIONS_MAX);
        let other = match begun.map_err(|error| self.failed(error))? {
            ChunksBegun::Done => {
                events::chunks_begun(lookup, session.account, place.size);
                return Ok((upload, Some(assembly)));
            }
            ChunksBegun::Exists(row) => open(session, row),
            ChunksBegun::TooMany => Err(ChunkError::TooMany { most: SESSIONS_MAX }.into()),
            ChunksBegun::OwnerGone => Err(Error::Unauthorized),
        };
        drop(assembly);
        self.abandon(&blob);
        Ok((other?, None))
    }

    /// Where the bytes of an upload go.
    pub(super) fn assembly(
        &self,
        upload: &Upload,
        work: &Entered<'_>,
    ) -> Result<Arc<dyn Assembly>, Error> {
        let mut turn = work.turn();
        let blob = &upload.row.blob;
        if let Some((of, assembly)) = &*turn
            && of == blob
        {
            return Ok(Arc::clone(assembly));
        }
        match self.parts.store.reassemble(blob, upload.stored()) {
            Ok(assembly) => {
                *turn = Some((*blob, Arc::clone(&assembly)));
                Ok(assembly)
            }
            Err(StoreError::NotFound) => Err(self.lost(upload)),
            Err(error) => Err(self.refused(&error)),
        }
    }
}

fn context(lookup: &Lookup, blob: &BlobId) -> Vec<u8> {
    [&lookup.0[..], &blob.0].concat()
}

fn open(session: &Session, row: ChunkSession) -> Result<Upload, Error> {
    let damaged = || {
        log::error!("upload={} its record is damaged", row.lookup);
        Error::Internal("the record of an upload is damaged".into())
    };
    let content = keys::unwrap(
        Purpose::ChunksByOwner,
        &[session.account_key.reveal()],
        &context(&row.lookup, &row.blob),
        &row.by_owner,
    );
    let content = content.and_then(|key| Secret::from_slice(&key));
    let content = content.ok_or_else(damaged)?;
    let header = match row.format {
        BlobFormat::Plain => None,
        BlobFormat::Sealed => Some(Header::parse(&row.header).map_err(|_| damaged())?),
    };
    Ok(Upload {
        row,
        content,
        header,
    })
}

/// Where the pieces will probably begin, judged by one chunk that has `expected` bytes: those that a form
/// adds are less than a segment, and chunks are mostly a round number of those.
fn pieces(sealed: bool, place: &ChunkPlace<'_>, expected: Option<&RangeInclusive<u64>>) -> Pieces {
    const FULL: u64 = SEGMENT as u64;
    let most = expected.map_or(place.size, |expected| *expected.end());
    let chunk = most.min(place.size);
    let each = (chunk / FULL * FULL).max(FULL);
    match sealed {
        true => Pieces {
            first: stored_len(each),
            each: stored_len(each) - HEADER as u64,
        },
        false => Pieces { first: each, each },
    }
}
