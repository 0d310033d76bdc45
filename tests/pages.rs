//! The public pages in a real browser: on a phone and on a desktop, light and dark, printed, zoomed
//! and by keyboard. Nothing may break the policy that they come with, ask another server, fail to
//! load, or be hard to read or to press; files have to arrive, and hostile names have to stay names.
//!
//! `browser/pages.py` looks; screenshots are left in `target/browser` for people.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{Launch, Server, have, slow};

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

/// A frame, a style, pictures and a page of the owner, a name that is markup, a pale colour; and a
/// template with a mistake, which must not be missed.
#[test]
fn pages_of_the_owner_hold_in_a_real_browser_too() {
    if left_out("pages_of_the_owner_hold_in_a_real_browser_too") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        (
            "base.html",
            "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>{{ title }}</title><link rel=stylesheet href=\"{{ site.style }}\">\
             <link rel=icon href=\"{{ site.favicon }}\"></head><body>{% include \"top.html\" %}\
             <main>{% block content %}{% endblock %}</main></body></html>",
        ),
        (
            "top.html",
            "<header><a href=\"{{ site.prefix }}/\"><img src=\"{{ site.logo }}\" width=\"{{ site.logo_width }}\" height=\"{{ site.logo_height }}\" alt=\"\">\
             <b>{{ site.name }}</b></a></header>",
        ),
        (
            "download.html",
            "{% extends \"base.html\" %}{% block content %}<h1><bdi>{{ name }}</bdi></h1><p>{{ size }}, {{ availability }}</p>\
             <a class=button href=\"{{ download_url }}\">Get it</a>{% endblock %}",
        ),
        ("error.html", "{{ no_such_variable }}"),
        (
            "style.css",
            "body { margin: 1rem; color: #222; color-scheme: light; background: #fff url(data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=) }\
             h1, p { overflow-wrap: anywhere } input { min-height: 3rem; min-width: 3rem; max-width: 100%; border: 2px solid #555; background: #fff; color: #222 }\
             .button { display: block; box-sizing: border-box; padding: 1rem; border: 2px solid #222; background: var(--accent); color: var(--accent-text) }\
             header a { display: inline-block; padding: 1rem; color: #222 } pre { white-space: pre-wrap; overflow-wrap: anywhere } img { max-width: 100% }\
             .icon { width: 3rem } :focus-visible { outline: 3px solid #222 }",
        ),
        (
            "logo.svg",
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 300 100\" onload=\"parent.pwned=1\">\
             <style>rect { fill: #060 }</style><script>parent.pwned=1;alert(1)</script><rect width=\"300\" height=\"100\"/></svg>",
        ),
    ] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let name = "Our <b>box</b> & \"Co\"";
    let settings = format!(
        "[pages]\nname = '{name}'\ncolor = \"#ffe14d\"\ntemplates = \"{}\"\n",
        folder.path().display()
    );
    let server = Server::launched(Launch::with_settings(&settings));
    let log = server.log();
    let told = log.lines().find(|line| line.contains("error.html, line 1"));
    assert!(
        told.is_some_and(
            |line| line.contains("there is no variable no_such_variable")
                && line.contains("What is built in is used instead")
        ),
        "{log}"
    );
    look(&server, "owner", name);
}
