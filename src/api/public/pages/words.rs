//! Sizes, counts and times as people read them.

use crate::model::Timestamp;

/// A size with three digits at least and one decimal at most, in the decimal units that file
/// browsers of phones and desktops show: `999 B`, `251.7 kB`, `1.5 GB`.
pub fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit: u64 = 1000;
    let mut letters = "kMGTPE".chars();
    let mut letter = letters.next();
    // What would be rounded to 1000.0 is 1.0 of the next unit.
    while bytes / unit >= 1000 || (bytes / (unit / 20)) >= 19_999 {
        unit *= 1000;
        letter = letters.next();
    }
    let tenths = bytes / (unit / 10) + u64::from(bytes % (unit / 10) >= unit / 20);
    format!("{}.{} {}B", tenths / 10, tenths % 10, letter.unwrap_or('E'))
}

/// `one` or `N many`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    if n == 1 {
        one.to_owned()
    } else {
        format!("{n} {many}")
    }
}

/// A time to the minute, in UTC: `3 Dec 2026, 14:00 UTC`. Rounded down, so that nobody comes too
/// late.
pub fn time(at: Timestamp) -> String {
    instant(at).strftime("%-d %b %Y, %H:%M UTC").to_string()
}

/// The same for machines (HTML's `datetime`), to the second.
pub fn machine_time(at: Timestamp) -> String {
    instant(at).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A span of time, rounded up: `20 seconds`, `3 minutes`, `2 hours`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=90 => count(seconds.max(1), "one second", "seconds"),
        91..=5400 => count(seconds.div_ceil(60), "one minute", "minutes"),
        _ => count(seconds.div_ceil(3600), "one hour", "hours"),
    }
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.0).unwrap_or(if at.0 < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_short_and_round() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (251_658, "251.7 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (999_999_999, "1.0 GB"),
            (1_500_000_000, "1.5 GB"),
            (50_000_000_000, "50.0 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn times_are_read_without_thinking() {
        let at = Timestamp(1_796_306_437);
        assert_eq!(time(at), "3 Dec 2026, 14:00 UTC");
        assert_eq!(machine_time(at), "2026-12-03T14:00:37Z");
        for far in [i64::MIN, i64::MAX, -1, 0] {
            assert!(time(Timestamp(far)).ends_with(" UTC"));
        }
    }

    #[test]
    fn spans_and_counts_know_their_singular() {
        for (seconds, text) in [
            (0, "one second"),
            (1, "one second"),
            (30, "30 seconds"),
            (90, "90 seconds"),
            (91, "2 minutes"),
            (5400, "90 minutes"),
            (5401, "2 hours"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn every_size_has_at_most_three_digits_before_the_point(bytes in any::<u64>()) {
            let text = size(bytes);
            let (digits, _) = text.split_once(['.', ' ']).unwrap();
            prop_assert!(digits.len() <= 3, "{}", text);
        }
    }
}
