//! The account of bytes of every open lease. Pure: no clock, no database, no bytes.
//!
//! What it promises: **on one lease at most one client gets a whole file, and whoever gets a whole
//! file has been counted.** The proof, for a file whose last byte is L:
//!
//! 1. Bytes in flight are exclusive: no two transfers of a lease carry the same byte at one time.
//! 2. A lease settles at the instant when the union of the delivered bytes covers the file, and
//!    hands out nothing after that. Whichever byte completed the union was in no delivery before
//!    (else it would not have completed it) and is in none after, so it was delivered exactly
//!    once; only the client that got it can have the whole file.
//! 3. L goes to one client of a lease only: to the holder of its cookie, or else to one request
//!    that had only the address, after which nobody gets it on this lease. A lease on which L was
//!    delivered counts, at the latest when its time is over; only leases without that are given
//!    back. So parts collected on several leases make no whole file without one of them counting.
//! 4. The database knows that a lease is closing before L leaves. A crash therefore finds either a
//!    closing lease, which counts, or one on which nobody has L: on that the account starts empty,
//!    and the delivery of L settles it at once, which makes L again the byte of point 2.

use super::ranges::Ranges;
use crate::model::{BlobId, LeaseId, Lookup};
use crate::pipeline::seal::SEGMENT;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// The longest life of a lease, whatever goes on: 24 hours. Transfers that run go on.
pub(super) const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// What a broken transfer gives back of the bytes that were acknowledged: a client that dies may
/// not have read what its kernel has acknowledged.
pub(super) const GIVE_BACK: u64 = 8 * 1024 * 1024;
/// Leases that are kept in mind; the one that was silent longest goes when another comes.
pub(super) const LEASES: usize = 2048;
/// Leases of one link and address that are looked at for a request without a cookie.
const CANDIDATES: usize = 32;
/// Separate pieces in the account of one lease. A client that wants more needs another lease.
const PIECES: usize = 128;
/// A download whose last segment comes after no more than this many bytes takes its lease and
/// closes it in one commit.
const CLOSED_AT_ONCE: u64 = 64 * 1024;

/// Names a lease, with what finds it: link and address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Claim {
    pub(super) link: Lookup,
    pub(super) client: [u8; 16],
    pub(super) id: LeaseId,
}

/// How a request showed that a lease is its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bearer {
    /// It took the lease, or has its cookie.
    Owner,
    /// It comes from the address of the owner, no more.
    Neighbour,
}

/// How a lease ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It counts.
    Settle,
    /// It goes back to the link.
    Return,
}

/// What one transfer carries, in the order of sending. Never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cargo {
    pub(super) ranges: Vec<Range<u64>>,
    /// Bytes of the whole file; an empty file counts as one byte.
    pub(super) span: u64,
    /// Of which file: the bytes of a link may be replaced while leases on it are open.
    pub(super) blob: BlobId,
}

impl Cargo {
    fn has_last(&self) -> bool {
        self.ranges.iter().any(|r| r.contains(&(self.span - 1)))
    }

    /// Whether the last segment of the file leaves so soon that a commit of its own is not worth it.
    pub(super) fn closes_at_once(&self) -> bool {
        let last_segment = (self.span - 1) / SEGMENT as u64 * SEGMENT as u64;
        let mut before = 0;
        for range in &self.ranges {
            if range.end == self.span {
                return before + last_segment.saturating_sub(range.start) <= CLOSED_AT_ONCE;
            }
            before += range.end - range.start;
        }
        false
    }
}

/// The open leases.
#[derive(Default)]
pub(super) struct LeaseBook {
    leases: BTreeMap<Claim, Account>,
    /// How often leases were doubted so far.
    doubts: u64,
}

/// The bytes of one lease.
#[derive(Default)]
struct Account {
    /// The file that all of this is about; `None` until the first transfer after a restart.
    blob: Option<BlobId>,
    /// Ever acknowledged.
    delivered: Ranges,
    /// Handed out and not given back: not for neighbours.
    held: Ranges,
    /// On their way: for nobody.
    in_flight: Ranges,
    transfers: u32,
    /// Who got the last byte.
    last: Option<Bearer>,
    /// The database knows that the last byte may have left.
    closing: bool,
    /// Taken over from an earlier process: `delivered` tells less than was delivered.
    restored: bool,
    /// The owner of the link may have taken it back.
    doubted: bool,
    /// When it was taken and when something last happened, by a clock that never jumps.
    taken: Duration,
    active: Duration,
    /// It is over; the database may not know yet.
    end: Option<End>,
}

