//! Datagrams that the application sends: from where, to whom, how long, in one piece or cut.

use std::net::{IpAddr, SocketAddr};

use super::Stack;
use super::datagrams::{OVERHEAD, Shape};
use super::flow::UdpHandle;
use super::udp_input::Incoming;
use crate::device::{RxChecksum, TxChecksum, TxMeta};
use crate::error::SocketError;
use crate::ip::address::{canonical, is_invalid_destination, is_loopback};
use crate::ip::fragment;
use crate::ip::multicast::is_everybody;
use crate::time::Instant;
use crate::udp::{Fragmentation, MAX_PAYLOAD_V4, MAX_PAYLOAD_V6, MAX_SEGMENTS, Message, Socket};
use crate::wire::ecn::EcnCodepoint;
use crate::wire::udp::{self, HEADER_LEN, UdpHeader};
use crate::wire::{IpHeader, emit_ip, ipv4, ipv6, protocol};

/// From where a message goes to whom, and how.
struct Route {
    source: SocketAddr,
    destination: SocketAddr,
    /// It stays on this host: a group with a TTL of 0.
    inside: bool,
    /// Members on this host hear it as well.
    looped: bool,
    header: IpHeader,
}

impl Route {
    fn ip_len(&self) -> usize {
        if self.destination.is_ipv6() { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }
    }

    /// One packet with this payload. With `partial` its checksum is left to the device.
    fn packet(&self, data: &[u8], header: &IpHeader, partial: bool) -> Vec<u8> {
        let start = self.ip_len();
        let mut packet = vec![0; start + HEADER_LEN + data.len()];
        emit_ip(header, HEADER_LEN + data.len(), &mut packet);
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let ports = UdpHeader { source_port: self.source.port(), destination_port: self.destination.port() };
        if partial {
            udp::emit_partial(source, destination, &ports, data.len(), &mut packet[start..]);
        } else {
            udp::emit(source, destination, &ports, data, &mut packet[start..]);
        }
        packet[start + HEADER_LEN..].copy_from_slice(data);
        packet
    }
}

/// How many datagrams of `size` octets a message of `len` makes; `None` where that cannot be.
fn segments(len: usize, size: usize) -> Option<usize> {
    let segments = match size {
        _ if len <= size => 1,
        0 => 0,
        _ => len.div_ceil(size),
    };
    (1..=MAX_SEGMENTS).contains(&segments).then_some(segments)
}

impl Stack {
    /// Tells whether the device cuts super-datagrams ([`Message::segment_size`]). Where it does not, the stack does.
    pub fn set_udp_segmentation(&mut self, cuts: bool) {
        self.cuts_datagrams = cuts;
    }

