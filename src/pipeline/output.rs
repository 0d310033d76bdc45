//! The way out: any range of the plaintext, opened segment by segment.

use crate::model::Secret;
use crate::store::StoredBlob;
use std::fs::File;
use std::io;
use std::ops::Range;

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

/// An open blob, as plaintext.
pub struct Source {
    _private: (),
}

impl Source {
    /// Opens a plain blob of `size` bytes.
    ///
    /// # Errors
    /// [`SendError::Damaged`] when the store has another number of bytes.
    pub fn plain(_blob: Box<dyn StoredBlob>, _size: u64) -> Result<Self, SendError> {
        todo!()
    }

    /// Opens a sealed blob of `size` bytes of plaintext. Reads its header.
    ///
    /// # Errors
    /// [`SendError::Damaged`] when header or length are not those of such a blob.
    pub fn sealed(
        _blob: Box<dyn StoredBlob>,
        _size: u64,
        _key: &Secret,
    ) -> Result<Self, SendError> {
        todo!()
    }

    /// Sends the bytes of `range` (within the size). Nothing of a segment leaves before the segment
    /// has proved authentic.
    ///
    /// # Errors
    /// [`SendError`]. What was written before stays written.
    pub fn send(&mut self, _range: Range<u64>, _output: &mut dyn Output) -> Result<(), SendError> {
        todo!()
    }
}
