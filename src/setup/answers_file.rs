//! Answers from a file, for setups that nobody watches: the same answers, all problems at once.
//!
//! ```toml
//! admin_password_file = "/root/mayfly-password"   # or admin_password, in a file that is 0600
//! data_dir = "/var/lib/mayfly"
//! public_url = "https://files.example.org"
//! listen = "127.0.0.1:53842"
//! default_days = 14
//! default_downloads = 1
//! encryption = "link"
//! check_bucket = true                             # false: write the settings also for one that is away
//! [storage]
//! kind = "s3"
//! [s3]                                            # as in the settings
//! endpoint = "https://s3.eu-central-1.amazonaws.com"
//! region = "eu-central-1"
//! bucket = "my-files"
//! key_id_file = "/root/key-id"                    # or key_id, in a file that is 0600
//! secret_file = "/root/secret"                    # or secret, likewise
//! token_file = "/root/token"                      # or token, likewise; of a temporary key
//! prefix = "mayfly/"                              # what the names of objects begin with
//! ca_file = "/etc/mayfly/home-ca.pem"             # trusted as well
//! ```
//!
//! Only a password is needed; what is left out has its default. Secrets that stand in the file itself
//! are written into files of their own. The service cannot read the files of other users: for its
//! settings the contents of the files that are named here are copied to where systemd finds them.

use super::answers::{KEYS, SECRETS, listen_for};
use super::trial::first_trouble;
use super::{Answers, Host, SetupError, ThisHost, password};
use crate::config::{Problem, SecretFile};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use zeroize::Zeroizing;

/// No answers file and no password file is longer, in bytes.
const LARGEST: u64 = 64 * 1024;

const PASSWORD: &str = "admin_password";
const PASSWORD_FILE: &str = "admin_password_file";
const CHECK_BUCKET: &str = "check_bucket";

/// The tables among the answers.
const TABLES: [&str; 2] = ["storage", "s3"];

/// Reads the answers for settings in `config`, and tries the bucket out, if there is one.
///
/// # Errors
/// Every problem at once.
pub(super) fn read_and_try(
    path: &Path,
    config: &Path,
    host: &dyn Host,
) -> Result<Answers, SetupError> {
    let answers = read(path, config)?;
    let failed = |problems| SetupError::Answers {
        path: path.to_owned(),
        problems,
    };
    if !answers.is_bucket() || answers.bucket_is_unchecked {
        return Ok(answers);
    }
    let settings = answers.settings_with_secrets();
    let settings = settings.map_err(|list| failed(list.iter().map(told).collect()))?;
    match first_trouble(&host.bucket(&settings)) {
        None => Ok(answers),
        Some(trouble) => Err(failed(vec![format!(
            "[s3]: {} ({CHECK_BUCKET} = false writes the settings all the same)",
            trouble.sentence
        )])),
    }
}

/// Reads the answers for settings in `config`.
///
/// # Errors
/// Every problem at once.
pub(super) fn read(path: &Path, config: &Path) -> Result<Answers, SetupError> {
    let mut problems = Vec::new();
    let answers = parse(path, config, &mut problems);
    match answers {
        Some(answers) if problems.is_empty() => Ok(answers),
        _ => Err(SetupError::Answers {
            path: path.to_owned(),
            problems,
        }),
    }
}

