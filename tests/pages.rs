//! The public pages in a real browser: on a phone and on a desktop, light and dark, printed, zoomed
//! and by keyboard. Nothing may break the policy that they come with, ask another server, fail to
//! load, or be hard to read or to press; files have to arrive, and hostile names have to stay names.
//!
//! `browser/pages.py` looks; screenshots are left in `target/browser` for people.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Server, have, slow};

/// Whether the browser is left out, and says so.
fn left_out(test: &str) -> bool {
    if !slow() {
        eprintln!("LEFT OUT: {test}: starts a browser, needs MAYFLY_SLOW=1");
        return true;
    }
    !["chromium", "chromedriver", "python3"]
        .iter()
        .all(|program| have(program))
}

/// Has the browser look at everything on a server.
fn look(server: &Server, pictures: &str, name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("../browser")
        .join(pictures);
    let output = Command::new("timeout")
        .args(["--kill-after=10", "110", "python3"])
        .arg(root.join("tests/browser/pages.py"))
        .args([&server.url, &server.key])
        .arg(pictures)
        .arg(name)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    eprint!("{text}");
}

#[test]
fn the_public_pages_hold_in_a_real_browser() {
    if left_out("the_public_pages_hold_in_a_real_browser") {
        return;
    }
    look(&Server::demo(), "own", "Mayfly");
}
