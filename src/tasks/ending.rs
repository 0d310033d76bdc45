//! How a process learns that it is to end: a signal, a write whose outcome is unknown, or the loss
//! of its listener.

use async_signal::{Signal, Signals};
use smol::channel::{Receiver, Sender};
use smol::stream::StreamExt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why it is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Somebody asked: SIGTERM or SIGINT.
    Asked,
    /// The outcome of a write is unknown; carries the cause. Only a new start can tell.
    InDoubt(String),
    /// Connections are no longer accepted; carries the cause. A new start may help.
    Deaf(String),
}

/// Where wishes to end arrive. The first one counts.
pub struct Endings {
    sender: Sender<Ending>,
    receiver: Receiver<Ending>,
    wished: Arc<AtomicBool>,
}

impl Endings {
    /// Nobody wishes anything yet.
    pub fn new() -> Self {
        let (sender, receiver) = smol::channel::bounded(1);
        Self {
            sender,
            receiver,
            wished: Arc::default(),
        }
    }

    /// What to call when the outcome of a write is unknown. Never blocks.
    pub fn on_fatal(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let tell = self.teller();
        Arc::new(move |cause| {
            log::error!("the outcome of a write is unknown, stopping: {cause}");
            tell(Ending::InDoubt(cause.to_owned()));
        })
    }

    /// What to call when connections are no longer accepted. Never blocks.
    pub fn on_loss(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let tell = self.teller();
        Arc::new(move |cause| tell(Ending::Deaf(cause.to_owned())))
    }

    /// Tells whether there was a wish yet.
    pub fn watch(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let wished = Arc::clone(&self.wished);
        move || wished.load(Ordering::Relaxed)
    }

    fn teller(&self) -> impl Fn(Ending) + Send + Sync + 'static {
        let (sender, wished) = (self.sender.clone(), Arc::clone(&self.wished));
        move |ending| {
            wished.store(true, Ordering::Relaxed);
            // A full channel holds an earlier wish, which is enough.
            let _earlier_wish = sender.try_send(ending);
        }
    }

    /// Waits for the first wish.
    pub fn wait(&self) -> Ending {
        // The channel cannot be closed: one of its senders is beside it.
        self.receiver.recv_blocking().unwrap_or(Ending::Asked)
    }
}

impl Default for Endings {
    fn default() -> Self {
        Self::new()
    }
}

/// Turns the first SIGTERM or SIGINT into [`Ending::Asked`], and calls `again` with the number of
/// each one that follows: whoever asks twice does not want to wait.
///
/// # Errors
/// When the signals cannot be taken over.
pub fn watch_signals(endings: &Endings, again: fn(i32)) -> io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    let tell = endings.teller();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            smol::block_on(async {
                let mut first = true;
                while let Some(Ok(signal)) = signals.next().await {
                    if first {
                        tell(Ending::Asked);
                    } else {
                        again(signal as i32);
                    }
                    first = false;
                }
            });
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_nobody_can_reach_is_a_wish_to_end() {
        let endings = Endings::new();
        endings.on_loss()("no listener");
        assert_eq!(endings.wait(), Ending::Deaf("no listener".to_owned()));
    }

    #[test]
    fn the_first_wish_counts_and_the_rest_do_not_block() {
        let endings = Endings::new();
        let is_ending = endings.watch();
        assert!(!is_ending());
        let fatal = endings.on_fatal();
        fatal("disk gone");
        fatal("disk gone again");
        assert_eq!(endings.wait(), Ending::InDoubt("disk gone".to_owned()));
        assert!(is_ending());
    }
}
