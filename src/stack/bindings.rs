//! Who is bound to which address and port: found by a hash, and nothing is bound twice that must not be.
//!
//! ```text
//!   10.0.0.2:80   exact                   In this order a packet's destination is looked up.
//!   0.0.0.0:80    any address             A kind of which there is none costs no look-up,
//!   10.0.0.2:*    any port                so that mostly there is one.
//!   0.0.0.0:*     any address and port
//! ```
//!
//! `[::]` stands for both families unless it is bound to IPv6 only, and is found under `0.0.0.0` as well.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Stack;
use super::flow::MAX_ENTRIES;
use super::flow_table::{FlowHasher, FlowTable};
use super::slab::{Slab, SlabKey};
use crate::error::SocketError;
use crate::ip::address::canonical;
use crate::ip::bind::BindOptions;

/// What is bound, and so what may be bound beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TCP listeners.
    Listeners,
    /// UDP sockets.
    Datagrams,
}

/// An address and a port; port 0 stands for all ports, an unspecified address for all of its family.
type Key = (u16, IpAddr);

/// All that are bound to one key.
#[derive(Debug)]
struct Group<H> {
    key: Key,
    /// Those that take what arrives, in the order of binding.
    open: Vec<(H, BindOptions)>,
    /// Those that are found in another way and only have the address: connected sockets.
    reserved: Vec<(H, BindOptions)>,
}

impl<H: Copy> Group<H> {
    /// Who gets what arrives, by its hash where all of them share.
    fn choose(&self, hash: u64) -> Option<H> {
        let shared = self.open.iter().all(|(_, options)| options.reuse_port);
        let spread =
            if shared { (hash % self.open.len().max(1) as u64) as usize } else { self.open.len().wrapping_sub(1) };
        self.open.get(spread).map(|&(handle, _)| handle)
    }
}

/// What is bound where. `H` is the handle of a socket.
#[derive(Debug)]
pub(super) struct Bindings<H> {
    kind: Kind,
    hasher: FlowHasher,
    groups: Slab<Group<H>>,
    table: FlowTable<SlabKey>,
    /// How many groups there are of each kind, in the order of the look-ups.
    kinds: [u32; 4],
    /// The same groups in order, for those who bind.
    ordered: BTreeMap<Key, SlabKey>,
}

impl<H: Copy + Eq> Bindings<H> {
    pub(super) fn new(kind: Kind, hasher: FlowHasher) -> Bindings<H> {
        Bindings {
            kind,
            hasher,
            groups: Slab::with_limit(MAX_ENTRIES),
            table: FlowTable::new(),
            kinds: [0; 4],
            ordered: BTreeMap::new(),
        }
    }

    /// Whose is what arrives at `local`. `hash` is the keyed hash of both its ends, which is asked for where several share.
    pub(super) fn find(&self, local: SocketAddr, hash: impl Fn() -> u64) -> Option<H> {
        let (any, port) = (any_of(local.ip()), local.port());
        let keys = [(port, local.ip()), (port, any), (0, local.ip()), (0, any)];
        let asked = keys.into_iter().zip(self.kinds).filter(|&(_, groups)| groups > 0);
        asked.filter_map(|(key, _)| self.group(key)).find_map(|group| match group.open.as_slice() {
            [(only, _)] => Some(*only),
            _ => group.choose(hash()),
        })
    }

    /// All that are bound to where this is for, connected ones included.
    pub(super) fn all(&self, local: SocketAddr) -> impl Iterator<Item = H> {
        let (any, port) = (any_of(local.ip()), local.port());
        let keys = [(port, local.ip()), (port, any), (0, local.ip()), (0, any)];
        let groups = keys.into_iter().filter_map(|key| self.group(key));
        groups.flat_map(|group| group.open.iter().chain(&group.reserved)).map(|&(handle, _)| handle)
    }

    /// Somebody is bound to this very port.
    pub(super) fn has_port(&self, port: u16) -> bool {
        port != 0 && self.on_port(port).next().is_some()
    }

    /// The first one bound to exactly this address and port.
    pub(super) fn at(&self, local: SocketAddr) -> Option<H> {
        let group = self.ordered.get(&(local.port(), local.ip()))?;
        self.groups.get(*group)?.open.first().map(|&(handle, _)| handle)
    }

