//! Settings: the constants of the stack with their sources, and what an application may set per connection.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::congestion::Algorithm;
use super::ecn::EcnMode;
use super::fast_open::Keys;
use super::habits::Habits;
use crate::wire::option::OptionOrder;

/// The largest window that a shift count of 9 can express, just below 32 MiB: enough for 10 Gb/s over 25 ms. With a larger
/// count, one step of the window field would be close to a whole segment.
pub const LARGEST_TUNED_WINDOW: u32 = 0xffff << 9;

/// Settings of TCP for a whole stack. The defaults are the decisions of the house, with their sources.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// Octets that an application may have queued for sending on one connection, 1 to 2^30. `None`, which is the default:
    /// twice what the windows of congestion control and of the peer allow in flight, within `send_tuning`.
    pub send_capacity: Option<u32>,
    /// Octets received that may wait for the application on one connection, 1 to 2^30. `None`, which is the default: as
    /// much as the path and the reader can use, within `receive_tuning`.
    pub receive_capacity: Option<u32>,
    /// Bounds of a send capacity that nobody has set, in octets. Default 256 KiB to 64 MiB.
    pub send_tuning: RangeInclusive<u32>,
    /// The receive capacity at the start of a connection and the largest one that it may grow to, where nobody has set it,
    /// in octets. Windows are scaled for the largest. Default 256 KiB to [`LARGEST_TUNED_WINDOW`].
    pub receive_tuning: RangeInclusive<u32>,
    /// Packets that wait for us in the device's queue at most, where that is known and each of them is one segment: beyond
    /// it the device drops without a word, so a window that is tuned offers no more. Default `None`.
    pub queue_limit: Option<u32>,
    /// RTO before the first RTT sample (RFC 6298 (2.1)). Default 1 s.
    pub initial_rto: Duration,
    /// Floor of the RTO: it is SRTT + max(4 RTTVAR, this). RFC 6298 (2.4) says that the whole is 1 s at least; deployed stacks use
    /// 200 ms, which is the default here.
    pub min_rto: Duration,
    /// Cap of the RTO, at least 60 s (RFC 6298 (2.5)). Default 120 s.
    pub max_rto: Duration,
    /// How long an acknowledgment may wait (RFC 9293 section 3.8.6.3: below 0.5 s). Default 40 ms.
    pub delayed_ack: Duration,
    /// Segments at the start of a connection that are acknowledged at once. Default 16.
    pub quick_acks: u8,
    /// How long TIME-WAIT lasts, 2 MSL (RFC 9293 section 3.4.2). Default 60 s.
    pub time_wait: Duration,
    /// R2 for data: how long unanswered data is retransmitted before the connection ends (RFC 9293 section 3.8.3: at
    /// least 100 s). Default 300 s.
    pub give_up: Duration,
    /// R2 for a SYN (at least 180 s). Default 180 s.
    pub give_up_syn: Duration,
    /// R1: retransmissions after which the path is suspected (at least 3). Default 3.
    pub suspect_after: u8,
    /// How long FIN-WAIT-2 waits for the peer's FIN once the application has let go. Default 60 s.
    pub fin_wait_2: Duration,
    /// How long a connection may take to finish once its application has let go. Default 60 s.
    pub orphan: Duration,
    /// Offer timestamps (RFC 7323). Default on.
    pub timestamps: bool,
    /// Offer SACK (RFC 2018). Default on.
    pub sack: bool,
    /// Offer window scaling (RFC 7323). Default on.
    pub window_scaling: bool,
    /// Explicit congestion notification (RFC 3168). Default: with those who ask.
    pub ecn: EcnMode,
    /// The order of the options of a SYN. Default: as Linux.
    pub option_order: OptionOrder,
    /// The largest MSS to announce, whatever the device takes, in octets. It limits what comes, not what is sent. Default
    /// `None`.
    pub announce_at_most: Option<u16>,
    /// Drop SYNs that carry a FIN (`drop_synfin` of FreeBSD). Default off: both count, as RFC 9293 says.
    pub drop_syn_fin: bool,
    /// Half-open records over all listeners; beyond it SYN cookies answer. Default 4,096.
    pub max_half_open: u32,
    /// Send SYN cookies when the SYN queue is full (RFC 4987 section 3.6). Default on.
    pub syn_cookies: bool,
    /// Keys of Fast Open cookies (RFC 7413). Default `None`: secret ones that change each hour. Servers behind one address need
    /// the same.
    pub fast_open_keys: Option<Keys>,
    /// How long Fast Open is not tried with a service that did not answer it; twice as long after each failure in a row, up to
    /// 1,024 times. Default 60 s.
    pub fast_open_back_off: Duration,
    /// Connections, half-open and TIME-WAIT records not counted. Default 1,048,576.
    pub max_connections: u32,
    /// TIME-WAIT records; beyond it the oldest makes room. Default 65,536.
    pub max_time_wait: u32,
    /// Octets of buffer memory over all connections. Default 1 GiB.
    pub buffer_memory: usize,
    /// Challenge ACKs and answers to unacceptable segments without data, per connection and second (RFC 5961 section 7).
    /// Default 10.
    pub challenge_acks_per_second: u8,
    /// RSTs and other answers that belong to no connection, per second over the stack, half of them for one host at most.
    /// Default 1,000.
    pub resets_per_second: u32,
    /// What the RFCs leave open. Default: the decisions of the house.
    pub habits: Habits,
    /// What an accepted or new connection starts with.
    pub socket: SocketOptions,
}

