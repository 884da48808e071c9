//! Options, headers, initial sequence numbers and segment sizes, through the whole stack.

use crate::kit::{fix_checksums, give, portrait, with_area};
use glasstcp::config::Config;
use glasstcp::counters::DropReason;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{Stack, TcpHandle};
use glasstcp::tcp::state::State;
use glasstcp::time::Instant;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{self, Flags, TcpHeader};
use glasstcp::wire::{parse_ip, protocol};
use std::net::Shutdown;
use std::time::Duration;

const V6: (&str, &str) = ("[fd00:67::2]:80", "[fd00:67::1]:40000");

/// Delivers a SYN with this option area and returns the SYN-ACK, if there is one.
fn syn_with(script: &mut Script, area: &[u8]) -> Option<Sent> {
    if script.stack.listener_at(script.local).is_none() {
        script.listen();
    }
    let packet = with_area(script, &script.header(Flags::SYN), area, &[]);
    give(script, &packet);
    let syn_ack = script.sent().pop()?;
    script.seq = script.seq.wrapping_add(1);
    script.ack = syn_ack.header.seq.wrapping_add(1);
    Some(syn_ack)
}

/// The rest of the handshake.
fn third(script: &mut Script) -> TcpHandle {
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    let listener = script.stack.listener_at(script.local).unwrap();
    script.stack.tcp_accept(listener).unwrap().0
}

/// The segment size that the stack uses after a SYN with this option area.
fn mss_after(area: &[u8]) -> u16 {
    let mut script = Script::new();
    syn_with(&mut script, area).expect("a SYN-ACK");
    let handle = third(&mut script);
    script.stack.tcp_snapshot(handle).unwrap().send_mss
}

/// The option bytes of a packet.
fn area_of(packet: &[u8]) -> Vec<u8> {
    let segment = parse_ip(packet).unwrap().payload;
    segment[20..usize::from(segment[12] >> 4) * 4].to_vec()
}

/// The kinds in an option area, which must be well formed; the end of the list must be followed by zeros alone.
fn kinds(area: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < area.len() {
        match area[at] {
            0 => {
                assert!(area[at..].iter().all(|&octet| octet == 0), "zeros after the end of the list: {area:?}");
                break;
            }
            1 => at += 1,
            kind => {
                let len = usize::from(area[at + 1]);
                assert!(len >= 2 && at + len <= area.len(), "the length of option {kind} in {area:?}");
                found.push(kind);
                at += len;
            }
        }
    }
    found
}

/// 9293-MUST-4, pitfall 12: NOP before, between and after, and an early end of the list.
#[test]
fn the_three_mandatory_options() {
    for area in [
        &[2, 4, 2, 88][..],
        &[1, 2, 4, 2, 88],
        &[1, 1, 1, 1, 1, 2, 4, 2, 88, 1, 1, 1],
        &[2, 4, 2, 88, 0, 0, 0, 0],
        // What follows the end of the list is no option.
        &[2, 4, 2, 88, 0, 2, 4, 9],
    ] {
        assert_eq!(mss_after(area), 600, "{area:?}");
    }
    assert_eq!(mss_after(&[0, 0, 2, 4, 2, 88]), 536, "nothing counts after the end of the list");
    assert_eq!(mss_after(&[]), 536);
}

