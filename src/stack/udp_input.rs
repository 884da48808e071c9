//! Datagrams that arrive, and ICMP errors about those that were sent.

use std::net::{Ipv4Addr, SocketAddr};

use super::Stack;
use super::flow::{SocketHandle, UdpHandle};
use super::groups::hears;
use super::siblings::Inquiry;
use crate::counters::DropReason;
use crate::device::{RxChecksum, RxMeta};
use crate::error::SocketError;
use crate::ip::input::Addressed;
use crate::time::Instant;
use crate::udp::{Datagram, Fragmentation, Full, Socket};
use crate::wire::icmp::IcmpError;
use crate::wire::{IpPacket, udp};

/// What a datagram says of itself; its payload is copied once it is known that somebody takes it.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub hop_limit: u8,
    pub traffic_class: u8,
    pub data: &'a [u8],
    /// Octets of each datagram; 0 if there is but one.
    pub stride: usize,
    pub arrived: Instant,
}

impl Incoming<'_> {
    fn to_datagram(self) -> Datagram {
        let Incoming { source, destination, hop_limit, traffic_class, data, stride, arrived } = self;
        let stride = if stride == 0 { data.len() } else { stride.min(data.len()) };
        Datagram { source, destination, hop_limit, traffic_class, data: data.to_vec(), stride, arrived }
    }
}

impl Stack {
    pub(super) fn udp_input(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        addressed: Addressed,
        meta: &RxMeta,
    ) -> Result<(), DropReason> {
        let vouched = meta.checksum != RxChecksum::Unverified;
        let (header, data) = udp::parse(packet.source, packet.destination, packet.payload, !vouched)?;
        let incoming = Incoming {
            source: SocketAddr::new(packet.source, header.source_port),
            destination: SocketAddr::new(packet.destination, header.destination_port),
            hop_limit: packet.hop_limit,
            traffic_class: packet.traffic_class,
            data,
            stride: meta.gso_size.into(),
            arrived,
        };
        if addressed == Addressed::Group {
            if self.leaves(|| Inquiry::Group { group: packet.destination, whole: true }) {
                return Err(DropReason::Unclaimed);
            }
            return self.udp_deliver_to_group(incoming);
        }
        let Some(handle) = self.udp_socket_for(incoming.source, incoming.destination) else {
            if self.leaves(|| Inquiry::Datagram(incoming.source, incoming.destination)) {
                return Err(DropReason::Unclaimed);
            }
            // 1122-4.1.3.1
            self.report_port_unreachable(packet, addressed);
            return Err(DropReason::UdpNoSocket);
        };
        self.udp_deliver(handle, incoming)
    }

    /// A datagram to a group or to everybody goes to each socket of this stack that takes it.
    pub(super) fn udp_deliver_to_group(&mut self, incoming: Incoming<'_>) -> Result<(), DropReason> {
        let takers = self.udp_takers(incoming.source, incoming.destination);
        let mut result = Err(DropReason::UdpNoSocket);
        for handle in takers {
            // One that is full is no reason to drop it for the others.
            let delivered = self.udp_deliver(handle, incoming);
            if result.is_err() {
                result = delivered;
            }
        }
        result
    }

    /// All sockets that take a datagram to a group.
    fn udp_takers(&self, source: SocketAddr, destination: SocketAddr) -> Vec<UdpHandle> {
        let takes =
            |socket: &Socket| hears(&socket.groups, destination.ip()) && socket.matches(source, destination).is_some();
        self.bound.all(destination).filter(|handle| self.sockets.get(handle.0).is_some_and(takes)).collect()
    }

    fn udp_deliver(&mut self, handle: UdpHandle, incoming: Incoming<'_>) -> Result<(), DropReason> {
        let socket = self.sockets.get_mut(handle.0).ok_or(DropReason::UdpNoSocket)?;
        socket.queue.admit(incoming.data.len(), &self.udp_memory).map_err(|full| match full {
            Full::Queue => DropReason::UdpQueueFull,
            Full::Memory => DropReason::UdpNoMemory,
        })?;
        let datagram = incoming.to_datagram();
        self.counters.datagrams_in += datagram.count();
        socket.queue.push(datagram, &mut self.udp_memory);
        self.udp_event(handle);
        Ok(())
    }

    fn udp_event(&mut self, handle: UdpHandle) {
        if let Some(socket) = self.sockets.get_mut(handle.0).filter(|socket| !socket.event) {
            socket.event = true;
            self.ready.push_back(SocketHandle::Udp(handle));
        }
    }

    /// The socket that names the datagram most exactly: one whose peer sent it, then by where it is bound.
    pub(super) fn udp_socket_for(&self, source: SocketAddr, destination: SocketAddr) -> Option<UdpHandle> {
        if !self.connected.is_empty()
            && let Some(socket) = self.connected_socket_for(source, destination)
        {
            return Some(socket);
        }
        let hash = || self.hasher.hash((destination.ip(), destination.port()), (source.ip(), source.port()));
        self.bound.find(destination, hash)
    }

    fn connected_socket_for(&self, source: SocketAddr, destination: SocketAddr) -> Option<UdpHandle> {
        // The most exact one: by its port and address, by its port, by its address, by neither.
        let port = destination.port();
        let places = [(port, 3), (port, 2), (0, 3), (0, 2)];
        let found = places.into_iter().find_map(|(port, rank)| {
            self.connected.find(self.connected_hash(port, source), |key| {
                let socket = self.sockets.get(key).filter(|socket| socket.local.port() == port);
                socket.and_then(|socket| socket.matches(source, destination)) == Some(rank)
            })
        });
        found.map(UdpHandle)
    }

    pub(super) fn connected_hash(&self, port: u16, remote: SocketAddr) -> u64 {
        self.hasher.hash((Ipv4Addr::UNSPECIFIED.into(), port), (remote.ip(), remote.port()))
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
        let learned = match error {
            IcmpError::PacketTooBig { mtu } => {
                self.datagram_too_big(handle, local, remote, mtu)?;
                true
            }
            _ => false,
        };
        let socket = self.sockets.get_mut(handle.0).ok_or(DropReason::IcmpUnmatched)?;
        if socket.remote != Some(remote) {
            // A socket of many peers is told nothing, but the path is known now.
            return if learned { Ok(()) } else { Err(DropReason::IcmpUnmatched) };
        }
        let told = match error {
            IcmpError::DestinationUnreachable { .. } if IcmpError::port_unreachable(remote.ip()) == error => {
                Some(SocketError::Refused)
            }
            IcmpError::DestinationUnreachable { .. } => Some(SocketError::Unreachable),
            // Who leaves fragmenting to the network need not know.
            IcmpError::PacketTooBig { .. } if socket.options.fragmentation != Fragmentation::Allowed => {
                Some(SocketError::MessageTooLong)
            }
            _ => None,
        };
        if told.is_some() {
            socket.error = told;
            self.udp_event(handle);
        }
        Ok(())
    }
}
