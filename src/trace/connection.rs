//! The connections of a capture: segments in order, with numbers relative to the ISS that do not wrap.
//!
//! A connection is a four-tuple from one SYN to the next. A SYN with another ISS begins a new one where the old one is over
//! (a RST, or both FINs), and else once a SYN,ACK answers it: a SYN that somebody forges into a connection belongs to it.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::net::SocketAddr;

use super::capture::{self, CaptureError, Ending};
use super::segment::{Loose, Parser, Seg, Side, Skipped};
use crate::wire::tcp::Flags;

/// Segments that are kept at most, over all connections.
pub const MAX_SEGMENTS: usize = 4 << 20;
/// Connections at most.
pub const MAX_CONNECTIONS: usize = 1 << 20;
/// A number further ahead than this of what was seen is somebody's invention: no window is larger.
const PLAUSIBLE: i64 = 1 << 30;

/// One connection of a capture.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its number in the capture, from 1.
    pub number: usize,
    /// Who opened it; where no SYN was captured, the end with the higher port.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// Its segments, in the order of the capture.
    pub segs: Vec<Seg>,
    spaces: [Space; 2],
    reset: bool,
    /// A SYN with another ISS, whose answer decides whether it begins a new connection.
    again: Option<(usize, Side, u32)>,
}

/// The sequence space of one side.
#[derive(Clone, Copy, Debug, Default)]
struct Space {
    /// The ISS, known or concluded.
    base: Option<u32>,
    /// Its SYN was captured.
    syn: bool,
    /// It has sent something.
    spoke: bool,
    fin: bool,
    /// The furthest relative number that was seen, to count beyond 2^32.
    furthest: i64,
}

impl Space {
    /// The relative number of a sequence number; the nearest one to those seen before.
    fn relative(&mut self, seq: u32) -> i64 {
        let base = *self.base.get_or_insert(seq.wrapping_sub(1));
        let reference = base.wrapping_add(self.furthest as u32);
        let distance = i64::from(seq.wrapping_sub(reference) as i32);
        let at = self.furthest + distance;
        if (0..PLAUSIBLE).contains(&distance) {
            self.furthest = at;
        }
        at
    }
}

const fn index(side: Side) -> usize {
    match side {
        Side::Client => 0,
        Side::Server => 1,
    }
}

impl Connection {
    fn new(number: usize, client: SocketAddr, server: SocketAddr) -> Connection {
        let spaces = [Space::default(); 2];
        Connection { number, client, server, segs: Vec::new(), spaces, reset: false, again: None }
    }

    /// The address of a side.
    pub fn address(&self, side: Side) -> SocketAddr {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// The ISS of a side; without its SYN, one less than the first number that was seen of it.
    pub fn base(&self, side: Side) -> Option<u32> {
        self.spaces[index(side)].base
    }

    /// The SYN of this side was captured.
    pub fn has_syn(&self, side: Side) -> bool {
        self.spaces[index(side)].syn
    }

    /// When its first segment was captured.
    pub fn start_ns(&self) -> u64 {
        self.segs.first().map_or(0, |seg| seg.time_ns)
    }

    /// The SYN that this side sent, if it was captured.
    pub fn syn(&self, side: Side) -> Option<&Seg> {
        if !self.has_syn(side) {
            return None;
        }
        self.segs.iter().find(|seg| seg.from == side && seg.has(Flags::SYN) && seg.at == 0)
    }

    /// By how many bits the windows of this side are shifted, once both SYNs are through; `None` where its SYN was not
    /// captured, so that nobody knows.
    pub fn shift(&self, side: Side) -> Option<u8> {
        let scale = |side| self.syn(side).map(|syn| syn.options.parsed().window_scale);
        match (scale(side)?, scale(side.other())) {
            (Some(count), Some(Some(_)) | None) => Some(count.min(14)),
            _ => Some(0),
        }
    }

    /// What the window of a segment stands for, in octets.
    pub fn window(&self, seg: &Seg) -> u64 {
        let shift = if seg.has(Flags::SYN) { 0 } else { self.shift(seg.from).unwrap_or(0) };
        u64::from(seg.window) << shift
    }

    /// Octets of text that this side sent, each once.
    pub fn text(&self, side: Side) -> u64 {
        let ends = self.segs.iter().filter(|seg| seg.from == side && seg.text > 0 && seg.at >= 0);
        let end = ends.map(|seg| seg.text_at() + i64::from(seg.text)).max();
        end.map_or(0, |end| u64::try_from(end - 1).unwrap_or(0))
    }

    /// Stretches of the sequence space of this side that the other side has acknowledged although the capture never shows
    /// them: it lacks packets.
    pub fn holes(&self, side: Side) -> Vec<(i64, i64)> {
        let own = self.segs.iter().filter(|seg| seg.from == side && !seg.has(Flags::RST));
        // What acknowledges says where its sender stands, so everything before that was sent.
        let mut seen: Vec<(i64, i64)> = own.map(|seg| (seg.at, seg.end())).collect();
        seen.sort_unstable();
        let acks = self.segs.iter().filter(|seg| seg.from != side && seg.has(Flags::ACK) && !seg.has(Flags::RST));
        let acknowledged = acks.map(|seg| seg.ack_at).max().unwrap_or(0);
        let mut holes = Vec::new();
        let mut reached = seen.first().map_or(0, |first| first.0);
        for (at, end) in seen {
            if at > reached && at <= acknowledged {
                holes.push((reached, at));
            }
            reached = reached.max(end);
        }
        holes
    }

    fn over(&self) -> bool {
        self.reset || self.spaces.iter().all(|space| space.fin)
    }

    fn push(&mut self, mut seg: Seg, from: Side) {
        let (own, other) = (index(from), index(from.other()));
        if seg.has(Flags::SYN) && (self.spaces[own].base.is_none() || !self.spaces[own].spoke) {
            self.spaces[own] = Space { base: Some(seg.seq), syn: true, ..self.spaces[own] };
        }
        self.spaces[own].spoke = true;
        seg.from = from;
        seg.at = self.spaces[own].relative(seg.seq);
        if seg.has(Flags::ACK) {
            seg.ack_at = self.spaces[other].relative(seg.ack);
        }
        self.spaces[own].fin |= seg.has(Flags::FIN);
        self.reset |= seg.has(Flags::RST);
        self.segs.push(seg);
    }

    /// What a SYN from this side is to the connection.
    fn takes_syn(&mut self, seg: &Seg, from: Side) -> bool {
        let space = self.spaces[index(from)];
        if !seg.has(Flags::SYN) || seg.has(Flags::ACK) || space.base == Some(seg.seq) || !space.spoke {
            return true;
        }
        if self.over() {
            return false;
        }
        self.again = Some((self.segs.len(), from, seg.seq));
        true
    }

    /// Splits off what a SYN has begun, if this segment is its SYN,ACK.
    fn split(&mut self, seg: &Seg, from: Side) -> Option<Vec<Seg>> {
        let (place, side, iss) = self.again?;
        // Of the SYN alone, or of text that it carries as well (RFC 7413).
        let syn = self.segs.get(place).map_or(1, Seg::len);
        let acknowledged = seg.ack.wrapping_sub(iss);
        let answers = seg.has(Flags::SYN | Flags::ACK) && side != from && (1..=syn).contains(&acknowledged);
        (answers && self.base(side) != Some(iss)).then(|| {
            self.again = None;
            self.segs.split_off(place)
        })
    }
}

/// What a capture holds.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its connections, by their first segment.
    pub connections: Vec<Connection>,
    /// How many frames it has.
    pub frames: u64,
    /// Frames that were not looked at.
    pub skipped: BTreeMap<Skipped, u64>,
    /// Segments that were left out because there were too many.
    pub left_out: u64,
    /// How the file ended.
    pub ending: Ending,
}

