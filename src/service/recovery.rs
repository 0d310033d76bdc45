//! The recovery phrase of an account: opens it when the password is forgotten. Shown once, made to
//! be written on paper.

use crate::pipeline::seal::keys;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Random bytes of a phrase: 160 bits, so it needs no stretching.
const BYTES: usize = 20;
/// Characters between two dashes.
const GROUP: usize = 4;

/// A recovery phrase. No `Debug`: nothing of it may reach a log.
pub struct RecoveryPhrase(Zeroizing<[u8; BYTES]>);

impl RecoveryPhrase {
    pub(super) fn draw() -> Self {
        Self(Zeroizing::new(keys::random()))
    }

    /// Takes what somebody typed: without regard to case, blanks and dashes, and with the digits
    /// that look like a letter of the alphabet taken for it. `None` when it is no phrase.
    pub fn parse(text: &str) -> Option<Self> {
        let mut letters = Zeroizing::new(String::with_capacity(BYTES * 8 / 5));
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            if letters.len() == BYTES * 8 / 5 || !c.is_ascii() {
                return None;
            }
            letters.push(match c.to_ascii_uppercase() {
                '0' => 'O',
                '1' => 'I',
                '8' => 'B',
                other => other,
            });
        }
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(letters.as_bytes()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// The phrase, in groups of four letters and digits.
    pub fn reveal(&self) -> Zeroizing<String> {
        let letters = Zeroizing::new(BASE32_NOPAD.encode(&self.0[..]));
        let mut text = Zeroizing::new(String::with_capacity(letters.len() * 5 / 4));
        for (at, c) in letters.chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.push(c);
        }
        text
    }

    pub(super) fn secret(&self) -> &[u8] {
        &self.0[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_survives_handwriting() {
        let phrase = RecoveryPhrase::draw();
        let text = phrase.reveal();
        assert_eq!((text.len(), text.matches('-').count()), (39, 7));
        let sloppy = text.to_lowercase().replace('-', " ").replace('o', "0");
        let sloppy = sloppy.replace('i', "1").replace('b', "8");
        for typed in [text.as_str(), &sloppy, &format!(" {sloppy}\n")] {
            let found = RecoveryPhrase::parse(typed).unwrap();
            assert!(found.secret() == phrase.secret(), "another phrase");
        }
        for wrong in [
            "",
            "ABCD",
            &format!("{}A", text.as_str()),
            &text.replace('-', "!"),
        ] {
            assert!(RecoveryPhrase::parse(wrong).is_none());
        }
        assert!(RecoveryPhrase::draw().secret() != phrase.secret());
    }
}
