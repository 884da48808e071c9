//! Paths that take less than their ends, with routers that say so and with routers that do not: RFC 4821.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::flow::{Flow, accepted_with_sack, duplicate_ack, end, look, ms, octets, secs, text};
use crate::kit;
use crate::kit::icmp_error;
use glasstcp::config::Config;
use glasstcp::counters::Counters;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Sent, Side, World, sender};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::habits::MtuSearch;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::TcpOptions;

/// A flow whose client has a path that takes packets of `mtu` octets.
struct Narrow {
    flow: Flow,
    mtu: Arc<AtomicUsize>,
    /// What was too large.
    dropped: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Narrow {
    fn open(mtu: usize, seed: u64, change: impl Fn(&mut Config)) -> Narrow {
        let mut flow = Flow::open(Impairment::perfect().rate(50_000_000).delay(ms(10)).queue(1 << 20), seed, change);
        let (mtu, dropped) = (Arc::new(AtomicUsize::new(mtu)), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let (limit, gone) = (mtu.clone(), dropped.clone());
        flow.world.link().direction_mut(Side::A).set_drop_if(Some(Box::new(move |packet, _| {
            let too_large = packet.len() > limit.load(Relaxed);
            if too_large {
                gone.lock().unwrap().push(packet.to_vec());
            }
            too_large
        })));
        Narrow { flow, mtu, dropped }
    }

    /// Sends so much; a router tells what it drops, or none does.
    fn transfer(&mut self, len: usize, tells: bool) -> bool {
        let (mtu, dropped) = (self.mtu.clone(), self.dropped.clone());
        self.flow.transfer(len, secs(300), |world| {
            let now = world.now();
            sender::check_all(world.stack(Side::A), now);
            let gone = std::mem::take(&mut *dropped.lock().unwrap());
            if tells {
                for packet in gone {
                    tell(world, &packet, mtu.load(Relaxed));
                }
                world.flush();
            }
        })
    }

    fn counters(&mut self) -> Counters {
        self.flow.world.stack(Side::A).counters().clone()
    }

    fn size(&mut self) -> usize {
        usize::from(self.flow.client().send_mss) + 40
    }

    fn known(&mut self) -> usize {
        self.flow.world.stack(Side::A).path_mtu("10.0.0.2".parse().unwrap())
    }
}

fn tell(world: &mut World, about: &[u8], mtu: usize) {
    let error = icmp_error("192.0.2.9".parse().unwrap(), about, IcmpError::PacketTooBig { mtu: mtu as u32 });
    let now = world.now();
    world.stack(Side::A).handle_packet(now, &error, &RxMeta::plain(error.len()));
}

/// 1191-3-1: with a router that tells, a transfer never waits for a timer, with whatever controller and device.
#[test]
fn a_router_that_tells_costs_no_timeout() {
    for congestion in Algorithm::ALL {
        for (mtu, offload, sack) in [(1_400, false, true), (1_400, true, true), (600, true, true), (1_280, true, false)]
        {
            let case = format!("{congestion} {mtu} {offload} {sack}");
            let mut narrow = Narrow::open(mtu, 1, |config| {
                (config.tcp.socket.congestion, config.tcp.sack) = (congestion, sack);
            });
            if offload {
                narrow.flow.world.offload(Side::A, 65_536, true);
            }
            assert!(narrow.transfer(2_000_000, true), "{case}");
            let counters = narrow.counters();
            assert_eq!((narrow.size(), narrow.known(), counters.path_mtu_lowered), (mtu, mtu, 1), "{case}");
            assert_eq!((counters.timeouts, counters.fast_retransmits), (0, 0), "{case}");
            assert_eq!(narrow.flow.client().ssthresh, u32::MAX, "{case}: no sign of congestion");
        }
    }
}

/// 4821-2, 4821-7.7, 4821-4: nobody tells, and the path is found all the same: three timeouts, and then no loss of a probe
/// makes the window smaller.
#[test]
fn a_black_hole_is_left_and_the_path_found() {
    for congestion in Algorithm::ALL {
        for (mtu, offload, sack) in
            [(1_400, false, true), (1_400, true, true), (1_300, true, true), (700, true, true), (1_400, true, false)]
        {
            let case = format!("{congestion} {mtu} {offload} {sack}");
            let mut narrow = Narrow::open(mtu, 2, |config| {
                (config.tcp.socket.congestion, config.tcp.sack) = (congestion, sack);
            });
            if offload {
                narrow.flow.world.offload(Side::A, 65_536, true);
            }
            // Each of the probes that are lost waits for a second.
            for _ in 0..40 {
                assert!(narrow.transfer(500_000, false), "{case}");
                narrow.flow.world.run(secs(1));
            }
            let counters = narrow.counters();
            let (holes, timeouts) = if mtu == 700 { (2, 6) } else { (1, 3) };
            assert_eq!((counters.path_mtu_black_holes, counters.timeouts), (holes, timeouts), "{case}");
            assert!(narrow.size() <= mtu && mtu - narrow.size() < 8, "{case}: {}", narrow.size());
            assert_eq!(narrow.known(), narrow.size(), "{case}: others need not search");
            assert!(
                counters.path_mtu_probes >= counters.path_mtu_probes_lost && counters.path_mtu_probes_lost > 2,
                "{case}"
            );
            assert_eq!(counters.fast_retransmits, 0, "{case}");
        }
    }
}

/// 4821-7.7: also of a flow that had larger segments before, whether a router tells or not.
#[test]
fn a_path_that_becomes_narrower() {
    for congestion in Algorithm::ALL {
        for tells in [true, false] {
            let mut narrow = Narrow::open(1_500, 3, |config| config.tcp.socket.congestion = congestion);
            narrow.flow.world.offload(Side::A, 65_536, true);
            assert!(narrow.transfer(1_000_000, tells));
            assert_eq!(narrow.size(), 1_500);
            narrow.mtu.store(1_300, Relaxed);
            for _ in 0..40 {
                assert!(narrow.transfer(500_000, tells), "{congestion} {tells}");
                narrow.flow.world.run(secs(1));
            }
            let (size, counters) = (narrow.size(), narrow.counters());
            assert!(size <= 1_300 && size > 1_292, "{congestion} {tells}: {size}");
            // 5927-7.2: on a router's word alone after one timeout.
            assert_eq!(counters.timeouts, if tells { 1 } else { 3 }, "{congestion} {tells}");
        }
    }
}

/// An outage looks like a black hole. One probe shows that it was none.
#[test]
fn after_an_outage_the_size_comes_back_at_once() {
    let mut narrow = Narrow::open(1_500, 4, |_| {});
    assert!(narrow.transfer(1_000_000, false));
    narrow.mtu.store(0, Relaxed);
    let client = narrow.flow.client;
    let now = narrow.flow.world.now();
    narrow.flow.world.stack(Side::A).tcp_send(now, client, &text(100_000)).unwrap();
    narrow.flow.world.run(secs(5));
    assert_eq!((narrow.counters().path_mtu_black_holes, narrow.size()), (1, 1_064));
    narrow.mtu.store(1_500, Relaxed);
    narrow.flow.world.run(secs(20));
    let mut buffer = vec![0; 1 << 20];
    let (server, now) = (narrow.flow.server, narrow.flow.world.now());
    assert_eq!(narrow.flow.world.stack(Side::B).tcp_receive(now, server, &mut buffer), Ok(100_000));
    assert!(narrow.transfer(1_000_000, false));
    assert_eq!((narrow.size(), narrow.counters().path_mtu_probes, narrow.known()), (1_500, 1, 1_500));
}

/// 4821-7.3, 8201-4-4, 1191-3-4: a search that is over rests for ten minutes; and a path that has become wider is found then.
#[test]
fn a_search_rests() {
    let mut narrow = Narrow::open(1_400, 5, |_| {});
    assert!(narrow.transfer(500_000, true));
    assert_eq!(narrow.size(), 1_400);
    let mut probes = vec![narrow.counters().path_mtu_probes];
    for minute in 1..=60 {
        for _ in 0..6 {
            assert!(narrow.transfer(100_000, false));
            narrow.flow.world.run(secs(10));
        }
        probes.push(narrow.counters().path_mtu_probes);
        if minute == 45 {
            narrow.mtu.store(1_500, Relaxed);
        }
    }
    assert_eq!(probes[9], 0, "none within ten minutes: {probes:?}");
    // Each search takes a minute or two, and then there is silence.
    let active = (1..=45).filter(|&minute| probes[minute] > probes[minute - 1]).count();
    assert!((4..=12).contains(&active) && probes[45] <= 4 * 24, "{probes:?}");
    assert_eq!(narrow.size(), 1_500, "found again within a quarter of an hour");
}

/// A flow with a path of 1,400 that may be probed now, and 20 segments in flight and behind.
fn ready_to_probe(queued: usize) -> (Script, TcpHandle, Vec<Sent>) {
    ready_to_probe_with(true, queued)
}

/// The same with SACK or without.
fn ready_to_probe_with(sack: bool, queued: usize) -> (Script, TcpHandle, Vec<Sent>) {
    let (mut script, handle) = accepted_with_sack(|config| {
        config.tcp.send_capacity = Some(1 << 20);
        config.tcp.socket.congestion = Algorithm::Reno;
        config.tcp.sack = sack;
    });
    let start = script.ack;
    let sent = script.send(handle, &text(8_000));
    let error = icmp_error("192.0.2.9".parse().unwrap(), &sent[0].packet, IcmpError::PacketTooBig { mtu: 1_400 });
    kit::give(&mut script, &error);
    let mut sent = script.sent();
    while !sent.is_empty() {
        script.now += ms(20);
        sent = script.peer_acks(end(&sent));
    }
    script.peer_acks(start.wrapping_add(8_000));
    script.pass(secs(601));
    assert_eq!(look(&script, handle).flight, 0);
    let sent = script.send(handle, &text(queued));
    (script, handle, sent)
}

fn sizes(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|segment| segment.text.len()).collect()
}

/// 4821-7.4: a probe needs enough behind it that its loss shows, and a window for it.
#[test]
fn a_probe_only_with_enough_behind_it() {
    for (segments, probed) in [(1, false), (2, false), (4, false), (6, true), (30, true)] {
        let (script, _, sent) = ready_to_probe(segments * 1_360);
        assert_eq!(sizes(&sent).contains(&1_460), probed, "{segments} segments: {:?}", sizes(&sent));
        assert_eq!(script.stack.counters().path_mtu_probes, u64::from(probed));
    }
    // To the octet: the probe, and four segments behind it, as the application has written and as the window takes them.
    let enough = 1_460 + 4 * 1_360;
    for (octets, probed) in [(enough - 1, false), (enough, true)] {
        let (_, _, sent) = ready_to_probe(octets);
        assert_eq!(sizes(&sent).contains(&1_460), probed, "{octets} octets");
        let (mut script, handle, sent) = ready_to_probe(0);
        assert!(sent.is_empty());
        script.window = octets as u16;
        script.peer_acks(script.ack);
        assert_eq!(sizes(&script.send(handle, &text(30 * 1_360))).contains(&1_460), probed, "a window of {octets}");
    }
}

/// 4821-7.4: no probe while something seems lost, with time to tell or without; and once all is there, the next one.
#[test]
fn no_probe_while_something_seems_lost() {
    for (segments, sacked) in [(2, false), (2, true), (4, true)] {
        let (mut script, handle, sent) = ready_to_probe(segments * 1_360);
        assert_eq!(sizes(&sent), vec![1_360; segments], "too little for a probe");
        script.now += ms(20);
        let mut all = sent.clone();
        if sacked {
            all.extend(duplicate_ack(&mut script, &[(end(&sent[..1]), end(&sent))]));
        }
        let recovers = look(&script, handle).phase == Phase::FastRecovery;
        assert_eq!(recovers, segments == 4, "three that have arrived show it at once");
        all.extend(script.send(handle, &text(60 * 1_360)));
        assert!(all.len() > segments, "something leaves");
        assert_eq!(sizes(&all).contains(&1_460), !sacked, "{segments} {sacked}: {:?}", sizes(&all));
        for _ in 0..10 {
            script.now += ms(20);
            let right = all
                .iter()
                .map(|sent| end(std::slice::from_ref(sent)))
                .max_by_key(|end| end.wrapping_sub(script.ack) as i32);
            all.extend(script.peer_acks(right.unwrap()));
        }
        assert!(sizes(&all).contains(&1_460), "{segments} {sacked}");
    }
}

/// 4821-4: the probe alone is lost.
#[test]
fn the_loss_of_a_probe_is_no_congestion() {
    let (mut script, handle, sent) = ready_to_probe(60 * 1_360);
    let probe = sent.iter().position(|segment| segment.text.len() == 1_460).expect("a probe");
    let at = sent[probe].header.seq;
    let (before, right) = (look(&script, handle), end(&sent));
    script.now += ms(20);
    let left = at.wrapping_add(1_460);
    let again = duplicate_ack(&mut script, &[(left, right)]);
    let resent: Vec<&Sent> = again.iter().filter(|segment| segment.header.seq.wrapping_sub(at) < 1_460).collect();
    assert_eq!(resent.iter().map(|segment| segment.text.len()).collect::<Vec<_>>(), [1_360, 100], "in two pieces");
    let seen = look(&script, handle);
    assert_eq!((seen.phase, seen.ssthresh), (Phase::Open, before.ssthresh));
    assert!(seen.cwnd >= before.cwnd);
    let counters = script.stack.counters();
    assert_eq!((counters.path_mtu_probes_lost, counters.fast_retransmits), (1, 0));
    // 4821-4: no second probe within a second.
    let mut sent = again;
    for _ in 0..20 {
        script.now += ms(20);
        sent = script.peer_acks(end(if sent.is_empty() { break } else { &sent }));
        assert!(!sizes(&sent).contains(&1_460));
    }
}

/// 4821-4, 6582-3.2-1: the same without SACK: however many more duplicate ACKs there are for what is in flight, they begin no
/// recovery.
#[test]
fn without_sack_the_loss_of_a_probe_is_no_congestion() {
    let (mut script, handle, sent) = ready_to_probe_with(false, 60 * 1_360);
    let probe = sent.iter().position(|segment| segment.text.len() == 1_460).expect("a probe");
    let before = look(&script, handle);
    script.now += ms(20);
    script.peer_acks(sent[probe].header.seq);
    let mut again = Vec::new();
    for _ in 0..8 {
        again.extend(duplicate_ack(&mut script, &[]));
    }
    assert!(again.iter().any(|segment| segment.header.seq == sent[probe].header.seq), "sent again");
    let seen = look(&script, handle);
    assert_eq!((seen.phase, seen.ssthresh), (Phase::Open, before.ssthresh));
    let counters = script.stack.counters();
    assert_eq!((counters.path_mtu_probes_lost, counters.fast_retransmits), (1, 0));
}

/// 4821-7.4: a probe ends no later than the record that it is a part of.
#[test]
fn a_probe_lies_within_a_record() {
    for (len, probed) in [(1_459, false), (1_460, true), (10_000, true)] {
        let (mut script, handle, _) = ready_to_probe(0);
        for _ in 0..10 {
            script.stack.tcp_send_record(script.now, handle, &text(len)).unwrap();
        }
        assert_eq!(sizes(&script.sent()).contains(&1_460), probed, "records of {len}");
    }
}

/// 4821-4: the probe and another segment are lost, which is congestion as ever.
#[test]
fn the_loss_of_a_probe_and_more_is_congestion() {
    let (mut script, handle, sent) = ready_to_probe(60 * 1_360);
    let probe = sent.iter().position(|segment| segment.text.len() == 1_460).expect("a probe");
    let (cwnd, right) = (look(&script, handle).cwnd, end(&sent));
    script.now += ms(20);
    let left = sent[probe].header.seq.wrapping_add(1_460 + 1_360);
    duplicate_ack(&mut script, &[(left, right)]);
    let seen = look(&script, handle);
    assert_eq!((seen.phase, script.stack.counters().path_mtu_probes_lost), (Phase::FastRecovery, 0));
    assert!(seen.ssthresh <= cwnd / 2 + 1_460);
}

/// 8201-5.4: a router says that the probe was too large: no congestion, and no smaller segments either; what it says that
/// would have passed is tried next.
#[test]
fn an_error_about_a_probe() {
    let (mut script, handle, sent) = ready_to_probe(60 * 1_360);
    let probe = sent.iter().find(|segment| segment.text.len() == 1_460).expect("a probe").clone();
    let before = look(&script, handle);
    let error = icmp_error("192.0.2.9".parse().unwrap(), &probe.packet, IcmpError::PacketTooBig { mtu: 1_440 });
    assert_eq!(kit::give(&mut script, &error), None);
    let again = script.sent();
    assert_eq!(octets(&again), 1_460);
    let seen = look(&script, handle);
    assert_eq!((seen.send_mss, seen.cwnd, seen.ssthresh), (1_360, before.cwnd, before.ssthresh));
    let mut sent = sent;
    let mut probes = Vec::new();
    for _ in 0..10 {
        script.now += ms(20);
        sent = script.peer_acks(end(&sent));
        probes.extend(sizes(&sent).into_iter().filter(|&size| size > 1_360));
        if sent.is_empty() {
            break;
        }
    }
    assert_eq!(probes.first(), Some(&1_400), "and not half of what is left");
    assert_eq!(look(&script, handle).send_mss, 1_400, "and it passes");
}

/// 8201-5.4: whatever the path takes, the peer's MSS is the limit of a search.
#[test]
fn a_probe_is_never_larger_than_the_peer_takes() {
    let mut narrow = Narrow::open(1_000, 6, |config| config.tcp.socket.max_segment = Some(1_200));
    for _ in 0..30 {
        assert!(narrow.transfer(300_000, false));
        narrow.flow.world.run(secs(30));
        narrow.mtu.store(1_500, Relaxed);
    }
    assert_eq!((narrow.size(), narrow.counters().path_mtu_black_holes), (1_240, 2));
}

/// With a search from the start what the path is known to take is sent, a larger segment among it, and what that shows is
/// sent from then on; the MSS that is announced may be smaller.
#[test]
fn a_search_from_the_start() {
    let mut script = Script::with(|config| {
        config.tcp.habits.mtu_search = MtuSearch::Always;
        config.tcp.habits.base_mss = 500;
        config.tcp.announce_at_most = Some(700);
        (config.tcp.timestamps, config.tcp.sack) = (false, false);
    });
    let peer = script.peer.ip();
    script.stack.set_path_mtu(peer, 640);
    let handle = script.accept_with(TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
    let sizes = |sent: &[Sent]| -> Vec<usize> { sent.iter().map(|sent| sent.text.len()).collect() };
    let sent = script.send(handle, &[1; 4_000]);
    assert_eq!(sizes(&sent)[..3], [980, 600, 600], "half-way between 500 and 1,460");
    script.stack.set_path_mtu(peer, 1_500);
    let ack = script.ack.wrapping_add(4_000);
    script.peer_acks(ack);
    assert_eq!(sizes(&script.send(handle, &[1; 1_960])), [980, 980]);
    assert_eq!(script.stack.path_mtu(peer), 1_500);
}

/// 4821-7.4: without SACK it is a duplicate ACK that shows that something may be lost, before the third one begins a recovery.
#[test]
fn no_probe_after_a_duplicate_ack() {
    for (duplicates, probed) in [(0, true), (1, false), (2, false)] {
        let (mut script, handle, _) = ready_to_probe_with(false, 2 * 1_360);
        for _ in 0..duplicates {
            duplicate_ack(&mut script, &[]);
        }
        assert_eq!(look(&script, handle).phase, Phase::Open);
        assert_eq!(sizes(&script.send(handle, &text(60 * 1_360))).contains(&1_460), probed, "{duplicates}");
    }
}

/// 4821-7.4: no probe of the path while a probe of the tail asks whether something is lost.
#[test]
fn no_probe_behind_one_of_the_tail() {
    let (mut script, handle, _) = ready_to_probe(2 * 1_360);
    assert_eq!(sizes(&script.send(handle, &text(100))), [100]);
    assert!(script.send(handle, &text(100)).is_empty(), "a second short segment waits for an ACK");
    let mut tail = Vec::new();
    while tail.is_empty() {
        tail = script.pass(ms(5));
    }
    assert_eq!((sizes(&tail), look(&script, handle).statistics.timeouts), (vec![100], 0), "new text, as it is there");
    assert!(!sizes(&script.send(handle, &text(60 * 1_360))).contains(&1_460));
    script.now += ms(20);
    let end = tail[0].header.seq.wrapping_add(100);
    assert!(sizes(&script.peer_acks(end)).contains(&1_460), "nothing was lost");
}

/// Sends so much in pieces that are too short for a probe with something behind it.
fn without_probe(script: &mut Script, handle: TcpHandle, len: usize) -> Vec<Sent> {
    script.stack.tcp_set_options(script.now, handle, |options| options.nodelay = true).unwrap();
    let data = text(len);
    let sent: Vec<Sent> = data.chunks(6_880).flat_map(|piece| script.send(handle, piece)).collect();
    assert_eq!((octets(&sent), sizes(&sent).contains(&1_460)), (len, false));
    sent
}

/// 4821-7.4: the congestion window must take the probe and what is to follow it, and have room for the probe.
#[test]
fn a_probe_only_where_the_congestion_window_takes_it() {
    // Of 13,600 octets, so many are in flight: what is left takes a probe or not.
    for (flight, probed) in [(12_140, true), (12_141, false)] {
        let (mut script, handle, _) = ready_to_probe(0);
        without_probe(&mut script, handle, flight);
        assert_eq!(look(&script, handle).cwnd, 13_600);
        assert_eq!(sizes(&script.send(handle, &text(60 * 1_360))).contains(&1_460), probed, "{flight} in flight");
    } // A loss leaves half of what was in flight: just what a probe and four segments behind it need, or less.
    for (flight, probed) in [(13_800, true), (13_798, false)] {
        let (mut script, handle, _) = ready_to_probe(0);
        let sent = without_probe(&mut script, handle, 6_880);
        script.now += ms(20);
        script.peer_acks(end(&sent));
        let sent = without_probe(&mut script, handle, flight);
        script.now += ms(20);
        assert_eq!(octets(&duplicate_ack(&mut script, &[(end(&sent[..1]), end(&sent))])), 1_360, "sent again");
        script.now += ms(20);
        script.peer_acks(end(&sent));
        let seen = look(&script, handle);
        assert_eq!((seen.phase, seen.cwnd as usize, seen.flight), (Phase::Open, flight / 2, 0));
        assert_eq!(
            sizes(&script.send(handle, &text(60 * 1_360))).contains(&1_460),
            probed,
            "a window of {}",
            seen.cwnd
        );
    }
}

/// 4821-4, 5927-7.2: a probe that a timeout takes along counts as lost where it was the oldest, and the second time its size
/// is too large; behind others that says nothing, and it is tried again.
#[test]
fn a_probe_in_a_timeout() {
    for (oldest, sizes_tried) in [(true, [1_460, 1_460, 1_410]), (false, [1_460, 1_460, 1_460])] {
        let (mut script, handle, _) = ready_to_probe(0);
        let mut tried = Vec::new();
        while tried.len() < 3 {
            // One segment is too short for a probe; behind it one leaves once the window is large enough.
            let mut sent = script.send(handle, &text(1_360));
            sent.extend(script.send(handle, &text(12 * 1_360)));
            while tried.len() < 3 {
                if let Some(probe) = sent.iter().find(|segment| segment.text.len() > 1_360) {
                    tried.push(probe.text.len());
                    if oldest {
                        script.peer_acks(probe.header.seq);
                    }
                    let timeouts = look(&script, handle).statistics.timeouts;
                    while look(&script, handle).statistics.timeouts == timeouts {
                        script.pass(ms(10));
                    }
                }
                if look(&script, handle).flight == 0 {
                    break;
                }
                script.now += ms(20);
                let all = script.ack.wrapping_add(look(&script, handle).flight);
                sent = script.peer_acks(all);
            }
            script.pass(ms(1_001));
        }
        assert_eq!(tried[..3], sizes_tried, "the oldest: {oldest}");
    }
}
