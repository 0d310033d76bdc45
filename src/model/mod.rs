//! Domain types: links, leases, accounts, time. No input or output, no clock, no other module.

mod account;
mod chunk;
mod id;
mod lease;
mod link;
mod moment;
mod name;
pub(crate) mod progress;
mod secret;
mod time;
mod timekeeper;

pub use account::{
    Account, AccountKeyWraps, ApiKey, Leaving, Permissions, Role, UserPermissions, folded_name,
};
pub use chunk::{Chunk, ChunkSession};
pub use id::{AccountId, BlobId, LeaseId, Lookup, Token};
pub use lease::Lease;
pub use link::{Allowance, Blob, BlobFormat, Expiry, Link, PasswordParams};
pub use moment::{BootId, ClockRow, Gap, Moment, Rebase};
pub use name::{clean_name, is_hostile};
pub use secret::Secret;
pub use time::{Clock, SystemClock, Timestamp};
pub use timekeeper::{Doubt, Evidence, MADE, Timekeeper, Turn, VOUCHER, Watched};
