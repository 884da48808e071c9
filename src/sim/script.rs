//! One stack and a hand on the other end of the wire: segments in, segments out, time as the script says.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::Config;
use crate::counters::DropReason;
use crate::device::RxMeta;
use crate::rng::KeyedRng;
use crate::stack::{ListenerHandle, Progress, Stack, TcpHandle};
use crate::tcp::config::SocketOptions;
use crate::time::Instant;
use crate::wire::option::{TcpOptions, Timestamp};
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{IpHeader, emit_ip, parse_ip, protocol};

/// A segment that the stack has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// Its header, in host order.
    pub header: TcpHeader,
    /// Its text.
    pub text: Vec<u8>,
    /// The whole packet.
    pub packet: Vec<u8>,
}

impl Sent {
    /// The control bits.
    pub fn flags(&self) -> Flags {
        self.header.flags
    }

    /// The ECN bits of the IP header.
    pub fn ecn(&self) -> u8 {
        parse_ip(&self.packet).map_or(0, |ip| ip.traffic_class & 3)
    }
}

/// A stack on 10.0.0.2 (or fd00:67::2) and a peer on 10.0.0.1 (fd00:67::1) that does what the script says.
#[derive(Debug)]
pub struct Script {
    /// The stack.
    pub stack: Stack,
    /// The time.
    pub now: Instant,
    /// The stack's end.
    pub local: SocketAddr,
    /// The peer's end.
    pub peer: SocketAddr,
    /// The peer's next sequence number.
    pub seq: u32,
    /// The next sequence number that the peer expects.
    pub ack: u32,
    /// The window field that the peer sends.
    pub window: u16,
    /// The timestamp clock of the peer, once the options of the handshake carried one.
    pub timestamp: Option<u32>,
    /// The ECN bits of the peer's packets, as a router on the way has left them (RFC 3168 section 5).
    pub ecn: u8,
    /// What the peer's SYN or SYN,ACK says of ECN: bits beside those two.
    pub syn_bits: Flags,
    /// The last timestamp value that the stack sent.
    pub last_tsval: u32,
    /// What is noted of each packet, in both directions, while the stack is traced.
    pub notes: Vec<String>,
}

impl Script {
    /// With the default settings, over IPv4.
    pub fn new() -> Script {
        Script::with(|_| {})
    }

    /// With changed settings.
    pub fn with(change: impl FnOnce(&mut Config)) -> Script {
        Script::on("10.0.0.2:80", "10.0.0.1:40000", change)
    }

    /// Between two addresses.
    pub fn on(local: &str, peer: &str, change: impl FnOnce(&mut Config)) -> Script {
        let addresses = ["10.0.0.2/24", "fd00:67::2/64"];
        let mut config = Config::new(&addresses.map(|text| text.parse().unwrap_or_else(|e| unreachable!("{e}"))));
        change(&mut config);
        let now = Instant::from_secs(1_000);
        let stack = Stack::new(config, KeyedRng::from_seed(1), now).unwrap_or_else(|e| unreachable!("{e}"));
        let parse = |text: &str| text.parse().unwrap_or_else(|e| unreachable!("{text}: {e}"));
        Script {
            stack,
            now,
            local: parse(local),
            peer: parse(peer),
            seq: 1_000,
            ack: 0,
            window: 65_535,
            timestamp: None,
            ecn: 0,
            syn_bits: Flags::default(),
            last_tsval: 0,
            notes: Vec::new(),
        }
    }

