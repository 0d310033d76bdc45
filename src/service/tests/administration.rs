//! What an administrator does with accounts and keys acts at once, and locks nobody out for good.

use super::world::*;
use crate::model::Role;

fn sign_in(world: &World, key: &NewApiKey, needed: Permissions) -> Result<Session, Error> {
    let key = Some(key.key.reveal());
    world.service.authenticate(key, needed, THERE)
}

fn login(world: &World, name: &str, password: &str) -> Result<Session, Error> {
    world.service.authenticate_password(name, password, THERE)
}

fn user(world: &World, name: &str) -> NewAccount {
    let wish = AccountWish {
        name,
        password: PASSWORD,
        role: Role::User,
    };
    world.service.create_account(wish).unwrap()
}

fn refused<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unauthorized))
}

#[test]
fn a_user_has_every_right_over_his_own_files_and_none_over_the_server() {
    let world = World::new();
    let ann = user(&world, "ann");
    let session = sign_in(&world, &ann.key, Permissions::BASIC).unwrap();
    assert!(refused(&sign_in(&world, &ann.key, Permissions::USERS)));
    let by_password = login(&world, "Ann", PASSWORD).unwrap();
    assert_eq!(by_password.permissions, session.permissions);
    let theirs = world.upload(b"hello", times(1));
    let result = world.service.file(&session, theirs.id.reveal());
    assert!(matches!(result, Err(Error::Forbidden)));
}

#[test]
fn another_role_acts_on_keys_that_are_out_already() {
    let world = World::new();
    let ann = user(&world, "ann");
    world.service.set_role("ann", Role::Admin).unwrap();
    let made_as_admin = world
        .service
        .create_key_for("ann", Proof::Password(PASSWORD), "k", Permissions::ALL)
        .unwrap();
    assert!(sign_in(&world, &made_as_admin, Permissions::USERS).is_ok());
    world.service.set_role("ann", Role::User).unwrap();
    assert!(refused(&sign_in(
        &world,
        &made_as_admin,
        Permissions::USERS
    )));
    assert!(sign_in(&world, &ann.key, Permissions::BASIC).is_ok());
    let last = world.service.set_role("admin", Role::User);
    assert!(matches!(last, Err(Error::Invalid(_))));
    let nobody = world.service.set_role("nobody", Role::User);
    assert!(matches!(nobody, Err(Error::NotFound)));
}

#[test]
fn a_revoked_key_is_refused_at_the_next_call() {
    let world = World::new();
    let ann = user(&world, "ann");
    let second = world
        .service
        .create_key_for(
            "ANN",
            Proof::Password(PASSWORD),
            "script\u{202e}",
            Permissions::VIEW,
        )
        .unwrap();
    let listed = world.service.keys_of("ann", None, 10).unwrap();
    assert_eq!(listed.len(), 2);
    let found = listed.iter().find(|k| k.public_id == second.public_id);
    let found = found.unwrap();
    assert_eq!(
        (found.name.as_str(), found.permissions),
        ("script", Permissions::VIEW)
    );
    assert!(sign_in(&world, &second, Permissions::VIEW).is_ok());
    world.service.revoke_key(&second.public_id).unwrap();
    assert!(refused(&sign_in(&world, &second, Permissions::NONE)));
    assert!(sign_in(&world, &ann.key, Permissions::VIEW).is_ok());
    let again = world.service.revoke_key(&second.public_id);
    assert!(matches!(again, Err(Error::NotFound)));
}

#[test]
fn another_password_acts_at_once_and_keeps_files_and_keys() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        let view = world.upload(b"hello", times(1));
        let old = Proof::Password(PASSWORD);
        let change = |proof, new: &str| world.service.change_password("admin", proof, new, false);
        assert!(matches!(
            change(Proof::Password("wrong password"), "a new password"),
            Err(Error::WrongPassword)
        ));
        assert!(matches!(change(old, "short"), Err(Error::Invalid(_))));
        assert!(change(old, "a new password").unwrap().is_none());
        assert!(refused(&login(&world, "admin", PASSWORD)));
        let session = login(&world, "admin", "a new password").unwrap();
        let file = world.service.file(&session, view.id.reveal()).unwrap();
        assert_eq!(file.name, "a.bin");
        assert!(world.service.file(&world.owner, view.id.reveal()).is_ok());
    }
}

