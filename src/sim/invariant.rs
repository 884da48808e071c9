//! What must hold of every packet on the wire between two stacks, whatever the network does to them.
//!
//! [`Wire`] stands where a capture would stand: it sees what each side sends and what reaches the other one, and keeps
//! for each connection what both sides can know. A packet that breaks a rule is a panic with the packet in its text.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher24;

use super::Side;
use crate::time::Instant;
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{parse_ip, protocol};

/// The ports of a connection, that of side A first, and whether it runs over IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The port on side A.
    pub a: u16,
    /// The port on side B.
    pub b: u16,
    /// Over IPv6.
    pub ipv6: bool,
}

/// The octet that `from` sends at an offset of its stream: what the applications write, and what the wire must carry.
pub fn stream_octet(pair: Pair, from: Side, offset: u64) -> u8 {
    let stream =
        u64::from(pair.a) << 32 | u64::from(pair.b) << 16 | u64::from(pair.ipv6) << 1 | u64::from(from == Side::A);
    let mixed = (offset + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed >> 53) as u8
}

/// Delayed acknowledgments wait less than this (RFC 9293 section 3.8.6.3).
const ACK_LIMIT: Duration = Duration::from_millis(500);

/// One direction of a connection: what its sender has said, and what it may know.
#[derive(Clone, Debug, Default)]
struct Half {
    /// Sequence number and options of its SYN.
    syn: Option<TcpHeader>,
    /// How many octets of sequence space it has sent, SYN and FIN included.
    sent: u32,
    /// Where its FIN stands, counted as `sent`.
    fin: Option<u32>,
    /// The highest acknowledgment that it has sent, and the right edge that it has offered.
    offered: Option<(u32, u32)>,
    /// The right edge that has reached it, counted as `sent`.
    allowed: u32,
    /// How much of what it sent was acknowledged, as far as it knows; counted as `sent`.
    acknowledged: u32,
    /// Since when it owes an acknowledgment for text in order.
    owes: Option<Instant>,
    /// RSTs sent and received.
    resets: (u32, u32),
}

impl Half {
    fn iss(&self) -> u32 {
        self.syn.map_or(0, |syn| syn.seq)
    }

    /// Both FINs have passed as far as this side can know: it may have forgotten the connection.
    fn may_be_over(&self, peer: &Half) -> bool {
        peer.fin.is_some() && self.fin.is_some_and(|fin| self.acknowledged > fin)
    }
}

/// `a - b` in sequence space, signed.
fn distance(a: u32, b: u32) -> i64 {
    i64::from(a.wrapping_sub(b) as i32)
}

/// All that passes between two sides; see the module's text.
#[derive(Clone, Debug)]
pub struct Wire {
    flows: BTreeMap<Pair, [Half; 2]>,
    mtu: [usize; 2],
    /// RSTs are no mistake: an application aborts, or lets go of what it has not read.
    pub resets_allowed: bool,
    /// Whether a side that breaks a rule is a panic; of a foreign stack it is only noted what it says.
    pub strict: [bool; 2],
    /// Compare the text with [`stream_octet`].
    pub check_text: bool,
    /// Print each segment that is sent or delivered, with numbers relative to the SYNs.
    pub print: bool,
    /// Packets sent.
    pub packets: u64,
    /// RSTs sent on connections that were not over.
    pub resets: u64,
    hasher: SipHasher24,
}

fn index(side: Side) -> usize {
    usize::from(side == Side::B)
}

impl Wire {
    /// Between hosts with these MTUs.
    pub fn new(mtu: [usize; 2]) -> Wire {
        Wire {
            flows: BTreeMap::new(),
            mtu,
            resets_allowed: false,
            strict: [true; 2],
            check_text: true,
            print: false,
            packets: 0,
            resets: 0,
            hasher: SipHasher24::new(),
        }
    }

