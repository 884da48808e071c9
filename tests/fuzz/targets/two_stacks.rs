//! Two stacks talk, and the bytes say what becomes of each frame between them: delivered, lost, doubled, overtaken, with a bit
//! turned over, or forged with good checksums. Whatever happens, nothing grows beyond its limit and everything ends; and as
//! long as nothing was forged, what one side reads is what the other has written.

use std::collections::VecDeque;
use std::iter::Copied;
use std::net::Shutdown;
use std::slice::Iter;
use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::sender;
use glasstcp::stack::{ListenerHandle, Stack, TcpHandle};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::ecn::EcnMode;
use glasstcp::time::Instant;

use super::kit::fix_checksums;

/// Frames that are on their way in one direction; what comes beyond is lost.
const MOST_FRAMES: usize = 128;
/// Buffer memory of each stack.
const MEMORY: usize = 1 << 20;
/// Octets that a socket keeps each way.
const CAPACITY: u32 = 20_000;
/// What passes with each step: two ticks of the clock of initial sequence numbers (RFC 6528). At one and the same instant an
/// old SYN and old text behind it would open anew what has been aborted.
const STEP: Duration = Duration::from_micros(8);
/// Half-open records.
const HALF_OPEN: u32 = 8;

struct Side {
    stack: Stack,
    handle: Option<TcpHandle>,
    /// On their way to this side.
    arriving: VecDeque<Vec<u8>>,
    written: u64,
    read: u64,
}

struct Play<'a> {
    sides: [Side; 2],
    listener: ListenerHandle,
    now: Instant,
    /// A frame with good checksums was not what its sender had sent.
    forged: bool,
    bytes: Copied<Iter<'a, u8>>,
}

/// The octet at this place of the stream of one side.
fn octet(side: usize, place: u64) -> u8 {
    (place * 7 + place / 251 + side as u64 * 101) as u8
}

pub fn play(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let switches = bytes.next().unwrap_or(0);
    let mut play = Play::open(switches, bytes);
    while let Some(op) = play.bytes.next() {
        let side = usize::from(op >> 7);
        match op & 15 {
            0..=4 => play.deliver(side, op >> 4 & 7),
            5 => drop(play.sides[side].arriving.pop_front()),
            6 => play.double(side),
            7 => play.overtake(side),
            8 => play.turn_bit(side),
            9 => play.forge(side),
            10 | 11 => play.write(side),
            12 | 13 => play.read(side),
            14 => play.close(side),
            _ => play.pass(),
        }
        play.flush();
        play.check();
        play.now += STEP;
    }
    play.end();
}

