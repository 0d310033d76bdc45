//! Reads and shows single values. A reader takes what is given and answers the value, or the remedy in
//! words; what is shown is TOML that reads as the same value again.

use super::source::{Value, one_line};
use crate::model::is_hostile;
use crate::service::check_name;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// A value, or what to write instead.
pub(super) type Read<T> = Result<T, String>;

/// `127.0.0.1:53842` or `[::1]:53842`.
pub(super) fn address(value: &Value<'_>) -> Read<SocketAddr> {
    let address = value.text().and_then(|text| text.trim().parse().ok());
    address.ok_or_else(|| {
        "write an address and a port, such as \"127.0.0.1:53842\" or \"[::]:53842\"".to_owned()
    })
}

/// `https://files.example.org`, perhaps with a path. Trailing slashes are dropped.
pub(super) fn url(value: &Value<'_>) -> Read<String> {
    let remedy = || "write the address that visitors use, such as \"https://files.example.org\"";
    let text = value.text().ok_or_else(remedy)?.trim_end_matches('/');
    if text.contains('@') {
        return Err(format!("leave user and password out; {}", remedy()));
    }
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

/// A list of addresses and networks: `127.0.0.1` and `10.0.0.0/8`.
pub(super) fn networks(value: &Value<'_>) -> Read<Vec<(IpAddr, u8)>> {
    let remedy = "write a list of addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let entries = value.list().ok_or(remedy)?;
    let mut networks = Vec::new();
    for entry in entries {
        let text = entry.text().ok_or(remedy)?;
        let network =
            network(text).ok_or_else(|| format!("\"{}\" is neither; {remedy}", one_line(text)))?;
        networks.push(network);
    }
    Ok(networks)
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

/// A path from the root on: what it means does not depend on where the program was started.
pub(super) fn path(value: &Value<'_>) -> Read<PathBuf> {
    let text = value.text().filter(|text| !text.contains('\0'));
    let path = Path::new(text.unwrap_or_default());
    let winds = path.components().any(|c| c == Component::ParentDir);
    if path.is_absolute() && !winds {
        Ok(path.components().collect())
    } else {
        Err(
            "write the whole path, from / on and without .., such as \"/var/lib/mayfly\""
                .to_owned(),
        )
    }
}

/// The path of a picture that browsers show.
pub(super) fn picture(value: &Value<'_>) -> Read<PathBuf> {
    let path = path(value)?;
    let ending = path.extension().and_then(|e| e.to_str());
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    if ["svg", "png", "jpg", "jpeg", "webp"].contains(&ending.as_str()) {
        Ok(path)
    } else {
        Err("name a picture that ends in .svg, .png, .jpg or .webp".to_owned())
    }
}

/// `#rrggbb`; small letters come back.
pub(super) fn color(value: &Value<'_>) -> Read<String> {
    let digits = value.text().and_then(|text| text.strip_prefix('#'));
    match digits {
        Some(d) if d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(format!("#{}", d.to_ascii_lowercase()))
        }
        _ => Err("write # and six digits for red, green and blue, such as \"#2563eb\"".to_owned()),
    }
}

/// What a page may be called: a line of 1 to 60 characters.
pub(super) fn title(value: &Value<'_>) -> Read<String> {
    let text = value.text().unwrap_or_default();
    let fits = (1..=60).contains(&text.chars().count());
    if fits && text.trim() == text && !text.chars().any(is_hostile) {
        Ok(text.to_owned())
    } else {
        Err("write a name of 1 to 60 characters on one line, without spaces around it".to_owned())
    }
}

/// What an account may be called.
pub(super) fn account(value: &Value<'_>) -> Read<String> {
    let name = value.text().unwrap_or_default();
    match check_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// `true` or `false`.
pub(super) fn switch(value: &Value<'_>) -> Read<bool> {
    value
        .switch()
        .ok_or_else(|| "write true or false, without quotes".to_owned())
}

/// A whole number in `low..=high`.
pub(super) fn number(value: &Value<'_>, low: u64, high: u64) -> Read<u64> {
    value
        .number()
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| format!("write a whole number from {low} to {high}, without quotes"))
}

/// Units of sizes, with the spelling that is shown. Those that are tried for showing come first.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Bytes: a whole number, or a text like `5 GiB`.
pub(super) fn size(value: &Value<'_>) -> Read<u64> {
    measured(value, SIZES).ok_or_else(|| {
        "write a number of bytes, or a whole number with a unit, such as \"5 GiB\" or \"500 MB\""
            .to_owned()
    })
}

/// The same, and something has to fit.
pub(super) fn size_above_0(value: &Value<'_>) -> Read<u64> {
    match size(value)? {
        0 => Err("with 0 nothing can be uploaded; write at least 1".to_owned()),
        bytes => Ok(bytes),
    }
}

/// The size of a log file: enough for more than a few lines.
pub(super) fn log_size(value: &Value<'_>) -> Read<u64> {
    match size(value)? {
        0..0x1_0000 => Err("write at least \"64 KiB\": less would keep hardly any line".to_owned()),
        bytes => Ok(bytes),
    }
}

/// Units of times.
const TIMES: &[(&str, u64)] = &[("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// A time of at least a second: a whole number of seconds, or a text like `10 min`.
pub(super) fn time(value: &Value<'_>) -> Read<Duration> {
    measured(value, TIMES)
        .filter(|seconds| (1..=366 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            "write seconds, or a whole number with a unit, such as \"30 s\", \"10 min\" or \"1 h\" (1 s to 366 d)"
                .to_owned()
        })
}

fn measured(value: &Value<'_>, units: &[(&str, u64)]) -> Option<u64> {
    if let Some(plain) = value.number() {
        return Some(plain);
    }
    let text = value.text()?.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let (_, factor) = units.iter().find(|(u, _)| u.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// One of a few words.
pub(super) fn word<T: Copy>(value: &Value<'_>, words: &[(&str, T)]) -> Read<T> {
    let found = value
        .text()
        .and_then(|text| words.iter().find(|(name, _)| *name == text));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<String> = words.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("write one of {}", names.join(", "))
    })
}

/// A text in quotes.
pub(super) fn quoted(value: &impl Display) -> Option<String> {
    Some(toml::Value::from(value.to_string()).to_string())
}

/// The same, if there is any.
pub(super) fn quoted_if_any(value: &Option<String>) -> Option<String> {
    value.as_ref().and_then(quoted)
}

/// A number or a switch.
pub(super) fn plain(value: &impl Display) -> Option<String> {
    Some(value.to_string())
}

/// A path in quotes.
pub(super) fn shown_path(path: &Path) -> Option<String> {
    quoted(&path.display())
}

/// The same, if there is any.
pub(super) fn shown_path_if_any(path: &Option<PathBuf>) -> Option<String> {
    path.as_deref().and_then(shown_path)
}

/// A list of networks.
pub(super) fn shown_networks(networks: &[(IpAddr, u8)]) -> Option<String> {
    let entries = networks.iter().map(|(a, p)| format!("\"{a}/{p}\""));
    Some(format!("[{}]", entries.collect::<Vec<_>>().join(", ")))
}

/// A size, with the largest unit that needs no fraction.
pub(super) fn shown_size(bytes: &u64) -> Option<String> {
    shown_measure(*bytes, SIZES)
}

/// A time, likewise.
pub(super) fn shown_time(time: &Duration) -> Option<String> {
    shown_measure(time.as_secs(), TIMES)
}

fn shown_measure(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let unit = units
        .iter()
        .find(|(_, f)| value >= *f && value.is_multiple_of(*f));
    match unit {
        Some((unit, factor)) => Some(format!("\"{} {unit}\"", value / factor)),
        None => Some(value.to_string()),
    }
}

/// The known name that is nearest to a mistyped one, if any is near.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What nobody would type is not compared: the work is the product of both lengths.
    if name.len() > 80 {
        return None;
    }
    let own = name.rsplit('.').next().unwrap_or(name);
    let own = own.trim_start_matches("MAYFLY_");
    let distances = known.into_iter().map(|k| (distance(name, k), k));
    // A third of what was typed may be wrong.
    let most = (own.len() / 3).clamp(1, 3);
    let near = distances.min().filter(|(d, _)| *d <= most);
    near.map(|(_, k)| k)
}

/// How many letters have to change to make `a` from `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
