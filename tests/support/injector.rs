//! strace on a running server: the system call that a test chooses meets a fault.

use super::within;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// strace, attached until it is dropped; the server goes on untouched then.
pub struct Injector {
    strace: Child,
}

impl Injector {
    /// Attaches to every thread of a process; from now on `calls` (names with commas) meet `fault`
    /// as strace(1) writes it: `error=EIO:when=3`, counted for each thread. `only` leaves out calls
    /// on other files. `None`, said aloud, when strace may not attach here.
    pub fn attach(pid: u32, only: Option<&Path>, calls: &str, fault: &str) -> Option<Self> {
        Self::attach_all(pid, only, &[(calls, fault)])
    }

    /// Attaches and only writes down `calls` into the file `record`; with a `fault`, as
    /// [`Injector::attach`] as well.
    pub fn record(
        pid: u32,
        only: Option<&Path>,
        calls: &str,
        fault: Option<&str>,
        record: &Path,
    ) -> Option<Self> {
        Self::start(pid, only, &[(calls, fault.unwrap_or_default())], record)
    }

    /// As [`Injector::attach`], with several faults for different calls.
    pub fn attach_all(pid: u32, only: Option<&Path>, faults: &[(&str, &str)]) -> Option<Self> {
        Self::start(pid, only, faults, Path::new("/dev/null"))
    }

    fn start(
        pid: u32,
        only: Option<&Path>,
        faults: &[(&str, &str)],
        record: &Path,
    ) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-p", &pid.to_string(), "-o"]);
        strace.arg(record);
        if let Some(path) = only {
            strace.arg("-P").arg(path);
        }
        strace.args(rules(faults));
        let child = strace.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut strace = child.unwrap();
        let traced = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_ok_and(|s| s.contains(&format!("TracerPid:\t{}", strace.id())))
        };
        let attached = within(Duration::from_secs(10), traced)
            && within(Duration::from_secs(10), || all_threads_traced(pid));
        if attached {
            return Some(Self { strace });
        }
        let _ = strace.kill();
        let _ = strace.wait();
        let errors = BufReader::new(strace.stderr.take().unwrap());
        let said: Vec<String> = errors.lines().map_while(Result::ok).collect();
        eprintln!("LEFT OUT: strace could not attach: {said:?}");
        None
    }
}

/// A command in front of a program that starts it under the same rule: for what happens before
/// anybody could attach.
pub fn under(only: Option<&Path>, calls: &str, fault: &str) -> Vec<String> {
    // With -I 2, strace ends when it is told to.
    let mut words: Vec<String> = ["strace", "-I", "2", "-f", "-qq", "-o", "/dev/null"]
        .map(str::to_owned)
        .to_vec();
    if let Some(path) = only {
        words.extend(["-P".to_owned(), path.display().to_string()]);
    }
    words.extend(rules(&[(calls, fault)]));
    // Whatever ends strace ends the program.
    words.extend(["setpriv", "--pdeathsig", "KILL"].map(str::to_owned));
    words
}

fn rules(faults: &[(&str, &str)]) -> Vec<String> {
    // A call that this architecture does not have is passed over ("?").
    let names = |calls: &str| {
        let calls: Vec<String> = calls.split(',').map(|c| format!("?{c}")).collect();
        calls.join(",")
    };
    let all: Vec<String> = faults.iter().map(|(calls, _)| names(calls)).collect();
    let mut rules = vec![format!("trace={}", all.join(",")), "signal=none".to_owned()];
    let inject = |(calls, fault): &(&str, &str)| format!("inject={}:{fault}", names(calls));
    let faults = faults.iter().filter(|(_, fault)| !fault.is_empty());
    rules.extend(faults.map(inject));
    rules
        .iter()
        .flat_map(|rule| ["-e".to_owned(), rule.clone()])
        .collect()
}

fn all_threads_traced(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status"));
        status.map_or(true, |s| !s.contains("TracerPid:\t0"))
    })
}

impl Drop for Injector {
    fn drop(&mut self) {
        // SIGTERM lets strace detach, so that the server goes on untouched.
        let pid = rustix::process::Pid::from_child(&self.strace);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.strace.wait();
    }
}
