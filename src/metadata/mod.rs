//! What is known about the stored bytes: links, leases, blobs, accounts, keys.
//!
//! [`Metadata`] is written in domain words and is narrow enough for another engine: every method is
//! one atomic step, nothing above it relies on being the only process.

mod account_records;
mod accounts;
mod answers;
mod asked;
mod backend;
mod changes;
mod chunks;
mod clock;
mod codec;
mod database;
mod ended;
mod engine;
mod error;
mod file;
mod identity;
mod keys;
mod leases;
mod migrate;
mod multiparts;
mod opening;
mod reads;
mod records;
mod rewrite;
mod room;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod users;
mod verify;
mod writer;

pub use answers::{
    AccountEdited, AccountRemoved, ChunkAdded, ChunksBegun, KeyAdded, Published, Rewritten, Taken,
};
pub(crate) use asked::is_news;
pub use database::RedbMetadata;
pub use error::MetadataError;
pub use multiparts::Multipart;
pub use records::decode_any;
pub use rewrite::{Donor, Rewrite};
pub use users::{Actor, KeyChange, KeyChanged, MovedLink, Use, UserChange, UserChanged, Users};

use crate::model::{
    Account, AccountId, Allowance, ApiKey, Blob, BlobId, Chunk, ChunkSession, ClockRow, Expiry,
    Lease, LeaseId, Link, Lookup, Moment, PasswordParams, Rebase, Role, Timestamp,
};
use std::ops::Range;
use std::sync::Arc;

/// Called once, with the reason, when a commit failed or the file cannot be read any more: the
/// process must stop and start again.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// The database, in domain words. Every method is one transaction; a method that changes something
/// returns when the change is durable. Only what an ended upload in chunks leaves behind, which nothing
/// shows any more, goes in further ones.
///
/// # Errors
/// Every method: [`MetadataError`].
#[allow(
    clippy::missing_errors_doc,
    reason = "one error type for all, described on the trait"
)]
pub trait Metadata: Users + Send + Sync {
    /// The link of that hash, dead or alive.
    fn link(&self, lookup: &Lookup) -> Result<Option<Link>, MetadataError>;
    /// What a hotlink id opens: the link and the content key wrapped under the hotlink's key.
    fn hotlink(&self, hotlink: &Lookup) -> Result<Option<Hotlink>, MetadataError>;
    /// Up to `limit` links of `owner`, oldest first, after `after`. Fewer only at the end: a damaged
    /// record is logged and passed over.
    fn links_of(
        &self,
        owner: AccountId,
        after: Option<&LinkCursor>,
        limit: usize,
    ) -> Result<Vec<Link>, MetadataError>;
    /// Whether new things may be stored. Costs nothing; [`Metadata::publish`] does not ask again.
    ///
    /// # Errors
    /// [`MetadataError::Full`] or [`MetadataError::Quota`] while the file system refuses space that
    /// deletions may need. What is removed is removed meanwhile.
    fn room_for_more(&self) -> Result<(), MetadataError>;
    /// Makes a link visible, with its blob, its hotlink and its place in the dedup index.
    fn publish(&self, new: NewLink) -> Result<Published, MetadataError>;
    /// Changes a link. `None` when there is no such link; otherwise the link after the change. A change
    /// of the password that was made from what is no more changes nothing: the link then has another
    /// `by_owner` than the change.
    fn edit(&self, lookup: &Lookup, edit: LinkEdit) -> Result<Option<Link>, MetadataError>;
    /// Gives a link other bytes, or another owner: unless what it was made from is no more.
    fn rewrite(&self, change: Rewrite) -> Result<Rewritten, MetadataError>;
    /// Whether the end of a link is still to be put right by [`Metadata::rebase`].
    fn is_in_doubt(&self, lookup: &Lookup) -> Result<bool, MetadataError>;
    /// Removes a link. `None` when there was none; otherwise the blob to unlink, if that was its
    /// last reference. A freed blob is in [`Metadata::garbage`] until [`Metadata::collected`].
    fn remove(&self, lookup: &Lookup) -> Result<Option<Freed>, MetadataError>;

