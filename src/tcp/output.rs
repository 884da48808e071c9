//! From a [`Plan`] to bytes, and what a connection remembers of a segment that has left.

use super::FourTuple;
use super::accurate_ecn::AccurateEcn;
use super::connection::{Connection, Context};
use super::due::Due;
use super::ecn::{self, Ecn};
use super::initial_sequence::flow_label;
use super::option;
use super::plan::{Plan, Reason};
use super::receiver::{AckOwed, Offered};
use super::recovery::frto::Frto;
use super::recovery::new_reno::Phase;
use super::recovery::sent::SentRecord;
use super::recovery::tail_loss_probe::Probe;
use super::reset::Reply;
use super::sequence::SeqNumber;
use super::why::Why;
use super::window::WireWindow;
use crate::buffer::Pieces;
use crate::device::{TxChecksum, TxMeta};
use crate::wire::option::{MAX_LEN, TcpOptions, len_of_others};
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{IpHeader, emit_ip, ipv6, protocol};

/// The longest header: IPv6 and TCP with all its options.
pub const MAX_HEADER: usize = 40 + 60;

/// What a packet needs besides its plan.
#[derive(Clone, Copy, Debug)]
pub struct Offload {
    /// The device completes checksums.
    pub checksum: bool,
    /// The IPv4 identification.
    pub identification: u16,
}

/// A header, ready to leave.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; MAX_HEADER],
    len: usize,
    /// What is left to the device.
    pub meta: TxMeta,
}

impl Header {
    /// The bytes of the IP and TCP headers.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Everything that a header says.
#[derive(Clone, Copy, Debug)]
struct Fields {
    tuple: FourTuple,
    seq: SeqNumber,
    ack: SeqNumber,
    flags: Flags,
    window: WireWindow,
    urgent: u16,
    options: TcpOptions,
    hop_limit: u8,
    traffic_class: u8,
    flow_label: u32,
    gso_size: u16,
}

/// Builds the header of a planned segment. `payload` is its text.
pub(crate) fn header(
    connection: &Connection,
    plan: &Plan,
    offered: &Offered,
    payload: &Pieces<'_>,
    offload: Offload,
    cx: &Context<'_>,
) -> Header {
    let acknowledges = plan.flags.contains(Flags::ACK);
    let full = connection.segment_payload();
    // 3168-6.1.1-2: text is sent after both SYNs.
    let capable = connection.ecn.as_deref().is_some_and(Ecn::may_be_marked) && plan.is_new_text(connection);
    let ecn = if capable { ecn::ECT_0 } else { ecn::NOT_ECT };
    let urgent = connection.snd.up.filter(|_| plan.flags.contains(Flags::URG));
    let fields = Fields {
        tuple: connection.tuple,
        seq: plan.seq,
        ack: if acknowledges { connection.rcv.nxt } else { SeqNumber(0) },
        flags: plan.flags,
        window: offered.field,
        // 9293-MUST-62, 9293-MUST-31: to the octet after the last urgent one, or as far as 16 bits reach.
        urgent: urgent.map_or(0, |up| u16::try_from(up.saturating_since(plan.seq)).unwrap_or(u16::MAX)),
        options: options(connection, plan, cx),
        hop_limit: connection.options.hop_limit,
        traffic_class: connection.options.traffic_class() | ecn,
        flow_label: flow_label(connection.snd.iss),
        gso_size: if plan.len > full && plan.reason != Reason::MtuProbe {
            u16::try_from(full).unwrap_or(u16::MAX)
        } else {
            0
        },
    };
    build(&fields, payload, offload)
}

/// The options of a planned segment.
fn options(connection: &Connection, plan: &Plan, cx: &Context<'_>) -> TcpOptions {
    if !plan.flags.contains(Flags::SYN) {
        // 9293-MUST-65: no MSS without SYN.
        // A segment has room for its text because its options are of fixed size: SACK blocks travel on pure ACKs.
        return connection.segment_options(cx.now, plan);
    }
    let timestamp = connection.timestamp_value(cx.now);
    let mut options = if plan.flags.contains(Flags::ACK) {
        option::for_syn_ack(&connection.agreed, connection.rcv.mss, connection.rcv.shift, timestamp)
    } else {
        // Before the peer has told its own, SND.MSS is what the path takes.
        let by_path = if cx.config.habits.syn.announce_path_mss { connection.snd.mss } else { u16::MAX };
        let mss = connection.rcv.mss.min(by_path);
        option::for_syn(cx.config, connection.agreed.order, mss, connection.rcv.shift, timestamp)
    };
    if plan.reason == Reason::Syn {
        options.fast_open = connection.fast_open.as_ref().and_then(|fast_open| fast_open.option);
        if connection.ecn.as_deref().and_then(Ecn::accurate).is_some_and(|accurate| !accurate.silent) {
            options.accurate_ecn = AccurateEcn::option_of_syn_ack(MAX_LEN - len_of_others(&options));
        }
    }
    options
}

/// Builds the header of a segment that belongs to no connection.
pub fn reply_header(reply: &Reply, offload: Offload) -> Header {
    let fields = Fields {
        tuple: reply.tuple,
        seq: reply.seq,
        ack: reply.ack,
        flags: reply.flags,
        window: reply.window,
        urgent: 0,
        options: reply.options,
        hop_limit: reply.hop_limit,
        traffic_class: reply.traffic_class,
        flow_label: reply.flow_label,
        gso_size: 0,
    };
    build(&fields, &Pieces::default(), offload)
}

fn build(fields: &Fields, payload: &Pieces<'_>, offload: Offload) -> Header {
    let mut bytes = [0; MAX_HEADER];
    let ip = IpHeader {
        source: fields.tuple.local_addr,
        destination: fields.tuple.remote_addr,
        protocol: protocol::TCP,
        hop_limit: fields.hop_limit,
        traffic_class: fields.traffic_class,
        identification: offload.identification,
        // 1191-3-1: always.
        dont_fragment: true,
    };
    let tcp = TcpHeader {
        source_port: fields.tuple.local_port,
        destination_port: fields.tuple.remote_port,
        seq: fields.seq.0,
        ack: fields.ack.0,
        flags: fields.flags,
        window: fields.window.0,
        urgent: fields.urgent,
        options: fields.options,
    };
    let ip_len = if ip.source.is_ipv6() { 40 } else { 20 };
    let tcp_len = tcp::emit(&tcp, &mut bytes[ip_len..]);
    let text = payload.iter().map(|piece| piece.len()).sum();
    emit_ip(&ip, tcp_len + text, &mut bytes);
    if ip.source.is_ipv6() {
        // 8200-6
        ipv6::set_flow_label(&mut bytes, fields.flow_label);
    }
    let segment = &mut bytes[ip_len..ip_len + tcp_len];
    let checksum = if offload.checksum {
        tcp::fill_partial_checksum(ip.source, ip.destination, segment, text);
        TxChecksum::Partial { start: ip_len as u16, offset: 16 }
    } else {
        // 9293-MUST-2
        tcp::fill_checksum(ip.source, ip.destination, segment, payload);
        TxChecksum::Complete
    };
    let len = ip_len + tcp_len;
    // 3168-6.1.2-1: once, and not on each of the segments that the device makes of it.
    let first_only = fields.gso_size > 0 && fields.flags.contains(Flags::CWR);
    Header { bytes, len, meta: TxMeta { checksum, gso_size: fields.gso_size, header_len: len as u16, ecn: first_only } }
}

/// The text of a planned segment.
pub fn payload<'a>(connection: &'a Connection, plan: &Plan) -> Pieces<'a> {
    if plan.len == 0 {
        return Pieces::default();
    }
    // The text of a SYN begins behind it.
    let seq = plan.seq.max(connection.text_una());
    connection.send_buffer.slices(seq.since(connection.text_una()) as usize, plan.len as usize)
}

