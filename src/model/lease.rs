//! A lease: one download that has been taken from a link and is not settled yet.

use super::{LeaseId, Lookup, Timestamp};

/// A lease, as the database holds it.
///
/// Which bytes have been delivered on it is kept in memory only; after a crash that is unknown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// The link whose allowance it holds.
    pub link: Lookup,
    /// When it was taken, by the wall clock.
    pub taken: Timestamp,
    /// Keyed hash of the client's address: what continues a lease without a cookie.
    pub client: [u8; 16],
    /// The bytes that complete the file are on their way, or may be. A crash from here on counts
    /// as a download: nobody can tell any more, and never more than N comes first.
    pub closing: bool,
}
