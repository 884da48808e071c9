//! Tests of single steps; whole flows are in tests/sim/congestion.rs.

use std::time::Duration;

use super::loss::inflight_at_loss;
use super::*;
use crate::tcp::congestion::tests::{MSS, ack, loss};
use crate::tcp::recovery::delivery_rate::LossSample;

const RTT: Duration = Duration::from_millis(40);
/// 100 segments in an RTT.
const RATE: Rate = Rate::from_octets_per_sec(2_500_000);
const BDP: u32 = 100 * MSS;

/// A controller that is told of whole rounds.
struct Rounds {
    bbr: Bbr,
    now: Instant,
}

impl Rounds {
    fn new() -> Rounds {
        let mut bbr = Bbr::new(7);
        bbr.start(MSS, 0);
        Rounds { bbr, now: Instant::from_secs(1) }
    }

    /// One round is over, in one ACK, with this rate and that much left in flight.
    fn round(&mut self, rate: Rate, in_flight: u32) -> State {
        self.round_with(rate, in_flight, |_, _| {})
    }

    fn round_with(&mut self, rate: Rate, in_flight: u32, change: impl Fn(&mut Acked, &mut RateSample)) -> State {
        self.now += RTT;
        let octets = u32::try_from(rate.octets_in(RTT)).unwrap_or(u32::MAX);
        let mut sample = RateSample {
            rate,
            delivered: octets,
            lost: 0,
            in_flight: octets,
            prior_delivered: self.bbr.delivered,
            total_delivered: self.bbr.delivered + u64::from(octets),
            app_limited: false,
        };
        let mut acked = Acked { now: self.now, rtt: Some(RTT), srtt: Some(RTT), in_flight, ..ack(octets, in_flight) };
        change(&mut acked, &mut sample);
        self.bbr.acked(&Acked { rate: Some(sample), ..acked });
        self.bbr.state()
    }

    /// In ProbeBW, cruising at `RATE`.
    fn cruising() -> Rounds {
        let mut rounds = Rounds::new();
        while rounds.bbr.state() == State::Startup {
            rounds.round(RATE, 2 * BDP);
        }
        // No queue is left, so Drain and Down end at once.
        assert_eq!(rounds.round(RATE, BDP), State::ProbeBwCruise);
        rounds
    }

    /// In the probe for more.
    fn probing() -> Rounds {
        let mut rounds = Rounds::cruising();
        while rounds.bbr.state() != State::ProbeBwUp {
            rounds.round(RATE, BDP);
        }
        rounds
    }

    /// `count` segments are marked lost, with so many in flight when they were sent.
    fn lose(&mut self, count: u32, in_flight: u32) {
        for number in 1..=count {
            let sample = LossSample { in_flight, lost: number * MSS, app_limited: false };
            let seq = SeqNumber(u32::MAX - 5_000) + number * 2 * MSS;
            self.bbr.lost(&Lost { now: self.now, seq, octets: MSS, sample, selective: true });
        }
    }
}

#[test]
fn startup_doubles_until_three_rounds_bring_no_more() {
    let mut rounds = Rounds::new();
    let mut rate = 312_500;
    while rate < RATE.octets_per_sec() {
        assert_eq!(rounds.round(Rate::from_octets_per_sec(rate), BDP), State::Startup);
        assert!(rounds.bbr.pacing_rate >= Rate::from_octets_per_sec(rate).times(27, 10));
        rate *= 2;
    }
    // The first is growth, and then come three without.
    for _ in 0..3 {
        assert_eq!(rounds.round(RATE, 2 * BDP), State::Startup);
    }
    assert_eq!(rounds.round(RATE, 2 * BDP), State::Drain);
    assert_eq!(rounds.bbr.pacing_rate, RATE.times(1, 2).times(99, 100));
    assert_eq!((rounds.bbr.bandwidth(), rounds.bbr.min_rtt()), (RATE, Some(RTT)));
    // Drain ends when no more is in flight than the path holds.
    assert_eq!(rounds.round(RATE, BDP + MSS), State::Drain);
    assert_eq!(rounds.round(RATE, BDP), State::ProbeBwCruise);
    assert_eq!(rounds.bbr.pacing_rate, RATE.times(99, 100));
}

