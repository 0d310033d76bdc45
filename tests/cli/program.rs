//! The program as the tests of the command line run it, and the little HTTP that they speak.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No step of these tests takes longer; what does is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program, run by the emulator that `MAYFLY_RUNNER` names, if any.
pub fn mayfly() -> Command {
    let binary =
        std::env::var("MAYFLY_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mayfly").to_owned());
    let runner = std::env::var("MAYFLY_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().map(str::to_owned).chain([binary]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null());
    // The program would read the variables of the tests as settings.
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|n| n.as_encoded_bytes().starts_with(b"MAYFLY_")) {
        command.env_remove(name);
    }
    command
}

pub fn run(arguments: &[&str]) -> Output {
    mayfly().args(arguments).output().unwrap()
}

pub fn code_and_message(output: &Output) -> (i32, String) {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code().unwrap(), message)
}

/// A running server; killed with the test if it still runs.
pub struct Running {
    pub child: Child,
}

/// What a demo prints first.
#[derive(PartialEq, Eq, Debug)]
pub struct Greeting {
    pub url: String,
    pub key: String,
    pub user: String,
    pub password: String,
    /// Everything after that, as far as it was read.
    pub friendly: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    pub fn demo(dir: &Path) -> Self {
        Self::start(
            mayfly()
                .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
                .arg(dir),
        )
    }

    pub fn greeting(&mut self) -> Greeting {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let mut value = |key: &str| {
            let line = lines.next().unwrap().unwrap();
            let value = line.strip_prefix(key).and_then(|l| l.strip_prefix('='));
            value
                .unwrap_or_else(|| panic!("{key}= expected, {line:?} came"))
                .to_owned()
        };
        let (url, key) = (value("URL"), value("API_KEY"));
        let (user, password) = (value("ADMIN_USER"), value("ADMIN_PASSWORD"));
        let mut friendly = String::new();
        for line in lines {
            friendly += &(line.unwrap() + "\n");
            if friendly.contains("Ctrl-C") {
                break;
            }
        }
        Greeting {
            url,
            key,
            user,
            password,
            friendly,
        }
    }

    /// Reads the log until the server says where it listens; returns that and what it read.
    pub fn url_from_log(&mut self) -> (String, String) {
        let mut log = String::new();
        let mut stderr = BufReader::new(self.child.stderr.take().unwrap());
        let url = loop {
            let mut line = String::new();
            let read = stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "no start:\n{log}");
            log += &line;
            if let Some((_, rest)) = line.split_once("listening on ") {
                break format!("http://{}", rest.split(',').next().unwrap());
            }
        };
        self.child.stderr = Some(stderr.into_inner());
        (url, log)
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end: exit code (none after a signal) and log.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let status = self.wait();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        (status, log)
    }

    pub fn wait(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Asks and reads to the end of the connection: status and body.
pub fn ask(url: &str, request: &str) -> (u16, String) {
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

pub fn get(url: &str, path: &str, key: &str) -> (u16, String) {
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\napikey: {key}\r\nConnection: close\r\n\r\n");
    ask(url, &head)
}

pub fn upload(url: &str, key: &str, content: &str) -> (u16, String) {
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n{content}\r\n--b--\r\n"
    );
    let head = format!(
        "POST /api/files/add HTTP/1.1\r\nHost: x\r\napikey: {key}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    ask(url, &(head + &body))
}

pub fn directory() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    (home, data)
}

pub fn settings(home: &Path, text: &str) -> PathBuf {
    let path = home.join("mayfly.toml");
    fs::write(
        &path,
        format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"{}/data\"\n{text}",
            home.display()
        ),
    )
    .unwrap();
    path
}

/// Starts `serve` and waits until it listens; returns the address and the log so far.
pub fn serve(config: &Path) -> (Running, String, String) {
    let mut running = Running::start(mayfly().args(["serve", "--config"]).arg(config));
    let (url, log) = running.url_from_log();
    (running, url, log)
}

/// Every file below `folder` with its permissions.
pub fn modes(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), metadata.permissions().mode() & 0o7777));
        if metadata.is_dir() {
            modes(&path, found);
        }
    }
}
