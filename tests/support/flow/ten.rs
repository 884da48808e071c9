//! Ten segments in flight to a peer with SACK, and what becomes of them: for tests of loss recovery by the packet.

use std::time::Duration;

use super::{MSS, SACK, accepted_over, duplicate_ack, look, octets, text};
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::snapshot::Snapshot;
use glasstcp::tcp::timer::Purpose;
use glasstcp::wire::option::TcpOptions;

/// Octets of text in each of them.
pub const SEGMENT: u32 = MSS as u32;

/// The round trip.
pub const RTT: Duration = Duration::from_millis(20);

/// A peer with SACK, 20 ms away: ten segments are in flight, `queued` octets wait behind them, and half of the round trip
/// has passed twice. The numbers are those of Reno.
pub struct Ten {
    pub script: Script,
    pub handle: TcpHandle,
    /// The number of the first octet.
    pub start: u32,
}

impl Ten {
    pub fn with(queued: usize, options: TcpOptions) -> Ten {
        let (mut script, handle) = accepted_over(RTT, options, |config| config.tcp.socket.congestion = Algorithm::Reno);
        let start = script.ack;
        let payload = look(&script, handle).segment_payload as usize;
        let sent = script.send(handle, &text(10 * payload + queued));
        assert_eq!(octets(&sent), 10 * payload);
        script.now += RTT;
        Ten { script, handle, start }
    }

    pub fn new(queued: usize) -> Ten {
        Ten::with(queued, SACK)
    }

    /// Where a segment begins.
    pub fn at(&self, segment: u32) -> u32 {
        self.start.wrapping_add(segment.wrapping_mul(SEGMENT))
    }

    /// The peer repeats its ACK and reports these segments; which ones leave in answer, by their numbers.
    pub fn sack(&mut self, ranges: &[(u32, u32)]) -> Vec<u32> {
        let blocks: Vec<(u32, u32)> = ranges.iter().map(|&(left, right)| (self.at(left), self.at(right))).collect();
        let sent = duplicate_ack(&mut self.script, &blocks);
        self.numbers(&sent)
    }

    /// The peer acknowledges everything before this segment.
    pub fn ack(&mut self, segment: u32) -> Vec<u32> {
        let at = self.at(segment);
        let sent = self.script.peer_acks(at);
        self.numbers(&sent)
    }

    /// The same with SACK blocks.
    pub fn ack_and_sack(&mut self, segment: u32, ranges: &[(u32, u32)]) -> Vec<u32> {
        self.script.ack = self.at(segment);
        self.sack(ranges)
    }

    pub fn pass(&mut self, time: Duration) -> Vec<u32> {
        let sent = self.script.pass(time);
        self.numbers(&sent)
    }

    pub fn numbers(&self, sent: &[Sent]) -> Vec<u32> {
        let text = sent.iter().filter(|segment| !segment.text.is_empty());
        text.map(|segment| segment.header.seq.wrapping_sub(self.start) / SEGMENT).collect()
    }

    pub fn look(&self) -> Snapshot {
        let connection = self.script.stack.tcp_connection(self.handle).unwrap();
        if let Some(transfer) = connection.transfer.as_ref() {
            assert!(transfer.sent.is_consistent());
            assert_eq!(
                connection.in_flight(),
                connection.flight() - transfer.sent.sacked().octets() - transfer.sent.lost().octets()
            );
        }
        look(&self.script, self.handle)
    }

    pub fn purpose(&self) -> Option<Purpose> {
        let connection = self.script.stack.tcp_connection(self.handle).unwrap();
        connection.deadlines.retransmit.is_set().then_some(connection.purpose)
    }
}
