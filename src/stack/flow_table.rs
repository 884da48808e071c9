//! From a four-tuple to its flow: [`FlowHasher`] makes a number of the four-tuple, [`FlowTable`] finds by the number.
//!
//! The table is a linear hash table (Litwin, "Linear hashing: a new tool for file and table addressing", 1980). Growing
//! means splitting *one* bucket in two at each insertion, in a fixed order, so that there is never a moment when a
//! hundred thousand flows are hashed anew while packets wait. It shrinks in the same way, backwards.

use std::fmt;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::slab::{NIL, Pages};

/// An address as 16 octets, IPv4 as IPv4-mapped (RFC 4291 section 2.5.5.2), so that all hashed blocks have one length.
pub(super) fn address_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The keyed hash of four-tuples: who does not know the key cannot aim many flows at one bucket.
#[derive(Clone)]
pub struct FlowHasher {
    keyed: SipHasher13,
}

impl FlowHasher {
    /// The hasher of this secret key (128 bits).
    pub fn new(key: [u8; 16]) -> FlowHasher {
        FlowHasher { keyed: SipHasher13::new_with_key(&key) }
    }

    /// The hash of a four-tuple (addresses and ports), the same on every machine.
    ///
    /// An IPv4 address and the same address IPv4-mapped collide, which is harmless: a hash only says where to look.
    pub fn hash(&self, local: (IpAddr, u16), remote: (IpAddr, u16)) -> u64 {
        let mut block = [0; 36];
        block[..16].copy_from_slice(&address_octets(local.0));
        block[16..32].copy_from_slice(&address_octets(remote.0));
        block[32..34].copy_from_slice(&local.1.to_be_bytes());
        block[34..].copy_from_slice(&remote.1.to_be_bytes());
        self.keyed.hash(&block)
    }
}

impl fmt::Debug for FlowHasher {
    /// Without the key, which must not end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowHasher").finish_non_exhaustive()
    }
}

/// One entry, in the chain of its bucket or in the chain of free nodes.
#[derive(Clone, Copy, Debug)]
struct Node<V> {
    hash: u32,
    next: u32,
    value: V,
}

/// Values by hash. The table keeps 32 bits of each hash and no key: the caller, who can look at what a value stands
/// for, says whether it is the one sought.
#[derive(Clone, Debug)]
pub struct FlowTable<V> {
    /// The first node of each bucket; there are about as many buckets as entries.
    heads: Pages<u32>,
    nodes: Pages<Node<V>>,
    first_free: u32,
    len: u32,
}

impl<V: Copy + Eq> Default for FlowTable<V> {
    fn default() -> FlowTable<V> {
        FlowTable::new()
    }
}

impl<V: Copy + Eq> FlowTable<V> {
    /// An empty table.
    pub fn new() -> FlowTable<V> {
        let mut heads = Pages::new();
        heads.push(NIL);
        FlowTable { heads, nodes: Pages::new(), first_free: NIL, len: 0 }
    }

    /// The number of entries.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// There is no entry.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of an entry with this `hash` for which `matches` is true.
    pub fn find(&self, hash: u64, matches: impl FnMut(V) -> bool) -> Option<V> {
        self.locate(hash as u32, matches).map(|(_, node)| self.nodes[node].value)
    }

    /// Adds an entry. Whether there is one for the same four-tuple is the caller's to know: the table allows it.
    pub fn insert(&mut self, hash: u64, value: V) {
        let hash = hash as u32;
        let bucket = self.bucket(hash);
        let node = Node { hash, next: self.heads[bucket], value };
        self.heads[bucket] = match self.first_free {
            NIL => self.nodes.push(node),
            free => {
                self.first_free = self.nodes[free].next;
                self.nodes[free] = node;
                free
            }
        };
        self.len += 1;
        if self.len > self.heads.len() {
            self.split();
        }
    }

