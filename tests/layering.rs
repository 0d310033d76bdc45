//! Holds the borders that the compiler does not: which module may import which, where each crate is
//! at home, and what every source file has to look like. A rule that has to give way is changed here, with
//! its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each top-level module may import from the others. `a` allows all of module `a`, `a::b` that
/// item only.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("http", &["model"]),
    ("gate", &["http", "model"]),
    ("server", &["http", "gate", "model"]),
    ("store", &["model", "pipeline::seal::keys"]),
    ("metadata", &["model"]),
    ("pipeline", &["store", "model"]),
    ("service", &["pipeline", "store", "metadata", "model"]),
    (
        "api",
        &[
            "http",
            "service",
            "model",
            "metadata::LinkCursor",
            "pipeline::Output",
        ],
    ),
    ("tasks", &["service", "model"]),
    (
        "config",
        &[
            "model",
            "server::Limits",
            "service::Encryption",
            "service::LEASE_SECONDS_DEFAULT",
        ],
    ),
    (
        "app",
        &[
            "api",
            "config",
            "metadata",
            "model",
            "pipeline::seal::keys",
            "server",
            "service",
            "store",
            "tasks",
        ],
    ),
    ("demo", &["app", "config", "model"]),
    ("lib", &[]),
    ("main", &[]),
];

/// Where each crate may be named. A folder stands for everything in it.
const HOMES: &[(&str, &[&str])] = &[
    ("tiny_http", &["server"]),
    ("smol", &["gate", "server", "tasks"]),
    ("httparse", &["gate"]),
    ("redb", &["metadata"]),
    ("ring", &["pipeline", "metadata/codec.rs"]),
    ("argon2", &["pipeline/seal"]),
    (
        "zeroize",
        &[
            "app", "config", "model", "pipeline", "service", "api", "demo.rs",
        ],
    ),
    ("rustix", &["app", "gate", "server", "store", "main.rs"]),
    ("mayfly_sys", &["gate", "server", "main.rs"]),
    ("serde", &["api", "config"]),
    ("serde_json", &["api"]),
    ("toml", &["config"]),
    ("percent_encoding", &["http", "api"]),
    (
        "data_encoding",
        &["model", "http", "store", "service", "api"],
    ),
    ("memchr", &["http", "gate"]),
    ("jiff", &["http", "api"]),
    ("minijinja", &["api/public"]),
    ("lexopt", &["main.rs"]),
    ("async_signal", &["tasks"]),
    ("log", &[""]),
    ("simplelog", &["main.rs"]),
];

/// Longest source file, in lines.
const LINES: usize = 400;

/// Files that are longer, up to which length, and why.
const LONG: &[(&str, usize, &str)] = &[];

/// A source file, cut up for the rules.
struct Source {
    /// Below the root of the repository, such as `src/api/mod.rs`.
    path: String,
    text: String,
    /// The text without comments, literals and what only tests compile.
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let shipped = if is_test(path) { "" } else { text };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: without_tests(&without_words(shipped)),
        }
    }

    /// The path below `src`, when it is part of the program.
    fn inside(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        (!inside.starts_with("sys/")).then_some(inside)
    }
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/")
}

/// Blanks comments, strings and characters; keeps every line where it is.
fn without_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            quoted(rest)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest[start..]
                .find(&end)
                .map_or(rest.len(), |at| start + at + end.len())
        } else if rest.starts_with("'\\") {
            rest[3..].find('\'').map_or(rest.len(), |at| at + 4)
        } else if c == '\'' && rest.chars().nth(2) == Some('\'') {
            rest.char_indices().nth(3).map_or(rest.len(), |(at, _)| at)
        } else {
            0
        };
        if skip == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let lines = rest[..skip].matches('\n').count();
            out.push(' ');
            out.extend(std::iter::repeat_n('\n', lines));
            rest = &rest[skip..];
        }
    }
    out
}

/// Bytes of the string literal that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How many hashes the raw string has that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// Blanks each item behind `#[cfg(test)]`, to its closing brace or semicolon.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0usize;
        let mut end = item.len();
        for (i, c) in item.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                end = i + 1;
                break;
            }
        }
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// Whether `word` stands at `at` as a word of its own.
fn is_word(code: &str, at: usize, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !part(code[..at].chars().next_back()) && !part(code[at + word.len()..].chars().next())
}

/// Every path from the root of the crate that the code names, with groups spread out.
fn crate_paths(source: &Source, inside: &str) -> Vec<String> {
    let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let up = "super::".repeat(module.split('/').count());
    let code = source.code.replace(&up, "crate::");
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if is_word(&code, at, "crate") {
            spread(&code[at + "crate::".len()..], "", &mut paths);
        }
    }
    paths
}

/// Spreads `a::{b, c::d}` into `a::b` and `a::c::d`; returns how many bytes it read.
fn spread(text: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
    let word = |t: &str| {
        t.bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
            .count()
    };
    let mut read = 0;
    let mut path = prefix.to_owned();
    loop {
        let rest = &text[read..];
        if rest.starts_with('{') {
            read += 1;
            while read < text.len() && !text[read..].starts_with('}') {
                let step = if word(&text[read..]) > 0 {
                    spread(&text[read..], &path, paths)
                } else {
                    0
                };
                read += step.max(usize::from(step == 0));
            }
            return (read + 1).min(text.len());
        }
        let length = word(rest);
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&rest[..length]);
        read += length;
        if length == 0 || !text[read..].starts_with("::") {
            paths.push(path.trim_end_matches(':').to_owned());
            return read;
        }
        read += 2;
        if text[read..].starts_with('{') {
            continue;
        }
    }
}

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

/// Whether the code uses that crate: `name::` at the start of a path, or `use name`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end();
        let inner =
            before.ends_with("::") && !before[..before.len() - 2].trim_end().ends_with("use");
        is_word(code, at, name)
            && !inner
            && (code[at + name.len()..].starts_with("::") || before.ends_with("use"))
    })
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
    let limit = LONG
        .iter()
        .find(|(path, ..)| *path == source.path)
        .map_or(LINES, |l| l.1);
    if lines > limit {
        found.push(format!("{}: {lines} lines, at most {limit}", source.path));
    }
    if source.inside().is_none() {
        return found;
    }
    for (number, line) in source.code.lines().enumerate() {
        let place = format!("{}:{}", source.path, number + 1);
        if line.contains(".unwrap()") {
            found.push(format!("{place}: unwrap outside of tests"));
        }
        if let Some(at) = line.find("unsafe") {
            let keyword = is_word(line, at, "unsafe");
            if keyword && source.path != "src/lib.rs" {
                found.push(format!("{place}: unsafe outside of src/sys"));
            }
        }
        if line.contains(".expect(") {
            let above: Vec<&str> = source.text.lines().take(number).collect();
            let reasoned = above
                .iter()
                .rev()
                .take(15)
                .any(|l| l.contains("clippy::expect_used"));
            if !reasoned {
                found.push(format!(
                    "{place}: expect without the invariant that it rests on"
                ));
            }
        }
    }
    found
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(root).unwrap().to_str().unwrap();
            Source::new(path, &fs::read_to_string(file).unwrap())
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
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
        let length = sources
            .iter()
            .find(|s| s.path == *path)
            .map(|s| s.text.lines().count());
        assert!(
            length.is_some_and(|n| n > LINES && n <= *lines),
            "{path} needs no exception"
        );
        assert!(reason.len() > 20, "{path}: say why");
    }
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
