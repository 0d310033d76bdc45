//! The dialogue with a scripted person on a made-up machine, and what it writes on a real disk.

mod bucket;

use super::answers::listen_for;
use super::*;
use crate::app::{self, Finding};
use crate::config::{Environment, Settings, load};
use crate::model::SystemClock;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Gives prepared answers and remembers everything that was said.
struct Script {
    answers: VecDeque<&'static str>,
    asked: usize,
    said: String,
}

impl Script {
    fn of(answers: &[&'static str]) -> Self {
        Self {
            answers: answers.iter().copied().collect(),
            asked: 0,
            said: String::new(),
        }
    }

    fn next(&mut self, question: &str) -> Result<&'static str, Stop> {
        self.asked += 1;
        self.said.push_str(&format!("? {question}\n"));
        self.answers.pop_front().ok_or(Stop::Ended)
    }
}

impl Prompt for Script {
    fn say(&mut self, text: &str) -> Result<(), Stop> {
        self.said.push_str(&format!("{text}\n"));
        Ok(())
    }

    fn line(&mut self, question: &str, default: &str) -> Result<String, Stop> {
        Ok(match self.next(&format!("{question} [{default}]"))? {
            "" => default.to_owned(),
            text => text.to_owned(),
        })
    }

    fn hidden(&mut self, question: &str) -> Result<Zeroizing<String>, Stop> {
        Ok(Zeroizing::new(self.next(question)?.to_owned()))
    }

    fn choose(&mut self, question: &str, items: &[String], default: usize) -> Result<usize, Stop> {
        for item in items {
            self.said.push_str(&format!("- {item}\n"));
        }
        match self.next(question)? {
            "" => Ok(default),
            wish => Ok(items
                .iter()
                .position(|item| item.starts_with(wish))
                .unwrap_or_else(|| panic!("no {wish} in {items:?}"))),
        }
    }
}

/// A machine with two addresses, on which port 1 is taken and /full cannot be written.
struct Machine;

impl Host for Machine {
    fn addresses(&self) -> Vec<String> {
        ["http://pi.local:53842", "http://127.0.0.1:53842"]
            .map(str::to_owned)
            .to_vec()
    }

    fn storage(&self, directory: &Path) -> Result<String, String> {
        match directory.starts_with("/full") {
            true => Err("/full cannot be written: choose another directory".to_owned()),
            false => Ok("1.0 GB are free there.".to_owned()),
        }
    }

    fn can_listen(&self, address: SocketAddr) -> Result<(), String> {
        match address.port() {
            1 => Err("port 1 is taken: choose another port".to_owned()),
            _ => Ok(()),
        }
    }

    fn bucket(&self, settings: &Settings) -> Vec<Finding> {
        bucket::tried(settings)
    }
}

const PASSWORD: &str = "tractor velvet moon";
const CONFIG: &str = "/etc/mayfly/test.toml";
const PLAIN: [&str; 8] = [PASSWORD, PASSWORD, "", "", "", "", "", ""];

