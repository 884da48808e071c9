//! Datagrams: what arrives with them, and what the application says about those that it sends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::time::Instant;
use crate::wire::ecn::EcnCodepoint;

/// A datagram that has arrived, or a super-datagram: several of the same flow that the device handed over in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// From whom.
    pub source: SocketAddr,
    /// To which address of ours, or to which group or broadcast address.
    // 1122-4.1.3.5: the application is told, and can answer from there.
    pub destination: SocketAddr,
    /// TTL or hop limit as it arrived.
    pub hop_limit: u8,
    /// TOS octet or traffic class as it arrived: DSCP in the upper six bits, ECN in the lower two.
    // 1122-4.1.4
    pub traffic_class: u8,
    /// The payload.
    pub data: Vec<u8>,
    /// Octets of each datagram in `data`, of which the last may be shorter; that of `data` if there is but one.
    pub stride: usize,
    /// When it arrived.
    pub arrived: Instant,
}

impl Datagram {
    /// How many datagrams it is.
    pub fn count(&self) -> u64 {
        if self.data.len() <= self.stride { 1 } else { self.data.len().div_ceil(self.stride) as u64 }
    }
}

/// What is told of a received datagram beside its octets. With `len > stride` these are several datagrams, one behind the
/// other, all but the last `stride` octets long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvMeta {
    /// From whom.
    pub source: SocketAddr,
    /// To which address of ours, or to which group or broadcast address.
    pub destination: SocketAddr,
    /// Octets stored in the buffer.
    pub len: usize,
    /// Octets of each datagram.
    pub stride: usize,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// When it arrived, by the clock of the stack.
    pub arrived: Instant,
    /// The buffer was too short, and the end of the datagram is lost.
    pub truncated: bool,
}

impl RecvMeta {
    /// The ECN codepoint; `None`: not ECN-capable.
    pub const fn ecn(&self) -> Option<EcnCodepoint> {
        EcnCodepoint::of(self.traffic_class)
    }

    /// The differentiated services codepoint (RFC 2474), 0 to 63.
    pub const fn dscp(&self) -> u8 {
        self.traffic_class >> 2
    }
}

impl Default for RecvMeta {
    /// Of nothing, to fill arrays with.
    fn default() -> RecvMeta {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        RecvMeta {
            source: nowhere,
            destination: nowhere,
            len: 0,
            stride: 0,
            hop_limit: 0,
            traffic_class: 0,
            arrived: Instant::ZERO,
            truncated: false,
        }
    }
}

/// A datagram to send, or several to the same end in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// To whom; `None`: to the peer of a connected socket.
    pub destination: Option<SocketAddr>,
    /// From which of our addresses; `None`: that of the socket, or the one that suits the destination. The port is that of
    /// the socket or 0, which means the same: the destination of what was received will do. A socket of any port has none of
    /// its own, so there a source has to be given.
    // 1122-4.1.3.5
    pub source: Option<SocketAddr>,
    /// The payload.
    pub data: &'a [u8],
    /// Send `data` as datagrams of so many octets each, the last of which may be shorter. At most
    /// [`MAX_SEGMENTS`](super::MAX_SEGMENTS).
    pub segment_size: Option<usize>,
    /// The ECN codepoint; `None`: not ECN-capable.
    // 1122-4.1.4
    pub ecn: Option<EcnCodepoint>,
}

impl<'a> Message<'a> {
    /// One datagram to the peer of a connected socket.
    pub const fn new(data: &'a [u8]) -> Message<'a> {
        Message { destination: None, source: None, data, segment_size: None, ecn: None }
    }

    /// One datagram to this end.
    pub const fn to(destination: SocketAddr, data: &'a [u8]) -> Message<'a> {
        Message { destination: Some(destination), ..Message::new(data) }
    }
}

/// What happens to a datagram that is longer than the path takes (RFC 8899 section 4.4; the modes of Linux'
/// `IP_MTU_DISCOVER`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fragmentation {
    /// It may be fragmented, here and by IPv4 routers.
    #[default]
    Allowed,
    /// It is refused; what is sent carries "don't fragment".
    Refused,
    /// As `Refused`, but up to the MTU of the link, whatever is known of the path: for those who probe the path by
    /// themselves, as QUIC does.
    Probe,
}
