//! [`Metadata`] in one redb file: reads see the last commit and wait for nobody, changes go through
//! the writer.

use super::clock;
use super::keys::account_key;
use super::records::Number;
use super::schema::{
    ACCOUNTS, BIRTHS, CLOCK, HOTLINKS, KEYS, LINKS, MARK, NAMES, SESSIONS, find_link,
};
use super::{
    AccountEdit, AccountEdited, AccountRemoved, ChunkAdded, ChunksBegun, Due, Duplicate, Freed,
    Hotlink, KeyAdded, LinkCursor, LinkEdit, Metadata, MetadataError, NewLink, Published,
    RedbMetadata, Rewrite, Rewritten, Taken, accounts, changes, chunks, ended, leases, reads,
    rewrite,
};
use crate::model::{
    Account, AccountId, ApiKey, Blob, BlobId, Chunk, ChunkSession, ClockRow, Lease, LeaseId, Link,
    Lookup, Rebase, Timestamp, folded_name,
};
use std::ops::Range;

impl Metadata for RedbMetadata {
    fn link(&self, lookup: &Lookup) -> Result<Option<Link>, MetadataError> {
        self.read(|view| find_link(view, lookup))
    }

    fn hotlink(&self, hotlink: &Lookup) -> Result<Option<Hotlink>, MetadataError> {
        self.read(|view| HOTLINKS.get(view, &hotlink.0))
    }

    fn links_of(
        &self,
        owner: AccountId,
        after: Option<&LinkCursor>,
        limit: usize,
    ) -> Result<Vec<Link>, MetadataError> {
        self.read(|view| reads::links_of(view, owner, after, limit))
    }

    fn room_for_more(&self) -> Result<(), MetadataError> {
        self.writer.room_for_more()
    }

    fn publish(&self, new: NewLink) -> Result<Published, MetadataError> {
        let is_of_chunks = new.session.is_some();
        let published = self.writer.run(|to| changes::publish(to, new))?;
        if is_of_chunks {
            self.clear_ended();
        }
        Ok(published)
    }

    fn edit(&self, lookup: &Lookup, edit: LinkEdit) -> Result<Option<Link>, MetadataError> {
        let lookup = *lookup;
        self.writer.run(move |to| changes::edit(to, &lookup, edit))
    }

    fn rewrite(&self, change: Rewrite) -> Result<Rewritten, MetadataError> {
        self.writer.run(move |to| rewrite::rewrite(to, change))
    }

    fn is_in_doubt(&self, lookup: &Lookup) -> Result<bool, MetadataError> {
        self.read(|view| BIRTHS.has(view, &lookup.0))
    }

    fn remove(&self, lookup: &Lookup) -> Result<Option<Freed>, MetadataError> {
        let lookup = *lookup;
        self.writer.run(move |to| changes::remove(to, &lookup))
    }

