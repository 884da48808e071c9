//! A received segment, parsed and checked, as the state machine sees it.

use std::net::IpAddr;

use super::FourTuple;
use super::sequence::SeqNumber;
use super::window::WireWindow;
use crate::counters::DropReason;
use crate::time::Instant;
use crate::wire::option::TcpOptions;
use crate::wire::tcp::{self, Flags};

/// One segment, in host order, with what the state machine needs to know of its arrival.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The connection that it names, seen from here: our address is the destination.
    pub tuple: FourTuple,
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK; meaningful only with the ACK flag.
    pub ack: SeqNumber,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND, not yet scaled.
    pub window: WireWindow,
    /// It came with a SYN (which trimming may have taken off since), so that its window counts octets.
    pub window_unscaled: bool,
    /// SEG.UP: the octet after the last urgent one; meaningful only with the URG flag.
    pub urgent: SeqNumber,
    /// The options.
    pub options: TcpOptions,
    /// Octets of text that it came with, whatever trimming has taken off since.
    pub text_len: u32,
    /// The text.
    pub payload: &'a [u8],
    /// When the packet arrived.
    pub arrived: Instant,
    /// How many wire segments the device merged into this one, at least 1.
    pub coalesced: u16,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
}

/// What the IP layer knows of a segment.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Source address: the peer.
    pub source: IpAddr,
    /// Destination address: ours.
    pub destination: IpAddr,
    /// When the packet arrived.
    pub arrived: Instant,
    /// Payload bytes of each merged wire segment, or 0.
    pub gso_size: u16,
    /// The checksum is vouched for by the device.
    pub checksum_vouched: bool,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
}

impl<'a> Segment<'a> {
    /// Parses the payload of an IP packet.
    ///
    /// # Errors
    /// The reason for which the segment is dropped: header, checksum, option or port.
    pub fn parse(bytes: &'a [u8], arrival: &Arrival) -> Result<Segment<'a>, DropReason> {
        // 9293-MUST-3: nothing is acted on before the checksum is verified, unless the device vouches for it.
        // The header's own lengths come first, as the sum needs at least a whole header.
        let (header, payload) = tcp::parse(bytes)?;
        if !arrival.checksum_vouched && !tcp::checksum_ok(arrival.source, arrival.destination, bytes) {
            return Err(DropReason::TcpChecksum);
        }
        if header.source_port == 0 || header.destination_port == 0 {
            return Err(DropReason::TcpPortZero);
        }
        let coalesced = match arrival.gso_size {
            0 => 1,
            size => payload.len().div_ceil(usize::from(size)).clamp(1, usize::from(u16::MAX)) as u16,
        };
        Ok(Segment {
            tuple: FourTuple {
                local_addr: arrival.destination,
                remote_addr: arrival.source,
                local_port: header.destination_port,
                remote_port: header.source_port,
            },
            seq: SeqNumber(header.seq),
            ack: SeqNumber(header.ack),
            flags: header.flags,
            window: WireWindow(header.window),
            window_unscaled: header.flags.contains(Flags::SYN),
            // 9293-MUST-62: the pointer counts from SEG.SEQ to the octet after the last urgent one.
            urgent: SeqNumber(header.seq) + u32::from(header.urgent),
            options: header.options,
            text_len: payload.len() as u32,
            payload,
            arrived: arrival.arrived,
            coalesced,
            ecn: arrival.ecn,
        })
    }

    /// SEG.LEN: octets of sequence space that the segment occupies.
    // 9293-3.4-2: SYN counts before the first octet of data and FIN after the last.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.syn()) + u32::from(self.fin())
    }

    /// The segment occupies no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence number after the last octet.
    pub fn end(&self) -> SeqNumber {
        self.seq + self.len()
    }

    /// The sequence number of the first octet of text.
    pub fn text_seq(&self) -> SeqNumber {
        self.seq + u32::from(self.syn())
    }

    /// The SYN bit.
    pub fn syn(&self) -> bool {
        self.flags.contains(Flags::SYN)
    }

    /// The ACK bit.
    pub fn has_ack(&self) -> bool {
        self.flags.contains(Flags::ACK)
    }

    /// The FIN bit.
    pub fn fin(&self) -> bool {
        self.flags.contains(Flags::FIN)
    }

    /// The RST bit.
    pub fn rst(&self) -> bool {
        self.flags.contains(Flags::RST)
    }

    /// The URG bit.
    pub fn urg(&self) -> bool {
        self.flags.contains(Flags::URG)
    }

    /// Cuts off what lies outside `from..to`, SYN and FIN included.
    // 9293-3.10.7.4-8: FIN is a position in sequence space, so a cut at the right edge takes it away with the data.
    pub fn trim(&mut self, from: SeqNumber, to: SeqNumber) {
        if self.syn() && self.seq.lt(from) {
            self.flags = self.flags.without(Flags::SYN);
            self.seq += 1;
        }
        let old = from.saturating_since(self.text_seq()).min(self.payload.len() as u32);
        self.payload = &self.payload[old as usize..];
        self.seq += old;
        let room = to.saturating_since(self.text_seq());
        let fin_is_old = self.text_seq().lt(from);
        if self.fin() && (fin_is_old || self.payload.len() as u32 >= room) {
            self.flags = self.flags.without(Flags::FIN);
        }
        if self.payload.len() as u32 > room {
            self.payload = &self.payload[..room as usize];
        }
    }
}
