//! The verbs that all dialects share, in domain words: who may do what to which file, and when it
//! is over. No HTTP, no JSON, no paths.

mod accounts;
mod api_keys;
mod beginning;
mod chunked;
mod clock;
mod cookies;
mod copies;
mod counts;
mod credentials;
mod download;
mod error;
mod events;
mod files;
mod gaps;
mod garbage;
mod handover;
mod holds;
mod key_changes;
mod label;
mod lease_book;
mod limiter;
mod link_keys;
mod links;
mod maxima;
mod new_link;
mod passwords;
mod processor;
mod ranges;
mod recovery;
mod redirect;
mod removal;
mod sweep;
mod transfer;
mod transfers;
mod upload;
mod users;
mod uses;
mod zip;

#[cfg(test)]
mod tests;

pub use accounts::{AccountView, AccountWish, NewAccount, check_name, check_password};
pub use api_keys::{KEYS_MAX, KeyView, NewApiKey};
pub use chunked::{ChunkError, ChunkPlace, Parked};
pub use copies::CopyWish;
pub use credentials::{Proof, Session};
pub use download::{Download, DownloadWish, LEASE_SECONDS_DEFAULT, Part};
pub use error::Error;
pub use files::{Changes, FileView, PasswordChange};
pub use handover::Handover;
pub use key_changes::KeyRefusal;
pub use links::{Door, OpenFile, PublicView};
pub use recovery::RecoveryPhrase;
pub use upload::{Count, Lifetime, LinkWish, Received};
pub use users::{UserRefusal, UserView};
pub use zip::{OpenZip, ZIP_FILES, ZipDownload};

use crate::metadata::{Metadata, MetadataError};
use crate::model::{BlobId, Clock, Lookup, Secret, Timekeeper};
use crate::pipeline::seal::keys;
use crate::store::{Store, WaitingFiles};
use lease_book::LeaseBook;
use limiter::Limiter;
use passwords::PasswordRoom;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How uploads are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// Sealed; opens with the link or with a credential of the owner, nothing else.
    Link,
    /// As `Link`; the master key of the server opens the owners' accounts, too.
    Server,
    /// Plain.
    None,
}

/// What the service is told at its start and never changes.
#[derive(Clone)]
pub struct Policy {
    /// How uploads are kept.
    pub encryption: Encryption,
    /// Largest file, in bytes.
    pub max_file_size: u64,
    /// The most downloads that a link may be given; `None` is no maximum.
    pub max_downloads: Option<u32>,
    /// The most days from now that a link may be given; `None` is no maximum.
    pub max_days: Option<u32>,
    /// Whether equal uploads of one owner share their bytes.
    pub dedup: bool,
    /// How long a broken or silent download keeps its lease.
    pub lease: Duration,
    /// How long a given password opens a link.
    pub unlock: Duration,
    /// argon2id memory in KiB, and passes, for new passwords.
    pub password_cost: (u32, u32),
}

/// What the service works with; put together by `app`.
pub struct Parts {
    /// The database.
    pub metadata: Arc<dyn Metadata>,
    /// The bytes.
    pub store: Arc<dyn Store>,
    /// Where chunks wait whose place is not known yet.
    pub waiting: WaitingFiles,
    /// Time, with its doubts.
    pub clock: Arc<Timekeeper>,
    /// The server key: keeps dedup tags and address hashes from being guessed. Lives on disk.
    pub server_key: Secret,
    /// The master key, with [`Encryption::Server`].
    pub master_key: Option<Secret>,
    /// Called when the outcome of a write is unknown: the process must stop accepting and exit.
    pub on_fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The service. One for the process; every method may be called from any thread.
pub struct Service {
    parts: Parts,
    policy: Policy,
    /// Seals what must not outlive this process.
    process_key: Secret,
    limiter: Limiter,
    passwords: PasswordRoom,
    /// Blobs between their rename and their commit: the orphan sweep keeps away from them.
    publishing: Mutex<HashSet<BlobId>>,
    /// Uploads in chunks that somebody is at.
    chunk_works: chunked::Works,
    /// When the last chunk of each came, since the boot.
    recent_chunks: Mutex<HashMap<Lookup, Duration>>,
    book: Mutex<LeaseBook>,
    /// Held by whoever wraps the keys of a link anew.
    rewriting: Mutex<()>,
    /// Complete downloads of links without a limit since the last flush.
    counts: counts::Counts,
    garbage: Mutex<garbage::Progress>,
    complaint: garbage::Complaint,
    /// Files that are being packed.
    holds: holds::Holds,
    /// How far the orphan sweep has come.
    orphans_after: Mutex<Option<BlobId>>,
    /// How far the check of stored files has come.
    checked_after: Mutex<Option<BlobId>>,
    care: Mutex<clock::Care>,
    uses: uses::Uses,
    removals: removal::Removals,
}

impl Service {
    /// Puts a service together. Does nothing yet; see [`Service::recover`].
    pub fn new(parts: Parts, policy: Policy) -> Self {
        Self {
            parts,
            policy,
            process_key: keys::random_secret(),
            limiter: Limiter::default(),
            passwords: PasswordRoom::default(),
            publishing: Mutex::default(),
            chunk_works: chunked::Works::default(),
            recent_chunks: Mutex::default(),
            book: Mutex::default(),
            rewriting: Mutex::default(),
            counts: counts::Counts::default(),
            garbage: Mutex::default(),
            complaint: garbage::Complaint::default(),
            holds: holds::Holds::default(),
            orphans_after: Mutex::default(),
            checked_after: Mutex::default(),
            care: Mutex::new(clock::Care::new()),
            uses: uses::Uses::default(),
            removals: removal::Removals::default(),
        }
    }

    /// The time that it goes by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::<Timekeeper>::clone(&self.parts.clock)
    }

    /// The policy it was made with.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What a failure of the database means for the caller. An unknown outcome ends the process.
    fn failed(&self, error: MetadataError) -> Error {
        if matches!(error, MetadataError::OutcomeUnknown(_)) {
            return self.fatal(&error.to_string());
        }
        log::error!("{error}");
        match error {
            MetadataError::ReadOnly => return Error::ReadOnly,
            MetadataError::Full => return Error::DatabaseFull,
            MetadataError::Quota => return Error::Quota,
            _ => {}
        }
        Error::Internal(error.to_string())
    }

    /// The outcome of a write is unknown: nothing may be repaired or removed by this process any
    /// more, the next start finds out.
    fn fatal(&self, what: &str) -> Error {
        log::error!("{what}");
        (self.parts.on_fatal)(what);
        Error::Internal(what.to_owned())
    }
}
