//! One of every kind of change, and everything that can be asked afterwards.

use mayfly::metadata::{
    AccountEdit, BlobSource, LinkEdit, Metadata, MetadataError, NewLink, RedbMetadata,
};
use mayfly::model::{
    Account, AccountId, AccountKeyWraps, Allowance, ApiKey, Blob, BlobFormat, BlobId, Chunk,
    ChunkSession, Expiry, Lease, LeaseId, Link, Lookup, PasswordParams, Permissions, Role,
    Timestamp,
};
use std::fmt::{Debug, Write};

fn lookup(n: u8) -> Lookup {
    Lookup([n; 32])
}

fn hotlink(n: u8) -> Lookup {
    Lookup([n ^ 0x80; 32])
}

fn blob_id(n: u8) -> BlobId {
    BlobId([n; 16])
}

fn lease_id(n: u8) -> LeaseId {
    LeaseId([n; 16])
}

fn publish(db: &RedbMetadata, n: u8, source: BlobSource) -> Result<(), MetadataError> {
    db.publish(new_link(n, source)).map(drop)
}

fn new_link(n: u8, source: BlobSource) -> NewLink {
    let blob = match &source {
        BlobSource::New { blob, .. } => blob.id,
        BlobSource::Shared(id) => *id,
    };
    let link = Link {
        lookup: lookup(n),
        owner: AccountId(1),
        blob,
        format: BlobFormat::Sealed,
        size: u64::from(n),
        created: Timestamp(i64::from(n)),
        expiry: Expiry {
            at: Timestamp(1_000 + i64::from(n)),
            unlimited: false,
        },
        allowance: Allowance {
            remaining: 2,
            leased: 0,
            unlimited: false,
            count: 0,
        },
        pending_delete: None,
        password: None,
        by_link: vec![n; 60],
        by_owner: vec![n; 140],
        label: vec![n; 80],
        hotlink: Some(hotlink(n)),
    };
    let by_hotlink = Some(vec![n; 60]);
    NewLink {
        link,
        source,
        by_hotlink,
        birth: None,
        session: None,
    }
}

fn new_blob(n: u8) -> BlobSource {
    BlobSource::New {
        blob: Blob {
            id: blob_id(n),
            format: BlobFormat::Sealed,
            size: u64::from(n),
            stored: 100,
            tag: Some([n; 32]),
            references: 0,
        },
        by_plaintext: Some(vec![n; 60]),
    }
}

fn take(db: &RedbMetadata, link: u8, n: u8) -> Result<(), MetadataError> {
    let lease = Lease {
        id: lease_id(n),
        link: lookup(link),
        taken: Timestamp(100),
        client: [n; 16],
        closing: false,
    };
    db.take_lease(&lease).map(drop)
}

fn hide(db: &RedbMetadata, link: u8) -> Result<(), MetadataError> {
    let edit = LinkEdit {
        pending_delete: Some(Some(Timestamp(500))),
        ..LinkEdit::default()
    };
    db.edit(&lookup(link), edit).map(drop)
}

fn add_account(db: &RedbMetadata, n: u8) -> Result<(), MetadataError> {
    let account = Account {
        id: AccountId(0),
        name: format!("account {n}"),
        created: Timestamp(0),
        password: PasswordParams {
            salt: [n; 16],
            memory_kib: 12_288,
            passes: 3,
        },
        wraps: AccountKeyWraps {
            by_password: vec![n; 60],
            by_master: None,
            by_recovery: None,
        },
        role: Role::Admin,
        permissions: Role::Admin.usual(),
        disabled: false,
        leaving: None,
        must_change_password: false,
        last_online: None,
    };
    let key = ApiKey {
        lookup: lookup(n),
        public_id: format!("{n:035}"),
        account: AccountId(0),
        name: "key".to_owned(),
        created: Timestamp(0),
        permissions: Permissions::BASIC,
        wrap: vec![n; 60],
        expires: None,
        last_used: None,
    };
    db.add_account(account, Some(key)).map(drop)
}

/// Session `n` puts blob `n` together, of 10 bytes.
fn begin(db: &RedbMetadata, n: u8, owner: u64) -> Result<(), MetadataError> {
    let session = ChunkSession {
        lookup: lookup(n),
        owner: AccountId(owner),
        blob: blob_id(n),
        format: BlobFormat::Sealed,
        size: 10,
        header: [n; 40],
        by_owner: vec![n; 64],
        begun: Timestamp(0),
        touched: Timestamp(i64::from(n)),
    };
    db.begin_chunks(&session, 9).map(drop)
}

