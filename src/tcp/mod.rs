//! TCP by RFC 9293: the state machine, with nothing around it.
//!
//! A segment walks through [`input::segment_arrives`], whose steps carry the RFC's names and numbers. Nothing is sent
//! there: the steps note what is [`owed`](receiver::Owed), and after the batch [`plan::next`] decides what leaves, which
//! [`output`] turns into bytes. Time passes in [`timer`].

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub mod acceptance;
pub mod accurate_ecn;
pub mod acknowledge;
pub mod burst;
pub mod config;
pub mod congestion;
pub mod connection;
mod cwnd_rules;
pub mod due;
pub mod ecn;
pub mod ecn_cache;
pub mod fast_open;
pub mod fast_open_cache;
pub mod finish;
pub mod habits;
pub mod half_open;
pub mod initial_sequence;
pub mod input;
pub mod keep_alive;
pub mod listener;
pub mod loss;
pub mod marks;
mod mistake;
mod model;
pub mod mtu_search;
pub mod nagle;
pub mod option;
pub mod output;
pub mod path_mtu;
pub mod persist;
pub mod plan;
pub mod receiver;
mod recent;
pub mod recovery;
pub mod reset;
pub mod segment;
pub mod sender;
pub mod sequence;
pub mod snapshot;
pub mod spaces;
pub mod state;
pub mod syn_cookie;
pub mod syn_sent;
pub mod text;
pub mod time_wait;
pub mod timer;
pub mod timestamp;
pub mod tuning;
pub mod urgent;
pub mod user;
pub mod why;
pub mod window;

/// The two endpoints of a connection, seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourTuple {
    /// Our address.
    pub local_addr: IpAddr,
    /// The peer's address.
    pub remote_addr: IpAddr,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

impl FourTuple {
    /// From two socket addresses.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> FourTuple {
        FourTuple {
            local_addr: local.ip(),
            remote_addr: remote.ip(),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local_addr, self.local_port)
    }

    /// The peer's address and port.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote_addr, self.remote_port)
    }
}

impl fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<->{}", self.local(), self.remote())
    }
}
