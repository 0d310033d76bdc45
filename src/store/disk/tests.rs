//! The contract, and what only a disk has: modes, links, leftovers, space.

use super::*;
use crate::store::contract;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

const ID: BlobId = BlobId([0xAB; 16]);

fn name(dir: &Path) -> PathBuf {
    dir.join("blobs/ab").join("ab".repeat(16))
}

fn store() -> (tempfile::TempDir, DiskStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path(), 0).unwrap();
    (dir, store)
}

fn put(store: &DiskStore, id: &BlobId, bytes: &[u8]) {
    let mut stage = store.stage(id, Some(bytes.len() as u64)).unwrap();
    stage.write(bytes).unwrap();
    stage.commit().unwrap();
}

fn incoming(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("incoming")).unwrap().count()
}

#[test]
fn it_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    let make = || -> Box<dyn Store> {
        number.set(number.get() + 1);
        let path = dir.path().join(number.get().to_string());
        Box::new(DiskStore::open(&path, 0).unwrap())
    };
    contract::check(&make);
    contract::check_assemblies(&make, 17 << 20);
}

#[test]
fn only_its_owner_can_read_it() {
    let (dir, store) = store();
    let stage = store.stage(&ID, None).unwrap();
    let entry = std::fs::read_dir(dir.path().join("incoming"))
        .unwrap()
        .next();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&entry.unwrap().unwrap().path()), 0o600);
    stage.commit().unwrap();
    assert_eq!(mode(&name(dir.path())), 0o600);
    for directory in ["blobs", "blobs/ab", "incoming"] {
        assert_eq!(mode(&dir.path().join(directory)), 0o700, "{directory}");
    }
    let new = dir.path().join("a/b");
    DiskStore::open(&new, 0).unwrap();
    assert_eq!(mode(&new), 0o700);
}

#[test]
fn a_link_in_place_of_a_blob_is_refused_and_not_followed() {
    let (dir, store) = store();
    put(&store, &ID, b"x");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "not yours").unwrap();
    std::fs::remove_file(name(dir.path())).unwrap();
    symlink(&secret, name(dir.path())).unwrap();
    assert!(matches!(store.open(&ID), Err(StoreError::Unavailable(_))));
    let stage = store.stage(&ID, None).unwrap();
    assert!(matches!(stage.commit(), Err(StoreError::Exists)));
    store.delete(&ID).unwrap();
    assert_eq!(std::fs::read(&secret).unwrap(), b"not yours");
}

#[test]
fn a_link_in_place_of_a_directory_is_refused() {
    let (dir, store) = store();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), dir.path().join("blobs/ab")).unwrap();
    assert!(matches!(store.open(&ID), Err(StoreError::Unavailable(_))));
    assert!(store.delete(&ID).is_err());
    assert!(store.stage(&ID, None).unwrap().commit().is_err());
    assert!(elsewhere.path().read_dir().unwrap().next().is_none());

    let dir = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), dir.path().join("blobs")).unwrap();
    assert!(DiskStore::open(dir.path(), 0).is_err());
}

#[test]
fn what_is_no_file_in_place_of_a_blob_is_refused_without_waiting() {
    let (dir, store) = store();
    put(&store, &ID, b"x");
    std::fs::remove_file(name(dir.path())).unwrap();
    std::fs::create_dir(name(dir.path())).unwrap();
    assert!(matches!(store.open(&ID), Err(StoreError::Unavailable(_))));
    std::fs::remove_dir(name(dir.path())).unwrap();
    let fifo = name(dir.path());
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, PRIVATE_FILE, 0).unwrap();
    assert!(matches!(store.open(&ID), Err(StoreError::Unavailable(_))));
}

