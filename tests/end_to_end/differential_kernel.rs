//! The end that is the kernel's: a socket of its own, behind a TUN.
//!
//! One TUN serves both ends of a conversation between the kernel and itself: each end has a network of its own behind it,
//! 10.0.0.0/24 and 10.0.1.0/24, and what leaves one is given the addresses of the other on the way.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read as _, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use glasstcp::device::poll::{self, PollFd};
use glasstcp::device::tun::TunDevice;
use glasstcp::device::{Device, TxMeta};
use glasstcp::time::Instant;
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::{parse_ip, protocol, tcp};
use socket2::{Domain, Socket, Type};

use super::differential::shared::endpoint::{Endpoint, Read, Setup};
use super::differential::shared::run::Clock;

/// The longest time for which nobody looks at the sockets.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// As long a silence as no retransmission takes: the kernel's timeouts are 200 ms and more.
const QUIET: Duration = Duration::from_millis(450);
/// From here on the kernel tunes the buffer itself.
const TUNED: u32 = 256 << 10;

/// The TUN, with what it has for either end.
pub struct Tun {
    device: TunDevice,
    waiting: [VecDeque<Vec<u8>>; 2],
}

/// The address of the kernel's end number `side` in its namespace, and what it takes its peer for.
pub fn inside(side: usize, ipv6: bool) -> [IpAddr; 2] {
    [1, 2].map(|host| {
        let text = if ipv6 { format!("fd00:{}::{host}", 67 + side) } else { format!("10.0.{side}.{host}") };
        text.parse().expect("an address")
    })
}

impl Tun {
    /// The TUN of this name in this namespace.
    pub fn open(name: &str) -> Rc<RefCell<Tun>> {
        let device = TunDevice::open(name).unwrap_or_else(|error| panic!("{error}"));
        Rc::new(RefCell::new(Tun { device, waiting: Default::default() }))
    }

    fn take(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let len = match self.device.receive(&mut buffer) {
                Ok(meta) => meta.len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the TUN is gone: {error}"),
            };
            let packet = &buffer[..len];
            let Ok(ip) = parse_ip(packet) else { continue };
            let sender = (0..2).find(|&side| inside(side, ip.source.is_ipv6())[0] == ip.source);
            if let (Some(side), protocol::TCP) = (sender, ip.protocol) {
                self.waiting[side].push_back(packet.to_vec());
            }
        }
    }

    fn give(&self, packet: &[u8]) {
        match self.device.transmit(&[IoSlice::new(packet)], &TxMeta::default()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the TUN is gone: {error}"),
        }
    }
}

/// The packet with other addresses.
fn rewrite(packet: &[u8], source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let header = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = usize::from(packet[0] & 15) * 4;
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            packet[10..12].fill(0);
            let mut sum = Checksum::new();
            sum.add(&packet[..header]);
            let sum = sum.finish();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
            40
        }
        _ => unreachable!("both are of one family"),
    };
    tcp::fill_checksum(source, destination, &mut packet[header..], &[]);
    packet
}

/// The kernel, with one socket.
pub struct Kernel {
    setup: Setup,
    /// 0 if it opens the connection.
    side: usize,
    tun: Rc<RefCell<Tun>>,
    socket: Option<Socket>,
    stream: Option<TcpStream>,
    failed: bool,
}

impl Kernel {
    pub fn new(setup: Setup, side: usize, tun: &Rc<RefCell<Tun>>) -> Kernel {
        Kernel { setup, side, tun: Rc::clone(tun), socket: None, stream: None, failed: false }
    }

    fn socket(&self) -> Socket {
        let domain = Domain::for_address(self.setup.local);
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("a socket that does not block");
        socket.set_reuse_address(true).expect("a port that can be used again");
        if self.setup.receive_capacity < TUNED {
            socket.set_recv_buffer_size(self.setup.receive_capacity as usize).expect("a receive buffer");
        }
        let [local, _] = inside(self.side, self.setup.local.is_ipv6());
        socket.bind(&SocketAddr::new(local, self.setup.local.port()).into()).expect("an address");
        socket
    }

