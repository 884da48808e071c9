//! glasstcp: a user-space TCP/IP stack on a Linux TUN device that a person can see through.
//!
//! # The path of a segment
//!
//! Read the crate along this path; each line names the file to open next.
//!
//! ```text
//! in    device/offload.rs      Device::receive      readv(2): one IP packet, up to 64 KiB of one connection, and what the
//!                                                   device knows of it (RxMeta: device/virtio.rs); device/tun.rs without
//!       stack/input.rs         Stack::handle_packet which protocol it is for
//!       ip/input.rs            deliver              header checks; is it ours?
//!       tcp/segment.rs         Segment::parse       checksum, header, options (bytes: wire/tcp.rs, wire/option.rs)
//!       stack/demux.rs         flow, listener_for   four-tuple -> connection, half-open or TIME-WAIT record; else a
//!                                                   listener (stack/bindings.rs, stack/listen.rs; stack/deferred.rs
//!                                                   where the application decides); else nobody (tcp/reset.rs)
//!       tcp/input.rs           segment_arrives      the steps of RFC 9293 section 3.10.7.4, by name:
//!                                                   sequence, reset, syn, acknowledge, urgent, text, finish
//!       tcp/loss.rs            acknowledged         loss recovery (tcp/recovery) and congestion control (tcp/congestion)
//!       tcp/state.rs           transition           the only place where a state changes
//!       buffer/receive.rs      write_at             copy 1, in or out of order by the same call
//!       stack/ready.rs         poll_ready           the reader is told
//!       net/tcp.rs             TcpStream::read      copy 2
//!
//! out   net/tcp.rs             TcpStream::write
//!       tcp/user.rs            Connection::send     SEND of RFC 9293; buffer/send.rs: the copy
//!       tcp/plan.rs            next                 pure: what leaves now, if anything does
//!       tcp/output.rs          header, commit       bytes; and what the connection remembers once they have left
//!       stack/output.rs        Stack::transmit      connections take turns, one (super-)segment each
//!       device/offload.rs      Device::transmit     writev(2), checksum and cutting left to the kernel (TxMeta)
//!
//! UDP   stack/udp_input.rs     udp_input            whose datagram it is; udp/queue.rs: what waits in a socket
//!       stack/udp_send.rs      udp_send_message     from where to whom, cut or in one piece
//!       stack/groups.rs        udp_join             multicast; ip/multicast.rs: what routers are told, and when
//!
//! queue stack/siblings.rs      Stack::claim         several queues: whose packet it is that came to the wrong one
//!       driver/siblings.rs     settle               asks the others, and hands it over
//!
//! self  stack/loopback.rs      loopback_turn        what this host sends to itself: back to handle_packet, never to the device
//!
//! time  stack/timers.rs        handle_deadline      the wheel (stack/timer_wheel.rs) says whose
//!       tcp/timer.rs           expire               RFC 9293 section 3.10.8; RTO: tcp/recovery/rto.rs
//! ```
//!
//! # Two ways to use it
//!
//! * [`net`]: `TcpStream`, `TcpListener` and `UdpSocket` as in `std::net`, on a [`net::Net`] that a thread of its own
//!   drives, and a [`net::Poller`] for event loops.
//! * [`Stack`]: all protocol state without IO, clock or thread, for those who bring their own loop. Its documentation
//!   says in which order to call it.
//!
//! [`sim`] puts stacks into a simulated world, where one seed decides everything.
#![deny(unsafe_code)]

pub mod buffer;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod counters;
pub mod device;
mod driver;
pub mod error;
#[cfg(feature = "packetdrill")]
mod ffi;
pub mod ip;
pub mod net;
#[cfg(feature = "packetdrill")]
pub mod packetdrill;
pub mod rng;
pub mod sim;
pub mod stack;
pub mod tcp;
pub mod time;
pub mod trace;
pub mod udp;
mod vocabulary;
pub mod wire;

pub use config::Config;
pub use error::SocketError;
pub use net::Net;
pub use stack::Stack;
