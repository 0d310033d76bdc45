//! The settings file as it stands: every key, unjudged, so that all its problems can be told at
//! once. A key that is not here is unknown.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Value;

/// The top level of the file.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct File {
    pub listen: Option<Value>,
    pub public_url: Option<Value>,
    pub trusted_proxies: Option<Value>,
    pub data_dir: Option<Value>,
    pub credentials_file: Option<Value>,
    pub encryption: Option<Value>,
    pub master_key_file: Option<Value>,
    pub default_downloads: Option<Value>,
    pub default_days: Option<Value>,
    pub max_file_size: Option<Value>,
    pub min_free_space: Option<Value>,
    pub dedup: Option<Value>,
    pub hotlink_protection: Option<Value>,
    pub download_patience: Option<Value>,
    pub password_opens_for: Option<Value>,
    pub log_level: Option<Value>,
    pub limits: Option<Value>,
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The table `[limits]`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct LimitsTable {
    pub connections: Option<Value>,
    pub connections_per_address: Option<Value>,
    pub uploads: Option<Value>,
    pub downloads: Option<Value>,
    pub head: Option<Value>,
    pub idle: Option<Value>,
    pub body_stall: Option<Value>,
    pub body_rate: Option<Value>,
    pub write_stall: Option<Value>,
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Every key of the top level, for suggestions.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "public_url",
    "trusted_proxies",
    "data_dir",
    "credentials_file",
    "encryption",
    "master_key_file",
    "default_downloads",
    "default_days",
    "max_file_size",
    "min_free_space",
    "dedup",
    "hotlink_protection",
    "download_patience",
    "password_opens_for",
    "log_level",
    "limits",
];

/// Every key of `[limits]`, for suggestions.
pub(super) const LIMIT_KEYS: &[&str] = &[
    "connections",
    "connections_per_address",
    "uploads",
    "downloads",
    "head",
    "idle",
    "body_stall",
    "body_rate",
    "write_stall",
];
