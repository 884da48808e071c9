//! Waiting for descriptors: the two system calls that a driver needs beside reading and writing.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::fd::check;

/// A descriptor by which one thread wakes another out of [`poll`].
#[derive(Debug)]
pub struct Eventfd {
    file: File,
}

impl Eventfd {
    /// A new one, quiet.
    ///
    /// # Errors
    /// When the process or the system has no descriptor left.
    #[allow(unsafe_code)]
    pub fn new() -> io::Result<Eventfd> {
        // SAFETY: the call takes two integers and touches no memory of ours.
        let number = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor is fresh and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Eventfd { file: File::from(fd) })
    }

    /// Makes it readable until it is drained.
    pub fn notify(&self) {
        // The only failure is a counter at its limit, which is readable all the same.
        let _ = (&self.file).write(&1_u64.to_ne_bytes());
    }

    /// Makes it quiet again.
    pub fn drain(&self) {
        // The only failure is that it was quiet.
        let _ = (&self.file).read(&mut [0; 8]);
    }
}

impl AsFd for Eventfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// One descriptor to wait for, what for, and what has happened.
#[derive(Clone, Copy, Debug)]
pub struct PollFd<'a> {
    fd: BorrowedFd<'a>,
    writable: bool,
    events: libc::c_short,
}

impl<'a> PollFd<'a> {
    /// Waits until it is readable, and with `writable` also until it takes more.
    pub fn new(fd: BorrowedFd<'a>, writable: bool) -> PollFd<'a> {
        PollFd { fd, writable, events: 0 }
    }

    /// Something has happened to it.
    pub fn is_ready(&self) -> bool {
        self.events != 0
    }

    /// A read would find something.
    pub fn is_readable(&self) -> bool {
        self.events & libc::POLLIN != 0
    }

    /// A write would find room.
    pub fn is_writable(&self) -> bool {
        self.events & libc::POLLOUT != 0
    }

    /// The descriptor is at its end or in an error, which the next read or write should explain.
    pub fn is_broken(&self) -> bool {
        self.events & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }
}

/// How often the system has taken the processor from this thread although it could have gone on: a count that only grows.
#[allow(unsafe_code)]
pub fn preemptions() -> i64 {
    // SAFETY: a `rusage` of zeros is valid, and the call writes to nothing else; it fails for bad arguments only.
    unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_nivcsw
    }
}

/// Waits until something happens to one of the descriptors, at most for `timeout` (`None`: for ever). A signal ends the
/// wait early, as if nothing had happened.
///
/// # Errors
/// When the system has no memory for it.
#[allow(unsafe_code)]
pub fn poll<const N: usize>(fds: &mut [PollFd<'_>; N], timeout: Option<Duration>) -> io::Result<()> {
    let mut entries = fds.map(|fd| {
        let out = if fd.writable { libc::POLLOUT } else { 0 };
        libc::pollfd { fd: fd.fd.as_raw_fd(), events: libc::POLLIN | out, revents: 0 }
    });
    // More than a year is for ever.
    let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(31_536_000)));
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `entries` holds N values that the kernel may write to, `timeout` is null or points to a value that lives
    // through the call, and a null signal mask changes none.
    let result = unsafe { libc::ppoll(entries.as_mut_ptr(), N as libc::nfds_t, timeout, std::ptr::null()) };
    let interrupted = match check(result) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::Interrupted => true,
        Err(error) => return Err(error),
    };
    for (fd, entry) in fds.iter_mut().zip(&entries) {
        fd.events = if interrupted { 0 } else { entry.revents };
    }
    Ok(())
}

/// Lets the waits of this thread end as exactly as the system can; by default it is free to be 50 us late.
#[allow(unsafe_code)]
pub fn wait_exactly() {
    let nanos: libc::c_ulong = 1;
    // SAFETY: this request takes its argument by value and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eventfd_is_readable_from_its_first_notification_until_it_is_drained() {
        let event = Eventfd::new().unwrap();
        let readable = || {
            let mut fds = [PollFd::new(event.as_fd(), false)];
            poll(&mut fds, Some(Duration::ZERO)).unwrap();
            fds[0].is_readable()
        };
        assert!(!readable());
        event.notify();
        event.notify();
        assert!(readable());
        event.drain();
        assert!(!readable());
    }

    #[test]
    fn a_wait_ends_by_its_timeout_and_a_lost_partner_is_seen() {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut fds = [PollFd::new(a.as_fd(), false)];
        poll(&mut fds, Some(Duration::from_nanos(100))).unwrap();
        assert!(!fds[0].is_readable() && !fds[0].is_writable() && !fds[0].is_broken());
        let mut fds = [PollFd::new(a.as_fd(), true)];
        poll(&mut fds, None).unwrap();
        assert!(fds[0].is_writable());
        drop(b);
        let mut fds = [PollFd::new(a.as_fd(), false)];
        poll(&mut fds, Some(Duration::MAX)).unwrap();
        assert!(fds[0].is_broken());
    }
}
