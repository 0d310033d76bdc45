//! How the keys of the tables are put together, and taken apart.
//!
//! Numbers and times in keys are big-endian, times with the sign bit turned, so that the order of
//! the bytes is the order of the numbers. All keys but names have a fixed length, so no key is the
//! beginning of another.

use super::{Due, MetadataError, codec};
use crate::model::{AccountId, BlobId, LeaseId, Link, Lookup, Timestamp};

const SIGN: u64 = 1 << 63;

fn time_key(at: Timestamp) -> [u8; 8] {
    (at.0.cast_unsigned() ^ SIGN).to_be_bytes()
}

fn time_of(key: [u8; 8]) -> Timestamp {
    Timestamp((u64::from_be_bytes(key) ^ SIGN).cast_signed())
}

/// The key in `accounts`, and the beginning of the keys of an owner's links.
pub(super) fn account_key(id: AccountId) -> [u8; 8] {
    id.0.to_be_bytes()
}

/// The key in `links`.
pub(super) fn link_key(owner: AccountId, created: Timestamp, lookup: &Lookup) -> [u8; 48] {
    join([&account_key(owner), &time_key(created), &lookup.0])
}

/// The key of this link in `links`.
pub(super) fn key_of(link: &Link) -> [u8; 48] {
    link_key(link.owner, link.created, &link.lookup)
}

/// Takes [`link_key`] apart. `None` when the length is another.
pub(super) fn parse_link_key(key: &[u8]) -> Option<(AccountId, Timestamp, Lookup)> {
    let (owner, rest) = key.split_first_chunk()?;
    let (created, lookup) = rest.split_first_chunk()?;
    Some((
        AccountId(u64::from_be_bytes(*owner)),
        time_of(*created),
        Lookup(lookup.try_into().ok()?),
    ))
}

/// The key in `due` and in `idle`.
pub(super) fn due_key(at: Timestamp, lookup: &Lookup) -> [u8; 40] {
    join([&time_key(at), &lookup.0])
}

/// Takes [`due_key`] apart. `None` when the length is another.
pub(super) fn parse_due_key(key: &[u8]) -> Option<Due> {
    let (at, lookup) = key.split_first_chunk()?;
    Some(Due {
        at: time_of(*at),
        lookup: Lookup(lookup.try_into().ok()?),
    })
}

/// The key in `held`.
pub(super) fn held_key(link: &Lookup, lease: &LeaseId) -> [u8; 48] {
    join([&link.0, &lease.0])
}

/// The key in `owned` and in `uploading`.
pub(super) fn owned_key(owner: AccountId, key: &Lookup) -> [u8; 40] {
    join([&account_key(owner), &key.0])
}

/// The key in `chunks`, by offset, and in `edges`, by segment.
pub(super) fn chunk_key(blob: &BlobId, number: u64) -> [u8; 24] {
    join([&blob.0, &number.to_be_bytes()])
}

fn join<const N: usize, const PARTS: usize>(parts: [&[u8]; PARTS]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N, "a key has one length");
    key
}

/// The array at the end of an index key: whose entry it is.
pub(super) fn tail<const N: usize>(table: &str, key: &[u8]) -> Result<[u8; N], MetadataError> {
    key.last_chunk::<N>()
        .copied()
        .ok_or_else(|| codec::damaged(table, key))
}

/// The first key after all keys that begin with `prefix`; `None` when nothing comes after them.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
