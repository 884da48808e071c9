//! Why a segment leaves, in the words of captures.

use super::connection::Connection;
use super::plan::{Plan, Reason};
use super::receiver::AckOwed;
use super::recovery::new_reno::Phase;
use super::state::State;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// Why a segment leaves.
    Why {
        Syn => "SYN", "9293-3.10.1-2", "Our SYN, for the first time.";
        SynAck => "SYN-ACK", "9293-3.10.7.2-3", "A listener answers a SYN.";
        SynAsks => "SYN-asks", "RFC7413/4.2.1", "Our SYN, which asks for a cookie of Fast Open.";
        SynFast => "SYN-fast", "7413-4.2.2-1", "Our SYN with the server's cookie, and text as far as there is room.";
        SynAckTells => "SYN-ACK-tells", "7413-4.1.2", "A listener answers a SYN and tells the cookie to use from now on.";
        SynAckFast => "SYN-ACK-fast", "7413-4.2.2-2", "A listener answers a SYN that has opened by Fast Open, and its text.";
        SynAckAgain => "SYN-ACK-again", "9293-3.10.7.4-6", "The SYN has come again, so our SYN-ACK may be lost.";
        SynAckTimeout => "SYN-ACK-RTO", "9293-3.10.8-2", "Nothing has answered our SYN-ACK in time.";
        SynAckCookie => "SYN-ACK-cookie", "4987-3.6", "The SYN queue is full: this SYN-ACK carries what a record would.";
        SimultaneousOpen => "simultaneous-open", "9293-3.10.7.3-8", "Both ends have sent a SYN: ours again, with an ACK.";
        NewData => "new-data", "9293-3.10.2-4", "Text for the first time, perhaps with our FIN.";
        EarlyText => "F-RTO", "5682-3.1", "New text after a timeout, to learn whether anything was lost.";
        Fin => "FIN", "9293-3.10.4-4", "Our FIN alone: everything before it has left.";
        Timeout => "RTO", "6298-5.4", "Again, after a retransmission timeout.";
        Rack => "RACK", "8985-6.2-5", "Again: what was sent later has arrived.";
        FastRetransmit => "fast-retransmit", "5681-3.2-2", "Again, after three duplicate ACKs; or after a partial ACK.";
        LossProbe => "TLP", "8985-7.3-2", "A tail loss probe: nothing has answered the last segments.";
        WindowReopened => "window-reopened", "9293-SHLD-16", "Again: it had met a closed window.";
        PathMtu => "path-MTU", "1191-6.4", "Again, as the path takes no packets as large as the first.";
        MtuProbe => "MTU-probe", "4821-2", "New text in a larger packet, to see whether the path takes it.";
        WindowProbe => "zero-window-probe", "9293-MUST-36", "The window is closed: does it still exist?";
        KeepAlive => "keep-alive", "9293-SHLD-12", "Nothing was heard for long: does the peer still live?";
        Ack => "ACK", "9293-SHLD-19", "Text has come in order, and its ACK does not wait: every second full segment, or the first of all.";
        DelayedAck => "delayed-ACK", "9293-SHLD-18", "Text has come in order, and nothing to send has carried its ACK.";
        DuplicateAck => "duplicate-ACK", "5681-3.2-1", "Text has come out of order: something before it is missing.";
        GapAck => "gap-ACK", "5681-3.2-1", "Text has come that fills a gap, wholly or in part.";
        SynAckAck => "ACK-of-SYN", "9293-3.10.7.3-7", "The third segment of the handshake.";
        FinAck => "ACK-of-FIN", "9293-3.10.7.4-40", "The peer's FIN is here, and everything before it.";
        FinEarlyAck => "FIN-early-ACK", "9293-3.10.7.4-40", "The peer's FIN is here, and something before it is not.";
        Unacceptable => "unacceptable-ACK", "9293-3.10.7.4-6", "What has come lies outside the window: this is what is expected.";
        Challenge => "challenge-ACK", "5961-7-1", "Something that may be forged: only who is in step can go on from here.";
        NoRoomAck => "no-room-ACK", "9293-3.10.7.4-37", "There was no memory for what has come: this is where we are.";
        MarkAck => "CE-ACK", "3168-6.1.3", "A mark of congestion has come: the peer should know at once.";
        WindowUpdate => "window-update", "9293-MUST-39", "The application has read, and the window opens by enough to tell.";
        TimeWaitAck => "TIME-WAIT-ACK", "9293-3.10.7.4-33", "The connection is in TIME-WAIT: this is where it has ended.";
        HalfOpenAck => "half-open-ACK", "9293-3.10.7.4-6", "An unacceptable segment in SYN-RECEIVED: this is what is expected.";
        RstNobody => "RST-nobody", "9293-3.10.7.1-2", "No connection and no listener.";
        RstListen => "RST-listener", "9293-3.10.7.2-2", "An ACK to a listener, which has sent nothing that could be acknowledged.";
        RstCookie => "RST-bad-cookie", "4987-3.6", "An ACK to a listener, of a cookie that is not ours or too old.";
        RstAckRange => "RST-bad-ACK", "9293-3.10.7.3-1", "An ACK of something else than our SYN, before the connection is open.";
        RstRefused => "RST-refused", "9293-3.10.7.1-2", "The application has refused the SYN.";
        RstAfterClose => "RST-after-close", "9293-SHLD-3", "Text for an application that has closed.";
        RstSyn => "RST-SYN", "9293-3.10.7.4-19", "A SYN in the window, which by habit resets the connection.";
        RstSynAgain => "RST-SYN-again", "9768-3.1.5", "The SYN has come again and asks for another ECN feedback: nobody knows what its host does.";
        RstUnread => "RST-unread", "9293-SHLD-3", "The application has closed and left text unread, or asked to throw away what is queued.";
        RstAbort => "RST-abort", "9293-3.10.5-2", "The application has aborted the connection.";
        RstTimeout => "RST-timeout", "9293-3.10.8-1", "The peer has not answered for too long.";
    }
}

