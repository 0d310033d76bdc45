//! Holds the borders that the compiler does not: which module may import which, where each crate is
//! at home, and what every source file has to look like.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "layering/source.rs"]
mod source;
#[path = "layering/tables.rs"]
mod tables;

use source::{Source, crate_paths, is_test, is_word, names_crate, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use tables::{HOMES, IMPORTS, LINES, LONG, TEST_LINES};

fn import_violations(source: &Source) -> Vec<String> {
    let Some(inside) = source.inside() else {
        return Vec::new();
    };
    let module = inside.split(['/', '.']).next().unwrap_or_default();
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "{}: module {module} is not in the table of imports",
            source.path
        )];
    };
    let within = |path: &str, allowed: &str| {
        path == allowed
            || path
                .strip_prefix(allowed)
                .is_some_and(|r| r.starts_with("::"))
    };
    crate_paths(source, inside)
        .into_iter()
        .filter(|path| IMPORTS.iter().any(|(name, _)| within(path, name)))
        .filter(|path| !within(path, module) && !allowed.iter().any(|a| within(path, a)))
        .map(|path| format!("{}: {module} may not import {path}", source.path))
        .collect()
}

fn home_violations(source: &Source) -> Vec<String> {
    let Some(inside) = source.inside() else {
        return Vec::new();
    };
    let at_home = |home: &str| {
        home.is_empty()
            || inside == home
            || inside == format!("{home}.rs")
            || inside.starts_with(&format!("{home}/"))
    };
    HOMES
        .iter()
        .filter(|(name, homes)| {
            names_crate(&source.code, name) && !homes.iter().any(|h| at_home(h))
        })
        .map(|(name, _)| format!("{}: {name} is not at home here", source.path))
        .collect()
}

fn form_violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//! ") {
        found.push(format!(
            "{}: does not open with //! and what it promises",
            source.path
        ));
    }
    let lines = source.text.lines().count();
    let usual = if is_test(&source.path) {
        TEST_LINES
    } else {
        LINES
    };
    let long = LONG.iter().find(|(path, ..)| *path == source.path);
    let limit = long.map_or(usual, |(_, lines, _)| *lines);
    if lines > limit {
        found.push(format!("{}: {lines} lines, at most {limit}", source.path));
    }
    if source.inside().is_none() {
        return found;
    }
    // Where clippy is told to let one pass, it is told why: for the whole file, or shortly above.
    let allowed = |number: usize, lint: &str| {
        let whole = source.text.contains(&format!("#![allow(\n    {lint}"))
            || source.text.contains(&format!("#![allow({lint}"));
        let above: Vec<&str> = source.text.lines().take(number).collect();
        whole || above.iter().rev().take(15).any(|l| l.contains(lint))
    };
    for (number, line) in source.code.lines().enumerate() {
        let place = format!("{}:{}", source.path, number + 1);
        if line.contains(".unwrap()") && !allowed(number, "clippy::unwrap_used") {
            found.push(format!("{place}: unwrap outside of tests"));
        }
        if let Some(at) = line.find("unsafe") {
            let keyword = is_word(line, at, "unsafe");
            if keyword && source.path != "src/lib.rs" {
                found.push(format!("{place}: unsafe outside of src/sys"));
            }
        }
        if line.contains(".expect(") && !allowed(number, "clippy::expect_used") {
            found.push(format!(
                "{place}: expect without the invariant that it rests on"
            ));
        }
    }
    found
}