/// Drain ends after three rounds, also where the queue is that of others.
#[test]
fn drain_does_not_last_for_ever() {
    let mut rounds = Rounds::new();
    while rounds.round(RATE, 3 * BDP) != State::Drain {}
    for _ in 0..3 {
        assert_eq!(rounds.round(RATE, 3 * BDP), State::Drain);
    }
    assert_eq!(rounds.round(RATE, 3 * BDP), State::ProbeBwDown);
}

#[test]
fn what_the_application_limits_is_no_plateau() {
    let mut rounds = Rounds::new();
    for _ in 0..20 {
        let state = rounds.round_with(RATE, BDP, |_, sample| sample.app_limited = true);
        assert_eq!(state, State::Startup);
    }
    assert_eq!(rounds.bbr.bandwidth(), RATE, "as it was more than was known");
    rounds.round_with(RATE.times(1, 2), BDP, |_, sample| sample.app_limited = true);
    assert_eq!(rounds.bbr.bandwidth(), RATE);
}

/// More than 2 % lost, in six places, in recovery: Startup ends, and the long-term bound is what was delivered.
#[test]
fn startup_ends_by_loss() {
    for (places, lost, ends) in [(6, 5 * MSS, true), (5, 5 * MSS, false), (6, 2 * MSS, false)] {
        let mut rounds = Rounds::new();
        rounds.round(RATE, 2 * BDP);
        rounds.lose(places, 2 * BDP);
        rounds.bbr.loss(&loss(2 * BDP));
        let state = rounds.round_with(RATE.times(4, 3), BDP + BDP / 2, |acked, sample| {
            (acked.recovering, sample.lost) = (true, lost);
        });
        assert_eq!(state == State::Drain, ends, "{places}, {lost}");
        if ends {
            assert!(rounds.bbr.inflight_longterm >= BDP && rounds.bbr.inflight_longterm < UNBOUNDED);
            rounds.bbr.undo();
            assert_eq!((rounds.bbr.state(), rounds.bbr.inflight_longterm), (State::Startup, UNBOUNDED));
        }
    }
}

/// The whole cycle, with the gains of the draft, and two to three seconds or 63 rounds from one to the next.
#[test]
fn the_cycle_of_probes() {
    let mut rounds = Rounds::cruising();
    let mut steps = vec![(rounds.bbr.state(), rounds.bbr.pacing_rate)];
    let mut count = 0;
    while steps.len() < 5 {
        // As much is in flight as the rate fills; the path gives no more.
        let rate = RATE;
        if rounds.round(rate, BDP) != steps.last().unwrap().0 {
            steps.push((rounds.bbr.state(), rounds.bbr.pacing_rate));
        }
        count += 1;
        assert!(count < 75, "{steps:?}");
    }
    let paced = |gain| RATE.times(gain, UNIT).times(99, 100);
    assert_eq!(
        steps,
        [
            (State::ProbeBwCruise, paced(256)),
            (State::ProbeBwRefill, paced(256)),
            (State::ProbeBwUp, paced(320)),
            (State::ProbeBwDown, paced(230)),
            (State::ProbeBwCruise, paced(256)),
        ]
    );
    assert!(count > 45, "{count}");
}

/// Another seed waits another time, the same one the same: at least two seconds, at most three.
#[test]
fn the_wait_is_random_and_bounded() {
    let wait = |seed| {
        let mut bbr = Bbr::new(seed);
        bbr.start_probe_bw_down(Instant::ZERO);
        (bbr.bw_probe_wait, bbr.rounds_since_probe_up)
    };
    let waits: Vec<_> = (0..50).map(wait).collect();
    assert!(waits.iter().all(|(wait, rounds)| (2_000..3_000).contains(&wait.as_millis()) && *rounds < 2));
    assert!(waits.iter().any(|other| other.0 != waits[0].0) && waits.iter().any(|other| other.1 != waits[0].1));
    assert_eq!(waits[3], wait(3));
}

