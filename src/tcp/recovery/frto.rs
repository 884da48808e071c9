//! F-RTO: whether a retransmission timeout was for nothing, told by the ACKs that follow it (RFC 5682).
//!
//! After the timeout one segment is sent again. If the next ACK advances, that may be the ACK of the originals, which were
//! only late; so new data is sent instead of more retransmissions, and the ACK after that decides.

/// Where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frto {
    /// There is nothing to find out.
    #[default]
    Idle,
    /// Step 1: the first segment was sent again, the ACK is awaited.
    Retransmitted,
    /// Step 2b: new data goes out, so many octets at most; the next ACK decides.
    Probing {
        /// What is left of them.
        left: u32,
    },
}

/// What an ACK says that advances or is a duplicate.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// SND.UNA has advanced.
    pub advances: bool,
    /// All of what was sent again in step 1 is acknowledged.
    pub covers: bool,
    /// Everything sent before the timeout is acknowledged.
    pub everything: bool,
    /// The SACK-enhanced version; `beyond` and `original` are looked at only there.
    pub sack: bool,
    /// Something that was sent after the timeout for the first time has arrived, by number or by a block.
    pub beyond: bool,
    /// Something has arrived that was sent before the timeout and not again after it.
    pub original: bool,
    /// Octets of new data that could be sent now.
    pub unsent: u32,
    /// Sender maximum segment size, in octets.
    pub mss: u32,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Open,
    /// New data goes out before any retransmission.
    SendNew,
    /// The timeout was for nothing.
    Spurious,
    /// It was not, or it cannot be told.
    Loss,
}

impl Frto {
    /// Takes in an ACK.
    pub fn acked(&mut self, ack: &Ack) -> Verdict {
        let verdict = match self {
            Frto::Idle => return Verdict::Open,
            // 5682-3.1: step 2 waits for the ACK of what was sent again; until then blocks only fill the scoreboard.
            Frto::Retransmitted if !ack.advances && ack.sack => return Verdict::Open,
            // 5682-2.1: step 2a. Without SACK a duplicate may be of a loss; an ACK of a part may be made up; an ACK of
            // everything is what a timeout looks like that was right, where only one segment was lost. Where nothing new
            // can be sent, there is nothing to ask with.
            Frto::Retransmitted if !ack.advances || !ack.covers || ack.everything || ack.unsent == 0 => Verdict::Loss,
            Frto::Retransmitted => {
                // 5682-2.1: step 2b, up to two new segments.
                *self = Frto::Probing { left: 2 * ack.mss };
                return Verdict::SendNew;
            }
            // 5682-3.1: step 3 with SACK: something from before the timeout and nothing from after it.
            Frto::Probing { .. } if ack.sack && ack.original && !ack.beyond => Verdict::Spurious,
            // 5682-2.1: step 3 without: as nothing else was sent again, what advances is the ACK of an original.
            Frto::Probing { .. } if !ack.sack && ack.advances => Verdict::Spurious,
            Frto::Probing { .. } => Verdict::Loss,
        };
        *self = Frto::Idle;
        verdict
    }

    /// The timer has expired while this was found out, with `open` before any recovery: step 1.
    // 5682-2.1, 5682-3.1: again for the same segment, too. Not where other things have been sent again before, as their ACKs
    // would be taken for those of originals.
    pub fn timed_out(self, open: bool) -> Frto {
        if open || self == Frto::Retransmitted { Frto::Retransmitted } else { Frto::Idle }
    }

    /// New data has left.
    pub fn sent(&mut self, octets: u32) {
        if let Frto::Probing { left } = self {
            *left = left.saturating_sub(octets);
        }
    }

    /// Octets of new data that may leave before any retransmission.
    pub fn allowance(&self) -> u32 {
        match self {
            Frto::Probing { left } => *left,
            _ => 0,
        }
    }

