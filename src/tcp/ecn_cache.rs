//! Hosts to which SYNs that ask for Accurate ECN do not get through (RFC 9768 section 3.1.4.1).
//!
//! An attempt has failed where the SYN,ACK came only once a SYN had asked for nothing, and agrees to nothing. Who has lost two
//! packets by chance does the same, so one failure says little. After several in a row SYNs do not ask any more, until one tries
//! again: what is in the way may be gone.

use std::net::IpAddr;
use std::time::Duration;

use super::FourTuple;
use super::recent::Recent;
use crate::time::Instant;

/// Failures in a row after which SYNs do not ask.
const FAILURES: u8 = 3;

/// For how long they do not. One that fails then is enough for as long again.
pub const BACK_OFF: Duration = Duration::from_secs(600);

/// See the module's text: failures in a row by the pair of addresses, and when the last one was.
#[derive(Debug, Default)]
pub struct Cache(Recent<(IpAddr, IpAddr), u8>);

impl Cache {
    /// A SYN may ask.
    pub fn may_ask(&self, tuple: &FourTuple, now: Instant) -> bool {
        let failed = self.0.0.get(&(tuple.local_addr, tuple.remote_addr));
        failed.is_none_or(|&(last, failures)| failures < FAILURES || now >= last + BACK_OFF)
    }

    /// A SYN has asked, and has got through or not.
    pub fn learn(&mut self, tuple: &FourTuple, passed: bool, now: Instant) {
        let pair = (tuple.local_addr, tuple.remote_addr);
        let failures = self.0.0.remove(&pair).map_or(0, |(_, failures)| failures);
        if !passed {
            self.0.set(pair, now, failures.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recent::MAX_ENTRIES;
    use super::*;

    fn tuple(server: u32, port: u16) -> FourTuple {
        let server = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0100 + server));
        FourTuple::new("10.0.0.1:40000".parse().unwrap(), std::net::SocketAddr::new(server, port))
    }

    #[test]
    fn several_failures_in_a_row_and_then_one_tries_again() {
        let (mut cache, mut now) = (Cache::default(), Instant::from_secs(5));
        for passed in [false, false, true, false, false, false] {
            assert!(cache.may_ask(&tuple(1, 80), now));
            cache.learn(&tuple(1, 80), passed, now);
        }
        for _ in 0..300 {
            assert!(!cache.may_ask(&tuple(1, 443), now) && cache.may_ask(&tuple(2, 80), now));
            assert!(!cache.may_ask(&tuple(1, 443), now + (BACK_OFF - Duration::from_nanos(1))));
            now += BACK_OFF;
            assert!(cache.may_ask(&tuple(1, 443), now));
            cache.learn(&tuple(1, 443), false, now);
        }
        cache.learn(&tuple(1, 80), true, now);
        assert!(cache.may_ask(&tuple(1, 80), now) && cache.0.0.is_empty());
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let mut cache = Cache::default();
        for server in 0..=MAX_ENTRIES as u32 {
            for _ in 0..FAILURES {
                cache.learn(&tuple(server, 80), false, Instant::from_secs(5) + Duration::from_millis(server.into()));
            }
        }
        assert_eq!(cache.0.0.len(), MAX_ENTRIES);
        let now = Instant::from_secs(10);
        assert_eq!(
            [0, 1, MAX_ENTRIES as u32].map(|server| cache.may_ask(&tuple(server, 80), now)),
            [true, false, false]
        );
    }
}
