//! Key material that cannot be printed and is wiped when dropped.

use zeroize::Zeroizing;

/// Thirty-two secret bytes: a content key, an account key, the server key.
///
/// No `Debug`, no comparison; wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Takes the bytes over. The caller wipes its own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes exactly 32 bytes, or nothing.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self::new(bytes.try_into().ok()?))
    }

    /// The bytes, for a cipher or a derivation.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}
