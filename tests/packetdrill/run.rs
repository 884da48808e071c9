//! Plays a script: injects what comes, waits for what must leave, makes the calls, and compares, all in virtual time.
//!
//! As packetdrill does, it follows one connection at a time: that of the last `socket`, or of the SYN that came to it.
//! Numbers of segments with SYN are absolute, others count from the SYNs; timestamps are translated as they are seen.
//! Stricter than packetdrill: checksums and echoed timestamps are checked, and nothing may be left over at the end.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::calls::{Machine, Outcome};
use crate::language::{Action, Body, Call, Event, Packet, Script, Segment, TcpOption, Tos, When};
use crate::matching::{difference, later_piece};
use crate::wire::{self, Ends, Seen};

/// Microseconds that an event may be early or late, unless the script says otherwise.
const TOLERANCE: i64 = 4_000;
/// An eighth of the time since the event before, where that is more: timers may be that coarse.
const TOLERANCE_SHARE: i64 = 8;
/// How long a packet that is late is waited for.
const PATIENCE: i64 = 2_000_000;

/// Where and why a script failed.
#[derive(Debug)]
pub struct Failure {
    /// Line of the script.
    pub line: usize,
    /// A sentence, or several lines.
    pub what: String,
}

/// What is known of a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Fresh,
    Listening,
    /// A SYN came, or anything where nobody listens.
    Called,
    SynAckSent,
    Connecting,
    SynSent,
    Established,
}

#[derive(Debug)]
struct Flow {
    phase: Phase,
    udp: bool,
    fd: Option<i64>,
    local_port: u16,
    remote_port: u16,
    /// ISN of this host as the script writes it, and as it is.
    local_isn: (u32, u32),
    /// ISN of the peer, which is the script's.
    remote_isn: u32,
    /// Timestamps of this host, from the script's to the real ones.
    timestamps: BTreeMap<u32, u32>,
    first_timestamp: Option<(u32, u32)>,
}

/// The call that has not returned yet.
struct Pending {
    line: usize,
    call: Call,
    /// When it should return.
    end: i64,
    /// When it began.
    from: i64,
}

struct Runner {
    machine: Machine,
    tolerance: i64,
    timestamp_tick: i64,
    flows: Vec<Flow>,
    left: VecDeque<(i64, Vec<u8>)>,
    pending: Option<Pending>,
    /// The time of the event before, and whether a packet came there.
    last: Option<(i64, bool)>,
    next_port: u16,
}

/// Plays a script with the habits of a persona.
pub fn run(script: &Script, persona: &str) -> Result<(), Failure> {
    let head = |what: String| Failure { line: 1, what };
    let mut runner = Runner {
        machine: Machine::new(persona, &script.options).map_err(head)?,
        tolerance: TOLERANCE,
        timestamp_tick: 0,
        flows: Vec::new(),
        left: VecDeque::new(),
        pending: None,
        last: None,
        next_port: 40_001,
    };
    for (name, value) in &script.options {
        let number = value.parse().map_err(|_| head(format!("--{name}={value}: not a number")));
        match name.as_str() {
            "tolerance_usecs" => runner.tolerance = number?,
            "tcp_ts_tick_usecs" => runner.timestamp_tick = number?,
            "ip_version" => {}
            _ => {
                return Err(head(format!(
                    "--{name} is not part of our scripts: ip_version, tolerance_usecs, tcp_ts_tick_usecs"
                )));
            }
        }
    }
    if !matches!(script.events[0].time, When::At(0) | When::After(0)) {
        return Err(Failure { line: script.events[0].line, what: "the first event is at time 0".into() });
    }
    for event in &script.events {
        runner.event(event).map_err(|what| Failure { line: event.line, what })?;
    }
    runner.finish(script.events[script.events.len() - 1].line)
}

/// A time as packetdrill shows it.
struct Seconds(i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:.6}", self.0 as f64 / 1.0e6)
    }
}

impl Runner {
    /// The range of times in which an event happens.
    fn span(&self, event: &Event) -> (i64, i64) {
        let injects = matches!(event.action, Action::Inject(_));
        let base = match self.last {
            Some((time, true)) if injects => time,
            _ => self.machine.now(),
        };
        match event.time {
            When::Any => (base, i64::MAX),
            When::At(time) => (time, time),
            When::After(time) => (base + time, base + time),
            When::Between(from, to) => (from, to),
            When::AfterBetween(from, to) => (base + from, base + to),
        }
    }

