//! Which multipart uploads are under way at an object store, so that a start can end what an earlier
//! process left there.
//!
//! The table is made by the first upload: a file whose blobs are on disk never has it, and a
//! program that does not know it loses nothing by passing it over. So it is no new schema.

use super::codec::{Decoder, Encoder, Record};
use super::schema::MULTIPARTS;
use super::{MetadataError, RedbMetadata};
use crate::model::{BlobId, Timestamp};
use ring::digest;
use std::ops::Bound;

type Result<T> = std::result::Result<T, MetadataError>;

/// An upload in parts that has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Multipart {
    /// The blob that is sent.
    pub id: BlobId,
    /// Where to: tells one bucket from others.
    pub place: [u8; 16],
    /// The name that the object store gave it; empty while it is not known.
    pub upload: String,
    /// When it was taken down.
    pub begun: Timestamp,
}

impl Multipart {
    /// Its key: the blob, and what tells its uploads apart. The same blob may be begun again before the
    /// first upload has ended.
    fn key(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.place);
        hash.update(self.upload.as_bytes());
        let mut key = [0; 32];
        let (id, rest) = key.split_at_mut(16);
        id.copy_from_slice(&self.id.0);
        rest.copy_from_slice(&hash.finish().as_ref()[..16]);
        key
    }
}

impl Record for Multipart {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.place);
        to.bytes(self.upload.as_bytes());
        to.time(self.begun);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            id: BlobId(*key.first_chunk()?),
            place: from.array()?,
            upload: from.text()?,
            begun: from.time()?,
        })
    }
}

impl RedbMetadata {
    /// Takes down, durably, that an upload has begun.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multipart_begun(&self, upload: &Multipart) -> Result<()> {
        let upload = upload.clone();
        self.writer
            .run(move |to| MULTIPARTS.put(to, &upload.key(), &upload))
    }

    /// Takes down, durably, the name of an upload that was taken down without one.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multipart_named(&self, unnamed: &Multipart, upload: &Multipart) -> Result<()> {
        let (old, upload) = (unnamed.key(), upload.clone());
        self.writer.run(move |to| {
            MULTIPARTS.delete(to, &old)?;
            MULTIPARTS.put(to, &upload.key(), &upload)
        })
    }

    /// It has ended, by success or not. Nothing happens when it was not taken down.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multipart_ended(&self, upload: &Multipart) -> Result<()> {
        let key = upload.key();
        self.writer.run(move |to| MULTIPARTS.delete(to, &key))
    }

    /// Up to `limit` uploads that have begun and not ended, which come after `after`, those of one blob
    /// together. Fewer only at the end: a damaged record is logged and passed over.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn multiparts(&self, after: Option<&Multipart>, limit: usize) -> Result<Vec<Multipart>> {
        let key = after.map(Multipart::key);
        let start = key
            .as_ref()
            .map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
        self.read(|view| {
            if !view.has_table(MULTIPARTS.name)? {
                return Ok(Vec::new());
            }
            let rows = MULTIPARTS.sound_range(view, (start, Bound::Unbounded), limit)?;
            Ok(rows.into_iter().map(|(_, row)| row).collect())
        })
    }
}
