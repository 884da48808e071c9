//! Fragments of both families.

use std::time::Duration;

use crate::packet::{ACK, Answer, Ip, SYN, Tcp, Udp, reassembled};
use crate::target::{ATTACKER4, ATTACKER6, CLOSED, SERVED, Target, from};
use crate::{Expect, attack, case, cases};

const ICMP4: u8 = 1;
const ICMP6: u8 = 58;

/// One fragment of IPv4.
fn piece(ip: &Ip, protocol: u8, payload: &[u8], offset: usize, more: bool, identification: u32) -> Vec<u8> {
    let flags = ip.flags | u8::from(more);
    Ip { flags, offset, identification, ..ip.clone() }.carry(protocol, payload)
}

/// One fragment of IPv6.
fn piece6(payload: &[u8], offset: u16, more: bool, identification: u32) -> Vec<u8> {
    fragment6(ICMP6, payload, offset, more, identification)
}

fn fragment6(next: u8, payload: &[u8], offset: u16, more: bool, identification: u32) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend_from_slice(&(offset | u16::from(more)).to_be_bytes());
    bytes.extend_from_slice(&identification.to_be_bytes());
    bytes.extend_from_slice(payload);
    from(ATTACKER6).carry(44, &bytes)
}

/// A datagram, cut at these offsets.
fn cut(ip: &Ip, protocol: u8, payload: &[u8], cuts: &[usize], identification: u32) -> Vec<Vec<u8>> {
    let ends = cuts.iter().copied().chain([payload.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let each = starts.zip(ends);
    each.map(|(from, to)| match ip.source.is_ipv6() {
        false => piece(ip, protocol, &payload[from..to], from, to < payload.len(), identification),
        true => fragment6(protocol, &payload[from..to], from as u16, to < payload.len(), identification),
    })
    .collect()
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7) as u8).collect()
}

/// 791-3.2-1, 815-3, 8200-4.5-1: every order, duplicates, and neighbours that look alike.
#[test]
fn honest_datagrams() {
    let mut all = Vec::new();
    for (ip, protocol) in [(from(ATTACKER4), ICMP4), (from(ATTACKER6), ICMP6)] {
        let echo = ip.echo_request(&data(120));
        let family = if ip.source.is_ipv6() { "IPv6" } else { "IPv4" };
        let pieces = |cuts: &[usize], identification| cut(&ip, protocol, &echo, cuts, identification);
        let whole = || Expect::Echo(data(120));
        let three = pieces(&[32, 64], 3);
        all.push(cases(format!("{family}: two"), pieces(&[64], 1), whole()));
        all.push(cases(format!("{family}: backwards"), pieces(&[16, 32, 48], 2).into_iter().rev().collect(), whole()));
        all.push(cases(
            format!("{family}: exact duplicates"),
            [&three[..1], &three[..2], &three[1..]].concat(),
            whole(),
        ));
        all.push(cases(format!("{family}: one octet at the end"), pieces(&[120], 4), whole()));
        all.push(cases(format!("{family}: 16 pieces"), pieces(&(8..128).step_by(8).collect::<Vec<_>>(), 5), whole()));
        all.push(cases(format!("{family}: the first is missing"), pieces(&[16, 32], 6)[1..].to_vec(), Expect::Silence));
        all.push(cases(
            format!("{family}: one in the middle is missing"),
            [&pieces(&[16, 32], 7)[..1], &pieces(&[16, 32], 7)[2..]].concat(),
            Expect::Silence,
        ));
        all.push(cases(format!("{family}: the last is missing"), pieces(&[16, 32], 8)[..2].to_vec(), Expect::Silence));
    }
    let ip = from(ATTACKER4);
    let echo = ip.echo_request(&data(120));
    let other = from("10.0.0.78");
    let mixed = [&cut(&ip, ICMP4, &echo, &[64], 9)[..1], &cut(&other, ICMP4, &echo, &[64], 9)[1..]].concat();
    all.push(cases("sources do not mix", mixed, Expect::Silence));
    let mixed = [&cut(&ip, ICMP4, &echo, &[64], 10)[..1], &cut(&ip, 17, &echo, &[64], 10)[1..]].concat();
    all.push(cases("protocols do not mix", mixed, Expect::Silence));
    let mixed = [&cut(&ip, ICMP4, &echo, &[64], 11)[..1], &cut(&ip, ICMP4, &echo, &[64], 12)[1..]].concat();
    all.push(cases("identifications do not mix", mixed, Expect::Silence));
    attack(all);
}

