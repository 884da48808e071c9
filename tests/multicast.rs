//! Groups through the whole stack: who hears what, and the talk with the routers (IGMP, MLD), in virtual time.

mod kit;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::ip::multicast::MAX_GROUPS;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::Script;
use glasstcp::stack::{BindOptions, UdpHandle};
use glasstcp::time::Instant;
use glasstcp::wire::checksum::{self, Checksum};
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{parse_ip, protocol};
use kit::{give, ip_packet};

const GROUP4: &str = "239.1.2.3";
const GROUP6: &str = "ff15::123";
const ROUTER4: &str = "10.0.0.1";
const ROUTER6: &str = "fe80::1";

const IS_INCLUDE: u8 = 1;
const IS_EXCLUDE: u8 = 2;
const TO_INCLUDE: u8 = 3;
const TO_EXCLUDE: u8 = 4;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 8];
    let ports = UdpHeader { source_port: from.port(), destination_port: to.port() };
    udp::emit(from.ip(), to.ip(), &ports, data, &mut payload);
    payload.extend_from_slice(data);
    ip_packet(from.ip(), to.ip(), protocol::UDP, &payload)
}

/// Sockets that share their port, as members of a group do.
fn udp_bind(script: &mut Script, local: SocketAddr) -> UdpHandle {
    let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
    script.stack.udp_bind_with(local, &shared).unwrap()
}

fn bind(script: &mut Script, local: &str) -> UdpHandle {
    udp_bind(script, local.parse().unwrap())
}

fn join(script: &mut Script, socket: UdpHandle, group: &str) -> Result<(), SocketError> {
    script.stack.udp_join(script.now, socket, ip(group))
}

fn leave(script: &mut Script, socket: UdpHandle, group: &str) -> Result<(), SocketError> {
    script.stack.udp_leave(script.now, socket, ip(group))
}

/// An IGMP message from the router, with the router alert option or without.
fn igmp(to: &str, router_alert: bool, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let mut sum = Checksum::new();
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let mut packet = ip_packet(ip(ROUTER4), ip(to), protocol::IGMP, &message);
    if router_alert {
        packet.splice(20..20, [148, 4, 0, 0]);
        packet[0] = 0x46;
        let len = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&len);
    }
    packet[8] = 1;
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 15) * 4;
    let mut sum = Checksum::new();
    sum.add(&packet[..header]);
    let sum = sum.finish().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet
}

/// A query of IGMPv3 in tenths of a second.
fn query4(group: &str, tenths: u8, sources: &[&str]) -> Vec<u8> {
    let to = if group == "0.0.0.0" { "224.0.0.1" } else { group };
    let mut message = vec![0x11, tenths, 0, 0];
    message.extend(group.parse::<Ipv4Addr>().unwrap().octets());
    message.extend([2, 125, 0, sources.len() as u8]);
    message.extend(sources.iter().flat_map(|source| source.parse::<Ipv4Addr>().unwrap().octets()));
    igmp(to, true, &message)
}

/// An MLD message with a hop-by-hop header that holds these options.
fn mld(from: &str, to: &str, hop_limit: u8, options: [u8; 6], message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let mut sum = Checksum::new();
    sum.add_pseudo_header(ip(from), ip(to), protocol::ICMPV6, message.len() as u32);
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let payload = [&[protocol::ICMPV6, 0][..], &options, &message].concat();
    let mut packet = ip_packet(ip(from), ip(to), protocol::HOP_BY_HOP, &payload);
    packet[7] = hop_limit;
    packet
}

const ALERT6: [u8; 6] = [5, 2, 0, 0, 1, 0];

fn query6_message(group: &str, millis: u16, sources: &[&str]) -> Vec<u8> {
    let mut message = vec![130, 0, 0, 0];
    message.extend(millis.to_be_bytes());
    message.extend([0, 0]);
    message.extend(group.parse::<Ipv6Addr>().unwrap().octets());
    message.extend([2, 125, 0, sources.len() as u8]);
    message.extend(sources.iter().flat_map(|source| source.parse::<Ipv6Addr>().unwrap().octets()));
    message
}

/// A query of MLDv2.
fn query6(group: &str, millis: u16, sources: &[&str]) -> Vec<u8> {
    let to = if group == "::" { "ff02::1" } else { group };
    mld(ROUTER6, to, 1, ALERT6, &query6_message(group, millis, sources))
}

/// A record of a report: its type, group and sources.
type Record = (u8, IpAddr, Vec<IpAddr>);

