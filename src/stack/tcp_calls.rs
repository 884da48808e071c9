//! The calls of the application on connections.

use std::sync::Arc;

use super::flow::{Flow, ListenerHandle, TcpHandle};
use super::slab::SlabKey;
use super::{SocketHandle, Stack};
use crate::error::SocketError;
use crate::tcp::FourTuple;
use crate::tcp::config::SocketOptions;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::receiver::AckOwed;
use crate::tcp::snapshot::Snapshot;
use crate::tcp::state::State;
use crate::tcp::why::Why;
use crate::time::Instant;

/// How a half of a connection is closed.
pub use std::net::Shutdown;

impl Stack {
    /// SEND: queues text and answers how many octets found room.
    ///
    /// # Errors
    /// See [`Connection::send`].
    pub fn tcp_send(&mut self, now: Instant, handle: TcpHandle, data: &[u8]) -> Result<usize, SocketError> {
        self.promise_kept(handle);
        let sent = self.call(now, handle, |connection, cx| connection.send(data, cx));
        if sent == Err(SocketError::WouldBlock) {
            self.note_starved(handle);
        }
        sent
    }

    /// SEND of what more will follow; see [`Connection::send_more`].
    ///
    /// # Errors
    /// See [`Connection::send`].
    pub fn tcp_send_more(&mut self, now: Instant, handle: TcpHandle, data: &[u8]) -> Result<usize, SocketError> {
        self.promise_kept(handle);
        self.call(now, handle, |connection, cx| connection.send_more(data, cx))
    }

    /// SEND of what ends a record; see [`Connection::send_record`].
    ///
    /// # Errors
    /// See [`Connection::send`].
    pub fn tcp_send_record(&mut self, now: Instant, handle: TcpHandle, data: &[u8]) -> Result<usize, SocketError> {
        self.promise_kept(handle);
        let sent = self.call(now, handle, |connection, cx| connection.send_record(data, cx));
        if sent == Err(SocketError::WouldBlock) {
            self.note_starved(handle);
        }
        sent
    }

    /// What is held back leaves as it is; see [`Connection::release`].
    pub fn tcp_release(&mut self, now: Instant, handle: TcpHandle) {
        self.call(now, handle, |connection, _| {
            connection.release();
            Ok(())
        })
        .ok();
    }

    /// SEND with the urgent flag; see [`Connection::send_urgent`].
    ///
    /// # Errors
    /// See [`Connection::send`].
    pub fn tcp_send_urgent(&mut self, now: Instant, handle: TcpHandle, data: &[u8]) -> Result<usize, SocketError> {
        self.promise_kept(handle);
        let sent = self.call(now, handle, |connection, cx| connection.send_urgent(data, cx));
        if sent == Err(SocketError::WouldBlock) {
            self.note_starved(handle);
        }
        sent
    }

    /// RECEIVE: copies text in order; 0 octets into a buffer with room mean the end of the stream.
    ///
    /// # Errors
    /// See [`Connection::receive`].
    pub fn tcp_receive(&mut self, now: Instant, handle: TcpHandle, buffer: &mut [u8]) -> Result<usize, SocketError> {
        let now = self.advance_to(now);
        let (result, owes) = self.held_connection(now, handle, |connection, cx| {
            let result = connection.receive(buffer, cx);
            (result, connection.owed.ack == AckOwed::Now)
        })?;
        // Reading changes nothing that others wait for, but the memory that it gives back and the window that it opens.
        if owes {
            self.touch(handle.0);
        } else {
            self.wake_starved();
        }
        result
    }

    /// As [`Stack::tcp_receive`], but the text stays.
    ///
    /// # Errors
    /// See [`Connection::receive`].
    pub fn tcp_peek(&self, handle: TcpHandle, buffer: &mut [u8]) -> Result<usize, SocketError> {
        self.connections.get(handle.0).ok_or(SocketError::BadHandle)?.connection.peek(buffer)
    }

    /// Closes one half of a connection, or both, and keeps the handle.
    ///
    /// # Errors
    /// `NotConnected` where there is no connection.
    pub fn tcp_shutdown(&mut self, now: Instant, handle: TcpHandle, how: Shutdown) -> Result<(), SocketError> {
        self.call(now, handle, |connection, cx| {
            if how != Shutdown::Write {
                connection.close_read(cx);
            }
            if how == Shutdown::Read { Ok(()) } else { connection.close_write(cx) }
        })
    }

