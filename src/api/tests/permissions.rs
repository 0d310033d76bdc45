//! Who may call what: the table itself, then every call with too little in hand.

use super::*;
use crate::model::Permissions;
use crate::service::{KEYS_MAX, Session};
use std::collections::BTreeMap;

/// A path that leads to the route.
fn target(route: &Route) -> String {
    route.path.replace("{id}", "abcdefgh").replace('*', "x")
}

#[test]
fn each_path_of_the_api_needs_exactly_the_permission_that_gokapi_asks_for() {
    let found: BTreeMap<&str, u16> = Api::tables()
        .filter_map(|route| match &route.run {
            Run::Key(keyed) => Some((route.path, keyed.needed.0)),
            Run::Anyone(_) => {
                assert!(!gokapi::owns(route.path), "{} is open", route.path);
                None
            }
        })
        .collect();
    let wanted = BTreeMap::from([
        ("/api/auth/create", 8),
        ("/api/auth/delete", 8),
        ("/api/auth/friendlyname", 8),
        ("/api/auth/list", 8),
        ("/api/auth/list/{id}", 8),
        ("/api/auth/modify", 8),
        ("/api/chunk/add", 2),
        ("/api/chunk/complete", 2),
        ("/api/files/add", 2),
        ("/api/files/changeOwner", 16),
        ("/api/files/delete", 4),
        ("/api/files/download/{id}", 512),
        ("/api/files/downloadzip", 512),
        ("/api/files/duplicate", 2),
        ("/api/files/list", 1),
        ("/api/files/list/{id}", 1),
        ("/api/files/modify", 16),
        ("/api/files/replace", 32),
        ("/api/files/restore", 4),
        ("/api/info/config", 2),
        ("/api/info/version", 0),
        ("/api/user/changeRank", 64),
        ("/api/user/create", 64),
        ("/api/user/delete", 64),
        ("/api/user/list", 64),
        ("/api/user/list/{id}", 64),
        ("/api/user/modify", 64),
        ("/api/user/resetPassword", 64),
    ]);
    assert_eq!(found, wanted);
}

#[test]
fn requests_go_to_the_workers_that_fit() {
    let world = World::new();
    let room = |ask: Ask| world.api.room(&ask.head);
    for target in [
        "/api/files/list",
        "/api/files/download/x",
        "/api/files/downloadzip?ids=x",
        "/downloadFile?id=x",
        "/dh/x/y",
        "/h/x.png",
        "/hotlink/x",
    ] {
        assert_eq!(room(get(target)), Room::Download, "{target}");
    }
    for target in [
        "/",
        "/d?id=x",
        "/health",
        "/nothing",
        "/api/nothing",
        "/api/files/list/x",
        "/api/info/version",
    ] {
        assert_eq!(room(get(target)), Room::Control, "{target}");
    }
    assert_eq!(room(get("/api/files/add")), Room::Upload);
    // What waits for the disk holds up nobody who only looks something up.
    for target in [
        "/api/auth/create",
        "/api/files/modify",
        "/api/files/delete",
        "/api/files/restore",
    ] {
        assert_eq!(room(get(target)), Room::Change, "{target}");
    }
    assert_eq!(room(ask(Method::Post, "/d?id=x")), Room::Password);
    let basic = get("/api/auth/create").header("Authorization", "Basic YTpi");
    assert_eq!(room(basic), Room::Password);
    let keyed = get("/api/auth/create")
        .header("Authorization", "Basic YTpi")
        .header("apikey", "x");
    assert_eq!(room(keyed), Room::Change, "the key goes first");
    let bearer = get("/api/auth/create").header("Authorization", "Bearer YTpi");
    assert_eq!(room(bearer), Room::Change);
    let set = get("/api/files/modify").header("password", "new");
    assert_eq!(room(set), Room::Password);
}

