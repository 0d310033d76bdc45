//! Lines between those who log and the one thread that writes: bounded in lines and bytes, and
//! nobody ever waits to put one in. What does not fit is counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may wait.
const LINES: usize = 1024;
/// Bytes that may wait.
const BYTES: usize = 256 * 1024;
/// What is written at once, in bytes: a pipe takes so much in one piece (pipe(7), `PIPE_BUF`).
const BATCH: usize = 4096;
/// Room that an empty queue keeps, in lines.
const KEPT: usize = 64;

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something for the writer.
    filled: Condvar,
    /// Everything is written, or the writer has ended.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that were lost and not told about yet.
    dropped: u64,
    /// The writer is at work on what it took.
    writing: bool,
    nudged: bool,
    closed: bool,
    ended: bool,
}

/// What the writer finds.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// This many lines, in the batch.
    Lines(u64),
    /// The time it asked for, or something else to look at.
    Woken,
    /// Nothing, and nothing more will come.
    Closed,
}

impl Queue {
    /// Puts a line in, or counts it as dropped. The last quarter of the room is for important ones.
    pub(super) fn push(&self, line: Vec<u8>, important: bool) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let share = if important { 4 } else { 3 };
        let full =
            state.lines.len() >= LINES / 4 * share || state.bytes + line.len() > BYTES / 4 * share;
        if full {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        if state.lines.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Wakes the writer: it has to think again about when to wake up.
    pub(super) fn nudge(&self) {
        self.lock().nudged = true;
        self.filled.notify_one();
    }

    /// Waits for lines, at most until `until`, and appends about [`BATCH`] bytes of them to `batch`.
    pub(super) fn next(&self, batch: &mut Vec<u8>, until: Option<Instant>) -> Next {
        let mut state = self.lock();
        loop {
            if !state.lines.is_empty() {
                state.writing = true;
                return Next::Lines(take(&mut state, batch));
            }
            state.writing = false;
            state.lines.shrink_to(KEPT);
            self.idle.notify_all();
            if state.closed {
                return Next::Closed;
            }
            if std::mem::take(&mut state.nudged) {
                return Next::Woken;
            }
            let Some(until) = until else {
                state = self
                    .filled
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Woken;
            }
            (state, _) = self
                .filled
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts lines that could not be written.
    pub(super) fn lost(&self, lines: u64) {
        self.lock().dropped += lines;
    }

    /// Lines that were dropped or lost and not told about, and whether any line waits.
    pub(super) fn dropped(&self) -> (u64, bool) {
        let state = self.lock();
        (state.dropped, !state.lines.is_empty())
    }

    /// `dropped` lines have been told about.
    pub(super) fn told(&self, dropped: u64) {
        let mut state = self.lock();
        state.dropped = state.dropped.saturating_sub(dropped);
    }

    /// Waits until everything is written, for at most `patience`. Whether that came true.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .idle
            .wait_timeout_while(state, patience, |s| {
                !s.ended && (s.writing || !s.lines.is_empty())
            })
            .unwrap_or_else(PoisonError::into_inner);
        !state.writing && state.lines.is_empty()
    }

    /// Takes no more lines, and waits until the writer has ended, for at most `patience`.
    pub(super) fn close(&self, patience: Duration) {
        let mut state = self.lock();
        state.closed = true;
        self.filled.notify_one();
        drop(
            self.idle
                .wait_timeout_while(state, patience, |s| !s.ended)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// The writer has ended.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.idle.notify_all();
    }

    /// Every change is whole before anything can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves lines into `batch`: at least one, and no more than fit into a piece.
fn take(state: &mut State, batch: &mut Vec<u8>) -> u64 {
    let mut count = 0;
    while let Some(line) = state.lines.front() {
        if count > 0 && batch.len() + line.len() > BATCH {
            break;
        }
        batch.extend_from_slice(line);
        state.bytes -= line.len();
        state.lines.pop_front();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn line(n: usize) -> Vec<u8> {
        format!("{n}\n").into_bytes()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_the_important_has_room_of_its_own() {
        let queue = Queue::default();
        for n in 0..2 * LINES {
            queue.push(line(n), false);
        }
        assert_eq!(queue.dropped(), ((2 * LINES - LINES * 3 / 4) as u64, true));
        for n in 0..2 * LINES {
            queue.push(line(n), true);
        }
        assert_eq!(queue.dropped().0, 3 * LINES as u64);
        queue.told(5);
        assert_eq!(queue.dropped().0, 3 * LINES as u64 - 5);
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let queue = Queue::default();
        for _ in 0..LINES {
            queue.push(vec![b'x'; 2000], true);
        }
        let held = LINES as u64 - queue.dropped().0;
        assert!(held * 2000 <= BYTES as u64 && held > 100, "{held}");
    }

    #[test]
    fn lines_come_out_in_order_and_in_pieces_that_a_pipe_takes_whole() {
        let queue = Queue::default();
        let mut expected = Vec::new();
        for n in 0..700 {
            queue.push(format!("line {n}, and more\n").into_bytes(), false);
            expected.extend(format!("line {n}, and more\n").into_bytes());
        }
        let (mut all, mut count) = (Vec::new(), 0);
        let mut batch = Vec::new();
        while count < 700 {
            batch.clear();
            let Next::Lines(n) = queue.next(&mut batch, None) else {
                panic!("the lines are there");
            };
            assert!(batch.len() <= BATCH && batch.ends_with(b"\n"));
            all.extend_from_slice(&batch);
            count += n;
        }
        assert_eq!(all, expected);
        assert_eq!(queue.dropped(), (0, false));
        assert_eq!(queue.next(&mut batch, Some(Instant::now())), Next::Woken);
    }

    #[test]
    fn a_flush_waits_for_the_writer_and_not_for_ever() {
        let queue = Arc::new(Queue::default());
        assert!(queue.flush(Duration::ZERO), "nothing was to be written");
        queue.push(line(1), false);
        assert!(!queue.flush(Duration::ZERO));
        let mut batch = Vec::new();
        assert_eq!(queue.next(&mut batch, None), Next::Lines(1));
        assert!(!queue.flush(Duration::ZERO), "it is not written yet");
        let writer = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                let next = queue.next(&mut Vec::new(), None);
                queue.end();
                next
            })
        };
        assert!(queue.flush(Duration::from_secs(30)));
        queue.close(Duration::from_secs(30));
        assert_eq!(writer.join().unwrap(), Next::Closed);
        queue.push(line(2), true);
        assert!(queue.flush(Duration::ZERO), "closed: nothing comes in");
    }

    #[test]
    fn a_nudge_wakes_the_writer_once() {
        let queue = Queue::default();
        queue.nudge();
        assert_eq!(queue.next(&mut Vec::new(), None), Next::Woken);
        let soon = Some(Instant::now());
        assert_eq!(queue.next(&mut Vec::new(), soon), Next::Woken);
        queue.close(Duration::ZERO);
        assert_eq!(queue.next(&mut Vec::new(), None), Next::Closed);
    }
}
