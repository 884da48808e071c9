//! [`Capture`]: a device that records what passes through it, for Wireshark.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pcapng::{Direction, PcapngWriter};
use super::wire_view::wire_view;
use super::{Capabilities, Device, RxChecksum, RxMeta, TxChecksum, TxMeta};
use crate::trace::note::Note;

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
    /// The number of this queue of the device.
    queue: usize,
    /// Shared by all devices that are recorded in the one capture.
    sink: Arc<Mutex<Sink<W>>>,
}

/// Packets that wait at most for the note of one that came before them.
const MAX_HELD: usize = 64;

struct Sink<W: Write> {
    /// Nothing once the capture has ended.
    writer: Option<PcapngWriter<W>>,
    /// The last receive found nothing, so nobody will flush what is sent from now on.
    idle: bool,
    /// A sent packet whose pieces are put together.
    joined: Vec<u8>,
    /// A received packet waits for its note, and everything behind it waits with it: the capture keeps its order.
    held: VecDeque<Held>,
    queues: usize,
    comment: String,
}

/// A packet that is not written yet.
struct Held {
    time_ns: u64,
    direction: Direction,
    packet: Vec<u8>,
    /// Its super-segments' size and whether its checksum is unfinished.
    offload: (u16, bool),
    note: Option<Note>,
    /// It waits for its note, on this queue.
    waits_on: Option<usize>,
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
        let sink = Sink {
            writer: Some(writer),
            idle: true,
            joined: Vec::new(),
            held: VecDeque::new(),
            queues: 1,
            comment: String::new(),
        };
        let sink = Arc::new(Mutex::new(sink));
        Ok(Capture { inner, clock: Arc::new(clock), keep_super_segments: false, queue: 0, sink })
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
        let queue = {
            let mut sink = self.sink();
            sink.queues += 1;
            sink.queues - 1
        };
        Capture { inner, clock, keep_super_segments: self.keep_super_segments, queue, sink }
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
        let mut sink = self.sink();
        sink.release_all();
        match sink.writer.take() {
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
            self.held.clear();
        }
    }

    /// Writes what need not wait, or waits too long.
    fn write_ready(&mut self) {
        while let Some(first) = self.held.front() {
            if first.waits_on.is_some() && self.held.len() <= MAX_HELD {
                return;
            }
            let Some(held) = self.held.pop_front() else { return };
            self.write(&held);
        }
    }

    /// The note of what was received last on this queue has come, or none will.
    fn settle(&mut self, queue: usize, note: Option<&Note>) {
        if let Some(held) = self.held.iter_mut().find(|held| held.waits_on == Some(queue)) {
            held.waits_on = None;
            held.note = note.cloned();
        }
        self.write_ready();
    }

    /// Nothing waits any more.
    fn release_all(&mut self) {
        self.held.iter_mut().for_each(|held| held.waits_on = None);
        self.write_ready();
    }

    fn write(&mut self, held: &Held) {
        let mut comment = std::mem::take(&mut self.comment);
        self.try_to(|writer| record(writer, held, &mut comment));
        self.comment = comment;
    }
}

/// Writes what a wire sees of one packet. The pieces of a super-segment share its note, each with its own numbers.
fn record<W: Write>(writer: &mut PcapngWriter<W>, held: &Held, comment: &mut String) -> io::Result<()> {
    let Held { time_ns, direction, ref packet, offload: (gso_size, partial_checksum), ref note, .. } = *held;
    let pieces = wire_view(packet, gso_size, partial_checksum);
    let (size, last) = (usize::from(gso_size), pieces.len() - 1);
    for (index, wire) in pieces.iter().enumerate() {
        comment.clear();
        if let Some(note) = note {
            // A `String` takes whatever is written to it.
            let _ = write!(comment, "{}", note.piece(index * size, size, index == last));
        }
        let comments = [comment.as_str()];
        writer.packet(time_ns, direction, wire, if note.is_some() { &comments } else { &[] })?;
    }
    Ok(())
}

