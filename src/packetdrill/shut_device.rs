//! A device that takes nothing: `tc qdisc add ... limit 0`. What should leave waits, is tried again every half second, and is
//! given up when its user timeout is over.

use std::time::Duration;

use super::descriptor::Socket;
use super::host::Host;
use crate::error::SocketError;
use crate::tcp::connection::Connection;
use crate::tcp::state::{Cause, State};
use crate::time::Instant;

/// How often it is tried again, as Linux does where its own queue is full.
const AGAIN: Duration = Duration::from_millis(500);

/// What our `tc` has noted: packets that the queue of the device takes.
const LIMIT: &str = "glasstcp.queue_limit";

/// Text that waits for the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    since: Instant,
    next: Instant,
    /// How often it was tried again.
    pub probes: u8,
}

impl Host {
    /// Whatever is sent now is lost in the queue of the device.
    pub(super) fn is_device_shut(&self) -> bool {
        self.settings.knobs.number(LIMIT) == Some(0)
    }

    /// When something is tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let waiting = |connection: &Connection| connection.state() != State::Closed;
        let entries = self.table.values().filter(|entry| match entry.socket {
            Socket::Tcp(handle) => self.stack.tcp_connection(handle).is_some_and(waiting),
            _ => false,
        });
        entries.filter_map(|entry| entry.waiting).map(|waiting| waiting.next).min()
    }

    /// Tries what is due; what has waited for too long is over.
    pub(super) fn try_again(&mut self) {
        for entry in self.table.values_mut() {
            let (Socket::Tcp(handle), Some(waiting)) = (entry.socket, entry.waiting.as_mut()) else { continue };
            if waiting.next > self.now || self.stack.tcp_state(handle) == Some(State::Closed) {
                continue;
            }
            let waited = self.now.saturating_since(waiting.since);
            waiting.next = self.now + AGAIN;
            let over =
                self.stack.tcp_options(handle).and_then(|options| options.user_timeout).is_some_and(|t| waited >= t);
            waiting.probes = waiting.probes.saturating_add(u8::from(!over));
            if over {
                self.stack.with_tcp(handle, |connection, cx| {
                    connection.end(Cause::UserTimeout, Some(SocketError::TimedOut), cx.pool, cx.transfers);
                });
            }
        }
    }

    /// Takes note of what the device did not take.
    pub(super) fn note_waiting(&mut self) {
        let shut = self.is_device_shut();
        for entry in self.table.values_mut() {
            let Socket::Tcp(handle) = entry.socket else { continue };
            let Some(connection) = self.stack.tcp_connection(handle) else { continue };
            if connection.state() == State::Closed {
                continue;
            }
            let waits = shut && connection.unsent() > 0 && connection.flight() == 0;
            entry.waiting = if waits {
                let first = connection.rto(&self.stack.config().tcp).duration();
                let new = Waiting { since: self.now, next: self.now + first, probes: 0 };
                Some(entry.waiting.unwrap_or(new))
            } else {
                None
            };
        }
    }
}
