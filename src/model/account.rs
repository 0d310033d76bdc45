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
    /// Its rank.
    pub role: Role,
    /// What it may do beyond its own files.
    pub permissions: UserPermissions,
    /// No credential opens it, and its links answer as if they were none.
    pub disabled: bool,
    /// It is being removed, and what becomes of its files. Then it is disabled, too.
    pub leaving: Option<Leaving>,
    /// Its password was given to it by somebody else: it should choose another.
    pub must_change_password: bool,
    /// When one of its credentials was last used, to the hour.
    pub last_online: Option<Timestamp>,
    /// How its password becomes a key.
    pub password: PasswordParams,
    /// Its account key under each credential that is not an API key.
    pub wraps: AccountKeyWraps,
}

/// The account key, wrapped once for each credential that opens the account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountKeyWraps {
    /// Under the password. That it opens is also how the password is checked. Empty when there is no
    /// password yet.
    pub by_password: Vec<u8>,
    /// Under the master key of the server: only with `encryption = "server"`.
    pub by_master: Option<Vec<u8>>,
    /// Under the recovery phrase, when one was given out.
    pub by_recovery: Option<Vec<u8>>,
}

impl Account {
    /// What its credentials may do at the most, now.
    pub fn rights(&self) -> Permissions {
        let mut rights = Permissions::ALL;
        for (of_user, of_key) in UserPermissions::FOR_KEYS {
            if !self.permissions.allow(of_user) {
                rights = rights.without(of_key);
            }
        }
        rights
    }

    /// Whether it looks after the server, and can.
    pub fn is_working_admin(&self) -> bool {
        self.role.is_admin() && !self.disabled
    }

    /// Whether it has a password. One that has none was made by another account, and waits for its first.
    pub fn has_password(&self) -> bool {
        !self.wraps.by_password.is_empty()
    }
}

/// What becomes of the files of an account that is being removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaving {
    /// They go with it.
    DeletesFiles,
    /// This account gets them.
    MovesFiles(AccountId),
}

/// The rank of an account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// The one admin whom nobody else can change. There is one as long as there is any admin.
    SuperAdmin,
    /// Looks after the server.
    Admin,
    /// Has files of its own.
    User,
}

impl Role {
    /// Whether accounts of this rank look after the server.
    pub fn is_admin(self) -> bool {
        self <= Self::Admin
    }

    /// What an account of this rank holds when nobody says more.
    pub fn usual(self) -> UserPermissions {
        match self {
            Self::SuperAdmin | Self::Admin => UserPermissions::ALL,
            Self::User => UserPermissions::REPLACE.or(UserPermissions::GUEST_UPLOAD),
        }
    }

    /// Gokapi's number for it: the higher the rank, the lower.
    pub fn number(self) -> u8 {
        match self {
            Self::SuperAdmin => 0,
            Self::Admin => 1,
            Self::User => 2,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::SuperAdmin => "super-admin",
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

/// What an account may do beyond looking after its own files, with Gokapi's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserPermissions(pub u16);

impl UserPermissions {
    /// Replace the contents of own files.
    pub const REPLACE: Self = Self(1);
    /// See the files of others.
    pub const LIST: Self = Self(2);
    /// Change the files of others.
    pub const EDIT: Self = Self(4);
    /// Replace the contents of the files of others.
    pub const REPLACE_OTHER: Self = Self(8);
    /// Delete the files of others.
    pub const DELETE: Self = Self(16);
    /// Read the log.
    pub const LOGS: Self = Self(32);
    /// Manage the API keys of others.
    pub const API: Self = Self(64);
    /// Manage accounts.
    pub const USERS: Self = Self(128);
    /// Ask others for files.
    pub const GUEST_UPLOAD: Self = Self(256);
    /// Everything.
    pub const ALL: Self = Self(511);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// What an account needs so that its keys may do something: the rest every account may do.
    pub const FOR_KEYS: [(Self, Permissions); 4] = [
        (Self::REPLACE, Permissions::REPLACE),
        (Self::USERS, Permissions::USERS),
        (Self::LOGS, Permissions::LOGS),
        (Self::GUEST_UPLOAD, Permissions::REQUESTS),
    ];

    /// Whether every bit of `other` is in here.
    pub fn allow(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These but those.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
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
    /// From when on it opens nothing; `None` is never.
    pub expires: Option<Timestamp>,
    /// When it was last used, to the hour.
    pub last_used: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it opens nothing any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
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

    /// These and those.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These but those.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
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

    fn rights(role: Role, permissions: UserPermissions) -> Permissions {
        let account = Account {
            id: AccountId(1),
            name: "ann".to_owned(),
            created: Timestamp(0),
            role,
            permissions,
            disabled: false,
            leaving: None,
            must_change_password: false,
            last_online: None,
            password: PasswordParams {
                salt: [0; 16],
                memory_kib: 8,
                passes: 1,
            },
            wraps: AccountKeyWraps {
                by_password: Vec::new(),
                by_master: None,
                by_recovery: None,
            },
        };
        assert!(!account.has_password() && account.is_working_admin() == role.is_admin());
        account.rights()
    }

    #[test]
    fn what_keys_may_do_follows_from_what_their_account_may_do() {
        let user = rights(Role::User, Role::User.usual());
        assert!(user.allow(Permissions::BASIC) && user.allow(Permissions::API_MOD));
        assert!(!user.allow(Permissions::USERS) && !user.allow(Permissions::LOGS));
        let bare = rights(Role::User, UserPermissions::NONE);
        assert_eq!(bare.0, 1023 & !(32 | 64 | 128 | 256));
        for (of_user, of_key) in UserPermissions::FOR_KEYS {
            assert_eq!(rights(Role::User, of_user), bare.or(of_key));
        }
        for role in [Role::SuperAdmin, Role::Admin] {
            assert_eq!(rights(role, role.usual()), Permissions::ALL);
        }
        assert_eq!(Permissions::ALL.words().len(), 10);
        assert_eq!(
            Permissions::BASIC.words(),
            ["view", "upload", "delete", "edit"]
        );
    }
}
