//! The stack as a kernel that packetdrill, or a runner of its scripts, can examine: socket calls by their names, packets in
//! and out, and a clock that moves only when it is told to.
//!
//! | file | holds |
//! |---|---|
//! | `host` | [`Host`]: one stack, its clock, the packets that left it |
//! | `descriptor` | what a file descriptor stands for |
//! | `epoll` | sets of sockets that somebody waits for |
//! | `calls` | socket, bind, listen, accept, connect, shutdown, close, poll |
//! | `transfer` | read, write and their kin |
//! | `fast_open` | Fast Open: sysctls, options of a socket, `MSG_FASTOPEN` |
//! | `receive_memory` | how much may be received, as Linux counts it |
//! | `send_memory` | how much may be written, as Linux counts it |
//! | `notices` | the error queue: when text left, and that the memory of a write is free again |
//! | `status` | the states of its sockets, in lines |
//! | `watch` | what is remembered of connections for those who ask |
//! | `socket_options` | getsockopt and setsockopt, by level and name |
//! | `tcp_info` | `struct tcp_info` as Linux lays it out |
//! | `persona` | whose habits the stack has: sets of settings |
//! | `freebsd` | the habits of FreeBSD, and its sysctls |
//! | `knobs` | the names of sysctls, and the settings that they stand for |
//! | `sources` | where they come from while a script runs |
//! | `shut_device` | a device that takes nothing |
//! | `settings` | what a host is told at its start, also as a line of text |
//! | `errno` | what a call answers instead of a result |
//!
//! No call waits: one that would block answers `EAGAIN` (connect: `EINPROGRESS`), and whoever calls decides whether to come
//! again when the clock has moved ([`Host::blocks`]). The C side of it is in `ffi`.

mod calls;
mod descriptor;
mod epoll;
mod errno;
mod fast_open;
mod freebsd;
mod host;
mod knobs;
mod notices;
mod persona;
mod receive_memory;
mod send_memory;
mod settings;
mod shut_device;
mod socket_options;
pub mod sources;
mod status;
mod tcp_info;
#[cfg(test)]
mod tests;
mod transfer;
mod watch;

pub use calls::{Domain, Kind};
pub use descriptor::{Fd, LowestFree, Numbers};
pub use epoll::Interest;
pub use errno::{Answer, Errno};
pub use fast_open::MSG_FASTOPEN;
pub use host::Host;
pub use knobs::Knobs;
pub use notices::{MSG_ZEROCOPY, PIECES_PER_RECORD};
pub use persona::Persona;
pub use receive_memory::Refused;
pub use settings::Settings;
