//! The program under a service manager: what it tells, when, and what it takes over; and the units as
//! they are shipped. The manager is this test, with a real socket; `scripts/systemd-test` does the same
//! under a real systemd.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Launch, Server, Upload, get, have, slow, within};

/// How long the test, as service manager, waits for a beat.
const PATIENCE: Duration = Duration::from_secs(2);
/// No test waits longer for anything.
const LONG: Duration = Duration::from_secs(30);

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _home: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            path,
            _home: home,
        }
    }

    fn launch(&self, launch: Launch) -> Launch {
        self.launch_with(launch, PATIENCE)
    }

    fn launch_with(&self, launch: Launch, patience: Duration) -> Launch {
        launch
            .with("NOTIFY_SOCKET", self.path.to_str().unwrap())
            .with("WATCHDOG_USEC", &patience.as_micros().to_string())
    }

    /// The next message, within `limit`.
    fn hears(&self, limit: Duration) -> Option<String> {
        let limit = limit.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }

    /// Messages up to one with `text`, which comes soon.
    fn until(&self, text: &str) -> Vec<String> {
        let end = Instant::now() + LONG;
        let mut heard = Vec::new();
        while let Some(message) = self.hears(end.saturating_duration_since(Instant::now())) {
            let found = message.contains(text);
            heard.push(message);
            if found {
                return heard;
            }
        }
        panic!("never heard {text:?}, only {heard:?}");
    }

    /// So many beats, none of which comes too late.
    fn beats(&self, count: usize, patience: Duration) {
        let (mut seen, mut last) = (0, Instant::now());
        while seen < count {
            let left = patience.saturating_sub(last.elapsed());
            let message = self.hears(left);
            let message = message.unwrap_or_else(|| panic!("no beat after {seen} of {count}"));
            if message.contains("WATCHDOG=1") {
                (seen, last) = (seen + 1, Instant::now());
            }
        }
    }

    /// Waits until no beat has come for the whole patience. What was said meanwhile.
    fn falls_silent(&self) -> String {
        let (began, mut last) = (Instant::now(), Instant::now());
        let mut heard = String::new();
        while last.elapsed() < PATIENCE {
            assert!(began.elapsed() < PATIENCE * 2, "the beats go on: {heard}");
            let Some(message) = self.hears(Duration::from_millis(20)) else {
                continue;
            };
            if message.contains("WATCHDOG=1") {
                last = Instant::now();
            }
            heard.push_str(&message);
        }
        heard
    }
}

