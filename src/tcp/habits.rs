//! Habits: what the RFCs leave open and other stacks do in another way. Each is a setting with the decision of the house as
//! its default; a persona of [`crate::packetdrill`] is a set of them.

use std::time::Duration;

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// What leaves in one piece is as much as the path carries in a millisecond, but so many segments at least, and half of
    /// cwnd at most; of more than one segment the last one is pushed. `None`, the default: as much as the windows and the
    /// device allow, and what empties the queue is pushed.
    pub burst: Option<u16>,
    /// The floor of the RTO bounds its term of variation, so that the RTO is always that much longer than SRTT. Default off:
    /// it bounds the whole (RFC 6298 (2.4)).
    pub floor_on_variation: bool,
    /// A probe of a closed window carries no text: SEG.SEQ = SND.UNA - 1, which the peer must answer as a keep-alive. Default
    /// off: one octet of text (RFC 9293 section 3.8.6.1).
    pub empty_window_probes: bool,
    /// Once the application has sent text, ACKs wait for the next such chance, also at the start of a connection. Default
    /// off: the first segments are acknowledged at once, whatever the application does.
    pub quick_acks_end_with_reply: bool,
    /// Every second segment is acknowledged at once, however short it is. Default off: once there are two full ones (RFC 9293
    /// section 3.8.6.3).
    pub acknowledge_pairs: bool,
    /// The receive buffer is so many whole segments, its free part is the window, whatever the window field can say of it, and
    /// the right edge moves by whatever is read. Default off: it moves by whole segments (RFC 9293 section 3.8.6.2.2).
    pub whole_segments: bool,
    /// Where both sides close at the same time, our FIN is sent again with the ACK of the peer's. Default off.
    pub repeat_crossed_fin: bool,
    /// No tail loss probe leaves sooner than this. Default 10 ms.
    pub min_loss_probe: Duration,
    /// Tail loss probes are sent (RFC 8985 section 7). Default on.
    pub tail_loss_probes: bool,
    /// Text that was held back leaves after an RTO. Default off: after 200 ms.
    pub override_after_rto: bool,
    /// A window update leaves only for a window twice as large as what is still offered. Default off: for an eighth of the
    /// largest one.
    pub reluctant_window_updates: bool,
    /// Outside of recovery cwnd grows by what an ACK has delivered, and only for one that acknowledges something by number:
    /// what was SACKed before is not counted. Default off: it is counted when it is acknowledged.
    pub grow_by_delivery: bool,
    /// Text for an application that has closed is answered as in CLOSED: the RST has the number of the ACK field. Default
    /// off: it has SND.NXT, as RFC 9293 section 3.10.5 aborts.
    pub reset_as_closed: bool,
    /// Where timestamps were agreed on, segments without one are taken all the same. Default off: they are dropped, as RFC 7323
    /// section 3.2 recommends.
    pub take_missing_timestamps: bool,
    /// An ACK of what was never sent is dropped without a word. Default off: it is answered (RFC 9293 section 3.10.7.4).
    pub silent_on_future_acks: bool,
    /// After an idle time of an RTO sending starts again with the initial window (RFC 5681 section 4.1). Default on.
    pub restart_after_idle: bool,
    /// Where segments of full size seem to vanish, smaller ones are tried (RFC 4821 section 7.7). Default on.
    pub leave_black_holes: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            burst: None,
            floor_on_variation: false,
            empty_window_probes: false,
            quick_acks_end_with_reply: false,
            acknowledge_pairs: false,
            whole_segments: false,
            repeat_crossed_fin: false,
            min_loss_probe: Duration::from_millis(10),
            tail_loss_probes: true,
            override_after_rto: false,
            reluctant_window_updates: false,
            grow_by_delivery: false,
            reset_as_closed: false,
            take_missing_timestamps: false,
            silent_on_future_acks: false,
            restart_after_idle: true,
            leave_black_holes: true,
        }
    }
}
