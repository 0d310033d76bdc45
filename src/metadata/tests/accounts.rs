//! Accounts and API keys.

use super::*;

#[test]
fn an_account_and_its_first_key_get_the_same_new_number() {
    let db = fresh();
    let id = db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    assert_eq!(id, Some(AccountId(1)));
    let found = db.account(AccountId(1)).unwrap().unwrap();
    assert_eq!(
        found,
        Account {
            id: AccountId(1),
            role: Role::SuperAdmin,
            ..account("Ann")
        }
    );
    let key = db.api_key(&lookup(1)).unwrap().unwrap();
    assert_eq!(
        key,
        ApiKey {
            account: AccountId(1),
            ..api_key(1)
        }
    );
    let id = db.add_account(account("Ben"), Some(api_key(2))).unwrap();
    assert_eq!(id, Some(AccountId(2)));
    assert_eq!(db.account(AccountId(3)).unwrap(), None);
    db.verify().unwrap();
}

#[test]
fn names_are_unique_whatever_their_case() {
    let db = fresh();
    db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    assert_eq!(
        db.add_account(account("aNN"), Some(api_key(2))).unwrap(),
        None
    );
    assert_eq!(db.api_key(&lookup(2)).unwrap(), None, "nothing of it stays");
    assert_eq!(db.account_named("ANN").unwrap().unwrap().name, "Ann");
    assert_eq!(db.account_named("An").unwrap(), None);
    assert_eq!(db.account_named("").unwrap(), None);
    let next = db
        .add_account(account("Ännchen"), Some(api_key(3)))
        .unwrap();
    assert_eq!(next, Some(AccountId(2)), "a refused account uses no number");
}

#[test]
fn a_key_needs_an_account_and_is_never_replaced() {
    let db = fresh();
    let orphan = ApiKey {
        account: AccountId(7),
        ..api_key(1)
    };
    assert_eq!(db.add_api_key(orphan, 9).unwrap(), KeyAdded::OwnerGone);
    assert_eq!(db.api_key(&lookup(1)).unwrap(), None);
    db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    let second = ApiKey {
        account: AccountId(1),
        ..api_key(2)
    };
    db.add_api_key(second.clone(), 9).unwrap();
    assert_eq!(db.api_key(&lookup(2)).unwrap(), Some(second));

    let thief = ApiKey {
        account: AccountId(1),
        name: "thief".to_owned(),
        ..api_key(1)
    };
    assert!(matches!(
        db.add_api_key(thief, 9),
        Err(MetadataError::Unavailable(_))
    ));
    let error = db
        .add_account(account("Eve"), Some(api_key(1)))
        .unwrap_err();
    assert!(matches!(error, MetadataError::Unavailable(_)));
    assert_eq!(db.account_named("Eve").unwrap(), None);
    assert_eq!(
        db.api_key(&lookup(1)).unwrap().unwrap().name,
        api_key(1).name
    );
}

#[test]
fn accounts_are_listed_in_the_order_of_their_numbers() {
    let db = fresh();
    for n in 1..=5 {
        let name = format!("user {n}");
        db.add_account(account(&name), None).unwrap();
    }
    let page = |after, limit| {
        let page = db.accounts(after, limit).unwrap();
        page.iter().map(|a| a.id.0).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3), [1, 2, 3]);
    assert_eq!(page(Some(AccountId(3)), 3), [4, 5]);
    assert!(page(Some(AccountId(5)), 3).is_empty());
    db.verify().unwrap();
}

#[test]
fn keys_are_found_by_account_and_by_public_id_until_they_are_removed() {
    let db = fresh();
    db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    db.add_account(account("Ben"), Some(api_key(2))).unwrap();
    for n in [3, 5, 4] {
        let key = ApiKey {
            account: AccountId(1),
            ..api_key(n)
        };
        db.add_api_key(key, 9).unwrap();
    }
    let of = |owner, after: Option<u64>, limit| {
        let after = after.map(lookup);
        let keys = db.api_keys_of(AccountId(owner), after.as_ref(), limit);
        let keys = keys.unwrap().into_iter();
        keys.map(|k| k.lookup).collect::<Vec<_>>()
    };
    assert_eq!(of(1, None, 3), [lookup(1), lookup(3), lookup(4)]);
    assert_eq!(of(1, Some(4), 3), [lookup(5)]);
    assert_eq!(of(2, None, 3), [lookup(2)]);
    let named = |n: u64| db.api_key_named(&format!("{n:035}")).unwrap();
    assert_eq!(named(2).unwrap().account, AccountId(2));
    assert_eq!(named(9), None);

    assert!(db.remove_api_key(&lookup(3)).unwrap());
    assert!(!db.remove_api_key(&lookup(3)).unwrap());
    assert_eq!(db.api_key(&lookup(3)).unwrap(), None);
    assert_eq!(named(3), None);
    assert_eq!(of(1, None, 9), [lookup(1), lookup(4), lookup(5)]);
    db.verify().unwrap();
}

#[test]
fn an_account_has_as_many_keys_as_it_may_have_whatever_others_have() {
    let db = fresh();
    for name in ["Ann", "Ben", "Cem"] {
        db.add_account(account(name), None).unwrap();
    }
    let add = |owner, n| {
        let key = ApiKey {
            account: AccountId(owner),
            ..api_key(n)
        };
        db.add_api_key(key, 3).unwrap()
    };
    for n in 1..=3 {
        assert_eq!(add(2, n), KeyAdded::Done);
    }
    assert_eq!(add(2, 4), KeyAdded::TooMany);
    assert_eq!(db.api_key(&lookup(4)).unwrap(), None);
    assert_eq!((add(1, 5), add(3, 6)), (KeyAdded::Done, KeyAdded::Done));
    assert!(db.remove_api_key(&lookup(2)).unwrap());
    assert_eq!((add(2, 7), add(2, 8)), (KeyAdded::Done, KeyAdded::TooMany));
    db.verify().unwrap();
}