/// What a membership packet says. Everything that a router would check is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Records(Vec<Record>),
    /// Type, and group.
    Old(u8, IpAddr),
}

fn read(packet: &[u8]) -> Said {
    let parsed = parse_ip(packet).unwrap();
    let message = parsed.payload;
    assert_eq!(parsed.hop_limit, 1);
    assert!(packet.len() <= 1_500);
    let to = parsed.destination.to_string();
    if parsed.destination.is_ipv4() {
        // 3376-4
        assert_eq!((parsed.source, parsed.traffic_class, packet[0]), (ip("10.0.0.2"), 0xC0, 0x46));
        assert_eq!(packet[20..24], [148, 4, 0, 0], "router alert");
        assert!(parsed.protocol == protocol::IGMP && checksum::verifies(message));
        let address = |octets: &[u8]| IpAddr::from(<[u8; 4]>::try_from(octets).unwrap());
        if message[0] != 0x22 {
            let expected = if message[0] == 0x17 { "224.0.0.2".into() } else { address(&message[4..8]).to_string() };
            assert_eq!((message.len(), to), (8, expected));
            return Said::Old(message[0], address(&message[4..8]));
        }
        assert_eq!(to, "224.0.0.22");
        Said::Records(records(message, 4, address))
    } else {
        // 3810-5
        assert!(parsed.source.is_unspecified(), "there is no link-local address");
        assert_eq!(packet[40..48], [58, 0, 5, 2, 0, 0, 1, 0], "router alert");
        let sound = checksum::verifies_with_pseudo_header(parsed.source, parsed.destination, 58, message);
        assert!(parsed.protocol == protocol::ICMPV6 && sound);
        let address = |octets: &[u8]| IpAddr::from(<[u8; 16]>::try_from(octets).unwrap());
        if message[0] != 143 {
            let expected = if message[0] == 132 { "ff02::2".into() } else { address(&message[8..24]).to_string() };
            assert_eq!((message.len(), to), (24, expected));
            return Said::Old(message[0], address(&message[8..24]));
        }
        assert_eq!(to, "ff02::16");
        Said::Records(records(message, 16, address))
    }
}

fn records(message: &[u8], width: usize, address: impl Fn(&[u8]) -> IpAddr) -> Vec<Record> {
    let (mut rest, mut records) = (&message[8..], Vec::new());
    for _ in 0..u16::from_be_bytes([message[6], message[7]]) {
        let count = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let (record, after) = rest.split_at(4 + width * (1 + count));
        records.push((
            record[0],
            address(&record[4..4 + width]),
            record[4 + width..].chunks(width).map(&address).collect(),
        ));
        rest = after;
    }
    assert!(rest.is_empty());
    records
}

fn said(script: &mut Script) -> Vec<Said> {
    script.packets().iter().map(|packet| read(packet)).collect()
}

/// What is said within this time, with the times since now.
fn said_within(script: &mut Script, time: Duration) -> Vec<(Duration, Said)> {
    let (start, until) = (script.now, script.now + time);
    let mut all = Vec::new();
    while let Some(at) = script.stack.next_deadline().filter(|&at| at <= until) {
        script.now = script.now.max(at);
        script.stack.handle_deadline(script.now);
        let now = script.now;
        all.extend(said(script).into_iter().map(|said| (now - start, said)));
    }
    script.now = until;
    all
}

fn one(kind: u8, group: &str) -> Said {
    Said::Records(vec![(kind, ip(group), Vec::new())])
}

/// 3376-5.1, 3810-6, 3376-4, 3810-5: joining and leaving are told at once and again within a second, the first and the last
/// member's alone; the group of all, and groups that never leave a host, are never told.
#[test]
fn joins_and_leaves_are_told() {
    for (group, quiet) in [(GROUP4, "224.0.0.1"), (GROUP6, "ff02::1"), (GROUP6, "ff01::9"), (GROUP6, "ff00::9")] {
        let mut script = Script::new();
        let (one_socket, other) = (bind(&mut script, "[::]:9"), bind(&mut script, "[::]:10"));
        join(&mut script, one_socket, group).unwrap();
        assert_eq!(said(&mut script), [one(TO_EXCLUDE, group)]);
        let again = said_within(&mut script, Duration::from_secs(1));
        assert_eq!(again.iter().map(|(_, said)| said.clone()).collect::<Vec<_>>(), [one(TO_EXCLUDE, group)]);
        join(&mut script, other, group).unwrap();
        leave(&mut script, one_socket, group).unwrap();
        assert!(said_within(&mut script, Duration::from_secs(600)).is_empty(), "one is still there");
        leave(&mut script, other, group).unwrap();
        assert_eq!(said(&mut script), [one(TO_INCLUDE, group)]);
        assert_eq!(said_within(&mut script, Duration::from_secs(600)).len(), 1);
        assert_eq!(script.stack.next_deadline(), None);
        join(&mut script, other, quiet).unwrap();
        leave(&mut script, other, quiet).unwrap();
        assert!(said_within(&mut script, Duration::from_secs(600)).is_empty(), "{quiet}");
        // Closing leaves, and a change takes the place of the one before.
        join(&mut script, other, group).unwrap();
        said(&mut script);
        script.stack.udp_close(other);
        assert_eq!(said(&mut script), [one(TO_INCLUDE, group)]);
        let rest: Vec<Said> =
            said_within(&mut script, Duration::from_secs(9)).into_iter().map(|(_, said)| said).collect();
        assert_eq!(rest, [one(TO_INCLUDE, group)]);
    }
}

