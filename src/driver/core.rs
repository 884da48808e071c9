//! What the lock of a shard protects: the stack, who waits for which socket, and how it ended.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use super::bell::Bell;
use super::eager::Eagerness;
use super::role::Role;
use super::siblings::{Inbox, Unsettled};
use super::watch::{PollerId, Registration, Watches};
use crate::buffer::PIECES;
use crate::device::Device;
use crate::error::SocketError;
use crate::stack::{Progress, Readiness, SocketHandle, Stack, WouldBlock};
use crate::time::Instant;

/// Device writes under one hold of the lock.
pub const TRANSMIT_BUDGET: usize = 16;

/// Why nothing moves any more.
#[derive(Clone, Debug)]
pub struct End {
    /// The kind of the device's error.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub text: String,
    /// By the owner's wish, not by a failure.
    pub closed: bool,
}

impl End {
    /// What every call is told.
    pub fn error(&self) -> io::Error {
        io::Error::new(ErrorKind::NetworkDown, self.text.clone())
    }
}

/// Everything behind the lock of a shard.
#[derive(Debug)]
pub struct Core {
    /// The protocols.
    pub stack: Stack,
    /// Who waits for what.
    pub watches: Watches,
    /// Who drives, and what that one sleeps on.
    pub role: Role,
    /// When somebody last looked what the device has.
    pub received: Instant,
    /// Whether asking the device before sleeping on it has paid.
    pub eagerness: Eagerness,
    /// The driver is in the middle of a batch of packets: it sends when it is through.
    pub in_batch: bool,
    /// Packets that came to siblings and are for this stack.
    pub inbox: Inbox,
    /// Datagrams reassembled from such packets that this stack does not know.
    pub unsettled: Vec<Unsettled>,
    /// Rung after each turn of the driver while somebody waits for connections to finish.
    pub turned: Arc<Bell>,
    /// How many threads wait for connections to finish.
    pub finishing: usize,
    /// Nothing new may begin.
    pub closing: bool,
    end: Option<End>,
    /// UDP sockets that found the queue of outgoing packets full.
    starved: Vec<SocketHandle>,
}

impl Core {
    /// Around a stack, with nobody waiting.
    pub fn new(stack: Stack) -> Core {
        Core {
            stack,
            watches: Watches::default(),
            role: Role::new(),
            received: Instant::ZERO,
            eagerness: Eagerness::default(),
            in_batch: false,
            inbox: Inbox::default(),
            unsettled: Vec::new(),
            turned: Arc::default(),
            finishing: 0,
            closing: false,
            end: None,
            starved: Vec::new(),
        }
    }

