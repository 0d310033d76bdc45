//! How many connections the limit of open files allows.

use super::limits::Limits;
use super::listener::TURNED_AWAY;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections and their transfers: 56 of the program itself, and the
/// connections that are told why they are turned away.
const DESCRIPTORS: usize = 56 + TURNED_AWAY;
/// Descriptors of one transfer: its file, and for a moment a directory or a second file.
const PER_TRANSFER: usize = 2;

/// As many connections as there can be descriptors for. Asks the system for more of them first, as
/// far as the process is allowed to.
pub(super) fn within_descriptors(limits: &Limits) -> usize {
    let count =
        |limit: Option<u64>| limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let transfers = limits.uploads + limits.downloads;
    let wanted = wanted(limits);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if count(current) < wanted {
        let raised = wanted.min(count(maximum)) as u64;
        // What is refused is missing below.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(raised),
                maximum,
            },
        );
    }
    let fit = fitting(count(getrlimit(Resource::Nofile).current), transfers);
    if fit < limits.connections {
        log::warn!(
            "the limit of open files allows {fit} connections instead of {}; raise LimitNOFILE",
            limits.connections
        );
    }
    fit.min(limits.connections)
}

/// Descriptors for as many connections and transfers as there may be.
pub(super) fn wanted(limits: &Limits) -> usize {
    let transfers = limits.uploads + limits.downloads;
    limits.connections + transfers * PER_TRANSFER + DESCRIPTORS
}

/// How many connections leave, of so many descriptors, enough for the transfers that they may have:
/// an upload that finds none at its very end would leave its outcome unknown.
fn fitting(descriptors: usize, transfers: usize) -> usize {
    let left = descriptors.saturating_sub(DESCRIPTORS);
    // Either each connection may have a transfer, or all transfers run and there are more
    // connections than that.
    let each = left / (1 + PER_TRANSFER);
    let beside = left.saturating_sub(transfers * PER_TRANSFER);
    each.max(beside).max(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_is_counted_in() {
        let limits = Limits::default();
        let transfers = limits.uploads + limits.downloads;
        let served = limits.connections + transfers * PER_TRANSFER;
        assert!(wanted(&limits) >= served + TURNED_AWAY + 56);
    }

    #[test]
    fn every_connection_may_have_a_transfer_without_a_lack_of_descriptors() {
        for descriptors in [150, 256, 1024, 4096, 6200, 100_000] {
            for transfers in [1, 100, 1024] {
                let connections = fitting(descriptors, transfers);
                let need = |connections: usize| {
                    connections + connections.min(transfers) * PER_TRANSFER + DESCRIPTORS
                };
                assert!(need(connections) <= descriptors);
                assert!(need(connections + 1) > descriptors, "none is wasted");
            }
        }
        assert_eq!(fitting(64, 1024), 4, "a few are served in any case");
    }
}
