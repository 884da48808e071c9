//! Who waits for which socket: threads in blocking calls, and pollers.
//!
//! A poller keeps a queue of those of its registrations that something has happened to, each at most once, so that a wait
//! costs what is ready and not what is registered. Level-triggered registrations stay in the queue as long as the stack
//! says that they are ready; edge-triggered ones leave it when they have been reported.

use std::collections::VecDeque;
use std::sync::Arc;

use super::bell::Bell;
use crate::stack::slab::Pages;
use crate::stack::{Readiness, SocketHandle, Stack};

/// Names a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PollerId {
    index: u32,
    /// Tells it from an earlier poller in the same place.
    serial: u32,
}

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
    pending: Readiness,
    /// It stands in the poller's queue.
    queued: bool,
    /// Which poller: its index, as a poller takes its registrations with it.
    poller: u32,
    /// Tells its entry in the queue from that of an earlier registration of the same socket.
    serial: u32,
}

impl Registration {
    /// With nothing to report.
    pub fn new(token: usize, interest: Readiness, edge: bool) -> Registration {
        Registration { token, interest, edge, pending: Readiness::NONE, queued: false, poller: 0, serial: 0 }
    }
}

/// Those who wait for one socket. There may be a million of these, nearly all with one registration.
#[derive(Debug, Default)]
struct Watch {
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
struct Sockets([Pages<Watch>; 4]);

/// One poller.
#[derive(Debug)]
struct Poller {
    serial: u32,
    bell: Arc<Bell>,
    /// Sockets with the serial numbers of their registrations.
    queue: VecDeque<(SocketHandle, u32)>,
    /// Entries of the queue whose registration is gone.
    stale: usize,
    /// Tokens of wakers that were used.
    woken: Vec<usize>,
}

/// The pollers, which are few.
#[derive(Debug, Default)]
struct Pollers {
    slots: Vec<Option<Poller>>,
    next_serial: u32,
}

/// What a poller reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of which registration or waker.
    pub token: usize,
    /// What has happened; nothing for a waker.
    pub readiness: Readiness,
}

/// All who wait in one shard.
#[derive(Debug, Default)]
pub struct Watches {
    sockets: Sockets,
    pollers: Pollers,
    next_serial: u32,
}

impl Watch {
    fn registrations(&self) -> impl Iterator<Item = &Registration> {
        self.first.iter().chain(self.others.iter().flat_map(|others| &others.registrations))
    }

    fn registrations_mut(&mut self) -> impl Iterator<Item = &mut Registration> {
        self.first.iter_mut().chain(self.others.iter_mut().flat_map(|others| &mut others.registrations))
    }

    fn bell(&self) -> Option<&Arc<Bell>> {
        self.others.as_ref()?.bell.as_ref()
    }

    fn add(&mut self, registration: Registration) {
        match &mut self.first {
            None => self.first = Some(registration),
            Some(_) => self.others.get_or_insert_default().registrations.push(registration),
        }
    }

