//! What a path does to packets.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn impaired(impairment: Impairment, seed: u64) -> Impaired {
    Impaired::new(impairment, KeyedRng::from_seed(seed))
}

/// Sends `count` packets of `len` bytes, one each `gap`; the first four bytes are the number.
fn send_many(path: &mut Impaired, count: u32, len: usize, gap: Duration) {
    for number in 0..count {
        let mut packet = vec![0; len];
        packet[..4].copy_from_slice(&number.to_be_bytes());
        path.send(Instant::ZERO + gap * number, packet, RxMeta::plain(len));
    }
}

fn receive_all(path: &mut Impaired) -> Vec<(u64, u32)> {
    let end = Instant::from_nanos(u64::MAX);
    let number = |packet: &[u8]| u32::from_be_bytes(packet[..4].try_into().unwrap());
    std::iter::from_fn(|| path.receive(end)).map(|a| (a.arrived.as_nanos(), number(&a.packet))).collect()
}

#[test]
fn a_perfect_path_delivers_at_once_and_in_order() {
    let mut path = impaired(Impairment::perfect(), 1);
    send_many(&mut path, 3, 40, Duration::ZERO);
    assert_eq!(path.next_arrival(), Some(Instant::ZERO));
    assert_eq!(receive_all(&mut path), [(0, 0), (0, 1), (0, 2)]);
    assert_eq!(path.counters(), ImpairedCounters { sent: 3, received: 3, ..Default::default() });
}

#[test]
fn nothing_arrives_before_its_time() {
    let mut path = impaired(Impairment::perfect().delay(5 * MS), 1);
    path.send(Instant::from_millis(10), vec![1], RxMeta::plain(1));
    assert_eq!(path.next_arrival(), Some(Instant::from_millis(15)));
    assert_eq!(path.receive(Instant::from_nanos(14_999_999)), None);
    // The arrival is told as it was, however late somebody asks.
    assert_eq!(path.receive(Instant::from_millis(99)).unwrap().arrived, Instant::from_millis(15));
    assert_eq!(path.next_arrival(), None);
}

#[test]
fn the_line_sends_one_packet_after_the_other() {
    // 1,000 bytes at 8 Mbit/s are 1 ms each.
    let mut path = impaired(Impairment::perfect().rate(8_000_000).delay(10 * MS), 1);
    send_many(&mut path, 3, 1000, Duration::ZERO);
    assert_eq!(path.queued_bytes(Instant::from_micros(1_500)), 2000);
    assert_eq!(receive_all(&mut path), [(11_000_000, 0), (12_000_000, 1), (13_000_000, 2)]);
    path.send(Instant::from_millis(50), vec![0; 1000], RxMeta::plain(1000));
    assert_eq!(path.next_arrival(), Some(Instant::from_millis(61)), "an idle line starts anew");
}

#[test]
fn a_full_queue_drops_the_newest() {
    let mut path = impaired(Impairment::perfect().rate(8_000_000).queue(2500), 1);
    send_many(&mut path, 5, 1000, Duration::ZERO);
    assert_eq!(path.counters().overflowed, 3);
    path.send(Instant::from_millis(1), vec![0, 0, 0, 9, 0], RxMeta::plain(5));
    assert_eq!(receive_all(&mut path).iter().map(|&(_, number)| number).collect::<Vec<_>>(), [0, 1, 9]);
    path.send(Instant::from_secs(1), vec![0; 9000], RxMeta::plain(9000));
    assert_eq!(path.counters().overflowed, 3, "an idle line takes any packet");
}

