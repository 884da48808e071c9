//! Packets that no honest host sends: every field can be set to anything. Nothing here uses the code under test.

use std::net::IpAddr;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;
pub const URG: u8 = 32;

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) over some pieces; all but the last have an even length.
pub fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for piece in pieces {
        for pair in piece.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
    let mut bytes = [octets(source), octets(destination)].concat();
    if source.is_ipv6() {
        bytes.extend_from_slice(&(len as u32).to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, protocol]);
    } else {
        bytes.extend_from_slice(&[0, protocol]);
        bytes.extend_from_slice(&(len as u16).to_be_bytes());
    }
    bytes
}

/// The fields of an IP header, of either family. What is `None` is as it should be.
#[derive(Clone)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub version: Option<u8>,
    pub header_words: Option<u8>,
    pub total_length: Option<u16>,
    pub checksum: Option<u16>,
    pub hop_limit: u8,
    pub class: u8,
    pub identification: u32,
    /// The three flags of IPv4: 4 reserved, 2 DF, 1 MF.
    pub flags: u8,
    /// In octets.
    pub offset: usize,
    pub options: Vec<u8>,
}

impl Ip {
    pub fn between(source: &str, destination: &str) -> Ip {
        Ip {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            version: None,
            header_words: None,
            total_length: None,
            checksum: None,
            hop_limit: 64,
            class: 0,
            identification: 0x4711,
            flags: 0,
            offset: 0,
            options: Vec::new(),
        }
    }

    /// The packet.
    pub fn carry(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = if self.source.is_ipv6() { self.v6(protocol, payload) } else { self.v4(protocol, payload) };
        bytes.extend_from_slice(payload);
        bytes
    }

