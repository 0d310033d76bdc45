//! The contract of all stores, kept by the one in a bucket, alone and beside a disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::BlobId;
use mayfly::store::s3::{S3Settings, S3Store};
use mayfly::store::{BothStores, DiskStore, Moved, Place, Store, StoreError, Wishes, contract};
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use support::S3Server;

const MARK: &str = "0123456789abcdef0123456789abcdef";

fn open(settings: &S3Settings) -> S3Store {
    support::s3::store(settings, MARK).with_grace(Duration::ZERO)
}

#[test]
fn a_bucket_keeps_the_contract_of_stores() {
    let Some(server) = S3Server::start("the contract, kept by a bucket") else {
        return;
    };
    let count = Cell::new(0);
    contract::check(&|| {
        let mut settings = server.settings();
        settings.prefix = format!("store-{}/", count.replace(count.get() + 1));
        Box::new(open(&settings))
    });
}

#[test]
fn a_bucket_behind_tls_keeps_the_contract_of_stores() {
    let Some(server) = S3Server::start_tls("the contract, kept by a bucket behind TLS") else {
        return;
    };
    let count = Cell::new(0);
    contract::check(&|| {
        let mut settings = server.settings();
        settings.prefix = format!("{}/deep/er/", count.replace(count.get() + 1));
        Box::new(open(&settings))
    });
}

#[test]
fn a_disk_and_a_bucket_together_keep_the_contract_of_stores() {
    let Some(server) = S3Server::start("the contract, kept by a disk and a bucket") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    for new_blobs in [Place::Near, Place::Far] {
        contract::check(&|| {
            let number = count.replace(count.get() + 1);
            let mut settings = server.settings();
            settings.prefix = format!("store-{number}/");
            let disk = DiskStore::open(&home.path().join(number.to_string()), 0).unwrap();
            let bucket: Arc<dyn Store> = Arc::new(open(&settings));
            Box::new(BothStores::new(Arc::new(disk), bucket, new_blobs))
        });
    }
}

/// Wants everything for as long as it takes.
struct Always;

impl Wishes for Always {
    fn is_wanted(&self, _: &BlobId) -> io::Result<bool> {
        Ok(true)
    }
    fn goes_on(&self, _: u64) -> bool {
        true
    }
}

#[test]
fn of_two_copies_on_disk_and_in_a_bucket_one_is_removed_and_never_one_that_is_read() {
    let Some(server) = S3Server::start("two copies of a file") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let id = BlobId([7; 16]);
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let whole = (id, bytes.len() as u64);
    for place in [Place::Near, Place::Far] {
        let mut settings = server.settings();
        settings.prefix = format!("{place:?}/");
        let disk = DiskStore::open(&home.path().join(format!("{place:?}")), 0).unwrap();
        let disk: Arc<dyn Store> = Arc::new(disk);
        let bucket: Arc<dyn Store> = Arc::new(open(&settings));
        for store in [&disk, &bucket] {
            let mut stage = store.stage(&id, Some(whole.1)).unwrap();
            stage.write(&bytes).unwrap();
            stage.commit().unwrap();
        }
        let both = BothStores::new(Arc::clone(&disk), Arc::clone(&bucket), place);
        assert_eq!(both.doubles(&[whole]).unwrap(), [whole]);
        let (stays, leaves) = match place {
            Place::Near => (&disk, &bucket),
            Place::Far => (&bucket, &disk),
        };
        let reader = leaves.open(&id).unwrap();
        let removed = both.remove_double(&id, whole.1, &Always).unwrap();
        let mut read = vec![0; bytes.len()];
        reader.read_exact_at(&mut read, 0).unwrap();
        assert!(read == bytes, "whoever reads it reads on");
        drop(reader);
        // The disk keeps what is open by itself.
        assert_eq!(removed == Moved::Read, place == Place::Near);
        if removed == Moved::Read {
            assert_eq!(both.doubles(&[whole]).unwrap(), [whole]);
            let removed = both.remove_double(&id, whole.1, &Always).unwrap();
            assert_eq!(removed, Moved::Done(whole.1));
        }
        assert!(matches!(leaves.open(&id), Err(StoreError::NotFound)));
        assert_eq!(stays.open(&id).unwrap().size(), whole.1);
        assert_eq!(both.doubles(&[whole]).unwrap(), []);
    }
}
