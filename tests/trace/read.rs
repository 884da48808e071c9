//! Captures are read whatever wrote them, and whatever has become of them since.

use crate::captures;
use crate::captures::{CLIENT, FORMATS, PLAIN, SERVER, START, Talk};
use glasstcp::counters::DropReason;
use glasstcp::device::pcapng::{Direction, PcapngWriter};
use glasstcp::sim::script::packet;
use glasstcp::trace::capture::{self, CaptureError, Ending, MAX_BLOCK};
use glasstcp::trace::connection::{Trace, read};
use glasstcp::trace::segment::{Side, Skipped, Sum};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use proptest::prelude::*;

const ACK: Flags = Flags::ACK;

/// One segment with ten octets of text, over either family.
fn segment(ipv6: bool) -> Vec<u8> {
    let options = TcpOptions { timestamp: captures::timestamp(7, 9), ..TcpOptions::default() };
    let header = TcpHeader {
        source_port: 40_000,
        destination_port: 80,
        seq: 5,
        ack: 77,
        flags: ACK | Flags::PSH,
        window: 1_000,
        urgent: 0,
        options,
    };
    let [from, to] = if ipv6 { ["fd00::1", "fd00::2"] } else { ["10.0.0.1", "10.0.0.2"] };
    packet(from.parse().unwrap(), to.parse().unwrap(), &header, b"0123456789")
}

/// What stands before a packet of each link type.
fn links(ipv6: bool) -> Vec<(u16, Vec<u8>)> {
    let ethertype: [u8; 2] = if ipv6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    let mac = [[2; 6], [4; 6]].concat();
    let family = if ipv6 { 30_u32 } else { 2 };
    let cooked = [&[0, 4, 0, 1, 0, 6][..], &[0; 8]].concat();
    let cooked2 = |ethertype: [u8; 2]| [&ethertype[..], &[0, 0, 0, 0, 0, 3, 0, 1, 4, 6], &[0; 8]].concat();
    vec![
        (101, vec![]),
        (12, vec![]),
        (if ipv6 { 229 } else { 228 }, vec![]),
        (1, [&mac[..], &ethertype].concat()),
        (1, [&mac[..], &[0x81, 0, 0, 5], &ethertype].concat()),
        (1, [&mac[..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 5], &ethertype].concat()),
        (113, [&cooked[..], &ethertype].concat()),
        (113, [&cooked[..], &[0x81, 0, 0, 5], &ethertype].concat()),
        (276, cooked2(ethertype)),
        (276, [&cooked2([0x81, 0])[..], &[0, 5], &ethertype].concat()),
        (0, family.to_le_bytes().to_vec()),
        (0, family.to_be_bytes().to_vec()),
        (108, family.to_be_bytes().to_vec()),
    ]
}

#[test]
fn every_format_and_every_link_type() {
    for format in FORMATS {
        for ipv6 in [false, true] {
            for (link, before) in links(ipv6) {
                // A short Ethernet frame is padded.
                let frame = [&before[..], &segment(ipv6), &[0; 3]].concat();
                let time = START + 123_456_789;
                let file = [format.header(link), format.frame(time, &frame, usize::MAX)].concat();
                let trace = read(&file[..]).unwrap();
                let told = format!("{format:?}, link type {link}, {before:?}: {:?}", trace.skipped);
                assert_eq!((trace.frames, trace.connections.len(), trace.ending), (1, 1, Ending::Whole), "{told}");
                let seg = &trace.connections[0].segs[0];
                assert_eq!(seg.time_ns, if format.nanoseconds { time } else { time / 1_000 * 1_000 }, "{told}");
                assert_eq!((seg.seq, seg.ack, seg.text, seg.window, seg.sum), (5, 77, 10, 1_000, Sum::Good), "{told}");
                assert_eq!(seg.options.parsed().timestamp, captures::timestamp(7, 9));
                assert_eq!(seg.direction, (link == 113 || link == 276).then_some(Direction::Out), "{told}");
                assert_eq!(trace.connections[0].client.port(), 40_000);
            }
        }
    }
}

