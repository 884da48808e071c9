//! Segments as the model looks at them: numbers counted from the SYN that they belong to.

use glasstcp::time::Instant;
use glasstcp::wire::tcp::{self, CHECKSUM_AT, Flags, TcpHeader};
use glasstcp::wire::{parse_ip, protocol};

use super::action::Side;

/// Sequence space that one connection of the model can take: a SYN, a FIN, a few octets.
const SPAN: u32 = 4_096;

/// The IP header is this long.
pub const IP: usize = 20;

/// Makes the checksum right.
pub fn seal(packet: &mut [u8]) {
    let address = |at: usize| std::net::IpAddr::from([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let (source, destination) = (address(12), address(16));
    packet[IP + CHECKSUM_AT..IP + CHECKSUM_AT + 2].fill(0);
    tcp::fill_checksum(source, destination, &mut packet[IP..], &[]);
}

/// The header and the text of a packet of TCP.
pub fn parse(packet: &[u8]) -> (TcpHeader, &[u8]) {
    let ip = parse_ip(packet).unwrap_or_else(|refused| panic!("a stack has sent this: {refused:?}"));
    assert_eq!(ip.protocol, protocol::TCP, "only TCP is sent");
    assert!(tcp::checksum_ok(ip.source, ip.destination, ip.payload), "every segment has a good checksum");
    tcp::parse(ip.payload).unwrap_or_else(|reason| panic!("a stack has sent this: {reason}"))
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub struct Flying {
    /// All of it.
    pub packet: Vec<u8>,
    /// When it left.
    pub sent_at: Instant,
    header: TcpHeader,
    text: usize,
}

impl Flying {
    /// Of a packet that leaves now.
    pub fn new(packet: Vec<u8>, sent_at: Instant) -> Flying {
        let (header, text) = parse(&packet);
        let text = packet.len() - text.len();
        Flying { packet, sent_at, header, text }
    }

    /// The same with other control bits.
    pub fn with_flags(&self, flags: Flags) -> Flying {
        let mut packet = self.packet.clone();
        packet[IP + 13] = flags.0 as u8;
        seal(&mut packet);
        Flying::new(packet, self.sent_at)
    }

    /// The same with another acknowledgment.
    pub fn with_ack(&self, ack: u32) -> Flying {
        let mut packet = self.packet.clone();
        packet[IP + 8..IP + 12].copy_from_slice(&ack.to_be_bytes());
        seal(&mut packet);
        Flying::new(packet, self.sent_at)
    }

    /// Its header and text.
    pub fn segment(&self) -> (&TcpHeader, &[u8]) {
        (&self.header, &self.packet[self.text..])
    }
}

/// The initial sequence numbers that each side has used, in their order.
#[derive(Debug, Default)]
pub struct Numbers {
    used: [Vec<u32>; 2],
}

impl Numbers {
    /// Takes note of a SYN.
    pub fn learn(&mut self, side: Side, flying: &Flying) {
        let (header, _) = flying.segment();
        let used = &mut self.used[usize::from(side)];
        if header.flags.contains(Flags::SYN) && !used.contains(&header.seq) {
            used.push(header.seq);
        }
    }

    /// A sequence number of `side`: which of its connections, counted back from the last, and how far from its SYN. A number
    /// that belongs to none of them is told as it is.
    pub fn relative(&self, side: Side, seq: u32) -> (usize, u32) {
        let used = &self.used[usize::from(side)];
        // What lies before the SYN is a keep-alive or a zero-window probe; there are none before it.
        let place = used.iter().rev().position(|iss| seq.wrapping_sub(*iss) < SPAN);
        place.map_or((usize::MAX, seq), |back| (back, seq.wrapping_sub(used[used.len() - 1 - back])))
    }

    /// A segment for a reader.
    pub fn show(&self, side: Side, flying: &Flying) -> String {
        let (header, text) = flying.segment();
        let number = |side: Side, seq: u32| match self.relative(side, seq) {
            (0, offset) => offset.to_string(),
            (usize::MAX, seq) => format!("{seq} (of no connection)"),
            (back, offset) => format!("{offset} (of {back} before)"),
        };
        let mut shown = format!("{} seq {}", header.flags, number(side, header.seq));
        if header.flags.contains(Flags::ACK) {
            shown += &format!(" ack {}", number(1 - side, header.ack));
        }
        if !text.is_empty() {
            shown += &format!(" text {text:?}");
        }
        if let Some(cookie) = header.options.fast_open {
            shown += if cookie.is_request() { " cookie?" } else { " cookie" };
        }
        for (left, right) in header.options.sack.iter() {
            shown += &format!(" sack {}..{}", number(1 - side, left), number(1 - side, right));
        }
        shown + &format!(" win {}", header.window)
    }
}
