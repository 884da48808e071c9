//! Functions of libc, for the descriptors of the host.
//!
//! packetdrill asks libc for `TCP_INFO`, and closes by it what a script has left open. With `LD_PRELOAD` these come first;
//! they go on to the kernel for whatever is not the host's. Without it they have no effect on packetdrill, and nothing is
//! lost but the answers to `TCP_INFO`.

use std::ffi::{c_int, c_void};

use libc::{off_t, size_t, socklen_t, ssize_t};

use super::memory::{answer, answer_int, number, raw_close, tell_value};
use super::{calls, machine};
use crate::packetdrill::Answer;

/// Whether this is a descriptor of the host.
fn is_ours(fd: c_int) -> bool {
    machine::try_call(|host| host.has(fd)).unwrap_or(false)
}

/// `getsockopt` of libc.
///
/// # Safety
/// As the one of libc.
// SAFETY: it stands in for the function of libc, and does the same for descriptors that are not the host's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if !is_ours(fd) {
        // SAFETY: as the caller says.
        return unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, len) as c_int };
    }
    let told = || -> Answer<()> {
        // SAFETY: as the caller says.
        let room = unsafe { number(len)? } as usize;
        let option = machine::call(|host| host.getsockopt(fd, level, name, room))?;
        // SAFETY: as the caller says.
        unsafe { tell_value(&option, value, len) }
    };
    answer_int(told().map(|()| 0))
}

/// `close` of libc.
///
/// # Safety
/// As the one of libc.
// SAFETY: it stands in for the function of libc, and does the same for descriptors that are not the host's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    if is_ours(fd) { calls::close(std::ptr::null_mut(), fd) } else { raw_close(fd) }
}

/// `sendfile` of libc.
///
/// # Safety
/// As the one of libc.
// SAFETY: it stands in for the function of libc, and does the same for descriptors that are not the host's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(out: c_int, input: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    if !is_ours(out) {
        // SAFETY: as the caller says.
        return unsafe { libc::syscall(libc::SYS_sendfile, out, input, offset, count) as ssize_t };
    }
    let mut data = vec![0; count];
    let at = if offset.is_null() {
        None
    } else {
        // SAFETY: as the caller says.
        match unsafe { number(offset) } {
            Ok(at) => Some(at),
            Err(errno) => return answer(Err(errno)),
        }
    };
    let read = match at {
        // SAFETY: the buffer is ours.
        Some(at) => unsafe { libc::pread(input, data.as_mut_ptr().cast(), count, at) },
        // SAFETY: the buffer is ours.
        None => unsafe { libc::read(input, data.as_mut_ptr().cast(), count) },
    };
    if read <= 0 {
        return read;
    }
    data.truncate(read as usize);
    let sent = calls::send_all(out, &data, 0, None);
    if let (Ok(sent), Some(at)) = (&sent, at) {
        // SAFETY: as the caller says.
        unsafe { offset.write(at + *sent as off_t) };
    }
    answer(sent)
}
