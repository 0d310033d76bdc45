//! The program as a person or a service manager meets it: commands, messages, exit codes, files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cli/program.rs"]
mod program;

use program::{
    PATIENCE, Running, code_and_message, directory, get, mayfly, modes, run, serve, settings,
    upload,
};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn help_and_version_are_told_and_wrong_usage_is_64() {
    let help = run(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("Exit codes:"));
    let version = run(&["--version"]);
    assert_eq!(
        version.stdout,
        format!("mayfly {}\n", env!("CARGO_PKG_VERSION")).as_bytes()
    );
    for (arguments, told) in [
        (&[][..], "check-config"),
        (&["dance"], "'dance'"),
        (&["serve", "--config", "x", "--dir", "y"], "'--dir'"),
        (&["demo", "--config", "x"], "'--config'"),
        (&["demo", "--listen", "here"], "<ADDR:PORT>"),
        (&["demo", "--loud"], "--loud"),
        (&["demo", "--dir"], "--dir"),
    ] {
        let (code, message) = code_and_message(&run(arguments));
        assert_eq!(code, 64, "{arguments:?}: {message}");
        assert!(
            message.contains(told) && message.contains("--help"),
            "{message}"
        );
    }
}

#[test]
fn a_demo_greets_serves_and_greets_the_same_at_its_second_start() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let first = demo.greeting();
    assert_eq!(first.user, "admin");
    assert!(first.key.len() == 30 && first.password.len() >= 20);
    assert!(!first.url.ends_with(":0") && first.url.starts_with("http://127.0.0.1:"));
    let line = format!(
        "curl -X POST {}/api/files/add -H \"apikey: {}\"",
        first.url, first.key
    );
    assert!(first.friendly.contains(&line), "{}", first.friendly);
    assert_eq!(get(&first.url, "/health", "").0, 200);
    assert_eq!(get(&first.url, "/ready", "").0, 200);
    let (status, answer) = upload(&first.url, &first.key, "hello");
    assert_eq!(status, 200, "{answer}");
    demo.signal("TERM");
    assert_eq!(demo.end().0, Some(0));

    let mut demo = Running::demo(&dir);
    let second = demo.greeting();
    assert_eq!(
        (&second.key, &second.user, &second.password),
        (&first.key, &first.user, &first.password)
    );
    let (status, list) = get(&second.url, "/api/files/list", &second.key);
    assert!(status == 200 && list.contains("a.txt"), "{status} {list}");
    demo.signal("INT");
    let (code, log) = demo.end();
    assert_eq!(code, Some(0));
    for secret in [&first.key, &first.password] {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
    }
}

#[test]
fn everything_in_the_directory_is_for_its_owner_alone() {
    let (home, dir) = directory();
    // The loosest umask there is: the program sets its own.
    let script = format!("umask 000; exec \"$@\"; # {}", dir.display());
    let inner = mayfly();
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args());
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&dir);
    let mut demo = Running::start(&mut command);
    let greeting = demo.greeting();
    assert_eq!(upload(&greeting.url, &greeting.key, "hello").0, 200);
    let mut found = Vec::new();
    modes(home.path(), &mut found);
    assert!(
        found
            .iter()
            .any(|(p, _)| p.ends_with("demo-credentials.toml"))
    );
    assert!(found.iter().any(|(p, _)| p.ends_with("server.key")));
    for (path, mode) in found {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} has {mode:o}", path.display());
    }
}

#[test]
fn a_second_instance_on_the_same_directory_is_refused() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    let (code, log) = Running::demo(&dir).end();
    assert_eq!(code, Some(75), "{log}");
    assert!(log.contains("in use by another Mayfly"), "{log}");
    assert_eq!(
        get(&greeting.url, "/health", "").0,
        200,
        "the first one is not disturbed"
    );
    demo.child.kill().unwrap();
    demo.wait();
    let mut third = Running::demo(&dir);
    assert_eq!(
        third.greeting().key,
        greeting.key,
        "a kill leaves no lock behind"
    );
}

