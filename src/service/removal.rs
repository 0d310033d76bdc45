//! Accounts that other accounts remove, with their files or without them.
//!
//! The first step is durable and says what becomes of the files: the account is disabled from then on. Then
//! files go in steps of one transaction each, and at last the account. A removal that breaks off goes on
//! when the process starts again, or when it is asked for again.

use super::accounts::REMOVAL_STEP;
use super::label::row;
use super::link_keys::OwnerKeys;
use super::users::UserRefusal;
use super::{Error, Service, Session, events};
use crate::metadata::{AccountRemoved, LinkCursor, MovedLink, UserChange};
use crate::model::{Account, AccountId, Leaving, Link, Secret, UserPermissions};
use std::sync::atomic::{AtomicBool, Ordering};

/// Accounts looked at in one go.
const PAGE: usize = 64;

/// Whether this process has looked for removals that broke off.
#[derive(Default)]
pub(super) struct Removals {
    resumed: AtomicBool,
}

impl Service {
    /// Removes an account. Its files go with it, or to the account of the session.
    ///
    /// # Errors
    /// [`UserRefusal`]; [`UserRefusal::Sealed`] when there are files to be moved and only credentials of the
    /// account open them: nothing was changed then.
    pub fn delete_user(
        &self,
        session: &Session,
        id: AccountId,
        with_files: bool,
    ) -> Result<(), UserRefusal> {
        let account = self.user_row(id)?;
        let leaving = if with_files {
            Leaving::DeletesFiles
        } else {
            let has_files = !self.page_of(id, None)?.is_empty();
            // Who may not remove it is told that first.
            if has_files && self.by_master(&account).is_none() {
                let nothing = UserChange::Grant(UserPermissions::NONE);
                self.try_change(session, id, nothing)?;
                return Err(UserRefusal::Sealed(not_to_be_moved()));
            }
            Leaving::MovesFiles(session.account)
        };
        let change = UserChange::Leave(leaving);
        self.change_user(session, id, change, "leaving")?;
        self.finish_removal(id, Some((session.account, &session.account_key)))
    }

    /// Goes on with what an earlier process left. Once: what fails is logged and waits for the next start.
    pub(super) fn resume_removals(&self) -> Result<(), Error> {
        if self.removals.resumed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.parts.metadata.accounts(after, PAGE);
            let page = page.map_err(|error| self.failed(error))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.id);
            for account in page.iter().filter(|account| account.leaving.is_some()) {
                if let Err(why) = self.finish_removal(account.id, None) {
                    let AccountId(id) = account.id;
                    log::error!(
                        "account={id} its removal had broken off and cannot go on ({why:?}): mayfly user remove removes it with its files, mayfly user enable keeps it"
                    );
                }
            }
        }
    }

    /// All steps of a removal that has begun. `at_hand` is an account with its account key: that of who gets
    /// the files, perhaps.
    fn finish_removal(
        &self,
        id: AccountId,
        at_hand: Option<(AccountId, &Secret)>,
    ) -> Result<(), UserRefusal> {
        loop {
            let account = match self.user_row(id) {
                // Somebody else did the rest.
                Err(UserRefusal::Gone) => return Ok(()),
                account => account?,
            };
            match account.leaving {
                // Taken back meanwhile.
                None => return Ok(()),
                Some(Leaving::DeletesFiles) => self.delete_files(id)?,
                Some(Leaving::MovesFiles(heir)) => {
                    let at_hand = at_hand.filter(|(of, _)| *of == heir).map(|(_, key)| key);
                    self.move_files(&account, heir, at_hand)?;
                }
            }
            let removed = self.parts.metadata.remove_leaving(id);
            match removed.map_err(|error| self.failed(error))? {
                AccountRemoved::Done => {
                    events::account("removed", id, &account.name);
                    return Ok(());
                }
                // An upload that was on its way became visible meanwhile.
                AccountRemoved::HasLinks | AccountRemoved::HasKeys => {}
                AccountRemoved::LastAdmin => return Err(UserRefusal::SuperAdmin),
                AccountRemoved::Gone => return Ok(()),
            }
        }
    }

    fn delete_files(&self, id: AccountId) -> Result<(), Error> {
        loop {
            let metadata = &self.parts.metadata;
            let freed = metadata.remove_links_of_leaving(id, REMOVAL_STEP);
            let freed = freed.map_err(|error| self.failed(error))?;
            if freed.is_empty() {
                return Ok(());
            }
            self.gone_with(id, &freed);
        }
    }

    fn move_files(
        &self,
        account: &Account,
        heir: AccountId,
        heir_key: Option<&Secret>,
    ) -> Result<(), UserRefusal> {
        let mut page = self.page_of(account.id, None)?;
        if page.is_empty() {
            return Ok(());
        }
        let (of_account, of_heir) = self.keys_to_move(account, heir, heir_key)?;
        while let Some(last) = page.last() {
            let after = LinkCursor {
                created: last.created,
                lookup: last.lookup,
            };
            let mut moved = Vec::with_capacity(page.len());
            for link in page {
                let context = row(&link.lookup, &link.blob);
                let Some(opened) = OwnerKeys::unwrap(&of_account, &context, &link.by_owner) else {
                    log::error!("link={} its record is damaged", link.lookup);
                    return Err(Error::Damaged.into());
                };
                moved.push(MovedLink {
                    lookup: link.lookup,
                    by_owner: opened.wrap(&of_heir, &context),
                    was: link.by_owner,
                });
            }
            let done = self.parts.metadata.move_links(account.id, heir, moved);
            if !done.map_err(|error| self.failed(error))? {
                return Err(UserRefusal::Gone);
            }
            page = self.page_of(account.id, Some(&after))?;
        }
        Ok(())
    }

    /// The account keys of who leaves and of who gets the files.
    fn keys_to_move(
        &self,
        account: &Account,
        heir: AccountId,
        heir_key: Option<&Secret>,
    ) -> Result<(Secret, Secret), UserRefusal> {
        let sealed = || UserRefusal::Sealed(not_to_be_moved());
        let of_account = self.by_master(account).ok_or_else(sealed)?;
        let of_heir = match heir_key {
            Some(key) => key.clone(),
            None => {
                let heir = self.user_row(heir)?;
                self.by_master(&heir).ok_or_else(sealed)?
            }
        };
        Ok((of_account, of_heir))
    }

    fn page_of(&self, id: AccountId, after: Option<&LinkCursor>) -> Result<Vec<Link>, Error> {
        let page = self.parts.metadata.links_of(id, after, REMOVAL_STEP);
        page.map_err(|error| self.failed(error))
    }
}

fn not_to_be_moved() -> String {
    "the files of this user open with a credential of the user alone and cannot be moved (encryption = \"server\" lets the server move files of accounts that were made under it): with deleteFiles: true they are deleted together with the user".to_owned()
}
