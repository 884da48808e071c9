//! Writers that wait for buffer memory, which all connections share.
//!
//! They are woken in turn, and only as many as there is memory for: waking all of them for each chunk that comes back would
//! cost as much as there are writers. Who is woken has a chunk promised until it writes. Some will never write, so after a
//! while the promises are forgotten and the next ones are woken.

use std::collections::VecDeque;
use std::time::Duration;

use super::Stack;
use super::flow::TcpHandle;
use super::slab::SlabKey;
use crate::buffer::LARGE;
use crate::tcp::connection::Events;
use crate::time::Instant;

/// How long a writer that was woken may take to write before the next ones have their turn.
const PATIENCE: Duration = Duration::from_millis(10);

/// So many are woken in any case while there is memory for one: it costs little, and not all of them want to write.
const AT_ONCE: usize = 16;

/// Who waits, and who was woken.
#[derive(Debug, Default)]
pub(super) struct Starved {
    /// Those who wait, in turn; some may be gone already.
    waiting: VecDeque<SlabKey>,
    /// Chunks promised in this round.
    promised: usize,
    /// Tells promises of this round from forgotten ones.
    round: u32,
    /// When the promises are forgotten, if anybody waits.
    pub again_at: Option<Instant>,
}

impl Stack {
    /// Somebody waits until this connection is writable. Where memory is all that is missing, [`Stack::poll_ready`] tells
    /// when there is some again; everything else tells itself.
    pub fn tcp_await_memory(&mut self, handle: TcpHandle) {
        if !self.has_buffer_memory() {
            self.note_starved(handle);
        }
    }

    /// A writer was told to wait. If that was for want of memory, no ACK of its own may ever come to wake it.
    pub(super) fn note_starved(&mut self, handle: TcpHandle) {
        let Some(entry) = self.connections.get_mut(handle.0) else { return };
        let capacity = entry.connection.send_capacity(&self.config.tcp) as usize;
        if entry.connection.send_buffer.len() < capacity && !entry.starved {
            entry.starved = true;
            self.starved.waiting.push_back(handle.0);
            if self.starved.promised > 0 {
                self.starved.again_at.get_or_insert(self.now + PATIENCE);
            }
            if self.starved.waiting.len() > 2 * self.connections.len() as usize + 64 {
                let live = &self.connections;
                self.starved.waiting.retain(|&key| live.contains(key));
            }
        }
    }

    /// A writer writes, or lets go: it has what it was promised.
    pub(super) fn promise_kept(&mut self, handle: TcpHandle) {
        if self.starved.promised == 0 {
            return;
        }
        let Some(entry) = self.connections.get_mut(handle.0) else { return };
        let promised = std::mem::take(&mut entry.promised);
        if promised > 0 && promised == self.starved.round {
            self.starved.promised = self.starved.promised.saturating_sub(1);
        }
    }

    /// Wakes as many of the writers that wait for memory as there is memory for.
    pub(super) fn wake_starved(&mut self) {
        if self.starved.waiting.is_empty() {
            return;
        }
        while self.has_memory_beyond_promises() {
            let Some(key) = self.starved.waiting.pop_front() else { break };
            let Some(entry) = self.connections.get_mut(key) else { continue };
            entry.starved = false;
            if entry.connection.orphan || entry.detached {
                continue;
            }
            if self.starved.promised == 0 {
                self.starved.round = self.starved.round.wrapping_add(1).max(1);
            }
            entry.promised = self.starved.round;
            entry.connection.events.add(Events::WRITE);
            self.starved.promised += 1;
            self.notice_events(key);
        }
        let waits = self.starved.promised > 0 && !self.starved.waiting.is_empty();
        self.starved.again_at = if waits { self.starved.again_at.or(Some(self.now + PATIENCE)) } else { None };
    }

    fn has_memory_beyond_promises(&self) -> bool {
        match self.starved.promised {
            ..AT_ONCE => self.has_buffer_memory(),
            promised => self.pool.free_for_sending() >= (promised + 1) * LARGE,
        }
    }

    /// Those who were woken and have not written by now will not.
    pub(super) fn forget_promises(&mut self, now: Instant) {
        if self.starved.again_at.is_some_and(|at| at <= now) {
            self.starved.again_at = None;
            self.starved.promised = 0;
            self.wake_starved();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SocketError;
    use crate::sim::Script;
    use crate::stack::{Readiness, SocketHandle};

    /// Connections whose writers all wait, because one has all the memory.
    fn starving(count: usize) -> (Script, TcpHandle, Vec<TcpHandle>) {
        let mut script = Script::with(|config| {
            config.tcp.buffer_memory = 40 * LARGE;
            config.tcp.socket.nodelay = true;
            config.tcp.send_capacity = Some(64 * LARGE as u32);
        });
        let greedy = script.connect_established();
        // A few of them find room for a small chunk, until there is none.
        let others = (0..15 + count).map(|number| {
            script.peer.set_port(41_000 + number as u16);
            script.connect_established()
        });
        let mut others: Vec<TcpHandle> = others.collect();
        while script.stack.tcp_send(script.now, greedy, &[0; LARGE]).is_ok() {}
        others.retain(|&other| script.stack.tcp_send(script.now, other, &[1]) == Err(SocketError::WouldBlock));
        assert_eq!(others.len(), count);
        while script.stack.poll_ready().is_some() {}
        (script, greedy, others)
    }

    fn woken(script: &mut Script) -> Vec<TcpHandle> {
        let mut woken = Vec::new();
        while let Some(ready) = script.stack.poll_ready() {
            match ready.socket {
                SocketHandle::Tcp(handle) if ready.edges.any(Readiness::WRITABLE) => woken.push(handle),
                _ => {}
            }
        }
        woken
    }

    #[test]
    fn only_as_many_are_woken_as_there_is_memory_for() {
        let (mut script, greedy, others) = starving(100);
        script.stack.tcp_abort(script.now, greedy);
        let first: Vec<TcpHandle> = woken(&mut script).into_iter().filter(|handle| *handle != greedy).collect();
        assert_eq!(first, others[..29], "as many large chunks as there are, to those who waited longest");
        assert_eq!(woken(&mut script), []);

        // Who writes less leaves room for the next promise, as far as memory goes.
        assert_eq!(script.stack.tcp_send(script.now, first[0], &[1]), Ok(1));
        assert_eq!(woken(&mut script), others[29..30]);
        assert_eq!(script.stack.tcp_send(script.now, first[1], &[1]), Ok(1));
        assert_eq!(woken(&mut script), [], "28 large chunks are promised, and not one more is left");

        // Those who do not write are not waited for.
        assert_eq!(script.stack.next_deadline(), Some(script.now + PATIENCE));
        for range in [30..58, 58..86, 86..100] {
            script.pass(PATIENCE);
            assert!(woken(&mut script).starts_with(&others[range]));
        }
        // Those who had found room before come last.
        for _ in 0..4 {
            script.pass(PATIENCE);
            woken(&mut script);
        }
        assert!(script.stack.starved.waiting.is_empty() && script.stack.starved.again_at.is_none());
    }
}
