//! UDP: lengths, checksums, ports, and what belongs to a datagram.

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::stack::UdpHandle;
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::udp;
use glasstcp::wire::{parse_ip, protocol};

use super::support::*;
use crate::kit::{datagram, give};

fn bound(script: &mut Script, own: &str) -> UdpHandle {
    script.stack.udp_bind(end(own, 9)).unwrap()
}

/// 768-1, 1122-4.1.3.4-1, 8200-8.1-2, 768-3: lengths and checksums of datagrams.
#[test]
fn bad_datagrams() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let at = if v6 { 40 } else { 20 };
        let mut script = Script::new();
        let socket = bound(&mut script, own);
        let good = datagram(end(peer, 5), end(own, 9), b"12345678");
        for bit in at * 8..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(give(&mut script, &bad).is_some(), "bit {bit}");
        }
        assert!(script.packets().is_empty());
        for (length, reason) in [(0, true), (7, true), (17, true), (65_535, true), (8, false), (15, false), (16, false)]
        {
            let mut changed = good.clone();
            changed[at + 4..at + 6].copy_from_slice(&(length as u16).to_be_bytes());
            changed[at + 6..at + 8].fill(0);
            if v6 {
                let mut sum = Checksum::new();
                sum.add_pseudo_header(ip(peer), ip(own), protocol::UDP, length);
                sum.add(&changed[at..(at + length as usize).min(changed.len())]);
                let sum = sum.finish().to_be_bytes();
                changed[at + 6..at + 8].copy_from_slice(&sum);
            }
            let dropped = give(&mut script, &changed);
            assert_eq!(dropped.is_some(), reason, "length {length}: {dropped:?}");
            if !reason {
                // The surplus is ignored.
                assert_eq!(script.stack.udp_receive(socket).unwrap().data, b"12345678"[..length as usize - 8]);
            }
        }
        let mut none = good.clone();
        none[at + 6..at + 8].fill(0);
        let dropped = give(&mut script, &none);
        assert_eq!(dropped, v6.then_some(DropReason::UdpChecksum), "no checksum");
    }
}

/// 768-2, 1122-4.1.3.4-1, 8200-8.1-2: what is sent has a checksum, and never the one that means none.
#[test]
fn datagrams_have_checksums() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bound(&mut script, own);
        let mut all_ones = 0;
        for number in 0..=u16::MAX {
            if script.stack.udp_send(script.now, socket, Some(end(peer, 5)), &number.to_be_bytes()).is_err() {
                panic!("no room");
            }
            for packet in script.packets() {
                let packet = parse_ip(&packet).unwrap();
                let sum = &packet.payload[6..8];
                assert_ne!(sum, [0, 0]);
                all_ones += u32::from(sum == [0xFF, 0xFF]);
                let (_, data) = udp::parse(packet.source, packet.destination, packet.payload, true).unwrap();
                assert_eq!(data, number.to_be_bytes());
            }
        }
        assert!(all_ones > 0, "the case occurred");
    }
}

/// 768-4, 1122-3.3.3, 9293-MUST-49: datagrams stay whole and apart, with both addresses; too long ones are refused.
#[test]
fn datagrams() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bound(&mut script, own);
        for (number, data) in [b"one".as_slice(), b"", b"three"].into_iter().enumerate() {
            give(&mut script, &datagram(end(peer, 1_000 + number as u16), end(own, 9), data));
        }
        for (number, data) in [b"one".as_slice(), b"", b"three"].into_iter().enumerate() {
            let datagram = script.stack.udp_receive(socket).unwrap();
            assert_eq!((datagram.data.as_slice(), datagram.source), (data, end(peer, 1_000 + number as u16)));
            assert_eq!(datagram.destination, end(own, 9));
        }
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
        let most = 65_535 - if own.contains(':') { 8 } else { 28 };
        let mut send = |len| script.stack.udp_send(script.now, socket, Some(end(peer, 5)), &vec![0; len]);
        assert_eq!((send(1_452), send(most), send(most + 1)), (Ok(1_452), Ok(most), Err(SocketError::MessageTooLong)));
        let packets = script.packets();
        assert!(
            packets[0].len() >= 1_480 && packets[1..].len() > 44 && packets.iter().all(|packet| packet.len() <= 1_500)
        );
        // 1122-3.2.1.7-1
        assert_eq!(script.stack.udp_set_hop_limit(socket, 0), Err(SocketError::InvalidArgument));
        script.stack.udp_set_hop_limit(socket, 3).unwrap();
        script.stack.udp_send(script.now, socket, Some(end(peer, 5)), b"x").unwrap();
        assert_eq!(parse_ip(&script.packets()[0]).unwrap().hop_limit, 3);
    }
}