/// Only sockets that joined hear a group; datagrams to groups that nobody has joined are dropped and counted.
#[test]
fn who_hears_a_group() {
    for (group, own, peer, all) in
        [(GROUP4, "10.0.0.2", "10.0.0.1", "224.0.0.1"), (GROUP6, "[fd00:67::2]", "fd00:67::1", "ff02::1")]
    {
        let mut script = Script::new();
        let (member, on_group) = (bind(&mut script, "[::]:9"), udp_bind(&mut script, end(group, 9)));
        let (stranger, exact) = (bind(&mut script, "[::]:10"), bind(&mut script, &format!("{own}:9")));
        let packet = datagram(end(peer, 5), end(group, 9), b"to all");
        assert_eq!(give(&mut script, &packet), Some(DropReason::NotOurs));
        join(&mut script, member, group).unwrap();
        join(&mut script, on_group, group).unwrap();
        join(&mut script, exact, group).unwrap();
        said(&mut script);
        assert_eq!(give(&mut script, &packet), None);
        for socket in [member, on_group] {
            let heard = script.stack.udp_receive(socket).unwrap();
            assert_eq!((heard.data.as_slice(), heard.destination), (&b"to all"[..], end(group, 9)));
        }
        assert!(script.stack.udp_receive(exact).is_err(), "bound to one address");
        let other_port = datagram(end(peer, 5), end(group, 10), b"x");
        assert_eq!(give(&mut script, &other_port), Some(DropReason::UdpNoSocket), "which is in no group");
        assert!(script.stack.udp_receive(stranger).is_err() && script.packets().is_empty(), "and no error");
        // Every host is in the group of all.
        assert_eq!(give(&mut script, &datagram(end(peer, 5), end(all, 10), b"all")), None);
        assert_eq!(script.stack.udp_receive(stranger).unwrap().data, b"all");
        leave(&mut script, member, group).unwrap();
        assert_eq!(give(&mut script, &packet), None);
        assert!(script.stack.udp_receive(member).is_err() && script.stack.udp_receive(on_group).is_ok());
    }
}

/// What a socket sends to a group is heard by the members on this host, itself included, unless it says otherwise.
#[test]
fn members_on_the_same_host() {
    for (group, own) in [(GROUP4, "10.0.0.2"), (GROUP6, "fd00:67::2")] {
        let mut script = Script::new();
        let (sender, member) = (bind(&mut script, "[::]:9"), bind(&mut script, "[::]:10"));
        join(&mut script, member, group).unwrap();
        said(&mut script);
        for (loops, hops, heard, sent) in
            [(true, 1, true, 1), (false, 1, false, 1), (true, 0, true, 0), (false, 0, false, 0)]
        {
            let set = script.stack.udp_set_options(sender, |options| {
                (options.multicast_loop_v4, options.multicast_loop_v6) = (loops, loops);
                (options.multicast_ttl_v4, options.multicast_hops_v6) = (hops, hops);
            });
            set.unwrap();
            script.stack.udp_send(script.now, sender, Some(end(group, 10)), b"hello").unwrap();
            assert_eq!(script.packets().len(), sent);
            let received = script.stack.udp_receive(member).map(|datagram| (datagram.source, datagram.data));
            assert_eq!(received.ok(), heard.then(|| (end(own, 9), b"hello".to_vec())));
        }
    }
}

