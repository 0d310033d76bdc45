//! The command line: what can be asked for, and the help that says so.

use super::exit::{Failure, usage};
use crate::config::LISTEN;
use lexopt::prelude::*;
use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) const HELP: &str = "\
Mayfly: upload a file, get a link; both vanish when they are used up.

Usage:
  mayfly demo [--dir DIR] [--listen ADDR:PORT]
      A complete server at once. Data in DIR (./mayfly-demo), listening on
      ADDR:PORT (127.0.0.1:53842; port 0 takes any free one).
  mayfly serve --config FILE
      The server, with the settings of FILE (see config/mayfly.toml).
  mayfly --help | --version

Exit codes: 0 ended as asked, 64 wrong usage, 74 input or output failed,
75 something is in the way (try again later), 78 wrong settings.
";

/// What the command line asks for.
pub(super) enum Command {
    Help,
    Version,
    Demo { dir: PathBuf, listen: SocketAddr },
    Serve { config: PathBuf },
}

pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Command, Failure> {
    let mut words = Vec::new();
    let (mut dir, mut listen, mut config) = (None, None, None);
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("dir") => dir = Some(PathBuf::from(parser.value().map_err(usage)?)),
            Long("config") => config = Some(PathBuf::from(parser.value().map_err(usage)?)),
            Long("listen") => {
                let value = parser.value().map_err(usage)?;
                let address = value.to_str().and_then(|text| text.parse().ok());
                listen = Some(address.ok_or_else(|| {
                    usage(
                        "--listen takes an address and a port, such as 127.0.0.1:53842 or [::1]:0",
                    )
                })?);
            }
            Value(word) => words.push(word),
            other => return Err(usage(other.unexpected())),
        }
    }
    let words: Vec<&str> = words.iter().map(|w| w.to_str().unwrap_or("?")).collect();
    match (words.as_slice(), dir, listen, config) {
        (["demo"], dir, listen, None) => Ok(Command::Demo {
            dir: dir.unwrap_or_else(|| PathBuf::from("mayfly-demo")),
            listen: listen.unwrap_or(LISTEN),
        }),
        (["serve"], None, None, Some(config)) => Ok(Command::Serve { config }),
        (["serve"], None, None, None) => Err(usage("serve needs --config FILE")),
        (["demo"], ..) => Err(usage("demo takes --dir and --listen only")),
        (["serve"], ..) => Err(usage(
            "serve takes --config only; the rest stands in that file",
        )),
        ([], ..) => Err(usage("say what to do: demo or serve")),
        (words, ..) => Err(usage(format!(
            "there is no command \"{}\"",
            words.join(" ")
        ))),
    }
}
