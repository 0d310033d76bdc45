//! One file under several links: a copy with ends of its own, and other bytes for a link that is known
//! already. No byte is moved: links share what is stored, and each has keys of its own to it.
//!
//! What it promises: a copy that keeps its password keeps it, and so does a link whose bytes are replaced; whoever
//! downloads meanwhile gets all of the old bytes or all of the new ones; and when it fails, everything is as it was.

use super::files::{ATTEMPTS, OwnLink, changes_all_the_time};
use super::label::{Label, row};
use super::link_keys::{OwnerKeys, wrap_by_link};
use super::new_link::Plan;
use super::upload::told;
use super::{Count, Error, FileView, Lifetime, PasswordChange, Service, Session, events};
use crate::metadata::{BlobSource, Donor, Published, Rewrite, Rewritten};
use crate::model::{Allowance, Expiry, Link, Lookup, PasswordParams, Secret, Token};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};

/// What a copy has of its own; `None` is as the link has it that it is made of.
#[derive(Default)]
pub struct CopyWish {
    /// The file's name, as [`LinkWish`](super::LinkWish) has it.
    pub name: Option<String>,
    /// End by downloads.
    pub count: Option<Count>,
    /// End by time.
    pub lifetime: Option<Lifetime>,
    /// The password.
    pub password: PasswordChange,
}

impl Service {
    /// Makes another link to the bytes of a file of the session's account. What is not wished for is as it
    /// is there at this moment: the downloads that are left, and the same end by time.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`]; [`Error::Invalid`] when a maximum is passed, or the password
    /// is to be kept and is one from before its key was.
    pub fn copy(&self, session: &Session, id: &str, wish: &CopyWish) -> Result<FileView, Error> {
        let mut own = self.own_visible(session, id)?;
        let room = self.parts.metadata.room_for_more();
        room.map_err(|error| self.failed(error))?;
        let password = match &wish.password {
            PasswordChange::Set(password) => self.new_password(Some(password))?,
            PasswordChange::Remove => None,
            PasswordChange::Keep => kept_password(&own)?,
        };
        for _ in 0..ATTEMPTS {
            let plan = self.plan_copy(session, &own, wish, password.clone())?;
            if plan.is_over() {
                return Ok(told(plan.view(), "none"));
            }
            let blob = own.link.blob;
            let content = &own.keys.content;
            let new = plan.new_link(session, &blob, content, BlobSource::Shared(blob));
            let published = self.parts.metadata.publish(new);
            match published.map_err(|error| self.failed(error))? {
                Published::Done => {
                    self.note_birth(&plan);
                    return Ok(told(plan.view(), "shared"));
                }
                Published::OwnerGone => return Err(Error::Unauthorized),
                Published::SessionGone => {
                    return Err(Error::Internal(
                        "the database misses chunks that a copy does not have".into(),
                    ));
                }
                // The file ended meanwhile, or has other bytes by now.
                Published::SharedBlobGone => own = self.own_visible(session, id)?,
            }
        }
        Err(changes_all_the_time())
    }

    fn plan_copy(
        &self,
        session: &Session,
        own: &OwnLink,
        wish: &CopyWish,
        password: Option<(PasswordParams, Secret)>,
    ) -> Result<Plan, Error> {
        let link = &own.link;
        let label = label_of(own)?;
        let label = match &wish.name {
            Some(name) => Label::clean(name, &label.content_type),
            None => label,
        };
        let Allowance {
            remaining,
            leased,
            unlimited,
            ..
        } = link.allowance;
        let count = wish.count.unwrap_or(match unlimited {
            true => Count::Unlimited,
            // Those that are in progress may come back.
            false => Count::Limited(remaining.saturating_add(leased)),
        });
        let lifetime = wish.lifetime.unwrap_or(match link.expiry.unlimited {
            true => Lifetime::Unlimited,
            false => Lifetime::Until(link.expiry.at),
        });
        self.allows(Some(count), Some(lifetime))?;
        let (created, birth) = self.parts.clock.stamp();
        let doubtful = match wish.lifetime {
            Some(_) => true,
            // An end that is right stays as it is; one that is not will be put right as that of the other.
            None => {
                let doubt = self.parts.metadata.is_in_doubt(&link.lookup);
                doubt.map_err(|error| self.failed(error))?
            }
        };
        let hotlink = (label.is_inline_image() && password.is_none())
            .then(|| keys::random_token(Token::HOTLINK));
        Ok(Plan {
            id: keys::random_token(Token::LINK),
            hotlink,
            label,
            password,
            expiry: match lifetime {
                Lifetime::Unlimited => Expiry {
                    unlimited: true,
                    ..link.expiry
                },
                Lifetime::Until(_) => lifetime.expiry(created),
            },
            allowance: Allowance {
                remaining: match count {
                    Count::Unlimited => remaining,
                    Count::Limited(n) => n,
                },
                leased: 0,
                unlimited: count == Count::Unlimited,
                count: 0,
            },
            created,
            birth: birth.filter(|_| doubtful),
            owner: session.account,
            size: link.size,
            format: link.format,
        })
    }

