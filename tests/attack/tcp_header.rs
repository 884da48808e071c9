//! The TCP header and its options, towards a listener and towards a closed port.

use crate::packet::{ACK, Answer, FIN, PSH, RST, SYN, Tcp, URG};
use crate::target::{ATTACKER4, CLOSED, Client, SERVED, Target, from};

/// What a segment brings back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reply {
    Silence,
    SynAck,
    Reset,
}

/// Sends one segment with this text and looks at the reply and its form.
fn one(target: &mut Target, name: &str, text: &[u8], expected: &[Reply], change: impl FnOnce(&mut Tcp)) {
    target.pass(std::time::Duration::from_secs(2));
    let ip = from(ATTACKER4);
    let mut tcp = Tcp::new(target.fresh_port(), SERVED, SYN);
    change(&mut tcp);
    let answers = target.answers(&[ip.carry(6, &ip.segment(&tcp, text))]);
    let reply = match &answers[..] {
        [] => Reply::Silence,
        [answer] if answer.is_tcp() && answer.flags() & 0x3F == SYN | ACK => Reply::SynAck,
        [answer] if answer.is_tcp() && answer.flags() & RST != 0 => {
            check_reset(name, &tcp, text, answer);
            Reply::Reset
        }
        _ => panic!("{name}: {answers:?}"),
    };
    assert!(expected.contains(&reply), "{name}: {reply:?}: {answers:?}");
    target.serves_a_fresh_client(name);
}

/// 9293-3.10.7.1-2, 9293-3.10.7.1-3: the two forms of a reset.
fn check_reset(name: &str, tcp: &Tcp, text: &[u8], answer: &Answer) {
    if tcp.flags & ACK != 0 {
        assert!(answer.number(4) == tcp.ack && answer.flags() & ACK == 0, "{name}: {answer:?}");
    } else {
        let len = text.len() as u32 + u32::from(tcp.flags & SYN != 0) + u32::from(tcp.flags & FIN != 0);
        assert!(answer.number(4) == 0 && answer.flags() & ACK != 0, "{name}: {answer:?}");
        assert_eq!(answer.number(8), tcp.seq.wrapping_add(len), "{name}");
    }
}

/// 9293-MUST-3, 9293-3.1-2
#[test]
fn malformed_headers() {
    let target = &mut Target::new();
    let silence = &[Reply::Silence];
    one(target, "offset 0", &[], silence, |tcp| tcp.offset = Some(0));
    one(target, "offset 4", &[], silence, |tcp| tcp.offset = Some(4));
    one(target, "offset beyond the segment", &[], silence, |tcp| tcp.offset = Some(15));
    one(target, "wrong checksum", &[], silence, |tcp| tcp.checksum = Some(0x1234));
    one(target, "checksum 0", &[], silence, |tcp| tcp.checksum = Some(0));
    one(target, "from port 0", &[], silence, |tcp| tcp.source = 0);
    one(target, "to port 0", &[], silence, |tcp| tcp.destination = 0);
    let ip = from(ATTACKER4);
    let whole = ip.segment(&Tcp::new(target.fresh_port(), SERVED, SYN), &[]);
    for len in [0, 1, 12, 19] {
        assert!(target.answers(&[ip.carry(6, &whole[..len])]).is_empty(), "{len} octets");
        target.serves_a_fresh_client("a cut header");
    }
}

/// 9293-3.10.7.2-1 to -4: LISTEN hears a SYN alone.
#[test]
fn flags_towards_a_listener() {
    let target = &mut Target::new();
    let (silence, reset, open) = (&[Reply::Silence], &[Reply::Reset], &[Reply::SynAck]);
    one(target, "SYN", &[], open, |_| {});
    one(target, "no flags", &[], silence, |tcp| tcp.flags = 0);
    one(target, "FIN PSH URG", &[], silence, |tcp| tcp.flags = FIN | PSH | URG);
    one(target, "all flags", &[], silence, |tcp| tcp.flags = 63);
    // The FIN comes again with the text, and counts then.
    one(target, "SYN FIN", &[], open, |tcp| tcp.flags = SYN | FIN);
    one(target, "SYN RST", &[], silence, |tcp| tcp.flags = SYN | RST);
    one(target, "FIN", &[], silence, |tcp| tcp.flags = FIN);
    one(target, "RST", &[], silence, |tcp| tcp.flags = RST);
    one(target, "RST ACK", &[], silence, |tcp| (tcp.flags, tcp.ack) = (RST | ACK, 5));
    one(target, "text without ACK", b"x", silence, |tcp| tcp.flags = PSH);
    one(target, "ACK", &[], reset, |tcp| (tcp.flags, tcp.ack) = (ACK, 12_345));
    one(target, "SYN ACK", &[], reset, |tcp| (tcp.flags, tcp.ack) = (SYN | ACK, 999));
    one(target, "FIN ACK", &[], reset, |tcp| (tcp.flags, tcp.ack) = (FIN | ACK, 999));
    one(target, "reserved bits", &[], open, |tcp| tcp.reserved = 14);
    one(target, "SYN ECE CWR", &[], open, |tcp| tcp.flags = SYN | 0xC0);
    one(target, "SYN PSH", &[], open, |tcp| tcp.flags = SYN | PSH);
    one(target, "SYN URG", &[], open, |tcp| (tcp.flags, tcp.urgent) = (SYN | URG, 5));
    one(target, "SYN with text", b"hello", open, |_| {});
    one(target, "window 0", &[], open, |tcp| tcp.window = 0);
    one(target, "the last sequence number", &[], open, |tcp| tcp.seq = u32::MAX);
}