    /// A hash over all packets and the times at which they were sent.
    pub fn trace_hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// A packet leaves `side`.
    ///
    /// # Panics
    /// Where it breaks a rule.
    pub fn sent(&mut self, now: Instant, side: Side, packet: &[u8]) {
        self.packets += 1;
        self.hasher.write_u64(now.as_nanos());
        self.hasher.write_u8(index(side) as u8);
        self.hasher.write(packet);
        let ip = parse_ip(packet).unwrap_or_else(|refused| panic!("{now:?} {side:?}: {refused:?}"));
        assert_eq!(ip.packet.len(), packet.len(), "{now:?} {side:?}: the IP length is that of the packet");
        assert!(packet.len() <= self.mtu[index(side)], "{now:?} {side:?}: {} octets", packet.len());
        assert!(ip.fragment.is_none() && ip.hop_limit > 0, "{now:?} {side:?}: {ip:?}");
        if ip.protocol != protocol::TCP {
            return;
        }
        assert!(tcp::checksum_ok(ip.source, ip.destination, ip.payload), "{now:?} {side:?}: checksum");
        let (header, text) = tcp::parse(ip.payload).unwrap_or_else(|reason| panic!("{now:?} {side:?}: {reason}"));
        let pair = pair_of(side, &header, ip.source.is_ipv6());
        let both = self.flows.entry(pair).or_default();
        let strict = self.strict[index(side)];
        let (check_text, resets_allowed) = (self.check_text, self.resets_allowed || !strict);
        let [own, peer] = halves(both, side);
        let check = Check { now, side, pair, header: &header, text, strict };
        if self.print {
            check.print("sends", own, peer);
        }
        if header.flags.contains(Flags::RST) {
            own.resets.0 += 1;
            own.owes = None;
            if !own.may_be_over(peer) {
                self.resets += 1;
                assert!(resets_allowed, "{check:?}: nobody asked for a reset");
            }
            return;
        }
        check.syn_and_options(own, peer);
        check.text(own, peer, check_text);
        check.acknowledgment(own, peer);
    }

    /// A packet, perhaps damaged on the way, reaches `side`.
    pub fn delivered(&mut self, now: Instant, side: Side, packet: &[u8]) {
        let Ok(ip) = parse_ip(packet) else { return };
        if ip.protocol != protocol::TCP || !tcp::checksum_ok(ip.source, ip.destination, ip.payload) {
            return;
        }
        let Ok((header, text)) = tcp::parse(ip.payload) else { return };
        let pair = pair_of(side.other(), &header, ip.source.is_ipv6());
        let Some(both) = self.flows.get_mut(&pair) else { return };
        let [own, peer] = halves(both, side);
        if self.print {
            Check { now, side, pair, header: &header, text, strict: false }.print("gets", peer, own);
        }
        if header.flags.contains(Flags::RST) {
            own.resets.1 += 1;
            own.owes = None;
            return;
        }
        let shift = if header.flags.contains(Flags::SYN) { 0 } else { shift(peer, own) };
        let window = u32::from(header.window) << shift;
        if header.flags.contains(Flags::ACK) {
            let acknowledged = header.ack.wrapping_sub(own.iss());
            // An ACK of a connection before this one on the same ports means nothing to it.
            if own.syn.is_some() && acknowledged <= own.sent {
                own.acknowledged = own.acknowledged.max(acknowledged);
                own.allowed = own.allowed.max(acknowledged + window);
            }
        } else if header.flags.contains(Flags::SYN) {
            own.allowed = own.allowed.max(1 + window);
        }
        let owes = !text.is_empty() && own.resets == (0, 0);
        if owes && own.offered.is_some_and(|(ack, edge)| ack == header.seq && distance(edge, ack) >= text.len() as i64)
        {
            own.owes.get_or_insert(now);
        }
    }

