//! How a process learns that it is to end: a signal, a write whose outcome is unknown, or the loss
//! of its listener. And how it learns that its settings are to be read again.

use async_signal::{Signal, Signals};
use smol::Timer;
use smol::channel::{Receiver, Sender};
use smol::stream::StreamExt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

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

/// What is wished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// To read the settings again.
    Reload,
    /// None: the work that [`Endings::beside`] began has ended.
    Reloaded,
    /// To end.
    End(Ending),
}

/// What a SIGHUP means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HangUp {
    /// [`Wish::Reload`], as daemons have it.
    Reload,
    /// [`Ending::Asked`]: the terminal that it was started in is gone.
    End,
}

/// Where wishes arrive. Of those to end the first one counts.
pub struct Endings {
    sender: Sender<Ending>,
    receiver: Receiver<Ending>,
    reload: Sender<()>,
    reloads: Receiver<()>,
    ended: Sender<()>,
    ends: Receiver<()>,
    wished: Arc<AtomicBool>,
}

impl Endings {
    /// Nobody wishes anything yet.
    pub fn new() -> Self {
        let (sender, receiver) = smol::channel::bounded(1);
        let (reload, reloads) = smol::channel::bounded(1);
        let (ended, ends) = smol::channel::bounded(1);
        Self {
            sender,
            receiver,
            reload,
            reloads,
            ended,
            ends,
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

    /// Does what a wish to reload asks for on a thread of its own, however long that takes. When it has
    /// ended, even by a panic, [`Endings::next`] says [`Wish::Reloaded`]: until then there is to be no
    /// other one.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let end = End(self.ended.clone());
        std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                let _end = end;
                work()
            })
    }

    /// Waits for the next wish, until `limit` at most: `None` then. After one to end there is no other.
    pub fn next(&self, limit: Option<Instant>) -> Option<Wish> {
        // The channels cannot be closed: of each, one sender is beside it.
        let wish = smol::future::or(
            async { Wish::End(self.receiver.recv().await.unwrap_or(Ending::Asked)) },
            smol::future::or(
                async {
                    let _open = self.ends.recv().await;
                    Wish::Reloaded
                },
                async {
                    let _open = self.reloads.recv().await;
                    Wish::Reload
                },
            ),
        );
        let late = async {
            limit.map_or_else(Timer::never, Timer::at).await;
            None
        };
        smol::block_on(smol::future::or(async { Some(wish.await) }, late))
    }
}

/// Tells of an end, however it comes.
struct End(Sender<()>);

impl Drop for End {
    fn drop(&mut self) {
        // There is room: only one of these is there at a time.
        let _room = self.0.try_send(());
    }
}

impl Default for Endings {
    fn default() -> Self {
        Self::new()
    }
}

/// Turns the first SIGTERM or SIGINT into [`Ending::Asked`], and calls `again` with the number of
/// each one that follows: whoever asks twice does not want to wait. SIGHUP is what `hang_up` says.
///
/// # Errors
/// When the signals cannot be taken over.
pub fn watch_signals(endings: &Endings, hang_up: HangUp, again: fn(i32)) -> io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    let tell = endings.teller();
    let reload = endings.reload.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            smol::block_on(async {
                let mut first = true;
                while let Some(Ok(signal)) = signals.next().await {
                    if signal == Signal::Hup && hang_up == HangUp::Reload {
                        // A full channel holds an earlier wish, which is not begun yet.
                        let _earlier_wish = reload.try_send(());
                        continue;
                    }
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
        let deaf = Ending::Deaf("no listener".to_owned());
        assert_eq!(endings.next(None), Some(Wish::End(deaf)));
    }

    #[test]
    fn the_first_wish_counts_and_the_rest_do_not_block() {
        let endings = Endings::new();
        let is_ending = endings.watch();
        assert!(!is_ending());
        let fatal = endings.on_fatal();
        fatal("disk gone");
        fatal("disk gone again");
        let in_doubt = Ending::InDoubt("disk gone".to_owned());
        assert_eq!(endings.next(None), Some(Wish::End(in_doubt)));
        assert!(is_ending());
    }

    #[test]
    fn work_beside_is_told_when_it_ends_and_nobody_who_wants_to_end_waits_for_it() {
        let endings = Endings::new();
        let quick = endings.beside(|| 7).unwrap();
        assert_eq!(endings.next(None), Some(Wish::Reloaded));
        assert_eq!(quick.join().unwrap(), 7);
        let panics = endings.beside(|| panic!("on purpose")).unwrap();
        assert_eq!(endings.next(None), Some(Wish::Reloaded));
        assert!(panics.join().is_err());

        let (go, hangs) = std::sync::mpsc::channel::<()>();
        let hanging = endings.beside(move || hangs.recv().is_ok()).unwrap();
        assert_eq!(endings.next(Some(Instant::now())), None);
        endings.on_loss()("gone");
        assert!(matches!(endings.next(None), Some(Wish::End(_))));
        assert!(!hanging.is_finished());
        go.send(()).unwrap();
        assert!(hanging.join().unwrap());
    }

    #[test]
    fn wishes_to_reload_gather_until_one_is_taken_up_and_a_wish_to_end_goes_first() {
        let endings = Endings::new();
        for _ in 0..3 {
            let _full = endings.reload.try_send(());
        }
        // What is there already is not late.
        assert_eq!(endings.next(Some(Instant::now())), Some(Wish::Reload));
        endings.reload.try_send(()).unwrap();
        endings.on_loss()("gone");
        assert!(matches!(endings.next(None), Some(Wish::End(_))));
    }
}
