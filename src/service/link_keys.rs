//! The wraps in the row of a link: what its id opens, and what its owner's key opens.

use crate::model::{Secret, Token};
use crate::pipeline::seal::keys::{self, Purpose};
use zeroize::Zeroizing;

/// What the owner of a link can open: everything about it.
pub(super) struct OwnerKeys {
    pub(super) id: Token,
    pub(super) content: Secret,
    pub(super) hotlink: Option<Token>,
    /// The key of the link's password. Links that got their password before this was kept have none.
    pub(super) password: Option<Secret>,
}

impl OwnerKeys {
    /// Wraps it under the account key. `row` is the row that it stands in.
    pub(super) fn wrap(&self, account: &Secret, row: &[u8]) -> Vec<u8> {
        // The content key has a fixed length and the tokens have none of the separator in them.
        let hotlink = self.hotlink.as_ref().map_or("", Token::reveal);
        let content = self.content.reveal();
        let password = self.password.as_ref().map(Secret::reveal);
        // Room for all of it: a buffer that moves while it grows leaves an unwiped one behind.
        let length = content.len()
            + self.id.reveal().len()
            + 1
            + hotlink.len()
            + password.map_or(0, |key| 1 + key.len());
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        plain.extend_from_slice(content);
        plain.extend_from_slice(self.id.reveal().as_bytes());
        plain.push(0);
        plain.extend_from_slice(hotlink.as_bytes());
        if let Some(key) = password {
            plain.push(0);
            plain.extend_from_slice(key);
        }
        keys::wrap(Purpose::LinkByOwner, &[account.reveal()], row, &plain)
    }

    /// Opens [`OwnerKeys::wrap`].
    pub(super) fn unwrap(account: &Secret, row: &[u8], wrapped: &[u8]) -> Option<Self> {
        let plain = keys::unwrap(Purpose::LinkByOwner, &[account.reveal()], row, wrapped)?;
        let (content, tokens) = plain.split_at_checked(32)?;
        // The key comes last and is cut off by the second separator: it may have any bytes.
        let mut parts = tokens.splitn(3, |byte| *byte == 0);
        let mut token = || std::str::from_utf8(parts.next()?).ok();
        let (id, hotlink) = (token()?, token()?);
        Some(Self {
            id: Token::parse(id)?,
            content: Secret::from_slice(content)?,
            hotlink: match hotlink {
                "" => None,
                hotlink => Some(Token::parse(hotlink)?),
            },
            password: match parts.next() {
                None => None,
                Some(key) => Some(Secret::from_slice(key)?),
            },
        })
    }
}

/// The content key under the link key: the id, and the key of the password if there is one.
pub(super) fn wrap_by_link(
    id: &Token,
    password: Option<&Secret>,
    row: &[u8],
    content: &Secret,
) -> Vec<u8> {
    let secrets = link_secrets(id, password);
    keys::wrap(Purpose::ContentByLink, &secrets, row, content.reveal())
}

/// Opens [`wrap_by_link`].
pub(super) fn unwrap_by_link(
    id: &Token,
    password: Option<&Secret>,
    row: &[u8],
    wrapped: &[u8],
) -> Option<Secret> {
    let secrets = link_secrets(id, password);
    let content = keys::unwrap(Purpose::ContentByLink, &secrets, row, wrapped)?;
    Secret::from_slice(&content)
}

fn link_secrets<'a>(id: &'a Token, password: Option<&'a Secret>) -> Vec<&'a [u8]> {
    let mut secrets = vec![id.reveal().as_bytes()];
    secrets.extend(password.map(|key| &key.reveal()[..]));
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_gets_back_what_was_wrapped_and_others_nothing() {
        let (account, other) = (keys::random_secret(), keys::random_secret());
        let hotlink = keys::random_token(Token::HOTLINK);
        // A key may have any bytes, the separator among them.
        let key = || Secret::new([0; 32]);
        for (hotlink, password) in [
            (None, None),
            (Some(hotlink.clone()), None),
            (None, Some(key())),
            (Some(hotlink), Some(key())),
        ] {
            let owned = OwnerKeys {
                id: keys::random_token(Token::LINK),
                content: keys::random_secret(),
                hotlink,
                password,
            };
            let wrapped = owned.wrap(&account, b"row");
            let opened = OwnerKeys::unwrap(&account, b"row", &wrapped).unwrap();
            assert!(opened.id == owned.id && opened.hotlink == owned.hotlink);
            assert_eq!(opened.content.reveal(), owned.content.reveal());
            let password = |keys: &OwnerKeys| keys.password.as_ref().map(|key| *key.reveal());
            assert_eq!(password(&opened), password(&owned));
            assert!(OwnerKeys::unwrap(&other, b"row", &wrapped).is_none());
            assert!(OwnerKeys::unwrap(&account, b"raw", &wrapped).is_none());
        }
    }

    #[test]
    fn a_link_opens_with_id_and_password_and_with_neither_alone() {
        let id = keys::random_token(Token::LINK);
        let (content, password) = (keys::random_secret(), keys::random_secret());
        let wrapped = wrap_by_link(&id, Some(&password), b"row", &content);
        let open = |id: &Token, password| unwrap_by_link(id, password, b"row", &wrapped);
        assert!(open(&id, Some(&password)).is_some_and(|c| c.reveal() == content.reveal()));
        assert!(open(&id, None).is_none());
        let other = keys::random_secret();
        assert!(open(&id, Some(&other)).is_none());
        assert!(open(&keys::random_token(Token::LINK), Some(&password)).is_none());
    }
}
