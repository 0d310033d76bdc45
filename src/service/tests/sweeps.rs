//! What ends by itself, and what must not.

use super::fault_metadata::Fail;
use super::world::*;
use crate::model::{AccountId, BlobId, Lookup};
use crate::store::{Fault, Operation, Store};

pub(super) fn expiring(seconds: i64) -> LinkWish {
    LinkWish {
        lifetime: Lifetime::Until(Timestamp(START + seconds)),
        ..unlimited()
    }
}

fn orphan(world: &World, n: u8) {
    let mut stage = world.store.stage(&BlobId([n; 16]), None).unwrap();
    stage.write(b"orphan").unwrap();
    stage.commit().unwrap();
}

fn sweep_orphans(world: &World) {
    for _ in 0..100 {
        if !world.service.sweep_orphans_step().unwrap() {
            return;
        }
    }
    panic!("the orphan sweep has no end");
}

#[test]
fn any_number_of_links_expires_in_one_sweep() {
    let world = World::new();
    for i in 0..300u32 {
        world.upload(&i.to_be_bytes(), expiring(10));
    }
    let stays = world.upload(b"stays", expiring(11));
    world.clock.advance(10);
    assert_eq!(world.service.sweep().unwrap(), 300);
    assert_eq!(world.service.sweep().unwrap(), 0);
    assert_eq!(world.blobs().len(), 1);
    assert!(world.open(&stays).is_ok());
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_there() {
    let mut world = World::new();
    let view = world.upload(b"stays", unlimited());
    world.restart();
    // The second question is about downloads that had ended.
    world.metadata_faults.fail_after(1, Fail::Full);
    world.service.recover().unwrap();
    assert!(world.metadata_faults.names().contains("settle_closing"));
    assert!(world.open(&view).is_ok());
    world.metadata_faults.fail_after(1, Fail::Before);
    assert!(world.service.recover().is_err());
}

#[test]
fn ten_idle_minutes_write_nothing() {
    let world = World::new();
    let file = world.upload(b"stays", unlimited());
    let lasting = world.upload(b"for an hour", expiring(3600));
    assert!(world.open(&file).is_ok() && world.open(&lasting).is_ok());
    sweep_orphans(&world);
    world.service.sweep().unwrap();
    world.service.flush_counts().unwrap();
    world.metadata_faults.names();
    for second in 1..=600 {
        world.clock.advance(1);
        if second % 3 == 0 {
            world.service.sweep().unwrap();
        }
        if second % 60 == 0 {
            world.service.flush_counts().unwrap();
        }
    }
    sweep_orphans(&world);
    let called = world.metadata_faults.names();
    // What is offered waits in memory for a change.
    let reading = [
        "due",
        "count_due",
        "idle_chunks",
        "garbage",
        "blobs",
        "unknown_blobs",
        "idle_chunks",
        "offer_clock",
    ];
    assert!(
        called.iter().all(|name| reading.contains(name)),
        "{called:?}"
    );
    assert!(called.contains("due") && called.contains("garbage"));
}

#[test]
fn bytes_that_cannot_be_removed_now_are_removed_by_the_next_sweep() {
    let world = World::new();
    world.upload(b"x", expiring(10));
    world.clock.advance(10);
    world
        .faults
        .fail_after_only(Operation::Delete, 0, Fault::Gone);
    assert_eq!(world.service.sweep().unwrap(), 1);
    assert_eq!(world.blobs().len(), 1);
    world.faults.heal();
    assert_eq!(world.service.sweep().unwrap(), 0);
    assert!(world.blobs().is_empty());
    assert_eq!(world.metadata.garbage(None, 10).unwrap(), []);
}

#[test]
fn a_deletion_is_one_change_and_the_sweep_strikes_off_what_came_together() {
    let world = World::new();
    let views = [1, 2, 3u8].map(|n| world.upload(&[n], times(1)));
    for view in &views {
        let before = world.metadata_faults.calls();
        world
            .service
            .delete(&world.owner, view.id.reveal(), 0)
            .unwrap();
        assert_eq!(world.metadata_faults.calls() - before, 2, "read, remove");
    }
    assert!(world.blobs().is_empty(), "the bytes went at once");
    assert_eq!(world.metadata.garbage(None, 10).unwrap().len(), 3);
    world.service.sweep().unwrap();
    assert_eq!(world.metadata.garbage(None, 10).unwrap(), []);
}

#[test]
fn orphans_are_removed_and_files_of_links_are_not() {
    let world = World::new();
    let views: Vec<_> = (0..200u8)
        .map(|i| world.upload(&[i, 1], times(1)))
        .collect();
    for n in 1..=16 {
        orphan(&world, n * 15);
    }
    assert_eq!(world.blobs().len(), 216);
    sweep_orphans(&world);
    assert_eq!(world.blobs().len(), 200);
    for view in &views {
        assert!(world.open(view).is_ok());
    }
}

#[test]
fn files_of_another_database_are_not_removed() {
    let world = World::new();
    world.upload(b"mine", times(1));
    for n in 1..=17 {
        orphan(&world, n);
    }
    sweep_orphans(&world);
    assert_eq!(
        world.blobs().len(),
        18,
        "the database may be older than the files"
    );
}

#[test]
fn a_link_whose_stored_file_is_missing_or_cut_is_found_before_somebody_wants_it() {
    let world = World::new();
    let views: Vec<_> = (0..200u8)
        .map(|i| world.upload(&[i, 1], times(1)))
        .collect();
    let check = || {
        let (mut found, mut more) = (Vec::new(), true);
        for _ in 0..100 {
            if !more {
                return found;
            }
            let (damaged, rest) = world.service.check_blobs_step().unwrap();
            found.extend(damaged);
            more = rest;
        }
        panic!("the check has no end");
    };
    assert_eq!(check(), []);
    let blobs = world.blobs();
    let (missing, cut) = (blobs[3], blobs[150]);
    world.store.delete(&missing).unwrap();
    world.store.delete(&cut).unwrap();
    let mut stage = world.store.stage(&cut, None).unwrap();
    stage.write(b"the rest is lost").unwrap();
    stage.commit().unwrap();
    assert_eq!(check(), [missing, cut]);
    assert_eq!(check(), [missing, cut], "and again at the next walk");
    let alive = views.iter().filter(|view| world.open(view).is_ok());
    assert_eq!(alive.count(), 198);
    assert!(
        views.iter().all(|view| !gone(&world.open(view))),
        "the owner is not told that it was used up"
    );
}

#[test]
fn a_new_database_beside_stored_files_is_refused() {
    let world = World::new();
    world.upload(b"mine", times(1));
    let fresh = World::new();
    let parts = Parts {
        metadata: std::sync::Arc::clone(&fresh.metadata),
        store: std::sync::Arc::new(world.store.clone()),
        waiting: crate::store::WaitingFiles::open(&std::env::temp_dir(), 0).unwrap(),
        clock: std::sync::Arc::new(Timekeeper::unquestioned(fresh.clock.clone())),
        server_key: keys::random_secret(),
        master_key: None,
        on_fatal: std::sync::Arc::new(|_| {}),
    };
    let empty = std::sync::Arc::new(crate::metadata::RedbMetadata::in_memory().unwrap());
    let parts = Parts {
        metadata: empty,
        ..parts
    };
    let service = Service::new(parts, world.policy.clone());
    assert!(matches!(service.recover(), Err(Error::Internal(_))));
}

#[test]
fn the_sweep_does_not_take_a_file_between_its_rename_and_its_commit() {
    let world = World::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                world.service.sweep_orphans_step().unwrap();
            }
        });
        let views: Vec<_> = (0..150u32)
            .map(|i| world.upload(&i.to_be_bytes(), times(1)))
            .collect();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        sweeper.join().unwrap();
        for view in &views {
            assert!(world.open(view).is_ok());
        }
    });
}

