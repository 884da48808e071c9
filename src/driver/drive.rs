//! What a driver does, whoever it is: packets in, deadlines, readiness, packets out, sleep.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant as Clock};

use super::bell::Bell;
use super::core::{Core, End, TRANSMIT_BUDGET};
use super::eager::Waited;
use super::role::Sleep;
use super::{Shard, earlier};
use crate::buffer::Chunk;
use crate::counters::DropReason;
use crate::device::poll::{self, Eventfd, PollFd};
use crate::stack::Progress;
use crate::time::Instant;

/// Packets read before deadlines and sending have their turn.
const RECEIVE_BATCH: usize = 64;

/// Octets read before that. What was received is then still in the processor's cache when the application reads it.
const RECEIVE_OCTETS: usize = 512 * 1024;

/// Octets of a packet that is short: a request, an answer, an acknowledgment.
const SHORT: usize = 512;

/// Packets of a batch for which the clock is read once.
const PACKETS_PER_LOOK: usize = 8;

/// How many lone packets in a row are taken without asking for a second one.
const LONE: u8 = 16;

/// How soon a device is tried again that says it has room and then takes nothing, or that has no descriptor to wait for.
pub(super) const RETRY: Duration = Duration::from_millis(1);

/// Where packets are read.
pub(super) struct Reader {
    chunk: Chunk,
    /// Packets have come one at a time. So many more short ones that somebody waits for are taken as such, without the
    /// second read that would find nothing.
    lone: u8,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { chunk: Chunk::for_packets(), lone: 0 }
    }
}

/// What woke the driver.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    /// The device says that it has room.
    room: bool,
    /// The device says that something is wrong with it.
    broken: bool,
}

/// How the driver sleeps.
#[derive(Clone, Copy, Debug)]
struct Rest {
    timeout: Option<Duration>,
    /// Before that, it asks for so long.
    busy: Duration,
    for_room: bool,
}

/// One holder of the role at work.
pub(super) struct Drive<'a> {
    shard: &'a Shard,
    /// By what it is woken.
    event: &'a Eventfd,
    woken: Woken,
    /// There are packets from this host to itself, or reassembled ones, that its siblings may know.
    strays: bool,
    /// How the last wait went, if there was one since the last turn.
    waited: Option<Waited>,
}

/// Whatever happens to the thread that drives, nobody waits for it for ever.
pub(super) struct LastWords<'a>(pub &'a Shard);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        let mut core = self.0.lock();
        let text = "a thread has ended that drove the network".to_owned();
        core.finish(End { kind: ErrorKind::Other, text, closed: false });
        self.0.wake_background(&mut core);
        self.0.nudge(&mut core);
    }
}

impl Shard {
    /// Drives, having taken the role, until the bell rings, everything has ended, or the time has come. With a time that
    /// is over, for one turn.
    pub(super) fn drive_until<'a>(
        &'a self,
        core: MutexGuard<'a, Core>,
        bell: &Arc<Bell>,
        until: Option<Clock>,
    ) -> MutexGuard<'a, Core> {
        let last_words = LastWords(self);
        let mut drive = Drive::new(self, &self.application_event);
        let mut core = core;
        bell.hush();
        // What calls have left over while nobody drove comes before waiting.
        let mut rest = drive.turn(&mut core, self.now(), Then::Send);
        // What has arrived meanwhile needs no waiting. Where both ends share a processor, the answer to what was sent last
        // is mostly there already.
        let mut looked = false;
        loop {
            // What the siblings may know is settled first: who waits in a loop keeps the background thread away.
            if bell.is_rung() && !drive.strays || core.end().is_some() {
                break;
            }
            let mut over = false;
            drop(core);
            if looked {
                let left = until.map(|until| until.saturating_duration_since(Clock::now()));
                over = left.is_some_and(|left| left.is_zero());
                drive.sleep(Rest { timeout: earlier(rest.timeout, left), ..rest });
            }
            let received = drive.receive();
            core = self.lock();
            if looked || !received.as_ref().is_ok_and(|batch| batch.empty) {
                rest = drive.digest(&mut core, received, Some(bell));
            }
            looked = true;
            if over {
                break;
            }
        }
        std::mem::forget(last_words);
        self.release(&mut core);
        core
    }

    /// Drives, having taken the role, for one turn and without sleeping.
    pub(super) fn drive_once(&self, core: MutexGuard<'_, Core>) {
        let last_words = LastWords(self);
        let mut drive = Drive::new(self, &self.application_event);
        // What the last turn has left: a loop that often comes by keeps the background thread away.
        drive.strays = core.has_strays();
        drop(core);
        let received = drive.receive();
        let mut core = self.lock();
        drive.digest(&mut core, received, None);
        std::mem::forget(last_words);
        self.release(&mut core);
    }

    fn release(&self, core: &mut Core) {
        if core.role.release() {
            self.wake_background(core);
        }
    }
}

