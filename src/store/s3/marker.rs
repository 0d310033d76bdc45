//! Whose bucket it is. An object beside the blobs bears the mark of one installation, which is made
//! from a secret of its own and the number of its database. Two that share a bucket and a prefix would each take the other's files
//! for leftovers, and so would a new database all files of a lost one: the second finds the mark of the first, stores nothing and removes nothing.
//!
//! A copy of an installation has the same mark. So each process writes a number of its own beside it. One
//! that starts takes the mark over, and whoever finds a strange number later knows that two are at work:
//! it removes nothing, and writes another number, which tells the other. What the last process left when
//! it crashed looks the same as what a live one has written, so whoever took a mark over looks for leftovers
//! only after the other would have spoken.

use super::access::Turn;
use super::error::{Kind, S3Error};
use super::presence::{Presence, SURE};
use super::read::Reads;
use super::request::{Method, Request};
use crate::model::progress;
use crate::store::{Reason, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The name of the object, after the prefix.
pub(super) const NAME: &str = "mayfly-owner";
/// Longest mark that is read, in bytes.
const LIMIT: usize = 1024;

/// The mark of this installation.
pub(super) struct Marker {
    mark: String,
    key: String,
    sure: Duration,
    found: Mutex<Found>,
    presence: Mutex<Presence>,
    /// Why the last look failed. Held while one looks: two would take each other for somebody else.
    looking: Mutex<Option<Reason>>,
    looks: AtomicU64,
}

/// What was found when the mark was looked for last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Unknown,
    Ours,
    Anothers,
    /// Something that no Mayfly has written.
    Nonsense,
}

impl Marker {
    /// `mark`: 32 hex digits that no other installation has. `prefix`: of the objects.
    pub(super) fn new(mark: &str, prefix: &str) -> Self {
        Self {
            mark: mark.to_owned(),
            key: format!("{prefix}{NAME}"),
            sure: SURE,
            found: Mutex::new(Found::Unknown),
            presence: Mutex::new(Presence::new()),
            looking: Mutex::default(),
            looks: AtomicU64::new(0),
        }
    }

    /// The same, with another time after which a process that has said nothing is gone.
    pub(super) fn with_sure(mut self, sure: Duration) -> Self {
        self.sure = sure;
        self
    }

    /// Whether the mark was found, or made, when it was looked for last.
    pub(super) fn is_ours(&self) -> bool {
        *lock(&self.found) == Found::Ours
    }

    /// What is wrong when the bucket is another's, as far as that is known.
    pub(super) fn problem(&self) -> Option<String> {
        let found = *lock(&self.found);
        match found {
            Found::Anothers => Some(self.anothers()),
            Found::Nonsense => Some(self.nonsense()),
            Found::Unknown | Found::Ours => None,
        }
    }

    /// Why nothing is removed from the bucket; nothing while this process is the only one there.
    pub(super) fn remark(&self) -> Option<String> {
        lock(&self.presence).is_shared().then(|| self.shared())
    }

    /// Whether objects may be deleted that the database has done with.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another may need them.
    pub(super) fn may_delete(&self) -> Result<(), StoreError> {
        match self.remark().or_else(|| self.problem()) {
            Some(why) => Err(refused(why)),
            None => Ok(()),
        }
    }

    /// Whether what the database does not know may be taken for leftovers.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another may have stored it.
    pub(super) fn may_sweep(&self, now: Duration) -> Result<(), StoreError> {
        self.may_delete()?;
        if lock(&self.presence).is_alone(now, self.sure) {
            return Ok(());
        }
        Err(refused(
            "the last process has not signed off, so another one may use the bucket; if none says so \
             within some minutes, leftovers are looked for"
                .to_owned(),
        ))
    }

