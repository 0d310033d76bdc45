//! Chunks that come before it is known where they belong: they wait in a file without a name, sealed under a key
//! that is never stored.

use crate::pipeline::seal::Cipher;
use crate::pipeline::{self, IntakeError, Waiting};
use crate::service::{Encryption, Error, Service, Session, events};
use crate::store::Waited;
use std::io::Read;

/// The largest chunk that can wait, in bytes. It is written a second time, so larger ones have to say first
/// where they belong.
const PARKED_MAX: u64 = 1 << 30;

/// A chunk that waits to be told where it belongs.
pub struct Parked {
    bytes: Waited,
    seal: Waiting,
}

impl Parked {
    /// Bytes of the chunk.
    pub fn length(&self) -> u64 {
        self.seal.length()
    }

    /// The chunk, from its beginning.
    pub fn reader(&self) -> impl Read + '_ {
        self.seal.reader(self.bytes.reader())
    }
}

impl Service {
    /// Takes a chunk in whose place is not known yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is too large to wait, [`Error::Full`], [`Error::Quota`], [`Error::Input`].
    pub fn park_chunk(&self, session: &Session, input: &mut dyn Read) -> Result<Parked, Error> {
        self.park(input)
            .inspect_err(|error| events::upload_refused(session.account, error))
    }

    fn park(&self, input: &mut dyn Read) -> Result<Parked, Error> {
        let cipher = match self.policy.encryption {
            Encryption::None => None,
            Encryption::Link | Encryption::Server => Some(Cipher::for_this_cpu()),
        };
        let mut file = self
            .parts
            .waiting
            .begin()
            .map_err(|error| self.refused(&error))?;
        let limit = PARKED_MAX.min(self.policy.max_file_size);
        let seal = pipeline::wait(input, cipher, limit, &mut |bytes| file.append(bytes));
        let seal = seal.map_err(|error| match error {
            IntakeError::Input(error) => Error::Input(error),
            IntakeError::TooLarge { limit } if limit < PARKED_MAX => Error::TooLarge { limit },
            IntakeError::TooLarge { limit } => Error::Invalid(format!(
                "a chunk of more than {limit} bytes has to say first where it belongs: send uuid, \
                 filesize and offset before it, or in the query of the address"
            )),
            IntakeError::Store(error) => self.refused(&error),
        })?;
        Ok(Parked {
            bytes: file.finish(),
            seal,
        })
    }
}
