//! Downloads that count: leases on the allowance of a link, exact to the byte.
//!
//! `lease_book` keeps the account and holds the proof, and `transfer` takes from it. Here it meets the client.

use super::lease_book::{Bearer, Cargo, LIFE};
use super::transfer::{EMPTY_FILE, Transfer};
use super::{Error, OpenFile, Service, events};
use crate::model::Lookup;
use crate::pipeline::seal::SEGMENT;
use crate::pipeline::{Output, SendError, Source};
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// How long a broken download keeps its lease, unless configured: 10 minutes.
pub const LEASE_SECONDS_DEFAULT: u64 = 600;

/// A part of a download: what goes before the bytes (the framing of `multipart/byteranges`; empty
/// otherwise), and which bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Sent first.
    pub lead: Vec<u8>,
    /// Then these bytes of the file.
    pub range: Range<u64>,
}

/// What a client asks for.
pub struct DownloadWish<'a> {
    /// The bytes, in order. One part of the whole file for a request without a range.
    pub parts: Vec<Part>,
    /// Sent last.
    pub tail: Vec<u8>,
    /// The lease cookie, when the client sent one for this link.
    pub cookie: Option<&'a str>,
    /// The client's address.
    pub peer: IpAddr,
}

/// A download that holds its lease, durably, and waits to be sent. Dropping it unsent gives the
/// bytes back to the lease.
pub struct Download {
    /// Value and life in seconds of the cookie that continues this lease; `None` when nothing is
    /// counted, and for a request that continues a lease without having had its cookie.
    pub cookie: Option<(String, u64)>,
    source: Box<Source>,
    size: u64,
    parts: Vec<Part>,
    tail: Vec<u8>,
    link: Lookup,
    peer: IpAddr,
    account: Account,
}

/// Where a download is accounted for.
enum Account {
    /// Nowhere.
    Free,
    /// A link without a limit: counted when the last byte has been delivered.
    Counted(Arc<Service>),
    /// On a lease.
    Leased(Transfer),
}

impl Download {
    /// Sends it, waits for the acknowledgement, and settles what was delivered.
    ///
    /// # Errors
    /// What ended it early.
    pub fn send(mut self, output: &mut dyn Output) -> io::Result<()> {
        let sent = self.write(output);
        let acknowledged = output.settle();
        let complete = sent.is_ok() && acknowledged >= self.length();
        let delivered = self.delivered(acknowledged, complete);
        let last = self.size.max(1) - 1;
        let ends = delivered.iter().any(|range| range.contains(&last));
        let counted = match &mut self.account {
            Account::Free => Some(false),
            Account::Counted(service) if ends => {
                service.count_download(&self.link);
                Some(true)
            }
            Account::Counted(_) => Some(false),
            Account::Leased(transfer) => {
                transfer.finish(&delivered);
                None
            }
        };
        if let Some(counted) = counted
            && (ends || !complete)
        {
            events::transferred(&self.link, complete, counted, self.peer);
        }
        sent?;
        if complete {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client went away before it had everything",
            ))
        }
    }

    fn write(&mut self, output: &mut dyn Output) -> io::Result<()> {
        let last_segment = self.size.saturating_sub(1) / SEGMENT as u64 * SEGMENT as u64;
        for part in &self.parts {
            output.write_all(&part.lead)?;
            let range = part.range.clone();
            let mut rest = range.clone();
            if let Account::Leased(transfer) = &mut self.account
                && range.end == self.size
            {
                let split = last_segment.max(range.start);
                if split > range.start {
                    send(&self.link, &mut self.source, range.start..split, output)?;
                }
                transfer.before_last()?;
                rest = split..range.end;
            }
            if !rest.is_empty() {
                send(&self.link, &mut self.source, rest, output)?;
            }
        }
        output.write_all(&self.tail)
    }

    /// Bytes of the whole body.
    fn length(&self) -> u64 {
        let parts = self.parts.iter();
        let parts: u64 = parts
            .map(|p| p.lead.len() as u64 + (p.range.end - p.range.start))
            .sum();
        parts + self.tail.len() as u64
    }

    /// Which bytes of the file are among the first `acknowledged` bytes of the body.
    fn delivered(&self, mut acknowledged: u64, complete: bool) -> Vec<Range<u64>> {
        if self.size == 0 {
            let delivered = complete.then_some(EMPTY_FILE);
            return delivered.into_iter().collect();
        }
        let mut ranges = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            acknowledged = acknowledged.saturating_sub(part.lead.len() as u64);
            let length = acknowledged.min(part.range.end - part.range.start);
            ranges.push(part.range.start..part.range.start + length);
            acknowledged -= length;
        }
        ranges
    }
}

/// Sends a range of a stored file; tells in the log when that is not to be had.
pub(super) fn send(
    link: &Lookup,
    source: &mut Source,
    range: Range<u64>,
    output: &mut dyn Output,
) -> io::Result<()> {
    source.send(range, output).map_err(|error| match error {
        SendError::Output(error) => error,
        SendError::Blob(error) => {
            log::error!("link={link} its stored file cannot be read: {error}");
            io::Error::other("a stored file cannot be read")
        }
        SendError::Damaged => {
            log::error!("link={link} its stored file is damaged: the download was broken off");
            io::Error::new(io::ErrorKind::InvalidData, "a stored file is damaged")
        }
    })
}

impl Service {
    /// Takes or continues a lease for these bytes.
    ///
    /// # Errors
    /// [`Error::Busy`] while leases hold all that is left, [`Error::NotFound`] once it is used up,
    /// [`Error::Invalid`] when the parts are none of this file.
    pub fn download(
        self: &Arc<Self>,
        file: OpenFile,
        wish: DownloadWish<'_>,
    ) -> Result<Download, Error> {
        let cargo = cargo(&wish.parts, &file)?;
        let mut cookie = None;
        let lease = if file.counts && !file.link.allowance.unlimited {
            self.transfer(&file.link.lookup, cargo, wish.cookie, wish.peer)?
        } else {
            None
        };
        let account = match lease {
            Some(transfer) => {
                if transfer.bearer == Bearer::Owner {
                    let life = LIFE.as_secs();
                    cookie = Some((self.seal_lease(&transfer.claim), life));
                }
                Account::Leased(transfer)
            }
            None if file.counts => Account::Counted(Arc::clone(self)),
            None => Account::Free,
        };
        Ok(Download {
            cookie,
            source: file.source,
            size: file.size,
            parts: wish.parts,
            tail: wish.tail,
            link: file.link.lookup,
            peer: wish.peer,
            account,
        })
    }
}

/// What a wish takes from a lease. An empty file counts as one byte, so that it can be leased.
fn cargo(parts: &[Part], file: &OpenFile) -> Result<Cargo, Error> {
    let size = file.size;
    let fits = |part: &Part| part.range.start <= part.range.end && part.range.end <= size;
    let mut ranges: Vec<_> = parts.iter().map(|part| part.range.clone()).collect();
    if size == 0 {
        ranges = vec![EMPTY_FILE];
    }
    ranges.retain(|range| !range.is_empty());
    if ranges.is_empty() || !parts.iter().all(fits) {
        return Err(Error::Invalid("no bytes of this file are asked for".into()));
    }
    Ok(Cargo {
        ranges,
        span: size.max(1),
        blob: file.link.blob,
    })
}
