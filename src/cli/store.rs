//! `mayfly store`: files on their way from the disk into the bucket, or back.

use super::arguments::{Place, StoreCommand};
use super::exit::{Failure, IO, TEMPORARY};
use super::print::{harmless, json, note, say};
use super::reach::{Reach, unexpected};
use crate::admin::{Answer, Destination, MoveState, Request};
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Between two questions how far it is.
const PAUSE: Duration = Duration::from_millis(500);
/// Questions between two lines, where no line can be written over.
const LINES: u32 = 20;

pub(super) fn run(command: StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Move { to, which } => {
            let reach = Reach::find(&which)?;
            let to = match to {
                Place::Disk => Destination::Disk,
                Place::S3 => Destination::S3,
            };
            let Answer::Done = reach.ask(&Request::StartMove { to })? else {
                return Err(unexpected());
            };
            let state = watch(&reach)?;
            tell(&state, to, which.json)
        }
        StoreCommand::Stop { which } => match Reach::find(&which)?.ask(&Request::StopMove)? {
            Answer::Done => Ok(()),
            _ => Err(unexpected()),
        },
    }
}

/// Shows how far it is until it ends.
fn watch(reach: &Reach) -> Result<MoveState, Failure> {
    let draws = io::stderr().is_terminal();
    let mut asked: u32 = 0;
    loop {
        let Answer::Move(state) = reach.ask(&Request::MoveState)? else {
            return Err(unexpected());
        };
        let line = progress(&state);
        if draws {
            // That nobody sees it does no harm.
            let _gone = write!(io::stderr(), "\r\x1b[K{line}");
        } else if asked.is_multiple_of(LINES) {
            note(&line);
        }
        asked = asked.wrapping_add(1);
        if !state.runs {
            if draws {
                note("");
            }
            return Ok(state);
        }
        std::thread::sleep(PAUSE);
    }
}

fn progress(state: &MoveState) -> String {
    let mut line = format!(
        "{} files moved, {:.1} MB copied",
        state.files,
        state.bytes as f64 / 1e6
    );
    if let Some(problem) = &state.problem {
        line.push_str(&format!(" ({})", harmless(problem)));
    }
    line
}

fn tell(state: &MoveState, to: Destination, as_json: bool) -> Result<(), Failure> {
    if as_json {
        json(&json!({
            "files": state.files, "bytes": state.bytes, "left": state.left,
            "problem": state.problem, "newFilesFollow": state.new_files_follow,
        }))?;
    } else if state.problem.is_none() {
        let files = match state.files {
            1 => "1 file was moved".to_owned(),
            files => format!("{files} files were moved"),
        };
        say(&format!("{files}\n"))?;
    }
    if !state.new_files_follow {
        let (kind, place) = match to {
            Destination::Disk => ("disk", "on the disk"),
            Destination::S3 => ("s3", "in the bucket"),
        };
        note(&format!(
            "New files are not kept {place} yet: set kind = \"{kind}\" below [storage], restart the server, and run this again"
        ));
    }
    if let Some(problem) = &state.problem {
        return Err(Failure {
            code: TEMPORARY,
            message: format!(
                "the move ended before its time: {}. What was moved stays so; run it again to go on",
                harmless(problem)
            ),
        });
    }
    match state.left {
        0 => Ok(()),
        left => Err(Failure {
            code: IO,
            message: format!(
                "{left} files stay where they are: they are being downloaded, or could not be read (the log of the server says which). Run it again for them"
            ),
        }),
    }
}
