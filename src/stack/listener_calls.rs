//! The calls of the application on listeners.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::Stack;
use super::bindings::{Bindings, Kind};
use super::flow::{ListenerHandle, TcpHandle};
use super::listen::ListenOptions;
use super::slab::SlabKey;
use crate::error::SocketError;
use crate::ip::bind::BindOptions;
use crate::tcp::FourTuple;
use crate::tcp::config::SocketOptions;
use crate::tcp::fast_open::Requests;
use crate::tcp::listener::Listener;
use crate::time::Instant;

impl Stack {
    /// Passive OPEN: listens. Port 0 chooses one. The backlog limits the SYN queue and the accept queue, each.
    ///
    /// # Errors
    /// `AddressNotAvailable` for an address that is not ours, `AddressInUse`, `InvalidArgument` for options out of range,
    /// `NoBuffers`.
    // 9293-3.10.1-1, 9293-MUST-43, 9293-MUST-42: connections on the port do not matter, only another listener does.
    pub fn tcp_listen(
        &mut self,
        local: SocketAddr,
        backlog: u32,
        options: SocketOptions,
    ) -> Result<ListenerHandle, SocketError> {
        self.tcp_listen_with(local, &ListenOptions { backlog, socket: options, ..ListenOptions::default() })
    }

    /// As [`Stack::tcp_listen`], with all that can be chosen.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_listen`].
    pub fn tcp_listen_with(
        &mut self,
        local: SocketAddr,
        options: &ListenOptions,
    ) -> Result<ListenerHandle, SocketError> {
        if !options.socket.is_valid() || options.deferred && options.fast_open.is_some() {
            return Err(SocketError::InvalidArgument);
        }
        let bind = &options.bind;
        let mut local = self.bindable(local)?;
        if bind.any_port {
            local.set_port(0);
        } else if local.port() == 0 {
            // 6056-3.1: nor one from which connections are there, which would refuse it.
            let busy: BTreeSet<u16> = self.tuples_in_use().map(|tuple| tuple.local_port).collect();
            local.set_port(self.free_port(&self.listening, |port| busy.contains(&port))?);
        }
        if !self.listening.is_free(local, bind) || !bind.reuse_address && self.port_has_connections(local, bind) {
            return Err(SocketError::AddressInUse);
        }
        let mut listener = Listener::new(local, *bind, options.backlog, options.socket);
        listener.deferred = options.deferred;
        listener.fast_open = options.fast_open.map(|options| Box::new(Requests::new(options)));
        let backlog = listener.backlog;
        let handle = ListenerHandle(self.listeners.insert(listener).ok_or(SocketError::NoBuffers)?);
        self.listening.insert(local, bind, handle);
        if options.deferred {
            self.syn_room.opened(backlog);
        }
        Ok(handle)
    }

    /// Connections, or what is left of them, have this port of an address that a listener would take.
    fn port_has_connections(&self, local: SocketAddr, bind: &BindOptions) -> bool {
        let mut flows = Bindings::<()>::new(Kind::Listeners, self.hasher.clone());
        flows.insert(local, bind, ());
        self.tuples_in_use().any(|tuple| flows.find(tuple.local(), || 0).is_some())
    }

    /// The four-tuples of all records.
    fn tuples_in_use(&self) -> impl Iterator<Item = FourTuple> {
        let half_open = self.half_open.iter().map(|(_, entry)| entry.tuple);
        let live =
            self.connections.iter().filter(|(_, entry)| !entry.detached).map(|(_, entry)| entry.connection.tuple);
        let over = self.time_wait.iter().map(|(_, entry)| entry.tuple);
        half_open.chain(live).chain(over)
    }

    /// Takes the next connection of a listener.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn tcp_accept(&mut self, handle: ListenerHandle) -> Result<(TcpHandle, SocketAddr), SocketError> {
        let listener = self.listeners.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        let accepted = listener.accept_queue.pop_front().ok_or(SocketError::WouldBlock)?;
        self.accepted(accepted).map(|remote| (accepted, remote))
    }

    /// The application has a connection that waited for it; the answer is its peer.
    pub(super) fn accepted(&mut self, handle: TcpHandle) -> Result<SocketAddr, SocketError> {
        let entry = self.connections.get_mut(handle.0).ok_or(SocketError::Aborted)?;
        entry.waits = false;
        let remote = entry.connection.tuple.remote();
        self.touch(handle.0);
        Ok(remote)
    }

    /// The listener that is bound to exactly this address.
    pub fn listener_at(&self, local: SocketAddr) -> Option<ListenerHandle> {
        self.listening.at(local)
    }

    /// The address on which a listener listens.
    pub fn listener_local(&self, handle: ListenerHandle) -> Option<SocketAddr> {
        self.listeners.get(handle.0).map(|listener| listener.local)
    }

    /// What the connections of a listener start with.
    pub fn listener_options(&self, handle: ListenerHandle) -> Option<SocketOptions> {
        self.listeners.get(handle.0).map(|listener| *listener.options)
    }

    /// Changes what later connections of a listener start with.
    ///
    /// # Errors
    /// `InvalidArgument` for options out of range.
    pub fn listener_set_options(
        &mut self,
        handle: ListenerHandle,
        change: impl FnOnce(&mut SocketOptions),
    ) -> Result<(), SocketError> {
        let listener = self.listeners.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        let mut options = *listener.options;
        change(&mut options);
        if !options.is_valid() {
            return Err(SocketError::InvalidArgument);
        }
        listener.options = Arc::new(options);
        Ok(())
    }

    /// CLOSE of a listener: connections that nobody has accepted are reset.
    // 9293-3.10.4-1: later SYNs find nobody; half-open records notice when they are next touched.
    pub fn listener_close(&mut self, now: Instant, handle: ListenerHandle) {
        let now = self.advance_to(now);
        let Some(listener) = self.listeners.remove(handle.0) else { return };
        self.listening.remove(listener.local, &listener.bind, handle);
        if listener.deferred {
            self.syn_room.closed(listener.backlog, listener.half_open);
        }
        for waiting in listener.accept_queue {
            self.tcp_abort(now, waiting);
            self.let_go(waiting.0);
        }
    }

    /// Nobody holds this connection any more.
    fn let_go(&mut self, key: SlabKey) {
        if let Some(entry) = self.connections.get_mut(key) {
            entry.connection.orphan = true;
        }
        self.touch(key);
    }

    /// The listeners' addresses, for lists of sockets.
    pub fn tcp_listeners(&self) -> impl Iterator<Item = (SocketAddr, u32, usize)> + '_ {
        self.listeners.iter().map(|(_, listener)| (listener.local, listener.half_open, listener.accept_queue.len()))
    }
}
