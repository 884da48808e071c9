//! Why a packet went no further, what went on, and how often.
//!
//! To add a counter, write one line in the table of its layer: it is then summed over all queues, shown on the page and in the
//! JSON. `counters/mib.rs` says which drops stand for a name of the RFCs.
//!
//! A packet never produces an `Err` (rule 7 of docs/decisions.md): it is delivered, or it is dropped with one of these reasons, counted
//! and traced.

use std::fmt;

mod mib;

pub use mib::{Count, Layer};

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
    /// A fragment that no datagram can have, or one of what has been reassembled already.
    Fragment => "impossible fragment",
    /// A first fragment without all headers, or one that lies where they are.
    FragmentTiny => "fragment splits the headers",
    /// A fragment, with all others of its datagram, that overlaps another.
    FragmentOverlap => "overlapping fragments",
    /// A fragment that has come before.
    FragmentDuplicate => "duplicate fragment",
    /// ECN codepoints of fragments that contradict each other.
    FragmentMarks => "contradictory ECN of fragments",
    /// A datagram that takes more memory for its fragments than one source may have.
    FragmentMemory => "no memory for fragments",
    /// An IPv6 extension header chain out of order or beyond the packet.
    ExtensionHeader => "bad extension header",
    /// An IPv6 option or routing header that must be refused.
    ExtensionRefused => "refused extension header",
    /// An IPv4 option with an impossible length or pointer.
    IpOption => "bad IP option",
    /// An IPv4 source route.
    SourceRoute => "source route",
    /// No protocol of that number here.
    UnknownProtocol => "unknown protocol",
    // Several stacks of one host
    /// Nobody's, as far as this stack knows: its siblings are to be asked (`stack/siblings.rs`). Never counted.
    Unclaimed => "left to a sibling",
    /// The sibling whose packet it is has too many waiting.
    SiblingBusy => "inbox of the sibling full",
    // Groups
    /// IGMP shorter than its header, or about what is no group.
    IgmpMalformed => "malformed IGMP",
    /// The IGMP checksum is wrong.
    IgmpChecksum => "bad IGMP checksum",
    /// An IGMP message that only routers need, or a query that did not come from the link.
    IgmpIgnored => "IGMP message ignored",
    // ICMP
    /// ICMP shorter than its header, or with a bad quotation.
    IcmpMalformed => "malformed ICMP",
    /// The ICMP checksum is wrong.
    IcmpChecksum => "bad ICMP checksum",
    /// An ICMP type or code that means nothing to us.
    IcmpIgnored => "ICMP type ignored",
    /// An ICMP error whose quotation matches nothing that is in flight.
    IcmpUnmatched => "ICMP error matches nothing",
    /// A packet-too-big error that claims what cannot be: an MTU that no link has, or one that the packet would have passed.
    IcmpTooBigRefused => "packet-too-big error refused",
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
    /// The memory of all UDP sockets is used up.
    UdpNoMemory => "no UDP memory",
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
    /// A copy of a SYN about which the application has not decided yet.
    TcpSynUndecided => "SYN not decided about yet",
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
    /// A datagram that is to be cut, but all identifications for its destination have been used within its lifetime.
    NoIdentification => "no identification for fragments",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! counters {
    ($($(#[doc = $layer_doc:literal])* $layer:ident {
        $($(#[doc = $doc:literal])* $field:ident => $text:literal, $mib:literal;)*
    })*) => {
        /// Counts of one stack since its start.
        #[derive(Clone, Debug)]
        pub struct Counters {
            drops: [u64; DropReason::ALL.len()],
            $($($(#[doc = $doc])* pub $field: u64,)*)*
        }

        impl Default for Counters {
            fn default() -> Counters {
                Counters { drops: [0; DropReason::ALL.len()], $($($field: 0,)*)* }
            }
        }

        impl Counters {
            /// Adds the counts of another stack.
            pub fn add(&mut self, other: &Counters) {
                for (sum, more) in self.drops.iter_mut().zip(&other.drops) {
                    *sum += more;
                }
                $($(self.$field += other.$field;)*)*
            }

            /// All counters but the drops, by layer.
            pub fn counts(&self) -> Vec<Count> {
                vec![$($(Count { layer: Layer::$layer, name: $text, mib: $mib, value: self.$field },)*)*]
            }
        }
    };
}

counters! {
    /// RFC 4293 section 3.2.3; both families in one.
    Ip {
        /// Packets handed in.
        packets_in => "packets in", "InReceives";
        /// Packets that passed all checks of IP and went on to a protocol.
        packets_delivered => "packets delivered", "InDelivers";
        /// Of these, those to a broadcast or multicast address.
        group_packets_in => "group packets in", "InMcastPkts";
        /// Packets sent.
        packets_out => "packets out", "OutTransmits";
        /// Packets that belonged to a sibling on another queue of the device and were handed over to it, and copies of
        /// those that were for it as well.
        handed_over => "handed over", "";
    }
    /// Fragments, RFC 4293 section 3.2.3.
    Fragments {
        /// Fragments received.
        fragments_in => "fragments in", "ReasmReqds";
        /// Datagrams put together from fragments.
        reassembled => "reassembled", "ReasmOKs";
        /// Datagrams given up before all their fragments had come.
        reassembly_failed => "reassembly failed", "ReasmFails";
        /// Of these, those of which fragments were still missing when their time was over.
        reassembly_timeouts => "reassembly timeouts", "";
        /// Of these, those that made room for others.
        reassembly_evicted => "reassembly evicted", "";
        /// Datagrams cut into fragments.
        fragmented => "fragmented", "OutFragOKs";
        /// Datagrams that should have been cut and could not be.
        fragmentation_failed => "fragmentation failed", "OutFragFails";
        /// Fragments made.
        fragments_out => "fragments out", "OutFragCreates";
    }
    /// RFC 4293 sections 3.2.5 and 3.2.6; both families in one.
    Icmp {
        /// ICMP messages received, bad ones included.
        icmp_in => "ICMP in", "InMsgs";
        /// ICMP messages sent.
        icmp_out => "ICMP out", "OutMsgs";
        /// Echo requests received.
        echo_requests_in => "echo requests in", "InEchos";
        /// Echo replies received.
        echo_replies_in => "echo replies in", "InEchoReps";
        /// Echo requests sent.
        echo_requests_out => "echo requests out", "OutEchos";
        /// Echo replies sent.
        echo_replies_out => "echo replies out", "OutEchoReps";
        /// Destination unreachable received.
        unreachable_in => "unreachable in", "InDestUnreachs";
        /// Packet too big received, and its form in ICMPv4.
        too_big_in => "too big in", "InPktTooBigs";
        /// Time exceeded received.
        time_exceeded_in => "time exceeded in", "InTimeExcds";
        /// Parameter problem received.
        parameter_problems_in => "parameter problems in", "InParmProbs";
        /// Destination unreachable sent.
        unreachable_out => "unreachable out", "OutDestUnreachs";
        /// Time exceeded sent.
        time_exceeded_out => "time exceeded out", "OutTimeExcds";
        /// Parameter problem sent.
        parameter_problems_out => "parameter problems out", "OutParmProbs";
    }
    /// RFC 4113 section 2.
    Udp {
        /// Datagrams delivered to a socket.
        datagrams_in => "datagrams in", "InDatagrams";
        /// Datagrams sent.
        datagrams_out => "datagrams out", "OutDatagrams";
    }
    /// RFC 4022 section 2, and what it does not name.
    Tcp {
        /// TCP segments that passed all checks before the connection.
        segments_in => "segments in", "InSegs";
        /// TCP segments sent, retransmissions included.
        segments_out => "segments out", "OutSegs";
        /// TCP segments retransmitted.
        retransmits => "retransmits", "RetransSegs";
        /// Retransmission timeouts.
        timeouts => "timeouts", "";
        /// Fast retransmits (entries into loss recovery by duplicate ACKs).
        fast_retransmits => "fast retransmits", "";
        /// Recoveries that were taken back, as nothing had been lost.
        spurious => "spurious recoveries", "";
        /// Windows that were lowered for a mark of congestion (RFC 3168).
        ecn_reductions => "ECN reductions", "";
        /// Connections opened by us.
        active_opens => "active opens", "ActiveOpens";
        /// Connections that a listener took.
        passive_opens => "passive opens", "PassiveOpens";
        /// SYN cookies sent.
        cookies_sent => "cookies sent", "";
        /// Connections made from a valid SYN cookie.
        cookies_valid => "cookies valid", "";
        /// Connections that a listener took with the text of their SYN, or without any, by a valid cookie (RFC 7413).
        fast_open_passive => "fast open passive", "TCPFastOpenPassive";
        /// SYNs with a Fast Open cookie that was not valid, or whose connection had no room.
        fast_open_passive_failed => "fast open passive failed", "TCPFastOpenPassiveFail";
        /// SYNs that a listener took as without Fast Open, as too many were pending.
        fast_open_overflows => "fast open overflows", "TCPFastOpenListenOverflow";
        /// SYNs that asked for a Fast Open cookie.
        fast_open_cookies_asked => "fast open cookies asked", "TCPFastOpenCookieReqd";
        /// Connections of ours whose server has taken the text of our SYN.
        fast_open_active => "fast open active", "TCPFastOpenActive";
        /// Connections of ours whose server has not taken it, and those that failed with it.
        fast_open_active_failed => "fast open active failed", "TCPFastOpenActiveFail";
        /// Challenge ACKs sent (RFC 5961).
        challenge_acks => "challenge ACKs", "";
        /// Challenge ACKs that the limit held back.
        challenge_acks_limited => "challenge ACKs limited", "";
        /// RSTs sent.
        resets_out => "resets out", "OutRsts";
        /// Connections ended by a RST from the peer.
        resets_in => "resets in", "EstabResets";
        /// SYNs of deferring listeners that made room for others before their time.
        syns_evicted => "SYNs evicted", "";
        /// Connections that were in TIME-WAIT and made room for others before their time.
        time_wait_evicted => "time wait evicted", "";
        /// Paths of connections that have become narrower.
        path_mtu_lowered => "path MTU lowered", "";
        /// Black holes for large segments that a connection has left.
        path_mtu_black_holes => "path MTU black holes", "";
        /// Probes for a larger path MTU.
        path_mtu_probes => "path MTU probes", "";
        /// Of these, lost alone.
        path_mtu_probes_lost => "path MTU probes lost", "";
        /// Connections aborted because an application let go of them and they did not finish in time.
        orphans_aborted => "orphans aborted", "";
    }
}

impl Counters {
    /// Counts one drop.
    pub fn count(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
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
