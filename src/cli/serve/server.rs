//! The event loop of `glasstcp serve`: one for each queue of the TUN. Loops share nothing but what they show.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::iter;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::connection::{Connection, Desk, Kind, Turn};
use super::datagrams::{Front, Service};
use crate::cli::open::Opened;
use crate::cli::signals::Requests;
use crate::cli::{Failure, say};
use crate::net::{
    Events, Interest, ListenFastOpen, ListenOptions, Net, Poller, TcpListener, Token, Trigger, UdpSocket, Waker,
};
use crate::stack::slab::{Slab, SlabKey};
use crate::tcp::config::SocketOptions;

/// The token of the waker. Those of the sockets that stay follow it downwards, and from 0 on are those of connections: their
/// keys, of which none has so large an index.
const WAKER: usize = usize::MAX;
/// Sockets that stay.
const MAX_DOORS: usize = 1 << 16;
/// Reports per wait.
const EVENTS: usize = 1_024;
/// Connections accepted, or datagrams echoed, before others have their turn.
const BATCH: usize = 64;
/// Most connections at a time; those beyond are closed as soon as they are accepted.
const MAX_CONNECTIONS: u32 = 1 << 18;
/// Connections that may wait to be accepted when the server closes; others are reset.
const WAITING: usize = BACKLOG as usize;
/// Connections that may wait to be accepted, or be half open, at each port.
const BACKLOG: u32 = 4_096;
/// Of these, connections by Fast Open whose handshake is not over.
const FAST_OPENS: u32 = 256;
/// How long a peer may take to close after our last word.
const DRAIN: Duration = Duration::from_secs(2);
/// How often it is checked whether the TUN is up.
const CHECK: Duration = Duration::from_millis(500);
/// Idle time after which a peer is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// Sockets that stay.
enum Door {
    Listener(TcpListener, Kind),
    Datagrams(UdpSocket, Service),
}

/// The server: one thread for all connections.
pub(super) struct Server<'a> {
    opened: &'a Opened,
    net: &'a Net,
    poller: Poller,
    desk: Desk,
    front: Front,
    doors: Vec<Door>,
    connections: Slab<Connection>,
    /// Connections that wait for the peer's close, and until when, the earliest first. Some are gone already.
    draining: VecDeque<(Instant, SlabKey)>,
    state: Device,
    /// The services of TCP take Fast Open.
    fast_open: bool,
    /// When to look again whether the TUN is up, if there is one.
    next_check: Option<Instant>,
}

/// Whether packets can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    New,
    /// It is down, which was said.
    Awaited,
    Up,
}