/// Losses in a probe: the bound is what was in flight when they passed 2 %, but at least 0.7 of the target.
#[test]
fn a_probe_that_goes_too_high_sets_the_bound() {
    for (in_flight, bound) in [(130 * MSS, 130 * MSS), (40 * MSS, 70 * MSS)] {
        let mut rounds = Rounds::probing();
        rounds.lose(3, 130 * MSS);
        assert_eq!(rounds.bbr.state(), State::ProbeBwUp, "3 may be chance");
        let sample = LossSample { in_flight, lost: 3 * MSS, app_limited: false };
        let seq = SeqNumber(9);
        rounds.bbr.lost(&Lost { now: rounds.now, seq, octets: MSS, sample, selective: true });
        assert_eq!(rounds.bbr.state(), State::ProbeBwDown);
        let seen = rounds.bbr.inflight_longterm;
        assert!(seen.abs_diff(bound) <= MSS, "{seen} instead of {bound}");
        assert!(rounds.bbr.prev_probe_too_high);
        // Only once for each probe.
        rounds.lose(30, 130 * MSS);
        assert_eq!(rounds.bbr.inflight_longterm, seen);
        // It was not lost: the probe goes on.
        rounds.bbr.undo();
        assert_eq!((rounds.bbr.state(), rounds.bbr.inflight_longterm), (State::ProbeBwRefill, UNBOUNDED));
    }
}

/// After a probe that went too high the next one ends as soon as it comes as far, and the one after that at once.
#[test]
fn the_next_probe_is_cautious() {
    let mut rounds = Rounds::probing();
    rounds.lose(6, 130 * MSS);
    let bound = rounds.bbr.inflight_longterm;
    while rounds.round(RATE, BDP) != State::ProbeBwUp {}
    // No ProbeRTT now.
    rounds.bbr.probe_rtt_min_at = rounds.now;
    assert_eq!(rounds.round(RATE, bound), State::ProbeBwDown);
    assert!(rounds.bbr.prev_probe_precautionary && !rounds.bbr.prev_probe_too_high);
    assert_eq!(rounds.round(RATE, BDP), State::ProbeBwRefill, "without a cruise");
    assert_eq!(rounds.round(RATE, BDP), State::ProbeBwUp);
    assert_eq!(rounds.round(RATE, bound), State::ProbeBwUp);
}

#[test]
fn the_part_of_a_super_segment_that_fits() {
    for (in_flight, octets, lost, expected) in [
        // Nothing was lost before: 2 % of the 98 in flight before it.
        (100, 2, 2, 100),
        (100_000, 44_000, 44_000, 57_142),
        // Too much was lost already.
        (100_000, 44_000, 60_000, 56_000),
        (1_000, 2_000, 2_000, 0),
    ] {
        let sample = LossSample { in_flight, lost, app_limited: false };
        let lost = Lost { now: Instant::ZERO, seq: SeqNumber(0), octets, sample, selective: true };
        assert_eq!(inflight_at_loss(&lost), expected, "{lost:?}");
    }
}

/// While it does not probe, a round with losses takes at most three tenths, and no less than was delivered is left.
#[test]
fn a_loss_while_cruising_lowers_the_short_term_bounds() {
    for (left, expected) in [((9, 10), (9, 10)), ((1, 2), (7, 10))] {
        let mut rounds = Rounds::cruising();
        rounds.round(RATE, BDP);
        rounds.lose(6, BDP);
        rounds.bbr.loss(&loss(BDP));
        // The round of the loss, in which what came before it counts, and the next one.
        rounds.round(RATE.times(left.0, left.1), BDP);
        let before = rounds.bbr.bandwidth();
        rounds.lose(6, BDP);
        rounds.round(RATE.times(left.0, left.1), BDP);
        let after = rounds.bbr.bandwidth();
        assert_eq!((before, after), (RATE, RATE.times(expected.0, expected.1)));
        // 5.5.11: all of it comes back.
        rounds.bbr.undo();
        rounds.round(RATE.times(left.0, left.1), BDP);
        assert!(rounds.bbr.bandwidth() > after || left == (9, 10));
    }
}