#[test]
fn chances_are_met_and_repeat_by_seed() {
    let bad = Impairment::perfect()
        .delay(20 * MS)
        .jitter(MS)
        .loss(100_000)
        .duplicate(50_000)
        .corrupt(20_000)
        .reorder(30_000, 40 * MS);
    let run = |seed| {
        let mut path = impaired(bad, seed);
        send_many(&mut path, 10_000, 100, 2 * MS);
        (receive_all(&mut path), path.counters())
    };
    let (arrived, counters) = run(7);
    assert_eq!((arrived.clone(), counters), run(7));
    assert_ne!(arrived, run(8).0);
    assert!((900..1100).contains(&counters.lost), "{counters:?}");
    assert!((390..510).contains(&counters.duplicated), "{counters:?}");
    assert!((130..230).contains(&counters.corrupted), "{counters:?}");
    assert!((210..330).contains(&counters.reordered), "{counters:?}");
    assert_eq!(counters.received, counters.sent - counters.lost + counters.duplicated);
    assert!(arrived.is_sorted_by_key(|&(at, _)| at));
}

#[test]
fn one_packets_fate_does_not_move_the_next() {
    let lost = |impairment: Impairment| {
        let mut path = impaired(impairment, 3);
        send_many(&mut path, 1000, 50, MS);
        let arrived: Vec<_> = receive_all(&mut path).into_iter().map(|(_, number)| number).collect();
        (0..1000).filter(|number| !arrived.contains(number)).collect::<Vec<u32>>()
    };
    let plain = Impairment::perfect().loss(50_000);
    assert!(!lost(plain).is_empty());
    assert_eq!(lost(plain), lost(plain.duplicate(500_000).jitter(10 * MS)));
}

