//! How good a password is: a rule that has to be kept, and a hint that may be ignored.

/// What has to be kept: the rule of accounts.
///
/// # Errors
/// The remedy.
pub(super) fn check(password: &str) -> Result<(), String> {
    if password.chars().any(char::is_control) {
        return Err(
            "a key that is no character was in it (an arrow, perhaps): type it again".into(),
        );
    }
    crate::service::check_password(password).map_err(|e| e.to_string())
}

/// What people who guess try first.
const COMMON: &[&str] = &[
    "password",
    "passwort",
    "12345678",
    "123456789",
    "1234567890",
    "qwertyui",
    "qwertyuiop",
    "qwertzui",
    "qwertzuiop",
    "letmein",
    "iloveyou",
    "raspberry",
    "changeme",
    "welcome",
    "mayfly",
    "admin",
    "secret",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "trustno1",
    "abcdefgh",
];

/// A sentence about the strength, and whether it is worth to think again.
pub(super) fn hint(password: &str) -> (bool, &'static str) {
    let lower = password.to_lowercase();
    // "Password1!" and "mayfly2024" are a well-known word and an ornament.
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    let digits = lower.trim_matches(|c: char| !c.is_ascii_digit());
    if COMMON
        .iter()
        .any(|word| core == *word || digits == *word && digits.len() == lower.len())
    {
        return (true, "weak: it is among the first that anybody tries");
    }
    let mut distinct: Vec<char> = password.chars().collect();
    let length = distinct.len();
    distinct.sort_unstable();
    distinct.dedup();
    let kinds = [
        password.chars().any(char::is_lowercase),
        password.chars().any(char::is_uppercase),
        password.chars().any(char::is_numeric),
        password.chars().any(|c| !c.is_alphanumeric()),
    ];
    let kinds = kinds.iter().filter(|kind| **kind).count();
    if distinct.len() < 5 {
        (true, "weak: it repeats the same few characters")
    } else if length < 10 || length < 12 && kinds < 2 {
        (
            true,
            "weak: it is short; three or four unrelated words are better",
        )
    } else if length < 16 && kinds < 3 {
        (false, "fair: a few more characters would make it good")
    } else {
        (false, "good")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_that_of_accounts() {
        assert!(check("1234567").is_err());
        assert!(check("12345678").is_ok());
        assert!(check(&"x".repeat(2000)).is_err());
    }

    #[test]
    fn the_hint_tells_weak_from_fair_from_good() {
        for weak in [
            "Password1!",
            "mayfly2024",
            "1234567890",
            "aaaaaaaaaaaaaaaaaaaa",
            "kd8fjw2",
            "horsehorse",
        ] {
            assert!(hint(weak).0, "{weak}");
        }
        for (password, word) in [
            ("cupboardlamp", "fair"),
            ("tractor velvet moon", "good"),
            ("hJ3-kw9.Lq2x", "good"),
        ] {
            let (again, text) = hint(password);
            assert!(!again && text.starts_with(word), "{password}: {text}");
        }
    }
}
