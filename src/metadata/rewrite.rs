//! Other bytes, or another owner, for a link that stays: what was wrapped for it is wrapped anew by the
//! caller, who has the keys, and takes effect only if nobody changed the link meanwhile.

use super::accounts::is_removed;
use super::changes::{Removal, put_link, refused, release};
use super::keys::key_of;
use super::records::Place;
use super::schema::{BLOBS, Change, HOTLINKS, LINKS, PLACES, TAGS, find_link};
use super::{Freed, Hotlink, MetadataError, Rewritten};
use crate::model::{Link, Lookup};

type Result<T> = std::result::Result<T, MetadataError>;

/// A link as it shall be.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// Owner, bytes, label, hotlink and wraps are taken from here. Its age, its ends and its password
    /// stay as they are by now.
    pub link: Link,
    /// The [`Link::by_owner`] that this was made from.
    pub seen: Vec<u8>,
    /// The content key under the hotlink's key: where the hotlink or the bytes are others than before.
    pub by_hotlink: Option<Vec<u8>>,
    /// The link that the bytes come from.
    pub donor: Option<Donor>,
}

/// A link whose bytes become those of another.
#[derive(Clone, Debug)]
pub struct Donor {
    /// Which.
    pub lookup: Lookup,
    /// Its [`Link::by_owner`], as it was read.
    pub seen: Vec<u8>,
    /// Whether it goes with that.
    pub remove: bool,
}

pub(super) fn rewrite(to: &Change<'_>, change: Rewrite) -> Result<Rewritten> {
    let Rewrite {
        link: wanted,
        seen,
        by_hotlink,
        donor,
    } = change;
    let Some(old) = find_link(to, &wanted.lookup)? else {
        return Ok(Rewritten::Gone);
    };
    if is_removed(to, wanted.owner)? {
        return Ok(Rewritten::Gone);
    }
    if old.by_owner != seen {
        return Ok(Rewritten::Outdated);
    }
    let mut removed = None;
    if let Some(donor) = donor {
        let Some(link) = find_link(to, &donor.lookup)? else {
            return Ok(Rewritten::Gone);
        };
        if link.by_owner != donor.seen {
            return Ok(Rewritten::Outdated);
        }
        if link.lookup == old.lookup || link.blob != wanted.blob {
            return Err(refused("bytes that the donor does not have"));
        }
        if donor.remove {
            // Planned once more when it goes: then its blob has another reference.
            Removal::plan(to, link.clone())?;
            removed = Some(link);
        }
    }
    let new = Link {
        created: old.created,
        expiry: old.expiry,
        allowance: old.allowance,
        pending_delete: old.pending_delete,
        password: old.password,
        ..wanted
    };
    let other_bytes = new.blob != old.blob;
    let other_hotlink = new.hotlink != old.hotlink;
    let mut gained = BLOBS.need(to, &new.blob.0)?;
    if (new.format, new.size) != (gained.format, gained.size) {
        return Err(refused("a link with another blob than its own"));
    }
    if other_bytes {
        gained.references = gained
            .references
            .checked_add(1)
            .ok_or_else(|| refused("too many links share one blob"))?;
    }
    let lost = BLOBS.need(to, &old.blob.0)?;
    let hotlink = match (new.hotlink, by_hotlink) {
        (Some(lookup), Some(by_hotlink)) => Some((lookup, by_hotlink)),
        (Some(_), None) if other_bytes || other_hotlink => {
            return Err(refused("a hotlink without its key"));
        }
        (Some(_), None) | (None, None) => None,
        (None, Some(_)) => return Err(refused("the key of no hotlink")),
    };
    if let Some(lookup) = &new.hotlink
        && other_hotlink
        && HOTLINKS.has(to, &lookup.0)?
    {
        return Err(refused("a hotlink of that hash is there"));
    }

    let mut freed = Vec::new();
    if other_bytes {
        BLOBS.put(to, &gained.id.0, &gained)?;
        freed.push(Freed {
            link: None,
            blob: release(to, lost)?,
        });
    }
    if let Some(hotlink) = &old.hotlink
        && other_hotlink
    {
        HOTLINKS.delete(to, &hotlink.0)?;
    }
    if let Some((lookup, by_hotlink)) = hotlink {
        let entry = Hotlink {
            link: new.lookup,
            by_hotlink,
        };
        HOTLINKS.put(to, &lookup.0, &entry)?;
    }
    match new.owner == old.owner {
        true => put_link(to, &old, &new)?,
        false => hand_over(to, &old, &new)?,
    }
    if let Some(donor) = removed {
        freed.push(Removal::plan(to, donor)?.run(to)?);
    }
    Ok(Rewritten::Done(Box::new(new), freed))
}

/// Puts a link among those of its new owner. The tag of bytes that no other link has goes with that: it is among
/// those of the owner that they had.
pub(super) fn hand_over(to: &Change<'_>, old: &Link, new: &Link) -> Result<()> {
    let mut blob = BLOBS.need(to, &new.blob.0)?;
    if blob.references == 1
        && let Some(tag) = blob.tag.take()
    {
        TAGS.delete(to, &tag)?;
        BLOBS.put(to, &blob.id.0, &blob)?;
    }
    let place = Place {
        owner: new.owner,
        created: new.created,
    };
    LINKS.delete(to, &key_of(old))?;
    PLACES.put(to, &new.lookup.0, &place)?;
    put_link(to, old, new)
}
