//! Damaged records: noticed, named, and never taken for what they were not.

use super::account_records::{AccountOfSchema1, AccountOfSchema2, ApiKeyOfSchema1};
use super::codec::{Record, open, read, seal, write};
use super::keys::key_of;
use super::records::{KeyPlace, Mark, Number, Place, Tagged};
use super::schema::{BLOBS, Change, DUE, LEASES, LINKS, PLACES, Raw};
use super::*;
use crate::metadata::chunks::{BuiltBy, Edge};
use proptest::prelude::*;
use redb::Database;
use redb::backends::InMemoryBackend;
use std::fmt::Debug;

/// Round trip, every single flipped bit, every cut, an extension, another key and another table.
fn check<R: Record + PartialEq + Debug>(key: &[u8], record: &R) {
    let value = seal("table", key, record);
    assert_eq!(&open::<R>("table", key, &value).unwrap(), record);
    let refused = |key: &[u8], value: &[u8], what: &str| match open::<R>("table", key, value) {
        Err(MetadataError::Corrupt(text)) => assert!(text.contains("table"), "{text}"),
        other => panic!("{what} of {record:?} gives {other:?}"),
    };
    let mut damaged = value.clone();
    for bit in 0..value.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        refused(key, &damaged, "a flipped bit");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..value.len() {
        refused(key, &value[..length], "a cut");
    }
    damaged.push(0);
    refused(key, &damaged, "an extension");
    let mut other_key = key.to_vec();
    other_key[0] ^= 1;
    refused(&other_key, &value, "a move to another key");
    assert!(open::<R>("elbat", key, &value).is_err());
    // Without the check, too, there is one encoding only.
    assert_eq!(
        write(&read::<R>(key, &write(record)).unwrap()),
        write(record)
    );
}

#[test]
fn every_flipped_bit_of_every_record_kind_is_detected() {
    check(&key_of(&link(1)), &link(1));
    let full = Link {
        password: Some(password()),
        pending_delete: Some(Timestamp(-1)),
        hotlink: Some(lookup(3)),
        by_owner: vec![0xFE; 300],
        ..link(1)
    };
    check(&key_of(&full), &full);
    let place = Place {
        owner: AccountId(1),
        created: NOW,
    };
    check(&lookup(1).0, &place);
    let hotlink = Hotlink {
        link: lookup(1),
        by_hotlink: vec![1; 48],
    };
    check(&lookup(2).0, &hotlink);
    check(&lease(1, 1).id.0, &lease(1, 1));
    check(&blob_id(1).0, &blob(1));
    check(
        &blob_id(1).0,
        &Blob {
            tag: Some([1; 32]),
            ..blob(1)
        },
    );
    let tagged = Tagged {
        blob: blob_id(1),
        by_plaintext: vec![],
    };
    check(&[1; 32], &tagged);
    check(&0u64.to_be_bytes(), &account("Zoë"));
    check(&0u64.to_be_bytes(), &AccountOfSchema1(account("Zoë")));
    check(&0u64.to_be_bytes(), &AccountOfSchema2(account("Zoë")));
    for leaving in [Leaving::DeletesFiles, Leaving::MovesFiles(AccountId(7))] {
        let going = Account {
            role: Role::SuperAdmin,
            permissions: UserPermissions(5),
            leaving: Some(leaving),
            must_change_password: true,
            last_online: Some(NOW),
            ..account("Zoë")
        };
        check(&0u64.to_be_bytes(), &going);
    }
    let ended = ApiKey {
        expires: Some(NOW),
        last_used: Some(Timestamp(-1)),
        ..api_key(1)
    };
    check(&lookup(1).0, &ended);
    check(&lookup(1).0, &ApiKeyOfSchema1(api_key(1)));
    let user = Account {
        role: Role::User,
        disabled: true,
        ..account("Zoë")
    };
    check(&0u64.to_be_bytes(), &user);
    check(&[b'p'; 35], &KeyPlace(lookup(1)));
    check(&lookup(1).0, &api_key(1));
    check(&[1; 40], &Mark);
    check(b"name", &Number(7));
    let session = super::chunks::session(1);
    check(&session.lookup.0, &session);
    let chunk = super::chunks::chunk(7, 9);
    check(&keys::chunk_key(&blob_id(1), 7), &chunk);
    check(&keys::chunk_key(&blob_id(1), 1), &Edge(vec![1; 90]));
    check(&keys::chunk_key(&blob_id(1), 1), &Edge(vec![]));
    check(&blob_id(1).0, &BuiltBy(lookup(1)));
}

