//! The demo: a complete server without a settings file, and a greeting that says how to use it.

use crate::app::{App, StartError, Usable};
use crate::config::Settings;
use crate::model::Token;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The settings of a demo in `dir`: the defaults, and credentials in `demo-credentials.toml`.
pub fn settings(dir: PathBuf, listen: SocketAddr) -> Settings {
    Settings {
        listen,
        credentials_file: dir.join("demo-credentials.toml"),
        ..Settings::in_directory(dir)
    }
}

/// The credentials of a demo, after a check of what still opens its account.
///
/// # Errors
/// [`StartError::Credentials`] when the file is gone, or belongs to other data.
pub fn credentials(app: &mut App, settings: &Settings) -> Result<Usable, StartError> {
    app.usable_credentials()?.ok_or_else(|| StartError::Credentials {
        path: settings.credentials_file.clone(),
        problem: "the credentials of this demo are gone and cannot be made again: restore the file, or choose another directory with --dir",
    })
}

/// Prints where a server is, for whoever started it: `URL=` and the address, a line of its own.
///
/// # Errors
/// What the output reports; the server runs all the same.
pub fn announce(out: &mut impl Write, url: &str) -> io::Result<()> {
    writeln!(out, "URL={url}")?;
    out.flush()
}

/// Prints what a program needs, one `KEY=VALUE` a line, and then what a person needs. A password that
/// was changed since `file` was written is not known here: its line has no value.
///
/// # Errors
/// What the output reports; the server runs all the same.
pub fn greet(out: &mut impl Write, url: &str, usable: &Usable, file: &Path) -> io::Result<()> {
    let credentials = &usable.credentials;
    let key = credentials.api_key.as_ref().map_or("", Token::reveal);
    let user = &credentials.user;
    let password = match usable.password_fits {
        true => credentials.password.as_str(),
        false => "",
    };
    announce(out, url)?;
    write!(
        out,
        "API_KEY={key}\nADMIN_USER={user}\nADMIN_PASSWORD={password}\n"
    )?;
    out.flush()?;
    if usable.key_is_new {
        writeln!(
            out,
            "\nThe API key of before does not open the account {user} (any more). This one is new, and kept\nin {}.",
            file.display()
        )?;
    }
    if !usable.password_fits {
        writeln!(
            out,
            "\nThe password of {user} was changed since {} was written: the new one works, and only\nwho set it knows it. To see it here again, write it into that file.",
            file.display()
        )?;
    }
    write!(
        out,
        "
Mayfly is running. Upload a file; five downloads or seven days, whichever comes first:

  curl -X POST {url}/api/files/add -H \"apikey: {key}\" \\
    -F \"file=@README.md\" -F \"allowedDownloads=5\" -F \"expiryDays=7\"

The answer holds the link (UrlDownload). Ctrl-C stops the server; the data stays for the next start.
"
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Credentials;

    fn sample() -> Usable {
        let credentials = Credentials {
            user: "admin".to_owned(),
            password: zeroize::Zeroizing::new("pass".to_owned()),
            api_key: Token::parse("abcdefghij0123456789ABCDEFGHIJ"),
            recovery_phrase: None,
        };
        Usable {
            credentials,
            key_is_new: false,
            password_fits: true,
        }
    }

    fn greeting(usable: &Usable) -> String {
        let mut out = Vec::new();
        let file = Path::new("/data/demo-credentials.toml");
        greet(&mut out, "http://127.0.0.1:1", usable, file).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_lines_are_for_programs_and_the_rest_can_be_pasted() {
        let text = greeting(&sample());
        assert!(text.starts_with(
            "URL=http://127.0.0.1:1\nAPI_KEY=abcdefghij0123456789ABCDEFGHIJ\nADMIN_USER=admin\nADMIN_PASSWORD=pass\n\n"
        ));
        assert!(text.contains(
            "curl -X POST http://127.0.0.1:1/api/files/add -H \"apikey: abcdefghij0123456789ABCDEFGHIJ\""
        ));
        assert!(text.contains("-F \"allowedDownloads=5\" -F \"expiryDays=7\""));
        assert!(!text.contains("demo-credentials"), "nothing to explain");
    }

    #[test]
    fn what_was_replaced_is_explained_after_the_lines_for_programs() {
        let text = greeting(&Usable {
            key_is_new: true,
            password_fits: false,
            ..sample()
        });
        let (lines, explained) = text.split_once("\n\n").unwrap();
        assert!(lines.ends_with("\nADMIN_USER=admin\nADMIN_PASSWORD="));
        assert!(explained.contains("does not open the account admin (any more)"));
        assert!(explained.contains("The password of admin was changed"));
        assert!(!text.contains("=pass"));
    }
}
