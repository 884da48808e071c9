//! The world that is explored: two real stacks, an application on each, and a link that has only so many faults to give.
//!
//! A [`World`] is changed by [`Action`]s alone, and the same actions lead to the same world: a stack cannot be copied, so a
//! state is reached by what led to it, from the start.

use std::collections::VecDeque;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::device::RxMeta;
use glasstcp::error::SocketError;
use glasstcp::rng::KeyedRng;
use glasstcp::stack::{ListenerHandle, Progress, Readiness, SocketHandle, Stack, TcpHandle};
use glasstcp::tcp::connection::Connection;
use glasstcp::tcp::state::State;
use glasstcp::time::Instant;
use glasstcp::wire::tcp::{Flags, TcpHeader};

use super::sabotage::Sabotage;
use super::scenario::{Role, Scenario, call, fault};
use super::segment::{Numbers, parse};

/// 0 is A, 1 is B.
pub type Side = u8;

/// What the sides are called.
pub const NAMES: [&str; 2] = ["A", "B"];

/// How long a packet takes at least, and its receiver to handle it.
const TICK: Duration = Duration::from_millis(1);

/// How long a packet can be late at most (MSL): half of TIME-WAIT.
pub const LIFETIME: Duration = Duration::from_secs(30);

/// Packets that a stack may send at one point in time: there are a few octets, so more is a bug.
const MAX_AT_ONCE: usize = 50;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The application connects.
    Open(Side),
    /// It sends an octet.
    Send(Side),
    /// It reads.
    Receive(Side),
    /// It closes its sending side.
    HalfClose(Side),
    /// An octet and the end of the stream, before the stack has its turn to send.
    SendAndHalfClose(Side),
    /// An octet, and it lets go, before the stack has its turn to send.
    SendAndClose(Side),
    /// It lets go.
    Close(Side),
    /// It aborts.
    Abort(Side),
    /// It closes its listener.
    StopListening(Side),
    /// The next packet that this side has sent arrives.
    Deliver(Side),
    /// All packets that this side has sent arrive before their receiver sends anything.
    DeliverAll(Side),
    /// The next packet of this side is lost.
    Lose(Side),
    /// The next packet of this side is held up: others overtake it, timers expire.
    Delay(Side),
    /// The next packet of this side arrives, and a copy of it is held up.
    Duplicate(Side),
    /// A packet that was held up arrives.
    Late(Side, u8),
    /// Nothing is on its way: time passes until the next timer expires.
    Timer,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The end of the stream.
    Eof,
    /// An error.
    Error(SocketError),
}

/// An application's view of one connection.
#[derive(Clone, Debug)]
pub struct App {
    /// Until it lets go.
    pub handle: Option<TcpHandle>,
    /// Our initial sequence number, by which both views of one connection find each other.
    pub iss: u32,
    /// The peer's, once it is known.
    pub irs: Option<u32>,
    /// What SEND has taken.
    pub sent: Vec<u8>,
    /// What RECEIVE has given.
    pub received: Vec<u8>,
    /// It has closed its sending side in order.
    pub write_closed: bool,
    /// It has aborted.
    pub aborted: bool,
    /// What reading came to.
    pub ended: Option<End>,
    /// It was told that reading is worth while since it last found nothing.
    pub awake: bool,
    /// It has let go, and how many octets had come in order by then.
    pub let_go: Option<u64>,
}

impl App {
    fn new(handle: TcpHandle, connection: &Connection) -> App {
        App {
            handle: Some(handle),
            iss: connection.snd.iss.0,
            irs: None,
            sent: Vec::new(),
            received: Vec::new(),
            write_closed: false,
            aborted: false,
            ended: None,
            awake: false,
            let_go: None,
        }
    }
}

/// A stack and who uses it.
#[derive(Debug)]
pub struct Host {
    /// The real thing.
    pub stack: Stack,
    /// Where it listens.
    pub listener: Option<ListenerHandle>,
    /// All connections that the application has had, the current one last.
    pub apps: Vec<App>,
    /// How often it has connected.
    pub opens: u8,
    address: SocketAddr,
}

impl Host {
    /// The connection of the current application.
    pub fn connection(&self) -> Option<&Connection> {
        self.stack.tcp_connection(self.apps.last()?.handle?)
    }

    /// When anything of this stack is due, by the records themselves.
    pub fn deadline(&self) -> Option<Instant> {
        let connections = self.stack.tcp_connections().filter_map(Connection::next_deadline);
        let half_open = self.stack.half_open_records().filter_map(|(_, _, at)| at);
        let over = self.stack.time_wait_records().map(|(_, record)| record.expires);
        connections.chain(half_open).chain(over).min()
    }
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub struct Flying {
    /// All of it.
    pub packet: Vec<u8>,
    /// When it left.
    pub sent_at: Instant,
    header: TcpHeader,
    text: usize,
}

impl Flying {
    /// Of a packet that leaves now.
    pub fn new(packet: Vec<u8>, sent_at: Instant) -> Flying {
        let (header, text) = parse(&packet);
        let text = packet.len() - text.len();
        Flying { packet, sent_at, header, text }
    }

