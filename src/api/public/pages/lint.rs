//! Reads templates for mistakes before anything is done with them, and says in which line.
//!
//! Templates are a small part of Jinja: values, a few filters, conditions, blocks and includes.
//! There are no loops, assignments, calls or arithmetic. Pages need none, and without them no
//! template can take more time or memory than its own length explains.

use super::branches::Open;
use super::content::{COMMON, Page};
use super::place::{Part, Place};
use super::policy;
use super::problem::Finding;
use super::token::{Token, shown, token};

/// The filters there are.
pub const FILTERS: [&str; 8] = [
    "capitalize",
    "default",
    "e",
    "escape",
    "length",
    "lower",
    "trim",
    "upper",
];
/// The tests there are, after `is`.
pub const TESTS: [&str; 3] = ["defined", "none", "undefined"];

const TAGS: [&str; 9] = [
    "block", "elif", "else", "endblock", "endif", "extends", "if", "include", "raw",
];
const WORDS: [&str; 12] = [
    "and", "else", "false", "False", "if", "in", "is", "none", "None", "not", "or", "true",
];
const SIGNS: [&str; 11] = [".", "|", "(", ")", ",", "==", "!=", "<", ">", "<=", ">="];
/// Words and signs in one tag: the engine walks over them by recursion.
const TOKENS: usize = 64;
/// Tags inside of each other, for the same reason.
const DEPTH: usize = 32;

/// What a template says about itself.
#[derive(Default)]
pub struct Template {
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// The blocks that it defines.
    pub blocks: Vec<String>,
    /// The templates that it names.
    pub names: Vec<String>,
}

/// Reads a template. `page` is the one that it is the template of; what is no page may use the
/// variables of all. `exists` tells whether there is a template of that name.
pub fn template(source: &str, page: Option<Page>, exists: &dyn Fn(&str) -> bool) -> Template {
    // As the engine does: what ends a file by a line of its own is not part of it.
    let source = source.strip_suffix('\n').unwrap_or(source);
    let mut reader = Reader {
        source: source.strip_suffix('\r').unwrap_or(source),
        page,
        exists,
        open: Vec::new(),
        place: Place::default(),
        found: Template::default(),
    };
    reader.read();
    reader.found
}

