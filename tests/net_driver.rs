//! Who drives: deadlines when nobody waits, threads that come and go, and what waiting costs.

mod net_common;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use glasstcp::device::fd::FdDevice;
use glasstcp::device::{Capabilities, Device, RxMeta, TxMeta};
use glasstcp::net::{Events, Interest, Net, Poller, TcpListener, TcpStream, Token, Trigger};
use net_common::{connected, pattern, two_on, watched};

/// What the lost packet of a test ends with.
const LOST: &[u8] = b"LOST";

/// Long enough for the background thread to take over and to wait for the device. Nothing is asserted about it.
const LEFT_ALONE: Duration = Duration::from_millis(20);

/// A device that allows one reader at a time, and loses packets.
struct Watched {
    inner: FdDevice,
    name: &'static str,
    /// Packets that end with [`LOST`] still to be lost.
    losses: Arc<AtomicUsize>,
    /// Every so many packets one is lost; 0 for none.
    lose_each: usize,
    sent: AtomicUsize,
    reading: AtomicBool,
}

impl Watched {
    fn new(inner: FdDevice) -> Watched {
        let (losses, sent) = (Arc::default(), AtomicUsize::new(0));
        Watched { inner, name: "watched", losses, lose_each: 0, sent, reading: AtomicBool::new(false) }
    }
}

impl Device for Watched {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        assert!(!self.reading.swap(true, Ordering::SeqCst), "two threads read at once");
        let result = self.inner.receive(buffer);
        self.reading.store(false, Ordering::SeqCst);
        result
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let whole: Vec<u8> = packet.iter().flat_map(|piece| piece.iter().copied()).collect();
        let less = |left: usize| left.checked_sub(1);
        if whole.ends_with(LOST) && self.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Ok(());
        }
        if self.lose_each > 0 && self.sent.fetch_add(1, Ordering::Relaxed) % self.lose_each == self.lose_each - 1 {
            return Ok(());
        }
        self.inner.transmit(packet, meta)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn name(&self) -> &str {
        self.name
    }
}

/// Two networks, the first of which loses so many packets that end with [`LOST`] as the number says.
fn losing() -> (Net, Net, Arc<AtomicUsize>) {
    let losses = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&losses);
    let (a, b) = two_on(|inner| Watched { losses: counter, ..Watched::new(inner) }, Watched::new);
    (a, b, losses)
}

/// The application waits for a moment and goes its way; what it sends afterwards is lost, and it does not come back. The
/// background thread, which slept without a deadline all the time, retransmits.
#[test]
fn a_deadline_is_handled_after_the_driver_has_left() {
    watched(|| {
        let (a, b, losses) = losing();
        let (client, server, _listener) = connected(&a, &b);
        for _ in 0..3 {
            thread::sleep(LEFT_ALONE);
            client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_eq!((&client).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
            losses.store(1, Ordering::SeqCst);
            (&client).write_all(LOST).unwrap();
            let mut text = [0; 4];
            (&server).read_exact(&mut text).unwrap();
            assert_eq!((&text, losses.load(Ordering::SeqCst)), (&[b'L', b'O', b'S', b'T'], 0));
        }
    });
}

/// One thread drives for another one, and leaves. What the other one has sent was lost, and no packet ever comes that would
/// wake the background thread.
#[test]
fn a_deadline_of_a_thread_that_is_left_waiting_is_handled() {
    watched(|| {
        let (a, b, losses) = losing();
        let (client, server, _listener) = connected(&a, &b);
        let poller = Poller::new(&a).unwrap();
        let waker = poller.waker(Token(0));
        thread::sleep(LEFT_ALONE);
        let drives = thread::spawn(move || poller.wait(&mut Events::with_capacity(1), None).unwrap());
        thread::sleep(LEFT_ALONE);
        losses.store(1, Ordering::SeqCst);
        let waits = thread::spawn(move || {
            (&client).write_all(LOST).unwrap();
            let mut answer = [0; 4];
            (&client).read_exact(&mut answer).map(|()| answer)
        });
        thread::sleep(LEFT_ALONE);
        waker.wake().unwrap();
        assert_eq!(drives.join().unwrap(), 1);
        let mut text = [0; 4];
        (&server).read_exact(&mut text).unwrap();
        (&server).write_all(b"back").unwrap();
        assert_eq!(&waits.join().unwrap().unwrap(), b"back");
        assert_eq!((&text[..], losses.load(Ordering::SeqCst)), (LOST, 0));
    });
}
