//! What came of an experiment, in whole numbers.

use std::time::Duration;

use super::copies::CopyCounters;
use super::histogram::Histogram;
use super::series::Series;
use crate::device::impair::ImpairedCounters;
use crate::error::SocketError;
use crate::tcp::congestion::Algorithm;

/// How long packets waited in a queue.
#[derive(Clone, Debug, Default)]
pub struct Wait {
    pub(super) histogram: Histogram,
    sum: u128,
}

impl Wait {
    pub(super) fn add(&mut self, wait: Duration) {
        self.histogram.add(wait);
        self.sum += wait.as_nanos();
    }

    /// Packets that were looked at.
    pub fn count(&self) -> u64 {
        self.histogram.count()
    }

    /// On average; zero without packets.
    pub fn mean(&self) -> Duration {
        let mean = self.sum / u128::from(self.histogram.count().max(1));
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// What `percent` of them did not exceed, to within 1 %.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.histogram.percentile(percent))
    }
}

/// What came of one flow.
#[derive(Clone, Debug)]
pub struct FlowOutcome {
    /// How its sender controlled congestion.
    pub congestion: Algorithm,
    /// Octets that its receiver has read.
    pub octets: u64,
    /// From its start to its completion or to the end of the experiment.
    pub active: Duration,
    /// How long it took to send everything, if it did.
    pub completed: Option<Duration>,
    /// Why it came to nothing.
    pub failed: Option<SocketError>,
    /// Segments with text, sent again, and for nothing.
    pub copies: CopyCounters,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// How long its packets waited at the bottleneck.
    pub wait: Wait,
}

impl FlowOutcome {
    /// Octets read per time, in bits per second.
    pub fn goodput(&self) -> u64 {
        per_second(u128::from(self.octets) * 8, self.active)
    }

    /// Retransmissions without which something would not have arrived.
    pub fn needed(&self) -> u64 {
        self.copies.retransmissions - self.copies.spurious
    }
}

/// What came of the bottleneck.
#[derive(Clone, Debug)]
pub struct LineOutcome {
    /// Its rate at the end, in bits per second.
    pub rate: Option<u64>,
    /// What befell its packets.
    pub counters: ImpairedCounters,
    /// Bytes that went over it.
    pub carried: u64,
    /// From the start of the first flow to the completion of the last, or to the end.
    pub observed: Duration,
    /// How long packets of flows waited.
    pub wait: Wait,
}

impl LineOutcome {
    /// How much of its rate was used, in a hundredth of a percent; nothing where the rate is unlimited.
    pub fn utilisation(&self) -> Option<u64> {
        let used = per_second(u128::from(self.carried) * 8, self.observed);
        let used = u128::from(used) * 10_000 / u128::from(self.rate?.max(1));
        // What was put on the line just before the end is on it a little longer.
        Some(u64::try_from(used).unwrap_or(u64::MAX).min(10_000))
    }
}

/// What came of an experiment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// By flow.
    pub flows: Vec<FlowOutcome>,
    /// The bottleneck.
    pub line: LineOutcome,
    /// What plots are drawn from, if it was to be kept.
    pub series: Option<Series>,
}

impl Outcome {
    /// Jain's index of fairness over the goodput of all flows, in a ten-thousandth: 10,000 where all have the same.
    pub fn fairness(&self) -> u64 {
        fairness(&self.flows.iter().map(FlowOutcome::goodput).collect::<Vec<_>>())
    }
}

/// Jain's index of fairness, in a ten-thousandth: (sum of x)^2 / (n * sum of x^2).
pub fn fairness(rates: &[u64]) -> u64 {
    // In kbit/s, so that no number of flows makes it overflow.
    let rates = || rates.iter().map(|&rate| u128::from(rate / 1_000));
    let (sum, squares): (u128, u128) = (rates().sum(), rates().map(|rate| rate * rate).sum());
    if squares == 0 {
        return 10_000;
    }
    let count = rates().count() as u128;
    u64::try_from(sum * sum / count * 10_000 / squares).unwrap_or(u64::MAX)
}

/// So much in this time, per second.
fn per_second(amount: u128, time: Duration) -> u64 {
    u64::try_from(amount * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_is_jains() {
        assert_eq!(fairness(&[5_000_000, 5_000_000]), 10_000);
        assert_eq!(fairness(&[10_000_000, 0]), 5_000);
        assert_eq!(fairness(&[3_000_000, 1_000_000]), 8_000);
        assert_eq!(fairness(&[0, 0]), 10_000);
        assert_eq!(fairness(&[1_000_000_000_000; 1_000]), 10_000);
    }
}
