//! The curve of CUBIC (RFC 9438 sections 4.2 to 4.5), all in integers: octets, and milliseconds since the stage of
//! congestion avoidance began.

use std::time::Duration;

use super::Acked;
use crate::time::Instant;

/// alpha_cubic = 3 (1 - beta) / (1 + beta) = 9/17: how fast the estimate of Reno grows, in segments per window.
// 9438-4.3
const ALPHA: (u64, u64) = (9, 17);
/// C = 0.4 segments per second cubed: over milliseconds, times MSS, 4 / 10^10.
// 9438-5.1
const C: (u64, u64) = (4, 10_000_000_000);

/// The curve of a stage of congestion avoidance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Curve {
    /// When the stage began, later by all the time that the application did not use the window (t_epoch).
    pub(super) epoch: Option<Instant>,
    /// When the last ACK came.
    last_ack: Instant,
    /// It left nothing in flight.
    idle: bool,
    /// The plateau; 0: the window at the beginning of the stage (W_max).
    pub(super) w_max: u32,
    /// Milliseconds until it is reached (K).
    pub(super) k: u32,
    /// The window that Reno would have (W_est).
    w_est: u32,
    /// The window before the last loss (cwnd_prior).
    pub(super) prior: u32,
    /// Octets times octets that were acknowledged and have not grown cwnd yet.
    rest: u64,
    /// The same for `w_est`.
    est_rest: u64,
}

impl Curve {
    /// A stage begins with this window.
    fn begin(&mut self, now: Instant, cwnd: u32, mss: u32) {
        self.epoch = Some(now);
        self.w_est = cwnd;
        (self.rest, self.est_rest) = (0, 0);
        if self.w_max <= cwnd {
            // 9438-4.8: after a timeout, and after a slow start without loss, the curve begins at its plateau.
            (self.w_max, self.k) = (cwnd, 0);
        } else {
            // 9438-4.2-1: K = cbrt((W_max - cwnd_epoch) / C).
            let cube = u64::from(self.w_max - cwnd) * (C.1 / C.0) / u64::from(mss.max(1));
            self.k = cube_root(cube);
        }
    }

    /// W_cubic(t) = C (t - K)^3 + W_max, with t in milliseconds.
    // 9438-4.2-1
    fn w_cubic(&self, t: u64, mss: u32) -> u32 {
        let k = u64::from(self.k);
        let distance = t.abs_diff(k);
        let cube = distance.checked_pow(3).and_then(|cube| cube.checked_mul(C.0 * u64::from(mss)));
        let change = cube.map_or(u32::MAX, |cube| u32::try_from(cube / C.1).unwrap_or(u32::MAX));
        if t < k { self.w_max.saturating_sub(change) } else { self.w_max.saturating_add(change) }
    }

    /// Time in which the window was not used does not count.
    // 9438-4.2-2
    fn pause(&mut self, now: Instant) {
        if let Some(epoch) = self.epoch.as_mut() {
            *epoch += now - self.last_ack;
        }
    }

    /// The window after this ACK in congestion avoidance; `used` says whether the application used it.
    pub(super) fn acked(&mut self, cwnd: u32, acked: &Acked, used: bool) -> u32 {
        if self.idle || !used {
            self.pause(acked.now);
        }
        self.last_ack = acked.now;
        self.idle = acked.in_flight == 0;
        if !used {
            return cwnd;
        }
        if self.epoch.is_none() {
            self.begin(acked.now, cwnd, acked.mss);
        }
        let t = millis(acked.now - self.epoch.unwrap_or(acked.now));
        self.estimate_reno(cwnd, acked);
        if self.w_cubic(t, acked.mss) < self.w_est {
            // 9438-4.3: the region in which Reno would be faster.
            self.rest = 0;
            return cwnd.max(self.w_est);
        }
        // 9438-4.2-1: where the curve is one RTT ahead, never less than now and at most half as much again.
        let ahead = t.saturating_add(millis(acked.srtt.or(acked.rtt).unwrap_or(Duration::ZERO)));
        let target = self.w_cubic(ahead, acked.mss).clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        // 9438-4.4: (target - cwnd) / cwnd of a segment for each segment acknowledged.
        self.rest += u64::from(acked.octets) * u64::from(target - cwnd);
        let window = u64::from(cwnd.max(1));
        let growth = self.rest / window;
        self.rest %= window;
        cwnd.saturating_add(u32::try_from(growth).unwrap_or(u32::MAX))
    }

