//! Files that come in chunks: every order, every interruption, and whoever should not get at them.

use super::fault_metadata::Fail;
use super::world::*;
use crate::metadata::AccountRemoved;
use crate::pipeline::seal::open_all;
use crate::store::{Fault, Operation, Store};
use std::io::Read;

const UUID: &str = "0123456789abcdef";
const MODES: [Encryption; 3] = [Encryption::Link, Encryption::Server, Encryption::None];
/// A chunk size that no segment ends at.
const ODD: usize = 50_001;

impl World {
    fn send_as(&self, who: &Session, bytes: &[u8], range: Range<usize>) -> Result<(), Error> {
        let place = ChunkPlace {
            upload: UUID,
            size: bytes.len() as u64,
            offset: range.start as u64,
        };
        let chunk = &bytes[range];
        let length = chunk.len() as u64;
        let expected = length.saturating_sub(65_536)..=length + 300;
        self.service
            .receive_chunk(who, &place, Some(&expected), &mut &chunk[..])
    }

    fn send(&self, bytes: &[u8], range: Range<usize>) -> Result<(), Error> {
        self.send_as(&self.owner, bytes, range)
    }

    fn complete(&self, size: usize) -> Result<FileView, Error> {
        self.complete_as(&self.owner, size)
    }

    fn complete_as(&self, who: &Session, size: usize) -> Result<FileView, Error> {
        let wish = unlimited();
        self.service.complete_chunks(who, UUID, size as u64, &wish)
    }

    fn assemblies(&self) -> usize {
        self.store.assemblies(None, 1_000).unwrap().len()
    }

    fn sweep_orphans(&self) {
        while self.service.sweep_orphans_step().unwrap() {}
    }
}

fn ranges(length: usize, chunk: usize) -> Vec<Range<usize>> {
    let starts = (0..length).step_by(chunk);
    starts.map(|at| at..(at + chunk).min(length)).collect()
}

