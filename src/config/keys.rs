//! The one table of all settings. A setting that is not here does not exist: the file, the
//! environment, the reference of the manual and the comparison at a reload all go through it.
//!
//! A row has the name of a key, its help, whether a running server takes a new value, how the value
//! is read into [`Settings`], and how it is shown. The default is not in the table: it is what the
//! row shows of [`Settings::in_directory`].

use super::secret::SecretFile;
use super::source::{self, Value};
use super::values::{self, Read};
use super::{DATA_DIR, Downloads, LogTarget, Settings, StorageKind, s3_values};
use crate::service::Encryption;
use log::LevelFilter;
use std::path::PathBuf;

/// When a new value counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Takes {
    /// At once, on a reload.
    AtOnce,
    /// With the next start.
    Restart,
}

/// A row of the table.
pub(super) struct Key {
    /// The key, with its table: `limits.uploads`.
    pub name: &'static str,
    /// One line, as in `config/mayfly.toml`.
    pub help: &'static str,
    pub takes: Takes,
    /// What stands there is a secret: it is never repeated, not even to say that it is wrong.
    pub secret: bool,
    /// Reads a value into the settings.
    pub read: fn(&mut Settings, &Value<'_>) -> Read<()>,
    /// The value as TOML; `None` when there is none, or when it is a secret.
    pub show: fn(&Settings) -> Option<String>,
    /// Whether two settings have the same value.
    pub same: fn(&Settings, &Settings) -> bool,
}

/// The tables of the file.
pub(super) const TABLES: &[&str] = &["account", "storage", "s3", "log", "pages", "limits"];

/// Settings whose defaults follow from others.
const FOLLOWS: &[&str] = &["credentials_file", "limits.downloads"];

/// The longest life of a link that can be set, in days: a hundred years.
const DAYS: u32 = 36_500;

const ENCRYPTIONS: &[(&str, Encryption)] = &[
    ("link", Encryption::Link),
    ("server", Encryption::Server),
    ("none", Encryption::None),
];
const STORAGES: &[(&str, StorageKind)] = &[("disk", StorageKind::Disk), ("s3", StorageKind::S3)];
const DOWNLOADS: &[(&str, Downloads)] = &[
    ("proxied", Downloads::Proxied),
    ("redirected", Downloads::Redirected),
];
const LEVELS: &[(&str, LevelFilter)] = &[
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
];
const TARGETS: &[(&str, LogTarget)] = &[
    ("auto", LogTarget::Auto),
    ("terminal", LogTarget::Terminal),
    ("journal", LogTarget::Journal),
    ("file", LogTarget::File),
];

/// A row whose value is read by `$reader` into the field `$($field).+` and shown by `$shower`.
macro_rules! key {
    ($name:literal, $takes:ident, $($field:ident).+, $reader:expr, $shower:expr, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            takes: Takes::$takes,
            secret: false,
            read: |settings, value| {
                settings.$($field).+ = $reader(value)?;
                Ok(())
            },
            show: |settings| $shower(&settings.$($field).+),
            same: |a, b| a.$($field).+ == b.$($field).+,
        }
    };
}

/// A row whose value is a secret in the field `$($field).+`.
macro_rules! secret {
    ($name:literal, $($field:ident).+, $help:literal) => {
        Key {
            secret: true,
            ..key!($name, Restart, $($field).+, s3_values::clear_text, |_| None, $help)
        }
    };
}