/// 1858-4, 5722-4-1: whatever overlaps is discarded whole (teardrop and its kin); a good datagram passes afterwards.
#[test]
fn overlaps() {
    let (v4, v6) = (from(ATTACKER4), from(ATTACKER6));
    let (echo, echo6) = (v4.echo_request(&data(120)), v6.echo_request(&data(120)));
    let evil = [0xEE; 64];
    let mut all = Vec::new();
    // Where the overlapping piece starts and ends, and whether it claims to be the last.
    for (number, (at, end, more)) in
        [(24, 40, true), (56, 72, true), (24, 40, false), (8, 64, true), (40, 120, true)].into_iter().enumerate()
    {
        let id = 100 + number as u32;
        let pieces = vec![
            piece(&v4, ICMP4, &echo[..64], 0, true, id),
            piece(&v4, ICMP4, &[evil, evil].concat()[..end - at], at, more, id),
            piece(&v4, ICMP4, &echo[64..], 64, false, id),
        ];
        all.push(cases(format!("IPv4: {at} to {end}"), pieces, Expect::Silence));
        let pieces = vec![
            piece6(&echo6[..64], 0, true, id),
            piece6(&[evil, evil].concat()[..end - at], at as u16, more, id),
            piece6(&echo6[64..], 64, false, id),
        ];
        all.push(cases(format!("IPv6: {at} to {end}"), pieces, Expect::Silence));
    }
    all.push(cases(
        "behind the first",
        vec![piece(&v4, ICMP4, &echo[64..], 64, false, 200), piece(&v4, ICMP4, &echo[..72], 0, true, 200)],
        Expect::Silence,
    ));
    let two_ends = vec![
        piece(&v4, ICMP4, &echo[64..], 64, false, 201),
        piece(&v4, ICMP4, &echo[64..96], 64, false, 201),
        piece(&v4, ICMP4, &echo[..64], 0, true, 201),
    ];
    all.push(cases("two ends", two_ends, Expect::Silence));
    let beyond = vec![
        piece(&v4, ICMP4, &echo[64..96], 64, false, 202),
        piece(&v4, ICMP4, &echo[96..], 96, false, 202),
        piece(&v4, ICMP4, &echo[..64], 0, true, 202),
    ];
    all.push(cases("text behind the end", beyond, Expect::Silence));
    all.push(cases("a good one afterwards", cut(&v4, ICMP4, &echo, &[64], 203), Expect::Echo(data(120))));
    all.push(cases("a good one afterwards, IPv6", cut(&v6, ICMP6, &echo6, &[64], 203), Expect::Echo(data(120))));
    attack(all);
}

/// 791-3.2-3, 8200-4.5-2, 8200-4.5-3, 8200-4.5-4, 7112-5
#[test]
fn impossible_pieces() {
    let (v4, v6) = (from(ATTACKER4), from(ATTACKER6));
    let echo = v4.echo_request(&data(120));
    let echo6 = v6.echo_request(&data(120));
    let mut all = vec![
        cases(
            "ping of death",
            vec![piece(&v4, ICMP4, &data(1_480), 0, true, 1), piece(&v4, ICMP4, &data(1_000), 65_528, false, 1)],
            Expect::Silence,
        ),
        case("one octet too many", piece(&v4, ICMP4, &data(28), 65_512, false, 2), Expect::Silence),
        cases(
            "nothing in it",
            vec![piece(&v4, ICMP4, &[], 0, true, 3), piece(&v4, ICMP4, &[], 16, true, 3)],
            Expect::Silence,
        ),
        case("nothing in the last", piece(&v4, ICMP4, &[], 16, false, 4), Expect::Silence),
        cases(
            "not a multiple of 8",
            vec![piece(&v4, ICMP4, &echo[..35], 0, true, 5), piece(&v4, ICMP4, &echo[35..], 32, false, 5)],
            Expect::Silence,
        ),
        case("IPv6: not a multiple of 8", piece6(&echo6[..35], 0, true, 6), Expect::Error(4, 0, [0, 0, 0, 4])),
        case("IPv6: too long", piece6(&data(64), 65_528, false, 7), Expect::Error(4, 0, [0, 0, 0, 42])),
        case(
            "IPv6: no whole chain",
            fragment6(60, &[ICMP6, 5, 0, 0, 0, 0, 0, 0], 0, true, 8),
            Expect::Error(4, 3, [0; 4]),
        ),
        case("IPv6: no whole TCP header", fragment6(6, &data(8), 0, true, 9), Expect::SilenceOrProblem),
        cases(
            "to a broadcast address",
            cut(&Ip::between(ATTACKER4, "10.0.0.255"), ICMP4, &echo, &[64], 10),
            Expect::Silence,
        ),
    ];
    let atomic = vec![piece6(&echo6[..64], 0, true, 11), piece6(&v6.echo_request(b"alone"), 0, false, 11)];
    all.push(cases("IPv6: an atomic one beside others", atomic, Expect::Echo(b"alone".to_vec())));
    attack(all);
}

