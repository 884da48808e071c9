//! Which segments are acceptable: the sequence test, and the tests of RST and ACK (RFC 9293 section 3.10.7.4, RFC 5961).
//!
//! Pure functions over a small [`Space`], so that half-open records and connections share them.

use super::habits::Habits;
use super::sequence::SeqNumber;

/// The variables by which segments are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// SND.UNA.
    pub una: SeqNumber,
    /// SND.NXT.
    pub nxt: SeqNumber,
    /// RCV.NXT.
    pub rcv_nxt: SeqNumber,
    /// RCV.WND, in octets.
    pub rcv_wnd: u32,
}

/// The outcome of the sequence test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Acceptable.
    Whole,
    /// Not acceptable, but its ACK, RST and URG are looked at.
    ControlOnly,
    /// Not acceptable.
    No,
}

/// The sequence test of the first step, for a segment of `len` octets of sequence space from `seq` on.
pub fn sequence(space: &Space, seq: SeqNumber, len: u32) -> Acceptance {
    let Space { rcv_nxt, rcv_wnd, .. } = *space;
    let in_window = |octet: SeqNumber| octet.since(rcv_nxt) < rcv_wnd;
    let acceptable = match (len, rcv_wnd) {
        // 9293-3.10.7.4-1
        (0, 0) => seq == rcv_nxt,
        // 9293-3.10.7.4-2
        (0, _) => in_window(seq),
        // 9293-3.10.7.4-3
        (_, 0) => false,
        // 9293-3.10.7.4-4: the first or the last octet lies in the window. A segment that covers the whole window and
        // more has neither, and is refused by the letter: the answer tells the peer where to go on (docs/decisions.md).
        (_, _) => in_window(seq) || in_window(seq + (len - 1)),
    };
    if acceptable {
        return Acceptance::Whole;
    }
    // 9293-3.10.7.4-5, 9293-MUST-66: with a zero window the text is refused, but not what the header says.
    // 9293-3.10.7.4-9: what ends exactly at RCV.NXT is a FIN or a probe that crossed ours; its ACK is as good as new.
    // An ACK of a peer that has filled the window stands exactly at its right edge. While the first octets of that window
    // are missing here, all its ACKs look like this, and our own data would be acknowledged in vain.
    let at_edge = len == 0 && seq == rcv_nxt + rcv_wnd;
    if (rcv_wnd == 0 && seq == rcv_nxt) || (len > 0 && seq + len == rcv_nxt) || at_edge {
        return Acceptance::ControlOnly;
    }
    Acceptance::No
}

/// What to do with a RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetAction {
    /// Reset the connection.
    Reset,
    /// Answer with a challenge ACK.
    Challenge,
    /// Drop it without an answer.
    Drop,
}

impl ResetAction {
    /// The same by a habit that is not the default: all of the window counts.
    pub fn by_habit(self, habits: &Habits) -> ResetAction {
        if self == ResetAction::Challenge && habits.resets.insecure_rst { ResetAction::Reset } else { self }
    }
}

/// The second step: a RST counts by its first octet alone, whatever text it carries (9293-SHLD-2).
// 9293-3.5.3-1: each RST is validated by its sequence number.
pub fn reset(space: &Space, seq: SeqNumber) -> ResetAction {
    if seq == space.rcv_nxt {
        // 9293-3.10.7.4-11: exactly the next octet expected, also while the window is zero (9293-MUST-66).
        ResetAction::Reset
    } else if seq.since(space.rcv_nxt) < space.rcv_wnd {
        // 9293-3.10.7.4-12: in the window, so perhaps the peer's, perhaps a guess.
        ResetAction::Challenge
    } else {
        // 9293-3.10.7.4-10, 9293-3.10.7.4-7
        ResetAction::Drop
    }
}

/// What an acknowledgment number is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckRange {
    /// It acknowledges something new.
    New,
    /// It acknowledges nothing new, but may be an honest duplicate.
    Duplicate,
    /// It acknowledges what was never sent.
    BeyondNext,
    /// It is older than any honest peer would send.
    TooOld,
}

/// The test of SEG.ACK in the fifth step, with the largest window that the peer ever offered.
pub fn acknowledgment(space: &Space, ack: SeqNumber, max_wnd: u32) -> AckRange {
    if ack.gt(space.nxt) {
        // 9293-3.10.7.4-27
        AckRange::BeyondNext
    } else if ack.gt(space.una) {
        // 9293-3.10.7.4-24
        AckRange::New
    } else if ack.lt(space.una - max_wnd) {
        // 9293-3.10.7.4-25, 9293-MAY-12: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT (RFC 5961 section 5). The window is
        // the scaled maximum (docs/decisions.md).
        AckRange::TooOld
    } else {
        // 9293-3.10.7.4-26
        AckRange::Duplicate
    }
}

