//! Nothing readable at rest: whoever takes the disk but has no link, key or password reads neither
//! contents nor names. With the link alone, an opener that shares no code with the program opens the
//! file. And what is changed on the disk never reaches a client as a complete file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use support::{Blobs, Launch, Payload, Server, Upload, files_below, opener};

const NAME: &str = "Kuendigung-Mueller-2026.pdf";
const TEXT: &str = "This sentence stands in the file and must be nowhere on the disk. ";
const PASSWORD: &str = "Zebra-Trompete-99";

/// A secret, in the shapes in which it could lie around.
fn shapes(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let encoding = data_encoding::BASE64_NOPAD;
    // base64 depends on where the secret starts within a group of three.
    let shifted = |skip: usize| {
        let mut padded = vec![b'x'; skip];
        padded.extend_from_slice(secret);
        let text = encoding.encode(&padded);
        let whole = text.len() - usize::from(!padded.len().is_multiple_of(3)) * 2;
        text.as_bytes()[skip.div_ceil(3) * 4..whole].to_vec()
    };
    let url = |text: Vec<u8>| {
        let swap = |b| match b {
            b'+' => b'-',
            b'/' => b'_',
            b => b,
        };
        text.into_iter().map(swap).collect::<Vec<u8>>()
    };
    let hex = support::hex(secret);
    let mut all = vec![
        ("as it is", secret.to_vec()),
        ("in lower case", secret.to_ascii_lowercase()),
        ("in hexadecimal", hex.clone().into_bytes()),
        ("in upper-case hexadecimal", hex.to_uppercase().into_bytes()),
        ("in UTF-16", secret.iter().flat_map(|b| [*b, 0]).collect()),
        ("backwards", secret.iter().rev().copied().collect()),
    ];
    for skip in 0..3 {
        all.push(("in base64", shifted(skip)));
        all.push(("in base64url", url(shifted(skip))));
    }
    all
}

/// Looks for a secret in the contents and names of all files below `dir`.
fn find(dir: &Path, what: &str, secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files_below(dir) {
        let content = fs::read(&path).unwrap();
        let name = path.to_string_lossy().into_owned();
        for (shape, needle) in shapes(secret) {
            if needle.len() < 8 {
                continue;
            }
            let finder = memchr::memmem::Finder::new(&needle);
            if finder.find(&content).is_some() || finder.find(name.as_bytes()).is_some() {
                found.push(format!("{what} {shape} in {name}"));
            }
        }
    }
    found
}