    /// Some of it has left: the ACK that decides is on its way.
    pub fn waits(&self, mss: u32) -> bool {
        matches!(self, Frto::Probing { left } if *left < 2 * mss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Ack = Ack {
        advances: true,
        covers: true,
        everything: false,
        sack: false,
        beyond: false,
        original: true,
        unsent: 5_000,
        mss: 1_000,
    };

    /// 5682-2.1, 5682-3.1: the branches of both versions.
    #[test]
    fn the_acks_after_a_timeout() {
        let repeat = Ack { advances: false, covers: false, original: false, ..NEW };
        let sack = Ack { sack: true, ..NEW };
        let held = Ack { sack: true, original: true, ..repeat };
        let table: [(&str, &[Ack], Verdict); 16] = [
            ("nothing", &[], Verdict::Open),
            ("3b: both advance", &[NEW, NEW], Verdict::Spurious),
            ("3b: also beyond what was sent before", &[NEW, Ack { beyond: true, ..NEW }], Verdict::Spurious),
            ("2a: the first repeats", &[repeat], Verdict::Loss),
            ("2a: a part of what was sent again", &[Ack { covers: false, ..NEW }], Verdict::Loss),
            ("3a: the second repeats", &[NEW, repeat], Verdict::Loss),
            ("2a: all at once", &[Ack { everything: true, ..NEW }], Verdict::Loss),
            ("2b: nothing new to send", &[Ack { unsent: 0, ..NEW }], Verdict::Loss),
            ("SACK 3b: by number", &[sack, sack], Verdict::Spurious),
            ("SACK 3b: by a block", &[sack, held], Verdict::Spurious),
            ("SACK 2: blocks first", &[held, held, Ack { sack: true, ..repeat }], Verdict::Open),
            ("SACK 2, 3b: blocks first, and then it advances", &[held, sack, held], Verdict::Spurious),
            ("SACK 2a: all at once", &[held, Ack { everything: true, ..sack }], Verdict::Loss),
            ("SACK 3a: the hole is filled, nothing else", &[sack, Ack { original: false, ..sack }], Verdict::Loss),
            ("SACK 3a: what was sent after it", &[sack, Ack { beyond: true, ..held }], Verdict::Loss),
            ("SACK 3a: a duplicate", &[sack, Ack { sack: true, ..repeat }], Verdict::Loss),
        ];
        for (name, acks, expected) in table {
            let mut frto = Frto::Retransmitted;
            let mut verdict = Verdict::Open;
            for ack in acks {
                assert!(matches!(verdict, Verdict::Open | Verdict::SendNew), "{name}: decided too soon");
                verdict = frto.acked(ack);
            }
            assert_eq!(verdict, expected, "{name}");
            assert_eq!(frto == Frto::Idle, matches!(verdict, Verdict::Spurious | Verdict::Loss), "{name}");
        }
        assert_eq!(Frto::Idle.acked(&NEW), Verdict::Open);
    }

    /// 5682-2.1: step 1, when the timer expires again.
    #[test]
    fn another_timeout_begins_anew() {
        for (before, open, after) in [
            (Frto::Idle, true, Frto::Retransmitted),
            (Frto::Retransmitted, false, Frto::Retransmitted),
            (Frto::Idle, false, Frto::Idle),
            (Frto::Probing { left: 1_000 }, false, Frto::Idle),
        ] {
            assert_eq!(before.timed_out(open), after);
        }
    }

    /// 5682-2.1
    #[test]
    fn two_new_segments_and_no_more() {
        let mut frto = Frto::Retransmitted;
        assert_eq!((frto.allowance(), frto.acked(&NEW), frto.allowance()), (0, Verdict::SendNew, 2_000));
        assert!(!frto.waits(1_000));
        frto.sent(1_000);
        assert!(frto.waits(1_000));
        assert_eq!(frto.allowance(), 1_000);
        frto.sent(5_000);
        assert_eq!(frto.allowance(), 0);
    }
}
