//! Attacks: forged RSTs, SYNs, ACKs and ICMP errors, floods, and addresses that no honest peer has.

mod kit;

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::script::packet;
use glasstcp::sim::{Script, Side, World};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::state::State;
use glasstcp::tcp::{connection::Connection, half_open::HalfOpen, segment::Segment, time_wait::TimeWait};
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::parse_ip;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use kit::fragment::Cut;
use kit::{SYNCHRONIZED, fix_checksums, give, icmp_error, icmp_message, portrait, reach, reach_with};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The peer's next sequence number and this many more.
fn at(script: &Script, offset: i64, flags: Flags) -> TcpHeader {
    TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(flags) }
}

/// Starts the peer's numbers where they will wrap.
fn wrapping() -> Script {
    let mut script = Script::new();
    script.seq = u32::MAX - 1;
    script
}

/// 9293-3.10.7.4-10, 9293-3.10.7.4-11, 9293-3.10.7.4-12, pitfall 4: outside the window nothing, inside a challenge, and
/// only exactly at RCV.NXT the end.
#[test]
fn a_reset_must_be_exact() {
    for state in SYNCHRONIZED.into_iter().filter(|&state| state != State::TimeWait) {
        for flags in [Flags::RST, Flags::RST | Flags::ACK] {
            let (mut script, handle) = reach_with(state, wrapping());
            let window = i64::from(script.stack.tcp_snapshot(handle).unwrap().rcv_wnd);
            let before = portrait(&script, handle);
            for outside in [-1, window, window + 1, 1 << 31, -1_000_000] {
                let rst = at(&script, outside, flags);
                assert!(script.inject(&rst, &[]).is_empty(), "{state}, {outside}");
            }
            for inside in [1, window - 1] {
                let rst = at(&script, inside, flags);
                let answers = script.inject(&rst, &[]);
                assert_eq!(answers.len(), 1, "{state}, {inside}");
                let answer = answers[0].header;
                let nxt = script.stack.tcp_connection(handle).unwrap().snd.nxt.0;
                assert_eq!((answer.flags, answer.seq, answer.ack), (Flags::ACK, nxt, script.seq), "{state}");
            }
            let alive = |text: String| text.split("statistics").next().unwrap().to_string();
            assert_eq!(alive(portrait(&script, handle)), alive(before));
            let rst = at(&script, 0, flags);
            assert!(script.inject(&rst, &[]).is_empty());
            assert_eq!(script.stack.tcp_state(handle), Some(State::Closed), "{state}");
        }
    }
}

/// 9293-3.10.7.4-19, pitfall 5: a SYN on a connection, wherever its number, draws one ACK and changes nothing.
#[test]
fn a_syn_on_a_connection_is_challenged() {
    for state in SYNCHRONIZED {
        for flags in [Flags::SYN, Flags::SYN | Flags::ACK] {
            for offset in [-1_000, -1, 0, 1, 5_000, 1 << 21, 1 << 31] {
                let (mut script, handle) = reach_with(state, wrapping());
                let syn = at(&script, offset, flags);
                let answers = script.inject(&syn, &[]);
                let answer: Vec<_> = answers.iter().map(|sent| (sent.flags(), sent.header.ack)).collect();
                // In TIME-WAIT a SYN,ACK inside the window is an old duplicate like any other (1337).
                if state != State::TimeWait || flags == Flags::SYN {
                    assert_eq!(answer, [(Flags::ACK, script.seq)], "{state}, {flags}, {offset}");
                }
                assert_eq!(script.stack.tcp_state(handle), Some(state));
            }
        }
    }
}

/// 9293-3.10.7.4-25, 9293-MAY-12, 9293-3.10.7.4-27, pitfall 31: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT, or no data.
#[test]
fn blind_data_needs_a_likely_ack() {
    for (offset, good) in [(-5_001_i64, false), (-5_000, true), (0, true), (100, true), (101, false), (1 << 31, false)]
    {
        let mut script = Script::new();
        script.window = 5_000;
        let handle = script.accept();
        script.send(handle, &[1; 100]);
        let ack = script.ack.wrapping_add(offset as u32);
        let header = TcpHeader { ack, ..script.header(Flags::ACK | Flags::PSH) };
        let answers = script.inject(&header, b"injected");
        assert_eq!(script.receive(handle) == b"injected", good, "{offset}");
        assert_eq!(answers.len(), 1, "an ACK either way");
        assert_eq!(answers[0].header.ack, script.seq + if good { 8 } else { 0 });
    }
}

