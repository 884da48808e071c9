//! One segment as a capture shows it: its header, how much text it has, and whether that can be trusted.

use std::fmt;
use std::net::SocketAddr;

use super::capture::Frame;
use super::link::{self, NoPacket};
use crate::counters::DropReason;
use crate::device::pcapng::Direction;
use crate::wire::checksum::{self, Checksum};
use crate::wire::fast_open::Cookie;
use crate::wire::option::{self, TcpOptions};
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{parse_ip, protocol};

/// The longest IP packet whose length its header can say.
const MAX_PACKET: usize = 65_535;

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who sent the first SYN, as far as the capture shows it.
    Client,
    /// The other end.
    Server,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Client, Side::Server];

    /// The other end.
    pub const fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of the checksum of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// It was left to a device that had not seen the segment yet when it was captured.
    Unfinished,
    /// Not all of the segment was captured.
    Unknown,
}

/// The options of a segment, as they stand in its header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawOptions {
    bytes: [u8; option::MAX_LEN],
    len: u8,
}

impl RawOptions {
    /// From the octets behind the fixed header; what is beyond 40 cannot be there.
    pub fn new(octets: &[u8]) -> RawOptions {
        let len = octets.len().min(option::MAX_LEN);
        let mut bytes = [0; option::MAX_LEN];
        bytes[..len].copy_from_slice(&octets[..len]);
        RawOptions { bytes, len: len as u8 }
    }

    /// The octets.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// What they say, as far as this stack understands it.
    pub fn parsed(&self) -> TcpOptions {
        option::parse(self.bytes()).unwrap_or_default()
    }

    /// Their kinds in their order, padding included.
    pub fn kinds(&self) -> Vec<u8> {
        self.each().into_iter().map(|(kind, _)| kind).collect()
    }

    /// Each of them in their order, padding included, with what stands behind kind and length.
    pub fn each(&self) -> Vec<(u8, &[u8])> {
        let mut rest = self.bytes();
        let mut each = Vec::new();
        while let [kind, more @ ..] = rest {
            let len = match (*kind, more.first()) {
                (0 | 1, _) => 1,
                (_, Some(&len)) if len >= 2 => usize::from(len),
                _ => rest.len(),
            };
            each.push((*kind, rest.get(2..len).unwrap_or_default()));
            if *kind == 0 {
                break;
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        each
    }

    /// The options of Fast Open among them, each with its cookie, where it has one that a cookie can be.
    pub fn cookies(&self) -> Vec<Option<Cookie>> {
        let each = self.each().into_iter();
        each.filter(|(kind, value)| Cookie::is_option(*kind, value))
            .map(|(kind, value)| Cookie::read(kind, value))
            .collect()
    }
}

impl fmt::Debug for RawOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.bytes(), f)
    }
}

/// One segment of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Seg {
    /// The number of its frame in the capture, from 1.
    pub frame: u64,
    /// When it was captured, in nanoseconds after the Unix epoch.
    pub time_ns: u64,
    /// Who sent it.
    pub from: Side,
    /// SEG.SEQ as it stands there.
    pub seq: u32,
    /// SEG.ACK as it stands there; meaningful only with the ACK flag.
    pub ack: u32,
    /// SEG.SEQ relative to the sender's ISS, on beyond 2^32.
    pub at: i64,
    /// SEG.ACK relative to the other end's ISS, on beyond 2^32.
    pub ack_at: i64,
    /// The control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// Octets of text.
    pub text: u32,
    /// A fingerprint of the text, the same for the same text; 0 without text, or where not all of it was captured.
    pub fingerprint: u64,
    /// The options.
    pub options: RawOptions,
    /// What is known of the checksum.
    pub sum: Sum,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// Which way it went, seen from who captured it, where the capture says so.
    pub direction: Option<Direction>,
}

impl Seg {
    /// It has all of these flags.
    pub fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    /// Octets of sequence space.
    pub fn len(&self) -> u32 {
        self.text + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }

    /// It occupies no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The relative sequence number after the last octet.
    pub fn end(&self) -> i64 {
        self.at + i64::from(self.len())
    }

    /// The relative sequence number of the first octet of text.
    pub fn text_at(&self) -> i64 {
        self.at + i64::from(self.has(Flags::SYN))
    }

    /// It does nothing but acknowledge.
    pub fn is_pure_ack(&self) -> bool {
        self.is_empty() && self.has(Flags::ACK) && !self.has(Flags::RST)
    }

    /// Its header, for who knows the ports.
    pub fn header(&self, source_port: u16, destination_port: u16) -> TcpHeader {
        TcpHeader {
            source_port,
            destination_port,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            options: self.options.parsed(),
        }
    }
}

/// Why a frame is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Its link type is not one that is understood.
    LinkType(u32),
    /// It has no IP packet.
    NotIp,
    /// Its packet is not of TCP.
    NotTcp,
    /// Its packet is a fragment; datagrams are not put together here.
    Fragment,
    /// Not even all headers were captured.
    CutShort,
    /// Its headers are not as they should be.
    Malformed(DropReason),
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skipped::LinkType(number) => {
                write!(f, "of a link type that is not understood ({})", link::LinkType(*number))
            }
            Skipped::NotIp => f.write_str("without an IP packet"),
            Skipped::NotTcp => f.write_str("not of TCP"),
            Skipped::Fragment => f.write_str("fragments"),
            Skipped::CutShort => f.write_str("cut short within their headers (capture more: tcpdump -s 128)"),
            Skipped::Malformed(reason) => write!(f, "malformed ({reason})"),
        }
    }
}

