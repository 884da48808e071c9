//! What an end has sent, put down in its connection as if it had left there.

use crate::tcp::connection::{Connection as Tcb, Context};
use crate::tcp::output::{self, Content};
use crate::tcp::plan::{Plan, Reason};
use crate::tcp::sequence::SeqNumber;
use crate::tcp::why::Why;
use crate::trace::segment::Seg;
use crate::wire::tcp::Flags;

/// Octets before a segment that the capture may lack: they are put in, so they cost memory.
const MAX_GAP: u32 = 16 << 20;

/// A segment has left as planned.
pub(super) fn commit(tcb: &mut Tcb, plan: &Plan, cx: &mut Context<'_>) {
    let content = Content::of(tcb, plan, cx);
    output::commit(tcb, plan, &content, cx);
}

/// Text and FIN of a segment: what was sent before is a retransmission, the rest is new.
pub(super) fn octets(tcb: &mut Tcb, seg: &Seg, text: &[u8], cx: &mut Context<'_>, acts: &mut Vec<String>) {
    let (seq, end) = (SeqNumber(seg.seq), SeqNumber(seg.seq) + seg.len());
    let (una, nxt) = (tcb.snd.una, tcb.snd.nxt);
    let fin = u32::from(seg.has(Flags::FIN));
    if seg.is_empty() {
        let probe = seq == nxt - 1 && tcb.snd.syn_acknowledged;
        let (reason, why) = if probe { (Reason::KeepAlive, Why::KeepAlive) } else { (Reason::Ack, Why::Ack) };
        acts.push(why.word().to_owned());
        commit(tcb, &Plan { seq, len: 0, flags: seg.flags, reason }, cx);
        return;
    }
    if seq.lt(nxt) {
        let (from, to) = (seq.max(una), end.min(nxt));
        acts.push(if from.lt(to) { "again".to_owned() } else { "again-acknowledged".to_owned() });
        if from.lt(to) {
            // The FIN is among it only where its place is.
            let closing = fin == 1 && to == end;
            let flags = if closing { seg.flags } else { seg.flags.without(Flags::FIN) };
            let plan =
                Plan { seq: from, len: to.since(from) - u32::from(closing), flags, reason: Reason::Retransmission };
            commit(tcb, &plan, cx);
        } else {
            commit(tcb, &Plan { seq: nxt, len: 0, flags: Flags::ACK, reason: Reason::Ack }, cx);
        }
    }
    if end.le(nxt) {
        return;
    }
    if seq.saturating_since(nxt) > MAX_GAP {
        acts.push("out-of-step".to_owned());
        return;
    }
    let mut left = (end.since(nxt) - fin) as usize;
    while left > 0 {
        match tcb.send(&text[..left.min(text.len())], cx) {
            Ok(written) if written > 0 => left -= written,
            // It should not have been sent; the judge says so.
            _ => return,
        }
    }
    if fin == 1 && tcb.close_write(cx).is_err() {
        return;
    }
    let len = end.since(nxt) - fin;
    let probe = tcb.snd.wnd == 0 && len == 1;
    let (reason, why) = match (probe, len) {
        (true, _) => (Reason::Probe, Why::WindowProbe),
        (false, 0) => (Reason::Fin, Why::Fin),
        (false, _) => (Reason::Text, Why::NewData),
    };
    acts.push(why.word().to_owned());
    commit(tcb, &Plan { seq: nxt, len, flags: seg.flags, reason }, cx);
}
