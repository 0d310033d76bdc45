//! Files of earlier schemas: they open, with all that is in them, whenever the migration is cut.

use super::account_records::{AccountOfSchema2, ApiKeyOfSchema1};
use super::migrate::STEPS;
use super::schema::{ACCOUNTS_OF_SCHEMA_2, BIRTHS, CLOCK, Change, KEYS_OF_SCHEMA_1, Raw, View};
use super::*;
use crate::model::Token;
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};
use redb::{ReadableDatabase, StorageBackend, TableHandle};
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
    assert_eq!((zoe.role, zoe.disabled), (Role::SuperAdmin, false));
    assert_eq!(zoe.permissions, UserPermissions::ALL);
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

/// Opens `old` once with every cut that there can be, and then for good; `expect` looks at what it
/// finds after each.
fn cut_everywhere(old: &[u8], expect: fn(&RedbMetadata)) {
    let mut cuts = 0;
    for left in 0.. {
        let card = Arc::new(Card::new(old, left));
        let opened = RedbMetadata::with_backend(Handle(card.clone()), Arc::new(|_| {}));
        let whole = opened.is_ok();
        drop(opened);
        // Nothing of the last write-back counts, or all of it: both have to be good.
        for bytes in [&card.durable, &card.bytes] {
            let bytes = bytes.lock().unwrap().clone();
            let card = Arc::new(Card::new(&bytes, u64::MAX));
            expect(&RedbMetadata::with_backend(Handle(card), Arc::new(|_| {})).unwrap());
        }
        if whole {
            break;
        }
        cuts += 1;
        assert!(cuts < 1_000, "it never ends");
    }
    assert!(cuts > 3, "the migration wrote something: {cuts}");
}

#[test]
fn a_migration_that_is_cut_anywhere_leaves_the_old_schema_or_the_new_one() {
    cut_everywhere(SCHEMA_1, expect_whole);
}

/// A file as the last Mayfly of schema 2 left it: the one of schema 1 after one step, and beside it a
/// disabled user with a recovery phrase, two keys, and a link that is being downloaded.
fn schema_2() -> Vec<u8> {
    let card = Arc::new(Card::new(SCHEMA_1, u64::MAX));
    let database = redb::Builder::new()
        .create_with_backend(Handle(card.clone()))
        .unwrap();
    file::upgrade(&database, &STEPS[..1]).unwrap();
    let transaction = database.begin_write().unwrap();
    let to = Change::new(&transaction);
    let mut ben = account("Ben");
    ben.role = Role::User;
    ben.disabled = true;
    ben.wraps.by_recovery = Some(vec![7; 60]);
    let added = crate::metadata::accounts::add_account(&to, ben.clone(), Some(api_key(1)));
    assert_eq!(added.unwrap(), Some(AccountId(2)));
    let ben = AccountOfSchema2(Account {
        id: AccountId(2),
        ..ben
    });
    ACCOUNTS_OF_SCHEMA_2
        .put(&to, &2u64.to_be_bytes(), &ben)
        .unwrap();
    for n in [1, 2] {
        let key = ApiKey {
            account: AccountId(2),
            ..api_key(n)
        };
        if n == 2 {
            crate::metadata::accounts::add_api_key(&to, &key, 9).unwrap();
        }
        KEYS_OF_SCHEMA_1
            .put(&to, &key.lookup.0, &ApiKeyOfSchema1(key.clone()))
            .unwrap();
    }
    let mut link = link(1);
    link.owner = AccountId(2);
    changes::publish(&to, with_blob(link)).unwrap();
    let taken = crate::metadata::leases::take_lease(&to, &lease(1, 1)).unwrap();
    assert_eq!(taken, Taken::Leased);
    // What later schemas brought.
    for table in [CLOCK.name, BIRTHS.name].into_iter().chain(OF_SCHEMA_4) {
        assert!(transaction.delete_table(Raw::new(table)).unwrap());
    }
    transaction.commit().unwrap();
    let view = View(database.begin_read().unwrap());
    assert_eq!(
        migrate::needs(&view, STEPS).unwrap(),
        migrate::Needs::StepsFrom(1)
    );
    let tables: Vec<String> = view
        .0
        .list_tables()
        .unwrap()
        .map(|t| t.name().to_owned())
        .collect();
    assert_eq!(tables.join(" "), TABLES_OF_SCHEMA_2);
    drop(view);
    drop(database);
    card.bytes.lock().unwrap().clone()
}

