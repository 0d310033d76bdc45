//! Key derivation and wrapping. Every purpose has its own label, so that a key, hash or wrap made
//! for one is worth nothing for another.
//!
//! A wrap is `salt (16) ‖ ciphertext ‖ tag (16)`: ChaCha20-Poly1305 with the zero nonce under a key
//! that HKDF-SHA-256 (RFC 5869) derives from the secrets and a fresh random salt. Each such key
//! seals once, so the fixed nonce never repeats under a key.

use crate::model::{Lookup, PasswordParams, Secret, Token};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hkdf, hmac};
use zeroize::Zeroizing;

const SALT: usize = 16;

/// Draws random bytes from the operating system.
///
/// # Panics
/// When the system has no random source: nothing can be sealed then, and going on would be worse.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// [`random`] into a buffer.
///
/// # Panics
/// As [`random`].
pub fn fill_random(buffer: &mut [u8]) {
    #[allow(
        clippy::expect_used,
        reason = "getrandom(2) does not fail once the pool is seeded, which it waits for"
    )]
    SystemRandom::new()
        .fill(buffer)
        .expect("the operating system has a random source");
}

/// Draws a token.
pub fn random_token(length: usize) -> Token {
    Token::draw(length, fill_random)
}

/// Draws a secret.
pub fn random_secret() -> Secret {
    Secret::new(random())
}

/// What a token opens. Tokens of one kind are unknown to the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    /// A link id.
    Link,
    /// A hotlink id.
    Hotlink,
    /// An API key.
    ApiKey,
}

/// The key of the row that `token` opens.
pub fn lookup(kind: TokenKind, token: &Token) -> Lookup {
    let label: &[u8] = match kind {
        TokenKind::Link => b"mayfly/1/lookup/link\0",
        TokenKind::Hotlink => b"mayfly/1/lookup/hotlink\0",
        TokenKind::ApiKey => b"mayfly/1/lookup/api-key\0",
    };
    hashed(label, &[token.reveal().as_bytes()])
}

/// The key of the row of an upload in chunks: of the credential that sends them, and of the name that the
/// client gave it. With another credential the same name is another upload.
pub fn chunks_lookup(opener: &Lookup, name: &str) -> Lookup {
    // The first part has one length, so the two never run together.
    hashed(b"mayfly/1/lookup/chunks\0", &[&opener.0, name.as_bytes()])
}

fn hashed(label: &[u8], parts: &[&[u8]]) -> Lookup {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(label);
    parts.iter().for_each(|part| context.update(part));
    Lookup(digest_bytes(&context.finish()))
}

/// What a wrap is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A content key under a link id, and the password key if there is one.
    ContentByLink,
    /// A content key under a hotlink id.
    ContentByHotlink,
    /// A content key under the SHA-256 of the plaintext: deduplication.
    ContentByPlaintext,
    /// Id, content key and hotlink id of a link under the owner's account key.
    LinkByOwner,
    /// The content key of an upload in chunks under the owner's account key.
    ChunksByOwner,
    /// Bytes of an upload in chunks that wait for the rest of their segment, under the content key.
    ChunkEdge,
    /// Name and content type under the content key.
    Label,
    /// An account key under an API key.
    AccountByApiKey,
    /// An account key under a password key.
    AccountByPassword,
    /// An account key under the master key of the server.
    AccountByMaster,
    /// An account key under a recovery phrase.
    AccountByRecovery,
    /// What a cookie carries, under the key of this process or of the server.
    Cookie,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::ContentByLink => b"mayfly/1/wrap/content-by-link",
            Self::ContentByHotlink => b"mayfly/1/wrap/content-by-hotlink",
            Self::ContentByPlaintext => b"mayfly/1/wrap/content-by-plaintext",
            Self::LinkByOwner => b"mayfly/1/wrap/link-by-owner",
            Self::ChunksByOwner => b"mayfly/1/wrap/chunks-by-owner",
            Self::ChunkEdge => b"mayfly/1/wrap/chunk-edge",
            Self::Label => b"mayfly/1/wrap/label",
            Self::AccountByApiKey => b"mayfly/1/wrap/account-by-api-key",
            Self::AccountByPassword => b"mayfly/1/wrap/account-by-password",
            Self::AccountByMaster => b"mayfly/1/wrap/account-by-master",
            Self::AccountByRecovery => b"mayfly/1/wrap/account-by-recovery",
            Self::Cookie => b"mayfly/1/wrap/cookie",
        }
    }
}