#[test]
fn the_disk_alone_tells_nothing_and_the_link_alone_opens() {
    let mut server = Server::demo();
    let home = tempfile::tempdir().unwrap();
    let plain = home.path().join("plain.txt");
    // Long enough for several segments, compressible and repetitive on purpose.
    let text = TEXT.repeat(1000).into_bytes();
    fs::write(&plain, &text).unwrap();
    let upload = |name: &str, extra: &[&str]| -> serde_json::Value {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sSf", "-H", &format!("apikey: {}", server.key)]);
        curl.args([
            "-F",
            &format!("file=@{};filename={name};type=text/plain", plain.display()),
        ]);
        extra.iter().for_each(|field| {
            curl.args(["-F", field]);
        });
        let output = curl
            .arg(format!("{}/api/files/add", server.url))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    if !support::have("curl") {
        return;
    }
    let open = upload(NAME, &["allowedDownloads=0"]);
    let locked = upload(
        "another-name-entirely.txt",
        &[&format!("password={PASSWORD}"), "allowedDownloads=0"],
    );
    let open_id = open["fileInfo"]["id"].as_str().unwrap().to_owned();
    let locked_id = locked["fileInfo"]["id"].as_str().unwrap().to_owned();

    // Use them in every way first: whatever that leaves behind is looked at, too.
    assert_eq!(
        server.get(&format!("/downloadFile?id={open_id}")).body,
        text
    );
    assert_eq!(server.get(&format!("/d?id={locked_id}")).status(), 200);
    let form = format!("password={PASSWORD}");
    let mut conn = server.connect();
    conn.ask(
        "POST",
        &format!("/d?id={locked_id}"),
        &[
            "Content-Type: application/x-www-form-urlencoded",
            &format!("Content-Length: {}", form.len()),
        ],
    )
    .unwrap();
    conn.send(&form).unwrap();
    let unlocked = conn.reply().unwrap();
    let cookie = unlocked.head.cookie().expect("the password opens the link");
    let body = support::get(
        server.address,
        &format!("/downloadFile?id={locked_id}"),
        &[&format!("Cookie: {cookie}")],
    );
    assert_eq!(body.body, text);
    assert_eq!(
        server
            .api("GET", "/api/files/list", &[])
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let log = fs::read(server.log_path()).unwrap();
    server.kill();
    let disk = home.path().join("disk");
    support::copy_tree(&server.dir, &disk);
    fs::remove_file(disk.join("demo-credentials.toml")).expect("the one file that may help");
    // The log is not in the data directory, but is often kept beside it.
    fs::write(disk.join("log"), log).unwrap();

    let admin_password = server.admin.1.clone();
    let secrets: [(&str, &[u8]); 9] = [
        ("the contents", &TEXT.as_bytes()[..32]),
        ("the contents", &TEXT.as_bytes()[20..60]),
        ("a file name", NAME.as_bytes()),
        ("a file name", b"another-name-entirely"),
        ("a link id", open_id.as_bytes()),
        ("a link id", locked_id.as_bytes()),
        ("the API key", server.key.as_bytes()),
        ("a link password", PASSWORD.as_bytes()),
        ("the account's password", admin_password.as_bytes()),
    ];
    let found: Vec<String> = secrets
        .iter()
        .flat_map(|(what, secret)| find(&disk, what, secret))
        .collect();
    assert!(found.is_empty(), "{found:#?}");

    // The search itself works: it finds what is there.
    fs::write(
        disk.join("control"),
        data_encoding::BASE64.encode(format!("--{NAME}--").as_bytes()),
    )
    .unwrap();
    assert!(!find(&disk, "control", NAME.as_bytes()).is_empty());
    fs::remove_file(disk.join("control")).unwrap();

    let opened = opener::open(&disk, &open_id).expect("the link opens its file");
    assert_eq!(opened.content, text);
    let label = String::from_utf8_lossy(&opened.label).into_owned();
    assert!(
        label.contains(NAME) && label.contains("text/plain"),
        "{label:?}"
    );
    let mut other = open_id.clone().into_bytes();
    other[5] = if other[5] == b'a' { b'b' } else { b'a' };
    assert!(opener::open(&disk, std::str::from_utf8(&other).unwrap()).is_none());
}

#[test]
fn equal_files_do_not_look_equal_on_the_disk() {
    let server = Server::launched(Launch::with_settings("dedup = false\n"));
    let payload = Payload::new(7, 40_000);
    for _ in 0..2 {
        Upload::of(&payload).to(&server);
    }
    let blobs = Blobs::in_dir(&server.dir).published;
    assert_eq!(blobs.len(), 2);
    let [a, b] = [&blobs[0], &blobs[1]].map(|p| fs::read(p).unwrap());
    let equal = a
        .chunks(16)
        .zip(b.chunks(16))
        .filter(|(a, b)| a == b)
        .count();
    assert!(equal <= 1, "{equal} equal blocks");
}

#[test]
fn equal_uploads_of_one_owner_share_their_bytes_until_the_last_link_is_gone() {
    let server = Server::demo();
    let payload = Payload::fresh(100_000);
    let first = Upload::of(&payload).named("one.bin").to(&server);
    let second = Upload::of(&payload).named("two.bin").to(&server);
    assert_eq!(Blobs::in_dir(&server.dir).published.len(), 1);
    assert!(server.delivers(&first));
    assert!(server.delivers(&second), "the other link lives on");
    assert!(support::within(support::removal(), || {
        Blobs::in_dir(&server.dir).published.is_empty()
    }));
}

/// Changes a blob.
type Tampering = fn(&mut Vec<u8>);

/// Ways to change a stored blob of several segments.
fn tamperings() -> Vec<(&'static str, Tampering)> {
    const HEADER: usize = 40;
    const SLOT: usize = 16 * 1024 + 16;
    vec![
        ("one byte cut off", |b| b.truncate(b.len() - 1)),
        ("a tag cut off", |b| b.truncate(b.len() - 16)),
        ("the last segment cut off", |b| {
            let whole = (b.len() - HEADER) / SLOT * SLOT + HEADER;
            b.truncate(whole);
        }),
        ("only the header left", |b| b.truncate(HEADER)),
        ("emptied", Vec::clear),
        ("one byte appended", |b| b.push(0)),
        ("a segment appended", |b| {
            let segment = b[HEADER..HEADER + SLOT].to_vec();
            b.extend(segment);
        }),
        ("two segments swapped", |b| {
            let (first, second) = b[HEADER..].split_at_mut(SLOT);
            first.swap_with_slice(&mut second[..SLOT]);
        }),
        ("a segment twice", |b| {
            let segment = b[HEADER..HEADER + SLOT].to_vec();
            b[HEADER + SLOT..HEADER + 2 * SLOT].copy_from_slice(&segment);
        }),
        ("a bit of the magic flipped", |b| b[0] ^= 1),
        ("the version changed", |b| b[6] ^= 2),
        ("the cipher changed", |b| b[7] ^= 3),
        ("the nonce prefix changed", |b| b[20] ^= 1),
        ("the salt changed", |b| b[30] ^= 1),
        ("the first bit flipped", |b| b[HEADER] ^= 0x80),
        ("a bit in the middle flipped", |b| {
            let middle = b.len() / 2;
            b[middle] ^= 4;
        }),
        ("the last bit flipped", |b| {
            let last = b.len() - 1;
            b[last] ^= 1;
        }),
        ("zeroed in the middle", |b| {
            let middle = b.len() / 2;
            b[middle..middle + 512].fill(0);
        }),
    ]
}

/// Asks for the whole file and for ranges of it; whatever comes whole has to be right.
fn never_a_wrong_body(server: &Server, id: &str, payload: &Payload, how: &str) {
    let target = format!("/downloadFile?id={id}");
    let answer = support::fetch(server.address, "GET", &target, &["Connection: close"]);
    let complete =
        answer.is_ok_and(|r| r.status() == 200 && r.whole && r.body.len() as u64 == payload.size());
    assert!(
        !complete,
        "{how}: a complete body came out of a changed blob"
    );
    for (from, last) in [
        (0, 99),
        (16_384, 40_000),
        (payload.size() - 10, payload.size() - 1),
    ] {
        let range = format!("Range: bytes={from}-{last}");
        if let Ok(part) = support::fetch(
            server.address,
            "GET",
            &target,
            &[&range, "Connection: close"],
        ) {
            if part.status() == 206 && part.whole {
                assert!(
                    part.body == payload.part(from, last + 1),
                    "{how}: wrong bytes {from}-{last}"
                );
            }
            if part.status() == 206 {
                let right = payload.part(from, last + 1);
                assert!(
                    right.starts_with(&part.body),
                    "{how}: wrong bytes before the cut"
                );
            }
        }
    }
}

#[test]
fn changed_blobs_never_come_out_as_complete_files() {
    let server = Server::demo();
    let pid = server.pid();
    let payload = Payload::fresh(100_000);
    let file = Upload::of(&payload).downloads(0).to(&server);
    let path = Blobs::in_dir(&server.dir).published.remove(0);
    let original = fs::read(&path).unwrap();
    for (how, change) in tamperings() {
        let mut bytes = original.clone();
        change(&mut bytes);
        assert_ne!(bytes, original, "{how}");
        fs::write(&path, bytes).unwrap();
        never_a_wrong_body(&server, &file.id, &payload, how);
        assert!(server.probe().is_some(), "{how}: the server lives on");
    }
    fs::write(&path, &original).unwrap();
    assert!(server.delivers(&file), "whole again");

    fs::remove_file(&path).unwrap();
    let gone = support::fetch(server.address, "GET", &file.target(), &[]);
    assert!(gone.is_ok_and(|r| r.status() >= 400));
    assert_eq!(server.pid(), pid);
}

#[test]
fn swapped_blobs_open_nothing() {
    let server = Server::demo();
    let [a, b] = [1, 2].map(|seed| Payload::new(seed, 100_000));
    let files = [&a, &b].map(|p| Upload::of(p).downloads(0).to(&server));
    let blobs = Blobs::in_dir(&server.dir).published;
    let [first, second] = [&blobs[0], &blobs[1]].map(|p| fs::read(p).unwrap());
    fs::write(&blobs[0], second).unwrap();
    fs::write(&blobs[1], first).unwrap();
    never_a_wrong_body(&server, &files[0].id, &a, "swapped");
    never_a_wrong_body(&server, &files[1].id, &b, "swapped");
    assert!(server.probe().is_some());
}

#[test]
fn curl_reports_a_damaged_file_as_an_error() {
    if !support::have("curl") {
        return;
    }
    let server = Server::demo();
    let file = Upload::fresh(5_000_000).downloads(0).to(&server);
    let path = Blobs::in_dir(&server.dir).published.remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let late = bytes.len() - 100_000;
    bytes[late] ^= 1;
    fs::write(&path, bytes).unwrap();
    let shell = support::Shell::beside(&server);
    let (code, _) = shell.try_run(&format!(
        "curl -sSf -o got '{}{}'",
        server.url,
        file.target()
    ));
    assert_ne!(code, 0, "curl took a damaged file for a good one");
}

#[test]
fn mode_none_keeps_files_as_they_are_and_mode_server_does_not() {
    for (mode, readable) in [("none", true), ("server", false)] {
        let keys = tempfile::tempdir().unwrap();
        let mut settings = format!("encryption = \"{mode}\"\n");
        if mode == "server" {
            let key = keys.path().join("master.key");
            settings.push_str(&format!("master_key_file = \"{}\"\n", key.display()));
        }
        let server = Server::launched(Launch::with_settings(&settings));
        let payload = Payload::fresh(100_000);
        let file = Upload::of(&payload).downloads(0).to(&server);
        assert!(server.delivers(&file));
        let found = find(&server.dir, "the contents", &payload.part(50_000, 50_064));
        assert_eq!(!found.is_empty(), readable, "{mode}: {found:?}");
    }
}
