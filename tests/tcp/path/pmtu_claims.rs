//! What errors about too large packets, and timeouts without any, do to a connection that knows something of its path already.

use crate::flow::{accepted, end, look, ms, octets, secs, text};
use crate::kit::{give, icmp_error};
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::wire::icmp::IcmpError;

const MSS: usize = 1_460;

/// A router tells that the packet was larger than this.
fn too_big(script: &mut Script, about: &Sent, mtu: u32) {
    let error = icmp_error("192.0.2.9".parse().unwrap(), &about.packet, IcmpError::PacketTooBig { mtu });
    assert_eq!(give(script, &error), None);
}

/// The largest packet that a connection sends.
fn sends(script: &Script, handle: TcpHandle) -> u32 {
    look(script, handle).path_mtu
}

/// 8201-5.2, 8201-5.4, 1191-6.4: a connection that has learned of the path from another one, and sends less already, still
/// sends again at once what it had in flight before, when an error tells of it; and once for all of it.
#[test]
fn what_was_sent_before_the_path_was_known_follows() {
    let mut script = Script::new();
    let first = script.accept();
    let told = script.send(first, &text(3_000));
    script.peer.set_port(script.peer.port() + 1);
    (script.seq, script.timestamp) = (50_000, None);
    let second = script.accept();
    let in_flight = script.send(second, &text(4 * MSS));
    too_big(&mut script, &told[0], 1_400);
    script.sent();
    let more = script.send(second, &text(1_360));
    assert_eq!((octets(&more), sends(&script, second)), (1_360, 1_400), "it has noticed");
    for about in [&in_flight[1], &in_flight[2], &in_flight[0]] {
        too_big(&mut script, about, 1_400);
    }
    assert_eq!(octets(&script.sent()), 4 * MSS);
    assert_eq!(sends(&script, second), 1_400);
}

/// 1191-6.4: the first segment that was too large leaves again at once, however full the window is with others.
#[test]
fn what_was_too_large_leaves_into_a_full_window() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    let large = script.send(handle, &text(MSS));
    for _ in 0..10 {
        script.send(handle, &text(1_314));
    }
    let seen = look(&script, handle);
    assert_eq!((seen.flight, seen.flight), (14_600, seen.cwnd), "full");
    too_big(&mut script, &large[0], 1_400);
    let again = script.sent();
    assert_eq!(again.first().map(|sent| (sent.header.seq, sent.text.len())), Some((large[0].header.seq, 1_360)));
}

/// 5927-7.2: of what was sent twice nobody knows which one has arrived, so it is no proof that its size passes.
#[test]
fn what_was_sent_twice_proves_nothing() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    script.send(handle, &text(MSS));
    assert_eq!(octets(&script.pass(ms(250))), MSS, "again");
    script.peer_acks(script.ack.wrapping_add(MSS as u32));
    let sent = script.send(handle, &text(MSS));
    too_big(&mut script, &sent[0], 1_400);
    assert_eq!(sends(&script, handle), 1_400, "believed at once");
}

/// 5927-7.2: a part of a segment that is acknowledged is no proof that the whole has arrived.
#[test]
fn a_part_of_a_segment_proves_nothing_of_the_whole() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    let start = script.ack;
    script.send(handle, &text(MSS));
    script.peer_acks(start.wrapping_add(100));
    script.peer_acks(start.wrapping_add(MSS as u32));
    let sent = script.send(handle, &text(MSS));
    too_big(&mut script, &sent[0], 1_400);
    assert_eq!(sends(&script, handle), 1_400, "believed at once");
}

/// 5927-7.2: what a claim was about has arrived; a timeout later says nothing for it, also where the path is known to be
/// narrower than the link.
#[test]
fn a_claim_about_what_has_arrived_is_forgotten() {
    let (mut script, handle) = accepted(|_| {});
    let sent = script.send(handle, &text(8_000));
    too_big(&mut script, &sent[0], 1_400);
    let mut sent = script.sent();
    while !sent.is_empty() {
        script.now += ms(20);
        let at = end(&sent);
        sent = script.peer_acks(at);
    }
    let sent = script.send(handle, &text(4 * 1_360));
    assert_eq!(sent[0].text.len(), 1_360);
    script.now += ms(20);
    script.peer_acks(end(&sent[..1]));
    too_big(&mut script, &sent[1], 600);
    assert_eq!(sends(&script, handle), 1_400, "not yet");
    script.peer_acks(end(&sent));
    script.send(handle, &text(1_360));
    script.pass(secs(1));
    assert!(look(&script, handle).statistics.timeouts > 0);
    assert_eq!(sends(&script, handle), 1_400, "forged");
}

/// 4821-7.7: short segments that vanish, which are no larger than what a search begins with, show no black hole.
#[test]
fn short_segments_that_vanish_show_no_black_hole() {
    let base = Script::new().stack.config().tcp.habits.base_mss;
    for (octets, black_hole) in [(100, false), (base, false), (base + 1, true)] {
        let (mut script, handle) = accepted(|_| {});
        script.send(handle, &text(octets.into()));
        script.pass(secs(60));
        assert!(look(&script, handle).statistics.timeouts > 5);
        assert_eq!(script.stack.counters().path_mtu_black_holes > 0, black_hole, "{octets}");
        assert_eq!(sends(&script, handle) < 1_500, black_hole, "{octets}");
    }
}

/// 4821-7.7, 5927-7.2: in a black hole what arrived before proves nothing any more: what a router says of it is believed at
/// once.
#[test]
fn after_a_black_hole_a_router_is_believed() {
    let (mut script, handle) = accepted(|_| {});
    script.send(handle, &text(MSS));
    script.peer_acks(script.ack.wrapping_add(MSS as u32));
    script.send(handle, &text(MSS));
    let mut last = Vec::new();
    while script.stack.counters().path_mtu_black_holes == 0 {
        last = script.pass(ms(100));
        assert!(look(&script, handle).statistics.timeouts < 10);
    }
    assert_eq!(last[0].packet.len(), 1_064);
    too_big(&mut script, &last[0], 1_000);
    assert_eq!(sends(&script, handle), 1_000);
}

/// 8201-5.2: the news that another path has become narrower is none for this one, which has settled on its size already.
#[test]
fn another_path_is_none_of_its_business() {
    let (mut script, handle) = accepted(|_| {});
    let peer = script.peer.ip();
    script.stack.set_path_mtu(peer, 1_400);
    script.send(handle, b"x");
    assert_eq!((look(&script, handle).path_mtu, script.stack.counters().path_mtu_lowered), (1_400, 1));
    script.stack.set_path_mtu("192.0.2.77".parse().unwrap(), 1_300);
    script.send(handle, b"x");
    assert_eq!((look(&script, handle).path_mtu, script.stack.counters().path_mtu_lowered), (1_400, 1));
}
