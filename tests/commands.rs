//! The commands for accounts and keys: on a running server, on a stopped one, and what they say when
//! neither can be had.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "commands/console.rs"]
mod console;
#[path = "cli/program.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod program;

use console::{Console, basic, value};
use program::{Greeting, Running, directory, get, mayfly, modes, serve, settings, upload};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

/// Every command, on a demo that runs and on the same one when it is stopped.
#[test]
fn every_command_works_on_a_running_and_on_a_stopped_server() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    for running in [true, false] {
        let console = Console::on_data(&dir);
        let name = if running { "ann" } else { "ben" };
        if !running {
            demo.signal("TERM");
            demo.wait();
            assert!(!dir.join("admin.sock").exists(), "the socket goes");
        }
        // Accounts.
        let added = console.ok(&["user", "add", name], "first password\n");
        assert_eq!(value(&added, "USER"), name);
        let key = value(&added, "API_KEY");
        let phrase = value(&added, "RECOVERY_PHRASE");
        assert!(key.len() == 30 && phrase.len() == 39);
        let (code, said) = console.refused(&["user", "add", &name.to_uppercase()], "password\n");
        assert!(code == 64 && said.contains("taken"), "{said}");
        let list = console.ok(&["user", "list"], "");
        assert!(list.contains("admin") && list.contains(name), "{list}");
        console.ok(&["user", "role", name, "admin"], "");
        let list: serde_json::Value = console.json(&["user", "list"], "");
        let row = list.as_array().unwrap().iter().find(|u| u["name"] == name);
        assert_eq!(row.unwrap()["role"], "admin");
        console.ok(&["user", "role", name, "user"], "");
        console.ok(&["user", "disable", name], "");
        let list = console.ok(&["user", "list"], "");
        assert!(list.contains("disabled"), "{list}");
        console.ok(&["user", "enable", name], "");

        // Passwords.
        let said = console.refused(&["user", "passwd", name], "wrong password\nnew password\n");
        assert_eq!(said.0, 64);
        let changed = console.ok(&["user", "passwd", name], "first password\nnew password\n");
        assert_eq!(changed, "", "nothing was made up");
        let generated = console.ok(
            &["user", "passwd", name, "--recover", "--generate"],
            &format!("{phrase}\n"),
        );
        let password = value(&generated, "PASSWORD");
        assert_eq!(password.len(), 20);

        // Keys.
        let made = console.ok(
            &["key", "create", "--user", name, "--name", "back\u{1b}up"],
            &format!("{password}\n"),
        );
        let made = made.trim().to_owned();
        assert_eq!(made.len(), 30);
        let list = console.ok(&["key", "list", "--user", name], "");
        assert!(list.contains("backup") && !list.contains(&made), "{list}");
        let keys = console.json(&["key", "list"], "");
        let keys = keys.as_array().unwrap();
        assert!(keys.iter().any(|k| k["user"] == "admin"));
        let mine = keys.iter().find(|k| k["name"] == "backup").unwrap();
        let id = mine["id"].as_str().unwrap();
        if running {
            assert_eq!(get(&greeting.url, "/api/files/list", &made).0, 200);
        }
        console.ok(&["key", "revoke", id], "");
        if running {
            assert_eq!(get(&greeting.url, "/api/files/list", &made).0, 401);
        }
        let (code, said) = console.refused(&["key", "revoke", id], "");
        assert!(code == 64 && said.contains("key list"), "{said}");
    }
    // What was done to the stopped database counts in the next run.
    let mut demo = Running::demo(&dir);
    demo.greeting();
    let console = Console::on_data(&dir);
    let list = console.ok(&["user", "list"], "");
    assert!(list.contains("ann") && list.contains("ben"), "{list}");
    for name in ["ann", "ben"] {
        let (code, said) = console.refused(&["user", "remove", name], "");
        assert!(code == 64 && said.contains("--yes"), "{said}");
        console.ok(&["user", "remove", name, "--yes"], "");
    }
    let (code, said) = console.refused(&["user", "remove", "admin", "--yes"], "");
    assert!(code == 64 && said.contains("last"), "{said}");
}

