//! Accounts and API keys.

use super::*;

#[test]
fn an_account_and_its_first_key_get_the_same_new_number() {
    let db = fresh();
    let id = db.add_account(account("Ann"), api_key(1)).unwrap();
    assert_eq!(id, Some(AccountId(1)));
    let found = db.account(AccountId(1)).unwrap().unwrap();
    assert_eq!(
        found,
        Account {
            id: AccountId(1),
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
    let id = db.add_account(account("Ben"), api_key(2)).unwrap();
    assert_eq!(id, Some(AccountId(2)));
    assert_eq!(db.account(AccountId(3)).unwrap(), None);
    db.verify().unwrap();
}

#[test]
fn names_are_unique_whatever_their_case() {
    let db = fresh();
    db.add_account(account("Ann"), api_key(1)).unwrap();
    assert_eq!(db.add_account(account("aNN"), api_key(2)).unwrap(), None);
    assert_eq!(db.api_key(&lookup(2)).unwrap(), None, "nothing of it stays");
    assert_eq!(db.account_named("ANN").unwrap().unwrap().name, "Ann");
    assert_eq!(db.account_named("An").unwrap(), None);
    assert_eq!(db.account_named("").unwrap(), None);
    let next = db.add_account(account("Ännchen"), api_key(3)).unwrap();
    assert_eq!(next, Some(AccountId(2)), "a refused account uses no number");
}

#[test]
fn a_key_needs_an_account_and_is_never_replaced() {
    let db = fresh();
    let orphan = ApiKey {
        account: AccountId(7),
        ..api_key(1)
    };
    assert!(matches!(
        db.add_api_key(orphan),
        Err(MetadataError::Unavailable(_))
    ));
    db.add_account(account("Ann"), api_key(1)).unwrap();
    let second = ApiKey {
        account: AccountId(1),
        ..api_key(2)
    };
    db.add_api_key(second.clone()).unwrap();
    assert_eq!(db.api_key(&lookup(2)).unwrap(), Some(second));

    let thief = ApiKey {
        account: AccountId(1),
        name: "thief".to_owned(),
        ..api_key(1)
    };
    assert!(matches!(
        db.add_api_key(thief),
        Err(MetadataError::Unavailable(_))
    ));
    let error = db.add_account(account("Eve"), api_key(1)).unwrap_err();
    assert!(matches!(error, MetadataError::Unavailable(_)));
    assert_eq!(db.account_named("Eve").unwrap(), None);
    assert_eq!(
        db.api_key(&lookup(1)).unwrap().unwrap().name,
        api_key(1).name
    );
}
