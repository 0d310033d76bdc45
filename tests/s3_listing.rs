//! What a real bucket lists: all blobs and nothing else, none that is new, and nothing of another's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::BlobId;
use mayfly::store::s3::S3Store;
use mayfly::store::{Store, StoreError};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use support::S3Server;
use support::s3::walk;

const OURS: &str = "0123456789abcdef0123456789abcdef";
const ANOTHERS: &str = "ffffffffffffffffffffffffffffffff";
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    server: S3Server,
}

impl World {
    fn start(test: &str) -> Option<Self> {
        let server = S3Server::start(test)?;
        let world = Self { server };
        fs::create_dir_all(world.folder()).unwrap();
        Some(world)
    }

    fn store(&self, mark: &str) -> S3Store {
        let mut settings = self.server.settings();
        settings.prefix = "some/files/".to_owned();
        support::s3::store(&settings, mark)
    }

    /// Where the server keeps what has our prefix.
    fn folder(&self) -> PathBuf {
        self.server.bucket().join("some/files")
    }

    /// An object that was stored so long ago.
    fn put(&self, name: &str, length: usize, age: Duration) {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![b'x'; length]).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

/// Names spread over all that there are, in order.
fn ids(count: u32) -> Vec<BlobId> {
    let mut ids: Vec<_> = (0..count)
        .map(|n| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.wrapping_mul(0x9E37_79B9).to_be_bytes());
            bytes[12..].copy_from_slice(&n.to_be_bytes());
            BlobId(bytes)
        })
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn of_thousands_of_objects_every_blob_is_listed_once_in_order_and_nothing_else() {
    let Some(world) = World::start("listing thousands of objects") else {
        return;
    };
    let foreign = [
        "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef0123456789abcdeg",
        "0123456789abcdef0123456789abcdef.bak",
        "a photo.jpg",
        "deep/0123456789abcdef0123456789abcdef",
        "zzz",
    ];
    for name in foreign {
        world.put(name, 10, 9 * HOUR);
    }
    // Somebody's pictures: more than a page, and among the names that blobs have.
    for n in 0..600 {
        world.put(&format!("2024/photo {n}+%2B%.jpg"), 1, 9 * HOUR);
    }
    fs::write(world.server.bucket().join(OURS), b"without the prefix").unwrap();
    let store = world.store(OURS);
    assert!(store.is_empty().unwrap());
    assert_eq!(walk(&store, 100), []);
    let all = ids(2500);
    for (n, id) in all.iter().enumerate() {
        world.put(&id.to_hex(), n % 97, 2 * HOUR);
    }
    assert!(!store.is_empty().unwrap());
    for page in [128, 999] {
        assert!(walk(&store, page) == all, "in pages of {page}");
    }
    let last = all.last().unwrap();
    assert_eq!(store.list(Some(last), 5).unwrap(), []);
    for (at, page) in all.chunks(500).enumerate() {
        let mut asked = page.to_vec();
        // One that is not there, in its place in the order.
        asked.insert(
            1,
            BlobId({
                let mut id = page[0].0;
                id[15] ^= 1;
                id
            }),
        );
        asked.sort_unstable();
        let sizes = store.sizes(&asked).unwrap();
        for (id, size) in asked.iter().zip(sizes) {
            let known = page.iter().position(|known| known == id);
            let expected = known.map(|n| ((at * 500 + n) % 97) as u64);
            assert_eq!(size.ok(), expected, "{id:?}");
        }
    }
}

