//! What is written down while an experiment runs.

use std::fmt::Display;
use std::time::Duration;

use super::bulk::{FIRST_PORT, FIRST_SOURCE};
use super::copies::Copies;
use super::experiment::START;
use super::network::{Direction, Node, Tap, address};
use super::outcome::Wait;
use super::series::{FlowSeries, Mark, MarkKind, Sample};
use crate::device::impair::{Event, LogEntry};
use crate::time::Instant;
use crate::trace::note::{Note, Piece};
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{parse_ip, protocol};

/// Sees each packet at each node, as a capture does.
pub trait Spy {
    /// A packet has left this node, or (`inward`) has come to it; the note says why, or what became of it, at a host.
    fn packet(&mut self, at: Instant, node: Node, inward: bool, packet: &[u8], note: Option<&dyn Display>);
}

/// Marks of one flow that are kept at most (64 MiB).
const MAX_MARKS: usize = 1 << 21;

/// What is written down of one flow.
#[derive(Debug, Default)]
pub(super) struct FlowRecord {
    pub(super) copies: Copies,
    pub(super) waits: Wait,
    pub(super) samples: Vec<Sample>,
    marks: Vec<Mark>,
    acknowledged: u64,
    /// Marks beyond the limit.
    unmarked: u64,
}

/// The tap of an experiment.
pub(super) struct Recorder<'a> {
    pub(super) flows: Vec<FlowRecord>,
    pub(super) wait: Wait,
    bottleneck: Direction,
    keep_marks: bool,
    spy: Option<&'a mut dyn Spy>,
    /// Which flow the packet of a tag belongs to: tags count from 1, so by number less the first one that is kept.
    owners: Owners,
}

/// The flow of each packet with text, by tag.
#[derive(Debug, Default)]
struct Owners {
    first: u64,
    flows: std::collections::VecDeque<Option<u16>>,
}

/// Packets whose flow is known at most: more than are ever on their way at once.
const MAX_OWNERS: usize = 1 << 20;

impl Owners {
    fn note(&mut self, tag: u64, flow: u16) {
        if self.flows.is_empty() {
            self.first = tag;
        }
        while self.first + (self.flows.len() as u64) < tag {
            self.flows.push_back(None);
        }
        self.flows.push_back(Some(flow));
        while self.flows.len() > MAX_OWNERS {
            self.flows.pop_front();
            self.first += 1;
        }
    }

    fn of(&self, tag: u64) -> Option<usize> {
        let number = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        self.flows.get(number).copied().flatten().map(usize::from)
    }
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        flows: usize,
        bottleneck: Direction,
        keep_marks: bool,
        spy: Option<&'a mut dyn Spy>,
    ) -> Recorder<'a> {
        let flows = (0..flows).map(|_| FlowRecord::default()).collect();
        Recorder { flows, wait: Wait::default(), bottleneck, keep_marks, spy, owners: Owners::default() }
    }
}

/// The segment in a packet, how many octets of text it has, and the flow that it belongs to; and whether it is on its way
/// to the receiver.
fn segment(packet: &[u8]) -> Option<(TcpHeader, usize, usize, bool)> {
    let ip = parse_ip(packet).ok().filter(|ip| ip.protocol == protocol::TCP)?;
    let (header, text) = tcp::parse(ip.payload).ok()?;
    let flow = |source: u16, destination: u16| {
        let number = destination.checked_sub(FIRST_PORT)?;
        (source.checked_sub(FIRST_SOURCE) == Some(number)).then_some(usize::from(number))
    };
    if let Some(number) = flow(header.source_port, header.destination_port) {
        return Some((header, text.len(), number, true));
    }
    flow(header.destination_port, header.source_port).map(|number| (header, text.len(), number, false))
}

impl FlowRecord {
    fn mark(&mut self, mark: Mark) {
        if self.marks.len() < MAX_MARKS {
            self.marks.push(mark);
        } else {
            self.unmarked += 1;
        }
    }

    /// The sender hears of what has arrived.
    fn acknowledged(&mut self, at: Duration, header: &TcpHeader) {
        let Some(ack) = self.copies.position_of(header.ack) else { return };
        if ack > self.acknowledged {
            self.acknowledged = ack;
            self.mark(Mark { at, kind: MarkKind::Ack, start: ack, end: ack });
        }
        for (left, right) in header.options.sack.iter() {
            if let (Some(start), Some(end)) = (self.copies.position_of(left), self.copies.position_of(right))
                && start < end
            {
                self.mark(Mark { at, kind: MarkKind::Sack, start, end });
            }
        }
    }

    pub(super) fn take_series(&mut self) -> FlowSeries {
        FlowSeries {
            samples: std::mem::take(&mut self.samples),
            marks: std::mem::take(&mut self.marks),
            unmarked: self.unmarked,
        }
    }
}

impl Tap for Recorder<'_> {
    fn sent(&mut self, at: Instant, node: Node, tag: u64, packet: &[u8], note: Option<Piece<'_>>) {
        if let Some(spy) = &mut self.spy {
            spy.packet(at, node, false, packet, note.as_ref().map(|note| note as &dyn Display));
        }
        // Only where it begins its way; a router sends on under the same tag.
        let Some((header, octets, number, true)) = segment(packet) else { return };
        let Some(flow) = self.flows.get_mut(number).filter(|_| is_source(packet, node)) else { return };
        self.owners.note(tag, number as u16);
        let Some(place) = flow.copies.sent(tag, &header, octets) else { return };
        if self.keep_marks {
            let kind = if place.again { MarkKind::Again } else { MarkKind::Sent };
            flow.mark(Mark { at: at - START, kind, start: place.start, end: place.end });
        }
    }

    fn arrived(&mut self, at: Instant, node: Node, tag: u64, packet: &[u8], note: Option<&Note>) {
        if let Some(spy) = &mut self.spy {
            spy.packet(at, node, true, packet, note.map(|note| note as &dyn Display));
        }
        if !is_destination(packet, node) {
            return;
        }
        match segment(packet) {
            Some((_, _, number, true)) => {
                if let Some(flow) = self.flows.get_mut(number) {
                    flow.copies.arrived(tag);
                }
            }
            Some((header, _, number, false)) if self.keep_marks && header.flags.contains(Flags::ACK) => {
                if let Some(flow) = self.flows.get_mut(number) {
                    flow.acknowledged(at - START, &header);
                }
            }
            _ => {}
        }
    }

    fn logged(&mut self, direction: Direction, entry: &LogEntry) {
        let flow = self.owners.of(entry.tag).and_then(|number| self.flows.get_mut(number));
        match entry.event {
            Event::Gone | Event::Corrupted => {
                if let Some(flow) = flow {
                    flow.copies.lost(entry.tag);
                    if self.keep_marks && entry.event == Event::Gone {
                        flow.mark(Mark { at: entry.at - START, kind: MarkKind::Lost, start: 0, end: 0 });
                    }
                }
            }
            Event::Waited(wait) if direction == self.bottleneck => {
                if let Some(flow) = flow {
                    flow.waits.add(wait);
                    self.wait.add(wait);
                }
            }
            Event::Waited(_) | Event::Marked => {}
        }
    }
}

fn is_source(packet: &[u8], node: Node) -> bool {
    parse_ip(packet).is_ok_and(|ip| ip.source == address(node))
}

fn is_destination(packet: &[u8], node: Node) -> bool {
    parse_ip(packet).is_ok_and(|ip| ip.destination == address(node))
}
