//! RACK: what was sent long enough before something that has arrived is lost (RFC 8985 section 6.2).
//!
//! Time alone decides, so that a lost retransmission is found like any other loss. Two lists are in the order of time:
//! what was sent once, as that is the order of the sequence numbers, and the retransmissions. Each is walked only as far
//! as something is due, and what is judged is never looked at again.

use std::time::Duration;

use super::sent::{Delivered, SentRecords, Stamp};
use crate::time::Instant;

/// The latest transmission that has arrived, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rack {
    /// RACK.xmit_ts and RACK.end_seq.
    latest: Option<Stamp>,
    /// RACK.rtt.
    rtt: Duration,
}

/// What is needed to tell whose ACK an ACK of a retransmission is.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// When the ACK arrived.
    pub arrived: Instant,
    /// The least round-trip time known.
    pub min_rtt: Option<Duration>,
    /// The echoed timestamp is older than a transmission at this time, where timestamps are in use.
    pub echo_before: Option<Instant>,
}

impl Rack {
    /// Takes in what an ACK has delivered.
    // 8985-6.2-2: not what may be the ACK of an earlier copy: its echo is older, or it came too soon.
    pub fn update(&mut self, done: &Delivered, evidence: &Evidence) {
        let arrived = evidence.arrived;
        let too_soon = |at| evidence.min_rtt.is_some_and(|least| arrived.saturating_since(at) < least);
        let old_echo = |at| evidence.echo_before.is_some_and(|limit| at >= limit);
        let again = [done.acked.again, done.sacked.again].into_iter().flatten();
        let sure = again.filter(|stamp| !too_soon(stamp.at) && !old_echo(stamp.at));
        for stamp in sure.chain([done.acked.once, done.sacked.once].into_iter().flatten()) {
            if self.latest.is_none_or(|latest| stamp.is_after(latest)) {
                self.latest = Some(stamp);
                self.rtt = arrived.saturating_since(stamp.at);
            }
        }
    }

    /// RACK.xmit_ts and RACK.end_seq, once something has arrived.
    pub fn latest(&self) -> Option<Stamp> {
        self.latest
    }

    /// RACK.rtt, once something has arrived.
    pub fn rtt(&self) -> Option<Duration> {
        self.latest.map(|_| self.rtt)
    }
}

/// What has been found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Octets newly marked as lost.
    pub octets: u32,
    /// When the latest of the retransmissions among them was sent.
    pub resent_at: Option<Instant>,
    /// When the next loss is to be decided on, if nothing arrives until then.
    pub next: Option<Instant>,
}

/// Marks what is lost at this time.
// 8985-6.2-5: sent before the latest that arrived, and as long ago as that took and the reordering window more.
pub fn detect(sent: &mut SentRecords, rack: &Rack, window: Duration, now: Instant) -> Losses {
    let mut losses = Losses::default();
    if let Some(latest) = rack.latest {
        let patience = rack.rtt + window;
        judge_originals(sent, latest, patience, now, &mut losses);
        judge_retransmissions(sent, latest, patience, now, &mut losses);
    }
    losses
}

/// Those that were sent once.
fn judge_originals(sent: &mut SentRecords, latest: Stamp, patience: Duration, now: Instant, losses: &mut Losses) {
    let Some(first) = sent.first().map(|first| first.seq) else { return };
    let mut from = sent.judged.unwrap_or(first).max(first);
    for index in sent.index_at(from)..sent.len() {
        let record = sent.records[index];
        if record.is_retransmission() {
            from = record.end();
            continue;
        }
        // The segments of one super-segment left at once, and count by their numbers.
        let end = if record.sent_at < latest.at { record.end() } else { record.end().min(latest.end) };
        if record.sent_at > latest.at || end.le(from) {
            break;
        }
        let due = record.sent_at + patience;
        if due > now && sent.is_open(from.max(record.seq), end) {
            losses.next = Some(due);
            break;
        }
        losses.octets += sent.mark_lost(from.max(record.seq), end);
        from = end;
        if end != record.end() {
            break;
        }
    }
    sent.judged = Some(from);
}

/// Those that were sent again.
fn judge_retransmissions(sent: &mut SentRecords, latest: Stamp, patience: Duration, now: Instant, losses: &mut Losses) {
    while let Some(&again) = sent.again.front() {
        if !latest.is_after(Stamp { at: again.at, end: again.end }) {
            break;
        }
        if sent.is_under_way(&again) {
            let due = again.at + patience;
            if due > now {
                losses.next = Some(losses.next.map_or(due, |next| next.min(due)));
                break;
            }
            let records = sent.index_at(again.seq)..sent.index_at(again.end - 1) + 1;
            for index in records {
                let Some(&record) = sent.records.get(index) else { break };
                if record.is_retransmission() && record.sent_at == again.at {
                    losses.octets += sent.mark_lost(record.seq.max(again.seq), record.end().min(again.end));
                    losses.resent_at = losses.resent_at.max(Some(again.at));
                }
            }
        }
        sent.again.pop_front();
    }
}
