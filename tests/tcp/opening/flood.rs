//! Floods of SYNs: half-open records, cookies, and what they leave for honest peers (RFC 4987).

use crate::kit::give;
use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::script::packet;
use glasstcp::sim::{Script, Side, World};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::tcp::{connection::Connection, half_open::HalfOpen, segment::Segment, time_wait::TimeWait};
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The peer's next sequence number and this many more.
fn at(script: &Script, offset: i64, flags: Flags) -> TcpHeader {
    TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(flags) }
}

/// 4987-3.5: what a SYN costs is small, and so is what is left of a connection.
#[test]
fn records_are_small() {
    assert!(size_of::<Connection>() <= 512, "{}", size_of::<Connection>());
    assert!(size_of::<HalfOpen>() <= 96, "{}", size_of::<HalfOpen>());
    assert!(size_of::<TimeWait>() <= 64, "{}", size_of::<TimeWait>());
    // With the option of Accurate ECN; one is made for each packet, and none is kept.
    assert!(size_of::<Segment<'_>>() <= 176, "{}", size_of::<Segment<'_>>());
}

/// A SYN from nowhere.
fn spoofed(number: u32, destination: SocketAddr) -> Vec<u8> {
    let options = TcpOptions { mss: Some(1_460), window_scale: Some(7), sack_permitted: true, ..TcpOptions::default() };
    let header = TcpHeader {
        source_port: 1_024 + (number % 60_000) as u16,
        destination_port: destination.port(),
        seq: number.wrapping_mul(2_654_435_761),
        flags: Flags::SYN,
        window: 65_535,
        options,
        ..TcpHeader::default()
    };
    packet(IpAddr::from([198, 18, (number >> 8) as u8, number as u8]), destination.ip(), &header, &[])
}

