//! The way in: read, count, hash, seal, write, in one pass with fixed buffers.
//!
//! A segment can be sealed only when it is known whether another follows. So there are two halves
//! of a buffer: while one waits, full, the other is read into; then the first is sealed where it
//! stands and written with one call.
//!
//! Writes end at whole pages of the file, because the kernel handles those with less work; sealed
//! segments do not. So the bytes behind the last whole page, less than 4 KiB, are moved in
//! front of the other half. Nothing else is moved between the read and the write.

use super::buffer::{Buffer, Share};
use super::seal::{Cipher, Header, MAX_PLAINTEXT, SEGMENT, SealError, Sealer, TAG};
use crate::model::Secret;
use crate::store::{Stage, StoreError};
use ring::digest;
use std::fmt;
use std::io::{self, IoSliceMut, Read};

/// How the bytes are to be stored.
pub enum Layout<'a> {
    /// As they come.
    Plain,
    /// Sealed under a content key that has never sealed anything.
    Sealed {
        /// The cipher; [`Cipher::for_this_cpu`] outside tests.
        cipher: Cipher,
        /// The content key.
        key: &'a Secret,
    },
}

/// What was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intake {
    /// Bytes of the plaintext.
    pub size: u64,
    /// Bytes written to the stage.
    pub stored: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
}

/// Why receiving stopped.
#[derive(Debug)]
pub enum IntakeError {
    /// The input failed: cut, too slow, or malformed.
    Input(io::Error),
    /// There is more input than `limit` bytes.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(_) => write!(f, "the input ended early"),
            Self::TooLarge { limit } => write!(f, "there is more input than {limit} bytes"),
            Self::Store(_) => write!(f, "the input could not be stored"),
        }
    }
}

impl std::error::Error for IntakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(e) => Some(e),
            Self::TooLarge { .. } => None,
            Self::Store(e) => Some(e),
        }
    }
}

/// Reads `input` to its end into `stage`. Does not commit.
///
/// `input` is read with `read_vectored`, which saves system calls where it is implemented; reads
/// that are interrupted are repeated.
///
/// # Errors
/// [`IntakeError`]; the stage is then to be dropped. A sealed blob holds no more than
/// [`MAX_PLAINTEXT`] bytes, whatever `limit` says.
pub fn receive(
    input: &mut dyn Read,
    stage: &mut dyn Stage,
    layout: &Layout<'_>,
    limit: u64,
) -> Result<Intake, IntakeError> {
    let share = Share::take();
    let mut stored = 0;
    let mut write = |bytes: &[u8]| {
        stored += bytes.len() as u64;
        stage.write(bytes).map_err(IntakeError::Store)
    };
    let sealed = match layout {
        Layout::Plain => None,
        Layout::Sealed { cipher, key } => {
            let header = Header::draw(*cipher);
            Some((Sealer::new(key, &header), header.to_bytes()))
        }
    };
    let tag = if sealed.is_some() { TAG } else { 0 };
    let mut current = Half::new(share.segments_in(), tag);
    let (mut sealer, limit) = match sealed {
        None => (None, limit),
        Some((sealer, header)) => {
            current.precede(&header);
            (Some(sealer), limit.min(MAX_PLAINTEXT))
        }
    };
    let mut reader = Reader {
        input,
        hash: digest::Context::new(&digest::SHA256),
        size: 0,
        limit,
    };
    let mut next = None;
    reader.fill(&mut current)?;
    loop {
        let mut last = true;
        if current.is_full() {
            let next = next.get_or_insert_with(|| Half::new(share.segments_in(), tag));
            next.filled = 0;
            reader.fill(next)?;
            last = next.filled == 0;
        }
        if let Some(sealer) = &mut sealer {
            current.seal(sealer, last).map_err(|_| reader.too_large())?;
        }
        let bytes = current.finished();
        match &mut next {
            Some(next) if !last => {
                let (pages, rest) = bytes.split_at(bytes.len() - bytes.len() % PAGE);
                write(pages)?;
                next.precede(rest);
                std::mem::swap(&mut current, next);
            }
            _ => {
                if !bytes.is_empty() {
                    write(bytes)?;
                }
                break;
            }
        }
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(reader.hash.finish().as_ref());
    Ok(Intake {
        size: reader.size,
        stored,
        sha256,
    })
}

/// The input, with what is known of it so far.
struct Reader<'a> {
    input: &'a mut dyn Read,
    hash: digest::Context,
    size: u64,
    limit: u64,
}