    /// Takes the entry with this `hash` and `value` away; false if there was none.
    pub fn remove(&mut self, hash: u64, value: V) -> bool {
        let hash = hash as u32;
        let Some((previous, node)) = self.locate(hash, |other| other == value) else { return false };
        let next = self.nodes[node].next;
        if previous == NIL {
            let bucket = self.bucket(hash);
            self.heads[bucket] = next;
        } else {
            self.nodes[previous].next = next;
        }
        self.nodes[node].next = self.first_free;
        self.first_free = node;
        self.len -= 1;
        self.shrink();
        true
    }

    /// Puts `new` in the place of `old` under the same `hash`, as when a connection becomes a TIME-WAIT record; false
    /// if there was no such entry.
    pub fn replace(&mut self, hash: u64, old: V, new: V) -> bool {
        let found = self.locate(hash as u32, |other| other == old);
        if let Some((_, node)) = found {
            self.nodes[node].value = new;
        }
        found.is_some()
    }

    /// The node sought and the one before it in the chain (`NIL` if it is the first).
    fn locate(&self, hash: u32, mut matches: impl FnMut(V) -> bool) -> Option<(u32, u32)> {
        let mut previous = NIL;
        let mut node = self.heads[self.bucket(hash)];
        while node != NIL {
            let entry = &self.nodes[node];
            if entry.hash == hash && matches(entry.value) {
                return Some((previous, node));
            }
            previous = node;
            node = entry.next;
        }
        None
    }

    /// The bucket of a hash: its low bits, one bit less if there is no such bucket yet.
    fn bucket(&self, hash: u32) -> u32 {
        let mask = self.heads.len().next_power_of_two() - 1;
        let bucket = hash & mask;
        if bucket < self.heads.len() { bucket } else { hash & (mask >> 1) }
    }

    /// Adds one bucket and moves to it what belongs there, all of which is in one old bucket.
    fn split(&mut self) {
        let from = buddy(self.heads.len());
        let mut node = std::mem::replace(&mut self.heads[from], NIL);
        self.heads.push(NIL);
        while node != NIL {
            let bucket = self.bucket(self.nodes[node].hash);
            let next = std::mem::replace(&mut self.nodes[node].next, self.heads[bucket]);
            self.heads[bucket] = node;
            node = next;
        }
    }

    /// Removes buckets if there are more than four per entry: up to four at a removal, which is all that is ever due.
    /// As growing begins at one bucket per entry, nobody can make the table grow and shrink in turn.
    fn shrink(&mut self) {
        for _ in 0..4 {
            if self.heads.len() > 1 && self.heads.len() / 4 > self.len {
                self.merge();
            }
        }
    }

    /// Undoes the last split: the last bucket's chain goes in front of the one it came from.
    fn merge(&mut self) {
        let Some(first) = self.heads.pop().filter(|first| *first != NIL) else { return };
        let mut last = first;
        while self.nodes[last].next != NIL {
            last = self.nodes[last].next;
        }
        let into = buddy(self.heads.len());
        self.nodes[last].next = self.heads[into];
        self.heads[into] = first;
    }
}

