//! CUBIC by itself: flows against a reference, losses, timeouts, what is undone, and HyStart++ before them.

use super::*;
use crate::tcp::congestion::tests::{MSS, ack, loss};
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

/// In congestion avoidance after a loss at this window, in segments.
fn after_loss(window: u32) -> Cubic {
    let mut cubic = Cubic::new();
    cubic.start(MSS, 0);
    cubic.adopt(window * MSS, window * MSS, MSS);
    cubic.loss(&loss(window * MSS));
    cubic
}

/// One ACK for each segment, spread over the round trips, from `start` for `time`: the windows after each `step`.
fn run(cubic: &mut Cubic, start: Duration, rtt: Duration, time: Duration, step: Duration) -> Vec<u32> {
    let (mut windows, mut elapsed) = (Vec::new(), Duration::ZERO);
    while elapsed <= time {
        let segments = cubic.window() / MSS;
        for number in 0..segments {
            let now = elapsed + rtt * number / segments;
            while now >= step * windows.len() as u32 && step * windows.len() as u32 <= time {
                windows.push(cubic.window());
            }
            let flight = cubic.window();
            cubic.acked(&Acked {
                now: Instant::ZERO + start + now,
                srtt: Some(rtt),
                in_flight: flight - MSS,
                ..ack(MSS, flight)
            });
        }
        elapsed += rtt;
    }
    windows
}

/// 9438-4.2-1, 9438-4.3, 9438-4.4: whole flows over 5 to 100 s against a reference in floating point, within 1 %.
#[test]
fn the_window_by_a_reference() {
    let table: [(u32, u64, u64, u64, [u32; 11]); 4] = [
        (100, 100, 20, 2_000, [70000, 95605, 99992, 102799, 122588, 177360, 288548, 474451, 754261, 1147203, 1672454]),
        (
            1_000,
            50,
            20,
            2_000,
            [700000, 857675, 947370, 988239, 999485, 1000308, 1009910, 1047489, 1132243, 1283372, 1520076],
        ),
        (
            1_000,
            100,
            100,
            10_000,
            [
                700000, 1000316, 1520114, 4659182, 12817724, 28395741, 53793223, 91410166, 143646566, 212902422,
                301577738,
            ],
        ),
        (20, 10, 5, 500, [14000, 57303, 106800, 156386, 206172, 256041, 305862, 355670, 405526, 455414, 505323]),
    ];
    for (window, rtt, seconds, step, expected) in table {
        let mut cubic = after_loss(window);
        let seen = run(
            &mut cubic,
            Duration::from_secs(7),
            Duration::from_millis(rtt),
            Duration::from_secs(seconds),
            Duration::from_millis(step),
        );
        assert_eq!(seen.len(), expected.len());
        for (seen, expected) in seen.into_iter().zip(expected) {
            assert!(seen.abs_diff(expected) <= expected / 100, "{window}, {rtt} ms: {seen}, not {expected}");
        }
    }
}

/// 9438-4.6-1
#[test]
fn a_loss_leaves_seven_tenths_of_what_was_in_flight() {
    for (window, flight, cwnd, ssthresh) in [
        (100, 100, 70, 70),
        (100, 50, 35, 35),
        // What recovery let out beyond the window does not count.
        (100, 150, 70, 70),
        (3, 3, 2, 2),
        (2, 1, 2, 2),
    ] {
        let mut cubic = Cubic::new();
        cubic.adopt(window * MSS, window * MSS, MSS);
        cubic.loss(&loss(flight * MSS));
        let seen = (cubic.window(), cubic.slow_start_threshold());
        assert!(seen.0.abs_diff(cwnd * MSS) <= 100 && seen.1.abs_diff(ssthresh * MSS) <= 100, "{seen:?}");
    }
    // A mark of congestion may leave one segment in the window.
    let mut cubic = Cubic::new();
    cubic.adopt(MSS, MSS, MSS);
    cubic.congestion_experienced(&loss(MSS));
    assert_eq!((cubic.window(), cubic.slow_start_threshold()), (MSS, 2 * MSS));
}

