//! Congestion control: a controller is plain data that is told what happened and answers with a window in octets, and with a
//! rate where it paces.
//!
//! [`Controller`] is what an algorithm is; [`Congestion`] is the one that a connection has, with what an algorithm that
//! models the path needs besides ([`DeliveryRate`](super::recovery::delivery_rate::DeliveryRate) and
//! [`Pacer`](super::recovery::pacing::Pacer), which the others do without).

mod bbr;
mod cubic;
mod cubic_curve;
mod hystart;
mod rate;
mod reno;
mod usage;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use bbr::{Bbr, State as BbrState};
pub use cubic::Cubic;
pub use hystart::HyStart;
pub use rate::Rate;
pub use reno::{Reno, initial_window};

use super::recovery::delivery_rate::{LossSample, RateSample, RateStamp};
use super::sequence::SeqNumber;
use crate::time::Instant;

/// Limit L of RFC 3465 and RFC 9406: by how much one ACK may grow cwnd in slow start, counted in what leaves in one piece.
/// The decision of the house (docs/decisions.md) is 8, by RFC 9406. A device that cuts super-segments makes the pieces
/// large, and then peers acknowledge a whole one at a time: counted in segments, slow start would stop doubling.
// 9406-4.3
const SLOW_START_LIMIT: u32 = 8;

/// What an ACK that delivers something, or shows that something is lost, means to a controller.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// When the ACK arrived.
    pub now: Instant,
    /// Octets newly delivered: acknowledged, or reported by SACK.
    pub octets: u32,
    /// Octets in flight before this ACK.
    pub flight: u32,
    /// Sender maximum segment size, in octets.
    pub mss: u32,
    /// Octets that leave in one piece at most: a segment, or a super-segment where the device cuts them.
    pub piece: u32,
    /// The RTT sample that came with it.
    pub rtt: Option<Duration>,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// SND.UNA after this ACK.
    pub una: SeqNumber,
    /// SND.NXT.
    pub nxt: SeqNumber,
    /// Octets in the network after this ACK (pipe).
    pub in_flight: u32,
    /// Octets marked lost with this ACK.
    pub lost: u32,
    /// In fast recovery, where only a controller that governs recovery moves its window. False after a timeout.
    pub recovering: bool,
    /// The delivery rate, where the controller asks for it.
    pub rate: Option<RateSample>,
    /// Slow start ends by the older rule of HyStart ([`HyStart::acked_by_least_of_all`]).
    pub by_least_of_all: bool,
}

impl Acked {
    /// By how much slow start grows cwnd.
    // 5681-3.1-6: counted in octets, so that dividing ACKs gains nothing (limit: docs/decisions.md).
    fn slow_start_growth(&self) -> u32 {
        self.octets.min(SLOW_START_LIMIT.saturating_mul(self.piece))
    }
}

/// What a loss means to a controller.
#[derive(Clone, Copy, Debug)]
pub struct Loss {
    /// When it was detected.
    pub now: Instant,
    /// FlightSize at that moment, in octets: sent and not acknowledged by number. With SACK more may have been sent since the
    /// first segment was missing (limited transmit): that is what lies beyond cwnd.
    pub flight: u32,
    /// Sender maximum segment size, in octets.
    pub mss: u32,
}

/// One record, or a part of it, that was marked lost.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// When it was detected.
    pub now: Instant,
    /// Its first sequence number.
    pub seq: SeqNumber,
    /// Octets.
    pub octets: u32,
    /// What its stamp says.
    pub sample: LossSample,
    /// The peer reports what it holds out of order (SACK).
    pub selective: bool,
}

