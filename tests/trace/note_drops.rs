//! Notes of what is dropped, refused or reset, and why.

use crate::flow::*;
use crate::note_support::*;
use glasstcp::counters::DropReason;
use glasstcp::device::impair::Impairment;
use glasstcp::device::pcapng::{self};
use glasstcp::sim::world::Side;
use glasstcp::sim::{Script, World};
use glasstcp::stack::TcpHandle;
use glasstcp::trace::annotate::rule_of_drop;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::time::Duration;

/// Segments that an open connection does not take, each with what it did instead.
#[test]
fn what_a_connection_drops_and_why() {
    let options = TcpOptions { timestamp: Some(Timestamp { value: 500, echo: 0 }), ..SACK };
    let mut script = traced(|config| config.tcp.quick_acks = 0);
    script.accept_with(options);
    script.timestamp = Some(600);
    script.notes.clear();
    let plain = script.header(Flags::ACK);
    let shifted = |by: u32, header: TcpHeader| TcpHeader { seq: header.seq.wrapping_add(by), ..header };
    let challenge = "owes-ACK:challenge-ACK";
    let old = Timestamp { value: 400, echo: 0 };
    let cases = [
        (TcpHeader { options: TcpOptions::default(), ..plain }, "agreed-timestamp-missing", "7323-3.2-2", "-"),
        (
            TcpHeader { options: TcpOptions { timestamp: Some(old), ..TcpOptions::default() }, ..plain },
            "old-timestamp-PAWS",
            "7323-5.3-1,5961-7-1",
            challenge,
        ),
        (shifted(u32::MAX, plain), "outside-the-receive-window", "9293-3.10.7.4-6,5961-7-1", challenge),
        (
            TcpHeader { flags: Flags::RST, ..shifted(1, plain) },
            "RST-not-at-RCV.NXT",
            "9293-3.10.7.4-12,5961-7-1",
            challenge,
        ),
        (TcpHeader { flags: Flags::RST, ..shifted(u32::MAX, plain) }, "RST-not-at-RCV.NXT", "9293-3.10.7.4-10", "-"),
        (
            TcpHeader { flags: Flags::SYN | Flags::ACK, ..plain },
            "SYN-on-a-synchronized-connection",
            "9293-3.10.7.4-19,5961-7-1",
            challenge,
        ),
        (TcpHeader { flags: Flags::PSH, ..plain }, "no-ACK-flag", "9293-3.10.7.4-21", "-"),
        (
            TcpHeader { ack: plain.ack.wrapping_add(1), ..plain },
            "ACK-out-of-range",
            "9293-3.10.7.4-27,5961-7-1",
            challenge,
        ),
        (
            TcpHeader { ack: plain.ack.wrapping_sub(1 << 30), ..plain },
            "ACK-out-of-range",
            "9293-3.10.7.4-25,5961-7-1",
            challenge,
        ),
    ];
    for (header, drop, rule, did) in cases {
        script.pass(secs(1));
        script.notes.clear();
        script.inject(&header, &[]);
        let mut expected =
            vec![format!("received verdict=dropped drop={drop} rule={rule} state=ESTABLISHED->ESTABLISHED did={did}")];
        if did == challenge {
            expected.push("sent reason=challenge-ACK rule=5961-7-1 state=ESTABLISHED".to_owned());
        }
        assert_eq!(said(&mut script), expected, "{header:?}");
    }
    // The challenge ACKs of one second.
    let limit = script.stack.config().tcp.challenge_acks_per_second;
    (0..limit).for_each(|_| drop(script.inject(&shifted(u32::MAX, plain), &[])));
    script.notes.clear();
    script.inject(&shifted(u32::MAX, plain), &[]);
    expect(
        &mut script,
        &["received verdict=dropped drop=outside-the-receive-window rule=9293-3.10.7.4-6,5961-7-2 \
           state=ESTABLISHED->ESTABLISHED did=challenge-limited"],
    );
    script.inject(&TcpHeader { flags: Flags::RST, ..plain }, &[]);
    expect(
        &mut script,
        &["received verdict=accepted rule=9293-3.5.3-1,9293-3.10.7.4-11 state=ESTABLISHED->CLOSED did=reset"],
    );
}

