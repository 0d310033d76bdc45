//! A file gets another owner, who sees it from then on as if it were an upload of their own. Its id, its link and its
//! password stay as they are.
//!
//! What an owner sees opens with the key of the account only. So whoever hands a file over must be able to open both
//! accounts: the own one by the credential of the call, others by the master key of the server, which has the
//! keys of accounts with `encryption = "server"` only.

use super::credentials::Proof;
use super::files::{ATTEMPTS, OwnLink, changes_all_the_time};
use super::label::row;
use super::link_keys::OwnerKeys;
use super::{Error, FileView, Service, Session, events};
use crate::metadata::{Rewrite, Rewritten};
use crate::model::{Account, AccountId, Link, Role, Secret, Token};
use crate::pipeline::seal::keys::{self, TokenKind};

/// What became of the wish for another owner.
pub enum Handover {
    /// It is done.
    Done(Box<FileView>),
    /// Only those who look after the server may.
    NotAdmin,
    /// There is no such account.
    NoSuchAccount,
}

impl Service {
    /// Gives a file to another account.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] when one of the accounts cannot be opened, or opens for nobody.
    pub fn change_owner(
        &self,
        session: &Session,
        id: &str,
        to: AccountId,
    ) -> Result<Handover, Error> {
        let caller = self.account_by_number(session.account)?;
        let caller = caller.ok_or(Error::Unauthorized)?;
        if caller.role == Role::User {
            return Ok(Handover::NotAdmin);
        }
        let token = Token::parse(id).ok_or(Error::NotFound)?;
        let lookup = keys::lookup(TokenKind::Link, &token);
        let _turn = self.rewriting();
        for _ in 0..ATTEMPTS {
            let link = self.parts.metadata.link(&lookup);
            let link = link
                .map_err(|error| self.failed(error))?
                .filter(|link| link.is_visible(self.parts.clock.now()))
                .ok_or(Error::NotFound)?;
            let Some(heir) = self.account_by_number(to)? else {
                return Ok(Handover::NoSuchAccount);
            };
            if heir.disabled {
                return Err(Error::Invalid(format!(
                    "the account {:?} is disabled, and its files open for nobody: enable it before",
                    heir.name
                )));
            }
            let owner = self.account_by_number(link.owner)?;
            let owner = owner.ok_or(Error::NotFound)?;
            let of_owner = self.key_of(session, &owner)?;
            let of_heir = self.key_of(session, &heir)?;
            let context = row(&lookup, &link.blob);
            let keys = OwnerKeys::unwrap(&of_owner, &context, &link.by_owner);
            let keys = keys.ok_or(Error::Damaged)?;
            if owner.id == heir.id {
                let view = self.view_of(OwnLink { link, keys })?;
                return Ok(Handover::Done(Box::new(view)));
            }
            let change = Rewrite {
                seen: link.by_owner.clone(),
                link: Link {
                    owner: heir.id,
                    by_owner: keys.wrap(&of_heir, &context),
                    ..link
                },
                by_hotlink: None,
                donor: None,
            };
            let rewritten = self.parts.metadata.rewrite(change);
            match rewritten.map_err(|error| self.failed(error))? {
                // Which of them it is that is gone, the next look tells.
                Rewritten::Outdated | Rewritten::Gone => {}
                Rewritten::Done(link, _) => {
                    events::changed(&lookup, session.account, &["owner"]);
                    let view = self.view_of(OwnLink { link: *link, keys })?;
                    return Ok(Handover::Done(Box::new(view)));
                }
            }
        }
        Err(changes_all_the_time())
    }

    /// The key of an account, for somebody who looks after the server.
    fn key_of(&self, session: &Session, account: &Account) -> Result<Secret, Error> {
        if account.id == session.account {
            return Ok(session.account_key.clone());
        }
        match self.open_account(account, Proof::Master) {
            Err(Error::PasswordNeeded) => Err(Error::Invalid(format!(
                "only a credential of {0:?} opens what that account owns: a file changes its owner where the server \
                 has the keys of both, which is with encryption = \"server\" and after {0:?} has set a password there. \
                 Otherwise have the file uploaded by its new owner",
                account.name
            ))),
            opened => opened,
        }
    }

    fn account_by_number(&self, id: AccountId) -> Result<Option<Account>, Error> {
        let account = self.parts.metadata.account(id);
        account.map_err(|error| self.failed(error))
    }
}
