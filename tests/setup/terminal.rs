//! A terminal of 80 by 24, and somebody who types and reads.

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No step takes longer; what does is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program, writes down how it ended, and waits to be killed.
const SHELL: &str = "trap : INT QUIT HUP; \"$@\"; echo $? >\"$CODE.new\"; mv \"$CODE.new\" \"$CODE\"; while :; do sleep 1000; done";

/// The program under test.
pub fn mayfly() -> Command {
    let mut words = words();
    let mut command = Command::new(words.remove(0));
    command.args(words);
    without_ours(&mut command);
    command
}

/// What directs the tests is no setting of the program, which would refuse it.
fn without_ours(command: &mut Command) {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|n| n.as_encoded_bytes().starts_with(b"MAYFLY_")) {
        command.env_remove(name);
    }
}

fn words() -> Vec<String> {
    let binary =
        std::env::var("MAYFLY_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mayfly").to_owned());
    let runner = std::env::var("MAYFLY_RUNNER").unwrap_or_default();
    let words = runner.split_whitespace().map(str::to_owned);
    words.chain([binary]).collect()
}

/// The first line that a process prints; the rest is read and forgotten.
pub fn first_line(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    first
}

/// A program on a terminal.
pub struct Terminal {
    /// A shell that runs the program.
    child: Child,
    code: TempDir,
    before: Termios,
    /// What the person holds.
    near: Option<File>,
    /// What the program holds; kept so that its modes can be looked at after the end.
    far: Option<File>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    /// Bytes of what was shown that were waited for already.
    seen: usize,
}

#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
}

impl Terminal {
    /// Runs the program with these arguments on a new terminal.
    pub fn run(term: &str, arguments: &[&str]) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&far, size).unwrap();
        let half = || Stdio::from(far.try_clone().unwrap());
        let before = tcgetattr(&far).unwrap();
        let code = tempfile::tempdir().unwrap();
        // A shell in a session whose terminal this is, as after a login. It stays: when the leader of a
        // session ends, the kernel itself resets the terminal.
        let mut command = Command::new("setsid");
        without_ours(&mut command);
        let child = command
            .args(["--ctty", "sh", "-c", SHELL, "sh"])
            .args(words())
            .args(arguments)
            .env("CODE", code.path().join("code"))
            .env("TERM", term)
            .env_remove("SSH_CONNECTION")
            .stdin(half())
            .stdout(half())
            .stderr(half())
            .spawn()
            .unwrap();
        let near = File::from(near);
        let shown = Arc::new((Mutex::new(Shown::default()), Condvar::new()));
        let (mut reader, told) = (near.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                told.0.lock().unwrap().bytes.extend_from_slice(&buffer[..n]);
                told.1.notify_all();
            }
        });
        Self {
            child,
            code,
            before,
            near: Some(near),
            far: Some(far),
            shown,
            seen: 0,
        }
    }

    /// Waits until `text` is shown, after what was waited for before.
    pub fn wait_for(&mut self, text: &str) {
        let (shown, changed) = &*self.shown;
        let end = Instant::now() + PATIENCE;
        let mut shown = shown.lock().unwrap();
        loop {
            let new = &shown.bytes[self.seen..];
            let found = new.windows(text.len()).position(|w| w == text.as_bytes());
            if let Some(place) = found {
                self.seen += place + text.len();
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            let (next, late) = changed.wait_timeout(shown, left).unwrap();
            shown = next;
            let all = String::from_utf8_lossy(&shown.bytes).into_owned();
            assert!(!late.timed_out(), "{text:?} was never shown:\n{all}");
        }
    }

    pub fn types(&mut self, text: &str) {
        let near = self.near.as_mut().unwrap();
        near.write_all(text.as_bytes()).unwrap();
    }

    pub fn signal(&self, signal: &str) {
        let shell = self.child.id();
        let pid = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let sent = Command::new("kill")
            .args([signal, pid.trim()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends the line, as a lost connection does.
    pub fn hang_up(&mut self) {
        // The reader holds another descriptor for it until the program has gone: the line ends with
        // the session of its leader.
        self.signal("-HUP");
        self.far = None;
        self.near = None;
    }

    /// How the program ended; a signal counts as shells do.
    pub fn exit_code(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(code) = std::fs::read_to_string(self.code.path().join("code")) {
                return code.trim().parse().unwrap();
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that was shown, lines ended by \n.
    pub fn screen(&self) -> String {
        self.drain();
        let shown = self.shown.0.lock().unwrap();
        String::from_utf8_lossy(&shown.bytes).replace('\r', "")
    }

    /// Waits until the reader has all that was written before this call: the terminal is a queue, so a
    /// mark that comes out behind it tells.
    fn drain(&self) {
        let Some(far) = &self.far else { return };
        let mark = "\u{1}mark\u{2}";
        let before = count(&self.shown.0.lock().unwrap().bytes, mark);
        let mut far = far;
        far.write_all(mark.as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        let mut shown = self.shown.0.lock().unwrap();
        while count(&shown.bytes, mark) == before && Instant::now() < end {
            shown = self.shown.1.wait_timeout(shown, PATIENCE).unwrap().0;
        }
    }

    pub fn count_of(&self, text: &str) -> usize {
        count(&self.shown.0.lock().unwrap().bytes, text)
    }

    /// Whether the cursor is where it can be seen, after all that was shown.
    pub fn shows_its_cursor(&self) -> bool {
        let screen = self.screen();
        screen.rfind("\u{1b}[?25l") <= screen.rfind("\u{1b}[?25h")
    }

    /// Whether the terminal is as it was before the program.
    pub fn is_in_order(&self) -> bool {
        let (before, now) = (&self.before, tcgetattr(self.far.as_ref().unwrap()).unwrap());
        now.local_modes == before.local_modes
            && now.input_modes == before.input_modes
            && now.output_modes == before.output_modes
            && format!("{:?}", now.special_codes) == format!("{:?}", before.special_codes)
    }
}

fn count(bytes: &[u8], text: &str) -> usize {
    bytes
        .windows(text.len())
        .filter(|w| *w == text.as_bytes())
        .count()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The shell and what it started are one group of processes.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}