const OF_SCHEMA_4: [&str; 7] = [
    "sessions",
    "idle",
    "uploading",
    "building",
    "chunks",
    "edges",
    "ended",
];

const TABLES_OF_SCHEMA_2: &str = "accounts blobs due garbage held hotlinks keys leases links names owned places publics state tags";

/// Everything of the file of schema 2 is there, and what schema 3 brought works.
fn expect_whole_from_2(db: &RedbMetadata) {
    db.verify().unwrap();
    let zoe = db.account_named("zo\u{eb}").unwrap().unwrap();
    assert_eq!((zoe.id, zoe.role), (AccountId(1), Role::SuperAdmin));
    let ben = db.account(AccountId(2)).unwrap().unwrap();
    assert_eq!(
        (ben.name.as_str(), ben.role, ben.disabled),
        ("Ben", Role::User, true)
    );
    assert_eq!(ben.wraps.by_recovery, Some(vec![7; 60]));
    assert_eq!(
        db.api_key_named(KNOWN_PUBLIC_ID).unwrap().unwrap().account,
        zoe.id
    );
    let keys = db.api_keys_of(ben.id, None, 9).unwrap();
    assert_eq!(
        keys.iter().map(|key| key.lookup).collect::<Vec<_>>(),
        [lookup(1), lookup(2)]
    );
    assert_eq!(db.links_of(zoe.id, None, 9).unwrap().len(), 1);
    let link = db.link(&lookup(1)).unwrap().unwrap();
    assert_eq!((link.owner, link.allowance.leased), (ben.id, 1));
    assert_eq!(db.leases().unwrap(), [lease(1, 1)]);

    assert_eq!(
        db.clock().unwrap(),
        None,
        "nothing is known about the clock"
    );
    let born = crate::model::Moment {
        boot: None,
        seconds: 1,
    };
    let row = ClockRow {
        mark: NOW,
        at: born,
        gaps: Vec::new(),
    };
    db.save_clock(&row).unwrap();
    assert_eq!(db.clock().unwrap(), Some(row));
    let new = NewLink {
        birth: Some(born),
        ..with_blob(super::link(2))
    };
    assert_eq!(db.publish(new).unwrap(), Published::Done);
    let by = Rebase::new(NOW, born, 50);
    assert_eq!(db.rebase(&by, 9).unwrap(), 1, "only what was born since");
    db.verify().unwrap();
}

#[test]
fn a_file_of_schema_2_opens_with_all_that_is_in_it_whenever_its_migration_is_cut() {
    cut_everywhere(&schema_2(), expect_whole_from_2);
}

/// A file as the last Mayfly of schema 3 left it: that of schema 2 after one step, with a mark of the
/// clock and a link that was made in doubt.
fn schema_3() -> Vec<u8> {
    let card = Arc::new(Card::new(&schema_2(), u64::MAX));
    let database = redb::Builder::new()
        .create_with_backend(Handle(card.clone()))
        .unwrap();
    file::upgrade(&database, &STEPS[..2]).unwrap();
    let transaction = database.begin_write().unwrap();
    let to = Change::new(&transaction);
    CLOCK.put(&to, schema::MARK, &mark()).unwrap();
    let born = NewLink {
        birth: Some(mark().at),
        ..with_blob(link(2))
    };
    // Asks for uploads in chunks, as every publication does by now.
    schema::create_chunk_tables(&to).unwrap();
    changes::publish(&to, born).unwrap();
    for table in OF_SCHEMA_4 {
        assert!(transaction.delete_table(Raw::new(table)).unwrap());
    }
    transaction.commit().unwrap();
    let view = View(database.begin_read().unwrap());
    let needs = migrate::needs(&view, STEPS).unwrap();
    assert_eq!(needs, migrate::Needs::StepsFrom(2));
    let mut tables: Vec<String> = view
        .0
        .list_tables()
        .unwrap()
        .map(|t| t.name().to_owned())
        .collect();
    tables.retain(|name| !["births", "clock"].contains(&name.as_str()));
    assert_eq!(tables.join(" "), TABLES_OF_SCHEMA_2);
    drop(view);
    drop(database);
    card.bytes.lock().unwrap().clone()
}