#[test]
fn a_taken_port_is_told_with_the_remedy() {
    let (_home, dir) = directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = mayfly()
        .args(["demo", "--listen", &address, "--dir"])
        .arg(dir)
        .output()
        .unwrap();
    let (code, message) = code_and_message(&output);
    assert_eq!(code, 75);
    assert!(
        message.contains(&address) && message.contains("another port"),
        "{message}"
    );
}

#[test]
fn a_closed_output_does_not_stop_the_demo() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    drop(demo.child.stdout.take());
    let credentials = dir.join("demo-credentials.toml");
    let (url, _) = demo.url_from_log();
    assert_eq!(get(&url, "/health", "").0, 200);
    assert!(credentials.exists());
    demo.signal("TERM");
    assert_eq!(demo.wait(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn lost_demo_credentials_are_refused_with_the_remedy() {
    let (home, dir) = directory();
    let file = dir.join("demo-credentials.toml");
    let mut demo = Running::demo(&dir);
    let before = demo.greeting();
    demo.signal("TERM");
    demo.end();

    fs::rename(&file, home.path().join("kept")).unwrap();
    let (code, log) = Running::demo(&dir).end();
    assert_eq!(code, Some(78), "{log}");
    assert!(
        log.contains("--dir") && log.contains("demo-credentials.toml"),
        "{log}"
    );

    let foreign = fs::read_to_string(home.path().join("kept")).unwrap();
    let line = |name: &str| foreign.lines().find(|l| l.starts_with(name)).unwrap();
    let foreign = foreign
        .replace(&before.key, &"A".repeat(30))
        .replace(&before.password, "of another demo")
        .replace(line("recovery_phrase"), "");
    fs::write(&file, foreign).unwrap();
    let (code, log) = Running::demo(&dir).end();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("nothing in it opens the account"), "{log}");

    fs::write(&file, "nonsense").unwrap();
    let (code, log) = Running::demo(&dir).end();
    assert_eq!(code, Some(78), "{log}");

    fs::rename(home.path().join("kept"), &file).unwrap();
    assert_eq!(Running::demo(&dir).greeting().key, before.key);
}

#[test]
fn a_crash_around_the_first_account_never_locks_its_owner_out() {
    let (_home, dir) = directory();
    let file = dir.join("demo-credentials.toml");
    // The file was written, the account was not made yet.
    fs::create_dir(&dir).unwrap();
    fs::write(
        &file,
        "user = \"admin\"\npassword = \"drawn-before-the-crash\"\n",
    )
    .unwrap();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    assert_eq!(greeting.password, "drawn-before-the-crash");
    assert_eq!(get(&greeting.url, "/api/files/list", &greeting.key).0, 200);
    demo.child.kill().unwrap();
    demo.wait();

    // The account was made, its key did not get into the file any more.
    fs::write(
        &file,
        "user = \"admin\"\npassword = \"drawn-before-the-crash\"\n",
    )
    .unwrap();
    let mut demo = Running::demo(&dir);
    let again = demo.greeting();
    assert_ne!(again.key, greeting.key);
    assert_eq!(again.password, greeting.password);
    assert_eq!(upload(&again.url, &again.key, "hello").0, 200);
}

#[test]
fn no_new_database_is_made_beside_stored_files() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    assert_eq!(upload(&greeting.url, &greeting.key, "hello").0, 200);
    demo.signal("TERM");
    demo.end();
    fs::remove_file(dir.join("mayfly.redb")).unwrap();
    let (code, log) = Running::demo(&dir).end();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("restore mayfly.redb from a backup"), "{log}");
    assert!(!dir.join("mayfly.redb").exists());
}

