//! Files of earlier schemas: they open, with all that is in them, whenever the migration is cut.

use super::*;
use crate::model::Token;
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use redb::StorageBackend;
use std::fs;
use std::io;
use std::sync::Mutex;

/// Written by the last Mayfly of schema 1: account "Zoë" with password "correct horse", one link
/// that never ends, and beside the first API key one that everybody knows.
const SCHEMA_1: &[u8] = include_bytes!("schema1.redb");
const KNOWN_KEY: &str = "TestKeyTestKeyTestKeyTestKey12";
const KNOWN_PUBLIC_ID: &str = "TestPublicIdTestPublicIdTestPublicI";

/// Everything of the old file is there, and everything of the new schema.
fn expect_whole(db: &RedbMetadata) {
    db.verify().unwrap();
    let accounts = db.accounts(None, 10).unwrap();
    let [zoe] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    assert_eq!((zoe.id, zoe.name.as_str()), (AccountId(1), "Zo\u{eb}"));
    assert_eq!((zoe.role, zoe.disabled), (Role::Admin, false));
    assert_eq!(zoe.wraps.by_recovery, None);
    let found = db.account_named("ZOE\u{308}").unwrap();
    assert_eq!(found.as_ref(), Some(zoe), "the folded name finds it");

    let password = keys::password_key("correct horse", &zoe.password);
    let by_password = keys::unwrap(
        Purpose::AccountByPassword,
        &[password.reveal()],
        "zo\u{eb}".as_bytes(),
        &zoe.wraps.by_password,
    );
    let token = Token::parse(KNOWN_KEY).unwrap();
    let lookup = keys::lookup(TokenKind::ApiKey, &token);
    let key = db.api_key(&lookup).unwrap().unwrap();
    let by_key = keys::unwrap(
        Purpose::AccountByApiKey,
        &[token.reveal().as_bytes()],
        &lookup.0,
        &key.wrap,
    );
    assert!(by_password.is_some() && by_password == by_key);
    assert_eq!(key.permissions, Permissions::BASIC);
    assert_eq!(db.api_key_named(KNOWN_PUBLIC_ID).unwrap(), Some(key));
    assert_eq!(db.api_keys_of(AccountId(1), None, 10).unwrap().len(), 2);
    assert_eq!(db.links_of(AccountId(1), None, 10).unwrap().len(), 1);
}

#[test]
fn a_file_of_schema_1_opens_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mayfly.redb");
    fs::write(&path, SCHEMA_1).unwrap();
    for _ in 0..2 {
        let db = RedbMetadata::open(&path, Arc::new(|_| {})).unwrap();
        expect_whole(&db);
    }
    let db = RedbMetadata::open(&path, Arc::new(|_| {})).unwrap();
    let id = db.add_account(account("Ben"), Some(api_key(1))).unwrap();
    assert_eq!(id, Some(AccountId(2)));
    db.verify().unwrap();
}

/// A disk that is cut off after a number of writes and syncs. What was not synced is lost: the
/// hardest case.
#[derive(Debug)]
struct Card {
    bytes: Mutex<Vec<u8>>,
    durable: Mutex<Vec<u8>>,
    left: Mutex<u64>,
}

impl Card {
    fn new(bytes: &[u8], left: u64) -> Self {
        Self {
            bytes: Mutex::new(bytes.to_vec()),
            durable: Mutex::new(bytes.to_vec()),
            left: Mutex::new(left),
        }
    }

    fn step(&self) -> io::Result<()> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(())
    }
}

#[derive(Debug)]
struct Handle(Arc<Card>);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.bytes.lock().unwrap()[at..at + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.step()?;
        let len = usize::try_from(len).unwrap();
        self.0.bytes.lock().unwrap().resize(len, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.step()?;
        *self.0.durable.lock().unwrap() = self.0.bytes.lock().unwrap().clone();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.step()?;
        let at = usize::try_from(offset).unwrap();
        self.0.bytes.lock().unwrap()[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn a_migration_that_is_cut_anywhere_leaves_the_old_schema_or_the_new_one() {
    let mut cuts = 0;
    for left in 0.. {
        let card = Arc::new(Card::new(SCHEMA_1, left));
        let opened = RedbMetadata::with_backend(Handle(card.clone()), Arc::new(|_| {}));
        let whole = opened.is_ok();
        drop(opened);
        // Nothing of the last write-back counts, or all of it: both have to be good.
        for bytes in [&card.durable, &card.bytes] {
            let bytes = bytes.lock().unwrap().clone();
            let card = Arc::new(Card::new(&bytes, u64::MAX));
            expect_whole(&RedbMetadata::with_backend(Handle(card), Arc::new(|_| {})).unwrap());
        }
        if whole {
            break;
        }
        cuts += 1;
        assert!(cuts < 1_000, "it never ends");
    }
    assert!(cuts > 3, "the migration wrote something: {cuts}");
}
