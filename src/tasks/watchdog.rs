//! The watchdog: the service manager restarts a process that does not say that it is well, and this
//! one says so only when it knows.
//!
//! Between two beats every [`Probe`] has to answer anew. One that is silent stops the beats, and the
//! log says which; when it answers in time after all, they go on. Beats come four times as often as
//! they must, so that a probe may take three quarters of the whole time, as on a disk that pauses.
//! A probe that could hang has a thread of its own, which may hang for ever: this one waits for
//! nobody.

use super::notify::{Notice, one_line};
use smol::channel::bounded;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The patience that is assumed when nobody watches: silence is told in the log and in the status.
const UNWATCHED: Duration = Duration::from_secs(30);
/// The first pause between two looks at probes that have not answered; they get longer.
const LOOK: Duration = Duration::from_millis(5);
/// The pause after a probe's answer was that something is wrong.
const AGAIN: Duration = Duration::from_millis(500);
/// Its thread formats short texts only.
const STACK: usize = 128 * 1024;
/// The database wants a little more.
const PROBE_STACK: usize = 256 * 1024;

/// Something that has to answer between two beats.
pub struct Probe {
    name: &'static str,
    answers: Box<dyn FnMut() -> bool + Send>,
    /// What was wrong when it last did not.
    problem: Arc<Mutex<String>>,
}

impl Probe {
    /// A probe that is looked at again and again until it tells true. It must not block.
    pub fn of_signs(name: &'static str, answers: Box<dyn FnMut() -> bool + Send>) -> Self {
        Self {
            name,
            answers,
            problem: Arc::default(),
        }
    }

    /// A probe that asks a question in a thread of its own, where it may hang. A failure is no
    /// answer: it is asked again.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn on_thread(
        name: &'static str,
        mut ask: impl FnMut() -> Result<(), String> + Send + 'static,
    ) -> io::Result<Self> {
        let (question, questions) = bounded::<()>(1);
        let (answer, answers) = bounded::<()>(1);
        let problem = Arc::new(Mutex::new(String::new()));
        let found = Arc::clone(&problem);
        std::thread::Builder::new()
            .name("probe".to_owned())
            .stack_size(PROBE_STACK)
            .spawn(move || {
                while questions.recv_blocking().is_ok() {
                    while let Err(why) = ask() {
                        *found.lock().unwrap_or_else(PoisonError::into_inner) = why;
                        if questions.is_closed() {
                            return;
                        }
                        std::thread::sleep(AGAIN);
                    }
                    if answer.send_blocking(()).is_err() {
                        return;
                    }
                }
            })?;
        let mut asked = false;
        Ok(Self {
            name,
            answers: Box::new(move || {
                if !asked {
                    asked = question.try_send(()).is_ok();
                }
                // After a panic its thread is gone, and this stays false.
                let answered = answers.try_recv().is_ok();
                asked &= !answered;
                answered
            }),
            problem,
        })
    }

    /// Whether it has answered since this last told so. Never blocks.
    pub fn has_answered(&mut self) -> bool {
        (self.answers)()
    }

    fn complaint(&self, silent: Duration) -> String {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let silence = format!(
            "{} gave no answer for {:.1} s",
            self.name,
            silent.as_secs_f32()
        );
        match problem.as_str() {
            "" => silence,
            why => format!("{silence} ({why})"),
        }
    }
}

/// Tells the service manager several things at once.
pub type Tell = Box<dyn Fn(&[Notice]) + Send>;

/// What a watchdog needs to start.
pub struct Plan {
    /// What has to answer.
    pub probes: Vec<Probe>,
    /// How it is, in words. Never blocks.
    pub status: Box<dyn FnMut() -> String + Send>,
    /// How long the service manager waits for a beat; `None` when it does not.
    pub patience: Option<Duration>,
    /// How it is told.
    pub tell: Tell,
}

