//! The stack under attack: echo over TCP and UDP on port 7, in virtual time; and the client that must always be served.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown};
use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::device::RxMeta;
use glasstcp::error::SocketError;
use glasstcp::rng::KeyedRng;
use glasstcp::stack::{ListenOptions, ListenerHandle, SocketHandle, Stack, TcpHandle, Transmit, UdpHandle, WouldBlock};
use glasstcp::tcp::fast_open::ListenFastOpen;
use glasstcp::time::Instant;

use crate::packet::{ACK, Answer, FIN, Ip, PSH, SYN, Tcp};

pub const TARGET4: &str = "10.0.0.2";
pub const TARGET6: &str = "fd00:67::2";
pub const ATTACKER4: &str = "10.0.0.77";
pub const ATTACKER6: &str = "fd00:67::77";
/// Where somebody listens, and where nobody does.
pub const SERVED: u16 = 7;
pub const CLOSED: u16 = 999;

/// Where a connection is accepted and closed at once.
pub const CLOSES: u16 = 9;

/// As many as the table of half-open records has places in floods, so that it fills.
const BACKLOG: u32 = 1_024;

/// What a packet costs is counted in functions of this name (scripts/security.sh).
#[inline(never)]
pub fn measured_packet(stack: &mut Stack, now: Instant, packet: &[u8], meta: &RxMeta) {
    stack.handle_packet(now, packet, meta);
}

/// What is sent in answer.
// Without a closure of its own, whose name would be counted as well.
#[inline(never)]
pub fn measured_transmit(
    stack: &mut Stack,
    now: Instant,
    each: &mut dyn FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
) {
    stack.transmit(now, 100_000, each);
}

/// What has gone in and out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub packets_in: u64,
    pub octets_in: u64,
    pub packets_out: u64,
    pub octets_out: u64,
    /// Time that the stack has taken for it.
    pub spent: Duration,
}

/// The attacked stack.
pub struct Target {
    pub stack: Stack,
    pub now: Instant,
    pub traffic: Traffic,
    closes: ListenerHandle,
    socket: UdpHandle,
    /// What could not be written back at once.
    unsent: BTreeMap<TcpHandle, Vec<u8>>,
    next_port: u16,
}

impl Target {
    pub fn new() -> Target {
        Target::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Target {
        let mut config = Config::new(&["10.0.0.2/24", "fd00:67::2/64"].map(|text| text.parse().unwrap()));
        change(&mut config);
        let now = Instant::from_secs(1_000);
        let options = config.tcp.socket;
        let mut stack = Stack::new(config, KeyedRng::from_seed(7), now).unwrap();
        let served = "[::]:7".parse().unwrap();
        stack.tcp_listen(served, BACKLOG, options).unwrap();
        let closes = stack.tcp_listen("[::]:9".parse().unwrap(), 128, options).unwrap();
        let socket = stack.udp_bind(served).unwrap();
        let traffic = Traffic::default();
        Target { stack, now, traffic, closes, socket, unsent: BTreeMap::new(), next_port: 20_000 }
    }

    /// Serves on one more port, by Fast Open too.
    pub fn serve_fast(&mut self, port: u16) {
        let fast_open = Some(ListenFastOpen::new(64));
        let options = ListenOptions { backlog: 128, fast_open, ..ListenOptions::default() };
        self.stack.tcp_listen_with(std::net::SocketAddr::new("::".parse().unwrap(), port), &options).unwrap();
    }

    /// A port from which nothing has come yet.
    pub fn fresh_port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    pub fn give(&mut self, packet: &[u8]) {
        self.give_with(packet, &RxMeta::plain(packet.len()));
    }

    pub fn give_with(&mut self, packet: &[u8], meta: &RxMeta) {
        self.traffic.packets_in += 1;
        self.traffic.octets_in += packet.len() as u64;
        let start = std::time::Instant::now();
        measured_packet(&mut self.stack, self.now, packet, meta);
        self.traffic.spent += start.elapsed();
    }

    /// All drops that were counted so far.
    pub fn drops(&self) -> u64 {
        self.stack.counters().drops().map(|(_, count)| count).sum()
    }

    /// What all these packets bring back, the applications' answers included.
    pub fn answers(&mut self, packets: &[Vec<u8>]) -> Vec<Answer> {
        packets.iter().for_each(|packet| self.give(packet));
        self.collect()
    }

    /// Lets time pass; what is sent meanwhile.
    pub fn pass(&mut self, time: Duration) -> Vec<Answer> {
        let until = self.now + time;
        let mut all = self.collect();
        while let Some(at) = self.stack.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.stack.handle_deadline(self.now);
            all.extend(self.collect());
        }
        self.now = until;
        self.stack.handle_deadline(until);
        all.extend(self.collect());
        all
    }