struct Reader<'a> {
    source: &'a str,
    page: Option<Page>,
    exists: &'a dyn Fn(&str) -> bool,
    /// The conditions and blocks that are open.
    open: Vec<Open>,
    /// Where in the page it is.
    place: Place,
    found: Template,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        let mut at = 0;
        while let Some(open) = self.next_tag(at) {
            self.markup(at, open);
            let rest = &self.source[open..];
            at = if rest.starts_with("{#") {
                match rest.find("#}") {
                    Some(end) => open + end + 2,
                    None => return self.error(open, "this comment has no end: write #} behind it"),
                }
            } else {
                let end = if rest.starts_with("{{") { "}}" } else { "%}" };
                let Some((tokens, after)) = self.tokens(open, end) else {
                    let what = format!(
                        "this cannot be read: look for a missing quote or {end}, and for more than {TOKENS} words and signs"
                    );
                    return self.error(open, what);
                };
                if end == "}}" {
                    self.value(open, &tokens);
                    after
                } else {
                    self.tag(open, after, &tokens)
                }
            };
        }
        self.markup(at, self.source.len());
        self.outside_tags(self.source.len());
        if let Some(Open { at, tag, .. }) = self.open.pop() {
            self.error(
                at,
                format!("this has no end: write {{% end{tag} %}} where it belongs"),
            );
        }
    }

    /// Where the next `{{`, `{%` or `{#` is.
    fn next_tag(&self, from: usize) -> Option<usize> {
        let bytes = self.source.as_bytes();
        (from..bytes.len().saturating_sub(1))
            .find(|at| bytes[*at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
    }

    fn line(&self, at: usize) -> usize {
        1 + self.source.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }

    fn error(&mut self, at: usize, what: impl Into<String>) {
        let line = self.line(at);
        self.found.findings.push(Finding::error(line, what));
    }

    /// The tokens of the tag at `open`, and where the text goes on. `None` when it has no end or
    /// cannot be read.
    fn tokens(&self, open: usize, end: &str) -> Option<(Vec<Token<'a>>, usize)> {
        let source = self.source;
        let mut at = open + 2;
        if source[at..].starts_with(['-', '+']) {
            at += 1;
        }
        let mut tokens = Vec::new();
        loop {
            let rest = source[at..].trim_start();
            at = source.len() - rest.len();
            for closing in ["", "-", "+"] {
                if let Some(after) = rest.strip_prefix(closing).and_then(|r| r.strip_prefix(end)) {
                    return Some((tokens, source.len() - after.len()));
                }
            }
            let (token, length) = token(rest)?;
            tokens.push(token);
            at += length;
            if tokens.len() > TOKENS {
                return None;
            }
        }
    }

    /// Reads a tag; returns where the text goes on.
    fn tag(&mut self, open: usize, after: usize, tokens: &[Token<'a>]) -> usize {
        let Some((Token::Word(name), rest)) = tokens.split_first() else {
            return after;
        };
        match *name {
            "if" => {
                self.begin(open, "if");
                self.expression(open, rest);
            }
            "elif" => {
                self.branch(false);
                self.depth(open);
                self.expression(open, rest);
            }
            "block" => {
                self.between_tags(open);
                self.begin(open, "block");
                if let [Token::Word(block), ..] = rest {
                    self.found.blocks.push((*block).to_owned());
                }
            }
            "endif" => self.close(open, "if"),
            "endblock" => {
                self.between_tags(open);
                self.close(open, "block");
            }
            "else" => self.branch(true),
            "extends" | "include" => {
                self.outside_tags(open);
                self.reference(open, name, rest);
            }
            "raw" => return self.raw(after),
            _ => {
                let tags = TAGS.join(", ");
                self.error(open, format!("there is no tag {name} here: use {tags}"));
            }
        }
        after
    }

    /// What stands elsewhere is read by itself, as if it stood between elements. So that must be
    /// true, or a value in it could become attributes.
    fn outside_tags(&mut self, at: usize) {
        if self.place != Place::Text {
            let what = "blocks, includes and ends of files belong between tags: end the tag or comment before";
            self.error(at, what);
        }
    }

    /// Titles may have blocks. What stands elsewhere for one of them is read as if it were no title,
    /// which is the same unless that ends the title.
    fn between_tags(&mut self, at: usize) {
        if !matches!(self.place, Place::Inside(_, 0)) {
            self.outside_tags(at);
        }
    }

    fn begin(&mut self, at: usize, tag: &'static str) {
        self.open.push(Open::new(at, tag, self.place));
        self.depth(at);
    }

    fn branch(&mut self, is_last: bool) {
        if let Some(open) = self.open.last_mut() {
            self.place = open.branch(self.place, is_last);
        }
    }

    fn close(&mut self, at: usize, tag: &str) {
        match self.open.pop() {
            Some(open) if open.tag == tag => {
                self.place = open.end(self.place).unwrap_or_else(|| {
                    let what = "a tag, quote or comment begins or ends in one branch of this condition only: let each branch end what begins in it";
                    self.error(open.at, what);
                    Place::Text
                });
            }
            Some(Open { tag, .. }) => {
                self.error(at, format!("{{% end{tag} %}} belongs before this"));
            }
            None => self.error(at, format!("there is no {{% {tag} %}} to end here")),
        }
    }

    /// To the engine, each `elif` is a condition inside of the one before.
    fn depth(&mut self, open: usize) {
        if self.open.iter().map(|open| open.branches).sum::<usize>() == DEPTH + 1 {
            self.error(
                open,
                format!("too many conditions and blocks inside of each other: at most {DEPTH}"),
            );
        }
    }

    fn reference(&mut self, open: usize, tag: &str, rest: &[Token<'a>]) {
        match rest {
            [Token::Text(name)] if (self.exists)(name) => {
                self.found.names.push((*name).to_owned());
            }
            [Token::Text(name)] => self.error(
                open,
                format!("there is no template {name}: put it into the folder, or remove this line"),
            ),
            _ => self.error(
                open,
                format!("write the name of a template in quotes: {{% {tag} \"base.html\" %}}"),
            ),
        }
    }

    /// Skips to the end of a raw part.
    fn raw(&mut self, from: usize) -> usize {
        let mut at = from;
        while let Some(open) = self.source[at..].find("{%").map(|found| at + found) {
            let inside = self.source[open + 2..].trim_start_matches(['-', '+']);
            if inside.trim_start().starts_with("endraw") {
                self.markup(from, open);
                let end = self.source[open..].find("%}");
                return end.map_or(self.source.len(), |end| open + end + 2);
            }
            at = open + 2;
        }
        self.error(
            from,
            "this raw part has no end: write {% endraw %} behind it",
        );
        self.source.len()
    }

    fn markup(&mut self, from: usize, to: usize) {
        let (from_shown, shown) = shown(self.source, from, to);
        for (at, c) in shown.char_indices() {
            self.place = self.place.then(c);
            if let Place::Unclear(what) = self.place {
                self.error(from_shown + at, what);
                self.place = Place::Text;
            }
        }
        for (at, what) in policy::markup(&self.source[from..to]) {
            let line = self.line(from + at);
            self.found.findings.push(Finding::warning(line, what));
        }
    }

    fn value(&mut self, open: usize, tokens: &[Token<'a>]) {
        match self.place {
            Place::Tag(Part::Quoted(_), _) => {}
            Place::Tag(..) | Place::Name(_) => self.error(
                open,
                "what a file name holds could become attributes here: put quotes around the value",
            ),
            Place::Opened
            | Place::Closing
            | Place::Marked
            | Place::Dashed
            | Place::Inside(_, 1..) => self.error(
                open,
                "what a file name holds could become a tag here: for a < that is shown, write &lt;",
            ),
            Place::Text
            | Place::Hidden
            | Place::Inside(_, 0)
            | Place::Comment(_)
            | Place::Unclear(_) => {}
        }
        self.place = self.place.after_value();
        let parent = [Token::Word("super"), Token::Sign("("), Token::Sign(")")];
        match tokens == parent {
            true => self.outside_tags(open),
            false => self.expression(open, tokens),
        }
    }

    fn expression(&mut self, open: usize, tokens: &[Token<'a>]) {
        let mut at = 0;
        while at < tokens.len() {
            let before = |n: usize| at.checked_sub(n).map(|at| tokens[at]);
            let tested = before(1) == Some(Token::Word("is"))
                || (before(1) == Some(Token::Word("not")) && before(2) == Some(Token::Word("is")));
            match tokens[at] {
                Token::Word(name) if before(1) == Some(Token::Sign("|")) => {
                    self.known(open, "filter", name, &FILTERS);
                }
                Token::Word(name) if tested && name != "not" => {
                    self.known(open, "test", name, &TESTS);
                }
                Token::Word(name) if WORDS.contains(&name) => {}
                Token::Word(name) => {
                    let mut path = name.to_owned();
                    while let Some([Token::Sign("."), Token::Word(next)]) =
                        tokens.get(at + 1..at + 3)
                    {
                        path = format!("{path}.{next}");
                        at += 2;
                    }
                    if tokens.get(at + 1) == Some(&Token::Sign("(")) {
                        self.error(
                            open,
                            format!("there is no function {path} here: templates cannot call any"),
                        );
                    } else {
                        self.variable(open, &path);
                    }
                }
                Token::Sign(sign) if !SIGNS.contains(&sign) => {
                    self.error(open, format!("{sign} has no meaning here: templates show values and compare them, they do not compute"));
                }
                Token::Sign(_) | Token::Text(_) | Token::Number => {}
            }
            at += 1;
        }
    }

    fn known(&mut self, open: usize, kind: &str, name: &str, all: &[&str]) {
        if !all.contains(&name) {
            let all = all.join(", ");
            self.error(open, format!("there is no {kind} {name}: use {all}"));
        }
    }

    fn variable(&mut self, open: usize, path: &str) {
        let own: Vec<&str> = match self.page {
            Some(page) => page.variables().to_vec(),
            None => Page::ALL
                .iter()
                .flat_map(|page| page.variables())
                .copied()
                .collect(),
        };
        if COMMON.contains(&path) || own.contains(&path) {
            return;
        }
        let all: Vec<&str> = own.into_iter().chain(COMMON).collect();
        let all = all.join(", ");
        self.error(open, format!("there is no variable {path}: use {all}"));
    }
}
