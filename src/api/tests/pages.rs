//! What recipients see: the page, the password, and that nothing looks like nothing else.

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";

fn unlock(id: &str, body: &str) -> Ask {
    ask(Method::Post, &format!("/d?id={id}")).body(FORM, body.as_bytes())
}

/// An answer but for the fields that differ by nature.
fn looks(answer: &Answer) -> (u16, Vec<(&'static str, String)>, String) {
    (answer.status, answer.headers.clone(), answer.text())
}

#[test]
fn a_link_has_a_page_under_each_of_its_addresses_and_looking_counts_nothing() {
    let world = World::new();
    let id = world.text(b"abc", &[]);
    for target in [
        format!("/d?id={id}"),
        format!("/d?x=1&id={id}"),
        format!("/d/{id}"),
        format!("/d/{id}/"),
        format!("/d/{id}/any%20name.txt"),
    ] {
        for _ in 0..3 {
            let page = world.ask(get(&target));
            assert_eq!(page.status, 200, "{target}");
            assert!(page.text().contains("<bdi>a.txt</bdi>"));
            assert_eq!(page.header("Set-Cookie"), None);
        }
    }
    let head = world.ask(ask(Method::Head, &format!("/d?id={id}")));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn unknown_expired_used_up_and_deleted_look_the_same() {
    let world = World::new();
    let deleted = world.text(b"1", &[]);
    world.keyed(get("/api/files/delete").header("id", &deleted));
    let hidden = world.text(b"2", &[]);
    world.keyed(
        get("/api/files/delete")
            .header("id", &hidden)
            .header("delay", "60"),
    );
    let used_up = world.text(b"3", &[]);
    let first = world.ask(get(&format!("/downloadFile?id={used_up}")));
    assert_eq!(first.status, 200);
    let expired = world.text(b"4", &[("expiryDays", "-1"), ("password", "p")]);
    let unknown = "abcdefghabcdefghabcdef";
    let wanted = looks(&world.ask(get("/no/such/page")));
    assert_eq!(wanted.0, 404);
    for id in [
        &deleted, &hidden, &used_up, &expired, unknown, "", "x", "../x",
    ] {
        for target in [
            format!("/d?id={id}"),
            format!("/downloadFile?id={id}"),
            format!("/d/{id}/name"),
            format!("/dh/{id}/name"),
            format!("/h/{id}.png"),
            format!("/hotlink/{id}"),
        ] {
            // An address for each: unknown ids are limited.
            let octet = u8::try_from(target.len() + id.len()).unwrap();
            let from = IpAddr::V4(Ipv4Addr::new(10, octet, id.len() as u8, 1));
            assert_eq!(
                looks(&world.ask(get(&target).from(from))),
                wanted,
                "{target}"
            );
        }
        let post = unlock(id, "password=p").from(AWAY);
        assert_eq!(looks(&world.ask(post)), wanted, "unlocking {id:?}");
    }
    for target in ["/d", "/d?", "/d?id", "/downloadFile", "/dh/", "/h/"] {
        assert_eq!(
            looks(&world.ask(get(target).from(HOME))),
            wanted,
            "{target}"
        );
    }
}

#[test]
fn who_guesses_ids_is_slowed_down_and_others_are_not() {
    let world = World::new();
    let id = world.text(b"abc", &[]);
    let guess = |n: u32| world.ask(get(&format!("/d?id=guess{n:017}")).from(AWAY));
    let last = (0..100).map(guess).last().unwrap();
    assert_eq!(last.status, 429);
    let wait: u64 = last.header("Retry-After").unwrap().parse().unwrap();
    assert!(wait > 0);
    assert!(last.text().contains("Too many attempts"));
    assert_eq!(world.ask(get(&format!("/d?id={id}"))).status, 200);
}

#[test]
fn a_password_hides_everything_until_it_is_given() {
    let world = World::new();
    let hotlinked = world.upload(
        "secret name.png",
        "image/png",
        b"\x89PNG\r\n\x1a\nrest",
        &[("password", "open sesame"), ("allowedDownloads", "5")],
    );
    let id = id(&hotlinked);
    let page = world.ask(get(&format!("/d?id={id}")));
    assert_eq!(page.status, 200);
    for told in ["secret name", "12 B", "/dh/", "image/png"] {
        assert!(!page.text().contains(told), "{told}");
    }
    for method in [Method::Get, Method::Head] {
        for target in [
            format!("/downloadFile?id={id}"),
            format!("/dh/{id}/x"),
            format!("/hotlink/{id}"),
        ] {
            let answer = world.ask(ask(method, &target).header("Range", "bytes=0-1"));
            assert_eq!(answer.status, 303, "{target}");
            let page = format!("/d?id={id}");
            assert_eq!(answer.header("Location"), Some(page.as_str()));
            assert_eq!(answer.header("ETag"), None);
        }
    }

    for body in ["password=wrong", "password=", "", "other=open+sesame"] {
        let wrong = world.ask(unlock(&id, body));
        assert_eq!(wrong.status, 403, "{body}");
        assert!(wrong.text().contains("That is not the password."));
        assert_eq!(wrong.header("Set-Cookie"), None);
        assert!(!wrong.text().contains("secret name"));
    }

    let right = world.ask(unlock(&id, "password=open%20sesame"));
    assert_eq!(right.status, 303);
    let page = format!("/d?id={id}");
    assert_eq!(right.header("Location"), Some(page.as_str()));
    let set = right.header("Set-Cookie").unwrap();
    for attribute in [
        "Path=/;",
        "Max-Age=300",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
    ] {
        assert!(set.contains(attribute), "{attribute} is not in {set}");
    }
    let cookie = right.cookie().unwrap();
    let shown = world.ask(get(&page).header("Cookie", cookie));
    assert!(shown.text().contains("secret name.png"));
    let file = get(&format!("/downloadFile?id={id}")).header("Cookie", cookie);
    assert_eq!(world.ask(file).body, b"\x89PNG\r\n\x1a\nrest");

    world.wait(301);
    let late = world.ask(get(&page).header("Cookie", cookie));
    assert!(!late.text().contains("secret name"), "the cookie is over");
}

#[test]
fn the_cookie_of_one_link_opens_no_other() {
    let world = World::new();
    let lock = |bytes: &[u8]| world.text(bytes, &[("password", "same"), ("allowedDownloads", "9")]);
    let (one, other) = (lock(b"one"), lock(b"other"));
    let right = world.ask(unlock(&one, "password=same"));
    let value = right.cookie().unwrap().split_once('=').unwrap().1;
    let asked = |id: &str, value: &str| {
        let cookie = format!("unlock_{id}={value}");
        let file = get(&format!("/downloadFile?id={id}")).header("Cookie", &cookie);
        world.ask(file).status
    };
    assert_eq!(asked(&one, value), 200);
    assert_eq!(asked(&other, value), 303);
    let mut changed = value.to_owned();
    let last = if changed.ends_with('A') { "B" } else { "A" };
    changed.replace_range(changed.len() / 2..=changed.len() / 2, last);
    for forged in ["", "x", &changed, &value[..value.len() - 2]] {
        if forged != value {
            assert_eq!(asked(&one, forged), 303, "{forged}");
        }
    }
}

#[test]
fn passwords_are_not_to_be_guessed_in_a_row() {
    let world = World::new();
    let id = world.text(b"abc", &[("password", "right")]);
    let statuses: Vec<u16> = (0..40)
        .map(|_| world.ask(unlock(&id, "password=wrong")).status)
        .collect();
    assert_eq!((statuses[0], statuses[39]), (403, 429));
    let limited = world.ask(unlock(&id, "password=right"));
    assert_eq!(limited.status, 429, "not even the right one");
    assert!(limited.header("Retry-After").is_some());
}

#[test]
fn a_form_over_the_limit_is_refused() {
    let world = World::new();
    let id = world.text(b"abc", &[("password", "right")]);
    let body = format!("password={}", "x".repeat(10_000));
    assert_eq!(world.ask(unlock(&id, &body)).status, 413);
    let longest = format!("password={}", "%41".repeat(1024));
    assert_eq!(world.ask(unlock(&id, &longest)).status, 403);
}

#[test]
fn hostile_names_are_harmless_on_the_page_and_in_the_headers() {
    let world = World::new();
    let harmless = world.text(b"abc", &[]);
    let count = |page: &str| page.matches('<').count();
    let wanted = count(&world.ask(get(&format!("/d?id={harmless}"))).text());
    for name in [
        "<script>alert(1)<\u{2044}script>",
        "<img src=x onerror=alert(1)>.png",
        "\"><svg onload=alert(1)>",
        "a\r\nSet-Cookie: pwned=1",
        "a\"; filename=evil.exe; x=\"",
        "\u{202e}gpj.exe",
        "{{ 7 * 7 }}",
    ] {
        let info = world.upload(name, "text/html", b"<script>alert(1)</script>", &[]);
        let id = id(&info);
        let page = world.ask(get(&format!("/d?id={id}")));
        assert_eq!(count(&page.text()), wanted, "{name:?}");
        let file = world.ask(get(&format!("/downloadFile?id={id}")));
        for (field, value) in &file.headers {
            assert!(
                value.bytes().all(|b| (0x20..0x7f).contains(&b)),
                "{field}: {value}"
            );
        }
        let disposition = file.header("Content-Disposition").unwrap();
        assert!(
            disposition.starts_with("attachment; filename=\""),
            "{disposition}"
        );
        assert_eq!(disposition.matches('"').count(), 2, "{disposition}");
    }
}

#[test]
fn the_small_pages_are_there() {
    let world = World::new();
    let start = world.ask(get("/"));
    assert_eq!(start.status, 200);
    assert!(start.text().contains("Mayfly") && start.text().contains("curl -H"));
    let robots = world.ask(get("/robots.txt"));
    assert_eq!(robots.text(), "User-agent: *\nDisallow: /\n");
    let style = world.ask(get("/assets/style.css?v=1"));
    assert_eq!(
        style.header("Content-Type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(world.ask(get("/assets/icon.svg")).status, 200);
    for target in ["/assets/logo", "/assets/favicon?v=1", "/favicon.ico"] {
        let icon = world.ask(get(target));
        assert_eq!(icon.status, 200, "{target}");
        assert_eq!(icon.header("Content-Type"), Some("image/svg+xml"));
        let head = world.ask(ask(Method::Head, target));
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    assert_eq!(world.ask(get("/assets/../api.rs")).status, 404);
    assert_eq!(world.ask(get("/health")).text(), "ok\n");
    assert_eq!(world.ask(get("/ready")).status, 200);
}

#[test]
fn a_server_that_is_not_ready_says_so_and_not_why() {
    let mut world = World::new();
    world.api.ready = Box::new(|| Err("the disk /dev/sda is gone".to_owned()));
    let answer = world.ask(get("/ready"));
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "not ready\n")
    );
    assert!(answer.header("Retry-After").is_some());
    assert_eq!(world.ask(get("/health")).status, 200);
}

#[test]
fn pages_name_the_methods_that_they_take() {
    let world = World::new();
    for (method, target, allowed) in [
        (Method::Delete, "/d?id=abcdefgh", "GET, HEAD, POST"),
        (Method::Post, "/downloadFile?id=abcdefgh", "GET, HEAD"),
        (Method::Put, "/", "GET, HEAD"),
        (Method::Options, "/health", "GET, HEAD"),
    ] {
        let answer = world.ask(ask(method, target));
        assert_eq!(answer.status, 405, "{target}");
        assert_eq!(answer.header("Allow"), Some(allowed));
    }
}

#[test]
fn a_server_below_a_path_sets_cookies_and_leads_below_it() {
    let world = World::with(|settings| settings.base_url = format!("{BASE}/files"));
    let info = world.upload("a", "text/plain", b"abc", &[("password", "p")]);
    assert!(
        info["url"]
            .as_str()
            .unwrap()
            .starts_with("https://share.example/files/d?id=")
    );
    let right = world.ask(unlock(&id(&info), "password=p"));
    assert!(
        right
            .header("Location")
            .unwrap()
            .starts_with("/files/d?id=")
    );
    assert!(
        right
            .header("Set-Cookie")
            .unwrap()
            .contains("Path=/files/;")
    );
}
