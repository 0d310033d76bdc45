//! Several files as one zip archive, written while they pass: stored, not compressed, and of a length that is
//! known before the first byte.
//!
//! As PKWARE's APPNOTE 6.3.10 has it: the checksum of a file is known only behind it, so it comes in a data
//! descriptor (4.3.9), for which its local header has zeros (4.4.4). Zip64 (4.5.3) is used where a number needs it,
//! and nowhere else. Names are UTF-8 and say so (4.4.4, bit 11). Each file has the time of its last change, in the
//! two seconds of DOS and in the seconds of the extended timestamp of Info-ZIP.

mod names;
mod records;

pub use names::Names;

use super::Output;
use super::buffer::{Buffer, Share};
use super::seal::SEGMENT;
use crate::model::Timestamp;
use crc32fast::Hasher;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// One file of an archive.
pub struct Entry {
    /// Its name, as [`Names`] gave it.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was changed last.
    pub modified: Timestamp,
}

/// What an archive looks like: where each file of it begins, and how long it is.
pub struct Archive {
    entries: Vec<Entry>,
    /// The offset of each local header.
    starts: Vec<u64>,
    /// The offset of the central directory.
    directory: u64,
    length: u64,
}

impl Archive {
    /// Plans an archive of these files, in their order. `None` when it has more bytes than can be counted.
    pub fn new(entries: Vec<Entry>) -> Option<Self> {
        let mut starts = Vec::with_capacity(entries.len());
        let mut at = 0u64;
        for entry in &entries {
            starts.push(at);
            at = at
                .checked_add(records::local(entry).len() as u64)?
                .checked_add(entry.size)?
                .checked_add(records::descriptor(entry, 0).len() as u64)?;
        }
        let directory = at;
        for (entry, start) in entries.iter().zip(&starts) {
            at = at.checked_add(records::central(entry, *start, 0).len() as u64)?;
        }
        let end = records::end(entries.len() as u64, directory, at);
        let length = at.checked_add(end.len() as u64)?;
        Some(Self {
            entries,
            starts,
            directory,
            length,
        })
    }

    /// Bytes of the whole archive.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where in the archive the bytes of a file are.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn bytes_of(&self, file: usize) -> Range<u64> {
        let entry = &self.entries[file];
        let start = self.starts[file] + records::local(entry).len() as u64;
        start..start + entry.size
    }

    /// Begins to write it.
    pub fn writer(&self) -> Writer<'_> {
        Writer {
            archive: self,
            sums: Vec::with_capacity(self.entries.len()),
        }
    }
}

/// Writes an archive, file after file.
pub struct Writer<'a> {
    archive: &'a Archive,
    /// The CRC-32 of each file so far.
    sums: Vec<u32>,
}

impl Writer<'_> {
    /// Writes the next file: `send` writes its bytes, as many as were planned.
    ///
    /// # Errors
    /// What `send` or the output reports; [`io::ErrorKind::InvalidData`] for another number of bytes. The
    /// archive is of no use then, and has to be broken off.
    ///
    /// # Panics
    /// When there are no more files.
    pub fn file(
        &mut self,
        output: &mut dyn Output,
        send: impl FnOnce(&mut dyn Output) -> io::Result<()>,
    ) -> io::Result<()> {
        let entry = &self.archive.entries[self.sums.len()];
        output.write_all(&records::local(entry))?;
        let mut summed = Summed {
            output,
            sum: Hasher::new(),
            count: 0,
        };
        send(&mut summed)?;
        if summed.count != entry.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a file of a zip has another length than it had",
            ));
        }
        let sum = summed.sum.finalize();
        output.write_all(&records::descriptor(entry, sum))?;
        self.sums.push(sum);
        Ok(())
    }

    /// Writes what comes behind the files.
    ///
    /// # Errors
    /// What the output reports; [`io::ErrorKind::InvalidData`] when a file is missing.
    pub fn finish(self, output: &mut dyn Output) -> io::Result<()> {
        let Archive {
            entries,
            starts,
            directory,
            ..
        } = self.archive;
        if self.sums.len() != entries.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a file of a zip is missing",
            ));
        }
        let mut at = *directory;
        let mut batch = Vec::new();
        for ((entry, start), sum) in entries.iter().zip(starts).zip(&self.sums) {
            batch.extend_from_slice(&records::central(entry, *start, *sum));
            if batch.len() >= SEGMENT {
                at += batch.len() as u64;
                output.write_all(&batch)?;
                batch.clear();
            }
        }
        at += batch.len() as u64;
        batch.extend_from_slice(&records::end(entries.len() as u64, *directory, at));
        output.write_all(&batch)
    }
}

/// Passes bytes on, and adds up their checksum.
struct Summed<'a> {
    output: &'a mut dyn Output,
    sum: Hasher,
    count: u64,
}

impl Output for Summed<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.count += bytes.len() as u64;
        self.output.write_all(bytes)
    }

    /// The bytes have to be looked at, so they come this way.
    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let share = Share::take();
        let end = offset + length;
        let mut at = offset;
        let mut kept: Option<Buffer> = None;
        while at < end {
            kept = kept.filter(|_| share.is_large());
            // A client that stands still holds no small buffer.
            self.output.ready()?;
            let most = share.segments_out() * SEGMENT;
            let length = usize::try_from(end - at).map_or(most, |rest| rest.min(most));
            let mut buffer = kept
                .take()
                .filter(|buffer| buffer.holds(length))
                .unwrap_or_else(|| Buffer::new(length));
            let bytes = buffer.first(length);
            file.read_exact_at(bytes, at)?;
            self.write_all(bytes)?;
            at += length as u64;
            kept = Some(buffer);
        }
        Ok(())
    }

    fn settle(&mut self) -> u64 {
        self.output.settle()
    }

    fn ready(&mut self) -> io::Result<()> {
        self.output.ready()
    }
}

#[cfg(test)]
mod tests;
