//! The two sequence spaces of a connection (RFC 9293 section 3.3.1).

use super::sequence::SeqNumber;
use super::tuning::ReaderTuning;
use super::window::WindowShift;

/// The send sequence space (RFC 9293 figure 3).
///
/// ```text
///        1         2          3          4
///   ----------|----------|----------|----------
///          SND.UNA    SND.NXT    SND.UNA
///                               +SND.WND
///   1 acknowledged   2 in flight   3 may be sent   4 must not be sent yet
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SendSpace {
    /// SND.UNA: the oldest octet not acknowledged.
    pub una: SeqNumber,
    /// SND.NXT: the next octet to send.
    pub nxt: SeqNumber,
    /// SND.WND, in octets (scaled).
    pub wnd: u32,
    /// The largest SND.WND seen, in octets.
    pub max_wnd: u32,
    /// SND.WL1: SEG.SEQ of the last window update.
    pub wl1: SeqNumber,
    /// SND.WL2: SEG.ACK of the last window update.
    pub wl2: SeqNumber,
    /// ISS.
    pub iss: SeqNumber,
    /// Our SYN was acknowledged. ISS alone cannot tell: after 4 GiB the sequence numbers pass it again.
    pub syn_acknowledged: bool,
    /// The octet after the last urgent one to send, while there is any (SND.UP).
    pub up: Option<SeqNumber>,
    /// Where our FIN stands, once the application has closed its sending side.
    pub fin: Option<SeqNumber>,
    /// How the peer scales the windows that it sends.
    pub shift: WindowShift,
    /// The largest segment that may be sent, text and TCP options together, in octets (RFC 6691).
    pub mss: u16,
    /// The largest segment that is known to have arrived, at most `mss`; 0 before the first full one.
    pub mss_acked: u16,
    /// The low bits of [`crate::ip::path_mtu::PathMtus::changes`] when this connection last looked. Whoever misses a change by them hears of it by
    /// an error of its own.
    pub path_changes: u8,
    /// The end of the last short segment sent, for Nagle's algorithm.
    pub short_end: SeqNumber,
    /// Retransmissions of our SYN or SYN-ACK.
    pub syn_losses: u8,
}

impl SendSpace {
    /// Nothing is sent, and nothing known of the peer.
    pub(super) fn new(iss: SeqNumber, mss: u16) -> SendSpace {
        SendSpace {
            una: iss,
            nxt: iss,
            wnd: 0,
            max_wnd: 0,
            wl1: SeqNumber(0),
            wl2: SeqNumber(0),
            iss,
            syn_acknowledged: false,
            up: None,
            fin: None,
            shift: WindowShift::default(),
            mss,
            mss_acked: 0,
            path_changes: 0,
            short_end: iss,
            syn_losses: 0,
        }
    }
}

/// The receive sequence space (RFC 9293 figure 4).
///
/// ```text
///        1          2          3
///   ----------|----------|----------
///          RCV.NXT    RCV.NXT
///                    +RCV.WND = edge
///   1 received   2 may be sent by the peer   3 may not yet
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReceiveSpace {
    /// RCV.NXT: the next octet expected.
    pub nxt: SeqNumber,
    /// The right edge: RCV.NXT + RCV.WND of the most that was ever offered. It never moves left.
    pub edge: SeqNumber,
    /// IRS.
    pub irs: SeqNumber,
    /// SEG.ACK of the last segment sent (Last.ACK.sent of RFC 7323).
    pub last_ack: SeqNumber,
    /// RCV.UP: the octet after the last urgent one, in urgent mode.
    pub up: SeqNumber,
    /// Where the peer's FIN stands, once it is known.
    pub fin: Option<SeqNumber>,
    /// Octets that may wait for the application.
    pub capacity: u32,
    /// Octets of them that the window may show: what tuning adds comes to light by what arrives.
    pub shown: u32,
    /// By what it grows.
    pub tuning: ReaderTuning,
    /// How we scale the windows that we send.
    pub shift: WindowShift,
    /// The MSS that we announced.
    pub mss: u16,
    /// The largest segment seen, in octets of text: what counts as full-sized.
    pub segment_size: u16,
    /// Segments that are still acknowledged at once.
    pub quick_acks: u8,
    /// Challenge ACKs sent in the current second.
    pub challenges: u8,
    /// Urgent mode: RCV.UP is ahead of the reader. Beside the other octets it takes no room.
    pub urgent: bool,
}

impl ReceiveSpace {
    /// RCV.WND: octets that the peer may still send.
    pub fn wnd(&self) -> u32 {
        self.edge.since(self.nxt)
    }
}
