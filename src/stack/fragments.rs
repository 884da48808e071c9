//! Datagrams in fragments, both ways.

use super::Stack;
use super::outgoing::{Fragments, Outgoing};
use crate::counters::DropReason;
use crate::device::RxMeta;
use crate::ip::fragment::{self, MAX_LEN};
use crate::ip::input::{Addressed, deliver};
use crate::ip::reassembly::Key;
use crate::tcp::connection::Donor;
use crate::time::Instant;
use crate::wire::icmp::{self, IcmpError};
use crate::wire::{IpHeader, IpPacket, ParameterProblem, emit_ip, extension, ipv4, ipv6};

/// Code of time exceeded: fragments did not all come in time.
const REASSEMBLY_TIMEOUT: u8 = 1;

impl Stack {
    /// A fragment: it waits for the others, or completes a datagram, which goes the way of a whole one.
    // 1122-3.2.1.4, 791-3.1-3, 8200-5-1
    pub(super) fn fragment_input(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        addressed: Addressed,
    ) -> Result<(), DropReason> {
        // Those to a group stay, as the sibling that would get them may not have joined it.
        let single = addressed != Addressed::Group;
        if single && Key::of(packet).is_some_and(|key| self.leaves_fragment(&key)) {
            return Err(DropReason::Unclaimed);
        }
        self.counters.fragments_in += 1;
        // What came too late must not complete anything.
        self.expire_fragments(self.now);
        let inserted = self.reassembly.insert(packet, single, self.now);
        self.counters.reassembly_evicted = self.reassembly.evicted();
        self.counters.reassembly_failed = self.reassembly.failed();
        match inserted {
            Ok(None) => Ok(()),
            Ok(Some(datagram)) => self.reassembled_input(arrived, datagram),
            Err(refused) => {
                if let Some(problem) = refused.parameter_problem {
                    self.report_fragment(packet, addressed, problem);
                }
                Err(refused.reason)
            }
        }
    }

    /// A reassembled datagram is checked like any other. It may belong to a sibling, whoever brought its fragments here.
    fn reassembled_input(&mut self, arrived: Instant, datagram: Vec<u8>) -> Result<(), DropReason> {
        self.counters.reassembled += 1;
        // It does not lie in the chunk that the last fragment came in.
        self.donor = Donor::None;
        let meta = RxMeta::plain(datagram.len());
        let result = match deliver(&datagram, &self.host()) {
            // A fragment of a fragment would be without end.
            Ok((packet, _)) if packet.fragment.is_some() => Err(DropReason::Fragment),
            Ok((packet, addressed)) => self.asking(|stack| stack.datagram_input(arrived, &packet, addressed, &meta)),
            Err(refused) => Err(self.report_refused(&datagram, refused)),
        };
        if result == Err(DropReason::Unclaimed) {
            self.reassembled = Some(datagram);
        }
        result
    }

    /// The datagram that was left to the siblings, where [`Stack::take_inquiry`] is about one that has been reassembled: it,
    /// not the fragment that completed it, is to be settled.
    pub fn take_reassembled(&mut self) -> Option<Vec<u8>> {
        self.reassembled.take()
    }

    /// Octets of memory that fragments take, and the datagrams to which they belong.
    pub fn reassembly_memory(&self) -> (usize, usize) {
        (self.reassembly.memory(), self.reassembly.len())
    }

    /// Reports to the sender of a fragment what is wrong with it.
    fn report_fragment(&mut self, packet: &IpPacket<'_>, addressed: Addressed, problem: ParameterProblem) {
        // 4443-2.4-e: never about a group or an error; whether it is one is seen in the first fragment alone.
        let first = packet.fragment.is_some_and(|fragment| fragment.offset == 0);
        let upper_layer = if first { extension::upper_layer(packet.packet) } else { None };
        let about_error = upper_layer.is_some_and(|(protocol, message)| icmp::is_error(protocol, message));
        if addressed != Addressed::Group && !about_error {
            self.send_error(packet.destination, packet.source, packet.packet, problem.into());
        }
    }

