//! Reading and writing.

use std::net::SocketAddr;

use super::descriptor::{Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use crate::error::SocketError;
use crate::ip::address::canonical;
use crate::stack::TcpHandle;
use crate::tcp::state::State;

impl Host {
    /// `recv`: `flags` as `MSG_PEEK`.
    ///
    /// # Errors
    /// `EAGAIN` while there is nothing, `ENOTCONN`, or why the connection ended (told once).
    pub fn recv(&mut self, fd: Fd, buffer: &mut [u8], flags: i32) -> Answer<usize> {
        self.recv_from(fd, buffer, flags).map(|(read, _)| read)
    }

    /// `read`.
    ///
    /// # Errors
    /// Those of [`Host::recv`].
    pub fn read(&mut self, fd: Fd, buffer: &mut [u8]) -> Answer<usize> {
        self.recv(fd, buffer, 0)
    }

    /// `recvfrom`: with the sender of a datagram.
    ///
    /// # Errors
    /// Those of [`Host::recv`].
    pub fn recv_from(&mut self, fd: Fd, buffer: &mut [u8], flags: i32) -> Answer<(usize, Option<SocketAddr>)> {
        let descriptor = self.descriptor(fd)?;
        let domain = descriptor.domain;
        match descriptor.socket {
            Socket::Fresh | Socket::Listener(_) => Err(Errno::ENOTCONN),
            Socket::Tcp(handle) => {
                let read = self.tcp_read(fd, handle, buffer, flags);
                self.settle();
                read.map(|read| (read, None))
            }
            Socket::Udp(handle) => {
                let meta = match flags & libc::MSG_PEEK {
                    0 => self.stack.udp_receive_into(handle, buffer, false)?,
                    _ => self.stack.udp_peek(handle, buffer)?,
                };
                Ok((meta.len, Some(domain.shown(meta.source))))
            }
        }
    }

    fn tcp_read(&mut self, fd: Fd, handle: TcpHandle, buffer: &mut [u8], flags: i32) -> Answer<usize> {
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        if flags & libc::MSG_OOB != 0 {
            return Err(Errno::EINVAL);
        }
        if matches!(self.stack.tcp_state(handle), Some(State::SynSent | State::SynReceived)) {
            return Err(Errno::EAGAIN);
        }
        let read = match flags & libc::MSG_PEEK {
            0 => self.stack.tcp_receive(self.now, handle, buffer),
            _ => self.stack.tcp_peek(handle, buffer),
        };
        match read {
            Ok(read) => Ok(read),
            Err(SocketError::WouldBlock) => Err(Errno::EAGAIN),
            Err(SocketError::NotConnected) => Ok(0),
            // An error is told once; behind it the stream has ended.
            Err(_) => self.take_error(fd, handle).map_or(Ok(0), Err),
        }
    }

    /// `send`: `flags` as `MSG_OOB`, `MSG_MORE`. The answer may be less than there is, where there is no room for more.
    ///
    /// # Errors
    /// `EAGAIN` without room, `EPIPE`, `ENOTCONN`, or why the connection ended (told once).
    pub fn send(&mut self, fd: Fd, data: &[u8], flags: i32) -> Answer<usize> {
        self.send_to(fd, data, flags, None)
    }

    /// `write`.
    ///
    /// # Errors
    /// Those of [`Host::send`].
    pub fn write(&mut self, fd: Fd, data: &[u8]) -> Answer<usize> {
        self.send(fd, data, 0)
    }

    /// `sendto`.
    ///
    /// # Errors
    /// Those of [`Host::send`], `EDESTADDRREQ`.
    pub fn send_to(&mut self, fd: Fd, data: &[u8], flags: i32, to: Option<SocketAddr>) -> Answer<usize> {
        let sent = match self.descriptor(fd)?.socket {
            Socket::Fresh | Socket::Listener(_) => Err(Errno::EPIPE),
            Socket::Tcp(handle) => self.tcp_write(fd, handle, data, flags),
            Socket::Udp(handle) => {
                self.stack.udp_send(self.now, handle, to.map(canonical), data).map_err(|error| match error {
                    SocketError::NotConnected => Errno::EDESTADDRREQ,
                    other => other.into(),
                })
            }
        };
        self.settle();
        sent
    }

    fn tcp_write(&mut self, fd: Fd, handle: TcpHandle, data: &[u8], flags: i32) -> Answer<usize> {
        if matches!(self.stack.tcp_state(handle), Some(State::SynSent | State::SynReceived)) {
            return Err(Errno::EAGAIN);
        }
        let sent = match flags & libc::MSG_OOB {
            0 => self.stack.tcp_send(self.now, handle, data),
            _ => self.stack.tcp_send_urgent(self.now, handle, data),
        };
        match sent {
            Ok(sent) => Ok(sent),
            Err(SocketError::WouldBlock) => Err(Errno::EAGAIN),
            Err(_) => Err(self.take_error(fd, handle).unwrap_or(Errno::EPIPE)),
        }
    }

    /// `SIOCINQ`: octets that wait to be read.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for a listener.
    pub fn unread(&self, fd: Fd) -> Answer<usize> {
        match self.descriptor(fd)?.socket {
            Socket::Fresh => Ok(0),
            Socket::Listener(_) => Err(Errno::EINVAL),
            Socket::Tcp(handle) => {
                let connection = self.stack.tcp_connection(handle).ok_or(Errno::EBADF)?;
                let readable = connection.receive_buffer.readable();
                // As Linux tells it: the end of the stream is something to read, too.
                Ok(if readable == 0 && connection.fin_received() { 0 } else { readable })
            }
            Socket::Udp(_) => Ok(0),
        }
    }

    /// `SIOCOUTQ`: octets that the peer has not acknowledged.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for a listener.
    pub fn unacknowledged(&self, fd: Fd) -> Answer<usize> {
        match self.descriptor(fd)?.socket {
            Socket::Listener(_) => Err(Errno::EINVAL),
            Socket::Tcp(handle) => {
                self.stack.tcp_connection(handle).map(|connection| connection.send_buffer.len()).ok_or(Errno::EBADF)
            }
            Socket::Fresh | Socket::Udp(_) => Ok(0),
        }
    }
}
