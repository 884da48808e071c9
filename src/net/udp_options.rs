//! What can be set on a [`UdpSocket`], as in `std::net` and beyond.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::UdpSocket;
use super::modes::hop_limit;
use crate::error::SocketError;
use crate::stack::{Stack, UdpHandle};
use crate::time::Instant;
use crate::udp::{Fragmentation, UdpOptions};

/// A TTL of multicast: 0 stays on this host.
fn multicast_hops(ttl: u32) -> io::Result<u8> {
    u8::try_from(ttl).map_err(|_| SocketError::InvalidArgument.into())
}

/// There is one interface; 0 lets the system choose.
fn only_interface(index: u32) -> io::Result<()> {
    if index <= 1 { Ok(()) } else { Err(SocketError::AddressNotAvailable.into()) }
}

/// As in `std::net`.
impl UdpSocket {
    fn option<R>(&self, get: impl FnOnce(&UdpOptions) -> R) -> io::Result<R> {
        self.look(|socket| get(&socket.options))
    }

    /// Allows to send to a broadcast address, which fails with `PermissionDenied` otherwise.
    ///
    /// # Errors
    /// `NetworkDown` after [`Net::close`](super::Net::close), as all calls here.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.set(|options| options.broadcast = broadcast)
    }

    /// See [`UdpSocket::set_broadcast`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.option(|options| options.broadcast)
    }

    /// The TTL or hop limit of what is sent to one host, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that, `NetworkDown`.
    // 1122-4.1.4
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let limit = hop_limit(ttl)?;
        self.set(|options| options.hop_limit = limit)
    }

    /// See [`UdpSocket::set_ttl`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.option(|options| options.hop_limit.into())
    }

    /// Whether members on this host hear what this socket sends to an IPv4 group. On by default.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.set(|options| options.multicast_loop_v4 = multicast_loop_v4)
    }

    /// See [`UdpSocket::set_multicast_loop_v4`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.option(|options| options.multicast_loop_v4)
    }

    /// The TTL of what is sent to an IPv4 group, 0 to 255; 0 stays on this host. 1 by default, which stays on the link.
    ///
    /// # Errors
    /// `InvalidInput` beyond 255, `NetworkDown`.
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        let hops = multicast_hops(multicast_ttl_v4)?;
        self.set(|options| options.multicast_ttl_v4 = hops)
    }

    /// See [`UdpSocket::set_multicast_ttl_v4`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.option(|options| options.multicast_ttl_v4.into())
    }

    /// Joins an IPv4 group: datagrams to it and to the port of this socket are heard from now on. The interface is one of our
    /// addresses or the unspecified one; there is but one interface.
    ///
    /// # Errors
    /// `InvalidInput` for what is no group, `AddrInUse` if it is joined already, `AddrNotAvailable` for an interface that is
    /// not ours, `OutOfMemory` for too many, `NetworkDown`.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.membership(IpAddr::V4(*multiaddr), Some(*interface), Stack::udp_join)
    }

    /// Leaves an IPv4 group.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it was not joined, and those of [`UdpSocket::join_multicast_v4`].
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.membership(IpAddr::V4(*multiaddr), Some(*interface), Stack::udp_leave)
    }

    /// Joins an IPv6 group. The interface is 0, "any", or 1, the only one.
    ///
    /// # Errors
    /// Those of [`UdpSocket::join_multicast_v4`].
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        only_interface(interface)?;
        self.membership(IpAddr::V6(*multiaddr), None, Stack::udp_join)
    }

    /// Leaves an IPv6 group.
    ///
    /// # Errors
    /// Those of [`UdpSocket::leave_multicast_v4`].
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        only_interface(interface)?;
        self.membership(IpAddr::V6(*multiaddr), None, Stack::udp_leave)
    }

    fn membership(
        &self,
        group: IpAddr,
        interface: Option<Ipv4Addr>,
        call: fn(&mut Stack, Instant, UdpHandle, IpAddr) -> Result<(), SocketError>,
    ) -> io::Result<()> {
        let handle = self.handle();
        self.shard().call(|core, now| {
            core.usable().map_err(|error| core.explain(error))?;
            let interface = interface.filter(|address| !address.is_unspecified());
            let known = |address| core.stack.config().addresses.iter().any(|cidr| cidr.address == IpAddr::V4(address));
            if !interface.is_none_or(known) {
                return Err(SocketError::AddressNotAvailable.into());
            }
            call(&mut core.stack, now, handle, group).map_err(|error| core.explain(error))
        })
    }

    /// Whether members on this host hear what this socket sends to an IPv6 group. On by default.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.set(|options| options.multicast_loop_v6 = multicast_loop_v6)
    }

    /// See [`UdpSocket::set_multicast_loop_v6`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.option(|options| options.multicast_loop_v6)
    }
}

