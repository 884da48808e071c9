//! Which options we offer, and what both sides agree on.

use super::config::{SocketOptions, TcpConfig};
use super::ecn::Feedback;
use super::window::WindowShift;
use crate::time::Instant;
use crate::wire::option::{OptionOrder, TcpOptions, Timestamp};

/// The MSS of a peer that announced none, over IPv4 (RFC 9293 section 3.7.1).
pub const DEFAULT_MSS_V4: u16 = 536;
/// The same over IPv6.
pub const DEFAULT_MSS_V6: u16 = 1_220;
/// A peer's MSS counts as at least this, so that a tiny one cannot make records without end (docs/decisions.md).
pub const MIN_MSS: u16 = 88;

/// The longest packet of IPv4, and what IPv6 is taken to be able to say too: reassembly knows none that is longer.
const LARGEST_PACKET: usize = 65_535;

/// What both sides agreed on in the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Every segment carries a timestamp (RFC 7323).
    pub timestamps: bool,
    /// We may send SACK blocks (RFC 2018).
    pub sack: bool,
    /// Both sides scale their windows.
    pub scaling: bool,
    /// How both sides tell of marks of congestion; before the peer's SYN is there, what our first SYN has asked for.
    pub ecn: Feedback,
    /// Beside a SYN that asks for ECN, or agrees to it, there was one that does not.
    pub bare_syn: bool,
    /// The text of a SYN was acknowledged, of ours whole or of the peer's (RFC 7413).
    pub syn_text: bool,
    /// Added to our timestamp clock (RFC 7323 section 7.1).
    pub timestamp_offset: u32,
    /// TS.Recent.
    pub ts_recent: u32,
    /// When TS.Recent was taken.
    pub ts_recent_at: Instant,
    /// In which order we write the options of a SYN.
    pub order: OptionOrder,
}

/// The MSS to announce on a path of this MTU: without options (RFC 6691).
// 9293-MUST-67: MTU - 40 over IPv4, MTU - 60 over IPv6; reassembly takes all that an IP packet can be, and no more.
// 9293-MUST-14
// 6691-2: option space is not subtracted here.
pub fn announced_mss(mtu: usize, ipv6: bool) -> u16 {
    let headers = if ipv6 { 60 } else { 40 };
    (mtu.min(LARGEST_PACKET).saturating_sub(headers) as u16).max(MIN_MSS)
}

/// In which order a socket writes the options of its SYN, if it writes any.
pub fn order(config: &TcpConfig, options: &SocketOptions) -> OptionOrder {
    if options.no_options { OptionOrder::None } else { config.option_order }
}

/// A SYN of this order may offer more than an MSS.
fn offers_more(order: OptionOrder) -> bool {
    !matches!(order, OptionOrder::None | OptionOrder::MssAlone)
}

/// The options of our SYN.
// 9293-MUST-14, 9293-MAY-3, 9293-SHLD-5: each SYN carries an MSS.
pub fn for_syn(config: &TcpConfig, order: OptionOrder, mss: u16, shift: WindowShift, timestamp: u32) -> TcpOptions {
    let speaks = offers_more(order);
    TcpOptions {
        mss: Some(mss),
        // 7323-2.2-1: also with shift 0.
        window_scale: (speaks && config.window_scaling).then(|| shift.count()),
        // 2018-2: only on segments with SYN.
        sack_permitted: speaks && config.sack,
        timestamp: (speaks && config.timestamps).then_some(Timestamp { value: timestamp, echo: 0 }),
        order,
        ..TcpOptions::default()
    }
}

/// The options of our SYN-ACK: of what the SYN offered, what we want too.
// 9293-MUST-14: and always an MSS.
pub fn for_syn_ack(agreed: &Agreed, mss: u16, shift: WindowShift, timestamp: u32) -> TcpOptions {
    TcpOptions {
        mss: Some(mss),
        window_scale: agreed.scaling.then(|| shift.count()),
        // 2018-2: in the SYN-ACK only if the SYN had it.
        sack_permitted: agreed.sack,
        timestamp: agreed.timestamps.then_some(Timestamp { value: timestamp, echo: agreed.ts_recent }),
        order: agreed.order,
        ..TcpOptions::default()
    }
}

/// What is agreed on once the peer's SYN or SYN-ACK is known, if we offer or would offer what `config` says, in this order.
pub fn agree(config: &TcpConfig, order: OptionOrder, peer: &TcpOptions, timestamp_offset: u32, now: Instant) -> Agreed {
    let speaks = offers_more(order);
    Agreed {
        timestamps: speaks && config.timestamps && peer.timestamp.is_some(),
        sack: speaks && config.sack && peer.sack_permitted,
        // 7323-2.2-1: only if both SYNs carried it.
        scaling: speaks && config.window_scaling && peer.window_scale.is_some(),
        // The control bits decide, not the options.
        ecn: Feedback::None,
        bare_syn: false,
        syn_text: false,
        timestamp_offset,
        ts_recent: peer.timestamp.map_or(0, |timestamp| timestamp.value),
        ts_recent_at: now,
        order,
    }
}

/// The largest segment to send, text and TCP options together: the smaller of what the peer takes and what the path takes.
// 9293-MUST-15, 9293-MUST-14: the peer's option, or 536 or 1220 without it. 9293-MUST-16: bounded by both sides.
pub fn send_mss(peer: Option<u16>, own: u16, ipv6: bool) -> u16 {
    let default = if ipv6 { DEFAULT_MSS_V6 } else { DEFAULT_MSS_V4 };
    peer.unwrap_or(default).min(own).max(MIN_MSS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 9293-MUST-67, 9293-SHLD-5, 6691-2
    #[test]
    fn the_announced_mss_follows_the_mtu() {
        for (mtu, v4, v6) in [(1_500, 1_460, 1_440), (576, 536, 516), (1_280, 1_240, 1_220), (65_535, 65_495, 65_475)] {
            assert_eq!((announced_mss(mtu, false), announced_mss(mtu, true)), (v4, v6));
        }
        // Nor for what no IP packet can hold.
        assert_eq!((announced_mss(1 << 20, false), announced_mss(1 << 20, true)), (65_495, 65_475));
    }

    /// 9293-MUST-15, 9293-MUST-16, pitfall 13
    #[test]
    fn the_smaller_limit_counts() {
        assert_eq!((send_mss(None, 1_460, false), send_mss(None, 1_440, true)), (536, 1_220));
        assert_eq!(send_mss(Some(9_000), 1_460, false), 1_460);
        assert_eq!(send_mss(Some(500), 1_460, false), 500);
        assert_eq!(send_mss(Some(0), 1_460, false), MIN_MSS);
    }

    /// 7323-2.2-1, pitfall 14
    #[test]
    fn scaling_needs_both_sides() {
        for (ours, theirs) in [(false, false), (false, true), (true, false), (true, true)] {
            let config = TcpConfig { window_scaling: ours, ..TcpConfig::default() };
            let peer = TcpOptions { window_scale: theirs.then_some(7), ..TcpOptions::default() };
            assert_eq!(agree(&config, OptionOrder::Linux, &peer, 0, Instant::ZERO).scaling, ours && theirs);
            assert_eq!(
                for_syn(&config, OptionOrder::Linux, 1_460, WindowShift::default(), 1).window_scale,
                ours.then_some(0)
            );
        }
    }
}
