//! The questions about a bucket, with buckets that want another region, style or certificate.

use super::*;
use crate::app::{Mend, Outcome, Trouble};
use crate::config::{Downloads, StorageKind};

const SECRET: &str = "hunter2/secret+key";
const TOKEN: &str = "hunter2/token==";

/// What trying out says: each bucket has a trouble of its own.
pub(super) fn tried(settings: &Settings) -> Vec<Finding> {
    let s3 = &settings.s3;
    let secret = s3.secret.read().unwrap().unwrap();
    let token = s3.token.read().unwrap();
    let token = token.as_ref().map(|token| token.as_str());
    let fails = |sentence: &str, mend| {
        Outcome::Fails(Trouble {
            sentence: sentence.to_owned(),
            mend,
            may_pass: false,
        })
    };
    let outcome = match s3.bucket.as_deref().unwrap() {
        _ if *secret != SECRET => fails("the secret does not belong to the key id", None),
        "regional" if s3.region != "eu-west-1" => fails(
            "the region is another one",
            Some(Mend::Region("eu-west-1".to_owned())),
        ),
        "styled" if s3.path_style => {
            fails("the style is another one", Some(Mend::PathStyle(false)))
        }
        "tokened" if token != Some(TOKEN) => fails("the token has ended", Some(Mend::Token)),
        "own" if s3.ca_file.is_none() => fails("it is not trusted", Some(Mend::CaFile)),
        "stubborn" => fails(
            "the region is another one",
            Some(Mend::Region("moon".to_owned())),
        ),
        "away" => fails(
            "nobody is there, and this sentence is so long that it does not fit into one line of eighty columns",
            None,
        ),
        "versioned" => Outcome::Remark("the bucket keeps versions".to_owned()),
        _ => Outcome::Works,
    };
    vec![Finding {
        tried: "reach",
        outcome,
    }]
}

