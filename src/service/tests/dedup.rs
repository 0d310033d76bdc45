//! Equal bytes of one owner are stored once, and nobody can tell from outside.

use super::world::*;
use crate::store::Store;

fn publish(world: &World, who: &Session, bytes: &[u8]) -> FileView {
    let mut input = bytes;
    let received = world.service.receive(who, &mut input, None).unwrap();
    world.service.publish(who, received, times(1)).unwrap()
}

#[test]
fn equal_uploads_of_one_owner_share_their_bytes_until_the_last_is_gone() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        let bytes = content(100_000);
        let first = world.upload(&bytes, times(1));
        let second = world.upload(&bytes, times(1));
        let third = world.upload(&content(100_001), times(1));
        assert_eq!(world.blobs().len(), 2, "{mode:?}");
        assert_eq!(world.fetch(&first).unwrap(), bytes);
        assert!(gone(&world.open(&first)));
        assert_eq!(world.blobs().len(), 2, "the second link needs them");
        assert_eq!(world.fetch(&second).unwrap(), bytes);
        assert_eq!(world.blobs().len(), 1);
        assert_eq!(world.fetch(&third).unwrap().len(), 100_001);
        assert!(world.blobs().is_empty());
    }
}

#[test]
fn owners_do_not_share_and_the_policy_may_forbid_it() {
    let mut world = World::new();
    let other = world.another("other");
    publish(&world, &world.owner, b"same");
    publish(&world, &other, b"same");
    assert_eq!(world.blobs().len(), 2);
    publish(&world, &other, b"same");
    assert_eq!(world.blobs().len(), 2);
    world.policy.dedup = false;
    world.restart();
    publish(&world, &other, b"same");
    assert_eq!(world.blobs().len(), 3);
}

#[test]
fn sealed_and_plain_bytes_are_not_the_same() {
    let mut world = World::mode(Encryption::None);
    world.upload(b"same", times(1));
    world.policy.encryption = Encryption::Link;
    world.restart();
    let sealed = world.upload(b"same", times(1));
    assert_eq!(world.blobs().len(), 2);
    assert!(sealed.sealed);
    assert_eq!(world.fetch(&sealed).unwrap(), b"same");
}

#[test]
fn damaged_or_missing_bytes_are_not_shared() {
    let world = World::new();
    let first = world.upload(b"precious", times(1));
    let lost = world.blobs()[0];
    world.store.delete(&lost).unwrap();
    let second = world.upload(b"precious", times(1));
    assert_eq!(world.fetch(&second).unwrap(), b"precious");
    assert!(matches!(world.open(&first), Err(Error::Damaged)));
}

#[test]
fn uploads_that_race_with_the_last_download_always_have_their_bytes() {
    let world = World::new();
    let bytes = content(40_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..25 {
                    let view = world.upload(&bytes, times(1));
                    if round % 3 == 0 {
                        let id = view.id.reveal();
                        world.service.delete(&world.owner, id, 0).unwrap();
                    } else {
                        assert_eq!(world.fetch(&view).unwrap(), bytes);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                world.service.sweep().unwrap();
                world.service.sweep_orphans_step().unwrap();
            }
        });
    });
    assert!(world.blobs().is_empty());
    assert!(world.fatal.lock().unwrap().is_empty());
}