    /// Lets time pass; deadlines are handled as they come, and what is sent on the way is returned.
    pub fn pass(&mut self, duration: Duration) -> Vec<Sent> {
        let until = self.now + duration;
        let mut sent = self.sent();
        while let Some(at) = self.stack.next_deadline().filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.stack.handle_deadline(self.now);
            sent.extend(self.sent());
        }
        self.now = until;
        self.stack.handle_deadline(until);
        sent.extend(self.sent());
        sent
    }

    /// What the stack sends now. Only segments of TCP; see [`Script::packets`] for all.
    pub fn sent(&mut self) -> Vec<Sent> {
        let now = self.now;
        let packets = self.packets();
        let segments = packets.into_iter().filter_map(|packet| {
            let ip = parse_ip(&packet).ok().filter(|ip| ip.protocol == protocol::TCP)?;
            assert!(tcp::checksum_ok(ip.source, ip.destination, ip.payload), "every segment has a good checksum");
            let (header, text) = tcp::parse(ip.payload).ok()?;
            let text = text.to_vec();
            Some(Sent { at: now, header, text, packet })
        });
        let segments: Vec<Sent> = segments.collect();
        for segment in &segments {
            if let Some(timestamp) = segment.header.options.timestamp {
                self.last_tsval = timestamp.value;
            }
        }
        segments
    }

    /// All packets that the stack sends now.
    pub fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        // What the stack sends to itself takes turns.
        for _ in 0..10_000 {
            let progress = self.stack.transmit(self.now, 100_000, |transmit| {
                packets.push(transmit.to_vec());
                self.notes.extend(transmit.note.map(ToString::to_string));
                Ok(())
            });
            if progress == Progress::Idle && self.stack.is_quiet() {
                return packets;
            }
        }
        unreachable!("the stack sends without end");
    }

    /// The single segment that the stack sends now.
    #[track_caller]
    pub fn sent_one(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "exactly one segment: {sent:#?}");
        sent.remove(0)
    }

    /// Asserts that the stack sends nothing now.
    #[track_caller]
    pub fn silence(&mut self) {
        let sent = self.sent();
        assert!(sent.is_empty(), "nothing is to be sent: {sent:#?}");
    }

    /// A header from the peer with the script's numbers.
    pub fn header(&self, flags: Flags) -> TcpHeader {
        let ack = if flags.contains(Flags::ACK) { self.ack } else { 0 };
        let timestamp = self.timestamp.map(|value| Timestamp { value, echo: self.last_tsval });
        TcpHeader {
            source_port: self.peer.port(),
            destination_port: self.local.port(),
            seq: self.seq,
            ack,
            flags,
            window: self.window,
            urgent: 0,
            options: TcpOptions { timestamp, ..TcpOptions::default() },
        }
    }

    /// The packet of a segment from the peer.
    pub fn packet(&self, header: &TcpHeader, text: &[u8]) -> Vec<u8> {
        packet_of_class(self.peer.ip(), self.local.ip(), self.ecn, header, text)
    }

    /// Delivers a segment without looking at the answer.
    pub fn deliver(&mut self, header: &TcpHeader, text: &[u8]) -> Option<DropReason> {
        let packet = self.packet(header, text);
        self.deliver_packet(&packet)
    }

    /// Delivers any packet without looking at the answer.
    pub fn deliver_packet(&mut self, packet: &[u8]) -> Option<DropReason> {
        let dropped = self.stack.handle_packet(self.now, packet, &RxMeta::plain(packet.len()));
        self.notes.extend(self.stack.take_note().map(|note| note.to_string()));
        dropped
    }

    /// Delivers a segment and returns what is sent in answer.
    pub fn inject(&mut self, header: &TcpHeader, text: &[u8]) -> Vec<Sent> {
        self.deliver(header, text);
        self.sent()
    }

    /// The peer sends text in order, acknowledging everything, and its sequence number moves on.
    pub fn peer_sends(&mut self, text: &[u8]) -> Vec<Sent> {
        let header = self.header(Flags::ACK | Flags::PSH);
        self.seq = self.seq.wrapping_add(text.len() as u32);
        self.inject(&header, text)
    }

    /// The peer acknowledges everything up to `ack`.
    pub fn peer_acks(&mut self, ack: u32) -> Vec<Sent> {
        self.ack = ack;
        let header = self.header(Flags::ACK);
        self.inject(&header, &[])
    }

    /// The peer sends a FIN, acknowledging everything.
    pub fn peer_closes(&mut self) -> Vec<Sent> {
        let header = self.header(Flags::ACK | Flags::FIN);
        self.seq = self.seq.wrapping_add(1);
        self.inject(&header, &[])
    }

    /// Listens on the script's address.
    pub fn listen(&mut self) -> ListenerHandle {
        let options = self.stack.config().tcp.socket;
        self.listen_with(16, options)
    }

    /// Listens with a backlog and options.
    pub fn listen_with(&mut self, backlog: u32, options: SocketOptions) -> ListenerHandle {
        self.stack.tcp_listen(self.local, backlog, options).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// Delivers a SYN of the peer with these options and returns the SYN-ACK; the script's numbers follow.
    pub fn peer_syn(&mut self, options: TcpOptions) -> Vec<Sent> {
        let header = TcpHeader { options, ..self.header(Flags::SYN | self.syn_bits) };
        self.timestamp = options.timestamp.map(|timestamp| timestamp.value);
        let sent = self.inject(&header, &[]);
        self.seq = self.seq.wrapping_add(1);
        if let Some(syn_ack) = sent.first() {
            self.ack = syn_ack.header.seq.wrapping_add(1);
            if syn_ack.header.options.timestamp.is_none() {
                self.timestamp = None;
            }
        }
        sent
    }

    /// A whole handshake with a listener on the script's address; the peer's options are MSS 1460 alone.
    pub fn accept(&mut self) -> TcpHandle {
        let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
        self.accept_with(options)
    }

    /// A whole handshake with a listener on the script's address.
    pub fn accept_with(&mut self, options: TcpOptions) -> TcpHandle {
        let listener = match self.stack.listener_at(self.local) {
            Some(listener) => listener,
            None => self.listen(),
        };
        let sent = self.peer_syn(options);
        assert_eq!(sent.len(), 1, "one SYN-ACK: {sent:#?}");
        let header = self.header(Flags::ACK);
        self.inject(&header, &[]);
        self.stack.tcp_accept(listener).unwrap_or_else(|error| unreachable!("accept: {error}")).0
    }

    /// An active open by the stack towards the peer, up to its SYN; the script's `ack` follows.
    pub fn connect(&mut self) -> (TcpHandle, Sent) {
        let options = self.stack.config().tcp.socket;
        let handle = self
            .stack
            .tcp_connect(self.now, Some(self.local), self.peer, options)
            .unwrap_or_else(|error| unreachable!("connect: {error}"));
        let syn = self.sent_one();
        self.ack = syn.header.seq.wrapping_add(1);
        (handle, syn)
    }

    /// A whole active open; the peer's options are MSS 1460 alone.
    pub fn connect_established(&mut self) -> TcpHandle {
        let (handle, _) = self.connect();
        let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
        let header = TcpHeader { options, ..self.header(Flags::SYN | Flags::ACK | self.syn_bits) };
        self.seq = self.seq.wrapping_add(1);
        self.inject(&header, &[]);
        handle
    }

    /// Sends text by the application and returns what leaves.
    pub fn send(&mut self, handle: TcpHandle, text: &[u8]) -> Vec<Sent> {
        self.stack.tcp_send(self.now, handle, text).unwrap_or_else(|error| unreachable!("send: {error}"));
        self.sent()
    }

    /// Reads everything that waits.
    pub fn receive(&mut self, handle: TcpHandle) -> Vec<u8> {
        let mut text = vec![0; 1 << 21];
        match self.stack.tcp_receive(self.now, handle, &mut text) {
            Ok(read) => text.truncate(read),
            Err(_) => text.clear(),
        }
        text
    }
}

impl Default for Script {
    fn default() -> Script {
        Script::new()
    }
}

/// A packet that carries one segment.
pub fn packet(source: IpAddr, destination: IpAddr, header: &TcpHeader, text: &[u8]) -> Vec<u8> {
    packet_of_class(source, destination, 0, header, text)
}

/// The same with this TOS octet or traffic class.
fn packet_of_class(source: IpAddr, destination: IpAddr, traffic_class: u8, header: &TcpHeader, text: &[u8]) -> Vec<u8> {
    let ip_len = if source.is_ipv6() { 40 } else { 20 };
    let mut bytes = vec![0; ip_len + 60 + text.len()];
    let tcp_len = tcp::emit(header, &mut bytes[ip_len..]);
    let ip = IpHeader {
        source,
        destination,
        protocol: protocol::TCP,
        hop_limit: 64,
        traffic_class,
        identification: 0,
        dont_fragment: true,
    };
    emit_ip(&ip, tcp_len + text.len(), &mut bytes);
    tcp::fill_checksum(source, destination, &mut bytes[ip_len..ip_len + tcp_len], &[text]);
    bytes.truncate(ip_len + tcp_len);
    bytes.extend_from_slice(text);
    bytes
}
