//! What a file descriptor stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::calls::Domain;
use super::errno::{Answer, Errno};
use super::notices::Notices;
use super::send_memory::SendMemory;
use super::shut_device::Waiting;
use super::watch::Watch;
use crate::ip::bind::BindOptions;
use crate::stack::{ListenerHandle, SocketHandle, TcpHandle, UdpHandle};
use crate::tcp::config::SocketOptions;

/// The number of a descriptor.
pub type Fd = i32;

/// Where the numbers of descriptors come from: a program that looks at them from outside wants those of the system.
pub trait Numbers: Send {
    /// A number that is not in use.
    ///
    /// # Errors
    /// `EMFILE` when there is none.
    fn open(&mut self) -> Answer<Fd>;
    /// The number is free again.
    fn close(&mut self, fd: Fd);
}

/// The lowest number that is free, from 3 on, as after a program's start.
#[derive(Debug, Default)]
pub struct LowestFree {
    used: BTreeSet<Fd>,
}

impl Numbers for LowestFree {
    fn open(&mut self) -> Answer<Fd> {
        let fd = (3..Fd::MAX).find(|fd| !self.used.contains(fd)).ok_or(Errno::EMFILE)?;
        self.used.insert(fd);
        Ok(fd)
    }

    fn close(&mut self, fd: Fd) {
        self.used.remove(&fd);
    }
}

/// The socket behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// TCP, neither listening nor connected yet.
    Fresh,
    /// Listening.
    Listener(ListenerHandle),
    /// A connection.
    Tcp(TcpHandle),
    /// UDP.
    Udp(UdpHandle),
}

impl Socket {
    /// As the stack names it.
    pub fn handle(self) -> Option<SocketHandle> {
        match self {
            Socket::Fresh => None,
            Socket::Listener(handle) => Some(SocketHandle::Listener(handle)),
            Socket::Tcp(handle) => Some(SocketHandle::Tcp(handle)),
            Socket::Udp(handle) => Some(SocketHandle::Udp(handle)),
        }
    }
}

/// A descriptor of a socket.
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    /// The socket.
    pub socket: Socket,
    /// Its family.
    pub domain: Domain,
    /// `O_NONBLOCK`.
    pub nonblocking: bool,
    /// `F_SETFD`.
    pub flags: i32,
    /// Where it was bound.
    pub local: Option<SocketAddr>,
    /// How it is bound.
    pub bind: BindOptions,
    /// What a connection or listener of it starts with.
    pub options: SocketOptions,
    /// Options of which the stack takes no notice, by level and name, as they were set.
    pub noted: BTreeMap<(i32, i32), Vec<u8>>,
    /// The limit of its send buffer.
    pub send_memory: SendMemory,
    /// Figures.
    pub watch: Watch,
    /// The error queue.
    pub notices: Notices,
    /// Its text waits for a device that takes nothing.
    pub waiting: Option<Waiting>,
    /// The last urgent octet, taken out of the stream.
    pub urgent: Option<u8>,
    /// The error of the connection has been told.
    pub error_told: bool,
    /// The application knows that it is connected.
    pub connected_told: bool,
    /// The way in was shut down by the application.
    pub read_shut: bool,
    /// To whom it connects as soon as something is written.
    pub put_off: Option<SocketAddr>,
    /// Octets that left with the SYN of a write that waits for its connection.
    pub in_syn: Option<usize>,
}

impl Descriptor {
    /// Of a new socket.
    pub fn new(socket: Socket, domain: Domain, options: SocketOptions) -> Descriptor {
        Descriptor {
            socket,
            domain,
            nonblocking: false,
            flags: 0,
            local: None,
            bind: BindOptions::default(),
            options,
            noted: BTreeMap::new(),
            send_memory: SendMemory::default(),
            watch: Watch::default(),
            notices: Notices::default(),
            waiting: None,
            urgent: None,
            error_told: false,
            connected_told: false,
            read_shut: false,
            put_off: None,
            in_syn: None,
        }
    }
}