/// 3376-5.1: the second telling comes at random within the interval, which is a second.
#[test]
fn changes_are_told_again_at_random() {
    for group in [GROUP4, GROUP6] {
        let mut script = Script::new();
        let socket = bind(&mut script, "[::]:9");
        let mut times = Vec::new();
        for _ in 0..50 {
            for change in [join, leave] {
                change(&mut script, socket, group).unwrap();
                assert_eq!(said(&mut script).len(), 1, "at once");
                let again = said_within(&mut script, Duration::from_secs(10));
                assert_eq!(again.len(), 1);
                times.push(again[0].0);
            }
        }
        times.sort_unstable();
        assert!(times[0] < Duration::from_millis(100) && times[99] > Duration::from_millis(900), "spread: {times:?}");
        assert!(times[99] <= Duration::from_secs(1), "{times:?}");
    }
}

/// 3810-5: where there is a link-local address, all kinds of messages come from there.
#[test]
fn mld_comes_from_the_link_local_address() {
    let mut script = Script::with(|config| config.addresses.push("fe80::2/64".parse().unwrap()));
    let socket = bind(&mut script, "[::]:9");
    let mut kinds = Vec::new();
    let mut check = |script: &mut Script| {
        for _ in 0..200 {
            script.now += Duration::from_millis(100);
            script.stack.handle_deadline(script.now);
            for packet in script.packets() {
                let parsed = parse_ip(&packet).unwrap();
                assert_eq!((parsed.source, parsed.hop_limit), (ip("fe80::2"), 1));
                assert_eq!(packet[40..48], [58, 0, 5, 2, 0, 0, 1, 0], "router alert");
                let message = parsed.payload;
                assert!(checksum::verifies_with_pseudo_header(parsed.source, parsed.destination, 58, message));
                kinds.push(message[0]);
            }
        }
    };
    join(&mut script, socket, GROUP6).unwrap();
    check(&mut script);
    give(&mut script, &query6("::", 1_000, &[]));
    check(&mut script);
    let old = mld(ROUTER6, "ff02::1", 1, ALERT6, &query6_message("::", 1_000, &[])[..24]);
    give(&mut script, &old);
    check(&mut script);
    leave(&mut script, socket, GROUP6).unwrap();
    check(&mut script);
    assert_eq!(kinds, [143, 143, 143, 131, 132], "joined, joined again, asked, asked by an old router, left");
}

/// 3376-5.2, 3810-6.2: queries are answered at random within the time that they give, once, and only about what was joined.
#[test]
fn queries_are_answered() {
    type Ask = fn(&str, &[&str]) -> Vec<u8>;
    let families: [(_, _, Ask, _, _, _); 2] = [
        (
            GROUP4,
            "239.9.9.9",
            |group, sources| query4(group, 100, sources),
            "0.0.0.0",
            ["1.2.3.4", "5.6.7.8"],
            "239.0.0.7",
        ),
        (
            GROUP6,
            "ff15::9",
            |group, sources| query6(group, 10_000, sources),
            "::",
            ["2001:db8::1", "2001:db8::2"],
            "ff15::7",
        ),
    ];
    for (group, other, ask, all, sources, stranger) in families {
        let mut script = Script::new();
        let socket = bind(&mut script, "[::]:9");
        join(&mut script, socket, group).unwrap();
        join(&mut script, socket, other).unwrap();
        said_within(&mut script, Duration::from_secs(2));
        let mut times = Vec::new();
        for _ in 0..50 {
            assert_eq!(give(&mut script, &ask(all, &[])), None);
            assert!(said(&mut script).is_empty(), "not at once");
            let answers = said_within(&mut script, Duration::from_secs(10));
            let mut groups = vec![(IS_EXCLUDE, ip(group), vec![]), (IS_EXCLUDE, ip(other), vec![])];
            groups.sort_by_key(|&(_, group, _)| group);
            assert_eq!(answers.iter().map(|(_, said)| said.clone()).collect::<Vec<_>>(), [Said::Records(groups)]);
            times.push(answers[0].0);
        }
        times.sort_unstable();
        assert!(times[0] < Duration::from_secs(2) && times[49] > Duration::from_secs(8), "spread: {times:?}");
        let mut answers = |queries: &[Vec<u8>]| {
            for query in queries {
                give(&mut script, query);
            }
            said_within(&mut script, Duration::from_secs(10)).into_iter().map(|(_, said)| said).collect::<Vec<_>>()
        };
        let of = |kind, sources: &[&str]| {
            Said::Records(vec![(kind, ip(group), sources.iter().map(|source| ip(source)).collect())])
        };
        assert_eq!(answers(&[ask(group, &[])]), [of(IS_EXCLUDE, &[])]);
        assert_eq!(answers(&[ask(group, &sources)]), [of(IS_INCLUDE, &sources)]);
        // Several about the same are answered together; one about the whole group is the answer to all.
        assert_eq!(answers(&[ask(group, &sources[..1]), ask(group, &sources[1..])]), [of(IS_INCLUDE, &sources)]);
        assert_eq!(answers(&[ask(group, &sources), ask(group, &[])]), [of(IS_EXCLUDE, &[])]);
        let many = vec![sources[0]; 100];
        assert_eq!(answers(&[ask(group, &many)]), [of(IS_EXCLUDE, &[])], "too many to remember");
        assert!(answers(&[ask(stranger, &[])]).is_empty());
        let flood = vec![ask(all, &[]); 10_000];
        assert_eq!(answers(&flood).len(), 1, "however often it is asked");
    }
}

