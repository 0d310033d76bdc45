//! What accounts may change of each other, and what not.

use super::*;

const SUPER: AccountId = AccountId(1);
const ADMIN: AccountId = AccountId(2);
const USER: AccountId = AccountId(3);
const OTHER: AccountId = AccountId(4);

/// A super admin, an admin and two users; each with the key of its number.
fn staffed() -> RedbMetadata {
    let db = fresh();
    for (n, role) in [
        (1, Role::Admin),
        (2, Role::Admin),
        (3, Role::User),
        (4, Role::User),
    ] {
        let new = Account {
            role,
            permissions: if role == Role::User {
                UserPermissions::NONE
            } else {
                UserPermissions::ALL
            },
            ..account(&format!("user {n}"))
        };
        let id = db.add_account(new, Some(api_key(n))).unwrap();
        assert_eq!(id, Some(AccountId(n)));
    }
    db
}

/// With the key of that account.
fn by(account: AccountId) -> Actor {
    Actor {
        account,
        key: Some(lookup(account.0)),
        password: None,
        now: NOW,
    }
}

fn role(db: &RedbMetadata, id: AccountId) -> (Role, u16) {
    let account = db.account(id).unwrap().unwrap();
    (account.role, account.permissions.0)
}

fn grant(bits: UserPermissions) -> UserChange {
    UserChange::Grant(bits)
}

#[test]
fn nobody_changes_the_super_admin_themselves_or_who_stands_above_them() {
    let db = staffed();
    let changes = || {
        [
            grant(UserPermissions::LIST),
            UserChange::Revoke(UserPermissions::LIST),
            UserChange::Rank(Role::User),
            UserChange::Rank(Role::Admin),
            UserChange::MustChangePassword,
            UserChange::Leave(Leaving::DeletesFiles),
        ]
    };
    let change = |who, whom, what| db.change_user(&by(who), whom, what).unwrap();
    // A user who looks after users.
    let users = grant(UserPermissions::USERS);
    assert_eq!(change(SUPER, USER, users), UserChanged::Done);
    for what in changes() {
        assert_eq!(change(ADMIN, SUPER, what.clone()), UserChanged::SuperAdmin);
        assert_eq!(change(SUPER, SUPER, what.clone()), UserChanged::SuperAdmin);
        assert_eq!(change(ADMIN, ADMIN, what.clone()), UserChanged::Yourself);
        assert_eq!(change(USER, USER, what.clone()), UserChanged::Yourself);
        assert_eq!(change(USER, ADMIN, what.clone()), UserChanged::Outranks);
        let gone = change(SUPER, AccountId(9), what.clone());
        assert_eq!(gone, UserChanged::Gone);
        let not_allowed = change(OTHER, USER, what);
        assert_eq!(not_allowed, UserChanged::NotAllowed);
    }
    let promote = UserChange::Rank(Role::Admin);
    assert_eq!(change(USER, OTHER, promote), UserChanged::Outranks);
    assert_eq!(role(&db, SUPER), (Role::SuperAdmin, 511));
    assert_eq!(role(&db, ADMIN), (Role::Admin, 511));
    assert_eq!(role(&db, OTHER), (Role::User, 0));
    db.verify().unwrap();
}

#[test]
fn nobody_gives_what_they_do_not_hold() {
    let db = staffed();
    let change = |who, whom, what| db.change_user(&by(who), whom, what).unwrap();
    let users = grant(UserPermissions::USERS.or(UserPermissions::LIST));
    assert_eq!(change(ADMIN, USER, users), UserChanged::Done);
    for (bit, becomes) in [
        (UserPermissions::LIST, UserChanged::Done),
        (UserPermissions::USERS, UserChanged::Done),
        (UserPermissions::LOGS, UserChanged::NotHeld),
        (UserPermissions::ALL, UserChanged::NotHeld),
    ] {
        assert_eq!(change(USER, OTHER, grant(bit)), becomes, "{bit:?}");
    }
    assert_eq!(role(&db, OTHER), (Role::User, 2 | 128));
    // An admin that was cut down makes no other that is not.
    let cut = UserChange::Revoke(UserPermissions::LOGS);
    assert_eq!(change(SUPER, ADMIN, cut), UserChanged::Done);
    let promote = UserChange::Rank(Role::Admin);
    assert_eq!(change(ADMIN, OTHER, promote), UserChanged::NotHeld);
    db.verify().unwrap();
}

