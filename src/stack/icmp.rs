//! ICMP: echoes, errors that we send, and errors that we hear.

use std::net::{IpAddr, SocketAddr};

use super::Stack;
use super::flow::Flow;
use super::siblings::Inquiry;
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::ip::address::{is_invalid_source, is_loopback};
use crate::ip::input::{self, Addressed};
use crate::tcp::FourTuple;
use crate::tcp::habits::HardErrors;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::{Cause, State};
use crate::time::Instant;
use crate::wire::icmp::{self, Echo, IcmpError, IcmpMessage};
use crate::wire::offending::Offending;
use crate::wire::{IpHeader, IpPacket, ParameterProblem, icmpv4, icmpv6, protocol, quoted};

/// The bits of a traffic class that are not DSCP (RFC 3168 section 5).
pub(super) const ECN: u8 = 3;

impl Stack {
    pub(super) fn icmp_input(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        addressed: Addressed,
    ) -> Result<(), DropReason> {
        // 4443-2.3
        let parsed = icmp::parse(packet.source, packet.destination, packet.payload);
        let result = parsed.and_then(|message| match message {
            IcmpMessage::EchoRequest(echo) => self.answer_echo(packet, addressed, &echo),
            IcmpMessage::EchoReply(echo) => self.echoes_input(arrived, packet, &echo),
            IcmpMessage::Error { error, quotation } => self.icmp_error_input(packet, error, quotation),
        });
        if result != Err(DropReason::Unclaimed) {
            self.counters.icmp_in += 1;
            if let Ok(message) = parsed {
                self.count_icmp(&message);
            }
        }
        result
    }

    fn count_icmp(&mut self, message: &IcmpMessage<'_>) {
        let counters = &mut self.counters;
        *match message {
            IcmpMessage::EchoRequest(_) => &mut counters.echo_requests_in,
            IcmpMessage::EchoReply(_) => &mut counters.echo_replies_in,
            IcmpMessage::Error { error, .. } => match error {
                IcmpError::DestinationUnreachable { .. } => &mut counters.unreachable_in,
                IcmpError::PacketTooBig { .. } => &mut counters.too_big_in,
                IcmpError::TimeExceeded { .. } => &mut counters.time_exceeded_in,
                IcmpError::ParameterProblem { .. } => &mut counters.parameter_problems_in,
                IcmpError::Unknown { .. } => return,
            },
        } += 1;
    }

    /// Answers an echo request.
    // 1122-3.2.2.6-1, 4443-4.2, 792-echo: identifier, sequence number and all data come back.
    fn answer_echo(&mut self, packet: &IpPacket<'_>, addressed: Addressed, echo: &Echo<'_>) -> Result<(), DropReason> {
        let source = match (addressed, packet.destination) {
            // Who stands in for others does not thereby say that they are there.
            (Addressed::Foreign, _) if !self.config.answer_echo_for_any => return Err(DropReason::NotOurs),
            // 4443-2.2: from the address that was asked, if it is one host's.
            (Addressed::Unicast | Addressed::Foreign, own) => own,
            // 1122-3.2.2.6-2: a ping to a broadcast or multicast address would be answered by everybody at once.
            (Addressed::Group, IpAddr::V4(_)) => return Err(DropReason::IcmpIgnored),
            (Addressed::Group, IpAddr::V6(_)) => self.own_source(packet.source).ok_or(DropReason::IcmpIgnored)?,
        };
        let hop_limit = self.config.tcp.socket.hop_limit;
        // RFC 1349 section 5.1: of the class of the request; ECN is for transports that heed it.
        let class = packet.traffic_class & !ECN;
        let sent = self.answer_with_options(packet, source, echo).unwrap_or_else(|| {
            self.push_icmp(source, packet.source, (hop_limit, class), packet.payload.len(), |buffer| {
                icmp::emit_echo_reply(source, packet.source, echo, buffer)
            })
        });
        self.counters.echo_replies_out += u64::from(sent);
        if sent { Ok(()) } else { Err(DropReason::ReplyLimited) }
    }

    /// Queues an ICMP message of at most `longest` octets that `emit` writes.
    pub(super) fn push_icmp(
        &mut self,
        source: IpAddr,
        destination: IpAddr,
        (hop_limit, traffic_class): (u8, u8),
        longest: usize,
        emit: impl FnOnce(&mut [u8]) -> usize,
    ) -> bool {
        let header = IpHeader {
            source,
            destination,
            protocol: icmp::protocol_for(destination),
            hop_limit,
            traffic_class,
            identification: 0,
            dont_fragment: false,
        };
        let queued = self.push_message(header, longest, emit);
        self.counters.icmp_out += u64::from(queued);
        queued
    }

