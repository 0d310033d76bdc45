//! The first account: without one nobody could upload, so a start on an empty database makes it and
//! leaves what opens it in a file.
//!
//! A crash at any instant leaves an account that the file opens, or none: the file is durable with
//! name and password before the account is made, and gets the API key after. A start that finds a
//! file without a key continues there.

use super::StartError;
use super::data_dir::write_durably;
use crate::config::Credentials;
use crate::model::Token;
use crate::pipeline::seal::keys;
use crate::service::Service;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use zeroize::Zeroizing;

/// Makes the first account, of this name, if there is none. Returns what opens it, as far as the
/// file is there.
pub(super) fn ensure(
    service: &Service,
    path: &Path,
    name: &str,
) -> Result<Option<Credentials>, StartError> {
    let exists = service.has_accounts().map_err(StartError::Service)?;
    let found = read(path)?;
    match (exists, found) {
        // The owner has noted them elsewhere, as advised.
        (true, None) => Ok(None),
        (true, Some(credentials)) if credentials.api_key.is_some() => Ok(Some(credentials)),
        (true, Some(credentials)) => add_key(service, path, credentials).map(Some),
        (false, found) => add_account(service, path, found, name).map(Some),
    }
}

fn add_account(
    service: &Service,
    path: &Path,
    found: Option<Credentials>,
    name: &str,
) -> Result<Credentials, StartError> {
    let mut credentials = match found {
        Some(found) => found,
        None => Credentials {
            user: name.to_owned(),
            password: Zeroizing::new(keys::random_token(Token::PASSWORD).reveal().to_owned()),
            api_key: None,
            recovery_phrase: None,
        },
    };
    // A key from before belongs to a database that is no more.
    credentials.api_key = None;
    credentials.recovery_phrase = None;
    write(path, &credentials)?;
    let account = service
        .add_account(&credentials.user, &credentials.password)
        .map_err(StartError::Service)?;
    credentials.api_key = Some(account.key.key);
    credentials.recovery_phrase = Some(account.recovery.reveal());
    write(path, &credentials)?;
    log::info!(
        "made the account {}; its password and API key are in {}, for your eyes only",
        credentials.user,
        path.display()
    );
    Ok(credentials)
}

/// A crash came between the account and its file: the password is there, the key was never shown.
fn add_key(
    service: &Service,
    path: &Path,
    mut credentials: Credentials,
) -> Result<Credentials, StartError> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let session = service
        .authenticate_password(&credentials.user, &credentials.password, here)
        .map_err(|_| StartError::Credentials {
            path: path.to_owned(),
            problem: "the password in it does not open the account: delete the file if it belongs to another data directory",
        })?;
    let key = service
        .create_api_key(&session, "first key", true)
        .map_err(StartError::Service)?;
    credentials.api_key = Some(key.key);
    write(path, &credentials)?;
    log::info!("made another API key: the first one was lost in a crash");
    Ok(credentials)
}

fn read(path: &Path) -> Result<Option<Credentials>, StartError> {
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => match Credentials::from_toml(&text) {
            Some(credentials) => Ok(Some(credentials)),
            None => Err(StartError::Credentials {
                path: path.to_owned(),
                problem: "this is not a credentials file of Mayfly: restore it, or move it away",
            }),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StartError::File {
            attempt: "reading",
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, credentials: &Credentials) -> Result<(), StartError> {
    write_durably(path, credentials.to_toml().as_bytes()).map_err(|source| StartError::File {
        attempt: "writing",
        path: path.to_owned(),
        source,
    })
}
