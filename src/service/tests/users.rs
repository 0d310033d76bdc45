//! What accounts do with accounts and API keys acts at once, loses no file, and gives nobody more than
//! they had.

use super::fault_metadata::Fail;
use super::world::*;
use crate::model::{AccountId, Role, UserPermissions};
use std::sync::atomic::AtomicBool;
use std::thread;

fn sign_in(world: &World, key: &str, needed: Permissions) -> Result<Session, Error> {
    world.service.authenticate(Some(key), needed, THERE)
}

fn login(world: &World, name: &str, password: &str) -> Result<Session, Error> {
    world.service.authenticate_password(name, password, THERE)
}

fn refused<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unauthorized))
}

/// A user that another account made, with a password and a key, signed in.
fn user(world: &World, name: &str) -> (AccountId, Session) {
    let id = world.service.create_user(&world.owner, name).unwrap().id;
    let password = world.service.reset_password(&world.owner, id).unwrap();
    let session = login(world, name, password.reveal()).unwrap();
    let key = world.service.create_api_key(&session, "k", true, None);
    let key = key.unwrap().key;
    (
        id,
        sign_in(world, key.reveal(), Permissions::BASIC).unwrap(),
    )
}

fn upload_as(world: &World, session: &Session, bytes: &[u8]) -> FileView {
    let mut input = bytes;
    let declared = Some(bytes.len() as u64);
    let received = world.service.receive(session, &mut input, declared);
    world
        .service
        .publish(session, received.unwrap(), times(9))
        .unwrap()
}

fn names(world: &World, session: &Session) -> usize {
    let mut count = 0;
    let mut after = None;
    loop {
        let (files, next) = world.service.files(session, after.as_ref(), 100).unwrap();
        count += files.len();
        after = next;
        if after.is_none() {
            return count;
        }
    }
}

#[test]
fn a_user_without_a_password_is_opened_by_nothing_until_it_gets_one() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        let made = world.service.create_user(&world.owner, "Bob").unwrap();
        assert_eq!((made.role, made.permissions.0), (Role::User, 0));
        for password in ["", "Bob", PASSWORD] {
            assert!(refused(&login(&world, "bob", password)));
        }
        let taken = world.service.create_user(&world.owner, "BOB");
        assert!(matches!(taken, Err(UserRefusal::Taken)));
        let short = world.service.create_user(&world.owner, "b");
        assert!(matches!(short, Err(UserRefusal::BadName(_))));
        let first = world.service.reset_password(&world.owner, made.id).unwrap();
        let second = world.service.reset_password(&world.owner, made.id).unwrap();
        assert!(refused(&login(&world, "bob", first.reveal())));
        let session = login(&world, "bob", second.reveal()).unwrap();
        assert!(world.service.user(made.id).unwrap().must_change_password);
        let proof = Proof::Password(second.reveal());
        let phrase = world
            .service
            .change_password("bob", proof, "of my own", false)
            .unwrap();
        assert!(phrase.is_some(), "the first time that it chooses one");
        assert!(!world.service.user(made.id).unwrap().must_change_password);
        let view = upload_as(&world, &session, b"hello");
        let session = login(&world, "bob", "of my own").unwrap();
        assert!(world.service.file(&session, view.id.reveal()).is_ok());
    }
}

#[test]
fn the_first_password_comes_from_the_command_line_as_well() {
    let world = World::new();
    world.service.create_user(&world.owner, "bob").unwrap();
    assert!(world.service.opens("bob", Proof::Master).unwrap());
    let key = world
        .service
        .create_key_for("bob", Proof::Master, "k", Permissions::ALL);
    assert!(matches!(key, Err(Error::PasswordNeeded)));
    world
        .service
        .change_password("bob", Proof::Master, "of my own", false)
        .unwrap();
    assert!(!world.service.opens("bob", Proof::Master).unwrap());
    assert!(login(&world, "bob", "of my own").is_ok());
}

