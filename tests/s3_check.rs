//! Trying a bucket out: against a real server as it should be, and with everything that people get wrong.
//! What the real server never says, a small one says that has prepared answers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::{Clock, SystemClock, Timestamp};
use mayfly::store::s3::{
    Finding, Mend, Outcome, S3Settings, Trouble, diagnose, diagnose_redirects,
};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{S3Server, command};
use tempfile::TempDir;

fn tried(settings: &S3Settings) -> Vec<Finding> {
    diagnose(settings, Arc::new(SystemClock::new()))
}

fn troubles(findings: &[Finding]) -> Vec<(&'static str, Trouble)> {
    let of = |finding: &Finding| match &finding.outcome {
        Outcome::Fails(trouble) => Some((finding.tried, trouble.clone())),
        Outcome::Works | Outcome::Remark(_) => None,
    };
    findings.iter().filter_map(of).collect()
}

/// The only trouble.
fn trouble(settings: &S3Settings) -> (&'static str, Trouble) {
    let found = troubles(&tried(settings));
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

#[test]
fn a_bucket_as_it_should_be_works_and_is_empty_afterwards() {
    for server in [S3Server::start("s3_check"), S3Server::start_tls("s3_check")] {
        let Some(server) = server else { return };
        for prefix in ["", "some/thing/"] {
            let settings = S3Settings {
                prefix: prefix.to_owned(),
                ..server.settings()
            };
            let findings = tried(&settings);
            assert!(troubles(&findings).is_empty(), "{findings:#?}");
            let steps: Vec<_> = findings.iter().map(|finding| finding.tried).collect();
            let all = [
                "reach",
                "list",
                "clock",
                "put",
                "get",
                "range",
                "replace",
                "multipart",
                "delete",
            ];
            assert_eq!(steps, all);
        }
        let left: Vec<PathBuf> = files(&server.bucket());
        assert!(left.is_empty(), "{left:?}");
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    support::files_below(directory)
}

#[test]
fn a_wrong_key_a_wrong_secret_and_a_missing_bucket_are_told_apart() {
    let Some(server) = S3Server::start("s3_check") else {
        return;
    };
    let right = server.settings();
    let mut settings = right.clone();
    settings.credentials.secret = "something-else".to_owned().into();
    let (step, found) = trouble(&settings);
    assert_eq!(step, "reach");
    assert!(
        found
            .sentence
            .contains("the secret does not belong to the key id"),
        "{found:?}"
    );
    assert!(!found.may_pass && !found.sentence.contains("something-else"));

    let mut settings = right.clone();
    settings.bucket = "not-there".to_owned();
    let (_, found) = trouble(&settings);
    assert!(
        found
            .sentence
            .contains("there is no bucket not-there: make it"),
        "{found:?}"
    );

    let mut settings = right;
    settings.credentials.key_id = "nobody".to_owned().into();
    let (_, found) = trouble(&settings);
    assert!(
        found.sentence.contains("does not know the access key"),
        "{found:?}"
    );
}

#[test]
fn the_wrong_style_is_found_out_by_trying_the_other_one() {
    let Some(server) = S3Server::start("s3_check") else {
        return;
    };
    let settings = S3Settings {
        path_style: false,
        ..server.settings()
    };
    let (step, found) = trouble(&settings);
    assert_eq!((step, &found.mend), ("reach", &Some(Mend::PathStyle(true))));
    assert!(
        found.sentence.contains("set path_style = true"),
        "{found:?}"
    );
}

#[test]
fn a_certificate_that_is_not_trusted_asks_for_ca_file() {
    let Some(server) = S3Server::start_tls("s3_check") else {
        return;
    };
    let settings = S3Settings {
        ca_file: None,
        ..server.settings()
    };
    let (_, found) = trouble(&settings);
    assert_eq!(found.mend, Some(Mend::CaFile));
    assert!(
        found.sentence.contains("is not trusted: name a file"),
        "{found:?}"
    );

    // Another authority's certificate does not help, and one for another name is another trouble.
    let Some(other) = S3Server::start_tls("s3_check") else {
        return;
    };
    let settings = S3Settings {
        ca_file: other.ca_file(),
        ..server.settings()
    };
    let (_, found) = trouble(&settings);
    assert!(
        found.sentence.contains("is not that of the authority"),
        "{found:?}"
    );
    let settings = S3Settings {
        endpoint: server.endpoint().replace("localhost", "127.0.0.2"),
        ..server.settings()
    };
    let (_, found) = trouble(&settings);
    assert!(!found.sentence.is_empty());
}

#[test]
fn https_where_there_is_none_is_said_so() {
    let Some(server) = S3Server::start("s3_check") else {
        return;
    };
    let settings = S3Settings {
        endpoint: server.endpoint().replace("http://", "https://"),
        ..server.settings()
    };
    let (_, found) = trouble(&settings);
    assert!(found.sentence.contains("does not speak TLS"), "{found:?}");
}

/// Bound, so that nobody else gets the port, but nobody listens.
fn deaf() -> TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.into()
}

#[test]
fn a_failure_that_passes_is_no_trouble() {
    for status in [500, 503] {
        let asked = AtomicUsize::new(0);
        let settings = prepared(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => (status, "", String::new()),
            _ => (200, "", LISTING.to_owned()),
        });
        let reach = tried(&settings).into_iter().next().unwrap();
        assert!(matches!(reach.outcome, Outcome::Works), "{reach:?}");
    }
}

