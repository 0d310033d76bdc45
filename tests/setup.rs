//! The first run as a person has it: a real terminal, typed answers, a running service at the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
#[path = "setup/terminal.rs"]
mod terminal;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::S3Server;
use tempfile::TempDir;
use terminal::{Terminal, mayfly};

const PASSWORD: &str = "tractor velvet moon";
const TERMS: [&str; 3] = ["dumb", "xterm", "vt100"];
const ENTER: &str = "\r";

/// The questions in their order, as far as they are always the same.
const QUESTIONS: [&str; 8] = [
    "Password of the account admin: ",
    "The same again: ",
    "Directory for files and database",
    "Address [",
    "Days until a file vanishes",
    "Downloads of a file",
    "How files are kept",
    "All answers",
];

struct Place {
    home: TempDir,
    config: PathBuf,
    data: PathBuf,
    url: String,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        Self {
            config: home.path().join("etc/mayfly.toml"),
            data: home.path().join("data"),
            url: format!("http://127.0.0.1:{port}"),
            home,
        }
    }

    fn config(&self) -> &str {
        self.config.to_str().unwrap()
    }

    /// What is typed to the first eight questions, with Enter.
    fn answers(&self) -> [String; 8] {
        [
            PASSWORD,
            PASSWORD,
            self.data.to_str().unwrap(),
            &self.url,
            "3",
            "2",
            "",
            "",
        ]
        .map(|answer| format!("{answer}{ENTER}"))
    }

    fn setup(&self, term: &str) -> Terminal {
        Terminal::run(term, &["setup", "--config", self.config()])
    }

    fn is_untouched(&self) -> bool {
        fs::read_dir(self.home.path()).unwrap().next().is_none()
    }

    fn upload(&self, key: &str) -> Output {
        let file = self.home.path().join("upload.txt");
        fs::write(&file, "hello").unwrap();
        Command::new("curl")
            .args(["-sS", "-X", "POST"])
            .arg(format!("{}/api/files/add", self.url))
            .args(["-H", &format!("apikey: {key}"), "-F"])
            .arg(format!("file=@{}", file.display()))
            .output()
            .unwrap()
    }
}

fn answer_all(terminal: &mut Terminal, place: &Place) {
    for (question, answer) in QUESTIONS.iter().zip(place.answers()) {
        terminal.wait_for(question);
        terminal.types(&answer);
    }
}

/// What follows `name=` on the screen.
fn value(screen: &str, name: &str) -> String {
    let line = screen
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name} in {screen}"))
        .trim()
        .to_owned()
}

