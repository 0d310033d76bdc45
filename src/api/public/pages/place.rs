//! Where in HTML a text ends: between elements, in a tag, in quotes, in a comment.
//!
//! Read as browsers read it (the tokenizer of the HTML standard), character by character: what was
//! read is in the place, so a text may come in pieces. What browsers read in a way that surprises, or
//! not all alike, is [`Place::Unclear`].

/// Elements whose content has no tags but the one that ends it. (Some are so only where there are
/// scripts, or outside of pictures: without a `<` in them, that makes no difference.)
const RAW: [&str; 9] = [
    "iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp",
];

const CDATA: &str = "browsers read <![ in their own ways: leave it out";
const CLOSING: &str =
    "the name of an element belongs behind </ here: write </p>, or &lt;/ for what is shown";
const EQUALS: &str = "an = in a tag belongs behind a name, as in class=\"big\"";
const QUOTE: &str = "a quote in a tag belongs behind a =, as in class=\"big\"";
const BLANK: &str =
    "this tag goes on in different ways: write a blank before what follows the condition";
const IN_RAW: &str = "browsers read no tags and comments inside of this element (title, style and the like): write &lt; for a < that is shown";
const DASHES: &str =
    "the comment might end here, or not: write a blank after the value or condition in it";

/// The name of an element, when that is one of [`RAW`].
type Raw = Option<&'static str>;

/// Where in HTML the text that was read so far ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Place {
    /// Between elements: what stands here is shown.
    #[default]
    Text,
    /// After a `<`: what comes next makes it a tag, or not.
    Opened,
    /// After `</`.
    Closing,
    /// After `<!`.
    Marked,
    /// After `<!-`.
    Dashed,
    /// In a doctype, or in what else goes to the next `>` and is not shown.
    Hidden,
    /// In the name of a tag: one of [`RAW`], and how much of it this is so far, or another.
    Name(Option<(&'static str, usize)>),
    /// In a tag, behind its name.
    Tag(Part, Raw),
    /// In one of [`RAW`], and how much of the tag that ends it was read.
    Inside(&'static str, usize),
    /// In a comment.
    Comment(Dashes),
    /// Nobody should write this; carries the remedy.
    Unclear(&'static str),
}

/// Where in a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Where an attribute may begin.
    Free,
    /// In the name of an attribute.
    Attribute,
    /// Behind that, after a blank.
    Named,
    /// After the `=`.
    Equals,
    /// In a value without quotes.
    Value,
    /// In a value between these quotes.
    Quoted(char),
    /// One of those outside of quotes, depending on a condition.
    Either,
}

/// Which end of a comment has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dashes {
    /// None.
    No,
    /// `-`
    One,
    /// `--` or more.
    Two,
    /// `--!`
    Bang,
    /// `<!--`, which a `>` ends.
    Begun,
    /// `<!---`, which a `>` ends.
    BegunOne,
    /// Nobody knows: it depends on a value or a condition.
    Some,
    /// That, and then `-`.
    SomeOne,
}

impl Place {
    /// Reads on.
    pub fn then(self, c: char) -> Self {
        match (self, c) {
            (Self::Text | Self::Opened, '<') => Self::Opened,
            (Self::Opened, '!') => Self::Marked,
            (Self::Opened, '?') => Self::Hidden,
            (Self::Opened, '/') => Self::Closing,
            (Self::Opened, c) if c.is_ascii_alphabetic() => Self::named("", c),
            (Self::Opened, _) => Self::Text,
            (Self::Closing, c) if c.is_ascii_alphabetic() => Self::Name(None),
            (Self::Closing, _) => Self::Unclear(CLOSING),
            (Self::Marked, '-') => Self::Dashed,
            (Self::Marked, '[') => Self::Unclear(CDATA),
            (Self::Dashed, '-') => Self::Comment(Dashes::Begun),
            (Self::Marked | Self::Dashed | Self::Hidden, '>') => Self::Text,
            (Self::Marked | Self::Dashed, _) => Self::Hidden,
            (Self::Name(Some((name, length))), c) if c.is_ascii_alphabetic() => {
                Self::named(&name[..length], c)
            }
            (Self::Name(_), c)
                if c.is_ascii_whitespace() || matches!(c, '>' | '/' | '=' | '"' | '\'') =>
            {
                Part::Free.then(c, self.raw())
            }
            (Self::Name(_), _) => Self::Name(None),
            (Self::Tag(part, raw), c) => part.then(c, raw),
            (Self::Inside(name, 0), c) if c != '<' => Self::Inside(name, 0),
            (Self::Inside(name, read), c) => match "</".bytes().chain(name.bytes()).nth(read) {
                Some(next) if c.to_ascii_lowercase() == char::from(next) => {
                    Self::Inside(name, read + 1)
                }
                None if c == '>' => Self::Text,
                None if c.is_ascii_whitespace() => Self::Tag(Part::Free, None),
                _ => Self::Unclear(IN_RAW),
            },
            (Self::Comment(dashes), c) => dashes.then(c),
            (Self::Text | Self::Hidden | Self::Unclear(_), _) => self,
        }
    }

    /// A letter more of the name of a tag.
    fn named(so_far: &str, c: char) -> Self {
        let length = so_far.len();
        let is_next = |name: &&&str| {
            name.starts_with(so_far) && name[length..].starts_with(c.to_ascii_lowercase())
        };
        Self::Name(RAW.iter().find(is_next).map(|name| (*name, length + 1)))
    }

    /// The element that a tag begins, when that is one of [`RAW`].
    fn raw(self) -> Raw {
        match self {
            Self::Name(Some((name, length))) => Some(name).filter(|name| name.len() == length),
            Self::Tag(_, raw) => raw,
            _ => None,
        }
    }

    /// After any value: it has no `<`, `>` or quote.
    pub fn after_value(self) -> Self {
        match self {
            Self::Comment(_) => Self::Comment(Dashes::Some),
            other => other,
        }
    }

    /// A place that promises no more than is true in both. `None` when there is none.
    pub fn or(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if self == other => Some(self),
            (Self::Comment(_), Self::Comment(_)) => Some(Self::Comment(Dashes::Some)),
            (Self::Name(_) | Self::Tag(..), Self::Name(_) | Self::Tag(..))
                if self.raw() == other.raw() =>
            {
                let part = self.part()?.or(other.part()?)?;
                Some(Self::Tag(part, self.raw()))
            }
            _ => None,
        }
    }

    fn part(self) -> Option<Part> {
        match self {
            Self::Tag(part, _) => Some(part),
            // It may go on, or not.
            Self::Name(_) => Some(Part::Either),
            _ => None,
        }
    }
}

