//! The calls about files: list, inspect, change, delete, restore, download.

use super::*;

#[test]
fn the_dialect_answers_version_and_configuration() {
    let world = World::new();
    assert_eq!(
        world.keyed(get("/api/info/version")).text(),
        r#"{"Version":"2.2.5","VersionInt":20205}"#
    );
    assert_eq!(
        world.keyed(get("/api/info/config")).text(),
        r#"{"MaxFilesize":1,"MaxChunksize":45,"EndToEndEncryptionEnabled":false}"#
    );
}

#[test]
fn addresses_are_exact_and_methods_are_not_looked_at() {
    let world = World::new();
    for target in [
        "/api/info/version?x=1",
        "/api/info/version?",
        "/api/info/version/",
        "/api/files/list/",
        "/api/files/list/a/b",
        "/api/files/nothing",
        "/api//files/list",
        "/api/",
        "/api",
    ] {
        assert_eq!(
            world.keyed(get(target)).failure(),
            (400, 1, "Invalid request".to_owned()),
            "{target}"
        );
    }
    for method in [Method::Get, Method::Post, Method::Patch, Method::Options] {
        assert_eq!(world.keyed(ask(method, "/api/info/version")).status, 200);
    }
}

#[test]
fn a_listing_has_every_file_and_is_written_in_pages() {
    let world = World::new();
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
    let ids: Vec<String> = (0..205)
        .map(|n| world.text(n.to_string().as_bytes(), &[]))
        .collect();
    let answer = world.keyed(get("/api/files/list"));
    assert_eq!(answer.length, None, "nobody counts before");
    let listed: Vec<String> = answer.json().as_array().unwrap().iter().map(id).collect();
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(listed), sorted(ids));
    let head = world.keyed(ask(Method::Head, "/api/files/list"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn the_listing_checks_its_parameter() {
    let world = World::new();
    let asked = |value| world.keyed(get("/api/files/list").header("showFileRequests", value));
    for good in ["", "true", "0"] {
        assert_eq!(asked(good).status, 200);
    }
    assert_eq!(
        asked("maybe").failure(),
        (
            400,
            4,
            "invalid value in header showFileRequests supplied".to_owned()
        )
    );
}

#[test]
fn one_file_is_shown_as_in_the_listing() {
    let world = World::new();
    let info = world.upload("a.txt", "text/plain", b"abc", &[]);
    let one = world
        .keyed(get(&format!("/api/files/list/{}", id(&info))))
        .json();
    assert_eq!(one, info);
    assert_eq!(one, world.keyed(get("/api/files/list")).json()[0]);
    let none = world.keyed(get("/api/files/list/abcdefghabcdefgh"));
    assert_eq!(none.failure(), (404, 5, "File not found".to_owned()));
}

#[test]
fn deleting_takes_the_id_from_wherever_scripts_put_it() {
    let world = World::new();
    let target = "/api/files/delete";
    let form = "application/x-www-form-urlencoded";
    let ways: [fn(&str) -> Ask; 5] = [
        |id| ask(Method::Delete, target_of()).header("id", id),
        |id| get(target_of()).header("id", id),
        |id| ask(Method::Delete, &format!("{}?id={id}", target_of())),
        |id| {
            ask(Method::Post, target_of()).body(
                "application/x-www-form-urlencoded",
                format!("id={id}").as_bytes(),
            )
        },
        |id| ask(Method::Post, &format!("{}?id={id}&delay=0", target_of())),
    ];
    for way in ways {
        let id = world.text(b"abc", &[]);
        let answer = world.keyed(way(&id));
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        let file = world.keyed(get(&format!("/api/files/list/{id}")));
        assert_eq!(file.status, 404);
    }
    for ask in [
        get(target),
        get("/api/files/delete?id="),
        ask(Method::Post, target).body(form, b"other=1"),
    ] {
        assert_eq!(
            world.keyed(ask).failure(),
            (400, 4, "header id is required".to_owned())
        );
    }
    let unknown = world.keyed(get(target).header("id", "abcdefghabcdefgh"));
    assert_eq!(
        unknown.failure(),
        (404, 5, "Invalid file ID provided.".to_owned())
    );
    let long = ask(Method::Post, target).body(form, &[b'x'; 10_000]);
    assert_eq!(world.keyed(long).failure().0, 400);
}

fn target_of() -> &'static str {
    "/api/files/delete"
}

#[test]
fn a_delayed_deletion_hides_at_once_and_can_be_taken_back() {
    let world = World::new();
    let id = world.text(b"abc", &[]);
    let delete = |delay| {
        get("/api/files/delete")
            .header("id", &id)
            .header("delay", delay)
    };
    assert_eq!(world.keyed(delete("soon")).failure().1, 4);
    assert_eq!(world.keyed(delete("20")).status, 200);
    assert_eq!(world.ask(get(&format!("/d?id={id}"))).status, 404);
    let one = world.keyed(get(&format!("/api/files/list/{id}")));
    assert_eq!(one.failure().0, 404);
    let list = world.keyed(get("/api/files/list")).json();
    assert_eq!(list[0]["IsPendingDeletion"], true);

    let restore = || ask(Method::Post, "/api/files/restore").header("id", &id);
    let json = world.keyed(restore()).json();
    assert_eq!(json["Result"], "OK");
    assert_eq!(json["fileInfo"]["IsPendingDeletion"], false);
    assert_eq!(world.ask(get(&format!("/d?id={id}"))).status, 200);
    assert_eq!(world.keyed(restore()).status, 200, "nothing was pending");

    world.keyed(delete("20"));
    world.wait(20);
    assert_eq!(world.keyed(restore()).failure().0, 404);
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
}

#[test]
fn a_change_keeps_what_it_does_not_name_but_for_the_password() {
    let world = World::new();
    let id = world.text(b"abc", &[("password", "one"), ("allowedDownloads", "3")]);
    let modify = |headers: &[(&str, &str)]| {
        let mut ask = ask(Method::Put, "/api/files/modify").header("id", &id);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        world.keyed(ask)
    };
    let info = modify(&[("originalPassword", "true"), ("allowedDownloads", "7")]).json();
    assert_eq!(info["DownloadsRemaining"], 7);
    assert_eq!(info["ExpireAt"], START + 14 * 86_400);
    assert_eq!(info["IsPasswordProtected"], true);

    let at = (START + 1000).to_string();
    let info = modify(&[("expiryTimestamp", &at), ("password", "two")]).json();
    assert_eq!(info["ExpireAt"], START + 1000);
    assert_eq!(info["DownloadsRemaining"], 7);
    assert_eq!(info["IsPasswordProtected"], true);

    let info = modify(&[("allowedDownloads", "0"), ("expiryTimestamp", "0")]).json();
    assert_eq!(info["UnlimitedDownloads"], true);
    assert_eq!(info["UnlimitedTime"], true);
    assert_eq!(info["DownloadsRemaining"], 7, "the number stays");
    assert_eq!(info["IsPasswordProtected"], false, "nobody said to keep it");

    assert_eq!(modify(&[("allowedDownloads", "x")]).failure().1, 4);
    assert_eq!(modify(&[("password", &"x".repeat(1025))]).failure().1, 10);
    assert_eq!(modify(&[("allowedDownloads", "-1")]).status, 200);
    assert_eq!(
        modify(&[]).failure(),
        (404, 5, "Invalid file ID provided.".to_owned())
    );
}

#[test]
fn owners_download_without_password_and_count_on_demand_only() {
    let world = World::new();
    let id = world.text(b"0123456789", &[("password", "one")]);
    let download = || get(&format!("/api/files/download/{id}"));
    for _ in 0..3 {
        let answer = world.keyed(download());
        assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"));
        assert_eq!(answer.header("Set-Cookie"), None);
    }
    let part = world.keyed(download().header("Range", "bytes=2-4"));
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("Content-Range"), Some("bytes 2-4/10"));

    let presign = world
        .keyed(download().header("presignUrl", "true"))
        .failure();
    assert_eq!(presign.0, 400);
    assert!(presign.2.contains("presignUrl is not available"));

    let counted = world.keyed(download().header("increaseCounter", "true"));
    assert_eq!(counted.status, 200);
    assert_eq!(
        world.keyed(download()).failure(),
        (404, 5, "file not found".to_owned())
    );
}
