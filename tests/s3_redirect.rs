//! Downloads that go on at the bucket: who gets the address of an object there, what comes from it, and what an
//! address is good for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::{Clock, SystemClock, Timestamp};
use mayfly::store::s3::{Client, Method, Request, S3Settings};
use ring::digest::{SHA256, digest};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::{
    Conn, Launch, Reply, S3Server, Server, Shell, Upload, Uploaded, fetch, get, have, hex, within,
};
use tempfile::TempDir;

/// How long the server may take to notice that the bucket works, or does not.
const NOTICED: Duration = Duration::from_secs(180);

const PLAIN: &str = "encryption = \"none\"\n";
const IN_BUCKET: &str = "[storage]\nkind = \"s3\"\n";
const REDIRECTED: &str = "downloads = \"redirected\"\n";

/// Settings for a bucket: `before` its table, and `in_table`.
fn settings(home: &Path, s3: &S3Server, before: &str, in_table: &str) -> String {
    for (name, text) in [("id", S3Server::KEY_ID), ("secret", S3Server::SECRET)] {
        let path = home.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let at = home.display();
    let ca_file = s3.ca_file().map_or(String::new(), |path| {
        format!("ca_file = \"{}\"\n", path.display())
    });
    format!(
        "min_free_space = 0\n{before}[s3]\nendpoint = \"{}\"\nbucket = \"{}\"\nkey_id_file = \"{at}/id\"\nsecret_file = \"{at}/secret\"\n{ca_file}{in_table}[log]\nlevel = \"debug\"\n",
        s3.endpoint(),
        S3Server::BUCKET
    )
}

struct World {
    home: TempDir,
    server: Server,
    s3: S3Server,
}

impl World {
    /// A server with such settings, and its bucket.
    fn start(s3: S3Server, before: &str, in_table: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path(), &s3, before, in_table);
        let server = Server::launched(Launch::with_settings(&settings));
        let world = Self { home, server, s3 };
        world.is_ready();
        world
    }

    /// The usual one: plain files in a bucket that recipients are sent to.
    fn redirecting() -> Option<Self> {
        let s3 = S3Server::start("s3_redirect")?;
        Some(Self::start(s3, &format!("{PLAIN}{IN_BUCKET}"), REDIRECTED))
    }

    /// The same server with other settings.
    fn becomes(&mut self, before: &str, in_table: &str) {
        let settings = settings(self.home.path(), &self.s3, before, in_table);
        self.server.stop(Duration::from_secs(60));
        self.server.restart_as(Launch::with_settings(&settings));
        self.is_ready();
    }

    fn is_ready(&self) {
        let ready = || get(self.server.address, "/ready", &[]).status() == 200;
        assert!(within(NOTICED, ready), "{}", self.server.log());
    }

    /// Asks for a file.
    fn ask(&self, file: &Uploaded, lines: &[&str]) -> Reply {
        get(self.server.address, &file.target(), lines)
    }

    /// Where a file is to be got, which has to be the bucket.
    fn address(&self, file: &Uploaded, lines: &[&str]) -> String {
        let reply = self.ask(file, lines);
        assert_eq!(reply.status(), 307, "{}", reply.text());
        let address = reply.head.field("location").unwrap().to_owned();
        let start = format!("{}/{}/", self.s3.endpoint(), S3Server::BUCKET);
        assert!(address.starts_with(&start), "{address}");
        address
    }

    fn count(&self, file: &Uploaded) -> u64 {
        let one = self
            .server
            .api("GET", &format!("/api/files/list/{}", file.id), &[]);
        one.json()["DownloadCount"].as_u64().unwrap()
    }

    /// Everything that was logged: no address, and nothing that one is made of.
    fn logged_no_address(&self) {
        let log = fs::read_to_string(self.server.log_path()).unwrap();
        assert!(log.contains("result=redirected counted=yes"), "{log}");
        for part in ["X-Amz-", "Signature", S3Server::KEY_ID, S3Server::SECRET] {
            assert!(!log.contains(part), "{part}: {log}");
        }
    }
}

