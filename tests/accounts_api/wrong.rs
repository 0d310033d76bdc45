//! Calls without a permission, and with parameters that are missing or make no sense.

use super::*;
#[test]
fn every_call_needs_a_key_with_its_permission() {
    let server = Server::demo();
    let (key, public) = new_key(&server, &server.key);
    for (method, path, needed, given) in CALLS {
        for all_but_needed in [true, false] {
            for permission in PERMISSIONS {
                let modifier = match (permission == needed) == all_but_needed {
                    true => "REVOKE",
                    false => "GRANT",
                };
                is_empty(&set(&server, &server.key, &public, permission, modifier));
            }
            let reply = ask(&server, &key, method, path, given);
            let refused = reply.status() == 401 && reply.text() == UNAUTHORIZED;
            assert_eq!(refused, all_but_needed, "{path}: {}", reply.text());
        }
        for key in ["", "abcdefghabcdefghabcdefghabcdef"] {
            let reply = ask(&server, key, method, path, given);
            assert_eq!((reply.status(), reply.text().as_str()), (401, UNAUTHORIZED));
        }
    }
}

#[test]
fn every_parameter_that_is_missing_or_makes_no_sense_is_named() {
    let server = Server::demo();
    let ann = new_user(&server, "ann");
    for (method, path, _, given) in CALLS {
        for (missing, _) in given {
            for value in [None, Some("")] {
                let rest = given.iter().copied();
                let mut rest: Vec<_> = rest.filter(|(name, _)| name != missing).collect();
                rest.extend(value.map(|value| (*missing, value)));
                let reply = ask(&server, &server.key, method, path, &rest);
                is(&reply, 400, 4, &format!("header {missing} is required"));
            }
        }
    }
    for (path, name, value, status, code, text) in [
        (
            "/api/auth/create",
            "basicPermissions",
            "maybe",
            400,
            4,
            "invalid value in header basicPermissions supplied",
        ),
        (
            "/api/auth/create",
            "expiry",
            "soon",
            400,
            4,
            "invalid value in header expiry supplied",
        ),
        (
            "/api/auth/modify",
            "permission",
            "PERM_ALL",
            400,
            4,
            "invalid permission",
        ),
        (
            "/api/auth/modify",
            "permission",
            "view",
            400,
            4,
            "invalid permission",
        ),
        (
            "/api/auth/modify",
            "permissionModifier",
            "SET",
            400,
            4,
            "invalid permission modifier",
        ),
        (
            "/api/auth/modify",
            "targetKey",
            "../../x",
            404,
            5,
            "Invalid key ID provided.",
        ),
        (
            "/api/auth/friendlyname",
            "targetKey",
            UNKNOWN,
            404,
            5,
            "Invalid key ID provided.",
        ),
        (
            "/api/auth/delete",
            "targetKey",
            UNKNOWN,
            404,
            5,
            "Invalid key ID provided.",
        ),
        (
            "/api/user/create",
            "username",
            "x",
            400,
            6,
            "Invalid username provided.",
        ),
        (
            "/api/user/create",
            "username",
            "a:b",
            400,
            6,
            "Invalid username provided.",
        ),
        (
            "/api/user/create",
            "username",
            "ANN",
            409,
            7,
            "User already exists.",
        ),
        (
            "/api/user/create",
            "username",
            "\u{ff41}nn",
            409,
            7,
            "User already exists.",
        ),
        (
            "/api/user/modify",
            "userid",
            "one",
            400,
            4,
            "invalid value in header userid supplied",
        ),
        (
            "/api/user/modify",
            "userid",
            "99",
            404,
            5,
            "Invalid user id provided.",
        ),
        (
            "/api/user/modify",
            "userid",
            "-2",
            404,
            5,
            "Invalid user id provided.",
        ),
        (
            "/api/user/modify",
            "userpermission",
            "PERM_VIEW",
            400,
            4,
            "invalid permission",
        ),
        (
            "/api/user/modify",
            "permissionModifier",
            "SET",
            400,
            4,
            "invalid permission modifier",
        ),
        (
            "/api/user/modify",
            "userid",
            "1",
            400,
            19,
            "Cannot modify super admin",
        ),
        (
            "/api/user/changeRank",
            "userid",
            "99",
            404,
            5,
            "Invalid user id provided.",
        ),
        (
            "/api/user/changeRank",
            "newRank",
            "SUPERADMIN",
            400,
            4,
            "invalid rank",
        ),
        (
            "/api/user/changeRank",
            "newRank",
            "0",
            400,
            4,
            "invalid rank",
        ),
        (
            "/api/user/changeRank",
            "userid",
            "1",
            400,
            19,
            "Cannot modify super admin",
        ),
        (
            "/api/user/resetPassword",
            "userid",
            "99",
            404,
            5,
            "Invalid user id provided.",
        ),
        (
            "/api/user/resetPassword",
            "userid",
            "1",
            400,
            19,
            "Cannot modify super admin",
        ),
        (
            "/api/user/resetPassword",
            "generateNewPassword",
            "yes",
            400,
            4,
            "invalid value in header generateNewPassword supplied",
        ),
        (
            "/api/user/delete",
            "userid",
            "99",
            404,
            5,
            "Invalid user id provided.",
        ),
        (
            "/api/user/delete",
            "userid",
            "1",
            400,
            19,
            "Cannot modify super admin",
        ),
        (
            "/api/user/delete",
            "deleteFiles",
            "2",
            400,
            4,
            "invalid value in header deleteFiles supplied",
        ),
    ] {
        let (method, _, _, given) = CALLS.iter().find(|(_, p, ..)| *p == path).unwrap();
        let given = given.iter().copied().filter(|(n, _)| *n != name);
        let given: Vec<_> = given.chain([(name, value)]).collect();
        is(
            &ask(&server, &server.key, method, path, &given),
            status,
            code,
            text,
        );
    }
    for path in [
        format!("/api/auth/list/{UNKNOWN}"),
        format!("/api/auth/list/{}", ann.key),
    ] {
        let reply = ask(&server, &server.key, "GET", &path, &[]);
        is(&reply, 404, 5, "Invalid key ID provided.");
    }
    for id in ["99", "x", "-1", "18446744073709551616"] {
        let path = format!("/api/user/list/{id}");
        let reply = ask(&server, &server.key, "GET", &path, &[]);
        is(&reply, 404, 5, "Invalid user id provided.");
    }
}
