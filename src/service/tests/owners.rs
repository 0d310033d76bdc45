//! What owners do with their links: list, change, delete, restore.

use super::world::*;

fn until(seconds: i64) -> LinkWish {
    LinkWish {
        lifetime: Lifetime::Until(Timestamp(START + seconds)),
        ..unlimited()
    }
}

#[test]
fn others_neither_see_nor_touch_what_is_not_theirs() {
    let world = World::new();
    let view = world.upload(b"x", times(1));
    let other = world.another("mallory");
    let id = view.id.reveal();
    let service = &world.service;
    let forbidden = |result: Result<(), Error>| matches!(result, Err(Error::Forbidden));
    assert!(forbidden(service.file(&other, id).map(drop)));
    assert!(forbidden(service.delete(&other, id, 0)));
    assert!(forbidden(service.delete(&other, id, 60)));
    assert!(forbidden(service.restore(&other, id).map(drop)));
    assert!(forbidden(
        service.modify(&other, id, Changes::default()).map(drop)
    ));
    assert!(forbidden(service.open_own(&other, id, false).map(drop)));
    assert!(service.files(&other, None, 10).unwrap().0.is_empty());
    assert!(world.open(&view).is_ok());
    assert!(gone(&service.delete(&other, "0123456789012345678901", 0)));
}

#[test]
fn a_deletion_is_at_once_or_delayed_and_may_be_taken_back() {
    let world = World::new();
    let service = &world.service;
    let view = world.upload(b"x", times(1));
    let id = view.id.reveal();
    assert!(
        !service.restore(&world.owner, id).unwrap().pending_delete,
        "there was none"
    );
    service.delete(&world.owner, id, 60).unwrap();
    assert!(gone(&world.open(&view)) && gone(&service.file(&world.owner, id)));
    assert!(gone(&service.modify(&world.owner, id, Changes::default())));
    assert!(gone(&service.open_own(&world.owner, id, false)));
    let listed = service.files(&world.owner, None, 10).unwrap().0;
    assert!(listed.len() == 1 && listed[0].pending_delete);
    assert!(!service.restore(&world.owner, id).unwrap().pending_delete);
    assert!(world.open(&view).is_ok());

    service.delete(&world.owner, id, 60).unwrap();
    world.clock.advance(60);
    assert!(gone(&service.restore(&world.owner, id)), "too late");
    assert_eq!(service.sweep().unwrap(), 1);
    assert!(world.blobs().is_empty());

    let view = world.upload(b"y", times(1));
    service.delete(&world.owner, view.id.reveal(), 0).unwrap();
    assert!(gone(&world.open(&view)) && world.blobs().is_empty());
    assert!(gone(&service.delete(&world.owner, view.id.reveal(), 0)));
}

#[test]
fn a_download_goes_on_when_its_link_is_deleted() {
    let world = World::new();
    let bytes = content(MIB);
    let view = world.upload(&bytes, times(2));
    let download = world.ask(&view, 0..view.size, None, HERE).unwrap();
    world
        .service
        .delete(&world.owner, view.id.reveal(), 0)
        .unwrap();
    assert!(world.blobs().is_empty(), "unlinked, and open");
    let mut client = Client::patient();
    download.send(&mut client).unwrap();
    assert_eq!(client.body, bytes);
    assert_eq!(world.metadata.leases().unwrap(), []);
}

#[test]
fn changed_limits_hold_for_what_is_left_in_all() {
    let world = World::new();
    let view = world.upload(&content(MIB), times(1));
    let id = view.id.reveal();
    let modify = |count, lifetime| {
        let changes = Changes {
            count,
            lifetime,
            ..Changes::default()
        };
        world.service.modify(&world.owner, id, changes).unwrap()
    };
    let download = world.ask(&view, 0..view.size, None, HERE).unwrap();
    let changed = modify(Some(Count::Limited(3)), None);
    assert_eq!(
        (changed.allowance.remaining, changed.allowance.leased),
        (2, 1)
    );
    download.send(&mut Client::patient()).unwrap();
    assert_eq!(world.left(&view), (2, 0, 1));
    let changed = modify(
        Some(Count::Unlimited),
        Some(Lifetime::Until(Timestamp(START + 5))),
    );
    assert!(changed.allowance.unlimited && changed.allowance.remaining == 2);
    assert_eq!(changed.expiry.at, Timestamp(START + 5));
    let changed = modify(None, Some(Lifetime::Unlimited));
    assert!(changed.expiry.unlimited && changed.expiry.at == Timestamp(START + 5));
    modify(Some(Count::Limited(0)), None);
    assert!(gone(&world.open(&view)) && world.blobs().is_empty());
}

#[test]
fn downloads_beyond_a_lowered_limit_are_taken_back() {
    let world = World::new();
    let view = world.upload(&content(MIB), times(3));
    let first = world.ask(&view, 0..view.size, None, HERE).unwrap();
    world.clock.advance(1);
    let second = world.ask(&view, 0..view.size, None, THERE).unwrap();
    let changes = Changes {
        count: Some(Count::Limited(1)),
        ..Changes::default()
    };
    let changed = world
        .service
        .modify(&world.owner, view.id.reveal(), changes)
        .unwrap();
    assert_eq!(
        (changed.allowance.remaining, changed.allowance.leased),
        (0, 1)
    );
    first.send(&mut Client::patient()).unwrap();
    assert!(gone(&world.open(&view)));
    let mut client = Client::patient();
    assert!(second.send(&mut client).is_err());
    assert!(
        client.body.len() < MIB,
        "not even now that the link is gone"
    );
}

#[test]
fn the_listing_comes_in_pages_and_skips_what_is_over() {
    let world = World::new();
    let ids: Vec<_> = (0..25u8)
        .map(|i| {
            world.clock.advance(1);
            let wish = if i % 5 == 4 { until(30) } else { times(1) };
            world.upload(&[i], wish).id.reveal().to_owned()
        })
        .collect();
    world.clock.advance(60);
    let expected: Vec<_> = (0..25)
        .filter(|i| i % 5 != 4)
        .map(|i| ids[i].clone())
        .collect();
    for limit in [1, 3, 20, 100] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = world
                .service
                .files(&world.owner, after.as_ref(), limit)
                .unwrap();
            assert!(page.len() <= limit);
            seen.extend(page.iter().map(|view| view.id.reveal().to_owned()));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "oldest first, {limit} at a time");
    }
}
