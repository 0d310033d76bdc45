//! What the database promises, told on a database in memory and on files.

mod accounts;
mod chunk_damage;
mod chunks;
mod damage;
mod files;
mod identity;
mod leases;
mod links;
mod migration;
mod multiparts;
mod rewrites;
mod time;
mod users;
mod writing;

use super::*;
use crate::model::{AccountKeyWraps, BlobFormat, Leaving, Permissions, UserPermissions};

const NOW: Timestamp = Timestamp(1_000);

fn fresh() -> RedbMetadata {
    RedbMetadata::in_memory().unwrap()
}

/// The links that are due at `now`, the first `limit` of them.
fn due(db: &RedbMetadata, now: Timestamp, limit: usize) -> Vec<Lookup> {
    let due = db.due(now, None, limit).unwrap();
    due.into_iter().map(|due| due.lookup).collect()
}

pub(super) fn lookup(n: u64) -> Lookup {
    let mut bytes = [0xA0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Lookup(bytes)
}

fn blob_id(n: u64) -> BlobId {
    let mut bytes = [0xB0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    BlobId(bytes)
}

/// Link number `n` of account 1 with its own blob `n`: two downloads, until time 2000.
pub(super) fn link(n: u64) -> Link {
    Link {
        lookup: lookup(n),
        owner: AccountId(1),
        blob: blob_id(n),
        format: BlobFormat::Sealed,
        size: 7,
        created: Timestamp(500),
        expiry: Expiry {
            at: Timestamp(2_000),
            unlimited: false,
        },
        allowance: limited(2),
        pending_delete: None,
        password: None,
        by_link: vec![1; 48],
        by_owner: vec![2; 120],
        label: vec![3; 60],
        hotlink: None,
    }
}

fn limited(remaining: u32) -> Allowance {
    Allowance {
        remaining,
        leased: 0,
        unlimited: false,
        count: 0,
    }
}

fn blob(n: u64) -> Blob {
    Blob {
        id: blob_id(n),
        format: BlobFormat::Sealed,
        size: 7,
        stored: 40,
        tag: None,
        references: 0,
    }
}

/// `link` with a blob of its own.
pub(super) fn with_blob(link: Link) -> NewLink {
    let mut blob = blob(0);
    blob.id = link.blob;
    NewLink {
        link,
        source: BlobSource::New {
            blob,
            by_plaintext: None,
        },
        by_hotlink: None,
        birth: None,
        session: None,
    }
}

/// `link` on the blob of another.
fn sharing(mut link: Link, blob: BlobId) -> NewLink {
    link.blob = blob;
    NewLink {
        link,
        source: BlobSource::Shared(blob),
        by_hotlink: None,
        birth: None,
        session: None,
    }
}

fn lease(n: u64, link: u64) -> Lease {
    let mut id = [0xC0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Lease {
        id: LeaseId(id),
        link: lookup(link),
        taken: NOW,
        client: [9; 16],
        closing: false,
    }
}

fn password() -> PasswordParams {
    PasswordParams {
        salt: [4; 16],
        memory_kib: 12_288,
        passes: 3,
    }
}

fn account(name: &str) -> Account {
    Account {
        id: AccountId(0),
        name: name.to_owned(),
        created: NOW,
        password: password(),
        wraps: AccountKeyWraps {
            by_password: vec![5; 60],
            by_master: Some(vec![6; 60]),
            by_recovery: None,
        },
        role: Role::Admin,
        permissions: UserPermissions::ALL,
        disabled: false,
        leaving: None,
        must_change_password: false,
        last_online: None,
    }
}

fn api_key(n: u64) -> ApiKey {
    ApiKey {
        lookup: lookup(n),
        public_id: format!("{n:035}"),
        account: AccountId(0),
        name: "the key of Zoë".to_owned(),
        created: NOW,
        permissions: Permissions::ALL,
        wrap: vec![7; 60],
        expires: None,
        last_used: None,
    }
}
