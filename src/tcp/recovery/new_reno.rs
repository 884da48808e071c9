//! The phases of loss recovery; and how a loss is found and repaired without SACK: fast retransmit, fast recovery and
//! limited transmit (RFC 5681 section 3.2, RFC 6582, RFC 3042). With SACK the phases are the same, but
//! [`super::rack`] finds the losses, and nothing is inflated.
//!
//! The congestion controller owns cwnd; what is here owns only the inflation of it by segments that have left the network,
//! so that a controller needs to know nothing of duplicate ACKs.

use crate::tcp::sequence::SeqNumber;

/// Duplicate ACKs that show a loss (RFC 5681 section 3.2).
const DUPLICATE_THRESHOLD: u8 = 3;

/// Where recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery: until everything sent before it began is acknowledged.
    FastRecovery,
    /// After a retransmission timeout: until everything sent before it is acknowledged.
    Timeout,
}

impl Phase {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Open => "open",
            Phase::FastRecovery => "fast recovery",
            Phase::Timeout => "timeout",
        }
    }
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Tell the controller of a loss with this FlightSize, and retransmit the first segment.
    EnterRecovery {
        /// Octets in flight, without those that limited transmit added.
        flight: u32,
    },
    /// Retransmit the first segment that is not acknowledged.
    Retransmit {
        /// The retransmission timer starts afresh: the first partial ACK of a recovery.
        restart_timer: bool,
    },
    /// Fast recovery is over: tell the controller.
    LeaveRecovery,
}

/// The variables of RFC 6582.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewReno {
    /// The phase.
    pub phase: Phase,
    /// Recovery ends when everything before this is acknowledged; also the mark below which a new one does not begin.
    recover: SeqNumber,
    /// Duplicate ACKs in a row.
    duplicates: u8,
    /// Octets by which cwnd counts as larger than it is, or as smaller.
    inflation: i32,
    /// A partial ACK has come in this recovery.
    partial_seen: bool,
    /// SND.NXT at the first of the duplicates.
    unlimited_nxt: SeqNumber,
    /// Recovery is over, but nothing sent after it is acknowledged yet.
    just_over: bool,
}

impl NewReno {
    /// At the start of a connection.
    pub fn new(iss: SeqNumber) -> NewReno {
        NewReno {
            phase: Phase::Open,
            recover: iss,
            duplicates: 0,
            inflation: 0,
            partial_seen: false,
            unlimited_nxt: iss,
            just_over: false,
        }
    }

    /// Octets by which cwnd counts as larger than it is; smaller, where one partial ACK has acknowledged more than duplicate
    /// ACKs have told of.
    pub fn inflation(&self) -> i32 {
        self.inflation
    }

    /// Duplicate ACKs in a row before this one.
    pub fn duplicates(&self) -> u8 {
        self.duplicates
    }

    /// Duplicates now may be the echo of what was sent twice in the recovery that is just over. With SACK they are told apart.
    // 6582-3.2-1: none counts before an ACK covers more than `recover`.
    pub fn duplicates_are_doubtful(&self) -> bool {
        self.just_over
    }

    /// A duplicate ACK arrived while `una..nxt` is in flight.
    pub fn duplicate_ack(&mut self, una: SeqNumber, nxt: SeqNumber, mss: u32) -> Action {
        match self.phase {
            Phase::FastRecovery => {
                // 5681-3.2-5: each further duplicate shows that one more segment has left the network.
                self.inflation = self.inflation.saturating_add(signed(mss));
                Action::None
            }
            Phase::Timeout => Action::None,
            Phase::Open => {
                self.duplicates = self.duplicates.saturating_add(1);
                if self.duplicates == 1 {
                    self.unlimited_nxt = nxt;
                }
                // 5681-3.2-3, 3042-2: each of the first two lets one new segment out, and cwnd stays as it is.
                if self.duplicates < DUPLICATE_THRESHOLD {
                    self.inflation = i32::from(self.duplicates) * signed(mss);
                    return Action::None;
                }
                // 6582-3.2-1, 5681-4.3-1: not a second time for the same window of data.
                if self.duplicates > DUPLICATE_THRESHOLD || !una.gt(self.recover) {
                    return Action::None;
                }
                // 5681-3.2-4: without the data that limited transmit added.
                let limited = nxt.since(self.unlimited_nxt).min(self.inflation.unsigned_abs());
                let flight = nxt.since(una).saturating_sub(limited).max(mss);
                self.phase = Phase::FastRecovery;
                self.recover = nxt - 1;
                self.inflation = i32::from(DUPLICATE_THRESHOLD) * signed(mss);
                self.partial_seen = false;
                // 5681-3.2-2: the third duplicate retransmits without waiting for the timer.
                Action::EnterRecovery { flight }
            }
        }
    }

