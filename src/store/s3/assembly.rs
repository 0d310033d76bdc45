//! A blob that comes in pieces, on its way into the bucket as the parts of one multipart upload.
//!
//! The parts lie on a grid. Bytes wait on the local disk until their part is whole; then it is sent, and its
//! file goes. A part whose bytes came with one piece is mostly gone before the kernel has written it; what
//! has to wait for another piece is made durable. All that has to be known is in a [`ledger`], so the next
//! process goes on where this one was.
//!
//! A part is sent with one content only: its sum is taken down before the first attempt.

use super::error::S3Error;
use super::ledger::{self, Header, Row, Sum};
use super::parts::{MAX_BLOB, grid};
use super::permits::Permit;
use super::pieces::S3Piece;
use super::senders::Turn;
use super::spool::Part;
use super::stage::{Awaited, begin, not_sent, refused, refused_or_there};
use super::uploads::{Context, Uploads, live};
use crate::model::{BlobId, progress};
use crate::store::{Assembly, Piece, Pieces, StoreError};
use crc32fast::Hasher as Crc32;
use ring::digest;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

/// What all who are at a blob share.
pub(super) struct Shared {
    pub(super) context: Arc<Context>,
    pub(super) header: Header,
    key: String,
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
    pub(super) sent: Option<Sum>,
    pub(super) tag: Option<Box<str>>,
    pub(super) sending: bool,
    failure: Option<S3Error>,
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

    fn note(&mut self, row: Row) {
        match row {
            Row::Came {
                start, end, sum, ..
            } => self.came.push((start, end, sum)),
            Row::Sent { sum, .. } => self.sent = Some(sum),
            Row::Stored { tag, .. } => self.tag = Some(tag),
        }
    }
}

fn number_of(row: &Row) -> u64 {
    match row {
        Row::Came { number, .. } | Row::Sent { number, .. } | Row::Stored { number, .. } => *number,
    }
}

