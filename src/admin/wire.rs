//! What is said over the admin socket. Both ends are the same program, so there is no version:
//! what is not understood is refused.

use super::moves::{Destination, MoveState};
use crate::model::Role;
use crate::service;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::Instant;
use zeroize::Zeroizing;

/// The longest request or answer, in bytes. Listings come in pages that fit.
pub(super) const LINE_MAX: usize = 256 * 1024;

/// A secret on its way: no `Debug`, wiped when dropped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Zeroizing<String>);

/// How the account is opened, as [`service::Proof`] has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Proof {
    /// With the master key of the server.
    Master,
    /// With its password.
    Password(Hidden),
    /// With its recovery phrase or one of its API keys.
    Recovery(Hidden),
}

impl Proof {
    pub(super) fn borrow(&self) -> service::Proof<'_> {
        match self {
            Self::Master => service::Proof::Master,
            Self::Password(secret) => service::Proof::Password(&secret.0),
            Self::Recovery(secret) => service::Proof::Recovery(&secret.0),
        }
    }
}

/// What is asked for. Accounts are meant by their names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Request {
    /// A new account. [`Answer::NewUser`].
    AddUser {
        /// Its name.
        name: String,
        /// Its password.
        password: Hidden,
        /// Whether it is an administrator's.
        admin: bool,
    },
    /// Whether the server can open an account by itself. [`Answer::Opens`].
    Opens {
        /// The account.
        user: String,
    },
    /// Another password. [`Answer::NewPassword`].
    ChangePassword {
        /// The account.
        user: String,
        /// How it is opened.
        proof: Proof,
        /// The new password.
        password: Hidden,
        /// Another recovery phrase, too.
        new_phrase: bool,
    },
    /// A page of the accounts. [`Answer::Users`].
    ListUsers {
        /// The number of the last account seen.
        after: Option<u64>,
    },
    /// Another role. [`Answer::Done`].
    SetRole {
        /// The account.
        user: String,
        /// Whether it is an administrator's from now on.
        admin: bool,
    },
    /// Disabled, or enabled again. [`Answer::Done`].
    SetDisabled {
        /// The account.
        user: String,
        /// Which of both.
        disabled: bool,
    },
    /// One step of a removal. [`Answer::More`] until it is [`Answer::Done`].
    RemoveUser {
        /// The account.
        user: String,
    },
    /// A new API key. [`Answer::NewKey`].
    CreateKey {
        /// The account.
        user: String,
        /// How it is opened.
        proof: Proof,
        /// What its owner calls it.
        name: String,
        /// The wished permission bits.
        permissions: u16,
    },
    /// A page of the API keys of an account. [`Answer::Keys`].
    ListKeys {
        /// The account.
        user: String,
        /// [`Answer::Keys::next`] of the page before.
        after: Option<String>,
    },
    /// Revokes an API key. [`Answer::Done`].
    RevokeKey {
        /// Its public id.
        id: String,
    },
    /// Starts to move all files. [`Answer::Done`].
    StartMove {
        /// Where to.
        to: Destination,
    },
    /// How far that is. [`Answer::Move`].
    MoveState,
    /// Ends it. [`Answer::Done`].
    StopMove,
}

/// What is answered.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Answer {
    /// It is done.
    Done,
    /// One step is done, and there are more.
    More,
    /// A new account.
    NewUser {
        /// Its number.
        id: u64,
        /// Its first API key.
        api_key: Hidden,
        /// The public id of that key.
        key_id: String,
        /// Its recovery phrase.
        recovery_phrase: Hidden,
    },
    /// Whether the server can open the account by itself.
    Opens(bool),
    /// How far a move is.
    Move(MoveState),
    /// The password is another.
    NewPassword {
        /// A recovery phrase, for an account that had none.
        recovery_phrase: Option<Hidden>,
    },
    /// A page of accounts; an empty one is the end.
    Users(Vec<UserRow>),
    /// A new API key.
    NewKey {
        /// The key.
        api_key: Hidden,
        /// Its public id.
        id: String,
        /// What it may do.
        permissions: Vec<String>,
    },
    /// A page of API keys.
    Keys {
        /// The keys.
        keys: Vec<KeyRow>,
        /// Where the next page begins; `None` at the end.
        next: Option<String>,
    },
    /// It was not done.
    Refused {
        /// Why, for the program.
        reason: Reason,
        /// Why and what to do, for a person.
        message: String,
    },
}

/// An account in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRow {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `admin` or `user`.
    pub role: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// An API key in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRow {
    /// Its public id.
    pub id: String,
    /// The name of its account.
    pub user: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// What it may do.
    pub permissions: Vec<String>,
}

/// Why it was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// What was asked for makes no sense, or is not allowed.
    Wrong,
    /// It may work later.
    Later,
    /// Something failed; the log of the server has it.
    Failed,
}

pub(super) fn role(admin: bool) -> Role {
    if admin { Role::Admin } else { Role::User }
}

/// What this line asks for. `None` when it is not understood: what is wrong is not told in more words,
/// because those might repeat a secret.
pub(super) fn request(line: &[u8]) -> Option<Request> {
    serde_json::from_slice(line).ok()
}

/// What this line answers. `None` when it is not understood.
pub(super) fn answer(line: &[u8]) -> Option<Answer> {
    serde_json::from_slice(line).ok()
}

/// The bytes of a line, with its end.
pub(super) fn to_line(message: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for the usual at once: a buffer that moves leaves an unwiped one behind.
    let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
    serde_json::to_writer(&mut *line, message)?;
    line.push(b'\n');
    if line.len() > LINE_MAX {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "the message is too long",
        ));
    }
    Ok(line)
}

/// Reads one line, until `deadline` at the latest.
pub(super) fn read_line(
    mut from: &UnixStream,
    deadline: Instant,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut piece = Zeroizing::new([0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        from.set_read_timeout(Some(left))?;
        match from.read(&mut piece[..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => line.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(e) => return Err(e),
        }
        if line.len() > LINE_MAX {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the message is too long",
            ));
        }
        if line.last() == Some(&b'\n') {
            return Ok(line);
        }
    }
}
