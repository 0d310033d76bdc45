//! What has to hold for every parameter: for the fuzz targets, and run over their corpus by the
//! tests.

use super::files::count;
use super::params::Params;
use crate::http::Headers;
use crate::service::Count;

/// Header fields, `name:value` on each line, read as every kind of parameter: numbers and truth
/// values as Go would read them, faults that name the field, and never a value out of nothing.
pub fn params(bytes: &[u8]) {
    let mut headers = Headers::default();
    let mut names = Vec::new();
    for line in bytes.split(|b| *b == b'\n').take(16) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let Ok(name) = std::str::from_utf8(&line[..colon]) else {
            continue;
        };
        headers.push(name, &line[colon + 1..]);
        names.push(name.to_owned());
    }
    let params = Params(&headers);
    for name in names.iter().map(String::as_str).chain(["absent"]) {
        // The first field of that name counts, whatever its case.
        let raw = headers.all(name).next();
        let text = raw.map(std::str::from_utf8);
        let fault_names_it = |text: &str| text.contains(name);
        match (params.text(name), text) {
            (Ok(None), None) => {}
            (Ok(Some(found)), Some(Ok(text))) => assert_eq!(found, text),
            (Err(fault), Some(Err(_))) => assert!(fault_names_it(&fault.text)),
            (found, _) => panic!("{name}: {found:?}"),
        }
        match (params.required(name), text) {
            (Ok(found), Some(Ok(text))) => assert!(found == text && !text.is_empty()),
            (Err(fault), None | Some(Err(_) | Ok(""))) => {
                assert!(fault.status == 400 && fault_names_it(&fault.text));
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
        let given = text.and_then(Result::ok).filter(|text| !text.is_empty());
        match (params.number(name), given) {
            (Ok(Some(number)), Some(text)) => {
                assert_eq!(atoi(text), Some(number));
                match count(number) {
                    Count::Unlimited => assert_eq!(number, 0),
                    Count::Limited(n) => assert_eq!(i64::from(n), number.clamp(0, u32::MAX.into())),
                }
            }
            (Ok(None), None) => assert!(!matches!(text, Some(Err(_)))),
            (Err(_), Some(text)) => assert_eq!(atoi(text), None),
            (Err(_), None) => assert!(matches!(text, Some(Err(_)))),
            (found, given) => panic!("{name}: {found:?} of {given:?}"),
        }
        match (params.flag(name), given) {
            (Ok(found), Some(text)) => {
                let lower = text.to_ascii_lowercase();
                assert_eq!(found, matches!(lower.as_str(), "1" | "t" | "true"));
                assert!(found || matches!(lower.as_str(), "0" | "f" | "false"));
            }
            (Ok(found), None) => assert!(!found),
            (Err(fault), _) => assert!(fault_names_it(&fault.text)),
        }
    }
}

/// Go's `strconv.Atoi`, digit by digit.
fn atoi(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(sign * digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn everything_holds_for_the_corpus() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/params");
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            params(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "no corpus");
    }
}
