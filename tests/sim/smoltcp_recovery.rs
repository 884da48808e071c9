//! Ours and smoltcp as senders over the same lossy path, in virtual time: one sends to the other for some seconds, and then
//! the other way round. Buffers are the same size both ways. scripts/recovery.sh prints the table.

use std::cell::Cell;
use std::time::Duration;

use crate::smoltcp_device::Queues;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::device::link::{Link, Side};
use glasstcp::rng::KeyedRng;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::time::Instant;
use glasstcp::{Config, Stack};
use smoltcp::iface::{self, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

const OURS: u16 = 5_000;
const THEIRS: u16 = 6_000;
const TIME: Duration = Duration::from_secs(20);
const RATE: u64 = 10_000_000;
/// Octets of each buffer: enough for the longest path here.
const BUFFER: usize = 512 << 10;
const RTTS_MS: [u64; 3] = [1, 20, 100];
/// In a hundredth of a percent.
const LOSSES: [u32; 4] = [0, 10, 100, 500];

thread_local! {
    /// smoltcp asks for timestamps by a function without an argument.
    static MILLIS: Cell<u32> = const { Cell::new(0) };
}

/// One path, one sender.
#[derive(Clone, Copy, Debug)]
struct Cellular {
    rtt: Duration,
    loss: u32,
    sender: Sender,
    /// Decides what is lost.
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Ours(Algorithm),
    Theirs(tcp::CongestionControl),
}

struct Run {
    cell: Cellular,
    now: Instant,
    link: Link,
    received: u64,
    stack: Stack,
    handle: TcpHandle,
    iface: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

fn smol_now(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(now.as_micros() as i64)
}

impl Run {
    /// Ours opens the connection, whoever sends.
    fn new(cell: Cellular) -> Run {
        let now = Instant::from_secs(1_000);
        let mut stack =
            Stack::new(Config::new(&["10.0.0.1/24".parse().unwrap()]), KeyedRng::from_seed(1), now).unwrap();
        let mut device = Queues { mtu: 1_500, ..Queues::default() };
        let mut settings = iface::Config::new(HardwareAddress::Ip);
        settings.random_seed = 1;
        let mut iface = Interface::new(settings, &mut device, smol_now(now));
        iface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24)).unwrap());
        let [receive, send] = [0, 1].map(|_| tcp::SocketBuffer::new(vec![0; BUFFER]));
        let mut socket = tcp::Socket::new(receive, send);
        socket.set_tsval_generator(Some(|| MILLIS.get()));
        if let Sender::Theirs(control) = cell.sender {
            socket.set_congestion_control(control);
        }
        socket.listen(THEIRS).unwrap();
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        let capacity = Some(BUFFER as u32);
        let congestion = if let Sender::Ours(algorithm) = cell.sender { algorithm } else { Algorithm::default() };
        let options = SocketOptions {
            receive_capacity: capacity,
            send_capacity: capacity,
            congestion,
            ..SocketOptions::default()
        };
        let (local, remote) = (format!("10.0.0.1:{OURS}"), format!("10.0.0.2:{THEIRS}"));
        let handle = stack.tcp_connect(now, Some(local.parse().unwrap()), remote.parse().unwrap(), options).unwrap();
        // Text meets the loss; what comes back does not.
        let bdp = (u128::from(RATE) * cell.rtt.as_nanos() / 8_000_000_000) as usize;
        let back = Impairment::perfect().rate(RATE).delay(cell.rtt / 2).queue(bdp.max(15_000));
        let forward = back.loss(cell.loss * 100);
        let ours = matches!(cell.sender, Sender::Ours(_));
        let link = if ours { Link::new(forward, back, cell.seed) } else { Link::new(back, forward, cell.seed) };
        Run { cell, now, link, received: 0, stack, handle, iface, device, sockets, socket }
    }

    fn flush(&mut self) {
        let (now, link) = (self.now, &mut self.link);
        self.stack.transmit(now, 100_000, |transmit| {
            link.send(now, Side::A, transmit.to_vec());
            Ok(())
        });
        MILLIS.set(now.as_millis() as u32);
        for _ in 0..10_000 {
            let changed = self.iface.poll(smol_now(now), &mut self.device, &mut self.sockets);
            let idle = self.device.sent.is_empty();
            while let Some(packet) = self.device.sent.pop_front() {
                link.send(now, Side::B, packet);
            }
            if changed == PollResult::None && idle {
                return;
            }
        }
        panic!("{now:?}: smoltcp sends without end");
    }

    /// The applications: the sender writes all it may, the receiver reads all there is.
    fn act(&mut self) {
        let mut text = [0; 1 << 14];
        let socket = self.sockets.get_mut::<tcp::Socket>(self.socket);
        if self.cell.sender == Sender::Theirs(socket.congestion_control()) {
            while socket.can_send() && socket.send_slice(&text).is_ok_and(|sent| sent > 0) {}
            while let Ok(read @ 1..) = self.stack.tcp_receive(self.now, self.handle, &mut text) {
                self.received += read as u64;
            }
        } else {
            while self.stack.tcp_send(self.now, self.handle, &text).is_ok() {}
            while socket.can_recv() {
                self.received += socket.recv_slice(&mut text).unwrap() as u64;
            }
        }
    }

    /// Goodput in kbit/s.
    fn run(mut self) -> u64 {
        let end = self.now + TIME;
        loop {
            while self.stack.poll_ready().is_some() {}
            self.act();
            self.flush();
            let theirs = self.iface.poll_at(smol_now(self.now), &self.sockets);
            let theirs = theirs.map(|at| Instant::from_micros(at.total_micros().max(0) as u64));
            let all = [self.stack.next_deadline(), self.link.next_arrival(), theirs];
            let Some(at) = all.into_iter().flatten().min().filter(|&at| at <= end) else { break };
            self.now = self.now.max(at);
            while let Some(arrived) = self.link.receive(self.now, Side::A) {
                self.stack.handle_packet(self.now, &arrived.packet, &RxMeta::plain(arrived.packet.len()));
            }
            while let Some(arrived) = self.link.receive(self.now, Side::B) {
                self.device.received.push_back(arrived.packet);
            }
            self.stack.handle_deadline(self.now);
        }
        self.received * 8 / TIME.as_millis() as u64
    }
}

