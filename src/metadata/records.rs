//! The fields of each record kind, in the order in which they are stored.
//!
//! A change here is a new schema: it needs a step in [`super::migrate`].

use super::Hotlink;
use super::account_records::{AccountOfSchema1, AccountOfSchema2, ApiKeyOfSchema1};
use super::chunks::{BuiltBy, Edge};
use super::codec::{self, Decoder, Encoder, Record};
use super::keys::parse_link_key;
use super::multiparts::Multipart;
use crate::model::{
    Account, AccountId, Allowance, ApiKey, Blob, BlobId, BootId, Chunk, ChunkSession, ClockRow,
    Expiry, Gap, Lease, LeaseId, Link, Lookup, Moment, Timestamp,
};

impl Record for Link {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.blob.0);
        to.format(self.format);
        to.u64(self.size);
        to.time(self.expiry.at);
        to.bool(self.expiry.unlimited);
        to.u32(self.allowance.remaining);
        to.u32(self.allowance.leased);
        to.bool(self.allowance.unlimited);
        to.u64(self.allowance.count);
        to.option(self.pending_delete.as_ref(), |to, at| to.time(*at));
        to.option(self.password.as_ref(), Encoder::password);
        to.bytes(&self.by_link);
        to.bytes(&self.by_owner);
        to.bytes(&self.label);
        to.option(self.hotlink.as_ref(), |to, lookup| to.array(&lookup.0));
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        let (owner, created, lookup) = parse_link_key(key)?;
        Some(Self {
            lookup,
            owner,
            created,
            blob: BlobId(from.array()?),
            format: from.format()?,
            size: from.u64()?,
            expiry: Expiry {
                at: from.time()?,
                unlimited: from.bool()?,
            },
            allowance: Allowance {
                remaining: from.u32()?,
                leased: from.u32()?,
                unlimited: from.bool()?,
                count: from.u64()?,
            },
            pending_delete: from.option(Decoder::time)?,
            password: from.option(Decoder::password)?,
            by_link: from.vec()?,
            by_owner: from.vec()?,
            label: from.vec()?,
            hotlink: from.option(Decoder::array)?.map(Lookup),
        })
    }
}

/// Where the row of a link is, apart from its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Whose listing it is in.
    pub(super) owner: AccountId,
    /// Where in it.
    pub(super) created: Timestamp,
}

impl Record for Place {
    fn put(&self, to: &mut Encoder) {
        to.u64(self.owner.0);
        to.time(self.created);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            owner: AccountId(from.u64()?),
            created: from.time()?,
        })
    }
}

impl Record for Hotlink {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.link.0);
        to.bytes(&self.by_hotlink);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            link: Lookup(from.array()?),
            by_hotlink: from.vec()?,
        })
    }
}

impl Record for Lease {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.link.0);
        to.time(self.taken);
        to.array(&self.client);
        to.bool(self.closing);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            id: LeaseId(key.try_into().ok()?),
            link: Lookup(from.array()?),
            taken: from.time()?,
            client: from.array()?,
            closing: from.bool()?,
        })
    }
}

impl Record for Blob {
    fn put(&self, to: &mut Encoder) {
        to.format(self.format);
        to.u64(self.size);
        to.u64(self.stored);
        to.option(self.tag.as_ref(), Encoder::array);
        to.u32(self.references);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            id: BlobId(key.try_into().ok()?),
            format: from.format()?,
            size: from.u64()?,
            stored: from.u64()?,
            tag: from.option(Decoder::array)?,
            references: from.u32()?,
        })
    }
}

/// An entry of the dedup index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tagged {
    /// The blob with that tag.
    pub(super) blob: BlobId,
    /// Its content key, wrapped under the hash of the plaintext.
    pub(super) by_plaintext: Vec<u8>,
}

impl Record for Tagged {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.blob.0);
        to.bytes(&self.by_plaintext);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            blob: BlobId(from.array()?),
            by_plaintext: from.vec()?,
        })
    }
}

/// Where the row of an API key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyPlace(pub(super) Lookup);

impl Record for KeyPlace {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.0.0);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        from.array().map(|hash| Self(Lookup(hash)))
    }
}

/// An index entry that says everything with its key. It has a check all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark;

impl Record for Mark {
    fn put(&self, _: &mut Encoder) {}

    fn take(_: &[u8], _: &mut Decoder<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// A number that has a row of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Number(pub(super) u64);

impl Record for Number {
    fn put(&self, to: &mut Encoder) {
        to.u64(self.0);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        from.u64().map(Self)
    }
}

impl Record for Moment {
    fn put(&self, to: &mut Encoder) {
        to.option(self.boot.as_ref(), |to, boot| to.array(&boot.0));
        to.u64(self.seconds);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            boot: from.option(Decoder::array)?.map(BootId),
            seconds: from.u64()?,
        })
    }
}

impl Record for ClockRow {
    fn put(&self, to: &mut Encoder) {
        to.time(self.mark);
        self.at.put(to);
        // A few: see `service::gaps`.
        to.u32(u32::try_from(self.gaps.len()).unwrap_or(u32::MAX));
        for gap in &self.gaps {
            to.time(gap.until);
            to.u64(gap.waited);
        }
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        let mark = from.time()?;
        let at = Moment::take(key, from)?;
        let mut gaps = Vec::new();
        for _ in 0..from.u32()? {
            gaps.push(Gap {
                until: from.time()?,
                waited: from.u64()?,
            });
        }
        Some(Self { mark, at, gaps })
    }
}

/// Decodes `body` as each record kind, under `key` and without a check: for fuzzing. Whatever is
/// taken must be written the same again; says whether that holds.
pub fn decode_any(key: &[u8], body: &[u8]) -> bool {
    fn same<R: Record>(key: &[u8], body: &[u8]) -> bool {
        codec::read::<R>(key, body).is_none_or(|record| codec::write(&record) == body)
    }
    same::<Link>(key, body)
        && same::<Place>(key, body)
        && same::<Hotlink>(key, body)
        && same::<Lease>(key, body)
        && same::<Blob>(key, body)
        && same::<Tagged>(key, body)
        && same::<Account>(key, body)
        && same::<AccountOfSchema1>(key, body)
        && same::<AccountOfSchema2>(key, body)
        && same::<ApiKeyOfSchema1>(key, body)
        && same::<KeyPlace>(key, body)
        && same::<ApiKey>(key, body)
        && same::<Mark>(key, body)
        && same::<Number>(key, body)
        && same::<Moment>(key, body)
        && same::<ClockRow>(key, body)
        && same::<Multipart>(key, body)
        && same::<ChunkSession>(key, body)
        && same::<Chunk>(key, body)
        && same::<Edge>(key, body)
        && same::<BuiltBy>(key, body)
}
