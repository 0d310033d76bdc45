//! The client against servers that behave as real ones do, and as none should.

mod breaker;
mod documents;
mod faults;
mod reading;
mod retries;
mod signatures;
pub(super) mod stage;