/// Wraps `plaintext` under `secrets`, bound to `context` (which row it stands in).
pub fn wrap(purpose: Purpose, secrets: &[&[u8]], context: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let salt: [u8; SALT] = random();
    let mut wrapped = Vec::with_capacity(SALT + plaintext.len() + CHACHA20_POLY1305.tag_len());
    wrapped.extend_from_slice(&salt);
    wrapped.extend_from_slice(plaintext);
    #[allow(clippy::expect_used, reason = "fails only above 2^32 blocks")]
    let tag = wrapping_key(purpose, secrets, &salt)
        .seal_in_place_separate_tag(zero_nonce(), Aad::from(context), &mut wrapped[SALT..])
        .expect("what is wrapped is far shorter than the limit of the cipher");
    wrapped.extend_from_slice(tag.as_ref());
    wrapped
}

/// Opens a wrap. `None` when secrets, purpose or context are others, or a bit was changed.
pub fn unwrap(
    purpose: Purpose,
    secrets: &[&[u8]],
    context: &[u8],
    wrapped: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, sealed) = wrapped.split_at_checked(SALT)?;
    let mut plaintext = Zeroizing::new(sealed.to_vec());
    let length = wrapping_key(purpose, secrets, salt)
        .open_in_place(zero_nonce(), Aad::from(context), &mut plaintext)
        .ok()?
        .len();
    plaintext.truncate(length);
    Some(plaintext)
}

fn wrapping_key(purpose: Purpose, secrets: &[&[u8]], salt: &[u8]) -> LessSafeKey {
    // Each secret goes in with its length: two lists of secrets never run together to the same.
    // And there is room for all: a buffer that moves while it grows leaves an unwiped one behind.
    let length = secrets.iter().map(|s| size_of::<u64>() + s.len()).sum();
    let mut material = Zeroizing::new(Vec::with_capacity(length));
    for secret in secrets {
        material.extend_from_slice(&(secret.len() as u64).to_be_bytes());
        material.extend_from_slice(secret);
    }
    let info = [purpose.label()];
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&material);
    #[allow(
        clippy::expect_used,
        reason = "HKDF-SHA-256 gives up to 8,160 bytes, the cipher takes 32"
    )]
    let okm = secret
        .expand(&info, &CHACHA20_POLY1305)
        .expect("32 bytes can be derived");
    LessSafeKey::new(UnboundKey::from(okm))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// The key of a plaintext in the dedup index: keyed by the server and by the owner, so that it
/// neither tells what a file is nor that another owner has it.
pub fn dedup_tag(server: &Secret, owner: u64, sealed: bool, sha256: &[u8; 32]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, server.reveal());
    let mut context = hmac::Context::with_key(&key);
    context.update(b"mayfly/1/dedup\0");
    context.update(&owner.to_be_bytes());
    context.update(&[u8::from(sealed)]);
    context.update(sha256);
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// A short keyed hash of a client's address, for leases.
pub fn client_tag(server: &Secret, address: &[u8]) -> [u8; 16] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, server.reveal());
    let mut context = hmac::Context::with_key(&key);
    context.update(b"mayfly/1/client\0");
    context.update(address);
    let mut tag = [0; 16];
    tag.copy_from_slice(&context.sign().as_ref()[..16]);
    tag
}

/// What a bucket is marked with: 32 hex digits that follow from the server key and the number of the
/// database, and tell nothing of them. Another database with the same key has another mark: it knows
/// nothing of the files.
pub fn owner_mark(server: &Secret, database: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, server.reveal());
    let mut context = hmac::Context::with_key(&key);
    context.update(b"mayfly/1/owner\0");
    context.update(&database.to_be_bytes());
    let tag = context.sign();
    let digits = tag.as_ref()[..16].iter();
    digits.map(|byte| format!("{byte:02x}")).collect()
}

/// A strong validator for the bytes of one link (RFC 9110, section 8.8.3): keyed by the content key,
/// it tells neither what the bytes are nor that another link has the same.
pub fn etag(content: &Secret, row: &[u8]) -> [u8; 16] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, content.reveal());
    let mut context = hmac::Context::with_key(&key);
    context.update(b"mayfly/1/etag\0");
    context.update(row);
    let mut tag = [0; 16];
    tag.copy_from_slice(&context.sign().as_ref()[..16]);
    tag
}

/// Stretches a password: argon2id (RFC 9106), one lane. Takes `params.memory_kib` of memory; the
/// caller holds the permit for that.
pub fn password_key(password: &str, params: &PasswordParams) -> Secret {
    #[allow(
        clippy::expect_used,
        reason = "both limits are far away: memory ≥ 8 KiB, passes ≥ 1, 32 bytes out"
    )]
    let argon = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        argon2::Params::new(params.memory_kib.max(8), params.passes.max(1), 1, Some(32))
            .expect("argon2 takes these parameters"),
    );
    let mut key = Zeroizing::new([0; 32]);
    #[allow(
        clippy::expect_used,
        reason = "the salt has 16 bytes, the password at most 1,024"
    )]
    argon
        .hash_password_into(password.as_bytes(), &params.salt, &mut key[..])
        .expect("argon2 takes this salt and password");
    Secret::new(*key)
}

fn digest_bytes(digest: &digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[cfg(test)]
mod tests;
