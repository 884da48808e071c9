//! Identifications of datagrams that we send in fragments, or that somebody may cut on their way.
//!
//! Who knows the next one can spoil the reassembly of others, and who sees one counter for all destinations knows how much
//! is sent to others (RFC 7739). So each is a keyed hash of addresses and protocol, plus a counter: the counters are few and
//! shared, which costs a fixed amount of memory, and repeats nothing.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use crate::time::Instant;

/// How long a datagram may be on its way, and so how long its identification must not come again.
// 6864-4.3: the value that the RFC reckons with.
pub const MAXIMUM_DATAGRAM_LIFETIME: Duration = Duration::from_secs(120);

/// Counters. Destinations that share one share its supply of identifications, too.
const COUNTERS: usize = 1_024;

/// Parts of the identifications of IPv4, for each of which is known when it was last used.
const PARTS: usize = 16;

/// Of these, so many are kept for datagrams that leave in fragments.
const RESERVED: usize = PARTS / 4;

/// The identifications of IPv4.
const ALL: u32 = 1 << 16;

/// The counter of some destinations.
#[derive(Clone, Debug)]
struct Counter {
    /// The next one of IPv4, below the number that one stack has.
    short: u32,
    /// When each part of these was last used.
    used: [Option<Instant>; PARTS],
    /// The next one of IPv6.
    long: u32,
}

/// The source of identifications of one stack.
#[derive(Clone)]
pub struct Identifications {
    /// For the counter, for the offset, and for the start of a counter.
    keys: [[u8; 16]; 3],
    counters: Vec<Option<Box<Counter>>>,
    index: u32,
    count: u32,
}

impl fmt::Debug for Identifications {
    /// Without the keys, which must not end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identifications").finish_non_exhaustive()
    }
}

impl Identifications {
    /// With three secret keys.
    pub fn new(keys: [[u8; 16]; 3]) -> Identifications {
        Identifications { keys, counters: Vec::new(), index: 0, count: 1 }
    }

    /// Makes it the `index`th of `count` that have the same keys: no two give the same.
    pub fn set_share(&mut self, index: u16, count: u16) {
        (self.index, self.count) = (u32::from(index), u32::from(count).max(1));
        self.counters.clear();
    }

    /// One for a datagram over IPv4; `None` where all have been used within [`MAXIMUM_DATAGRAM_LIFETIME`]. One that leaves
    /// whole and needs none, if nobody may cut it, gets none of the last quarter.
    // 6864-4.3: this is the limit of the rate that the RFC asks for.
    pub fn next_v4(
        &mut self,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        whole: bool,
        now: Instant,
    ) -> Option<u16> {
        let own = ALL / self.count;
        let offset = keyed(&self.keys[1], source, destination, protocol) as u16;
        let first = own * self.index;
        let counter = self.counter(keyed(&self.keys[0], source, destination, protocol));
        let place = counter.short;
        let part = |place: u32| (place * PARTS as u32 / own) as usize;
        // A part is entered only if nobody can remember what it was last used for.
        let enters = place == 0 || part(place - 1) != part(place);
        let recent =
            |used: Option<Instant>| used.is_some_and(|used| now.saturating_since(used) < MAXIMUM_DATAGRAM_LIFETIME);
        let reserve = counter.used[(part(place) + RESERVED) % PARTS];
        if enters && recent(counter.used[part(place)]) || whole && recent(reserve) {
            return None;
        }
        counter.used[part(place)] = Some(now);
        counter.short = (place + 1) % own;
        Some(((first + place) as u16).wrapping_add(offset))
    }

    /// One for a packet over IPv6 that leaves in fragments.
    pub fn next_v6(&mut self, source: IpAddr, destination: IpAddr) -> u32 {
        let offset = keyed(&self.keys[1], source, destination, 0) as u32;
        let first = (u32::MAX / self.count).wrapping_mul(self.index);
        let counter = self.counter(keyed(&self.keys[0], source, destination, 0));
        counter.long = counter.long.wrapping_add(1);
        counter.long.wrapping_add(first).wrapping_add(offset)
    }

    fn counter(&mut self, hash: u64) -> &mut Counter {
        let own = u64::from(ALL / self.count);
        let key = self.keys[2];
        let place = (hash % COUNTERS as u64) as usize;
        if self.counters.is_empty() {
            self.counters = vec![None; COUNTERS];
        }
        self.counters[place].get_or_insert_with(|| {
            let mut hasher = SipHasher24::new_with_key(&key);
            hasher.write(&place.to_le_bytes());
            let start = hasher.finish();
            Box::new(Counter { short: (start % own) as u32, used: [None; PARTS], long: (start >> 32) as u32 })
        })
    }
}

