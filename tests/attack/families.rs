//! The known families of attacks, each as a flood of its packets (`steps`): what it costs is bounded (`costs`), measured by
//! `cargo bench --bench attacks`, and written down in docs/security.md.

use std::time::Duration;

use crate::packet::{ACK, PSH, RST, SYN, Tcp, Udp};
use crate::steps::*;
use crate::target::{CLOSED, Target};

/// One family.
pub struct Family {
    pub name: &'static str,
    /// What it is after.
    pub aim: &'static str,
    /// What stands against it, and where.
    pub defence: &'static str,
    /// The rows of docs/requirements.csv.
    pub rows: &'static str,
    /// A directed test beside the common ones.
    pub test: &'static str,
    /// The most octets that it may hold at any time in 8,000 steps, with the settings of [`settings`]: little more than it
    /// does, so that what takes twice as much is seen.
    pub most: usize,
    /// Makes ready, and says how its steps go.
    pub start: fn(&mut Target) -> Step,
}

/// Where floods are measured: the defaults, but for tables that a short flood can fill and windows of a size for all.
pub fn settings(config: &mut glasstcp::config::Config) {
    config.tcp.max_half_open = 1_024;
    config.tcp.max_time_wait = 1_024;
    (config.tcp.receive_capacity, config.tcp.send_capacity) = (Some(256 << 10), Some(256 << 10));
}

