//! SIGKILL at every step of a publish and of a deletion, and a disk that fails: afterwards there is
//! the old state or the new one, every acknowledged upload downloads whole, nothing staged and no
//! orphan is left.
//!
//! strace kills the server at the N-th call of each kind that changes the disk, for every N that an
//! upload or deletion has. Its counts are for each thread, so the calls on the database file are
//! gone through on their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::time::Duration;
use support::{
    Blobs, Injector, Launch, Server, SmallDisk, Upload, Uploaded, have, opener, slow, within,
};

/// Calls that change the disk, and those that answer the client.
const STEPS: [&str; 12] = [
    "openat",
    "write",
    "pwrite64",
    "writev",
    "fallocate",
    "ftruncate",
    "sync_file_range",
    "fdatasync",
    "fsync",
    "renameat2,renameat,rename,linkat",
    "unlinkat,unlink",
    "sendto,sendmsg",
];

/// Calls that change the database file.
const DATABASE_STEPS: [&str; 4] = ["pwrite64", "fdatasync", "fsync", "ftruncate"];

/// Most calls of one kind that are gone through.
const MOST: u32 = 40;

/// The database of a server, when only calls on its file are meant.
fn only(server: &Server, database: bool) -> Option<PathBuf> {
    database.then(|| opener::database(&server.dir))
}

/// Every file that the server lists downloads whole; returns how many there are.
fn listed_files_are_whole(server: &Server, known: &[&Uploaded], size: u64) -> usize {
    let listed = server.api("GET", "/api/files/list", &[]).json();
    let listed = listed.as_array().unwrap().clone();
    for file in &listed {
        let id = file["Id"].as_str().unwrap();
        let key = format!("apikey: {}", server.key);
        let (status, sha256) = server.download(&format!("/api/files/download/{id}"), &[&key]);
        assert_eq!(status, 200, "a listed file does not open");
        match known.iter().find(|k| k.id == id) {
            Some(known) => assert_eq!(sha256.as_ref(), Some(&known.sha256)),
            None => assert!(sha256.is_some() && file["SizeBytes"] == size, "{file}"),
        }
    }
    listed.len()
}

/// Nothing staged, and as many blobs as files.
fn swept(server: &Server, files: usize) {
    let clean = || {
        let blobs = Blobs::in_dir(&server.dir);
        blobs.incoming.is_empty() && blobs.published.len() == files
    };
    let came = within(Duration::from_secs(30), clean);
    let blobs = Blobs::in_dir(&server.dir);
    assert!(
        came,
        "{files} files, but staged {:?} and stored {:?}",
        blobs.incoming, blobs.published
    );
}

/// Goes through every step of `act`, which runs under the injector; `check` gets what `prepare` and
/// `act` said and looks at the server, started again if it was killed. Returns the number of kills.
fn at_every_step<P, A>(
    server: &mut Server,
    prepare: impl Fn(&Server) -> P,
    act: impl Fn(&Server, &P) -> A,
    check: impl Fn(&Server, P, A),
) -> u32 {
    let mut kills = 0;
    let steps = STEPS.iter().map(|s| (*s, false));
    for (calls, only_database) in steps.chain(DATABASE_STEPS.iter().map(|s| (*s, true))) {
        let most = if slow() { MOST } else { 8 };
        for n in 1..=most {
            let prepared = prepare(server);
            let kill = format!("signal=SIGKILL:when={n}");
            let only = only(server, only_database);
            let Some(injector) = Injector::attach(server.pid(), only.as_deref(), calls, &kill)
            else {
                return kills;
            };
            let acted = act(server, &prepared);
            let died = server.ends_within(Duration::from_millis(50)).is_some();
            drop(injector);
            if died {
                kills += 1;
                server.restart();
            }
            check(server, prepared, acted);
            if !died {
                break;
            }
        }
    }
    kills
}