#[test]
fn our_own_captures_tell_the_direction_and_keep_their_comments_to_themselves() {
    let mut writer = PcapngWriter::new(Vec::new(), "test", "tun", "").unwrap();
    writer.packet(START + 1, Direction::Out, &segment(false), &["a comment"]).unwrap();
    writer.packet(START + 2, Direction::In, &segment(false), &[]).unwrap();
    let trace = read(&writer.finish().unwrap()[..]).unwrap();
    let directions: Vec<_> = trace.connections[0].segs.iter().map(|seg| (seg.time_ns - START, seg.direction)).collect();
    assert_eq!(directions, [(1, Some(Direction::Out)), (2, Some(Direction::In))]);
}

#[test]
fn clocks_of_any_resolution_and_with_offsets() {
    // Resolution 2^-10 s, one hour later than the steps say; big-endian, where the offset is too.
    for big_endian in [false, true] {
        let format = captures::Format { big_endian, ng: true, nanoseconds: true };
        let mut file = format.header(101);
        let resolution = file.windows(5).rposition(|w| w[..4] == if big_endian { [0, 9, 0, 1] } else { [9, 0, 1, 0] });
        file[resolution.unwrap() + 4] = 0x80 | 10;
        let frame = format.frame(5 << 10 | 512, &segment(false), usize::MAX);
        file.extend(frame);
        let trace = read(&file[..]).unwrap();
        assert_eq!(trace.connections[0].segs[0].time_ns, 5_500_000_000);
    }
}