/// 5961-7-1: ten thousand forged segments of each kind draw no more than the limit, which can be set.
#[test]
fn challenge_acks_are_limited() {
    for limit in [0, 1, 10, 100_u8] {
        for (flags, offset) in [(Flags::RST, 1), (Flags::SYN, 0), (Flags::SYN, 77), (Flags::ACK, -1)] {
            let script = Script::with(|config| config.tcp.challenge_acks_per_second = limit);
            let (mut script, handle) = reach_with(State::Established, script);
            let mut answers = 0;
            for _ in 0..10_000 {
                // Three seconds in all.
                script.now += Duration::from_micros(300);
                let forged = at(&script, offset, flags);
                answers += script.inject(&forged, &[]).len();
            }
            assert!(answers <= 4 * usize::from(limit), "{answers} answers to {flags}");
            assert!(answers >= 3 * usize::from(limit), "{answers} answers to {flags}");
            assert!(script.stack.counters().challenge_acks_limited >= 9_000);
            script.peer_sends(b"unharmed");
            assert_eq!(script.receive(handle), b"unharmed");
        }
    }
}

/// 5961-7-1, 9293-3.10.7.4-20: half-open and TIME-WAIT records have their limits too, and so have RSTs to strangers.
#[test]
fn all_answers_are_limited() {
    let (mut script, _) = reach(State::TimeWait);
    let answers: usize = (0..10_000)
        .map(|_| {
            let syn = at(&script, -5, Flags::SYN);
            script.inject(&syn, &[]).len()
        })
        .sum();
    assert_eq!(answers, 10);

    let mut script = Script::with(|config| config.tcp.resets_per_second = 50);
    script.listen();
    script.peer_syn(TcpOptions::default());
    let mut count = |flags, offset, ack| {
        let header = TcpHeader { ack, ..at(&script, offset, flags) };
        (0..10_000).map(|_| script.inject(&header, &[]).len()).sum::<usize>()
    };
    assert_eq!(count(Flags::RST, 1, 0), 10, "a half-open record");
    assert_eq!(count(Flags::ACK, 0, 99), 25, "a bad ACK for a half-open record: half of the rate for one host");
    script.now += Duration::from_secs(1);
    script.peer.set_port(9);
    let answers: usize = (0..10_000)
        .map(|_| {
            let stray = at(&script, 0, Flags::ACK);
            script.inject(&stray, &[]).len()
        })
        .sum();
    assert_eq!(answers, 25, "nobody's segments");
    assert!(script.stack.counters().dropped(DropReason::ReplyLimited) >= 19_950);
    script.peer.set_ip("10.0.0.9".parse().unwrap());
    let stray = at(&script, 0, Flags::ACK);
    assert_eq!(script.inject(&stray, &[]).len(), 1, "another host at the same moment");
}

