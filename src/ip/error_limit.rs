//! How many ICMP errors leave: a flood costs a bounded answer, and neither silences errors of other kinds nor those for others.

use super::rate_limit::PeerLimit;
use crate::time::Instant;
use crate::wire::icmp::IcmpError;

/// Kinds of errors with a rate of their own.
const KINDS: usize = 4;

/// The rates of ICMP errors by their kind.
#[derive(Clone, Debug)]
pub struct ErrorLimit {
    kinds: [PeerLimit; KINDS],
}

impl ErrorLimit {
    /// With so many errors of each kind a second.
    pub fn new(per_second: u32, now: Instant) -> ErrorLimit {
        ErrorLimit { kinds: std::array::from_fn(|_| PeerLimit::new(per_second, now)) }
    }

    /// Whether one more error may leave. `peer` is a hash of its receiver, as in [`PeerLimit::take`].
    // 1812-4.3.2.8, 4443-2.4-f
    pub fn take(&mut self, error: IcmpError, peer: u64, now: Instant) -> bool {
        let kind = match error {
            IcmpError::DestinationUnreachable { .. } => 0,
            IcmpError::ParameterProblem { .. } => 1,
            IcmpError::TimeExceeded { .. } => 2,
            IcmpError::PacketTooBig { .. } | IcmpError::Unknown { .. } => 3,
        };
        self.kinds[kind].take(peer, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREACHABLE: IcmpError = IcmpError::DestinationUnreachable { code: 3 };

    /// 1812-4.3.2.8, 4443-2.4-f
    #[test]
    fn a_flood_silences_neither_other_peers_nor_other_kinds() {
        let mut limit = ErrorLimit::new(100, Instant::ZERO);
        assert_eq!((0..10_000).filter(|_| limit.take(UNREACHABLE, 7, Instant::ZERO)).count(), 50);
        assert!(limit.take(IcmpError::TimeExceeded { code: 1 }, 7, Instant::ZERO));
        assert!(limit.take(IcmpError::ParameterProblem { code: 0, pointer: 0 }, 7, Instant::ZERO));
        assert_eq!((0..10_000).filter(|_| limit.take(UNREACHABLE, 8, Instant::ZERO)).count(), 50);
        // From many at once: the rate of the kind.
        assert!((0..10_000).all(|peer| !limit.take(UNREACHABLE, peer, Instant::ZERO)));
        assert!(limit.take(UNREACHABLE, 7, Instant::from_secs(1)));
        let mut none = ErrorLimit::new(0, Instant::ZERO);
        assert!(!none.take(UNREACHABLE, 7, Instant::from_secs(1)));
    }
}
