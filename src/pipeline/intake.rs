//! The way in: read, count, hash, seal, write, in one pass with fixed buffers.
//!
//! A segment can be sealed only when it is known whether another follows. So there are two halves
//! of a buffer: while one waits, full, the other is read into; then the first is sealed and written
//! with one call.
//!
//! A half is read in one piece, for fewer system calls: with a read for each segment the kernel
//! spent a quarter of a second more on each gibibyte. So the segments of a half are apart by their
//! tags only when they are sealed, each after a move of a few bytes within the processor's cache.
//!
//! Writes end at whole pages of the file, because the kernel handles those with less work; sealed
//! segments do not. So the bytes behind the last whole page, less than 4 KiB, are moved in
//! front of the other half.

use super::buffer::{Buffer, Share};
use super::seal::{Cipher, Header, MAX_PLAINTEXT, SEGMENT, SealError, Sealer, TAG};
use crate::model::Secret;
use crate::store::{Stage, StoreError};
use ring::digest;
use std::fmt;
use std::io::{self, Read};

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
/// Reads that are interrupted are repeated.
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
            let n = match self.input.read(half.room()) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(IntakeError::Input(e)),
            };
            // First of all, so that whatever was read is wiped.
            self.hash.update(half.take(n));
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

/// Writes end at a multiple of this, except the last.
const PAGE: usize = 4096;

/// Room for what precedes, for the tags, and for some segments. The plaintext is read in one piece to
/// the end; sealing moves each segment forward to where the one before it and its tag end.
struct Half {
    buffer: Buffer,
    segments: usize,
    tag: usize,
    /// Sealed bytes that are to be written first; they end at [`PAGE`], where the first segment
    /// will begin.
    preceding: usize,
    /// Bytes of plaintext, from [`Half::plaintext`] on.
    filled: usize,
}

impl Half {
    fn new(segments: usize, tag: usize) -> Self {
        Self {
            buffer: Buffer::new(PAGE + segments * (SEGMENT + tag)),
            segments,
            tag,
            preceding: 0,
            filled: 0,
        }
    }

    /// Where the plaintext begins.
    fn plaintext(&self) -> usize {
        PAGE + self.segments * self.tag
    }

    /// Puts less than a page before the first segment.
    fn precede(&mut self, bytes: &[u8]) {
        self.preceding = bytes.len();
        self.buffer.first(PAGE)[PAGE - bytes.len()..].copy_from_slice(bytes);
    }

    fn is_full(&self) -> bool {
        self.filled == self.segments * SEGMENT
    }

    /// The room that is left.
    fn room(&mut self) -> &mut [u8] {
        let start = self.plaintext() + self.filled;
        &mut self.buffer.all()[start..]
    }

    /// Counts `n` more bytes as read, and returns them.
    fn take(&mut self, n: usize) -> &[u8] {
        let start = self.plaintext() + self.filled;
        self.filled += n;
        &self.buffer.first(start + n)[start..]
    }

    /// Seals all segments where they will be written from; `last`: none follows.
    fn seal(&mut self, sealer: &mut Sealer, last: bool) -> Result<(), SealError> {
        let mut from = self.plaintext();
        let end = from + self.filled;
        let bytes = self.buffer.all();
        let mut to = PAGE;
        loop {
            let length = SEGMENT.min(end - from);
            bytes.copy_within(from..from + length, to);
            from += length;
            let (segment, rest) = bytes[to..].split_at_mut(length);
            let tag = sealer.seal(segment, last && from == end)?;
            rest[..self.tag].copy_from_slice(&tag);
            to += length + self.tag;
            if from == end {
                return Ok(());
            }
        }
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
