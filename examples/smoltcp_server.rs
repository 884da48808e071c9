//! smoltcp serving what `glasstcp serve` does, to compare the two: echo on port 7, discard on 9, characters on 19.
//!
//! One thread, large buffers, a plain TUN whose packets are read into one buffer that is used again (smoltcp's own TUN
//! allocates one for each), and several sockets per port, since a smoltcp socket is one connection.
//!
//! `cargo run --release --features cli --example smoltcp_server -- glass0 10.0.0.2/24 [BUFFER]`; `scripts/bench.sh` runs it.

use std::io::{ErrorKind, IoSlice, Write};
use std::time::{Duration, Instant as Clock};

use glasstcp::cli::chargen::byte_at;
use glasstcp::device::poll::{PollFd, poll};
use glasstcp::device::{Device, TxMeta, tun::TunDevice};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};

/// Octets in each of the two buffers of a socket, where nobody says.
const BUFFER: usize = 1 << 20;
/// Connections at a time for each service.
const SOCKETS: [(Service, usize); 3] = [(Service::Echo, 16), (Service::Discard, 8), (Service::Chargen, 8)];
/// The stream of characters begins again after 95 lines of 74 octets.
const PERIOD: usize = 95 * 74;
/// Longest IP packet.
const PACKET: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Echo = 7,
    Discard = 9,
    Chargen = 19,
}

type Failure = Box<dyn std::error::Error>;

/// The TUN as smoltcp wants to see it.
struct Tun {
    device: TunDevice,
    received: Vec<u8>,
    sent: Vec<u8>,
    failure: Option<std::io::Error>,
}

struct Received<'a>(&'a [u8]);

struct Room<'a> {
    device: &'a TunDevice,
    sent: &'a mut [u8],
}

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let packet = &mut self.sent[..len];
        let result = f(packet);
        // A packet that the device does not take is lost, as on any link.
        let _ = self.device.transmit(&[IoSlice::new(packet)], &TxMeta::default());
        result
    }
}

impl phy::Device for Tun {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        match self.device.receive(&mut self.received) {
            Ok(meta) => {
                Some((Received(&self.received[..meta.len]), Room { device: &self.device, sent: &mut self.sent }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room { device: &self.device, sent: &mut self.sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = self.device.capabilities().mtu;
        capabilities.medium = Medium::Ip;
        capabilities
    }
}

/// A socket that serves one connection after the other.
struct Server {
    handle: SocketHandle,
    service: Service,
    /// Of the characters: how many were sent.
    at: usize,
}

impl Server {
    /// Does what can be done now. True if something was done that may let a packet leave.
    fn work(&mut self, socket: &mut tcp::Socket<'_>, pattern: &[u8], echo: &mut [u8]) -> Result<bool, Failure> {
        if !socket.is_open() {
            self.at = 0;
            socket.listen(self.service as u16)?;
            return Ok(false);
        }
        let mut moved = false;
        match self.service {
            Service::Discard => {
                while socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), ()))?;
                    moved = true;
                }
            }
            Service::Echo => {
                while socket.can_recv() && socket.can_send() {
                    let room = socket.send_capacity() - socket.send_queue();
                    let most = room.min(echo.len());
                    let count = socket.recv_slice(&mut echo[..most])?;
                    socket.send_slice(&echo[..count])?;
                    moved = true;
                }
            }
            Service::Chargen => {
                while socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), ()))?;
                }
                while socket.can_send() {
                    let count = socket.send_slice(&pattern[self.at % PERIOD..])?;
                    self.at += count;
                    moved |= count > 0;
                }
            }
        }
        // The peer has closed and everything was read.
        if !socket.may_recv() && socket.may_send() && self.service != Service::Chargen {
            socket.close();
            moved = true;
        }
        Ok(moved)
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, address, buffer) = match arguments.as_slice() {
        [name, address] => (name, address, BUFFER),
        [name, address, buffer] => (name, address, buffer.parse()?),
        _ => return Err("usage: smoltcp_server TUN ADDRESS/LEN [BUFFER]".into()),
    };
    let address: IpCidr = address.parse().map_err(|()| format!("'{address}' is not an address with a prefix"))?;
    let device = TunDevice::open(name)?;
    let mut tun = Tun { device, received: vec![0; PACKET], sent: vec![0; PACKET], failure: None };
    let clock = Clock::now();
    let now = || Instant::from_micros(i64::try_from(clock.elapsed().as_micros()).unwrap_or(i64::MAX));
    let mut settings = Config::new(HardwareAddress::Ip);
    settings.random_seed = u64::from(std::process::id());
    let mut interface = Interface::new(settings, &mut tun, now());
    let mut added = Ok(());
    interface.update_ip_addrs(|addresses| added = addresses.push(address).map_err(|_| "too many addresses"));
    added?;
    let mut sockets = SocketSet::new(Vec::new());
    let mut servers = Vec::new();
    for service in SOCKETS.iter().flat_map(|&(service, count)| std::iter::repeat_n(service, count)) {
        let room = || tcp::SocketBuffer::new(vec![0; buffer]);
        let mut socket = tcp::Socket::new(room(), room());
        // As it is without the features that tests/sim/smoltcp_recovery.rs asks for.
        socket.set_congestion_control(tcp::CongestionControl::None);
        socket.set_nagle_enabled(false);
        servers.push(Server { handle: sockets.add(socket), service, at: 0 });
    }
    let pattern: Vec<u8> = (0..(PERIOD + 4 * PACKET) as u64).map(byte_at).collect();
    let mut echo = vec![0; PACKET];
    let mut ready = false;
    loop {
        interface.poll(now(), &mut tun, &mut sockets);
        let mut moved = false;
        for server in &mut servers {
            let socket = sockets.get_mut::<tcp::Socket>(server.handle);
            moved |= server.work(socket, &pattern, &mut echo)?;
        }
        if let Some(error) = tun.failure.take() {
            return Err(error.into());
        }
        if !ready {
            println!("ready");
            std::io::stdout().flush()?;
            ready = true;
        }
        if moved {
            continue;
        }
        let delay = interface.poll_delay(now(), &sockets).map(|delay| Duration::from_micros(delay.total_micros()));
        if delay != Some(Duration::ZERO) {
            let fd = tun.device.as_fd().ok_or("the TUN has no descriptor")?;
            poll(&mut [PollFd::new(fd, false)], delay)?;
        }
    }
}