/// 1858-3, 1858-4: a TCP header is never put together from overlapping or tiny pieces that a filter misread.
#[test]
fn tcp_in_fragments() {
    let mut target = Target::new();
    let ip = from(ATTACKER4);
    let syn = |target: &mut Target| Tcp {
        options: vec![2, 4, 5, 0xB4, 3, 3, 7, 4, 2, 1, 1, 1],
        ..Tcp::new(target.fresh_port(), SERVED, SYN)
    };
    let opens = |answers: &[Answer]| answers.iter().any(|answer| answer.is_tcp() && answer.flags() & 0x3F == SYN | ACK);

    let segment = ip.segment(&syn(&mut target), &[]);
    assert!(opens(&target.answers(&cut(&ip, 6, &segment, &[24], 1))), "a whole header in the first");
    let segment = ip.segment(&syn(&mut target), &[]);
    assert!(!opens(&target.answers(&cut(&ip, 6, &segment, &[8, 16], 2))), "a tiny first fragment");
    let port = target.fresh_port();
    let harmless = [ip.segment(&Tcp::new(port, SERVED, ACK), &[]), vec![0; 12]].concat();
    let evil = ip.segment(&Tcp::new(port, SERVED, SYN), &[]);
    let pieces = vec![
        piece(&ip, 6, &harmless[..24], 0, true, 3),
        piece(&ip, 6, &evil[8..], 8, true, 3),
        piece(&ip, 6, &harmless[24..], 24, false, 3),
    ];
    assert!(!opens(&target.answers(&pieces)), "flags written over");
    target.serves_a_fresh_client("TCP in fragments");
}

/// 1122-3.3.2-1, 1122-3.3.3: the largest datagrams there are, both ways.
#[test]
fn large_datagrams() {
    let mut target = Target::new();
    for (ip, protocol, most) in [(from(ATTACKER4), ICMP4, 65_507), (from(ATTACKER6), ICMP6, 65_527)] {
        let echo = ip.echo_request(&data(most - 8));
        let answers = target.answers(&cut(&ip, protocol, &echo, &(1_400..most).step_by(1_400).collect::<Vec<_>>(), 1));
        assert_eq!(reassembled(&answers).map(|echo| echo[8..].to_vec()), Some(data(most - 8)));
        let datagram = ip.datagram(&Udp::to(SERVED), &data(8_000));
        let answers = target.answers(&cut(&ip, 17, &datagram, &[1_400, 2_800, 4_200, 5_600, 7_000], 2));
        assert_eq!(reassembled(&answers).map(|datagram| datagram[8..].to_vec()), Some(data(8_000)));
        let closed = ip.datagram(&Udp::to(CLOSED), &data(2_000));
        let answers = target.answers(&cut(&ip, 17, &closed, &[1_400], 3));
        assert!(answers.len() == 1 && matches!(answers[0].icmp(), Some((3, 3) | (1, 4))), "{answers:?}");
        target.serves_a_fresh_client("large datagrams");
    }
}

/// 1122-3.3.2-2, 8200-4.5-1: time is exceeded only where the first fragment came, and quotes it.
#[test]
fn timeouts() {
    for (ip, protocol, exceeded) in [(from(ATTACKER4), ICMP4, (11, 1)), (from(ATTACKER6), ICMP6, (3, 1))] {
        let mut target = Target::new();
        let pieces = cut(&ip, protocol, &ip.echo_request(&data(120)), &[64], 1);
        target.answers(&pieces[..1]);
        let answers = target.pass(Duration::from_secs(130));
        assert!(answers.len() == 1 && answers[0].icmp() == Some(exceeded), "{answers:?}");
        target.answers(&pieces[1..]);
        assert!(target.pass(Duration::from_secs(130)).is_empty());
        target.serves_a_fresh_client("a timeout");
    }
}

/// FragmentSmack and its kin: many pieces that never become whole. An honest datagram still passes.
#[test]
fn floods() {
    let ip = from(ATTACKER4);
    type Make = fn(&Ip, u32) -> Vec<u8>;
    let makers: [(&str, Make); 6] = [
        ("first fragments of many sources", |_, n| {
            piece(&from(&format!("10.0.0.{}", 100 + n % 100)), ICMP4, &[7; 1_400], 0, true, n)
        }),
        ("first fragments of one source", |ip, n| piece(ip, ICMP4, &[7; 1_400], 0, true, n)),
        ("last fragments", |ip, n| piece(ip, ICMP4, &[7; 1_400], 800, false, n)),
        ("8 octets with gaps", |ip, n| piece(ip, ICMP4, &[7; 8], (n as usize % 1_000) * 16 + 8, true, n / 1_000)),
        ("8 octets without", |ip, n| piece(ip, ICMP4, &[7; 8], (n as usize % 8_000) * 8, true, n / 8_000)),
        ("IPv6", |_, n| piece6(&[7; 1_200], 0, true, n)),
    ];
    for (name, make) in makers {
        let mut target = Target::new();
        for number in 0..20_000 {
            target.give(&make(&ip, number));
        }
        target.answers(&[]);
        target.serves_a_fresh_client(name);
        let honest = from("10.0.0.78");
        let answers = target.answers(&cut(&honest, ICMP4, &honest.echo_request(&data(3_000)), &[1_400, 2_800], 65_000));
        assert_eq!(reassembled(&answers).map(|echo| echo[8..].to_vec()), Some(data(3_000)), "{name}");
    }
}
