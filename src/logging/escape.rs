//! What makes a value harmless in a line of the log: the one place where that is decided.
//!
//! A line stays one line and shows what it says, whatever a client put into it: control characters
//! (terminals obey them), line ends of every kind, and characters that are invisible or turn the
//! direction of the text are written as `\u{…}`.

use crate::model::is_hostile;
use std::fmt::{self, Write};

/// The longest value that is written out, in characters.
const VALUE: usize = 64;
/// The longest text of a line, in bytes. Small enough that a line goes into a pipe in one piece.
const TEXT: usize = 2048;

/// Whether a character does something, or hides something, instead of being seen.
fn is_unseen(c: char) -> bool {
    is_hostile(c)
        || matches!(
            c,
            '\u{ad}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200d}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escaped(c: char, out: &mut impl Write) -> fmt::Result {
    write!(out, "\\u{{{:x}}}", u32::from(c))
}

/// A value that came from a client, between quotes: nothing in it ends the quotes, the word or the
/// line, so it never passes for another field. More than 64 characters are cut, which three dots
/// behind the quotes say.
///
/// Never for secrets: no link id, key, password, cookie, file name or query belongs into the log.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut rest = self.0.chars();
        for c in rest.by_ref().take(VALUE) {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if is_unseen(c) || c.is_whitespace() => escaped(c, f)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')?;
        if rest.next().is_some() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

/// The text of one line. Takes at most [`TEXT`] bytes, then fails, so that whoever writes into it
/// stops.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Writes `args` out, harmless and cut.
    pub(super) fn of(args: fmt::Arguments<'_>) -> String {
        let mut text = Self::default();
        if text.write_fmt(args).is_err() {
            text.0.push_str("...");
        }
        text.0
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            if self.0.len() + 12 > TEXT {
                return Err(fmt::Error);
            }
            if is_unseen(c) {
                escaped(c, &mut self.0)?;
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_inside_its_quotes_and_its_line() {
        let cases = [
            ("alice", r#""alice""#),
            ("", r#""""#),
            ("Zoë 東京", r#""Zoë\u{20}東京""#),
            (
                r#"x" from=192.0.2.1 y=""#,
                r#""x\"\u{20}from=192.0.2.1\u{20}y=\"""#,
            ),
            (r"back\slash", r#""back\\slash""#),
            (
                "two\nlines\r\n<3>fault:",
                r#""two\u{a}lines\u{d}\u{a}<3>fault:""#,
            ),
            ("\x1b[31mred\x07", r#""\u{1b}[31mred\u{7}""#),
            ("\u{9b}31m\u{85}", r#""\u{9b}31m\u{85}""#),
            ("\u{202e}txt.exe\u{2066}", r#""\u{202e}txt.exe\u{2066}""#),
            ("a\u{2028}b\u{2029}c", r#""a\u{2028}b\u{2029}c""#),
            ("\u{e0041}\u{200b}", r#""\u{e0041}\u{200b}""#),
        ];
        for (given, expected) in cases {
            assert_eq!(Quoted(given).to_string(), expected);
        }
        let long = Quoted(&"é".repeat(VALUE + 1)).to_string();
        assert_eq!(long, format!("\"{}\"...", "é".repeat(VALUE)));
    }

    #[test]
    fn a_line_takes_no_line_end_from_anywhere_and_is_never_long() {
        let text = Text::of(format_args!("a {} b\tc", "x\ny\x1b[2J\u{202e}"));
        assert_eq!(text, r"a x\u{a}y\u{1b}[2J\u{202e} b\u{9}c");
        for long in ["a", "\n", "\u{e0001}", "東"] {
            let text = Text::of(format_args!("{}", long.repeat(1_000_000)));
            assert!(text.len() <= TEXT + 3 && text.ends_with("..."), "{long:?}");
        }
    }
}
