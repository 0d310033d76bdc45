//! Every step of an upload, a download and a deletion fails once, in every way: what is there
//! afterwards is the old state or the new one, and nothing leaks.

use super::fault_metadata::Fail;
use super::world::*;
use crate::store::{Fault, Operation};

const FAILS: [Fail; 4] = [Fail::Before, Fail::Unknown, Fail::Gone, Fail::DoneAndGone];
const FAULTS: [Fault; 7] = [
    Fault::Quota,
    Fault::Full,
    Fault::Refused,
    Fault::Unavailable,
    Fault::DoneButUnavailable,
    Fault::Short,
    Fault::Gone,
];

/// After a restart: what links are there opens, and there is nothing else.
fn is_whole(world: &mut World, bytes: &[u8], what: &str) -> usize {
    world.restart();
    world.service.sweep().unwrap();
    while world.service.sweep_orphans_step().unwrap() {}
    let (views, _) = world.service.files(&world.owner, None, 100).unwrap();
    for view in &views {
        let file = world
            .service
            .open_own(&world.owner, view.id.reveal(), false);
        let download = world
            .service
            .download(file.unwrap(), wish(0..view.size, None, HERE));
        let mut client = Client::patient();
        download.unwrap().send(&mut client).unwrap();
        assert!(client.body == bytes, "{what}");
    }
    let blobs = world.blobs().len();
    assert!(blobs <= views.len(), "{what}: {blobs} stored files");
    assert_eq!(blobs == 0, views.is_empty(), "{what}");
    assert_eq!(world.metadata.garbage(None, 10).unwrap(), [], "{what}");
    views.len()
}

#[test]
fn an_upload_is_there_or_not_whatever_fails_in_the_database() {
    let bytes = content(40_000);
    for existing in [0, 1] {
        for fail in FAILS {
            for step in 0.. {
                let mut world = World::new();
                for _ in 0..existing {
                    world.upload(&bytes, times(1));
                }
                let before = world.metadata_faults.calls();
                world.metadata_faults.fail_after(step, fail);
                let result = world.try_upload(&bytes, times(1));
                let reached = world.metadata_faults.calls() - before > step;
                let what = format!("{existing} there, call {step}, {fail:?}");
                let fatal = !world.fatal.lock().unwrap().is_empty();
                assert_eq!(
                    fatal,
                    reached && matches!(fail, Fail::Unknown | Fail::DoneAndGone),
                    "{what}"
                );
                let links = is_whole(&mut world, &bytes, &what);
                match result {
                    Ok(_) => assert_eq!(links, existing + 1, "{what}: acknowledged is durable"),
                    Err(Error::Internal(_)) => assert!(links <= existing + 1, "{what}"),
                    Err(error) => panic!("{what}: {error}"),
                }
                if !reached {
                    break;
                }
            }
        }
    }
}

