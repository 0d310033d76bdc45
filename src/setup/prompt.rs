//! What a dialogue needs: to say something, and three kinds of questions.

use std::io;
use zeroize::Zeroizing;

/// Why there is no answer.
#[derive(Debug)]
pub enum Stop {
    /// The person wants to end, or is gone.
    Ended,
    /// A signal interrupted the question.
    Signal,
    /// The terminal failed.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::Interrupted => Self::Signal,
            io::ErrorKind::UnexpectedEof => Self::Ended,
            _ => Self::Io(e),
        }
    }
}

/// Somebody who can be asked.
pub trait Prompt {
    /// Says something: whole lines.
    ///
    /// # Errors
    /// [`Stop`].
    fn say(&mut self, text: &str) -> Result<(), Stop>;

    /// Asks for a line; an empty one means `default`.
    ///
    /// # Errors
    /// [`Stop`].
    fn line(&mut self, question: &str, default: &str) -> Result<String, Stop>;

    /// Asks for a line that nobody may see.
    ///
    /// # Errors
    /// [`Stop`].
    fn hidden(&mut self, question: &str) -> Result<Zeroizing<String>, Stop>;

    /// Asks to choose one of `items`; returns its place. `default` is proposed.
    ///
    /// # Errors
    /// [`Stop`].
    fn choose(&mut self, question: &str, items: &[String], default: usize) -> Result<usize, Stop>;
}