#[test]
fn a_password_that_opens_more_than_who_asks_may_do_is_not_given() {
    let db = staffed();
    let reset = |who, whom| {
        let change = UserChange::Password {
            params: password(),
            wraps: account("x").wraps,
            is_new_key: false,
        };
        db.change_user(&by(who), whom, change).unwrap()
    };
    for (whom, bits) in [
        (USER, UserPermissions::USERS),
        (OTHER, UserPermissions::LOGS),
    ] {
        let done = db.change_user(&by(SUPER), whom, grant(bits)).unwrap();
        assert_eq!(done, UserChanged::Done);
    }
    assert_eq!(reset(USER, OTHER), UserChanged::Outranks);
    assert_eq!(reset(ADMIN, OTHER), UserChanged::Done);
    assert!(db.account(OTHER).unwrap().unwrap().must_change_password);
}

#[test]
fn a_new_account_key_comes_only_while_nothing_is_wrapped_under_the_old_one() {
    let db = staffed();
    let reset = || {
        let change = UserChange::Password {
            params: password(),
            wraps: AccountKeyWraps {
                by_password: vec![9; 60],
                by_master: None,
                by_recovery: None,
            },
            is_new_key: true,
        };
        db.change_user(&by(SUPER), USER, change).unwrap()
    };
    assert_eq!(reset(), UserChanged::OwnsSomething, "a key");
    db.remove_api_key(&lookup(3)).unwrap();
    let owned = Link {
        owner: USER,
        ..link(1)
    };
    db.publish(with_blob(owned)).unwrap();
    assert_eq!(reset(), UserChanged::OwnsSomething, "a file");
    db.remove(&lookup(1)).unwrap();
    let session = ChunkSession {
        owner: USER,
        ..super::chunks::session(1)
    };
    db.begin_chunks(&session, 9).unwrap();
    assert_eq!(reset(), UserChanged::OwnsSomething, "an upload");
    db.drop_chunks(&session.lookup).unwrap();
    assert_eq!(reset(), UserChanged::Done);
    let wraps = db.account(USER).unwrap().unwrap().wraps;
    assert_eq!((wraps.by_password, wraps.by_master), (vec![9; 60], None));
}

#[test]
fn what_a_demotion_takes_from_keys_does_not_come_back_with_the_rank() {
    let db = staffed();
    for n in 10..200 {
        let key = ApiKey {
            account: ADMIN,
            ..api_key(n)
        };
        db.add_api_key(key, 999).unwrap();
    }
    let rank = |rank| {
        let change = UserChange::Rank(rank);
        let changed = db.change_user(&by(SUPER), ADMIN, change).unwrap();
        assert_eq!(changed, UserChanged::Done);
    };
    rank(Role::User);
    assert_eq!(role(&db, ADMIN), (Role::User, 0));
    let left = Permissions(1023 & !(32 | 64 | 128 | 256));
    let all = |left| {
        let keys = db.api_keys_of(ADMIN, None, 999).unwrap();
        keys.len() == 191 && keys.iter().all(|key| key.permissions == left)
    };
    assert!(all(left));
    rank(Role::Admin);
    assert_eq!(role(&db, ADMIN), (Role::Admin, 511));
    assert!(all(left));
    assert_eq!(db.api_key(&lookup(1)).unwrap().unwrap().permissions.0, 1023);
    db.verify().unwrap();
}

