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
//! ```
//!
//! Only a password is needed; what is left out has its default.

use super::answers::{KEYS, listen_for};
use super::{Answers, Host, SetupError, ThisHost, password};
use crate::config::{SecretError, SecretFile};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use zeroize::Zeroizing;

/// No answers file and no password file is longer, in bytes.
const LARGEST: u64 = 64 * 1024;

const PASSWORD: &str = "admin_password";
const PASSWORD_FILE: &str = "admin_password_file";

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
    for key in KEYS {
        if let Some(value) = table.remove(*key) {
            answers.put(key, value);
        }
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
        Err(list) => problems.extend(list.iter().map(|problem| {
            let value = if problem.value.is_empty() { "" } else { " = " };
            format!(
                "{}{value}{}: {}",
                problem.key, problem.value, problem.remedy
            )
        })),
    }
    Some(answers)
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
            let text = secret(&SecretFile::named(PathBuf::from(file)));
            let text = text.map_err(|e| format!("{PASSWORD_FILE}: {e}"))?;
            Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())
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

fn secret(file: &SecretFile) -> Result<Zeroizing<String>, SecretError> {
    text_of(file.open()?).map_err(SecretError::Io)
}

fn text_of(file: File) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}
