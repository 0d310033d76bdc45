//! `check-config` and `doctor`: what is wrong, where, and what to do about it. Both change nothing; what they
//! store in a bucket to try it out they delete again.

use super::exit::{CONFIGURATION, Failure, IO, TEMPORARY, configuration};
use super::print::{harmless, note, say};
use crate::app::{self, Finding, Outcome};
use crate::config::{self, Environment, Settings};
use crate::model::SystemClock;
use std::path::Path;
use std::sync::Arc;

/// Says what is wrong with the settings and with what they name, or OK. What works and is probably not
/// meant is said as well. `online`: tries the bucket out, too.
pub(super) fn check(config: &Path, online: bool) -> Result<(), Failure> {
    let report = config::check(config, &Environment::of_process()).map_err(configuration)?;
    for warning in &report.warnings {
        note(&format!("mayfly: {warning}"));
    }
    let pages = page_problems(&report.settings)?;
    let mut verdict = Verdict::default();
    for problem in pages {
        verdict.wrong(CONFIGURATION, problem);
    }
    if online {
        for Finding { tried, outcome } in bucket(&report.settings)? {
            match outcome {
                Outcome::Works => {}
                Outcome::Remark(remark) => note(&harmless(&format!("mayfly: [s3] {remark}"))),
                Outcome::Fails(trouble) => {
                    let code = match trouble.may_pass {
                        true => TEMPORARY,
                        false => CONFIGURATION,
                    };
                    verdict.wrong(code, format!("[s3] {tried}: {}", trouble.sentence));
                }
            }
        }
    }
    verdict.given()?;
    say("OK\n")
}

/// Looks at everything, and says how each of it is.
pub(super) fn doctor(config: &Path) -> Result<(), Failure> {
    let mut verdict = Verdict::default();
    line(
        "ok",
        "version",
        &format!("mayfly {}", env!("CARGO_PKG_VERSION")),
    )?;
    let report = match config::check(config, &Environment::of_process()) {
        Ok(report) => report,
        Err(problems) => {
            line("problem", "settings", &problems.to_string())?;
            verdict.count(CONFIGURATION);
            return verdict.given();
        }
    };
    line("ok", "settings", &config.display().to_string())?;
    for warning in &report.warnings {
        line("remark", "settings", &warning.to_string())?;
    }
    for problem in page_problems(&report.settings)? {
        line("problem", "pages", &problem)?;
        verdict.count(CONFIGURATION);
    }
    for finding in app::examine(&report.settings) {
        verdict.told(finding.tried, IO, &finding.outcome)?;
    }
    for finding in bucket(&report.settings)? {
        let what = format!("s3 {}", finding.tried);
        verdict.told(&what, CONFIGURATION, &finding.outcome)?;
    }
    verdict.given()
}

fn page_problems(settings: &Settings) -> Result<Vec<String>, Failure> {
    let pages = app::check_pages(settings).map_err(|e| Failure {
        code: IO,
        message: format!("the pages could not be checked: {e}"),
    })?;
    Ok(pages.iter().map(ToString::to_string).collect())
}

fn bucket(settings: &Settings) -> Result<Vec<Finding>, Failure> {
    Ok(app::try_bucket(settings, Arc::new(SystemClock::new()))?)
}

/// One line of the doctor; what the text has more is moved below its beginning.
fn line(state: &str, what: &str, text: &str) -> Result<(), Failure> {
    let text: Vec<String> = text.lines().map(harmless).collect();
    let text = text.join(&format!("\n{:25}", ""));
    say(&format!("{state:8} {what:15} {text}\n"))
}

/// What came of it all.
#[derive(Default)]
struct Verdict {
    /// The exit code of the worst problem.
    code: u8,
    problems: usize,
    /// Those that were not told yet.
    untold: Vec<String>,
}

impl Verdict {
    fn count(&mut self, code: u8) {
        // What heals by itself counts least, and what has to be changed most.
        let weight = |code| {
            [0, TEMPORARY, IO, CONFIGURATION]
                .iter()
                .position(|c| *c == code)
        };
        if weight(code) > weight(self.code) {
            self.code = code;
        }
        self.problems += 1;
    }

    fn wrong(&mut self, code: u8, problem: String) {
        self.count(code);
        self.untold.push(harmless(&problem));
    }

    /// Tells how something is; what is wrong with it for good has the exit code `code`.
    fn told(&mut self, what: &str, code: u8, outcome: &Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Works => line("ok", what, ""),
            Outcome::Remark(remark) => line("remark", what, remark),
            Outcome::Fails(trouble) => {
                self.count(if trouble.may_pass { TEMPORARY } else { code });
                line("problem", what, &trouble.sentence)
            }
        }
    }

    fn given(self) -> Result<(), Failure> {
        let message = match (self.problems, self.untold.is_empty()) {
            (0, _) => return Ok(()),
            (_, false) => self.untold.join("\n"),
            (1, true) => "1 problem".to_owned(),
            (count, true) => format!("{count} problems"),
        };
        Err(Failure {
            code: self.code,
            message,
        })
    }
}