#[test]
fn a_key_is_changed_by_its_owner_and_by_who_looks_after_keys() {
    let db = staffed();
    let change =
        |who: AccountId, key, change| db.change_key(&by(who), &lookup(key), change).unwrap();
    let revoke = || KeyChange::Revoke(Permissions::VIEW);
    assert_eq!(change(USER, 3, revoke()), KeyChanged::Done(USER));
    assert_eq!(change(USER, 3, revoke()), KeyChanged::Done(USER), "again");
    for key in [1, 2, 4] {
        for change in [revoke(), KeyChange::Remove, KeyChange::Name("x".into())] {
            let changed = db.change_key(&by(USER), &lookup(key), change).unwrap();
            assert_eq!(changed, KeyChanged::Foreign, "{key}");
        }
    }
    assert_eq!(change(USER, 9, revoke()), KeyChanged::Gone);
    assert_eq!(change(ADMIN, 4, revoke()), KeyChanged::Done(OTHER));
    assert_eq!(change(ADMIN, 1, KeyChange::Remove), KeyChanged::Foreign);
    let permission = grant(UserPermissions::API);
    db.change_user(&by(SUPER), USER, permission).unwrap();
    assert_eq!(change(USER, 4, KeyChange::Remove), KeyChanged::Done(OTHER));
    assert_eq!(change(USER, 2, KeyChange::Remove), KeyChanged::Foreign);
    assert_eq!(change(OTHER, 3, revoke()), KeyChanged::NotAllowed);
    // Neither more than its owner may do, nor more than the key that asks.
    let logs = || KeyChange::Grant(Permissions::LOGS);
    assert_eq!(change(ADMIN, 3, logs()), KeyChanged::NotHeld);
    assert_eq!(change(ADMIN, 2, logs()), KeyChanged::Done(ADMIN));
    let weak = ApiKey {
        account: ADMIN,
        permissions: Permissions::API_MOD,
        ..api_key(7)
    };
    db.add_api_key(weak, 9).unwrap();
    let weak = Actor {
        key: Some(lookup(7)),
        ..by(ADMIN)
    };
    for key in [7, 2, 3] {
        let view = KeyChange::Grant(Permissions::VIEW);
        let changed = db.change_key(&weak, &lookup(key), view).unwrap();
        assert_eq!(changed, KeyChanged::NotHeld, "{key}");
    }
    db.verify().unwrap();
}

#[test]
fn a_credential_that_ended_a_moment_ago_changes_nothing() {
    let db = staffed();
    let ended = ApiKey {
        account: ADMIN,
        expires: Some(NOW),
        ..api_key(7)
    };
    db.add_api_key(ended, 9).unwrap();
    let disabled = Account {
        disabled: true,
        ..account("gone")
    };
    db.add_account(disabled, Some(api_key(8))).unwrap();
    let other_password = PasswordParams {
        salt: [1; 16],
        ..password()
    };
    let actors = [
        Actor {
            key: Some(lookup(7)),
            ..by(ADMIN)
        },
        Actor {
            key: Some(lookup(8)),
            ..by(AccountId(5))
        },
        Actor {
            key: Some(lookup(1)),
            ..by(ADMIN)
        },
        Actor {
            key: None,
            password: Some(other_password),
            ..by(ADMIN)
        },
        by(AccountId(9)),
    ];
    for (n, by) in actors.iter().enumerate() {
        let new = ApiKey {
            account: by.account,
            ..api_key(20)
        };
        assert_eq!(db.create_key(by, new, 99).unwrap(), KeyAdded::OwnerGone);
        let changed = db.change_key(by, &lookup(2), KeyChange::Remove).unwrap();
        assert_eq!(changed, KeyChanged::NotAllowed, "{n}");
        let rank = UserChange::Rank(Role::Admin);
        let changed = db.change_user(by, USER, rank).unwrap();
        assert_eq!(changed, UserChanged::NotAllowed, "{n}");
        let made = db.create_user(by, account("new")).unwrap();
        assert_eq!(made, Err(UserChanged::NotAllowed), "{n}");
    }
    assert!(db.api_key(&lookup(20)).unwrap().is_none());
}

#[test]
fn keys_are_listed_over_all_accounts() {
    let db = staffed();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = db.api_keys(after, 3).unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.account, last.lookup));
        found.extend(page.iter().map(|key| key.account.0));
    }
    assert_eq!(found, [1, 2, 3, 4]);
}

