//! Conditions against tables, and against a naive evaluation of section 13.2.2.

use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NEW: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const FILE: Validators<'_> = Validators {
    etag: Some("\"a,b\""),
    modified: Some(Timestamp(784_111_777)),
};
const RANGES: Outcome = Outcome::Proceed { ranges: true };
const NO_RANGES: Outcome = Outcome::Proceed { ranges: false };

fn head(method: Method, fields: &[(&str, &str)]) -> Head {
    let mut headers = Headers::default();
    for (name, value) in fields {
        headers.push(*name, *value);
    }
    Head {
        method,
        path: "/".to_owned(),
        query: None,
        http11: true,
        headers,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn get(name: &str, value: &str) -> Outcome {
    evaluate(&head(Method::Get, &[(name, value)]), &FILE)
}

#[test]
fn tags_are_found_in_lists() {
    for list in [
        "\"a,b\"",
        "W/\"a,b\"",
        "*",
        " * ",
        "\"x\", \"a,b\"",
        "\"a\",W/\"b\" ,\t, \"a,b\"",
    ] {
        assert_eq!(get("If-None-Match", list), Outcome::NotModified, "{list}");
    }
    for list in [
        "\"x\"",
        "",
        "a,b",
        "\"a",
        "\"a\",\"b\"",
        "x, \"a,b\"",
        "w/\"a,b\"",
    ] {
        assert_eq!(get("If-None-Match", list), RANGES, "{list}");
    }
}

#[test]
fn a_weak_tag_does_not_satisfy_a_strong_comparison() {
    assert_eq!(get("If-Match", "\"x\", \"a,b\""), RANGES);
    assert_eq!(get("If-Match", "*"), RANGES);
    assert_eq!(get("If-Match", "W/\"a,b\""), Outcome::Failed);
    assert_eq!(get("If-Match", "\"x\""), Outcome::Failed);
    assert_eq!(get("If-Match", "garbage"), Outcome::Failed);
    assert_eq!(get("If-Range", "W/\"a,b\""), NO_RANGES);
    assert_eq!(get("If-Range", "\"a,b\""), RANGES);
    assert_eq!(get("If-Range", "*"), NO_RANGES);
    assert_eq!(get("If-Range", "\"a,b\", \"x\""), NO_RANGES);
}

#[test]
fn dates_are_compared_by_the_second() {
    let cases = [
        ("If-Modified-Since", OLD, RANGES),
        ("If-Modified-Since", SAME, Outcome::NotModified),
        ("If-Modified-Since", NEW, Outcome::NotModified),
        ("If-Modified-Since", "yesterday", RANGES),
        ("If-Unmodified-Since", OLD, Outcome::Failed),
        ("If-Unmodified-Since", SAME, RANGES),
        ("If-Unmodified-Since", NEW, RANGES),
        ("If-Unmodified-Since", "yesterday", RANGES),
        ("If-Range", OLD, NO_RANGES),
        ("If-Range", SAME, RANGES),
        ("If-Range", NEW, NO_RANGES),
        ("If-Range", "yesterday", NO_RANGES),
    ];
    for (name, value, wanted) in cases {
        assert_eq!(get(name, value), wanted, "{name}: {value}");
    }
}

#[test]
fn other_methods_fail_where_reading_ones_are_not_modified() {
    let all = [("If-None-Match", "*")];
    assert_eq!(
        evaluate(&head(Method::Head, &all), &FILE),
        Outcome::NotModified
    );
    assert_eq!(
        evaluate(&head(Method::Delete, &all), &FILE),
        Outcome::Failed
    );
    let since = [("If-Modified-Since", NEW)];
    assert_eq!(evaluate(&head(Method::Post, &since), &FILE), NO_RANGES);
    assert_eq!(evaluate(&head(Method::Head, &[]), &FILE), NO_RANGES);
    assert_eq!(evaluate(&head(Method::Get, &[]), &FILE), RANGES);
}

#[test]
fn tags_outrank_dates() {
    let fields = [("If-None-Match", "\"x\""), ("If-Modified-Since", NEW)];
    assert_eq!(evaluate(&head(Method::Get, &fields), &FILE), RANGES);
    let fields = [("If-Match", "\"a,b\""), ("If-Unmodified-Since", OLD)];
    assert_eq!(evaluate(&head(Method::Get, &fields), &FILE), RANGES);
    let fields = [("If-Match", "\"x\""), ("If-None-Match", "*")];
    assert_eq!(
        evaluate(&head(Method::Get, &fields), &FILE),
        Outcome::Failed
    );
}

#[test]
fn a_file_without_validators_matches_only_the_star() {
    let none = Validators {
        etag: None,
        modified: None,
    };
    let check = |name, value| evaluate(&head(Method::Get, &[(name, value)]), &none);
    assert_eq!(check("If-Match", "*"), RANGES);
    assert_eq!(check("If-Match", "\"a\""), Outcome::Failed);
    assert_eq!(check("If-None-Match", "\"a\""), RANGES);
    assert_eq!(check("If-Modified-Since", NEW), RANGES);
    assert_eq!(check("If-Range", "\"a\""), NO_RANGES);
    assert_eq!(check("If-Range", SAME), NO_RANGES);
}

#[test]
fn fields_sent_twice_are_lists_or_nothing() {
    let fields = [("If-None-Match", "\"x\""), ("If-None-Match", "\"a,b\"")];
    assert_eq!(
        evaluate(&head(Method::Get, &fields), &FILE),
        Outcome::NotModified
    );
    let fields = [("If-Modified-Since", NEW), ("If-Modified-Since", NEW)];
    assert_eq!(evaluate(&head(Method::Get, &fields), &FILE), RANGES);
    let fields = [("If-Range", "\"a,b\""), ("If-Range", "\"a,b\"")];
    assert_eq!(evaluate(&head(Method::Get, &fields), &FILE), NO_RANGES);
}

/// Section 13.2.2, step by step, over what each condition alone evaluates to.
fn naive(
    method: Method,
    m: Option<bool>,
    us: Option<bool>,
    nm: Option<bool>,
    ms: Option<bool>,
    ir: Option<bool>,
) -> Outcome {
    let reading = method == Method::Get || method == Method::Head;
    if m == Some(false) || (m.is_none() && us == Some(false)) {
        return Outcome::Failed;
    }
    if nm == Some(false) {
        return if reading {
            Outcome::NotModified
        } else {
            Outcome::Failed
        };
    }
    if nm.is_none() && reading && ms == Some(false) {
        return Outcome::NotModified;
    }
    Outcome::Proceed {
        ranges: method == Method::Get && ir != Some(false),
    }
}

proptest! {
    #[test]
    fn every_combination_follows_the_order_of_the_standard(
        method in prop::sample::select(vec![Method::Get, Method::Head, Method::Put]),
        conditions in prop::array::uniform5(prop::option::of(any::<bool>())),
    ) {
        let [m, us, nm, ms, ir] = conditions;
        let tag = |met: bool| if met { "\"a,b\"" } else { "\"x\"" };
        let fields: Vec<(&str, &str)> = [
            m.map(|met| ("if-match", tag(met))),
            us.map(|met| ("if-unmodified-since", if met { SAME } else { OLD })),
            nm.map(|met| ("if-none-match", tag(!met))),
            ms.map(|met| ("if-modified-since", if met { OLD } else { SAME })),
            ir.map(|met| ("if-range", tag(met))),
        ]
        .into_iter()
        .flatten()
        .collect();
        prop_assert_eq!(evaluate(&head(method, &fields), &FILE), naive(method, m, us, nm, ms, ir));
    }

    #[test]
    fn no_list_panics(list in "[W/\", a*]{0,30}") {
        let _ = get("If-None-Match", &list);
        let _ = get("If-Range", &list);
    }
}
