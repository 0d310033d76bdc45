//! Beats come while everything answers, stop with the first silence, and go on after it.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// How long the service manager would wait.
const PATIENCE: Duration = Duration::from_millis(400);
/// More than enough for anything that is to happen.
const LONG: Duration = Duration::from_secs(20);

/// A watchdog and what it told.
struct Rig {
    watchdog: Watchdog,
    told: Receiver<(Instant, Notice)>,
}

fn rig(probes: Vec<Probe>) -> Rig {
    let (tell, told) = channel();
    let watchdog = Watchdog::start(Plan {
        probes,
        status: Box::new(|| "all is well".to_owned()),
        patience: Some(PATIENCE),
        tell: Box::new(move |notices| {
            assert!(!notices.is_empty(), "there is something to tell");
            let beats = notices.contains(&Notice::Alive);
            assert!(!beats || notices.len() == 1, "a beat goes alone");
            for notice in notices {
                let _the_test_is_over = tell.send((Instant::now(), notice.clone()));
            }
        }),
    })
    .unwrap();
    Rig { watchdog, told }
}

impl Rig {
    fn wait_for(&self, wanted: &dyn Fn(&Notice) -> bool) -> (Instant, Notice) {
        loop {
            let told = self.told.recv_timeout(LONG).unwrap();
            if wanted(&told.1) {
                return told;
            }
        }
    }

    fn beat(&self) -> Instant {
        self.wait_for(&|notice| *notice == Notice::Alive).0
    }

    fn status(&self) -> String {
        match self
            .wait_for(&|notice| matches!(notice, Notice::Status(_)))
            .1
        {
            Notice::Status(status) => status,
            _ => String::new(),
        }
    }

    /// Waits until more than the patience has passed without a beat.
    fn falls_silent(&self) {
        let end = Instant::now() + LONG;
        while Instant::now() < end {
            let mut beats = 0;
            let round = Instant::now() + PATIENCE * 2;
            while let Ok((_, notice)) = self
                .told
                .recv_timeout(round.saturating_duration_since(Instant::now()))
            {
                beats += usize::from(notice == Notice::Alive);
            }
            if beats == 0 {
                return;
            }
        }
        panic!("the beats go on");
    }
}

fn switch(name: &'static str) -> (Probe, Arc<AtomicBool>) {
    let on = Arc::new(AtomicBool::new(true));
    let own = Arc::clone(&on);
    let answers = Box::new(move || own.load(Ordering::Relaxed));
    (Probe::of_signs(name, answers), on)
}

#[test]
fn one_silent_probe_of_several_stops_the_beats_and_is_named_until_it_answers_again() {
    let (well, _) = switch("the gate");
    let (sick, on) = switch("the cellar");
    let rig = rig(vec![well, sick]);
    assert_eq!(rig.status(), "all is well");
    rig.beat();
    on.store(false, Ordering::Relaxed);
    let status = rig.status();
    assert!(
        status.starts_with("the cellar gave no answer for "),
        "{status}"
    );
    assert!(!status.contains("the gate"), "{status}");
    rig.falls_silent();
    on.store(true, Ordering::Relaxed);
    rig.beat();
    assert_eq!(rig.status(), "all is well");
    rig.watchdog.stop();
}

#[test]
fn a_question_that_hangs_stops_the_beats_and_holds_up_nothing_else() {
    let (release, hold) = channel::<()>();
    let (begin, begun) = channel();
    let mut first = true;
    let probe = Probe::on_thread("the cellar", move || {
        begin.send(()).unwrap();
        if !std::mem::take(&mut first) {
            let _released = hold.recv();
        }
        Ok(())
    });
    let rig = rig(vec![probe.unwrap()]);
    rig.beat();
    begun.recv_timeout(LONG).unwrap();
    begun.recv_timeout(LONG).unwrap();
    rig.falls_silent();
    assert!(begun.try_recv().is_err(), "it is not asked twice at once");
    drop(release);
    rig.beat();
    rig.watchdog.stop();
}

#[test]
fn a_failure_is_no_answer_and_its_reason_is_told() {
    let probe = Probe::on_thread("the listener", || Err("connection\nrefused".to_owned()));
    let rig = rig(vec![probe.unwrap()]);
    let status = rig.status();
    assert!(status.ends_with(" s (connection refused)"), "{status}");
    rig.falls_silent();
    rig.watchdog.stop();
}

#[test]
fn a_question_that_panics_is_never_answered() {
    let rig = rig(vec![
        Probe::on_thread("x", || panic!("on purpose")).unwrap(),
    ]);
    rig.falls_silent();
    rig.watchdog.stop();
}

#[test]
fn slow_answers_never_let_the_beats_come_too_late() {
    let (answer, slowly) = channel::<()>();
    let probe = Probe::on_thread("the disk", move || {
        // As long as a third of the patience, each time.
        let _nobody_answers = slowly.recv_timeout(PATIENCE / 3);
        Ok(())
    });
    let rig = rig(vec![probe.unwrap()]);
    let mut last = rig.beat();
    for _ in 0..6 {
        let beat = rig.beat();
        let pause = beat - last;
        assert!(pause < PATIENCE, "{pause:?}");
        last = beat;
    }
    drop(answer);
    rig.watchdog.stop();
}

#[test]
fn who_stops_on_purpose_beats_to_the_end_without_asking() {
    let (probe, on) = switch("the gate");
    let rig = rig(vec![probe]);
    rig.beat();
    rig.watchdog.stopping();
    on.store(false, Ordering::Relaxed);
    for _ in 0..8 {
        rig.beat();
    }
    rig.watchdog.stop();
}

#[test]
fn a_remark_stays_in_front_of_the_status_until_it_is_taken_back() {
    let rig = rig(Vec::new());
    assert_eq!(rig.status(), "all is well");
    rig.watchdog.remark("the settings are wrong".to_owned());
    assert_eq!(rig.status(), "the settings are wrong. all is well");
    rig.watchdog.remark(String::new());
    assert_eq!(rig.status(), "all is well");
    rig.watchdog.stop();
}

#[test]
fn a_status_that_never_ends_is_cut_and_the_beats_go_on() {
    let rig = rig(Vec::new());
    rig.watchdog.remark("x".repeat(100_000));
    while !rig.status().starts_with("xxx") {}
    rig.beat();
    rig.watchdog.remark("y".repeat(100_000));
    let status = rig.status();
    assert!(status.len() < 4096 / 2, "{}", status.len());
    rig.watchdog.stop();
}