/// 9293-MUST-5, 9293-MUST-6, pitfall 12: options on any segment, unknown ones too, change nothing but what they mean.
#[test]
fn options_on_any_segment() {
    let unknown = [1, 1, 254, 6, 0xAA, 0xBB, 0xCC, 0xDD, 77, 2, 1];
    let mut script = Script::new();
    let handle = script.accept();
    let data = with_area(&script, &script.header(Flags::ACK), &unknown, b"hello");
    assert_eq!(give(&mut script, &data), None);
    script.seq += 5;
    assert_eq!(script.sent_one().header.ack, script.seq);
    assert_eq!(script.receive(handle), b"hello");
    let fin = with_area(&script, &script.header(Flags::ACK | Flags::FIN), &unknown, &[]);
    assert_eq!(give(&mut script, &fin), None);
    script.seq += 1;
    assert_eq!(script.sent_one().header.ack, script.seq);
    assert_eq!(script.stack.tcp_state(handle), Some(State::CloseWait));
    let rst = with_area(&script, &script.header(Flags::RST), &unknown, &[]);
    assert_eq!(give(&mut script, &rst), None);
    assert_eq!(script.stack.tcp_state(handle), Some(State::Closed));

    // A segment full of options, 40 octets of them.
    let mut script = Script::new();
    let handle = script.accept();
    let data =
        with_area(&script, &script.header(Flags::ACK), &[[253, 20].as_slice(), &[9; 18]].concat().repeat(2), b"x");
    assert_eq!(give(&mut script, &data), None);
    assert_eq!(script.receive(handle), b"x");
}

/// 9293-MUST-6, 9293-MUST-68, pitfall 12: unknown kinds are stepped over by their length, whatever their value.
#[test]
fn every_unknown_kind_is_skipped() {
    let known = [2, 3, 4, 5, 8];
    let mut script = Script::with(|config| config.tcp.max_half_open = 10_000);
    script.listen_with(10_000, Default::default());
    for kind in (3..=255).filter(|kind| !known.contains(kind)) {
        for len in [2, 3, 7, 30] {
            let mut area = vec![kind, len];
            area.resize(usize::from(len), 0xFF);
            area.extend_from_slice(&[2, 4, 2, 88, 4, 2]);
            let port = script.peer.port();
            script.peer.set_port(port + 1);
            let syn_ack = syn_with(&mut script, &area).unwrap_or_else(|| panic!("kind {kind} of length {len}"));
            assert!(syn_ack.header.options.sack_permitted, "kind {kind} of length {len}");
        }
    }
    assert_eq!(mss_after(&[99, 3, 0, 2, 4, 2, 88]), 600);
}

/// 9293-MUST-7, pitfall 12: an impossible length ends the segment, counted, and nothing else.
#[test]
fn impossible_lengths() {
    // A kind in the last octet has none: the list ends there.
    let mut script = Script::new();
    assert!(syn_with(&mut script, &[1, 1, 1, 2]).is_some());
    let bad: [&[u8]; 7] = [
        &[2, 0, 2, 88],
        &[2, 1, 2, 88],
        &[2, 5, 2, 88],
        &[254, 0, 0, 0],
        &[254, 1, 0, 0],
        &[254, 255, 0, 0],
        &[1, 1, 8, 11, 0, 0, 0, 1, 0, 0, 0, 2],
    ];
    for area in bad {
        let mut script = Script::new();
        assert_eq!(syn_with(&mut script, area), None, "{area:?}");
        assert_eq!(script.stack.counters().dropped(DropReason::TcpOption), 1, "{area:?}");
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));

        let handle = script.accept();
        let before = portrait(&script, handle);
        for flags in [Flags::ACK, Flags::ACK | Flags::FIN, Flags::RST, Flags::SYN] {
            let packet = with_area(&script, &script.header(flags), area, b"");
            assert_eq!(give(&mut script, &packet), Some(DropReason::TcpOption), "{area:?}");
        }
        script.silence();
        assert_eq!(portrait(&script, handle), before);
        script.peer_sends(b"still here");
        assert_eq!(script.receive(handle), b"still here");
    }
}

/// 9293-MUST-64, pitfall 12: options begin at any octet.
#[test]
fn options_at_every_offset() {
    for offset in 0..=15 {
        let mut area = vec![1; offset];
        area.extend_from_slice(&[8, 10, 0, 0, 3, 232, 0, 0, 0, 0]);
        area.extend_from_slice(&[4, 2, 3, 3, 7, 1, 2, 4, 2, 88]);
        area.resize(40, 0);
        let mut script = Script::new();
        let syn_ack = syn_with(&mut script, &area).expect("a SYN-ACK");
        let options = syn_ack.header.options;
        assert!(options.sack_permitted && options.window_scale.is_some(), "{offset}");
        assert_eq!(options.timestamp.unwrap().echo, 1_000, "{offset}");
        script.timestamp = Some(1_001);
        let handle = third(&mut script);
        let snapshot = script.stack.tcp_snapshot(handle).unwrap();
        assert_eq!((snapshot.send_mss, snapshot.window_shift.unwrap().0), (600, 7), "{offset}");
    }
}

