//! The way out: any range of the plaintext, opened segment by segment.

use super::buffer::{Buffer, Share};
use super::seal::{HEADER, Opener, SEGMENT, TAG, plaintext_len};
use crate::model::Secret;
use crate::store::{Presentation, StoredBlob};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;

const SLOT: u64 = (SEGMENT + TAG) as u64;

/// Where the bytes go. The same as `http::Sink`, without HTTP.
pub trait Output {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What the receiver reports.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Sends a part of a file as it is.
    ///
    /// # Errors
    /// What the receiver or the file reports.
    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()>;
    /// Waits until everything is acknowledged or the receiver is lost; returns the bytes that it
    /// has acknowledged, of all that were written here.
    fn settle(&mut self) -> u64;
    /// Waits until the receiver takes bytes again, so that memory is filled for nobody who stands
    /// still. At once where nothing can stand still.
    ///
    /// # Errors
    /// What the receiver reports; `TimedOut` when it takes nothing for too long.
    fn ready(&mut self) -> io::Result<()>;
}

/// Why sending stopped.
#[derive(Debug)]
pub enum SendError {
    /// The receiver failed.
    Output(io::Error),
    /// The store failed.
    Blob(io::Error),
    /// The stored bytes are not those that were sealed.
    Damaged,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(_) => write!(f, "the receiver was lost"),
            Self::Blob(_) => write!(f, "the stored bytes cannot be read"),
            Self::Damaged => write!(f, "the stored bytes are not those that were stored"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Output(e) | Self::Blob(e) => Some(e),
            Self::Damaged => None,
        }
    }
}

/// An open blob, as plaintext.
pub struct Source {
    blob: Box<dyn StoredBlob>,
    size: u64,
    /// None for a plain blob.
    opener: Option<Opener>,
}

impl Source {
    /// Opens a plain blob of `size` bytes.
    ///
    /// # Errors
    /// [`SendError::Damaged`] when the store has another number of bytes.
    pub fn plain(blob: Box<dyn StoredBlob>, size: u64) -> Result<Self, SendError> {
        if blob.size() != size {
            return Err(SendError::Damaged);
        }
        Ok(Self {
            blob,
            size,
            opener: None,
        })
    }

    /// Opens a sealed blob of `size` bytes of plaintext. Reads its header, and the whole of an
    /// empty file: there is nothing to authenticate later.
    ///
    /// # Errors
    /// [`SendError::Damaged`] when header or length are not those of such a blob.
    pub fn sealed(blob: Box<dyn StoredBlob>, size: u64, key: &Secret) -> Result<Self, SendError> {
        if plaintext_len(blob.size()) != Some(size) {
            return Err(SendError::Damaged);
        }
        let mut header = [0; HEADER];
        read(&*blob, &mut header, 0)?;
        let opener = Opener::new(key, &header).map_err(|_| SendError::Damaged)?;
        if size == 0 {
            let mut segment = [0; TAG];
            read(&*blob, &mut segment, HEADER as u64)?;
            opener
                .open(0, true, &mut segment, 0)
                .map_err(|_| SendError::Damaged)?;
        }
        Ok(Self {
            blob,
            size,
            opener: Some(opener),
        })
    }

    /// An address at which others get these bytes; `None` for those that only we can open.
    pub fn address(&self, shown: &Presentation<'_>) -> Option<String> {
        match self.opener {
            Some(_) => None,
            None => self.blob.address(shown),
        }
    }

    /// Sends the bytes of `range` (within the size). Nothing of a segment leaves before the segment
    /// has proved authentic.
    ///
    /// # Errors
    /// [`SendError`]. What was written before stays written. A range beyond the size is
    /// `Blob(InvalidInput)`, and nothing is written.
    pub fn send(&mut self, range: Range<u64>, output: &mut dyn Output) -> Result<(), SendError> {
        if range.end > self.size {
            return Err(SendError::Blob(io::ErrorKind::InvalidInput.into()));
        }
        if range.is_empty() {
            return Ok(());
        }
        match (&self.opener, self.blob.file()) {
            (Some(opener), _) => self.send_sealed(opener, range, output),
            (None, None) => self.send_copied(range, output),
            (None, Some(file)) => output
                .send_file(file, range.start, range.end - range.start)
                .map_err(|e| match e.kind() {
                    // Only the file can end early: its length was right when it was opened.
                    io::ErrorKind::UnexpectedEof => SendError::Damaged,
                    _ => SendError::Output(e),
                }),
        }
    }

    /// Sends a part of a plain blob that is no file.
    fn send_copied(&self, range: Range<u64>, output: &mut dyn Output) -> Result<(), SendError> {
        let share = Share::take();
        let length = clamp(range.end - range.start, share.segments_out() * SEGMENT);
        let mut buffer = Buffer::new(length);
        let mut at = range.start;
        while at < range.end {
            let bytes = buffer.first(clamp(range.end - at, length));
            read(&*self.blob, bytes, at)?;
            output.write_all(bytes).map_err(SendError::Output)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Sends a part of a sealed blob, some segments at a time.
    fn send_sealed(
        &self,
        opener: &Opener,
        range: Range<u64>,
        output: &mut dyn Output,
    ) -> Result<(), SendError> {
        const FULL: u64 = SEGMENT as u64;
        let share = Share::take();
        let last = (self.size - 1) / FULL;
        let mut number = range.start / FULL;
        let end = range.end.div_ceil(FULL);
        let mut kept: Option<Buffer> = None;
        while number < end {
            kept = kept.filter(|_| share.is_large());
            output.ready().map_err(SendError::Output)?;
            if kept.is_none() {
                self.blob.ready();
            }
            let batch = clamp(end - number, share.segments_out());
            let room = batch * (SEGMENT + TAG);
            let mut buffer = kept
                .take()
                .filter(|buffer| buffer.holds(room))
                .unwrap_or_else(|| Buffer::new(room));
            let count = clamp(end - number, batch);
            let from = HEADER as u64 + number * SLOT;
            let length = clamp(self.blob.size() - from, count * (SEGMENT + TAG));
            let bytes = buffer.first(length);
            read(&*self.blob, bytes, from)?;
            let mut opened = 0;
            for i in 0..count {
                let sealed_end = ((i + 1) * (SEGMENT + TAG)).min(length);
                let number = number + i as u64;
                // Opening shifts the plaintext down over the tags before it: the batch becomes
                // contiguous, and leaves with one call.
                opened += opener
                    .open(
                        number,
                        number == last,
                        &mut bytes[i * SEGMENT..sealed_end],
                        i * TAG,
                    )
                    .map_err(|_| SendError::Damaged)?
                    .len();
            }
            let base = number * FULL;
            let skip = clamp(range.start.saturating_sub(base), opened);
            let stop = clamp(range.end - base, opened);
            output
                .write_all(&bytes[skip..stop])
                .map_err(SendError::Output)?;
            number += count as u64;
            if share.is_large() {
                kept = Some(buffer);
            }
        }
        Ok(())
    }
}

/// The smaller of both.
fn clamp(wanted: u64, most: usize) -> usize {
    usize::try_from(wanted).map_or(most, |n| n.min(most))
}

fn read(blob: &dyn StoredBlob, buffer: &mut [u8], offset: u64) -> Result<(), SendError> {
    blob.read_exact_at(buffer, offset)
        .map_err(|e| match e.kind() {
            // The length was right when the blob was opened.
            io::ErrorKind::UnexpectedEof => SendError::Damaged,
            _ => SendError::Blob(e),
        })
}

#[cfg(test)]
mod tests;
