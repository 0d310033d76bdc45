//! The demo: a complete server without a settings file, and a greeting that says how to use it.

use crate::app::{App, StartError};
use crate::config::{Credentials, Settings};
use crate::model::{Permissions, Token};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The settings of a demo in `dir`: the defaults, and credentials in `demo-credentials.toml`.
pub fn settings(dir: PathBuf, listen: SocketAddr) -> Settings {
    Settings {
        listen,
        credentials_file: dir.join("demo-credentials.toml"),
        ..Settings::in_directory(dir)
    }
}

/// The credentials of a demo, after a check that they open its account.
///
/// # Errors
/// [`StartError::Credentials`] when the file is gone, or belongs to other data.
pub fn credentials(app: &mut App, settings: &Settings) -> Result<Credentials, StartError> {
    let problem = |problem| StartError::Credentials {
        path: settings.credentials_file.clone(),
        problem,
    };
    let credentials = app.take_credentials().ok_or_else(|| {
        problem("the credentials of this demo are gone and cannot be made again: restore the file, or choose another directory with --dir")
    })?;
    let key = credentials.api_key.as_ref().map(Token::reveal);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    match app.service().authenticate(key, Permissions::NONE, here) {
        Ok(_) => Ok(credentials),
        Err(_) => Err(problem(
            "the API key in it does not open this demo (any more): restore the file that belongs here; or make a key with mayfly key create --user admin --data-dir DIR and put it into the file; or choose another directory with --dir",
        )),
    }
}

/// Prints where a server is, for whoever started it: `URL=` and the address, a line of its own.
///
/// # Errors
/// What the output reports; the server runs all the same.
pub fn announce(out: &mut impl Write, url: &str) -> io::Result<()> {
    writeln!(out, "URL={url}")?;
    out.flush()
}

/// Prints what a program needs, one `KEY=VALUE` a line, and then what a person needs.
///
/// # Errors
/// What the output reports; the server runs all the same.
pub fn greet(out: &mut impl Write, url: &str, credentials: &Credentials) -> io::Result<()> {
    let key = credentials.api_key.as_ref().map_or("", Token::reveal);
    let (user, password) = (&credentials.user, credentials.password.as_str());
    announce(out, url)?;
    write!(
        out,
        "API_KEY={key}\nADMIN_USER={user}\nADMIN_PASSWORD={password}\n"
    )?;
    out.flush()?;
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

    fn sample() -> Credentials {
        Credentials {
            user: "admin".to_owned(),
            password: zeroize::Zeroizing::new("pass".to_owned()),
            api_key: Token::parse("abcdefghij0123456789ABCDEFGHIJ"),
            recovery_phrase: None,
        }
    }

    #[test]
    fn the_first_lines_are_for_programs_and_the_rest_can_be_pasted() {
        let mut out = Vec::new();
        greet(&mut out, "http://127.0.0.1:1", &sample()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(
            "URL=http://127.0.0.1:1\nAPI_KEY=abcdefghij0123456789ABCDEFGHIJ\nADMIN_USER=admin\nADMIN_PASSWORD=pass\n\n"
        ));
        assert!(text.contains(
            "curl -X POST http://127.0.0.1:1/api/files/add -H \"apikey: abcdefghij0123456789ABCDEFGHIJ\""
        ));
        assert!(text.contains("-F \"allowedDownloads=5\" -F \"expiryDays=7\""));
    }
}