    /// This may be bound beside all that is.
    // docs/decisions.md: the rules of Linux. Two bindings meet where one packet could be for both.
    pub(super) fn is_free(&self, local: SocketAddr, options: &BindOptions) -> bool {
        let may_share = |other: &BindOptions| {
            // Where somebody listens, SO_REUSEADDR does not help.
            let by_address = self.kind == Kind::Datagrams && options.reuse_address && other.reuse_address;
            by_address || options.reuse_port && other.reuse_port
        };
        keys(local, options).all(|(port, address)| {
            let meets = |other: IpAddr| {
                let same_family = other.is_ipv6() == address.is_ipv6();
                // Who has any port of an address yields to who names one, so these may lie behind each other.
                let nested = port != 0 && same_family && (other.is_unspecified() || address.is_unspecified());
                other == address || nested
            };
            let others =
                self.on_port(port).filter(|(key, _)| meets(key.1)).filter_map(|(_, group)| self.groups.get(group));
            others.flat_map(|group| group.open.iter().chain(&group.reserved)).all(|(_, other)| may_share(other))
        })
    }

    pub(super) fn insert(&mut self, local: SocketAddr, options: &BindOptions, handle: H) {
        for key in keys(local, options) {
            let group = self.ordered.get(&key).copied().or_else(|| {
                let group = self.groups.insert(Group { key, open: Vec::new(), reserved: Vec::new() })?;
                self.ordered.insert(key, group);
                self.table.insert(self.hash(key), group);
                self.kinds[kind_of(key)] += 1;
                Some(group)
            });
            if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
                group.open.push((handle, *options));
            }
        }
    }

    pub(super) fn remove(&mut self, local: SocketAddr, options: &BindOptions, handle: H) {
        for key in keys(local, options) {
            let Some(found) = self.ordered.get(&key).copied() else { continue };
            let Some(group) = self.groups.get_mut(found) else { continue };
            group.open.retain(|&(other, _)| other != handle);
            group.reserved.retain(|&(other, _)| other != handle);
            if group.open.is_empty() && group.reserved.is_empty() {
                self.groups.remove(found);
                self.ordered.remove(&key);
                self.table.remove(self.hash(key), found);
                self.kinds[kind_of(key)] -= 1;
            }
        }
    }

    /// Whether what arrives at its address is for this one, or it only has the address.
    pub(super) fn set_open(&mut self, local: SocketAddr, options: &BindOptions, handle: H, open: bool) {
        for key in keys(local, options) {
            let group = self.ordered.get(&key).and_then(|&group| self.groups.get_mut(group));
            let Some(Group { open: takes, reserved, .. }) = group else { continue };
            let (from, to) = if open { (reserved, takes) } else { (takes, reserved) };
            if let Some(at) = from.iter().position(|&(other, _)| other == handle) {
                to.push(from.remove(at));
            }
        }
    }

    fn group(&self, key: Key) -> Option<&Group<H>> {
        let is_it = |group| self.groups.get(group).is_some_and(|group| group.key == key);
        self.table.find(self.hash(key), is_it).and_then(|group| self.groups.get(group))
    }

    fn hash(&self, (port, address): Key) -> u64 {
        self.hasher.hash((address, port), (any_of(address), 0))
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = (Key, SlabKey)> {
        // IPv4 comes before IPv6 in the order of addresses.
        let (first, last) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
        self.ordered.range((port, first)..=(port, last)).map(|(&key, &group)| (key, group))
    }
}