#[test]
fn leftovers_of_an_earlier_process_are_swept_and_links_are_not_followed() {
    let (dir, store) = store();
    put(&store, &ID, b"kept");
    let keep = dir.path().join("keep");
    std::fs::write(&keep, "kept").unwrap();
    std::fs::write(dir.path().join("incoming/0000-0"), "half").unwrap();
    symlink(&keep, dir.path().join("incoming/link")).unwrap();
    std::fs::create_dir(dir.path().join("incoming/directory")).unwrap();
    let earlier = DiskStore::open(dir.path(), 0).unwrap();
    std::mem::forget(earlier.stage(&ID, Some(10_000)).unwrap());
    let live = store.stage(&BlobId([1; 16]), None).unwrap();
    assert_eq!(store.sweep_staged().unwrap(), 3);
    assert_eq!(incoming(dir.path()), 2, "the live one and the directory");
    assert_eq!(std::fs::read(&keep).unwrap(), b"kept");
    live.commit().unwrap();
    assert_eq!(store.sweep_staged().unwrap(), 0);
    assert_eq!(store.list(None, 9).unwrap(), [BlobId([1; 16]), ID]);
}

#[test]
fn strange_names_are_no_blobs() {
    let (dir, store) = store();
    std::fs::create_dir(dir.path().join("blobs/ab")).unwrap();
    for strange in [
        "ab/readme.txt",
        "ab/ABABABABABABABABABABABABABABABAB",
        "ab/00000000000000000000000000000000",
        "lost+found",
    ] {
        std::fs::write(dir.path().join("blobs").join(strange), "x").unwrap();
    }
    assert!(store.is_empty().unwrap());
    assert_eq!(store.list(None, 10).unwrap(), []);
}

#[test]
fn what_was_set_aside_and_not_needed_is_given_back() {
    let (dir, store) = store();
    let mut stage = store.stage(&ID, Some(64 << 20)).unwrap();
    stage.write(&[1; 100_000]).unwrap();
    stage.commit().unwrap();
    let meta = name(dir.path()).metadata().unwrap();
    assert_eq!(meta.len(), 100_000);
    assert!(
        meta.blocks() * 512 < 1 << 20,
        "{} blocks are held",
        meta.blocks()
    );
}

#[test]
fn the_reserve_is_not_given_away() {
    let (dir, store) = store();
    let free = store.available().unwrap();
    assert!(free > 64 << 20, "the tests need some space");
    let reserved = DiskStore::open(dir.path(), u64::MAX).unwrap();
    assert_eq!(reserved.available().unwrap(), 0);
    assert!(matches!(
        reserved.stage(&ID, Some(1)),
        Err(StoreError::Full {
            needed: 1,
            available: 0
        })
    ));
    // Without a declared length, too: at the first byte.
    let mut stage = reserved.stage(&ID, None).unwrap();
    assert!(matches!(stage.write(b"x"), Err(StoreError::Full { .. })));
    drop(stage);
    // And beyond a declared one.
    let mut stage = store.stage(&ID, Some(10)).unwrap();
    stage.write(&[0; 10]).unwrap();
    stage.write(&[0; 10]).unwrap();
    drop(stage);
    assert_eq!(incoming(dir.path()), 0);
}

/// A small file system of its own, gone on drop.
struct Small(tempfile::TempDir);

impl Small {
    /// None where the tests may not mount.
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]);
        let output = mount.arg(dir.path()).output();
        if output.is_ok_and(|o| o.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("left out: mounting a small file system needs root");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        let _ = umount.arg("--lazy").arg(self.0.path()).status();
    }
}

fn is_full<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Full { .. }))
}

