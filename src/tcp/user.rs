//! The calls of the application (RFC 9293 section 3.10.1 to 3.10.6), without the waiting: a call that cannot be done now
//! answers [`SocketError::WouldBlock`].

use std::sync::Arc;

use super::connection::{Connection, Context};
use super::due::Due;
use super::ecn::Ecn;
use super::initial_sequence::flow_label;
use super::reset::{self, Reply};
use super::state::{Cause, State};
use super::why::Why;
use crate::buffer::More;
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::wire::option::Timestamp;

impl Connection {
    /// SEND: queues text; the answer is how many octets found room.
    ///
    /// # Errors
    /// `WouldBlock` without room, `BrokenPipe` after the sending side was closed, else why the connection ended.
    pub fn send(&mut self, data: &[u8], cx: &mut Context<'_>) -> Result<usize, SocketError> {
        if self.state() == State::Closed {
            // 9293-3.10.2-1
            return Err(self.error.unwrap_or(SocketError::BrokenPipe));
        }
        if !self.state().may_send() || self.snd.fin.is_some() || self.orphan {
            // 9293-3.10.2-6
            return Err(SocketError::BrokenPipe);
        }
        if data.is_empty() {
            return Ok(0);
        }
        self.restart_after_idle(cx);
        self.check_app_limited(cx.now);
        // 9293-3.10.2-3: also in SYN-SENT and SYN-RECEIVED, where it waits. 9293-3.10.2-4: and in CLOSE-WAIT.
        let capacity = self.send_capacity(cx.config) as usize;
        match self.send_buffer.write(cx.pool, data, capacity) {
            0 => Err(SocketError::WouldBlock),
            written => {
                self.send_buffer.more = More::Nothing;
                Ok(written)
            }
        }
    }

