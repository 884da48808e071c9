//! One stack, its clock, and the packets that have left it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::descriptor::{Descriptor, Fd, LowestFree, Numbers};
use super::epoll::Set;
use super::errno::{Answer, Errno};
use super::knobs::Knobs;
use super::receive_memory::{Incoming, ReceiveMemory, Refused};
use super::settings::Settings;
use crate::counters::DropReason;
use crate::device::RxMeta;
use crate::device::wire_view::wire_view;
use crate::ip::address::canonical;
use crate::rng::KeyedRng;
use crate::stack::{Progress, Stack, WouldBlock};
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;
use crate::wire::tcp::{self, Flags};
use crate::wire::{parse_ip, protocol};

/// Where the clock begins: far enough from zero that nothing is earlier.
const START: Instant = Instant::from_secs(100_000);

/// Packets per call of the stack; a host that sends more at one instant is asked again.
const BUDGET: usize = 1_000;

/// The largest packet, before it is cut.
const LARGEST_PACKET: usize = 65_535;

/// A burst has a meaning only where several segments leave in one piece; they are cut here.
fn largest_packet(settings: &Settings) -> usize {
    if settings.config().tcp.habits.burst.is_some() { LARGEST_PACKET } else { 0 }
}

/// Rounds of sending at one instant. What a stack sends to itself takes turns, and they end.
const MAX_ROUNDS: usize = 100_000;

/// One stack with file descriptors, on a clock of its own.
pub struct Host {
    pub(super) stack: Stack,
    pub(super) now: Instant,
    pub(super) table: BTreeMap<Fd, Descriptor>,
    pub(super) sets: BTreeMap<Fd, Set>,
    pub(super) numbers: Box<dyn Numbers>,
    pub(super) settings: Settings,
    pub(super) receive: Vec<ReceiveMemory>,
    pub(super) refused: Refused,
    sent: VecDeque<(Instant, Vec<u8>)>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("now", &self.now).field("table", &self.table).finish_non_exhaustive()
    }
}