#[test]
fn a_medium_that_fills_up_while_writing_says_so_and_recovers() {
    let Some(small) = Small::mount("size=16m") else {
        return;
    };
    let dir = small.0.path();
    let store = DiskStore::open(dir, 0).unwrap();
    put(&store, &ID, b"was there before");
    let mut unknown = store.stage(&ID, None).unwrap();
    unknown.write(b"x").unwrap();
    let mut known = store.stage(&BlobId([2; 16]), Some(2 << 20)).unwrap();
    // Somebody else takes all that is left.
    let filler = vec![0; usize::try_from(store.available().unwrap()).unwrap()];
    std::fs::write(dir.join("filler"), &filler).unwrap();
    assert_eq!(store.available().unwrap(), 0);
    assert!(is_full(unknown.write(&[1; 1 << 20])));
    drop(unknown);
    // What was set aside is still there for whom it was set aside.
    known.write(&[2; 2 << 20]).unwrap();
    known.commit().unwrap();
    assert!(is_full(store.stage(&ID, Some(1 << 20))));
    store.delete(&BlobId([2; 16])).unwrap();
    std::fs::remove_file(dir.join("filler")).unwrap();
    assert_eq!(store.open(&ID).unwrap().size(), 16);
    put(&store, &BlobId([3; 16]), &[3; 1 << 20]);
    assert_eq!(incoming(dir), 0);
}

#[test]
fn what_is_being_assembled_has_its_room_from_the_beginning() {
    let Some(small) = Small::mount("size=16m") else {
        return;
    };
    let dir = small.0.path();
    let store = DiskStore::open(dir, 0).unwrap();
    let pieces = Pieces { first: 1, each: 1 };
    let first = store.assemble(&ID, 10 << 20, pieces).unwrap();
    assert!(store.available().unwrap() < 7 << 20);
    let other = BlobId([2; 16]);
    assert!(is_full(store.assemble(&other, 10 << 20, pieces)));
    assert!(is_full(store.stage(&other, Some(10 << 20))));
    assert_eq!(incoming(dir), 1, "nothing remains of what was refused");
    // Somebody else takes all that is left.
    let filler = vec![0; usize::try_from(store.available().unwrap()).unwrap()];
    std::fs::write(dir.join("filler"), &filler).unwrap();
    drop(store);
    let store = DiskStore::open(dir, 0).unwrap();
    let mut piece = first.piece(0).unwrap();
    for _ in 0..160 {
        piece.write(&[1; 65_536]).unwrap();
    }
    piece.finish().unwrap();
    store.abandon(&ID).unwrap();
    store.assemble(&other, 10 << 20, pieces).unwrap();
}

#[test]
fn a_medium_without_room_for_names_is_full_and_recovers() {
    let Some(small) = Small::mount("size=16m,nr_inodes=8") else {
        return;
    };
    // The root, both directories and the directory of the blob take four.
    let dir = small.0.path();
    let store = DiskStore::open(dir, 0).unwrap();
    put(&store, &ID, b"x");
    let mut stages = Vec::new();
    let error = loop {
        assert!(stages.len() < 8);
        let id = BlobId([stages.len() as u8 + 1; 16]);
        match store.stage(&id, None) {
            Ok(stage) => stages.push(stage),
            Err(e) => break e,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    // There is no room for another directory, either: nothing is committed, nothing remains.
    assert!(is_full(
        stages
            .pop()
            .unwrap()
            .commit()
            .and_then(|()| { stages.pop().unwrap().commit() })
    ));
    stages.clear();
    assert_eq!(incoming(dir), 0);
    // A program that another test is just starting holds a copy of each descriptor until it runs, and
    // with it the room of a file that is gone.
    let again = (0..60_000).find_map(|_| {
        let stage = store.stage(&BlobId([3; 16]), None).ok();
        stage.or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            None
        })
    });
    again.unwrap().commit().unwrap();
}

#[test]
fn sixteen_mebibytes_are_stored() {
    let (dir, store) = store();
    let mut stage = store.stage(&ID, Some(16 << 20)).unwrap();
    for n in 0..256u32 {
        stage.write(&[n as u8; 65_536]).unwrap();
    }
    stage.commit().unwrap();
    assert_eq!(name(dir.path()).metadata().unwrap().len(), 16 << 20);
}

const STORED: &str = "store::disk::tests::sixteen_mebibytes_are_stored";

/// What a system call returned.
fn returned(call: &str) -> Option<u64> {
    call.rsplit_once("= ").and_then(|(_, n)| n.parse().ok())
}