/// What nobody, a listener and a half-open record answer.
#[test]
fn before_there_is_a_connection() {
    let mut script = traced(|_| {});
    let syn = script.header(Flags::SYN);
    script.inject(&syn, &[]);
    script.inject(&script.header(Flags::ACK), &[]);
    script.deliver(&script.header(Flags::RST), &[]);
    script.listen();
    script.inject(&script.header(Flags::ACK), &[]);
    script.deliver(&script.header(Flags::RST), &[]);
    script.deliver(&script.header(Flags::FIN), &[]);
    script.peer_syn(TcpOptions::default());
    script.inject(&syn, &[]);
    let stray = TcpHeader { ack: script.ack.wrapping_add(5), ..script.header(Flags::ACK) };
    script.inject(&stray, &[]);
    script.pass(secs(1));
    script.deliver(&script.header(Flags::RST), &[]);
    expect(
        &mut script,
        &[
            "received verdict=dropped drop=no-connection-and-no-listener rule=9293-3.10.7.1-2 state=CLOSED->CLOSED \
             did=answered:RST-nobody",
            "sent reason=RST-nobody rule=9293-3.10.7.1-2 state=CLOSED",
            "received verdict=dropped drop=no-connection-and-no-listener rule=9293-3.10.7.1-3,9293-3.10.7.1-2 \
             state=CLOSED->CLOSED did=answered:RST-nobody",
            "sent reason=RST-nobody rule=9293-3.10.7.1-2 state=CLOSED",
            "received verdict=dropped drop=no-connection-and-no-listener rule=9293-3.10.7.1-1 state=CLOSED->CLOSED did=-",
            "received verdict=dropped drop=ignored-by-the-listener rule=9293-3.10.7.2-2 state=LISTEN->LISTEN \
             did=answered:RST-listener",
            "sent reason=RST-listener rule=9293-3.10.7.2-2 state=LISTEN",
            "received verdict=dropped drop=ignored-by-the-listener rule=9293-3.10.7.2-1 state=LISTEN->LISTEN did=-",
            "received verdict=dropped drop=ignored-by-the-listener rule=9293-3.10.7.2-6 state=LISTEN->LISTEN did=-",
            "received verdict=accepted rule=9293-3.10.7.2-3 state=LISTEN->SYN-RECEIVED did=SYN-taken,answered:SYN-ACK",
            "sent reason=SYN-ACK rule=9293-3.10.7.2-3 state=SYN-RECEIVED",
            "received verdict=dropped drop=outside-the-receive-window rule=9293-3.10.7.4-6 \
             state=SYN-RECEIVED->SYN-RECEIVED did=answered:SYN-ACK-again",
            "sent reason=SYN-ACK-again rule=9293-3.10.7.4-6 state=SYN-RECEIVED",
            "received verdict=dropped drop=ACK-out-of-range rule=9293-3.10.7.4-23,9293-3.10.7.3-1 \
             state=SYN-RECEIVED->SYN-RECEIVED did=answered:RST-bad-ACK",
            "sent reason=RST-bad-ACK rule=9293-3.10.7.3-1 state=SYN-RECEIVED",
            "sent reason=SYN-ACK-RTO rule=9293-3.10.8-2 state=SYN-RECEIVED",
            "received verdict=accepted rule=9293-3.5.3-1,9293-3.10.7.4-13 state=SYN-RECEIVED->LISTEN did=back-to-LISTEN",
        ],
    );
}

#[test]
fn a_full_listener_sends_cookies_and_then_nothing() {
    let mut script = traced(|config| config.tcp.socket.receive_capacity = Some(65_535));
    let options = script.stack.config().tcp.socket;
    script.listen_with(1, options);
    script.peer_syn(TcpOptions::default());
    script.notes.clear();
    script.peer.set_port(40_001);
    (script.seq, script.ack) = (5_000, 0);
    script.peer_syn(TcpOptions::default());
    script.peer_acks(script.ack);
    script.peer.set_port(40_002);
    script.inject(&script.header(Flags::SYN), &[]);
    expect(
        &mut script,
        &[
            "received verdict=accepted rule=4987-3.6 state=LISTEN->LISTEN did=cookie-made,answered:SYN-ACK-cookie",
            "sent reason=SYN-ACK-cookie rule=4987-3.6 state=LISTEN",
            "received verdict=accepted rule=4987-3.6 state=LISTEN->ESTABLISHED did=cookie-taken",
            "received verdict=dropped drop=accept-queue-full rule=4987-3.2 state=LISTEN->LISTEN did=-",
        ],
    );
}

/// Each RST of ours says why.
#[test]
fn resets_have_their_reasons() {
    let reset = |play: &dyn Fn(&mut Script, TcpHandle)| {
        let (mut script, handle) = open(SACK);
        play(&mut script, handle);
        script.sent();
        let notes = said(&mut script);
        let resets: Vec<_> = notes.iter().filter_map(|note| value(note, "reason")).map(str::to_owned).collect();
        resets.into_iter().find(|reason| reason.starts_with("RST")).unwrap()
    };
    assert_eq!(reset(&|script, handle| script.stack.tcp_abort(script.now, handle)), "RST-abort");
    let unread = reset(&|script, handle| {
        script.peer_sends(b"unread");
        script.stack.tcp_close(script.now, handle);
    });
    assert_eq!(unread, "RST-unread");
    let late = reset(&|script, handle| {
        script.stack.tcp_close(script.now, handle);
        script.peer_sends(b"late");
    });
    assert_eq!(late, "RST-after-close");
    let silent = reset(&|script, handle| {
        script.send(handle, b"is anybody there?");
        script.pass(secs(10_000));
    });
    assert_eq!(silent, "RST-timeout");
}

