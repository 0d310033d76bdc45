//! One of every kind of change, and everything that can be asked afterwards.

use mayfly::metadata::{
    AccountEdit, BlobSource, LinkEdit, Metadata, MetadataError, NewLink, RedbMetadata,
};
use mayfly::model::{
    Account, AccountId, AccountKeyWraps, Allowance, ApiKey, Blob, BlobFormat, BlobId, Expiry,
    Lease, LeaseId, Link, Lookup, PasswordParams, Permissions, Role, Timestamp,
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
    db.publish(NewLink {
        link,
        source,
        by_hotlink,
        birth: None,
        session: None,
    })
    .map(drop)
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
        disabled: false,
    };
    let key = ApiKey {
        lookup: lookup(n),
        public_id: format!("{n:035}"),
        account: AccountId(0),
        name: "key".to_owned(),
        created: Timestamp(0),
        permissions: Permissions::BASIC,
        wrap: vec![n; 60],
    };
    db.add_account(account, Some(key)).map(drop)
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
    for n in 1..=5 {
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
