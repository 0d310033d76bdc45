//! Listings and look-ups that go through more than one row.

use super::codec;
use super::keys::{account_key, after_prefix, due_key, link_key, parse_due_key, tail};
use super::records::Mark;
use super::schema::{BLOBS, DUE, GARBAGE, LINKS, Snapshot, TAGS};
use super::{Due, Duplicate, LinkCursor, MetadataError, chunks};
use crate::model::{AccountId, Blob, BlobId, Link, Lookup, Timestamp};
use std::ops::Bound;

type Result<T> = std::result::Result<T, MetadataError>;

pub(super) fn links_of(
    from: &impl Snapshot,
    owner: AccountId,
    after: Option<&LinkCursor>,
    limit: usize,
) -> Result<Vec<Link>> {
    let prefix = account_key(owner);
    let after = after.map(|at| link_key(owner, at.created, &at.lookup));
    let start = match &after {
        Some(key) => Bound::Excluded(&key[..]),
        None => Bound::Included(&prefix[..]),
    };
    let end = after_prefix(&prefix);
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let rows = LINKS.sound_range(from, (start, end), limit)?;
    Ok(rows.into_iter().map(|(_, link)| link).collect())
}

pub(super) fn due(
    from: &impl Snapshot,
    now: Timestamp,
    after: Option<&Due>,
    limit: usize,
) -> Result<Vec<Due>> {
    let after = after.map(|after| due_key(after.at, &after.lookup));
    let start = match &after {
        Some(key) => Bound::Excluded(&key[..]),
        None => Bound::Unbounded,
    };
    let last = due_key(now, &Lookup([u8::MAX; 32]));
    DUE.range(from, (start, Bound::Included(&last)), limit)?
        .iter()
        .map(|(key, Mark)| parse_due_key(key).ok_or_else(|| codec::damaged(DUE.name, key)))
        .collect()
}

pub(super) fn count_due(
    from: &impl Snapshot,
    after: Timestamp,
    until: Timestamp,
    limit: u64,
) -> Result<u64> {
    if until <= after {
        return Ok(0);
    }
    let last = Lookup([u8::MAX; 32]);
    let (after, until) = (due_key(after, &last), due_key(until, &last));
    let range = (Bound::Excluded(&after[..]), Bound::Included(&until[..]));
    DUE.count_range(from, range, limit)
}

pub(super) fn blobs(
    from: &impl Snapshot,
    after: Option<&BlobId>,
    limit: usize,
) -> Result<Vec<Blob>> {
    let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(&id.0[..]));
    let rows = BLOBS.sound_range(from, (start, Bound::Unbounded), limit)?;
    Ok(rows.into_iter().map(|(_, blob)| blob).collect())
}

pub(super) fn unknown_blobs(from: &impl Snapshot, ids: &[BlobId]) -> Result<Vec<BlobId>> {
    let mut unknown = Vec::new();
    for id in ids {
        if !BLOBS.has(from, &id.0)? && !chunks::is_building(from, id)? {
            unknown.push(*id);
        }
    }
    Ok(unknown)
}

pub(super) fn duplicate(from: &impl Snapshot, tag: &[u8; 32]) -> Result<Option<Duplicate>> {
    let Some(tagged) = TAGS.get(from, tag)? else {
        return Ok(None);
    };
    let blob = BLOBS.need(from, &tagged.blob.0)?;
    if blob.tag != Some(*tag) {
        return Err(codec::damaged(TAGS.name, tag));
    }
    Ok(Some(Duplicate {
        blob,
        by_plaintext: tagged.by_plaintext,
    }))
}

pub(super) fn garbage(
    from: &impl Snapshot,
    after: Option<&BlobId>,
    limit: usize,
) -> Result<Vec<BlobId>> {
    let start = after.map_or(Bound::Unbounded, |id| Bound::Excluded(&id.0[..]));
    let rows = GARBAGE.range(from, (start, Bound::Unbounded), limit)?;
    let ids = rows.iter().map(|(key, Mark)| tail(GARBAGE.name, key));
    ids.map(|id| id.map(BlobId)).collect()
}
