//! How cwnd answers to what ACKs tell: what it grows by, what a loss lowers it from, and how often.

use super::connection::Connection;
use super::loss::{Ack, Before};

/// How cwnd answers to what ACKs tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CwndRules {
    /// What was SACKed grows it once it is acknowledged by number. A loss leaves a part of what is in flight (RFC 5681
    /// section 3.1), and the loss of what was sent again is one more (section 4.3).
    #[default]
    Flight,
    /// Outside of recovery it grows by what an ACK has delivered, and only for one that acknowledges something by number: what
    /// was SACKed before, or told by duplicate ACKs, is not counted. A loss leaves a part of cwnd itself (RFC 9438 section 4.6
    /// allows it), once for each recovery. Where more segments were overtaken than show a loss, what is SACKed grows cwnd, too.
    /// Whatever ACK echoes the time before something was sent again takes the loss back.
    Delivery,
}

impl CwndRules {
    /// Of what a loss leaves a part: what is in flight, or cwnd.
    // 5681-3.1-8
    pub(super) fn lowered_from(self, flight: u32, cwnd: u32) -> u32 {
        match self {
            CwndRules::Flight => flight,
            CwndRules::Delivery => cwnd,
        }
    }

    /// What is in the network when a recovery begins, by which PRR measures what it has repaired: that, or what cwnd is lowered
    /// from.
    pub(super) fn repaired_from(self, in_flight: u32, lowered_from: u32) -> u32 {
        match self {
            CwndRules::Flight => in_flight,
            CwndRules::Delivery => lowered_from,
        }
    }

    /// The loss of what was sent again, and a timeout, are one more sign of congestion in a recovery that has lowered cwnd.
    // 5681-4.3-1
    pub(super) fn lowers_again(self) -> bool {
        self == CwndRules::Flight
    }

    /// An echo of the time before something was sent again proves that it was sent for nothing, whatever else the ACK says.
    pub(super) fn believes_any_echo(self) -> bool {
        self == CwndRules::Delivery
    }

    /// Outside of recovery: the octets that an ACK is worth.
    ///
    /// By flight, it is what is acknowledged by number. Where the path reorders, it is what is delivered in either way, each
    /// octet once; but not in a slow start that the delay of the path is to end: reordered, it takes longer to show, and the
    /// window must not double meanwhile.
    // 5681-3.2-3: as long as nothing shows that the path reorders, SACK blocks let something new out, as less is in flight, but
    // cwnd stays. Where it does, they are no sign of a loss, and most of what arrives is first told by them: were it counted
    // later, a loss behind them would take it from the window (docs/decisions.md).
    pub(super) fn grown_by(self, connection: &Connection, ack: &Ack<'_>, before: &Before) -> u32 {
        let (delivered, mss) = (ack.done.octets, connection.segment_payload());
        match self {
            CwndRules::Flight => {
                let by_delivery = before.reorders && !ends_by_delay(connection);
                let octets = if by_delivery { delivered } else { ack.done.acknowledged };
                before.counted(connection, octets, delivered)
            }
            CwndRules::Delivery => {
                let told = u32::from(before.duplicates) * mss;
                let news = delivered.saturating_sub(told).max(delivered.min(mss));
                if ack.advances || connection.reordering.reorders() { news } else { 0 }
            }
        }
    }
}

/// A slow start that the delay of the path is to end.
fn ends_by_delay(connection: &Connection) -> bool {
    let controller = connection.congestion.get();
    controller.window() < controller.slow_start_threshold() && controller.watches_delay()
}