impl Why {
    /// Why this segment of a connection leaves. To be asked before it is put down as sent.
    pub fn of(connection: &Connection, plan: &Plan) -> Why {
        match plan.reason {
            Reason::Syn if connection.opens_early() => Why::SynAckFast,
            Reason::Syn if connection.state() == State::SynReceived => Why::SimultaneousOpen,
            Reason::Syn => match connection.fast_open.as_ref().and_then(|fast_open| fast_open.option) {
                Some(cookie) if cookie.is_request() => Why::SynAsks,
                Some(_) => Why::SynFast,
                None => Why::Syn,
            },
            Reason::Text if connection.frto().allowance() > 0 => Why::EarlyText,
            Reason::Text => Why::NewData,
            Reason::Fin => Why::Fin,
            Reason::Retransmission => Why::of_retransmission(connection),
            Reason::LossProbe => Why::LossProbe,
            Reason::MtuProbe => Why::MtuProbe,
            Reason::Probe => Why::WindowProbe,
            Reason::KeepAlive => Why::KeepAlive,
            Reason::Ack => match connection.owed.ack {
                // What is left are the duplicates that a peer without SACK counts.
                AckOwed::None => Why::DuplicateAck,
                AckOwed::Delayed => Why::DelayedAck,
                AckOwed::Now => connection.owed.why,
            },
        }
    }

    fn of_retransmission(connection: &Connection) -> Why {
        let syn = connection.transfer.as_ref().is_some_and(|transfer| transfer.sent.is_syn_lost());
        if syn && connection.state() == State::SynReceived && connection.snd.syn_losses == 0 {
            return if connection.opens_early() { Why::SynAckAgain } else { Why::SimultaneousOpen };
        }
        match connection.recovery.phase {
            _ if syn => Why::Timeout,
            Phase::Timeout => Why::Timeout,
            Phase::FastRecovery if connection.agreed.sack => Why::Rack,
            Phase::FastRecovery => Why::FastRetransmit,
            // No loss by congestion: the packets were too large, or the window was closed.
            Phase::Open if connection.path.is_some() => Why::PathMtu,
            Phase::Open => Why::WindowReopened,
        }
    }
}
