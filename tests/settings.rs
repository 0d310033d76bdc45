//! Mistakes in settings, as people make them: each file in `tests/settings/` gives exactly the message
//! beside it. A line `#! NAME=VALUE` at the top of a file sets a variable of the environment.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::config::{self, Environment, Settings};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Launch, Server, Upload};

const FOLDER: &str = "tests/settings";

/// The broken files, in order.
fn corpus() -> Vec<PathBuf> {
    let entries = fs::read_dir(FOLDER).unwrap().map(|e| e.unwrap().path());
    let is_file = |path: &PathBuf| path.extension().is_some_and(|e| e == "toml");
    let mut files: Vec<PathBuf> = entries.filter(is_file).collect();
    files.sort();
    files
}

fn environment_of(path: &Path) -> Environment {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let lines = text.lines().map_while(|line| line.strip_prefix("#! "));
    let pairs = lines.map(|line| line.split_once('=').unwrap());
    pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn message_of(path: &Path) -> String {
    match config::check(path, &environment_of(path)) {
        Err(problems) => format!("{problems}\n"),
        Ok(_) => "no problem\n".to_owned(),
    }
}

#[test]
fn every_mistake_gives_exactly_its_message() {
    let files = corpus();
    assert!(files.len() >= 30, "{} files", files.len());
    let mut wrong = String::new();
    for path in &files {
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        let message = message_of(path);
        if message != expected {
            wrong += &format!("--- {}\n{expected}+++ told\n{message}", path.display());
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn no_message_stands_alone() {
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("toml").exists(), "{}", path.display());
    }
}

#[test]
fn every_message_names_a_place_and_none_a_secret() {
    for path in corpus() {
        let message = message_of(&path);
        let mut lines = message.lines();
        let head = lines.next().unwrap();
        assert!(head.contains(&format!("in {}", path.display())), "{head}");
        assert!(!message.contains("hunter2"), "{message}");
        assert!(!message.contains('\u{1b}'), "{message}");
        assert!(message.lines().all(|line| line.len() < 400), "{message}");
    }
}

#[test]
fn the_file_of_the_documentation_is_accepted_without_a_warning() {
    let path = Path::new("config/mayfly.toml");
    let report = config::check(path, &Environment::default()).unwrap();
    assert_eq!(
        report.settings,
        Settings::in_directory(config::DATA_DIR.into())
    );
    // What this machine allows is not in the file.
    let of_file = report
        .warnings
        .iter()
        .filter(|w| w.key != "limits.connections");
    assert_eq!(of_file.count(), 0, "{:?}", report.warnings);
}

#[test]
fn files_that_are_only_unusual_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    for text in [
        "",
        "\n\n# nothing\n",
        "\u{feff}dedup = true\n",
        "dedup = true\r\n[limits]\r\nuploads = 3\r\n",
        "limits.uploads = 3\nlimits = { downloads = 4 }"
            .split('\n')
            .next()
            .unwrap(),
        "limits = { uploads = 3 }",
        "\"listen\" = '127.0.0.1:0'",
        "listen = \"\"\"127.0.0.1:0\"\"\"",
        "max_file_size = 1_000",
    ] {
        fs::write(&path, text).unwrap();
        let loaded = config::load(&path, &Environment::default());
        assert!(loaded.is_ok(), "{text:?}: {}", loaded.unwrap_err());
    }
}

/// Settings of mode `server` with a key file of this mode.
fn with_key(directory: &Path, mode: u32) -> (PathBuf, PathBuf) {
    let key = directory.join("master.key");
    fs::write(&key, [7; 32]).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    let path = directory.join("m.toml");
    let text = format!(
        "encryption = \"server\"\nmaster_key_file = \"{}\"\n",
        key.display()
    );
    fs::write(&path, text).unwrap();
    (path, key)
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400] {
        let (path, _) = with_key(directory.path(), mode);
        config::check(&path, &Environment::default()).unwrap();
    }
    for mode in [0o644, 0o640, 0o604, 0o620, 0o666] {
        let (path, key) = with_key(directory.path(), mode);
        let told = config::check(&path, &Environment::default()).unwrap_err();
        let key = key.display();
        assert_eq!(
            told.to_string(),
            format!(
                "1 problem in {}\n  line 2: master_key_file = \"{key}\": others may read or change it (mode {mode:04o}): chmod 600 {key}",
                path.display()
            )
        );
    }
}

#[test]
fn a_key_has_to_be_a_file_and_may_be_missing_before_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = with_key(directory.path(), 0o600);
    fs::remove_file(&key).unwrap();
    config::check(&path, &Environment::default()).unwrap();
    fs::create_dir(&key).unwrap();
    let told = config::check(&path, &Environment::default()).unwrap_err();
    assert!(told.to_string().contains("this is no file"), "{told}");
}

#[test]
fn the_master_key_is_found_among_the_credentials_of_systemd() {
    let directory = tempfile::tempdir().unwrap();
    let credential = directory.path().join("mayfly.master-key");
    let path = directory.path().join("m.toml");
    fs::write(&path, "encryption = \"server\"\n").unwrap();
    let environment: Environment = [("CREDENTIALS_DIRECTORY", directory.path())]
        .into_iter()
        .collect();
    let without = config::load(&path, &environment).unwrap_err().to_string();
    assert!(without.contains("set master_key_file"), "{without}");

    // systemd lets the service read it by an access list, which looks like a right of the group.
    fs::write(&credential, [7; 32]).unwrap();
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o440)).unwrap();
    let settings = config::load(&path, &environment).unwrap();
    let key = settings.master_key_file.unwrap();
    assert_eq!(key.path(), credential);
    assert!(key.is_credential() && key.open().is_ok());

    // One that the settings name goes before it.
    let (path, named) = with_key(directory.path(), 0o600);
    let settings = config::load(&path, &environment).unwrap();
    assert_eq!(settings.master_key_file.unwrap().path(), named);

    // Without mode "server" nobody asks for it.
    fs::write(&path, "").unwrap();
    let settings = config::load(&path, &environment).unwrap();
    assert_eq!(settings.master_key_file, None);
}