impl Default for TcpConfig {
    fn default() -> TcpConfig {
        TcpConfig {
            send_capacity: None,
            receive_capacity: None,
            send_tuning: 256 << 10..=64 << 20,
            receive_tuning: 256 << 10..=LARGEST_TUNED_WINDOW,
            queue_limit: None,
            // 8961-4.1: at least 1 s without knowledge of the path. 6298-2.1.
            initial_rto: Duration::from_secs(1),
            // 6298-2.4: configurable, and lower than the RFC's 1 s by decision of the house (docs/decisions.md).
            min_rto: Duration::from_millis(200),
            // 6298-2.5: a cap of at least 60 s.
            max_rto: Duration::from_secs(120),
            // 9293-MUST-40: less than 0.5 s.
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            // 9293-MUST-13: 2 MSL.
            time_wait: Duration::from_secs(60),
            // 9293-SHLD-11: at least 100 s.
            give_up: Duration::from_secs(300),
            // 9293-MUST-23: at least 3 minutes.
            give_up_syn: Duration::from_secs(180),
            // 9293-SHLD-10: at least 3 retransmissions.
            suspect_after: 3,
            fin_wait_2: Duration::from_secs(60),
            orphan: Duration::from_secs(60),
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: EcnMode::default(),
            option_order: OptionOrder::default(),
            announce_at_most: None,
            drop_syn_fin: false,
            max_half_open: 4_096,
            syn_cookies: true,
            fast_open_keys: None,
            fast_open_back_off: Duration::from_secs(60),
            max_connections: 1 << 20,
            max_time_wait: 65_536,
            buffer_memory: 1 << 30,
            challenge_acks_per_second: 10,
            resets_per_second: 1_000,
            habits: Habits::default(),
            socket: SocketOptions::default(),
        }
    }
}