#[test]
fn nobody_at_the_endpoint_may_pass() {
    let bound = deaf();
    let settings = settings(&bound);
    let (_, found) = trouble(&settings);
    assert!(found.may_pass, "{found:?}");
    assert!(found.sentence.contains("cannot be reached"), "{found:?}");
}

/// A clock that is wrong by so many seconds.
struct Off(SystemClock, i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        self.0.now().plus(self.1)
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[test]
fn a_clock_that_is_off_is_told_with_the_number_of_minutes() {
    let Some(server) = S3Server::start("s3_check") else {
        return;
    };
    for (off, words) in [(-3 * 3600, "3 hours behind"), (500, "8 minutes ahead of")] {
        let clock = Arc::new(Off(SystemClock::new(), off));
        let findings = diagnose(&server.settings(), clock);
        assert!(troubles(&findings).is_empty(), "{findings:#?}");
        let clock = findings.iter().find(|finding| finding.tried == "clock");
        let Outcome::Remark(remark) = &clock.unwrap().outcome else {
            panic!("{findings:#?}")
        };
        assert!(remark.contains(words), "{remark}");
    }
}

/// Settings for a server that listens there.
fn settings(listener: &TcpListener) -> S3Settings {
    S3Settings {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        region: "us-east-1".to_owned(),
        bucket: "files".to_owned(),
        prefix: "mayfly/".to_owned(),
        path_style: true,
        credentials: mayfly::store::s3::Credentials {
            key_id: "id".to_owned().into(),
            secret: "secret".to_owned().into(),
            token: None,
        },
        ca_file: None,
        concurrency: 1,
    }
}

/// A server that answers each request as `answer` says, by its first line and its headers in lower case that ask
/// for a part: status, headers and body.
fn prepared<B: AsRef<[u8]>>(
    answer: impl Fn(&str) -> (u16, &'static str, B) + Send + Sync + 'static,
) -> S3Settings {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = settings(&listener);
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                loop {
                    let mut first = String::new();
                    if !matches!(reader.read_line(&mut first), Ok(1..)) {
                        return;
                    }
                    let (mut length, mut line) = (0, String::new());
                    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                        let lower = line.to_ascii_lowercase();
                        if let Some(value) = lower.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        if lower.starts_with("range:") || lower.starts_with("if-match:") {
                            first.push_str(&lower);
                        }
                        line.clear();
                    }
                    if reader
                        .by_ref()
                        .take(length)
                        .read_to_end(&mut Vec::new())
                        .is_err()
                    {
                        return;
                    }
                    let (status, headers, body) = answer(&first);
                    let body = body.as_ref();
                    let head = format!(
                        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    let answer = [head.as_bytes(), body].concat();
                    if reader.get_mut().write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    settings
}

fn refusal(code: &str, more: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>")
}

const LISTING: &str =
    "<?xml version=\"1.0\"?><ListBucketResult><Name>files</Name></ListBucketResult>";

#[test]
fn a_wrong_region_names_the_right_one() {
    let settings = prepared(|_| {
        let body = refusal("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>");
        (400, "", body)
    });
    let (_, found) = trouble(&settings);
    assert_eq!(found.mend, Some(Mend::Region("eu-west-1".to_owned())));
    assert!(
        found.sentence.contains("set region = \"eu-west-1\""),
        "{found:?}"
    );
    let settings = prepared(|_| (301, "x-amz-bucket-region: ap-south-1\r\n", String::new()));
    let (_, found) = trouble(&settings);
    assert_eq!(found.mend, Some(Mend::Region("ap-south-1".to_owned())));
}

#[test]
fn a_session_token_is_asked_for_where_it_helps() {
    let told = |code: &'static str, key_id: &str, token: Option<&str>| {
        let mut settings = prepared(move |_| (403, "", refusal(code, "")));
        settings.credentials.key_id = key_id.to_owned().into();
        settings.credentials.token = token.map(|token| token.to_owned().into());
        trouble(&settings).1
    };
    for (code, key_id, token, sentence) in [
        ("InvalidToken", "id", Some("wrong"), "its own session token"),
        ("InvalidTokenId", "id", None, "its own session token"),
        ("InvalidAccessKeyId", "ASIA1", None, "its own session token"),
        ("ExpiredToken", "ASIA1", Some("old"), "token has ended"),
    ] {
        let found = told(code, key_id, token);
        assert_eq!(found.mend, Some(Mend::Token), "{code}");
        assert!(found.sentence.contains(sentence), "{found:?}");
    }
    for (key_id, token) in [("AKIA1", None), ("ASIA1", Some("a token"))] {
        let found = told("InvalidAccessKeyId", key_id, token);
        assert_eq!(found.mend, None);
        assert!(found.sentence.contains("does not know the access key"));
    }
}

#[test]
fn every_right_that_is_missing_is_named() {
    let settings = prepared(|first| match first.split(' ').next() {
        Some("GET") => (200, "", LISTING.to_owned()),
        _ => (403, "", refusal("AccessDenied", "")),
    });
    let found = troubles(&tried(&settings));
    let told: Vec<_> = found
        .iter()
        .map(|(step, trouble)| (*step, trouble.sentence.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "put",
                "the access key may not store objects: give it the right s3:PutObject on files/mayfly/*"
            ),
            (
                "multipart",
                "the access key may not upload objects in parts: give it the right s3:PutObject on files/mayfly/*"
            ),
            (
                "delete",
                "the access key may not delete objects: give it the right s3:DeleteObject on files/mayfly/*"
            ),
        ]
    );
    // Nothing at all: no list of five.
    let settings = prepared(|_| (403, "", refusal("AccessDenied", "")));
    let (step, found) = trouble(&settings);
    assert_eq!(step, "rights");
    assert!(
        found
            .sentence
            .contains("may do nothing with the bucket files"),
        "{found:?}"
    );
    // Only the listing.
    let settings = prepared(|first| match first.split(' ').next() {
        Some("GET") if first.contains("list-type") => (403, "", refusal("AccessDenied", "")),
        _ => (404, "", refusal("NoSuchUpload", "")),
    });
    let found = troubles(&tried(&settings));
    assert!(
        found[0]
            .1
            .sentence
            .contains("s3:ListBucket on the bucket files"),
        "{found:#?}"
    );
}

#[test]
fn a_bucket_that_keeps_versions_is_remarked_and_one_that_only_numbers_objects_is_not() {
    for (marker, keeps) in [("x-amz-delete-marker: true\r\n", true), ("", false)] {
        let settings = prepared(move |first| match first {
            _ if first.contains("list-type") => (200, "", LISTING.to_owned()),
            _ if first.starts_with("PUT") => (200, "x-amz-version-id: 7\r\n", String::new()),
            _ if first.starts_with("DELETE") => (200, marker, String::new()),
            _ => (404, "", refusal("NoSuchKey", "")),
        });
        let findings = tried(&settings);
        let versions = |finding: &&Finding| matches!(&finding.outcome, Outcome::Remark(remark) if remark.contains("keeps versions"));
        let told: Vec<_> = findings.iter().filter(versions).collect();
        assert_eq!(told.len(), usize::from(keeps), "{findings:#?}");
        assert!(told.iter().all(|finding| finding.tried == "delete"));
    }
}

#[test]
fn wrong_bytes_and_what_is_still_there_are_found() {
    let settings = prepared(|first| match first {
        _ if first.contains("list-type") => (200, "", LISTING.to_owned()),
        _ if first.starts_with("PUT") => {
            (200, "x-amz-version-id: 7\r\nETag: \"e\"\r\n", String::new())
        }
        _ if first.starts_with("GET") => (200, "", "something".to_owned()),
        _ if first.starts_with("POST") => (
            200,
            "",
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
                .to_owned(),
        ),
        _ => (200, "", String::new()),
    });
    let findings = tried(&settings);
    let found = troubles(&findings);
    let steps: Vec<_> = found.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, ["get", "range", "multipart", "delete"]);
    assert!(found[0].1.sentence.contains("other bytes than were stored"));
    assert!(found[1].1.sentence.contains("(Range)"));
    assert!(found[2].1.sentence.contains("another size"));
    assert!(
        found[3]
            .1
            .sentence
            .contains("still there after it was deleted")
    );
}