#[test]
fn a_new_password_ends_the_lock_that_guessers_had_put_on_the_account() {
    let world = World::new();
    for n in 0..2 {
        let peer = IpAddr::from([192, 0, 2, 100 + n]);
        for _ in 0..5 {
            let guess = world.service.authenticate_password("admin", "guess", peer);
            assert!(refused(&guess));
        }
    }
    let locked = login(&world, "ADMIN", PASSWORD);
    assert!(matches!(locked, Err(Error::TooMany(_))));
    let proof = Proof::Password(PASSWORD);
    world
        .service
        .change_password("admin", proof, "a new password", false)
        .unwrap();
    assert!(login(&world, "admin", "a new password").is_ok());
}

#[test]
fn a_name_has_one_bucket_however_it_is_written() {
    let world = World::new();
    let spellings = [
        "zo\u{eb}",
        "ZO\u{cb}",
        "zoe\u{308}",
        "ZOE\u{308}",
        "Zo\u{eb}",
    ];
    for (n, name) in (0..).zip(spellings.iter().cycle().take(10)) {
        let peer = IpAddr::from([192, 0, 2, 100 + n / 5]);
        assert!(refused(
            &world.service.authenticate_password(name, "guess", peer)
        ));
    }
    let more = login(&world, "Zoe\u{308}", "guess");
    assert!(matches!(more, Err(Error::TooMany(_))));
}

#[test]
fn a_forgotten_password_is_replaced_with_the_phrase_a_key_or_the_master_key() {
    let world = World::new();
    let ann = user(&world, "ann");
    let change =
        |world: &World, proof, new: &str| world.service.change_password("ann", proof, new, false);
    let phrase = ann.recovery.reveal();
    let typed = phrase.to_lowercase().replace('-', "");
    change(&world, Proof::Recovery(&typed), "second password").unwrap();
    assert!(login(&world, "ann", "second password").is_ok());
    change(&world, Proof::Recovery(&phrase), "third password").unwrap();
    let key = ann.key.key.reveal();
    change(&world, Proof::Recovery(key), "fourth password").unwrap();
    assert!(login(&world, "ann", "fourth password").is_ok());

    let ben = user(&world, "ben");
    let phrase_of_ben = ben.recovery.reveal();
    for wrong in [phrase_of_ben.as_str(), ben.key.key.reveal(), "nonsense", ""] {
        let result = change(&world, Proof::Recovery(wrong), "fifth password");
        assert!(matches!(result, Err(Error::WrongPassword)), "{wrong}");
    }
    let needed = change(&world, Proof::Master, "fifth password");
    assert!(matches!(needed, Err(Error::PasswordNeeded)));

    let world = World::mode(Encryption::Server);
    user(&world, "ann");
    change(&world, Proof::Master, "second password").unwrap();
    let session = login(&world, "ann", "second password").unwrap();
    let key = world
        .service
        .create_key_for("ann", Proof::Master, "k", Permissions::ALL)
        .unwrap();
    let by_key = sign_in(&world, &key, Permissions::NONE).unwrap();
    assert_eq!(by_key.account, session.account);
}

#[test]
fn a_recovery_phrase_that_was_lost_or_seen_is_replaced() {
    let world = World::new();
    let ann = user(&world, "ann");
    let change = |proof: Proof<'_>, renew| {
        let service = &world.service;
        service.change_password("ann", proof, "second password", renew)
    };
    assert!(change(Proof::Password(PASSWORD), false).unwrap().is_none());
    let new = change(Proof::Password("second password"), true).unwrap();
    let new = new.unwrap().reveal();
    let first = ann.recovery.reveal();
    let old = change(Proof::Recovery(&first), false);
    assert!(matches!(old, Err(Error::WrongPassword)));
    change(Proof::Recovery(&new), false).unwrap();
}