#[test]
fn an_end_that_the_database_did_not_hear_of_is_tried_again() {
    let world = World::new();
    let view = world.upload(&content(100_000), times(1));
    let download = world.ask(&view, 0..view.size, None, HERE).unwrap();
    // The next call closes the lease, the one after it settles.
    world.metadata_faults.fail_after(1, Fail::Before);
    download.send(&mut Client::patient()).unwrap();
    assert!(
        busy(&world.ask(&view, 0..view.size, None, HERE)),
        "over, and not known to be"
    );
    world.service.sweep().unwrap();
    assert!(gone(&world.open(&view)));
    assert!(world.blobs().is_empty() && world.fatal.lock().unwrap().is_empty());
}

#[test]
fn counts_that_could_not_be_written_are_kept() {
    let world = World::new();
    let view = world.upload(b"x", unlimited());
    world.fetch(&view).unwrap();
    world.metadata_faults.fail_after(0, Fail::Before);
    assert!(world.service.flush_counts().is_err());
    world.fetch(&view).unwrap();
    world.service.flush_counts().unwrap();
    assert_eq!(world.left(&view).2, 2);
    let row = world.service.file(&world.owner, view.id.reveal()).unwrap();
    assert_eq!(row.allowance.count, 2);
}

/// Counts a download of a link that nobody knows.
fn count_stranger(world: &World, n: u32) {
    let mut lookup = [7; 32];
    lookup[..4].copy_from_slice(&n.to_be_bytes());
    world.service.count_download(&Lookup(lookup));
}

