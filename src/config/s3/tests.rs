//! Tests of the tables `[storage]` and `[s3]`: what is taken, what is refused, and that no secret shows.

use super::{DOWNLOADS_AT_ONCE, S3, StorageKind};
use crate::config::{Environment, Place, Problem, Settings, check, parse, reference};
use crate::service::Encryption;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Everything that leads to a bucket, with the secrets in the clear.
const WHOLE: &str = "
    [storage]
    kind = \"s3\"
    [s3]
    endpoint = \"https://s3.example.org\"
    bucket = \"files\"
    key_id = \"hunter2id\"
    secret = \"hunter2secret\"
";

fn read(text: &str) -> Result<Settings, Vec<Problem>> {
    parse(text.as_bytes(), &Environment::default()).map_err(|problems| problems.list)
}

fn only(text: &str) -> Problem {
    let list = read(text).expect_err("there is a problem");
    let [problem] = list.as_slice() else {
        panic!("{text}: {list:#?}");
    };
    problem.clone()
}

#[test]
fn a_bucket_needs_all_that_leads_to_it_and_says_so_at_once() {
    let settings = read(WHOLE).unwrap();
    assert_eq!(settings.storage, StorageKind::S3);
    let secret = settings.s3.secret.read().unwrap().unwrap();
    assert_eq!(*secret, "hunter2secret");
    assert!(settings.s3.token.read().unwrap().is_none());

    let list = read("[storage]\nkind = \"s3\"").unwrap_err();
    assert_eq!(list.len(), 4, "{list:#?}");
    for (problem, words) in list
        .iter()
        .zip(["endpoint", "bucket", "key_id_file", "secret_file"])
    {
        assert_eq!(
            (problem.key.as_str(), &problem.place),
            ("storage.kind", &Place::Line(2))
        );
        assert!(problem.remedy.contains(words), "{problem}");
    }
    // A server whose files go to the disk may still name a bucket: whole as well.
    for line in [
        "endpoint = \"https://s3.example.org\"",
        "bucket = \"files\"",
        "secret = \"x\"",
    ] {
        let list = read(&format!("[s3]\n{line}\n")).unwrap_err();
        assert_eq!(list.len(), 3, "{line}: {list:#?}");
        assert!(list.iter().all(|problem| problem.place == Place::Line(2)));
    }
    let kept = WHOLE.replace("kind = \"s3\"", "kind = \"disk\"");
    assert_eq!(read(&kept).unwrap().storage, StorageKind::Disk);
    // What only tunes it asks for nothing.
    read("[s3]\nregion = \"garage\"\nconcurrency = 2\nprefix = \"a\"").unwrap();
    // What is broken is not called missing as well.
    assert_eq!(only(&WHOLE.replace("https", "ftp")).key, "s3.endpoint");
}

#[test]
fn a_secret_is_in_one_place_and_in_no_message() {
    let both = format!("{WHOLE}secret_file = \"/etc/s\"\nkey_id_file = \"/etc/k\"\n");
    let list = read(&both).unwrap_err();
    assert_eq!(list.len(), 2, "{list:#?}");
    assert!(list[0].remedy.contains("key_id_file is there, too"));
    for text in [
        both,
        WHOLE.replace("hunter2secret", "hunter2 secret"),
        WHOLE.replace("\"hunter2secret\"", "[\"hunter2\"]"),
        WHOLE.replace("hunter2id", "hunter2\\nid"),
        format!("{WHOLE}secret = \"hunter2\"\n"),
    ] {
        let problems = parse(text.as_bytes(), &Environment::default()).unwrap_err();
        assert!(
            !format!("{problems} {problems:?}").contains("hunter2"),
            "{problems}"
        );
    }
    let settings = read(WHOLE).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let changes = read(&WHOLE.replace("hunter2secret", "other")).unwrap();
    let changes = settings.difference(&changes);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].key, changes[0].restart), ("s3.secret", true));
    assert!(!format!("{changes:?}").contains("hunter2"));
}