fn parse(path: &Path, config: &Path, problems: &mut Vec<String>) -> Option<Answers> {
    let text = match File::open(path).and_then(text_of) {
        Ok(text) => text,
        Err(e) => {
            problems.push(format!(
                "the file cannot be read: {e}; check the path and who may read it"
            ));
            return None;
        }
    };
    let mut table: Table = match toml::from_str(&text) {
        Ok(table) => table,
        Err(e) => {
            // The line itself may be a secret.
            let line = e.span().map_or(1, |s| {
                text[..s.start.min(text.len())].matches('\n').count() + 1
            });
            problems.push(format!(
                "line {line}: this is not valid TOML: {}",
                e.message()
            ));
            return None;
        }
    };
    let mut answers = Answers::new(config);
    match password(path, &mut table) {
        Ok(password) => answers.password = password,
        Err(problem) => problems.push(problem),
    }
    match table.remove(CHECK_BUCKET) {
        None | Some(Value::Boolean(true)) => {}
        Some(Value::Boolean(false)) => answers.bucket_is_unchecked = true,
        Some(_) => problems.push(format!("{CHECK_BUCKET}: write true or false")),
    }
    flatten(&mut table);
    for key in KEYS {
        if let Some(value) = table.remove(*key) {
            answers.put(key, value);
        }
    }
    secrets(path, &mut table, &mut answers, problems);
    if let Err(problem) = answers.settle_for_service() {
        problems.push(problem);
    }
    for key in table.keys() {
        problems.push(format!(
            "{key}: there is no such answer; {PASSWORD_FILE}, {PASSWORD} and these are: {}",
            KEYS.join(", ")
        ));
    }
    let url = answers.text("public_url");
    if let Some(url) = url.filter(|_| answers.text("listen").is_none()) {
        answers.put("listen", Value::String(listen_for(&url).to_string()));
    }
    match answers.settings() {
        Ok(settings) => {
            if let Err(remedy) = ThisHost.storage(&settings.data_dir) {
                problems.push(format!("data_dir: {remedy}"));
            }
        }
        Err(list) => problems.extend(list.iter().map(told)),
    }
    Some(answers)
}

fn told(problem: &Problem) -> String {
    let value = if problem.value.is_empty() { "" } else { " = " };
    format!(
        "{}{value}{}: {}",
        problem.key, problem.value, problem.remedy
    )
}

/// Puts what is in tables beside the rest, under names such as `s3.bucket`.
fn flatten(table: &mut Table) {
    for name in TABLES {
        match table.remove(name) {
            Some(Value::Table(inner)) => {
                let inner = inner.into_iter();
                table.extend(inner.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            Some(other) => drop(table.insert(name.to_owned(), other)),
            None => {}
        }
    }
}

/// The secrets of the bucket that stand in the file itself, taken out of the table.
fn secrets(path: &Path, table: &mut Table, answers: &mut Answers, problems: &mut Vec<String>) {
    for (file, name, _) in SECRETS {
        let Some(value) = table.remove(&format!("s3.{name}")) else {
            continue;
        };
        let taken = match value {
            Value::String(text) => {
                let text = Zeroizing::new(text);
                match SecretFile::named(path.to_owned()).open() {
                    Err(e) => Err(format!("it is a secret, and of this file: {e}")),
                    Ok(_) if answers.text(file).is_some() => {
                        Err(format!("{name}_file is there, too: keep one of the two"))
                    }
                    Ok(_) => answers.set_secret(file, text),
                }
            }
            _ => Err("write a text in quotes".to_owned()),
        };
        if let Err(remedy) = taken {
            problems.push(format!("s3.{name}: {remedy}"));
        }
    }
}

/// The password, taken out of the table.
fn password(path: &Path, table: &mut Table) -> Result<Zeroizing<String>, String> {
    let (inline, named) = (table.remove(PASSWORD), table.remove(PASSWORD_FILE));
    let password = match (inline, named) {
        (Some(Value::String(text)), None) => {
            let text = Zeroizing::new(text);
            SecretFile::named(path.to_owned())
                .open()
                .map_err(|e| format!("{PASSWORD}: it is a secret, and of this file: {e}"))?;
            text
        }
        (None, Some(Value::String(file))) => {
            let text = SecretFile::named(PathBuf::from(file)).read_text();
            text.map_err(|e| format!("{PASSWORD_FILE}: {e}"))?
        }
        (Some(_), Some(_)) => {
            return Err(format!("{PASSWORD} and {PASSWORD_FILE}: give one of them"));
        }
        (None, None) => {
            return Err(format!(
                "{PASSWORD_FILE}: name a file that holds the password of the account admin"
            ));
        }
        (Some(_), None) => return Err(format!("{PASSWORD}: write a text in quotes")),
        (None, Some(_)) => return Err(format!("{PASSWORD_FILE}: write a path in quotes")),
    };
    password::check(&password).map_err(|remedy| format!("the password: {remedy}"))?;
    Ok(password)
}

fn text_of(file: File) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}