#[test]
fn serve_makes_the_first_account_and_tells_where_not_what() {
    let (home, dir) = directory();
    let config = settings(home.path(), "");
    let (running, url, log) = serve(&config);
    let file = dir.join("first-credentials.toml");
    assert!(log.contains(file.to_str().unwrap()), "{log}");
    let credentials = fs::read_to_string(&file).unwrap();
    let value = |key: &str| {
        let line = credentials.lines().find(|l| l.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let key = value("api_key");
    assert!(!log.contains(&key) && !log.contains(&value("password")));
    assert_eq!(get(&url, "/api/files/list", &key).0, 200);
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));

    // Noted elsewhere and deleted, as advised: the account stays, no other one appears.
    fs::remove_file(&file).unwrap();
    let (running, url, _) = serve(&config);
    assert_eq!(get(&url, "/api/files/list", &key).0, 200);
    assert!(!file.exists());
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn the_master_key_is_made_once_and_never_replaced() {
    let (home, _) = directory();
    let config = settings(
        home.path(),
        &format!(
            "encryption = \"server\"\nmaster_key_file = \"{}/master.key\"\n",
            home.path().display()
        ),
    );
    let (running, _, log) = serve(&config);
    assert!(log.contains("keep a copy"), "{log}");
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    let path = home.path().join("master.key");
    let key = fs::read(&path).unwrap();
    assert_eq!(key.len(), 32);

    fs::write(&path, &key[..31]).unwrap();
    let start = || Running::start(mayfly().args(["serve", "--config"]).arg(&config)).end();
    let (code, log) = start();
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("32 bytes"), "{log}");
    fs::remove_file(&path).unwrap();
    let (code, log) = start();
    assert_eq!(code, Some(78), "{log}");
    assert!(
        log.contains("restore the file from its copy") && !path.exists(),
        "{log}"
    );
}

#[test]
fn wrong_settings_are_all_told_at_once() {
    let (home, _) = directory();
    let config = settings(home.path(), "max_file_size = \"big\"\ndedupe = true\n");
    let output = mayfly()
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let (code, message) = code_and_message(&output);
    assert_eq!(code, 78);
    assert!(message.contains("2 problems"), "{message}");
    assert!(message.contains("max_file_size = \"big\""), "{message}");
    assert!(message.contains("did you mean dedup?"), "{message}");
    let missing = run(&["serve", "--config", "/nonexistent/m.toml"]);
    assert_eq!(missing.status.code(), Some(78));
}

#[test]
fn check_config_says_ok_or_every_problem() {
    let (home, dir) = directory();
    let check = |config: &std::path::Path| {
        let output = mayfly()
            .args(["check-config", "--config"])
            .arg(config)
            .output();
        output.unwrap()
    };
    let good = settings(home.path(), "");
    let output = check(&good);
    assert!(output.status.success());
    assert_eq!(output.stdout, b"OK\n");
    assert!(!dir.exists(), "looking makes nothing");
    let bad = settings(home.path(), "max_file_size = \"big\"\ndedupe = true\n");
    let output = check(&bad);
    let (code, message) = code_and_message(&output);
    assert_eq!(code, 78);
    assert!(output.stdout.is_empty());
    assert!(message.contains("2 problems"), "{message}");
}

/// Gives `text` to a program that checks it; `None` when there is no such program.
fn checked_by(program: &str, arguments: &[&str], text: &[u8]) -> Option<std::process::Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .inspect_err(|_| eprintln!("left out: {program} is not installed"))
        .ok()?;
    child.stdin.take().unwrap().write_all(text).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn completions_are_scripts_that_their_shells_take() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success() && !output.stdout.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        for word in ["check-config", "revoke", "passwd", "--permissions"] {
            let word = if shell == "fish" {
                word.trim_start_matches('-')
            } else {
                word
            };
            assert!(text.contains(word), "{shell}: {word}");
        }
        if let Some(output) = checked_by(shell, &["-n"], text.as_bytes()) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && said.is_empty(),
                "{shell}: {said}"
            );
        }
    }
    let (code, _) = code_and_message(&run(&["completions", "tcsh"]));
    assert_eq!(code, 64);
}