#[test]
fn a_changed_password_a_disabled_and_a_removed_account_act_at_once() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let url = demo.greeting().url;
    let console = Console::on_data(&dir);
    let added = console.ok(&["user", "add", "ann"], "first password\n");
    let key = value(&added, "API_KEY");
    let (status, answer) = upload(&url, &key, "hello");
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let id = answer["FileInfo"]["Id"].as_str().unwrap().to_owned();
    let page = format!("/d?id={id}");

    assert_eq!(basic(&url, "ann", "first password").0, 200);
    console.ok(
        &["user", "passwd", "ann"],
        "first password\nsecond password\n",
    );
    assert_eq!(basic(&url, "ann", "first password").0, 401);
    assert_eq!(basic(&url, "ann", "second password").0, 200);
    assert_eq!(get(&url, "/api/files/list", &key).0, 200, "keys stay");

    console.ok(&["user", "disable", "ann"], "");
    assert_eq!(get(&url, "/api/files/list", &key).0, 401);
    assert_eq!(basic(&url, "ann", "second password").0, 401);
    assert_eq!(get(&url, &page, "").0, 404);
    console.ok(&["user", "enable", "ann"], "");
    assert_eq!(get(&url, "/api/files/list", &key).0, 200);
    assert_eq!(get(&url, &page, "").0, 200);

    console.ok(&["user", "remove", "ann", "--yes"], "");
    assert_eq!(get(&url, "/api/files/list", &key).0, 401);
    assert_eq!(get(&url, &page, "").0, 404);
    let mut files = Vec::new();
    modes(&dir.join("blobs"), &mut files);
    assert!(files.iter().all(|(path, _)| path.is_dir()), "{files:?}");
}

/// Ends a demo and starts it again.
fn again(mut demo: Running, dir: &Path) -> (Running, Greeting) {
    demo.signal("TERM");
    demo.wait();
    let mut demo = Running::demo(dir);
    let greeting = demo.greeting();
    (demo, greeting)
}

#[test]
fn a_demo_whose_key_was_revoked_makes_another_and_says_so_once() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let first = demo.greeting();
    let console = Console::on_data(&dir);
    let keys = || console.json(&["key", "list"], "");
    let id = keys()[0]["id"].as_str().unwrap().to_owned();
    console.ok(&["key", "revoke", &id], "");

    let (demo, second) = again(demo, &dir);
    assert_ne!(second.key, first.key);
    assert_eq!(second.password, first.password);
    assert!(
        second.friendly.contains("does not open the account admin"),
        "{second:?}"
    );
    assert_eq!(get(&second.url, "/api/files/list", &second.key).0, 200);
    assert_eq!(get(&second.url, "/api/files/list", &first.key).0, 401);
    let (demo, third) = again(demo, &dir);
    assert_eq!(third.key, second.key);
    assert!(
        !third.friendly.contains("does not open the account admin"),
        "{third:?}"
    );
    assert_eq!(keys().as_array().unwrap().len(), 1, "one for one");

    // Neither the key nor the password of the file opens it any more, but the recovery phrase does.
    let id = keys()[0]["id"].as_str().unwrap().to_owned();
    let said = format!("{}\na new password\n", third.password);
    console.ok(&["user", "passwd", "admin"], &said);
    console.ok(&["key", "revoke", &id], "");
    let (demo, fourth) = again(demo, &dir);
    assert_eq!(upload(&fourth.url, &fourth.key, "hello").0, 200);
    assert_eq!(fourth.password, "");

    // An account that is disabled gets no keys.
    console.ok(
        &["user", "add", "ann", "--role", "admin"],
        "correct horse\n",
    );
    console.ok(&["user", "disable", "admin"], "");
    demo.signal("TERM");
    demo.end();
    for _ in 0..2 {
        let (code, log) = Running::demo(&dir).end();
        assert!(code == Some(78) && log.contains("user enable"), "{log}");
    }
    console.ok(&["user", "enable", "admin"], "");
    assert_eq!(Running::demo(&dir).greeting().key, fourth.key);
}

