//! What the machine says about answers: where it can be reached, and what would fail later.

use crate::app::{self, Finding, Outcome, Trouble};
use crate::config::{LISTEN, Settings};
use crate::model::SystemClock;
use rustix::fs::{Access, access, statvfs};
use std::env;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;

/// The machine that Mayfly is going to run on.
pub trait Host {
    /// Addresses that visitors may use, likely ones first. At least one.
    fn addresses(&self) -> Vec<String>;

    /// Whether data can be kept there: a remark about the place, or the remedy.
    ///
    /// # Errors
    /// The remedy.
    fn storage(&self, directory: &Path) -> Result<String, String>;

    /// Whether Mayfly could listen there now.
    ///
    /// # Errors
    /// The remedy.
    fn can_listen(&self, address: SocketAddr) -> Result<(), String>;

    /// What happens when the bucket of the settings is tried out.
    fn bucket(&self, settings: &Settings) -> Vec<Finding>;
}

/// This one.
pub struct ThisHost;

impl Host for ThisHost {
    fn addresses(&self) -> Vec<String> {
        let name = rustix::system::uname();
        let name = name.nodename().to_str().unwrap_or("").to_ascii_lowercase();
        // The address at which this very session arrived works for at least one person.
        let ssh = env::var("SSH_CONNECTION").unwrap_or_default();
        let ssh = ssh.split(' ').nth(2).and_then(|text| text.parse().ok());
        let routes = [
            route("0.0.0.0:0", "192.0.2.1:9"),
            route("[::]:0", "[2001:db8::1]:9"),
        ];
        let multicast_dns = Path::new("/run/avahi-daemon/socket").exists();
        proposals(
            &name,
            multicast_dns,
            ssh.into_iter().chain(routes.into_iter().flatten()),
        )
    }

    fn storage(&self, directory: &Path) -> Result<String, String> {
        let place = directory.display();
        let exists = directory.ancestors().find(|p| p.symlink_metadata().is_ok());
        let exists = exists.unwrap_or(Path::new("/"));
        if !exists.is_dir() {
            return Err(format!(
                "{} is no directory: name a directory, or one to be made",
                exists.display()
            ));
        }
        let rights = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        if let Err(e) = access(exists, rights) {
            return Err(format!(
                "{} cannot be written: {e}; choose another directory, or run setup as the user who may (root for {place})",
                exists.display()
            ));
        }
        let free = statvfs(exists).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
        let known = if directory.join("mayfly.redb").exists() {
            "; it holds a Mayfly already, whose accounts stay"
        } else {
            ""
        };
        Ok(format!(
            "{:.1} GB are free there{known}.",
            free as f64 / 1e9
        ))
    }

    fn can_listen(&self, address: SocketAddr) -> Result<(), String> {
        match TcpListener::bind(address) {
            Ok(_) => Ok(()),
            Err(source) => Err(listen_remedy(address, &source)),
        }
    }

    fn bucket(&self, settings: &Settings) -> Vec<Finding> {
        let clock = Arc::new(SystemClock::new());
        app::try_bucket(settings, clock).unwrap_or_else(|e| {
            let trouble = Trouble {
                sentence: e.to_string(),
                mend: None,
                may_pass: false,
            };
            vec![Finding {
                tried: "settings",
                outcome: Outcome::Fails(trouble),
            }]
        })
    }
}

fn listen_remedy(address: SocketAddr, source: &std::io::Error) -> String {
    let remedy = crate::app::StartError::Listen {
        listen: address,
        source: std::io::Error::from(source.kind()),
    };
    remedy.to_string()
}

/// The address of this machine that packets to `there` would carry. Nothing is sent: to connect a
/// datagram socket only looks the route up. The addresses are those of documentation (RFC 5737,
/// RFC 3849), for which the default route counts.
fn route(here: &str, there: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(here).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Proposals from what is known, without repetition.
fn proposals(
    name: &str,
    multicast_dns: bool,
    addresses: impl Iterator<Item = IpAddr>,
) -> Vec<String> {
    let port = LISTEN.port();
    let mut list = Vec::new();
    let mut add = |url: String| {
        if !list.contains(&url) {
            list.push(url);
        }
    };
    let is_name = |text: &str| {
        !text.is_empty()
            && text != "localhost"
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if is_name(name) {
        if name.contains('.') {
            add(format!("http://{name}:{port}"));
        } else if multicast_dns {
            add(format!("http://{name}.local:{port}"));
        }
    }
    for address in addresses {
        let address = address.to_canonical();
        if !address.is_loopback() && !address.is_unspecified() {
            add(format!("http://{}", SocketAddr::new(address, port)));
        }
    }
    if is_name(name) && !name.contains('.') {
        add(format!("http://{name}:{port}"));
    }
    add(format!("http://{LISTEN}"));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_resolve_come_first_and_this_machine_last() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let addresses = [
            ip("192.168.1.7"),
            ip("::ffff:192.168.1.7"),
            ip("2001:db8::7"),
        ];
        assert_eq!(
            proposals("pi", true, addresses.into_iter()),
            [
                "http://pi.local:53842",
                "http://192.168.1.7:53842",
                "http://[2001:db8::7]:53842",
                "http://pi:53842",
                "http://127.0.0.1:53842",
            ]
        );
        assert_eq!(
            proposals(
                "files.example.org",
                false,
                [ip("::1"), ip("0.0.0.0")].into_iter()
            ),
            ["http://files.example.org:53842", "http://127.0.0.1:53842"]
        );
        assert_eq!(
            proposals("localhost", true, std::iter::empty()),
            ["http://127.0.0.1:53842"]
        );
        assert_eq!(
            proposals("a\"b", true, std::iter::empty()),
            ["http://127.0.0.1:53842"]
        );
    }

    #[test]
    fn a_place_that_cannot_be_used_is_refused_with_a_remedy() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = ThisHost.storage(&file).unwrap_err();
        assert!(refused.contains("no directory"), "{refused}");
        let fresh = ThisHost.storage(&home.path().join("a/b")).unwrap();
        assert!(fresh.contains("GB are free"), "{fresh}");
        let refused = ThisHost.storage(&file.join("below")).unwrap_err();
        assert!(refused.contains("no directory"), "{refused}");
    }

    #[test]
    fn a_port_that_is_taken_is_refused_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = ThisHost.can_listen(address).unwrap_err();
        assert!(refused.contains("another port"), "{refused}");
        drop(taken);
        assert_eq!(ThisHost.can_listen(address), Ok(()));
    }
}
