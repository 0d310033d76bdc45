//! Rules between several keys, and between settings and what is on the disk.

use super::resolve::Found;
use super::secret::{SecretError, SecretFile};
use super::{Environment, LogTarget, Problem, Settings, s3};
use crate::service::Encryption;
use rustix::process::{Resource, getrlimit};
use std::io::ErrorKind;

/// What systemd calls the master key, when it is passed as a credential.
const MASTER_KEY: &str = "mayfly.master-key";

/// Takes secrets that systemd passes and no setting names.
pub(super) fn credentials(settings: &mut Settings, environment: &Environment) {
    if settings.encryption == Encryption::Server && settings.master_key_file.is_none() {
        settings.master_key_file = SecretFile::credential(environment, MASTER_KEY);
    }
    s3::credentials(settings, environment);
}

/// What has to fit together. A key that is wrong by itself is not compared.
pub(super) fn between_keys(found: &mut Found) {
    type Rule = fn(&Found) -> Option<Problem>;
    let rules: &[(&[&str], Rule)] = &[
        (&["encryption", "master_key_file", "data_dir"], master_key),
        (&["default_downloads", "max_downloads"], downloads),
        (&["default_days", "max_days"], days),
        (&["log.target", "log.file"], log_file),
        (FILES, distinct_files),
        (
            &["limits.connections", "limits.connections_per_address"],
            connections,
        ),
    ];
    let problems: Vec<Problem> = rules
        .iter()
        .filter(|(keys, _)| found.is_sound(keys))
        .filter_map(|(_, rule)| rule(found))
        .collect();
    found.problems.extend(problems);
    let problems = s3::between_keys(found);
    found.problems.extend(problems);
}

/// The master key belongs to mode `server`, and not onto the disk that it protects.
fn master_key(found: &Found) -> Option<Problem> {
    let settings = &found.settings;
    let remedy = match (&settings.master_key_file, settings.encryption) {
        (None, Encryption::Server) => {
            return Some(found.about(
                "encryption",
                "it needs a master key: set master_key_file to a path outside of data_dir; the file is made at the first start",
            ));
        }
        (Some(_), Encryption::Link | Encryption::None) => {
            "only encryption = \"server\" uses it: remove this line, or change encryption"
        }
        (Some(file), Encryption::Server) if file.path().starts_with(&settings.data_dir) => {
            "who takes data_dir would take the key along: write a path outside of it"
        }
        _ => return None,
    };
    Some(found.about("master_key_file", remedy))
}

fn downloads(found: &Found) -> Option<Problem> {
    let settings = &found.settings;
    let (default, max) = (settings.default_downloads, settings.max_downloads);
    default_and_maximum(found, "downloads", default, max)
}

fn days(found: &Found) -> Option<Problem> {
    let settings = &found.settings;
    default_and_maximum(found, "days", settings.default_days, settings.max_days)
}

/// An upload that says nothing must not be more than the most; 0 is no end, or no maximum.
fn default_and_maximum(found: &Found, what: &str, default: u32, max: u32) -> Option<Problem> {
    if max == 0 || (1..=max).contains(&default) {
        return None;
    }
    let (default_key, max_key) = (format!("default_{what}"), format!("max_{what}"));
    // The line to change is one that is there.
    let (culprit, remedy) = match (found.is_given(&default_key), default) {
        (true, 0) => (
            &default_key,
            format!(
                "0 is no limit, and {max_key} is {max}: write 1 to {max}, or set {max_key} to 0"
            ),
        ),
        (true, _) => (
            &default_key,
            format!("{max_key} is {max}: write 1 to {max}, or raise {max_key}"),
        ),
        (false, _) => (
            &max_key,
            format!(
                "{default_key} is {default}: set {default_key} to 1 to {max}, or raise {max_key}"
            ),
        ),
    };
    Some(found.about(culprit, remedy))
}

fn log_file(found: &Found) -> Option<Problem> {
    let log = &found.settings.log;
    match (log.target, &log.file) {
        (LogTarget::File, None) => Some(found.about(
            "log.target",
            "it needs the path of the file: set file in [log], such as \"/var/log/mayfly/mayfly.log\"",
        )),
        (LogTarget::Auto | LogTarget::Terminal | LogTarget::Journal, Some(_)) => Some(found.about(
            "log.file",
            "only target = \"file\" uses it: remove this line, or change target",
        )),
        _ => None,
    }
}

/// Settings that each name a file of their own.
const FILES: &[&str] = &[
    "credentials_file",
    "admin_socket",
    "master_key_file",
    "log.file",
    "s3.key_id_file",
    "s3.secret_file",
    "s3.token_file",
    "s3.ca_file",
];

