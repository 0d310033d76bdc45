//! What each step of a lease does to the tables.
//!
//! `leased` of a link is at all times the number of its rows here, and a lease comes to exactly one
//! of three ends: settled, returned, or dropped with its link (or by an edit of it).

use super::changes::{Removal, is_spent, put_link, refused};
use super::keys::{held_key, tail};
use super::records::Mark;
use super::schema::{Change, HELD, LEASES, Snapshot, find_link, need_link};
use super::{Freed, MetadataError, Taken};
use crate::model::{Allowance, Lease, LeaseId, Link, Lookup};
use std::ops::Bound;

type Result<T> = std::result::Result<T, MetadataError>;

/// The open leases of a link.
pub(super) fn leases_of(from: &impl Snapshot, link: &Lookup) -> Result<Vec<Lease>> {
    HELD.under(from, &link.0, usize::MAX)?
        .iter()
        .map(|(key, Mark)| LEASES.need(from, &tail::<16>(HELD.name, key)?))
        .collect()
}

/// Every open lease whose record is sound.
pub(super) fn all(from: &impl Snapshot) -> Result<Vec<Lease>> {
    let everything = (Bound::Unbounded, Bound::Unbounded);
    let rows = LEASES.sound_range(from, everything, usize::MAX)?;
    Ok(rows.into_iter().map(|(_, lease)| lease).collect())
}

/// Drops a lease; the link is the caller's business.
pub(super) fn drop_lease(to: &Change<'_>, lease: &Lease) -> Result<()> {
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
pub(super) fn set_allowance(
    link: &mut Link,
    wanted: Allowance,
    mut leases: Vec<Lease>,
) -> Vec<Lease> {
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

/// The link before and after one download is taken from it, or why none is.
fn taken(from: &impl Snapshot, lease: &Lease) -> Result<std::result::Result<(Link, Link), Taken>> {
    let Some(old) = find_link(from, &lease.link)? else {
        return Ok(Err(Taken::Gone));
    };
    if !old.is_visible(lease.taken) {
        return Ok(Err(Taken::Gone));
    }
    if old.allowance.unlimited {
        return Ok(Err(Taken::Unlimited));
    }
    // Visible with nothing remaining means that leases hold the rest.
    let Some(remaining) = old.allowance.remaining.checked_sub(1) else {
        return Ok(Err(Taken::Busy));
    };
    if LEASES.has(from, &lease.id.0)? {
        return Err(refused("a lease of that name is there"));
    }
    let mut new = old.clone();
    new.allowance.remaining = remaining;
    new.allowance.leased = old
        .allowance
        .leased
        .checked_add(1)
        .ok_or_else(|| refused("too many leases on one link"))?;
    Ok(Ok((old, new)))
}

pub(super) fn take_lease(to: &Change<'_>, lease: &Lease) -> Result<Taken> {
    let (old, new) = match taken(to, lease)? {
        Ok(rows) => rows,
        Err(why) => return Ok(why),
    };
    LEASES.put(to, &lease.id.0, lease)?;
    HELD.put(to, &held_key(&lease.link, &lease.id), &Mark)?;
    put_link(to, &old, &new)?;
    Ok(Taken::Leased)
}

/// All of them, or none.
pub(super) fn take_leases(to: &Change<'_>, leases: &[Lease]) -> Result<Vec<Taken>> {
    let mut links: Vec<_> = leases.iter().map(|lease| lease.link).collect();
    links.sort_unstable();
    if links.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refused("two downloads of one link in one step"));
    }
    let answers = leases.iter().map(|lease| {
        let taken = taken(to, lease)?;
        Ok(taken.err().unwrap_or(Taken::Leased))
    });
    let answers = answers.collect::<Result<Vec<_>>>()?;
    if answers
        .iter()
        .any(|a| matches!(a, Taken::Busy | Taken::Gone))
    {
        return Ok(answers);
    }
    for lease in leases {
        take_lease(to, lease)?;
    }
    Ok(answers)
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
    let old = need_link(to, &lease.link)?;
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

/// One damaged link must not keep the others from being settled, nor the server from starting.
pub(super) fn settle_closing(to: &Change<'_>) -> Result<Vec<Freed>> {
    let mut freed = Vec::new();
    for lease in all(to)?.iter().filter(|lease| lease.closing) {
        match settle_lease(to, &lease.id) {
            Ok(settled) => freed.push(settled),
            Err(MetadataError::Corrupt(what)) => {
                log::error!("link={} a download is not settled: {what}", lease.link);
            }
            Err(other) => return Err(other),
        }
    }
    Ok(freed)
}

pub(super) fn return_lease(to: &Change<'_>, id: &LeaseId) -> Result<()> {
    let Some(lease) = LEASES.get(to, &id.0)? else {
        return Ok(());
    };
    let old = need_link(to, &lease.link)?;
    let mut new = old.clone();
    new.allowance.leased = old.allowance.leased.saturating_sub(1);
    // An edit made the link unlimited since: `remaining` is as the owner set it there.
    if !new.allowance.unlimited {
        new.allowance.remaining = old.allowance.remaining.saturating_add(1);
    }
    drop_lease(to, &lease)?;
    put_link(to, &old, &new)
}

/// One damaged link must not keep the others from their ends.
pub(super) fn end_leases(
    to: &Change<'_>,
    settled: &[LeaseId],
    returned: &[LeaseId],
) -> Result<Vec<Freed>> {
    let settled = settled.iter().map(|id| settle_lease(to, id));
    let returned = returned
        .iter()
        .map(|id| return_lease(to, id).map(|()| Freed::default()));
    let mut freed = Vec::new();
    for ended in settled.chain(returned) {
        match ended {
            Ok(one) => freed.push(one),
            Err(MetadataError::Corrupt(what)) => {
                log::error!("a download has not ended in the database: {what}");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(freed)
}
