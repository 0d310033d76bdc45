//! Addresses of the server. A name is looked up once a minute, not for every request; when that fails, the last
//! answer still serves.

use crate::model::Clock;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(60);

/// Looks names up, and remembers the last answer: there is one server.
#[derive(Clone)]
pub(super) struct Names(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    lookup: Box<dyn Resolver>,
    known: Mutex<Option<Known>>,
}

struct Known {
    authority: String,
    addresses: Vec<SocketAddr>,
    until: Duration,
}

impl Names {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::asking(clock, Box::new(DefaultResolver::default()))
    }

    fn asking(clock: Arc<dyn Clock>, lookup: Box<dyn Resolver>) -> Self {
        Self(Arc::new(Inner {
            clock,
            lookup,
            known: Mutex::new(None),
        }))
    }

    /// The server was not at its addresses: the next request looks again.
    pub(super) fn doubt(&self) {
        if let Some(known) = self.lock().as_mut() {
            known.until = Duration::ZERO;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        // What is known is replaced as a whole.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let authority = uri.authority().map_or("", |a| a.as_str());
        let now = self.0.clock.elapsed();
        let remembered = |fresh: bool| {
            let known = self.lock();
            let known = known
                .as_ref()
                .filter(|k| k.authority == authority && (!fresh || now < k.until))?;
            let mut addresses = self.empty();
            known.addresses.iter().for_each(|a| addresses.push(*a));
            Some(addresses)
        };
        if let Some(addresses) = remembered(true) {
            return Ok(addresses);
        }
        match self.0.lookup.resolve(uri, config, timeout) {
            Ok(addresses) => {
                *self.lock() = Some(Known {
                    authority: authority.to_owned(),
                    addresses: addresses.to_vec(),
                    until: now + FRESH,
                });
                Ok(addresses)
            }
            Err(error) => remembered(false).ok_or(error),
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
        fn elapsed(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }

    /// Answers the first times, then never again.
    #[derive(Debug, Clone, Default)]
    struct Directory {
        asked: Arc<AtomicUsize>,
        good: usize,
    }

    impl Resolver for Directory {
        fn resolve(
            &self,
            _: &Uri,
            _: &Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, ureq::Error> {
            if self.asked.fetch_add(1, Ordering::SeqCst) >= self.good {
                return Err(ureq::Error::HostNotFound);
            }
            let mut addresses = self.empty();
            addresses.push("192.0.2.7:443".parse().unwrap());
            Ok(addresses)
        }
    }

    fn ask(names: &Names, uri: &str) -> Option<Vec<SocketAddr>> {
        let uri = uri.parse().unwrap();
        names
            .resolve(&uri, &Config::default(), NextTimeout::default())
            .ok()
            .map(|a| a.to_vec())
    }

    #[test]
    fn a_name_is_looked_up_once_a_minute_and_the_last_answer_outlives_the_directory() {
        let clock = Arc::new(Hand::default());
        let directory = Directory {
            good: 3,
            ..Directory::default()
        };
        let names = Names::asking(Arc::clone(&clock) as _, Box::new(directory.clone()));
        let asked = || directory.asked.load(Ordering::SeqCst);
        for _ in 0..5 {
            assert!(ask(&names, "https://s3.example/").is_some());
        }
        assert_eq!(asked(), 1);
        clock.0.store(61, Ordering::SeqCst);
        ask(&names, "https://s3.example/").unwrap();
        assert_eq!(asked(), 2, "the answer was a minute old");
        names.doubt();
        ask(&names, "https://s3.example/").unwrap();
        assert_eq!(asked(), 3, "the server was not there");
        clock.0.store(600, Ordering::SeqCst);
        assert!(
            ask(&names, "https://s3.example/").is_some(),
            "an old answer"
        );
        assert!(ask(&names, "https://other.example/").is_none(), "no answer");
        assert_eq!(asked(), 5);
    }
}