/// A dialogue whose answer to the question for a directory is `s3` and these.
fn with_bucket(answers: &[&'static str]) -> (Script, Answers) {
    let mut all = vec![PASSWORD, PASSWORD, "s3"];
    all.extend(answers);
    all.extend(["", "", "", "", ""]);
    agreed(&all)
}

#[test]
fn a_bucket_is_asked_for_tried_out_and_written_without_its_secret() {
    let (script, answers) = with_bucket(&[
        "https://s3.eu-central-1.amazonaws.com/",
        "",
        "files",
        "",
        "an-id",
        SECRET,
        "/srv/mayfly",
    ]);
    assert!(script.said.contains("[eu-central-1]"), "{}", script.said);
    assert!(script.said.contains("It works."), "{}", script.said);
    assert!(!script.said.contains("hunter2"), "{}", script.said);
    let settings = answers.settings().unwrap();
    assert_eq!(settings.storage, StorageKind::S3);
    assert_eq!(settings.data_dir, Path::new("/srv/mayfly"));
    let text = answers.to_toml();
    for line in [
        "[storage]",
        "kind = \"s3\"",
        "[s3]",
        "endpoint = \"https://s3.eu-central-1.amazonaws.com/\"",
        "region = \"eu-central-1\"",
        "bucket = \"files\"",
        "key_id_file = \"/etc/mayfly/test.s3-key-id\"",
        "secret_file = \"/etc/mayfly/test.s3-secret\"",
    ] {
        assert_eq!(
            text.lines().filter(|l| *l == line).count(),
            1,
            "{line}:\n{text}"
        );
    }
    assert!(!text.contains("hunter2"), "{text}");
    let read = crate::config::parse(text.as_bytes(), &Environment::default()).unwrap();
    assert_eq!(read, settings);
}

#[test]
fn how_files_come_from_a_bucket_is_asked_where_they_are_not_sealed() {
    let bucket = ["https://s3.lan", "", "files", "", "id", SECRET, ""];
    let (script, answers) = with_bucket(&bucket);
    assert!(!script.said.contains("straight from the bucket"));
    assert!(!answers.to_toml().contains("downloads = \""));

    let mut all = vec![PASSWORD, PASSWORD, "s3"];
    all.extend(bucket);
    all.extend(["", "", "", "none", "redirected"]);
    let (script, answers) = agreed(&[&all[..], &[""]].concat());
    assert!(script.said.contains("straight from the bucket"));
    assert!(script.said.lines().all(|line| line.chars().count() <= 77));
    let settings = answers.settings().unwrap();
    assert_eq!(settings.s3.downloads, Downloads::Redirected);
    assert!(answers.to_toml().contains("\ndownloads = \"redirected\"\n"));

    let (_, answers) = agreed(&[&all[..], &["Files of the bucket", "proxied", ""]].concat());
    assert_eq!(answers.settings().unwrap().s3.downloads, Downloads::Proxied);
    // Neither sealed files nor those in a directory come from there.
    for change in [["Encryption", "link"], ["Directory", "/data"]] {
        let (_, answers) = agreed(&[&all[..], &change, &[""]].concat());
        assert!(!answers.to_toml().contains("redirected"), "{change:?}");
    }
    let mut late = vec![PASSWORD, PASSWORD, "/data", "", "", "", "none"];
    late.extend(["Directory", "s3"]);
    late.extend(bucket);
    late.extend(["redirected", ""]);
    let (_, answers) = agreed(&late);
    assert_eq!(
        answers.settings().unwrap().s3.downloads,
        Downloads::Redirected
    );
}

#[test]
fn what_is_said_about_a_bucket_fits_into_eighty_columns() {
    let (script, _) = with_bucket(&["https://s3.lan", "", "away", "", "id", SECRET, "Go on", ""]);
    for line in script.said.lines() {
        assert!(line.chars().count() <= 77, "{line}");
    }
    assert!(
        script.said.contains("It does not work: nobody is there"),
        "{}",
        script.said
    );
    let (script, _) = with_bucket(&["https://s3.lan", "", "versioned", "", "id", SECRET, ""]);
    assert!(
        script.said.contains("Note: the bucket keeps versions."),
        "{}",
        script.said
    );
}

#[test]
fn another_region_or_style_is_taken_over_and_a_certificate_asked_for() {
    let aws = "https://s3.us-east-1.amazonaws.com";
    let (script, answers) = with_bucket(&[aws, "", "regional", "", "id", SECRET, ""]);
    assert!(
        script.said.contains("region eu-west-1: taken"),
        "{}",
        script.said
    );
    let s3 = answers.settings().unwrap().s3;
    assert_eq!(s3.region, "eu-west-1");
    assert_eq!(
        s3.endpoint.as_deref(),
        Some("https://s3.eu-west-1.amazonaws.com")
    );

    let (_, answers) = with_bucket(&[aws, "", "styled", "", "id", SECRET, ""]);
    assert!(!answers.settings().unwrap().s3.path_style);

    let answers = [
        "https://s3.lan",
        "",
        "own",
        "",
        "id",
        SECRET,
        "/etc/ca.pem",
        "",
    ];
    let (_, answers) = with_bucket(&answers);
    let ca_file = answers.settings().unwrap().s3.ca_file;
    assert_eq!(ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));

    // What does not help once is not tried for ever.
    let (script, _) = with_bucket(&[aws, "", "stubborn", "", "id", SECRET, "Go on", ""]);
    assert_eq!(
        script.said.matches("Trying it out").count(),
        2,
        "{}",
        script.said
    );
}

#[test]
fn a_prefix_may_be_given_changed_and_left_out() {
    let with = |prefix: &'static str, more: &[&'static str]| {
        let bucket = ["https://s3.lan", "", "files", prefix, "id", SECRET, ""];
        let mut all = vec![PASSWORD, PASSWORD, "s3"];
        all.extend(bucket);
        all.extend(["", "", "", ""]);
        all.extend(more);
        agreed(&all)
    };
    let (script, answers) = with("some/mayfly", &[""]);
    assert!(script.said.contains("(-: none) [-]"), "{}", script.said);
    let shown = "- Directory, and bucket /var/lib/mayfly (files/some/mayfly/)";
    assert!(script.said.contains(shown), "{}", script.said);
    assert_eq!(answers.settings().unwrap().s3.prefix, "some/mayfly/");
    assert!(answers.to_toml().contains("\nprefix = \"some/mayfly\"\n"));

    let change = |prefix| ["Directory", "", "", "", "", prefix, "", "", "", ""];
    for (typed, meant) in [("", "a/"), ("b/", "b/"), ("-", "")] {
        let (script, answers) = with("a/", &change(typed));
        assert!(script.said.contains("(-: none) [a/]"), "{}", script.said);
        assert_eq!(answers.settings().unwrap().s3.prefix, meant);
    }
    let (_, answers) = with("-", &[""]);
    assert!(!answers.to_toml().contains("prefix"));
}

