//! What each change does to the tables.
//!
//! Every function reads all it needs before it writes anything, so that a refusal, or a damaged
//! record, leaves nothing half done.

use super::codec;
use super::records::{Mark, Number, Tagged};
use super::schema::{
    ACCOUNTS, BLOBS, Change, DUE, GARBAGE, HELD, HOTLINKS, KEYS, LAST_ACCOUNT, LEASES, LINKS,
    NAMES, OWNERS, STATE, Snapshot, TAGS, account_key, due_key, held_key, owner_key, tail,
};
use super::{
    BlobSource, Freed, Hotlink, LinkCursor, LinkEdit, MetadataError, NewLink, Published, Taken,
};
use crate::model::{
    Account, AccountId, Allowance, ApiKey, Blob, BlobId, Lease, LeaseId, Link, Lookup, Timestamp,
};

type Result<T> = std::result::Result<T, MetadataError>;

/// A request that no correct caller makes. Nothing was changed.
fn refused(what: &str) -> MetadataError {
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

fn is_spent(link: &Link) -> bool {
    let Allowance {
        remaining,
        leased,
        unlimited,
        ..
    } = link.allowance;
    !unlimited && remaining == 0 && leased == 0
}

pub(super) fn cursor(link: &Link) -> LinkCursor {
    LinkCursor {
        created: link.created,
        lookup: link.lookup,
    }
}

/// Writes the changed row of a link, and moves its place in the due index.
fn put_link(to: &Change<'_>, old: &Link, new: &Link) -> Result<()> {
    let (was, is) = (due(old), due(new));
    if was != is {
        if let Some(at) = was {
            DUE.delete(to, &due_key(at, &new.lookup))?;
        }
        if let Some(at) = is {
            DUE.put(to, &due_key(at, &new.lookup), &Mark)?;
        }
    }
    LINKS.put(to, &new.lookup.0, new)
}

pub(super) fn publish(to: &Change<'_>, new: NewLink) -> Result<Published> {
    let NewLink {
        mut link,
        source,
        by_hotlink,
    } = new;
    if LINKS.has(to, &link.lookup.0)? {
        return Err(refused("a link of that hash is there"));
    }
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
            if BLOBS.has(to, &blob.id.0)? {
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
    if link.blob != blob.id {
        return Err(refused("a link with another blob than its own"));
    }
    link.allowance.leased = 0;

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
    OWNERS.put(to, &owner_key(link.owner, &cursor(&link)), &Mark)?;
    if let Some(at) = due(&link) {
        DUE.put(to, &due_key(at, &link.lookup), &Mark)?;
    }
    LINKS.put(to, &link.lookup.0, &link)?;
    Ok(Published::Done)
}

/// The open leases of a link.
fn leases_of(from: &impl Snapshot, link: &Lookup) -> Result<Vec<Lease>> {
    HELD.under(from, &link.0, usize::MAX)?
        .iter()
        .map(|(key, Mark)| LEASES.need(from, &tail::<16>(HELD.name, key)?))
        .collect()
}

/// Drops a lease; the link is the caller's business.
fn drop_lease(to: &Change<'_>, lease: &Lease) -> Result<()> {
    HELD.delete(to, &held_key(&lease.link, &lease.id))?;
    LEASES.delete(to, &lease.id.0)
}

/// Sets how many more downloads a link gives.
///
/// The number that the owner sets covers the downloads that are under way: leases count against
/// it, and what they give back cannot exceed it. Were it only a new `remaining`, a download that
/// began before would come on top, and N would become N+1. Leases beyond the number are revoked,
/// youngest first: their transfers find out when they ask to close and end incomplete. One that
/// is closing already cannot be called back, so it stays and takes the place of a new download.
///
/// Returns the leases to drop. While a link is unlimited, leases do not move `remaining`.
fn set_allowance(link: &mut Link, wanted: Allowance, mut leases: Vec<Lease>) -> Vec<Lease> {
    link.allowance.unlimited = wanted.unlimited;
    link.allowance.remaining = wanted.remaining;
    if wanted.unlimited {
        return Vec::new();
    }
    leases.sort_by_key(|lease| (!lease.closing, lease.taken, lease.id));
    let closing = leases.iter().filter(|lease| lease.closing).count();
    let room = usize::try_from(wanted.remaining).unwrap_or(usize::MAX);
    let revoked = leases.split_off(leases.len().min(room.max(closing)));
    // Fewer than were counted in a u32 before.
    link.allowance.leased = u32::try_from(leases.len()).unwrap_or(u32::MAX);
    link.allowance.remaining = wanted.remaining.saturating_sub(link.allowance.leased);
    revoked
}

pub(super) fn edit(to: &Change<'_>, lookup: &Lookup, edit: LinkEdit) -> Result<Option<Link>> {
    let Some(old) = LINKS.get(to, &lookup.0)? else {
        return Ok(None);
    };
    let mut new = old.clone();
    let mut revoked = Vec::new();
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
    if let Some((password, by_link)) = edit.password {
        new.password = password;
        new.by_link = by_link;
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
struct Removal {
    link: Link,
    leases: Vec<Lease>,
    blob: Blob,
}

impl Removal {
    fn plan(from: &impl Snapshot, link: Link) -> Result<Self> {
        Ok(Self {
            leases: leases_of(from, &link.lookup)?,
            blob: BLOBS.need(from, &link.blob.0)?,
            link,
        })
    }

    fn run(self, to: &Change<'_>) -> Result<Freed> {
        let Self {
            link,
            leases,
            mut blob,
        } = self;
        for lease in &leases {
            drop_lease(to, lease)?;
        }
        if let Some(hotlink) = &link.hotlink {
            HOTLINKS.delete(to, &hotlink.0)?;
        }
        OWNERS.delete(to, &owner_key(link.owner, &cursor(&link)))?;
        if let Some(at) = due(&link) {
            DUE.delete(to, &due_key(at, &link.lookup))?;
        }
        LINKS.delete(to, &link.lookup.0)?;

        blob.references = blob.references.saturating_sub(1);
        let freed = blob.references == 0;
        if freed {
            if let Some(tag) = &blob.tag {
                TAGS.delete(to, tag)?;
            }
            BLOBS.delete(to, &blob.id.0)?;
            GARBAGE.put(to, &blob.id.0, &Mark)?;
        } else {
            BLOBS.put(to, &blob.id.0, &blob)?;
        }
        Ok(Freed {
            link: Some(link.lookup),
            blob: freed.then_some(blob.id),
        })
    }
}

pub(super) fn remove(to: &Change<'_>, lookup: &Lookup) -> Result<Option<Freed>> {
    let Some(link) = LINKS.get(to, &lookup.0)? else {
        return Ok(None);
    };
    Removal::plan(to, link)?.run(to).map(Some)
}

/// One damaged link must not keep the others from ending: it is passed over and logged, and the
/// error comes only when nothing else was removed, so that a loop over the due links ends.
pub(super) fn remove_over(to: &Change<'_>, links: &[Lookup], now: Timestamp) -> Result<Vec<Freed>> {
    let mut freed = Vec::new();
    let mut damage = None;
    for lookup in links {
        let removal = LINKS.get(to, &lookup.0).and_then(|link| {
            link.filter(|link| link.is_over(now))
                .map(|link| Removal::plan(to, link))
                .transpose()
        });
        match removal {
            Ok(None) => {}
            Ok(Some(removal)) => freed.push(removal.run(to)?),
            Err(MetadataError::Corrupt(what)) => {
                log::error!("link {lookup} cannot be removed, the database is damaged: {what}");
                damage = Some(MetadataError::Corrupt(what));
            }
            Err(other) => return Err(other),
        }
    }
    match damage {
        Some(damage) if freed.is_empty() => Err(damage),
        _ => Ok(freed),
    }
}

pub(super) fn take_lease(to: &Change<'_>, lease: &Lease) -> Result<Taken> {
    let Some(old) = LINKS.get(to, &lease.link.0)? else {
        return Ok(Taken::Gone);
    };
    if !old.is_visible(lease.taken) {
        return Ok(Taken::Gone);
    }
    if old.allowance.unlimited {
        return Ok(Taken::Leased);
    }
    // Visible with nothing remaining means that leases hold the rest.
    let Some(remaining) = old.allowance.remaining.checked_sub(1) else {
        return Ok(Taken::Busy);
    };
    if LEASES.has(to, &lease.id.0)? {
        return Err(refused("a lease of that name is there"));
    }
    let mut new = old.clone();
    new.allowance.remaining = remaining;
    new.allowance.leased = old
        .allowance
        .leased
        .checked_add(1)
        .ok_or_else(|| refused("too many leases on one link"))?;
    LEASES.put(to, &lease.id.0, lease)?;
    HELD.put(to, &held_key(&lease.link, &lease.id), &Mark)?;
    put_link(to, &old, &new)?;
    Ok(Taken::Leased)
}

pub(super) fn close_lease(to: &Change<'_>, id: &LeaseId) -> Result<bool> {
    let Some(mut lease) = LEASES.get(to, &id.0)? else {
        return Ok(false);
    };
    if !lease.closing {
        lease.closing = true;
        LEASES.put(to, &id.0, &lease)?;
    }
    Ok(true)
}

pub(super) fn settle_lease(to: &Change<'_>, id: &LeaseId) -> Result<Freed> {
    let Some(lease) = LEASES.get(to, &id.0)? else {
        return Ok(Freed::default());
    };
    let old = LINKS.need(to, &lease.link.0)?;
    let mut new = old.clone();
    new.allowance.leased = old.allowance.leased.saturating_sub(1);
    new.allowance.count = old.allowance.count.saturating_add(1);
    if is_spent(&new) {
        // As it is in the tables: its place in the due index follows from that.
        return Removal::plan(to, old)?.run(to);
    }
    drop_lease(to, &lease)?;
    put_link(to, &old, &new)?;
    Ok(Freed::default())
}

pub(super) fn return_lease(to: &Change<'_>, id: &LeaseId) -> Result<()> {
    let Some(lease) = LEASES.get(to, &id.0)? else {
        return Ok(());
    };
    let old = LINKS.need(to, &lease.link.0)?;
    let mut new = old.clone();
    new.allowance.leased = old.allowance.leased.saturating_sub(1);
    // An edit made the link unlimited since: `remaining` is as the owner set it there.
    if !new.allowance.unlimited {
        new.allowance.remaining = old.allowance.remaining.saturating_add(1);
    }
    drop_lease(to, &lease)?;
    put_link(to, &old, &new)
}

/// A damaged row is passed over and logged: the other counts are worth keeping.
pub(super) fn add_downloads(to: &Change<'_>, counts: &[(Lookup, u64)]) -> Result<()> {
    for (lookup, downloads) in counts {
        match LINKS.get(to, &lookup.0) {
            Ok(Some(mut link)) if *downloads > 0 => {
                link.allowance.count = link.allowance.count.saturating_add(*downloads);
                LINKS.put(to, &lookup.0, &link)?;
            }
            Ok(_) => {}
            Err(MetadataError::Corrupt(what)) => {
                log::error!("downloads of link {lookup} are not counted: {what}");
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

pub(super) fn add_account(
    to: &Change<'_>,
    mut account: Account,
    mut key: ApiKey,
) -> Result<Option<AccountId>> {
    let name = account.name.to_ascii_lowercase();
    if NAMES.has(to, name.as_bytes())? {
        return Ok(None);
    }
    if KEYS.has(to, &key.lookup.0)? {
        return Err(refused("an API key of that hash is there"));
    }
    let last = STATE.get(to, LAST_ACCOUNT)?.map_or(0, |Number(last)| last);
    let number = last
        .checked_add(1)
        .ok_or_else(|| refused("no account number is left"))?;
    let id = AccountId(number);
    // The counter is behind the table only when it was damaged.
    if ACCOUNTS.has(to, &account_key(id))? {
        return Err(codec::damaged(STATE.name, LAST_ACCOUNT));
    }
    account.id = id;
    key.account = id;
    STATE.put(to, LAST_ACCOUNT, &Number(number))?;
    ACCOUNTS.put(to, &account_key(id), &account)?;
    NAMES.put(to, name.as_bytes(), &Number(number))?;
    KEYS.put(to, &key.lookup.0, &key)?;
    Ok(Some(id))
}

pub(super) fn add_api_key(to: &Change<'_>, key: &ApiKey) -> Result<()> {
    if KEYS.has(to, &key.lookup.0)? {
        return Err(refused("an API key of that hash is there"));
    }
    if !ACCOUNTS.has(to, &account_key(key.account))? {
        return Err(refused("an API key of no account"));
    }
    KEYS.put(to, &key.lookup.0, key)
}
