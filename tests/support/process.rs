//! What the kernel says about a process: memory, threads, descriptors, processor time, bytes.

use std::fs;
use std::time::Duration;

/// A look at one process through /proc.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pid: u32,
}

impl Figures {
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    fn file(self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid)).unwrap_or_default()
    }

    fn field(self, file: &str, name: &str) -> u64 {
        let text = self.file(file);
        let line = text.lines().find(|l| l.starts_with(name));
        let number = line.and_then(|l| l[name.len()..].split_whitespace().next());
        number
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(|| panic!("the server (pid {}) is gone: no {name} in /proc", self.pid))
    }

    /// Whether the process runs (a zombie does not).
    pub fn runs(self) -> bool {
        let stat = self.file("stat");
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }

    /// Resident memory now, in bytes.
    pub fn rss(self) -> u64 {
        self.field("status", "VmRSS:") * 1024
    }

    /// Address space, used or not, in bytes.
    pub fn address_space(self) -> u64 {
        self.field("status", "VmSize:") * 1024
    }

    /// Most resident memory since the start or [`Figures::forget_peak`], in bytes.
    pub fn peak(self) -> u64 {
        self.field("status", "VmHWM:") * 1024
    }

    /// Starts the peak anew (proc(5), `clear_refs`).
    pub fn forget_peak(self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").unwrap();
    }

    pub fn threads(self) -> u64 {
        self.field("status", "Threads:")
    }

    pub fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }

    /// Bytes that the process caused to be written to a block device.
    pub fn written_to_disk(self) -> u64 {
        self.field("io", "write_bytes:")
    }

    /// The same without those that were dropped before they got there (proc(5), `cancelled_write_bytes`).
    pub fn caused_to_be_written(self) -> u64 {
        let dropped = self.field("io", "cancelled_write_bytes:");
        self.written_to_disk().saturating_sub(dropped)
    }

    /// Bytes that the process handed to `write` and its like, sockets included.
    pub fn written(self) -> u64 {
        self.field("io", "wchar:")
    }

    /// Processor time of all threads, those that ended included.
    pub fn cpu(self) -> Duration {
        let stat = self.file("stat");
        let (_, rest) = stat.rsplit_once(") ").expect("the server runs");
        let ticks: u64 = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|n| n.parse::<u64>().unwrap())
            .sum();
        // USER_HZ is 100 on every Linux architecture that Mayfly runs on (proc(5)).
        Duration::from_millis(ticks * 10)
    }
}
