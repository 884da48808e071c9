//! UDP sockets: the calls of the application, and datagrams that arrive.

use std::net::SocketAddr;

use super::Stack;
use super::flow::{SocketHandle, UdpHandle};
use super::output::Outgoing;
use super::siblings::Inquiry;
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::ip::address::is_invalid_destination;
use crate::ip::input::Addressed;
use crate::time::Instant;
use crate::udp::{Datagram, MAX_PAYLOAD_V4, MAX_PAYLOAD_V6, Socket};
use crate::wire::icmp::IcmpError;
use crate::wire::udp::{self, UdpHeader};
use crate::wire::{IpHeader, IpPacket, emit_ip, protocol};

impl Stack {
    pub(super) fn udp_input(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        addressed: Addressed,
        vouched: bool,
    ) -> Result<(), DropReason> {
        let (header, data) = udp::parse(packet.source, packet.destination, packet.payload, !vouched)?;
        let source = SocketAddr::new(packet.source, header.source_port);
        let destination = SocketAddr::new(packet.destination, header.destination_port);
        let Some(handle) = self.udp_socket_for(source, destination) else {
            if self.leaves(|| Inquiry::Datagram(source, destination)) {
                return Err(DropReason::Unclaimed);
            }
            // 1122-4.1.3.1
            self.report_port_unreachable(packet, addressed);
            return Err(DropReason::UdpNoSocket);
        };
        let datagram = Datagram { source, destination, data: data.to_vec(), arrived };
        let socket = self.sockets.get_mut(handle.0).ok_or(DropReason::UdpNoSocket)?;
        let had_event = socket.event;
        if !socket.push(datagram) {
            return Err(DropReason::UdpQueueFull);
        }
        if !had_event {
            self.ready.push_back(SocketHandle::Udp(handle));
        }
        Ok(())
    }

    /// The socket that names the datagram most exactly.
    pub(super) fn udp_socket_for(&self, source: SocketAddr, destination: SocketAddr) -> Option<UdpHandle> {
        let candidates = self.socket_ports.get(&destination.port())?;
        let ranked = candidates.iter().filter_map(|handle| {
            let rank = self.sockets.get(handle.0)?.matches(source, destination)?;
            Some((rank, *handle))
        });
        ranked.max_by_key(|&(rank, _)| rank).map(|(_, handle)| handle)
    }

    /// An ICMP error about a datagram of ours: a connected socket is told.
    // 1122-4.1.3.3
    pub(super) fn udp_error_input(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        error: IcmpError,
    ) -> Result<(), DropReason> {
        let Some(handle) = self.udp_socket_for(remote, local) else {
            let left = self.leaves(|| Inquiry::Datagram(remote, local));
            return Err(if left { DropReason::Unclaimed } else { DropReason::IcmpUnmatched });
        };
        let socket = self.sockets.get_mut(handle.0).ok_or(DropReason::IcmpUnmatched)?;
        if socket.remote != Some(remote) {
            return Err(DropReason::IcmpUnmatched);
        }
        if let IcmpError::DestinationUnreachable { .. } = error {
            let port = IcmpError::port_unreachable(remote.ip()) == error;
            socket.error = Some(if port { SocketError::Refused } else { SocketError::Unreachable });
            if !socket.event {
                socket.event = true;
                self.ready.push_back(SocketHandle::Udp(handle));
            }
        }
        Ok(())
    }