    /// Time has passed.
    ///
    /// # Panics
    /// Where an acknowledgment is overdue.
    pub fn passed(&self, now: Instant) {
        for (pair, both) in &self.flows {
            for (side, half) in [Side::A, Side::B].into_iter().zip(both) {
                let late = self.strict[index(side)] && half.owes.is_some_and(|since| now - since >= ACK_LIMIT);
                assert!(!late, "{now:?} {side:?} {pair:?}: owes an acknowledgment since {:?}", half.owes);
            }
        }
    }

    /// RSTs that a side has sent and received on a connection.
    pub fn resets_of(&self, pair: Pair, side: Side) -> (u32, u32) {
        self.flows.get(&pair).map_or((0, 0), |both| both[index(side)].resets)
    }

    /// Forgets a connection that is over on both sides, so that its ports can be used again.
    pub fn forget(&mut self, pair: Pair) {
        self.flows.remove(&pair);
    }
}

fn pair_of(from: Side, header: &TcpHeader, ipv6: bool) -> Pair {
    match from {
        Side::A => Pair { a: header.source_port, b: header.destination_port, ipv6 },
        Side::B => Pair { a: header.destination_port, b: header.source_port, ipv6 },
    }
}

/// That of `side`, and the other one.
fn halves(both: &mut [Half; 2], side: Side) -> [&mut Half; 2] {
    let [a, b] = both;
    match side {
        Side::A => [a, b],
        Side::B => [b, a],
    }
}

/// How `own` scales the windows that it sends.
fn shift(own: &Half, peer: &Half) -> u8 {
    let scale = |half: &Half| half.syn.and_then(|syn| syn.options.window_scale);
    match (scale(own), scale(peer)) {
        (Some(own), Some(_)) => own.min(14),
        _ => 0,
    }
}

/// A segment that leaves, for its checks.
#[derive(Debug)]
struct Check<'a> {
    now: Instant,
    side: Side,
    pair: Pair,
    header: &'a TcpHeader,
    text: &'a [u8],
    strict: bool,
}