#[test]
fn attempts_that_fail() {
    let mut script = traced(|_| {});
    script.connect();
    script.notes.clear();
    let bad = TcpHeader { ack: script.ack.wrapping_add(1), ..script.header(Flags::SYN | Flags::ACK) };
    script.inject(&bad, &[]);
    script.deliver(&script.header(Flags::ACK), &[]);
    script.deliver(&TcpHeader { ack: 0, ..script.header(Flags::RST) }, &[]);
    script.deliver(&script.header(Flags::RST | Flags::ACK), &[]);
    expect(
        &mut script,
        &[
            "received verdict=dropped drop=ACK-out-of-range rule=9293-3.10.7.3-1 state=SYN-SENT->SYN-SENT \
             did=answered:RST-bad-ACK",
            "sent reason=RST-bad-ACK rule=9293-3.10.7.3-1 state=SYN-SENT",
            "received verdict=dropped drop=neither-SYN-nor-RST-in-SYN-SENT rule=9293-3.10.7.3-9 \
             state=SYN-SENT->SYN-SENT did=-",
            "received verdict=dropped drop=RST-not-at-RCV.NXT rule=9293-3.10.7.3-4 state=SYN-SENT->SYN-SENT did=-",
            "received verdict=accepted rule=9293-3.10.7.3-3 state=SYN-SENT->CLOSED did=refused",
        ],
    );
}

/// Datagrams and what IP refuses have comments, too.
#[test]
fn what_is_no_segment_has_a_note() {
    let mut world = World::plain(Impairment::perfect(), 3);
    world.capture().unwrap();
    let now = world.now();
    let server = world.stack(Side::B).udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    let client = world.stack(Side::A).udp_bind("10.0.0.1:9000".parse().unwrap()).unwrap();
    for to in ["10.0.0.2:53", "10.0.0.2:54"] {
        world.stack(Side::A).udp_send(now, client, Some(to.parse().unwrap()), &[7; 100]).unwrap();
    }
    world.stack(Side::A).udp_send(now, client, Some("10.0.0.2:53".parse().unwrap()), &[7; 2_000]).unwrap();
    world.run(Duration::from_secs(1));
    let _ = server;
    let captures = world.take_captures().unwrap().unwrap();
    let [a, b] = captures.map(|capture| {
        pcapng::read(&capture).unwrap().iter().map(|record| record.comments.concat()).collect::<Vec<_>>()
    });
    assert_eq!(
        a,
        [
            "sent reason=datagram rule=RFC768/1",
            "sent reason=datagram rule=RFC768/1",
            "sent reason=fragment rule=791-3.2-2",
            "sent reason=fragment rule=791-3.2-2",
            "received verdict=dropped drop=ICMP-error-matches-nothing rule=1122-3.2.2-4,9293-MUST-54 did=ICMP-error",
        ]
    );
    assert_eq!(
        b,
        [
            "received verdict=accepted rule=768-4 did=datagram",
            "received verdict=dropped drop=no-UDP-socket rule=1122-4.1.3.1,1122-3.2.2.1 did=answered:ICMP-error",
            "received verdict=accepted rule=791-3.2-1 did=fragment-held",
            "received verdict=accepted rule=791-3.2-1,768-4 did=reassembled,datagram",
            "sent reason=ICMP-error rule=1122-3.2.2.1",
        ]
    );
}

/// A drop without a connection has the rule of its reason.
#[test]
fn what_ip_and_tcp_refuse_has_the_rule_of_its_reason() {
    let mut script = traced(|_| {});
    script.listen();
    let good = script.packet(&script.header(Flags::SYN), &[]);
    let with = |at: usize, octet: u8| {
        let mut packet = good.clone();
        packet[at] = octet;
        packet
    };
    let cases = [
        (Vec::new(), DropReason::IpTruncated),
        (with(0, 0x55), DropReason::IpVersion),
        (with(0, 0x41), DropReason::IpHeaderLength),
        (with(10, good[10] ^ 1), DropReason::IpChecksum),
        (with(36, good[36] ^ 1), DropReason::TcpChecksum),
        (with(32, 0x10), DropReason::TcpHeader),
    ];
    for (packet, reason) in cases {
        assert_eq!(script.deliver_packet(&packet), Some(reason));
        let word = reason.as_str().replace(' ', "-");
        let rule = rule_of_drop(reason);
        expect(&mut script, &[&format!("received verdict=dropped drop={word} rule={rule} did=-")]);
    }
}
