//! Accounts, their keys, and what each may do.

use super::{AccountId, Lookup, PasswordParams, Timestamp};

/// One account. Everything it owns opens only with one of its credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name, unique without regard to ASCII case.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// How its password becomes a key.
    pub password: PasswordParams,
    /// Its account key under each credential that is not an API key.
    pub wraps: AccountKeyWraps,
}

/// The account key, wrapped once for each credential that opens the account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountKeyWraps {
    /// Under the password. That it opens is also how the password is checked.
    pub by_password: Vec<u8>,
    /// Under the master key of the server: only with `encryption = "server"`.
    pub by_master: Option<Vec<u8>>,
}

/// One API key, as the database holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Hash of the key, and the key of the row.
    pub lookup: Lookup,
    /// Names it in later calls without opening anything: 35 characters, as Gokapi has it.
    pub public_id: String,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it may do.
    pub permissions: Permissions,
    /// The account key, wrapped under this key.
    pub wrap: Vec<u8>,
}

/// The permission bits of an API key, with Gokapi's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permissions(pub u16);

impl Permissions {
    /// List and inspect files.
    pub const VIEW: Self = Self(1);
    /// Upload.
    pub const UPLOAD: Self = Self(2);
    /// Delete and restore.
    pub const DELETE: Self = Self(4);
    /// Make and change API keys.
    pub const API_MOD: Self = Self(8);
    /// Change limits and passwords of files.
    pub const EDIT: Self = Self(16);
    /// Download through the API.
    pub const DOWNLOAD: Self = Self(512);
    /// Gokapi's `basicPermissions`.
    pub const BASIC: Self = Self(1 | 2 | 4 | 16);
    /// Every bit that Gokapi defines.
    pub const ALL: Self = Self(1023);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Whether every bit of `other` is in here.
    pub fn allow(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
