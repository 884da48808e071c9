//! What must hold: in each state, and when from there the link is good and both applications finish.

use std::time::Duration;

use glasstcp::error::SocketError;
use glasstcp::tcp::connection::Connection;
use glasstcp::tcp::state::State;

use super::action::{Action, NAMES, Side};
use super::host::{App, End};
use super::scenario::Role;
use super::world::World;

/// Packets that may pass over a good link without any time passing between them: more would be two stacks that answer each
/// other for ever.
const MAX_PACKETS: u32 = 60;

/// How long the applications wait before they finish: longer than every timer of an application that does nothing.
const PATIENCE: Duration = Duration::from_secs(900);

/// In what time everything must be over, once both applications have finished and the link is good: TIME-WAIT and what
/// remains of a timeout that was doubled.
const LIMIT: Duration = Duration::from_secs(150);

/// How the applications finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Who closes first.
    pub first: Side,
    /// Both at once, so that their FINs cross.
    pub at_once: bool,
}

impl Finish {
    /// All ways.
    pub const ALL: [Finish; 4] = [
        Finish { first: 0, at_once: false },
        Finish { first: 1, at_once: false },
        Finish { first: 0, at_once: true },
        Finish { first: 1, at_once: true },
    ];
}

/// Two views of one connection: that of `from` and that of the other side.
fn pairs<'a>(world: &'a World<'_>) -> impl Iterator<Item = (usize, &'a App, &'a App)> + 'a {
    (0..2).flat_map(move |from| {
        let senders = world.hosts[from].apps.iter();
        senders.flat_map(move |sender| {
            let receivers = world.hosts[1 - from].apps.iter();
            receivers.filter(|receiver| receiver.irs == Some(sender.iss)).map(move |receiver| (from, sender, receiver))
        })
    })
}

/// The connection of an application, if it is the current one and has not let go.
fn own<'a>(world: &'a World<'_>, at: usize, app: &App) -> Option<&'a Connection> {
    world.hosts[at].connection().filter(|connection| connection.snd.iss.0 == app.iss)
}

/// What holds in every state.
///
/// # Errors
/// What does not.
pub fn always(world: &World<'_>) -> Result<(), String> {
    if let Some(broken) = &world.broken {
        return Err(broken.clone());
    }
    for (from, sender, receiver) in pairs(world) {
        let (x, y) = (NAMES[from], NAMES[1 - from]);
        if !sender.sent.starts_with(&receiver.received) {
            return Err(format!("{y} was given {:?}, but {x} has sent {:?}", receiver.received, sender.sent));
        }
        if receiver.ended == Some(End::Eof) && !(sender.write_closed && receiver.received == sender.sent) {
            let closed = if sender.write_closed { "has closed" } else { "has not closed" };
            let (given, sent) = (&receiver.received, &sender.sent);
            return Err(format!("{y} was told the end after {given:?}, but {x} has sent {sent:?} and {closed}"));
        }
        // Whoever has let go can read no more: what comes then is refused, so that its sender learns of it.
        let acknowledged = own(world, from, sender).map_or(0, |connection| connection.statistics.octets_acknowledged);
        if receiver.let_go.is_some_and(|taken| acknowledged > taken) {
            return Err(format!("{x} takes for acknowledged what came to {y} after its reader had let go"));
        }
    }
    for at in 0..2 {
        host(world, at)?;
    }
    let [a, b] = [0, 1].map(|at| world.hosts[at].connection());
    if let (Some(a), Some(b)) = (a, b) {
        agree(a, b, "A", "B")?;
        agree(b, a, "B", "A")?;
    }
    let accepted: usize = world.hosts.iter().filter(|host| host.listener.is_some()).map(|host| host.apps.len()).sum();
    let opened: u8 = world.hosts.iter().map(|host| host.opens).sum();
    if accepted > usize::from(opened) {
        return Err(format!("{accepted} connections were accepted, but only {opened} were opened"));
    }
    Ok(())
}

