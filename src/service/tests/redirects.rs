//! Which downloads go on at the store, and how they count.

use super::away::service;
use super::sweeps::expiring;
use super::world::*;
use crate::model::BlobId;
use crate::store::{MemoryStore, Presentation, Stage, Store, StoreError, StoredBlob};
use std::fs::File;
use std::io;

/// A store whose blobs have an address of this many bytes.
struct Elsewhere(MemoryStore, usize);

struct Addressed(Box<dyn StoredBlob>, usize);

impl Store for Elsewhere {
    fn stage(&self, id: &BlobId, expected: Option<u64>) -> Result<Box<dyn Stage>, StoreError> {
        self.0.stage(id, expected)
    }
    fn open(&self, id: &BlobId) -> Result<Box<dyn StoredBlob>, StoreError> {
        Ok(Box::new(Addressed(self.0.open(id)?, self.1)))
    }
    fn delete(&self, id: &BlobId) -> Result<(), StoreError> {
        self.0.delete(id)
    }
    fn list(&self, after: Option<&BlobId>, limit: usize) -> Result<Vec<BlobId>, StoreError> {
        self.0.list(after, limit)
    }
    fn is_empty(&self) -> Result<bool, StoreError> {
        self.0.is_empty()
    }
    fn sweep_staged(&self) -> Result<u64, StoreError> {
        self.0.sweep_staged()
    }
    fn available(&self) -> Result<u64, StoreError> {
        self.0.available()
    }
    crate::store::forward_assemblies!(0);
}

impl StoredBlob for Addressed {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn file(&self) -> Option<&File> {
        self.0.file()
    }
    fn address(&self, shown: &Presentation<'_>) -> Option<String> {
        let told = format!("{} {} ", shown.disposition, shown.content_type);
        assert!(shown.lives <= Duration::from_secs(60));
        Some(format!("{told:x<0$}", self.1))
    }
}

/// A world in which files are kept like this, and a service on a store with such addresses.
fn elsewhere(encryption: Encryption, length: usize) -> (World, Service) {
    let world = World::mode(encryption);
    let store = Arc::new(Elsewhere(world.store.clone(), length));
    let service = service(&world, Arc::clone(&world.metadata), store);
    (world, service)
}

/// Asks for `range` of a link.
fn ask(service: &Service, view: &FileView, range: Range<u64>) -> Option<String> {
    let file = service.open(Door::Link(view.id.reveal()), None, HERE);
    service.redirect(&file.unwrap(), &range, "attachment", "text/plain", HERE)
}

fn count(world: &World, service: &Service, view: &FileView) -> u64 {
    let file = service.file(&world.owner, view.id.reveal()).unwrap();
    file.allowance.count
}

#[test]
fn a_plain_file_of_an_unlimited_link_has_an_address_which_counts_when_its_last_byte_is_asked_for() {
    let (world, service) = elsewhere(Encryption::None, 0);
    let view = world.upload(b"0123456789", unlimited());
    let address = ask(&service, &view, 0..10);
    assert_eq!(address.as_deref(), Some("attachment text/plain "));
    assert_eq!(count(&world, &service, &view), 1);
    ask(&service, &view, 0..9).unwrap();
    assert_eq!(count(&world, &service, &view), 1);
    ask(&service, &view, 9..10).unwrap();
    assert_eq!(count(&world, &service, &view), 2);
    let empty = world.upload(b"", unlimited());
    ask(&service, &empty, 0..0).unwrap();
    assert_eq!(count(&world, &service, &empty), 1);
}

#[test]
fn a_link_whose_downloads_are_counted_down_has_no_address() {
    let (world, service) = elsewhere(Encryption::None, 0);
    for downloads in [1, u32::MAX] {
        let wish = LinkWish {
            count: Count::Limited(downloads),
            ..unlimited()
        };
        let view = world.upload(&downloads.to_be_bytes(), wish);
        assert_eq!(ask(&service, &view, 0..4), None);
        assert_eq!(count(&world, &service, &view), 0);
    }
}

#[test]
fn a_link_that_ends_before_an_address_would_has_none() {
    let (world, service) = elsewhere(Encryption::None, 0);
    let view = world.upload(b"bytes", expiring(100));
    assert!(ask(&service, &view, 0..5).is_some());
    world.clock.advance(39);
    assert!(ask(&service, &view, 0..5).is_some());
    world.clock.advance(1);
    assert_eq!(ask(&service, &view, 0..5), None);
}

#[test]
fn sealed_files_and_those_of_too_long_an_address_have_none() {
    for (encryption, length, has) in [
        (Encryption::None, 3000, true),
        (Encryption::None, 3001, false),
        (Encryption::Link, 0, false),
        (Encryption::Server, 0, false),
    ] {
        let (world, service) = elsewhere(encryption, length);
        let view = world.upload(b"bytes", unlimited());
        let address = ask(&service, &view, 0..5);
        assert_eq!(address.is_some(), has, "{encryption:?} {length}");
        assert_eq!(count(&world, &service, &view), u64::from(has));
    }
}

#[test]
fn what_an_owner_fetches_uncounted_counts_nothing() {
    let (world, service) = elsewhere(Encryption::None, 0);
    let view = world.upload(b"bytes", unlimited());
    let file = service.open_own(&world.owner, view.id.reveal(), false);
    let address = service.redirect(&file.unwrap(), &(0..5), "attachment", "text/plain", HERE);
    assert!(address.is_some());
    assert_eq!(count(&world, &service, &view), 0);
}
