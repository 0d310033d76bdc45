//! What only a disk has: room that is promised, blocks, links, and what an earlier process has left.

use super::*;
use crate::store::compare::next_data;
use crate::store::{DiskStore, Pieces, Store};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const ID: BlobId = BlobId([0xAB; 16]);
const OTHER: BlobId = BlobId([0xCD; 16]);
const PIECES: Pieces = Pieces { first: 1, each: 1 };

fn store() -> (tempfile::TempDir, DiskStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path(), 0).unwrap();
    (dir, store)
}

fn file_of(dir: &Path) -> PathBuf {
    dir.join("incoming/chunks-abababababababababababababababab")
}

fn write(assembly: &dyn Assembly, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let mut piece = assembly.piece(offset)?;
    piece.write(bytes)?;
    piece.finish()
}

#[test]
fn it_is_a_file_of_its_full_size_that_only_its_owner_can_read() {
    let (dir, store) = store();
    store.assemble(&ID, 3 << 20, PIECES).unwrap();
    let meta = file_of(dir.path()).symlink_metadata().unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(meta.len(), 3 << 20);
    assert!(meta.blocks() * 512 >= 3 << 20, "no room is set aside");
}

#[test]
fn the_file_system_tells_what_is_set_aside_from_what_is_written() {
    let (_dir, store) = store();
    let assembly = DiskAssembly::begin(&store.place, &ID, 64 << 20).unwrap();
    let file = assembly.open().unwrap();
    assert_eq!(next_data(&file, 0).unwrap(), None);
    write(&assembly, 32 << 20, &[1; 5000]).unwrap();
    let (data, hole) = next_data(&file, 0).unwrap().unwrap();
    // To the nearest block of the file system or page of the kernel.
    assert!((31 << 20..=32 << 20).contains(&data), "{data}");
    assert!(((32 << 20) + 5000..=33 << 20).contains(&hole), "{hole}");
    assert_eq!(next_data(&file, hole).unwrap(), None);
}

#[test]
fn where_nothing_can_be_set_aside_the_room_is_promised_by_the_next_process_as_well() {
    let (dir, store) = store();
    let size = 32 << 20;
    // As it lies on a file system that sets nothing aside.
    let sparse = std::fs::File::create(file_of(dir.path())).unwrap();
    sparse.set_len(size).unwrap();
    assert_eq!(store.place.promised().total, 0, "not by this one");
    let store = DiskStore::open(dir.path(), 0).unwrap();
    let promised = || store.place.promised().total;
    assert_eq!(promised(), size);
    let free = store.available().unwrap();
    assert!(matches!(
        store.assemble(&OTHER, free + 1, PIECES),
        Err(StoreError::Full { .. })
    ));
    let assembly = store.reassemble(&ID, size).unwrap();
    write(&*assembly, 0, &vec![1; 8 << 20]).unwrap();
    assert_eq!(promised(), 24 << 20, "what is written counts no longer");
    write(&*assembly, 0, &vec![1; 8 << 20]).unwrap();
    assert_eq!(promised(), 24 << 20, "and only once");
    drop(assembly.piece(8 << 20).unwrap());
    assert_eq!(promised(), 24 << 20);
    write(&*assembly, 8 << 20, &vec![1; 24 << 20]).unwrap();
    assert_eq!(promised(), 0);
    assembly.commit().unwrap();
    // One that is given up while a piece of it is written takes nothing with it.
    std::fs::File::create(file_of(dir.path()))
        .unwrap()
        .set_len(size)
        .unwrap();
    let store = DiskStore::open(dir.path(), 0).unwrap();
    let assembly = store.reassemble(&ID, size).unwrap();
    let piece = assembly.piece(0).unwrap();
    store.abandon(&ID).unwrap();
    piece.finish().unwrap();
    assert_eq!(store.place.promised().total, 0);
}

#[test]
fn what_is_set_aside_is_not_promised_twice() {
    let (dir, store) = store();
    let assembly = store.assemble(&ID, 16 << 20, PIECES).unwrap();
    assert_eq!(store.place.promised().total, 0);
    write(&*assembly, 5, &[1; 100_000]).unwrap();
    let next = DiskStore::open(dir.path(), 0).unwrap();
    assert_eq!(next.place.promised().total, 0);
}