impl<'a> Drive<'a> {
    pub(super) fn new(shard: &'a Shard, event: &'a Eventfd) -> Drive<'a> {
        Drive { shard, event, woken: Woken::default(), strays: false, waited: None }
    }

    /// Drives as the background thread, until an application takes the role or everything has ended.
    pub(super) fn in_background(mut self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        let mut rest = self.turn(&mut core, self.shard.now(), Then::Send);
        loop {
            if core.end().is_some() {
                return core;
            }
            core.role.background_rests();
            drop(core);
            self.sleep(rest);
            core = self.shard.lock();
            if !core.role.background_returns() {
                return core;
            }
            drop(core);
            let received = self.receive();
            core = self.shard.lock();
            rest = self.digest(&mut core, received, None);
            if let Some(bell) = core.role.hand_over() {
                bell.ring();
                return core;
            }
        }
    }

    /// Reads what waits, at most a batch; the answer is whether there may be more.
    fn receive(&mut self) -> io::Result<Batch> {
        let shard = self.shard;
        if std::mem::take(&mut self.strays) {
            shard.settle_strays();
            shard.settle_reassembled();
        }
        // Only the one who has the role comes here, so this lock is free.
        debug_assert!(!matches!(shard.reader.try_lock(), Err(TryLockError::WouldBlock)), "two threads drive at once");
        let mut reader = shard.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let Reader { chunk, lone } = &mut *reader;
        let (mut octets, mut arrived) = (0, None);
        for count in 0..RECEIVE_BATCH {
            if octets >= RECEIVE_OCTETS {
                break;
            }
            match shard.device().receive(chunk.bytes_mut()) {
                Ok(meta) => {
                    // What waits together has arrived together.
                    let now = match arrived {
                        Some(before) if count % PACKETS_PER_LOOK != 0 => before,
                        _ => shard.now(),
                    };
                    arrived = Some(now);
                    let mut core = shard.lock();
                    core.role.sleep.asleep = false;
                    core.in_batch = true;
                    let dropped = core.stack.handle_chunk(now, chunk, &meta);
                    octets += meta.len;
                    if dropped == Some(DropReason::Unclaimed) {
                        let reassembled = core.stack.take_reassembled();
                        if let Some(inquiry) = core.stack.take_inquiry() {
                            let claim = core.stack.claim(&inquiry, now);
                            let traced = core.stack.is_traced();
                            drop(core);
                            match reassembled {
                                Some(datagram) => shard.settle_datagram(now, &datagram, &inquiry, claim),
                                None => shard.settle(now, chunk, &meta, &inquiry, claim),
                            }
                            if traced {
                                shard.lock().pass_note(shard.device());
                            }
                        }
                        continue;
                    }
                    core.pass_note(shard.device());
                    if count == 0 && *lone > 0 && meta.len <= SHORT && core.stack.has_ready() {
                        *lone -= 1;
                        return Ok(Batch { empty: false, more: false, arrived });
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if count > 0 {
                        *lone = if count == 1 { LONE } else { 0 };
                    }
                    return Ok(Batch { empty: count == 0, more: false, arrived });
                }
                Err(error) => return Err(error),
            }
        }
        *lone = 0;
        Ok(Batch { empty: false, more: true, arrived })
    }

    /// What follows from what was received. Where `bell` rings, the thread goes back to its application at once.
    fn digest(&mut self, core: &mut Core, received: io::Result<Batch>, bell: Option<&Bell>) -> Rest {
        let (mut more, mut now) = (false, None);
        match received {
            // Nothing explains what is wrong, and waiting again would end at once.
            Ok(batch) if batch.empty && self.woken.broken => {
                let error = io::Error::new(ErrorKind::NotConnected, "it reports an error and has nothing to read");
                core.device_failed(self.shard.device(), &error);
            }
            Ok(batch) => (more, now) = (batch.more, batch.arrived),
            Err(error) => core.device_failed(self.shard.device(), &error),
        }
        let then = bell.map_or(Then::Send, Then::SendUnlessRung);
        let mut rest = self.turn(core, now.unwrap_or_else(|| self.shard.now()), then);
        if more {
            rest.timeout = Some(Duration::ZERO);
        }
        if core.finishing > 0 {
            core.turned.ring();
        }
        rest
    }

    /// Deadlines, readiness, sending; then what to sleep on.
    fn turn(&mut self, core: &mut Core, now: Instant, then: Then<'_>) -> Rest {
        if !core.inbox.is_empty() {
            core.open_inbox();
        }
        if let Some(waited) = self.waited.take() {
            core.eagerness.learn(waited, now.saturating_since(core.received));
        }
        core.received = now;
        // 9293-MUST-58, 9293-MUST-59: the whole batch of packets is behind us, and nothing was sent before its end.
        core.in_batch = false;
        let due = core.stack.next_deadline().is_some_and(|next| next <= now);
        core.stack.handle_deadline(now);
        core.dispatch();
        if due && core.finishing > 0 {
            core.turned.ring();
        }
        if matches!(then, Then::SendUnlessRung(bell) if bell.is_rung()) {
            // The application is about to act on what has arrived: its answer carries the acknowledgment that is due, and
            // its reading opens the window that this tells of. Coming back to wait sends what is left; if it stays away,
            // the background thread does.
            self.strays = core.has_strays();
            return Rest { timeout: Some(Duration::ZERO), busy: Duration::ZERO, for_room: false };
        }
        let sent_before = core.stack.counters().packets_out;
        let progress = core.transmit(self.shard.device(), now, TRANSMIT_BUDGET);
        core.dispatch();
        let blocked = progress == Progress::Blocked;
        let until = core.stack.next_deadline();
        core.role.sleep = Sleep { asleep: true, until, for_room: blocked };
        let mut timeout = until.map(|until| until.saturating_since(now));
        self.strays = core.has_strays();
        if progress == Progress::More || !core.inbox.is_empty() || self.strays {
            timeout = Some(Duration::ZERO);
        }
        // Short of kernel memory, a device has room and yet takes nothing.
        let refused = blocked && self.woken.room && core.stack.counters().packets_out == sent_before;
        if refused {
            timeout = earlier(timeout, Some(RETRY));
        }
        let busy = core.eagerness.before_sleep(self.shard.busy_poll);
        Rest { timeout, busy, for_room: blocked && !refused }
    }

    /// Sleeps until the device, a call, or a deadline wants something; asks for a while first, where that is wanted.
    fn sleep(&mut self, rest: Rest) {
        self.waited = Some(Waited::Slept);
        if !rest.busy.is_zero() && rest.timeout.is_none_or(|timeout| timeout > rest.busy) {
            // What is there already says nothing about asking for more.
            if self.poll(Rest { timeout: Some(Duration::ZERO), ..rest }) {
                return;
            }
            self.waited = Some(Waited::InVain);
            let (until, preemptions) = (Clock::now() + rest.busy, poll::preemptions());
            while Clock::now() < until {
                if self.poll(Rest { timeout: Some(Duration::ZERO), ..rest }) {
                    // What somebody brought who had to take the processor from us would have come to a sleeper as well.
                    if poll::preemptions() == preemptions {
                        self.waited = Some(Waited::Found);
                    }
                    return;
                }
            }
        }
        self.poll(rest);
    }

    /// Waits; the answer is whether anything but the time ended it.
    fn poll(&mut self, rest: Rest) -> bool {
        let event = PollFd::new(self.event.as_fd(), false);
        let (event, device) = match self.shard.device().as_fd() {
            Some(fd) => {
                let mut fds = [event, PollFd::new(fd, rest.for_room)];
                wait(&mut fds, rest.timeout);
                (fds[0], Some(fds[1]))
            }
            None => {
                let mut fds = [event];
                wait(&mut fds, earlier(rest.timeout, Some(RETRY)));
                (fds[0], None)
            }
        };
        if event.is_readable() {
            self.event.drain();
        }
        self.woken = Woken {
            room: device.is_some_and(|device| device.is_writable()),
            broken: device.is_some_and(|device| device.is_broken()),
        };
        event.is_readable() || device.is_some_and(|device| device.is_ready())
    }
}

