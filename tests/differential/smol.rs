//! The end that is smoltcp's.

use std::cell::Cell;

use glasstcp::time::Instant;
use smoltcp::iface::{self, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::shared::endpoint::{Endpoint, Read, Setup};
use crate::smoltcp_device::Queues;

/// Octets that its send buffer holds: what our default is at the beginning.
const SEND_CAPACITY: usize = 256 << 10;

thread_local! {
    /// smoltcp asks for timestamps by a function without an argument.
    static MILLIS: Cell<u32> = const { Cell::new(0) };
}

/// smoltcp, with one socket.
pub struct Smol {
    setup: Setup,
    iface: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    started: bool,
    eof: bool,
}

fn smol_now(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(now.as_micros() as i64)
}

impl Smol {
    /// With what it can do at its best: CUBIC and timestamps, which it leaves out unless it is asked.
    pub fn new(setup: Setup, seed: u64, now: Instant) -> Smol {
        let mut device = Queues { mtu: setup.mtu, ..Queues::default() };
        let mut settings = iface::Config::new(HardwareAddress::Ip);
        settings.random_seed = seed;
        let mut iface = Interface::new(settings, &mut device, smol_now(now));
        let address = IpAddress::from(setup.local.ip());
        let prefix = if setup.local.is_ipv6() { 64 } else { 24 };
        iface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(address, prefix)).unwrap());
        let receive = tcp::SocketBuffer::new(vec![0; setup.receive_capacity as usize]);
        let send = tcp::SocketBuffer::new(vec![0; SEND_CAPACITY]);
        let mut socket = tcp::Socket::new(receive, send);
        socket.set_congestion_control(tcp::CongestionControl::Cubic);
        socket.set_nagle_enabled(!setup.nodelay);
        socket.set_tsval_generator(Some(|| MILLIS.get()));
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        Smol { setup, iface, device, sockets, socket, started: false, eof: false }
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

impl Endpoint for Smol {
    fn listen(&mut self, _: Instant) {
        let local = self.setup.local;
        self.socket().listen((IpAddress::from(local.ip()), local.port())).unwrap();
        self.started = true;
    }

    fn connect(&mut self, _: Instant) {
        let (local, remote) = (self.setup.local, self.setup.remote);
        let socket = self.sockets.get_mut::<tcp::Socket>(self.socket);
        let from = (IpAddress::from(local.ip()), local.port());
        socket.connect(self.iface.context(), (IpAddress::from(remote.ip()), remote.port()), from).unwrap();
        self.started = true;
    }

    fn receive(&mut self, _: Instant, packet: &[u8]) {
        self.device.received.push_back(packet.to_vec());
    }

    fn transmit(&mut self, now: Instant, packets: &mut Vec<Vec<u8>>) {
        MILLIS.set(now.as_millis() as u32);
        for _ in 0..10_000 {
            let changed = self.iface.poll(smol_now(now), &mut self.device, &mut self.sockets);
            let idle = self.device.sent.is_empty();
            packets.extend(self.device.sent.drain(..));
            if changed == PollResult::None && idle {
                return;
            }
        }
        panic!("{now:?}: smoltcp sends without end");
    }

    fn next(&mut self, now: Instant) -> Option<Instant> {
        let at = self.iface.poll_at(smol_now(now), &self.sockets)?;
        Some(Instant::from_micros(at.total_micros().max(0) as u64))
    }

    fn is_open(&mut self, _: Instant) -> bool {
        use tcp::State::{Closed, Listen, SynReceived, SynSent};
        !matches!(self.socket().state(), Closed | Listen | SynSent | SynReceived)
    }

    fn has_failed(&mut self) -> bool {
        // An application that reads late may still find text, and the end of the stream, in what is closed.
        let refused = |socket: &mut tcp::Socket<'_>| socket.recv_slice(&mut []) == Err(tcp::RecvError::InvalidState);
        self.started && !self.eof && self.socket().state() == tcp::State::Closed && refused(self.socket())
    }

    fn read(&mut self, _: Instant, buffer: &mut [u8]) -> Read {
        match self.socket().recv_slice(buffer) {
            Ok(0) => Read::Nothing,
            Ok(count) => Read::Octets(count),
            Err(tcp::RecvError::Finished) => {
                self.eof = true;
                Read::End
            }
            Err(tcp::RecvError::InvalidState) => Read::Failed,
        }
    }

    fn write(&mut self, _: Instant, octets: &[u8]) -> usize {
        self.socket().send_slice(octets).unwrap_or(0)
    }

    fn shutdown(&mut self, _: Instant) {
        self.socket().close();
    }

    fn close(&mut self, _: Instant) {
        // Its close() ends the stream alone: who will not read on has to abort.
        if !self.eof {
            self.socket().abort();
        }
    }

    fn abort(&mut self, _: Instant) {
        self.socket().abort();
    }
}