impl<D: Device, W: Write + Send> Capture<D, W> {
    fn send(&self, packet: &[IoSlice<'_>], meta: &TxMeta, note: Option<&Note>) -> io::Result<()> {
        // Held while sending, so that an answer which another thread receives comes after its question in the capture.
        let mut guard = self.sink();
        let sink = &mut *guard;
        let time_ns = (self.clock)();
        match note {
            Some(note) => self.inner.transmit_noted(packet, meta, note)?,
            None => self.inner.transmit(packet, meta)?,
        }
        if sink.writer.is_none() {
            return Ok(());
        }
        let mut joined = std::mem::take(&mut sink.joined);
        joined.clear();
        packet.iter().for_each(|piece| joined.extend_from_slice(piece));
        let partial = meta.checksum != TxChecksum::Complete;
        let offload = if self.keep_super_segments { (0, false) } else { (meta.gso_size, partial) };
        let note = note.cloned();
        let held = Held { time_ns, direction: Direction::Out, packet: joined, offload, note, waits_on: None };
        if sink.held.is_empty() {
            sink.write(&held);
            sink.joined = held.packet;
        } else {
            sink.held.push_back(held);
            sink.write_ready();
        }
        if sink.idle {
            sink.try_to(PcapngWriter::flush);
        }
        Ok(())
    }
}

impl<D: Device, W: Write + Send> Device for Capture<D, W> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        let result = self.inner.receive(buffer);
        let sink = &mut *self.sink();
        // Whoever receives again has no more to say of what came before.
        sink.settle(self.queue, None);
        match &result {
            Ok(meta) => {
                let partial = meta.checksum == RxChecksum::Partial;
                let offload = if self.keep_super_segments { (0, false) } else { (meta.gso_size, partial) };
                let time_ns = (self.clock)();
                sink.idle = false;
                if sink.writer.is_some() {
                    let (packet, waits_on) = (buffer[..meta.len].to_vec(), Some(self.queue));
                    let direction = Direction::In;
                    sink.held.push_back(Held { time_ns, direction, packet, offload, note: None, waits_on });
                    sink.write_ready();
                }
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
        self.send(packet, meta, None)
    }

    fn wants_notes(&self) -> bool {
        self.is_capturing() || self.inner.wants_notes()
    }

    fn note_received(&self, note: &Note) {
        self.inner.note_received(note);
        self.sink().settle(self.queue, Some(note));
    }

    fn transmit_noted(&self, packet: &[IoSlice<'_>], meta: &TxMeta, note: &Note) -> io::Result<()> {
        self.send(packet, meta, Some(note))
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
        self.release_all();
        if let Some(Err(error)) = self.writer.take().map(PcapngWriter::finish) {
            tracing::warn!(%error, "the end of the capture could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::counters::DropReason;
    use crate::device::fd::FdDevice;
    use crate::device::pcapng::{self, Record};
    use crate::trace::note::{self, Received};

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

    /// A note comes after its packet, and what passes meanwhile waits behind it, so that the capture keeps its order.
    #[test]
    fn packets_have_their_notes_and_their_order() {
        let (a, b, pipe) = captured_pair();
        let (other, _far) = FdDevice::pair(1500).unwrap();
        let other = a.another(other);
        assert!(a.wants_notes() && other.wants_notes());
        let received = Note::Received(Received::new(Some(DropReason::UdpNoSocket)));
        let mut buffer = [0; 2000];
        b.transmit(&[IoSlice::new(b"question")], &TxMeta::default()).unwrap();
        a.receive(&mut buffer).unwrap();
        other.transmit_noted(&[IoSlice::new(b"elsewhere")], &TxMeta::default(), &note::DATAGRAM).unwrap();
        a.transmit(&[IoSlice::new(b"answer")], &TxMeta::default()).unwrap();
        assert_eq!(a.receive(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let seen = |pipe: &Pipe| {
            let records = pipe.records();
            records.into_iter().map(|record| (record.packet, record.comments.concat())).collect::<Vec<_>>()
        };
        let comment = "sent reason=datagram rule=RFC768/1";
        let said = |packet: &[u8], comment: &str| (packet.to_vec(), comment.to_owned());
        let expected = vec![said(b"question", ""), said(b"elsewhere", comment), said(b"answer", "")];
        assert_eq!(seen(&pipe), expected, "a packet of which nothing is said does not wait for ever");
        b.transmit(&[IoSlice::new(b"again")], &TxMeta::default()).unwrap();
        a.receive(&mut buffer).unwrap();
        a.transmit_noted(&[IoSlice::new(b"once more")], &TxMeta::default(), &note::DATAGRAM).unwrap();
        a.note_received(&received);
        a.finish().unwrap();
        let dropped = "received verdict=dropped drop=no-UDP-socket rule=- did=-";
        assert_eq!(seen(&pipe)[3..], [said(b"again", dropped), said(b"once more", comment)]);
        assert!(!a.wants_notes());
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
