//! Whether another process is at work under the same mark: pure state, with time as a parameter.
//!
//! A process draws a number, and looks at the number beside the mark now and then. What this promises: of
//! two that live, each finds out at its next look that the other has written; one that starts after a
//! crash is alone when nobody has written for [`SURE`]; and one that starts after a process that signed
//! off is alone at once.

use crate::pipeline::seal::keys::random;
use data_encoding::HEXLOWER;
use std::time::Duration;

/// How long nobody else must have written: whoever lives looks every five minutes.
pub(super) const SURE: Duration = Duration::from_secs(11 * 60);

/// The number of this process, and what it knows of others.
pub(super) struct Presence {
    number: String,
    /// It has looked at a mark.
    knows: bool,
    signed_off: bool,
    /// The number that it replaced when it started.
    replaced: Option<String>,
    /// When it last found a number of somebody else.
    other: Option<Duration>,
    /// It was one that was written while this process ran.
    shared: bool,
    /// When it last looked.
    looked: Duration,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self {
            number: draw(),
            knows: false,
            signed_off: false,
            replaced: None,
            other: None,
            shared: false,
            looked: Duration::ZERO,
        }
    }

    /// What is to stand beside the mark; nothing once this process has signed off.
    pub(super) fn number(&self) -> Option<&str> {
        (!self.signed_off).then_some(&self.number)
    }

    /// There is no mark: whatever is there next was written while this process ran.
    pub(super) fn begins(&mut self) {
        self.knows = true;
    }

    /// `number` stands beside the mark; nothing, if the last process has signed off. Whether
    /// [`Presence::number`] is to be written there.
    pub(super) fn sees(&mut self, number: Option<&str>, now: Duration, sure: Duration) -> bool {
        let first = !std::mem::replace(&mut self.knows, true);
        let unseen = now.saturating_sub(std::mem::replace(&mut self.looked, now));
        if self.other.is_some() && unseen > sure / 2 {
            // The bucket was away, or this machine slept: nobody could look, and silence says nothing.
            self.other = Some(now);
        }
        match number {
            Some(number) if number == self.number => {
                if self.other.is_some_and(|at| now.saturating_sub(at) >= sure) {
                    (self.other, self.shared) = (None, false);
                }
                return false;
            }
            None if first => {}
            Some(number) if first => {
                self.replaced = Some(number.to_owned());
                self.other = Some(now);
            }
            // Somebody else has ended, or what was written is not seen everywhere yet.
            None => self.other = Some(now),
            Some(number) if self.replaced.as_deref() == Some(number) => self.other = Some(now),
            Some(_) => {
                self.other = Some(now);
                self.shared = true;
                // One that the other has never seen.
                self.number = draw();
            }
        }
        true
    }

    /// Whether another lives, or lived a short while ago.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether no other can be alive. Looking for the mark comes before that.
    pub(super) fn is_alone(&self, now: Duration, sure: Duration) -> bool {
        self.other
            .is_none_or(|at| now.saturating_sub(at) >= sure && !self.shared)
    }

    /// This process ends. Whether the mark is to say so: not when another one may live, whose next copy
    /// would then believe to be alone.
    pub(super) fn signs_off(&mut self, now: Duration, sure: Duration) -> bool {
        self.signed_off = self.knows && self.is_alone(now, sure);
        self.signed_off
    }
}

