//! Names of files in an archive: each is a plain name that every system can save, and no two are the same on any.

use crate::model::{clean_name, folded_name};
use std::collections::HashMap;

/// The longest name, in bytes of UTF-8.
const LIMIT: usize = 255;
/// Names that are devices on Windows, with any extension.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
/// Names that are devices with a digit behind them.
const PORTS: [&str; 2] = ["com", "lpt"];

/// Gives names out, none of them twice.
#[derive(Default)]
pub struct Names {
    /// Names that are taken, as a file system sees them that tells neither upper and lower case nor forms of
    /// Unicode apart; and the number that is tried next for another one like it.
    taken: HashMap<String, u32>,
}

impl Names {
    /// The name that a file is saved under: without a path, without what some system has a meaning for, and with
    /// a number when another one has it: `Name (2).ext`.
    pub fn give(&mut self, name: &str) -> String {
        let name = harmless(name);
        let folded = folded_name(&name);
        let Some(next) = self.taken.get(&folded) else {
            self.taken.insert(folded, 2);
            return name;
        };
        let mut number = *next;
        loop {
            let numbered = numbered(&name, number);
            number = number.saturating_add(1);
            let other = folded_name(&numbered);
            if !self.taken.contains_key(&other) {
                self.taken.insert(folded, number);
                self.taken.insert(other, 2);
                return numbered;
            }
        }
    }
}

fn harmless(name: &str) -> String {
    let mut name: String = clean_name(name)
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
            c => c,
        })
        .collect();
    trim(&mut name);
    if is_device(&name) {
        name.insert(0, '_');
        cut(&mut name, LIMIT);
        trim(&mut name);
    }
    if name.is_empty() {
        return clean_name("");
    }
    name
}

/// Takes away what Windows drops at the end: with it, it would be another name there.
fn trim(name: &mut String) {
    let kept = name.trim_end_matches(['.', ' ']).len();
    name.truncate(kept);
}

/// Whether this is no file on Windows, whatever comes behind the first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end().to_lowercase();
    let is_port = |port: &str| {
        let mut rest = stem.strip_prefix(port).unwrap_or_default().chars();
        let digit = rest.next().is_some_and(|c| "0123456789¹²³".contains(c));
        digit && rest.next().is_none()
    };
    DEVICES.contains(&stem.as_str()) || PORTS.iter().any(|port| is_port(port))
}

/// The name with a number before its extension.
fn numbered(name: &str, number: u32) -> String {
    let (stem, extension) = match name.rfind('.') {
        // What begins with a dot has no extension by that, and what is very long is none.
        Some(at) if at > 0 && name.len() - at <= 16 => name.split_at(at),
        _ => (name, ""),
    };
    let end = format!(" ({number}){extension}");
    let mut numbered = stem.to_owned();
    cut(&mut numbered, LIMIT - end.len());
    numbered + &end
}

/// Cuts a name between two characters.
fn cut(name: &mut String, most: usize) {
    let most = (0..=most.min(name.len())).rev();
    let end = most.into_iter().find(|at| name.is_char_boundary(*at));
    name.truncate(end.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn names_mean_nothing_to_any_system() {
        for (given, wanted) in [
            ("a.txt", "a.txt"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\x", "x"),
            ("/abs", "abs"),
            ("C:\\x", "x"),
            ("C:x", "C_x"),
            ("a\0b\r\n\u{1b}c", "abc"),
            ("a<b>c:d\"e|f?g*h", "a_b_c_d_e_f_g_h"),
            ("trailing. . ", "trailing"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("nul .tar.gz", "_nul .tar.gz"),
            ("LPT9.x", "_LPT9.x"),
            ("com¹", "_com¹"),
            ("com10", "com10"),
            ("console.log", "console.log"),
            (".profile", ".profile"),
            ("übung 日本.pdf", "übung 日本.pdf"),
            ("..", "unnamed"),
            ("", "unnamed"),
        ] {
            assert_eq!(Names::default().give(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn no_name_comes_twice_whatever_a_system_tells_apart() {
        let mut names = Names::default();
        let given = [
            "a.txt",
            "a.txt",
            "A.TXT",
            "a (2).txt",
            "a.txt",
            "cafe\u{301}",
            "caf\u{e9}",
            "noext",
            "noext",
            ".dot",
            ".dot",
            "x.tar.gz",
            "x.tar.gz",
            "what?",
            "what*",
        ]
        .map(|name| names.give(name));
        assert_eq!(
            given,
            [
                "a.txt",
                "a (2).txt",
                "A (3).TXT",
                "a (2) (2).txt",
                "a (4).txt",
                "cafe\u{301}",
                "caf\u{e9} (2)",
                "noext",
                "noext (2)",
                ".dot",
                ".dot (2)",
                "x.tar.gz",
                "x.tar (2).gz",
                "what_",
                "what_ (2)",
            ]
        );
    }

    #[test]
    fn a_long_name_makes_room_for_its_number() {
        let mut names = Names::default();
        let long = format!("{}é.txt", "x".repeat(249));
        assert_eq!(names.give(&long), long);
        assert_eq!(names.give(&long), format!("{} (2).txt", "x".repeat(247)));
        let device = format!("con.{}", "x".repeat(251));
        assert_eq!(names.give(&device), format!("_con.{}", "x".repeat(250)));
    }

    #[test]
    fn many_of_one_name_take_no_longer_than_many_names() {
        let mut names = Names::default();
        let given: HashSet<_> = (0..5_000).map(|_| names.give("same.txt")).collect();
        assert!(given.len() == 5_000 && given.contains("same (5000).txt"));
    }

    proptest! {
        #[test]
        fn every_list_of_names_becomes_different_harmless_ones(
            list in proptest::collection::vec("[a-c:*. ]{0,4}|con|.{0,300}|\\PC{0,90}", 0..12)
        ) {
            let mut names = Names::default();
            let mut seen = HashSet::new();
            for name in &list {
                let name = names.give(name);
                prop_assert!((1..=LIMIT).contains(&name.len()));
                prop_assert!(!name.contains(['/', '\\', ':', '*', '"', '<', '>', '|', '?']));
                prop_assert!(!name.chars().any(char::is_control));
                prop_assert!(!name.ends_with(['.', ' ']) && !is_device(&name));
                prop_assert!(seen.insert(folded_name(&name)));
            }
        }
    }
}
