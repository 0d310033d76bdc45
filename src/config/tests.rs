//! Tests of the settings: file, code and help are equal, every reader, every place a value comes from.

use super::keys::{KEYS, TABLES};
use super::*;
use std::collections::BTreeSet;
use std::path::Path;

const FILE: &str = include_str!("../../config/mayfly.toml");

fn nothing() -> Environment {
    Environment::default()
}

fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    parse(text.as_bytes(), &nothing()).map_err(|problems| problems.list)
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let environment = variables.iter().copied().collect();
    parse(text.as_bytes(), &environment).map_err(|problems| problems.list)
}

fn problems(text: &str) -> Vec<Problem> {
    read(text).expect_err("there is a problem")
}

/// What `config/mayfly.toml` says: key, whether the line is in force, value, first line of help.
fn documented() -> Vec<(String, bool, String, String)> {
    let (mut table, mut help, mut found) = (String::new(), Vec::new(), Vec::new());
    for line in FILE.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            help.push(text);
        } else if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, value)) = line.split_once(" = ") {
            let in_force = !key.starts_with('#');
            let key = format!("{table}{}", key.trim_start_matches('#'));
            let help = help.first().map_or("", |line| line);
            found.push((key, in_force, value.to_owned(), help.to_owned()));
        } else if line.is_empty() {
            help.clear();
        } else {
            assert_eq!(line, "#", "a line that is none of these");
        }
    }
    found
}

#[test]
fn the_file_has_every_setting_with_its_default_and_its_help() {
    let code: Vec<_> = reference()
        .into_iter()
        .map(|row| (row.key.to_owned(), row.default, row.help.to_owned()))
        .collect();
    let file: Vec<_> = documented()
        .into_iter()
        .map(|(key, in_force, value, help)| (key, in_force.then_some(value), help))
        .collect();
    assert_eq!(file, code);
}

#[test]
fn the_file_an_empty_one_and_the_defaults_are_the_same() {
    let defaults = Settings::in_directory(DATA_DIR.into());
    assert_eq!(read(FILE).unwrap(), defaults);
    assert_eq!(read("").unwrap(), defaults);
}

#[test]
fn the_examples_of_settings_without_a_default_are_valid() {
    let mut text = String::from("encryption = \"server\"\n[log]\ntarget = \"file\"\n");
    for (key, in_force, value, _) in documented() {
        // A secret stands in its file or here, not in both.
        let is_secret = KEYS.iter().any(|row| row.name == key && row.secret);
        if !in_force && !is_secret {
            let line = format!("{key} = {value}\n");
            if key.contains('.') {
                text = text.replace("[log]", &format!("{line}[log]"));
            } else {
                text.insert_str(0, &line);
            }
        }
    }
    // Dotted keys and a header name the same table: TOML takes one of them.
    let text = text.replace("[log]\ntarget", "log.target");
    let settings = read(&text).unwrap_or_else(|list| panic!("{list:#?}\n{text}"));
    assert_eq!(
        settings.public_url.as_deref(),
        Some("https://files.example.org")
    );
    let key = settings.master_key_file.unwrap();
    assert_eq!(key.path(), Path::new("/etc/mayfly/master.key"));
    assert!(settings.log.file.is_some() && settings.pages.logo.is_some());
    assert_eq!(settings.s3.bucket.as_deref(), Some("my-files"));
}

#[test]
fn every_table_is_known_and_no_two_keys_share_a_variable() {
    let tables: BTreeSet<_> = KEYS.iter().filter_map(|k| k.name.split_once('.')).collect();
    let tables: BTreeSet<_> = tables.into_iter().map(|(table, _)| table).collect();
    assert_eq!(tables, TABLES.iter().copied().collect());
    let variables: BTreeSet<_> = reference().into_iter().map(|r| r.variable).collect();
    assert_eq!(variables.len(), KEYS.len());
    assert!(variables.contains("MAYFLY_LIMITS_UPLOADS"));
}