/// What a turn ends with.
#[derive(Clone, Copy, Debug)]
enum Then<'a> {
    /// What is due leaves.
    Send,
    /// The same, unless this rings.
    SendUnlessRung(&'a Bell),
}

/// What reading brought.
#[derive(Clone, Copy, Debug)]
struct Batch {
    empty: bool,
    /// The device may have more.
    more: bool,
    /// When the last packet arrived.
    arrived: Option<Instant>,
}

fn wait<const N: usize>(fds: &mut [PollFd<'_>; N], timeout: Option<Duration>) {
    if let Err(error) = poll::poll(fds, timeout) {
        // Short of memory: without waiting this would be a busy loop.
        tracing::warn!(target: "glasstcp::driver", %error, "waiting failed");
        std::thread::sleep(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::device::fd::FdDevice;
    use crate::net::Net;

    fn config(number: u8) -> Config {
        let mut config = Config::new(&[format!("10.0.0.{number}/24").parse().unwrap()]);
        config.tcp.fin_wait_2 = Duration::from_millis(100);
        config
    }

    /// A loop that comes by now and then keeps the background thread away, so it settles what the siblings know, too.
    #[test]
    fn strays_do_not_wait_for_the_background_thread() {
        let (near, _far): (Vec<_>, Vec<_>) = (0..2).map(|_| FdDevice::pair(1_500).unwrap()).unzip();
        let devices = near.into_iter().map(|device| Box::new(device) as Box<dyn crate::device::Device>).collect();
        let shards = Shard::start_siblings(devices, &config(1)).unwrap();
        let bind = |shard: &Shard, at: &str| shard.call(|core, _| core.stack.udp_bind(at.parse().unwrap())).unwrap();
        let (client, _server) = (bind(&shards[0], "10.0.0.1:9"), bind(&shards[1], "10.0.0.1:53"));
        let come_by = |prepare: &dyn Fn(&mut Core)| loop {
            let mut core = shards[0].lock();
            if core.take_role() {
                prepare(&mut core);
                return shards[0].drive_once(core);
            }
            drop(core);
            std::thread::yield_now();
        };
        for number in 1..=20 {
            come_by(&|core| {
                let now = shards[0].now();
                core.stack.udp_send(now, client, Some("10.0.0.1:53".parse().unwrap()), b"over there").unwrap();
            });
            come_by(&|_| {});
            let core = shards[0].lock();
            assert!(!core.has_strays());
            assert_eq!(core.stack.counters().handed_over, number);
        }
        shards.iter().for_each(|shard| assert_eq!(shard.close(Duration::ZERO), 0));
    }

    /// Whoever waits for a connection to finish takes the role when the deadline that finishes it is due already. Its first
    /// turn handles that, and there may never be another.
    #[test]
    fn what_the_first_turn_finishes_ends_the_wait_for_it() {
        let (a, b) = FdDevice::pair(1_500).unwrap();
        let (shard, peer) = (Shard::start(Box::new(a), config(1)).unwrap(), Net::start(b, config(2)).unwrap());
        let listener = peer.bind("10.0.0.2:80").unwrap();
        let address = listener.local_addr().unwrap();
        let finish = || {
            let options = config(1).tcp.socket;
            let client = shard.call(|core, now| core.stack.tcp_connect(now, None, address, options)).unwrap();
            // The peer holds its end open.
            let _server = listener.accept().unwrap();
            shard.call(|core, now| core.stack.tcp_close(now, client));
            std::thread::sleep(Duration::from_millis(20));
            let mut core = shard.lock();
            if core.stack.orphans() == 0 || !core.role.background_polls() {
                return false;
            }
            while core.stack.next_deadline().is_some_and(|next| next > shard.now()) {
                std::thread::sleep(Duration::from_millis(1));
            }
            core.finishing += 1;
            let bell = Arc::clone(&core.turned);
            // The watchdog: nothing else ends the wait.
            let until = Clock::now() + Duration::from_secs(60);
            core = shard.park(core, &bell, Some(until));
            core.finishing -= 1;
            assert!(core.stack.orphans() == 0 && Clock::now() < until, "the test hangs");
            true
        };
        // A busy machine may come too late.
        assert!((0..50).any(|_| finish()));
        shard.close(Duration::ZERO);
        peer.close(Duration::ZERO);
    }
}
