//! One UDP socket: where it is bound, what it is told to do, what waits in it.

use std::net::{IpAddr, SocketAddr};

use super::datagram::Fragmentation;
use super::queue::Queue;
use super::{RECEIVE_CAPACITY, SEND_CAPACITY};
use crate::error::SocketError;
use crate::ip::bind::BindOptions;
use crate::ip::sent_datagrams::Largest;

/// What the application may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// TTL or hop limit of what is sent to one host, 1 to 255.
    // 1122-4.1.4
    pub hop_limit: u8,
    /// Differentiated services codepoint of what is sent (RFC 2474), 0 to 63. The ECN bits are set for each datagram.
    pub dscp: u8,
    /// What becomes of datagrams that are too long.
    pub fragmentation: Fragmentation,
    /// Datagrams may be sent to a broadcast address.
    pub broadcast: bool,
    /// TTL of what is sent to an IPv4 group; 0: it stays on this host.
    // 1112-6.1: 1 unless the application says otherwise, so that nothing leaves the link by accident.
    pub multicast_ttl_v4: u8,
    /// Hop limit of what is sent to an IPv6 group; 0: it stays on this host.
    pub multicast_hops_v6: u8,
    /// What is sent to an IPv4 group is delivered to the members on this host, too.
    pub multicast_loop_v4: bool,
    /// The same for IPv6.
    pub multicast_loop_v6: bool,
    /// From which of our addresses datagrams to groups are sent, where there are several.
    pub multicast_source: Option<IpAddr>,
    /// Octets that may wait for the application, overhead included.
    pub receive_capacity: usize,
    /// Octets that may wait for the device, overhead included. One datagram is always taken.
    pub send_capacity: usize,
}

impl UdpOptions {
    /// The defaults, with the hop limit and codepoint of the host.
    pub fn new(hop_limit: u8, dscp: u8) -> UdpOptions {
        UdpOptions {
            hop_limit,
            dscp,
            fragmentation: Fragmentation::Allowed,
            broadcast: false,
            multicast_ttl_v4: 1,
            multicast_hops_v6: 1,
            multicast_loop_v4: true,
            multicast_loop_v6: true,
            multicast_source: None,
            receive_capacity: RECEIVE_CAPACITY,
            send_capacity: SEND_CAPACITY,
        }
    }

    /// Everything lies within its bounds.
    pub fn is_valid(&self) -> bool {
        self.hop_limit > 0 && self.dscp < 64 && self.receive_capacity > 0 && self.send_capacity > 0
    }
}

/// One socket.
#[derive(Debug)]
pub struct Socket {
    /// The address and port; an unspecified address stands for all of its family, `::` for both families. A socket that was
    /// bound to all has one address while it is connected.
    pub local: SocketAddr,
    /// The address that it was bound to.
    pub bound: IpAddr,
    /// How it is bound to it.
    pub bind: BindOptions,
    /// The only peer, once connected.
    pub remote: Option<SocketAddr>,
    /// What the application has set.
    pub options: UdpOptions,
    /// Groups that it has joined.
    pub groups: Vec<IpAddr>,
    /// An ICMP error about what was sent, until the application is told.
    pub error: Option<SocketError>,
    /// Something happened since the application last looked.
    pub event: bool,
    /// What waits for the application.
    pub queue: Queue,
    /// Octets that wait for the device, overhead included.
    pub sending: usize,
    /// The largest that was sent lately to its only peer.
    pub largest: Largest,
}

impl Socket {
    /// A bound socket.
    pub fn new(local: SocketAddr, bind: BindOptions, options: UdpOptions) -> Socket {
        Socket {
            local,
            bound: local.ip(),
            bind,
            remote: None,
            groups: Vec::new(),
            error: None,
            event: false,
            queue: Queue::new(options.receive_capacity),
            sending: 0,
            largest: Largest::default(),
            options,
        }
    }

    /// The socket takes datagrams from `source` to `destination`, and how exactly it names them: the most exact wins.
    pub fn matches(&self, source: SocketAddr, destination: SocketAddr) -> Option<u8> {
        let address = self.local.ip();
        let bound = match address.is_unspecified() {
            false if address == destination.ip() => 1,
            true if destination.is_ipv6() && address.is_ipv6() => 0,
            true if destination.is_ipv4() && (address.is_ipv4() || !self.bind.only_v6) => 0,
            _ => return None,
        };
        match self.remote {
            None => Some(bound),
            Some(remote) if remote == source => Some(2 + bound),
            Some(_) => None,
        }
    }

    /// Something waits: a datagram or an error.
    pub fn is_readable(&self) -> bool {
        !self.queue.is_empty() || self.error.is_some()
    }

    /// At least half of what it may have waiting is free: then any message finds room, and it is writable.
    // As in Linux (`sock_writeable`). An application that waits for room does not say for how much; if less were enough to
    // wake it, one with a large message would be woken for nothing, without end.
    pub fn has_half_its_send_room(&self) -> bool {
        self.sending == 0 || self.sending < self.options.send_capacity / 2
    }

    /// There is room for a message of so many octets.
    pub fn has_send_room(&self, octets: usize) -> bool {
        self.has_half_its_send_room() || self.sending + octets <= self.options.send_capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_socket_wins() {
        let (source, destination) = ("10.0.0.1:5".parse().unwrap(), "10.0.0.2:9".parse().unwrap());
        let rank = |local: &str, remote: Option<&str>| {
            let mut socket = Socket::new(local.parse().unwrap(), BindOptions::default(), UdpOptions::new(64, 0));
            socket.remote = remote.map(|remote| remote.parse().unwrap());
            socket.matches(source, destination)
        };
        assert_eq!(rank("0.0.0.0:9", None), Some(0));
        assert_eq!(rank("[::]:9", None), Some(0));
        assert_eq!(rank("10.0.0.2:9", None), Some(1));
        assert_eq!(rank("0.0.0.0:9", Some("10.0.0.1:5")), Some(2));
        assert_eq!(rank("10.0.0.2:9", Some("10.0.0.1:5")), Some(3));
        assert_eq!(rank("10.0.0.2:9", Some("10.0.0.1:6")), None);
        assert_eq!(rank("10.0.0.3:9", None), None);
    }

    #[test]
    fn options_have_bounds() {
        let with = |change: fn(&mut UdpOptions)| {
            let mut options = UdpOptions::new(64, 0);
            change(&mut options);
            options.is_valid()
        };
        assert!(with(|_| {}) && with(|options| options.multicast_ttl_v4 = 0) && with(|options| options.dscp = 63));
        assert!(!with(|options| options.hop_limit = 0) && !with(|options| options.dscp = 64));
        assert!(!with(|options| options.receive_capacity = 0) && !with(|options| options.send_capacity = 0));
    }
}