#[test]
fn a_settings_file_that_others_may_change_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    fs::write(&path, "").unwrap();
    let warnings = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let report = config::check(&path, &Environment::default()).unwrap();
        let of_file = report.warnings.into_iter().filter(|w| w.key.is_empty());
        of_file.map(|w| w.to_string()).collect::<Vec<_>>()
    };
    assert!(warnings(0o644).is_empty() && warnings(0o600).is_empty());
    let told = format!(
        "others may change the file, and with it where files go: chmod go-w {}",
        path.display()
    );
    assert_eq!(warnings(0o664), std::slice::from_ref(&told));
    assert_eq!(warnings(0o646), [told]);
}

#[test]
fn warnings_name_what_works_and_is_not_meant() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    let there = directory.path().display();
    for (text, key, words) in [
        ("listen = \"0.0.0.0:1\"", "listen", "set public_url"),
        ("public_url = \"http://x.org\"", "public_url", "https://"),
        (
            "public_url = \"https://x.org\"",
            "trusted_proxies",
            "name its address",
        ),
        (
            "trusted_proxies = [\"0.0.0.0/0\"]",
            "trusted_proxies",
            "everybody",
        ),
        (
            "default_downloads = 0\ndefault_days = 0",
            "default_days",
            "never ends",
        ),
        (
            "pages.templates = \"/nonexistent\"",
            "pages.templates",
            "no such folder",
        ),
        (
            "pages.logo = \"/nonexistent/l.svg\"",
            "pages.logo",
            "no such file",
        ),
        (
            "log.target = \"file\"\nlog.file = \"/nonexistent/l\"",
            "log.file",
            "its folder",
        ),
        (
            &format!("data_dir = \"{there}/m.toml\""),
            "data_dir",
            "no folder",
        ),
        (
            "limits.connections = 1_000_000\nlimits.uploads = 1_000_000\nlimits.downloads = 1_000_000",
            "limits.connections",
            "LimitNOFILE",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let report = config::check(&path, &Environment::default()).unwrap();
        let found = report.warnings.iter().find(|w| w.key == key);
        let found = found.unwrap_or_else(|| panic!("{text}: {:?}", report.warnings));
        assert!(found.remedy.contains(words), "{found}");
    }
}

#[test]
fn a_running_server_keeps_to_the_maxima_of_file_and_environment() {
    let launch = Launch::with_settings("max_downloads = 9\nmax_days = 20\n")
        .with("MAYFLY_MAX_DOWNLOADS", "3")
        .with("MAYFLY_ACCOUNT_NAME", "Jörg");
    let server = Server::launched(launch);
    assert_eq!(server.admin.0, "Jörg");
    let upload = |downloads, days| {
        let upload = Upload::fresh(1000).downloads(downloads);
        upload.days(days).attempt(&server).unwrap()
    };
    assert_eq!(upload(3, 20).status(), 200);
    for (downloads, days, words) in [
        (4, 20, "at most 3 for a link"),
        (0, 20, "at most 3 for a link"),
        (3, 21, "at most 20 days"),
        (3, 0, "at most 20 days"),
    ] {
        let reply = upload(downloads, days);
        assert_eq!(reply.status(), 400, "{}", reply.text());
        assert!(reply.text().contains(words), "{}", reply.text());
    }
}

#[test]
fn a_wrong_variable_or_an_open_key_ends_the_program_with_78() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = with_key(directory.path(), 0o644);
    let serve = |name: &str, value: &str| {
        let mut command = support::command();
        command.args(["serve", "--config"]).arg(&path);
        let output = command.env(name, value).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), message)
    };
    let (code, message) = serve("HOME", "/");
    assert_eq!(code, Some(78), "{message}");
    let remedy = format!("chmod 600 {}", key.display());
    assert!(message.contains(&remedy), "{message}");
    let (code, message) = serve("MAYFLY_LISTN", "127.0.0.1:0");
    assert_eq!(code, Some(78), "{message}");
    assert!(message.contains("did you mean MAYFLY_LISTEN?"), "{message}");
}

#[test]
fn the_longest_drain_is_that_of_the_settings() {
    let launch = Launch::with_settings("[limits]\ndrain = 1\nbody_stall = \"10 min\"\n");
    let mut server = Server::launched(launch);
    // A request that would wait for its body for minutes.
    let key = format!("apikey: {}", server.key);
    let mut conn = server.connect();
    conn.ask(
        "POST",
        "/api/files/add",
        &[
            &key,
            "Content-Type: multipart/form-data; boundary=XX",
            "Content-Length: 1000",
            "Expect: 100-continue",
        ],
    )
    .unwrap();
    let mut leave = [0; 64];
    let read = conn.read(&mut leave).unwrap();
    assert!(leave[..read].starts_with(b"HTTP/1.1 100"));
    let status = server.stop(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0));
}
