//! Several links to the same bytes, and other bytes for a link.

use super::world::*;
use crate::service::CopyWish;
use zeroize::Zeroizing;

fn named(name: &str, content_type: &str) -> LinkWish {
    LinkWish {
        name: name.into(),
        content_type: content_type.into(),
        ..times(3)
    }
}

fn with_password(password: &str) -> LinkWish {
    LinkWish {
        password: Some(Zeroizing::new(password.into())),
        ..times(3)
    }
}

fn set(password: &str) -> PasswordChange {
    PasswordChange::Set(Zeroizing::new(password.into()))
}

impl World {
    fn copy(&self, of: &FileView, wish: &CopyWish) -> Result<FileView, Error> {
        self.service.copy(&self.owner, of.id.reveal(), wish)
    }

    fn replace(&self, target: &FileView, by: &FileView, remove: bool) -> Result<FileView, Error> {
        let (target, by) = (target.id.reveal(), by.id.reveal());
        self.service.replace(&self.owner, target, by, remove)
    }

    /// As links are that got their password before its key was kept.
    fn forget_password_key(&self, view: &FileView) {
        use crate::metadata::Rewrite;
        let own = self.service.own_visible(&self.owner, view.id.reveal());
        let mut own = own.ok().unwrap();
        own.keys.password = None;
        let context = crate::service::label::row(&own.link.lookup, &own.link.blob);
        let seen = own.link.by_owner.clone();
        own.link.by_owner = own.keys.wrap(&self.owner.account_key, &context);
        let change = Rewrite {
            link: own.link,
            seen,
            by_hotlink: None,
            donor: None,
        };
        self.metadata.rewrite(change).unwrap();
    }

    fn fetch_with(&self, view: &FileView, password: &str) -> Result<Vec<u8>, Error> {
        let id = view.id.reveal();
        let cookie = self.service.unlock(id, password, HERE)?;
        let file = self.service.open(Door::Link(id), Some(&cookie), HERE)?;
        let size = file.size;
        let mut client = Client::patient();
        let download = self.service.download(file, wish(0..size, None, HERE))?;
        download.send(&mut client).unwrap();
        Ok(client.body)
    }
}

#[test]
fn a_copy_has_the_same_bytes_and_a_life_of_its_own() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        let bytes = content(50_000);
        let first = world.upload(&bytes, times(3));
        world.fetch(&first).unwrap();
        let copy = world.copy(&first, &CopyWish::default()).unwrap();
        assert!(copy.id != first.id);
        assert_eq!(
            (copy.name.as_str(), copy.content_type.as_str(), copy.size),
            ("a.bin", "application/x-test", 50_000)
        );
        assert_eq!((copy.allowance.remaining, copy.allowance.count), (2, 0));
        let seen = world.service.file(&world.owner, copy.id.reveal()).unwrap();
        assert_eq!((seen.allowance, seen.expiry), (copy.allowance, copy.expiry));
        assert_eq!(world.blobs().len(), 1);
        world
            .service
            .delete(&world.owner, first.id.reveal(), 0)
            .unwrap();
        assert_eq!(world.fetch(&copy).unwrap(), bytes, "{mode:?}");
        assert_eq!(world.fetch(&copy).unwrap(), bytes);
        assert!(gone(&world.open(&copy)) && world.blobs().is_empty());
    }
}

