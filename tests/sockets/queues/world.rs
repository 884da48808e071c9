//! Several queues, what chooses among them, and the two hosts on either side.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::counters::Counters;
use glasstcp::device::fd::FdDevice;
use glasstcp::device::{Capabilities, Device, RxMeta, TxMeta};
use glasstcp::net::{Net, TcpListener, TcpStream};
use glasstcp::wire::tcp::{self, Flags};
use glasstcp::wire::{parse_ip, protocol};

use crate::common::{config, pattern};

/// The queue of a packet from the peer; `None` loses it.
pub type Steer = Box<dyn FnMut(&[u8]) -> Option<usize> + Send>;

/// The queue on which a packet came from the host, and the packet.
pub type Heard = (usize, Vec<u8>);

/// The far side of all queues, as the kernel is that of a TUN: it chooses the queue of each packet, as the test says.
#[derive(Clone)]
pub struct Switch {
    pub queues: Arc<Vec<FdDevice>>,
    pub steer: Arc<Mutex<Steer>>,
    pub heard: Arc<Mutex<Vec<Heard>>>,
}

impl Device for Switch {
    fn capabilities(&self) -> Capabilities {
        self.queues[0].capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        for (number, queue) in self.queues.iter().enumerate() {
            // An error is that of a queue whose network was closed.
            if let Ok(meta) = queue.receive(buffer) {
                self.heard.lock().unwrap().push((number, buffer[..meta.len].to_vec()));
                return Ok(meta);
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let whole: Vec<u8> = packet.iter().flat_map(|piece| piece.iter().copied()).collect();
        let queue = (self.steer.lock().unwrap())(&whole);
        queue.map_or(Ok(()), |queue| self.queues[queue].transmit(packet, meta))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn name(&self) -> &str {
        "switch"
    }
}

impl Switch {
    /// All packets of the peer go to this queue from now on.
    pub fn to(&self, queue: usize) {
        self.by(move |_| Some(queue));
    }

    pub fn by(&self, steer: impl FnMut(&[u8]) -> Option<usize> + Send + 'static) {
        *self.steer.lock().unwrap() = Box::new(steer);
    }

    /// Puts a packet of nobody's making onto a queue.
    pub fn inject(&self, queue: usize, packet: &[u8]) {
        while let Err(error) = self.queues[queue].transmit(&[IoSlice::new(packet)], &TxMeta::default()) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The TCP packets that came from the host on this queue.
    pub fn heard_on(&self, queue: usize) -> Vec<Vec<u8>> {
        let heard = self.heard.lock().unwrap();
        let tcp = |packet: &[u8]| parse_ip(packet).is_ok_and(|ip| ip.protocol == protocol::TCP);
        heard.iter().filter(|(on, packet)| *on == queue && tcp(packet)).map(|(_, packet)| packet.clone()).collect()
    }
}

/// A gate before the reading of a queue.
#[derive(Clone, Default)]
pub struct Gate {
    pub shut: Arc<(Mutex<bool>, Condvar)>,
    pub somebody_waits: Arc<AtomicBool>,
}

pub struct Gated(pub FdDevice, pub Gate);

impl Device for Gated {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        let (shut, opened) = &*self.1.shut;
        let mut shut = shut.lock().unwrap();
        while *shut {
            self.1.somebody_waits.store(true, Ordering::SeqCst);
            shut = opened.wait(shut).unwrap();
        }
        self.0.receive(buffer)
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        self.0.transmit(packet, meta)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_fd()
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// The peer, 10.0.0.1, the host, 10.0.0.2, on so many queues, what is between them, and a gate before queue 0.
pub struct World {
    pub peer: Net,
    pub nets: Vec<Net>,
    pub switch: Switch,
    pub gate: Gate,
}

pub fn world(queues: usize) -> World {
    world_with(queues, config(2))
}

pub fn world_with(queues: usize, config_of_host: Config) -> World {
    let gate = Gate::default();
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for queue in 0..queues {
        let (a, b) = FdDevice::pair(1500).unwrap();
        near.push(Gated(a, if queue == 0 { gate.clone() } else { Gate::default() }));
        far.push(b);
    }
    let steer: Steer = Box::new(|_| Some(0));
    let switch = Switch { queues: Arc::new(far), steer: Arc::new(Mutex::new(steer)), heard: Arc::default() };
    let nets = Net::start_queues(near, config_of_host).unwrap();
    World { peer: Net::start(switch.clone(), config(1)).unwrap(), nets, switch, gate }
}

impl World {
    /// A listener on the same port of every queue.
    pub fn listen_everywhere(&self, port: u16) -> Vec<TcpListener> {
        let listeners: Vec<_> = self.nets.iter().map(|net| net.bind(("10.0.0.2", port)).unwrap()).collect();
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        listeners
    }

    pub fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        self.nets.iter().for_each(|net| sum.add(&net.counters()));
        sum
    }

    pub fn handed_over(&self, queue: usize) -> u64 {
        self.nets[queue].counters().handed_over
    }

    /// Asserts how many packets each queue has handed over. They are counted a moment after the sibling got them.
    #[track_caller]
    pub fn expect_handed_over<const N: usize>(&self, expected: [u64; N]) {
        let counts = || std::array::from_fn(|queue| self.handed_over(queue));
        while counts().iter().zip(expected).any(|(&count, expected)| count < expected) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(counts(), expected);
    }
}

/// The queue on which a connection came in, and the connection.
pub fn accept(listeners: &[TcpListener]) -> (usize, TcpStream) {
    loop {
        for (queue, listener) in listeners.iter().enumerate() {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                return (queue, stream);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends octets both ways at once and compares them.
pub fn exchange(client: &TcpStream, server: &TcpStream, len: usize) {
    let sent = pattern(len);
    thread::scope(|scope| {
        for (writer, reader) in [(client, server), (server, client)] {
            let sent = &sent;
            scope.spawn(move || (&*writer).write_all(sent).unwrap());
            scope.spawn(move || {
                let mut received = vec![0; len];
                (&*reader).read_exact(&mut received).unwrap();
                assert!(received == *sent, "what arrived differs");
            });
        }
    });
}

pub fn is_syn(packet: &[u8]) -> bool {
    let Ok(ip) = parse_ip(packet) else { return false };
    ip.protocol == protocol::TCP && tcp::parse(ip.payload).is_ok_and(|(header, _)| header.flags == Flags::SYN)
}
