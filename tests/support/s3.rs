//! Object storage for tests: a real s3s-fs on loopback, with TLS in front where it is wanted, both ended with the
//! test. `scripts/s3-setup` installs it; `MAYFLY_S3S_FS` names another one.

use super::tls_front::TlsFront;
use mayfly::model::{BlobId, SystemClock};
use mayfly::store::Store;
use mayfly::store::s3::{
    Client, Credentials, MemoryJournal, Retries, S3Settings, S3Store, Uploads,
};
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// How long its start may take before the test gives up.
const START: Duration = Duration::from_secs(120);

/// A running object storage with one empty bucket.
pub struct S3Server {
    child: Child,
    home: PathBuf,
    /// The same, if it goes with the server.
    _own: Option<TempDir>,
    /// Keeps the port, also while the program is dead: nobody else gets it meanwhile.
    _port: OwnedFd,
    pub address: SocketAddr,
    front: Option<TlsFront>,
}

impl S3Server {
    pub const KEY_ID: &'static str = "test-key-id";
    pub const SECRET: &'static str = "test-secret";
    pub const REGION: &'static str = "us-east-1";
    pub const BUCKET: &'static str = "test";

    /// Starts one, or says loudly that `test` is left out.
    pub fn start(test: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("LEFT OUT: {test}: s3s-fs is missing; run scripts/s3-setup");
            return None;
        };
        let own = tempfile::tempdir().unwrap();
        let mut server = Self::of(&program, own.path());
        server._own = Some(own);
        Some(server)
    }

    /// Starts one that keeps its files in `home`, which outlives it.
    pub fn start_in(home: &Path) -> Self {
        Self::of(&program().expect("s3s-fs: run scripts/s3-setup"), home)
    }

    fn of(program: &Path, home: &Path) -> Self {
        std::fs::create_dir_all(home.join(Self::BUCKET)).unwrap();
        let (port, number) = keep_port();
        let (child, address) = spawn(program, home, number, Self::KEY_ID);
        Self {
            child,
            home: home.to_owned(),
            _own: None,
            _port: port,
            address,
            front: None,
        }
    }

    /// Ends it at once, as a lost machine would. What is stored stays.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after [`S3Server::kill`], at the same address and with what is stored.
    pub fn restart(&mut self) {
        self.restart_with_key(Self::KEY_ID);
    }

    /// The same, and the id of the access key is another one from now on.
    pub fn restart_with_key(&mut self, key_id: &str) {
        let program = program().expect("it was started before");
        let port = self.address.port();
        (self.child, self.address) = spawn(&program, &self.home, port, key_id);
    }

    /// The same behind TLS, with a certificate of its own authority in [`S3Server::ca_file`].
    pub fn start_tls(test: &str) -> Option<Self> {
        let mut server = Self::start(test)?;
        server.front = Some(TlsFront::before(server.address, &server.home));
        Some(server)
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT` behind TLS.
    pub fn endpoint(&self) -> String {
        match &self.front {
            Some(front) => format!("https://localhost:{}", front.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// What signed the certificate, behind TLS.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.front.as_ref().map(|front| front.ca_file.clone())
    }

    /// TLS handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.front.as_ref().map_or(0, TlsFront::handshakes)
    }

    /// Method and target of each request so far, behind TLS: `PUT /bucket/key`.
    pub fn requests(&self) -> Vec<String> {
        let front = self.front.as_ref();
        front.map_or_else(Vec::new, TlsFront::requests)
    }

    /// The directory that has the bucket's objects as plain files.
    pub fn bucket(&self) -> PathBuf {
        self.home.join(Self::BUCKET)
    }

    /// What it keeps: the bucket, and beside it a file for each multipart upload and each of its parts.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What two hours without a server would do: objects are so much older, so that one that nobody refers to is not
    /// spared any more, and the number of a process beside the mark is that of none, so that the next one to start
    /// need not wait to see whether another lives. For the time between two processes.
    pub fn age(&self) {
        let then = SystemTime::now() - Duration::from_secs(2 * 3600);
        for path in super::files_below(&self.bucket()) {
            if path.ends_with("mayfly-owner") {
                let text = std::fs::read_to_string(&path).unwrap();
                let owner = text.lines().next().unwrap_or_default();
                std::fs::write(&path, format!("{owner}\n")).unwrap();
            }
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(then).unwrap();
        }
    }

    /// The table `[s3]` of a server that uses the bucket at `endpoint`, with the secrets in files of this directory.
    pub fn launch_settings(home: &Path, endpoint: &str, secret: &str) -> String {
        for (name, text) in [("id", Self::KEY_ID), ("secret", secret)] {
            let path = home.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        let at = home.display();
        format!(
            "[s3]\nendpoint = \"{endpoint}\"\nbucket = \"{}\"\nkey_id_file = \"{at}/id\"\nsecret_file = \"{at}/secret\"\n",
            Self::BUCKET
        )
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Settings of a daemon that uses the bucket, with the secrets in files of `home`. `more` comes before the
    /// table of the bucket, whose end is the end of the text.
    pub fn daemon_settings(&self, home: &Path, secret: &str, more: &str) -> String {
        for (name, text) in [("id", Self::KEY_ID), ("secret", secret)] {
            let path = home.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        let (at, endpoint, bucket) = (home.display(), self.endpoint(), Self::BUCKET);
        let ca_file = self.ca_file().map_or(String::new(), |path| {
            format!("ca_file = \"{}\"\n", path.display())
        });
        format!(
            "min_free_space = 0\n{more}[s3]\nendpoint = \"{endpoint}\"\nbucket = \"{bucket}\"\nkey_id_file = \"{at}/id\"\nsecret_file = \"{at}/secret\"\n{ca_file}"
        )
    }

    /// What a client needs to use the bucket, with four requests at once and no prefix.
    pub fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: self.endpoint(),
            region: Self::REGION.to_owned(),
            bucket: Self::BUCKET.to_owned(),
            prefix: String::new(),
            path_style: true,
            credentials: Credentials {
                key_id: Self::KEY_ID.to_owned().into(),
                secret: Self::SECRET.to_owned().into(),
                token: None,
            },
            ca_file: self.ca_file(),
            concurrency: 4,
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The store in a bucket, with a journal of its own. Parts wait in the directory for temporary files,
/// without names.
pub fn store(settings: &S3Settings, owner_mark: &str) -> S3Store {
    let client = Client::new(settings, Arc::new(SystemClock::new())).unwrap();
    let journal = Arc::new(MemoryJournal::default());
    let incoming = std::env::temp_dir();
    let retries = Retries::default();
    let uploads = Uploads::new(client.clone(), journal, &incoming, 0, retries).unwrap();
    S3Store::new(client, uploads, owner_mark)
}

/// A port that is bound, and not listened at: whoever connects is refused, and no other program is given
/// it. One that names it can listen there.
fn keep_port() -> (OwnedFd, u16) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
    let kept = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&kept, true).unwrap();
    bind(&kept, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&kept).unwrap()).unwrap();
    (kept, address.port())
}

/// Starts the program, and waits until it listens.
fn spawn(program: &Path, home: &Path, port: u16, key_id: &str) -> (Child, SocketAddr) {
    // What it keeps is for nobody else to read, as what the program keeps itself.
    let mut child = Command::new("sh")
        .args(["-c", "umask 077 && exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--access-key", key_id, "--secret-key", S3Server::SECRET])
        .arg(home)
        .env("RUST_LOG", "s3s_fs=info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    // Reads on after the address, so that the server never waits for its log.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let address = line.split_once("server is running at http://");
            if let Some(address) = address.and_then(|(_, a)| a.trim().parse().ok()) {
                let _ = tell.send(address);
            }
        }
    });
    let Ok(address) = told.recv_timeout(START) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("s3s-fs did not say where it listens");
    };
    (child, address)
}

/// The program, if it was installed.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MAYFLY_S3S_FS") {
        return Some(named.into());
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/s3s-fs/bin/s3s-fs");
    built.exists().then_some(built)
}

/// All that is listed, in pages.
pub fn walk(store: &S3Store, page: usize) -> Vec<BlobId> {
    let mut seen: Vec<BlobId> = Vec::new();
    loop {
        let found = store.list(seen.last(), page).unwrap();
        let end = found.len() < page;
        seen.extend(found);
        if end {
            return seen;
        }
    }
}
