//! Segments that do not fit the state of their connection, and floods of those that do.

use std::time::Duration;

use crate::packet::{ACK, Answer, FIN, PSH, RST, SYN, Tcp, URG};
use crate::target::{ATTACKER4, Client, SERVED, Target, from};

/// What a segment on an established connection brings back.
enum Reply {
    /// An ACK with the right numbers, once.
    Ack,
    Silence,
    /// Anything but a reset, and not much of it.
    NoReset,
}

/// Sends one segment on a new connection, which has to live on.
fn survives(target: &mut Target, name: &str, reply: Reply, text: &[u8], change: impl FnOnce(&Client, &mut Tcp)) {
    target.pass(Duration::from_secs(2));
    let mut client = Client::connected(target, false);
    let mut tcp = client.header(ACK);
    change(&client, &mut tcp);
    let answers = client.answers(target, &tcp, text);
    match reply {
        Reply::Ack => {
            let [answer] = &answers[..] else { panic!("{name}: {answers:?}") };
            assert_eq!(
                (answer.flags() & 0x3F, answer.number(4), answer.number(8)),
                (ACK, client.ack, client.seq),
                "{name}"
            );
        }
        Reply::Silence => assert!(answers.is_empty(), "{name}: {answers:?}"),
        Reply::NoReset => {
            assert!(
                answers.len() <= 3 && answers.iter().all(|answer| answer.flags() & RST == 0),
                "{name}: {answers:?}"
            );
        }
    }
    assert_eq!(client.exchange(target, b"alive").as_deref(), Ok(&b"alive"[..]), "{name}");
    client.close(target);
    target.serves_a_fresh_client(name);
}

/// 9293-3.10.7.4-10, 9293-3.10.7.4-12
#[test]
fn blind_segments() {
    let target = &mut Target::new();
    let far = 0x7FFF_0000;
    survives(target, "RST beside RCV.NXT", Reply::Ack, &[], |client, tcp| (tcp.flags, tcp.seq) = (RST, client.seq + 1));
    survives(target, "RST late in the window", Reply::Ack, &[], |client, tcp| {
        (tcp.flags, tcp.seq) = (RST, client.seq.wrapping_add(20_000))
    });
    survives(target, "RST ACK late", Reply::Ack, &[], |client, tcp| {
        (tcp.flags, tcp.seq) = (RST | ACK, client.seq.wrapping_add(20_000))
    });
    survives(target, "RST outside", Reply::Silence, &[], |client, tcp| {
        (tcp.flags, tcp.seq) = (RST, client.seq.wrapping_add(far))
    });
    survives(target, "RST before the window", Reply::Silence, &[], |client, tcp| {
        (tcp.flags, tcp.seq) = (RST, client.seq.wrapping_sub(2))
    });
    survives(target, "SYN in the window", Reply::Ack, &[], |_, tcp| (tcp.flags, tcp.ack) = (SYN, 0));
    survives(target, "SYN outside", Reply::Ack, &[], |client, tcp| {
        (tcp.flags, tcp.seq) = (SYN, client.seq.wrapping_add(far))
    });
    survives(target, "SYN ACK", Reply::Ack, &[], |_, tcp| tcp.flags = SYN | ACK);
    survives(target, "ACK of what was never sent", Reply::Ack, &[], |client, tcp| {
        tcp.ack = client.ack.wrapping_add(1_000)
    });
    survives(target, "text behind the window", Reply::Ack, b"x", |client, tcp| tcp.seq = client.seq.wrapping_add(far));
    survives(target, "text before the window", Reply::Ack, b"x", |client, tcp| tcp.seq = client.seq.wrapping_sub(1));
    survives(target, "a keep-alive probe", Reply::Ack, &[], |client, tcp| tcp.seq = client.seq.wrapping_sub(1));
    survives(target, "FIN outside", Reply::Ack, &[], |client, tcp| {
        (tcp.flags, tcp.seq) = (FIN | ACK, client.seq.wrapping_add(far))
    });
    survives(target, "text without ACK", Reply::Silence, b"xyz", |_, tcp| tcp.flags = PSH);
    survives(target, "no flags", Reply::Silence, &[], |_, tcp| tcp.flags = 0);
    survives(target, "an ancient ACK", Reply::NoReset, &[], |client, tcp| tcp.ack = client.ack.wrapping_sub(far));
}

