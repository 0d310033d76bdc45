//! Dates in header fields: IMF-fixdate, the one form that is still written (RFC 9110 5.6.7).

use crate::model::Timestamp;
use jiff::fmt::{rfc2822::DateTimePrinter, strtime::BrokenDownTime};

/// 0000-01-01T00:00:00Z: before it, a year does not have four digits.
const FIRST: i64 = -62_167_219_200;

/// Writes a time. Times outside the years 0 to 9999 are pinned to the nearest that has a form.
pub fn format(time: Timestamp) -> String {
    let last = jiff::Timestamp::MAX.as_second();
    jiff::Timestamp::from_second(time.0.clamp(FIRST, last))
        .and_then(|t| DateTimePrinter::new().timestamp_to_rfc9110_string(&t))
        .unwrap_or_default()
}

/// Reads a time. The obsolete forms, and dates whose weekday is wrong, are nothing.
pub fn parse(text: &str) -> Option<Timestamp> {
    let parsed = BrokenDownTime::parse("%a, %d %b %Y %H:%M:%S GMT", text).ok()?;
    let civil = parsed.to_datetime().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let time = Timestamp(zoned.timestamp().as_second());
    // The parser is more lenient than the form: it takes other cases, widths and leap seconds.
    (format(time) == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_standard() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(parse(text), Some(Timestamp(784_111_777)));
        assert_eq!(format(Timestamp(784_111_777)), text);
        assert_eq!(format(Timestamp(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn other_forms_are_nothing() {
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn far_times_are_pinned() {
        assert_eq!(format(Timestamp(i64::MIN)), "Sat, 01 Jan 0000 00:00:00 GMT");
        assert!(format(Timestamp(i64::MAX)).contains(" Dec 9999 "));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in FIRST..253_402_000_000_i64) {
            prop_assert_eq!(parse(&format(Timestamp(seconds))), Some(Timestamp(seconds)));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