/// A congestion controller. The functions that not every algorithm needs do nothing by default.
pub trait Controller {
    /// cwnd, in octets.
    fn window(&self) -> u32;
    /// ssthresh, in octets.
    fn slow_start_threshold(&self) -> u32;
    /// The handshake is over: set the initial window. `syn_losses` counts the retransmissions of our SYN.
    fn start(&mut self, mss: u32, syn_losses: u8);
    /// It takes the place of another one, which had these.
    fn adopt(&mut self, window: u32, slow_start_threshold: u32, mss: u32);
    /// An ACK delivered something, or showed that something is lost.
    fn acked(&mut self, acked: &Acked);
    /// An ACK that acknowledges nothing by number gave this round-trip time: by SACK, outside fast recovery.
    fn sampled(&mut self, _rtt: Duration) {}
    /// The delay of the path is to end this slow start (HyStart++).
    fn watches_delay(&self) -> bool {
        false
    }
    /// One record was marked lost: before [`Controller::loss`], once for each.
    fn lost(&mut self, _lost: &Lost) {}
    /// A loss was found by duplicate ACKs, SACK or RACK: once per window of data.
    fn loss(&mut self, loss: &Loss);
    /// The peer echoes a mark of congestion (RFC 3168): once per window of data.
    fn congestion_experienced(&mut self, loss: &Loss);
    /// A loss was found by the retransmission timer; `first` for the first expiry for this data.
    fn timeout(&mut self, loss: &Loss, first: bool);
    /// The last loss or timeout proved spurious: back to what was before it (RFC 4015, RFC 9438 section 4.9).
    fn undo(&mut self);
    /// Fast recovery is over. The new window is ssthresh, and at most a segment more than `flight`: the octets in flight, and
    /// with PRR as many more as may leave at once.
    fn recovered(&mut self, flight: u32, mss: u32);
    /// Sending starts again after an idle time of more than an RTO.
    fn restart(&mut self, mss: u32);
    /// Segments have another size from now on: a smaller one leaves as many of them in flight, a larger one as many octets.
    // 5681-3.1-4
    fn segment_size_changed(&mut self, before: u32, mss: u32);
    /// What new data and retransmissions leave at, at most; `None` without pacing.
    fn pacing_rate(&self) -> Option<Rate> {
        None
    }
    /// Octets that may leave in one piece.
    fn send_quantum(&self) -> u32 {
        u32::MAX
    }
    /// It decides itself what may be in flight during recovery: PRR is not used.
    fn governs_recovery(&self) -> bool {
        false
    }
}

/// A window of segments of `before` octets, in segments of `mss` octets: not more of them, and not less than one.
fn resized(window: u32, before: u32, mss: u32) -> u32 {
    let scaled = u64::from(window) * u64::from(mss.min(before)) / u64::from(before.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX).max(mss)
}

/// The algorithms to choose from.
// 9293-MAY-18
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Algorithm {
    /// Slow start and congestion avoidance by RFC 5681.
    Reno,
    /// CUBIC by RFC 9438, with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// BBR version 3 by draft-ietf-ccwg-bbr: models the path by its rate and its delay, and paces.
    Bbr,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 3] = [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Reno => "reno",
            Algorithm::Cubic => "cubic",
            Algorithm::Bbr => "bbr",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no algorithm of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm;

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are cubic, reno and bbr")
    }
}

impl std::error::Error for UnknownAlgorithm {}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(UnknownAlgorithm)
    }
}

/// The controller of a connection: small ones in place, a large one in a box.
#[derive(Clone, Debug)]
pub enum Congestion {
    /// See [`Reno`].
    Reno(Reno),
    /// See [`Cubic`].
    Cubic(Cubic),
    /// See [`Bbr`].
    Bbr(Box<Bbr>),
}

impl Congestion {
    /// A controller before the handshake. What it decides by chance comes from `seed`.
    pub fn new(algorithm: Algorithm, seed: u64) -> Congestion {
        match algorithm {
            Algorithm::Reno => Congestion::Reno(Reno::new()),
            Algorithm::Cubic => Congestion::Cubic(Cubic::new()),
            Algorithm::Bbr => Congestion::Bbr(Box::new(Bbr::new(seed))),
        }
    }

    /// Another algorithm takes over, with the window as it stands.
    pub fn switch(&mut self, algorithm: Algorithm, seed: u64, mss: u32) {
        if algorithm != self.algorithm() {
            let (window, threshold) = (self.get().window(), self.get().slow_start_threshold());
            *self = Congestion::new(algorithm, seed);
            self.get_mut().adopt(window, threshold, mss);
        }
    }

    /// Which algorithm it is.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Congestion::Reno(_) => Algorithm::Reno,
            Congestion::Cubic(_) => Algorithm::Cubic,
            Congestion::Bbr(_) => Algorithm::Bbr,
        }
    }

    /// To ask.
    pub fn get(&self) -> &dyn Controller {
        match self {
            Congestion::Reno(reno) => reno,
            Congestion::Cubic(cubic) => cubic,
            Congestion::Bbr(bbr) => &**bbr,
        }
    }

    /// To tell.
    pub fn get_mut(&mut self) -> &mut dyn Controller {
        match self {
            Congestion::Reno(reno) => reno,
            Congestion::Cubic(cubic) => cubic,
            Congestion::Bbr(bbr) => &mut **bbr,
        }
    }
}

/// What a controller that models the path needs to know of each record; the others answer at once.
impl Congestion {
    /// May a piece leave now, for all that pacing says?
    ///
    /// # Errors
    /// When it may: a timer is due then.
    pub fn may_send(&self, now: Instant) -> Result<(), Instant> {
        match self {
            Congestion::Bbr(bbr) => bbr.pacer.may_send(now),
            _ => Ok(()),
        }
    }