    /// Sends one datagram, to `to` or to the peer of a connected socket.
    ///
    /// # Errors
    /// Those of [`Stack::udp_send_message`].
    pub fn udp_send(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        to: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<usize, SocketError> {
        self.udp_send_message(now, handle, &Message { destination: to, ..Message::new(data) })
    }

    /// Sends one message: all of its datagrams or, with an error, none.
    ///
    /// # Errors
    /// `NotConnected` without a destination, `InvalidAddress`, `Unreachable` without an address of that family,
    /// `AddressNotAvailable` for a source that is not ours, `PermissionDenied` for a broadcast address without the option,
    /// `InvalidArgument` for a segment size that cannot be, `MessageTooLong` for more than a packet or the path takes,
    /// `WouldBlock` when too much waits, or the error that ICMP reported about an earlier one.
    // 1122-3.3.3: what the path cannot carry whole leaves in fragments, where the socket allows it.
    pub fn udp_send_message(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        message: &Message<'_>,
    ) -> Result<usize, SocketError> {
        self.advance_to(now);
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let socket = self.sockets.get(handle.0).ok_or(SocketError::BadHandle)?;
        let route = self.udp_route(socket, message)?;
        let (data, ip_len) = (message.data, route.ip_len());
        let most = if route.destination.is_ipv6() { MAX_PAYLOAD_V6 } else { MAX_PAYLOAD_V4 };
        let size = message.segment_size.unwrap_or(data.len());
        let segments = segments(data.len(), size).ok_or(SocketError::InvalidArgument)?;
        let inside = self.is_inside(route.destination.ip());
        let mtu = self.udp_path_mtu(socket.options.fragmentation, route.destination.ip());
        let too_long = !inside && data.len().min(size) > mtu - ip_len - HEADER_LEN;
        // What waits to be cut by the device must fit; alone, a datagram may leave in fragments.
        let fragments = too_long && segments == 1 && !route.header.dont_fragment;
        // 8899-4.4, 6864-4.3-2
        if data.len() > most || too_long && !fragments {
            self.counters.fragmentation_failed += u64::from(too_long);
            return Err(SocketError::MessageTooLong);
        }
        if inside {
            // What waits for the device is no matter of what stays here.
            let sent = self.push_datagram_inside(&route, data, size);
            return if sent { Ok(data.len()) } else { Err(SocketError::WouldBlock) };
        }
        let whole = segments == 1 || self.cuts_datagrams;
        let packets = match whole {
            true if fragments => fragment::count(HEADER_LEN + data.len(), route.destination.is_ipv6(), mtu),
            true => 1,
            false => segments,
        };
        let pieces = if whole { 1 } else { segments };
        let octets = data.len() + pieces * (ip_len + HEADER_LEN + OVERHEAD);
        if !socket.has_send_room(octets) || !self.datagrams.has_room(packets, octets, self.config.max_queued_packets) {
            return Err(SocketError::WouldBlock);
        }
        if route.looped {
            let (source, destination, hop_limit) = (route.source, route.destination, route.header.hop_limit);
            let (traffic_class, stride) = (route.header.traffic_class, size);
            // Whether anybody here takes it is no matter of the sender's.
            let _ = self.udp_deliver_to_group(Incoming {
                source,
                destination,
                hop_limit,
                traffic_class,
                data,
                stride,
                arrived: now,
            });
        }
        if route.inside {
            return Ok(data.len());
        }
        if fragments {
            self.push_fragments(handle, &route, data, mtu);
        } else if whole {
            self.push_packet(handle, &route, data, if segments > 1 { size } else { 0 });
        } else {
            for piece in data.chunks(size) {
                self.push_packet(handle, &route, piece, 0);
            }
        }
        Ok(data.len())
    }

    /// Queues one datagram that is longer than the MTU of its path.
    fn push_fragments(&mut self, handle: UdpHandle, route: &Route, data: &[u8], mtu: usize) {
        let ipv6 = route.destination.is_ipv6();
        let longest = fragment::header_len(ipv6) + fragment::next(HEADER_LEN + data.len(), 0, ipv6, mtu).len;
        self.note_datagram(handle, route.source, route.destination, longest);
        let datagram = route.packet(data, &route.header, false);
        if let Some(fragments) = self.cut(route.header, datagram, route.ip_len(), mtu) {
            self.queue_datagram(handle, Shape::Fragments(fragments));
        }
    }

    /// Queues one packet, which the device cuts at `size` (0: not at all).
    fn push_packet(&mut self, handle: UdpHandle, route: &Route, data: &[u8], size: usize) {
        let start = route.ip_len();
        let partial = size > 0 || self.offload_checksum;
        let longest = if size == 0 { data.len() } else { size };
        self.note_datagram(handle, route.source, route.destination, start + HEADER_LEN + longest);
        // One for each datagram that it becomes: fragments of two must never mix.
        let datagrams = if size == 0 { 1 } else { data.len().div_ceil(size) };
        let packet = route.packet(data, &self.identified(route.header, datagrams), partial);
        let mut meta = TxMeta::default();
        if partial {
            meta.checksum = TxChecksum::Partial { start: start as u16, offset: udp::CHECKSUM_OFFSET };
            meta.header_len = (start + HEADER_LEN) as u16;
            meta.gso_size = size as u16;
        }
        self.queue_datagram(handle, Shape::Packet(packet, meta));
    }

    /// Queues one piece to this host itself, in which the receiver finds datagrams of `size` octets.
    fn push_datagram_inside(&mut self, route: &Route, data: &[u8], size: usize) -> bool {
        let header = IpHeader { identification: self.identification, ..route.header };
        let packet = route.packet(data, &header, true);
        let datagrams = if data.len() <= size { 1 } else { data.len().div_ceil(size) };
        let stride = if datagrams == 1 { 0 } else { size as u16 };
        self.identification = self.identification.wrapping_add(datagrams as u16);
        let sent = self.push_inside(packet, RxChecksum::Partial, stride);
        self.counters.datagrams_out += if sent { datagrams as u64 } else { 0 };
        sent
    }

    /// From where a message of this socket goes to whom.
    fn udp_route(&self, socket: &Socket, message: &Message<'_>) -> Result<Route, SocketError> {
        let destination = message.destination.map(canonical).or(socket.remote).ok_or(SocketError::NotConnected)?;
        let to = destination.ip();
        if destination.port() == 0 || is_invalid_destination(to) && !is_loopback(to) {
            return Err(SocketError::InvalidAddress);
        }
        let options = &socket.options;
        let (multicast, broadcast) = (to.is_multicast(), self.is_broadcast(to));
        if broadcast && !options.broadcast {
            return Err(SocketError::PermissionDenied);
        }
        let bound = Some(socket.local.ip()).filter(|&local| self.may_be_local(local));
        let interface = options.multicast_source.filter(|source| multicast && source.is_ipv6() == to.is_ipv6());
        let asked = message.source.filter(|source| !source.ip().is_unspecified());
        let asked_port = asked.map_or(0, |source| source.port());
        let port = match (socket.local.port(), asked_port) {
            // A socket of any port has none of its own.
            (0, 0) => return Err(SocketError::AddressNotAvailable),
            (0, port) | (port, 0) => port,
            (own, port) if own == port => port,
            _ => return Err(SocketError::AddressNotAvailable),
        };
        let source = match asked.map(|source| source.ip()) {
            // 1122-4.1.3.5: any address of ours, but no other.
            Some(source) if !self.may_be_local(source) => return Err(SocketError::AddressNotAvailable),
            Some(source) => source,
            None => match bound.or(interface) {
                Some(source) => source,
                None => self.own_source(to).ok_or(SocketError::Unreachable)?,
            },
        };
        if source.is_ipv6() != to.is_ipv6() || !self.is_path(source, to) {
            return Err(SocketError::InvalidAddress);
        }
        let (hop_limit, loops) = match to {
            // 1112-6.1
            IpAddr::V4(_) if multicast => (options.multicast_ttl_v4, options.multicast_loop_v4),
            IpAddr::V6(_) if multicast => (options.multicast_hops_v6, options.multicast_loop_v6),
            _ => (options.hop_limit, false),
        };
        let header = IpHeader {
            source,
            destination: to,
            protocol: protocol::UDP,
            hop_limit,
            // 1122-4.1.4, 1122-3.2.1.6
            traffic_class: options.dscp << 2 | EcnCodepoint::bits(message.ecn),
            identification: 0,
            dont_fragment: options.fragmentation != Fragmentation::Allowed,
        };
        Ok(Route {
            source: SocketAddr::new(source, port),
            destination: SocketAddr::new(to, destination.port()),
            inside: hop_limit == 0,
            looped: broadcast || loops && (is_everybody(to) || self.groups.contains(to)),
            header,
        })
    }

    /// The longest packet that a socket may send to this address.
    fn udp_path_mtu(&self, fragmentation: Fragmentation, to: IpAddr) -> usize {
        match fragmentation {
            Fragmentation::Allowed | Fragmentation::Refused => self.path_mtu(to),
            // A probe is to show whether more passes than is known.
            Fragmentation::Probe => self.mtu_towards(to),
        }
    }

    /// The most octets that a datagram of this socket to this address holds without being fragmented, as far as is known now.
    // 8899-4.4
    pub fn udp_max_datagram_size(&self, handle: UdpHandle, to: IpAddr) -> Option<usize> {
        let socket = self.sockets.get(handle.0)?;
        let refused = match socket.options.fragmentation {
            Fragmentation::Probe => Fragmentation::Probe,
            Fragmentation::Allowed | Fragmentation::Refused => Fragmentation::Refused,
        };
        let (ip_len, most) =
            if to.is_ipv6() { (ipv6::HEADER_LEN, MAX_PAYLOAD_V6) } else { (ipv4::HEADER_LEN, MAX_PAYLOAD_V4) };
        Some((self.udp_path_mtu(refused, to) - ip_len - HEADER_LEN).min(most))
    }

    /// Any message would find room.
    pub(super) fn udp_has_send_room(&self, socket: &Socket) -> bool {
        if socket.remote.is_some_and(|remote| self.is_inside(remote.ip())) {
            return self.loopback.has_room();
        }
        socket.has_half_its_send_room() && self.datagrams.is_half_empty(self.config.max_queued_packets)
    }
}