impl Host {
    /// A host with these settings, whose descriptors have the lowest numbers that are free.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: Settings) -> Result<Host, String> {
        Host::with_numbers(settings, Box::<LowestFree>::default())
    }

    /// A host whose descriptors have these numbers.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn with_numbers(settings: Settings, numbers: Box<dyn Numbers>) -> Result<Host, String> {
        let mut stack = Stack::new(settings.config(), KeyedRng::from_seed(settings.seed), START)?;
        stack.set_offload(largest_packet(&settings), false);
        Ok(Host {
            stack,
            now: START,
            table: BTreeMap::new(),
            sets: BTreeMap::new(),
            numbers,
            settings,
            receive: Vec::new(),
            refused: Refused::default(),
            sent: VecDeque::new(),
        })
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The stack, to look at.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// What it was told at its start, and since.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes settings by the names of sysctls, from now on.
    ///
    /// # Errors
    /// What is wrong with them; nothing is changed then.
    pub fn set_knobs(&mut self, knobs: &Knobs) -> Result<(), String> {
        let mut settings = self.settings.clone();
        settings.take(knobs);
        if settings != self.settings {
            self.stack.configure(|config| *config = settings.config())?;
            self.stack.set_offload(largest_packet(&settings), false);
            let route = settings.knobs.route();
            if let Some((destination, mtu)) = route.filter(|_| route != self.settings.knobs.route()) {
                self.stack.set_path_mtu(destination, mtu);
            }
            if settings.knobs.forgotten() != self.settings.knobs.forgotten() {
                self.stack.fast_open_forget();
            }
            self.settings = settings;
        }
        Ok(())
    }

    /// A packet arrives.
    pub fn inject(&mut self, packet: &[u8]) -> Option<DropReason> {
        if self.settings.persona.drops_signed_segments() && is_signed(packet) {
            return Some(DropReason::TcpOption);
        }
        let mut meta = RxMeta::plain(packet.len());
        let incoming = self.incoming(packet);
        let text = incoming.map_or(0, |incoming| incoming.len);
        if let Some(segment) = self.settings.segment.filter(|&segment| text > u32::from(segment)) {
            meta.gso_size = segment;
        }
        let known = incoming.filter(|_| self.settings.persona.counts_receive_memory());
        let dropped = match known {
            Some(incoming) => self.deliver_counted(&incoming, packet, &meta),
            None => self.stack.handle_packet(self.now, packet, &meta),
        };
        self.settle();
        dropped
    }

    fn deliver_counted(&mut self, incoming: &Incoming, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        let edge = self.window_edge(incoming);
        if !self.admit(incoming) {
            return Some(DropReason::TcpOutOfWindow);
        }
        let dropped = self.stack.handle_packet(self.now, packet, meta);
        self.received(incoming, edge);
        dropped
    }

    /// What a packet brings to which connection.
    fn incoming(&self, packet: &[u8]) -> Option<Incoming> {
        let ip = parse_ip(packet).ok().filter(|ip| ip.protocol == protocol::TCP && ip.fragment.is_none())?;
        let (header, text) = tcp::parse(ip.payload).ok()?;
        let end = |address, port| canonical(SocketAddr::new(address, port));
        let local = end(ip.destination, header.destination_port);
        let remote = end(ip.source, header.source_port);
        let handle = self.stack.tcp_between(local, remote);
        let len = text.len() as u32;
        let segment = self.settings.segment.map_or(len, |segment| len.min(u32::from(segment)));
        Some(Incoming {
            ends: (local, remote),
            handle,
            seq: SeqNumber(header.seq),
            len,
            segment,
            packet: packet.len() as u32,
            fin: header.flags.contains(Flags::FIN),
            control: header.flags.contains(Flags::SYN) || header.flags.contains(Flags::RST),
        })
    }

    /// The next packet that has left, and when it did.
    pub fn take_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }

    /// When something will happen by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (stack, tried) = (self.stack.next_deadline(), self.next_try());
        stack.map_or(tried, |at| Some(tried.map_or(at, |tried| at.min(tried))))
    }

    /// Moves the clock to the next thing that happens by itself, but no further than to `until`; false once it is there.
    pub fn step_to(&mut self, until: Instant) -> bool {
        let next = self.next_deadline().filter(|&at| at <= until);
        self.now = self.now.max(next.unwrap_or(until));
        if next.is_some() {
            self.stack.handle_deadline(self.now);
            self.try_again();
            self.settle();
        }
        next.is_some()
    }

    /// Moves the clock, and lets everything happen on the way.
    pub fn advance_to(&mut self, until: Instant) {
        while self.step_to(until) {}
    }

    /// Moves the clock by so much.
    pub fn advance(&mut self, by: Duration) {
        self.advance_to(self.now + by);
    }

    /// Everything that is due leaves.
    pub(super) fn settle(&mut self) {
        let (now, shut) = (self.now, self.is_device_shut());
        for _ in 0..MAX_ROUNDS {
            while let Some(ready) = self.stack.poll_ready() {
                self.wake(ready);
            }
            let sent = &mut self.sent;
            let progress = self.stack.transmit(now, BUDGET, |transmit| {
                if shut {
                    return Err(WouldBlock);
                }
                for packet in wire_view(&transmit.to_vec(), transmit.meta.gso_size, false) {
                    sent.push_back((now, packet.into_owned()));
                }
                Ok(())
            });
            if progress == Progress::Blocked || progress == Progress::Idle && self.stack.is_quiet() {
                break;
            }
        }
        self.wake_writers();
        self.look_around();
        self.gather_notices();
        self.note_waiting();
        self.forget_receive_memory();
    }

    pub(super) fn descriptor(&self, fd: Fd) -> Answer<&Descriptor> {
        self.table.get(&fd).ok_or(Errno::EBADF)
    }

    pub(super) fn descriptor_mut(&mut self, fd: Fd) -> Answer<&mut Descriptor> {
        self.table.get_mut(&fd).ok_or(Errno::EBADF)
    }

    /// Segments that were refused, as Linux counts them.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// There is such a descriptor.
    pub fn has(&self, fd: Fd) -> bool {
        self.table.contains_key(&fd) || self.sets.contains_key(&fd)
    }
}

/// A segment with the option of RFC 2385. No key can be set here, so nobody has agreed on one.
fn is_signed(packet: &[u8]) -> bool {
    const MD5: u8 = 19;
    let Ok(ip) = parse_ip(packet) else { return false };
    if ip.protocol != protocol::TCP {
        return false;
    }
    let header = ip.payload.get(12).map_or(0, |octet| usize::from(octet >> 4) * 4);
    let mut options = ip.payload.get(20..header).unwrap_or_default();
    loop {
        options = match *options {
            [MD5, ..] => return true,
            [1, ref rest @ ..] => rest,
            [kind, len, ..] if kind > 1 && len >= 2 => options.get(usize::from(len)..).unwrap_or_default(),
            _ => return false,
        }
    }
}
