//! What the health of the server is, after which failures, and for how long.

use crate::model::Clock;
use crate::store::s3::tests::stage::Hand;
use crate::store::s3::{Health, Kind, S3Error};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn failed(kind: Kind) -> S3Error {
    S3Error::new(kind, "it failed")
}

fn health() -> (Health, Arc<Hand>) {
    let clock = Arc::<Hand>::default();
    (Health::new(Arc::clone(&clock) as Arc<dyn Clock>), clock)
}

#[test]
fn after_five_failures_in_a_row_requests_fail_at_once_except_for_rare_probes() {
    let (health, clock) = health();
    for _ in 0..5 {
        assert!(health.admit().is_ok());
        health.note(Some(&failed(Kind::Unreachable)), true);
    }
    let error = health.admit().unwrap_err();
    assert_eq!(*error.kind(), Kind::Unreachable);
    assert!(error.may_pass());
    assert!(error.to_string().contains("it failed"), "{error}");
    assert!(error.retry_after().unwrap().as_secs() <= 2);
    // The pause doubles up to half a minute, and each time one request goes out.
    for pause in [2, 4, 8, 16, 30, 30] {
        clock.passed.fetch_add(pause, Ordering::SeqCst);
        assert!(health.admit().is_ok(), "a probe after {pause} s");
        assert!(health.admit().is_err(), "only one after {pause} s");
        health.note(Some(&failed(Kind::TimedOut)), true);
        assert!(health.admit().is_err(), "the probe failed");
    }
    clock.passed.fetch_add(30, Ordering::SeqCst);
    assert!(health.admit().is_ok());
    health.note(None, true);
    assert_eq!(health.problem(), None);
    assert!(
        health.admit().is_ok() && health.admit().is_ok(),
        "all is well again"
    );
}

#[test]
fn failures_with_a_success_between_them_change_nothing() {
    let (health, _) = health();
    for _ in 0..4 {
        health.note(Some(&failed(Kind::TimedOut)), true);
        assert_eq!(health.problem(), None, "the next attempt may heal it");
        for _ in 0..3 {
            health.note(Some(&failed(Kind::TimedOut)), true);
        }
        assert!(health.problem().unwrap().contains("it failed"));
        // A refusal, too, shows that the server is there.
        health.note(Some(&failed(Kind::NotFound)), true);
        assert_eq!(health.problem(), None);
    }
    assert!(health.admit().is_ok());
}

#[test]
fn wrong_credentials_are_a_problem_with_a_remedy_and_every_request_still_goes_out() {
    let (health, _) = health();
    for kind in [Kind::BadKey, Kind::BadSignature, Kind::NoBucket] {
        for _ in 0..20 {
            health.note(Some(&failed(kind.clone())), true);
        }
        let problem = health.problem().unwrap();
        assert!(problem.contains(&failed(kind).remedy()), "{problem}");
        assert!(health.admit().is_ok());
    }
    health.note(None, false);
    assert_eq!(health.problem(), None);
}

#[test]
fn what_is_denied_beside_storing_and_reading_is_no_problem() {
    let (health, _) = health();
    health.note(Some(&failed(Kind::Denied)), false);
    assert_eq!(health.problem(), None);
    health.note(Some(&failed(Kind::Body)), true);
    health.note(Some(&failed(Kind::Busy)), true);
    assert_eq!(
        health.problem(),
        None,
        "neither is a fault of this end, nor haste"
    );
}

#[test]
fn a_server_that_answers_is_not_away_whatever_it_says() {
    let (health, _) = health();
    for kind in [Kind::Server, Kind::Busy, Kind::Full, Kind::Refused] {
        for _ in 0..20 {
            health.note(Some(&failed(kind.clone())), true);
            assert!(health.admit().is_ok(), "{kind:?}");
        }
    }
    for _ in 0..20 {
        health.note(Some(&failed(Kind::Busy)), true);
    }
    let problem = health.problem().unwrap();
    assert!(
        problem.contains(&failed(Kind::Busy).remedy()),
        "nothing but haste is a problem: {problem}"
    );
}

#[test]
fn what_cannot_be_stored_stays_a_problem_until_something_is_stored() {
    for kind in [Kind::Denied, Kind::Full] {
        let (health, _) = health();
        health.note(Some(&failed(kind.clone())), true);
        for read in [
            None,
            Some(failed(Kind::Denied)),
            Some(failed(Kind::NotFound)),
        ] {
            health.note(read.as_ref(), false);
            let problem = health.problem().unwrap();
            assert!(
                problem.contains(&failed(kind.clone()).remedy()),
                "{problem}"
            );
        }
        health.note(None, true);
        assert_eq!(health.problem(), None);
    }
}

#[test]
fn an_answer_of_any_sort_ends_what_was_said_about_silence() {
    let (health, _) = health();
    for _ in 0..5 {
        health.note(Some(&failed(Kind::Unreachable)), true);
    }
    assert!(health.problem().is_some() && health.admit().is_err());
    health.note(Some(&failed(Kind::Denied)), false);
    assert!(health.problem().is_none() && health.admit().is_ok());
    // What a wrong key is told about one object says nothing about the key.
    health.note(Some(&failed(Kind::BadKey)), true);
    health.note(Some(&failed(Kind::Denied)), false);
    assert!(health.problem().is_some());
}

#[test]
fn every_sort_has_a_remedy_and_words_of_servers_are_bounded_and_harmless() {
    let all = [
        Kind::NotFound,
        Kind::NoBucket,
        Kind::NoUpload,
        Kind::Denied,
        Kind::BadKey,
        Kind::BadSignature,
        Kind::WrongRegion { expected: None },
        Kind::Skewed { by: 1 },
        Kind::Precondition,
        Kind::NotImplemented,
        Kind::Busy,
        Kind::Full,
        Kind::Tls,
        Kind::Unreachable,
        Kind::TimedOut,
        Kind::Broken,
        Kind::Body,
        Kind::Refused,
        Kind::Server,
    ];
    for kind in all {
        let remedy = failed(kind.clone()).remedy();
        assert!(
            remedy.ends_with('.') && remedy.len() > 20,
            "{kind:?}: {remedy}"
        );
    }
    let elsewhere = Kind::WrongRegion {
        expected: Some("eu-central-1".to_owned()),
    };
    assert!(
        failed(elsewhere)
            .remedy()
            .contains("region = \"eu-central-1\"")
    );
    let rude = S3Error::new(Kind::Refused, "a\nb\u{1b}[2Jc\u{202e}d").to_string();
    assert_eq!(rude, "a\\u{a}b\\u{1b}[2Jc\\u{202e}d");
    let long = S3Error::new(Kind::Refused, "ü".repeat(10_000)).to_string();
    assert!(long.len() <= 303 && long.ends_with("..."));
}
