//! What a capture says of each packet (src/trace): the exact words, by the packet and in virtual time.

use crate::flow::*;
use crate::note_support::*;
use glasstcp::device::impair::Impairment;
use glasstcp::device::pcapng::{self, Direction, Record};
use glasstcp::sim::Script;
use glasstcp::sim::world::Side;
use glasstcp::stack::ListenOptions;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::fast_open::ListenFastOpen;
use glasstcp::trace::annotate::Why;
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{self, Flags, TcpHeader};
use glasstcp::wire::{parse_ip, protocol};
use std::net::Shutdown;

#[test]
fn a_connection_from_its_first_packet_to_its_last() {
    let mut script = traced(|config| config.tcp.quick_acks = 0);
    let handle = script.accept();
    script.peer_sends(b"hello");
    assert_eq!(script.receive(handle), b"hello");
    script.pass(ms(40));
    script.send(handle, b"to you");
    script.pass(ms(10));
    script.peer_acks(script.ack.wrapping_add(6));
    script.peer_closes();
    script.stack.tcp_close(script.now, handle);
    script.sent();
    script.peer_acks(script.ack.wrapping_add(1));
    let none = "una=0 nxt=1 wnd=- cwnd=- ssthresh=- srtt=- rto=- in-flight=- rcv-nxt=1 rcv-wnd=65535";
    let open = |una: u32, nxt: u32, srtt: &str, rto: &str, rcv: u32, window: u32| {
        format!(
            "una={una} nxt={nxt} wnd=65535 cwnd=14600 ssthresh=inf srtt={srtt} rto={rto} in-flight={} rcv-nxt={rcv} \
             rcv-wnd={window}",
            nxt - una
        )
    };
    let fresh = |una, nxt, rcv, window| open(una, nxt, "0.000ms", "200.000ms", rcv, window);
    let later = |una, nxt, rcv, window| open(una, nxt, "1.250ms", "201.250ms", rcv, window);
    let expected = [
        format!(
            "received verdict=accepted rule=9293-3.10.7.2-3 state=LISTEN->SYN-RECEIVED did=SYN-taken,answered:SYN-ACK {none}"
        ),
        format!("sent reason=SYN-ACK rule=9293-3.10.7.2-3 state=SYN-RECEIVED {none}"),
        format!(
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-22,9293-3.10.7.4-24,9293-3.10.7.4-28 \
             state=SYN-RECEIVED->ESTABLISHED did=established,acked:1,window:65535 {}",
            fresh(1, 1, 1, 65_535)
        ),
        format!(
            "received verdict=accepted rule=9293-3.10.7.4-4,9293-3.10.7.4-36,9293-SHLD-18 state=ESTABLISHED->ESTABLISHED \
             did=delivered:5,owes-delayed-ACK {}",
            fresh(1, 1, 6, 65_530)
        ),
        format!("sent reason=delayed-ACK rule=9293-SHLD-18 state=ESTABLISHED {}", fresh(1, 1, 6, 65_530)),
        format!("sent reason=new-data rule=9293-3.10.2-4 state=ESTABLISHED {}", fresh(1, 7, 6, 65_530)),
        format!(
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-24 state=ESTABLISHED->ESTABLISHED did=acked:6 {}",
            later(7, 7, 6, 65_530)
        ),
        format!(
            "received verdict=accepted rule=9293-3.10.7.4-4,9293-3.10.7.4-40 state=ESTABLISHED->CLOSE-WAIT \
             did=FIN,owes-ACK:ACK-of-FIN {}",
            later(7, 7, 7, 65_529)
        ),
        format!("sent reason=ACK-of-FIN rule=9293-3.10.7.4-40 state=CLOSE-WAIT {}", later(7, 7, 7, 65_529)),
        format!("sent reason=FIN rule=9293-3.10.4-4 state=LAST-ACK {}", later(7, 8, 7, 65_529)),
        "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-29 state=LAST-ACK->CLOSED did=FIN-acked \
         una=7 nxt=8"
            .to_owned(),
    ];
    assert_eq!(script.notes.len(), expected.len(), "{:#?}", script.notes);
    for (note, expected) in script.notes.iter().zip(&expected) {
        assert!(note.starts_with(expected.as_str()), "{note}\nis not\n{expected}");
    }
}

