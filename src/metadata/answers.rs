//! What becomes of a change that may be refused for a reason of its own.

use super::Freed;
use crate::model::{ChunkSession, Link};

/// What became of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    /// The link is there, durably.
    Done,
    /// The blob to share is no more; nothing was changed.
    SharedBlobGone,
    /// The account of the link was removed meanwhile; nothing was changed.
    OwnerGone,
    /// The session of the link's chunks was ended meanwhile; nothing was changed.
    SessionGone,
}

/// What became of a [`Rewrite`](super::Rewrite).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rewritten {
    /// It is done: the link as it is now, and what went with the bytes it had and with the donor.
    Done(Box<Link>, Vec<Freed>),
    /// Link or donor were changed since they were read; nothing was changed.
    Outdated,
    /// Link, donor or new owner are no more; nothing was changed.
    Gone,
}

/// What became of a change of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountEdited {
    /// It is done.
    Done,
    /// No working administrator would be left; nothing was changed.
    LastAdmin,
    /// There is no such account.
    Gone,
}

/// What became of the removal of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountRemoved {
    /// It is done.
    Done,
    /// No working administrator would be left; nothing was changed.
    LastAdmin,
    /// It still has links; nothing was changed.
    HasLinks,
    /// Some of its API keys, or of its uploads in chunks, are gone, and there may be more.
    HasKeys,
    /// There is no such account.
    Gone,
}

/// What became of a new API key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyAdded {
    /// It is there, durably.
    Done,
    /// The account has as many as it may have; nothing was changed.
    TooMany,
    /// The account of the key is no more; nothing was changed.
    OwnerGone,
}

/// What became of the wish for a download.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The lease stands.
    Leased,
    /// The link has no limit (by now): there is nothing to lease.
    Unlimited,
    /// Leases hold all that is left: one may come back.
    Busy,
    /// There is no such link, or it is over.
    Gone,
}

/// What became of the beginning of an upload in chunks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChunksBegun {
    /// It has begun, durably.
    Done,
    /// It had begun before, as this; nothing was changed.
    Exists(ChunkSession),
    /// The account has as many under way as it may have; nothing was changed.
    TooMany,
    /// The account is no more; nothing was changed.
    OwnerGone,
}

/// What became of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkAdded {
    /// It is taken down, durably.
    Done,
    /// Some of its bytes, or all, were taken down before; nothing was changed.
    Overlaps,
    /// The upload is no more; nothing was changed.
    Gone,
}
