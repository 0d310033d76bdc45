//! Object storage that speaks the S3 protocol: a client that moves bytes, and what the store needs around it.
//!
//! One connection pool for the process, blocking calls, flat memory. Requests are signed with signature version
//! 4. Nothing that a server answers is trusted: heads, bodies and documents are bounded, redirects are not followed.

mod abandoned;
mod access;
mod answer;
mod assembly;
mod bucket;
mod claims;
mod client;
mod counted;
mod diagnose;
mod error;
mod exchange;
mod explain;
mod failure;
mod fetchers;
mod health;
mod journal;
mod ledger;
mod leftovers;
mod link;
mod listing;
mod marker;
mod multipart;
mod names;
mod parts;
mod permits;
mod pieces;
mod place;
mod presence;
mod read;
mod readers;
mod redirect;
mod request;
mod senders;
mod settings;
mod shares;
mod sign;
mod socket;
pub(super) mod spool;
mod stage;
mod stopping;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod trials;
mod tries;
mod trust;
mod turns;
mod uploads;
mod window;
mod windows;
pub mod xml;

pub use answer::{Answer, Range, Streaming};
pub use client::Client;
pub use diagnose::{Finding, Mend, Outcome, Trouble, diagnose, diagnose_redirects};
pub use error::{Kind, S3Error};
pub use explain::{endpoint_in, is_temporary_key};
pub use health::Health;
pub(super) use ledger::NAMES as BUCKET_ASSEMBLY;

pub use journal::{Journal, MemoryJournal, OpenUpload};
pub use request::{Method, Request};
pub use settings::{Credentials, S3Settings};
pub use store::S3Store;
pub use tries::Retries;
pub use uploads::Uploads;
