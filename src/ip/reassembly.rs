//! Fragments become datagrams again (RFC 791 section 3.2, RFC 8200 section 4.5), within limits.
//!
//! All that is here may come from somebody who sends first fragments and nothing else (RFC 8900 section 3.7). So memory is
//! counted as it is taken; where there is none left, the oldest datagram goes. No source may have more than its part, so
//! that one that floods throws out what is its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::fragment::{MAX_LEN, UNIT};
use super::partial::{Partial, Placed};
use crate::counters::DropReason;
use crate::time::Instant;
use crate::wire::extension::{self, FRAGMENT_HEADER_LEN};
use crate::wire::{Fragment, IpPacket, ParameterProblem, Refused, ipv6, protocol};

/// How long fragments wait for the others, from the first to arrive.
// 1122-3.3.2-2, 8200-4.5-1: the same for both families, and not changed by later fragments.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Datagrams that may wait at once: beyond what an honest host has, and few enough to be looked after when all expire.
pub const MAX_DATAGRAMS: usize = 4_096;

/// The part of one source, an IPv4 address or an IPv6 network of 64 bits, in the number of datagrams and in memory.
const SOURCE_DATAGRAMS: usize = MAX_DATAGRAMS / 4;
/// One datagram in the smallest fragments takes 13 times its length.
const SOURCE_MEMORY_PART: usize = 2;

/// The least memory, in octets, with which the longest datagram can be reassembled from fragments of the smallest MTU.
// 1122-3.3.2-1
pub const MIN_MEMORY: usize = 256 << 10;

/// Where the reports of RFC 8200 section 4.5 point.
const PAYLOAD_LENGTH_AT: u32 = 4;
/// Octets from the start of a fragment header to its offset field.
const OFFSET_FIELD_AT: usize = 2;

/// What all fragments of a datagram have in common.
// 791-3.2-1, 8200-4.5-1: over IPv6 the protocol is not a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What the sender chose.
    pub identification: u32,
    /// The protocol of IPv4; 0 over IPv6.
    pub protocol: u8,
}

impl Key {
    /// That of a fragment; `None` for a whole packet.
    pub fn of(packet: &IpPacket<'_>) -> Option<Key> {
        let identification = packet.fragment?.identification;
        let protocol = if packet.source.is_ipv6() { 0 } else { packet.protocol };
        Some(Key { source: packet.source, destination: packet.destination, identification, protocol })
    }

    fn order(&self) -> Order {
        let family = u16::from(self.source.is_ipv6()) << 8;
        (self.identification, bits(self.source), bits(self.destination), family | u16::from(self.protocol))
    }
}

/// A [`Key`] in numbers: a flood of fragments spends most of its time in comparing them.
type Order = (u32, u128, u128, u16);

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Who sends something, as far as limits are concerned: an IPv4 address, or an IPv6 network of 64 bits, which a host has for
/// itself.
type Source = u128;

fn source_of(key: &Key) -> Source {
    match key.source {
        IpAddr::V4(v4) => 1 << 64 | u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64,
    }
}

/// A datagram of which not all fragments came in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The first fragment, as it came, if it came and was to one host: what is to be reported to its sender.
    // 1122-3.3.2-2, 8200-4.5-1
    pub first: Option<Vec<u8>>,
}

/// What a source has here.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    datagrams: usize,
    memory: usize,
}

/// All datagrams that are not whole yet.
#[derive(Clone, Debug)]
pub struct Reassembly {
    /// Octets of memory that all may take together.
    limit: usize,
    memory: usize,
    /// By age: each has the number after that of the one before.
    datagrams: BTreeMap<u64, (Key, Partial)>,
    next: u64,
    numbers: BTreeMap<Order, u64>,
    by_source: BTreeSet<(Source, u64)>,
    sources: BTreeMap<Source, Usage>,
    evicted: u64,
    failed: u64,
}

impl Reassembly {
    /// With so many octets of memory.
    pub fn new(limit: usize) -> Reassembly {
        Reassembly {
            limit,
            memory: 0,
            datagrams: BTreeMap::new(),
            next: 0,
            numbers: BTreeMap::new(),
            by_source: BTreeSet::new(),
            sources: BTreeMap::new(),
            evicted: 0,
            failed: 0,
        }
    }

