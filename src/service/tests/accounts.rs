//! Who somebody is, and how guessing is slowed down.

use super::world::*;

fn unauthorized<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unauthorized))
}

fn too_many<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::TooMany(wait)) if !wait.is_zero())
}

#[test]
fn an_account_opens_with_its_key_and_its_password() {
    for mode in [Encryption::Link, Encryption::Server, Encryption::None] {
        let world = World::mode(mode);
        assert!(world.service.has_accounts().unwrap());
        let view = world.upload(b"hello", times(1));
        for name in ["admin", "ADMIN"] {
            let session = world
                .service
                .authenticate_password(name, PASSWORD, HERE)
                .unwrap();
            assert_eq!(session.account, world.owner.account);
            assert_eq!(session.permissions, Permissions::ALL);
            let found = world.service.file(&session, view.id.reveal()).unwrap();
            assert_eq!(found.name, "a.bin", "{mode:?}");
        }
    }
}

#[test]
fn only_mode_server_lets_the_master_key_open_accounts() {
    for (mode, expected) in [
        (Encryption::Link, false),
        (Encryption::Server, true),
        (Encryption::None, false),
    ] {
        let world = World::mode(mode);
        let account = world.metadata.account_named("admin").unwrap().unwrap();
        assert_eq!(account.wraps.by_master.is_some(), expected, "{mode:?}");
    }
}

#[test]
fn names_and_passwords_have_their_limits() {
    let world = World::new();
    let long = "x".repeat(1_025);
    let name = "n".repeat(65);
    for (name, password) in [
        ("Admin", PASSWORD),
        ("a", PASSWORD),
        (name.as_str(), PASSWORD),
        ("new\nline", PASSWORD),
        ("is:it", PASSWORD),
        ("\u{202e}nimda", PASSWORD),
        ("\u{ff21}dmin", PASSWORD),
        (" space", PASSWORD),
        ("fine", "1234567"),
        ("fine", long.as_str()),
    ] {
        let result = world.service.add_account(name, password);
        assert!(matches!(result, Err(Error::Invalid(_))), "{name:?}");
    }
    let added = world.service.add_account("fine", &long[..1_024]).unwrap();
    assert_eq!(added.key.public_id.len(), 35);
    assert_eq!(added.key.key.reveal().len(), 30);
}

#[test]
fn new_keys_have_the_basic_rights_or_none_and_open_the_same_files() {
    let world = World::new();
    let view = world.upload(b"hello", times(1));
    let service = &world.service;
    let basic = service
        .create_api_key(&world.owner, "cli", true, None)
        .unwrap();
    let none = service
        .create_api_key(&world.owner, "later", false, None)
        .unwrap();
    let sign_in =
        |key: &NewApiKey, needed| service.authenticate(Some(key.key.reveal()), needed, HERE);
    let session = sign_in(&basic, Permissions::BASIC).unwrap();
    assert!(service.file(&session, view.id.reveal()).is_ok());
    assert!(unauthorized(&sign_in(&basic, Permissions::API_MOD)));
    assert!(unauthorized(&sign_in(&none, Permissions::VIEW)));
    assert!(sign_in(&none, Permissions::NONE).is_ok());

    let weak = Session {
        account: session.account,
        permissions: Permissions::VIEW,
        opener: None,
        password: None,
        account_key: session.account_key.clone(),
    };
    let key = service.create_api_key(&weak, "weak", true, None).unwrap();
    assert!(sign_in(&key, Permissions::VIEW).is_ok());
    assert!(
        unauthorized(&sign_in(&key, Permissions::UPLOAD)),
        "no key has more than its maker"
    );
}

#[test]
fn bad_keys_are_limited_by_address_and_good_ones_never() {
    let world = World::new();
    let good = world
        .service
        .create_api_key(&world.owner, "", true, None)
        .unwrap()
        .key;
    let try_key = |key: &str, peer| {
        world
            .service
            .authenticate(Some(key), Permissions::NONE, peer)
    };
    for _ in 0..20 {
        assert!(unauthorized(&try_key(
            "0123456789abcdef0123456789abcd",
            HERE
        )));
    }
    assert!(too_many(&try_key("0123456789abcdef0123456789abcd", HERE)));
    assert!(too_many(&try_key("not even possible", HERE)));
    assert!(unauthorized(&try_key("not even possible", THERE)));
    for _ in 0..1_000 {
        assert!(try_key(good.reveal(), HERE).is_ok());
    }
    let missing = world.service.authenticate(None, Permissions::NONE, HERE);
    assert!(unauthorized(&missing));
    world.clock.advance(1);
    assert!(unauthorized(&try_key("not even possible", HERE)));
    assert!(too_many(&try_key("not even possible", HERE)));
}

#[test]
fn logins_are_limited_by_address_and_by_account() {
    let world = World::new();
    let login = |name: &str, password: &str, peer| {
        world.service.authenticate_password(name, password, peer)
    };
    for _ in 0..20 {
        assert!(
            login("admin", PASSWORD, HERE).is_ok(),
            "what is right is not limited"
        );
    }
    for _ in 0..5 {
        assert!(unauthorized(&login("admin", "wrong", HERE)));
    }
    assert!(
        too_many(&login("admin", PASSWORD, HERE)),
        "not even looked at"
    );
    for _ in 0..5 {
        assert!(unauthorized(&login("admin", "wrong", THERE)));
    }
    let third = "2001:db8::1".parse().unwrap();
    assert!(
        too_many(&login("admin", PASSWORD, third)),
        "ten for the account"
    );
    assert!(unauthorized(&login("nobody", "wrong", third)));
    assert!(unauthorized(&login("nobody", &"x".repeat(100_000), third)));
    world.clock.advance(10);
    assert!(login("admin", PASSWORD, third).is_ok());
}

#[test]
fn unknown_names_take_a_hash_like_known_ones() {
    let world = World::new();
    let hashes = |name: &str, password: &str, peer| {
        let before = world.service.passwords.served();
        let result = world.service.authenticate_password(name, password, peer);
        assert!(result.is_err());
        world.service.passwords.served() - before
    };
    assert_eq!(hashes("admin", "wrong password", HERE), 1);
    assert_eq!(hashes("nobody", "wrong password", HERE), 1);
    assert_eq!(hashes("admin", &"x".repeat(1_025), HERE), 0);
}

#[test]
fn a_hundred_logins_at_once_compute_no_more_hashes_than_the_limit() {
    let world = World::new();
    let before = world.service.passwords.served();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let result = world.service.authenticate_password("admin", "wrong", HERE);
                assert!(unauthorized(&result) || too_many(&result));
            });
        }
    });
    assert_eq!(world.service.passwords.served() - before, 5);
}
