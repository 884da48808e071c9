//! Who waits for which socket: threads in blocking calls, and pollers.
//!
//! A poller keeps a queue of those of its registrations that something has happened to, each at most once, so that a wait
//! costs what is ready and not what is registered. Level-triggered registrations stay in the queue as long as the stack
//! says that they are ready; edge-triggered ones leave it when they have been reported.

mod pollers;
mod sockets;

use std::sync::Arc;

use super::bell::Bell;
use crate::stack::{Readiness, SocketHandle, Stack};
use pollers::Pollers;
pub use pollers::{PollerId, Report};
pub use sockets::Registration;
use sockets::{Sockets, Watch};

/// All who wait in one shard.
#[derive(Debug, Default)]
pub struct Watches {
    sockets: Sockets,
    pollers: Pollers,
    next_serial: u32,
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
        for poller in self.pollers.iter() {
            poller.bell.ring();
        }
    }

    /// What threads listen to that wait for a socket.
    pub fn bell(&mut self, socket: SocketHandle) -> Arc<Bell> {
        Arc::clone(self.sockets.entry(socket).make_bell())
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
        if registration.queued {
            poller.left_behind(&self.sockets);
        }
    }

    /// A new poller, without registrations.
    pub fn add_poller(&mut self) -> PollerId {
        self.pollers.add()
    }

    /// A poller is gone, with its registrations.
    pub fn remove_poller(&mut self, id: PollerId) {
        if !self.pollers.remove(id) {
            return;
        }
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
        poller.wake(token);
        true
    }

    /// Moves at most `most` reports of a poller to `out`. Sockets that it found without room are returned, since the stack
    /// may report no edge for them; see [`Core::starve`](super::Core::starve).
    pub fn collect(&mut self, stack: &Stack, id: PollerId, most: usize, out: &mut Vec<Report>) -> Vec<SocketHandle> {
        let Some(poller) = self.pollers.get_mut(id) else { return Vec::new() };
        poller.collect(&mut self.sockets, stack, most, out)
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
            assert!(watches.pollers.get_mut(id).unwrap().queued() <= 66);
        }
    }
}