/// What is lost by chance changes nothing while it cruises, in many rounds; a mark of congestion does at once, and so does a
/// single loss where the peer has no SACK to report more.
#[test]
fn a_loss_by_chance_is_no_congestion() {
    let left = RATE.times(98, 100);
    let mut rounds = Rounds::cruising();
    for round in 0..20 {
        rounds.lose(1 + round % 3, BDP);
        rounds.bbr.loss(&loss(BDP));
        rounds.round(left, BDP);
    }
    assert_eq!((rounds.bbr.bandwidth(), rounds.bbr.inflight_shortterm), (RATE, UNBOUNDED));
    type Cause = fn(&mut Rounds);
    let marked: Cause = |rounds| rounds.bbr.congestion_experienced(&loss(BDP));
    let without_sack: Cause = |rounds| {
        let sample = LossSample { in_flight: BDP, lost: MSS, app_limited: false };
        rounds.bbr.lost(&Lost { now: rounds.now, seq: SeqNumber(7), octets: MSS, sample, selective: false });
    };
    for cause in [marked, without_sack] {
        let mut rounds = Rounds::cruising();
        for _ in 0..3 {
            cause(&mut rounds);
            rounds.round(left, BDP);
        }
        assert!(rounds.bbr.bandwidth() <= left && rounds.bbr.inflight_shortterm < UNBOUNDED);
    }
}

/// Five seconds without a lower delay: half of what the path holds for 200 ms and a round, then the window comes back.
#[test]
fn little_in_flight_shows_the_delay() {
    let mut rounds = Rounds::cruising();
    let begun = rounds.now;
    while rounds.round(RATE, BDP) != State::ProbeRtt {
        assert!(rounds.bbr.window() >= 2 * BDP);
    }
    let waited = rounds.now - begun;
    assert!((4_800..5_200).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(rounds.bbr.window(), BDP / 2);
    let entered = rounds.now;
    while rounds.round(RATE, BDP / 2) == State::ProbeRtt {
        assert_eq!(rounds.bbr.window(), BDP / 2);
        assert!(rounds.bbr.delivery.is_app_limited());
    }
    let lasted = rounds.now - entered;
    assert!((200..=320).contains(&lasted.as_millis()), "{lasted:?}");
    assert!(rounds.bbr.state() == State::ProbeBwCruise && rounds.bbr.window() >= 2 * BDP);
}

/// One segment after a timeout, at least four from the next ACK on, and the old window once all of it is repaired.
#[test]
fn a_timeout_and_its_repair() {
    let mut rounds = Rounds::cruising();
    rounds.round(RATE, BDP);
    let window = rounds.bbr.window();
    rounds.bbr.timeout(&loss(BDP), true);
    assert_eq!(rounds.bbr.window(), MSS);
    let end = SeqNumber(500_000);
    let repair = |una: u32| {
        move |acked: &mut Acked, _: &mut RateSample| {
            (acked.una, acked.nxt, acked.octets) = (SeqNumber(una), end, MSS);
        }
    };
    rounds.round_with(RATE, MSS, repair(400_000));
    assert_eq!(rounds.bbr.window(), 4 * MSS);
    rounds.round_with(RATE, MSS, repair(450_000));
    assert_eq!(rounds.bbr.window(), 5 * MSS);
    rounds.round_with(RATE, MSS, repair(500_000));
    let seen = rounds.bbr.window();
    assert!(seen >= window * 6 / 10, "{seen} of {window}");
}

/// What follows an idle time leaves at the rate of the path, whatever gain was in force.
#[test]
fn idleness_is_followed_by_the_rate_of_the_path() {
    let mut rounds = Rounds::probing();
    assert_eq!(rounds.bbr.pacing_rate, RATE.times(320, UNIT).times(99, 100));
    rounds.bbr.delivery.mark_app_limited(0);
    rounds.now += Duration::from_secs(1);
    rounds.bbr.on_send(rounds.now, 0, MSS);
    assert_eq!(rounds.bbr.pacing_rate, RATE.times(99, 100));
    assert!(rounds.bbr.pacer.may_send(rounds.now).is_err());
}

/// Without a sample, as in an ACK that only shows losses, nothing is learnt and nothing breaks.
#[test]
fn an_ack_without_a_sample() {
    let mut rounds = Rounds::cruising();
    let (bandwidth, window) = (rounds.bbr.bandwidth(), rounds.bbr.window());
    for _ in 0..10 {
        rounds.bbr.acked(&Acked { now: rounds.now, lost: MSS, in_flight: BDP, ..ack(0, BDP) });
    }
    assert_eq!((rounds.bbr.bandwidth(), rounds.bbr.window()), (bandwidth, window));
    assert!(rounds.bbr.is_loss_in_round);
}
