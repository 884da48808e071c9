//! The end of networks: orphans, closing, lost devices, panics.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{config, connected, pattern, two, two_on, watched};
use glasstcp::device::fd::FdDevice;
use glasstcp::device::{Capabilities, Device, RxMeta, TxMeta};
use glasstcp::net::{Events, Interest, Net, Poller, TcpStream, Token, Trigger};

/// A device with hooks: what to do instead of sending a packet, or of receiving one.
struct Hooked<S, R> {
    inner: FdDevice,
    send: S,
    receive: R,
}

impl<S, R> Device for Hooked<S, R>
where
    S: Fn(&[u8]) -> Option<io::Result<()>> + Send + Sync,
    R: Fn() -> Option<io::Result<RxMeta>> + Send + Sync,
{
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        (self.receive)().unwrap_or_else(|| self.inner.receive(buffer))
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let whole: Vec<u8> = packet.iter().flat_map(|piece| piece.iter().copied()).collect();
        (self.send)(&whole).unwrap_or_else(|| self.inner.transmit(packet, meta))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn name(&self) -> &str {
        "hooked"
    }
}

/// A device that does something else than sending.
fn on_send<S>(inner: FdDevice, send: S) -> impl Device + 'static
where
    S: Fn(&[u8]) -> Option<io::Result<()>> + Send + Sync + 'static,
{
    Hooked { inner, send, receive: || None }
}

/// FIN of an IPv4 packet with TCP in it.
fn has_fin(packet: &[u8]) -> bool {
    packet[0] >> 4 == 4 && packet[9] == 6 && packet[33] & 1 != 0
}

/// Data and FIN of a connection that nobody holds any more arrive, although the last segment and the first FIN are lost.
///
/// 9293-3.10.4-4
#[test]
fn closing_lets_orphans_finish() {
    watched(|| {
        let dropped = Arc::new(Mutex::new((0, 0)));
        let losses = Arc::clone(&dropped);
        let lossy = |device| {
            on_send(device, move |packet: &[u8]| {
                let mut losses = losses.lock().unwrap();
                let last = packet.ends_with(b"THE END") && losses.0 == 0;
                let fin = !last && has_fin(packet) && losses.1 == 0;
                losses.0 += usize::from(last);
                losses.1 += usize::from(fin);
                (last || fin).then_some(Ok(()))
            })
        };
        let (a, b) = two_on(lossy, |device| device);
        let (mut client, mut server, _listener) = connected(&a, &b);
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            server.read_to_end(&mut read).map(|_| read)
        });
        let mut data = pattern(200_000);
        data.extend_from_slice(b"THE END");
        client.write_all(&data).unwrap();
        drop(client);
        assert_eq!(a.close(Duration::from_secs(30)), 0);
        assert!(reader.join().unwrap().unwrap() == data);
        assert_eq!(*dropped.lock().unwrap(), (1, 1));
    });
}

/// The same by dropping: the last handle, here a stream, does not return before.
#[test]
fn the_last_drop_lets_orphans_finish() {
    watched(|| {
        let lost = AtomicUsize::new(0);
        let lossy = |device| {
            on_send(device, move |packet: &[u8]| {
                (has_fin(packet) && lost.fetch_add(1, Ordering::Relaxed) == 0).then_some(Ok(()))
            })
        };
        let (a, b) = two_on(lossy, |device| device);
        let (mut client, mut server, _listener) = connected(&a, &b);
        drop(a);
        client.write_all(b"without a handle of the network").unwrap();
        let mut text = [0; 31];
        server.read_exact(&mut text).unwrap();
        let reader = thread::spawn(move || server.read_to_end(&mut Vec::new()).unwrap());
        drop(client);
        assert_eq!(reader.join().unwrap(), 0);
    });
}

