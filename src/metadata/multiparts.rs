//! Which multipart uploads are under way at an object store, so that a start can end what an earlier
//! process left there.
//!
//! The table is made by the first upload: a file whose blobs are on disk never has it, and a
//! program that does not know it loses nothing by passing it over. So it is no new schema.

use super::codec::{Decoder, Encoder, Record};
use super::keys::tail;
use super::schema::MULTIPARTS;
use super::{MetadataError, RedbMetadata};
use crate::model::BlobId;
use std::ops::Bound;

type Result<T> = std::result::Result<T, MetadataError>;

/// The name that the object store gave the upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Multipart(pub(super) String);

impl Record for Multipart {
    fn put(&self, to: &mut Encoder) {
        to.bytes(self.0.as_bytes());
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        from.text().map(Self)
    }
}

impl RedbMetadata {
    /// Takes down, durably, that the bytes of `id` are being sent in parts, under the name `upload`.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multipart_begun(&self, id: &BlobId, upload: &str) -> Result<()> {
        let (id, upload) = (*id, Multipart(upload.to_owned()));
        self.writer
            .run(move |to| MULTIPARTS.put(to, &id.0, &upload))
    }

    /// It has ended, by success or not. Nothing happens when it was not taken down.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multipart_ended(&self, id: &BlobId) -> Result<()> {
        let id = *id;
        self.writer.run(move |to| MULTIPARTS.delete(to, &id.0))
    }

    /// Up to `limit` uploads that have begun and not ended, whose blobs come after `after`. Fewer
    /// only at the end: a damaged record is logged and passed over.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multiparts(
        &self,
        after: Option<&BlobId>,
        limit: usize,
    ) -> Result<Vec<(BlobId, String)>> {
        let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(&id.0[..]));
        self.read(|view| {
            if !view.has_table(MULTIPARTS.name)? {
                return Ok(Vec::new());
            }
            MULTIPARTS
                .sound_range(view, (start, Bound::Unbounded), limit)?
                .into_iter()
                .map(|(key, Multipart(upload))| Ok((BlobId(tail(MULTIPARTS.name, &key)?), upload)))
                .collect()
        })
    }
}
