//! What each family of attacks costs, as the table of docs/security.md: `scripts/security.sh` runs this, and counts instructions
//! by callgrind beside it. The families, and the bounds that tests hold them to, are in tests/attack.
//!
//! ```text
//! attacks            the table, without instructions
//! attacks --list     the numbers of the families
//! attacks NUMBER     one family, for callgrind: how many packets it was
//! ```
#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../tests/attack/families.rs"]
mod families;
#[path = "../tests/attack/measure.rs"]
mod measure;
#[path = "../tests/attack/packet.rs"]
mod packet;
#[path = "../tests/attack/steps.rs"]
mod steps;
#[path = "../tests/attack/target.rs"]
mod target;

use families::{ALL, Family};
use measure::{Costs, measure};

/// Steps of each family for octets and times.
const STEPS: u32 = 100_000;
/// Under callgrind, which is fifty times slower.
const FEW: u32 = 3_000;
/// Runs for the times, of which the shortest counts: what else the machine does only adds to it.
const RUNS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        None => ALL.iter().enumerate().for_each(|(number, family)| println!("{}", row(number, family))),
        Some("--list") => (0..ALL.len()).for_each(|number| println!("{number}")),
        Some(number) => match number.parse::<usize>().ok().and_then(|number| ALL.get(number)) {
            Some(family) => println!("{}", measure(family, FEW).traffic.packets_in),
            None => println!("no family {number}: --list names them"),
        },
    }
}

/// One row of the table; the script puts the instructions for `@NUMBER@`.
fn row(number: usize, family: &Family) -> String {
    let runs: Vec<Costs> = (0..RUNS).map(|_| measure(family, STEPS)).collect();
    let each = |costs: &Costs| costs.traffic.spent.as_nanos() as f64 / costs.traffic.packets_in as f64;
    let nanos = runs.iter().map(each).fold(f64::INFINITY, f64::min);
    let costs = runs[0];
    let traffic = costs.traffic;
    let share = |out: u64, into: u64| out as f64 / into as f64;
    format!(
        "| {} | {} | {} | {} | `{}` | {} | {} | {:.0} | @{number}@ | {:.2} ({:.2}) | {} of {} |",
        family.name,
        family.aim,
        family.defence,
        family.rows,
        family.test,
        costs.per_packet,
        kib(costs.most),
        nanos,
        share(traffic.packets_out, traffic.packets_in),
        share(traffic.octets_out, traffic.octets_in),
        costs.served,
        costs.asked,
    )
}

fn kib(octets: usize) -> String {
    format!("{} KiB", octets.div_ceil(1 << 10))
}