/// 9293-MUST-5, 9293-MUST-6, 2018-3
#[test]
fn garbage_in_the_header() {
    let target = &mut Target::new();
    let reversed = |client: &Client| {
        let edges = [client.ack.wrapping_add(9).to_be_bytes(), client.ack.wrapping_add(3).to_be_bytes()].concat();
        [&[1, 1, 5, 10], &edges[..]].concat()
    };
    survives(target, "urgent pointer", Reply::NoReset, &[], |_, tcp| (tcp.flags, tcp.urgent) = (ACK | URG, u16::MAX));
    survives(target, "urgent pointer without the bit", Reply::NoReset, &[], |_, tcp| tcp.urgent = u16::MAX);
    survives(target, "SACK of nothing sent", Reply::NoReset, &[], |_, tcp| {
        tcp.options = [&[1, 1, 5, 34], &[0xA5; 32][..]].concat()
    });
    survives(target, "a reversed SACK block", Reply::NoReset, &[], |client, tcp| tcp.options = reversed(client));
    survives(target, "SACK of 3 octets", Reply::NoReset, &[], |_, tcp| tcp.options = vec![5, 3, 0, 1]);
    survives(target, "MSS on an ACK", Reply::NoReset, &[], |_, tcp| tcp.options = vec![2, 4, 0, 1]);
    survives(target, "window scale on an ACK", Reply::NoReset, &[], |_, tcp| tcp.options = vec![3, 3, 14, 0]);
    survives(target, "a timestamp that was not agreed", Reply::NoReset, &[], |_, tcp| {
        tcp.options = [&[1, 1, 8, 10], &[255; 8][..]].concat()
    });
    survives(target, "ECE and CWR", Reply::NoReset, &[], |_, tcp| tcp.flags = ACK | 0xC0);
    survives(target, "reserved bits", Reply::NoReset, &[], |_, tcp| tcp.reserved = 14);
    survives(target, "a closed window", Reply::NoReset, &[], |_, tcp| tcp.window = 0);
}

/// 9293-3.10.7.4-11: the one reset that counts.
#[test]
fn exact_reset() {
    let mut target = Target::new();
    let client = Client::connected(&mut target, false);
    assert!(client.answers(&mut target, &client.header(RST), &[]).is_empty());
    let answers = client.answers(&mut target, &client.header(ACK), b"x");
    assert!(answers.len() == 1 && answers[0].flags() & RST != 0 && answers[0].number(4) == client.ack);
    target.serves_a_fresh_client("a reset");
}

/// 9293-3.10.7.4-23, 9293-3.10.7.4-13: SYN-RECEIVED, with everything but the right ACK.
#[test]
fn half_open() {
    let mut target = Target::new();
    let half_open = |target: &mut Target| {
        let mut client = Client::new(target, false);
        let answers = client.answers(target, &client.header(SYN), &[]);
        client.seq = client.seq.wrapping_add(1);
        client.ack = answers[0].number(4).wrapping_add(1);
        client
    };
    let client = half_open(&mut target);
    let wrong = Tcp { ack: client.ack.wrapping_add(7), ..client.header(ACK) };
    let answers = client.answers(&mut target, &wrong, &[]);
    assert!(answers.len() == 1 && answers[0].flags() == RST && answers[0].number(4) == wrong.ack, "{answers:?}");

    let client = half_open(&mut target);
    assert!(client.answers(&mut target, &client.header(RST), &[]).is_empty());
    let answers = client.answers(&mut target, &client.header(ACK), &[]);
    assert!(answers.len() == 1 && answers[0].flags() & RST != 0, "{answers:?}");

    let client = half_open(&mut target);
    let again = Tcp { seq: client.seq.wrapping_sub(1), ..client.header(SYN) };
    let answers = client.answers(&mut target, &again, &[]);
    assert!(answers.len() == 1 && answers[0].flags() & RST == 0, "{answers:?}");

    let client = half_open(&mut target);
    let answers = client.answers(&mut target, &client.header(FIN | ACK), &[]);
    assert!(answers.iter().any(|answer| answer.number(8) == client.seq.wrapping_add(1)), "{answers:?}");
    target.serves_a_fresh_client("half-open connections");
}

