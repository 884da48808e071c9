//! UDP sockets: the calls of the application. What arrives is in `udp_input`, what it sends in `udp_send`.

use std::net::{IpAddr, SocketAddr};

use super::Stack;
use super::flow::UdpHandle;
use crate::error::SocketError;
use crate::ip::address::{canonical, is_invalid_destination, is_loopback};
use crate::ip::bind::BindOptions;
use crate::ip::sent_datagrams::Largest;
use crate::udp::{Datagram, RecvMeta, Socket, UdpOptions};

impl Stack {
    /// Opens a UDP socket. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddressNotAvailable`, `AddressInUse`, `NoBuffers`.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpHandle, SocketError> {
        self.udp_bind_with(local, &BindOptions::default())
    }

    /// As [`Stack::udp_bind`], with all that can be chosen.
    ///
    /// # Errors
    /// Those of [`Stack::udp_bind`].
    pub fn udp_bind_with(&mut self, local: SocketAddr, bind: &BindOptions) -> Result<UdpHandle, SocketError> {
        let group = local.ip().is_multicast() || self.is_broadcast(local.ip());
        let mut local = if group { canonical(local) } else { self.bindable(local)? };
        if bind.any_port {
            local.set_port(0);
        } else if local.port() == 0 {
            local.set_port(self.free_port(&self.bound, |_| false)?);
        }
        if !self.bound.is_free(local, bind) {
            return Err(SocketError::AddressInUse);
        }
        let host = self.config.tcp.socket;
        let socket = Socket::new(local, *bind, UdpOptions::new(host.hop_limit, host.dscp));
        let handle = UdpHandle(self.sockets.insert(socket).ok_or(SocketError::NoBuffers)?);
        self.bound.insert(local, bind, handle);
        Ok(handle)
    }

    /// Names the only peer of a socket: others are no longer heard, and errors about it are told. A socket that was bound to
    /// all addresses has from now on the one that suits the peer.
    ///
    /// # Errors
    /// `InvalidAddress`, `Unreachable` without an address of that family, `PermissionDenied` for a broadcast address.
    pub fn udp_connect(&mut self, handle: UdpHandle, remote: SocketAddr) -> Result<(), SocketError> {
        let remote = canonical(remote);
        if remote.port() == 0 || is_invalid_destination(remote.ip()) && !is_loopback(remote.ip()) {
            return Err(SocketError::InvalidAddress);
        }
        let broadcast = self.is_broadcast(remote.ip());
        let own = self.own_source(remote.ip()).ok_or(SocketError::Unreachable)?;
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        if broadcast && !socket.options.broadcast {
            return Err(SocketError::PermissionDenied);
        }
        match socket.bound {
            all if all.is_unspecified() && (all.is_ipv6() || remote.is_ipv4()) => socket.local.set_ip(own),
            IpAddr::V4(_) if remote.is_ipv4() => {}
            IpAddr::V6(_) if remote.is_ipv6() => {}
            _ => return Err(SocketError::InvalidAddress),
        }
        self.udp_set_peer(handle, Some(remote));
        Ok(())
    }

    /// The socket hears this peer only, or, without one, everybody again: the tables say so.
    fn udp_set_peer(&mut self, handle: UdpHandle, remote: Option<SocketAddr>) {
        let Some(socket) = self.sockets.get_mut(handle.0) else { return };
        let (bound, bind) = (SocketAddr::new(socket.bound, socket.local.port()), socket.bind);
        let old = std::mem::replace(&mut socket.remote, remote);
        socket.largest = Largest::default();
        if let Some(old) = old {
            self.connected.remove(self.connected_hash(bound.port(), old), handle.0);
        }
        if let Some(remote) = remote {
            self.connected.insert(self.connected_hash(bound.port(), remote), handle.0);
        }
        self.bound.set_open(bound, &bind, handle, remote.is_none());
    }

    /// The next datagram, one by itself also where several came in one piece.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, or the error that ICMP reported about one sent.
    pub fn udp_receive(&mut self, handle: UdpHandle) -> Result<Datagram, SocketError> {
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        let datagram = socket.queue.pop(&mut self.udp_memory);
        datagram.ok_or_else(|| socket.error.take().unwrap_or(SocketError::WouldBlock))
    }

    /// The next datagram into a buffer; with `coalesced` as many as fit of those that came in one piece.
    ///
    /// # Errors
    /// Those of [`Stack::udp_receive`].
    pub fn udp_receive_into(
        &mut self,
        handle: UdpHandle,
        buffer: &mut [u8],
        coalesced: bool,
    ) -> Result<RecvMeta, SocketError> {
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        let read = socket.queue.read(buffer, coalesced, &mut self.udp_memory);
        read.ok_or_else(|| socket.error.take().unwrap_or(SocketError::WouldBlock))
    }

    /// The next datagram into a buffer; it stays.
    ///
    /// # Errors
    /// Those of [`Stack::udp_receive`].
    pub fn udp_peek(&mut self, handle: UdpHandle, buffer: &mut [u8]) -> Result<RecvMeta, SocketError> {
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        let read = socket.queue.peek(buffer);
        read.ok_or_else(|| socket.error.take().unwrap_or(SocketError::WouldBlock))
    }

    /// Takes the error that ICMP reported about a datagram sent.
    pub fn udp_take_error(&mut self, handle: UdpHandle) -> Option<SocketError> {
        self.sockets.get_mut(handle.0).and_then(|socket| socket.error.take())
    }

    /// A socket, to look at.
    pub fn udp_socket(&self, handle: UdpHandle) -> Option<&Socket> {
        self.sockets.get(handle.0)
    }

    /// Changes the options of a socket.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of their bounds, `AddressNotAvailable` for a source of multicast that is not ours;
    /// nothing is changed then.
    pub fn udp_set_options(
        &mut self,
        handle: UdpHandle,
        change: impl FnOnce(&mut UdpOptions),
    ) -> Result<(), SocketError> {
        let mut options = self.sockets.get(handle.0).ok_or(SocketError::BadHandle)?.options.clone();
        change(&mut options);
        if !options.is_valid() {
            return Err(SocketError::InvalidArgument);
        }
        if options.multicast_source.is_some_and(|address| !self.is_own(address)) {
            return Err(SocketError::AddressNotAvailable);
        }
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        socket.queue.limit = options.receive_capacity;
        socket.options = options;
        Ok(())
    }

    /// Sets the TTL or hop limit of a socket.
    ///
    /// # Errors
    /// `InvalidArgument` for 0.
    // 1122-4.1.4
    pub fn udp_set_hop_limit(&mut self, handle: UdpHandle, hop_limit: u8) -> Result<(), SocketError> {
        self.udp_set_options(handle, |options| options.hop_limit = hop_limit)
    }

    /// Closes a socket. What it has sent still leaves.
    pub fn udp_close(&mut self, handle: UdpHandle) {
        // So that no table leads to it any more.
        self.udp_set_peer(handle, None);
        let Some(mut socket) = self.sockets.remove(handle.0) else { return };
        socket.queue.clear(&mut self.udp_memory);
        self.leave_all(&socket.groups);
        self.bound.remove(SocketAddr::new(socket.bound, socket.local.port()), &socket.bind, handle);
    }

    /// Octets that wait in all UDP sockets for the application, overhead included.
    pub fn udp_memory(&self) -> usize {
        self.udp_memory.charged()
    }

    /// The broadcast address of the link or of a network of ours.
    pub(super) fn is_broadcast(&self, address: IpAddr) -> bool {
        let limited = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        limited || self.config.addresses.iter().any(|cidr| cidr.is_broadcast(address))
    }
}
