//! Captures in the pcapng format (IETF draft-ietf-opsawg-pcapng), written and read by hand.
//!
//! A file is a row of blocks, each with its type and, before and after its body, its length: section header, interface
//! description, one enhanced packet block per packet, and interface statistics at the end. Wireshark shows the comments of
//! a packet as part of it. All is written little-endian, so that the same run gives the same bytes everywhere.

use std::io::{self, ErrorKind, Write};

/// Block types.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Tells the byte order of a section.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Packets that begin with their IP header, of either version (`LINKTYPE_RAW`).
const LINK_TYPE_RAW: u16 = 101;

/// Option codes; the numbers from 2 on depend on the block.
const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SHB_USER_APPLICATION: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TIMESTAMP_RESOLUTION: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_END_TIME: u16 = 3;
const ISB_RECEIVED: u16 = 4;

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To us.
    In,
    /// From us.
    Out,
}

/// Writes one capture of one interface.
#[derive(Debug)]
pub struct PcapngWriter<W: Write> {
    writer: W,
    /// The block being built; kept so that a packet allocates nothing.
    block: Vec<u8>,
    packets: u64,
    last_time_ns: u64,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a capture: `application` wrote it, on the interface of this name and description.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(writer: W, application: &str, if_name: &str, if_description: &str) -> io::Result<PcapngWriter<W>> {
        let mut pcapng = PcapngWriter { writer, block: Vec::new(), packets: 0, last_time_ns: 0 };
        pcapng.begin(SECTION_HEADER);
        pcapng.put(&BYTE_ORDER_MAGIC.to_le_bytes());
        pcapng.put(&1u16.to_le_bytes()); // version 1.0
        pcapng.put(&0u16.to_le_bytes());
        pcapng.put(&u64::MAX.to_le_bytes()); // the length of the section is not known yet
        pcapng.option(SHB_USER_APPLICATION, application.as_bytes());
        pcapng.end()?;

        pcapng.begin(INTERFACE_DESCRIPTION);
        pcapng.put(&LINK_TYPE_RAW.to_le_bytes());
        pcapng.put(&0u16.to_le_bytes());
        pcapng.put(&0u32.to_le_bytes()); // packets are never cut short
        pcapng.option(IF_NAME, if_name.as_bytes());
        pcapng.option(IF_DESCRIPTION, if_description.as_bytes());
        pcapng.option(IF_TIMESTAMP_RESOLUTION, &[9]); // 10^-9 s
        pcapng.end()?;
        Ok(pcapng)
    }

    /// Writes one packet, from its IP header on, that passed `time_ns` nanoseconds after the Unix epoch. A comment beyond
    /// 65,535 bytes is cut.
    ///
    /// # Errors
    /// Those of the writer; the capture is of no use then.
    pub fn packet(&mut self, time_ns: u64, direction: Direction, packet: &[u8], comments: &[&str]) -> io::Result<()> {
        let len = u32::try_from(packet.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.begin(ENHANCED_PACKET);
        self.put(&0u32.to_le_bytes()); // the only interface
        self.put_time(time_ns);
        self.put(&len.to_le_bytes());
        self.put(&len.to_le_bytes());
        self.put(packet);
        self.pad();
        for comment in comments {
            self.option(OPTION_COMMENT, comment.as_bytes());
        }
        let flags: u32 = if direction == Direction::In { 1 } else { 2 };
        self.option(EPB_FLAGS, &flags.to_le_bytes());
        self.end()?;
        self.packets += 1;
        self.last_time_ns = self.last_time_ns.max(time_ns);
        Ok(())
    }

    /// Packets written so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Pushes everything out, so that somebody who reads along sees it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Ends the capture with its statistics and gives the writer back. Without it, the capture is still readable.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.begin(INTERFACE_STATISTICS);
        self.put(&0u32.to_le_bytes());
        self.put_time(self.last_time_ns);
        let (high, low) = halves(self.last_time_ns);
        let end_time: Vec<u8> = [high.to_le_bytes(), low.to_le_bytes()].concat();
        self.option(ISB_END_TIME, &end_time);
        self.option(ISB_RECEIVED, &self.packets.to_le_bytes());
        self.end()?;
        self.writer.flush()?;
        Ok(self.writer)
    }