/// 9293-3.10.7.4-36, 9293-3.10.7.4-40, 9293-3.10.7.4-8: overlaps, and a FIN that is early or late.
#[test]
fn order() {
    let mut target = Target::new();
    let mut client = Client::connected(&mut target, false);
    let at =
        |client: &Client, offset: u32, flags: u8| Tcp { seq: client.seq.wrapping_add(offset), ..client.header(flags) };
    client.answers(&mut target, &at(&client, 3, ACK), b"defgh");
    client.answers(&mut target, &at(&client, 3, ACK), b"XXXghij");
    let answers = client.answers(&mut target, &at(&client, 0, ACK), b"abcdef");
    let text = client.read(&answers);
    assert_eq!(text, b"abcdefghij", "what came first counts");

    let mut client = Client::connected(&mut target, false);
    let answers = client.answers(&mut target, &at(&client, 3, FIN | ACK), &[]);
    assert!(answers.iter().all(|answer| answer.flags() & FIN == 0), "a FIN behind a gap closes nothing");
    let answers = client.answers(&mut target, &at(&client, 0, ACK), b"abc");
    assert_eq!(client.read(&answers), b"abc");
    assert!(answers.iter().any(|answer| answer.flags() & FIN != 0 || answer.number(8) == client.seq.wrapping_add(4)));

    let mut client = Client::connected(&mut target, false);
    let mut answers = client.answers(&mut target, &at(&client, 0, FIN | ACK), b"bye");
    assert_eq!(client.read(&answers), b"bye");
    answers.extend(client.answers(&mut target, &at(&client, 4, ACK), b"zombie"));
    assert_eq!(client.read(&answers), b"", "nothing behind a FIN is delivered");
    target.serves_a_fresh_client("disorder");
}

/// 7323-5.3-1, 7323-3.2-3
#[test]
fn old_timestamps() {
    let mut target = Target::new();
    let mut client = Client::new(&mut target, false);
    let stamp = |value: u32| [&[1, 1, 8, 10], &value.to_be_bytes()[..], &[0; 4]].concat();
    let syn = Tcp { options: stamp(1_000_000), ..client.header(SYN) };
    let answers = client.answers(&mut target, &syn, &[]);
    client.seq = client.seq.wrapping_add(1);
    client.ack = answers[0].number(4).wrapping_add(1);
    let send = |client: &Client, target: &mut Target, options: Vec<u8>, text: &[u8]| {
        client.answers(target, &Tcp { options, ..client.header(ACK | PSH) }, text)
    };
    send(&client, &mut target, stamp(1_000_001), &[]);
    let answers = send(&client, &mut target, stamp(1_000_002), b"new");
    client.seq = client.seq.wrapping_add(3);
    assert_eq!(client.read(&answers), b"new");
    let answers = send(&client, &mut target, stamp(999_000), b"old");
    assert!(answers.len() == 1 && answers[0].text().is_empty() && answers[0].number(8) == client.seq, "{answers:?}");
    let answers = send(&client, &mut target, Vec::new(), b"bare");
    assert_eq!(client.read(&answers), b"", "an agreed timestamp is missing");
    let answers = send(&client, &mut target, stamp(1_000_003), b"next");
    assert_eq!(client.read(&answers), b"next");
    target.serves_a_fresh_client("old timestamps");
}

/// Sends many packets, and looks at tables and memory all the while.
fn flood(target: &mut Target, name: &str, count: u32, mut make: impl FnMut(u32) -> Vec<u8>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for number in 0..count {
        target.give(&make(number));
        if number % 100 == 99 {
            answers.extend(target.pass(Duration::from_millis(1)));
        }
    }
    assert!(target.stack.buffer_memory() < 64 << 20, "{name}: {} octets of buffers", target.stack.buffer_memory());
    target.serves_a_fresh_client(name);
    answers
}

/// 4987-3.2, 4987-3.6
#[test]
fn flood_of_syns_and_of_acks() {
    let mut target = Target::new();
    let strangers = |number: u32| from(&format!("10.0.0.{}", 100 + number % 150));
    flood(&mut target, "a flood of SYNs", 20_000, |number| {
        let ip = strangers(number);
        let tcp = Tcp { seq: number.wrapping_mul(7_919), ..Tcp::new(1_024 + (number % 60_000) as u16, SERVED, SYN) };
        ip.carry(6, &ip.segment(&tcp, &[]))
    });
    let (half_open, connections, _) = target.stack.table_sizes();
    assert!(half_open <= 1_024 && connections <= 8, "{half_open} half-open, {connections} connections");
    flood(&mut target, "a flood of ACKs", 20_000, |number| {
        let ip = strangers(number);
        let tcp = Tcp { ack: number.wrapping_mul(31_337), ..Tcp::new(1_024 + (number % 60_000) as u16, SERVED, ACK) };
        ip.carry(6, &ip.segment(&tcp, b"x"))
    });
}

/// 5961-7-1: one connection does not make us answer without end, nor two of them each other.
#[test]
fn flood_of_challenges() {
    let mut target = Target::new();
    let mut client = Client::connected(&mut target, false);
    let tcp = Tcp { ack: client.ack.wrapping_add(1_000), ..client.header(ACK) };
    let packet = client.packet(&tcp, &[]);
    let answers = flood(&mut target, "a flood of challenges", 5_000, |_| packet.clone());
    assert!(answers.len() < 200, "{} challenge ACKs", answers.len());
    assert_eq!(client.exchange(&mut target, b"alive").as_deref(), Ok(&b"alive"[..]));
}