/// The address that stands for all of a family.
fn any_of(address: IpAddr) -> IpAddr {
    if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

/// In which of the look-ups a key is found.
fn kind_of((port, address): Key) -> usize {
    usize::from(address.is_unspecified()) + if port == 0 { 2 } else { 0 }
}

/// Under what a binding is found.
fn keys(local: SocketAddr, options: &BindOptions) -> impl Iterator<Item = Key> + use<> {
    let port = if options.any_port { 0 } else { local.port() };
    let both = local.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !options.only_v6;
    let v4 = both.then_some((port, IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    std::iter::once((port, local.ip())).chain(v4)
}

impl Stack {
    /// The address and port that a socket is to have, as it is bound: IPv4-mapped addresses are IPv4's.
    ///
    /// # Errors
    /// `AddressNotAvailable` for an address that is not ours.
    pub(super) fn bindable(&self, local: SocketAddr) -> Result<SocketAddr, SocketError> {
        let local = canonical(local);
        if !local.ip().is_unspecified() && !self.may_be_local(local.ip()) {
            return Err(SocketError::AddressNotAvailable);
        }
        Ok(local)
    }

    /// A port for a socket that did not ask for one: not one of those that are taken, nor one that is `busy` in another way.
    ///
    /// # Errors
    /// `AddressInUse` when there is none left.
    // 6056-3.3: unpredictable for UDP and for listeners too.
    pub(super) fn free_port<H: Copy + Eq>(
        &self,
        taken: &Bindings<H>,
        busy: impl Fn(u16) -> bool,
    ) -> Result<u16, SocketError> {
        let is_free = |port| self.share.owns(port) && !taken.has_port(port) && !busy(port);
        self.ports.pick_without_peer(self.share.index(), is_free).ok_or(SocketError::AddressInUse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(kind: Kind) -> Bindings<u32> {
        Bindings::new(kind, FlowHasher::new([7; 16]))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    const PLAIN: BindOptions = BindOptions { reuse_address: false, reuse_port: false, only_v6: false, any_port: false };
    const ANY_PORT: BindOptions = BindOptions { any_port: true, ..PLAIN };

    fn options(letters: &str) -> BindOptions {
        let has = |letter| letters.contains(letter);
        BindOptions { reuse_address: has('a'), reuse_port: has('p'), only_v6: has('6'), any_port: false }
    }

    /// What Linux 6 answers to the second of two on one port, for TCP listeners and for UDP sockets: the options of the
    /// first and the second (a: SO_REUSEADDR, p: SO_REUSEPORT), and whether both may be there where their addresses meet.
    const SHARING: [(&str, &str, bool, bool); 8] = [
        ("", "", false, false),
        ("a", "", false, false),
        ("", "a", false, false),
        ("a", "a", false, true),
        ("p", "", false, false),
        ("p", "p", true, true),
        ("a", "p", false, false),
        ("ap", "a", false, true),
    ];

    /// Addresses (6: IPV6_V6ONLY), and with which of these they meet, in order, as Linux 6 answers.
    const MEETING: [(&str, &str, &str); 6] = [
        ("127.0.0.1", "", "x.x.x."),
        ("127.0.0.2", "", ".xx.x."),
        ("0.0.0.0", "", "xxx.x."),
        ("::1", "", "...xxx"),
        ("::", "", "xxxxxx"),
        ("::", "6", "...xxx"),
    ];

    #[test]
    fn what_may_be_bound_beside_what_is_what_linux_says() {
        let end = |text: &str, port| SocketAddr::new(text.parse().unwrap(), port);
        for (first, only_v6, meets) in MEETING {
            for ((second, second_only_v6, _), meets) in MEETING.iter().zip(meets.chars()) {
                for (a, b, listeners, datagrams) in SHARING {
                    for (kind, shared) in [(Kind::Listeners, listeners), (Kind::Datagrams, datagrams)] {
                        let mut bindings = bindings(kind);
                        let a = options(&(only_v6.to_owned() + a));
                        bindings.insert(end(first, 80), &a, 1);
                        let b = options(&((*second_only_v6).to_owned() + b));
                        let expected = shared || meets == '.';
                        assert_eq!(bindings.is_free(end(second, 80), &b), expected, "{first} {a:?}, {second} {b:?}");
                        assert!(bindings.is_free(end(second, 81), &b));
                        bindings.remove(end(first, 80), &a, 1);
                        assert!(bindings.is_free(end(second, 80), &b), "nothing is left");
                    }
                }
            }
        }
    }

    /// Exact, any address, any port, any of both: whatever is there.
    #[test]
    fn the_most_exact_binding_is_found_first() {
        let all = [("10.0.0.2:80", PLAIN), ("0.0.0.0:80", PLAIN), ("10.0.0.2:0", ANY_PORT), ("0.0.0.0:9", ANY_PORT)];
        let there = |set: u32, number: u32| set & 1 << number != 0;
        for set in 0..16 {
            let mut bindings = bindings(Kind::Listeners);
            for (number, (local, options)) in (0..).zip(all).filter(|&(number, _)| there(set, number)) {
                bindings.insert(address(local), &options, number);
            }
            for (asked, order) in [
                ("10.0.0.2:80", &[0, 1, 2, 3][..]),
                ("10.0.0.2:81", &[2, 3]),
                ("10.0.0.3:80", &[1, 3]),
                ("8.8.8.8:9", &[3]),
                ("[fd00::2]:80", &[]),
            ] {
                let expected = order.iter().copied().find(|&number| there(set, number));
                assert_eq!(bindings.find(address(asked), || 0), expected, "{asked} of {set:b}");
            }
            assert_eq!(bindings.has_port(80), there(set, 0) || there(set, 1));
            assert!(!bindings.has_port(9) && !bindings.has_port(0), "any port is none in particular");
            for (number, (local, options)) in (0..).zip(all) {
                bindings.remove(address(local), &options, number);
            }
            assert!(bindings.groups.is_empty() && bindings.table.is_empty() && bindings.kinds == [0; 4]);
            assert!(bindings.ordered.is_empty());
        }
    }

    #[test]
    fn one_look_up_where_there_is_one_kind() {
        let mut bindings = bindings(Kind::Listeners);
        bindings.insert(address("10.0.0.2:80"), &PLAIN, 1);
        assert_eq!(bindings.kinds, [1, 0, 0, 0]);
        bindings.insert(address("[::]:80"), &options("6"), 2);
        bindings.insert(address("[::]:81"), &PLAIN, 3);
        assert_eq!(bindings.kinds, [1, 3, 0, 0]);
        bindings.insert(address("10.0.0.2:0"), &ANY_PORT, 4);
        assert!(!bindings.is_free(address("10.0.0.2:0"), &ANY_PORT) && bindings.is_free(address("[::]:0"), &ANY_PORT));
        bindings.insert(address("[::]:0"), &ANY_PORT, 5);
        assert_eq!(bindings.kinds, [1, 3, 1, 2]);
        assert!(!bindings.is_free(address("0.0.0.0:0"), &ANY_PORT), "[::] is for both families");
    }

    #[test]
    fn both_families_unless_it_is_for_ipv6_only() {
        for (letters, v4) in [("", Some(1)), ("6", None)] {
            let mut bindings = bindings(Kind::Datagrams);
            bindings.insert(address("[::]:80"), &options(letters), 1);
            assert_eq!(bindings.find(address("10.0.0.2:80"), || 0), v4);
            assert_eq!(bindings.find(address("[fd00::2]:80"), || 0), Some(1));
        }
    }

    /// All members of a group get their part, each flow always the same; a group in which one does not share has one owner.
    #[test]
    fn a_shared_port_is_spread_by_hash() {
        let mut bindings = bindings(Kind::Listeners);
        for member in 0..3 {
            bindings.insert(address("0.0.0.0:80"), &options("p"), member);
        }
        let mut parts = [0; 3];
        for hash in 0..3_000 {
            let found = bindings.find(address("10.0.0.2:80"), || hash).unwrap();
            assert_eq!(bindings.find(address("10.0.0.2:80"), || hash), Some(found));
            parts[found as usize] += 1;
        }
        assert_eq!(parts, [1_000; 3]);
        bindings.remove(address("0.0.0.0:80"), &options("p"), 1);
        let left: Vec<u32> = (0..4).filter_map(|hash| bindings.find(address("10.0.0.2:80"), || hash)).collect();
        assert_eq!(left, [0, 2, 0, 2]);

        let mut bindings = self::bindings(Kind::Datagrams);
        for (member, letters) in [(0, "ap"), (1, "a"), (2, "ap")] {
            bindings.insert(address("10.0.0.2:53"), &options(letters), member);
        }
        assert!((0..10).all(|hash| bindings.find(address("10.0.0.2:53"), || hash) == Some(2)), "the last one bound");
        bindings.set_open(address("10.0.0.2:53"), &options("ap"), 2, false);
        assert_eq!(bindings.find(address("10.0.0.2:53"), || 0), Some(1), "the other one is connected");
        assert!(!bindings.is_free(address("10.0.0.2:53"), &options("p")), "but has the address");
        bindings.set_open(address("10.0.0.2:53"), &options("a"), 1, false);
        bindings.set_open(address("10.0.0.2:53"), &options("ap"), 0, false);
        bindings.insert(address("0.0.0.0:53"), &options("a"), 3);
        assert_eq!(bindings.find(address("10.0.0.2:53"), || 0), Some(3));
        bindings.set_open(address("10.0.0.2:53"), &options("ap"), 2, true);
        assert_eq!(bindings.find(address("10.0.0.2:53"), || 0), Some(2));
    }
}
