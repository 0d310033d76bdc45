//! Tries a bucket out as the daemon will use it (list, put, get, range, multipart, delete), and says in one
//! sentence for people what is wrong and what to do. What it stores it deletes again.

mod object;

use super::error::{Kind, S3Error};
use super::{Client, S3Settings, explain, trials};
use crate::model::Clock;
use crate::pipeline::seal::keys::random;
use object::{Failed, Object, list};
use std::sync::Arc;

/// Attempts to reach the bucket, as long as another one may help.
const ATTEMPTS: u32 = 3;
/// Clocks that differ by less are one, in seconds.
const SAME: i64 = 60;

/// One thing that was tried.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What, in a word or two.
    pub tried: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// How it went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Well.
    Works,
    /// Well, but somebody should know this.
    Remark(String),
    /// Not.
    Fails(Trouble),
}

/// Why a bucket cannot be used.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What is wrong and what to do: sentences without a full stop at the end.
    pub sentence: String,
    /// The setting that would help, where that was found out.
    pub mend: Option<Mend>,
    /// Whether it may go well later without any change.
    pub may_pass: bool,
}

/// A setting that would help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mend {
    /// Another `region`.
    Region(String),
    /// The other `path_style`.
    PathStyle(bool),
    /// A `ca_file`.
    CaFile,
    /// A session token, or another one.
    Token,
}

/// What is asked of the bucket, as far as rights go.
#[derive(Clone, Copy)]
pub(super) enum Wish {
    List,
    Put,
    Get,
    Multipart,
    Abort,
    Delete,
}

/// Tries everything that still can be tried; stops where the rest would only repeat a failure.
pub fn diagnose(settings: &S3Settings, clock: Arc<dyn Clock>) -> Vec<Finding> {
    let mut trial = Trial {
        settings,
        clock,
        findings: Vec::new(),
    };
    trial.run();
    trial.findings
}

/// Tries whether the server presents an object as it is told to, which redirected downloads need. For a bucket in
/// which the rest works.
pub fn diagnose_redirects(settings: &S3Settings, clock: Arc<dyn Clock>) -> Vec<Finding> {
    let mut trial = Trial {
        settings,
        clock,
        findings: Vec::new(),
    };
    if let Ok(client) = Client::new(settings, Arc::clone(&trial.clock)) {
        let [name, _] = trials::names(&settings.prefix, random());
        let object = Object::new(&client, name);
        let shown = object.put().and_then(|_| object.shown());
        // What went wrong first is what is told.
        let deleted = object.delete();
        trial.note("names", shown.and_then(|remark| deleted.map(|_| remark)));
    }
    trial.findings
}

struct Trial<'a> {
    settings: &'a S3Settings,
    clock: Arc<dyn Clock>,
    findings: Vec<Finding>,
}