#[test]
fn a_token_is_asked_for_with_a_temporary_key_or_where_the_server_wants_one() {
    const ID: &str = "ASIA1234EXAMPLE";
    let lan = "https://s3.lan";
    let token_of = |answers: &Answers| {
        let token = answers.settings_with_secrets().unwrap().s3.token.read();
        token.unwrap().map(|token| token.to_string())
    };
    let (script, answers) = with_bucket(&[lan, "", "files", "", "AKIA", SECRET, ""]);
    assert!(!script.said.contains("oken"), "{}", script.said);
    assert_eq!(token_of(&answers), None);

    let temporary = [lan, "", "tokened", "", ID, SECRET, "two words", TOKEN, ""];
    let (script, answers) = with_bucket(&temporary);
    assert_eq!(script.said.matches("Trying it out").count(), 1);
    assert!(
        script
            .said
            .contains("- Access to the bucket  session token")
    );
    assert!(!script.said.contains("hunter2"), "{}", script.said);
    assert_eq!(token_of(&answers).as_deref(), Some(TOKEN));
    let text = answers.to_toml();
    assert!(text.contains("token_file = \"/etc/mayfly/test.s3-token\"") && !text.contains(TOKEN));
    assert_eq!(answers.secret_files().count(), 3);

    // Of servers whose temporary keys look like others, and of one that has ended.
    let wanted = [lan, "", "tokened", "", "id", SECRET, TOKEN, ""];
    let (script, answers) = with_bucket(&wanted);
    assert!(script.said.contains("The server wants the session token"));
    assert_eq!(token_of(&answers).as_deref(), Some(TOKEN));
    let (_, answers) = with_bucket(&[lan, "", "tokened", "", ID, SECRET, "old", TOKEN, ""]);
    assert_eq!(token_of(&answers).as_deref(), Some(TOKEN));

    // Without one, the trouble is told; trying again asks again.
    let none = [lan, "", "tokened", "", ID, SECRET, "", "", "Try again"];
    let (script, answers) = with_bucket(&[&none[..], &["wrong", "Try again", TOKEN, ""]].concat());
    assert_eq!(script.said.matches("It does not work").count(), 2);
    assert_eq!(token_of(&answers).as_deref(), Some(TOKEN));
}

#[test]
fn token_and_certificate_can_be_changed_and_go_with_what_they_belong_to() {
    let lan = "https://s3.lan";
    let with = |change: &[&'static str]| {
        let mut all = vec![
            PASSWORD, PASSWORD, "s3", lan, "", "own", "", "ASIA1", SECRET,
        ];
        all.extend([TOKEN, "/etc/ca.pem", "", "", "", "", ""]);
        all.push("Access");
        all.extend(change);
        all.push("");
        let (script, answers) = agreed(&all);
        let row = "- Access to the bucket  session token, certificate /etc/ca.pem";
        assert!(script.said.contains(row), "{}", script.said);
        let settings = answers.settings_with_secrets().unwrap();
        let token = settings.s3.token.read().unwrap();
        (token.map(|t| t.to_string()), settings.s3.ca_file)
    };
    let ca = |path: &str| Some(PathBuf::from(path));
    let kept = with(&["", "", "", "", "", "", "", ""]);
    assert_eq!(kept, (Some(TOKEN.to_owned()), ca("/etc/ca.pem")));
    let changed = with(&["", "relative", "/etc/b.pem", "", "", "", "", "", "new"]);
    assert_eq!(changed, (Some("new".to_owned()), ca("/etc/b.pem")));
    // Another bucket, with a certificate that everybody trusts.
    let gone = with(&["", "-", "", "files", "", "", "", "-"]);
    assert_eq!(gone, (None, None));
    // A permanent key has no token; there are no certificates without TLS.
    let other = with(&["http://127.0.0.1:9", "", "files", "", "AKIA", ""]);
    assert_eq!(other, (None, None));
    // None at all.
    let left = with(&["", "", "", "away", "", "", "", "", "No bucket", "/data"]);
    assert_eq!(left, (None, None));
}

