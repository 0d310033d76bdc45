//! The tables and their keys. Everything that names a table is here.
//!
//! ```text
//! table         key                              value        written with
//! ───────────── ──────────────────────────────── ──────────── ──────────────────────────
//! state         name                             Number       schema, last account number, super admin, identity
//! links         owner · created · lookup         Link         publish
//!  ├ places     lookup                           Place        the link
//!  ├ due        end · lookup                     mark         the link, when it has an end
//!  ├ hotlinks   hotlink                          Hotlink      the link, when it has one
//!  ├ leases     lease                            Lease        take_lease
//!  │  └ held    lookup · lease                   mark         the lease
//!  └ blobs      blob                             Blob         the first link that uses it
//!     ├ tags    tag                              Tagged       the blob, when the tag is free
//!     └ garbage blob                             mark         the last link that used it
//! accounts      number                           Account      add_account
//!  ├ names      folded name                      Number       the account
//!  └ keys       hash of the API key              ApiKey       add_account, add_api_key
//!     ├ owned   number · hash                    mark         the key
//!     └ publics public id                        KeyPlace     the key
//! clock         "mark"                           ClockRow     save_clock, or any change
//! births        lookup                           Moment       a link made by a clock in doubt
//! sessions      lookup                           ChunkSession begin_chunks
//!  ├ idle       touched · lookup                 mark         the session
//!  ├ uploading  number of the account · lookup   mark         the session
//!  ├ building   blob                             BuiltBy      the session
//!  ├ chunks     blob · offset                    Chunk        add_chunk
//!  ├ edges      blob · segment                   Edge         add_chunk
//!  └ ended      blob                             mark         the end of a session that had many rows
//! multiparts    blob                             Multipart    multipart_begun, which makes the table
//! ```
//!
//! The links of one owner lie together and in the order of their listing: a page of it is read from a
//! few pages of the file, whatever the number of links, and new links of the last owner fill
//! pages to the end (`docs/decisions/0004-redb-settings.md`).

use super::account_records::{AccountOfSchema1, AccountOfSchema2, ApiKeyOfSchema1};
use super::chunks::{BuiltBy, Edge};
use super::codec;
use super::keys::link_key;
use super::multiparts::Multipart;
use super::records::{KeyPlace, Mark, Number, Place, Tagged};
use super::rows::Rows;
use super::{Hotlink, MetadataError};
use crate::model::{
    Account, ApiKey, Blob, Chunk, ChunkSession, ClockRow, Lease, Link, Lookup, Moment,
};
use redb::{
    ReadTransaction, ReadableTable, StorageError, TableDefinition, TableError, WriteTransaction,
};
use std::cell::Cell;
use std::io;

pub(super) const STATE: Rows<Number> = Rows::new("state");
pub(super) const LINKS: Rows<Link> = Rows::new("links");
pub(super) const PLACES: Rows<Place> = Rows::new("places");
pub(super) const DUE: Rows<Mark> = Rows::new("due");
pub(super) const HOTLINKS: Rows<Hotlink> = Rows::new("hotlinks");
pub(super) const LEASES: Rows<Lease> = Rows::new("leases");
pub(super) const HELD: Rows<Mark> = Rows::new("held");
pub(super) const BLOBS: Rows<Blob> = Rows::new("blobs");
pub(super) const TAGS: Rows<Tagged> = Rows::new("tags");
pub(super) const GARBAGE: Rows<Mark> = Rows::new("garbage");
pub(super) const ACCOUNTS: Rows<Account> = Rows::new("accounts");
/// The same table, as schema 1 had it.
pub(super) const ACCOUNTS_OF_SCHEMA_1: Rows<AccountOfSchema1> = Rows::new(ACCOUNTS.name);
/// The same table, as the schemas 2 to 4 had it.
pub(super) const ACCOUNTS_OF_SCHEMA_2: Rows<AccountOfSchema2> = Rows::new(ACCOUNTS.name);
pub(super) const NAMES: Rows<Number> = Rows::new("names");
pub(super) const KEYS: Rows<ApiKey> = Rows::new("keys");
/// The same table, as the schemas 1 to 4 had it.
pub(super) const KEYS_OF_SCHEMA_1: Rows<ApiKeyOfSchema1> = Rows::new(KEYS.name);
pub(super) const OWNED: Rows<Mark> = Rows::new("owned");
pub(super) const PUBLICS: Rows<KeyPlace> = Rows::new("publics");
pub(super) const CLOCK: Rows<ClockRow> = Rows::new("clock");
pub(super) const BIRTHS: Rows<Moment> = Rows::new("births");
pub(super) const SESSIONS: Rows<ChunkSession> = Rows::new("sessions");
pub(super) const IDLE: Rows<Mark> = Rows::new("idle");
pub(super) const UPLOADING: Rows<Mark> = Rows::new("uploading");
pub(super) const BUILDING: Rows<BuiltBy> = Rows::new("building");
pub(super) const CHUNKS: Rows<Chunk> = Rows::new("chunks");
pub(super) const EDGES: Rows<Edge> = Rows::new("edges");
pub(super) const ENDED: Rows<Mark> = Rows::new("ended");
pub(super) const MULTIPARTS: Rows<Multipart> = Rows::new("multiparts");

/// In [`STATE`]: the schema of the file. This row keeps its place and form in every schema.
pub(super) const SCHEMA: &[u8] = b"schema";
/// In [`STATE`]: the highest account number given out.
pub(super) const LAST_ACCOUNT: &[u8] = b"last account";
/// In [`STATE`]: the number of the super admin, once there was any admin.
pub(super) const SUPER_ADMIN: &[u8] = b"super admin";
/// In [`STATE`]: what tells this file from others.
pub(super) const IDENTITY: &[u8] = b"identity";
/// In [`CLOCK`]: the one row.
pub(super) const MARK: &[u8] = b"mark";