/// SegmentSmack: single octets out of order.
#[test]
fn many_ranges() {
    let mut target = Target::new();
    let client = Client::connected(&mut target, false);
    flood(&mut target, "single octets", 20_000, |number| {
        let offset = 2 + number.wrapping_mul(7_919) % 30_000 * 2;
        client.packet(&Tcp { seq: client.seq.wrapping_add(offset), ..client.header(ACK) }, b"x")
    });
}

/// SACK panic: tiny segments in flight, and blocks of one octet.
#[test]
fn many_blocks() {
    let mut target = Target::new();
    let mut client = Client::new(&mut target, false);
    client.open(&mut target, &[2, 4, 0, 48, 4, 2, 1, 1]).unwrap();
    for offset in (0..8_000).step_by(1_000) {
        client.answers(&mut target, &Tcp { seq: client.seq.wrapping_add(offset), ..client.header(ACK) }, &[65; 1_000]);
    }
    flood(&mut target, "single octets in SACK blocks", 5_000, |number| {
        let first = client.ack.wrapping_add(number * 97 % 7_000);
        let block = |k: u32| {
            [first.wrapping_add(k * 200).to_be_bytes(), first.wrapping_add(k * 200 + 1).to_be_bytes()].concat()
        };
        let options = [vec![1, 1, 5, 34], (0..4).flat_map(block).collect()].concat();
        client.packet(&Tcp { seq: client.seq.wrapping_add(8_000), options, ..client.header(ACK) }, &[])
    });
}

/// Sockstress: connections whose window is closed for ever hold no more than their share.
#[test]
fn closed_windows() {
    let mut target = Target::new();
    for _ in 0..500 {
        let mut client = Client::connected(&mut target, false);
        client.window = 0;
        client.answers(&mut target, &client.header(ACK), &[65; 1_400]);
    }
    target.pass(Duration::from_secs(30));
    assert!(target.stack.buffer_memory() < 64 << 20);
    target.serves_a_fresh_client("500 closed windows");
}

/// Optimistic and divided ACKs, and a window that shrinks, end no connection and lose nothing.
#[test]
fn dishonest_acks() {
    let mut target = Target::new();
    let mut client = Client::connected(&mut target, false);
    client.answers(&mut target, &client.header(ACK), &[65; 1_000]);
    client.seq = client.seq.wrapping_add(1_000);
    for ahead in 2..40 {
        let tcp = Tcp { ack: client.ack.wrapping_add(ahead * 1_460), ..client.header(ACK) };
        assert!(client.answers(&mut target, &tcp, &[]).iter().all(|answer| answer.flags() & RST == 0));
    }
    for part in 1..=1_000 {
        client.answers(&mut target, &Tcp { ack: client.ack.wrapping_add(part), ..client.header(ACK) }, &[]);
    }
    client.ack = client.ack.wrapping_add(1_000);
    assert_eq!(client.exchange(&mut target, b"alive").as_deref(), Ok(&b"alive"[..]));

    let mut client = Client::connected(&mut target, false);
    client.window = 100;
    let mut answers = client.answers(&mut target, &client.header(ACK | PSH), &[66; 4_000]);
    client.seq = client.seq.wrapping_add(4_000);
    client.window = 0;
    answers.extend(client.answers(&mut target, &client.header(ACK), &[]));
    client.window = 65_535;
    answers.extend(client.answers(&mut target, &client.header(ACK), &[]));
    let mut text = client.read(&answers);
    for _ in 0..20 {
        let answers = client.answers(&mut target, &client.header(ACK), &[]);
        text.extend(client.read(&answers));
    }
    assert_eq!(text.len(), 4_000);
    target.serves_a_fresh_client("dishonest ACKs");
}

/// An old ACK on a closed connection draws a reset, and the port can be used again.
#[test]
fn after_the_end() {
    let mut target = Target::new();
    let mut client = Client::connected(&mut target, false);
    client.close(&mut target);
    let answers = client.answers(&mut target, &client.header(ACK), &[]);
    assert!(answers.len() == 1 && answers[0].flags() & RST != 0, "{answers:?}");
    let ip = from(ATTACKER4);
    let again = Tcp { seq: 77, ..Tcp::new(client.port, SERVED, SYN) };
    let answers = target.answers(&[ip.carry(6, &ip.segment(&again, &[]))]);
    assert!(answers.len() == 1 && answers[0].flags() & 0x3F == SYN | ACK, "the port can be used again: {answers:?}");
    target.serves_a_fresh_client("the end");
}