    /// Takes the registration with this poller out.
    fn remove(&mut self, poller: u32) -> Option<Registration> {
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
    fn get(&self, socket: SocketHandle) -> Option<&Watch> {
        let (kind, key) = socket.place();
        self.0[kind].get(key.index).filter(|watch| watch.generation == key.generation)
    }

    fn get_mut(&mut self, socket: SocketHandle) -> Option<&mut Watch> {
        let (kind, key) = socket.place();
        self.0[kind].get_mut(key.index).filter(|watch| watch.generation == key.generation)
    }

    /// The watch of a socket that exists. What remained of an earlier socket in its slot goes.
    fn entry(&mut self, socket: SocketHandle) -> &mut Watch {
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

    fn iter(&self) -> impl Iterator<Item = &Watch> {
        self.0.iter().flat_map(Pages::iter)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Watch> {
        self.0.iter_mut().flat_map(Pages::iter_mut)
    }

    fn has(&self, socket: SocketHandle, serial: u32) -> bool {
        self.get(socket).is_some_and(|watch| watch.registrations().any(|entry| entry.serial == serial))
    }
}

impl Pollers {
    fn get_mut(&mut self, id: PollerId) -> Option<&mut Poller> {
        self.by_index(id.index).filter(|poller| poller.serial == id.serial)
    }

    fn by_index(&mut self, index: u32) -> Option<&mut Poller> {
        self.slots.get_mut(index as usize)?.as_mut()
    }
}

impl Poller {
    fn enqueue(&mut self, socket: SocketHandle, registration: &mut Registration) {
        if !registration.queued {
            registration.queued = true;
            self.queue.push_back((socket, registration.serial));
            self.bell.ring_for_one();
        }
    }
}

impl Watches {
    /// Something has happened to a socket.
    pub fn raise(&mut self, socket: SocketHandle, edges: Readiness) {
        let Some(watch) = self.sockets.get_mut(socket) else { return };
        if let Some(bell) = watch.bell() {
            bell.ring();
        }
        for registration in watch.registrations_mut() {
            let wanted = edges.and(registration.interest.with(Readiness::ERROR));
            if !wanted.is_none()
                && let Some(poller) = self.pollers.by_index(registration.poller)
            {
                registration.pending = registration.pending.with(wanted);
                poller.enqueue(socket, registration);
            }
        }
    }

    /// Everybody looks again, because everything has ended.
    pub fn wake_everybody(&mut self) {
        for bell in self.sockets.iter().filter_map(Watch::bell) {
            bell.ring();
        }
        for poller in self.pollers.slots.iter().flatten() {
            poller.bell.ring();
        }
    }

    /// What threads listen to that wait for a socket.
    pub fn bell(&mut self, socket: SocketHandle) -> Arc<Bell> {
        let others = self.sockets.entry(socket).others.get_or_insert_default();
        Arc::clone(others.bell.get_or_insert_default())
    }

    /// A socket is gone.
    pub fn forget(&mut self, socket: SocketHandle) {
        let Some(watch) = self.sockets.get_mut(socket) else { return };
        let watch = std::mem::take(watch);
        for registration in watch.registrations() {
            self.left_queue(registration);
        }
    }

    /// A registration is gone; its entry in the queue may remain for a while.
    fn left_queue(&mut self, registration: &Registration) {
        let Some(poller) = self.pollers.by_index(registration.poller) else { return };
        poller.stale += usize::from(registration.queued);
        if poller.stale > 64 && poller.stale * 2 > poller.queue.len() {
            let sockets = &self.sockets;
            poller.queue.retain(|&(socket, serial)| sockets.has(socket, serial));
            poller.stale = 0;
        }
    }

    /// A new poller, without registrations.
    pub fn add_poller(&mut self) -> PollerId {
        let Pollers { slots, next_serial } = &mut self.pollers;
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

    /// A poller is gone, with its registrations.
    pub fn remove_poller(&mut self, id: PollerId) {
        if self.pollers.get_mut(id).is_none() {
            return;
        }
        self.pollers.slots[id.index as usize] = None;
        for watch in self.sockets.iter_mut() {
            watch.remove(id.index);
        }
    }

    /// Registers a socket, or changes its registration. What it is ready for already is reported as well. False where
    /// `change` asks for a registration that does not exist, or its opposite for one that does.
    pub fn register(
        &mut self,
        stack: &Stack,
        id: PollerId,
        socket: SocketHandle,
        registration: Registration,
        change: bool,
    ) -> bool {
        let Some(poller) = self.pollers.get_mut(id) else { return false };
        let watch = self.sockets.entry(socket);
        if watch.registrations().any(|entry| entry.poller == id.index) != change {
            return false;
        }
        if !change {
            self.next_serial = self.next_serial.wrapping_add(1);
            watch.add(Registration { poller: id.index, serial: self.next_serial, queued: false, ..registration });
        }
        let Some(entry) = watch.registrations_mut().find(|entry| entry.poller == id.index) else { return false };
        let pending = stack.readiness(socket).and(registration.interest.with(Readiness::ERROR));
        *entry = Registration { poller: id.index, serial: entry.serial, queued: entry.queued, pending, ..registration };
        if !pending.is_none() {
            poller.enqueue(socket, entry);
        }
        true
    }

    /// Ends a registration; false where there is none.
    pub fn deregister(&mut self, id: PollerId, socket: SocketHandle) -> bool {
        let removed = self.sockets.get_mut(socket).and_then(|watch| watch.remove(id.index));
        if let Some(registration) = &removed {
            self.left_queue(registration);
        }
        removed.is_some()
    }

    /// Uses a waker; false where the poller is gone.
    pub fn wake(&mut self, id: PollerId, token: usize) -> bool {
        let Some(poller) = self.pollers.get_mut(id) else { return false };
        if !poller.woken.contains(&token) {
            poller.woken.push(token);
        }
        poller.bell.ring_for_one();
        true
    }

    /// Moves at most `most` reports of a poller to `out`. Sockets that it found without room are returned, since the stack
    /// may report no edge for them; see [`Core::starve`](super::Core::starve).
    pub fn collect(&mut self, stack: &Stack, id: PollerId, most: usize, out: &mut Vec<Report>) -> Vec<SocketHandle> {
        let mut starved = Vec::new();
        let Some(poller) = self.pollers.get_mut(id) else { return starved };
        while out.len() < most
            && let Some(token) = poller.woken.pop()
        {
            out.push(Report { token, readiness: Readiness::NONE });
        }
        for _ in 0..poller.queue.len() {
            if out.len() >= most {
                break;
            }
            let Some((socket, serial)) = poller.queue.pop_front() else { break };
            let watch = self.sockets.get_mut(socket);
            let entry = watch.and_then(|watch| watch.registrations_mut().find(|entry| entry.serial == serial));
            let Some(registration) = entry else {
                poller.stale = poller.stale.saturating_sub(1);
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
                    poller.queue.push_back((socket, serial));
                }
            }
            if registration.interest.any(Readiness::WRITABLE) && !level.any(Readiness::WRITABLE) {
                starved.push(socket);
            }
        }
        starved
    }

    /// What the threads listen to that wait in a poller.
    pub fn poller_bell(&mut self, id: PollerId) -> Arc<Bell> {
        self.pollers.get_mut(id).map_or_else(Arc::default, |poller| Arc::clone(&poller.bell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Script;
    use crate::stack::ListenerHandle;
    use crate::wire::tcp::{Flags, TcpHeader};

    const READING: Readiness = Readiness::READABLE.with(Readiness::READ_CLOSED).with(Readiness::URGENT);

    /// What a poller with one level-triggered registration reports now.
    fn look(watches: &mut Watches, script: &Script, id: PollerId) -> Vec<Readiness> {
        let mut out = Vec::new();
        watches.collect(&script.stack, id, 16, &mut out);
        out.iter().map(|report| report.readiness).collect()
    }

    fn dispatch(watches: &mut Watches, script: &mut Script) {
        while let Some(ready) = script.stack.poll_ready() {
            watches.raise(ready.socket, ready.edges);
        }
    }

    /// As those do who wait in a poller.
    fn look_and_starve(watches: &mut Watches, script: &mut Script, id: PollerId) -> Vec<Readiness> {
        let mut out = Vec::new();
        for socket in watches.collect(&script.stack, id, 16, &mut out) {
            let SocketHandle::Tcp(handle) = socket else { panic!("{socket:?}") };
            script.stack.tcp_await_memory(handle);
        }
        out.iter().map(|report| report.readiness).collect()
    }

    /// Memory that others give back is told to those who had room all the time, and so hear of no ACK.
    #[test]
    fn a_connection_becomes_writable_when_there_is_memory_again() {
        let mut script = Script::with(|config| config.tcp.buffer_memory = 100_000);
        let handle = script.connect_established();
        let mut watches = Watches::default();
        let id = watches.add_poller();
        let writing = Registration::new(1, Readiness::WRITABLE, false);
        watches.register(&script.stack, id, SocketHandle::Tcp(handle), writing, false);
        dispatch(&mut watches, &mut script);
        assert_eq!(look_and_starve(&mut watches, &mut script, id), [Readiness::WRITABLE]);
        for _ in 0..10 {
            script.peer_sends(&[0; 1_000]);
        }
        dispatch(&mut watches, &mut script);
        assert_eq!(look_and_starve(&mut watches, &mut script, id), [], "the memory is full of what was received");
        script.receive(handle);
        dispatch(&mut watches, &mut script);
        assert_eq!(look_and_starve(&mut watches, &mut script, id), [Readiness::WRITABLE]);
    }

    /// A pointer to urgent data that never comes keeps nobody busy.
    #[test]
    fn an_urgent_pointer_alone_is_told_once_by_level_too() {
        let mut script = Script::new();
        let handle = script.connect_established();
        let socket = SocketHandle::Tcp(handle);
        let mut watches = Watches::default();
        let id = watches.add_poller();
        watches.register(&script.stack, id, socket, Registration::new(1, READING, false), false);
        dispatch(&mut watches, &mut script);
        assert_eq!(look(&mut watches, &script, id), []);

        let header = TcpHeader { urgent: 1_000, ..script.header(Flags::ACK | Flags::URG) };
        script.inject(&header, &[]);
        dispatch(&mut watches, &mut script);
        assert_eq!(look(&mut watches, &script, id), [Readiness::URGENT]);
        assert_eq!(look(&mut watches, &script, id), []);

        script.peer_sends(b"x");
        dispatch(&mut watches, &mut script);
        let both = Readiness::READABLE.with(Readiness::URGENT);
        assert_eq!(look(&mut watches, &script, id), [both]);
        assert_eq!(look(&mut watches, &script, id), [both]);
        script.receive(handle);
        assert_eq!(look(&mut watches, &script, id), []);
    }

    fn listen(script: &mut Script, port: u16) -> (ListenerHandle, SocketHandle) {
        let local = format!("0.0.0.0:{port}").parse().unwrap();
        let handle = script.stack.tcp_listen(local, 8, Default::default()).unwrap();
        (handle, SocketHandle::Listener(handle))
    }

    /// A million of them are no burden.
    #[test]
    fn a_watch_is_small() {
        assert!(size_of::<Watch>() <= 40, "{}", size_of::<Watch>());
    }

    /// A socket in the slot of another that is gone hears only of itself.
    #[test]
    fn who_waited_for_a_socket_does_not_wait_for_the_next_in_its_slot() {
        let mut script = Script::new();
        let mut watches = Watches::default();
        let id = watches.add_poller();
        let registration = |token| Registration::new(token, Readiness::READABLE, true);
        let (first, old) = listen(&mut script, 81);
        assert!(watches.register(&script.stack, id, old, registration(1), false));
        watches.raise(old, Readiness::READABLE);
        watches.forget(old);
        script.stack.listener_close(script.now, first);
        let (_, new) = listen(&mut script, 82);
        assert_eq!((old.place().1.index, old != new), (new.place().1.index, true), "the slot is used again");
        assert!(watches.register(&script.stack, id, new, registration(2), false));
        watches.raise(old, Readiness::READABLE);
        assert!(!watches.deregister(id, old));
        let mut out = Vec::new();
        watches.collect(&script.stack, id, 16, &mut out);
        assert_eq!(out, []);
        watches.raise(new, Readiness::READABLE);
        watches.collect(&script.stack, id, 16, &mut out);
        assert_eq!(out, [Report { token: 2, readiness: Readiness::READABLE }]);
    }

    /// Each poller has its own registration of a socket, and takes it with it.
    #[test]
    fn several_pollers_wait_for_one_socket() {
        let mut script = Script::new();
        let (_, socket) = listen(&mut script, 81);
        let mut watches = Watches::default();
        let ids: Vec<PollerId> = (0..3).map(|_| watches.add_poller()).collect();
        let registration = |token| Registration::new(token, Readiness::READABLE, true);
        for (token, &id) in ids.iter().enumerate() {
            assert!(!watches.register(&script.stack, id, socket, registration(token), true), "nothing to change");
            assert!(watches.register(&script.stack, id, socket, registration(token), false));
            assert!(!watches.register(&script.stack, id, socket, registration(token), false), "it is there");
        }
        let told = |watches: &mut Watches, script: &Script, ids: &[PollerId]| {
            watches.raise(socket, Readiness::READABLE);
            let mut out = Vec::new();
            for &id in ids {
                watches.collect(&script.stack, id, 16, &mut out);
            }
            out.iter().map(|report| report.token).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut watches, &script, &ids), [0, 1, 2]);
        watches.remove_poller(ids[0]);
        assert_eq!(told(&mut watches, &script, &ids), [1, 2]);
        assert!(watches.deregister(ids[2], socket));
        assert_eq!(told(&mut watches, &script, &ids), [1]);
        let next = watches.add_poller();
        assert_eq!((next.index, watches.wake(ids[0], 7), watches.wake(next, 8)), (ids[0].index, false, true));
        assert!(watches.register(&script.stack, next, socket, registration(9), false));
        assert_eq!(told(&mut watches, &script, &[ids[0], next, ids[1]]), [8, 9, 1]);
    }

    /// Entries of registrations that are gone do not pile up in the queue.
    #[test]
    fn the_queue_of_a_poller_that_never_waits_stays_short() {
        let mut script = Script::new();
        let (_, socket) = listen(&mut script, 81);
        let mut watches = Watches::default();
        let id = watches.add_poller();
        for token in 0..10_000 {
            let registration = Registration::new(token, Readiness::READABLE, false);
            assert!(watches.register(&script.stack, id, socket, registration, false));
            watches.raise(socket, Readiness::READABLE);
            assert!(watches.deregister(id, socket));
            assert!(watches.pollers.get_mut(id).unwrap().queue.len() <= 66);
        }
    }
}
