//! Downloads: ranges, conditions, what counts, and what browsers are told.

use super::*;
use crate::store::Store;

const TEXT: &[u8] = b"0123456789abcdefghij";

/// A file with many downloads, and where it is.
fn shared(world: &World) -> String {
    let id = world.text(TEXT, &[("allowedDownloads", "0")]);
    format!("/downloadFile?id={id}")
}

#[test]
fn a_download_comes_with_everything_that_a_client_needs() {
    let world = World::new();
    let answer = world.ask(get(&shared(&world)));
    assert_eq!((answer.status, answer.body.as_slice()), (200, TEXT));
    assert_eq!(answer.length, Some(TEXT.len() as u64));
    for (name, value) in [
        ("Content-Type", "text/plain"),
        (
            "Content-Disposition",
            "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt",
        ),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "no-store, no-cache, no-transform"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; sandbox"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Referrer-Policy", "no-referrer"),
        ("Last-Modified", "Fri, 15 Jan 2027 08:00:00 GMT"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let etag = answer.header("ETag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10);
}

#[test]
fn a_file_whose_bytes_are_lost_is_gone_and_not_an_error_to_try_again() {
    let store = MemoryStore::new(None);
    let world = World::on(store.clone(), |_| ());
    let link = shared(&world);
    for blob in store.list(None, 10).unwrap() {
        store.delete(&blob).unwrap();
    }
    assert_eq!(world.ask(get(&link)).status, 410);
}

#[test]
fn ranges_are_answered_exactly() {
    let world = World::new();
    let file = shared(&world);
    for (range, status, content_range, body) in [
        ("bytes=0-", 206, Some("bytes 0-19/20"), TEXT),
        ("bytes=2-4", 206, Some("bytes 2-4/20"), &TEXT[2..5]),
        ("bytes=19-", 206, Some("bytes 19-19/20"), &TEXT[19..]),
        ("bytes=-5", 206, Some("bytes 15-19/20"), &TEXT[15..]),
        ("bytes=-99", 206, Some("bytes 0-19/20"), TEXT),
        (
            "bytes=5-18446744073709551615",
            206,
            Some("bytes 5-19/20"),
            &TEXT[5..],
        ),
        ("bytes=20-", 416, Some("bytes */20"), b""),
        ("bytes=-0", 416, Some("bytes */20"), b""),
        ("bytes=5-4", 200, None, TEXT),
        ("bytes=x", 200, None, TEXT),
        ("lines=1-2", 200, None, TEXT),
    ] {
        let answer = world.ask(get(&file).header("Range", range));
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.header("Content-Range"), content_range, "{range}");
        assert_eq!(answer.body, body, "{range}");
    }
    let many: String = (0..1000).map(|n| format!("{n}-{n},")).collect();
    let answer = world.ask(get(&file).header("Range", &format!("bytes={many}")));
    assert_eq!(answer.status, 416);
    let head = world.ask(ask(Method::Head, &file).header("Range", "bytes=2-4"));
    assert_eq!((head.status, head.length), (200, Some(20)));
}

#[test]
fn several_ranges_come_as_parts() {
    let world = World::new();
    let answer = world.ask(get(&shared(&world)).header("Range", "bytes=0-1,5-6,-2"));
    assert_eq!(answer.status, 206);
    assert_eq!(answer.length, Some(answer.body.len() as u64));
    let kind = answer.header("Content-Type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let part = |range: &str, bytes: &str| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/20\r\n\r\n{bytes}"
        )
    };
    let wanted = part("0-1", "01") + &part("5-6", "56") + &part("18-19", "ij");
    assert_eq!(answer.text(), format!("{wanted}\r\n--{boundary}--\r\n"));
}