#[test]
fn the_man_page_renders_without_a_warning_and_has_every_command() {
    let output = run(&["man"]);
    assert!(output.status.success());
    let Some(page) = checked_by(
        "groff",
        &["-man", "-Tutf8", "-ww", "-P-cbou"],
        &output.stdout,
    ) else {
        return;
    };
    assert_eq!(String::from_utf8_lossy(&page.stderr), "");
    let text = String::from_utf8(page.stdout).unwrap();
    // Lines are filled to the margin with more spaces.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "mayfly serve [OPTIONS]",
        "mayfly key create [OPTIONS] --user <NAME>",
        "mayfly user passwd [OPTIONS] <NAME>",
        "mayfly completions <SHELL>",
        "EXIT STATUS",
        "wrong settings",
        "/etc/mayfly/mayfly.toml",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

/// Sends the head of an upload of `length` bytes that waits for leave to go on.
fn begin_upload(address: SocketAddr, key: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /api/files/add HTTP/1.1\r\nHost: x\r\napikey: {key}\r\nExpect: 100-continue\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn a_running_upload_ends_before_the_program_does() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    let address: SocketAddr = greeting.url["http://".len()..].parse().unwrap();
    let start =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nfirst";
    let end = " last\r\n--b--\r\n";
    let mut stream = begin_upload(address, &greeting.key, start.len() + end.len());
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    assert!(line.contains("100"), "the upload has begun: {line}");
    stream.write_all(start.as_bytes()).unwrap();

    demo.signal("TERM");
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < until, "it still accepts");
        std::thread::yield_now();
    }
    assert_eq!(
        demo.child.try_wait().unwrap(),
        None,
        "it waits for the upload"
    );
    stream.write_all(end.as_bytes()).unwrap();
    let mut answer = String::new();
    answers.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    assert_eq!(demo.end().0, Some(0));
}

#[test]
fn whoever_asks_twice_does_not_wait() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    let address: SocketAddr = greeting.url["http://".len()..].parse().unwrap();
    let mut stuck = begin_upload(address, &greeting.key, 1000);
    let mut first = [0; 12];
    stuck.read_exact(&mut first).unwrap();
    let asked = Instant::now();
    demo.signal("INT");
    while TcpStream::connect(address).is_ok() {
        assert!(asked.elapsed() < PATIENCE, "it still accepts");
        std::thread::yield_now();
    }
    demo.signal("INT");
    assert_eq!(demo.wait(), Some(130));
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_write_whose_outcome_is_unknown_ends_the_program_and_the_next_start_goes_on() {
    let (_home, dir) = directory();
    // With the signal ignored, a file that grows beyond its limit is an error of the write.
    let inner = mayfly();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&dir);
    let mut demo = Running::start(&mut command);
    let greeting = demo.greeting();
    assert_eq!(upload(&greeting.url, &greeting.key, "before").0, 200);

    let limited = Command::new("prlimit")
        .args(["--fsize=512", "--pid", &demo.child.id().to_string()])
        .status();
    assert!(limited.unwrap().success());
    // Five bytes fit into their file; the row does not get into the database any more.
    let (status, _) = upload(&greeting.url, &greeting.key, "after");
    assert_ne!(status, 200, "what is not durable is not acknowledged");
    let (code, log) = demo.end();
    assert_eq!(code, Some(74), "{log}");
    assert!(log.contains("the outcome of a write is unknown"), "{log}");
    assert!(log.contains("start again"), "{log}");

    let mut demo = Running::demo(&dir);
    let again = demo.greeting();
    assert_eq!(again.key, greeting.key);
    let (status, list) = get(&again.url, "/api/files/list", &again.key);
    assert_eq!(status, 200);
    assert_eq!(list.matches("\"Id\"").count(), 1, "{list}");
    assert_eq!(upload(&again.url, &again.key, "later").0, 200);
}
