//! Whether what was sent again was sent for nothing: by the echoed timestamp of the first ACK (Eifel detection, RFC 3522),
//! or because each copy is reported to have arrived twice (the idea of RFC 3708).

use super::ranges::Range;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::timestamp::is_before;

/// One reduction of the congestion window that may turn out to be a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// SND.UNA when it began, as long as it can be undone.
    since: Option<SeqNumber>,
    /// Octets sent again since, of which no second arrival is reported.
    unproven: u32,
    /// Our timestamp in the first segment that was sent again, until an ACK has been judged by it.
    first_stamp: Option<u32>,
    /// One was: what is sent again later proves nothing.
    judged: bool,
}

impl Undo {
    /// The congestion window is reduced while `una` is the first octet in flight.
    pub fn begin(&mut self, una: SeqNumber) {
        *self = Undo { since: Some(una), ..Undo::default() };
    }

    /// Something is sent again, with this timestamp of ours.
    pub fn retransmitted(&mut self, octets: u32, stamp: Option<u32>) {
        if self.since.is_some() {
            self.unproven = self.unproven.saturating_add(octets);
            if !self.judged {
                self.first_stamp = self.first_stamp.or(stamp);
            }
        }
    }

    /// The first ACK of something new, with this echo: true if the echo is older than what was sent again, so that the
    /// original has arrived.
    pub fn is_original(&mut self, echo: Option<u32>) -> bool {
        let Some(first) = self.first_stamp.take() else { return false };
        self.judged = true;
        let Some(echo) = echo else { return false };
        let original = self.since.is_some() && echo != 0 && is_before(echo, first);
        if original {
            *self = Undo::default();
        }
        original
    }

    /// A D-SACK: true if by now everything that was sent again has arrived twice.
    pub fn is_all_duplicate(&mut self, (left, right): Range) -> bool {
        let Some(since) = self.since.filter(|since| since.le(left) && self.unproven > 0) else { return false };
        debug_assert!(since.lt(right), "a range is not empty");
        self.unproven = self.unproven.saturating_sub(right.since(left));
        let all = self.unproven == 0;
        if all {
            *self = Undo::default();
        }
        all
    }

    /// It is too late to undo it.
    pub fn forget(&mut self) {
        *self = Undo::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(left: u32, right: u32) -> Range {
        (SeqNumber(left), SeqNumber(right))
    }

    /// RFC 3522 section 3
    #[test]
    fn an_older_echo_is_the_original() {
        for (first, echo, original) in [
            (Some(500), Some(499), true),
            (Some(500), Some(500), false),
            (Some(500), Some(501), false),
            (Some(5), Some(u32::MAX), true),
            (Some(500), Some(0), false),
            (Some(500), None, false),
            (None, Some(499), false),
        ] {
            let mut undo = Undo::default();
            undo.begin(SeqNumber(1));
            undo.retransmitted(100, first);
            undo.retransmitted(100, first.map(|first| first + 9));
            assert_eq!(undo.is_original(echo), original, "{first:?} {echo:?}");
            // Only the first ACK tells, also where more is sent again behind it: the ACKs that are on their way then echo
            // what was sent again before.
            assert!(!undo.is_original(Some(1)));
            undo.retransmitted(100, first.map(|first| first + 20));
            assert!(first.is_none() || !undo.is_original(Some(600)) && !undo.is_original(Some(1)));
        }
        let mut undo = Undo::default();
        undo.retransmitted(100, Some(500));
        assert!(!undo.is_original(Some(499)), "nothing to undo");
    }

    #[test]
    fn every_copy_must_have_arrived_twice() {
        for base in [0, u32::MAX - 100, 1 << 31] {
            let at = |left: u32, right: u32| range(base.wrapping_add(left), base.wrapping_add(right));
            let mut undo = Undo::default();
            undo.begin(SeqNumber(base.wrapping_add(100)));
            undo.retransmitted(50, None);
            undo.retransmitted(50, None);
            assert!(!undo.is_all_duplicate(at(20, 90)), "from before");
            assert!(!undo.is_all_duplicate(at(100, 150)));
            assert!(undo.is_all_duplicate(at(150, 200)));
            assert!(!undo.is_all_duplicate(at(150, 200)), "once");
        }
        // Without a retransmission there is nothing that it could prove.
        let mut undo = Undo::default();
        undo.begin(SeqNumber(0));
        assert!(!undo.is_all_duplicate(range(0, 10)));
        undo.forget();
        assert_eq!(undo, Undo::default());
    }
}