/// 9438-4.7: the second loss below the plateau of the first lowers it further.
#[test]
fn fast_convergence() {
    let mut cubic = after_loss(100);
    assert_eq!(cubic.later().curve.w_max, 100 * MSS);
    cubic.loss(&loss(70 * MSS));
    assert_eq!((cubic.later().curve.w_max, cubic.window()), (59_500, 49 * MSS));
    // Not where the window has come as far as last time, or further.
    for segments in [100, 120] {
        let mut cubic = after_loss(100);
        cubic.cwnd = segments * MSS;
        cubic.loss(&loss(segments * MSS));
        assert_eq!(cubic.later().curve.w_max, segments * MSS);
    }
}

/// 9438-4.8: one segment, slow start to 0.7 of what was in flight, and from there a curve without a concave part.
#[test]
fn after_a_timeout_the_curve_begins_at_its_plateau() {
    let mut cubic = after_loss(100);
    cubic.timeout(&loss(70 * MSS), true);
    assert_eq!((cubic.window(), cubic.slow_start_threshold()), (MSS, 49 * MSS));
    cubic.timeout(&loss(MSS), false);
    assert_eq!((cubic.window(), cubic.slow_start_threshold()), (MSS, 49 * MSS));
    for _ in 0..48 {
        let flight = cubic.window();
        cubic.acked(&ack(MSS, flight));
    }
    assert_eq!(cubic.window(), 49 * MSS);
    let rtt = Duration::from_secs(1);
    let windows = run(&mut cubic, Duration::from_secs(1), rtt, Duration::from_secs(4), rtt);
    let curve = &cubic.later().curve;
    assert_eq!((curve.w_max, curve.k), (49 * MSS, 0));
    // 0.4 t^3 beyond 49 segments, or what Reno would have: never less than before.
    assert!(windows.windows(2).all(|pair| pair[0] < pair[1]), "{windows:?}");
    assert!((70_000..85_000).contains(&windows[4]), "{windows:?}");
}

/// 9438-4.2-2, 9438-4.6-2: ten seconds in which the application sends little, or nothing at all, do not move the curve.
#[test]
fn time_in_which_the_window_is_not_used_does_not_count() {
    let rtt = Duration::from_millis(100);
    let two = Duration::from_secs(2);
    let mut steady = after_loss(1_000);
    let expected = run(&mut steady, Duration::ZERO, rtt, two * 2, two);
    for idle in [false, true] {
        let mut cubic = after_loss(1_000);
        run(&mut cubic, Duration::ZERO, rtt, two - rtt, two);
        let before = cubic.window();
        if idle {
            // The last ACK of a burst leaves nothing in flight.
            let acked = Acked { in_flight: 0, srtt: Some(rtt), ..ack(MSS, before) };
            cubic.acked(&Acked { now: Instant::ZERO + two, ..acked });
        } else {
            for round in 1..=100 {
                let now = Instant::ZERO + two + rtt * (round - 1);
                let una = SeqNumber(round * 20 * MSS);
                let little = Acked { now, srtt: Some(rtt), una, nxt: una + 10 * MSS, ..ack(MSS, 10 * MSS) };
                cubic.acked(&little);
            }
        }
        assert!(cubic.window() - before < before / 100, "{} after {before}", cubic.window());
        let after = run(&mut cubic, two + Duration::from_secs(10), rtt, two, two);
        assert!(after[1].abs_diff(expected[2]) < expected[2] / 50, "{idle}: {after:?}, {expected:?}");
    }
}

/// 9438-4.9: and what has grown since stays.
#[test]
fn a_spurious_loss_is_undone() {
    for timeout in [false, true] {
        let mut cubic = after_loss(100);
        let rtt = Duration::from_millis(100);
        run(&mut cubic, Duration::ZERO, rtt, Duration::from_secs(2), rtt);
        let (window, threshold, curve) = (cubic.window(), cubic.slow_start_threshold(), cubic.later().curve);
        if timeout {
            cubic.timeout(&loss(window), true);
        } else {
            cubic.loss(&loss(window));
        }
        assert!(cubic.window() < window);
        cubic.undo();
        assert_eq!((cubic.window(), cubic.slow_start_threshold()), (window, threshold));
        let undone = cubic.later().curve;
        assert_eq!((undone.w_max, undone.k, undone.epoch), (curve.w_max, curve.k, curve.epoch));
        // Once only.
        cubic.cwnd = MSS;
        cubic.undo();
        assert_eq!(cubic.window(), MSS);
    }
    // Only where the window is smaller than it was.
    for more in [0, MSS] {
        let mut cubic = after_loss(100);
        let window = cubic.window();
        cubic.loss(&loss(window));
        let threshold = cubic.slow_start_threshold();
        cubic.cwnd = window + more;
        cubic.undo();
        assert_eq!((cubic.window(), cubic.slow_start_threshold()), (window + more, threshold));
    }
}

