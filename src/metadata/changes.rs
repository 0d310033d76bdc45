//! What each change does to the tables.
//!
//! Every function reads all it needs before it writes anything, so that a refusal, or a damaged
//! record, leaves nothing half done.

use super::accounts::is_removed;
use super::keys::{due_key, key_of};
use super::leases::{drop_lease, leases_of, set_allowance};
use super::records::{Mark, Place, Tagged};
use super::schema::{
    BIRTHS, BLOBS, Change, DUE, GARBAGE, HOTLINKS, LINKS, PLACES, Snapshot, TAGS, find_link,
};
use super::{
    BlobSource, Freed, Hotlink, LinkEdit, MetadataError, NewLink, Published, chunks, ended,
};
use crate::model::{Allowance, Blob, BlobId, Lease, Link, Lookup, Timestamp};

type Result<T> = std::result::Result<T, MetadataError>;

/// A request that no correct caller makes. Nothing was changed.
pub(super) fn refused(what: &str) -> MetadataError {
    MetadataError::Unavailable(format!("refused: {what}"))
}

/// When the sweeper has to look at a link. One without downloads is due at once: it can come to
/// that without a settled lease, by an edit.
pub(super) fn due(link: &Link) -> Option<Timestamp> {
    if is_spent(link) {
        return Some(Timestamp(i64::MIN));
    }
    link.due()
}

pub(super) fn is_spent(link: &Link) -> bool {
    let Allowance {
        remaining,
        leased,
        unlimited,
        ..
    } = link.allowance;
    !unlimited && remaining == 0 && leased == 0
}

/// Writes the changed row of a link, and moves it in the due index. Owner and age do not change.
pub(super) fn put_link(to: &Change<'_>, old: &Link, new: &Link) -> Result<()> {
    let (was, is) = (due(old), due(new));
    if was != is {
        if let Some(at) = was {
            DUE.delete(to, &due_key(at, &new.lookup))?;
        }
        if let Some(at) = is {
            DUE.put(to, &due_key(at, &new.lookup), &Mark)?;
        }
    }
    LINKS.put(to, &key_of(new), new)
}

pub(super) fn publish(to: &Change<'_>, new: NewLink) -> Result<Published> {
    if PLACES.has(to, &new.link.lookup.0)? {
        return Err(refused("a link of that hash is there"));
    }
    if is_removed(to, new.link.owner)? {
        return Ok(Published::OwnerGone);
    }
    let session = match &new.session {
        None => None,
        Some(lookup) => match chunks::to_publish(to, lookup, &new)? {
            None => return Ok(Published::SessionGone),
            session => session,
        },
    };
    let NewLink {
        mut link,
        source,
        by_hotlink,
        birth,
        session: _,
    } = new;
    let hotlink = match (link.hotlink, by_hotlink) {
        (Some(lookup), Some(by_hotlink)) => Some((lookup, by_hotlink)),
        (None, None) => None,
        _ => return Err(refused("a hotlink without its key")),
    };
    if let Some((lookup, _)) = &hotlink
        && HOTLINKS.has(to, &lookup.0)?
    {
        return Err(refused("a hotlink of that hash is there"));
    }
    let (blob, tagged) = match source {
        BlobSource::New {
            mut blob,
            by_plaintext,
        } => {
            let is_built = session.is_none() && chunks::is_building(to, &blob.id)?;
            if is_built || BLOBS.has(to, &blob.id.0)? {
                return Err(refused("a blob of that name is there"));
            }
            blob.references = 1;
            let tagged = match (blob.tag, by_plaintext) {
                (Some(tag), Some(by_plaintext)) => Some((tag, by_plaintext)),
                (None, None) => None,
                _ => return Err(refused("a tag without its key")),
            };
            match tagged {
                // Another blob has the tag by now: this one stays outside the index, and must not
                // take the other's entry with it when it goes.
                Some((tag, _)) if TAGS.has(to, &tag)? => {
                    blob.tag = None;
                    (blob, None)
                }
                tagged => (blob, tagged),
            }
        }
        BlobSource::Shared(id) => {
            let Some(mut blob) = BLOBS.get(to, &id.0)? else {
                return Ok(Published::SharedBlobGone);
            };
            blob.references = blob
                .references
                .checked_add(1)
                .ok_or_else(|| refused("too many links share one blob"))?;
            (blob, None)
        }
    };
    if (link.blob, link.format) != (blob.id, blob.format) {
        return Err(refused("a link with another blob than its own"));
    }
    link.allowance.leased = 0;

    if let Some(session) = &session {
        ended::end(to, session)?;
    }
    BLOBS.put(to, &blob.id.0, &blob)?;
    if let Some((tag, by_plaintext)) = tagged {
        let entry = Tagged {
            blob: blob.id,
            by_plaintext,
        };
        TAGS.put(to, &tag, &entry)?;
    }
    if let Some((lookup, by_hotlink)) = hotlink {
        let entry = Hotlink {
            link: link.lookup,
            by_hotlink,
        };
        HOTLINKS.put(to, &lookup.0, &entry)?;
    }
    if let Some(at) = due(&link) {
        DUE.put(to, &due_key(at, &link.lookup), &Mark)?;
    }
    let place = Place {
        owner: link.owner,
        created: link.created,
    };
    if let Some(birth) = birth {
        BIRTHS.put(to, &link.lookup.0, &birth)?;
    }
    PLACES.put(to, &link.lookup.0, &place)?;
    LINKS.put(to, &key_of(&link), &link)?;
    Ok(Published::Done)
}

