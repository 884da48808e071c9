//! Impaired paths between two sides: [`Link`] in virtual time, for simulations, and [`ImpairedDevice`] in real time, around
//! a real device.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::impair::{Arrived, Impaired, ImpairedCounters, Impairment};
use super::wire_view::wire_view;
use super::{Capabilities, Device, RxChecksum, RxMeta, TxChecksum, TxMeta};
use crate::rng::KeyedRng;
use crate::time::Instant;

/// One end of a [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The opposite end.
    pub const fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// A pair of impaired directions in virtual time. Nothing moves but by its calls, each of which says what time it is.
#[derive(Debug)]
pub struct Link {
    a_to_b: Impaired,
    b_to_a: Impaired,
}

impl Link {
    /// A link without packets. Each direction has its own random numbers, so that traffic one way does not change the fate
    /// of the other.
    pub fn new(a_to_b: Impairment, b_to_a: Impairment, seed: u64) -> Link {
        let [first, second] = two_generators(KeyedRng::from_seed(seed));
        Link { a_to_b: Impaired::new(a_to_b, first), b_to_a: Impaired::new(b_to_a, second) }
    }

    /// Sends a packet, as it is on a wire, at `now`.
    pub fn send(&mut self, now: Instant, from: Side, packet: Vec<u8>) {
        let meta = RxMeta::plain(packet.len());
        self.direction_mut(from).send(now, packet, meta);
    }

    /// The next packet that has arrived at this side by `now`.
    pub fn receive(&mut self, now: Instant, at: Side) -> Option<Arrived> {
        self.direction_mut(at.other()).receive(now)
    }

    /// When the next packet arrives at either side.
    pub fn next_arrival(&self) -> Option<Instant> {
        earlier(self.a_to_b.next_arrival(), self.b_to_a.next_arrival())
    }

    /// When the next packet arrives at this side.
    pub fn next_arrival_at(&self, at: Side) -> Option<Instant> {
        self.direction(at.other()).next_arrival()
    }

    /// The direction that begins at this side.
    pub fn direction(&self, from: Side) -> &Impaired {
        match from {
            Side::A => &self.a_to_b,
            Side::B => &self.b_to_a,
        }
    }

    /// The same, to change the impairment, drop certain packets, or send with another [`RxMeta`].
    pub fn direction_mut(&mut self, from: Side) -> &mut Impaired {
        match from {
            Side::A => &mut self.a_to_b,
            Side::B => &mut self.b_to_a,
        }
    }
}

/// Packets taken from the inner device before those that arrived are looked at again.
const RECEIVE_BATCH: usize = 64;

/// A device wrapped in an impaired path, by a real clock, for tests against real peers.
///
/// What passes is made into wire packets first, so that chance strikes each of them and not a whole super-segment. Delayed
/// packets move only during calls: besides polling the descriptor, the owner calls [`Device::receive`] at
/// [`ImpairedDevice::next_deadline`].
pub struct ImpairedDevice<D, C> {
    inner: D,
    clock: C,
    path: Mutex<Path>,
}

struct Path {
    incoming: Impaired,
    outgoing: Impaired,
}

impl<D: Device, C: Fn() -> Instant + Send + Sync> ImpairedDevice<D, C> {
    /// Wraps `inner`. `clock` never goes back.
    pub fn new(inner: D, incoming: Impairment, outgoing: Impairment, rng: KeyedRng, clock: C) -> ImpairedDevice<D, C> {
        let [first, second] = two_generators(rng);
        let path = Path { incoming: Impaired::new(incoming, first), outgoing: Impaired::new(outgoing, second) };
        ImpairedDevice { inner, clock, path: Mutex::new(path) }
    }

    /// When [`Device::receive`] should be called even if the descriptor is not readable.
    pub fn next_deadline(&self) -> Option<Instant> {
        let path = self.path();
        earlier(path.incoming.next_arrival(), path.outgoing.next_arrival())
    }

    /// What happened to incoming and to outgoing packets.
    pub fn counters(&self) -> (ImpairedCounters, ImpairedCounters) {
        let path = self.path();
        (path.incoming.counters(), path.outgoing.counters())
    }

