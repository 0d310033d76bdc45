//! The fields of accounts and API keys, in the order in which they are stored, now and in earlier schemas.
//!
//! As in [`super::records`]: a change here is a new schema.

use super::codec::{Decoder, Encoder, Record};
use crate::model::{
    Account, AccountId, AccountKeyWraps, ApiKey, Leaving, Lookup, Permissions, Role,
    UserPermissions,
};

impl Record for Account {
    const LAYOUT: u8 = 3;

    fn put(&self, to: &mut Encoder) {
        put_first_form(self, to);
        to.u8(self.role.number());
        to.bool(self.disabled);
        to.option(self.wraps.by_recovery.as_ref(), |to, wrap| to.bytes(wrap));
        to.u16(self.permissions.0);
        to.option(self.leaving.as_ref(), |to, leaving| match leaving {
            Leaving::DeletesFiles => to.u8(0),
            Leaving::MovesFiles(AccountId(heir)) => {
                to.u8(1);
                to.u64(*heir);
            }
        });
        to.bool(self.must_change_password);
        to.option(self.last_online.as_ref(), |to, at| to.time(*at));
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        let mut account = take_first_form(key, from)?;
        account.role = match from.u8()? {
            0 => Role::SuperAdmin,
            1 => Role::Admin,
            2 => Role::User,
            _ => return None,
        };
        account.disabled = from.bool()?;
        account.wraps.by_recovery = from.option(Decoder::vec)?;
        account.permissions = UserPermissions(from.u16()?);
        account.leaving = from.option(|from| match from.u8()? {
            0 => Some(Leaving::DeletesFiles),
            1 => from.u64().map(AccountId).map(Leaving::MovesFiles),
            _ => None,
        })?;
        account.must_change_password = from.bool()?;
        account.last_online = from.option(Decoder::time)?;
        Some(account)
    }
}

/// An account as the schemas 2 to 4 had it: an administrator or a user, with all that goes with that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AccountOfSchema2(pub(super) Account);

impl Record for AccountOfSchema2 {
    const LAYOUT: u8 = 2;

    fn put(&self, to: &mut Encoder) {
        let Self(account) = self;
        put_first_form(account, to);
        to.u8(u8::from(account.role.is_admin()));
        to.bool(account.disabled);
        to.option(account.wraps.by_recovery.as_ref(), |to, wrap| {
            to.bytes(wrap);
        });
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        let mut account = take_first_form(key, from)?;
        account.role = match from.u8()? {
            0 => Role::User,
            1 => Role::Admin,
            _ => return None,
        };
        account.permissions = account.role.usual();
        account.disabled = from.bool()?;
        account.wraps.by_recovery = from.option(Decoder::vec)?;
        Some(Self(account))
    }
}

/// An account as schema 1 had it: every one was an administrator's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AccountOfSchema1(pub(super) Account);

impl Record for AccountOfSchema1 {
    fn put(&self, to: &mut Encoder) {
        put_first_form(&self.0, to);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        take_first_form(key, from).map(Self)
    }
}

fn put_first_form(account: &Account, to: &mut Encoder) {
    to.bytes(account.name.as_bytes());
    to.time(account.created);
    to.password(&account.password);
    to.bytes(&account.wraps.by_password);
    to.option(account.wraps.by_master.as_ref(), |to, wrap| to.bytes(wrap));
}

fn take_first_form(key: &[u8], from: &mut Decoder<'_>) -> Option<Account> {
    Some(Account {
        id: AccountId(u64::from_be_bytes(key.try_into().ok()?)),
        name: from.text()?,
        created: from.time()?,
        password: from.password()?,
        wraps: AccountKeyWraps {
            by_password: from.vec()?,
            by_master: from.option(Decoder::vec)?,
            by_recovery: None,
        },
        role: Role::Admin,
        permissions: Role::Admin.usual(),
        disabled: false,
        leaving: None,
        must_change_password: false,
        last_online: None,
    })
}

impl Record for ApiKey {
    const LAYOUT: u8 = 2;

    fn put(&self, to: &mut Encoder) {
        put_key(self, to);
        to.option(self.expires.as_ref(), |to, at| to.time(*at));
        to.option(self.last_used.as_ref(), |to, at| to.time(*at));
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        let mut row = take_key(key, from)?;
        row.expires = from.option(Decoder::time)?;
        row.last_used = from.option(Decoder::time)?;
        Some(row)
    }
}

/// An API key as the schemas 1 to 4 had it: without an end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ApiKeyOfSchema1(pub(super) ApiKey);

impl Record for ApiKeyOfSchema1 {
    fn put(&self, to: &mut Encoder) {
        put_key(&self.0, to);
    }

    fn take(key: &[u8], from: &mut Decoder<'_>) -> Option<Self> {
        take_key(key, from).map(Self)
    }
}

fn put_key(key: &ApiKey, to: &mut Encoder) {
    to.bytes(key.public_id.as_bytes());
    to.u64(key.account.0);
    to.bytes(key.name.as_bytes());
    to.time(key.created);
    to.u16(key.permissions.0);
    to.bytes(&key.wrap);
}

fn take_key(key: &[u8], from: &mut Decoder<'_>) -> Option<ApiKey> {
    Some(ApiKey {
        lookup: Lookup(key.try_into().ok()?),
        public_id: from.text()?,
        account: AccountId(from.u64()?),
        name: from.text()?,
        created: from.time()?,
        permissions: Permissions(from.u16()?),
        wrap: from.vec()?,
        expires: None,
        last_used: None,
    })
}
