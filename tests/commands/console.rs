//! Somebody at the command line: types, and looks at what comes.

use crate::program::{ask, mayfly};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A command line for one server.
pub struct Console {
    which: [PathBuf; 2],
}

impl Console {
    pub fn on_data(dir: &Path) -> Self {
        Self {
            which: ["--data-dir".into(), dir.to_owned()],
        }
    }

    pub fn with_settings(config: &Path) -> Self {
        Self {
            which: ["--config".into(), config.to_owned()],
        }
    }

    /// Runs a command with `input`: exit code, output, messages.
    fn run(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut child = mayfly()
            .args(arguments)
            .args(&self.which)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without having read it.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// The output of a command that works.
    pub fn ok(&self, arguments: &[&str], input: &str) -> String {
        let (code, output, said) = self.run(arguments, input);
        assert_eq!(code, 0, "{arguments:?}: {said}");
        output
    }

    pub fn json(&self, arguments: &[&str], input: &str) -> serde_json::Value {
        let with_json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let unique = if arguments.contains(&"--json") {
            arguments
        } else {
            &with_json
        };
        serde_json::from_str(&self.ok(unique, input)).unwrap()
    }

    /// The exit code and message of a command that does not work. Nothing is printed then.
    pub fn refused(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let (code, output, said) = self.run(arguments, input);
        assert_ne!(code, 0, "{arguments:?}: {output}");
        assert_eq!(output, "", "{arguments:?}");
        (code, said)
    }
}

/// What stands behind `KEY=` in the output.
pub fn value(output: &str, key: &str) -> String {
    let value = |line: &str| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned());
    let found = output.lines().find_map(value);
    found.unwrap_or_else(|| panic!("no {key} in {output:?}"))
}

/// Makes an API key with name and password: status and body.
pub fn basic(url: &str, name: &str, password: &str) -> (u16, String) {
    let pair = data_encoding::BASE64.encode(format!("{name}:{password}").as_bytes());
    ask(
        url,
        &format!(
            "POST /api/auth/create HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {pair}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    )
}
