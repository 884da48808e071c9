//! The way in: from a packet to the protocol that it is for.

use super::Stack;
use super::siblings::Inquiry;
use crate::buffer::{Chunk, WORTH_A_CHUNK};
use crate::counters::DropReason;
use crate::device::{RxChecksum, RxMeta};
use crate::ip::input::{Addressed, Host, deliver};
use crate::tcp::connection::Donor;
use crate::tcp::segment::{Arrival, Segment};
use crate::time::Instant;
use crate::wire::{IpPacket, Refused, ipv6, mld, parse_ip, protocol};

impl Stack {
    /// Handles one received packet. `arrived` is when it came out of the device. The answer is why it was dropped, if it
    /// was: it is counted and traced already.
    pub fn handle_packet(&mut self, arrived: Instant, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        if self.is_traced() {
            return self.handle_traced(arrived, packet, meta);
        }
        self.handle_untraced(arrived, packet, meta)
    }

    pub(super) fn handle_untraced(&mut self, arrived: Instant, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        self.advance_to(arrived);
        self.counters.packets_in += u64::from(!self.inside);
        let result = self.ip_input(arrived, packet, meta);
        let reason = result.err()?;
        if reason == DropReason::Unclaimed {
            // Whoever handles it in the end counts it.
            self.counters.packets_in -= u64::from(!self.inside);
            return Some(reason);
        }
        self.counters.count(reason);
        tracing::trace!(target: "glasstcp::drop", reason = reason.as_str(), len = packet.len(), "dropped");
        Some(reason)
    }

    /// As [`Stack::handle_packet`], for a packet that lies at the start of a chunk, `meta.len` octets long. A connection may
    /// keep the chunk instead of copying a super-segment out of it; another one is in its place then.
    pub fn handle_chunk(&mut self, arrived: Instant, chunk: &mut Chunk, meta: &RxMeta) -> Option<DropReason> {
        let len = meta.len.min(chunk.bytes().len());
        if len < WORTH_A_CHUNK {
            return self.handle_packet(arrived, &chunk.bytes()[..len], meta);
        }
        self.donor = Donor::Offered;
        let dropped = self.handle_packet(arrived, &chunk.bytes()[..len], meta);
        let donor = std::mem::take(&mut self.donor);
        let entry = self.donated_to.take().and_then(|key| self.connections.get_mut(key));
        match (donor, entry) {
            (Donor::Taken { text, spare }, Some(entry)) => {
                let start = text - chunk.bytes().as_ptr().addr();
                entry.connection.receive_buffer.deliver(std::mem::replace(chunk, spare), start);
            }
            // The connection is gone since.
            (Donor::Taken { spare, .. }, None) => self.pool.put(spare),
            (Donor::None | Donor::Offered, _) => {}
        }
        dropped
    }

    fn ip_input(&mut self, arrived: Instant, bytes: &[u8], meta: &RxMeta) -> Result<(), DropReason> {
        let (packet, addressed) = match deliver(bytes, &self.host()) {
            Ok(delivered) => delivered,
            Err(refused) => return Err(self.refuse(bytes, refused)),
        };
        // 6864-4.1-1, 8200-4.5-4: a datagram that is whole is nobody's fragment, whatever its identification.
        if packet.fragment.is_some() {
            return self.fragment_input(arrived, &packet, addressed);
        }
        self.datagram_input(arrived, &packet, addressed, meta)
    }

    /// A whole datagram.
    pub(super) fn datagram_input(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        addressed: Addressed,
        meta: &RxMeta,
    ) -> Result<(), DropReason> {
        let result = self.deliver(arrived, packet, addressed, meta);
        if !matches!(result, Err(DropReason::Unclaimed | DropReason::UnknownProtocol)) {
            self.counters.packets_delivered += 1;
            self.counters.group_packets_in += u64::from(addressed == Addressed::Group);
        }
        result
    }

    /// Who we are, to what comes from the device.
    pub(super) fn host(&self) -> Host<'_> {
        Host {
            own: &self.config.addresses,
            any_address: self.config.any_address,
            groups: &self.groups,
            inside: self.inside,
        }
    }

    /// Hands a packet that is ours to its protocol.
    fn deliver(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        addressed: Addressed,
        meta: &RxMeta,
    ) -> Result<(), DropReason> {
        let vouched = meta.checksum != RxChecksum::Unverified;
        match packet.protocol {
            protocol::TCP => {
                if addressed == Addressed::Group {
                    // 9293-MUST-57
                    return Err(DropReason::TcpNotUnicast);
                }
                let arrival = Arrival {
                    source: packet.source,
                    destination: packet.destination,
                    arrived,
                    gso_size: meta.gso_size,
                    checksum_vouched: vouched,
                    ecn: packet.traffic_class & 3,
                };
                // 9293-MUST-50: whatever IP options there were, TCP sees the payload alone.
                // It stays where it is: a copy of it would cost as much as parsing its header.
                match &Segment::parse(packet.payload, &arrival) {
                    Ok(segment) => self.tcp_input(segment),
                    Err(reason) => Err(*reason),
                }
            }
            protocol::UDP => self.udp_input(arrived, packet, addressed, meta),
            protocol::ICMPV4 if packet.destination.is_ipv4() => self.icmp_input(arrived, packet, addressed),
            protocol::IGMP if packet.destination.is_ipv4() => self.igmp_input(packet, addressed),
            protocol::ICMPV6 if packet.destination.is_ipv6() && mld::is_mld(packet.payload) => self.mld_input(packet),
            protocol::ICMPV6 if packet.destination.is_ipv6() => self.icmp_input(arrived, packet, addressed),
            _ => {
                self.report_unknown_protocol(packet, addressed);
                Err(DropReason::UnknownProtocol)
            }
        }
    }

    /// What becomes of a packet that is not for this stack.
    fn refuse(&mut self, bytes: &[u8], refused: Refused) -> DropReason {
        // A group that nobody has joined on this stack may have members on another one.
        if self.asks
            && refused.reason == DropReason::NotOurs
            && let Ok(packet) = parse_ip(bytes)
            && packet.destination.is_multicast()
            && is_of_groups(&packet)
            && self.leaves(|| Inquiry::Group { group: packet.destination, whole: packet.fragment.is_none() })
        {
            return DropReason::Unclaimed;
        }
        self.report_refused(bytes, refused)
    }

    /// Reports to the sender of a refused IPv6 packet where the RFC asks for it.
    pub(super) fn report_refused(&mut self, bytes: &[u8], refused: Refused) -> DropReason {
        if let Some(problem) = refused.parameter_problem {
            self.report_parameter_problem(bytes, problem);
        }
        refused.reason
    }

    fn report_unknown_protocol(&mut self, packet: &IpPacket<'_>, addressed: Addressed) {
        if packet.destination.is_ipv4() {
            self.report_protocol_unreachable(packet, addressed);
        } else if let Some(problem) = ipv6::unknown_next_header(packet.packet) {
            // 8200-4-2
            self.report_parameter_problem(packet.packet, problem);
        }
    }
}

/// What is for the members of a group, or about them.
fn is_of_groups(packet: &IpPacket<'_>) -> bool {
    match packet.protocol {
        protocol::UDP => true,
        protocol::IGMP => packet.destination.is_ipv4(),
        protocol::ICMPV6 => packet.destination.is_ipv6() && mld::is_mld(packet.payload),
        _ => false,
    }
}