/// The bucket from which `bucket` is split off: the number without its highest bit.
const fn buddy(bucket: u32) -> u32 {
    bucket - (1 << bucket.ilog2())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use rand::Rng;

    use super::*;
    use crate::rng::KeyedRng;

    /// The number of entries in each bucket.
    fn chains(table: &FlowTable<u64>) -> Vec<u32> {
        let length = |bucket| {
            let mut length = 0;
            let mut node = table.heads[bucket];
            while node != NIL {
                assert_eq!(table.bucket(table.nodes[node].hash), bucket, "an entry is in a bucket not its own");
                length += 1;
                node = table.nodes[node].next;
            }
            length
        };
        (0..table.heads.len()).map(length).collect()
    }

    #[test]
    fn a_node_with_an_eight_octet_value_is_sixteen_octets() {
        assert_eq!(size_of::<Node<(u32, u32)>>(), 16);
    }

    #[test]
    fn a_hundred_thousand_flows_come_and_go_in_short_chains() {
        let mut rng = KeyedRng::from_seed(1);
        let mut table = FlowTable::new();
        let mut model = BTreeMap::new();
        for value in 0..100_000u64 {
            let hash = rng.next_u64();
            table.insert(hash, value);
            model.insert(value, hash);
            assert!(table.heads.len() >= table.len(), "at most one entry per bucket on average");
        }
        let lengths = chains(&table);
        assert_eq!(lengths.iter().sum::<u32>(), 100_000);
        assert!(lengths.iter().all(|length| *length < 16), "{:?}", lengths.iter().max());
        for (value, hash) in &model {
            assert_eq!(table.find(*hash, |other| other == *value), Some(*value));
        }
        assert_eq!(table.find(rng.next_u64(), |_| true), None);
        for (value, hash) in &model {
            assert!(table.remove(*hash, *value));
            assert!(!table.remove(*hash, *value));
        }
        assert_eq!((table.len(), table.heads.len()), (0, 3), "it shrank with its entries");
        for (value, hash) in &model {
            table.insert(*hash, *value);
        }
        assert_eq!(table.nodes.len(), 100_000, "the old nodes are used again");
    }

    #[test]
    fn the_hash_is_fixed_keyed_and_sees_every_field() {
        let [a, b]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let hasher = FlowHasher::new(*b"0123456789abcdef");
        let hash = hasher.hash((a, 80), (b, 1024));
        assert_eq!(hash, HASH_OF_THE_EXAMPLE, "another machine or version gives another hash");
        let others = [
            hasher.hash((b, 80), (b, 1024)),
            hasher.hash((a, 81), (b, 1024)),
            hasher.hash((a, 80), (a, 1024)),
            hasher.hash((a, 80), (b, 1025)),
            hasher.hash((b, 1024), (a, 80)),
            FlowHasher::new(*b"another key.....").hash((a, 80), (b, 1024)),
        ];
        assert_eq!(others.iter().chain([&hash]).collect::<BTreeSet<_>>().len(), 7);
        assert_eq!(format!("{hasher:?}"), "FlowHasher { .. }");
    }

    /// Of 10.0.0.1:80 and [2001:db8::1]:1024 under the key "0123456789abcdef".
    const HASH_OF_THE_EXAMPLE: u64 = 0x8882_dc4c_e3ff_f9fc;

    proptest! {
        /// Against a map by value, with hashes that collide often in 32 bits, in the bucket only, or not at all.
        #[test]
        fn it_behaves_as_a_map(
            actions in prop::collection::vec((0..4u8, 0..200u64), 1..3_000),
            spread in prop::sample::select(vec![1u64, 5, 1 << 20, 1 << 32, u64::MAX]),
        ) {
            let hash_of = |value: u64| (value % 7).wrapping_mul(spread).wrapping_add(value / 50);
            let mut table = FlowTable::new();
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            for (action, value) in actions {
                let hash = hash_of(value);
                let there = model.contains_key(&value);
                prop_assert_eq!(table.find(hash, |other| other == value), there.then_some(value));
                // The value `value + 1000` stands for what `value` has become, under the same hash.
                match action {
                    0 | 1 if !there => {
                        table.insert(hash, value);
                        model.insert(value, hash);
                    }
                    2 => {
                        prop_assert_eq!(table.replace(hash, value, value + 1_000), there);
                        if there {
                            model.remove(&value);
                            prop_assert!(table.replace(hash, value + 1_000, value));
                            model.insert(value, hash);
                        }
                    }
                    _ => prop_assert_eq!(table.remove(hash, value), model.remove(&value).is_some()),
                }
                prop_assert_eq!(table.len() as usize, model.len());
            }
            prop_assert_eq!(chains(&table).iter().sum::<u32>() as usize, model.len());
            for (value, hash) in model {
                prop_assert!(table.remove(hash, value));
            }
            prop_assert!(table.is_empty());
        }
    }
}
