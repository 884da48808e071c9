//! Habits: what the RFCs leave open and other stacks do in another way. Each is a setting with the decision of the house as
//! its default; a persona of [`crate::packetdrill`] is a set of them.

use std::time::Duration;

pub use super::cwnd_rules::CwndRules;

/// What follows a FIN of the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFin {
    /// Its ACK, at once.
    #[default]
    Ack,
    /// The same; where both sides close at the same time, with our FIN once more.
    AckAndFin,
    /// In ESTABLISHED, once there was text, an ACK that waits as long as that of text may, for an application that closes, too;
    /// it reports nothing that was received twice.
    LateAck,
}

/// What window a receive buffer offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// Its free part; the right edge moves by whole segments (RFC 9293 section 3.8.6.2.2).
    #[default]
    Steps,
    /// The buffer is so many whole segments. All of its free part is the window by which segments are accepted, whatever the
    /// window field can say of it; the right edge moves by whole segments, or as far as an empty buffer goes.
    Whole,
    /// The same, but the right edge moves by whatever is read, and the window is rounded up to what its field can say.
    WholeSegments,
    /// Its free part is the window, as with `Whole`, with a first window of whole segments in the buffer; whoever sets the buffer's size while text arrives and is
    /// read decides about windows, and about their updates.
    Told,
}

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
    /// What leaves in one piece is as much as the path carries in a millisecond, and half of cwnd at most; of more than one
    /// segment the last one is pushed. `None`, the default: as much as the windows and the device allow, and what empties the
    /// queue is pushed.
    pub burst: Option<Burst>,
    /// The least cap of the RTO that can be set. Default 60 s (RFC 6298 (2.5)).
    pub least_rto_cap: Duration,
    /// A probe of a closed window carries no text: SEG.SEQ = SND.UNA - 1, which the peer must answer as a keep-alive. Default
    /// off: one octet of text (RFC 9293 section 3.8.6.1).
    pub empty_window_probes: bool,
    /// Once the application has sent text, ACKs wait for the next such chance, also at the start of a connection. Default
    /// off: the first segments are acknowledged at once, whatever the application does.
    pub quick_acks_end_with_reply: bool,
    /// Every second segment is acknowledged at once, however short it is. Default off: once there are two full ones (RFC 9293
    /// section 3.8.6.3).
    pub acknowledge_pairs: bool,
    /// What window a receive buffer offers. Default: its free part, in steps of whole segments.
    pub windows: Windows,
    /// What follows a FIN of the peer. Default: its ACK, at once.
    pub after_fin: AfterFin,
    /// No tail loss probe leaves sooner than this. Default 10 ms.
    pub min_loss_probe: Duration,
    /// Tail loss probes are sent (RFC 8985 section 7). Default on.
    pub tail_loss_probes: bool,
    /// What the number of an ACK acknowledges sets RACK.rtt after what the ACK SACKs, whenever it was sent. Default off: in the
    /// order of sending (RFC 8985 section 6.2, step 2).
    pub rack_by_number_last: bool,
    /// Text that was held back leaves after an RTO. Default off: after 200 ms.
    pub override_after_rto: bool,
    /// A window update leaves only for a window twice as large as what is still offered. Default off: for an eighth of the
    /// largest one.
    pub reluctant_window_updates: bool,
    /// How cwnd answers to what ACKs tell. Default: by the octets in flight.
    pub cwnd: CwndRules,
    /// Text for an application that has closed is answered as in CLOSED: the RST has the number of the ACK field. Default
    /// off: it has SND.NXT, as RFC 9293 section 3.10.5 aborts.
    pub reset_as_closed: bool,
    /// Where timestamps were agreed on, segments without one are taken all the same. Default off: they are dropped, as RFC 7323
    /// section 3.2 recommends.
    pub take_missing_timestamps: bool,
    /// The peer of a connection that is given up, as nothing was acknowledged for too long, gets a RST. Default on: it may live,
    /// and should not wait.
    pub reset_after_timeout: bool,
    /// An ACK of what was never sent is dropped without a word. Default off: it is answered (RFC 9293 section 3.10.7.4).
    pub silent_on_future_acks: bool,
    /// After an idle time of an RTO sending starts again with the initial window (RFC 5681 section 4.1). Default on.
    pub restart_after_idle: bool,
    /// The time for which challenge ACKs are counted, in eighths of a second. Default 8.
    pub challenge_eighths: u16,
    /// When larger segments are tried than the path is known to take (RFC 4821). Default: in search of a way out of a black
    /// hole.
    pub mtu_search: MtuSearch,
    /// The MSS over IPv4 from which a search begins, in octets. Default 1,024.
    pub base_mss: u16,
    /// Which ICMP errors end an attempt to connect. Default: see [`HardErrors::Standard`].
    pub hard_errors: HardErrors,
    /// Timeouts of a SYN after which it does not ask for ECN any more. Default 0: the first one that is sent again asks for
    /// nothing (RFC 3168 section 6.1.1.1).
    pub ecn_retries: u8,
    /// A SYN that crosses ours and asks for ECN is answered as one to a listener. Default off: RFC 3168 section 6.1.1 keeps it
    /// from those who have sent a SYN that did not ask.
    pub ecn_with_crossing_syn: bool,
    /// The timeout of a SYN from which on it offers nothing but its MSS. Default `None`: it offers the same again.
    pub bare_syn_after: Option<u8>,
    /// A RST that answers a segment of no connection has no timestamp. Default off: it has one where the segment has (RFC 7323
    /// section 5.2).
    pub bare_resets: bool,
    /// A SYN,ACK to a listener is dropped without a word. Default off: it is answered by a RST (RFC 9293 section 3.10.7.2).
    pub silent_on_syn_ack: bool,
    /// The FIN of a SYN that crosses ours and brings text is forgotten: its peer sends it again. Default off: it is kept.
    pub forget_crossing_fin: bool,
    /// The text of a SYN that crosses ours is forgotten, too: its peer sends it again. Its SYN, which comes again with the ACK of
    /// ours, is reported as received twice. Default off.
    pub forget_crossing_text: bool,
    /// A SYN-ACK that echoes a timestamp which our SYN did not have is answered by a RST, and our SYN is sent on. Default off: it
    /// counts, as its ACK field shows that it is an answer.
    pub check_syn_echo: bool,
    /// A SYN announces no more than the path is known to take. Default off: what our link takes (RFC 6691 section 2).
    pub announce_path_mss: bool,
    /// A server that answers the request for a Fast Open cookie by none is asked once more, by the experimental option (RFC
    /// 6994), which it had before it got a number. Default off.
    pub fast_open_experiment: bool,
    /// The text of a SYN is as long as the server and the path are known to take. Default off: no longer than most paths take
    /// (RFC 7413 section 4.1.3).
    pub long_syns: bool,
    /// TIME-WAIT answers whatever acknowledges, unless it is the last ACK once more, and nothing else. Default off: what lies
    /// outside of the window, and the FIN that comes again (RFC 9293 section 3.10.7.4).
    pub talkative_time_wait: bool,
    /// A RST counts wherever it lies in the window, as RFC 793 had it: whoever guesses the window ends the connection. Insecure;
    /// default off (RFC 5961 section 3).
    pub insecure_reset: bool,
    /// A SYN in the window resets the connection, as RFC 793 had it. Insecure; default off (RFC 5961 section 4).
    pub insecure_syn: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            burst: None,
            least_rto_cap: Duration::from_secs(60),
            empty_window_probes: false,
            quick_acks_end_with_reply: false,
            acknowledge_pairs: false,
            windows: Windows::Steps,
            after_fin: AfterFin::Ack,
            min_loss_probe: Duration::from_millis(10),
            tail_loss_probes: true,
            rack_by_number_last: false,
            override_after_rto: false,
            reluctant_window_updates: false,
            cwnd: CwndRules::Flight,
            reset_as_closed: false,
            take_missing_timestamps: false,
            reset_after_timeout: true,
            silent_on_future_acks: false,
            restart_after_idle: true,
            challenge_eighths: 8,
            mtu_search: MtuSearch::BlackHoles,
            base_mss: 1_024,
            hard_errors: HardErrors::default(),
            ecn_retries: 0,
            ecn_with_crossing_syn: false,
            bare_syn_after: None,
            bare_resets: false,
            silent_on_syn_ack: false,
            forget_crossing_fin: false,
            forget_crossing_text: false,
            check_syn_echo: false,
            announce_path_mss: false,
            fast_open_experiment: false,
            long_syns: false,
            talkative_time_wait: false,
            insecure_reset: false,
            insecure_syn: false,
        }
    }
}
