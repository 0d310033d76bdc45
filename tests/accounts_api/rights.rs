//! Whoever wants more than they were given.

use super::*;
/// CVE-2026-29060 and 29061 are of this class: what a key may do is what its owner may do at that moment.
#[test]
fn no_key_outlives_what_its_owner_may_do() {
    let server = Server::demo();
    let ann = new_user(&server, "ann");
    let keyed = |path: &str| ask(&server, &ann.key, "GET", path, &[]).status();
    let own = ask(&server, &ann.key, "GET", "/api/auth/list", &[]).json();
    let public = own[0]["PublicId"].as_str().unwrap().to_owned();
    // Her key asks for everything that she may not do.
    for (of_key, of_user, path) in [
        ("PERM_MANAGE_USERS", "PERM_USERS", Some("/api/user/list")),
        ("PERM_MANAGE_LOGS", "PERM_LOGS", None),
        ("PERM_REPLACE", "PERM_REPLACE", None),
        ("PERM_MANAGE_FILE_REQUESTS", "PERM_GUEST_UPLOAD", None),
    ] {
        for by in [&ann.key, &server.key] {
            is(
                &set(&server, by, &public, of_key, "GRANT"),
                401,
                6,
                NOT_HELD,
            );
        }
        is_empty(&set_user(&server, &server.key, &ann.id, of_user, "GRANT"));
        // She may now, but not by a key that may not itself.
        is(
            &set(&server, &ann.key, &public, of_key, "GRANT"),
            401,
            6,
            NOT_HELD,
        );
        is_empty(&set(&server, &server.key, &public, of_key, "GRANT"));
        is_empty(&set(&server, &ann.key, &public, of_key, "GRANT"));
        path.inspect(|path| assert_eq!(keyed(path), 200));
        is_empty(&set_user(&server, &server.key, &ann.id, of_user, "REVOKE"));
        path.inspect(|path| assert_eq!(keyed(path), 401));
        // And not when she may again: somebody has to say so.
        is_empty(&set_user(&server, &server.key, &ann.id, of_user, "GRANT"));
        path.inspect(|path| assert_eq!(keyed(path), 401));
        is_empty(&set_user(&server, &server.key, &ann.id, of_user, "REVOKE"));
    }
    is_empty(&rank(&server, &server.key, &ann.id, "ADMIN"));
    is_empty(&set(
        &server,
        &server.key,
        &public,
        "PERM_MANAGE_USERS",
        "GRANT",
    ));
    assert_eq!(keyed("/api/user/list"), 200);
    is_empty(&rank(&server, &server.key, &ann.id, "USER"));
    assert_eq!(
        (keyed("/api/user/list"), keyed("/api/files/list")),
        (401, 200)
    );
    let given = [("userid", ann.id.as_str()), ("deleteFiles", "true")];
    is_empty(&ask(
        &server,
        &server.key,
        "DELETE",
        "/api/user/delete",
        &given,
    ));
    assert_eq!(keyed("/api/files/list"), 401);
}

#[test]
fn nobody_gets_at_the_keys_and_accounts_of_others() {
    let server = Server::demo();
    let (ann, ben) = (new_user(&server, "ann"), new_user(&server, "ben"));
    let listed = ask(&server, &server.key, "GET", "/api/auth/list", &[]).json();
    let of = |id: &str| {
        let mut keys = listed.as_array().unwrap().iter();
        let key = keys
            .find(|key| key["UserId"].as_u64() == id.parse().ok())
            .unwrap();
        key["PublicId"].as_str().unwrap().to_owned()
    };
    let (of_admin, of_ben) = (of("1"), of(&ben.id));
    let attempts = |by: &str, key: &str| {
        let given = [("targetKey", key), ("friendlyName", "mine")];
        [
            ask(&server, by, "PUT", "/api/auth/friendlyname", &given),
            set(&server, by, key, "PERM_VIEW", "REVOKE"),
            set(&server, by, key, "PERM_VIEW", "GRANT"),
            ask(&server, by, "DELETE", "/api/auth/delete", &given[..1]),
        ]
    };
    // By the public id, by the key itself, and by what is near to one.
    for key in [&of_admin, &of_ben, &server.key, &ben.key] {
        for reply in attempts(&ann.key, key) {
            let (status, code, _) = failure(&reply);
            assert_eq!((status, code), (401, 6), "{key}");
        }
    }
    for key in [
        &of_ben[1..],
        &of_ben[..34],
        &of_ben.to_lowercase(),
        &format!("{of_ben}x"),
    ] {
        for reply in attempts(&ann.key, key) {
            is(&reply, 404, 5, "Invalid key ID provided.");
        }
    }
    let reply = ask(
        &server,
        &ann.key,
        "GET",
        &format!("/api/auth/list/{of_ben}"),
        &[],
    );
    assert_eq!(failure(&reply).1, 6);

    // One who looks after users and keys: not after those above, and gives no more than he has.
    for permission in ["PERM_USERS", "PERM_API"] {
        is_empty(&set_user(
            &server,
            &server.key,
            &ann.id,
            permission,
            "GRANT",
        ));
    }
    let own = of(&ann.id);
    is_empty(&set(
        &server,
        &server.key,
        &own,
        "PERM_MANAGE_USERS",
        "GRANT",
    ));
    let above = new_user(&server, "chief");
    is_empty(&rank(&server, &server.key, &above.id, "ADMIN"));
    let by = ann.key.as_str();
    for id in ["1", &above.id, &ann.id] {
        let given = [("userid", id), ("generateNewPassword", "true")];
        for reply in [
            set_user(&server, by, id, "PERM_LIST", "GRANT"),
            set_user(&server, by, id, "PERM_LIST", "REVOKE"),
            rank(&server, by, id, "USER"),
            rank(&server, by, id, "ADMIN"),
            ask(&server, by, "PUT", "/api/user/resetPassword", &given[..1]),
            ask(&server, by, "PUT", "/api/user/resetPassword", &given),
            ask(&server, by, "DELETE", "/api/user/delete", &given[..1]),
        ] {
            assert_eq!((failure(&reply).0, failure(&reply).1), (400, 19), "{id}");
        }
    }
    let reply = set_user(&server, by, &ben.id, "PERM_LOGS", "GRANT");
    is(&reply, 400, 6, "Cannot grant rights the user does not have");
    assert_eq!(failure(&rank(&server, by, &ben.id, "ADMIN")).1, 19);
    for reply in attempts(by, &of_admin) {
        assert_eq!((failure(&reply).0, failure(&reply).1), (401, 6));
    }
    is_empty(&set(&server, by, &of_ben, "PERM_VIEW", "REVOKE"));
    assert_eq!(
        ask(&server, &ben.key, "GET", "/api/files/list", &[]).status(),
        401
    );
    // Nothing of it has changed who may do what.
    let users = ask(&server, &server.key, "GET", "/api/user/list", &[]).json();
    let levels: Vec<_> = users
        .as_array()
        .unwrap()
        .iter()
        .map(|user| {
            (
                user["userLevel"].as_u64().unwrap(),
                user["permissions"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(levels, [(0, 511), (2, 128 + 64), (2, 0), (1, 511)]);
    assert_eq!(login(&server, &above.name, &above.password).status(), 200);
}
