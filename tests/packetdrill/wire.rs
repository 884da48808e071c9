//! Packets as octets and in packetdrill's notation. Written without the code under test, so that it checks that code.

use std::fmt;
use std::net::IpAddr;

use crate::language::{Body, Packet, Quoted, Segment, TcpOption, Tos};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// Addresses.
    pub from: IpAddr,
    /// Addresses.
    pub to: IpAddr,
    /// Ports; 0 for ICMP.
    pub from_port: u16,
    /// Ports; 0 for ICMP.
    pub to_port: u16,
}

impl Ends {
    fn turned(self) -> Ends {
        Ends { from: self.to, to: self.from, from_port: self.to_port, to_port: self.from_port }
    }
}

/// The options of a TCP header, as they are on the wire.
pub fn option_bytes(options: &[TcpOption]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for option in options {
        match option {
            TcpOption::End => bytes.push(0),
            TcpOption::Nop => bytes.push(1),
            TcpOption::Mss(mss) => {
                bytes.extend([2, 4]);
                bytes.extend(mss.to_be_bytes());
            }
            TcpOption::WindowScale(shift) => bytes.extend([3, 3, *shift]),
            TcpOption::SackOk => bytes.extend([4, 2]),
            TcpOption::Sack(blocks) => {
                bytes.extend([5, (2 + 8 * blocks.len()) as u8]);
                for (left, right) in blocks {
                    bytes.extend(left.to_be_bytes());
                    bytes.extend(right.to_be_bytes());
                }
            }
            TcpOption::Timestamps { val, ecr } => {
                bytes.extend([8, 10]);
                bytes.extend(val.to_be_bytes());
                bytes.extend(ecr.to_be_bytes());
            }
            TcpOption::Cookie { octets, experimental } => {
                let head: &[u8] = if *experimental { &[254, 4, 0xf9, 0x89] } else { &[34, 2] };
                let start = bytes.len();
                bytes.extend(head.iter().chain(octets));
                bytes[start + 1] += octets.len() as u8;
            }
            TcpOption::Other(kind, length) => {
                bytes.extend([*kind, *length]);
                bytes.resize(bytes.len() + usize::from(*length).saturating_sub(2), 0);
            }
        }
    }
    bytes
}

fn read_options(mut bytes: &[u8]) -> Result<Vec<TcpOption>, String> {
    let u32_at = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut options = Vec::new();
    while let Some(kind) = bytes.first() {
        let length = match kind {
            0 | 1 => 1,
            _ => usize::from(*bytes.get(1).ok_or("a TCP option without its length")?),
        };
        if (*kind > 1 && length < 2) || length > bytes.len() {
            return Err(format!("a TCP option of kind {kind} with the impossible length {length}"));
        }
        let data = &bytes[..length];
        options.push(match (kind, length) {
            (0, _) => TcpOption::End,
            (1, _) => TcpOption::Nop,
            (2, 4) => TcpOption::Mss(u16::from_be_bytes([data[2], data[3]])),
            (3, 3) => TcpOption::WindowScale(data[2]),
            (4, 2) => TcpOption::SackOk,
            (5, 10 | 18 | 26 | 34) => {
                TcpOption::Sack((2..length).step_by(8).map(|at| (u32_at(data, at), u32_at(data, at + 4))).collect())
            }
            (8, 10) => TcpOption::Timestamps { val: u32_at(data, 2), ecr: u32_at(data, 6) },
            (34, _) => TcpOption::Cookie { octets: data[2..].to_vec(), experimental: false },
            (254, 4..) if data[2..4] == [0xf9, 0x89] => {
                TcpOption::Cookie { octets: data[4..].to_vec(), experimental: true }
            }
            _ => TcpOption::Other(*kind, length as u8),
        });
        bytes = &bytes[length..];
    }
    Ok(options)
}

fn sum(mut sum: u32, bytes: &[u8]) -> u32 {
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    sum
}

fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn pseudo_header(ends: Ends, protocol: u8, length: usize) -> u32 {
    let addresses = sum(sum(0, &address_bytes(ends.from)), &address_bytes(ends.to));
    addresses + u32::from(protocol) + length as u32
}

/// An IP header in front of `payload`.
fn ip_packet(ends: Ends, tos: u8, ttl: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40 + payload.len());
    match ends.from {
        IpAddr::V4(_) => {
            bytes.extend([0x45, tos]);
            bytes.extend((20 + payload.len() as u16).to_be_bytes());
            bytes.extend([0, 0, 0x40, 0, ttl, protocol, 0, 0]);
        }
        IpAddr::V6(_) => {
            bytes.extend([0x60 | tos >> 4, tos << 4, 0, 0]);
            bytes.extend((payload.len() as u16).to_be_bytes());
            bytes.extend([protocol, ttl]);
        }
    }
    bytes.extend(address_bytes(ends.from));
    bytes.extend(address_bytes(ends.to));
    if ends.from.is_ipv4() {
        let check = checksum(sum(0, &bytes));
        bytes[10..12].copy_from_slice(&check.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

fn tcp_bytes(segment: &Segment, ends: Ends) -> Vec<u8> {
    let options = option_bytes(segment.options.as_deref().unwrap_or_default());
    let mut bytes = Vec::with_capacity(20 + options.len() + segment.payload);
    bytes.extend(ends.from_port.to_be_bytes());
    bytes.extend(ends.to_port.to_be_bytes());
    bytes.extend(segment.seq.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    let flags = FLAGS.iter().filter(|(letter, _)| segment.flags.contains(*letter)).map(|(_, bit)| bit).sum::<u16>();
    bytes.extend((((5 + options.len() / 4) as u16) << 12 | flags).to_be_bytes());
    bytes.extend(segment.window.unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(segment.urgent.to_be_bytes());
    bytes.extend(options);
    bytes.resize(bytes.len() + segment.payload, 0);
    bytes
}

/// In the order in which packetdrill writes them.
const FLAGS: [(char, u16); 9] = [
    ('F', 0x01),
    ('S', 0x02),
    ('R', 0x04),
    ('P', 0x08),
    ('.', 0x10),
    ('U', 0x20),
    ('E', 0x40),
    ('W', 0x80),
    ('A', 0x100),
];

fn udp_bytes(length: usize, ends: Ends) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ends.from_port.to_be_bytes());
    bytes.extend(ends.to_port.to_be_bytes());
    bytes.extend((8 + length as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.resize(8 + length, 0);
    bytes
}

/// The numbers of an ICMP type and code that are given by name.
fn icmp_numbers(v6: bool, kind: &str, code: Option<&str>) -> Result<(u8, u8), String> {
    let types: &[(&str, u8)] = match v6 {
        false => &[("unreachable", 3), ("source_quench", 4), ("time_exceeded", 11), ("parameter_problem", 12)],
        true => &[("unreachable", 1), ("packet_too_big", 2), ("time_exceeded", 3), ("parameter_problem", 4)],
    };
    let codes: &[(&str, u8)] = match (v6, kind) {
        (false, "unreachable") => &[
            ("net_unreachable", 0),
            ("host_unreachable", 1),
            ("protocol_unreachable", 2),
            ("port_unreachable", 3),
            ("frag_needed", 4),
            ("source_route_failed", 5),
            ("host_prohibited", 10),
            ("packet_filtered", 13),
        ],
        (true, "unreachable") => {
            &[("no_route", 0), ("admin_prohibited", 1), ("address_unreachable", 3), ("port_unreachable", 4)]
        }
        (true, "time_exceeded") => &[("exceeded_hop_limit", 0), ("exceeded_frag_time", 1)],
        (true, "parameter_problem") => &[("header_field", 0), ("unknown_next_header", 1)],
        _ => &[],
    };
    let find = |table: &[(&str, u8)], name: &str| {
        let numbered = name.strip_prefix("code_").or(name.strip_prefix("type_")).and_then(|digits| digits.parse().ok());
        let named = table.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        numbered.or(named).ok_or(format!("no ICMP message is called `{name}` here"))
    };
    Ok((find(types, kind)?, code.map_or(Ok(0), |code| find(codes, code))?))
}

fn icmp_bytes(packet: &Packet, ends: Ends) -> Result<Vec<u8>, String> {
    let Body::Icmp { kind, code, mtu, quoted } = &packet.body else { unreachable!() };
    let v6 = ends.from.is_ipv6();
    let (kind, code) = icmp_numbers(v6, kind, code.as_deref())?;
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(mtu.unwrap_or(0).to_be_bytes());
    let (protocol, whole) = match quoted {
        Quoted::Tcp(seq, payload) => {
            (TCP, tcp_bytes(&Segment { seq: *seq, payload: *payload, ..Segment::default() }, ends.turned()))
        }
        Quoted::Udp(length) => (UDP, udp_bytes(*length, ends.turned())),
    };
    let original = ip_packet(ends.turned(), 0, 64, protocol, &whole);
    // The header and eight octets, as the oldest routers quote.
    bytes.extend(&original[..original.len() - whole.len() + 8]);
    Ok(bytes)
}

/// A packet that a script describes, as octets.
pub fn build(packet: &Packet, ends: Ends) -> Result<Vec<u8>, String> {
    let (protocol, checksum_at, mut bytes) = match &packet.body {
        Body::Tcp(segment) => (TCP, 16, tcp_bytes(segment, ends)),
        Body::Udp(length) => (UDP, 6, udp_bytes(*length, ends)),
        Body::Icmp { .. } if ends.from.is_ipv6() => (58, 2, icmp_bytes(packet, ends)?),
        Body::Icmp { .. } => (1, 2, icmp_bytes(packet, ends)?),
    };
    let start = if protocol == 1 { 0 } else { pseudo_header(ends, protocol, bytes.len()) };
    let check = checksum(sum(start, &bytes));
    bytes[checksum_at..checksum_at + 2].copy_from_slice(&check.to_be_bytes());
    let tos = match packet.tos {
        Tos::Any | Tos::Ect01 => 0,
        Tos::Ecn(bits) | Tos::Octet(bits) => bits,
    };
    Ok(ip_packet(ends, tos, packet.ttl.unwrap_or(64), protocol, &bytes))
}

/// A packet that left.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who sent to whom.
    pub ends: Ends,
    /// What.
    pub packet: Packet,
    /// Its payload is all zeros, as everything that scripts write.
    pub zeros: bool,
}

/// Reads a packet that left, and checks what holds for every packet: lengths and checksums.
pub fn read(bytes: &[u8]) -> Result<Seen, String> {
    let version = bytes.first().map_or(0, |first| first >> 4);
    let array = |at: usize| -> [u8; 16] { bytes[at..at + 16].try_into().unwrap() };
    let (from, to, tos, ttl, protocol, payload): (IpAddr, IpAddr, _, _, _, _) = match version {
        4 if bytes.len() >= 20 && usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) == bytes.len() => {
            let header = usize::from(bytes[0] & 15) * 4;
            if checksum(sum(0, &bytes[..header])) != 0 {
                return Err("the checksum of an IP header is wrong".into());
            }
            let address = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap().into();
            (address(12), address(16), bytes[1], bytes[8], bytes[9], &bytes[header..])
        }
        6 if bytes.len() >= 40 && usize::from(u16::from_be_bytes([bytes[4], bytes[5]])) + 40 == bytes.len() => {
            let tos = bytes[0] << 4 | bytes[1] >> 4;
            (array(8).into(), array(24).into(), tos, bytes[7], bytes[6], &bytes[40..])
        }
        _ => return Err(format!("no IP packet: {} octets, version {version}", bytes.len())),
    };
    let mut ends = Ends { from, to, from_port: 0, to_port: 0 };
    if protocol != 1
        && payload.len() >= 8
        && checksum(pseudo_header(ends, protocol, payload.len()) + sum(0, payload)) != 0
    {
        return Err(format!("the checksum of a packet of protocol {protocol} is wrong"));
    }
    let (body, data) = match protocol {
        TCP if payload.len() >= 20 => read_tcp(payload)?,
        UDP if payload.len() >= 8 => (Body::Udp(payload.len() - 8), &payload[8..]),
        _ => {
            let code = payload.get(1).map(|code| format!("code_{code}"));
            let kind = format!("type_{}", payload.first().unwrap_or(&0));
            (Body::Icmp { kind, code, mtu: None, quoted: Quoted::Tcp(0, 0) }, &payload[..0])
        }
    };
    if matches!(protocol, TCP | UDP) {
        ends.from_port = u16::from_be_bytes([payload[0], payload[1]]);
        ends.to_port = u16::from_be_bytes([payload[2], payload[3]]);
    }
    let zeros = data.iter().all(|octet| *octet == 0);
    Ok(Seen { ends, packet: Packet { tos: Tos::Octet(tos), ttl: Some(ttl), body }, zeros })
}

fn read_tcp(bytes: &[u8]) -> Result<(Body, &[u8]), String> {
    let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let header = usize::from(bytes[12] >> 4) * 4;
    if header < 20 || header > bytes.len() {
        return Err(format!("a TCP header of {header} octets"));
    }
    let flags = FLAGS.iter().filter(|(_, bit)| u16_at(12) & bit != 0).map(|(letter, _)| letter).collect();
    let segment = Segment {
        flags,
        seq: u32_at(4),
        payload: bytes.len() - header,
        ack: u32_at(8),
        window: Some(u16_at(14)),
        urgent: u16_at(18),
        options: Some(read_options(&bytes[20..header])?),
    };
    Ok((Body::Tcp(segment), &bytes[header..]))
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TcpOption::End => f.write_str("eol"),
            TcpOption::Nop => f.write_str("nop"),
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackOk => f.write_str("sackOK"),
            TcpOption::Sack(blocks) => {
                let blocks: Vec<String> = blocks.iter().map(|(left, right)| format!("{left}:{right}")).collect();
                write!(f, "sack {}", blocks.join(" "))
            }
            TcpOption::Timestamps { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOption::Cookie { octets, experimental } => {
                write!(f, "FO{}", if *experimental { "EXP " } else { " " })?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            TcpOption::Other(kind, length) => write!(f, "kind {kind} of {length} octets"),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let flags = if self.flags.is_empty() { "-" } else { &self.flags };
        write!(f, "{flags} {}:{}({})", self.seq, self.seq.wrapping_add(self.payload as u32), self.payload)?;
        if self.flags.contains('.') {
            write!(f, " ack {}", self.ack)?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match &self.options {
            None => f.write_str(" <...>"),
            Some(options) if options.is_empty() => Ok(()),
            Some(options) => {
                let options: Vec<String> = options.iter().map(TcpOption::to_string).collect();
                write!(f, " <{}>", options.join(","))
            }
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.tos, self.ttl) {
            (Tos::Ecn(bits), _) => write!(f, "[{}] ", ["noecn", "ect1", "ect0", "ce"][usize::from(bits & 3)])?,
            (Tos::Ect01, _) => f.write_str("[ect01] ")?,
            (Tos::Octet(tos), None) => write!(f, "[tos {tos:#x}] ")?,
            // A packet that was seen has both: they are of interest where the script asked.
            (Tos::Octet(_), Some(_)) | (Tos::Any, None) => {}
            (Tos::Any, Some(ttl)) => write!(f, "[ttl {ttl}] ")?,
        }
        match &self.body {
            Body::Tcp(segment) => write!(f, "{segment}"),
            Body::Udp(length) => write!(f, "udp ({length})"),
            Body::Icmp { kind, code, mtu, .. } => {
                write!(f, "icmp {kind}")?;
                code.iter().try_for_each(|code| write!(f, " {code}"))?;
                mtu.iter().try_for_each(|mtu| write!(f, " mtu {mtu}"))
            }
        }
    }
}
