//! What the applications do: the calls of a socket, and what they learn by them.

use std::net::Shutdown;

use glasstcp::error::SocketError;
use glasstcp::stack::{Readiness, SocketHandle};
use glasstcp::tcp::connection::Connection;
use glasstcp::tcp::state::State;

use super::action::{NAMES, Side};
use super::host::{App, End};
use super::sabotage::Sabotage;
use super::scenario::Cookie;
use super::world::{TICK, World};

/// An octet that tells side, connection and place.
fn octet(side: Side, connection: usize, place: usize) -> u8 {
    (side << 7) | (connection as u8) << 4 | place as u8
}

impl World<'_> {
    /// Reading would not block.
    pub fn has_news(&self, at: usize) -> bool {
        let Some(app) = self.hosts[at].apps.last().filter(|app| app.ended.is_none()) else { return false };
        let Some(handle) = app.handle else { return false };
        self.hosts[at].stack.tcp_peek(handle, &mut [0]) != Err(SocketError::WouldBlock)
    }

    /// A reader that sleeps until it is told would read now.
    pub(super) fn wakes(&self, at: usize) -> bool {
        self.has_news(at) && self.hosts[at].apps.last().is_some_and(|app| app.awake)
    }

    pub(super) fn open(&mut self, side: Side) {
        // No clock stands still while a connection is over and another one is opened.
        self.now += TICK;
        self.expire();
        let remote = self.hosts[usize::from(1 - side)].address;
        let host = &mut self.hosts[usize::from(side)];
        host.opens += 1;
        if let Some(old) = host.apps.last_mut().and_then(|app| app.handle.take()) {
            host.stack.tcp_close(self.now, old);
        }
        let (local, options) = (Some(host.address), host.stack.config().tcp.socket);
        let fast = self.scenario.cookies[usize::from(side)] != Cookie::Unused;
        let first = octet(side, host.apps.len() + 1, 0);
        let text = &[first][..usize::from(fast && self.scenario.octets[usize::from(side)] > 0)];
        let opened = if fast {
            host.stack.tcp_connect_fast(self.now, local, remote, options, text)
        } else {
            host.stack.tcp_connect(self.now, local, remote, options).map(|handle| (handle, 0))
        };
        match opened {
            Ok((handle, queued)) => {
                let mut app = App::new(handle, host.stack.tcp_connection(handle).unwrap());
                app.sent.extend_from_slice(&text[..queued]);
                host.apps.push(app);
            }
            Err(error) => self.breaks(format!("{} cannot connect: {error}", NAMES[usize::from(side)])),
        }
    }

    pub(super) fn send(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let count = host.apps.len();
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        let octet = octet(side, count, app.sent.len());
        match host.stack.tcp_send(self.now, handle, &[octet]) {
            Ok(1) => app.sent.push(octet),
            other => self.breaks(format!("{} cannot send: {other:?}", NAMES[usize::from(side)])),
        }
    }

    pub(super) fn read(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        let mut buffer = [0; 16];
        let answer = host.stack.tcp_receive(self.now, handle, &mut buffer);
        match answer {
            Ok(0) => app.ended = Some(End::Eof),
            Ok(read) => app.received.extend_from_slice(&buffer[..read]),
            Err(error) => app.ended = Some(End::Error(error)),
        }
        // A reader that has taken everything sleeps until it is told of more.
        app.awake = host.stack.tcp_peek(handle, &mut [0]) != Err(SocketError::WouldBlock);
        self.note(|_| {
            format!("    {} reads: {answer:?} {:?}", NAMES[usize::from(side)], &buffer[..answer.unwrap_or(0)])
        });
    }

    pub(super) fn half_close(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        // CLOSE in SYN-SENT forgets the connection (RFC 9293 section 3.10.4).
        let forgets = host.stack.tcp_state(handle) == Some(State::SynSent);
        host.stack.tcp_shutdown(self.now, handle, Shutdown::Write).ok();
        app.write_closed = !forgets;
        app.aborted |= forgets;
        self.disorder |= forgets;
    }

    /// Whoever has sent its FIN with its SYN closes its sending side as soon as its state allows.
    pub(super) fn end_of_syn(&mut self, at: usize) {
        let host = &self.hosts[at];
        let state = host.connection().map(Connection::state);
        let opened = state.is_some_and(|state| !matches!(state, State::SynSent | State::Closed));
        if self.scenario.fin_on_syn[at] && opened && host.apps.last().is_some_and(|app| !app.write_closed) {
            self.half_close(at as Side);
        }
    }

    /// The application lets go.
    pub fn close(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle.take() else { return };
        let unread = host.stack.tcp_connection(handle).map_or(0, |connection| connection.receive_buffer.readable());
        app.let_go = Some((app.received.len() + unread) as u64);
        let forgets = host.stack.tcp_state(handle) == Some(State::SynSent);
        host.stack.tcp_close(self.now, handle);
        app.aborted |= unread > 0 || forgets;
        app.write_closed |= !app.aborted;
        // Whoever has not read to the end may be sent what nobody reads.
        self.disorder |= app.ended != Some(End::Eof);
    }

    pub(super) fn abort(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        let state = host.stack.tcp_state(handle);
        self.silent[usize::from(side)] |= matches!(state, Some(State::Closing | State::LastAck));
        host.stack.tcp_abort(self.now, handle);
        app.aborted = true;
        self.disorder = true;
    }

    /// Takes connections from the listener.
    pub(super) fn accept(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let Some(listener) = host.listener else { return };
        while let Ok((handle, _)) = host.stack.tcp_accept(listener) {
            if let Some(old) = host.apps.last_mut().and_then(|app| app.handle.take()) {
                host.stack.tcp_close(self.now, old);
            }
            let app = App::new(handle, host.stack.tcp_connection(handle).unwrap());
            host.apps.push(app);
            if let Some(app) = host.apps.last_mut() {
                app.awake = host.stack.tcp_peek(handle, &mut [0]) != Err(SocketError::WouldBlock);
            }
        }
    }

    /// Events wake the reader.
    pub(super) fn hear(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        while let Some(ready) = host.stack.poll_ready() {
            let SocketHandle::Tcp(handle) = ready.socket else { continue };
            let news = Readiness::READABLE.with(Readiness::READ_CLOSED).with(Readiness::ERROR);
            if self.sabotage == Some(Sabotage::NoEvents) {
                continue;
            }
            for app in host.apps.iter_mut().filter(|app| app.handle == Some(handle)) {
                app.awake |= ready.edges.any(news);
            }
        }
        for app in &mut host.apps {
            let connection = app.handle.and_then(|handle| host.stack.tcp_connection(handle));
            if let Some(connection) =
                connection.filter(|connection| connection.state().is_synchronized() || connection.opens_early())
            {
                app.irs = Some(connection.rcv.irs.0);
            }
        }
    }
}
