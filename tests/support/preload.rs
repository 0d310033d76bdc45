//! A few lines of C that a program loads before its own libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source` to `NAME.so` in `home`; the result is for `LD_PRELOAD`.
pub fn compiled(home: &Path, name: &str, source: &str) -> PathBuf {
    let library = home.join(format!("{name}.so"));
    let text = home.join(format!("{name}.c"));
    std::fs::write(&text, source).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &text])
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success(), "the library does not compile");
    library
}
