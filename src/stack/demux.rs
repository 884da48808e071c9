//! Whose segment it is: four-tuple to flow, then to listener, else nobody's.

use std::net::SocketAddr;

use super::flow::{Flow, ListenerHandle};
use super::{Stack, TcpHandle};
use crate::tcp::FourTuple;
use crate::tcp::listener::Listener;

impl Stack {
    pub(super) fn hash(&self, tuple: &FourTuple) -> u64 {
        self.hasher.hash((tuple.local_addr, tuple.local_port), (tuple.remote_addr, tuple.remote_port))
    }

    /// The flow of this tuple.
    pub(super) fn flow(&self, tuple: &FourTuple) -> Option<Flow> {
        let found = self.flows.find(self.hash(tuple), |packed| self.tuple_of(packed.unpack()) == Some(*tuple));
        found.map(|packed| packed.unpack())
    }

    /// The flow of a segment: mostly that of the one before it.
    pub(super) fn flow_of_segment(&mut self, tuple: &FourTuple) -> Option<Flow> {
        if let Some(last) = self.last_flow
            && self.tuple_of(last).as_ref() == Some(tuple)
        {
            return Some(last);
        }
        self.last_flow = self.flow(tuple);
        self.last_flow
    }

    fn tuple_of(&self, flow: Flow) -> Option<FourTuple> {
        match flow {
            Flow::HalfOpen(key) => self.half_open.get(key).map(|entry| entry.tuple),
            Flow::Connection(key) => self.connections.get(key).map(|entry| entry.connection.tuple),
            Flow::TimeWait(key) => self.time_wait.get(key).map(|entry| entry.tuple),
        }
    }

    pub(super) fn add_flow(&mut self, tuple: &FourTuple, flow: Flow) {
        self.last_flow = None;
        self.flows.insert(self.hash(tuple), flow.pack());
    }

    pub(super) fn remove_flow(&mut self, tuple: &FourTuple, flow: Flow) {
        // What it leads to may live on, but its tuple leads elsewhere.
        self.last_flow = None;
        self.flows.remove(self.hash(tuple), flow.pack());
    }

    pub(super) fn replace_flow(&mut self, tuple: &FourTuple, old: Flow, new: Flow) {
        self.last_flow = None;
        self.flows.replace(self.hash(tuple), old.pack(), new.pack());
    }

    /// The listener for a connection to this address: one bound to it, else one bound to any.
    pub(super) fn listener_for(&self, local: SocketAddr) -> Option<ListenerHandle> {
        let candidates = self.listener_ports.get(&local.port())?;
        let matching = |exact: bool| {
            candidates.iter().copied().find(|handle| {
                self.listeners.get(handle.0).is_some_and(|listener| listener_matches(listener, local) == Some(exact))
            })
        };
        matching(true).or_else(|| matching(false))
    }
}

/// Whether a listener takes connections to `local`: `Some(true)` if it names that very address.
fn listener_matches(listener: &Listener<TcpHandle>, local: SocketAddr) -> Option<bool> {
    let address = listener.local.ip();
    if address == local.ip() {
        return Some(true);
    }
    // `::` stands for both families, as with sockets that are not IPv6-only.
    (address.is_unspecified() && (address.is_ipv6() || local.is_ipv4())).then_some(false)
}
