//! The newcomer's story, with the tools and the words of the documentation: real `curl`, real `jq`,
//! a real server. Whatever happens inside, these lines have to work.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;
use support::{Blobs, Launch, Payload, Server, Shell, have, in_buckets, removal, within};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

fn tools() -> bool {
    have("curl") && have("jq")
}

#[test]
fn a_newcomer_uploads_opens_the_link_and_the_file_is_gone_after_its_download() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    shell.write("report.pdf", Payload::fresh(100_000).bytes());
    shell.run(
        r#"curl -sS -X POST $URL/api/files/add \
             -H "apikey: $API_KEY" \
             -F "file=@report.pdf" \
             -F "allowedDownloads=1" \
             -F "expiryDays=7" > answer.json"#,
    );
    assert_eq!(shell.run("jq -r .result answer.json"), "OK");
    assert_eq!(shell.run("jq -r .fileInfo.name answer.json"), "report.pdf");
    assert_eq!(
        shell.run("jq -r .fileInfo.remainingDownloads answer.json"),
        "1"
    );
    let days = shell.run("jq '(.fileInfo.expiry - now) / 86400 | round' answer.json");
    assert_eq!(days, "7");
    let link = shell.run("jq -r .fileInfo.url answer.json");
    assert!(link.starts_with(&format!("{}/d?id=", server.url)), "{link}");

    // The page shows what there is, and looking at it is free.
    for _ in 0..3 {
        let page = shell.run("curl -sSf $(jq -r .fileInfo.url answer.json)");
        assert!(page.contains("report.pdf"), "{page}");
    }
    shell.run("curl -sSfI $URL/downloadFile?id=$(jq -r .fileInfo.id answer.json)");

    shell.run("curl -sSf -OJ $URL/downloadFile?id=$(jq -r .fileInfo.id answer.json) --output-dir $(mkdir got && echo got)");
    shell.run("cmp report.pdf got/report.pdf");

    // The second time there is nothing, neither the page nor the bytes.
    for path in ["d", "downloadFile"] {
        let script = format!(
            "curl -sS -o /dev/null -w '%{{http_code}}' $URL/{path}?id=$(jq -r .fileInfo.id answer.json)"
        );
        assert_eq!(shell.run(&script), "404", "{path}");
    }
    assert!(
        within(removal(), || Blobs::in_dir(&server.dir)
            .published
            .is_empty()),
        "the bytes are gone at once"
    );
    assert_eq!(
        shell.run(r#"curl -sS -H "apikey: $API_KEY" $URL/api/files/list | jq -c ."#),
        "[]"
    );
}

