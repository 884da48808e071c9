//! One host on several stacks, each on a queue of the device: whose packet it is where the device could not know.
//!
//! A stack that has siblings does not say "nobody is here" by itself. It leaves an [`Inquiry`] instead and has done nothing
//! yet; its owner asks the siblings ([`Stack::claim`]) and brings the packet to the one with the strongest [`Claim`], by
//! [`Stack::settle_packet`]: that one has the last word. Packets of known flows never come this way.

use std::net::{IpAddr, SocketAddr};

use super::Stack;
use crate::buffer::Chunk;
use crate::counters::DropReason;
use crate::device::RxMeta;
use crate::ip::address::canonical;
use crate::ip::reassembly::{Key, MIN_MEMORY};
use crate::tcp::FourTuple;
use crate::tcp::segment::Segment;
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// Most stacks that one host may be divided into.
pub const MAX_SIBLINGS: u16 = 256;

/// Which part of the host a stack is: the `index`th of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u16,
    count: u16,
}

impl Share {
    /// All of it: there are no siblings.
    pub const WHOLE: Share = Share { index: 0, count: 1 };

    /// The `index`th part, from 0, of `count` (at most [`MAX_SIBLINGS`]); `None` if there is no such part.
    pub fn new(index: usize, count: usize) -> Option<Share> {
        let (index, count) = (u16::try_from(index).ok()?, u16::try_from(count).ok()?);
        (index < count && count <= MAX_SIBLINGS).then_some(Share { index, count })
    }

    /// Whether this part may choose this port (or identifier of echo requests): no two parts choose the same.
    pub fn owns(self, number: u16) -> bool {
        number % self.count == self.index
    }

    /// Which part it is, from 0.
    pub(super) fn index(self) -> u16 {
        self.index
    }

    fn has_siblings(self) -> bool {
        self.count > 1
    }

    /// Its part of a limit that is meant for the whole host, rounded up.
    pub fn of(self, limit: usize) -> usize {
        limit.div_ceil(usize::from(self.count))
    }

    fn of_u32(self, limit: u32) -> u32 {
        limit.div_ceil(u32::from(self.count))
    }
}

/// For whom a packet is that the stack it came to does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// A segment.
    Segment {
        /// Whose.
        tuple: FourTuple,
        /// It may open a connection.
        syn: bool,
        /// IRS and ISS if it is the answer to a SYN cookie.
        cookie: Option<(SeqNumber, SeqNumber)>,
    },
    /// An ICMP error about a segment of ours.
    TcpError(FourTuple),
    /// A datagram from the first to the second, or an ICMP error about one from the second to the first.
    Datagram(SocketAddr, SocketAddr),
    /// The reply to an echo request with this identifier.
    EchoReply(u16),
    /// A datagram to this group or to everybody, or what a multicast router asks about it: whole it is for all who hear
    /// it, a fragment is for the first of them, who tells the others of the datagram.
    Group {
        /// Where it was sent.
        group: IpAddr,
        /// It is no fragment.
        whole: bool,
    },
    /// What a multicast router asks everybody.
    Membership,
    /// A fragment of a datagram that this part of the host puts together.
    Fragment(u16),
}

impl Inquiry {
    /// Each stack that has to do with the packet gets a copy.
    pub fn is_for_all(&self) -> bool {
        matches!(self, Inquiry::Group { whole: true, .. } | Inquiry::Membership)
    }

    pub(super) fn segment(segment: &Segment<'_>) -> Inquiry {
        let (syn, ack) = (segment.syn(), segment.flags.contains(Flags::ACK));
        let cookie = (ack && !syn && !segment.rst()).then(|| (segment.seq - 1, segment.ack - 1));
        Inquiry::Segment { tuple: segment.tuple, syn: syn && !ack && !segment.rst(), cookie }
    }
}

/// What a stack has to do with a packet, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Nothing.
    Nothing,
    /// It listens there.
    Listens,
    /// It sent the SYN cookie that this answers.
    SentCookie,
    /// It has the connection, half-open record, TIME-WAIT record, socket or sender of echo requests.
    Holds,
}

