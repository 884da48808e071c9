//! Sockets with the names, signatures and error kinds of `std::net`, standing on a running [`Net`].
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use glasstcp::net::{Net, TcpStream};
//! # fn main() -> std::io::Result<()> {
//! # let (device, _other) = glasstcp::device::fd::FdDevice::pair(1500)?;
//! let config = glasstcp::Config::new(&["10.0.0.2/24".parse().unwrap()]);
//! let net = Net::start(device, config)?;
//! let _guard = net.enter();
//! let mut stream = TcpStream::connect("10.0.0.1:80")?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
//! let mut page = String::new();
//! stream.read_to_string(&mut page)?;
//! # Ok(())
//! # }
//! ```
//!
//! `connect` and `bind` with the signatures of `std::net` act on the current [`Net`]; `net.connect(..)` and `net.bind(..)`
//! name it. For an event loop instead of a thread per connection, there is the [`Poller`].
//!
//! Every call on a socket answers `NetworkDown` once the device is gone or the [`Net`] was closed. Data that had arrived
//! before can still be read.

mod current;
mod handle;
mod modes;
mod pending_syn;
mod pinger;
mod poller;
mod tcp_listener;
mod tcp_options;
mod tcp_stream;
mod udp_batch;
mod udp_options;
mod udp_socket;

pub use current::EnterGuard;
pub use handle::Net;
pub use pending_syn::PendingSyn;
pub use pinger::Pinger;
pub use poller::{Event, Events, Interest, Poller, Source, Token, Trigger, Waker};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;

pub use crate::stack::{BindOptions, EchoReply, ListenOptions};
pub use crate::tcp::fast_open::ListenFastOpen;
pub use crate::tcp::snapshot::Snapshot;
pub use crate::udp::{Fragmentation, Message, RecvMeta};
pub use crate::wire::ecn::EcnCodepoint;
pub use std::net::Shutdown;
