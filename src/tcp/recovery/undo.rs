//! Whether what was sent again was sent for nothing: by the echoed timestamp of the first ACK (Eifel detection, RFC 3522),
//! or because each copy is reported to have arrived twice (the idea of RFC 3708).

use super::ranges::Range;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::timestamp::is_before;

/// What one reduction of the congestion window was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Episode {
    /// SND.UNA when it began.
    since: SeqNumber,
    /// Octets sent again since, of which no second arrival is reported.
    unproven: u32,
    /// Our timestamp in the first segment that was sent again, until an ACK has been judged by it.
    first_stamp: Option<u32>,
    /// One was: what is sent again later proves nothing.
    judged: bool,
}

/// A reduction of the congestion window that may turn out to be a mistake, as long as it can be undone. Boxed, as most
/// connections never lose anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo(Option<Box<Episode>>);

impl Undo {
    /// The congestion window is reduced while `una` is the first octet in flight, and of what was sent again before (by a
    /// tail loss probe, say) `resent` octets may still arrive: that they arrive twice proves nothing.
    pub fn begin(&mut self, una: SeqNumber, resent: u32) {
        self.0 = Some(Box::new(Episode { since: una, unproven: resent, first_stamp: None, judged: false }));
    }

    /// Something is sent again, with this timestamp of ours.
    pub fn retransmitted(&mut self, octets: u32, stamp: Option<u32>) {
        if let Some(episode) = &mut self.0 {
            episode.unproven = episode.unproven.saturating_add(octets);
            if !episode.judged {
                episode.first_stamp = episode.first_stamp.or(stamp);
            }
        }
    }

    /// An ACK of something new, with this echo, that begins with what was last sent with our timestamp `again` if it was
    /// sent again: true if the echo is older than what was sent again first, so that the original has arrived.
    ///
    /// The first such ACK tells. Not one that begins with what an earlier recovery has sent again: its echo is older in any
    /// case, and so is that of an ACK that begins with what was sent once.
    pub fn is_original(&mut self, echo: Option<u32>, again: Option<u32>) -> bool {
        let (Some(episode), Some(again)) = (&mut self.0, again) else { return false };
        let Some(first) = episode.first_stamp.filter(|&first| !is_before(again, first)) else { return false };
        (episode.first_stamp, episode.judged) = (None, true);
        let original = echo.is_some_and(|echo| echo != 0 && is_before(echo, first));
        if original {
            self.0 = None;
        }
        original
    }

    /// A D-SACK: true if by now everything that was sent again has arrived twice.
    pub fn is_all_duplicate(&mut self, (left, right): Range) -> bool {
        let Some(episode) = &mut self.0 else { return false };
        if left.lt(episode.since) || episode.unproven == 0 {
            return false;
        }
        debug_assert!(left.lt(right), "a range is not empty");
        episode.unproven = episode.unproven.saturating_sub(right.since(left));
        let all = episode.unproven == 0;
        if all {
            self.0 = None;
        }
        all
    }

    /// It is too late to undo it.
    pub fn forget(&mut self) {
        self.0 = None;
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
            undo.begin(SeqNumber(1), 0);
            undo.retransmitted(100, first);
            undo.retransmitted(100, first.map(|first| first + 9));
            // What was sent once, or again by an earlier recovery, says nothing.
            assert!(!undo.is_original(echo, None));
            assert!(!undo.is_original(echo, first.map(|first| first.wrapping_sub(1))));
            assert_eq!(undo.is_original(echo, first), original, "{first:?} {echo:?}");
            // Only the first ACK tells, also where more is sent again behind it.
            assert!(!undo.is_original(Some(1), first));
            undo.retransmitted(100, first.map(|first| first + 20));
            assert!(!undo.is_original(Some(1), first.map(|first| first + 20)));
        }
        let mut undo = Undo::default();
        undo.retransmitted(100, Some(500));
        assert!(!undo.is_original(Some(499), Some(500)), "nothing to undo");
    }

    #[test]
    fn every_copy_must_have_arrived_twice() {
        for base in [0, u32::MAX - 100, 1 << 31] {
            let at = |left: u32, right: u32| range(base.wrapping_add(left), base.wrapping_add(right));
            let mut undo = Undo::default();
            undo.begin(SeqNumber(base.wrapping_add(100)), 0);
            undo.retransmitted(50, None);
            undo.retransmitted(50, None);
            assert!(!undo.is_all_duplicate(at(20, 90)), "from before");
            assert!(!undo.is_all_duplicate(at(100, 150)));
            assert!(undo.is_all_duplicate(at(150, 200)));
            assert!(!undo.is_all_duplicate(at(150, 200)), "once");
        }
        // The second arrival of what a probe has sent again leaves that of the rest open.
        let mut undo = Undo::default();
        undo.begin(SeqNumber(0), 10);
        undo.retransmitted(10, None);
        assert!(!undo.is_all_duplicate(range(90, 100)));
        assert!(undo.is_all_duplicate(range(0, 10)));
        // Without a retransmission there is nothing that it could prove.
        let mut undo = Undo::default();
        undo.begin(SeqNumber(0), 0);
        assert!(!undo.is_all_duplicate(range(0, 10)));
        undo.forget();
        assert_eq!(undo, Undo::default());
    }
}
