//! [`UdpSocket`].

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Net;
use super::handle::Owner;
use super::modes::{Modes, each_address};
use crate::driver::{Core, Shard};
use crate::error::SocketError;
use crate::stack::{BindOptions, Readiness, SocketHandle, UdpHandle};
use crate::time::Instant;
use crate::udp::{RecvMeta, Socket, UdpOptions};

/// A UDP socket, as `std::net::UdpSocket`, and beyond it: what comes with each datagram ([`UdpSocket::recv_msg`]), batches
/// and super-datagrams ([`UdpSocket::recv_many`], [`UdpSocket::send_many`]). Clones ([`UdpSocket::try_clone`]) share
/// everything.
pub struct UdpSocket {
    inner: Arc<Inner>,
}

struct Inner {
    owner: Arc<Owner>,
    handle: UdpHandle,
    modes: Modes,
    /// Datagrams that came in one piece are received in one piece.
    gro: AtomicBool,
}

impl UdpSocket {
    /// Opens a socket on the current [`Net`]; see [`Net::bind_udp`].
    ///
    /// # Errors
    /// Those of [`Net::bind_udp`], and `NotFound` without a current network.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        Net::current()?.bind_udp(addr)
    }

    pub(super) fn open(net: &Net, addr: SocketAddr, bind: &BindOptions) -> io::Result<UdpSocket> {
        let handle = net.shard().call(|core, _| {
            core.check()?;
            io::Result::Ok(core.stack.udp_bind_with(addr, bind)?)
        })?;
        let owner = Arc::clone(&net.owner);
        Ok(UdpSocket { inner: Arc::new(Inner { owner, handle, modes: Modes::default(), gro: AtomicBool::new(false) }) })
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.inner.owner.shard
    }

    pub(super) fn owner(&self) -> &Arc<Owner> {
        &self.inner.owner
    }

    pub(super) fn socket(&self) -> SocketHandle {
        SocketHandle::Udp(self.inner.handle)
    }

    pub(super) fn handle(&self) -> UdpHandle {
        self.inner.handle
    }

    pub(super) fn modes(&self) -> &Modes {
        &self.inner.modes
    }

    pub(super) fn gro_flag(&self) -> &AtomicBool {
        &self.inner.gro
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Socket) -> R) -> io::Result<R> {
        let core = self.shard().lock();
        let socket = core.stack.udp_socket(self.inner.handle);
        socket.map(look).ok_or_else(|| core.explain(SocketError::BadHandle))
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut UdpOptions)) -> io::Result<()> {
        let mut core = self.shard().lock();
        let result = core.stack.udp_set_options(self.inner.handle, change);
        result.map_err(|error| core.explain(error))
    }

    fn transmit(&self, to: Option<SocketAddr>, data: &[u8]) -> io::Result<usize> {
        let handle = self.inner.handle;
        let patience = self.inner.modes.writing();
        self.shard().call_patiently(self.socket(), Readiness::WRITABLE, patience, |core, now| {
            core.usable()?;
            core.stack.udp_send(now, handle, to, data)
        })
    }

    pub(super) fn wait<R>(&self, call: impl FnMut(&mut Core, Instant) -> Result<R, SocketError>) -> io::Result<R> {
        self.shard().call_patiently(self.socket(), Readiness::READABLE, self.inner.modes.reading(), call)
    }

    fn receive(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let handle = self.inner.handle;
        let meta = self.wait(|core, _| core.stack.udp_receive_into(handle, buf, false))?;
        Ok((meta.len, meta.source))
    }

    fn look_ahead(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let handle = self.inner.handle;
        let RecvMeta { len, source, .. } = self.wait(|core, _| core.stack.udp_peek(handle, buf))?;
        Ok((len, source))
    }

    /// Receives a datagram and says from whom. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` in non-blocking mode or after the read timeout; `ConnectionRefused` on a connected socket whose peer
    /// said that nobody listens; `NetworkDown`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buf)
    }

    /// As [`UdpSocket::recv_from`], but the datagram stays.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.look_ahead(buf)
    }

    /// Sends a datagram to the first of the addresses.
    ///
    /// # Errors
    /// `EMSGSIZE` (`raw_os_error`) for more than one packet holds, `NetworkUnreachable` without an address of that family,
    /// `PermissionDenied` for a broadcast address without [`UdpSocket::set_broadcast`], `InvalidInput` for an address that
    /// nobody can have, `WouldBlock` in non-blocking mode or after the write timeout, `NetworkDown`.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(to) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"));
        };
        self.transmit(Some(to), buf)
    }

    /// Names the only peer: others are no longer heard, and errors about it are told.
    ///
    /// # Errors
    /// `InvalidInput`, `NetworkUnreachable`, `PermissionDenied` for a broadcast address, `NetworkDown`.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        let handle = self.inner.handle;
        each_address(addr, |addr| {
            self.shard().call(|core, _| {
                core.usable().map_err(|error| core.explain(error))?;
                core.stack.udp_connect(handle, addr).map_err(|error| core.explain(error))
            })
        })
    }

    /// Sends a datagram to the peer of a connected socket.
    ///
    /// # Errors
    /// `NotConnected` without a peer, `ConnectionRefused` when it said that nobody listens, else those of
    /// [`UdpSocket::send_to`].
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(None, buf)
    }

    /// Receives a datagram. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf).map(|(len, _)| len)
    }

    /// As [`UdpSocket::recv`], but the datagram stays.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.look_ahead(buf).map(|(len, _)| len)
    }

    /// The peer of a connected socket.
    ///
    /// # Errors
    /// `NotConnected` without one, `NetworkDown`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.look(|socket| socket.remote)?.ok_or_else(|| SocketError::NotConnected.into())
    }

    /// The address to which it is bound. One that was bound to all addresses has, once it is connected, the one from which
    /// it sends.
    ///
    /// # Errors
    /// `NetworkDown` after [`Net::close`](super::Net::close).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.look(|socket| socket.local)
    }

    /// Another handle to the same socket.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket { inner: Arc::clone(&self.inner) })
    }

    /// How long receiving waits at most; then it fails with `WouldBlock`. `None`: for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.modes.read.set(timeout)
    }

    /// How long sending waits at most; then it fails with `WouldBlock`. `None`: for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.modes.write.set(timeout)
    }

    /// See [`UdpSocket::set_read_timeout`].
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.modes.read.get())
    }

    /// See [`UdpSocket::set_write_timeout`].
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.modes.write.get())
    }

    /// Takes the error that ICMP reported about what was sent.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let mut core = self.shard().lock();
        let error = core.stack.udp_take_error(self.inner.handle).map(io::Error::from);
        Ok(error.or_else(|| core.check().err()))
    }

    /// Makes calls on this socket and its clones fail with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.modes.set_nonblocking(nonblocking);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let handle = self.handle;
        self.owner.shard.call(|core, _| {
            core.forget(SocketHandle::Udp(handle));
            core.stack.udp_close(handle);
        });
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("addr", &self.local_addr().ok()).finish()
    }
}