#[test]
fn a_copy_takes_what_is_wished_and_keeps_the_rest() {
    let world = World::new();
    let until = Lifetime::Until(Timestamp(START + 1000));
    let wish = LinkWish {
        lifetime: until,
        ..times(3)
    };
    let first = world.upload(b"x", wish);
    // One that is in progress may come back.
    let download = world.ask(&first, 0..1, None, HERE).unwrap();
    let kept = world.copy(&first, &CopyWish::default()).unwrap();
    assert_eq!((kept.allowance.remaining, kept.allowance.leased), (3, 0));
    assert_eq!(kept.expiry, first.expiry);
    drop(download);
    let wish = CopyWish {
        name: Some("../../other.txt".into()),
        count: Some(Count::Unlimited),
        lifetime: Some(Lifetime::Unlimited),
        password: PasswordChange::Keep,
    };
    let free = world.copy(&first, &wish).unwrap();
    assert_eq!(free.name, "other.txt");
    assert!(free.allowance.unlimited && free.expiry.unlimited && !free.has_password);
    assert_eq!(free.expiry.at, first.expiry.at, "the number stays");
    world.clock.advance(1000);
    assert!(gone(&world.open(&kept)));
    assert!(world.open(&free).is_ok());
    let again = world.copy(&free, &CopyWish::default()).unwrap();
    assert!(again.allowance.unlimited && again.expiry.unlimited);
    assert!(gone(&world.copy(&kept, &CopyWish::default())));
    let over = CopyWish {
        count: Some(Count::Limited(0)),
        ..CopyWish::default()
    };
    let over = world.copy(&free, &over).unwrap();
    assert!(gone(&world.open(&over)), "over before it began");
}

#[test]
fn a_copy_keeps_the_password_or_has_another_or_none() {
    let mut world = World::new();
    let first = world.upload(b"secret", with_password("first"));
    let kept = world.copy(&first, &CopyWish::default()).unwrap();
    let wish = |password| CopyWish {
        password,
        ..CopyWish::default()
    };
    let other = world.copy(&first, &wish(set("other"))).unwrap();
    let open = world.copy(&first, &wish(PasswordChange::Remove)).unwrap();
    world.restart();
    assert!(kept.has_password && other.has_password && !open.has_password);
    assert_eq!(world.fetch_with(&kept, "first").unwrap(), b"secret");
    assert_eq!(world.fetch_with(&other, "other").unwrap(), b"secret");
    let wrong = world.fetch_with(&other, "first");
    assert!(matches!(wrong, Err(Error::WrongPassword)));
    assert!(matches!(world.open(&kept), Err(Error::PasswordNeeded)));
    assert_eq!(world.fetch(&open).unwrap(), b"secret");
    // One that was set later is kept as well.
    let changes = Changes {
        password: set("later"),
        ..Changes::default()
    };
    let id = first.id.reveal();
    world.service.modify(&world.owner, id, changes).unwrap();
    let kept = world.copy(&first, &CopyWish::default()).unwrap();
    assert_eq!(world.fetch_with(&kept, "later").unwrap(), b"secret");
}

#[test]
fn the_key_of_a_password_that_was_not_kept_is_asked_for() {
    let world = World::new();
    let first = world.upload(b"secret", with_password("first"));
    let other = world.upload(b"other", times(1));
    world.forget_password_key(&first);
    for refused in [
        world.copy(&first, &CopyWish::default()),
        world.replace(&first, &other, false),
    ] {
        let Err(Error::Invalid(what)) = refused else {
            panic!("nobody has the key");
        };
        assert!(what.contains("once more"), "{what}");
    }
    assert_eq!(world.fetch_with(&first, "first").unwrap(), b"secret");
    let changes = Changes {
        password: set("first"),
        ..Changes::default()
    };
    let id = first.id.reveal();
    world.service.modify(&world.owner, id, changes).unwrap();
    let copy = world.copy(&first, &CopyWish::default()).unwrap();
    assert_eq!(world.fetch_with(&copy, "first").unwrap(), b"secret");
}

#[test]
fn a_copy_keeps_to_the_maxima_of_the_server() {
    let mut world = World::new();
    let first = world.upload(b"x", times(5));
    let free = world.upload(b"y", unlimited());
    world.policy.max_downloads = Some(4);
    world.restart();
    for of in [&first, &free] {
        let refused = world.copy(of, &CopyWish::default());
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }
    let wish = CopyWish {
        count: Some(Count::Limited(4)),
        ..CopyWish::default()
    };
    assert!(world.copy(&free, &wish).is_ok());
}