/// 5961-7-2: an attack on one connection changes nothing that another observes (CVE-2016-5696).
#[test]
fn challenge_limits_are_no_side_channel() {
    let observed = |attack: bool| {
        let mut script = Script::new();
        script.accept();
        let victim = (script.seq, script.ack);
        script.peer.set_port(40_001);
        script.seq = 9_000;
        script.accept();
        let attacker = (script.seq, script.ack);
        if attack {
            script.peer.set_port(40_000);
            (script.seq, script.ack) = victim;
            for _ in 0..1_000 {
                let rst = at(&script, 1, Flags::RST);
                script.inject(&rst, &[]);
            }
            script.peer.set_port(40_001);
            (script.seq, script.ack) = attacker;
        }
        (0..200)
            .map(|_| {
                let rst = at(&script, 1, Flags::RST);
                script.inject(&rst, &[]).len()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(observed(false), observed(true));
    assert_eq!(observed(true).iter().sum::<usize>(), 10);
}

/// 9293-MUST-57, 9293-MUST-63, 1122-3.2.1.3-3, 1812-5.3.7: no connection, no RST and no count but that of the drop.
#[test]
fn addresses_that_no_peer_has() {
    let mut script = Script::new();
    script.stack.tcp_listen("[::]:80".parse().unwrap(), 10, SocketOptions::default()).unwrap();
    for port in [80, 81] {
        for flags in [Flags::SYN, Flags::ACK, Flags::SYN | Flags::ACK, Flags::FIN, Flags::RST] {
            let mut segment = |source: &str, destination: &str| {
                let header = TcpHeader { destination_port: port, ..script.header(flags) };
                let packet = packet(ip(source), ip(destination), &header, b"x");
                let reason = give(&mut script, &packet);
                assert!(script.packets().is_empty(), "{source} to {destination}");
                assert_eq!(script.stack.table_sizes(), (0, 0, 0));
                reason
            };
            for group in ["255.255.255.255", "10.0.0.255", "224.0.0.1", "224.0.0.251", "239.1.2.3"] {
                let reason = segment("10.0.0.1", group);
                assert!(matches!(reason, Some(DropReason::TcpNotUnicast | DropReason::NotOurs)), "{group}");
            }
            for group in ["ff02::1", "ff02::2", "ff05::1:3"] {
                let reason = segment("fd00:67::1", group);
                assert!(matches!(reason, Some(DropReason::TcpNotUnicast | DropReason::NotOurs)), "{group}");
            }
            for source in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.0.0.255"]
            {
                assert_eq!(segment(source, "10.0.0.2"), Some(DropReason::IpSource), "{source}");
            }
            for source in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
                assert_eq!(segment(source, "fd00:67::2"), Some(DropReason::IpSource), "{source}");
            }
            // LAND: from ourselves to ourselves.
            assert_eq!(segment("10.0.0.2", "10.0.0.2"), Some(DropReason::IpOwnSource));
            assert_eq!(segment("fd00:67::2", "fd00:67::2"), Some(DropReason::IpOwnSource));
        }
    }
}

/// 9293-3.10.7.4-17: there is no security compartment, and precedence is never looked at.
#[test]
fn precedence_means_nothing() {
    let mut script = Script::new();
    let handle = script.accept();
    for class in 0..=255_u8 {
        let mut packet = script.packet(&script.header(Flags::ACK), &[class]);
        packet[1] = class;
        fix_checksums(&mut packet);
        assert_eq!(give(&mut script, &packet), None);
        script.seq = script.seq.wrapping_add(1);
    }
    assert_eq!(script.receive(handle), (0..=255).collect::<Vec<u8>>());
}

/// 9293-3.10.7.3-5, pitfall 8: in SYN-SENT the ACK is what validates a RST.
#[test]
fn a_blind_reset_of_an_attempt() {
    let (mut script, handle) = reach(State::SynSent);
    let ack = script.ack;
    for (flags, ack) in
        [(Flags::RST, 0), (Flags::RST, ack), (Flags::RST | Flags::ACK, ack + 1), (Flags::RST | Flags::ACK, ack - 1)]
    {
        for seq in [0, 1, script.seq, u32::MAX] {
            let rst = TcpHeader { seq, ack, ..script.header(flags) };
            assert!(script.inject(&rst, &[]).is_empty());
            assert_eq!(script.stack.tcp_state(handle), Some(State::SynSent), "{flags} {ack}");
        }
    }
    let rst = TcpHeader { seq: 12_345, ..script.header(Flags::RST | Flags::ACK) };
    script.inject(&rst, &[]);
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Refused));
}

/// 9293-SHLD-2: a RST may carry text, which says why to a person; it is not delivered.
#[test]
fn a_reset_with_text() {
    for state in [State::Established, State::FinWait1, State::FinWait2, State::CloseWait] {
        let (mut script, handle) = reach(state);
        let early = TcpHeader { seq: script.seq.wrapping_sub(20), ..script.header(Flags::RST) };
        script.inject(&early, b"twenty octets of why");
        assert_eq!(script.stack.tcp_state(handle), Some(state), "not at RCV.NXT");
        script.inject(&script.header(Flags::RST), b"twenty octets of why");
        assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Reset), "{state}");
        assert!(script.receive(handle).is_empty());
    }
}