impl Part {
    fn then(self, c: char, raw: Raw) -> Place {
        let part = match (self, c) {
            (Self::Quoted(quote), _) if c == quote => Self::Free,
            (Self::Quoted(_), _) => self,
            (_, '>') => return raw.map_or(Place::Text, |name| Place::Inside(name, 0)),
            (Self::Equals, '"' | '\'') => Self::Quoted(c),
            (_, '"' | '\'') => return Place::Unclear(QUOTE),
            (Self::Equals | Self::Named, c) if c.is_ascii_whitespace() => self,
            (Self::Attribute, c) if c.is_ascii_whitespace() => Self::Named,
            (_, c) if c.is_ascii_whitespace() => Self::Free,
            (Self::Equals | Self::Value, _) => Self::Value,
            (Self::Either, '/') => Self::Either,
            (Self::Either, _) => return Place::Unclear(BLANK),
            (_, '/') => Self::Free,
            (Self::Free, '=') => return Place::Unclear(EQUALS),
            (_, '=') => Self::Equals,
            _ => Self::Attribute,
        };
        Place::Tag(part, raw)
    }

    fn or(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if self == other => Some(self),
            (Self::Equals | Self::Quoted(_), _) | (_, Self::Equals | Self::Quoted(_)) => None,
            (Self::Free | Self::Named, Self::Free | Self::Named) => Some(Self::Free),
            _ => Some(Self::Either),
        }
    }
}

