//! Segments that belong to no connection: the RST formats of RFC 9293 section 3.5.2, and the answers of half-open and
//! TIME-WAIT records.

use super::FourTuple;
use super::config::{SocketOptions, TcpConfig};
use super::segment::Segment;
use super::sequence::SeqNumber;
use super::why::Why;
use super::window::WireWindow;
use crate::wire::option::{TcpOptions, Timestamp};
use crate::wire::tcp::Flags;

/// A segment without text, to be sent as it is.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// From where to where.
    pub tuple: FourTuple,
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK.
    pub ack: SeqNumber,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND, as it stands in the header.
    pub window: WireWindow,
    /// The options.
    pub options: TcpOptions,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// DSCP in the upper six bits.
    pub traffic_class: u8,
    /// IPv6 flow label; 0 where there is no flow.
    pub flow_label: u32,
    /// Why it leaves.
    pub why: Why,
}

/// The options of a RST that answers a segment with this timestamp: what belongs to no connection has no clock of its own.
// 7323-5.2
fn echoing(timestamp: Option<u32>) -> TcpOptions {
    TcpOptions { timestamp: timestamp.map(|echo| Timestamp { value: 0, echo }), ..TcpOptions::default() }
}

/// The RST that answers `segment`, or `None` if it is a RST itself.
// 9293-3.5.2-1, 9293-3.10.7.1-1: never a RST for a RST.
pub fn reply(segment: &Segment<'_>, config: &TcpConfig, why: Why) -> Option<Reply> {
    if segment.rst() {
        return None;
    }
    let (seq, ack, flags) = if segment.has_ack() {
        // 9293-3.10.7.1-3, 9293-3.10.7.2-2, 9293-3.10.7.3-1: it takes its sequence number from the ACK, and has none.
        (segment.ack, SeqNumber(0), Flags::RST)
    } else {
        // 9293-3.10.7.1-2: SYN and FIN count in what is acknowledged.
        (SeqNumber(0), segment.end(), Flags::RST | Flags::ACK)
    };
    let timestamp = segment.options.timestamp.filter(|_| !config.habits.resets.bare);
    Some(Reply {
        tuple: segment.tuple,
        seq,
        ack,
        flags,
        window: WireWindow(0),
        options: echoing(timestamp.map(|timestamp| timestamp.value)),
        hop_limit: config.socket.hop_limit,
        traffic_class: 0,
        flow_label: 0,
        why,
    })
}

/// The RST that answers a SYN with this IRS and timestamp, as from a port on which nobody listens.
// 9293-3.10.7.1-2
pub fn refuse(tuple: FourTuple, irs: SeqNumber, timestamp: Option<u32>, hop_limit: u8) -> Reply {
    Reply {
        tuple,
        seq: SeqNumber(0),
        ack: irs + 1,
        flags: Flags::RST | Flags::ACK,
        window: WireWindow(0),
        options: echoing(timestamp),
        hop_limit,
        traffic_class: 0,
        flow_label: 0,
        why: Why::RstRefused,
    }
}

/// The RST by which we end a connection, with an ACK so that the peer believes it (RFC 9293 section 3.10.5).
// 9293-3.10.5-2: SEQ = SND.NXT, where the peer takes it.
pub fn abort(
    tuple: FourTuple,
    seq: SeqNumber,
    rcv_nxt: SeqNumber,
    timestamp: Option<Timestamp>,
    options: &SocketOptions,
    flow_label: u32,
    why: Why,
) -> Reply {
    Reply {
        tuple,
        seq,
        ack: rcv_nxt,
        flags: Flags::RST | Flags::ACK,
        window: WireWindow(0),
        // 7323-5.2: a RST of a connection with timestamps carries one.
        options: TcpOptions { timestamp, ..TcpOptions::default() },
        hop_limit: options.hop_limit,
        traffic_class: options.traffic_class(),
        flow_label,
        why,
    }
}
