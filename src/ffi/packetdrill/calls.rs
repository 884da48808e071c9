//! Calls on sockets.

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::net::{Shutdown, SocketAddr};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use super::machine::{blocking, call};
use super::memory::{
    address, answer, answer_int, buffer, gather, number, octets, pieces, room, scatter, store, tell_address, tell_value,
};
use super::mirror;
use crate::packetdrill::{Answer, Domain, Errno, Fd, Host, Kind, MSG_FASTOPEN, MSG_ZEROCOPY, PIECES_PER_RECORD};

/// `socket`.
pub extern "C" fn socket(_: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let open = || {
        let domain = match domain {
            libc::AF_INET => Domain::V4,
            libc::AF_INET6 => Domain::V6,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let flags = kind & (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        let kind = match (kind & !flags, protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Stream,
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Kind::Datagram,
            _ => return Err(Errno::EPROTONOSUPPORT),
        };
        call(|host| {
            let fd = host.socket(domain, kind)?;
            if flags & libc::SOCK_NONBLOCK != 0 {
                host.set_flags(fd, libc::O_NONBLOCK)?;
            }
            Ok(fd)
        })
    };
    answer_int(open())
}

/// `bind`.
pub extern "C" fn bind(_: *mut c_void, fd: c_int, target: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: as for the call of libc.
    let target = unsafe { address(target, len) };
    let bound = target.and_then(|target| call(|host| host.bind(fd, target.ok_or(Errno::EAFNOSUPPORT)?)));
    answer_int(bound.map(|()| 0))
}

/// `listen`.
pub extern "C" fn listen(_: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
    let listens = call(|host| host.listen(fd, backlog));
    if listens.is_ok() {
        mirror::listens(fd);
    }
    answer_int(listens.map(|()| 0))
}

/// `accept`.
pub extern "C" fn accept(_: *mut c_void, fd: c_int, peer: *mut sockaddr, len: *mut socklen_t) -> c_int {
    let accepted = blocking(|host| host.blocks(fd), None, |host| host.accept(fd));
    let accepted = accepted.and_then(|(accepted, address)| {
        // SAFETY: as for the call of libc.
        unsafe { tell_address(address, peer.cast(), len)? };
        Ok(accepted)
    });
    answer_int(accepted)
}

/// `connect`.
pub extern "C" fn connect(_: *mut c_void, fd: c_int, target: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: as for the call of libc.
    let target = unsafe { address(target, len) };
    let connected = target.and_then(|target| {
        let mut begun = false;
        blocking(
            |host| host.blocks(fd),
            None,
            |host| {
                if !begun {
                    begun = true;
                    match host.connect_to(fd, target) {
                        Err(Errno::EINPROGRESS) if host.blocks(fd) => {}
                        other => return other,
                    }
                }
                host.connect_waits(fd)
            },
        )
    });
    answer_int(connected.map(|()| 0))
}

/// A reading call waits as long as the socket and its flags say so.
fn reads(fd: Fd, flags: c_int) -> impl FnOnce(&Host) -> bool {
    move |host| host.blocks(fd) && flags & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE) == 0
}

fn receive(fd: Fd, target: &mut [u8], flags: c_int) -> Answer<(usize, Option<SocketAddr>)> {
    let limit = call(|host| Ok(host.receive_timeout(fd)))?;
    let mut done = 0;
    let all = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
    blocking(reads(fd, flags), limit, |host| {
        let (read, from) = match host.recv_from(fd, &mut target[done..], flags) {
            Ok(read) => read,
            Err(Errno::EAGAIN) => return Err(Errno::EAGAIN),
            Err(_) if done > 0 => (0, None),
            Err(errno) => return Err(errno),
        };
        done += read;
        if all && read > 0 && done < target.len() && from.is_none() { Err(Errno::EAGAIN) } else { Ok((done, from)) }
    })
}

/// `read`.
pub extern "C" fn read(userdata: *mut c_void, fd: c_int, target: *mut c_void, len: size_t) -> ssize_t {
    recv(userdata, fd, target, len, 0)
}

/// `recv`.
pub extern "C" fn recv(_: *mut c_void, fd: c_int, target: *mut c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: as for the call of libc.
    let target = unsafe { buffer(target, len) };
    answer(target.and_then(|target| receive(fd, target, flags)).map(|(read, _)| read))
}

/// `recvfrom`.
pub extern "C" fn recvfrom(
    _: *mut c_void,
    fd: c_int,
    target: *mut c_void,
    len: size_t,
    flags: c_int,
    peer: *mut sockaddr,
    peer_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: as for the call of libc.
    let target = unsafe { buffer(target, len) };
    let read = target.and_then(|target| receive(fd, target, flags)).and_then(|(read, from)| {
        if let Some(from) = from {
            // SAFETY: as for the call of libc.
            unsafe { tell_address(from, peer.cast(), peer_len)? };
        } else if !peer_len.is_null() {
            // SAFETY: as for the call of libc.
            unsafe { store(peer_len, 0)? };
        }
        Ok(read)
    });
    answer(read)
}

/// `readv`.
pub extern "C" fn readv(_: *mut c_void, fd: c_int, targets: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as for the call of libc.
    let read = unsafe { pieces(targets, count.max(0) as usize) }.and_then(|targets| {
        let mut data = vec![0; room(targets)];
        let (read, _) = receive(fd, &mut data, 0)?;
        // SAFETY: as for the call of libc.
        unsafe { scatter(&data[..read], targets)? };
        Ok(read)
    });
    answer(read)
}

/// `recvmsg`.
pub extern "C" fn recvmsg(_: *mut c_void, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let receive = || {
        // SAFETY: as for the call of libc.
        let mut header = unsafe { number(message)? };
        if flags & libc::MSG_ERRQUEUE != 0 {
            let (control, kind) = call(|host| host.next_notice(fd))?;
            // SAFETY: as for the call of libc.
            unsafe { tell_control(&mut header, &control)? };
            (header.msg_namelen, header.msg_flags) = (0, header.msg_flags | kind);
            // SAFETY: as for the call of libc.
            unsafe { store(message, header)? };
            return Ok(0);
        }
        // SAFETY: as for the call of libc.
        let targets = unsafe { pieces(header.msg_iov, header.msg_iovlen)? };
        let mut data = vec![0; room(targets)];
        let (read, from) = receive(fd, &mut data, flags)?;
        // SAFETY: as for the call of libc.
        unsafe { scatter(&data[..read], targets)? };
        header.msg_namelen = match from {
            Some(from) if !header.msg_name.is_null() => {
                let mut len = header.msg_namelen;
                // SAFETY: as for the call of libc.
                unsafe { tell_address(from, header.msg_name, &raw mut len)? };
                len
            }
            _ => 0,
        };
        let control = call(|host| host.control(fd))?;
        // SAFETY: as for the call of libc.
        unsafe { tell_control(&mut header, &control)? };
        // SAFETY: as for the call of libc.
        unsafe { store(message, header)? };
        Ok(read)
    };
    answer(receive())
}

/// Control messages for a caller, or the word that there was no room for them.
///
/// # Safety
/// The header says how much room there is where.
unsafe fn tell_control(header: &mut msghdr, control: &[u8]) -> Answer<()> {
    let fits = control.len() <= header.msg_controllen;
    if fits {
        // SAFETY: as the caller says.
        unsafe { buffer(header.msg_control, control.len())? }.copy_from_slice(control);
    }
    header.msg_controllen = if fits { control.len() } else { 0 };
    header.msg_flags = if fits { 0 } else { libc::MSG_CTRUNC };
    Ok(())
}

/// Sends all of it, as far as the socket may wait.
pub fn send_all(fd: Fd, data: &[u8], flags: c_int, to: Option<SocketAddr>) -> Answer<usize> {
    send_pieces(fd, data, &[], flags, to)
}

/// The same for text whose records end at these offsets.
fn send_pieces(fd: Fd, data: &[u8], ends: &[usize], flags: c_int, to: Option<SocketAddr>) -> Answer<usize> {
    let limit = call(|host| Ok(host.send_timeout(fd)))?;
    let mut done = 0;
    let sent = blocking(
        |host| host.blocks(fd) && flags & libc::MSG_DONTWAIT == 0,
        limit,
        |host| loop {
            let rest = &data[done..];
            let ends: Vec<usize> = ends.iter().filter_map(|end| end.checked_sub(done)).filter(|&end| end > 0).collect();
            match host.send_pieces(fd, rest, &ends, flags, to) {
                Ok(sent) => {
                    done += sent;
                    if done >= data.len() {
                        return Ok(done);
                    }
                }
                Err(errno) if done == 0 || errno == Errno::EAGAIN && host.blocks(fd) => return Err(errno),
                Err(_) => return Ok(done),
            }
        },
    );
    match sent {
        Err(_) if done > 0 => Ok(done),
        other => other,
    }
}

/// `write`.
pub extern "C" fn write(userdata: *mut c_void, fd: c_int, data: *const c_void, len: size_t) -> ssize_t {
    send(userdata, fd, data, len, 0)
}

/// `send`.
pub extern "C" fn send(_: *mut c_void, fd: c_int, data: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    // SAFETY: as for the call of libc.
    answer(unsafe { octets(data, len) }.and_then(|data| send_all(fd, data, flags, None)))
}

/// `sendto`.
pub extern "C" fn sendto(
    _: *mut c_void,
    fd: c_int,
    data: *const c_void,
    len: size_t,
    flags: c_int,
    target: *const sockaddr,
    target_len: socklen_t,
) -> ssize_t {
    let send = || {
        // SAFETY: as for the call of libc.
        let data = unsafe { octets(data, len)? };
        let target = match target.is_null() {
            true => None,
            // SAFETY: as for the call of libc.
            false => to_somebody(unsafe { address(target, target_len)? }, flags)?,
        };
        send_all(fd, data, flags, target)
    };
    answer(send())
}

/// To nobody (`AF_UNSPEC`) no connection can be opened.
fn to_somebody(target: Option<SocketAddr>, flags: c_int) -> Answer<Option<SocketAddr>> {
    if target.is_none() && flags & MSG_FASTOPEN != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(target) }
}

