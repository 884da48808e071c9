//! The driver: what stands between a [`Stack`] that does nothing by itself and a device, a clock and threads.
//!
//! A [`Shard`] is one stack behind one lock, one device, and one background thread. The lock is never held across a read or
//! a wait, and is released after at most [`TRANSMIT_BUDGET`] writes to the device.
//!
//! A call of the application takes the lock, does its work, sends what became due, and leaves the rest to the one who
//! drives, whom it wakes only if that one sleeps on something that has become wrong: a later deadline, or room in the
//! device that it does not wait for. Who drives, and why it is mostly the thread that waits, stands in `role.rs`.

mod bell;
mod core;
mod drive;
mod eager;
#[cfg(test)]
mod handover_tests;
mod role;
mod siblings;
mod thread;
mod watch;

pub use self::core::{Core, End, TRANSMIT_BUDGET};
pub use self::watch::{PollerId, Registration, Report};

use self::bell::Bell;
use self::drive::Reader;
use self::role::Driver;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use crate::config::{BusyPoll, Config};
use crate::device::Device;
use crate::device::poll::Eventfd;
use crate::error::SocketError;
use crate::rng::KeyedRng;
use crate::stack::{Progress, Readiness, SocketHandle, Stack};
use crate::time::Instant;

/// How long the last answers of a network that is being closed may take to leave.
const FLUSH: Duration = Duration::from_millis(200);

/// One stack with its device and its thread.
pub struct Shard {
    core: Mutex<Core>,
    device: Box<dyn Device>,
    /// Where the driver reads packets. Whoever drives uses the same one, as it is in the processor's cache.
    reader: Mutex<Reader>,
    /// Wakes an application that drives.
    application_event: Eventfd,
    /// Wakes the background thread while it drives.
    background_event: Eventfd,
    /// Wakes the background thread while it does not drive.
    standby: Bell,
    started: Clock,
    /// See [`Config::busy_poll`].
    busy_poll: BusyPoll,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The shards of the same host on other queues of the device, if there are any.
    siblings: OnceLock<Box<[Weak<Shard>]>>,
}

/// How long the device of a busy loop may go unattended.
const GLANCE_AFTER: Duration = Duration::from_micros(50);

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Clock),
    /// For ever.
    Endless,
}

impl Patience {
    /// For a time; `None` is for ever, and so is what the clock cannot hold.
    pub fn of(timeout: Option<Duration>) -> Patience {
        match timeout {
            Some(timeout) => Clock::now().checked_add(timeout).map_or(Patience::Endless, Patience::Until),
            None => Patience::Endless,
        }
    }
}

impl Shard {
    /// Starts a stack on a device. The MTU of the settings is lowered to that of the device.
    ///
    /// # Errors
    /// `InvalidInput` for settings that cannot work, and when the system gives no randomness, descriptor or thread.
    pub fn start(device: Box<dyn Device>, config: Config) -> io::Result<Arc<Shard>> {
        let shard = Shard::new(device, config, KeyedRng::from_system()?, Clock::now())?;
        shard.start_thread()?;
        Ok(shard)
    }

    /// A shard whose thread has not started.
    fn new(device: Box<dyn Device>, mut config: Config, rng: KeyedRng, started: Clock) -> io::Result<Arc<Shard>> {
        let capabilities = device.capabilities();
        config.mtu = config.mtu.min(capabilities.mtu);
        config.tcp.queue_limit = config.tcp.queue_limit.or(capabilities.queue_limit);
        let (busy_poll, big_tcp) = (config.busy_poll, config.big_tcp);
        let mut stack =
            Stack::new(config, rng, Instant::ZERO).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        stack.set_offload(capabilities.max_super_v4.min(capabilities.max_super_v6), capabilities.tx_checksum);
        stack.set_udp_segmentation(capabilities.udp_segmentation);
        stack.set_traced(device.wants_notes());
        stack.set_big_packets(if big_tcp { capabilities.max_big_v4 } else { 0 });
        Ok(Arc::new(Shard {
            core: Mutex::new(Core::new(stack)),
            device,
            reader: Mutex::default(),
            application_event: Eventfd::new()?,
            background_event: Eventfd::new()?,
            standby: Bell::default(),
            started,
            busy_poll,
            thread: Mutex::new(None),
            siblings: OnceLock::new(),
        }))
    }

