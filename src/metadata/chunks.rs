//! What is known of uploads that come in chunks: which are under way, what of each is stored, and what
//! waits for the rest of its segment. How they end is told in [`super::ended`].

use super::changes::refused;
use super::codec::{Decoder, Encoder, Record};
use super::keys::{account_key, chunk_key, due_key, owned_key, tail};
use super::records::Mark;
use super::schema::{
    ACCOUNTS, BLOBS, BUILDING, CHUNKS, Change, EDGES, ENDED, IDLE, SESSIONS, Snapshot, UPLOADING,
};
use super::{ChunkAdded, ChunksBegun, MetadataError, NewLink};
use crate::model::{AccountId, BlobId, Chunk, ChunkSession, Lookup, Timestamp};
use std::ops::{Bound, Range};

type Result<T> = std::result::Result<T, MetadataError>;

/// Chunks that are told of a range: whoever finds more has overlaps enough.
const AROUND: usize = 64;

impl Record for ChunkSession {
    fn put(&self, to: &mut Encoder) {
        to.u64(self.owner.0);
        to.array(&self.blob.0);
        to.format(self.format);
        to.u64(self.size);
        to.array(&self.header);
        to.bytes(&self.by_owner);
        to.time(self.begun);
        to.time(self.touched);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            lookup: Lookup(key.try_into().ok()?),
            owner: AccountId(from.u64()?),
            blob: BlobId(from.array()?),
            format: from.format()?,
            size: from.u64()?,
            header: from.array()?,
            by_owner: from.vec()?,
            begun: from.time()?,
            touched: from.time()?,
        })
    }
}

impl Record for Chunk {
    fn put(&self, to: &mut Encoder) {
        to.u64(self.length);
        to.array(&self.digest);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        Some(Self {
            offset: u64::from_be_bytes(*key.last_chunk()?),
            length: from.u64()?,
            digest: from.array()?,
        })
    }
}

/// What waits for the rest of one segment: sealed, as it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Edge(pub(super) Vec<u8>);

impl Record for Edge {
    fn put(&self, to: &mut Encoder) {
        to.bytes(&self.0);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        from.vec().map(Self)
    }
}

/// Which session puts a blob together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BuiltBy(pub(super) Lookup);

impl Record for BuiltBy {
    fn put(&self, to: &mut Encoder) {
        to.array(&self.0.0);
    }

    fn take(_: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        from.array().map(|hash| Self(Lookup(hash)))
    }
}

pub(super) fn begin(to: &Change<'_>, session: &ChunkSession, most: u64) -> Result<ChunksBegun> {
    if let Some(found) = SESSIONS.get(to, &session.lookup.0)? {
        return Ok(ChunksBegun::Exists(found));
    }
    if !ACCOUNTS.has(to, &account_key(session.owner))? {
        return Ok(ChunksBegun::OwnerGone);
    }
    let first = owned_key(session.owner, &Lookup([0; 32]));
    let last = owned_key(session.owner, &Lookup([u8::MAX; 32]));
    let all = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    if UPLOADING.count_range(to, all, most)? >= most {
        return Ok(ChunksBegun::TooMany);
    }
    let blob = &session.blob.0;
    if BLOBS.has(to, blob)? || BUILDING.has(to, blob)? || ENDED.has(to, blob)? {
        return Err(refused("a blob of that name is there"));
    }
    BUILDING.put(to, blob, &BuiltBy(session.lookup))?;
    UPLOADING.put(to, &owned_key(session.owner, &session.lookup), &Mark)?;
    IDLE.put(to, &due_key(session.touched, &session.lookup), &Mark)?;
    SESSIONS.put(to, &session.lookup.0, session)?;
    Ok(ChunksBegun::Done)
}

pub(super) fn add(
    to: &Change<'_>,
    lookup: &Lookup,
    chunk: &Chunk,
    edges: Vec<(u64, Option<Vec<u8>>)>,
    touched: Timestamp,
) -> Result<ChunkAdded> {
    let Some(session) = SESSIONS.get(to, &lookup.0)? else {
        return Ok(ChunkAdded::Gone);
    };
    let inside = chunk
        .offset
        .checked_add(chunk.length)
        .is_some_and(|end| end <= session.size);
    if !inside || (chunk.length == 0 && session.size > 0) {
        return Err(refused("a chunk that is no part of its file"));
    }
    if overlaps(to, &session.blob, chunk)? {
        return Ok(ChunkAdded::Overlaps);
    }
    CHUNKS.put(to, &chunk_key(&session.blob, chunk.offset), chunk)?;
    for (segment, edge) in edges {
        let key = chunk_key(&session.blob, segment);
        match edge {
            Some(edge) => EDGES.put(to, &key, &Edge(edge))?,
            // Asked first: to delete what is not there would write all the same.
            None if EDGES.has(to, &key)? => EDGES.delete(to, &key)?,
            None => {}
        }
    }
    if session.touched != touched {
        IDLE.delete(to, &due_key(session.touched, lookup))?;
        IDLE.put(to, &due_key(touched, lookup), &Mark)?;
        SESSIONS.put(to, &lookup.0, &ChunkSession { touched, ..session })?;
    }
    Ok(ChunkAdded::Done)
}

