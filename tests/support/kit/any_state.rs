//! Any segments into any state, as a string of bytes says: for the tests of bad input and for the fuzzer.

use super::{CONNECTED, fix_checksums, give, reach_with, with_area};
use glasstcp::sim::{Script, sender};
use glasstcp::stack::{ListenOptions, TcpHandle};
use glasstcp::tcp::accurate_ecn::ace_flags;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::ecn::EcnMode;
use glasstcp::tcp::fast_open::ListenFastOpen;
use glasstcp::tcp::sequence::SeqNumber;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::collections::BTreeMap;
use std::net::Shutdown;
use std::time::Duration;

/// Half-open records and accepted connections that one listener here may have.
const BACKLOG: u32 = 4;
/// Buffer memory of the whole stack here.
const MEMORY: usize = 1 << 20;
/// Segments that one step may draw: a whole buffer in the smallest segments, and some.
const MAX_ANSWERS: usize = 2_000;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (&first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        first
    }

    /// An offset that is often near an edge.
    fn offset(&mut self) -> u32 {
        let near = i32::from(self.byte() as i8);
        let base = match self.byte() % 12 {
            0..=5 => 0,
            6 => 1_460,
            7 => 65_535,
            8 => 1 << 16,
            9 => i32::MAX,
            10 => i32::MIN,
            _ => -1_460,
        };
        base.wrapping_add(near / 8) as u32
    }
}

struct Play {
    script: Script,
    handles: Vec<TcpHandle>,
    /// SND.UNA, RCV.NXT and the right edge of the receive window of each connection, which never move left.
    edges: BTreeMap<TcpHandle, [SeqNumber; 3]>,
    /// There is nothing but the state CLOSED.
    closed: bool,
}

/// Plays what the bytes say, and checks after each step that nothing has grown beyond its limit.
pub fn play(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let (which, switches) = (usize::from(bytes.byte()) % (CONNECTED.len() + 4), bytes.byte());
    let (local, peer) = match switches & 1 {
        0 => ("10.0.0.2:80", "10.0.0.1:40000"),
        _ => ("[fd00:67::2]:80", "[fd00:67::1]:40000"),
    };
    let mut script = Script::on(local, peer, |config| {
        let tcp = &mut config.tcp;
        (tcp.timestamps, tcp.sack, tcp.window_scaling) = (switches & 2 == 0, switches & 4 == 0, switches & 8 == 0);
        (tcp.buffer_memory, tcp.receive_capacity, tcp.send_capacity) = (MEMORY, Some(30_000), Some(30_000));
        tcp.max_half_open = BACKLOG;
        if switches & 32 != 0 {
            tcp.ecn = EcnMode::RequestAccurate;
        }
    });
    if switches & 32 != 0 {
        // The answer to a SYN that was not marked, or a SYN that asks.
        script.syn_bits = ace_flags(if which < CONNECTED.len() { 0b010 } else { 0b111 });
    }
    script.seq = [0, 1 << 31, u32::MAX - 3, 1_000][usize::from(switches >> 6)];
    let mut play = match CONNECTED.get(which) {
        Some(&state) => {
            let (script, handle) = reach_with(state, script);
            Play { script, handles: vec![handle], edges: BTreeMap::new(), closed: false }
        }
        // CLOSED: nobody is there.
        None if which == CONNECTED.len() + 2 => {
            Play { script, handles: Vec::new(), edges: BTreeMap::new(), closed: true }
        }
        // Text of any SYN opens a connection at once.
        None if which == CONNECTED.len() + 3 => {
            let fast_open = ListenFastOpen { without_cookies: true, ..ListenFastOpen::new(BACKLOG) };
            let options = ListenOptions { backlog: BACKLOG, fast_open: Some(fast_open), ..ListenOptions::default() };
            script.stack.tcp_listen_with(script.local, &options).expect("nobody listens here");
            Play { script, handles: Vec::new(), edges: BTreeMap::new(), closed: false }
        }
        None => {
            script.listen_with(BACKLOG, SocketOptions::default());
            let timestamp = (switches & 16 == 0).then_some(Timestamp { value: 1, echo: 0 });
            let handle = (which == CONNECTED.len())
                .then(|| script.accept_with(TcpOptions { timestamp, sack_permitted: true, ..TcpOptions::default() }));
            Play { script, handles: handle.into_iter().collect(), edges: BTreeMap::new(), closed: false }
        }
    };
    // What is told of a packet must be the same as what becomes of it, and change nothing.
    play.script.stack.set_traced(switches & 32 == 0);
    while !bytes.0.is_empty() {
        match bytes.byte() % 8 {
            0..=4 => play.segment(&mut bytes),
            5 => play.time(&mut bytes),
            6 => play.call(&mut bytes),
            _ => play.honest(&mut bytes),
        }
        play.check();
    }
    play.end();
}