    /// Its header and text.
    pub fn segment(&self) -> (&TcpHeader, &[u8]) {
        (&self.header, &self.packet[self.text..])
    }
}

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
    sabotage: Option<Sabotage>,
    started: Instant,
}

impl<'a> World<'a> {
    /// Before anything has happened.
    pub fn new(scenario: &'a Scenario, sabotage: Option<Sabotage>) -> World<'a> {
        let now = Instant::from_secs(1_000);
        let host = |side: Side| {
            let mut config = Config::new(&[format!("10.0.0.{}/24", side + 1).parse().unwrap()]);
            (scenario.change)(&mut config.tcp);
            let address = SocketAddr::from(([10, 0, 0, side + 1], 1_000 * (u16::from(side) + 1)));
            let mut stack = Stack::new(config, KeyedRng::from_seed(u64::from(side)), now).unwrap();
            let listener = (scenario.roles[usize::from(side)] == Role::Passive)
                .then(|| stack.tcp_listen(address, 4, stack.config().tcp.socket).unwrap());
            Host { stack, listener, apps: Vec::new(), opens: 0, address }
        };
        World {
            scenario,
            hosts: [host(0), host(1)],
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

    /// All that may happen now.
    pub fn enabled(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for side in [0, 1] {
            self.calls(side, &mut actions);
            self.link(side, &mut actions);
        }
        let nothing_on_its_way = self.wires.iter().all(VecDeque::is_empty);
        if nothing_on_its_way && self.deadline().is_some() {
            actions.push(Action::Timer);
        }
        actions
    }

    /// What the application may call.
    fn calls(&self, side: Side, actions: &mut Vec<Action>) {
        let at = usize::from(side);
        let (host, calls) = (&self.hosts[at], self.scenario.calls[at]);
        let may = |wanted: u8| calls & wanted != 0;
        if host.listener.is_some() && may(call::STOP_LISTENING) {
            actions.push(Action::StopListening(side));
        }
        let open = host.connection();
        let over = open.is_none_or(|connection| connection.state() == State::Closed) && host.stack.flows() == 0;
        if self.scenario.roles[at] == Role::Active && host.opens < self.scenario.opens && over {
            actions.push(Action::Open(side));
        }
        let (Some(app), Some(connection)) = (host.apps.last(), open) else { return };
        let state = connection.state();
        let sends =
            state.may_send() && connection.snd.fin.is_none() && app.sent.len() < usize::from(self.scenario.octets[at]);
        if sends && may(call::SEND) {
            actions.push(Action::Send(side));
        }
        if !self.eager && self.has_news(at) {
            actions.push(Action::Receive(side));
        }
        if state != State::Closed && !app.write_closed && may(call::HALF_CLOSE) {
            actions.push(Action::HalfClose(side));
            if sends && may(call::AT_ONCE) {
                actions.push(Action::SendAndHalfClose(side));
            }
        }
        if may(call::CLOSE) || app.ended == Some(End::Eof) && may(call::CLOSE_AT_END) {
            actions.push(Action::Close(side));
            if sends && may(call::AT_ONCE) {
                actions.push(Action::SendAndClose(side));
            }
        }
        if state != State::Closed && may(call::ABORT) {
            actions.push(Action::Abort(side));
        }
    }

    /// What the link may do with what this side has sent.
    fn link(&self, side: Side, actions: &mut Vec<Action>) {
        let at = usize::from(side);
        if !self.wires[at].is_empty() {
            actions.push(Action::Deliver(side));
            if self.wires[at].len() > 1 && self.scenario.faults_of & fault::BATCH != 0 {
                actions.push(Action::DeliverAll(side));
            }
            if self.faults < self.scenario.faults {
                for (kind, action) in [
                    (fault::LOSE, Action::Lose(side)),
                    (fault::DELAY, Action::Delay(side)),
                    (fault::DUPLICATE, Action::Duplicate(side)),
                ] {
                    if self.scenario.faults_of & kind != 0 {
                        actions.push(action);
                    }
                }
            }
        }
        for index in 0..self.held[at].len() {
            actions.push(Action::Late(side, index as u8));
        }
    }

    /// Reading would not block.
    pub fn has_news(&self, at: usize) -> bool {
        let Some(app) = self.hosts[at].apps.last().filter(|app| app.ended.is_none()) else { return false };
        let Some(handle) = app.handle else { return false };
        self.hosts[at].stack.tcp_peek(handle, &mut [0]) != Err(SocketError::WouldBlock)
    }

    /// A reader that sleeps until it is told would read now.
    fn wakes(&self, at: usize) -> bool {
        self.has_news(at) && self.hosts[at].apps.last().is_some_and(|app| app.awake)
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

    /// A packet is gone for good.
    fn lost(&mut self, side: Side, lost: &Flying) {
        self.lost_resets[usize::from(side)] += u8::from(lost.segment().0.flags.contains(Flags::RST));
    }

    /// What is held up is lost after all.
    pub fn lose_held(&mut self) {
        for side in [0, 1] {
            for lost in std::mem::take(&mut self.held[usize::from(side)]) {
                self.lost(side, &lost);
            }
        }
    }

    fn open(&mut self, side: Side) {
        // No clock stands still while a connection is over and another one is opened.
        self.now += TICK;
        self.expire();
        let remote = self.hosts[usize::from(1 - side)].address;
        let host = &mut self.hosts[usize::from(side)];
        host.opens += 1;
        if let Some(old) = host.apps.last_mut().and_then(|app| app.handle.take()) {
            host.stack.tcp_close(self.now, old);
        }
        let options = host.stack.config().tcp.socket;
        match host.stack.tcp_connect(self.now, Some(host.address), remote, options) {
            Ok(handle) => {
                let app = App::new(handle, host.stack.tcp_connection(handle).unwrap());
                host.apps.push(app);
            }
            Err(error) => self.breaks(format!("{} cannot connect: {error}", NAMES[usize::from(side)])),
        }
    }

    fn send(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let count = host.apps.len();
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        // Octets that tell side, connection and place.
        let octet = (side << 7) | (count as u8) << 4 | app.sent.len() as u8;
        match host.stack.tcp_send(self.now, handle, &[octet]) {
            Ok(1) => app.sent.push(octet),
            other => self.breaks(format!("{} cannot send: {other:?}", NAMES[usize::from(side)])),
        }
    }

    fn read(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        let mut buffer = [0; 16];
        let answer = host.stack.tcp_receive(self.now, handle, &mut buffer);
        match answer {
            Ok(0) => app.ended = Some(End::Eof),
            Ok(read) => app.received.extend_from_slice(&buffer[..read]),
            Err(error) => app.ended = Some(End::Error(error)),
        }
        // A reader that has taken everything sleeps until it is told of more.
        app.awake = host.stack.tcp_peek(handle, &mut [0]) != Err(SocketError::WouldBlock);
        self.note(|_| {
            format!("    {} reads: {answer:?} {:?}", NAMES[usize::from(side)], &buffer[..answer.unwrap_or(0)])
        });
    }

    fn half_close(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        // CLOSE in SYN-SENT forgets the connection (RFC 9293 section 3.10.4).
        let forgets = host.stack.tcp_state(handle) == Some(State::SynSent);
        host.stack.tcp_shutdown(self.now, handle, Shutdown::Write).ok();
        app.write_closed = !forgets;
        app.aborted |= forgets;
        self.disorder |= forgets;
    }

    /// The application lets go.
    pub fn close(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle.take() else { return };
        let unread = host.stack.tcp_connection(handle).map_or(0, |connection| connection.receive_buffer.readable());
        app.let_go = Some((app.received.len() + unread) as u64);
        let forgets = host.stack.tcp_state(handle) == Some(State::SynSent);
        host.stack.tcp_close(self.now, handle);
        app.aborted |= unread > 0 || forgets;
        app.write_closed |= !app.aborted;
        // Whoever has not read to the end may be sent what nobody reads.
        self.disorder |= app.ended != Some(End::Eof);
    }

    fn abort(&mut self, side: Side) {
        let host = &mut self.hosts[usize::from(side)];
        let Some(app) = host.apps.last_mut() else { return };
        let Some(handle) = app.handle else { return };
        let state = host.stack.tcp_state(handle);
        self.silent[usize::from(side)] |= matches!(state, Some(State::Closing | State::LastAck));
        host.stack.tcp_abort(self.now, handle);
        app.aborted = true;
        self.disorder = true;
    }

    /// Packets of `side` reach the other one.
    fn arrive(&mut self, side: Side, flying: &[Flying]) {
        self.now += TICK;
        let at = usize::from(1 - side);
        for packet in flying {
            let (header, _) = packet.segment();
            let nobody = self.hosts[at].listener.is_none() && self.hosts[at].opens == 0;
            self.disorder |= nobody && header.flags.contains(Flags::SYN);
            let host = &mut self.hosts[at];
            let meta = RxMeta::plain(packet.packet.len());
            let dropped = host.stack.handle_packet(self.now, &packet.packet, &meta);
            if header.flags.contains(Flags::RST) && dropped.is_some() && self.faults > 0 {
                // By RFC 5961 it is questioned where something in front of it is missing, and the question can be lost.
                self.lost_resets[usize::from(side)] += 1;
            }
            self.note(|world| {
                let why = dropped.map_or(String::new(), |reason| format!(", dropped: {reason:?}"));
                format!("    {} gets {}{why}", NAMES[at], world.numbers.show(side, packet))
            });
        }
        self.expire();
    }

    /// Timers that have become due meanwhile.
    fn expire(&mut self) {
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
            self.transmit(at);
            self.hear(at);
            while self.eager && self.broken.is_none() && self.wakes(at) {
                self.read(at as Side);
                self.transmit(at);
                self.hear(at);
            }
        }
    }

    /// Takes connections from the listener.
    fn accept(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let Some(listener) = host.listener else { return };
        while let Ok((handle, _)) = host.stack.tcp_accept(listener) {
            if let Some(old) = host.apps.last_mut().and_then(|app| app.handle.take()) {
                host.stack.tcp_close(self.now, old);
            }
            let app = App::new(handle, host.stack.tcp_connection(handle).unwrap());
            host.apps.push(app);
            if let Some(app) = host.apps.last_mut() {
                app.awake = host.stack.tcp_peek(handle, &mut [0]) != Err(SocketError::WouldBlock);
            }
        }
    }

    /// Events wake the reader.
    fn hear(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        while let Some(ready) = host.stack.poll_ready() {
            let SocketHandle::Tcp(handle) = ready.socket else { continue };
            let news = Readiness::READABLE.with(Readiness::READ_CLOSED).with(Readiness::ERROR);
            if self.sabotage == Some(Sabotage::NoEvents) {
                continue;
            }
            for app in host.apps.iter_mut().filter(|app| app.handle == Some(handle)) {
                app.awake |= ready.edges.any(news);
            }
        }
        for app in &mut host.apps {
            let connection = app.handle.and_then(|handle| host.stack.tcp_connection(handle));
            if let Some(connection) = connection.filter(|connection| connection.state().is_synchronized()) {
                app.irs = Some(connection.rcv.irs.0);
            }
        }
    }

    /// What this stack has to send goes on the wire.
    fn transmit(&mut self, at: usize) {
        let (host, wire) = (&mut self.hosts[at], &mut self.wires[at]);
        let (now, before) = (self.now, wire.len());
        let progress = host.stack.transmit(now, MAX_AT_ONCE, |transmit| {
            wire.push_back(Flying::new(transmit.to_vec(), now));
            Ok(())
        });
        if progress != Progress::Idle {
            self.breaks(format!("{} sends without end", NAMES[at]));
            return;
        }
        if let Some(sabotage) = self.sabotage {
            sabotage.apply(at, &mut self.wires[at], before);
        }
        for index in before..self.wires[at].len() {
            self.numbers.learn(at as Side, &self.wires[at][index]);
            self.note(|world| {
                format!("    {} sends {}", NAMES[at], world.numbers.show(at as Side, &world.wires[at][index]))
            });
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

    /// An action for a reader, with what it is done to.
    fn in_words(&self, action: Action) -> String {
        let next = |side: Side| match self.wires[usize::from(side)].front() {
            Some(flying) => self.numbers.show(side, flying),
            None => "nothing".into(),
        };
        let name = |side: Side| NAMES[usize::from(side)];
        match action {
            Action::Open(side) => format!("{} connects", name(side)),
            Action::Send(side) => format!("{} sends an octet", name(side)),
            Action::Receive(side) => format!("{} reads", name(side)),
            Action::HalfClose(side) => format!("{} closes its sending side", name(side)),
            Action::SendAndHalfClose(side) => format!("{} sends an octet and closes its sending side", name(side)),
            Action::SendAndClose(side) => format!("{} sends an octet and closes", name(side)),
            Action::Close(side) => format!("{} closes", name(side)),
            Action::Abort(side) => format!("{} aborts", name(side)),
            Action::StopListening(side) => format!("{} closes its listener", name(side)),
            Action::Deliver(side) => format!("from {} arrives: {}", name(side), next(side)),
            Action::DeliverAll(side) => format!("all that {} has sent arrives at once", name(side)),
            Action::Lose(side) => format!("from {} is lost: {}", name(side), next(side)),
            Action::Delay(side) => format!("from {} is held up: {}", name(side), next(side)),
            Action::Duplicate(side) => format!("from {} arrives, and a copy is held up: {}", name(side), next(side)),
            Action::Late(side, index) => {
                let late = &self.held[usize::from(side)][usize::from(index)];
                format!("from {} arrives late: {}", name(side), self.numbers.show(side, late))
            }
            Action::Timer => "time passes until the next timer expires".into(),
        }
    }
}
