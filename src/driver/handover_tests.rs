//! A model of the hand-over of the driver's role: each state that two or three threads of an application and the background
//! thread can reach, by steps as small as one hold of the lock. The role and the bells are the real ones; what `Shard` and
//! `Drive` do around them is told again here, without packets and times.
//!
//! Time is what the environment does: a deadline becomes due when it likes, and so does the next look of the background.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::bell::Bell;
use super::role::{Driver, Lookout, Role, Sleep, Watch};
use crate::time::Instant;

/// A deadline of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Deadline {
    None,
    Armed,
    Due,
}

/// A thread of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Application {
    /// Does something else, and may never come back.
    Busy,
    /// Sleeps on its bell.
    Parked { notified: bool },
    /// Drives, and waits for the device; `timed`: until the deadline at most.
    Polling { timed: bool },
    /// Drives, and reads next. `last`: its time is over.
    Reading { last: bool },
    /// Drives, and has read.
    Digesting { last: bool },
}

/// The background thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Background {
    Polling { timed: bool },
    Returning,
    Reading,
    Digesting,
    Standby { timed: bool, notified: bool },
}

const MOST: usize = 3;

#[derive(Clone, Debug)]
struct Model {
    role: Role,
    lookout: Lookout,
    /// In use.
    threads: usize,
    bells: [Arc<Bell>; MOST],
    rung: [bool; MOST],
    application_event: bool,
    background_event: bool,
    /// For whom a packet lies in the device.
    device: [bool; MOST],
    /// For whom something was received, and not told yet.
    edges: [bool; MOST],
    /// For whom there is something.
    ready: [bool; MOST],
    deadline: Deadline,
    applications: [Application; MOST],
    background: Background,
}

/// All that tells states apart: the number of changes of the role counts only as "as at the last look", and looks not at all.
type Key = String;

impl Model {
    fn new(threads: usize) -> Model {
        let mut model = Model {
            role: Role::new(),
            lookout: Lookout::default(),
            threads,
            bells: Default::default(),
            rung: [false; MOST],
            application_event: false,
            background_event: false,
            device: [false; MOST],
            edges: [false; MOST],
            ready: [false; MOST],
            deadline: Deadline::None,
            applications: [Application::Busy; MOST],
            background: Background::Standby { timed: true, notified: false },
        };
        model.look();
        model
    }

    fn key(&self) -> Key {
        let bell = self.bells.iter().position(|bell| self.role.waits_for(bell));
        let parked = self.bells.iter().position(|bell| self.role.would_hand_over_to(bell));
        format!(
            "{:?}",
            (
                (
                    self.role.shape(),
                    self.role.driver(),
                    self.role.sleep.asleep,
                    self.role.sleep.until.is_some(),
                    bell,
                    parked
                ),
                self.role.same_as_at(&self.lookout),
                (self.rung, self.application_event, self.background_event),
                (self.device, self.edges, self.ready, self.deadline),
                (self.applications, self.background),
            )
        )
    }

    // --- what `Bell`, `Watches` and `Shard` do ---

    fn ring(&mut self, thread: usize) {
        self.rung[thread] = true;
        self.bells[thread].ring();
        if let Application::Parked { notified } = &mut self.applications[thread] {
            *notified = true;
        }
    }

    fn hush(&mut self, thread: usize) {
        self.rung[thread] = false;
        self.bells[thread].hush();
    }

    fn dispatch(&mut self) {
        for thread in 0..self.threads {
            if std::mem::take(&mut self.edges[thread]) {
                self.ready[thread] = true;
                self.ring(thread);
            }
        }
    }

    fn wake_background(&mut self) {
        if self.role.background_polls() {
            self.background_event = true;
        } else if let Background::Standby { notified, .. } = &mut self.background {
            *notified = true;
        }
        self.role.call_background();
    }

    fn wake_driver(&mut self) {
        self.role.sleep.asleep = false;
        match self.role.driver() {
            Driver::Application => self.application_event = true,
            Driver::Background => self.wake_background(),
            Driver::Nobody => {}
        }
    }

    fn nudge(&mut self) {
        if self.role.sleep.asleep && self.role.is_rung() {
            self.wake_driver();
        }
    }

    fn follow_up(&mut self) {
        let wrong = self.deadline != Deadline::None && self.role.sleep.until.is_none();
        if self.role.sleep.asleep && (wrong || self.role.is_rung()) {
            self.wake_driver();
        }
    }

