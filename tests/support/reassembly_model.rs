//! Any fragments at any time, beside a model of what must become of them: shared by a test and a fuzz target.

use glasstcp::ip::reassembly::{MAX_DATAGRAMS, MIN_MEMORY, Reassembly, TIMEOUT};
use glasstcp::time::Instant;
use glasstcp::wire::{Fragment, IpHeader, emit_ip_fragment, parse_ip};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// A fragment, as anybody can send it.
pub struct Sent {
    pub source: IpAddr,
    pub identification: u32,
    pub offset: usize,
    pub more: bool,
    pub ecn: u8,
    pub payload: Vec<u8>,
}

impl Sent {
    pub fn packet(&self) -> Vec<u8> {
        let v6 = self.source.is_ipv6();
        let header = IpHeader {
            source: self.source,
            destination: if v6 { "fd00:67::2".parse().unwrap() } else { "10.0.0.2".parse().unwrap() },
            protocol: 17,
            hop_limit: 64,
            traffic_class: self.ecn,
            identification: 0,
            dont_fragment: false,
        };
        let place = Fragment { identification: self.identification, offset: self.offset as u32, more: self.more };
        let mut bytes = vec![0; 48 + self.payload.len()];
        let len = emit_ip_fragment(&header, place, self.payload.len(), &mut bytes);
        bytes.truncate(len);
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// What the model knows of one datagram: every fragment, compared one by one.
#[derive(Default)]
struct Known {
    born: Option<Instant>,
    pieces: Vec<(usize, Vec<u8>, bool)>,
    ecn: Vec<u8>,
    spoiled: bool,
    /// Something was thrown out for memory: what is there is not known until its time is over.
    unknown_until: Option<Instant>,
}

enum Expected {
    Waits,
    Dropped,
    Whole(Vec<u8>),
    Unknown,
}

impl Known {
    fn take(&mut self, sent: &Sent, now: Instant) -> Expected {
        if self.unknown_until.is_some_and(|until| now < until) {
            return Expected::Unknown;
        }
        if self.born.is_some_and(|born| born + TIMEOUT <= now) || self.unknown_until.is_some() {
            *self = Known::default();
        }
        let (start, end) = (sent.offset, sent.offset + sent.payload.len());
        let v6 = sent.source.is_ipv6();
        // The unfragmentable part is the IPv6 header alone, which its length does not count.
        let most = if v6 { 65_535 } else { 65_515 };
        let headless = v6 && start == 0 && sent.payload.len() < 8;
        if start == end || sent.more && (end - start) % 8 != 0 || end > most || headless {
            return Expected::Dropped;
        }
        self.born.get_or_insert(now);
        if self.spoiled {
            return Expected::Dropped;
        }
        if self.pieces.iter().any(|(at, bytes, more)| (*at, bytes, *more) == (start, &sent.payload, sent.more)) {
            return Expected::Dropped;
        }
        let crosses = |(at, bytes, more): &(usize, Vec<u8>, bool)| {
            let to = at + bytes.len();
            start < to && *at < end || !more && (end > to || !sent.more) || !sent.more && to > end
        };
        if self.pieces.iter().any(crosses) {
            *self = Known { spoiled: v6, born: self.born.filter(|_| v6), ..Known::default() };
            return Expected::Dropped;
        }
        self.pieces.push((start, sent.payload.clone(), sent.more));
        self.ecn.push(sent.ecn & 3);
        self.pieces.sort();
        let mut whole = Vec::new();
        for (at, bytes, _) in &self.pieces {
            if *at != whole.len() {
                return Expected::Waits;
            }
            whole.extend_from_slice(bytes);
        }
        if self.pieces.last().is_some_and(|(_, _, more)| *more) {
            return Expected::Waits;
        }
        let ecn = std::mem::take(self).ecn;
        if ecn.contains(&0) && ecn.iter().any(|&mark| mark != 0) { Expected::Dropped } else { Expected::Whole(whole) }
    }
}

/// How far the play came.
#[derive(Default)]
pub struct Reached {
    pub whole: u32,
    pub dropped: u32,
    pub evicted: u64,
    pub expired: u32,
}

/// Plays what the bytes say, and checks every outcome and the memory after each step.
pub fn play(data: &[u8]) -> Reached {
    let mut bytes = data.iter().copied();
    let mut reassembly = Reassembly::new(MIN_MEMORY);
    let (mut now, mut reached) = (Instant::ZERO, Reached::default());
    let mut known: BTreeMap<(IpAddr, u32), Known> = BTreeMap::new();
    while let Some(op) = bytes.next() {
        let mut next = || usize::from(bytes.next().unwrap_or(0));
        let (who, place, len) = (next(), next(), next());
        if op & 7 == 7 {
            now += Duration::from_millis(25 << (place & 7));
            while reassembly.expire(now).is_some() {
                reached.expired += 1;
            }
            assert!(reassembly.next_deadline().is_none_or(|at| at > now && at <= now + TIMEOUT));
            continue;
        }
        if op & 7 == 6 {
            // A piece of an honest datagram, which others seldom disturb.
            let v6 = who & 1 == 1;
            let source = if v6 { "fd00:67::1".parse().unwrap() } else { "10.0.0.1".parse().unwrap() };
            let (identification, offset) = (16 + (who >> 1 & 3) as u32, place % 4 * 64);
            let payload = (0..64).map(|at| at as u8).collect();
            let sent = Sent { source, identification, offset, more: offset < 192, ecn: 0, payload };
            insert(&mut reassembly, &mut known, &sent, now, &mut reached);
            continue;
        }
        // Few datagrams, sources and places, so that they meet; now and then far and long.
        let (source, identification) = match who & 3 {
            0 => ("10.0.0.1".parse().unwrap(), (who >> 3 & 19) as u32),
            1 => ("fd00:67::1".parse().unwrap(), (who >> 3 & 19) as u32),
            2 => (IpAddr::from([10, 0, 1, place as u8]), len as u32),
            _ => (IpAddr::from([0xFD00, 0x67, 0, place as u16, 0, 0, 0, 1]), len as u32),
        };
        let scale = if op & 8 != 0 { 37 } else { 1 };
        let offset = (place & 31) * 8 * scale;
        let mut len = (1 + (len & 7)) * 8 * scale;
        if op & 0x30 == 0x30 {
            len = len.saturating_sub(who >> 4);
        }
        let mut content: Vec<u8> = (offset..offset + len).map(|at| at as u8).collect();
        if op & 0xC0 == 0xC0
            && let Some(first) = content.first_mut()
        {
            *first ^= 0x55;
        }
        let ecn = if op & 0x30 == 0x20 { who as u8 >> 6 } else { 0 };
        let sent = Sent { source, identification, offset, more: op & 7 < 5, ecn, payload: content };
        insert(&mut reassembly, &mut known, &sent, now, &mut reached);
    }
    // Whatever came, time takes it all away.
    now += TIMEOUT;
    while reassembly.expire(now).is_some() {}
    assert!(reassembly.is_empty() && reassembly.memory() == 0 && reassembly.next_deadline().is_none());
    reached
}

fn insert(
    reassembly: &mut Reassembly,
    known: &mut BTreeMap<(IpAddr, u32), Known>,
    sent: &Sent,
    now: Instant,
    reached: &mut Reached,
) {
    // As the stack does.
    while reassembly.expire(now).is_some() {
        reached.expired += 1;
    }
    let packet = sent.packet();
    let packet = parse_ip(&packet).unwrap();
    if packet.fragment.is_none() {
        return; // offset 0 and no more: whole
    }
    let evicted = reassembly.evicted();
    let outcome = reassembly.insert(&packet, true, now);
    if reassembly.evicted() != evicted {
        reached.evicted += reassembly.evicted() - evicted;
        known.values_mut().for_each(|known| known.unknown_until = Some(now + TIMEOUT));
        known.entry((sent.source, sent.identification)).or_default().unknown_until = Some(now + TIMEOUT);
    }
    let expected = known.entry((sent.source, sent.identification)).or_default().take(sent, now);
    match (&outcome, expected) {
        (_, Expected::Unknown) | (Ok(None), Expected::Waits) => {}
        (Err(_), Expected::Dropped) => reached.dropped += 1,
        (Ok(Some(datagram)), Expected::Whole(payload)) => {
            let whole = parse_ip(datagram).expect("what is whole is good");
            assert!(whole.fragment.is_none() && whole.payload == payload && whole.source == sent.source);
            reached.whole += 1;
        }
        (outcome, _) => panic!("{outcome:?}"),
    }
    assert!(reassembly.memory() <= MIN_MEMORY && reassembly.len() <= MAX_DATAGRAMS);
    assert_eq!(reassembly.memory() == 0, reassembly.is_empty());
}
