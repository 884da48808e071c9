//! A matrix of scenarios over the simulated dumbbell: rate x delay x loss x controller, and what else can befall
//! packets, a few virtual seconds each. What comes of it is committed, so that a change of behaviour is seen in review.
//!
//! Refresh it by `GLASSTCP_REFRESH=1 cargo test --test sim matrix::`, and look at what changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use glasstcp::device::impair::{Burst, Change, CoDel, Discipline, Impairment, Red};
use glasstcp::sim::dumbbell::{DumbbellFlow, QueueLength};
use glasstcp::sim::{Dumbbell, Experiment, Outcome};
use glasstcp::tcp::congestion::Algorithm;

const RATES: [u64; 2] = [10_000_000, 100_000_000];
const RTTS_MS: [u64; 3] = [1, 20, 100];
const LOSSES: [u32; 4] = [0, 1_000, 10_000, 50_000];
const SPECIAL: [&str; 9] =
    ["reordering", "late", "duplicates", "ack-loss", "burst-loss", "outage", "route", "codel", "red"];
const DURATION: Duration = Duration::from_secs(4);

/// One flow over a dumbbell with a queue of one bandwidth-delay product.
fn dumbbell(rate: u64, rtt: Duration, loss: u32, congestion: Algorithm) -> Dumbbell {
    Dumbbell {
        rate,
        queue: QueueLength::BandwidthDelay(1_000),
        discipline: Discipline::DropTail,
        forward: Impairment::perfect().loss(loss),
        backward: Impairment::perfect(),
        changes: Vec::new(),
        flows: vec![DumbbellFlow { congestion, rtt, start: Duration::ZERO, octets: None }],
        mtu: 1_500,
        duration: DURATION,
        seed: 1,
    }
}

fn run(dumbbell: &Dumbbell) -> Outcome {
    Experiment::new(dumbbell.plan(), None).unwrap().run()
}

fn snapshot_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/recovery_matrix.txt")
}

/// The figures of one flow.
fn figures(outcome: &Outcome) -> String {
    let (flow, line) = (&outcome.flows[0], &outcome.line);
    format!(
        "{:>8} {:>4} {:>6} {:>6} {:>4} {:>8} {:>8}\n",
        flow.goodput() / 1_000,
        line.utilisation().unwrap() / 100,
        flow.needed(),
        flow.copies.spurious,
        flow.timeouts,
        line.wait.mean().as_micros(),
        line.wait.percentile(99.0).as_micros(),
    )
}

fn row(rate: u64, rtt_ms: u64, loss: u32, congestion: Algorithm) -> String {
    let outcome = run(&dumbbell(rate, Duration::from_millis(rtt_ms), loss, congestion));
    let (mbit, percent, tenth) = (rate / 1_000_000, loss / 10_000, loss / 1_000 % 10);
    format!("{mbit:>4} {rtt_ms:>4} {percent:>3}.{tenth} {congestion:<6} {}", figures(&outcome))
}

/// Anything but random loss, at 20 Mb/s and 40 ms.
fn special(name: &str, congestion: Algorithm) -> String {
    let ms = Duration::from_millis;
    let mut plan = dumbbell(20_000_000, ms(40), 0, congestion);
    let path = Impairment::perfect();
    match name {
        "reordering" => plan.forward = path.reorder(20_000, ms(5)),
        "late" => plan.forward = path.reorder(20_000, ms(60)),
        "duplicates" => plan.forward = path.duplicate(20_000),
        "ack-loss" => plan.backward = path.loss(200_000),
        "burst-loss" => {
            let burst = Burst { begin_per_million: 1_000, end_per_million: 200_000, loss_per_million: 500_000 };
            plan.forward = path.burst(burst);
        }
        "outage" => plan.changes = vec![(ms(2_000), false, Change::Down), (ms(2_200), false, Change::Up)],
        "route" => {
            plan.changes = vec![(ms(1_500), false, Change::Delay(ms(60))), (ms(3_000), false, Change::Delay(ms(10)))]
        }
        "codel" => plan.discipline = Discipline::CoDel(CoDel::default()),
        "red" => plan.discipline = Discipline::Red(Red::for_queue(100_000)),
        _ => unreachable!("{name}"),
    }
    format!("{name:<14} {congestion:<6} {}", figures(&run(&plan)))
}