/// What a connection sends in its life, all options agreed on or none: SYN-ACK or SYN, ACKs, data, FIN, RST, probe.
fn every_kind(script: &mut Script, options: TcpOptions, active: bool) -> Vec<Sent> {
    let mut all = Vec::new();
    let handle = if active {
        let (handle, syn) = script.connect();
        all.push(syn);
        let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
        script.seq = script.seq.wrapping_add(1);
        script.timestamp = options.timestamp.map(|timestamp| timestamp.value);
        all.extend(script.inject(&header, &[]));
        handle
    } else {
        script.listen();
        all.extend(script.peer_syn(options));
        third(script)
    };
    all.extend(script.send(handle, &[7; 3_000]));
    all.extend(script.peer_sends(b"abc"));
    // Out of order, so that SACK blocks leave where they are agreed on.
    script.seq += 10;
    all.extend(script.peer_sends(b"gap"));
    script.seq -= 13;
    all.extend(script.peer_sends(&[0; 10]));
    script.seq += 3;
    let end = script.ack.wrapping_add(3_000);
    script.window = 0;
    all.extend(script.peer_acks(end));
    all.extend(script.send(handle, b"beyond the window"));
    all.extend(script.pass(Duration::from_secs(3)));
    script.window = 60_000;
    all.extend(script.peer_acks(end));
    let now = script.now;
    script.stack.tcp_shutdown(now, handle, Shutdown::Write).unwrap();
    all.extend(script.sent());
    script.stack.tcp_abort(now, handle);
    all.extend(script.sent());
    // And the answer to a stranger.
    script.peer.set_port(1);
    let stray = script.header(Flags::ACK);
    all.extend(script.inject(&stray, &[]));
    all
}

/// 9293-MUST-2, 9293-3.1-1, 9293-MUST-14, 9293-MUST-65, 9293-MUST-68, 9293-MUST-69, 9293-MAY-3, 2018-2,
/// 1122-3.2.1.3-1: every kind of segment, over both families.
#[test]
fn what_leaves_is_well_formed() {
    let full = TcpOptions {
        mss: Some(1_400),
        window_scale: Some(3),
        sack_permitted: true,
        timestamp: Some(Timestamp { value: 77, echo: 0 }),
        ..TcpOptions::default()
    };
    let mut seen = Flags::default();
    for options in [TcpOptions::default(), full, TcpOptions { timestamp: None, ..full }] {
        for active in [false, true] {
            for (local, peer) in [("10.0.0.2:80", "10.0.0.1:40000"), V6] {
                let mut script = Script::on(local, peer, |config| config.mtu = 1_280);
                let all = every_kind(&mut script, options, active);
                assert!(all.len() > 10, "{all:#?}");
                for sent in &all {
                    seen |= sent.flags();
                    let ip = parse_ip(&sent.packet).unwrap();
                    assert_eq!(ip.source, script.local.ip());
                    // The header checksum was right, or this would not parse; here is that of TCP.
                    assert!(tcp::checksum_ok(ip.source, ip.destination, ip.payload));
                    assert_eq!(ip.payload[12] & 0x0F, 0, "reserved bits");
                    let found = kinds(&area_of(&sent.packet));
                    let syn = sent.flags().contains(Flags::SYN);
                    assert_eq!(found.contains(&2), syn, "an MSS option on each SYN and nowhere else: {sent:?}");
                    assert!(syn || !found.contains(&3) && !found.contains(&4));
                    // 2018-2: our SYN permits SACK; our SYN-ACK only where the peer's SYN has.
                    let permits = syn && (active || options.sack_permitted);
                    assert_eq!(found.contains(&4), permits, "{sent:?}");
                    assert!(sent.packet.len() <= 1_280);
                }
            }
        }
    }
    for flags in [Flags::SYN, Flags::ACK, Flags::PSH, Flags::FIN, Flags::RST] {
        assert!(seen.contains(flags), "{flags} was among them");
    }
}