#[test]
fn the_stored_form_of_schema_1_does_not_change() {
    // A file written by this schema has to open for ever: pinned by a hash of the encodings.
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    hash.update(&seal("links", &key_of(&link(1)), &link(1)));
    let place = Place {
        owner: AccountId(1),
        created: Timestamp(500),
    };
    hash.update(&seal("places", &lookup(1).0, &place));
    hash.update(&seal("blobs", &blob_id(1).0, &blob(1)));
    hash.update(&seal("leases", &lease(1, 1).id.0, &lease(1, 1)));
    let old = AccountOfSchema1(account("Ann"));
    hash.update(&seal("accounts", &0u64.to_be_bytes(), &old));
    let key = ApiKey {
        public_id: "p".repeat(35),
        ..api_key(1)
    };
    hash.update(&seal("keys", &lookup(1).0, &ApiKeyOfSchema1(key)));
    hash.update(&seal("due", &[1; 40], &Mark));
    hash.update(&seal("state", b"schema", &Number(1)));
    let found = data_encoding::HEXLOWER.encode(hash.finish().as_ref());
    assert_eq!(
        found,
        "1aa700b44318629dcc70294387b3a470c3d33d81756fdafc50abdb355320d1a1"
    );
}

#[test]
fn the_stored_form_of_what_schema_5_added_does_not_change() {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let going = Account {
        role: Role::SuperAdmin,
        leaving: Some(Leaving::MovesFiles(AccountId(7))),
        must_change_password: true,
        last_online: Some(NOW),
        ..account("Ann")
    };
    hash.update(&seal("accounts", &0u64.to_be_bytes(), &account("Ann")));
    hash.update(&seal("accounts", &0u64.to_be_bytes(), &going));
    let key = ApiKey {
        expires: Some(NOW),
        ..api_key(1)
    };
    hash.update(&seal("keys", &lookup(1).0, &key));
    let found = data_encoding::HEXLOWER.encode(hash.finish().as_ref());
    assert_eq!(
        found,
        "e51c8ed58ef9ce5b9de83bbb35285acc4590dc6c319fe8c504332206d47c8ae4"
    );
}

#[test]
fn the_stored_form_of_what_schema_2_added_does_not_change() {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let old = AccountOfSchema2(account("Ann"));
    hash.update(&seal("accounts", &0u64.to_be_bytes(), &old));
    hash.update(&seal("publics", &[b'p'; 35], &KeyPlace(lookup(1))));
    let found = data_encoding::HEXLOWER.encode(hash.finish().as_ref());
    assert_eq!(
        found,
        "8cbf5d29c9d3433c262381dc1674b19bedf818f97f10cdd922920656da6ac6b1"
    );
}

