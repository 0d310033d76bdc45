//! Settings: what stands in the file and in the environment, and what it means.
//!
//! `keys` is the one table of all settings: name, help, how a value is read and shown. `source` finds
//! what is given for each key and where (a line of the file, a variable); `values` reads single
//! values; `resolve` puts [`Settings`] together without gaps and reports every [`Problem`] at once,
//! each with place, key, value and remedy. `checks` are the rules between several keys, and with what is
//! on the disk; those of the bucket are in `s3`, and its readers in `s3_values`. `secret` opens key files, `credentials` is the small file that a first start leaves behind.
//! Settings are read at the start and on a wish to reload; nothing below `app` sees them.

mod checks;
mod credentials;
mod keys;
mod problem;
mod resolve;
mod s3;
mod s3_values;
mod secret;
mod source;
mod values;

pub use credentials::Credentials;
pub use keys::{Change, Reference, reference};
pub use problem::{Place, Problem, Problems};
pub use resolve::{Report, check, load, parse};
pub use s3::{Downloads, Held, S3, StorageKind};
pub use s3_values::sound as check_access_key;
pub use secret::{ClearText, SecretError, SecretFile};
pub use source::Environment;

use crate::server::Limits;
use crate::service::{Encryption, LEASE_SECONDS_DEFAULT};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where Mayfly listens unless told otherwise: this machine only, Gokapi's port.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53842);

/// Where the settings file is unless told otherwise.
pub const CONFIG_FILE: &str = "/etc/mayfly/mayfly.toml";

/// Where everything is kept unless told otherwise.
pub const DATA_DIR: &str = "/var/lib/mayfly";

/// The credentials of the first account, in the data directory.
const CREDENTIALS: &str = "first-credentials.toml";

/// Every setting, resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address that links begin with, without a slash at the end; `None` takes it from the
    /// listener.
    pub public_url: Option<String>,
    /// Networks of proxies whose `X-Forwarded-For` counts: address and prefix length.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    /// Where everything is kept. Absolute when it comes from a file.
    pub data_dir: PathBuf,
    /// Where the generated credentials of the first account are written.
    pub credentials_file: PathBuf,
    /// The socket for the commands of the administrator; `None` leaves the place to the daemon.
    pub admin_socket: Option<PathBuf>,
    /// How uploads are kept.
    pub encryption: Encryption,
    /// The master key of mode `server`; present exactly in that mode.
    pub master_key_file: Option<SecretFile>,
    /// Downloads of an upload that does not say; 0 is unlimited.
    pub default_downloads: u32,
    /// The most downloads that a link may have; 0 is no maximum.
    pub max_downloads: u32,
    /// Days of an upload that does not say; 0 is unlimited.
    pub default_days: u32,
    /// The most days that a link may live; 0 is no maximum.
    pub max_days: u32,
    /// Largest file, in bytes.
    pub max_file_size: u64,
    /// Bytes that uploads leave free on the disk.
    pub min_free_space: u64,
    /// Whether equal uploads of one owner share their bytes.
    pub dedup: bool,
    /// Whether pages of other sites are kept from embedding files.
    pub hotlink_protection: bool,
    /// How long a broken download keeps its place.
    pub lease: Duration,
    /// How long a password that was given opens its link.
    pub unlock: Duration,
    /// The first account.
    pub account: Account,
    /// Where new files are kept.
    pub storage: StorageKind,
    /// The bucket, as far as there is one.
    pub s3: S3,
    /// The log.
    pub log: Log,
    /// The pages.
    pub pages: Pages,
    /// Limits and deadlines of serving.
    pub limits: Limits,
    /// How long running requests may take to end after the wish to stop.
    pub drain: Duration,
}

/// The table `[account]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// The name of the account that a first start makes.
    pub name: String,
}

/// The table `[log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// What is logged.
    pub level: log::LevelFilter,
    /// Where to.
    pub target: LogTarget,
    /// The file of [`LogTarget::File`]; present exactly with it.
    pub file: Option<PathBuf>,
    /// Bytes after which a new file begins.
    pub max_size: u64,
    /// Full files that are kept besides the one that is written.
    pub keep: u32,
}

/// Where the log goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// The journal under systemd, else standard error.
    Auto,
    /// Standard error, with times.
    Terminal,
    /// Standard error, with the priorities of journald and without times.
    Journal,
    /// A file with rotation.
    File,
}

/// The table `[pages]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pages {
    /// A folder with templates that replace those of the program.
    pub templates: Option<PathBuf>,
    /// What the pages call the server.
    pub name: String,
    /// The colour of buttons and links, as `#rrggbb` in small letters; `None` is that of the program.
    pub color: Option<String>,
    /// A picture that the pages show, an SVG, PNG, JPEG or WebP file; `None` is that of the program.
    pub logo: Option<PathBuf>,
}

impl Settings {
    /// The defaults, for this data directory.
    pub fn in_directory(data_dir: PathBuf) -> Self {
        Self {
            listen: LISTEN,
            public_url: None,
            trusted_proxies: Vec::new(),
            credentials_file: data_dir.join(CREDENTIALS),
            data_dir,
            admin_socket: None,
            encryption: Encryption::Link,
            master_key_file: None,
            default_downloads: 1,
            max_downloads: 0,
            default_days: 14,
            max_days: 0,
            max_file_size: 100 << 30,
            min_free_space: 512 << 20,
            dedup: true,
            hotlink_protection: false,
            lease: Duration::from_secs(LEASE_SECONDS_DEFAULT),
            unlock: Duration::from_secs(3600),
            account: Account {
                name: "admin".to_owned(),
            },
            storage: StorageKind::Disk,
            s3: S3::default(),
            log: Log {
                level: log::LevelFilter::Info,
                target: LogTarget::Auto,
                file: None,
                max_size: 10 << 20,
                keep: 5,
            },
            pages: Pages {
                templates: None,
                name: "Mayfly".to_owned(),
                color: None,
                logo: None,
            },
            limits: Limits::default(),
            drain: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests;
