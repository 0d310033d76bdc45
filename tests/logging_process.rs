//! What a process can do with its log while it runs: change the level, log into a file, panic.
//! There is one log in a process, so this is one test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use log::LevelFilter;
use mayfly::logging::{self, Options, Quoted, Target, event, set_level};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_level_changes_while_it_runs_a_file_rotates_and_a_panic_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let options = Options {
        level: LevelFilter::Info,
        target: Target::File {
            path: path.clone(),
            max_size: 64 * 1024,
            keep: 2,
        },
    };
    let running = logging::start(&options).unwrap();
    assert!(logging::start(&options).is_err(), "there is one already");
    // A failure of this test is to be seen as well.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        hook(info);
    }));
    let read = || {
        logging::flush();
        fs::read_to_string(&path).unwrap_or_default()
    };

    log::debug!(target: "mayfly::test", "too quiet");
    log::info!(target: event::UPLOAD, "user={}", Quoted("a\nb"));
    let text = read();
    assert!(
        text.ends_with("[INFO] upload: user=\"a\\u{a}b\"\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    set_level(LevelFilter::Debug);
    log::debug!(target: "mayfly::test", "loud enough");
    log::debug!(target: "somebody_else", "in passing");
    assert!(read().ends_with("[DEBUG] debug: loud enough\n"));
    set_level(LevelFilter::Error);
    log::warn!(target: "mayfly::test", "not any more");
    assert_eq!(read().lines().count(), 2);
    set_level(LevelFilter::Info);

    let secret = "a name that a client sent";
    let panicking = std::thread::Builder::new().name("worker".to_owned());
    let panicking = panicking
        .spawn(move || panic!("cannot handle\n{secret}"))
        .unwrap();
    assert!(panicking.join().is_err());
    let text = read();
    let last = text.lines().last().unwrap();
    assert!(last.contains("[ERROR] fault: panic thread=worker at=tests/logging_process.rs:"));
    assert!(
        !text.contains("client") && text.lines().count() == 3,
        "{text}"
    );

    for n in 0..5_000 {
        log::info!(target: event::UPLOAD, "number={n} {}", "x".repeat(50));
        if n % 500 == 0 {
            logging::flush();
        }
    }
    log::info!(target: event::STOP, "the last word");
    drop(running);
    let files = ["log.2", "log.1", "log"].map(|name| dir.path().join(name));
    let mut all = String::new();
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= 64 * 1024);
        all += &fs::read_to_string(file).unwrap();
    }
    assert!(
        all.ends_with("stop: the last word\n"),
        "{:?}",
        all.lines().last()
    );
    assert!(all.contains("number=4999 ") && !dir.path().join("log.3").exists());
    log::error!(target: "mayfly::test", "after the end");
    assert!(!fs::read_to_string(&path).unwrap().contains("after the end"));
}