/// Gets what is at an address of this server, as a browser would.
fn follow(server: SocketAddr, address: &str, lines: &[&str]) -> Reply {
    let rest = address.split_once("://").unwrap().1;
    let (host, target) = rest.split_once('/').unwrap();
    let mut conn = Conn::open(server).unwrap();
    let mut head = format!("GET /{target} HTTP/1.1\r\nHost: {host}\r\n");
    for line in lines {
        head.push_str(&format!("{line}\r\n"));
    }
    conn.send(head + "\r\n").unwrap();
    conn.reply().unwrap()
}

fn sum(reply: &Reply) -> String {
    hex(digest(&SHA256, &reply.body).as_ref())
}

#[test]
fn whoever_follows_gets_the_file_under_its_name_and_an_inert_type_and_it_counts_once() {
    let Some(world) = World::redirecting() else {
        return;
    };
    let cases = [
        (9_000_000, "grüße 雪 \u{2019}.png", "image/png", "image/png"),
        (
            100,
            "page.html",
            "text/html; charset=utf-8",
            "application/octet-stream",
        ),
        (
            1,
            "picture.svg",
            "image/svg+xml",
            "application/octet-stream",
        ),
        (
            50_000,
            "notes.txt",
            "text/plain",
            "text/plain; charset=utf-8",
        ),
        (0, "empty", "application/zip", "application/octet-stream"),
    ];
    for (size, name, declared, told) in cases {
        let upload = Upload::fresh(size).named(name).typed(declared).downloads(0);
        let file = upload.to(&world.server);
        let sent_on = world.ask(&file, &[]);
        let field = |name| sent_on.head.field(name).unwrap();
        assert_eq!((sent_on.status(), sent_on.body.len()), (307, 0), "{name}");
        assert!(field("cache-control").contains("no-store"));
        assert_eq!(field("referrer-policy"), "no-referrer");
        assert_eq!(field("cross-origin-resource-policy"), "same-origin");
        assert_eq!(sent_on.head.field("set-cookie"), None);
        let got = follow(world.s3.address, field("location"), &[]);
        assert_eq!(got.status(), 200, "{}", got.text());
        assert_eq!(sum(&got), file.sha256, "{name}");
        let proxied = fetch(world.server.address, "HEAD", &file.target(), &[]).unwrap();
        let disposition = proxied.head.field("content-disposition");
        assert!(disposition.unwrap().starts_with("attachment; "));
        assert_eq!(got.head.field("content-disposition"), disposition);
        assert_eq!(got.head.field("content-type"), Some(told), "{name}");
        assert_eq!(got.head.field("cache-control"), Some("no-store"));
        assert_eq!(world.count(&file), 1, "{name}");
    }
    world.logged_no_address();
}

#[test]
fn curl_follows_to_the_bucket_over_tls_and_resumes_there() {
    let Some(s3) = S3Server::start_tls("s3_redirect") else {
        return;
    };
    if !have("curl") {
        return;
    }
    let world = World::start(s3, &format!("{PLAIN}{IN_BUCKET}"), REDIRECTED);
    let upload = Upload::fresh(3_000_000).named("übung 1.bin").downloads(0);
    let file = upload.to(&world.server);
    let mut shell = Shell::beside(&world.server);
    shell.set("CA", world.s3.ca_file().unwrap().display().to_string());
    shell.set("ID", file.id.clone());
    shell.run("curl -fsSL --cacert $CA -D heads -o file $URL/downloadFile?id=$ID");
    let heads = String::from_utf8(shell.read("heads")).unwrap();
    assert!(
        heads.contains(" 307 ") && heads.contains(" 200 "),
        "{heads}"
    );
    assert!(
        heads.contains("filename*=UTF-8''%C3%BCbung%201.bin"),
        "{heads}"
    );
    let got = shell.run("head -c 1000000 file > part; sha256sum file | cut -d' ' -f1");
    assert_eq!(got, file.sha256);
    let resumed = "curl -fsSL -C - --cacert $CA -D heads -o part $URL/dh/$ID/name";
    let got = shell.run(&format!("{resumed}; sha256sum part | cut -d' ' -f1"));
    assert_eq!(got, file.sha256);
    let heads = String::from_utf8(shell.read("heads")).unwrap();
    assert!(
        heads.contains(" 307 ") && heads.contains(" 206 "),
        "{heads}"
    );
    assert_eq!(world.count(&file), 2);
    world.logged_no_address();
}