#[test]
fn a_new_password_never_loses_files_silently() {
    for mode in [Encryption::Link, Encryption::None] {
        let world = World::mode(mode);
        let (bob, session) = user(&world, "bob");
        let view = upload_as(&world, &session, b"hello");
        match world.service.reset_password(&world.owner, bob) {
            Err(UserRefusal::Sealed(why)) => assert!(why.contains("mayfly user passwd"), "{why}"),
            _ => panic!("it was reset"),
        }
        assert!(world.service.file(&session, view.id.reveal()).is_ok());
    }
    let world = World::mode(Encryption::Server);
    let (bob, session) = user(&world, "bob");
    let view = upload_as(&world, &session, b"hello");
    let password = world.service.reset_password(&world.owner, bob).unwrap();
    let session = login(&world, "bob", password.reveal()).unwrap();
    assert!(world.service.file(&session, view.id.reveal()).is_ok());
}

#[test]
fn the_files_of_a_removed_user_move_or_go_as_asked_and_nobody_elses_do() {
    let world = World::mode(Encryption::Server);
    let own = upload_as(&world, &world.owner, b"of the admin");
    let (bob, of_bob) = user(&world, "bob");
    let (_, of_ann) = user(&world, "ann");
    let kept = upload_as(&world, &of_ann, b"of ann");
    let moved: Vec<_> = (0..300u32)
        .map(|n| upload_as(&world, &of_bob, &n.to_be_bytes()))
        .collect();
    world.service.delete_user(&world.owner, bob, false).unwrap();
    assert!(matches!(world.service.user(bob), Err(UserRefusal::Gone)));
    assert_eq!(names(&world, &world.owner), 301);
    assert_eq!(names(&world, &of_ann), 1);
    for (n, view) in (0..300u32).zip(&moved) {
        let found = world.service.file(&world.owner, view.id.reveal()).unwrap();
        assert_eq!(
            (found.name.as_str(), found.owner),
            ("a.bin", world.owner.account)
        );
        if n % 50 == 0 {
            assert_eq!(world.fetch(view).unwrap(), n.to_be_bytes());
        }
    }
    let again = world.service.delete_user(&world.owner, bob, false);
    assert!(matches!(again, Err(UserRefusal::Gone)));

    let (cem, of_cem) = user(&world, "cem");
    let gone = upload_as(&world, &of_cem, b"of cem");
    world.service.delete_user(&world.owner, cem, true).unwrap();
    assert!(world.fetch(&gone).is_err());
    assert_eq!(world.fetch(&own).unwrap(), b"of the admin");
    assert_eq!(world.fetch(&kept).unwrap(), b"of ann");
    assert_eq!(world.blobs().len(), 302);
}

#[test]
fn files_that_nobody_else_can_open_stay_until_somebody_says_that_they_may_go() {
    for mode in [Encryption::Link, Encryption::None] {
        let world = World::mode(mode);
        let (bob, session) = user(&world, "bob");
        let view = upload_as(&world, &session, b"hello");
        match world.service.delete_user(&world.owner, bob, false) {
            Err(UserRefusal::Sealed(why)) => assert!(why.contains("deleteFiles: true"), "{why}"),
            _ => panic!("it is gone"),
        }
        assert!(!world.service.user(bob).unwrap().disabled);
        assert!(world.service.file(&session, view.id.reveal()).is_ok());
        world.service.delete_user(&world.owner, bob, true).unwrap();
        assert!(world.fetch(&view).is_err());
        assert_eq!(world.blobs().len(), 0);
        // Without files there is nothing to be moved.
        let (ann, _) = user(&world, "ann");
        world.service.delete_user(&world.owner, ann, false).unwrap();
    }
}