/// The running thread.
pub struct Watchdog {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

enum Order {
    /// The server stops: what is closed on purpose is not missed.
    Stopping,
    /// Tell this status until there is another one.
    Remark(String),
}

impl Watchdog {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(plan: Plan) -> io::Result<Self> {
        let (orders, order) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(STACK)
            .spawn(move || Beats::new(plan, order).run())?;
        Ok(Self { orders, thread })
    }

    /// From now on it beats without asking: the end has a deadline of its own.
    pub fn stopping(&self) {
        let _ended = self.orders.send(Order::Stopping);
    }

    /// Something for the status that lasts: what is wrong with the settings. Empty for nothing.
    pub fn remark(&self, remark: String) {
        let _ended = self.orders.send(Order::Remark(remark));
    }

    /// Ends it.
    pub fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            log::error!("the watchdog had panicked");
        }
    }
}

struct Beats {
    plan: Plan,
    orders: mpsc::Receiver<Order>,
    patience: Duration,
    stopping: bool,
    remark: String,
    told: String,
}

/// The watchdog is to end.
struct Ended;

impl Beats {
    fn new(plan: Plan, orders: mpsc::Receiver<Order>) -> Self {
        Self {
            patience: plan.patience.unwrap_or(UNWATCHED),
            plan,
            orders,
            stopping: false,
            remark: String::new(),
            told: String::new(),
        }
    }

    fn run(mut self) {
        while self.round().is_ok() {}
    }

    /// From one beat to the next.
    fn round(&mut self) -> Result<(), Ended> {
        let began = Instant::now();
        let silent = self.answers(began)?;
        if silent {
            log::warn!("everything answers again");
        }
        // Alone: whatever is wrong with the news, the beat arrives.
        (self.plan.tell)(&[Notice::Alive]);
        self.tell_news(None);
        let next = began + self.patience / 4;
        self.pause(next.saturating_duration_since(Instant::now()))
    }

    /// Waits until every probe has answered. Whether one was silent for so long that it was told.
    fn answers(&mut self, began: Instant) -> Result<bool, Ended> {
        let mut silent: Vec<usize> = (0..self.plan.probes.len()).collect();
        let (mut look, longest) = (LOOK, self.patience / 30);
        let mut told = false;
        loop {
            silent.retain(|at| !self.plan.probes[*at].has_answered());
            if silent.is_empty() || self.stopping {
                return Ok(told);
            }
            let elapsed = began.elapsed();
            if !told && elapsed >= self.patience / 2 {
                told = true;
                let probes = &self.plan.probes;
                let complaints: Vec<String> = silent
                    .iter()
                    .map(|at| probes[*at].complaint(elapsed))
                    .collect();
                let complaint = complaints.join(", ");
                match self.plan.patience {
                    Some(_) => log::error!(
                        "{complaint}: the service manager restarts Mayfly unless that changes"
                    ),
                    None => log::error!("{complaint}"),
                }
                self.tell_news(Some(&complaint));
            }
            self.pause(look)?;
            look = (look * 2).min(longest);
        }
    }

    /// Tells the status, if it is another one than was told last.
    fn tell_news(&mut self, complaint: Option<&str>) {
        if self.stopping {
            return;
        }
        let status = match complaint {
            Some(complaint) => complaint.to_owned(),
            None if self.remark.is_empty() => (self.plan.status)(),
            None => format!("{}. {}", self.remark, (self.plan.status)()),
        };
        let status = one_line(&status);
        if status != self.told {
            self.told.clone_from(&status);
            (self.plan.tell)(&[Notice::Status(status)]);
        }
    }

    /// Waits that long, and takes orders meanwhile.
    fn pause(&mut self, time: Duration) -> Result<(), Ended> {
        let end = Instant::now() + time;
        loop {
            match self
                .orders
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(Order::Stopping) => self.stopping = true,
                Ok(Order::Remark(remark)) => {
                    self.remark = remark;
                    self.tell_news(None);
                }
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Ended),
            }
        }
    }
}

#[cfg(test)]
mod tests;