impl<'a> Play<'a> {
    fn open(switches: u8, bytes: Copied<Iter<'a, u8>>) -> Play<'a> {
        let now = Instant::from_secs(1_000);
        let v6 = switches & 1 != 0;
        let address = |host: u8| if v6 { format!("fd00:67::{host}") } else { format!("10.0.0.{host}") };
        let stack = |host: u8| {
            let mut config = Config::new(&[format!("{}/{}", address(host), if v6 { 64 } else { 24 }).parse().unwrap()]);
            let tcp = &mut config.tcp;
            (tcp.timestamps, tcp.sack, tcp.window_scaling) = (switches & 2 == 0, switches & 4 == 0, switches & 8 == 0);
            (tcp.receive_capacity, tcp.send_capacity) = (Some(CAPACITY), Some(CAPACITY));
            (tcp.buffer_memory, tcp.max_half_open) = (MEMORY, HALF_OPEN);
            tcp.ecn = match (switches >> 5, host) {
                (0..=1, _) => EcnMode::Accept,
                (2, _) | (3, 1) => EcnMode::Request,
                (4, 1) => EcnMode::AcceptAccurate,
                _ => EcnMode::RequestAccurate,
            };
            Stack::new(config, KeyedRng::from_seed(u64::from(host)), now).unwrap()
        };
        let mut stacks = [stack(1), stack(2)];
        let at = format!("{}:80", if v6 { format!("[{}]", address(2)) } else { address(2) }).parse().unwrap();
        let options = SocketOptions { nodelay: switches & 16 != 0, ..SocketOptions::default() };
        let listener = stacks[1].tcp_listen(at, 4, options).unwrap();
        let handle = stacks[0].tcp_connect(now, None, at, options).unwrap();
        let [a, b] = stacks;
        let side = |stack, handle| Side { stack, handle, arriving: VecDeque::new(), written: 0, read: 0 };
        let mut play = Play { sides: [side(a, Some(handle)), side(b, None)], listener, now, forged: false, bytes };
        play.flush();
        play
    }

    fn byte(&mut self) -> u8 {
        self.bytes.next().unwrap_or(0)
    }

    fn arrive(&mut self, side: usize, frame: &[u8]) {
        self.sides[side].stack.handle_packet(self.now, frame, &RxMeta::plain(frame.len()));
    }

    /// What both have to send is on its way.
    fn flush(&mut self) {
        for side in 0..2 {
            let [a, b] = &mut self.sides;
            let (from, to) = if side == 0 { (a, b) } else { (b, a) };
            from.stack.transmit(self.now, 10_000, |transmit| {
                if to.arriving.len() < MOST_FRAMES {
                    to.arriving.push_back(transmit.to_vec());
                }
                Ok(())
            });
        }
        let side = &mut self.sides[1];
        while let Ok((handle, _)) = side.stack.tcp_accept(self.listener) {
            match side.handle {
                // Another one: only forgery opens it.
                Some(_) => {
                    assert!(self.forged, "a second connection");
                    side.stack.tcp_abort(self.now, handle);
                    side.stack.tcp_close(self.now, handle);
                }
                None => side.handle = Some(handle),
            }
        }
        for side in &mut self.sides {
            while side.stack.poll_ready().is_some() {}
        }
    }

    /// A router may mark what can be marked, or bleach it, which is no forgery.
    fn deliver(&mut self, side: usize, router: u8) {
        let Some(mut frame) = self.sides[side].arriving.pop_front() else { return };
        let bits = if frame[0] >> 4 == 6 { 0x30 } else { 0x03 };
        match router {
            4 | 5 if frame[1] & bits != 0 => frame[1] |= bits,
            6 => frame[1] &= !bits,
            _ => return self.arrive(side, &frame),
        }
        fix_checksums(&mut frame);
        self.arrive(side, &frame);
    }

    fn double(&mut self, side: usize) {
        let arriving = &mut self.sides[side].arriving;
        if let Some(frame) = arriving.front().cloned()
            && arriving.len() < MOST_FRAMES
        {
            arriving.push_back(frame);
        }
    }

    fn overtake(&mut self, side: usize) {
        let by = usize::from(self.byte());
        let arriving = &mut self.sides[side].arriving;
        if let Some(frame) = arriving.pop_front() {
            arriving.insert(by.min(arriving.len()), frame);
        }
    }

    /// A single wrong bit, which every checksum notices.
    fn turn_bit(&mut self, side: usize) {
        let place = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        if let Some(mut frame) = self.sides[side].arriving.front().cloned() {
            let bit = place % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            self.arrive(side, &frame);
        }
    }

    /// A frame with some octets changed, and good checksums.
    fn forge(&mut self, side: usize) {
        let changes: Vec<(u8, u8)> = (0..self.byte() % 4 + 1).map(|_| (self.byte(), self.byte())).collect();
        let keeps = self.byte() & 1 != 0;
        let Some(mut frame) = self.sides[side].arriving.front().cloned() else { return };
        for (place, value) in changes {
            let place = usize::from(place) % frame.len();
            frame[place] = if keeps { frame[place].wrapping_add(value) } else { value };
        }
        if frame.len() >= 40 {
            fix_checksums(&mut frame);
        }
        self.forged = true;
        self.arrive(side, &frame);
    }

    fn write(&mut self, side: usize) {
        let len = u64::from(self.byte()) * 40;
        let now = self.now;
        let this = &mut self.sides[side];
        let Some(handle) = this.handle else { return };
        let text: Vec<u8> = (this.written..this.written + len).map(|place| octet(side, place)).collect();
        this.written += this.stack.tcp_send(now, handle, &text).unwrap_or(0) as u64;
    }

    fn read(&mut self, side: usize) {
        let len = usize::from(self.byte()) * 40;
        let now = self.now;
        let this = &mut self.sides[side];
        let Some(handle) = this.handle else { return };
        let mut text = vec![0; len];
        let Ok(read) = this.stack.tcp_receive(now, handle, &mut text) else { return };
        let first = this.read;
        this.read += read as u64;
        if !self.forged {
            let written = self.sides[1 - side].written;
            assert!(first + read as u64 <= written, "more than was written");
            let good = (first..).zip(&text[..read]).all(|(place, &found)| found == octet(1 - side, place));
            assert!(good, "other octets than were written");
        }
    }

    fn close(&mut self, side: usize) {
        let which = self.byte();
        let now = self.now;
        let this = &mut self.sides[side];
        let Some(handle) = this.handle else { return };
        match which % 8 {
            0..=3 => drop(this.stack.tcp_shutdown(now, handle, Shutdown::Write)),
            4 => drop(this.stack.tcp_shutdown(now, handle, Shutdown::Read)),
            5 | 6 => drop(
                this.stack
                    .tcp_send_urgent(now, handle, &[octet(side, this.written)])
                    .map(|sent| this.written += sent as u64),
            ),
            _ => this.stack.tcp_abort(now, handle),
        }
    }

    fn pass(&mut self) {
        let millis = [1, 20, 50, 300, 1_200, 5_000, 70_000, 400_000][usize::from(self.byte() % 8)];
        let until = self.now + Duration::from_millis(millis);
        for _ in 0..2_000 {
            let next = self.sides.iter().filter_map(|side| side.stack.next_deadline()).min();
            let Some(at) = next.filter(|&at| at <= until) else { break };
            self.now = self.now.max(at);
            for side in &mut self.sides {
                side.stack.handle_deadline(self.now);
            }
            self.flush();
        }
        self.now = until;
    }

    fn check(&self) {
        for side in &self.sides {
            sender::check_all(&side.stack, self.now);
            let (half_open, connections, time_wait) = side.stack.table_sizes();
            assert!(half_open <= HALF_OPEN && connections <= 8 && time_wait <= 8, "{:?}", side.stack.table_sizes());
            assert!(side.stack.buffer_memory() <= MEMORY);
        }
    }

    /// Both let go, and time takes everything away.
    fn end(mut self) {
        for side in 0..2 {
            self.sides[side].arriving.clear();
            self.sides[side].stack.close_all(self.now);
            assert!(self.sides[side].written < 1 << 40);
        }
        self.flush();
        self.sides.iter_mut().for_each(|side| side.arriving.clear());
        let until = self.now + Duration::from_secs(1_000);
        while let Some(at) =
            self.sides.iter().filter_map(|side| side.stack.next_deadline()).min().filter(|&at| at <= until)
        {
            self.now = self.now.max(at);
            for side in &mut self.sides {
                side.stack.handle_deadline(self.now);
            }
            self.flush();
            self.sides.iter_mut().for_each(|side| side.arriving.clear());
        }
        for side in &self.sides {
            let left: Vec<_> = side.stack.tcp_connections().collect();
            assert_eq!(side.stack.table_sizes(), (0, 0, 0), "records are left: {left:#?}");
            assert_eq!(side.stack.buffer_memory(), 0, "memory is left");
        }
    }
}
