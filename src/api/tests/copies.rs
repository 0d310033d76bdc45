//! The calls that make another link of a file, and that give a link another file.

use super::*;

fn duplicate(id: &str) -> Ask {
    ask(Method::Post, "/api/files/duplicate").header("id", id)
}

fn replace(id: &str, by: &str) -> Ask {
    ask(Method::Put, "/api/files/replace")
        .header("id", id)
        .header("idNewContent", by)
}

impl World {
    fn download(&self, id: &str) -> Answer {
        self.ask(get(&format!("/downloadFile?id={id}")))
    }
}

#[test]
fn a_duplicate_is_shown_as_a_file_with_its_own_limits() {
    let world = World::new();
    let fields = [("allowedDownloads", "7"), ("expiryDays", "3")];
    let first = world.upload("a.txt", "text/plain", b"abc", &fields);
    let same = world.keyed(duplicate(&id(&first)));
    assert_eq!(same.status, 200, "{}", same.text());
    let same = same.json();
    let shown = get(&format!("/api/files/list/{}", id(&same)));
    assert_eq!(
        world.keyed(shown).json(),
        same,
        "all 24 fields, and no more around them"
    );
    assert_ne!(same["Id"], first["Id"]);
    for key in [
        "Name",
        "Size",
        "ContentType",
        "ExpireAt",
        "DownloadsRemaining",
        "UploaderId",
    ] {
        assert_eq!(same[key], first[key], "{key}");
    }
    let other = duplicate(&id(&first))
        .header("allowedDownloads", "2")
        .header("expiryDays", "0")
        .header("filename", "übung.txt");
    let other = world.keyed(other).json();
    assert_eq!(other["Name"], "übung.txt");
    assert_eq!(
        (
            &other["DownloadsRemaining"],
            &other["UnlimitedTime"],
            &other["UnlimitedDownloads"]
        ),
        (&Json::from(2), &Json::from(true), &Json::from(false))
    );
    assert_eq!(world.download(&id(&other)).body, b"abc");
    let still = world
        .keyed(get(&format!("/api/files/list/{}", id(&first))))
        .json();
    assert_eq!(still, first, "the first one is as it was");
}

#[test]
fn parameters_of_a_duplicate_come_from_wherever_scripts_put_them() {
    let world = World::new();
    let first = world.text(b"abc", &[]);
    let form = "application/x-www-form-urlencoded";
    let target = "/api/files/duplicate";
    let asks = [
        get(target)
            .header("id", &first)
            .header("allowedDownloads", "5")
            .header("filename", "b c.txt"),
        ask(
            Method::Post,
            &format!("{target}?id={first}&allowedDownloads=5&filename=b+c.txt"),
        ),
        ask(Method::Put, target).body(
            form,
            format!("id={first}&allowedDownloads=5&filename=b%20c.txt").as_bytes(),
        ),
        ask(
            Method::Post,
            &format!("{target}?id={first}&allowedDownloads=9"),
        )
        .header("allowedDownloads", "5")
        .body(form, b"filename=b+c.txt&id=nonsense"),
    ];
    for ask in asks {
        let answer = world.keyed(ask);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let file = answer.json();
        assert_eq!(
            (&file["Name"], &file["DownloadsRemaining"]),
            (&Json::from("b c.txt"), &Json::from(5))
        );
    }
    let empty = duplicate(&first)
        .header("filename", "")
        .header("allowedDownloads", "")
        .header("expiryDays", "");
    assert_eq!(world.keyed(empty).json()["Name"], "a.txt");
}

#[test]
fn faults_of_a_duplicate_have_the_words_of_gokapi() {
    let world = World::new();
    let first = world.text(b"abc", &[]);
    let target = "/api/files/duplicate";
    for missing in [get(target), get("/api/files/duplicate?id="), duplicate("")] {
        assert_eq!(
            world.keyed(missing).failure(),
            (400, 4, "header id is required".to_owned())
        );
    }
    for name in ["allowedDownloads", "expiryDays", "originalPassword"] {
        let text = format!("invalid value in header {name} supplied");
        assert_eq!(
            world
                .keyed(duplicate(&first).header(name, "some"))
                .failure(),
            (400, 4, text)
        );
    }
    for unknown in ["abcdefghabcdefgh", "../etc/passwd", &first[1..]] {
        assert_eq!(
            world.keyed(duplicate(unknown)).failure(),
            (404, 5, "Invalid id provided.".to_owned())
        );
    }
    let long = duplicate(&first).header("password", &"x".repeat(2_000));
    assert_eq!(world.keyed(long).failure().1, 10);
}

#[test]
fn a_duplicate_keeps_the_password_unless_told_otherwise() {
    let world = World::new();
    let first = world.text(b"abc", &[("password", "first")]);
    let copy = |ask: Ask| {
        let file = world.keyed(ask).json();
        let protected = file["IsPasswordProtected"].as_bool().unwrap();
        let page = format!("/d?id={}", id(&file));
        let opens = |password: &str| {
            let form = format!("password={password}");
            let ask = ask_password(&page, &form);
            world.ask(ask).cookie().is_some()
        };
        (protected, opens("first"), opens("other"))
    };
    assert_eq!(copy(duplicate(&first)), (true, true, false));
    let original = |value| duplicate(&first).header("originalPassword", value);
    assert_eq!(copy(original("true")), (true, true, false));
    let both = original("true").header("password", "other");
    assert_eq!(copy(both), (true, true, false));
    let other = original("false").header("password", "other");
    assert_eq!(copy(other), (true, false, true));
    let none = duplicate(&first).header("password", "");
    assert_eq!(copy(none), (false, false, false));
}

