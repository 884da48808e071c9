//! How sockets are bound: who may have an address and port beside others.

/// How a socket is bound, beside its address and port. By default it shares nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// A listener may be bound although connections have its port, those in TIME-WAIT included; a UDP socket, although
    /// another one has it that allows this too: the last one bound gets what arrives (SO_REUSEADDR).
    pub reuse_address: bool,
    /// Others that allow this too may have the same address and port; what arrives is spread over all of them by a keyed
    /// hash of addresses and ports (SO_REUSEPORT).
    pub reuse_port: bool,
    /// `::` stands for all addresses of IPv6 alone, not for those of IPv4 as well (IPV6_V6ONLY).
    pub only_v6: bool,
    /// The socket has every port to which nobody is bound more exactly; the port that is given does not count. Which one a
    /// peer meant is the local port of the connection, or the destination of the datagram.
    pub any_port: bool,
}