/// What holds of each host by itself.
fn host(world: &World<'_>, at: usize) -> Result<(), String> {
    let (name, host) = (NAMES[at], &world.hosts[at]);
    if let Some(due) = host.deadline()
        && host.stack.next_deadline().is_none_or(|known| known > due)
    {
        return Err(format!("{name} has something due at {due:?}, but waits until {:?}", host.stack.next_deadline()));
    }
    let (Some(app), Some(connection)) = (host.apps.last(), host.connection()) else { return Ok(()) };
    let snd = &connection.snd;
    if snd.una.gt(snd.nxt) {
        return Err(format!("{name}: SND.UNA is beyond SND.NXT"));
    }
    let lost = connection.statistics.octets_acknowledged < app.sent.len() as u64;
    if connection.state() == State::Closed && lost && connection.error.is_none() {
        return Err(format!("{name}: the connection is over, {:?} may be lost, and there is no error", app.sent));
    }
    // The link has not enough faults to give: who is there answers each segment, with an ACK or a RST.
    if connection.error == Some(SocketError::TimedOut) || app.ended == Some(End::Error(SocketError::TimedOut)) {
        return Err(format!("{name}: timed out, though the other side was there all the time"));
    }
    if world.has_news(at) && !app.awake {
        return Err(format!("{name}: reading would not block, but the reader was never told"));
    }
    Ok(())
}

/// What holds between the two ends of a connection that both know of.
fn agree(x: &Connection, y: &Connection, x_name: &str, y_name: &str) -> Result<(), String> {
    let live = |connection: &Connection| connection.state().is_synchronized();
    if !live(x) || !live(y) || x.snd.iss != y.rcv.irs || y.snd.iss != x.rcv.irs {
        return Ok(());
    }
    if x.snd.una.gt(y.rcv.nxt) {
        return Err(format!("{x_name} takes for acknowledged what {y_name} has not received"));
    }
    if y.rcv.nxt.gt(x.snd.nxt) {
        return Err(format!("{y_name} has received what {x_name} has not sent"));
    }
    Ok(())
}

/// From here on the link is good. First the applications do nothing, then both finish, in this way.
///
/// # Errors
/// What goes wrong on the way or is wrong at the end.
pub fn finish(world: &mut World<'_>, how: Finish) -> Result<Duration, String> {
    world.note(|_| format!("-- the link is good from here on, and the applications wait; then {how:?}"));
    world.lose_held();
    calm(world, PATIENCE)?;
    at_rest(world)?;
    let started = world.now;
    world.eager = true;
    let order = [how.first, 1 - how.first];
    // Twice: what one side sends may be what makes the other one accept a connection.
    for side in [order, order].concat() {
        while world.has_news(usize::from(side)) {
            world.apply(Action::Receive(side));
        }
        if world.hosts[usize::from(side)].connection().is_some() {
            world.apply(Action::HalfClose(side));
        }
        if !how.at_once || side == order[1] {
            calm(world, LIMIT)?;
        }
    }
    let orderly = !world.disorder;
    for side in order {
        told(world, side)?;
        if orderly {
            ended_well(world, usize::from(side))?;
        }
    }
    for side in order {
        world.apply(Action::Close(side));
        calm(world, LIMIT)?;
    }
    for side in order {
        world.apply(Action::StopListening(side));
    }
    calm(world, LIMIT)?;
    over(world, orderly)?;
    Ok(world.now - started)
}

/// Everything arrives in order, and timers expire, until nothing is to come or the time is up.
fn calm(world: &mut World<'_>, limit: Duration) -> Result<(), String> {
    let until = world.now + limit;
    let mut packets = 0;
    loop {
        always(world)?;
        let wires = &world.wires;
        // In turn, so that what crosses on the wire does so here.
        let side = if wires[0].len() >= wires[1].len() { 0 } else { 1 };
        if !wires[usize::from(side)].is_empty() {
            packets += 1;
            if packets > MAX_PACKETS {
                return Err(format!("{packets} packets in a row, without any timer"));
            }
            world.apply(Action::Deliver(side));
            continue;
        }
        packets = 0;
        match world.deadline() {
            Some(at) if at <= until => world.apply(Action::Timer),
            _ => return Ok(()),
        }
    }
}