#[test]
fn an_active_open_and_a_close_that_ends_in_time_wait() {
    let mut script = traced(|config| config.tcp.quick_acks = 0);
    let handle = script.connect_established();
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
    script.sent();
    script.peer_acks(script.ack.wrapping_add(1));
    let fin = script.header(Flags::ACK | Flags::FIN);
    script.peer_closes();
    script.inject(&fin, &[]);
    script.deliver(&script.header(Flags::RST), &[]);
    script.deliver(&script.header(Flags::ACK), &[]);
    expect(
        &mut script,
        &[
            "sent reason=SYN rule=9293-3.10.1-2 state=SYN-SENT",
            "received verdict=accepted rule=9293-3.10.7.3-7,9293-3.10.7.4-24,9293-3.10.7.4-28 state=SYN-SENT->ESTABLISHED \
             did=opened,acked:1,window:65535,owes-ACK:ACK-of-SYN",
            "sent reason=ACK-of-SYN rule=9293-3.10.7.3-7 state=ESTABLISHED",
            "sent reason=FIN rule=9293-3.10.4-4 state=FIN-WAIT-1",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-24,9293-3.10.7.4-29 state=FIN-WAIT-1->FIN-WAIT-2 \
             did=acked:1,FIN-acked",
            "received verdict=accepted rule=9293-3.10.7.4-4,9293-3.10.7.4-40 state=FIN-WAIT-2->TIME-WAIT \
             did=FIN,answered:ACK-of-FIN",
            "sent reason=ACK-of-FIN rule=9293-3.10.7.4-40 state=TIME-WAIT",
            "received verdict=accepted rule=9293-3.10.7.4-9,9293-3.10.7.4-33 state=TIME-WAIT->TIME-WAIT \
             did=2MSL-restarted,answered:TIME-WAIT-ACK",
            "sent reason=TIME-WAIT-ACK rule=9293-3.10.7.4-33 state=TIME-WAIT",
            "received verdict=dropped drop=ignored-in-TIME-WAIT rule=1337-F1 state=TIME-WAIT->TIME-WAIT did=-",
            "received verdict=dropped drop=ignored-in-TIME-WAIT rule=9293-3.10.7.4-6 state=TIME-WAIT->TIME-WAIT did=-",
        ],
    );
}

#[test]
fn both_ends_open_at_once() {
    let mut script = traced(|_| {});
    script.connect();
    let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
    let syn = TcpHeader { options, ..script.header(Flags::SYN) };
    script.inject(&syn, &[]);
    script.seq = script.seq.wrapping_add(1);
    script.peer_acks(script.ack);
    expect(
        &mut script,
        &[
            "sent reason=SYN rule=9293-3.10.1-2 state=SYN-SENT",
            "received verdict=accepted rule=9293-3.10.7.3-8,9293-3.10.7.4-28 state=SYN-SENT->SYN-RECEIVED \
             did=crossed-SYN,window:65535",
            "sent reason=simultaneous-open rule=9293-3.10.7.3-8 state=SYN-RECEIVED",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-22,9293-3.10.7.4-24 \
             state=SYN-RECEIVED->ESTABLISHED did=established,acked:1",
        ],
    );
}

