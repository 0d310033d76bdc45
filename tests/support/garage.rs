//! A second object storage for tests, beside s3s-fs: a real Garage on loopback, one node with one bucket, ended
//! with the test. It lists multipart uploads, checks regions and sums, and does not know `If-None-Match`.
//! `scripts/s3-setup` builds it when asked; `MAYFLY_GARAGE` names another one, and one on the `PATH` is taken.

use mayfly::model::SystemClock;
use mayfly::store::s3::{Client, Credentials, Method, Request, S3Settings};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long its start may take before the test gives up.
const START: Duration = Duration::from_secs(120);
/// Starts that are tried: somebody else may have taken a port meanwhile.
const STARTS: u32 = 5;

/// A running Garage with one empty bucket.
pub struct Garage {
    child: Child,
    _home: TempDir,
    port: u16,
}

impl Garage {
    pub const KEY_ID: &'static str = "GK000000000000000000000001";
    pub const SECRET: &'static str =
        "0000000000000000000000000000000000000000000000000000000000000001";
    pub const REGION: &'static str = "garage";
    pub const BUCKET: &'static str = "test";

    /// Starts one, or says loudly that `test` is left out.
    pub fn start(test: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!(
                "LEFT OUT: {test}: Garage is missing; run MAYFLY_TEST_GARAGE=1 scripts/s3-setup"
            );
            return None;
        };
        (0..STARTS)
            .find_map(|_| Self::try_start(&program))
            .or_else(|| panic!("{} did not start; its words are above", program.display()))
    }

    fn try_start(program: &Path) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        // Both at once, so that they are two.
        let bound = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, rpc] = bound.map(|listener| listener.local_addr().unwrap().port());
        let settings = home.path().join("garage.toml");
        let place = home.path().display();
        let text = format!(
            "metadata_dir = \"{place}/meta\"\ndata_dir = \"{place}/data\"\ndb_engine = \"sqlite\"\n\
             replication_factor = 1\nrpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{}\"\n\
             [s3_api]\ns3_region = \"{}\"\napi_bind_addr = \"127.0.0.1:{port}\"\n",
            Self::SECRET,
            Self::REGION
        );
        fs::write(&settings, text).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&settings)
            .args(["server", "--single-node", "--default-bucket"])
            .env("GARAGE_DEFAULT_ACCESS_KEY", Self::KEY_ID)
            .env("GARAGE_DEFAULT_SECRET_KEY", Self::SECRET)
            .env("GARAGE_DEFAULT_BUCKET", Self::BUCKET)
            .env("GARAGE_ALLOW_WORLD_READABLE_SECRETS", "true")
            .env("RUST_LOG", "garage=error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            _home: home,
            port,
        };
        server.answers().then_some(server)
    }

    /// Whether it lists its bucket before it ends or the time is over.
    fn answers(&mut self) -> bool {
        let end = Instant::now() + START;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            // A client that has been refused for a while asks no more.
            let client = Client::new(&self.settings(), Arc::new(SystemClock::new())).unwrap();
            let listing = Request {
                method: Method::Get,
                key: "",
                query: &[("list-type", "2")],
                headers: &[],
            };
            if client.fetch(&listing).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// What a client needs to use the bucket, with four requests at once and no prefix.
    pub fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            region: Self::REGION.to_owned(),
            bucket: Self::BUCKET.to_owned(),
            prefix: String::new(),
            path_style: true,
            credentials: Credentials {
                key_id: Self::KEY_ID.to_owned().into(),
                secret: Self::SECRET.to_owned().into(),
                token: None,
            },
            ca_file: None,
            concurrency: 4,
        }
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, if there is one.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MAYFLY_GARAGE") {
        return Some(named.into());
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/garage/bin/garage");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("garage"));
    std::iter::once(built)
        .chain(installed)
        .find(|found| found.is_file())
}
