//! A peer that acknowledges, reports, echoes and opens its window as a string of bytes says, and a path on which time passes as
//! it says: whatever it does, the sender keeps its invariants, and an honest peer at the end gets everything.
#![allow(dead_code)]

use std::net::Shutdown;
use std::time::Duration;

use glasstcp::device::RxMeta;
use glasstcp::sim::{Script, sender};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::connection::Connection;
use glasstcp::tcp::ecn;
use glasstcp::tcp::state::State;
use glasstcp::wire::icmp::{self, IcmpError};
use glasstcp::wire::option::{SackBlocks, TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::{IpHeader, emit_ip};

/// Octets that the application may have queued.
const BUFFER: u32 = 150_000;
/// Segments that may leave at one point of time: a whole buffer in the smallest segments, and some.
const MAX_AT_ONCE: usize = 4_000;
/// Deadlines in one step of time: more are a timer that runs without end.
const MAX_DEADLINES: usize = 10_000;
/// Rounds in which an honest peer must get everything.
const ROUNDS: usize = 5_000;

/// Bytes as a source of numbers; at their end only zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// The start of one of `span` octets in segments of `mss`, or any octet, or a little outside.
    fn place(&mut self, span: u32, mss: u32) -> u32 {
        let at = self.word();
        match self.byte() % 16 {
            0 => (at % 8).wrapping_sub(4),
            1 => span.wrapping_add(at % 3_000),
            2 | 3 => at % span.max(1),
            4 => span,
            _ => at % (span / mss + 1) * mss,
        }
    }
}

struct Play {
    script: Script,
    handle: TcpHandle,
    /// The window field of the peer while it has room.
    window: u16,
    sacks: bool,
    /// The MSS of the peer.
    mss: u16,
    /// The last packet of the stack with text.
    last: Vec<u8>,
}

/// What a play has come to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reached {
    /// Fast recoveries, timeouts, mistakes taken back, answers to marks, and a smaller path.
    pub events: [u64; 5],
    /// It ended with everything acknowledged by an honest peer.
    pub complete: bool,
}

/// Plays what the bytes say.
pub fn play(bytes: &[u8]) -> Reached {
    let mut bytes = Bytes(bytes);
    let Some(mut play) = Play::open(&mut bytes) else { return Reached::default() };
    let complete = play.run(&mut bytes) && play.end();
    let smaller = play.look().is_some_and(|look| look.snd.mss < look.rcv.mss.min(play.mss));
    let counters = play.script.stack.counters();
    let events =
        [counters.fast_retransmits, counters.timeouts, counters.spurious, counters.ecn_reductions, u64::from(smaller)];
    Reached { events, complete }
}