/// 4987-3.5: what a SYN costs is small, and so is what is left of a connection.
#[test]
fn records_are_small() {
    assert!(size_of::<Connection>() <= 512, "{}", size_of::<Connection>());
    assert!(size_of::<HalfOpen>() <= 96, "{}", size_of::<HalfOpen>());
    assert!(size_of::<TimeWait>() <= 64, "{}", size_of::<TimeWait>());
    assert!(size_of::<Segment<'_>>() <= 144, "{}", size_of::<Segment<'_>>());
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

/// 1858-3, 1858-4, pitfall 40: fragments that split the header of a segment, or overlap, never reach a connection, and
/// nothing is said about them.
#[test]
fn fragments_do_not_hide_a_header() {
    let mut script = Script::new();
    let handle = script.accept();
    let before = portrait(&script, handle);
    let whole = script.packet(&script.header(Flags::ACK), &[7; 64]);
    let reset = script.packet(&script.header(Flags::RST | Flags::ACK), &[7; 64]);
    for (number, pieces) in [
        [(0, 8), (8, 76), (8, 76)],
        [(0, 16), (16, 68), (16, 68)],
        [(0, 24), (16, 68), (24, 60)],
        [(0, 40), (0, 24), (40, 44)],
        [(0, 40), (32, 8), (40, 44)],
    ]
    .into_iter()
    .enumerate()
    {
        // Never the last: the honest ones would be whole before it.
        for (again, order) in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0]].into_iter().enumerate() {
            let cut = Cut::new((number * 4 + again) as u32);
            for n in order {
                // The one in the middle would change the flags.
                let from = if n == 1 { &reset } else { &whole };
                give(&mut script, &cut.apply(from, &pieces[n..=n])[0]);
            }
            assert!(script.packets().is_empty());
            assert_eq!(portrait(&script, handle), before, "{number} {order:?}");
        }
    }
    assert_eq!(give(&mut script, &whole), None);
    assert_eq!(script.receive(handle), [7; 64]);
}

/// 6429-4: the application and the keeper of resources can end what only probes a zero window.
#[test]
fn zero_window_probing_can_be_ended() {
    let stuck = || {
        let mut script = Script::new();
        script.window = 0;
        let handle = script.accept();
        script.stack.tcp_send(script.now, handle, &[1; 5_000]).unwrap();
        let mut probes = 0;
        // The peer answers each probe.
        for _ in 0..500 {
            probes += script.pass(Duration::from_secs(1)).len();
            let ack = script.header(Flags::ACK);
            script.inject(&ack, &[]);
        }
        assert!(probes > 3);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
        (script, handle)
    };
    let (mut script, handle) = stuck();
    script.stack.tcp_abort(script.now, handle);
    assert!(script.sent_one().flags().contains(Flags::RST));
    assert_eq!((script.stack.tcp_error(handle), script.stack.buffer_memory()), (Some(SocketError::Aborted), 0));

    let (mut script, handle) = stuck();
    script.stack.tcp_close(script.now, handle);
    assert_eq!(script.stack.orphans(), 1);
    assert_eq!(script.stack.abort_orphans(script.now), 1);
    assert!(script.sent().iter().any(|sent| sent.flags().contains(Flags::RST)));
    assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 0), 0));
}

/// A packet of a connection with another sequence number in it.
fn quoting(packet: &[u8], seq: u32) -> Vec<u8> {
    let mut quoted = packet.to_vec();
    let place = if quoted[0] >> 4 == 6 { 44 } else { 24 };
    quoted[place..place + 4].copy_from_slice(&seq.to_be_bytes());
    quoted
}

const ENDS: [(&str, &str, &str); 2] =
    [("10.0.0.2:80", "10.0.0.1:40000", "10.0.0.9"), ("[fd00:67::2]:80", "[fd00:67::1]:40000", "fd00:67::9")];