#[test]
fn what_was_stored_less_than_an_hour_ago_by_the_servers_clock_is_not_listed_but_is_there() {
    let Some(world) = World::start("the grace time of objects") else {
        return;
    };
    let all = ids(300);
    for (n, id) in all.iter().enumerate() {
        let minutes = [0, 30, 55, 65, 600][n % 5];
        world.put(&id.to_hex(), 1, Duration::from_secs(60 * minutes));
    }
    let store = world.store(OURS);
    let old = all.iter().enumerate().filter(|(n, _)| n % 5 >= 3);
    let old: Vec<_> = old.map(|(_, id)| *id).collect();
    assert_eq!(walk(&store, 7), old);
    assert!(store.sizes(&all).unwrap().iter().all(Result::is_ok));
    for id in &old {
        store.delete(id).unwrap();
    }
    assert_eq!(walk(&store, 7), []);
    assert!(!store.is_empty().unwrap());
}

#[test]
fn what_a_trial_of_the_bucket_left_a_day_ago_is_removed_by_the_daily_walk() {
    let Some(world) = World::start("what a trial left") else {
        return;
    };
    let digits = "0123456789abcdef";
    let [gone, too] = [
        format!("mayfly-check-{digits}"),
        format!("mayfly-check-{digits}-parts"),
    ];
    let young = "mayfly-check-fedcba9876543210";
    let anothers = "mayfly-check-list.txt";
    for (name, hours) in [(gone.as_str(), 25), (&too, 25), (young, 23), (anothers, 99)] {
        world.put(name, 10, hours * HOUR);
    }
    assert_eq!(walk(&world.store(OURS), 10), []);
    let mut left = names_in(&world.folder());
    left.sort();
    assert_eq!(left, [young, anothers, "mayfly-owner"]);
}

fn names_in(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries.map(|e| name(e).into_string().unwrap()).collect()
}

fn is_anothers(result: Result<impl Sized, StoreError>) -> bool {
    let error = result.err();
    matches!(&error, Some(StoreError::Refused(e)) if e.to_string().contains("another Mayfly"))
}

#[test]
fn where_another_has_left_its_mark_nothing_is_listed_and_nothing_stored() {
    let Some(world) = World::start("the mark of the owner") else {
        return;
    };
    let id = ids(1)[0];
    world.put(&id.to_hex(), 3, 9 * HOUR);
    let ours = world.store(OURS);
    ours.look_for_mark().unwrap();
    let marker = world.folder().join("mayfly-owner");
    let mark = fs::read_to_string(&marker).unwrap();
    assert_eq!(mark.lines().next(), Some(OURS));
    // A second installation with the same prefix.
    let anothers = world.store(ANOTHERS);
    assert!(is_anothers(anothers.list(None, 10)));
    assert!(is_anothers(anothers.list(Some(&id), 10)));
    assert!(is_anothers(anothers.stage(&ids(2)[1], None)));
    assert_eq!(fs::read_to_string(&marker).unwrap(), mark);
    assert_eq!(anothers.open(&id).unwrap().size(), 3);
    assert_eq!(ours.list(None, 10).unwrap(), [id]);
    // A start is not kept from happening.
    assert_eq!(anothers.sweep_staged().unwrap(), 0);
    // The remedy: then it is the other's, and whoever was first finds that at its next walk.
    fs::remove_file(&marker).unwrap();
    assert_eq!(anothers.list(None, 10).unwrap(), [id]);
    assert!(is_anothers(ours.list(None, 10)));
    assert!(is_anothers(ours.list(Some(&id), 10)));
    assert!(is_anothers(ours.stage(&ids(2)[1], None)));
}

/// Whether the store removes nothing, for fear of another process.
fn holds_back(store: &S3Store, id: &BlobId) -> bool {
    let told = |result: Result<(), StoreError>| match result {
        Err(StoreError::Refused(e)) => e.to_string().contains("another process"),
        _ => false,
    };
    store.remark().is_some() && told(store.delete(id)) && told(store.list(None, 9).map(drop))
}