/// A chunk of five bytes of session `n`, with what waits of segment 0 afterwards.
fn add(db: &RedbMetadata, n: u8, offset: u64, edge: Option<Vec<u8>>) -> Result<(), MetadataError> {
    let chunk = Chunk {
        offset,
        length: 5,
        digest: [n; 16],
    };
    let touched = Timestamp(500 + i64::from(n));
    db.add_chunk(&lookup(n), chunk, vec![(0, edge)], touched)
        .map(drop)
}

/// The link of the file that session `n` put together.
fn complete(db: &RedbMetadata, n: u8) -> Result<(), MetadataError> {
    let blob = Blob {
        id: blob_id(n),
        format: BlobFormat::Sealed,
        size: 10,
        stored: 100,
        tag: None,
        references: 0,
    };
    let source = BlobSource::New {
        blob,
        by_plaintext: None,
    };
    let mut new = new_link(n, source);
    new.link.size = 10;
    new.session = Some(lookup(n));
    db.publish(new).map(drop)
}

pub type Change = fn(&RedbMetadata) -> Result<(), MetadataError>;

/// One of every kind of change, on and around the same few links.
pub const WORKLOAD: &[Change] = &[
    |db| add_account(db, 1),
    |db| publish(db, 1, new_blob(1)),
    |db| publish(db, 2, new_blob(2)),
    |db| publish(db, 3, new_blob(3)),
    |db| publish(db, 4, new_blob(4)),
    |db| publish(db, 5, BlobSource::Shared(blob_id(1))),
    |db| take(db, 1, 1),
    |db| take(db, 1, 2),
    |db| db.close_lease(&lease_id(1)).map(drop),
    |db| db.settle_lease(&lease_id(1)).map(drop),
    |db| db.return_lease(&lease_id(2)),
    |db| hide(db, 2),
    |db| db.add_downloads(&[(lookup(3), 7)]),
    |db| take(db, 1, 3),
    // The last download of this link; its blob lives on in link 5.
    |db| db.settle_lease(&lease_id(3)).map(drop),
    |db| {
        db.remove_over(&[lookup(2), lookup(3)], Timestamp(600))
            .map(drop)
    },
    |db| db.remove(&lookup(5)).map(drop),
    |db| db.collected(&[blob_id(2)]),
    |db| begin(db, 6, 1),
    |db| begin(db, 7, 1),
    |db| begin(db, 8, 1),
    |db| add(db, 6, 5, Some(vec![6; 9_000])),
    |db| add(db, 6, 0, None),
    |db| add(db, 7, 0, Some(vec![7; 9_000])),
    |db| add(db, 8, 0, Some(vec![8; 9_000])),
    |db| complete(db, 6),
    |db| db.drop_chunks(&lookup(7)).map(drop),
    |db| add_account(db, 2),
    |db| {
        let edit = AccountEdit {
            role: Some(Role::User),
            disabled: Some(true),
            by_recovery: Some(vec![1; 60]),
            ..AccountEdit::default()
        };
        db.edit_account(AccountId(1), edit).map(drop)
    },
    |db| db.remove_links_of(AccountId(1), 100).map(drop),
    |db| db.remove_account(AccountId(1)).map(drop),
    |db| db.remove_api_key(&lookup(2)).map(drop),
];

/// Everything that can be asked, as text.
pub fn state(db: &RedbMetadata) -> String {
    fn add(state: &mut String, part: &impl Debug) {
        writeln!(state, "{part:?}").unwrap();
    }
    let state = &mut String::new();
    add(state, &db.links_of(AccountId(1), None, 100).unwrap());
    add(state, &db.due(Timestamp(i64::MAX), None, 100).unwrap());
    add(state, &db.leases().unwrap());
    add(state, &db.garbage(None, 100).unwrap());
    add(state, &db.link_count().unwrap());
    add(state, &db.idle_chunks(Timestamp(i64::MAX), 9).unwrap());
    let blobs = [6, 7, 8].map(blob_id);
    add(state, &db.unknown_blobs(&blobs).unwrap());
    for n in 6..=8 {
        add(state, &db.chunk_session(&lookup(n)).unwrap());
        add(state, &db.chunks(&lookup(n), None, 9).unwrap());
        add(state, &db.edges(&lookup(n), &[0]).unwrap());
    }
    for n in 1..=6 {
        add(state, &db.blob(&blob_id(n)).unwrap());
        add(state, &db.duplicate(&[n; 32]).unwrap());
        add(state, &db.hotlink(&hotlink(n)).unwrap());
        add(state, &db.account(AccountId(u64::from(n))).unwrap());
        add(state, &db.account_named(&format!("ACCOUNT {n}")).unwrap());
        add(state, &db.api_key(&lookup(n)).unwrap());
        add(state, &db.api_key_named(&format!("{n:035}")).unwrap());
        let owner = AccountId(u64::from(n));
        add(state, &db.api_keys_of(owner, None, 9).unwrap());
    }
    std::mem::take(state)
}
