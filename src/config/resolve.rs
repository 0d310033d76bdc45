//! From file and environment to [`Settings`]: every value is read, every gap filled, every problem
//! told.

use super::keys::{KEYS, TABLES};
use super::problem::{Place, Problem, Problems};
use super::source::{self, Environment, Given, Lines};
use super::{CREDENTIALS, DATA_DIR, Settings, checks, s3, values};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// The largest settings file that is read, in bytes.
const LARGEST: u64 = 64 << 10;

/// What a check of the settings has found besides problems.
#[derive(Clone, Debug)]
pub struct Report {
    /// The settings.
    pub settings: Settings,
    /// What works, and is probably not meant, each with a remedy.
    pub warnings: Vec<Problem>,
}

/// Reads and resolves the settings: what a variable says goes before the file, and that before the
/// default.
///
/// # Errors
/// Every [`Problem`] at once; a file that cannot be read or is no TOML is one.
pub fn load(path: &Path, environment: &Environment) -> Result<Settings, Problems> {
    check(path, environment).map(|report| report.settings)
}

/// The same, and what is probably not meant as well.
///
/// # Errors
/// As [`load`].
pub fn check(path: &Path, environment: &Environment) -> Result<Report, Problems> {
    let bytes = read(path).map_err(|remedy| Problems {
        path: Some(path.to_owned()),
        list: vec![whole(remedy)],
    })?;
    let mut found = resolve(&bytes, environment);
    if found.problems.is_empty() {
        checks::on_disk(&mut found);
    }
    let mut warnings = checks::warnings(&found);
    warnings.extend(s3::warnings(&found, path));
    if is_open_to_others(path) {
        warnings.push(whole(format!(
            "others may change the file, and with it where files go: chmod go-w {}",
            path.display()
        )));
    }
    let settings = found.finish(Some(path))?;
    Ok(Report { settings, warnings })
}

/// The settings that a file with these bytes would give. Takes any bytes, and opens no file: of the
/// machine, only whether systemd passes a master key is looked at.
///
/// # Errors
/// As [`load`].
pub fn parse(bytes: &[u8], environment: &Environment) -> Result<Settings, Problems> {
    resolve(bytes, environment).finish(None)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |e| format!("the file cannot be read: {e}; check the path and who may read it");
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err("the file is larger than 64 KiB; name a settings file".to_owned());
    }
    Ok(bytes)
}

fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.mode() & 0o022 != 0)
}

fn whole(remedy: String) -> Problem {
    Problem {
        place: Place::File,
        key: String::new(),
        value: String::new(),
        remedy,
    }
}

/// Settings in the making: what was given, where, and what is wrong with it.
pub(super) struct Found {
    pub settings: Settings,
    /// Where each key was given that counts, and as what.
    given: HashMap<&'static str, (Place, String)>,
    pub problems: Vec<Problem>,
}

impl Found {
    /// Whether somebody gave this key.
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// A finding about a key: at its place, or as a consequence of defaults.
    pub fn about(&self, key: &str, remedy: impl Into<String>) -> Problem {
        let given = self.given.get(key).cloned();
        let (place, value) = given.unwrap_or((Place::Default, String::new()));
        Problem {
            place,
            key: key.to_owned(),
            value,
            remedy: remedy.into(),
        }
    }

    /// Whether none of these keys has a problem of its own.
    pub fn is_sound(&self, keys: &[&str]) -> bool {
        let broken = |p: &Problem| {
            let of_file = p.key.is_empty() && !matches!(p.place, Place::Variable(_));
            of_file || keys.contains(&p.key.as_str())
        };
        !self.problems.iter().any(broken)
    }

    fn finish(mut self, path: Option<&Path>) -> Result<Settings, Problems> {
        if self.problems.is_empty() {
            return Ok(self.settings);
        }
        self.problems.sort_by(|a, b| a.place.cmp(&b.place));
        Err(Problems {
            path: path.map(Path::to_owned),
            list: self.problems,
        })
    }

    /// Reads values into the settings; the last one of a key counts.
    fn take(&mut self, given: Vec<Given<'_>>) {
        for Given {
            key: name,
            place,
            value,
            shown,
            ..
        } in given
        {
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let remedy = unknown(&name);
                self.problems.push(Problem {
                    place,
                    key: source::one_line(&name),
                    value: String::new(),
                    remedy,
                });
                continue;
            };
            match (key.read)(&mut self.settings, &value) {
                Ok(()) => {
                    let shown = if key.secret { String::new() } else { shown };
                    self.given.insert(key.name, (place, shown));
                }
                Err(remedy) => self.problems.push(Problem {
                    place,
                    key: name,
                    // An address may have a password in it.
                    value: if key.secret || shown.contains('@') {
                        String::new()
                    } else {
                        shown
                    },
                    remedy,
                }),
            }
        }
    }
}