/// 9293-MUST-3, pitfall 36: one wrong bit anywhere and the segment does not exist.
#[test]
fn a_wrong_checksum_is_acted_on_by_nobody() {
    for (local, peer) in [("10.0.0.2:80", "10.0.0.1:40000"), V6] {
        let mut script = Script::on(local, peer, |_| {});
        let handle = script.accept();
        let before = portrait(&script, handle);
        let header =
            TcpHeader { options: TcpOptions { mss: Some(5), ..TcpOptions::default() }, ..script.header(Flags::ACK) };
        let good = script.packet(&header, b"payload!");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let reason = give(&mut script, &bad);
            // The IPv6 header has parts that no checksum covers: traffic class, flow label, hop limit.
            let uncovered = local == V6.0 && (bit / 8 < 4 || bit / 8 == 7);
            if uncovered && reason.is_none_or(|reason| reason == DropReason::TcpOutOfWindow) {
                script.sent();
                continue;
            }
            assert!(reason.is_some(), "bit {bit}");
            assert!(script.sent().iter().all(|sent| !sent.flags().contains(Flags::ACK)), "bit {bit}");
        }
        if local != V6.0 {
            assert_eq!(portrait(&script, handle), before);
            script.silence();
        }
        assert!(script.stack.counters().dropped(DropReason::TcpChecksum) > 0);
        give(&mut script, &good);
        assert_eq!(script.receive(handle), b"payload!");
    }
}

/// 9293-3.1-1: reserved bits that a peer sets change nothing.
#[test]
fn reserved_bits_are_ignored() {
    for bits in 1..16 {
        let mut script = Script::new();
        script.listen();
        let mut packets = Vec::new();
        let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
        let mut set = |script: &mut Script, header: &TcpHeader, text: &[u8]| {
            let mut packet = script.packet(header, text);
            packet[32] |= bits;
            fix_checksums(&mut packet);
            assert_eq!(give(script, &packet), None);
            packets.extend(script.sent());
            packets.last().map(|sent: &Sent| sent.header.seq)
        };
        let syn = TcpHeader { options, ..script.header(Flags::SYN) };
        script.ack = set(&mut script, &syn, &[]).unwrap().wrapping_add(1);
        script.seq += 1;
        let ack = script.header(Flags::ACK);
        set(&mut script, &ack, b"text");
        let listener = script.stack.listener_at(script.local).unwrap();
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(script.receive(handle), b"text");
        assert!(packets.iter().all(|sent| sent.packet[32] & 0x0F == 0));
    }
}

/// 9293-3.1-2: a data offset below the header or beyond the segment is a counted drop.
#[test]
fn data_offsets_out_of_range() {
    let mut script = Script::new();
    let handle = script.accept();
    let before = portrait(&script, handle);
    for offset in (0..5_u8).chain(8..16) {
        let mut packet = script.packet(&script.header(Flags::ACK), b"12345678");
        packet[32] = offset << 4;
        fix_checksums(&mut packet);
        assert_eq!(give(&mut script, &packet), Some(DropReason::TcpHeader), "{offset}");
    }
    script.silence();
    assert_eq!(portrait(&script, handle), before);
}

