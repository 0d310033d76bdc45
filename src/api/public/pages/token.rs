//! The words and signs between `{{` and `}}`, or `{%` and `%}`; and the text around those.

/// A word or a sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name, or a word of the language.
    Word(&'a str),
    /// What stands in quotes.
    Text(&'a str),
    /// A number.
    Number,
    /// Anything else.
    Sign(&'a str),
}

/// The token that `rest` begins with, and its length.
pub fn token(rest: &str) -> Option<(Token<'_>, usize)> {
    let first = rest.chars().next()?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let run = |more: fn(char) -> bool| rest.find(|c| !more(c)).unwrap_or(rest.len());
    if first.is_ascii_digit() {
        let length = run(|c| c.is_ascii_digit() || c == '_');
        return Some((Token::Number, length));
    }
    if word(first) {
        let length = run(|c| c.is_ascii_alphanumeric() || c == '_');
        return Some((Token::Word(&rest[..length]), length));
    }
    if matches!(first, '"' | '\'') {
        let mut escaped = false;
        for (at, c) in rest.char_indices().skip(1) {
            if c == first && !escaped {
                return Some((Token::Text(&rest[1..at]), at + 1));
            }
            escaped = c == '\\' && !escaped;
        }
        return None;
    }
    let length = match rest.get(..2) {
        Some("==" | "!=" | "<=" | ">=" | "**" | "//") => 2,
        _ => first.len_utf8(),
    };
    Some((Token::Sign(&rest[..length]), length))
}

/// The text of `source` between two tags that the page gets, and where it begins: without the blanks
/// that a `-` in the tag before or after takes.
pub fn shown(source: &str, from: usize, to: usize) -> (usize, &str) {
    let mut text = &source[from..to];
    let is_cut = ["-}}", "-%}", "-#}"];
    if is_cut.iter().any(|end| source[..from].ends_with(end)) {
        text = text.trim_start();
    }
    let start = to - text.len();
    let cuts = ["{{-", "{%-", "{#-"];
    if cuts.iter().any(|tag| source[to..].starts_with(tag)) {
        text = text.trim_end();
    }
    (start, text)
}
