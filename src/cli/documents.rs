//! What is made from the command line itself: completions for shells, and the man page.

use super::arguments::{Arguments, EXIT_CODES};
use super::exit::{Failure, IO};
use super::print::say;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;

/// Completions for `shell`.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "mayfly", &mut text);
    say(&String::from_utf8_lossy(&text))
}

/// The man page: one for all commands.
pub(super) fn man() -> Result<(), Failure> {
    let text = man_page().map_err(|e| Failure {
        code: IO,
        message: format!("the man page: {e}"),
    })?;
    say(&text)
}

pub(super) fn man_page() -> io::Result<String> {
    let mut command = Arguments::command();
    command.build();
    let version = format!("Mayfly {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone())
        .section("8")
        .manual("System Manager's Manual")
        .source(version);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;

    let mut commands = Roff::new();
    commands.control("SH", ["COMMANDS"]);
    commands.to_writer(&mut text)?;
    for leaf in leaves(&command) {
        render(leaf, &mut text)?;
    }

    let mut ends = Roff::new();
    ends.control("SH", ["EXIT STATUS"]);
    for line in EXIT_CODES.lines().skip(1) {
        let (code, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
        ends.control("TP", []);
        ends.text([bold(code)]);
        ends.text([roman(meaning.trim())]);
    }
    ends.to_writer(&mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// The commands that do something, as opposed to groups of them.
fn leaves(command: &Command) -> Vec<&Command> {
    if command.has_subcommands() {
        command.get_subcommands().flat_map(leaves).collect()
    } else {
        vec![command]
    }
}

/// One command as a subsection: what it does, and its options.
fn render(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let mut head = Roff::new();
    head.control("SS", [usage.trim_start_matches("Usage: ")]);
    let about = command.get_long_about().or_else(|| command.get_about());
    if let Some(about) = about {
        head.text([roman(about.to_string())]);
    }
    head.to_writer(text)?;
    let mut options = Vec::new();
    Man::new(command.clone()).render_options_section(&mut options)?;
    // It begins with a heading of its own, which would end the list of commands.
    let options = String::from_utf8_lossy(&options);
    text.extend_from_slice(options.replacen(".SH OPTIONS\n", "", 1).as_bytes());
    Ok(())
}