/// Nobody does anything and the link is good: nothing may be on its way any more.
fn at_rest(world: &World<'_>) -> Result<(), String> {
    for at in 0..2 {
        let (name, host) = (NAMES[at], &world.hosts[at]);
        let live = host
            .stack
            .tcp_connections()
            .filter(|connection| connection.state() != State::Closed && connection.state() != State::TimeWait);
        for connection in live {
            let state = connection.state();
            if connection.snd.wnd == 0 && connection.deadlines.persist.is_set() {
                // It waits for a reader, and asks again and again.
                continue;
            }
            if matches!(state, State::SynSent | State::SynReceived | State::Closing | State::LastAck) {
                return Err(format!("{name} is stuck in {state}"));
            }
            if connection.flight() > 0 || connection.unsent() > 0 {
                return Err(format!("{name} in {state} has something to send, and waits for nothing"));
            }
        }
        if let Some((tuple, _, _)) = host.stack.half_open_records().next() {
            return Err(format!("{name} still has a half-open record of {tuple}"));
        }
    }
    let [a, b] = [0, 1].map(|at| world.hosts[at].connection());
    let (Some(a), Some(b)) = (a, b) else { return Ok(()) };
    let both = a.state().is_synchronized() && b.state().is_synchronized() && a.snd.iss == b.rcv.irs;
    for (x, y, name) in [(a, b, "A"), (b, a, "B")] {
        if both && !x.deadlines.persist.is_set() && x.snd.nxt != y.rcv.nxt {
            return Err(format!("{name} is at rest, but not all that it has sent was received"));
        }
    }
    Ok(())
}

/// Both have finished: each reader has been told how it ended.
fn told(world: &World<'_>, side: Side) -> Result<(), String> {
    let at = usize::from(side);
    let Some(app) = world.hosts[at].apps.last() else { return Ok(()) };
    if app.handle.is_none() || app.ended.is_some() || app.aborted {
        return Ok(());
    }
    // Where the only RST was lost, or the RFC wants none, and everything of our own was acknowledged before, nobody can tell.
    if world.lost_resets[1 - at] > 0 || world.silent[1 - at] {
        return Ok(());
    }
    let state = world.hosts[at].connection().map(Connection::state);
    Err(format!("{} waits for the end of the stream for ever, in {state:?}", NAMES[at]))
}

/// Nobody has aborted or turned away: the socket, too, knows of no error, and the other side has said that our FIN came.
fn ended_well(world: &World<'_>, at: usize) -> Result<(), String> {
    let (name, Some(connection)) = (NAMES[at], world.hosts[at].connection()) else { return Ok(()) };
    if let Some(error) = connection.error {
        return Err(format!("{name} has done nothing wrong, but its socket says {error:?}"));
    }
    let state = connection.state();
    if !matches!(state, State::Closed | State::TimeWait) {
        return Err(format!("{name} has come to {state}, though both sides are done"));
    }
    if connection.snd.fin.is_none_or(|fin| connection.snd.una.le(fin)) {
        return Err(format!("{name}: the connection is over, but its FIN was not acknowledged"));
    }
    Ok(())
}

/// Everything is over: nothing is left, and nobody was lied to.
fn over(world: &World<'_>, orderly: bool) -> Result<(), String> {
    always(world)?;
    for at in 0..2 {
        let stack = &world.hosts[at].stack;
        let left = (stack.table_sizes(), stack.flows(), stack.buffer_memory(), stack.is_quiet());
        if left != ((0, 0, 0), 0, 0, true) {
            let states: Vec<State> = stack.tcp_connections().map(Connection::state).collect();
            return Err(format!("{} has not let go of everything: {left:?}, {states:?}", NAMES[at]));
        }
    }
    if !orderly {
        return Ok(());
    }
    // Nobody has aborted or turned away: not even a bad link may show.
    for at in 0..2 {
        let name = NAMES[at];
        let given_up = world.hosts[at].stack.counters().orphans_aborted;
        if given_up > 0 {
            return Err(format!("{name} has given up {given_up} connections that were let go in order"));
        }
        let connects = world.scenario.roles[at] == Role::Active;
        for app in &world.hosts[at].apps {
            if app.ended != Some(End::Eof) {
                return Err(format!("{name} has done nothing wrong, but reading came to {:?}", app.ended));
            }
        }
        if connects && world.hosts[at].opens as usize != world.hosts[at].apps.len() {
            return Err(format!("{name} has opened more connections than it has had"));
        }
    }
    for (from, sender, receiver) in pairs(world) {
        if sender.sent != receiver.received {
            let (x, y) = (NAMES[from], NAMES[1 - from]);
            return Err(format!("{x} has sent {:?}, but {y} was given {:?}", sender.sent, receiver.received));
        }
    }
    Ok(())
}