    /// Up to `limit` links whose [`Link::due`] is at or before `now`, earliest first, after `after`.
    fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, MetadataError>;
    /// How many links are due after `after` and at or before `until`, counted up to `limit`.
    fn count_due(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: u64,
    ) -> Result<u64, MetadataError>;
    /// Removes those of `links` that are still over at `now` ([`Link::is_over`]). One transaction.
    /// One with a damaged record is logged and passed over.
    fn remove_over(&self, links: &[Lookup], now: Timestamp) -> Result<Vec<Freed>, MetadataError>;

    /// Takes one download from a link: checks that it is visible at `lease.taken` and that one is
    /// left, moves it from `remaining` to `leased`, and records the lease.
    fn take_lease(&self, lease: &Lease) -> Result<Taken, MetadataError>;
    /// Records that the completing bytes are about to go out. False when the lease is no more.
    fn close_lease(&self, lease: &LeaseId) -> Result<bool, MetadataError>;
    /// The download is complete: counts it, drops the lease, and removes the link when that was its
    /// last download. Nothing happens when lease or link are no more.
    fn settle_lease(&self, lease: &LeaseId) -> Result<Freed, MetadataError>;
    /// The download did not happen: gives it back to the link and drops the lease.
    fn return_lease(&self, lease: &LeaseId) -> Result<(), MetadataError>;
    /// As [`Metadata::take_lease`] for one download from each of several links: all of them, or none. Where
    /// one cannot be had, the answers tell which, and nothing was changed.
    fn take_leases(&self, leases: &[Lease]) -> Result<Vec<Taken>, MetadataError>;
    /// As [`Metadata::close_lease`], for several.
    fn close_leases(&self, leases: &[LeaseId]) -> Result<Vec<bool>, MetadataError>;
    /// As [`Metadata::settle_lease`] and [`Metadata::return_lease`], for several. One whose link has a damaged
    /// record is logged and passed over.
    fn end_leases(
        &self,
        settled: &[LeaseId],
        returned: &[LeaseId],
    ) -> Result<Vec<Freed>, MetadataError>;
    /// Every open lease: what a start finds. A damaged record is logged and passed over.
    fn leases(&self) -> Result<Vec<Lease>, MetadataError>;
    /// Settles every lease that is closing, as a start does it. One transaction, however many there
    /// are. Damaged records are logged and passed over.
    fn settle_closing(&self) -> Result<Vec<Freed>, MetadataError>;
    /// Adds complete downloads to links without a limit. Links that are no more are passed over.
    fn add_downloads(&self, counts: &[(Lookup, u64)]) -> Result<(), MetadataError>;

