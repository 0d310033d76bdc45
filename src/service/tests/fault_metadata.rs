//! A database that fails when it is told to.

use crate::metadata::*;
use crate::model::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fail {
    /// Nothing happens.
    Before,
    /// Nothing happens, for want of space.
    Full,
    /// It happens, and nobody hears of it.
    Unknown,
    /// Nothing happens, now and in every later call: the process is gone.
    Gone,
    /// It happens, and nothing afterwards.
    DoneAndGone,
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) calls: u64,
    names: BTreeSet<&'static str>,
    fails: Option<(u64, Fail)>,
    gone: bool,
}

#[derive(Clone, Default)]
pub(super) struct MetadataFaults(Arc<Mutex<Plan>>);

impl MetadataFaults {
    /// Calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    /// What was called since the last time that this was asked.
    pub(super) fn names(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().names)
    }

    /// After `after` more calls that go well, the next one fails.
    pub(super) fn fail_after(&self, after: u64, fail: Fail) {
        let mut plan = self.0.lock().unwrap();
        plan.fails = Some((plan.calls + after, fail));
    }

    pub(super) fn heal(&self) {
        *self.0.lock().unwrap() = Plan::default();
    }

    fn run<T>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, MetadataError>,
    ) -> Result<T, MetadataError> {
        let fail = {
            let mut plan = self.0.lock().unwrap();
            let call = plan.calls;
            plan.calls += 1;
            plan.names.insert(name);
            let due = plan.fails.filter(|(at, _)| *at == call).map(|(_, f)| f);
            let fail = if plan.gone { Some(Fail::Gone) } else { due };
            plan.gone |= matches!(fail, Some(Fail::Gone | Fail::DoneAndGone));
            fail
        };
        match fail {
            None => work(),
            Some(Fail::Before | Fail::Gone) => Err(MetadataError::Unavailable("injected".into())),
            Some(Fail::Full) => Err(MetadataError::Full),
            Some(Fail::Unknown | Fail::DoneAndGone) => {
                work()?;
                Err(MetadataError::OutcomeUnknown("injected".into()))
            }
        }
    }
}

/// Any database, failing when its [`MetadataFaults`] say so.
pub(super) struct FaultMetadata {
    pub(super) inner: Arc<dyn Metadata>,
    pub(super) faults: MetadataFaults,
}

macro_rules! pass_on {
    ($face:ident: $($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        impl $face for FaultMetadata {
            $(fn $name(&self, $($arg: $kind),*) -> Result<$out, MetadataError> {
                self.faults.run(stringify!($name), || self.inner.$name($($arg),*))
            })*
        }
    };
}

pass_on! { Metadata:
    link(lookup: &Lookup) -> Option<Link>;
    hotlink(hotlink: &Lookup) -> Option<Hotlink>;
    links_of(owner: AccountId, after: Option<&LinkCursor>, limit: usize) -> Vec<Link>;
    room_for_more() -> ();
    publish(new: NewLink) -> Published;
    edit(lookup: &Lookup, edit: LinkEdit) -> Option<Link>;
    rewrite(change: Rewrite) -> Rewritten;
    is_in_doubt(lookup: &Lookup) -> bool;
    remove(lookup: &Lookup) -> Option<Freed>;
    due(now: Timestamp, after: Option<&Due>, limit: usize) -> Vec<Due>;
    count_due(after: Timestamp, until: Timestamp, limit: u64) -> u64;
    remove_over(links: &[Lookup], now: Timestamp) -> Vec<Freed>;
    take_lease(lease: &Lease) -> Taken;
    close_lease(lease: &LeaseId) -> bool;
    settle_lease(lease: &LeaseId) -> Freed;
    return_lease(lease: &LeaseId) -> ();
    take_leases(leases: &[Lease]) -> Vec<Taken>;
    close_leases(leases: &[LeaseId]) -> Vec<bool>;
    end_leases(settled: &[LeaseId], returned: &[LeaseId]) -> Vec<Freed>;
    leases() -> Vec<Lease>;
    settle_closing() -> Vec<Freed>;
    add_downloads(counts: &[(Lookup, u64)]) -> ();
    blobs(after: Option<&BlobId>, limit: usize) -> Vec<Blob>;
    unknown_blobs(ids: &[BlobId]) -> Vec<BlobId>;
    duplicate(tag: &[u8; 32]) -> Option<Duplicate>;
    garbage(after: Option<&BlobId>, limit: usize) -> Vec<BlobId>;
    collected(ids: &[BlobId]) -> ();
    account(id: AccountId) -> Option<Account>;
    account_named(name: &str) -> Option<Account>;
    accounts(after: Option<AccountId>, limit: usize) -> Vec<Account>;
    add_account(account: Account, key: Option<ApiKey>) -> Option<AccountId>;
    edit_account(id: AccountId, edit: AccountEdit) -> AccountEdited;
    remove_links_of(owner: AccountId, limit: usize) -> Vec<Freed>;
    remove_account(id: AccountId) -> AccountRemoved;
    api_key(lookup: &Lookup) -> Option<ApiKey>;
    api_key_named(public_id: &str) -> Option<ApiKey>;
    api_keys_of(owner: AccountId, after: Option<&Lookup>, limit: usize) -> Vec<ApiKey>;
    add_api_key(key: ApiKey, most: u64) -> KeyAdded;
    remove_api_key(lookup: &Lookup) -> bool;
    begin_chunks(session: &ChunkSession, most: u64) -> ChunksBegun;
    chunk_session(lookup: &Lookup) -> Option<ChunkSession>;
    chunks_around(lookup: &Lookup, range: Range<u64>) -> Vec<Chunk>;
    edges(lookup: &Lookup, segments: &[u64]) -> Vec<Option<Vec<u8>>>;
    add_chunk(lookup: &Lookup, chunk: Chunk, edges: Vec<(u64, Option<Vec<u8>>)>, touched: Timestamp) -> ChunkAdded;
    chunks(lookup: &Lookup, after_offset: Option<u64>, limit: usize) -> Vec<Chunk>;
    drop_chunks(lookup: &Lookup) -> Option<BlobId>;
    idle_chunks(before: Timestamp, limit: usize) -> Vec<ChunkSession>;
    clock() -> Option<ClockRow>;
    save_clock(row: &ClockRow) -> ();
    offer_clock(row: &ClockRow) -> ();
    rebase(by: &Rebase, limit: usize) -> usize;
    link_count() -> u64;
}

pass_on! { Users:
    api_keys(after: Option<(AccountId, Lookup)>, limit: usize) -> Vec<ApiKey>;
    create_key(by: &Actor, key: ApiKey, most: u64) -> KeyAdded;
    change_key(by: &Actor, key: &Lookup, change: KeyChange) -> KeyChanged;
    create_user(by: &Actor, user: Account) -> Result<Option<AccountId>, UserChanged>;
    change_user(by: &Actor, user: AccountId, change: UserChange) -> UserChanged;
    move_links(from: AccountId, heir: AccountId, links: Vec<MovedLink>) -> bool;
    remove_links_of_leaving(from: AccountId, limit: usize) -> Vec<Freed>;
    remove_leaving(id: AccountId) -> AccountRemoved;
    touch(uses: &[Use]) -> ();
}
