//! The thread that writes: the only one that a full pipe, a stopped terminal or a slow card holds
//! up.

use super::Core;
use super::file::LogFile;
use super::queue::Next;
use super::stream::Stream;
use crate::logging::event;
use log::Level;
use rustix::event::Timespec;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After a failure, lines are dropped for so long before the next attempt.
const REST: Duration = Duration::from_secs(10);
/// While lines are dropped, their number is told this often, not with every line that fits.
const TOLD_EACH: Duration = Duration::from_secs(1);

/// Where lines go.
pub(super) enum Sink {
    Stream(Stream),
    File(LogFile),
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write(lines),
            Self::File(file) => file.append(lines),
        }
    }
}

/// The writer.
pub(super) struct Writer {
    core: Arc<Core>,
    sink: Sink,
    rest: Duration,
    /// The last write failed; until then none is tried.
    rests_until: Option<Instant>,
    told_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(core: Arc<Core>, sink: Sink) -> Self {
        Self {
            core,
            sink,
            rest: REST,
            rests_until: None,
            told_at: None,
        }
    }

    /// Writes until the queue is closed and empty. A panic costs the lines that were at hand.
    pub(super) fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.write_all())).is_err() {}
        self.core.queue.end();
    }

    fn write_all(&mut self) {
        let mut batch = Vec::new();
        loop {
            batch.clear();
            match self.core.queue.next(&mut batch, self.wakes_at()) {
                Next::Lines(count) => {
                    if !self.write(&batch) {
                        self.core.queue.lost(count);
                    }
                    self.tell(false);
                }
                Next::Woken => {
                    // Nothing may come for a long time.
                    batch.shrink_to(0);
                    self.tell(false);
                }
                Next::Closed => {
                    self.tell(true);
                    return;
                }
            }
        }
    }

    /// Whether it was written.
    fn write(&mut self, lines: &[u8]) -> bool {
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        match self.sink.write(lines) {
            Ok(()) => {
                self.rests_until = None;
                true
            }
            Err(error) => {
                if let (Sink::File(file), None) = (&self.sink, self.rests_until) {
                    let path = file.path().display();
                    let complaint = format!(
                        "mayfly: log file {path}: {error}. Its lines are dropped; tried again every {} s. Let this user write there, or log elsewhere\n",
                        self.rest.as_secs()
                    );
                    Stream::say(&complaint, &Timespec::default());
                }
                self.rests_until = Some(Instant::now() + self.rest);
                false
            }
        }
    }

    /// Tells how many lines are missing, if any are. At the `end`, also of the minute that is not
    /// over.
    fn tell(&mut self, end: bool) {
        for (kind, suppressed) in self.core.suppressed(end) {
            let text = format!("suppressed={suppressed} of=\"{kind}\"");
            if !self.write(&self.core.line(Level::Warn, event::LOG, &text)) {
                self.core.queue.lost(suppressed);
            }
        }
        let (dropped, more) = self.core.queue.dropped();
        let just_told = self.told_at.is_some_and(|at| at.elapsed() < TOLD_EACH);
        if dropped == 0 || (more && just_told && !end) {
            return;
        }
        let text = format!("dropped={dropped} lines could not be written in time");
        if self.write(&self.core.line(Level::Warn, event::LOG, &text)) {
            self.core.queue.told(dropped);
            self.told_at = Some(Instant::now());
        }
    }

    /// When there is something to tell, whether or not a line comes. `None` while there is not: an
    /// idle log sleeps.
    fn wakes_at(&self) -> Option<Instant> {
        let untold = self.core.queue.dropped().0 > 0;
        let again = untold.then(|| {
            self.rests_until
                .unwrap_or_else(|| Instant::now() + TOLD_EACH)
        });
        let over = self.core.next_suppressed();
        again.into_iter().chain(over).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// A log in that file whose writer does not rest after failures.
    fn log_to(path: &Path) -> (Arc<Core>, std::thread::JoinHandle<()>) {
        let core = Arc::new(Core::new(false));
        let file = LogFile::new(path.to_owned(), 1 << 20, 1);
        let mut writer = Writer::new(Arc::clone(&core), Sink::File(file));
        writer.rest = Duration::ZERO;
        let thread = std::thread::spawn(move || writer.run());
        (core, thread)
    }

    fn log(core: &Core, text: &str) {
        let line = core.line(Level::Info, event::UPLOAD, text);
        core.queue.push(line, false);
        core.queue.flush(Duration::from_secs(30));
    }

    #[test]
    fn lines_that_found_no_directory_are_counted_and_told_when_it_is_back() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("logs");
        let (core, thread) = log_to(&dir.join("log"));
        for n in 0..7 {
            log(&core, &format!("lost {n}"));
        }
        fs::create_dir(&dir).unwrap();
        log(&core, "kept");
        core.queue.close(Duration::from_secs(30));
        thread.join().unwrap();
        let text = fs::read_to_string(dir.join("log")).unwrap();
        assert!(text.contains(" [INFO] upload: kept\n"), "{text}");
        assert!(text.contains(" [WARN] log: dropped=7 "), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_full_card_costs_lines_and_never_half_of_one() {
        let home = tempfile::tempdir().unwrap();
        let mount = |words: &[&str]| {
            let done = std::process::Command::new(words[0])
                .args(&words[1..])
                .arg(home.path())
                .stderr(std::process::Stdio::null())
                .status();
            done.is_ok_and(|status| status.success())
        };
        if !mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
            eprintln!("LEFT OUT: a full card: nothing can be mounted here");
            return;
        }
        let path = home.path().join("log");
        let (core, thread) = log_to(&path);
        for n in 0..500 {
            log(&core, &format!("line {n:>4} {}", "x".repeat(333)));
        }
        // Between two tries to tell what was dropped, there may be a part of that line.
        let full = fs::read_to_string(&path).unwrap();
        let written = full.matches('\n').count();
        assert!((100..200).contains(&written), "{written}");
        assert_eq!(full.matches("upload: line ").count(), written);
        // Somebody makes room.
        fs::remove_file(&path).unwrap();
        log(&core, "again");
        core.queue.close(Duration::from_secs(30));
        thread.join().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        // Nobody does.
        let path = home.path().join("other");
        let (core, thread) = log_to(&path);
        for n in 0..500 {
            log(&core, &format!("line {n:>4} {}", "x".repeat(333)));
        }
        core.queue.close(Duration::from_secs(30));
        thread.join().unwrap();
        let full = fs::read_to_string(&path).unwrap();
        assert!(mount(&["umount"]));
        assert!(
            full.ends_with("x\n") || full.ends_with("in time\n"),
            "{full}"
        );
        let told = format!("log: dropped={} ", 500 - written);
        assert!(
            text.contains("upload: again\n") && text.contains(&told),
            "{text}"
        );
    }

    #[test]
    fn the_end_tells_what_was_held_back() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let (core, thread) = log_to(&path);
        let written = (0..100).filter(|_| core.admits("limit: kind=x")).count();
        core.queue.close(Duration::from_secs(30));
        thread.join().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let told = format!("log: suppressed={} of=\"limit: kind=x\"\n", 100 - written);
        assert!(text.ends_with(&told), "{text}");
    }
}