/// 5927-4.1, 9293-MUST-54, pitfall 38: only what is in flight can be spoken of, and only its connection hears.
#[test]
fn quotes_of_what_is_not_in_flight() {
    for (local, peer, router) in ENDS {
        let mut script = Script::on(local, peer, |_| {});
        let bystander = script.accept();
        script.send(bystander, &[2; 100]);
        script.peer.set_port(40_001);
        script.seq = 70_000;
        let handle = script.accept();
        let sent = script.send(handle, &[1; 3_000]);
        let connection = script.stack.tcp_connection(handle).unwrap();
        let (una, nxt) = (connection.snd.una.0, connection.snd.nxt.0);
        for (seq, counts) in [
            (una.wrapping_sub(1), false),
            (una, true),
            (nxt.wrapping_sub(1), true),
            (nxt, false),
            (una.wrapping_add(1 << 31), false),
        ] {
            let error = icmp_error(ip(router), &quoting(&sent[0].packet, seq), IcmpError::TimeExceeded { code: 0 });
            let dropped = give(&mut script, &error);
            assert_eq!(dropped, (!counts).then_some(DropReason::IcmpUnmatched), "{} from UNA", seq.wrapping_sub(una));
            assert_eq!(script.stack.tcp_take_soft_error(handle).is_some(), counts);
            assert_eq!(script.stack.tcp_take_soft_error(bystander), None);
        }
    }
}

/// 9293-MUST-56, 9293-SHLD-26, 5927-5.2, 4443-2.4-a, 792-te, pitfall 38: hard errors end an attempt and nothing else; soft errors
/// end nothing.
#[test]
fn hard_and_soft_errors() {
    for (local, peer, router) in ENDS {
        let v6 = router.contains(':');
        let mut errors: Vec<(IcmpError, bool)> = (0..16)
            .filter(|&code| v6 || code != 4)
            .map(|code| {
                (IcmpError::DestinationUnreachable { code }, if v6 { code == 4 } else { code == 2 || code == 3 })
            })
            .collect();
        errors.extend([0, 1].map(|code| (IcmpError::TimeExceeded { code }, false)));
        errors.extend(
            [0, 1, 2].map(|code| (IcmpError::ParameterProblem { code: if v6 { code } else { 0 }, pointer: 0 }, false)),
        );
        if v6 {
            errors.push((IcmpError::Unknown { kind: 100, code: 3 }, false));
        }
        for (error, hard) in errors {
            let mut script = Script::on(local, peer, |_| {});
            let (handle, syn) = script.connect();
            let off = icmp_error(ip(router), &quoting(&syn.packet, syn.header.seq.wrapping_add(1)), error);
            assert_eq!(give(&mut script, &off), Some(DropReason::IcmpUnmatched), "{error:?}");
            give(&mut script, &icmp_error(ip(router), &syn.packet, error));
            let expected = if hard { State::Closed } else { State::SynSent };
            assert_eq!(script.stack.tcp_state(handle), Some(expected), "{error:?}");
            assert_eq!(script.stack.tcp_error(handle), hard.then_some(SocketError::Refused), "{error:?}");

            let mut script = Script::on(local, peer, |_| {});
            let handle = script.connect_established();
            let sent = script.send(handle, b"text");
            give(&mut script, &icmp_error(ip(router), &sent[0].packet, error));
            assert_eq!(script.stack.tcp_state(handle), Some(State::Established), "{error:?}");
            assert_eq!(script.stack.tcp_take_soft_error(handle), Some(SocketError::Unreachable), "{error:?}");
            let ack = script.ack.wrapping_add(4);
            script.peer_acks(ack);
            assert_eq!(script.send(handle, b"more")[0].text, b"more");

            let mut script = Script::on(local, peer, |_| {});
            script.listen();
            let syn_ack = script.peer_syn(TcpOptions::default());
            give(&mut script, &icmp_error(ip(router), &quoting(&syn_ack[0].packet, 77), error));
            assert_eq!(script.stack.table_sizes().0, 1);
            give(&mut script, &icmp_error(ip(router), &syn_ack[0].packet, error));
            assert_eq!(script.stack.table_sizes().0, u32::from(!hard), "{error:?}");
        }
    }
}

/// 9293-MUST-55, 6633-3: source quench does not exist, for TCP or UDP; nor do redirects.
#[test]
fn source_quench_is_discarded() {
    let mut script = Script::new();
    let handle = script.accept();
    let sent = script.send(handle, &[1; 3_000]);
    let before = portrait(&script, handle);
    for kind in [4, 5] {
        let rest = [&[0; 4], &sent[0].packet[..28]].concat();
        let quench = icmp_message(ip("10.0.0.9"), script.local.ip(), kind, 0, &rest);
        assert_eq!(give(&mut script, &quench), Some(DropReason::IcmpIgnored));
    }
    script.silence();
    assert_eq!(portrait(&script, handle), before);
    assert_eq!(script.stack.tcp_take_soft_error(handle), None);
    let socket = script.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    script.stack.udp_connect(socket, "10.0.0.1:53".parse().unwrap()).unwrap();
    script.stack.udp_send(script.now, socket, None, b"x").unwrap();
    let datagram = script.packets().remove(0);
    let quench = icmp_message(ip("10.0.0.9"), script.local.ip(), 4, 0, &[&[0; 4], &datagram[..]].concat());
    assert_eq!(give(&mut script, &quench), Some(DropReason::IcmpIgnored));
    assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
}

