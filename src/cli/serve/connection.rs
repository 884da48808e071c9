//! One connection of a service: it is worked on when it is ready, and holds next to nothing when it is not.
//!
//! What the peer does not take is held back, at most one piece of it, and until it is gone nothing more is read: a slow
//! reader slows its own sending down and nobody else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use super::http::{Http, Site};
use super::view::{LIMIT, View};
use super::{json, page};
use crate::cli::chargen::Pattern;
use crate::counters::Counters;
use crate::net::{Interest, Net, TcpStream};

/// Octets read in one piece.
pub(super) const PIECE: usize = 64 * 1024;
/// Octets generated in one piece: a few super-segments, so that they leave whole.
const GENERATED: usize = 4 * PIECE;
/// Octets that a connection may move before others have their turn.
const BUDGET: usize = 512 * 1024;
/// What making a response takes from that, however short it is: it looks at many connections.
const RESPONSE: usize = 16 * 1024;
/// Octets thrown away after our last word before we stop listening.
const DRAIN: u32 = 256 * 1024;

/// What a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Echo,
    Discard,
    Chargen,
}

impl Kind {
    /// Its peers wait for answers. Those that only send or only receive lose nothing by waiting for full segments.
    pub(super) fn answers(self) -> bool {
        matches!(self, Kind::Http | Kind::Echo)
    }
}

#[derive(Debug)]
enum Service {
    /// What has been read of a request, if anything.
    Http(Option<Box<Http>>),
    Echo,
    Discard,
    /// The next octet of the stream.
    Chargen(u64),
}

/// What all connections share.
pub(super) struct Desk {
    /// One for each queue.
    pub(super) nets: Vec<Net>,
    pub(super) started: Instant,
    pub(super) buffer: Vec<u8>,
    pub(super) pattern: Pattern,
}

impl Desk {
    pub(super) fn new(nets: &[Net]) -> Desk {
        Desk { nets: nets.to_vec(), started: Instant::now(), buffer: vec![0; PIECE], pattern: Pattern::new(GENERATED) }
    }

    /// The stack as it is now, seen over `stream`, if it is seen over one.
    pub(super) fn view(&self, stream: Option<&TcpStream>) -> View {
        look(&self.nets, self.started, stream)
    }
}

fn look(nets: &[Net], started: Instant, stream: Option<&TcpStream>) -> View {
    let own = stream.and_then(|stream| stream.snapshot().ok());
    // Only those that are shown: with many connections, copying them all would hold up the stack for each page.
    let mut others = Vec::new();
    let (mut counters, mut connections) = (Counters::default(), 0);
    for net in nets {
        others.append(&mut net.snapshots(LIMIT + 1 - others.len()));
        counters.add(&net.counters());
        connections += net.table_sizes().1 as usize;
    }
    if let Some(own) = &own {
        others.retain(|other| (other.local, other.remote) != (own.local, own.remote));
    }
    others.truncate(LIMIT);
    let shown = others.len() + usize::from(own.is_some());
    let more = if others.len() < LIMIT { 0 } else { connections.saturating_sub(shown) };
    View { own, others, more, queues: nets.len(), counters, uptime: started.elapsed() }
}

/// The pages as one visitor sees them.
struct Visit<'a> {
    nets: &'a [Net],
    started: Instant,
    stream: &'a TcpStream,
}