    /// Octets of memory in use: at most the limit.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Datagrams that wait for fragments, or are remembered as contradictory.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Datagrams that had to make room for others.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Datagrams that never became whole, for whatever reason, these included.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// When [`Reassembly::expire`] is next needed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.datagrams.first_key_value().map(|(_, (_, partial))| partial.born + TIMEOUT)
    }

    /// Takes a fragment that arrived at `now`, which never goes back; `unicast` if it is to one host. The answer is the whole
    /// datagram if this was the last one missing.
    ///
    /// # Errors
    /// Why the fragment is dropped, and what its sender is to be told.
    pub fn insert(&mut self, packet: &IpPacket<'_>, unicast: bool, now: Instant) -> Result<Option<Vec<u8>>, Refused> {
        let (Some(key), Some(place)) = (Key::of(packet), packet.fragment) else {
            return Err(DropReason::Fragment.into());
        };
        check(packet, place)?;
        let number = match self.numbers.get(&key.order()) {
            Some(&number) => number,
            None => self.open(key, unicast, now),
        };
        let Some((_, partial)) = self.datagrams.get(&number) else { return Err(DropReason::Fragment.into()) };
        if partial.spoiled {
            return Err(DropReason::FragmentOverlap.into());
        }
        match partial.judge(place, packet.payload) {
            Placed::Duplicate => return Err(DropReason::FragmentDuplicate.into()),
            Placed::Overlap => {
                self.discard(number, key);
                return Err(DropReason::FragmentOverlap.into());
            }
            Placed::New => {}
        }
        let cost = Partial::cost(packet, place);
        if !self.make_room(number, source_of(&key), cost) {
            self.evict(Some(number));
            return Err(DropReason::FragmentMemory.into());
        }
        let Some((_, partial)) = self.datagrams.get_mut(&number) else { return Err(DropReason::Fragment.into()) };
        partial.keep(packet, place);
        let complete = partial.is_complete();
        self.charge(source_of(&key), cost);
        if !complete {
            return Ok(None);
        }
        let Some(partial) = self.remove(number) else { return Ok(None) };
        let assembled = partial.assemble();
        self.failed += u64::from(assembled.is_err());
        Ok(Some(assembled?))
    }

    /// Takes out one datagram whose time is over.
    pub fn expire(&mut self, now: Instant) -> Option<Expired> {
        while self.next_deadline()? <= now {
            let number = *self.datagrams.first_key_value()?.0;
            let partial = self.remove(number)?;
            // What was discarded is now forgotten; no more.
            if !partial.spoiled {
                self.failed += 1;
                let first = if partial.unicast { partial.first() } else { None };
                return Some(Expired { first });
            }
        }
        None
    }

    /// Begins a datagram; the oldest makes room where there are too many.
    fn open(&mut self, key: Key, unicast: bool, now: Instant) -> u64 {
        let (number, source) = (self.next, source_of(&key));
        self.next += 1;
        if self.sources.get(&source).is_some_and(|usage| usage.datagrams >= SOURCE_DATAGRAMS) {
            self.evict(self.oldest_of(source, number));
        }
        if self.datagrams.len() >= MAX_DATAGRAMS {
            self.evict(self.oldest(number));
        }
        let partial = Partial::new(now, unicast);
        let memory = partial.memory;
        self.datagrams.insert(number, (key, partial));
        self.numbers.insert(key.order(), number);
        self.by_source.insert((source, number));
        self.sources.entry(source).or_default().datagrams += 1;
        self.charge(source, memory);
        number
    }

    /// Makes room for `cost` octets of the datagram `number`: its source's oldest ones go, then the oldest of all. False if
    /// the datagram itself takes more than its source may have.
    fn make_room(&mut self, number: u64, source: Source, cost: usize) -> bool {
        while self.sources.get(&source).is_some_and(|usage| usage.memory + cost > self.limit / SOURCE_MEMORY_PART) {
            if !self.evict(self.oldest_of(source, number)) {
                return false;
            }
        }
        while self.memory + cost > self.limit {
            if !self.evict(self.oldest(number)) {
                return false;
            }
        }
        true
    }

    /// The oldest datagram but this one.
    fn oldest(&self, but: u64) -> Option<u64> {
        self.datagrams.keys().copied().find(|&number| number != but)
    }

    /// The oldest datagram of a source but this one.
    fn oldest_of(&self, source: Source, but: u64) -> Option<u64> {
        let own = self.by_source.range((source, 0)..=(source, u64::MAX));
        own.map(|&(_, number)| number).find(|&number| number != but)
    }

    fn evict(&mut self, number: Option<u64>) -> bool {
        let evicted = number.and_then(|number| self.remove(number)).is_some();
        self.evicted += u64::from(evicted);
        self.failed += u64::from(evicted);
        evicted
    }

    /// Fragments of a datagram contradict each other: it goes.
    fn discard(&mut self, number: u64, key: Key) {
        self.failed += 1;
        // 5722-4-1: over IPv6 with all that is still to come. The few identifications of IPv4 are free for others at once.
        if !key.source.is_ipv6() {
            self.remove(number);
            return;
        }
        let Some((_, partial)) = self.datagrams.get_mut(&number) else { return };
        let before = partial.memory;
        partial.spoil();
        let freed = before - partial.memory;
        self.memory -= freed;
        if let Some(usage) = self.sources.get_mut(&source_of(&key)) {
            usage.memory -= freed;
        }
    }

    fn charge(&mut self, source: Source, octets: usize) {
        self.memory += octets;
        self.sources.entry(source).or_default().memory += octets;
    }

    fn remove(&mut self, number: u64) -> Option<Partial> {
        let (key, partial) = self.datagrams.remove(&number)?;
        let source = source_of(&key);
        self.numbers.remove(&key.order());
        self.by_source.remove(&(source, number));
        self.memory -= partial.memory;
        if let Some(usage) = self.sources.get_mut(&source) {
            usage.datagrams -= 1;
            usage.memory -= partial.memory;
            if usage.datagrams == 0 {
                self.sources.remove(&source);
            }
        }
        Some(partial)
    }
}