/// 9293-3.10.7.1-1 to -3
#[test]
fn flags_towards_a_closed_port() {
    let target = &mut Target::new();
    for (flags, text) in [
        (SYN, &b""[..]),
        (SYN, b"abc"),
        (SYN | FIN, b""),
        (ACK, b""),
        (ACK, b"abc"),
        (FIN, b""),
        (FIN | ACK, b""),
        (SYN | ACK, b""),
        (0, b""),
        (0, b"abc"),
        (URG | PSH | FIN, b""),
    ] {
        let name = format!("flags {flags:#x} to a closed port");
        one(target, &name, text, &[Reply::Reset], |tcp| {
            (tcp.flags, tcp.destination) = (flags, CLOSED);
            tcp.ack = if flags & ACK != 0 { 777 } else { 0 };
        });
    }
    for flags in [RST, RST | ACK, RST | SYN, 63] {
        let name = format!("flags {flags:#x} to a closed port");
        one(target, &name, &[], &[Reply::Silence], |tcp| (tcp.flags, tcp.destination) = (flags, CLOSED));
    }
}

/// 9293-MUST-6, 9293-MUST-7, 9293-MUST-64: unknown options are skipped, impossible ones do no harm.
#[test]
fn options_of_a_syn() {
    let target = &mut Target::new();
    let open: &[(&str, &[u8])] = &[
        ("unknown", &[0xFD, 4, 1, 2]),
        ("40 octets of an unknown one", &[&[0xFE, 40], &[0; 38][..]].concat()),
        ("MSS 0", &[2, 4, 0, 0]),
        ("MSS 1", &[2, 4, 0, 1]),
        ("MSS 65535", &[2, 4, 255, 255]),
        ("window scale 15", &[3, 3, 15, 0]),
        ("window scale 255", &[3, 3, 255, 0]),
        ("two MSS", &[2, 4, 5, 0xB4, 2, 4, 1, 0]),
        ("garbage behind the end", &[0, 255, 255, 255]),
        ("40 no-operations", &[1; 40]),
        ("SACK", &[5, 10, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("Fast Open", &[34, 2, 1, 1]),
        ("Multipath TCP", &[30, 12, 1, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("timestamp 0", &[8, 10, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, options) in open {
        one(target, name, &[], &[Reply::SynAck], |tcp| tcp.options = options.to_vec());
    }
    // A known kind with a length that is not its own says nothing; the list goes on behind it.
    let odd: &[(&str, &[u8])] = &[
        ("kind without length", &[1, 1, 1, 2]),
        ("MSS of 3 octets", &[2, 3, 5, 0]),
        ("MSS of 5 octets", &[2, 5, 5, 0xB4, 0]),
        ("timestamp of 9 octets", &[8, 9, 0, 0, 0, 1, 0, 0, 0]),
        ("SACK permitted of 3 octets", &[4, 3, 0, 0]),
        ("a signature", &[&[19, 18], &[0; 16][..]].concat()),
    ];
    for (name, options) in odd {
        one(target, name, &[], &[Reply::SynAck], |tcp| tcp.options = options.to_vec());
    }
    // Behind these there is no knowing where the list goes on.
    let refused: &[(&str, &[u8])] = &[
        ("length 0", &[8, 0, 0, 0]),
        ("length 1", &[8, 1, 0, 0]),
        ("beyond the header", &[2, 4, 5, 0xB4, 8, 40, 0, 0]),
    ];
    for (name, options) in refused {
        one(target, name, &[], &[Reply::Silence], |tcp| tcp.options = options.to_vec());
    }
}

/// A peer that allows tiny segments gets small ones, but not one octet each (design: a peer's MSS under 88 is 88).
#[test]
fn tiny_mss() {
    let mut target = Target::new();
    let mut client = Client::new(&mut target, false);
    client.open(&mut target, &[2, 4, 0, 1]).unwrap();
    let answers = client.answers(&mut target, &client.header(ACK | PSH), &[7; 1_000]);
    let largest = answers.iter().map(|answer| answer.text().len()).max();
    assert!(largest.is_some_and(|largest| largest >= 40), "{answers:?}");
    target.serves_a_fresh_client("a tiny MSS");
}
