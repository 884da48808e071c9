//! [`Poller`]: one thread that waits for many sockets.
//!
//! ```no_run
//! use glasstcp::net::{Events, Interest, Net, Poller, TcpListener, Token, Trigger};
//! # fn run(net: &Net, listener: &TcpListener) -> std::io::Result<()> {
//! let poller = Poller::new(net)?;
//! poller.register(listener, Token(0), Interest::READABLE, Trigger::Level)?;
//! let mut events = Events::with_capacity(256);
//! loop {
//!     poller.wait(&mut events, None)?;
//!     for event in &events {
//!         println!("{:?} is readable: {}", event.token(), event.is_readable());
//!     }
//! }
//! # }
//! ```

use std::io::{self, ErrorKind};
use std::ops::{Add, BitOr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::handle::Owner;
use super::{Net, Pinger, TcpListener, TcpStream, UdpSocket};
use crate::driver::{Patience, PollerId, Registration, Report, Shard};
use crate::stack::{Readiness, SocketHandle};

/// The application's name for a registration or a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub usize);

/// What a registration wants to hear of. Errors are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interest(Readiness);

impl Interest {
    /// Reading or accepting would not block, the end of the stream included.
    pub const READABLE: Interest = Interest(Readiness::READABLE.with(Readiness::READ_CLOSED).with(Readiness::URGENT));
    /// Writing would not block: the connection is open and has room, or has failed.
    pub const WRITABLE: Interest = Interest(Readiness::WRITABLE);

    /// Both.
    #[must_use]
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0.with(other.0))
    }
}

impl Add for Interest {
    type Output = Interest;

    fn add(self, other: Interest) -> Interest {
        Interest(self.0.with(other.0))
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0.with(other.0))
    }
}

/// When a registration is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// By each wait, as long as it is ready.
    Level,
    /// Once each time that something happens, and at its registration if it is ready then. Read, write or accept until
    /// `WouldBlock` before waiting again.
    Edge,
}

mod sealed {
    use super::{Arc, Owner, SocketHandle};

    pub trait Sealed {
        fn source(&self) -> (&Arc<Owner>, SocketHandle);
    }
}

/// What can be registered: [`TcpStream`], [`TcpListener`], [`UdpSocket`], [`Pinger`].
pub trait Source: sealed::Sealed {}

macro_rules! source {
    ($($name:ty),*) => {
        $(
            impl sealed::Sealed for $name {
                fn source(&self) -> (&Arc<Owner>, SocketHandle) {
                    (self.owner(), self.socket())
                }
            }

            impl Source for $name {}
        )*
    };
}

source!(TcpStream, TcpListener, UdpSocket, Pinger);

/// One report of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event(Report);

impl Event {
    /// Whose report it is.
    pub fn token(&self) -> Token {
        Token(self.0.token)
    }

    /// Reading or accepting would not block.
    pub fn is_readable(&self) -> bool {
        self.0.readiness.any(Readiness::READABLE)
    }

    /// Writing would not block.
    pub fn is_writable(&self) -> bool {
        self.0.readiness.any(Readiness::WRITABLE)
    }

    /// The connection has ended in an error, which the next call tells.
    pub fn is_error(&self) -> bool {
        self.0.readiness.any(Readiness::ERROR)
    }

    /// The peer has closed its sending side, or the connection is over: after what is still there, reading finds the end.
    pub fn is_read_closed(&self) -> bool {
        self.0.readiness.any(Readiness::READ_CLOSED)
    }

    /// Urgent data is announced.
    pub fn is_urgent(&self) -> bool {
        self.0.readiness.any(Readiness::URGENT)
    }
}

/// Where a wait puts its reports.
#[derive(Debug)]
pub struct Events {
    reports: Vec<Report>,
    most: usize,
}

impl Events {
    /// Room for `capacity` reports per wait, at least one. What does not fit comes with the next wait.
    pub fn with_capacity(capacity: usize) -> Events {
        Events { reports: Vec::new(), most: capacity.max(1) }
    }

