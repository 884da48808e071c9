//! BBR version 3 (draft-ietf-ccwg-bbr): a model of the path by its rate and its delay, from which follow a pacing rate and a
//! window.
//!
//! ```text
//!   Startup --> Drain --> ProbeBW: Down --> Cruise --> Refill --> Up --> Down ...
//!                                    \___ ProbeRTT, every 5 s without a low round-trip time ___/
//! ```
//!
//! The files follow the sections of the draft: `model` of the path (5.5), `startup` with Drain (5.3.1, 5.3.2), `probe_bw`
//! (5.3.3), `probe_rtt` (5.3.4), `loss` (5.5.10, 5.5.11), `control` (5.6). Names are those of the draft; an unset bound is
//! the largest value of its type. A mark of congestion (ECN) is taken for a loss.

mod control;
mod excess;
mod loss;
mod model;
mod probe_bw;
mod probe_rtt;
mod startup;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::usage::Usage;
use super::{Acked, Controller, Loss, Lost, Rate, initial_window, resized};
use crate::tcp::recovery::delivery_rate::{DeliveryRate, RateSample, RateStamp};
use crate::tcp::recovery::pacing::Pacer;
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;
use excess::Excess;
use model::{ExtraAcked, MaxBandwidth};

/// Gains are counted in this part of one.
const UNIT: u32 = 256;
/// The smallest window, in segments (BBR.MinPipeCwnd).
const MIN_PIPE: u32 = 4;
/// What a round with losses leaves of the short-term bounds, in tenths (BBR.Beta).
const BETA_TENTHS: u32 = 7;
/// No bound.
const UNBOUNDED: u32 = u32::MAX;

/// Where the state machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Doubles the rate in each round until it grows no more.
    Startup,
    /// Empties the queue that this has made.
    Drain,
    /// A little slower than the path, to leave room to others.
    ProbeBwDown,
    /// As fast as the path.
    ProbeBwCruise,
    /// As fast as the path for one round without short-term bounds, before it asks for more.
    ProbeBwRefill,
    /// Faster than the path, to see whether there is more.
    ProbeBwUp,
    /// Little in flight, to see the delay of an empty path.
    ProbeRtt,
}

impl State {
    /// One of the four of ProbeBW.
    fn is_probe_bw(self) -> bool {
        matches!(self, State::ProbeBwDown | State::ProbeBwCruise | State::ProbeBwRefill | State::ProbeBwUp)
    }

    /// More is sent than the path has been seen to take.
    fn is_accelerating(self) -> bool {
        matches!(self, State::Startup | State::ProbeBwRefill | State::ProbeBwUp)
    }

    /// BBR.pacing_gain: 2.77, 0.5, 0.9, 1 and 1.25.
    fn pacing_gain(self) -> u32 {
        match self {
            State::Startup => 710,
            State::Drain => UNIT / 2,
            State::ProbeBwDown => 230,
            State::ProbeBwCruise | State::ProbeBwRefill | State::ProbeRtt => UNIT,
            State::ProbeBwUp => UNIT * 5 / 4,
        }
    }

    /// BBR.cwnd_gain: 2, 2.25 and 0.5.
    fn cwnd_gain(self) -> u32 {
        match self {
            State::ProbeBwUp => UNIT * 9 / 4,
            State::ProbeRtt => UNIT / 2,
            _ => UNIT * 2,
        }
    }
}

/// What the ACKs that arrive say of the last probe for bandwidth (BBR.ack_phase).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    /// Nothing.
    Init,
    /// The pipe is filled.
    Refilling,
    /// The probe has begun.
    ProbeStarting,
    /// They answer it.
    ProbeFeedback,
    /// It is over, but they still answer it.
    ProbeStopping,
}

/// What is being repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    /// Nothing.
    None,
    /// Fast recovery.
    Fast,
    /// What was in flight at a timeout, which is until SND.NXT at the next ACK.
    Timeout,
    /// What was in flight at a timeout, until this is acknowledged.
    Until(SeqNumber),
}

/// What a loss has changed.
#[derive(Clone, Copy, Debug)]
struct Undo {
    /// There is something to undo.
    kept: bool,
    /// The episode of the loss is not over.
    open: bool,
    /// The state that it ended (BBR.undo_state).
    state: Option<State>,
    bw_shortterm: Rate,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

/// A search for the rate at which the path is full (section 5.3.1.2).
#[derive(Clone, Copy, Debug, Default)]
struct FullBandwidth {
    /// The rate that is to be surpassed (BBR.full_bw).
    rate: Rate,
    /// Rounds in which it was not (BBR.full_bw_count).
    rounds: u8,
    /// The search has ended (BBR.full_bw_now).
    now: bool,
}

/// The state of BBR. Octets, and rates in octets per second.
#[derive(Clone, Debug)]
pub struct Bbr {
    /// How fast the path delivers: told of each record (see [`Congestion`](super::Congestion)).
    pub delivery: DeliveryRate,
    /// When the next piece may leave.
    pub pacer: Pacer,
    state: State,
    /// The generator of what is decided by chance.
    random: u64,
    /// The first ACK has come.
    begun: bool,
    mss: u32,

