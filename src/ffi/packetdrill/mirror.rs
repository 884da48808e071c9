//! Listeners where a script may look for them: in `/proc/net/tcp`, which is the kernel's. For each of the host's listeners the
//! kernel has one, too, as long as its namespace leads nowhere: nobody can connect to it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use super::machine::try_call;
use crate::packetdrill::Fd;

static MIRRORS: Mutex<Vec<(Fd, TcpListener)>> = Mutex::new(Vec::new());

/// The kernel knows no way out: its table of routes is a heading and nothing else.
fn is_alone() -> bool {
    fs::read_to_string("/proc/net/route").is_ok_and(|routes| routes.lines().count() <= 1)
}

/// This descriptor listens. Where the kernel cannot show that, only a script that looks for it misses it.
pub fn listens(fd: Fd) {
    let local = try_call(|host| host.ends(fd)).and_then(Result::ok).and_then(|(local, _)| local);
    let Some(port) = local.map(|local| local.port()).filter(|_| is_alone()) else { return };
    if let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        MIRRORS.lock().unwrap_or_else(PoisonError::into_inner).push((fd, listener));
    }
}

/// This descriptor is closed.
pub fn closed(fd: Fd) {
    // Dropped behind the lock: closing passes through here again.
    let over: Vec<_> = {
        let mut mirrors = MIRRORS.lock().unwrap_or_else(PoisonError::into_inner);
        let (over, kept) = mirrors.drain(..).partition(|(other, _)| *other == fd);
        *mirrors = kept;
        over
    };
    drop(over);
}
