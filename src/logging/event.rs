//! The words that lines about events begin with: the `target` of [`log::info!`] and the others.
//! Whoever searches a log relies on them, so they stay.

/// The server runs.
pub const START: &str = "start";
/// The server ends, or has ended.
pub const STOP: &str = "stop";
/// A file has its link.
pub const UPLOAD: &str = "upload";
/// A download is over: `result=complete` or `result=broken-off`.
pub const DOWNLOAD: &str = "download";
/// A link has ended by its limits: `by=time`, `by=downloads`, or `by=change` of them.
pub const EXPIRED: &str = "expired";
/// An owner has deleted a link.
pub const DELETED: &str = "deleted";
/// An owner has taken a deletion back.
pub const RESTORED: &str = "restored";
/// An owner has changed a link.
pub const CHANGED: &str = "changed";
/// An account was made or changed.
pub const ACCOUNT: &str = "account";
/// An API key was made or revoked.
pub const API_KEY: &str = "api-key";
/// A credential was none: `kind=password` or `kind=api-key`.
pub const LOGIN_FAILED: &str = "login-failed";
/// That was not the password of a link.
pub const PASSWORD_WRONG: &str = "password-wrong";
/// Somebody was sent away because of a limit, which `kind=` names.
pub const LIMIT: &str = "limit";
/// Something of ours failed.
pub const FAULT: &str = "fault";
/// The clock was set, is in doubt or trusted again, or has left something to do.
pub const CLOCK: &str = "clock";
/// About the log itself: lines that are missing.
pub const LOG: &str = "log";

/// All of them.
pub(super) const ALL: [&str; 16] = [
    START,
    STOP,
    UPLOAD,
    DOWNLOAD,
    EXPIRED,
    DELETED,
    RESTORED,
    CHANGED,
    ACCOUNT,
    API_KEY,
    LOGIN_FAILED,
    PASSWORD_WRONG,
    LIMIT,
    FAULT,
    CLOCK,
    LOG,
];

/// What only owners cause, or happens once for each upload at most: never suppressed.
pub(super) const UNLIMITED: [&str; 10] = [
    CLOCK, START, STOP, UPLOAD, EXPIRED, DELETED, RESTORED, CHANGED, ACCOUNT, API_KEY,
];
