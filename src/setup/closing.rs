//! The last words: what was made, the key, and what to type next.

use super::{Answers, Written};
use crate::config::{CONFIG_FILE, DATA_DIR};
use std::io::{self, Write};
use std::path::Path;

impl Written {
    /// Prints what was made and what to do next. The first lines are for programs, one `KEY=VALUE` a
    /// line. `serving` tells that the server starts right now.
    ///
    /// # Errors
    /// What the output reports; everything is written all the same.
    pub fn tell(&self, out: &mut impl Write, serving: bool) -> io::Result<()> {
        let key = self.key.reveal();
        write!(out, "\nAPI_KEY={key}\nADMIN_USER={}\n", self.user)?;
        let config = self.config.display();
        match &self.recovery {
            Some(phrase) => writeln!(
                out,
                "RECOVERY_PHRASE={}\n\nWritten: {config}\nKey and phrase are shown this once. Write the phrase on paper: it helps when\nthe password is forgotten. The key is for programs.",
                phrase.reveal().as_str()
            )?,
            None => writeln!(
                out,
                "\nWritten: {config}\nThe account was there already. The key is new and shown this once."
            )?,
        }
        if let Some(key) = &self.master_key {
            writeln!(
                out,
                "The master key is {}: keep a copy elsewhere. Without it\nand the passwords, nothing opens the files.",
                key.display()
            )?;
        }
        if !self.secrets.is_empty() {
            writeln!(out, "The access key of the bucket is in files of its own:")?;
            for path in &self.secrets {
                writeln!(out, "  {}", path.display())?;
            }
        }
        if self.expects_proxy {
            writeln!(
                out,
                "The address belongs to your reverse proxy: let it pass requests to\n{}. When it is on another machine, let Mayfly listen there, and name it in\ntrusted_proxies.",
                self.listen
            )?;
        }
        if !serving {
            self.tell_start(out)?;
        }
        let url = &self.url;
        write!(
            out,
            "\nThen upload a file:\n\n  curl -X POST {url}/api/files/add -H \"apikey: {key}\" \\\n    -F \"file=@README.md\"\n\nThe answer holds the link (UrlDownload).\n"
        )?;
        out.flush()
    }

    fn tell_start(&self, out: &mut impl Write) -> io::Result<()> {
        if self.config == Path::new(CONFIG_FILE) {
            if !self.data_dir.starts_with(DATA_DIR) {
                let place = quoted(&self.data_dir);
                writeln!(
                    out,
                    "\nThe service keeps its data below {DATA_DIR}. For {place},\ngive it a user who has that directory:\n\n  useradd --system mayfly; chown -R mayfly: {place}\n  systemctl edit mayfly\n    [Service]\n    DynamicUser=no\n    User=mayfly\n    ReadWritePaths={place}"
                )?;
            }
            if (1..1024).contains(&self.listen.port()) {
                writeln!(
                    out,
                    "\nThe service may not open port {port}; systemd opens it for the service:\n\n  systemctl edit mayfly.socket\n    [Socket]\n    ListenStream=\n    ListenStream={port}\n  systemctl enable --now mayfly.socket",
                    port = self.listen.port()
                )?;
            }
            writeln!(
                out,
                "\nStart it, now and after every boot:\n\n  systemctl enable --now mayfly\n\nor without systemd: mayfly serve"
            )
        } else {
            writeln!(
                out,
                "\nStart it:\n\n  mayfly serve --config {}",
                quoted(&self.config)
            )
        }
    }
}

/// Whether visitors reach a proxy first.
pub(super) fn expects_proxy(answers: &Answers) -> bool {
    let Some(url) = answers.text("public_url") else {
        return false;
    };
    let host = url.split("://").nth(1).unwrap_or("");
    let host = host.split('/').next().unwrap_or("");
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    url.starts_with("https://") || !has_port
}

/// A path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:@%".contains(&b);
    if text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
