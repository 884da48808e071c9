//! Readiness: which sockets something has happened to, each at most once in the list.

use super::Stack;
use super::flow::{ListenerHandle, SocketHandle, TcpHandle};
use crate::buffer::{LARGE, Pool};
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::{Connection, Events};
use crate::tcp::state::State;
use crate::udp::Socket;

/// What a call would find: a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct Readiness(pub u8);

/// Octets of room for which a writer is woken in any case: a few super-segments.
const WORTH_WAKING: usize = 3 * LARGE;

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// Reading or accepting would not block.
    pub const READABLE: Readiness = Readiness(1);
    /// Writing would not block.
    pub const WRITABLE: Readiness = Readiness(2);
    /// The connection has ended in an error.
    pub const ERROR: Readiness = Readiness(4);
    /// The peer has closed its sending side.
    pub const READ_CLOSED: Readiness = Readiness(8);
    /// Urgent data is announced.
    pub const URGENT: Readiness = Readiness(16);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Readiness) -> Readiness {
        Readiness(self.0 & other.0)
    }

    /// Any of these.
    pub const fn any(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// No bit is set.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Something has happened to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// To which.
    pub socket: SocketHandle,
    /// What has happened since it was last reported: an edge. What a call would find now is a level: see
    /// [`Stack::readiness`].
    pub edges: Readiness,
}

impl Stack {
    /// [`Stack::poll_ready`] has something to tell.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next socket that something has happened to since it was last reported.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        while let Some(socket) = self.ready.pop_front() {
            let edges = self.take_edges(socket);
            if !edges.is_none() {
                return Some(Ready { socket, edges });
            }
        }
        None
    }

    fn take_edges(&mut self, socket: SocketHandle) -> Readiness {
        match socket {
            SocketHandle::Tcp(handle) => {
                let Some(entry) = self.connections.get_mut(handle.0) else { return Readiness::NONE };
                entry.listed = false;
                let events = std::mem::take(&mut entry.connection.events);
                let memory = has_memory(&self.pool);
                let level = connection_readiness(&entry.connection, &self.config.tcp, memory);
                if events.any(Events::WRITE) {
                    // If it is not writable for want of memory, the event must come again.
                    self.tcp_await_memory(handle);
                }
                edges_of(events, level)
            }
            SocketHandle::Listener(ListenerHandle(key)) => {
                let Some(listener) = self.listeners.get_mut(key) else { return Readiness::NONE };
                listener.event = false;
                Readiness::READABLE
            }
            SocketHandle::Udp(handle) => match self.sockets.get_mut(handle.0) {
                Some(socket) => {
                    socket.event = false;
                    Readiness::READABLE
                }
                None => Readiness::NONE,
            },
            SocketHandle::Echo(handle) => self.echoes.take_edge(handle),
        }
    }

    /// What a call on this socket would find now.
    pub fn readiness(&self, socket: SocketHandle) -> Readiness {
        match socket {
            SocketHandle::Tcp(TcpHandle(key)) => match self.connections.get(key) {
                Some(entry) => connection_readiness(&entry.connection, &self.config.tcp, self.has_buffer_memory()),
                None => Readiness::ERROR,
            },
            SocketHandle::Listener(ListenerHandle(key)) => match self.listeners.get(key) {
                Some(listener) if !listener.accept_queue.is_empty() || !listener.asked.is_empty() => {
                    Readiness::READABLE
                }
                Some(_) => Readiness::NONE,
                None => Readiness::ERROR,
            },
            SocketHandle::Udp(handle) => match self.sockets.get(handle.0) {
                Some(socket) if socket.is_readable() => Readiness::READABLE.with(self.udp_writable(socket)),
                Some(socket) => self.udp_writable(socket),
                None => Readiness::ERROR,
            },
            SocketHandle::Echo(handle) => self.echoes.readiness(handle),
        }
    }

    /// There is buffer memory for at least one more chunk, whatever the size of the pool.
    pub(super) fn has_buffer_memory(&self) -> bool {
        has_memory(&self.pool)
    }

    fn udp_writable(&self, socket: &Socket) -> Readiness {
        if self.udp_has_send_room(socket) { Readiness::WRITABLE } else { Readiness::NONE }
    }
}

/// Room for one more large chunk to send, or for anything at all in a pool that is smaller than one.
pub(super) fn has_memory(pool: &Pool) -> bool {
    pool.free_for_sending() >= LARGE || pool.charged() == 0
}

fn edges_of(events: Events, level: Readiness) -> Readiness {
    let mut edges = Readiness::NONE;
    for (event, readiness) in [
        (Events::READ, Readiness::READABLE.with(Readiness::READ_CLOSED)),
        (Events::WRITE, Readiness::WRITABLE),
        (Events::ERROR, Readiness::ERROR),
        (Events::URGENT, Readiness::URGENT),
    ] {
        if events.any(event) {
            edges = edges.with(level.and(readiness));
        }
    }
    edges
}

/// What a call on this connection would find now; `memory` says that there is buffer memory.
fn connection_readiness(connection: &Connection, config: &TcpConfig, memory: bool) -> Readiness {
    let mut ready = Readiness::NONE;
    let closed = connection.state() == State::Closed;
    let ended = connection.fin_received() || connection.read_closed || closed;
    if (connection.receive_buffer.readable() > 0 && !connection.keeps_text()) || ended {
        ready = ready.with(Readiness::READABLE);
    }
    if ended {
        ready = ready.with(Readiness::READ_CLOSED);
    }
    // 7413-4.2.2-2: what a client's SYN has opened takes an answer at once.
    let opening = matches!(connection.state(), State::SynSent | State::SynReceived) && !connection.opens_early();
    let capacity = connection.send_capacity(config) as usize;
    // A writer that was told to wait is woken when a third of its buffer is free, or enough to be worth it, not for every
    // octet.
    let room = memory && connection.send_buffer.len() < capacity - (capacity / 3).min(WORTH_WAKING);
    let cannot_send = closed || connection.snd.fin.is_some();
    if cannot_send || (!opening && room) {
        ready = ready.with(Readiness::WRITABLE);
    }
    if connection.error.is_some() {
        ready = ready.with(Readiness::ERROR);
    }
    if connection.urgent_remaining().is_some() {
        ready = ready.with(Readiness::URGENT);
    }
    ready
}
