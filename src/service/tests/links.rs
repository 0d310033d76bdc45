//! What recipients see of links: their end, passwords, hotlinks.

use super::world::*;
use zeroize::Zeroizing;

fn locked(password: &str) -> LinkWish {
    LinkWish {
        password: Some(Zeroizing::new(password.into())),
        ..times(1)
    }
}

fn until(seconds: i64) -> LinkWish {
    LinkWish {
        lifetime: Lifetime::Until(Timestamp(START + seconds)),
        ..unlimited()
    }
}

fn image() -> LinkWish {
    LinkWish {
        name: "cat.PNG".into(),
        content_type: "image/png".into(),
        ..times(3)
    }
}

#[test]
fn what_was_uploaded_is_what_everybody_sees() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        let bytes = content(100_000);
        let view = world.upload(&bytes, times(3));
        assert_eq!(view.id.reveal().len(), 22);
        assert_eq!(
            (view.size, view.sealed),
            (100_000, mode != Encryption::None)
        );
        let (listed, next) = world.service.files(&world.owner, None, 10).unwrap();
        assert!(next.is_none());
        assert_eq!(listed.len(), 1);
        for seen in [
            &listed[0],
            &world.service.file(&world.owner, view.id.reveal()).unwrap(),
        ] {
            assert!(
                seen.id == view.id && seen.name == "a.bin" && seen.owner == world.owner.account
            );
            assert_eq!(seen.content_type, "application/x-test");
            assert_eq!((seen.created, seen.expiry), (view.created, view.expiry));
            assert_eq!((seen.allowance, seen.sealed), (view.allowance, view.sealed));
            assert!(!seen.has_password && !seen.pending_delete && seen.hotlink.is_none());
        }
        match world.service.view(view.id.reveal(), None, THERE).unwrap() {
            PublicView::Open {
                name,
                content_type,
                size,
                until,
                downloads,
            } => {
                assert_eq!((name.as_str(), size), ("a.bin", 100_000));
                assert_eq!(content_type, "application/x-test");
                assert_eq!((until, downloads), (None, Some(3)));
            }
            PublicView::Locked => panic!("there is no password"),
        }
        assert_eq!(world.fetch(&view).unwrap(), bytes, "{mode:?}");
        let stored = world.stored_bytes();
        let found = stored.windows(64).any(|window| window == &bytes[..64]);
        assert_eq!(found, mode == Encryption::None, "{mode:?}");
    }
}

#[test]
fn a_link_ends_at_its_second() {
    let world = World::new();
    let view = world.upload(b"x", until(60));
    world.clock.advance(59);
    assert!(world.open(&view).is_ok());
    world.clock.advance(1);
    assert!(gone(&world.open(&view)));
    assert!(gone(&world.service.view(view.id.reveal(), None, HERE)));
    assert!(gone(&world.service.file(&world.owner, view.id.reveal())));
    assert!(
        world
            .service
            .files(&world.owner, None, 10)
            .unwrap()
            .0
            .is_empty()
    );
    assert_eq!(world.blobs().len(), 1);
    assert_eq!(world.service.sweep().unwrap(), 1);
    assert!(world.blobs().is_empty());
}

#[test]
fn a_link_that_is_over_at_once_keeps_nothing() {
    let world = World::new();
    for wish in [times(0), until(0), until(-5)] {
        let view = world.upload(b"x", wish);
        assert!(gone(&world.open(&view)));
        assert!(world.blobs().is_empty());
    }
}

