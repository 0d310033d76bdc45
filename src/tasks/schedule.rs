//! When which background job runs. Pure: the time is told.

use std::time::Duration;

/// A link that is over is refused at once; its bytes may stay for this long.
const SWEEP: Duration = Duration::from_secs(3);
/// How much of the counts of unlimited links a crash may cost.
const FLUSH: Duration = Duration::from_secs(60);
/// Between two steps of a walk through store or database: the disk has other work.
const STEP: Duration = Duration::from_millis(50);
/// Between two walks.
const WALK: Duration = Duration::from_secs(24 * 3600);
/// Between the first two walks for orphans: right after the start it may not be certain yet whose they are.
const AGAIN: Duration = Duration::from_secs(20 * 60);
/// After a failure.
const RETRY: Duration = Duration::from_secs(30);

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Job {
    /// Remove what is over.
    Sweep,
    /// Write the batched counts.
    FlushCounts,
    /// One step of looking for files that nothing refers to.
    Orphans,
    /// One step of looking for stored files that are missing or cut.
    Blobs,
}

/// When each job is due, as time since an arbitrary start.
pub(super) struct Schedule {
    due: [(Job, Duration); 4],
    /// The first walk for orphans has ended.
    walked: bool,
}

impl Schedule {
    /// The schedule of a process that starts at `now`: what the last one left
    /// behind is looked for at once. One that is cut off soon, time and again, would otherwise gather
    /// so much that it looks like the files of another database.
    pub fn new(now: Duration) -> Self {
        Self {
            due: [
                (Job::Sweep, now + SWEEP),
                (Job::FlushCounts, now + FLUSH),
                (Job::Orphans, now),
                (Job::Blobs, now + SWEEP),
            ],
            walked: false,
        }
    }

    /// The job that is due first, and when. Of several at the same time, the first of [`Job`].
    pub fn next(&self) -> (Job, Duration) {
        let mut first = self.due[0];
        for other in &self.due[1..] {
            if other.1 < first.1 {
                first = *other;
            }
        }
        first
    }

    /// Notes that `job` ended at `now`: with nothing left, with more to do, or (`None`) failed.
    pub fn done(&mut self, job: Job, now: Duration, more: Option<bool>) {
        let pause = match (job, more) {
            (_, None) => RETRY,
            (Job::Sweep, _) => SWEEP,
            (Job::FlushCounts, _) => FLUSH,
            (Job::Orphans | Job::Blobs, Some(true)) => STEP,
            (Job::Orphans, Some(false)) if !std::mem::replace(&mut self.walked, true) => AGAIN,
            (Job::Orphans | Job::Blobs, Some(false)) => WALK,
        };
        for (due, at) in &mut self.due {
            if *due == job {
                *at = now + pause;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the schedule for `length`, with `orphan_steps` steps of orphans in each walk.
    fn run(length: Duration, orphan_steps: u32) -> Vec<(Job, Duration)> {
        let mut schedule = Schedule::new(Duration::ZERO);
        let mut ran = Vec::new();
        let mut left = orphan_steps;
        loop {
            let (job, at) = schedule.next();
            if at > length {
                return ran;
            }
            ran.push((job, at));
            let more = job == Job::Orphans && left > 1;
            if job == Job::Orphans {
                left = if more { left - 1 } else { orphan_steps };
            }
            schedule.done(job, at, Some(more));
        }
    }

    #[test]
    fn sweeps_come_every_few_seconds_and_counts_each_minute() {
        let ran = run(Duration::from_secs(600), 1);
        let times = |job| ran.iter().filter(|(j, _)| *j == job).count();
        assert_eq!(times(Job::Sweep), 200);
        assert_eq!(times(Job::FlushCounts), 10);
        assert_eq!(times(Job::Orphans), 1);
        assert_eq!(times(Job::Blobs), 1);
    }

    #[test]
    fn orphans_are_walked_in_small_steps_twice_and_then_daily() {
        let ran = run(Duration::from_secs(25 * 3600), 100);
        let steps: Vec<Duration> = ran
            .iter()
            .filter(|(j, _)| *j == Job::Orphans)
            .map(|(_, at)| *at)
            .collect();
        assert_eq!(steps.len(), 300);
        assert_eq!(steps[1] - steps[0], STEP);
        assert_eq!(steps[100] - steps[99], AGAIN);
        assert_eq!(steps[200] - steps[199], WALK);
        let sweeps_meanwhile = ran
            .iter()
            .filter(|(j, at)| *j == Job::Sweep && (steps[0]..steps[99]).contains(at));
        assert!(
            sweeps_meanwhile.count() >= 1,
            "a long walk does not hold up the sweeps"
        );
    }

    #[test]
    fn a_failure_is_tried_again_later_and_holds_up_nothing_else() {
        let mut schedule = Schedule::new(Duration::ZERO);
        assert_eq!(schedule.next(), (Job::Orphans, Duration::ZERO));
        schedule.done(Job::Orphans, Duration::ZERO, Some(false));
        let (job, at) = schedule.next();
        assert_eq!((job, at), (Job::Sweep, SWEEP));
        schedule.done(job, at, None);
        assert_eq!(schedule.next(), (Job::Blobs, at));
        schedule.done(Job::Blobs, at, Some(false));
        assert_eq!(schedule.next(), (Job::Sweep, at + RETRY));
    }
}