/// Reads a capture.
///
/// # Errors
/// Why it cannot be read.
pub fn read(input: impl Read + Send) -> Result<Trace, CaptureError> {
    let mut builder = Builder::default();
    let mut parser = Parser::default();
    let (mut frames, mut skipped) = (0, BTreeMap::new());
    let ending = capture::read(input, |frame| {
        frames = frame.number;
        match parser.parse(frame) {
            Ok(loose) => builder.add(loose),
            Err(why) => *skipped.entry(why).or_insert(0) += 1,
        }
    })?;
    Ok(Trace { connections: builder.connections, frames, skipped, left_out: builder.left_out, ending })
}

/// Puts segments to their connections.
#[derive(Debug, Default)]
struct Builder {
    connections: Vec<Connection>,
    /// The latest connection of each pair of addresses, the lower one first.
    latest: HashMap<(SocketAddr, SocketAddr), usize>,
    segments: usize,
    left_out: u64,
}

impl Builder {
    fn add(&mut self, loose: Loose) {
        if self.segments >= MAX_SEGMENTS {
            self.left_out += 1;
            return;
        }
        let Loose { source, destination, seg } = loose;
        let key = (source.min(destination), source.max(destination));
        let side = |connection: &Connection| if connection.client == source { Side::Client } else { Side::Server };
        if let Some(connection) = self.latest.get(&key).and_then(|&place| self.connections.get_mut(place)) {
            let from = side(connection);
            if connection.takes_syn(&seg, from) {
                match connection.split(&seg, from) {
                    None => connection.push(seg, from),
                    Some(moved) => self.begin(key, from, moved, seg),
                }
                self.segments += 1;
                return;
            }
        }
        if self.connections.len() >= MAX_CONNECTIONS {
            self.left_out += 1;
            return;
        }
        let opens = match (seg.has(Flags::SYN), seg.has(Flags::ACK)) {
            (true, acknowledges) => !acknowledges,
            (false, _) => source.port() > destination.port(),
        };
        let (client, server) = if opens { (source, destination) } else { (destination, source) };
        let mut connection = Connection::new(self.connections.len() + 1, client, server);
        let from = side(&connection);
        connection.push(seg, from);
        self.latest.insert(key, self.connections.len());
        self.connections.push(connection);
        self.segments += 1;
    }

    /// A new connection of segments that had been taken for those of the one before, and of the SYN,ACK that `from` sent.
    fn begin(&mut self, key: (SocketAddr, SocketAddr), from: Side, moved: Vec<Seg>, syn_ack: Seg) {
        let Some(old) = self.latest.get(&key).and_then(|&place| self.connections.get(place)) else { return };
        let (client, server) = (old.address(from.other()), old.address(from));
        let swapped = from == Side::Client;
        let mut connection = Connection::new(self.connections.len() + 1, client, server);
        for seg in moved {
            let side = if swapped { seg.from.other() } else { seg.from };
            connection.push(seg, side);
        }
        connection.push(syn_ack, Side::Server);
        self.latest.insert(key, self.connections.len());
        self.connections.push(connection);
    }
}