#[test]
fn a_range_is_got_from_the_bucket_and_counts_with_the_last_byte_and_what_is_conditional_is_not() {
    let Some(world) = World::redirecting() else {
        return;
    };
    let file = Upload::fresh(20_000).downloads(0).to(&world.server);
    for (range, content_range, count) in [
        ("bytes=100-199", "bytes 100-199/20000", 0),
        ("bytes=-1", "bytes 19999-19999/20000", 1),
        ("bytes=19000-", "bytes 19000-19999/20000", 2),
    ] {
        let line = format!("Range: {range}");
        let address = world.address(&file, &[&line]);
        let got = follow(world.s3.address, &address, &[&line]);
        assert_eq!(got.status(), 206, "{range}");
        assert_eq!(got.head.field("content-range"), Some(content_range));
        assert_eq!(world.count(&file), count, "{range}");
    }
    let head = fetch(world.server.address, "HEAD", &file.target(), &[]).unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.head.field("content-length"), Some("20000"));
    let tag = head.head.field("etag").unwrap();
    let date = head.head.field("last-modified").unwrap();
    for (line, more, status) in [
        (format!("If-Range: {tag}"), "Range: bytes=5-9", 206),
        (format!("If-Match: {tag}"), "X: y", 200),
        ("If-None-Match: \"other\"".to_owned(), "X: y", 200),
        (format!("If-None-Match: {tag}"), "X: y", 304),
        (format!("If-Unmodified-Since: {date}"), "X: y", 200),
        ("Range: bytes=1-2,5-9".to_owned(), "X: y", 206),
        ("Range: bytes=1-2,3-9".to_owned(), "X: y", 206),
        ("Range: bytes=20000-".to_owned(), "X: y", 416),
        ("Range: bytes=9-5".to_owned(), "X: y", 200),
        ("Range: lines=9-5".to_owned(), "X: y", 200),
    ] {
        let reply = world.ask(&file, &[&line, more]);
        assert_eq!(reply.status(), status, "{line}");
        assert!(reply.whole);
    }
}

#[test]
fn what_is_limited_sealed_shown_on_the_disk_or_fetched_by_its_owner_is_proxied() {
    let Some(s3) = S3Server::start("s3_redirect") else {
        return;
    };
    let mut world = World::start(s3, IN_BUCKET, REDIRECTED);
    let sealed = Upload::fresh(30_000).downloads(0).to(&world.server);
    world.becomes(PLAIN, REDIRECTED);
    let on_disk = Upload::fresh(30_000).downloads(0).to(&world.server);
    world.becomes(&format!("{PLAIN}{IN_BUCKET}"), REDIRECTED);
    let plain = Upload::fresh(30_000).downloads(0).to(&world.server);
    for file in [&sealed, &on_disk] {
        assert!(world.server.delivers(file));
    }
    assert_eq!(world.ask(&plain, &[]).status(), 307);
    let twice = Upload::fresh(30_000).downloads(2).to(&world.server);
    assert!(world.server.delivers(&twice) && world.server.delivers(&twice));
    assert!(world.server.has_lost(&twice));

    let own = format!("/api/files/download/{}", plain.id);
    let own = world.server.api("GET", &own, &["increaseCounter: true"]);
    assert_eq!((own.status(), sum(&own)), (200, plain.sha256.clone()));
    let image = Upload::fresh(30_000).downloads(0).named("a.png");
    let image = image.typed("image/png");
    let image = image.to(&world.server);
    let hotlink = image.json["fileInfo"]["HotlinkId"].as_str().unwrap();
    assert!(!hotlink.is_empty());
    for target in [format!("/h/{hotlink}"), format!("/hotlink/{}", image.id)] {
        let shown = get(world.server.address, &target, &[]);
        assert_eq!((shown.status(), sum(&shown)), (200, image.sha256.clone()));
    }

    world.becomes(&format!("{PLAIN}{IN_BUCKET}"), "");
    assert!(world.server.delivers(&plain), "it is off unless it is on");
}