impl Trial<'_> {
    fn run(&mut self) {
        let client = match Client::new(self.settings, Arc::clone(&self.clock)) {
            Ok(client) => client,
            Err(e) => {
                return self.fails("settings", explain::trouble(self.settings, &e, Wish::List));
            }
        };
        let may_list = match self.reach(&client) {
            Ok(may_list) => may_list,
            Err(trouble) => return self.fails("reach", trouble),
        };
        let [name, in_parts] = trials::names(&self.settings.prefix, random());
        let object = Object::new(&client, name.clone());
        let put = object.put();
        let is_denied = matches!(&put, Err(Failed::Error(_, e)) if *e.kind() == Kind::Denied);
        if is_denied && !may_list {
            // Nothing is allowed: that is one trouble, not five.
            self.findings.retain(|finding| finding.tried == "reach");
            return self.fails("rights", explain::no_right(self.settings));
        }
        let stored = self.note("put", put);
        if stored {
            self.note("get", object.get());
            self.note("range", object.range());
            self.note("replace", object.replace());
        }
        let parts = Object::new(&client, in_parts.clone());
        self.note("multipart", parts.multipart());
        // What came before may have gone so badly that the first client asks nobody any more.
        let Ok(client) = Client::new(self.settings, Arc::clone(&self.clock)) else {
            return;
        };
        let object = Object::new(&client, name).delete();
        let parts = Object::new(&client, in_parts).delete();
        self.note("delete", object.and(parts));
    }

    /// Asks for a listing: proves address, TLS, style, region, clock, key and bucket. Says whether the
    /// key may list.
    fn reach(&mut self, client: &Client) -> Result<bool, Trouble> {
        let mut listed = Self::listed(client);
        if let Err(error) = &listed
            && let Some(trouble) = self.other_style(error)
        {
            // A server that knows both styles may have been away for that long.
            listed = list(client);
            if listed.is_err() {
                return Err(trouble);
            }
        }
        match listed {
            Ok(dated) => {
                self.works("reach");
                self.works("list");
                self.clock(dated);
                Ok(true)
            }
            Err(e) if *e.kind() == Kind::Denied => {
                self.works("reach");
                let trouble = explain::trouble(self.settings, &e, Wish::List);
                self.fails("list", trouble);
                Ok(false)
            }
            Err(e) => Err(explain::trouble(self.settings, &e, Wish::List)),
        }
    }

    /// A listing, tried again as long as that may help.
    fn listed(client: &Client) -> Result<Option<i64>, S3Error> {
        let mut attempt = 1;
        loop {
            let error = match list(client) {
                Err(error) if attempt < ATTEMPTS && error.may_pass() => error,
                outcome => return outcome,
            };
            match error.kind() {
                // Each of those has taken a minute.
                Kind::TimedOut => return Err(error),
                // The next request counts it in.
                Kind::Skewed { .. } => {}
                _ => client.pause(attempt, error.retry_after()),
            }
            attempt += 1;
        }
    }

    /// The trouble, when the other style of addresses works after this error.
    fn other_style(&self, error: &S3Error) -> Option<Trouble> {
        let speaks_for_it = match error.kind() {
            // A name that leads nowhere leads nowhere with the bucket before it, either.
            Kind::Unreachable | Kind::Tls => !self.settings.path_style,
            Kind::NoBucket
            | Kind::NotFound
            | Kind::NotImplemented
            | Kind::Refused
            | Kind::Broken
            | Kind::WrongRegion { expected: None } => true,
            // The server has understood the address, or said nothing at all.
            _ => false,
        };
        if !speaks_for_it {
            return None;
        }
        let other = S3Settings {
            path_style: !self.settings.path_style,
            ..self.settings.clone()
        };
        let works = Client::new(&other, Arc::clone(&self.clock)).and_then(|client| list(&client));
        match works {
            Ok(_) => Some(Trouble {
                sentence: format!(
                    "the server wants addresses with the bucket in the {}: set path_style = {} in [s3]",
                    if other.path_style {
                        "path"
                    } else {
                        "name of the host"
                    },
                    other.path_style
                ),
                mend: Some(Mend::PathStyle(other.path_style)),
                may_pass: false,
            }),
            Err(_) => None,
        }
    }

    fn clock(&mut self, dated: Option<i64>) {
        let Some(theirs) = dated else { return };
        let ahead = self.clock.now().0.saturating_sub(theirs);
        if ahead.abs() < SAME {
            return self.works("clock");
        }
        self.findings.push(Finding {
            tried: "clock",
            outcome: Outcome::Remark(format!(
                "the clock of this machine is {} that of the server: requests count that in, but links end by it, so set it (timedatectl set-ntp true)",
                explain::apart(ahead)
            )),
        });
    }

    /// Takes down how a step went; says whether it did.
    fn note(&mut self, tried: &'static str, outcome: Result<Option<String>, Failed>) -> bool {
        let works = outcome.is_ok();
        let outcome = match outcome {
            Ok(None) => Outcome::Works,
            Ok(Some(remark)) => Outcome::Remark(remark),
            Err(Failed::Error(wish, e)) => {
                Outcome::Fails(explain::trouble(self.settings, &e, wish))
            }
            Err(Failed::Wrong(sentence)) => Outcome::Fails(Trouble {
                sentence: sentence.to_owned(),
                mend: None,
                may_pass: false,
            }),
        };
        self.findings.push(Finding { tried, outcome });
        works
    }

    fn works(&mut self, tried: &'static str) {
        let outcome = Outcome::Works;
        self.findings.push(Finding { tried, outcome });
    }

    fn fails(&mut self, tried: &'static str, trouble: Trouble) {
        let outcome = Outcome::Fails(trouble);
        self.findings.push(Finding { tried, outcome });
    }
}
