//! `glasstcp bench server --kernel`: echo, discard and characters over the kernel's sockets, in one event loop as
//! `glasstcp serve` has it, so that the two can be compared.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::args::{self, Server};
use super::network::{hint, socket};
use crate::cli::chargen::Pattern;
use crate::cli::signals::{self, Requests, Wanted};
use crate::cli::{Failure, say};

/// Octets per call.
const PIECE: usize = 256 * 1024;
/// Octets that a connection may move before others have their turn.
const BUDGET: usize = 1024 * 1024;
/// Reports per wait.
const EVENTS: usize = 1_024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;
/// Most connections at a time; those beyond are closed as soon as they are accepted.
const MAX_CONNECTIONS: usize = 1 << 18;
/// The token of the waker. Smaller ones are listeners, larger ones connections.
const WAKER: usize = 3;
const FIRST_CONNECTION: usize = WAKER + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Echo,
    Discard,
    Chargen,
}

const SERVICES: [(Service, u16); 3] =
    [(Service::Echo, args::ECHO), (Service::Discard, args::DISCARD), (Service::Chargen, args::CHARGEN)];

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The kernel has nothing for us and will say when that changes.
    Wait,
    /// The budget is spent; there may be more to do.
    More,
    Over,
}

struct Connection {
    stream: TcpStream,
    service: Service,
    /// Of the characters: the next octet.
    at: u64,
    /// Echo that the peer does not take yet, and how much of it was taken.
    out: Vec<u8>,
    sent: usize,
    /// It stands in the queue of those with more to do.
    queued: bool,
    /// The peer's end has arrived: no further report will tell of it, so everything up to it is read now.
    ended: bool,
}

/// Runs the command.
pub(super) fn run(args: &Server) -> Result<ExitCode, Failure> {
    let mut server = Loop::new()?;
    for (service, port) in SERVICES {
        let local = args.target.service(port);
        server
            .listen(local, service, args::congestion(&args.congestion))
            .map_err(|error| format!("cannot listen on {local}: {error}"))?;
    }
    let waker = Waker::new(server.poll.registry(), Token(WAKER))?;
    let requests = signals::watch(Wanted::End, move |_| {
        // It fails when the loop is gone, and then there is nobody to wake.
        let _ = waker.wake();
    })?;
    let ports = SERVICES.map(|(_, port)| args.target.service(port).to_string()).join(", ");
    say(&format!("glasstcp: the kernel serves echo, discard and characters on {ports}; Ctrl-C ends it"));
    server.run(&requests)?;
    Ok(ExitCode::SUCCESS)
}

struct Loop {
    poll: Poll,
    doors: Vec<(TcpListener, Service)>,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that are free.
    free: Vec<usize>,
    /// Connections with more to do.
    queue: VecDeque<usize>,
    /// A listener has connections for which there was no descriptor.
    starved: bool,
    buffer: Vec<u8>,
    pattern: Pattern,
}

impl Loop {
    fn new() -> io::Result<Loop> {
        Ok(Loop {
            poll: Poll::new()?,
            doors: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            starved: false,
            buffer: vec![0; PIECE],
            pattern: Pattern::new(PIECE),
        })
    }

    fn listen(&mut self, local: SocketAddr, service: Service, congestion: Option<&str>) -> io::Result<()> {
        // What is accepted inherits the congestion control.
        let socket = socket(local, congestion)?;
        socket.set_reuse_address(true)?;
        socket.bind(&local.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        self.poll.registry().register(&mut listener, Token(self.doors.len()), Interest::READABLE)?;
        self.doors.push((listener, service));
        Ok(())
    }

    fn run(&mut self, requests: &Requests) -> Result<(), Failure> {
        let mut events = Events::with_capacity(EVENTS);
        while requests.end().is_none() {
            let timeout = (!self.queue.is_empty()).then_some(std::time::Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token().0 {
                    WAKER => {}
                    door if door < WAKER => self.accept(door)?,
                    token => self.report(token - FIRST_CONNECTION, event.is_read_closed()),
                }
            }
            for _ in 0..self.queue.len() {
                let Some(place) = self.queue.pop_front() else { break };
                if let Some(connection) = self.connections[place].as_mut() {
                    connection.queued = false;
                }
                self.work(place);
            }
            if self.starved && !self.free.is_empty() {
                self.starved = false;
                (0..self.doors.len()).try_for_each(|door| self.accept(door))?;
            }
        }
        Ok(())
    }

    fn accept(&mut self, door: usize) -> Result<(), Failure> {
        loop {
            let (listener, service) = &self.doors[door];
            let (service, accepted) = (*service, listener.accept());
            match accepted {
                Ok((stream, _)) if self.connections.len() - self.free.len() < MAX_CONNECTIONS => {
                    // What fails here is that one connection.
                    let _ = self.welcome(stream, service);
                }
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ if error.raw_os_error() == Some(libc::EMFILE) => {
                        if !std::mem::replace(&mut self.starved, true) {
                            say(&format!("glasstcp: a connection has to wait: {error}{}", hint(&error)));
                        }
                        return Ok(());
                    }
                    _ => return Err(format!("cannot accept: {error}").into()),
                },
            }
        }
    }

