//! One stack, its clock, and the packets that have left it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::descriptor::{Descriptor, Fd, LowestFree, Numbers};
use super::epoll::Set;
use super::errno::{Answer, Errno};
use super::knobs::Knobs;
use super::settings::Settings;
use crate::counters::DropReason;
use crate::device::RxMeta;
use crate::device::wire_view::wire_view;
use crate::rng::KeyedRng;
use crate::stack::{Progress, Stack};
use crate::time::Instant;

/// Where the clock begins: far enough from zero that nothing is earlier.
const START: Instant = Instant::from_secs(100_000);

/// Packets per call of the stack; a host that sends more at one instant is asked again.
const BUDGET: usize = 1_000;

/// The largest packet, before it is cut.
const LARGEST_PACKET: usize = 65_535;

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
        if stack.config().tcp.habits.burst.is_some() {
            // It has a meaning only where several segments leave in one piece; they are cut here.
            stack.set_offload(LARGEST_PACKET, false);
        }
        Ok(Host {
            stack,
            now: START,
            table: BTreeMap::new(),
            sets: BTreeMap::new(),
            numbers,
            settings,
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
        settings.knobs.merge(knobs);
        if settings != self.settings {
            self.stack.configure(|config| *config = settings.config())?;
            self.settings = settings;
        }
        Ok(())
    }

    /// A packet arrives.
    pub fn inject(&mut self, packet: &[u8]) -> Option<DropReason> {
        let dropped = self.stack.handle_packet(self.now, packet, &RxMeta::plain(packet.len()));
        self.settle();
        dropped
    }

    /// The next packet that has left, and when it did.
    pub fn take_packet(&mut self) -> Option<(Instant, Vec<u8>)> {
        self.sent.pop_front()
    }

    /// When something will happen by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.stack.next_deadline()
    }

    /// Moves the clock to the next thing that happens by itself, but no further than to `until`; false once it is there.
    pub fn step_to(&mut self, until: Instant) -> bool {
        let next = self.next_deadline().filter(|&at| at <= until);
        self.now = self.now.max(next.unwrap_or(until));
        if next.is_some() {
            self.stack.handle_deadline(self.now);
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
        let now = self.now;
        for _ in 0..MAX_ROUNDS {
            while let Some(ready) = self.stack.poll_ready() {
                self.wake(ready);
            }
            let sent = &mut self.sent;
            let progress = self.stack.transmit(now, BUDGET, |transmit| {
                for packet in wire_view(&transmit.to_vec(), transmit.meta.gso_size, false) {
                    sent.push_back((now, packet.into_owned()));
                }
                Ok(())
            });
            if progress == Progress::Idle && self.stack.is_quiet() {
                break;
            }
        }
        self.wake_writers();
        self.look_around();
    }

    pub(super) fn descriptor(&self, fd: Fd) -> Answer<&Descriptor> {
        self.table.get(&fd).ok_or(Errno::EBADF)
    }

    pub(super) fn descriptor_mut(&mut self, fd: Fd) -> Answer<&mut Descriptor> {
        self.table.get_mut(&fd).ok_or(Errno::EBADF)
    }

    /// There is such a descriptor.
    pub fn has(&self, fd: Fd) -> bool {
        self.table.contains_key(&fd) || self.sets.contains_key(&fd)
    }
}
