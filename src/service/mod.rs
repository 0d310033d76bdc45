//! The verbs that all dialects share, in domain words: who may do what to which file, and when it
//! is over. No HTTP, no JSON, no paths.

mod accounts;
mod beginning;
mod download;
mod error;
mod files;
mod limiter;
mod links;
mod sweep;
mod upload;

pub use accounts::{NewAccount, NewApiKey, Session};
pub use download::{Download, DownloadWish, LEASE_SECONDS_DEFAULT, Part};
pub use error::Error;
pub use files::{Changes, FileView, PasswordChange};
pub use links::{Door, OpenFile, PublicView};
pub use upload::{Count, Lifetime, LinkWish, Received};

use crate::metadata::Metadata;
use crate::model::{Clock, Secret};
use crate::store::Store;
use std::sync::Arc;
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
    /// Time.
    pub clock: Arc<dyn Clock>,
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
}

impl Service {
    /// Puts a service together. Does nothing yet; see [`Service::recover`].
    pub fn new(parts: Parts, policy: Policy) -> Self {
        Self { parts, policy }
    }

    /// The policy it was made with.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}