#[test]
fn corruption_flips_one_bit_and_ends_the_vouching() {
    let mut path = impaired(Impairment::perfect().corrupt(1_000_000), 1);
    let meta = RxMeta { checksum: RxChecksum::Verified, ..RxMeta::plain(64) };
    path.send(Instant::ZERO, vec![0; 64], meta);
    let arrived = path.receive(Instant::ZERO).unwrap();
    assert_eq!(arrived.packet.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert_eq!(arrived.meta, RxMeta::plain(64));
}

#[test]
fn a_directed_test_chooses_its_victims() {
    let mut path = impaired(Impairment::perfect(), 1);
    path.set_drop_if(Some(Box::new(|packet, number| number == 1 || packet[3] == 3)));
    send_many(&mut path, 5, 40, MS);
    assert_eq!(receive_all(&mut path).iter().map(|&(_, number)| number).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(path.counters().dropped, 2);
}

#[test]
fn bursts_come_in_their_length_and_number() {
    let burst = Burst { begin_per_million: 10_000, end_per_million: 250_000, loss_per_million: 1_000_000 };
    let mut path = impaired(Impairment::perfect().burst(burst), 5);
    send_many(&mut path, 20_000, 50, MS);
    let arrived: Vec<u32> = receive_all(&mut path).into_iter().map(|(_, number)| number).collect();
    let gaps: Vec<u32> = arrived.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|&gap| gap > 0).collect();
    // A hundredth of the good packets begins a burst, of 4 packets on average.
    assert!((150..250).contains(&gaps.len()), "{}", gaps.len());
    let lost = path.counters().lost;
    assert!((3 * gaps.len() as u64..5 * gaps.len() as u64).contains(&lost), "{lost} in {} bursts", gaps.len());
    // What else is drawn is not moved by it.
    let delayed = |impairment: Impairment| {
        let mut path = impaired(impairment.jitter(10 * MS), 5);
        path.send(Instant::ZERO, vec![0; 50], RxMeta::plain(50));
        path.next_arrival()
    };
    assert_eq!(delayed(Impairment::perfect()), delayed(Impairment::perfect().burst(burst)));
}

#[test]
fn a_path_changes_when_the_schedule_says() {
    let mut path = impaired(Impairment::perfect().delay(10 * MS), 1);
    path.schedule(Instant::from_millis(3), Change::Up);
    path.schedule(Instant::from_millis(2), Change::Down);
    path.schedule(Instant::from_millis(4), Change::Delay(MS));
    send_many(&mut path, 6, 40, MS);
    let arrived = receive_all(&mut path);
    assert_eq!(arrived, [(5_000_000, 4), (6_000_000, 5), (10_000_000, 0), (11_000_000, 1), (13_000_000, 3)]);
    assert_eq!(path.counters().cut, 1);
}

#[test]
fn a_queue_may_be_limited_in_packets() {
    let mut path = impaired(Impairment::perfect().rate(8_000_000).queue_packets(3), 1);
    send_many(&mut path, 5, 100, Duration::ZERO);
    assert_eq!(path.counters().overflowed, 2);
    assert_eq!(receive_all(&mut path).len(), 3);
}

/// Twice as many packets as the line carries, for two seconds.
fn overload(discipline: Discipline) -> (Impaired, Vec<LogEntry>) {
    let mut path = impaired(Impairment::perfect().rate(8_000_000).queue(300_000).discipline(discipline), 1);
    path.keep_log();
    let mut log = Vec::new();
    for number in 0..4_000 {
        let mut packet = vec![0; 1_000];
        packet[0] = 0x45;
        packet[1] = if number % 2 == 0 { 2 } else { 0 };
        path.send_tagged(Instant::from_micros(500 * number), packet, RxMeta::plain(1_000), number);
        log.extend(path.take_log());
    }
    (path, log)
}

#[test]
fn codel_drops_more_and_more_and_marks_who_knows_ecn() {
    let codel = CoDel { ecn: true, ..CoDel::default() };
    let (path, log) = overload(Discipline::CoDel(codel));
    let counters = path.counters();
    assert!(counters.managed > 0 && counters.marked > 10, "{counters:?}");
    let marked: Vec<u64> = log.iter().filter(|entry| entry.event == Event::Marked).map(|entry| entry.tag).collect();
    assert_eq!(marked.len() as u64, counters.marked);
    assert!(marked.iter().all(|tag| tag % 2 == 0), "only those who know ECN");
    let (path, _) = overload(Discipline::CoDel(CoDel::default()));
    assert_eq!(path.counters().marked, 0);
}

#[test]
fn codel_leaves_a_line_alone_that_keeps_up() {
    let discipline = Discipline::CoDel(CoDel::default());
    let mut managed = impaired(Impairment::perfect().rate(8_000_000).delay(MS).discipline(discipline), 1);
    let mut plain = impaired(Impairment::perfect().rate(8_000_000).delay(MS), 1);
    for path in [&mut managed, &mut plain] {
        send_many(path, 100, 900, MS);
    }
    assert_eq!(receive_all(&mut managed), receive_all(&mut plain));
}

#[test]
fn red_keeps_the_queue_short_on_average() {
    let red = Red { ecn: true, ..Red::for_queue(100_000) };
    let (path, log) = overload(Discipline::Red(red));
    let counters = path.counters();
    assert!(counters.managed > 100 && counters.marked > 20, "{counters:?}");
    let gone = log.iter().filter(|entry| entry.event == Event::Gone).count() as u64;
    assert_eq!(gone, counters.managed + counters.overflowed);
    let waits = log.iter().filter_map(|entry| match entry.event {
        Event::Waited(wait) => Some(wait),
        _ => None,
    });
    assert!(waits.max().unwrap() < Duration::from_millis(250));
}

#[test]
fn a_narrow_link_drops_what_is_too_large() {
    let narrow = Narrow { mtu: 1_400, tells: false };
    let mut path = Impaired::new(Impairment::perfect().narrow(narrow), KeyedRng::from_seed(1));
    for len in [1_399, 1_400, 1_401, 1_500] {
        path.send(Instant::ZERO, vec![0; len], RxMeta::plain(len));
    }
    let arrived: Vec<usize> = std::iter::from_fn(|| path.receive(Instant::ZERO)).map(|got| got.packet.len()).collect();
    assert_eq!((arrived, path.counters().too_large), (vec![1_399, 1_400], 2));
}