impl<'a> Server<'a> {
    /// The server of one queue.
    pub(super) fn new(opened: &'a Opened, queue: usize, front: Front, fast_open: bool) -> Result<Server<'a>, Failure> {
        let net = &opened.nets[queue];
        Ok(Server {
            opened,
            net,
            poller: Poller::new(net)?,
            desk: Desk::new(&opened.nets),
            front,
            doors: Vec::new(),
            connections: Slab::with_limit(MAX_CONNECTIONS),
            draining: VecDeque::new(),
            state: Device::New,
            fast_open,
            // One says it for all.
            next_check: (queue == 0 && opened.may_go_down()).then(Instant::now),
        })
    }

    /// What ends a wait of the loop.
    pub(super) fn waker(&self) -> Waker {
        self.poller.waker(Token(WAKER))
    }

    /// Offers a service of TCP.
    pub(super) fn listen(&mut self, local: SocketAddr, kind: Kind) -> Result<(), Failure> {
        // Of the listener, so that its connections share them.
        let options = SocketOptions {
            nodelay: kind.answers(),
            keep_alive: true,
            keep_alive_idle: KEEP_ALIVE,
            ..self.net.config().tcp.socket
        };
        let fast_open = self.fast_open.then(|| ListenFastOpen::new(FAST_OPENS));
        let options = ListenOptions { backlog: BACKLOG, socket: options, fast_open, ..ListenOptions::default() };
        let listener = self.net.listen(local, &options);
        let listener = listener.map_err(|error| format!("cannot listen on {local}: {error}"))?;
        listener.set_nonblocking(true)?;
        self.poller.register(&listener, Token(door_token(self.doors.len())), Interest::READABLE, Trigger::Level)?;
        self.doors.push(Door::Listener(listener, kind));
        Ok(())
    }

    /// Offers a service of UDP.
    pub(super) fn answer_datagrams(&mut self, local: SocketAddr, service: Service) -> Result<(), Failure> {
        let socket = self.net.bind_udp(local).map_err(|error| format!("cannot bind UDP {local}: {error}"))?;
        socket.set_nonblocking(true)?;
        self.poller.register(&socket, Token(door_token(self.doors.len())), Interest::READABLE, Trigger::Level)?;
        // What came in one piece goes back in one.
        socket.set_gro(service == Service::Echo)?;
        self.doors.push(Door::Datagrams(socket, service));
        Ok(())
    }

    /// Serves until a signal asks to end, or until the device is gone.
    pub(super) fn run(&mut self, requests: &Requests) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS);
        while requests.end().is_none() {
            // By whichever server wakes first: each sees all.
            if requests.take_dump() {
                say(&self.desk.view(None).dump());
            }
            self.check_device()?;
            self.end_drained();
            let timeout = self.timeout();
            self.poller.wait(&mut events, timeout).map_err(|error| self.opened.explain(error))?;
            for event in &events {
                match event.token().0 {
                    WAKER => {}
                    token if token >= WAKER - MAX_DOORS => self.answer(WAKER - 1 - token)?,
                    token => self.work(SlabKey::from_bits(token as u64)),
                }
            }
        }
        Ok(())
    }

    /// Closes everything with FIN, also what nobody has accepted yet: the end of a listener would reset it.
    pub(super) fn close(mut self) {
        for door in &self.doors {
            let Door::Listener(listener, kind) = door else { continue };
            for (stream, _) in iter::from_fn(|| listener.accept().ok()).take(WAITING) {
                Connection::new(stream, *kind).close(&mut self.desk);
            }
        }
        self.doors.clear();
        for connection in self.connections.drain() {
            connection.close(&mut self.desk);
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let drained = self.draining.front().map(|(until, _)| *until);
        let next = [drained, self.next_check].into_iter().flatten().min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    /// A TUN that was just made is down, and is waited for; one that goes down later is an error.
    fn check_device(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.next_check.is_none_or(|next| now < next) {
            return Ok(());
        }
        self.next_check = Some(now + CHECK);
        let up = self.opened.is_up().map_err(|error| self.opened.explain(error))?;
        match (self.state, up) {
            (Device::New, false) => {
                say(&format!("glasstcp: {}", self.opened.how_to_bring_up()));
                self.state = Device::Awaited;
            }
            (Device::Awaited, true) => {
                say("glasstcp: it is up now");
                self.state = Device::Up;
            }
            (Device::Up, false) => return Err(format!("the TUN went down: {}", self.opened.how_to_bring_up()).into()),
            (_, true) => self.state = Device::Up,
            (Device::Awaited, false) => {}
        }
        Ok(())
    }

    /// Somebody is at a listener or a UDP socket.
    fn answer(&mut self, door: usize) -> Result<(), Failure> {
        for _ in 0..BATCH {
            let result = match &self.doors[door] {
                Door::Listener(listener, kind) => match listener.accept() {
                    Ok((stream, _)) => Ok(Some((stream, *kind))),
                    Err(error) => Err(error),
                },
                Door::Datagrams(socket, service) => {
                    self.front.answer(socket, *service, &mut self.desk.buffer).map(|()| None)
                }
            };
            match result {
                Ok(Some((stream, kind))) if !self.connections.is_full() => {
                    // What fails here is that one connection, which is over then.
                    let _ = self.welcome(Connection::new(stream, kind));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.opened.explain(error).into()),
            }
        }
        Ok(())
    }

    fn welcome(&mut self, connection: Connection) -> io::Result<()> {
        connection.stream.set_nonblocking(true)?;
        let Some(key) = self.connections.insert(connection) else { return Ok(()) };
        let Some(Connection { stream, interest, .. }) = self.connections.get(key) else { return Ok(()) };
        let registered = self.poller.register(stream, token(key), *interest, Trigger::Level);
        if registered.is_err() {
            self.connections.remove(key);
        }
        registered
    }

    /// A connection is ready.
    fn work(&mut self, key: SlabKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let interest = match connection.turn(&mut self.desk) {
            Turn::Wait(interest) => interest,
            Turn::Drain => {
                self.draining.push_back((Instant::now() + DRAIN, key));
                Interest::READABLE
            }
            Turn::Over => {
                self.connections.remove(key);
                return;
            }
        };
        if interest == connection.interest {
            return;
        }
        connection.interest = interest;
        if self.poller.reregister(&connection.stream, token(key), interest, Trigger::Level).is_err() {
            self.connections.remove(key);
        }
    }

    /// Ends the connections whose peers took too long to close.
    fn end_drained(&mut self) {
        let now = Instant::now();
        while let Some(&(_, key)) = self.draining.front().filter(|(until, _)| *until <= now) {
            self.draining.pop_front();
            self.connections.remove(key);
        }
    }
}

/// The token of a socket that stays.
fn door_token(door: usize) -> usize {
    WAKER - 1 - door
}

/// The token of a connection: a report that comes late never means another one in the same place.
fn token(key: SlabKey) -> Token {
    const { assert!(usize::BITS >= 64, "a key is 64 bits long") };
    Token(key.to_bits() as usize)
}