impl Stack {
    /// Makes the stack one of several for the same host. It chooses ports and identifiers that no other chooses, and
    /// leaves packets that it does not know to its owner to ask the siblings. To be called before anything else; the
    /// siblings are made from copies of one generator and with one clock, so that they agree on all secrets: a tuple that
    /// moves to a sibling keeps the order of its initial sequence numbers and timestamps.
    // 6528-3
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
        self.asks = share.has_siblings();
        // Packets without DF from several stacks must not share an identification, or a router's fragments would mix.
        let apart = 65_536 / u32::from(share.count) * u32::from(share.index);
        self.identification = self.identification.wrapping_add(apart as u16);
        self.identifications.set_share(share.index, share.count);
    }

    /// Leaves a packet to the siblings if there are any; `false`: this stack has the last word.
    pub(super) fn leaves(&mut self, inquiry: impl FnOnce() -> Inquiry) -> bool {
        if self.asks {
            self.inquiry = Some(inquiry());
        }
        self.asks
    }

    /// Leaves a fragment to the part of the host that puts its datagram together, as all parts agree.
    pub(super) fn leaves_fragment(&mut self, key: &Key) -> bool {
        // Over IPv4 an identification has 16 bits, and the protocol belongs to the key.
        let high = (key.identification >> 16) as u16 | u16::from(key.protocol);
        let hash = self.hasher.hash((key.destination, key.identification as u16), (key.source, high));
        let owner = (hash % u64::from(self.share.count)) as u16;
        owner != self.share.index && self.leaves(|| Inquiry::Fragment(owner))
    }

    /// Handles a packet that may be left to the siblings, wherever it came from.
    pub(super) fn asking<R>(&mut self, call: impl FnOnce(&mut Stack) -> R) -> R {
        let asks = std::mem::replace(&mut self.asks, self.share.has_siblings());
        let result = call(self);
        self.asks = asks;
        result
    }

    /// What [`DropReason::Unclaimed`] was about.
    pub fn take_inquiry(&mut self) -> Option<Inquiry> {
        self.inquiry.take()
    }

    /// What this stack has to do with a packet that another one does not know.
    pub fn claim(&self, inquiry: &Inquiry, now: Instant) -> Claim {
        let holds = |holds: bool| if holds { Claim::Holds } else { Claim::Nothing };
        match *inquiry {
            Inquiry::TcpError(tuple) => holds(self.flow(&tuple).is_some()),
            Inquiry::Segment { tuple, .. } if self.flow(&tuple).is_some() => Claim::Holds,
            Inquiry::Segment { tuple, syn, cookie } => {
                let listener = self.listener_for(&tuple).and_then(|handle| self.listeners.get(handle.0));
                let Some(listener) = listener else { return Claim::Nothing };
                let answered =
                    |(irs, iss)| listener.expects_cookies(now) && self.cookies.check(&tuple, irs, iss, now).is_some();
                match (syn, cookie) {
                    (true, _) => Claim::Listens,
                    (false, Some(cookie)) if answered(cookie) => Claim::SentCookie,
                    _ => Claim::Nothing,
                }
            }
            Inquiry::Datagram(source, destination) => holds(self.udp_socket_for(source, destination).is_some()),
            Inquiry::Group { group, .. } => holds(!self.sockets.is_empty() && self.hears_group(group)),
            Inquiry::Membership => Claim::Holds,
            Inquiry::EchoReply(identifier) => holds(self.has_echo_identifier(identifier)),
            Inquiry::Fragment(index) => holds(self.share.index == index),
        }
    }

    /// Handles a packet that some stack left to its siblings: this one has the last word.
    pub fn settle_packet(&mut self, arrived: Instant, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        self.finally(|stack| stack.handle_packet(arrived, packet, meta))
    }

    /// As [`Stack::settle_packet`], for a packet in a chunk (see [`Stack::handle_chunk`]).
    pub fn settle_chunk(&mut self, arrived: Instant, chunk: &mut Chunk, meta: &RxMeta) -> Option<DropReason> {
        self.finally(|stack| stack.handle_chunk(arrived, chunk, meta))
    }

    pub(super) fn finally<R>(&mut self, call: impl FnOnce(&mut Stack) -> R) -> R {
        let asks = std::mem::replace(&mut self.asks, false);
        let result = call(self);
        self.asks = asks;
        result
    }

    /// Takes note that a packet went to a sibling, or was lost because that one had no room.
    pub fn note_handed_over(&mut self, taken: bool) {
        if taken {
            self.counters.handed_over += 1;
        } else {
            self.counters.packets_in += 1;
            self.counters.count(DropReason::SiblingBusy);
        }
    }

    /// The four-tuple of a connection from this address and port to `remote`; an unspecified address is chosen.
    pub fn tuple_from(&self, local: SocketAddr, remote: SocketAddr) -> Option<FourTuple> {
        let (local, remote) = (canonical(local), canonical(remote));
        let given = Some(local.ip()).filter(|address| !address.is_unspecified());
        let address = given.or_else(|| self.own_source(remote.ip()))?;
        Some(FourTuple::new(SocketAddr::new(address, local.port()), remote))
    }

    /// Whether this stack has a connection, or what is left of one, or a half-open one, with these ends.
    pub fn holds(&self, tuple: &FourTuple) -> bool {
        self.flow(tuple).is_some()
    }
}

impl crate::config::Config {
    /// The settings of one part of a host: what is limited for the host is divided among its parts.
    pub fn share(&self, share: Share) -> crate::config::Config {
        let mut config = self.clone();
        config.icmp_errors_per_second = share.of_u32(config.icmp_errors_per_second);
        config.udp_memory = share.of(config.udp_memory);
        config.reassembly_memory = share.of(config.reassembly_memory).max(MIN_MEMORY);
        let tcp = &mut config.tcp;
        tcp.buffer_memory = share.of(tcp.buffer_memory);
        tcp.max_half_open = share.of_u32(tcp.max_half_open);
        tcp.max_connections = share.of_u32(tcp.max_connections);
        tcp.max_time_wait = share.of_u32(tcp.max_time_wait);
        tcp.resets_per_second = share.of_u32(tcp.resets_per_second);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_one_owner() {
        assert_eq!(Share::new(0, 1), Some(Share::WHOLE));
        assert!([(1, 1), (0, 0), (3, 2), (0, 257), (70_000, 80_000)].iter().all(|&(i, n)| Share::new(i, n).is_none()));
        for count in [1, 2, 3, 7, 256] {
            let shares: Vec<Share> = (0..count).map(|index| Share::new(index, count).unwrap()).collect();
            for port in 0..=u16::MAX {
                assert_eq!(shares.iter().filter(|share| share.owns(port)).count(), 1, "{port} of {count}");
            }
        }
        assert_eq!(Share::new(1, 3).unwrap().of(10), 4);
    }
}