/// All settings, in the order of the file.
#[rustfmt::skip]
pub(super) static KEYS: &[Key] = &[
    key!("listen", Restart, listen, values::address, values::quoted,
        "Where to listen: an address of this machine and a port. Only this machine, unless changed."),
    key!("public_url", Restart, public_url, some(values::url), values::quoted_if_any,
        "The address that visitors use: every link begins with it."),
    key!("trusted_proxies", Restart, trusted_proxies, values::networks, values::shown_networks,
        "Reverse proxies whose X-Forwarded-For is believed: addresses or networks."),
    key!("data_dir", Restart, data_dir, values::path, values::shown_path,
        "Where files and database are kept. One Mayfly for each directory."),
    key!("credentials_file", Restart, credentials_file, values::path, values::shown_path,
        "Where a first start writes the credentials that it made up, for the owner only."),
    key!("admin_socket", Restart, admin_socket, some(values::path), values::shown_path_if_any,
        "The socket through which the commands of the administrator reach the server."),
    key!("encryption", Restart, encryption, word(ENCRYPTIONS), shown_word(ENCRYPTIONS),
        "How files are kept: \"link\", \"server\" or \"none\"."),
    key!("master_key_file", Restart, master_key_file, secret_file, shown_secret_file,
        "The master key of encryption \"server\": a file outside of data_dir, made at the first start."),
    key!("default_downloads", Restart, default_downloads, number(u32::MAX), values::plain,
        "Downloads of a link whose uploader does not say; 0 is any number."),
    key!("max_downloads", Restart, max_downloads, number(u32::MAX), values::plain,
        "The most downloads that an uploader may give a link; 0 is no maximum."),
    key!("default_days", Restart, default_days, number(DAYS), values::plain,
        "Days that a link lives whose uploader does not say; 0 is for ever."),
    key!("max_days", Restart, max_days, number(DAYS), values::plain,
        "The most days that an uploader may give a link; 0 is no maximum."),
    key!("max_file_size", Restart, max_file_size, values::size_above_0, values::shown_size,
        "Largest file: bytes, or a text such as \"500 MB\" or \"5 GiB\"."),
    key!("min_free_space", Restart, min_free_space, values::size, values::shown_size,
        "What uploads leave free on the disk: bytes, or a text such as \"500 MB\" or \"5 GiB\"."),
    key!("dedup", Restart, dedup, values::switch, values::plain,
        "Whether equal uploads of one owner share their bytes on the disk."),
    key!("hotlink_protection", Restart, hotlink_protection, values::switch, values::plain,
        "Whether other web sites are kept from embedding files."),
    key!("download_patience", Restart, lease, values::time, values::shown_time,
        "How long a download that broke off may be resumed before its place goes to somebody else."),
    key!("password_opens_for", Restart, unlock, values::time, values::shown_time,
        "How long the password of a link, given once, opens it in the same browser."),
    key!("account.name", Restart, account.name, values::account, values::quoted,
        "The name of the account that a first start makes."),
    key!("storage.kind", Restart, storage, word(STORAGES), shown_word(STORAGES),
        "Where new files are kept: \"disk\", which is data_dir, or \"s3\", the bucket of [s3]."),
    key!("s3.endpoint", Restart, s3.endpoint, some(s3_values::endpoint), values::quoted_if_any,
        "The address of the S3 server, without bucket and path."),
    key!("s3.region", Restart, s3.region, s3_values::region, values::quoted,
        "The region of the bucket."),
    key!("s3.bucket", Restart, s3.bucket, some(s3_values::bucket), values::quoted_if_any,
        "The bucket. Mayfly does not make it."),
    key!("s3.prefix", Restart, s3.prefix, s3_values::prefix, values::quoted,
        "What the names of all objects begin with, such as \"mayfly/\"."),
    key!("s3.path_style", Restart, s3.path_style, values::switch, values::plain,
        "Whether the bucket stands in the path of an address (true) or in the name of the host (false)."),
    key!("s3.key_id_file", Restart, s3.key_id.file, secret_file, shown_secret_file,
        "A file that holds the id of the access key, for the owner alone (chmod 600)."),
    key!("s3.secret_file", Restart, s3.secret.file, secret_file, shown_secret_file,
        "A file that holds the secret of the access key, for the owner alone (chmod 600)."),
    key!("s3.token_file", Restart, s3.token.file, secret_file, shown_secret_file,
        "A file that holds a session token, for the owner alone (chmod 600); most keys have none."),
    secret!("s3.key_id", s3.key_id.text,
        "The id of the access key itself, instead of key_id_file."),
    secret!("s3.secret", s3.secret.text,
        "The secret of the access key itself, instead of secret_file."),
    secret!("s3.token", s3.token.text,
        "The session token itself, instead of token_file."),
    key!("s3.ca_file", Restart, s3.ca_file, some(values::path), values::shown_path_if_any,
        "Certificates (PEM) that are trusted besides those of the program, for a server of one's own."),
    key!("s3.concurrency", Restart, s3.concurrency, concurrency, values::plain,
        "Requests at once that carry uploads, and again as many for downloads: 1 to 16."),
    key!("s3.downloads", Restart, s3.downloads, word(DOWNLOADS), shown_word(DOWNLOADS),
        "Where recipients get files from: \"proxied\", from Mayfly, or \"redirected\", from the bucket."),
    key!("log.level", AtOnce, log.level, word(LEVELS), shown_word(LEVELS),
        "What is logged: \"error\", \"warn\", \"info\" or \"debug\"."),
    key!("log.target", Restart, log.target, word(TARGETS), shown_word(TARGETS),
        "Where the log goes: \"auto\", \"terminal\", \"journal\" or \"file\"."),
    key!("log.file", Restart, log.file, some(values::path), values::shown_path_if_any,
        "The file of target \"file\"."),
    key!("log.max_size", Restart, log.max_size, values::log_size, values::shown_size,
        "How large that file gets before a new one begins: 64 KiB or more."),
    key!("log.keep", Restart, log.keep, number(1000), values::plain,
        "How many full files are kept besides it."),
    key!("pages.templates", AtOnce, pages.templates, some(values::path), values::shown_path_if_any,
        "A folder with templates that replace pages of the program."),
    key!("pages.name", AtOnce, pages.name, values::title, values::quoted,
        "What the pages call this server."),
    key!("pages.color", AtOnce, pages.color, some(values::color), values::quoted_if_any,
        "The colour of buttons and links, as \"#rrggbb\"."),
    key!("pages.logo", AtOnce, pages.logo, some(values::picture), values::shown_path_if_any,
        "A picture that the pages show: an SVG, PNG, JPEG or WebP file."),
    key!("limits.connections", Restart, limits.connections, count, values::plain,
        "Connections at once."),
    key!("limits.connections_per_address", Restart, limits.connections_per_address, count, values::plain,
        "Connections at once from one address (for IPv6: one /64)."),
    key!("limits.uploads", Restart, limits.uploads, count, values::plain,
        "Uploads at once; others are told to come back."),
    key!("limits.downloads", Restart, limits.downloads, count, values::plain,
        "Downloads at once; others are told to come back. 512, or 256 with a bucket."),
    key!("limits.head", Restart, limits.head, values::time, values::shown_time,
        "The longest that the head of a request may take."),
    key!("limits.idle", Restart, limits.idle, values::time, values::shown_time,
        "The longest that a connection may wait between requests."),
    key!("limits.body_stall", Restart, limits.body_stall, values::time, values::shown_time,
        "The longest silence within an upload."),
    key!("limits.body_rate", Restart, limits.body_rate, values::size, values::shown_size,
        "The fewest bytes per second of an upload, averaged over a minute."),
    key!("limits.write_stall", Restart, limits.write_stall, values::time, values::shown_time,
        "The longest that a client may take nothing of an answer."),
    key!("limits.drain", Restart, drain, values::time, values::shown_time,
        "The longest that running requests may take to end when the server stops."),
];