fn draw() -> String {
    HEXLOWER.encode(&random::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands beside the mark.
    #[derive(Default)]
    struct Mark(Option<String>);

    impl Mark {
        fn is_seen_by(&mut self, process: &mut Presence, minute: u64) {
            let now = Duration::from_secs(60 * minute);
            if process.sees(self.0.as_deref(), now, SURE) {
                self.0 = process.number().map(str::to_owned);
            }
        }
    }

    fn is_alone(process: &Presence, minute: u64) -> bool {
        process.is_alone(Duration::from_secs(60 * minute), SURE)
    }

    fn signs_off(process: &mut Presence, minute: u64) -> bool {
        process.signs_off(Duration::from_secs(60 * minute), SURE)
    }

    #[test]
    fn a_copy_that_ends_before_it_knows_of_the_other_signs_off_for_nobody() {
        let (mut one, mut copy) = (Presence::new(), Presence::new());
        let mut mark = Mark::default();
        mark.is_seen_by(&mut one, 0);
        mark.is_seen_by(&mut copy, 1);
        assert!(!signs_off(&mut copy, 2));
        let mut again = Presence::new();
        mark.is_seen_by(&mut again, 3);
        assert!(!is_alone(&again, 3));
        mark.is_seen_by(&mut one, 5);
        assert!(one.is_shared());
    }

    #[test]
    fn time_in_which_nobody_could_look_is_no_silence() {
        let (mut one, mut other) = (Presence::new(), Presence::new());
        let mut mark = Mark::default();
        for minute in [0, 5, 10] {
            mark.is_seen_by(&mut one, minute);
            mark.is_seen_by(&mut other, minute + 1);
        }
        // The bucket is away for half an hour. Whoever wrote last is back first.
        mark.is_seen_by(&mut other, 40);
        assert!(other.is_shared() && !is_alone(&other, 40));
        mark.is_seen_by(&mut one, 41);
        mark.is_seen_by(&mut other, 45);
        assert!(one.is_shared() && other.is_shared());
    }

    #[test]
    fn a_process_that_starts_after_a_crash_is_alone_after_a_while_and_after_an_end_at_once() {
        let mut mark = Mark(Some("crashed".to_owned()));
        let mut next = Presence::new();
        for minute in [0, 5, 10] {
            mark.is_seen_by(&mut next, minute);
            assert!(!next.is_shared() && !is_alone(&next, minute), "{minute}");
        }
        mark.is_seen_by(&mut next, 15);
        assert!(!next.is_shared() && is_alone(&next, 15));
        assert!(signs_off(&mut next, 15));
        mark.0 = next.number().map(str::to_owned);
        let mut third = Presence::new();
        mark.is_seen_by(&mut third, 16);
        assert!(is_alone(&third, 16) && mark.0.as_deref() == third.number());
    }

    #[test]
    fn two_that_live_find_out_before_either_believes_to_be_alone_and_one_is_when_the_other_ends() {
        for late in 0..5 {
            let (mut one, mut other) = (Presence::new(), Presence::new());
            let mut mark = Mark::default();
            mark.is_seen_by(&mut one, 0);
            assert!(is_alone(&one, 0));
            // The copy starts at any time between two looks.
            let start = 10 + late;
            mark.is_seen_by(&mut other, start);
            mark.is_seen_by(&mut one, 15);
            assert!(one.is_shared() && !is_alone(&one, 15));
            mark.is_seen_by(&mut other, start + 5);
            assert!(other.is_shared() && !is_alone(&other, start + 99));
            for minute in (20..60).step_by(5) {
                mark.is_seen_by(&mut one, minute);
                mark.is_seen_by(&mut other, start + minute - 10);
                assert!(one.is_shared() && other.is_shared());
            }
            assert!(!signs_off(&mut other, 60));
            for minute in [70, 75, 80] {
                assert!(one.is_shared(), "{minute}");
                mark.is_seen_by(&mut one, minute);
            }
            mark.is_seen_by(&mut one, 85);
            assert!(!one.is_shared() && is_alone(&one, 85));
        }
    }

    #[test]
    fn an_answer_that_is_older_than_what_was_written_makes_nobody_a_second_one() {
        let mut process = Presence::new();
        let at = Duration::from_secs;
        assert!(process.sees(Some("crashed"), at(0), SURE));
        assert!(process.sees(Some("crashed"), at(300), SURE));
        assert!(!process.is_shared());
        let own = process.number().map(str::to_owned);
        assert!(!process.sees(own.as_deref(), at(900), SURE));
        assert!(!process.is_alone(at(900), SURE));
    }
}