#[test]
fn a_server_that_does_not_compare_tags_is_remarked_and_one_that_compares_wrongly_is_of_no_use() {
    const TAG: &str = "ETag: \"e\"\r\nContent-Range: bytes 1000-1999/4096\r\n";
    const WEAK: &str = "ETag: W/\"e\"\r\nContent-Range: bytes 1000-1999/4096\r\n";
    // What it answers to the tag that it told and to another one, and what comes of it.
    let changed = (412, "PreconditionFailed");
    let table = [
        (TAG, None, Some(changed), ""),
        (TAG, None, None, "does not compare the tags"),
        (WEAK, None, None, "no strong tag"),
        (
            TAG,
            Some((501, "NotImplemented")),
            None,
            "refuses to compare",
        ),
        (
            TAG,
            Some(changed),
            Some(changed),
            "has changed which has not",
        ),
    ];
    for (head, to_right, to_wrong, told) in table {
        let settings = prepared(move |first| {
            let said = match first {
                _ if first.contains("list-type") => {
                    return (200, "", LISTING.to_owned().into_bytes());
                }
                _ if first.starts_with("PUT") => return (200, "", Vec::new()),
                _ if !first.contains("range:") => {
                    return (404, "", refusal("NoSuchKey", "").into_bytes());
                }
                _ if first.contains("if-match: \"e\"") => to_right,
                _ if first.contains("if-match:") => to_wrong,
                _ => None,
            };
            match said {
                Some((status, code)) => (status, "", refusal(code, "").into_bytes()),
                None => (
                    206,
                    head,
                    (1000..2000).map(|n| (n * 7 % 251) as u8).collect(),
                ),
            }
        });
        let findings = tried(&settings);
        let found = findings.iter().find(|finding| finding.tried == "range");
        let outcome = &found.unwrap().outcome;
        match outcome {
            Outcome::Works => assert_eq!(told, ""),
            Outcome::Remark(said) => assert!(!told.is_empty() && said.contains(told), "{said}"),
            Outcome::Fails(trouble) => {
                assert!(trouble.sentence.contains(told), "{outcome:?}");
                assert!(to_right == Some(changed) && !trouble.may_pass);
            }
        }
    }
}

