//! [`Net`]: a running stack on a device.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::modes::{each_address, zero_timeout};
use super::{Pinger, TcpListener, TcpStream, UdpSocket};
use crate::config::Config;
use crate::counters::Counters;
use crate::device::Device;
use crate::driver::{Patience, Shard};
use crate::ip::IpCidr;
use crate::stack::{BindOptions, ListenOptions};
use crate::tcp::config::SocketOptions;
use crate::tcp::snapshot::Snapshot;

/// How long connections may finish after the last handle was dropped.
const GRACE: Duration = Duration::from_secs(3);

/// Connections that may wait in a listener, where the application does not say.
const BACKLOG: u32 = 1_024;

/// What every user of a network holds: handles, sockets and pollers. With the last of them the network is closed.
#[derive(Debug)]
pub struct Owner {
    /// What does the work.
    pub(crate) shard: Arc<Shard>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shard.close(GRACE);
    }
}

/// A running stack on a device: the network that sockets stand on. Clones are handles to the same one.
///
/// It lives as long as any handle, socket or poller of it. Dropping the last of them waits, while there are connections
/// that have not finished (data or FIN on its way, or the peer's FIN missing), for at most 3 s; then these are reset and
/// the number is logged. [`Net::close`] does the same with a time of choice, and says the number.
#[derive(Clone, Debug)]
pub struct Net {
    pub(super) owner: Arc<Owner>,
}

impl Net {
    /// Starts a stack on a device, with a thread that drives it. The MTU of the settings is lowered to the device's.
    ///
    /// # Errors
    /// `InvalidInput` for settings that cannot work (see [`Config::validate`]), and when the system gives no randomness,
    /// descriptor or thread.
    pub fn start(device: impl Device + 'static, config: Config) -> io::Result<Net> {
        let shard = Shard::start(Box::new(device), config)?;
        Ok(Net { owner: Arc::new(Owner { shard }) })
    }