#[test]
fn a_key_that_cannot_be_written_into_the_file_of_a_demo_is_not_kept() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    demo.greeting();
    let console = Console::on_data(&dir);
    let keys = || console.json(&["key", "list"], "");
    let id = keys()[0]["id"].as_str().unwrap().to_owned();
    console.ok(&["key", "revoke", &id], "");
    demo.signal("TERM");
    demo.wait();
    // In the way of every draft.
    let obstacle = dir.join("demo-credentials.toml.new");
    fs::create_dir(&obstacle).unwrap();
    let (code, log) = Running::demo(&dir).end();
    assert!(code != Some(0) && log.contains("writing"), "{code:?} {log}");
    assert_eq!(keys().as_array().unwrap().len(), 0);
    fs::remove_dir(&obstacle).unwrap();
    let greeting = Running::demo(&dir).greeting();
    assert_eq!(greeting.key.len(), 30);
}

#[test]
fn a_key_of_another_account_in_the_file_of_a_demo_is_not_replaced_unasked() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let first = demo.greeting();
    let console = Console::on_data(&dir);
    let added = console.ok(&["user", "add", "ann"], "correct horse\n");
    demo.signal("TERM");
    demo.wait();
    let file = dir.join("demo-credentials.toml");
    let text = fs::read_to_string(&file).unwrap();
    let other = text.replace(&first.key, &value(&added, "API_KEY"));
    fs::write(&file, &other).unwrap();
    for _ in 0..2 {
        let (code, log) = Running::demo(&dir).end();
        assert!(
            code == Some(78) && log.contains("of another account"),
            "{log}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), other);
    }
    assert_eq!(
        console.json(&["key", "list"], "").as_array().unwrap().len(),
        2
    );

    // As it says: the line goes, and a key is made.
    let lines = text.lines().filter(|line| !line.starts_with("api_key"));
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let mut demo = Running::demo(&dir);
    let second = demo.greeting();
    assert_ne!(second.key, first.key);
    assert_eq!(get(&second.url, "/api/files/list", &second.key).0, 200);
}

#[test]
fn a_demo_prints_no_password_that_was_changed_and_the_new_one_when_it_is_told() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let first = demo.greeting();
    let said = format!("{}\nof my own\n", first.password);
    Console::on_data(&dir).ok(&["user", "passwd", "admin"], &said);
    let (demo, second) = again(demo, &dir);
    assert_eq!((second.password.as_str(), &second.key), ("", &first.key));
    let told = second.friendly.contains("password of admin was changed");
    assert!(told && second.friendly.contains("demo-credentials.toml"));
    assert_eq!(basic(&second.url, "admin", "of my own").0, 200, "it stays");

    let file = dir.join("demo-credentials.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&first.password, "of my own")).unwrap();
    let (_demo, third) = again(demo, &dir);
    assert_eq!(
        (third.password.as_str(), &third.key),
        ("of my own", &first.key)
    );
    assert!(!third.friendly.contains("was changed"), "{third:?}");
}

#[test]
fn nothing_that_opens_an_account_is_kept() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    let console = Console::on_data(&dir);
    let added = console.ok(&["user", "add", "ann"], "a secret password\n");
    let made = console.ok(&["key", "create", "--user", "ann"], "a secret password\n");
    let phrase = value(&added, "RECOVERY_PHRASE");
    let secrets = [
        "a secret password".to_owned(),
        value(&added, "API_KEY"),
        made.trim().to_owned(),
        phrase.replace('-', ""),
        phrase,
        greeting.password,
    ];
    demo.signal("TERM");
    demo.wait();
    fs::remove_file(dir.join("demo-credentials.toml")).unwrap();
    let mut files = Vec::new();
    modes(&dir, &mut files);
    for (path, _) in files.iter().filter(|(path, _)| path.is_file()) {
        let bytes = fs::read(path).unwrap();
        for secret in &secrets {
            let found = memchr::memmem::find(&bytes, secret.as_bytes());
            assert_eq!(found, None, "{} in {}", secret, path.display());
        }
    }
    assert!(files.iter().any(|(path, _)| path.ends_with("mayfly.redb")));
}

