//! The first account: without one nobody could upload, so a start on an empty database makes it and
//! leaves what opens it in a file.
//!
//! A crash at any instant leaves an account that the file opens, or none: the file is durable with
//! name and password before the account is made, and gets the API key after. A start that finds a
//! file without a key continues there. What is replaced later, by whoever looks after the account, is
//! found out by [`check`].

use super::{StartError, durable};
use crate::config::Credentials;
use crate::model::{Permissions, Token};
use crate::pipeline::seal::keys;
use crate::service::{Error, Proof, Service};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// What is in the file.
pub(super) struct Kept {
    credentials: Credentials,
    /// Whether this start made the account: all of it opens it then.
    is_new: bool,
}

/// What of the credentials in the file still opens the account.
pub struct Usable {
    /// The credentials.
    pub credentials: Credentials,
    /// Whether the API key is another one than in the file so far, which did not open the account.
    pub key_is_new: bool,
    /// Whether the password is the one of the account.
    pub password_fits: bool,
}

/// Makes the first account, of this name, if there is none. Returns what opens it, as far as the
/// file is there.
pub(super) fn ensure(
    service: &Service,
    path: &Path,
    name: &str,
) -> Result<Option<Kept>, StartError> {
    let exists = service.has_accounts().map_err(StartError::Service)?;
    let found = read(path)?;
    let credentials = match (exists, found) {
        // The owner has noted them elsewhere, as advised.
        (true, None) => return Ok(None),
        (true, Some(credentials)) if credentials.api_key.is_some() => credentials,
        (true, Some(mut credentials)) => {
            // A crash came between the account and its file, or somebody took the key out of it.
            let problem = "the password in it does not open the account: delete the file if it belongs to another data directory";
            add_key(service, path, &mut credentials, problem)?;
            log::info!("made another API key: there was none in {}", path.display());
            credentials
        }
        (false, found) => add_account(service, path, found, name)?,
    };
    Ok(Some(Kept {
        credentials,
        is_new: !exists,
    }))
}

/// Finds out what still opens the account, and makes another API key for one that opens nothing. One
/// of another account is not replaced, and the password is nobody's to replace but its owner's.
pub(super) fn check(service: &Service, path: &Path, kept: Kept) -> Result<Usable, StartError> {
    let mut credentials = kept.credentials;
    if kept.is_new {
        return Ok(Usable {
            credentials,
            key_is_new: false,
            password_fits: true,
        });
    }
    let opens = |proof| match service.opens(&credentials.user, proof) {
        Err(Error::NotFound) => Ok(false),
        other => other.map_err(StartError::Service),
    };
    let password_fits = opens(Proof::Password(&credentials.password))?;
    let key = credentials.api_key.as_ref();
    let key_is_new = !opens(Proof::Recovery(key.map_or("", Token::reveal)))?;
    if key_is_new {
        let refused = |problem| StartError::Credentials {
            path: path.to_owned(),
            problem,
        };
        let account = service.account_named(&credentials.user);
        if account.is_ok_and(|account| account.disabled) {
            return Err(refused(
                "the account in it is disabled: enable it with mayfly user enable, and start again",
            ));
        }
        let is_known = key.map_or(Ok(false), |key| service.knows_key(key));
        if is_known.map_err(StartError::Service)? {
            return Err(refused(
                "the API key in it is of another account than the user in it: put the name of that account into it (mayfly key list shows whose a key is), or take the line api_key out of it, and another key is made",
            ));
        }
        let problem = "nothing in it opens the account (any more): restore the file that belongs to this data directory; or put a user name and a password that works into it (mayfly user list and mayfly user passwd help to one); or choose another data directory";
        add_key(service, path, &mut credentials, problem)?;
        log::warn!(
            "the API key in {} did not open the account {}, and is another one now",
            path.display(),
            credentials.user
        );
    }
    Ok(Usable {
        credentials,
        key_is_new,
        password_fits,
    })
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

/// Makes another API key with what is left: the password, or the recovery phrase. `problem` is what is
/// wrong when neither opens the account.
fn add_key(
    service: &Service,
    path: &Path,
    credentials: &mut Credentials,
    problem: &'static str,
) -> Result<(), StartError> {
    let phrase = credentials.recovery_phrase.as_ref();
    let proofs = [
        Some(Proof::Password(&credentials.password)),
        phrase.map(|phrase| Proof::Recovery(phrase)),
    ];
    let mut made = Err(Error::WrongPassword);
    for proof in proofs.into_iter().flatten() {
        made = service.create_key_for(&credentials.user, proof, "First key", Permissions::ALL);
        if !matches!(made, Err(Error::WrongPassword)) {
            break;
        }
    }
    let key = made.map_err(|error| match error {
        Error::WrongPassword | Error::NotFound => StartError::Credentials {
            path: path.to_owned(),
            problem,
        },
        other => StartError::Service(other),
    })?;
    credentials.api_key = Some(key.key);
    write(path, credentials).inspect_err(|_| {
        // Nobody has seen it, and each further start would leave another one.
        if let Err(e) = service.revoke_key(&key.public_id) {
            log::error!(
                "the API key {} stays, and nobody knows it: {e}: revoke it with mayfly key revoke",
                key.public_id
            );
        }
    })
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
    durable::write(path, credentials.to_toml().as_bytes()).map_err(|source| StartError::File {
        attempt: "writing",
        path: path.to_owned(),
        source,
    })
}
