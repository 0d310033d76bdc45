//! Settings files: taken whole or refused with a remedy for each problem, and always the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly::config::{Problems, Settings, load};
use std::path::PathBuf;

/// A file of this process in memory, where there is such a place.
fn path() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { memory } else { std::env::temp_dir() };
    dir.join(format!("mayfly-fuzz-settings-{}.toml", std::process::id()))
}

fn read(text: &[u8]) -> Result<Settings, Problems> {
    let path = path();
    std::fs::write(&path, text).expect("a file of ours");
    let read = load(&path);
    std::fs::remove_file(&path).expect("it was there");
    read
}

fuzz_target!(|text: &[u8]| {
    let first = read(text);
    let said = |r: &Result<Settings, Problems>| match r {
        Ok(settings) => format!("{settings:?}"),
        Err(problems) => problems.to_string(),
    };
    assert_eq!(said(&first), said(&read(text)));
    match first {
        Ok(settings) => {
            assert!(!settings.data_dir.as_os_str().is_empty());
            let known = [&b"no_such_key = 1\n"[..], text].concat();
            let problems = read(&known).expect_err("an unknown key was passed over");
            assert!(problems.to_string().contains("no_such_key"), "{problems}");
        }
        Err(problems) => {
            assert!(!problems.list.is_empty());
            assert!(problems.list.iter().all(|p| !p.remedy.is_empty()));
        }
    }
});