#[test]
fn a_bucket_that_does_not_work_can_be_changed_tried_again_kept_or_left() {
    let (script, answers) = with_bucket(&[
        "http://s3.example.org",
        "https://s3.lan",
        "",
        "no bucket",
        "files",
        "a//b",
        "",
        "two words",
        "id",
        "",
        "wrong",
        "Try again",
        "Change",
        "",
        "",
        "",
        "",
        "",
        SECRET,
        "",
    ]);
    assert_eq!(
        script.said.matches("Not taken").count(),
        5,
        "{}",
        script.said
    );
    assert_eq!(
        script.said.matches("Trying it out").count(),
        3,
        "{}",
        script.said
    );
    assert!(script.said.contains("[files]") && script.said.contains("Enter: as before"));
    assert_eq!(
        answers.settings().unwrap().s3.bucket.as_deref(),
        Some("files")
    );

    let (_, answers) = with_bucket(&[
        "https://s3.lan",
        "",
        "away",
        "",
        "id",
        SECRET,
        "No bucket",
        "/data",
    ]);
    let settings = answers.settings().unwrap();
    assert_eq!(
        (settings.storage, settings.data_dir.as_path()),
        (StorageKind::Disk, Path::new("/data"))
    );
    assert_eq!(settings.s3, crate::config::S3::default());
    assert!(!answers.to_toml().contains("s3"));
    assert_eq!(answers.secret_files().count(), 0);
}

#[test]
fn a_bucket_can_be_given_up_at_the_last_look() {
    let mut all = vec![
        PASSWORD,
        PASSWORD,
        "s3",
        "https://s3.lan",
        "",
        "files",
        "",
        "id",
        SECRET,
        "",
    ];
    all.extend(["", "", "", "", "Directory", "/data", ""]);
    let (script, answers) = agreed(&all);
    assert!(
        script
            .said
            .contains("- Directory, and bucket /var/lib/mayfly (files)"),
        "{}",
        script.said
    );
    assert!(
        script.said.contains("(s3: files in a bucket) [s3]"),
        "{}",
        script.said
    );
    assert_eq!(answers.settings().unwrap().storage, StorageKind::Disk);
}

/// Answers with a bucket, for settings in a place of their own.
fn bucket_place() -> (TempDir, PathBuf, Answers) {
    let (home, config, mut answers) = place(&[]);
    for (key, value) in [
        ("storage.kind", "s3"),
        ("s3.endpoint", "http://127.0.0.1:9"),
        ("s3.bucket", "files"),
    ] {
        answers.put(key, toml::Value::String(value.to_owned()));
    }
    for (key, text) in [("s3.key_id_file", "an-id"), ("s3.secret_file", SECRET)] {
        answers
            .set_secret(key, Zeroizing::new(text.to_owned()))
            .unwrap();
    }
    (home, config, answers)
}

#[test]
fn secrets_are_written_for_the_owner_alone_beside_settings_that_name_them() {
    let (_home, config, answers) = bucket_place();
    let secret = config.with_file_name("mayfly.s3-secret");
    // What an attempt left behind is taken.
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let written = written(&answers, &config).unwrap();
    assert_eq!(
        std::fs::read_to_string(&secret).unwrap(),
        format!("{SECRET}\n")
    );
    for path in [&secret, &config.with_file_name("mayfly.s3-key-id")] {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let settings = load(&config, &Environment::default()).unwrap();
    assert_eq!(
        **settings.s3.secret.read().unwrap().as_ref().unwrap(),
        SECRET
    );
    let mut out = Vec::new();
    written.tell(&mut out, false).unwrap();
    let told = String::from_utf8(out).unwrap();
    assert!(
        told.contains(&secret.display().to_string()) && !told.contains("hunter2"),
        "{told}"
    );
}

#[test]
fn a_secret_that_is_there_is_never_lost() {
    for (there, is_taken) in [
        ("another\n".to_owned(), false),
        (format!("{SECRET}\n"), true),
    ] {
        let (_home, config, answers) = bucket_place();
        let secret = config.with_file_name("mayfly.s3-secret");
        std::fs::create_dir_all(config.parent().unwrap()).unwrap();
        std::fs::write(&secret, &there).unwrap();
        let settings = config.clone();
        let faster = move || {
            std::fs::write(&settings, "# mine\n").unwrap();
            None
        };
        let clock = Arc::new(SystemClock::new());
        let error = write(&answers, &config, clock, &faster).err().unwrap();
        let is_late = matches!(error, SetupError::Exists { .. });
        assert_eq!(is_late, is_taken, "{error}");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), there);
    }
}

