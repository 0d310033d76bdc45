//! The shell of a newcomer: real `curl` and `jq`, with the server's address in the environment.

use super::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a program is installed; says so when it is not.
pub fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
        || Path::new("/usr/sbin").join(program).is_file();
    if !found {
        eprintln!("LEFT OUT: {program} is not installed");
    }
    found
}

/// A working directory with a shell.
pub struct Shell {
    pub home: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Shell {
    /// A shell that knows `$URL` and `$API_KEY` of a server.
    pub fn beside(server: &Server) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            environment: vec![
                ("URL", server.url.clone()),
                ("API_KEY", server.key.clone()),
                ("LC_ALL", "C.UTF-8".to_owned()),
                ("no_proxy", "*".to_owned()),
            ],
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Sets a variable for the lines to come.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.push((name, value.into()));
    }

    /// Runs a script; returns its exit code and what it printed.
    pub fn try_run(&self, script: &str) -> (i32, String) {
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", script])
            .current_dir(self.home.path())
            .envs(self.environment.iter().cloned())
            .output()
            .unwrap();
        let code = output.status.code().unwrap_or(-1);
        let errors = String::from_utf8_lossy(&output.stderr);
        if code != 0 && !errors.trim().is_empty() {
            eprintln!("[{code}] {script}\n{}", errors.trim());
        }
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        (code, text)
    }

    /// Runs a script that has to succeed; returns what it printed.
    pub fn run(&self, script: &str) -> String {
        let (code, text) = self.try_run(script);
        assert_eq!(code, 0, "{script}\nprinted: {text}");
        text
    }
}