fn ask_password(target: &str, form: &str) -> Ask {
    ask(Method::Post, target).body("application/x-www-form-urlencoded", form.as_bytes())
}

#[test]
fn a_link_gets_another_file_and_the_donor_goes_when_it_shall() {
    let world = World::new();
    let fields = [("allowedDownloads", "5")];
    let old = world.upload("old.txt", "text/plain", b"old", &fields);
    let new = world.upload("new.bin", "application/x-new", b"newer", &[]);
    let answer = world.keyed(replace(&id(&old), &id(&new)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let file = answer.json();
    for key in ["Id", "UploadDate", "ExpireAt", "DownloadsRemaining"] {
        assert_eq!(file[key], old[key], "{key}");
    }
    for key in ["Name", "Size", "SizeBytes", "ContentType"] {
        assert_eq!(file[key], new[key], "{key}");
    }
    let body = world.download(&id(&old));
    assert_eq!(body.body, b"newer");
    assert_eq!(body.header("Content-Type"), Some("application/x-new"));
    let third = world.text(b"third", &[]);
    let form = format!("id={}&idNewContent={third}&deleteNewFile=true", id(&old));
    let by_form = ask_password("/api/files/replace", &form);
    assert_eq!(world.keyed(by_form).json()["Name"], "a.txt");
    assert_eq!(world.download(&id(&old)).body, b"third");
    assert_eq!(world.download(&third).status, 404);
    assert_eq!(world.download(&id(&new)).status, 200);
}

#[test]
fn faults_of_a_replacement_have_codes_and_change_nothing() {
    let world = World::new();
    let one = world.text(b"one", &[]);
    let two = world.text(b"two", &[]);
    let target = "/api/files/replace";
    let missing = |ask: Ask| world.keyed(ask).failure();
    assert_eq!(
        missing(get(target)),
        (400, 4, "header id is required".to_owned())
    );
    let only_id = get(target).header("id", &one);
    let text = "header idNewContent is required".to_owned();
    assert_eq!(missing(only_id), (400, 4, text));
    let flag = replace(&one, &two).header("deleteNewFile", "perhaps");
    let text = "invalid value in header deleteNewFile supplied".to_owned();
    assert_eq!(missing(flag), (400, 4, text));
    for (id, by) in [("abcdefghabcdefgh", &two[..]), (&one, "abcdefghabcdefgh")] {
        let (status, code, _) = world.keyed(replace(id, by)).failure();
        assert_eq!((status, code), (404, 5));
    }
    let itself = replace(&one, &one).header("deleteNewFile", "true");
    assert_eq!(world.keyed(itself).failure().1, 10);
    assert_eq!(world.download(&one).body, b"one");
    assert_eq!(world.download(&two).body, b"two");
}

#[test]
fn a_file_is_given_to_another_account_where_the_server_has_its_key() {
    let with_mode = |encryption| {
        World::built(
            MemoryStore::new(None),
            |_| (),
            |policy| policy.encryption = encryption,
        )
    };
    let give = |id: &str, to: &str| {
        ask(Method::Put, "/api/files/changeOwner")
            .header("id", id)
            .header("newOwner", to)
    };
    let world = with_mode(Encryption::Server);
    let bob = world.api.service.add_account("bob", "battery staple");
    let bob = bob.unwrap().key.key.reveal().to_owned();
    let id = world.text(b"abc", &[]);
    let form = format!("id={id}&newOwner=2");
    let given = world.keyed(ask_password("/api/files/changeOwner", &form));
    assert_eq!(given.status, 200, "{}", given.text());
    assert_eq!(given.json()["UploaderId"], 2);
    let one = get(&format!("/api/files/list/{id}"));
    assert_eq!(world.ask(one.header("apikey", &bob)).json(), given.json());
    assert_eq!(world.keyed(get("/api/files/list")).text(), "[]");
    let text = "User does not exist".to_owned();
    for nobody in ["99", "-1"] {
        assert_eq!(
            world.keyed(give(&id, nobody)).failure(),
            (400, 5, text.clone())
        );
    }
    let text = "invalid value in header newOwner supplied".to_owned();
    assert_eq!(world.keyed(give(&id, "bob")).failure(), (400, 4, text));
    let text = "header newOwner is required".to_owned();
    assert_eq!(world.keyed(give(&id, "")).failure(), (400, 4, text));
    let text = "Invalid file ID provided.".to_owned();
    assert_eq!(
        world.keyed(give("abcdefghabcdefgh", "2")).failure(),
        (404, 5, text)
    );

    let world = with_mode(Encryption::Link);
    world
        .api
        .service
        .add_account("bob", "battery staple")
        .unwrap();
    let id = world.text(b"abc", &[]);
    let (status, code, text) = world.keyed(give(&id, "2")).failure();
    assert_eq!((status, code), (400, 10));
    assert!(text.contains("encryption = \"server\""), "{text}");
}
