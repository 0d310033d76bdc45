//! Colours: the one that the owner chose, and those that follow from it so that everything stays
//! readable (WCAG 2.2: relative luminance and contrast).

use std::fmt;
use std::str::FromStr;

/// An opaque sRGB colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Color(pub [u8; 3]);

/// Black.
pub const BLACK: Color = Color([0, 0, 0]);
/// White.
pub const WHITE: Color = Color([255, 255, 255]);

/// The least contrast of a control with what is around it (WCAG 2.2, criterion 1.4.11).
pub const CONTROL: f64 = 3.0;

impl FromStr for Color {
    type Err = String;

    /// `#rgb` or `#rrggbb`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no colour: write # and six hexadecimal digits, such as \"#0b6b57\""
            )
        };
        let digits: Vec<u8> = text
            .strip_prefix('#')
            .ok_or_else(wrong)?
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        match digits[..] {
            [r, g, b] => Ok(Self([r * 17, g * 17, b * 17])),
            [r, s, g, h, b, c] => Ok(Self([r * 16 + s, g * 16 + h, b * 16 + c])),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl Color {
    /// How bright it looks, from 0 to 1.
    fn luminance(self) -> f64 {
        let [r, g, b] = self.0.map(|channel| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// The contrast of two colours, from 1 to 21.
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance() + 0.05, other.luminance() + 0.05);
        if a > b { a / b } else { b / a }
    }

    /// Black or white, whichever can be read better on it: never less than 4.58.
    pub fn text(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(BLACK) {
            WHITE
        } else {
            BLACK
        }
    }

    /// It, or as little lighter or darker as makes it stand out from `ground`.
    pub fn on(self, ground: Self) -> Self {
        let toward = ground.text();
        (0..=100)
            .map(|percent| self.mix(toward, percent))
            .find(|color| color.contrast(ground) >= CONTROL)
            .unwrap_or(toward)
    }

    fn mix(self, other: Self, percent: u16) -> Self {
        let mut mixed = self.0;
        for (channel, other) in mixed.iter_mut().zip(other.0) {
            let sum = u16::from(*channel) * (100 - percent) + u16::from(other) * percent;
            *channel = u8::try_from(sum / 100).unwrap_or(u8::MAX);
        }
        Self(mixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_are_read_as_css_reads_them() {
        for (text, color) in [
            ("#0b6b57", Color([0x0b, 0x6b, 0x57])),
            ("#FFF", WHITE),
            ("#a0f", Color([0xaa, 0, 0xff])),
        ] {
            assert_eq!(text.parse(), Ok(color), "{text}");
        }
        for text in [
            "",
            "#",
            "#12",
            "#1234",
            "#12345678",
            "red",
            "0b6b57",
            "#ggg",
            "#+11",
            "#é12",
            "#000;}",
        ] {
            let error = text.parse::<Color>().unwrap_err();
            assert!(error.contains("six hexadecimal digits"), "{text}: {error}");
        }
    }

    #[test]
    fn contrasts_are_those_of_the_standard() {
        let contrast = |a: &str, b: &str| {
            let (a, b): (Color, Color) = (a.parse().unwrap(), b.parse().unwrap());
            (a.contrast(b) * 100.0).round() / 100.0
        };
        for (a, b, wanted) in [
            ("#000", "#fff", 21.0),
            ("#777777", "#ffffff", 4.48),
            ("#767676", "#ffffff", 4.54),
            ("#ff0000", "#ffffff", 4.0),
            ("#123456", "#123456", 1.0),
        ] {
            assert!((contrast(a, b) - wanted).abs() < 0.011, "{a} {b}");
            assert!((contrast(b, a) - wanted).abs() < 0.011, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_chosen_can_be_read_and_seen(color in any::<[u8; 3]>(), ground in any::<[u8; 3]>()) {
            let ground = Color(ground);
            let shown = Color(color).on(ground);
            prop_assert!(shown.contrast(ground) >= CONTROL);
            prop_assert!(shown.contrast(shown.text()) >= 4.5);
        }

        #[test]
        fn what_stands_out_already_stays_as_it_is(color in any::<[u8; 3]>()) {
            let color = Color(color);
            let ground = color.text();
            prop_assert_eq!(color.on(ground), color);
        }

        #[test]
        fn a_colour_is_written_as_it_is_read(color in any::<[u8; 3]>()) {
            prop_assert_eq!(Color(color).to_string().parse(), Ok(Color(color)));
        }
    }
}
