//! UDP (RFC 768): sockets with a bounded queue of whole datagrams.
//!
//! | file | holds |
//! |---|---|
//! | `datagram` | what arrives, with all that its headers say; what is to be sent |
//! | `queue` | what waits for the application, and the memory that all sockets share |
//! | `socket` | one socket and its options |

mod datagram;
mod queue;
mod socket;

pub use datagram::{Datagram, Fragmentation, Message, RecvMeta};
pub use queue::{Full, Memory, Queue};
pub use socket::{Socket, UdpOptions};

/// Octets that may wait in one socket for the application, overhead included, unless it says otherwise.
pub const RECEIVE_CAPACITY: usize = 1 << 20;

/// Octets that may wait in one socket for the device, overhead included, unless it says otherwise: a few super-datagrams.
pub const SEND_CAPACITY: usize = 256 * 1024;

/// The largest payload of a datagram over IPv4 (65,535 less both headers).
pub const MAX_PAYLOAD_V4: usize = 65_507;

/// The largest payload over IPv6.
pub const MAX_PAYLOAD_V6: usize = 65_527;

/// Datagrams that one [`Message`] may be cut into, or that are read in one piece: as many as Linux takes from a program.
pub const MAX_SEGMENTS: usize = 128;
