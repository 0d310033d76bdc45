//! Bytes on their way on a lease: taken from the book, from the database where no lease has them, and accounted for
//! however that ends.

use super::lease_book::{Bearer, Cargo, Claim, End, LeaseBook};
use super::{Error, Service, events, limiter};
use crate::metadata::Taken;
use crate::model::{Lease, LeaseId, Lookup};
use crate::pipeline::seal::keys;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// What an empty file takes from a lease: one byte that is not there.
pub(super) const EMPTY_FILE: Range<u64> = 0..1;
/// The longest wait that a busy link asks for: a broken download may come back any time.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// The bytes of one download, taken from a lease. Whatever happens to it, they are accounted for.
pub(super) struct Transfer {
    service: Arc<Service>,
    peer: IpAddr,
    pub(super) claim: Claim,
    pub(super) bearer: Bearer,
    cargo: Cargo,
    /// The last byte may have left.
    pub(super) last_left: bool,
    finished: bool,
}

impl Transfer {
    /// The bytes of `cargo`, which the book has entered under `claim`.
    pub(super) fn new(
        service: &Arc<Service>,
        peer: IpAddr,
        claim: Claim,
        bearer: Bearer,
        cargo: Cargo,
    ) -> Self {
        Self {
            service: Arc::clone(service),
            peer,
            claim,
            bearer,
            cargo,
            last_left: false,
            finished: false,
        }
    }

    /// Makes durable that the last byte leaves now.
    pub(super) fn before_last(&mut self) -> io::Result<()> {
        if self.service.book().needs_closing(&self.claim) {
            let closing = self.service.parts.metadata.close_lease(&self.claim.id);
            let closing = closing.map_err(|error| io::Error::other(self.service.failed(error)))?;
            if !closing && self.service.book().is_doubted(&self.claim) {
                return Err(io::Error::other("the owner has taken this download back"));
            }
            self.service.book().closed(&self.claim);
        }
        self.last_left = true;
        Ok(())
    }

    /// Accounts for what was delivered.
    pub(super) fn finish(&mut self, delivered: &[Range<u64>]) {
        if let Some((claim, end)) = self.leave(delivered) {
            // A failure is logged there; the sweep tries again.
            let _ = self.service.end_lease(&claim, end, Some(self.peer));
        }
    }

    /// Accounts for what was delivered in the book only: if the lease has ended with it, the database is
    /// still to be told.
    pub(super) fn leave(&mut self, delivered: &[Range<u64>]) -> Option<(Claim, End)> {
        self.finished = true;
        let now = self.service.parts.clock.elapsed();
        let end = self
            .service
            .book()
            .finish(&self.claim, self.bearer, &self.cargo, delivered, now);
        end.map(|end| (self.claim, end))
    }

    /// What was delivered when nobody says: unsent, nothing. Broken off by a panic behind the last byte, all
    /// of it, because nobody can tell.
    pub(super) fn presumed(&self) -> Vec<Range<u64>> {
        match self.last_left {
            true => self.cargo.ranges.clone(),
            false => Vec::new(),
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.finish(&self.presumed());
    }
}

impl Service {
    /// Finds the lease that these bytes belong to, or takes one. None: the link is unlimited by now.
    pub(super) fn transfer(
        self: &Arc<Self>,
        link: &Lookup,
        cargo: Cargo,
        cookie: Option<&str>,
        peer: IpAddr,
    ) -> Result<Option<Transfer>, Error> {
        let clock = &self.parts.clock;
        let client = keys::client_tag(&self.parts.server_key, &limiter::address_block(peer));
        let transfer = |claim, bearer, cargo| Transfer::new(self, peer, claim, bearer, cargo);
        let owned = cookie.and_then(|cookie| self.open_lease(link, cookie));
        {
            let mut book = self.book();
            let now = clock.elapsed();
            if let Some(claim) = owned
                && book.continue_as_owner(&claim, &cargo, now)
            {
                return Ok(Some(transfer(claim, Bearer::Owner, cargo)));
            }
            let found = book.continue_as_neighbour(link, &client, &cargo, now);
            if let Some(claim) = found {
                return Ok(Some(transfer(claim, Bearer::Neighbour, cargo)));
            }
        }
        let busy = || self.busy(link, peer);
        // Not in the head of the match: that would hold the book while a lease is ended.
        let room = self.book().make_room();
        match room {
            Ok(None) => {}
            Ok(Some((claim, end))) => self.end_lease(&claim, end, None)?,
            Err(()) => return Err(busy()),
        }
        let doubts = self.book().doubts();
        let closing = cargo.closes_at_once();
        let lease = Lease {
            id: LeaseId(keys::random()),
            link: *link,
            taken: clock.now(),
            client,
            closing,
        };
        match self.parts.metadata.take_lease(&lease) {
            Ok(Taken::Leased) => {
                let claim = Claim {
                    link: lease.link,
                    client,
                    id: lease.id,
                };
                self.book()
                    .enter(claim, &cargo, closing, doubts, clock.elapsed());
                Ok(Some(transfer(claim, Bearer::Owner, cargo)))
            }
            Ok(Taken::Unlimited) => Ok(None),
            Ok(Taken::Busy) => Err(busy()),
            Ok(Taken::Gone) => Err(Error::NotFound),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Open downloads hold all that are left of a link.
    pub(super) fn busy(&self, link: &Lookup, peer: IpAddr) -> Error {
        events::link_busy(link, peer);
        Error::Busy(self.policy.lease.min(BUSY_MAX))
    }

    /// Writes the end of a lease into the database and removes what that frees. `by` is where the
    /// transfer went that ended it, if one did.
    ///
    /// # Errors
    /// [`Error::Internal`]; the lease is then tried again by the sweep.
    pub(super) fn end_lease(
        &self,
        claim: &Claim,
        end: End,
        by: Option<IpAddr>,
    ) -> Result<(), Error> {
        let metadata = &self.parts.metadata;
        let result = match end {
            End::Settle => metadata.settle_lease(&claim.id).map(Some),
            End::Return => metadata.return_lease(&claim.id).map(|()| None),
        };
        let freed = result.map_err(|error| self.failed(error))?;
        self.book().forget(claim);
        events::lease_ended(&claim.link, end, by);
        if let Some(freed) = freed {
            self.dispose(&freed);
        }
        Ok(())
    }

    /// The open leases. A panic elsewhere cannot leave them half changed: each change is one call.
    pub(super) fn book(&self) -> MutexGuard<'_, LeaseBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