fn mark() -> ClockRow {
    ClockRow {
        mark: NOW,
        at: crate::model::Moment {
            boot: None,
            seconds: 1,
        },
        gaps: Vec::new(),
    }
}

/// Everything of the file of schema 3 is there, and what schema 4 brought works.
fn expect_whole_from_3(db: &RedbMetadata) {
    db.verify().unwrap();
    assert_eq!(db.clock().unwrap(), Some(mark()));
    let ben = db.account_named("ben").unwrap().unwrap();
    assert_eq!((ben.id, ben.disabled), (AccountId(2), true));
    assert_eq!(db.api_keys_of(ben.id, None, 9).unwrap().len(), 2);
    assert_eq!(db.link(&lookup(2)).unwrap().unwrap().owner, AccountId(1));
    assert_eq!(db.links_of(AccountId(1), None, 9).unwrap().len(), 2);
    assert_eq!(db.leases().unwrap(), [lease(1, 1)]);
    let by = Rebase::new(NOW, mark().at, 0);
    assert_eq!(db.rebase(&by, 9).unwrap(), 1);

    assert_eq!(db.idle_chunks(Timestamp(i64::MAX), 9).unwrap(), []);
    let session = super::chunks::session(7);
    let begun = db.begin_chunks(&session, 1).unwrap();
    assert_eq!(begun, ChunksBegun::Done);
    let chunk = super::chunks::chunk(0, 100);
    let added = db.add_chunk(&session.lookup, chunk, vec![(0, Some(vec![1]))], NOW);
    assert_eq!(added.unwrap(), ChunkAdded::Done);
    db.verify().unwrap();
    let dropped = db.drop_chunks(&session.lookup).unwrap();
    assert_eq!(dropped, Some(session.blob));
    db.verify().unwrap();
}

#[test]
fn a_file_of_schema_3_opens_with_all_that_is_in_it_whenever_its_migration_is_cut() {
    cut_everywhere(&schema_3(), expect_whole_from_3);
}