    /// Starts one stack for each queue of a device that has several (see
    /// [`OffloadDevice::open_queues`](crate::device::offload::OffloadDevice::open_queues)), each with its own thread and
    /// lock. Together they are one host: they share its addresses, and hand each other the packets that come to the wrong
    /// queue. Sockets are not shared. A server binds its listeners on each `Net` and runs an event loop on each, so that its
    /// threads share nothing; a connection lives on the `Net` where its SYN came in, or which opened it.
    ///
    /// Limits on memory, connections, half-open connections, TIME-WAIT, resets and ICMP errors are the host's, and
    /// divided among the queues. Ports that are chosen (port 0) differ from queue to queue: to listen on the same one
    /// everywhere, bind port 0 on the first and name the port to the others. Where several have a UDP socket on the same
    /// port, a datagram goes to the one on whose queue it came; one to a group or to everybody goes to all who take it,
    /// but what a socket itself sends there is heard, on this host, on its own `Net` alone. A `Net` that was closed still holds its queue until it
    /// is dropped, and what the kernel sends there is lost.
    ///
    /// # Errors
    /// Those of [`Net::start`]; `InvalidInput` for no device or more than 256.
    pub fn start_queues<D: Device + 'static>(
        devices: impl IntoIterator<Item = D>,
        config: Config,
    ) -> io::Result<Vec<Net>> {
        let devices = devices.into_iter().map(|device| Box::new(device) as Box<dyn Device>).collect();
        let shards = Shard::start_siblings(devices, &config)?;
        Ok(shards.into_iter().map(|shard| Net { owner: Arc::new(Owner { shard }) }).collect())
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.owner.shard
    }

    /// Opens a connection, to the first of the addresses that takes it. Names are resolved by the operating system.
    ///
    /// # Errors
    /// Those of the last address: `ConnectionRefused`, `TimedOut`, `NetworkUnreachable` without an address of that
    /// family, `InvalidInput` for an address that no connection can have, `AddrNotAvailable` without a free port,
    /// `NetworkDown` when the device is gone.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<TcpStream> {
        each_address(addr, |addr| TcpStream::open(self, None, addr, Some(Patience::Endless)))
    }

    /// As [`Net::connect`], to one address and for at most `timeout`.
    ///
    /// # Errors
    /// Those of [`Net::connect`]; `TimedOut` when the time is over, `InvalidInput` for a timeout of zero.
    pub fn connect_timeout(&self, addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        TcpStream::open(self, None, *addr, Some(Patience::of(Some(timeout))))
    }

    /// As [`Net::connect`], to one address and by Fast Open (RFC 7413): `data` is sent with the SYN, as far as it has room
    /// there, if the server has given us a cookie before; else the cookie is asked for, and `data` follows the handshake. Waits
    /// until the connection is open, for at most `timeout`. The answer is also how much of `data` was taken; the rest is to
    /// be written.
    ///
    /// What is sent with a SYN may reach the server's application twice (RFC 7413 section 6.1): this is only for requests
    /// that may be repeated. The cookies are kept by this `Net`.
    ///
    /// # Errors
    /// Those of [`Net::connect`]; `TimedOut` when the time is over, `InvalidInput` for a timeout of zero.
    // 7413-6.1
    pub fn connect_fast(
        &self,
        addr: &SocketAddr,
        data: &[u8],
        timeout: Option<Duration>,
    ) -> io::Result<(TcpStream, usize)> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(zero_timeout());
        }
        TcpStream::open_fast(
            self,
            *addr,
            data,
            timeout.map_or(Patience::Endless, |timeout| Patience::of(Some(timeout))),
        )
    }

    /// As [`Net::connect`], from an address and port of choice; port 0 and unspecified addresses are chosen.
    ///
    /// # Errors
    /// Those of [`Net::connect`]; `AddrNotAvailable` for an address that is not ours, `AddrInUse`.
    pub fn connect_from(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::open(self, Some(local), remote, Some(Patience::Endless))
    }

    /// Begins a connection and does not wait: the stream is non-blocking, and becomes writable when the connection is open
    /// or has failed, which [`TcpStream::take_error`] tells.
    ///
    /// # Errors
    /// Those of [`Net::connect`] that are known at once.
    pub fn connect_nonblocking(&self, addr: &SocketAddr) -> io::Result<TcpStream> {
        TcpStream::open(self, None, *addr, None)
    }

    /// Listens on the first of the addresses that can be had. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable` for an address that is not ours, `NetworkDown`.
    pub fn bind<A: ToSocketAddrs>(&self, addr: A) -> io::Result<TcpListener> {
        self.bind_with_backlog(addr, BACKLOG)
    }

    /// As [`Net::bind`], with room for `backlog` connections that nobody has accepted yet.
    ///
    /// # Errors
    /// Those of [`Net::bind`].
    pub fn bind_with_backlog<A: ToSocketAddrs>(&self, addr: A, backlog: u32) -> io::Result<TcpListener> {
        self.bind_with_options(addr, backlog, self.socket_options())
    }

    /// As [`Net::bind_with_backlog`], with the settings that accepted connections start with.
    ///
    /// # Errors
    /// Those of [`Net::bind`].
    pub fn bind_with_options<A: ToSocketAddrs>(
        &self,
        addr: A,
        backlog: u32,
        options: SocketOptions,
    ) -> io::Result<TcpListener> {
        self.listen(addr, &ListenOptions { backlog, socket: options, ..ListenOptions::default() })
    }

    /// As [`Net::bind`], with all that can be chosen. The connections start with `options.socket`.
    ///
    /// # Errors
    /// Those of [`Net::bind`].
    pub fn listen<A: ToSocketAddrs>(&self, addr: A, options: &ListenOptions) -> io::Result<TcpListener> {
        each_address(addr, |addr| TcpListener::open(self, addr, options))
    }

    /// Listens on every port of `address` to which nobody listens more exactly; with an unspecified address and
    /// [`Config::any_address`], on every port of every host. An accepted stream's
    /// [`local_addr`](TcpStream::local_addr) is what its peer asked for.
    ///
    /// # Errors
    /// Those of [`Net::bind`].
    pub fn bind_any_port(&self, address: IpAddr) -> io::Result<TcpListener> {
        let mut options = ListenOptions { socket: self.socket_options(), ..ListenOptions::default() };
        options.bind.any_port = true;
        TcpListener::open(self, SocketAddr::new(address, 0), &options)
    }

    /// Opens a UDP socket on the first of the addresses that can be had. Port 0 chooses one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable` for an address that is not ours, `NetworkDown`.
    pub fn bind_udp<A: ToSocketAddrs>(&self, addr: A) -> io::Result<UdpSocket> {
        self.bind_udp_with(addr, &BindOptions::default())
    }

    /// As [`Net::bind_udp`], with all that can be chosen.
    ///
    /// # Errors
    /// Those of [`Net::bind_udp`].
    pub fn bind_udp_with<A: ToSocketAddrs>(&self, addr: A, bind: &BindOptions) -> io::Result<UdpSocket> {
        each_address(addr, |addr| UdpSocket::open(self, addr, bind))
    }

    /// Opens a sender of echo requests to one host.
    ///
    /// # Errors
    /// `OutOfMemory` when there are too many, `NetworkDown`.
    pub fn ping(&self, to: IpAddr) -> io::Result<Pinger> {
        Pinger::open(self, to)
    }

    /// What can be seen of the connections that are not over, at most `limit`.
    pub fn snapshots(&self, limit: usize) -> Vec<Snapshot> {
        self.shard().lock().stack.tcp_snapshots(limit)
    }

    /// How many half-open records, connections and TIME-WAIT records there are; see [`Stack::table_sizes`].
    ///
    /// [`Stack::table_sizes`]: crate::Stack::table_sizes
    pub fn table_sizes(&self) -> (u32, u32, u32) {
        self.shard().lock().stack.table_sizes()
    }

    /// The counters of the stack.
    pub fn counters(&self) -> Counters {
        self.shard().lock().stack.counters().clone()
    }

    /// The addresses on which somebody listens, with half-open connections and those that wait to be accepted.
    pub fn listeners(&self) -> Vec<(SocketAddr, u32, usize)> {
        self.shard().lock().stack.tcp_listeners().collect()
    }

    /// The addresses of this host.
    pub fn addresses(&self) -> Vec<IpCidr> {
        self.shard().lock().stack.config().addresses.clone()
    }

    /// The settings, with the MTU as it is used.
    pub fn config(&self) -> Config {
        self.shard().lock().stack.config().clone()
    }

    fn socket_options(&self) -> SocketOptions {
        self.shard().lock().stack.config().tcp.socket
    }

    /// The time since the start by which the stack counts, to compare with [`EchoReply::arrived`](super::EchoReply).
    pub fn now(&self) -> crate::time::Instant {
        self.shard().now()
    }

    /// Why the device is gone, if it is. Its kind is that of the device's error; calls on sockets answer `NetworkDown`.
    pub fn failure(&self) -> Option<io::Error> {
        let core = self.shard().lock();
        core.end().filter(|end| !end.closed).map(|end| io::Error::new(end.kind, end.text.clone()))
    }

    /// Closes the network, also under those who still hold sockets of it, as if each had been dropped: what is on its way
    /// may finish for at most `timeout`, then the rest is reset and the thread ends. Blocked calls wake with
    /// `NetworkDown`. The answer is how many connections were reset; it is logged unless it is 0.
    ///
    /// The device itself is closed when the last handle, socket or poller is dropped.
    pub fn close(&self, timeout: Duration) -> usize {
        self.shard().close(timeout)
    }

    /// Fails for a socket that stands on another network.
    pub(super) fn same_net(&self, other: &Arc<Owner>) -> io::Result<()> {
        if Arc::ptr_eq(&self.owner, other) {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::InvalidInput, "the socket stands on another Net than the poller"))
    }
}
