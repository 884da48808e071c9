//! Every family of attacks has a bounded cost, and the honest are served meanwhile.

use std::time::Duration;

use glasstcp::counters::DropReason;
use glasstcp::device::virtio::VirtioHeader;
use glasstcp::device::{RxChecksum, RxMeta};

use crate::families::{ALL, settings};
use crate::measure::measure;
use crate::packet::{ACK, Answer, PSH, RST, SYN, Tcp};
use crate::steps::chance;
use crate::target::{ATTACKER4, Client, SERVED, Target, from};

/// Packets that may leave for one of an attacker: a SYN-ACK is sent six times to whoever does not answer it.
const MOST_ANSWERS: u64 = 6;

/// 4987-3.2, 4987-3.5: each family holds no more than it says, sends no more than it may, and shuts out nobody.
#[test]
fn every_family_is_bounded() {
    let mut broken = Vec::new();
    for family in ALL {
        let costs = measure(family, 8_000);
        let traffic = costs.traffic;
        let holds = costs.most <= family.most
            && costs.served == costs.asked
            && traffic.packets_in >= 4_000
            && traffic.packets_out <= MOST_ANSWERS * traffic.packets_in;
        if !holds {
            broken.push(format!("{}: at most {} octets: {costs:?}", family.name, family.most));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Ten times as many packets hold no more: the bounds are those of the stack, not of the length of the test.
#[test]
fn longer_floods_hold_no_more() {
    for name in ["SYN flood", "TIME-WAIT exhaustion", "FragmentSmack", "SegmentSmack"] {
        let family = ALL.iter().find(|family| family.name == name).unwrap();
        let costs = measure(family, 40_000);
        assert!(costs.most <= family.most, "{name}: {} octets are held, {} may be", costs.most, family.most);
        assert_eq!(costs.served, costs.asked, "{name}: the honest");
    }
}

/// One honest client that comes amid the flood: when it sent its SYN, and what it does next.
struct Visitor {
    client: Client,
    stage: u8,
    echoed: Vec<u8>,
}

/// Half a round trip of the honest.
const DELAY: u32 = 200;
/// What each of them wants echoed.
const TEXT: [u8; 2_000] = [0x48; 2_000];

/// 4987-3.2, 4987-3.6: 100,000 forged SYNs in ten seconds. Each of 400 clients that come meanwhile, over both families and
/// from 20 ms away, opens its connection with the first SYN that it sends, is served and closes; those who were there before
/// notice nothing.
#[test]
fn a_hundred_thousand_syns() {
    let mut target = Target::with(settings);
    let mut old: Vec<Client> = (0..20).map(|n| Client::connected(&mut target, n % 2 == 1)).collect();
    let mut flood = (ALL[0].start)(&mut target);
    let mut visitors: Vec<Visitor> = Vec::new();
    let mut calls: std::collections::VecDeque<(u32, usize)> = std::collections::VecDeque::new();
    for number in 0..100_000 + 20 * DELAY {
        if number < 100_000 {
            flood(&mut target, number);
        }
        if number % 250 == 249 && number < 100_000 {
            calls.push_back((number, visitors.len()));
            let v6 = visitors.len() % 2 == 1;
            visitors.push(Visitor { client: Client::new(&mut target, v6), stage: 0, echoed: Vec::new() });
        }
        while let Some(&(at, who)) = calls.front().filter(|&&(at, _)| at <= number) {
            calls.pop_front();
            if visitors[who].goes_on(&mut target) {
                calls.push_back((at + 2 * DELAY, who));
            }
        }
        target.pass_unseen(Duration::from_micros(100));
        if number % 5_000 == 4_999 {
            let client = &mut old[(number / 5_000) as usize % 20];
            assert_eq!(client.exchange(&mut target, b"as ever").as_deref(), Ok(&b"as ever"[..]));
        }
        assert!(target.stack.table_sizes().0 <= 1_024);
    }
    assert_eq!(visitors.len(), 400);
    let served = visitors.iter().filter(|visitor| visitor.stage == 4 && visitor.echoed == TEXT).count();
    assert_eq!(served, 400, "every legitimate connection completes");
    assert!(target.stack.counters().cookies_valid >= 100, "most of them by cookies");
}

impl Visitor {
    /// What it does a round trip after its last packet; false when it is done.
    fn goes_on(&mut self, target: &mut Target) -> bool {
        match self.stage {
            0 => self.client.open(target, &[2, 4, 5, 0xB4]).expect("one SYN is enough"),
            1 | 2 => {
                let text = &TEXT[usize::from(self.stage - 1) * 1_000..][..1_000];
                self.echoed.extend(self.client.exchange(target, text).expect("it is served"));
            }
            _ => self.client.close(target),
        }
        self.stage += 1;
        self.stage < 4
    }
}

/// 7413-4.1.2, 7413-4.2: of 20,000 SYNs by Fast Open in two seconds, as many open connections as may be pending; no forged
/// cookie does; and the port still serves whoever opens without.
#[test]
fn a_flood_of_fast_opens() {
    let mut target = Target::with(settings);
    let family = ALL.iter().find(|family| family.name == "Fast Open flood").unwrap();
    let mut flood = (family.start)(&mut target);
    for number in 0..20_000 {
        flood(&mut target, number);
        target.pass_unseen(Duration::from_micros(100));
    }
    let counters = target.stack.counters();
    assert_eq!(counters.fast_open_passive, 64, "at most so many are pending, those that were reset included");
    assert!(counters.fast_open_overflows > 0 && counters.fast_open_passive_failed > 0, "{counters:?}");
    assert!(
        counters.cookies_sent > 10_000,
        "the SYN queue is full, and what stands against that knows nothing of Fast Open"
    );
    let mut client = Client::new(&mut target, false);
    let echoed = client.open_at(&mut target, 8_080);
    assert!(echoed.is_empty());
    let text = Tcp { destination: 8_080, ..client.header(ACK | PSH) };
    let answers = client.answers(&mut target, &text, b"honest");
    assert_eq!(client.read(&answers), b"honest");
}

/// 5961-7-2: whether an attacker's own connection is answered says nothing about how often that of another was. The side
/// channel of CVE-2016-5696 was one counter for all.
#[test]
fn answers_tell_nothing_about_others() {
    let challenged = |flood: u32| {
        let mut target = Target::new();
        let victim = Client::connected(&mut target, false);
        let mut own = Client::connected(&mut target, false);
        own.ip = from(ATTACKER4);
        for number in 0..flood {
            let rst = Tcp { seq: victim.seq.wrapping_add(1 + number), ..victim.header(RST) };
            target.give(&victim.packet(&rst, &[]));
        }
        target.pass_unseen(Duration::from_millis(1));
        (0..100).map(|_| own.answers(&mut target, &Tcp { ack: 0, ..own.header(SYN) }, &[]).len()).collect::<Vec<_>>()
    };
    let quiet = challenged(0);
    assert!((1..100).contains(&quiet.iter().sum::<usize>()), "limited: {quiet:?}");
    for flood in [1, 9, 10, 11, 99, 100, 1_000] {
        assert_eq!(challenged(flood), quiet, "after {flood} challenges of another");
    }
}

/// 9406-4.3: a window's worth that is acknowledged octet by octet grows the congestion window by no more than one ACK for all
/// of it does.
#[test]
fn divided_acks_grow_no_window() {
    let grown = |pieces: u32| {
        let mut target = Target::new();
        let mut client = Client::connected(&mut target, false);
        // More than the first window.
        for _ in 0..20 {
            client.answers(&mut target, &client.header(ACK | PSH), &[65; 1_000]);
            client.seq = client.seq.wrapping_add(1_000);
        }
        let before = target.stack.tcp_snapshots(1)[0].cwnd;
        for piece in 1..=pieces {
            let ack = client.ack.wrapping_add(14_000 * piece / pieces);
            client.answers(&mut target, &Tcp { ack, ..client.header(ACK) }, &[]);
        }
        target.stack.tcp_snapshots(1)[0].cwnd - before
    };
    let (whole, octets) = (grown(1), 14_000);
    assert!(whole > 0);
    for pieces in [10, 100, 10_000] {
        let divided = grown(pieces);
        assert!(divided <= octets, "{divided} octets more by {pieces} ACKs of {octets} octets, {whole} by one");
    }
}

/// 9293-MUST-3: a header of the device that does not fit its packet vouches for nothing; with a checksum that is wrong the
/// packet is dropped, with one that is right it is taken.
#[test]
fn lies_of_the_offload_header() {
    let mut target = Target::new();
    let ip = from(ATTACKER4);
    let mut syn = |checksum: Option<u16>, destination: u16| {
        let tcp = Tcp { checksum, ..Tcp::new(target.fresh_port(), destination, SYN) };
        ip.carry(6, &ip.segment(&tcp, &[]))
    };
    let (bad, good) = (syn(Some(0x1234), SERVED), syn(None, SERVED));
    let true_one = VirtioHeader { flags: 1, gso_type: 0, hdr_len: 40, gso_size: 0, csum_start: 20, csum_offset: 16 };
    let mut lies = 0;
    for change in 0..2_000_u32 {
        let mut header = true_one;
        let [a, b, ..] = chance(change).to_le_bytes();
        let odd = u16::from_le_bytes([a, b]);
        match change % 5 {
            0 => header.csum_start = odd,
            1 => header.csum_offset = odd,
            2 => (header.gso_type, header.gso_size) = (a, odd),
            3 => (header.csum_start, header.csum_offset) = (odd, u16::from(b)),
            _ => (header.gso_type, header.gso_size) = ([4, 5, 0x84, 2, 3][usize::from(a) % 5], odd),
        }
        let meta = header.receive_meta(&bad);
        if meta.checksum == RxChecksum::Partial {
            // By chance it is the truth, for this packet at least.
            assert_eq!((header.csum_start, header.csum_offset), (20, 16), "{header:?}");
            assert!(matches!(header.gso_type & !0x80, 0 | 1), "{header:?}");
            continue;
        }
        lies += 1;
        assert_eq!(meta, RxMeta::plain(bad.len()), "{header:?}");
        let before = target.stack.counters().dropped(DropReason::TcpChecksum);
        target.give_with(&bad, &meta);
        assert_eq!(target.stack.counters().dropped(DropReason::TcpChecksum), before + 1, "{header:?}");
    }
    assert!(lies > 1_500);
    assert!(target.answers(&[]).is_empty());
    let wrong = VirtioHeader { csum_offset: 6, ..true_one }.receive_meta(&good);
    target.give_with(&good, &wrong);
    assert_eq!(target.answers(&[]).len(), 1, "its checksum is good whatever the header says");
    sizes_that_lie(&mut target);
    target.serves_a_fresh_client("lies");
}

/// A segment size that the packet does not have: the text is what it is, and one ACK is due for it at most.
fn sizes_that_lie(target: &mut Target) {
    for gso_size in [1, 7, 1_459, 1_461, 9_000, u16::MAX] {
        let mut client = Client::connected(target, false);
        let packet = client.packet(&client.header(ACK | PSH), &[0x61; 1_460]);
        let meta = RxMeta { gso_size, ..RxMeta::plain(packet.len()) };
        target.give_with(&packet, &meta);
        let answers: Vec<Answer> = target.answers(&[]);
        let ours: Vec<Answer> = answers.into_iter().filter(|answer| answer.port(2) == client.port).collect();
        client.seq = client.seq.wrapping_add(1_460);
        assert!(ours.len() <= 2 && ours.iter().all(|answer| answer.number(8) == client.seq), "{gso_size}: {ours:?}");
        assert_eq!(client.read(&ours), [0x61; 1_460], "{gso_size}");
        let _ = client.exchange(target, b"on").unwrap();
        client.close(target);
    }
}

/// What docs/security.md names is there: the rows, and the tests.
#[test]
fn what_the_table_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let rows = read("docs/requirements.csv");
    for family in ALL {
        assert!(!family.aim.is_empty() && !family.defence.is_empty());
        for row in family.rows.split(", ") {
            assert!(rows.lines().any(|line| line.starts_with(&format!("{row},"))), "{}: no row {row}", family.name);
        }
        let (room, test) = family.test.rsplit_once("::").unwrap();
        let places = ["attack", "tcp"].map(|program| format!("tests/{program}/{}.rs", room.replace("::", "/")));
        let text = places.iter().find(|path| root.join(path).exists()).map(|path| read(path));
        let found = text.is_some_and(|text| text.contains(&format!("fn {test}()")));
        assert!(found, "{}: no test {}", family.name, family.test);
        for place in family.defence.split('`').filter(|part| part.contains('/')) {
            assert!(root.join("src").join(place).exists(), "{}: no file {place}", family.name);
        }
    }
}