/// `writev`.
pub extern "C" fn writev(_: *mut c_void, fd: c_int, data: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as for the call of libc.
    let data = unsafe { pieces(data, count.max(0) as usize).and_then(|data| gather(data)) };
    answer(data.and_then(|data| send_all(fd, &data, 0, None)))
}

/// `sendmsg`.
pub extern "C" fn sendmsg(_: *mut c_void, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let send = || {
        // SAFETY: as for the call of libc.
        let header = unsafe { number(message)? };
        // SAFETY: as for the call of libc.
        let parts = unsafe { pieces(header.msg_iov, header.msg_iovlen)? };
        // SAFETY: as for the call of libc.
        let data = unsafe { gather(parts)? };
        let target = match header.msg_name.is_null() {
            true => None,
            // SAFETY: as for the call of libc.
            false => to_somebody(unsafe { address(header.msg_name.cast(), header.msg_namelen)? }, flags)?,
        };
        send_pieces(fd, &data, &record_ends(parts, flags), flags, target)
    };
    answer(send())
}

/// Memory that is not copied lies in a record as it is, in so many pieces at most: then another one begins.
fn record_ends(parts: &[iovec], flags: c_int) -> Vec<usize> {
    if flags & MSG_ZEROCOPY == 0 {
        return Vec::new();
    }
    let mut end = 0;
    let filled = parts.iter().map(|part| part.iov_len).filter(|&len| len > 0);
    let ends = filled.map(|len| {
        end += len;
        end
    });
    ends.skip(PIECES_PER_RECORD - 1).step_by(PIECES_PER_RECORD).collect()
}