    /// Drops datagrams whose missing fragments have not come in time.
    // 1122-3.3.2-2, 8200-4.5-1, 792-te: code 1.
    pub(super) fn expire_fragments(&mut self, now: Instant) {
        while let Some(expired) = self.reassembly.expire(now) {
            self.counters.reassembly_timeouts += 1;
            self.counters.reassembly_failed = self.reassembly.failed();
            let Some(first) = expired.first else { continue };
            if let Ok((packet, addressed)) = deliver(&first, &self.host()) {
                self.report(&packet, addressed, IcmpError::TimeExceeded { code: REASSEMBLY_TIMEOUT });
            }
        }
    }

    /// Queues an ICMP message of at most `longest` octets, which `write` writes; it says how many these are. What is longer
    /// than the MTU of the path leaves in fragments, all of them or none; false where there is no room.
    pub(super) fn push_message(
        &mut self,
        header: IpHeader,
        longest: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> bool {
        let ipv6 = header.source.is_ipv6();
        let payload_at = if ipv6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        // The length field of IPv6 does not count the header.
        if longest + if ipv6 { 0 } else { payload_at } > MAX_LEN {
            return false;
        }
        // Before the work is done: one packet at least.
        if !self.outgoing.has_room(1, longest, self.config.max_queued_packets) {
            self.counters.count(DropReason::ReplyLimited);
            return false;
        }
        let mut datagram = vec![0; payload_at + longest];
        let len = write(&mut datagram[payload_at..]);
        datagram.truncate(payload_at + len);
        let mtu = self.path_mtu(header.destination);
        if datagram.len() <= mtu || self.is_inside(header.destination) {
            emit_ip(&self.identified(header, 1), len, &mut datagram);
            self.note_echo(header.source, header.destination, &datagram[payload_at..], datagram.len());
            return self.push_outgoing(Outgoing::Packet(datagram));
        }
        let longest = fragment::header_len(ipv6) + fragment::next(len, 0, ipv6, mtu).len;
        self.note_echo(header.source, header.destination, &datagram[payload_at..], longest);
        // Without an identification this one is lost, as it could be on its way.
        let Some(fragments) = self.cut(header, datagram, payload_at, mtu) else { return true };
        self.push_outgoing(Outgoing::Fragments(fragments))
    }

    /// A datagram with an identification, for its fragments; `None`, and counted, where all for its destination are used up.
    pub(super) fn cut(
        &mut self,
        header: IpHeader,
        datagram: Vec<u8>,
        payload_at: usize,
        mtu: usize,
    ) -> Option<Fragments> {
        let (source, destination) = (header.source, header.destination);
        let identification = if source.is_ipv6() {
            Some(self.identifications.next_v6(source, destination))
        } else {
            self.identifications.next_v4(source, destination, header.protocol, false, self.now).map(u32::from)
        };
        let Some(identification) = identification else {
            self.counters.count(DropReason::NoIdentification);
            return None;
        };
        self.counters.fragmented += 1;
        Some(Fragments { header, identification, mtu, datagram, payload_at, sent: 0 })
    }

    /// The header with an identification for a datagram over IPv4 that somebody may cut on its way, or for so many that
    /// follow each other. Where there are none left it says that nobody may.
    // 6864-4.3
    pub(super) fn identified(&mut self, header: IpHeader, datagrams: usize) -> IpHeader {
        if header.dont_fragment || header.source.is_ipv6() {
            return IpHeader { identification: 0, ..header };
        }
        let (source, destination) = (header.source, header.destination);
        let mut next = || self.identifications.next_v4(source, destination, header.protocol, true, self.now);
        let first = next();
        let rest = (1..datagrams).map(|_| next()).take_while(Option::is_some).count();
        let enough = first.is_some() && rest + 1 == datagrams.max(1);
        IpHeader { identification: first.unwrap_or_default(), dont_fragment: !enough, ..header }
    }
}
