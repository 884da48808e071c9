//! A scenario, played to its end, and what must hold then.

use std::time::Duration;

use glasstcp::rng::KeyedRng;
use glasstcp::sim::{App, Side, World};
use glasstcp::stack::{ListenerHandle, SocketHandle};
use glasstcp::tcp::config::SocketOptions;

use super::scenario::*;

/// No application may be without progress for longer, however bad the network.
pub const LONGEST_STALL: Duration = Duration::from_secs(200);

/// Events per seed: more are a conversation without end.
pub const MAX_EVENTS: u64 = 2_000_000;

/// What is left of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub hash: u64,
    pub packets: u64,
    pub took: Duration,
    pub longest_stall: Duration,
    pub resets: u64,
}

pub struct Run {
    pub scenario: Scenario,
    pub world: World,
    pub apps: Vec<App>,
    pub listeners: Vec<(Side, ListenerHandle)>,
    pub longest_stall: Duration,
}

impl Run {
    pub fn new(scenario: Scenario) -> Run {
        let mut world = scenario.world();
        let mut apps = Vec::new();
        for plan in &scenario.plans {
            for (side, app) in [Side::A, Side::B].into_iter().zip(plan.apps) {
                let rng = KeyedRng::from_seed(scenario.seed << 16 | apps.len() as u64);
                apps.push(App::new(side, plan.pair, app, rng));
            }
        }
        for (side, offload) in [Side::A, Side::B].into_iter().zip(scenario.offload) {
            match offload {
                Some(Offload::Cuts { checksum }) => world.offload(side, 65_535, checksum),
                Some(Offload::Whole { max_packet }) => world.offload_whole(side, max_packet),
                None => {}
            }
        }
        world.watch().resets_allowed = scenario.plans.iter().flat_map(|plan| plan.apps).any(|app| app.ending.resets());
        Run { scenario, world, apps, listeners: Vec::new(), longest_stall: Duration::ZERO }
    }

    pub fn listen(&mut self) {
        for side in [Side::A, Side::B] {
            let local = if side == Side::A { "10.0.0.1:80" } else { "10.0.0.2:80" };
            let local6 = if side == Side::A { "[fd00:67::1]:80" } else { "[fd00:67::2]:80" };
            let server = self.scenario.plans.iter().find(|plan| plan.opener == Opener::One(side.other()));
            let options = server.map_or(SocketOptions::default(), |plan| plan.options[usize::from(side == Side::B)]);
            for local in [local, local6] {
                let listener = self.world.stack(side).tcp_listen(local.parse().unwrap(), 8, options);
                self.listeners.extend(listener.ok().map(|listener| (side, listener)));
            }
        }
    }

    /// Opens the connections whose time has come.
    pub fn open(&mut self) {
        let now = self.world.now();
        for (number, plan) in self.scenario.plans.iter().enumerate() {
            for (index, side) in [Side::A, Side::B].into_iter().enumerate() {
                let opens = plan.opener == Opener::Both || plan.opener == Opener::One(side);
                let app = &mut self.apps[2 * number + index];
                if !opens || app.handle.is_some() || plan.at > now {
                    continue;
                }
                let (local, remote) =
                    (self.scenario.address(plan.pair, side), self.scenario.address(plan.pair, side.other()));
                let opened = self.world.stack(side).tcp_connect(now, Some(local), remote, plan.options[index]);
                app.begin(opened.unwrap(), now);
            }
        }
        self.world.flush();
    }

    /// Brings what has happened to the applications, until what they do makes nothing more happen at once: reading on one
    /// connection can give memory to the writer of another.
    pub fn wake(&mut self) {
        self.bring_readiness();
        loop {
            for number in 0..self.apps.len() {
                self.apps[number].act(&mut self.world);
                self.check(number);
            }
            if !self.bring_readiness() {
                break;
            }
        }
    }