#[test]
fn what_a_power_cut_has_left_in_pieces_is_written_again_and_the_neighbours_stay() {
    let (dir, store) = store();
    let content: Vec<u8> = (0..40_000u32).map(|n| n as u8 | 1).collect();
    let assembly = store.assemble(&ID, 40_000, PIECES).unwrap();
    write(&*assembly, 0, &content[..1000]).unwrap();
    write(&*assembly, 30_000, &content[30_000..]).unwrap();
    // Some blocks of the piece in between reached the medium, and others did not.
    let torn = std::fs::OpenOptions::new()
        .write(true)
        .open(file_of(dir.path()))
        .unwrap();
    for (start, end) in [(1000, 1024), (1536, 4096), (8192, 8704), (29_696, 30_000)] {
        torn.write_all_at(&content[start..end], start as u64)
            .unwrap();
    }
    for at in [1001, 4000, 8192, 29_999] {
        let mut others = content.clone();
        others[at] ^= 2;
        let error = write(&*assembly, 1000, &others[1000..30_000]).unwrap_err();
        assert!(matches!(error, StoreError::Differs), "{at}: {error}");
    }
    let before = std::fs::read(file_of(dir.path())).unwrap();
    assert!(before[..1000] == content[..1000], "what was there is there");
    assert!(before[30_000..] == content[30_000..]);
    write(&*assembly, 1000, &content[1000..30_000]).unwrap();
    assembly.commit().unwrap();
    let stored = dir.path().join("blobs/ab").join("ab".repeat(16));
    assert!(std::fs::read(stored).unwrap() == content);
}

#[test]
fn one_that_was_moved_by_half_is_committed() {
    let (dir, store) = store();
    let assembly = store.assemble(&ID, 5, PIECES).unwrap();
    write(&*assembly, 0, b"bytes").unwrap();
    // The second name of a file system that cannot rename without replacing.
    std::fs::create_dir(dir.path().join("blobs/ab")).unwrap();
    let stored = dir.path().join("blobs/ab").join("ab".repeat(16));
    std::fs::hard_link(file_of(dir.path()), &stored).unwrap();
    assembly.commit().unwrap();
    assert!(!file_of(dir.path()).exists());
    assert_eq!(std::fs::read(&stored).unwrap(), b"bytes");
    // A file of another upload is left alone.
    let assembly = store.assemble(&ID, 5, PIECES).unwrap();
    write(&*assembly, 0, b"other").unwrap();
    assert!(matches!(assembly.commit(), Err(StoreError::Exists)));
    assert_eq!(std::fs::read(&stored).unwrap(), b"bytes");
    assert_eq!(store.assemblies(None, 9).unwrap(), [ID]);
}

#[test]
fn what_stands_in_its_place_is_refused_and_not_followed() {
    let (dir, store) = store();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "five!").unwrap();
    symlink(&elsewhere, file_of(dir.path())).unwrap();
    assert!(store.reassemble(&ID, 5).is_err());
    assert!(matches!(
        store.assemble(&ID, 5, PIECES),
        Err(StoreError::Exists)
    ));
    store.abandon(&ID).unwrap();
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"five!");
    std::fs::create_dir(file_of(dir.path())).unwrap();
    assert!(store.reassemble(&ID, 5).is_err());
    // Nothing of this keeps the store from being opened.
    DiskStore::open(dir.path(), 0).unwrap();
    std::fs::remove_dir(file_of(dir.path())).unwrap();
    store.assemble(&ID, 5, PIECES).unwrap();
    let error = store.reassemble(&ID, 6).err().unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[test]
fn the_sweep_spares_assemblies_and_nothing_that_is_only_named_like_one() {
    let (dir, store) = store();
    store.assemble(&ID, 5, PIECES).unwrap();
    for strange in ["chunks-", "chunks-AB", "chunks-0123", "chunk"] {
        std::fs::write(dir.path().join("incoming").join(strange), "x").unwrap();
    }
    let next = DiskStore::open(dir.path(), 0).unwrap();
    assert_eq!(next.assemblies(None, 9).unwrap(), [ID]);
    assert_eq!(next.sweep_staged().unwrap(), 4);
    next.reassemble(&ID, 5).unwrap();
}

#[test]
fn what_waits_for_a_bucket_that_nobody_uses_any_more_is_listed_and_given_up_by_its_name() {
    let (dir, store) = store();
    let incoming = dir.path().join("incoming");
    let other = "cd".repeat(16);
    let third = "ee".repeat(16);
    for name in [
        format!("s3-{other}"),
        format!("s3-{other}-1"),
        format!("s3-{other}-20"),
        format!("s3-{third}-3"),
        "s3-strange".to_owned(),
    ] {
        std::fs::write(incoming.join(name), "bytes").unwrap();
    }
    store.assemble(&ID, 1000, PIECES).unwrap();
    let third = BlobId([0xEE; 16]);
    assert_eq!(store.sweep_staged().unwrap(), 1, "the strange one");
    assert_eq!(store.assemblies(None, 9).unwrap(), [ID, OTHER, third]);
    assert_eq!(store.assemblies(Some(&ID), 1).unwrap(), [OTHER]);
    assert!(matches!(
        store.reassemble(&OTHER, 5),
        Err(StoreError::NotFound)
    ));
    store.abandon(&OTHER).unwrap();
    assert_eq!(store.assemblies(None, 9).unwrap(), [ID, third]);
    store.abandon(&third).unwrap();
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 1);
    store.reassemble(&ID, 1000).unwrap();
}
