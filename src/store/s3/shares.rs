//! What all who are at a blob that comes in pieces know of its parts, and how a part that is whole is sent.
//!
//! A part is sent with one content only: its sum is taken down before the first attempt, and that of each range
//! that it was put together from, so that other bytes are told from those also when it is stored.

use super::error::{Kind, S3Error};
use super::ledger::{self, Header, Row, Sum};
use super::permits::Permit;
use super::senders::Turn;
use super::spool::Part;
use super::stage::{Awaited, not_sent, refused};
use super::stopping::stopping;
use super::uploads::{Context, Uploads};
use crate::model::{BlobId, progress};
use crate::store::StoreError;
use crc32fast::Hasher as Crc32;
use ring::digest;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What all who are at a blob share.
pub(super) struct Shared {
    pub(super) context: Arc<Context>,
    pub(super) header: Header,
    pub(super) key: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The open ledger; nothing once the blob is complete or given up.
    ledger: Option<File>,
    parts: BTreeMap<u64, Known>,
}

/// Start, end and sum of bytes of a part.
pub(super) type Came = (u64, u64, Sum);

/// What is known of a part.
#[derive(Default)]
pub(super) struct Known {
    /// What is durable.
    pub(super) came: Vec<Came>,
    /// What it was sent with, and is durable nowhere else.
    pub(super) meant: Vec<Came>,
    pub(super) sent: Option<Sum>,
    pub(super) tag: Option<Box<str>>,
    pub(super) sending: bool,
    failure: Option<Box<S3Error>>,
}

impl Known {
    /// Whether all `length` bytes are there, with those from `start` to `end`.
    pub(super) fn is_whole(&self, length: u64, start: u64, end: u64) -> bool {
        let mut ranges: Vec<_> = self.came.iter().map(|(from, to, _)| (*from, *to)).collect();
        ranges.push((start, end));
        ranges.sort_unstable();
        let reach = ranges
            .iter()
            .fold(0, |reach, (from, to)| match *from <= reach {
                true => reach.max(*to),
                false => reach,
            });
        reach >= length
    }

    /// The sum of the bytes from `start` to `end`, of `length` in all, if it was taken down.
    pub(super) fn sum(&self, length: u64, start: u64, end: u64) -> Option<Sum> {
        let mut ranges = self.came.iter().chain(&self.meant);
        let same = ranges.find(|range| (range.0, range.1) == (start, end));
        let whole = self.sent.filter(|_| (start, end) == (0, length));
        same.map(|range| range.2).or(whole)
    }

    fn note(&mut self, row: Row) {
        match row {
            Row::Came {
                start, end, sum, ..
            } => self.came.push((start, end, sum)),
            Row::Meant {
                start, end, sum, ..
            } => self.meant.push((start, end, sum)),
            Row::Sent { sum, .. } => self.sent = Some(sum),
            Row::Stored { tag, .. } => self.tag = Some(tag),
        }
    }
}

fn number_of(row: &Row) -> u64 {
    match row {
        Row::Came { number, .. }
        | Row::Meant { number, .. }
        | Row::Sent { number, .. }
        | Row::Stored { number, .. } => *number,
    }
}