#[test]
fn a_server_that_presents_objects_as_it_is_told_to_is_told_from_one_that_does_not() {
    let redirects = |settings: &S3Settings| {
        let findings = diagnose_redirects(settings, Arc::new(SystemClock::new()));
        let [finding] = findings.as_slice() else {
            panic!("{findings:#?}")
        };
        assert_eq!(finding.tried, "names");
        finding.outcome.clone()
    };
    let deaf = prepared(|first| match first.split(' ').next() {
        Some("HEAD") => (404, "", String::new()),
        _ => (200, "Content-Type: text/plain\r\n", String::new()),
    });
    let outcome = redirects(&deaf);
    let Outcome::Remark(remark) = &outcome else {
        panic!("{outcome:#?}")
    };
    assert!(remark.contains("downloads = \"proxied\""), "{remark}");
    let Some(server) = S3Server::start("s3_check") else {
        return;
    };
    let outcome = redirects(&server.settings());
    assert!(matches!(outcome, Outcome::Works), "{outcome:#?}");
    assert!(files(&server.bucket()).is_empty());
}

#[test]
fn what_is_no_s3_server_is_told() {
    let settings = prepared(|_| {
        (
            200,
            "Content-Type: text/html\r\n",
            "<html>Welcome</html>".to_owned(),
        )
    });
    let (_, found) = trouble(&settings);
    assert!(
        found.sentence.contains("does not answer like an S3 server"),
        "{found:?}"
    );
    // Words of the server do nothing to a terminal.
    let settings = prepared(|_| (400, "", refusal("\u{1b}[31mX", "")));
    let (_, found) = trouble(&settings);
    assert!(!found.sentence.contains('\u{1b}'), "{found:?}");
}