    pub(super) fn report_protocol_unreachable(&mut self, packet: &IpPacket<'_>, addressed: Addressed) {
        // 1122-3.2.2.1
        let error = IcmpError::DestinationUnreachable { code: icmpv4::unreachable::PROTOCOL };
        self.report(packet, addressed, error);
    }

    pub(super) fn report_port_unreachable(&mut self, packet: &IpPacket<'_>, addressed: Addressed) {
        // 1122-3.2.2.1, 4443-3.1
        self.report(packet, addressed, IcmpError::port_unreachable(packet.destination));
    }

    /// Reports a problem of a packet that was refused before it was delivered.
    // 1122-3.2.2-3, 4443-2.4-e: never about an error, nor to a source that cannot be another host's.
    pub(super) fn report_parameter_problem(&mut self, bytes: &[u8], problem: ParameterProblem) {
        let Some(refused) = Offending::of(bytes) else { return };
        if refused.is_error || self.is_own(refused.source) || refused.source == refused.destination {
            return;
        }
        let own = match input::addressed(refused.destination, &self.host()) {
            Some(Addressed::Unicast | Addressed::Foreign) => Some(refused.destination),
            Some(Addressed::Group) if problem.even_if_multicast => self.own_source(refused.source),
            Some(Addressed::Group) | None => None,
        };
        if let Some(own) = own {
            self.send_error(own, refused.source, refused.packet, problem.into());
        }
    }

    /// Reports an error about a delivered packet.
    // 1122-3.2.2-3, 4443-2.4-e: never about a broadcast or multicast datagram or an ICMP error.
    pub(super) fn report(&mut self, packet: &IpPacket<'_>, addressed: Addressed, error: IcmpError) {
        // The ICMP of the other family is as unknown as any other protocol.
        let icmp = packet.protocol == icmp::protocol_for(packet.destination);
        let about_error = icmp && icmp::is_error(packet.protocol, packet.payload);
        // 1122-3.3.4.2: from the address that was asked.
        if addressed != Addressed::Group && !about_error {
            self.send_error(packet.destination, packet.source, packet.packet, error);
        }
    }

    pub(super) fn send_error(&mut self, own: IpAddr, peer: IpAddr, about: &[u8], error: IcmpError) {
        // 1122-3.2.2-3: nor to a source that is not a single host, or that nobody else can have. What is refused for an option
        // comes here before its source was looked at.
        let invalid = is_invalid_source(peer) && !(self.inside && is_loopback(peer));
        if invalid || self.is_broadcast(peer) || (!self.inside && self.is_own(peer)) {
            return;
        }
        // 1812-4.3.2.8, 4443-2.4-f
        if !self.icmp_errors.take(error, self.receiver(peer), self.now) {
            self.counters.count(DropReason::IcmpRateLimited);
            return;
        }
        let hop_limit = self.config.tcp.socket.hop_limit;
        let sent = self.push_icmp(own, peer, (hop_limit, 0), icmp::MAX_ERROR_LEN, |buffer| {
            icmp::emit_error(own, peer, error, about, buffer)
        });
        match error {
            IcmpError::DestinationUnreachable { .. } => self.counters.unreachable_out += u64::from(sent),
            IcmpError::TimeExceeded { .. } => self.counters.time_exceeded_out += u64::from(sent),
            IcmpError::ParameterProblem { .. } => self.counters.parameter_problems_out += u64::from(sent),
            IcmpError::PacketTooBig { .. } | IcmpError::Unknown { .. } => {}
        }
    }

    /// A hash of somebody to whom a limited answer would go.
    pub(super) fn receiver(&self, peer: IpAddr) -> u64 {
        self.hasher.hash((peer, 0), (peer, 0))
    }

    /// An ICMP error about something that we sent: it goes to whom the quotation names.
    // 9293-MUST-54, 1122-3.2.2-4
    fn icmp_error_input(
        &mut self,
        packet: &IpPacket<'_>,
        error: IcmpError,
        quotation: &[u8],
    ) -> Result<(), DropReason> {
        let quoted = quoted::parse(quotation).ok_or(DropReason::IcmpMalformed)?;
        let error = self.believable(error, quotation)?;
        // 1122-3.2.2-4: an error goes to the source of what it quotes, so never to a group.
        if !self.may_be_local(quoted.source) || quoted.source != packet.destination {
            return Err(DropReason::IcmpUnmatched);
        }
        // Who speaks of what stays inside must be inside himself.
        if self.is_inside(quoted.destination) != self.inside {
            return Err(DropReason::IcmpUnmatched);
        }
        let local = SocketAddr::new(quoted.source, quoted.source_port);
        let remote = SocketAddr::new(quoted.destination, quoted.destination_port);
        match (quoted.protocol, quoted.seq) {
            (protocol::TCP, Some(seq)) => self.tcp_error_input(local, remote, SeqNumber(seq), error),
            (protocol::UDP, _) => self.udp_error_input(local, remote, error),
            (protocol::ICMPV4 | protocol::ICMPV6, _) => self.echo_error_input(packet, &quoted, error),
            _ => Err(DropReason::IcmpUnmatched),
        }
    }

