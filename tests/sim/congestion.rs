//! Congestion control in a closed loop: each controller over a small bottleneck, without the stack (RFC 5681, RFC 9438,
//! RFC 9406, draft-ietf-ccwg-bbr).

use std::fmt::Write;
use std::time::Duration;

use crate::congestion_model::{Flow, MSS, Path, Source, play};
use glasstcp::tcp::congestion::{Algorithm, Congestion, Rate};
use glasstcp::time::Instant;
use proptest::collection::vec;
use proptest::prelude::{Just, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

/// 20 Mb/s over 40 ms, with a queue of one bandwidth-delay product: 69 segments each.
const ORDINARY: Path =
    Path { rate: Rate::from_octets_per_sec(2_500_000), delay: Duration::from_millis(40), queue: 100_000, loss: 0 };

const CURVES: &str = include_str!("congestion_curves.txt");

fn secs(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

/// The part of the path's rate that was used from `from` until now, in hundredths.
fn utilisation(flow: &Flow, delivered: u64, from: Instant) -> u64 {
    let octets = (flow.delivered - delivered) * u64::from(MSS);
    octets * 100 / flow.path.rate.octets_in(flow.now - from).max(1)
}

/// 9293-MAY-18: every controller fills the path, and keeps doing so with a queue of one product.
#[test]
fn every_controller_fills_an_ordinary_path() {
    for algorithm in Algorithm::ALL {
        let mut flow = Flow::new(algorithm, ORDINARY, Source::Greedy, 1);
        flow.run_until(secs(5));
        let (delivered, from) = (flow.delivered, flow.now);
        flow.run_until(secs(35));
        let used = utilisation(&flow, delivered, from);
        assert!(used >= 95, "{algorithm}: {used} %");
        assert_eq!(flow.timeouts, 0, "{algorithm}");
    }
}

/// 9293-MAY-18: random loss of 1 % is not congestion: BBR keeps the path, whatever the seed, where Reno and CUBIC keep a small part.
#[test]
fn random_loss_slows_what_goes_by_loss() {
    let used = |algorithm, seed| {
        let mut flow = Flow::new(algorithm, Path { loss: 10_000, ..ORDINARY }, Source::Greedy, seed);
        flow.run_until(secs(30));
        utilisation(&flow, 0, Instant::ZERO)
    };
    let [cubic, reno] = [Algorithm::Cubic, Algorithm::Reno].map(|algorithm| used(algorithm, 3));
    let bbr: Vec<u64> = (1..=8).map(|seed| used(Algorithm::Bbr, seed)).collect();
    assert!(bbr.iter().all(|&percent| percent >= 90), "{bbr:?} %");
    assert!(cubic >= reno && (5..60).contains(&reno), "CUBIC {cubic} %, Reno {reno} %");
}

/// A long path with a short queue: CUBIC is well ahead of Reno (RFC 9438 section 5.2), and BBR needs little queue.
#[test]
fn a_long_path_with_a_short_queue() {
    let path = Path {
        rate: Rate::from_octets_per_sec(12_500_000),
        delay: Duration::from_millis(100),
        queue: 250_000,
        loss: 10,
    };
    let used = |algorithm| {
        let mut flow = Flow::new(algorithm, path, Source::Greedy, 5);
        flow.run_until(secs(60));
        utilisation(&flow, 0, Instant::ZERO)
    };
    let [cubic, reno, bbr] = Algorithm::ALL.map(used);
    assert!(cubic > reno + 10 && cubic >= 70, "CUBIC {cubic} %, Reno {reno} %");
    assert!(bbr >= 85, "{bbr} %");
}

/// 9406-4.2-2, 9438-4.10: with a deep queue the first slow start ends before the queue overflows, which Reno's does not.
#[test]
fn slow_start_ends_before_a_deep_queue_overflows() {
    let path = Path { queue: 1_000_000, ..ORDINARY };
    let dropped = |algorithm| {
        let mut flow = Flow::new(algorithm, path, Source::Greedy, 1);
        flow.run_until(secs(3));
        flow.dropped
    };
    assert_eq!(dropped(Algorithm::Cubic), 0);
    assert!(dropped(Algorithm::Reno) > 50);
}

/// BBR keeps a deep queue nearly empty, where those that go by loss fill it.
#[test]
fn bbr_makes_little_queue() {
    let path = Path { queue: 1_000_000, ..ORDINARY };
    let waited = |algorithm| {
        let mut flow = Flow::new(algorithm, path, Source::Greedy, 1);
        flow.run_until(secs(5));
        flow.longest_wait = Duration::ZERO;
        flow.run_until(secs(60));
        flow.longest_wait
    };
    let (bbr, reno) = (waited(Algorithm::Bbr), waited(Algorithm::Reno));
    assert!(bbr < Duration::from_millis(40) && reno > Duration::from_millis(200), "BBR {bbr:?}, Reno {reno:?}");
}

/// 9438-4.6-2: an application that sends a tenth of what the path takes grows no window beyond its need, and
/// BBR does not take its rate for that of the path.
#[test]
fn an_application_that_sends_little_grows_no_window() {
    let source = Source::Limited(Rate::from_octets_per_sec(250_000));
    for algorithm in Algorithm::ALL {
        let mut flow = Flow::new(algorithm, ORDINARY, source, 1);
        flow.run_until(secs(2));
        let window = flow.congestion.get().window();
        flow.run_until(secs(60));
        let after = flow.congestion.get().window();
        assert!(after <= window.max(70 * MSS), "{algorithm}: {window}, then {after}");
        assert_eq!(flow.dropped, 0);
        // And then it sends all it can.
        flow.source = Source::Greedy;
        let (delivered, from) = (flow.delivered, flow.now);
        flow.run_until(secs(80));
        let used = utilisation(&flow, delivered, from);
        assert!(used >= 90, "{algorithm}: {used} %");
    }
}

/// The path becomes ten times as fast, or as slow: BBR's model follows.
#[test]
fn the_model_follows_the_path() {
    for (before, after) in [(1_250_000, 12_500_000), (12_500_000, 1_250_000)] {
        let path = Path { rate: Rate::from_octets_per_sec(before), queue: 1_000_000, ..ORDINARY };
        let mut flow = Flow::new(Algorithm::Bbr, path, Source::Greedy, 9);
        flow.run_until(secs(20));
        flow.path.rate = Rate::from_octets_per_sec(after);
        flow.run_until(secs(40));
        let Congestion::Bbr(bbr) = &flow.congestion else { unreachable!() };
        let rate = bbr.bandwidth().octets_per_sec();
        assert!((after * 9 / 10..=after * 11 / 10).contains(&rate), "{rate} instead of {after}");
        let (delivered, from) = (flow.delivered, flow.now);
        flow.run_until(secs(60));
        assert!(utilisation(&flow, delivered, from) >= 90);
    }
}

/// 9293-MAY-18: everything is lost for two seconds: all of them come back from their timeouts.
#[test]
fn after_an_outage_the_flow_goes_on() {
    for algorithm in Algorithm::ALL {
        let mut flow = Flow::new(algorithm, ORDINARY, Source::Greedy, 1);
        flow.run_until(secs(5));
        flow.path.loss = 1_000_000;
        flow.run_until(secs(7));
        assert!(flow.timeouts > 0);
        flow.path.loss = 0;
        flow.run_until(secs(10));
        let (delivered, from) = (flow.delivered, flow.now);
        flow.run_until(secs(20));
        let used = utilisation(&flow, delivered, from);
        assert!(used >= 90, "{algorithm}: {used} %");
    }
}

/// The windows, in segments, as a picture in text: a change of behaviour shows in review.
fn curves() -> String {
    let paths = [
        ("20 Mb/s, 40 ms, queue of one product", ORDINARY),
        ("the same with 1 % loss", Path { loss: 10_000, ..ORDINARY }),
        (
            "100 Mb/s, 100 ms, queue of a fifth",
            Path {
                rate: Rate::from_octets_per_sec(12_500_000),
                delay: Duration::from_millis(100),
                queue: 250_000,
                loss: 0,
            },
        ),
    ];
    let mut text =
        String::from("cwnd in segments each 500 ms; GLASSTCP_UPDATE_CURVES=1 cargo test --test sim congestion::\n");
    for (name, path) in paths {
        let _ = writeln!(text, "\n{name}");
        for algorithm in Algorithm::ALL {
            let mut flow = Flow::new(algorithm, path, Source::Greedy, 1);
            let _ = write!(text, "{:<6}", algorithm.as_str());
            for step in 1..=24 {
                flow.run_until(Instant::from_millis(step * 500));
                let _ = write!(text, " {}", flow.congestion.get().window() / MSS);
            }
            let _ = writeln!(text, " | {} delivered, {} dropped", flow.delivered, flow.dropped);
        }
    }
    text
}

#[test]
fn the_curves_are_as_committed() {
    let curves = curves();
    if std::env::var_os("GLASSTCP_UPDATE_CURVES").is_some_and(|value| value == "1") {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sim/congestion_curves.txt"), &curves).unwrap();
        return;
    }
    assert!(curves == CURVES, "GLASSTCP_UPDATE_CURVES=1 writes them anew:\n{curves}");
}

/// Any path, any loss: nothing overflows, and the invariants hold.
#[test]
fn any_path() {
    let algorithms = prop_oneof![Just(Algorithm::Cubic), Just(Algorithm::Reno), Just(Algorithm::Bbr)];
    let paths = (1_000_u64..100_000_000, 0_u64..2_000_000, 1_u32..2_000_000, 0_u32..300_000, any::<u64>());
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 60, ..Config::default() });
    let result = runner.run(&(algorithms, paths), |(algorithm, (rate, micros, queue, loss, seed))| {
        let rate = Rate::from_octets_per_sec(rate);
        let path = Path { rate, delay: Duration::from_micros(micros), queue, loss };
        // About twenty thousand segments, or ten seconds.
        let time = rate.time_for(20_000 * u64::from(MSS)).min(Duration::from_secs(10));
        let source = if seed.is_multiple_of(4) { Source::Limited(rate.times(1, 3)) } else { Source::Greedy };
        let mut flow = Flow::new(algorithm, path, source, seed);
        flow.run_until(Instant::ZERO + time);
        Ok(())
    });
    result.unwrap();
}

/// Any events in any order: the model of the fuzz target.
#[test]
fn any_events() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 3_000, ..Config::default() });
    runner
        .run(&vec(any::<u8>(), 0..2_000), |data| {
            play(&data);
            Ok(())
        })
        .unwrap();
}
