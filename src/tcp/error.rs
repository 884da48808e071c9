//! What a call on a connection can answer.

use std::fmt;
use std::io;

/// Why a call failed, or why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpError {
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
    /// The table of connections is full or memory is used up.
    NoBuffers,
    /// There is no such socket.
    BadHandle,
    /// The device below is gone.
    NetworkDown,
}

impl TcpError {
    /// The kind that `std::net` reports in the same case.
    pub fn kind(self) -> io::ErrorKind {
        use io::ErrorKind as Kind;
        match self {
            TcpError::WouldBlock | TcpError::InProgress => Kind::WouldBlock,
            TcpError::NotConnected | TcpError::BadHandle => Kind::NotConnected,
            TcpError::AlreadyConnected => Kind::AlreadyExists,
            TcpError::Refused => Kind::ConnectionRefused,
            // 9293-MUST-12: a reset is never the clean end of a stream.
            TcpError::Reset => Kind::ConnectionReset,
            TcpError::Aborted => Kind::ConnectionAborted,
            TcpError::TimedOut => Kind::TimedOut,
            TcpError::BrokenPipe => Kind::BrokenPipe,
            TcpError::AddressInUse => Kind::AddrInUse,
            TcpError::AddressNotAvailable => Kind::AddrNotAvailable,
            TcpError::Unreachable => Kind::NetworkUnreachable,
            TcpError::InvalidAddress | TcpError::InvalidArgument => Kind::InvalidInput,
            TcpError::NoBuffers => Kind::OutOfMemory,
            TcpError::NetworkDown => Kind::NetworkDown,
        }
    }
}

impl fmt::Display for TcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TcpError::WouldBlock => "operation would block",
            TcpError::NotConnected => "not connected",
            TcpError::InProgress => "connection in progress",
            TcpError::AlreadyConnected => "already connected",
            TcpError::Refused => "connection refused",
            TcpError::Reset => "connection reset by peer",
            TcpError::Aborted => "connection aborted",
            TcpError::TimedOut => "connection timed out",
            TcpError::BrokenPipe => "broken pipe: the sending side is closed",
            TcpError::AddressInUse => "address in use",
            TcpError::AddressNotAvailable => "address not available",
            TcpError::Unreachable => "network unreachable",
            TcpError::InvalidAddress => "not an address that a connection can have",
            TcpError::InvalidArgument => "invalid argument",
            TcpError::NoBuffers => "no buffer space or connection table full",
            TcpError::BadHandle => "no such socket",
            TcpError::NetworkDown => "the network device is gone",
        })
    }
}

impl std::error::Error for TcpError {}

impl From<TcpError> for io::Error {
    fn from(error: TcpError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}