impl Account {
    fn grants(&self, bearer: Bearer, cargo: &Cargo, wanted: &Ranges, now: Duration) -> bool {
        let last = cargo.has_last();
        let same_file = self.blob.is_none_or(|blob| blob == cargo.blob);
        let open = self.end.is_none() && now.saturating_sub(self.taken) < LIFE;
        let taken = match bearer {
            Bearer::Owner => &self.in_flight,
            Bearer::Neighbour => &self.held,
        };
        // Only the owner may have it again, if it was the owner who had it.
        let to_owner = [self.last, Some(bearer)] == [Some(Bearer::Owner); 2];
        let last_is_gone = last && self.last.is_some() && !to_owner;
        let pieces = [&self.delivered, &self.held, &self.in_flight]
            .map(Ranges::pieces)
            .into_iter()
            .max();
        open && same_file
            && !last_is_gone
            && !wanted.meets(taken)
            && pieces.unwrap_or_default() + wanted.pieces() <= PIECES
    }

    fn start(&mut self, cargo: &Cargo, wanted: &Ranges, now: Duration) {
        self.blob = Some(cargo.blob);
        self.held.add_all(wanted);
        self.in_flight.add_all(wanted);
        self.transfers += 1;
        self.active = now;
    }

    /// What becomes of it when nothing more is asked for.
    fn end_by_time(&self) -> End {
        match self.last {
            Some(_) => End::Settle,
            None => End::Return,
        }
    }
}

impl LeaseBook {
    /// Continues the lease of that cookie, if it grants these bytes.
    pub(super) fn continue_as_owner(
        &mut self,
        claim: &Claim,
        cargo: &Cargo,
        now: Duration,
    ) -> bool {
        let wanted = Ranges::of(&cargo.ranges);
        let Some(account) = self.leases.get_mut(claim) else {
            return false;
        };
        let granted = account.grants(Bearer::Owner, cargo, &wanted, now);
        if granted {
            account.start(cargo, &wanted, now);
        }
        granted
    }

    /// Continues a lease on `link` from the same address, if one grants these bytes.
    pub(super) fn continue_as_neighbour(
        &mut self,
        link: &Lookup,
        client: &[u8; 16],
        cargo: &Cargo,
        now: Duration,
    ) -> Option<Claim> {
        let wanted = Ranges::of(&cargo.ranges);
        let name = |id| Claim {
            link: *link,
            client: *client,
            id: LeaseId(id),
        };
        self.leases
            .range_mut(name([0; 16])..=name([255; 16]))
            .take(CANDIDATES)
            .find(|(_, a)| a.grants(Bearer::Neighbour, cargo, &wanted, now))
            .map(|(claim, account)| {
                account.start(cargo, &wanted, now);
                *claim
            })
    }

    /// How often leases were doubted so far: to be asked before a lease is taken.
    pub(super) fn doubts(&self) -> u64 {
        self.doubts
    }

    /// Enters a lease that was just taken for these bytes, when there were that many `doubts`.
    pub(super) fn enter(
        &mut self,
        claim: Claim,
        cargo: &Cargo,
        closing: bool,
        doubts: u64,
        now: Duration,
    ) {
        let mut account = Account {
            closing,
            // Between the database and this book it may have been taken back already.
            doubted: doubts != self.doubts,
            taken: now,
            ..Account::default()
        };
        account.start(cargo, &Ranges::of(&cargo.ranges), now);
        self.leases.insert(claim, account);
    }

    /// Takes over a lease of an earlier process that is not closing: broken, its bytes unknown.
    pub(super) fn adopt(&mut self, claim: Claim, now: Duration) {
        let account = Account {
            restored: true,
            taken: now,
            active: now,
            ..Account::default()
        };
        self.leases.insert(claim, account);
    }

