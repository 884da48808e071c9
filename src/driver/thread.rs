//! The background thread: packets in, deadlines, readiness, packets out, sleep.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use super::Shard;
use super::core::{Core, End, Sleep, TRANSMIT_BUDGET};
use crate::device::poll::{PollFd, poll, wait_exactly};
use crate::stack::Progress;

/// Room for the largest packet.
const BUFFER: usize = 65_536;

/// Packets read before deadlines and sending have their turn.
const RECEIVE_BATCH: usize = 64;

/// How soon a device is tried again that says it has room and then takes nothing, or that has no descriptor to wait for.
pub(super) const RETRY: Duration = Duration::from_millis(1);

/// Whatever happens to the thread, nobody waits for it for ever.
struct LastWords<'a>(&'a Shard);

impl Drop for LastWords<'_> {
    fn drop(&mut self) {
        let text = "the driver's thread has ended".to_owned();
        self.0.lock().finish(End { kind: ErrorKind::Other, text, closed: false });
        self.0.turned.notify_all();
    }
}

/// What woke the thread.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    /// The device says that it has room.
    room: bool,
    /// The device says that something is wrong with it.
    broken: bool,
}

/// How the thread sleeps.
#[derive(Clone, Copy, Debug)]
struct Rest {
    timeout: Option<Duration>,
    for_room: bool,
}

/// Drives a shard until its device is gone or it is closed.
pub(super) fn run(shard: &Shard) {
    let _last_words = LastWords(shard);
    wait_exactly();
    let mut buffer = vec![0; BUFFER];
    let mut woken = Woken::default();
    loop {
        let received = receive(shard, &mut buffer);
        let mut core = shard.lock();
        let more = match received {
            // Nothing explains what is wrong, and waiting again would end at once.
            Ok(0) if woken.broken => {
                let error = io::Error::new(ErrorKind::NotConnected, "it reports an error and has nothing to read");
                core.device_failed(shard.device(), &error);
                false
            }
            Ok(count) => count == RECEIVE_BATCH,
            Err(error) => {
                core.device_failed(shard.device(), &error);
                false
            }
        };
        let rest = turn(shard, &mut core, woken.room, more);
        if core.end().is_some() {
            return;
        }
        drop(core);
        woken = sleep(shard, rest);
    }
}

/// Reads what waits, at most a batch; the answer is how many packets that were.
fn receive(shard: &Shard, buffer: &mut [u8]) -> io::Result<usize> {
    for count in 0..RECEIVE_BATCH {
        match shard.device().receive(buffer) {
            Ok(meta) => {
                let arrived = shard.now();
                let mut core = shard.lock();
                core.sleep.asleep = false;
                core.in_batch = true;
                core.stack.handle_packet(arrived, &buffer[..meta.len.min(BUFFER)], &meta);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(count),
            Err(error) => return Err(error),
        }
    }
    Ok(RECEIVE_BATCH)
}

/// Deadlines, readiness, sending; then what to sleep on.
fn turn(shard: &Shard, core: &mut Core, room: bool, more: bool) -> Rest {
    let now = shard.now();
    // 9293-MUST-58, 9293-MUST-59: the whole batch of packets is behind us, and nothing was sent before its end.
    core.in_batch = false;
    core.stack.handle_deadline(now);
    core.dispatch();
    let sent_before = core.stack.counters().packets_out;
    let progress = core.transmit(shard.device(), now, TRANSMIT_BUDGET);
    core.dispatch();
    if core.finishing > 0 {
        shard.turned.notify_all();
    }
    let blocked = progress == Progress::Blocked;
    let until = core.stack.next_deadline();
    core.sleep = Sleep { asleep: true, until, for_room: blocked };
    let mut timeout = until.map(|until| until.saturating_since(now));
    if more || progress == Progress::More {
        timeout = Some(Duration::ZERO);
    }
    // Short of kernel memory, a device has room and yet takes nothing.
    let refused = blocked && room && core.stack.counters().packets_out == sent_before;
    if refused {
        timeout = Some(timeout.map_or(RETRY, |timeout| timeout.min(RETRY)));
    }
    Rest { timeout, for_room: blocked && !refused }
}

/// Sleeps until the device, a call, or a deadline wants something.
fn sleep(shard: &Shard, rest: Rest) -> Woken {
    let event = PollFd::new(shard.event.as_fd(), false);
    let (event, device) = match shard.device().as_fd() {
        Some(fd) => {
            let mut fds = [event, PollFd::new(fd, rest.for_room)];
            wait(&mut fds, rest.timeout);
            (fds[0], Some(fds[1]))
        }
        None => {
            let mut fds = [event];
            wait(&mut fds, Some(rest.timeout.map_or(RETRY, |timeout| timeout.min(RETRY))));
            (fds[0], None)
        }
    };
    if event.is_readable() {
        shard.event.drain();
    }
    Woken {
        room: device.is_some_and(|device| device.is_writable()),
        broken: device.is_some_and(|device| device.is_broken()),
    }
}

fn wait<const N: usize>(fds: &mut [PollFd<'_>; N], timeout: Option<Duration>) {
    if let Err(error) = poll(fds, timeout) {
        // Short of memory: without waiting this would be a busy loop.
        tracing::warn!(target: "glasstcp::driver", %error, "waiting failed");
        std::thread::sleep(RETRY);
    }
}
