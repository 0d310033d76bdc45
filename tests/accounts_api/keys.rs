//! API keys: what becomes of them, and lists of any length.

use super::*;
#[test]
fn keys_are_made_renamed_changed_listed_and_revoked() {
    let server = Server::demo();
    let key = server.key.clone();
    let given = [
        ("friendlyName", "b\u{fc}ro <b>"),
        ("basicPermissions", "true"),
    ];
    let reply = ask(&server, &key, "POST", "/api/auth/create", &given);
    let json = reply.json();
    let id = json["Id"].as_str().unwrap().to_owned();
    let public = json["PublicId"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), public.len()), (30, 35));
    let exact = format!(r#"{{"Result":"OK","Id":"{id}","PublicId":"{public}"}}"#);
    assert_eq!(reply.text(), exact);
    let one = || {
        let path = format!("/api/auth/list/{public}");
        ask(&server, &key, "GET", &path, &[]).json()
    };
    assert_eq!(one()["FriendlyName"], "b\u{fc}ro <b>");
    assert_eq!(
        (&one()["Permissions"], &one()["UserId"]),
        (&23.into(), &1.into())
    );
    assert_eq!(
        (&one()["LastUsed"], &one()["Expiry"]),
        (&0.into(), &0.into())
    );

    // By either name; again makes no difference; case does not count.
    for target in [&id, &public] {
        for (permission, modifier, becomes) in [
            ("PERM_DOWNLOAD", "GRANT", 23 + 512),
            ("perm_download", "grant", 23 + 512),
            ("Perm_View", "Revoke", 22 + 512),
            ("PERM_VIEW", "REVOKE", 22 + 512),
            ("PERM_VIEW", "GRANT", 23 + 512),
            ("PERM_DOWNLOAD", "REVOKE", 23),
        ] {
            is_empty(&set(&server, &key, target, permission, modifier));
            assert_eq!(one()["Permissions"], becomes, "{permission} {modifier}");
        }
        let given = [
            ("targetKey", target.as_str()),
            ("friendlyName", "office\u{202e}"),
        ];
        is_empty(&ask(&server, &key, "PUT", "/api/auth/friendlyname", &given));
        assert_eq!(one()["FriendlyName"], "office");
    }
    for permission in PERMISSIONS {
        is_empty(&set(&server, &key, &public, permission, "GRANT"));
    }
    assert_eq!(one()["Permissions"], 1023);
    assert_eq!(
        ask(&server, &id, "GET", "/api/files/list", &[]).status(),
        200
    );
    assert!(one()["LastUsed"].as_i64().unwrap() > 1_700_000_000);

    let ended = ("expiry", "1");
    let reply = ask(&server, &key, "POST", "/api/auth/create", &[ended]);
    assert_eq!(failure(&reply).0, 400);
    let given = [("expiry", "4102444800")];
    let later = ask(&server, &key, "POST", "/api/auth/create", &given).json();
    let path = format!("/api/auth/list/{}", later["PublicId"].as_str().unwrap());
    let later = ask(&server, &key, "GET", &path, &[]).json();
    assert_eq!(
        (&later["Expiry"], &later["Permissions"]),
        (&4_102_444_800u64.into(), &0.into())
    );
    assert_eq!(later["FriendlyName"], "Unnamed key");

    is_empty(&ask(
        &server,
        &key,
        "DELETE",
        "/api/auth/delete",
        &[("targetKey", &id)],
    ));
    let reply = ask(&server, &id, "GET", "/api/files/list", &[]);
    assert_eq!((reply.status(), reply.text().as_str()), (401, UNAUTHORIZED));
    let again = ask(
        &server,
        &key,
        "DELETE",
        "/api/auth/delete",
        &[("targetKey", &public)],
    );
    is(&again, 404, 5, "Invalid key ID provided.");
}

#[test]
fn a_list_of_any_length_is_whole_and_shows_nothing_that_opens_anything() {
    let server = Server::demo();
    let mut made = BTreeSet::new();
    let mut private = vec![server.key.clone()];
    for _ in 0..150 {
        let (key, public) = new_key(&server, &server.key);
        private.push(key);
        made.insert(public);
    }
    let ann = new_user(&server, "ann");
    let reply = ask(&server, &server.key, "GET", "/api/auth/list", &[]);
    let text = reply.text();
    let listed = reply.json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 152, "with the first key, and Ann's");
    let ids: BTreeSet<_> = listed
        .iter()
        .map(|key| key["PublicId"].as_str().unwrap().to_owned())
        .collect();
    assert!(made.is_subset(&ids));
    private.push(ann.key.clone());
    assert!(private.iter().all(|key| !text.contains(key.as_str())));
    let own = ask(&server, &ann.key, "GET", "/api/auth/list", &[]).json();
    assert_eq!(own.as_array().unwrap().len(), 1);
    assert_eq!(own[0]["UserId"].to_string(), ann.id);

    for n in 0..70 {
        let name = format!("user {n}");
        let given = [("username", name.as_str())];
        let reply = ask(&server, &server.key, "POST", "/api/user/create", &given);
        assert_eq!(reply.status(), 200);
    }
    let reply = ask(&server, &server.key, "GET", "/api/user/list", &[]);
    let listed = reply.json();
    assert_eq!(listed.as_array().unwrap().len(), 72);
    let fields: BTreeSet<_> = listed[0].as_object().unwrap().keys().cloned().collect();
    let wanted = "creationDate id isDisabled lastOnline name permissions resetPassword userLevel";
    assert_eq!(fields.into_iter().collect::<Vec<_>>().join(" "), wanted);
    assert!(!reply.text().contains(&ann.password));

    // Neither the database nor the log has what was shown once.
    let database = std::fs::read(server.dir.join("mayfly.redb")).unwrap();
    let log = std::fs::read(server.log_path()).unwrap();
    private.push(ann.password);
    for secret in &private {
        for place in [&database, &log] {
            let mut windows = place.windows(secret.len());
            assert!(!windows.any(|bytes| bytes == secret.as_bytes()));
        }
    }
}
