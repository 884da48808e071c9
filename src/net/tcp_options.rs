//! What can be set on a [`TcpStream`], as in `std::net` and beyond.

use std::io;
use std::time::Duration;

use super::TcpStream;
use super::modes::hop_limit;
use crate::error::SocketError;
use crate::stack::Readiness;
use crate::tcp::config::SocketOptions;
use crate::tcp::congestion::Algorithm;
use crate::tcp::snapshot::Snapshot;

/// The size of a buffer, within what windows can be.
fn capacity(octets: usize) -> io::Result<u32> {
    let octets = u32::try_from(octets).ok().filter(|octets| (1..=1 << 30).contains(octets));
    octets.ok_or_else(|| SocketError::InvalidArgument.into())
}

/// As in `std::net`.
impl TcpStream {
    fn set(&self, change: impl FnOnce(&mut SocketOptions)) -> io::Result<()> {
        let handle = self.handle();
        self.shard()
            .call(|core, now| core.stack.tcp_set_options(now, handle, change).map_err(|error| core.explain(error)))
    }

    fn option<R>(&self, get: impl FnOnce(&SocketOptions) -> R) -> io::Result<R> {
        self.look(|_, connection| get(&connection.options))
    }

    /// Sends short segments at once (TCP_NODELAY), instead of waiting for more text while others are unacknowledged.
    ///
    /// # Errors
    /// `NetworkDown` after [`Net::close`](super::Net::close), as all calls here.
    // 9293-MUST-17
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set(|options| options.nodelay = nodelay)
    }

    /// See [`TcpStream::set_nodelay`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.option(|options| options.nodelay)
    }

    /// What dropping does (SO_LINGER): `None` finishes in the background, zero resets, a time waits at most that long for
    /// everything to be acknowledged.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set(|options| options.linger = linger)
    }

    /// See [`TcpStream::set_linger`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.linger)
    }

    /// The TTL or hop limit, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that, `NetworkDown`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.set_hop_limit(hop_limit(ttl)?)
    }

    /// See [`TcpStream::set_ttl`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.option(|options| options.hop_limit.into())
    }
}

/// Beyond `std::net`.
impl TcpStream {
    /// Sends keep-alives after this much idle time (SO_KEEPALIVE, TCP_KEEPIDLE), or none.
    ///
    /// # Errors
    /// `InvalidInput` for zero, `NetworkDown`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        if idle.is_some_and(|idle| idle.is_zero()) {
            return Err(SocketError::InvalidArgument.into());
        }
        self.set(|options| {
            options.keep_alive = idle.is_some();
            options.keep_alive_idle = idle.unwrap_or(options.keep_alive_idle);
        })
    }

    /// See [`TcpStream::set_keepalive`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.keep_alive.then_some(options.keep_alive_idle))
    }

    /// How long anything may stay unanswered before the connection ends (TCP_USER_TIMEOUT). `None`: as the stack is set;
    /// `Duration::MAX`: for ever.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set(|options| options.user_timeout = timeout)
    }

    /// See [`TcpStream::set_user_timeout`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.user_timeout)
    }

    /// Holds short segments back until they are full (TCP_CORK), for at most 200 ms.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        self.set(|options| options.cork = cork)
    }

    /// See [`TcpStream::set_cork`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn cork(&self) -> io::Result<bool> {
        self.option(|options| options.cork)
    }

    /// The TTL or hop limit, as a byte.
    ///
    /// # Errors
    /// `InvalidInput` for 0, `NetworkDown`.
    pub fn set_hop_limit(&self, limit: u8) -> io::Result<()> {
        self.set(|options| options.hop_limit = limit)
    }

    /// The DSCP of what is sent, 0 to 63.
    ///
    /// # Errors
    /// `InvalidInput` above 63, `NetworkDown`.
    pub fn set_dscp(&self, dscp: u8) -> io::Result<()> {
        self.set(|options| options.dscp = dscp)
    }

    /// See [`TcpStream::set_dscp`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn dscp(&self) -> io::Result<u8> {
        self.option(|options| options.dscp)
    }

    /// The congestion control algorithm (TCP_CONGESTION). On an open connection another one takes over the window.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn set_congestion(&self, algorithm: Algorithm) -> io::Result<()> {
        self.set(|options| options.congestion = algorithm)
    }

    /// See [`TcpStream::set_congestion`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn congestion(&self) -> io::Result<Algorithm> {
        self.option(|options| options.congestion)
    }

    /// Octets that may be queued for sending (SO_SNDBUF).
    ///
    /// # Errors
    /// `InvalidInput` for 0 and above 1 GiB, `NetworkDown`.
    pub fn set_send_buffer(&self, octets: usize) -> io::Result<()> {
        let octets = capacity(octets)?;
        self.set(|options| options.send_capacity = Some(octets))
    }

    /// See [`TcpStream::set_send_buffer`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn send_buffer(&self) -> io::Result<usize> {
        self.look(|core, connection| connection.send_capacity(&core.stack.config().tcp) as usize)
    }

    /// Octets received that may wait for the application (SO_RCVBUF). A window once offered is not taken back.
    ///
    /// # Errors
    /// `InvalidInput` for 0 and above 1 GiB, `NetworkDown`.
    pub fn set_receive_buffer(&self, octets: usize) -> io::Result<()> {
        let octets = capacity(octets)?;
        self.set(|options| options.receive_capacity = Some(octets))
    }

    /// See [`TcpStream::set_receive_buffer`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        self.look(|_, connection| connection.rcv.capacity as usize)
    }

    /// Queues text whose last octet is urgent. New applications should not use this (RFC 6093).
    ///
    /// # Errors
    /// Those of writing.
    // 9293-MUST-30
    pub fn send_urgent(&self, data: &[u8]) -> io::Result<usize> {
        let handle = self.handle();
        self.shard().call_patiently(self.socket(), Readiness::WRITABLE, self.write_patience(), |core, now| {
            core.usable()?;
            core.stack.tcp_send_urgent(now, handle, data)
        })
    }

    /// The next octet to read is the last urgent one.
    ///
    /// # Errors
    /// `NetworkDown`.
    // 9293-MUST-33
    pub fn at_mark(&self) -> io::Result<bool> {
        self.look(|_, connection| connection.at_mark())
    }

    /// What can be seen of the connection.
    ///
    /// # Errors
    /// `NetworkDown`.
    // 9293-3.10.6-1
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        self.look(|core, connection| Snapshot::new(connection, &core.stack.config().tcp))
    }

    /// Resets the connection. What was received can still be read; other calls fail with `ConnectionAborted`.
    // 9293-3.10.5-2
    pub fn abort(&self) {
        let handle = self.handle();
        self.shard().call(|core, now| core.stack.tcp_abort(now, handle));
    }

    /// Takes the last error that the connection survived: an ICMP report of an unreachable destination, say.
    // 9293-MUST-47
    pub fn take_soft_error(&self) -> Option<io::Error> {
        let handle = self.handle();
        self.shard().lock().stack.tcp_take_soft_error(handle).map(io::Error::from)
    }
}