    fn due(
        &self,
        now: Timestamp,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, MetadataError> {
        self.read(|view| reads::due(view, now, after, limit))
    }

    fn count_due(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: u64,
    ) -> Result<u64, MetadataError> {
        self.read(|view| reads::count_due(view, after, until, limit))
    }

    fn remove_over(&self, links: &[Lookup], now: Timestamp) -> Result<Vec<Freed>, MetadataError> {
        let links = links.to_vec();
        self.writer
            .run(move |to| changes::remove_over(to, &links, now))
    }

    fn take_lease(&self, lease: &Lease) -> Result<Taken, MetadataError> {
        let lease = lease.clone();
        self.writer.run(move |to| leases::take_lease(to, &lease))
    }

    fn close_lease(&self, lease: &LeaseId) -> Result<bool, MetadataError> {
        let lease = *lease;
        self.writer.run(move |to| leases::close_lease(to, &lease))
    }

    fn settle_lease(&self, lease: &LeaseId) -> Result<Freed, MetadataError> {
        let lease = *lease;
        self.writer.run(move |to| leases::settle_lease(to, &lease))
    }

    fn return_lease(&self, lease: &LeaseId) -> Result<(), MetadataError> {
        let lease = *lease;
        self.writer.run(move |to| leases::return_lease(to, &lease))
    }

    fn take_leases(&self, leases: &[Lease]) -> Result<Vec<Taken>, MetadataError> {
        let leases = leases.to_vec();
        self.writer.run(move |to| leases::take_leases(to, &leases))
    }

    fn close_leases(&self, leases: &[LeaseId]) -> Result<Vec<bool>, MetadataError> {
        let ids = leases.to_vec();
        self.writer
            .run(move |to| ids.iter().map(|id| leases::close_lease(to, id)).collect())
    }

    fn end_leases(
        &self,
        settled: &[LeaseId],
        returned: &[LeaseId],
    ) -> Result<Vec<Freed>, MetadataError> {
        let (settled, returned) = (settled.to_vec(), returned.to_vec());
        self.writer
            .run(move |to| leases::end_leases(to, &settled, &returned))
    }

    fn leases(&self) -> Result<Vec<Lease>, MetadataError> {
        self.read(leases::all)
    }

    fn settle_closing(&self) -> Result<Vec<Freed>, MetadataError> {
        // As almost always: nothing to write, so no want of space is in the way of a start.
        if !self.read(|view| Ok(leases::all(view)?.iter().any(|lease| lease.closing)))? {
            return Ok(Vec::new());
        }
        self.writer.run(leases::settle_closing)
    }

    fn add_downloads(&self, counts: &[(Lookup, u64)]) -> Result<(), MetadataError> {
        let counts = counts.to_vec();
        self.writer
            .run(move |to| changes::add_downloads(to, &counts))
    }

    fn blobs(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<Blob>, MetadataError> {
        self.read(|view| reads::blobs(view, after, limit))
    }

    fn unknown_blobs(&self, ids: &[BlobId]) -> Result<Vec<BlobId>, MetadataError> {
        self.read(|view| reads::unknown_blobs(view, ids))
    }

    fn duplicate(&self, tag: &[u8; 32]) -> Result<Option<Duplicate>, MetadataError> {
        self.read(|view| reads::duplicate(view, tag))
    }

    fn garbage(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, MetadataError> {
        self.read(|view| reads::garbage(view, after, limit))
    }

    fn collected(&self, ids: &[BlobId]) -> Result<(), MetadataError> {
        let ids = ids.to_vec();
        self.writer.run(move |to| changes::collected(to, &ids))
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>, MetadataError> {
        self.read(|view| ACCOUNTS.get(view, &account_key(id)))
    }

    fn account_named(&self, name: &str) -> Result<Option<Account>, MetadataError> {
        let name = folded_name(name);
        self.read(|view| match NAMES.get(view, name.as_bytes())? {
            None => Ok(None),
            Some(Number(id)) => ACCOUNTS.need(view, &account_key(AccountId(id))).map(Some),
        })
    }

    fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, MetadataError> {
        self.read(|view| accounts::accounts(view, after, limit))
    }

    fn add_account(
        &self,
        account: Account,
        key: Option<ApiKey>,
    ) -> Result<Option<AccountId>, MetadataError> {
        self.writer
            .run(|to| accounts::add_account(to, account, key))
    }

    fn edit_account(
        &self,
        id: AccountId,
        edit: AccountEdit,
    ) -> Result<AccountEdited, MetadataError> {
        self.writer
            .run(move |to| accounts::edit_account(to, id, edit))
    }

    fn remove_links_of(&self, owner: AccountId, limit: usize) -> Result<Vec<Freed>, MetadataError> {
        self.writer
            .run(move |to| accounts::remove_links_of(to, owner, limit))
    }

    fn remove_account(&self, id: AccountId) -> Result<AccountRemoved, MetadataError> {
        let removed = self
            .writer
            .run(move |to| accounts::remove_account(to, id))?;
        self.clear_ended();
        Ok(removed)
    }

    fn api_key(&self, lookup: &Lookup) -> Result<Option<ApiKey>, MetadataError> {
        self.read(|view| KEYS.get(view, &lookup.0))
    }

    fn api_key_named(&self, public_id: &str) -> Result<Option<ApiKey>, MetadataError> {
        self.read(|view| accounts::key_of_public_id(view, public_id))
    }

    fn api_keys_of(
        &self,
        owner: AccountId,
        after: Option<&Lookup>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, MetadataError> {
        self.read(|view| accounts::keys_of(view, owner, after, limit))
    }

    fn add_api_key(&self, key: ApiKey, most: u64) -> Result<KeyAdded, MetadataError> {
        self.writer
            .run(move |to| accounts::add_api_key(to, &key, most))
    }

    fn remove_api_key(&self, lookup: &Lookup) -> Result<bool, MetadataError> {
        let lookup = *lookup;
        self.writer
            .run(move |to| accounts::remove_api_key(to, &lookup))
    }

    fn begin_chunks(
        &self,
        session: &ChunkSession,
        most: u64,
    ) -> Result<ChunksBegun, MetadataError> {
        let session = session.clone();
        let begun = self
            .writer
            .run(move |to| chunks::begin(to, &session, most))?;
        // What a process left that was ended in the middle of it.
        self.clear_ended();
        Ok(begun)
    }

    fn chunk_session(&self, lookup: &Lookup) -> Result<Option<ChunkSession>, MetadataError> {
        self.read(|view| SESSIONS.get(view, &lookup.0))
    }

    fn chunks_around(
        &self,
        lookup: &Lookup,
        range: Range<u64>,
    ) -> Result<Vec<Chunk>, MetadataError> {
        self.read(|view| chunks::around(view, lookup, &range))
    }

    fn edges(
        &self,
        lookup: &Lookup,
        segments: &[u64],
    ) -> Result<Vec<Option<Vec<u8>>>, MetadataError> {
        self.read(|view| chunks::edges(view, lookup, segments))
    }

    fn add_chunk(
        &self,
        lookup: &Lookup,
        chunk: Chunk,
        edges: Vec<(u64, Option<Vec<u8>>)>,
        touched: Timestamp,
    ) -> Result<ChunkAdded, MetadataError> {
        let lookup = *lookup;
        self.writer
            .run(move |to| chunks::add(to, &lookup, &chunk, edges, touched))
    }

    fn chunks(
        &self,
        lookup: &Lookup,
        after_offset: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Chunk>, MetadataError> {
        self.read(|view| chunks::chunks(view, lookup, after_offset, limit))
    }

    fn drop_chunks(&self, lookup: &Lookup) -> Result<Option<BlobId>, MetadataError> {
        let lookup = *lookup;
        let dropped = self
            .writer
            .run(move |to| ended::drop_session(to, &lookup))?;
        self.clear_ended();
        Ok(dropped)
    }

    fn idle_chunks(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ChunkSession>, MetadataError> {
        self.read(|view| chunks::idle(view, before, limit))
    }

    fn clock(&self) -> Result<Option<ClockRow>, MetadataError> {
        self.read(|view| CLOCK.get(view, MARK))
    }

    fn save_clock(&self, row: &ClockRow) -> Result<(), MetadataError> {
        let (ride, row) = (self.ride.clone(), row.clone());
        self.writer.run(move |to| ride.save(to, &row))
    }

    fn offer_clock(&self, row: &ClockRow) -> Result<(), MetadataError> {
        self.ride.offer(row);
        Ok(())
    }

    fn rebase(&self, by: &Rebase, limit: usize) -> Result<usize, MetadataError> {
        // As always but in doubt: nothing to write, so nothing is in the way of it.
        if self.read(|view| BIRTHS.count(view))? == 0 {
            return Ok(0);
        }
        let by = *by;
        self.writer.run(move |to| clock::rebase(to, &by, limit))
    }

    fn link_count(&self) -> Result<u64, MetadataError> {
        self.read(|view| LINKS.count(view))
    }
}
