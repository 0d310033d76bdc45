//! The beginning of an open file: what its kind can be told from.

use super::{Error, OpenFile};
use crate::pipeline::{Output, SendError};
use crate::store::Reason;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

impl OpenFile {
    /// Up to `most` first bytes of the file. Counts nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the stored bytes are not those that were stored, [`Error::Away`] when
    /// they cannot be read now.
    pub fn first_bytes(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        let end = self.size.min(most as u64);
        let mut bytes = Collected(Vec::new());
        match self.source.send(0..end, &mut bytes) {
            Ok(()) => Ok(bytes.0),
            Err(SendError::Damaged) => {
                log::error!("link={} its stored file is damaged", self.link.lookup);
                Err(Error::Damaged)
            }
            Err(SendError::Blob(cause)) => {
                log::error!(
                    "link={} its stored file cannot be read: {cause}",
                    self.link.lookup
                );
                Err(Error::Away(Reason::public_of(&cause)))
            }
            Err(SendError::Output(cause)) => Err(Error::Internal(cause.to_string())),
        }
    }
}

/// Takes bytes into memory.
struct Collected(Vec<u8>);

impl Output for Collected {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn send_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let start = self.0.len();
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.0.resize(start + length, 0);
        file.read_exact_at(&mut self.0[start..], offset)
    }

    fn settle(&mut self) -> u64 {
        self.0.len() as u64
    }

    fn ready(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn parts_of_files_and_bytes_are_collected_in_their_order() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut bytes = Collected(Vec::new());
        bytes.write_all(b"ab").unwrap();
        bytes.send_file(&file, 3, 4).unwrap();
        bytes.write_all(b"c").unwrap();
        assert_eq!((bytes.settle(), bytes.0.as_slice()), (7, &b"ab3456c"[..]));
        let short = bytes.send_file(&file, 8, 4).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
