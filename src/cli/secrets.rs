//! Secrets that a command needs: asked for on the terminal without echo, read from a file that
//! nobody else may read, or from a line of the input. Never from the command line, which every user
//! of the machine can see.

use super::exit::{Failure, IO, usage};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// The longest secret that is read, in bytes. What the server takes is shorter.
const SECRET_MAX: usize = 4096;

/// Asks for a secret: from `file` if there is one, else on the terminal with `prompt`, else the next
/// line of the input.
pub(super) fn ask(prompt: &str, file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    match file {
        Some(path) => from_file(path),
        None if io::stdin().is_terminal() => on_terminal(prompt),
        None => next_line(prompt),
    }
}

/// Asks for a new secret. On the terminal it is asked for twice.
pub(super) fn ask_new(prompt: &str, file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if file.is_some() || !io::stdin().is_terminal() {
        return ask(prompt, file);
    }
    let secret = on_terminal(prompt)?;
    if *on_terminal("The same again: ")? != *secret {
        return Err(usage("the two were not the same: nothing was changed"));
    }
    Ok(secret)
}

fn on_terminal(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|e| failed("the terminal", &e))
}

/// One byte at a time: what comes after the line is for whoever asks next.
fn next_line(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let mut input = io::stdin().lock();
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_MAX));
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte == *b"\n" => break,
            Ok(_) => line.push(byte[0]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed("the input", &e)),
        }
        if line.len() > SECRET_MAX {
            return Err(usage("the input is too long for a secret"));
        }
    }
    if line.is_empty() {
        let what = prompt.trim_end_matches([':', ' ']);
        return Err(usage(format!(
            "the input has no line for \"{what}\": pipe it in, or run the command on a terminal"
        )));
    }
    text(&line, "the input")
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let name = path.display().to_string();
    let mut file = File::open(path).map_err(|e| failed(&name, &e))?;
    let found = file.metadata().map_err(|e| failed(&name, &e))?;
    // A pipe belongs to whoever reads it.
    if found.is_file() && found.mode() & 0o077 != 0 {
        return Err(usage(format!(
            "{name} can be read by other users: chmod 600 it, and think about another secret"
        )));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2));
    file.by_ref()
        .take(SECRET_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| failed(&name, &e))?;
    if bytes.len() > SECRET_MAX {
        return Err(usage(format!("{name} is too long for a secret")));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(usage(format!("{name} is empty")));
    }
    text(&bytes, &name)
}

fn text(bytes: &[u8], source: &str) -> Result<Zeroizing<String>, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.trim_end_matches('\r').to_owned())),
        Err(_) => Err(usage(format!("{source} is no text (UTF-8)"))),
    }
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure {
        code: IO,
        message: format!("{what}: {error}"),
    }
}