#[test]
fn other_bytes_come_under_the_same_id_with_their_name_and_type() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        for remove in [false, true] {
            let mut world = World::mode(mode);
            let old = world.upload(&content(70_000), times(3));
            let bytes = content(40_000);
            let new = world.upload(&bytes, named("new.txt", "text/plain"));
            let etag = world.open(&old).unwrap().etag;
            let view = world.replace(&old, &new, remove).unwrap();
            assert!(view.id == old.id && view.size == 40_000);
            assert_eq!(
                (view.name.as_str(), view.content_type.as_str()),
                ("new.txt", "text/plain")
            );
            assert_eq!((view.created, view.expiry), (old.created, old.expiry));
            world.restart();
            assert_eq!(world.blobs().len(), 1, "the old bytes are gone");
            assert!(world.open(&old).unwrap().etag != etag);
            assert_eq!(world.fetch(&view).unwrap(), bytes, "{mode:?}");
            assert_eq!(gone(&world.open(&new)), remove);
            if !remove {
                assert_eq!(world.fetch(&new).unwrap(), bytes);
            }
        }
    }
}

#[test]
fn a_replaced_file_keeps_its_password_and_the_donor_its_own() {
    let world = World::new();
    let old = world.upload(b"old", with_password("mine"));
    let new = world.upload(b"new", with_password("donor"));
    let view = world.replace(&old, &new, false).unwrap();
    assert!(view.has_password);
    assert!(matches!(world.open(&old), Err(Error::PasswordNeeded)));
    assert_eq!(world.fetch_with(&old, "mine").unwrap(), b"new");
    assert_eq!(world.fetch_with(&new, "donor").unwrap(), b"new");
    let wrong = world.fetch_with(&old, "donor");
    assert!(matches!(wrong, Err(Error::WrongPassword)));
}

#[test]
fn a_hotlink_stays_with_an_image_and_goes_with_anything_else() {
    let world = World::new();
    let old = world.upload(b"old image", named("old.png", "image/png"));
    let new = world.upload(b"new image", named("new.png", "image/png"));
    let text = world.upload(b"text", named("a.html", "text/html"));
    let hotlink = old.hotlink.clone().unwrap();
    let open = |hotlink: &crate::model::Token| {
        let door = Door::Hotlink(hotlink.reveal());
        world.service.open(door, None, HERE).map(|file| file.name)
    };
    let view = world.replace(&old, &new, false).unwrap();
    assert!(view.hotlink.as_ref() == Some(&hotlink));
    assert_eq!(open(&hotlink).unwrap(), "new.png");
    let view = world.replace(&old, &text, false).unwrap();
    assert!(view.hotlink.is_none() && gone(&open(&hotlink)));
    let view = world.replace(&old, &new, false).unwrap();
    let another = view.hotlink.unwrap();
    assert!(another != hotlink);
    assert_eq!(open(&another).unwrap(), "new.png");
}

#[test]
fn whoever_downloads_while_bytes_are_replaced_gets_old_ones_or_new_ones() {
    let world = World::new();
    let bytes = content(MIB);
    let old = world.upload(&bytes, times(2));
    let new = world.upload(&content(MIB - 1), times(9));
    let first = world.ask(&old, 0..old.size, None, HERE).unwrap();
    let cookie = first.cookie.clone().unwrap().0;
    world.replace(&old, &new, false).unwrap();
    // It does not go on with the new bytes where the old ones stopped.
    let second = world
        .ask(&old, 400_000..new.size, Some(&cookie), HERE)
        .unwrap();
    assert_eq!(world.left(&old), (0, 2, 0));
    let mut client = Client::patient();
    first.send(&mut client).unwrap();
    assert!(client.body == bytes);
    assert_eq!(world.left(&old), (0, 1, 1));
    let mut client = Client::patient();
    second.send(&mut client).unwrap();
    assert!(client.body == content(MIB - 1)[400_000..]);
    world.service.sweep().unwrap();
    assert_eq!(world.blobs().len(), 1);
}