    /// Opens a UDP socket. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddressNotAvailable`, `AddressInUse`, `NoBuffers`.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpHandle, SocketError> {
        if !local.ip().is_unspecified() && !self.may_be_local(local.ip()) {
            return Err(SocketError::AddressNotAvailable);
        }
        let mut local = local;
        if local.port() == 0 {
            // 6056-3.3: unpredictable for UDP too.
            let (taken, share) = (&self.socket_ports, self.share);
            let port =
                self.ports.pick(local.ip(), (local.ip(), 0), |port| share.owns(port) && !taken.contains_key(&port));
            local.set_port(port.ok_or(SocketError::AddressInUse)?);
        }
        let in_use = self.socket_ports.get(&local.port()).is_some_and(|handles| {
            handles.iter().any(|handle| self.sockets.get(handle.0).is_some_and(|other| other.local == local))
        });
        if in_use {
            return Err(SocketError::AddressInUse);
        }
        let socket = Socket::new(local, self.config.tcp.socket.hop_limit);
        let key = self.sockets.insert(socket).ok_or(SocketError::NoBuffers)?;
        self.socket_ports.entry(local.port()).or_default().push(UdpHandle(key));
        Ok(UdpHandle(key))
    }

    /// Names the only peer of a socket: others are no longer heard, and errors about it are told.
    ///
    /// # Errors
    /// `InvalidAddress`, `Unreachable` without an address of that family.
    pub fn udp_connect(&mut self, handle: UdpHandle, remote: SocketAddr) -> Result<(), SocketError> {
        if remote.port() == 0 || is_invalid_destination(remote.ip()) {
            return Err(SocketError::InvalidAddress);
        }
        self.own_source(remote.ip()).ok_or(SocketError::Unreachable)?;
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        socket.remote = Some(remote);
        Ok(())
    }

    /// Sends one datagram, to `to` or to the peer of a connected socket.
    ///
    /// # Errors
    /// `NotConnected` without either, `InvalidArgument` for more than one packet holds, `WouldBlock` when the queue is
    /// full, or the error that ICMP reported about an earlier one.
    // 1122-3.3.3: what the link cannot carry whole is refused (fragments come with the host issue).
    pub fn udp_send(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        to: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<usize, SocketError> {
        self.advance_to(now);
        let mtu = self.config.mtu;
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        let (local, hop_limit) = (socket.local, socket.hop_limit);
        let to = to.or(socket.remote).ok_or(SocketError::NotConnected)?;
        if to.port() == 0 || is_invalid_destination(to.ip()) {
            return Err(SocketError::InvalidAddress);
        }
        let source = if local.ip().is_unspecified() {
            self.own_source(to.ip()).ok_or(SocketError::Unreachable)?
        } else {
            local.ip()
        };
        if source.is_ipv6() != to.is_ipv6() {
            return Err(SocketError::InvalidAddress);
        }
        let (ip_len, most) = if to.is_ipv6() { (40, MAX_PAYLOAD_V6) } else { (20, MAX_PAYLOAD_V4) };
        if data.len() > most.min(mtu - ip_len - 8) {
            return Err(SocketError::InvalidArgument);
        }
        let mut packet = vec![0; ip_len + 8 + data.len()];
        let header = IpHeader {
            source,
            destination: to.ip(),
            protocol: protocol::UDP,
            hop_limit,
            traffic_class: 0,
            identification: self.identification,
            dont_fragment: false,
        };
        emit_ip(&header, 8 + data.len(), &mut packet);
        let ports = UdpHeader { source_port: local.port(), destination_port: to.port() };
        udp::emit(source, to.ip(), &ports, data, &mut packet[ip_len..]);
        packet[ip_len + 8..].copy_from_slice(data);
        if self.push_outgoing(Outgoing::Packet(packet)) { Ok(data.len()) } else { Err(SocketError::WouldBlock) }
    }

    /// The next datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, or the error that ICMP reported about one sent.
    pub fn udp_receive(&mut self, handle: UdpHandle) -> Result<Datagram, SocketError> {
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        if let Some(datagram) = socket.pop() {
            return Ok(datagram);
        }
        Err(socket.error.take().unwrap_or(SocketError::WouldBlock))
    }

    /// Takes the error that ICMP reported about a datagram sent.
    pub fn udp_take_error(&mut self, handle: UdpHandle) -> Option<SocketError> {
        self.sockets.get_mut(handle.0).and_then(|socket| socket.error.take())
    }

    /// A socket, to look at.
    pub fn udp_socket(&self, handle: UdpHandle) -> Option<&Socket> {
        self.sockets.get(handle.0)
    }

    /// Sets the TTL or hop limit of a socket.
    ///
    /// # Errors
    /// `InvalidArgument` for 0.
    pub fn udp_set_hop_limit(&mut self, handle: UdpHandle, hop_limit: u8) -> Result<(), SocketError> {
        if hop_limit == 0 {
            return Err(SocketError::InvalidArgument);
        }
        self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?.hop_limit = hop_limit;
        Ok(())
    }

    /// Closes a socket.
    pub fn udp_close(&mut self, handle: UdpHandle) {
        let Some(socket) = self.sockets.remove(handle.0) else { return };
        if let Some(handles) = self.socket_ports.get_mut(&socket.local.port()) {
            handles.retain(|&other| other != handle);
            if handles.is_empty() {
                self.socket_ports.remove(&socket.local.port());
            }
        }
    }
}
