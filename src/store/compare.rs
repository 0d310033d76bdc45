//! Keeps other bytes from being written over what is there.
//!
//! Bytes that are sealed must never be replaced by others that are sealed with the same key and number. So before
//! anything is written where there may be data, it is read: each block of the medium must be empty, or
//! have the same bytes, or, at an end of what was written before, be empty up to there.

use super::StoreError;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The smallest that a medium writes whole or not at all, in bytes.
const BLOCK: usize = 512;
/// What is compared in one go.
const COMPARED: usize = 8 * BLOCK;

/// What is known of the data that were in a file before something is written there from front to back.
pub(super) struct Before {
    /// Up to where it was looked for.
    known: u64,
}

impl Before {
    /// For what is written from `offset` on.
    pub(super) fn from(offset: u64) -> Self {
        Self { known: offset }
    }

    /// Fails when other bytes than these may have been at `at` before.
    ///
    /// # Errors
    /// [`StoreError::Differs`]; [`StoreError::Unavailable`] when the file cannot be read.
    pub(super) fn allows(&mut self, file: &File, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let end = at + bytes.len() as u64;
        while self.known < end {
            let next = next_data(file, self.known.max(at));
            let next = next.map_err(|e| StoreError::Unavailable(e.into()))?;
            let Some((data, hole)) = next else {
                self.known = u64::MAX;
                return Ok(());
            };
            if data >= end {
                self.known = data;
                return Ok(());
            }
            let stop = hole.min(end);
            let within = |offset: u64| usize::try_from(offset - at).ok();
            // Both are within the slice, whose length is a number that the machine can count to.
            let part = within(data).zip(within(stop));
            let part = part.and_then(|(from, to)| bytes.get(from..to));
            compare(file, part.unwrap_or_default(), data)?;
            self.known = stop;
        }
        Ok(())
    }
}

fn compare(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<(), StoreError> {
    let mut buffer = [0; COMPARED];
    while !bytes.is_empty() {
        // Up to where a block ends.
        let into = (offset % COMPARED as u64) as usize;
        let (now, later) = bytes.split_at(bytes.len().min(COMPARED - into));
        let there = &mut buffer[..now.len()];
        file.read_exact_at(there, offset)
            .map_err(StoreError::Unavailable)?;
        let first = (BLOCK - into % BLOCK).min(now.len());
        let (begin, rest) = there.split_at(first);
        let mut blocks = now[first..].chunks(BLOCK).zip(rest.chunks(BLOCK));
        if !may_be_written(&now[..first], begin) || !blocks.all(|(now, b)| may_be_written(now, b)) {
            return Err(StoreError::Differs);
        }
        offset += now.len() as u64;
        bytes = later;
    }
    Ok(())
}

/// Whether `there`, which lies in one block, is empty, or has the same bytes where it is not.
fn may_be_written(bytes: &[u8], there: &[u8]) -> bool {
    let is_written = |byte: &u8| *byte != 0;
    let (Some(first), Some(last)) = (
        there.iter().position(is_written),
        there.iter().rposition(is_written),
    ) else {
        return true;
    };
    bytes.get(first..=last) == there.get(first..=last)
}

/// Where the next data are at or after `from`, and where they end. Without help from the file system all of the
/// file is data.
pub(super) fn next_data(file: &File, from: u64) -> rustix::io::Result<Option<(u64, u64)>> {
    let data = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(data) => data,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => from,
        Err(e) => return Err(e),
    };
    match rustix::fs::seek(file, SeekFrom::Hole(data)) {
        Ok(hole) => Ok(Some((data, hole))),
        // Nothing is in its way any more.
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some((data, u64::MAX))),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_may_be_empty_or_the_same_or_empty_up_to_where_it_is_the_same() {
        for (there, may) in [
            (*b"\0\0\0\0\0\0\0\0", true),
            (*b"abcdefgh", true),
            (*b"abc\0\0\0\0\0", true),
            (*b"\0\0\0\0\0fgh", true),
            (*b"\0\0cde\0\0\0", true),
            (*b"abc\0\0\0\0h", false),
            (*b"abcdefgH", false),
            (*b"x\0\0\0\0\0\0\0", false),
        ] {
            assert_eq!(may_be_written(b"abcdefgh", &there), may, "{there:?}");
        }
        // Zeros that are meant are bytes as others are.
        assert!(may_be_written(b"a\0\0d", b"a\0\0d"));
    }
}