#[test]
fn a_file_is_not_replaced_by_itself_nor_by_what_is_not_there() {
    let world = World::new();
    let file = world.upload(b"x", times(1));
    let refused = world.replace(&file, &file, true);
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let other = world.upload(b"y", times(1));
    world
        .service
        .delete(&world.owner, other.id.reveal(), 60)
        .unwrap();
    assert!(gone(&world.replace(&file, &other, false)));
    assert!(gone(&world.replace(&other, &file, true)));
    assert_eq!(world.fetch(&file).unwrap(), b"x");
}

#[test]
fn others_neither_copy_nor_give_nor_take() {
    let world = World::new();
    let file = world.upload(b"mine", times(1));
    let other = world.another("mallory");
    let mut input = &b"theirs"[..];
    let received = world.service.receive(&other, &mut input, None).unwrap();
    let theirs = world.service.publish(&other, received, times(1)).unwrap();
    let (mine, theirs) = (file.id.reveal(), theirs.id.reveal());
    let service = &world.service;
    let forbidden = |result: Result<FileView, Error>| matches!(result, Err(Error::Forbidden));
    assert!(forbidden(service.copy(&other, mine, &CopyWish::default())));
    assert!(forbidden(service.replace(&other, mine, theirs, false)));
    assert!(forbidden(service.replace(&other, theirs, mine, true)));
    assert_eq!(world.fetch(&file).unwrap(), b"mine");
}

#[test]
fn a_failure_leaves_link_and_donor_as_they_were() {
    use super::fault_metadata::Fail;
    for after in 0..3 {
        let world = World::new();
        let old = world.upload(b"old", times(1));
        let new = world.upload(b"new", times(1));
        world.metadata_faults.fail_after(after, Fail::Before);
        assert!(world.replace(&old, &new, true).is_err());
        world.metadata_faults.heal();
        assert_eq!(world.fetch(&old).unwrap(), b"old");
        assert_eq!(world.fetch(&new).unwrap(), b"new");
    }
}

#[test]
fn four_hundred_changes_of_one_file_at_once_lose_nothing() {
    let world = World::new();
    let target = world.upload(&content(3_000), with_password("p"));
    let donors: Vec<_> = (0..8u8)
        .map(|n| world.upload(&[n; 2_000], unlimited()))
        .collect();
    std::thread::scope(|scope| {
        for n in 0..16usize {
            let (world, target, donors) = (&world, &target, &donors);
            scope.spawn(move || {
                for k in 0..25 {
                    let id = target.id.reveal();
                    match (n + k) % 5 {
                        0 | 1 => {
                            world.replace(target, &donors[(n * k) % 8], false).unwrap();
                        }
                        2 => {
                            let changes = Changes {
                                count: Some(Count::Limited(1000)),
                                password: set("p"),
                                ..Changes::default()
                            };
                            world.service.modify(&world.owner, id, changes).unwrap();
                        }
                        3 => {
                            let copy = world.copy(target, &CopyWish::default()).unwrap();
                            let id = copy.id.reveal();
                            world.service.delete(&world.owner, id, 0).unwrap();
                        }
                        _ => {
                            let file = world.service.open_own(&world.owner, id, false);
                            let bytes = file.unwrap().first_bytes(3_000).unwrap();
                            let first = bytes[0];
                            assert!(bytes == content(3_000) || bytes == vec![first; 2_000]);
                        }
                    }
                }
            });
        }
    });
    let replaced = world.replace(&target, &donors[3], true).unwrap();
    assert!(replaced.has_password);
    assert_eq!(world.fetch_with(&target, "p").unwrap(), [3; 2_000]);
    for (n, donor) in donors.iter().enumerate().filter(|(n, _)| *n != 3) {
        assert_eq!(
            world.fetch(donor).unwrap(),
            [u8::try_from(n).unwrap(); 2_000]
        );
    }
    world.service.sweep().unwrap();
    assert_eq!(world.blobs().len(), 8);
}
