//! Sequence numbers wrap: more than 4 GiB in one connection, and every edge of the number space (RFC 9293 section 3.4).

use crate::fsm::*;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Side, World};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;

const SPACE: u64 = 1 << 32;

/// Sends until `target` octets of sequence space have left, which is met exactly, and has everything acknowledged.
fn pump(script: &mut Script, handle: TcpHandle, sent: &mut u64, target: u64) {
    let iss = script.stack.tcp_connection(handle).unwrap().snd.iss.0;
    // Whole segments, so that nothing short leaves before the end.
    let chunk = vec![0x5a; 1_460 * 700];
    let mut written = *sent;
    loop {
        let room = usize::try_from(target - written).unwrap().min(chunk.len());
        if room > 0 {
            written += script.stack.tcp_send(script.now, handle, &chunk[..room]).unwrap_or(0) as u64;
        }
        let before = *sent;
        script.stack.transmit(script.now, 1_000, |transmit| {
            let seq = u32::from_be_bytes(transmit.header[24..28].try_into().unwrap());
            assert_eq!(seq, iss.wrapping_add(*sent as u32), "{sent}");
            assert_eq!(u16::from(transmit.header[33]) & 0x17, ACK.0, "neither SYN nor RST nor FIN at {sent}");
            *sent += transmit.payload.iter().map(|piece| piece.len() as u64).sum::<u64>();
            Ok(())
        });
        assert!(*sent > before, "it stalls at {sent} of {target}");
        script.now += millis(1);
        script.ack = iss.wrapping_add(*sent as u32);
        let header = script.header(ACK);
        script.deliver(&header, &[]);
        assert_eq!(variables(script, handle).0, script.ack);
        if *sent >= target {
            return;
        }
    }
}

/// Nagle's algorithm and fast retransmit work as on the first day.
fn works(script: &mut Script, handle: TcpHandle, sent: &mut u64) {
    let mut seqs = Vec::new();
    let retransmits = script.stack.counters().fast_retransmits;
    for octets in [10, 14_600] {
        assert_eq!(script.stack.tcp_send(script.now, handle, &vec![1; octets]), Ok(octets));
        let (una, before) = (variables(script, handle).0, script.stack.counters().segments_out);
        script.stack.transmit(script.now, 1_000, |_| Ok(()));
        assert!(script.stack.counters().segments_out > before, "nothing is in flight, so nothing is held");
        if octets > 1_460 {
            for _ in 0..3 {
                script.deliver(&script.header(ACK), &[]);
            }
            script.stack.transmit(script.now, 1_000, |transmit| {
                seqs.push(u32::from_be_bytes(transmit.header[24..28].try_into().unwrap()));
                Ok(())
            });
            assert!(seqs.contains(&una), "three duplicates bring a fast retransmit: {seqs:?} {una}");
            assert_eq!(script.stack.counters().fast_retransmits, retransmits + 1);
        }
        *sent += octets as u64;
        script.ack = script.ack.wrapping_add(octets as u32);
        script.deliver(&script.header(ACK), &[]);
        assert_eq!(variables(script, handle).0, script.ack);
    }
}

/// 9293-3.4-1, pitfall 1: a connection that sends more than 4 GiB passes ISS again, and every distance from its start.
#[test]
fn more_than_the_number_space_is_sent() {
    // A buffer of whole segments, so that it is never emptied by a short one.
    let mut script = Script::with(|config| config.tcp.send_capacity = Some(1_460 * 700));
    let handle = script.accept_with(TcpOptions { window_scale: Some(7), ..plain() });
    script.stack.set_offload(65_000, true);
    let mut sent = 1; // our SYN
    // Only whole segments on the way, so that the last short one lies more than half the space behind.
    pump(&mut script, handle, &mut sent, 1 + ((SPACE >> 1) + (200 << 20)) / 1_460 * 1_460);
    let short_end = script.stack.tcp_connection(handle).unwrap().snd.short_end.0;
    assert_eq!(short_end, script.ack, "nothing short was sent, and the mark has moved along");
    works(&mut script, handle, &mut sent);
    // SND.UNA and SND.NXT stand exactly at ISS, and around it.
    for target in [SPACE - 1, SPACE, SPACE + 1, SPACE + (3 << 20)] {
        pump(&mut script, handle, &mut sent, target);
    }
    works(&mut script, handle, &mut sent);
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().statistics.octets_acknowledged, sent - 1);
}

