//! Why a store cannot do something now, in the two forms that it is told in: all of it to whoever looks after the
//! server, and to whoever uses it nothing that another server has said, which may name accounts and machines.

use std::error::Error;
use std::fmt;
use std::io;

/// Why something cannot be done now. Shown, it is all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    all: String,
    public: String,
}

impl Reason {
    /// All of it, and what anybody may know.
    pub fn new(all: String, public: String) -> Self {
        Self { all, public }
    }

    /// What anybody may know.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// What anybody may know of the cause of a [`StoreError`](super::StoreError) or of a read that failed. What comes
    /// from this machine says nothing else.
    pub fn public_of(cause: &io::Error) -> String {
        Self::of(cause).public
    }

    /// The one that such a cause carries.
    pub fn of(cause: &io::Error) -> Self {
        let reason = cause.get_ref().and_then(|inner| inner.downcast_ref());
        let reason: Option<&Self> = reason;
        reason.cloned().unwrap_or_else(|| cause.to_string().into())
    }
}

impl From<String> for Reason {
    /// One of our own words, which anybody may know.
    fn from(all: String) -> Self {
        Self {
            public: all.clone(),
            all,
        }
    }
}

impl From<Reason> for io::Error {
    fn from(reason: Reason) -> Self {
        Self::other(reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.all)
    }
}

impl Error for Reason {}
