//! One stack with many connections, and the peers of all of them: for benches, instruction counts and tests of memory.
//!
//! A peer is a few numbers. What it sends is made outside of what is measured, and nothing here allocates once the
//! connections are open, so that what is seen is the stack's.
#![allow(dead_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::script::packet;
use glasstcp::stack::{ListenerHandle, Progress, Stack, TcpHandle};
use glasstcp::time::Instant;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

/// Our address.
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Our port.
const PORT: u16 = 80;
/// The first port of a peer; each address has so many.
const FIRST_PORT: u16 = 1_024;
const PORTS: usize = 60_000;
/// Octets of text in a full-sized segment.
pub const MSS: usize = 1_460;
/// How the peers scale their windows.
const SCALE: u8 = 7;

/// The peer of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The stack's end.
    pub handle: TcpHandle,
    /// Its next sequence number.
    pub seq: u32,
    /// The next one that it expects.
    pub ack: u32,
}

/// The stack and the peers.
pub struct Bed {
    pub stack: Stack,
    pub now: Instant,
    pub peers: Vec<Peer>,
    listener: ListenerHandle,
    /// Text to send and to receive into.
    pub text: Vec<u8>,
}

impl Bed {
    /// With this many connections.
    pub fn new(connections: usize) -> Bed {
        Bed::with(connections, |_| {})
    }

    /// With this many connections and changed settings.
    pub fn with(connections: usize, change: impl FnOnce(&mut Config)) -> Bed {
        let mut config = Config::new(&["10.0.0.2/8".parse().expect("an address")]);
        // As `glasstcp serve` has it.
        config.tcp.socket.nodelay = true;
        config.tcp.socket.keep_alive = true;
        config.tcp.socket.keep_alive_idle = Duration::from_secs(7_200);
        change(&mut config);
        let (now, options) = (Instant::from_secs(1_000), config.tcp.socket);
        let mut stack = Stack::new(config, KeyedRng::from_seed(1), now).expect("the settings are good");
        let listener = stack.tcp_listen(SocketAddr::new(LOCAL.into(), PORT), 128, options).expect("the port is free");
        let mut bed = Bed { stack, now, peers: Vec::with_capacity(connections), listener, text: vec![0x67; 1 << 20] };
        (0..connections).for_each(|_| bed.open());
        bed
    }

    /// The address and port of a peer.
    fn remote(index: usize) -> SocketAddr {
        let address = u32::from(Ipv4Addr::new(10, 1, 0, 1)) + (index / PORTS) as u32;
        SocketAddr::new(Ipv4Addr::from(address).into(), FIRST_PORT + (index % PORTS) as u16)
    }

    /// One more connection, by a handshake.
    fn open(&mut self) {
        let index = self.peers.len();
        let options = TcpOptions { mss: Some(MSS as u16), window_scale: Some(SCALE), ..TcpOptions::default() };
        let syn = self.packet_of(index, TcpHeader { seq: 999, flags: Flags::SYN, options, ..TcpHeader::default() }, 0);
        self.deliver(&syn);
        let mut iss = 0;
        let progress = self.stack.transmit(self.now, 2, |transmit| {
            iss = u32::from_be_bytes(transmit.header[24..28].try_into().expect("four octets"));
            Ok(())
        });
        assert_eq!(progress, Progress::Idle, "a SYN is answered once");
        let (seq, ack) = (1_000, iss.wrapping_add(1));
        let ack_packet = self.packet_of(index, TcpHeader { seq, ack, flags: Flags::ACK, ..TcpHeader::default() }, 0);
        self.deliver(&ack_packet);
        let (handle, _) = self.stack.tcp_accept(self.listener).expect("a connection waits");
        self.peers.push(Peer { handle, seq, ack });
        self.drain_ready();
        self.transmit();
    }

    fn packet_of(&self, index: usize, header: TcpHeader, text: usize) -> Vec<u8> {
        let remote = Bed::remote(index);
        let header = TcpHeader { source_port: remote.port(), destination_port: PORT, window: 65_535, ..header };
        packet(remote.ip(), IpAddr::V4(LOCAL), &header, &self.text[..text])
    }