impl Check<'_> {
    fn print(&self, verb: &str, from: &Half, to: &Half) {
        let Check { now, side, pair, header, text, .. } = self;
        let (seq, ack) = (header.seq.wrapping_sub(from.iss()), header.ack.wrapping_sub(to.iss()));
        eprintln!(
            "{now:?} {}:{} {side:?} {verb} {} seq {seq} ack {ack} len {} win {} sack {:?} ts {:?}",
            pair.a,
            pair.b,
            header.flags,
            text.len(),
            header.window,
            header.options.sack.iter().collect::<Vec<_>>(),
            header.options.timestamp.map(|timestamp| (timestamp.value, timestamp.echo)),
        );
    }

    fn fail(&self, rule: &str, own: &Half, peer: &Half) {
        if !self.strict {
            return;
        }
        let Check { now, side, pair, header, text, .. } = self;
        panic!(
            "{now:?} {side:?} {pair:?}: {rule}\n{header:?}, {} octets of text\nown {own:?}\npeer {peer:?}",
            text.len()
        );
    }

    /// What stands in a SYN and only there.
    fn syn_and_options(&self, own: &mut Half, peer: &Half) {
        let (header, options) = (self.header, &self.header.options);
        if header.flags.contains(Flags::SYN) {
            match own.syn {
                None => own.sent = 1,
                Some(first) if first.seq == header.seq => {}
                Some(_) => {
                    // Only a side that has forgotten the connection begins another one.
                    if !own.may_be_over(peer) && own.resets == (0, 0) {
                        self.fail("a SYN with another number", own, peer);
                    }
                    *own = Half { sent: 1, allowed: 1, ..Half::default() };
                }
            }
            own.syn = Some(*header);
            if options.mss.is_none() || !options.sack.is_empty() || !self.text.is_empty() {
                self.fail("a SYN has an MSS and neither SACK blocks nor text", own, peer);
            }
            return;
        }
        if own.syn.is_none() {
            self.fail("a segment before the SYN", own, peer);
        }
        if options.mss.is_some() || options.sack_permitted || options.window_scale.is_some() {
            self.fail("an option that belongs on a SYN", own, peer);
        }
        let both =
            |has: fn(&TcpHeader) -> bool| own.syn.as_ref().is_some_and(has) && peer.syn.as_ref().is_some_and(has);
        if options.timestamp.is_some() != both(|syn| syn.options.timestamp.is_some()) {
            self.fail("timestamps against what was agreed on", own, peer);
        }
        if !options.sack.is_empty() && !both(|syn| syn.options.sack_permitted) {
            self.fail("SACK blocks that were not agreed on", own, peer);
        }
        for (left, right) in options.sack.iter() {
            let end = peer.iss().wrapping_add(peer.sent);
            if distance(right, left) <= 0 || distance(right, end) > 0 {
                self.fail("a SACK block of what was never sent", own, peer);
            }
        }
    }

    /// Where the text lies, and what it says.
    fn text(&self, own: &mut Half, peer: &Half, check_text: bool) {
        let (header, text) = (self.header, self.text);
        let fin = header.flags.contains(Flags::FIN);
        let start = header.seq.wrapping_sub(own.iss()).wrapping_add(u32::from(header.flags.contains(Flags::SYN)));
        let length = text.len() as u32 + u32::from(fin);
        if length == 0 {
            // Nothing, at SND.NXT; a keep-alive, or an ACK beside a probe, is one before it.
            let syn = header.flags.contains(Flags::SYN);
            if !syn && (start > own.sent || start.wrapping_add(1) < own.sent) {
                self.fail("an empty segment that is not at SND.NXT", own, peer);
            }
            return;
        }
        let mss = peer.syn.and_then(|syn| syn.options.mss).unwrap_or(536).max(88);
        let options = if header.options.timestamp.is_some() { 12 } else { 0 };
        if text.len() + options > usize::from(mss) {
            self.fail("more text than the MSS", own, peer);
        }
        let end = start.wrapping_add(length);
        if start == 0 || start > own.sent {
            self.fail("a gap in the numbers", own, peer);
        }
        if own.fin.is_some_and(|fin| end > fin + 1) || (fin && own.fin.is_some_and(|at| at + 1 != end)) {
            self.fail("text beyond the FIN, or a FIN that moves", own, peer);
        }
        if fin {
            own.fin = Some(end - 1);
        }
        // A zero-window probe is one octet at the edge.
        let probe = length == 1 && start <= own.allowed;
        if end > own.allowed && !probe {
            self.fail("more than the peer's window", own, peer);
        }
        if end <= own.sent.wrapping_add(length) {
            own.sent = own.sent.max(end);
        }
        if check_text {
            let offset = u64::from(start.wrapping_sub(1));
            let good = text
                .iter()
                .enumerate()
                .all(|(at, &octet)| octet == stream_octet(self.pair, self.side, offset + at as u64));
            if !good {
                self.fail("other text than the application wrote", own, peer);
            }
        }
    }

    /// What it acknowledges, and the window that it offers.
    fn acknowledgment(&self, own: &mut Half, peer: &Half) {
        let header = self.header;
        if !header.flags.contains(Flags::ACK) {
            return;
        }
        own.owes = None;
        if distance(header.ack, peer.iss().wrapping_add(peer.sent)) > 0 {
            self.fail("an ACK of what was never sent", own, peer);
        }
        let shift = if header.flags.contains(Flags::SYN) { 0 } else { shift(own, peer) };
        let edge = header.ack.wrapping_add(u32::from(header.window) << shift);
        let Some((last_ack, last_edge)) = own.offered else {
            own.offered = Some((header.ack, edge));
            return;
        };
        if distance(header.ack, last_ack) < 0 {
            self.fail("an ACK that goes back", own, peer);
        }
        if distance(edge, last_edge) <= -(1 << shift) {
            self.fail("a right edge that moves left", own, peer);
        }
        let further = if distance(edge, last_edge) > 0 { edge } else { last_edge };
        own.offered = Some((header.ack, further));
    }
}