    /// Looks for the mark, makes it if there is none, and puts the number of this process beside it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another's is there, or nothing can be said.
    pub(super) fn look(&self, reads: &Reads) -> Result<(), StoreError> {
        let before = self.looks.load(Ordering::SeqCst);
        let mut last = progress::waiting(|| lock(&self.looking));
        if self.looks.load(Ordering::SeqCst) != before {
            // Somebody else has just looked.
            return last.clone().map_or(Ok(()), |why| Err(refused(why)));
        }
        let result = self.look_now(reads);
        *last = match &result {
            Err(StoreError::Refused(cause)) => Some(Reason::of(cause)),
            Err(error) => Some(error.to_string().into()),
            Ok(()) => None,
        };
        self.looks.fetch_add(1, Ordering::SeqCst);
        result
    }

    fn look_now(&self, reads: &Reads) -> Result<(), StoreError> {
        let found = reads.in_turn(|turn| match self.get(turn)? {
            Some(found) => Ok(Some(found)),
            None => {
                lock(&self.presence).begins();
                self.put(turn)?;
                // Two may have found none, and one of them has been quicker.
                self.get(turn)
            }
        })?;
        let found = found.unwrap_or_default();
        let text = String::from_utf8_lossy(&found);
        let mut lines = text.lines().map(str::trim);
        let mark = lines.next().unwrap_or_default();
        if mark != self.mark {
            let is_mark = mark.len() == 32 && mark.bytes().all(|b| b.is_ascii_hexdigit());
            let (found, why) = match is_mark {
                true => (Found::Anothers, self.anothers()),
                false => (Found::Nonsense, self.nonsense()),
            };
            *lock(&self.found) = found;
            return Err(refused(why));
        }
        let number = lines.next().filter(|line| !line.is_empty());
        let now = reads.elapsed();
        let writes = lock(&self.presence).sees(number, now, self.sure);
        reads.in_turn(|turn| {
            // Reading shows nothing about storing. Nobody loses anything by the same bytes.
            if writes || turn.client.health().is_unwritable() {
                self.store(turn, &[])?;
            }
            Ok(())
        })?;
        *lock(&self.found) = Found::Ours;
        Ok(())
    }

    /// Tells the next process that this one has ended.
    ///
    /// # Errors
    /// [`StoreError::Refused`].
    pub(super) fn sign_off(&self, reads: &Reads) -> Result<(), StoreError> {
        let now = reads.elapsed();
        if !self.is_ours() || !lock(&self.presence).signs_off(now, self.sure) {
            return Ok(());
        }
        reads.in_turn(|turn| self.store(turn, &[]))
    }

    fn shared(&self) -> String {
        format!(
            "another process of this Mayfly uses the bucket, as {} in it says: a restored backup or a copy \
             of this machine that runs, too. Stop one of them, or give it an own prefix or bucket in [s3] \
             and an own data directory; until it has been silent for some minutes, nothing is removed \
             from the bucket. Files that were uploaded to the one that you stop are lost",
            self.key
        )
    }

    fn nonsense(&self) -> String {
        format!(
            "the object {} in the bucket, which is to say whose it is, says nothing that a Mayfly has \
             written: something else may answer instead of the bucket. Look at endpoint and bucket in \
             [s3]; if the bucket is the right one and no other Mayfly uses it, delete that object",
            self.key
        )
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

    fn get(&self, turn: &Turn<'_>) -> Result<Option<Vec<u8>>, S3Error> {
        match turn.call(&self.request(Method::Get, &[]), &[], LIMIT) {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if *error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put(&self, turn: &Turn<'_>) -> Result<(), S3Error> {
        match self.store(turn, &[("if-none-match", "*")]) {
            // Not every server knows the condition.
            Err(error) if *error.kind() == Kind::NotImplemented => self.store(turn, &[]),
            // Somebody was quicker.
            Err(error) if *error.kind() == Kind::Precondition => Ok(()),
            result => result,
        }
    }

    fn store(&self, turn: &Turn<'_>, headers: &[(&str, &str)]) -> Result<(), S3Error> {
        let body = match lock(&self.presence).number() {
            Some(number) => format!("{}\n{number}\n", self.mark),
            None => format!("{}\n", self.mark),
        };
        let request = self.request(Method::Put, headers);
        turn.call(&request, body.as_bytes(), LIMIT).map(drop)
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

fn refused(why: impl Into<Reason>) -> StoreError {
    StoreError::Refused(why.into().into())
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Values that are changed in one step are never half changed.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