    /// Gives a file of the session's account the bytes, name and type of another one, the donor, which goes
    /// with that if `remove` says so. Id, ends and password stay.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], for either; [`Error::Invalid`] when they are the same,
    /// or the password is one from before its key was kept.
    pub fn replace(
        &self,
        session: &Session,
        id: &str,
        donor: &str,
        remove: bool,
    ) -> Result<FileView, Error> {
        let _turn = self.rewriting();
        for _ in 0..ATTEMPTS {
            let own = self.own_visible(session, id)?;
            let from = self.own_visible(session, donor)?;
            if own.link.lookup == from.link.lookup {
                return Err(Error::Invalid(
                    "a file cannot be replaced by itself: name another one".into(),
                ));
            }
            let (lookup, donor) = (own.link.lookup, from.link.lookup);
            let (keys, change) = with_bytes_of(session, own, from, remove)?;
            let rewritten = self.parts.metadata.rewrite(change);
            match rewritten.map_err(|error| self.failed(error))? {
                Rewritten::Outdated => {}
                Rewritten::Gone => return Err(Error::NotFound),
                Rewritten::Done(link, freed) => {
                    let blobs: Vec<_> = freed.iter().filter_map(|freed| freed.blob).collect();
                    self.unlink(&blobs);
                    events::changed(&lookup, session.account, &["bytes"]);
                    if remove {
                        events::deleted(&donor, session.account, 0);
                    }
                    return self.view_of(OwnLink { link: *link, keys });
                }
            }
        }
        Err(changes_all_the_time())
    }
}

/// The keys of `own` over the bytes of `from`, and the change that makes it so.
fn with_bytes_of(
    session: &Session,
    own: OwnLink,
    from: OwnLink,
    remove: bool,
) -> Result<(OwnerKeys, Rewrite), Error> {
    let label = label_of(&from)?;
    kept_password(&own)?;
    let OwnLink { link, keys } = own;
    let (lookup, blob) = (link.lookup, from.link.blob);
    let hotlink = label.is_inline_image().then(|| {
        let new = || {
            link.password
                .is_none()
                .then(|| keys::random_token(Token::HOTLINK))
        };
        keys.hotlink.or_else(new)
    });
    let keys = OwnerKeys {
        id: keys.id,
        content: from.keys.content,
        hotlink: hotlink.flatten(),
        password: keys.password,
    };
    let context = row(&lookup, &blob);
    let hotlink = keys
        .hotlink
        .as_ref()
        .map(|token| by_hotlink(token, &keys.content, &from.link));
    let change = Rewrite {
        seen: link.by_owner.clone(),
        link: Link {
            blob,
            format: from.link.format,
            size: from.link.size,
            by_link: wrap_by_link(&keys.id, keys.password.as_ref(), &context, &keys.content),
            by_owner: keys.wrap(&session.account_key, &context),
            label: label.seal(&keys.content, &lookup, &blob),
            hotlink: hotlink.as_ref().map(|(lookup, _)| *lookup),
            ..link
        },
        by_hotlink: hotlink.map(|(_, wrap)| wrap),
        donor: Some(Donor {
            lookup: from.link.lookup,
            seen: from.link.by_owner,
            remove,
        }),
    };
    Ok((keys, change))
}

/// The hash of a hotlink, and the content key of the bytes of `of` under the hotlink's key.
fn by_hotlink(token: &Token, content: &Secret, of: &Link) -> (Lookup, Vec<u8>) {
    let lookup = keys::lookup(TokenKind::Hotlink, token);
    let secrets = [token.reveal().as_bytes()];
    let context = row(&lookup, &of.blob);
    let wrap = keys::wrap(
        Purpose::ContentByHotlink,
        &secrets,
        &context,
        content.reveal(),
    );
    (lookup, wrap)
}

pub(super) fn label_of(own: &OwnLink) -> Result<Label, Error> {
    let OwnLink { link, keys } = own;
    Label::open(&link.label, &keys.content, &link.lookup, &link.blob).ok_or(Error::Damaged)
}

/// The password of a link with its key, if it has one.
fn kept_password(own: &OwnLink) -> Result<Option<(PasswordParams, Secret)>, Error> {
    let Some(params) = own.link.password else {
        return Ok(None);
    };
    let key = own.keys.password.clone().ok_or_else(|| {
        Error::Invalid(
            "the password of this file is older than this call, and only those who know it have its key: set it \
             once more, or another one, or none"
                .into(),
        )
    })?;
    Ok(Some((params, key)))
}