    /// W_est grows as Reno's window would.
    // 9438-4.3: alpha per window, and a whole segment once it has come as far as before the loss.
    fn estimate_reno(&mut self, cwnd: u32, acked: &Acked) {
        let (alpha, divisor) = if self.w_est < self.prior { ALPHA } else { (1, 1) };
        self.est_rest += u64::from(acked.octets) * u64::from(acked.mss) * alpha;
        let window = u64::from(cwnd.max(1)) * divisor;
        let growth = self.est_rest / window;
        self.est_rest %= window;
        self.w_est = self.w_est.saturating_add(u32::try_from(growth).unwrap_or(u32::MAX));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The cube root, rounded to the nearest integer.
fn cube_root(n: u64) -> u32 {
    let mut root = 0_u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|cube| cube <= n) {
            root = candidate;
        }
    }
    // (root + 1/2)^3 < n means that the next one is nearer: 8 n > (2 root + 1)^3.
    let next_is_nearer = u128::from(n) * 8 > (2 * u128::from(root) + 1).pow(3);
    (root + u64::from(next_is_nearer)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::tests::{MSS, ack};

    /// 9438-4.2-1, 9438-5.1: W_cubic(t) for (W_max, cwnd_epoch) in segments at 0, 0.5, 1, 2, 5, 10, 20, 50 and 100 s, against
    /// values that were computed independently in floating point. The tolerance is what a millisecond is worth.
    #[test]
    fn the_curve_by_a_reference() {
        const TIMES: [u64; 9] = [0, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
        let table: [(u32, u32, u32, [u32; 9]); 6] = [
            (100, 70, 4_217, [70000, 79456, 86681, 95640, 100192, 177354, 1672589, 38485578, 351598176]),
            (1_000, 700, 9_086, [700000, 746853, 788555, 857705, 972721, 1000306, 1520067, 28396082, 301578546]),
            (
                10_000,
                7_000,
                19_574,
                [7000000, 7224071, 7436696, 7828814, 8761698, 9648936, 10000031, 21266268, 218086507],
            ),
            (
                100_000,
                70_000,
                42_172,
                [70000000, 71054467, 72083930, 74069048, 79455531, 86680764, 95640336, 100191899, 177353999],
            ),
            (50, 50, 0, [50000, 50050, 50400, 53200, 100000, 450000, 3250000, 50050000, 400050000]),
            (20, 14, 2_466, [14000, 16959, 18739, 19959, 26507, 191041, 2176191, 42980296, 371149319]),
        ];
        for (w_max, epoch, k, expected) in table {
            let mut curve = Curve { w_max: w_max * MSS, ..Curve::default() };
            curve.begin(Instant::ZERO, epoch * MSS, MSS);
            assert_eq!(curve.k, k, "K for {w_max}");
            for (t, expected) in TIMES.into_iter().zip(expected) {
                let slope = (12 * t.abs_diff(k.into()).pow(2) / 10_000_000) as u32;
                let w = curve.w_cubic(t, MSS);
                assert!(w.abs_diff(expected) <= slope + 1, "{w_max} at {t} ms: {w}, not {expected}");
            }
        }
    }

    /// 9438-4.2-1, 9438-4.4: each ACK adds its part of the way to where the curve is one round trip ahead, which is never
    /// less than cwnd nor more than half of it further. W_max, K and cwnd in segments, milliseconds and segments.
    #[test]
    fn the_growth_of_one_ack() {
        for (name, w_max, k, cwnd, t, rtt, growth) in [
            ("convex: 0.4 of 3 s cubed", 100, 0, 100, 2_000, 1_000, 10_800),
            ("concave", 100, 4_217, 70, 0, 500, 9_458),
            ("half as much again", 10, 0, 10, 10_000, 100, 5_000),
            ("just that", 10, 0, 10, 2_000, 300, 4_866),
            ("the curve is behind", 100, 0, 200, 2_000, 1_000, 0),
        ] {
            for octets in [cwnd * MSS, MSS] {
                let mut curve = Curve { epoch: Some(Instant::ZERO), w_max: w_max * MSS, k, ..Curve::default() };
                let srtt = Some(Duration::from_millis(rtt));
                let acked = Acked { now: Instant::from_millis(t), srtt, ..ack(octets, cwnd * MSS) };
                let grown = curve.acked(cwnd * MSS, &acked, true) - cwnd * MSS;
                let expected = growth * (octets / MSS) / cwnd;
                assert!(grown.abs_diff(expected) <= 1, "{name}, {octets}: {grown}, not {expected}");
            }
        }
    }

    #[test]
    fn cube_roots_are_the_nearest_integers() {
        for root in [0_u64, 1, 2, 3, 10, 1_000, 42_172, 1 << 20, 2_642_245] {
            let cube = root.pow(3);
            assert_eq!(u64::from(cube_root(cube)), root);
            assert_eq!(u64::from(cube_root(cube + root)), root, "just above {root}");
        }
        // 3.5^3 = 42.875
        assert_eq!((cube_root(42), cube_root(43)), (3, 4));
        assert_eq!(cube_root(u64::MAX), 2_642_246);
    }

    #[test]
    fn the_longest_time_and_the_largest_window_do_not_overflow() {
        let mut curve = Curve { w_max: u32::MAX, ..Curve::default() };
        curve.begin(Instant::ZERO, 1, 1);
        assert_eq!((curve.w_cubic(u64::MAX, 65_535), curve.w_cubic(0, 65_535)), (u32::MAX, 0));
    }

    /// 9438-4.3: the region of Reno is where the curve lies below its window, and nowhere else; and that window grows by a whole
    /// segment from where it is as large as before the loss.
    #[test]
    fn the_region_of_reno_has_exact_bounds() {
        for (w_est, window) in [(100 * MSS, 99 * MSS), (100 * MSS + 1, 100 * MSS + 1)] {
            let mut curve = Curve { epoch: Some(Instant::ZERO), w_max: 100 * MSS, w_est, ..Curve::default() };
            // By one octet neither of them grows.
            let acked = Acked { srtt: Some(Duration::from_millis(100)), ..ack(1, 99 * MSS) };
            assert_eq!(curve.acked(99 * MSS, &acked, true), window);
        }
        for (prior, grown) in [(50 * MSS, 51 * MSS), (50 * MSS + 1, 50 * MSS + MSS * 9 / 17)] {
            let mut curve = Curve { w_est: 50 * MSS, prior, ..Curve::default() };
            curve.estimate_reno(50 * MSS, &ack(50 * MSS, 50 * MSS));
            assert_eq!(curve.w_est, grown);
        }
    }
}