/// 9293-3.4-1, pitfall 1: half the number space is received and more, so that IRS lies behind and then ahead again.
#[test]
fn more_than_the_number_space_is_received() {
    let mut script = Script::new();
    let handle = script.accept_with(TcpOptions { window_scale: Some(7), ..plain() });
    let mut buffer = vec![0; 1 << 17];
    let text = vec![0x33; 65_000];
    let mut total = 0_u64;
    while total < (1 << 32) + (1 << 20) {
        let header = script.header(ACK);
        let packet = script.packet(&header, &text);
        let meta = RxMeta { gso_size: 1_460, ..RxMeta::plain(packet.len()) };
        assert_eq!(script.stack.handle_packet(script.now, &packet, &meta), None, "at {total}");
        script.seq = script.seq.wrapping_add(text.len() as u32);
        total += text.len() as u64;
        assert_eq!(script.stack.tcp_receive(script.now, handle, &mut buffer), Ok(text.len()));
        let mut acked = None;
        script.stack.transmit(script.now, 10, |transmit| {
            acked = Some(u32::from_be_bytes(transmit.header[28..32].try_into().unwrap()));
            Ok(())
        });
        assert_eq!(acked, Some(script.seq), "at {total}");
    }
    script.peer_closes();
    assert_eq!(state(&script, handle), State::CloseWait);
}

/// 9293-3.4-1, 9293-3.10.7.4-36, 9293-3.10.7.4-40, pitfall 1: two stacks over a bad link, with numbers that wrap on the way:
/// what was sent is what is read, in order, once.
#[test]
fn the_stream_survives_a_bad_link_at_every_edge() {
    for seed in 0..12_u64 {
        let bad = Impairment::perfect()
            .delay(millis(5))
            .jitter(millis(3))
            .loss(20_000)
            .duplicate(30_000)
            .reorder(50_000, millis(8));
        let mut world = World::plain(bad, seed);
        // The ISN clock decides where the numbers begin: go to where they wrap during the transfer.
        let ends = ["10.0.0.1:5000", "10.0.0.2:80"].map(|text| text.parse().unwrap());
        let listener = world.stack(Side::B).tcp_listen(ends[1], 8, Default::default()).unwrap();
        let now = world.now();
        let probe = world.stack(Side::A).tcp_connect(now, Some(ends[0]), ends[1], Default::default()).unwrap();
        let isn = world.stack(Side::A).tcp_connection(probe).unwrap().snd.iss.0;
        world.stack(Side::A).tcp_abort(now, probe);
        world.stack(Side::A).tcp_close(now, probe);
        let wanted = [u32::MAX, 0, u32::MAX - 100_000, (1 << 31) - 100_000][seed as usize % 4];
        world.run(std::time::Duration::from_micros(4) * wanted.wrapping_sub(isn));
        let now = world.now();
        let client = world.stack(Side::A).tcp_connect(now, Some(ends[0]), ends[1], Default::default()).unwrap();
        assert_eq!(world.stack(Side::A).tcp_connection(client).unwrap().snd.iss.0, wanted);
        let data: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut sent, mut got, mut server, mut ended) = (0, Vec::new(), None, false);
        world.run_until(secs(600), |world| {
            let now = world.now();
            let open = world.stack(Side::A).tcp_state(client) == Some(State::Established);
            if open && sent < data.len() {
                sent += world.stack(Side::A).tcp_send(now, client, &data[sent..]).unwrap_or(0);
                if sent == data.len() {
                    world.stack(Side::A).tcp_close(now, client);
                }
            }
            server = server.or_else(|| world.stack(Side::B).tcp_accept(listener).ok().map(|(handle, _)| handle));
            let mut buffer = [0; 10_000];
            while let Some(read) = server.and_then(|s| world.stack(Side::B).tcp_receive(now, s, &mut buffer).ok()) {
                got.extend_from_slice(&buffer[..read]);
                ended = read == 0;
                if ended {
                    break;
                }
            }
            world.flush();
            ended
        });
        assert!(ended && got == data, "seed {seed}: {} of {} octets", got.len(), data.len());
        let now = world.now();
        world.stack(Side::B).tcp_close(now, server.unwrap());
        world.run(secs(300));
        for side in [Side::A, Side::B] {
            assert_eq!(world.stack(side).table_sizes(), (0, 0, 0), "seed {seed}");
            assert_eq!(world.stack(side).buffer_memory(), 0, "seed {seed}");
        }
    }
}
