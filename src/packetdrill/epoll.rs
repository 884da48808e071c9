//! epoll: sets of sockets that somebody waits for.

use std::collections::BTreeMap;

use super::descriptor::{Descriptor, Fd};
use super::errno::{Answer, Errno};
use super::host::Host;
use crate::stack::{Readiness, Ready};

/// What somebody waits for, or has waited for: `struct epoll_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// `EPOLLIN` and its like.
    pub events: u32,
    /// What is told with them.
    pub data: u64,
}

/// One socket in a set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    interest: Interest,
    /// Something has happened that may be told.
    woken: bool,
    /// `EPOLLONESHOT` and it was told: nothing more until it is set again.
    spent: bool,
}

/// One set.
pub(super) type Set = BTreeMap<Fd, Watched>;

const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// Events that wake somebody who waits for an edge.
fn wakes(edges: Readiness) -> u32 {
    let mut events = 0;
    for (edge, wakes) in [
        (Readiness::READABLE, libc::EPOLLIN | libc::EPOLLRDNORM),
        (Readiness::READ_CLOSED, libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP),
        (Readiness::WRITABLE, libc::EPOLLOUT | libc::EPOLLWRNORM),
        (Readiness::ERROR, libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLIN),
        (Readiness::URGENT, libc::EPOLLPRI),
    ] {
        events |= if edges.any(edge) { wakes as u32 } else { 0 };
    }
    events
}

impl Host {
    /// A new set.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn epoll_create(&mut self) -> Answer<Fd> {
        let fd = self.numbers.open()?;
        self.sets.insert(fd, Set::new());
        Ok(fd)
    }

    fn set(&mut self, epoll: Fd) -> Answer<&mut Set> {
        self.sets.get_mut(&epoll).ok_or(Errno::EBADF)
    }

    /// `EPOLL_CTL_ADD`.
    ///
    /// # Errors
    /// `EBADF`, `EEXIST`.
    pub fn epoll_add(&mut self, epoll: Fd, fd: Fd, interest: Interest) -> Answer<()> {
        self.descriptor(fd)?;
        let set = self.set(epoll)?;
        if set.contains_key(&fd) {
            return Err(Errno::EEXIST);
        }
        set.insert(fd, Watched { interest, woken: true, spent: false });
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    ///
    /// # Errors
    /// `EBADF`, `ENOENT`.
    pub fn epoll_modify(&mut self, epoll: Fd, fd: Fd, interest: Interest) -> Answer<()> {
        let watched = self.set(epoll)?.get_mut(&fd).ok_or(Errno::ENOENT)?;
        *watched = Watched { interest, woken: true, spent: false };
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    ///
    /// # Errors
    /// `EBADF`, `ENOENT`.
    pub fn epoll_delete(&mut self, epoll: Fd, fd: Fd) -> Answer<()> {
        self.set(epoll)?.remove(&fd).map(|_| ()).ok_or(Errno::ENOENT)
    }

    /// What can be told now, of at most `room` sockets.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn epoll_wait(&mut self, epoll: Fd, room: usize) -> Answer<Vec<Interest>> {
        let mut told = Vec::new();
        let set = self.sets.get(&epoll).ok_or(Errno::EBADF)?.clone();
        for (fd, watched) in set {
            let Interest { events, data } = watched.interest;
            let edge = events & libc::EPOLLET as u32 != 0;
            if told.len() >= room || watched.spent || edge && !watched.woken {
                continue;
            }
            let wanted = events | ALWAYS;
            let found = u32::from(self.poll(fd, wanted as u16 as i16) as u16) & wanted;
            let Some(entry) = self.set(epoll)?.get_mut(&fd) else { continue };
            entry.woken = false;
            if found != 0 {
                told.push(Interest { events: found, data });
                entry.spent = events & libc::EPOLLONESHOT as u32 != 0;
            }
        }
        Ok(told)
    }

    /// Something has happened to a socket.
    pub(super) fn wake(&mut self, ready: Ready) {
        if self.sets.is_empty() {
            return;
        }
        let mut events = wakes(ready.edges);
        let of =
            |(&fd, descriptor): (&Fd, &Descriptor)| (descriptor.socket.handle() == Some(ready.socket)).then_some(fd);
        let fds: Vec<Fd> = self.table.iter().filter_map(of).collect();
        for fd in fds {
            if self.settings.persona.counts_send_memory() && self.has_send_room(fd).is_some() {
                events &= !((libc::EPOLLOUT | libc::EPOLLWRNORM) as u32);
            }
            self.wake_fd(fd, events);
        }
    }

    /// Some of these events have come to a descriptor.
    pub(super) fn wake_fd(&mut self, fd: Fd, events: u32) {
        for watched in self.sets.values_mut().filter_map(|set| set.get_mut(&fd)) {
            watched.woken |= events != 0 && (watched.interest.events | ALWAYS) & events != 0;
        }
    }
}
