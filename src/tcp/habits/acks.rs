//! Habits of acknowledging.

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

/// When ACKs leave, and which do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckHabits {
    /// Once the application has sent text, ACKs wait for the next such chance, also at the start of a connection. Default
    /// off: the first segments are acknowledged at once, whatever the application does.
    pub quick_end_with_reply: bool,
    /// Every second segment is acknowledged at once, however short it is. Default off: once there are two full ones (RFC 9293
    /// section 3.8.6.3).
    pub by_pairs: bool,
    /// What follows a FIN of the peer. Default: its ACK, at once.
    pub after_fin: AfterFin,
    /// An ACK of what was never sent is dropped without a word. Default off: it is answered (RFC 9293 section 3.10.7.4).
    pub silent_on_future: bool,
    /// The time for which challenge ACKs are counted, in eighths of a second. Default 8.
    pub challenge_eighths: u16,
    /// The option of Accurate ECN is never sent (RFC 9768 section 3.2.3 has it optional). Default off.
    pub no_ecn_options: bool,
}

impl Default for AckHabits {
    fn default() -> AckHabits {
        AckHabits {
            quick_end_with_reply: false,
            by_pairs: false,
            after_fin: AfterFin::Ack,
            silent_on_future: false,
            challenge_eighths: 8,
            no_ecn_options: false,
        }
    }
}