    /// Up to `limit` blobs above `after`, in the order of their names. Fewer only at the end: a
    /// damaged record is logged and passed over.
    fn blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<Blob>, MetadataError>;
    /// Which of `ids` have no row, and come in no chunks: files in the store that nothing refers to.
    fn unknown_blobs(&self, ids: &[BlobId]) -> Result<Vec<BlobId>, MetadataError>;
    /// The blob with that dedup tag and its content key, wrapped under the hash of the plaintext.
    fn duplicate(&self, tag: &[u8; 32]) -> Result<Option<Duplicate>, MetadataError>;
    /// Up to `limit` blobs above `after` that were freed and whose bytes may still be there.
    fn garbage(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, MetadataError>;
    /// The bytes of these are gone.
    fn collected(&self, ids: &[BlobId]) -> Result<(), MetadataError>;

    /// The account of that number.
    fn account(&self, id: AccountId) -> Result<Option<Account>, MetadataError>;
    /// The account of that name, as [`folded_name`](crate::model::folded_name) compares names.
    fn account_named(&self, name: &str) -> Result<Option<Account>, MetadataError>;
    /// Up to `limit` accounts after `after`, in the order of their numbers.
    fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, MetadataError>;
    /// Adds an account, with its first API key if it gets one. The number in both is assigned here
    /// and returned. `None` when the name is taken.
    fn add_account(
        &self,
        account: Account,
        key: Option<ApiKey>,
    ) -> Result<Option<AccountId>, MetadataError>;
    /// Changes an account, but never so that no working administrator is left. Where the super admin would
    /// not be one any more, the oldest other takes over.
    fn edit_account(
        &self,
        id: AccountId,
        edit: AccountEdit,
    ) -> Result<AccountEdited, MetadataError>;
    /// Removes up to `limit` links of an account in one transaction. None when there are no more.
    fn remove_links_of(&self, owner: AccountId, limit: usize) -> Result<Vec<Freed>, MetadataError>;
    /// Removes an account without links, with its API keys and uploads in chunks: some of them with each
    /// call, and with the last of them the account. What the store has of those uploads is found there,
    /// as what nobody knows.
    fn remove_account(&self, id: AccountId) -> Result<AccountRemoved, MetadataError>;
    /// The API key of that hash.
    fn api_key(&self, lookup: &Lookup) -> Result<Option<ApiKey>, MetadataError>;
    /// The API key with that public id.
    fn api_key_named(&self, public_id: &str) -> Result<Option<ApiKey>, MetadataError>;
    /// Up to `limit` API keys of an account after `after`, in the order of their hashes.
    fn api_keys_of(
        &self,
        owner: AccountId,
        after: Option<&Lookup>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, MetadataError>;
    /// Adds an API key, unless its account has `most` of them.
    fn add_api_key(&self, key: ApiKey, most: u64) -> Result<KeyAdded, MetadataError>;
    /// Removes an API key. False when there was none.
    fn remove_api_key(&self, lookup: &Lookup) -> Result<bool, MetadataError>;

    /// Begins an upload in chunks, unless its account has `most` of them under way.
    fn begin_chunks(&self, session: &ChunkSession, most: u64)
    -> Result<ChunksBegun, MetadataError>;
    /// The upload in chunks of that hash.
    fn chunk_session(&self, lookup: &Lookup) -> Result<Option<ChunkSession>, MetadataError>;
    /// The chunks of an upload that overlap or touch `range` (bytes of the plaintext), in order: the
    /// first of them, where they are many. None when there is no such upload. A damaged record is logged
    /// and passed over, here and in [`Metadata::chunks`]: that chunk has to be sent again.
    fn chunks_around(
        &self,
        lookup: &Lookup,
        range: Range<u64>,
    ) -> Result<Vec<Chunk>, MetadataError>;
    /// What waits for the rest of each of `segments`, as [`Metadata::add_chunk`] was given it.
    fn edges(
        &self,
        lookup: &Lookup,
        segments: &[u64],
    ) -> Result<Vec<Option<Vec<u8>>>, MetadataError>;
    /// Takes down that a chunk is stored: in one step with what waits from now on for the rest of
    /// segments, `None` where nothing does any more. The upload counts as touched at `touched`.
    fn add_chunk(
        &self,
        lookup: &Lookup,
        chunk: Chunk,
        edges: Vec<(u64, Option<Vec<u8>>)>,
        touched: Timestamp,
    ) -> Result<ChunkAdded, MetadataError>;
    /// Up to `limit` chunks of an upload that begin after `after_offset`, in order. Fewer only at the end.
    fn chunks(
        &self,
        lookup: &Lookup,
        after_offset: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Chunk>, MetadataError>;
    /// Gives up an upload in chunks, in one step however many it has. `None` when there was none;
    /// otherwise its blob, to be abandoned in the store.
    fn drop_chunks(&self, lookup: &Lookup) -> Result<Option<BlobId>, MetadataError>;
    /// Up to `limit` uploads in chunks that were last touched before `before`, the longest idle first.
    /// A damaged record is logged and passed over.
    fn idle_chunks(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ChunkSession>, MetadataError>;

    /// What was kept of the clock last.
    fn clock(&self) -> Result<Option<ClockRow>, MetadataError>;
    /// Keeps this of the clock, durably.
    fn save_clock(&self, row: &ClockRow) -> Result<(), MetadataError>;
    /// Keeps this of the clock together with the next change that is made anyway, if it is newer
    /// than what is kept by more than [`MARK_STEP`]. Writes nothing by itself.
    fn offer_clock(&self, row: &ClockRow) -> Result<(), MetadataError>;
    /// Puts the ends of up to `limit` links right that were published with a moment of birth.
    /// Returns how many were looked at; those are not looked at again.
    fn rebase(&self, by: &Rebase, limit: usize) -> Result<usize, MetadataError>;

    /// How many links there are. Constant time.
    fn link_count(&self) -> Result<u64, MetadataError>;
}

/// A mark of the clock that is newer by fewer seconds is not worth a page in a change that is made
/// anyway.
pub const MARK_STEP: i64 = 60;

/// What a hotlink opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hotlink {
    /// The link it belongs to.
    pub link: Lookup,
    /// The link's content key, wrapped under the hotlink's key.
    pub by_hotlink: Vec<u8>,
}

/// A place in the listing of one owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkCursor {
    /// [`Link::created`] of the last link seen.
    pub created: Timestamp,
    /// [`Link::lookup`] of the last link seen.
    pub lookup: Lookup,
}

/// A link that the sweeper has to look at, and its place among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// Which.
    pub lookup: Lookup,
}

/// A link to publish.
#[derive(Debug)]
pub struct NewLink {
    /// The row.
    pub link: Link,
    /// Where its bytes are.
    pub source: BlobSource,
    /// The content key under the hotlink's key; present exactly when `link.hotlink` is.
    pub by_hotlink: Option<Vec<u8>>,
    /// When it was made, if the clock was in doubt: its end is put right by [`Metadata::rebase`].
    pub birth: Option<Moment>,
    /// The upload whose chunks its blob is made of: ends with this.
    pub session: Option<Lookup>,
}

/// Where the bytes of a new link are.
#[derive(Debug)]
pub enum BlobSource {
    /// In a blob that was just stored. `references` is set here; the tag enters the index with
    /// `by_plaintext`, unless another blob has it by now.
    New {
        /// The row.
        blob: Blob,
        /// The content key, wrapped under the hash of the plaintext; present exactly when
        /// `blob.tag` is.
        by_plaintext: Option<Vec<u8>>,
    },
    /// In a blob that other links use.
    Shared(BlobId),
}

/// A blob of the dedup index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicate {
    /// Its name.
    pub blob: Blob,
    /// Its content key, wrapped under the hash of the plaintext.
    pub by_plaintext: Vec<u8>,
}