#[test]
fn a_removal_that_was_killed_anywhere_goes_on_with_the_next_start() {
    for with_files in [false, true] {
        let mut broken_off = 0;
        for calls in 0.. {
            assert!(calls < 100, "it never ends");
            let mut world = World::mode(Encryption::Server);
            let (bob, of_bob) = user(&world, "bob");
            let views: Vec<_> = (0..150u32)
                .map(|n| upload_as(&world, &of_bob, &n.to_be_bytes()))
                .collect();
            world.service.flush_counts().unwrap();
            world.metadata_faults.fail_after(calls, Fail::DoneAndGone);
            let done = world.service.delete_user(&world.owner, bob, with_files);
            world.restart();
            let begun = world.service.user(bob).is_ok_and(|user| user.disabled);
            broken_off += u32::from(begun);
            world.service.sweep().unwrap();
            match world.service.user(bob) {
                Err(UserRefusal::Gone) => {
                    let left = if with_files { 0 } else { 150 };
                    assert_eq!(names(&world, &world.owner), left, "{calls}");
                    assert_eq!(world.blobs().len(), left);
                }
                Ok(user) => {
                    assert!(!user.disabled, "it had not begun: {calls}");
                    assert_eq!(names(&world, &of_bob), 150);
                    assert_eq!(world.fetch(&views[7]).unwrap(), 7u32.to_be_bytes());
                }
                Err(other) => panic!("{other:?}"),
            }
            if done.is_ok() {
                break;
            }
        }
        assert!(broken_off > 2, "some broke off in the middle: {broken_off}");
    }
}

#[test]
fn a_demotion_a_revocation_and_an_end_act_at_the_next_call() {
    let world = World::new();
    let service = &world.service;
    let ann = world.another("ann");
    let make = |expires| service.create_api_key(&ann, "k", true, expires).unwrap();
    let key = make(None);
    let id = key.public_id.as_str();
    let key = key.key.reveal();
    for bit in [Permissions::USERS, Permissions::DOWNLOAD] {
        service.grant_to_key(&ann, id, bit).unwrap();
    }
    assert!(sign_in(&world, key, Permissions::USERS).is_ok());
    service
        .change_rank(&world.owner, ann.account, Role::User)
        .unwrap();
    assert!(refused(&sign_in(&world, key, Permissions::USERS)));
    assert!(sign_in(&world, key, Permissions::DOWNLOAD).is_ok());
    // The session that is under way asks for what it may not do any more.
    let late = service.create_user(&ann, "late");
    assert!(matches!(
        late,
        Err(UserRefusal::Service(Error::Unauthorized))
    ));
    let grant = service.grant_to_key(&ann, id, Permissions::USERS);
    assert!(matches!(grant, Err(KeyRefusal::NotHeld)));
    service
        .change_rank(&world.owner, ann.account, Role::Admin)
        .unwrap();
    assert!(
        refused(&sign_in(&world, key, Permissions::USERS)),
        "for good"
    );

    let soon = Timestamp(START + 60);
    let ending = make(Some(soon));
    assert!(sign_in(&world, ending.key.reveal(), Permissions::VIEW).is_ok());
    world.clock.advance(60);
    assert!(refused(&sign_in(
        &world,
        ending.key.reveal(),
        Permissions::VIEW
    )));
    let over = service.create_api_key(&ann, "k", true, Some(soon));
    assert!(matches!(over, Err(Error::Invalid(_))));
    service.delete_key(&ann, key).unwrap();
    assert!(refused(&sign_in(&world, key, Permissions::NONE)));
}

#[test]
fn a_session_by_a_password_that_was_changed_makes_no_key() {
    let world = World::new();
    world.another("ann");
    let session = login(&world, "ann", PASSWORD).unwrap();
    let proof = Proof::Password(PASSWORD);
    world
        .service
        .change_password("ann", proof, "a new password", false)
        .unwrap();
    let late = world.service.create_api_key(&session, "late", true, None);
    assert!(refused(&late));
}

