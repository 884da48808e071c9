//! The frames of a capture file: pcap (microseconds or nanoseconds, either byte order) and pcapng (several interfaces and
//! sections). The crate `pcap-parser` knows the formats; this says what its errors mean to a person.
//!
//! Frames are handed on one by one, so memory is one buffer, however long the file is.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use pcap_parser::pcapng::{EnhancedPacketBlock, InterfaceDescriptionBlock};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, IDB_MAGIC, LegacyPcapBlock, PcapBlockOwned, PcapError, create_reader};

use super::link::LinkType;
use crate::device::pcapng::Direction;

/// The longest block of a file, in octets: room for a super-segment with its comments. Longer ones are an error.
pub const MAX_BLOCK: usize = 1 << 20;
/// Interfaces of one section that are remembered at most.
pub const MAX_INTERFACES: usize = 4_096;

/// The option of an enhanced packet block that tells its direction.
const EPB_FLAGS: u16 = 2;
const NANOSECONDS: u64 = 1_000_000_000;

/// One frame of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Counted from 1, as Wireshark does.
    pub number: u64,
    /// When it was captured, in nanoseconds after the Unix epoch; 0 where the capture does not say.
    pub time_ns: u64,
    /// Which way it went, seen from who captured it, where the capture says so.
    pub direction: Option<Direction>,
    /// What the data begins with.
    pub link: LinkType,
    /// What was captured of it.
    pub data: &'a [u8],
    /// How many octets it had; at least those that were captured.
    pub len: usize,
}

/// How a file that could be read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last frame.
    Whole,
    /// In the middle of a frame: it was cut short, or is still being written.
    CutShort,
}

/// Why a file could not be read.
#[derive(Debug)]
pub enum CaptureError {
    /// The operating system says so.
    Io(io::Error),
    /// It is empty.
    Empty,
    /// It begins like no capture.
    NotACapture,
    /// It ends within its first header.
    NoHeader,
    /// Something after this many frames is not as the format says.
    Damaged(u64),
    /// After this many frames comes a block beyond [`MAX_BLOCK`].
    TooLong(u64),
    /// It has more interfaces than anybody has.
    Interfaces,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::Io(error) => error.fmt(f),
            CaptureError::Empty => f.write_str("the file is empty"),
            CaptureError::NotACapture => {
                f.write_str("not a capture: it begins neither as pcapng nor as pcap does (is it compressed?)")
            }
            CaptureError::NoHeader => f.write_str("cut short: it ends within its first header"),
            CaptureError::Damaged(frames) => {
                write!(f, "damaged: what follows frame {frames} is not as the format says")
            }
            CaptureError::TooLong(frames) => {
                write!(f, "damaged, or not for us: after frame {frames} comes a block of more than {MAX_BLOCK} octets")
            }
            CaptureError::Interfaces => write!(f, "damaged: it has more than {MAX_INTERFACES} interfaces"),
        }
    }
}

impl std::error::Error for CaptureError {}

/// Hands the frames of a capture to `each`, in their order.
///
/// # Errors
/// Why it cannot be read, or not to its end; the frames before that have been handed on.
pub fn read(input: impl Read + Send, mut each: impl FnMut(&Frame<'_>)) -> Result<Ending, CaptureError> {
    let error = Arc::new(OnceLock::new());
    let input = Filling { input, error: Arc::clone(&error) };
    // What a reader's own error says no more: why.
    let told = |failure| match Arc::clone(&error).get() {
        Some(&kind) => CaptureError::Io(io::Error::from(kind)),
        None => failure,
    };
    let mut reader = match create_reader(MAX_BLOCK, input) {
        Ok(reader) => reader,
        Err(PcapError::Eof) => return Err(told(CaptureError::Empty)),
        Err(PcapError::Incomplete(_)) => return Err(told(CaptureError::NoHeader)),
        Err(_) => return Err(told(CaptureError::NotACapture)),
    };
    let mut section = Section::default();
    loop {
        let wants_more = match reader.next() {
            Ok((len, block)) => {
                section.block(block, &mut each)?;
                if len == 0 {
                    return Err(CaptureError::Damaged(section.frames));
                }
                reader.consume(len);
                false
            }
            Err(PcapError::Eof) => return Ok(Ending::Whole),
            Err(PcapError::UnexpectedEof) => return Ok(Ending::CutShort),
            Err(PcapError::Incomplete(_) | PcapError::BufferTooSmall) => true,
            Err(_) => return Err(told(CaptureError::Damaged(section.frames))),
        };
        if !wants_more {
            continue;
        }
        let had = reader.data().len();
        if reader.refill().is_err() {
            return Err(told(CaptureError::Damaged(section.frames)));
        }
        if reader.data().len() == had {
            return match (reader.reader_exhausted(), had) {
                (true, 0) => Ok(Ending::Whole),
                (true, _) => Ok(Ending::CutShort),
                // The buffer is full.
                (false, _) => Err(CaptureError::TooLong(section.frames)),
            };
        }
    }
}

/// Reads whole buffers where they can be had, as a pipe gives less, and remembers why it cannot.
struct Filling<R> {
    input: R,
    error: Arc<OnceLock<io::ErrorKind>>,
}

impl<R: Read> Read for Filling<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let _ = self.error.set(error.kind());
                    return Err(error);
                }
            }
        }
        Ok(filled)
    }
}

