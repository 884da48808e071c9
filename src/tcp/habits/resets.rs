//! Habits of resetting connections, and of being reset.

/// Which RSTs leave, and what ends a connection that should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetHabits {
    /// Text for an application that has closed is answered as in CLOSED: the RST has the number of the ACK field. Default
    /// off: it has SND.NXT, as RFC 9293 section 3.10.5 aborts.
    pub as_closed: bool,
    /// A RST that answers a segment of no connection has no timestamp. Default off: it has one where the segment has (RFC 7323
    /// section 5.2).
    pub bare: bool,
    /// The peer of a connection that is given up, as nothing was acknowledged for too long, gets a RST. Default on: it may live,
    /// and should not wait.
    pub after_timeout: bool,
    /// A RST counts wherever it lies in the window, as RFC 793 had it: whoever guesses the window ends the connection. Insecure;
    /// default off (RFC 5961 section 3).
    pub insecure_rst: bool,
    /// A SYN in the window resets the connection, as RFC 793 had it. Insecure; default off (RFC 5961 section 4).
    pub insecure_syn: bool,
}

impl Default for ResetHabits {
    fn default() -> ResetHabits {
        ResetHabits { as_closed: false, bare: false, after_timeout: true, insecure_rst: false, insecure_syn: false }
    }
}
