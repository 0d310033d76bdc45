//! A person at a terminal: over SSH, 80 by 24, with or without colours, or one that can only print lines.
//!
//! Whatever ends the questions (the last answer, Ctrl-C, a signal, an error), the terminal gets back
//! the modes it had. A terminal that can move its cursor gets lists and line editing; any other is
//! asked line by line. Hidden lines are read the same way on both.

use super::{ENDED, Prompt, Stop};
use crate::tasks::{Interrupts, watch_interrupts};
use dialoguer::console::Term;
use dialoguer::theme::SimpleTheme;
use dialoguer::{Input, Select};
use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize,
    tcsetattr,
};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest line that is read; longer ones are refused.
const LINE: usize = 4096;

/// How long the two threads that see a signal wait for each other. One has woken the other, so it is
/// never that long.
const EACH_OTHER: Duration = Duration::from_secs(2);

/// Whether there is somebody to ask.
pub fn is_interactive() -> bool {
    isatty(stdin()) && io::stderr().is_terminal()
}

/// Whether the terminal can move its cursor.
fn can_draw() -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    let wide = tcgetwinsize(stdin()).is_ok_and(|size| size.ws_col >= 40 && size.ws_row >= 10);
    !term.is_empty() && term != "dumb" && wide
}

/// A dialogue with the terminal of this process.
pub(super) struct Session {
    prompt: Box<dyn Prompt>,
    shared: Arc<Shared>,
    _interrupts: Interrupts,
}

struct Shared {
    /// How the terminal was.
    before: Termios,
    /// How it is between questions: what is typed ahead may be a password.
    quiet: Termios,
    draws: bool,
    /// Whether the question is asked by the crate: a signal interrupts it, and then it changes modes
    /// once more. Lines are read on after a signal.
    keys: AtomicBool,
    phase: Mutex<Phase>,
    changed: Condvar,
}

enum Phase {
    /// A signal ends the program.
    Asking,
    /// A signal came; the exit code for it.
    Signalled(u8),
    /// A signal is noted, and what was made is taken back.
    Writing(Option<u8>),
    /// Signals are not our business.
    Over,
}

impl Session {
    pub fn start() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        // A stopped program would leave the shell with such a terminal.
        quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
        let shared = Arc::new(Shared {
            before,
            quiet,
            draws: can_draw(),
            keys: AtomicBool::new(false),
            phase: Mutex::new(Phase::Asking),
            changed: Condvar::new(),
        });
        let watched = Arc::clone(&shared);
        let interrupts = watch_interrupts(move |signal| watched.interrupt(signal))?;
        tcsetattr(stdin(), OptionalActions::Now, &shared.quiet)?;
        let prompt: Box<dyn Prompt> = if shared.draws {
            Box::new(Drawing {
                term: Term::stderr(),
                shared: Arc::clone(&shared),
            })
        } else {
            Box::new(Lines {
                shared: Arc::clone(&shared),
            })
        };
        Ok(Self {
            prompt,
            shared,
            _interrupts: interrupts,
        })
    }

    pub fn prompt(&mut self) -> &mut dyn Prompt {
        &mut *self.prompt
    }

    /// The exit code for the signal that interrupted a question.
    pub fn signalled(&self) -> u8 {
        let mut phase = self.shared.phase();
        loop {
            if let Phase::Signalled(code) = *phase {
                return code;
            }
            let waited = self.shared.changed.wait_timeout(phase, EACH_OTHER);
            let (next, late) = waited.unwrap_or_else(PoisonError::into_inner);
            phase = next;
            if late.timed_out() {
                return 130;
            }
        }
    }

    /// From now on there is something to take back.
    pub fn questions_are_over(&self) {
        *self.shared.phase() = Phase::Writing(None);
    }

    /// The exit code of an interruption since then.
    pub fn interrupted(&self) -> Option<u8> {
        match *self.shared.phase() {
            Phase::Writing(code) => code,
            Phase::Asking | Phase::Signalled(_) | Phase::Over => None,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let phase = std::mem::replace(&mut *self.shared.phase(), Phase::Over);
        self.shared.changed.notify_all();
        self.shared.restore();
        if matches!(phase, Phase::Asking | Phase::Signalled(_)) {
            // What is said next does not belong to the question.
            let _gone = writeln!(io::stderr());
        }
    }
}