/// One of them would overwrite the other.
fn distinct_files(found: &Found) -> Option<Problem> {
    let settings = &found.settings;
    let paths = [
        Some(settings.credentials_file.as_path()),
        settings.admin_socket.as_deref(),
        settings.master_key_file.as_ref().map(SecretFile::path),
        settings.log.file.as_deref(),
        settings.s3.key_id.file.as_ref().map(SecretFile::path),
        settings.s3.secret.file.as_ref().map(SecretFile::path),
        settings.s3.token.file.as_ref().map(SecretFile::path),
        settings.s3.ca_file.as_deref(),
    ];
    for (second, key) in FILES.iter().enumerate() {
        let same =
            (0..second).find(|first| paths[second].is_some() && paths[*first] == paths[second]);
        if let Some(first) = same {
            let other = FILES[first];
            return Some(found.about(key, format!("{other} is the same file: name another one")));
        }
    }
    None
}

fn connections(found: &Found) -> Option<Problem> {
    let limits = &found.settings.limits;
    let (each, all) = (limits.connections_per_address, limits.connections);
    if each <= all {
        return None;
    }
    let keys = ["limits.connections_per_address", "limits.connections"];
    let culprit = keys.iter().find(|key| found.is_given(key))?;
    Some(found.about(
        culprit,
        format!(
            "one address may have {each} connections, and all together {all}: lower connections_per_address to {all}, or raise connections"
        ),
    ))
}

/// What can only be seen on this machine.
pub(super) fn on_disk(found: &mut Found) {
    let mut problems = s3::on_disk(found);
    let opened = found
        .settings
        .master_key_file
        .as_ref()
        .map(SecretFile::open);
    match opened {
        None | Some(Ok(_)) => {}
        // The first start makes it.
        Some(Err(SecretError::Io(e))) if e.kind() == ErrorKind::NotFound => {}
        Some(Err(e)) => problems.push(found.about("master_key_file", e.to_string())),
    }
    found.problems.extend(problems);
}

/// What works, and is probably not meant.
pub(super) fn warnings(found: &Found) -> Vec<Problem> {
    let settings = &found.settings;
    let mut warnings = Vec::new();
    let mut warn = |key: &str, remedy: &str| warnings.push(found.about(key, remedy));
    match &settings.public_url {
        None if settings.listen.ip().is_unspecified() => warn(
            "listen",
            "links will begin with an address that works on this machine only: set public_url to the address that visitors use",
        ),
        Some(url) if url.starts_with("http://") => warn(
            "public_url",
            "links, passwords and files travel readable: put a proxy with HTTPS in front, and write https://",
        ),
        Some(_) if settings.trusted_proxies.is_empty() => warn(
            "trusted_proxies",
            "with HTTPS there is a proxy in front, and every visitor seems to come from there: name its address here",
        ),
        _ => {}
    }
    if settings
        .trusted_proxies
        .iter()
        .any(|(_, prefix)| *prefix == 0)
    {
        warn(
            "trusted_proxies",
            "everybody is a trusted proxy, and can claim to be any address: name the addresses of your proxies only",
        );
    }
    if settings.default_downloads == 0 && settings.default_days == 0 {
        warn(
            "default_days",
            "a link whose uploader says nothing never ends, and the disk fills up: set default_days or default_downloads",
        );
    }
    on_this_machine(settings, &mut warn);
    warnings
}

/// What may be in order by the time it is needed.
fn on_this_machine(settings: &Settings, warn: &mut dyn FnMut(&str, &str)) {
    let pages = &settings.pages;
    if pages.templates.as_ref().is_some_and(|path| !path.is_dir()) {
        warn(
            "pages.templates",
            "there is no such folder: make it, or remove this line; until then the pages are those of the program",
        );
    }
    if pages.logo.as_ref().is_some_and(|path| !path.is_file()) {
        warn(
            "pages.logo",
            "there is no such file: put the picture there, or remove this line",
        );
    }
    let folder = settings.log.file.as_ref().and_then(|path| path.parent());
    if folder.is_some_and(|path| !path.is_dir()) {
        warn(
            "log.file",
            "its folder does not exist: make it, and give it to the user that runs Mayfly",
        );
    }
    let data = &settings.data_dir;
    if data.exists() && !data.is_dir() {
        warn(
            "data_dir",
            "this is no folder: name a folder, or move what is there",
        );
    }
    if let Some(most) = getrlimit(Resource::Nofile).maximum {
        let wanted = settings.limits.descriptors();
        if most < wanted as u64 {
            warn(
                "limits.connections",
                &format!(
                    "these limits take {wanted} open files, and this process may have {most}: raise LimitNOFILE, or lower connections"
                ),
            );
        }
    }
}