    /// It wants to be told of each record: all others ignore what follows.
    pub fn models_path(&self) -> bool {
        matches!(self, Congestion::Bbr(_))
    }

    /// As [`Controller::governs_recovery`].
    pub fn governs_recovery(&self) -> bool {
        match self {
            Congestion::Bbr(bbr) => bbr.governs_recovery(),
            _ => false,
        }
    }

    /// As [`Controller::send_quantum`].
    pub fn send_quantum(&self) -> u32 {
        match self {
            Congestion::Bbr(bbr) => bbr.send_quantum(),
            _ => u32::MAX,
        }
    }

    /// The model of the path, where there is one.
    pub fn model(&self) -> Option<&Bbr> {
        match self {
            Congestion::Bbr(bbr) => Some(bbr),
            _ => None,
        }
    }

    /// The round-trip time is known before the first ACK of text, by the handshake or since another algorithm began.
    pub fn round_trip_known(&mut self, rtt: Duration) {
        if let Congestion::Bbr(bbr) = self {
            bbr.round_trip_known(rtt);
        }
    }

    /// When the next piece may leave, for one that paces.
    pub fn next_turn(&self) -> Option<Instant> {
        match self {
            Congestion::Bbr(bbr) => Some(bbr.pacer.next()),
            _ => None,
        }
    }

    /// `octets` octets leave, first or again, while `in_flight` octets are in the network: what their record remembers.
    pub fn on_send(&mut self, now: Instant, in_flight: u32, octets: u32) -> RateStamp {
        match self {
            Congestion::Bbr(bbr) => bbr.on_send(now, in_flight, octets),
            _ => RateStamp::default(),
        }
    }

    /// `octets` octets of the record with this stamp, last sent at `sent_at`, were acknowledged or reported by SACK: each
    /// octet once, before [`Congestion::sample`].
    pub fn on_delivered(&mut self, now: Instant, stamp: &RateStamp, sent_at: Instant, octets: u32) {
        if let Congestion::Bbr(bbr) = self {
            bbr.delivery.on_delivered(now, stamp, sent_at, octets);
        }
    }

    /// `octets` octets from `seq` on, of the record with this stamp, were marked lost.
    pub fn on_lost(&mut self, now: Instant, stamp: &RateStamp, seq: SeqNumber, octets: u32, selective: bool) {
        if let Congestion::Bbr(bbr) = self {
            let sample = bbr.delivery.on_lost(stamp, octets);
            bbr.lost(&Lost { now, seq, octets, sample, selective });
        }
    }

    /// All that an ACK delivers is told: the sample for [`Acked::rate`].
    pub fn sample(&mut self, min_rtt: Option<Duration>) -> Option<RateSample> {
        match self {
            Congestion::Bbr(bbr) => bbr.delivery.sample(min_rtt),
            _ => None,
        }
    }

    /// The application has nothing more to send although the windows would allow it, nothing waits to be sent again, and
    /// `in_flight` octets are in the network.
    pub fn mark_app_limited(&mut self, in_flight: u32) {
        if let Congestion::Bbr(bbr) = self {
            bbr.delivery.mark_app_limited(in_flight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub const MSS: u32 = 1_000;

    /// An ACK of that many octets with that many in flight before it, and nothing special.
    pub fn ack(octets: u32, flight: u32) -> Acked {
        Acked {
            now: Instant::ZERO,
            octets,
            flight,
            mss: MSS,
            piece: MSS,
            rtt: None,
            srtt: None,
            una: SeqNumber(0),
            nxt: SeqNumber(0),
            in_flight: flight.saturating_sub(octets),
            lost: 0,
            recovering: false,
            rate: None,
            by_least_of_all: false,
        }
    }

    pub fn loss(flight: u32) -> Loss {
        Loss { now: Instant::ZERO, flight, mss: MSS }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        assert_eq!("vegas".parse::<Algorithm>(), Err(UnknownAlgorithm));
        assert_eq!(Algorithm::default(), Algorithm::Cubic);
    }

    /// A connection holds one, also while it is idle.
    #[test]
    fn a_controller_is_small() {
        assert!(size_of::<Congestion>() <= 48, "{}", size_of::<Congestion>());
    }

    #[test]
    fn another_algorithm_takes_over_the_window() {
        let mut congestion = Congestion::new(Algorithm::Reno, 1);
        congestion.get_mut().adopt(60 * MSS, 60 * MSS, MSS);
        congestion.get_mut().loss(&loss(60 * MSS));
        for algorithm in [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr, Algorithm::Cubic] {
            congestion.switch(algorithm, 1, MSS);
            assert_eq!((congestion.algorithm(), congestion.get().window()), (algorithm, 30 * MSS));
        }
    }
}