/// Steps of time, in microseconds.
const TIMES: [u32; 12] =
    [1, 500, 2_000, 5_000, 10_000, 20_000, 40_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

impl Play {
    /// A listener of the stack has taken the peer's connection.
    fn open(bytes: &mut Bytes<'_>) -> Option<Play> {
        let (congestion, switches) = (bytes.pick(&Algorithm::ALL), bytes.byte());
        let mut script = Script::with(|config| {
            config.tcp.socket.congestion = congestion;
            config.tcp.send_capacity = Some(BUFFER);
        });
        script.seq = bytes.pick(&[1_000, u32::MAX - 3]);
        let sacks = switches & 3 != 0;
        let options = TcpOptions {
            mss: Some(bytes.pick(&[1_460, 1_460, 536, 100])),
            window_scale: (switches & 4 == 0).then_some(bytes.byte() % 8),
            sack_permitted: sacks,
            timestamp: (switches & 8 == 0).then_some(Timestamp { value: 1, echo: 0 }),
            ..TcpOptions::default()
        };
        if switches & 16 != 0 {
            script.stack.set_offload(65_535, false);
        }
        let listener = script.listen();
        let asks = if switches & 32 != 0 { ecn::ASKING } else { Flags::default() };
        let syn = TcpHeader { options, ..script.header(Flags::SYN | asks) };
        let answer = script.inject(&syn, &[]);
        script.timestamp = options.timestamp.map(|timestamp| timestamp.value);
        script.seq = script.seq.wrapping_add(1);
        script.ack = answer.first()?.header.seq.wrapping_add(1);
        script.now += Duration::from_micros(u64::from(bytes.pick(&TIMES[..8])));
        let header = script.header(Flags::ACK);
        script.inject(&header, &[]);
        let (handle, _) = script.stack.tcp_accept(listener).ok()?;
        let window = script.window;
        Some(Play { script, handle, window, sacks, mss: options.mss?, last: Vec::new() })
    }

    /// Until the bytes end, or the connection.
    fn run(&mut self, bytes: &mut Bytes<'_>) -> bool {
        while !bytes.0.is_empty() {
            match bytes.byte() % 16 {
                0 | 1 => self.write(bytes),
                2..=8 => self.acknowledge(bytes),
                9 | 10 => self.duplicate(bytes),
                11..=13 => self.pass(Duration::from_micros(u64::from(bytes.pick(&TIMES)))),
                14 => self.acknowledge_all(),
                _ => self.call(bytes),
            }
            if !self.settle() {
                return false;
            }
        }
        true
    }

    fn look(&self) -> Option<&Connection> {
        self.script.stack.tcp_connection(self.handle)
    }

    /// SND.UNA, the octets in flight, and those of a segment.
    fn flight(&self) -> (u32, u32, u32) {
        self.look().map_or((0, 0, 1), |look| (look.snd.una.0, look.flight(), look.segment_payload()))
    }

    fn write(&mut self, bytes: &mut Bytes<'_>) {
        let octets = bytes.pick(&[1, 100, 1_460, 5_000, 20_000, 60_000]);
        let _ = self.script.stack.tcp_send(self.script.now, self.handle, &vec![7; octets]);
    }

    /// What SACK blocks say: ranges in flight, or what arrived twice.
    fn blocks(&self, bytes: &mut Bytes<'_>, ack: u32) -> SackBlocks {
        let (una, flight, mss) = self.flight();
        let mut blocks = SackBlocks::default();
        let kind = bytes.byte();
        if kind.is_multiple_of(8) {
            let left = ack.wrapping_sub(u32::from(bytes.byte() % 8) * mss);
            blocks.push(left, left.wrapping_add(u32::from(1 + bytes.byte() % 2) * mss));
        }
        for _ in 0..kind >> 6 {
            let left = una.wrapping_add(bytes.place(flight, mss));
            let octets =
                if bytes.byte().is_multiple_of(4) { bytes.word() % 5_000 } else { mss * (1 + bytes.word() % 5) };
            blocks.push(left, left.wrapping_add(octets));
        }
        blocks
    }

    fn header(&mut self, bytes: &mut Bytes<'_>, ack: u32) -> TcpHeader {
        let sack = if self.sacks { self.blocks(bytes, ack) } else { SackBlocks::default() };
        let mut header = TcpHeader { ack, ..self.script.header(Flags::ACK) };
        header.options.sack = sack;
        header
    }

    /// A segment of the peer arrives: no way is so short that it takes no time, which would leave no rate to measure.
    fn arrive(&mut self, header: &TcpHeader, text: &[u8]) {
        self.script.now += Duration::from_micros(1);
        self.script.deliver(header, text);
    }

    /// An ACK of some of what is in flight; its window, its echo and its marks are as likely to be odd.
    fn acknowledge(&mut self, bytes: &mut Bytes<'_>) {
        let (una, flight, mss) = self.flight();
        let ack = una.wrapping_add(bytes.place(flight, mss));
        let mut header = self.header(bytes, ack);
        let odd = bytes.byte();
        if odd & 0x0f == 0 {
            self.script.window = bytes.pick(&[0, 0, 1, 100, self.window / 8, self.window]);
        } else if odd & 0x0f < 4 {
            self.script.window = self.window;
        }
        header.window = self.script.window;
        if odd & 0x30 == 0 {
            header.flags |= bytes.pick(&[Flags::ECE, Flags::ECE, Flags::CWR]);
        }
        if let Some(timestamp) = header.options.timestamp.as_mut() {
            // The peer's clock runs, so that its segments are not old.
            timestamp.value = self.script.now.as_millis() as u32;
            timestamp.echo = timestamp.echo.wrapping_sub(bytes.pick(&[0, 0, 0, 1, 20, 200]));
        }
        let text = vec![1; if odd & 0xc0 == 0 { usize::from(bytes.byte()) } else { 0 }];
        self.arrive(&header, &text);
        if let Some(look) = self.look() {
            self.script.seq = look.rcv.nxt.0;
        }
        drop(self.script.receive(self.handle));
    }

    /// The peer repeats its last ACK, once or several times.
    fn duplicate(&mut self, bytes: &mut Bytes<'_>) {
        for _ in 0..1 + bytes.byte() % 4 {
            let (una, _, _) = self.flight();
            let header = self.header(bytes, una);
            self.arrive(&header, &[]);
        }
    }

    /// The peer has got all that was sent.
    fn acknowledge_all(&mut self) {
        let (una, flight, _) = self.flight();
        self.script.window = self.window;
        let mut header = TcpHeader { ack: una.wrapping_add(flight), ..self.script.header(Flags::ACK) };
        if let Some(timestamp) = header.options.timestamp.as_mut() {
            timestamp.value = self.script.now.as_millis() as u32;
        }
        self.arrive(&header, &[]);
    }

    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let (now, which) = (self.script.now, bytes.byte());
        let stack = &mut self.script.stack;
        match which % 16 {
            0 => drop(stack.tcp_shutdown(now, self.handle, Shutdown::Write)),
            1..=3 => drop(stack.tcp_set_options(now, self.handle, |options| {
                options.congestion = Algorithm::ALL[usize::from(which >> 4) % Algorithm::ALL.len()];
            })),
            4 | 5 => self.too_big(bytes),
            _ => drop(stack.tcp_set_options(now, self.handle, |options| {
                (options.nodelay, options.cork) = (which & 16 != 0, which & 96 == 96);
            })),
        }
    }

    /// A router says that the last packet was too big.
    fn too_big(&mut self, bytes: &mut Bytes<'_>) {
        let mtu = bytes.pick(&[1_400, 1_000, 576]);
        let (router, to) = (self.script.peer.ip(), self.script.local.ip());
        let mut message = vec![0; icmp::MAX_ERROR_LEN];
        let len = icmp::emit_error(router, to, IcmpError::PacketTooBig { mtu }, &self.last, &mut message);
        let header = IpHeader {
            source: router,
            destination: to,
            protocol: icmp::protocol_for(to),
            hop_limit: 64,
            traffic_class: 0,
            identification: 1,
            dont_fragment: false,
        };
        let mut packet = vec![0; 40];
        let header_len = emit_ip(&header, len, &mut packet);
        packet.truncate(header_len);
        packet.extend_from_slice(&message[..len]);
        self.script.stack.handle_packet(self.script.now, &packet, &RxMeta::plain(packet.len()));
    }

    /// Time passes, and each deadline on the way is one step.
    fn pass(&mut self, time: Duration) {
        let until = self.script.now + time;
        for count in 0.. {
            assert!(count < MAX_DEADLINES, "deadlines without end");
            self.settle();
            let Some(at) = self.script.stack.next_deadline().filter(|&at| at <= until) else { break };
            self.script.now = self.script.now.max(at);
            self.script.stack.handle_deadline(self.script.now);
        }
        self.script.now = until;
    }

    /// Everything leaves that may, and then the invariants hold. False once the connection is over.
    fn settle(&mut self) -> bool {
        let sent = self.script.sent();
        assert!(sent.len() <= MAX_AT_ONCE, "{} segments at once", sent.len());
        if let Some(text) = sent.into_iter().rfind(|sent| !sent.text.is_empty()) {
            self.last = text.packet;
        }
        sender::check_all(&self.script.stack, self.script.now);
        let Some(look) = self.look().filter(|look| !matches!(look.state(), State::Closed | State::TimeWait)) else {
            return false;
        };
        let others = 1 + u64::from(look.fin_acknowledged());
        let octets = look.statistics.octets_acknowledged + others;
        assert_eq!(octets as u32, look.snd.una.since(look.snd.iss), "each octet is acknowledged once");
        true
    }

    /// From here on the peer is honest: it gets everything, and then nothing is left to do. False if the connection ends.
    fn end(&mut self) -> bool {
        let _ = self.script.stack.tcp_set_options(self.script.now, self.handle, |options| options.cork = false);
        for _ in 0..ROUNDS {
            self.pass(Duration::from_millis(50));
            self.acknowledge_all();
            if !self.settle() {
                return false;
            }
            let look = self.look().filter(|look| look.flight() > 0 || look.unsent() > 0);
            if look.is_none() {
                let deadlines = self.look().map(|look| look.deadlines).unwrap_or_default();
                assert!(!deadlines.retransmit.is_set() && !deadlines.persist.is_set(), "{deadlines:?}");
                return true;
            }
        }
        panic!("it does not get everything: {:#?}", self.look());
    }
}