#[test]
fn what_the_service_cannot_read_is_copied_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let named = |name: &str, text: &str, mode| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        toml::Value::String(path.display().to_string())
    };
    let mut answers = Answers::new(Path::new(crate::config::CONFIG_FILE));
    answers.put("s3.key_id_file", named("id", "an-id\n", 0o600));
    answers.put("s3.secret_file", named("secret", SECRET, 0o600));
    answers.settle_for_service().unwrap();
    let text = answers.to_toml();
    assert!(!text.contains("secret_file ="), "{text}");
    let files: Vec<_> = answers.secret_files().collect();
    assert_eq!(**files[1].1, *SECRET);
    assert!(files[1].0.starts_with("/etc/credstore"));
    // Nobody else gets into this directory.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    answers.put("s3.ca_file", named("ca", "", 0o644));
    let refused = answers.settle_for_service().unwrap_err();
    assert!(refused.contains("copy it to /etc/mayfly"), "{refused}");
    let open = toml::Value::String("/etc/passwd".to_owned());
    answers.put("s3.ca_file", open);
    answers.settle_for_service().unwrap();
    // Elsewhere the server runs as whoever sets it up.
    let mut answers = Answers::new(&home.path().join("mayfly.toml"));
    answers.put("s3.ca_file", named("ca", "", 0o600));
    answers.settle_for_service().unwrap();
}

#[test]
fn what_fails_takes_the_secrets_back() {
    let (home, config, answers) = bucket_place();
    let clock = || Arc::new(SystemClock::new());
    assert!(write(&answers, &config, clock(), &|| Some(130)).is_err());
    assert_eq!(left(&home), Vec::<PathBuf>::new());
    // Somebody else was faster with the settings.
    let settings = config.clone();
    let faster = move || {
        std::fs::write(&settings, "# mine\n").unwrap();
        None
    };
    assert!(matches!(
        write(&answers, &config, clock(), &faster),
        Err(SetupError::Exists { .. })
    ));
    assert_eq!(std::fs::read(&config).unwrap(), b"# mine\n");
    let files = left(&home).into_iter().filter(|path| path.is_file());
    assert_eq!(files.collect::<Vec<_>>(), [config]);
}

#[test]
fn the_service_gets_its_access_key_from_systemd() {
    let mut answers = Answers::new(Path::new(crate::config::CONFIG_FILE));
    for (key, value) in [
        ("storage.kind", "s3"),
        ("s3.endpoint", "https://s3.lan"),
        ("s3.bucket", "files"),
    ] {
        answers.put(key, toml::Value::String(value.to_owned()));
    }
    for key in ["s3.key_id_file", "s3.secret_file"] {
        answers
            .set_secret(key, Zeroizing::new(SECRET.to_owned()))
            .unwrap();
    }
    let text = answers.to_toml();
    assert!(
        !text.contains("secret_file") && !text.contains("hunter2"),
        "{text}"
    );
    let files: Vec<_> = answers.secret_files().map(|(path, _)| path).collect();
    assert_eq!(
        files,
        [
            "/etc/credstore/mayfly.s3-key-id",
            "/etc/credstore/mayfly.s3-secret"
        ]
        .map(PathBuf::from)
    );
    let credentials = tempfile::tempdir().unwrap();
    for name in ["mayfly.s3-key-id", "mayfly.s3-secret"] {
        std::fs::write(credentials.path().join(name), SECRET).unwrap();
    }
    let environment: Environment = [("CREDENTIALS_DIRECTORY", credentials.path())]
        .into_iter()
        .collect();
    let settings = crate::config::parse(text.as_bytes(), &environment).unwrap();
    assert!(settings.s3.secret.file.unwrap().is_credential());
}