    /// Tells the applications what is ready; false if nothing is.
    pub fn bring_readiness(&mut self) -> bool {
        let now = self.world.now();
        let mut any = false;
        for side in [Side::A, Side::B] {
            while let Some(ready) = self.world.stack(side).poll_ready() {
                any = true;
                match ready.socket {
                    SocketHandle::Listener(listener) => {
                        while let Ok((handle, remote)) = self.world.stack(side).tcp_accept(listener) {
                            let matches = |app: &&mut App| {
                                app.side == side && self.scenario.address(app.pair, side.other()) == remote
                            };
                            let app = self.apps.iter_mut().find(matches).expect("a connection that is planned");
                            assert!(app.handle.is_none(), "{now:?} {remote}: accepted twice");
                            app.begin(handle, now);
                        }
                    }
                    SocketHandle::Tcp(handle) => {
                        let app = self.apps.iter_mut().find(|app| app.side == side && app.handle == Some(handle));
                        if let Some(app) = app {
                            app.ready(ready.edges);
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        any
    }

    pub fn check(&mut self, number: usize) {
        let now = self.world.now();
        let allowed = self.world.watch().resets_allowed;
        let (app, peer) = (&self.apps[number], &self.apps[number ^ 1]);
        let (started, closed) = (app.handle.is_some() || (peer.handle.is_some() && !allowed), app.closed);
        assert!(app.read <= peer.written, "read before it was written");
        assert!(app.error.is_none() || allowed, "{now:?}: {app:#?}");
        if app.eof && !allowed {
            assert_eq!(app.read, app.plan.expect, "{now:?}: an end too early: {app:#?}");
        }
        if started && !closed {
            let since = app.progress.max(peer.progress).max(self.scenario.plans[number / 2].at);
            self.longest_stall = self.longest_stall.max(now - since);
            assert!(now - since < LONGEST_STALL, "{}", self.stalled(number));
        }
        // After a reset that may have been lost, nobody waits for ever.
        if peer.closed && peer.plan.ending.resets() {
            let patience = self.apps[number ^ 1].progress + Duration::from_secs(20);
            self.apps[number].patience.get_or_insert(patience);
        }
    }

    pub fn stalled(&mut self, number: usize) -> String {
        let mut text = format!("{:?}: no progress\n", self.world.now());
        for app in [number & !1, number | 1] {
            let app = &self.apps[app];
            let connection = app.handle.and_then(|handle| self.world.stack(app.side).tcp_connection(handle));
            text += &format!("{app:#?}\n{connection:#?}\n");
        }
        text
    }

    pub fn done(&mut self) -> bool {
        // An application that never got its connection has nothing to close once its peer has given up.
        let may_give_up = self.world.watch().resets_allowed;
        let over = |app: &App| app.closed || (may_give_up && app.handle.is_none());
        self.apps.chunks(2).all(|both| both.iter().all(over) && both.iter().any(|app| app.closed))
    }

    pub fn run(&mut self) -> Outcome {
        self.listen();
        self.converse();
        if self.scenario.again {
            self.reopen();
            self.converse();
        }
        let took = self.world.now() - self.scenario.start;
        self.finish();
        let longest_stall = self.longest_stall;
        let wire = self.world.watch();
        Outcome { hash: wire.trace_hash(), packets: wire.packets, took, longest_stall, resets: wire.resets }
    }

    /// The same connections again, where the side that opens has forgotten them.
    pub fn reopen(&mut self) {
        // What a TIME-WAIT record answers belongs to the old connection: only the applications can judge this part.
        self.world.watch().strict = [false; 2];
        let now = self.world.now();
        for number in 0..self.scenario.plans.len() {
            self.scenario.plans[number].at = now;
            let plan = &self.scenario.plans[number];
            let Opener::One(side) = plan.opener else { continue };
            let options = plan.options[usize::from(side == Side::B)];
            let (local, remote) =
                (self.scenario.address(plan.pair, side), self.scenario.address(plan.pair, side.other()));
            let Ok(handle) = self.world.stack(side).tcp_connect(now, Some(local), remote, options) else { continue };
            for app in &mut self.apps[2 * number..2 * number + 2] {
                let rng = KeyedRng::from_seed(self.scenario.seed << 16 | 0x8000 | number as u64);
                *app = App::new(app.side, app.pair, app.plan, rng);
                if app.side == side {
                    app.begin(handle, now);
                }
            }
        }
        self.world.flush();
    }

    /// Until all applications have let go.
    pub fn converse(&mut self) {
        let mut events = 0;
        while !self.done() {
            let now = self.world.now();
            let opens = self.scenario.plans.iter().map(|plan| plan.at).filter(|&at| at > now);
            let wake = self.apps.iter().filter_map(|app| app.next_wake(now)).chain(opens).min();
            let far = now + 2 * LONGEST_STALL;
            self.world.step(wake.unwrap_or(far).max(now));
            self.open();
            self.wake();
            events += 1;
            assert!(events < MAX_EVENTS, "a conversation without end");
        }
    }

    /// All applications have let go: everything that the stacks hold must end by itself.
    pub fn finish(&mut self) {
        let now = self.world.now();
        for (side, listener) in std::mem::take(&mut self.listeners) {
            self.world.stack(side).listener_close(now, listener);
        }
        let limit = now + Duration::from_secs(7_200);
        let mut events = 0;
        while self.world.step(limit) {
            events += 1;
            assert!(events < MAX_EVENTS, "a conversation without end after the last close");
        }
        assert_eq!(self.world.next_event(), None, "something is left to happen");
        for side in [Side::A, Side::B] {
            let stack = self.world.stack(side);
            while stack.poll_ready().is_some() {}
            assert_eq!(stack.table_sizes(), (0, 0, 0), "{side:?}: {:#?}", stack.tcp_snapshots(10));
            assert_eq!((stack.flows(), stack.buffer_memory()), (0, 0), "{side:?}");
        }
        // Every octet is delivered, or somebody knows that the connection is dead.
        let resets_allowed = self.world.watch().resets_allowed;
        for both in self.apps.chunks(2) {
            let dead = |app: &App| app.handle.is_none() || app.error.is_some() || app.plan.ending.resets();
            if resets_allowed && both.iter().any(dead) {
                continue;
            }
            for app in both {
                let counts = (app.written, app.read);
                assert_eq!(counts, (app.plan.send, app.plan.expect), "{app:#?}");
            }
        }
    }
}
