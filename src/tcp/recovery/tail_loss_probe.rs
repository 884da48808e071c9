//! Tail loss probes: the last segments have nothing behind them whose arrival would show that they are lost, so something
//! is sent to draw an ACK (RFC 8985 section 7).

use std::time::Duration;

use super::ranges::Range;
use crate::tcp::sequence::SeqNumber;

/// How long a peer may hold an ACK back (WCDelAckT).
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);

/// The probe timeout before the first round-trip time is known.
const WITHOUT_RTT: Duration = Duration::from_secs(1);

/// PTO: how long after the last transmission a probe is due, and `least` at least. `alone`: only one segment is in flight.
///
/// On a path of microseconds twice the round trip is no more than the time for which a busy peer is not scheduled, and each
/// connection would set a timer for it with every segment.
// 8985-7.2-2
pub fn timeout(srtt: Option<Duration>, alone: bool, least: Duration) -> Duration {
    let Some(srtt) = srtt else { return WITHOUT_RTT };
    let delay = if alone { MAX_ACK_DELAY } else { Duration::ZERO };
    (srtt + srtt + delay).max(least)
}

/// A probe whose fate is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// TLP.end_seq: SND.NXT when it had left.
    pub end: SeqNumber,
    /// TLP.is_retrans: it was nothing new.
    pub retransmission: bool,
}

/// What an ACK says to a probe.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// SEG.ACK.
    pub ack: SeqNumber,
    /// What has arrived twice, by its D-SACK.
    pub duplicate: Option<Range>,
    /// It repeats an ACK, and has no SACK block.
    pub repeats: bool,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is not known yet.
    Unknown,
    /// Nothing was lost.
    NothingLost,
    /// It has repaired a loss, of which congestion control does not know.
    Repaired,
}

impl Probe {
    /// What an ACK shows.
    // RFC 8985 section 7.4.2
    pub fn fate(&self, answer: &Answer) -> Fate {
        if answer.ack.lt(self.end) {
            Fate::Unknown
        } else if !self.retransmission {
            Fate::NothingLost
        } else if answer.duplicate.is_some_and(|(_, right)| right == self.end) {
            // Both copies have arrived.
            Fate::NothingLost
        } else if answer.ack.gt(self.end) {
            // What came after it arrived, and no second copy was reported.
            Fate::Repaired
        } else if answer.repeats {
            // The ACK of the original and that of the probe.
            Fate::NothingLost
        } else {
            Fate::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8985-7.2-2
    #[test]
    fn the_probe_timeout() {
        let ms = Duration::from_millis;
        for (srtt, alone, expected) in [
            (Some(ms(100)), false, ms(200)),
            (Some(ms(100)), true, ms(400)),
            (None, false, ms(1_000)),
            (None, true, ms(1_000)),
            (Some(Duration::from_micros(50)), false, ms(10)),
        ] {
            assert_eq!(timeout(srtt, alone, ms(10)), expected, "{srtt:?} {alone}");
        }
    }

    /// RFC 8985 section 7.4.2: the three cases, and what is not one of them.
    #[test]
    fn the_fate_of_a_probe() {
        let table = [
            // (retransmission, ACK beyond the end, D-SACK up to, repeats) -> fate
            (false, -1, None, false, Fate::Unknown),
            (false, 0, None, false, Fate::NothingLost),
            (true, -1, Some(0), false, Fate::Unknown),
            (true, 0, None, false, Fate::Unknown),
            (true, 0, Some(0), false, Fate::NothingLost),
            (true, 0, Some(-5), false, Fate::Unknown),
            (true, 0, None, true, Fate::NothingLost),
            (true, 1, None, false, Fate::Repaired),
            (true, 1, Some(0), false, Fate::NothingLost),
        ];
        for base in [0, u32::MAX, 1 << 31] {
            let end = SeqNumber(base);
            let at = |offset: i32| SeqNumber(base.wrapping_add_signed(offset));
            for (retransmission, ack, duplicate, repeats, fate) in table {
                let duplicate = duplicate.map(|right| (at(right) - 10, at(right)));
                let probe = Probe { end, retransmission };
                assert_eq!(probe.fate(&Answer { ack: at(ack), duplicate, repeats }), fate);
            }
        }
    }
}
