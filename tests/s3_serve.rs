//! A server whose files go into a bucket: from the settings to a download, and through everything that can be
//! wrong with the bucket while it starts and runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use ring::digest;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;
use support::{Launch, S3Server, Server, Upload, command, files_below, get, slow, within};
use tempfile::TempDir;

/// How long the server may take to notice that the bucket works, or does not.
const NOTICED: Duration = Duration::from_secs(180);

const NEW_FILES: &str = "[storage]\nkind = \"s3\"\n";

fn start(server: &S3Server, secret: &str) -> (TempDir, Server) {
    let home = tempfile::tempdir().unwrap();
    let settings = server.daemon_settings(home.path(), secret, NEW_FILES);
    let mayfly = Server::launched(Launch::with_settings(&settings));
    (home, mayfly)
}

/// Waits until `/ready` answers with this status.
fn becomes(server: &Server, status: u16) {
    let there = within(NOTICED, || {
        get(server.address, "/ready", &[]).status() == status
    });
    assert!(there, "{status}:\n{}", server.log());
}

fn is_logged(server: &Server, words: &str) {
    let there = within(NOTICED, || server.log().contains(words));
    assert!(there, "{words}:\n{}", server.log());
}

/// What was stored in the bucket, without the mark of its owner.
fn objects(bucket: &Path) -> usize {
    let files = files_below(bucket).into_iter();
    let names = files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let is_object = |name: &String| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
    names.filter(is_object).count()
}

fn blobs(server: &Server) -> usize {
    files_below(&server.dir.join("blobs")).len()
}