    fn welcome(&mut self, mut stream: TcpStream, service: Service) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(FIRST_CONNECTION + place), interest) {
            self.free.push(place);
            return Err(error);
        }
        self.connections[place] =
            Some(Connection { stream, service, at: 0, out: Vec::new(), sent: 0, queued: false, ended: false });
        Ok(())
    }

    /// Something has happened to a connection.
    fn report(&mut self, place: usize, ended: bool) {
        if let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) {
            connection.ended |= ended;
            self.work(place);
        }
    }

    /// Gives a connection its turn.
    fn work(&mut self, place: usize) {
        let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else { return };
        let turn = match connection.service {
            Service::Echo => connection.echo(&mut self.buffer),
            Service::Discard => connection.discard(&mut self.buffer),
            Service::Chargen => connection.generate(&mut self.buffer, &self.pattern),
        };
        // An error is the peer's, and there is nobody to tell.
        match turn.unwrap_or(Turn::Over) {
            Turn::Wait => {}
            Turn::More if connection.queued => {}
            Turn::More => {
                connection.queued = true;
                self.queue.push_back(place);
            }
            Turn::Over => {
                // Dropping it closes it, which also ends its registration.
                self.connections[place] = None;
                self.free.push(place);
            }
        }
    }
}

impl Connection {
    fn discard(&mut self, buffer: &mut [u8]) -> io::Result<Turn> {
        let mut budget = BUDGET;
        while budget > 0 {
            match would_block(self.stream.read(buffer))? {
                None => return Ok(Turn::Wait),
                Some(0) => return self.finish(),
                // A short read has emptied the socket: asking again would only cost a call. New data is told.
                Some(count) if count < buffer.len() && !self.ended => return Ok(Turn::Wait),
                Some(count) => budget = budget.saturating_sub(count),
            }
        }
        Ok(Turn::More)
    }

    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<Turn> {
        let mut budget = BUDGET;
        while budget > 0 {
            while self.sent < self.out.len() {
                match would_block(self.stream.write(&self.out[self.sent..]))? {
                    None => return Ok(Turn::Wait),
                    Some(count) => self.sent += count,
                }
            }
            (self.out, self.sent) = (Vec::new(), 0);
            match would_block(self.stream.read(buffer))? {
                None => return Ok(Turn::Wait),
                Some(0) => return self.finish(),
                Some(count) => {
                    let taken = would_block(self.stream.write(&buffer[..count]))?.unwrap_or(0);
                    if taken < count {
                        self.out = buffer[taken..count].to_vec();
                    } else if count < buffer.len() && !self.ended {
                        return Ok(Turn::Wait);
                    }
                    budget = budget.saturating_sub(count);
                }
            }
        }
        Ok(Turn::More)
    }

    /// It goes on until the peer resets it, or closes while we can still see that.
    fn generate(&mut self, buffer: &mut [u8], pattern: &Pattern) -> io::Result<Turn> {
        let mut budget = BUDGET;
        while budget > 0 {
            match would_block(self.stream.write(pattern.from(self.at, PIECE)))? {
                None => {
                    // RFC 864: what the peer says is thrown away. Its reset shows as an error of either call.
                    return match would_block(self.stream.read(buffer))? {
                        None | Some(0) => Ok(Turn::Wait),
                        Some(_) => Ok(Turn::More),
                    };
                }
                Some(count) => {
                    self.at += count as u64;
                    budget = budget.saturating_sub(count);
                }
            }
        }
        Ok(Turn::More)
    }

    fn finish(&mut self) -> io::Result<Turn> {
        self.stream.shutdown(Shutdown::Write)?;
        Ok(Turn::Over)
    }
}

/// A call that would have had to wait answers `None`.
fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
