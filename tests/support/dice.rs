//! Numbers that look random and are the same for the same seed.

/// xorshift: the same load for the same seed, as far as threads allow.
pub struct Dice(u64);

impl Dice {
    /// `seed` is not 0.
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0);
        Self(seed)
    }

    /// One of `0..sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}