    /// The reports of the last wait.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.reports.iter().copied().map(Event)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.reports.len()
    }

    /// There are none: the wait ended by its timeout.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = Event;
    type IntoIter = std::iter::Map<std::iter::Copied<std::slice::Iter<'a, Report>>, fn(Report) -> Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.reports.iter().copied().map(Event)
    }
}

/// Waits for many sockets at once; see the module's text. A wait costs what is ready, not what is registered.
///
/// Closing a socket ends its registration.
#[derive(Debug)]
pub struct Poller {
    net: Net,
    id: PollerId,
}

impl Poller {
    /// A poller for the sockets of this network, without registrations.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn new(net: &Net) -> io::Result<Poller> {
        let mut core = net.shard().lock();
        core.check()?;
        let id = core.watches.add_poller();
        drop(core);
        Ok(Poller { net: net.clone(), id })
    }

    /// Registers a socket. If it is ready already, the next wait says so.
    ///
    /// # Errors
    /// `AlreadyExists` when it is registered here, `InvalidInput` for a socket of another network, `NetworkDown`.
    pub fn register<S: Source>(
        &self,
        source: &S,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.set(source, token, interest, trigger, false)
    }

    /// Changes a registration. If the socket is ready, the next wait says so, also by edge.
    ///
    /// # Errors
    /// `NotFound` when it is not registered here, else those of [`Poller::register`].
    pub fn reregister<S: Source>(
        &self,
        source: &S,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.set(source, token, interest, trigger, true)
    }

    fn set<S: Source>(
        &self,
        source: &S,
        token: Token,
        interest: Interest,
        trigger: Trigger,
        change: bool,
    ) -> io::Result<()> {
        let (owner, socket) = source.source();
        self.net.same_net(owner)?;
        let registration = Registration::new(token.0, interest.0, trigger == Trigger::Edge);
        let shard = self.net.shard();
        let mut core = shard.lock();
        core.check()?;
        if core.register(self.id, socket, registration, change) {
            shard.nudge(&mut core);
            return Ok(());
        }
        Err(if change { ErrorKind::NotFound.into() } else { ErrorKind::AlreadyExists.into() })
    }

    /// Ends a registration.
    ///
    /// # Errors
    /// `NotFound` when it is not registered here.
    pub fn deregister<S: Source>(&self, source: &S) -> io::Result<()> {
        let (owner, socket) = source.source();
        self.net.same_net(owner)?;
        let done = self.net.shard().lock().watches.deregister(self.id, socket);
        if done { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    /// Waits until something is ready, at most for `timeout` (`None`: for ever). The answer is how many reports there are;
    /// 0 after the timeout.
    ///
    /// # Errors
    /// `NetworkDown` once the device is gone or the network was closed.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.reports.clear();
        let patience = match timeout {
            Some(Duration::ZERO) => Patience::None,
            timeout => Patience::of(timeout),
        };
        self.net.shard().wait_ready(self.id, events.most, patience, &mut events.reports)?;
        Ok(events.reports.len())
    }

    /// Something with which any thread can end a wait: the wait reports `token`, with nothing ready.
    pub fn waker(&self, token: Token) -> Waker {
        Waker { shard: Arc::downgrade(&self.net.owner.shard), id: self.id, token }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.net.shard().lock().watches.remove_poller(self.id);
    }
}

/// Ends a wait of its [`Poller`] from any thread. It does not keep the network alive.
#[derive(Clone, Debug)]
pub struct Waker {
    shard: Weak<Shard>,
    id: PollerId,
    token: Token,
}

impl Waker {
    /// Ends the wait that is going on, or the next one. Several before a wait count as one.
    ///
    /// # Errors
    /// `NotConnected` when the poller is gone.
    pub fn wake(&self) -> io::Result<()> {
        let woken = self.shard.upgrade().is_some_and(|shard| {
            let mut core = shard.lock();
            let woken = core.watches.wake(self.id, self.token.0);
            shard.nudge(&mut core);
            woken
        });
        if woken { Ok(()) } else { Err(io::Error::new(ErrorKind::NotConnected, "the poller is gone")) }
    }
}
