//! Settings: what stands in the file, and what it means.
//!
//! Two stages. `file` mirrors the TOML file and judges nothing; `resolve` turns it into
//! [`Settings`] without gaps and reports every problem at once, each with key, value and remedy.
//! `values` reads single values, `credentials` the small file that a first start leaves behind.
//! Settings are read once, at the start; only `app` and `main` see them.

mod credentials;
mod file;
mod resolve;
mod values;

pub use credentials::Credentials;
pub use resolve::{Problem, Problems, load};

use crate::server::Limits;
use crate::service::{Encryption, LEASE_SECONDS_DEFAULT};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where Mayfly listens unless told otherwise: this machine only, Gokapi's port.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53842);

/// Every setting, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address that links begin with, without a slash at the end; `None` takes it from the
    /// listener.
    pub public_url: Option<String>,
    /// Networks of proxies whose `X-Forwarded-For` counts: address and prefix length.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where the generated credentials of the first account are written.
    pub credentials_file: PathBuf,
    /// How uploads are kept.
    pub encryption: Encryption,
    /// The master key of mode `server`; present exactly in that mode.
    pub master_key_file: Option<PathBuf>,
    /// Downloads of an upload that does not say; 0 is unlimited.
    pub default_downloads: u32,
    /// Days of an upload that does not say; 0 is unlimited.
    pub default_days: u32,
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
    /// What is logged.
    pub log_level: log::LevelFilter,
    /// Limits and deadlines of serving.
    pub limits: Limits,
}

impl Settings {
    /// The defaults, for this data directory.
    pub fn in_directory(data_dir: PathBuf) -> Self {
        Self {
            listen: LISTEN,
            public_url: None,
            trusted_proxies: Vec::new(),
            credentials_file: data_dir.join("first-credentials.toml"),
            data_dir,
            encryption: Encryption::Link,
            master_key_file: None,
            default_downloads: 1,
            default_days: 14,
            max_file_size: 100 << 30,
            min_free_space: 512 << 20,
            dedup: true,
            hotlink_protection: false,
            lease: Duration::from_secs(LEASE_SECONDS_DEFAULT),
            unlock: Duration::from_secs(3600),
            log_level: log::LevelFilter::Info,
            limits: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests;
