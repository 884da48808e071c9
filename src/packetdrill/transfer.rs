//! Reading and writing.

use std::net::SocketAddr;
use std::time::Duration;

use super::descriptor::{Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use crate::error::SocketError;
use crate::ip::address::canonical;
use crate::stack::TcpHandle;
use crate::tcp::connection::Connection;
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
        if flags & libc::MSG_ERRQUEUE != 0 {
            return self.next_notice(fd).map(|_| (0, None));
        }
        match descriptor.socket {
            Socket::Fresh if descriptor.put_off.is_some() => Err(Errno::EAGAIN),
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
        if flags & libc::MSG_OOB != 0 {
            return self.read_urgent(fd, handle, buffer, flags);
        }
        if self.stack.tcp_state(handle) == Some(State::SynSent) {
            return Err(Errno::EAGAIN);
        }
        self.take_urgent_out(fd, handle)?;
        let read = match flags & libc::MSG_PEEK {
            0 => self.stack.tcp_receive(self.now, handle, buffer),
            _ => self.stack.tcp_peek(handle, buffer),
        };
        if self.settings.persona.counts_receive_memory() && read.is_ok_and(|read| read > 0) {
            self.reader_came(handle);
        }
        match read {
            Ok(read) => Ok(read),
            Err(SocketError::WouldBlock) if self.descriptor(fd)?.read_shut => Ok(0),
            Err(SocketError::WouldBlock) => Err(Errno::EAGAIN),
            Err(SocketError::NotConnected) => Ok(0),
            // An error is told once; behind it the stream has ended.
            Err(_) => self.take_error(fd, handle).map_or(Ok(0), Err),
        }
    }

    /// The next octet is the last urgent one, and is not to be read in line.
    fn is_at_urgent(&self, fd: Fd, handle: TcpHandle) -> bool {
        self.settings.persona.takes_urgent_out()
            && self.stack.tcp_connection(handle).is_some_and(Connection::at_mark)
            && self.noted_number(fd, libc::SOL_SOCKET, libc::SO_OOBINLINE) == 0
    }

    /// As a reader comes to it, the urgent octet is put aside for `MSG_OOB`.
    fn take_urgent_out(&mut self, fd: Fd, handle: TcpHandle) -> Answer<()> {
        let mut octet = [0];
        if self.is_at_urgent(fd, handle) && self.stack.tcp_receive(self.now, handle, &mut octet) == Ok(1) {
            self.descriptor_mut(fd)?.urgent = Some(octet[0]);
        }
        Ok(())
    }

    /// `recv` with `MSG_OOB`.
    fn read_urgent(&mut self, fd: Fd, handle: TcpHandle, buffer: &mut [u8], flags: i32) -> Answer<usize> {
        if self.noted_number(fd, libc::SOL_SOCKET, libc::SO_OOBINLINE) != 0 {
            return Err(Errno::EINVAL);
        }
        self.take_urgent_out(fd, handle)?;
        let descriptor = self.descriptor_mut(fd)?;
        let octet = if flags & libc::MSG_PEEK == 0 { descriptor.urgent.take() } else { descriptor.urgent };
        let octet = octet.ok_or(Errno::EINVAL)?;
        buffer.iter_mut().take(1).for_each(|first| *first = octet);
        Ok(buffer.len().min(1))
    }

    /// What `splice` moves out of a socket: nothing where the urgent octet is next.
    ///
    /// # Errors
    /// Those of [`Host::recv`].
    pub fn splice_out(&mut self, fd: Fd, buffer: &mut [u8]) -> Answer<usize> {
        match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) if self.is_at_urgent(fd, handle) => Ok(0),
            _ => self.recv(fd, buffer, 0),
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
        self.send_pieces(fd, data, &[], flags, to)
    }

    /// The same for text whose first records end at these offsets, in order.
    ///
    /// # Errors
    /// Those of [`Host::send_to`].
    pub fn send_pieces(
        &mut self,
        fd: Fd,
        data: &[u8],
        ends: &[usize],
        flags: i32,
        to: Option<SocketAddr>,
    ) -> Answer<usize> {
        if let Some(answer) = self.fast_send(fd, data, flags, to.map(canonical)) {
            return answer;
        }
        let sent = match self.descriptor(fd)?.socket {
            Socket::Fresh | Socket::Listener(_) => Err(Errno::EPIPE),
            Socket::Tcp(handle) => {
                let sent = self.tcp_write_records(fd, handle, data, ends, flags);
                if sent.is_ok_and(|sent| sent > 0) {
                    self.note_write(fd, flags);
                }
                sent
            }
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

    fn tcp_write_records(
        &mut self,
        fd: Fd,
        handle: TcpHandle,
        data: &[u8],
        ends: &[usize],
        flags: i32,
    ) -> Answer<usize> {
        let mut done = 0;
        for &end in ends.iter().filter(|&&end| end < data.len()) {
            match self.tcp_write(fd, handle, &data[done..end], flags | libc::MSG_EOR | libc::MSG_MORE) {
                Ok(sent) => done += sent,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => return Ok(done),
            }
            if done < end {
                return Ok(done);
            }
        }
        match self.tcp_write(fd, handle, &data[done..], flags) {
            Err(_) if done > 0 => Ok(done),
            sent => sent.map(|sent| sent + done),
        }
    }

    fn tcp_write(&mut self, fd: Fd, handle: TcpHandle, data: &[u8], flags: i32) -> Answer<usize> {
        let early = self.stack.tcp_connection(handle).is_some_and(Connection::opens_early);
        if matches!(self.stack.tcp_state(handle), Some(State::SynSent | State::SynReceived)) && !early {
            return Err(Errno::EAGAIN);
        }
        match self.settings.persona.counts_send_memory() && !data.is_empty() {
            true => self.write_counted(fd, handle, data, flags),
            false => self.write_part(fd, handle, data, flags),
        }
    }

    /// One piece of text for the stack.
    pub(super) fn write_part(&mut self, fd: Fd, handle: TcpHandle, data: &[u8], flags: i32) -> Answer<usize> {
        let sent = if flags & libc::MSG_OOB != 0 {
            self.stack.tcp_send_urgent(self.now, handle, data)
        } else if flags & libc::MSG_EOR != 0 {
            // Where more follows it is pushed by what does.
            self.stack.tcp_send_record(self.now, handle, data)
        } else if flags & libc::MSG_MORE != 0 {
            self.stack.tcp_send_more(self.now, handle, data)
        } else {
            self.stack.tcp_send(self.now, handle, data)
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

    /// `SIOCOUTQNSD`: octets that have not been sent.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for a listener.
    pub fn unsent(&self, fd: Fd) -> Answer<usize> {
        match self.descriptor(fd)?.socket {
            Socket::Listener(_) => Err(Errno::EINVAL),
            Socket::Tcp(handle) => {
                self.stack.tcp_connection(handle).map(|connection| connection.unsent() as usize).ok_or(Errno::EBADF)
            }
            Socket::Fresh | Socket::Udp(_) => Ok(0),
        }
    }

    /// `SO_RCVTIMEO`: how long reading waits; `None` for ever.
    pub fn receive_timeout(&self, fd: Fd) -> Option<Duration> {
        self.timeout(fd, libc::SO_RCVTIMEO)
    }

    /// `SO_SNDTIMEO`: how long writing waits; `None` for ever.
    pub fn send_timeout(&self, fd: Fd) -> Option<Duration> {
        self.timeout(fd, libc::SO_SNDTIMEO)
    }

    fn timeout(&self, fd: Fd, name: i32) -> Option<Duration> {
        let value = self.table.get(&fd)?.noted.get(&(libc::SOL_SOCKET, name))?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
        let (secs, micros) = (number(value.get(..8)?)?, number(value.get(8..16)?)?);
        let timeout = Duration::from_secs(secs) + Duration::from_micros(micros);
        (!timeout.is_zero()).then_some(timeout)
    }

    /// What `recvmsg` tells beside the octets: control messages as C lays them out.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn control(&self, fd: Fd) -> Answer<Vec<u8>> {
        let noted = self.descriptor(fd)?.noted.get(&(libc::IPPROTO_TCP, TCP_INQ));
        if noted.is_none_or(|value| value.iter().all(|&byte| byte == 0)) {
            return Ok(Vec::new());
        }
        let ended = match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => self.stack.tcp_connection(handle).is_some_and(Connection::fin_received),
            _ => false,
        };
        // As Linux tells it: the end of the stream is something to read, too.
        let unread = self.unread(fd)?;
        let told = if unread == 0 && ended { 1 } else { unread as i32 };
        Ok(control_message(libc::IPPROTO_TCP, TCP_INQ, &told.to_ne_bytes()))
    }
}

/// `TCP_INQ` and `TCP_CM_INQ`, which the libc crate does not name.
const TCP_INQ: i32 = 36;

/// One control message, padded to whole words.
pub(super) fn control_message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    const WORD: usize = size_of::<usize>();
    let mut message = (WORD + 8 + data.len()).to_ne_bytes().to_vec();
    message.extend_from_slice(&level.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(data);
    message.resize(message.len().next_multiple_of(WORD), 0);
    message
}
