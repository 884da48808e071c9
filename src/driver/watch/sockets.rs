//! The sockets that somebody waits for: which pollers have registered them, and what the threads in blocking calls listen to.

use std::sync::Arc;

use super::super::bell::Bell;
use crate::stack::slab::Pages;
use crate::stack::{Readiness, SocketHandle};

/// What a poller asked for about one socket.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The application's name for it.
    pub token: usize,
    /// What it wants to hear of; errors are always told.
    pub interest: Readiness,
    /// Once per event, instead of as long as it is so.
    pub edge: bool,
    /// Events not reported yet.
    pub(super) pending: Readiness,
    /// It stands in the poller's queue.
    pub(super) queued: bool,
    /// Which poller: its index, as a poller takes its registrations with it.
    pub(super) poller: u32,
    /// Tells its entry in the queue from that of an earlier registration of the same socket.
    pub(super) serial: u32,
}

impl Registration {
    /// With nothing to report.
    pub fn new(token: usize, interest: Readiness, edge: bool) -> Registration {
        Registration { token, interest, edge, pending: Readiness::NONE, queued: false, poller: 0, serial: 0 }
    }
}

/// Those who wait for one socket. There may be a million of these, nearly all with one registration.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Of the socket: who knows another generation means another socket in the same slot.
    generation: u32,
    first: Option<Registration>,
    others: Option<Box<Others>>,
}

/// What few sockets have.
#[derive(Debug, Default)]
struct Others {
    /// A thread has waited in a call.
    bell: Option<Arc<Bell>>,
    /// Registrations with more than one poller.
    registrations: Vec<Registration>,
}

/// The watches of all sockets, by kind of socket and by slot.
#[derive(Debug)]
pub(super) struct Sockets([Pages<Watch>; 4]);

impl Watch {
    pub fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.first.iter().chain(self.others.iter().flat_map(|others| &others.registrations))
    }

    pub fn registrations_mut(&mut self) -> impl Iterator<Item = &mut Registration> {
        self.first.iter_mut().chain(self.others.iter_mut().flat_map(|others| &mut others.registrations))
    }

    pub fn bell(&self) -> Option<&Arc<Bell>> {
        self.others.as_ref()?.bell.as_ref()
    }

    /// The same, made where there was none.
    pub fn make_bell(&mut self) -> &Arc<Bell> {
        self.others.get_or_insert_default().bell.get_or_insert_default()
    }

    pub fn add(&mut self, registration: Registration) {
        match &mut self.first {
            None => self.first = Some(registration),
            Some(_) => self.others.get_or_insert_default().registrations.push(registration),
        }
    }

    /// Takes the registration with this poller out.
    pub fn remove(&mut self, poller: u32) -> Option<Registration> {
        if let Some(registration) = self.first.take_if(|registration| registration.poller == poller) {
            return Some(registration);
        }
        let registrations = &mut self.others.as_mut()?.registrations;
        let at = registrations.iter().position(|registration| registration.poller == poller)?;
        Some(registrations.swap_remove(at))
    }
}

impl Default for Sockets {
    fn default() -> Sockets {
        Sockets([const { Pages::new() }; 4])
    }
}

impl Sockets {
    /// The watch of a socket, if there ever was one.
    pub fn get(&self, socket: SocketHandle) -> Option<&Watch> {
        let (kind, key) = socket.place();
        self.0[kind].get(key.index).filter(|watch| watch.generation == key.generation)
    }

    pub fn get_mut(&mut self, socket: SocketHandle) -> Option<&mut Watch> {
        let (kind, key) = socket.place();
        self.0[kind].get_mut(key.index).filter(|watch| watch.generation == key.generation)
    }

    /// The watch of a socket that exists. What remained of an earlier socket in its slot goes.
    pub fn entry(&mut self, socket: SocketHandle) -> &mut Watch {
        let (kind, key) = socket.place();
        let watches = &mut self.0[kind];
        while watches.len() <= key.index {
            watches.push(Watch::default());
        }
        let watch = &mut watches[key.index];
        if watch.generation != key.generation {
            *watch = Watch { generation: key.generation, ..Watch::default() };
        }
        watch
    }

    pub fn iter(&self) -> impl Iterator<Item = &Watch> {
        self.0.iter().flat_map(Pages::iter)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Watch> {
        self.0.iter_mut().flat_map(Pages::iter_mut)
    }

    pub fn has(&self, socket: SocketHandle, serial: u32) -> bool {
        self.get(socket).is_some_and(|watch| watch.registrations().any(|entry| entry.serial == serial))
    }
}
