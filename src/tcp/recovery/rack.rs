//! RACK: what was sent long enough before something that has arrived is lost (RFC 8985 section 6.2).
//!
//! Time alone decides, so that a lost retransmission is found like any other loss. Two lists are in the order of time:
//! what was sent once, as that is the order of the sequence numbers, and the retransmissions. Each is walked only as far
//! as something is due, and what is judged is never looked at again.

use std::time::Duration;

use super::sent::{Again, Delivered, SentRecords, Stamp};
use crate::time::Instant;

/// The latest transmission that has arrived, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rack {
    /// RACK.xmit_ts and RACK.end_seq.
    latest: Option<Stamp>,
    /// RACK.rtt.
    rtt: Duration,
}

impl Rack {
    /// Takes in what an ACK has delivered that arrived at this time.
    // 8985-6.2-2: of what was sent again only what is sure ([`doubt_from`]).
    pub fn update(&mut self, done: &Delivered, arrived: Instant) {
        let stamps = [done.acked.once, done.sacked.once, done.acked.sure, done.sacked.sure].into_iter().flatten();
        let Some(newest) = stamps.reduce(|one, other| if other.is_after(one) { other } else { one }) else { return };
        // RACK.rtt is that of what has just arrived, also where something that was sent later has arrived by an earlier ACK: a
        // path that has become longer is noticed.
        self.rtt = arrived.saturating_since(newest.at);
        if self.latest.is_none_or(|latest| newest.is_after(latest)) {
            self.latest = Some(newest);
        }
    }

    /// Sets RACK.rtt by what the same ACK acknowledges by number, though it SACKs what was sent later:
    /// [`Habits::rack_by_number_last`](crate::tcp::habits::Habits::rack_by_number_last).
    pub fn number_counts_last(&mut self, done: &Delivered, arrived: Instant) {
        if let Some(last) = done.acked.highest_at.or(done.sacked.highest_at) {
            self.rtt = arrived.saturating_since(last);
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

/// Of what was sent again at this time or later, an ACK may be that of an earlier copy: its echo is older, as `echo_before`
/// says, or it came sooner than in the least round-trip time.
// 8985-6.2-2
pub fn doubt_from(arrived: Instant, min_rtt: Option<Duration>, echo_before: Option<Instant>) -> Option<Instant> {
    let nanos = |least: Duration| u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
    let sooner = min_rtt.map(|least| Instant::from_nanos(arrived.as_nanos().saturating_sub(nanos(least)) + 1));
    match (sooner, echo_before) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What has been found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Octets newly marked as lost.
    pub octets: u32,
    /// When the latest of the retransmissions among them was sent.
    pub resent_at: Option<Instant>,
    /// When all that could be lost will be known to be, if nothing arrives until then.
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
        if record.sent_at + patience > now && sent.is_open(from.max(record.seq), end) {
            sent.judged = Some(from);
            losses.next = sent.last_open_original(latest).map(|at| at + patience);
            return;
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
            if again.at + patience > now {
                let before = |other: &&Again| latest.is_after(Stamp { at: other.at, end: other.end });
                let last = sent.again.iter().take_while(before).filter(|other| sent.is_under_way(other)).last();
                losses.next = losses.next.max(last.map(|last| last.at + patience));
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

#[cfg(test)]
mod tests {
    use super::super::sent::SentRecord;
    use super::*;
    use crate::tcp::sequence::SeqNumber;

    fn record(seq: SeqNumber, len: u32, sent_at: Instant) -> SentRecord {
        SentRecord { seq, len, sent_at, segment: 1_000, transmissions: 1, syn: false, fin: false }
    }

    /// 9293-3.4-1: what was judged before lies 3 GiB back, which is 1 GiB ahead; the next loss is found all the same.
    #[test]
    fn what_was_judged_long_ago_hides_nothing() {
        let (mut sent, mut rack) = (SentRecords::default(), Rack::default());
        let mut una = SeqNumber(0);
        for second in 0..2 {
            let at = Instant::from_secs(second);
            sent.push(record(una, 1_000, at));
            sent.push(record(una + 1_000, 1_000, at));
            let mut done = Delivered::default();
            sent.sack((una + 1_000, una + 2_000), None, 10, &mut done);
            let now = at + Duration::from_millis(10);
            rack.update(&done, now);
            assert_eq!(detect(&mut sent, &rack, Duration::ZERO, now).octets, 1_000, "{second}");
            una += 2_000;
            sent.acknowledge(una, &mut done);
            for _ in 0..3 {
                sent.push(record(una, 1 << 30, now));
                una += 1 << 30;
                sent.acknowledge(una, &mut done);
            }
        }
    }
}
