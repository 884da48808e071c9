//! When text leaves, and with PSH: writes, Nagle, corks and super-segments (RFC 9293 sections 3.7.4 and 3.9.1.2).

use crate::fsm::*;
use glasstcp::sim::Script;
use std::net::IpAddr;

/// 9293-MUST-60, 9293-MUST-61, 9293-SHLD-28: a large write leaves at once in full segments, and only the last has PSH.
#[test]
fn only_the_segment_that_empties_the_queue_is_pushed() {
    let mut script = Script::new();
    let handle = script.accept();
    script.stack.tcp_send(script.now, handle, &[9; 10_000]).unwrap();
    let mut sent = script.sent();
    assert!(!sent.is_empty(), "at once");
    while sent.iter().map(|sent| sent.text.len()).sum::<usize>() < 10_000 {
        let ack = sent.last().map(|sent| sent.header.seq.wrapping_add(sent.text.len() as u32)).unwrap();
        let more = script.peer_acks(ack);
        assert!(!more.is_empty());
        sent.extend(more);
    }
    let (last, others) = sent.split_last().unwrap();
    assert_eq!((last.flags(), last.text.len()), (ACK | PSH, 10_000 % 1_460));
    assert!(others.iter().all(|sent| sent.flags() == ACK && sent.text.len() == 1_460), "{others:#?}");
}

/// 9293-SHLD-28: where the device cuts, what leaves is whole segments as well, however much the window has room for.
#[test]
fn a_super_segment_is_whole_segments() {
    let mut script = Script::new();
    script.window = 8_000;
    let handle = script.accept();
    script.stack.set_offload(65_000, true);
    script.stack.tcp_send(script.now, handle, &[9; 100_000]).unwrap();
    let mut sizes = Vec::new();
    script.stack.transmit(script.now, 100, |transmit| {
        sizes.push(transmit.payload.iter().map(|piece| piece.len()).sum::<usize>());
        Ok(())
    });
    assert_eq!(sizes, [5 * 1_460]);
}

/// 9293-3.10.7.4-24: what waits for more to follow waits no longer once the peer has acknowledged something, and is not pushed.
#[test]
fn an_ack_ends_the_wait_for_more() {
    let mut script = Script::new();
    let handle = script.accept();
    assert_eq!(script.send(handle, &[9; 1_460]).len(), 1);
    script.stack.tcp_send_more(script.now, handle, b"part").unwrap();
    assert_eq!(script.sent(), [], "more will follow");
    let sent = script.peer_acks(script.ack.wrapping_add(1_460));
    assert_eq!((sent.len(), sent[0].flags(), &sent[0].text[..]), (1, ACK, &b"part"[..]));
}

/// 9293-MUST-2: where the device completes the checksum, the field holds the sum of the pseudo-header, folded and not inverted.
#[test]
fn a_checksum_is_left_to_the_device() {
    let mut script = Script::new();
    let handle = script.accept();
    let pseudo = |script: &Script, len: u32| {
        let (local, remote) = (script.local.ip(), script.peer.ip());
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (local, remote) else { unreachable!() };
        let halves = [u32::from(local), u32::from(remote)].map(|address| (address >> 16) + (address & 0xFFFF));
        let sum = halves[0] + halves[1] + 6 + len;
        (sum & 0xFFFF) + (sum >> 16)
    };
    for (offload, whole) in [(false, 0), (true, pseudo(&script, 20 + 5))] {
        script.stack.set_offload(65_000, offload);
        script.stack.tcp_send(script.now, handle, b"hello").unwrap();
        let mut fields = Vec::new();
        script.stack.transmit(script.now, 9, |transmit| {
            fields.push(u16::from_be_bytes([transmit.header[36], transmit.header[37]]));
            Ok(())
        });
        assert_eq!(fields.len(), 1);
        assert_eq!(u32::from(fields[0]) == whole, offload, "{fields:?}");
        script.peer_acks(script.ack.wrapping_add(5));
    }
}

/// 9293-MUST-60: what Nagle, silly-window avoidance or a cork hold back leaves by the override timer.
#[test]
fn nothing_is_held_for_ever() {
    let mut script = Script::new();
    let handle = script.accept();
    // A window too small for a full segment, and less than half of the largest.
    script.window = 100;
    script.inject(&script.header(ACK), &[]);
    assert_eq!(script.send(handle, &[1; 1_000]), [], "silly-window avoidance");
    let sent = script.pass(millis(1_000));
    assert_eq!(sent.first().map(|sent| sent.text.len()), Some(100), "{sent:#?}");
    let mut script = Script::new();
    let handle = script.accept();
    script.stack.tcp_set_options(script.now, handle, |options| options.cork = true).unwrap();
    assert_eq!(script.send(handle, b"corked"), []);
    let sent = script.pass(millis(1_000));
    assert_eq!(sent.first().map(|sent| &sent.text[..]), Some(&b"corked"[..]));
}

/// 9293-SHLD-7, 9293-SHLD-27: many small writes on a long path become about one segment per round trip, each with one
/// PSH; without Nagle's algorithm each write leaves.
#[test]
fn small_writes_on_a_long_path() {
    for nodelay in [false, true] {
        let mut script = Script::new();
        let handle = script.accept();
        script.stack.tcp_set_options(script.now, handle, |options| options.nodelay = nodelay).unwrap();
        let mut sent = Vec::new();
        let mut acks = std::collections::VecDeque::new();
        for turn in 0..250_u64 {
            let mut now = Vec::new();
            if turn < 100 {
                now.extend(script.send(handle, b"x"));
            }
            now.extend(script.pass(millis(1)));
            while acks.front().is_some_and(|&(at, _)| at <= turn) {
                now.extend(script.peer_acks(acks.pop_front().unwrap().1));
            }
            for segment in &now {
                acks.push_back((turn + 50, segment.header.seq.wrapping_add(segment.text.len() as u32)));
            }
            sent.extend(now);
        }
        let octets: usize = sent.iter().map(|sent| sent.text.len()).sum();
        assert_eq!(octets, 100);
        assert!(sent.iter().all(|sent| sent.flags() == ACK | PSH));
        if nodelay {
            assert!(sent.len() >= 10, "as far as the congestion window allows: {}", sent.len());
        } else {
            assert_eq!(sent.len(), 3);
        }
    }
}

/// 9293-SHLD-28, 9293-SHLD-27: what is written in small pieces while the window is closed leaves in full segments.
#[test]
fn pushes_collapse_while_the_sender_is_blocked() {
    let mut script = Script::new();
    script.window = 0;
    let handle = script.accept();
    for _ in 0..10 {
        assert_eq!(script.send(handle, &[3; 100]), []);
    }
    script.window = 65_535;
    let sent = script.inject(&script.header(ACK), &[]);
    assert_eq!((sent.len(), sent[0].text.len(), sent[0].flags()), (1, 1_000, ACK | PSH));
}

/// 9293-MAY-16: corked writes leave as full segments, the rest when the cork is pulled.
#[test]
fn a_cork_makes_full_segments() {
    let mut script = Script::new();
    let handle = script.accept();
    script.stack.tcp_set_options(script.now, handle, |options| options.cork = true).unwrap();
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.extend(script.send(handle, &[3; 100]));
    }
    assert_eq!((sent.len(), sent[0].text.len()), (1, 1_460));
    script.stack.tcp_set_options(script.now, handle, |options| options.cork = false).unwrap();
    script.peer_acks(sent[0].header.seq.wrapping_add(1_460)).iter().for_each(|sent| assert_eq!(sent.text.len(), 540));
}