/// 9438-4.10, 9406-4.2-3, 9406-4.3: the round-trip time rises: a quarter of the growth for five rounds, then avoidance.
#[test]
fn slow_start_ends_before_there_is_a_loss() {
    let mut cubic = Cubic::new();
    cubic.start(MSS, 0);
    let mut una = SeqNumber(1);
    let mut windows = Vec::new();
    for round in 0..12_u64 {
        for _ in 0..cubic.window() / MSS {
            una += MSS;
            let rtt = Duration::from_millis(if round < 3 { 20 } else { 40 });
            let nxt = una + cubic.window();
            let now = Instant::from_millis(round * 40);
            cubic.acked(&Acked { now, rtt: Some(rtt), srtt: Some(rtt), una, nxt, ..ack(MSS, cubic.window()) });
        }
        windows.push(cubic.window() / MSS);
    }
    // Doubled for three rounds and the beginning of a fourth, which the rise ends at its eighth sample.
    assert_eq!(windows[..3], [20, 40, 80]);
    assert!((100..=110).contains(&windows[3]), "{windows:?}");
    assert!(windows[3..8].windows(2).all(|pair| pair[1] * 10 <= pair[0] * 13), "{windows:?}");
    assert!(cubic.later.is_some() && cubic.slow_start_threshold() <= cubic.window());
    // 9438-4.10: the curve begins at its plateau.
    assert_eq!(cubic.later().curve.k, 0);
}

/// 9406-4.2-4, 9406-4.3: a loss or a mark ends it in either phase, and a later slow start is without it.
#[test]
fn a_loss_ends_slow_start() {
    for (conservative, mark) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut cubic = Cubic::new();
        cubic.start(MSS, 0);
        for number in 0..40_u32 {
            let rtt = Duration::from_millis(if conservative && number >= 10 { 60 } else { 20 });
            let una = SeqNumber(number * MSS);
            cubic.acked(&Acked { rtt: Some(rtt), una, nxt: una + 10 * MSS, ..ack(MSS, 40 * MSS) });
        }
        assert_eq!(cubic.hystart.is_conservative(), conservative);
        let window = cubic.window();
        if mark {
            cubic.congestion_experienced(&loss(window));
        } else {
            cubic.loss(&loss(window));
        }
        assert_eq!(cubic.window(), cubic.slow_start_threshold());
        assert!(cubic.window() < window && cubic.later.is_some());
        let hystart = cubic.hystart;
        cubic.timeout(&loss(window / 2), true);
        cubic.acked(&Acked { rtt: Some(Duration::from_secs(1)), ..ack(MSS, MSS) });
        assert_eq!((cubic.window(), cubic.hystart), (2 * MSS, hystart));
    }
}

/// 9406-4.3, 9438-4.9: a loss that proves spurious does not end the initial slow start, nor HyStart++, which alone knows
/// where that is to end.
#[test]
fn a_spurious_loss_does_not_end_hystart() {
    for timeout in [false, true] {
        let mut cubic = Cubic::new();
        cubic.start(MSS, 0);
        let mut una = SeqNumber(0);
        let mut ten = |cubic: &mut Cubic, millis| {
            let end = una + 10 * MSS;
            while una.lt(end) {
                una += MSS;
                let rtt = Some(Duration::from_millis(millis));
                cubic.acked(&Acked { rtt, una, nxt: end, ..ack(MSS, 40 * MSS) });
            }
        };
        ten(&mut cubic, 20);
        let window = cubic.window();
        if timeout {
            cubic.timeout(&loss(window), true);
        } else {
            cubic.loss(&loss(window));
        }
        cubic.undo();
        assert_eq!((cubic.window(), cubic.slow_start_threshold()), (window, u32::MAX));
        ten(&mut cubic, 20);
        ten(&mut cubic, 40);
        assert!(cubic.hystart.is_conservative());
        for _ in 0..6 {
            ten(&mut cubic, 40);
        }
        assert_eq!(cubic.window(), cubic.slow_start_threshold());
    }
}

