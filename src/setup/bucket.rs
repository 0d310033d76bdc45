//! The questions about a bucket. It is tried out before the answers are taken.

use super::answers::SECRETS;
use super::questions::Dialogue;
use super::{Answers, Stop};
use crate::app::is_temporary_key;
use crate::config::{self, ClearText, Environment, Problem, SecretFile, Settings};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::Value;
use zeroize::Zeroizing;

/// What is typed for nothing, where something may be left out.
const NONE: &str = "-";

/// The setting that a session token belongs to.
const TOKEN: &str = "s3.token_file";

/// What stands for the answers that are not there yet, while one of them is judged.
const STAND_INS: [(&str, &str); 5] = [
    ("storage.kind", "s3"),
    ("s3.endpoint", "https://s3.invalid"),
    ("s3.bucket", "stand-in"),
    ("s3.key_id", "x"),
    ("s3.secret", "x"),
];

/// The ways that files in a bucket come to their recipients.
const DELIVERIES: &[(&str, &str)] = &[
    ("proxied", "Mayfly fetches them and sends them on"),
    (
        "redirected",
        "the bucket sends them; recipients see its address",
    ),
];

impl Answers {
    /// Whether files are to be kept in a bucket.
    pub(super) fn is_bucket(&self) -> bool {
        self.text("storage.kind").as_deref() == Some("s3")
    }

    pub(super) fn forget_bucket(&mut self) {
        self.values
            .retain(|key, _| !key.starts_with("storage.") && !key.starts_with("s3."));
        self.secrets.clear();
    }

    /// Takes an answer about the bucket, if it would be right beside others that are right.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub(super) fn set_of_bucket(&mut self, key: &'static str, value: Value) -> Result<(), String> {
        let others = STAND_INS.iter().filter(|(name, _)| *name != key);
        let lines: String = others
            .map(|(name, text)| format!("{name} = \"{text}\"\n"))
            .chain([format!("{key} = {value}\n")])
            .collect();
        config::parse(lines.as_bytes(), &Environment::default())
            .map_err(|problems| remedies(problems.list))?;
        if let Some(path) = value.as_str().filter(|_| key == "s3.ca_file") {
            self.check_ca_file(Path::new(path))?;
        }
        self.put("storage.kind", Value::String("s3".to_owned()));
        self.put(key, value);
        Ok(())
    }

    /// Takes a secret: it will be in a file of its own, which `key` names.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub(super) fn set_secret(
        &mut self,
        key: &'static str,
        secret: Zeroizing<String>,
    ) -> Result<(), String> {
        config::check_access_key(&secret)?;
        let path = self.secret_path(key).display().to_string();
        self.secrets.insert(key, secret);
        self.put(key, Value::String(path));
        Ok(())
    }

    /// Takes an answer back.
    fn forget(&mut self, key: &str) {
        self.values.remove(key);
        self.secrets.remove(key);
    }

    /// The bucket and what the names in it begin with, for people.
    pub(super) fn shown_bucket(&self) -> String {
        let of = self.settings().map(|settings| settings.s3);
        let (bucket, prefix) =
            of.map_or_else(|_| (None, String::new()), |s3| (s3.bucket, s3.prefix));
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{}{slash}{prefix}", bucket.unwrap_or_default())
    }

    /// What else leads to the bucket, for people: empty, mostly.
    pub(super) fn shown_access(&self) -> String {
        let token = self.text(TOKEN).map(|_| "session token".to_owned());
        let ca_file = self.text("s3.ca_file");
        let ca_file = ca_file.map(|path| format!("certificate {path}"));
        let both: Vec<_> = token.into_iter().chain(ca_file).collect();
        both.join(", ")
    }

    /// Makes what is named here fit for the service, which runs as a user of its own and sees no home directory:
    /// systemd is to hand over the secrets, and the certificate has to be where everybody can read it.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub(super) fn settle_for_service(&mut self) -> Result<(), String> {
        if !self.key_is_credential {
            return Ok(());
        }
        for (key, ..) in SECRETS {
            let named = self.text(key).filter(|_| !self.secrets.contains_key(key));
            if let Some(path) = named {
                let secret = SecretFile::named(PathBuf::from(path)).read_text();
                let secret = secret.map_err(|e| format!("{key}: {e}"))?;
                self.set_secret(key, secret)
                    .map_err(|remedy| format!("{key}: {remedy}"))?;
            }
        }
        let ca_file = self.text("s3.ca_file");
        ca_file.map_or(Ok(()), |path| self.check_ca_file(Path::new(&path)))
    }

    /// Whether the service will be able to read the certificate.
    fn check_ca_file(&self, path: &Path) -> Result<(), String> {
        if !self.key_is_credential {
            return Ok(());
        }
        const HIDDEN: [&str; 3] = ["/root", "/home", "/run/user"];
        let is_open = |path: &Path, bit| {
            std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & bit != 0)
        };
        let is_seen = path
            .ancestors()
            .skip(1)
            .all(|parent| is_open(parent, 0o001));
        match HIDDEN.iter().any(|hidden| path.starts_with(hidden)) {
            false if is_seen && is_open(path, 0o004) => Ok(()),
            _ => Err(format!(
                "s3.ca_file: the service cannot read {}: copy it to /etc/mayfly, readable for everybody (chmod 644), and name that file",
                path.display()
            )),
        }
    }

    /// What is to be written besides the settings: files and their contents.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = (PathBuf, &Zeroizing<String>)> {
        let files = self.secrets.iter();
        files.map(|(key, secret)| (self.secret_path(key), secret))
    }

    /// What the answers mean, with the secrets in it that have no file yet.
    ///
    /// # Errors
    /// Every problem.
    pub(super) fn settings_with_secrets(&self) -> Result<Settings, Vec<Problem>> {
        let mut settings = self.settings()?;
        let s3 = &mut settings.s3;
        let held = [&mut s3.key_id, &mut s3.secret, &mut s3.token];
        for ((key, ..), held) in SECRETS.iter().zip(held) {
            if let Some(secret) = self.secrets.get(key) {
                held.text = Some(ClearText(secret.clone()));
                held.file = None;
            }
        }
        Ok(settings)
    }
}

