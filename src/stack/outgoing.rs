//! What waits to be sent and belongs to no connection, within limits of packets and of octets.

use std::collections::VecDeque;

use crate::buffer::Pieces;
use crate::ip::fragment;
use crate::tcp::reset::Reply;
use crate::wire::{Fragment, IpHeader, emit_ip_fragment};

/// Octets that may wait: as much as 4,096 packets of 1,500 are, and a good hundred of the longest.
const MAX_OCTETS: usize = 8 << 20;

/// The longest headers of a fragment, in octets.
const MAX_HEADER: usize = fragment::header_len(true);

/// Something to send that belongs to no connection.
#[derive(Clone, Debug)]
pub(super) enum Outgoing {
    /// A segment without text.
    Segment(Reply),
    /// A whole packet.
    Packet(Vec<u8>),
    /// A datagram that leaves in fragments.
    Fragments(Fragments),
}

impl Outgoing {
    /// As how many packets it leaves.
    fn packets(&self) -> usize {
        match self {
            Outgoing::Segment(_) | Outgoing::Packet(_) => 1,
            Outgoing::Fragments(fragments) => fragments.left(),
        }
    }

    /// Octets of memory behind it.
    fn octets(&self) -> usize {
        match self {
            Outgoing::Segment(_) => 0,
            Outgoing::Packet(packet) => packet.len(),
            Outgoing::Fragments(fragments) => fragments.datagram.len(),
        }
    }
}

/// A datagram that leaves in fragments. It is cut as it leaves, so that it lies in memory once.
#[derive(Clone, Debug)]
pub(super) struct Fragments {
    /// What the headers of all fragments say.
    pub header: IpHeader,
    /// What they have in common.
    pub identification: u32,
    /// The longest packet that fits, in octets.
    pub mtu: usize,
    /// The datagram, and where its payload begins.
    pub datagram: Vec<u8>,
    /// See [`Fragments::datagram`].
    pub payload_at: usize,
    /// Octets of the payload that have left.
    pub sent: usize,
}

/// The headers of a fragment.
pub(super) struct FragmentHeader {
    octets: [u8; MAX_HEADER],
    len: usize,
}

impl FragmentHeader {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

impl Fragments {
    fn piece(&self) -> fragment::Piece {
        let len = self.datagram.len() - self.payload_at;
        fragment::next(len, self.sent, self.header.source.is_ipv6(), self.mtu)
    }

    /// How many fragments are left.
    pub(super) fn left(&self) -> usize {
        let left = self.datagram.len() - self.payload_at - self.sent;
        fragment::count(left, self.header.source.is_ipv6(), self.mtu)
    }

    /// The fragment whose turn it is has left; true if it was the last one.
    pub(super) fn sent(&mut self) -> bool {
        let piece = self.piece();
        self.sent += piece.len;
        !piece.more
    }

    /// The headers and the payload of the fragment whose turn it is.
    pub(super) fn next(&self) -> (FragmentHeader, Pieces<'_>) {
        let piece = self.piece();
        let place = Fragment { identification: self.identification, offset: piece.offset as u32, more: piece.more };
        let mut octets = [0; MAX_HEADER];
        let len = emit_ip_fragment(&self.header, place, piece.len, &mut octets);
        let mut payload = Pieces::default();
        payload[0] = &self.datagram[self.payload_at + piece.offset..][..piece.len];
        (FragmentHeader { octets, len }, payload)
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct OutgoingQueue {
    queue: VecDeque<Outgoing>,
    packets: usize,
    octets: usize,
}

impl OutgoingQueue {
    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// There is room for so many packets of so many octets together, where `limit` packets may wait. In an empty queue there
    /// is room for any datagram.
    pub(super) fn has_room(&self, packets: usize, octets: usize, limit: usize) -> bool {
        let fits = self.packets + packets <= limit && self.octets + octets <= MAX_OCTETS;
        fits || self.packets == 0 && limit > 0
    }

    /// Queues all of it, or nothing.
    pub(super) fn push(&mut self, outgoing: Outgoing, limit: usize) -> bool {
        let (packets, octets) = (outgoing.packets(), outgoing.octets());
        let room = self.has_room(packets, octets, limit);
        if room {
            self.packets += packets;
            self.octets += octets;
            self.queue.push_back(outgoing);
        }
        room
    }

    /// What leaves next.
    pub(super) fn front(&self) -> Option<&Outgoing> {
        self.queue.front()
    }

    /// What was queued last.
    pub(super) fn back(&self) -> Option<&Outgoing> {
        self.queue.back()
    }

    /// How much waits: a datagram in fragments counts once.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// One packet of the front has left.
    pub(super) fn sent(&mut self) {
        let Some(front) = self.queue.front_mut() else { return };
        self.packets -= 1;
        if let Outgoing::Fragments(fragments) = front
            && !fragments.sent()
        {
            return;
        }
        self.octets -= front.octets();
        self.queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(len: usize) -> Outgoing {
        let header = IpHeader {
            source: "10.0.0.2".parse().unwrap(),
            destination: "10.0.0.1".parse().unwrap(),
            protocol: 17,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: false,
        };
        let datagram = vec![7; 20 + len];
        Outgoing::Fragments(Fragments { header, identification: 9, mtu: 1_500, datagram, payload_at: 20, sent: 0 })
    }

    /// All fragments of a datagram are queued or none; each that leaves makes room for one packet, and the last one for the
    /// octets.
    #[test]
    fn a_datagram_counts_as_its_fragments() {
        let mut queue = OutgoingQueue::default();
        assert!(queue.push(datagram(65_515), 100));
        assert_eq!((queue.packets, queue.octets), (45, 65_535));
        assert!(queue.push(datagram(65_515), 100));
        assert!(!queue.push(datagram(65_515), 100), "135 would be too many");
        assert!(queue.push(datagram(14_800), 100) && !queue.has_room(1, 0, 100));
        let mut lens = Vec::new();
        while let Some(Outgoing::Fragments(fragments)) = queue.front() {
            let (header, payload) = fragments.next();
            lens.push(header.bytes().len() + payload[0].len());
            let packets = queue.packets;
            queue.sent();
            assert_eq!(queue.packets, packets - 1);
        }
        assert_eq!((lens.len(), queue.packets, queue.octets), (100, 0, 0));
        assert!(lens.iter().all(|&len| len <= 1_500));
        // Alone, any datagram has room; and octets have a limit of their own.
        assert!(queue.push(datagram(65_515), 10) && !queue.push(Outgoing::Packet(vec![0; 28]), 10));
        let mut queue = OutgoingQueue::default();
        let taken = (0..1_000).take_while(|_| queue.push(Outgoing::Packet(vec![0; 65_535]), 4_096)).count();
        assert_eq!(taken, MAX_OCTETS / 65_535);
    }
}
