//! The journal of the object store, kept in the database.

use crate::metadata::{Multipart, RedbMetadata};
use crate::store::s3::{Journal, OpenUpload};
use std::io;

impl Journal for RedbMetadata {
    fn begun(&self, upload: &OpenUpload) -> io::Result<()> {
        self.multipart_begun(&row(upload)).map_err(io::Error::other)
    }

    fn named(&self, unnamed: &OpenUpload, upload: &OpenUpload) -> io::Result<()> {
        self.multipart_named(&row(unnamed), &row(upload))
            .map_err(io::Error::other)
    }

    fn ended(&self, upload: &OpenUpload) -> io::Result<()> {
        self.multipart_ended(&row(upload)).map_err(io::Error::other)
    }

    fn open(&self, after: Option<&OpenUpload>, limit: usize) -> io::Result<Vec<OpenUpload>> {
        let after = after.map(row);
        let rows = self.multiparts(after.as_ref(), limit);
        let rows = rows.map_err(io::Error::other)?.into_iter();
        let upload = |row: Multipart| OpenUpload {
            id: row.id,
            place: row.place,
            upload: row.upload,
            begun: row.begun,
        };
        Ok(rows.map(upload).collect())
    }
}

fn row(upload: &OpenUpload) -> Multipart {
    Multipart {
        id: upload.id,
        place: upload.place,
        upload: upload.upload.clone(),
        begun: upload.begun,
    }
}
