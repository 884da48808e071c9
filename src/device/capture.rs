//! [`Capture`]: a device that records what passes through it, for Wireshark.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pcapng::{Direction, PcapngWriter};
use super::wire_view::wire_view;
use super::{Capabilities, Device, RxChecksum, RxMeta, TxChecksum, TxMeta};

/// A device wrapped so that each packet which it receives or sends is written to a pcapng capture.
///
/// The capture reads as on a wire: super-segments are cut and partial checksums finished, see [`wire_view`]. It is flushed
/// whenever there is nothing to receive, so that a Wireshark on the other end of a pipe shows packets at once. A write
/// error ends the capture with one warning and never the traffic; a reader that only *stalls* on a pipe, however, makes the
/// device wait. The capture is ended properly by [`Capture::finish`] or by dropping the device.
pub struct Capture<D: Device, W: Write + Send> {
    inner: D,
    /// Nanoseconds since the Unix epoch.
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    keep_super_segments: bool,
    /// Shared by all devices that are recorded in the one capture.
    sink: Arc<Mutex<Sink<W>>>,
}

struct Sink<W: Write> {
    /// Nothing once the capture has ended.
    writer: Option<PcapngWriter<W>>,
    /// The last receive found nothing, so nobody will flush what is sent from now on.
    idle: bool,
    /// A sent packet whose pieces are put together.
    joined: Vec<u8>,
}

impl<D: Device, W: Write + Send> Capture<D, W> {
    /// Wraps `inner` and starts a capture on `writer` (best a `BufWriter`). `clock` gives nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the first lines of the capture cannot be written.
    pub fn new(inner: D, writer: W, clock: impl Fn() -> u64 + Send + Sync + 'static) -> io::Result<Capture<D, W>> {
        let application = concat!("glasstcp ", env!("CARGO_PKG_VERSION"));
        let description = format!("glasstcp on {}, MTU {}", inner.name(), inner.capabilities().mtu);
        let mut writer = PcapngWriter::new(writer, application, inner.name(), &description)?;
        writer.flush()?;
        let sink = Arc::new(Mutex::new(Sink { writer: Some(writer), idle: true, joined: Vec::new() }));
        Ok(Capture { inner, clock: Arc::new(clock), keep_super_segments: false, sink })
    }

    /// Records packets as the device has them: super-segments whole and partial checksums unfinished.
    #[must_use]
    pub fn keep_super_segments(mut self) -> Capture<D, W> {
        self.keep_super_segments = true;
        self
    }

    /// Wraps another queue of the device, recorded in the same capture. It ends for all at once: by [`Capture::finish`] of
    /// any, or with the last of them.
    pub fn another(&self, inner: D) -> Capture<D, W> {
        let (clock, sink) = (Arc::clone(&self.clock), Arc::clone(&self.sink));
        Capture { inner, clock, keep_super_segments: self.keep_super_segments, sink }
    }

    /// The wrapped device.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Whether packets are still being recorded.
    pub fn is_capturing(&self) -> bool {
        self.sink().writer.is_some()
    }