#[test]
fn what_a_disabled_account_has_is_refused_until_it_is_enabled_again() {
    let world = World::new();
    let ann = user(&world, "ann");
    let session = sign_in(&world, &ann.key, Permissions::UPLOAD).unwrap();
    let mut input = &b"hello"[..];
    let received = world.service.receive(&session, &mut input, Some(5));
    let view = world
        .service
        .publish(&session, received.unwrap(), times(5))
        .unwrap();
    assert_eq!(world.fetch(&view).unwrap(), b"hello");
    world.service.set_disabled("ann", true).unwrap();
    assert!(refused(&sign_in(&world, &ann.key, Permissions::NONE)));
    assert!(refused(&login(&world, "ann", PASSWORD)));
    assert!(gone(&world.open(&view)));
    let page = world.service.view(view.id.reveal(), None, HERE);
    assert!(matches!(page, Err(Error::NotFound)));
    world.service.set_disabled("ann", false).unwrap();
    assert!(sign_in(&world, &ann.key, Permissions::NONE).is_ok());
    assert!(login(&world, "ann", PASSWORD).is_ok());
    assert_eq!(world.fetch(&view).unwrap(), b"hello");
    let last = world.service.set_disabled("admin", true);
    assert!(matches!(last, Err(Error::Invalid(_))));
}

#[test]
fn a_removed_account_takes_its_files_and_nothing_else_with_it() {
    let mut world = World::new();
    let kept = world.upload(b"of the admin", times(5));
    let ann = user(&world, "ann");
    let session = sign_in(&world, &ann.key, Permissions::UPLOAD).unwrap();
    let receive = |world: &World, n: u32| {
        let bytes = n.to_be_bytes();
        let received = world.service.receive(&session, &mut &bytes[..], Some(4));
        received.unwrap()
    };
    let late = receive(&world, 0);
    let mut views = Vec::new();
    for n in 0..300 {
        let name = format!("key {n}");
        let made = world.service.create_api_key(&session, &name, true, None);
        assert!(made.is_ok());
    }
    for n in 1..300 {
        let received = receive(&world, n);
        views.push(world.service.publish(&session, received, times(1)).unwrap());
    }
    assert!(world.service.remove_account_step("ann").unwrap());
    assert!(refused(&sign_in(&world, &ann.key, Permissions::NONE)));
    // It breaks off here, and another process goes on.
    world.restart();
    let mut steps = 0;
    while world.service.remove_account_step("ann").unwrap() {
        steps += 1;
        assert!(steps < 10);
    }
    assert_eq!(world.blobs().len(), 1, "only the file of the admin is left");
    assert_eq!(world.fetch(&kept).unwrap(), b"of the admin");
    assert!(gone(&world.open(&views[0])) && gone(&world.open(&views[298])));
    assert_eq!(world.metadata.link_count().unwrap(), 1);
    assert!(refused(&login(&world, "ann", PASSWORD)));
    let too_late = world.service.publish(&session, late, times(1));
    assert!(refused(&too_late));
    let too_late = world.service.create_api_key(&session, "late", true, None);
    assert!(refused(&too_late));
    assert_eq!(world.blobs().len(), 1);

    let again = world.service.remove_account_step("ann");
    assert!(matches!(again, Err(Error::NotFound)));
    let last = world.service.remove_account_step("admin");
    assert!(matches!(last, Err(Error::Invalid(_))));
    assert!(world.service.has_accounts().unwrap());
    assert_eq!(world.fetch(&kept).unwrap(), b"of the admin");
}

#[test]
fn the_first_account_may_go_when_there_is_another_administrator() {
    let mut world = World::new();
    world.service.add_account("second", PASSWORD).unwrap();
    world.upload(b"hello", times(1));
    while world.service.remove_account_step("admin").unwrap() {}
    assert!(world.service.has_accounts().unwrap());
    world.restart();
    let names = world.service.accounts(None, 10).unwrap();
    assert_eq!(names.len(), 1);
    assert_eq!(
        (names[0].name.as_str(), names[0].role),
        ("second", Role::SuperAdmin)
    );
}
