//! The journal of the object store, kept in the database.

use crate::metadata::RedbMetadata;
use crate::model::BlobId;
use crate::store::s3::Journal;
use std::io;

impl Journal for RedbMetadata {
    fn begun(&self, id: &BlobId, upload: &str) -> io::Result<()> {
        self.multipart_begun(id, upload).map_err(io::Error::other)
    }

    fn ended(&self, id: &BlobId) -> io::Result<()> {
        self.multipart_ended(id).map_err(io::Error::other)
    }

    fn open(&self, after: Option<&BlobId>, limit: usize) -> io::Result<Vec<(BlobId, String)>> {
        self.multiparts(after, limit).map_err(io::Error::other)
    }
}
