//! What the log tells of files, links and those who ask for them: every line in one place, so that
//! they stay the same for those who search them. Times and levels come with the lines.
//!
//! No name of a file and no id is among the arguments, so none can get into a line.

use super::Error;
use super::lease_book::End;
use crate::logging::{Quoted, event};
use crate::model::{AccountId, Lookup};
use std::net::IpAddr;
use std::time::Duration;

/// A file has its link. `stored` says where its bytes are: `own`, `shared` with another link, or
/// `none` when the link was over before it began.
pub(super) fn uploaded(link: &Lookup, by: AccountId, size: u64, stored: &str) {
    let AccountId(account) = by;
    log::info!(
        target: event::UPLOAD,
        "result=complete link={link} account={account} size={size} stored={stored}"
    );
}

/// An upload came to nothing, for a reason that is not ours.
pub(super) fn upload_refused(by: AccountId, error: &Error) {
    let AccountId(account) = by;
    match error {
        Error::Input(cause) => log::info!(
            target: event::UPLOAD,
            "result=broken-off account={account} why=\"{}\"",
            cause.kind()
        ),
        Error::TooLarge { limit } => log::warn!(
            target: event::LIMIT,
            "kind=file-size account={account} limit={limit}"
        ),
        Error::Full { available } => log::warn!(
            target: event::LIMIT,
            "kind=space account={account} available={available}: delete files, or lower min_free_space"
        ),
        Error::DatabaseFull => log::warn!(
            target: event::LIMIT,
            "kind=space account={account}: the disk of the database is full: delete files, or make space"
        ),
        Error::Quota => log::warn!(
            target: event::LIMIT,
            "kind=quota account={account}: delete files, or have the disk quota of the user that runs Mayfly raised"
        ),
        _ => {}
    }
}

/// An upload in chunks has begun.
pub(super) fn chunks_begun(upload: &Lookup, by: AccountId, size: u64) {
    let AccountId(account) = by;
    log::info!(target: event::UPLOAD, "result=begun upload={upload} account={account} size={size}");
}

/// A chunk is durable.
pub(super) fn chunk_kept(upload: &Lookup, offset: u64, length: u64) {
    log::debug!("a chunk is stored upload={upload} offset={offset} length={length}");
}

/// A chunk came to nothing.
pub(super) fn chunk_refused(upload: &Lookup, by: AccountId, error: &Error) {
    let AccountId(account) = by;
    match error {
        Error::Chunk(why) => log::info!(
            target: event::UPLOAD,
            "result=refused upload={upload} account={account} why=\"{why}\""
        ),
        error => upload_refused(by, error),
    }
}

/// An upload in chunks has stood still for too long.
pub(super) fn chunks_expired(upload: &Lookup, of: AccountId) {
    let AccountId(account) = of;
    log::info!(target: event::UPLOAD, "result=expired upload={upload} account={account}");
}

/// A transfer that is on no lease has ended.
pub(super) fn transferred(link: &Lookup, complete: bool, counted: bool, from: IpAddr) {
    downloaded(link, complete, counted, Some(from));
}

/// A lease has ended: by a transfer to this address, or by time.
pub(super) fn lease_ended(link: &Lookup, end: End, by: Option<IpAddr>) {
    let counted = end == End::Settle;
    downloaded(link, counted && by.is_some(), counted, by);
}

/// A recipient was sent on to the store.
pub(super) fn redirected(link: &Lookup, counted: bool, to: IpAddr) {
    let counted = if counted { "yes" } else { "no" };
    log::info!(
        target: event::DOWNLOAD,
        "result=redirected counted={counted} link={link} from={to}"
    );
}

fn downloaded(link: &Lookup, complete: bool, counted: bool, from: Option<IpAddr>) {
    let result = if complete { "complete" } else { "broken-off" };
    let counted = if counted { "yes" } else { "no" };
    match from {
        Some(from) => log::info!(
            target: event::DOWNLOAD,
            "result={result} counted={counted} link={link} from={from}"
        ),
        None => log::info!(
            target: event::DOWNLOAD,
            "result={result} counted={counted} link={link}"
        ),
    }
}

/// A link has ended by itself.
pub(super) fn expired(link: &Lookup, by: &str) {
    log::info!(target: event::EXPIRED, "link={link} by={by}");
}

/// An owner has deleted a file; it can be taken back for `delay` seconds.
pub(super) fn deleted(link: &Lookup, by: AccountId, delay: u64) {
    let AccountId(account) = by;
    log::info!(target: event::DELETED, "link={link} account={account} delay={delay}");
}

/// An owner has taken a deletion back.
pub(super) fn restored(link: &Lookup, by: AccountId) {
    let AccountId(account) = by;
    log::info!(target: event::RESTORED, "link={link} account={account}");
}

/// An owner has changed these of a link.
pub(super) fn changed(link: &Lookup, by: AccountId, what: &[&str]) {
    let AccountId(account) = by;
    let what = what.join(",");
    log::info!(target: event::CHANGED, "link={link} account={account} what={what}");
}

/// An account has changed: `what` says how.
pub(super) fn account(what: &str, id: AccountId, name: &str) {
    let AccountId(account) = id;
    log::info!(
        target: event::ACCOUNT,
        "what={what} account={account} name={}",
        Quoted(name)
    );
}

/// An API key was made or revoked.
pub(super) fn key(what: &str, key: &Lookup, of: AccountId) {
    let AccountId(account) = of;
    log::info!(target: event::API_KEY, "what={what} key={key} account={account}");
}

/// An API key was none.
pub(super) fn key_wrong(from: IpAddr) {
    log::warn!(target: event::LOGIN_FAILED, "kind=api-key from={from}");
}

/// A user name and a password did not fit.
pub(super) fn login_failed(user: &str, from: IpAddr) {
    log::warn!(
        target: event::LOGIN_FAILED,
        "kind=password from={from} user={}",
        Quoted(user)
    );
}

/// That was not the password of a link.
pub(super) fn password_wrong(link: &Lookup, from: IpAddr) {
    log::warn!(target: event::PASSWORD_WRONG, "link={link} from={from}");
}

/// There is no such link.
pub(super) fn link_unknown(from: IpAddr) {
    log::debug!("an unknown link was asked for from={from}");
}

/// All downloads of a link that are left are in progress.
pub(super) fn link_busy(link: &Lookup, from: IpAddr) {
    log::info!(target: event::LIMIT, "kind=downloads-left link={link} from={from}");
}

/// Too many password checks wait already.
pub(super) fn checks_full(from: IpAddr) {
    log::warn!(target: event::LIMIT, "kind=password-checks from={from}");
}

/// Somebody failed too often: the error that sends them away.
pub(super) fn too_many(kind: &str, from: IpAddr, wait: Duration) -> Error {
    log::warn!(
        target: event::LIMIT,
        "kind={kind} from={from} wait={}",
        wait.as_secs().max(1)
    );
    Error::TooMany(wait)
}
