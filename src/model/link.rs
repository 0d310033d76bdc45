//! What a link is, and when it dies.

use super::{AccountId, BlobId, Lookup, Timestamp};

/// When a link ends by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expiry {
    /// The last moment but one: at this time the link is gone. Kept while `unlimited`, because
    /// Gokapi's answers go on showing it.
    pub at: Timestamp,
    /// The link does not end by time.
    pub unlimited: bool,
}

/// How many downloads a link has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Downloads that no lease holds. Kept while `unlimited`, as above.
    pub remaining: u32,
    /// Downloads that open leases hold.
    pub leased: u32,
    /// Downloads are not limited.
    pub unlimited: bool,
    /// Complete downloads so far.
    pub count: u64,
}

/// How the password of a link or account became a key: argon2id (RFC 9106), 32 bytes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswordParams {
    /// Random salt of this password.
    pub salt: [u8; 16],
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

/// One link, as the database holds it: nothing in it opens the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Hash of the id, and the key of the row.
    pub lookup: Lookup,
    /// Who uploaded.
    pub owner: AccountId,
    /// The stored bytes.
    pub blob: BlobId,
    /// How they are laid out: as in the row of the blob, which a listing need not read then.
    pub format: BlobFormat,
    /// Bytes of the plaintext.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The end by time.
    pub expiry: Expiry,
    /// The end by downloads.
    pub allowance: Allowance,
    /// Deletion was asked for with a delay: hidden at once, gone at this time, restorable before.
    pub pending_delete: Option<Timestamp>,
    /// Present when a password is needed besides the id.
    pub password: Option<PasswordParams>,
    /// The content key, wrapped under the link key.
    pub by_link: Vec<u8>,
    /// Id, content key and hotlink id, wrapped under the owner's account key.
    pub by_owner: Vec<u8>,
    /// Name and content type, sealed under the content key.
    pub label: Vec<u8>,
    /// Hash of the hotlink id, when there is one.
    pub hotlink: Option<Lookup>,
}

impl Link {
    /// Whether the link is over by time or by downloads. A link whose last downloads are still
    /// leased is not over: a broken one may come back.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let by_time = !self.expiry.unlimited && self.expiry.at <= now;
        let by_count = !self.allowance.unlimited
            && self.allowance.remaining == 0
            && self.allowance.leased == 0;
        let by_owner = self.pending_delete.is_some_and(|at| at <= now);
        by_time || by_count || by_owner
    }

    /// Whether a recipient may see the link.
    pub fn is_visible(&self, now: Timestamp) -> bool {
        self.pending_delete.is_none() && !self.is_over(now)
    }

    /// When the sweeper has to look at this link: the earliest end by time, if there is one.
    pub fn due(&self) -> Option<Timestamp> {
        let by_time = (!self.expiry.unlimited).then_some(self.expiry.at);
        match (by_time, self.pending_delete) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// How stored bytes are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlobFormat {
    /// As uploaded.
    Plain,
    /// Sealed segments with a header (see `pipeline::seal`).
    Sealed,
}

/// One stored file; several links may refer to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blob {
    /// Its name in the store.
    pub id: BlobId,
    /// Layout.
    pub format: BlobFormat,
    /// Bytes of the plaintext.
    pub size: u64,
    /// Bytes in the store.
    pub stored: u64,
    /// Its key in the dedup index, when it is in it.
    pub tag: Option<[u8; 32]>,
    /// Links that refer to it.
    pub references: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            lookup: Lookup([1; 32]),
            owner: AccountId(1),
            blob: BlobId([2; 16]),
            format: BlobFormat::Sealed,
            size: 1,
            created: Timestamp(0),
            expiry: Expiry {
                at: Timestamp(100),
                unlimited: false,
            },
            allowance: Allowance {
                remaining: 1,
                leased: 0,
                unlimited: false,
                count: 0,
            },
            pending_delete: None,
            password: None,
            by_link: vec![],
            by_owner: vec![],
            label: vec![],
            hotlink: None,
        }
    }

    #[test]
    fn a_link_dies_by_time_by_downloads_or_by_its_owner() {
        let now = Timestamp(50);
        assert!(link().is_visible(now));
        assert!(!link().is_over(Timestamp(99)) && link().is_over(Timestamp(100)));

        let mut spent = link();
        spent.allowance.remaining = 0;
        assert!(spent.is_over(now));
        spent.allowance.leased = 1;
        assert!(!spent.is_over(now), "a lease may come back");
        spent.allowance = Allowance {
            unlimited: true,
            leased: 0,
            ..spent.allowance
        };
        assert!(!spent.is_over(now));

        let mut deleted = link();
        deleted.pending_delete = Some(Timestamp(60));
        assert!(
            !deleted.is_visible(now) && !deleted.is_over(now),
            "hidden, but restorable"
        );
        assert!(deleted.is_over(Timestamp(60)));
    }

    #[test]
    fn the_sweeper_is_told_the_earliest_end() {
        let mut l = link();
        assert_eq!(l.due(), Some(Timestamp(100)));
        l.pending_delete = Some(Timestamp(60));
        assert_eq!(l.due(), Some(Timestamp(60)));
        l.expiry.unlimited = true;
        assert_eq!(l.due(), Some(Timestamp(60)));
        l.pending_delete = None;
        assert_eq!(l.due(), None);
    }
}
