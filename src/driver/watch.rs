//! Who waits for which socket: threads in blocking calls, and pollers.
//!
//! A poller keeps a queue of those of its registrations that something has happened to, each at most once, so that a wait
//! costs what is ready and not what is registered. Level-triggered registrations stay in the queue as long as the stack
//! says that they are ready; edge-triggered ones leave it when they have been reported.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::bell::Bell;
use crate::stack::{Readiness, SocketHandle, Stack};

/// Names a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PollerId(u64);

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
    /// Tells its entry in the queue from that of an earlier registration of the same socket.
    serial: u64,
}

impl Registration {
    /// With nothing to report.
    pub fn new(token: usize, interest: Readiness, edge: bool) -> Registration {
        Registration { token, interest, edge, pending: Readiness::NONE, queued: false, serial: 0 }
    }
}

/// Those who wait for one socket.
#[derive(Debug, Default)]
struct Watch {
    bell: Option<Arc<Bell>>,
    /// Usually none or one.
    pollers: Vec<(PollerId, Registration)>,
}

/// One poller.
#[derive(Debug)]
struct Poller {
    bell: Arc<Bell>,
    /// Sockets with the serial numbers of their registrations.
    queue: VecDeque<(SocketHandle, u64)>,
    /// Entries of the queue whose registration is gone.
    stale: usize,
    /// Tokens of wakers that were used.
    woken: Vec<usize>,
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
    sockets: HashMap<SocketHandle, Watch>,
    pollers: HashMap<PollerId, Poller>,
    next_poller: u64,
    next_serial: u64,
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
        let Some(watch) = self.sockets.get_mut(&socket) else { return };
        if let Some(bell) = &watch.bell {
            bell.ring();
        }
        for (id, registration) in &mut watch.pollers {
            let wanted = edges.and(registration.interest.with(Readiness::ERROR));
            let Some(poller) = self.pollers.get_mut(id) else { continue };
            if !wanted.is_none() {
                registration.pending = registration.pending.with(wanted);
                poller.enqueue(socket, registration);
            }
        }
    }

    /// Everybody looks again, because everything has ended.
    pub fn wake_everybody(&mut self) {
        for bell in self.sockets.values().filter_map(|watch| watch.bell.as_ref()) {
            bell.ring();
        }
        for poller in self.pollers.values() {
            poller.bell.ring();
        }
    }

    /// What threads listen to that wait for a socket.
    pub fn bell(&mut self, socket: SocketHandle) -> Arc<Bell> {
        let watch = self.sockets.entry(socket).or_default();
        Arc::clone(watch.bell.get_or_insert_default())
    }

    /// A socket is gone.
    pub fn forget(&mut self, socket: SocketHandle) {
        let Some(watch) = self.sockets.remove(&socket) else { return };
        for (id, registration) in watch.pollers {
            self.left_queue(id, registration.queued);
        }
    }

    /// A registration is gone; its entry in the queue may remain for a while.
    fn left_queue(&mut self, id: PollerId, queued: bool) {
        let Some(poller) = self.pollers.get_mut(&id) else { return };
        poller.stale += usize::from(queued);
        if poller.stale > 64 && poller.stale * 2 > poller.queue.len() {
            let sockets = &self.sockets;
            poller.queue.retain(|(socket, serial)| {
                let mut registrations = sockets.get(socket).into_iter().flat_map(|watch| &watch.pollers);
                registrations.any(|(_, registration)| registration.serial == *serial)
            });
            poller.stale = 0;
        }
    }

    /// A new poller, without registrations.
    pub fn add_poller(&mut self) -> PollerId {
        let id = PollerId(self.next_poller);
        self.next_poller += 1;
        let poller = Poller { bell: Arc::default(), queue: VecDeque::new(), stale: 0, woken: Vec::new() };
        self.pollers.insert(id, poller);
        id
    }

    /// A poller is gone, with its registrations.
    pub fn remove_poller(&mut self, id: PollerId) {
        self.pollers.remove(&id);
        for watch in self.sockets.values_mut() {
            watch.pollers.retain(|(other, _)| *other != id);
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
        let level = stack.readiness(socket).and(registration.interest.with(Readiness::ERROR));
        let watch = self.sockets.entry(socket).or_default();
        let existing = watch.pollers.iter_mut().find(|(other, _)| *other == id);
        if existing.is_some() != change {
            return false;
        }
        let entry = match existing {
            Some((_, entry)) => {
                *entry = Registration { queued: entry.queued, serial: entry.serial, ..registration };
                entry
            }
            None => {
                self.next_serial += 1;
                watch.pollers.push((id, Registration { serial: self.next_serial, ..registration }));
                let last = watch.pollers.len() - 1;
                &mut watch.pollers[last].1
            }
        };
        entry.pending = level;
        if let Some(poller) = self.pollers.get_mut(&id)
            && !level.is_none()
        {
            poller.enqueue(socket, entry);
        }
        true
    }

    /// Ends a registration; false where there is none.
    pub fn deregister(&mut self, id: PollerId, socket: SocketHandle) -> bool {
        let Some(watch) = self.sockets.get_mut(&socket) else { return false };
        let Some(at) = watch.pollers.iter().position(|(other, _)| *other == id) else { return false };
        let (_, registration) = watch.pollers.swap_remove(at);
        self.left_queue(id, registration.queued);
        true
    }

    /// Uses a waker; false where the poller is gone.
    pub fn wake(&mut self, id: PollerId, token: usize) -> bool {
        let Some(poller) = self.pollers.get_mut(&id) else { return false };
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
        let Some(poller) = self.pollers.get_mut(&id) else { return starved };
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
            let watch = self.sockets.get_mut(&socket);
            let entry = watch.and_then(|watch| watch.pollers.iter_mut().find(|(_, entry)| entry.serial == serial));
            let Some((_, registration)) = entry else {
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
        self.pollers.get(&id).map_or_else(Arc::default, |poller| Arc::clone(&poller.bell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Script;
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
}