fn some<T>(read: fn(&Value<'_>) -> Read<T>) -> impl Fn(&Value<'_>) -> Read<Option<T>> {
    move |value| read(value).map(Some)
}

fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Value<'_>) -> Read<T> {
    move |value| values::word(value, words)
}

fn shown_word<T: PartialEq>(words: &'static [(&'static str, T)]) -> impl Fn(&T) -> Option<String> {
    move |meaning| {
        let found = words.iter().find(|(_, m)| m == meaning);
        found.and_then(|(name, _)| values::quoted(name))
    }
}

fn number(high: u32) -> impl Fn(&Value<'_>) -> Read<u32> {
    move |value| {
        let number = values::number(value, 0, high.into())?;
        u32::try_from(number).map_err(|e| e.to_string())
    }
}

fn count(value: &Value<'_>) -> Read<usize> {
    let number = values::number(value, 1, 1_000_000)?;
    usize::try_from(number).map_err(|e| e.to_string())
}

fn concurrency(value: &Value<'_>) -> Read<usize> {
    let number = values::number(value, 1, 16)?;
    usize::try_from(number).map_err(|e| e.to_string())
}

fn secret_file(value: &Value<'_>) -> Read<Option<SecretFile>> {
    Ok(Some(SecretFile::named(values::path(value)?)))
}

fn shown_secret_file(file: &Option<SecretFile>) -> Option<String> {
    file.as_ref().and_then(|f| values::shown_path(f.path()))
}

/// What a manual says of one setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The key, with its table: `limits.uploads`.
    pub key: &'static str,
    /// The variable that overrides the file.
    pub variable: String,
    /// The default as TOML; `None` when there is none, or when it follows from other settings.
    pub default: Option<String>,
    /// One line.
    pub help: &'static str,
    /// Whether a new value counts only after a restart.
    pub restart: bool,
}

/// Every setting, in the order of `config/mayfly.toml`.
pub fn reference() -> Vec<Reference> {
    let defaults = Settings::in_directory(PathBuf::from(DATA_DIR));
    let rows = KEYS.iter().map(|key| Reference {
        key: key.name,
        variable: source::variable(key.name),
        default: (key.show)(&defaults).filter(|_| !FOLLOWS.contains(&key.name)),
        help: key.help,
        restart: key.takes == Takes::Restart,
    });
    rows.collect()
}

/// A setting that is another one than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The key, with its table.
    pub key: &'static str,
    /// What it was, as TOML; `None` was nothing, or a secret.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
    /// Whether it counts only after a restart.
    pub restart: bool,
}

impl Settings {
    /// What is different in `new`, in the order of the file.
    pub fn difference(&self, new: &Self) -> Vec<Change> {
        let changes = KEYS.iter().filter(|key| !(key.same)(self, new));
        let changes = changes.map(|key| Change {
            key: key.name,
            before: (key.show)(self),
            after: (key.show)(new),
            restart: key.takes == Takes::Restart,
        });
        changes.collect()
    }
}