#[test]
fn the_scripts_of_the_article_run_unchanged() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let mut shell = Shell::beside(&server);
    shell.set("GOKAPI_KEY", &server.key);
    shell.write("app-v1.2.3.apk", Payload::fresh(300_000).bytes());
    let said = shell.run(
        r#"RESPONSE=$(curl -s -X POST $URL/api/files/add \
             -H "apikey: $GOKAPI_KEY" \
             -F "file=@app-v1.2.3.apk" \
             -F "allowedDownloads=10" \
             -F "expiryDays=3")
           DOWNLOAD_URL=$(echo $RESPONSE | jq -r '.fileInfo.url')
           echo $RESPONSE > answer.json
           echo "Build artifact available at: $DOWNLOAD_URL""#,
    );
    assert!(said.contains("/d?id="), "{said}");
    // Both spellings of every answer carry the same values.
    for (article, real) in [
        ("result", "Result"),
        ("fileInfo.id", "FileInfo.Id"),
        ("fileInfo.name", "FileInfo.Name"),
        ("fileInfo.url", "FileInfo.UrlDownload"),
        ("fileInfo.expiry", "FileInfo.ExpireAt"),
        ("fileInfo.remainingDownloads", "FileInfo.DownloadsRemaining"),
    ] {
        let same = shell.run(&format!("jq '.{article} == .{real}' answer.json"));
        assert_eq!(same, "true", "{article} and {real}");
    }
    assert_eq!(
        shell.run(r#"curl -s -H "apikey: $API_KEY" $URL/api/files/list | jq -r '.[].Name'"#),
        "app-v1.2.3.apk"
    );
    shell.run(
        r#"curl -sSf -X DELETE -H "apikey: $API_KEY" \
             $URL/api/files/delete?id=$(jq -r .fileInfo.id answer.json)"#,
    );
    assert_eq!(
        shell.run(r#"curl -s -H "apikey: $API_KEY" $URL/api/files/list | jq -c ."#),
        "[]"
    );
    assert!(within(removal(), || {
        Blobs::in_dir(&server.dir).published.is_empty()
    }));
}

#[test]
fn an_owner_inspects_changes_hides_restores_and_downloads_by_api() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    shell.write("a.txt", "hello world\n");
    shell.run(
        r#"curl -sSf -H "apikey: $API_KEY" -F file=@a.txt $URL/api/files/add | jq -r .FileInfo.Id > id"#,
    );
    let api = |rest: &str| shell.run(&format!(r#"curl -sS -H "apikey: $API_KEY" {rest}"#));

    assert_eq!(
        api("$URL/api/files/list/$(cat id) | jq -r '.Name, .SizeBytes, .DownloadsRemaining'"),
        "a.txt\n12\n1"
    );
    assert_eq!(
        api(
            "-X PUT -H \"id: $(cat id)\" -H 'allowedDownloads: 3' $URL/api/files/modify | jq .DownloadsRemaining"
        ),
        "3"
    );
    // Downloading through the API does not count unless asked to.
    assert_eq!(api("$URL/api/files/download/$(cat id)"), "hello world");
    assert_eq!(
        api("$URL/api/files/list/$(cat id) | jq .DownloadsRemaining"),
        "3"
    );
    assert_eq!(
        api("-H 'increaseCounter: true' $URL/api/files/download/$(cat id)"),
        "hello world"
    );
    assert_eq!(
        api("$URL/api/files/list/$(cat id) | jq -c '[.DownloadsRemaining, .DownloadCount]'"),
        "[2,1]"
    );
    assert_eq!(
        api("-H 'Range: bytes=2-4' $URL/api/files/download/$(cat id)"),
        "llo"
    );

    // Deleted with a delay: hidden at once, restorable.
    assert_eq!(
        api(
            "-X DELETE -H \"id: $(cat id)\" -H 'delay: 600' -w '%{http_code}' $URL/api/files/delete"
        ),
        "200"
    );
    assert_eq!(
        api("-o /dev/null -w '%{http_code}' $URL/d?id=$(cat id)"),
        "404"
    );
    assert_eq!(
        api("$URL/api/files/list | jq '.[0].IsPendingDeletion'"),
        "true"
    );
    assert_eq!(
        api("-X POST -H \"id: $(cat id)\" $URL/api/files/restore | jq -r .Result"),
        "OK"
    );
    assert_eq!(
        api("-o /dev/null -w '%{http_code}' $URL/d?id=$(cat id)"),
        "200"
    );
    // Deleted for good; GET works as gokapi-cli uses it.
    assert_eq!(
        api("-H \"id: $(cat id)\" -o /dev/null -w '%{http_code}' $URL/api/files/delete"),
        "200"
    );
    assert_eq!(
        api("-o /dev/null -w '%{http_code}' $URL/d?id=$(cat id)"),
        "404"
    );
    assert_eq!(api("$URL/api/files/list/$(cat id) | jq .ErrorCode"), "5");
}

#[test]
fn strangers_are_told_in_gokapis_words() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    assert_eq!(
        shell.run(r#"curl -sS -H "apikey: wrong" $URL/api/files/list | jq -c '[.Result, .ErrorMessage, .ErrorCode]'"#),
        r#"["error","Unauthorized",2]"#
    );
    shell.write("a.txt", "x");
    assert_eq!(
        shell.run(r#"curl -sS -o /dev/null -w '%{http_code}' -F file=@a.txt $URL/api/files/add"#),
        "401"
    );
    assert_eq!(
        shell.run(
            r#"curl -sS -H "apikey: $API_KEY" $URL/api/info/version | jq '.VersionInt >= 20205'"#
        ),
        "true"
    );
    for path in ["health", "ready"] {
        shell.run(&format!("curl -sSf $URL/{path}"));
    }
}

#[test]
fn a_password_opens_the_page_for_the_one_who_knows_it() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    shell.write("secret-plans.txt", "the plans\n");
    shell.run(
        r#"curl -sSf -H "apikey: $API_KEY" -F file=@secret-plans.txt -F allowedDownloads=2 \
             -F "password=correct horse" $URL/api/files/add | jq -r .FileInfo.Id > id"#,
    );
    // Nothing of the file is told without the password.
    let page = shell.run("curl -sS $URL/d?id=$(cat id)");
    assert!(!page.contains("secret-plans"), "{page}");
    assert!(page.contains("password"), "{page}");
    let (_, without) = shell.try_run("curl -sS $URL/downloadFile?id=$(cat id)");
    assert!(!without.contains("the plans"));
    shell.run(
        "curl -sS -c jar -b jar --data-urlencode 'password=wrong' $URL/d?id=$(cat id) > wrong.html",
    );
    let (_, still) = shell.try_run("curl -sS -c jar -b jar -L $URL/downloadFile?id=$(cat id)");
    assert!(!still.contains("the plans"));
    // With it, page and bytes open.
    let page = shell.run(
        "curl -sSf -c jar -b jar -L --data-urlencode 'password=correct horse' $URL/d?id=$(cat id)",
    );
    assert!(page.contains("secret-plans.txt"), "{page}");
    let bytes = shell.run("curl -sSf -c jar -b jar $URL/downloadFile?id=$(cat id)");
    assert_eq!(bytes, "the plans");
    // The cookie is bound to this link and is no secret a script could read.
    let jar = String::from_utf8(shell.read("jar")).unwrap();
    assert!(jar.contains("#HttpOnly_"), "{jar}");
    assert!(!jar.contains("correct horse"), "{jar}");
    shell.run(
        r#"curl -sSf -H "apikey: $API_KEY" -F file=@secret-plans.txt -F password=other \
             $URL/api/files/add | jq -r .FileInfo.Id > id2"#,
    );
    let (_, other) = shell.try_run("curl -sS -b jar $URL/downloadFile?id=$(cat id2)");
    assert!(!other.contains("the plans"), "a cookie opened another link");
}

#[test]
fn a_broken_download_is_resumed_by_curl() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    shell.write("big.bin", Payload::fresh(3_000_000).bytes());
    shell.run(
        r#"curl -sSf -H "apikey: $API_KEY" -F file=@big.bin -F allowedDownloads=1 \
             $URL/api/files/add | jq -r .FileInfo.Id > id"#,
    );
    let head = shell
        .run("curl -sSfI $URL/downloadFile?id=$(cat id)")
        .to_lowercase();
    assert!(head.contains("accept-ranges: bytes"), "{head}");
    assert!(head.contains("content-length: 3000000"), "{head}");
    assert!(head.contains("\netag: \""), "{head}");
    // The first megabyte, then the line breaks; the cookie knows whose download it is.
    shell.run("curl -sSf -c jar -r 0-999999 -o got $URL/downloadFile?id=$(cat id)");
    shell.run("curl -sSf -c jar -b jar -C - -o got $URL/downloadFile?id=$(cat id)");
    shell.run("cmp big.bin got");
    assert_eq!(
        shell.run("curl -sS -o /dev/null -w '%{http_code}' $URL/downloadFile?id=$(cat id)"),
        "404",
        "the two parts were one download, and the only one"
    );
}

#[test]
fn if_range_resumes_the_same_bytes_and_restarts_on_others() {
    let server = Server::demo();
    let file = support::Upload::fresh(50_000).downloads(0).to(&server);
    let head = support::fetch(server.address, "HEAD", &file.target(), &[])
        .unwrap()
        .head;
    let etag = head.field("etag").unwrap().to_owned();
    let again = support::fetch(server.address, "HEAD", &file.target(), &[])
        .unwrap()
        .head;
    assert_eq!(again.field("etag"), Some(etag.as_str()), "stable");

    let part = support::get(
        server.address,
        &file.target(),
        &["Range: bytes=40000-", &format!("If-Range: {etag}")],
    );
    assert_eq!((part.status(), part.body.len()), (206, 10_000));
    assert_eq!(
        part.head.field("content-range"),
        Some("bytes 40000-49999/50000")
    );
    let all = support::get(
        server.address,
        &file.target(),
        &["Range: bytes=40000-", "If-Range: \"other\""],
    );
    assert_eq!((all.status(), all.body.len()), (200, 50_000));
    let same = support::get(
        server.address,
        &file.target(),
        &[&format!("If-None-Match: {etag}")],
    );
    assert_eq!(same.status(), 304);
    let beyond = support::get(server.address, &file.target(), &["Range: bytes=50000-"]);
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.head.field("content-range"), Some("bytes */50000"));
}