#[test]
fn eight_typed_answers_lead_to_a_service_that_takes_an_upload() {
    for term in TERMS {
        let place = Place::new();
        let mut terminal = place.setup(term);
        answer_all(&mut terminal, &place);
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
        assert!(terminal.is_in_order(), "{term}");
        let screen = terminal.screen();
        assert!(!screen.contains(PASSWORD), "{screen}");
        assert_eq!(terminal.count_of("Not taken"), 0, "{screen}");
        let mode = fs::metadata(&place.config).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = value(&screen, "API_KEY");
        assert!(screen.contains(&format!("mayfly serve --config {}", place.config())));
        let mut serving = mayfly()
            .args(["serve", "--config", place.config()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        terminal::first_line(&mut serving);
        let uploaded = place.upload(&key);
        let _ = serving.kill();
        let _ = serving.wait();
        let answer = String::from_utf8(uploaded.stdout).unwrap();
        assert!(answer.contains("\"Result\":\"OK\""), "{answer}");
        assert!(answer.contains("\"DownloadsRemaining\":2"), "{answer}");
    }
}

#[test]
fn serve_without_settings_asks_and_then_serves() {
    for term in ["dumb", "xterm"] {
        let place = Place::new();
        let mut terminal = Terminal::run(term, &["serve", "--config", place.config()]);
        answer_all(&mut terminal, &place);
        terminal.wait_for("URL=http");
        let answer = place.upload(&value(&terminal.screen(), "API_KEY"));
        let answer = String::from_utf8(answer.stdout).unwrap();
        assert!(answer.contains("\"Result\":\"OK\""), "{answer}");
        // Ctrl-C is for the server now: it ends in order.
        terminal.types("\u{3}");
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
    }
}

#[test]
fn serve_without_settings_and_without_a_terminal_is_78_and_one_sentence() {
    let place = Place::new();
    let output = mayfly()
        .args(["serve", "--config", place.config()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("run mayfly setup"), "{message}");
    let output = mayfly()
        .args(["setup", "--config", place.config()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("--answers FILE"), "{message}");
    assert!(place.is_untouched());
}

#[test]
fn ctrl_c_at_every_question_leaves_nothing_and_a_terminal_in_order() {
    for term in TERMS {
        for (last, question) in QUESTIONS.iter().enumerate() {
            let place = Place::new();
            let mut terminal = place.setup(term);
            for (earlier, answer) in QUESTIONS.iter().zip(place.answers()).take(last) {
                terminal.wait_for(earlier);
                terminal.types(&answer);
            }
            terminal.wait_for(question);
            terminal.types("\u{3}");
            assert_eq!(
                terminal.exit_code(),
                130,
                "{term} {last}: {}",
                terminal.screen()
            );
            assert!(terminal.is_in_order(), "{term} {last}");
            assert!(
                terminal.screen().contains("nothing was written"),
                "{}",
                terminal.screen()
            );
            assert!(place.is_untouched(), "{term} {last}");
            assert!(terminal.shows_its_cursor());
        }
    }
}

#[test]
fn other_signals_and_a_closed_line_leave_nothing_either() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129), ("-QUIT", 131), ("-INT", 130)] {
        for question in [QUESTIONS[0], QUESTIONS[2]] {
            let place = Place::new();
            let mut terminal = place.setup("xterm");
            terminal.wait_for(QUESTIONS[0]);
            if question == QUESTIONS[2] {
                let text = format!("{PASSWORD}{ENTER}");
                terminal.types(&text);
                terminal.wait_for(QUESTIONS[1]);
                terminal.types(&text);
                terminal.wait_for(QUESTIONS[2]);
            }
            terminal.signal(signal);
            assert_eq!(terminal.exit_code(), code, "{}", terminal.screen());
            assert!(terminal.is_in_order());
            assert!(place.is_untouched());
        }
    }
    // Ctrl-D: there will be no more lines.
    let place = Place::new();
    let mut terminal = place.setup("dumb");
    terminal.wait_for(QUESTIONS[0]);
    terminal.types("\u{4}");
    assert_eq!(terminal.exit_code(), 130, "{}", terminal.screen());
    assert!(place.is_untouched());
    // The SSH connection is gone.
    for term in TERMS {
        let place = Place::new();
        let mut terminal = place.setup(term);
        terminal.wait_for(QUESTIONS[0]);
        terminal.hang_up();
        assert_ne!(terminal.exit_code(), 0);
        assert!(place.is_untouched());
    }
}

#[test]
fn settings_that_exist_are_refused_before_the_first_question() {
    let place = Place::new();
    fs::create_dir_all(place.config.parent().unwrap()).unwrap();
    fs::write(&place.config, "# mine\n").unwrap();
    let mut terminal = place.setup("xterm");
    assert_eq!(terminal.exit_code(), 78);
    let screen = terminal.screen();
    assert!(
        screen.contains("exists already") && screen.contains("--config"),
        "{screen}"
    );
    assert!(!screen.contains("Password"), "{screen}");
    assert_eq!(fs::read(&place.config).unwrap(), b"# mine\n");
    assert!(!place.data.exists());
}

#[test]
fn wrong_answers_are_told_and_asked_again_and_answers_can_be_changed() {
    for term in TERMS {
        let place = Place::new();
        let mut terminal = place.setup(term);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = format!("http://{}", taken.local_addr().unwrap());
        let [password, again, data, url, days, downloads, ..] = place.answers();
        let typed = [
            (QUESTIONS[0], "short\r"),
            ("8 to 1024 bytes", &password),
            (QUESTIONS[1], "something else\r"),
            ("not the same", &password),
            (QUESTIONS[1], &again),
            (QUESTIONS[2], "here\r"),
            ("the whole path", &data),
            (QUESTIONS[3], "files.example.org\r"),
            ("the address that visitors use", &format!("{taken}\r")),
            ("another port", &url),
            (QUESTIONS[4], "soon\r"),
            ("a whole number", &days),
            (QUESTIONS[5], &downloads),
            (
                QUESTIONS[6],
                if term == "dumb" {
                    "9\r3\r"
                } else {
                    "\u{1b}[B\u{1b}[B\r"
                },
            ),
            // Days are the fifth of what can be changed, after the wish to write.
            (
                QUESTIONS[7],
                if term == "dumb" {
                    "6\r"
                } else {
                    "\u{1b}[B\u{1b}[B\u{1b}[B\u{1b}[B\u{1b}[B\r"
                },
            ),
            ("(0: never) [3]", "30\r"),
            ("Days by default       30", "\r"),
        ];
        for (question, answer) in typed {
            terminal.wait_for(question);
            terminal.types(answer);
        }
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
        let text = fs::read_to_string(&place.config).unwrap();
        for line in [
            "default_days = 30",
            "default_downloads = 2",
            "encryption = \"none\"",
        ] {
            assert!(text.lines().any(|l| l == line), "{term}: {line}:\n{text}");
        }
        assert!(!terminal.screen().contains(PASSWORD));
    }
}

#[test]
fn everything_pasted_at_once_is_taken_in_order() {
    for term in TERMS {
        let place = Place::new();
        let mut terminal = place.setup(term);
        terminal.wait_for(QUESTIONS[0]);
        terminal.types(&place.answers().concat());
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
        let text = fs::read_to_string(&place.config).unwrap();
        assert!(text.contains("default_days = 3"), "{text}");
    }
}

#[test]
fn answers_from_a_file_need_no_terminal() {
    let place = Place::new();
    let answers = place.home.path().join("answers.toml");
    let text = format!(
        "admin_password = \"{PASSWORD}\"\ndata_dir = \"{}\"\npublic_url = \"{}\"\n",
        place.data.display(),
        place.url
    );
    let run = |answers: &Path| {
        mayfly()
            .args(["setup", "--config", place.config(), "--answers"])
            .arg(answers)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    fs::write(&answers, format!("{text}wrong = 1\ndefault_days = -1\n")).unwrap();
    fs::set_permissions(&answers, PermissionsExt::from_mode(0o600)).unwrap();
    let output = run(&answers);
    assert_eq!(output.status.code(), Some(78));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("2 problems") && message.contains("default_days = -1"),
        "{message}"
    );
    assert!(!message.contains(PASSWORD) && !place.data.exists() && !place.config.exists());
    fs::write(&answers, text).unwrap();
    let output = run(&answers);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(value(&told, "API_KEY").len(), 30);
    assert!(place.config.exists());
    assert_eq!(run(&answers).status.code(), Some(78));
}

#[test]
fn killed_at_any_instant_it_leaves_no_half_settings_and_can_be_run_again() {
    let slow = std::env::var_os("MAYFLY_SLOW").is_some_and(|v| v != "0");
    let (steps, apart) = if slow { (80, 2) } else { (12, 10) };
    let mut finished = 0;
    for step in 0..steps {
        let place = Place::new();
        let answers = place.home.path().join("answers.toml");
        let text = format!(
            "admin_password = \"{PASSWORD}\"\ndata_dir = \"{}\"\nencryption = \"server\"\n",
            place.data.display()
        );
        fs::write(&answers, text).unwrap();
        fs::set_permissions(&answers, PermissionsExt::from_mode(0o600)).unwrap();
        let mut setup = mayfly();
        setup.args(["setup", "--config", place.config(), "--answers"]);
        setup
            .arg(&answers)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut first = setup.stdout(Stdio::null()).spawn().unwrap();
        // Not a wait for anything: the instants are spread over the whole run.
        std::thread::sleep(Duration::from_millis(step * apart));
        first.kill().unwrap();
        first.wait().unwrap();
        if place.config.exists() {
            finished += 1;
        } else {
            let second = setup.stdout(Stdio::piped()).stderr(Stdio::piped());
            let second = second.output().unwrap();
            assert!(second.status.success(), "step {step}: {second:?}");
        }
        let checked = mayfly()
            .args(["check-config", "--config", place.config()])
            .output();
        assert!(checked.unwrap().status.success(), "step {step}");
        let users = mayfly()
            .args(["user", "list", "--config", place.config()])
            .output();
        let users = String::from_utf8(users.unwrap().stdout).unwrap();
        assert!(users.contains("admin"), "step {step}: {users}");
    }
    eprintln!("{finished} of {steps} had finished before they were killed");
}

#[test]
fn a_bucket_is_tried_out_on_the_terminal_and_its_secret_is_in_a_file_of_its_own() {
    let Some(server) = S3Server::start("setup") else {
        return;
    };
    for term in TERMS {
        let place = Place::new();
        let mut terminal = place.setup(term);
        let [
            password,
            again,
            data,
            url,
            days,
            downloads,
            encryption,
            agreed,
        ] = place.answers();
        let line = |text: &str| format!("{text}{ENTER}");
        let typed = [
            (QUESTIONS[0], password),
            (QUESTIONS[1], again),
            (QUESTIONS[2], line("s3")),
            ("Address of the S3 server", line(&server.endpoint())),
            ("Region [us-east-1]", line("")),
            ("Bucket", line(S3Server::BUCKET)),
            ("Prefix", line("")),
            ("Id of the access key", line(S3Server::KEY_ID)),
            ("Secret of the access key", line("not-the-secret")),
            ("the secret does not belong", String::new()),
            ("What now", line("")),
            ("Address of the S3 server", line("")),
            ("Region", line("")),
            ("Bucket", line("")),
            ("Prefix", line("")),
            ("Id of the access key", line("")),
            ("Enter: as before", line(S3Server::SECRET)),
            ("It works.", String::new()),
            ("Directory for the database", data),
            (QUESTIONS[3], url),
            (QUESTIONS[4], days),
            (QUESTIONS[5], downloads),
            (QUESTIONS[6], encryption),
            (QUESTIONS[7], agreed),
        ];
        for (question, answer) in typed {
            terminal.wait_for(question);
            terminal.types(&answer);
        }
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
        assert!(terminal.is_in_order(), "{term}");
        let screen = terminal.screen();
        assert!(!screen.contains(S3Server::SECRET) && !screen.contains("not-the-secret"));
        let secret = place.config.with_extension("s3-secret");
        assert_eq!(
            fs::read_to_string(&secret).unwrap(),
            format!("{}\n", S3Server::SECRET)
        );
        let mode = fs::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let checked = mayfly()
            .args(["check-config", "--online", "--config", place.config()])
            .output()
            .unwrap();
        assert_eq!(checked.stdout, b"OK\n", "{checked:?}");
    }
}

#[test]
fn prefix_token_and_certificate_are_asked_for_and_used() {
    const TEMPORARY: &str = "ASIA-temporary";
    const TOKEN: &str = "test-token==";
    let Some(mut server) = S3Server::start_tls("setup") else {
        return;
    };
    // This server takes any token; what it is signed with has to be right all the same.
    server.kill();
    server.restart_with_key(TEMPORARY);
    let ca_file = server.ca_file().unwrap().display().to_string();
    for term in TERMS {
        let place = Place::new();
        let mut terminal = place.setup(term);
        let line = |text: &str| format!("{text}{ENTER}");
        let [password, again, data, url, days, downloads, mode, agreed] = place.answers();
        let typed = [
            (QUESTIONS[0], password),
            (QUESTIONS[1], again),
            (QUESTIONS[2], line("s3")),
            ("Address of the S3 server", line(&server.endpoint())),
            ("Region", line("")),
            ("Bucket", line(S3Server::BUCKET)),
            ("Prefix", line("a//b")),
            ("Not taken", String::new()),
            ("Prefix", line("some/mayfly")),
            ("Id of the access key", line("ASIA-not-there")),
            ("Secret of the access key", line(S3Server::SECRET)),
            ("Session token (not shown; Enter: none)", line("")),
            ("is not trusted", String::new()),
            ("Certificate file", line("")),
            ("It does not work: the certificate", String::new()),
            // The second is "Try again".
            (
                "What now",
                if term == "dumb" {
                    line("2")
                } else {
                    format!("\u{1b}[B{ENTER}")
                },
            ),
            ("Certificate file", line(&ca_file)),
            ("wants the session token", String::new()),
            ("Session token", line(TOKEN)),
            ("It does not work: the server does not know", String::new()),
            ("What now", line("")),
            ("Address of the S3 server", line("")),
            ("Certificate file", line("")),
            ("Region", line("")),
            ("Bucket", line("")),
            ("Prefix", line("")),
            ("Id of the access key", line(TEMPORARY)),
            ("Enter: as before", line("")),
            // The token of the other key is not kept.
            ("Session token (not shown; Enter: none)", line(TOKEN)),
            ("It works.", String::new()),
            ("Directory for the database", data),
            (QUESTIONS[3], url),
            (QUESTIONS[4], days),
            (QUESTIONS[5], downloads),
            (QUESTIONS[6], mode),
            ("All answers", String::new()),
            ("/some/mayfly/)", String::new()),
            ("session token, certificate /", agreed),
        ];
        for (question, answer) in typed {
            terminal.wait_for(question);
            terminal.types(&answer);
        }
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.screen());
        let screen = terminal.screen();
        assert!(!screen.contains(TOKEN) && !screen.contains(S3Server::SECRET));
        let token = place.config.with_extension("s3-token");
        assert_eq!(fs::read_to_string(&token).unwrap(), format!("{TOKEN}\n"));
        let mode = fs::metadata(&token).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = server.requests().len();
        let checked = mayfly()
            .args(["check-config", "--online", "--config", place.config()])
            .output()
            .unwrap();
        assert_eq!(checked.stdout, b"OK\n", "{checked:?}");
        let requests = server.requests().split_off(before);
        let put = requests.iter().find(|line| line.starts_with("PUT /"));
        assert!(
            put.is_some_and(|line| line.contains("/some/mayfly/")),
            "{requests:?}"
        );
    }
}

