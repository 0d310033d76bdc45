//! Who the client is: the TCP peer, or what a trusted proxy says it is.
//!
//! `X-Forwarded-For` counts only when the TCP peer itself is in a trusted network. It is read from
//! the right, because only the right end was written by proxies that we trust; an entry that is
//! not an address stops the walk at the proxy that passed it on.

use std::net::IpAddr;

/// The networks of proxies whose `X-Forwarded-For` counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Trusted(Vec<(IpAddr, u8)>);

impl Trusted {
    /// From pairs of address and prefix length.
    pub(super) fn new(networks: Vec<(IpAddr, u8)>) -> Self {
        Self(networks)
    }

    /// Whether `address` lies in one of the networks.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .iter()
            .any(|&(network, prefix)| covers(network, prefix, address))
    }

    /// The client behind `peer`, given the `X-Forwarded-For` fields in the order they came.
    pub(super) fn client<'a>(
        &self,
        peer: IpAddr,
        forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    ) -> IpAddr {
        let mut client = peer.to_canonical();
        for field in forwarded.rev() {
            for entry in field.rsplit(|&b| b == b',') {
                if !self.contains(client) {
                    return client;
                }
                match parse_entry(entry) {
                    Some(address) => client = address,
                    None => return client,
                }
            }
        }
        client
    }
}

fn covers(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(prefix.min(32));
            u64::from(network.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(prefix.min(128));
            let top = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
            top(network.to_bits()) == top(address.to_bits())
        }
        // A mapped network such as ::ffff:10.0.0.0/104 means 10.0.0.0/8.
        (IpAddr::V6(network), IpAddr::V4(_)) => match (network.to_ipv4_mapped(), prefix) {
            (Some(mapped), 96..) => covers(IpAddr::V4(mapped), prefix - 96, address),
            _ => false,
        },
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

/// An address as proxies write it: bare, `[v6]`, `[v6]:port` or `v4:port`.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let address = if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        socket.ip()
    } else {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse::<IpAddr>()
            .ok()?
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(trusted: &[(&str, u8)], peer: &str, fields: &[&str]) -> String {
        let trusted = Trusted::new(trusted.iter().map(|&(a, p)| (ip(a), p)).collect());
        trusted
            .client(ip(peer), fields.iter().map(|f| f.as_bytes()))
            .to_string()
    }

    #[test]
    fn spoofing_and_trust() {
        let proxy = &[("10.0.0.0", 8)];
        // No trust: the field is ignored.
        assert_eq!(client(&[], "10.0.0.1", &["192.0.2.9"]), "10.0.0.1");
        assert_eq!(client(proxy, "192.0.2.1", &["192.0.2.9"]), "192.0.2.1");
        // Trust: the rightmost untrusted entry counts, whatever the client put before it.
        assert_eq!(
            client(proxy, "10.0.0.1", &["127.0.0.1, 192.0.2.9"]),
            "192.0.2.9"
        );
        assert_eq!(
            client(proxy, "10.0.0.1", &["evil, 192.0.2.9, 10.0.0.7"]),
            "192.0.2.9"
        );
        assert_eq!(
            client(proxy, "10.0.0.1", &["192.0.2.8", "192.0.2.9,10.1.2.3"]),
            "192.0.2.9"
        );
        // Everyone trusted: the leftmost.
        assert_eq!(client(proxy, "10.0.0.1", &["10.0.0.9"]), "10.0.0.9");
        // Not an address: stop at the proxy that passed it on.
        assert_eq!(
            client(proxy, "10.0.0.1", &["192.0.2.9, unknown"]),
            "10.0.0.1"
        );
        assert_eq!(client(proxy, "10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(client(proxy, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn every_spelling_of_an_address() {
        let proxy = &[("10.0.0.0", 8)];
        for (entry, expected) in [
            ("::ffff:192.0.2.9", "192.0.2.9"),
            ("192.0.2.9:4711", "192.0.2.9"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            (" 2001:db8::1 ", "2001:db8::1"),
            ("192.0.2.999", "10.0.0.1"),
            ("192.0.2.9 ; x", "10.0.0.1"),
        ] {
            assert_eq!(
                client(proxy, "::ffff:10.0.0.1", &[entry]),
                expected,
                "{entry}"
            );
        }
    }

    #[test]
    fn prefixes() {
        let all = Trusted::new(vec![(ip("0.0.0.0"), 0), (ip("::"), 0)]);
        assert!(all.contains(ip("192.0.2.1")) && all.contains(ip("2001:db8::1")));
        let some = Trusted::new(vec![
            (ip("192.0.2.128"), 25),
            (ip("2001:db8::"), 32),
            (ip("::ffff:10.0.0.0"), 104),
            (ip("203.0.113.7"), 32),
        ]);
        for inside in ["192.0.2.129", "2001:db8:ffff::1", "10.9.9.9", "203.0.113.7"] {
            assert!(some.contains(ip(inside)), "{inside}");
        }
        for outside in [
            "192.0.2.127",
            "2001:db9::1",
            "11.0.0.0",
            "203.0.113.8",
            "::1",
        ] {
            assert!(!some.contains(ip(outside)), "{outside}");
        }
    }
}
