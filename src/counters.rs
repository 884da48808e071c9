//! Why a packet went no further, and how often.
//!
//! A packet never produces an `Err` (rule 7 of docs/decisions.md): it is delivered, or it is dropped with one of these reasons, counted
//! and traced.

use std::fmt;

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])* $variant:ident => $text:literal,)*) => {
        /// Why a packet, or what it asked for, was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])* $variant,)*
        }

        impl DropReason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The reason in words.
            pub const fn as_str(self) -> &'static str {
                match self { $(DropReason::$variant => $text,)* }
            }
        }
    };
}

drop_reasons! {
    // IP
    /// Fewer bytes than the shortest header.
    IpTruncated => "IP header truncated",
    /// Neither version 4 nor version 6.
    IpVersion => "unknown IP version",
    /// IHL below 5, or beyond the packet.
    IpHeaderLength => "bad IP header length",
    /// Total length or payload length that the packet does not hold.
    IpLength => "bad IP length",
    /// The IPv4 header checksum is wrong.
    IpChecksum => "bad IP header checksum",
    /// A source that no host may have.
    IpSource => "invalid source address",
    /// A source that is one of our own addresses (LAND).
    IpOwnSource => "source is our own address",
    /// Not addressed to this host.
    NotOurs => "not addressed to this host",
    /// A fragment that is not reassembled.
    Fragment => "fragment",
    /// An IPv6 extension header chain out of order or beyond the packet.
    ExtensionHeader => "bad extension header",
    /// An IPv6 option or routing header that must be refused.
    ExtensionRefused => "refused extension header",
    /// An IPv4 source route.
    SourceRoute => "source route",
    /// No protocol of that number here.
    UnknownProtocol => "unknown protocol",
    // Several stacks of one host
    /// Nobody's, as far as this stack knows: its siblings are to be asked (`stack/siblings.rs`). Never counted.
    Unclaimed => "left to a sibling",
    /// The sibling whose packet it is has too many waiting.
    SiblingBusy => "inbox of the sibling full",
    // ICMP
    /// ICMP shorter than its header, or with a bad quotation.
    IcmpMalformed => "malformed ICMP",
    /// The ICMP checksum is wrong.
    IcmpChecksum => "bad ICMP checksum",
    /// An ICMP type or code that means nothing to us.
    IcmpIgnored => "ICMP type ignored",
    /// An ICMP error whose quotation matches nothing that is in flight.
    IcmpUnmatched => "ICMP error matches nothing",
    /// The rate limit for ICMP errors is used up.
    IcmpRateLimited => "ICMP error rate limited",
    // UDP
    /// UDP length field or datagram too short.
    UdpLength => "bad UDP length",
    /// The UDP checksum is wrong, or absent over IPv6.
    UdpChecksum => "bad UDP checksum",
    /// No UDP socket there.
    UdpNoSocket => "no UDP socket",
    /// The socket's receive queue is full.
    UdpQueueFull => "UDP queue full",
    // TCP, before a connection is found
    /// TCP header truncated or data offset out of range.
    TcpHeader => "bad TCP header",
    /// An option with an impossible length.
    TcpOption => "bad TCP option",
    /// The TCP checksum is wrong.
    TcpChecksum => "bad TCP checksum",
    /// Port 0.
    TcpPortZero => "port zero",
    /// To a broadcast or multicast address.
    TcpNotUnicast => "TCP to a broadcast or multicast address",
    /// No connection and no listener there.
    TcpNobody => "no connection and no listener",
    /// Not a segment that a listener answers.
    TcpListenIgnored => "ignored by the listener",
    /// SYN queue full and SYN cookies not possible.
    TcpSynQueueFull => "SYN queue full",
    /// The accept queue is full.
    TcpAcceptQueueFull => "accept queue full",
    /// A cookie that is not ours or too old.
    TcpBadCookie => "bad SYN cookie",
    /// No room for one more connection.
    TcpTableFull => "connection table full",
    // TCP, on a connection
    /// Outside the receive window.
    TcpOutOfWindow => "outside the receive window",
    /// A timestamp from the past (PAWS).
    TcpPaws => "old timestamp (PAWS)",
    /// The agreed timestamp option is missing.
    TcpNoTimestamp => "agreed timestamp missing",
    /// A RST that is not exactly at RCV.NXT.
    TcpResetRefused => "RST not at RCV.NXT",
    /// A SYN on a synchronized connection.
    TcpSynRefused => "SYN on a synchronized connection",
    /// No ACK where one is needed.
    TcpNoAck => "no ACK flag",
    /// An ACK of what was never sent, or much too old.
    TcpAckRange => "ACK out of range",
    /// Neither SYN nor RST in SYN-SENT.
    TcpNotSyn => "neither SYN nor RST in SYN-SENT",
    /// Data for an application that has closed.
    TcpAfterClose => "data after close",
    /// No memory or too many ranges for data out of order.
    TcpOutOfOrderFull => "out-of-order queue full",
    /// No memory for data in order.
    TcpNoMemory => "no buffer memory",
    /// Ignored by TIME-WAIT.
    TcpTimeWait => "ignored in TIME-WAIT",
    // Output
    /// The queue of answers that belong to no connection is full, or their rate is used up.
    ReplyLimited => "reply queue full or rate limited",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts of one stack since its start.
#[derive(Clone, Debug)]
pub struct Counters {
    drops: [u64; DropReason::ALL.len()],
    /// Packets handed in.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// TCP segments that passed all checks before the connection.
    pub segments_in: u64,
    /// TCP segments sent, retransmissions included.
    pub segments_out: u64,
    /// TCP segments retransmitted.
    pub retransmits: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Recoveries that were taken back, as nothing had been lost.
    pub spurious: u64,
    /// Windows that were lowered for a mark of congestion (RFC 3168).
    pub ecn_reductions: u64,
    /// Fast retransmits (entries into loss recovery by duplicate ACKs).
    pub fast_retransmits: u64,
    /// Connections opened by us.
    pub active_opens: u64,
    /// Connections that a listener took.
    pub passive_opens: u64,
    /// SYN cookies sent.
    pub cookies_sent: u64,
    /// Connections made from a valid SYN cookie.
    pub cookies_valid: u64,
    /// Challenge ACKs sent (RFC 5961).
    pub challenge_acks: u64,
    /// Challenge ACKs that the limit held back.
    pub challenge_acks_limited: u64,
    /// RSTs sent.
    pub resets_out: u64,
    /// Connections ended by a RST from the peer.
    pub resets_in: u64,
    /// Connections that were in TIME-WAIT and made room for others before their time.
    pub time_wait_evicted: u64,
    /// Packets that belonged to a sibling on another queue of the device and were handed over to it.
    pub handed_over: u64,
    /// Connections aborted because an application let go of them and they did not finish in time.
    pub orphans_aborted: u64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            drops: [0; DropReason::ALL.len()],
            packets_in: 0,
            packets_out: 0,
            segments_in: 0,
            segments_out: 0,
            retransmits: 0,
            timeouts: 0,
            spurious: 0,
            ecn_reductions: 0,
            fast_retransmits: 0,
            active_opens: 0,
            passive_opens: 0,
            cookies_sent: 0,
            cookies_valid: 0,
            challenge_acks: 0,
            challenge_acks_limited: 0,
            resets_out: 0,
            resets_in: 0,
            time_wait_evicted: 0,
            handed_over: 0,
            orphans_aborted: 0,
        }
    }
}

