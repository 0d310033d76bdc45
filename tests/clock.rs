//! The real program on a wall clock that is wrong and that is set, by libfaketime: nothing is
//! removed, nothing that has ended comes back, no fresh link is lost, and the operator is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use support::{Blobs, Launch, Server, Upload, Uploaded, slow, within};
use tempfile::TempDir;

/// The program looks at its clock every three seconds.
const A_FEW_LOOKS: Duration = Duration::from_secs(20);
const YEAR: i64 = 365 * DAY;
const DAY: i64 = 24 * 3600;

/// A server whose wall clock can be set.
struct Machine {
    server: Server,
    shift: PathBuf,
    _dir: TempDir,
}

impl Machine {
    /// `None`, with a loud word, where libfaketime is missing.
    fn new(test: &str) -> Option<Self> {
        let Some(library) = library() else {
            eprintln!("LEFT OUT: {test}: needs libfaketime (package faketime), without a runner");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let shift = dir.path().join("shift");
        fs::write(&shift, "+0").unwrap();
        let launch = Launch::default()
            .with("LD_PRELOAD", library.to_str().unwrap())
            .with("FAKETIME_TIMESTAMP_FILE", shift.to_str().unwrap())
            .with("FAKETIME_NO_CACHE", "1")
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .with("NO_FAKE_STAT", "1");
        Some(Self {
            server: Server::launched(launch),
            shift,
            _dir: dir,
        })
    }

    /// Sets the wall clock to the true time and so many seconds.
    fn set(&self, seconds: i64) {
        let new = self.shift.with_extension("new");
        fs::write(&new, format!("{seconds:+}")).unwrap();
        fs::rename(&new, &self.shift).unwrap();
    }

    /// Ends it in an orderly way and starts it again, with the clock set while it was away.
    fn restart_at(&mut self, seconds: i64) {
        assert!(self.server.stop(Duration::from_secs(20)).success());
        self.set(seconds);
        self.server.restart();
    }

    /// Sets the clock, and waits until `/ready` says `words`.
    fn set_until(&self, seconds: i64, words: &str) {
        self.set(seconds);
        self.says(words);
    }

    fn says(&self, words: &str) {
        let mut said = String::new();
        let told = within(A_FEW_LOOKS, || {
            let reply = self.server.get("/ready");
            said = format!("{} {}", reply.status(), reply.text());
            said.starts_with("200 ready") && said.contains(words)
        });
        assert!(told, "{said}\n{}", self.server.log());
    }

    fn is_ready(&self) {
        let plain = within(A_FEW_LOOKS, || {
            self.server.get("/ready").text() == "ready\n"
        });
        assert!(plain, "{}", self.server.log());
    }

    fn serves(&self, file: &Uploaded) -> bool {
        let (status, sha256) = self.server.download(&file.target(), &[]);
        assert!(matches!(status, 200 | 404), "{status}");
        sha256.is_some_and(|sha256| sha256 == file.sha256)
    }

    fn keeps(&self, files: usize) {
        assert_eq!(Blobs::in_dir(&self.server.dir).published.len(), files);
        let listed = self.server.api("GET", "/api/files/list", &[]);
        assert_eq!(listed.status(), 200);
    }

    fn upload(&self, days: u32) -> Uploaded {
        Upload::fresh(20_000)
            .downloads(0)
            .days(days)
            .to(&self.server)
    }
}

fn library() -> Option<PathBuf> {
    if std::env::var_os("MAYFLY_RUNNER").is_some_and(|runner| !runner.is_empty()) {
        return None;
    }
    let name = Path::new("faketime/libfaketimeMT.so.1");
    let mut places = vec![PathBuf::from("/usr/lib")];
    places.extend(fs::read_dir("/usr/lib").ok()?.flatten().map(|e| e.path()));
    places
        .iter()
        .map(|place| place.join(name))
        .find(|path| path.exists())
}

/// How far it is from now to the tenth second of 1970.
fn back_to_1970() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    10 - now.as_secs().cast_signed()
}

/// Long enough for several sweeps.
fn some_sweeps() {
    std::thread::sleep(Duration::from_secs(10));
}