#[test]
fn the_stored_form_of_what_schema_4_added_does_not_change() {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let session = super::chunks::session(1);
    hash.update(&seal("sessions", &session.lookup.0, &session));
    hash.update(&seal("building", &blob_id(1).0, &BuiltBy(lookup(1))));
    hash.update(&seal("idle", &keys::due_key(NOW, &lookup(1)), &Mark));
    let uploading = keys::owned_key(AccountId(1), &lookup(1));
    hash.update(&seal("uploading", &uploading, &Mark));
    let key = keys::chunk_key(&blob_id(1), 7);
    hash.update(&seal("chunks", &key, &super::chunks::chunk(7, 9)));
    hash.update(&seal("edges", &key, &Edge(vec![1; 300])));
    hash.update(&seal("ended", &blob_id(1).0, &Mark));
    let found = data_encoding::HEXLOWER.encode(hash.finish().as_ref());
    assert_eq!(
        found,
        "54438e340b02cb0ae3e1e166a76c53728c7378c6315442020e4ef8d0cea267f7"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_or_guess(
        key in proptest::collection::vec(any::<u8>(), 0..50),
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        prop_assert!(decode_any(&key, &body));
        for layout in [1, 2] {
            let mut versioned = vec![layout];
            versioned.extend_from_slice(&body);
            prop_assert!(decode_any(&key, &versioned));
        }
        prop_assert!(open::<Link>("links", &key, &body).is_err());
    }
}

/// A database in which `spoil` was done behind its back.
pub(super) fn spoiled(spoil: impl FnOnce(&Change<'_>, &redb::WriteTransaction)) -> RedbMetadata {
    let backend = std::sync::Arc::new(InMemoryBackend::new());
    let db = RedbMetadata::with_backend(Shared(backend.clone()), Arc::new(|_| {})).unwrap();
    for n in 1..=3 {
        db.publish(with_blob(link(n))).unwrap();
    }
    drop(db);
    let database = Database::builder()
        .create_with_backend(Shared(backend.clone()))
        .unwrap();
    let transaction = database.begin_write().unwrap();
    spoil(&Change::new(&transaction), &transaction);
    transaction.commit().unwrap();
    drop(database);
    RedbMetadata::with_backend(Shared(backend), Arc::new(|reason| panic!("{reason}"))).unwrap()
}

#[derive(Debug)]
pub(super) struct Shared(pub(super) Arc<InMemoryBackend>);

impl redb::StorageBackend for Shared {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        redb::StorageBackend::read(&*self.0, offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        redb::StorageBackend::write(&*self.0, offset, data)
    }
}

pub(super) fn flip(transaction: &redb::WriteTransaction, table: &'static str, key: &[u8]) {
    let mut table = transaction.open_table(Raw::new(table)).unwrap();
    let mut value = table.remove(key).unwrap().unwrap().value().to_vec();
    value[5] ^= 0x10;
    table.insert(key, value.as_slice()).unwrap();
}

pub(super) fn assert_damaged<T: Debug>(result: Result<T, MetadataError>, table: &str) {
    match result {
        Err(MetadataError::Corrupt(what)) => assert!(what.contains(table), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_link_is_named_and_the_others_go_on() {
    let db = spoiled(|_, transaction| flip(transaction, LINKS.name, &key_of(&link(2))));
    assert_damaged(db.link(&lookup(2)), "00000000 of table links");
    assert_damaged(db.remove(&lookup(2)), "links");
    assert_damaged(db.edit(&lookup(2), LinkEdit::default()), "links");
    assert_damaged(db.take_lease(&lease(1, 2)), "links");
    assert_damaged(db.verify(), "links");
    let listed = db.links_of(AccountId(1), None, 2).unwrap();
    assert_eq!(listed, [link(1), link(3)], "a full page, without it");
    assert_eq!(db.link(&lookup(1)).unwrap(), Some(link(1)));
    db.add_downloads(&[(lookup(1), 1), (lookup(2), 1)]).unwrap();

    let all = due(&db, Timestamp(2_000), 9);
    assert_eq!(all.len(), 3);
    let freed = db.remove_over(&all, Timestamp(2_000)).unwrap();
    assert_eq!(freed.len(), 2, "the sweep passes over the damaged one");
    assert_eq!(due(&db, Timestamp(2_000), 9), [lookup(2)]);
    assert_eq!(db.remove_over(&[lookup(2)], Timestamp(2_000)).unwrap(), []);
}

#[test]
fn a_refusal_in_the_middle_of_a_removal_changes_nothing() {
    let db = spoiled(|_, transaction| flip(transaction, BLOBS.name, &blob_id(2).0));
    db.take_lease(&lease(1, 2)).unwrap();
    assert_damaged(db.remove(&lookup(2)), "blobs");
    assert_eq!(db.leases().unwrap(), [lease(1, 2)]);
    assert_eq!(db.links_of(AccountId(1), None, 9).unwrap().len(), 3);
    assert_eq!(due(&db, Timestamp(2_000), 9).len(), 3);
    assert_damaged(db.blob(&blob_id(2)), "blobs");
    db.remove(&lookup(1)).unwrap();
}

#[test]
fn damage_to_one_download_keeps_no_other_from_being_settled() {
    let db = spoiled(|to, transaction| {
        for n in 1..=3 {
            let lease = Lease {
                closing: true,
                ..lease(n, n)
            };
            crate::metadata::leases::take_lease(to, &lease).unwrap();
        }
        flip(transaction, BLOBS.name, &blob_id(1).0);
        flip(transaction, LEASES.name, &lease(3, 3).id.0);
        for n in 1..=2 {
            // The last download of each.
            let allowance = limited(1);
            let edit = LinkEdit {
                allowance: Some(allowance),
                ..LinkEdit::default()
            };
            crate::metadata::changes::edit(to, &lookup(n), edit).unwrap();
        }
    });
    let freed = db.settle_closing().unwrap();
    assert_eq!(freed.len(), 1);
    assert_eq!(freed[0].link, Some(lookup(2)));
    assert_eq!(db.leases().unwrap().len(), 1);
}

#[test]
fn tables_that_contradict_each_other_are_found() {
    let missing_due = |to: &Change<'_>, _: &redb::WriteTransaction| {
        let key = keys::due_key(Timestamp(2_000), &lookup(2));
        DUE.delete(to, &key).unwrap();
    };
    assert_damaged(spoiled(missing_due).verify(), "links");
    let stray_due = |to: &Change<'_>, _: &redb::WriteTransaction| {
        let key = keys::due_key(Timestamp(2_001), &lookup(2));
        DUE.put(to, &key, &Mark).unwrap();
    };
    assert_damaged(spoiled(stray_due).verify(), "due");
    let misplaced = |to: &Change<'_>, _: &redb::WriteTransaction| {
        let place = Place {
            owner: AccountId(2),
            created: link(2).created,
        };
        PLACES.put(to, &lookup(2).0, &place).unwrap();
    };
    assert_damaged(spoiled(misplaced).verify(), "links");
    let stray_place = |to: &Change<'_>, _: &redb::WriteTransaction| {
        let row = key_of(&link(2));
        LINKS.delete(to, &row).unwrap();
    };
    assert_damaged(spoiled(stray_place).verify(), "places");
    let other_format = |to: &Change<'_>, _: &redb::WriteTransaction| {
        let format = BlobFormat::Plain;
        let blob = Blob { format, ..blob(2) };
        BLOBS.put(to, &blob.id.0, &blob).unwrap();
    };
    assert_damaged(spoiled(other_format).verify(), "links");
    let miscounted = |to: &Change<'_>, _: &redb::WriteTransaction| {
        let blob = Blob {
            references: 2,
            ..blob(2)
        };
        BLOBS.put(to, &blob.id.0, &blob).unwrap();
    };
    assert_damaged(spoiled(miscounted).verify(), "blobs");
    spoiled(|_, _| {}).verify().unwrap();
}