impl Shared {
    fn new(context: &Arc<Context>, header: Header, ledger: File) -> Self {
        Self {
            key: context.bucket.key(&header.open.id),
            context: Arc::clone(context),
            header,
            state: Mutex::new(State {
                ledger: Some(ledger),
                parts: BTreeMap::new(),
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the blob is complete or given up.
    pub(super) fn is_there(&self) -> Result<(), StoreError> {
        match self.state().ledger {
            Some(_) => Ok(()),
            None => Err(StoreError::NotFound),
        }
    }

    /// How many parts there are.
    fn count(&self) -> u64 {
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

    /// The file in which a part waits.
    pub(super) fn file(&self, number: u64) -> Result<File, StoreError> {
        let name = ledger::part_name(&self.header.open.id, number);
        let file = self.context.spools.named(&name, OFlags::CREATE);
        file.map_err(|e| self.context.spools.full_or(e.into(), 1))
    }

    /// Waits until nobody sends this part any more.
    pub(super) fn sent(&self, number: u64) -> Result<(), StoreError> {
        let waits = |state: &mut State| state.parts.get(&number).is_some_and(|p| p.sending);
        let mut state = progress::waiting(|| {
            self.changed
                .wait_while(self.state(), waits)
                .unwrap_or_else(PoisonError::into_inner)
        });
        let part = state.parts.entry(number).or_default();
        match part.tag {
            Some(_) => Ok(()),
            None => Err(refused(part.failure.take().unwrap_or_else(not_sent))),
        }
    }

    /// Nothing of the blob is left here, and nobody goes on with it.
    fn forget(&self) {
        self.state().ledger = None;
        self.changed.notify_all();
        remove_files(&self.context, &self.header.open.id);
    }
}

/// Removes what waits, and then the ledger.
fn remove_files(context: &Context, id: &BlobId) {
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
        let Sums { sha256: sum, crc } = match sums {
            Ok(sums) => sums,
            Err(own) => {
                let came = shared.part(number, |part| part.came.clone());
                for (start, end, sum) in came.into_iter().chain([own]) {
                    let there = sums_of(&file, start, end).map_err(StoreError::Unavailable)?;
                    if there.sha256 != sum {
                        return Err(StoreError::Unavailable(io::Error::other(
                            "the disk has other bytes of the upload than those that came: it may be failing",
                        )));
                    }
                }
                sums_of(&file, 0, length).map_err(StoreError::Unavailable)?
            }
        };
        match shared.part(number, |part| part.sent) {
            Some(earlier) if earlier != sum => return Err(StoreError::Differs),
            Some(_) => {}
            None => shared.take_down(vec![Row::Sent { number, sum }])?,
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
            part.failure = taken_down.err().flatten();
        });
        self.shared.changed.notify_all();
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

/// A blob that is being put together.
struct S3Assembly {
    uploads: Arc<Uploads>,
    shared: Arc<Shared>,
}

impl S3Assembly {
    /// Sends what is whole and was not stored, because an earlier attempt has failed.
    fn send_the_rest(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        for number in 1..=shared.count() {
            let length = shared.length(number);
            let (is_stored, is_new) = shared.part(number, |part| {
                let is_new = part.tag.is_none() && !part.sending && part.is_whole(length, 0, 0);
                part.sending |= is_new;
                (part.tag.is_some(), is_new)
            });
            if is_new {
                let sending = Sending::new(shared, number);
                let nothing = (0, 0, finished(digest::Context::new(&digest::SHA256)));
                sending.hand_over(&self.uploads, shared.file(number)?, Err(nothing))?;
            }
            if !is_stored {
                shared.sent(number)?;
            }
        }
        Ok(())
    }
}

impl Assembly for S3Assembly {
    fn piece(&self, offset: u64) -> Result<Box<dyn Piece>, StoreError> {
        self.shared.is_there()?;
        self.uploads.is_ready()?;
        let piece = S3Piece::new(&self.uploads, &self.shared, offset);
        Ok(Box::new(piece))
    }

    fn commit(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.is_there()?;
        self.uploads.is_ready()?;
        let own = Arc::clone(shared);
        if shared.header.size == 0 {
            self.uploads.ask(move |context| {
                let empty = Part::empty(context.bucket.wants_hashes());
                context.bucket.put(&own.key, &empty, &Awaited::now(context))
            })
        } else {
            self.send_the_rest()?;
            let tags: Vec<_> = (1..=shared.count())
                .filter_map(|number| shared.part(number, |part| part.tag.clone()))
                .collect();
            self.uploads.ask(move |context| {
                let (upload, size) = (&own.header.open.upload, own.header.size);
                let wish = Awaited::now(context);
                context
                    .bucket
                    .complete(&own.key, upload, &tags, size, &wish)
            })
        }
        .map_err(refused_or_there)?;
        shared.forget();
        shared.context.ended(&shared.header.open);
        Ok(())
    }
}

impl Uploads {
    fn assemblies_here(&self) -> MutexGuard<'_, std::collections::HashMap<BlobId, Weak<Shared>>> {
        // Each change is one call.
        (self.assemblies.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Store::assemble`](crate::store::Store::assemble).
    pub(super) fn assemble(
        self: &Arc<Self>,
        id: &BlobId,
        size: u64,
        pieces: Pieces,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        self.is_ready()?;
        let part = grid(size, pieces.each).ok_or(StoreError::TooLarge { most: MAX_BLOB })?;
        let spools = &self.context().spools;
        match spools.named(&ledger::name(id), OFlags::empty()) {
            Ok(_) => return Err(StoreError::Exists),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(spools.full_or(error.into(), 1)),
        }
        let open = match size {
            // An empty blob has no parts.
            0 => super::journal::OpenUpload {
                id: *id,
                place: self.context().bucket.place(),
                upload: String::new(),
                begun: self.context().bucket.client().clock().now(),
            },
            _ => begin(self, id, |open, _| open)?,
        };
        let header = Header { size, part, open };
        let ledger = ledger::create(spools, &header).map_err(|error| {
            self.give_up(&header);
            match error {
                Errno::EXIST => StoreError::Exists,
                error => spools.full_or(error.into(), 1),
            }
        })?;
        let shared = Arc::new(Shared::new(self.context(), header, ledger));
        (self.assemblies_here()).insert(*id, Arc::downgrade(&shared));
        Ok(self.assembly(shared))
    }

    /// As [`Store::reassemble`](crate::store::Store::reassemble).
    pub(super) fn reassemble(
        self: &Arc<Self>,
        id: &BlobId,
        size: u64,
    ) -> Result<Arc<dyn Assembly>, StoreError> {
        let refuse = |why: &str| StoreError::Refused(io::Error::other(why.to_owned()));
        let mut here = self.assemblies_here();
        here.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = here.get(id).and_then(Weak::upgrade) {
            shared.is_there()?;
            return Ok(self.assembly(shared));
        }
        let mut rows = Vec::new();
        let opened = ledger::open(&self.context().spools, id, |row| rows.push(row));
        let (header, file) = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound,
            _ => StoreError::Unavailable(error),
        })?;
        if header.open.place != self.context().bucket.place() {
            return Err(refuse("the upload was begun in another bucket"));
        }
        if header.size != size {
            return Err(refuse("the upload was begun with another size"));
        }
        let shared = Arc::new(Shared::new(self.context(), header, file));
        for row in rows {
            shared.part(number_of(&row), |part| part.note(row));
        }
        here.insert(*id, Arc::downgrade(&shared));
        Ok(self.assembly(shared))
    }

    fn assembly(self: &Arc<Self>, shared: Arc<Shared>) -> Arc<dyn Assembly> {
        Arc::new(S3Assembly {
            uploads: Arc::clone(self),
            shared,
        })
    }

    /// As [`Store::abandon`](crate::store::Store::abandon). Waits for no server: what is in the bucket is ended
    /// later, by the sweep at the latest.
    pub(super) fn abandon(self: &Arc<Self>, id: &BlobId) -> Result<(), StoreError> {
        let shared = self.assemblies_here().remove(id);
        let header = match ledger::open(&self.context().spools, id, |_| {}) {
            Ok((header, _)) => Some(header),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                log::warn!("of an upload that was given up nothing is known but its name: {error}");
                None
            }
        };
        match shared.and_then(|shared| shared.upgrade()) {
            Some(shared) => shared.forget(),
            None => remove_files(self.context(), id),
        }
        if let Some(header) = header {
            self.give_up(&header);
        }
        Ok(())
    }

    /// Has the multipart upload ended in the bucket, unless it is in another one.
    fn give_up(&self, header: &Header) {
        let (context, open) = (self.context(), header.open.clone());
        if open.upload.is_empty() || open.place != context.bucket.place() {
            context.live().remove(&live(&open));
            return;
        }
        let (key, context) = (context.bucket.key(&open.id), Arc::clone(context));
        self.queue(Turn::Later, Box::new(move || context.abort(&key, &open)));
    }

    /// As [`Store::assemblies`](crate::store::Store::assemblies).
    pub(super) fn assemblies(
        &self,
        after: Option<&BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobId>, StoreError> {
        let ids = ledger::all(&self.context().spools);
        let mut ids = ids.map_err(|e| StoreError::Unavailable(e.into()))?;
        ids.retain(|id| after.is_none_or(|after| id > after));
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }
}
