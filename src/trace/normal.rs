//! The normal form of a connection: numbers relative to the SYNs, windows scaled, options in their order on the wire.
//!
//! What is left out is what two runs of the same conversation never share: addresses, ports, initial sequence numbers and
//! the values of timestamps. Everything was captured in one place on the path ("the tap"), in the order in which it passed.

use std::fmt;

use super::capture::CaptureError;
use super::connection::{self, Connection};
use super::segment::{Seg, Side};
use crate::wire::tcp::Flags;

/// A TCP option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// End of the list.
    End,
    /// Padding.
    Nop,
    /// Maximum segment size, in octets.
    Mss(u16),
    /// Window scale, in bits.
    WindowScale(u8),
    /// SACK permitted.
    SackPermitted,
    /// SACK blocks, relative to the SYN of the one who sent what they are about.
    Sack(Vec<(i64, i64)>),
    /// Timestamps.
    Timestamps,
    /// Any other, by its kind.
    Other(u8),
    /// The rest of the list makes no sense.
    Broken,
}

impl Item {
    /// Its name without its value.
    pub fn name(&self) -> &'static str {
        match self {
            Item::End => "eol",
            Item::Nop => "nop",
            Item::Mss(_) => "mss",
            Item::WindowScale(_) => "ws",
            Item::SackPermitted => "sack-ok",
            Item::Sack(_) => "sack",
            Item::Timestamps => "ts",
            Item::Other(_) => "other",
            Item::Broken => "broken",
        }
    }

    fn new(kind: u8, value: &[u8]) -> Item {
        match (kind, value) {
            (2, &[high, low]) => Item::Mss(u16::from_be_bytes([high, low])),
            (3, &[shift]) => Item::WindowScale(shift),
            (4, []) => Item::SackPermitted,
            (5, value) if !value.is_empty() && value.len().is_multiple_of(8) => {
                let (blocks, _) = value.as_chunks::<8>();
                let number = |a, b, c, d| i64::from(u32::from_be_bytes([a, b, c, d]));
                let block = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| (number(a, b, c, d), number(e, f, g, h));
                Item::Sack(blocks.iter().map(block).collect())
            }
            (8, value) if value.len() == 8 => Item::Timestamps,
            _ => Item::Other(kind),
        }
    }
}

/// A segment as it passed the tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// When, in nanoseconds on the clock of the capture.
    pub at_ns: u64,
    /// Who sent it.
    pub from: Side,
    /// Its sequence number; that of the SYN is 0, the first octet of text has 1. It does not wrap.
    pub seq: i64,
    /// Its acknowledgment number, counted likewise; nothing without ACK.
    pub ack: Option<i64>,
    /// Control bits.
    pub flags: Flags,
    /// Octets of text.
    pub len: u32,
    /// The window in octets.
    pub window: u64,
    /// Options in their order on the wire.
    pub options: Vec<Item>,
}

impl Segment {
    fn new(connection: &Connection, seg: &Seg) -> Segment {
        let mut options = items(seg.options.bytes());
        let peer = seg.from.other();
        // Blocks lie near what the segment acknowledges.
        let (near, on_wire) =
            if seg.has(Flags::ACK) { (seg.ack_at, seg.ack) } else { (0, connection.base(peer).unwrap_or_default()) };
        for item in &mut options {
            if let Item::Sack(blocks) = item {
                let relative = |number: i64| near + i64::from((number as u32).wrapping_sub(on_wire).cast_signed());
                blocks.iter_mut().for_each(|block| *block = (relative(block.0), relative(block.1)));
            }
        }
        Segment {
            at_ns: seg.time_ns,
            from: seg.from,
            seq: seg.at,
            ack: seg.has(Flags::ACK).then_some(seg.ack_at),
            flags: seg.flags,
            len: seg.text,
            window: connection.window(seg),
            options,
        }
    }

    /// All of these flags are set.
    pub fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    /// The sequence number behind it, SYN and FIN counted.
    pub fn end(&self) -> i64 {
        self.seq + i64::from(self.len) + i64::from(self.has(Flags::SYN)) + i64::from(self.has(Flags::FIN))
    }

    /// It takes no room in sequence space and resets nothing: an ACK and no more.
    pub fn is_pure_ack(&self) -> bool {
        self.end() == self.seq && self.has(Flags::ACK) && !self.has(Flags::RST)
    }

    /// Its SACK blocks.
    pub fn sack(&self) -> &[(i64, i64)] {
        let mut lists =
            self.options.iter().filter_map(|item| if let Item::Sack(blocks) = item { Some(blocks) } else { None });
        lists.next().map_or(&[], Vec::as_slice)
    }

    /// The names of its options in their order.
    pub fn layout(&self) -> String {
        let names: Vec<&str> = self.options.iter().map(Item::name).collect();
        names.join(" ")
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} seq {} len {}", self.from, self.flags, self.seq, self.len)?;
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        write!(f, " win {}", self.window)?;
        if !self.options.is_empty() {
            write!(f, " <{}>", self.layout())?;
        }
        for (left, right) in self.sack() {
            write!(f, " [{left},{right})")?;
        }
        Ok(())
    }
}

/// All segments of one connection, in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// In their order at the tap.
    pub segments: Vec<Segment>,
    /// The smallest step of the windows that client and server offer, in octets.
    pub unit: [u64; 2],
}