    /// The device.
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// Takes the lock. A thread that panicked while it held it has broken at most what it was working on.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by the stack's clock.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// A call of the application that never waits, with all that follows from it.
    pub fn call<R>(&self, call: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let mut core = self.lock();
        let now = self.now();
        let result = call(&mut core, now);
        self.follow_up(&mut core, now);
        result
    }

    /// A call of the application that is tried again as often as its socket changes, until it does not answer
    /// `WouldBlock`. `interest` is what it waits for.
    ///
    /// # Errors
    /// What the call answers, `WouldBlock` when there is no more patience, `NetworkDown` when everything has ended.
    pub fn call_patiently<R>(
        &self,
        socket: SocketHandle,
        interest: Readiness,
        patience: Patience,
        mut call: impl FnMut(&mut Core, Instant) -> Result<R, SocketError>,
    ) -> io::Result<R> {
        let mut core = self.lock();
        loop {
            let now = self.now();
            let result = call(&mut core, now);
            if interest == Readiness::READABLE && core.role.driver() == Driver::Nobody {
                // What reading makes due leaves with the answer, or when this thread comes back to wait.
                core.dispatch();
            } else {
                self.follow_up(&mut core, now);
            }
            match result {
                Ok(result) => return Ok(result),
                Err(SocketError::WouldBlock) => {
                    core.check()?;
                    // The stack reports no edge for it.
                    if interest == Readiness::WRITABLE && matches!(socket, SocketHandle::Udp(_)) {
                        core.starve(socket);
                    }
                }
                Err(error) => return Err(core.explain(error)),
            }
            let until = match patience {
                Patience::None => return Err(SocketError::WouldBlock.into()),
                Patience::Until(until) if until <= Clock::now() => return Err(SocketError::WouldBlock.into()),
                Patience::Until(until) => Some(until),
                Patience::Endless => None,
            };
            core = self.wait_for_change(core, socket, interest, until);
        }
    }