#[test]
fn two_processes_with_one_mark_notice_each_other_and_remove_nothing() {
    let Some(world) = World::start("two processes with one mark") else {
        return;
    };
    let id = ids(1)[0];
    world.put(&id.to_hex(), 3, 9 * HOUR);
    let first = world.store(OURS);
    assert_eq!(first.list(None, 9).unwrap(), [id]);
    // It does not know yet whether the first one has crashed, and sweeps nothing.
    let copy = world.store(OURS);
    copy.look_for_mark().unwrap();
    assert!(copy.remark().is_none());
    assert!(matches!(copy.list(None, 9), Err(StoreError::Refused(_))));
    first.look_for_mark().unwrap();
    assert!(holds_back(&first, &id));
    copy.look_for_mark().unwrap();
    assert!(holds_back(&copy, &id));
    // Both are of use meanwhile.
    for (store, new) in [(&first, ids(3)[1]), (&copy, ids(3)[2])] {
        let mut stage = store.stage(&new, None).unwrap();
        stage.write(b"new").unwrap();
        stage.commit().unwrap();
        assert_eq!(store.open(&id).unwrap().size(), 3);
    }
    // A process that ends says nothing about the other one.
    copy.sign_off();
    assert!(holds_back(&first, &id));
    drop(copy);
    // One that was silent for long enough is gone.
    let first = first.with_sure(Duration::ZERO);
    first.look_for_mark().unwrap();
    first.look_for_mark().unwrap();
    assert_eq!(first.list(None, 9).unwrap(), [id]);
    first.delete(&id).unwrap();
    assert!(first.remark().is_none());
}

#[test]
fn a_process_that_starts_after_one_that_ended_well_sweeps_at_once_and_after_a_crash_later() {
    let Some(world) = World::start("a process after another one") else {
        return;
    };
    let id = ids(1)[0];
    world.put(&id.to_hex(), 3, 9 * HOUR);
    let first = world.store(OURS);
    assert_eq!(first.list(None, 9).unwrap(), [id]);
    first.sign_off();
    drop(first);
    let second = world.store(OURS);
    assert_eq!(second.list(None, 9).unwrap(), [id]);
    drop(second);
    let third = world.store(OURS);
    assert!(matches!(third.list(None, 9), Err(StoreError::Refused(_))));
    assert!(third.remark().is_none() && third.problem().is_none());
    // What its database has done with is removed in any case.
    third.delete(&id).unwrap();
    let third = third.with_sure(Duration::ZERO);
    assert_eq!(third.list(None, 9).unwrap(), []);
}

#[test]
fn what_is_no_mark_at_all_is_not_taken_for_anothers() {
    let Some(world) = World::start("an object that is no mark") else {
        return;
    };
    let id = ids(1)[0];
    world.put(&id.to_hex(), 3, 9 * HOUR);
    world.put("mayfly-owner", 700, HOUR);
    let store = world.store(OURS);
    let Err(StoreError::Refused(why)) = store.look_for_mark() else {
        panic!("that is no mark");
    };
    let why = why.to_string();
    assert!(why.contains("something else may answer"), "{why}");
    assert!(!why.contains("another Mayfly:") && !why.contains("backup"));
    for refused in [
        store.list(None, 9).map(drop),
        store.delete(&id),
        store.stage(&ids(2)[1], None).map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::Refused(_))));
    }
    assert!(store.problem().is_some());
}

#[test]
fn a_server_that_is_away_is_no_empty_bucket_and_keeps_no_blob_from_being_there_later() {
    let Some(world) = World::start("a server that is away") else {
        return;
    };
    let id = ids(1)[0];
    world.put(&id.to_hex(), 3, 9 * HOUR);
    let store = world.store(OURS);
    let blob = store.open(&id).unwrap();
    drop(world);
    assert_eq!(blob.size(), 3);
    for result in [
        store.is_empty().map(drop),
        store.list(None, 1).map(drop),
        store.sizes(&[id]).map(drop),
        store.delete(&ids(2)[1]),
        store.open(&ids(2)[1]).map(drop),
        store.stage(&ids(2)[1], None).map(drop),
    ] {
        assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
    }
    assert_eq!(store.sweep_staged().unwrap(), 0);
}
