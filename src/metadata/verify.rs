//! The whole check: every record, and that the tables agree with each other.
//!
//! Takes time with the number of links, but no memory: it goes through the tables in pages.

use super::changes::due;
use super::chunks::BuiltBy;
use super::codec::{self, Record};
use super::keys::{account_key, due_key, held_key, link_key, owned_key, tail};
use super::records::{KeyPlace, Mark, Number, Place};
use super::rows::Rows;
use super::schema::{
    ACCOUNTS, BIRTHS, BLOBS, BUILDING, CHUNKS, CLOCK, DUE, EDGES, ENDED, GARBAGE, HELD, HOTLINKS,
    IDLE, KEYS, LEASES, LINKS, MULTIPARTS, NAMES, OWNED, PLACES, PUBLICS, SESSIONS, STATE,
    SUPER_ADMIN, Snapshot, TAGS, UPLOADING, View, need_link,
};
use super::{MetadataError, RedbMetadata};
use crate::model::{BlobId, Lookup, Role, folded_name};
use std::ops::Bound;

/// Rows looked at in one go: the largest have some 16 KiB.
const PAGE: usize = 64;

impl RedbMetadata {
    /// Checks every record, and that links, indexes, blobs, leases and accounts agree. Takes time
    /// with the number of links; changes go on meanwhile.
    ///
    /// # Errors
    /// [`MetadataError::Corrupt`] with the first thing that does not fit.
    pub fn verify(&self) -> Result<(), MetadataError> {
        self.read(verify)
    }
}

/// Checks everything that `view` shows.
fn verify(view: &View) -> Result<(), MetadataError> {
    let mut leased = 0;
    let mut expected_due = 0;
    each(view, &LINKS, |key, link| {
        let place = Place {
            owner: link.owner,
            created: link.created,
        };
        let fits = PLACES.get(view, &link.lookup.0)? == Some(place)
            && match due(&link) {
                Some(at) => DUE.has(view, &due_key(at, &link.lookup))?,
                None => true,
            }
            && match &link.hotlink {
                Some(hotlink) => HOTLINKS
                    .get(view, &hotlink.0)?
                    .is_some_and(|h| h.link == link.lookup),
                None => true,
            }
            && BLOBS
                .get(view, &link.blob.0)?
                .is_some_and(|blob| blob.format == link.format);
        leased += u64::from(link.allowance.leased);
        expected_due += u64::from(due(&link).is_some());
        expect(LINKS.name, key, fits)
    })?;
    let links = LINKS.count(view)?;
    total(PLACES.name, PLACES.count(view)?, links)?;
    total(DUE.name, DUE.count(view)?, expected_due)?;
    total(LEASES.name, LEASES.count(view)?, leased)?;
    total(HELD.name, HELD.count(view)?, leased)?;

    each(view, &PLACES, |key, place| {
        let lookup = Lookup(tail(PLACES.name, key)?);
        let link = link_key(place.owner, place.created, &lookup);
        expect(PLACES.name, key, LINKS.has(view, &link)?)
    })?;
    each(view, &DUE, |key, Mark| {
        let link = need_link(view, &Lookup(tail(DUE.name, key)?))?;
        let fits = due(&link).is_some_and(|at| due_key(at, &link.lookup) == key);
        expect(DUE.name, key, fits)
    })?;
    each(view, &HOTLINKS, |key, hotlink| {
        let link = need_link(view, &hotlink.link)?;
        let fits = link.hotlink.is_some_and(|hotlink| hotlink.0 == key);
        expect(HOTLINKS.name, key, fits)
    })?;
    each(view, &LEASES, |key, lease| {
        let fits = PLACES.has(view, &lease.link.0)?
            && HELD.has(view, &held_key(&lease.link, &lease.id))?;
        expect(LEASES.name, key, fits)
    })?;
    each(view, &HELD, |key, Mark| {
        let lease = LEASES.need(view, &tail::<16>(HELD.name, key)?)?;
        expect(HELD.name, key, held_key(&lease.link, &lease.id) == key)
    })?;

    let mut references = 0;
    let mut tags = 0;
    each(view, &BLOBS, |key, blob| {
        let fits = match &blob.tag {
            Some(tag) => TAGS.get(view, tag)?.is_some_and(|t| t.blob == blob.id),
            None => true,
        };
        references += u64::from(blob.references);
        tags += u64::from(blob.tag.is_some());
        expect(BLOBS.name, key, fits && blob.references > 0)
    })?;
    total(BLOBS.name, references, links)?;
    total(TAGS.name, TAGS.count(view)?, tags)?;
    each(view, &TAGS, |_, _| Ok(()))?;
    each(view, &GARBAGE, |key, Mark| {
        expect(GARBAGE.name, key, !BLOBS.has(view, key)?)
    })?;

    let super_admin = STATE.get(view, SUPER_ADMIN)?.map(|Number(id)| id);
    let mut admins = 0;
    each(view, &ACCOUNTS, |key, account| {
        let name = folded_name(&account.name);
        let Number(id) = NAMES.need(view, name.as_bytes())?;
        let is_super = account.role == Role::SuperAdmin;
        admins += u64::from(is_super && account.is_working_admin());
        let fits = id == account.id.0 && is_super == (super_admin == Some(id));
        expect(ACCOUNTS.name, key, fits)
    })?;
    total(STATE.name, u64::from(super_admin.is_some()), admins)?;
    total(NAMES.name, NAMES.count(view)?, ACCOUNTS.count(view)?)?;
    each(view, &NAMES, |_, _| Ok(()))?;
    each(view, &KEYS, |key, api_key| {
        let known = ACCOUNTS.has(view, &account_key(api_key.account))?
            && OWNED.has(view, &owned_key(api_key.account, &api_key.lookup))?
            && PUBLICS.get(view, api_key.public_id.as_bytes())? == Some(KeyPlace(api_key.lookup));
        expect(KEYS.name, key, known)
    })?;
    let keys = KEYS.count(view)?;
    total(OWNED.name, OWNED.count(view)?, keys)?;
    total(PUBLICS.name, PUBLICS.count(view)?, keys)?;
    each(view, &OWNED, |_, _| Ok(()))?;
    verify_chunks(view)?;
    each(view, &BIRTHS, |key, _| {
        expect(BIRTHS.name, key, PLACES.has(view, key)?)
    })?;
    each(view, &CLOCK, |_, _| Ok(()))?;
    if view.has_table(MULTIPARTS.name)? {
        each(view, &MULTIPARTS, |_, _| Ok(()))?;
    }
    each(view, &STATE, |_, _| Ok(()))
}