#[test]
fn commands_that_come_together_take_turns() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    demo.greeting();
    let add = |name: String| {
        let console = Console::on_data(&dir);
        console.ok(&["user", "add", &name], "correct horse\n")
    };
    let all_at_once = |prefix: &str| {
        std::thread::scope(|scope| {
            let names = (0..4).map(|n| format!("{prefix} {n}"));
            let added: Vec<_> = names.map(|name| scope.spawn(|| add(name))).collect();
            added.into_iter().for_each(|a| drop(a.join().unwrap()));
        });
    };
    all_at_once("running");
    demo.signal("TERM");
    demo.wait();
    all_at_once("stopped");
    let users = Console::on_data(&dir).json(&["user", "list"], "");
    assert_eq!(users.as_array().unwrap().len(), 9);
}

#[test]
fn with_the_master_key_no_password_is_asked_for() {
    let (home, _) = directory();
    let key = home.path().join("master.key");
    let mode = format!("encryption = \"server\"\nmaster_key_file = {key:?}\n");
    let config = settings(home.path(), &mode);
    let (running, url, _) = serve(&config);
    let console = Console::with_settings(&config);
    console.ok(&["user", "add", "ann"], "a forgotten one\n");
    let made = console.ok(&["key", "create", "--user", "ann"], "");
    assert_eq!(get(&url, "/api/files/list", made.trim()).0, 200);
    console.ok(&["user", "passwd", "ann"], "another password\n");
    assert_eq!(basic(&url, "ann", "another password").0, 200);
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    let stopped = console.ok(&["key", "create", "--user", "ann", "--json"], "");
    let stopped: serde_json::Value = serde_json::from_str(&stopped).unwrap();
    assert_eq!(stopped["permissions"].as_array().unwrap().len(), 4);
}

#[test]
fn data_without_a_master_key_gets_one_and_another_one_is_refused_everywhere() {
    let (home, _) = directory();
    let config = settings(home.path(), "");
    let (running, ..) = serve(&config);
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    // The mode is changed: no account needs the key yet, so it is made.
    let key = home.path().join("master.key");
    let mode = format!("encryption = \"server\"\nmaster_key_file = {key:?}\n");
    let config = settings(home.path(), &mode);
    let (running, ..) = serve(&config);
    assert!(key.exists());
    let console = Console::with_settings(&config);
    console.ok(&["user", "add", "ann"], "a forgotten one\n");
    running.signal("TERM");
    assert_eq!(running.end().0, Some(0));
    // The first account is brought along by its next password.
    let credentials = fs::read_to_string(home.path().join("data/first-credentials.toml")).unwrap();
    let password = credentials
        .lines()
        .find_map(|line| line.strip_prefix("password = "));
    let old = password.unwrap().trim_matches('"').to_owned();
    console.ok(
        &["user", "passwd", "admin"],
        &format!("{old}\na new password\n"),
    );
    fs::write(&key, [7; 32]).unwrap();
    let (code, said) = console.refused(&["user", "passwd", "ann"], "another password\n");
    assert!(code == 78 && said.contains("not the master key"), "{said}");
}

