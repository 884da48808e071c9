//! Model check: breadth-first exploration of the real code. Two stacks, a link that has some faults to give, applications
//! that open, send, half-close, close and abort at any time; every state that can be reached is checked, and from every
//! one it is tried whether all ends well once the link is good. See docs/model-check.md.
// A side is an index into several arrays at once.
#![allow(clippy::needless_range_loop)]

mod action;
mod application;
mod canonical;
mod check;
mod cookies;
mod explore;
mod host;
mod link;
mod sabotage;
mod scenario;
mod scenarios;
mod segment;
mod world;

use explore::{Limits, explore, story};
use sabotage::Sabotage;
use scenario::Scenario;

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} needs a number, not '{text}'")))
}

fn limits() -> Limits {
    let threads = number("GLASSTCP_MODEL_THREADS").unwrap_or(1);
    let deep = number("GLASSTCP_MODEL_FAULTS").is_some();
    let states = number("GLASSTCP_MODEL_STATES").unwrap_or(usize::MAX);
    Limits { states, threads: threads.max(1), all_ways: deep, progress: deep }
}

/// Explores a scenario and prints what there was to see.
fn check(scenario: &Scenario) {
    let mut scenario = *scenario;
    if let Some(faults) = number("GLASSTCP_MODEL_FAULTS") {
        scenario.faults = faults as u8;
    }
    if std::env::var("GLASSTCP_MODEL_ONLY").is_ok_and(|only| !scenario.name.contains(&only)) {
        return;
    }
    let report = explore(&scenario, None, limits());
    println!(
        "{:<40} {} faults: {:>8} states, {:>8} transitions, depth {:>2}, {:>8} endings of {:.1} s at most{}",
        scenario.name,
        scenario.faults,
        report.states,
        report.transitions,
        report.depth,
        report.endings,
        report.longest.as_secs_f64(),
        if report.complete { "" } else { ", INCOMPLETE" },
    );
    if let Some(violation) = &report.violation {
        panic!("{}", story(&scenario, None, violation));
    }
}

#[test]
fn every_reachable_state_of_opening_and_closing() {
    scenarios::ALL.iter().for_each(check);
}

/// A checker that never finds anything proves nothing: each of these mistakes is found.
#[test]
fn the_checks_find_the_mistakes_of_a_broken_stack() {
    for sabotage in Sabotage::ALL {
        let scenario = Scenario { faults: 1, ..scenarios::TALK };
        let limits = Limits { states: 200_000, threads: 1, all_ways: false, progress: false };
        let report = explore(&scenario, Some(sabotage), limits);
        let violation = report.violation.unwrap_or_else(|| panic!("{sabotage:?} is not found"));
        println!("{sabotage:?}: found after {} states: {}", report.states, violation.what);
        assert!(story(&scenario, Some(sabotage), &violation).contains("sends SYN"));
    }
}