/// 9406-4.3, found by fuzzing: where SYNs were lost and the window of one segment was never used, HyStart++ ends with a
/// threshold of two segments, as every threshold has.
#[test]
fn hystart_ends_with_a_threshold_of_two_segments() {
    let mut cubic = Cubic::new();
    cubic.start(MSS, 2);
    let mut una = SeqNumber(0);
    for round in 0..9 {
        let end = una + 10 * MSS;
        while una.lt(end) {
            una += MSS;
            let rtt = Some(Duration::from_millis(if round < 2 { 20 } else { 40 }));
            cubic.acked(&Acked { rtt, una, nxt: end, ..ack(MSS, 0) });
        }
    }
    assert_eq!((cubic.window(), cubic.slow_start_threshold()), (MSS, 2 * MSS));
    // And slow start takes it there, which HyStart++ has nothing more to say of.
    una += MSS;
    cubic.acked(&Acked { una, nxt: una + MSS, ..ack(MSS, MSS) });
    assert_eq!(cubic.window(), 2 * MSS);
}

/// 9406-4.3: one ACK of 64 segments counts as eight, that of a super-segment in full.
#[test]
fn the_limit_of_slow_start_counts_pieces() {
    for (piece, grows) in [(MSS, 8 * MSS), (44 * MSS, 64 * MSS)] {
        let mut cubic = Cubic::new();
        cubic.start(MSS, 0);
        cubic.acked(&Acked { piece, ..ack(64 * MSS, 64 * MSS) });
        assert_eq!(cubic.window(), 10 * MSS + grows, "{piece}");
    }
}

/// 5681-4.1: and slow start finds what the path had.
#[test]
fn idleness_brings_the_restart_window() {
    let mut cubic = after_loss(100);
    cubic.restart(MSS);
    assert_eq!((cubic.window(), cubic.slow_start_threshold()), (10 * MSS, 70 * MSS));
    // Three quarters of it, where it had grown since the loss.
    let mut cubic = after_loss(100);
    cubic.cwnd = 200 * MSS;
    cubic.restart(MSS);
    assert_eq!((cubic.window(), cubic.slow_start_threshold()), (10 * MSS, 150 * MSS));
}

#[test]
fn the_longest_time_does_not_overflow() {
    let mut cubic = after_loss(1_000);
    let acked = Acked { now: Instant::from_nanos(u64::MAX), srtt: Some(Duration::MAX), ..ack(u32::MAX, u32::MAX) };
    cubic.acked(&ack(MSS, 1_000 * MSS));
    cubic.acked(&acked);
    cubic.acked(&acked);
    assert!(cubic.window() >= 700 * MSS);
}

/// 5681-4.1: after idleness the curve begins anew where slow start ends, and does not take cwnd at once to where it would be.
#[test]
fn idleness_begins_another_curve() {
    let rtt = Duration::from_millis(100);
    let mut cubic = after_loss(100);
    run(&mut cubic, Duration::ZERO, rtt, Duration::from_secs(4), rtt);
    assert!(cubic.window() > 95 * MSS);
    cubic.restart(MSS);
    while cubic.window() < cubic.slow_start_threshold() {
        let flight = cubic.window();
        cubic.acked(&ack(MSS, flight));
    }
    let before = cubic.window();
    run(&mut cubic, Duration::from_secs(5), rtt, rtt, rtt);
    assert!((1..5 * MSS).contains(&(cubic.window() - before)), "{} after {before}", cubic.window());
}

/// 9406-4.3: who takes over a threshold is past the initial slow start: no growing delay ends the one that leads there. Without
/// a threshold it is the initial one.
#[test]
fn a_threshold_that_is_taken_over_ends_hystart() {
    for (threshold, watches) in [(200 * MSS, false), (u32::MAX, true)] {
        let mut cubic = Cubic::new();
        cubic.adopt(10 * MSS, threshold, MSS);
        assert_eq!(cubic.watches_delay(), watches);
        let mut una = SeqNumber(1);
        for round in 0..12 {
            let end = una + cubic.window();
            while una.lt(end) {
                una += MSS;
                let rtt = Some(Duration::from_millis(20 + 20 * round));
                cubic.acked(&Acked { rtt, una, nxt: end, ..ack(MSS, cubic.window()) });
            }
        }
        assert_eq!(cubic.slow_start_threshold() < threshold, watches, "{}", cubic.slow_start_threshold());
    }
}
