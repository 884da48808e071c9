//! How a captured connection opens: SYN and SYN,ACK, with text and cookies too (RFC 7413), and what is concluded where the
//! beginning is missing.

use std::sync::Arc;

use super::super::mirror::{commit, octets};
use super::{End, Received, Replay, START, UNKNOWN_WINDOW, dropped, nobody};
use crate::counters::DropReason;
use crate::tcp::accurate_ecn;
use crate::tcp::connection::{Connection as Tcb, Context, Opening};
use crate::tcp::ecn::EcnMode;
use crate::tcp::fast_open::{Answer, FastOpen};
use crate::tcp::half_open::HalfOpen;
use crate::tcp::input::segment_arrives;
use crate::tcp::option::{DEFAULT_MSS_V4, DEFAULT_MSS_V6};
use crate::tcp::plan::{Plan, Reason};
use crate::tcp::segment::Segment;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::text::text_of_syn;
use crate::tcp::why::Why;
use crate::tcp::window::WindowShift;
use crate::time::Instant;
use crate::trace::annotate::Act;
use crate::trace::segment::Seg;
use crate::wire::option::TcpOptions;
use crate::wire::tcp::Flags;

impl Replay<'_> {
    /// What the end offers by its SYN, or agrees to by its SYN,ACK.
    fn configure(&mut self, own: &Seg) -> u16 {
        let options = own.options.parsed();
        let config = &mut self.around.config;
        config.timestamps = options.timestamp.is_some();
        config.sack = options.sack_permitted;
        config.window_scaling = options.window_scale.is_some();
        let bits = accurate_ecn::ace(own.flags);
        config.ecn = match (own.has(Flags::ACK), bits) {
            (false, 0b111) => EcnMode::RequestAccurate,
            (false, 0b011) | (true, 0b001) => EcnMode::Request,
            (true, _) if accurate_ecn::handshake_codepoint(own.flags).is_some() => EcnMode::AcceptAccurate,
            _ => EcnMode::Off,
        };
        let ipv6 = self.tuple.local_addr.is_ipv6();
        options.mss.unwrap_or(if ipv6 { DEFAULT_MSS_V6 } else { DEFAULT_MSS_V4 })
    }

    /// The clock of the end's timestamps, against ours.
    fn timestamp_offset(own: &Seg, now: Instant) -> u32 {
        let value = own.options.parsed().timestamp.map_or(0, |timestamp| timestamp.value);
        value.wrapping_sub(now.as_millis() as u32)
    }

    /// A connection whose handshake was not captured: open, with what can be concluded.
    pub(super) fn begin_in_the_middle(&mut self) {
        let base = |side| SeqNumber(self.connection.base(side).unwrap_or(0));
        let (own, peer) = (base(self.side), base(self.side.other()));
        let stamp = self.connection.segs.iter().find(|seg| seg.from != self.side);
        let stamp = stamp.and_then(|seg| seg.options.parsed().timestamp);
        self.around.config.timestamps = stamp.is_some();
        let syn = TcpOptions { timestamp: stamp, sack_permitted: true, mss: Some(1_460), ..TcpOptions::default() };
        let syn = self.segment_of(Flags::SYN, peer, SeqNumber(0), syn);
        let record = HalfOpen::new(&syn, own, 0, 1_460, &self.options, &self.around.config);
        let mut tcb = record.connection(self.tuple, Arc::clone(&self.options), &self.around.config, START);
        let ack = TcpOptions { timestamp: stamp, ..TcpOptions::default() };
        let ack = self.segment_of(Flags::ACK, peer + 1, own + 1, ack);
        let _ = segment_arrives(&mut tcb, &ack, &mut self.around.context(START));
        tcb.snd.wnd = UNKNOWN_WINDOW;
        tcb.snd.max_wnd = UNKNOWN_WINDOW;
        tcb.rcv.edge = tcb.rcv.nxt + UNKNOWN_WINDOW;
        self.end = End::Open(Box::new(tcb));
    }

    /// A SYN for a listener: what the end answers later says what it is.
    pub(super) fn listener(&mut self, place: usize, seg: &Seg, segment: &Segment<'_>) -> Received {
        if !seg.has(Flags::SYN) || seg.has(Flags::ACK) || seg.has(Flags::RST) {
            return dropped(DropReason::TcpListenIgnored, seg.has(Flags::ACK) && !seg.has(Flags::RST));
        }
        let rest = &self.connection.segs[place..];
        let Some(&answer) = rest.iter().find(|own| own.from == self.side && answers(own, seg)) else {
            let refuses = rest.iter().any(|own| own.from == self.side && own.has(Flags::RST));
            if refuses {
                self.end = End::Closed;
                return nobody(seg);
            }
            let acts = vec!["not-answered".to_owned()];
            return Received { acts, rule: Some(Act::SynTaken.rule()), ..Received::default() };
        };
        let early = self.speaks_early(rest);
        let announced = self.configure(&answer);
        let offset = Replay::timestamp_offset(&answer, self.now);
        let config = &self.around.config;
        let mut record = HalfOpen::new(segment, SeqNumber(answer.seq), offset, announced, &self.options, config);
        record.offered = answer.window;
        let shift = answer.options.parsed().window_scale.filter(|_| record.agreed.scaling).unwrap_or(0);
        record.shift = WindowShift::from_option(shift);
        let taken = answer.ack.wrapping_sub(seg.seq).saturating_sub(1);
        if taken > 0 || early {
            return self.fast_open(&record, segment, taken);
        }
        self.end = End::HalfOpen(record);
        let mut received =
            Received { acts: words(&[Act::SynTaken]), rule: Some(Act::SynTaken.rule()), ..Received::default() };
        match segment.options.fast_open {
            Some(cookie) if cookie.is_request() => {
                received.acts.extend(words(&[Act::CookieAsked]));
                received.rule = Some(Act::CookieAsked.rule());
            }
            Some(_) => received.rule = Some(Act::FastOpened.rule()),
            None => {}
        }
        if seg.text > 0 {
            received.acts.push(format!("{}={}", Act::SynTextLeft.word(), seg.text));
        }
        received
    }

    /// The end sends text before its SYN is acknowledged, as only Fast Open lets a server do.
    fn speaks_early(&self, rest: &[Seg]) -> bool {
        let handshake = rest.iter().take_while(|seg| seg.from == self.side || !seg.has(Flags::ACK));
        handshake.into_iter().any(|own| own.from == self.side && own.text > 0 && !own.has(Flags::RST))
    }

    /// A SYN that opens by Fast Open: `taken` octets of what it carries are acknowledged by the SYN,ACK.
    fn fast_open(&mut self, record: &HalfOpen, segment: &Segment<'_>, taken: u32) -> Received {
        let mut tcb = record.fast_open(segment, Arc::clone(&self.options), &self.around.config, None);
        let first = record.irs + 1;
        tcb.rcv.edge = tcb.rcv.edge.max(first + taken);
        let text = (taken as usize).min(segment.payload.len());
        let cut = Segment { payload: &segment.payload[..text], ..*segment };
        let mut cx = self.around.context(segment.arrived);
        text_of_syn(&mut tcb, &cut, &mut cx);
        let readable = tcb.receive_buffer.readable();
        tcb.receive_buffer.skip(cx.pool, readable);
        let mut acts = words(&[Act::FastOpened]);
        if text > 0 {
            acts.push(format!("{}={text}", Act::Delivered.word()));
        }
        if text < segment.payload.len() {
            acts.push(format!("{}={}", Act::SynTextLeft.word(), segment.payload.len() - text));
        }
        if taken as usize > text {
            // Ours would not take it yet, but another server may. It counts once the handshake is over.
            tcb.rcv.fin = Some(first + text as u32);
            acts.extend(words(&[Act::Fin]));
        }
        self.end = End::Open(Box::new(tcb));
        Received { acts, rule: Some(Act::FastOpened.rule()), ..Received::default() }
    }

    /// Active OPEN, by the SYN that it has sent.
    pub(super) fn connect(&mut self, seg: &Seg, now: Instant) -> Vec<String> {
        let mss = self.configure(seg);
        let opening = Opening {
            tuple: self.tuple,
            iss: SeqNumber(seg.seq),
            timestamp_offset: Replay::timestamp_offset(seg, now),
            mss,
            options: Arc::clone(&self.options),
        };
        let mut tcb = Tcb::active(&opening, &self.around.config, now);
        let options = seg.options.parsed();
        tcb.rcv.shift = WindowShift::from_option(options.window_scale.unwrap_or(0));
        if options.fast_open.is_some() || seg.text > 0 {
            tcb.fast_open = Some(Box::new(FastOpen { option: options.fast_open, ..FastOpen::default() }));
        }
        let text = std::mem::take(&mut self.text);
        let mut cx = self.around.context(now);
        let mut acts = Vec::new();
        syn(&mut tcb, seg, &text, &mut cx, &mut acts);
        tcb.rcv.edge = tcb.rcv.nxt + u32::from(seg.window);
        self.text = text;
        self.end = End::Open(Box::new(tcb));
        acts
    }
}

