//! [`TcpListener`].

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use super::handle::Owner;
use super::modes::{Modes, hop_limit};
use super::{Net, PendingSyn, TcpStream};
use crate::driver::Shard;
use crate::error::SocketError;
use crate::stack::{ListenOptions, ListenerHandle, Readiness, SocketHandle};
use crate::tcp::config::SocketOptions;

/// A listener, as `std::net::TcpListener`. Clones ([`TcpListener::try_clone`]) share everything.
///
/// Dropping the last clone closes it: connections that nobody has accepted are reset.
pub struct TcpListener {
    inner: Arc<Inner>,
}

struct Inner {
    owner: Arc<Owner>,
    handle: ListenerHandle,
    local: SocketAddr,
    modes: Modes,
}

/// The connections of a listener, without end. Made by [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl TcpListener {
    /// Listens on the current [`Net`]; see [`Net::bind`].
    ///
    /// # Errors
    /// Those of [`Net::bind`], and `NotFound` without a current network.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        Net::current()?.bind(addr)
    }

    /// Listens on every port of `address` to which nobody listens more exactly, on the current [`Net`]; see
    /// [`Net::bind_any_port`].
    ///
    /// # Errors
    /// Those of [`Net::bind_any_port`], and `NotFound` without a current network.
    pub fn bind_any_port(address: IpAddr) -> io::Result<TcpListener> {
        Net::current()?.bind_any_port(address)
    }

    pub(super) fn open(net: &Net, addr: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
        let (handle, local) = net.shard().call(|core, _| {
            core.check()?;
            let handle = core.stack.tcp_listen_with(addr, options)?;
            io::Result::Ok((handle, core.stack.listener_local(handle).unwrap_or(addr)))
        })?;
        let owner = Arc::clone(&net.owner);
        Ok(TcpListener { inner: Arc::new(Inner { owner, handle, local, modes: Modes::default() }) })
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.inner.owner.shard
    }

    pub(super) fn owner(&self) -> &Arc<Owner> {
        &self.inner.owner
    }

    pub(super) fn handle(&self) -> ListenerHandle {
        self.inner.handle
    }

    pub(super) fn socket(&self) -> SocketHandle {
        SocketHandle::Listener(self.inner.handle)
    }

    /// The address on which it listens; port 0 stands for all ports. An accepted stream's own
    /// [`local_addr`](TcpStream::local_addr) is what its peer asked for.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.local)
    }

    /// Another handle to the same listener.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener { inner: Arc::clone(&self.inner) })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// `WouldBlock` in non-blocking mode when there is none, `NetworkDown` when the device is gone or the network was
    /// closed.
    // 9293-3.10.4-1: the end of the listener ends the call.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let handle = self.inner.handle;
        let patience = self.inner.modes.reading();
        let (stream, local, remote) =
            self.shard().call_patiently(self.socket(), Readiness::READABLE, patience, |core, _| {
                core.usable()?;
                loop {
                    match core.stack.tcp_accept(handle) {
                        // It is gone already: the next one.
                        Err(SocketError::Aborted) => {}
                        Err(error) => return Err(error),
                        Ok((stream, remote)) => {
                            let tuple = core.stack.tcp_tuple(stream).ok_or(SocketError::BadHandle)?;
                            return Ok((stream, tuple.local(), remote));
                        }
                    }
                }
            })?;
        Ok((TcpStream::of(&self.inner.owner, stream, local, remote), remote))
    }

    /// Waits for the next SYN of a listener with [`ListenOptions::deferred`] set: it is the application's to accept or to
    /// refuse. Other listeners have none.
    ///
    /// Anybody can have the application asked as often as he likes, so it has to bound by itself what it does for SYNs about
    /// which it has not decided; and the oldest SYN makes room where more come than the backlog has room for.
    ///
    /// A [`Poller`](super::Poller) reports a SYN and a connection alike, as readable: its user calls this and
    /// [`accept`](TcpListener::accept) both, each until it would block. Threads may wait in both at the same time; while
    /// nobody takes the SYNs, those in `accept` look again every few milliseconds.
    ///
    /// # Errors
    /// `WouldBlock` in non-blocking mode when there is none, `NetworkDown`.
    pub fn next_syn(&self) -> io::Result<PendingSyn> {
        let (handle, patience) = (self.inner.handle, self.inner.modes.reading());
        let syn = self.shard().call_patiently(self.socket(), Readiness::READABLE, patience, |core, _| {
            core.usable()?;
            core.stack.tcp_next_syn(handle)
        })?;
        Ok(PendingSyn::new(self.try_clone()?, syn))
    }

    /// The connections, one after the other, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The TTL or hop limit of connections accepted from now on, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that, `NetworkDown`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let limit = hop_limit(ttl)?;
        self.set_options(|options| options.hop_limit = limit)
    }

    /// See [`TcpListener::set_ttl`].
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.options().map(|options| options.hop_limit.into())
    }

    /// What later connections start with (beyond `std::net`).
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn options(&self) -> io::Result<SocketOptions> {
        let core = self.shard().lock();
        core.stack.listener_options(self.inner.handle).ok_or_else(|| core.explain(SocketError::BadHandle))
    }

    /// Changes what later connections start with (beyond `std::net`).
    ///
    /// # Errors
    /// `InvalidInput` for a hop limit of 0 or a DSCP above 63, `NetworkDown`.
    pub fn set_options(&self, change: impl FnOnce(&mut SocketOptions)) -> io::Result<()> {
        let mut core = self.shard().lock();
        let result = core.stack.listener_set_options(self.inner.handle, change);
        result.map_err(|error| core.explain(error))
    }

    /// Nothing: a listener has no errors.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.shard().lock().check().err())
    }

    /// Makes [`TcpListener::accept`] fail with `WouldBlock` instead of waiting. Accepted streams wait all the same.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.modes.set_nonblocking(nonblocking);
        Ok(())
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl std::iter::FusedIterator for Incoming<'_> {}

impl Drop for Inner {
    fn drop(&mut self) {
        let handle = self.handle;
        self.owner.shard.call(|core, now| {
            core.forget(SocketHandle::Listener(handle));
            core.stack.listener_close(now, handle);
        });
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.inner.local).finish()
    }
}
