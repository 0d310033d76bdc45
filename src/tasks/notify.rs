//! What the service manager is told (sd_notify(3)). Without one, nothing happens.
//!
//! The variables that it left in the environment stay there: nothing is ever started from here that
//! could inherit them, and taking them out is not safe once there are threads.

use sd_notify::NotifyState;
use std::time::Duration;

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// It serves; or the settings have been read again.
    Ready,
    /// The settings are being read again.
    Reloading,
    /// It is about to end.
    Stopping,
    /// All is well: do not restart it for a while.
    Alive,
    /// In words: one line for `systemctl status`.
    Status(String),
}

/// Whether there is a service manager that wants to be told.
pub fn is_wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How long it may not hear [`Notice::Alive`] before it restarts the service, if it wants that.
pub fn patience() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero())
}

/// Tells several things at once.
pub fn tell(notices: &[Notice]) {
    let mut states = Vec::with_capacity(notices.len() + 1);
    for notice in notices {
        match notice {
            Notice::Ready => states.push(NotifyState::Ready),
            Notice::Reloading => {
                states.push(NotifyState::Reloading);
                // Since systemd 253 a reload without the time is refused.
                states.extend(NotifyState::monotonic_usec_now());
            }
            Notice::Stopping => states.push(NotifyState::Stopping),
            Notice::Alive => states.push(NotifyState::Watchdog),
            Notice::Status(line) => states.push(NotifyState::Status(line)),
        }
    }
    if let Err(e) = sd_notify::notify(&states) {
        log::warn!("the service manager could not be told {notices:?}: {e}");
    }
}

/// The longest status, in characters. systemd throws a message of more than 4096 bytes away, whole.
const STATUS: usize = 500;

/// Text on one line, cut to what fits into a message: whatever follows a line break would be read as
/// another notice.
pub fn one_line(text: &str) -> String {
    text.chars()
        .take(STATUS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_status_is_no_other_notice() {
        assert_eq!(one_line("full\nREADY=1\0"), "full READY=1 ");
    }

    #[test]
    fn a_long_status_is_cut_to_what_the_service_manager_takes() {
        assert!(one_line(&"\u{1f980}".repeat(10_000)).len() < 4096 / 2);
    }
}