fn known(world: &World) -> Lookup {
    let links = world.metadata.links_of(AccountId(1), None, 1).unwrap();
    links[0].lookup
}

#[test]
fn counts_that_wait_for_a_database_without_writes_take_bounded_room() {
    let world = World::new();
    let view = world.upload(b"x", unlimited());
    let known = known(&world);
    world.service.count_download(&known);
    let before = world.metadata_faults.calls();
    world.metadata_faults.fail_after(0, Fail::Gone);
    for n in 0..10_000 {
        count_stranger(&world, n);
        assert!(world.service.counts_held().0 <= 4096);
    }
    // Those that are known are counted on; of the others it is known how many there were.
    let (held, lost) = world.service.counts_held();
    assert_eq!(held as u64 + lost, 10_001);
    assert_eq!(world.metadata_faults.calls() - before, 1, "one try for all");
    assert!(world.service.flush_counts().is_err());
    assert_eq!(world.service.counts_held(), (held, lost));
    world.metadata_faults.heal();
    world.service.flush_counts().unwrap();
    assert_eq!(world.service.counts_held(), (0, 0));
    world.service.count_download(&known);
    world.service.flush_counts().unwrap();
    assert!(world.left(&view).2 >= 1);
    // As before: the next that finds no room makes some.
    for n in 0..5_000 {
        count_stranger(&world, n);
    }
    assert_eq!(world.service.counts_held(), (5_000 - 4_096, 0));
}

#[test]
fn no_count_is_lost_by_many_threads_while_the_database_writes() {
    let world = World::new();
    let view = world.upload(b"x", unlimited());
    let known = known(&world);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (world, known) = (&world, &known);
            scope.spawn(move || {
                for n in 0..4_000 {
                    count_stranger(world, thread * 4_000 + n);
                    if n % 4 == 0 {
                        world.service.count_download(known);
                    }
                }
            });
        }
    });
    assert_eq!(world.service.counts_held().1, 0);
    world.service.flush_counts().unwrap();
    assert_eq!(world.left(&view).2, 8_000);
}

#[test]
fn many_counts_are_written_in_small_changes() {
    let world = World::new();
    // That the owner was here is written, too.
    world.service.flush_counts().unwrap();
    let views: Vec<_> = (0..300u32)
        .map(|n| world.upload(&n.to_be_bytes(), unlimited()))
        .collect();
    let count = || {
        for view in &views {
            world.fetch(view).unwrap();
        }
    };
    count();
    let before = world.metadata_faults.calls();
    world.service.flush_counts().unwrap();
    assert_eq!(world.metadata_faults.calls() - before, 3);
    // One that fails keeps what was not written, and nothing else.
    count();
    world.metadata_faults.fail_after(1, Fail::Before);
    assert!(world.service.flush_counts().is_err());
    world.service.flush_counts().unwrap();
    assert!(views.iter().all(|view| world.left(view).2 == 2));
}