    fn tcp_error_input(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        seq: SeqNumber,
        error: IcmpError,
    ) -> Result<(), DropReason> {
        let tuple = FourTuple::new(local, remote);
        let key = match self.flow(&tuple) {
            Some(Flow::Connection(key)) => key,
            Some(Flow::HalfOpen(key)) if self.half_open.get(key).is_some_and(|entry| entry.record.iss == seq) => {
                // 9293-SHLD-26: nobody waits for this one but the listener, which listens on.
                if hard_error(error, tuple.remote_addr, self.config.tcp.habits.hard_errors).is_some() {
                    self.remove_half_open(key);
                }
                return Ok(());
            }
            None if self.leaves(|| Inquiry::TcpError(tuple)) => return Err(DropReason::Unclaimed),
            _ => return Err(DropReason::IcmpUnmatched),
        };
        if let IcmpError::PacketTooBig { mtu } = error {
            return self.tcp_packet_too_big(key, seq, mtu);
        }
        let matched = self.with_connection(key, self.now, |connection, cx| {
            // 5927-4.1: only about what is in flight.
            if seq.lt(connection.snd.una) || seq.ge(connection.snd.nxt) {
                return false;
            }
            let opening = matches!(connection.state(), State::SynSent | State::SynReceived);
            match hard_error(error, tuple.remote_addr, cx.config.habits.hard_errors) {
                // docs/decisions.md: hard errors end an attempt and nothing else (5927-5.2).
                Some(hard) if opening => connection.end(Cause::Abort, Some(hard), cx.pool, cx.transfers),
                // 9293-MUST-56
                _ => connection.soft_error = Some(SocketError::Unreachable),
            }
            true
        });
        self.touch(key);
        if matched == Some(true) { Ok(()) } else { Err(DropReason::IcmpUnmatched) }
    }
}

/// What a hard error means to an attempt to connect to `remote`, or `None` for a soft one.
// 9293-SHLD-26, 5927-5.2: the numbers of the codes differ between the families; code 3 of ICMPv6 is a soft one.
fn hard_error(error: IcmpError, remote: IpAddr, which: HardErrors) -> Option<SocketError> {
    if which == HardErrors::Ignored {
        return None;
    }
    let hard = match (error, remote) {
        (IcmpError::DestinationUnreachable { code }, IpAddr::V4(_)) => {
            matches!(code, icmpv4::unreachable::PROTOCOL | icmpv4::unreachable::PORT)
        }
        (IcmpError::DestinationUnreachable { code }, IpAddr::V6(_)) => code == icmpv6::unreachable::PORT,
        _ => false,
    };
    match which {
        _ if hard => Some(SocketError::Refused),
        HardErrors::More => hard_by_habit(error, remote),
        HardErrors::All => match error {
            IcmpError::DestinationUnreachable { .. } | IcmpError::TimeExceeded { .. } => Some(SocketError::Unreachable),
            _ => None,
        },
        HardErrors::Standard | HardErrors::Ignored => None,
    }
}

/// What is soft by the RFCs, and hard by habit: see [`HardErrors::More`].
fn hard_by_habit(error: IcmpError, remote: IpAddr) -> Option<SocketError> {
    match (error, remote) {
        (IcmpError::DestinationUnreachable { code }, IpAddr::V4(_)) => {
            use icmpv4::unreachable::{ADMINISTRATIVELY_PROHIBITED, HOST_PROHIBITED, NETWORK_PROHIBITED};
            let prohibited = matches!(code, NETWORK_PROHIBITED | HOST_PROHIBITED | ADMINISTRATIVELY_PROHIBITED);
            prohibited.then_some(SocketError::Refused)
        }
        (IcmpError::DestinationUnreachable { code }, IpAddr::V6(_)) => {
            (code == icmpv6::unreachable::ADMINISTRATIVELY_PROHIBITED).then_some(SocketError::Refused)
        }
        (IcmpError::TimeExceeded { code: 0 }, _) => Some(SocketError::Unreachable),
        // RFC 4443 section 3.4: a next header that the peer does not know.
        (IcmpError::ParameterProblem { code: 1, .. }, IpAddr::V6(_)) => Some(SocketError::Refused),
        _ => None,
    }
}