/// Ten segments of which the first is lost: SACK tells, RACK decides, and the ACK of everything ends it.
#[test]
fn a_loss_that_rack_repairs() {
    let (mut script, handle) = open(SACK);
    let start = script.ack;
    script.send(handle, &text(10 * MSS));
    script.pass(ms(20));
    let at = |segment: u32| start.wrapping_add(segment * MSS as u32);
    for last in 2..=4 {
        duplicate_ack(&mut script, &[(at(1), at(last))]);
    }
    script.pass(ms(20));
    script.peer_acks(at(10));
    let notes = script.notes.clone();
    let new: Vec<_> = notes.iter().filter(|note| value(note, "reason") == Some("new-data")).collect();
    let nxt: Vec<_> = new.iter().map(|note| value(note, "nxt").unwrap().parse::<usize>().unwrap()).collect();
    assert_eq!(nxt, (1..=10).map(|segment| 1 + segment * MSS).collect::<Vec<_>>(), "each with itself in flight");
    let rest: Vec<_> = said(&mut script).split_off(10);
    assert_eq!(
        rest,
        [
            "received verdict=accepted rule=9293-3.10.7.4-2,6675-4-1,9293-3.10.7.4-26 state=ESTABLISHED->ESTABLISHED \
             did=SACKed:1460,dup-ACK",
            "received verdict=accepted rule=9293-3.10.7.4-2,6675-4-1,9293-3.10.7.4-26 state=ESTABLISHED->ESTABLISHED \
             did=SACKed:1460,dup-ACK",
            "received verdict=accepted rule=9293-3.10.7.4-2,6675-4-1,8985-6.2-5,5681-3.2-4,9293-3.10.7.4-26 \
             state=ESTABLISHED->ESTABLISHED did=SACKed:1460,lost:1460,recovery-begins,dup-ACK",
            "sent reason=RACK rule=8985-6.2-5 state=ESTABLISHED",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-24,6675-5-2 state=ESTABLISHED->ESTABLISHED \
             did=acked:14600,recovery-ends",
        ]
    );
    let again = notes.iter().find(|note| note.contains("reason=RACK")).unwrap();
    // Seven of ten segments are in the network again: three are SACKed.
    let keys = ["una", "nxt", "cwnd", "ssthresh", "srtt", "in-flight"].map(|key| value(again, key).unwrap());
    assert_eq!(keys, ["1", "14601", "7300", "7300", "20.000ms", "10220"]);
}

#[test]
fn three_duplicate_acks_of_a_peer_without_sack() {
    let (mut script, handle) = open(TcpOptions { sack_permitted: false, ..SACK });
    script.send(handle, &text(10 * MSS));
    script.pass(ms(20));
    (0..3).for_each(|_| drop(duplicate_ack(&mut script, &[])));
    let rest = said(&mut script).split_off(12);
    assert_eq!(
        rest,
        [
            "received verdict=accepted rule=9293-3.10.7.4-2,5681-3.2-2,5681-3.2-4,9293-3.10.7.4-26 \
             state=ESTABLISHED->ESTABLISHED did=lost-by-duplicates:1460,recovery-begins,dup-ACK",
            "sent reason=fast-retransmit rule=5681-3.2-2 state=ESTABLISHED",
        ]
    );
}

