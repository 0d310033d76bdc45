//! What cookies carry: sealed, and bound to the link they are for.
//!
//! The unlock cookie is sealed under a key of this process, because it carries the key of a
//! password. The lease cookie is sealed under the server key: a download goes on after a restart.

use super::Service;
use super::lease_book::Claim;
use crate::model::{LeaseId, Link, Lookup, Secret};
use crate::pipeline::seal::keys::{self, Purpose};
use data_encoding::BASE64URL_NOPAD;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest cookie that is looked at, in characters.
const COOKIE_MAX: usize = 512;

impl Service {
    /// A cookie that opens `link` with the key of its password until the policy's time is over.
    pub(super) fn seal_unlock(&self, link: &Link, password: &Secret) -> String {
        let until = self.parts.clock.elapsed() + self.policy.unlock;
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        let mut payload = Zeroizing::new(until.to_be_bytes().to_vec());
        payload.extend_from_slice(password.reveal());
        seal(&self.process_key, &unlock_context(link), &payload)
    }

    /// The key of the password that [`Service::seal_unlock`] put into `cookie`.
    pub(super) fn open_unlock(&self, link: &Link, cookie: &str) -> Option<Secret> {
        let payload = open(&self.process_key, &unlock_context(link), cookie)?;
        let (until, key) = payload.split_first_chunk::<8>()?;
        let until = Duration::from_millis(u64::from_be_bytes(*until));
        (self.parts.clock.elapsed() < until).then(|| Secret::from_slice(key))?
    }

    /// A cookie that continues a lease.
    pub(super) fn seal_lease(&self, claim: &Claim) -> String {
        let mut payload = claim.client.to_vec();
        payload.extend_from_slice(&claim.id.0);
        seal(
            &self.parts.server_key,
            &lease_context(&claim.link),
            &payload,
        )
    }

    /// The lease on `link` that [`Service::seal_lease`] put into `cookie`.
    pub(super) fn open_lease(&self, link: &Lookup, cookie: &str) -> Option<Claim> {
        let payload = open(&self.parts.server_key, &lease_context(link), cookie)?;
        let (client, id) = payload.split_first_chunk::<16>()?;
        Some(Claim {
            link: *link,
            client: *client,
            id: LeaseId(id.try_into().ok()?),
        })
    }
}

/// A link that was deleted and made again is another one: its time and its bytes are bound, too.
fn unlock_context(link: &Link) -> Vec<u8> {
    let mut context = b"unlock\0".to_vec();
    context.extend_from_slice(&link.lookup.0);
    context.extend_from_slice(&link.blob.0);
    context.extend_from_slice(&link.created.0.to_be_bytes());
    context
}

fn lease_context(link: &Lookup) -> Vec<u8> {
    [b"lease\0", &link.0[..]].concat()
}

fn seal(key: &Secret, context: &[u8], payload: &[u8]) -> String {
    let sealed = keys::wrap(Purpose::Cookie, &[key.reveal()], context, payload);
    BASE64URL_NOPAD.encode(&sealed)
}

fn open(key: &Secret, context: &[u8], cookie: &str) -> Option<Zeroizing<Vec<u8>>> {
    if cookie.len() > COOKIE_MAX {
        return None;
    }
    let sealed = BASE64URL_NOPAD.decode(cookie.as_bytes()).ok()?;
    keys::unwrap(Purpose::Cookie, &[key.reveal()], context, &sealed)
}
