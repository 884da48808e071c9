//! What can happen: the actions, which of them are possible in a world, and what they are called.

use std::collections::VecDeque;

use glasstcp::tcp::state::State;

use super::host::End;
use super::scenario::{Cookie, Role, call, fault};
use super::world::World;

/// 0 is A, 1 is B.
pub type Side = u8;

/// What the sides are called.
pub const NAMES: [&str; 2] = ["A", "B"];

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

impl World<'_> {
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

    /// An action for a reader, with what it is done to.
    pub(super) fn in_words(&self, action: Action) -> String {
        let next = |side: Side| match self.wires[usize::from(side)].front() {
            Some(flying) => self.numbers.show(side, flying),
            None => "nothing".into(),
        };
        let name = |side: Side| NAMES[usize::from(side)];
        match action {
            Action::Open(side) => match self.scenario.cookies[usize::from(side)] {
                Cookie::Unused => format!("{} connects", name(side)),
                cookie => format!("{} connects by Fast Open, its cookie is {cookie:?}", name(side)),
            },
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