#[test]
fn the_matrix_is_what_it_was() {
    let mut text = String::from(
        "# One flow over a bottleneck with a queue of one bandwidth-delay product, 4 s of virtual time.\n\
         # GLASSTCP_REFRESH=1 cargo test --test sim matrix:: refreshes this file.\n\
         #\n\
         # Mb/s RTT ms, loss %, controller: goodput kb/s, used %, retransmissions needed and spurious, timeouts, mean and p99 wait us\n",
    );
    for &congestion in &Algorithm::ALL {
        for rate in RATES {
            for rtt in RTTS_MS {
                for loss in LOSSES {
                    text += &row(rate, rtt, loss, congestion);
                }
            }
        }
    }
    text += "#\n# 20 Mb/s, 40 ms, and something else than random loss; the same figures\n";
    for &congestion in &Algorithm::ALL {
        for name in SPECIAL {
            text += &special(name, congestion);
        }
    }
    let file = snapshot_file();
    if std::env::var_os("GLASSTCP_REFRESH").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    if committed != text {
        for (old, new) in committed.lines().zip(text.lines()).filter(|(old, new)| old != new) {
            println!("- {old}\n+ {new}");
        }
        panic!(
            "the matrix has changed. Where that is meant: GLASSTCP_REFRESH=1 cargo test --test sim matrix::, and commit {}",
            file.display()
        );
    }
}

/// The same seed gives the same outcome, and another one another.
#[test]
fn one_seed_decides_everything() {
    let figures = |seed| {
        let plan = Dumbbell { seed, ..dumbbell(10_000_000, Duration::from_millis(20), 10_000, Algorithm::ALL[0]) };
        let outcome = run(&plan);
        format!("{:?} {:?} {:?}", outcome.line.counters, outcome.flows[0].copies, outcome.line.wait.mean())
    };
    assert_eq!(figures(1), figures(1));
    assert_ne!(figures(1), figures(2));
}

/// 3168-6.1.2-1: where the queue marks, hardly anything is lost, the queue stays short, and the line is in use all the same.
#[test]
fn marks_take_the_place_of_losses() {
    for &congestion in &Algorithm::ALL {
        let mut plan = dumbbell(10_000_000, Duration::from_millis(20), 0, congestion);
        plan.duration = Duration::from_secs(20);
        let mut lost = Vec::new();
        for ecn in [false, true] {
            plan.discipline = Discipline::CoDel(CoDel { ecn, ..CoDel::default() });
            let outcome = run(&plan);
            let counters = outcome.line.counters;
            lost.push(counters.managed + counters.overflowed);
            assert_eq!(counters.marked > 0, ecn, "{congestion}: {counters:?}");
            assert!(outcome.line.utilisation().unwrap() > 8_500, "{congestion}: {:?}", outcome.line.utilisation());
        }
        assert!(lost[1] < lost[0], "{congestion}: {lost:?}");
    }
}

/// What the links say and what the copies say agrees, and each octet is read once.
#[test]
fn the_figures_agree_with_each_other() {
    let octets = 3_000_000;
    let mut plan = dumbbell(10_000_000, Duration::from_millis(20), 10_000, Algorithm::ALL[0]);
    plan.flows[0].octets = Some(octets);
    plan.flows.push(plan.flows[0]);
    plan.duration = Duration::from_secs(600);
    let outcome = run(&plan);
    for flow in &outcome.flows {
        assert_eq!((flow.octets, flow.failed), (octets, None));
        assert!(flow.completed.is_some());
        let copies = flow.copies;
        assert!(copies.octets >= octets && copies.retransmissions <= copies.segments, "{copies:?}");
        assert!(copies.spurious <= copies.retransmissions, "{copies:?}");
    }
    let counters = outcome.line.counters;
    let gone = counters.lost + counters.overflowed;
    let needed: u64 = outcome.flows.iter().map(|flow| flow.needed()).sum();
    // Each packet that was lost had to be sent again, alone or with others; SYN and FIN have no text.
    assert!(counters.lost > 20 && needed <= gone && needed + 8 >= gone, "{needed} {counters:?}");
    assert!(outcome.line.utilisation().unwrap() <= 10_000);
}
