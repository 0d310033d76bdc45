//! Where in HTML a text ends: between elements, in a tag, in quotes, in a comment.
//!
//! Read as browsers read it (the tokenizer of the HTML standard), character by character: what was
//! read is in the place, so a text may come in pieces.

/// Where in HTML the text that was read so far ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// Between elements: what stands here is shown.
    #[default]
    Text,
    /// After a `<`: what comes next makes it a tag, or not.
    Opened,
    /// After `<!`.
    Marked,
    /// After `<!-`.
    Dashed,
    /// In a doctype, or in what else goes to the next `>` and is not shown.
    Hidden,
    /// In a tag, outside of quotes: what stands here becomes attributes.
    Tag,
    /// In a value between these quotes.
    Quoted(char),
    /// In a comment, after so many dashes in a row; 3 is `--!`.
    Comment(u8),
}

impl Place {
    /// Reads on.
    pub fn after(self, text: &str) -> Self {
        text.chars().fold(self, Self::then)
    }

    fn then(self, c: char) -> Self {
        match (self, c) {
            (Self::Text | Self::Opened, '<') => Self::Opened,
            (Self::Opened, '!') => Self::Marked,
            (Self::Opened, '?') => Self::Hidden,
            (Self::Opened, c) if c.is_ascii_alphabetic() || c == '/' => Self::Tag,
            (Self::Opened, _) => Self::Text,
            (Self::Marked, '-') => Self::Dashed,
            // At once, it ends again: `<!-->`.
            (Self::Dashed, '-') => Self::Comment(2),
            (Self::Marked | Self::Dashed | Self::Hidden, '>') => Self::Text,
            (Self::Marked | Self::Dashed, _) => Self::Hidden,
            (Self::Tag, '>') => Self::Text,
            (Self::Tag, '"' | '\'') => Self::Quoted(c),
            (Self::Quoted(quote), _) if c == quote => Self::Tag,
            (Self::Comment(2 | 3), '>') => Self::Text,
            (Self::Comment(2), '!') => Self::Comment(3),
            (Self::Comment(3), '-') => Self::Comment(1),
            (Self::Comment(dashes), '-') => Self::Comment(2.min(dashes + 1)),
            (Self::Comment(_), _) => Self::Comment(0),
            (Self::Text | Self::Hidden | Self::Tag | Self::Quoted(_), _) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_ends_where_browsers_say_however_it_is_cut() {
        for (text, end) in [
            ("", Place::Text),
            ("a < b", Place::Text),
            ("a <", Place::Opened),
            ("<<", Place::Opened),
            ("<1", Place::Text),
            ("<a", Place::Tag),
            ("</a", Place::Tag),
            ("<a>", Place::Text),
            ("<a b=\"", Place::Quoted('"')),
            ("<a b='\">", Place::Quoted('\'')),
            ("<a b='\"' ", Place::Tag),
            ("<!", Place::Marked),
            ("<!-", Place::Dashed),
            ("<!doctype html", Place::Hidden),
            ("<!doctype html>", Place::Text),
            ("<?xml '", Place::Hidden),
            ("<!-a", Place::Hidden),
            ("<!-- <a \" ", Place::Comment(0)),
            ("<!-- a -", Place::Comment(1)),
            ("<!-- a --", Place::Comment(2)),
            ("<!-- a ---", Place::Comment(2)),
            ("<!-- a -- b", Place::Comment(0)),
            ("<!-- a -->", Place::Text),
            ("<!-- a --!>", Place::Text),
            ("<!-- a --!-", Place::Comment(1)),
            ("<!-->", Place::Text),
            ("<!--->", Place::Text),
            ("<!-- a > b", Place::Comment(0)),
        ] {
            assert_eq!(Place::default().after(text), end, "{text}");
            for cut in 0..=text.len() {
                let (head, tail) = text.split_at(cut);
                assert_eq!(Place::default().after(head).after(tail), end, "{text}");
            }
        }
    }
}
