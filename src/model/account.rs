//! Accounts, their keys, and what each may do.

use super::{AccountId, Lookup, PasswordParams, Timestamp};
use unicode_normalization::UnicodeNormalization;

/// One account. Everything it owns opens only with one of its credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name; no other account has one with the same [`folded_name`].
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What its credentials may do at the most.
    pub role: Role,
    /// No credential opens it, and its links answer as if they were none.
    pub disabled: bool,
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
    /// Under the recovery phrase, when one was given out.
    pub by_recovery: Option<Vec<u8>>,
}

/// What an account is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Looks after the server: every permission.
    Admin,
    /// Has files of its own: every permission that is about them.
    User,
}

impl Role {
    /// What the credentials of such an account may do at the most.
    pub fn permissions(self) -> Permissions {
        match self {
            Self::Admin => Permissions::ALL,
            Self::User => {
                Permissions(Permissions::ALL.0 & !(Permissions::USERS.0 | Permissions::LOGS.0))
            }
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

/// What of a name tells accounts apart: compatible characters are one (Unicode normalisation form
/// KC), and so are upper and lower case. Letters of different scripts that look alike stay
/// different.
pub fn folded_name(name: &str) -> String {
    let lower = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    // Folding may give what is not in normal form, and normalising what is in upper case.
    let once: String = lower(name).nfkc().collect();
    lower(&once).nfkc().collect()
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
    /// Replace the contents of files.
    pub const REPLACE: Self = Self(32);
    /// Manage accounts.
    pub const USERS: Self = Self(64);
    /// Read the log.
    pub const LOGS: Self = Self(128);
    /// Manage requests for files.
    pub const REQUESTS: Self = Self(256);
    /// Download through the API.
    pub const DOWNLOAD: Self = Self(512);
    /// Gokapi's `basicPermissions`.
    pub const BASIC: Self = Self(1 | 2 | 4 | 16);
    /// Every bit that Gokapi defines.
    pub const ALL: Self = Self(1023);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Each single permission with the word for it.
    pub const WORDS: [(&str, Self); 10] = [
        ("view", Self::VIEW),
        ("upload", Self::UPLOAD),
        ("delete", Self::DELETE),
        ("keys", Self::API_MOD),
        ("edit", Self::EDIT),
        ("replace", Self::REPLACE),
        ("users", Self::USERS),
        ("logs", Self::LOGS),
        ("requests", Self::REQUESTS),
        ("download", Self::DOWNLOAD),
    ];

    /// The words for what is in here.
    pub fn words(self) -> Vec<&'static str> {
        let held = Self::WORDS.iter().filter(|(_, one)| self.allow(*one));
        held.map(|(word, _)| *word).collect()
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_read_the_same_are_the_same() {
        for (one, other) in [
            ("Admin", "aDMIN"),
            ("Zo\u{eb}", "ZOE\u{308}"),
            ("\u{c4}nn", "\u{e4}NN"),
            ("\u{ff41}nn", "ann"),
            ("\u{fb01}sh", "FISH"),
            ("\u{212b}ke", "\u{e5}ke"),
            ("\u{2160}van", "ivan"),
        ] {
            assert_eq!(folded_name(one), folded_name(other), "{one} {other}");
        }
        assert_ne!(folded_name("ann"), folded_name("anne"));
        assert_ne!(folded_name("a.nn"), folded_name("ann"));
    }

    #[test]
    fn only_an_admin_may_look_after_others() {
        let user = Role::User.permissions();
        assert!(user.allow(Permissions::BASIC) && user.allow(Permissions::API_MOD));
        assert!(!user.allow(Permissions::USERS) && !user.allow(Permissions::LOGS));
        assert!(Role::Admin.permissions().allow(Permissions::ALL));
        assert_eq!(Permissions::ALL.words().len(), 10);
        assert_eq!(
            Permissions::BASIC.words(),
            ["view", "upload", "delete", "edit"]
        );
    }
}
