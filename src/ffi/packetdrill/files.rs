//! Calls about other descriptors, or about many: poll, epoll, pipe, splice.

use std::ffi::{c_int, c_uint, c_void};
use std::time::Duration;

use libc::{epoll_event, loff_t, nfds_t, pollfd, size_t};

use super::calls::send_all;
use super::machine::{blocking, call};
use super::memory::{answer_int, number, store};
use crate::packetdrill::{Answer, Errno, Interest};

/// How long `poll` and `epoll_wait` wait: `None` for ever.
fn patience(millis: c_int) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// `poll`.
pub extern "C" fn poll(_: *mut c_void, polled: *mut pollfd, count: nfds_t, millis: c_int) -> c_int {
    let count = count as usize;
    let attempt = |host: &mut crate::packetdrill::Host| {
        let mut found = 0;
        for index in 0..count {
            // SAFETY: as for the call of libc: there are as many.
            unsafe {
                let mut entry = number(polled.add(index))?;
                entry.revents = if entry.fd < 0 { 0 } else { host.poll(entry.fd, entry.events) };
                found += c_int::from(entry.revents != 0);
                store(polled.add(index), entry)?;
            }
        }
        if found > 0 { Ok(found) } else { Err(Errno::EAGAIN) }
    };
    let found = match blocking(|_| millis != 0, patience(millis), attempt) {
        Err(Errno::EAGAIN) => Ok(0),
        other => other,
    };
    answer_int(found)
}

/// `epoll_create`.
pub extern "C" fn epoll_create(_: *mut c_void, size: c_int) -> c_int {
    answer_int(if size > 0 { call(|host| host.epoll_create()) } else { Err(Errno::EINVAL) })
}

/// `epoll_ctl`.
pub extern "C" fn epoll_ctl(_: *mut c_void, epoll: c_int, what: c_int, fd: c_int, event: *mut epoll_event) -> c_int {
    let change = || -> Answer<()> {
        let interest = if what == libc::EPOLL_CTL_DEL {
            Interest { events: 0, data: 0 }
        } else {
            // SAFETY: as for the call of libc.
            let event = unsafe { number(event)? };
            Interest { events: event.events, data: event.u64 }
        };
        call(|host| match what {
            libc::EPOLL_CTL_ADD => host.epoll_add(epoll, fd, interest),
            libc::EPOLL_CTL_MOD => host.epoll_modify(epoll, fd, interest),
            libc::EPOLL_CTL_DEL => host.epoll_delete(epoll, fd),
            _ => Err(Errno::EINVAL),
        })
    };
    answer_int(change().map(|()| 0))
}

/// `epoll_wait`.
pub extern "C" fn epoll_wait(
    _: *mut c_void,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    millis: c_int,
) -> c_int {
    let Some(room) = usize::try_from(room).ok().filter(|&room| room > 0) else {
        return answer_int(Err(Errno::EINVAL));
    };
    let attempt = |host: &mut crate::packetdrill::Host| {
        let found = host.epoll_wait(epoll, room)?;
        for (index, event) in found.iter().enumerate() {
            let told = epoll_event { events: event.events, u64: event.data };
            // SAFETY: as for the call of libc: there is room for as many.
            unsafe { store(events.add(index), told)? };
        }
        if found.is_empty() { Err(Errno::EAGAIN) } else { Ok(found.len() as c_int) }
    };
    let found = match blocking(|_| millis != 0, patience(millis), attempt) {
        Err(Errno::EAGAIN) => Ok(0),
        other => other,
    };
    answer_int(found)
}

/// `pipe`: one of the system.
pub extern "C" fn pipe(_: *mut c_void, ends: *mut c_int) -> c_int {
    // SAFETY: as for the call of libc.
    unsafe { libc::pipe(ends) }
}

/// `splice` from a socket into a pipe, or out of it.
pub extern "C" fn splice(
    _: *mut c_void,
    from: c_int,
    _: *mut loff_t,
    to: c_int,
    _: *mut loff_t,
    len: size_t,
    flags: c_uint,
) -> c_int {
    let move_octets = || -> Answer<usize> {
        let (from_host, to_host) = call(|host| Ok((host.has(from), host.has(to))))?;
        let len = len.min(1 << 16);
        let mut data = vec![0; len];
        if from_host {
            let waits = flags & libc::SPLICE_F_NONBLOCK == 0;
            let read = blocking(|host| waits && host.blocks(from), None, |host| host.splice_out(from, &mut data))?;
            // SAFETY: the buffer is ours, and so long.
            let written = unsafe { libc::write(to, data.as_ptr().cast(), read) };
            return usize::try_from(written).map_err(|_| Errno::EPIPE);
        }
        if !to_host {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the buffer is ours, and so long.
        let read = unsafe { libc::read(from, data.as_mut_ptr().cast(), len) };
        let read = usize::try_from(read).map_err(|_| Errno::EAGAIN)?;
        send_all(to, &data[..read], 0, None)
    };
    answer_int(move_octets().map(|moved| moved as c_int))
}