#[test]
fn every_range_of_a_sealed_file_is_the_right_one() {
    let server = Server::demo();
    let payload = Payload::fresh(100_000);
    let file = support::Upload::of(&payload).downloads(0).to(&server);
    // Around the borders of the 16 KiB segments, and the usual oddities.
    let ranges = [
        (0, 0),
        (0, 99_999),
        (16_383, 16_384),
        (16_384, 16_384),
        (16_384, 32_767),
        (1, 16_384),
        (98_303, 98_304),
        (98_304, 99_999),
        (99_999, 99_999),
        (5_000, 77_777),
    ];
    for (from, last) in ranges {
        let part = support::get(
            server.address,
            &file.target(),
            &[&format!("Range: bytes={from}-{last}")],
        );
        assert_eq!(part.status(), 206, "{from}-{last}");
        assert!(
            part.body == payload.part(from, last + 1),
            "{from}-{last} are other bytes"
        );
    }
    let tail = support::get(server.address, &file.target(), &["Range: bytes=-17"]);
    assert!(tail.body == payload.part(99_983, 100_000));
}

#[test]
fn an_image_can_be_embedded_and_a_page_can_not() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    shell.write(
        "img.png",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89",
    );
    shell.run(
        r#"curl -sSf -H "apikey: $API_KEY" -F "file=@img.png;type=image/png" -F allowedDownloads=0 $URL/api/files/add > answer.json"#,
    );
    let hotlink = shell.run("jq -r .fileInfo.hotlinkUrl answer.json");
    assert!(hotlink.contains("/h"), "{hotlink}");
    let head = shell
        .run("curl -sSf -o got.png -D - $(jq -r .fileInfo.hotlinkUrl answer.json)")
        .to_lowercase();
    shell.run("cmp img.png got.png");
    assert!(head.contains("content-type: image/png"), "{head}");
    assert!(head.contains("content-disposition: inline"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(
        head.contains("content-security-policy:") && head.contains("sandbox"),
        "{head}"
    );

    shell.write(
        "evil.svg",
        "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    );
    shell.run(
        r#"curl -sSf -H "apikey: $API_KEY" -F "file=@evil.svg;type=image/svg+xml" -F allowedDownloads=0 $URL/api/files/add > answer.json"#,
    );
    let head = shell
        .run("curl -sS -o /dev/null -D - $URL/downloadFile?id=$(jq -r .fileInfo.id answer.json)")
        .to_lowercase();
    assert!(head.contains("content-disposition: attachment"), "{head}");
}

#[test]
fn names_of_every_kind_survive_the_way() {
    if !tools() {
        return;
    }
    let server = Server::demo();
    let shell = Shell::beside(&server);
    for name in [
        "üni é 文件.txt",
        "with \"quotes\".txt",
        "semi;colon.txt",
        "percent%20.txt",
        "emoji 🎉.txt",
    ] {
        shell.write(name, name);
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        shell.write(
            "curl.cfg",
            format!(
                "form = \"file=@\\\"{}\\\"\"\n",
                quoted.replace('\\', "\\\\").replace('"', "\\\"")
            ),
        );
        shell
            .run(r#"curl -sSf -H "apikey: $API_KEY" -K curl.cfg $URL/api/files/add > answer.json"#);
        assert_eq!(shell.run("jq -r .fileInfo.name answer.json"), name);
        let head = shell
            .run("curl -sSf -o got -D - $URL/downloadFile?id=$(jq -r .fileInfo.id answer.json)");
        assert_eq!(shell.read("got"), name.as_bytes());
        assert!(head.contains("filename*=UTF-8''"), "{head}");
        assert!(head.is_ascii(), "{head}");
    }
}

#[test]
fn an_empty_file_is_a_file() {
    let server = Server::demo();
    let file = support::Upload::fresh(0).to(&server);
    assert!(server.delivers(&file));
    assert_eq!(server.get(&file.target()).status(), 404);
}

#[test]
fn the_link_is_over_when_its_days_are() {
    if !std::path::Path::new(FAKETIME).exists() {
        eprintln!("LEFT OUT: the end by time with the real process: libfaketime is not installed");
        return;
    }
    let time = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(time.path(), "+0").unwrap();
    let launch = Launch::default()
        .with("LD_PRELOAD", FAKETIME)
        .with("FAKETIME_TIMESTAMP_FILE", time.path().to_str().unwrap())
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut server = Server::launched(launch);
    let week = support::Upload::fresh(10_000)
        .days(7)
        .downloads(0)
        .to(&server);
    let forever = support::Upload::fresh(10_000)
        .days(0)
        .downloads(0)
        .to(&server);
    std::fs::write(time.path(), "+6d").unwrap();
    assert_eq!(server.get(&format!("/d?id={}", week.id)).status(), 200);
    assert!(server.delivers(&week));
    // The clock is looked at every three seconds; a jump does not remove anything at once.
    std::fs::write(time.path(), "+8d").unwrap();
    let over = || server.get(&format!("/d?id={}", week.id)).status() == 404;
    assert!(within(Duration::from_secs(30), over), "{}", server.log());
    assert_eq!(server.get(&week.target()).status(), 404);
    assert!(server.delivers(&forever));
    let listed = server.api("GET", "/api/files/list", &[]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let kept = || server.log().contains("stay for another 24 hours");
    assert!(within(Duration::from_secs(30), kept), "{}", server.log());
    assert_eq!(Blobs::in_dir(&server.dir).published.len(), 2);
    // A clock that goes back does not bring it back, also not over a restart.
    server.kill();
    std::fs::write(time.path(), "+6d").unwrap();
    server.restart();
    assert_eq!(server.get(&week.target()).status(), 404);
    assert!(server.delivers(&forever));
}

#[test]
fn the_bytes_go_soon_after_an_end_that_was_waited_for() {
    let server = Server::demo();
    let file = support::Upload::fresh(10_000)
        .days(7)
        .downloads(0)
        .to(&server);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let soon = [
        &*format!("id: {}", file.id),
        &*format!("expiryTimestamp: {}", now + 2),
        "originalPassword: true",
    ];
    assert_eq!(server.api("PUT", "/api/files/modify", &soon).status(), 200);
    assert!(server.delivers(&file));
    let gone = || Blobs::in_dir(&server.dir).published.is_empty();
    assert!(within(Duration::from_secs(30), gone), "{}", server.log());
    assert_eq!(server.get(&file.target()).status(), 404);
}

#[test]
fn files_are_kept_where_the_test_was_told_to_keep_them() {
    let server = Server::demo();
    support::Upload::fresh(100).to(&server);
    let stored = Blobs::in_dir(&server.dir).published;
    let place = server
        .dir
        .join(if in_buckets() { "bucket" } else { "blobs" });
    assert!(
        stored.len() == 1 && stored[0].starts_with(place),
        "{stored:?}"
    );
}

#[test]
fn a_second_start_finds_everything_again_and_a_second_server_is_refused() {
    let mut server = Server::demo();
    let file = support::Upload::fresh(1_000_000).downloads(0).to(&server);
    let (key, admin) = (server.key.clone(), server.admin.clone());

    let mut words = vec!["demo", "--listen", "127.0.0.1:0", "--dir"];
    words.push(server.dir.to_str().unwrap());
    let mut second = support::command()
        .args(&words)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut code = None;
    let ended = within(Duration::from_secs(10), || {
        code = second.try_wait().unwrap();
        code.is_some()
    });
    let _ = second.kill();
    assert!(
        ended && !code.unwrap().success(),
        "a second server on one directory: {code:?}"
    );

    let status = server.stop(Duration::from_secs(30));
    assert!(status.success(), "{status}");
    server.restart();
    assert_eq!((&server.key, &server.admin), (&key, &admin));
    assert!(server.delivers(&file));
    use std::os::unix::fs::PermissionsExt;
    for path in support::files_below(&server.dir) {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is readable by others", path.display());
    }
}
