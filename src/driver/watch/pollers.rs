//! The pollers, and what each of them has to look at.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::bell::Bell;
use super::sockets::{Registration, Sockets};
use crate::stack::{Readiness, SocketHandle, Stack};

/// Names a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PollerId {
    pub(super) index: u32,
    /// Tells it from an earlier poller in the same place.
    serial: u32,
}

/// What a poller reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which registration or waker.
    pub token: usize,
    /// What has happened; nothing for a waker.
    pub readiness: Readiness,
}

/// One poller.
#[derive(Debug)]
pub(super) struct Poller {
    serial: u32,
    pub bell: Arc<Bell>,
    /// Sockets with the serial numbers of their registrations.
    queue: VecDeque<(SocketHandle, u32)>,
    /// Entries of the queue whose registration is gone.
    stale: usize,
    /// Tokens of wakers that were used.
    woken: Vec<usize>,
}

/// The pollers, which are few.
#[derive(Debug, Default)]
pub(super) struct Pollers {
    slots: Vec<Option<Poller>>,
    next_serial: u32,
}

impl Pollers {
    /// A new one.
    pub fn add(&mut self) -> PollerId {
        let Pollers { slots, next_serial } = self;
        let index = slots.iter().position(Option::is_none).unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        let serial = *next_serial;
        *next_serial = next_serial.wrapping_add(1);
        let poller = Poller { serial, bell: Arc::default(), queue: VecDeque::new(), stale: 0, woken: Vec::new() };
        slots[index] = Some(poller);
        PollerId { index: index as u32, serial }
    }

    /// One is gone; false where it was gone already.
    pub fn remove(&mut self, id: PollerId) -> bool {
        let exists = self.get_mut(id).is_some();
        if exists {
            self.slots[id.index as usize] = None;
        }
        exists
    }

    pub fn get_mut(&mut self, id: PollerId) -> Option<&mut Poller> {
        self.by_index(id.index).filter(|poller| poller.serial == id.serial)
    }

    pub fn by_index(&mut self, index: u32) -> Option<&mut Poller> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Poller> {
        self.slots.iter().flatten()
    }
}

impl Poller {
    /// Something has happened to this one's socket.
    pub fn enqueue(&mut self, socket: SocketHandle, registration: &mut Registration) {
        if !registration.queued {
            registration.queued = true;
            self.queue.push_back((socket, registration.serial));
            self.bell.ring_for_one();
        }
    }

    /// A registration is gone that stands in the queue: its entry may remain for a while.
    pub fn left_behind(&mut self, sockets: &Sockets) {
        self.stale += 1;
        if self.stale > 64 && self.stale * 2 > self.queue.len() {
            self.queue.retain(|&(socket, serial)| sockets.has(socket, serial));
            self.stale = 0;
        }
    }

    /// One of its wakers is used.
    pub fn wake(&mut self, token: usize) {
        if !self.woken.contains(&token) {
            self.woken.push(token);
        }
        self.bell.ring_for_one();
    }

    /// See [`Watches::collect`](super::Watches::collect).
    pub fn collect(
        &mut self,
        sockets: &mut Sockets,
        stack: &Stack,
        most: usize,
        out: &mut Vec<Report>,
    ) -> Vec<SocketHandle> {
        let mut starved = Vec::new();
        while out.len() < most
            && let Some(token) = self.woken.pop()
        {
            out.push(Report { token, readiness: Readiness::NONE });
        }
        for _ in 0..self.queue.len() {
            if out.len() >= most {
                break;
            }
            let Some((socket, serial)) = self.queue.pop_front() else { break };
            let watch = sockets.get_mut(socket);
            let entry = watch.and_then(|watch| watch.registrations_mut().find(|entry| entry.serial == serial));
            let Some(registration) = entry else {
                self.stale = self.stale.saturating_sub(1);
                continue;
            };
            registration.queued = false;
            let level = stack.readiness(socket).and(registration.interest.with(Readiness::ERROR));
            // Urgent data may be announced long before it comes: alone, that is an event, and nothing that lasts.
            let lasting = level.any(Readiness(!Readiness::URGENT.0));
            let pending = std::mem::take(&mut registration.pending);
            let report = match (registration.edge, lasting) {
                (true, _) => pending,
                (false, true) => level,
                (false, false) => level.and(pending),
            };
            if !report.is_none() {
                out.push(Report { token: registration.token, readiness: report });
                if !registration.edge && lasting {
                    registration.queued = true;
                    self.queue.push_back((socket, serial));
                }
            }
            if registration.interest.any(Readiness::WRITABLE) && !level.any(Readiness::WRITABLE) {
                starved.push(socket);
            }
        }
        starved
    }

    /// Entries of the queue, those included whose registration is gone.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}