/// All families.
pub const ALL: &[Family] = &[
    Family {
        name: "SYN flood",
        aim: "records of the SYN queue, so that no one else gets one",
        defence: "a small record each, a limit for each listener and in all, cookies beyond: `stack/listen.rs`, \
                  `tcp/syn_cookie.rs`",
        rows: "4987-3.2, 4987-3.5, 4987-3.6",
        test: "costs::a_hundred_thousand_syns",
        most: 176 << 10,
        start: |_| syn_flood(false),
    },
    Family {
        name: "SYN flood, IPv6",
        aim: "the same",
        defence: "the same",
        rows: "4987-3.2, 4987-3.6",
        test: "costs::a_hundred_thousand_syns",
        most: 176 << 10,
        start: |_| syn_flood(true),
    },
    Family {
        name: "Half-open exhaustion",
        aim: "records that answer whatever comes",
        defence: "a record answers ten times at most and ends after 63 s: `tcp/half_open.rs`, `stack/timers.rs`",
        rows: "4987-3.2, 9293-3.10.7.4-24",
        test: "tcp_state::half_open",
        most: 176 << 10,
        start: half_open,
    },
    Family {
        name: "Fast Open flood",
        aim: "connections and answers for SYNs that nobody means",
        defence: "a keyed hash for each client, so many pending at a time, those that were reset count for a minute, and beyond \
                  a handshake like any: `stack/fast_open.rs`, `tcp/fast_open.rs`",
        rows: "7413-4.1.2, 7413-4.2",
        test: "costs::a_flood_of_fast_opens",
        most: 250 << 10,
        start: fast_open,
    },
    Family {
        name: "ACK flood against cookies",
        aim: "a cookie guessed, and time for checking",
        defence: "24 bits of a keyed hash, 64 to 128 s; RSTs are limited: `tcp/syn_cookie.rs`, `ip/rate_limit.rs`",
        rows: "4987-3.6",
        test: "opening::flood::forged_cookies",
        most: 190 << 10,
        start: forged_cookies,
    },
    Family {
        name: "TIME-WAIT exhaustion",
        aim: "records that stay for a minute",
        defence: "a record of 64 octets, a limit, and the oldest goes: `stack/tcp_input.rs`",
        rows: "9293-MUST-13",
        test: "costs::every_family_is_bounded",
        most: 290 << 10,
        start: time_wait,
    },
    Family {
        name: "Blind RST",
        aim: "a connection of others",
        defence: "only a RST at RCV.NXT counts: `tcp/acceptance.rs`",
        rows: "9293-3.10.7.4-10, 9293-3.10.7.4-11, 9293-3.10.7.4-12",
        test: "tcp_state::blind_segments",
        most: 1 << 10,
        start: |target| at_victim(target, blind(RST, b"")),
    },
    Family {
        name: "Blind SYN",
        aim: "a connection of others",
        defence: "a challenge ACK, limited for each connection: `tcp/acceptance.rs`",
        rows: "9293-3.10.7.4-19, 5961-7-1",
        test: "tcp_state::blind_segments",
        most: 1 << 10,
        start: |target| at_victim(target, blind(SYN, b"")),
    },
    Family {
        name: "Blind data",
        aim: "octets in the stream of others",
        defence: "the ACK has to lie within what was sent lately: `tcp/acceptance.rs`",
        rows: "9293-3.10.7.4-25, 9293-MAY-12",
        test: "tcp_state::blind_segments",
        most: 1 << 10,
        start: |target| at_victim(target, blind(ACK | PSH, b"evil")),
    },
    Family {
        name: "Blind ACK",
        aim: "wrong numbers of others",
        defence: "the same",
        rows: "9293-3.10.7.4-25",
        test: "tcp_state::blind_segments",
        most: 1 << 10,
        start: |target| at_victim(target, blind(ACK, b"")),
    },
    Family {
        name: "Challenge ACK probing",
        aim: "to count answers, and so to guess the numbers of others (CVE-2016-5696)",
        defence: "each connection has a limit of its own: `tcp/input.rs`",
        rows: "5961-7-1, 5961-7-2",
        test: "costs::answers_tell_nothing_about_others",
        most: 1 << 10,
        start: challenges,
    },
    Family {
        name: "Optimistic ACK",
        aim: "to be sent more than the path carries",
        defence: "an ACK beyond SND.NXT is answered and counts for nothing: `tcp/acknowledge.rs`",
        rows: "9293-3.10.7.4-25",
        test: "tcp_state::dishonest_acks",
        most: 80 << 10,
        start: optimistic,
    },
    Family {
        name: "ACK division",
        aim: "a congestion window that grows for each piece of an ACK",
        defence: "octets are counted, not ACKs: `tcp/congestion`",
        rows: "9406-4.3",
        test: "costs::divided_acks_grow_no_window",
        most: 80 << 10,
        start: division,
    },
    Family {
        name: "Sockstress",
        aim: "connections that hold what was sent to them, behind windows that never open",
        defence: "buffers are charged to one budget; whoever lets go is waited for 60 s: `buffer/pool.rs`, `tcp/persist.rs`",
        rows: "6429-4",
        test: "tcp_state::closed_windows",
        most: 5_700 << 10,
        start: sockstress,
    },
    Family {
        name: "Zero-window holding",
        aim: "a sender that is kept busy by a window that opens by an octet",
        defence: "no segment for a small part of the window; probes back off: `tcp/persist.rs`, `tcp/plan.rs`",
        rows: "9293-MUST-38, 6429-4",
        test: "attacks::zero_window_probing_can_be_ended",
        most: 1 << 10,
        start: zero_window,
    },
    Family {
        name: "SACK panic",
        aim: "a scoreboard of pieces of one octet (CVE-2019-11477 to -11479)",
        defence: "no MSS below 88; records split only between segments, and their number has a limit: \
                  `tcp/recovery/scoreboard.rs`, `tcp/option.rs`",
        rows: "2018-3",
        test: "tcp_state::many_blocks",
        most: 80 << 10,
        start: sack_panic,
    },
    Family {
        name: "SegmentSmack",
        aim: "time for sorting single octets out of order (CVE-2018-5390)",
        defence: "ranges have a limit, and an octet costs its chunk: `buffer/receive.rs`, `buffer/range_set.rs`",
        rows: "9293-3.10.7.4-8",
        test: "tcp_state::many_ranges",
        most: 88 << 10,
        start: |target| {
            at_victim(target, |client, number| {
                let offset = 2 + chance(number) % 100_000 * 2;
                (Tcp { seq: client.seq.wrapping_add(offset), ..client.header(ACK) }, vec![120])
            })
        },
    },
    Family {
        name: "FragmentSmack",
        aim: "time for sorting small fragments (CVE-2018-5391)",
        defence: "each is charged with its overhead, one source has a part of the memory: `ip/reassembly.rs`",
        rows: "1122-3.3.2-1",
        test: "fragments::floods",
        most: 1_200 << 10,
        start: |_| {
            Box::new(|target, number| {
                let offset = (number as usize % 1_000) * 16 + 8;
                target.give(&fragment(number / 100_000, offset, true, 8, number / 1_000));
            })
        },
    },
    Family {
        name: "First fragments",
        aim: "memory for datagrams that never become whole",
        defence: "a limit of memory, the oldest goes, 60 s at most: `ip/reassembly.rs`",
        rows: "1122-3.3.2-1, 8200-4.5-1",
        test: "fragments::floods",
        most: 4_400 << 10,
        start: |_| Box::new(|target, number| target.give(&fragment(number, 0, true, 1_400, number))),
    },
    Family {
        name: "Overlapping fragments",
        aim: "other octets than a filter has seen (teardrop)",
        defence: "a datagram with an overlap is given up: `ip/partial.rs`",
        rows: "1858-4, 5722-4-1",
        test: "fragments::overlaps",
        most: 4 << 10,
        start: overlaps,
    },
    Family {
        name: "Tiny fragments",
        aim: "flags that a filter cannot see",
        defence: "a first fragment has the whole header: `stack/fragments.rs`",
        rows: "1858-3",
        test: "fragments::tcp_in_fragments",
        most: 1 << 10,
        start: tiny_fragments,
    },
    Family {
        name: "LAND",
        aim: "a host that talks to itself",
        defence: "our own address is no source: `ip/input.rs`",
        rows: "1122-3.2.1.3-3",
        test: "ipv4::impossible_sources",
        most: 1 << 10,
        start: land,
    },
    Family {
        name: "Impossible sources",
        aim: "answers to broadcast, multicast or loopback addresses",
        defence: "dropped before anybody is asked: `ip/input.rs`",
        rows: "1122-3.2.1.3-3, 9293-MUST-63",
        test: "ipv4::impossible_sources",
        most: 1 << 10,
        start: impossible_sources,
    },
    Family {
        name: "Port 0",
        aim: "code that takes 0 for \"none\"",
        defence: "dropped: `tcp/segment.rs`",
        rows: "9293-3.1-2",
        test: "tcp_header::malformed_headers",
        most: 1 << 10,
        start: port_zero,
    },
    Family {
        name: "Forged ICMP errors",
        aim: "a connection of others",
        defence: "the quoted number has to be in flight, and then it is a soft error: `stack/icmp.rs`",
        rows: "5927-4.1, 9293-MUST-54",
        test: "icmp::forged_errors_about_a_connection",
        most: 1 << 10,
        start: |target| forged_errors(target, 3, 3, [0; 4]),
    },
    Family {
        name: "Forged path MTU",
        aim: "segments of 8 octets",
        defence: "the same, and a floor: `stack/path_mtu.rs`, `tcp/path_mtu.rs`",
        rows: "1191-3-2, 5927-7.2",
        test: "icmp::forged_mtu",
        most: 1 << 10,
        start: |target| forged_errors(target, 3, 4, [0, 0, 0, 68]),
    },
    Family {
        name: "Lies of the offload header",
        aim: "a checksum or a size that nobody has looked at",
        defence: "a header that does not fit its packet vouches for nothing: `device/virtio.rs`",
        rows: "9293-MUST-3",
        test: "costs::lies_of_the_offload_header",
        most: 1 << 10,
        start: lying_offload,
    },
    Family {
        name: "Long chains of headers",
        aim: "time for walking IPv6 extension headers",
        defence: "eight at most: `wire/extension.rs`",
        rows: "8200-4-1",
        test: "ipv6::broken_chains",
        most: 4 << 10,
        start: extension_headers,
    },
    Family {
        name: "Closed ports",
        aim: "as many errors and resets as there are packets (reflection)",
        defence: "limits in all and for one receiver: `ip/rate_limit.rs`, `ip/error_limit.rs`",
        rows: "1812-4.3.2.8, 4443-2.4-f",
        test: "udp::flood_of_closed_ports",
        most: 50 << 10,
        start: |_| {
            Box::new(|target, number| {
                let ip = stranger(number, number % 4 == 3);
                match number % 2 {
                    0 => carry(target, &ip, &Tcp::new(5_000, CLOSED, SYN), &[]),
                    _ => target.give(&ip.carry(17, &ip.datagram(&Udp::to(CLOSED), b"x"))),
                }
            })
        },
    },
];

/// How long a step takes of virtual time: ten thousand in a second.
pub const PACE: Duration = Duration::from_micros(100);
