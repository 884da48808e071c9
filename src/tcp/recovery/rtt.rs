//! The round-trip time estimator (RFC 6298 section 2).

use std::time::Duration;

/// Clock granularity G of RFC 6298: 1 ms, although samples are finer.
pub const GRANULARITY: Duration = Duration::from_millis(1);

/// SRTT and RTTVAR, in nanoseconds; an SRTT of 0 stands for "no sample yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RttEstimator {
    srtt: u64,
    rttvar: u64,
}

impl RttEstimator {
    /// Takes one sample.
    pub fn sample(&mut self, rtt: Duration) {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).clamp(1, u64::MAX / 16);
        if self.srtt > 0 {
            // 6298-2.3: RTTVAR first, as it uses the old SRTT; beta = 1/4, alpha = 1/8.
            self.rttvar = self.rttvar - self.rttvar / 4 + self.srtt.abs_diff(rtt) / 4;
            // What is taken away is rounded down, so that it never comes to 0.
            self.srtt = self.srtt - self.srtt / 8 + rtt / 8;
        } else {
            // 6298-2.2: the first sample.
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        }
    }

    /// The smoothed round-trip time, once there is a sample.
    pub fn srtt(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_nanos(self.srtt))
    }

    /// The variation of the round-trip time, once there is a sample.
    pub fn rttvar(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_nanos(self.rttvar))
    }

    /// SRTT + max(G, 4 RTTVAR, `floor`), once there is a sample.
    pub fn timeout(&self, floor: Duration) -> Option<Duration> {
        // 6298-4: the granularity stands in for a variance of zero.
        let least = u64::try_from(GRANULARITY.max(floor).as_nanos()).unwrap_or(u64::MAX);
        let variance = self.rttvar.saturating_mul(4).max(least);
        (self.srtt > 0).then(|| Duration::from_nanos(self.srtt.saturating_add(variance)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// 6298-2.2, 9293-MUST-18
    #[test]
    fn the_first_sample() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.timeout(Duration::ZERO), None);
        rtt.sample(ms(100));
        assert_eq!(
            (rtt.srtt(), rtt.rttvar(), rtt.timeout(Duration::ZERO)),
            (Some(ms(100)), Some(ms(50)), Some(ms(300)))
        );
    }

    /// 6298-2.3, 9293-MUST-18: the values differ if SRTT is updated before RTTVAR.
    #[test]
    fn later_samples_in_the_order_of_the_rfc() {
        let mut rtt = RttEstimator::default();
        rtt.sample(ms(100));
        rtt.sample(ms(180));
        assert_eq!(rtt.rttvar(), Some(Duration::from_micros(57_500)));
        assert_eq!(rtt.srtt(), Some(ms(110)));
        assert_eq!(rtt.timeout(Duration::ZERO), Some(ms(340)));
        rtt.sample(ms(110));
        assert_eq!(rtt.rttvar(), Some(Duration::from_micros(43_125)));
        assert_eq!(rtt.srtt(), Some(ms(110)));
    }

    /// 6298-4
    #[test]
    fn a_constant_rtt_leaves_the_granularity() {
        let mut rtt = RttEstimator::default();
        for _ in 0..200 {
            rtt.sample(ms(500));
        }
        assert_eq!(rtt.timeout(Duration::ZERO), Some(ms(501)));
    }

    #[test]
    fn absurd_samples_do_not_overflow() {
        let mut rtt = RttEstimator::default();
        for sample in [Duration::MAX, Duration::ZERO, Duration::MAX, ms(1)] {
            rtt.sample(sample);
        }
        assert!(rtt.timeout(Duration::ZERO).is_some());
    }
}
