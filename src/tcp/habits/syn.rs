//! Habits of opening connections.

/// What a SYN offers, and what is made of one that comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynHabits {
    /// A SYN announces no more than the path is known to take. Default off: what our link takes (RFC 6691 section 2).
    pub announce_path_mss: bool,
    /// Timeouts of a SYN after which it does not ask for ECN any more. Default 0: the first one that is sent again asks for
    /// nothing (RFC 3168 section 6.1.1.1).
    pub ecn_retries: u8,
    /// The timeout of a SYN from which on it offers nothing but its MSS. Default `None`: it offers the same again.
    pub bare_after: Option<u8>,
    /// A SYN-ACK that echoes a timestamp which our SYN did not have is answered by a RST, and our SYN is sent on. Default off: it
    /// counts, as its ACK field shows that it is an answer.
    pub check_echo: bool,
    /// A SYN,ACK to a listener is dropped without a word. Default off: it is answered by a RST (RFC 9293 section 3.10.7.2).
    pub silent_on_syn_ack: bool,
    /// A SYN that crosses ours and asks for ECN is answered as one to a listener. Default off: RFC 3168 section 6.1.1 keeps it
    /// from those who have sent a SYN that did not ask.
    pub ecn_with_crossing: bool,
    /// The FIN of a SYN that crosses ours and brings text is forgotten: its peer sends it again. Default off: it is kept.
    pub forget_crossing_fin: bool,
    /// The text of a SYN that crosses ours is forgotten, too: its peer sends it again. Its SYN, which comes again with the ACK of
    /// ours, is reported as received twice. Default off.
    pub forget_crossing_text: bool,
}

/// How a client uses Fast Open (RFC 7413).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastOpenHabits {
    /// A server that answers the request for a Fast Open cookie by none is asked once more, by the experimental option (RFC
    /// 6994), which it had before it got a number. Default off.
    pub by_experiment: bool,
    /// The text of a SYN is as long as the server and the path are known to take. Default off: no longer than most paths take
    /// (RFC 7413 section 4.1.3).
    pub long_syns: bool,
}