    /// `Drive::turn`; the answer is whether the wait that follows ends at the deadline.
    fn turn(&mut self) -> bool {
        if self.deadline == Deadline::Due {
            self.deadline = Deadline::None;
        }
        self.dispatch();
        let until = (self.deadline != Deadline::None).then_some(Instant::ZERO);
        self.role.sleep = Sleep { asleep: true, until, for_room: false };
        until.is_some()
    }

    /// A call that waits, from the hold of the lock in which it looks.
    fn wait(&mut self, thread: usize) {
        // Under one hold of the lock: it takes what there is, or goes to sleep, or drives and looks again.
        loop {
            if std::mem::take(&mut self.ready[thread]) {
                self.applications[thread] = Application::Busy;
                return;
            }
            let bell = Arc::clone(&self.bells[thread]);
            if !self.role.take(&bell) {
                if self.role.park(&bell) {
                    self.wake_background();
                }
                self.applications[thread] = Application::Parked { notified: false };
                return;
            }
            self.hush(thread);
            let timed = self.turn();
            if !self.rung[thread] {
                self.applications[thread] = Application::Polling { timed };
                return;
            }
            self.release();
        }
    }

    fn release(&mut self) {
        if self.role.release() {
            self.wake_background();
        }
    }

    /// `Drive::receive`.
    fn receive(&mut self) {
        for thread in 0..self.threads {
            if std::mem::take(&mut self.device[thread]) {
                self.edges[thread] = true;
                self.role.sleep.asleep = false;
            }
        }
    }

    fn look(&mut self) {
        self.background = match self.role.look(&mut self.lookout) {
            Watch::Drive => {
                let timed = self.turn();
                self.role.background_rests();
                Background::Polling { timed }
            }
            Watch::LookAgain => Background::Standby { timed: true, notified: false },
            Watch::Doze => Background::Standby { timed: false, notified: false },
        };
    }

    // --- steps ---

    fn poll_ends(&self, event: bool, timed: bool) -> bool {
        event || self.device.contains(&true) || (timed && self.deadline == Deadline::Due)
    }

    /// What happens by itself, sooner or later: the steps of threads that have something to do.
    fn steps(&self) -> Vec<Model> {
        let mut next = Vec::new();
        let mut step = |act: &dyn Fn(&mut Model)| next.push(self.after(act));
        match self.background {
            Background::Polling { timed } if self.poll_ends(self.background_event, timed) => step(&|model| {
                model.background_event = false;
                model.background = Background::Returning;
            }),
            Background::Polling { .. } => {}
            Background::Returning => step(&|model| {
                if model.role.background_returns() {
                    model.background = Background::Reading;
                } else {
                    model.look();
                }
            }),
            Background::Reading => step(&|model| {
                model.receive();
                model.background = Background::Digesting;
            }),
            Background::Digesting => step(&|model| {
                let timed = model.turn();
                if let Some(bell) = model.role.hand_over() {
                    let thread =
                        model.bells.iter().position(|own| Arc::ptr_eq(own, &bell)).expect("it is one of these");
                    model.ring(thread);
                    model.look();
                    return;
                }
                model.role.background_rests();
                model.background = Background::Polling { timed };
            }),
            Background::Standby { timed, notified } => {
                if timed || notified {
                    // So many looks may lie behind that it dozes, or not.
                    for many in [false, true] {
                        step(&|model| {
                            model.lookout.pretend_looks(many);
                            model.look();
                        });
                    }
                }
            }
        }
        for thread in 0..self.threads {
            match self.applications[thread] {
                Application::Parked { notified: true } => step(&|model| {
                    model.role.unpark();
                    model.wait(thread);
                }),
                Application::Polling { timed } if self.poll_ends(self.application_event, timed) => step(&|model| {
                    model.application_event = false;
                    model.applications[thread] = Application::Reading { last: false };
                }),
                Application::Reading { last } => step(&|model| {
                    model.receive();
                    model.applications[thread] = Application::Digesting { last };
                }),
                Application::Digesting { last } => step(&|model| {
                    let timed = model.turn();
                    if !last && !model.rung[thread] {
                        model.applications[thread] = Application::Polling { timed };
                        return;
                    }
                    model.release();
                    if last {
                        model.ready[thread] = false;
                        model.applications[thread] = Application::Busy;
                    } else {
                        model.wait(thread);
                    }
                }),
                _ => {}
            }
        }
        next
    }