    /// Hands packets whose time has come to the inner device. One that is busy loses them, as a full card would.
    fn send_due(&self, path: &mut Path) -> io::Result<()> {
        let now = (self.clock)();
        while let Some(due) = path.outgoing.receive(now) {
            match self.inner.transmit(&[IoSlice::new(&due.packet)], &TxMeta::default()) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts what waits in the inner device on its impaired way; true if nothing waits any more.
    fn take_in(&self, path: &mut Path, buffer: &mut [u8]) -> io::Result<bool> {
        for _ in 0..RECEIVE_BATCH {
            match self.inner.receive(buffer) {
                Ok(meta) => {
                    let now = (self.clock)();
                    let partial = meta.checksum == RxChecksum::Partial;
                    // Cut or summed packets are of our own making; of others we know what the device knows.
                    let checksum = if partial { RxChecksum::Unverified } else { meta.checksum };
                    for wire in wire_view(&buffer[..meta.len], meta.gso_size, partial) {
                        let meta = RxMeta { checksum, ..RxMeta::plain(wire.len()) };
                        path.incoming.send(now, wire.into_owned(), meta);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn path(&self) -> MutexGuard<'_, Path> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Device, C: Fn() -> Instant + Send + Sync> Device for ImpairedDevice<D, C> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        let path = &mut *self.path();
        loop {
            // `WouldBlock` only after the inner device said so, as somebody may wait for an edge of its descriptor.
            let emptied = self.take_in(path, buffer)?;
            self.send_due(path)?;
            if let Some(due) = path.incoming.receive((self.clock)()) {
                let len = due.packet.len().min(buffer.len());
                buffer[..len].copy_from_slice(&due.packet[..len]);
                return Ok(RxMeta { len, ..due.meta });
            }
            if emptied {
                return Err(ErrorKind::WouldBlock.into());
            }
        }
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let path = &mut *self.path();
        let joined: Vec<u8> = packet.iter().flat_map(|piece| piece.iter().copied()).collect();
        for wire in wire_view(&joined, meta.gso_size, meta.checksum != TxChecksum::Complete) {
            let meta = RxMeta::plain(wire.len());
            path.outgoing.send((self.clock)(), wire.into_owned(), meta);
        }
        self.send_due(path)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

fn two_generators(mut root: KeyedRng) -> [KeyedRng; 2] {
    [KeyedRng::new(root.key()), KeyedRng::new(root.key())]
}

/// The earlier of two times, either of which may never come.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::device::fd::FdDevice;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_direction_has_its_own_impairment() {
        let mut link = Link::new(Impairment::perfect().delay(3 * MS), Impairment::perfect().delay(MS), 1);
        link.send(Instant::ZERO, Side::A, b"ping".to_vec());
        link.send(Instant::ZERO, Side::B, b"pong".to_vec());
        assert_eq!(link.next_arrival(), Some(Instant::from_millis(1)));
        assert_eq!(link.next_arrival_at(Side::B), Some(Instant::from_millis(3)));
        assert_eq!(link.receive(Instant::from_millis(2), Side::B), None);
        assert_eq!(link.receive(Instant::from_millis(2), Side::A).unwrap().packet, b"pong");
        assert_eq!(link.receive(Instant::from_millis(3), Side::B).unwrap().packet, b"ping");
        assert_eq!(link.next_arrival(), None);
    }

    #[test]
    fn traffic_one_way_does_not_change_the_other() {
        let arrived = |answers: bool| {
            let lossy = Impairment::perfect().loss(300_000);
            let mut link = Link::new(lossy, lossy, 5);
            for number in 0..100 {
                link.send(Instant::ZERO, Side::A, vec![number]);
                if answers {
                    link.send(Instant::ZERO, Side::B, vec![number]);
                }
            }
            std::iter::from_fn(|| link.receive(Instant::ZERO, Side::B)).map(|a| a.packet[0]).collect::<Vec<_>>()
        };
        assert_eq!(arrived(false), arrived(true));
        assert!((50..90).contains(&arrived(false).len()));
    }

    #[test]
    fn a_real_device_is_delayed_by_its_clock() {
        let (a, peer) = FdDevice::pair(1500).unwrap();
        let millis = Arc::new(AtomicU64::new(0));
        let clock = {
            let millis = millis.clone();
            move || Instant::from_millis(millis.load(Ordering::Relaxed))
        };
        let (slow, rng) = (Impairment::perfect().delay(10 * MS), KeyedRng::from_seed(1));
        let device = ImpairedDevice::new(a, slow, slow, rng, clock);
        let mut buffer = [0; 2000];
        let blocked = |device: &dyn Device| device.receive(&mut [0; 2000]).unwrap_err().kind() == ErrorKind::WouldBlock;

        assert_eq!(device.next_deadline(), None);
        device.transmit(&[IoSlice::new(b"pi"), IoSlice::new(b"ng")], &TxMeta::default()).unwrap();
        assert!(blocked(&peer));
        assert_eq!(device.next_deadline(), Some(Instant::from_millis(10)));
        millis.store(10, Ordering::Relaxed);
        assert!(blocked(&device), "the call moves what is due");
        assert_eq!(peer.receive(&mut buffer).unwrap().len, 4);

        peer.transmit(&[IoSlice::new(b"answer")], &TxMeta::default()).unwrap();
        assert!(blocked(&device));
        millis.store(20, Ordering::Relaxed);
        assert_eq!(device.receive(&mut buffer).unwrap(), RxMeta::plain(6));
        assert_eq!(&buffer[..6], b"answer");
        assert_eq!(device.counters().0.received, 1);
        drop(peer);
        millis.store(30, Ordering::Relaxed);
        device.transmit(&[IoSlice::new(b"ping")], &TxMeta::default()).unwrap();
        millis.store(40, Ordering::Relaxed);
        let error = device.receive(&mut buffer).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "the loss of the device is seen");
    }
}
