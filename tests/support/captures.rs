//! Captures by hand: segments, link layers, and both file formats in either byte order.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::SocketAddr;

use glasstcp::sim::script::packet;
use glasstcp::trace::connection::{Trace, read};
use glasstcp::trace::explain::{Explanation, Fault, explain};
use glasstcp::trace::segment::Side;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};

pub const CLIENT: &str = "10.0.0.1:40000";
pub const SERVER: &str = "10.0.0.2:80";
/// When captures by hand begin, in nanoseconds.
pub const START: u64 = 1_700_000_000_000_000_000;

/// A file format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub big_endian: bool,
    pub ng: bool,
    pub nanoseconds: bool,
}

pub const FORMATS: [Format; 8] = {
    let mut formats = [Format { big_endian: false, ng: false, nanoseconds: false }; 8];
    let mut number = 0;
    while number < 8 {
        formats[number] = Format { big_endian: number & 1 != 0, ng: number & 2 != 0, nanoseconds: number & 4 != 0 };
        number += 1;
    }
    formats
};

impl Format {
    fn u16(&self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32(body.len() as u32 + 12);
        [&self.u32(kind), &len, &body[..], &len].concat()
    }

    /// The beginning of a file of frames of this link type.
    pub fn header(&self, link: u16) -> Vec<u8> {
        if !self.ng {
            let magic = if self.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
            return [
                &self.u32(magic)[..],
                &self.u16(2),
                &self.u16(4),
                &[0; 8],
                &self.u32(262_144),
                &self.u32(u32::from(link)),
            ]
            .concat();
        }
        let section = [&self.u32(0x1a2b_3c4d)[..], &self.u16(1), &self.u16(0), &[0xff; 8]].concat();
        let resolution = [&self.u16(9)[..], &self.u16(1), &[if self.nanoseconds { 9 } else { 6 }, 0, 0, 0]].concat();
        let interface = [&self.u16(link)[..], &[0, 0], &self.u32(0), &resolution, &[0; 4]].concat();
        [self.block(0x0a0d_0d0a, &section), self.block(1, &interface)].concat()
    }

    /// A frame of which `captured` octets were captured.
    pub fn frame(&self, time_ns: u64, frame: &[u8], captured: usize) -> Vec<u8> {
        let data = &frame[..captured.min(frame.len())];
        let lens = [self.u32(data.len() as u32), self.u32(frame.len() as u32)].concat();
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        if !self.ng {
            let (seconds, rest) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000 / unit);
            return [&self.u32(seconds as u32)[..], &self.u32(rest as u32), &lens, data].concat();
        }
        let steps = time_ns / unit;
        let mut body =
            [&self.u32(0)[..], &self.u32((steps >> 32) as u32), &self.u32(steps as u32), &lens, data].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        self.block(6, &body)
    }
}

pub const PLAIN: Format = Format { big_endian: false, ng: true, nanoseconds: true };

/// A conversation between two ends, written down as it goes.
pub struct Talk {
    pub capture: Vec<u8>,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub iss: [u32; 2],
    /// Milliseconds since the start.
    pub millis: u64,
}

impl Talk {
    pub fn new() -> Talk {
        Talk {
            capture: PLAIN.header(101),
            client: CLIENT.parse().unwrap(),
            server: SERVER.parse().unwrap(),
            iss: [1_000, 50_000],
            millis: 0,
        }
    }

    /// One segment: who (0 client, 1 server), flags, relative SEQ and ACK, octets of text, and changes of the header.
    pub fn with(
        &mut self,
        who: usize,
        flags: Flags,
        (seq, ack): (u32, u32),
        text: usize,
        change: impl FnOnce(&mut TcpHeader),
    ) -> &mut Talk {
        let ends = [self.client, self.server];
        let (own, other) = (ends[who], ends[1 - who]);
        let mut header = TcpHeader {
            source_port: own.port(),
            destination_port: other.port(),
            seq: self.iss[who].wrapping_add(seq),
            ack: if flags.contains(Flags::ACK) { self.iss[1 - who].wrapping_add(ack) } else { 0 },
            flags,
            window: 60_000,
            urgent: 0,
            options: TcpOptions::default(),
        };
        if flags.contains(Flags::SYN) {
            header.options = TcpOptions { mss: Some(1_460), sack_permitted: true, ..TcpOptions::default() };
        }
        change(&mut header);
        let text: Vec<u8> = (0..text).map(|n| (seq as usize + n) as u8).collect();
        self.raw(&packet(own.ip(), other.ip(), &header, &text))
    }

    pub fn says(&mut self, who: usize, flags: Flags, numbers: (u32, u32), text: usize) -> &mut Talk {
        self.with(who, flags, numbers, text, |_| {})
    }

    pub fn raw(&mut self, packet: &[u8]) -> &mut Talk {
        self.capture.extend(PLAIN.frame(START + self.millis * 1_000_000, packet, usize::MAX));
        self
    }

    pub fn after(&mut self, millis: u64) -> &mut Talk {
        self.millis += millis;
        self
    }

    /// SYN, SYN,ACK and ACK, with a round trip of 20 ms seen from the client.
    pub fn handshake(&mut self) -> &mut Talk {
        self.says(0, Flags::SYN, (0, 0), 0).after(20).says(1, Flags::SYN | Flags::ACK, (0, 1), 0);
        self.says(0, Flags::ACK, (1, 1), 0)
    }

    pub fn trace(&self) -> Trace {
        read(&self.capture[..]).unwrap()
    }
}

pub fn timestamp(value: u32, echo: u32) -> Option<Timestamp> {
    Some(Timestamp { value, echo })
}

/// The first connection of a talk, from the view of one end.
pub fn explained(talk: &Talk, side: Side) -> Explanation {
    explain(&talk.trace().connections[0], side)
}

/// The faults of an end.
pub fn faults(talk: &Talk, side: Side) -> Vec<Fault> {
    let explanation = explained(talk, side);
    let faults = explanation.lines.iter().flat_map(|line| &line.findings).filter_map(|finding| finding.fault);
    faults.collect()
}