    // The controls.
    cwnd: u32,
    initial_cwnd: u32,
    /// The last window that neither recovery nor ProbeRTT had cut.
    prior_cwnd: u32,
    pacing_rate: Rate,
    send_quantum: u32,
    /// The pacing rate comes from a round-trip time that was measured.
    has_seen_rtt: bool,
    repair: Repair,
    usage: Usage,

    // Rounds.
    /// C.delivered at the last ACK.
    delivered: u64,
    next_round_delivered: u64,
    round_count: u32,
    round_start: bool,

    // The model.
    bandwidth: MaxBandwidth,
    /// The bandwidth that is used: the least of `bandwidth` and `bw_shortterm`.
    bw: Rate,
    bw_shortterm: Rate,
    inflight_shortterm: u32,
    inflight_longterm: u32,
    extra_acked: ExtraAcked,
    min_rtt: Duration,
    min_rtt_at: Instant,

    // This round.
    bw_latest: Rate,
    inflight_latest: u32,
    is_loss_in_round: bool,
    /// Marks of congestion count whatever was lost.
    is_marked_in_round: bool,
    /// What was lost beyond what chance explains.
    excess: Excess,
    /// The peer reports what it holds out of order (C.has_selective_acks).
    selective: bool,
    loss_round_start: bool,
    loss_round_delivered: u64,
    /// Ranges lost in this round, for Startup.
    lost_ranges: u8,
    /// Where the last of them ended.
    lost_end: SeqNumber,

    // Startup and Drain.
    full_bw: FullBandwidth,
    /// The path has been full once.
    full_bw_reached: bool,
    drain_start_round: u32,

    // ProbeBW.
    ack_phase: AckPhase,
    cycle_at: Instant,
    bw_probe_wait: Duration,
    rounds_since_probe_up: u32,
    is_bw_probe_sample: bool,
    probe_up_rounds: u8,
    probe_up_acked: u32,
    probe_up_acked_per_inc: u32,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,

    // ProbeRTT.
    probe_rtt_min_delay: Duration,
    probe_rtt_min_at: Instant,
    probe_rtt_expired: bool,
    probe_rtt_done_at: Option<Instant>,
    probe_rtt_round_done: bool,
    idle_restart: bool,

