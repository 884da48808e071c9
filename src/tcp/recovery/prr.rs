//! Proportional rate reduction: how much may leave for each ACK of a recovery (RFC 9937 section 6), in octets.

/// Segments that one ACK lets out beyond twice what it delivers: an initial window.
const BURST_SEGMENTS: u64 = 10;

/// The variables of one recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prr {
    /// prr_delivered: octets delivered since it began.
    delivered: u64,
    /// prr_out: octets sent since it began.
    out: u64,
    /// RecoverFS: octets that were in flight when it began.
    flight: u32,
    /// sndcnt: octets that may still leave before the next ACK. Not what may be in flight: what is found to be lost without an
    /// ACK is no reason to send more.
    left: u32,
}

/// What one ACK says.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// DeliveredData: octets newly acknowledged or SACKed.
    pub delivered: u32,
    /// Octets in flight, by the scoreboard as it is now.
    pub in_flight: u32,
    /// SND.UNA has advanced, and nothing new was found to be lost.
    pub safe: bool,
    /// ssthresh, in octets.
    pub ssthresh: u32,
    /// Sender maximum segment size, in octets.
    pub mss: u32,
}

impl Prr {
    /// A recovery begins with so many octets in flight: RecoverFS.
    // 9937-6.1: everything else begins at zero; ssthresh is the controller's.
    pub fn new(flight: u32) -> Prr {
        Prr { flight: flight.max(1), ..Prr::default() }
    }

    /// An ACK has come: how much may leave for it.
    pub fn acked(&mut self, ack: &Ack) {
        if ack.delivered == 0 {
            return;
        }
        self.delivered += u64::from(ack.delivered);
        let count = if ack.in_flight > ack.ssthresh {
            // 9937-6.2-1: proportional: as many leave as arrive, in the relation of the new window to the old one.
            let share = self.delivered * u64::from(ack.ssthresh);
            share.div_ceil(u64::from(self.flight)).saturating_sub(self.out)
        } else {
            // 9937-6.2-2: less than ssthresh is in flight: what has arrived is replaced (conservative reduction bound), and while
            // recovery makes progress one segment more (slow start reduction bound).
            let replaced = self.delivered.saturating_sub(self.out).max(u64::from(ack.delivered));
            let more = if ack.safe { u64::from(ack.mss) } else { 0 };
            (replaced + more).min(u64::from(ack.ssthresh - ack.in_flight))
        };
        // What was not sent when it could have been, as the peer's window was full or nothing was there to send, is made up
        // for by and by: each ACK doubles what it delivers, and does not let all of it out at once.
        let burst = 2 * u64::from(ack.delivered) + BURST_SEGMENTS * u64::from(ack.mss);
        self.left = u32::try_from(count.min(burst)).unwrap_or(u32::MAX);
    }

    /// Something was sent, new or again.
    pub fn sent(&mut self, octets: u32) {
        self.out += u64::from(octets);
        self.left = self.left.saturating_sub(octets);
    }

    /// Octets that may leave now.
    pub fn allowance(&self) -> u32 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    /// Runs a recovery of `flight` segments where each ACK delivers one segment and nothing else changes; the first
    /// `lost` are lost. What leaves for each ACK, in segments.
    fn run(flight: u32, lost: u32, ssthresh: u32, acks: u32, safe: bool) -> Vec<u32> {
        let mut prr = Prr::new(flight * MSS);
        let mut in_flight = (flight - lost) * MSS;
        (0..acks)
            .map(|number| {
                in_flight -= MSS;
                let ack = Ack { delivered: MSS, in_flight, safe, ssthresh: ssthresh * MSS, mss: MSS };
                prr.acked(&ack);
                let mut allowed = prr.allowance() / MSS;
                if number == 0 {
                    // The fast retransmit leaves in any case.
                    allowed = allowed.max(1);
                }
                prr.sent(allowed * MSS);
                in_flight += allowed * MSS;
                allowed
            })
            .collect()
    }

    /// 9937-6.1, 9937-6.2-1: one loss of twenty and a window of half (the first example of RFC 6937): one leaves for every two that arrive.
    #[test]
    fn a_single_loss_is_paced_over_the_round_trip() {
        let sent = run(20, 1, 10, 19, false);
        assert_eq!(sent.iter().sum::<u32>(), 10, "{sent:?}");
        assert!(sent.windows(2).all(|pair| pair[0] + pair[1] <= 2), "{sent:?}");
        // The same with the window of CUBIC: 7 of 10.
        assert_eq!(run(20, 1, 14, 19, false).iter().sum::<u32>(), 14);
    }

    /// 9937-6.2-2: fifteen losses of twenty (the second example): what is in flight falls below ssthresh at once. The conservative
    /// bound keeps it there, the other one lets it grow by one segment for each ACK.
    #[test]
    fn many_losses_are_repaired_without_a_burst() {
        assert_eq!(run(20, 15, 10, 4, false), [1, 1, 1, 1]);
        let safe = run(20, 15, 10, 8, true);
        assert_eq!(safe[..6], [2, 2, 2, 2, 2, 1], "{safe:?}");
        assert!(safe[6..].iter().all(|&sent| sent <= 1));
    }

    /// Whatever comes, no ACK lets more out than it brought and one segment, or than what it had saved up; and what is
    /// in flight never grows beyond ssthresh.
    #[test]
    fn the_bounds() {
        for (delivered, in_flight, out, safe, ssthresh) in [
            (1_000, 0, 0, true, 10_000),
            (44_000, 0, 0, true, 10_000),
            (44_000, 9_999, 0, false, 10_000),
            (1, 0, 50_000, false, 10_000),
            (1_000, 10_000, 3_000, true, 10_000),
            (u32::MAX, u32::MAX, 0, true, u32::MAX),
        ] {
            let mut prr = Prr::new(20_000);
            prr.sent(out);
            prr.acked(&Ack { delivered, in_flight, safe, ssthresh, mss: MSS });
            let sent = prr.allowance();
            assert!(sent <= delivered.saturating_add(MSS), "{sent}");
            assert!(sent <= ssthresh.saturating_sub(in_flight), "{sent}");
        }
        // What has left is not there any more, and what is sent beyond it is no debt.
        let mut prr = Prr::new(20_000);
        prr.acked(&Ack { delivered: 4_000, in_flight: 16_000, safe: true, ssthresh: 10_000, mss: MSS });
        let left: Vec<u32> = (0..3)
            .map(|_| {
                prr.sent(900);
                prr.allowance()
            })
            .collect();
        assert_eq!(left, [1_100, 200, 0]);
        // What the peer's window has held back for a round trip does not leave with the ACK that opens it.
        let mut prr = Prr::new(200_000);
        for in_flight in (50_000..150_000).rev().step_by(1_000) {
            prr.acked(&Ack { delivered: MSS, in_flight, safe: false, ssthresh: 100_000, mss: MSS });
        }
        assert_eq!(prr.allowance(), 12 * MSS);
        // Nothing delivered, nothing changes.
        let mut prr = Prr::new(20_000);
        let before = prr;
        prr.acked(&Ack { delivered: 0, in_flight: 0, safe: true, ssthresh: 10_000, mss: MSS });
        assert_eq!(prr, before);
    }
}
