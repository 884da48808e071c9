//! Ephemeral ports (RFC 6056): which local port a connection gets that did not ask for one.

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use siphasher::sip::SipHasher24;

use super::flow_table::address_octets;

/// Counters that peers share: the more, the less one peer can learn of the connections to others.
const COUNTERS: usize = 1024;

/// Chooses ephemeral ports by the double-hash algorithm (RFC 6056 section 3.3.4, "algorithm 4").
///
/// For one peer address and port the choices walk through the range one by one, so that a port is used again as late as
/// possible. Where the walk starts is a keyed hash of the peer, and how far it is depends on a counter found by another
/// keyed hash, so that the ports one peer sees say nothing about the ports another will see.
#[derive(Clone)]
pub struct PortAllocator {
    offset_hash: SipHasher24,
    counter_hash: SipHasher24,
    /// Steps made, modulo the number of ports. Cells, so that `is_free` can look at what owns the allocator.
    counters: Box<[Cell<u16>; COUNTERS]>,
    /// How many ports were given to sockets without a peer.
    drawn: Cell<u64>,
    first: u16,
    /// Ports in the range, 0 to 65,535.
    ports: u32,
}

impl PortAllocator {
    /// The largest sensible range: all ports but the well-known ones.
    // 6056-3.2: RFC 6056 asks for 1024-65535; ports of services within it are refused one by one by `is_free`.
    pub const EPHEMERAL: RangeInclusive<u16> = 1024..=65535;

    /// An allocator with two secret keys (128 bits each) over a range of ports. Port 0 is never given.
    pub fn new(key1: [u8; 16], key2: [u8; 16], range: RangeInclusive<u16>) -> PortAllocator {
        let first = (*range.start()).max(1);
        let ports = (u32::from(*range.end()) + 1).saturating_sub(u32::from(first));
        PortAllocator {
            offset_hash: SipHasher24::new_with_key(&key1),
            counter_hash: SipHasher24::new_with_key(&key2),
            counters: Box::new([const { Cell::new(0) }; COUNTERS]),
            drawn: Cell::new(0),
            first,
            ports,
        }
    }