/// 9293-MUST-1: 0x8000 and above is a large window.
#[test]
fn windows_are_unsigned() {
    for window in [0x7FFF, 0x8000, 0xFFFF_u16] {
        let mut script = Script::new();
        script.window = window;
        let handle = script.accept();
        assert_eq!(script.stack.tcp_snapshot(handle).unwrap().snd_wnd, u32::from(window));
        let data = vec![1; 100_000];
        script.stack.tcp_send(script.now, handle, &data).unwrap();
        let (mut sent, first) = (0, script.ack);
        // The window stays where it was while everything is acknowledged; what leaves never goes past it.
        for _ in 0..200 {
            for segment in script.sent() {
                sent += segment.text.len();
                assert!(segment.header.seq.wrapping_add(segment.text.len() as u32) <= script.ack + u32::from(window));
            }
            let ack = first + sent as u32;
            script.ack = ack;
            let header = script.header(Flags::ACK);
            script.deliver(&header, &[]);
        }
        assert_eq!(sent, data.len());
    }
    // All of it at once, where the congestion window has grown beyond it.
    let mut script = Script::new();
    let handle = script.accept();
    script.stack.tcp_send(script.now, handle, &vec![1; 900_000]).unwrap();
    let mut largest = 0;
    for _ in 0..30 {
        let sent = script.sent();
        let octets: usize = sent.iter().map(|segment| segment.text.len()).sum();
        largest = largest.max(octets);
        let Some(last) = sent.last() else { break };
        script.ack = last.header.seq + last.text.len() as u32;
        let header = script.header(Flags::ACK);
        script.deliver(&header, &[]);
    }
    assert!((64_000..=65_535).contains(&largest), "{largest}");
}

/// 9293-MUST-8, 9293-SHLD-1, pitfall 18: the same four-tuple opened twice, one second apart.
#[test]
fn initial_sequence_numbers_follow_the_clock() {
    let mut script = Script::new();
    let mut isn = |wait| {
        script.pass(wait);
        let (handle, syn) = script.connect();
        script.stack.tcp_abort(script.now, handle);
        script.stack.tcp_close(script.now, handle);
        syn.header.seq
    };
    let (first, second) = (isn(Duration::ZERO), isn(Duration::from_secs(1)));
    let third = isn(Duration::from_secs(20_000));
    assert_eq!(second.wrapping_sub(first), 250_000);
    assert_eq!(third.wrapping_sub(second), (250_000_u64 * 20_000) as u32, "modulo 2^32");
}

/// 9293-MUST-9, 6528-3, pitfall 18: numbers depend on a secret, the secret on the generator: that of the operating system
/// in production, the seed alone in a simulation.
#[test]
fn initial_sequence_numbers_depend_on_a_secret() {
    let isn = |rng: KeyedRng| {
        let config = Config::new(&["10.0.0.2/24".parse().unwrap()]);
        let now = Instant::from_secs(1_000);
        let mut stack = Stack::new(config, rng, now).unwrap();
        let local = "10.0.0.2:80".parse().unwrap();
        stack.tcp_connect(now, Some(local), "10.0.0.1:9".parse().unwrap(), Default::default()).unwrap();
        let mut seq = None;
        stack.transmit(now, 10, |transmit| {
            let packet = transmit.to_vec();
            let ip = parse_ip(&packet).unwrap();
            assert_eq!(ip.protocol, protocol::TCP);
            seq = Some(tcp::parse(ip.payload).unwrap().0.seq);
            Ok(())
        });
        seq.unwrap()
    };
    let seeded: Vec<u32> = (0..50).map(|seed| isn(KeyedRng::from_seed(seed))).collect();
    let mut distinct = seeded.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 50);
    assert_eq!(isn(KeyedRng::from_seed(7)), seeded[7]);
    assert_ne!(isn(KeyedRng::from_system().unwrap()), isn(KeyedRng::from_system().unwrap()));
}

/// The sizes of the segments in which a peer with this MSS option gets a long text.
fn sizes(script: &mut Script, peer: TcpOptions) -> Vec<usize> {
    let handle = script.accept_with(peer);
    let mut sizes = Vec::new();
    // Two odd lengths, so that a short tail shows as well.
    for len in [10_007, 1_001] {
        script.stack.tcp_send(script.now, handle, &vec![1; len]).unwrap();
        let until = script.ack.wrapping_add(len as u32);
        for _ in 0..100 {
            for segment in script.sent() {
                sizes.push(segment.text.len());
                script.ack = segment.header.seq.wrapping_add(segment.text.len() as u32);
                assert!(segment.packet.len() <= script.stack.config().mtu);
            }
            if script.ack == until {
                break;
            }
            let header = script.header(Flags::ACK);
            script.deliver(&header, &[]);
        }
        assert_eq!(script.ack, until, "everything leaves");
        let header = script.header(Flags::ACK);
        script.deliver(&header, &[]);
    }
    sizes
}

