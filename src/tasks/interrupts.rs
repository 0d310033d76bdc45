//! Signals that end a dialogue: whoever talks to a person puts the terminal in order first.

use async_signal::{Signal, Signals};
use smol::channel::Sender;
use smol::stream::StreamExt;
use std::io;

/// Signals are taken over until this is dropped.
pub struct Interrupts {
    /// Held, never used: the thread ends when it is gone.
    _stop: Sender<()>,
}

/// Calls `act` with the number of each SIGINT, SIGTERM, SIGQUIT or SIGHUP, on a thread of its own.
///
/// # Errors
/// When the signals cannot be taken over, or there is no thread to be had.
pub fn watch_interrupts(mut act: impl FnMut(i32) + Send + 'static) -> io::Result<Interrupts> {
    let mut signals = Signals::new([Signal::Int, Signal::Term, Signal::Quit, Signal::Hup])?;
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            let next = async {
                while let Some(Ok(signal)) = signals.next().await {
                    act(signal as i32);
                }
            };
            let end = async {
                // Nothing is ever sent.
                let _closed = stopped.recv().await;
            };
            smol::block_on(smol::future::or(end, next));
        })?;
    Ok(Interrupts { _stop: stop })
}