    /// An ACK up to `una` acknowledged `octets` new octets.
    pub fn new_ack(&mut self, una: SeqNumber, octets: u32, mss: u32) -> Action {
        self.duplicates = 0;
        let full = una.gt(self.recover);
        self.just_over = full && self.phase != Phase::Open && una == self.recover + 1;
        match self.phase {
            Phase::Open => {
                self.inflation = 0;
                if full {
                    // 9293-3.4-1: a mark that is passed moves along, so that it stays comparable.
                    self.recover = una - 1;
                }
                Action::None
            }
            Phase::Timeout => {
                if full {
                    self.phase = Phase::Open;
                }
                Action::None
            }
            Phase::FastRecovery if full => {
                self.phase = Phase::Open;
                self.inflation = 0;
                Action::LeaveRecovery
            }
            Phase::FastRecovery => {
                // 6582-3.2-2: a partial ACK shows the next hole; deflate by what it acknowledged, below ssthresh as well:
                // where ACKs were lost, what it has made room for does not leave as one burst.
                self.inflation = self.inflation.saturating_sub(signed(octets));
                if octets >= mss {
                    self.inflation = self.inflation.saturating_add(signed(mss));
                }
                // 6582-3.2-3: the impatient variant, the timer restarts on the first partial ACK only.
                let restart_timer = !self.partial_seen;
                self.partial_seen = true;
                Action::Retransmit { restart_timer }
            }
        }
    }

    /// With SACK: a loss was found, and fast recovery begins.
    pub fn enter(&mut self, nxt: SeqNumber) {
        // 6675-5-1: RecoveryPoint = HighData.
        *self = NewReno { phase: Phase::FastRecovery, ..NewReno::new(nxt - 1) };
    }

    /// With SACK: everything up to `una` is acknowledged. The phase that this ends.
    // 6675-5-2, 6675-5.1: not before everything is covered that was sent when it began.
    pub fn advance(&mut self, una: SeqNumber) -> Option<Phase> {
        if !una.gt(self.recover) {
            return None;
        }
        let over = std::mem::replace(&mut self.phase, Phase::Open);
        // 9293-3.4-1: a mark that is passed moves along, so that it stays comparable.
        self.recover = una - 1;
        (over != Phase::Open).then_some(over)
    }

    /// The recovery was a mistake: duplicates from now on show a loss, also of what was sent before it.
    // 5682-2.1, 5682-3.1: "recover" and RecoveryPoint are SND.UNA.
    pub fn abandon(&mut self, una: SeqNumber) {
        *self = NewReno::new(una - 1);
    }

    /// This was sent before recovery began.
    pub fn is_from_before(&self, seq: SeqNumber) -> bool {
        seq.le(self.recover)
    }

    /// The retransmission timer expired.
    pub fn timeout(&mut self, nxt: SeqNumber) {
        // 6582-3.2-4: no fast retransmit for what was sent before.
        *self = NewReno { phase: Phase::Timeout, ..NewReno::new(nxt - 1) };
    }
}