    /// CLOSE: the application lets go. What is queued is still sent; unread data, or a linger of zero, make it a reset.
    pub fn tcp_close(&mut self, now: Instant, handle: TcpHandle) {
        self.promise_kept(handle);
        let reply = self.call(now, handle, |connection, cx| Ok(connection.close(cx)));
        if let Ok(Some(reply)) = reply {
            self.push_reply(reply);
        }
        self.touch(handle.0);
    }

    /// ABORT: ends the connection with a RST; the handle stays until [`Stack::tcp_close`].
    // 6429-4: in every state, also while a zero window is probed.
    pub fn tcp_abort(&mut self, now: Instant, handle: TcpHandle) {
        let now = self.advance_to(now);
        let held = self.connections.get(handle.0).filter(|entry| !entry.connection.orphan);
        let Some(tuple) = held.map(|entry| entry.connection.tuple) else { return };
        self.abort_connection(handle.0, now);
        // 9293-3.10.5-3: in TIME-WAIT nothing is sent, and the tuple is free.
        if let Some(Flow::TimeWait(key)) = self.flow(&tuple)
            && self.time_wait.get(key).is_some_and(|entry| entry.connection == handle)
            && self.tcp_state(handle) == Some(State::Closed)
        {
            self.leave_time_wait(key);
        }
    }

    fn abort_connection(&mut self, key: SlabKey, now: Instant) {
        if let Some(Some(reply)) = self.with_connection(key, now, |connection, cx| connection.abort(cx, Why::RstAbort))
        {
            self.push_reply(reply);
        }
        self.touch(key);
    }

    /// Aborts what its application has let go of and what has not finished; the answer is how many there were.
    pub fn abort_orphans(&mut self, now: Instant) -> usize {
        let now = self.advance_to(now);
        let orphans: Vec<SlabKey> = self
            .connections
            .iter()
            .filter(|(_, entry)| entry.connection.orphan && !entry.detached)
            .map(|(key, _)| key)
            .collect();
        for &key in &orphans {
            self.counters.orphans_aborted += 1;
            // Not by a call, since nobody holds it.
            self.abort_connection(key, now);
        }
        orphans.len()
    }

    /// CLOSE of every listener and of every connection that an application holds: what remains are orphans.
    pub fn close_all(&mut self, now: Instant) {
        self.leave_groups(now);
        let listeners: Vec<SlabKey> = self.listeners.iter().map(|(key, _)| key).collect();
        for key in listeners {
            self.listener_close(now, ListenerHandle(key));
        }
        let held = self.connections.iter().filter(|(_, entry)| !entry.connection.orphan);
        let held: Vec<SlabKey> = held.map(|(key, _)| key).collect();
        for key in held {
            self.tcp_close(now, TcpHandle(key));
        }
    }

    /// Connections that their applications have let go of and that have not finished: data or FIN is on its way.
    pub fn orphans(&self) -> usize {
        self.connections.iter().filter(|(_, entry)| entry.connection.orphan && !entry.detached).count()
    }

    /// Why the connection ended, if it did not end by itself.
    pub fn tcp_error(&self, handle: TcpHandle) -> Option<SocketError> {
        self.connections.get(handle.0).map_or(Some(SocketError::BadHandle), |entry| entry.connection.error)
    }

    /// Takes the last error that the connection survived (RFC 9293 section 3.9.2.2).
    // 9293-MUST-47, 9293-SHLD-20: whoever does not ask is not told, and nothing else tells of it.
    pub fn tcp_take_soft_error(&mut self, handle: TcpHandle) -> Option<SocketError> {
        self.connections.get_mut(handle.0).and_then(|entry| entry.connection.soft_error.take())
    }

    /// The state of a connection.
    pub fn tcp_state(&self, handle: TcpHandle) -> Option<State> {
        self.connections.get(handle.0).map(|entry| entry.connection.state())
    }

    /// A connection, to look at.
    pub fn tcp_connection(&self, handle: TcpHandle) -> Option<&Connection> {
        self.connections.get(handle.0).map(|entry| &entry.connection)
    }