/// 9293-MUST-14, 9293-MUST-15, 9293-MUST-16, 6691-2, pitfall 13: three limits, one name, and options come off the data.
#[test]
fn no_segment_is_larger_than_the_peer_and_the_path_take() {
    let timestamp = Some(Timestamp { value: 5, echo: 0 });
    let cases = [
        // MTU, the peer's MSS, timestamps, largest payload over IPv4 and over IPv6.
        (1_500, None, None, 536, 1_220),
        (1_500, None, timestamp, 524, 1_208),
        (1_500, Some(500), None, 500, 500),
        (1_500, Some(500), timestamp, 488, 488),
        (1_500, Some(9_000), None, 1_460, 1_440),
        (1_500, Some(9_000), timestamp, 1_448, 1_428),
        (1_280, Some(1_460), timestamp, 1_228, 1_208),
        (9_000, Some(8_960), None, 8_960, 8_940),
        (9_000, Some(65_535), timestamp, 8_948, 8_928),
    ];
    for (mtu, mss, timestamp, v4, v6) in cases {
        for (ends, expected) in [(("10.0.0.2:80", "10.0.0.1:40000"), v4), (V6, v6)] {
            let mut script = Script::on(ends.0, ends.1, |config| config.mtu = mtu);
            let sizes = sizes(&mut script, TcpOptions { mss, timestamp, ..TcpOptions::default() });
            let largest = *sizes.iter().max().unwrap();
            assert_eq!(largest, expected, "MTU {mtu}, MSS {mss:?}, {timestamp:?}: {sizes:?}");
        }
    }
}

/// 9293-MUST-67, 9293-SHLD-5, 9293-MUST-14, 6691-2, pitfall 13: SYN and SYN-ACK announce what the link takes, options not
/// subtracted.
#[test]
fn the_announced_mss() {
    for (mtu, v4, v6) in [(1_500, 1_460, 1_440), (1_280, 1_240, 1_220), (9_000, 8_960, 8_940), (65_535, 65_495, 65_475)]
    {
        for (ends, expected) in [(("10.0.0.2:80", "10.0.0.1:40000"), v4), (V6, v6)] {
            let mut script = Script::on(ends.0, ends.1, |config| config.mtu = mtu);
            let (_, syn) = script.connect();
            assert_eq!(syn.header.options.mss, Some(expected));
            assert!(syn.header.options.timestamp.is_some());
            let mut script = Script::on(ends.0, ends.1, |config| config.mtu = mtu);
            script.listen();
            let options = TcpOptions { mss: Some(100), timestamp: Some(Timestamp::default()), ..TcpOptions::default() };
            assert_eq!(script.peer_syn(options)[0].header.options.mss, Some(expected));
        }
    }
}

/// 1122-3.3.3: TCP never asks for a fragment: every packet fits the link and says so.
#[test]
fn tcp_never_fragments() {
    let mut script = Script::with(|config| config.mtu = 1_280);
    let sizes = sizes(&mut script, TcpOptions { mss: Some(60_000), ..TcpOptions::default() });
    assert_eq!(sizes.iter().max(), Some(&1_240));
    let handle = another(&mut script);
    for sent in script.send(handle, &[0; 5_000]) {
        assert_eq!(sent.packet[6] & 0x40, 0x40, "don't fragment");
        assert!(sent.packet.len() <= 1_280);
    }
}

/// One more connection, from the next port.
fn another(script: &mut Script) -> TcpHandle {
    script.peer.set_port(script.peer.port() + 1);
    script.seq = 5_000;
    script.accept()
}