/// 3376-5.2, 3810-6.2: a flood of queries, one each millisecond, is answered by few reports, whatever it asks and in which
/// version; and it is answered.
#[test]
fn floods_of_queries() {
    let v1 = igmp("224.0.0.1", false, &[0x11, 0, 0, 0, 0, 0, 0, 0]);
    let v2 = igmp("224.0.0.1", true, &[0x11, 1, 0, 0, 0, 0, 0, 0]);
    let v2_of_group = igmp(GROUP4, true, &[0x11, 1, 0, 0, 239, 1, 2, 3]);
    let mld1 = mld(ROUTER6, "ff02::1", 1, ALERT6, &query6_message("::", 1, &[])[..24]);
    let source = ["10.0.0.9"];
    for (group, queries) in [
        (GROUP4, vec![query4("0.0.0.0", 100, &[])]),
        (GROUP4, vec![query4("0.0.0.0", 0, &[])]),
        (GROUP4, vec![query4(GROUP4, 100, &[])]),
        (GROUP4, vec![query4(GROUP4, 1, &source), query4(GROUP4, 50, &source)]),
        (GROUP4, vec![v1]),
        (GROUP4, vec![v2]),
        (GROUP4, vec![v2_of_group]),
        (GROUP6, vec![query6("::", 10_000, &[])]),
        (GROUP6, vec![query6("::", 0, &[])]),
        (GROUP6, vec![query6(GROUP6, 0, &[])]),
        (GROUP6, vec![mld1]),
    ] {
        let mut script = Script::new();
        let socket = bind(&mut script, "[::]:9");
        join(&mut script, socket, group).unwrap();
        said_within(&mut script, Duration::from_secs(20));
        let mut reports = 0;
        for millisecond in 0..10_000 {
            assert_eq!(give(&mut script, &queries[millisecond % queries.len()]), None);
            reports += said_within(&mut script, Duration::from_millis(1)).len();
        }
        assert!((1..=100).contains(&reports), "{reports} reports to {:02x?}", queries[0]);
    }
}