    undo: Undo,
}

impl Bbr {
    /// Before the handshake. What is decided by chance, when to probe, comes from `seed`.
    pub fn new(seed: u64) -> Bbr {
        let cwnd = initial_window(536);
        Bbr {
            delivery: DeliveryRate::default(),
            pacer: Pacer::default(),
            state: State::Startup,
            random: seed,
            begun: false,
            mss: 536,
            cwnd,
            initial_cwnd: cwnd,
            prior_cwnd: 0,
            pacing_rate: Rate::MAX,
            send_quantum: 2 * 536,
            has_seen_rtt: false,
            repair: Repair::None,
            usage: Usage::new(),
            delivered: 0,
            next_round_delivered: 0,
            round_count: 0,
            round_start: false,
            bandwidth: MaxBandwidth::default(),
            bw: Rate::ZERO,
            bw_shortterm: Rate::MAX,
            inflight_shortterm: UNBOUNDED,
            inflight_longterm: UNBOUNDED,
            extra_acked: ExtraAcked::default(),
            min_rtt: Duration::MAX,
            min_rtt_at: Instant::ZERO,
            bw_latest: Rate::ZERO,
            inflight_latest: 0,
            is_loss_in_round: false,
            is_marked_in_round: false,
            excess: Excess::default(),
            selective: true,
            loss_round_start: false,
            loss_round_delivered: 0,
            lost_ranges: 0,
            lost_end: SeqNumber(0),
            full_bw: FullBandwidth::default(),
            full_bw_reached: false,
            drain_start_round: 0,
            ack_phase: AckPhase::Init,
            cycle_at: Instant::ZERO,
            bw_probe_wait: Duration::ZERO,
            rounds_since_probe_up: 0,
            is_bw_probe_sample: false,
            probe_up_rounds: 0,
            probe_up_acked: 0,
            probe_up_acked_per_inc: UNBOUNDED,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            probe_rtt_min_delay: Duration::MAX,
            probe_rtt_min_at: Instant::ZERO,
            probe_rtt_expired: false,
            probe_rtt_done_at: None,
            probe_rtt_round_done: false,
            idle_restart: false,
            undo: Undo {
                kept: false,
                open: false,
                state: None,
                bw_shortterm: Rate::MAX,
                inflight_shortterm: UNBOUNDED,
                inflight_longterm: UNBOUNDED,
            },
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The bandwidth that the model has for the path (BBR.bw).
    pub fn bandwidth(&self) -> Rate {
        self.bw
    }

    /// The least round-trip time that the model has for the path, once there is one (BBR.min_rtt).
    pub fn min_rtt(&self) -> Option<Duration> {
        (self.min_rtt != Duration::MAX).then_some(self.min_rtt)
    }

    /// A round-trip time from before the first ACK: it makes the first pacing rate (section 5.6.2).
    pub fn round_trip_known(&mut self, rtt: Duration) {
        if !self.has_seen_rtt {
            self.has_seen_rtt = true;
            self.init_pacing_rate(rtt);
        }
    }

    /// `octets` octets leave: after idleness at the rate of the path (section 5.4.1), and their record remembers when.
    pub fn on_send(&mut self, now: Instant, in_flight: u32, octets: u32) -> RateStamp {
        if in_flight == 0 && self.delivery.is_app_limited() {
            self.idle_restart = true;
            self.extra_acked.restart(now);
            if self.state.is_probe_bw() {
                self.set_pacing_rate_with_gain(UNIT);
            } else if self.state == State::ProbeRtt {
                self.check_probe_rtt_done(now);
            }
        }
        self.pacer.sent(now, octets, self.pacing_rate);
        self.delivery.on_send(now, in_flight, octets)
    }

    /// A number below `bound`, by a small generator (splitmix64): fairness between flows needs no more.
    fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// The first ACK: clocks start.
    fn begin(&mut self, now: Instant) {
        self.begun = true;
        self.min_rtt_at = now;
        self.probe_rtt_min_at = now;
        self.cycle_at = now;
        self.extra_acked.restart(now);
    }

    /// What was in flight at a timeout is acknowledged: repair is over, and the window comes back.
    fn check_repair(&mut self, acked: &Acked) {
        match self.repair {
            Repair::Timeout => self.repair = Repair::Until(acked.nxt),
            Repair::Until(end) if acked.una.ge(end) => self.end_repair(),
            _ => {}
        }
    }
}

impl Controller for Bbr {
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn slow_start_threshold(&self) -> u32 {
        u32::MAX
    }

    fn segment_size_changed(&mut self, before: u32, mss: u32) {
        self.cwnd = resized(self.cwnd, before, mss);
        self.mss = mss;
    }

    fn start(&mut self, mss: u32, syn_losses: u8) {
        // 5681-3.1-3, 6928-2-2
        self.adopt(if syn_losses > 1 { mss } else { initial_window(mss) }, u32::MAX, mss);
    }

    fn adopt(&mut self, window: u32, _slow_start_threshold: u32, mss: u32) {
        self.mss = mss;
        self.cwnd = window;
        self.initial_cwnd = window;
        self.init_pacing_rate(Duration::from_millis(1));
    }

    fn acked(&mut self, acked: &Acked) {
        if !self.begun {
            self.begin(acked.now);
        }
        self.mss = acked.mss;
        self.usage.acked(acked);
        // Where nothing was delivered there is no sample, and nothing to be learnt from one.
        let sample = acked.rate.unwrap_or(RateSample {
            total_delivered: self.delivered,
            app_limited: true,
            ..RateSample::default()
        });
        self.delivered = sample.total_delivered;
        if acked.lost > 0 {
            self.note_loss();
        }
        self.update_latest_delivery_signals(acked, &sample);
        self.update_congestion_signals(acked, &sample);
        self.update_ack_aggregation(acked);
        self.check_full_bw_reached(&sample);
        self.check_startup_done(acked, &sample);
        self.check_drain_done(acked);
        self.update_probe_bw(acked, &sample);
        self.update_min_rtt(acked);
        self.check_probe_rtt(acked, &sample);
        self.advance_latest_delivery_signals(&sample);
        self.bw = self.bandwidth.max().min(self.bw_shortterm);
        self.check_repair(acked);
        self.update_controls(acked);
        self.excess.delivered(acked.octets);
    }

    fn lost(&mut self, lost: &Lost) {
        self.handle_lost(lost);
    }

    fn loss(&mut self, loss: &Loss) {
        self.mss = loss.mss;
        self.note_loss();
        self.repair = Repair::Fast;
    }

    fn congestion_experienced(&mut self, loss: &Loss) {
        self.mss = loss.mss;
        self.note_loss();
        self.is_marked_in_round = true;
    }

    fn timeout(&mut self, loss: &Loss, _first: bool) {
        self.mss = loss.mss;
        self.save_cwnd();
        self.note_loss();
        self.repair = Repair::Timeout;
        // Section 5.6.4.4: one segment leaves.
        self.cwnd = loss.mss;
    }

    fn undo(&mut self) {
        self.handle_spurious_loss();
    }

    fn recovered(&mut self, _flight: u32, _mss: u32) {
        self.end_repair();
        self.bound_cwnd_for_model();
    }

    fn restart(&mut self, _mss: u32) {
        // Section 5.4.1: the window stays, and pacing keeps it from leaving as a burst (`on_send`).
    }

    fn pacing_rate(&self) -> Option<Rate> {
        Some(self.pacing_rate)
    }

    fn send_quantum(&self) -> u32 {
        self.send_quantum
    }

    fn governs_recovery(&self) -> bool {
        true
    }
}