fn refused(result: Result<impl Sized, Error>) -> ChunkError {
    match result {
        Err(Error::Chunk(why)) => why,
        Err(error) => panic!("refused as {error}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn chunks_in_order_and_reversed_become_the_file() {
    for mode in MODES {
        for chunk in [64 * 1024, ODD, 1_000, 600_000] {
            for reversed in [false, true] {
                let world = World::mode(mode);
                let bytes = content(300_007);
                let mut order = ranges(bytes.len(), chunk);
                if reversed {
                    order.reverse();
                }
                for range in order {
                    world.send(&bytes, range).unwrap();
                }
                let file = world.complete(bytes.len()).unwrap();
                assert_eq!(file.size, bytes.len() as u64);
                assert!(world.fetch(&file).unwrap() == bytes);
                assert_eq!((world.assemblies(), world.blobs().len()), (0, 1));
            }
        }
    }
}

#[test]
fn what_is_stored_opens_as_the_same_file_in_one_piece_would() {
    let world = World::new();
    let bytes = content(100_000);
    for range in ranges(bytes.len(), 33_333).into_iter().rev() {
        world.send(&bytes, range).unwrap();
    }
    world.complete(bytes.len()).unwrap();
    let stored = world.stored_bytes();
    assert_eq!(
        stored.len() as u64,
        crate::pipeline::seal::stored_len(100_000)
    );
    assert!(!stored.windows(32).any(|window| window == &bytes[..32]));
    let other = crate::model::Secret::new([1; 32]);
    assert!(open_all(&stored, &other).is_err());
}

#[test]
fn an_empty_file_is_one_empty_chunk() {
    for mode in MODES {
        let world = World::mode(mode);
        assert_eq!(refused(world.complete(0)), ChunkError::Unknown);
        world.send(&[], 0..0).unwrap();
        world.send(&[], 0..0).unwrap();
        let file = world.complete(0).unwrap();
        assert!(world.fetch(&file).unwrap().is_empty());
    }
}

#[test]
fn a_gap_is_named_and_the_upload_goes_on() {
    let world = World::new();
    let bytes = content(200_000);
    let all = ranges(bytes.len(), ODD);
    for range in [&all[0], &all[2]] {
        world.send(&bytes, range.clone()).unwrap();
    }
    let gap = ChunkError::Missing {
        from: 50_001,
        to: 100_002,
    };
    assert_eq!(refused(world.complete(bytes.len())), gap);
    world.send(&bytes, all[1].clone()).unwrap();
    let end = ChunkError::Missing {
        from: 150_003,
        to: 200_000,
    };
    assert_eq!(refused(world.complete(bytes.len())), end);
    world.send(&bytes, all[3].clone()).unwrap();
    let size = ChunkError::SizeDiffers;
    assert_eq!(refused(world.complete(bytes.len() - 1)), size);
    let file = world.complete(bytes.len()).unwrap();
    assert!(world.fetch(&file).unwrap() == bytes);
    assert_eq!(refused(world.complete(bytes.len())), ChunkError::Unknown);
}

#[test]
fn the_same_chunk_is_taken_again_and_another_one_is_not() {
    for mode in MODES {
        let world = World::mode(mode);
        let bytes = content(200_000);
        world.send(&bytes, 0..ODD).unwrap();
        let operations = world.faults.operations();
        world.send(&bytes, 0..ODD).unwrap();
        assert_eq!(world.faults.operations(), operations, "nothing is written");
        let mut other = bytes.clone();
        other[777] ^= 1;
        assert_eq!(refused(world.send(&other, 0..ODD)), ChunkError::Differs);
        let shorter = world.send(&bytes, 0..ODD - 1);
        assert_eq!(refused(shorter), ChunkError::Differs);
        for range in [0..ODD + 1, 1..ODD, ODD - 1..ODD + 5] {
            let overlapping = world.send(&bytes, range.clone());
            assert_eq!(refused(overlapping), ChunkError::Overlaps, "{range:?}");
        }
        world.send(&bytes, 100_000..200_000).unwrap();
        let over = world.send(&bytes, ODD..100_001);
        assert_eq!(refused(over), ChunkError::Overlaps);
        world.send(&bytes, ODD..100_000).unwrap();
        let file = world.complete(bytes.len()).unwrap();
        assert!(world.fetch(&file).unwrap() == bytes);
    }
}

#[test]
fn a_chunk_that_was_cut_may_be_sent_again_and_never_with_other_bytes() {
    struct Cut;
    impl Read for Cut {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }
    for mode in MODES {
        let world = World::mode(mode);
        let bytes = content(600_000);
        let place = ChunkPlace {
            upload: UUID,
            size: bytes.len() as u64,
            offset: 0,
        };
        let mut cut = (&bytes[..400_000]).chain(Cut);
        let broken = (world.service).receive_chunk(&world.owner, &place, None, &mut cut);
        assert!(matches!(broken, Err(Error::Input(_))));
        let none = ChunkError::Missing {
            from: 0,
            to: 600_000,
        };
        assert_eq!(refused(world.complete(bytes.len())), none);
        let mut other = bytes.clone();
        other[5] ^= 1;
        let differs = world.send(&other, 0..500_000);
        assert_eq!(refused(differs), ChunkError::Differs, "{mode:?}");
        world.send(&bytes, 0..500_000).unwrap();
        world.send(&bytes, 500_000..600_000).unwrap();
        let file = world.complete(bytes.len()).unwrap();
        assert!(world.fetch(&file).unwrap() == bytes);
    }
}

#[test]
fn what_does_not_fit_the_declared_file_is_refused() {
    let world = World::new();
    let bytes = content(200_000);
    let send = |size: u64, offset: u64, bytes: &[u8]| {
        let place = ChunkPlace {
            upload: UUID,
            size,
            offset,
        };
        (world.service).receive_chunk(&world.owner, &place, None, &mut &bytes[..])
    };
    assert_eq!(refused(send(100, 101, b"x")), ChunkError::BeyondEnd);
    assert_eq!(refused(send(100, 100, b"")), ChunkError::BeyondEnd);
    assert_eq!(world.assemblies(), 0, "nothing has begun");
    assert_eq!(refused(send(99, 98, b"xy")), ChunkError::BeyondEnd);
    assert_eq!(refused(send(100, 0, b"")), ChunkError::Empty);
    send(100, 99, b"x").unwrap();
    assert_eq!(refused(send(101, 0, b"x")), ChunkError::SizeDiffers);
    assert_eq!(world.assemblies(), 1, "the wrong size has left nothing");
    let limit = world.policy.max_file_size;
    let large = send(limit + 1, 0, &bytes);
    assert!(matches!(large, Err(Error::TooLarge { limit: l }) if l == limit));
}

#[test]
fn a_chunk_that_cannot_fit_stores_nothing_that_would_be_in_the_way() {
    let world = World::new();
    let bytes = content(600_000);
    world.send(&bytes, 500_000..600_000).unwrap();
    let wrong = vec![7; 600_000];
    let send = |offset: u64, length: usize| {
        let place = ChunkPlace {
            upload: UUID,
            size: bytes.len() as u64,
            offset,
        };
        let expected = length as u64..=length as u64;
        let input = &mut &wrong[..length];
        (world.service).receive_chunk(&world.owner, &place, Some(&expected), input)
    };
    assert_eq!(refused(send(100_000, 500_001)), ChunkError::BeyondEnd);
    assert_eq!(refused(send(100_000, 400_001)), ChunkError::Overlaps);
    world.send(&bytes, 0..500_000).unwrap();
    let file = world.complete(bytes.len()).unwrap();
    assert!(world.fetch(&file).unwrap() == bytes);
}

#[test]
fn nobody_else_can_add_complete_or_see_an_upload() {
    let world = World::new();
    let bytes = content(100_000);
    world.send(&bytes, 0..100_000).unwrap();
    let other = world.another("other");
    let unknown = ChunkError::Unknown;
    assert_eq!(refused(world.complete_as(&other, bytes.len())), unknown);
    // Another name for the same words: this is its own upload.
    let own = vec![7; 50];
    world.send_as(&other, &own, 0..50).unwrap();
    assert_eq!(world.assemblies(), 2);
    let theirs = world.complete_as(&other, 50).unwrap();
    assert!(world.fetch(&theirs).unwrap() == own);
    // Not even another key of the same account.
    let new = world
        .service
        .create_api_key(&world.owner, "second", true, None);
    let key = new.unwrap().key;
    let second = world
        .service
        .authenticate(Some(key.reveal()), Permissions::UPLOAD, HERE)
        .unwrap();
    assert_eq!(refused(world.complete_as(&second, bytes.len())), unknown);
    let file = world.complete(bytes.len()).unwrap();
    assert!(world.fetch(&file).unwrap() == bytes);
}

#[test]
fn a_new_process_goes_on_where_the_old_one_was() {
    for mode in MODES {
        let mut world = World::mode(mode);
        let bytes = content(300_000);
        for range in ranges(bytes.len(), ODD).into_iter().rev() {
            world.send(&bytes, range).unwrap();
            world.restart();
        }
        let file = world.complete(bytes.len()).unwrap();
        world.restart();
        assert!(world.fetch(&file).unwrap() == bytes);
    }
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_acknowledged() {
    for fail in [Fail::Gone, Fail::DoneAndGone] {
        for call in 0.. {
            let mut world = World::new();
            let bytes = content(120_000);
            let story = |world: &World| -> Result<FileView, Error> {
                for range in ranges(bytes.len(), ODD) {
                    world.send(&bytes, range)?;
                }
                world.complete(bytes.len())
            };
            world.metadata_faults.fail_after(call, fail);
            if let Ok(file) = story(&world) {
                world.restart();
                assert!(world.fetch(&file).unwrap() == bytes);
                assert!(call > 5, "the story has that many calls");
                break;
            }
            world.restart();
            world.fatal.lock().unwrap().clear();
            world.sweep_orphans();
            // Published before the process went, and the client has only missed its answer: then it has two.
            let (published, _) = world.service.files(&world.owner, None, 10).unwrap();
            let file = story(&world).unwrap_or_else(|error| panic!("{call}: {error}"));
            assert!(world.fetch(&file).unwrap() == bytes);
            let files = (0, published.len() + 1);
            assert_eq!((world.assemblies(), world.blobs().len()), files, "{call}");
        }
    }
}

#[test]
fn a_fault_of_the_store_anywhere_leaves_an_upload_that_can_be_completed() {
    for fault in [Fault::Full, Fault::Refused, Fault::Gone] {
        for n in 0.. {
            let mut world = World::new();
            let bytes = content(120_000);
            world.faults.fail_after(n, fault);
            let story = |world: &World| -> Result<FileView, Error> {
                for range in ranges(bytes.len(), ODD) {
                    world.send(&bytes, range)?;
                }
                world.complete(bytes.len())
            };
            if story(&world).is_ok() {
                assert!(n > 5, "the story has that many operations");
                break;
            }
            world.restart();
            world.sweep_orphans();
            let file = story(&world).unwrap();
            assert!(world.fetch(&file).unwrap() == bytes);
            assert_eq!((world.assemblies(), world.blobs().len()), (0, 1));
        }
    }
}

#[test]
fn a_store_that_may_have_lost_a_chunk_ends_the_process() {
    let world = World::new();
    let bytes = content(100_000);
    world
        .faults
        .fail_after_only(Operation::FinishPiece, 0, Fault::DoneButUnavailable);
    let lost = world.send(&bytes, 0..100_000);
    assert!(matches!(lost, Err(Error::Internal(_))));
    assert_eq!(world.fatal.lock().unwrap().len(), 1);
}

#[test]
fn an_upload_that_stands_still_for_a_day_is_removed() {
    let world = World::new();
    let bytes = content(100_000);
    world.send(&bytes, 0..10_000).unwrap();
    let available = world.store.available().unwrap();
    world.clock.advance(23 * 3600);
    world.send(&bytes, 10_000..20_000).unwrap();
    world.clock.advance(23 * 3600);
    world.service.sweep().unwrap();
    assert_eq!(world.assemblies(), 1);
    // Sent again, it counts as well, though nothing is written.
    world.send(&bytes, 0..10_000).unwrap();
    world.clock.advance(23 * 3600);
    world.service.sweep().unwrap();
    assert_eq!(world.assemblies(), 1);
    world.clock.advance(2 * 3600);
    world.service.sweep().unwrap();
    assert_eq!(world.assemblies(), 0);
    assert!(world.store.available().unwrap() >= available + 100_000);
    assert_eq!(refused(world.complete(100_000)), ChunkError::Unknown);
    world.send(&bytes, 0..100_000).unwrap();
    world.complete(100_000).unwrap();
}

#[test]
fn what_was_put_together_and_has_no_link_is_completed_later_or_removed() {
    for later in [true, false] {
        let world = World::new();
        let bytes = content(100_000);
        world.send(&bytes, 0..100_000).unwrap();
        for call in 0.. {
            world.metadata_faults.heal();
            world.metadata_faults.fail_after(call, Fail::Before);
            assert!(world.complete(bytes.len()).is_err(), "{call}");
            if !world.blobs().is_empty() {
                break;
            }
        }
        world.metadata_faults.heal();
        world.sweep_orphans();
        assert_eq!((world.assemblies(), world.blobs().len()), (0, 1));
        if later {
            world.send(&bytes, 0..100_000).unwrap();
            let file = world.complete(bytes.len()).unwrap();
            assert!(world.fetch(&file).unwrap() == bytes);
        } else {
            world.clock.advance(25 * 3600);
            world.service.sweep().unwrap();
            assert_eq!(world.blobs().len(), 0);
            assert_eq!(refused(world.complete(bytes.len())), ChunkError::Unknown);
        }
    }
}

#[test]
fn a_clock_that_is_set_forward_ends_no_upload() {
    let world = World::new();
    let bytes = content(100_000);
    world.send(&bytes, 0..10_000).unwrap();
    world.clock.step(3 * 24 * 3600);
    world.service.sweep().unwrap();
    world.clock.advance(3600);
    world.service.sweep().unwrap();
    world.send(&bytes, 10_000..100_000).unwrap();
    world.complete(bytes.len()).unwrap();
}

#[test]
fn what_nobody_knows_of_is_removed_from_the_store() {
    let mut world = World::new();
    let bytes = content(100_000);
    world.send(&bytes, 0..10_000).unwrap();
    let stray = crate::model::BlobId([9; 16]);
    let pieces = crate::store::Pieces { first: 1, each: 1 };
    drop(world.store.assemble(&stray, 1000, pieces).unwrap());
    world.restart();
    assert_eq!(world.assemblies(), 2);
    world.sweep_orphans();
    assert_eq!(world.assemblies(), 1);
    world.send(&bytes, 10_000..100_000).unwrap();
    world.complete(bytes.len()).unwrap();
}

#[test]
fn an_account_that_is_removed_takes_its_uploads_along() {
    let world = World::new();
    let other = world.another("other");
    let bytes = content(100_000);
    world.send_as(&other, &bytes, 0..10_000).unwrap();
    while world.metadata.remove_account(other.account).unwrap() != AccountRemoved::Done {}
    world.sweep_orphans();
    assert_eq!(world.assemblies(), 0);
    let late = world.send_as(&other, &bytes, 10_000..20_000);
    assert!(matches!(late, Err(Error::Unauthorized)));
    assert_eq!(world.assemblies(), 0);
}

#[test]
fn an_account_has_so_many_uploads_at_once_and_no_more() {
    let world = World::new();
    let send = |n: u32| {
        let place = ChunkPlace {
            upload: &format!("upload-number-{n}"),
            size: 1000,
            offset: 0,
        };
        (world.service).receive_chunk(&world.owner, &place, None, &mut &[1; 10][..])
    };
    (0..256).for_each(|n| send(n).unwrap());
    assert_eq!(refused(send(256)), ChunkError::TooMany { most: 256 });
    assert_eq!(world.assemblies(), 256, "what was begun for it is gone");
    let place = ChunkPlace {
        upload: "upload-number-0",
        size: 1000,
        offset: 10,
    };
    let rest = [1; 990];
    (world.service)
        .receive_chunk(&world.owner, &place, None, &mut &rest[..])
        .unwrap();
    (world.service)
        .complete_chunks(&world.owner, "upload-number-0", 1000, &unlimited())
        .unwrap();
    send(256).unwrap();
}

#[test]
fn room_for_the_whole_file_is_asked_for_at_its_first_chunk() {
    let world = World::new();
    let bytes = content(10);
    let place = ChunkPlace {
        upload: UUID,
        size: 1 << 30,
        offset: 0,
    };
    let full = (world.service).receive_chunk(&world.owner, &place, None, &mut &bytes[..]);
    assert!(matches!(full, Err(Error::Full { .. })), "sealed it is more");
    assert_eq!(world.assemblies(), 0);
}

#[test]
fn chunks_at_once_become_the_file_and_two_of_the_same_place_do_not_mix() {
    for mode in [Encryption::Link, Encryption::None] {
        let world = World::mode(mode);
        let bytes = content(400_000);
        let all = ranges(bytes.len(), ODD);
        std::thread::scope(|scope| {
            for turn in 0..3 {
                let (world, bytes, all) = (&world, &bytes, &all);
                scope.spawn(move || {
                    for i in 0..all.len() {
                        let range = all[(i * 3 + turn) % all.len()].clone();
                        match world.send(bytes, range) {
                            Ok(()) | Err(Error::Chunk(ChunkError::Running)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        // Whoever was refused came while the same bytes were coming in.
        let file = world.complete(bytes.len()).unwrap();
        assert!(world.fetch(&file).unwrap() == bytes);
    }
}

/// Input that does something before each read.
struct Then<'a>(&'a [u8], Box<dyn FnMut() + 'a>);

impl Read for Then<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.1)();
        self.0.read(buffer)
    }
}

#[test]
fn an_account_that_is_removed_while_its_chunk_comes_in_ends_that_chunk_and_nothing_else() {
    let world = World::new();
    let other = world.another("other");
    let bytes = content(100_000);
    world.send_as(&other, &bytes, 0..10_000).unwrap();
    let remove = || {
        while world.metadata.remove_account(other.account).unwrap() == AccountRemoved::HasKeys {}
        world.sweep_orphans();
    };
    let mut input = Then(&bytes[10_000..], Box::new(remove));
    let place = ChunkPlace {
        upload: UUID,
        size: bytes.len() as u64,
        offset: 10_000,
    };
    let ended = (world.service).receive_chunk(&other, &place, None, &mut input);
    assert_eq!(refused(ended), ChunkError::Unknown);
    assert_eq!(world.fatal.lock().unwrap().len(), 0);
    drop(input);
    assert_eq!(world.assemblies(), 0);
}

#[test]
fn a_chunk_that_runs_into_one_that_is_coming_in_is_refused() {
    let world = World::new();
    let bytes = content(100_000);
    let mut asked = false;
    let mut input = Then(
        &bytes[50_000..],
        Box::new(|| {
            if !std::mem::replace(&mut asked, true) {
                let running = ChunkError::Running;
                assert_eq!(refused(world.send(&bytes, 0..50_001)), running);
                assert_eq!(refused(world.send(&bytes, 50_000..60_000)), running);
                assert_eq!(refused(world.complete(bytes.len())), running);
                world.send(&bytes, 0..50_000).unwrap();
            }
        }),
    );
    let place = ChunkPlace {
        upload: UUID,
        size: bytes.len() as u64,
        offset: 50_000,
    };
    (world.service)
        .receive_chunk(&world.owner, &place, None, &mut input)
        .unwrap();
    drop(input);
    let file = world.complete(bytes.len()).unwrap();
    assert!(world.fetch(&file).unwrap() == bytes);
}

#[test]
fn a_chunk_whose_place_comes_later_waits_and_is_the_same_then() {
    for mode in MODES {
        let world = World::mode(mode);
        let bytes = content(150_000);
        for range in ranges(bytes.len(), ODD) {
            let chunk = &bytes[range.clone()];
            let parked = world.service.park_chunk(&world.owner, &mut &chunk[..]);
            let parked = parked.unwrap();
            assert_eq!(parked.length(), chunk.len() as u64);
            let place = ChunkPlace {
                upload: UUID,
                size: bytes.len() as u64,
                offset: range.start as u64,
            };
            let mut reader = parked.reader();
            (world.service)
                .receive_chunk(&world.owner, &place, None, &mut reader)
                .unwrap();
        }
        let file = world.complete(bytes.len()).unwrap();
        assert!(world.fetch(&file).unwrap() == bytes);
    }
}

#[test]
fn a_link_that_is_over_before_it_begins_keeps_nothing() {
    let world = World::new();
    let bytes = content(100);
    world.send(&bytes, 0..100).unwrap();
    let size = bytes.len() as u64;
    let over = (world.service).complete_chunks(&world.owner, UUID, size, &times(0));
    over.unwrap();
    assert_eq!((world.assemblies(), world.blobs().len()), (0, 0));
}

#[test]
fn a_wish_that_cannot_be_had_leaves_the_upload_as_it_is() {
    let world = World::new();
    let bytes = content(100);
    world.send(&bytes, 0..100).unwrap();
    let wish = LinkWish {
        password: Some("x".repeat(1025).into()),
        ..unlimited()
    };
    let invalid = (world.service).complete_chunks(&world.owner, UUID, 100, &wish);
    assert!(matches!(invalid, Err(Error::Invalid(_))));
    world.complete(bytes.len()).unwrap();
}
