//! Tests of the settings: the example file, every reader, every problem.

use super::file::{File, KEYS, LIMIT_KEYS};
use super::resolve::resolve;
use super::*;
use std::path::Path;

const EXAMPLE: &str = include_str!("../../config/mayfly.toml");

fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    let file: File = toml::from_str(text).unwrap();
    resolve(file, Path::new("/etc/mayfly"))
}

fn problems(text: &str) -> Vec<Problem> {
    read(text).expect_err("there is a problem")
}

/// Everything but the data directory, which has no meaning without a file.
fn shown(settings: &Settings) -> String {
    format!("{settings:#?}")
}

#[test]
fn the_example_says_the_defaults() {
    let defaults = Settings::in_directory("/var/lib/mayfly".into());
    assert_eq!(shown(&read(EXAMPLE).unwrap()), shown(&defaults));
    assert_eq!(shown(&read("").unwrap()), shown(&defaults));
}

#[test]
fn the_example_shows_every_setting_and_its_optional_lines_are_valid() {
    let shows = |key: &&&str| {
        EXAMPLE.lines().any(|line| {
            let line = line.trim_start_matches('#');
            line.starts_with(&format!("{key} =")) || line == format!("[{key}]")
        })
    };
    let missing: Vec<_> = KEYS
        .iter()
        .chain(LIMIT_KEYS)
        .filter(|k| !shows(k))
        .collect();
    assert!(missing.is_empty(), "not in config/mayfly.toml: {missing:?}");

    let optional = EXAMPLE.replace("\n#public_url", "\npublic_url");
    let optional = optional.replace("\n#credentials_file", "\ncredentials_file");
    let optional = optional.replace("\n#master_key_file", "\nmaster_key_file");
    let optional = optional.replace("encryption = \"link\"", "encryption = \"server\"");
    let settings = read(&optional).unwrap();
    assert_eq!(
        settings.public_url.as_deref(),
        Some("https://files.example.org")
    );
    assert_eq!(
        settings.master_key_file,
        Some("/etc/mayfly/master.key".into())
    );
    assert_eq!(settings.encryption, Encryption::Server);
}

#[test]
fn every_known_key_is_read_and_none_is_forgotten() {
    let all = KEYS.iter().map(|key| match *key {
        "limits" => String::new(),
        key => format!("{key} = {{}}\n"),
    });
    let limits = LIMIT_KEYS.iter().map(|key| format!("{key} = {{}}\n"));
    let text = all.collect::<String>() + "[limits]\n" + &limits.collect::<String>();
    let mut told: Vec<String> = problems(&text).into_iter().map(|p| p.key).collect();
    told.sort();
    let mut keys: Vec<String> = KEYS.iter().map(|k| (*k).to_owned()).collect();
    keys.retain(|k| k != "limits");
    keys.extend(LIMIT_KEYS.iter().map(|k| format!("limits.{k}")));
    keys.sort();
    assert_eq!(
        told, keys,
        "each key with a table for a value is one problem"
    );
}

#[test]
fn all_problems_come_at_once_with_key_value_and_remedy() {
    let text = r#"
        listen = "localhost"
        max_file_size = "5 bananas"
        trusted_proxies = ["10.0.0.0/33"]
        data_dirr = "/srv"
        wholly_unheard_of = 1
        [limits]
        idle = 0
        conections = 3
    "#;
    let list = problems(text);
    let expected = [
        ("listen", "\"localhost\"", "such as \"127.0.0.1:53842\""),
        (
            "trusted_proxies",
            "[\"10.0.0.0/33\"]",
            "\"10.0.0.0/33\" is neither",
        ),
        ("max_file_size", "\"5 bananas\"", "\"5 GiB\""),
        ("data_dirr", "", "did you mean data_dir?"),
        ("wholly_unheard_of", "", "remove it"),
        ("limits.idle", "0", "\"10 min\""),
        ("limits.conections", "", "did you mean connections?"),
    ];
    assert_eq!(list.len(), expected.len(), "{list:#?}");
    for (key, value, remedy) in expected {
        let found = list.iter().find(|p| p.key == key && p.value == value);
        let found = found.unwrap_or_else(|| panic!("{key} is not in {list:#?}"));
        assert!(found.remedy.contains(remedy), "{}", found.remedy);
    }
    let told = Problems {
        path: "m.toml".into(),
        list,
    }
    .to_string();
    assert!(told.starts_with("7 problems in m.toml\n  listen = \"localhost\": write an address"));
}

#[test]
fn sizes_and_times_take_numbers_and_units() {
    let size = |text: &str| read(&format!("max_file_size = {text}")).map(|s| s.max_file_size);
    for (text, bytes) in [
        ("1", 1),
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
fn relative_paths_start_at_the_file() {
    let settings = read("data_dir = \"data\"").unwrap();
    assert_eq!(settings.data_dir, Path::new("/etc/mayfly/data"));
    assert_eq!(
        settings.credentials_file,
        Path::new("/etc/mayfly/data/first-credentials.toml")
    );
}

#[test]
fn the_master_key_goes_with_its_mode_and_not_into_the_data() {
    let server = "encryption = \"server\"\ndata_dir = \"/data\"\n";
    assert!(problems(server)[0].remedy.contains("needs it"));
    assert!(
        problems("master_key_file = \"/k\"")[0]
            .remedy
            .contains("only encryption")
    );
    let inside = format!("{server}master_key_file = \"/data/k\"");
    assert!(problems(&inside)[0].remedy.contains("outside"));
    assert!(read(&format!("{server}master_key_file = \"/k\"")).is_ok());
}

#[test]
fn an_unreadable_file_and_broken_toml_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    let missing = load(&path).unwrap_err().to_string();
    assert!(
        missing.contains("cannot be read") && missing.contains("m.toml"),
        "{missing}"
    );
    std::fs::write(&path, "listen = \"127.0.0.1:1\"\nlisten = 2\n").unwrap();
    let broken = load(&path).unwrap_err().to_string();
    assert!(
        broken.contains("not valid TOML") && broken.contains("line 2"),
        "{broken}"
    );
    std::fs::write(&path, "data_dir = \"d\"").unwrap();
    assert_eq!(load(&path).unwrap().data_dir, directory.path().join("d"));
}

#[test]
fn credentials_survive_their_file() {
    let key = crate::model::Token::parse("abcdefghij0123456789ABCDEFGHIJ");
    for api_key in [None, key] {
        let before = Credentials {
            user: "admin".to_owned(),
            password: zeroize::Zeroizing::new("quote \" and \\ and ü".to_owned()),
            api_key,
        };
        let after = Credentials::from_toml(&before.to_toml()).unwrap();
        assert_eq!(after.user, before.user);
        assert_eq!(*after.password, *before.password);
        assert!(after.api_key == before.api_key);
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