    fn v4(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = self.header_words.unwrap_or(5 + (options.len() / 4) as u8);
        let total = self.total_length.unwrap_or((20 + options.len() + payload.len()) as u16);
        let mut header = vec![self.version.unwrap_or(4) << 4 | words, self.class];
        header.extend_from_slice(&total.to_be_bytes());
        header.extend_from_slice(&(self.identification as u16).to_be_bytes());
        header.extend_from_slice(&(u16::from(self.flags) << 13 | (self.offset / 8) as u16).to_be_bytes());
        header.extend_from_slice(&[self.hop_limit, protocol, 0, 0]);
        header.extend_from_slice(&octets(self.source));
        header.extend_from_slice(&octets(self.destination));
        header.extend_from_slice(&options);
        let sum = self.checksum.unwrap_or_else(|| checksum(&[&header]));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn v6(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let class = self.class;
        let mut header = vec![self.version.unwrap_or(6) << 4 | class >> 4, class << 4, 0, 0];
        header.extend_from_slice(&self.total_length.unwrap_or(payload.len() as u16).to_be_bytes());
        header.extend_from_slice(&[protocol, self.hop_limit]);
        header.extend_from_slice(&octets(self.source));
        header.extend_from_slice(&octets(self.destination));
        header
    }

    /// An ICMP message (of the family's ICMP) with its checksum.
    pub fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = [&[kind, code, 0, 0], rest].concat();
        let pseudo = if self.source.is_ipv6() {
            pseudo_header(self.source, self.destination, 58, message.len())
        } else {
            Vec::new()
        };
        let sum = checksum(&[&pseudo, &message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    /// An echo request with this data.
    pub fn echo_request(&self, data: &[u8]) -> Vec<u8> {
        let kind = if self.source.is_ipv6() { 128 } else { 8 };
        self.icmp(kind, 0, &[&[0, 77, 0, 1], data].concat())
    }

    /// A packet with an echo request.
    pub fn ping(&self, data: &[u8]) -> Vec<u8> {
        self.carry(if self.source.is_ipv6() { 58 } else { 1 }, &self.echo_request(data))
    }

    /// A UDP datagram.
    pub fn datagram(&self, udp: &Udp, data: &[u8]) -> Vec<u8> {
        let len = udp.length.unwrap_or((8 + data.len()) as u16);
        let mut bytes = [udp.source.to_be_bytes(), udp.destination.to_be_bytes(), len.to_be_bytes(), [0; 2]].concat();
        bytes.extend_from_slice(data);
        let pseudo = pseudo_header(self.source, self.destination, 17, usize::from(len));
        let sum = udp.checksum.unwrap_or_else(|| match checksum(&[&pseudo, &bytes]) {
            0 => 0xFFFF,
            sum => sum,
        });
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// A TCP segment.
    pub fn segment(&self, tcp: &Tcp, text: &[u8]) -> Vec<u8> {
        let mut options = tcp.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let words = tcp.offset.unwrap_or(5 + (options.len() / 4) as u8);
        let mut bytes = [tcp.source.to_be_bytes(), tcp.destination.to_be_bytes()].concat();
        bytes.extend_from_slice(&tcp.seq.to_be_bytes());
        bytes.extend_from_slice(&tcp.ack.to_be_bytes());
        bytes.extend_from_slice(&[words << 4 | tcp.reserved, tcp.flags]);
        bytes.extend_from_slice(&tcp.window.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&tcp.urgent.to_be_bytes());
        bytes.extend_from_slice(&options);
        bytes.extend_from_slice(text);
        let pseudo = pseudo_header(self.source, self.destination, 6, bytes.len());
        let sum = tcp.checksum.unwrap_or_else(|| checksum(&[&pseudo, &bytes]));
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// The fields of a UDP header.
#[derive(Clone, Copy)]
pub struct Udp {
    pub source: u16,
    pub destination: u16,
    pub length: Option<u16>,
    pub checksum: Option<u16>,
}

impl Udp {
    pub fn to(destination: u16) -> Udp {
        Udp { source: 4_000, destination, length: None, checksum: None }
    }
}

/// The fields of a TCP header.
#[derive(Clone)]
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub seq: u32,
    pub ack: u32,
    pub offset: Option<u8>,
    pub reserved: u8,
    pub flags: u8,
    pub window: u16,
    pub checksum: Option<u16>,
    pub urgent: u16,
    pub options: Vec<u8>,
}

impl Tcp {
    pub fn new(source: u16, destination: u16, flags: u8) -> Tcp {
        Tcp {
            source,
            destination,
            seq: 5_000,
            ack: 0,
            offset: None,
            reserved: 0,
            flags,
            window: 65_535,
            checksum: None,
            urgent: 0,
            options: Vec::new(),
        }
    }
}

/// A packet that came back, taken apart without a doubt about its form: whatever is malformed fails the test.
#[derive(Clone, Debug)]
pub struct Answer {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub payload: Vec<u8>,
    /// Offset in octets, whether more follow, and the identification; of a fragment.
    pub fragment: Option<(usize, bool, u32)>,
}

impl Answer {
    pub fn parse(packet: &[u8]) -> Answer {
        let answer = if packet[0] >> 4 == 4 { Answer::parse_v4(packet) } else { Answer::parse_v6(packet) };
        if answer.fragment.is_none() {
            answer.check();
        }
        answer
    }

    fn parse_v4(packet: &[u8]) -> Answer {
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        let header = usize::from(packet[0] & 15) * 4;
        assert_eq!(checksum(&[&packet[..header]]), 0, "the header's checksum");
        let flags = u16::from_be_bytes([packet[6], packet[7]]);
        let offset = usize::from(flags & 0x1FFF) * 8;
        let more = flags & 0x2000 != 0;
        let identification = u32::from(u16::from_be_bytes([packet[4], packet[5]]));
        Answer {
            source: <[u8; 4]>::try_from(&packet[12..16]).unwrap().into(),
            destination: <[u8; 4]>::try_from(&packet[16..20]).unwrap().into(),
            protocol: packet[9],
            payload: packet[header..].to_vec(),
            fragment: (offset > 0 || more).then_some((offset, more, identification)),
        }
    }

    fn parse_v6(packet: &[u8]) -> Answer {
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40, packet.len());
        let mut answer = Answer {
            source: <[u8; 16]>::try_from(&packet[8..24]).unwrap().into(),
            destination: <[u8; 16]>::try_from(&packet[24..40]).unwrap().into(),
            protocol: packet[6],
            payload: packet[40..].to_vec(),
            fragment: None,
        };
        if answer.protocol == 44 {
            let header: Vec<u8> = answer.payload.drain(..8).collect();
            let field = u16::from_be_bytes([header[2], header[3]]);
            let identification = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            answer.protocol = header[0];
            answer.fragment = Some((usize::from(field & 0xFFF8), field & 1 != 0, identification));
        }
        answer
    }

    /// Its checksum is right.
    fn check(&self) {
        let pseudo = pseudo_header(self.source, self.destination, self.protocol, self.payload.len());
        match self.protocol {
            6 | 17 | 58 => assert_eq!(checksum(&[&pseudo, &self.payload]), 0, "checksum of {self:?}"),
            1 => assert_eq!(checksum(&[&self.payload]), 0, "checksum of {self:?}"),
            _ => {}
        }
    }

    pub fn is_icmp(&self) -> bool {
        matches!(self.protocol, 1 | 58)
    }

    /// Type and code of an ICMP message.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        self.is_icmp().then(|| (self.payload[0], self.payload[1]))
    }

    /// The data of an echo reply.
    pub fn echoed(&self) -> Option<&[u8]> {
        matches!(self.icmp(), Some((0 | 129, 0))).then(|| &self.payload[8..])
    }

    pub fn is_tcp(&self) -> bool {
        self.protocol == 6 && self.fragment.is_none()
    }

    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn port(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.payload[at..at + 2].try_into().unwrap())
    }

    pub fn flags(&self) -> u8 {
        self.payload[13]
    }

    pub fn text(&self) -> &[u8] {
        &self.payload[usize::from(self.payload[12] >> 4) * 4..]
    }
}

/// The payload of a datagram that came in fragments.
pub fn reassembled(answers: &[Answer]) -> Option<Vec<u8>> {
    let mut pieces: Vec<_> =
        answers.iter().filter_map(|a| a.fragment.map(|(at, more, _)| (at, more, &a.payload))).collect();
    pieces.sort_by_key(|&(at, ..)| at);
    let mut whole = Vec::new();
    for &(at, _, payload) in &pieces {
        (at == whole.len()).then(|| whole.extend_from_slice(payload))?;
    }
    pieces.last().filter(|(_, more, _)| !more).map(|_| whole)
}