/// What an application may set on one connection, or on a listener for the connections that it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SocketOptions {
    /// Send short segments at once (TCP_NODELAY). Default off: Nagle's algorithm is on.
    pub nodelay: bool,
    /// Hold short segments back until they are full (TCP_CORK), for at most 200 ms. Default off.
    pub cork: bool,
    /// Send keep-alives (SO_KEEPALIVE). Default off.
    pub keep_alive: bool,
    /// Idle time before the first keep-alive (TCP_KEEPIDLE). Default 2 h.
    pub keep_alive_idle: Duration,
    /// Time between unanswered keep-alives (TCP_KEEPINTVL). Default 75 s.
    pub keep_alive_interval: Duration,
    /// Unanswered keep-alives that end the connection (TCP_KEEPCNT). Default 9.
    pub keep_alive_probes: u8,
    /// R2 of this connection (TCP_USER_TIMEOUT): how long anything may stay unanswered. `None`: the stack's. For ever:
    /// `Some(Duration::MAX)`.
    pub user_timeout: Option<Duration>,
    /// R2 of its SYN, where `user_timeout` is not set (TCP_KEEPINIT of FreeBSD). `None`: the stack's.
    pub give_up_syn: Option<Duration>,
    /// What closing does (SO_LINGER): `None` finishes in the background, zero aborts, a time waits that long.
    pub linger: Option<Duration>,
    /// TTL or hop limit, 1 to 255. Default 64.
    pub hop_limit: u8,
    /// DSCP, 0 to 63. Default 0. It should in general stay the same during a connection, as segments of two classes may
    /// overtake each other; nothing in the stack changes it.
    // 9293-SHLD-23
    pub dscp: u8,
    /// Octets that may be queued for sending, 1 to 2^30. `None`: the stack's, which are tuned by default.
    pub send_capacity: Option<u32>,
    /// Octets received that may wait, 1 to 2^30. `None`: the stack's, which are tuned by default.
    pub receive_capacity: Option<u32>,
    /// The congestion control algorithm (TCP_CONGESTION). Default CUBIC.
    pub congestion: Algorithm,
    /// Send no TCP options and take none, not even an MSS (TCP_NOOPT), against RFC 9293 section 3.7.1: for tests of peers. Default
    /// off.
    pub no_options: bool,
    /// An active open by Fast Open sends text without a cookie, and asks for none (TCP_FASTOPEN_NO_COOKIE): for servers that are
    /// known to take it so. Default off.
    pub fast_open_without_cookie: bool,
    /// Largest segment payload to announce and to send, lowered from what the device allows (TCP_MAXSEG).
    pub max_segment: Option<u16>,
}

/// What a buffer may hold, in octets: with none nothing moves, and beyond 1 GiB no window can offer it and sequence
/// numbers cannot be compared.
pub const CAPACITIES: RangeInclusive<u32> = 1..=1 << 30;

impl TcpConfig {
    /// All capacities and their bounds are in range.
    pub(crate) fn has_valid_capacities(&self) -> bool {
        let fixed = [self.send_capacity, self.receive_capacity];
        let tuned = [&self.send_tuning, &self.receive_tuning];
        let in_range = |capacity: &u32| CAPACITIES.contains(capacity);
        fixed.iter().flatten().all(in_range)
            && tuned.iter().all(|bounds| !bounds.is_empty() && in_range(bounds.start()) && in_range(bounds.end()))
    }
}

impl SocketOptions {
    /// Every value is in its range.
    // 1122-3.2.1.7-1: nothing is ever sent with a TTL of 0.
    pub fn is_valid(&self) -> bool {
        let fits = |capacity: Option<u32>| capacity.is_none_or(|octets| CAPACITIES.contains(&octets));
        self.hop_limit > 0 && self.dscp < 64 && fits(self.send_capacity) && fits(self.receive_capacity)
    }

    /// The TOS octet or traffic class of what is sent.
    // 9293-MUST-48, 9293-SHLD-22, 1122-3.2.1.6: the DSCP as it was set, by default 0; the two ECN bits are the stack's.
    pub(super) fn traffic_class(&self) -> u8 {
        self.dscp << 2
    }
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            nodelay: false,
            cork: false,
            // 9293-MUST-25: off unless asked for.
            keep_alive: false,
            // 9293-MUST-28: two hours or more.
            keep_alive_idle: Duration::from_secs(7_200),
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_probes: 9,
            user_timeout: None,
            give_up_syn: None,
            linger: None,
            hop_limit: 64,
            dscp: 0,
            send_capacity: None,
            receive_capacity: None,
            congestion: Algorithm::Cubic,
            no_options: false,
            fast_open_without_cookie: false,
            max_segment: None,
        }
    }
}
