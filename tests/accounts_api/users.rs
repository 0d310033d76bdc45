//! Users: what becomes of them, and how real clients say it.

use super::*;
#[test]
fn users_are_made_changed_and_removed() {
    let server = Server::demo();
    let key = &server.key;
    let given = [("username", "Bob")];
    let reply = ask(&server, key, "POST", "/api/user/create", &given);
    let exact = r#"{"id":2,"name":"Bob","permissions":0,"userLevel":2,"lastOnline":0,"resetPassword":false}"#;
    assert_eq!((reply.status(), reply.text().as_str()), (200, exact));
    assert_eq!(login(&server, "Bob", "").status(), 401);

    let one = || ask(&server, key, "GET", "/api/user/list/2", &[]).json();
    let mut bits = 0;
    for (permission, bit) in [
        ("PERM_REPLACE", 1),
        ("PERM_LIST", 2),
        ("PERM_EDIT", 4),
        ("PERM_REPLACE_OTHER", 8),
        ("PERM_DELETE", 16),
        ("PERM_LOGS", 32),
        ("PERM_API", 64),
        ("PERM_USERS", 128),
        ("perm_guest_upload", 256),
    ] {
        bits |= bit;
        for _ in 0..2 {
            is_empty(&set_user(&server, key, "2", permission, "GRANT"));
            assert_eq!(one()["permissions"], bits);
        }
    }
    is_empty(&set_user(&server, key, "2", "PERM_LIST", "REVOKE"));
    assert_eq!(one()["permissions"], 509);
    for (word, level, bits) in [("USER", 2, 509), ("ADMIN", 1, 511), ("user", 2, 0)] {
        is_empty(&rank(&server, key, "2", word));
        assert_eq!(
            (&one()["userLevel"], &one()["permissions"]),
            (&level.into(), &bits.into())
        );
    }

    let given = [("userid", "2")];
    let reply = ask(&server, key, "PUT", "/api/user/resetPassword", &given);
    assert_eq!(reply.text(), r#"{"Result":"OK","password":""}"#);
    assert_eq!(one()["resetPassword"], true);
    let password = password_of(&server, key, "2");
    assert!(password.len() >= 10);
    assert_eq!(login(&server, "Bob", "x").status(), 401);
    assert_eq!(login(&server, "bob", &password).status(), 200);
    assert!(one()["lastOnline"].as_i64().unwrap() > 1_700_000_000);
    // What it owns by now opens with that password only.
    let given = [("userid", "2"), ("generateNewPassword", "true")];
    let reply = ask(&server, key, "PUT", "/api/user/resetPassword", &given);
    let (status, code, text) = failure(&reply);
    assert_eq!((status, code), (400, 19));
    assert!(text.contains("mayfly user passwd"), "{text}");
    assert_eq!(login(&server, "Bob", &password).status(), 200);

    is_empty(&ask(
        &server,
        key,
        "DELETE",
        "/api/user/delete",
        &[("userid", "2")],
    ));
    is(
        &ask(&server, key, "GET", "/api/user/list/2", &[]),
        404,
        5,
        "Invalid user id provided.",
    );
    assert_eq!(login(&server, "Bob", &password).status(), 401);
    // The name is free, the number is not used again.
    let reply = ask(
        &server,
        key,
        "POST",
        "/api/user/create",
        &[("username", "bob")],
    );
    assert_eq!(reply.json()["id"], 3);
}

#[test]
fn curl_says_it_as_a_header_in_the_query_or_in_a_form_and_with_any_method() {
    if !have("curl") || !have("jq") {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    let curl = "curl -sS --noproxy '*' -H \"apikey: $API_KEY\"";
    for (n, way) in [
        "-X POST -H \"username: NAME\" $URL/api/user/create",
        "-X POST $URL/api/user/create?username=NAME",
        "$URL/api/user/create?username=NAME",
        "-d username=NAME $URL/api/user/create",
        "-F username=NAME $URL/api/user/create",
        "-X PUT -d username=NAME $URL/api/user/create",
        "-H \"username: NAME\" $URL/api/user/create",
    ]
    .iter()
    .enumerate()
    {
        let way = way.replace("NAME", &format!("user{n}"));
        let name = shell.run(&format!("{curl} {way} | jq -r .name"));
        assert_eq!(name, format!("user{n}"), "{way}");
    }
    let made = "$(jq -r .PublicId key.json)";
    for (n, (change, delete)) in [
        ("-X PUT -H \"targetKey: KEY\" -H \"permission: PERM_VIEW\" -H \"permissionModifier: GRANT\" $URL/api/auth/modify", "-X DELETE -H \"targetKey: KEY\" $URL/api/auth/delete"),
        ("-X PUT \"$URL/api/auth/modify?targetKey=KEY&permission=PERM_VIEW&permissionModifier=GRANT\"", "-X DELETE $URL/api/auth/delete?targetKey=KEY"),
        ("-d targetKey=KEY -d permission=PERM_VIEW -d permissionModifier=GRANT $URL/api/auth/modify", "-d targetKey=KEY $URL/api/auth/delete"),
        ("-F targetKey=KEY -F permission=PERM_VIEW -F permissionModifier=GRANT $URL/api/auth/modify", "-F targetKey=KEY $URL/api/auth/delete"),
        ("-H \"permission: PERM_VIEW\" -d permissionModifier=GRANT $URL/api/auth/modify?targetKey=KEY", "$URL/api/auth/delete?targetKey=KEY"),
    ]
    .iter()
    .enumerate()
    {
        shell.run(&format!("{curl} -d 'friendlyName=k+{n}' $URL/api/auth/create > key.json"));
        shell.run(&format!("{curl} -f {}", change.replace("KEY", made)));
        let one = format!("{curl} $URL/api/auth/list/{made} | jq -c '[.FriendlyName,.Permissions]'");
        assert_eq!(shell.run(&one), format!("[\"k {n}\",1]"), "{change}");
        shell.run(&format!("{curl} -f {}", delete.replace("KEY", made)));
        assert_eq!(shell.run(&format!("{curl} $URL/api/auth/list/{made} | jq .ErrorCode")), "5");
    }
    // Too much of it is no parameter.
    let long = "$(head -c 20000 /dev/zero | tr '\\0' x)";
    for way in [format!("-d username={long}"), format!("-F username={long}")] {
        let text = format!("{curl} -o /dev/null -w '%{{http_code}}' {way} $URL/api/user/create");
        assert_eq!(shell.run(&text), "400");
    }
}