    /// Ends the capture with its statistics; the device goes on. A second call does nothing.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(&self) -> io::Result<()> {
        match self.sink().writer.take() {
            Some(writer) => writer.finish().map(drop),
            None => Ok(()),
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink<W>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write> Sink<W> {
    /// Runs one step of the capture and ends it at the first error.
    fn try_to(&mut self, step: impl FnOnce(&mut PcapngWriter<W>) -> io::Result<()>) {
        let Some(writer) = &mut self.writer else { return };
        if let Err(error) = step(writer) {
            tracing::warn!(%error, packets = writer.packets(), "the capture ended early; the traffic goes on");
            self.writer = None;
        }
    }
}

/// Writes what a wire sees of one packet.
fn record<W: Write>(
    writer: &mut PcapngWriter<W>,
    time_ns: u64,
    direction: Direction,
    packet: &[u8],
    (gso_size, partial_checksum): (u16, bool),
) -> io::Result<()> {
    wire_view(packet, gso_size, partial_checksum)
        .iter()
        .try_for_each(|wire| writer.packet(time_ns, direction, wire, &[]))
}

impl<D: Device, W: Write + Send> Device for Capture<D, W> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        let result = self.inner.receive(buffer);
        let sink = &mut *self.sink();
        match &result {
            Ok(meta) => {
                let partial = meta.checksum == RxChecksum::Partial;
                let offload = if self.keep_super_segments { (0, false) } else { (meta.gso_size, partial) };
                let time_ns = (self.clock)();
                sink.idle = false;
                sink.try_to(|writer| record(writer, time_ns, Direction::In, &buffer[..meta.len], offload));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && sink.idle => {}
            Err(_) => {
                sink.idle = true;
                sink.try_to(PcapngWriter::flush);
            }
        }
        result
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        // Held while sending, so that an answer which another thread receives comes after its question in the capture.
        let mut guard = self.sink();
        let sink = &mut *guard;
        let time_ns = (self.clock)();
        self.inner.transmit(packet, meta)?;
        if sink.writer.is_none() {
            return Ok(());
        }
        let mut joined = std::mem::take(&mut sink.joined);
        joined.clear();
        packet.iter().for_each(|piece| joined.extend_from_slice(piece));
        let partial = meta.checksum != TxChecksum::Complete;
        let offload = if self.keep_super_segments { (0, false) } else { (meta.gso_size, partial) };
        let idle = sink.idle;
        sink.try_to(|writer| {
            record(writer, time_ns, Direction::Out, &joined, offload)?;
            if idle { writer.flush() } else { Ok(()) }
        });
        sink.joined = joined;
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

impl<W: Write> Drop for Sink<W> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.writer.take().map(PcapngWriter::finish) {
            tracing::warn!(%error, "the end of the capture could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::device::fd::FdDevice;
    use crate::device::pcapng::{self, Record};

    /// A writer that shows only what was flushed, and fails on demand.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<PipeState>>);

    #[derive(Default)]
    struct PipeState {
        pending: Vec<u8>,
        flushed: Vec<u8>,
        broken: bool,
    }

    impl Pipe {
        fn records(&self) -> Vec<Record> {
            pcapng::read(&self.0.lock().unwrap().flushed).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap();
            if state.broken {
                return Err(ErrorKind::BrokenPipe.into());
            }
            state.pending.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            let state = &mut *self.0.lock().unwrap();
            state.flushed.append(&mut state.pending);
            Ok(())
        }
    }

    fn captured_pair() -> (Capture<FdDevice, Pipe>, FdDevice, Pipe) {
        let (a, b) = FdDevice::pair(1500).unwrap();
        let pipe = Pipe::default();
        let ticks = AtomicU64::new(100);
        let clock = move || ticks.fetch_add(1, Ordering::Relaxed);
        (Capture::new(a, pipe.clone(), clock).unwrap(), b, pipe)
    }

    fn record(time_ns: u64, direction: Direction, packet: &[u8]) -> Record {
        Record { time_ns, direction: Some(direction), comments: vec![], packet: packet.to_vec() }
    }

    #[test]
    fn both_directions_are_recorded_and_seen_when_nothing_waits() {
        let (a, b, pipe) = captured_pair();
        let mut buffer = [0; 2000];
        b.transmit(&[IoSlice::new(b"question")], &TxMeta::default()).unwrap();
        assert_eq!(a.receive(&mut buffer).unwrap().len, 8);
        a.transmit(&[IoSlice::new(b"ans"), IoSlice::new(b"wer")], &TxMeta::default()).unwrap();
        assert_eq!(pipe.records(), []);
        assert_eq!(a.receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut expected = vec![record(100, Direction::In, b"question"), record(101, Direction::Out, b"answer")];
        assert_eq!(pipe.records(), expected);
        a.transmit(&[IoSlice::new(b"late")], &TxMeta::default()).unwrap();
        expected.push(record(102, Direction::Out, b"late"));
        assert_eq!(pipe.records(), expected, "while nothing is received, what is sent is seen at once");
        assert_eq!(b.receive(&mut buffer).unwrap().len, 6);
        drop(a);
        assert_eq!(pipe.records(), expected);
    }

    #[test]
    fn several_queues_are_recorded_in_one_capture() {
        let (a, b, pipe) = captured_pair();
        let (other, far) = FdDevice::pair(1500).unwrap();
        let other = a.another(other);
        b.transmit(&[IoSlice::new(b"question")], &TxMeta::default()).unwrap();
        assert_eq!(a.receive(&mut [0; 2000]).unwrap().len, 8);
        other.transmit(&[IoSlice::new(b"answer")], &TxMeta::default()).unwrap();
        assert_eq!(far.receive(&mut [0; 2000]).unwrap().len, 6);
        drop(a);
        other.transmit(&[IoSlice::new(b"more")], &TxMeta::default()).unwrap();
        assert!(other.is_capturing());
        drop(other);
        let packets: Vec<_> = pipe.records().into_iter().map(|record| (record.time_ns, record.packet)).collect();
        let expected = [(100, &b"question"[..]), (101, b"answer"), (102, b"more")];
        assert_eq!(packets, expected.map(|(time, packet)| (time, packet.to_vec())));
    }

    #[test]
    fn what_the_device_refuses_is_not_recorded() {
        let (a, _b, pipe) = captured_pair();
        let sent = (0..10_000).take_while(|_| a.transmit(&[IoSlice::new(b"x")], &TxMeta::default()).is_ok()).count();
        assert_eq!(pipe.records().len(), sent);
    }

    #[test]
    fn a_broken_capture_does_not_break_the_traffic() {
        let (a, b, pipe) = captured_pair();
        pipe.0.lock().unwrap().broken = true;
        for _ in 0..2 {
            a.transmit(&[IoSlice::new(b"packet")], &TxMeta::default()).unwrap();
            assert_eq!(b.receive(&mut [0; 100]).unwrap().len, 6);
        }
        assert!(!a.is_capturing());
        a.finish().unwrap();
    }

    /// A device that takes super-segments and swallows them.
    struct Sinkhole;

    impl Device for Sinkhole {
        fn capabilities(&self) -> Capabilities {
            Capabilities { max_super_v4: 65_535, tx_checksum: true, ..Capabilities::plain(1500) }
        }

        fn receive(&self, _buffer: &mut [u8]) -> io::Result<RxMeta> {
            Err(ErrorKind::WouldBlock.into())
        }

        fn transmit(&self, _packet: &[IoSlice<'_>], _meta: &TxMeta) -> io::Result<()> {
            Ok(())
        }

        fn as_fd(&self) -> Option<BorrowedFd<'_>> {
            None
        }

        fn name(&self) -> &str {
            "sinkhole"
        }
    }

    #[test]
    fn super_segments_are_recorded_cut_unless_asked_for() {
        let mut packet = Vec::new();
        let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(80, 4000, 1, 1000);
        builder.write(&mut packet, &[5; 3000]).unwrap();
        let checksum = TxChecksum::Partial { start: 20, offset: 16 };
        let meta = TxMeta { checksum, gso_size: 1460, header_len: 40, ecn: false };
        let lengths = |raw: bool| {
            let pipe = Pipe::default();
            let mut capture = Capture::new(Sinkhole, pipe.clone(), || 0).unwrap();
            if raw {
                capture = capture.keep_super_segments();
            }
            capture.transmit(&[IoSlice::new(&packet[..40]), IoSlice::new(&packet[40..])], &meta).unwrap();
            pipe.records().iter().map(|record| record.packet.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(false), [1500, 1500, 120]);
        assert_eq!(lengths(true), [3040]);
    }
}
