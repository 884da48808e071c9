//! Groups through the whole stack: who hears what, and what joins and leaves tell the routers (IGMP, MLD), in virtual time.

use std::time::Duration;

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::ip::multicast::MAX_GROUPS;
use glasstcp::sim::Script;
use glasstcp::stack::UdpHandle;
use glasstcp::time::Instant;
use glasstcp::wire::checksum;
use glasstcp::wire::parse_ip;

use crate::kit::{datagram, give};

use super::support::*;

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