/// A segment on its own, before it is known whose it is: `from` and the relative numbers are not set yet.
#[derive(Clone, Copy, Debug)]
pub struct Loose {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The rest.
    pub seg: Seg,
}

/// Takes segments out of frames.
#[derive(Debug, Default)]
pub struct Parser {
    /// A whole packet: what was not captured of it is zero.
    packet: Vec<u8>,
}

impl Parser {
    /// The segment in a frame.
    ///
    /// # Errors
    /// Why there is none.
    pub fn parse(&mut self, frame: &Frame<'_>) -> Result<Loose, Skipped> {
        let inside = link::inside(frame.link, frame.data).map_err(|error| match error {
            NoPacket::LinkType => Skipped::LinkType(frame.link.0),
            NoPacket::CutShort => Skipped::CutShort,
            NoPacket::Other => Skipped::NotIp,
        })?;
        let captured = self.complete(inside.packet, frame.len.saturating_sub(inside.before))?;
        let ip = parse_ip(&self.packet).map_err(|refused| Skipped::Malformed(refused.reason))?;
        if ip.fragment.is_some() {
            return Err(Skipped::Fragment);
        }
        if ip.protocol != protocol::TCP {
            return Err(Skipped::NotTcp);
        }
        let whole = captured >= self.packet.len();
        let headers = self.packet.len() - ip.payload.len();
        let header_len = ip.payload.get(12).map_or(0, |octet| usize::from(octet >> 4) * 4);
        if captured < headers + header_len.max(tcp::HEADER_LEN) {
            return Err(Skipped::CutShort);
        }
        let (header, text) = tcp::parse(ip.payload).map_err(Skipped::Malformed)?;
        let options = ip.payload.get(tcp::HEADER_LEN..ip.payload.len() - text.len()).unwrap_or_default();
        let seg = Seg {
            frame: frame.number,
            time_ns: frame.time_ns,
            from: Side::Client,
            seq: header.seq,
            ack: header.ack,
            at: 0,
            ack_at: 0,
            flags: header.flags,
            window: header.window,
            urgent: header.urgent,
            text: text.len() as u32,
            fingerprint: if whole { fingerprint(text) } else { 0 },
            options: RawOptions::new(options),
            sum: if whole { sum(ip.source, ip.destination, ip.payload) } else { Sum::Unknown },
            traffic_class: ip.traffic_class,
            direction: frame.direction.or(inside.direction),
        };
        Ok(Loose {
            source: SocketAddr::new(ip.source, header.source_port),
            destination: SocketAddr::new(ip.destination, header.destination_port),
            seg,
        })
    }

    /// Puts the packet into the buffer, as long as it was before the capture cut it short; the answer is how much of it was
    /// captured. The checksum of the IPv4 header, which a device may have been left to fill in, is made right.
    fn complete(&mut self, captured: &[u8], original: usize) -> Result<usize, Skipped> {
        self.packet.clear();
        let word = |at: usize| {
            let two = captured.get(at..).and_then(|rest| rest.first_chunk());
            two.map(|&two| usize::from(u16::from_be_bytes(two))).ok_or(Skipped::CutShort)
        };
        let ipv4 = captured.first().is_some_and(|first| first >> 4 == 4);
        let said = if ipv4 { word(2)? } else { 40 + word(4)? };
        // A super-segment whose length its header cannot say (BIG TCP) says 0.
        let len = if ipv4 && said == 0 { original.min(MAX_PACKET) } else { said };
        let captured = &captured[..captured.len().min(len)];
        self.packet.extend_from_slice(captured);
        self.packet.resize(len, 0);
        if ipv4 {
            let header = usize::from(captured[0] & 15) * 4;
            if captured.len() < header.max(20) {
                return Err(Skipped::CutShort);
            }
            self.packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            self.packet[10..12].fill(0);
            let mut sum = Checksum::new();
            sum.add(&self.packet[..header]);
            let sum = sum.finish();
            self.packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        Ok(captured.len())
    }
}

fn sum(source: std::net::IpAddr, destination: std::net::IpAddr, segment: &[u8]) -> Sum {
    if checksum::verifies_with_pseudo_header(source, destination, protocol::TCP, segment) {
        return Sum::Good;
    }
    let mut partial = Checksum::new();
    partial.add_pseudo_header(source, destination, protocol::TCP, segment.len() as u32);
    let stored =
        segment.get(tcp::CHECKSUM_AT..).and_then(|rest| rest.first_chunk()).map(|&two| u16::from_be_bytes(two));
    // Some systems leave the field empty instead.
    if stored == Some(partial.partial()) || stored == Some(0) { Sum::Unfinished } else { Sum::Bad }
}

/// FNV-1a over words of eight octets: to tell texts apart, not to withstand anybody.
fn fingerprint(text: &[u8]) -> u64 {
    if text.is_empty() {
        return 0;
    }
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let (words, rest) = text.as_chunks::<8>();
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let hash = rest.iter().fold(mix(hash, text.len() as u64), |hash, &octet| mix(hash, u64::from(octet)));
    hash.max(1)
}