fn dialogue(answers: &[&'static str]) -> (Script, Result<Answers, Stop>) {
    let mut script = Script::of(answers);
    let result = ask(&mut script, &Machine, Path::new(CONFIG));
    (script, result)
}

fn agreed(answers: &[&'static str]) -> (Script, Answers) {
    let (script, result) = dialogue(answers);
    match result {
        Ok(answers) => (script, answers),
        Err(stop) => panic!("{stop:?} after\n{}", script.said),
    }
}

#[test]
fn eight_times_enter_but_for_the_password_gives_the_proposals() {
    let (script, answers) = agreed(&PLAIN);
    assert_eq!(script.asked, 8);
    let settings = answers.settings().unwrap();
    assert_eq!(settings.data_dir, Path::new("/var/lib/mayfly"));
    assert_eq!(
        settings.public_url.as_deref(),
        Some("http://pi.local:53842")
    );
    assert_eq!(settings.listen.to_string(), "0.0.0.0:53842");
    assert_eq!((settings.default_days, settings.default_downloads), (14, 1));
    assert_eq!(*answers.password, PASSWORD);
    assert!(!script.said.contains(PASSWORD));
}

#[test]
fn everything_that_is_said_fits_into_eighty_columns() {
    let (script, _) = agreed(&PLAIN);
    // A list is drawn with two columns in front, and a hint after the question.
    for line in script.said.lines() {
        assert!(line.chars().count() <= 77, "{line}");
    }
}

#[test]
fn a_wrong_answer_is_told_with_its_remedy_and_asked_again() {
    let (script, answers) = agreed(&[
        "short",
        "esc\u{1b}[Aape",
        PASSWORD,
        "tractor velvet mo",
        PASSWORD,
        PASSWORD,
        "relative/path",
        "/full",
        "/srv/mayfly",
        "ftp://files",
        "http://pi:1",
        "7",
        "2",
        "many",
        "-1",
        "7",
        "4294967296",
        "5",
        "none",
        "",
    ]);
    let settings = answers.settings().unwrap();
    assert_eq!(settings.data_dir, Path::new("/srv/mayfly"));
    assert_eq!(
        settings.public_url.as_deref(),
        Some("http://127.0.0.1:53842")
    );
    assert_eq!(settings.listen.to_string(), "127.0.0.1:53842");
    assert_eq!((settings.default_days, settings.default_downloads), (7, 5));
    for remedy in [
        "a password has 8 to 1024 bytes",
        "type it again",
        "the two are not the same",
        "write the whole path",
        "/full cannot be written",
        "write the address that visitors use",
        "port 1 is taken",
        "write a whole number from 0 to 36500",
        "write a whole number from 0 to 4294967295",
    ] {
        assert!(script.said.contains(remedy), "{remedy}:\n{}", script.said);
    }
    assert_eq!(
        script.said.matches("Not taken").count(),
        11,
        "{}",
        script.said
    );
}

#[test]
fn a_weak_password_is_told_so_and_may_stay() {
    let weak = "password1";
    let mut answers = PLAIN;
    (answers[0], answers[1]) = (weak, weak);
    let (script, answers) = agreed(&answers);
    assert!(
        script
            .said
            .contains("The password is weak: it is among the first")
    );
    assert_eq!(*answers.password, weak);
}

#[test]
fn every_answer_can_be_changed_at_the_end() {
    let mut answers = PLAIN[..7].to_vec();
    answers.extend([
        "Password",
        "another long password",
        "another long password",
        "Directory",
        "/data",
        "Address",
        "https://files.example.org/",
        "Listening",
        "127.0.0.1:1",
        "127.0.0.1:8080",
        "Days",
        "0",
        "Downloads",
        "0",
        "Encryption",
        "server",
        "Encryption",
        "none",
        "Encryption",
        "",
        "",
    ]);
    let (script, answers) = agreed(&answers);
    assert_eq!(*answers.password, "another long password");
    let text = answers.to_toml();
    for line in [
        "listen = \"127.0.0.1:8080\"",
        "public_url = \"https://files.example.org/\"",
        "data_dir = \"/data\"",
        "default_days = 0",
        "default_downloads = 0",
        "encryption = \"none\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
    }
    assert!(!text.contains("master"), "{text}");
    assert!(
        script
            .said
            .contains("- Address of links      https://files.example.org")
    );
}

#[test]
fn who_ends_at_any_question_gets_no_answers() {
    for count in 0..PLAIN.len() {
        let (script, result) = dialogue(&PLAIN[..count]);
        assert!(matches!(result, Err(Stop::Ended)));
        assert_eq!(script.asked, count + 1);
    }
    let mut answers = PLAIN;
    answers[7] = "End";
    assert!(matches!(dialogue(&answers).1, Err(Stop::Ended)));
}

#[test]
fn it_listens_where_the_address_leads() {
    for (url, listen) in [
        ("http://pi.local:53842", "0.0.0.0:53842"),
        ("http://192.168.1.7:8080/share", "0.0.0.0:8080"),
        ("http://[2001:db8::7]:8080", "[::]:8080"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://localhost:8080", "127.0.0.1:8080"),
        ("http://pi", "127.0.0.1:53842"),
        ("http://[::1]", "127.0.0.1:53842"),
        ("https://files.example.org", "127.0.0.1:53842"),
        ("https://files.example.org:8443", "127.0.0.1:53842"),
    ] {
        assert_eq!(listen_for(url).to_string(), listen, "{url}");
    }
}

#[test]
fn a_proxy_on_this_machine_is_believed_and_one_that_is_not_there_is_not() {
    let mut answers = Answers::new(Path::new("/tmp/mayfly.toml"));
    let mut proxies = |key, value: &str| {
        let value = toml::Value::String(value.to_owned());
        answers.set(key, value).unwrap();
        answers.settings().unwrap().trusted_proxies
    };
    let local: Vec<_> = [("127.0.0.1", 32), ("::1", 128)]
        .map(|(ip, bits)| (ip.parse().unwrap(), bits))
        .to_vec();
    assert_eq!(proxies("public_url", "https://files.example.org"), local);
    assert_eq!(proxies("public_url", "http://pi.local:8080"), []);
    assert_eq!(proxies("public_url", "https://files.example.org"), local);
    assert_eq!(proxies("listen", "0.0.0.0:53842"), []);
}

#[test]
fn what_root_makes_in_the_directory_of_another_user_belongs_to_that_user() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !rustix::process::geteuid().is_root() {
        eprintln!("LEFT OUT: giving files away needs root");
        return;
    }
    let (home, config, answers) = place(&[]);
    let data = home.path().join("var/lib/mayfly");
    std::fs::create_dir_all(&data).unwrap();
    chown(&data, Some(65_534), Some(65_534)).unwrap();
    written(&answers, &config).unwrap();
    for path in left(&home) {
        let is_data = path.starts_with(&data);
        let owner = path.symlink_metadata().unwrap().uid();
        assert_eq!(owner == 65_534, is_data, "{}", path.display());
    }
    let settings = load(&config, &Environment::default()).unwrap();
    let error = app::start(settings, Arc::new(SystemClock::new()));
    let error = error.err().unwrap();
    assert!(error.is_configuration(), "{error}");
    assert!(error.to_string().contains("belongs to user 65534"));
}

/// A place for settings and data, and answers that use it.
fn place(extra: &[(&'static str, &str)]) -> (TempDir, PathBuf, Answers) {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("etc/mayfly/mayfly.toml");
    let mut answers = Answers::new(&config);
    answers.password = Zeroizing::new(PASSWORD.to_owned());
    let data = home.path().join("var/lib/mayfly").display().to_string();
    let listen = ("listen", "127.0.0.1:0");
    for (key, value) in [("data_dir", data.as_str()), listen].iter().chain(extra) {
        answers
            .set(key, toml::Value::String((*value).to_owned()))
            .unwrap();
    }
    (home, config, answers)
}

fn written(answers: &Answers, config: &Path) -> Result<Written, SetupError> {
    write(answers, config, Arc::new(SystemClock::new()), &|| None)
}

fn left(home: &TempDir) -> Vec<PathBuf> {
    let mut left = Vec::new();
    let mut open = vec![home.path().to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            left.push(path);
        }
    }
    left
}

#[test]
fn what_is_written_is_private_explained_and_accepted_by_the_server() {
    for mode in ["link", "server", "none"] {
        let (home, config, answers) = place(&[("encryption", mode)]);
        let written = written(&answers, &config).unwrap();
        let about = config.metadata().unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&config).unwrap();
        let keys: Vec<&str> = text.lines().filter(|l| l.contains(" = ")).collect();
        assert_eq!(keys.len(), if mode == "server" { 4 } else { 3 }, "{text}");
        for (before, line) in text.lines().zip(text.lines().skip(1)) {
            assert!(!keys.contains(&line) || before.starts_with("# "), "{text}");
        }
        assert!(!text.contains(PASSWORD) && !text.contains(written.key.reveal()));
        let settings = load(&config, &Environment::default()).unwrap();
        assert_eq!(settings, answers.settings().unwrap());
        assert_eq!(written.master_key.is_some(), mode == "server");
        // Key and password open the account of the server that starts now.
        let app = app::start(settings, Arc::new(SystemClock::new())).unwrap();
        let here = std::net::IpAddr::from([127, 0, 0, 1]);
        let all = crate::model::Permissions::ALL;
        let service = app.service();
        assert!(
            service
                .authenticate(Some(written.key.reveal()), all, here)
                .is_ok()
        );
        assert!(
            service
                .authenticate_password("admin", PASSWORD, here)
                .is_ok()
        );
        drop(app);
        let credentials = left(&home)
            .into_iter()
            .find(|p| p.ends_with("first-credentials.toml"));
        assert_eq!(credentials, None);
    }
}

#[test]
fn settings_that_exist_are_never_changed_and_leave_no_account() {
    let (home, config, answers) = place(&[]);
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(&config, "mine").unwrap();
    let error = written(&answers, &config).err().unwrap();
    assert!(matches!(error, SetupError::Exists { .. }), "{error}");
    assert!(error.to_string().contains("--config"));
    assert_eq!(std::fs::read(&config).unwrap(), b"mine");
    assert_eq!(left(&home).len(), 3, "{:?}", left(&home));
}

#[test]
fn an_interruption_while_writing_takes_everything_back() {
    for mode in ["link", "server"] {
        let (home, config, answers) = place(&[("encryption", mode)]);
        let clock = Arc::new(SystemClock::new());
        let error = write(&answers, &config, clock, &|| Some(130))
            .err()
            .unwrap();
        assert!(matches!(error, SetupError::Ended { code: 130 }), "{error}");
        assert_eq!(left(&home), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_failure_while_writing_takes_back_only_what_was_made() {
    // The data directory is a file.
    let (home, config, answers) = place(&[]);
    std::fs::create_dir_all(home.path().join("var/lib")).unwrap();
    std::fs::write(home.path().join("var/lib/mayfly"), "").unwrap();
    let error = written(&answers, &config).err().unwrap();
    assert!(
        error.to_string().contains("making the data directory"),
        "{error}"
    );
    assert_eq!(left(&home).len(), 3, "{:?}", left(&home));

    // The directory of the settings is a file.
    let (home, config, answers) = place(&[]);
    std::fs::write(home.path().join("etc"), "").unwrap();
    let error = written(&answers, &config).err().unwrap();
    assert!(matches!(error, SetupError::File { .. }), "{error}");
    assert_eq!(left(&home).len(), 1, "{:?}", left(&home));

    // Blobs without a database are somebody's files.
    let (home, config, answers) = place(&[]);
    let blob = home
        .path()
        .join("var/lib/mayfly/blobs/00/000102030405060708090a0b0c0d0e0f");
    std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
    std::fs::write(&blob, "precious").unwrap();
    let error = written(&answers, &config).err().unwrap();
    assert!(error.to_string().contains("no database"), "{error}");
    assert_eq!(std::fs::read(&blob).unwrap(), b"precious");
    assert!(!config.exists() && !home.path().join("var/lib/mayfly/server.key").exists());
}

#[test]
fn an_account_that_is_there_already_is_taken_with_its_password_and_with_no_other() {
    let (home, config, mut answers) = place(&[]);
    let first = written(&answers, &config).unwrap();
    // As after a power cut between account and settings.
    std::fs::remove_file(&config).unwrap();
    let before = left(&home).len();
    answers.password = Zeroizing::new("some other password".to_owned());
    let error = written(&answers, &config).err().unwrap();
    assert!(error.to_string().contains("give that password"), "{error}");
    assert_eq!(left(&home).len(), before);
    answers.password = Zeroizing::new(PASSWORD.to_owned());
    let second = written(&answers, &config).unwrap();
    assert_ne!(first.key.reveal(), second.key.reveal());
    assert!(config.exists());
}

#[test]
fn a_data_directory_in_use_is_left_alone() {
    let (home, config, answers) = place(&[]);
    let settings = answers.settings().unwrap();
    let app = app::start(settings, Arc::new(SystemClock::new())).unwrap();
    let before = left(&home).len();
    let error = written(&answers, &config).err().unwrap();
    assert!(
        error.to_string().contains("is in use by another Mayfly"),
        "{error}"
    );
    assert_eq!(left(&home).len(), before);
    drop(app);
}

fn answered(text: &str, mode: u32) -> Result<Answers, String> {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("password");
    std::fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    let open = home.path().join("open");
    std::fs::write(&open, PASSWORD).unwrap();
    for (path, mode) in [(&secret, 0o600), (&open, 0o644)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let text = text.replace("HOME", home.path().to_str().unwrap());
    let path = home.path().join("answers.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    answers_file::read(&path, Path::new(CONFIG)).map_err(|e| e.to_string())
}

#[test]
fn an_answers_file_gives_the_same_answers() {
    let answers = answered(
        "admin_password_file = \"HOME/password\"\ndata_dir = \"HOME/data\"\n\
         public_url = \"http://pi.local:8080\"\ndefault_days = 3\nencryption = \"server\"\n",
        0o644,
    )
    .unwrap();
    assert_eq!(*answers.password, PASSWORD);
    let settings = answers.settings().unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.default_days, 3);
    assert!(
        answers
            .to_toml()
            .contains("master_key_file = \"/etc/mayfly/mayfly.master-key\"")
    );
    let answers = answered(
        &format!("admin_password = \"{PASSWORD}\"\ndata_dir = \"HOME/d\""),
        0o600,
    );
    assert_eq!(*answers.unwrap().password, PASSWORD);
}

#[test]
fn an_answers_file_is_told_all_its_problems_at_once() {
    let problems = answered(
        "admin_password = \"short\"\ndata_dir = \"here\"\nlisten = \"0.0.0.0\"\n\
         default_days = \"soon\"\nencryption = \"best\"\ncolour = 1\n",
        0o600,
    )
    .err()
    .unwrap();
    for told in [
        "6 problems in",
        "the password: a password has 8",
        "data_dir = \"here\": write the whole path",
        "listen = \"0.0.0.0\": write an address and a port",
        "default_days = \"soon\": write a whole number",
        "encryption = \"best\": write one of",
        "colour: there is no such answer",
    ] {
        assert!(problems.contains(told), "{told}:\n{problems}");
    }
    assert!(!problems.contains("short"), "{problems}");
    for (text, mode, told) in [
        ("admin_password = \"tractor velvet\"", 0o644, "chmod 600"),
        ("admin_password_file = \"HOME/open\"", 0o600, "chmod 600"),
        (
            "admin_password_file = \"HOME/gone\"",
            0o600,
            "cannot be read",
        ),
        (
            "data_dir = \"HOME/d\"",
            0o600,
            "admin_password_file: name a file",
        ),
        (
            "admin_password = \"x\"\nadmin_password_file = \"y\"",
            0o600,
            "give one",
        ),
        ("admin_password = 12345678", 0o600, "in quotes"),
        ("admin_password_file = 12345678", 0o600, "in quotes"),
        (
            "a = 1\nadmin_password = \"never shown",
            0o600,
            "line 2: this is not valid TOML",
        ),
    ] {
        let problems = answered(text, mode).err().unwrap();
        assert!(problems.contains(told), "{told}:\n{problems}");
        assert!(!problems.contains("tractor") && !problems.contains("never shown"));
    }
}

#[test]
fn the_service_gets_its_master_key_from_systemd() {
    let mut answers = Answers::new(Path::new(crate::config::CONFIG_FILE));
    let server = toml::Value::String("server".to_owned());
    answers.set("encryption", server).unwrap();
    let key = "/etc/credstore/mayfly.master-key";
    assert_eq!(answers.master_key().unwrap(), Path::new(key));
    let text = answers.to_toml();
    assert!(
        !text.contains("master_key_file") && text.contains(key),
        "{text}"
    );
    // As systemd would hand it over.
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("mayfly.master-key"), [7; 32]).unwrap();
    let directory = credentials.path().as_os_str().to_owned();
    let environment: Environment = [("CREDENTIALS_DIRECTORY", directory)].into_iter().collect();
    let settings = crate::config::parse(text.as_bytes(), &environment).unwrap();
    assert!(settings.master_key_file.unwrap().is_credential());
    // Somewhere else, because somebody said so.
    let elsewhere = toml::Value::String("/root/mayfly.key".to_owned());
    answers.set("master_key_file", elsewhere).unwrap();
    let text = answers.to_toml();
    assert!(text.contains("master_key_file = \"/root/mayfly.key\""));
}

#[test]
fn what_the_service_cannot_do_by_itself_is_told() {
    let (_home, config, answers) = place(&[("public_url", "http://pi.local:8080")]);
    let mut written = written(&answers, &config).unwrap();
    let mut told = |change: &dyn Fn(&mut Written)| {
        change(&mut written);
        let mut out = Vec::new();
        written.tell(&mut out, false).unwrap();
        String::from_utf8(out).unwrap()
    };
    let usual = told(&|written| {
        written.config = PathBuf::from(crate::config::CONFIG_FILE);
        written.data_dir = PathBuf::from(crate::config::DATA_DIR);
    });
    assert!(usual.contains("systemctl enable --now mayfly\n") && !usual.contains("edit"));
    let port = told(&|written| written.listen = "0.0.0.0:80".parse().unwrap());
    assert!(port.contains("ListenStream=80"), "{port}");
    let place = told(&|written| written.data_dir = PathBuf::from("/mnt/disk"));
    assert!(place.contains("ReadWritePaths=/mnt/disk"), "{place}");
}

#[test]
fn the_last_words_can_be_pasted() {
    let (_home, config, answers) = place(&[("public_url", "http://pi.local:8080")]);
    let written = written(&answers, &config).unwrap();
    let told = |serving| {
        let mut out = Vec::new();
        written.tell(&mut out, serving).unwrap();
        String::from_utf8(out).unwrap()
    };
    let key = written.key.reveal();
    for line in [
        format!("API_KEY={key}"),
        "ADMIN_USER=admin".to_owned(),
        format!(
            "RECOVERY_PHRASE={}",
            written.recovery.as_ref().unwrap().reveal().as_str()
        ),
        format!("  mayfly serve --config {}", config.display()),
        format!("  curl -X POST http://pi.local:8080/api/files/add -H \"apikey: {key}\" \\"),
    ] {
        assert!(
            told(false).lines().any(|l| l == line),
            "{line}:\n{}",
            told(false)
        );
    }
    assert!(!told(true).contains("mayfly serve"));
}
