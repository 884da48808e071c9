//! Fast Open as Linux's sockets have it: its sysctls, the options of a socket, and `MSG_FASTOPEN`; and as those of FreeBSD have
//! it, where `TCP_FASTOPEN` asks for it on both sides, and a client opens by a write that names the server.

use std::net::SocketAddr;

use super::descriptor::{Descriptor, Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use super::knobs::Knobs;
use super::persona::Persona;
use crate::error::SocketError;
use crate::stack::TcpHandle;
use crate::tcp::fast_open::{Key, Keys, ListenFastOpen};
use crate::tcp::state::State;

/// `TCP_FASTOPEN`.
const LIMIT: i32 = 23;
/// `TCP_FASTOPEN_CONNECT`.
const CONNECT: i32 = 30;
/// `TCP_FASTOPEN_KEY`.
const KEY: i32 = 33;
/// `TCP_FASTOPEN_NO_COOKIE`.
const NO_COOKIE: i32 = 34;

/// `MSG_FASTOPEN`, which the libc crate does not name.
pub const MSG_FASTOPEN: i32 = 0x2000_0000;

/// Bits of `net.ipv4.tcp_fastopen`.
const CLIENT: i64 = 1;
const SERVER: i64 = 2;
const COOKIELESS: i64 = 4;
const TRUSTING: i64 = 0x200;
const EVERY_LISTENER: i64 = 0x400;

/// The same bits from what FreeBSD has names for.
fn freebsd_bits(knobs: &Knobs) -> i64 {
    let on = |name: &str, default| knobs.number(&format!("net.inet.tcp.fastopen.{name}")).unwrap_or(default) != 0;
    let bits = [(on("client_enable", 1), CLIENT), (on("server_enable", 0), SERVER), (on("acceptany", 0), TRUSTING)];
    bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
}

/// The keys of `net.ipv4.tcp_fastopen_key`: one or two of four words each, in hexadecimal.
pub(super) fn keys(text: &str) -> Option<Keys> {
    let mut octets = Vec::new();
    for word in text.split([',', '-']) {
        octets.extend_from_slice(&u32::from_str_radix(word.trim(), 16).ok()?.to_le_bytes());
    }
    keys_of(&octets)
}

fn keys_of(octets: &[u8]) -> Option<Keys> {
    match octets.as_chunks::<16>() {
        (&[key], []) => Some(Keys::Fixed(Key(key), None)),
        (&[key, backup], []) => Some(Keys::Fixed(Key(key), Some(Key(backup)))),
        _ => None,
    }
}

impl Descriptor {
    fn fast_open_option(&self, name: i32) -> Option<&[u8]> {
        self.noted.get(&(libc::IPPROTO_TCP, name)).map(Vec::as_slice)
    }

    fn fast_open_number(&self, name: i32) -> Option<i32> {
        Some(i32::from_ne_bytes(self.fast_open_option(name)?.try_into().ok()?))
    }
}

impl Host {
    fn fast_open_bits(&self) -> i64 {
        match self.settings.persona {
            Persona::FreeBsd => freebsd_bits(&self.settings.knobs),
            _ => self.settings.knobs.number("net.ipv4.tcp_fastopen").unwrap_or(CLIENT),
        }
    }

    /// An option of Fast Open may be set on this socket.
    fn may_set_fast_open(&self, fd: Fd, name: i32) -> Answer<()> {
        let (bits, socket) = (self.fast_open_bits(), self.descriptor(fd)?.socket);
        let listens = matches!(socket, Socket::Listener(_));
        if self.settings.persona == Persona::FreeBsd {
            let enabled = if listens { SERVER } else { CLIENT | SERVER };
            return if bits & enabled == 0 { Err(Errno::EPERM) } else { Ok(()) };
        }
        match (name, socket) {
            (CONNECT, _) if bits & CLIENT == 0 => Err(Errno::EOPNOTSUPP),
            (_, Socket::Fresh) => Ok(()),
            (LIMIT | KEY | NO_COOKIE, Socket::Listener(_)) => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// How a listener takes it that was asked for this backlog.
    pub(super) fn listen_fast_open(&self, fd: Fd, backlog: u32) -> Option<ListenFastOpen> {
        let (bits, descriptor) = (self.fast_open_bits(), self.descriptor(fd).ok()?);
        let every = (bits & EVERY_LISTENER != 0).then_some(backlog);
        let set = descriptor.fast_open_number(LIMIT).map(|limit| match self.settings.persona {
            // There it is a switch, and a half of the backlog may be pending.
            Persona::FreeBsd if limit != 0 => backlog / 2 + 1,
            _ => u32::try_from(limit).unwrap_or(0),
        });
        let limit = set.or(every).filter(|&limit| bits & SERVER != 0 && limit > 0)?;
        let without_cookies = bits & TRUSTING != 0 || descriptor.fast_open_number(NO_COOKIE).is_some_and(|on| on != 0);
        Some(ListenFastOpen { limit, without_cookies, keys: descriptor.fast_open_option(KEY).and_then(keys_of) })
    }

    /// Notes an option of Fast Open; false for any other.
    ///
    /// # Errors
    /// `EINVAL` for a key that cannot be, or an option that comes too late; `EOPNOTSUPP`, or with FreeBSD's habits `EPERM`, where
    /// Fast Open is off.
    pub(super) fn set_fast_open(&mut self, fd: Fd, name: i32, value: &[u8]) -> Answer<bool> {
        if !matches!(name, LIMIT | CONNECT | KEY | NO_COOKIE) {
            return Ok(false);
        }
        self.may_set_fast_open(fd, name)?;
        if name == KEY && keys_of(value).is_none() {
            return Err(Errno::EINVAL);
        }
        self.descriptor_mut(fd)?.noted.insert((libc::IPPROTO_TCP, name), value.to_vec());
        if let Socket::Listener(handle) = self.descriptor(fd)?.socket {
            let options = self.listen_fast_open(fd, 1);
            self.stack.listener_set_fast_open(handle, options);
        }
        Ok(true)
    }

    /// A connect that `TCP_FASTOPEN_CONNECT` puts off until something is written, which it can be where a cookie is known;
    /// without one it begins, and asks.
    pub(super) fn fast_connect(&mut self, fd: Fd, remote: SocketAddr) -> Option<Answer<()>> {
        let descriptor = self.descriptor(fd).ok()?;
        let asked = descriptor.fast_open_number(CONNECT).is_some_and(|on| on != 0);
        if !asked || self.fast_open_bits() & CLIENT == 0 {
            return None;
        }
        if descriptor.put_off.is_some() {
            return Some(Err(Errno::EISCONN));
        }
        if self.stack.fast_open_knows(remote.ip()) || self.is_cookieless(fd) {
            let descriptor = self.descriptor_mut(fd).ok()?;
            (descriptor.put_off, descriptor.connected_told) = (Some(remote), true);
            return Some(Ok(()));
        }
        Some(self.begin_fast(fd, remote, &[], false).and(Err(Errno::EINPROGRESS)))
    }

    /// Text leaves without a cookie.
    fn is_cookieless(&self, fd: Fd) -> bool {
        let set = self.descriptor(fd).ok().and_then(|descriptor| descriptor.fast_open_number(NO_COOKIE));
        self.fast_open_bits() & COOKIELESS != 0 || set.is_some_and(|on| on != 0)
    }

    /// Connects by a write, all of whose text waits in the send buffer; with `TCP_FASTOPEN` the SYN takes what it may.
    fn connect_by_writing(&mut self, fd: Fd, remote: SocketAddr, data: &[u8]) -> Answer<usize> {
        let descriptor = self.descriptor(fd)?;
        let fast = descriptor.fast_open_number(LIMIT).is_some_and(|on| on != 0) && self.fast_open_bits() & CLIENT != 0;
        let (local, options) = (descriptor.local, descriptor.options);
        let (handle, queued) = if fast {
            self.stack.tcp_connect_fast(self.now, local, remote, options, data)?
        } else {
            let handle = self.stack.tcp_connect(self.now, local, remote, options)?;
            match self.stack.tcp_send(self.now, handle, data) {
                Err(SocketError::WouldBlock) => (handle, 0),
                sent => (handle, sent?),
            }
        };
        self.descriptor_mut(fd)?.socket = Socket::Tcp(handle);
        self.settle();
        Ok(queued)
    }

    /// Connects, with what of the data has room in the SYN.
    fn begin_fast(&mut self, fd: Fd, remote: SocketAddr, data: &[u8], waits: bool) -> Answer<usize> {
        let descriptor = self.descriptor(fd)?;
        let (local, mut options) = (descriptor.local, descriptor.options);
        options.fast_open_without_cookie = self.is_cookieless(fd);
        let (handle, _) = self.stack.tcp_connect_fast(self.now, local, remote, options, &[])?;
        let room = self.stack.tcp_connection(handle).and_then(|connection| Some(connection.fast_open.as_ref()?.room));
        let (part, rest) = data.split_at(data.len().min(usize::from(room.unwrap_or(0))));
        // What the SYN takes stays a segment of its own, which is pushed.
        let mut queued = if part.is_empty() { 0 } else { self.stack.tcp_send_record(self.now, handle, part)? };
        let descriptor = self.descriptor_mut(fd)?;
        (descriptor.socket, descriptor.put_off) = (Socket::Tcp(handle), None);
        descriptor.watch.in_syn = queued as u32;
        if waits && queued == part.len() && !rest.is_empty() {
            // The caller waits with the rest, which leaves in place of the ACK of the SYN-ACK.
            queued += self.write_unopened(fd, handle, rest);
        }
        self.settle();
        Ok(queued)
    }

    /// Text of a write that waits for its connection; what has no room comes again once that is open.
    fn write_unopened(&mut self, fd: Fd, handle: TcpHandle, rest: &[u8]) -> usize {
        let written = match self.settings.persona.counts_send_memory() {
            true => self.write_counted(fd, handle, rest, 0),
            false => self.write_part(fd, handle, rest, 0),
        };
        written.unwrap_or(0)
    }

    /// A write that opens the connection: with `MSG_FASTOPEN`, or after a connect that was put off. `None` for any other.
    pub(super) fn fast_send(
        &mut self,
        fd: Fd,
        data: &[u8],
        flags: i32,
        to: Option<SocketAddr>,
    ) -> Option<Answer<usize>> {
        let descriptor = self.descriptor(fd).ok()?;
        let waits = !descriptor.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        let (asked, put_off) = (flags & MSG_FASTOPEN != 0, descriptor.put_off);
        match descriptor.socket {
            Socket::Fresh if asked || put_off.is_some() => {
                if self.fast_open_bits() & CLIENT == 0 {
                    return Some(Err(Errno::EOPNOTSUPP));
                }
                let Some(remote) = put_off.or(to) else { return Some(Err(Errno::EINVAL)) };
                Some(self.begin_fast(fd, remote, data, waits).and_then(|queued| {
                    if queued > 0 {
                        self.note_write(fd, flags);
                    }
                    if waits {
                        // It is told when the connection is open.
                        self.descriptor_mut(fd)?.in_syn = Some(queued);
                        return Err(Errno::EAGAIN);
                    }
                    if queued > 0 { Ok(queued) } else { Err(Errno::EINPROGRESS) }
                }))
            }
            Socket::Fresh if self.settings.persona.connects_by_writing() => {
                to.map(|remote| self.connect_by_writing(fd, remote, data))
            }
            Socket::Tcp(handle) if descriptor.in_syn.is_some() => self.fast_sent(fd, handle, data.len()),
            Socket::Tcp(handle) if asked && self.stack.tcp_state(handle) == Some(State::SynSent) => {
                Some(Err(Errno::EALREADY))
            }
            _ => None,
        }
    }

    /// A write that waits for the connection that it has opened.
    fn fast_sent(&mut self, fd: Fd, handle: TcpHandle, len: usize) -> Option<Answer<usize>> {
        match self.connected(fd) {
            None => Some(Err(Errno::EAGAIN)),
            Some(Ok(())) => {
                let queued = self.descriptor_mut(fd).ok()?.in_syn.take();
                // Without a cookie nothing has left, and all of it is written as ever.
                queued.filter(|&queued| queued > 0 || len == 0).map(Ok)
            }
            Some(Err(errno)) => {
                self.descriptor_mut(fd).ok()?.in_syn = None;
                Some(Err(self.take_error(fd, handle).unwrap_or(errno)))
            }
        }
    }
}
