//! The calls that make, connect and end sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::time::Duration;

use super::descriptor::{Descriptor, Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use crate::error::SocketError;
use crate::ip::address::canonical;
use crate::stack::{ListenOptions, Readiness, SocketHandle, TcpHandle};
use crate::tcp::state::State;

/// The family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`; IPv4 as well, in mapped addresses.
    V6,
}

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
}

impl Domain {
    /// The address as sockets of this family show it.
    pub fn shown(self, address: SocketAddr) -> SocketAddr {
        match (self, address) {
            (Domain::V6, SocketAddr::V4(v4)) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            _ => address,
        }
    }

    fn unspecified(self) -> IpAddr {
        match self {
            Domain::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Domain::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

impl Host {
    /// A new socket.
    ///
    /// # Errors
    /// `EMFILE`, `ENOBUFS`.
    pub fn socket(&mut self, domain: Domain, kind: Kind) -> Answer<Fd> {
        let options = self.stack.config().tcp.socket;
        let socket = match kind {
            Kind::Stream => Socket::Fresh,
            Kind::Datagram => Socket::Udp(self.stack.udp_bind(SocketAddr::new(domain.unspecified(), 0))?),
        };
        self.add(Descriptor::new(socket, domain, options))
    }

    fn add(&mut self, descriptor: Descriptor) -> Answer<Fd> {
        let fd = self.numbers.open()?;
        self.table.insert(fd, descriptor);
        Ok(fd)
    }

    /// Binds a socket to an address.
    ///
    /// # Errors
    /// `EINVAL` for one that is bound, `EAFNOSUPPORT`, `EADDRNOTAVAIL`, `EADDRINUSE`.
    pub fn bind(&mut self, fd: Fd, address: SocketAddr) -> Answer<()> {
        let descriptor = self.descriptor(fd)?;
        if descriptor.local.is_some() || !matches!(descriptor.socket, Socket::Fresh | Socket::Udp(_)) {
            return Err(Errno::EINVAL);
        }
        if descriptor.domain == Domain::V4 && address.is_ipv6() {
            return Err(Errno::EAFNOSUPPORT);
        }
        let (socket, bind) = (descriptor.socket, descriptor.bind);
        let address = canonical(address);
        if let Socket::Udp(handle) = socket {
            let options = self.stack.udp_socket(handle).map(|socket| socket.options.clone());
            let bound = self.stack.udp_bind_with(address, &bind)?;
            self.stack.udp_close(handle);
            if let Some(options) = options {
                self.stack.udp_set_options(bound, |new| *new = options)?;
            }
            self.descriptor_mut(fd)?.socket = Socket::Udp(bound);
        }
        self.descriptor_mut(fd)?.local = Some(address);
        Ok(())
    }

    /// Listens.
    ///
    /// # Errors
    /// `EOPNOTSUPP`, `EINVAL` for a connection, `EADDRINUSE`.
    pub fn listen(&mut self, fd: Fd, backlog: u32) -> Answer<()> {
        let descriptor = self.descriptor(fd)?;
        match descriptor.socket {
            Socket::Fresh => {}
            Socket::Listener(_) => return Ok(()),
            Socket::Tcp(_) => return Err(Errno::EINVAL),
            Socket::Udp(_) => return Err(Errno::EOPNOTSUPP),
        }
        let local = descriptor.local.unwrap_or(SocketAddr::new(descriptor.domain.unspecified(), 0));
        let (socket, bind) = (descriptor.options, descriptor.bind);
        // As Linux counts: one more than asked for.
        let backlog = backlog.saturating_add(1);
        let fast_open = self.listen_fast_open(fd, backlog - 1);
        let options = ListenOptions { backlog, socket, bind, fast_open, ..ListenOptions::default() };
        let handle = self.stack.tcp_listen_with(local, &options)?;
        self.descriptor_mut(fd)?.socket = Socket::Listener(handle);
        Ok(())
    }

    /// Takes the next connection of a listener, and tells its peer.
    ///
    /// # Errors
    /// `EAGAIN` while there is none, `EINVAL` where nobody listens.
    pub fn accept(&mut self, fd: Fd) -> Answer<(Fd, SocketAddr)> {
        let descriptor = self.descriptor(fd)?;
        let handle = match descriptor.socket {
            Socket::Listener(handle) => handle,
            Socket::Udp(_) => return Err(Errno::EOPNOTSUPP),
            _ => return Err(Errno::EINVAL),
        };
        let (domain, own) = (descriptor.domain, descriptor.options);
        let (noted, set) = (descriptor.noted.clone(), descriptor.send_memory.set);
        let (connection, peer) = self.stack.tcp_accept(handle)?;
        let options = self.stack.tcp_options(connection).unwrap_or(own);
        let mut accepted = Descriptor::new(Socket::Tcp(connection), domain, options);
        accepted.connected_told = true;
        accepted.noted = noted;
        accepted.send_memory.set = set;
        self.settle();
        Ok((self.add(accepted)?, domain.shown(peer)))
    }

    /// Connects. On a connection that is being made, tells how it goes.
    ///
    /// # Errors
    /// `EINPROGRESS` when it has begun; `EALREADY`, `EISCONN`, or why it failed.
    pub fn connect(&mut self, fd: Fd, remote: SocketAddr) -> Answer<()> {
        let descriptor = self.descriptor(fd)?;
        match descriptor.socket {
            Socket::Fresh => {
                if let Some(answer) = self.fast_connect(fd, canonical(remote)) {
                    return answer;
                }
            }
            Socket::Listener(_) => return Err(Errno::EISCONN),
            Socket::Tcp(handle) => return self.connect_again(fd, handle),
            Socket::Udp(handle) => return Ok(self.stack.udp_connect(handle, canonical(remote))?),
        }
        let descriptor = self.descriptor(fd)?;
        let (local, options) = (descriptor.local, descriptor.options);
        let handle = self.stack.tcp_connect(self.now, local, remote, options).map_err(|error| match error {
            SocketError::InvalidAddress => Errno::ENETUNREACH,
            other => other.into(),
        })?;
        self.descriptor_mut(fd)?.socket = Socket::Tcp(handle);
        self.settle();
        Err(Errno::EINPROGRESS)
    }

    /// How the connection that [`Host::connect`] began is getting on: `None` while it is being made.
    pub fn connected(&self, fd: Fd) -> Option<Answer<()>> {
        let Some(Socket::Tcp(handle)) = self.table.get(&fd).map(|descriptor| descriptor.socket) else {
            return Some(Err(Errno::EBADF));
        };
        match self.stack.tcp_state(handle) {
            Some(State::SynSent | State::SynReceived) => None,
            Some(State::Closed) => Some(Err(self.stack.tcp_error(handle).map_or(Errno::ECONNABORTED, Errno::from))),
            Some(_) => Some(Ok(())),
            None => Some(Err(Errno::EBADF)),
        }
    }

    fn connect_again(&mut self, fd: Fd, handle: TcpHandle) -> Answer<()> {
        match self.connected(fd) {
            None => Err(Errno::EALREADY),
            Some(Ok(())) => {
                let descriptor = self.descriptor_mut(fd)?;
                match std::mem::replace(&mut descriptor.connected_told, true) {
                    true => Err(Errno::EISCONN),
                    false => Ok(()),
                }
            }
            Some(Err(_)) => Err(self.take_error(fd, handle).unwrap_or(Errno::ECONNABORTED)),
        }
    }

    /// The error that ended a connection, once.
    pub(super) fn take_error(&mut self, fd: Fd, handle: TcpHandle) -> Option<Errno> {
        let error = self.stack.tcp_error(handle)?;
        let descriptor = self.table.get_mut(&fd)?;
        let told = std::mem::replace(&mut descriptor.error_told, true);
        let broken = error == SocketError::Reset
            && self.settings.persona.reset_breaks_pipe()
            && self.stack.tcp_connection(handle).is_some_and(|c| c.fin_received() && c.snd.fin.is_none());
        let errno = if broken { Errno::EPIPE } else { error.into() };
        (!told && error != SocketError::Aborted).then_some(errno)
    }

    /// Shuts down one way or both.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub fn shutdown(&mut self, fd: Fd, how: Shutdown) -> Answer<()> {
        match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => {
                let closed = self.stack.tcp_state(handle) == Some(State::Closed);
                if how != Shutdown::Write {
                    self.descriptor_mut(fd)?.read_shut = true;
                }
                if closed {
                    return Err(Errno::ENOTCONN);
                }
                let how = match how {
                    _ if self.settings.persona.shutdown_discards() => how,
                    Shutdown::Read => return Ok(()),
                    Shutdown::Write | Shutdown::Both => Shutdown::Write,
                };
                let done = self.stack.tcp_shutdown(self.now, handle, how);
                self.settle();
                Ok(done?)
            }
            Socket::Listener(handle) => {
                if how != Shutdown::Write {
                    self.stack.listener_close(self.now, handle);
                    self.descriptor_mut(fd)?.socket = Socket::Fresh;
                    self.settle();
                }
                Ok(())
            }
            Socket::Fresh | Socket::Udp(_) => Err(Errno::ENOTCONN),
        }
    }

    /// Closes a descriptor.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&mut self, fd: Fd) -> Answer<()> {
        if self.sets.remove(&fd).is_some() {
            self.numbers.close(fd);
            return Ok(());
        }
        let descriptor = self.table.remove(&fd).ok_or(Errno::EBADF)?;
        self.numbers.close(fd);
        for set in self.sets.values_mut() {
            set.remove(&fd);
        }
        match descriptor.socket {
            Socket::Fresh => {}
            Socket::Listener(handle) => self.stack.listener_close(self.now, handle),
            Socket::Tcp(handle) => self.stack.tcp_close(self.now, handle),
            Socket::Udp(handle) => self.stack.udp_close(handle),
        }
        self.settle();
        Ok(())
    }

