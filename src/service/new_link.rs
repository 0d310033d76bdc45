//! A link before it exists: its tokens, limits and label, and the rows that they become.

use super::label::{Label, row};
use super::link_keys::{OwnerKeys, wrap_by_link};
use super::{Count, Error, FileView, Lifetime, LinkWish, Service, Session};
use crate::metadata::{BlobSource, NewLink};
use crate::model::{
    AccountId, Allowance, BlobFormat, BlobId, Expiry, Link, Moment, PasswordParams, Secret,
    Timestamp, Token,
};
use crate::pipeline::seal::keys::{self, Purpose, TokenKind};

/// What a link is made of, apart from its bytes.
pub(super) struct Plan {
    pub(super) id: Token,
    pub(super) hotlink: Option<Token>,
    pub(super) label: Label,
    pub(super) password: Option<(PasswordParams, Secret)>,
    pub(super) expiry: Expiry,
    pub(super) allowance: Allowance,
    pub(super) created: Timestamp,
    pub(super) birth: Option<Moment>,
    pub(super) owner: AccountId,
    pub(super) size: u64,
    pub(super) format: BlobFormat,
}

impl Service {
    /// Decides what a wish becomes. A password is stretched here.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the password is too long, or a maximum is passed.
    pub(super) fn plan(
        &self,
        session: &Session,
        size: u64,
        format: BlobFormat,
        wish: &LinkWish,
    ) -> Result<Plan, Error> {
        self.allows(Some(wish.count), Some(wish.lifetime))?;
        let (created, birth) = self.parts.clock.stamp();
        let label = Label::clean(&wish.name, &wish.content_type);
        let password = self.new_password(wish.password.as_ref().map(|p| p.as_str()))?;
        let hotlink = (label.is_inline_image() && password.is_none())
            .then(|| keys::random_token(Token::HOTLINK));
        Ok(Plan {
            id: keys::random_token(Token::LINK),
            hotlink,
            label,
            password,
            expiry: wish.lifetime.expiry(created),
            allowance: Allowance {
                remaining: match wish.count {
                    Count::Unlimited => 0,
                    Count::Limited(n) => n,
                },
                leased: 0,
                unlimited: wish.count == Count::Unlimited,
                count: 0,
            },
            created,
            birth,
            owner: session.account,
            size,
            format,
        })
    }
}

impl Lifetime {
    /// As a row has it. A link without an end keeps the time of the wish as a number.
    pub(super) fn expiry(self, now: Timestamp) -> Expiry {
        match self {
            Self::Unlimited => Expiry {
                at: now,
                unlimited: true,
            },
            Self::Until(at) => Expiry {
                at,
                unlimited: false,
            },
        }
    }
}

impl Plan {
    /// Whether its end has to be put right when the clock is.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.birth.is_some()
    }

    /// Whether nobody could ever open the link.
    pub(super) fn is_over(&self) -> bool {
        let by_time = !self.expiry.unlimited && self.expiry.at <= self.created;
        let by_count = !self.allowance.unlimited && self.allowance.remaining == 0;
        by_time || by_count
    }

    /// The rows of the link, with its bytes in `blob` under `content`.
    pub(super) fn new_link(
        &self,
        session: &Session,
        blob: &BlobId,
        content: &Secret,
        source: BlobSource,
    ) -> NewLink {
        let lookup = keys::lookup(TokenKind::Link, &self.id);
        let password_key = self.password.as_ref().map(|(_, key)| key);
        let hotlink = self
            .hotlink
            .as_ref()
            .map(|token| (token, keys::lookup(TokenKind::Hotlink, token)));
        let by_hotlink = hotlink.as_ref().map(|(token, hotlink)| {
            keys::wrap(
                Purpose::ContentByHotlink,
                &[token.reveal().as_bytes()],
                &row(hotlink, blob),
                content.reveal(),
            )
        });
        let owned = OwnerKeys {
            id: self.id.clone(),
            content: content.clone(),
            hotlink: self.hotlink.clone(),
            password: password_key.cloned(),
        };
        let link = Link {
            lookup,
            owner: self.owner,
            blob: *blob,
            format: self.format,
            size: self.size,
            created: self.created,
            expiry: self.expiry,
            allowance: self.allowance,
            pending_delete: None,
            password: self.password.as_ref().map(|(params, _)| *params),
            by_link: wrap_by_link(&self.id, password_key, &row(&lookup, blob), content),
            by_owner: owned.wrap(&session.account_key, &row(&lookup, blob)),
            label: self.label.seal(content, &lookup, blob),
            hotlink: hotlink.map(|(_, lookup)| lookup),
        };
        NewLink {
            link,
            source,
            by_hotlink,
            birth: self.birth,
            session: None,
        }
    }

    /// What the owner sees of it.
    pub(super) fn view(self) -> FileView {
        FileView {
            id: self.id,
            name: self.label.name,
            content_type: self.label.content_type,
            size: self.size,
            created: self.created,
            expiry: self.expiry,
            allowance: self.allowance,
            owner: self.owner,
            has_password: self.password.is_some(),
            sealed: self.format == BlobFormat::Sealed,
            pending_delete: false,
            hotlink: self.hotlink,
        }
    }
}
