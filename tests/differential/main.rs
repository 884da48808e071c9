//! Ours against smoltcp over the simulated link: the same conversations as between two of ours, segment by segment.
//!
//! In each scenario of the list, ours speaks to ours, which is the reference, and then to smoltcp in either role. The
//! streams and their ends must be right, and each kind of difference in what either side sends must be one that
//! docs/differences.md explains.
//!
//! GLASSTCP_ONLY=text runs the scenarios with such a name alone; GLASSTCP_TRACES=directory keeps the captures, for
//! `glasstcp trace diff` or Wireshark; GLASSTCP_SEEDS=5 runs all with the seeds 1 to 5, of which the test has the first.

mod chance;
mod compare_tests;
mod normal_tests;
mod shared;
mod smol;
#[path = "../support/smoltcp_device.rs"]
mod smoltcp_device;

use std::collections::BTreeSet;

use glasstcp::tcp::config::TcpConfig;
use glasstcp::time::Instant;
use glasstcp::trace::segment::Side;
use shared::compare::{self, Kind, kinds};
use shared::endpoint::{Endpoint, Setup};
use shared::findings::{Findings, check_streams};
use shared::list;
use shared::ours::Ours;
use shared::run::{Outcome, PORTS, Virtual, keep, run};
use shared::scenario::{Scenario, all};
use smol::Smol;

/// A stack never starts at the origin of time.
const START: Instant = Instant::from_secs(1_000);
const SEED: u64 = 1;

fn setups(scenario: &Scenario) -> [Setup; 2] {
    Setup::pair(scenario, ["10.0.0", "fd00:67:"], PORTS)
}

fn conversation(scenario: &Scenario, stacks: [&'static str; 2], seed: u64) -> Outcome {
    let setups = setups(scenario);
    let [mut opener, mut acceptor] = [0, 1].map(|side| -> Box<dyn Endpoint> {
        match stacks[side] {
            "ours" => Box::new(Ours::new(setups[side], seed + side as u64, START)),
            _ => Box::new(Smol::new(setups[side], seed + side as u64, START)),
        }
    });
    let outcome = run(scenario, [&mut *opener, &mut *acceptor], Virtual(START), seed);
    keep(scenario, stacks, &outcome);
    check_streams(scenario, stacks, &outcome);
    outcome
}

fn differ(scenario: &Scenario, seed: u64, findings: &mut Findings) {
    let reference = conversation(scenario, ["ours", "ours"], seed);
    for stacks in [["ours", "smoltcp"], ["smoltcp", "ours"]] {
        findings.compare(scenario, stacks, &reference, &conversation(scenario, stacks, seed));
    }
}

#[test]
fn every_difference_from_smoltcp_is_explained() {
    let only = std::env::var("GLASSTCP_ONLY").ok();
    let seeds = std::env::var("GLASSTCP_SEEDS").map_or(SEED, |text| text.parse().expect("GLASSTCP_SEEDS is a number"));
    let mut jobs: Vec<(Scenario, u64)> = all().into_iter().map(|scenario| (scenario, SEED)).collect();
    for seed in SEED + 1..=seeds {
        jobs.extend(chance::scenarios(seed).into_iter().map(|scenario| (scenario, seed)));
    }
    jobs.retain(|(scenario, _)| only.as_ref().is_none_or(|only| scenario.name.contains(only.as_str())));
    let halves = jobs.split_at(jobs.len() / 2);
    let of = |part: &[(Scenario, u64)]| {
        let mut findings = Findings::default();
        part.iter().for_each(|(scenario, seed)| differ(scenario, *seed, &mut findings));
        findings
    };
    let findings = std::thread::scope(|scope| {
        let second = scope.spawn(|| of(halves.1));
        let mut first = of(halves.0);
        first.merge(second.join().expect("the second half"));
        first
    });
    list::check("smoltcp", &findings, false, only.is_some());
}

/// The same seed gives the same segments: otherwise a comparison would say nothing.
#[test]
fn two_runs_of_a_conversation_do_not_differ() {
    let scenarios = all();
    for name in ["both ways", "one segment is lost", "10 Mb/s, 20 ms, 1.0 %, down"] {
        let scenario = scenarios.iter().find(|scenario| scenario.name == name).expect(name);
        for stacks in [["ours", "ours"], ["ours", "smoltcp"]] {
            let mut findings = Findings::default();
            let outcomes = [0, 1].map(|_| conversation(scenario, stacks, SEED));
            findings.compare(scenario, stacks, &outcomes[0], &outcomes[1]);
            assert!(findings.found.is_empty(), "{name}: {:?}", findings.found.keys());
            assert_eq!(outcomes[0].captures, outcomes[1].captures);
        }
    }
}

/// The kinds in what an acceptor with other settings sends, in one scenario.
fn kinds_of(name: &str, change: impl FnOnce(&mut TcpConfig)) -> BTreeSet<Kind> {
    let scenarios = all();
    let scenario = scenarios.iter().find(|scenario| scenario.name == name).expect(name);
    let reference = conversation(scenario, ["ours", "ours"], SEED);
    let setups = setups(scenario);
    let mut opener = Ours::new(setups[0], SEED, START);
    let mut acceptor = Ours::changed(setups[1], SEED + 1, START, change);
    let other = run(scenario, [&mut opener, &mut acceptor], Virtual(START), SEED);
    kinds(&compare::compare(&reference.taps[1], &other.taps[1], Side::Server))
}

/// What a stack does otherwise is seen, by name.
#[test]
fn a_stack_with_other_settings_differs_in_just_that() {
    use Kind::{OptionLayout, SackPresence, SynSackPermitted, SynTimestamps, SynWindowScale};
    let all_of = |found: &BTreeSet<Kind>, wanted: &[Kind]| wanted.iter().all(|kind| found.contains(kind));
    assert_eq!(kinds_of("one segment is lost", |_| ()), BTreeSet::new());
    let found = kinds_of("one segment is lost", |config| config.sack = false);
    assert!(all_of(&found, &[SynSackPermitted, SackPresence]), "{found:?}");
    let found = kinds_of("nothing", |config| config.timestamps = false);
    assert_eq!(found, [SynTimestamps, OptionLayout].into());
    let found = kinds_of("nothing", |config| config.window_scaling = false);
    assert!(all_of(&found, &[SynWindowScale]) && !found.contains(&SynTimestamps), "{found:?}");
}