/// The ids of all files.
fn ids(server: &Server) -> Vec<String> {
    let listed = server.api("GET", "/api/files/list", &[]).json();
    let ids = listed.as_array().unwrap().iter();
    ids.map(|f| f["Id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn killed_at_every_step_of_an_upload_it_is_there_or_not() {
    if !have("strace") {
        return;
    }
    const SIZE: u64 = 300_000;
    let mut server = Server::demo();
    let bystander = Upload::fresh(50_000).downloads(0).to(&server);
    let kills = at_every_step(
        &mut server,
        |_| Upload::fresh(SIZE).downloads(0),
        |server, upload| {
            let reply = upload.attempt(server).ok();
            reply.filter(|r| r.status() == 200 && r.whole)
        },
        |server, upload, reply| {
            let acknowledged = reply.map(|r| upload.acknowledged(&r));
            let known: Vec<&Uploaded> = acknowledged.iter().chain([&bystander]).collect();
            let listed = listed_files_are_whole(server, &known, SIZE);
            for file in known {
                assert!(server.delivers(file), "an acknowledged upload is lost");
            }
            swept(server, listed);
            for id in ids(server).iter().filter(|id| **id != bystander.id) {
                let gone = server.api("DELETE", "/api/files/delete", &[&format!("id: {id}")]);
                assert_eq!(gone.status(), 200);
            }
            swept(server, 1);
        },
    );
    eprintln!("killed at {kills} points of an upload");
    assert!(
        kills >= 8,
        "only {kills} points: the calls have other names now"
    );
}

#[test]
fn killed_at_every_step_of_a_deletion_it_is_there_or_not() {
    if !have("strace") {
        return;
    }
    const SIZE: u64 = 50_000;
    let mut server = Server::demo();
    let bystander = Upload::fresh(SIZE).downloads(0).to(&server);
    let kills = at_every_step(
        &mut server,
        |server| Upload::fresh(SIZE).downloads(0).to(server),
        |server, victim| {
            let key = format!("apikey: {}", server.key);
            let target = format!("/api/files/delete?id={}", victim.id);
            let reply = support::fetch(server.address, "DELETE", &target, &[&key]);
            reply.is_ok_and(|r| r.status() == 200)
        },
        |server, victim, acknowledged| {
            let left = ids(server);
            let there = left.contains(&victim.id);
            assert!(
                !(acknowledged && there),
                "an acknowledged deletion came back"
            );
            assert_eq!(server.delivers(&victim), there);
            let listed = listed_files_are_whole(server, &[&bystander, &victim], SIZE);
            assert!(server.delivers(&bystander));
            swept(server, listed);
        },
    );
    eprintln!("killed at {kills} points of a deletion");
    assert!(
        kills >= 4,
        "only {kills} points: the calls have other names now"
    );
}

#[test]
fn when_the_disk_fails_to_sync_the_client_hears_it_and_the_restart_is_consistent() {
    if !have("strace") {
        return;
    }
    for only_database in [false, true] {
        for n in 1..=4 {
            let mut server = Server::demo();
            let bystander = Upload::fresh(50_000).downloads(0).to(&server);
            let only = only(&server, only_database);
            let fault = format!("error=EIO:when={n}");
            let calls = "fdatasync,fsync";
            let Some(injector) = Injector::attach(server.pid(), only.as_deref(), calls, &fault)
            else {
                return;
            };
            let upload = Upload::fresh(100_000).downloads(0);
            let reply = upload.attempt(&server);
            let met = !reply.as_ref().is_ok_and(|r| r.status() == 200);
            let wait = if met { 10_000 } else { 100 };
            let ended = server.ends_within(Duration::from_millis(wait));
            drop(injector);
            let Ok(reply) = reply else {
                panic!("fdatasync {n} (database: {only_database}): no answer; ended: {ended:?}");
            };
            if met {
                assert_eq!(reply.status(), 500, "{}", reply.text());
                assert!(!reply.text().contains("os error"), "{}", reply.text());
            }
            // A failed commit of the database leaves its outcome unknown: the process has to go.
            if only_database && met {
                let status = ended.expect("the process ends when the outcome is unknown");
                assert!(!status.success(), "{status}");
            }
            server.restart();
            let acknowledged = (!met).then(|| upload.acknowledged(&reply));
            let known: Vec<&Uploaded> = acknowledged.iter().chain([&bystander]).collect();
            let listed = listed_files_are_whole(&server, &known, 100_000);
            known.iter().for_each(|file| assert!(server.delivers(file)));
            swept(&server, listed);
        }
    }
}

#[test]
fn a_full_disk_refuses_uploads_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("size=24m") else {
        eprintln!("LEFT OUT: a full disk: a small tmpfs cannot be mounted here");
        return;
    };
    let data = disk.path().join("data");
    let launch = Launch::with_settings("min_free_space = \"1 MiB\"\n").keeping_data_in(&data);
    let server = Server::launched(launch);
    let kept = Upload::fresh(4 << 20).downloads(0).to(&server);
    // Declared too large: refused at once. Not declared: refused when it is full.
    for upload in [Upload::fresh(60 << 20), Upload::fresh(60 << 20).chunked()] {
        let reply = upload.attempt(&server).unwrap();
        assert_eq!(reply.status(), 507, "{}", reply.text());
        assert!(reply.text().contains("space"), "{}", reply.text());
        assert!(within(Duration::from_secs(5), || Blobs::in_dir(&data)
            .incoming
            .is_empty()));
        assert!(server.delivers(&kept), "reading goes on");
    }
    // Other uploads, a change and a deletion go on without a restart.
    let small = Upload::fresh(1 << 20).downloads(0).to(&server);
    assert!(server.delivers(&small));
    let gone = server.api(
        "DELETE",
        "/api/files/delete",
        &[&format!("id: {}", kept.id)],
    );
    assert_eq!(gone.status(), 200);
    let again = Upload::fresh(6 << 20).downloads(0).to(&server);
    assert!(
        server.delivers(&again),
        "space that was freed is used again"
    );
}
