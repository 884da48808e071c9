//! Where the generator begins: inputs of every kind that mean something.

use std::net::{IpAddr, SocketAddr};

use glasstcp::sim::script::packet;
#[cfg(feature = "trace")]
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::{SackBlocks, TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};

use super::kit::fragment::{Cut, even};
use super::kit::{datagram, icmp_error, icmp_message, ip_packet};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Both families: the peer, and the stack.
const FAMILIES: [(&str, &str); 2] = [("10.0.0.1", "10.0.0.2"), ("fd00:67::1", "fd00:67::2")];

fn all_options() -> TcpOptions {
    let mut sack = SackBlocks::default();
    sack.push(1, 9);
    sack.push(20, 30);
    TcpOptions {
        mss: Some(1_460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamp: Some(Timestamp { value: 5, echo: 9 }),
        sack,
        ..TcpOptions::default()
    }
}

/// Segments of any kind, from the peer.
pub fn segments(source: IpAddr, destination: IpAddr) -> Vec<Vec<u8>> {
    let header = TcpHeader { source_port: 40_000, destination_port: 80, seq: 9, window: 1_000, ..TcpHeader::default() };
    [
        (Flags::SYN, &b""[..]),
        (Flags::ACK, b"text"),
        (Flags::SYN | Flags::ACK, b""),
        (Flags::FIN | Flags::ACK | Flags::PSH, b"bye"),
        (Flags::RST, b""),
        (Flags::ACK | Flags::URG, b"!"),
    ]
    .map(|(flags, text)| {
        let ack = if flags.contains(Flags::ACK) { 7 } else { 0 };
        packet(source, destination, &TcpHeader { flags, ack, options: all_options(), ..header }, text)
    })
    .into()
}

/// One packet of every kind, with the octet before it that says which checksums are made right.
pub fn packets() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (peer, own) in FAMILIES.map(|(peer, own)| (ip(peer), ip(own))) {
        all.extend(segments(peer, own));
        let udp = datagram(SocketAddr::new(peer, 5_353), SocketAddr::new(own, 53), b"question");
        all.push(datagram(SocketAddr::new(peer, 5_353), SocketAddr::new(own, 9), b""));
        all.extend(Cut::new(7).apply(&udp, &even(&udp, 8)));
        let ours = datagram(SocketAddr::new(own, 53), SocketAddr::new(peer, 5_353), b"answer");
        for error in [
            IcmpError::DestinationUnreachable { code: 3 },
            IcmpError::PacketTooBig { mtu: 1_300 },
            IcmpError::TimeExceeded { code: 0 },
            IcmpError::ParameterProblem { code: 0, pointer: 1 },
        ] {
            all.push(icmp_error(peer, &ours, error));
        }
        all.push(udp);
        let kinds = if own.is_ipv4() { [8, 0, 13] } else { [128, 129, 130] };
        all.extend(kinds.map(|kind| icmp_message(peer, own, kind, 0, &[0, 1, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8])));
        all.push(ip_packet(peer, own, 51, &[6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]));
        all.push(ip_packet(peer, own, 2, &[0x11, 0, 0, 0, 0, 0, 0, 0]));
    }
    let (peer, own) = (ip("fd00:67::1"), ip("fd00:67::2"));
    let echo = [128, 0, 0, 0, 0, 1, 0, 2, 9, 9];
    for (first, chain) in [
        (0, &[58, 0, 5, 2, 0, 0, 1, 0][..]),
        (60, &[60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 0x1E, 4, 0, 0, 0, 0]),
        (43, &[58, 0, 253, 0, 0, 0, 0, 0]),
        (44, &[58, 0, 0, 0, 0, 0, 0, 9]),
        (44, &[58, 0, 0, 1, 0, 0, 0, 9]),
        (59, &[]),
    ] {
        all.push(ip_packet(peer, own, first, &[chain, &echo].concat()));
    }
    all.extend(sums_of_zero());
    // With options: no-operations, a record of the route, a timestamp, a source route.
    for options in
        [&[1, 1, 1, 0][..], &[7, 7, 4, 0, 0, 0, 0, 0], &[68, 8, 5, 0, 0, 0, 0, 0], &[131, 7, 4, 10, 0, 0, 5, 0]]
    {
        let plain = ip_packet(ip("10.0.0.1"), ip("10.0.0.2"), 1, &[8, 0, 0, 0, 0, 1, 0, 2]);
        let mut with = [&plain[..20], options, &plain[20..]].concat();
        with[0] = 0x45 + (options.len() / 4) as u8;
        with[3] = with.len() as u8;
        all.push(with);
    }
    all.into_iter().flat_map(|packet| [0, 3].map(|mode| [&[mode][..], &packet].concat())).collect()
}

