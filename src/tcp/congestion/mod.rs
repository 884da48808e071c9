//! Congestion control: a controller is plain data that is told what happened and answers with a window in octets.

mod reno;

use std::fmt;
use std::time::Duration;

pub use reno::Reno;

use crate::time::Instant;

/// What an ACK of new data means to a controller.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// When the ACK arrived.
    pub now: Instant,
    /// Octets newly acknowledged.
    pub octets: u32,
    /// Octets in flight before this ACK.
    pub flight: u32,
    /// Sender maximum segment size, in octets.
    pub mss: u32,
    /// Octets that leave in one piece at most: a segment, or a super-segment where the device cuts them.
    pub piece: u32,
    /// The RTT sample that came with it.
    pub rtt: Option<Duration>,
}

/// What a loss means to a controller.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// When it was detected.
    pub now: Instant,
    /// FlightSize at that moment, in octets, without what limited transmit added.
    pub flight: u32,
    /// Sender maximum segment size, in octets.
    pub mss: u32,
}

/// A congestion controller.
pub trait Controller {
    /// cwnd, in octets.
    fn window(&self) -> u32;
    /// ssthresh, in octets.
    fn slow_start_threshold(&self) -> u32;
    /// The handshake is over: set the initial window. `syn_losses` counts the retransmissions of our SYN.
    fn start(&mut self, mss: u32, syn_losses: u8);
    /// New data was acknowledged outside fast recovery.
    fn acked(&mut self, acked: &Acked);
    /// A loss was found by duplicate ACKs or SACK: once per window of data.
    fn loss(&mut self, loss: &Loss);
    /// A loss was found by the retransmission timer; `first` for the first expiry for this data.
    fn timeout(&mut self, loss: &Loss, first: bool);
    /// The last loss or timeout was none: what was in flight had only been late. Takes back what it changed.
    fn undo(&mut self);
    /// Fast recovery is over, with this many octets in flight.
    fn recovered(&mut self, flight: u32, mss: u32);
    /// Sending starts again after an idle time of more than an RTO.
    fn restart(&mut self, mss: u32);
}

/// The algorithms to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Algorithm {
    /// Slow start and congestion avoidance by RFC 5681.
    #[default]
    Reno,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Reno => "reno",
        })
    }
}

/// A controller of some algorithm: an enum, so that a connection holds it in place.
#[derive(Clone, Copy, Debug)]
pub enum Congestion {
    /// See [`Reno`].
    Reno(Reno),
}

impl Congestion {
    /// A controller before the handshake.
    pub fn new(algorithm: Algorithm) -> Congestion {
        match algorithm {
            Algorithm::Reno => Congestion::Reno(Reno::new()),
        }
    }

    /// Which algorithm it is.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Congestion::Reno(_) => Algorithm::Reno,
        }
    }

    /// To ask.
    pub fn get(&self) -> &dyn Controller {
        match self {
            Congestion::Reno(reno) => reno,
        }
    }

    /// To tell.
    pub fn get_mut(&mut self) -> &mut dyn Controller {
        match self {
            Congestion::Reno(reno) => reno,
        }
    }
}