/// Runs of a lossy cell, of which the mean counts: at 1 % and 100 ms only some 30 losses decide about one.
const SEEDS: u64 = 4;

/// Lossy cells in which smoltcp, with the best of its controllers, is ahead of one of ours.
const BEHIND: &[&str] = &[];

#[test]
fn ours_is_ahead_of_smoltcp_wherever_packets_are_lost() {
    use tcp::CongestionControl::{Cubic, None, Reno};
    let time = TIME.as_secs();
    println!("smoltcp: begin");
    println!(
        "10 Mb/s, a queue of one bandwidth-delay product, {time} s of virtual time, one way; goodput in kbit/s, the mean of {SEEDS} runs.\n"
    );
    let names: String = Algorithm::ALL.iter().map(|algorithm| format!(" ours, {algorithm} |")).collect();
    println!("| round trip, ms | loss, % |{names} smoltcp, cubic | smoltcp, reno | smoltcp, none |");
    println!("|---:|---:|{}", "---:|".repeat(Algorithm::ALL.len() + 3));
    let mut behind = Vec::new();
    for rtt_ms in RTTS_MS {
        for loss in LOSSES {
            let seeds = if loss > 0 { SEEDS } else { 1 };
            let run = |sender| {
                let one = |seed| Run::new(Cellular { rtt: Duration::from_millis(rtt_ms), loss, sender, seed }).run();
                (1..=seeds).map(one).sum::<u64>() / seeds
            };
            let ours = Algorithm::ALL.iter().map(|&algorithm| (algorithm, run(Sender::Ours(algorithm))));
            let ours: Vec<(Algorithm, u64)> = ours.collect();
            let theirs = [Cubic, Reno, None].map(|control| run(Sender::Theirs(control)));
            let rates: Vec<u64> = ours.iter().map(|&(_, rate)| rate).chain(theirs).collect();
            let best = theirs.into_iter().max().unwrap();
            assert!(rates.iter().all(|&rate| rate > 0), "{rtt_ms} ms, {loss}: nothing came through");
            let shown: String = rates.iter().map(|rate| format!(" {rate} |")).collect();
            println!("| {rtt_ms} | {}.{:02} |{shown}", loss / 100, loss % 100);
            let slower = ours.iter().filter(|&&(_, rate)| loss > 0 && rate <= best);
            behind.extend(slower.map(|(algorithm, _)| format!("{algorithm}, {rtt_ms} ms, {loss}")));
        }
    }
    println!("smoltcp: end");
    assert_eq!(behind, BEHIND, "smoltcp is ahead");
}