pub(super) fn edit(to: &Change<'_>, lookup: &Lookup, edit: LinkEdit) -> Result<Option<Link>> {
    let Some(old) = find_link(to, lookup)? else {
        return Ok(None);
    };
    if let Some(password) = &edit.password
        && password.seen != old.by_owner
    {
        return Ok(Some(old));
    }
    let mut new = old.clone();
    let mut revoked = Vec::new();
    // An end that somebody named is right as it is.
    let named = edit.expiry.is_some() && BIRTHS.has(to, &lookup.0)?;
    if let Some(expiry) = edit.expiry {
        new.expiry = expiry;
    }
    if let Some(allowance) = edit.allowance {
        let leases = leases_of(to, lookup)?;
        revoked = set_allowance(&mut new, allowance, leases);
    }
    if let Some(pending_delete) = edit.pending_delete {
        new.pending_delete = pending_delete;
    }
    if let Some(password) = edit.password {
        new.password = password.params;
        new.by_link = password.by_link;
        new.by_owner = password.by_owner;
    }
    if named {
        BIRTHS.delete(to, &lookup.0)?;
    }
    if new != old {
        for lease in &revoked {
            drop_lease(to, lease)?;
        }
        put_link(to, &old, &new)?;
    }
    Ok(Some(new))
}

/// All that goes with a link.
pub(super) struct Removal {
    link: Link,
    leases: Vec<Lease>,
    blob: Blob,
}

impl Removal {
    /// Reads all that goes.
    pub(super) fn plan(from: &impl Snapshot, link: Link) -> Result<Self> {
        Ok(Self {
            leases: leases_of(from, &link.lookup)?,
            blob: BLOBS.need(from, &link.blob.0)?,
            link,
        })
    }

    /// Removes it.
    pub(super) fn run(self, to: &Change<'_>) -> Result<Freed> {
        let Self { link, leases, blob } = self;
        for lease in &leases {
            drop_lease(to, lease)?;
        }
        if let Some(hotlink) = &link.hotlink {
            HOTLINKS.delete(to, &hotlink.0)?;
        }
        if let Some(at) = due(&link) {
            DUE.delete(to, &due_key(at, &link.lookup))?;
        }
        // Asked first: to delete what is not there would write all the same.
        if BIRTHS.has(to, &link.lookup.0)? {
            BIRTHS.delete(to, &link.lookup.0)?;
        }
        PLACES.delete(to, &link.lookup.0)?;
        LINKS.delete(to, &key_of(&link))?;

        Ok(Freed {
            link: Some(link.lookup),
            blob: release(to, blob)?,
        })
    }
}

/// Takes one reference from a blob; with the last of them it goes.
pub(super) fn release(to: &Change<'_>, mut blob: Blob) -> Result<Option<BlobId>> {
    blob.references = blob.references.saturating_sub(1);
    if blob.references > 0 {
        BLOBS.put(to, &blob.id.0, &blob)?;
        return Ok(None);
    }
    if let Some(tag) = &blob.tag {
        TAGS.delete(to, tag)?;
    }
    BLOBS.delete(to, &blob.id.0)?;
    GARBAGE.put(to, &blob.id.0, &Mark)?;
    Ok(Some(blob.id))
}

pub(super) fn remove(to: &Change<'_>, lookup: &Lookup) -> Result<Option<Freed>> {
    let Some(link) = find_link(to, lookup)? else {
        return Ok(None);
    };
    Removal::plan(to, link)?.run(to).map(Some)
}

/// One damaged link must not keep the others from ending: it is logged and passed over.
pub(super) fn remove_over(to: &Change<'_>, links: &[Lookup], now: Timestamp) -> Result<Vec<Freed>> {
    let mut freed = Vec::new();
    for lookup in links {
        let removal = find_link(to, lookup).and_then(|link| {
            link.filter(|link| link.is_over(now))
                .map(|link| Removal::plan(to, link))
                .transpose()
        });
        match removal {
            Ok(None) => {}
            Ok(Some(removal)) => freed.push(removal.run(to)?),
            Err(MetadataError::Corrupt(what)) => {
                log::error!("link={lookup} cannot be removed, the database is damaged: {what}");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(freed)
}

/// A damaged row is passed over and logged: the other counts are worth keeping.
pub(super) fn add_downloads(to: &Change<'_>, counts: &[(Lookup, u64)]) -> Result<()> {
    for (lookup, downloads) in counts {
        match find_link(to, lookup) {
            Ok(Some(mut link)) if *downloads > 0 => {
                link.allowance.count = link.allowance.count.saturating_add(*downloads);
                LINKS.put(to, &key_of(&link), &link)?;
            }
            Ok(_) => {}
            Err(MetadataError::Corrupt(what)) => {
                log::error!("link={lookup} its downloads are not counted: {what}");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

pub(super) fn collected(to: &Change<'_>, ids: &[BlobId]) -> Result<()> {
    for id in ids {
        if GARBAGE.has(to, &id.0)? {
            GARBAGE.delete(to, &id.0)?;
        }
    }
    Ok(())
}
