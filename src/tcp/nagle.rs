//! When a short segment may leave: Nagle's algorithm and silly-window avoidance of the sender (RFC 9293 sections 3.7.4
//! and 3.8.6.2.1).

/// The quantities of the rule, in octets.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// D: octets queued and never sent.
    pub queued: u32,
    /// U: octets that may be sent.
    pub usable: u32,
    /// Eff.snd.MSS.
    pub mss: u32,
    /// Max(SND.WND).
    pub max_wnd: u32,
    /// No short segment is in flight: SND.NXT = SND.UNA by the letter, with Minshall's modification (which RFC 9293
    /// section 3.7.4 names) full segments do not count. So the tail of one large write does not wait for a delayed ACK.
    pub idle: bool,
    /// Nagle's algorithm is off, or the queue ends with a FIN, or the data is urgent.
    pub no_delay: bool,
    /// The application holds short segments back.
    pub cork: bool,
    /// The override timer has expired.
    pub overridden: bool,
}

/// Whether to send `min(D, U)` octets now.
// 9293-MUST-38: the four conditions, with Fs = 1/2.
pub fn may_send(offer: &Offer) -> bool {
    let Offer { queued, usable, mss, max_wnd, idle, no_delay, cork, overridden } = *offer;
    let length = queued.min(usable);
    if length == 0 {
        return false;
    }
    // 9293-SHLD-28: (1) a full segment.
    if length >= mss {
        return true;
    }
    // 9293-MAY-16: corked data waits for more, or for the override timer.
    if cork && !overridden {
        return false;
    }
    // (2) All that is queued, and it counts as pushed.
    // 9293-SHLD-7: with Nagle only while nothing is unacknowledged.
    // 9293-MUST-17: or Nagle is switched off.
    if queued <= usable && (idle || no_delay) {
        return true;
    }
    // (3) At least half of the largest window ever offered.
    if (idle || no_delay) && length >= (max_wnd / 2).max(1) {
        return true;
    }
    // 9293-MUST-60: (4) the override timer, so that nothing waits for ever.
    overridden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(queued: u32, usable: u32, idle: bool) -> Offer {
        Offer { queued, usable, mss: 1_000, max_wnd: 8_000, idle, no_delay: false, cork: false, overridden: false }
    }

    /// 9293-MUST-38, 9293-SHLD-7, 9293-MUST-17, pitfall 35
    #[test]
    fn the_four_conditions() {
        let cases = [
            // (D, U, idle) -> sent
            (1_000, 1_000, false, true),
            (5_000, 1_000, false, true),
            (5_000, 999, false, false),
            (10, 5_000, true, true),
            (10, 5_000, false, false),
            (5_000, 10, true, false),
            (0, 5_000, true, false),
            (10, 0, true, false),
        ];
        for (queued, usable, idle, sent) in cases {
            assert_eq!(may_send(&offer(queued, usable, idle)), sent, "D {queued} U {usable} idle {idle}");
        }
        assert!(may_send(&Offer { no_delay: true, ..offer(10, 5_000, false) }));
        assert!(!may_send(&Offer { no_delay: true, ..offer(5_000, 10, false) }));
        assert!(may_send(&Offer { overridden: true, ..offer(5_000, 10, true) }));
    }

    /// 9293-MUST-38: a peer with a small buffer still gets its segments.
    #[test]
    fn half_of_the_largest_window_is_enough() {
        let small = |usable| Offer { max_wnd: 600, ..offer(5_000, usable, true) };
        assert!(!may_send(&small(299)) && may_send(&small(300)));
    }

    /// 9293-MAY-16
    #[test]
    fn a_cork_holds_short_segments_only() {
        assert!(!may_send(&Offer { cork: true, ..offer(999, 5_000, true) }));
        assert!(may_send(&Offer { cork: true, ..offer(1_000, 5_000, true) }));
        assert!(may_send(&Offer { cork: true, overridden: true, ..offer(999, 5_000, true) }));
    }
}
