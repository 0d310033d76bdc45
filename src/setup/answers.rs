//! What was answered. Every answer is judged by the code that reads settings files: what is accepted
//! here is accepted by the server.

use super::closing::expects_proxy;
use crate::config::{self, CONFIG_FILE, DATA_DIR, Environment, LISTEN, Problem, Settings};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::Value;
use zeroize::Zeroizing;

/// The settings that are asked for, in the order of the file.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "public_url",
    "trusted_proxies",
    "data_dir",
    "encryption",
    "master_key_file",
    "default_downloads",
    "default_days",
    "storage.kind",
    "s3.endpoint",
    "s3.region",
    "s3.bucket",
    "s3.prefix",
    "s3.path_style",
    "s3.key_id_file",
    "s3.secret_file",
    "s3.token_file",
    "s3.ca_file",
    "s3.concurrency",
    "s3.downloads",
];

/// The secrets of a bucket: the setting that names the file, what the answer is called, and how the name
/// of the file ends.
pub(super) const SECRETS: [(&str, &str, &str); 3] = [
    ("s3.key_id_file", "key_id", "s3-key-id"),
    ("s3.secret_file", "secret", "s3-secret"),
    ("s3.token_file", "token", "s3-token"),
];

/// Where systemd finds secrets to hand them over, when Mayfly runs as its service.
const STORE: &str = "/etc/credstore";
/// The master key among them.
const CREDENTIAL: &str = "/etc/credstore/mayfly.master-key";

/// What was answered. No `Debug`: a password is in it.
#[derive(Clone)]
pub struct Answers {
    /// The password of the first account.
    pub password: Zeroizing<String>,
    pub(super) values: BTreeMap<&'static str, Value>,
    /// Secrets that are to be files, by the setting that names the file.
    pub(super) secrets: BTreeMap<&'static str, Zeroizing<String>>,
    /// What the files of secrets are called, less the ending.
    stem: PathBuf,
    /// Where the master key is kept, if there is one.
    master_key: PathBuf,
    /// The service finds its secrets by itself.
    pub(super) key_is_credential: bool,
    /// The bucket is not to be tried out before the settings are written.
    pub(super) bucket_is_unchecked: bool,
    /// Somebody said which proxies are believed.
    proxies_are_given: bool,
}

impl Answers {
    /// Nothing answered yet; the settings are to be in the file `config`.
    pub fn new(config: &Path) -> Self {
        let key_is_credential = config == Path::new(CONFIG_FILE);
        Self {
            password: Zeroizing::new(String::new()),
            values: BTreeMap::new(),
            secrets: BTreeMap::new(),
            stem: if key_is_credential {
                Path::new(STORE).join("mayfly")
            } else {
                config.with_extension("")
            },
            master_key: if key_is_credential {
                PathBuf::from(CREDENTIAL)
            } else {
                config.with_file_name("mayfly.master-key")
            },
            key_is_credential,
            bucket_is_unchecked: false,
            proxies_are_given: false,
        }
    }

    /// Takes an answer, if the settings would be right with it.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub fn set(&mut self, key: &'static str, value: Value) -> Result<(), String> {
        let before = self.values.clone();
        self.put(key, value);
        self.settings().map(drop).map_err(|list| {
            self.values = before;
            let remedies = list.into_iter().map(|problem| problem.remedy);
            remedies.collect::<Vec<_>>().join("; ")
        })
    }

    /// Takes an answer unjudged.
    pub(super) fn put(&mut self, key: &'static str, value: Value) {
        self.proxies_are_given |= key == "trusted_proxies";
        self.values.insert(key, value);
        self.settle_master_key();
        self.settle_proxies();
    }

    /// A reverse proxy on this machine is believed: without that, all visitors would be one.
    fn settle_proxies(&mut self) {
        if self.proxies_are_given {
            return;
        }
        let listen = self.text("listen").and_then(|text| text.parse().ok());
        let here = listen.unwrap_or(LISTEN).ip().is_loopback();
        if here && expects_proxy(self) {
            let addresses = ["127.0.0.1", "::1"].map(Value::from).to_vec();
            self.values
                .insert("trusted_proxies", Value::Array(addresses));
        } else {
            self.values.remove("trusted_proxies");
        }
    }

    /// The mode `server` has a master key, the others have none.
    fn settle_master_key(&mut self) {
        let is_server = self.text("encryption").as_deref() == Some("server");
        if !is_server {
            self.values.remove("master_key_file");
        } else if !self.values.contains_key("master_key_file") {
            let path = self.master_key.display().to_string();
            self.values.insert("master_key_file", Value::String(path));
        }
    }

    /// What the answers mean.
    ///
    /// # Errors
    /// Every problem.
    pub fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let given = self.values.iter();
        let lines: String = given
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        config::parse(lines.as_bytes(), &Environment::default()).map_err(|problems| problems.list)
    }

    /// The answer to a question, as text; `None` before it is answered.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.values.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// The settings file: the answered keys, each with a line that explains it.
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# Settings of Mayfly, written by \"mayfly setup\". What is not here has its default.\n",
        );
        let reference = config::reference();
        let mut table = "";
        for key in KEYS {
            let Some(value) = self.values.get(key) else {
                continue;
            };
            let (of, name) = key.split_once('.').unwrap_or(("", key));
            if of != table {
                table = of;
                text.push_str(&format!("\n[{table}]\n"));
            }
            if let Some(path) = self.credential(key) {
                let what = match *key {
                    "master_key_file" => "The master key",
                    "s3.key_id_file" => "The id of the access key",
                    "s3.secret_file" => "The secret of the access key",
                    _ => "The session token",
                };
                text.push_str(&format!("\n# {what} is {path}; systemd hands it over.\n"));
                continue;
            }
            if let Some(row) = reference.iter().find(|row| row.key == *key) {
                text.push_str(&format!("\n# {}\n", row.help));
            }
            text.push_str(&format!("{name} = {value}\n"));
        }
        text
    }

    /// The file of a secret, if systemd hands it over: then it is no setting.
    fn credential(&self, key: &str) -> Option<&str> {
        let path = self.values.get(key)?.as_str()?;
        let is_ours = path == CREDENTIAL || self.secrets.contains_key(key);
        (self.key_is_credential && is_ours && path.starts_with(STORE)).then_some(path)
    }

    /// The master key that has to be kept safe, if there is one.
    pub fn master_key(&self) -> Option<PathBuf> {
        self.text("master_key_file").map(PathBuf::from)
    }

    /// The file of a secret.
    pub(super) fn secret_path(&self, key: &str) -> PathBuf {
        let ending = SECRETS.iter().find(|(name, ..)| *name == key);
        let ending = ending.map_or("secret", |(_, _, ending)| ending);
        let mut path = self.stem.clone().into_os_string();
        path.push(".");
        path.push(ending);
        path.into()
    }

    /// Where everything is kept.
    pub fn data_dir(&self) -> PathBuf {
        self.text("data_dir")
            .map_or_else(|| PathBuf::from(DATA_DIR), PathBuf::from)
    }
}

/// Where to listen so that `url` reaches Mayfly. An address without a port of its own, or with
/// `https`, is that of a proxy on this machine.
pub(super) fn listen_for(url: &str) -> SocketAddr {
    let Some(rest) = url.strip_prefix("http://") else {
        return LISTEN;
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let Some((host, port)) = authority.rsplit_once(':') else {
        return LISTEN;
    };
    let Ok(port) = port.parse() else {
        return LISTEN;
    };
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let everybody = match address {
        Ok(address) if address.is_loopback() => address,
        Ok(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
        Ok(IpAddr::V4(_)) | Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(everybody, port)
}