#[test]
fn nobody_gets_in_without_the_right_key() {
    let world = World::new();
    let id = world.text(b"secret", &[]);
    for (route, number) in Api::tables().zip(0..) {
        let Run::Key(keyed) = &route.run else {
            continue;
        };
        let target = target(route).replace("abcdefgh", &id);
        // One address for each call: failures from one are limited.
        for (n, header) in [
            None,
            Some(("apikey", "")),
            Some(("apikey", "abcdefghabcdefghabcdefghabcdef")),
            Some(("Authorization", "Bearer abcdefghabcdefghabcdefghabcdef")),
            Some(("Authorization", "Digest x")),
        ]
        .into_iter()
        .enumerate()
        {
            let peer = IpAddr::V4(Ipv4Addr::new(203, number, u8::try_from(n).unwrap(), 1));
            let mut ask = get(&target).header("id", &id).from(peer);
            if let Some((name, value)) = header {
                ask = ask.header(name, value);
            }
            let answer = world.ask(ask);
            assert_eq!(
                answer.failure(),
                (401, 2, "Unauthorized".to_owned()),
                "{target} {header:?}"
            );
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        }
        assert!(keyed.needed.0 <= Permissions::ALL.0);
    }
}

#[test]
fn a_key_opens_what_it_allows_and_nothing_else() {
    let world = World::new();
    let id = world.text(b"secret", &[]);
    let make = |basic: &str| {
        let answer = world.keyed(
            ask(Method::Post, "/api/auth/create")
                .header("friendlyName", "Schlüssel <b>")
                .header("basicPermissions", basic),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        let json = answer.json();
        assert_eq!(json["Result"], "OK");
        assert_eq!(json["PublicId"].as_str().unwrap().len(), 35);
        json["Id"].as_str().unwrap().to_owned()
    };
    for (key, has) in [
        (make("true"), Permissions::BASIC),
        (make(""), Permissions::NONE),
    ] {
        assert_eq!(key.len(), 30);
        for (n, route) in Api::tables().enumerate() {
            let Run::Key(keyed) = &route.run else {
                continue;
            };
            let peer = IpAddr::V4(Ipv4Addr::new(203, 0, 113, u8::try_from(n).unwrap()));
            let answer = world.ask(
                get(&target(route).replace("abcdefgh", &id))
                    .header("Authorization", &format!("Bearer {key}"))
                    .from(peer),
            );
            assert_eq!(
                answer.status != 401,
                has.allow(keyed.needed),
                "{} with {has:?}: {}",
                route.path,
                answer.text()
            );
        }
    }
}

#[test]
fn the_files_of_one_account_are_closed_to_another() {
    let world = World::new();
    let id = world.text(b"secret", &[]);
    let other = world.api.service.add_account("bob", "battery staple");
    let other = other.unwrap().key.key.reveal().to_owned();
    let theirs = form("b.txt", "text/plain", b"theirs", &[]).header("apikey", &other);
    let theirs = super::id(&world.ask(theirs).json()["FileInfo"]);
    let calls = [
        get(&format!("/api/files/list/{id}")),
        get(&format!("/api/files/download/{id}")),
        ask(Method::Put, "/api/files/modify")
            .header("id", &id)
            .header("allowedDownloads", "9"),
        ask(Method::Delete, "/api/files/delete").header("id", &id),
        ask(Method::Delete, &format!("/api/files/delete?id={id}")),
        ask(Method::Post, "/api/files/restore").header("id", &id),
        ask(Method::Post, "/api/files/duplicate").header("id", &id),
        get(&format!("/api/files/downloadzip?ids={theirs},{id}")),
        ask(Method::Put, "/api/files/replace")
            .header("id", &id)
            .header("idNewContent", &theirs),
        ask(Method::Put, "/api/files/replace")
            .header("id", &theirs)
            .header("idNewContent", &id)
            .header("deleteNewFile", "true"),
    ];
    for call in calls {
        let target = call.head.path.clone();
        let (status, code, _) = world.ask(call.header("apikey", &other)).failure();
        assert_eq!((status, code), (401, 6), "{target}");
    }
    // Ids that are near to one name nothing, for its owner neither.
    for near in [&id[1..], &id[..21], &format!("{id}x"), &format!("{id}/")] {
        let delete = get("/api/files/delete").header("id", near);
        assert_eq!(world.keyed(delete).failure().0, 404, "{near}");
    }
    let listed = world.ask(get("/api/files/list").header("apikey", &other));
    assert_eq!(listed.json().as_array().unwrap().len(), 1, "their own");
    let own = world.keyed(get(&format!("/api/files/list/{id}"))).json();
    assert_eq!(own["DownloadsRemaining"], 1, "nothing was changed");
}

#[test]
fn a_first_key_is_made_with_name_and_password() {
    let world = World::new();
    let basic = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let create = |credentials: &str| {
        world.ask(
            ask(Method::Post, "/api/auth/create")
                .header("Authorization", &format!("Basic {}", basic(credentials)))
                .header("basicPermissions", "true"),
        )
    };
    let answer = create("admin:correct horse");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let key = answer.json()["Id"].as_str().unwrap().to_owned();
    let list = world.ask(get("/api/files/list").header("apikey", &key));
    assert_eq!((list.status, list.text().as_str()), (200, "[]"));
    assert_eq!(create("admin:wrong").failure().0, 401);
    assert_eq!(create("nobody:correct horse").failure().0, 401);
    // The password is for making keys only.
    let answer = world.ask(get("/api/files/list").header(
        "Authorization",
        &format!("Basic {}", basic("admin:correct horse")),
    ));
    assert_eq!(answer.failure().0, 401);
}

#[test]
fn an_account_with_too_many_keys_is_told_to_revoke_some() {
    let world = World::new();
    let create = || world.keyed(ask(Method::Post, "/api/auth/create"));
    // Many at once: their commits are shared, and no two take the last place.
    let made: usize = std::thread::scope(|scope| {
        let fill = || (0..KEYS_MAX).take_while(|_| create().status == 200).count();
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(fill)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    // The first key came with the account.
    assert_eq!(made as u64, KEYS_MAX - 1);
    let (status, code, text) = create().failure();
    assert_eq!((status, code), (400, 10), "{text}");
    assert!(text.contains("1000") && text.contains("revoke"), "{text}");
    let service = &world.api.service;
    let keys = service.keys_of("admin", None, 1).unwrap();
    service.revoke_key(&keys[0].public_id).unwrap();
    let pair = data_encoding::BASE64.encode(b"admin:correct horse");
    let create = || {
        let ask = ask(Method::Post, "/api/auth/create");
        world.ask(ask.header("Authorization", &format!("Basic {pair}")))
    };
    assert_eq!(create().status, 200);
    assert_eq!(create().failure().0, 400);
}

#[test]
fn failures_are_limited_and_valid_keys_are_not() {
    let world = World::new();
    let statuses: Vec<u16> = (0..200)
        .map(|_| {
            let ask = get("/api/info/version").header("apikey", "abcdefghabcdefgh");
            world.ask(ask.from(AWAY)).status
        })
        .collect();
    assert_eq!(statuses[0], 401);
    assert_eq!(statuses[199], 429);
    let limited = world.ask(get("/api/info/version").header("apikey", "x").from(AWAY));
    assert_eq!(limited.failure().1, 16);
    assert!(limited.header("Retry-After").is_some());
    for _ in 0..500 {
        assert_eq!(world.keyed(get("/api/info/version")).status, 200);
    }
}

#[test]
fn logins_are_limited_and_told_for_how_long() {
    let world = World::new();
    let login = |password: &str, peer| {
        let pair = data_encoding::BASE64.encode(format!("admin:{password}").as_bytes());
        world.ask(
            ask(Method::Post, "/api/auth/create")
                .header("Authorization", &format!("Basic {pair}"))
                .from(peer),
        )
    };
    let statuses: Vec<u16> = (0..7).map(|_| login("wrong", AWAY).status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    let limited = login("correct horse", AWAY);
    assert_eq!(limited.status, 429, "what is right is not looked at either");
    let wait: u64 = limited.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    let elsewhere = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 200));
    assert_eq!(login("correct horse", elsewhere).status, 200);
}

/// The code of a route takes the session by value: it cannot run without one.
#[test]
fn the_type_of_a_keyed_route_holds_a_session() {
    fn check(_: fn(&Api, Session, Call<'_>) -> Result<Response, gokapi::error::Fault>) {}
    for route in gokapi::ROUTES {
        match &route.run {
            Run::Key(keyed) => check(keyed.run),
            Run::Anyone(_) => panic!("{} is open", route.path),
        }
    }
}