#[test]
fn unknown_ids_are_limited_and_known_ones_are_not() {
    let world = World::new();
    let view = world.upload(b"x", times(1));
    let service = &world.service;
    for bad in ["0123456789012345678901", "../etc/passwd", ""]
        .iter()
        .cycle()
        .take(20)
    {
        assert!(gone(&service.open(Door::Link(bad), None, HERE)));
    }
    let limited = |result| matches!(result, Err(Error::TooMany(_)));
    assert!(limited(
        service
            .open(Door::Link("0123456789012345678901"), None, HERE)
            .map(drop)
    ));
    assert!(limited(
        service
            .open(Door::Hotlink("nonsense"), None, HERE)
            .map(drop)
    ));
    assert!(limited(service.view("nonsense", None, HERE).map(drop)));
    assert!(limited(service.unlock("nonsense", "x", HERE).map(drop)));
    assert!(world.open(&view).is_ok());
    assert!(gone(&service.open(Door::Link("nonsense"), None, THERE)));
}

#[test]
fn a_password_opens_its_link_for_a_time_and_nothing_else() {
    let mut world = World::new();
    let view = world.upload(b"secret", locked("open sesame"));
    let other = world.upload(b"other", locked("open sesame"));
    let id = view.id.reveal();
    let open = |world: &World, cookie: Option<&str>| {
        world.service.open(Door::Link(id), cookie, HERE).map(drop)
    };
    let needed = |result| matches!(result, Err(Error::PasswordNeeded));
    assert!(view.has_password && needed(open(&world, None)));
    assert!(matches!(
        world.service.view(id, None, HERE),
        Ok(PublicView::Locked)
    ));
    let wrong = world.service.unlock(id, "open barley", HERE);
    assert!(matches!(wrong, Err(Error::WrongPassword)));

    let cookie = world.service.unlock(id, "open sesame", HERE).unwrap();
    assert!(open(&world, Some(&cookie)).is_ok());
    assert!(matches!(
        world.service.view(id, Some(&cookie), HERE),
        Ok(PublicView::Open { .. })
    ));
    let elsewhere = world
        .service
        .open(Door::Link(other.id.reveal()), Some(&cookie), HERE);
    assert!(matches!(elsewhere, Err(Error::PasswordNeeded)));
    for forged in [
        "",
        "x",
        &cookie[1..],
        &cookie.to_lowercase(),
        &"A".repeat(10_000),
    ] {
        assert!(needed(open(&world, Some(forged))), "{forged}");
    }
    world.clock.advance(299);
    assert!(open(&world, Some(&cookie)).is_ok());
    world.clock.advance(1);
    assert!(needed(open(&world, Some(&cookie))), "its time is over");

    let cookie = world.service.unlock(id, "open sesame", HERE).unwrap();
    world.restart();
    assert!(
        needed(open(&world, Some(&cookie))),
        "sealed under a key of the process"
    );
    // The owner's API download does not ask.
    assert!(world.service.open_own(&world.owner, id, false).is_ok());
}

#[test]
fn password_attempts_are_limited_for_each_link() {
    let world = World::new();
    let view = world.upload(b"x", locked("right"));
    let other = world.upload(b"y", locked("right"));
    let unlock = |view: &FileView, password: &str, n: u8| {
        let peer = IpAddr::from([192, 0, 2, n]);
        world.service.unlock(view.id.reveal(), password, peer)
    };
    for n in 0..10 {
        assert!(
            unlock(&view, "right", n).is_ok(),
            "what is right is not limited"
        );
    }
    for n in 0..10 {
        let wrong = unlock(&view, &"w".repeat(1 + usize::from(n) * 300), n);
        assert!(matches!(wrong, Err(Error::WrongPassword)));
    }
    assert!(matches!(unlock(&view, "right", 99), Err(Error::TooMany(_))));
    assert!(unlock(&other, "right", 99).is_ok());
    world.clock.advance(5);
    assert!(unlock(&view, "right", 99).is_ok());
}