    fn collect(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let served = self.serve();
            let before = answers.len();
            self.send(&mut |packet| answers.push(Answer::parse(packet)));
            if !served && answers.len() == before {
                return answers;
            }
        }
    }

    fn send(&mut self, each: &mut dyn FnMut(&[u8])) {
        let (mut packets, mut octets) = (0, 0);
        let mut packet = Vec::new();
        let start = std::time::Instant::now();
        measured_transmit(&mut self.stack, self.now, &mut |transmit| {
            packets += 1;
            octets += transmit.len();
            packet.clear();
            packet.extend_from_slice(transmit.header);
            transmit.payload.iter().for_each(|piece| packet.extend_from_slice(piece));
            each(&packet);
            Ok(())
        });
        self.traffic.spent += start.elapsed();
        self.traffic.packets_out += packets;
        self.traffic.octets_out += octets as u64;
    }

    /// As [`Target::pass`], but nobody looks at what is sent.
    pub fn pass_unseen(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            while self.serve() {}
            self.send(&mut |_| {});
            let Some(at) = self.stack.next_deadline().filter(|&at| at <= until) else { break };
            self.now = self.now.max(at);
            self.stack.handle_deadline(self.now);
        }
        self.now = until;
    }

    /// The applications; false if there was nothing to do.
    fn serve(&mut self) -> bool {
        let mut busy = false;
        while let Some(ready) = self.stack.poll_ready() {
            busy = true;
            match ready.socket {
                SocketHandle::Listener(listener) if listener == self.closes => {
                    while let Ok((handle, _)) = self.stack.tcp_accept(listener) {
                        self.stack.tcp_close(self.now, handle);
                    }
                }
                SocketHandle::Listener(listener) => {
                    while let Ok((handle, _)) = self.stack.tcp_accept(listener) {
                        self.echo(handle);
                    }
                }
                SocketHandle::Tcp(handle) => self.echo(handle),
                SocketHandle::Udp(_) => {
                    while let Ok(datagram) = self.stack.udp_receive(self.socket) {
                        let _ = self.stack.udp_send(self.now, self.socket, Some(datagram.source), &datagram.data);
                    }
                }
                SocketHandle::Echo(_) => {}
            }
        }
        busy
    }

    fn echo(&mut self, handle: TcpHandle) {
        let mut buffer = vec![0; 65_536];
        loop {
            let mut text = self.unsent.remove(&handle).unwrap_or_default();
            if !text.is_empty() {
                let sent = self.stack.tcp_send(self.now, handle, &text).unwrap_or(0);
                text.drain(..sent);
                if !text.is_empty() {
                    self.unsent.insert(handle, text);
                    return;
                }
            }
            match self.stack.tcp_receive(self.now, handle, &mut buffer) {
                Ok(0) => {
                    let _ = self.stack.tcp_shutdown(self.now, handle, Shutdown::Write);
                    return self.stack.tcp_close(self.now, handle);
                }
                Ok(read) => drop(self.unsent.insert(handle, buffer[..read].to_vec())),
                Err(SocketError::WouldBlock) => return,
                Err(_) => return self.stack.tcp_close(self.now, handle),
            }
        }
    }

    /// A client that nobody knew before is served at once, over this family.
    #[track_caller]
    pub fn serves_a_fresh_client(&mut self, after: &str) {
        for v6 in [false, true] {
            let mut client = Client::new(self, v6);
            client.open(self, &[2, 4, 5, 0xB4]).unwrap_or_else(|why| panic!("after {after}: {why}"));
            let echoed = client.exchange(self, b"hello").unwrap_or_else(|why| panic!("after {after}: {why}"));
            assert_eq!(echoed, b"hello", "after {after}");
            client.close(self);
        }
    }
}

/// The far end of a connection, by hand.
#[derive(Clone)]
pub struct Client {
    pub ip: Ip,
    pub port: u16,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
}

