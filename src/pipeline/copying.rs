//! The one loop of everything that comes in: read, count, show, seal, write, in one pass with fixed
//! buffers.
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

use super::IntakeError;
use super::buffer::{Buffer, Share};
use super::seal::{HEADER, SEGMENT, SealError, Sealer, TAG};
use std::io::{self, Read};
use zeroize::Zeroizing;

/// How what comes in is sealed.
pub(super) struct Sealing {
    /// Stands before the first segment that is to come.
    pub(super) sealer: Sealer,
    /// The header, where it is the first of the blob.
    pub(super) preceding: Option<[u8; HEADER]>,
}

/// Whether the file ends after that many bytes of the input.
type Ends<'a> = &'a dyn Fn(u64) -> bool;

/// Where the bytes go.
type Write<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), IntakeError>;

/// An input on its way.
pub(super) struct Copying<'a> {
    reader: Reader<'a>,
}

impl<'a> Copying<'a> {
    /// Takes at most `limit` bytes of `input`; `seen` is shown each of them once, in order.
    pub(super) fn new(input: &'a mut dyn Read, seen: &'a mut dyn FnMut(&[u8]), limit: u64) -> Self {
        Self {
            reader: Reader {
                input,
                seen,
                size: 0,
                limit,
            },
        }
    }

    /// Bytes that were read.
    pub(super) fn size(&self) -> u64 {
        self.reader.size
    }

    /// Reads up to `most` bytes, and fewer only where the input ends.
    ///
    /// # Errors
    /// [`IntakeError::Input`], [`IntakeError::TooLarge`].
    pub(super) fn lead(&mut self, most: usize) -> Result<Zeroizing<Vec<u8>>, IntakeError> {
        let mut bytes = Zeroizing::new(vec![0; most]);
        let mut filled = 0;
        while filled < most {
            match self.reader.read(&mut bytes[filled..])? {
                0 => break,
                n => {
                    self.reader.note(&bytes[filled..filled + n])?;
                    filled += n;
                }
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Reads the rest of the input and writes it, from the byte `at` of the store on. What is short of a
    /// segment at the end is returned unsealed, unless the file `ends` with it or nothing is sealed.
    ///
    /// # Errors
    /// [`IntakeError`].
    pub(super) fn run(
        &mut self,
        sealing: Option<Sealing>,
        mut at: u64,
        ends: Ends<'_>,
        write: Write<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, IntakeError> {
        let share = Share::take();
        let reader = &mut self.reader;
        let tag = if sealing.is_some() { TAG } else { 0 };
        let mut current = Half::new(share.segments_in(), tag);
        let (mut sealer, mut header) = match sealing {
            Some(Sealing { sealer, preceding }) => (Some(sealer), preceding),
            None => (None, None),
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
            let mut rest = Zeroizing::default();
            if let Some(sealer) = &mut sealer {
                let ends = last && ends(reader.size);
                if !ends {
                    rest = current.cut();
                }
                let sealed = current.seal(sealer, ends);
                sealed.map_err(|_| reader.too_large())?;
                // It never stands alone: the same segment may come with it again.
                if current.ready > 0
                    && let Some(header) = header.take()
                {
                    current.precede(&header);
                }
            }
            let bytes = current.finished();
            match &mut next {
                Some(next) if !last => {
                    let over = (at + bytes.len() as u64) % PAGE as u64;
                    // Less than a page, and the bytes are segments.
                    let (pages, over) = bytes.split_at(bytes.len() - over as usize);
                    write(pages)?;
                    at += pages.len() as u64;
                    next.precede(over);
                    std::mem::swap(&mut current, next);
                }
                _ => {
                    if !bytes.is_empty() {
                        write(bytes)?;
                    }
                    return Ok(rest);
                }
            }
        }
    }
}

/// The input, with what is known of it so far.
struct Reader<'a> {
    input: &'a mut dyn Read,
    seen: &'a mut dyn FnMut(&[u8]),
    size: u64,
    limit: u64,
}

impl Reader<'_> {
    /// Reads until the half is full or the input ends.
    fn fill(&mut self, half: &mut Half) -> Result<(), IntakeError> {
        while !half.is_full() {
            match self.read(half.room())? {
                0 => break,
                // Taken first of all, so that whatever was read is wiped.
                n => self.note(half.take(n))?,
            }
        }
        Ok(())
    }

    fn read(&mut self, room: &mut [u8]) -> Result<usize, IntakeError> {
        loop {
            match self.input.read(room) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(IntakeError::Input),
            }
        }
    }

    /// Counts bytes that were read, and shows them.
    fn note(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        (self.seen)(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
        match self.size > self.limit {
            true => Err(self.too_large()),
            false => Ok(()),
        }
    }

    fn too_large(&self) -> IntakeError {
        IntakeError::TooLarge { limit: self.limit }
    }
}

/// Writes end at a multiple of this, except the last.
pub(super) const PAGE: usize = 4096;

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
    /// Bytes that are ready to be written, from [`PAGE`] on.
    ready: usize,
}

impl Half {
    fn new(segments: usize, tag: usize) -> Self {
        Self {
            buffer: Buffer::new(PAGE + segments * (SEGMENT + tag)),
            segments,
            tag,
            preceding: 0,
            filled: 0,
            ready: 0,
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
        if self.tag == 0 {
            self.ready = self.filled;
        }
        &self.buffer.first(start + n)[start..]
    }

    /// Takes away what is short of a segment at the end.
    fn cut(&mut self) -> Zeroizing<Vec<u8>> {
        let end = self.plaintext() + self.filled;
        let length = self.filled % SEGMENT;
        self.filled -= length;
        Zeroizing::new(self.buffer.all()[end - length..end].to_vec())
    }

    /// Seals all segments where they will be written from. With `last` none follows: even without any
    /// byte there is one then.
    fn seal(&mut self, sealer: &mut Sealer, last: bool) -> Result<(), SealError> {
        self.ready = 0;
        if self.filled == 0 && !last {
            return Ok(());
        }
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
                self.ready = to - PAGE;
                return Ok(());
            }
        }
    }

    /// What is to be written, once it is sealed.
    fn finished(&mut self) -> &[u8] {
        &self.buffer.first(PAGE + self.ready)[PAGE - self.preceding..]
    }
}
