//! Leases on many files for one answer, which brings them one behind the other. What a single download does
//! with one commit for each step, this does with one for many files.
//!
//! What it promises: all leases are had before the first byte, or none is; and a crash counts no file whose last
//! byte was further away than [`AHEAD`].

use super::lease_book::{Bearer, Cargo, Claim, End};
use super::transfer::Transfer;
use super::{Error, Service, events, limiter};
use crate::metadata::Taken;
use crate::model::{Lease, LeaseId, Lookup};
use crate::pipeline::seal::keys;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// Leases in one commit.
const PAGE: usize = 128;
/// Files whose last bytes leave within so many bytes are closed together.
pub(super) const AHEAD: u64 = 64 * 1024;

/// The leases of one answer, one for each file that has a limit. Dropping it gives back what was not sent.
pub(super) struct Transfers {
    service: Arc<Service>,
    peer: IpAddr,
    each: Vec<Option<Transfer>>,
}

impl Transfers {
    /// Takes or continues a lease for each whole file that has a limit: `None` stands for one that has none.
    ///
    /// # Errors
    /// As [`Service::download`], for the first file that is not to be had; then nothing is taken.
    pub(super) fn take(
        service: &Arc<Service>,
        files: Vec<Option<(Lookup, Cargo)>>,
        peer: IpAddr,
    ) -> Result<Self, Error> {
        let address = limiter::address_block(peer);
        let client = keys::client_tag(&service.parts.server_key, &address);
        let mut taken = Self {
            service: Arc::clone(service),
            peer,
            each: Vec::with_capacity(files.len()),
        };
        let mut missing = Vec::new();
        {
            let mut book = service.book();
            let now = service.parts.clock.elapsed();
            for file in files {
                let Some((link, cargo)) = file else {
                    taken.each.push(None);
                    continue;
                };
                match book.continue_as_neighbour(&link, &client, &cargo, now) {
                    Some(claim) => {
                        let bearer = Bearer::Neighbour;
                        let transfer = Transfer::new(service, peer, claim, bearer, cargo);
                        taken.each.push(Some(transfer));
                    }
                    None => {
                        missing.push((taken.each.len(), link, cargo));
                        taken.each.push(None);
                    }
                }
            }
        }
        let mut missing = missing.into_iter().peekable();
        while missing.peek().is_some() {
            let page: Vec<_> = missing.by_ref().take(PAGE).collect();
            taken.lease(client, page)?;
        }
        Ok(taken)
    }

    /// Takes new leases, in one step.
    fn lease(&mut self, client: [u8; 16], page: Vec<(usize, Lookup, Cargo)>) -> Result<(), Error> {
        let service = &self.service;
        for (_, link, _) in &page {
            let room = service.book().make_room();
            match room {
                Ok(None) => {}
                Ok(Some((claim, end))) => service.end_lease(&claim, end, None)?,
                Err(()) => return Err(service.busy(link, self.peer)),
            }
        }
        let doubts = service.book().doubts();
        let taken_at = service.parts.clock.now();
        let leases: Vec<_> = page
            .iter()
            .map(|(_, link, _)| Lease {
                id: LeaseId(keys::random()),
                link: *link,
                taken: taken_at,
                client,
                closing: false,
            })
            .collect();
        let answers = service.parts.metadata.take_leases(&leases);
        let answers = answers.map_err(|error| service.failed(error))?;
        for (answer, lease) in answers.iter().zip(&leases) {
            match answer {
                Taken::Busy => return Err(service.busy(&lease.link, self.peer)),
                Taken::Gone => return Err(Error::NotFound),
                Taken::Leased | Taken::Unlimited => {}
            }
        }
        let now = service.parts.clock.elapsed();
        for ((answer, lease), (at, link, cargo)) in answers.iter().zip(&leases).zip(page) {
            if *answer == Taken::Leased {
                let claim = Claim {
                    link,
                    client,
                    id: lease.id,
                };
                service.book().enter(claim, &cargo, false, doubts, now);
                let transfer = Transfer::new(service, self.peer, claim, Bearer::Owner, cargo);
                self.each[at] = Some(transfer);
            }
        }
        Ok(())
    }

    /// Whether a file is on a lease.
    pub(super) fn has(&self, file: usize) -> bool {
        self.each[file].is_some()
    }

    /// Makes durable that the last byte of a file leaves now, and those of the next files, before `until`, soon.
    pub(super) fn before_last(&mut self, file: usize, until: usize) -> io::Result<()> {
        let service = &self.service;
        let open = |transfer: &&Transfer| service.book().needs_closing(&transfer.claim);
        if self.each[file].as_ref().filter(open).is_some() {
            let group = self.each[file..until].iter().flatten().filter(open);
            let claims: Vec<_> = group.take(PAGE).map(|transfer| transfer.claim).collect();
            let ids: Vec<_> = claims.iter().map(|claim| claim.id).collect();
            let closing = service.parts.metadata.close_leases(&ids);
            let closing = closing.map_err(|error| io::Error::other(service.failed(error)))?;
            let mut book = service.book();
            for (claim, closing) in claims.iter().zip(closing) {
                if !closing && book.is_doubted(claim) {
                    return Err(io::Error::other("the owner has taken this download back"));
                }
                book.closed(claim);
            }
        }
        if let Some(transfer) = &mut self.each[file] {
            transfer.last_left = true;
        }
        Ok(())
    }

    /// Accounts for what was delivered of each file.
    pub(super) fn finish(mut self, delivered: impl Fn(usize) -> Vec<Range<u64>>) {
        self.end(|file, _| delivered(file));
    }

    fn end(&mut self, delivered: impl Fn(usize, &Transfer) -> Vec<Range<u64>>) {
        let mut ends = Vec::new();
        for (file, transfer) in self.each.iter_mut().enumerate() {
            if let Some(mut transfer) = transfer.take() {
                let delivered = delivered(file, &transfer);
                ends.extend(transfer.leave(&delivered));
            }
        }
        for page in ends.chunks(PAGE) {
            // A failure is logged there; the sweep tries again.
            let _ = self.service.end_leases(page, self.peer);
        }
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        self.end(|_, transfer| transfer.presumed());
    }
}

impl Service {
    /// As [`Service::end_lease`], for leases that one answer ended.
    fn end_leases(&self, ends: &[(Claim, End)], by: IpAddr) -> Result<(), Error> {
        let ids = |wanted| {
            let of = ends.iter().filter(move |(_, end)| *end == wanted);
            of.map(|(claim, _)| claim.id).collect::<Vec<_>>()
        };
        let ended = self
            .parts
            .metadata
            .end_leases(&ids(End::Settle), &ids(End::Return));
        let freed = ended.map_err(|error| self.failed(error))?;
        for (claim, end) in ends {
            self.book().forget(claim);
            events::lease_ended(&claim.link, *end, Some(by));
        }
        freed.iter().for_each(|freed| self.dispose(freed));
        Ok(())
    }
}