fn signal(server: &Server, signal: rustix::process::Signal) {
    let pid = i32::try_from(server.pid()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn it_says_when_it_is_ready_how_it_is_and_when_it_stops() {
    let manager = Manager::new();
    let mut server = Server::launched(manager.launch(Launch::with_settings("")));
    manager.until("READY=1\n");
    let heard = manager.until("; 0 links").join("");
    let status = format!("STATUS=Links begin with {}; 0 links\n", server.url);
    assert!(heard.contains(&status), "{heard}");
    Upload::fresh(1000).to(&server);
    manager.until("; 1 link\n");
    manager.beats(6, PATIENCE);
    assert!(server.stop(LONG).success());
    manager.until("STOPPING=1\n");
}

#[test]
fn a_reload_is_announced_and_wrong_settings_are_told_and_change_nothing() {
    let manager = Manager::new();
    let launch = Launch::with_settings("[log]\nlevel = \"warn\"\n[pages]\nname = \"Cuckoo\"\n");
    let mut server = Server::launched(manager.launch(launch));
    manager.until("READY=1\n");
    let path = server.settings_path();
    let before = std::fs::read_to_string(&path).unwrap();

    assert!(server.get("/").text().contains("Cuckoo"));
    let after = before.replace("\"warn\"", "\"info\"");
    let after = after.replace("Cuckoo", "Magpie");
    std::fs::write(&path, format!("default_days = 3\n{after}")).unwrap();
    signal(&server, rustix::process::Signal::HUP);
    let heard = manager.until("RELOADING=1\n");
    assert!(
        heard.last().unwrap().contains("\nMONOTONIC_USEC="),
        "{heard:?}"
    );
    manager.until("READY=1\n");
    for said in [
        "read again: log.level, pages.name changed",
        "default_days will count after a restart",
    ] {
        let is_told = within(LONG, || server.log().contains(said));
        assert!(is_told, "{}", server.log());
    }

    assert!(server.get("/").text().contains("Magpie"));

    std::fs::write(&path, "listen = 7\nanswer = 42\n").unwrap();
    signal(&server, rustix::process::Signal::HUP);
    manager.until("RELOADING=1\n");
    // Two threads tell of it: the order is open.
    let mut heard = manager.until("stay as they were").join("");
    if !heard.contains("READY=1\n") {
        heard.push_str(&manager.until("READY=1\n").join(""));
    }
    assert!(
        heard.contains("STATUS=The settings stay as they were: "),
        "{heard}"
    );
    assert!(
        heard.contains("listen = 7") && heard.contains("answer"),
        "{heard}"
    );
    assert!(within(LONG, || server.probe().is_some()));
    // Nothing in the status is another notice.
    let line = heard
        .lines()
        .find(|line| line.contains("stay as they were"));
    assert!(line.unwrap().contains("Links begin with"), "{heard}");

    std::fs::write(&path, &before).unwrap();
    signal(&server, rustix::process::Signal::HUP);
    manager.until("RELOADING=1\n");
    manager.until("STATUS=Links begin with");
    assert!(server.stop(LONG).success());
}

/// Puts a pipe in the place of the settings: whoever reads them waits, as on a mount that hangs.
fn hang(server: &Server) -> PathBuf {
    let path = server.settings_path();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let pipe = path.with_extension("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::fs::rename(&pipe, &path).unwrap();
    path
}

/// The end to write to, once somebody waits at the other.
fn waited_at(pipe: &Path) -> std::fs::File {
    let open = || {
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(nonblock).open(pipe)
    };
    let mut opened = None;
    within(LONG, || {
        opened = open().ok();
        opened.is_some()
    });
    opened.expect("somebody reads")
}

#[test]
fn settings_on_a_mount_that_hangs_keep_nobody_from_ending_the_server() {
    let manager = Manager::new();
    let mut server = Server::launched(manager.launch(Launch::with_settings("")));
    manager.until("READY=1\n");
    let pipe = hang(&server);
    signal(&server, rustix::process::Signal::HUP);
    manager.until("RELOADING=1\n");
    let _never_written = waited_at(&pipe);
    manager.until("STATUS=The settings or the pages are still being read after ");
    let logged = || server.log().contains("are still being read after");
    assert!(within(LONG, logged), "{}", server.log());
    manager.beats(6, LONG);
    let serves = within(LONG, || server.probe().is_some());
    assert!(serves, "it serves");
    assert!(server.stop(LONG).success());
    let heard = manager.until("STOPPING=1\n").join("");
    assert!(!heard.contains("READY=1"), "{heard}");
    assert!(server.log().contains("stopped cut=0"), "{}", server.log());
}

#[test]
fn wishes_to_reload_while_settings_are_read_are_one_more_reload_with_what_is_there_then() {
    let manager = Manager::new();
    let launch = Launch::with_settings("[pages]\nname = \"Cuckoo\"\n");
    let mut server = Server::launched(manager.launch(launch));
    manager.until("READY=1\n");
    let before = std::fs::read_to_string(server.settings_path()).unwrap();
    let path = hang(&server);
    signal(&server, rustix::process::Signal::HUP);
    manager.until("RELOADING=1\n");
    let mut writer = waited_at(&path);
    for count in 1..=3 {
        signal(&server, rustix::process::Signal::HUP);
        let said = || server.log().matches("They will be read once more").count();
        assert!(within(LONG, || said() == count), "{}", server.log());
    }
    assert!(server.get("/").text().contains("Cuckoo"));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, before.replace("Cuckoo", "Magpie")).unwrap();
    writer
        .write_all(before.replace("Cuckoo", "Jay").as_bytes())
        .unwrap();
    drop(writer);
    let first = manager.until("READY=1\n").join("");
    assert!(!first.contains("RELOADING=1"), "{first}");
    manager.until("RELOADING=1\n");
    manager.until("READY=1\n");
    assert!(server.get("/").text().contains("Magpie"));
    assert!(server.stop(LONG).success());
    let rest = manager.until("STOPPING=1\n").join("");
    assert!(!rest.contains("RELOADING=1"), "{rest}");
}

#[test]
fn a_demo_whose_terminal_is_gone_ends() {
    let mut server = Server::demo();
    signal(&server, rustix::process::Signal::HUP);
    assert!(server.ends_within(LONG).unwrap().success());
}

#[test]
fn an_accept_loop_without_descriptors_stops_the_beats_and_recovers() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let manager = Manager::new();
    let server = Server::launched(manager.launch(Launch::with_settings("")));
    manager.until("READY=1\n");
    manager.beats(2, PATIENCE);
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let most = 8192;
    let limit = |current| {
        let new = Rlimit {
            current: Some(current),
            maximum: Some(most),
        };
        prlimit(pid, Resource::Nofile, new).unwrap()
    };
    limit(3);
    manager.falls_silent();
    assert!(server.probe().is_none(), "it answers without a descriptor");
    limit(most);
    manager.until("WATCHDOG=1\n");
    manager.beats(3, PATIENCE);
    let said = "the listener gave no answer";
    let is_told = within(LONG, || server.log().contains(said));
    assert!(is_told, "{}", server.log());
}

#[test]
fn a_disk_that_takes_three_seconds_for_a_sync_does_not_stop_the_beats() {
    if !slow() || !have("strace") {
        return eprintln!("LEFT OUT: slow syncs need MAYFLY_SLOW=1 and strace");
    }
    let manager = Manager::new();
    let patience = Duration::from_secs(4);
    let launch = manager.launch_with(Launch::with_settings(""), patience);
    let server = Server::launched(launch);
    manager.until("READY=1\n");
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-p",
            &server.pid().to_string(),
        ])
        .args(["-e", "trace=fsync,fdatasync"])
        .args(["-e", "inject=fsync,fdatasync:delay_enter=3s"])
        .spawn()
        .unwrap();
    let traced = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
        !status.unwrap().contains("TracerPid:\t0\n")
    };
    assert!(within(LONG, traced));
    std::thread::scope(|scope| {
        let uploads = [0, 1, 2].map(|n| {
            let server = &server;
            scope.spawn(move || Upload::fresh(1000 + n).to(server))
        });
        manager.beats(12, patience);
        for upload in uploads {
            upload.join().unwrap();
        }
    });
    strace.kill().unwrap();
    strace.wait().unwrap();
}