impl From<&Connection> for Conversation {
    fn from(connection: &Connection) -> Conversation {
        let segments = connection.segs.iter().map(|seg| Segment::new(connection, seg)).collect();
        let unit = Side::BOTH.map(|side| 1 << connection.shift(side).unwrap_or(0));
        Conversation { segments, unit }
    }
}

/// The connections of a capture, in normal form.
///
/// # Errors
/// Why it cannot be read.
pub fn read(capture: &[u8]) -> Result<Vec<Conversation>, CaptureError> {
    Ok(connection::read(capture)?.connections.iter().map(Conversation::from).collect())
}

/// The options of a header, one by one; SACK blocks as they are on the wire.
fn items(mut bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    while let [kind, rest @ ..] = bytes {
        match kind {
            0 => {
                items.push(Item::End);
                break;
            }
            1 => {
                items.push(Item::Nop);
                bytes = rest;
            }
            _ => {
                let length = rest.first().map_or(0, |&length| usize::from(length));
                let Some(value) = bytes.get(2..length) else {
                    items.push(Item::Broken);
                    break;
                };
                items.push(Item::new(*kind, value));
                bytes = &bytes[length..];
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::pcapng::{Direction, PcapngWriter};
    use crate::wire::option::{TcpOptions, Timestamp};
    use crate::wire::tcp::{self, TcpHeader};
    use crate::wire::{IpHeader, emit_ip, protocol};

    /// A segment between 10.0.0.1:1 (the client) and 10.0.0.2:2.
    fn packet(from: Side, header: TcpHeader, text: &[u8]) -> Vec<u8> {
        let mut ends = [("10.0.0.1", 1), ("10.0.0.2", 2)].map(|(text, port)| (text.parse().unwrap(), port));
        if from == Side::Server {
            ends.reverse();
        }
        let [(source, source_port), (destination, destination_port)] = ends;
        let header = TcpHeader { source_port, destination_port, ..header };
        let header_len = tcp::emitted_len(&header);
        let ip = IpHeader {
            source,
            destination,
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            dont_fragment: true,
        };
        let mut octets = vec![0; 20];
        assert_eq!(emit_ip(&ip, header_len + text.len(), &mut octets), 20);
        let mut headers = vec![0; header_len];
        tcp::emit(&header, &mut headers);
        tcp::fill_checksum(source, destination, &mut headers, &[text]);
        [octets, headers, text.to_vec()].concat()
    }

    /// RFC 9293 section 3.4, RFC 7323 section 2.3: nothing depends on where the numbers begin.
    #[test]
    fn numbers_are_relative_and_windows_are_scaled_and_nothing_wraps() {
        let options = TcpOptions {
            mss: Some(1_460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamp: Some(Timestamp::default()),
            ..TcpOptions::default()
        };
        let syn = TcpHeader { seq: u32::MAX, flags: Flags::SYN, window: 500, options, ..TcpHeader::default() };
        let answer = TcpHeader { seq: u32::MAX - 5, ack: 0, flags: Flags::SYN | Flags::ACK, ..syn };
        let bare = TcpHeader { flags: Flags::ACK, window: 500, ..TcpHeader::default() };
        let text = TcpHeader { seq: 0, ack: u32::MAX - 4, ..bare };
        let mut sack = TcpOptions::default();
        sack.sack.push(1_000, 2_000);
        let duplicate = TcpHeader { seq: u32::MAX - 4, ack: 3, window: 0, options: sack, ..bare };
        let mut writer = PcapngWriter::new(Vec::new(), "", "", "").unwrap();
        for packet in [
            packet(Side::Client, syn, b""),
            packet(Side::Server, answer, b""),
            packet(Side::Client, text, b"abc"),
            packet(Side::Server, duplicate, b""),
        ] {
            writer.packet(7, Direction::In, &packet, &[]).unwrap();
        }
        let found = read(&writer.finish().unwrap()).unwrap();
        let shown: Vec<String> = found[0].segments.iter().map(Segment::to_string).collect();
        assert_eq!(
            shown,
            [
                "client SYN seq 0 len 0 win 500 <mss sack-ok ts nop ws>",
                "server SYN|ACK seq 0 len 0 ack 1 win 500 <mss sack-ok ts nop ws>",
                "client ACK seq 1 len 3 ack 1 win 64000",
                "server ACK seq 1 len 0 ack 4 win 0 <nop nop sack> [1001,2001)",
            ]
        );
        assert_eq!((found.len(), found[0].unit), (1, [128, 128]));
    }

    /// 9293-MUST-7, 9293-MUST-68: lists that end in the middle of an option, or with a length of nothing.
    #[test]
    fn no_list_of_options_is_too_broken() {
        assert_eq!(items(&[1, 2, 4, 5, 180, 8, 10, 1]), [Item::Nop, Item::Mss(1_460), Item::Broken]);
        assert_eq!(items(&[99, 3, 0, 5, 6, 1, 1, 1, 1, 0, 9]), [Item::Other(99), Item::Other(5), Item::End]);
        assert_eq!(items(&[3, 0, 1]), [Item::Broken]);
        assert_eq!(items(&[3]), [Item::Broken]);
    }
}