/// Makes every table, so that readers need not care which were written yet.
pub(super) fn create_tables(to: &Change<'_>) -> Result<(), MetadataError> {
    for name in [
        STATE.name,
        LINKS.name,
        PLACES.name,
        DUE.name,
        HOTLINKS.name,
        LEASES.name,
        HELD.name,
        BLOBS.name,
        TAGS.name,
        GARBAGE.name,
        ACCOUNTS.name,
        NAMES.name,
        KEYS.name,
        OWNED.name,
        PUBLICS.name,
    ] {
        to.table(name)?;
    }
    create_clock_tables(to)?;
    create_chunk_tables(to)
}

/// The tables of the clock: a file that was made without them gets them by a migration.
pub(super) fn create_clock_tables(to: &Change<'_>) -> Result<(), MetadataError> {
    to.table(CLOCK.name)?;
    to.table(BIRTHS.name)?;
    Ok(())
}

/// The tables of uploads that come in chunks: as those of the clock.
pub(super) fn create_chunk_tables(to: &Change<'_>) -> Result<(), MetadataError> {
    for name in [
        SESSIONS.name,
        IDLE.name,
        UPLOADING.name,
        BUILDING.name,
        CHUNKS.name,
        EDGES.name,
        ENDED.name,
    ] {
        to.table(name)?;
    }
    Ok(())
}

/// The table type of all tables.
pub(super) type Raw = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// One state of the database, to read from.
pub(super) trait Snapshot {
    /// The table of that name.
    fn table(
        &self,
        name: &'static str,
    ) -> Result<impl ReadableTable<&'static [u8], &'static [u8]>, MetadataError>;
    /// What it means here that the engine failed.
    fn failed(&self, error: &StorageError) -> MetadataError;
}

/// What is committed.
pub(super) struct View(pub(super) ReadTransaction);

impl View {
    /// Whether there is a table of that name: not every file has those of what it was not used for.
    pub(super) fn has_table(&self, name: &'static str) -> Result<bool, MetadataError> {
        match self.0.open_table(Raw::new(name)) {
            Ok(_) => Ok(true),
            Err(TableError::TableDoesNotExist(_)) => Ok(false),
            Err(TableError::Storage(error)) => Err(storage_error(&error)),
            Err(other) => Err(MetadataError::Corrupt(other.to_string())),
        }
    }
}

impl Snapshot for View {
    fn table(
        &self,
        name: &'static str,
    ) -> Result<impl ReadableTable<&'static [u8], &'static [u8]>, MetadataError> {
        self.0
            .open_table(Raw::new(name))
            .map_err(|error| match error {
                TableError::Storage(error) => storage_error(&error),
                other => MetadataError::Corrupt(other.to_string()),
            })
    }

    fn failed(&self, error: &StorageError) -> MetadataError {
        storage_error(error)
    }
}

/// What an engine error means to somebody who only reads.
pub(super) fn storage_error(error: &StorageError) -> MetadataError {
    match error {
        StorageError::Corrupted(what) => MetadataError::Corrupt(what.clone()),
        StorageError::Io(e) => io_error(e),
        other => MetadataError::Unavailable(other.to_string()),
    }
}

/// What an error of the file means.
pub(super) fn io_error(error: &io::Error) -> MetadataError {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            MetadataError::Corrupt(error.to_string())
        }
        ErrorKind::StorageFull => MetadataError::Full,
        ErrorKind::QuotaExceeded => MetadataError::Quota,
        ErrorKind::ReadOnlyFilesystem => MetadataError::ReadOnly,
        _ => MetadataError::Unavailable(error.to_string()),
    }
}

/// What will be committed: reads see what was written before.
///
/// Whatever fails in the engine fails the whole transaction, so every such error is
/// [`MetadataError::OutcomeUnknown`]. Other errors refuse one operation.
pub(super) struct Change<'a> {
    transaction: &'a WriteTransaction,
    writes: Cell<u64>,
}

impl<'a> Change<'a> {
    pub(super) fn new(transaction: &'a WriteTransaction) -> Self {
        Self {
            transaction,
            writes: Cell::new(0),
        }
    }

    /// How many rows were written or deleted so far.
    pub(super) fn writes(&self) -> u64 {
        self.writes.get()
    }

    pub(super) fn count_write(&self) {
        self.writes.set(self.writes.get() + 1);
    }

    pub(super) fn raw(
        &self,
        name: &'static str,
    ) -> Result<redb::Table<'_, &'static [u8], &'static [u8]>, MetadataError> {
        self.transaction
            .open_table(Raw::new(name))
            .map_err(|error| MetadataError::OutcomeUnknown(error.to_string()))
    }
}

impl Snapshot for Change<'_> {
    fn table(
        &self,
        name: &'static str,
    ) -> Result<impl ReadableTable<&'static [u8], &'static [u8]>, MetadataError> {
        self.raw(name)
    }

    fn failed(&self, error: &StorageError) -> MetadataError {
        MetadataError::OutcomeUnknown(error.to_string())
    }
}

/// The link of that hash.
pub(super) fn find_link(
    from: &impl Snapshot,
    lookup: &Lookup,
) -> Result<Option<Link>, MetadataError> {
    PLACES
        .get(from, &lookup.0)?
        .map(|place| LINKS.need(from, &link_key(place.owner, place.created, lookup)))
        .transpose()
}

/// The link of that hash, which another record says is there.
pub(super) fn need_link(from: &impl Snapshot, lookup: &Lookup) -> Result<Link, MetadataError> {
    find_link(from, lookup)?.ok_or_else(|| codec::damaged(PLACES.name, &lookup.0))
}
