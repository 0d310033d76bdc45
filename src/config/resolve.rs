//! From the file to [`Settings`]: every value is read, every gap filled, every problem told.

use super::file::{File, KEYS, LIMIT_KEYS, LimitsTable};
use super::{Settings, values};
use crate::server::Limits;
use crate::service::Encryption;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Value;

/// One thing that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The key, with its table; empty when the file as a whole is meant.
    pub key: String,
    /// What stands there; empty when nothing does.
    pub value: String,
    /// What to do.
    pub remedy: String,
}

/// Everything that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        let word = if count == 1 { "problem" } else { "problems" };
        write!(f, "{count} {word} in {}", self.path.display())?;
        for problem in &self.list {
            write!(f, "\n  ")?;
            if !problem.key.is_empty() {
                write!(f, "{}", problem.key)?;
                if !problem.value.is_empty() {
                    write!(f, " = {}", problem.value)?;
                }
                write!(f, ": ")?;
            }
            write!(f, "{}", problem.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads and resolves a settings file. Relative paths in it are meant from its folder.
///
/// # Errors
/// Every [`Problem`] of the file at once; a file that cannot be read or is no TOML is one.
pub fn load(path: &Path) -> Result<Settings, Problems> {
    let whole = |remedy: String| Problems {
        path: path.to_owned(),
        list: vec![Problem {
            key: String::new(),
            value: String::new(),
            remedy,
        }],
    };
    let text = std::fs::read_to_string(path).map_err(|e| {
        whole(format!(
            "the file cannot be read: {e}; check the path and who may read it"
        ))
    })?;
    let file: File =
        toml::from_str(&text).map_err(|e| whole(format!("this is not valid TOML:\n{e}")))?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    resolve(file, absolute.parent().unwrap_or(Path::new("/"))).map_err(|list| Problems {
        path: path.to_owned(),
        list,
    })
}

/// Fills the gaps of `file` with defaults; `base` is where relative paths start.
pub(super) fn resolve(file: File, base: &Path) -> Result<Settings, Vec<Problem>> {
    let mut reader = Reader {
        table: "",
        problems: Vec::new(),
    };
    let data_dir = reader.read("data_dir", file.data_dir, |v| values::path(v, base));
    let mut settings =
        Settings::in_directory(data_dir.unwrap_or_else(|| PathBuf::from("/var/lib/mayfly")));

    reader.set("listen", file.listen, &mut settings.listen, values::address);
    settings.public_url = reader.read("public_url", file.public_url, values::url);
    reader.set(
        "trusted_proxies",
        file.trusted_proxies,
        &mut settings.trusted_proxies,
        values::networks,
    );
    reader.set(
        "credentials_file",
        file.credentials_file,
        &mut settings.credentials_file,
        |v| values::path(v, base),
    );
    reader.set(
        "encryption",
        file.encryption,
        &mut settings.encryption,
        |v| {
            values::word(
                v,
                &[
                    ("link", Encryption::Link),
                    ("server", Encryption::Server),
                    ("none", Encryption::None),
                ],
            )
        },
    );
    settings.master_key_file = reader.read("master_key_file", file.master_key_file, |v| {
        values::path(v, base)
    });
    let count = |v: &Value| small(v, 0, u32::MAX);
    reader.set(
        "default_downloads",
        file.default_downloads,
        &mut settings.default_downloads,
        count,
    );
    reader.set(
        "default_days",
        file.default_days,
        &mut settings.default_days,
        |v| small(v, 0, 36_500),
    );
    reader.set(
        "max_file_size",
        file.max_file_size,
        &mut settings.max_file_size,
        |v| {
            values::size(v).and_then(|bytes| {
                (bytes > 0)
                    .then_some(bytes)
                    .ok_or_else(|| "with 0 nothing can be uploaded; write at least 1".to_owned())
            })
        },
    );
    reader.set(
        "min_free_space",
        file.min_free_space,
        &mut settings.min_free_space,
        values::size,
    );
    reader.set("dedup", file.dedup, &mut settings.dedup, values::switch);
    reader.set(
        "hotlink_protection",
        file.hotlink_protection,
        &mut settings.hotlink_protection,
        values::switch,
    );
    reader.set(
        "download_patience",
        file.download_patience,
        &mut settings.lease,
        values::time,
    );
    reader.set(
        "password_opens_for",
        file.password_opens_for,
        &mut settings.unlock,
        values::time,
    );
    reader.set("log_level", file.log_level, &mut settings.log_level, |v| {
        values::word(
            v,
            &[
                ("error", log::LevelFilter::Error),
                ("warn", log::LevelFilter::Warn),
                ("info", log::LevelFilter::Info),
                ("debug", log::LevelFilter::Debug),
            ],
        )
    });
    reader.unknown(&file.unknown, KEYS);
    reader.limits(file.limits, &mut settings.limits);
    reader.master_key(&settings);

    if reader.problems.is_empty() {
        Ok(settings)
    } else {
        Err(reader.problems)
    }
}

/// Reads values one by one and remembers what was wrong.
struct Reader {
    /// What keys are told with in front: the table they stand in.
    table: &'static str,
    problems: Vec<Problem>,
}

impl Reader {
    fn read<T>(
        &mut self,
        key: &str,
        value: Option<Value>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = value?;
        match read(&value) {
            Ok(read) => Some(read),
            Err(remedy) => {
                self.problem(key, &value.to_string(), remedy);
                None
            }
        }
    }

    fn set<T>(
        &mut self,
        key: &str,
        value: Option<Value>,
        setting: &mut T,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) {
        if let Some(read) = self.read(key, value, read) {
            *setting = read;
        }
    }

    fn limits(&mut self, value: Option<Value>, limits: &mut Limits) {
        let Some(value) = value else { return };
        let table: LimitsTable = match value.try_into() {
            Ok(table) => table,
            Err(_) => {
                return self.problem("limits", "", "write a table: a line [limits]".to_owned());
            }
        };
        self.table = "limits.";
        let count = |v: &Value| {
            values::number(v, 1, 1_000_000).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
        };
        self.set(
            "connections",
            table.connections,
            &mut limits.connections,
            count,
        );
        self.set(
            "connections_per_address",
            table.connections_per_address,
            &mut limits.connections_per_address,
            count,
        );
        self.set("uploads", table.uploads, &mut limits.uploads, count);
        self.set("downloads", table.downloads, &mut limits.downloads, count);
        self.set("head", table.head, &mut limits.head, values::time);
        self.set("idle", table.idle, &mut limits.idle, values::time);
        self.set(
            "body_stall",
            table.body_stall,
            &mut limits.body_stall,
            values::time,
        );
        self.set(
            "body_rate",
            table.body_rate,
            &mut limits.body_rate,
            values::size,
        );
        self.set(
            "write_stall",
            table.write_stall,
            &mut limits.write_stall,
            values::time,
        );
        self.unknown(&table.unknown, LIMIT_KEYS);
        self.table = "";
    }

    /// The master key belongs to mode `server`, and not onto the disk that it protects.
    fn master_key(&mut self, settings: &Settings) {
        let remedy = match (&settings.master_key_file, settings.encryption) {
            (None, Encryption::Server) => {
                "encryption = \"server\" needs it: write a path outside data_dir; the file is made at the first start"
            }
            (Some(_), Encryption::Link | Encryption::None) => {
                "only encryption = \"server\" uses it: remove this line, or change encryption"
            }
            (Some(path), Encryption::Server) if path.starts_with(&settings.data_dir) => {
                "who takes data_dir would take the key along: write a path outside of it"
            }
            _ => return,
        };
        let value = settings.master_key_file.as_ref().map(|p| format!("{p:?}"));
        self.problem(
            "master_key_file",
            &value.unwrap_or_default(),
            remedy.to_owned(),
        );
    }

    fn unknown(&mut self, unknown: &BTreeMap<String, Value>, known: &[&str]) {
        for key in unknown.keys() {
            let near = known
                .iter()
                .map(|k| (distance(key, k), *k))
                .min()
                .filter(|(d, _)| *d <= 3);
            let remedy = match near {
                Some((_, k)) => format!("there is no such setting; did you mean {k}?"),
                None => {
                    "there is no such setting; remove it (config/mayfly.toml lists all)".to_owned()
                }
            };
            self.problem(key, "", remedy);
        }
    }

    fn problem(&mut self, key: &str, value: &str, remedy: String) {
        self.problems.push(Problem {
            key: format!("{}{key}", self.table),
            value: value.to_owned(),
            remedy,
        });
    }
}

fn small(value: &Value, low: u32, high: u32) -> Result<u32, String> {
    let number = values::number(value, low.into(), high.into())?;
    u32::try_from(number).map_err(|e| e.to_string())
}

/// How many letters have to change to make `a` from `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