    /// [`Host::connect`], or with no address the end of an association: a datagram socket hears everybody again, a stream
    /// socket is new.
    ///
    /// # Errors
    /// Those of [`Host::connect`].
    pub fn connect_to(&mut self, fd: Fd, remote: Option<SocketAddr>) -> Answer<()> {
        let Some(remote) = remote else { return self.disconnect(fd) };
        self.connect(fd, remote)
    }

    fn disconnect(&mut self, fd: Fd) -> Answer<()> {
        let socket = self.descriptor(fd)?.socket;
        match socket {
            Socket::Fresh | Socket::Udp(_) => return Ok(()),
            Socket::Listener(handle) => self.stack.listener_close(self.now, handle),
            Socket::Tcp(handle) => {
                self.stack.tcp_abort(self.now, handle);
                self.stack.tcp_close(self.now, handle);
            }
        }
        let descriptor = self.descriptor_mut(fd)?;
        let mut fresh = Descriptor::new(Socket::Fresh, descriptor.domain, descriptor.options);
        fresh.nonblocking = descriptor.nonblocking;
        fresh.bind = descriptor.bind;
        *descriptor = fresh;
        self.settle();
        Ok(())
    }

    /// What a connect that waits finds: `EAGAIN` as long as it has to.
    ///
    /// # Errors
    /// `EAGAIN`, or why it failed.
    pub fn connect_waits(&mut self, fd: Fd) -> Answer<()> {
        match self.connected(fd) {
            None => Err(Errno::EAGAIN),
            Some(Ok(())) => {
                self.descriptor_mut(fd)?.connected_told = true;
                Ok(())
            }
            Some(Err(error)) => {
                self.descriptor_mut(fd)?.error_told = true;
                Err(error)
            }
        }
    }