/// Beyond `std::net`.
impl UdpSocket {
    /// The hop limit of what is sent to an IPv6 group, 0 to 255; 0 stays on this host. 1 by default.
    ///
    /// # Errors
    /// `InvalidInput` beyond 255, `NetworkDown`.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        let hops = multicast_hops(hops)?;
        self.set(|options| options.multicast_hops_v6 = hops)
    }

    /// See [`UdpSocket::set_multicast_hops_v6`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        self.option(|options| options.multicast_hops_v6.into())
    }

    /// From which of our addresses datagrams to groups are sent (`IP_MULTICAST_IF`), where the socket is bound to none.
    ///
    /// # Errors
    /// `AddrNotAvailable` for an address that is not ours, `NetworkDown`.
    pub fn set_multicast_source(&self, source: Option<IpAddr>) -> io::Result<()> {
        self.set(|options| options.multicast_source = source)
    }

    /// The differentiated services codepoint of what is sent (RFC 2474), 0 to 63. ECN bits go with each
    /// [`Message`](super::Message).
    ///
    /// # Errors
    /// `InvalidInput` beyond 63, `NetworkDown`.
    // 1122-4.1.4
    pub fn set_dscp(&self, dscp: u8) -> io::Result<()> {
        self.set(|options| options.dscp = dscp)
    }

    /// See [`UdpSocket::set_dscp`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn dscp(&self) -> io::Result<u8> {
        self.option(|options| options.dscp)
    }

    /// What becomes of datagrams that are longer than the path takes. Those who probe the path by themselves, as QUIC does,
    /// want [`Fragmentation::Probe`].
    ///
    /// # Errors
    /// `NetworkDown`.
    // 8899-4.4
    pub fn set_fragmentation(&self, fragmentation: Fragmentation) -> io::Result<()> {
        self.set(|options| options.fragmentation = fragmentation)
    }

    /// See [`UdpSocket::set_fragmentation`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn fragmentation(&self) -> io::Result<Fragmentation> {
        self.option(|options| options.fragmentation)
    }

    /// Octets that may wait to be received, overhead of some 200 octets for each datagram included; one datagram is always
    /// taken. 1 MiB by default.
    ///
    /// # Errors
    /// `InvalidInput` for 0, `NetworkDown`.
    pub fn set_recv_buffer_size(&self, octets: usize) -> io::Result<()> {
        self.set(|options| options.receive_capacity = octets)
    }

    /// See [`UdpSocket::set_recv_buffer_size`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.option(|options| options.receive_capacity)
    }

    /// Octets that may wait for the device, overhead included; one message is always taken. 256 KiB by default.
    ///
    /// # Errors
    /// `InvalidInput` for 0, `NetworkDown`.
    pub fn set_send_buffer_size(&self, octets: usize) -> io::Result<()> {
        self.set(|options| options.send_capacity = octets)
    }

    /// See [`UdpSocket::set_send_buffer_size`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.option(|options| options.send_capacity)
    }
}