    fn begin(&mut self, stream: TcpStream) {
        stream.set_nonblocking(true).expect("a stream that does not block");
        stream.set_nodelay(self.setup.nodelay).expect("a stream with Nagle's algorithm or without");
        self.stream = Some(stream);
    }
}

impl Endpoint for Kernel {
    fn listen(&mut self, _: Instant) {
        let socket = self.socket();
        socket.listen(4).expect("a listener");
        self.socket = Some(socket);
    }

    fn connect(&mut self, _: Instant) {
        let socket = self.socket();
        let [_, peer] = inside(self.side, self.setup.local.is_ipv6());
        // It is in progress, which is an error of its own.
        socket.connect(&SocketAddr::new(peer, self.setup.remote.port()).into()).ok();
        self.begin(socket.into());
    }

    fn receive(&mut self, _: Instant, packet: &[u8]) {
        let [local, peer] = inside(self.side, self.setup.local.is_ipv6());
        self.tun.borrow().give(&rewrite(packet, peer, local));
    }

    fn transmit(&mut self, _: Instant, packets: &mut Vec<Vec<u8>>) {
        let mut tun = self.tun.borrow_mut();
        tun.take();
        let (local, remote) = (self.setup.local, self.setup.remote);
        let ours = |packet: &Vec<u8>| {
            let header = parse_ip(packet).ok().and_then(|ip| Some(tcp::parse(ip.payload).ok()?.0));
            header.is_some_and(|header| header.source_port == local.port())
        };
        packets.extend(
            tun.waiting[self.side].drain(..).filter(ours).map(|packet| rewrite(&packet, local.ip(), remote.ip())),
        );
    }

    fn next(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn is_open(&mut self, _: Instant) -> bool {
        if self.stream.is_none()
            && let Some((socket, _)) = self.socket.as_ref().and_then(|socket| socket.accept().ok())
        {
            self.begin(socket.into());
        }
        self.stream.as_ref().is_some_and(|stream| stream.peer_addr().is_ok())
    }

    fn has_failed(&mut self) -> bool {
        self.failed |= self.stream.as_ref().is_some_and(|stream| matches!(stream.take_error(), Ok(Some(_))));
        self.failed
    }

    fn read(&mut self, _: Instant, buffer: &mut [u8]) -> Read {
        let Some(stream) = &mut self.stream else { return Read::Nothing };
        match stream.read(buffer) {
            Ok(0) => Read::End,
            Ok(count) => Read::Octets(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::Failed,
        }
    }

    fn write(&mut self, _: Instant, octets: &[u8]) -> usize {
        self.stream.as_mut().and_then(|stream| stream.write(octets).ok()).unwrap_or(0)
    }

    fn shutdown(&mut self, _: Instant) {
        if let Some(stream) = &self.stream {
            stream.shutdown(std::net::Shutdown::Write).ok();
        }
    }

    fn close(&mut self, _: Instant) {
        self.stream = None;
    }

    fn abort(&mut self, _: Instant) {
        if let Some(stream) = self.stream.take() {
            Socket::from(stream).set_linger(Some(Duration::ZERO)).expect("a linger of zero");
        }
    }
}

/// The real clock, which is awake whenever the TUN has something.
pub struct Real {
    started: std::time::Instant,
    origin: Instant,
    tun: Rc<RefCell<Tun>>,
}

impl Real {
    pub fn new(origin: Instant, tun: &Rc<RefCell<Tun>>) -> Real {
        Real { started: std::time::Instant::now(), origin, tun: Rc::clone(tun) }
    }
}

impl Clock for Real {
    fn now(&mut self) -> Instant {
        self.origin + self.started.elapsed()
    }

    fn wait(&mut self, until: Option<Instant>) {
        let now = self.now();
        let time = until.map_or(LOOK_EVERY, |until| until.saturating_since(now).min(LOOK_EVERY));
        let tun = self.tun.borrow();
        let mut fds = [PollFd::new(tun.device.as_fd().expect("the descriptor of a TUN"), false)];
        poll::poll(&mut fds, Some(time)).expect("poll");
    }

    fn quiet(&self) -> Duration {
        QUIET
    }
}
