//! What `glasstcp sim` prints: a table for people, JSON for programs.

use std::fmt::Write as _;
use std::time::Duration;

use crate::sim::outcome::{FlowOutcome, Outcome, Wait};

/// Bits per second with three digits and a unit.
pub(super) fn bits(rate: u64) -> String {
    let (size, unit) = match rate {
        1_000_000_000.. => (1_000_000_000, "Gb/s"),
        1_000_000.. => (1_000_000, "Mb/s"),
        _ => (1_000, "kb/s"),
    };
    format!("{} {unit}", thousandths(rate * 10 / (size / 100)))
}

/// A number of thousandths with two digits behind the point.
fn thousandths(number: u64) -> String {
    format!("{}.{:02}", number / 1_000, number % 1_000 / 10)
}

fn millis(time: Duration) -> String {
    thousandths(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn waits(wait: &Wait) -> String {
    if wait.count() == 0 {
        return "-".to_owned();
    }
    format!("{} / {} / {}", millis(wait.mean()), millis(wait.percentile(95.0)), millis(wait.percentile(99.0)))
}

/// The table.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<5} {:<8} {:>12} {:>10} {:>10} {:>9} {:>7} {:>7} {:>8}  queueing delay, ms",
        "flow", "control", "goodput", "received", "completed", "segments", "needed", "spur.", "timeouts",
    );
    let _ = writeln!(out, "{:>84}  mean / p95 / p99", "");
    for (number, flow) in outcome.flows.iter().enumerate() {
        let completed =
            flow.completed.map_or("-".to_owned(), |time| format!("{} s", thousandths(time.as_millis() as u64)));
        let _ = writeln!(
            out,
            "{number:<5} {:<8} {:>12} {:>10} {completed:>10} {:>9} {:>7} {:>7} {:>8}  {}",
            flow.congestion.to_string(),
            bits(flow.goodput()),
            octets(flow.octets),
            flow.copies.segments,
            flow.needed(),
            flow.copies.spurious,
            flow.timeouts,
            waits(&flow.wait),
        );
        if let Some(error) = flow.failed {
            let _ = writeln!(out, "      failed: {error}");
        }
    }
    let line = &outcome.line;
    let counters = line.counters;
    out.push('\n');
    if let (Some(rate), Some(used)) = (line.rate, line.utilisation()) {
        let _ = writeln!(out, "bottleneck      {} used to {}.{:02} %", bits(rate), used / 100, used % 100);
    }
    let _ = writeln!(out, "queueing delay  {} ms (mean / p95 / p99)", waits(&line.wait));
    let _ = writeln!(
        out,
        "packets         {} sent, {} did not fit into the queue, {} lost, {} dropped and {} marked by the queue's discipline,",
        counters.sent, counters.overflowed, counters.lost, counters.managed, counters.marked,
    );
    let _ = writeln!(
        out,
        "                {} too large, {} in an outage, {} reordered, {} doubled, {} corrupted",
        counters.too_large, counters.cut, counters.reordered, counters.duplicated, counters.corrupted,
    );
    if outcome.flows.len() > 1 {
        let fairness = outcome.fairness();
        let _ = writeln!(out, "fairness        {}.{:04} (Jain's index)", fairness / 10_000, fairness % 10_000);
    }
    out
}

fn octets(octets: u64) -> String {
    match octets {
        1_000_000.. => format!("{} MB", thousandths(octets / 1_000)),
        _ => format!("{} kB", thousandths(octets)),
    }
}

/// One JSON object. Rates are in bits per second, times in nanoseconds, shares in parts of one.
pub(super) fn json(outcome: &Outcome) -> String {
    let flows: Vec<String> = outcome.flows.iter().map(flow_json).collect();
    let line = &outcome.line;
    let counters = line.counters;
    let rate = line.rate.map_or("null".to_owned(), |rate| rate.to_string());
    let used = line.utilisation().map_or("null".to_owned(), ten_thousandths);
    format!(
        "{{\n  \"flows\": [\n{}\n  ],\n  \"fairness\": {},\n  \"bottleneck\": {{\"rate\": {rate}, \"utilisation\": {used}, \
         {}, \"sent\": {}, \"overflowed\": {}, \"lost\": {}, \"dropped_by_discipline\": {}, \"marked\": {}, \
         \"too_large\": {}, \"outage\": {}, \"reordered\": {}, \"duplicated\": {}, \"corrupted\": {}}}\n}}\n",
        flows.join(",\n"),
        ten_thousandths(outcome.fairness()),
        wait_json(&line.wait),
        counters.sent,
        counters.overflowed,
        counters.lost,
        counters.managed,
        counters.marked,
        counters.too_large,
        counters.cut,
        counters.reordered,
        counters.duplicated,
        counters.corrupted,
    )
}

fn ten_thousandths(number: u64) -> String {
    format!("{}.{:04}", number / 10_000, number % 10_000)
}

fn wait_json(wait: &Wait) -> String {
    format!(
        "\"wait_mean_ns\": {}, \"wait_p95_ns\": {}, \"wait_p99_ns\": {}",
        wait.mean().as_nanos(),
        wait.percentile(95.0).as_nanos(),
        wait.percentile(99.0).as_nanos(),
    )
}

fn flow_json(flow: &FlowOutcome) -> String {
    let completed = flow.completed.map_or("null".to_owned(), |time| time.as_nanos().to_string());
    let failed = flow.failed.map_or("null".to_owned(), |error| format!("\"{error}\""));
    format!(
        "    {{\"congestion\": \"{}\", \"goodput\": {}, \"octets\": {}, \"completed_ns\": {completed}, \"failed\": {failed}, \
         \"segments\": {}, \"retransmissions_needed\": {}, \"retransmissions_spurious\": {}, \"timeouts\": {}, {}}}",
        flow.congestion,
        flow.goodput(),
        flow.octets,
        flow.copies.segments,
        flow.needed(),
        flow.copies.spurious,
        flow.timeouts,
        wait_json(&flow.wait),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        assert_eq!(bits(95_432_100), "95.43 Mb/s");
        assert_eq!(bits(1_500_000_000), "1.50 Gb/s");
        assert_eq!(bits(999), "0.99 kb/s");
        assert_eq!(millis(Duration::from_micros(12_345)), "12.34");
        assert_eq!(octets(1_234_567), "1.23 MB");
        assert_eq!(octets(999_999), "999.99 kB");
    }
}