/// Nothing answers: a probe of the tail, then the timeout, twice.
#[test]
fn a_tail_loss_probe_and_timeouts() {
    let (mut script, handle) = open(SACK);
    script.send(handle, &text(MSS));
    script.pass(secs(1));
    let notes = script.notes.clone();
    expect(
        &mut script,
        &[
            "sent reason=new-data rule=9293-3.10.2-4 state=ESTABLISHED",
            "sent reason=TLP rule=8985-7.3-2 state=ESTABLISHED",
            "sent reason=RTO rule=6298-5.4 state=ESTABLISHED",
            "sent reason=RTO rule=6298-5.4 state=ESTABLISHED",
        ],
    );
    let of = |key| notes.iter().map(|note| value(note, key).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(of("cwnd")[1..], ["14600", "1460", "1460"]);
    assert_eq!(of("nxt"), ["1461"; 4]);
    assert_eq!((of("rto")[0].as_str(), of("rto")[2].as_str()), ("220.000ms", "440.000ms"));
}

#[test]
fn a_window_that_closes_is_probed_and_opens() {
    let (mut script, handle) = open(TcpOptions { window_scale: None, ..SACK });
    script.window = 2_920;
    script.peer_acks(script.ack);
    let start = script.ack;
    script.send(handle, &text(3 * MSS));
    ack(&mut script, start.wrapping_add(2_920), 0);
    script.pass(ms(300));
    ack(&mut script, start.wrapping_add(2_920), 0);
    ack(&mut script, start.wrapping_add(2_920), 10_000);
    let mut notes = said(&mut script);
    notes.retain(|note| !note.contains("reason=new-data"));
    assert_eq!(
        notes,
        [
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-28 state=ESTABLISHED->ESTABLISHED did=window:2920",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-24,9293-MUST-35 state=ESTABLISHED->ESTABLISHED \
             did=acked:2920,window-closed",
            "sent reason=zero-window-probe rule=9293-MUST-36 state=ESTABLISHED",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-26 state=ESTABLISHED->ESTABLISHED did=dup-ACK",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-28 state=ESTABLISHED->ESTABLISHED \
             did=window-reopened:10000",
            "sent reason=window-reopened rule=9293-SHLD-16 state=ESTABLISHED",
        ]
    );
}

#[test]
fn a_keep_alive() {
    let mut script = Script::with(|config| {
        config.tcp.socket.keep_alive = true;
        config.tcp.socket.keep_alive_idle = secs(10);
    });
    script.accept();
    script.stack.set_traced(true);
    script.pass(secs(10));
    expect(&mut script, &["sent reason=keep-alive rule=9293-SHLD-12 state=ESTABLISHED"]);
}

/// Text that comes out of order, twice, and behind a FIN; and a reader that opens the window.
#[test]
fn what_text_comes_to() {
    let (mut script, handle) = open(SACK);
    peer_sends_at(&mut script, 100, &text(100));
    peer_sends_at(&mut script, 100, &text(100));
    peer_sends_at(&mut script, 0, &text(100));
    peer_sends_at(&mut script, 0, &text(100));
    peer_sends_at(&mut script, 150, &text(100));
    let fin = TcpHeader { flags: Flags::ACK | Flags::FIN, ..header_at(&script, 300) };
    script.inject(&fin, &[]);
    peer_sends_at(&mut script, 250, &text(50));
    let lines = said(&mut script);
    let did: Vec<_> = lines.iter().filter_map(|note| value(note, "did").or(value(note, "reason"))).collect();
    assert_eq!(
        did,
        [
            "out-of-order:100,owes-ACK:duplicate-ACK",
            "duplicate-ACK",
            "duplicate-text:100,owes-ACK:duplicate-ACK",
            "duplicate-ACK",
            "delivered:200,owes-ACK:gap-ACK",
            "gap-ACK",
            "duplicate-text:100,owes-ACK:unacceptable-ACK",
            "unacceptable-ACK",
            "duplicate-text:50,delivered:50,owes-ACK:ACK",
            "ACK",
            "FIN-early,owes-ACK:FIN-early-ACK",
            "FIN-early-ACK",
            "delivered:50,FIN,owes-ACK:ACK-of-FIN",
            "ACK-of-FIN",
        ]
    );
    assert_eq!(script.receive(handle).len(), 300);
}

#[test]
fn a_reader_opens_the_window_and_every_second_segment_is_acknowledged() {
    let (mut script, handle) = open(TcpOptions { window_scale: None, ..SACK });
    let many = text(MSS);
    while script.stack.tcp_snapshot(handle).unwrap().rcv_wnd >= MSS as u32 {
        script.peer_sends(&many);
    }
    let acks = said(&mut script);
    assert!(acks.contains(&"sent reason=ACK rule=9293-SHLD-19 state=ESTABLISHED".to_owned()), "{acks:#?}");
    script.receive(handle);
    script.sent();
    expect(&mut script, &["sent reason=window-update rule=9293-MUST-39 state=ESTABLISHED"]);
}

/// RFC7413/4.2.1, 7413-4.1.2, 7413-4.1.3, 7413-4.2.2-1 and 7413-4.2.2-2 are named where they decide.
#[test]
fn fast_open_has_words_of_its_own() {
    let mut script = traced(|_| {});
    let options = ListenOptions { fast_open: Some(ListenFastOpen::new(4)), ..ListenOptions::default() };
    script.stack.tcp_listen_with(script.local, &options).unwrap();
    let syn = |script: &mut Script, fast_open, text: &[u8]| {
        let syn = TcpHeader { options: TcpOptions { fast_open, ..TcpOptions::default() }, ..script.header(Flags::SYN) };
        script.deliver(&syn, text);
        let sent = script.sent_one();
        (script.seq, script.ack) = (sent.header.ack, sent.header.seq.wrapping_add(1));
        sent.header.options.fast_open
    };
    let cookie = syn(&mut script, Some(Cookie::REQUEST), b"early");
    script.deliver(&script.header(Flags::RST), &[]);
    let iss = script.seq;
    syn(&mut script, cookie, b"early");
    script.inject(&TcpHeader { seq: iss, ..script.header(Flags::SYN) }, &[]);
    script.inject(&script.header(Flags::ACK), &[]);
    expect(
        &mut script,
        &[
            "received verdict=accepted rule=9293-3.10.7.2-3,9293-3.10.7.2-5,7413-4.1.2 state=LISTEN->SYN-RECEIVED \
             did=SYN-taken,SYN-text-left:5,answered:SYN-ACK-tells",
            "sent reason=SYN-ACK-tells rule=7413-4.1.2 state=SYN-RECEIVED",
            "received verdict=accepted rule=9293-3.5.3-1,9293-3.10.7.4-13 state=SYN-RECEIVED->LISTEN did=back-to-LISTEN",
            "received verdict=accepted rule=7413-4.2.2-2,9293-3.10.7.4-36 state=LISTEN->SYN-RECEIVED \
             did=fast-opened,delivered:5",
            "sent reason=SYN-ACK-fast rule=7413-4.2.2-2 state=SYN-RECEIVED",
            "received verdict=dropped drop=outside-the-receive-window rule=9293-3.10.7.4-6 \
             state=SYN-RECEIVED->SYN-RECEIVED did=-",
            "sent reason=SYN-ACK-again rule=9293-3.10.7.4-6 state=SYN-RECEIVED",
            "received verdict=accepted rule=9293-3.10.7.4-2,9293-3.10.7.4-22,9293-3.10.7.4-24 \
             state=SYN-RECEIVED->ESTABLISHED did=established,acked:1",
        ],
    );
    // As a client.
    let connect = |script: &mut Script, port, text: &[u8]| {
        script.peer.set_port(port);
        let (now, peer, socket) = (script.now, script.peer, script.stack.config().tcp.socket);
        script.stack.tcp_connect_fast(now, None, peer, socket, text).unwrap();
        let syn = script.sent_one();
        script.local.set_port(syn.header.source_port);
        script.ack = syn.header.seq.wrapping_add(1);
    };
    connect(&mut script, 1, b"");
    let told = TcpOptions { fast_open: Cookie::new(&[7; 8]), ..TcpOptions::default() };
    script.inject(&TcpHeader { options: told, ..script.header(Flags::SYN | Flags::ACK) }, &[]);
    connect(&mut script, 2, b"GET /");
    script.inject(&script.header(Flags::SYN | Flags::ACK), &[]);
    let sent: Vec<String> = said(&mut script).into_iter().filter(|note| note.contains("state=SYN-SENT")).collect();
    assert_eq!(
        sent,
        [
            "sent reason=SYN-asks rule=RFC7413/4.2.1 state=SYN-SENT",
            "received verdict=accepted rule=9293-3.10.7.3-7,9293-3.10.7.4-24,9293-3.10.7.4-28 state=SYN-SENT->ESTABLISHED \
             did=opened,acked:1,window:65535,owes-ACK:ACK-of-SYN",
            "sent reason=SYN-fast rule=7413-4.2.2-1 state=SYN-SENT",
            "received verdict=accepted rule=9293-3.10.7.3-7,9293-3.10.7.4-24,9293-3.10.7.4-28 state=SYN-SENT->ESTABLISHED \
             did=opened,acked:1,window:65535,owes-ACK:ACK-of-SYN",
        ]
    );
}

/// A stack that is not traced makes no notes, and forgets the last one.
#[test]
fn nobody_pays_who_does_not_look() {
    let mut script = Script::new();
    script.accept();
    script.stack.set_traced(true);
    script.stack.set_traced(false);
    script.peer_sends(b"text");
    assert!(script.notes.is_empty() && script.stack.take_note().is_none());
}

/// The captures of both sides of a lossy path.
fn lossy(offload: bool) -> ([Vec<Record>; 2], u32) {
    let impairment = Impairment::perfect().delay(ms(10)).loss(20_000);
    let mut flow = Flow::open(impairment, 7, |config| config.tcp.socket.congestion = Algorithm::Cubic);
    if offload {
        flow.world.offload(Side::A, 65_535, true);
    }
    flow.world.capture().unwrap();
    let before = flow.client().statistics.retransmits;
    assert!(flow.transfer(2_000_000, secs(60), |_| {}));
    let retransmits = flow.client().statistics.retransmits - before;
    let captures = flow.world.take_captures().unwrap().unwrap();
    (captures.map(|capture| pcapng::read(&capture).unwrap()), retransmits)
}

fn segment(record: &Record) -> (TcpHeader, usize) {
    let ip = parse_ip(&record.packet).unwrap();
    assert_eq!(ip.protocol, protocol::TCP);
    let (header, text) = tcp::parse(ip.payload).unwrap();
    (header, text.len())
}

#[test]
fn every_packet_of_a_lossy_transfer_has_one_comment_that_is_true() {
    let ([client, server], retransmits) = lossy(false);
    assert!(client.len() > 1_400 && server.len() > 1_400);
    let repairs = [Why::Rack, Why::LossProbe, Why::Timeout].map(Why::word);
    let (mut next, mut again, mut delivered) = (None, 0, 0);
    for record in client.iter().chain(&server) {
        assert_eq!(record.comments.len(), 1);
        let first = if record.direction == Some(Direction::In) { "received verdict=" } else { "sent reason=" };
        assert!(record.comments[0].starts_with(first), "{}", record.comments[0]);
        assert!(!record.comments[0].contains("rule=- "), "{}", record.comments[0]);
    }
    for record in client.iter().filter(|record| record.direction == Some(Direction::Out)) {
        let (note, (header, len)) = (&record.comments[0], segment(record));
        let end = header.seq.wrapping_add(len as u32);
        let is_new = next.is_none_or(|next: u32| end.wrapping_sub(next) as i32 > 0);
        let reason = value(note, "reason").unwrap();
        if len > 0 {
            assert_eq!(repairs.contains(&reason) && reason != "TLP" || reason == "TLP" && !is_new, !is_new, "{note}");
            again += u32::from(!is_new);
            next = Some(if is_new { end } else { next.unwrap() });
        }
    }
    assert_eq!(again, retransmits);
    for record in server.iter().filter(|record| record.direction == Some(Direction::In)) {
        let note = &record.comments[0];
        let done = value(note, "did").unwrap().split(',').find_map(|did| did.strip_prefix("delivered:"));
        delivered += done.map_or(0, |octets| octets.parse::<usize>().unwrap());
    }
    assert_eq!(delivered, 2_000_000);
}

/// The pieces of a super-segment are told apart by their own numbers.
#[test]
fn what_is_cut_for_a_capture_counts_up() {
    let ([client, _], _) = lossy(true);
    let mut pieces = 0;
    for pair in client.windows(2) {
        let [(first, len), (second, more)] = [segment(&pair[0]), segment(&pair[1])];
        let new = |record: &Record| value(&record.comments[0], "reason") == Some("new-data");
        let one_super_segment = pair[0].time_ns == pair[1].time_ns
            && pair.iter().all(|record| record.direction == Some(Direction::Out) && new(record))
            && first.seq.wrapping_add(len as u32) == second.seq;
        if one_super_segment {
            let nxt = |record: &Record| value(&record.comments[0], "nxt").unwrap().parse::<usize>().unwrap();
            assert_eq!(nxt(&pair[1]) - nxt(&pair[0]), more);
            pieces += 1;
        }
    }
    assert!(pieces > 500, "{pieces}");
}