#[test]
fn an_account_with_many_keys_goes_in_steps_and_each_leaves_the_tables_in_agreement() {
    let db = fresh();
    db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    db.add_account(account("Ben"), Some(api_key(2))).unwrap();
    let count = 300;
    for n in 3..2 + count {
        let key = ApiKey {
            account: AccountId(1),
            ..api_key(n)
        };
        db.add_api_key(key, count).unwrap();
    }
    let left = || db.api_keys_of(AccountId(1), None, 999).unwrap().len();
    assert_eq!(left(), 300);
    for expected in [172, 44] {
        let removed = db.remove_account(AccountId(1)).unwrap();
        assert_eq!((removed, left()), (AccountRemoved::HasKeys, expected));
        assert!(db.account_named("Ann").unwrap().is_some());
        db.verify().unwrap();
    }
    let removed = db.remove_account(AccountId(1)).unwrap();
    assert_eq!((removed, left()), (AccountRemoved::Done, 0));
    assert_eq!(db.account_named("Ann").unwrap(), None);
    assert!(db.api_key(&lookup(2)).unwrap().is_some(), "Ben's");
    db.verify().unwrap();
}

#[test]
fn the_last_working_administrator_stays() {
    let db = fresh();
    let user = Account {
        role: Role::User,
        ..account("Ben")
    };
    let ann = db.add_account(account("Ann"), None).unwrap().unwrap();
    let ben = db.add_account(user, None).unwrap().unwrap();
    let edit = |id, role: Role, disabled| {
        let edit = AccountEdit {
            role: Some(role),
            disabled: Some(disabled),
            ..AccountEdit::default()
        };
        db.edit_account(id, edit).unwrap()
    };
    assert_eq!(edit(ann, Role::User, false), AccountEdited::LastAdmin);
    assert_eq!(edit(ann, Role::Admin, true), AccountEdited::LastAdmin);
    assert_eq!(db.remove_account(ann).unwrap(), AccountRemoved::LastAdmin);
    let role = |id| db.account(id).unwrap().unwrap().role;
    assert_eq!(role(ann), Role::SuperAdmin);

    assert_eq!(edit(ben, Role::Admin, true), AccountEdited::Done);
    assert_eq!(
        edit(ann, Role::User, false),
        AccountEdited::LastAdmin,
        "one that is disabled looks after nothing"
    );
    assert_eq!(edit(ben, Role::Admin, false), AccountEdited::Done);
    assert_eq!((role(ann), role(ben)), (Role::SuperAdmin, Role::Admin));
    db.verify().unwrap();
    assert_eq!(edit(ann, Role::User, false), AccountEdited::Done);
    assert_eq!((role(ann), role(ben)), (Role::User, Role::SuperAdmin));
    db.verify().unwrap();
    assert_eq!(edit(ben, Role::User, false), AccountEdited::LastAdmin);
    assert_eq!(edit(ann, Role::Admin, false), AccountEdited::Done);
    assert_eq!(edit(ben, Role::Admin, true), AccountEdited::Done);
    assert_eq!((role(ann), role(ben)), (Role::SuperAdmin, Role::Admin));
    assert_eq!(edit(ben, Role::Admin, false), AccountEdited::Done);
    assert_eq!(role(ben), Role::Admin, "back, and not in the old place");
    assert_eq!(db.remove_account(ann).unwrap(), AccountRemoved::Done);
    assert_eq!(db.remove_account(ann).unwrap(), AccountRemoved::Gone);
    assert_eq!(edit(ann, Role::Admin, false), AccountEdited::Gone);
    assert_eq!(role(ben), Role::SuperAdmin);
    assert_eq!(db.remove_account(ben).unwrap(), AccountRemoved::LastAdmin);
    db.verify().unwrap();
}

#[test]
fn an_account_goes_with_its_keys_after_its_links_and_never_comes_back() {
    let db = fresh();
    db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    db.add_account(account("Ben"), Some(api_key(2))).unwrap();
    for n in 1..=5 {
        db.publish(with_blob(link(n))).unwrap();
    }
    db.publish(sharing(link(6), blob_id(5))).unwrap();
    db.take_lease(&lease(1, 1)).unwrap();
    let ann = AccountId(1);
    assert_eq!(db.remove_account(ann).unwrap(), AccountRemoved::HasLinks);
    let mut blobs = 0;
    loop {
        let freed = db.remove_links_of(ann, 4).unwrap();
        if freed.is_empty() {
            break;
        }
        assert!(freed.len() <= 4);
        blobs += freed.iter().filter(|f| f.blob.is_some()).count();
    }
    assert_eq!(blobs, 5);
    assert_eq!(db.garbage(None, 10).unwrap().len(), 5);
    assert_eq!(db.remove_account(ann).unwrap(), AccountRemoved::Done);
    assert_eq!(db.account_named("ann").unwrap(), None);
    assert_eq!(db.api_key(&lookup(1)).unwrap(), None);
    assert!(db.api_key(&lookup(2)).unwrap().is_some());

    let late = db.publish(with_blob(link(7))).unwrap();
    assert_eq!(late, Published::OwnerGone, "an upload that ends too late");
    assert_eq!(db.link_count().unwrap(), 0);
    let again = db.add_account(account("Ann"), Some(api_key(1))).unwrap();
    assert_eq!(again, Some(AccountId(3)), "numbers are not used again");
    db.verify().unwrap();
}