impl Dashes {
    fn then(self, c: char) -> Place {
        Place::Comment(match (self, c) {
            (Self::Two | Self::Bang | Self::Begun | Self::BegunOne, '>') => return Place::Text,
            (Self::Some | Self::SomeOne, '>') => return Place::Unclear(DASHES),
            (Self::Some | Self::SomeOne, '!') => Self::Some,
            (Self::Two, '!') => Self::Bang,
            (Self::No | Self::Bang, '-') => Self::One,
            (Self::Begun, '-') => Self::BegunOne,
            (Self::Some, '-') => Self::SomeOne,
            (_, '-') => Self::Two,
            _ => Self::No,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Place {
        text.chars().fold(Place::default(), Place::then)
    }

    #[test]
    fn each_text_ends_where_browsers_say() {
        let (free, comment) = (Place::Tag(Part::Free, None), Place::Comment);
        let tag = |part| Place::Tag(part, None);
        for (text, end) in [
            ("", Place::Text),
            ("a < b", Place::Text),
            ("a <", Place::Opened),
            ("<<", Place::Opened),
            ("<1", Place::Text),
            ("<a", Place::Name(None)),
            ("</", Place::Closing),
            ("</a", Place::Name(None)),
            ("<a>", Place::Text),
            ("<a ", free),
            ("<a b", tag(Part::Attribute)),
            ("<a b ", tag(Part::Named)),
            ("<a b =", tag(Part::Equals)),
            ("<a b= ", tag(Part::Equals)),
            ("<a b=c", tag(Part::Value)),
            ("<a b=/c=d", tag(Part::Value)),
            ("<a b=c ", free),
            ("<a b=>", Place::Text),
            ("<a b=\"", tag(Part::Quoted('"'))),
            ("<a b=\n'\">", tag(Part::Quoted('\''))),
            ("<a b='\"' ", free),
            ("<a b/", free),
            ("<!", Place::Marked),
            ("<!-", Place::Dashed),
            ("<!doctype html", Place::Hidden),
            ("<!doctype html>", Place::Text),
            ("<?xml '", Place::Hidden),
            ("<!-a", Place::Hidden),
            ("<!-- <a \" ", comment(Dashes::No)),
            ("<!-- a -", comment(Dashes::One)),
            ("<!-- a --", comment(Dashes::Two)),
            ("<!-- a ---", comment(Dashes::Two)),
            ("<!-- a -- b", comment(Dashes::No)),
            ("<!-- a -->", Place::Text),
            ("<!-- a --!>", Place::Text),
            ("<!-- a --!-", comment(Dashes::One)),
            ("<!-->", Place::Text),
            ("<!--->", Place::Text),
            ("<!---->", Place::Text),
            ("<!--!>", comment(Dashes::No)),
            ("<!---!>", comment(Dashes::No)),
            ("<!----!>", Place::Text),
            ("<!-- a > b", comment(Dashes::No)),
            ("<title>", Place::Inside("title", 0)),
            ("<TITLE a='b'>c</tit", Place::Inside("title", 5)),
            ("<title>a</Title>", Place::Text),
            ("<title>a</title >", Place::Text),
            ("<titles>", Place::Text),
            ("<ti", Place::Name(Some(("title", 2)))),
            ("<style>a>b", Place::Inside("style", 0)),
            ("</title>", Place::Text),
            ("<a b=c'", Place::Unclear(QUOTE)),
            ("<a '", Place::Unclear(QUOTE)),
            ("<a'", Place::Unclear(QUOTE)),
            ("<a b='c''", Place::Unclear(QUOTE)),
            ("<a =", Place::Unclear(EQUALS)),
            ("<a=", Place::Unclear(EQUALS)),
            ("</ '", Place::Unclear(CLOSING)),
            ("</>", Place::Unclear(CLOSING)),
            ("<![CDATA[", Place::Unclear(CDATA)),
            ("<title><b", Place::Unclear(IN_RAW)),
            ("<title><!", Place::Unclear(IN_RAW)),
            ("<title></titles", Place::Unclear(IN_RAW)),
        ] {
            assert_eq!(after(text), end, "{text}");
        }
    }

    #[test]
    fn after_a_value_in_a_comment_nobody_knows_how_many_dashes_there_are() {
        let shown = after("<!-- ").after_value();
        let then = |text: &str| text.chars().fold(shown, Place::then);
        for ends in [" -->", "-->", "!-->", "--!>", "--->"] {
            assert_eq!(then(ends), Place::Text, "{ends}");
        }
        for open in [">", "->", "!>", "-!>"] {
            assert_eq!(then(open), Place::Unclear(DASHES), "{open}");
        }
        assert_eq!(then("a>"), Place::Comment(Dashes::No));
        assert_eq!(then("- >"), Place::Comment(Dashes::No));
    }

    #[test]
    fn what_is_promised_after_a_condition_is_true_after_either_branch() {
        let tag = |part| Some(Place::Tag(part, None));
        for (one, other, both) in [
            ("<!-- -", "<!-- a", Some(Place::Comment(Dashes::Some))),
            ("<a b ", "<a ", tag(Part::Free)),
            ("<a b", "<a ", tag(Part::Either)),
            ("<a b=c", "<a ", tag(Part::Either)),
            ("<b", "<i", tag(Part::Either)),
            ("<title", "<b", None),
            ("<title ", "<b ", None),
            ("<a b=", "<a b=c", None),
            ("<a b='", "<a b=\"", None),
            ("<a ", "<a>", None),
            ("<title>", "", None),
        ] {
            assert_eq!(after(one).or(after(other)), both, "{one} {other}");
            assert_eq!(after(other).or(after(one)), both, "{one} {other}");
        }
        let either = Place::Tag(Part::Either, None);
        let then = |text: &str| text.chars().fold(either, Place::then);
        assert_eq!(then("/>"), Place::Text);
        assert_eq!(then(" b='c'>"), Place::Text);
        for text in ["b", "="] {
            assert_eq!(then(text), Place::Unclear(BLANK));
        }
        assert_eq!(then("/'"), Place::Unclear(QUOTE));
    }
}