pub(super) fn remedies(list: Vec<Problem>) -> String {
    let remedies: Vec<String> = list.into_iter().map(|problem| problem.remedy).collect();
    remedies.join("; ")
}

impl Dialogue<'_> {
    /// Asks for a bucket until one works. `false`: there is to be none.
    pub(super) fn bucket(&mut self) -> Result<bool, Stop> {
        let before = self.answers.clone();
        self.prompt.say(
            "Files go into a bucket of an S3 server. It has to be there, with an access\n\
             key that may list it, and store, read and delete objects.",
        )?;
        loop {
            self.ask_for_bucket()?;
            match self.settle_bucket()? {
                Some(true) => return Ok(true),
                Some(false) => {
                    self.answers = before;
                    self.answers.forget_bucket();
                    return Ok(false);
                }
                None => {}
            }
        }
    }

    pub(super) fn delivery(&mut self) -> Result<(), Stop> {
        self.prompt.say(
            "Files that are not sealed can come straight from the bucket, if recipients\n\
             can reach it: Mayfly sends them on to an address there that is good for a\n\
             minute, and counts the download then. Links with a limit stay proxied.",
        )?;
        let current = self.answers.text("s3.downloads");
        let current = DELIVERIES
            .iter()
            .position(|(word, _)| Some(*word) == current.as_deref());
        let items: Vec<String> = DELIVERIES
            .iter()
            .map(|(word, sentence)| format!("{word:11} {sentence}"))
            .collect();
        let question = "How recipients get files";
        let chosen = self.prompt.choose(question, &items, current.unwrap_or(0))?;
        let word = DELIVERIES.get(chosen).map_or("proxied", |(word, _)| word);
        self.answers
            .put("s3.downloads", Value::String(word.to_owned()));
        Ok(())
    }

    fn ask_for_bucket(&mut self) -> Result<(), Stop> {
        self.ask_of_bucket("s3.endpoint", "Address of the S3 server", "")?;
        let endpoint = self.answers.text("s3.endpoint").unwrap_or_default();
        // The trial asks for it, where one is needed.
        if !endpoint.starts_with("https://") {
            self.answers.forget("s3.ca_file");
        } else if self.answers.text("s3.ca_file").is_some() {
            self.ask_for_ca_file()?;
        }
        self.ask_of_bucket("s3.region", "Region", region_of(&endpoint))?;
        self.ask_of_bucket("s3.bucket", "Bucket", "")?;
        let question = "Prefix of names in it, such as mayfly/ (-: none)";
        self.ask_or_none("s3.prefix", question)?;
        self.ask_for_key()
    }

    fn ask_for_key(&mut self) -> Result<(), Stop> {
        let before = self.answers.secrets.get("s3.key_id_file").cloned();
        loop {
            let known = self.answers.secrets.get("s3.key_id_file");
            let known = known.map_or(String::new(), |id| id.to_string());
            let id = Zeroizing::new(self.prompt.line("Id of the access key", &known)?);
            match self.answers.set_secret("s3.key_id_file", id) {
                Ok(()) => break,
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
        loop {
            let known = self.answers.secrets.get("s3.secret_file").cloned();
            let question = match known {
                Some(_) => "Secret of the access key (not shown; Enter: as before)",
                None => "Secret of the access key (not shown)",
            };
            let typed = self.prompt.hidden(question)?;
            let typed = Zeroizing::new(typed.trim().to_owned());
            let secret = known.filter(|_| typed.is_empty()).unwrap_or(typed);
            match self.answers.set_secret("s3.secret_file", secret) {
                Ok(()) => break,
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
        let id = self.answers.secrets.get("s3.key_id_file");
        let is_temporary = id.is_some_and(|id| is_temporary_key(id));
        if id != before.as_ref() {
            // It belonged to the other key.
            self.answers.forget(TOKEN);
        }
        if is_temporary || self.answers.text(TOKEN).is_some() {
            self.ask_for_token()?;
        }
        Ok(())
    }

    /// Asks for the session token; says whether it is another one now.
    pub(super) fn ask_for_token(&mut self) -> Result<bool, Stop> {
        let is_known = self.answers.secrets.contains_key(TOKEN);
        let question = match is_known {
            true => "Session token (not shown; Enter: as before, -: none)",
            false => "Session token (not shown; Enter: none)",
        };
        loop {
            let typed = self.prompt.hidden(question)?;
            let typed = Zeroizing::new(typed.trim().to_owned());
            match typed.as_str() {
                "" => return Ok(false),
                NONE => {
                    self.answers.forget(TOKEN);
                    return Ok(is_known);
                }
                _ => {}
            }
            match self.answers.set_secret(TOKEN, typed) {
                Ok(()) => return Ok(true),
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
    }

    /// Asks for a certificate; says whether it is another one now.
    pub(super) fn ask_for_ca_file(&mut self) -> Result<bool, Stop> {
        let before = self.answers.text("s3.ca_file");
        self.ask_or_none("s3.ca_file", "Certificate file (-: none)")?;
        Ok(self.answers.text("s3.ca_file") != before)
    }

    /// Asks for something that may be left out.
    fn ask_or_none(&mut self, key: &'static str, question: &str) -> Result<(), Stop> {
        let default = self.answers.text(key).unwrap_or(NONE.to_owned());
        loop {
            let text = self.prompt.line(question, &default)?;
            if text == NONE {
                self.answers.forget(key);
                return Ok(());
            }
            match self.answers.set_of_bucket(key, Value::String(text)) {
                Ok(()) => return Ok(()),
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
    }

    fn ask_of_bucket(
        &mut self,
        key: &'static str,
        question: &str,
        default: &str,
    ) -> Result<(), Stop> {
        let default = self.answers.text(key).unwrap_or(default.to_owned());
        loop {
            let text = self.prompt.line(question, &default)?;
            match self.answers.set_of_bucket(key, Value::String(text)) {
                Ok(()) => return Ok(()),
                Err(remedy) => self.refuse(&remedy)?,
            }
        }
    }
}

/// The region that an address names, as those of large providers do.
fn region_of(endpoint: &str) -> &str {
    const USUAL: &str = "us-east-1";
    let host = endpoint.split("://").nth(1).unwrap_or("");
    if host.ends_with(".r2.cloudflarestorage.com") {
        return "auto";
    }
    let second = host
        .strip_prefix("s3.")
        .and_then(|rest| rest.split_once('.'));
    match second {
        Some((region, rest)) if region.contains('-') && rest.contains('.') => region,
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn the_region_is_proposed_from_the_address() {
        for (endpoint, region) in [
            ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
            ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
            ("https://abc.r2.cloudflarestorage.com", "auto"),
            ("https://s3.amazonaws.com", "us-east-1"),
            ("http://192.168.1.7:9000", "us-east-1"),
            ("https://s3.my-home.lan", "us-east-1"),
        ] {
            assert_eq!(region_of(endpoint), region, "{endpoint}");
        }
    }
}