#[test]
fn a_password_comes_before_the_address() {
    let Some(world) = World::redirecting() else {
        return;
    };
    let upload = Upload::fresh(5000).downloads(0).password("correct horse");
    let file = upload.to(&world.server);
    let locked = world.ask(&file, &[]);
    assert_eq!(locked.status(), 303);
    let page = locked.head.field("location").unwrap();
    assert!(page.ends_with(&format!("/d?id={}", file.id)), "{page}");
    let form = "password=correct+horse";
    let mut conn = world.server.connect();
    let lines = [
        "Content-Type: application/x-www-form-urlencoded",
        &format!("Content-Length: {}", form.len()),
    ];
    conn.ask("POST", &format!("/d?id={}", file.id), &lines)
        .unwrap();
    conn.send(form).unwrap();
    let cookie = conn.reply().unwrap().head.cookie().unwrap();
    let address = world.address(&file, &[&format!("Cookie: {cookie}")]);
    let got = follow(world.s3.address, &address, &[]);
    assert_eq!((got.status(), sum(&got)), (200, file.sha256.clone()));
}

#[test]
fn an_address_ends_with_its_object_and_there_is_none_while_the_bucket_is_away() {
    let Some(mut world) = World::redirecting() else {
        return;
    };
    let gone = Upload::fresh(5000).downloads(0).to(&world.server);
    let kept = Upload::fresh(6000).downloads(0).to(&world.server);
    let address = world.address(&gone, &[]);
    assert_eq!(follow(world.s3.address, &address, &[]).status(), 200);
    let id = format!("id: {}", gone.id);
    let deleted = world.server.api("DELETE", "/api/files/delete", &[&id]);
    assert_eq!(deleted.status(), 200);
    assert_eq!(world.ask(&gone, &[]).status(), 404);
    let name = address.rsplit('/').find_map(|part| part.split_once('?'));
    let object = world.s3.bucket().join(name.unwrap().0);
    assert!(within(NOTICED, || !object.exists()), "{object:?}");
    // Not found, or over by now if the machine is that slow.
    let status = follow(world.s3.address, &address, &[]).status();
    assert!(matches!(status, 403 | 404), "{status}");
    world.s3.kill();
    let away = world.ask(&kept, &[]);
    assert_eq!((away.status(), away.head.field("location")), (503, None));
    assert_eq!(world.count(&kept), 0);
}

/// A clock that is wrong by so many seconds.
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        SystemClock::new().now().plus(self.0)
    }
    fn elapsed(&self) -> Duration {
        SystemClock::new().elapsed()
    }
}

fn client(settings: &S3Settings, clock: i64) -> Client {
    Client::new(settings, Arc::new(Wrong(clock))).unwrap()
}

#[test]
fn an_address_that_is_over_or_was_changed_opens_nothing() {
    let Some(s3) = S3Server::start("s3_redirect") else {
        return;
    };
    let right = client(&s3.settings(), 0);
    for key in ["file", "other"] {
        let put = Request {
            method: Method::Put,
            key,
            query: &[],
            headers: &[],
        };
        right.call(&put, b"bytes", 1000).unwrap();
    }
    let shown = [("response-content-type", "text/plain")];
    let life = Duration::from_secs(60);
    let status = |address: &str| follow(s3.address, address, &[]).status();
    let address = right.presigned("file", &shown, life).unwrap();
    assert_eq!(status(&address), 200);
    for (from, to) in [
        ("/file?", "/other?"),
        ("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        ("text%2Fplain", "text%2Fhtml"),
        ("&response-content-type=text%2Fplain", ""),
    ] {
        let changed = address.replace(from, to);
        assert_ne!(changed, address);
        assert_eq!(status(&changed), 403, "{changed}");
    }
    let over = client(&s3.settings(), -120);
    let address = over.presigned("file", &shown, life).unwrap();
    assert_eq!(status(&address), 403);
    // With the server's own time, which every answer tells, it is right whatever the clock shows.
    for wrong in [-120, -3600, 7200] {
        let client = client(&s3.settings(), wrong);
        let head = Request {
            method: Method::Head,
            key: "file",
            query: &[],
            headers: &[],
        };
        client.call(&head, b"", 0).unwrap();
        let address = client.presigned("file", &shown, life).unwrap();
        assert_eq!(status(&address), 200, "{wrong}");
    }
}