/// It is the SYN,ACK of this SYN, whatever it acknowledges of its text.
fn answers(own: &Seg, syn: &Seg) -> bool {
    own.has(Flags::SYN | Flags::ACK) && own.ack.wrapping_sub(syn.seq.wrapping_add(1)) < syn.len()
}

fn words(acts: &[Act]) -> Vec<String> {
    acts.iter().map(|act| act.word().to_owned()).collect()
}

/// Why the first SYN or SYN,ACK of an end leaves.
pub(super) fn why(seg: &Seg, opens_early: bool) -> Why {
    let cookie = seg.options.parsed().fast_open;
    match (seg.has(Flags::ACK), cookie) {
        (true, _) if opens_early => Why::SynAckFast,
        (true, Some(cookie)) if !cookie.is_request() => Why::SynAckTells,
        (true, _) => Why::SynAck,
        (false, Some(cookie)) if cookie.is_request() => Why::SynAsks,
        (false, Some(_)) => Why::SynFast,
        (false, None) => Why::Syn,
    }
}

/// Puts down a SYN or SYN,ACK of the end on its connection, with the text that it carries.
pub(super) fn syn(tcb: &mut Tcb, seg: &Seg, text: &[u8], cx: &mut Context<'_>, acts: &mut Vec<String>) {
    let iss = tcb.snd.iss;
    if tcb.syn_waits() {
        acts.push(why(seg, tcb.opens_early()).word().to_owned());
        let len = tcb.send(&text[..(seg.text as usize).min(text.len())], cx).unwrap_or(0) as u32;
        if len > 0 && !seg.has(Flags::ACK) {
            acts.push(format!("SYN-text={len}"));
        }
        commit(tcb, &Plan { seq: iss, len, flags: seg.flags, reason: Reason::Syn }, cx);
        return;
    }
    let why = if seg.has(Flags::ACK) { Why::SynAckAgain } else { Why::Timeout };
    acts.push(why.word().to_owned());
    if tcb.syn_in_flight() {
        commit(tcb, &Plan { seq: iss, len: 0, flags: seg.flags, reason: Reason::Retransmission }, cx);
    }
    if seg.text > 0 {
        let behind = Seg { seq: seg.seq.wrapping_add(1), at: seg.at + 1, flags: seg.flags.without(Flags::SYN), ..*seg };
        octets(tcb, &behind, text, cx, acts);
    }
}

/// What the SYN,ACK says of a client's cookie and of the text of its SYN.
pub(super) fn answered(answer: &Answer, received: &mut Received) {
    if answer.cookie.is_some() {
        received.acts.extend(words(&[Act::CookieLearned]));
        received.rule = Some(Act::CookieLearned.rule());
    }
    if answer.sent > 0 {
        received.rule = Some(Act::SynTextAgain.rule());
    }
    if answer.acknowledged < answer.sent {
        received.acts.push(format!("{}={}", Act::SynTextAgain.word(), answer.sent - answer.acknowledged));
    }
}