/// Whether an ACK establishes a connection in SYN-RECEIVED: it must acknowledge our SYN.
// 9293-3.10.7.4-22: SND.UNA < SEG.ACK =< SND.NXT.
pub fn establishes(space: &Space, ack: SeqNumber) -> bool {
    ack.gt(space.una) && ack.le(space.nxt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u32; 6] = [0, 1, (1 << 31) - 1, 1 << 31, u32::MAX - 5, u32::MAX];

    fn space(base: u32, wnd: u32) -> Space {
        Space { una: SeqNumber(base), nxt: SeqNumber(base) + 1_000, rcv_nxt: SeqNumber(base), rcv_wnd: wnd }
    }

    fn test(base: u32, wnd: u32, offset: i64, len: u32) -> Acceptance {
        sequence(&space(base, wnd), SeqNumber(base.wrapping_add(offset as u32)), len)
    }

    /// 9293-3.10.7.4-1, 9293-3.10.7.4-2, pitfall 2
    #[test]
    fn segments_without_length() {
        for base in EDGES {
            assert_eq!([-1, 0, 1].map(|offset| test(base, 0, offset, 0) == Acceptance::Whole), [false, true, false]);
            assert_eq!(
                [-1, 0, 99, 100].map(|offset| test(base, 100, offset, 0) == Acceptance::Whole),
                [false, true, true, false]
            );
        }
    }

    #[test]
    fn the_ack_of_a_peer_that_has_filled_the_window_counts() {
        for base in EDGES {
            assert_eq!([100, 101].map(|offset| test(base, 100, offset, 0)), [Acceptance::ControlOnly, Acceptance::No]);
        }
    }

    /// 9293-3.10.7.4-3, 9293-3.10.7.4-4, 9293-3.10.7.4-5, pitfall 2
    #[test]
    fn segments_with_length() {
        for base in EDGES {
            assert_eq!(test(base, 0, 0, 1), Acceptance::ControlOnly);
            assert_eq!(test(base, 0, 1, 1), Acceptance::No);
            for (offset, len, acceptance) in [
                (-1, 1, Acceptance::ControlOnly),
                (-1, 2, Acceptance::Whole),
                (-100, 99, Acceptance::No),
                (0, 1, Acceptance::Whole),
                (99, 1, Acceptance::Whole),
                (99, 50, Acceptance::Whole),
                (100, 1, Acceptance::No),
                (-50, 100, Acceptance::Whole),
                (-50, 200, Acceptance::No),
            ] {
                assert_eq!(test(base, 100, offset, len), acceptance, "{base} {offset} {len}");
            }
        }
    }

    /// 9293-3.10.7.4-10, 9293-3.10.7.4-11, 9293-3.10.7.4-12, 9293-3.5.3-1, pitfall 4
    #[test]
    fn resets_only_at_the_next_octet() {
        for base in EDGES {
            let at = |offset: i64| reset(&space(base, 100), SeqNumber(base.wrapping_add(offset as u32)));
            assert_eq!(at(0), ResetAction::Reset);
            assert_eq!([at(1), at(99)], [ResetAction::Challenge; 2]);
            assert_eq!([at(-1), at(100), at(1 << 31)], [ResetAction::Drop; 3]);
            assert_eq!(reset(&space(base, 0), SeqNumber(base)), ResetAction::Reset);
        }
    }

    /// 9293-3.10.7.4-24, 9293-3.10.7.4-25, 9293-3.10.7.4-26, 9293-3.10.7.4-27, 9293-MAY-12, pitfall 31
    #[test]
    fn acknowledgments_at_both_ends() {
        for base in EDGES {
            let at = |offset: i64| acknowledgment(&space(base, 0), SeqNumber(base.wrapping_add(offset as u32)), 500);
            assert_eq!([at(1), at(1_000)], [AckRange::New; 2]);
            assert_eq!([at(0), at(-500)], [AckRange::Duplicate; 2]);
            assert_eq!(at(1_001), AckRange::BeyondNext);
            assert_eq!(at(-501), AckRange::TooOld);
        }
    }

    /// 9293-3.10.7.4-22, pitfall 11
    #[test]
    fn only_an_ack_of_the_syn_establishes() {
        for iss in EDGES {
            let space = Space { una: SeqNumber(iss), nxt: SeqNumber(iss) + 1, rcv_nxt: SeqNumber(5), rcv_wnd: 10 };
            let answers = [0, 1, 2].map(|offset| establishes(&space, SeqNumber(iss) + offset));
            assert_eq!(answers, [false, true, false]);
        }
    }
}
