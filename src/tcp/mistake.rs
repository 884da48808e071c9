//! What was sent again for nothing: how an ACK shows it, and what is taken back then.
//!
//! ```text
//!   is_mistake ──┬─ a D-SACK for all that was sent again             RFC 2883, RFC 3708 (recovery/undo.rs)
//!                ├─ an echo of the time before it was sent again     Eifel, RFC 3522   (recovery/undo.rs)
//!                └─ ACKs of what was sent before a timeout           F-RTO, RFC 5682   (recovery/frto.rs)
//! ```

use super::connection::{Connection, Context};
use super::due::Due;
use super::habits::Habits;
use super::loss::Ack;
use super::recovery::frto::{self, Frto, Verdict};
use super::recovery::new_reno::Phase;
use super::recovery::rack::Rack;
use crate::time::Instant;

/// By this ACK, what was sent again was sent for nothing.
pub(super) fn is_mistake(connection: &mut Connection, ack: &Ack<'_>, habits: &Habits) -> bool {
    let mut mistake = false;
    if let Some(duplicate) = ack.report.and_then(|report| report.duplicate) {
        // What the network has doubled, and a probe, say nothing of the reordering window, nor of what recovery has sent.
        let again = connection.transfer.as_ref().is_none_or(|transfer| transfer.sent.is_sent_again(duplicate));
        let of_probe = connection.probe.is_some_and(|probe| probe.end == duplicate.1);
        if connection.statistics.retransmits > 0 && again && !of_probe {
            connection.reordering.duplicate(connection.snd.una, connection.snd.nxt);
            mistake |= connection.undo.is_all_duplicate(duplicate);
        }
    }
    if ack.advances && connection.recovery.phase != Phase::Open {
        let tells = connection.agreed.timestamps && (habits.cwnd.believes_any_echo() || is_proof(connection, ack));
        let echo = ack.segment.options.timestamp.filter(|_| tells);
        let again = ack.done.begins_again.map(|at| connection.timestamp_value(at));
        mistake |= connection.undo.is_original(echo.map(|timestamp| timestamp.echo), again);
    }
    mistake | is_timeout_spurious(connection, ack)
}

/// An echo of the time before something was sent again proves that the original has arrived before it (RFC 3522 section 3.2, step
/// 5). Not with an ACK of everything: that comes, too, where nothing but ACKs was lost, and the window was lowered for those. Nor
/// with a D-SACK, which says by itself what has come twice; a peer that is known to send them would have done so.
fn is_proof(connection: &Connection, ack: &Ack<'_>) -> bool {
    let reports = connection.reordering.multiplier() > 1;
    ack.report.is_none_or(|report| report.duplicate.is_none()) && (connection.flight() > 0 || reports)
}

/// F-RTO.
fn is_timeout_spurious(connection: &mut Connection, ack: &Ack<'_>) -> bool {
    if connection.frto() == Frto::Idle || !(ack.advances || ack.duplicate || ack.done.octets > 0) {
        return false;
    }
    let una = connection.snd.una;
    let Some(transfer) = connection.transfer.as_ref() else { return false };
    let since = transfer.timed_out.map_or(Instant::ZERO, |(_, at)| at);
    let highest = ack.report.and_then(|report| report.blocks().last()).map_or(una, |block| block.1.max(una));
    let seen = frto::Ack {
        advances: ack.advances,
        covers: transfer.sent.first().is_none_or(|first| first.sent_at < since || !first.is_retransmission()),
        everything: !connection.recovery.is_from_before(una),
        sack: connection.agreed.sack,
        beyond: !connection.recovery.is_from_before(highest - 1),
        original: ack.done.oldest.is_some_and(|oldest| oldest < since),
        unsent: connection.unsent().min(connection.usable_window()),
        mss: connection.segment_payload(),
    };
    let Some(transfer) = connection.transfer.as_mut() else { return false };
    let waited = transfer.frto.waits(seen.mss);
    let verdict = transfer.frto.acked(&seen);
    // The new segments fill the window of a sender that starts over, so the next retransmission needs leave.
    if verdict == Verdict::Loss && waited {
        connection.due.add(Due::RETRANSMISSION);
    }
    verdict == Verdict::Spurious
}

/// Takes back what a recovery that was a mistake has changed.
// 5682-4: by the response that RFC 9438 section 4.9 specifies; the window and the threshold are what they were.
pub(super) fn undo(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    // What overtakes others is reordered; what is only late is not.
    connection.reordering.seen |= connection.recovery.phase == Phase::FastRecovery;
    if !connection.tells_of_mark(ack.segment) {
        // RFC 4015 section 3.1 (9): an ACK that echoes a mark of congestion restores no window.
        connection.congestion.get_mut().undo();
        if let Some(ecn) = connection.ecn.as_deref_mut() {
            ecn.withdraw();
        }
    }
    connection.recovery.abandon(connection.snd.una);
    connection.undo.forget();
    connection.due.clear(Due::RETRANSMISSION);
    if let Some(transfer) = connection.transfer.as_mut() {
        transfer.frto = Frto::Idle;
        transfer.sent.unmark_lost();
        // What seemed to be the arrival of something sent again was that of its original.
        transfer.rack = Rack::default();
    }
    connection.statistics.spurious = connection.statistics.spurious.saturating_add(1);
    cx.counters.spurious += 1;
    tracing::debug!(target: "glasstcp::recovery", connection = %connection.tuple, "sent again for nothing");
}
