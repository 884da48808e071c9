//! What leaves in fragments: long echoes and datagrams (RFC 791 section 3.2, RFC 8200 section 4.5).

use crate::kit;
use crate::kit::fragment::{Cut, assemble, even};
use crate::kit::give;
use glasstcp::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::{Progress, WouldBlock};
use glasstcp::udp::Fragmentation;
use glasstcp::wire::{parse_ip, udp};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

const FAMILIES: [(&str, &str); 2] = [("10.0.0.2", "10.0.0.1"), ("fd00:67::2", "fd00:67::1")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn give_all(script: &mut Script, fragments: &[Vec<u8>]) {
    for (number, fragment) in fragments.iter().enumerate() {
        assert_eq!(give(script, fragment), None, "fragment {number}");
    }
}

/// 791-3.2-2, 6864-4.3, 7112-5: datagrams of every length over UDP, in fragments that fit, each with an identification of its
/// own; and what arrives in them.
#[test]
fn udp_both_ways() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let most = if v6 { 65_527 } else { 65_507 };
        for mtu in [if v6 { 1_280 } else { 576 }, 1_500, 9_000, 65_535] {
            let mut script = Script::with(|config| {
                config.mtu = mtu;
                config.addresses.retain(|cidr| cidr.address.is_ipv6() == v6);
            });
            let (local, remote) = (SocketAddr::new(ip(own), 9), SocketAddr::new(ip(peer), 5));
            let socket = script.stack.udp_bind(local).unwrap();
            let mut ids = BTreeSet::new();
            let edge = mtu - if v6 { 48 } else { 28 };
            for len in
                [0, edge - 1, edge, edge + 1, 2 * edge, 30_000, most - 1, most].into_iter().filter(|&len| len <= most)
            {
                let data: Vec<u8> = (0..len).map(|n| (n % 249) as u8).collect();
                assert_eq!(script.stack.udp_send(script.now, socket, Some(remote), &data), Ok(len));
                let packets = script.packets();
                assert_eq!(packets.len() == 1, len <= edge, "{len} with an MTU of {mtu}");
                assert!(packets.iter().all(|packet| packet.len() <= mtu));
                let fragment = parse_ip(&packets[0]).unwrap().fragment;
                assert!(fragment.is_none_or(|fragment| ids.insert(fragment.identification)), "new each time");
                let whole = assemble(&packets).unwrap();
                let packet = parse_ip(&whole).unwrap();
                let (ports, received) = udp::parse(packet.source, packet.destination, packet.payload, true).unwrap();
                assert_eq!((ports.source_port, ports.destination_port, received), (9, 5, data.as_slice()));
                // And back.
                let back = kit::datagram(remote, local, &data);
                let size = if v6 { 1_232 } else { 1_480 };
                if back.len() > size + 60 {
                    give_all(&mut script, &Cut::new(len as u32).apply(&back, &even(&back, size)));
                    assert_eq!(script.stack.udp_receive(socket).unwrap().data, data);
                }
            }
            let too_long = script.stack.udp_send(script.now, socket, Some(remote), &vec![0; most + 1]);
            assert_eq!(too_long, Err(SocketError::MessageTooLong));
            // 6864-4.3-2: what must not be cut is refused.
            script.stack.udp_set_options(socket, |options| options.fragmentation = Fragmentation::Refused).unwrap();
            if edge < most {
                let cut = script.stack.udp_send(script.now, socket, Some(remote), &vec![0; edge + 1]);
                assert_eq!((cut, script.packets().len()), (Err(SocketError::MessageTooLong), 0));
            }
        }
    }
}

/// All fragments of a datagram are queued or none, and a device that takes no more gets the rest later.
#[test]
fn all_or_none() {
    let mut script = Script::with(|config| config.max_queued_packets = 100);
    let socket = script.stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    let remote = "10.0.0.1:5".parse().unwrap();
    let mut send = |len: usize| script.stack.udp_send(script.now, socket, Some(remote), &vec![7; len]);
    assert_eq!((send(65_507), send(65_507), send(65_507)), (Ok(65_507), Ok(65_507), Err(SocketError::WouldBlock)));
    assert_eq!((send(10 * 1_480 - 8), send(1)), (Ok(14_792), Err(SocketError::WouldBlock)));
    let (mut packets, mut blocked) = (Vec::new(), false);
    for turn in 0.. {
        let progress = script.stack.transmit(script.now, 7, |transmit| {
            // Every third one is refused at first.
            blocked = !blocked && packets.len() % 3 == 2;
            if blocked {
                return Err(WouldBlock);
            }
            packets.push(transmit.to_vec());
            Ok(())
        });
        if progress == Progress::Idle {
            break;
        }
        assert!(turn < 1_000);
    }
    assert_eq!(packets.len(), 100);
    for whole in [&packets[..45], &packets[45..90], &packets[90..]] {
        assert!(assemble(whole).is_some());
    }
    assert_eq!(script.stack.counters().fragments_out, 100);
    assert_eq!(script.stack.udp_send(script.now, socket, Some(remote), &[0; 65_507]), Ok(65_507));
}