/// What a change of a link sets; `None` keeps.
#[derive(Clone, Default, Debug)]
pub struct LinkEdit {
    /// The end by time.
    pub expiry: Option<Expiry>,
    /// The end by downloads: `remaining` and `unlimited` are taken, the rest keeps. With a limit,
    /// `remaining` is how many more downloads may complete: open leases count against it (the link
    /// shows the rest), and those beyond it are revoked, except where they are closing.
    pub allowance: Option<Allowance>,
    /// Hidden and due, or restored.
    pub pending_delete: Option<Option<Timestamp>>,
    /// Another password, or none.
    pub password: Option<PasswordEdit>,
}

/// Another password of a link, or none: with its keys wrapped anew.
#[derive(Clone, Debug)]
pub struct PasswordEdit {
    /// How the password becomes a key; `None` for no password.
    pub params: Option<PasswordParams>,
    /// The new [`Link::by_link`].
    pub by_link: Vec<u8>,
    /// The new [`Link::by_owner`].
    pub by_owner: Vec<u8>,
    /// The [`Link::by_owner`] that both were made from.
    pub seen: Vec<u8>,
}

/// What a removal freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Freed {
    /// The link is gone (now, not earlier).
    pub link: Option<Lookup>,
    /// Its blob has no more references: unlink its bytes.
    pub blob: Option<BlobId>,
}

/// What a change of an account sets; `None` keeps.
#[derive(Clone, Default, Debug)]
pub struct AccountEdit {
    /// Another role.
    pub role: Option<Role>,
    /// Disabled, or enabled again.
    pub disabled: Option<bool>,
    /// Another password: with the account key wrapped under it.
    pub password: Option<(PasswordParams, Vec<u8>)>,
    /// The account key, wrapped under the master key.
    pub by_master: Option<Vec<u8>>,
    /// The account key, wrapped under a new recovery phrase.
    pub by_recovery: Option<Vec<u8>>,
}