fn memory(bytes: &[u8]) -> Arc<InMemoryBackend> {
    let backend = InMemoryBackend::new();
    redb::StorageBackend::set_len(&backend, u64::try_from(bytes.len()).unwrap()).unwrap();
    redb::StorageBackend::write(&backend, 0, bytes).unwrap();
    Arc::new(backend)
}

#[test]
fn a_flipped_bit_anywhere_in_the_file_never_panics_and_never_shows_through() {
    let backend = memory(&[]);
    let db = RedbMetadata::with_backend(Shared(backend.clone()), Arc::new(|_| {})).unwrap();
    for n in 0..20 {
        db.publish(with_blob(link(n))).unwrap();
    }
    drop(db);
    let mut bytes =
        vec![0; usize::try_from(redb::StorageBackend::len(&*backend).unwrap()).unwrap()];
    redb::StorageBackend::read(&*backend, 0, &mut bytes).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    let original = |found: &Link| (0..20).map(link).any(|l| l == *found);
    let mut noticed = 0;
    // As many as random cases are drawn: fewer under emulation.
    let cases = ProptestConfig::default().cases.clamp(1, 256) as usize;
    let stride = 256 / cases;
    for at in (0..512)
        .step_by(3 * stride)
        .chain((512..used).step_by(149 * stride))
    {
        bytes[at] ^= 1 << (at % 8);
        match RedbMetadata::with_backend(Shared(memory(&bytes)), Arc::new(|_| {})) {
            Err(_) => noticed += 1,
            Ok(db) => {
                let listed = db.links_of(AccountId(1), None, 100);
                let found = (0..20).filter_map(|n| db.link(&lookup(n)).ok().flatten());
                let shown: Vec<_> = found.chain(listed.unwrap_or_default()).collect();
                assert!(shown.iter().all(original), "a flip at {at} shows through");
                let missing = shown.iter().filter(|l| **l == link(0)).count() == 0;
                let whole = db.verify().is_ok();
                assert!(!(whole && missing), "a flip at {at} is not found");
                noticed += usize::from(!whole);
            }
        }
        bytes[at] ^= 1 << (at % 8);
    }
    assert!(noticed * stride > 20, "only {noticed} flips hit anything");
}