    /// Whether the database has to hear that the last byte is about to leave.
    pub(super) fn needs_closing(&self, claim: &Claim) -> bool {
        self.leases.get(claim).is_some_and(|a| !a.closing)
    }

    /// The database has heard it.
    pub(super) fn closed(&mut self, claim: &Claim) {
        if let Some(account) = self.leases.get_mut(claim) {
            account.closing = true;
        }
    }

    /// The owner of `link` changes the number of its downloads: the leases that are open now may
    /// be taken back.
    pub(super) fn doubt(&mut self, link: &Lookup) {
        let name = |byte| Claim {
            link: *link,
            client: [byte; 16],
            id: LeaseId([byte; 16]),
        };
        self.doubts += 1;
        for (_, account) in self.leases.range_mut(name(0)..=name(255)) {
            account.doubted = true;
        }
    }

    /// Whether a lease that the database does not know any more was taken back. Otherwise it went
    /// with its link, and whoever has begun may finish.
    pub(super) fn is_doubted(&self, claim: &Claim) -> bool {
        self.leases.get(claim).is_none_or(|a| a.doubted)
    }

    /// A transfer ended: `delivered` of its cargo was acknowledged, in the order of sending.
    /// Returns how the lease ends, if it does.
    pub(super) fn finish(
        &mut self,
        claim: &Claim,
        bearer: Bearer,
        cargo: &Cargo,
        delivered: &[Range<u64>],
        now: Duration,
    ) -> Option<End> {
        let account = self.leases.get_mut(claim)?;
        let carried = Ranges::of(&cargo.ranges);
        let arrived = Ranges::of(delivered);
        account.in_flight.remove_all(&carried);
        account.transfers -= 1;
        account.active = now;
        account.delivered.add_all(&arrived);

        let mut missing = carried;
        missing.remove_all(&arrived);
        if !missing.is_empty() {
            missing.add_all(&tail_of(delivered, GIVE_BACK));
            account.held.remove_all(&missing);
        }
        let last = cargo.span - 1;
        if arrived.contains(last) {
            account.last = Some(bearer);
        }
        if account.end.is_some() {
            return None;
        }
        let complete =
            account.delivered.covers(cargo.span) || (account.restored && account.last.is_some());
        let untouched = account.delivered.is_empty() && !account.restored;
        account.end = if complete {
            Some(End::Settle)
        } else if untouched && account.transfers == 0 {
            Some(End::Return)
        } else {
            None
        };
        account.end
    }

    /// The leases that are over: silent for `patience`, older than [`LIFE`], or over before and
    /// not forgotten yet. Marks them, so that nothing more is handed out on them.
    pub(super) fn over(&mut self, patience: Duration, now: Duration) -> Vec<(Claim, End)> {
        let mut over = Vec::new();
        for (claim, account) in &mut self.leases {
            let silent = account.transfers == 0
                && (now.saturating_sub(account.active) >= patience
                    || now.saturating_sub(account.taken) >= LIFE);
            if silent && account.end.is_none() {
                account.end = Some(account.end_by_time());
            }
            over.extend(account.end.map(|end| (*claim, end)));
        }
        over
    }

    /// Ends the lease that has been silent longest when the book is full. `Err` when every lease
    /// is busy.
    pub(super) fn make_room(&mut self) -> Result<Option<(Claim, End)>, ()> {
        if self.leases.len() < LEASES {
            return Ok(None);
        }
        let oldest = self
            .leases
            .iter_mut()
            .filter(|(_, a)| a.transfers == 0 && a.end.is_none())
            .min_by_key(|(_, a)| a.active)
            .ok_or(())?;
        let end = oldest.1.end_by_time();
        oldest.1.end = Some(end);
        Ok(Some((*oldest.0, end)))
    }

    /// The database knows the end of this lease.
    pub(super) fn forget(&mut self, claim: &Claim) {
        self.leases.remove(claim);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }
}

/// The last `length` bytes of what was sent in this order.
fn tail_of(sent: &[Range<u64>], mut length: u64) -> Ranges {
    let mut tail = Ranges::default();
    for range in sent.iter().rev() {
        let take = length.min(range.end - range.start);
        tail.add(&(range.end - take..range.end));
        length -= take;
    }
    tail
}