#[test]
fn a_new_password_makes_the_old_one_and_its_cookie_worthless() {
    let world = World::new();
    let view = world.upload(b"secret", locked("first"));
    let id = view.id.reveal();
    let modify = |password| {
        let changes = Changes {
            password,
            ..Changes::default()
        };
        world.service.modify(&world.owner, id, changes).unwrap()
    };
    let old = world.service.unlock(id, "first", HERE).unwrap();
    assert!(modify(PasswordChange::Set(Zeroizing::new("second".into()))).has_password);
    let open = |cookie| world.service.open(Door::Link(id), cookie, HERE).map(drop);
    assert!(matches!(open(Some(&old)), Err(Error::PasswordNeeded)));
    assert!(matches!(
        world.service.unlock(id, "first", HERE),
        Err(Error::WrongPassword)
    ));
    let new = world.service.unlock(id, "second", HERE).unwrap();
    assert!(open(Some(&new)).is_ok());
    assert!(modify(PasswordChange::Keep).has_password);
    assert!(!modify(PasswordChange::Remove).has_password);
    assert!(open(None).is_ok() && open(Some(&new)).is_ok());
    assert!(
        gone(&world.service.unlock(id, "second", HERE)),
        "there is none"
    );
    assert!(!modify(PasswordChange::Set(Zeroizing::new(String::new()))).has_password);
    let long = Changes {
        password: PasswordChange::Set(Zeroizing::new("x".repeat(1_025))),
        ..Changes::default()
    };
    let refused = world.service.modify(&world.owner, id, long);
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let refused = world.try_upload(b"x", locked(&"x".repeat(1_025)));
    assert!(matches!(refused, Err(Error::Invalid(_))));
}

#[test]
fn hotlinks_show_images_and_count_and_a_password_closes_them() {
    let world = World::new();
    let view = world.upload(b"png bytes", image());
    let hotlink = view.hotlink.clone().unwrap();
    assert_eq!(hotlink.reveal().len(), 40);
    let listed = world.service.file(&world.owner, view.id.reveal()).unwrap();
    assert!(listed.hotlink == view.hotlink);
    let open = || {
        world
            .service
            .open(Door::Hotlink(hotlink.reveal()), None, THERE)
    };
    let download = world
        .service
        .download(open().unwrap(), wish(0..9, None, THERE))
        .unwrap();
    let mut client = Client::patient();
    download.send(&mut client).unwrap();
    assert_eq!(client.body, b"png bytes");
    assert_eq!(world.left(&view), (2, 0, 1));
    // Neither id stands for the other.
    assert!(gone(&world.service.open(
        Door::Link(hotlink.reveal()),
        None,
        HERE
    )));
    assert!(gone(&world.service.open(
        Door::Hotlink(view.id.reveal()),
        None,
        HERE
    )));

    let changes = Changes {
        password: PasswordChange::Set(Zeroizing::new("closed".into())),
        ..Changes::default()
    };
    let changed = world
        .service
        .modify(&world.owner, view.id.reveal(), changes)
        .unwrap();
    assert!(changed.hotlink.is_none() && gone(&open()));

    let svg = LinkWish {
        name: "cat.svg".into(),
        content_type: "image/svg+xml".into(),
        ..image()
    };
    assert!(world.upload(b"<svg/>", svg).hotlink.is_none());
    let secret = LinkWish {
        password: Some(Zeroizing::new("x".into())),
        ..image()
    };
    assert!(world.upload(b"x", secret).hotlink.is_none());
}

#[test]
fn the_etag_stays_with_the_bytes_and_tells_nothing() {
    let mut world = World::new();
    let view = world.upload(b"same", times(9));
    let twin = world.upload(b"same", times(9));
    let etag = world.open(&view).unwrap().etag;
    assert_eq!(etag.len(), 32);
    assert_ne!(
        etag,
        world.open(&twin).unwrap().etag,
        "it does not tell that both are equal"
    );
    world.fetch(&view).unwrap();
    world.restart();
    assert_eq!(world.open(&view).unwrap().etag, etag);
    let own = world
        .service
        .open_own(&world.owner, view.id.reveal(), false)
        .unwrap();
    assert_eq!(own.etag, etag);
}