fn names_of(calls: &[String]) -> Vec<&str> {
    let named = calls.iter().filter_map(|call| call.split_once('('));
    named.map(|(name, _)| name).collect()
}

/// The system calls of a test here, in order; None where they cannot be seen.
fn traced(test: &str, options: &[&str]) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-o"]).arg(&log).args(options);
    strace.arg(std::env::current_exe().unwrap());
    strace.args(["--exact", test]);
    let _ = strace.output();
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    // From the first call on the staged file to its last: not those of the test around it.
    let calls: Vec<String> = log
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(_, call)| call.trim().to_owned()))
        .skip_while(|call| !call.starts_with("fallocate("))
        .collect();
    if calls.is_empty() {
        eprintln!("left out: seeing system calls needs strace");
        return None;
    }
    Some(calls)
}

#[test]
fn a_commit_has_its_directory_first_then_a_sync_the_rename_and_a_sync_of_the_directory() {
    let trace = "trace=fallocate,fadvise64,fdatasync,fsync,renameat2,ftruncate,write";
    let Some(calls) = traced(STORED, &["-e", trace]) else {
        return;
    };
    let staged = calls
        .iter()
        .filter(|c| c.starts_with("write(") && c.contains(", 65536)"));
    let written: u64 = staged.filter_map(|call| returned(call)).sum();
    assert_eq!(written, 16 << 20, "every byte once");
    let mut order = names_of(&calls);
    order.retain(|name| *name != "write");
    let expected = [
        "fallocate",
        "fadvise64",
        "fadvise64",
        "fsync",
        "fdatasync",
        "renameat2",
        "fsync",
    ];
    assert_eq!(order, expected);
}

#[test]
fn a_sync_that_fails_is_not_repeated_and_publishes_nothing() {
    let trace = "trace=fallocate,fdatasync,fsync,renameat2,linkat";
    let Some(calls) = traced(STORED, &["-e", trace, "-e", "inject=fdatasync:error=EIO"]) else {
        return;
    };
    let failed = calls.iter().position(|c| c.starts_with("fdatasync("));
    let after: Vec<_> = calls[failed.unwrap() + 1..]
        .iter()
        .filter(|c| c.contains('('))
        .collect();
    assert!(after.is_empty(), "{after:?}");
}

#[test]
fn sixteen_mebibytes_are_assembled() {
    let (dir, store) = store();
    let pieces = Pieces {
        first: 4 << 20,
        each: 4 << 20,
    };
    let assembly = store.assemble(&ID, 16 << 20, pieces).unwrap();
    // The last first: none is near what was written before.
    for start in [12u64, 4, 8, 0] {
        let mut piece = assembly.piece(start << 20).unwrap();
        for n in 0..64u32 {
            piece.write(&[n as u8 | 1; 65_536]).unwrap();
        }
        piece.finish().unwrap();
    }
    assembly.commit().unwrap();
    assert_eq!(name(dir.path()).metadata().unwrap().len(), 16 << 20);
}

#[test]
fn each_piece_is_written_once_and_durable_and_nothing_is_read_or_copied() {
    let trace =
        "trace=fallocate,fdatasync,fsync,renameat2,ftruncate,pwrite64,pread64,copy_file_range";
    let test = "store::disk::tests::sixteen_mebibytes_are_assembled";
    let Some(calls) = traced(test, &["-e", trace]) else {
        return;
    };
    let pieces = calls.iter().filter(|c| c.starts_with("pwrite64("));
    let written: u64 = pieces.filter_map(|call| returned(call)).sum();
    assert_eq!(written, 16 << 20, "every byte once");
    let mut order = names_of(&calls);
    order.dedup_by(|one, other| one == other && *one == "pwrite64");
    let piece = ["pwrite64", "fdatasync"];
    let expected = [
        &["fallocate", "ftruncate", "fsync", "fsync"][..],
        &piece.repeat(4),
        &["fsync", "fdatasync", "renameat2", "fsync"],
    ];
    assert_eq!(order, expected.concat());
}