#[test]
fn answers_from_a_file_are_refused_while_the_bucket_does_not_work() {
    let Some(server) = S3Server::start("setup") else {
        return;
    };
    let place = Place::new();
    let answers = place.home.path().join("answers.toml");
    let run = |bucket: &str| {
        let text = format!(
            "admin_password = \"{PASSWORD}\"\ndata_dir = \"{}\"\npublic_url = \"{}\"\nstorage.kind = \"s3\"\n[s3]\nendpoint = \"{}\"\nbucket = \"{bucket}\"\nkey_id = \"{}\"\nsecret = \"{}\"\n",
            place.data.display(),
            place.url,
            server.endpoint(),
            S3Server::KEY_ID,
            S3Server::SECRET
        );
        fs::write(&answers, text).unwrap();
        fs::set_permissions(&answers, PermissionsExt::from_mode(0o600)).unwrap();
        let setup = ["setup", "--config", place.config(), "--answers"];
        let mut command = mayfly();
        command.args(setup).arg(&answers).stdin(Stdio::null());
        command.output().unwrap()
    };
    let refused = run("not-there");
    assert_eq!(refused.status.code(), Some(78));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("there is no bucket not-there"),
        "{message}"
    );
    assert!(!place.data.exists() && !place.config.exists());
    let written = run(S3Server::BUCKET);
    assert_eq!(written.status.code(), Some(0), "{written:?}");
    let told = String::from_utf8(written.stdout).unwrap();
    assert!(
        told.contains("mayfly.s3-secret") && !told.contains(S3Server::SECRET),
        "{told}"
    );
    let text = fs::read_to_string(&place.config).unwrap();
    assert!(text.contains("secret_file") && !text.contains(S3Server::SECRET));
}
