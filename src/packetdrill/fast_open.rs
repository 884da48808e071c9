//! Fast Open as Linux's sockets have it: its sysctls, the options of a socket, and `MSG_FASTOPEN`.

use std::net::SocketAddr;

use super::descriptor::{Descriptor, Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
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
pub(super) const MSG_FASTOPEN: i32 = 0x2000_0000;

/// Bits of `net.ipv4.tcp_fastopen`.
const CLIENT: i64 = 1;
const SERVER: i64 = 2;
const TRUSTING: i64 = 0x200;
const EVERY_LISTENER: i64 = 0x400;

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
        self.settings.knobs.number("net.ipv4.tcp_fastopen").unwrap_or(CLIENT)
    }

    /// How a listener takes it that was asked for this backlog.
    pub(super) fn listen_fast_open(&self, fd: Fd, backlog: u32) -> Option<ListenFastOpen> {
        let (bits, descriptor) = (self.fast_open_bits(), self.descriptor(fd).ok()?);
        let every = (bits & EVERY_LISTENER != 0).then_some(backlog);
        let set = descriptor.fast_open_number(LIMIT).map(|limit| u32::try_from(limit).unwrap_or(0));
        let limit = set.or(every).filter(|&limit| bits & SERVER != 0 && limit > 0)?;
        let without_cookies = bits & TRUSTING != 0 || descriptor.fast_open_number(NO_COOKIE).is_some_and(|on| on != 0);
        Some(ListenFastOpen { limit, without_cookies, keys: descriptor.fast_open_option(KEY).and_then(keys_of) })
    }

    /// Notes an option of Fast Open; false for any other.
    ///
    /// # Errors
    /// `EINVAL` for a key that cannot be, or an option that comes too late.
    pub(super) fn set_fast_open(&mut self, fd: Fd, name: i32, value: &[u8]) -> Answer<bool> {
        if !matches!(name, LIMIT | CONNECT | KEY | NO_COOKIE) {
            return Ok(false);
        }
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
        if self.stack.fast_open_knows(remote.ip()) {
            let descriptor = self.descriptor_mut(fd).ok()?;
            (descriptor.put_off, descriptor.connected_told) = (Some(remote), true);
            return Some(Ok(()));
        }
        Some(self.begin_fast(fd, remote, &[]).and(Err(Errno::EINPROGRESS)))
    }

    /// Connects, with what of the data has room in the SYN.
    fn begin_fast(&mut self, fd: Fd, remote: SocketAddr, data: &[u8]) -> Answer<usize> {
        let descriptor = self.descriptor(fd)?;
        let (local, options) = (descriptor.local, descriptor.options);
        let (handle, _) = self.stack.tcp_connect_fast(self.now, local, remote, options, &[])?;
        let room = self.stack.tcp_connection(handle).and_then(|connection| Some(connection.fast_open.as_ref()?.room));
        let part = &data[..data.len().min(usize::from(room.unwrap_or(0)))];
        let queued = if part.is_empty() { 0 } else { self.stack.tcp_send(self.now, handle, part)? };
        let descriptor = self.descriptor_mut(fd)?;
        (descriptor.socket, descriptor.put_off) = (Socket::Tcp(handle), None);
        self.settle();
        Ok(queued)
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
                let Some(remote) = put_off.or(to) else { return Some(Err(Errno::EDESTADDRREQ)) };
                Some(self.begin_fast(fd, remote, data).and_then(|queued| {
                    if waits {
                        // It is told when the connection is open.
                        self.descriptor_mut(fd)?.in_syn = Some(queued);
                        return Err(Errno::EAGAIN);
                    }
                    if queued > 0 { Ok(queued) } else { Err(Errno::EINPROGRESS) }
                }))
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
