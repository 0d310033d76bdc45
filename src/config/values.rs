//! Reads single values: each function takes what stands in the file and answers the value, or the
//! remedy in words.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// A value, or what to write instead.
pub(super) type Read<T> = Result<T, String>;

/// `"127.0.0.1:53842"` or `"[::1]:53842"`.
pub(super) fn address(value: &Value) -> Read<SocketAddr> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            "write an address and a port, such as \"127.0.0.1:53842\" or \"[::]:53842\"".to_owned()
        })
}

/// `"https://files.example.org"`, perhaps with a path. Trailing slashes are dropped.
pub(super) fn url(value: &Value) -> Read<String> {
    let remedy = || "write the address that visitors use, such as \"https://files.example.org\"";
    let text = value.as_str().ok_or_else(remedy)?.trim_end_matches('/');
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(remedy)?;
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"'<>\\?#@".contains(&b));
    if clean && !host.is_empty() && !host.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err(remedy().to_owned())
    }
}

/// A list of addresses and networks: `["127.0.0.1", "10.0.0.0/8"]`.
pub(super) fn networks(value: &Value) -> Read<Vec<(IpAddr, u8)>> {
    let remedy = "write a list of addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let entries = value.as_array().ok_or(remedy)?;
    entries
        .iter()
        .map(|entry| {
            entry
                .as_str()
                .and_then(network)
                .ok_or_else(|| format!("{entry} is neither; {remedy}"))
        })
        .collect()
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(bits);
    (prefix <= bits).then_some((address, prefix))
}

/// A path; a relative one is meant from the folder of the settings file.
pub(super) fn path(value: &Value, base: &std::path::Path) -> Read<PathBuf> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(base.join(text)),
        _ => Err("write a path, such as \"/var/lib/mayfly\"".to_owned()),
    }
}

/// `true` or `false`.
pub(super) fn switch(value: &Value) -> Read<bool> {
    value
        .as_bool()
        .ok_or_else(|| "write true or false, without quotes".to_owned())
}

/// A whole number in `low..=high`.
pub(super) fn number(value: &Value, low: u64, high: u64) -> Read<u64> {
    value
        .as_integer()
        .and_then(|n| u64::try_from(n).ok())
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| format!("write a whole number from {low} to {high}"))
}

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
];

/// Bytes: a whole number, or a text like `"5 GiB"`.
pub(super) fn size(value: &Value) -> Read<u64> {
    measured(value, SIZES).ok_or_else(|| {
        "write a number of bytes, or a whole number with a unit, such as \"5 GiB\" or \"500 MB\""
            .to_owned()
    })
}

const TIMES: &[(&str, u64)] = &[("S", 1), ("MIN", 60), ("H", 3_600), ("D", 86_400)];

/// A time of at least a second: a whole number of seconds, or a text like `"10 min"`.
pub(super) fn time(value: &Value) -> Read<Duration> {
    measured(value, TIMES)
        .filter(|seconds| (1..=366 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            "write seconds, or a whole number with a unit, such as \"30 s\", \"10 min\" or \"1 h\" (1 s to 366 d)"
                .to_owned()
        })
}

fn measured(value: &Value, units: &[(&str, u64)]) -> Option<u64> {
    if let Some(plain) = value.as_integer() {
        return u64::try_from(plain).ok();
    }
    let text = value.as_str()?.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// One of a few words.
pub(super) fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Read<T> {
    let found = value
        .as_str()
        .and_then(|text| words.iter().find(|(name, _)| *name == text));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<String> = words
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        format!("write one of {}", names.join(", "))
    })
}
