//! [`Bell`]: how a thread that waits is told to look again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use super::core::Core;

/// What those who wait for one thing listen to.
///
/// Most of the time the only listener is the thread that drives the shard. It rings the bell itself, by what it has just
/// received, so ringing must cost nothing more than a note where no thread sleeps on it.
// Everything happens under the lock of the shard, which orders it; the atomics only make the bell shareable.
#[derive(Debug, Default)]
pub struct Bell {
    condvar: Condvar,
    sleepers: AtomicUsize,
    rung: AtomicBool,
}

impl Bell {
    /// All who listen look again.
    pub fn ring(&self) {
        self.rung.store(true, Ordering::Relaxed);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.condvar.notify_all();
        }
    }

    /// One of those who sleep looks again; the driver does as well.
    pub fn ring_for_one(&self) {
        self.rung.store(true, Ordering::Relaxed);
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.condvar.notify_one();
        }
    }

    /// It was rung since it was last hushed: for the driver, who does not sleep on it.
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Relaxed)
    }

    /// Forgets that it was rung.
    pub fn hush(&self) {
        self.rung.store(false, Ordering::Relaxed);
    }

    /// Gives the lock back until the bell rings or the time is over; may return early.
    pub fn sleep<'a>(&self, core: MutexGuard<'a, Core>, timeout: Option<Duration>) -> MutexGuard<'a, Core> {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        let core = match timeout {
            Some(timeout) => self.condvar.wait_timeout(core, timeout).unwrap_or_else(PoisonError::into_inner).0,
            None => self.condvar.wait(core).unwrap_or_else(PoisonError::into_inner),
        };
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        core
    }
}