/// What a planned segment says of the window.
pub(crate) fn offer(connection: &Connection, plan: &Plan, cx: &Context<'_>) -> Offered {
    connection.offer(plan.flags.contains(Flags::SYN), cx)
}

/// What changes once a planned segment has left that offered this: SND.NXT, its record, the timers, and what is no longer owed.
pub(crate) fn commit(connection: &mut Connection, plan: &Plan, offered: &Offered, cx: &mut Context<'_>) {
    let (syn, fin) = (plan.flags.contains(Flags::SYN), plan.flags.contains(Flags::FIN));
    let octets = plan.len + u32::from(syn) + u32::from(fin);
    let replies = cx.config.habits.acks.quick_end_with_reply && plan.len > 0 && is_reply(connection, plan, cx);
    if connection.ecn.is_some() {
        let option = options(connection, plan, cx).accurate_ecn.is_some();
        connection.ecn_sent(plan, option);
    }
    connection.statistics.segments_out = connection.statistics.segments_out.wrapping_add(1);
    cx.counters.segments_out += 1;
    tracing::trace!(
        target: "glasstcp::output",
        connection = %connection.tuple,
        seq = %plan.seq,
        len = plan.len,
        flags = %plan.flags,
        reason = plan.reason.as_str(),
        "sent"
    );
    if plan.flags.contains(Flags::ACK) {
        if plan.reason == Reason::Ack && connection.owed.ack == AckOwed::None {
            connection.owed.duplicate_acks = connection.owed.duplicate_acks.saturating_sub(1);
        }
        connection.acknowledged_peer(offered);
    } else if syn {
        // The window that a SYN offers, counted from wherever the peer will begin.
        connection.rcv.edge = offered.edge;
    }
    if plan.reason == Reason::KeepAlive || octets > 0 {
        // 9293-MUST-26: with something outstanding no probe is needed any more.
        connection.owed.keep_alive = false;
    }
    if octets == 0 {
        if plan.reason == Reason::Probe {
            connection.due.clear(Due::WINDOW_PROBE);
        }
        return;
    }
    if replies {
        connection.rcv.quick_acks = 0;
    }
    connection.last_sent = cx.now;
    let again = plan.seq.lt(connection.snd.nxt);
    note_sent(connection, plan, octets, cx);
    if cx.config.habits.burst.is_some_and(|burst| burst.paced) && plan.reason.is_paced() {
        connection.spread(octets, cx.now);
    }
    match plan.reason {
        Reason::Probe => connection.due.clear(Due::WINDOW_PROBE),
        Reason::LossProbe => probed(connection, again, cx),
        Reason::MtuProbe => {
            connection.mtu_probe_sent(plan.seq, cx);
            connection.start_retransmission_timer(cx);
        }
        _ => connection.start_retransmission_timer(cx),
    }
}

