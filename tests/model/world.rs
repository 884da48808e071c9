//! The world that is explored: two real stacks, an application on each, and a link that has only so many faults to give.
//!
//! A [`World`] is changed by [`Action`]s alone, and the same actions lead to the same world: a stack cannot be copied, so a
//! state is reached by what led to it, from the start.

use std::collections::VecDeque;
use std::time::Duration;

use glasstcp::time::Instant;

use super::action::{Action, Side};
use super::cookies;
use super::host::Host;
use super::sabotage::Sabotage;
use super::scenario::{Cookie, Role, Scenario};
use super::segment::{Flying, Numbers};

/// How long a packet takes at least, and its receiver to handle it.
pub const TICK: Duration = Duration::from_millis(1);

/// Between what came before the beginning and the beginning.
const LEARNED: Duration = Duration::from_secs(1);

/// How long a packet can be late at most (MSL): half of TIME-WAIT.
pub const LIFETIME: Duration = Duration::from_secs(30);
/// Everything. See the module's text.
#[derive(Debug)]
pub struct World<'a> {
    /// What may happen in it.
    pub scenario: &'a Scenario,
    /// A and B.
    pub hosts: [Host; 2],
    /// What A has sent, and what B has; first in, first out.
    pub wires: [VecDeque<Flying>; 2],
    /// What was held up.
    pub held: [Vec<Flying>; 2],
    /// Faults so far.
    pub faults: u8,
    /// The time.
    pub now: Instant,
    /// An application has done what may cost the other one data: errors may follow.
    pub disorder: bool,
    /// RSTs of each side that the link has lost.
    pub lost_resets: [u8; 2],
    /// It has aborted where no RST is sent (RFC 9293 section 3.10.5: CLOSING and LAST-ACK).
    pub silent: [bool; 2],
    /// What is wrong, once something is.
    pub broken: Option<String>,
    /// Sequence numbers, to print and to compare.
    pub numbers: Numbers,
    /// Readers read as soon as there is something.
    pub eager: bool,
    /// What happened, in words.
    pub log: Option<Vec<String>>,
    /// A mistake of B.
    pub sabotage: Option<Sabotage>,
    /// When it began.
    pub started: Instant,
}

impl<'a> World<'a> {
    /// Before anything has happened.
    pub fn new(scenario: &'a Scenario, sabotage: Option<Sabotage>) -> World<'a> {
        let mut now = Instant::from_secs(1_000);
        let mut hosts = [0, 1].map(|side| Host::new(scenario, side, now));
        for side in [0, 1] {
            if matches!(scenario.cookies[usize::from(side)], Cookie::Known | Cookie::Refused) {
                cookies::learn(&mut hosts, side, now);
                now += LEARNED;
            }
        }
        hosts
            .iter_mut()
            .zip(scenario.roles)
            .filter(|(_, role)| *role == Role::Passive)
            .for_each(|(host, _)| host.listen(scenario));
        World {
            scenario,
            hosts,
            wires: Default::default(),
            held: Default::default(),
            faults: 0,
            now,
            disorder: false,
            lost_resets: [0; 2],
            silent: [false; 2],
            broken: None,
            numbers: Numbers::default(),
            eager: scenario.eager,
            log: None,
            sabotage,
            started: now,
        }
    }

    /// The world after these actions.
    pub fn after(scenario: &'a Scenario, sabotage: Option<Sabotage>, path: &[Action]) -> World<'a> {
        let mut world = World::new(scenario, sabotage);
        path.iter().for_each(|&action| world.apply(action));
        world
    }

    /// When the next timer of either side is due.
    pub fn deadline(&self) -> Option<Instant> {
        let muted = |at: usize| self.sabotage == Some(Sabotage::NoTimers) && at == 1;
        (0..2).filter(|&at| !muted(at)).filter_map(|at| self.hosts[at].deadline()).min()
    }

    /// Does it.
    pub fn apply(&mut self, action: Action) {
        if self.broken.is_some() {
            return;
        }
        self.note(|world| world.in_words(action));
        match action {
            Action::Open(side) => self.open(side),
            Action::Send(side) => self.send(side),
            Action::Receive(side) => self.read(side),
            Action::HalfClose(side) => self.half_close(side),
            Action::SendAndHalfClose(side) => {
                self.send(side);
                self.half_close(side);
            }
            Action::SendAndClose(side) => {
                self.send(side);
                self.close(side);
            }
            Action::Close(side) => self.close(side),
            Action::Abort(side) => self.abort(side),
            Action::StopListening(side) => {
                let host = &mut self.hosts[usize::from(side)];
                if let Some(listener) = host.listener.take() {
                    host.stack.listener_close(self.now, listener);
                }
                self.disorder = true;
            }
            Action::Deliver(side) | Action::Duplicate(side) => {
                let flying = self.wires[usize::from(side)].pop_front();
                let Some(flying) = flying else { return };
                if matches!(action, Action::Duplicate(_)) {
                    self.faults += 1;
                    self.held[usize::from(side)].push(flying.clone());
                }
                self.arrive(side, &[flying]);
            }
            Action::DeliverAll(side) => {
                let all: Vec<Flying> = self.wires[usize::from(side)].drain(..).collect();
                self.arrive(side, &all);
            }
            Action::Lose(side) => {
                self.faults += 1;
                if let Some(lost) = self.wires[usize::from(side)].pop_front() {
                    self.lost(side, &lost);
                }
            }
            Action::Delay(side) => {
                self.faults += 1;
                let late = self.wires[usize::from(side)].pop_front();
                self.held[usize::from(side)].extend(late);
            }
            Action::Late(side, index) => {
                let flying = self.held[usize::from(side)].remove(usize::from(index));
                self.arrive(side, &[flying]);
            }
            Action::Timer => self.pass_time(),
        }
        self.turn();
    }

    /// Timers that have become due meanwhile.
    pub(super) fn expire(&mut self) {
        for at in 0..2 {
            if self.hosts[at].deadline().is_some_and(|deadline| deadline <= self.now) {
                self.hosts[at].stack.handle_deadline(self.now);
            }
        }
    }

    fn pass_time(&mut self) {
        let Some(at) = self.deadline() else { return };
        self.now = self.now.max(at);
        for side in [0, 1] {
            let now = self.now;
            let held = std::mem::take(&mut self.held[usize::from(side)]);
            let (alive, dead): (Vec<Flying>, Vec<Flying>) =
                held.into_iter().partition(|flying| now - flying.sent_at < LIFETIME);
            self.held[usize::from(side)] = alive;
            dead.iter().for_each(|lost| self.lost(side, lost));
        }
        self.note(|world| format!("    it is {:.3} s", (world.now - world.started).as_secs_f64()));
        self.expire();
    }

    /// After whatever has happened: events, connections to accept, eager readers, packets.
    fn turn(&mut self) {
        for at in 0..2 {
            self.accept(at);
            self.end_of_syn(at);
            self.transmit(at);
            self.hear(at);
            while self.eager && self.broken.is_none() && self.wakes(at) {
                self.read(at as Side);
                self.transmit(at);
                self.hear(at);
            }
        }
    }

    /// Something must not be.
    pub fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    /// Writes a line of the log, if there is one.
    pub fn note(&mut self, line: impl FnOnce(&World<'_>) -> String) {
        let Some(mut log) = self.log.take() else { return };
        log.push(line(self));
        self.log = Some(log);
    }
}
