//! What the server holds of one request: its head, its body, and the right to answer it.
//!
//! The gate keeps the connection; the exchange goes to a worker and comes back as an [`Outcome`]
//! when it is answered or dropped. An exchange that is dropped without an answer cuts the
//! connection, so that no client waits for ever or takes a part for the whole.

use super::answer::{self, Framed, is_bodyless};
use super::body::ClientBody;
use super::limits::Limits;
use super::relay::SMALL;
use super::sink::ClientSink;
use super::wire::{self, Client};
use crate::http::{Head, Headers, Method, Payload, Response, Stream};
use crate::model::progress;
use ring::rand::{SecureRandom, SystemRandom};
use smol::channel::Sender;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One request, to be answered once.
pub(crate) struct Exchange {
    /// The head.
    pub(crate) head: Head,
    /// The body.
    pub(crate) body: ClientBody,
    client: Client,
    limits: Arc<Limits>,
    keep_alive: bool,
    draining: Arc<AtomicBool>,
    done: Sender<Outcome>,
}

/// How an exchange ended, told to the gate.
pub(super) struct Outcome {
    pub(super) end: End,
    /// Bytes of the client that belong to its next request.
    pub(super) rest: Vec<u8>,
}

/// What the gate has to do with the connection.
pub(super) enum End {
    /// The answer comes through the backend; send it on.
    Relay {
        /// Whether another request may follow.
        keep: bool,
        /// What the head says of the length instead of what the backend says.
        length: Option<Framed>,
    },
    /// The answer is small and whole; send it.
    Send {
        /// Whether another request may follow.
        keep: bool,
        /// Head and body.
        bytes: Vec<u8>,
    },
    /// The answer was sent; the next request may come.
    Keep,
    /// The answer was sent; close such that the client gets to read it.
    Linger,
    /// Something broke; end the connection with a reset.
    Cut,
}

impl Exchange {
    pub(super) fn new(
        client: Client,
        limits: Arc<Limits>,
        draining: Arc<AtomicBool>,
        valid: super::head::Valid,
        buffer: Vec<u8>,
        done: Sender<Outcome>,
    ) -> Self {
        Self {
            body: ClientBody::new(
                Arc::clone(&client),
                Arc::clone(&limits),
                valid.length,
                valid.expects_continue,
                buffer,
            ),
            head: valid.head,
            client,
            limits,
            keep_alive: valid.keep_alive,
            draining,
            done,
        }
    }

    /// Gives the exchange back, because the answer goes through the backend. `length` is what the
    /// head shall say of the body's length when the backend cannot know it.
    pub(crate) fn relay(mut self, length: Option<Framed>) {
        let keep = self.may_keep();
        self.end(End::Relay { keep, length });
    }

    /// Answers. A small body is left to the gate, so that whoever calls this never waits for the
    /// client; any other is written here, for as long as the client takes.
    pub(crate) fn answer(mut self, response: Response) {
        let keep = self.may_keep();
        // A transfer may take hours, and there may be many.
        self.head.headers = Headers::default();
        let end = self.send(response, keep).unwrap_or_else(|error| {
            log::debug!("answer not completed: {}", error.kind());
            End::Cut
        });
        self.end(end);
    }

    fn may_keep(&mut self) -> bool {
        self.keep_alive && !self.draining.load(Ordering::Relaxed) && self.body.is_over()
    }

    /// Sends a response, unless the gate can do that without anybody waiting.
    fn send(&self, response: Response, keep: bool) -> io::Result<End> {
        let Response {
            status,
            headers,
            payload,
        } = response;
        let silent = is_bodyless(status) || self.head.method == Method::Head;
        let framed = match &payload {
            _ if is_bodyless(status) => Framed::Unmarked,
            Payload::Bytes(bytes) => Framed::Length(bytes.len() as u64),
            Payload::Stream(stream) => match stream.length {
                Some(length) => Framed::Length(length),
                None if self.head.http11 => Framed::Chunked,
                None => Framed::Unmarked,
            },
        };
        let open_ended = framed == Framed::Unmarked && !silent;
        let keep = keep && !open_ended;
        let mut head = answer::head(status, &headers, framed, !keep);
        drop(headers);
        let mut sent = 0;
        let stall = self.limits.write_stall;
        match payload {
            Payload::Bytes(bytes) if silent || bytes.len() <= SMALL => {
                if !silent {
                    head.extend_from_slice(&bytes);
                }
                return Ok(End::Send { keep, bytes: head });
            }
            Payload::Stream(_) if silent => return Ok(End::Send { keep, bytes: head }),
            Payload::Bytes(bytes) => {
                // One after the other: a copy of both would double the memory for slow clients.
                wire::write_all(&self.client, &head, true, stall, &mut sent)?;
                drop(head);
                wire::write_all(&self.client, &bytes, false, stall, &mut sent)?;
            }
            Payload::Stream(Stream { length, send }) => {
                let more = length != Some(0);
                wire::write_all(&self.client, &head, more, stall, &mut sent)?;
                drop(head);
                let chunked = framed == Framed::Chunked;
                let mut sink = ClientSink::new(&self.client, &self.limits, sent, length, chunked);
                let client = Arc::clone(&self.client);
                let send =
                    || progress::wanted_by(move || wire::is_gone(&client), || send(&mut sink));
                match catch_unwind(AssertUnwindSafe(send)) {
                    Ok(result) => result?,
                    Err(_) => {
                        log::error!("a response body panicked; its client was cut off");
                        return Err(io::ErrorKind::Other.into());
                    }
                }
                sink.finish()?;
            }
        }
        Ok(match keep {
            true => End::Keep,
            false => End::Linger,
        })
    }

    fn end(self, end: End) {
        let rest = self.body.into_rest();
        // The gate is gone only when the whole server is.
        let _ = self.done.try_send(Outcome { end, rest });
    }
}

/// The exchanges on their way to a worker, each under a random name that is good for one use.
pub(crate) struct Table {
    waiting: Mutex<HashMap<u128, Exchange>>,
    random: SystemRandom,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::new(HashMap::new()),
            random: SystemRandom::new(),
        }
    }

    /// Lays an exchange down and returns its name.
    pub(super) fn put(&self, exchange: Exchange) -> io::Result<u128> {
        let name = self.draw()?;
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, exchange);
        Ok(name)
    }

    /// Takes an exchange up, by the text that the backend got.
    pub(crate) fn take(&self, name: &str) -> Option<Exchange> {
        self.withdraw(parse_name(name)?)
    }

    /// Takes an exchange back.
    pub(super) fn withdraw(&self, name: u128) -> Option<Exchange> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name)
    }

    /// A random number.
    pub(super) fn draw(&self) -> io::Result<u128> {
        let mut bytes = [0; 16];
        self.random
            .fill(&mut bytes)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        Ok(u128::from_be_bytes(bytes))
    }
}

/// Exactly the 32 digits that the gate writes, nothing that merely has the same value.
fn parse_name(text: &str) -> Option<u128> {
    let exact = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    exact.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_spelling_names_an_exchange() {
        let name = "000102030405060708090a0b0c0d0e0f";
        assert!(parse_name(name).is_some());
        for wrong in [
            "",
            "0",
            "+00102030405060708090a0b0c0d0e0f",
            &name.to_uppercase(),
            &format!("{name}0"),
        ] {
            assert!(parse_name(wrong).is_none(), "{wrong}");
        }
    }
}