/// Checks the uploads that come in chunks.
fn verify_chunks(view: &View) -> Result<(), MetadataError> {
    each(view, &SESSIONS, |key, session| {
        let blob = &session.blob.0;
        let fits = ACCOUNTS.has(view, &account_key(session.owner))?
            && IDLE.has(view, &due_key(session.touched, &session.lookup))?
            && UPLOADING.has(view, &owned_key(session.owner, &session.lookup))?
            && BUILDING.get(view, blob)? == Some(BuiltBy(session.lookup))
            && !BLOBS.has(view, blob)?
            && !ENDED.has(view, blob)?;
        expect(SESSIONS.name, key, fits)
    })?;
    let sessions = SESSIONS.count(view)?;
    total(IDLE.name, IDLE.count(view)?, sessions)?;
    total(UPLOADING.name, UPLOADING.count(view)?, sessions)?;
    total(BUILDING.name, BUILDING.count(view)?, sessions)?;
    each(view, &IDLE, |_, Mark| Ok(()))?;
    each(view, &UPLOADING, |_, Mark| Ok(()))?;
    each(view, &BUILDING, |_, _| Ok(()))?;
    each(view, &ENDED, |_, Mark| Ok(()))?;

    // Of the blob that the last chunk was of: its name, its size unless it has ended, and where the
    // next chunk may begin.
    let mut of: Option<(BlobId, Option<u64>, u64)> = None;
    each(view, &CHUNKS, |key, chunk| {
        let blob = BlobId(*key.first_chunk().unwrap_or(&[0; 16]));
        let (size, free) = match of {
            Some((last, size, free)) if last == blob => (size, free),
            _ => (size_of(view, &blob, CHUNKS.name, key)?, 0),
        };
        of = Some((blob, size, chunk.end()));
        let inside =
            size.is_none_or(|size| chunk.end() <= size && (chunk.length > 0) == (size > 0));
        expect(CHUNKS.name, key, free <= chunk.offset && inside)
    })?;
    each(view, &EDGES, |key, _| {
        let blob = BlobId(*key.first_chunk().unwrap_or(&[0; 16]));
        size_of(view, &blob, EDGES.name, key).map(drop)
    })
}

/// The size of the file whose chunks make `blob`; `None` when that has ended. `key` of `table` says that
/// it is one or the other.
fn size_of(
    view: &View,
    blob: &BlobId,
    table: &str,
    key: &[u8],
) -> Result<Option<u64>, MetadataError> {
    match BUILDING.get(view, &blob.0)? {
        Some(BuiltBy(lookup)) => Ok(Some(SESSIONS.need(view, &lookup.0)?.size)),
        None => expect(table, key, ENDED.has(view, &blob.0)?).map(|()| None),
    }
}

fn expect(table: &str, key: &[u8], fits: bool) -> Result<(), MetadataError> {
    fits.then_some(()).ok_or_else(|| codec::damaged(table, key))
}

fn total(table: &str, found: u64, expected: u64) -> Result<(), MetadataError> {
    if found == expected {
        return Ok(());
    }
    Err(MetadataError::Corrupt(format!(
        "table {table} has {found} entries where the others make {expected}"
    )))
}

/// Goes through a table in pages.
pub(super) fn each<R: Record>(
    view: &impl Snapshot,
    rows: &Rows<R>,
    mut look: impl FnMut(&[u8], R) -> Result<(), MetadataError>,
) -> Result<(), MetadataError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let page = rows.range(view, (start, Bound::Unbounded), PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (key, record) in page {
            look(&key, record)?;
        }
    }
}
