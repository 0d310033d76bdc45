//! Whose bucket it is. An object beside the blobs bears the mark of one installation, which is made
//! from a secret of its own and the number of its database. Two that share a bucket and a prefix would each take the other's files
//! for leftovers, and so would a new database all files of a lost one: the second finds the mark of the first, stores nothing and removes nothing.

use super::client::Client;
use super::error::{Kind, S3Error};
use super::read::Reads;
use super::request::{Method, Request};
use crate::store::StoreError;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name of the object, after the prefix.
pub(super) const NAME: &str = "mayfly-owner";
/// Longest mark that is read, in bytes.
const LIMIT: usize = 1024;

/// The mark of this installation.
pub(super) struct Marker {
    mark: String,
    key: String,
    found: Mutex<Found>,
}

/// What was found when the mark was looked for last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Unknown,
    Ours,
    Anothers,
}

impl Marker {
    /// `mark`: 32 hex digits that no other installation has. `prefix`: of the objects.
    pub(super) fn new(mark: &str, prefix: &str) -> Self {
        Self {
            mark: mark.to_owned(),
            key: format!("{prefix}{NAME}"),
            found: Mutex::new(Found::Unknown),
        }
    }

    /// Whether the mark was found, or made, when it was looked for last.
    pub(super) fn is_ours(&self) -> bool {
        *self.found() == Found::Ours
    }

    /// What is wrong when the bucket is another's, as far as that is known.
    pub(super) fn problem(&self) -> Option<String> {
        (*self.found() == Found::Anothers).then(|| self.anothers())
    }

    /// Looks for the mark, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another's is there, or nothing can be said.
    pub(super) fn look(&self, reads: &Reads) -> Result<(), StoreError> {
        let found = reads.in_turn(|client| {
            if let Some(found) = self.get(client)? {
                // Reading shows nothing about storing. Nobody loses anything by the same bytes.
                if client.health().is_unwritable() && self.is_mark(&found) {
                    self.store(client, &[])?;
                }
                return Ok(Some(found));
            }
            self.put(client)?;
            // Two may have found none, and one of them has been quicker.
            self.get(client)
        })?;
        if found.is_some_and(|found| self.is_mark(&found)) {
            *self.found() = Found::Ours;
            return Ok(());
        }
        *self.found() = Found::Anothers;
        Err(StoreError::Refused(io::Error::other(self.anothers())))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // A value that is changed in one step is never half changed.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn anothers(&self) -> String {
        format!(
            "the bucket belongs to another Mayfly, or to another database of this one: the object {} in \
             it bears another mark. Give each an own prefix or bucket in [s3]; if server.key or the \
             database was lost, put it back from a backup. If you delete that object, it is made anew, \
             and files that the database does not know are removed from the bucket",
            self.key
        )
    }

    fn get(&self, client: &Client) -> Result<Option<Vec<u8>>, S3Error> {
        match client.call(&self.request(Method::Get, &[]), &[], LIMIT) {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if *error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put(&self, client: &Client) -> Result<(), S3Error> {
        match self.store(client, &[("if-none-match", "*")]) {
            // Not every server knows the condition.
            Err(error) if *error.kind() == Kind::NotImplemented => self.store(client, &[]),
            // Somebody was quicker.
            Err(error) if *error.kind() == Kind::Precondition => Ok(()),
            result => result,
        }
    }

    fn store(&self, client: &Client, headers: &[(&str, &str)]) -> Result<(), S3Error> {
        let body = format!("{}\n", self.mark);
        let request = self.request(Method::Put, headers);
        client.call(&request, body.as_bytes(), LIMIT).map(drop)
    }

    fn is_mark(&self, found: &[u8]) -> bool {
        found.trim_ascii() == self.mark.as_bytes()
    }

    fn request<'a>(&'a self, method: Method, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
        Request {
            method,
            key: &self.key,
            query: &[],
            headers,
        }
    }
}