/// 1191-3-1, 8201-4-2, 5927-4.1, pitfall 38: a smaller path is believed at once, within reason, and every segment says
/// "don't fragment".
#[test]
fn packet_too_big() {
    for (local, peer, router) in ENDS {
        let (v6, headers) = if router.contains(':') { (true, 60) } else { (false, 40) };
        // What the router says, and the largest packet that leaves afterwards.
        let cases: [(u32, usize); 7] = [
            (1_400, 1_400),
            (1_499, 1_499),
            (1_500, 1_500),
            (9_000, 1_500),
            (1_280, 1_280),
            (1_279, 1_279),
            (0, 1_492),
        ];
        for (mtu, mut expected) in cases {
            if v6 && mtu < 1_280 {
                expected = 1_500;
            }
            let mut script = Script::on(local, peer, |_| {});
            let handle = script.accept();
            let data: Vec<u8> = (0..8_000_u32).map(|n| (n % 251) as u8).collect();
            let sent = script.send(handle, &data);
            assert!(sent.iter().all(|sent| v6 || sent.packet[6] & 0x40 != 0), "don't fragment");
            let old = icmp_error(
                ip(router),
                &quoting(&sent[0].packet, script.ack.wrapping_sub(1)),
                IcmpError::PacketTooBig { mtu },
            );
            let cannot_be = v6 && mtu < 1_280;
            let reason = if cannot_be { DropReason::IcmpTooBigRefused } else { DropReason::IcmpUnmatched };
            assert_eq!(give(&mut script, &old), Some(reason));
            script.silence();
            give(&mut script, &icmp_error(ip(router), &sent[0].packet, IcmpError::PacketTooBig { mtu }));
            let look = script.stack.tcp_snapshot(handle).unwrap();
            assert_eq!((look.ssthresh, look.phase), (u32::MAX, Phase::Open), "no sign of congestion");
            let (first, mut received) = (script.ack, Vec::new());
            let mut largest = 0;
            for _ in 0..50 {
                for sent in script.pass(Duration::from_millis(50)) {
                    largest = largest.max(sent.packet.len());
                    let place = sent.header.seq.wrapping_sub(first) as usize;
                    received.resize(received.len().max(place + sent.text.len()), 0);
                    received[place..place + sent.text.len()].copy_from_slice(&sent.text);
                }
                if expected < 1_500 {
                    let ack = first.wrapping_add(received.len() as u32);
                    script.peer_acks(ack);
                }
            }
            if expected < 1_500 {
                assert!(received == data, "{} octets", received.len());
                assert_eq!(largest, expected, "{mtu}");
            } else {
                assert!(largest == 0 || largest == 1_440 + headers || largest == 1_460 + headers, "{largest}");
            }
            assert!(largest <= 1_500);
        }
    }
}

/// 1122-3.1-1, 1122-3.2.1.3-1: nothing is forwarded, and everything that leaves comes from an address of ours.
#[test]
fn a_host_is_no_router() {
    let mut script = Script::new();
    script.listen();
    let header = script.header(Flags::SYN);
    for destination in ["10.0.0.3", "10.0.1.2", "8.8.8.8"] {
        let foreign = packet(script.peer.ip(), ip(destination), &header, &[]);
        assert_eq!(give(&mut script, &foreign), Some(DropReason::NotOurs));
        assert!(script.packets().is_empty());
    }
    let foreign = packet(ip("fd00:67::1"), ip("fd00:67::3"), &header, &[]);
    assert_eq!(give(&mut script, &foreign), Some(DropReason::NotOurs));
    assert!(script.packets().is_empty());
    script.accept();
    for packet in script.packets() {
        assert_eq!(parse_ip(&packet).unwrap().source, script.local.ip());
    }
}