    fn tolerance(&self, time: i64) -> i64 {
        let since = self.last.map_or(0, |(last, _)| time - last);
        self.tolerance.max(since / TOLERANCE_SHARE)
    }

    fn on_time(&self, seen: i64, (from, to): (i64, i64), what: &str) -> Result<(), String> {
        let tolerance = self.tolerance(from);
        if seen >= from - tolerance && seen <= to.saturating_add(tolerance) {
            return Ok(());
        }
        let expected =
            if from == to { Seconds(from).to_string() } else { format!("{}~{}", Seconds(from), Seconds(to)) };
        Err(format!("{what} at {}, expected at {expected}, tolerance {}", Seconds(seen), Seconds(tolerance)))
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        let span = self.span(event);
        let base = self.machine.now();
        match &event.action {
            Action::Inject(packet) => {
                self.wait_until(span)?;
                self.inject(packet)?;
            }
            Action::Sysctl(settings) => {
                self.wait_until(span)?;
                self.machine.sysctl(settings)?;
            }
            Action::Expect(packet) => self.expect(packet, span, event.time == When::Any)?,
            Action::Call(call) => {
                self.wait_until(span)?;
                let end = call.end.map(|end| if matches!(event.time, When::After(_)) { base + end } else { end });
                self.call(call, end, event.line)?;
            }
        }
        self.last = Some((span.0, matches!(event.action, Action::Inject(_))));
        Ok(())
    }

    fn wait_until(&mut self, span: (i64, i64)) -> Result<(), String> {
        self.advance(span.0)?;
        self.on_time(self.machine.now(), span, "the event comes too late:")
    }

    /// Lets time pass, timer by timer, so that a waiting call returns when it can.
    fn advance(&mut self, until: i64) -> Result<(), String> {
        while let Some(deadline) = self.machine.deadline().filter(|deadline| *deadline <= until) {
            self.machine.advance(deadline);
            self.collect()?;
        }
        self.machine.advance(until);
        self.collect()
    }

    /// Takes what has left, and asks again for what waits.
    fn collect(&mut self) -> Result<(), String> {
        while let Some(packet) = self.machine.take() {
            self.left.push_back(packet);
        }
        let Some(pending) = &self.pending else { return Ok(()) };
        let outcome = self.machine.call(&pending.call)?;
        if outcome.blocks {
            return Ok(());
        }
        let pending = self.pending.take().unwrap();
        let at_line = |what: String| format!("{} of line {}: {what}", pending.call.name, pending.line);
        let now = self.machine.now();
        let tolerance = self.tolerance.max((pending.end - pending.from) / TOLERANCE_SHARE);
        if (now - pending.end).abs() > tolerance {
            return Err(at_line(format!("returned at {}, expected at {}", Seconds(now), Seconds(pending.end))));
        }
        self.returned(&pending.call, &outcome).map_err(at_line)?;
        self.collect()
    }

    fn call(&mut self, call: &Call, end: Option<i64>, line: usize) -> Result<(), String> {
        if self.pending.is_some() {
            return Err("another call still waits: one at a time".into());
        }
        let before = self.phase_before(call);
        let outcome = self.machine.call(call)?;
        if !outcome.blocks {
            if let Some(end) = end {
                self.on_time(self.machine.now(), (end, end), &format!("{} returned", call.name))?;
            }
            self.returned(call, &outcome).inspect_err(|_| self.undo(before))?;
        } else if let Some(end) = end {
            self.pending = Some(Pending { line, call: call.clone(), end, from: self.machine.now() });
        } else {
            return Err(format!("{} waits: say when it returns, `+0...0.2 {}(...)`", call.name, call.name));
        }
        self.collect()
    }

    /// `connect` may send at once: its packets must find their socket.
    fn phase_before(&mut self, call: &Call) -> Option<(usize, Phase)> {
        let fd = call.arguments.first().and_then(|argument| self.machine.value(argument).ok())?;
        let starts = matches!(call.name.as_str(), "connect" | "sendto" | "sendmsg");
        let at = self.flows.iter().rposition(|flow| flow.fd == Some(fd) && flow.phase == Phase::Fresh && starts)?;
        self.flows[at].phase = Phase::Connecting;
        self.flows[at].remote_port = Machine::CONNECT_PORT;
        Some((at, Phase::Fresh))
    }

