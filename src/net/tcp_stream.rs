//! [`TcpStream`].

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Clock};

use super::Net;
use super::handle::Owner;
use super::modes::Modes;
use crate::driver::{Core, Patience, Shard};
use crate::error::SocketError;
use crate::stack::{ConnectError, Readiness, SocketHandle, Stack, TcpHandle};
use crate::tcp::FourTuple;
use crate::tcp::config::SocketOptions;
use crate::tcp::connection::Connection;
use crate::tcp::state::State;
use crate::time::Instant;

/// A TCP connection, as `std::net::TcpStream`. Clones ([`TcpStream::try_clone`]) share everything.
///
/// Dropping the last clone closes the connection: what is queued is still sent, unless data was left unread, or the linger
/// time is zero, which resets it. A longer linger time waits that long for everything to be acknowledged.
pub struct TcpStream {
    inner: Arc<Inner>,
}

struct Inner {
    owner: Arc<Owner>,
    handle: TcpHandle,
    tuple: FourTuple,
    modes: Modes,
    error_taken: AtomicBool,
}

impl TcpStream {
    /// Opens a connection on the current [`Net`]; see [`Net::connect`].
    ///
    /// # Errors
    /// Those of [`Net::connect`], and `NotFound` without a current network.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        Net::current()?.connect(addr)
    }

    /// As [`TcpStream::connect`], for at most `timeout`; see [`Net::connect_timeout`].
    ///
    /// # Errors
    /// Those of [`Net::connect_timeout`], and `NotFound` without a current network.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        Net::current()?.connect_timeout(addr, timeout)
    }

    /// Begins a connection, and waits for it unless `patience` is missing.
    pub(super) fn open(
        net: &Net,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        patience: Option<Patience>,
    ) -> io::Result<TcpStream> {
        net.shard().check_siblings(local, remote)?;
        let stream = TcpStream::begin(net, |stack, now, options| stack.tcp_connect(now, local, remote, options))?;
        match patience {
            Some(patience) => stream.wait_open(patience)?,
            None => stream.inner.modes.set_nonblocking(true),
        }
        Ok(stream)
    }

    /// The same by Fast Open, with `text`; also how much of it was queued.
    pub(super) fn open_fast(
        net: &Net,
        remote: SocketAddr,
        text: &[u8],
        patience: Patience,
    ) -> io::Result<(TcpStream, usize)> {
        net.shard().check_siblings(None, remote)?;
        let mut queued = 0;
        let stream = TcpStream::begin(net, |stack, now, options| {
            let (handle, octets) = stack.tcp_connect_fast(now, None, remote, options, text)?;
            queued = octets;
            Ok(handle)
        })?;
        stream.wait_open(patience)?;
        Ok((stream, queued))
    }

    fn begin(
        net: &Net,
        connect: impl FnOnce(&mut Stack, Instant, SocketOptions) -> Result<TcpHandle, ConnectError>,
    ) -> io::Result<TcpStream> {
        let (handle, tuple) = net.shard().call(|core, now| {
            core.check()?;
            let options = core.stack.config().tcp.socket;
            let handle = connect(&mut core.stack, now, options)?;
            let tuple = core.stack.tcp_tuple(handle).ok_or(SocketError::BadHandle)?;
            io::Result::Ok((handle, tuple))
        })?;
        Ok(TcpStream::of(&net.owner, handle, tuple.local(), tuple.remote()))
    }

    pub(super) fn of(owner: &Arc<Owner>, handle: TcpHandle, local: SocketAddr, remote: SocketAddr) -> TcpStream {
        let owner = Arc::clone(owner);
        let (tuple, error_taken) = (FourTuple::new(local, remote), AtomicBool::new(false));
        TcpStream { inner: Arc::new(Inner { owner, handle, tuple, modes: Modes::default(), error_taken }) }
    }

    fn wait_open(&self, patience: Patience) -> io::Result<()> {
        let handle = self.inner.handle;
        let opened = self.shard().call_patiently(self.socket(), Readiness::WRITABLE, patience, |core, _| {
            core.usable()?;
            match core.stack.tcp_state(handle) {
                Some(State::SynSent | State::SynReceived) => Err(SocketError::WouldBlock),
                Some(State::Closed) | None => Err(core.stack.tcp_error(handle).unwrap_or(SocketError::Aborted)),
                Some(_) => Ok(()),
            }
        });
        opened.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => SocketError::TimedOut.into(),
            _ => error,
        })
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.inner.owner.shard
    }

    pub(super) fn owner(&self) -> &Arc<Owner> {
        &self.inner.owner
    }

    pub(super) fn write_patience(&self) -> Patience {
        self.inner.modes.writing()
    }

    pub(super) fn handle(&self) -> TcpHandle {
        self.inner.handle
    }

    pub(super) fn socket(&self) -> SocketHandle {
        SocketHandle::Tcp(self.inner.handle)
    }

    /// Looks at the connection.
    ///
    /// # Errors
    /// `NetworkDown` after [`Net::close`].
    pub(super) fn look<R>(&self, look: impl FnOnce(&Core, &Connection) -> R) -> io::Result<R> {
        let core = self.shard().lock();
        match core.stack.tcp_connection(self.inner.handle) {
            Some(connection) => Ok(look(&core, connection)),
            None => Err(core.explain(SocketError::BadHandle)),
        }
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// `NotConnected` before the connection is open and after its end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.look(|_, connection| connection.state())? {
            State::SynSent | State::Closed => Err(SocketError::NotConnected.into()),
            _ => Ok(self.inner.tuple.remote()),
        }
    }

    /// Our address.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.inner.tuple.local())
    }

    /// Closes one half of the connection, or both.
    ///
    /// After `Write`, writing fails with `BrokenPipe` and the peer reads to the end of the stream. After `Read`, reading
    /// finds the end, and what arrives is thrown away.
    ///
    /// # Errors
    /// `NotConnected` when there is no connection any more.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (handle, socket) = (self.inner.handle, self.socket());
        self.shard().call(|core, now| {
            core.usable().map_err(|error| core.explain(error))?;
            if core.stack.tcp_state(handle).is_none_or(|state| state == State::Closed) {
                return Err(SocketError::NotConnected.into());
            }
            core.stack.tcp_shutdown(now, handle, how).map_err(|error| core.explain(error))?;
            // The stack reports what the peer does; clones that wait must learn what we did.
            core.raise(socket, core.stack.readiness(socket));
            Ok(())
        })
    }

    /// Another handle to the same connection.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream { inner: Arc::clone(&self.inner) })
    }

    /// How long reads wait at most; then they fail with `WouldBlock`. `None`: for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.modes.read.set(timeout)
    }

    /// How long writes wait at most; then they fail with `WouldBlock`. `None`: for ever.
    ///
    /// # Errors
    /// `InvalidInput` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.inner.modes.write.set(timeout)
    }

    /// See [`TcpStream::set_read_timeout`].
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.modes.read.get())
    }

    /// See [`TcpStream::set_write_timeout`].
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.inner.modes.write.get())
    }

    /// Makes calls on this stream and its clones fail with `WouldBlock` instead of waiting.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.inner.modes.set_nonblocking(nonblocking);
        Ok(())
    }

    /// As reading, but the data stays.
    ///
    /// # Errors
    /// Those of reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let handle = self.inner.handle;
        let patience = self.inner.modes.reading();
        self.shard()
            .call_patiently(self.socket(), Readiness::READABLE, patience, |core, _| core.stack.tcp_peek(handle, buf))
    }

    /// Takes the error that ended the connection; a second call finds none. Reads and writes go on to fail with it.
    ///
    /// # Errors
    /// Never; the signature is that of `std::net`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let core = self.shard().lock();
        let error = match core.check() {
            Err(error) => Some(error),
            Ok(()) => core.stack.tcp_error(self.inner.handle).map(io::Error::from),
        };
        Ok(error.filter(|_| !self.inner.error_taken.swap(true, Ordering::Relaxed)))
    }

    /// Reads into `pieces` what is there; waits for the first octet.
    fn receive(&self, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Ok(0);
        }
        let handle = self.inner.handle;
        let patience = self.inner.modes.reading();
        // 9293-MUST-12, 9293-3.10.7.4-15: a reset fails the call, a FIN ends it with 0.
        self.shard().call_patiently(self.socket(), Readiness::READABLE, patience, |core, now| {
            let mut read = 0;
            for piece in pieces.iter_mut().filter(|piece| !piece.is_empty()) {
                match core.stack.tcp_receive(now, handle, piece) {
                    Ok(count) => read += count,
                    Err(_) if read > 0 => break,
                    Err(error) => return Err(error),
                }
                if core.stack.tcp_connection(handle).is_none_or(|connection| connection.receive_buffer.readable() == 0)
                {
                    break;
                }
            }
            Ok(read)
        })
    }

    /// Queues `pieces` one behind the other. As in Linux, a blocking call waits until all of it is queued, and an error on
    /// the way is told to the next call.
    fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let handle = self.inner.handle;
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let (mut sent, mut piece, mut within) = (0, 0, 0);
        let patience = self.inner.modes.writing();
        let result = self.shard().call_patiently(self.socket(), Readiness::WRITABLE, patience, |core, now| {
            core.usable()?;
            if total == 0 {
                return core.stack.tcp_send(now, handle, &[]).map(drop);
            }
            while let Some(rest) = pieces.get(piece).map(|piece| &piece[within..]) {
                let count = core.stack.tcp_send(now, handle, rest)?;
                (sent, within) = (sent + count, within + count);
                if count < rest.len() {
                    return Err(SocketError::WouldBlock);
                }
                (piece, within) = (piece + 1, 0);
            }
            Ok(())
        });
        match result {
            Err(error) if sent == 0 => Err(error),
            _ => Ok(sent),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (handle, shard) = (self.handle, &*self.owner.shard);
        let linger = shard.call(|core, now| {
            let linger = core.stack.tcp_options(handle).and_then(|options| options.linger);
            core.forget(SocketHandle::Tcp(handle));
            core.stack.tcp_close(now, handle);
            linger
        });
        let Some(linger) = linger.filter(|linger| !linger.is_zero()) else { return };
        let until = Clock::now().checked_add(linger).unwrap_or_else(|| Clock::now() + Duration::from_secs(86_400));
        shard.wait_until(until, |core| core.stack.tcp_connection(handle).is_none_or(Connection::fin_acknowledged));
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive(bufs)
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("addr", &self.inner.tuple.local())
            .field("peer", &self.inner.tuple.remote())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the two counts of its `Arc`, and what the allocator adds, these are 112 octets.
    #[test]
    fn what_a_stream_holds_is_small() {
        assert!(size_of::<Inner>() <= 80, "{}", size_of::<Inner>());
    }
}