fn signed(octets: u32) -> i32 {
    i32::try_from(octets).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;
    const STEP: i32 = 1_000;

    /// 5681-3.2-2, 5681-3.2-3, 3042-2, 5681-3.2-4
    #[test]
    fn two_duplicates_transmit_a_little_and_the_third_enters_recovery() {
        for iss in [0, u32::MAX, (1 << 31) - 3].map(SeqNumber) {
            let mut reno = NewReno::new(iss);
            let (una, mut nxt) = (iss + 1, iss + 1 + 10 * MSS);
            assert_eq!(reno.duplicate_ack(una, nxt, MSS), Action::None);
            assert_eq!(reno.inflation(), STEP);
            nxt += MSS;
            assert_eq!(reno.duplicate_ack(una, nxt, MSS), Action::None);
            assert_eq!(reno.inflation(), 2 * STEP);
            nxt += MSS;
            assert_eq!(reno.duplicate_ack(una, nxt, MSS), Action::EnterRecovery { flight: 10 * MSS });
            assert_eq!((reno.phase, reno.inflation()), (Phase::FastRecovery, 3 * STEP));
            assert_eq!(reno.duplicate_ack(una, nxt, MSS), Action::None);
            assert_eq!(reno.inflation(), 4 * STEP);
        }
    }

    /// 6582-3.2-3, 5681-4.3-1
    #[test]
    fn partial_acks_retransmit_and_the_full_ack_ends_it() {
        let mut reno = NewReno::new(SeqNumber(0));
        let (una, nxt) = (SeqNumber(1), SeqNumber(10_001));
        for _ in 0..3 {
            reno.duplicate_ack(una, nxt, MSS);
        }
        assert_eq!(reno.new_ack(SeqNumber(3_001), 3_000, MSS), Action::Retransmit { restart_timer: true });
        assert_eq!(reno.inflation(), STEP);
        assert_eq!(reno.new_ack(SeqNumber(5_001), 2_000, MSS), Action::Retransmit { restart_timer: false });
        // 6582-3.2-2: by all that it acknowledges, and less than a segment adds none.
        assert_eq!(reno.inflation(), 0);
        assert_eq!(reno.new_ack(SeqNumber(5_601), 600, MSS), Action::Retransmit { restart_timer: false });
        assert_eq!(reno.inflation(), -600);
        assert_eq!(reno.duplicate_ack(SeqNumber(5_601), nxt, MSS), Action::None);
        assert_eq!(reno.inflation(), 400);
        assert_eq!(reno.new_ack(nxt, 4_400, MSS), Action::LeaveRecovery);
        assert_eq!((reno.phase, reno.inflation()), (Phase::Open, 0));
        // Duplicates of the same window do not start a second recovery: nothing beyond `recover` is acknowledged.
        let mut reno = NewReno::new(SeqNumber(0));
        reno.timeout(nxt);
        reno.new_ack(nxt, 10_000, MSS);
        for _ in 0..5 {
            assert_eq!(reno.duplicate_ack(nxt - 1, nxt + MSS, MSS), Action::None);
        }
    }

    /// 3042-2: what limited transmit has allowed ends with the next ACK of something new. 6582-3.2-3: the first partial ACK of
    /// each recovery restarts the timer.
    #[test]
    fn nothing_is_left_of_what_is_over() {
        let mut reno = NewReno::new(SeqNumber(0));
        let nxt = SeqNumber(10_001);
        reno.duplicate_ack(SeqNumber(1), nxt, MSS);
        reno.duplicate_ack(SeqNumber(1), nxt, MSS);
        assert_eq!(reno.inflation(), 2 * STEP);
        reno.new_ack(SeqNumber(1_001), 1_000, MSS);
        assert_eq!((reno.inflation(), reno.duplicates()), (0, 0));
        for (una, nxt) in [(1_001, 10_001), (10_002, 20_001)].map(|(una, nxt)| (SeqNumber(una), SeqNumber(nxt))) {
            for _ in 0..3 {
                reno.duplicate_ack(una, nxt, MSS);
            }
            assert_eq!(reno.phase, Phase::FastRecovery);
            assert_eq!(reno.new_ack(una + MSS, MSS, MSS), Action::Retransmit { restart_timer: true });
            // 6582-3.2-2: a whole segment has left the network and one takes its place.
            assert_eq!(reno.inflation(), 3 * STEP);
            assert_eq!(reno.new_ack(una + 2 * MSS, MSS, MSS), Action::Retransmit { restart_timer: false });
            assert_eq!(reno.new_ack(nxt + 1, 7 * MSS, MSS), Action::LeaveRecovery);
        }
    }

    /// 9293-3.4-1: with SACK, too, the mark of a recovery stays comparable however much is sent without one.
    #[test]
    fn the_mark_moves_along() {
        let mut reno = NewReno::new(SeqNumber(0));
        for step in 1..=8u32 {
            let una = SeqNumber(step.wrapping_mul(1 << 30));
            assert_eq!(reno.advance(una), None);
            assert!(reno.is_from_before(una - 1) && !reno.is_from_before(una), "{step}");
        }
    }

    #[test]
    fn after_a_timeout_duplicates_mean_nothing() {
        let mut reno = NewReno::new(SeqNumber(0));
        reno.timeout(SeqNumber(5_000));
        for _ in 0..5 {
            assert_eq!(reno.duplicate_ack(SeqNumber(1), SeqNumber(5_000), MSS), Action::None);
        }
        assert_eq!(reno.new_ack(SeqNumber(2_000), 1_999, MSS), Action::None);
        assert_eq!(reno.phase, Phase::Timeout);
        reno.new_ack(SeqNumber(5_000), 3_000, MSS);
        assert_eq!(reno.phase, Phase::Open);
    }
}
