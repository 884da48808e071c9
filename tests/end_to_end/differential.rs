//! Ours against the kernel, by the real clock: the conversations of tests/differential, on a TUN in a namespace.
//!
//! The reference is the kernel against itself over the same path. What either side sends otherwise is compared by kind
//! with the second table of docs/differences.md. scripts/differential.sh runs all paths of the matrix as well.
//!
//! GLASSTCP_ONLY=text runs the scenarios with such a name alone; GLASSTCP_TRACES=directory keeps the captures.

#[path = "../differential/shared/mod.rs"]
pub mod shared;

use std::path::Path;

use glasstcp::time::Instant;

use super::differential_kernel::{Kernel, Real, Tun};
use super::namespace::{Namespace, namespace};
use shared::endpoint::{Endpoint, Setup};
use shared::findings::{Findings, check_streams};
use shared::list;
use shared::normal;
use shared::ours::Ours;
use shared::run::{Outcome, capture_name, keep, run};
use shared::scenario::{Class, Scenario, all};

/// Namespaces that hold conversations at the same time: nearly all of the time is waiting.
const PARTS: usize = 6;
/// The number of the part that a child holds.
const PART: &str = "GLASSTCP_PART";
/// All that make sense by the real clock, and not only those for which there is time in a test.
const LONG: &str = "GLASSTCP_LONG";
/// A stack never starts at the origin of time.
const START: Instant = Instant::from_secs(1_000);
const SEED: u64 = 1;

/// The reference first.
const STACKS: [[&str; 2]; 3] = [["Linux", "Linux"], ["ours", "Linux"], ["Linux", "ours"]];

/// The paths of the matrix that are part of the test.
const MATRIX: [&str; 3] = ["100 Mb/s, 1 ms, 1.0 %, ", "100 Mb/s, 20 ms, 0.0 %, ", "reordering, "];

fn scenarios() -> Vec<Scenario> {
    let only = std::env::var("GLASSTCP_ONLY").ok();
    let long = std::env::var_os(LONG).is_some();
    let chosen = |scenario: &Scenario| {
        let short = scenario.class != Class::Matrix || MATRIX.iter().any(|name| scenario.name.starts_with(name));
        scenario.real && (short || long) && only.as_ref().is_none_or(|only| scenario.name.contains(only.as_str()))
    };
    all().into_iter().filter(chosen).collect()
}

fn setups(scenario: &Scenario, number: usize) -> [Setup; 2] {
    // Ports of their own, as what went before may still be in TIME-WAIT.
    let ports = [5_000 + number as u16, 16_000 + number as u16];
    Setup::pair(scenario, ["10.9.0", "fd00:99:"], ports)
}

/// 9293-MUST-2, 9293-MUST-14, pitfall 1: what the kernel makes of all that we send is what it makes of its own.
#[test]
fn every_difference_from_linux_is_explained() {
    let mut parts = Vec::new();
    for _ in 0..PARTS {
        let Some(namespace) = namespace("differential", &[]) else { return };
        // The second network, and nothing that one conversation tells the next one.
        namespace.check("ip addr add 10.0.1.1/24 dev glass0");
        namespace.check("ip addr add fd00:68::1/64 dev glass0 nodad");
        for (name, value) in [("no_metrics_save", "1"), ("ecn", "2"), ("sack", "1"), ("timestamps", "1")] {
            namespace.check(&format!("echo {value} > /proc/sys/net/ipv4/tcp_{name}"));
        }
        // Every kernel has Reno.
        namespace
            .check("cd /proc/sys/net/ipv4; echo cubic > tcp_congestion_control || echo reno > tcp_congestion_control");
        parts.push(namespace);
    }
    let hold = |number: usize, namespace: &Namespace| {
        let number = number.to_string();
        let directory = namespace.directory.display().to_string();
        let variables = [(PART, number.as_str()), ("GLASSTCP_TRACES", directory.as_str())];
        let output = namespace.run_child_test("differential::child_holds_conversations", &variables);
        assert!(output.contains("all conversations were held"), "{output}");
    };
    std::thread::scope(|scope| {
        for (number, namespace) in parts.iter().enumerate() {
            scope.spawn(move || hold(number, namespace));
        }
    });
    let mut findings = Findings::default();
    for (number, scenario) in scenarios().iter().enumerate() {
        let directory = &parts[number % PARTS].directory;
        let [reference, others @ ..] = STACKS.map(|stacks| load(directory, scenario, stacks));
        for (stacks, other) in STACKS[1..].iter().zip(&others) {
            findings.compare(scenario, *stacks, &reference, other);
        }
    }
    list::check("Linux", &findings, true, std::env::var_os("GLASSTCP_ONLY").is_some());
}

/// The captures that a child has left.
fn load(directory: &Path, scenario: &Scenario, stacks: [&str; 2]) -> Outcome {
    let captures = [0, 1].map(|side| {
        let file = directory.join(capture_name(scenario, stacks, side));
        let capture = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Some(kept) = std::env::var_os("GLASSTCP_TRACES") {
            std::fs::create_dir_all(&kept).expect("the directory of the captures");
            std::fs::write(Path::new(&kept).join(capture_name(scenario, stacks, side)), &capture).expect("a capture");
        }
        capture
    });
    let taps = [0, 1].map(|side| normal::read(&captures[side]).expect("a capture").remove(0));
    Outcome { taps, captures, read: [(0, false, false); 2] }
}

/// Runs inside the namespace, started by [`every_difference_from_linux_is_explained`].
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_holds_conversations() {
    let part: usize = std::env::var(PART).expect("the part").parse().expect("a number");
    let tun = Tun::open("glass0");
    for (number, scenario) in scenarios().iter().enumerate().filter(|(number, _)| number % PARTS == part) {
        for (place, stacks) in STACKS.into_iter().enumerate() {
            let setups = setups(scenario, STACKS.len() * number + place);
            let [mut opener, mut acceptor] = [0, 1].map(|side| -> Box<dyn Endpoint> {
                match stacks[side] {
                    "ours" => Box::new(Ours::new(setups[side], SEED + side as u64, START)),
                    _ => Box::new(Kernel::new(setups[side], side, &tun)),
                }
            });
            let outcome = run(scenario, [&mut *opener, &mut *acceptor], Real::new(START, &tun), SEED);
            keep(scenario, stacks, &outcome);
            check_streams(scenario, stacks, &outcome);
        }
    }
    println!("all conversations were held");
}
