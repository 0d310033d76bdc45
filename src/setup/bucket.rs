//! The questions about a bucket. It is tried out before the answers are taken, and what turns out to be
//! another region or style is taken over.

use super::answers::SECRETS;
use super::questions::Dialogue;
use super::{Answers, Stop};
use crate::app::{Finding, Mend, Outcome, Trouble, bucket_endpoint_in};
use crate::config::{self, ClearText, Environment, Problem, SecretFile, Settings, StorageKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use toml::Value;
use zeroize::Zeroizing;

/// What stands for the answers that are not there yet, while one of them is judged.
const STAND_INS: [(&str, &str); 5] = [
    ("storage.kind", "s3"),
    ("s3.endpoint", "https://s3.invalid"),
    ("s3.bucket", "stand-in"),
    ("s3.key_id", "x"),
    ("s3.secret", "x"),
];

/// What can be done about a bucket that does not work.
const WAYS: [&str; 4] = [
    "Change the answers",
    "Try again",
    "Go on all the same: no upload works before the bucket does",
    "No bucket: files in a directory",
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
    fn set_of_bucket(&mut self, key: &'static str, value: Value) -> Result<(), String> {
        let others = STAND_INS.iter().filter(|(name, _)| *name != key);
        let lines: String = others
            .map(|(name, text)| format!("{name} = \"{text}\"\n"))
            .chain([format!("{key} = {value}\n")])
            .collect();
        config::parse(lines.as_bytes(), &Environment::default())
            .map_err(|problems| remedies(problems.list))?;
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
        self.check_ca_file()
    }

    /// Whether the service will be able to read the certificate.
    fn check_ca_file(&self) -> Result<(), String> {
        let Some(path) = self.text("s3.ca_file").filter(|_| self.key_is_credential) else {
            return Ok(());
        };
        const HIDDEN: [&str; 3] = ["/root", "/home", "/run/user"];
        let path = Path::new(&path);
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

fn remedies(list: Vec<Problem>) -> String {
    let remedies: Vec<String> = list.into_iter().map(|problem| problem.remedy).collect();
    remedies.join("; ")
}

/// The first trouble among findings.
pub(super) fn first_trouble(findings: &[Finding]) -> Option<&Trouble> {
    findings.iter().find_map(|finding| match &finding.outcome {
        Outcome::Fails(trouble) => Some(trouble),
        Outcome::Works | Outcome::Remark(_) => None,
    })
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

    fn ask_for_bucket(&mut self) -> Result<(), Stop> {
        self.ask_of_bucket("s3.endpoint", "Address of the S3 server", "")?;
        let endpoint = self.answers.text("s3.endpoint").unwrap_or_default();
        self.ask_of_bucket("s3.region", "Region", region_of(&endpoint))?;
        self.ask_of_bucket("s3.bucket", "Bucket", "")?;
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

    /// Tries the bucket out. `None`: ask again; `Some(false)`: none.
    fn settle_bucket(&mut self) -> Result<Option<bool>, Stop> {
        let mut mended = Vec::new();
        loop {
            let settings = match self.answers.settings_with_secrets() {
                Ok(settings) => settings,
                Err(list) => {
                    self.refuse(&remedies(list))?;
                    return Ok(None);
                }
            };
            debug_assert_eq!(settings.storage, StorageKind::S3);
            self.prompt.say("  Trying it out ...")?;
            let findings = self.host.bucket(&settings);
            let Some(trouble) = first_trouble(&findings).cloned() else {
                for finding in &findings {
                    if let Outcome::Remark(remark) = &finding.outcome {
                        self.say_long(&format!("Note: {remark}."))?;
                    }
                }
                self.prompt.say("  It works.")?;
                return Ok(Some(true));
            };
            if let Some(mend) = trouble.mend.clone().filter(|mend| !mended.contains(mend))
                && self.mend(&mend)?
            {
                mended.push(mend);
                continue;
            }
            self.say_long(&format!("It does not work: {}.", trouble.sentence))?;
            match self
                .prompt
                .choose("What now", &WAYS.map(str::to_owned), 0)?
            {
                1 => {}
                2 => return Ok(Some(true)),
                3 => return Ok(Some(false)),
                _ => return Ok(None),
            }
        }
    }

    /// Takes over what would help; says whether there was something.
    fn mend(&mut self, mend: &Mend) -> Result<bool, Stop> {
        match mend {
            Mend::Region(region) => {
                let endpoint = self.answers.text("s3.endpoint").unwrap_or_default();
                let mut set = self
                    .answers
                    .set_of_bucket("s3.region", Value::String(region.clone()));
                if let Some(endpoint) = bucket_endpoint_in(&endpoint, region) {
                    set = set.and_then(|()| {
                        self.answers
                            .set_of_bucket("s3.endpoint", Value::String(endpoint))
                    });
                }
                if set.is_ok() {
                    self.prompt
                        .say(&format!("  The bucket is in the region {region}: taken."))?;
                }
                Ok(set.is_ok())
            }
            Mend::PathStyle(style) => {
                let set = self
                    .answers
                    .set_of_bucket("s3.path_style", Value::Boolean(*style));
                if set.is_ok() {
                    self.prompt
                        .say(&format!("  The server wants path_style = {style}: taken."))?;
                }
                Ok(set.is_ok())
            }
            Mend::CaFile => {
                self.prompt.say(
                    "  The certificate of the server is not trusted. If it is your own server,\n  \
                     name the file (PEM) with the certificate of its authority.",
                )?;
                let text = self.prompt.line("Certificate file (Enter: none)", "")?;
                if text.is_empty() {
                    return Ok(false);
                }
                let mut set = self
                    .answers
                    .set_of_bucket("s3.ca_file", Value::String(text));
                set = set.and_then(|()| self.answers.check_ca_file());
                if let Err(remedy) = &set {
                    self.answers.values.remove("s3.ca_file");
                    self.refuse(remedy)?;
                }
                Ok(set.is_ok())
            }
        }
    }

    /// Says a sentence of any length in lines that fit.
    fn say_long(&mut self, text: &str) -> Result<(), Stop> {
        let mut lines = vec![String::from(" ")];
        for word in text.split(' ') {
            let fits = lines.last().is_some_and(|l| l.len() + 1 + word.len() <= 76);
            match lines.last_mut().filter(|_| fits) {
                Some(line) => {
                    line.push(' ');
                    line.push_str(word);
                }
                None => lines.push(format!("  {word}")),
            }
        }
        self.prompt.say(&lines.join("\n"))
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
