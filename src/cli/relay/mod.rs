//! `glasstcp relay`: a bad path between two TUNs, by the real clock: what the simulator does to packets, done to real ones.

mod args;
mod count;

use std::io::{ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

pub(super) use args::{EXAMPLES, Relay};

use super::signals::{self, Wanted};
use super::{Failure, print, say};
use crate::device::fd::FdDevice;
use crate::device::impair::{Change, Impaired};
use crate::device::poll::{self, Eventfd, PollFd};
use crate::device::tun::TunDevice;
use crate::device::{Device, RxMeta, TxMeta};
use crate::rng::KeyedRng;
use crate::time::Instant;
use count::Count;

/// The largest packet that passes: what a wire takes.
const MTU: usize = 1_500;
/// Packets taken from one side before the other has its turn.
const BATCH: usize = 64;

/// Runs the command.
pub(super) fn run(args: &Relay) -> Result<ExitCode, Failure> {
    let devices = [open(args.left.as_deref(), args.left_fd)?, open(args.right.as_deref(), args.right_fd)?];
    let event = Arc::new(Eventfd::new()?);
    let notify = Arc::clone(&event);
    let requests = signals::watch(Wanted::End, move |_| notify.notify())?;
    let mut relay = Path::new(args, devices);
    say(&format!("relaying between {} and {}", relay.devices[0].name(), relay.devices[1].name()));
    poll::wait_exactly();
    while requests.end().is_none() {
        let due = relay.turn()?;
        relay.sleep(due, event.as_fd())?;
    }
    let paths = &relay.paths;
    print(&relay.count.report(args.json, [paths[0].counters(), paths[1].counters()]))?;
    Ok(ExitCode::SUCCESS)
}

fn open(name: Option<&str>, fd: Option<i32>) -> Result<Box<dyn Device>, Failure> {
    match (name, fd) {
        (Some(name), _) => Ok(Box::new(TunDevice::open(name)?)),
        (None, Some(number)) => Ok(Box::new(FdDevice::from_raw(number, MTU)?)),
        (None, None) => Err("each side needs a TUN or a descriptor".into()),
    }
}

/// Two devices and the path between them.
struct Path {
    devices: [Box<dyn Device>; 2],
    /// From the left to the right, and back.
    paths: [Impaired; 2],
    started: Clock,
    /// What is to change after the first packet has come, until it has.
    changes: Vec<(Duration, Change)>,
    count: Count,
    buffer: Vec<u8>,
    next_tag: u64,
}

impl Path {
    fn new(args: &Relay, devices: [Box<dyn Device>; 2]) -> Path {
        let mut rng = KeyedRng::from_seed(args.seed);
        let paths = args.impairments().map(|impairment| {
            let mut path = Impaired::new(impairment, KeyedRng::new(rng.key()));
            path.keep_log();
            path
        });
        Path {
            devices,
            paths,
            started: Clock::now(),
            changes: args.changes(),
            count: Count::default(),
            buffer: vec![0; 1 << 16],
            next_tag: 1,
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// Takes what has come and hands out what is due; says when the next packet is.
    fn turn(&mut self) -> Result<Option<Instant>, Failure> {
        loop {
            let mut emptied = true;
            for side in 0..2 {
                emptied &= self.take(side)?;
                self.deliver(0)?;
                self.deliver(1)?;
            }
            if emptied {
                return Ok(self.paths.iter().filter_map(Impaired::next_arrival).min());
            }
        }
    }

    /// Puts what waits on one side on its way; false if more may wait.
    fn take(&mut self, side: usize) -> Result<bool, Failure> {
        for _ in 0..BATCH {
            let len = match self.devices[side].receive(&mut self.buffer) {
                Ok(meta) => meta.len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(gone(self.devices[side].as_ref(), &error)),
            };
            let now = self.now();
            for (after, change) in self.changes.drain(..) {
                self.paths.iter_mut().for_each(|path| path.schedule(now + after, change));
            }
            let packet = &self.buffer[..len];
            if len > MTU {
                self.count.too_big += 1;
                continue;
            }
            let tag = self.next_tag;
            self.next_tag += 1;
            self.count.sent(tag, packet);
            self.paths[side].send_tagged(now, packet.to_vec(), RxMeta::plain(len), tag);
            self.count.log(self.paths[side].take_log());
        }
        Ok(false)
    }

    /// Hands out what has come through from one side to the other.
    fn deliver(&mut self, from: usize) -> Result<(), Failure> {
        let now = self.now();
        while let Some(arrived) = self.paths[from].receive(now) {
            self.count.log(self.paths[from].take_log());
            let device = &self.devices[1 - from];
            match device.transmit(&[IoSlice::new(&arrived.packet)], &TxMeta::default()) {
                Ok(()) => self.count.arrived(arrived.tag, now - arrived.arrived),
                // A TUN that is busy, or down as while it is moved to another namespace, loses packets as a card does.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NetworkDown) => {
                    self.count.refused(arrived.tag);
                }
                Err(error) => return Err(gone(device.as_ref(), &error)),
            }
        }
        self.count.log(self.paths[from].take_log());
        Ok(())
    }

    /// Waits for a packet, a signal, or until one is due.
    fn sleep(&self, due: Option<Instant>, event: BorrowedFd<'_>) -> Result<(), Failure> {
        let no_descriptor = || Failure::from("the device has no descriptor to wait for");
        let [left, right] = &self.devices;
        let (left, right) = (left.as_fd().ok_or_else(no_descriptor)?, right.as_fd().ok_or_else(no_descriptor)?);
        let mut fds = [PollFd::new(left, false), PollFd::new(right, false), PollFd::new(event, false)];
        poll::poll(&mut fds, due.map(|due| due - self.now()))?;
        Ok(())
    }
}

fn gone(device: &dyn Device, error: &std::io::Error) -> Failure {
    format!("{} is gone: {error}", device.name()).into()
}
