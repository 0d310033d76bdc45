//! Blobs that come in pieces on real file systems: what the power cut leaves, what the file system tells
//! of its holes, and what a quota gives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::BlobId;
use mayfly::store::{Assembly, DiskStore, Pieces, Store, StoreError, contract};
use std::cell::Cell;
use std::path::Path;
use support::{LoopDisk, QuotaDisk};

const ID: BlobId = BlobId([0x5A; 16]);
const SIZE: u64 = 40 << 20;
const PIECES: Pieces = Pieces {
    first: 10 << 20,
    each: 10 << 20,
};

/// The byte at this place of a blob.
fn bytes_at(offset: u64, length: usize) -> Vec<u8> {
    let byte = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8 | 1;
    (offset..).take(length).map(byte).collect()
}

fn begin_piece(assembly: &dyn Assembly, start: u64, end: u64) -> Box<dyn mayfly::store::Piece> {
    let mut piece = assembly.piece(start).unwrap();
    let mut at = start;
    while at < end {
        let length = (end - at).min(64 << 10);
        piece.write(&bytes_at(at, length as usize)).unwrap();
        at += length;
    }
    piece
}

fn contract_on(dir: &Path) {
    let number = Cell::new(0);
    let make = || -> Box<dyn Store> {
        let path = dir.join(number.replace(number.get() + 1).to_string());
        Box::new(DiskStore::open(&path, 0).unwrap())
    };
    contract::check_assemblies(&make, 2 << 20);
}

#[test]
fn pieces_that_were_acknowledged_survive_a_power_cut_and_the_others_may_come_again() {
    let Some(disk) = LoopDisk::mount(160) else {
        eprintln!("LEFT OUT: pieces and a power cut (needs root and mkfs.ext4)");
        return;
    };
    contract_on(disk.path());
    let data = disk.path().join("data");
    let store = DiskStore::open(&data, 0).unwrap();
    let free = store.available().unwrap();
    let assembly = store.assemble(&ID, SIZE, PIECES).unwrap();
    assert!(store.available().unwrap() <= free - SIZE);
    let ends = [0, 10_000_001, 20_000_003, 30_000_005, SIZE];
    for n in [3, 1] {
        let piece = begin_piece(&*assembly, ends[n], ends[n + 1]);
        piece.finish().unwrap();
    }
    drop(begin_piece(&*assembly, ends[0], ends[1] - 5));
    assert!(disk.cut());
    drop((assembly, store));
    assert!(disk.unmount() && disk.mount_again());

    let store = DiskStore::open(&data, 0).unwrap();
    assert_eq!(store.assemblies(None, 9).unwrap(), [ID]);
    assert_eq!(store.sweep_staged().unwrap(), 0);
    assert!(
        store.available().unwrap() <= free - SIZE + (1 << 20),
        "its room is its own"
    );
    let assembly = store.reassemble(&ID, SIZE).unwrap();
    for n in [1, 3] {
        let mut others = bytes_at(ends[n], 4096);
        others[4000] ^= 2;
        let refused = assembly.piece(ends[n]).unwrap().write(&others);
        assert!(matches!(refused, Err(StoreError::Differs)), "{refused:?}");
    }
    for n in [0, 2] {
        let piece = begin_piece(&*assembly, ends[n], ends[n + 1]);
        piece.finish().unwrap();
    }
    assembly.commit().unwrap();
    drop(assembly);
    let blob = store.open(&ID).unwrap();
    let mut read = vec![0; SIZE as usize];
    blob.read_exact_at(&mut read, 0).unwrap();
    assert!(read == bytes_at(0, SIZE as usize));
}

#[test]
fn btrfs_keeps_the_contract_and_a_quota_that_does_not_give_the_room_says_so_at_once() {
    let Some(disk) = QuotaDisk::mount(96) else {
        eprintln!("LEFT OUT: pieces under a quota (needs root and btrfs-progs)");
        return;
    };
    contract_on(&disk.path());
    let store = DiskStore::open(&disk.path().join("data"), 0).unwrap();
    let refused = store.assemble(&ID, 200 << 20, PIECES).err().unwrap();
    assert!(matches!(refused, StoreError::Quota { .. }), "{refused}");
    assert_eq!(store.assemblies(None, 9).unwrap(), []);
    store.assemble(&ID, 20 << 20, PIECES).unwrap();
    store.abandon(&ID).unwrap();
}