const ANSWERS: &str = "admin_password_file = \"HOME/password\"\ndata_dir = \"HOME/data\"\n\
    MORE[storage]\nkind = \"s3\"\n[s3]\nendpoint = \"https://s3.lan\"\nbucket = \"BUCKET\"\n\
    key_id = \"an-id\"\nsecret = \"hunter2/secret+key\"\n";

#[test]
fn an_answers_file_has_the_bucket_in_the_tables_of_the_settings() {
    let text = ANSWERS.replace("MORE", "");
    let answers = answered(&text, 0o600).unwrap();
    let settings = answers.settings_with_secrets().unwrap();
    assert_eq!(
        **settings.s3.secret.read().unwrap().as_ref().unwrap(),
        SECRET
    );
    assert_eq!(answers.secret_files().count(), 2);
    let more = "token = \"hunter2/token==\"\nprefix = \"a\"\nca_file = \"/etc/ca.pem\"\n";
    let answers = answered(&format!("{text}{more}"), 0o600).unwrap();
    assert_eq!(answers.secret_files().count(), 3);
    let s3 = answers.settings_with_secrets().unwrap().s3;
    assert_eq!(**s3.token.read().unwrap().as_ref().unwrap(), *TOKEN);
    assert_eq!(
        (s3.prefix.as_str(), s3.ca_file),
        ("a/", Some("/etc/ca.pem".into()))
    );
    for (text, mode, told) in [
        (
            text.clone(),
            0o644,
            "s3.secret: it is a secret, and of this file: others may read",
        ),
        (
            format!("{text}secret_file = \"/etc/s\"\n"),
            0o600,
            "s3.secret: secret_file is there, too",
        ),
        (
            text.replace("\"an-id\"", "7"),
            0o600,
            "s3.key_id: write a text in quotes",
        ),
        (
            text.replace("an-id", "an id"),
            0o600,
            "s3.key_id: there are spaces",
        ),
        (
            text.replace("https", "ftp"),
            0o600,
            "s3.endpoint = \"ftp://s3.lan\": write the address",
        ),
        (
            format!("{text}prefix = \"a//b\"\n"),
            0o600,
            "s3.prefix = \"a//b\": write letters",
        ),
        (
            format!("{text}token = \"two words\"\n"),
            0o600,
            "s3.token: there are spaces",
        ),
        (
            text.replace("bucket =", "bukket ="),
            0o600,
            "s3.bukket: there is no such answer",
        ),
        (
            text.replace("[storage]", "check_bucket = 1\n[storage]"),
            0o600,
            "check_bucket: write true or false",
        ),
        (
            "storage = 1\n".to_owned() + &text.replace("[storage]\nkind = \"s3\"\n", ""),
            0o600,
            "storage: there is no such answer",
        ),
    ] {
        let problems = answered(&text, mode).err().unwrap();
        assert!(problems.contains(told), "{told}:\n{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn an_answers_file_is_refused_when_its_bucket_does_not_work() {
    let attempt = |bucket: &str, more: &str| {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("password"), PASSWORD).unwrap();
        let text = ANSWERS
            .replace("HOME", home.path().to_str().unwrap())
            .replace("BUCKET", bucket)
            .replace("MORE", more);
        let path = home.path().join("answers.toml");
        std::fs::write(&path, text).unwrap();
        for path in [&path, &home.path().join("password")] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
        }
        let answers = answers_file::read_and_try(&path, Path::new(CONFIG), &Machine);
        answers.map(drop).map_err(|e| e.to_string())
    };
    attempt("files", "").unwrap();
    let told = attempt("away", "").unwrap_err();
    assert!(
        told.contains("nobody is there") && told.contains("check_bucket = false"),
        "{told}"
    );
    attempt("away", "check_bucket = false\n").unwrap();
}