    /// The peer's next segment, with `text` octets; its sequence number moves on.
    pub fn segment(&mut self, index: usize, text: usize) -> Vec<u8> {
        let segment = self.segment_at(index, 0, text);
        self.peers[index].seq = self.peers[index].seq.wrapping_add(text as u32);
        segment
    }

    /// A segment that begins `ahead` octets beyond the peer's next one.
    pub fn segment_at(&self, index: usize, ahead: u32, text: usize) -> Vec<u8> {
        let Peer { seq, ack, .. } = self.peers[index];
        let seq = seq.wrapping_add(ahead);
        self.packet_of(index, TcpHeader { seq, ack, flags: Flags::ACK | Flags::PSH, ..TcpHeader::default() }, text)
    }

    /// The peer's acknowledgment of `octets` octets more.
    pub fn ack(&mut self, index: usize, octets: usize) -> Vec<u8> {
        self.peers[index].ack = self.peers[index].ack.wrapping_add(octets as u32);
        self.segment_at(index, 0, 0)
    }

    /// A packet arrives.
    pub fn deliver(&mut self, packet: &[u8]) {
        let dropped = self.stack.handle_packet(self.now, packet, &RxMeta::plain(packet.len()));
        assert_eq!(dropped, None, "the peer sends nothing bad");
    }

    /// Looks at everything that is ready; the answer is how much that was.
    pub fn drain_ready(&mut self) -> usize {
        std::iter::from_fn(|| self.stack.poll_ready()).count()
    }

    /// Reads what has arrived on a connection.
    pub fn read(&mut self, index: usize) -> usize {
        self.stack.tcp_receive(self.now, self.peers[index].handle, &mut self.text).unwrap_or(0)
    }

    /// Queues `octets` octets on a connection.
    pub fn send(&mut self, index: usize, octets: usize) {
        let sent = self.stack.tcp_send(self.now, self.peers[index].handle, &self.text[..octets]);
        assert_eq!(sent, Ok(octets), "there is room");
    }

    /// Sends all that is due; the answer is how many packets left.
    pub fn transmit(&mut self) -> usize {
        let mut packets = 0;
        self.stack.transmit(self.now, usize::MAX, |_| {
            packets += 1;
            Ok(())
        });
        packets
    }

    /// Time passes, and deadlines are handled.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.stack.handle_deadline(self.now);
    }

    /// A request of `octets` octets has arrived in `packet`: it is read, and answered with as many.
    pub fn answer(&mut self, index: usize, packet: &[u8], octets: usize) {
        self.pass(Duration::from_micros(1));
        self.deliver(packet);
        self.drain_ready();
        let read = self.read(index);
        assert_eq!(read, octets, "a request in one piece");
        self.send(index, octets);
        assert_eq!(self.transmit(), 1, "an answer that acknowledges");
    }

    /// The next request on a connection; it acknowledges the answer to the last one.
    pub fn request(&mut self, index: usize, octets: usize) -> Vec<u8> {
        let request = self.segment(index, octets);
        self.peers[index].ack = self.peers[index].ack.wrapping_add(octets as u32);
        request
    }

    /// Widens the congestion windows of all connections: so many rounds of 64 KiB each way and back.
    pub fn warm_up(&mut self, rounds: usize) {
        for _ in 0..rounds {
            for index in 0..self.peers.len() {
                self.exchange_text(index, 44 * MSS);
            }
        }
    }

    /// Sends `octets` octets on a connection, with all their acknowledgments.
    pub fn exchange_text(&mut self, index: usize, octets: usize) {
        self.send(index, octets);
        self.pass(Duration::from_micros(1));
        loop {
            let mut sent = 0;
            self.stack.transmit(self.now, usize::MAX, |transmit| {
                sent += transmit.payload[0].len() + transmit.payload[1].len();
                Ok(())
            });
            if sent == 0 {
                break;
            }
            let ack = self.ack(index, sent);
            self.deliver(&ack);
        }
        self.drain_ready();
    }
}
