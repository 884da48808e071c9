//! What the clones of a socket share beside the socket: whether and how long calls wait.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::driver::Patience;

/// Non-blocking mode and timeouts.
#[derive(Debug, Default)]
pub(super) struct Modes {
    pub nonblocking: AtomicBool,
    pub read: Timeout,
    pub write: Timeout,
}

/// A timeout in nanoseconds; 0 is none.
#[derive(Debug, Default)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    pub fn get(&self) -> Option<Duration> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&nanos| nanos != 0).map(Duration::from_nanos)
    }

    pub fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(zero_timeout());
        }
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) fn zero_timeout() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "cannot set a 0 duration timeout")
}

impl Modes {
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub fn reading(&self) -> Patience {
        self.patience(&self.read)
    }

    pub fn writing(&self) -> Patience {
        self.patience(&self.write)
    }

    fn patience(&self, timeout: &Timeout) -> Patience {
        if self.nonblocking.load(Ordering::Relaxed) { Patience::None } else { Patience::of(timeout.get()) }
    }
}

/// Tries each address in turn, as `std::net` does; the answer is the first success or the last error.
pub(super) fn each_address<A: ToSocketAddrs, R>(
    addresses: A,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match attempt(address) {
            Ok(result) => return Ok(result),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(ErrorKind::InvalidInput, "could not resolve to any addresses")))
}

/// A TTL or hop limit from the 32 bits that `std::net` takes.
pub(super) fn hop_limit(ttl: u32) -> io::Result<u8> {
    let limit = u8::try_from(ttl).ok().filter(|&limit| limit > 0);
    limit.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a TTL lies between 1 and 255"))
}