    /// Its endpoints.
    pub fn tcp_tuple(&self, handle: TcpHandle) -> Option<FourTuple> {
        self.connections.get(handle.0).map(|entry| entry.connection.tuple)
    }

    /// What is set on a connection.
    pub fn tcp_options(&self, handle: TcpHandle) -> Option<SocketOptions> {
        self.connections.get(handle.0).map(|entry| *entry.connection.options)
    }

    /// Changes what is set on a connection.
    ///
    /// # Errors
    /// `InvalidArgument` for options out of range.
    // 9293-SHLD-21, 9293-MUST-49
    pub fn tcp_set_options(
        &mut self,
        now: Instant,
        handle: TcpHandle,
        change: impl FnOnce(&mut SocketOptions),
    ) -> Result<(), SocketError> {
        self.call(now, handle, |connection, cx| {
            let mut options = *connection.options;
            change(&mut options);
            if !options.is_valid() {
                return Err(SocketError::InvalidArgument);
            }
            let patience = options.user_timeout != connection.options.user_timeout;
            let before = connection.give_up(cx.config);
            if options.receive_capacity != connection.options.receive_capacity {
                connection.set_receive_capacity(&options, cx.config);
            }
            if options.congestion != connection.options.congestion {
                connection.switch_congestion(options.congestion);
            }
            if options != *connection.options {
                connection.options = Arc::new(options);
            }
            connection.deadlines.keep_alive.cancel();
            if patience && connection.deadlines.user_timeout.is_set() {
                connection.deadlines.user_timeout.cancel();
                connection.start_user_timeout(cx);
            } else {
                connection.patience_changed(before, cx);
            }
            Ok(())
        })
    }

    /// Octets until the last urgent one is read, or `None` outside urgent mode.
    pub fn tcp_urgent_remaining(&self, handle: TcpHandle) -> Option<u32> {
        self.connections.get(handle.0).and_then(|entry| entry.connection.urgent_remaining())
    }

    /// What can be seen of a connection.
    pub fn tcp_snapshot(&self, handle: TcpHandle) -> Option<Snapshot> {
        self.connections.get(handle.0).map(|entry| Snapshot::new(&entry.connection, &self.config.tcp))
    }

    /// All connections, those included that are over but not let go of.
    pub fn tcp_connections(&self) -> impl Iterator<Item = &Connection> + '_ {
        self.connections.iter().map(|(_, entry)| &entry.connection)
    }

    /// What can be seen of all connections that are not over, at most `limit`.
    pub fn tcp_snapshots(&self, limit: usize) -> Vec<Snapshot> {
        let live = self.connections.iter().filter(|(_, entry)| entry.connection.state() != State::Closed);
        live.take(limit).map(|(_, entry)| Snapshot::new(&entry.connection, &self.config.tcp)).collect()
    }

    /// The socket to which a handle belongs, for those who keep both kinds.
    pub fn socket_exists(&self, socket: SocketHandle) -> bool {
        match socket {
            SocketHandle::Tcp(handle) => self.connections.contains(handle.0),
            SocketHandle::Listener(handle) => self.listeners.contains(handle.0),
            SocketHandle::Udp(handle) => self.sockets.contains(handle.0),
            SocketHandle::Echo(handle) => self.echoes.contains(handle),
        }
    }

    /// One call on a connection: with the time taken note of, and its consequences looked after.
    fn call<R>(
        &mut self,
        now: Instant,
        handle: TcpHandle,
        call: impl FnOnce(&mut Connection, &mut Context<'_>) -> Result<R, SocketError>,
    ) -> Result<R, SocketError> {
        let now = self.advance_to(now);
        let result = self.held_connection(now, handle, call)?;
        self.touch(handle.0);
        result
    }

    /// A connection that an application holds, with all that its functions may use.
    fn held_connection<R>(
        &mut self,
        now: Instant,
        handle: TcpHandle,
        call: impl FnOnce(&mut Connection, &mut Context<'_>) -> R,
    ) -> Result<R, SocketError> {
        match self.connections.get(handle.0) {
            Some(entry) if !entry.connection.orphan => {}
            _ => return Err(SocketError::BadHandle),
        }
        self.with_connection(handle.0, now, call).ok_or(SocketError::BadHandle)
    }
}