impl Play {
    fn segment(&mut self, bytes: &mut Bytes<'_>) {
        let script = &mut self.script;
        let flags = match bytes.byte() {
            0..120 => Flags::ACK,
            120..150 => Flags::ACK | Flags::FIN,
            150..170 => Flags::ACK | Flags::URG,
            170..180 => Flags::SYN,
            180..190 => Flags::SYN | Flags::ACK,
            190..200 => Flags::RST,
            _ => Flags(bytes.byte().into()),
        };
        let header = TcpHeader {
            flags,
            seq: script.seq.wrapping_add(bytes.offset()),
            ack: script.ack.wrapping_add(bytes.offset()),
            window: u16::from_be_bytes([bytes.byte(), bytes.byte()]),
            urgent: if flags.contains(Flags::URG) { u16::from(bytes.byte()) * 200 } else { 0 },
            source_port: script.peer.port() + u16::from(bytes.byte() >> 6),
            ..script.header(flags)
        };
        let mut area = Vec::new();
        let kinds = bytes.byte();
        if kinds & 1 != 0 {
            let mut timestamp = vec![1, 1, 8, 10];
            timestamp.extend(script.now.as_millis().to_be_bytes()[4..].iter().map(|octet| octet ^ (kinds >> 6)));
            timestamp.extend(script.last_tsval.to_be_bytes());
            area.extend(timestamp);
        }
        if kinds & 2 != 0 {
            area.extend([1, 1, 5, 10]);
            let left = header.ack.wrapping_add(bytes.offset());
            area.extend(left.to_be_bytes());
            area.extend(left.wrapping_add(u32::from(bytes.byte())).to_be_bytes());
        }
        if kinds & 4 != 0 {
            area.extend([2, 4, bytes.byte(), bytes.byte(), 1, 3, 3, bytes.byte()]);
        }
        if kinds & 0x28 == 0x28 {
            area.extend((0..kinds >> 4).map(|_| bytes.byte()));
        }
        let mut header = header;
        let mut codepoint = 0;
        if script.syn_bits != Flags::default() {
            // Marks that were made and marks that are told: the peer counts as well, or says that it does.
            let told = bytes.byte();
            codepoint = told & 3;
            header.flags |= ace_flags(u32::from(told >> 2 & 7));
            if told & 0x20 != 0 && area.len() + 12 <= 40 {
                area.extend([if told & 0x40 == 0 { 172 } else { 174 }, 11]);
                area.extend((0..9).map(|_| if told & 0x80 == 0 { 0 } else { bytes.byte() }));
                area.push(1);
            }
        }
        let text = vec![bytes.byte(); [0, 0, 1, 10, 1_000, 1_460][usize::from(bytes.byte()) % 6]];
        let mut packet = with_area(script, &header, &area, &text);
        if codepoint != 0 {
            packet[1] |= if packet[0] >> 4 == 6 { codepoint << 4 } else { codepoint };
            fix_checksums(&mut packet);
        }
        give(script, &packet);
    }

