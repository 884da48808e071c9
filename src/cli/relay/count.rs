//! What the relay has seen: counts of packets, and for each connection which of its segments were sent again.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::device::impair::{Event, ImpairedCounters, LogEntry};
use crate::sim::Copies;
use crate::sim::histogram::Histogram;
use crate::wire::{parse_ip, protocol, tcp};

/// Directions of connections that are counted at most.
const MAX_FLOWS: usize = 10_000;

/// Everything that was counted.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Packets that were longer than a wire takes.
    pub(super) too_big: u64,
    /// Packets that a device did not take.
    refused: u64,
    /// How much later than it was due a packet was handed out.
    late: Histogram,
    numbers: HashMap<(SocketAddr, SocketAddr), usize>,
    flows: Vec<(SocketAddr, SocketAddr, Copies)>,
    /// The flow of each segment with text on its way, by tag.
    on_the_way: HashMap<u64, usize>,
}

impl Count {
    /// A packet begins its way.
    pub(super) fn sent(&mut self, tag: u64, packet: &[u8]) {
        let Some(ip) = parse_ip(packet).ok().filter(|ip| ip.protocol == protocol::TCP) else { return };
        let Ok((header, text)) = tcp::parse(ip.payload) else { return };
        let ends =
            (SocketAddr::new(ip.source, header.source_port), SocketAddr::new(ip.destination, header.destination_port));
        let number = match self.numbers.get(&ends) {
            Some(&number) => number,
            None if self.flows.len() >= MAX_FLOWS => return,
            None => {
                self.flows.push((ends.0, ends.1, Copies::default()));
                self.numbers.insert(ends, self.flows.len() - 1);
                self.flows.len() - 1
            }
        };
        if self.flows[number].2.sent(tag, &header, text.len()).is_some() {
            self.on_the_way.insert(tag, number);
        }
    }

    /// What befell packets.
    pub(super) fn log(&mut self, entries: impl Iterator<Item = LogEntry>) {
        for entry in entries.filter(|entry| matches!(entry.event, Event::Gone | Event::Corrupted)) {
            self.lost(entry.tag);
        }
    }

    /// A packet has come through.
    pub(super) fn arrived(&mut self, tag: u64, late: Duration) {
        self.late.add(late);
        if let Some(number) = self.on_the_way.remove(&tag) {
            self.flows[number].2.arrived(tag);
        }
    }

    /// The device on the other side did not take a packet.
    pub(super) fn refused(&mut self, tag: u64) {
        self.refused += 1;
        self.lost(tag);
    }

    fn lost(&mut self, tag: u64) {
        if let Some(number) = self.on_the_way.remove(&tag) {
            self.flows[number].2.lost(tag);
        }
    }

    /// The flows that carried text, the busiest first.
    fn busiest(&self) -> Vec<&(SocketAddr, SocketAddr, Copies)> {
        let mut flows: Vec<_> = self.flows.iter().filter(|flow| flow.2.counters().segments > 0).collect();
        flows.sort_by_key(|flow| std::cmp::Reverse(flow.2.counters().octets));
        flows
    }

    /// For people or for programs.
    pub(super) fn report(&self, json: bool, counters: [ImpairedCounters; 2]) -> String {
        if json { self.json(counters) } else { self.text(counters) }
    }

    fn text(&self, counters: [ImpairedCounters; 2]) -> String {
        let mut out = String::new();
        for (way, c) in ["to the right", "to the left "].iter().zip(counters) {
            let _ = writeln!(
                out,
                "{way}  {} packets, {} lost, {} did not fit into the queue, {} in an outage, {} reordered, {} doubled",
                c.sent, c.lost, c.overflowed, c.cut, c.reordered, c.duplicated,
            );
        }
        let micros = |percent| self.late.percentile(percent) / 1_000;
        let _ = writeln!(
            out,
            "handed out {} us late on median, {} us at p99; {} refused by a TUN, {} longer than 1500 bytes",
            micros(50.0),
            micros(99.0),
            self.refused,
            self.too_big,
        );
        for (source, destination, copies) in self.busiest() {
            let c = copies.counters();
            let _ = writeln!(
                out,
                "{source} > {destination}  {} segments, {} octets, {} sent again, {} of those for nothing",
                c.segments, c.octets, c.retransmissions, c.spurious,
            );
        }
        out
    }

    fn json(&self, counters: [ImpairedCounters; 2]) -> String {
        let ways: Vec<String> = counters
            .iter()
            .map(|c| {
                format!(
                    "{{\"sent\": {}, \"lost\": {}, \"overflowed\": {}, \"outage\": {}, \"reordered\": {}, \"duplicated\": {}}}",
                    c.sent, c.lost, c.overflowed, c.cut, c.reordered, c.duplicated,
                )
            })
            .collect();
        let flows: Vec<String> = self
            .busiest()
            .iter()
            .map(|(source, destination, copies)| {
                let c = copies.counters();
                format!(
                    "{{\"source\": \"{source}\", \"destination\": \"{destination}\", \"segments\": {}, \"octets\": {}, \
                     \"retransmissions\": {}, \"spurious\": {}}}",
                    c.segments, c.octets, c.retransmissions, c.spurious,
                )
            })
            .collect();
        format!(
            "{{\"right\": {},\n \"left\": {},\n \"late_p50_ns\": {}, \"late_p99_ns\": {}, \"refused\": {}, \"too_big\": {},\n \
             \"flows\": [\n  {}\n ]}}\n",
            ways[0],
            ways[1],
            self.late.percentile(50.0),
            self.late.percentile(99.0),
            self.refused,
            self.too_big,
            flows.join(",\n  "),
        )
    }
}