#[test]
fn a_program_that_knows_no_uploads_in_chunks_refuses_their_file() {
    let card = Arc::new(Card::new(&schema_3(), u64::MAX));
    drop(RedbMetadata::with_backend(Handle(card.clone()), Arc::new(|_| {})).unwrap());
    let database = redb::Builder::new()
        .create_with_backend(Handle(card))
        .unwrap();
    match file::upgrade(&database, &STEPS[..2]) {
        Err(MetadataError::TooNew { found: 5, known: 3 }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn however_many_keys_an_old_file_has_all_are_found_by_their_new_indexes() {
    let card = Arc::new(Card::new(SCHEMA_1, u64::MAX));
    let database = redb::Builder::new()
        .create_with_backend(Handle(card.clone()))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    let count = 700;
    for n in 0..count {
        let key = ApiKey {
            account: AccountId(1),
            ..api_key(n)
        };
        KEYS_OF_SCHEMA_1
            .put(
                &Change::new(&transaction),
                &key.lookup.0,
                &ApiKeyOfSchema1(key.clone()),
            )
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let db = RedbMetadata::with_backend(Handle(card), Arc::new(|_| {})).unwrap();
    db.verify().unwrap();
    let keys = db.api_keys_of(AccountId(1), None, 9_999).unwrap();
    assert_eq!(keys.len() as u64, count + 2);
    assert!(
        db.api_key_named(&format!("{:035}", count - 1))
            .unwrap()
            .is_some()
    );
}

/// Written by the last Mayfly of schema 4, with an upload in chunks under way: the administrators "admin"
/// and "Ann", the user "Zo\u{eb}" with two keys, and the disabled user "Ben" with a file. All have the password
/// "correct horse".
const SCHEMA_4: &[u8] = include_bytes!("schema4.redb");

/// Everything of the file of schema 4 is there, and everybody may do what they could do before.
fn expect_whole_from_4(db: &RedbMetadata) {
    db.verify().unwrap();
    let accounts = db.accounts(None, 9).unwrap();
    let found: Vec<_> = accounts
        .iter()
        .map(|a| (a.name.as_str(), a.role, a.permissions.0, a.disabled))
        .collect();
    assert_eq!(
        found,
        [
            ("admin", Role::SuperAdmin, 511, false),
            ("Zo\u{eb}", Role::User, 1 | 256, false),
            ("Ann", Role::Admin, 511, false),
            ("Ben", Role::User, 1 | 256, true),
        ]
    );
    for account in &accounts {
        assert!(account.leaving.is_none() && !account.must_change_password);
        assert_eq!(account.last_online, None);
        assert!(account.wraps.by_recovery.is_some());
        let keys = db.api_keys_of(account.id, None, 9).unwrap();
        assert_eq!(keys.len(), if account.id.0 == 2 { 2 } else { 1 });
        for key in keys {
            assert_eq!((key.expires, key.last_used), (None, None));
            let first = key.name == "First key";
            let expected = if first {
                account.rights()
            } else {
                Permissions::VIEW
            };
            assert_eq!(key.permissions, expected);
            assert_eq!(db.api_key_named(&key.public_id).unwrap(), Some(key));
        }
    }
    assert_eq!(db.links_of(AccountId(4), None, 9).unwrap().len(), 1);
    let uploads = db.idle_chunks(Timestamp(i64::MAX), 9).unwrap();
    assert_eq!(uploads.len(), 1);
    assert_eq!(db.chunks(&uploads[0].lookup, None, 9).unwrap().len(), 1);
    // What schema 5 brought works.
    let used = Use {
        account: AccountId(2),
        key: None,
        at: NOW,
    };
    db.touch(&[used]).unwrap();
    assert_eq!(
        db.account(AccountId(2)).unwrap().unwrap().last_online,
        Some(NOW)
    );
    db.verify().unwrap();
}

#[test]
fn a_file_of_schema_4_opens_with_all_that_is_in_it_whenever_its_migration_is_cut() {
    cut_everywhere(SCHEMA_4, expect_whole_from_4);
}

#[test]
fn the_accounts_of_a_file_of_schema_4_open_with_their_passwords() {
    let card = Arc::new(Card::new(SCHEMA_4, u64::MAX));
    let db = RedbMetadata::with_backend(Handle(card), Arc::new(|_| {})).unwrap();
    for account in db.accounts(None, 9).unwrap() {
        let password = keys::password_key("correct horse", &account.password);
        let by_password = keys::unwrap(
            Purpose::AccountByPassword,
            &[password.reveal()],
            account.name.to_ascii_lowercase().as_bytes(),
            &account.wraps.by_password,
        );
        assert!(by_password.is_some(), "{}", account.name);
    }
}

#[test]
fn the_oldest_administrator_who_is_not_disabled_becomes_the_super_admin() {
    let card = Arc::new(Card::new(SCHEMA_4, u64::MAX));
    let database = redb::Builder::new()
        .create_with_backend(Handle(card.clone()))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    let to = Change::new(&transaction);
    let id = 1u64.to_be_bytes();
    let AccountOfSchema2(mut admin) = ACCOUNTS_OF_SCHEMA_2.need(&to, &id).unwrap();
    admin.disabled = true;
    ACCOUNTS_OF_SCHEMA_2
        .put(&to, &id, &AccountOfSchema2(admin))
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let db = RedbMetadata::with_backend(Handle(card), Arc::new(|_| {})).unwrap();
    db.verify().unwrap();
    let role = |id| db.account(AccountId(id)).unwrap().unwrap().role;
    assert_eq!((role(1), role(3)), (Role::Admin, Role::SuperAdmin));
}