/// Echo replies of which the words add up to zero, with a checksum in either form of it: libFuzzer has found that one of them
/// is not what etherparse computes.
pub fn sums_of_zero() -> [Vec<u8>; 2] {
    [0, 0xFF].map(|sum| ip_packet(ip("10.0.0.1"), ip("10.0.0.2"), 1, &[0, 0, sum, sum, 0, 0, 0, 0, 0xFF, 0xFF]))
}

/// Inputs by which libFuzzer has found something, in hexadecimal, with their targets.
pub const FOUND: [(&str, &str); 1] = [(
    "segment_in_any_state",
    "0076a4e623ad56000000000000004076e60001000001ada4563b003a26f7ffffffffffffffffffff75eeff00000056",
)];

/// Option areas.
pub fn options() -> Vec<Vec<u8>> {
    let mut buffer = [0; 40];
    let len = glasstcp::wire::option::emit(&all_options(), &mut buffer);
    vec![
        buffer[..len].to_vec(),
        vec![2, 4, 5, 0xB4, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0],
        vec![
            1, 1, 5, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8,
        ],
        vec![254, 4, 1, 2, 30, 8, 0, 0, 0, 0, 0, 0, 2, 3, 9, 2, 5, 0, 0, 0, 3],
    ]
}

/// Captures of a few segments: both formats, either byte order.
#[cfg(feature = "trace")]
pub fn captures() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (peer, own) in FAMILIES.map(|(peer, own)| (ip(peer), ip(own))) {
        let mut frames = segments(peer, own);
        frames.truncate(4);
        frames.extend(segments(own, peer).into_iter().skip(2).take(2));
        all.push(pcapng(false, &fast_open(peer, own)));
        for big in [false, true] {
            all.push(pcap(big, &frames));
            all.push(pcapng(big, &frames));
        }
    }
    all
}

/// A request for a cookie and its answer, and text with a SYN of which a part is acknowledged.
#[cfg(feature = "trace")]
fn fast_open(client: IpAddr, server: IpAddr) -> Vec<Vec<u8>> {
    let cookie = Cookie::new(&[7; 8]);
    let says = |from_client: bool, port, (flags, seq, ack): (Flags, u32, u32), fast_open, text: &[u8]| {
        let (source, destination) = if from_client { (client, server) } else { (server, client) };
        let (source_port, destination_port) = if from_client { (port, 80) } else { (80, port) };
        let options = TcpOptions { mss: Some(1_460), fast_open, ..TcpOptions::default() };
        let header = TcpHeader {
            source_port,
            destination_port,
            seq,
            ack,
            flags,
            window: 9_000,
            options,
            ..TcpHeader::default()
        };
        packet(source, destination, &header, text)
    };
    let syn_ack = Flags::SYN | Flags::ACK;
    vec![
        says(true, 1, (Flags::SYN, 9, 0), Some(Cookie::REQUEST), b""),
        says(false, 1, (syn_ack, 70, 10), cookie, b""),
        says(true, 2, (Flags::SYN, 9, 0), cookie, b"GET / HTTP/1.0"),
        says(false, 2, (syn_ack, 70, 20), None, b""),
        says(false, 2, (Flags::ACK, 71, 20), None, b"200"),
        says(true, 2, (Flags::ACK, 20, 74), None, b".0"),
    ]
}

#[cfg(feature = "trace")]
struct Order(bool);

#[cfg(feature = "trace")]
impl Order {
    fn u16(&self, value: u16) -> [u8; 2] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.0 { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// Raw IP packets in the older format.
#[cfg(feature = "trace")]
fn pcap(big: bool, frames: &[Vec<u8>]) -> Vec<u8> {
    let order = Order(big);
    let mut file =
        [&order.u32(0xA1B2_C3D4)[..], &order.u16(2), &order.u16(4), &[0; 8], &order.u32(65_535), &order.u32(101)]
            .concat();
    for (number, frame) in frames.iter().enumerate() {
        let len = order.u32(frame.len() as u32);
        file.extend([&order.u32(1_000)[..], &order.u32(number as u32), &len, &len, frame].concat());
    }
    file
}

/// The same in the newer one.
#[cfg(feature = "trace")]
fn pcapng(big: bool, frames: &[Vec<u8>]) -> Vec<u8> {
    let order = Order(big);
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = order.u32(body.len() as u32 + 12);
        [&order.u32(kind), &len, &body[..], &len].concat()
    };
    let section = [&order.u32(0x1A2B_3C4D)[..], &order.u16(1), &order.u16(0), &[0xFF; 8]].concat();
    let interface =
        [&order.u16(101)[..], &[0, 0, 0, 0, 0, 0], &order.u16(9), &order.u16(1), &[9, 0, 0, 0], &[0; 4]].concat();
    let mut file = [block(0x0A0D_0D0A, &section), block(1, &interface)].concat();
    for (number, frame) in frames.iter().enumerate() {
        let len = order.u32(frame.len() as u32);
        let body = [&order.u32(0)[..], &order.u32(0), &order.u32(number as u32), &len, &len, frame].concat();
        file.extend(block(6, &body));
    }
    file
}
