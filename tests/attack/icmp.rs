//! ICMP of both families: requests, nonsense, and forged errors about a connection.

use crate::packet::{ACK, Ip, PSH, Tcp};
use crate::target::{ATTACKER4, ATTACKER6, Client, SERVED, TARGET4, TARGET6, Target, from};
use crate::{Case, Expect, attack, case};

fn message(ip: &Ip, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    ip.carry(if ip.source.is_ipv6() { 58 } else { 1 }, &ip.icmp(kind, code, rest))
}

/// A segment that we could have sent, but did not.
fn never_sent(v6: bool) -> Vec<u8> {
    let ip = if v6 { Ip::between(TARGET6, ATTACKER6) } else { Ip::between(TARGET4, ATTACKER4) };
    ip.carry(6, &ip.segment(&Tcp::new(SERVED, 5_555, ACK), &[]))
}

/// 1122-3.2.2.6-1
#[test]
fn echoes() {
    let mut all = Vec::new();
    for ip in [from(ATTACKER4), from(ATTACKER6)] {
        for len in [0, 1, 3, 8, 1_000, 1_452] {
            let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
            all.push(case(format!("{len} octets"), ip.ping(&data), Expect::Echo(data)));
        }
        let mut wrong = ip.ping(b"data");
        *wrong.last_mut().unwrap() ^= 1;
        all.push(case("wrong checksum", wrong, Expect::Dropped));
    }
    attack(all);
}