impl Site for Visit<'_> {
    fn page(&mut self, refresh: u32) -> String {
        page::html(&look(self.nets, self.started, Some(self.stream)), refresh)
    }

    fn json(&mut self) -> String {
        json::json(&look(self.nets, self.started, Some(self.stream)))
    }
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is more to do once this is so.
    Wait(Interest),
    /// Our last word is said; what still comes is thrown away until the peer closes, for a while.
    Drain,
    /// Nothing is left to do.
    Over,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// What its registration says.
    pub(super) interest: Interest,
    service: Service,
    /// What is to be sent next.
    out: Vec<u8>,
    /// How much of it the stack has taken.
    sent: u32,
    /// The peer has closed its half.
    ended: bool,
    /// We have closed ours: so many octets more are thrown away.
    draining: Option<u32>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, kind: Kind) -> Connection {
        let (service, interest) = match kind {
            Kind::Http => (Service::Http(None), Interest::READABLE),
            Kind::Echo => (Service::Echo, Interest::READABLE),
            Kind::Discard => (Service::Discard, Interest::READABLE),
            Kind::Chargen => (Service::Chargen(0), Interest::READABLE | Interest::WRITABLE),
        };
        Connection { stream, interest, service, out: Vec::new(), sent: 0, ended: false, draining: None }
    }

    /// Does what can be done now. An error ends the connection; it is the peer's, and there is nobody to tell.
    pub(super) fn turn(&mut self, desk: &mut Desk) -> Turn {
        let result = match self.service {
            Service::Chargen(_) => self.generate(desk),
            _ => self.serve(desk),
        };
        result.unwrap_or(Turn::Over)
    }

    fn serve(&mut self, desk: &mut Desk) -> io::Result<Turn> {
        let mut budget = BUDGET;
        while budget > 0 {
            if self.draining.is_some() {
                return self.drain(desk);
            }
            if !self.unsent().is_empty() {
                let Some(taken) = would_block((&self.stream).write(self.unsent()))? else {
                    return Ok(Turn::Wait(Interest::WRITABLE));
                };
                self.sent += taken as u32;
                budget = budget.saturating_sub(taken);
                continue;
            }
            self.out = Vec::new();
            self.sent = 0;
            if let Service::Http(Some(http)) = &mut self.service {
                let mut visit = Visit { nets: &desk.nets, started: desk.started, stream: &self.stream };
                if http.respond(&mut visit, &mut self.out) {
                    budget = budget.saturating_sub(RESPONSE);
                    continue;
                }
                if http.is_over() {
                    return self.finish(desk);
                }
                if http.is_blank() {
                    self.service = Service::Http(None);
                }
            }
            if self.ended {
                return self.finish(desk);
            }
            let Some(len) = would_block((&self.stream).read(&mut desk.buffer))? else {
                return Ok(Turn::Wait(Interest::READABLE));
            };
            budget = budget.saturating_sub(len);
            self.take(&desk.buffer[..len])?;
            if (1..desk.buffer.len()).contains(&len)
                && self.unsent().is_empty()
                && !matches!(self.service, Service::Http(_))
            {
                // That was all; asking again would only be told so.
                return Ok(Turn::Wait(Interest::READABLE));
            }
        }
        // The rest with the next turn: readiness is told as long as it lasts. Requests that have been read already are told
        // of by nobody, so that a page whose turn is over waits for room and not for input.
        let holds_work = !self.unsent().is_empty() || matches!(self.service, Service::Http(Some(_)));
        Ok(Turn::Wait(if holds_work { Interest::WRITABLE } else { Interest::READABLE }))
    }

    /// What of `out` the stack has not taken.
    fn unsent(&self) -> &[u8] {
        &self.out[self.sent as usize..]
    }

    /// Input; nothing is the end of it.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ended = bytes.is_empty();
        match &mut self.service {
            Service::Http(http) if bytes.is_empty() => http.get_or_insert_default().end_of_input(),
            Service::Http(http) => http.get_or_insert_default().feed(bytes),
            Service::Echo if bytes.is_empty() => {}
            Service::Echo => {
                let taken = would_block((&self.stream).write(bytes))?.unwrap_or(0);
                self.out.extend_from_slice(&bytes[taken..]);
            }
            Service::Discard | Service::Chargen(_) => {}
        }
        Ok(())
    }

    /// Closes our half after the last word.
    fn finish(&mut self, desk: &mut Desk) -> io::Result<Turn> {
        self.stream.shutdown(Shutdown::Write)?;
        if self.ended {
            return Ok(Turn::Over);
        }
        // Closing with unread data would answer with a RST, which may overtake the last word at the peer.
        self.draining = Some(DRAIN);
        match self.drain(desk)? {
            Turn::Wait(_) => Ok(Turn::Drain),
            turn => Ok(turn),
        }
    }

    fn drain(&mut self, desk: &mut Desk) -> io::Result<Turn> {
        while let Some(left) = self.draining.filter(|left| *left > 0) {
            match would_block((&self.stream).read(&mut desk.buffer))? {
                None => return Ok(Turn::Wait(Interest::READABLE)),
                Some(0) => break,
                Some(len) => self.draining = Some(left.saturating_sub(len as u32)),
            }
        }
        Ok(Turn::Over)
    }

    /// The character generator: it goes on when the peer has closed its half, until it closes the other.
    fn generate(&mut self, desk: &mut Desk) -> io::Result<Turn> {
        let Service::Chargen(at) = &mut self.service else { return Ok(Turn::Over) };
        let mut budget = BUDGET;
        while budget > 0 {
            if !self.ended {
                // RFC 864: what the peer says is thrown away.
                let read = would_block((&self.stream).read(&mut desk.buffer))?;
                self.ended = read == Some(0);
                budget = budget.saturating_sub(read.unwrap_or(0));
            }
            let Some(taken) = would_block((&self.stream).write(desk.pattern.from(*at, GENERATED)))? else { break };
            *at += taken as u64;
            budget = budget.saturating_sub(taken);
        }
        Ok(Turn::Wait(if self.ended { Interest::WRITABLE } else { Interest::READABLE | Interest::WRITABLE }))
    }

    /// Closes with FIN, whatever was going on: what has arrived is thrown away, as a close with unread data is a RST.
    pub(super) fn close(mut self, desk: &mut Desk) {
        let _ = self.stream.set_nonblocking(true);
        let _ = self.stream.shutdown(Shutdown::Write);
        self.draining = Some(DRAIN);
        let _ = self.drain(desk);
    }
}

/// A call that would have had to wait answers `None`.
fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be hundreds of thousands that do nothing.
    #[test]
    fn a_connection_of_a_service_is_small() {
        assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    }
}
