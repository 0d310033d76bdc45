//! Limits of serving, and the count of connections that keeps to them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

/// Limits and deadlines of serving. The defaults are those of the documentation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Client connections in total.
    pub connections: usize,
    /// Client connections from one address (IPv6: one /64). Loopback and trusted proxies are exempt.
    pub connections_per_address: usize,
    /// Requests with a body of any size at once. Each takes about 80 KiB of memory.
    pub uploads: usize,
    /// Answers of any size at once. Each takes about 32 KiB of memory.
    pub downloads: usize,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Without any byte of a body.
    pub body_stall: Duration,
    /// Fewest bytes of a body per second, averaged over a minute.
    pub body_rate: u64,
    /// Without any byte taken by the client.
    pub write_stall: Duration,
}

impl Limits {
    /// Open files that it takes to serve as much as this.
    pub fn descriptors(&self) -> usize {
        super::descriptors::wanted(self)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 64,
            uploads: 64,
            downloads: 512,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            body_stall: Duration::from_secs(30),
            body_rate: 1024,
            write_stall: Duration::from_secs(120),
        }
    }
}

/// Counts the connections that are open, in total and for each address.
pub(super) struct Census {
    total: usize,
    per_address: usize,
    counts: RefCell<Counts>,
}

#[derive(Default)]
struct Counts {
    open: usize,
    by_block: HashMap<IpAddr, usize>,
}

/// One counted connection; dropping it counts it out.
pub(super) struct Place {
    census: Rc<Census>,
    block: Option<IpAddr>,
}

impl Census {
    pub(super) fn new(total: usize, per_address: usize) -> Rc<Self> {
        Rc::new(Self {
            total,
            per_address,
            counts: RefCell::default(),
        })
    }

    /// Counts a connection in, or returns `None` when a limit is reached. `exempt` connections
    /// count in total only.
    pub(super) fn admit(self: &Rc<Self>, address: IpAddr, exempt: bool) -> Option<Place> {
        let mut counts = self.counts.borrow_mut();
        if counts.open >= self.total {
            return None;
        }
        let block = (!exempt).then(|| block_of(address));
        if let Some(block) = block {
            let count = counts.by_block.entry(block).or_default();
            if *count >= self.per_address {
                return None;
            }
            *count += 1;
        }
        counts.open += 1;
        Some(Place {
            census: Rc::clone(self),
            block,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts.borrow_mut();
        counts.open -= 1;
        if let Some(block) = self.block
            && let Some(count) = counts.by_block.get_mut(&block)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_block.remove(&block);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 customer gets.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_full_house_admits_nobody_until_someone_leaves() {
        let census = Census::new(2, 2);
        let first = census.admit(ip("192.0.2.1"), false);
        let _second = census.admit(ip("192.0.2.2"), true).unwrap();
        assert!(census.admit(ip("192.0.2.3"), true).is_none());
        drop(first);
        assert!(census.admit(ip("192.0.2.3"), false).is_some());
    }

    #[test]
    fn one_address_has_its_own_limit_and_leaves_no_trace() {
        let census = Census::new(100, 1);
        let place = census.admit(ip("192.0.2.1"), false).unwrap();
        assert!(census.admit(ip("192.0.2.1"), false).is_none());
        assert!(census.admit(ip("::ffff:192.0.2.1"), false).is_none());
        assert!(census.admit(ip("192.0.2.1"), true).is_some());
        drop(place);
        assert!(census.counts.borrow().by_block.is_empty());
        assert_eq!(census.counts.borrow().open, 0);
    }

    #[test]
    fn a_slash_64_is_one_client() {
        let census = Census::new(100, 1);
        let _place = census.admit(ip("2001:db8::1"), false).unwrap();
        assert!(census.admit(ip("2001:db8::2"), false).is_none());
        assert!(census.admit(ip("2001:db8:0:1::1"), false).is_some());
    }
}
