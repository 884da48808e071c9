//! The normal form of a connection: numbers relative to the SYNs, windows scaled, options in their order on the wire.
//!
//! What is left out is what two runs of the same conversation never share: addresses, ports, initial sequence numbers and
//! the values of timestamps. Everything was captured in one place on the path ("the tap"), in the order in which it passed.

use std::fmt;

use glasstcp::trace::capture::CaptureError;
use glasstcp::trace::connection::{self, Connection};
use glasstcp::trace::segment::{Seg, Side};
use glasstcp::wire::tcp::Flags;

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
pub fn items(mut bytes: &[u8]) -> Vec<Item> {
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
