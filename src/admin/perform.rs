//! Does what is asked, on a service: the one of a running server, or one on a stopped database.

use super::moves::Moves;
use super::wire::{Answer, Hidden, KeyRow, Reason, Request, UserRow, role};
use crate::model::{AccountId, Lookup, Permissions};
use crate::service::{AccountWish, Encryption, Error, Proof, Service};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

/// Rows of one page.
const PAGE: usize = 64;

/// Does what is asked. `moves` is there while a server runs.
pub fn perform(service: &Service, moves: Option<&dyn Moves>, request: &Request) -> Answer {
    if let Some(answer) = about_moves(moves, request) {
        return answer;
    }
    run(service, request).unwrap_or_else(|error| refusal(service, &error))
}

/// What is asked of moves; `None` when it is something else.
fn about_moves(moves: Option<&dyn Moves>, request: &Request) -> Option<Answer> {
    let is_about = matches!(
        request,
        Request::StartMove { .. } | Request::MoveState | Request::StopMove
    );
    let refused = |message: String| Answer::Refused {
        reason: Reason::Wrong,
        message,
    };
    let Some(moves) = moves else {
        let message = "files are moved by a running server: start it first".to_owned();
        return is_about.then(|| refused(message));
    };
    match request {
        Request::StartMove { to } => Some(match moves.start(*to) {
            Ok(()) => Answer::Done,
            Err(message) => refused(message),
        }),
        Request::MoveState => Some(Answer::Move(moves.state())),
        Request::StopMove => {
            moves.stop();
            Some(Answer::Done)
        }
        _ => None,
    }
}

fn run(service: &Service, request: &Request) -> Result<Answer, Error> {
    match request {
        Request::StartMove { .. } | Request::MoveState | Request::StopMove => {
            Err(Error::Internal("a move is none of the service".into()))
        }
        Request::AddUser {
            name,
            password,
            admin,
        } => {
            let new = service.create_account(AccountWish {
                name,
                password: &password.0,
                role: role(*admin),
            })?;
            Ok(Answer::NewUser {
                id: new.id.0,
                api_key: hidden(new.key.key.reveal()),
                key_id: new.key.public_id,
                recovery_phrase: Hidden(new.recovery.reveal()),
            })
        }
        Request::Opens { user } => service.opens(user, Proof::Master).map(Answer::Opens),
        Request::ChangePassword {
            user,
            proof,
            password,
            new_phrase,
        } => {
            let proof = proof.borrow();
            let phrase = service.change_password(user, proof, &password.0, *new_phrase)?;
            Ok(Answer::NewPassword {
                recovery_phrase: phrase.map(|phrase| Hidden(phrase.reveal())),
            })
        }
        Request::ListUsers { after } => users(service, *after),
        Request::SetRole { user, admin } => {
            service.set_role(user, role(*admin)).map(|()| Answer::Done)
        }
        Request::SetDisabled { user, disabled } => {
            service.set_disabled(user, *disabled)?;
            Ok(Answer::Done)
        }
        Request::RemoveUser { user } => Ok(match service.remove_account_step(user)? {
            true => Answer::More,
            false => Answer::Done,
        }),
        Request::CreateKey {
            user,
            proof,
            name,
            permissions,
        } => {
            let wished = Permissions(*permissions).and(Permissions::ALL);
            let new = service.create_key_for(user, proof.borrow(), name, wished)?;
            Ok(Answer::NewKey {
                api_key: hidden(new.key.reveal()),
                id: new.public_id,
                permissions: words(new.permissions),
            })
        }
        Request::ListKeys { user, after } => keys(service, user, after.as_deref()),
        Request::RevokeKey { id } => match service.revoke_key(id) {
            Err(Error::NotFound) => Err(Error::Invalid(
                "there is no API key of that id: mayfly key list shows them".into(),
            )),
            revoked => revoked.map(|()| Answer::Done),
        },
    }
}

fn users(service: &Service, after: Option<u64>) -> Result<Answer, Error> {
    let accounts = service.accounts(after.map(AccountId), PAGE)?.into_iter();
    let rows = accounts.map(|account| UserRow {
        id: account.id.0,
        name: account.name,
        role: account.role.word().to_owned(),
        disabled: account.disabled,
        created: account.created.0,
    });
    Ok(Answer::Users(rows.collect()))
}

fn keys(service: &Service, user: &str, after: Option<&str>) -> Result<Answer, Error> {
    let after = match after {
        None => None,
        Some(text) => {
            let bytes = HEXLOWER.decode(text.as_bytes()).ok();
            let hash = bytes.and_then(|bytes| bytes.try_into().ok());
            Some(Lookup(hash.ok_or_else(|| {
                Error::Invalid("that is no place in a listing".into())
            })?))
        }
    };
    let page = service.keys_of(user, after.as_ref(), PAGE)?;
    let next = match page.last() {
        Some(last) if page.len() == PAGE => Some(HEXLOWER.encode(&last.lookup.0)),
        _ => None,
    };
    let rows = page.into_iter().map(|key| KeyRow {
        id: key.public_id,
        user: user.to_owned(),
        name: key.name,
        created: key.created.0,
        permissions: words(key.permissions),
    });
    Ok(Answer::Keys {
        keys: rows.collect(),
        next,
    })
}

fn refusal(service: &Service, error: &Error) -> Answer {
    let by_server = service.policy().encryption == Encryption::Server;
    let (reason, message) = match error {
        Error::NotFound => (
            Reason::Wrong,
            "there is no account of that name: mayfly user list shows them".to_owned(),
        ),
        Error::PasswordNeeded if by_server => (
            Reason::Wrong,
            "the master key does not open this account, which is older than encryption = \"server\": its own password does".to_owned(),
        ),
        Error::PasswordNeeded => (
            Reason::Wrong,
            "only a credential of the account opens it: its password, its recovery phrase, or an API key".to_owned(),
        ),
        Error::WrongPassword => (Reason::Wrong, "that does not open the account".to_owned()),
        Error::Invalid(what) => (Reason::Wrong, what.clone()),
        Error::TooMany(_)
        | Error::Busy(_)
        | Error::Full { .. }
        | Error::DatabaseFull
        | Error::Quota
        | Error::ReadOnly
        | Error::Away(_) => (Reason::Later, error.to_string()),
        Error::Internal(what) => (Reason::Failed, what.clone()),
        Error::Unauthorized
        | Error::Forbidden
        | Error::TooLarge { .. }
        | Error::Chunk(_)
        | Error::Input(_)
        | Error::Damaged => (Reason::Failed, error.to_string()),
    };
    Answer::Refused { reason, message }
}

fn hidden(text: &str) -> Hidden {
    Hidden(Zeroizing::new(text.to_owned()))
}

fn words(permissions: Permissions) -> Vec<String> {
    permissions.words().into_iter().map(str::to_owned).collect()
}