#[test]
fn every_setting_refuses_a_table_and_tells_its_line() {
    for key in KEYS {
        let list = problems(&format!("\n\n{} = {{}}\n", key.name));
        let [problem] = list.as_slice() else {
            panic!("{}: {list:#?}", key.name);
        };
        assert_eq!(
            (problem.key.as_str(), &problem.place),
            (key.name, &Place::Line(3))
        );
        assert_eq!(problem.value, if key.secret { "" } else { "{}" });
    }
}

#[test]
fn what_is_shown_reads_as_the_same_again() {
    let text = "
        listen = \"[::1]:80\"
        public_url = \"https://x.org/share\"
        trusted_proxies = [\"10.0.0.0/8\", \"::1\"]
        data_dir = \"/srv/quote\\\"d\"
        credentials_file = \"/root/c\"
        admin_socket = \"/run/a\"
        encryption = \"server\"
        master_key_file = \"/etc/k\"
        default_downloads = 3
        max_downloads = 4
        default_days = 5
        max_days = 6
        max_file_size = 1500
        min_free_space = \"3 KB\"
        dedup = false
        hotlink_protection = true
        download_patience = 61
        password_opens_for = \"2 d\"
        account.name = \"Jörg\"
        storage.kind = \"s3\"
        log = { level = \"debug\", target = \"file\", file = \"/l\", max_size = \"1 MB\", keep = 0 }
        pages = { templates = \"/t\", name = \"N\", color = \"#ABCDEF\", logo = \"/l.PNG\" }
        [s3]
        endpoint = \"https://s3.example.org:9000\"
        region = \"garage\"
        bucket = \"my.files\"
        prefix = \"a/b/\"
        path_style = false
        key_id_file = \"/etc/id\"
        secret_file = \"/etc/secret\"
        token_file = \"/etc/token\"
        ca_file = \"/etc/ca\"
        concurrency = 9
        downloads = \"redirected\"
        [limits]
        connections = 7
        connections_per_address = 6
        uploads = 5
        downloads = 4
        head = 3
        idle = 2
        body_stall = 1
        body_rate = 0
        write_stall = 90
        drain = 3600
    ";
    let before = read(text).unwrap_or_else(|list| panic!("{list:#?}"));
    let defaults = Settings::in_directory(DATA_DIR.into());
    let changes = defaults.difference(&before);
    let changed: Vec<_> = changes.iter().map(|c| c.key).collect();
    let shown = KEYS.iter().filter(|k| !k.secret);
    let all: Vec<_> = shown.map(|k| k.name).collect();
    assert_eq!(changed, all, "the text changes every setting");
    assert_eq!(shown_again(&before), before);
}

#[test]
fn a_reload_knows_what_changed_and_what_needs_a_restart() {
    let before = read("").unwrap();
    assert_eq!(before.difference(&before), []);
    let after = read("listen = \"127.0.0.1:1\"\n[log]\nlevel = \"debug\"").unwrap();
    let changes = before.difference(&after);
    let told: Vec<_> = changes.iter().map(|c| (c.key, c.restart)).collect();
    assert_eq!(told, [("listen", true), ("log.level", false)]);
    assert_eq!(changes[1].before.as_deref(), Some("\"info\""));
    assert_eq!(changes[1].after.as_deref(), Some("\"debug\""));
}

#[test]
fn a_variable_goes_before_the_file_and_that_before_the_default() {
    let file = "default_days = 3\nmax_file_size = 5\n[limits]\nuploads = 6";
    let settings = read_with(
        file,
        &[
            ("MAYFLY_DEFAULT_DAYS", "4"),
            ("MAYFLY_LIMITS_UPLOADS", "7"),
            ("MAYFLY_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,"),
            ("MAYFLY_MIN_FREE_SPACE", "2 GiB"),
            ("MAYFLY_DEDUP", "false"),
            ("MAYFLY_LISTEN", "[::]:1"),
            ("MAYFLY_DATA_DIR", "/srv/m"),
            ("MAYFLOWER", "not ours"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!((settings.default_days, settings.limits.uploads), (4, 7));
    assert_eq!(settings.max_file_size, 5);
    assert_eq!(settings.trusted_proxies.len(), 2);
    assert_eq!(settings.min_free_space, 2 << 30);
    assert!(!settings.dedup);
    assert_eq!(settings.listen.to_string(), "[::]:1");
    assert_eq!(
        settings.credentials_file,
        Path::new("/srv/m/first-credentials.toml")
    );
    let empty = [("MAYFLY_TRUSTED_PROXIES", "")];
    let settings = read_with("trusted_proxies = [\"::1\"]", &empty).unwrap();
    assert_eq!(settings.trusted_proxies, [], "an empty list is a list");
}

#[test]
fn a_wrong_variable_is_named_with_its_remedy() {
    let list = read_with(
        "default_days = 3",
        &[
            ("MAYFLY_DEFAULT_DAYS", "many"),
            ("MAYFLY_LISTN", "secret"),
            ("MAYFLY_GITHUB_TOKEN", "secret"),
            ("MAYFLY_PUBLIC_URL", ""),
        ],
    )
    .unwrap_err();
    let mut told: Vec<_> = list.iter().map(Problem::to_string).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "environment: MAYFLY_DEFAULT_DAYS = many: write a whole number from 0 to 36500, without quotes",
            "environment: MAYFLY_GITHUB_TOKEN: there is no such setting; unset it (variables that begin with MAYFLY_ are settings)",
            "environment: MAYFLY_LISTN: there is no such setting; did you mean MAYFLY_LISTEN?",
            "environment: MAYFLY_PUBLIC_URL: write the address that visitors use, such as \"https://files.example.org\"",
        ]
    );
}

#[test]
fn a_variable_that_is_no_text_is_told() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(b"/srv/\xff".to_vec());
    let environment = [(OsString::from("MAYFLY_DATA_DIR"), value)];
    let list = parse(b"", &environment.into_iter().collect()).unwrap_err();
    assert!(
        list.to_string()
            .contains("MAYFLY_DATA_DIR: the value is not text")
    );
}

#[test]
fn sizes_and_times_take_numbers_and_units() {
    let size = |text: &str| read(&format!("max_file_size = {text}")).map(|s| s.max_file_size);
    for (text, bytes) in [
        ("1", 1),
        ("+1", 1),
        ("0x10", 16),
        ("5_368_709_120", 5 << 30),
        ("\"5 GiB\"", 5 << 30),
        ("\"5gib\"", 5 << 30),
        ("\"500 MB\"", 500_000_000),
        ("\"7 b\"", 7),
        ("\"3 TiB\"", 3 << 40),
    ] {
        assert_eq!(size(text).unwrap(), bytes, "{text}");
    }
    for text in [
        "0",
        "-1",
        "1.5",
        "\"\"",
        "\"5\"",
        "\"GiB\"",
        "\"1.5 GiB\"",
        "\"99999999 TiB\"",
        "99999999999999999999999",
        "true",
    ] {
        assert!(size(text).is_err(), "{text}");
    }
    let time = |text: &str| read(&format!("download_patience = {text}")).map(|s| s.lease.as_secs());
    assert_eq!(time("90").unwrap(), 90);
    assert_eq!(time("\"2 min\"").unwrap(), 120);
    assert_eq!(time("\"1 d\"").unwrap(), 86_400);
    for text in ["0", "\"0 s\"", "-5", "\"10 weeks\"", "\"367 d\""] {
        assert!(time(text).is_err(), "{text}");
    }
}

#[test]
fn networks_and_urls_are_checked() {
    let settings = read(
        "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"fd00::/8\", \"::1\"]\npublic_url = \"https://x.org/share///\"",
    )
    .unwrap();
    let shown: Vec<String> = settings
        .trusted_proxies
        .iter()
        .map(|(a, p)| format!("{a}/{p}"))
        .collect();
    assert_eq!(shown, ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8", "::1/128"]);
    assert_eq!(settings.public_url.as_deref(), Some("https://x.org/share"));
    for bad in [
        "ftp://x",
        "x.org",
        "https://",
        "https:///x",
        "https://a b",
        "http://x?y",
        "http://u@x",
        "http://é",
    ] {
        assert!(read(&format!("public_url = \"{bad}\"")).is_err(), "{bad}");
    }
}

#[test]
fn an_unreadable_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    let missing = load(&path, &nothing()).unwrap_err().to_string();
    assert!(
        missing.contains("cannot be read") && missing.contains("m.toml"),
        "{missing}"
    );
    std::fs::write(&path, [b'#'; (64 << 10) + 1]).unwrap();
    let large = load(&path, &nothing()).unwrap_err().to_string();
    assert!(large.contains("larger than 64 KiB"), "{large}");
    std::fs::write(&path, "data_dir = \"/d\"").unwrap();
    assert_eq!(load(&path, &nothing()).unwrap().data_dir, Path::new("/d"));
}

#[test]
fn credentials_survive_their_file() {
    let key = crate::model::Token::parse("abcdefghij0123456789ABCDEFGHIJ");
    for api_key in [None, key] {
        let before = Credentials {
            user: "admin".to_owned(),
            password: zeroize::Zeroizing::new("quote \" and \\ and ü".to_owned()),
            recovery_phrase: api_key
                .as_ref()
                .map(|_| zeroize::Zeroizing::new("AB-CD".to_owned())),
            api_key,
        };
        let after = Credentials::from_toml(&before.to_toml()).unwrap();
        assert_eq!(after.user, before.user);
        assert_eq!(*after.password, *before.password);
        assert!(after.api_key == before.api_key);
        assert_eq!(after.recovery_phrase, before.recovery_phrase);
    }
    for bad in [
        "",
        "user = 1",
        "user = \"a\"\npassword = \"b\"\napi_key = \"!\"",
        "no toml",
    ] {
        assert!(Credentials::from_toml(bad).is_none(), "{bad}");
    }
}

#[test]
fn whatever_the_bytes_are_they_are_read_or_refused() {
    use proptest::prelude::*;
    let keys: Vec<&str> = KEYS
        .iter()
        .map(|k| k.name)
        .chain(TABLES.iter().copied())
        .collect();
    let values = "[-+0-9a-z\"'\\[\\]{},.:/#= @KMGTiB\u{e9}\n]{0,24}";
    let line = (prop::sample::select(keys), values).prop_map(|(k, v)| format!("{k} = {v}\n"));
    let headers = prop::sample::select(TABLES).prop_map(|t| format!("[{t}]\n"));
    let text = prop::collection::vec(prop_oneof![9 => line, 1 => headers], 0..12)
        .prop_map(|lines| lines.concat().into_bytes());
    let any = prop_oneof![3 => text, 1 => prop::collection::vec(any::<u8>(), 0..200)];
    proptest!(|(bytes in any, name in "MAYFLY_[A-Z_]{0,12}", value in "\\PC{0,20}")| {
        let environment = [(name, value)].into_iter().collect();
        match parse(&bytes, &environment) {
            Ok(settings) => assert_eq!(shown_again(&settings), settings),
            Err(problems) => {
                assert!(!problems.list.is_empty());
                let told = problems.to_string();
                assert!(told.lines().count() == problems.list.len() + 1, "{told}");
                assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told}");
            }
        }
    });
}

/// Settings from what the table shows of them.
fn shown_again(settings: &Settings) -> Settings {
    let lines = KEYS.iter().filter_map(|key| {
        let value = (key.show)(settings)?;
        Some(format!("{} = {value}\n", key.name))
    });
    read(&lines.collect::<String>()).unwrap()
}

#[test]
fn deep_and_long_files_are_refused_like_others() {
    let most = 64 << 10;
    for text in [
        format!("listen = {}", "[".repeat(most)),
        format!("listen = {}", "{a=".repeat(most / 3)),
        format!("{}a = 1", "a.".repeat(most / 2)),
        format!("[{}a]", "a.".repeat(most / 2)),
        "[a]\n".repeat(most / 4),
        "a\n".repeat(most / 2),
        (0..most / 10).map(|n| format!("k{n} = 1\n")).collect(),
    ] {
        let list = problems(&text);
        assert!(!list.is_empty());
    }
}
