//! The contract of all stores, kept by the one in a bucket, alone and beside a disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::store::s3::{S3Settings, S3Store};
use mayfly::store::{BothStores, DiskStore, Place, Store, contract};
use std::cell::Cell;
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