/// 4987-3.2, 4987-3.6, 4987-3.6-2, pitfall 40: 100,000 spoofed SYNs. Memory is bounded, an established flow undisturbed,
/// and honest clients get in through cookies, with their options.
#[test]
fn a_flood_of_syns() {
    let mut world = World::plain(Impairment::perfect().delay(Duration::from_millis(5)), 40);
    let service: SocketAddr = "10.0.0.2:80".parse().unwrap();
    let listener = world.stack(Side::B).tcp_listen(service, 64, SocketOptions::default()).unwrap();
    let connect = |world: &mut World| {
        let now = world.now();
        world.stack(Side::A).tcp_connect(now, None, service, SocketOptions::default()).unwrap()
    };
    let old = connect(&mut world);
    world.run(Duration::from_millis(50));
    let (old_server, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
    let mut honest = Vec::new();
    let (mut sent, mut received) = (0_u32, 0_u32);
    for step in 0..10_000_u32 {
        for number in 0..10 {
            let packet = spoofed(step * 10 + number, service);
            let now = world.now();
            world.stack(Side::B).handle_packet(now, &packet, &RxMeta::plain(packet.len()));
        }
        let now = world.now();
        if step % 10 == 0 {
            let pattern: Vec<u8> = (sent..sent + 1_000).map(|n| (n % 251) as u8).collect();
            sent += world.stack(Side::A).tcp_send(now, old, &pattern).unwrap() as u32;
        }
        if step % 500 == 250 {
            honest.push(connect(&mut world));
        }
        world.run(Duration::from_millis(1));
        let mut buffer = [0; 4_096];
        while let Ok(read) = world.stack(Side::B).tcp_receive(now, old_server, &mut buffer) {
            for &octet in &buffer[..read] {
                assert_eq!(octet, (received % 251) as u8);
                received += 1;
            }
        }
        let (half_open, connections, time_wait) = world.stack(Side::B).table_sizes();
        assert!(half_open <= 64 && connections as usize <= 1 + honest.len() && time_wait == 0);
        assert!(world.stack(Side::B).buffer_memory() < 1 << 20);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(received + world.stack(Side::B).tcp_snapshot(old_server).unwrap().unread, sent);
    let counters = world.stack(Side::A).counters();
    assert_eq!(counters.retransmits, 0, "the flow and the handshakes were not disturbed");
    let counters = world.stack(Side::B).counters();
    assert!(counters.cookies_sent > 99_000 && counters.cookies_valid >= honest.len() as u64 - 1, "{counters:?}");
    for client in honest {
        assert_eq!(world.stack(Side::A).tcp_state(client), Some(State::Established));
        let (server, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
        let ours = world.stack(Side::B).tcp_snapshot(server).unwrap();
        let theirs = world.stack(Side::A).tcp_snapshot(client).unwrap();
        assert_eq!((ours.timestamps, ours.sack), (theirs.timestamps, theirs.sack));
        let (their_shift, our_shift) = ours.window_shift.unwrap();
        assert_eq!(theirs.window_shift, Some((our_shift, their_shift)));
        let now = world.now();
        world.stack(Side::A).tcp_send(now, client, b"ping").unwrap();
        world.run(Duration::from_millis(100));
        assert_eq!(world.stack(Side::B).tcp_receive(now, server, &mut [0; 9]), Ok(4));
    }
    world.run(Duration::from_secs(130));
    assert_eq!(world.stack(Side::B).table_sizes().0, 0, "the records of the flood are gone");
}

/// 4987-3.2: the bound in all, over several listeners, and without cookies a drop.
#[test]
fn half_open_records_are_bounded_in_all() {
    let mut script = Script::with(|config| (config.tcp.max_half_open, config.tcp.syn_cookies) = (100, false));
    for port in [80, 81, 82] {
        let local = SocketAddr::new(script.local.ip(), port);
        script.stack.tcp_listen(local, 60, SocketOptions::default()).unwrap();
    }
    let mut answers = 0;
    for number in 0..3_000 {
        let packet = spoofed(number, SocketAddr::new(script.local.ip(), 80 + (number % 3) as u16));
        give(&mut script, &packet);
        answers += script.sent().len();
    }
    assert_eq!((answers, script.stack.table_sizes().0), (100, 100));
    assert_eq!(script.stack.counters().dropped(DropReason::TcpSynQueueFull), 2_900);
    let per_listener: Vec<u32> = script.stack.tcp_listeners().map(|(_, half_open, _)| half_open).collect();
    assert!(per_listener.iter().all(|&half_open| half_open <= 60));
}

/// 4987-3.6: a cookie remembers no text. What follows a first segment that was lost draws no RST, and the connection comes
/// about when the peer sends it again. (Found by tests/model.)
#[test]
fn text_behind_a_lost_answer_to_a_cookie() {
    let mut script = Script::new();
    let listener = script.listen_with(1, SocketOptions::default());
    for number in 0..2 {
        let packet = spoofed(number, script.local);
        give(&mut script, &packet);
    }
    script.sent();
    script.peer_syn(TcpOptions { mss: Some(1_000), ..TcpOptions::default() });
    let fin = TcpHeader { seq: script.seq.wrapping_add(1), ..script.header(Flags::FIN | Flags::ACK) };
    assert_eq!(script.inject(&fin, &[]), [], "behind one octet of text that is missing");
    script.peer_sends(b"a");
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    script.peer_closes();
    assert_eq!(script.receive(handle), b"a");
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0));
}

/// 4987-3.6, pitfall 40: forged and stale answers to cookies draw a RST and make no connection.
#[test]
fn forged_cookies() {
    let mut script = Script::new();
    let listener = script.listen_with(1, SocketOptions::default());
    for number in 0..2 {
        let packet = spoofed(number, script.local);
        give(&mut script, &packet);
    }
    script.sent();
    let options =
        TcpOptions { mss: Some(1_000), timestamp: Some(Timestamp { value: 5, echo: 0 }), ..TcpOptions::default() };
    assert_eq!(script.peer_syn(options).len(), 1);
    assert_eq!(script.stack.table_sizes().0, 1, "a cookie takes no memory");
    for wrong in [1, 1 << 24, 1 << 27, 0x8000_0000, u32::MAX] {
        let forged = TcpHeader { ack: script.ack.wrapping_add(wrong), ..script.header(Flags::ACK) };
        let answers = script.inject(&forged, &[]);
        assert_eq!((answers[0].flags(), answers[0].header.seq), (Flags::RST, forged.ack));
        let other_irs = at(&script, i64::from(wrong), Flags::ACK);
        assert_eq!(script.inject(&other_irs, &[])[0].flags(), Flags::RST);
    }
    assert_eq!(script.stack.counters().dropped(DropReason::TcpBadCookie), 10);
    script.pass(Duration::from_secs(129));
    let stale = script.header(Flags::ACK);
    assert_eq!(script.inject(&stale, &[])[0].flags(), Flags::RST);
    assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::WouldBlock));
    assert_eq!(script.stack.table_sizes().1, 0);
}
