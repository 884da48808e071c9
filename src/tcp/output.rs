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
use super::why::Why;
use crate::buffer::Pieces;
use crate::device::{TxChecksum, TxMeta};
use crate::wire::option::{MAX_LEN, TcpOptions, len_of_others};
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{IpHeader, emit_ip, ipv6, protocol};

/// The longest IP header, in octets.
const MAX_IP_HEADER: usize = 40;

/// The longest header: IPv6 and TCP with all its options.
pub const MAX_HEADER: usize = MAX_IP_HEADER + tcp::MAX_HEADER_LEN;

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
    /// The TCP header begins behind room for the longest IP header.
    bytes: [u8; MAX_HEADER],
    start: usize,
    end: usize,
    /// What is left to the device.
    pub meta: TxMeta,
}

impl Header {
    /// The bytes of the IP and TCP headers.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

/// What a planned segment says beside its text: found once, for its header and for what changes when it has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    tcp: TcpHeader,
    offered: Offered,
}

impl Content {
    /// Of this segment.
    pub(crate) fn of(connection: &Connection, plan: &Plan, cx: &Context<'_>) -> Content {
        let acknowledges = plan.flags.contains(Flags::ACK);
        let urgent = connection.snd.up.filter(|_| plan.flags.contains(Flags::URG));
        let offered = connection.offer(plan.flags.contains(Flags::SYN), cx);
        let mut content = Content {
            tcp: TcpHeader {
                source_port: connection.tuple.local_port,
                destination_port: connection.tuple.remote_port,
                seq: plan.seq.0,
                ack: if acknowledges { connection.rcv.nxt.0 } else { 0 },
                flags: plan.flags,
                window: offered.field.0,
                // 9293-MUST-62, 9293-MUST-31: to the octet after the last urgent one, or as far as 16 bits reach.
                urgent: urgent.map_or(0, |up| u16::try_from(up.saturating_since(plan.seq)).unwrap_or(u16::MAX)),
                options: TcpOptions::default(),
            },
            offered,
        };
        if plan.flags.contains(Flags::SYN) {
            content.tcp.options = options_of_syn(connection, plan, cx);
        } else {
            // 9293-MUST-65: no MSS without SYN.
            connection.fill_options(&mut content.tcp.options, cx.now, plan);
        }
        content
    }
}

/// Builds the header of a planned segment. `payload` is its text.
pub(crate) fn header(
    connection: &Connection,
    plan: &Plan,
    content: &Content,
    payload: &Pieces<'_>,
    offload: Offload,
) -> Header {
    let full = connection.segment_payload();
    // 3168-6.1.1-2: text is sent after both SYNs.
    let capable = connection.ecn.as_deref().is_some_and(Ecn::may_be_marked) && plan.is_new_text(connection);
    let ecn = if capable { ecn::ECT_0 } else { ecn::NOT_ECT };
    let (hop_limit, traffic_class) = (connection.options.hop_limit, connection.options.traffic_class() | ecn);
    let fields = Fields {
        ip: ip_header(&connection.tuple, hop_limit, traffic_class, offload),
        flow_label: flow_label(connection.snd.iss),
        tcp: &content.tcp,
        gso_size: if plan.len > full && plan.reason != Reason::MtuProbe {
            u16::try_from(full).unwrap_or(u16::MAX)
        } else {
            0
        },
    };
    build(&fields, payload, offload)
}

/// The options of a planned segment with SYN.
fn options_of_syn(connection: &Connection, plan: &Plan, cx: &Context<'_>) -> TcpOptions {
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
    }
    // 9768-3.2.3: the first SYN,ACK; where SYNs have crossed it leaves in place of our SYN.
    let tells = |accurate: &AccurateEcn| !accurate.silent && (plan.reason == Reason::Syn || accurate.probes);
    if connection.ecn.as_deref().and_then(Ecn::accurate).is_some_and(tells) {
        options.accurate_ecn = AccurateEcn::option_of_syn_ack(MAX_LEN - len_of_others(&options));
    }
    options
}

