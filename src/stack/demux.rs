//! Whose segment it is: four-tuple to flow, then to listener, else nobody's.

use super::Stack;
use super::flow::{Flow, ListenerHandle};
use crate::tcp::FourTuple;

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

    /// The listener for a connection with this tuple: the one that names its local end most exactly.
    pub(super) fn listener_for(&self, tuple: &FourTuple) -> Option<ListenerHandle> {
        self.listening.find(tuple.local(), || self.hash(tuple))
    }
}