/// 3376-9.1: IGMP comes from the link. What comes from further away, or was sent to one host where it cannot be, changes
/// nothing: no answer, no older version, no report that we leave to another.
#[test]
fn igmp_from_elsewhere() {
    let v1 = igmp("224.0.0.1", false, &[0x11, 0, 0, 0, 0, 0, 0, 0]);
    let v2 = igmp("224.0.0.1", true, &[0x11, 100, 0, 0, 0, 0, 0, 0]);
    let report = [0x16, 0, 0, 0, 239, 1, 2, 3];
    let (far, anywhere) = ("192.0.2.1", "10.0.0.2");
    let changed = |packet: &[u8], source: &str| {
        let mut packet = packet.to_vec();
        packet[12..16].copy_from_slice(&source.parse::<Ipv4Addr>().unwrap().octets());
        kit::fix_ipv4(&mut packet);
        packet
    };
    for any_address in [false, true] {
        let foreign = if any_address { DropReason::IgmpIgnored } else { DropReason::NotOurs };
        for (packet, reason) in [
            (changed(&v1, far), DropReason::IgmpIgnored),
            (changed(&v2, far), DropReason::IgmpIgnored),
            (changed(&query4("0.0.0.0", 10, &[]), far), DropReason::IgmpIgnored),
            (changed(&query4(GROUP4, 10, &[]), far), DropReason::IgmpIgnored),
            (igmp(anywhere, false, &[0x11, 0, 0, 0, 0, 0, 0, 0]), DropReason::IgmpIgnored),
            (igmp("198.51.100.1", true, &[0x11, 100, 0, 0, 0, 0, 0, 0]), foreign),
        ] {
            let mut script = Script::with(|config| config.any_address = any_address);
            let socket = bind(&mut script, "[::]:9");
            join(&mut script, socket, GROUP4).unwrap();
            said_within(&mut script, Duration::from_secs(2));
            assert_eq!(give(&mut script, &packet), Some(reason), "{packet:02x?}");
            assert!(said_within(&mut script, Duration::from_secs(11)).is_empty());
            leave(&mut script, socket, GROUP4).unwrap();
            assert_eq!(said(&mut script), [one(TO_INCLUDE, GROUP4)], "in the newest version still");
        }
        // A router of version 2 is there. Whose report serves for us?
        for (packet, taken) in [
            (changed(&igmp(GROUP4, true, &report), far), false),
            (igmp(anywhere, true, &report), false),
            (igmp("224.0.0.1", true, &report), false),
            (igmp(GROUP4, true, &report), true),
        ] {
            let mut script = Script::with(|config| config.any_address = any_address);
            let socket = bind(&mut script, "[::]:9");
            join(&mut script, socket, GROUP4).unwrap();
            assert_eq!(give(&mut script, &v2), None);
            said(&mut script);
            assert_eq!(give(&mut script, &packet), (!taken).then_some(DropReason::IgmpIgnored));
            let answers = said_within(&mut script, Duration::from_secs(11));
            assert_eq!(answers.len(), usize::from(!taken), "{packet:02x?}");
        }
        // Queries of versions 2 and 3 may be sent to one host, as those do that look for trouble (RFC 3376 section 4.1.12).
        let mut script = Script::with(|config| config.any_address = any_address);
        let socket = bind(&mut script, "[::]:9");
        join(&mut script, socket, GROUP4).unwrap();
        said_within(&mut script, Duration::from_secs(2));
        assert_eq!(give(&mut script, &igmp(anywhere, true, &[0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0])), None);
        assert_eq!(said_within(&mut script, Duration::from_secs(2)).len(), 1);
    }
}

