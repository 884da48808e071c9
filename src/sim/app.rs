//! An application of the simulator: one end of one connection, that writes, reads, pauses and closes as its plan says.
//!
//! It acts on edges alone, as a program on an edge-triggered poller does: a wakeup that the stack forgets is a stall that
//! the simulation finds.

use std::net::Shutdown;
use std::time::Duration;

use super::invariant::{Pair, stream_octet};
use super::{Side, World};
use crate::error::SocketError;
use crate::rng::KeyedRng;
use crate::stack::{Readiness, TcpHandle};

use crate::time::Instant;

/// How an application ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It closes its sending side when it has written everything, reads on to the end of the stream, and closes.
    HalfClose,
    /// It closes as soon as it has written everything and read all that will come, without waiting for the peer's FIN.
    Close,
    /// It closes its sending side after the end of the peer's stream. Not for both ends.
    AfterPeer,
    /// It aborts once it has written and read this many octets together.
    Abort(u64),
    /// It closes with a linger of zero at that point.
    Linger(u64),
    /// It closes at that point, whether there is unread data or not.
    Drop(u64),
}

impl Ending {
    /// May lead to a reset.
    pub fn resets(self) -> bool {
        matches!(self, Ending::Abort(_) | Ending::Linger(_) | Ending::Drop(_))
    }
}

/// What an application does.
#[derive(Clone, Copy, Debug)]
pub struct AppPlan {
    /// Octets to write.
    pub send: u64,
    /// Octets that the peer will write.
    pub expect: u64,
    /// Octets per write, at most.
    pub write_size: usize,
    /// Chance in a million that it pauses after a write, and for how long at most.
    pub write_pause: (u32, Duration),
    /// Octets per read, at most.
    pub read_size: usize,
    /// Chance in a million that it pauses after a read, and for how long at most.
    pub read_pause: (u32, Duration),
    /// It takes this long before it first reads.
    pub read_after: Duration,
    /// The writes go to the network one by one.
    pub flush: bool,
    /// It takes the cork off and puts it back now and then.
    pub uncork: bool,
    /// How it ends.
    pub ending: Ending,
}

/// One end of one connection.
#[derive(Debug)]
pub struct App {
    /// Where it runs.
    pub side: Side,
    /// Which connection it is.
    pub pair: Pair,
    /// Its plan.
    pub plan: AppPlan,
    /// The connection, once there is one.
    pub handle: Option<TcpHandle>,
    /// Octets written.
    pub written: u64,
    /// Octets read.
    pub read: u64,
    /// It has seen the end of the peer's stream.
    pub eof: bool,
    /// It has closed its sending side.
    pub shut: bool,
    /// It has let go of the connection.
    pub closed: bool,
    /// How the connection failed.
    pub error: Option<SocketError>,
    /// When it last got anything done.
    pub progress: Instant,
    /// Whatever happens, it lets go at this time.
    pub patience: Option<Instant>,
    readable: bool,
    writable: bool,
    read_at: Instant,
    write_at: Instant,
    rng: KeyedRng,
}

impl App {
    /// Before it has a connection.
    pub fn new(side: Side, pair: Pair, plan: AppPlan, rng: KeyedRng) -> App {
        App {
            side,
            pair,
            plan,
            handle: None,
            written: 0,
            read: 0,
            eof: false,
            shut: false,
            closed: false,
            error: None,
            progress: Instant::ZERO,
            patience: None,
            readable: false,
            writable: false,
            read_at: Instant::ZERO,
            write_at: Instant::ZERO,
            rng,
        }
    }

    /// It has a connection.
    pub fn begin(&mut self, handle: TcpHandle, now: Instant) {
        self.handle = Some(handle);
        // What was ready before it was known is found by trying.
        (self.readable, self.writable) = (true, true);
        self.read_at = now + self.plan.read_after;
        self.progress = now;
    }

    /// The stack says that something has happened.
    pub fn ready(&mut self, edges: Readiness) {
        self.readable |= edges.any(Readiness::READABLE.with(Readiness::ERROR));
        self.writable |= edges.any(Readiness::WRITABLE.with(Readiness::ERROR));
    }

