//! The buckets and the permit, driven by hand.

use super::world::*;
use crate::service::limiter::{Kind, Limiter, Source};
use crate::service::passwords::{PasswordRoom, Wait};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn v4(n: u32) -> Source {
    IpAddr::V4(Ipv4Addr::from(n)).into()
}

#[test]
fn a_bucket_has_its_burst_and_fills_at_its_rate() {
    for (kind, burst, interval) in [
        (Kind::UnknownId, 20, 1),
        (Kind::BadKey, 20, 1),
        (Kind::Login, 5, 10),
        (Kind::LinkPassword, 10, 5),
    ] {
        let limiter = Limiter::default();
        let key = [(kind, v4(1))];
        for _ in 0..burst {
            assert_eq!(limiter.charge(&key, at(100)), Ok(()), "{kind:?}");
        }
        assert_eq!(limiter.charge(&key, at(100)), Err(at(interval)), "{kind:?}");
        assert_eq!(limiter.charge(&[(kind, v4(2))], at(100)), Ok(()));
        let later = at(100 + interval);
        assert_eq!(limiter.charge(&key, later), Ok(()));
        assert_eq!(limiter.charge(&key, later), Err(at(interval)));
        limiter.refund(&key);
        assert_eq!(limiter.charge(&key, later), Ok(()));
        let full = at(200 + interval * burst);
        for _ in 0..burst {
            assert_eq!(limiter.charge(&key, full), Ok(()), "never more than full");
        }
        assert!(limiter.charge(&key, full).is_err());
    }
}

#[test]
fn what_one_bucket_refuses_costs_nothing_in_the_others() {
    let limiter = Limiter::default();
    let pair = |n| [(Kind::Login, v4(n)), (Kind::LoginAccount, v4(99))];
    for n in 0..10 {
        assert_eq!(limiter.charge(&pair(n), at(0)), Ok(()));
    }
    for _ in 0..50 {
        assert!(
            limiter.charge(&pair(50), at(0)).is_err(),
            "the account is used up"
        );
    }
    for _ in 0..5 {
        assert_eq!(limiter.charge(&[(Kind::Login, v4(50))], at(0)), Ok(()));
    }
}

#[test]
fn one_client_cannot_choose_another_bucket() {
    let v6 = |text: &str| -> Source { IpAddr::V6(text.parse::<Ipv6Addr>().unwrap()).into() };
    let limiter = Limiter::default();
    for i in 0..20 {
        let address = v6(&format!("2001:db8:1:2::{i:x}"));
        assert_eq!(limiter.charge(&[(Kind::UnknownId, address)], at(0)), Ok(()));
    }
    let charge = |source| limiter.charge(&[(Kind::UnknownId, source)], at(0));
    assert!(charge(v6("2001:db8:1:2:ffff::1")).is_err());
    assert!(charge(v6("2001:db8:1:3::1")).is_ok());
    for _ in 0..20 {
        assert!(charge(v6("::ffff:192.0.2.1")).is_ok());
    }
    assert!(
        charge(HERE.into()).is_err(),
        "the same address, written otherwise"
    );
}

#[test]
fn a_swarm_is_limited_as_a_whole() {
    let limiter = Limiter::default();
    let tries = |kind| {
        (0..10_000)
            .filter(|n| limiter.charge(&[(kind, v4(*n))], at(0)).is_ok())
            .count()
    };
    assert_eq!(tries(Kind::Login), 100);
    assert_eq!(tries(Kind::UnknownId), 2_000);
}

#[test]
fn a_million_sources_take_no_more_memory_and_free_nobody() {
    let limiter = Limiter::default();
    let offender = [(Kind::Login, v4(u32::MAX))];
    for _ in 0..5 {
        assert_eq!(limiter.charge(&offender, at(0)), Ok(()));
    }
    for n in 0..1_000_000u32 {
        // Slow enough for the bucket that all share.
        let now = Duration::from_micros(u64::from(n) * 20);
        let _ = limiter.charge(&[(Kind::UnknownId, v4(n))], now);
        assert!(limiter.remembered() <= 4_096);
    }
    assert!(limiter.remembered() > 1_000);
    // Twenty seconds have passed: two more tries, not five.
    let allowed = (0..5).filter(|_| limiter.charge(&offender, at(20)).is_ok());
    assert_eq!(allowed.count(), 2);
}

#[test]
fn one_password_at_a_time_eight_wait_and_the_ninth_goes() {
    let room = PasswordRoom::default();
    let gate = AtomicBool::new(true);
    let inside = AtomicU32::new(0);
    let most = AtomicU32::new(0);
    let started = AtomicBool::new(false);
    let work = || {
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        std::thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            room.alone(Wait::Bounded, || {
                started.store(true, Ordering::SeqCst);
                while gate.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            })
        });
        while !started.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        for n in 1..=8 {
            scope.spawn(|| assert!(room.alone(Wait::Bounded, work).is_some()));
            while room.waiting() < n {
                std::thread::yield_now();
            }
        }
        assert!(room.alone(Wait::Bounded, work).is_none(), "the ninth");
        for _ in 0..20 {
            scope.spawn(|| assert!(room.alone(Wait::Unbounded, work).is_some()));
        }
        gate.store(false, Ordering::SeqCst);
    });
    assert_eq!(most.into_inner(), 1);
    assert_eq!(room.waiting(), 0);
    assert!(room.alone(Wait::Bounded, work_nothing).is_some());
}

fn work_nothing() {}

#[test]
fn a_panic_gives_the_permit_back() {
    let room = PasswordRoom::default();
    let panics = std::panic::AssertUnwindSafe(|| room.alone(Wait::Bounded, || panic!("boom")));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(room.alone(Wait::Bounded, || 7), Some(7));
}