fn resolve(bytes: &[u8], environment: &Environment) -> Found {
    let mut found = Found {
        settings: Settings::in_directory(PathBuf::from(DATA_DIR)),
        given: HashMap::new(),
        problems: Vec::new(),
    };
    let lines = Lines::new(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            found.problems.push(Problem {
                place: Place::Line(lines.of(e.valid_up_to())),
                ..whole("this is not UTF-8; save the file as UTF-8".to_owned())
            });
            ""
        }
    };
    let mut broken: BTreeSet<Place> = found.problems.iter().map(|p| p.place.clone()).collect();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = match error.span() {
            Some(span) => Place::Line(lines.of(span.start)),
            None => Place::File,
        };
        // What follows from a mistake on the same line helps nobody.
        if broken.insert(place.clone()) {
            found.problems.push(Problem {
                place,
                ..whole(format!(
                    "this is not valid TOML: {}",
                    mended(error.message())
                ))
            });
        }
    }
    // What a broken line was taken for is not judged.
    let mut given = source::of_file(table.get_ref(), text, &lines, TABLES, &mut found.problems);
    given.retain(|g| {
        let to = Place::Line(g.last_line);
        broken.range(g.place.clone()..=to).next().is_none()
    });
    found.take(given);

    let names: Vec<&'static str> = KEYS.iter().map(|key| key.name).collect();
    let given = source::of_environment(environment, &names, &mut found.problems);
    found.take(given);

    if !found.is_given("credentials_file") {
        found.settings.credentials_file = found.settings.data_dir.join(CREDENTIALS);
    }
    if found.settings.s3.bucket.is_some() && !found.is_given("limits.downloads") {
        found.settings.limits.downloads = s3::DOWNLOADS_AT_ONCE;
    }
    checks::credentials(&mut found.settings, environment);
    checks::between_keys(&mut found);
    found
}

/// What the toml crate says, and what to do. Nothing of the line itself: it may be a secret.
const MISTAKES: &[(&str, &str)] = &[
    (
        "duplicate key",
        "the same key or table stands further up: keep one of them",
    ),
    (
        "string values must be quoted",
        "write a value after the =, and a text in quotes: key = \"text\"",
    ),
    ("invalid float", "a text needs quotes: key = \"text\""),
    ("invalid integer", "a text needs quotes: key = \"text\""),
    (
        "key with no value",
        "write key = value, with an equals sign",
    ),
    (
        "invalid basic string",
        "a text ends with a quote, on its line",
    ),
    (
        "array",
        "the parts of a list have commas between them, and a ] at the end",
    ),
];

fn mended(message: &str) -> String {
    match MISTAKES.iter().find(|(m, _)| message.contains(m)) {
        Some((_, remedy)) => (*remedy).to_owned(),
        None => source::one_line(message),
    }
}

/// What to say of a key that does not exist.
fn unknown(name: &str) -> String {
    let (table, last) = match name.split_once('.') {
        Some((table, last)) => (table, last),
        None => ("", name),
    };
    let all = || KEYS.iter().map(|key| key.name);
    // A key that stands in another table: after a line [table], everything belongs to it.
    let elsewhere: Vec<String> = all()
        .filter(|key| key.rsplit('.').next() == Some(last))
        .map(|key| match key.split_once('.') {
            Some((table, _)) => format!("below a line [{table}]"),
            None => "above the first [table]".to_owned(),
        })
        .collect();
    let remedy = if !elsewhere.is_empty() {
        format!("{last} belongs {}", elsewhere.join(" or "))
    } else if let Some(near) = values::nearest(name, all()) {
        // In its own table, a key is written without it.
        let near = match near.split_once('.') {
            Some((t, last)) if t == table => last,
            _ => near,
        };
        format!("did you mean {near}?")
    } else if let Some(near) = values::nearest(name, TABLES.iter().copied()) {
        format!("did you mean [{near}]?")
    } else {
        "remove it (the mayfly.toml that comes with the program lists all)".to_owned()
    };
    format!("there is no such setting here; {remedy}")
}
