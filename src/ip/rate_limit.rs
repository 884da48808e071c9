//! Token buckets, for everything that an attacker could make us send.

use crate::time::Instant;

/// Allows `per_second` events a second on average, and as many at once.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    per_second: u64,
    /// Tokens, in billionths.
    tokens: u128,
    filled: Instant,
}

const TOKEN: u128 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_second: u32, now: Instant) -> TokenBucket {
        let per_second = u64::from(per_second);
        TokenBucket { per_second, tokens: u128::from(per_second) * TOKEN, filled: now }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full = u128::from(self.per_second) * TOKEN;
        let added = now.saturating_since(self.filled).as_nanos() * u128::from(self.per_second);
        self.tokens = (self.tokens + added).min(full);
        self.filled = self.filled.max(now);
        if self.tokens < TOKEN {
            return false;
        }
        self.tokens -= TOKEN;
        true
    }
}

/// Buckets for receivers. Those that share one by chance share its rate.
const PEERS: usize = 64;

/// A rate of which one receiver gets half at most, so that a flood from one host does not silence what is for others.
#[derive(Clone, Debug)]
pub struct PeerLimit {
    all: TokenBucket,
    peers: Vec<TokenBucket>,
}

impl PeerLimit {
    /// So many events a second for all, half as many for one.
    pub fn new(per_second: u32, now: Instant) -> PeerLimit {
        let one = TokenBucket::new(per_second.div_ceil(2), now);
        PeerLimit { all: TokenBucket::new(per_second, now), peers: vec![one; PEERS] }
    }

    /// Takes a token, if there is one. `peer` is a hash of the receiver that nobody outside can foresee.
    pub fn take(&mut self, peer: u64, now: Instant) -> bool {
        // A peer without tokens takes none from the others.
        self.peers[peer as usize % PEERS].take(now) && self.all.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1812-4.3.2.8, 4443-2.4-f
    #[test]
    fn a_flood_gets_the_rate_and_no_more() {
        let mut bucket = TokenBucket::new(100, Instant::ZERO);
        let allowed = (0..100_000).filter(|&n| bucket.take(Instant::from_micros(n * 100))).count();
        assert_eq!(allowed, 100 + 999);
        assert!(!TokenBucket::new(0, Instant::ZERO).take(Instant::from_secs(1)));
    }
}