    fn undo(&mut self, before: Option<(usize, Phase)>) {
        if let Some((at, phase)) = before {
            self.flows[at].phase = phase;
        }
    }

    /// Compares what a call answered, and remembers what it means for the flows.
    fn returned(&mut self, call: &Call, outcome: &Outcome) -> Result<(), String> {
        let expected = self.machine.value(&call.result)?;
        let makes_fd = matches!(call.name.as_str(), "socket" | "accept");
        let good = if makes_fd && expected >= 0 { outcome.value >= 0 } else { outcome.value == expected };
        let shown = |errno: &Option<String>| errno.as_ref().map_or(String::new(), |errno| format!(" {errno}"));
        if !good || (call.errno.is_some() && call.errno != outcome.errno) {
            return Err(format!(
                "{} returned another value\nexpected: {expected}{}\nseen:     {}{}",
                call.name,
                shown(&call.errno),
                outcome.value,
                shown(&outcome.errno)
            ));
        }
        if let Some(wrong) = &outcome.wrong {
            return Err(wrong.clone());
        }
        let fd = call.arguments.first().and_then(|argument| self.machine.value(argument).ok());
        let flow = |phase, udp, fd| Flow {
            phase,
            udp,
            fd,
            local_port: 0,
            remote_port: 0,
            local_isn: (0, 0),
            remote_isn: 0,
            timestamps: BTreeMap::new(),
            first_timestamp: None,
        };
        match call.name.as_str() {
            "socket" if outcome.value >= 0 => {
                self.machine.name_fd(expected, outcome.value)?;
                self.flows.push(flow(Phase::Fresh, Machine::is_datagram(call), Some(expected)));
            }
            "accept" if outcome.value >= 0 => {
                self.machine.name_fd(expected, outcome.value)?;
                let taken = |flow: &&mut Flow| matches!(flow.phase, Phase::SynAckSent | Phase::Established);
                if let Some(flow) = self.flows.iter_mut().rev().find(taken) {
                    flow.fd = Some(expected);
                }
            }
            "listen" if outcome.value == 0 => {
                if let Some(flow) = self.flows.iter_mut().rev().find(|flow| flow.fd == fd) {
                    flow.phase = Phase::Listening;
                }
            }
            "close" if outcome.value == 0 => {
                for flow in self.flows.iter_mut().filter(|flow| flow.fd == fd) {
                    flow.fd = None;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn ends_out(&self, flow: &Flow) -> Ends {
        let (from, to) = self.machine.addresses();
        Ends { from, to, from_port: flow.local_port, to_port: flow.remote_port }
    }

    fn inject(&mut self, packet: &Packet) -> Result<(), String> {
        if let Body::Tcp(segment) = &packet.body {
            let listens = self.flows.last().is_none_or(|flow| flow.phase == Phase::Listening);
            if listens {
                self.next_port += 1;
                self.flows.push(Flow {
                    phase: Phase::Called,
                    udp: false,
                    fd: None,
                    local_port: Machine::BIND_PORT,
                    remote_port: self.next_port,
                    local_isn: (0, 0),
                    remote_isn: segment.seq,
                    timestamps: BTreeMap::new(),
                    first_timestamp: None,
                });
            }
        }
        let flow = self.flows.last_mut().ok_or("no socket for this packet yet")?;
        let mut packet = packet.clone();
        match &mut packet.body {
            Body::Tcp(segment) => flow.inbound(segment)?,
            Body::Icmp { quoted: crate::language::Quoted::Tcp(seq, _), .. } => {
                *seq = seq.wrapping_add(flow.local_isn.1);
            }
            _ => {}
        }
        let out = self.ends_out(&self.flows[self.flows.len() - 1]);
        let ends = Ends { from: out.to, to: out.from, from_port: out.to_port, to_port: out.from_port };
        self.machine.inject(&wire::build(&packet, ends)?);
        self.collect()
    }

    fn expect(&mut self, packet: &Packet, span: (i64, i64), any_time: bool) -> Result<(), String> {
        if let (Body::Tcp(segment), Some(flow)) = (&packet.body, self.flows.last_mut()) {
            let syn = segment.flags.contains('S');
            if syn && !segment.flags.contains('.') && flow.phase == Phase::Connecting {
                flow.phase = Phase::SynSent;
                flow.local_isn.0 = segment.seq;
            } else if syn && segment.flags.contains('.') && flow.phase == Phase::Called {
                flow.local_isn.0 = segment.seq;
            }
        }
        let (time, seen) = self.gather(packet, span.1)?;
        let what = difference(packet, &seen, self.timestamp_tick, self.tolerance(span.0))
            .or_else(|| if any_time { None } else { self.on_time(time, span, "it left").err() });
        match what {
            None => Ok(()),
            Some(what) => Err(format!(
                "a packet left that is not the one expected: {what}\nexpected: {} {packet}\nseen:     {} {}",
                Seconds(span.0),
                Seconds(time),
                seen.packet
            )),
        }
    }

    /// The next packet of the flow, in the script's numbers; several together where the script sees them as one.
    fn gather(&mut self, expected: &Packet, until: i64) -> Result<(i64, Seen), String> {
        let length = |packet: &Packet| match &packet.body {
            Body::Tcp(segment) => segment.payload,
            _ => 0,
        };
        let mut whole: Option<(i64, Seen)> = None;
        let mut last_piece = 0;
        loop {
            let (time, seen) = match self.next_packet(expected, until) {
                Ok(found) => found,
                Err(what) => {
                    return Err(match whole {
                        None => format!("{what}\nexpected: {expected}"),
                        Some((_, part)) => format!("{what}\nexpected: {expected}\nseen:     {}", part.packet),
                    });
                }
            };
            let piece = length(&seen.packet);
            let Some((_, before)) = &whole else {
                let done = piece >= length(expected) || piece == 0;
                last_piece = piece;
                if done {
                    return Ok((time, seen));
                }
                whole = Some((time, seen));
                continue;
            };
            let together = later_piece(&before.packet, &seen.packet).filter(|all| {
                let complete = length(all) == length(expected);
                length(all) <= length(expected) && (piece == last_piece || complete)
            });
            let Some(together) = together else {
                let (first, second) = (&before.packet, &seen.packet);
                return Err(format!(
                    "these do not make up the packet expected\nexpected: {expected}\nseen:     {first}\nseen:     {second}"
                ));
            };
            let zeros = before.zeros && seen.zeros;
            let done = length(&together) == length(expected);
            last_piece = piece;
            whole = Some((time, Seen { packet: together, zeros, ..seen }));
            if done {
                return Ok(whole.unwrap());
            }
        }
    }

    fn next_packet(&mut self, expected: &Packet, until: i64) -> Result<(i64, Seen), String> {
        let limit = until.saturating_add(self.tolerance(until).max(PATIENCE));
        loop {
            while let Some((time, bytes)) = self.left.pop_front() {
                let seen = wire::read(&bytes)?;
                if let Some(seen) = self.of_this_flow(seen, Some(expected)) {
                    return Ok((time, seen));
                }
            }
            match self.machine.deadline() {
                Some(deadline) if deadline <= limit => self.machine.advance(deadline),
                Some(_) => return Err(format!("nothing left until {}", Seconds(limit))),
                None => return Err("nothing left, and no timer runs".into()),
            }
            self.collect()?;
        }
    }

    /// The packet in the script's numbers, if it is of the flow that the script follows.
    fn of_this_flow(&mut self, mut seen: Seen, expected: Option<&Packet>) -> Option<Seen> {
        let (from, to) = self.machine.addresses();
        let tick = expected.and_then(timestamp_value);
        let flow = self.flows.last_mut()?;
        let here = seen.ends.from == from && seen.ends.to == to && seen.ends.to_port == flow.remote_port;
        let opens = match &seen.packet.body {
            Body::Tcp(segment) => {
                let syn = segment.flags.contains('S') && !segment.flags.contains('.');
                !flow.udp && syn && flow.phase == Phase::SynSent && flow.local_port == 0
            }
            Body::Udp(_) => flow.udp && flow.phase == Phase::Connecting,
            Body::Icmp { .. } => false,
        };
        if here && opens {
            flow.local_port = seen.ends.from_port;
        }
        if !here || seen.ends.from_port != flow.local_port {
            return None;
        }
        if let Body::Tcp(segment) = &mut seen.packet.body {
            flow.outbound(segment, tick);
        }
        Some(seen)
    }

    fn finish(mut self, line: usize) -> Result<(), Failure> {
        if let Some(pending) = &self.pending {
            // packetdrill does not wait for it either.
            let what = format!("{} still waits when the script ends", pending.call.name);
            return Err(Failure { line: pending.line, what });
        }
        while let Some((time, bytes)) = self.left.pop_front() {
            let seen = wire::read(&bytes).map_err(|what| Failure { line, what })?;
            if let Some(seen) = self.of_this_flow(seen, None) {
                let what = format!(
                    "a packet left that the script does not mention\nexpected: nothing\nseen:     {} {}",
                    Seconds(time),
                    seen.packet
                );
                return Err(Failure { line, what });
            }
        }
        Ok(())
    }
}

fn timestamp_value(packet: &Packet) -> Option<u32> {
    let Body::Tcp(Segment { options: Some(options), .. }) = &packet.body else { return None };
    options.iter().find_map(|option| match option {
        TcpOption::Timestamps { val, .. } => Some(*val),
        _ => None,
    })
}

impl Flow {
    /// From the script's numbers to the real ones.
    fn inbound(&mut self, segment: &mut Segment) -> Result<(), String> {
        let (syn, ack) = (segment.flags.contains('S'), segment.flags.contains('.'));
        if self.phase == Phase::SynAckSent && ack {
            self.phase = Phase::Established;
        } else if self.phase == Phase::SynSent && syn && ack {
            self.phase = Phase::Established;
            self.remote_isn = segment.seq;
        }
        if !syn {
            segment.seq = segment.seq.wrapping_add(self.remote_isn);
        }
        let offset = if syn { self.local_isn.1.wrapping_sub(self.local_isn.0) } else { self.local_isn.1 };
        if ack {
            segment.ack = segment.ack.wrapping_add(offset);
        }
        for option in segment.options.iter_mut().flatten() {
            match option {
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        *left = left.wrapping_add(offset);
                        *right = right.wrapping_add(offset);
                    }
                }
                TcpOption::Timestamps { ecr, .. } if ack => {
                    *ecr = *self.timestamps.get(ecr).ok_or(format!("no packet with `TS val {ecr}` has left"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// From the real numbers to the script's. `val`: the timestamp that the script expects.
    fn outbound(&mut self, segment: &mut Segment, val: Option<u32>) {
        let (syn, ack) = (segment.flags.contains('S'), segment.flags.contains('.'));
        if syn && ack && self.phase == Phase::Called {
            self.phase = Phase::SynAckSent;
            self.local_isn.1 = segment.seq;
        } else if syn && self.phase == Phase::SynSent && self.local_isn.1 == 0 {
            self.local_isn.1 = segment.seq;
        }
        let offset = if syn { self.local_isn.1.wrapping_sub(self.local_isn.0) } else { self.local_isn.1 };
        segment.seq = segment.seq.wrapping_sub(offset);
        let offset = if syn { 0 } else { self.remote_isn };
        if ack {
            segment.ack = segment.ack.wrapping_sub(offset);
        }
        for option in segment.options.iter_mut().flatten() {
            match option {
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        *left = left.wrapping_sub(offset);
                        *right = right.wrapping_sub(offset);
                    }
                }
                TcpOption::Timestamps { val: real, .. } => {
                    if let Some(script) = val {
                        self.timestamps.insert(script, *real);
                    }
                    let first = *self.first_timestamp.get_or_insert((val.unwrap_or(*real), *real));
                    *real = first.0.wrapping_add(real.wrapping_sub(first.1));
                }
                _ => {}
            }
        }
    }
}

/// What `Tos` of a script means for an octet that was seen.
pub fn tos_matches(expected: Tos, seen: Tos) -> bool {
    let Tos::Octet(octet) = seen else { return false };
    match expected {
        Tos::Any => true,
        Tos::Ecn(bits) => octet & 3 == bits,
        Tos::Ect01 => matches!(octet & 3, 1 | 2),
        Tos::Octet(wanted) => octet == wanted,
    }
}
