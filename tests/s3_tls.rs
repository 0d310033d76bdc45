//! Whom the S3 client believes that they are the server, and how many handshakes that takes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly::model::SystemClock;
use mayfly::store::s3::{Client, Credentials, Kind, Method, Request, S3Error, S3Settings};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use support::tls_front::{Identity, TlsFront};
use tempfile::TempDir;

/// Answers every request with an empty 200.
fn plain_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut writer = connection.try_clone().unwrap();
                for line in BufReader::new(connection).lines().map_while(Result::ok) {
                    let end = line.is_empty();
                    if end
                        && writer
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                            .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn client_of(endpoint: String, ca_file: Option<PathBuf>) -> Result<Client, S3Error> {
    let settings = S3Settings {
        endpoint,
        region: "us-east-1".to_owned(),
        bucket: "bucket".to_owned(),
        prefix: String::new(),
        path_style: true,
        credentials: Credentials {
            key_id: "key".to_owned().into(),
            secret: "secret".to_owned().into(),
            token: None,
        },
        ca_file,
        concurrency: 4,
    };
    Client::new(&settings, Arc::new(SystemClock::new()))
}

fn get(client: &Client) -> Result<(), S3Error> {
    let request = Request {
        method: Method::Get,
        key: "a",
        query: &[],
        headers: &[],
    };
    let mut body = client.fetch(&request)?;
    body.read_to_end(&mut Vec::new()).unwrap();
    Ok(())
}

/// A server with a certificate, and where it is.
struct Stage {
    front: TlsFront,
    _home: TempDir,
}

impl Stage {
    fn with(identity: &Identity) -> Self {
        let home = tempfile::tempdir().unwrap();
        let front = TlsFront::with(identity, plain_server(), home.path());
        Self { front, _home: home }
    }

    fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.front.address.port())
    }

    fn client(&self) -> Client {
        client_of(self.endpoint(), Some(self.front.ca_file.clone())).unwrap()
    }
}

/// What the client says about the server, and the remedy.
fn refusal(client: &Client) -> (String, String) {
    let error = get(client).unwrap_err();
    assert_eq!(*error.kind(), Kind::Tls, "{error}");
    assert!(!error.may_pass());
    (error.code().to_owned(), error.remedy())
}

#[test]
fn twenty_requests_take_one_handshake_and_four_workers_at_most_four() {
    let stage = Stage::with(&Identity::of(&["localhost"]));
    let client = stage.client();
    for _ in 0..20 {
        get(&client).unwrap();
    }
    assert_eq!(stage.front.handshakes(), 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| get(&client).unwrap()));
        }
    });
    assert!(
        stage.front.handshakes() <= 4,
        "{}",
        stage.front.handshakes()
    );
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_believed() {
    let stage = Stage::with(&Identity::of(&["localhost"]));
    let public_only = client_of(stage.endpoint(), None).unwrap();
    let (code, remedy) = refusal(&public_only);
    assert_eq!(code, "UnknownIssuer");
    assert!(remedy.contains("ca_file"), "{remedy}");
    let other = Stage::with(&Identity::of(&["localhost"]));
    let wrong_authority = client_of(stage.endpoint(), Some(other.front.ca_file.clone())).unwrap();
    assert_eq!(refusal(&wrong_authority).0, "UnknownIssuer");
    get(&stage.client()).unwrap();
}

#[test]
fn a_certificate_has_to_be_for_this_name_and_this_time() {
    let elsewhere = Stage::with(&Identity::of(&["s3.example"]));
    let (code, remedy) = refusal(&elsewhere.client());
    assert_eq!(code, "OtherName");
    assert!(remedy.contains("endpoint"), "{remedy}");
    let expired = Stage::with(&Identity::expired(&["localhost"]));
    let (code, remedy) = refusal(&expired.client());
    assert_eq!(code, "NotValidNow");
    assert!(
        remedy.contains("clock") && remedy.contains("renew"),
        "{remedy}"
    );
}

#[test]
fn a_certificate_that_signed_itself_is_believed_where_it_is_named_and_for_its_own_names() {
    let home = Stage::with(&Identity::signed_by_itself(&["localhost"]));
    get(&home.client()).unwrap();
    let public_only = client_of(home.endpoint(), None).unwrap();
    assert_eq!(refusal(&public_only).0, "UnknownIssuer");
    let other = Stage::with(&Identity::signed_by_itself(&["localhost"]));
    let not_this_one = client_of(home.endpoint(), Some(other.front.ca_file.clone())).unwrap();
    assert_eq!(refusal(&not_this_one).0, "UnknownIssuer");
    let elsewhere = Stage::with(&Identity::signed_by_itself(&["s3.example"]));
    assert_eq!(refusal(&elsewhere.client()).0, "OtherName");
}

#[test]
fn an_address_may_stand_in_a_certificate() {
    let stage = Stage::with(&Identity::of(&["127.0.0.1"]));
    let endpoint = format!("https://{}", stage.front.address);
    let client = client_of(endpoint, Some(stage.front.ca_file.clone())).unwrap();
    get(&client).unwrap();
}

#[test]
fn a_port_without_tls_is_called_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 1024]);
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let (code, remedy) = refusal(&client_of(endpoint, None).unwrap());
    assert_eq!(code, "NoTls");
    assert!(remedy.contains("port"), "{remedy}");
}

#[test]
fn a_ca_file_that_is_none_is_refused_before_any_request() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ca.pem");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = client_of("https://localhost".to_owned(), Some(path.clone()))
            .err()
            .unwrap();
        assert_eq!(*error.kind(), Kind::Tls);
        assert!(error.remedy().contains("ca_file"), "{}", error.remedy());
        error.to_string()
    };
    assert!(refused(b"").contains("no certificate"));
    assert!(refused(b"\x30\x82\x01\x02").contains("no certificate"));
    assert!(
        refused(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").contains("PEM")
    );
    let junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refused(junk).contains("can be read"));
    let huge = vec![b'\n'; 5 << 20];
    assert!(refused(&huge).contains("too large"));
}

/// Runs one test of this program again, with a proxy in its environment that nobody can reach.
#[test]
fn proxies_in_the_environment_are_not_asked() {
    let test = "twenty_requests_take_one_handshake_and_four_workers_at_most_four";
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test]);
    for name in [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        again.env(name, "http://127.0.0.1:1");
    }
    for name in ["no_proxy", "NO_PROXY"] {
        again.env_remove(name);
    }
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
