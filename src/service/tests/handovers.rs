//! Files that get another owner.

use super::world::*;
use crate::model::{AccountId, Role};

impl World {
    fn hand(&self, view: &FileView, to: AccountId) -> Result<Handover, Error> {
        self.service.change_owner(&self.owner, view.id.reveal(), to)
    }

    /// An account that looks after nothing but its files.
    fn user(&self, name: &str) -> Session {
        let wish = AccountWish {
            name,
            password: PASSWORD,
            role: Role::User,
        };
        let key = self.service.create_account(wish).unwrap().key.key;
        self.service
            .authenticate(Some(key.reveal()), Permissions::EDIT, HERE)
            .unwrap()
    }
}

fn done(handover: Result<Handover, Error>) -> FileView {
    match handover.unwrap() {
        Handover::Done(view) => *view,
        Handover::NotAdmin | Handover::NoSuchAccount => panic!("nothing is in the way"),
    }
}

#[test]
fn the_new_owner_has_it_as_an_upload_of_its_own_and_the_old_one_no_more() {
    let mut world = World::mode(Encryption::Server);
    let bob = world.another("bob");
    let image = LinkWish {
        name: "cat.png".into(),
        content_type: "image/png".into(),
        ..times(5)
    };
    let file = world.upload(b"a cat", image);
    let id = file.id.reveal();
    let given = done(world.hand(&file, bob.account));
    assert!(given.owner == bob.account && given.id == file.id && given.hotlink == file.hotlink);
    world.restart();
    let service = &world.service;
    assert!(matches!(
        service.file(&world.owner, id),
        Err(Error::Forbidden)
    ));
    assert!(service.files(&world.owner, None, 9).unwrap().0.is_empty());
    assert_eq!(service.files(&bob, None, 9).unwrap().0.len(), 1);
    let hotlink = file.hotlink.as_ref().unwrap().reveal();
    assert!(service.open(Door::Hotlink(hotlink), None, HERE).is_ok());
    assert_eq!(world.fetch(&file).unwrap(), b"a cat");
    // And with all rights of an owner.
    let copy = service.copy(&bob, id, &CopyWish::default()).unwrap();
    service.delete(&bob, id, 0).unwrap();
    assert_eq!(world.fetch(&copy).unwrap(), b"a cat");
    // From one to another, by somebody who is neither.
    let carol = world.another("carol");
    let given = done(world.hand(&copy, carol.account));
    assert!(given.owner == carol.account);
    assert!(world.service.file(&carol, copy.id.reveal()).is_ok());
    let same = done(world.hand(&copy, carol.account));
    assert!(same.owner == carol.account);
}

#[test]
fn equal_uploads_of_the_old_owner_are_stored_anew() {
    let world = World::mode(Encryption::Server);
    let bob = world.another("bob");
    let file = world.upload(b"the same", times(1));
    done(world.hand(&file, bob.account));
    world.upload(b"the same", times(1));
    assert_eq!(
        world.blobs().len(),
        2,
        "who uploads it is not told that another has it"
    );
}

#[test]
fn a_password_stays_and_its_key_goes_with_it() {
    let world = World::mode(Encryption::Server);
    let bob = world.another("bob");
    let wish = LinkWish {
        password: Some(zeroize::Zeroizing::new("p".into())),
        ..times(5)
    };
    let file = world.upload(b"secret", wish);
    done(world.hand(&file, bob.account));
    let id = file.id.reveal();
    assert!(matches!(world.open(&file), Err(Error::PasswordNeeded)));
    let copy = world.service.copy(&bob, id, &CopyWish::default()).unwrap();
    for file in [&file, &copy] {
        assert!(world.service.unlock(file.id.reveal(), "p", HERE).is_ok());
    }
}

#[test]
fn without_the_keys_of_both_it_is_refused_and_said_why() {
    for mode in [Encryption::Link, Encryption::None] {
        let world = World::mode(mode);
        let bob = world.another("bob");
        let file = world.upload(b"x", times(1));
        let Err(Error::Invalid(what)) = world.hand(&file, bob.account) else {
            panic!("nobody has the key of bob");
        };
        assert!(
            what.contains("\"bob\"") && what.contains("encryption = \"server\""),
            "{what}"
        );
        assert_eq!(world.fetch(&file).unwrap(), b"x");
        let mine = world.upload(b"y", times(1));
        let same = done(world.hand(&mine, world.owner.account));
        assert!(same.owner == world.owner.account);
    }
}

#[test]
fn only_admins_give_and_only_to_accounts_that_are_there() {
    let world = World::mode(Encryption::Server);
    let bob = world.user("bob");
    let file = world.upload(b"x", times(1));
    let id = file.id.reveal();
    let by_bob = world.service.change_owner(&bob, id, bob.account).unwrap();
    assert!(matches!(by_bob, Handover::NotAdmin));
    let nobody = world.hand(&file, AccountId(99)).unwrap();
    assert!(matches!(nobody, Handover::NoSuchAccount));
    world.service.set_disabled("bob", true).unwrap();
    let disabled = world.hand(&file, bob.account);
    assert!(matches!(disabled, Err(Error::Invalid(_))));
    world.service.delete(&world.owner, id, 60).unwrap();
    assert!(gone(&world.hand(&file, world.owner.account)));
    let unknown = world
        .service
        .change_owner(&world.owner, "../x", bob.account);
    assert!(gone(&unknown));
}

#[test]
fn changes_while_a_file_is_handed_around_lose_nothing() {
    let world = World::mode(Encryption::Server);
    let bob = world.another("bob");
    let file = world.upload(&content(2_000), unlimited());
    let id = file.id.reveal();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (world, bob, file) = (&world, &bob, &file);
            scope.spawn(move || {
                for k in 0..25 {
                    let to = [world.owner.account, bob.account][(n + k) % 2];
                    match k % 3 {
                        0 => drop(done(world.hand(file, to))),
                        1 => {
                            let changes = Changes {
                                lifetime: Some(Lifetime::Unlimited),
                                password: PasswordChange::Remove,
                                ..Changes::default()
                            };
                            match world.service.modify(bob, id, changes) {
                                Ok(_) | Err(Error::Forbidden) => {}
                                Err(other) => panic!("{other}"),
                            }
                        }
                        _ => assert_eq!(world.fetch(file).unwrap(), content(2_000)),
                    }
                }
            });
        }
    });
    done(world.hand(&file, bob.account));
    assert_eq!(world.service.files(&bob, None, 9).unwrap().0.len(), 1);
    assert!(
        world
            .service
            .files(&world.owner, None, 9)
            .unwrap()
            .0
            .is_empty()
    );
    assert_eq!(world.fetch(&file).unwrap(), content(2_000));
}