/// `fcntl`, with an argument or what happens to be in its place.
pub extern "C" fn fcntl(_: *mut c_void, fd: c_int, command: c_int, argument: c_long) -> c_int {
    answer_int(call(|host| host.fcntl(fd, command, argument)))
}

/// `SIOCOUTQNSD`, which the libc crate does not name.
const SIOCOUTQNSD: c_ulong = 0x894b;

/// `ioctl`.
pub extern "C" fn ioctl(_: *mut c_void, fd: c_int, request: c_ulong, target: *mut c_void) -> c_int {
    let told = call(|host| match request {
        libc::FIONREAD => host.unread(fd),
        libc::TIOCOUTQ => host.unacknowledged(fd),
        SIOCOUTQNSD => host.unsent(fd),
        libc::FIONBIO => {
            // SAFETY: as for the call of libc.
            let on = unsafe { number(target.cast::<c_int>())? } != 0;
            host.set_flags(fd, if on { libc::O_NONBLOCK } else { 0 })?;
            Ok(usize::MAX)
        }
        _ => Err(Errno::EINVAL),
    });
    let told = told.and_then(|value| match value {
        usize::MAX => Ok(0),
        // SAFETY: as for the call of libc.
        value => unsafe { store(target.cast(), value as c_int) }.map(|()| 0),
    });
    answer_int(told)
}

/// `close`; with a linger time it waits until the connection is over.
pub extern "C" fn close(_: *mut c_void, fd: c_int) -> c_int {
    mirror::closed(fd);
    let closed = call(|host| Ok(host.linger_time(fd))).and_then(|linger| match linger {
        None => call(|host| host.close(fd)),
        Some(time) => {
            let handle = call(|host| host.close_and_watch(fd))?;
            match blocking(|_| true, Some(time), |host| host.is_over(handle)) {
                Err(Errno::EAGAIN) | Ok(()) => Ok(()),
                Err(errno) => Err(errno),
            }
        }
    });
    answer_int(closed.map(|()| 0))
}

/// `shutdown`.
pub extern "C" fn shutdown(_: *mut c_void, fd: c_int, how: c_int) -> c_int {
    let how = match how {
        libc::SHUT_RD => Ok(Shutdown::Read),
        libc::SHUT_WR => Ok(Shutdown::Write),
        libc::SHUT_RDWR => Ok(Shutdown::Both),
        _ => Err(Errno::EINVAL),
    };
    answer_int(how.and_then(|how| call(|host| host.shutdown(fd, how))).map(|()| 0))
}

/// `getsockopt`.
pub extern "C" fn getsockopt(
    _: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let told = || {
        // SAFETY: as for the call of libc.
        let room = unsafe { number(len)? } as usize;
        let option = call(|host| host.getsockopt(fd, level, name, room))?;
        // SAFETY: as for the call of libc.
        unsafe { tell_value(&option, value, len) }
    };
    answer_int(told().map(|()| 0))
}

/// `setsockopt`.
pub extern "C" fn setsockopt(
    _: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: as for the call of libc.
    let value = unsafe { octets(value, len as usize) };
    answer_int(value.and_then(|value| call(|host| host.setsockopt(fd, level, name, value))).map(|()| 0))
}