#[test]
fn conditions_are_kept_to() {
    let world = World::new();
    let file = shared(&world);
    let etag = world.ask(get(&file)).header("ETag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    let modified = "Fri, 15 Jan 2027 08:00:00 GMT";
    let earlier = "Fri, 15 Jan 2027 07:59:59 GMT";
    let status = |headers: &[(&str, &str)]| {
        let mut ask = get(&file);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        let answer = world.ask(ask);
        assert_eq!(answer.header("ETag"), Some(etag.as_str()));
        if answer.status == 304 || answer.status == 412 {
            assert!(answer.body.is_empty());
        }
        answer.status
    };
    let range = ("Range", "bytes=2-4");
    assert_eq!(status(&[("If-None-Match", &etag)]), 304);
    assert_eq!(status(&[("If-None-Match", &weak)]), 304);
    assert_eq!(status(&[("If-None-Match", "*")]), 304);
    assert_eq!(status(&[("If-None-Match", "\"other\"")]), 200);
    assert_eq!(status(&[("If-Modified-Since", modified)]), 304);
    assert_eq!(status(&[("If-Modified-Since", earlier)]), 200);
    assert_eq!(status(&[("If-Match", &etag)]), 200);
    assert_eq!(status(&[("If-Match", "\"other\"")]), 412);
    assert_eq!(status(&[("If-Unmodified-Since", earlier)]), 412);
    assert_eq!(status(&[range, ("If-Range", &etag)]), 206);
    assert_eq!(status(&[range, ("If-Range", modified)]), 206);
    assert_eq!(status(&[range, ("If-Range", "\"other\"")]), 200);
    assert_eq!(status(&[range, ("If-Range", &weak)]), 200);
    assert_eq!(status(&[range, ("If-Range", earlier)]), 200);
    assert_eq!(status(&[range, ("If-None-Match", &etag)]), 304);
}

#[test]
fn only_complete_downloads_count() {
    let world = World::new();
    let id = world.text(TEXT, &[("allowedDownloads", "1")]);
    let file = format!("/downloadFile?id={id}");
    let etag = world
        .ask(ask(Method::Head, &file))
        .header("ETag")
        .unwrap()
        .to_owned();
    for ask in [
        ask(Method::Head, &file),
        get(&file).header("If-None-Match", &etag),
        get(&file).header("Range", "bytes=99-"),
        get(&format!("/d?id={id}")),
    ] {
        world.ask(ask);
    }
    let broken = world.ask(get(&file).takes(7));
    assert!(!broken.whole);
    let cookie = broken.cookie().unwrap();
    let rest = get(&file)
        .header("Range", "bytes=7-")
        .header("If-Range", &etag)
        .header("Cookie", cookie)
        .from(AWAY);
    let rest = world.ask(rest);
    assert_eq!((rest.status, rest.body.as_slice()), (206, &TEXT[7..]));
    assert_eq!(world.ask(get(&file)).status, 404, "that was the one");
}

#[test]
fn while_the_last_download_runs_others_are_told_to_wait() {
    let world = World::new();
    let id = world.text(TEXT, &[]);
    let file = format!("/downloadFile?id={id}");
    let broken = world.ask(get(&file).takes(3));
    let set = broken.header("Set-Cookie").unwrap();
    for attribute in [
        format!("lease_{id}="),
        "Path=/downloadFile;".to_owned(),
        "Max-Age=".to_owned(),
        "HttpOnly".to_owned(),
        "SameSite=Lax".to_owned(),
        "Secure".to_owned(),
    ] {
        assert!(set.contains(&attribute), "{attribute} is not in {set}");
    }
    let busy = world.ask(get(&file).from(AWAY));
    assert_eq!(busy.status, 429);
    assert!(busy.header("Retry-After").is_some());
    assert!(busy.text().contains("in progress"));
    world.wait(601);
    assert_eq!(world.ask(get(&file).from(AWAY)).body, TEXT, "it came back");
    assert_eq!(world.ask(get(&file)).status, 404);
}

#[test]
fn cookies_go_back_to_where_they_came_from_only() {
    let world = World::new();
    let id = world.text(TEXT, &[("allowedDownloads", "9")]);
    for (target, path) in [
        (
            format!("/downloadFile?id={id}"),
            "Path=/downloadFile;".to_owned(),
        ),
        (format!("/dh/{id}/a%20b.txt"), format!("Path=/dh/{id};")),
        (format!("/hotlink/{id}"), format!("Path=/hotlink/{id};")),
    ] {
        let answer = world.ask(get(&target).from(AWAY));
        let set = answer.header("Set-Cookie").unwrap();
        assert!(set.contains(&path), "{path} is not in {set}");
        let free = World::with(|settings| settings.secure_cookies = false);
        let id = free.text(TEXT, &[]);
        let plain = free.ask(get(&format!("/dh/{id}/x")));
        assert!(!plain.header("Set-Cookie").unwrap().contains("Secure"));
    }
    let free = world.text(b"x", &[("allowedDownloads", "0")]);
    let answer = world.ask(get(&format!("/downloadFile?id={free}")));
    assert_eq!(answer.header("Set-Cookie"), None, "nothing to continue");
}

#[test]
fn an_empty_file_is_a_file() {
    let world = World::new();
    let id = world.text(b"", &[]);
    let file = format!("/downloadFile?id={id}");
    let head = world.ask(ask(Method::Head, &file));
    assert_eq!((head.status, head.length), (200, Some(0)));
    let answer = world.ask(get(&file).header("Range", "bytes=0-"));
    assert_eq!(answer.status, 416);
    let answer = world.ask(get(&file));
    assert_eq!((answer.status, answer.length), (200, Some(0)));
    assert_eq!(world.ask(get(&file)).status, 404);
}

#[test]
fn only_what_is_harmless_and_what_it_says_is_shown() {
    let world = World::new();
    let png: &[u8] = b"\x89PNG\r\n\x1a\n0000000000";
    for (name, kind, bytes, shown) in [
        ("a.png", "image/png", png, Some("image/png")),
        (
            "a.txt",
            "text/plain",
            TEXT,
            Some("text/plain; charset=utf-8"),
        ),
        ("a.svg", "image/svg+xml", b"<svg onload=alert(1)>", None),
        ("a.html", "text/html", b"<script>alert(1)</script>", None),
        ("a.png", "image/png", b"<svg onload=alert(1)>", None),
        ("a.txt", "text/plain", b"<script>alert(1)</script>", None),
        ("a.pdf", "application/pdf", b"%PDF-1.7", None),
        ("a.xml", "text/xml", b"<?xml version=\"1.0\"?>", None),
        ("a.js", "text/javascript", b"alert(1)", None),
    ] {
        let info = world.upload(name, kind, bytes, &[("allowedDownloads", "0")]);
        let answer = world.ask(get(&format!("/hotlink/{}", id(&info))));
        assert_eq!(answer.body, bytes);
        let disposition = answer.header("Content-Disposition").unwrap();
        let wanted = if shown.is_some() {
            "inline"
        } else {
            "attachment"
        };
        assert!(disposition.starts_with(wanted), "{kind}: {disposition}");
        assert_eq!(answer.header("Content-Type"), Some(shown.unwrap_or(kind)));
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(
            answer.header("Content-Security-Policy"),
            Some("default-src 'none'; sandbox")
        );
        assert_eq!(
            answer.header("Cross-Origin-Resource-Policy"),
            Some("cross-origin")
        );
        // Through its link, it is always saved.
        let saved = world.ask(get(&format!("/downloadFile?id={}", id(&info))));
        let disposition = saved.header("Content-Disposition").unwrap();
        assert!(disposition.starts_with("attachment"));
    }
}

#[test]
fn an_image_has_a_hotlink_id_that_opens_it_and_nothing_else() {
    let world = World::new();
    let png: &[u8] = b"\x89PNG\r\n\x1a\n0000000000";
    let info = world.upload("Photo.PNG", "image/png", png, &[("allowedDownloads", "0")]);
    let hotlink = info["HotlinkId"].as_str().unwrap();
    assert_eq!(hotlink.len(), 44, "40 characters and the extension");
    assert_eq!(info["UrlHotlink"], format!("{BASE}/h/{hotlink}"));
    let bare = hotlink.strip_suffix(".png").unwrap();
    for target in [
        format!("/h/{hotlink}"),
        format!("/h/{bare}"),
        format!("/hotlink/{hotlink}"),
    ] {
        assert_eq!(world.ask(get(&target)).body, png, "{target}");
    }
    for target in [format!("/d?id={bare}"), format!("/downloadFile?id={bare}")] {
        assert_eq!(world.ask(get(&target)).status, 404, "{target}");
    }
    let closed = World::with(|settings| settings.hotlink_protection = true);
    let info = closed.upload("a.png", "image/png", png, &[]);
    assert_eq!(info["HotlinkId"], "");
    assert_eq!(
        info["UrlHotlink"],
        format!("{BASE}/downloadFile?id={}", id(&info))
    );
    assert_eq!(closed.ask(get(&format!("/h/{}", id(&info)))).status, 404);
}

#[test]
fn five_thousand_names_make_five_thousand_sound_dispositions() {
    // A plain generator: the same names every time, from every plane that names come from.
    let mut seed = 7u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    for _ in 0..5000 {
        let name: String = (0..next() % 40)
            .filter_map(|_| match next() % 4 {
                0 => char::from_u32(next() % 0x80),
                1 => char::from_u32(next() % 0x800),
                2 => char::from_u32(next() % 0x1_0000),
                _ => "\"\\/;%'= \r\n\0".chars().nth((next() % 11) as usize),
            })
            .collect();
        let value = crate::http::disposition::Disposition::Attachment.with_name(&name);
        assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{value}");
        let (fallback, extended) = value
            .strip_prefix("attachment; filename=\"")
            .and_then(|rest| rest.split_once("\"; filename*=UTF-8''"))
            .unwrap_or_else(|| panic!("{value}"));
        assert!(!fallback.contains(['"', '\\', '/']), "{value}");
        let decoded = percent_encoding::percent_decode_str(extended).decode_utf8();
        assert!(decoded.is_ok(), "{value}");
    }
}