#[test]
fn files_go_into_the_bucket_and_come_back_and_nothing_of_them_stays_on_the_disk() {
    let Some(s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (_home, server) = start(&s3, S3Server::SECRET);
    becomes(&server, 200);
    for size in [0, 1, 100_000, 9_000_000] {
        let uploaded = Upload::fresh(size).to(&server);
        assert!(server.delivers(&uploaded), "{size}");
    }
    assert_eq!(blobs(&server), 0);
    // Each was good for one download.
    let gone = within(NOTICED, || objects(&s3.bucket()) == 0);
    assert!(gone, "{:?}", files_below(&s3.bucket()));
}

#[test]
fn over_tls_files_go_into_the_bucket_come_back_and_are_moved_and_no_secret_is_logged() {
    let Some(s3) = S3Server::start_tls("s3_serve") else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let settings = s3.daemon_settings(home.path(), S3Server::SECRET, NEW_FILES);
    let token = "a-token-that-nobody-asks-for";
    let more = format!("token = \"{token}\"\n[log]\nlevel = \"debug\"\n");
    let server = Server::launched(Launch::with_settings(&(settings + &more)));
    becomes(&server, 200);
    for size in [0, 100_000, 9_000_000] {
        let uploaded = Upload::fresh(size).to(&server);
        assert!(server.delivers(&uploaded), "{size}");
    }
    let gone = within(NOTICED, || objects(&s3.bucket()) == 0);
    assert!(gone, "{:?}", files_below(&s3.bucket()));
    let kept = Upload::fresh(9_000_000).downloads(0).to(&server);
    for to in ["disk", "s3"] {
        assert_eq!(store(&server, &["move", "--to", to]).0, Some(0));
        assert!(server.delivers(&kept), "{to}\n{}", server.log());
    }
    let log = server.log();
    assert!(!log.contains(S3Server::SECRET) && !log.contains(token));
}

#[test]
fn without_the_bucket_it_starts_says_so_and_refuses_uploads() {
    let Some(mut s3) = S3Server::start("s3_serve") else {
        return;
    };
    s3.kill();
    let (_home, server) = start(&s3, S3Server::SECRET);
    becomes(&server, 503);
    is_logged(&server, "the bucket cannot be used, uploads are refused");
    let refused = Upload::fresh(1000).attempt(&server).unwrap();
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert_eq!(get(server.address, "/health", &[]).status(), 200);
}

#[test]
fn when_the_bucket_comes_back_it_recovers_by_itself() {
    if !slow() {
        eprintln!("LEFT OUT: the recovery from a bucket that was away waits for it: MAYFLY_SLOW=1");
        return;
    }
    let Some(mut s3) = S3Server::start("s3_serve") else {
        return;
    };
    s3.kill();
    let (_home, server) = start(&s3, S3Server::SECRET);
    becomes(&server, 503);
    s3.restart();
    becomes(&server, 200);
    is_logged(&server, "the bucket can be used again");
    let uploaded = Upload::fresh(1000).downloads(0).to(&server);
    // It goes away while the server runs, and comes back.
    s3.kill();
    // Whoever comes before that is noticed waits a while, because it may be back at once.
    let mut conn = server.connect();
    conn.patience(NOTICED);
    let sent = Upload::fresh(1000).send_on(&mut conn, &server.key, None);
    let refused = conn.reply().unwrap_or_else(|e| panic!("{e}, {sent:?}"));
    assert_eq!(refused.status(), 503, "{}", refused.text());
    becomes(&server, 503);
    s3.restart();
    becomes(&server, 200);
    assert!(server.delivers(&uploaded));
}

#[test]
fn a_restart_of_the_buckets_server_breaks_no_download() {
    if !slow() {
        eprintln!("LEFT OUT: a download that outlives a restart of the bucket: MAYFLY_SLOW=1");
        return;
    }
    let Some(mut s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (_home, server) = start(&s3, S3Server::SECRET);
    becomes(&server, 200);
    // More than windows and sockets hold.
    let uploaded = Upload::fresh(60_000_000).downloads(0).to(&server);
    let mut conn = server.connect();
    conn.patience(NOTICED);
    conn.ask("GET", &uploaded.target(), &[]).unwrap();
    let head = conn.head().unwrap();
    let mut sum = digest::Context::new(&digest::SHA256);
    let (has_begun, begun) = sync_channel(0);
    let (is_dead, dead) = sync_channel(0);
    let whole = thread::scope(|scope| {
        let sum = &mut sum;
        let reading = scope.spawn(move || {
            let mut read = 0;
            conn.body(&head, |piece| {
                sum.update(piece);
                let before = read;
                read += piece.len();
                if before < 3_000_000 && read >= 3_000_000 {
                    has_begun.send(()).unwrap();
                    dead.recv().unwrap();
                }
            })
        });
        begun.recv().unwrap();
        s3.kill();
        is_dead.send(()).unwrap();
        becomes(&server, 503);
        s3.restart();
        reading.join().unwrap()
    });
    assert!(whole, "{}", server.log());
    assert_eq!(support::hex(sum.finish().as_ref()), uploaded.sha256);
}

#[test]
fn a_wrong_secret_is_said_in_the_log_with_its_remedy_and_the_server_runs() {
    let Some(s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (_home, server) = start(&s3, "something-else");
    becomes(&server, 503);
    is_logged(&server, "Correct the secret of [s3]");
    assert!(!server.log().contains("something-else"));
    assert_eq!(get(server.address, "/health", &[]).status(), 200);
    assert_eq!(Upload::fresh(1000).attempt(&server).unwrap().status(), 503);
}

#[test]
fn files_of_both_places_can_be_downloaded_and_a_dead_bucket_does_not_stop_uploads_to_the_disk() {
    let Some(mut s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (home, mut server) = start(&s3, S3Server::SECRET);
    becomes(&server, 200);
    let in_bucket = Upload::fresh(50_000).downloads(0).to(&server);
    assert_eq!((objects(&s3.bucket()), blobs(&server)), (1, 0));
    let disk = s3.daemon_settings(home.path(), S3Server::SECRET, "");
    server.stop(Duration::from_secs(60));
    server.restart_as(Launch::with_settings(&disk));
    let on_disk = Upload::fresh(60_000).downloads(0).to(&server);
    assert_eq!((objects(&s3.bucket()), blobs(&server)), (1, 1));
    for uploaded in [&in_bucket, &on_disk] {
        assert!(server.delivers(uploaded));
    }
    s3.kill();
    assert_eq!(server.download(&in_bucket.target(), &[]).0, 503);
    Upload::fresh(1000).to(&server);
    let remark = "ready; files in the bucket cannot be fetched now\n";
    let told = within(NOTICED, || {
        get(server.address, "/ready", &[]).text() == remark
    });
    assert!(told, "{}", get(server.address, "/ready", &[]).text());
    assert!(server.delivers(&on_disk));
}

/// Runs `mayfly store` for this server: exit code and all that it says.
fn store(server: &Server, arguments: &[&str]) -> (Option<i32>, String) {
    let mut store = command();
    let output = store
        .arg("store")
        .args(arguments)
        .arg("--config")
        .arg(server.settings_path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn files_move_to_the_disk_and_back_while_they_can_be_downloaded() {
    let Some(s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (_home, server) = start(&s3, S3Server::SECRET);
    becomes(&server, 200);
    let sizes = [0, 1, 16_400, 100_000, 9_000_000];
    let files = sizes.map(|size| Upload::fresh(size).downloads(0).to(&server));
    for (to, bucket, disk) in [("disk", 0, files.len()), ("s3", files.len(), 0)] {
        let (code, told) = store(&server, &["move", "--to", to]);
        assert_eq!(code, Some(0), "{told}\n{}", server.log());
        assert!(told.contains("5 files were moved"), "{told}");
        let reminds = told.contains("set kind = \"disk\"");
        assert_eq!(reminds, to == "disk", "{told}");
        assert_eq!((objects(&s3.bucket()), blobs(&server)), (bucket, disk));
        for file in &files {
            assert!(server.delivers(file), "{to}: {file:?}");
        }
        let (code, told) = store(&server, &["move", "--to", to]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("0 files were moved"), "{told}");
    }
    // Links that ended before are nowhere, and what is deleted now is gone from both places.
    for file in &files {
        let key = format!("apikey: {}", server.key);
        let id = format!("id: {}", file.id);
        assert_eq!(
            server
                .api("DELETE", "/api/files/delete", &[&key, &id])
                .status(),
            200
        );
    }
    let gone = within(NOTICED, || {
        (objects(&s3.bucket()), blobs(&server)) == (0, 0)
    });
    assert!(gone, "{}", server.log());
}

/// Starts a move, and waits until the server is at it.
fn begin_move(server: &Server, to: &str) -> Child {
    let mut asking = command()
        .args(["store", "move", "--to", to, "--config"])
        .arg(server.settings_path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(asking.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.contains("files moved"), "{first}");
    thread::spawn(move || said.lines().for_each(drop));
    asking
}

#[test]
fn a_move_that_a_crash_ended_goes_on_and_loses_and_revives_nothing() {
    let Some(s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (home, mut server) = start(&s3, S3Server::SECRET);
    becomes(&server, 200);
    let files: Vec<_> = (0..12)
        .map(|_| Upload::fresh(3_000_000).downloads(0).to(&server))
        .collect();
    for (to, kill_server) in [("disk", true), ("s3", true), ("disk", false)] {
        // Whoever asks is left alone by what becomes of the server, and ends in any way.
        let mut asking = begin_move(&server, to);
        let total = files.len();
        let in_bucket = if to == "disk" { total } else { 0 };
        // Something has moved, or all of it.
        assert!(within(NOTICED, || objects(&s3.bucket()) != in_bucket));
        if kill_server {
            server.kill();
            server.restart();
        } else {
            assert_eq!(store(&server, &["stop"]).0, Some(0));
        }
        asking.wait().unwrap();
        for file in &files {
            assert!(server.delivers(file), "{to}: {file:?}\n{}", server.log());
        }
    }
    // A link that goes while its file moves takes it along from everywhere.
    let mut asking = begin_move(&server, "s3");
    for file in &files[..6] {
        let id = format!("id: {}", file.id);
        assert_eq!(
            server.api("DELETE", "/api/files/delete", &[&id]).status(),
            200
        );
    }
    asking.wait().unwrap();
    let (code, told) = store(&server, &["move", "--to", "s3"]);
    assert_eq!(code, Some(0), "{told}\n{}", server.log());
    let settled = within(NOTICED, || {
        (objects(&s3.bucket()), blobs(&server)) == (6, 0)
    });
    assert!(settled, "{:?}\n{}", files_below(&s3.bucket()), server.log());
    for file in &files[6..] {
        assert!(server.delivers(file), "{file:?}");
    }
    drop(home);
}

#[test]
fn a_move_without_a_bucket_or_a_server_is_refused_with_the_remedy() {
    let mut server = Server::launched(Launch::with_settings("min_free_space = 0\n"));
    let (code, told) = store(&server, &["move", "--to", "s3"]);
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("write the table [s3]"), "{told}");
    server.stop(Duration::from_secs(60));
    let (code, told) = store(&server, &["move", "--to", "s3"]);
    assert_eq!(code, Some(64), "{told}");
    assert!(
        told.contains("by a running server: start it first"),
        "{told}"
    );
}

#[test]
fn the_doctor_looks_at_a_running_server() {
    let Some(s3) = S3Server::start("s3_serve") else {
        return;
    };
    let (_home, server) = start(&s3, S3Server::SECRET);
    becomes(&server, 200);
    let mut doctor = command();
    let output = doctor
        .args(["doctor", "--config"])
        .arg(server.settings_path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    for line in ["ok       data", "ok       server", "ok       s3 delete"] {
        assert!(told.lines().any(|l| l.starts_with(line)), "{line}:\n{told}");
    }
}
