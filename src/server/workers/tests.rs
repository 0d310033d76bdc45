//! Sets of threads that are full, hang or panic, and the queue for passwords.

use super::*;
use crate::model::progress;
use std::sync::mpsc::channel;

#[test]
fn a_full_set_gives_the_work_back() {
    let transfers = Threads::new("transfer", 1);
    let (release, hold) = channel::<()>();
    assert_eq!(transfers.start(1, move |_| _ = hold.recv()), Ok(()));
    assert_eq!(transfers.start(2, |_| ()), Err(2));
    assert!(!transfers.ended(Duration::ZERO));
    drop(release);
    assert!(transfers.ended(Duration::from_secs(5)));
    assert_eq!(transfers.start(3, |_| ()), Ok(()));
}

#[test]
fn where_no_thread_can_be_had_who_has_no_job_is_well_and_who_hangs_is_not() {
    // A set that may have none is like a system that has none.
    assert!(Threads::new("idle", 0).sign()());
    let threads = Threads::new("transfer", 1);
    let (release, hold) = channel::<()>();
    assert_eq!(threads.start((), move |()| _ = hold.recv()), Ok(()));
    let mut sign = threads.sign();
    assert!(!sign() && !sign());
    drop(release);
    assert!(threads.ended(Duration::from_secs(5)));
    assert!((0..5000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        sign()
    }));
}

#[test]
fn a_panic_gives_the_place_back() {
    let transfers = Threads::new("transfer", 1);
    assert_eq!(transfers.start((), |()| panic!("on purpose")), Ok(()));
    assert!(transfers.ended(Duration::from_secs(5)));
}

#[test]
fn who_checks_passwords_is_well_while_it_waits_for_others_and_a_stop_does_not() {
    let passwords = Arc::new(Passwords::start().unwrap());
    let (release, hold) = channel::<()>();
    let (began, begun) = channel();
    let job = move |()| {
        progress::waiting(|| {
            began.send(()).unwrap();
            let _ = hold.recv();
        });
    };
    assert_eq!(passwords.queue((), job), Ok(()));
    begun.recv().unwrap();
    let mut sign = passwords.sign();
    assert!(sign() && sign());
    // Comes back although the job does not end.
    passwords.stop_within(Duration::from_millis(1));
    drop(release);
}

#[test]
fn password_checks_wait_in_a_short_queue() {
    let passwords = Passwords::start().unwrap();
    let (release, hold) = channel::<()>();
    let (began, begun) = channel();
    let job = move |()| {
        began.send(()).unwrap();
        let _ = hold.recv();
    };
    assert_eq!(passwords.queue((), job), Ok(()));
    begun.recv().unwrap();
    let (done, count) = channel();
    for n in 0..QUEUE {
        let done = done.clone();
        assert_eq!(passwords.queue(n, move |n| done.send(n).unwrap()), Ok(()));
    }
    assert_eq!(passwords.queue(99, |_| ()), Err(99));
    drop(release);
    passwords.stop();
    drop(done);
    assert_eq!(count.iter().count(), QUEUE);
    assert_eq!(passwords.queue(100, |_| ()), Err(100));
}