    /// SEND of what more will follow (`MSG_MORE`): a short segment waits for it, for as long as with
    /// [`SocketOptions::cork`](super::config::SocketOptions::cork) or until the peer acknowledges something.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_more(&mut self, data: &[u8], cx: &mut Context<'_>) -> Result<usize, SocketError> {
        let written = self.send(data, cx)?;
        self.send_buffer.more = More::Held;
        Ok(written)
    }

    /// SEND of what ends a record (`MSG_EOR`): no segment carries any of it together with what is sent later, not even when
    /// it is sent again. A hint for what looks at segments on the way: to the reader the stream has no records.
    ///
    /// The end counts once all of `data` has found room.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_record(&mut self, data: &[u8], cx: &mut Context<'_>) -> Result<usize, SocketError> {
        let written = self.send(data, cx)?;
        if written > 0 && written == data.len() {
            self.send_buffer.end_record();
        }
        Ok(written)
    }

    /// What was held back leaves as it is.
    pub fn release(&mut self) {
        if self.send_buffer.more == More::Held {
            self.send_buffer.more = More::Unpushed;
        }
        // What the window cuts short is no whole of anything.
        if self.unsent() > 0 && self.unsent() <= self.usable_window() {
            self.due.add(Due::SHORT_TEXT);
        }
    }

    /// SEND with the urgent flag: the last octet becomes the last urgent one.
    ///
    /// New applications should not use it (RFC 6093); it exists for those that do.
    ///
    /// # Errors
    /// As [`Connection::send`].
    // 9293-MUST-30, 9293-3.10.2-5; 9293-SHLD-13: only this call sets URG.
    pub fn send_urgent(&mut self, data: &[u8], cx: &mut Context<'_>) -> Result<usize, SocketError> {
        let written = self.send(data, cx)?;
        if written > 0 {
            self.snd.up = Some(self.text_end());
        }
        Ok(written)
    }

    /// RECEIVE: copies text in order; 0 octets into a buffer with room mean the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` while there is nothing, else why the connection ended.
    pub fn receive(&mut self, buffer: &mut [u8], cx: &mut Context<'_>) -> Result<usize, SocketError> {
        if self.receive_buffer.readable() == 0 || self.keeps_text() {
            return self.nothing_to_read();
        }
        // 6093-6: urgent octets are in line, where they were sent. A call does not read past the mark, so that the reader can
        // find it (`at_mark`).
        let most = self.until_mark(buffer.len());
        let read = self.receive_buffer.read(cx.pool, &mut buffer[..most]);
        self.leave_urgent_mode();
        self.tune_reader(cx);
        self.owe_window_update(cx);
        Ok(read)
    }

    /// As [`Connection::receive`], but the text stays.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn peek(&self, buffer: &mut [u8]) -> Result<usize, SocketError> {
        if self.receive_buffer.readable() == 0 || self.keeps_text() {
            return self.nothing_to_read();
        }
        let most = self.until_mark(buffer.len());
        Ok(self.receive_buffer.peek(&mut buffer[..most]))
    }

    /// What a RECEIVE answers when nothing is there.
    fn nothing_to_read(&self) -> Result<usize, SocketError> {
        // 9293-3.10.3-4, 9293-3.10.3-5, 9293-MUST-12: the end of the stream is a FIN with everything before it, or our
        // own decision not to read; a reset is an error.
        if self.fin_received() || self.read_closed {
            return Ok(0);
        }
        match (self.error, self.state()) {
            (Some(error), _) => Err(error),
            // 9293-3.10.3-1
            (None, State::Closed) => Err(SocketError::NotConnected),
            // 9293-3.10.3-2, 9293-3.10.3-3: also for the text of a SYN that has crossed ours.
            (None, _) => Err(SocketError::WouldBlock),
        }
    }

    /// CLOSE of the sending side: FIN behind everything that is queued. Reading goes on.
    ///
    /// # Errors
    /// `NotConnected` where there is no connection.
    // 9293-MAY-1: the half-close is this; closing both is `close`.
    pub fn close_write(&mut self, cx: &mut Context<'_>) -> Result<(), SocketError> {
        match self.state() {
            // 9293-3.10.4-1
            State::Closed | State::Listen => return Err(self.error.unwrap_or(SocketError::NotConnected)),
            // 9293-3.10.4-2
            State::SynSent => self.end(Cause::Close, Some(SocketError::Aborted), cx.pool, cx.transfers),
            // 9293-3.10.4-5, 9293-3.10.4-7: there is one FIN at most.
            _ if self.snd.fin.is_some() => {}
            State::SynReceived if !self.send_buffer.is_empty() => {
                // 9293-3.10.4-3: what is queued waits for ESTABLISHED, and the FIN behind it.
                self.snd.fin = Some(self.text_end());
            }
            _ => {
                // 9293-3.10.4-4, 9293-3.10.4-6
                self.snd.fin = Some(self.text_end());
                self.advance(Cause::Close);
            }
        }
        Ok(())
    }

    /// Ends reading: what has arrived and what arrives is thrown away.
    pub fn close_read(&mut self, cx: &mut Context<'_>) {
        self.read_closed = true;
        let waiting = self.receive_buffer.readable();
        self.receive_buffer.skip(cx.pool, waiting);
        self.owe_window_update(cx);
    }

    /// The application lets go. What is queued is still sent, with a FIN; the answer is a RST where data would be lost.
    pub fn close(&mut self, cx: &mut Context<'_>) -> Option<Reply> {
        let lingers_not = self.options.linger.is_some_and(|linger| linger.is_zero());
        // 9293-SHLD-3: the peer should know that what it sent was never read.
        let unread = self.receive_buffer.readable() > 0;
        let reply = if lingers_not || (unread && !matches!(self.state(), State::Closing | State::LastAck)) {
            self.abort(cx, Why::RstUnread)
        } else {
            self.close_write(cx).ok();
            None
        };
        self.orphan = true;
        self.receive_buffer.clear(cx.pool);
        // An orphan has no user who could be patient: everything ends in bounded time (docs/decisions.md).
        let limit = self.options.user_timeout.unwrap_or(cx.config.give_up).min(cx.config.orphan);
        if self.options.user_timeout != Some(limit) {
            Arc::make_mut(&mut self.options).user_timeout = Some(limit);
        }
        if self.deadlines.user_timeout.is_set() || self.flight() > 0 {
            self.deadlines.user_timeout.set(cx.now + limit);
        }
        self.watch_fin_wait_2(cx);
        reply
    }

    /// ABORT: everything is thrown away; the answer is the RST to send, where the state asks for one.
    pub fn abort(&mut self, cx: &mut Context<'_>, why: Why) -> Option<Reply> {
        let reply = match self.state() {
            // 9293-3.10.5-2
            State::SynReceived | State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait => {
                Some(self.reset(cx, why))
            }
            // 9293-3.10.5-1, 9293-3.10.5-3: nothing is sent.
            _ => None,
        };
        if self.state() != State::Closed {
            self.end(Cause::Abort, Some(SocketError::Aborted), cx.pool, cx.transfers);
        }
        reply
    }

    /// Ends the connection for what a segment has brought (see [`super::input::Rejected::Abort`]); the answer is the RST to send.
    pub fn abort_for(&mut self, reason: DropReason, cx: &mut Context<'_>) -> Option<Reply> {
        if reason != DropReason::TcpSynRefused {
            return self.abort(cx, Why::RstAfterClose);
        }
        let reply = self.reset(cx, Why::RstSyn);
        self.end(Cause::Reset, Some(SocketError::Reset), cx.pool, cx.transfers);
        Some(reply)
    }

    /// The RST that ends this connection.
    pub fn reset(&self, cx: &Context<'_>, why: Why) -> Reply {
        let timestamp = self
            .agreed
            .timestamps
            .then(|| Timestamp { value: self.timestamp_value(cx.now), echo: self.agreed.ts_recent });
        let label = flow_label(self.snd.iss);
        let mut reply =
            reset::abort(self.tuple, self.control_seq(), self.rcv.nxt, timestamp, &self.options, label, why);
        if let Some(accurate) = self.ecn.as_deref().and_then(Ecn::accurate) {
            // 9768-3.2.2: on this one, too.
            reply.flags |= accurate.flags();
        }
        reply
    }
}