/// What stands before the frames and explains them.
#[derive(Debug, Default)]
struct Section {
    frames: u64,
    interfaces: Vec<Interface>,
    /// Of a pcap file.
    nanoseconds: bool,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    resolution: Resolution,
    offset_s: i64,
    /// Octets of each frame that are captured at most; 0: all.
    snap_len: u32,
}

/// How long one step of the clock is.
#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// 10^-n s.
    Decimal(u32),
    /// 2^-n s.
    Binary(u32),
}

impl Resolution {
    fn nanoseconds(self, steps: u64) -> u64 {
        let (steps, second) = (u128::from(steps), u128::from(NANOSECONDS));
        let nanoseconds = match self {
            Resolution::Decimal(digits) => steps * second / 10_u128.pow(digits.min(30)),
            Resolution::Binary(bits) => (steps * second) >> bits.min(127),
        };
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }
}

impl Section {
    fn block(&mut self, block: PcapBlockOwned<'_>, each: &mut impl FnMut(&Frame<'_>)) -> Result<(), CaptureError> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.nanoseconds = header.is_nanosecond_precision();
                let link = LinkType(u32::from(header.network.0 as u16));
                let resolution = Resolution::Decimal(if self.nanoseconds { 9 } else { 6 });
                self.interfaces = vec![Interface { link, resolution, offset_s: 0, snap_len: 0 }];
            }
            PcapBlockOwned::Legacy(packet) => self.legacy(&packet, each),
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.interfaces.len() >= MAX_INTERFACES {
                    return Err(CaptureError::Interfaces);
                }
                self.interfaces.push(described(&interface));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => self.enhanced(&packet, each)?,
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let Some(interface) = self.interfaces.first() else {
                    return Err(CaptureError::Damaged(self.frames));
                };
                let data = packet.packet_data();
                let most = if interface.snap_len == 0 { data.len() } else { interface.snap_len as usize };
                let data = &data[..data.len().min(most)];
                self.frames += 1;
                let len = (packet.origlen as usize).max(data.len());
                each(&Frame { number: self.frames, time_ns: 0, direction: None, link: interface.link, data, len });
            }
            // Statistics, names, comments of the whole: nothing that a segment would need.
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn legacy(&mut self, packet: &LegacyPcapBlock<'_>, each: &mut impl FnMut(&Frame<'_>)) {
        let Some(interface) = self.interfaces.first() else { return };
        self.frames += 1;
        let fraction = interface.resolution.nanoseconds(u64::from(packet.ts_usec));
        each(&Frame {
            number: self.frames,
            time_ns: u64::from(packet.ts_sec) * NANOSECONDS + fraction,
            direction: None,
            link: interface.link,
            data: packet.data,
            len: (packet.origlen as usize).max(packet.data.len()),
        });
    }

    fn enhanced(
        &mut self,
        packet: &EnhancedPacketBlock<'_>,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<(), CaptureError> {
        let interface = usize::try_from(packet.if_id).ok().and_then(|id| self.interfaces.get(id));
        let interface = interface.ok_or(CaptureError::Damaged(self.frames))?;
        self.frames += 1;
        let steps = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
        let offset = interface.offset_s.saturating_mul(NANOSECONDS as i64);
        let big_endian = packet.big_endian();
        let flags = packet.options.iter().find(|option| option.code.0 == EPB_FLAGS);
        let flags = flags.and_then(|option| option.value.first_chunk::<4>());
        let flags = flags.map(|&four| if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) });
        let data = packet.packet_data();
        each(&Frame {
            number: self.frames,
            time_ns: interface.resolution.nanoseconds(steps).saturating_add_signed(offset),
            direction: match flags.map(|flags| flags & 3) {
                Some(1) => Some(Direction::In),
                Some(2) => Some(Direction::Out),
                _ => None,
            },
            link: interface.link,
            data,
            len: (packet.origlen as usize).max(data.len()),
        });
        Ok(())
    }
}

fn described(interface: &InterfaceDescriptionBlock<'_>) -> Interface {
    let bits = u32::from(interface.if_tsresol & 0x7f);
    let binary = interface.if_tsresol & 0x80 != 0;
    // The crate reads the offset as if the file were little-endian.
    let big_endian = interface.block_type != IDB_MAGIC;
    let offset = interface.if_tsoffset;
    Interface {
        link: LinkType(u32::from(interface.linktype.0 as u16)),
        resolution: if binary { Resolution::Binary(bits) } else { Resolution::Decimal(bits) },
        offset_s: if big_endian { offset.swap_bytes() } else { offset },
        snap_len: interface.snaplen,
    }
}