    /// Why nothing moves any more, if so.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Fails once the device is gone or the network was closed.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn check(&self) -> io::Result<()> {
        match &self.end {
            Some(end) => Err(end.error()),
            None if self.closing => Err(io::Error::new(ErrorKind::NetworkDown, "the network is being closed")),
            None => Ok(()),
        }
    }

    /// As [`Core::check`], for calls on sockets; [`Core::explain`] gives the reason.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn usable(&self) -> Result<(), SocketError> {
        if self.end.is_some() || self.closing { Err(SocketError::NetworkDown) } else { Ok(()) }
    }

    /// There is something of which the siblings may know.
    pub fn has_strays(&self) -> bool {
        self.stack.has_strays() || !self.unsettled.is_empty()
    }

    /// Ends everything: whoever waits is told. The first reason counts.
    pub fn finish(&mut self, end: End) {
        if self.end.is_none() {
            if !end.closed {
                tracing::warn!(target: "glasstcp::driver", kind = ?end.kind, "{}", end.text);
            }
            self.end = Some(end);
        }
        self.watches.wake_everybody();
        self.turned.ring();
    }

    /// Sends what is due, at most `budget` packets. An error of the device ends everything.
    pub fn transmit(&mut self, device: &dyn Device, now: Instant, budget: usize) -> Progress {
        if self.end.is_some() || self.stack.is_quiet() {
            return Progress::Idle;
        }
        let (mut failure, mut too_big) = (None, false);
        let progress = self.stack.transmit(now, budget, |transmit| {
            let mut pieces = [IoSlice::new(transmit.header); 1 + PIECES];
            let mut used = 1;
            for piece in transmit.payload.iter().filter(|piece| !piece.is_empty()) {
                pieces[used] = IoSlice::new(piece);
                used += 1;
            }
            let sent = match transmit.note {
                None => device.transmit(&pieces[..used], &transmit.meta),
                Some(note) => device.transmit_noted(&pieces[..used], &transmit.meta, note),
            };
            sent.map_err(|error| {
                // Memory for a packet beyond 64 KiB may be missing for long where that for shorter ones is there.
                too_big |= transmit.len() > usize::from(u16::MAX);
                if error.kind() != ErrorKind::WouldBlock {
                    failure = Some(error);
                }
                WouldBlock
            })
        });
        if too_big {
            self.stack.set_big_packets(0);
        }
        if let Some(error) = failure {
            self.device_failed(device, &error);
            return Progress::Idle;
        }
        self.feed_starved();
        progress
    }

    /// Tells a device that records what passes what became of the packet that came from it last.
    pub fn pass_note(&mut self, device: &dyn Device) {
        if let Some(note) = self.stack.take_note() {
            device.note_received(&note);
        }
    }

    /// The device said that it is gone.
    pub fn device_failed(&mut self, device: &dyn Device, error: &io::Error) {
        let text = format!("the device {} is gone: {error}", device.name());
        self.finish(End { kind: error.kind(), text, closed: false });
    }

    /// Tells those who wait what has happened to their sockets.
    pub fn dispatch(&mut self) {
        while let Some(ready) = self.stack.poll_ready() {
            self.watches.raise(ready.socket, ready.edges);
        }
    }

    /// As [`Core::dispatch`], for what the stack does not report because the application did it.
    pub fn raise(&mut self, socket: SocketHandle, edges: Readiness) {
        self.watches.raise(socket, edges);
    }

    /// Takes note of a socket that waits for room which it does not make itself: in the queue of outgoing packets, or in
    /// the memory that all connections share.
    pub fn starve(&mut self, socket: SocketHandle) {
        match socket {
            SocketHandle::Tcp(handle) => self.stack.tcp_await_memory(handle),
            _ if self.starved.contains(&socket) => {}
            _ => self.starved.push(socket),
        }
    }

    fn feed_starved(&mut self) {
        if self.starved.is_empty() {
            return;
        }
        let mut starved = std::mem::take(&mut self.starved);
        starved.retain(|&socket| {
            let ready = self.stack.readiness(socket).any(Readiness::WRITABLE.with(Readiness::ERROR));
            if ready {
                self.watches.raise(socket, Readiness::WRITABLE);
            }
            !ready
        });
        self.starved.append(&mut starved);
    }

    /// Takes the role of the driver for a moment in which nothing is waited for.
    pub fn take_role(&mut self) -> bool {
        self.role.take(&self.turned)
    }

    /// Registers a socket with a poller; see [`Watches::register`].
    pub fn register(&mut self, id: PollerId, socket: SocketHandle, registration: Registration, change: bool) -> bool {
        let registered = self.watches.register(&self.stack, id, socket, registration, change);
        let wants_room = registration.interest.any(Readiness::WRITABLE);
        if registered && wants_room && !self.stack.readiness(socket).any(Readiness::WRITABLE) {
            self.starve(socket);
        }
        registered
    }

    /// Forgets who waited for a socket that no longer exists.
    pub fn forget(&mut self, socket: SocketHandle) {
        self.watches.forget(socket);
        self.starved.retain(|&other| other != socket);
    }

    /// What threads listen to that wait for this socket.
    pub fn bell(&mut self, socket: SocketHandle) -> Arc<Bell> {
        self.watches.bell(socket)
    }

    /// An error of the stack as the application sees it: with the reason where everything has ended.
    pub fn explain(&self, error: SocketError) -> io::Error {
        match (&self.end, error) {
            (Some(end), SocketError::WouldBlock | SocketError::BadHandle | SocketError::NetworkDown) => end.error(),
            (None, SocketError::BadHandle | SocketError::NetworkDown) => self.check().err().unwrap_or(error.into()),
            _ => error.into(),
        }
    }
}