#[test]
fn only_a_local_server_is_spoken_to_without_tls() {
    for (given, taken) in [
        (
            "https://s3.eu-central-1.amazonaws.com",
            "https://s3.eu-central-1.amazonaws.com",
        ),
        (
            "https://S3.example.org:8443/",
            "https://s3.example.org:8443",
        ),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://192.168.1.7:9000", "http://192.168.1.7:9000"),
        ("http://100.100.1.1:9000", "http://100.100.1.1:9000"),
        ("http://[fd00::7]:9000", "http://[fd00::7]:9000"),
        ("http://[::1]", "http://[::1]"),
        ("http://minio:9000", "http://minio:9000"),
        ("http://nas.local", "http://nas.local"),
    ] {
        let settings = read(&WHOLE.replace("https://s3.example.org", given)).unwrap();
        assert_eq!(settings.s3.endpoint.as_deref(), Some(taken));
    }
    for (given, words) in [
        ("http://s3.example.org", "write https://"),
        ("http://8.8.8.8:9000", "write https://"),
        ("http://134744072", "write https://"),
        ("http://0x8080808:9000", "write https://"),
        ("http://100.128.0.1", "write https://"),
        ("http://[2001:db8::1]", "write https://"),
        ("https://s3.example.org/files", "leave the path out"),
        (
            "https://me:hunter2@s3.example.org",
            "leave user and password out",
        ),
        ("s3.example.org", "write the address of the server"),
        ("https://", "write the address of the server"),
        ("https://a b", "write the address of the server"),
        (
            "https://s3.example.org:0",
            "write the address of the server",
        ),
        ("https://s3.example.org:", "write the address of the server"),
        ("https://[::1", "write the address of the server"),
        (
            "https://s3.example.org?x",
            "write the address of the server",
        ),
    ] {
        let problem = only(&WHOLE.replace("https://s3.example.org", given));
        assert!(problem.remedy.contains(words), "{given}: {problem}");
        assert!(!problem.to_string().contains("hunter2"));
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let with = |line: &str| format!("{WHOLE}{line}\n");
    for (line, key) in [
        ("region = \"\"", "s3.region"),
        ("region = \"eu central\"", "s3.region"),
        ("prefix = \"/a\"", "s3.prefix"),
        ("prefix = \"a//b\"", "s3.prefix"),
        ("prefix = \"a/../b\"", "s3.prefix"),
        ("prefix = \"ä\"", "s3.prefix"),
        ("prefix = \"/\"", "s3.prefix"),
        ("concurrency = 0", "s3.concurrency"),
        ("concurrency = 17", "s3.concurrency"),
        ("ca_file = \"ca.pem\"", "s3.ca_file"),
    ] {
        assert_eq!(only(&with(line)).key, key, "{line}");
    }
    for bucket in ["", "ab", "-abc", "abc.", "a..b", "a/b", "a b c"] {
        let problem = only(&WHOLE.replace("\"files\"", &format!("{bucket:?}")));
        assert_eq!(problem.key, "s3.bucket", "{bucket}");
    }
    for (given, taken) in [("mayfly", "mayfly/"), ("a/b/", "a/b/"), ("", "")] {
        let settings = read(&with(&format!("prefix = {given:?}"))).unwrap();
        assert_eq!(settings.s3.prefix, taken);
    }
}

#[test]
fn settings_that_contradict_each_other_name_the_line_to_change() {
    let local = WHOLE.replace("https://s3.example.org", "http://127.0.0.1:9000");
    let problem = only(&format!("{local}ca_file = \"/etc/ca.pem\"\n"));
    assert_eq!(problem.key, "s3.ca_file");
    let inside = "https://files.s3.eu-central-1.amazonaws.com";
    let problem = only(&WHOLE.replace("https://s3.example.org", inside));
    assert!(
        problem
            .remedy
            .contains("\"https://s3.eu-central-1.amazonaws.com\""),
        "{problem}"
    );
    let problem = only(&format!("max_file_size = \"6 TiB\"\n{WHOLE}"));
    assert_eq!(problem.key, "max_file_size");
    let problem = only(
        &format!("{WHOLE}key_id_file = \"/k\"\n").replace("key_id =", "token_file = \"/k\"\n#"),
    );
    assert!(problem.remedy.contains("is the same file"), "{problem}");
}

/// A settings file with the two secrets in files of this mode.
fn in_files(home: &Path, mode: u32) -> std::path::PathBuf {
    let mut text = WHOLE.to_owned();
    for (name, content) in [("key_id", "hunter2id\n"), ("secret", "hunter2secret\r\n")] {
        let path = home.join(name);
        // One that its owner cannot write is written anew.
        let _absent = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let line = format!("{name} = \"{}\"", content.trim_end());
        text = text.replace(&line, &format!("{name}_file = \"{}\"", path.display()));
    }
    let path = home.join("m.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn secrets_come_from_files_that_nobody_else_reads() {
    let home = tempfile::tempdir().unwrap();
    let nothing = Environment::default();
    let report = check(&in_files(home.path(), 0o600), &nothing).unwrap();
    assert!(report.warnings.iter().all(|w| !w.key.starts_with("s3")));
    let s3 = &report.settings.s3;
    assert_eq!(**s3.key_id.read().unwrap().as_ref().unwrap(), "hunter2id");
    assert_eq!(
        **s3.secret.read().unwrap().as_ref().unwrap(),
        "hunter2secret"
    );

    let told = check(&in_files(home.path(), 0o640), &nothing).unwrap_err();
    assert_eq!(told.list.len(), 2, "{told}");
    assert!(
        told.to_string().contains("line 7: s3.key_id_file = "),
        "{told}"
    );
    assert_eq!(told.to_string().matches("chmod 600").count(), 2, "{told}");

    let path = in_files(home.path(), 0o600);
    fs::remove_file(home.path().join("secret")).unwrap();
    fs::write(home.path().join("key_id"), "two words").unwrap();
    let told = check(&path, &nothing).unwrap_err().to_string();
    assert!(
        told.contains("write the key alone") && !told.contains("two words"),
        "{told}"
    );
    assert!(
        told.contains("secret_file") && told.contains("there is no such file"),
        "{told}"
    );
}

#[test]
fn systemd_passes_the_secrets_that_no_setting_names() {
    let home = tempfile::tempdir().unwrap();
    let environment: Environment = [("CREDENTIALS_DIRECTORY", home.path())]
        .into_iter()
        .collect();
    let text = WHOLE.replace("key_id =", "#").replace("secret =", "#");
    let load = || parse(text.as_bytes(), &environment);
    assert_eq!(load().unwrap_err().list.len(), 2);
    for (name, content) in [
        ("id", "an-id"),
        ("secret", "a-secret"),
        ("token", "a-token"),
    ] {
        let name = if name == "id" { "key-id" } else { name };
        fs::write(home.path().join(format!("mayfly.s3-{name}")), content).unwrap();
    }
    let s3 = load().unwrap().s3;
    for (held, content) in [
        (&s3.key_id, "an-id"),
        (&s3.secret, "a-secret"),
        (&s3.token, "a-token"),
    ] {
        assert!(held.file.as_ref().unwrap().is_credential());
        assert_eq!(**held.read().unwrap().as_ref().unwrap(), content);
    }
    // Nobody asks for them where there is no bucket, and a setting goes before them.
    assert_eq!(parse(b"", &environment).unwrap().s3, S3::default());
    let s3 = parse(WHOLE.as_bytes(), &environment).unwrap().s3;
    assert_eq!(
        **s3.secret.read().unwrap().as_ref().unwrap(),
        "hunter2secret"
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("m.toml");
    let warnings = |text: &str, mode, environment: &Environment| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let report = check(&path, environment).unwrap();
        let of_s3 = report
            .warnings
            .into_iter()
            .filter(|w| w.key.starts_with("s3."));
        of_s3.map(|w| w.to_string()).collect::<Vec<_>>()
    };
    let nothing = Environment::default();
    let told = warnings(WHOLE, 0o600, &nothing);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("line 7: s3.key_id: it stands in the clear"),
        "{told:?}"
    );
    assert!(
        told[0].contains("every copy") && told[1].contains("as secret_file"),
        "{told:?}"
    );
    let told = warnings(WHOLE, 0o644, &nothing);
    assert!(told[0].contains("others can read this file"), "{told:?}");
    let variables = [
        ("MAYFLY_S3_KEY_ID", "hunter2"),
        ("MAYFLY_S3_SECRET", "hunter2"),
    ];
    let text = WHOLE.replace("key_id =", "#").replace("secret =", "#");
    let told = warnings(&text, 0o600, &variables.into_iter().collect());
    assert!(
        told[0].contains("MAYFLY_S3_KEY_ID: it stands in the clear, and an environment"),
        "{told:?}"
    );
    assert!(!told.concat().contains("hunter2"), "{told:?}");

    let open = format!("encryption = \"none\"\n{WHOLE}");
    for (endpoint, warned) in [("http://nas.local", 3), ("http://127.0.0.1:9000", 2)] {
        let text = open.replace("https://s3.example.org", endpoint);
        assert_eq!(read(&text).unwrap().encryption, Encryption::None);
        assert_eq!(warnings(&text, 0o600, &nothing).len(), warned, "{endpoint}");
        let with_token = format!("{text}token = \"a-token\"\n");
        let told = warnings(&with_token, 0o600, &nothing).concat();
        let is_open = endpoint == "http://nas.local";
        assert_eq!(told.contains("session token travels"), is_open, "{told}");
    }
    let dotted = WHOLE.replace("\"files\"", "\"my.files\"\npath_style = false");
    let told = warnings(&dotted, 0o600, &nothing).concat();
    assert!(told.contains("no certificate covers"), "{told}");
}

#[test]
fn redirects_that_do_nothing_or_lead_where_nobody_comes_are_warned_of() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("m.toml");
    fs::write(home.path().join("ca"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let warning = |text: &str| {
        fs::write(&path, text).unwrap();
        let report = check(&path, &Environment::default()).unwrap();
        let warnings = report.warnings.into_iter();
        let mut of_it = warnings.filter(|w| w.key == "s3.downloads");
        (of_it.next().map(|w| w.remedy), of_it.count())
    };
    let redirected = format!("{WHOLE}downloads = \"redirected\"\n");
    let plain = format!("encryption = \"none\"\n{redirected}");
    let at = |endpoint| plain.replace("https://s3.example.org", endpoint);
    assert_eq!(warning(WHOLE), (None, 0));
    assert_eq!(warning(&plain), (None, 0));
    let ca = format!("{plain}ca_file = \"{}/ca\"\n", home.path().display());
    for (text, words) in [
        (&redirected, "no effect on sealed files"),
        (
            &"[s3]\ndownloads = \"redirected\"\n".to_owned(),
            "without a bucket",
        ),
        (&at("http://127.0.0.1:9000"), "on this one"),
        (&at("http://nas.local"), "outside of the local network"),
        (
            &at("https://192.168.1.7:9000"),
            "outside of the local network",
        ),
        (&ca, "certificates of ca_file"),
    ] {
        let (told, more) = warning(text);
        assert!(
            told.as_ref().is_some_and(|t| t.contains(words)),
            "{words}: {told:?}"
        );
        assert_eq!(more, 0);
    }
}

#[test]
fn a_certificate_file_has_certificates() {
    let home = tempfile::tempdir().unwrap();
    let (path, ca) = (home.path().join("m.toml"), home.path().join("ca.pem"));
    fs::write(&path, format!("{WHOLE}ca_file = \"{}\"\n", ca.display())).unwrap();
    let told = || {
        check(&path, &Environment::default())
            .map(drop)
            .map_err(|e| e.to_string())
    };
    assert!(
        told().unwrap_err().contains("s3.ca_file = "),
        "it is not there"
    );
    fs::write(&ca, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    assert!(
        told()
            .unwrap_err()
            .contains("there is no certificate in it")
    );
    fs::write(&ca, "text\n-----BEGIN CERTIFICATE-----\n").unwrap();
    told().unwrap();
}

#[test]
fn with_a_bucket_fewer_downloads_go_at_once_unless_somebody_says_how_many() {
    let at_once = |text: &str| read(text).unwrap().limits.downloads;
    assert_eq!(at_once(""), 512);
    assert_eq!(at_once(WHOLE), DOWNLOADS_AT_ONCE);
    assert_eq!(at_once(&format!("{WHOLE}[limits]\ndownloads = 500\n")), 500);
    let all = reference();
    let help = all.iter().find(|row| row.key == "limits.downloads");
    let said = format!("512, or {DOWNLOADS_AT_ONCE} with a bucket");
    assert!(help.unwrap().help.contains(&said));
}