    fn time(&mut self, bytes: &mut Bytes<'_>) {
        let millis = [1, 40, 200, 1_000, 5_000, 61_000, 400_000, 10_000_000][usize::from(bytes.byte() % 8)];
        let sent = self.script.pass(Duration::from_millis(millis));
        assert!(sent.len() <= 20 * MAX_ANSWERS, "{} segments in {millis} ms", sent.len());
    }

    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let (now, which) = (self.script.now, bytes.byte());
        let stack = &mut self.script.stack;
        if let Some(listener) = stack.listener_at(self.script.local) {
            self.handles.extend(stack.tcp_accept(listener).map(|(handle, _)| handle));
        }
        let Some(&handle) = self.handles.get(usize::from(which >> 4) % self.handles.len().max(1)) else { return };
        match which % 11 {
            0..=2 => drop(stack.tcp_send(now, handle, &vec![3; usize::from(bytes.byte()) * 100])),
            3 | 4 => drop(stack.tcp_receive(now, handle, &mut vec![0; usize::from(bytes.byte()) * 100])),
            5 => drop(stack.tcp_shutdown(now, handle, Shutdown::Write)),
            6 => drop(stack.tcp_shutdown(now, handle, Shutdown::Read)),
            7 => drop(stack.tcp_send_urgent(now, handle, b"!")),
            8 => stack.tcp_close(now, handle),
            9 => stack.tcp_abort(now, handle),
            _ => drop(stack.tcp_set_options(now, handle, |options| {
                options.nodelay = which & 16 != 0;
                options.cork = which & 32 != 0;
                options.keep_alive = which & 64 != 0;
            })),
        }
    }

    /// The peer does what an honest one would: it acknowledges what it was sent, or sends on.
    fn honest(&mut self, bytes: &mut Bytes<'_>) {
        for sent in self.script.sent() {
            if sent.header.destination_port == self.script.peer.port() && !sent.flags().contains(Flags::RST) {
                let occupied =
                    u32::from(sent.flags().contains(Flags::SYN)) + u32::from(sent.flags().contains(Flags::FIN));
                self.script.ack = sent.header.seq.wrapping_add(sent.text.len() as u32 + occupied);
            }
        }
        let text = vec![1; usize::from(bytes.byte())];
        self.script.peer_sends(&text);
    }

    fn check(&mut self) {
        let sent = self.script.sent();
        assert!(sent.len() <= MAX_ANSWERS, "{} segments at once", sent.len());
        assert!(sent.iter().all(|sent| sent.packet.len() <= 1_500));
        // As in CLOSED (9293-3.10.7.1-2).
        assert!(!self.closed || sent.iter().all(|sent| sent.flags().contains(Flags::RST)), "more than a RST");
        sender::check_all(&self.script.stack, self.script.now);
        let (half_open, connections, time_wait) = self.script.stack.table_sizes();
        let held = self.handles.len() as u32 + BACKLOG;
        assert!(
            half_open <= BACKLOG && connections <= held && time_wait <= held,
            "{half_open} {connections} {time_wait}"
        );
        assert!(self.script.stack.buffer_memory() <= MEMORY);
        for &handle in &self.handles {
            let Some(connection) = self.script.stack.tcp_connection(handle) else { continue };
            assert!(connection.rcv.wnd() <= 1 << 30 && connection.flight() <= 30_002, "{connection:?}");
            // 9293-SHLD-14: the window does not shrink.
            let edges = [connection.snd.una, connection.rcv.nxt, connection.rcv.nxt + connection.rcv.wnd()];
            let synchronized = !matches!(connection.state(), State::Closed | State::SynSent | State::SynReceived);
            if synchronized && let Some(before) = self.edges.insert(handle, edges) {
                assert!(before.iter().zip(&edges).all(|(before, now)| before.le(*now)), "{before:?}, then {edges:?}");
            }
            assert!(connection.send_buffer.len() <= 30_000 && connection.receive_buffer.readable() <= 65_535);
        }
    }

    /// After everybody has let go and all time has passed, nothing is left.
    fn end(mut self) {
        let now = self.script.now;
        if let Some(listener) = self.script.stack.listener_at(self.script.local) {
            self.script.stack.listener_close(now, listener);
        }
        for &handle in &self.handles {
            self.script.stack.tcp_close(now, handle);
        }
        self.script.pass(Duration::from_secs(1_000));
        assert_eq!(self.script.stack.table_sizes(), (0, 0, 0), "records are left");
        assert_eq!(self.script.stack.buffer_memory(), 0, "memory is left");
        assert_eq!(self.script.stack.next_deadline(), None, "timers are left");
    }
}