#[test]
fn uses_are_listed_at_once_and_written_once_an_hour() {
    let world = World::new();
    let id = world.owner.account;
    let used = |world: &World| {
        let keys = world.service.keys(&world.owner, None, 9).unwrap().0;
        let user = world.service.user(id).unwrap();
        (keys[0].last_used, user.last_online)
    };
    let start = Some(Timestamp(START));
    assert_eq!(used(&world), (start, start));
    world.service.flush_counts().unwrap();
    let key = world.service.keys(&world.owner, None, 9).unwrap().0;
    let key = world.metadata.api_key(&key[0].lookup).unwrap().unwrap();
    assert_eq!(key.last_used, start);
    let before = world.metadata_faults.calls();
    for _ in 0..100 {
        world.service.flush_counts().unwrap();
    }
    assert_eq!(world.metadata_faults.calls(), before, "idle writes nothing");
    let login = |world: &World| login(world, "admin", PASSWORD).unwrap();
    world.clock.advance(3_599);
    login(&world);
    assert_eq!(used(&world), (start, start));
    world.clock.advance(1);
    login(&world);
    assert_eq!(used(&world).1, Some(Timestamp(START + 3_600)));
}

/// Whatever the order: no key that was revoked works again, none has more than its owner holds, and the
/// tables agree.
#[test]
fn four_hundred_operations_on_one_key_and_its_owner_leave_nobody_with_more() {
    let world = World::new();
    let service = &world.service;
    let ann = world.another("ann");
    let key = service.create_api_key(&ann, "k", true, None).unwrap();
    let (id, token) = (key.public_id.as_str(), key.key.reveal());
    thread::scope(|scope| {
        for n in 0..8 {
            let (ann, world) = (&ann, &world);
            scope.spawn(move || {
                for round in 0..50 {
                    let service = &world.service;
                    match (n + round) % 8 {
                        0 | 1 => drop(service.grant_to_key(ann, id, Permissions::USERS)),
                        2 => drop(service.revoke_from_key(ann, id, Permissions::USERS)),
                        3 => drop(service.rename_key(ann, id, "another name")),
                        4 => drop(service.change_rank(&world.owner, ann.account, Role::User)),
                        5 => drop(service.change_rank(&world.owner, ann.account, Role::Admin)),
                        6 => drop(service.flush_counts()),
                        _ if (n, round) == (7, 40) => service.delete_key(ann, id).unwrap_or(()),
                        _ => drop(sign_in(world, token, Permissions::VIEW)),
                    }
                }
            });
        }
    });
    drop(service.delete_key(&world.owner, id));
    service
        .change_rank(&world.owner, ann.account, Role::User)
        .unwrap();
    service.flush_counts().unwrap();
    assert!(refused(&sign_in(&world, token, Permissions::NONE)));
    for key in service.keys(&ann, None, 99).unwrap().0 {
        assert!(!key.permissions.allow(Permissions::USERS));
    }
    let keys = world.metadata.api_keys(None, 99).unwrap();
    assert!(keys.iter().all(|key| key.public_id != id));
}

/// Who is demoted while keys are in use: after the demotion was answered nothing succeeds any more.
#[test]
fn nothing_that_is_asked_after_a_demotion_succeeds() {
    let world = World::new();
    let ann = world.another("ann");
    let demoted = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..4 {
            let (world, ann, demoted) = (&world, &ann, &demoted);
            scope.spawn(move || {
                for round in 0..100 {
                    let was = demoted.load(Ordering::SeqCst);
                    let name = format!("user {n} {round}");
                    let made = world.service.create_user(ann, &name);
                    assert!(!(was && made.is_ok()), "made after the demotion");
                }
            });
        }
        world
            .service
            .revoke_from_user(&world.owner, ann.account, UserPermissions::USERS)
            .unwrap();
        demoted.store(true, Ordering::SeqCst);
    });
    let late = world.service.create_user(&ann, "late");
    assert!(late.is_err());
}
