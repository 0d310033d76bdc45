//! The journal of the object store, kept in the database.

use crate::metadata::{Multipart, RedbMetadata};
use crate::store::s3::{Journal, OpenUpload};
use std::io;

impl Journal for RedbMetadata {
    fn begun(&self, upload: &OpenUpload) -> io::Result<()> {
        self.multipart_begun(&row(upload)).map_err(io::Error::other)
    }

    fn ended(&self, upload: &OpenUpload) -> io::Result<()> {
        self.multipart_ended(&row(upload)).map_err(io::Error::other)
    }

    fn open(&self, after: Option<&OpenUpload>, limit: usize) -> io::Result<Vec<OpenUpload>> {
        let after = after.map(row);
        let rows = self.multiparts(after.as_ref(), limit);
        let upload = |Multipart { id, place, upload }| OpenUpload { id, place, upload };
        Ok(rows
            .map_err(io::Error::other)?
            .into_iter()
            .map(upload)
            .collect())
    }
}

fn row(upload: &OpenUpload) -> Multipart {
    let OpenUpload { id, place, upload } = upload.clone();
    Multipart { id, place, upload }
}