impl Reader<'_> {
    /// Reads until the half is full or the input ends.
    fn fill(&mut self, half: &mut Half) -> Result<(), IntakeError> {
        while !half.is_full() {
            let n = match self.input.read_vectored(&mut half.room()) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(IntakeError::Input(e)),
            };
            // First of all, so that whatever was read is wiped.
            half.take(n, |part| self.hash.update(part));
            self.size = self.size.saturating_add(n as u64);
            if self.size > self.limit {
                return Err(self.too_large());
            }
        }
        Ok(())
    }

    fn too_large(&self) -> IntakeError {
        IntakeError::TooLarge { limit: self.limit }
    }
}

/// Most slots of a half that one read fills.
const SLOTS_PER_READ: usize = 4;

/// Writes end at a multiple of this, except the last.
const PAGE: usize = 4096;

/// Room for what precedes, then some segments, each in a slot that has room for its tag.
struct Half {
    buffer: Buffer,
    slots: usize,
    tag: usize,
    /// Sealed bytes that are to be written first; they end where the first slot begins.
    preceding: usize,
    /// Bytes of plaintext, from the first slot on.
    filled: usize,
}

impl Half {
    fn new(slots: usize, tag: usize) -> Self {
        Self {
            buffer: Buffer::new(PAGE + slots * (SEGMENT + tag)),
            slots,
            tag,
            preceding: 0,
            filled: 0,
        }
    }

    /// Puts less than a page before the first segment.
    fn precede(&mut self, bytes: &[u8]) {
        self.preceding = bytes.len();
        self.buffer.first(PAGE)[PAGE - bytes.len()..].copy_from_slice(bytes);
    }

    fn is_full(&self) -> bool {
        self.filled == self.slots * SEGMENT
    }

    /// The room that is left, slot by slot.
    fn room(&mut self) -> [IoSliceMut<'_>; SLOTS_PER_READ] {
        let mut offset = self.filled % SEGMENT;
        let mut slots = self.buffer.all()[PAGE..]
            .chunks_exact_mut(SEGMENT + self.tag)
            .skip(self.filled / SEGMENT);
        std::array::from_fn(|_| {
            let room = slots.next().map_or(&mut [][..], |slot| {
                &mut slot[std::mem::take(&mut offset)..SEGMENT]
            });
            IoSliceMut::new(room)
        })
    }

    /// Counts `n` more bytes as read, and shows them.
    fn take(&mut self, n: usize, mut show: impl FnMut(&[u8])) {
        let end = self.filled + n;
        while self.filled < end {
            let offset = self.filled % SEGMENT;
            let part = (end - self.filled).min(SEGMENT - offset);
            let start = PAGE + self.filled / SEGMENT * (SEGMENT + self.tag) + offset;
            show(&self.buffer.first(start + part)[start..]);
            self.filled += part;
        }
    }

    /// Seals all segments where they stand; `last`: none follows.
    fn seal(&mut self, sealer: &mut Sealer, last: bool) -> Result<(), SealError> {
        let length = self.length();
        let bytes = &mut self.buffer.first(PAGE + length)[PAGE..];
        let mut slots = bytes.chunks_mut(SEGMENT + self.tag).peekable();
        while let Some(slot) = slots.next() {
            let (segment, tag) = slot.split_at_mut(slot.len() - self.tag);
            tag.copy_from_slice(&sealer.seal(segment, last && slots.peek().is_none())?);
        }
        Ok(())
    }

    /// What is to be written, once it is sealed.
    fn finished(&mut self) -> &[u8] {
        let length = self.length();
        &self.buffer.first(PAGE + length)[PAGE - self.preceding..]
    }

    /// Bytes of the segments and their tags. Even without any byte there is one segment, sealed.
    fn length(&self) -> usize {
        self.filled + self.filled.div_ceil(SEGMENT).max(1) * self.tag
    }
}

#[cfg(test)]
mod tests;