/// Text that leaves soon after the peer's, or in place of the ACK of its SYN-ACK.
fn is_reply(connection: &Connection, plan: &Plan, cx: &Context<'_>) -> bool {
    let owed = &connection.owed;
    let to_syn_ack = plan.reason == Reason::Text && owed.ack == AckOwed::Now && owed.why == Why::SynAckAck;
    let soon = cx.now.saturating_since(connection.last_received) < cx.config.delayed_ack;
    to_syn_ack || connection.statistics.octets_received > 0 && soon
}

/// A tail loss probe has left.
fn probed(connection: &mut Connection, retransmission: bool, cx: &Context<'_>) {
    connection.due.clear(Due::LOSS_PROBE);
    connection.probe = Some(Probe { end: connection.snd.nxt, retransmission });
    connection.probe_unmeasured = true;
    // 8985-7.3-3
    connection.set_timeout(cx.now + connection.rto(cx.config).duration(), cx);
    connection.start_user_timeout(cx);
}

/// Notes new octets at the end of the records, and octets sent again in their place.
fn note_sent(connection: &mut Connection, plan: &Plan, octets: u32, cx: &mut Context<'_>) {
    let full = connection.segment_payload();
    let probes = plan.reason == Reason::MtuProbe;
    let segment = u16::try_from(if probes { plan.len } else { full }).unwrap_or(u16::MAX);
    if connection.path.is_some() && plan.seq.lt(connection.snd.nxt) {
        connection.mtu_probe_resent(plan.seq, plan.seq + octets, cx.now);
    }
    let transfer = connection.transfer.get_or_insert_with(|| cx.transfers.take());
    // The handshake says nothing of the path's rate.
    let told = connection.congestion.models_path() && !plan.flags.contains(Flags::SYN);
    let in_flight = if told { transfer.sent.in_flight() } else { 0 };
    if connection.recovery.phase == Phase::FastRecovery {
        transfer.prr.sent(octets);
    }
    if plan.seq.lt(connection.snd.nxt) {
        transfer.sent.retransmitted(plan.seq, octets, segment, cx.now);
        if told {
            transfer.sent.stamp(plan.seq, connection.congestion.on_send(cx.now, in_flight, octets));
        }
        connection.due.clear(Due::RETRANSMISSION);
        if plan.reason == Reason::Retransmission {
            if transfer.frto != Frto::Retransmitted {
                // What is sent again now, its ACK cannot tell apart.
                transfer.frto = Frto::Idle;
            }
            let stamp = connection.agreed.timestamps.then(|| connection.timestamp_value(cx.now));
            connection.undo.retransmitted(octets, stamp);
        }
        connection.statistics.retransmits += 1;
        cx.counters.retransmits += 1;
        tracing::debug!(
            target: "glasstcp::recovery",
            connection = %connection.tuple,
            seq = %plan.seq,
            len = plan.len,
            reason = plan.reason.as_str(),
            "retransmitted"
        );
        return;
    }
    transfer.sent.push(SentRecord {
        seq: plan.seq,
        len: octets,
        sent_at: cx.now,
        transmissions: 1,
        segment,
        syn: plan.flags.contains(Flags::SYN),
        fin: plan.flags.contains(Flags::FIN),
    });
    if told {
        transfer.sent.stamp(plan.seq, connection.congestion.on_send(cx.now, in_flight, octets));
    }
    transfer.frto.sent(octets);
    connection.snd.nxt = plan.seq + octets;
    connection.due.clear(Due::SHORT_TEXT);
    // A SYN whose text fills its room is no short segment.
    let fills_syn = plan.flags.contains(Flags::SYN) && plan.len >= connection.syn_room();
    // Nor is the first text that is shorter by the option of Accurate ECN.
    let probe = connection.ecn.as_deref().is_some_and(|ecn| ecn.is_probe(connection.snd.nxt, full - plan.len % full));
    if !plan.len.is_multiple_of(full) && !probes && !fills_syn && !probe {
        connection.snd.short_end = connection.snd.nxt;
    }
}