#[test]
fn what_is_cut_short_is_read_as_far_as_it_goes() {
    // Headers alone: the length of the text is known, its checksum is not.
    for (captured, whole) in [(52, false), (62, true), (61, false)] {
        let file = [PLAIN.header(101), PLAIN.frame(START, &segment(false), captured)].concat();
        let seg = read(&file[..]).unwrap().connections[0].segs[0];
        assert_eq!((seg.text, seg.sum), (10, if whole { Sum::Good } else { Sum::Unknown }), "{captured}");
        assert_eq!(seg.fingerprint != 0, whole);
    }
    for captured in 0..52 {
        let file = [PLAIN.header(101), PLAIN.frame(START, &segment(false), captured)].concat();
        let trace = read(&file[..]).unwrap();
        assert_eq!((trace.connections.len(), trace.skipped.get(&Skipped::CutShort)), (0, Some(&1)), "{captured}");
    }
    // The file: whatever is whole is there.
    for format in FORMATS {
        let header = format.header(101);
        let file = [header.clone(), format.frame(START, &segment(false), 99), format.frame(START, &segment(true), 99)];
        let (first, file) = (header.len() + file[1].len(), file.concat());
        for len in 0..=file.len() {
            match read(&file[..len]) {
                Ok(trace) => {
                    assert_eq!(
                        trace.frames,
                        u64::from(len >= first) + u64::from(len == file.len()),
                        "{format:?} {len}"
                    );
                    let whole = [header.len(), first, file.len()].contains(&len);
                    // An interface description may be missing without anybody noticing.
                    let unnoticed = format.ng && len < header.len();
                    assert!(unnoticed || (trace.ending == Ending::Whole) == whole, "{format:?} {len}");
                }
                Err(CaptureError::Empty) => assert_eq!(len, 0),
                Err(CaptureError::NoHeader | CaptureError::NotACapture) => assert!(len < header.len()),
                Err(error) => panic!("{format:?} {len}: {error}"),
            }
        }
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let said = |file: &[u8]| read(file).unwrap_err().to_string();
    assert!(said(b"").contains("empty"));
    assert!(
        said(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).contains("compressed")
    );
    assert!(
        said(&PLAIN.header(101)[..20]).contains("cut short")
            || said(&PLAIN.header(101)[..20]).contains("not a capture")
    );
    // A frame of an interface that there is not.
    let mut file = [PLAIN.header(101), PLAIN.frame(START, &segment(false), 99)].concat();
    let place = PLAIN.header(101).len() + 8;
    file[place] = 3;
    assert!(said(&file).contains("what follows frame 0"), "{}", said(&file));
    // A block longer than anything that a device takes.
    let long = (MAX_BLOCK as u32 + 4).to_le_bytes();
    let mut file = PLAIN.header(101);
    file.extend([&6_u32.to_le_bytes()[..], &long].concat());
    file.resize(file.len() + MAX_BLOCK, 0);
    assert!(said(&file).contains("octets"), "{}", said(&file));
    // What cannot be read at all.
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    assert!(matches!(capture::read(Broken, |_| {}), Err(CaptureError::Io(_))));
}

#[test]
fn frames_that_are_no_segments_are_counted_by_reason() {
    let mut file = PLAIN.header(1);
    let ethernet = |ethertype: [u8; 2], packet: &[u8]| [&[0; 12][..], &ethertype, packet].concat();
    let mut udp = segment(false);
    udp[9] = 17;
    let mut fragment = segment(false);
    fragment[6] = 0x20;
    let mut options = segment(false);
    options[43] = 0;
    let frames = [
        ethernet([8, 6], &[0; 28]),
        ethernet([8, 0], &udp),
        ethernet([8, 0], &fragment),
        ethernet([8, 0], &segment(false)[..30]),
        ethernet([8, 0], &options),
    ];
    for frame in &frames {
        file.extend(PLAIN.frame(START, frame, usize::MAX));
    }
    let trace = read(&file[..]).unwrap();
    let counts = |why: Skipped| trace.skipped.get(&why).copied().unwrap_or(0);
    assert_eq!([Skipped::NotIp, Skipped::NotTcp, Skipped::Fragment, Skipped::CutShort].map(counts), [1; 4]);
    assert_eq!(counts(Skipped::Malformed(DropReason::TcpOption)), 1);
    assert_eq!((trace.skipped.values().sum::<u64>(), trace.connections.len()), (5, 0), "{:?}", trace.skipped);
    let unknown = [PLAIN.header(147), PLAIN.frame(START, &segment(false), 99)].concat();
    assert_eq!(read(&unknown[..]).unwrap().skipped.get(&Skipped::LinkType(147)), Some(&1));
}

#[test]
fn checksums_that_a_device_would_have_finished_are_no_damage() {
    let state = |change: fn(&mut [u8])| {
        let mut packet = segment(false);
        change(&mut packet);
        let file = [PLAIN.header(101), PLAIN.frame(START, &packet, 99)].concat();
        read(&file[..]).unwrap().connections[0].segs[0].sum
    };
    assert_eq!(state(|_| {}), Sum::Good);
    // The header checksum of IPv4 too.
    assert_eq!(state(|packet| packet[10] ^= 1), Sum::Good);
    assert_eq!(state(|packet| packet[60] ^= 1), Sum::Bad);
    assert_eq!(state(|packet| packet[36..38].fill(0)), Sum::Unfinished);
    let unfinished = |packet: &mut [u8]| {
        let (head, _) = packet[20..].split_at_mut(32);
        glasstcp::wire::tcp::fill_partial_checksum("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), head, 10);
    };
    assert_eq!(state(unfinished), Sum::Unfinished);
}

#[test]
fn a_super_segment_whose_header_cannot_say_its_length() {
    let mut packet = segment(false);
    packet[2..4].fill(0);
    let file = [PLAIN.header(101), PLAIN.frame(START, &packet, 99)].concat();
    assert_eq!(read(&file[..]).unwrap().connections[0].segs[0].text, 10);
}

fn numbers(trace: &Trace, connection: usize) -> Vec<(Side, i64, i64)> {
    trace.connections[connection].segs.iter().map(|seg| (seg.from, seg.at, seg.ack_at)).collect()
}

#[test]
fn numbers_are_relative_and_do_not_wrap() {
    let mut talk = Talk::new();
    talk.iss = [u32::MAX - 5, u32::MAX];
    talk.handshake().says(0, ACK, (1, 1), 100).says(1, ACK, (1, 101), 50);
    // 5 GiB further.
    let mut at = 101_u64;
    while at < 5 << 30 {
        at += 500_000_000;
        talk.says(0, ACK, (at as u32, 51), 10);
    }
    let trace = talk.trace();
    let seen = numbers(&trace, 0);
    assert_eq!(
        seen[..5],
        [
            (Side::Client, 0, 0),
            (Side::Server, 0, 1),
            (Side::Client, 1, 1),
            (Side::Client, 1, 1),
            (Side::Server, 1, 101)
        ]
    );
    assert_eq!(seen.last().unwrap().1, at as i64);
    assert_eq!(trace.connections[0].text(Side::Server), 50);
}

#[test]
fn without_a_handshake_numbers_begin_at_one() {
    let mut talk = Talk::new();
    talk.says(1, ACK, (700, 900), 10).says(0, ACK, (900, 710), 5);
    let trace = talk.trace();
    assert_eq!(numbers(&trace, 0), [(Side::Server, 1, 1), (Side::Client, 1, 11)]);
    let connection = &trace.connections[0];
    assert_eq!((connection.client, connection.server), (CLIENT.parse().unwrap(), SERVER.parse().unwrap()));
    assert_eq!(connection.shift(Side::Client), None);
}

#[test]
fn a_new_syn_begins_a_new_connection() {
    // After the end, at once; another end may open it.
    let mut talk = Talk::new();
    talk.handshake().says(0, ACK | Flags::FIN, (1, 1), 0).says(1, ACK | Flags::FIN, (1, 2), 0).says(0, ACK, (2, 2), 0);
    talk.iss = [9_000_000, 4];
    talk.says(1, Flags::SYN, (0, 0), 0).says(0, Flags::SYN | ACK, (0, 1), 0);
    let trace = talk.trace();
    assert_eq!([trace.connections[0].segs.len(), trace.connections[1].segs.len()], [6, 2]);
    assert_eq!(trace.connections[1].client, SERVER.parse().unwrap());
    // A SYN again, and a SYN,ACK again, are no news.
    let mut talk = Talk::new();
    talk.says(0, Flags::SYN, (0, 0), 0).handshake().says(1, Flags::SYN | ACK, (0, 1), 0);
    assert_eq!(talk.trace().connections.len(), 1);
    // One that somebody forged into it stays, unless it is answered by a SYN,ACK.
    let mut talk = Talk::new();
    talk.handshake();
    talk.iss[0] = 77_000;
    talk.says(0, Flags::SYN, (0, 0), 0);
    assert_eq!(talk.trace().connections.len(), 1);
    talk.iss[1] = 88_000;
    talk.says(1, Flags::SYN | ACK, (0, 1), 0).says(0, ACK, (1, 1), 3);
    let trace = talk.trace();
    assert_eq!([trace.connections[0].segs.len(), trace.connections[1].segs.len()], [3, 3]);
    assert_eq!(numbers(&trace, 1), [(Side::Client, 0, 0), (Side::Server, 0, 1), (Side::Client, 1, 1)]);
}

#[test]
fn both_may_open() {
    let mut talk = Talk::new();
    talk.says(0, Flags::SYN, (0, 0), 0).says(1, Flags::SYN, (0, 0), 0);
    talk.says(0, Flags::SYN | ACK, (0, 1), 0).says(1, Flags::SYN | ACK, (0, 1), 0);
    let trace = talk.trace();
    assert_eq!((trace.connections.len(), trace.connections[0].base(Side::Server)), (1, Some(50_000)));
    assert_eq!(numbers(&trace, 0)[3], (Side::Server, 0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a file has become, reading it ends, and never in a panic.
    #[test]
    fn damaged_files(
        format in 0..FORMATS.len(),
        link in prop::sample::select(vec![0_u16, 1, 101, 108, 113, 228, 276]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let format = FORMATS[format];
        let mut file = format.header(link);
        for (ipv6, captured) in [(false, 99), (true, 99), (false, 57), (true, 33)] {
            for (_, before) in links(ipv6).into_iter().filter(|(kind, _)| *kind == link) {
                file.extend(format.frame(START, &[&before[..], &segment(ipv6)].concat(), before.len() + captured));
            }
        }
        for (place, octet) in damage {
            let place = place.index(file.len());
            file[place] = octet;
        }
        file.truncate(cut.index(file.len() * 2).min(file.len()));
        if let Ok(trace) = read(&file[..]) {
            let segments: u64 = trace.connections.iter().map(|connection| connection.segs.len() as u64).sum();
            prop_assert_eq!(segments + trace.skipped.values().sum::<u64>(), trace.frames);
        }
    }

    #[test]
    fn any_octets(file in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&file[..]);
    }
}
