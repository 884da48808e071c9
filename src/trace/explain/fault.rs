//! What an end of a captured connection may have done that it should not have.

use crate::vocabulary::vocabulary;

vocabulary! {
    /// A departure from the rules.
    Fault {
        BeyondWindow => "beyond-window", "RFC9293/3.8.6", "It sends text for which the peer has offered no room.";
        BeyondFin => "beyond-FIN", "9293-3.10.2-6", "It sends something behind its own FIN.";
        AcksUnsent => "acks-unsent", "9293-3.10.7.4-37", "It acknowledges what has not arrived.";
        AckGoesBack => "ack-goes-back", "9293-3.10.7.4-37", "It acknowledges less than it did before.";
        AckMissing => "ack-missing", "9293-MUST-40", "It has let 0.5 s pass without the ACK that it owes.";
        NoAckFlag => "no-ACK-flag", "9293-3.10.2-4", "Every segment behind the SYN acknowledges; this one does not.";
        WindowShrunk => "window-shrunk", "9293-SHLD-14", "It takes back room that it had offered.";
        AgainEarly => "again-early", "6298-5.0", "It sends something again before its timer can have run out, and without a sign of loss.";
        SynAgainEarly => "SYN-again-early", "6298-2.1", "It sends its SYN again before a second is over.";
        SynChanged => "SYN-changed", "9293-MUST-8", "It repeats its SYN with another sequence number.";
        ResetOnReset => "RST-on-RST", "9293-3.5.2-1", "It answers a RST with a RST.";
        ResetOnSyn => "RST-on-SYN", "9293-3.10.7.4-19", "It resets the connection for a SYN, where a challenge ACK is due.";
        ResetOnAck => "RST-on-ACK", "9293-3.10.7.4-27", "It resets the connection for an ACK out of range, where an ACK is due.";
        WrongReset => "wrong-RST", "9293-3.10.7.1-2", "The numbers of its RST are not those that the peer would believe.";
        ScaleUnasked => "scale-unasked", "7323-2.2-1", "Its SYN,ACK has a window scale that the SYN did not offer.";
        TimestampsUnasked => "timestamps-unasked", "7323-3.2-1", "Its SYN,ACK has timestamps that the SYN did not offer.";
        SackUnasked => "SACK-unasked", "2018-2", "Its SYN,ACK permits SACK, which the SYN did not offer.";
        TimestampMissing => "timestamp-missing", "7323-3.2-1", "Timestamps were agreed on, and it leaves one out.";
        TimestampUnagreed => "timestamp-unagreed", "7323-3.2-1", "It sends a timestamp although none were agreed on.";
        SackUnagreed => "SACK-unagreed", "2018-4-1", "It sends SACK blocks that the peer has not permitted.";
        SackInvented => "SACK-invented", "2018-3", "It reports text that has not arrived.";
        CookieUnasked => "cookie-unasked", "RFC7413/4.2.2", "Its SYN,ACK has a cookie, and the SYN has no option of Fast Open.";
        CookieMalformed => "cookie-malformed", "7413-4.1.1", "Its option of Fast Open has a length that no cookie has.";
        LateCookie => "late-cookie", "7413-4.1.1", "It has an option of Fast Open without a SYN.";
        FastOpenAgain => "fast-open-again", "7413-4.2.2-1", "It sends its SYN again with a cookie or with text, which may be why nothing has answered.";
        EarlyText => "early-text", "9293-3.10.2-3", "It sends text before its SYN is acknowledged, and not by Fast Open.";
        LateMss => "late-MSS", "9293-MUST-65", "It announces an MSS without a SYN.";
        LateSackPermitted => "late-SACK-permitted", "2018-2", "It permits SACK without a SYN.";
        BadChecksum => "bad-checksum", "9293-MUST-2", "Its checksum is wrong.";
        AfterReset => "after-RST", "RFC9293/3.5.2", "It sends on a connection that it has reset, or that was reset.";
    }
}
