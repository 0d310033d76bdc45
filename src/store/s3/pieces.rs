//! A piece of a blob on its way into the parts that it covers.

use super::ledger::{Row, Sum};
use super::shares::{Sending, Shared, Sums, finished};
use super::spool::Grant;
use super::uploads::Uploads;
use crate::store::compare::Before;
use crate::store::{Piece, StoreError};
use crc32fast::Hasher as Crc32;
use ring::digest;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A piece that is being written.
pub(super) struct S3Piece {
    uploads: Arc<Uploads>,
    shared: Arc<Shared>,
    /// Where the next byte goes.
    at: u64,
    filling: Option<Filling>,
    /// What cannot be sent before other pieces have come.
    waiting: Vec<Range>,
    /// Parts that the senders have.
    sent: Vec<u64>,
}

/// What this piece has written of one part.
struct Range {
    number: u64,
    start: u64,
    end: u64,
    sum: Sum,
    crc: u32,
    file: File,
}

/// The part that is being filled.
struct Filling {
    number: u64,
    start: u64,
    at: u64,
    /// Nothing when the part is stored: its bytes are compared by their sum.
    file: Option<(File, Grant)>,
    before: Before,
    hash: digest::Context,
    crc: Crc32,
}

impl S3Piece {
    pub(super) fn new(uploads: &Arc<Uploads>, shared: &Arc<Shared>, offset: u64) -> Self {
        Self {
            uploads: Arc::clone(uploads),
            shared: Arc::clone(shared),
            at: offset,
            filling: None,
            waiting: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// The part that the next byte belongs to.
    fn filling(&mut self) -> Result<&mut Filling, StoreError> {
        let filling = match self.filling.take() {
            Some(filling) => filling,
            None => self.next_filling()?,
        };
        Ok(self.filling.insert(filling))
    }

    fn next_filling(&self) -> Result<Filling, StoreError> {
        self.shared.is_there()?;
        let part = self.shared.header.part;
        let (number, start) = (self.at / part + 1, self.at % part);
        let is_stored = (self.shared).part(number, |known| known.tag.is_some());
        let file = match is_stored {
            true => None,
            false => {
                let grant = self.shared.context.spools.no_grant();
                Some((self.shared.file(number)?, grant))
            }
        };
        Ok(Filling {
            number,
            start,
            at: start,
            file,
            before: Before::from(start),
            hash: digest::Context::new(&digest::SHA256),
            crc: Crc32::new(),
        })
    }

    /// Nothing more of this piece belongs to the part that was filled.
    fn close(&mut self) -> Result<(), StoreError> {
        let Some(filling) = self.filling.take() else {
            return Ok(());
        };
        let Filling {
            number, start, at, ..
        } = filling;
        let sum = finished(filling.hash);
        let length = self.shared.length(number);
        let known = (self.shared).part(number, |part| part.sum(length, start, at));
        if known.is_some_and(|known| known != sum) {
            return Err(StoreError::Differs);
        }
        let Some((file, _)) = filling.file else {
            return Ok(());
        };
        let range = Range {
            number,
            start,
            end: at,
            sum,
            crc: filling.crc.finalize(),
            file,
        };
        if !self.send_if_whole(&range)? {
            self.waiting.push(range);
        }
        Ok(())
    }

    /// What is to be taken down of a range, unless it was before.
    fn new_row(&self, range: &Range) -> Option<Row> {
        let (number, start, end, sum) = (range.number, range.start, range.end, range.sum);
        let same = (start, end, sum);
        let is_new = !(self.shared).part(number, |part| part.came.contains(&same));
        is_new.then_some(Row::Came {
            number,
            start,
            end,
            sum,
        })
    }

    /// Hands the part over if all of it is there; false when other pieces have to come.
    fn send_if_whole(&mut self, range: &Range) -> Result<bool, StoreError> {
        let (number, start, end) = (range.number, range.start, range.end);
        let length = self.shared.length(number);
        let (is_whole, is_new) = self.shared.part(number, |part| {
            let is_whole = part.is_whole(length, start, end);
            let is_new = is_whole && part.tag.is_none() && !part.sending;
            part.sending |= is_new;
            (is_whole, is_new)
        });
        if is_whole {
            self.sent.push(number);
        }
        if is_new {
            let sending = Sending::new(&self.shared, number);
            let file = range.file.try_clone().map_err(StoreError::Refused)?;
            let (sha256, crc) = (range.sum, range.crc);
            let sums = match (start, end) == (0, length) {
                true => Ok(Sums { sha256, crc }),
                false => Err((start, end, sha256)),
            };
            sending.hand_over(&self.uploads, file, sums)?;
        }
        Ok(is_whole)
    }
}

impl Piece for S3Piece {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() as u64 > self.shared.header.size.saturating_sub(self.at) {
            return Err(StoreError::Unavailable(io::Error::other(
                "a piece goes beyond the end of its blob",
            )));
        }
        while !bytes.is_empty() {
            let shared = Arc::clone(&self.shared);
            let filling = self.filling()?;
            let left = shared.length(filling.number) - filling.at;
            let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, later) = bytes.split_at(count);
            if let Some((file, grant)) = &mut filling.file {
                filling.before.allows(file, filling.at, now)?;
                (shared.context.spools).write_at(grant, file, filling.at, now)?;
            }
            filling.hash.update(now);
            filling.crc.update(now);
            filling.at += count as u64;
            let is_full = left == count as u64;
            self.at += count as u64;
            bytes = later;
            if is_full {
                self.close()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        self.close()?;
        let spools = &self.shared.context.spools;
        let durable =
            (self.waiting.iter()).try_for_each(|range| rustix::fs::fdatasync(&range.file));
        let durable = durable.and_then(|()| match self.waiting.is_empty() {
            true => Ok(()),
            false => spools.sync(),
        });
        durable.map_err(|e| spools.full_or(e.into(), 1))?;
        let waiting = std::mem::take(&mut self.waiting);
        let rows: Vec<_> = (waiting.iter())
            .filter_map(|range| self.new_row(range))
            .collect();
        if !rows.is_empty() {
            self.shared.take_down(rows)?;
        }
        for range in &waiting {
            self.send_if_whole(range)?;
        }
        for number in std::mem::take(&mut self.sent) {
            self.shared.sent(number)?;
        }
        Ok(())
    }
}
