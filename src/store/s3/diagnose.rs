//! Tries a bucket out as the daemon will use it (list, put, get, range, multipart, delete), and says in one
//! sentence for people what is wrong and what to do. What it stores it deletes again.

mod object;

use super::error::{Kind, S3Error};
use super::{Client, S3Settings, explain};
use crate::model::Clock;
use crate::pipeline::seal::keys::random;
use data_encoding::HEXLOWER;
use object::{Failed, Object, list};
use std::sync::Arc;

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
        let name = format!(
            "{}mayfly-check-{}",
            self.settings.prefix,
            HEXLOWER.encode(&random::<8>())
        );
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
        }
        let parts = Object::new(&client, format!("{name}-parts"));
        self.note("multipart", parts.multipart());
        let deleted = object.delete().and(parts.delete());
        self.note("delete", deleted);
    }

    /// Asks for a listing: proves address, TLS, style, region, clock, key and bucket. Says whether the
    /// key may list.
    fn reach(&mut self, client: &Client) -> Result<bool, Trouble> {
        // The first answer may be that the clocks differ, which the next request counts in.
        let mut listed = list(client);
        if matches!(&listed, Err(e) if matches!(e.kind(), Kind::Skewed { .. })) {
            listed = list(client);
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
            Err(e) => Err(self.other_style(&e)),
        }
    }

    /// The trouble; when the other style of addresses works, that is it.
    fn other_style(&self, error: &S3Error) -> Trouble {
        let plain = explain::trouble(self.settings, error, Wish::List);
        let pointless = match error.kind() {
            // A name that leads nowhere leads nowhere with the bucket before it, either.
            Kind::Unreachable | Kind::TimedOut | Kind::Tls => self.settings.path_style,
            Kind::BadKey | Kind::BadSignature | Kind::WrongRegion { expected: Some(_) } => true,
            _ => false,
        };
        if pointless {
            return plain;
        }
        let other = S3Settings {
            path_style: !self.settings.path_style,
            ..self.settings.clone()
        };
        let works = Client::new(&other, Arc::clone(&self.clock)).and_then(|client| list(&client));
        match works {
            Ok(_) => Trouble {
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
            },
            Err(_) => plain,
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
