//! The urgent mechanism (RFC 9293 section 3.8.5, RFC 6093): in line, and only for those who ask for it.

use super::connection::{Connection, Events};
use super::segment::Segment;
use super::sequence::SeqNumber;
use super::spaces::ReceiveSpace;

/// Sixth: the URG bit.
// 9293-3.10.7.4-34, 9293-MUST-32, 9293-MUST-66; 9293-3.10.7.4-35: ignored once the peer has closed.
pub(super) fn urgent(connection: &mut Connection, segment: &Segment<'_>) {
    if !segment.urg() || !connection.state().receives_text() || segment.urgent.le(connection.reader()) {
        return;
    }
    // 9293-MUST-32: told when it begins and each time it advances, not when it is repeated.
    if connection.rcv.urgent().is_none_or(|up| up.lt(segment.urgent)) {
        (connection.rcv.up, connection.rcv.urgent) = (segment.urgent, true);
        connection.events.add(Events::URGENT);
    }
}

impl ReceiveSpace {
    /// RCV.UP in urgent mode.
    fn urgent(&self) -> Option<SeqNumber> {
        self.urgent.then_some(self.up)
    }
}

impl Connection {
    /// The sequence number of the next octet that the application reads.
    pub(super) fn reader(&self) -> SeqNumber {
        self.rcv.nxt - u32::from(self.fin_received()) - self.receive_buffer.readable() as u32
    }

    /// Octets until the last urgent one is read, or `None` outside urgent mode.
    // 9293-MUST-33
    pub fn urgent_remaining(&self) -> Option<u32> {
        self.rcv.urgent().map(|up| up.saturating_since(self.reader())).filter(|&octets| octets > 0)
    }

    /// The next octet to read is the last urgent one, where BSD sets its mark.
    pub fn at_mark(&self) -> bool {
        self.urgent_remaining() == Some(1)
    }

    /// Of `len` octets to read, those before the last urgent one, where there are any.
    pub(super) fn until_mark(&self, len: usize) -> usize {
        match self.urgent_remaining() {
            Some(octets) if octets > 1 => len.min(octets as usize - 1),
            _ => len,
        }
    }

    /// Leaves urgent mode once the reader has passed the pointer.
    pub(super) fn leave_urgent_mode(&mut self) {
        if self.rcv.urgent && self.urgent_remaining().is_none() {
            self.rcv.urgent = false;
        }
    }
}
