//! The normal form has nothing in it that two runs of a conversation do not share.

use glasstcp::trace::segment::Side;
use glasstcp::wire::tcp::Flags;

use super::shared::normal::{Item, Segment, items, read};
use glasstcp::device::pcapng::{Direction, PcapngWriter};
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{self, TcpHeader};
use glasstcp::wire::{IpHeader, emit_ip, protocol};

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