    fn begin(&mut self, block_type: u32) {
        self.block.clear();
        self.put(&block_type.to_le_bytes());
        self.put(&[0; 4]); // the length, filled in at the end
    }

    fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// A time is written as two halves, the upper one first even in little-endian files.
    fn put_time(&mut self, time_ns: u64) {
        let (high, low) = halves(time_ns);
        self.put(&high.to_le_bytes());
        self.put(&low.to_le_bytes());
    }

    fn option(&mut self, code: u16, mut value: &[u8]) {
        // Not in the middle of a character, as comments are UTF-8.
        if value.len() > usize::from(u16::MAX) {
            let is_start = |&at: &usize| value[at] & 0xc0 != 0x80;
            value = &value[..(0..=usize::from(u16::MAX)).rev().find(is_start).unwrap_or(0)];
        }
        self.put(&code.to_le_bytes());
        self.put(&(value.len() as u16).to_le_bytes());
        self.put(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn end(&mut self) -> io::Result<()> {
        self.option(OPTION_END, &[]);
        let len = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&len);
        self.put(&len);
        self.writer.write_all(&self.block)
    }
}

fn halves(time_ns: u64) -> (u32, u32) {
    ((time_ns >> 32) as u32, time_ns as u32)
}

/// One packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds after the Unix epoch.
    pub time_ns: u64,
    /// Which way it went, if the capture says so.
    pub direction: Option<Direction>,
    /// In their order; what is no UTF-8 in them is replaced.
    pub comments: Vec<String>,
    /// From its IP header on.
    pub packet: Vec<u8>,
}

/// Reads the packets of a capture with little-endian sections, nanoseconds and raw IP packets, as [`PcapngWriter`] writes
/// it. Blocks and options of other kinds are passed over, and so is an unfinished block at the end (of a capture that is
/// still being written).
///
/// # Errors
/// `InvalidData` for anything that is no such capture.
pub fn read(capture: &[u8]) -> io::Result<Vec<Record>> {
    let mut rest = capture;
    let mut records = Vec::new();
    if word(rest, 0)? != SECTION_HEADER {
        return Err(invalid("does not begin with a section header"));
    }
    while rest.len() >= 8 {
        let (block_type, len) = (word(rest, 0)?, word(rest, 4)? as usize);
        if block_type == SECTION_HEADER && rest.len() >= 12 && word(rest, 8)? != BYTE_ORDER_MAGIC {
            return Err(invalid("a section is not little-endian"));
        }
        if len < 12 || !len.is_multiple_of(4) {
            return Err(invalid("a block has an impossible length"));
        }
        if len > rest.len() {
            break;
        }
        if word(rest, len - 4)? as usize != len {
            return Err(invalid("the two lengths of a block differ"));
        }
        let body = &rest[8..len - 4];
        match block_type {
            INTERFACE_DESCRIPTION => check_interface(body)?,
            ENHANCED_PACKET => records.push(read_packet(body)?),
            _ => {}
        }
        rest = &rest[len..];
    }
    Ok(records)
}

fn check_interface(body: &[u8]) -> io::Result<()> {
    let link_type = word(body, 0)? as u16;
    let nanoseconds = read_options(body.get(8..).unwrap_or_default())?.contains(&(IF_TIMESTAMP_RESOLUTION, &[9]));
    match (link_type, nanoseconds) {
        (LINK_TYPE_RAW, true) => Ok(()),
        (LINK_TYPE_RAW, false) => Err(invalid("an interface does not count in nanoseconds")),
        _ => Err(invalid("an interface has a link type other than raw IP")),
    }
}

fn read_packet(body: &[u8]) -> io::Result<Record> {
    let time_ns = u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?);
    let len = word(body, 12)? as usize;
    let packet = body.get(20..).and_then(|data| data.get(..len)).ok_or_else(|| invalid("a packet is cut short"))?;
    let options = body.get(20 + len.next_multiple_of(4)..).unwrap_or_default();
    let mut record = Record { time_ns, direction: None, comments: Vec::new(), packet: packet.to_vec() };
    for (code, value) in read_options(options)? {
        match code {
            OPTION_COMMENT => record.comments.push(String::from_utf8_lossy(value).into_owned()),
            EPB_FLAGS => {
                record.direction = match word(value, 0)? & 3 {
                    1 => Some(Direction::In),
                    2 => Some(Direction::Out),
                    _ => None,
                }
            }
            _ => {}
        }
    }
    Ok(record)
}