/// 3376-9.1, 3376-4.1.2, 3376-7.1, 3810-6.2: what is damaged, did not come from the link or is of no known length says
/// nothing.
#[test]
fn queries_that_are_not_believed() {
    let mut script = Script::new();
    let socket = bind(&mut script, "[::]:9");
    join(&mut script, socket, GROUP4).unwrap();
    join(&mut script, socket, GROUP6).unwrap();
    said_within(&mut script, Duration::from_secs(2));
    let general4 = [0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
    let general6 = query6_message("::", 1_000, &[]);
    let damaged = |mut packet: Vec<u8>| {
        *packet.last_mut().unwrap() ^= 1;
        packet
    };
    let mut claims_sources = general4;
    claims_sources[11] = 2;
    let mut no_group = general4;
    no_group[4] = 10;
    let mut claims_sources6 = general6.clone();
    claims_sources6[27] = 1;
    for (packet, reason) in [
        (igmp("224.0.0.1", false, &general4), DropReason::IgmpIgnored),
        (igmp("224.0.0.1", false, &general4[..8]), DropReason::IgmpIgnored),
        (damaged(igmp("224.0.0.1", true, &general4)), DropReason::IgmpChecksum),
        (igmp("224.0.0.1", true, &general4[..7]), DropReason::IgmpMalformed),
        (igmp("224.0.0.1", true, &general4[..11]), DropReason::IgmpIgnored),
        (igmp("224.0.0.1", true, &claims_sources), DropReason::IgmpMalformed),
        (igmp("224.0.0.1", true, &no_group), DropReason::IgmpMalformed),
        (igmp("224.0.0.1", true, &[0x22, 0, 0, 0, 0, 0, 0, 0]), DropReason::IgmpIgnored),
        (mld("fd00:67::1", "ff02::1", 1, ALERT6, &general6), DropReason::IcmpIgnored),
        (mld(ROUTER6, "ff02::1", 2, ALERT6, &general6), DropReason::IcmpIgnored),
        (mld(ROUTER6, "ff02::1", 1, [1, 4, 0, 0, 0, 0], &general6), DropReason::IcmpIgnored),
        (damaged(mld(ROUTER6, "ff02::1", 1, ALERT6, &general6)), DropReason::IcmpChecksum),
        (mld(ROUTER6, "ff02::1", 1, ALERT6, &general6[..23]), DropReason::IcmpMalformed),
        (mld(ROUTER6, "ff02::1", 1, ALERT6, &general6[..26]), DropReason::IcmpIgnored),
        (mld(ROUTER6, "ff02::1", 1, ALERT6, &claims_sources6), DropReason::IcmpMalformed),
    ] {
        assert_eq!(give(&mut script, &packet), Some(reason), "{packet:02x?}");
        assert!(said_within(&mut script, Duration::from_secs(30)).is_empty());
    }
    // And the good ones are.
    for packet in [igmp("224.0.0.1", true, &general4), mld(ROUTER6, "ff02::1", 1, ALERT6, &general6)] {
        assert_eq!(give(&mut script, &packet), None);
        assert_eq!(said_within(&mut script, Duration::from_secs(30)).len(), 1);
    }
}

/// 3376-7.2.1: as long as a router of an older version is there, its form is spoken.
#[test]
fn older_routers() {
    let v1 = igmp("224.0.0.1", false, &[0x11, 0, 0, 0, 0, 0, 0, 0]);
    let v2 = igmp("224.0.0.1", true, &[0x11, 100, 0, 0, 0, 0, 0, 0]);
    let mld1 = mld(ROUTER6, "ff02::1", 1, ALERT6, &query6_message("::", 10_000, &[])[..24]);
    for (query, group, other, report, left, others_report) in [
        (v1, GROUP4, "239.9.9.9", 0x12, None, igmp(GROUP4, false, &[0x12, 0, 0, 0, 239, 1, 2, 3])),
        (v2, GROUP4, "239.9.9.9", 0x16, Some(0x17), igmp(GROUP4, true, &[0x16, 0, 0, 0, 239, 1, 2, 3])),
        (mld1, GROUP6, "ff15::9", 131, Some(132), {
            let mut message = query6_message(GROUP6, 0, &[])[..24].to_vec();
            message[0] = 131;
            mld("fe80::9", GROUP6, 1, ALERT6, &message)
        }),
    ] {
        let mut script = Script::new();
        let socket = bind(&mut script, "[::]:9");
        join(&mut script, socket, group).unwrap();
        said(&mut script);
        // Asked before the second telling: that is in the old form, and only as an answer.
        assert_eq!(give(&mut script, &query), None);
        let answers = said_within(&mut script, Duration::from_secs(10));
        assert_eq!(answers.into_iter().map(|(_, said)| said).collect::<Vec<_>>(), [Said::Old(report, ip(group))]);
        join(&mut script, socket, other).unwrap();
        assert_eq!(said(&mut script), [Said::Old(report, ip(other))]);
        let again = said_within(&mut script, Duration::from_secs(10));
        assert_eq!(again.into_iter().map(|(_, said)| said).collect::<Vec<_>>(), [Said::Old(report, ip(other))]);
        // Another member's report serves for us.
        give(&mut script, &query);
        give(&mut script, &others_report);
        let answers = said_within(&mut script, Duration::from_secs(10));
        assert_eq!(answers.into_iter().map(|(_, said)| said).collect::<Vec<_>>(), [Said::Old(report, ip(other))]);
        leave(&mut script, socket, other).unwrap();
        let told: Vec<Said> = left.map(|kind| Said::Old(kind, ip(other))).into_iter().collect();
        assert_eq!(said(&mut script), told);
        // After a while without such a query the newest version is spoken again.
        assert!(said_within(&mut script, Duration::from_secs(260)).is_empty());
        join(&mut script, socket, other).unwrap();
        assert_eq!(said(&mut script), [one(TO_EXCLUDE, other)]);
    }
}

/// Groups have limits, and many of them are told in several packets.
#[test]
fn many_groups() {
    let mut script = Script::new();
    let sockets: Vec<UdpHandle> = (0..10).map(|n| bind(&mut script, &format!("[::]:{}", 100 + n))).collect();
    let mut joined = 0;
    for (n, &socket) in sockets.iter().enumerate() {
        for m in 0..64 {
            let group = if m % 2 == 0 { format!("239.0.{n}.{m}") } else { format!("ff15::{n}:{m}") };
            joined += usize::from(join(&mut script, socket, &group).is_ok());
        }
    }
    assert_eq!(joined, MAX_GROUPS);
    assert_eq!(join(&mut script, sockets[0], "239.1.1.1"), Err(SocketError::NoBuffers));
    assert_eq!(join(&mut script, sockets[9], "239.0.0.0"), Ok(()), "one that exists");
    said_within(&mut script, Duration::from_secs(2));
    for (query, packets) in [(query4("0.0.0.0", 10, &[]), 1), (query6("::", 1_000, &[]), 2)] {
        give(&mut script, &query);
        let answers = said_within(&mut script, Duration::from_secs(2));
        let groups = |said: &Said| if let Said::Records(records) = said { records.len() } else { 0 };
        assert_eq!(answers.len(), packets);
        assert_eq!(answers.iter().map(|(_, said)| groups(said)).sum::<usize>(), MAX_GROUPS / 2);
    }
    for socket in sockets {
        script.stack.udp_close(socket);
    }
    said_within(&mut script, Duration::from_secs(2));
    assert_eq!(script.stack.next_deadline(), None);
}

/// What joining and leaving refuse.
#[test]
fn what_cannot_be_joined() {
    let mut script = Script::new();
    let (both, v4, v6) =
        (bind(&mut script, "[::]:9"), bind(&mut script, "0.0.0.0:10"), bind(&mut script, "[fd00:67::2]:11"));
    for (socket, group, expected) in [
        (both, GROUP4, Ok(())),
        (both, GROUP4, Err(SocketError::AddressInUse)),
        (both, GROUP6, Ok(())),
        (v4, GROUP6, Err(SocketError::InvalidArgument)),
        (v6, GROUP4, Err(SocketError::InvalidArgument)),
        (both, "10.0.0.1", Err(SocketError::InvalidArgument)),
        (both, "255.255.255.255", Err(SocketError::InvalidArgument)),
        (both, "fd00::1", Err(SocketError::InvalidArgument)),
    ] {
        assert_eq!(join(&mut script, socket, group), expected, "{group}");
    }
    assert_eq!(leave(&mut script, v4, GROUP4), Err(SocketError::AddressNotAvailable));
    assert_eq!(leave(&mut script, both, "10.0.0.1"), Err(SocketError::InvalidArgument));
    let mut only4 = Script::with(|config| config.addresses.truncate(1));
    let socket = bind(&mut only4, "[::]:9");
    assert_eq!(join(&mut only4, socket, GROUP6), Err(SocketError::AddressNotAvailable));
    assert!(only4.now > Instant::ZERO);
}

/// What is left of a query when octets of it are changed or cut off, with checksums made right: an answer or none, no panic,
/// and nothing grows.
#[test]
fn damaged_queries() {
    let mut script = Script::new();
    let socket = bind(&mut script, "[::]:9");
    join(&mut script, socket, GROUP4).unwrap();
    join(&mut script, socket, GROUP6).unwrap();
    let mut rng = KeyedRng::from_seed(3376);
    let bodies = [
        [&[0x11, 10, 0, 0, 239, 1, 2, 3, 2, 125, 0, 1][..], &[9; 4]].concat(),
        query6_message(GROUP6, 100, &["2001:db8::1", "2001:db8::2"]),
    ];
    let mut reports = 0;
    for round in 0..20_000 {
        let (family, mut body) = (round % 2, bodies[round % 2].clone());
        for _ in 0..rng.below(4) {
            let at = rng.below(body.len() as u64) as usize;
            body[at] = rng.below(256) as u8;
        }
        if rng.chance(300_000) {
            body.truncate(4 + rng.below(body.len() as u64 - 3) as usize);
        }
        let packet = if family == 0 { igmp(GROUP4, true, &body) } else { mld(ROUTER6, GROUP6, 1, ALERT6, &body) };
        give(&mut script, &packet);
        script.now += Duration::from_millis(50);
        script.stack.handle_deadline(script.now);
        // A changed type can make an echo request of it, which is answered too.
        for packet in script.packets().iter().filter(|packet| parse_ip(packet).is_ok_and(|ip| ip.hop_limit == 1)) {
            read(packet);
            reports += 1;
        }
    }
    // Each answer is to at least one query; older versions, which damage makes of some, are answered in their form.
    assert!((100..20_000).contains(&reports), "{reports}");
    script.stack.udp_close(socket);
    said_within(&mut script, Duration::from_secs(600));
    assert_eq!(script.stack.next_deadline(), None);
}

/// A network that is closed leaves its groups.
#[test]
fn closing_everything_leaves() {
    let mut script = Script::new();
    let socket = bind(&mut script, "[::]:9");
    join(&mut script, socket, GROUP4).unwrap();
    said_within(&mut script, Duration::from_secs(2));
    script.stack.close_all(script.now);
    assert_eq!(said(&mut script), [one(TO_INCLUDE, GROUP4)]);
    // What the socket does later is no news.
    script.stack.udp_close(socket);
    assert!(said(&mut script).is_empty());
}
