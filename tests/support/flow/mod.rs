//! What the tests of windows, acknowledgments, timers and recovery share.
#![allow(dead_code)] // Each of them uses a part.

pub mod ten;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Sent, Side, World};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::snapshot::Snapshot;
use glasstcp::time::Instant;
use glasstcp::wire::option::{OptionOrder, SackBlocks, TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::{parse_ip, tcp};

/// Octets of text in a full segment without options.
pub const MSS: usize = 1_460;

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Text whose octets tell where they belong.
pub fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// A connection that a listener of the script has taken, from a peer with MSS 1460 and no other option.
pub fn accepted(change: impl FnOnce(&mut Config)) -> (Script, TcpHandle) {
    let mut script = Script::with(change);
    let handle = script.accept();
    script.sent();
    (script, handle)
}

/// The same with a peer that wants SACK.
pub fn accepted_with_sack(change: impl FnOnce(&mut Config)) -> (Script, TcpHandle) {
    let mut script = Script::with(change);
    let handle = script.accept_with(TcpOptions { mss: Some(1_460), sack_permitted: true, ..TcpOptions::default() });
    script.sent();
    (script, handle)
}

/// The options of a peer that wants SACK.
pub const SACK: TcpOptions = TcpOptions {
    mss: Some(1_460),
    window_scale: Some(7),
    sack_permitted: true,
    timestamp: None,
    sack: SackBlocks::EMPTY,
    fast_open: None,
    accurate_ecn: None,
    order: OptionOrder::Linux,
};

/// A connection over a path with a round trip, from a peer with these options.
pub fn accepted_over(
    round_trip: Duration,
    options: TcpOptions,
    change: impl FnOnce(&mut Config),
) -> (Script, TcpHandle) {
    let mut script = Script::with(change);
    let listener = script.listen();
    script.peer_syn(options);
    script.now += round_trip;
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    let (handle, _) = script.stack.tcp_accept(listener).expect("accepted");
    (script, handle)
}

/// The same with a peer that wants timestamps; its clock shows `value`.
pub fn accepted_with_timestamps(value: u32, change: impl FnOnce(&mut Config)) -> (Script, TcpHandle) {
    let mut script = Script::with(change);
    let timestamp = Some(Timestamp { value, echo: 0 });
    let handle = script.accept_with(TcpOptions { mss: Some(1_460), timestamp, ..TcpOptions::default() });
    script.sent();
    (script, handle)
}

pub fn look(script: &Script, handle: TcpHandle) -> Snapshot {
    script.stack.tcp_snapshot(handle).expect("the connection is there")
}

/// When the retransmission timer expires, if it runs.
pub fn retransmit_at(script: &Script, handle: TcpHandle) -> Option<Instant> {
    script.stack.tcp_connection(handle).and_then(|connection| connection.deadlines.retransmit.at())
}

/// The peer acknowledges up to `ack` with this window field.
pub fn ack(script: &mut Script, ack: u32, window: u16) -> Vec<Sent> {
    script.window = window;
    script.peer_acks(ack)
}

/// The peer repeats its last acknowledgment, with these SACK blocks.
pub fn duplicate_ack(script: &mut Script, sack: &[(u32, u32)]) -> Vec<Sent> {
    let mut header = script.header(Flags::ACK);
    header.options.sack = blocks(sack);
    script.inject(&header, &[])
}

pub fn blocks(ranges: &[(u32, u32)]) -> SackBlocks {
    let mut sack = SackBlocks::default();
    for &(left, right) in ranges {
        assert!(sack.push(left, right));
    }
    sack
}

/// Text of the peer `offset` octets beyond what it sent last in order; its numbers stay where they are.
pub fn peer_sends_at(script: &mut Script, offset: u32, text: &[u8]) -> Vec<Sent> {
    let header = header_at(script, offset);
    script.inject(&header, text)
}

pub fn header_at(script: &Script, offset: u32) -> TcpHeader {
    TcpHeader { seq: script.seq.wrapping_add(offset), ..script.header(Flags::ACK | Flags::PSH) }
}

/// Octets of text in these segments.
pub fn octets(sent: &[Sent]) -> usize {
    sent.iter().map(|segment| segment.text.len()).sum()
}

/// The sequence number after the last octet of text of these segments.
pub fn end(sent: &[Sent]) -> u32 {
    let last = sent.last().expect("something was sent");
    last.header.seq.wrapping_add(last.text.len() as u32)
}

/// Two stacks with one connection between them: the client on side A, the server on side B.
pub struct Flow {
    pub world: World,
    pub client: TcpHandle,
    pub server: TcpHandle,
    /// Octets that the server has read.
    pub read: Vec<u8>,
}

/// The settings of the host 10.0.0.`host`.
pub fn host(host: u8, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new(&[format!("10.0.0.{host}/24").parse().expect("an address")]);
    change(&mut config);
    config
}

impl Flow {
    /// A connection over such a link, both hosts with such settings.
    pub fn open(impairment: Impairment, seed: u64, change: impl Fn(&mut Config)) -> Flow {
        let configs = [host(1, &change), host(2, &change)];
        let mut world = World::new(configs, [impairment; 2], seed).expect("good settings");
        let to = "10.0.0.2:80".parse().expect("an address");
        let now = world.now();
        let listener = world.stack(Side::B).tcp_listen(to, 8, change_options(&change)).expect("listen");
        let options = change_options(&change);
        let client = world.stack(Side::A).tcp_connect(now, None, to, options).expect("connect");
        let mut server = None;
        let open = world.run_until(secs(200), |world| {
            server = world.stack(Side::B).tcp_accept(listener).ok();
            server.is_some()
        });
        assert!(open, "the connection opens");
        let (server, _) = server.expect("accepted");
        Flow { world, client, server, read: Vec::new() }
    }

    pub fn client(&mut self) -> Snapshot {
        let client = self.client;
        self.world.stack(Side::A).tcp_snapshot(client).expect("the client is there")
    }

    /// The client sends so much and the server reads it, `watch` looks on after each event; false if it takes too long.
    pub fn transfer(&mut self, len: usize, limit: Duration, mut watch: impl FnMut(&mut World)) -> bool {
        let data = text(len);
        let (client, server) = (self.client, self.server);
        let (mut sent, mut buffer) = (0, vec![0; 1 << 16]);
        let read = &mut self.read;
        read.clear();
        let done = self.world.run_until(limit, |world| {
            let now = world.now();
            if sent < data.len() {
                sent += world.stack(Side::A).tcp_send(now, client, &data[sent..]).unwrap_or(0);
            }
            while let Ok(octets @ 1..) = world.stack(Side::B).tcp_receive(now, server, &mut buffer) {
                read.extend_from_slice(&buffer[..octets]);
            }
            world.flush();
            watch(world);
            read.len() >= data.len()
        });
        assert!(data.starts_with(read), "what is read is what was sent");
        done
    }
}

fn change_options(change: &impl Fn(&mut Config)) -> glasstcp::tcp::config::SocketOptions {
    let mut config = Config::default();
    change(&mut config);
    config.tcp.socket
}

/// One packet as it was put on the link.
#[derive(Clone, Debug)]
pub struct Seen {
    pub number: u64,
    pub header: TcpHeader,
    pub len: usize,
}

pub type Log = Arc<Mutex<Vec<Seen>>>;

/// Notes each segment that leaves `side`, and loses those of which `lose` says so.
pub fn tap(world: &mut World, side: Side, mut lose: impl FnMut(&Seen) -> bool + Send + 'static) -> Log {
    let log = Log::default();
    let noted = log.clone();
    world.link().direction_mut(side).set_drop_if(Some(Box::new(move |packet, number| {
        let ip = parse_ip(packet).expect("a packet");
        let (header, text) = tcp::parse(ip.payload).expect("a segment");
        let seen = Seen { number, header, len: text.len() };
        let lost = lose(&seen);
        noted.lock().expect("no panic").push(seen);
        lost
    })));
    log
}
