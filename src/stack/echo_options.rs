//! Echo replies with the options of the request: record route and timestamp (RFC 1122 section 3.2.2.6).

use std::net::IpAddr;

use super::Stack;
use super::outgoing::Outgoing;
use crate::wire::icmp::{self, Echo};
use crate::wire::{IpHeader, IpPacket, emit_ip, ipv4, ipv4_option, protocol};

impl Stack {
    /// Answers a request that has such an option, this host noted in it. `None` where there is none, or where a reply with
    /// it would not leave whole: then it goes without.
    // 1122-3.2.2.6-3
    pub(super) fn answer_with_options(&mut self, request: &IpPacket<'_>, own: IpAddr, echo: &Echo<'_>) -> Option<bool> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (own, request.source) else { return None };
        let asked = ipv4::options(request.packet);
        if asked.is_empty() {
            return None;
        }
        let (options, len) = ipv4_option::for_echo_reply(asked, source.octets(), self.now.as_millis() as u32);
        let message_len = icmp::HEADER_LEN + echo.data.len();
        if len == 0 || ipv4::HEADER_LEN + len + message_len > self.config.mtu {
            return None;
        }
        let header = IpHeader {
            source: own,
            destination: IpAddr::V4(destination),
            protocol: protocol::ICMPV4,
            hop_limit: self.config.tcp.socket.hop_limit,
            traffic_class: request.traffic_class & !super::icmp::ECN,
            identification: self.identification,
            dont_fragment: false,
        };
        let mut bytes = vec![0; ipv4::HEADER_LEN + message_len];
        emit_ip(&header, message_len, &mut bytes);
        icmp::emit_echo_reply(own, request.source, echo, &mut bytes[ipv4::HEADER_LEN..]);
        ipv4::insert_options(&mut bytes, &options[..len]);
        let queued = self.push_outgoing(Outgoing::Packet(bytes));
        self.counters.icmp_out += u64::from(queued);
        Some(queued)
    }
}