impl Client {
    pub fn new(target: &mut Target, v6: bool) -> Client {
        let ip = if v6 { Ip::between(ATTACKER6, TARGET6) } else { Ip::between(ATTACKER4, TARGET4) };
        let port = target.fresh_port();
        Client { ip, port, seq: u32::from(port).wrapping_mul(0x9E37_79B9), ack: 0, window: 65_535 }
    }

    /// An opened connection.
    pub fn connected(target: &mut Target, v6: bool) -> Client {
        let mut client = Client::new(target, v6);
        client.open(target, &[2, 4, 5, 0xB4]).unwrap();
        client
    }

    pub fn header(&self, flags: u8) -> Tcp {
        let ack = if flags & ACK != 0 { self.ack } else { 0 };
        Tcp { seq: self.seq, ack, window: self.window, ..Tcp::new(self.port, SERVED, flags) }
    }

    pub fn packet(&self, header: &Tcp, text: &[u8]) -> Vec<u8> {
        self.ip.carry(6, &self.ip.segment(header, text))
    }

    /// What comes back on this connection.
    pub fn answers(&self, target: &mut Target, header: &Tcp, text: &[u8]) -> Vec<Answer> {
        let packet = self.packet(header, text);
        let mut answers = target.answers(&[packet]);
        answers.retain(|answer| answer.is_tcp() && answer.port(2) == self.port);
        answers
    }

    pub fn open(&mut self, target: &mut Target, options: &[u8]) -> Result<(), String> {
        let syn = Tcp { options: options.to_vec(), ..self.header(SYN) };
        let answers = self.answers(target, &syn, &[]);
        let [answer] = &answers[..] else { return Err(format!("no SYN-ACK alone: {answers:?}")) };
        self.seq = self.seq.wrapping_add(1);
        if answer.flags() & 0x3F != SYN | ACK || answer.number(8) != self.seq {
            return Err(format!("no SYN-ACK: {answer:?}"));
        }
        self.ack = answer.number(4).wrapping_add(1);
        self.answers(target, &self.header(ACK), &[]);
        Ok(())
    }

    /// Takes over what answers bring in order.
    pub fn read(&mut self, answers: &[Answer]) -> Vec<u8> {
        let mut text = Vec::new();
        for answer in answers {
            if answer.number(4) == self.ack {
                text.extend_from_slice(answer.text());
                self.ack = self.ack.wrapping_add(answer.text().len() as u32);
            }
        }
        text
    }

    /// Sends text and reads as much.
    pub fn exchange(&mut self, target: &mut Target, text: &[u8]) -> Result<Vec<u8>, String> {
        let mut answers = self.answers(target, &self.header(ACK | PSH), text);
        self.seq = self.seq.wrapping_add(text.len() as u32);
        let mut echoed = Vec::new();
        for _ in 0..200 {
            echoed.extend(self.read(&answers));
            if echoed.len() >= text.len() {
                break;
            }
            answers = self.answers(target, &self.header(ACK), &[]);
            if answers.is_empty() {
                answers = target.pass(Duration::from_millis(20));
                answers.retain(|answer| answer.is_tcp() && answer.port(2) == self.port);
            }
        }
        self.answers(target, &self.header(ACK), &[]);
        if echoed.len() < text.len() {
            Err(format!("{} of {} octets came back", echoed.len(), text.len()))
        } else {
            Ok(echoed)
        }
    }

    /// Opens a connection to another port than [`SERVED`]; what came behind the handshake.
    pub fn open_at(&mut self, target: &mut Target, port: u16) -> Vec<Answer> {
        let syn = Tcp { destination: port, ..self.header(SYN) };
        let answers = self.answers(target, &syn, &[]);
        self.seq = self.seq.wrapping_add(1);
        self.ack = answers.first().map_or(0, |answer| answer.number(4).wrapping_add(1));
        let ack = Tcp { destination: port, ..self.header(ACK) };
        self.answers(target, &ack, &[])
    }

    pub fn close(&mut self, target: &mut Target) {
        let answers = self.answers(target, &self.header(FIN | ACK), &[]);
        self.seq = self.seq.wrapping_add(1);
        self.read(&answers);
        if answers.iter().any(|answer| answer.flags() & FIN != 0) {
            self.ack = self.ack.wrapping_add(1);
        }
        self.answers(target, &self.header(ACK), &[]);
    }
}

/// Addresses of a packet, for those who make many.
pub fn from(source: &str) -> Ip {
    let v6 = source.parse::<IpAddr>().unwrap().is_ipv6();
    Ip::between(source, if v6 { TARGET6 } else { TARGET4 })
}