    /// How long closing waits, where somebody has set a time (`SO_LINGER`) and the descriptor lets calls wait.
    pub fn linger_time(&self, fd: Fd) -> Option<Duration> {
        let descriptor = self.table.get(&fd).filter(|descriptor| !descriptor.nonblocking)?;
        let Socket::Tcp(handle) = descriptor.socket else { return None };
        self.stack.tcp_options(handle)?.linger.filter(|linger| !linger.is_zero())
    }

    /// Closes, and says what to watch with [`Host::is_over`].
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close_and_watch(&mut self, fd: Fd) -> Answer<Option<TcpHandle>> {
        let handle = match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => Some(handle),
            _ => None,
        };
        self.close(fd).map(|()| handle)
    }

    /// Everything that was sent on it is acknowledged, or it has ended.
    ///
    /// # Errors
    /// `EAGAIN` as long as that is not so.
    pub fn is_over(&self, handle: Option<TcpHandle>) -> Answer<()> {
        let connection = handle.and_then(|handle| self.stack.tcp_connection(handle));
        let over = connection
            .is_none_or(|connection| matches!(connection.state(), State::Closed | State::FinWait2 | State::TimeWait));
        if over { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// A call that cannot be done at once waits, as far as this descriptor says.
    pub fn blocks(&self, fd: Fd) -> bool {
        self.table.get(&fd).is_some_and(|descriptor| !descriptor.nonblocking)
    }

    /// `F_GETFL`: the flags of `open`.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn flags(&self, fd: Fd) -> Answer<i32> {
        let descriptor = self.descriptor(fd)?;
        Ok(libc::O_RDWR | if descriptor.nonblocking { libc::O_NONBLOCK } else { 0 })
    }

    /// `F_SETFL`, of which `O_NONBLOCK` alone has an effect.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_flags(&mut self, fd: Fd, flags: i32) -> Answer<()> {
        self.descriptor_mut(fd)?.nonblocking = flags & libc::O_NONBLOCK != 0;
        Ok(())
    }

    /// `fcntl` with one argument.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for a command that is not known.
    pub fn fcntl(&mut self, fd: Fd, command: i32, argument: i64) -> Answer<i32> {
        match command {
            libc::F_GETFL => self.flags(fd),
            libc::F_SETFL => self.set_flags(fd, argument as i32).map(|()| 0),
            libc::F_GETFD => Ok(self.descriptor(fd)?.flags),
            libc::F_SETFD => {
                self.descriptor_mut(fd)?.flags = argument as i32;
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// What `poll` finds now of the events that are asked for: `POLLERR` and `POLLHUP` are always told.
    pub fn poll(&mut self, fd: Fd, events: i16) -> i16 {
        let counted = if self.settings.persona.counts_send_memory() { self.has_send_room(fd) } else { None };
        let Ok(descriptor) = self.descriptor(fd) else { return libc::POLLNVAL };
        let Some(handle) = descriptor.socket.handle() else {
            if descriptor.put_off.is_some() {
                return (libc::POLLOUT | libc::POLLWRNORM) & events;
            }
            return (libc::POLLOUT | libc::POLLWRNORM) & events | libc::POLLHUP;
        };
        let ready = self.stack.readiness(handle);
        let mut found = 0;
        for (bit, shown) in [
            (Readiness::READABLE, libc::POLLIN | libc::POLLRDNORM),
            (Readiness::WRITABLE, libc::POLLOUT | libc::POLLWRNORM),
            (Readiness::READ_CLOSED, libc::POLLRDHUP),
            (Readiness::URGENT, libc::POLLPRI),
        ] {
            found |= if ready.any(bit) { shown } else { 0 };
        }
        if let Some(writable) = counted {
            let shown = libc::POLLOUT | libc::POLLWRNORM;
            found = found & !shown | if writable { shown } else { 0 };
        }
        found &= events;
        if let SocketHandle::Tcp(handle) = handle {
            found |= self.ended(handle, descriptor);
        }
        found
    }

    /// `POLLHUP` where neither way is open, `POLLERR` where an error waits.
    fn ended(&self, handle: TcpHandle, descriptor: &Descriptor) -> i16 {
        let state = self.stack.tcp_state(handle);
        let both = state.is_none_or(|state| state == State::Closed)
            || self
                .stack
                .tcp_connection(handle)
                .is_some_and(|c| c.snd.fin.is_some() && (c.read_closed || c.fin_received()));
        let error = descriptor.notices.any()
            || !descriptor.error_told
                && self.stack.tcp_error(handle).is_some_and(|error| error != SocketError::Aborted);
        (if both { libc::POLLHUP } else { 0 }) | (if error { libc::POLLERR } else { 0 })
    }

    /// The two ends of a connection, or where a socket is bound.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn ends(&self, fd: Fd) -> Answer<(Option<SocketAddr>, Option<SocketAddr>)> {
        let descriptor = self.descriptor(fd)?;
        Ok(match descriptor.socket {
            Socket::Fresh => (descriptor.local, None),
            Socket::Listener(handle) => (self.stack.listener_local(handle), None),
            Socket::Tcp(handle) => match self.stack.tcp_tuple(handle) {
                Some(tuple) => (Some(tuple.local()), Some(tuple.remote())),
                None => (None, None),
            },
            Socket::Udp(handle) => match self.stack.udp_socket(handle) {
                Some(socket) => (Some(socket.local), socket.remote),
                None => (None, None),
            },
        })
    }
}
