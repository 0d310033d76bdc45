//! Runs faults and prints the table. Takes the words that the usual test harness takes, as far as
//! they mean something here.

use crate::seen::Seen;
use crate::support::{have, slow};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One row of the matrix.
pub struct Fault {
    /// Chooses it on the command line.
    pub name: &'static str,
    /// What is brought about.
    pub fault: &'static str,
    /// What has to be seen, word for word.
    pub expected: &'static str,
    /// Without these it is left out.
    pub needs: &'static [Needs],
    /// Takes less than five seconds.
    pub quick: bool,
    pub run: fn(&mut Seen),
}

/// What a fault cannot be brought about without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A mount namespace of its own: root, or the right to make one.
    Mounts,
    /// Loop devices and ext4.
    Loop,
    /// fsfreeze, for a disk that hangs.
    Freeze,
    /// btrfs on loop devices, with quotas.
    Quota,
    Strace,
    Prlimit,
    /// A C compiler.
    Compiler,
    Perl,
}

/// Set for the process that has a mount namespace of its own.
const OWN_MOUNTS: &str = "MAYFLY_TEST_OWN_MOUNTS";

impl Needs {
    fn is_met(self) -> bool {
        match self {
            Self::Mounts => {
                let own = std::env::var_os(OWN_MOUNTS).is_some();
                if !own {
                    eprintln!("LEFT OUT: no mount namespace (unshare --mount needs root)");
                }
                own
            }
            Self::Freeze => have("fsfreeze"),
            Self::Loop => {
                static TRIED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
                let works = || crate::support::LoopDisk::mount(8).is_some();
                let works = have("mkfs.ext4") && *TRIED.get_or_init(works);
                if !works {
                    eprintln!("LEFT OUT: ext4 on a loop device cannot be mounted here");
                }
                works
            }
            Self::Quota => {
                static TRIED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
                let works = || crate::support::QuotaDisk::mount(64).is_some();
                let works = have("mkfs.btrfs") && *TRIED.get_or_init(works);
                if !works {
                    eprintln!("LEFT OUT: btrfs with a quota cannot be mounted here");
                }
                works
            }
            Self::Strace => have("strace"),
            Self::Prlimit => have("prlimit"),
            Self::Compiler => have("cc"),
            Self::Perl => have("perl"),
        }
    }
}

enum Outcome {
    LeftOut,
    Ran { seen: String, took: Duration },
}

/// What the command line asks for.
#[derive(Default)]
struct Wish {
    list: bool,
    exact: bool,
    names: Vec<String>,
    skip: Vec<String>,
    threads: Option<usize>,
}

impl Wish {
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut wish = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            match option.as_str() {
                "--list" => wish.list = true,
                "--exact" => wish.exact = true,
                "--skip" => wish.skip.extend(value.or_else(|| arguments.next())),
                "--test-threads" => {
                    let threads = value.or_else(|| arguments.next());
                    wish.threads = threads.and_then(|n| n.parse().ok());
                }
                "--format" | "--color" | "--logfile" | "-Z" if value.is_none() => {
                    arguments.next();
                }
                other if other.starts_with('-') => {}
                _ => wish.names.push(option),
            }
        }
        wish
    }

    fn takes(&self, fault: &Fault) -> bool {
        let matches = |word: &String| match self.exact {
            true => fault.name == word,
            false => fault.name.contains(word.as_str()),
        };
        if self.skip.iter().any(matches) {
            return false;
        }
        match self.names.is_empty() {
            true => fault.quick || slow(),
            false => self.names.iter().any(matches),
        }
    }
}

/// Runs what the command line asks for.
pub fn run(faults: &[Fault]) -> ExitCode {
    let wish = Wish::read(std::env::args().skip(1));
    if wish.list {
        for fault in faults {
            println!("{}: test", fault.name);
        }
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&Fault> = faults.iter().filter(|f| wish.takes(f)).collect();
    let others = faults.len() - chosen.len();
    if chosen.iter().any(|f| f.needs.contains(&Needs::Mounts)) {
        own_mounts();
    }
    let outcomes = run_all(&chosen, wish.threads.unwrap_or(3));
    let mut wrong = 0;
    println!("\nfault -> expected -> seen");
    for (fault, outcome) in chosen.iter().zip(&outcomes) {
        println!("\n{}: {}", fault.name, fault.fault);
        println!("    expected: {}", fault.expected);
        match outcome {
            Outcome::LeftOut => println!("    LEFT OUT: what it needs is not there"),
            Outcome::Ran { seen, took } if seen == fault.expected => {
                println!("    seen:     the same ({:.1} s)", took.as_secs_f32());
            }
            Outcome::Ran { seen, took } => {
                wrong += 1;
                println!("    SEEN:     {seen} ({:.1} s)", took.as_secs_f32());
            }
        }
    }
    let left_out = outcomes.iter().filter(|o| matches!(o, Outcome::LeftOut));
    println!(
        "\n{} faults as expected, {wrong} not, {} left out, {others} not asked for{}",
        outcomes.len() - wrong - left_out.clone().count(),
        left_out.count(),
        match wish.names.is_empty() && !slow() {
            true => " (MAYFLY_SLOW=1 runs all)",
            false => "",
        }
    );
    let _ = std::io::stdout().flush();
    match wrong {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Goes on in a mount namespace of its own, if there can be one: what is mounted there is gone with
/// the last process in it.
fn own_mounts() {
    if std::env::var_os(OWN_MOUNTS).is_some() {
        return;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--"]);
        command
    };
    let possible = unshare().arg("true").stderr(Stdio::null()).status();
    if possible.is_ok_and(|s| s.success()) {
        let error = unshare()
            .arg(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .env(OWN_MOUNTS, "1")
            .exec();
        eprintln!("unshare: {error}");
    }
}

fn run_all(faults: &[&Fault], threads: usize) -> Vec<Outcome> {
    let outcomes: Vec<Mutex<Outcome>> = faults
        .iter()
        .map(|_| Mutex::new(Outcome::LeftOut))
        .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, 8) {
            scope.spawn(|| {
                while let Some((fault, outcome)) = {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    faults.get(n).zip(outcomes.get(n))
                } {
                    let ran = run_one(fault);
                    *outcome.lock().unwrap_or_else(PoisonError::into_inner) = ran;
                }
            });
        }
    });
    let inner = |o: Mutex<Outcome>| o.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.into_iter().map(inner).collect()
}

fn run_one(fault: &Fault) -> Outcome {
    if !fault.needs.iter().all(|n| n.is_met()) {
        eprintln!("LEFT OUT: {}", fault.name);
        return Outcome::LeftOut;
    }
    let began = Instant::now();
    let mut seen = Seen::default();
    let result = catch_unwind(AssertUnwindSafe(|| (fault.run)(&mut seen)));
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        seen.note(format!("PANIC: {}", text.unwrap_or("without words")));
    }
    let took = began.elapsed();
    println!("{} ... {:.1} s", fault.name, took.as_secs_f32());
    Outcome::Ran {
        seen: seen.to_string(),
        took,
    }
}