#[test]
fn a_start_in_1970_serves_what_there_is_and_says_what_is_wrong() {
    let Some(mut machine) = Machine::new("a start in 1970") else {
        return;
    };
    machine.is_ready();
    let old = machine.upload(14);
    machine.restart_at(back_to_1970());
    machine.says("the clock is not trusted: it shows a time before this Mayfly was made");
    let log = machine.server.log();
    assert!(log.contains("clock-is-right"), "the remedy is named: {log}");
    assert!(machine.serves(&old));
    let fresh = machine.upload(1);
    assert!(machine.serves(&fresh));
    machine.keeps(2);
}

#[test]
fn links_made_in_1970_live_on_when_the_time_comes() {
    if !slow() {
        return;
    }
    let Some(mut machine) = Machine::new("from 1970 to now") else {
        return;
    };
    let old = machine.upload(14);
    machine.restart_at(back_to_1970());
    let fresh = machine.upload(1);
    some_sweeps();
    machine.keeps(2);
    // Half a year later than it was when the machine was switched off.
    machine.set(YEAR / 2);
    machine.is_ready();
    assert!(machine.serves(&fresh), "{}", machine.server.log());
    assert!(!machine.serves(&old), "its two weeks are over");
    some_sweeps();
    machine.keeps(2);
    machine.restart_at(YEAR / 2 + DAY);
    assert!(!machine.serves(&fresh), "a day later");
    machine.keeps(2);
}

#[test]
fn a_jump_of_ten_years_removes_nothing() {
    if !slow() {
        return;
    }
    let Some(mut machine) = Machine::new("ten years ahead") else {
        return;
    };
    let file = machine.upload(14);
    assert!(machine.serves(&file));
    let ahead = "more than a year ahead of the last known time";
    machine.set_until(10 * YEAR, ahead);
    assert!(!machine.serves(&file), "in doubt it is refused");
    let fresh = machine.upload(1);
    assert!(machine.serves(&fresh));
    some_sweeps();
    machine.keeps(2);
    machine.restart_at(10 * YEAR);
    machine.says(ahead);
    assert!(!machine.serves(&file));
    assert!(machine.serves(&fresh));
    some_sweeps();
    machine.keeps(2);
    machine.set(0);
    machine.is_ready();
    assert!(machine.serves(&file) && machine.serves(&fresh));
    machine.keeps(2);
}

#[test]
fn nothing_that_has_ended_comes_back_five_years_ago() {
    if !slow() {
        return;
    }
    let Some(mut machine) = Machine::new("five years back") else {
        return;
    };
    let day = machine.upload(1);
    let long = machine.upload(100);
    machine.set(2 * DAY);
    let over = within(A_FEW_LOOKS, || !machine.serves(&day));
    assert!(over, "{}", machine.server.log());
    some_sweeps();
    machine.keeps(2);
    machine.set_until(-5 * YEAR, "the clock is not trusted");
    for _ in 0..2 {
        assert!(!machine.serves(&day));
        assert!(machine.serves(&long));
        let fresh = machine.upload(1);
        assert!(machine.serves(&fresh));
        some_sweeps();
        assert!(!machine.serves(&day));
        assert!(machine.serves(&fresh) && machine.serves(&long));
        machine.restart_at(-5 * YEAR);
        machine.says("the clock is not trusted");
    }
    machine.keeps(4);
    // Not even with the right time; but with the word of the operator.
    machine.set_until(0, "the clock is not trusted: it is behind");
    assert!(!machine.serves(&day));
    fs::write(machine.server.dir.join("clock-is-right"), "").unwrap();
    machine.is_ready();
    assert!(machine.serves(&day) && machine.serves(&long));
    assert!(!machine.server.dir.join("clock-is-right").exists());
    machine.keeps(4);
}

#[test]
fn an_idle_server_with_a_wrong_clock_writes_nothing() {
    if !slow() {
        return;
    }
    let Some(machine) = Machine::new("idle in doubt") else {
        return;
    };
    machine.upload(14);
    machine.set_until(10 * YEAR, "not trusted");
    // What this left to do is done: when a key was used is written within a minute.
    let minute = Duration::from_secs(62);
    std::thread::sleep(minute);
    let before = machine.server.figures().written_to_disk();
    std::thread::sleep(minute);
    assert_eq!(machine.server.figures().written_to_disk(), before);
}
