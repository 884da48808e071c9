//! How flows share a bottleneck, in virtual time: what a newcomer gets of it, and what one controller leaves to another.

use std::time::Duration;

use glasstcp::device::impair::{Discipline, Impairment};
use glasstcp::sim::dumbbell::{DumbbellFlow, QueueLength};
use glasstcp::sim::outcome::fairness;
use glasstcp::sim::{Dumbbell, Experiment};
use glasstcp::tcp::congestion::Algorithm;

/// Bits per second of the bottleneck.
const RATE: u64 = 20_000_000;
/// When the second flow begins, in milliseconds after the first.
const LATER_MS: [u64; 2] = [2_000, 2_317];
/// How long both are given to find their shares.
const SETTLED: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(60);

/// The goodput of two flows over 20 Mb/s and a queue of one bandwidth-delay product between 20 s and 60 s, in bits per second,
/// and Jain's index of it in a ten-thousandth.
fn shares(algorithms: [Algorithm; 2], rtt_ms: u64, later_ms: u64) -> ([u64; 2], u64) {
    let flow = |congestion, start_ms| DumbbellFlow {
        congestion,
        rtt: Duration::from_millis(rtt_ms),
        start: Duration::from_millis(start_ms),
        octets: None,
    };
    let octets = |duration: Duration| {
        let dumbbell = Dumbbell {
            rate: RATE,
            queue: QueueLength::BandwidthDelay(1_000),
            discipline: Discipline::DropTail,
            forward: Impairment::perfect(),
            backward: Impairment::perfect(),
            changes: Vec::new(),
            flows: vec![flow(algorithms[0], 0), flow(algorithms[1], later_ms)],
            mtu: 1_500,
            duration,
            seed: 1,
        };
        let outcome = Experiment::new(dumbbell.plan(), None).unwrap().run();
        [outcome.flows[0].octets, outcome.flows[1].octets]
    };
    // The same seed, so the shorter run is the beginning of the longer one.
    let (settled, end) = (octets(SETTLED), octets(END));
    let shares = [0, 1].map(|flow| (end[flow] - settled[flow]) * 8 / (END - SETTLED).as_secs());
    let (jain, [one, other]) = (fairness(&shares), algorithms);
    println!("{one} and {other} {later_ms} ms later, {rtt_ms} ms: {shares:?} bit/s, Jain {jain}");
    assert!(shares.iter().sum::<u64>() > RATE / 100 * 85, "the line is in use");
    (shares, jain)
}

/// 9293-MAY-18: two flows of one window-based kind share evenly, whoever was there first.
#[test]
fn two_of_a_kind_share_evenly() {
    for rtt in [20, 60] {
        for later in LATER_MS {
            let (shares, jain) = shares([Algorithm::Cubic; 2], rtt, later);
            assert!(jain > 9_500, "{shares:?}: {jain}");
        }
        let (shares, jain) = shares([Algorithm::Reno; 2], rtt, LATER_MS[0]);
        assert!(jain > 9_500, "{shares:?}: {jain}");
    }
}

/// 9293-MAY-18: two of BBR agree where the queue is short, and are slower to do so the longer the round trip; nobody starves.
#[test]
fn two_that_model_the_path() {
    for (rtt, least) in [(20, 9_500), (60, 7_500)] {
        let (shares, jain) = shares([Algorithm::Bbr; 2], rtt, LATER_MS[0]);
        assert!(jain > least, "{shares:?}: {jain}");
    }
}

/// 9293-MAY-18: where a loss comes every few seconds CUBIC has more than Reno, by design; it leaves it a good part.
#[test]
fn of_two_kinds_none_starves() {
    for (rtt, least) in [(20, RATE / 3), (60, RATE / 5)] {
        let (shares, _) = shares([Algorithm::Reno, Algorithm::Cubic], rtt, LATER_MS[0]);
        assert!(shares.iter().all(|&share| share > least), "{shares:?}");
    }
}
