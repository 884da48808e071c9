//! One flow of an experiment: an application that sends as fast as it may, and one that reads at once.

use std::net::{Shutdown, SocketAddr};

use super::experiment::FlowPlan;
use super::network::{Network, Node, address};
use crate::error::SocketError;
use crate::stack::{ListenerHandle, Readiness, Ready, SocketHandle, TcpHandle};
use crate::tcp::config::SocketOptions;
use crate::tcp::snapshot::Snapshot;
use crate::time::Instant;

/// The port on which the flow of this number is received, less that number.
pub const FIRST_PORT: u16 = 5_001;
/// The port from which it is sent, less that number.
pub const FIRST_SOURCE: u16 = 40_000;
/// Octets per call.
const CHUNK: usize = 1 << 16;
/// What is sent.
static TEXT: [u8; CHUNK] = [b'g'; CHUNK];

/// Both ends of one flow.
#[derive(Debug)]
pub struct Bulk {
    ends: [Node; 2],
    number: u16,
    options: SocketOptions,
    start: Instant,
    /// Octets that are still to be written.
    left: u64,
    listener: Option<ListenerHandle>,
    sender: Option<TcpHandle>,
    receiver: Option<TcpHandle>,
    shut: bool,
    readable: bool,
    writable: bool,
    buffer: Vec<u8>,
    /// Octets that the receiver has read.
    pub received: u64,
    /// When the receiver had read everything.
    pub completed: Option<Instant>,
    /// Why it came to nothing.
    pub failed: Option<SocketError>,
}

impl Bulk {
    /// A flow of this number, whose receiver listens.
    ///
    /// # Errors
    /// Where its receiver cannot listen.
    pub fn new(number: usize, plan: &FlowPlan, network: &mut Network, now: Instant) -> Result<Bulk, String> {
        let number = u16::try_from(number).map_err(|_| "too many flows")?;
        let options = SocketOptions { congestion: plan.congestion, ..SocketOptions::default() };
        let local = SocketAddr::new(address(plan.to), FIRST_PORT + number);
        let stack = network.stack(plan.to).ok_or("the receiver of a flow is no host")?;
        let listener = stack.tcp_listen(local, 1, options).map_err(|error| error.to_string())?;
        Ok(Bulk {
            ends: [plan.from, plan.to],
            number,
            options,
            start: now + plan.start,
            left: plan.octets.unwrap_or(u64::MAX),
            listener: Some(listener),
            sender: None,
            receiver: None,
            shut: false,
            readable: false,
            writable: false,
            buffer: vec![0; CHUNK],
            received: 0,
            completed: None,
            failed: None,
        })
    }

    /// It has finished or failed.
    pub fn is_over(&self) -> bool {
        self.completed.is_some() || self.failed.is_some()
    }

    /// When it begins, as long as it has not.
    pub fn next_start(&self) -> Option<Instant> {
        (self.sender.is_none() && !self.is_over()).then_some(self.start)
    }

    /// What can be seen of the sender.
    pub fn snapshot(&self, network: &mut Network) -> Option<Snapshot> {
        network.stack(self.ends[0])?.tcp_snapshot(self.sender?)
    }

    /// A stack says that something has happened to a socket of one of its ends.
    pub fn ready(&mut self, node: Node, ready: &Ready) {
        let is = |end: usize, handle: Option<TcpHandle>| {
            self.ends[end] == node && handle.is_some_and(|handle| ready.socket == SocketHandle::Tcp(handle))
        };
        let listens = self.listener.is_some_and(|listener| ready.socket == SocketHandle::Listener(listener));
        let edges = |of: Readiness| ready.edges.any(of.with(Readiness::ERROR));
        self.writable |= is(0, self.sender) && edges(Readiness::WRITABLE);
        self.readable |= self.ends[1] == node && listens
            || is(1, self.receiver) && edges(Readiness::READABLE.with(Readiness::READ_CLOSED));
    }

    /// Everything that its applications can do now; false if that is nothing.
    pub fn act(&mut self, network: &mut Network) -> bool {
        if self.is_over() {
            return false;
        }
        let begins = self.sender.is_none() && network.now() >= self.start;
        let acts = begins || self.writable || self.readable;
        if begins {
            self.connect(network);
        }
        if std::mem::take(&mut self.writable) {
            self.send(network);
        }
        if std::mem::take(&mut self.readable) {
            self.receive(network);
        }
        acts
    }

    fn connect(&mut self, network: &mut Network) {
        let now = network.now();
        let to = SocketAddr::new(address(self.ends[1]), FIRST_PORT + self.number);
        let from = SocketAddr::new(address(self.ends[0]), FIRST_SOURCE + self.number);
        let Some(stack) = network.stack(self.ends[0]) else { return };
        match stack.tcp_connect(now, Some(from), to, self.options) {
            Ok(handle) => self.sender = Some(handle),
            Err(error) => self.failed = Some(error),
        }
    }

    fn send(&mut self, network: &mut Network) {
        let now = network.now();
        let (Some(stack), Some(handle)) = (network.stack(self.ends[0]), self.sender) else { return };
        if self.shut {
            self.failed = stack.tcp_error(handle);
            return;
        }
        while self.left > 0 {
            let len = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
            match stack.tcp_send(now, handle, &TEXT[..len]) {
                Ok(sent) => self.left -= sent as u64,
                Err(SocketError::WouldBlock | SocketError::NotConnected) => return,
                Err(error) => {
                    self.failed = Some(error);
                    return;
                }
            }
        }
        self.shut = stack.tcp_shutdown(now, handle, Shutdown::Write).is_ok();
    }

    fn receive(&mut self, network: &mut Network) {
        let now = network.now();
        let Some(stack) = network.stack(self.ends[1]) else { return };
        if self.receiver.is_none() {
            let accepted = self.listener.and_then(|listener| stack.tcp_accept(listener).ok());
            self.receiver = accepted.map(|(handle, _)| handle);
        }
        let Some(handle) = self.receiver else { return };
        loop {
            match stack.tcp_receive(now, handle, &mut self.buffer) {
                Ok(0) => {
                    self.completed = Some(now);
                    stack.tcp_close(now, handle);
                    return;
                }
                Ok(read) => self.received += read as u64,
                Err(SocketError::WouldBlock) => return,
                Err(error) => {
                    self.failed = Some(error);
                    return;
                }
            }
        }
    }
}