    /// What may happen or not: calls, packets, times.
    fn events(&self) -> Vec<Model> {
        let mut next = Vec::new();
        let mut event = |act: &dyn Fn(&mut Model)| next.push(self.after(act));
        if self.deadline == Deadline::Armed {
            event(&|model| model.deadline = Deadline::Due);
        }
        for thread in 0..self.threads {
            if !self.device[thread] {
                event(&|model| model.device[thread] = true);
            }
            match self.applications[thread] {
                Application::Busy => {
                    event(&|model| model.wait(thread));
                    if self.deadline == Deadline::None {
                        event(&|model| {
                            model.deadline = Deadline::Armed;
                            model.follow_up();
                        });
                    }
                    // A waker, for each of the others.
                    for other in (0..self.threads).filter(|&other| other != thread && !self.ready[other]) {
                        event(&|model| {
                            model.ready[other] = true;
                            model.ring(other);
                            model.nudge();
                        });
                    }
                }
                // Their time is over.
                Application::Parked { notified: false } => event(&|model| {
                    model.role.unpark();
                    model.applications[thread] = Application::Busy;
                }),
                Application::Polling { .. } => event(&|model| {
                    model.application_event = false;
                    model.applications[thread] = Application::Reading { last: true };
                }),
                _ => {}
            }
        }
        next
    }

    /// The state that follows. The bells are shared by all states, so each step puts them right first.
    fn after(&self, act: &dyn Fn(&mut Model)) -> Model {
        let mut model = self.clone();
        for (bell, rung) in model.bells.iter().zip(model.rung) {
            if rung { bell.ring() } else { bell.hush() }
        }
        act(&mut model);
        model
    }

    // --- properties ---

    fn check(&self) {
        let drive = |thread: &&Application| !matches!(thread, Application::Busy | Application::Parked { .. });
        let applications = self.applications.iter().filter(drive).count();
        let background = matches!(self.background, Background::Reading | Background::Digesting);
        assert!(applications + usize::from(background) <= 1, "two drive: {self:?}");
        assert_eq!(applications == 1, self.role.driver() == Driver::Application, "{self:?}");
    }

    /// Nothing waits for anybody.
    fn is_served(&self) -> bool {
        let waits = |thread: &usize| !matches!(self.applications[*thread], Application::Busy);
        let unserved = (0..self.threads).filter(waits).any(|thread| self.ready[thread]);
        !unserved && !self.device.contains(&true) && !self.edges.contains(&true) && self.deadline != Deadline::Due
    }
}

/// From every state that can be reached, the threads that have something to do get by themselves to one in which nothing
/// waits: no packet in the device, no deadline that is due, nobody asleep for whom there is something. Never do two drive.
fn explore(threads: usize) -> usize {
    let mut numbers = HashMap::new();
    let mut states = vec![Model::new(threads)];
    numbers.insert(states[0].key(), 0);
    // Who gets here by a step of its own.
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut at = 0;
    while at < states.len() {
        states[at].check();
        let (steps, events) = (states[at].steps(), states[at].events());
        let own = steps.len();
        for (index, next) in steps.into_iter().chain(events).enumerate() {
            let number = *numbers.entry(next.key()).or_insert_with(|| {
                states.push(next);
                before.push(Vec::new());
                states.len() - 1
            });
            if index < own {
                before[number].push(at);
            }
        }
        at += 1;
    }
    let mut good: Vec<bool> = states.iter().map(Model::is_served).collect();
    let mut queue: VecDeque<usize> = (0..states.len()).filter(|&number| good[number]).collect();
    while let Some(number) = queue.pop_front() {
        for &earlier in &before[number] {
            if !std::mem::replace(&mut good[earlier], true) {
                queue.push_back(earlier);
            }
        }
    }
    if let Some(stuck) = good.iter().position(|good| !good) {
        panic!(
            "{} of {} states are stuck, such as {:#?}",
            good.iter().filter(|good| !**good).count(),
            good.len(),
            states[stuck]
        );
    }
    states.len()
}

#[test]
fn nobody_sleeps_for_ever_and_never_do_two_drive() {
    let states = [1, 2].map(explore);
    assert!(states[0] > 100 && states[1] > 10 * states[0], "{states:?}");
}