#[test]
fn an_upload_is_there_or_not_whatever_fails_in_the_store() {
    let bytes = content(40_000);
    for existing in [0, 1] {
        for fault in FAULTS {
            for step in 0.. {
                let mut world = World::new();
                for _ in 0..existing {
                    world.upload(&bytes, times(1));
                }
                let before = world.faults.operations();
                world.faults.fail_after(step, fault);
                let result = world.try_upload(&bytes, times(1));
                let reached = world.faults.operations() - before > step;
                let what = format!("{existing} there, operation {step}, {fault:?}");
                world.faults.heal();
                let links = is_whole(&mut world, &bytes, &what);
                match result {
                    Ok(_) => assert_eq!(links, existing + 1, "{what}: acknowledged is durable"),
                    Err(
                        Error::Internal(_) | Error::Full { .. } | Error::Quota | Error::Away(_),
                    ) => {
                        assert_eq!(links, existing, "{what}");
                    }
                    Err(error) => panic!("{what}: {error}"),
                }
                if !reached {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_full_disk_of_the_database_is_called_so() {
    let world = World::new();
    world.upload(b"x", times(1));
    // Whether it shows before the upload or in its commit.
    for after in 0..9 {
        world.metadata_faults.fail_after(after, Fail::Full);
        if let Err(error) = world.try_upload(b"y", times(1)) {
            assert!(matches!(error, Error::DatabaseFull), "{error}");
            assert!(error.to_string().contains("database is full"), "{error}");
        } else {
            assert!(after > 0);
        }
        world.metadata_faults.heal();
    }
}

#[test]
fn a_failed_commit_of_the_bytes_is_fatal_and_one_that_changed_nothing_is_not() {
    for (fault, fatal) in [
        (Fault::Full, false),
        (Fault::Quota, false),
        (Fault::Refused, false),
        (Fault::Unavailable, true),
        (Fault::DoneButUnavailable, true),
    ] {
        let world = World::new();
        world.faults.fail_after_only(Operation::Commit, 0, fault);
        let result = world.try_upload(b"x", times(1));
        let full = matches!(result, Err(Error::Full { .. }));
        // With the reason, which the uploader is told.
        let away = matches!(&result, Err(Error::Away(why)) if why == "injected fault");
        assert_eq!(away, fault == Fault::Refused, "{fault:?}");
        assert_eq!(full, fault == Fault::Full, "{fault:?}");
        let quota = matches!(result, Err(Error::Quota));
        assert_eq!(quota, fault == Fault::Quota, "{fault:?}");
        assert!(result.is_err(), "{fault:?}");
        assert_eq!(!world.fatal.lock().unwrap().is_empty(), fatal, "{fault:?}");
        // The bytes may be there: this process must not touch them any more.
        let before = world.blobs().len();
        world.service.sweep_orphans_step().unwrap();
        assert_eq!(world.blobs().len(), before, "{fault:?}");
    }
}

#[test]
fn a_deletion_happens_or_not_whatever_fails() {
    let bytes = content(1_000);
    for step in 0..8 {
        for fail in FAILS {
            let mut world = World::new();
            let view = world.upload(&bytes, times(1));
            world.metadata_faults.fail_after(step, fail);
            let result = world.service.delete(&world.owner, view.id.reveal(), 0);
            let what = format!("call {step}, {fail:?}");
            let links = is_whole(&mut world, &bytes, &what);
            if result.is_ok() {
                assert_eq!(links, 0, "{what}: gone is gone");
            }
        }
    }
    let mut world = World::new();
    let view = world.upload(&bytes, times(1));
    world
        .faults
        .fail_after_only(Operation::Delete, 0, Fault::Unavailable);
    world
        .service
        .delete(&world.owner, view.id.reveal(), 0)
        .unwrap();
    assert_eq!(is_whole(&mut world, &bytes, "unlink failed"), 0);
}

#[test]
fn a_download_counts_at_most_once_whatever_fails_in_the_database() {
    let bytes = content(200_000);
    for fail in FAILS {
        for step in 0.. {
            let mut world = World::new();
            let view = world.upload(&bytes, times(1));
            let before = world.metadata_faults.calls();
            world.metadata_faults.fail_after(step, fail);
            let mut client = Client::patient();
            let sent = world
                .ask(&view, 0..view.size, None, HERE)
                .map(|download| download.send(&mut client));
            let reached = world.metadata_faults.calls() - before > step;
            let whole = matches!(sent, Ok(Ok(())));
            assert_eq!(whole, client.body == bytes);
            world.restart();
            world.clock.advance(600);
            world.service.sweep().unwrap();
            let again = world.fetch(&view);
            let what = format!("call {step}, {fail:?}");
            assert!(!(whole && again.is_ok()), "{what}: two copies");
            if fail == Fail::Before && !whole && client.body.is_empty() {
                assert!(again.is_ok(), "{what}: nothing was delivered");
            }
            if !reached {
                assert!(whole && gone(&again));
                break;
            }
        }
    }
}

#[test]
fn damaged_bytes_are_never_a_whole_file() {
    let world = World::new();
    let view = world.upload(&content(MIB), times(1));
    for step in 0..6 {
        let file = world.open(&view).unwrap();
        let download = world
            .service
            .download(file, wish(0..view.size, None, HERE))
            .unwrap();
        world
            .faults
            .fail_after_only(Operation::Read, step, Fault::Unavailable);
        let mut client = Client::patient();
        assert!(download.send(&mut client).is_err(), "read {step}");
        assert!(client.body.len() < MIB);
        world.clock.advance(600);
        world.service.sweep().unwrap();
        assert_eq!(world.left(&view), (1, 0, 0));
    }
}

#[test]
fn what_does_not_fit_is_refused_before_and_during_the_upload() {
    let mut world = World::new();
    world.policy.max_file_size = 100_000;
    world.restart();
    let receive = |length: usize, declared: Option<u64>| {
        let bytes = content(length);
        let mut input = &bytes[..];
        let received = world.service.receive(&world.owner, &mut input, declared);
        (received.map(drop), input.len() == length)
    };
    let (refused, untouched) = receive(100_001, Some(100_001));
    assert!(matches!(refused, Err(Error::TooLarge { limit: 100_000 })) && untouched);
    let (refused, _) = receive(100_001, None);
    assert!(matches!(refused, Err(Error::TooLarge { limit: 100_000 })));
    assert!(receive(100_000, None).0.is_ok());

    world.policy.max_file_size = u64::MAX;
    world.restart();
    let mut input = &b""[..];
    for declared in [2 << 30, u64::MAX] {
        let refused = world
            .service
            .receive(&world.owner, &mut input, Some(declared));
        assert!(matches!(refused, Err(Error::Full { available }) if available <= 1 << 30));
    }
}

#[test]
fn a_cut_upload_leaves_nothing() {
    struct Cut(u32);
    impl std::io::Read for Cut {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(1)
                .ok_or(std::io::ErrorKind::UnexpectedEof)?;
            Ok(buffer.len())
        }
    }
    let world = World::new();
    let result = world.service.receive(&world.owner, &mut Cut(3), None);
    assert!(matches!(result.map(drop), Err(Error::Input(_))));
    let received = world
        .service
        .receive(&world.owner, &mut &b"dropped"[..], None)
        .unwrap();
    drop(received);
    assert!(world.blobs().is_empty());
}
