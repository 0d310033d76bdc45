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
    let mut stage = store.stage(Some(bytes.len() as u64)).unwrap();
    stage.write(bytes).unwrap();
    stage.commit(id).unwrap();
}

fn incoming(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("incoming")).unwrap().count()
}

#[test]
fn it_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    contract::check(&|| {
        number.set(number.get() + 1);
        let path = dir.path().join(number.get().to_string());
        Box::new(DiskStore::open(&path, 0).unwrap())
    });
}

#[test]
fn only_its_owner_can_read_it() {
    let (dir, store) = store();
    let stage = store.stage(None).unwrap();
    let entry = std::fs::read_dir(dir.path().join("incoming"))
        .unwrap()
        .next();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&entry.unwrap().unwrap().path()), 0o600);
    stage.commit(&ID).unwrap();
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
    let stage = store.stage(None).unwrap();
    assert!(matches!(stage.commit(&ID), Err(StoreError::Exists)));
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
    assert!(store.stage(None).unwrap().commit(&ID).is_err());
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
    std::mem::forget(earlier.stage(Some(10_000)).unwrap());
    let live = store.stage(None).unwrap();
    assert_eq!(store.sweep_staged().unwrap(), 3);
    assert_eq!(incoming(dir.path()), 2, "the live one and the directory");
    assert_eq!(std::fs::read(&keep).unwrap(), b"kept");
    live.commit(&BlobId([1; 16])).unwrap();
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
    let mut stage = store.stage(Some(64 << 20)).unwrap();
    stage.write(&[1; 100_000]).unwrap();
    stage.commit(&ID).unwrap();
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
        reserved.stage(Some(1)),
        Err(StoreError::Full {
            needed: 1,
            available: 0
        })
    ));
    // Without a declared length, too: at the first byte.
    let mut stage = reserved.stage(None).unwrap();
    assert!(matches!(stage.write(b"x"), Err(StoreError::Full { .. })));
    drop(stage);
    // And beyond a declared one.
    let mut stage = store.stage(Some(10)).unwrap();
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
    let mut unknown = store.stage(None).unwrap();
    unknown.write(b"x").unwrap();
    let mut known = store.stage(Some(2 << 20)).unwrap();
    // Somebody else takes all that is left.
    let filler = vec![0; usize::try_from(store.available().unwrap()).unwrap()];
    std::fs::write(dir.join("filler"), &filler).unwrap();
    assert_eq!(store.available().unwrap(), 0);
    assert!(is_full(unknown.write(&[1; 1 << 20])));
    drop(unknown);
    // What was set aside is still there for whom it was set aside.
    known.write(&[2; 2 << 20]).unwrap();
    known.commit(&BlobId([2; 16])).unwrap();
    assert!(is_full(store.stage(Some(1 << 20))));
    store.delete(&BlobId([2; 16])).unwrap();
    std::fs::remove_file(dir.join("filler")).unwrap();
    assert_eq!(store.open(&ID).unwrap().size(), 16);
    put(&store, &BlobId([3; 16]), &[3; 1 << 20]);
    assert_eq!(incoming(dir), 0);
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
        match store.stage(None) {
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
            .commit(&BlobId([1; 16]))
            .and_then(|()| { stages.pop().unwrap().commit(&BlobId([2; 16])) })
    ));
    stages.clear();
    assert_eq!(incoming(dir), 0);
    // A program that another test is just starting holds a copy of each descriptor until it runs, and
    // with it the room of a file that is gone.
    let again = (0..60_000).find_map(|_| {
        let stage = store.stage(None).ok();
        stage.or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            None
        })
    });
    again.unwrap().commit(&BlobId([3; 16])).unwrap();
}

#[test]
fn sixteen_mebibytes_are_stored() {
    let (dir, store) = store();
    let mut stage = store.stage(Some(16 << 20)).unwrap();
    for n in 0..256u32 {
        stage.write(&[n as u8; 65_536]).unwrap();
    }
    stage.commit(&ID).unwrap();
    assert_eq!(name(dir.path()).metadata().unwrap().len(), 16 << 20);
}

/// The system calls of [`sixteen_mebibytes_are_stored`], in order; None where they cannot be seen.
fn traced(options: &[&str]) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-o"]).arg(&log).args(options);
    strace.arg(std::env::current_exe().unwrap());
    strace.args([
        "--exact",
        "store::disk::tests::sixteen_mebibytes_are_stored",
    ]);
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
    let Some(calls) = traced(&["-e", trace]) else {
        return;
    };
    let length = |call: &String| {
        call.rsplit_once("= ")
            .and_then(|(_, n)| n.parse::<u64>().ok())
    };
    let staged = calls
        .iter()
        .filter(|c| c.starts_with("write(") && c.contains(", 65536)"));
    let written: u64 = staged.filter_map(length).sum();
    assert_eq!(written, 16 << 20, "every byte once");
    let order: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.split_once('(').map(|(name, _)| name))
        .filter(|name| *name != "write")
        .collect();
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
    let Some(calls) = traced(&["-e", trace, "-e", "inject=fdatasync:error=EIO"]) else {
        return;
    };
    let failed = calls.iter().position(|c| c.starts_with("fdatasync("));
    let after: Vec<_> = calls[failed.unwrap() + 1..]
        .iter()
        .filter(|c| c.contains('('))
        .collect();
    assert!(after.is_empty(), "{after:?}");
}
