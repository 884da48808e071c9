//! How flows share a bottleneck, in virtual time: what a newcomer gets of it, and what one controller leaves to another.

use std::time::Duration;

use glasstcp::device::impair::{Discipline, Impairment};
use glasstcp::sim::dumbbell::{DumbbellFlow, QueueLength};
use glasstcp::sim::outcome::fairness;
use glasstcp::sim::{Dumbbell, Experiment};
use glasstcp::tcp::congestion::Algorithm;

const SECOND: Duration = Duration::from_secs(1);
/// When the second flow begins.
const LATER: Duration = Duration::from_secs(2);
/// How long both are given to find their shares.
const SETTLED: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_secs(60);

/// The goodput of two flows over 20 Mb/s and a queue of one bandwidth-delay product between 20 s and 60 s, in bits per second.
fn shares(algorithms: [Algorithm; 2], rtt_ms: u64, seed: u64) -> [u64; 2] {
    let octets = |duration: Duration| {
        let flow = |congestion, start| DumbbellFlow {
            congestion,
            rtt: Duration::from_millis(rtt_ms),
            start,
            octets: None,
        };
        let dumbbell = Dumbbell {
            rate: 20_000_000,
            queue: QueueLength::BandwidthDelay(1_000),
            discipline: Discipline::DropTail,
            forward: Impairment::perfect(),
            backward: Impairment::perfect(),
            changes: Vec::new(),
            flows: vec![flow(algorithms[0], Duration::ZERO), flow(algorithms[1], LATER)],
            mtu: 1_500,
            duration,
            seed,
        };
        let outcome = Experiment::new(dumbbell.plan(), None).unwrap().run();
        [outcome.flows[0].octets, outcome.flows[1].octets]
    };
    // The same seed, so the shorter run is the beginning of the longer one.
    let (settled, end) = (octets(SETTLED), octets(END));
    let seconds = (END - SETTLED).as_secs();
    let shares = [0, 1].map(|flow| (end[flow] - settled[flow]) * 8 / seconds);
    let (jain, [one, other]) = (fairness(&shares), algorithms);
    println!("{one} and {other}, {rtt_ms} ms, seed {seed}: {shares:?} bit/s, Jain {jain}");
    shares
}

#[test]
fn two_of_a_kind() {
    assert!(LATER + 10 * SECOND < SETTLED);
    for algorithm in Algorithm::ALL {
        for rtt in [20, 60] {
            for seed in 1..=3 {
                shares([algorithm; 2], rtt, seed);
            }
        }
    }
}

#[test]
fn of_two_kinds() {
    for rtt in [20, 60] {
        shares([Algorithm::Reno, Algorithm::Cubic], rtt, 1);
        shares([Algorithm::Cubic, Algorithm::Reno], rtt, 1);
        shares([Algorithm::Cubic, Algorithm::Bbr], rtt, 1);
        shares([Algorithm::Bbr, Algorithm::Reno], rtt, 1);
    }
}
