//! Habits: what the RFCs leave open and other stacks do in another way. Each is a setting with the decision of the house as
//! its default; a persona of [`crate::packetdrill`] is a set of them.

mod acks;
mod resets;
mod syn;
mod windows;

use std::time::Duration;

pub use super::cwnd_rules::CwndRules;
pub use acks::{AckHabits, AfterFin};
pub use resets::ResetHabits;
pub use syn::{FastOpenHabits, SynHabits};
pub use windows::{WindowHabits, Windows};

/// When larger segments are tried than the path is known to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtuSearch {
    /// Never, and segments of full size that seem to vanish do not become smaller.
    Never,
    /// Where segments of full size seem to vanish: smaller ones first (RFC 4821 section 7.7).
    #[default]
    BlackHoles,
    /// By halves from the start of each connection; what the path is known to take is sent meanwhile.
    Always,
}

/// How text is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Segments in one piece at least.
    pub least: u16,
    /// A piece that the windows cut to less than one in so many octets of them waits for the next ACK, where another has just
    /// left and that ACK is not far. 0: to three segments or less.
    pub share: u16,
    /// Beyond the first ten segments a piece waits for its turn, at the rate by which pieces are sized. Controllers that pace
    /// do so in any case.
    pub paced: bool,
}

/// Which ICMP errors end an attempt to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardErrors {
    /// Protocol and port unreachable (RFC 9293 section 3.9.2.2).
    #[default]
    Standard,
    /// Beside them, as FreeBSD does: what is administratively prohibited, an expired hop limit, and a next header that is not
    /// known.
    More,
    /// All that says that the host, or what it was sent to, cannot be reached, as Linux does; also from a half-open record.
    All,
    /// None.
    Ignored,
}

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// What a SYN offers, and what is made of one that comes.
    pub syn: SynHabits,
    /// How a client uses Fast Open.
    pub fast_open: FastOpenHabits,
    /// When ACKs leave, and which do not.
    pub acks: AckHabits,
    /// Which windows are offered, and when.
    pub windows: WindowHabits,
    /// Which RSTs leave, and what ends a connection that should not.
    pub resets: ResetHabits,
    /// What leaves in one piece is as much as the path carries in a millisecond, and half of cwnd at most; of more than one
    /// segment the last one is pushed. `None`, the default: as much as the windows and the device allow, and what empties the
    /// queue is pushed.
    pub burst: Option<Burst>,
    /// The least cap of the RTO that can be set. Default 60 s (RFC 6298 (2.5)).
    pub least_rto_cap: Duration,
    /// A probe of a closed window carries no text: SEG.SEQ = SND.UNA - 1, which the peer must answer as a keep-alive. Default
    /// off: one octet of text (RFC 9293 section 3.8.6.1).
    pub empty_window_probes: bool,
    /// No tail loss probe leaves sooner than this. Default 10 ms.
    pub min_loss_probe: Duration,
    /// Tail loss probes are sent (RFC 8985 section 7). Default on.
    pub tail_loss_probes: bool,
    /// What the number of an ACK acknowledges sets RACK.rtt after what the ACK SACKs, whenever it was sent. Default off: in the
    /// order of sending (RFC 8985 section 6.2, step 2).
    pub rack_by_number_last: bool,
    /// Text that was held back leaves after an RTO. Default off: after 200 ms.
    pub override_after_rto: bool,
    /// How cwnd answers to what ACKs tell. Default: by the octets in flight.
    pub cwnd: CwndRules,
    /// The first slow start of CUBIC ends at once when the round-trip time rises, measured by the least of all. Default off: by
    /// that of the last round, and by and by (HyStart++, RFC 9406).
    pub slow_start_by_least_of_all: bool,
    /// Where timestamps were agreed on, segments without one are taken all the same. Default off: they are dropped, as RFC 7323
    /// section 3.2 recommends.
    pub take_missing_timestamps: bool,
    /// After an idle time of an RTO sending starts again with the initial window (RFC 5681 section 4.1). Default on.
    pub restart_after_idle: bool,
    /// When larger segments are tried than the path is known to take (RFC 4821). Default: in search of a way out of a black
    /// hole.
    pub mtu_search: MtuSearch,
    /// The MSS over IPv4 from which a search begins, in octets. Default 1,024.
    pub base_mss: u16,
    /// Which ICMP errors end an attempt to connect. Default: see [`HardErrors::Standard`].
    pub hard_errors: HardErrors,
    /// TIME-WAIT answers whatever acknowledges, unless it is the last ACK once more, and nothing else. Default off: what lies
    /// outside of the window, and the FIN that comes again (RFC 9293 section 3.10.7.4).
    pub talkative_time_wait: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            syn: SynHabits::default(),
            fast_open: FastOpenHabits::default(),
            acks: AckHabits::default(),
            windows: WindowHabits::default(),
            resets: ResetHabits::default(),
            burst: None,
            least_rto_cap: Duration::from_secs(60),
            empty_window_probes: false,
            min_loss_probe: Duration::from_millis(10),
            tail_loss_probes: true,
            rack_by_number_last: false,
            override_after_rto: false,
            cwnd: CwndRules::Flight,
            slow_start_by_least_of_all: false,
            take_missing_timestamps: false,
            restart_after_idle: true,
            mtu_search: MtuSearch::BlackHoles,
            base_mss: 1_024,
            hard_errors: HardErrors::default(),
            talkative_time_wait: false,
        }
    }
}
