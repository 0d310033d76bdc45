//! What goes to standard output: for a person as lines and columns, for a program as JSON.

use super::exit::{Failure, IO};
use crate::model::is_hostile;
use serde_json::Value;
use std::io::{self, Write};

/// Writes to standard output, whole.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure {
            code: IO,
            message: format!("standard output: {e}"),
        })
}

/// Tells a person something that is no result. That nobody reads it does no harm.
pub(super) fn note(text: &str) {
    let _stderr_is_gone = writeln!(io::stderr(), "{text}");
}

/// One JSON value and the end of its line.
pub(super) fn json(value: &Value) -> Result<(), Failure> {
    say(&format!("{value}\n"))
}

/// Columns as wide as what stands in them, under their titles.
pub(super) fn table<const N: usize>(
    titles: [&str; N],
    rows: &[[String; N]],
) -> Result<(), Failure> {
    let titles = titles.map(str::to_owned);
    let mut widths = [0; N];
    for row in std::iter::once(&titles).chain(rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    say(&text)
}

/// A name as a terminal may show it: nothing that moves the cursor or turns the text around.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_hostile(c) { '\u{fffd}' } else { c })
        .collect()
}

/// The day and time of `at`, in UTC (RFC 3339).
pub(super) fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}
