//! A real server process on a directory of its own, ended with the test.

use super::{Conn, Figures, Reply, S3Server, Uploaded, fetch, hex, within};
use ring::digest;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a start may take before the test gives up (the bar for it is in `figures`).
const START: Duration = Duration::from_secs(30);

/// How to start the program.
#[derive(Clone, Default)]
pub struct Launch {
    /// A command that runs the program: `prlimit --nofile=64`.
    pub prefix: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Settings for `serve --config`, instead of `demo`; where it listens and keeps its data is
    /// added.
    pub settings: Option<String>,
    /// Another place for the data.
    pub data: Option<PathBuf>,
}

impl Launch {
    pub fn under(prefix: &str) -> Self {
        Self {
            prefix: prefix.split_whitespace().map(str::to_owned).collect(),
            ..Self::default()
        }
    }

    pub fn with_settings(settings: &str) -> Self {
        Self {
            settings: Some(settings.to_owned()),
            ..Self::default()
        }
    }

    /// Keeps the data in `dir`, which outlives the server.
    pub fn keeping_data_in(mut self, dir: &Path) -> Self {
        self.data = Some(dir.to_owned());
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Whether the servers of the tests are to keep their files in buckets: `MAYFLY_TEST_STORE=s3`.
pub fn in_buckets() -> bool {
    match std::env::var("MAYFLY_TEST_STORE") {
        Ok(word) if word == "s3" => true,
        Ok(word) if word != "disk" => panic!("MAYFLY_TEST_STORE={word}: it is disk or s3"),
        _ => false,
    }
}

/// How long bytes may stay that nobody can get any more: those in a bucket wait for a sweep, and for requests.
pub fn removal() -> Duration {
    Duration::from_secs(if in_buckets() { 120 } else { 10 })
}

impl Launch {
    /// Whether its server may keep its files in a bucket of the test. Not where it says itself where they go, and
    /// not where the data directory is for something else to fail.
    fn may_use_bucket(&self) -> bool {
        let says = |settings: &String| settings.contains("[storage]") || settings.contains("[s3]");
        in_buckets() && self.data.is_none() && !self.settings.as_ref().is_some_and(says)
    }
}

/// A bucket below the data directory: whoever looks there for stored files finds them.
fn bucket_in(dir: &Path) -> Arc<S3Server> {
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(dir).unwrap();
    Arc::new(S3Server::start_in(&dir.join("bucket")))
}

/// The settings to start with; `None` is a demo.
fn settings_of(launch: &Launch, home: &Path, bucket: Option<&Arc<S3Server>>) -> Option<String> {
    let own = launch.settings.clone();
    let Some(bucket) = bucket else { return own };
    let s3 = S3Server::launch_settings(home, &bucket.endpoint(), S3Server::SECRET);
    let own = own.unwrap_or_default();
    Some(format!("{own}[storage]\nkind = \"s3\"\n{s3}"))
}

/// A running server.
pub struct Server {
    child: Child,
    launch: Launch,
    home: Arc<TempDir>,
    /// Where it keeps its files, if that is no directory.
    bucket: Option<Arc<S3Server>>,
    /// The data directory.
    pub dir: PathBuf,
    pub address: SocketAddr,
    /// As printed: `http://127.0.0.1:PORT`, without a slash at the end.
    pub url: String,
    pub key: String,
    pub admin: (String, String),
    /// From the start of the process to the last machine-readable line.
    pub started_in: Duration,
}

/// A start that came to nothing.
#[derive(Debug)]
pub struct Refused {
    /// The exit code; `None` when it had to be killed.
    pub code: Option<i32>,
    pub why: String,
    /// The end of what it logged.
    pub log: String,
    /// How long that took.
    pub took: Duration,
}

impl Refused {
    fn because(why: String) -> Self {
        Self {
            code: None,
            why,
            log: String::new(),
            took: Duration::ZERO,
        }
    }
}

/// The program under test: `MAYFLY_BIN`, run by `MAYFLY_RUNNER`, when those are set.
pub fn program() -> Vec<String> {
    let runner = std::env::var("MAYFLY_RUNNER").unwrap_or_default();
    let binary =
        std::env::var("MAYFLY_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mayfly").to_owned());
    let mut words: Vec<String> = runner.split_whitespace().map(str::to_owned).collect();
    words.push(binary);
    words
}

/// [`program`], ready for arguments.
pub fn command() -> Command {
    let words = program();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    without_test_variables(&mut command);
    command
}

/// Takes the variables of the tests away (`MAYFLY_SLOW`, `MAYFLY_BIN`): the program would read them as
/// settings.
fn without_test_variables(command: &mut Command) {
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|n| n.as_encoded_bytes().starts_with(b"MAYFLY_")) {
        command.env_remove(name);
    }
}

impl Server {
    /// A fresh demo.
    pub fn demo() -> Self {
        Self::launched(Launch::default())
    }