impl Shared {
    fn phase(&self) -> std::sync::MutexGuard<'_, Phase> {
        // A phase is never left half changed.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets modes, unless a signal came: then they are restored, and stay so.
    fn set(&self, modes: &Termios) -> io::Result<()> {
        match *self.phase() {
            Phase::Asking => Ok(tcsetattr(stdin(), OptionalActions::Now, modes)?),
            _ => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    fn restore(&self) {
        // There may be no terminal any more.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        if self.draws {
            let _gone = Term::stderr().show_cursor();
        }
    }

    fn interrupt(&self, signal: i32) {
        let code = u8::try_from(128 + signal).unwrap_or(130);
        let mut phase = self.phase();
        match *phase {
            Phase::Asking => *phase = Phase::Signalled(code),
            Phase::Writing(ref mut noted) => return *noted = Some(code),
            Phase::Signalled(_) | Phase::Over => return,
        }
        self.changed.notify_all();
        if self.keys.load(Ordering::Acquire) {
            let over = |phase: &mut Phase| !matches!(phase, Phase::Over);
            let waited = self.changed.wait_timeout_while(phase, EACH_OTHER, over);
            (phase, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if matches!(*phase, Phase::Over) {
            return;
        }
        self.restore();
        let _gone = writeln!(io::stderr(), "\nmayfly: {ENDED}");
        // The thread that asks waits for a line and cannot be woken in another way.
        std::process::exit(code.into());
    }
}

/// The terminal in other modes for a question.
struct Modes<'a>(&'a Shared);

impl<'a> Modes<'a> {
    fn set(shared: &'a Shared, change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let mut modes = shared.quiet.clone();
        change(&mut modes);
        shared.set(&modes)?;
        Ok(Self(shared))
    }
}

impl Drop for Modes<'_> {
    fn drop(&mut self) {
        // Fails when the terminal is gone or in order already.
        let _over = self.0.set(&self.0.quiet);
    }
}

/// One line, without its end. Reads no further: what is typed ahead belongs to the next question.
fn read_line() -> Result<Zeroizing<Vec<u8>>, Stop> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    let mut piece = Zeroizing::new([0; 1]);
    loop {
        match rustix::io::read(stdin(), &mut piece[..]) {
            Ok(0) => return Err(Stop::Ended),
            // A return key that was typed ahead, while keys were read, is not a line feed.
            Ok(_) if matches!(piece[0], b'\n' | b'\r') => return Ok(line),
            Ok(_) if line.len() < LINE => line.push(piece[0]),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Stop::Io(e.into())),
        }
    }
}

fn print(text: &str) -> Result<(), Stop> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A line that the terminal does not show.
fn hidden(shared: &Shared, question: &str) -> Result<Zeroizing<String>, Stop> {
    loop {
        let _line_end = Modes::set(shared, |modes| {
            modes.local_modes |= LocalModes::ECHONL;
        })?;
        print(&format!("{question}: "))?;
        let line = read_line()?;
        match std::str::from_utf8(&line) {
            Ok(text) => return Ok(Zeroizing::new(text.to_owned())),
            Err(_) => print("  Not taken: these are no UTF-8 characters. Type it again.\n")?,
        }
    }
}

/// A terminal that prints lines and reads lines.
struct Lines {
    shared: Arc<Shared>,
}

impl Prompt for Lines {
    fn say(&mut self, text: &str) -> Result<(), Stop> {
        print(&format!("{text}\n"))
    }

    fn line(&mut self, question: &str, default: &str) -> Result<String, Stop> {
        let _shown = Modes::set(&self.shared, |modes| modes.local_modes |= LocalModes::ECHO)?;
        loop {
            match default {
                "" => print(&format!("{question}: "))?,
                _ => print(&format!("{question} [{default}]: "))?,
            }
            let line = read_line()?;
            match std::str::from_utf8(&line).map(str::trim) {
                Ok("") => return Ok(default.to_owned()),
                Ok(text) => return Ok(text.to_owned()),
                Err(_) => print("  Not taken: these are no UTF-8 characters.\n")?,
            }
        }
    }

    fn hidden(&mut self, question: &str) -> Result<Zeroizing<String>, Stop> {
        hidden(&self.shared, question)
    }

    fn choose(&mut self, question: &str, items: &[String], default: usize) -> Result<usize, Stop> {
        self.say(question)?;
        for (n, item) in items.iter().enumerate() {
            self.say(&format!("  {}  {item}", n + 1))?;
        }
        loop {
            let line = self.line("Number", &(default + 1).to_string())?;
            let number = line.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            match number.filter(|n| *n < items.len()) {
                Some(n) => return Ok(n),
                None => self.say(&format!(
                    "  Not taken: write a number from 1 to {}.",
                    items.len()
                ))?,
            }
        }
    }
}

/// A terminal that can move its cursor.
struct Drawing {
    term: Term,
    shared: Arc<Shared>,
}

impl Drawing {
    /// The crate switches to raw modes for each single key. In between, the terminal must not show
    /// what is pasted or typed ahead, nor take keys for itself.
    fn with_keys<T>(&self, ask: impl FnOnce() -> dialoguer::Result<T>) -> Result<T, Stop> {
        let _modes = Modes::set(&self.shared, |modes| {
            modes.local_modes -= LocalModes::ICANON | LocalModes::ISIG;
        })?;
        self.shared.keys.store(true, Ordering::Release);
        let answer = ask();
        self.shared.keys.store(false, Ordering::Release);
        answer.map_err(|dialoguer::Error::IO(e)| e.into())
    }
}

impl Prompt for Drawing {
    fn say(&mut self, text: &str) -> Result<(), Stop> {
        Ok(self.term.write_line(text)?)
    }

    fn line(&mut self, question: &str, default: &str) -> Result<String, Stop> {
        let mut input = Input::<String>::with_theme(&SimpleTheme).with_prompt(question);
        if !default.is_empty() {
            input = input.default(default.to_owned());
        }
        let line = self.with_keys(|| input.interact_text_on(&self.term))?;
        Ok(line.trim().to_owned())
    }

    fn hidden(&mut self, question: &str) -> Result<Zeroizing<String>, Stop> {
        hidden(&self.shared, question)
    }

    fn choose(&mut self, question: &str, items: &[String], default: usize) -> Result<usize, Stop> {
        let select = Select::with_theme(&SimpleTheme)
            .with_prompt(format!("{question} (arrows, then Enter)"))
            .items(items)
            .default(default)
            .report(false);
        let chosen = self.with_keys(|| select.interact_on(&self.term))?;
        let item = items.get(chosen).map_or("", String::as_str);
        self.say(&format!("{question}:\n  {item}"))?;
        Ok(chosen)
    }
}