    /// When it wants to act whether anything happens or not.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        if self.closed || self.handle.is_none() {
            return None;
        }
        let read = (self.readable && self.read_at > now).then_some(self.read_at);
        let write = (self.writable && self.write_at > now).then_some(self.write_at);
        [read, write, self.patience].into_iter().flatten().min()
    }

    /// Everything that it can do now.
    pub fn act(&mut self, world: &mut World) {
        let Some(handle) = self.handle.filter(|_| !self.closed) else { return };
        let now = world.now();
        loop {
            let done = (self.written, self.read, self.eof);
            self.read_some(world, handle);
            self.write_some(world, handle);
            if self.end(world, handle) {
                return;
            }
            if done == (self.written, self.read, self.eof) {
                break;
            }
            self.progress = now;
        }
        world.flush();
    }

    fn read_some(&mut self, world: &mut World, handle: TcpHandle) {
        let now = world.now();
        if !self.readable || self.eof || self.read_at > now {
            return;
        }
        let size = 1 + self.rng.below(self.plan.read_size as u64) as usize;
        let mut octets = vec![0; size];
        match world.stack(self.side).tcp_receive(now, handle, &mut octets) {
            Ok(0) => self.eof = true,
            Ok(read) => {
                for (at, &octet) in octets[..read].iter().enumerate() {
                    let wanted = stream_octet(self.pair, self.side.other(), self.read + at as u64);
                    assert_eq!(
                        octet,
                        wanted,
                        "{now:?} {:?} {:?}: octet {}",
                        self.side,
                        self.pair,
                        self.read + at as u64
                    );
                }
                self.read += read as u64;
                assert!(self.read <= self.plan.expect, "{:?} {:?}: more than was written", self.side, self.pair);
                self.read_at = now + self.pause(self.plan.read_pause);
            }
            Err(SocketError::WouldBlock) => self.readable = false,
            Err(error) => self.error = Some(error),
        }
        if self.plan.flush {
            world.flush();
        }
    }

    fn write_some(&mut self, world: &mut World, handle: TcpHandle) {
        let now = world.now();
        let left = self.plan.send - self.written;
        let waits = self.plan.ending == Ending::AfterPeer && self.plan.expect > 0 && self.read == 0;
        if !self.writable || left == 0 || self.write_at > now || waits || self.shut {
            return;
        }
        if self.plan.uncork && self.rng.chance(200_000) {
            let cork = self.rng.chance(500_000);
            world.stack(self.side).tcp_set_options(now, handle, |options| options.cork = cork).ok();
        }
        let size = (1 + self.rng.below(self.plan.write_size as u64)).min(left) as usize;
        let octets: Vec<u8> =
            (0..size as u64).map(|at| stream_octet(self.pair, self.side, self.written + at)).collect();
        match world.stack(self.side).tcp_send(now, handle, &octets) {
            Ok(written) => {
                self.written += written as u64;
                self.write_at = now + self.pause(self.plan.write_pause);
            }
            Err(SocketError::WouldBlock) => self.writable = false,
            Err(error) => self.error = Some(error),
        }
        if self.plan.flush {
            world.flush();
        }
    }

    fn pause(&mut self, (chance, longest): (u32, Duration)) -> Duration {
        if self.rng.chance(chance) {
            Duration::from_micros(self.rng.below(longest.as_micros() as u64 + 1))
        } else {
            Duration::ZERO
        }
    }

    /// Closes what is to be closed now; true once it has let go.
    fn end(&mut self, world: &mut World, handle: TcpHandle) -> bool {
        let now = world.now();
        let stack = world.stack(self.side);
        let (written, read) = (self.written == self.plan.send, self.read == self.plan.expect);
        let done = self.written + self.read;
        let open = stack.tcp_state(handle).is_some_and(|state| state.is_synchronized());
        let close = match self.plan.ending {
            _ if self.error.is_some() || self.patience.is_some_and(|at| at <= now) => true,
            Ending::HalfClose | Ending::AfterPeer => {
                let may_shut = self.eof || self.plan.ending == Ending::HalfClose;
                if written && may_shut && !self.shut && (open || done > 0) {
                    // Before the connection is open, a close is a change of mind.
                    self.shut = open && stack.tcp_shutdown(now, handle, Shutdown::Write).is_ok();
                }
                self.eof && self.shut
            }
            Ending::Close => written && read && open,
            Ending::Abort(at) | Ending::Linger(at) | Ending::Drop(at) => done >= at || (written && self.eof),
        };
        if !close {
            return false;
        }
        match self.plan.ending {
            Ending::Abort(_) => stack.tcp_abort(now, handle),
            Ending::Linger(_) => {
                stack.tcp_set_options(now, handle, |options| options.linger = Some(Duration::ZERO)).ok();
            }
            _ => {}
        }
        stack.tcp_close(now, handle);
        self.closed = true;
        self.progress = now;
        world.flush();
        true
    }
}