impl Shared {
    /// What is known of a blob with this ledger, which has these rows.
    pub(super) fn new(
        context: &Arc<Context>,
        header: Header,
        ledger: File,
        rows: Vec<Row>,
    ) -> Self {
        let mut parts: BTreeMap<u64, Known> = BTreeMap::new();
        for row in rows {
            parts.entry(number_of(&row)).or_default().note(row);
        }
        Self {
            key: context.bucket.key(&header.open.id),
            context: Arc::clone(context),
            header,
            state: Mutex::new(State {
                ledger: Some(ledger),
                parts,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the blob is complete or given up, or the server has ended the upload.
    pub(super) fn is_there(&self) -> Result<(), StoreError> {
        match self.state().ledger {
            Some(_) => Ok(()),
            None => Err(StoreError::NotFound),
        }
    }

    /// How many parts there are.
    pub(super) fn count(&self) -> u64 {
        self.header.size.div_ceil(self.header.part)
    }

    /// Bytes of a part, counted from 1.
    pub(super) fn length(&self, number: u64) -> u64 {
        let start = (number - 1).saturating_mul(self.header.part);
        self.header.part.min(self.header.size.saturating_sub(start))
    }

    /// Asks about a part, or changes what is known of it.
    pub(super) fn part<T>(&self, number: u64, ask: impl FnOnce(&mut Known) -> T) -> T {
        ask(self.state().parts.entry(number).or_default())
    }

    /// Takes rows down, durably.
    pub(super) fn take_down(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut state = self.state();
        let ledger = state.ledger.as_ref().ok_or(StoreError::NotFound)?;
        ledger::add(ledger, &rows).map_err(|e| self.context.spools.full_or(e, 1))?;
        for row in rows {
            let part = state.parts.entry(number_of(&row)).or_default();
            part.note(row);
        }
        Ok(())
    }

    /// Has those who wait look again.
    fn wake(&self) {
        // Whoever is about to wait looks under the lock.
        drop(self.state());
        self.changed.notify_all();
    }

    /// The file in which a part waits.
    pub(super) fn file(&self, number: u64) -> Result<File, StoreError> {
        let name = ledger::part_name(&self.header.open.id, number);
        let spools = &self.context.spools;
        let file = spools.named(&name, OFlags::CREATE);
        let file = file.map_err(|e| spools.full_or(e.into(), 1))?;
        // It may have been given up, and the files have gone, since somebody looked.
        self.is_there().inspect_err(|_| _ = spools.remove(&name))?;
        Ok(file)
    }

    /// Waits until nobody sends this part any more, or the process is to end.
    pub(super) fn sent(self: &Arc<Self>, number: u64) -> Result<(), StoreError> {
        let is_sent = |state: &State| state.parts.get(&number).is_none_or(|part| !part.sending);
        let waits = |state: &mut State| !is_sent(state) && !self.context.stopping.has_come();
        let own = Arc::clone(self);
        let _bell = self.context.stopping.bell(move || own.wake());
        let mut state = progress::waiting(|| {
            self.changed
                .wait_while(self.state(), waits)
                .unwrap_or_else(PoisonError::into_inner)
        });
        let part = state.parts.entry(number).or_default();
        let failure = part.failure.take();
        match part.tag {
            Some(_) => Ok(()),
            None if self.context.stopping.has_come() => Err(refused(stopping())),
            None => match failure {
                Some(failure) if *failure.kind() == Kind::NoUpload => Err(refused(*failure)),
                _ if state.ledger.is_none() => Err(StoreError::NotFound),
                failure => Err(refused(failure.map_or_else(not_sent, |failure| *failure))),
            },
        }
    }

    /// After an upload that the server does not know any more nothing can be gone on with.
    fn judge(&self, error: &S3Error) {
        if *error.kind() != Kind::NoUpload {
            return;
        }
        log::error!(
            "a file that was coming in chunks is lost, because the bucket has ended its upload; a rule for the \
             age of unfinished uploads may be too short: {error}"
        );
        self.forget();
        self.context.ended(&self.header.open);
    }

    /// Nothing of the blob is left here, and nobody goes on with it.
    pub(super) fn forget(&self) {
        self.state().ledger = None;
        self.changed.notify_all();
        remove_files(&self.context, &self.header.open.id);
    }
}

/// Removes what waits, and then the ledger.
pub(super) fn remove_files(context: &Context, id: &BlobId) {
    let own = format!("{}-", ledger::name(id));
    let mut names = Vec::new();
    let read = context.spools.each_name(|name| {
        if name.starts_with(&own) {
            names.push(name.to_owned());
        }
    });
    names.push(ledger::name(id));
    let removed = names.iter().map(|name| context.spools.remove(name));
    if let Some(error) = read
        .err()
        .or_else(|| removed.filter_map(Result::err).last())
    {
        log::warn!("files of an upload in pieces remain on the disk: {error}");
    }
}

/// Whoever makes this has marked the part as being sent. However it goes away, others hear of it.
pub(super) struct Sending {
    shared: Arc<Shared>,
    number: u64,
    result: Result<Box<str>, S3Error>,
}

impl Sending {
    pub(super) fn new(shared: &Arc<Shared>, number: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            number,
            result: Err(not_sent()),
        }
    }

    /// Hands a part that is whole over to the senders. `sums` are known where it came with one piece;
    /// otherwise each range of it must still be what it was.
    pub(super) fn hand_over(
        self,
        uploads: &Arc<Uploads>,
        file: File,
        sums: Result<Sums, Came>,
    ) -> Result<(), StoreError> {
        let (shared, number) = (Arc::clone(&self.shared), self.number);
        let length = shared.length(number);
        let mut rows = Vec::new();
        let Sums { sha256: sum, crc } = match sums {
            Ok(sums) => sums,
            Err(own) => {
                let (start, end, sum) = own;
                if start < end && shared.part(number, |part| part.sum(length, start, end).is_none())
                {
                    rows.push(Row::Meant {
                        number,
                        start,
                        end,
                        sum,
                    });
                }
                let came = shared.part(number, |part| part.came.clone());
                for (start, end, sum) in came.into_iter().chain([own]) {
                    let there = sums_of(&file, start, end).map_err(StoreError::Refused)?;
                    if there.sha256 != sum {
                        return Err(StoreError::Refused(io::Error::other(
                            "the disk has other bytes of the upload than those that came: it may be failing",
                        )));
                    }
                }
                sums_of(&file, 0, length).map_err(StoreError::Refused)?
            }
        };
        match shared.part(number, |part| part.sent) {
            Some(earlier) if earlier != sum => return Err(StoreError::Differs),
            Some(_) => {}
            None => rows.push(Row::Sent { number, sum }),
        }
        if !rows.is_empty() {
            shared.take_down(rows)?;
        }
        let permit = uploads.permit().map_err(refused)?;
        let wanted = shared.context.bucket.wants_hashes().then_some(sum);
        let part = Part::of_file(file, length, crc, wanted);
        uploads.queue(Turn::Later, Box::new(move || self.run(part, permit)));
        Ok(())
    }

    fn run(mut self, part: Part, permit: Permit) {
        let shared = Arc::clone(&self.shared);
        let (context, upload) = (&*shared.context, &shared.header.open.upload);
        if shared.is_there().is_err() {
            return;
        }
        let wish = Awaited::now(context);
        self.result = (context.bucket).part(&shared.key, upload, self.number, &part, &wish);
        drop((part, permit));
        if let Err(error) = &self.result {
            shared.judge(error);
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let number = self.number;
        let result = std::mem::replace(&mut self.result, Err(not_sent()));
        let taken_down = result.map_err(Some).and_then(|tag| {
            let stored = self.shared.take_down(vec![Row::Stored { number, tag }]);
            stored.map_err(|_| None)
        });
        if taken_down.is_ok() {
            let name = ledger::part_name(&self.shared.header.open.id, number);
            if let Err(error) = self.shared.context.spools.remove(&name) {
                log::warn!("a part that is stored remains on the disk: {error}");
            }
        }
        self.shared.part(number, |part| {
            part.sending = false;
            part.failure = taken_down.err().flatten().map(Box::new);
        });
        self.shared.wake();
    }
}

/// Sums of the same bytes.
pub(super) struct Sums {
    pub(super) sha256: Sum,
    pub(super) crc: u32,
}

fn sums_of(file: &File, start: u64, end: u64) -> io::Result<Sums> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut crc = Crc32::new();
    let mut buffer = vec![0; 64 << 10];
    let mut at = start;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let bytes = &mut buffer[..left.min(64 << 10)];
        file.read_exact_at(bytes, at)?;
        hash.update(bytes);
        crc.update(bytes);
        at += bytes.len() as u64;
    }
    Ok(Sums {
        sha256: finished(hash),
        crc: crc.finalize(),
    })
}

/// The sum that was computed.
pub(super) fn finished(hash: digest::Context) -> Sum {
    let mut sum = [0; 32];
    sum.copy_from_slice(hash.finish().as_ref());
    sum
}
