//! UDP (RFC 768): sockets with a bounded queue of whole datagrams.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::error::SocketError;
use crate::time::Instant;

/// Datagrams that may wait in one socket.
pub const MAX_QUEUED_DATAGRAMS: usize = 1_024;

/// Octets that may wait in one socket.
pub const MAX_QUEUED_OCTETS: usize = 1 << 20;

/// The largest payload of a datagram over IPv4 (65,535 less both headers).
pub const MAX_PAYLOAD_V4: usize = 65_507;

/// The largest payload over IPv6.
pub const MAX_PAYLOAD_V6: usize = 65_527;

/// A datagram that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// From whom.
    pub source: SocketAddr,
    /// To which address of ours.
    pub destination: SocketAddr,
    /// The payload.
    pub data: Vec<u8>,
    /// When it arrived.
    pub arrived: Instant,
}

/// One socket.
#[derive(Debug)]
pub struct Socket {
    /// The address and port; an unspecified address stands for all of its family, `::` for both families.
    pub local: SocketAddr,
    /// The only peer, once connected.
    pub remote: Option<SocketAddr>,
    /// TTL or hop limit of what is sent.
    pub hop_limit: u8,
    /// An ICMP error about what was sent, until the application is told.
    pub error: Option<SocketError>,
    /// Something happened since the application last looked.
    pub event: bool,
    queue: VecDeque<Datagram>,
    octets: usize,
}

impl Socket {
    /// A bound socket.
    pub fn new(local: SocketAddr, hop_limit: u8) -> Socket {
        Socket { local, remote: None, hop_limit, error: None, event: false, queue: VecDeque::new(), octets: 0 }
    }

    /// The socket takes datagrams from `source` to `destination`, and how exactly it names them: the most exact wins.
    pub fn matches(&self, source: SocketAddr, destination: SocketAddr) -> Option<u8> {
        let address = self.local.ip();
        let bound = match address.is_unspecified() {
            false if address == destination.ip() => 1,
            true if address.is_ipv6() || destination.is_ipv4() => 0,
            _ => return None,
        };
        match self.remote {
            None => Some(bound),
            Some(remote) if remote == source => Some(2 + bound),
            Some(_) => None,
        }
    }

    /// Queues a datagram; false if there is no room.
    pub fn push(&mut self, datagram: Datagram) -> bool {
        if self.queue.len() >= MAX_QUEUED_DATAGRAMS || self.octets + datagram.data.len() > MAX_QUEUED_OCTETS {
            return false;
        }
        self.octets += datagram.data.len();
        self.queue.push_back(datagram);
        self.event = true;
        true
    }

    /// The next datagram, whole: what does not fit into the caller's buffer is lost, as with every UDP socket.
    // 768-4: a datagram is never merged with another.
    pub fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.queue.pop_front()?;
        self.octets -= datagram.data.len();
        Some(datagram)
    }

    /// The next datagram, which stays.
    pub fn peek(&self) -> Option<&Datagram> {
        self.queue.front()
    }

    /// Something waits: a datagram or an error.
    pub fn is_readable(&self) -> bool {
        !self.queue.is_empty() || self.error.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(len: usize) -> Datagram {
        let address = "10.0.0.1:9".parse().unwrap();
        Datagram { source: address, destination: address, data: vec![7; len], arrived: Instant::ZERO }
    }

    /// 768-4
    #[test]
    fn the_queue_is_bounded_and_keeps_datagrams_apart() {
        let mut socket = Socket::new("10.0.0.2:9".parse().unwrap(), 64);
        assert!(socket.push(datagram(0)) && socket.push(datagram(5)));
        assert_eq!([socket.pop().unwrap().data.len(), socket.pop().unwrap().data.len()], [0, 5]);
        let taken = (0..10_000).filter(|_| socket.push(datagram(1_400))).count();
        assert_eq!(taken, MAX_QUEUED_OCTETS / 1_400);
        let mut small = Socket::new("10.0.0.2:9".parse().unwrap(), 64);
        assert_eq!((0..10_000).filter(|_| small.push(datagram(1))).count(), MAX_QUEUED_DATAGRAMS);
    }

    #[test]
    fn the_most_exact_socket_wins() {
        let (source, destination) = ("10.0.0.1:5".parse().unwrap(), "10.0.0.2:9".parse().unwrap());
        let rank = |local: &str, remote: Option<&str>| {
            let mut socket = Socket::new(local.parse().unwrap(), 64);
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
}