    fn wait_for_change<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        socket: SocketHandle,
        interest: Readiness,
        until: Option<Clock>,
    ) -> MutexGuard<'a, Core> {
        let ready = core.stack.readiness(socket).any(interest);
        // A writer that has room but no memory: nothing tells when others have given some back.
        let recheck = ready.then(|| Clock::now() + Duration::from_millis(10));
        let bell = core.bell(socket);
        let until = earlier(until, recheck);
        self.park(core, &bell, until)
    }

    /// Gives the lock back until the bell rings or the time has come; it may also return early. Meanwhile the thread drives
    /// if it may.
    pub fn park<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        bell: &Arc<Bell>,
        until: Option<Clock>,
    ) -> MutexGuard<'a, Core> {
        if core.role.take(bell) {
            return self.drive_until(core, bell, until);
        }
        if core.role.park(bell) {
            self.wake_background(&mut core);
        }
        let timeout = until.map(|until| until.saturating_duration_since(Clock::now()));
        let mut core = bell.sleep(core, timeout);
        core.role.unpark();
        core
    }

    /// Wakes the driver if it sleeps and what it waits for may have happened.
    pub fn nudge(&self, core: &mut Core) {
        if core.role.sleep.asleep && core.role.is_rung() {
            self.wake_driver(core);
        }
    }

    fn wake_driver(&self, core: &mut Core) {
        core.role.sleep.asleep = false;
        match core.role.driver() {
            Driver::Application => self.application_event.notify(),
            Driver::Background => self.wake_background(core),
            Driver::Nobody => {}
        }
    }

    /// Wakes the background thread, wherever it sleeps.
    fn wake_background(&self, core: &mut Core) {
        if core.role.background_polls() {
            self.background_event.notify();
        } else {
            self.standby.ring();
        }
        core.role.call_background();
    }

    /// After a call: tells those who wait, sends what is due, and wakes the driver if it sleeps on something wrong.
    pub fn follow_up(&self, core: &mut Core, now: Instant) {
        if core.in_batch {
            // The driver is awake and sends at the end of its batch, so that the batch shares one ACK.
            return core.dispatch();
        }
        let progress = core.transmit(&*self.device, now, TRANSMIT_BUDGET);
        core.dispatch();
        let sleep = core.role.sleep;
        let wrong = match progress {
            Progress::Idle => {
                let next = core.stack.next_deadline();
                core.end().is_some()
                    || core.has_strays()
                    || next.is_some_and(|next| sleep.until.is_none_or(|until| next < until))
            }
            Progress::More => true,
            Progress::Blocked => !sleep.for_room,
        };
        if sleep.asleep && (wrong || core.role.is_rung()) {
            self.wake_driver(core);
        }
    }

    /// Waits until `done`, which is asked after each turn of the driver; false if that was not before `until`, or if
    /// everything ended meanwhile.
    pub fn wait_until(&self, until: Clock, mut done: impl FnMut(&Core) -> bool) -> bool {
        let mut core = self.lock();
        core.finishing += 1;
        let result = loop {
            if done(&core) {
                break true;
            }
            if core.end().is_some() || until <= Clock::now() {
                break false;
            }
            let bell = Arc::clone(&core.turned);
            core = self.park(core, &bell, Some(until));
        };
        core.finishing -= 1;
        result
    }

    /// What a poller has to report, as soon as there is anything.
    ///
    /// # Errors
    /// `NetworkDown` when everything has ended.
    pub fn wait_ready(&self, id: PollerId, most: usize, patience: Patience, out: &mut Vec<Report>) -> io::Result<()> {
        let mut core = self.lock();
        let mut looked = false;
        loop {
            core.check()?;
            let Core { stack, watches, .. } = &mut *core;
            for socket in watches.collect(stack, id, most, out) {
                core.starve(socket);
            }
            let now = Clock::now();
            let until = match patience {
                _ if !out.is_empty() => {
                    self.glance(core);
                    return Ok(());
                }
                // A loop that never waits drives too: it looks once what the device has.
                Patience::None if !looked => Some(now),
                Patience::None => return Ok(()),
                Patience::Until(until) if until <= now => return Ok(()),
                Patience::Until(until) => Some(until),
                Patience::Endless => None,
            };
            looked = true;
            let bell = core.watches.poller_bell(id);
            core = self.park(core, &bell, until);
        }
    }

    /// A loop that is busy finds something whenever it comes to wait, and so never waits: it looks after the device in
    /// passing, if nobody has for some time.
    fn glance(&self, mut core: MutexGuard<'_, Core>) {
        // By the time of the last call, as asking for the time is what most of this would cost.
        if core.stack.now().saturating_since(core.received) > GLANCE_AFTER && core.take_role() {
            self.drive_once(core);
        }
    }

    /// Closes everything: sockets are let go of, what is on its way may finish for at most `timeout`, the rest is reset,
    /// and the thread ends. The answer is how many connections were reset. Later calls answer 0 at once.
    pub fn close(&self, timeout: Duration) -> usize {
        self.call(|core, now| {
            if core.end().is_none() && !core.closing {
                core.closing = true;
                core.stack.close_all(now);
                core.watches.wake_everybody();
            }
        });
        let until = Clock::now().checked_add(timeout).unwrap_or_else(|| Clock::now() + Duration::from_secs(86_400));
        self.wait_until(until, |core| core.stack.orphans() == 0);
        let mut core = self.lock();
        let mut reset = 0;
        if core.end().is_none() {
            reset = core.stack.abort_orphans(self.now());
            core = self.flush(core);
            core.finish(End { kind: io::ErrorKind::NotConnected, text: "the network was closed".into(), closed: true });
        }
        self.wake_background(&mut core);
        self.nudge(&mut core);
        drop(core);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It fails if the thread panicked, which has been reported.
            let _ = thread.join();
        }
        if reset > 0 {
            tracing::warn!(target: "glasstcp::driver", connections = reset, "reset what had not finished in time");
        }
        reset
    }

    /// Sends what is due now, for as long as the device takes it or soon does.
    fn flush<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        let until = Clock::now() + FLUSH;
        while core.end().is_none() && Clock::now() < until {
            match core.transmit(&*self.device, self.now(), TRANSMIT_BUDGET) {
                Progress::Idle => break,
                Progress::More => {}
                Progress::Blocked => core = self.park(core, &Arc::default(), Some(Clock::now() + drive::RETRY)),
            }
        }
        core
    }
}

/// The earlier of two times, or the shorter of two waits; `None` is never.
fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    [a, b].into_iter().flatten().min()
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("device", &self.device.name()).finish_non_exhaustive()
    }
}
