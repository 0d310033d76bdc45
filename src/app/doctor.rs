//! Looks at what a server needs besides its settings: data directory, space, clock, and whether it runs.
//! Changes nothing, and takes no lock.

use super::machine;
use super::storage::{Finding, Outcome, Trouble};
use crate::admin::{self, SOCKET};
use crate::config::Settings;
use crate::model::{Clock, SystemClock};
use rustix::fs::{Access, access, statvfs};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long the server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything. In the order in which one would mend it.
pub fn examine(settings: &Settings) -> Vec<Finding> {
    let data_dir = &settings.data_dir;
    let mut findings = vec![
        Finding {
            tried: "data",
            outcome: data(data_dir),
        },
        Finding {
            tried: "space",
            outcome: space(data_dir, settings.min_free_space),
        },
        Finding {
            tried: "clock",
            outcome: clock(),
        },
    ];
    let (runs, outcome) = socket(data_dir);
    findings.push(Finding {
        tried: "server",
        outcome,
    });
    if runs {
        findings.push(Finding {
            tried: "readiness",
            outcome: readiness(settings.listen),
        });
    }
    findings
}

fn problem(sentence: String, may_pass: bool) -> Outcome {
    Outcome::Fails(Trouble {
        sentence,
        mend: None,
        may_pass,
    })
}

fn data(data_dir: &Path) -> Outcome {
    let place = data_dir.display();
    match data_dir.metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Outcome::Remark(format!("there is no {place} yet: the first start makes it"));
        }
        Err(e) => {
            return problem(
                format!(
                    "{place} cannot be looked at ({e}): run this as root, or as the user that the server runs as"
                ),
                false,
            );
        }
        Ok(about) if !about.is_dir() => {
            return problem(format!("{place} is no directory: correct data_dir"), false);
        }
        Ok(_) => {}
    }
    let rights = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Err(e) = access(data_dir, rights) {
        return problem(
            format!(
                "{place} cannot be written ({e}): run this as root, or as the user that the server runs as; a file system may have become read-only"
            ),
            false,
        );
    }
    match data_dir.join("mayfly.redb").metadata() {
        Ok(_) => Outcome::Works,
        Err(e) if e.kind() == ErrorKind::NotFound => Outcome::Remark(format!(
            "there is no database in {place} yet: the first start makes it"
        )),
        Err(e) => problem(format!("{place}/mayfly.redb: {e}"), false),
    }
}

fn space(data_dir: &Path, reserve: u64) -> Outcome {
    let exists = data_dir.ancestors().find(|path| path.exists());
    let about = match statvfs(exists.unwrap_or(Path::new("/"))) {
        Ok(about) => about,
        Err(e) => return problem(format!("{}: {e}", data_dir.display()), false),
    };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let said = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    if free <= reserve {
        return problem(
            format!(
                "{} are free for {}, and min_free_space is {}: uploads are refused; delete something, or lower min_free_space",
                said(free),
                data_dir.display(),
                said(reserve)
            ),
            false,
        );
    }
    // Zero inodes in all: the file system does not count them.
    if about.f_files > 0 && about.f_favail == 0 {
        return problem(
            format!(
                "{} has no room for another file (inodes): delete some",
                data_dir.display()
            ),
            false,
        );
    }
    Outcome::Works
}

fn clock() -> Outcome {
    match machine::is_synchronised(SystemClock::new().now()) {
        true => Outcome::Works,
        false => Outcome::Remark(
            "nobody sets the clock of this machine: links may end too early or too late, and what has ended is removed late (timedatectl set-ntp true)".to_owned(),
        ),
    }
}

/// Whether the server runs, and how that is told.
fn socket(data_dir: &Path) -> (bool, Outcome) {
    let path = data_dir.join(SOCKET);
    match admin::is_answered(&path) {
        Ok(()) => (true, Outcome::Works),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let told = "it does not run, or has no admin socket: start it (systemctl start mayfly), or look into its log";
            (false, Outcome::Remark(told.to_owned()))
        }
        Err(e) => {
            let told = format!(
                "{} does not let us in ({e}): run this as root, or as the user that the server runs as",
                path.display()
            );
            (false, problem(told, false))
        }
    }
}

/// What the server itself says.
fn readiness(listen: SocketAddr) -> Outcome {
    match ask(listen) {
        Ok((200, _)) => Outcome::Works,
        Ok((_, why)) => problem(format!("the server says that it is not ready: {why}"), true),
        Err(e) => Outcome::Remark(format!(
            "the server does not say at {listen} whether it is ready ({e}): it may listen elsewhere since its last start"
        )),
    }
}

/// Asks for `/ready`: the status and the text.
fn ask(listen: SocketAddr) -> io::Result<(u16, String)> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(16 * 1024).read_to_string(&mut answer)?;
    let senseless = || io::Error::new(ErrorKind::InvalidData, "no HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(senseless)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(senseless)?, body.trim().to_owned()))
}
