//! What a call on a socket can answer.

use std::fmt;
use std::io;

/// Why a call failed, or why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketError {
    /// Nothing can be done now; try again when the socket is ready.
    WouldBlock,
    /// No connection: the socket never had one, or has lost it.
    NotConnected,
    /// The connection is still being made.
    InProgress,
    /// The socket is connected already, or is a listener.
    AlreadyConnected,
    /// The peer refused the connection.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// We aborted the connection.
    Aborted,
    /// The peer did not answer in time.
    TimedOut,
    /// The sending side is closed.
    BrokenPipe,
    /// The address or the four-tuple is in use.
    AddressInUse,
    /// Not an address of this host, or no port left.
    AddressNotAvailable,
    /// No address to send from, or an address to which nothing can be sent.
    Unreachable,
    /// The remote address cannot be the other end of a connection.
    InvalidAddress,
    /// An argument out of its range.
    InvalidArgument,
    /// A datagram is longer than a packet, or than the path takes in one piece.
    MessageTooLong,
    /// Broadcasting was not allowed on this socket.
    PermissionDenied,
    /// The table of connections is full or memory is used up.
    NoBuffers,
    /// There is no such socket.
    BadHandle,
    /// The device below is gone.
    NetworkDown,
}

impl SocketError {
    /// The kind that `std::net` reports in the same case.
    pub fn kind(self) -> io::ErrorKind {
        use io::ErrorKind as Kind;
        match self {
            SocketError::WouldBlock | SocketError::InProgress => Kind::WouldBlock,
            SocketError::NotConnected | SocketError::BadHandle => Kind::NotConnected,
            SocketError::AlreadyConnected => Kind::AlreadyExists,
            SocketError::Refused => Kind::ConnectionRefused,
            // 9293-MUST-12: a reset is never the clean end of a stream.
            SocketError::Reset => Kind::ConnectionReset,
            SocketError::Aborted => Kind::ConnectionAborted,
            SocketError::TimedOut => Kind::TimedOut,
            SocketError::BrokenPipe => Kind::BrokenPipe,
            SocketError::AddressInUse => Kind::AddrInUse,
            SocketError::AddressNotAvailable => Kind::AddrNotAvailable,
            SocketError::Unreachable => Kind::NetworkUnreachable,
            SocketError::InvalidAddress | SocketError::InvalidArgument => Kind::InvalidInput,
            // The kind has a number and no name; `std::net` gives it for EMSGSIZE.
            SocketError::MessageTooLong => io::Error::from_raw_os_error(libc::EMSGSIZE).kind(),
            SocketError::PermissionDenied => Kind::PermissionDenied,
            SocketError::NoBuffers => Kind::OutOfMemory,
            SocketError::NetworkDown => Kind::NetworkDown,
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocketError::WouldBlock => "operation would block",
            SocketError::NotConnected => "not connected",
            SocketError::InProgress => "connection in progress",
            SocketError::AlreadyConnected => "already connected",
            SocketError::Refused => "connection refused",
            SocketError::Reset => "connection reset by peer",
            SocketError::Aborted => "connection aborted",
            SocketError::TimedOut => "connection timed out",
            SocketError::BrokenPipe => "broken pipe: the sending side is closed",
            SocketError::AddressInUse => "address in use",
            SocketError::AddressNotAvailable => "address not available",
            SocketError::Unreachable => "network unreachable",
            SocketError::InvalidAddress => "not an address that a connection can have",
            SocketError::InvalidArgument => "invalid argument",
            SocketError::MessageTooLong => "message too long",
            SocketError::PermissionDenied => "permission denied: broadcasting is off",
            SocketError::NoBuffers => "no buffer space or connection table full",
            SocketError::BadHandle => "no such socket",
            SocketError::NetworkDown => "the network device is gone",
        })
    }
}

impl std::error::Error for SocketError {}

impl From<SocketError> for io::Error {
    fn from(error: SocketError) -> io::Error {
        match error {
            // As the operating system tells it: those who probe a path look for this number.
            SocketError::MessageTooLong => io::Error::from_raw_os_error(libc::EMSGSIZE),
            _ => io::Error::new(error.kind(), error),
        }
    }
}
