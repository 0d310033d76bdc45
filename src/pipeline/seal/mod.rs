//! Sealing: how bytes become unreadable to whoever has only the disk.
//!
//! `keys` derives and wraps keys; `segment` seals the contents.

pub mod keys;
mod segment;

pub use segment::{Cipher, HEADER, SEGMENT, TAG};