fn keyed(key: &[u8; 16], source: IpAddr, destination: IpAddr, protocol: u8) -> u64 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(&octets(source));
    hasher.write(&octets(destination));
    hasher.write(&[protocol]);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn source(seed: u8) -> Identifications {
        Identifications::new([[seed; 16], [seed + 1; 16], [seed + 2; 16]])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// 6864-4.3: 100,000 datagrams and more, at any rate: none repeats within the lifetime, and all are given.
    #[test]
    fn none_comes_again_within_the_lifetime() {
        for (every, shares) in [(1, 1), (1_000, 1), (1_831, 1), (3_000, 1), (100, 3)] {
            let mut ids = source(7);
            ids.set_share(0, shares);
            let mut last: BTreeMap<u16, Instant> = BTreeMap::new();
            let (mut given, mut now) = (0, Instant::ZERO);
            for _ in 0..300_000 {
                now += Duration::from_micros(every);
                let Some(id) = ids.next_v4(ip("10.0.0.2"), ip("10.0.0.1"), 17, false, now) else { continue };
                given += 1;
                if let Some(before) = last.insert(id, now) {
                    assert!(now.saturating_since(before) >= MAXIMUM_DATAGRAM_LIFETIME, "{id} at {now:?}");
                }
            }
            // As many at once as there are, less the rest of the part in which the counter began.
            let own = 65_536 / usize::from(shares);
            assert!(given >= own - own / PARTS, "{given} with one in {every} us");
            if every >= 2_000 {
                assert_eq!(given, 300_000, "this rate can be kept for ever");
            }
        }
    }

    /// 6864-4.3: several stacks of one host give different ones for the same destination.
    #[test]
    fn siblings_give_different_ones() {
        for count in [2, 3, 8] {
            let (mut short, mut long) = (BTreeSet::new(), BTreeSet::new());
            let mut given = 0;
            for index in 0..count {
                let mut ids = source(9);
                ids.set_share(index, count);
                while let Some(id) = ids.next_v4(ip("10.0.0.2"), ip("10.0.0.1"), 1, false, Instant::ZERO) {
                    given += 1;
                    assert!(short.insert(id), "{id} of {index}");
                }
                for _ in 0..1_000 {
                    assert!(long.insert(ids.next_v6(ip("fd00::2"), ip("fd00::1"))));
                }
            }
            assert!(given > 60_000, "{given}");
        }
    }

    /// Whole datagrams at any rate leave enough for those that must be cut.
    #[test]
    fn whole_datagrams_leave_a_reserve() {
        let mut ids = source(3);
        let mut next = |whole| ids.next_v4(ip("10.0.0.2"), ip("10.0.0.1"), 17, whole, Instant::ZERO).is_some();
        let given = (0..100_000).filter(|_| next(true)).count();
        assert!((40_000..=50_000).contains(&given), "{given}");
        let reserved = (0..100_000).filter(|_| next(false) && !next(true)).count();
        assert!(reserved >= 65_536 / PARTS * (RESERVED - 1), "{reserved}");
    }

    /// RFC 7739: another destination, or another key, has others, and neither starts at a number that can be guessed.
    #[test]
    fn destinations_have_nothing_in_common() {
        let mut ids = source(1);
        let mut seen = BTreeSet::new();
        for host in 1..=200 {
            let to = IpAddr::from([10, 0, 1, host]);
            seen.insert(ids.next_v4(ip("10.0.0.2"), to, 17, false, Instant::ZERO));
            let v6 = IpAddr::from([0xFD00, 0, 0, 0, 0, 0, 0, u16::from(host)]);
            assert_ne!(ids.next_v6(ip("fd00::2"), v6) >> 16, 0);
        }
        assert!(seen.len() > 190, "{}", seen.len());
        let first = |seed| source(seed).next_v4(ip("10.0.0.2"), ip("10.0.0.1"), 17, false, Instant::ZERO);
        assert!(first(1) != first(2) && first(2) != first(3));
        assert_eq!(first(1), first(1), "the same key, the same numbers");
    }

    /// 6864-4.3: where all were used at once, none is given before the lifetime is over, and then they are again.
    #[test]
    fn the_lifetime_is_exact() {
        let mut ids = source(5);
        let mut next = |now| ids.next_v4(ip("10.0.0.2"), ip("10.0.0.1"), 17, false, now).is_some();
        while next(Instant::ZERO) {}
        let over = Instant::ZERO + MAXIMUM_DATAGRAM_LIFETIME;
        assert!(!next(Instant::from_nanos(over.as_nanos() - 1)) && next(over));
    }
}
