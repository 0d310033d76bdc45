//! Identifiers: what names a thing in the database, and the secret tokens that open it.

use std::fmt;
use zeroize::Zeroizing;

/// The 62 characters of every token: they survive URLs, shells, double-clicks and e-mail.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A secret random token of `[0-9A-Za-z]`: a link id, a hotlink id, an API key.
///
/// It opens something by itself, so it has no `Debug` or `Display`, and it is never stored: the
/// database holds its [`Lookup`] instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Characters of a link id: 22 × log2(62) = 130.9 random bits.
    pub const LINK: usize = 22;
    /// Characters of a hotlink id, the length Gokapi uses (238 random bits).
    pub const HOTLINK: usize = 40;
    /// Characters of an API key, the length Gokapi uses (178 random bits).
    pub const API_KEY: usize = 30;
    /// Characters of a password that Mayfly makes up (119 random bits).
    pub const PASSWORD: usize = 20;

    /// Draws a token of `length` characters; `fill` supplies random bytes.
    ///
    /// Bytes of 248 and above are drawn again, so that every character is equally likely.
    pub fn draw(length: usize, mut fill: impl FnMut(&mut [u8])) -> Self {
        let mut text = String::with_capacity(length);
        let mut pool = Zeroizing::new([0u8; 64]);
        while text.len() < length {
            fill(&mut pool[..]);
            for byte in pool.iter().filter(|b| **b < 248).take(length - text.len()) {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
        Self(Zeroizing::new(text))
    }

    /// Takes what a client sent. `None` unless it is 8 to 64 characters of the alphabet: nothing
    /// else can name anything, so it needs no look-up.
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (8..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token itself. Only for answers to its owner and for key derivation.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The key of a row that a [`Token`] opens: a domain-separated SHA-256 of the token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup(pub [u8; 32]);

/// Log lines may carry this: the first 4 bytes of the hash tell events of one link apart and open
/// nothing.
impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup({self})")
    }
}

/// Names the stored bytes of one file. Random, never reused, not secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlobId(pub [u8; 16]);

impl BlobId {
    /// The name of the blob in a store: 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    /// Reads [`BlobId::to_hex`] back.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

/// Names one lease. Random; the client's cookie carries it under a seal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(pub [u8; 16]);

/// Names an account. Counted up from 1, never reused; Gokapi's `UploaderId`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_use_every_character_equally() {
        let mut seed = 1u32;
        let mut fill = |buffer: &mut [u8]| {
            for byte in buffer {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = seed.to_be_bytes()[0];
            }
        };
        let text = Token::draw(62_000, &mut fill);
        let mut counts = [0u32; 128];
        text.reveal()
            .bytes()
            .for_each(|b| counts[usize::from(b)] += 1);
        for c in ALPHABET {
            let n = counts[usize::from(*c)];
            assert!(
                (800..1200).contains(&n),
                "{} came {n} times of about 1000",
                char::from(*c)
            );
        }
    }

    #[test]
    fn only_possible_tokens_are_taken() {
        for good in ["abcdefgh", "0123456789abcdefABCDEF"] {
            assert_eq!(
                Token::parse(good).map(|t| t.reveal().to_owned()).as_deref(),
                Some(good)
            );
        }
        for bad in [
            "",
            "short",
            "has space",
            "../../etc/passwd",
            "ünïcödeünïcöde",
            &"a".repeat(65),
        ] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn blob_names_round_trip() {
        let id = BlobId([0xA5; 16]);
        assert_eq!(BlobId::from_hex(&id.to_hex()), Some(id));
        for bad in ["", "A5", &"A5".repeat(16), &"a5".repeat(17)] {
            assert_eq!(BlobId::from_hex(bad), None, "{bad}");
        }
    }
}