/// Builds the header of a segment that belongs to no connection.
pub fn reply_header(reply: &Reply, offload: Offload) -> Header {
    let tcp = TcpHeader {
        source_port: reply.tuple.local_port,
        destination_port: reply.tuple.remote_port,
        seq: reply.seq.0,
        ack: reply.ack.0,
        flags: reply.flags,
        window: reply.window.0,
        urgent: 0,
        options: reply.options,
    };
    let ip = ip_header(&reply.tuple, reply.hop_limit, reply.traffic_class, offload);
    build(&Fields { ip, flow_label: reply.flow_label, tcp: &tcp, gso_size: 0 }, &Pieces::default(), offload)
}

fn ip_header(tuple: &FourTuple, hop_limit: u8, traffic_class: u8, offload: Offload) -> IpHeader {
    IpHeader {
        source: tuple.local_addr,
        destination: tuple.remote_addr,
        protocol: protocol::TCP,
        hop_limit,
        traffic_class,
        identification: offload.identification,
        // 1191-3-1: always.
        dont_fragment: true,
    }
}

/// Everything that both headers say.
struct Fields<'a> {
    ip: IpHeader,
    /// Of IPv6.
    flow_label: u32,
    tcp: &'a TcpHeader,
    /// Octets of text in each segment that the device makes of it, or 0 where it makes none.
    gso_size: u16,
}

fn build(fields: &Fields<'_>, payload: &Pieces<'_>, offload: Offload) -> Header {
    let Fields { ip, tcp, .. } = fields;
    let ip_len = if ip.source.is_ipv6() { 40 } else { 20 };
    let start = MAX_IP_HEADER - ip_len;
    let mut header = Header { bytes: [0; MAX_HEADER], start, end: 0, meta: TxMeta::default() };
    let (before, segment) = header.bytes.split_at_mut(MAX_IP_HEADER);
    let tcp_len = tcp::emit(tcp, segment);
    let (segment, text) = (&mut segment[..tcp_len], payload.iter().map(|piece| piece.len()).sum());
    emit_ip(ip, tcp_len + text, &mut before[start..]);
    if ip.source.is_ipv6() {
        // 8200-6
        ipv6::set_flow_label(before, fields.flow_label);
    }
    header.end = MAX_IP_HEADER + tcp_len;
    let checksum = if offload.checksum {
        tcp::fill_partial_checksum(ip.source, ip.destination, segment, text);
        TxChecksum::Partial { start: ip_len as u16, offset: 16 }
    } else {
        // 9293-MUST-2
        tcp::fill_checksum(ip.source, ip.destination, segment, payload);
        TxChecksum::Complete
    };
    // 3168-6.1.2-1: once, and not on each of the segments that the device makes of it.
    let first_only = fields.gso_size > 0 && tcp.flags.contains(Flags::CWR);
    header.meta =
        TxMeta { checksum, gso_size: fields.gso_size, header_len: (ip_len + tcp_len) as u16, ecn: first_only };
    header
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

/// What changes once a planned segment has left: SND.NXT, its record, the timers, and what is no longer owed.
pub(crate) fn commit(connection: &mut Connection, plan: &Plan, content: &Content, cx: &mut Context<'_>) {
    let (syn, fin) = (plan.flags.contains(Flags::SYN), plan.flags.contains(Flags::FIN));
    let octets = plan.len + u32::from(syn) + u32::from(fin);
    let replies = cx.config.habits.acks.quick_end_with_reply && plan.len > 0 && is_reply(connection, plan, cx);
    if connection.ecn.is_some() {
        connection.ecn_sent(plan, content.tcp.options.accurate_ecn.is_some());
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
        connection.acknowledged_peer(&content.offered);
    } else if syn {
        // The window that a SYN offers, counted from wherever the peer will begin.
        connection.rcv.edge = content.offered.edge;
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