#[test]
fn secrets_come_from_files_that_nobody_else_reads_and_never_from_arguments() {
    let (home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let greeting = demo.greeting();
    let console = Console::on_data(&dir);
    let file = home.path().join("password");
    fs::write(&file, "from a file\n").unwrap();
    let path = file.to_str().unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let add = ["user", "add", "ann", "--password-file", path];
    let (code, said) = console.refused(&add, "");
    assert!(code == 64 && said.contains("chmod 600"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    console.ok(&add, "");
    assert_eq!(basic(&greeting.url, "ann", "from a file").0, 200);
    let create = ["key", "create", "--user", "ann", "--password-file", path];
    assert_eq!(console.ok(&create, "").trim().len(), 30);
    let change = [
        "user",
        "passwd",
        "ann",
        "--generate",
        "--json",
        "--present-file",
        path,
    ];
    let made = console.json(&change, "");
    let made = made["password"].as_str().unwrap();
    assert_eq!(basic(&greeting.url, "ann", made).0, 200);
    for (content, told) in [("", "empty"), (&*"x".repeat(5000), "too long")] {
        fs::write(&file, content).unwrap();
        let (code, said) = console.refused(&create, "");
        assert!(code == 64 && said.contains(told), "{said}");
    }
    let (code, said) = console.refused(&["user", "add", "ben"], "");
    assert!(code == 64 && said.contains("terminal"), "{said}");
    let (code, _) = console.refused(&["user", "add", "ben", "--password", "in the open"], "");
    assert_eq!(code, 64, "there is no such option");
    let (code, said) = console.refused(&["user", "add", "ben"], "short\n");
    assert!(code == 64 && said.contains("8 to 1024"), "{said}");

    demo.signal("TERM");
    let (_, log) = demo.end();
    for secret in ["from a file", made, &greeting.password] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_password_is_asked_for_on_the_terminal_without_echo() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    let url = demo.greeting().url;
    let command = format!(
        "{} user add ann --data-dir {}",
        mayfly().get_program().to_str().unwrap(),
        dir.to_str().unwrap()
    );
    if mayfly().get_args().next().is_some() || Command::new("script").arg("-V").output().is_err() {
        eprintln!("left out: a terminal (script of util-linux, and no emulator)");
        return;
    }
    let typed = |lines: &str| {
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = typed("one password\nanother password\n");
    assert!(code == 64 && text.contains("not the same"), "{text}");
    let (code, text) = typed("typed password\ntyped password\n");
    assert!(code == 0 && text.contains("API_KEY="), "{text}");
    assert!(text.contains("New password of ann:"), "{text}");
    assert_eq!(basic(&url, "ann", "typed password").0, 200);
}

#[test]
fn where_there_is_no_server_and_no_data_it_is_said_what_to_do() {
    let (home, dir) = directory();
    let console = Console::on_data(&dir);
    let (code, said) = console.refused(&["user", "list"], "");
    assert_eq!(code, 78);
    assert!(
        said.contains("no data of Mayfly yet") && said.contains("--data-dir"),
        "{said}"
    );
    assert!(!dir.exists(), "asking makes nothing");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("lock"), "").unwrap();
    assert_eq!(console.refused(&["user", "list"], "").0, 78);
    let missing = Console::with_settings(&home.path().join("none.toml"));
    let (code, said) = missing.refused(&["key", "list"], "");
    assert!(code == 78 && said.contains("none.toml"), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
}

#[test]
fn who_has_the_data_without_answering_is_told_apart() {
    let (_home, dir) = directory();
    let mut demo = Running::demo(&dir);
    demo.greeting();
    let console = Console::on_data(&dir);
    fs::remove_file(dir.join("admin.sock")).unwrap();
    let (code, said) = console.refused(&["user", "list"], "");
    assert_eq!(code, 75, "{said}");
    assert!(
        said.contains("in use") && said.contains("try again"),
        "{said}"
    );
    demo.signal("TERM");
    assert_eq!(
        demo.end().0,
        Some(0),
        "and the end of the server is as usual"
    );
}

#[test]
fn another_user_is_told_that_the_data_is_not_his() {
    let (home, dir) = directory();
    let mut demo = Running::demo(&dir);
    demo.greeting();
    let is_root = fs::read_to_string("/proc/self/status")
        .unwrap()
        .contains("Uid:\t0\t");
    let setpriv = Command::new("setpriv").arg("--version").output();
    if !is_root || setpriv.is_err() || mayfly().get_args().next().is_some() {
        eprintln!("left out: another user (needs root and setpriv of util-linux)");
        return;
    }
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = home.path().join("mayfly");
    fs::copy(mayfly().get_program(), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = || {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary)
            .args(["user", "list", "--data-dir"])
            .arg(&dir)
            .output()
            .unwrap()
    };
    let output = as_nobody();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(said.contains("sudo"), "{said}");

    // Even where the directory lets him pass, the socket does not.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.join("lock"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = as_nobody();
    assert_eq!(output.status.code(), Some(74));
    // And where the socket does, the server looks at who it is.
    let socket = dir.join("admin.sock");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let output = as_nobody();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_socket_is_for_its_owner_and_a_stale_one_is_replaced() {
    let (_home, dir) = directory();
    let socket = dir.join("admin.sock");
    let mut demo = Running::demo(&dir);
    demo.greeting();
    let found = fs::symlink_metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    demo.child.kill().unwrap();
    demo.wait();
    assert!(socket.exists(), "a kill leaves it behind");
    let console = Console::on_data(&dir);
    console.ok(&["user", "list"], "");
    let mut demo = Running::demo(&dir);
    demo.greeting();
    console.ok(&["user", "list"], "");
    let (code, log) = Running::demo(&dir).end();
    assert_eq!(code, Some(75), "{log}");
    console.ok(&["user", "list"], "");
    demo.signal("TERM");
    demo.wait();
    assert!(!socket.exists());

    // A file of somebody else is not touched, and files are served all the same.
    fs::write(&socket, "mine").unwrap();
    let mut demo = Running::demo(&dir);
    let url = demo.greeting().url;
    assert_eq!(get(&url, "/health", "").0, 200);
    demo.signal("TERM");
    let (code, log) = demo.end();
    assert!(code == Some(0) && log.contains("no admin socket"), "{log}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
}

#[test]
fn in_a_service_the_socket_is_in_the_run_time_directory_and_found_all_the_same() {
    let (home, dir) = directory();
    let runtime = home.path().join("run");
    fs::create_dir(&runtime).unwrap();
    let start = || {
        let mut demo = Running::start(
            mayfly()
                .env(
                    "RUNTIME_DIRECTORY",
                    format!("{0}:/elsewhere", runtime.display()),
                )
                .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
                .arg(&dir),
        );
        demo.greeting();
        demo
    };
    let mut demo = start();
    let socket = runtime.join("admin.sock");
    assert_eq!(fs::read_link(dir.join("admin.sock")).unwrap(), socket);
    assert!(
        fs::symlink_metadata(&socket)
            .unwrap()
            .file_type()
            .is_socket()
    );
    Console::on_data(&dir).ok(&["user", "list"], "");
    demo.child.kill().unwrap();
    demo.wait();
    let demo = start();
    Console::on_data(&dir).ok(&["user", "list"], "");
    demo.signal("TERM");
    assert_eq!(demo.end().0, Some(0));
    assert!(fs::symlink_metadata(dir.join("admin.sock")).is_err());
    assert!(!socket.exists());

    // The socket of a living server is not taken away from it.
    let other = UnixListener::bind(&socket).unwrap();
    let demo = start();
    demo.signal("TERM");
    assert!(demo.end().1.contains("another server answers there"));
    assert!(UnixStream::connect(&socket).is_ok());
    drop(other);
}

#[test]
fn a_data_directory_with_a_long_path_has_a_socket_too() {
    let (home, _) = directory();
    let dir = home.path().join("x".repeat(90)).join("y".repeat(90));
    let mut demo = Running::demo(&dir);
    demo.greeting();
    Console::on_data(&dir).ok(&["user", "list"], "");
}