/// Codes and values up to the end of options.
fn read_options(mut rest: &[u8]) -> io::Result<Vec<(u16, &[u8])>> {
    let mut options = Vec::new();
    while !rest.is_empty() {
        let head = word(rest, 0)?;
        let (code, len) = (head as u16, (head >> 16) as usize);
        if code == OPTION_END {
            break;
        }
        let value = rest.get(4..4 + len).ok_or_else(|| invalid("an option is cut short"))?;
        options.push((code, value));
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(options)
}

/// The 32-bit number at this place.
fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(|| invalid("a block is cut short"))?;
    Ok(u32::from_le_bytes(*four))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not a capture that can be read: {what}"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A UDP datagram from 10.0.0.1 to 10.0.0.2 with correct checksums.
    fn datagram(payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(1000, 2000);
        builder.write(&mut packet, payload).unwrap();
        packet
    }

    fn sample() -> (Vec<u8>, Vec<Record>) {
        let record = |time_ns, direction, comments: &[&str], payload| Record {
            time_ns,
            direction: Some(direction),
            comments: comments.iter().map(|&comment| comment.to_owned()).collect(),
            packet: datagram(payload),
        };
        let records = vec![
            record(1_700_000_000_123_456_789, Direction::In, &[], b"odd"),
            record(1_700_000_000_123_456_790, Direction::Out, &["state ESTABLISHED", "grüße"], b""),
        ];
        let mut writer = PcapngWriter::new(Vec::new(), "glasstcp test", "tun7", "a test").unwrap();
        for record in &records {
            let comments: Vec<&str> = record.comments.iter().map(String::as_str).collect();
            writer.packet(record.time_ns, record.direction.unwrap(), &record.packet, &comments).unwrap();
        }
        assert_eq!(writer.packets(), 2);
        (writer.finish().unwrap(), records)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (capture, records) = sample();
        assert_eq!(read(&capture).unwrap(), records);
    }

    #[test]
    fn reading_damaged_captures_never_panics() {
        let (capture, records) = sample();
        for len in 0..capture.len() {
            if let Ok(found) = read(&capture[..len]) {
                assert!(records.starts_with(&found));
            }
        }
        for at in 0..capture.len() {
            let mut damaged = capture.clone();
            damaged[at] ^= 0xff;
            let _ = read(&damaged);
        }
    }

    #[test]
    fn an_overlong_comment_is_cut_between_characters() {
        let mut writer = PcapngWriter::new(Vec::new(), "", "", "").unwrap();
        writer.packet(0, Direction::In, b"", &[&"ü".repeat(40_000)]).unwrap();
        let records = read(&writer.finish().unwrap()).unwrap();
        assert_eq!(records[0].comments, ["ü".repeat(32_767)]);
    }

    #[test]
    fn tshark_reads_the_same() {
        if Command::new("tshark").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(std::env::var_os("CI").is_none(), "tshark is not installed");
            println!("skipped: tshark is not installed");
            return;
        }
        let (capture, _) = sample();
        let fields = ["frame.time_epoch", "frame.interface_name", "frame.packet_flags_direction", "udp.srcport"];
        let mut tshark = Command::new("tshark")
            .args(["-r", "-", "-T", "fields", "-E", "separator=|"])
            .args(["-o", "udp.check_checksum:TRUE"])
            .args(fields.iter().chain(&["udp.checksum.status", "frame.comment"]).flat_map(|field| ["-e", field]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tshark.stdin.take().unwrap().write_all(&capture).unwrap();
        let output = tshark.wait_with_output().unwrap();
        // Whether flags are shown in decimal or hexadecimal depends on the version.
        let text = String::from_utf8(output.stdout).unwrap().replace("0x0000000", "");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1700000000.123456789|tun7|1|1000|1|", "{text}");
        assert_eq!(lines[1], "1700000000.123456790|tun7|2|1000|1|state ESTABLISHED,grüße", "{text}");
    }
}