#[test]
fn a_use_is_written_once_an_hour_and_never_for_what_is_gone() {
    let db = staffed();
    let used = |at: i64| Use {
        account: USER,
        key: Some(lookup(3)),
        at: Timestamp(at),
    };
    for (at, kept) in [(1_000, 1_000), (4_599, 1_000), (4_600, 4_600), (900, 900)] {
        db.touch(&[used(at)]).unwrap();
        let key = db.api_key(&lookup(3)).unwrap().unwrap();
        assert_eq!(key.last_used, Some(Timestamp(kept)), "{at}");
        let account = db.account(USER).unwrap().unwrap();
        assert_eq!(account.last_online, Some(Timestamp(kept)), "{at}");
    }
    db.remove_api_key(&lookup(3)).unwrap();
    let nobody = Use {
        account: AccountId(99),
        ..used(9_000)
    };
    db.touch(&[used(9_000), nobody]).unwrap();
    assert_eq!(db.api_key(&lookup(3)).unwrap(), None);
    assert_eq!(db.account(AccountId(99)).unwrap(), None);
    db.verify().unwrap();
}

#[test]
fn files_move_to_the_heir_only_and_only_while_their_account_leaves() {
    const TAG: [u8; 32] = [0xDD; 32];
    let db = staffed();
    for n in 1..=5 {
        let owned = Link {
            owner: if n == 5 { OTHER } else { USER },
            ..link(n)
        };
        let mut new = with_blob(owned);
        if let BlobSource::New { blob, by_plaintext } = &mut new.source
            && n == 1
        {
            blob.tag = Some(TAG);
            *by_plaintext = Some(vec![5; 60]);
        }
        db.publish(new).unwrap();
    }
    db.take_lease(&lease(1, 1)).unwrap();
    let moved = |n| MovedLink {
        lookup: lookup(n),
        was: vec![2; 120],
        by_owner: vec![8; 120],
    };
    let go = |heir, links| db.move_links(USER, heir, links).unwrap();
    assert!(!go(ADMIN, vec![moved(1)]), "it does not leave");
    let leave = UserChange::Leave(Leaving::MovesFiles(ADMIN));
    db.change_user(&by(ADMIN), USER, leave).unwrap();
    assert!(!go(OTHER, vec![moved(1)]), "not the heir");
    let changed = MovedLink {
        was: vec![3; 120],
        ..moved(2)
    };
    assert!(go(ADMIN, vec![moved(1), changed, moved(5), moved(77)]));
    let owners: Vec<_> = (1..=5)
        .map(|n| db.link(&lookup(n)).unwrap().unwrap().owner)
        .collect();
    assert_eq!(owners, [ADMIN, USER, USER, USER, OTHER]);
    let first = db.link(&lookup(1)).unwrap().unwrap();
    assert_eq!((first.by_owner, first.allowance.leased), (vec![8; 120], 1));
    assert_eq!(
        db.duplicate(&TAG).unwrap(),
        None,
        "it is no file of the old owner's"
    );
    db.verify().unwrap();
    assert_eq!(db.remove_leaving(USER).unwrap(), AccountRemoved::HasLinks);
    assert!(go(ADMIN, vec![moved(2), moved(3), moved(4)]));
    assert_eq!(db.remove_leaving(USER).unwrap(), AccountRemoved::Done);
    assert_eq!(db.links_of(ADMIN, None, 9).unwrap().len(), 4);
    db.verify().unwrap();
}

#[test]
fn an_account_that_was_enabled_again_keeps_what_is_left() {
    let db = staffed();
    for n in 1..=3 {
        let owned = Link {
            owner: USER,
            ..link(n)
        };
        db.publish(with_blob(owned)).unwrap();
    }
    let leave = UserChange::Leave(Leaving::DeletesFiles);
    db.change_user(&by(ADMIN), USER, leave).unwrap();
    assert_eq!(db.remove_links_of_leaving(USER, 1).unwrap().len(), 1);
    let enable = AccountEdit {
        disabled: Some(false),
        ..AccountEdit::default()
    };
    db.edit_account(USER, enable).unwrap();
    assert!(db.remove_links_of_leaving(USER, 1).unwrap().is_empty());
    assert_eq!(db.remove_leaving(USER).unwrap(), AccountRemoved::Gone);
    assert_eq!(db.links_of(USER, None, 9).unwrap().len(), 2);
    db.verify().unwrap();
}
