//! The JSON of API keys and users.

use crate::model::Timestamp;
use crate::service::{KeyView, UserView};
use serde::Serialize;

/// `GET /api/auth/list`: one API key, without the key. Gokapi has no such call: the names are those of the
/// other calls about keys.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyInfo {
    public_id: String,
    friendly_name: String,
    /// What it may do now, what its owner may do considered.
    permissions: u16,
    user_id: u64,
    creation_date: i64,
    /// To the hour; 0 is never.
    last_used: i64,
    /// 0 is never.
    expiry: i64,
}

impl KeyInfo {
    /// The wire form of a key.
    pub fn new(key: &KeyView) -> Self {
        Self {
            public_id: key.public_id.clone(),
            friendly_name: key.name.clone(),
            permissions: key.permissions.0,
            user_id: key.account.0,
            creation_date: key.created.0,
            last_used: seconds(key.last_used),
            expiry: seconds(key.expires),
        }
    }
}

/// `POST /api/user/create`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    id: u64,
    name: String,
    permissions: u16,
    user_level: u8,
    /// To the hour; 0 is never.
    last_online: i64,
    reset_password: bool,
}

impl User {
    /// The wire form of an account.
    pub fn new(user: &UserView) -> Self {
        Self {
            id: user.id.0,
            name: user.name.clone(),
            permissions: user.permissions.0,
            user_level: user.role.number(),
            last_online: seconds(user.last_online),
            reset_password: user.must_change_password,
        }
    }
}

/// `GET /api/user/list`: one account.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedUser {
    #[serde(flatten)]
    user: User,
    creation_date: i64,
    is_disabled: bool,
}

impl ListedUser {
    /// The wire form of an account.
    pub fn new(user: &UserView) -> Self {
        Self {
            user: User::new(user),
            creation_date: user.created.0,
            is_disabled: user.disabled,
        }
    }
}

/// `PUT /api/user/resetPassword`.
#[derive(Serialize)]
pub struct NewPassword<'a> {
    #[serde(rename = "Result")]
    result: &'static str,
    password: &'a str,
}

impl<'a> NewPassword<'a> {
    /// `password` is empty when none was made up.
    pub fn ok(password: &'a str) -> Self {
        Self {
            result: "OK",
            password,
        }
    }
}

fn seconds(at: Option<Timestamp>) -> i64 {
    at.map_or(0, |Timestamp(seconds)| seconds)
}
