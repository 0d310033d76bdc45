//! What is given for each key, and where: lines of the file and variables of the environment.
//!
//! Names and places only; what a value means is the business of `values`.

use super::problem::{Place, Problem};
use crate::model::is_hostile;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// What the variables of settings begin with: `MAYFLY_LISTEN`, `MAYFLY_LIMITS_UPLOADS`.
const PREFIX: &str = "MAYFLY_";

/// Where systemd takes credentials from that are named without a path.
pub(super) const CREDENTIAL_STORE: &str = "/etc/credstore";

/// The environment of a process, as data.
#[derive(Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// That of this process. Where systemd does not hand credentials over, they are looked for where
    /// it would take them from.
    pub fn of_process() -> Self {
        let store = ("CREDENTIALS_DIRECTORY".into(), CREDENTIAL_STORE.into());
        std::env::vars_os().chain([store]).collect()
    }

    /// What a variable holds, if it is set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// Where systemd puts credentials (`LoadCredential=`), if it runs this process with any.
    pub fn credentials_directory(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.get("CREDENTIALS_DIRECTORY")?);
        path.is_absolute().then_some(path)
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(pairs.map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// A value before it is read.
pub(super) enum Value<'a> {
    /// From the file.
    Toml(&'a DeValue<'a>),
    /// From the environment: text without quotes.
    Text(&'a str),
}

impl<'a> Value<'a> {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&'a str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    /// The whole number from 0 on, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Toml(value) => {
                let number = value.as_integer()?;
                let digits = number.as_str().trim_start_matches('+');
                u64::from_str_radix(digits, number.radix()).ok()
            }
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// The switch, if it is one.
    pub fn switch(&self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    /// The elements, if it is a list: in the environment they are separated by commas.
    pub fn list(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::Toml(value) => {
                let list = value.as_array()?;
                Some(list.iter().map(|v| Value::Toml(v.get_ref())).collect())
            }
            Self::Text(text) => {
                let parts = text.split(',').map(str::trim);
                Some(parts.filter(|p| !p.is_empty()).map(Value::Text).collect())
            }
        }
    }
}

/// One value and where it stands.
pub(super) struct Given<'a> {
    /// The key with its table: `limits.uploads`.
    pub key: String,
    pub place: Place,
    pub value: Value<'a>,
    /// The last line of the value, in the file.
    pub last_line: usize,
    /// The value as written.
    pub shown: String,
}

/// Where the lines of a text end.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub fn new(text: &[u8]) -> Self {
        let all = text.iter().enumerate();
        Self(
            all.filter(|(_, b)| **b == b'\n')
                .map(|(at, _)| at)
                .collect(),
        )
    }

    /// The line that holds a byte; the first is 1.
    pub fn of(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|end| *end < offset)
    }
}

/// Every key of a parsed file. `tables` are the tables that settings have.
pub(super) fn of_file<'a>(
    table: &'a DeTable<'a>,
    text: &str,
    lines: &Lines,
    tables: &[&str],
    problems: &mut Vec<Problem>,
) -> Vec<Given<'a>> {
    let mut found = Vec::new();
    let mut pending = Vec::new();
    for (name, value) in table {
        let key = name.get_ref().to_string();
        let line = lines.of(name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) if tables.contains(&key.as_str()) => {
                pending.extend(
                    inner
                        .iter()
                        .map(|(n, v)| (format!("{key}.{}", n.get_ref()), n, v)),
                );
            }
            _ if tables.contains(&key.as_str()) => problems.push(Problem {
                place: Place::Line(line),
                remedy: format!("this is a table: write a line [{key}], and its settings below"),
                key,
                value: String::new(),
            }),
            _ => pending.push((key, name, value)),
        }
    }
    for (key, name, value) in pending {
        let line = lines.of(name.span().start);
        // A value that broken TOML was taken for may have no place of its own.
        let last_line = lines.of(value.span().end.saturating_sub(1)).max(line);
        found.push(Given {
            key,
            place: Place::Line(line),
            value: Value::Toml(value.get_ref()),
            last_line,
            shown: one_line(text.get(value.span()).unwrap_or_default()),
        });
    }
    found
}

/// The longest value that is shown, in characters.
const SHOWN: usize = 80;

/// A text from outside as one line that is not too long, and does nothing to a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(SHOWN) {
        line.truncate(end);
        line.push_str("...");
    }
    line.chars()
        .map(|c| if is_hostile(c) { '?' } else { c })
        .collect()
}

/// The variable of a key: `MAYFLY_LIMITS_UPLOADS` for `limits.uploads`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Every variable that begins with the prefix; `keys` are all there are.
pub(super) fn of_environment<'a>(
    environment: &'a Environment,
    keys: &[&'static str],
    problems: &mut Vec<Problem>,
) -> Vec<Given<'a>> {
    let mut found = Vec::new();
    for (name, value) in &environment.0 {
        // A name that is not text cannot be one of ours; one that only begins so is told.
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) {
            continue;
        }
        let place = Place::Variable(one_line(&name));
        let mut refuse = |key: &str, remedy: String| {
            problems.push(Problem {
                place: place.clone(),
                key: key.to_owned(),
                value: String::new(),
                remedy,
            });
        };
        let key = keys.iter().find(|key| variable(key) == name);
        match (key, value.to_str()) {
            (Some(key), Some(text)) => found.push(Given {
                key: (*key).to_owned(),
                place,
                value: Value::Text(text),
                last_line: 0,
                shown: one_line(text),
            }),
            (Some(key), None) => refuse(key, "the value is not text: write it in UTF-8".to_owned()),
            (None, _) => {
                let names: Vec<String> = keys.iter().map(|key| variable(key)).collect();
                let names = names.iter().map(String::as_str);
                let remedy = match super::values::nearest(&name, names) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "unset it (variables that begin with MAYFLY_ are settings)".to_owned(),
                };
                refuse("", format!("there is no such setting; {remedy}"));
            }
        }
    }
    found
}
