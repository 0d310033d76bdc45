//! A bucket is tried out with what was answered: what turns out to be another region or style is taken over, and
//! what is missing is asked for (a certificate, a session token).

use super::Stop;
use super::bucket::remedies;
use super::questions::Dialogue;
use crate::app::{Finding, Mend, Outcome, Trouble, bucket_endpoint_in};
use crate::config::StorageKind;
use toml::Value;

/// What can be done about a bucket that does not work.
const WAYS: [&str; 4] = [
    "Change the answers",
    "Try again",
    "Go on all the same: no upload works before the bucket does",
    "No bucket: files in a directory",
];

/// The first trouble among findings.
pub(super) fn first_trouble(findings: &[Finding]) -> Option<&Trouble> {
    findings.iter().find_map(|finding| match &finding.outcome {
        Outcome::Fails(trouble) => Some(trouble),
        Outcome::Works | Outcome::Remark(_) => None,
    })
}

impl Dialogue<'_> {
    /// Tries the bucket out. `None`: ask again; `Some(false)`: none.
    pub(super) fn settle_bucket(&mut self) -> Result<Option<bool>, Stop> {
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
                // What was answered before may have been a slip.
                1 => mended.clear(),
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
                self.ask_for_ca_file()
            }
            Mend::Token => {
                self.prompt.say(
                    "  The server wants the session token of this key, or a newer key and token.",
                )?;
                self.ask_for_token()
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