    /// A fresh server, started in a certain way.
    pub fn launched(launch: Launch) -> Self {
        Self::attempt(launch).unwrap_or_else(|e| panic!("{}\n{}", e.why, e.log))
    }

    /// A fresh server whose start may fail.
    pub fn attempt(launch: Launch) -> Result<Self, Refused> {
        let home = Arc::new(tempfile::tempdir().unwrap());
        let dir = launch.data.clone();
        let dir = dir.unwrap_or_else(|| home.path().join("data"));
        let bucket = launch.may_use_bucket().then(|| bucket_in(&dir));
        Self::try_start(&home, &dir, "127.0.0.1:0", &launch, bucket.as_ref())
    }

    /// A demo on a data directory that exists already (it is copied first).
    pub fn on_copy_of(fixture: &Path) -> Self {
        let home = Arc::new(tempfile::tempdir().unwrap());
        let dir = home.path().join("data");
        super::copy_tree(fixture, &dir);
        match Self::try_start(&home, &dir, "127.0.0.1:0", &Launch::default(), None) {
            Ok(server) => server,
            Err(e) => panic!("{}\n{}", e.why, log_of(&home)),
        }
    }

    fn try_start(
        home: &Arc<TempDir>,
        dir: &Path,
        listen: &str,
        launch: &Launch,
        bucket: Option<&Arc<S3Server>>,
    ) -> Result<Self, Refused> {
        let mut words = launch.prefix.clone();
        words.extend(program());
        // A demo keeps them with its data.
        let credentials = match launch.settings {
            Some(_) => home.path().join("credentials.toml"),
            None => dir.join("demo-credentials.toml"),
        };
        let settings = settings_of(launch, home.path(), bucket);
        if let Some(settings) = &settings {
            let path = home.path().join("mayfly.toml");
            let text = format!(
                "listen = \"{listen}\"\ndata_dir = \"{}\"\ncredentials_file = \"{}\"\n{settings}",
                dir.display(),
                credentials.display()
            );
            std::fs::write(&path, text).unwrap();
            words.extend(["serve", "--config"].map(str::to_owned));
            words.push(path.to_str().unwrap().to_owned());
        } else {
            words.extend(["demo", "--dir"].map(str::to_owned));
            words.push(dir.to_str().unwrap().to_owned());
            words.extend(["--listen", listen].map(str::to_owned));
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.path().join("stderr.log"))
            .unwrap();
        let began = Instant::now();
        let mut command = Command::new(&words[0]);
        without_test_variables(&mut command);
        let mut child = command
            .args(&words[1..])
            .envs(launch.environment.iter().cloned())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| Refused::because(format!("{words:?}: {e}")))?;
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        // Reads to the end, so that the server never blocks on its stdout.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send((Instant::now(), line));
            }
        });
        let wanted: &[&str] = match settings {
            Some(_) => &["URL"],
            None => &["URL", "API_KEY", "ADMIN_USER", "ADMIN_PASSWORD"],
        };
        let mut found: Vec<(String, String)> = Vec::new();
        let mut last = began;
        while !wanted.iter().all(|w| found.iter().any(|(k, _)| k == w)) {
            let left = START.saturating_sub(began.elapsed());
            match lines.recv_timeout(left) {
                Ok((at, line)) => {
                    last = at;
                    if let Some((key, value)) = line.split_once('=') {
                        found.push((key.to_owned(), value.to_owned()));
                    }
                }
                Err(e) => {
                    // Its output ends before the process does, or before what it runs under.
                    if e == mpsc::RecvTimeoutError::Disconnected {
                        within(Duration::from_secs(5), || {
                            child.try_wait().is_ok_and(|status| status.is_some())
                        });
                    }
                    let _ = child.kill();
                    let status = child.wait();
                    return Err(Refused {
                        code: status.as_ref().ok().and_then(ExitStatus::code),
                        why: format!(
                            "the server did not say where it is ({status:?}); it said {found:?}"
                        ),
                        log: log_of(home),
                        took: began.elapsed(),
                    });
                }
            }
        }
        if settings.is_some() {
            found.extend(written_down(&credentials));
        }
        let value = |name: &str| {
            let pair = found.iter().rev().find(|(k, _)| k == name);
            pair.map(|(_, v)| v.clone()).unwrap_or_default()
        };
        let url = value("URL").trim_end_matches('/').to_owned();
        let address = url.trim_start_matches("http://").parse();
        Ok(Self {
            child,
            launch: launch.clone(),
            home: home.clone(),
            bucket: bucket.cloned(),
            dir: dir.to_owned(),
            address: address.map_err(|e| Refused::because(format!("URL={url}: {e}")))?,
            url,
            key: value("API_KEY"),
            admin: (value("ADMIN_USER"), value("ADMIN_PASSWORD")),
            started_in: last - began,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn figures(&self) -> Figures {
        Figures::of(self.pid())
    }

    /// SIGKILL, as a power cut would end it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; returns how it ended, which has to be within `limit`.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.ends_within(limit)
            .unwrap_or_else(|| panic!("the server did not stop within {limit:?}\n{}", self.log()))
    }

    /// How the process ended, if it does within `limit`.
    pub fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        within(limit, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status
    }

    /// Starts again on the same directory and port, after [`Server::kill`] or [`Server::stop`].
    pub fn restart(&mut self) {
        self.restart_as(self.launch.clone());
    }

    /// As [`Server::restart`], in another way.
    pub fn restart_as(&mut self, launch: Launch) {
        if let Err(e) = self.try_restart_as(launch) {
            panic!("{}\n{}", e.why, e.log);
        }
    }

    /// As [`Server::restart_as`], when the start may fail. The old process is gone in any case.
    pub fn try_restart_as(&mut self, launch: Launch) -> Result<(), Refused> {
        self.kill();
        let listen = self.address.to_string();
        let home = self.home.clone();
        // It stays the same, and full: only the start may be another.
        let bucket = self.bucket.clone().filter(|_| launch.may_use_bucket());
        // What a crash has left is swept by a start, as on a disk, and not an hour later.
        bucket.iter().for_each(|bucket| bucket.age());
        let mut server = Self::try_start(&home, &self.dir, &listen, &launch, bucket.as_ref())?;
        std::mem::swap(self, &mut server);
        Ok(())
    }

    /// How it was started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The end of what the server logged.
    pub fn log(&self) -> String {
        log_of(&self.home)
    }

    /// The settings of a server with any.
    pub fn settings_path(&self) -> PathBuf {
        self.home.path().join("mayfly.toml")
    }

    pub fn log_path(&self) -> PathBuf {
        self.home.path().join("stderr.log")
    }

    /// One request with the API key.
    pub fn api(&self, method: &str, path: &str, lines: &[&str]) -> Reply {
        let key = format!("apikey: {}", self.key);
        let mut all = vec![key.as_str()];
        all.extend_from_slice(lines);
        if matches!(method, "POST" | "PUT") {
            all.push("Content-Length: 0");
        }
        fetch(self.address, method, path, &all).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub fn get(&self, path: &str) -> Reply {
        super::get(self.address, path, &[])
    }

    /// Whether strangers are told that the file is gone: at once, or as soon as the server knows
    /// that the last download has arrived.
    pub fn has_lost(&self, file: &Uploaded) -> bool {
        let mut status = 0;
        let gone = within(Duration::from_secs(10), || {
            status = self.status_for_a_stranger(file);
            status != 429
        });
        gone && status == 404
    }

    /// What somebody who was never here gets for the bytes of a file: only the status is read.
    pub fn status_for_a_stranger(&self, file: &Uploaded) -> u16 {
        let mut conn = Conn::open_from(super::stranger(), self.address).unwrap();
        conn.ask("GET", &file.target(), &[]).unwrap();
        conn.head().unwrap().status
    }

    pub fn connect(&self) -> Conn {
        Conn::open(self.address).unwrap()
    }

    /// Downloads in pieces; returns the status, and the SHA-256 if the body came whole.
    pub fn download(&self, target: &str, lines: &[&str]) -> (u16, Option<String>) {
        let attempt = || -> io::Result<(u16, Option<String>)> {
            let mut conn = Conn::open(self.address)?;
            conn.ask("GET", target, lines)?;
            let head = conn.head()?;
            let mut context = digest::Context::new(&digest::SHA256);
            let whole = conn.body(&head, |piece| context.update(piece));
            Ok((head.status, whole.then(|| hex(context.finish().as_ref()))))
        };
        attempt().unwrap_or((0, None))
    }

    /// Whether exactly these bytes come back whole.
    pub fn delivers(&self, file: &Uploaded) -> bool {
        self.download(&file.target(), &[]) == (200, Some(file.sha256.clone()))
    }

    /// How long a fresh connection waits for `/health`; `None` after two seconds.
    pub fn probe(&self) -> Option<Duration> {
        let began = Instant::now();
        let mut conn = Conn::open(self.address).ok()?;
        conn.patience(Duration::from_secs(2));
        conn.ask("GET", "/health", &["Connection: close"]).ok()?;
        let reply = conn.reply().ok()?;
        (reply.status() == 200).then(|| began.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        self.kill();
        if std::thread::panicking() {
            eprintln!(
                "the server (had ended: {ended:?}) logged:\n{}",
                log_of(&self.home)
            );
        }
    }
}

fn log_of(home: &TempDir) -> String {
    let text = std::fs::read(home.path().join("stderr.log")).unwrap_or_default();
    let end = &text[text.len().saturating_sub(4096)..];
    String::from_utf8_lossy(end).into_owned()
}

/// What a first start of `serve` wrote down, under the names that `demo` prints.
fn written_down(credentials: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(credentials).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let names = [
        ("API_KEY", "api_key"),
        ("ADMIN_USER", "user"),
        ("ADMIN_PASSWORD", "password"),
    ];
    names
        .map(|(printed, key)| (printed.to_owned(), table[key].as_str().unwrap().to_owned()))
        .to_vec()
}
