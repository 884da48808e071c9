//! `glasstcp ping`: echo requests over the stack, and the time until each reply.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::args::Ping;
use super::open::{self, Opened};
use super::signals::{self, Wanted};
use super::{Failure, print};
use crate::net::{EchoReply, Pinger};
use crate::stack::max_echo_data;
use crate::tcp::congestion::Algorithm;
use crate::time::Instant as StackTime;
use crate::wire::icmp::IcmpError;

/// How often it is checked whether a signal asks to end.
const TICK: Duration = Duration::from_millis(50);
/// Requests that are remembered; replies to older ones are not counted.
const REMEMBERED: usize = 4_096;

/// A request.
struct Request {
    sequence: u16,
    sent: StackTime,
    answered: bool,
}

/// What has happened so far.
#[derive(Default)]
struct Tally {
    sent: u64,
    received: u64,
    duplicates: u64,
    /// ICMP errors about requests.
    errors: u64,
    requests: VecDeque<Request>,
    shortest: Option<Duration>,
    longest: Duration,
    /// Sums of the times and of their squares, in milliseconds.
    sum: f64,
    squares: f64,
}

/// Runs the command.
pub(super) fn run(args: &Ping) -> Result<ExitCode, Failure> {
    let opened = open::open(&args.stack, Algorithm::default())?;
    opened.require_up()?;
    let requests = signals::watch(Wanted::End, |_| {})?;
    let pinger = opened.net.ping(args.host)?;
    print(&format!("PING {}: {} bytes of data\n", args.host, args.size))?;
    let started = Instant::now();
    let mut tally = Tally::default();
    let ended = || requests.end().is_some();
    let result = exchange(args, &opened, &pinger, &mut tally, &ended);
    print(&tally.summary(args.host, started.elapsed()))?;
    drop(pinger);
    opened.close();
    result?;
    Ok(if tally.received > 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn exchange(
    args: &Ping,
    opened: &Opened,
    pinger: &Pinger,
    tally: &mut Tally,
    ended: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let data: Vec<u8> = (0..args.size).map(|i| i as u8).collect();
    let mut next = Instant::now();
    while args.count.is_none_or(|count| tally.sent < count) && !ended() {
        send(opened, pinger, tally, &data, args.host)?;
        next += args.interval;
        let last = args.count == Some(tally.sent);
        let until = if last { Instant::now() + args.wait } else { next };
        receive(opened, pinger, tally, until, &|tally| ended() || last && tally.all_answered())?;
    }
    if args.count.is_none() && !tally.all_answered() {
        // A signal ended it; what is on its way deserves a moment.
        receive(opened, pinger, tally, Instant::now() + TICK, &Tally::all_answered)?;
    }
    Ok(())
}

fn send(opened: &Opened, pinger: &Pinger, tally: &mut Tally, data: &[u8], to: IpAddr) -> Result<(), Failure> {
    // Sequence numbers begin at 1, as those of ping do.
    let sequence = (tally.sent + 1) as u16;
    let sent = match pinger.send(sequence, data) {
        Ok(sent) => sent,
        // The device takes nothing now: a request that is lost at once.
        Err(error) if error.kind() == ErrorKind::WouldBlock => opened.net.now(),
        Err(error) => {
            let most = max_echo_data(to.is_ipv6());
            return Err(match error.kind() {
                ErrorKind::InvalidInput => format!("{} bytes do not fit: at most {most}", data.len()).into(),
                ErrorKind::NetworkUnreachable => "the stack has no address of that family: see --addr".into(),
                _ => opened.explain(error).into(),
            });
        }
    };
    tally.sent += 1;
    if tally.requests.len() == REMEMBERED {
        tally.requests.pop_front();
    }
    tally.requests.push_back(Request { sequence, sent, answered: false });
    Ok(())
}

fn receive(
    opened: &Opened,
    pinger: &Pinger,
    tally: &mut Tally,
    until: Instant,
    enough: &dyn Fn(&Tally) -> bool,
) -> Result<(), Failure> {
    while !enough(tally) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        if let Some(reply) = pinger.receive(Some(left.min(TICK))).map_err(|error| opened.explain(error))? {
            print(&tally.take(&reply))?;
        }
    }
    Ok(())
}

impl Tally {
    fn all_answered(&self) -> bool {
        self.requests.iter().all(|request| request.answered)
    }

    /// Counts a reply; says what to print.
    fn take(&mut self, reply: &EchoReply) -> String {
        let Some(request) = self.requests.iter_mut().rev().find(|request| request.sequence == reply.sequence) else {
            return String::new();
        };
        if let Some(error) = reply.error {
            request.answered = true;
            self.errors += 1;
            let (from, seq) = (reply.source, reply.sequence);
            return format!("From {from} icmp_seq={seq} {}\n", complaint(error, from.is_ipv6()));
        }
        let time = reply.arrived.saturating_since(request.sent);
        let again = std::mem::replace(&mut request.answered, true);
        let millis = time.as_secs_f64() * 1e3;
        if again {
            self.duplicates += 1;
        } else {
            self.received += 1;
            self.shortest = Some(self.shortest.map_or(time, |shortest| shortest.min(time)));
            self.longest = self.longest.max(time);
            self.sum += millis;
            self.squares += millis * millis;
        }
        let mark = if again { " (DUP!)" } else { "" };
        format!(
            "{} bytes from {}: icmp_seq={} ttl={} time={} ms{mark}\n",
            reply.data.len() + 8,
            reply.source,
            reply.sequence,
            reply.hop_limit,
            significant(millis)
        )
    }

    /// The last lines, as ping prints them.
    fn summary(&self, host: IpAddr, took: Duration) -> String {
        let lost = if self.sent == 0 { 0.0 } else { 100.0 * (1.0 - self.received as f64 / self.sent as f64) };
        let duplicates = if self.duplicates > 0 { format!(" +{} duplicates,", self.duplicates) } else { String::new() };
        let errors = if self.errors > 0 { format!(" +{} errors,", self.errors) } else { String::new() };
        let mut text = format!(
            "\n--- {host} ping statistics ---\n{} packets transmitted, {} received,{duplicates}{errors} {}% packet loss, time {} ms\n",
            self.sent,
            self.received,
            (lost * 10.0).round() / 10.0,
            took.as_millis()
        );
        if let Some(shortest) = self.shortest {
            let mean = self.sum / self.received as f64;
            let deviation = (self.squares / self.received as f64 - mean * mean).max(0.0).sqrt();
            let (shortest, longest) = (shortest.as_secs_f64() * 1e3, self.longest.as_secs_f64() * 1e3);
            // Writing to a string does not fail.
            let _ = writeln!(text, "rtt min/avg/max/mdev = {shortest:.3}/{mean:.3}/{longest:.3}/{deviation:.3} ms");
        }
        text
    }
}

/// What an ICMP error says, in the words of ping.
fn complaint(error: IcmpError, ipv6: bool) -> String {
    let known = match (error, ipv6) {
        (IcmpError::DestinationUnreachable { code: 0 }, false) => "Destination Net Unreachable",
        (IcmpError::DestinationUnreachable { code: 1 }, false) => "Destination Host Unreachable",
        (IcmpError::DestinationUnreachable { code: 2 }, false) => "Destination Protocol Unreachable",
        (IcmpError::DestinationUnreachable { code: 3 }, false) => "Destination Port Unreachable",
        (IcmpError::DestinationUnreachable { code: 13 }, false) => "Packet filtered",
        (IcmpError::DestinationUnreachable { code: 0 }, true) => "Destination unreachable: No route",
        (IcmpError::DestinationUnreachable { code: 1 }, true) => "Destination unreachable: Administratively prohibited",
        (IcmpError::DestinationUnreachable { code: 2 }, true) => {
            "Destination unreachable: Beyond scope of source address"
        }
        (IcmpError::DestinationUnreachable { code: 3 }, true) => "Destination unreachable: Address unreachable",
        (IcmpError::DestinationUnreachable { code: 4 }, true) => "Destination unreachable: Port unreachable",
        (IcmpError::TimeExceeded { code: 0 }, _) => "Time to live exceeded",
        (IcmpError::TimeExceeded { .. }, _) => "Fragment reassembly time exceeded",
        (IcmpError::DestinationUnreachable { code }, _) => return format!("Destination unreachable, code {code}"),
        (IcmpError::PacketTooBig { mtu }, _) => return format!("Packet too big (mtu = {mtu})"),
        (IcmpError::ParameterProblem { code, pointer }, _) => {
            return format!("Parameter problem: code {code}, pointer {pointer}");
        }
        (IcmpError::Unknown { kind, code }, _) => return format!("ICMP error of type {kind}, code {code}"),
    };
    known.into()
}

fn significant(millis: f64) -> String {
    match millis {
        ..1.0 => format!("{millis:.3}"),
        ..10.0 => format!("{millis:.2}"),
        ..100.0 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_counted_once_and_summed_up() {
        let mut tally = Tally::default();
        let host: IpAddr = "10.0.0.1".parse().unwrap();
        for sequence in 1..=4 {
            tally.sent += 1;
            tally.requests.push_back(Request { sequence, sent: StackTime::ZERO, answered: false });
        }
        let reply = |sequence, millis| EchoReply {
            source: host,
            sequence,
            data: vec![0; 56],
            hop_limit: 64,
            arrived: StackTime::ZERO + Duration::from_millis(millis),
            error: None,
        };
        assert_eq!(tally.take(&reply(1, 2)), "64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=2.00 ms\n");
        assert!(tally.take(&reply(1, 3)).contains("DUP"));
        assert_eq!(tally.take(&reply(9, 3)), "");
        tally.take(&reply(2, 4));
        tally.take(&reply(3, 6));
        assert!(!tally.all_answered());
        let error = Some(IcmpError::DestinationUnreachable { code: 1 });
        let told = tally.take(&EchoReply { error, source: "10.0.0.9".parse().unwrap(), ..reply(4, 7) });
        assert_eq!(told, "From 10.0.0.9 icmp_seq=4 Destination Host Unreachable\n");
        assert!(tally.all_answered());
        let text = tally.summary(host, Duration::from_secs(3));
        assert!(
            text.contains("4 packets transmitted, 3 received, +1 duplicates, +1 errors, 25% packet loss, time 3000 ms"),
            "{text}"
        );
        assert!(text.contains("= 2.000/4.000/6.000/1.633 ms"), "{text}");
        let none = Tally::default().summary(host, Duration::ZERO);
        assert!(none.contains("0 received, 0% packet loss") && !none.contains("rtt"), "{none}");
    }
}