/// 1122-3.2.2-1, 6633-3: what a host does not answer.
#[test]
fn requests_and_advice_without_effect() {
    let v4 = from(ATTACKER4);
    let about = [&[0; 4], &never_sent(false)[..]].concat();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("echo reply", message(&v4, 0, 0, &[0, 1, 0, 1])),
        ("unknown type", message(&v4, 200, 0, &[0; 8])),
        ("address mask request", message(&v4, 17, 0, &[0; 8])),
        ("information request", message(&v4, 15, 0, &[0; 4])),
        ("router solicitation", message(&v4, 10, 0, &[0; 4])),
        ("router advertisement", message(&v4, 9, 0, &[1, 2, 0, 30, 10, 0, 0, 5, 0, 0, 0, 0])),
        ("source quench", message(&v4, 4, 0, &about)),
        ("redirect", message(&v4, 5, 1, &[&[10, 0, 0, 5], &about[4..]].concat())),
        ("time exceeded", message(&v4, 11, 0, &about)),
        ("fragmentation needed, MTU 0", message(&v4, 3, 4, &about)),
        ("unreachable with garbage", message(&v4, 3, 3, &[255; 32])),
        ("unreachable with one octet", message(&v4, 3, 3, &[0, 0, 0, 0, 0x45])),
        ("unreachable with nothing", message(&v4, 3, 3, &[0; 4])),
        ("unreachable about an error", message(&v4, 3, 1, &[&[0; 4], &message(&v4, 3, 3, &about)[..]].concat())),
        ("unreachable about IPv6", message(&v4, 3, 3, &[&[0; 4], &never_sent(true)[..]].concat())),
        ("one octet", v4.carry(1, &[8])),
        ("four octets", v4.carry(1, &v4.icmp(8, 0, &[]))),
        ("nothing", v4.carry(1, &[])),
    ];
    let v6 = from(ATTACKER6);
    let about6 = [&[0; 4], &never_sent(true)[..]].concat();
    let mtu = |mtu: u32| message(&v6, 2, 0, &[&mtu.to_be_bytes(), &about6[4..]].concat());
    let rows6: Vec<(&str, Vec<u8>)> = vec![
        ("echo reply", message(&v6, 129, 0, &[0, 1, 0, 1])),
        ("unknown information", message(&v6, 200, 0, &[0; 8])),
        ("unknown error", message(&v6, 100, 0, &about6)),
        ("router advertisement", message(&v6, 134, 0, &[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("redirect", message(&v6, 137, 0, &[0; 36])),
        ("node information", message(&v6, 139, 0, &[0; 12])),
        ("unreachable with garbage", message(&v6, 1, 4, &[255; 52])),
        ("unreachable with one octet", message(&v6, 1, 4, &[0, 0, 0, 0, 0x60])),
        ("too big, MTU 0", mtu(0)),
        ("too big, MTU 1,280", mtu(1_280)),
        ("parameter problem", message(&v6, 4, 0, &about6)),
        ("unreachable about an error", message(&v6, 1, 4, &[&[0; 4], &message(&v6, 1, 4, &about6)[..]].concat())),
        ("two octets", v6.carry(58, &[128, 0])),
    ];
    let all = rows.into_iter().map(|row| ("IPv4", row)).chain(rows6.into_iter().map(|row| ("IPv6", row)));
    attack(
        all.map(|(family, (name, packet))| case(format!("{family}: {name}"), packet, Expect::Silence))
            .collect::<Vec<Case>>(),
    );
}

/// Errors that quote a segment of this connection with this sequence number, from a router.
fn forged(client: &Client, kind: u8, code: u8, rest: [u8; 4], seq: u32) -> Vec<u8> {
    let v6 = client.ip.source.is_ipv6();
    let (ours, router) = if v6 {
        (Ip::between(TARGET6, ATTACKER6), Ip::between("fd00:67::55", TARGET6))
    } else {
        (Ip::between(TARGET4, ATTACKER4), Ip::between("10.0.0.55", TARGET4))
    };
    let tcp = Tcp { seq, ack: client.seq, ..Tcp::new(SERVED, client.port, ACK) };
    let quoted = ours.carry(6, &ours.segment(&tcp, &[7; 1_000]));
    let len = if v6 { quoted.len() } else { 28 };
    message(&router, kind, code, &[&rest, &quoted[..len]].concat())
}

/// 5927-4.1, 9293-MUST-54, 9293-MUST-55: no error ends an established connection, whether its number is good or not.
#[test]
fn forged_errors_about_a_connection() {
    let mut target = Target::new();
    for (v6, kind, code) in [
        (false, 3, 0),
        (false, 3, 1),
        (false, 3, 2),
        (false, 3, 3),
        (false, 3, 13),
        (false, 4, 0),
        (false, 5, 1),
        (false, 11, 0),
        (false, 12, 0),
        (true, 1, 0),
        (true, 1, 1),
        (true, 1, 4),
        (true, 3, 0),
        (true, 4, 1),
    ] {
        for wrong in [0, 1, 99_999] {
            let mut client = Client::connected(&mut target, v6);
            client.exchange(&mut target, b"before").unwrap();
            // The last octet that we sent is still in flight for a moment.
            client.answers(&mut target, &client.header(ACK | PSH), b"x");
            client.seq = client.seq.wrapping_add(1);
            let error = forged(&client, kind, code, [0; 4], client.ack.wrapping_add(wrong));
            for _ in 0..20 {
                assert!(target.answers(std::slice::from_ref(&error)).iter().all(|answer| !answer.is_icmp()));
            }
            client.ack = client.ack.wrapping_add(1);
            assert_eq!(client.exchange(&mut target, b"after").as_deref(), Ok(&b"after"[..]), "{kind}/{code}");
            client.close(&mut target);
        }
        target.serves_a_fresh_client("forged errors");
    }
}

/// 1191-3-2, 8201-4-3, 5927-7.2: a forged MTU makes segments smaller down to the floor, and only where it quotes what is in
/// flight.
#[test]
fn forged_mtu() {
    for (v6, mtu, in_flight, least) in [
        (false, 0_u16, true, 480),
        (false, 1, true, 480),
        (false, 68, true, 480),
        (false, 68, false, 1_000),
        (false, 0, false, 1_000),
        (false, 65_535, true, 1_000),
        (true, 0, true, 1_000),
        (true, 1_279, true, 1_000),
        (true, 1_280, false, 1_000),
    ] {
        // What is learned holds for the whole host.
        let mut target = Target::new();
        let mut client = Client::connected(&mut target, v6);
        client.answers(&mut target, &client.header(ACK | PSH), &[7; 1_200]);
        client.seq = client.seq.wrapping_add(1_200);
        let seq = if in_flight { client.ack } else { client.ack.wrapping_add(999_999) };
        let rest = [0, 0, (mtu >> 8) as u8, mtu as u8];
        let error = if v6 { forged(&client, 2, 0, rest, seq) } else { forged(&client, 3, 4, rest, seq) };
        let mut answers = target.answers(&vec![error; 20]);
        client.ack = client.ack.wrapping_add(1_200);
        answers.extend(client.answers(&mut target, &client.header(ACK | PSH), &[8; 1_400]));
        client.seq = client.seq.wrapping_add(1_400);
        answers.extend(client.answers(&mut target, &client.header(ACK | PSH), &[8; 1_400]));
        client.seq = client.seq.wrapping_add(1_400);
        let largest = answers.iter().filter(|answer| answer.is_tcp()).map(|answer| answer.text().len()).max();
        assert!(largest.is_some_and(|largest| largest >= least), "MTU {mtu}, in flight {in_flight}: {largest:?}");
        assert!(answers.iter().all(|answer| answer.fragment.is_none()), "TCP is never sent in fragments");
        target.serves_a_fresh_client("a forged MTU");
    }
}