impl Counters {
    /// Counts one drop.
    pub fn count(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Adds the counts of another stack.
    pub fn add(&mut self, other: &Counters) {
        // Taken apart, so that a new counter cannot be forgotten here.
        let Counters {
            drops,
            packets_in,
            packets_out,
            segments_in,
            segments_out,
            retransmits,
            timeouts,
            spurious,
            ecn_reductions,
            fast_retransmits,
            active_opens,
            passive_opens,
            cookies_sent,
            cookies_valid,
            challenge_acks,
            challenge_acks_limited,
            resets_out,
            resets_in,
            time_wait_evicted,
            handed_over,
            orphans_aborted,
        } = other;
        for (sum, more) in self.drops.iter_mut().zip(drops) {
            *sum += more;
        }
        for (sum, more) in [
            (&mut self.packets_in, packets_in),
            (&mut self.packets_out, packets_out),
            (&mut self.segments_in, segments_in),
            (&mut self.segments_out, segments_out),
            (&mut self.retransmits, retransmits),
            (&mut self.timeouts, timeouts),
            (&mut self.spurious, spurious),
            (&mut self.ecn_reductions, ecn_reductions),
            (&mut self.fast_retransmits, fast_retransmits),
            (&mut self.active_opens, active_opens),
            (&mut self.passive_opens, passive_opens),
            (&mut self.cookies_sent, cookies_sent),
            (&mut self.cookies_valid, cookies_valid),
            (&mut self.challenge_acks, challenge_acks),
            (&mut self.challenge_acks_limited, challenge_acks_limited),
            (&mut self.resets_out, resets_out),
            (&mut self.resets_in, resets_in),
            (&mut self.time_wait_evicted, time_wait_evicted),
            (&mut self.handed_over, handed_over),
            (&mut self.orphans_aborted, orphans_aborted),
        ] {
            *sum += more;
        }
    }

    /// How many were dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// The reasons that occurred, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.dropped(reason))).filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_counter_and_words() {
        let mut counters = Counters::default();
        for (number, &reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, number);
            counters.count(reason);
        }
        assert!(counters.drops().all(|(_, count)| count == 1));
        let mut words: Vec<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), DropReason::ALL.len());
    }
}