/// A port that nobody uses.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_listener_that_was_passed_counts_and_the_others_are_told() {
    if !have("systemd-socket-activate") {
        return;
    }
    let (first, second) = (free_port(), free_port());
    let home = tempfile::tempdir().unwrap();
    let unix = home.path().join("unix");
    let unix = unix.to_str().unwrap();
    let prefix = format!(
        "systemd-socket-activate -E PATH -l {unix} -l 127.0.0.1:{first} -l 127.0.0.1:{second}"
    );
    // It starts the program when somebody comes, so somebody has to come.
    let visitor = std::thread::spawn(move || {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], first));
        let mut status = 0;
        within(LONG, || {
            let reply = support::fetch(address, "GET", "/health", &["Connection: close"]);
            status = reply.map_or(0, |reply| reply.status());
            status == 200
        });
        status
    });
    let launch = Launch {
        settings: Some(String::new()),
        ..Launch::under(&prefix)
    };
    let server = Server::launched(launch);
    assert_eq!(visitor.join().unwrap(), 200);
    assert_eq!(server.address.port(), first);
    assert_eq!(get(server.address, "/health", &[]).status(), 200);
    let log = server.log();
    let counts = format!("passed a socket that listens on 127.0.0.1:{first}, which counts");
    assert!(log.contains(&counts), "{log}");
    assert!(log.contains("descriptor 3, which is not used"), "{log}");
    let unused = format!("the first one is used, and 127.0.0.1:{second} is not");
    assert!(log.contains(&unused), "{log}");
}

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

/// The units in a place where the program that they start exists.
fn installed() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for unit in ["mayfly.service", "mayfly.socket"] {
        let text = std::fs::read_to_string(units().join(unit)).unwrap();
        let text = text.replace("ExecStart=/usr/local/bin/mayfly", "ExecStart=/bin/true");
        std::fs::write(home.path().join(unit), text).unwrap();
    }
    home
}

fn analyze(arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .args(files)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn the_units_have_no_mistake_and_leave_little_exposed() {
    if !have("systemd-analyze") {
        return;
    }
    let home = installed();
    let (service, socket) = (
        home.path().join("mayfly.service"),
        home.path().join("mayfly.socket"),
    );
    let (sound, said) = analyze(&["verify", "--man=no"], &[service.clone(), socket]);
    assert!(sound && said.is_empty(), "{said}");
    let exposure = ["security", "--offline=true", "--no-pager", "--threshold=15"];
    let (little, said) = analyze(&exposure, std::slice::from_ref(&service));
    assert!(little, "{said}");
    // The bar is a bar: without the sandbox it is not met.
    let text = std::fs::read_to_string(&service).unwrap();
    std::fs::write(&service, text.replace("SystemCallFilter=", "#")).unwrap();
    let (little, _) = analyze(&exposure, &[service]);
    assert!(!little);
}

#[test]
fn the_unit_has_room_for_what_the_settings_allow() {
    let unit = std::fs::read_to_string(units().join("mayfly.service")).unwrap();
    let number = |key: &str| -> usize {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key}")).parse().unwrap()
    };
    let limits = mayfly::server::Limits::default();
    let transfers = limits.uploads + limits.downloads;
    // See `gate::descriptors`, and the sets of workers in `server`.
    assert!(number("LimitNOFILE=") >= limits.connections + 2 * transfers + 120);
    assert!(number("TasksMax=") >= transfers + 8 + 64 + 64 + 64);
    let socket = std::fs::read_to_string(units().join("mayfly.socket")).unwrap();
    let listen = format!("\nListenStream={}\n", mayfly::config::LISTEN);
    assert!(socket.contains(&listen));
}