/// Whether bytes of `chunk` are taken down: then it is by the last chunk that begins where it does or
/// before, or by the next one.
fn overlaps(from: &impl Snapshot, blob: &BlobId, chunk: &Chunk) -> Result<bool> {
    if let Some(before) = last_until(from, blob, chunk.offset)?
        && (before.offset == chunk.offset || before.end() > chunk.offset)
    {
        return Ok(true);
    }
    let next = chunks_of(from, blob, Some(chunk.offset), u64::MAX, 1)?;
    Ok(next.first().is_some_and(|next| next.offset < chunk.end()))
}

/// The last chunk of a blob that begins at `offset` or before.
fn last_until(from: &impl Snapshot, blob: &BlobId, offset: u64) -> Result<Option<Chunk>> {
    let (first, last) = (chunk_key(blob, 0), chunk_key(blob, offset));
    let range = (Bound::Included(&first[..]), Bound::Included(&last[..]));
    let found = CHUNKS.sound_last(from, range)?;
    Ok(found.map(|(_, chunk)| chunk))
}

/// Up to `limit` chunks of a blob that begin after `after` and at `until` or before, in order.
fn chunks_of(
    from: &impl Snapshot,
    blob: &BlobId,
    after: Option<u64>,
    until: u64,
    limit: usize,
) -> Result<Vec<Chunk>> {
    let first = chunk_key(blob, after.unwrap_or(0));
    let start = match after {
        Some(_) => Bound::Excluded(&first[..]),
        None => Bound::Included(&first[..]),
    };
    let last = chunk_key(blob, until);
    let rows = CHUNKS.sound_range(from, (start, Bound::Included(&last[..])), limit)?;
    Ok(rows.into_iter().map(|(_, chunk)| chunk).collect())
}

/// The chunks of a session that begin after `after_offset`.
pub(super) fn chunks(
    from: &impl Snapshot,
    lookup: &Lookup,
    after_offset: Option<u64>,
    limit: usize,
) -> Result<Vec<Chunk>> {
    let Some(session) = SESSIONS.get(from, &lookup.0)? else {
        return Ok(Vec::new());
    };
    chunks_of(from, &session.blob, after_offset, u64::MAX, limit)
}

/// The chunks of a session that overlap or touch `range`.
pub(super) fn around(
    from: &impl Snapshot,
    lookup: &Lookup,
    range: &Range<u64>,
) -> Result<Vec<Chunk>> {
    let Some(session) = SESSIONS.get(from, &lookup.0)? else {
        return Ok(Vec::new());
    };
    let before = last_until(from, &session.blob, range.start)?;
    let mut found: Vec<_> = before.into_iter().collect();
    found.retain(|chunk| chunk.end() >= range.start);
    if range.start < range.end {
        let after = Some(range.start);
        found.extend(chunks_of(from, &session.blob, after, range.end, AROUND)?);
    }
    Ok(found)
}

/// What waits for the rest of each of `segments` of a session.
pub(super) fn edges(
    from: &impl Snapshot,
    lookup: &Lookup,
    segments: &[u64],
) -> Result<Vec<Option<Vec<u8>>>> {
    let Some(session) = SESSIONS.get(from, &lookup.0)? else {
        return Ok(segments.iter().map(|_| None).collect());
    };
    let edge = |segment: &u64| EDGES.get(from, &chunk_key(&session.blob, *segment));
    segments
        .iter()
        .map(|segment| Ok(edge(segment)?.map(|Edge(bytes)| bytes)))
        .collect()
}

/// Up to `limit` sessions that were last touched before `before`.
pub(super) fn idle(
    from: &impl Snapshot,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<ChunkSession>> {
    let end = due_key(before, &Lookup([0; 32]));
    let mut after: Option<Vec<u8>> = None;
    let mut found = Vec::new();
    while found.len() < limit {
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (start, Bound::Excluded(&end[..]));
        let page = IDLE.sound_range(from, range, limit - found.len())?;
        let Some((last, Mark)) = page.last() else {
            break;
        };
        after = Some(last.clone());
        for (key, Mark) in &page {
            match SESSIONS.need(from, &tail::<32>(IDLE.name, key)?) {
                Ok(session) => found.push(session),
                Err(MetadataError::Corrupt(what)) => {
                    log::error!(
                        "an upload in chunks cannot be ended, the database is damaged: {what}"
                    );
                }
                Err(other) => return Err(other),
            }
        }
    }
    Ok(found)
}

/// Whether a session puts that blob together.
pub(super) fn is_building(from: &impl Snapshot, blob: &BlobId) -> Result<bool> {
    BUILDING.has(from, &blob.0)
}

/// The session that ends with the publication of `new`, if it is still there.
pub(super) fn to_publish(
    from: &impl Snapshot,
    lookup: &Lookup,
    new: &NewLink,
) -> Result<Option<ChunkSession>> {
    let Some(session) = SESSIONS.get(from, &lookup.0)? else {
        return Ok(None);
    };
    let link = &new.link;
    if (link.owner, link.blob, link.format, link.size)
        != (session.owner, session.blob, session.format, session.size)
    {
        return Err(refused("a link with another file than its chunks make"));
    }
    Ok(Some(session))
}