fn assert_none(rule: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn imports_point_one_way() {
    assert_none(import_violations);
}

#[test]
fn every_crate_stays_at_home() {
    assert_none(home_violations);
}

#[test]
fn files_say_what_they_promise_stay_short_and_do_not_unwrap() {
    assert_none(form_violations);
}

#[test]
fn the_tables_know_every_module_and_every_dependency_and_nothing_else() {
    let sources = sources();
    let modules: BTreeSet<&str> = sources
        .iter()
        .filter_map(Source::inside)
        .filter_map(|inside| inside.split(['/', '.']).next())
        .collect();
    assert_eq!(modules, IMPORTS.iter().map(|(name, _)| *name).collect());

    let cargo =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let cargo: toml::Table = toml::from_str(&cargo).unwrap();
    let dependencies: BTreeSet<String> = cargo["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect();
    assert_eq!(
        dependencies,
        HOMES.iter().map(|(name, _)| (*name).to_owned()).collect()
    );

    let used = |name: &str| {
        sources
            .iter()
            .any(|s| s.inside().is_some() && names_crate(&s.code, name))
    };
    let unused: Vec<&str> = HOMES.iter().map(|(n, _)| *n).filter(|n| !used(n)).collect();
    assert!(
        unused.is_empty(),
        "in Cargo.toml and nowhere used: {unused:?}"
    );
    for (path, lines, reason) in LONG {
        assert!(sources.iter().any(|s| s.path == *path), "{path} is no more");
        assert!(*lines > LINES && reason.len() > 20, "{path}: say why");
    }
}

/// Two providers of cryptography in one tree make rustls guess, and panic at the first connection.
#[test]
fn tls_has_one_provider_of_cryptography_and_that_is_ring() {
    let lock =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let lock: toml::Table = toml::from_str(&lock).unwrap();
    let packages = lock["package"].as_array().unwrap();
    let count = |name: &str| {
        let named = packages.iter().filter(|p| p["name"].as_str() == Some(name));
        named.count()
    };
    for other in [
        "aws-lc-rs",
        "aws-lc-sys",
        "aws-lc-fips-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
        "boring",
        "mbedtls",
        "rustls-openssl",
    ] {
        assert_eq!(count(other), 0, "{other}");
    }
    assert_eq!((count("ring"), count("rustls")), (1, 1));
}

/// The rules themselves, on made-up files: one that keeps them, and one break of each.
#[test]
fn every_rule_notices_a_break() {
    let cases: BTreeMap<&str, (&str, &str, usize)> = BTreeMap::from([
        (
            "plain import",
            ("src/api/x.rs", "//! X\nuse crate::service::Error;", 0),
        ),
        (
            "wrong way",
            ("src/model/x.rs", "//! X\nuse crate::http::Head;", 1),
        ),
        (
            "in a group",
            (
                "src/store/x.rs",
                "//! X\nuse crate::{model::BlobId, service::Error};",
                1,
            ),
        ),
        (
            "in code",
            ("src/http/x.rs", "//! X\nfn f() { crate::api::go() }", 1),
        ),
        (
            "by super",
            ("src/model/x.rs", "//! X\nuse super::super::http::Head;", 1),
        ),
        (
            "one item only",
            ("src/api/x.rs", "//! X\nuse crate::pipeline::Output;", 0),
        ),
        (
            "another item",
            (
                "src/api/x.rs",
                "//! X\nuse crate::pipeline::{Output, Source};",
                1,
            ),
        ),
        (
            "in words",
            (
                "src/model/x.rs",
                "//! X\n// crate::http\nconst A: &str = \"crate::http\";",
                0,
            ),
        ),
        (
            "in tests",
            (
                "src/model/x.rs",
                "//! X\n#[cfg(test)]\nmod tests {\nuse crate::http;\nfn f() { x.unwrap() }\n}",
                0,
            ),
        ),
        (
            "after tests",
            (
                "src/model/x.rs",
                "//! X\n#[cfg(test)]\nmod tests;\nuse crate::http::Head;",
                1,
            ),
        ),
        ("unknown module", ("src/zoo/x.rs", "//! X", 1)),
        (
            "crate away from home",
            ("src/service/x.rs", "//! X\nuse tiny_http::Server;", 1),
        ),
        (
            "crate in a path",
            ("src/api/x.rs", "//! X\nfn f() { redb::go() }", 1),
        ),
        (
            "crate at home",
            ("src/metadata/x.rs", "//! X\nuse redb::Database;", 0),
        ),
        (
            "word like a crate",
            (
                "src/api/x.rs",
                "//! X\nfn f(log: u8) { self.ring::<u8>(); m::redb::x() }",
                0,
            ),
        ),
        ("no opening", ("src/api/x.rs", "use std::fmt;", 1)),
        (
            "unwrap",
            ("src/api/x.rs", "//! X\nfn f() { x.unwrap() }", 1),
        ),
        (
            "unwrap in a string",
            (
                "src/api/x.rs",
                "//! X\nconst A: &str = r#\"x.unwrap()\"#; const B: char = '\"';",
                0,
            ),
        ),
        (
            "bare expect",
            ("src/api/x.rs", "//! X\nfn f() { x.expect(\"y\") }", 1),
        ),
        (
            "reasoned expect",
            (
                "src/api/x.rs",
                "//! X\n#[allow(clippy::expect_used, reason = \"z\")]\nfn f() { x.expect(\"y\") }",
                0,
            ),
        ),
        (
            "unsafe",
            ("src/api/x.rs", "//! X\nfn f() { unsafe { g() } }", 1),
        ),
    ]);
    for (name, (path, text, expected)) in cases {
        let source = Source::new(path, text);
        let rules = [import_violations, home_violations, form_violations];
        let found: Vec<String> = rules.iter().flat_map(|rule| rule(&source)).collect();
        assert_eq!(found.len(), expected, "{name}: {found:?}");
    }
    let long = Source::new("src/api/x.rs", &format!("//! X\n{}", "//\n".repeat(LINES)));
    assert_eq!(form_violations(&long).len(), 1);
}
