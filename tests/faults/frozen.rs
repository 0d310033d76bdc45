//! A disk that hangs, and what the service manager hears of it.

use crate::seen::Seen;
use crate::support::{Conn, Launch, LoopDisk, Server, Upload, Uploaded};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// How long the service manager would wait for a beat. Four are sent in that time.
const PATIENCE: Duration = Duration::from_secs(4);
/// Nothing is waited for longer than that.
const LONG: Duration = Duration::from_secs(120);
/// As many changes as the server makes at once.
const CHANGES: usize = 64;

/// Stands for the service manager (sd_notify(3)).
struct Manager {
    socket: UnixDatagram,
    home: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        Self { socket, home }
    }

    fn launch(&self, launch: Launch) -> Launch {
        let path = self.home.path().join("notify");
        launch
            .with("NOTIFY_SOCKET", path.to_str().unwrap())
            .with("WATCHDOG_USEC", &PATIENCE.as_micros().to_string())
    }

    /// The next message before `end`.
    fn hears(&self, end: Instant) -> Option<String> {
        let mut message = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.recv(&mut message) {
                Ok(n) => return Some(String::from_utf8_lossy(&message[..n]).into_owned()),
                // This process was stopped for a moment.
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Forgets what was said, and waits for so many beats more.
    fn beats(&self, count: usize) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        let end = Instant::now() + LONG;
        let mut seen = 0;
        while let Some(message) = self.hears(end) {
            seen += usize::from(message.contains("WATCHDOG=1"));
            if seen == count {
                return true;
            }
        }
        false
    }

    /// Waits until it was said who is silent, and there was no beat since for longer than the service
    /// manager waits. Tells what was said; `None` when the beats go on and on. A server that had no
    /// time for its beats has said nothing.
    fn falls_silent(&self, who: &str) -> Option<String> {
        let end = Instant::now() + LONG;
        let mut heard = String::new();
        let mut last = Instant::now();
        while Instant::now() < end {
            match self.hears(last + PATIENCE) {
                None if last.elapsed() >= PATIENCE && heard.contains(who) => return Some(heard),
                // Otherwise this would be asked for at once, again and again.
                None if last.elapsed() >= PATIENCE => last = Instant::now(),
                None => {}
                Some(message) if message.contains("WATCHDOG=1") => {
                    last = Instant::now();
                }
                Some(message) => heard.push_str(&message),
            }
        }
        None
    }
}

/// Deletes, and waits for the answer longer than for all that is waited for meanwhile; the status, 0
/// when there is none.
fn delete(server: &Server, file: &Uploaded) -> u16 {
    let mut conn = Conn::open(server.address).unwrap();
    conn.patience(LONG * 10);
    let (key, id) = (
        format!("apikey: {}", server.key),
        format!("id: {}", file.id),
    );
    let lines = [&key[..], &id, "Content-Length: 0"];
    let reply = conn
        .ask("DELETE", "/api/files/delete", &lines)
        .and_then(|()| conn.reply());
    reply.map_or(0, |reply| reply.status())
}

pub fn changes(seen: &mut Seen) {
    let manager = Manager::new();
    let disk = LoopDisk::mount(64).unwrap();
    let data = disk.path().join("data");
    let launch = Launch::with_settings("min_free_space = \"1 MiB\"\n").keeping_data_in(&data);
    let server = Server::launched(manager.launch(launch));
    let kept = Upload::fresh(300_000).downloads(0).to(&server);
    let files: Vec<Uploaded> = (0..CHANGES)
        .map(|_| Upload::fresh(100).downloads(0).to(&server))
        .collect();
    assert!(manager.beats(1), "it is watched");
    std::thread::scope(|scope| {
        let frozen = disk.freeze().expect("it freezes");
        let server = &server;
        let hang = |file| scope.spawn(move || delete(server, file));
        let mut deletes = vec![hang(&files[0])];
        seen.holds("one: the beats go on", manager.beats(8), server.log());
        assert!(!deletes[0].is_finished(), "nothing hangs");
        seen.whole("download", server, &kept);
        seen.status("health", server.get("/health").status());
        deletes.extend(files[1..].iter().map(hang));
        let silence = manager.falls_silent("the workers for changes");
        let name = "all: the beats stop, and it is said who is silent";
        seen.holds(name, silence.is_some(), server.log());
        drop(frozen);
        let again = manager.beats(3);
        seen.holds("after it: the beats come again", again, server.log());
        let statuses = deletes.into_iter().map(|d| d.join().unwrap());
        let done = statuses.filter(|status| *status == 200).count();
        seen.note(format!("{done} deletes 200"));
    });
    seen.upload("upload", &server, &Upload::fresh(100_000));
    seen.same_process(&server);
}
