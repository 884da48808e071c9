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

/// What an ACK says.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// SND.UNA has advanced.
    pub advances: bool,
    /// Everything sent before the timeout is acknowledged.
    pub everything: bool,
    /// With SACK: something arrived that was sent before the timeout and not again after it.
    pub original: Option<bool>,
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
            // 5682-3.1: a first answer that does not advance is the loss's.
            Frto::Retransmitted if !ack.advances || ack.everything || ack.unsent == 0 => Verdict::Loss,
            Frto::Retransmitted => {
                // 5682-2.1: up to two new segments.
                *self = Frto::Probing { left: 2 * ack.mss };
                return Verdict::SendNew;
            }
            // 5682-3.1: with SACK it must be something that was not sent again.
            Frto::Probing { .. } if ack.original.unwrap_or(ack.advances) => Verdict::Spurious,
            Frto::Probing { .. } => Verdict::Loss,
        };
        *self = Frto::Idle;
        verdict
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

    const NEW: Ack = Ack { advances: true, everything: false, original: None, unsent: 5_000, mss: 1_000 };

    /// 5682-2.1, 5682-3.1
    #[test]
    fn the_two_acks_after_a_timeout() {
        let repeat = Ack { advances: false, ..NEW };
        let sack = |original| Ack { original: Some(original), ..NEW };
        let table: [(&str, &[Ack], Verdict); 9] = [
            ("nothing", &[], Verdict::Open),
            ("both advance", &[NEW, NEW], Verdict::Spurious),
            ("the first repeats", &[repeat], Verdict::Loss),
            ("the second repeats", &[NEW, repeat], Verdict::Loss),
            ("all at once", &[Ack { everything: true, ..NEW }], Verdict::Loss),
            ("nothing new to send", &[Ack { unsent: 0, ..NEW }], Verdict::Loss),
            ("SACK: originals arrive", &[sack(true), sack(true)], Verdict::Spurious),
            ("SACK: the hole is filled, nothing else", &[sack(true), sack(false)], Verdict::Loss),
            ("SACK alone", &[Ack { advances: false, ..sack(true) }], Verdict::Loss),
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
