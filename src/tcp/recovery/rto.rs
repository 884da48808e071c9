//! The retransmission timeout (RFC 6298 sections 2 and 5, RFC 8961).

use std::time::Duration;

use super::rtt::RttEstimator;

/// Bounds of an RTO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtoBounds {
    /// Before the first sample.
    pub initial: Duration,
    /// Floor: by so much at least it is longer than SRTT.
    pub min: Duration,
    /// Cap.
    pub max: Duration,
}

/// A retransmission timeout: by construction never below the floor nor above the cap.
///
/// The floor bounds the term of variation and so the whole, too. A floor of the whole alone would be met by a steady path whose
/// SRTT comes near it: there the timer would expire as soon as an ACK is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rto(Duration);

impl Rto {
    /// The timeout of this estimate, doubled `backoff` times.
    pub fn new(rtt: &RttEstimator, bounds: &RtoBounds, backoff: u8) -> Rto {
        // 6298-2.1: the initial value until there is a sample. 6298-2.4: the floor.
        let base = rtt.timeout(bounds.min).unwrap_or_else(|| bounds.initial.max(bounds.min)).min(bounds.max);
        // This is asked with every segment, and multiplying a Duration costs divisions.
        if backoff == 0 {
            return Rto(base);
        }
        // 6298-5.5, 8961-4.4: doubled at each expiry, up to the cap of 6298-2.5.
        Rto(base.saturating_mul(1_u32.checked_shl(u32::from(backoff)).unwrap_or(u32::MAX)).min(bounds.max))
    }

    /// The time itself.
    pub fn duration(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::config::TcpConfig;

    fn bounds() -> RtoBounds {
        let config = TcpConfig::default();
        RtoBounds { initial: config.initial_rto, min: config.min_rto, max: config.max_rto }
    }

    /// 6298-2.1, 8961-4.1
    #[test]
    fn one_second_before_the_first_sample() {
        assert_eq!(Rto::new(&RttEstimator::default(), &bounds(), 0).duration(), Duration::from_secs(1));
    }

    /// 6298-5.5, 8961-4.4, 6298-2.5
    #[test]
    fn doubles_up_to_a_cap_of_at_least_a_minute() {
        let series: Vec<u64> =
            (0..10).map(|n| Rto::new(&RttEstimator::default(), &bounds(), n).duration().as_secs()).collect();
        assert_eq!(series, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert!(bounds().max >= Duration::from_secs(60));
        assert_eq!(Rto::new(&RttEstimator::default(), &bounds(), 255).duration(), bounds().max);
    }

    /// 6298-2.4
    #[test]
    fn the_floor_holds_on_a_short_path() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Duration::from_micros(10));
        assert_eq!(Rto::new(&rtt, &bounds(), 0).duration(), Duration::from_micros(200_010));
    }

    /// A floor of more nanoseconds than 64 bits count is for ever, and no short time.
    #[test]
    fn a_floor_beyond_all_time_holds() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Duration::from_millis(10));
        for secs in [1 << 40, u64::MAX] {
            let bounds = RtoBounds { min: Duration::from_secs(secs), max: Duration::MAX, ..bounds() };
            assert_eq!(Rto::new(&rtt, &bounds, 0).duration(), Duration::from_nanos(u64::MAX), "{secs}");
        }
    }

    /// 6298-2.4: nor does it come near SRTT where RTTVAR has gone to nothing and SRTT is about the floor.
    #[test]
    fn the_floor_holds_on_a_steady_path() {
        let mut rtt = RttEstimator::default();
        for _ in 0..200 {
            rtt.sample(Duration::from_millis(210));
        }
        assert_eq!(Rto::new(&rtt, &bounds(), 0).duration(), Duration::from_millis(410));
    }
}
