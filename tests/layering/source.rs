//! Source files, and what the rules ask of them: which paths they name, which crates, and what is
//! only words.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file, cut up for the rules.
pub struct Source {
    /// Below the root of the repository, such as `src/api/mod.rs`.
    pub path: String,
    pub text: String,
    /// The text without comments, literals and what only tests compile.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let shipped = if is_test(path) { "" } else { text };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: without_tests(&without_words(shipped)),
        }
    }

    /// The path below `src`, when it is part of the program.
    pub fn inside(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        (!inside.starts_with("sys/")).then_some(inside)
    }
}

/// Whether only tests compile the file.
pub fn is_test(path: &str) -> bool {
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
pub fn is_word(code: &str, at: usize, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    !part(code[..at].chars().next_back()) && !part(code[at + word.len()..].chars().next())
}

/// Every path from the root of the crate that the code names, with groups spread out.
pub fn crate_paths(source: &Source, inside: &str) -> Vec<String> {
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

/// Whether the code uses that crate: `name::` at the start of a path, or `use name`.
pub fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end();
        let inner =
            before.ends_with("::") && !before[..before.len() - 2].trim_end().ends_with("use");
        is_word(code, at, name)
            && !inner
            && !before.ends_with('.')
            && (code[at + name.len()..].starts_with("::") || before.ends_with("use"))
    })
}

/// Every source file of the repository.
pub fn sources() -> Vec<Source> {
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