    /// A port for a connection from the address `local` to `remote`, the first for which `is_free` is true.
    ///
    /// `is_free` refuses a port that would make a four-tuple that exists, or on which something listens. It is asked at
    /// most once for each port of the range; `None` if it refuses them all.
    // 6056-3.1: the caller decides by the whole four-tuple and the listeners, so one port serves many peers at once.
    pub fn pick(&self, local: IpAddr, remote: (IpAddr, u16), mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
        let mut block = [0; 34];
        block[..16].copy_from_slice(&address_octets(local));
        block[16..32].copy_from_slice(&address_octets(remote.0));
        block[32..].copy_from_slice(&remote.1.to_be_bytes());
        // 6056-3.3: both hashes are keyed, so neither start nor counter of another peer can be computed off path.
        let offset = self.offset_hash.hash(&block);
        let counter = &self.counters[self.counter_hash.hash(&block) as usize % COUNTERS];
        for _ in 0..self.ports {
            let step = (offset % u64::from(self.ports)) as u32 + u32::from(counter.get());
            let port = self.first + (step % self.ports) as u16;
            // The counter moves for a refused port too: the next caller need not try it again.
            counter.set(((u32::from(counter.get()) + 1) % self.ports) as u16);
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }

    /// A port for a socket that has no peer yet, the first for which `is_free` is true.
    ///
    /// Without a peer there is nothing by which walks could be told apart, and the next step of one walk for all would be
    /// known to everybody who has been sent a datagram: so each search begins elsewhere (RFC 6056 section 3.3.1). `share`
    /// tells stacks apart that have the same keys.
    // 6056-3.3: where it begins is a keyed hash, so no port tells anything about the next one.
    pub fn pick_without_peer(&self, share: u16, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
        let number = self.drawn.replace(self.drawn.get().wrapping_add(1));
        let mut block = [0; 10];
        block[..8].copy_from_slice(&number.to_be_bytes());
        block[8..].copy_from_slice(&share.to_be_bytes());
        let start = (self.offset_hash.hash(&block) % u64::from(self.ports.max(1))) as u32;
        (0..self.ports).map(|step| self.first + ((start + step) % self.ports) as u16).find(|&port| is_free(port))
    }
}

impl fmt::Debug for PortAllocator {
    /// Without the keys, which must not end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortAllocator").field("first", &self.first).field("ports", &self.ports).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn peer(number: u32) -> (IpAddr, u16) {
        (IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + number)), 443)
    }

    fn allocator(range: RangeInclusive<u16>) -> PortAllocator {
        PortAllocator::new([1; 16], [2; 16], range)
    }

    /// 6056-3.1
    #[test]
    fn no_tuple_is_given_twice_and_exhaustion_is_a_clean_none() {
        let ports = allocator(PortAllocator::EPHEMERAL);
        let listeners = BTreeSet::from([8080, 9000]);
        for number in [0, 1] {
            let mut taken = BTreeSet::new();
            while let Some(port) =
                ports.pick(LOCAL, peer(number), |port| !listeners.contains(&port) && !taken.contains(&port))
            {
                assert!(taken.insert(port), "port {port} was given twice");
            }
            assert_eq!(taken.len(), 64_512 - 2, "all but those with a listener");
            assert!(taken.is_disjoint(&listeners));
            assert!(taken.iter().all(|port| PortAllocator::EPHEMERAL.contains(port)));

            let mut asked = BTreeSet::new();
            assert_eq!(ports.pick(LOCAL, peer(number), |port| !asked.insert(port)), None);
            assert_eq!(asked.len(), 64_512, "each port was tried, and none twice");

            assert_eq!(ports.pick(LOCAL, peer(number), |port| port == 5_000), Some(5_000), "one given back is found");
        }
    }

    /// 6056-3.1
    #[test]
    fn ranges_of_one_port_of_none_and_with_port_zero() {
        assert_eq!(allocator(7..=7).pick(LOCAL, peer(0), |_| true), Some(7));
        assert_eq!(allocator(7..=7).pick(LOCAL, peer(0), |_| false), None);
        assert_eq!(allocator(0..=0).pick(LOCAL, peer(0), |_| true), None);
        #[expect(clippy::reversed_empty_ranges)]
        let reversed = 9..=8;
        assert_eq!(allocator(reversed).pick(LOCAL, peer(0), |_| true), None);
        let whole = allocator(0..=u16::MAX);
        let given: BTreeSet<u16> = (0..65_535).filter_map(|_| whole.pick(LOCAL, peer(0), |_| true)).collect();
        assert!(given.iter().copied().eq(1..=u16::MAX));
    }

    /// 6056-3.2
    #[test]
    fn choices_for_many_peers_spread_evenly_over_the_whole_range() {
        let ports = allocator(PortAllocator::EPHEMERAL);
        let mut histogram = [0u32; 63];
        for number in 0..100_000 {
            let port = ports.pick(LOCAL, peer(number), |_| true).unwrap();
            histogram[usize::from(port - 1024) / 1024] += 1;
        }
        // 1,587 are expected in each of the 63 stretches; the standard deviation is 40.
        assert!(histogram.iter().all(|count| (1_387..1_787).contains(count)), "{histogram:?}");
    }

    /// 6056-3.3
    #[test]
    fn one_peer_sees_each_port_once_before_any_comes_again() {
        let ports = allocator(PortAllocator::EPHEMERAL);
        let pick = || ports.pick(LOCAL, peer(0), |_| true).unwrap();
        let first = pick();
        let mut previous = first;
        for _ in 1..64_512 {
            let port = pick();
            assert_eq!(port, if previous == u16::MAX { 1024 } else { previous + 1 });
            assert_ne!(port, first);
            previous = port;
        }
        assert_eq!(pick(), first);
    }

    /// 6056-3.3
    #[test]
    fn the_port_for_one_peer_does_not_tell_the_port_for_the_next() {
        let ports = allocator(PortAllocator::EPHEMERAL);
        let pick = |remote| i64::from(ports.pick(LOCAL, remote, |_| true).unwrap());
        // An attacker who owns peer 0 sees one port and guesses the next peer's: by the same distance, or by one more.
        let distances: BTreeSet<i64> = (1..=1_000).map(|number| pick(peer(number)) - pick(peer(0))).collect();
        assert!(distances.len() > 980, "only {} of 1,000 distances differ", distances.len());
        let near = distances.iter().filter(|distance| distance.abs() < 16).count();
        assert!(near < 10, "{near} of 1,000 are next to one that was seen");
        let (host, _) = peer(0);
        let of_ports: BTreeSet<i64> = (1..=1_000).map(|port| pick((host, port)) - pick(peer(0))).collect();
        assert!(of_ports.len() > 980, "the peer's port counts as well");
    }

    /// 6056-3.3: without a peer, as for UDP, neither the last port nor that of a sibling tells the next one; each is found that
    /// is free.
    #[test]
    fn a_port_without_a_peer_does_not_tell_the_next() {
        let ports = allocator(PortAllocator::EPHEMERAL);
        let mut last = 0;
        let distances: BTreeSet<i64> = (0..1_000)
            .map(|_| {
                let port = i64::from(ports.pick_without_peer(0, |_| true).unwrap());
                port - std::mem::replace(&mut last, port)
            })
            .collect();
        assert!(distances.len() > 980, "only {} of 1,000 distances differ", distances.len());
        assert!(distances.iter().filter(|distance| distance.abs() < 16).count() < 10);
        let of = |keys, share| -> Vec<u16> {
            let ports = PortAllocator::new(keys, [2; 16], PortAllocator::EPHEMERAL);
            (0..1_000).filter_map(|_| ports.pick_without_peer(share, |_| true)).collect()
        };
        let base = of([1; 16], 0);
        for other in [of([1; 16], 1), of([3; 16], 0)] {
            assert!(base.iter().zip(&other).filter(|(a, b)| a.abs_diff(**b) < 16).count() < 10);
        }
        assert_eq!(base, of([1; 16], 0));
        let few = allocator(7..=9);
        let mut taken = BTreeSet::new();
        while let Some(port) = few.pick_without_peer(0, |port| !taken.contains(&port)) {
            assert!(taken.insert(port));
        }
        assert!(taken.into_iter().eq(7..=9));
        assert_eq!(allocator(0..=0).pick_without_peer(0, |_| true), None);
    }

    /// 6056-3.3
    #[test]
    fn both_keys_matter_and_nothing_else_does() {
        let picks = |key1, key2| -> Vec<u16> {
            let ports = PortAllocator::new(key1, key2, PortAllocator::EPHEMERAL);
            // Twice as many peers as counters, so that it shows who shares a counter with whom.
            (0..2_048).filter_map(|number| ports.pick(LOCAL, peer(number), |_| true)).collect()
        };
        let base = picks([1; 16], [2; 16]);
        assert_eq!(base, picks([1; 16], [2; 16]));
        assert_ne!(base, picks([1; 16], [3; 16]));
        let other = picks([3; 16], [2; 16]);
        assert!(base.iter().zip(&other).filter(|(a, b)| a == b).count() < 10);
        assert!(!format!("{:?}", allocator(1..=2)).contains("hash"));
    }
}