/// What can be said about a fragment without looking at others.
fn check(packet: &IpPacket<'_>, place: Fragment) -> Result<(), Refused> {
    // Such a one says nothing, and would be in nobody's way.
    if packet.payload.is_empty() {
        return Err(DropReason::Fragment.into());
    }
    let headers_len = packet.packet.len() - packet.payload.len();
    let end = place.offset as usize + packet.payload.len();
    let whole_units = !place.more || packet.payload.len().is_multiple_of(UNIT);
    if !packet.source.is_ipv6() {
        // 791-3.2-3: what would be longer than a datagram can be (the ping of death).
        if !whole_units || headers_len + end > MAX_LEN {
            return Err(DropReason::Fragment.into());
        }
        // 1858-3: ports and flags of TCP lie in the first fragment, and no other one comes near them.
        let hides = packet.protocol == protocol::TCP
            && (place.offset == 0 && packet.payload.len() < MIN_TCP || place.offset as usize == UNIT);
        return if hides { Err(DropReason::FragmentTiny.into()) } else { Ok(()) };
    }
    if !whole_units {
        // 8200-4.5-2
        return refuse(DropReason::Fragment, 0, PAYLOAD_LENGTH_AT);
    }
    let fragment_header = headers_len - FRAGMENT_HEADER_LEN;
    if fragment_header - ipv6::HEADER_LEN + end > MAX_LEN {
        // 8200-4.5-3
        return refuse(DropReason::Fragment, 0, (fragment_header + OFFSET_FIELD_AT) as u32);
    }
    if place.offset == 0 && !has_all_headers(packet.packet) {
        // 7112-5
        return refuse(DropReason::FragmentTiny, 3, 0);
    }
    Ok(())
}

fn refuse(reason: DropReason, code: u8, pointer: u32) -> Result<(), Refused> {
    let problem = ParameterProblem { code, pointer, even_if_multicast: false };
    Err(Refused { reason, parameter_problem: Some(problem) })
}

/// Octets of a TCP header without options.
const MIN_TCP: usize = 20;

/// Whether the first fragment of an IPv6 packet has all its headers, that of the upper layer without options.
fn has_all_headers(packet: &[u8]) -> bool {
    let Some((protocol, rest)) = extension::upper_layer(packet) else { return false };
    let needed = match protocol {
        protocol::TCP => MIN_TCP,
        protocol::UDP | protocol::ICMPV6 => 8,
        protocol::NO_NEXT_HEADER => 0,
        _ => 1,
    };
    rest.len() >= needed
}