/// A peer that does not close is not waited for any longer than asked.
#[test]
fn what_does_not_finish_is_reset_and_counted() {
    watched(|| {
        let (a, b) = two();
        let (client, mut server, _listener) = connected(&a, &b);
        let held = a.connect(server.local_addr().unwrap()).unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0; 4]).unwrap(), 0);
        assert_eq!(a.close(Duration::from_millis(30)), 2, "one dropped, one still held");
        let error = loop {
            if let Err(error) = server.write(b"too late") {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!((&held).write(b"x").unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(a.connect("10.0.0.2:80").unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!((a.close(Duration::ZERO), a.failure().is_none()), (0, true));
    });
}

/// Closing a listener resets what nobody has accepted, and refuses what comes later; the end of the network ends a call
/// that waits for a connection.
///
/// 9293-3.10.4-1
#[test]
fn the_end_of_a_listener() {
    watched(|| {
        let (a, b) = two();
        let listener = b.bind("10.0.0.2:80").unwrap();
        let mut waiting = a.connect("10.0.0.2:80").unwrap();
        drop(listener);
        assert_eq!(waiting.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(a.connect("10.0.0.2:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let listener = b.bind("10.0.0.2:80").unwrap();
        let accepting = thread::spawn(move || listener.accept().unwrap_err().kind());
        b.close(Duration::ZERO);
        assert_eq!(accepting.join().unwrap(), ErrorKind::NetworkDown);
    });
}

#[test]
fn a_linger_time_waits_for_the_acknowledgment_and_zero_resets() {
    watched(|| {
        let (a, b) = two();
        let (mut client, server, listener) = connected(&a, &b);
        client.set_linger(Some(Duration::from_secs(30))).unwrap();
        client.write_all(&pattern(100_000)).unwrap();
        let (address, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        drop(client);
        // Everything is on the other side, although nobody has read it yet.
        assert_eq!(server.snapshot().unwrap().unread, 100_000);
        let finished = a.snapshots(9).iter().all(|snapshot| snapshot.flight == 0);
        assert!(finished && server.peer_addr().unwrap() == address && listener.local_addr().unwrap() == remote);

        let client = a.connect(remote).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

/// Every kind of waiting call ends when the device is gone, with the device's reason at hand.
#[test]
fn a_lost_device_wakes_everybody() {
    watched(|| {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let plug = ours.try_clone().unwrap();
        let a = Net::start(FdDevice::new(ours.into(), 1500).unwrap(), config(1)).unwrap();
        let b = Net::start(FdDevice::new(theirs.into(), 1500).unwrap(), config(2)).unwrap();
        let (client, server, _listener) = connected(&a, &b);
        (&server).write_all(b"arrived in time").unwrap();
        while client.peek(&mut [0; 20]).unwrap() < 15 {}
        let listener = a.bind("10.0.0.1:80").unwrap();
        let silent = a.connect(server.local_addr().unwrap()).unwrap();
        let udp = a.bind_udp("10.0.0.1:80").unwrap();
        let pinger = a.ping("10.0.0.77".parse().unwrap()).unwrap();
        let poller = Poller::new(&a).unwrap();
        poller.register(&silent, Token(0), Interest::READABLE, Trigger::Level).unwrap();
        let writer = silent.try_clone().unwrap();
        let connecting = a.clone();
        let threads = [
            thread::spawn(move || listener.accept().map(drop).unwrap_err().kind()),
            thread::spawn(move || (&silent).read(&mut [0; 9]).unwrap_err().kind()),
            thread::spawn(move || udp.recv(&mut [0; 9]).unwrap_err().kind()),
            thread::spawn(move || pinger.receive(None).unwrap_err().kind()),
            thread::spawn(move || poller.wait(&mut Events::with_capacity(9), None).unwrap_err().kind()),
            thread::spawn(move || connecting.connect("10.0.0.77:80").unwrap_err().kind()),
            thread::spawn(move || {
                let data = pattern(1 << 20);
                std::iter::repeat_with(|| (&writer).write(&data)).find_map(Result::err).unwrap().kind()
            }),
        ];
        plug.shutdown(std::net::Shutdown::Both).unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), ErrorKind::NetworkDown);
        }
        let failure = a.failure().unwrap();
        // Whoever noticed first: a write, or the wait for packets.
        assert!(matches!(failure.kind(), ErrorKind::NotConnected | ErrorKind::BrokenPipe), "{failure}");
        assert_eq!(client.take_error().unwrap().unwrap().to_string(), failure.to_string());
        let mut text = [0; 15];
        (&client).read_exact(&mut text).unwrap();
        assert_eq!((&client).read(&mut text).unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!((&client).write(&text).unwrap_err().to_string(), failure.to_string());
        assert_eq!(a.bind("10.0.0.1:81").unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(a.close(Duration::from_secs(30)), 0);
    });
}

/// The error of a write ends everything as well: an interface that is down says so only then.
#[test]
fn a_device_that_is_down_is_gone() {
    watched(|| {
        let down = |device| {
            on_send(device, |_: &[u8]| Some(Err(io::Error::new(ErrorKind::NetworkDown, "the interface x is down"))))
        };
        let (a, _b) = two_on(down, |device| device);
        let error = a.connect("10.0.0.2:80").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
        assert!(error.to_string().contains("the interface x is down"), "{error}");
    });
}

/// A device that reports an error on its descriptor and then has nothing to say about it.
struct Mute(UnixStream);

impl Device for Mute {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(1500)
    }

    fn receive(&self, _: &mut [u8]) -> io::Result<RxMeta> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn transmit(&self, _: &[IoSlice<'_>], _: &TxMeta) -> io::Result<()> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn name(&self) -> &str {
        "mute"
    }
}

#[test]
fn an_error_without_an_explanation_is_an_end_and_no_busy_loop() {
    watched(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let net = Net::start(Mute(ours), config(1)).unwrap();
        drop(theirs);
        assert_eq!(net.connect("10.0.0.2:80").unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(net.failure().unwrap().kind(), ErrorKind::NotConnected);
    });
}

/// A connection that is still being made is over with the network, and says so.
#[test]
fn closing_ends_a_connect_that_waits() {
    watched(|| {
        let (a, _nobody) = FdDevice::pair(1_500).unwrap();
        let net = Net::start(a, config(1)).unwrap();
        let other = net.clone();
        let waiting = thread::spawn(move || other.connect("10.0.0.2:80").unwrap_err().kind());
        while net.snapshots(1).is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        net.close(Duration::ZERO);
        assert_eq!(waiting.join().unwrap(), ErrorKind::NetworkDown);
    });
}

/// A device that is short of memory says that it has room, and takes nothing: it is tried again.
#[test]
fn a_device_that_refuses_for_a_while_is_tried_again() {
    watched(|| {
        let refusals = AtomicUsize::new(0);
        let busy = |device| {
            on_send(device, move |_: &[u8]| {
                (refusals.fetch_add(1, Ordering::Relaxed) % 8 != 7).then(|| Err(ErrorKind::WouldBlock.into()))
            })
        };
        let (a, b) = two_on(busy, |device| device);
        let (mut client, mut server, _listener) = connected(&a, &b);
        client.write_all(&pattern(20_000)).unwrap();
        server.read_exact(&mut vec![0; 20_000]).unwrap();
    });
}

/// A panic of one thread, even while it holds the lock, leaves the others at work.
#[test]
fn a_panic_elsewhere_blocks_nobody() {
    watched(|| {
        let panics = Arc::new(AtomicBool::new(false));
        let trigger = Arc::clone(&panics);
        let explosive = |device| {
            on_send(device, move |packet: &[u8]| {
                // Only the datagram of the thread below.
                let hit = packet.ends_with(b"boom") && trigger.swap(false, Ordering::Relaxed);
                if hit {
                    panic!("on purpose");
                }
                None
            })
        };
        let (a, b) = two_on(explosive, |device| device);
        let (mut client, mut server, _listener) = connected(&a, &b);
        let udp = a.bind_udp("10.0.0.1:0").unwrap();
        panics.store(true, Ordering::Relaxed);
        let panicked = thread::spawn(move || udp.send_to(b"boom", "10.0.0.2:9")).join();
        assert!(panicked.is_err());
        client.write_all(b"still here").unwrap();
        server.read_exact(&mut [0; 10]).unwrap();
    });
}

/// A panic of the device under the one who drives ends everything, and nobody hangs. A thread that waits alone drives
/// itself, so the panic is its own; the thread in the background is woken by the first that waits beside it.
#[test]
fn a_panic_of_the_driver_is_an_end() {
    watched(|| {
        let panics = Arc::new(AtomicBool::new(false));
        let trigger = Arc::clone(&panics);
        let receive = move || {
            assert!(!trigger.load(Ordering::Relaxed), "on purpose");
            None
        };
        let (a, b) = two_on(|inner| Hooked { inner, send: |_: &[u8]| None, receive }, |device| device);
        let (client, mut server, _listener) = connected(&a, &b);
        let reading = |stream: &TcpStream| stream.try_clone().unwrap();
        let readers: Vec<_> = (0..3).map(|_| reading(&client)).collect();
        let readers = readers.into_iter().map(|reader| {
            let reader = thread::spawn(move || (&reader).read(&mut [0; 4]).unwrap_err().kind());
            thread::sleep(Duration::from_millis(20));
            reader
        });
        let readers: Vec<_> = readers.collect();
        panics.store(true, Ordering::Relaxed);
        server.write_all(b"a packet that wakes the driver").unwrap();
        let ends: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        let told = ends.iter().flatten().filter(|kind| **kind == ErrorKind::NetworkDown).count();
        assert!(told >= 2 && ends.iter().filter(|end| end.is_err()).count() + told == 3, "{ends:?}");
        assert!(a.failure().is_some());
        assert_eq!((&client).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::NetworkDown);
        // Nobody would answer.
        b.close(Duration::ZERO);
    });
}
