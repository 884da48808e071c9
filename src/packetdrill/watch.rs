//! What a host remembers of its connections for those who ask: when text last came, and what their time was spent on.

use std::time::Duration;

use super::descriptor::{Fd, Socket};
use super::host::Host;
use crate::tcp::connection::Connection;
use crate::tcp::state::State;
use crate::time::Instant;

/// What holds a sender back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    /// It has nothing to send.
    #[default]
    Idle,
    /// The network.
    Busy,
    /// The window of the peer.
    Window,
    /// The send buffer: the application waits for room, and all that is in it was sent.
    Buffer,
}

/// Figures of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    held: Held,
    since: Instant,
    busy: Duration,
    window: Duration,
    buffer: Duration,
    octets: u64,
    open: bool,
    /// When text last came, or when the connection began.
    pub last_text: Instant,
    /// Octets of text that left with its SYN.
    pub in_syn: u32,
}

/// How long a sender was busy in all, held back by the window, and by its buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub busy: Duration,
    pub window: Duration,
    pub buffer: Duration,
}

/// The window has no room for what is to be sent next.
fn is_window_full(connection: &Connection, unsent: u32) -> bool {
    unsent > 0 && connection.usable_window() < unsent.min(connection.segment_payload())
}

fn held(connection: &Connection, waits: bool) -> Held {
    let unsent = connection.unsent();
    if !connection.state().is_synchronized() || (unsent == 0 && connection.flight() == 0) {
        Held::Idle
    } else if unsent == 0 && waits {
        Held::Buffer
    } else if is_window_full(connection, unsent) && connection.usable_congestion_window() > 0 {
        Held::Window
    } else {
        Held::Busy
    }
}

impl Watch {
    /// Takes in how things are now.
    fn look(&mut self, connection: &Connection, waits: bool, now: Instant) {
        let text = connection.statistics.octets_received;
        let open = connection.state().is_synchronized() && connection.state() != State::Closed;
        if text != self.octets || open != self.open {
            (self.octets, self.open, self.last_text) = (text, open, now);
        }
        let held = held(connection, waits);
        if held != self.held {
            let times = self.times(now);
            (self.busy, self.window, self.buffer) = (times.busy, times.window, times.buffer);
            (self.held, self.since) = (held, now);
        }
    }

    /// What the time was spent on until now.
    pub fn times(&self, now: Instant) -> Times {
        let passed = now.saturating_since(self.since);
        let mut times = Times { busy: self.busy, window: self.window, buffer: self.buffer };
        times.busy += if self.held == Held::Idle { Duration::ZERO } else { passed };
        times.window += if self.held == Held::Window { passed } else { Duration::ZERO };
        times.buffer += if self.held == Held::Buffer { passed } else { Duration::ZERO };
        times
    }
}

impl Host {
    /// Takes note of how all connections are now.
    pub(super) fn look_around(&mut self) {
        for entry in self.table.values_mut() {
            if let Socket::Tcp(handle) = entry.socket
                && let Some(connection) = self.stack.tcp_connection(handle)
            {
                entry.watch.look(connection, entry.send_memory.waits, self.now);
            }
        }
    }

    /// What is known of a connection.
    pub(super) fn watched(&self, fd: Fd) -> Watch {
        self.table.get(&fd).map_or(Watch::default(), |entry| entry.watch)
    }
}
