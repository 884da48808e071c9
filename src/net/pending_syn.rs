//! [`PendingSyn`]: a connection that somebody asks for, before anything was answered.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::{TcpListener, TcpStream};
use crate::driver::Patience;
use crate::stack::{self, Readiness};
use crate::tcp::FourTuple;

/// A SYN about which the application decides: it is accepted, or refused as if nobody listened. Made by
/// [`TcpListener::next_syn`].
///
/// The peer waits meanwhile, and sends its SYN again now and then. Dropping it refuses it. Who has not decided after 63 s is
/// no longer asked, after 1 s where a flood of SYNs needs the room; the next copy of the SYN asks anew.
pub struct PendingSyn {
    listener: TcpListener,
    syn: stack::PendingSyn,
    decided: bool,
}

impl PendingSyn {
    pub(super) fn new(listener: TcpListener, syn: stack::PendingSyn) -> PendingSyn {
        PendingSyn { listener, syn, decided: false }
    }

    /// Who asks.
    pub fn peer_addr(&self) -> SocketAddr {
        self.syn.peer
    }

    /// The address and port that are asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.syn.local
    }

    /// Accepts the connection and waits until it is open.
    ///
    /// # Errors
    /// `ConnectionAborted` when the peer has given up, or does not finish the handshake; `NetworkDown`.
    pub fn accept(mut self) -> io::Result<TcpStream> {
        self.decide_to_accept()?;
        let (listener, tuple) = (&self.listener, FourTuple::new(self.syn.local, self.syn.peer));
        let handle = listener.handle();
        let socket = listener.socket();
        let stream = listener.shard().call_patiently(socket, Readiness::READABLE, Patience::Endless, |core, _| {
            core.usable()?;
            core.stack.tcp_accept_pair(handle, &tuple)
        })?;
        Ok(TcpStream::of(listener.owner(), stream, self.syn.local, self.syn.peer))
    }

    /// Accepts the connection and does not wait: once it is open, [`TcpListener::accept`] has it.
    ///
    /// # Errors
    /// `ConnectionAborted` when the peer has given up; `NetworkDown`.
    pub fn admit(mut self) -> io::Result<()> {
        self.decide_to_accept()
    }

    /// Refuses the connection by a RST, as from a port on which nobody listens.
    pub fn refuse(self) {
        drop(self);
    }

    fn decide_to_accept(&mut self) -> io::Result<()> {
        self.decided = true;
        let syn = self.syn.handle;
        self.listener.shard().call(|core, now| {
            core.usable().map_err(|error| core.explain(error))?;
            core.stack.tcp_accept_syn(now, syn).map_err(|error| core.explain(error))
        })
    }
}

impl Drop for PendingSyn {
    fn drop(&mut self) {
        if !self.decided {
            let syn = self.syn.handle;
            // Whoever has given up needs no refusal.
            let _ = self.listener.shard().call(|core, now| core.stack.tcp_refuse_syn(now, syn));
        }
    }
}

impl fmt::Debug for PendingSyn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSyn").field("local", &self.syn.local).field("peer", &self.syn.peer).finish()
    }
}
