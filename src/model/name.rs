//! Names of files as they are kept: safe to show, to save under and to put into a header.

/// The longest name, in bytes of UTF-8: what common file systems take.
const NAME_LIMIT: usize = 255;
/// What a file is called when nothing is left of its name.
const UNNAMED: &str = "unnamed";

/// Makes a client's file name harmless: the last component of a path with `/` or `\`, no control
/// characters, nothing that changes the direction or the lines of text, no blanks around it, at
/// most 255 bytes; never empty, and never dots alone.
pub fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let visible: String = last.chars().filter(|c| !is_hostile(*c)).collect();
    let mut end = 0;
    for (at, c) in visible.trim().char_indices() {
        let after = at + c.len_utf8();
        if after > NAME_LIMIT {
            break;
        }
        end = after;
    }
    let cut = visible.trim().get(..end).unwrap_or_default().trim_end();
    if cut.bytes().all(|b| b == b'.') {
        return UNNAMED.to_owned();
    }
    cut.to_owned()
}

/// Control characters, line and paragraph separators, direction marks and overrides, and the
/// byte-order mark.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_keep_their_text_and_lose_their_traps() {
        let cases = [
            ("a.txt", "a.txt"),
            (".profile", ".profile"),
            ("/etc/passwd", "passwd"),
            ("C:\\dir\\a b.txt", "a b.txt"),
            ("../../a", "a"),
            ("mixed/up\\a", "a"),
            ("", "unnamed"),
            ("dir/", "unnamed"),
            (".", "unnamed"),
            ("a/..", "unnamed"),
            ("...", "unnamed"),
            (" \t ", "unnamed"),
            ("\u{202e}", "unnamed"),
            (".\u{200e}.", "unnamed"),
            ("  a.txt ", "a.txt"),
            ("a\r\nb\0\u{85}\u{7f}.txt", "ab.txt"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("übung 日本.pdf", "übung 日本.pdf"),
            ("a\"b;c%22", "a\"b;c%22"),
        ];
        for (given, wanted) in cases {
            assert_eq!(clean_name(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(clean_name(&"x".repeat(300)), "x".repeat(255));
        assert_eq!(clean_name(&"é".repeat(300)), "é".repeat(127));
        let blank_at_the_cut = format!("{} {}", "x".repeat(254), "y".repeat(20));
        assert_eq!(clean_name(&blank_at_the_cut), "x".repeat(254));
    }

    proptest! {
        #[test]
        fn every_name_becomes_a_harmless_one(name in any::<String>()) {
            let clean = clean_name(&name);
            prop_assert!((1..=NAME_LIMIT).contains(&clean.len()));
            prop_assert!(clean.bytes().any(|b| b != b'.'));
            prop_assert!(!clean.contains(['/', '\\']));
            prop_assert!(!clean.chars().any(is_hostile));
            prop_assert_eq!(clean_name(&clean), clean);
        }
    }
}