/// A settings file for the bucket of this server, and what the program says of it.
struct Place {
    home: TempDir,
}

impl Place {
    fn new(endpoint: &str, bucket: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in [("id", S3Server::KEY_ID), ("secret", S3Server::SECRET)] {
            let path = home.path().join(name);
            fs::write(&path, format!("{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let at = home.path().display();
        let text = format!(
            "data_dir = \"{at}/data\"\nmin_free_space = 0\n[storage]\nkind = \"s3\"\n[s3]\nendpoint = \"{endpoint}\"\nbucket = \"{bucket}\"\nkey_id_file = \"{at}/id\"\nsecret_file = \"{at}/secret\"\n"
        );
        fs::write(home.path().join("m.toml"), text).unwrap();
        Self { home }
    }

    fn says(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = command();
        command.args(arguments).arg("--config");
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .arg(self.home.path().join("m.toml"))
            .output()
            .unwrap();
        let text = [stdout, stderr].concat();
        (status.code(), String::from_utf8(text).unwrap())
    }
}

#[test]
fn check_config_online_and_doctor_say_what_is_wrong_and_end_with_its_code() {
    let Some(server) = S3Server::start("s3_check") else {
        return;
    };
    let right = Place::new(&server.endpoint(), S3Server::BUCKET);
    // This server looks at no tags, which is a remark only.
    let (code, told) = right.says(&["check-config", "--online"]);
    assert_eq!(code, Some(0), "{told}");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.len() == 2 && lines[0] == "OK", "{told}");
    assert!(lines[1].contains("does not compare the tags"), "{told}");
    let (code, told) = right.says(&["doctor"]);
    assert_eq!(code, Some(0), "{told}");
    for line in [
        "ok       settings",
        "remark   data",
        "ok       space",
        "remark   server",
        "ok       s3 multipart",
    ] {
        assert!(told.lines().any(|l| l.starts_with(line)), "{line}:\n{told}");
    }

    let wrong = Place::new(&server.endpoint(), "not-there");
    let (code, told) = wrong.says(&["check-config"]);
    assert_eq!((code, told.as_str()), (Some(0), "OK\n"), "nobody is asked");
    let (code, told) = wrong.says(&["check-config", "--online"]);
    assert_eq!(code, Some(78), "{told}");
    assert!(
        told.contains("[s3] reach: there is no bucket not-there: make it"),
        "{told}"
    );
    let (code, told) = wrong.says(&["doctor"]);
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("problem  s3 reach"), "{told}");

    let endpoint = server.endpoint();
    drop(server);
    let away = Place::new(&endpoint, S3Server::BUCKET);
    let (code, told) = away.says(&["check-config", "--online"]);
    assert_eq!(code, Some(75), "{told}");
    assert!(told.contains("cannot be reached"), "{told}");
    assert!(!told.contains(S3Server::SECRET), "{told}");
}
