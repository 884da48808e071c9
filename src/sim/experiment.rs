//! An experiment: flows of bulk data over a network, and what came of each.

use std::time::Duration;

use super::bulk::Bulk;
use super::network::{Direction, Network, Node, NodeKind, Topology};
use super::outcome::{FlowOutcome, LineOutcome, Outcome};
use super::record::{Recorder, Spy};
use super::series::{LineSample, Sample, Series};
use crate::config::Config;
use crate::stack::Stack;
use crate::tcp::congestion::Algorithm;
use crate::tcp::ecn::EcnMode;
use crate::time::Instant;

/// Bulk data from one host to another.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Who sends.
    pub from: Node,
    /// Who receives.
    pub to: Node,
    /// How the sender controls congestion.
    pub congestion: Algorithm,
    /// When it connects, counted from the start.
    pub start: Duration,
    /// Octets to send; `None`: as many as it can until the end.
    pub octets: Option<u64>,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Hosts, routers and links.
    pub topology: Topology,
    /// The direction whose queue and use are looked at.
    pub bottleneck: Direction,
    /// The flows.
    pub flows: Vec<FlowPlan>,
    /// How long at most, in virtual time. It ends earlier when all flows have finished.
    pub duration: Duration,
    /// The largest packet, in octets.
    pub mtu: usize,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// What the plots need is kept.
    pub keep_series: bool,
}

/// Flows of one experiment at most: each has a port of its own.
pub const MAX_FLOWS: usize = 1_000;
/// Samples of the state of each flow in the whole duration.
const SAMPLES: u32 = 2_000;
/// The start: a stack never starts at the origin of time in reality, either.
pub const START: Instant = Instant::from_secs(1_000);

/// An experiment under way.
pub struct Experiment<'a> {
    plan: Plan,
    network: Network,
    hosts: Vec<Node>,
    recorder: Recorder<'a>,
    bulks: Vec<Bulk>,
    next_sample: Instant,
    line_samples: Vec<LineSample>,
}

impl<'a> Experiment<'a> {
    /// At its start. The spy sees each packet at each node.
    ///
    /// # Errors
    /// What is wrong with the plan.
    pub fn new(plan: Plan, spy: Option<&'a mut dyn Spy>) -> Result<Experiment<'a>, String> {
        if plan.flows.is_empty() || plan.flows.len() > MAX_FLOWS {
            return Err(format!("{} flows: 1 to {MAX_FLOWS} are possible", plan.flows.len()));
        }
        let marks = plan.topology.links.iter().flat_map(|link| &link.impairments).any(|path| path.discipline.marks());
        let configure = |config: &mut Config| {
            config.mtu = plan.mtu;
            // Where a queue can mark, the hosts are those who want it to.
            config.tcp.ecn = if marks { EcnMode::Request } else { EcnMode::default() };
        };
        let mut network = Network::new(&plan.topology, configure, START, plan.seed)?;
        if spy.is_some() {
            network.trace();
        }
        let mut bulks = Vec::new();
        for (number, flow) in plan.flows.iter().enumerate() {
            if !network.has_route(flow.from, flow.to) || !network.has_route(flow.to, flow.from) {
                let name = |node: Node| plan.topology.nodes[node.0].0.as_str();
                return Err(format!("no way from {} to {} and back", name(flow.from), name(flow.to)));
            }
            bulks.push(Bulk::new(number, flow, &mut network, START)?);
        }
        let recorder = Recorder::new(plan.flows.len(), plan.bottleneck, plan.keep_series, spy);
        let kinds = plan.topology.nodes.iter().enumerate();
        let hosts = kinds.filter(|(_, (_, kind))| *kind == NodeKind::Host).map(|(number, _)| Node(number)).collect();
        let first = START + plan.duration / SAMPLES;
        Ok(Experiment { plan, network, hosts, recorder, bulks, next_sample: first, line_samples: Vec::new() })
    }

    /// When it ends at the latest.
    fn end(&self) -> Instant {
        START + self.plan.duration
    }

    /// How much of its time has passed.
    pub fn passed(&self) -> Duration {
        self.network.now() - START
    }

    /// Goes on until so much virtual time has passed; false once it is over.
    pub fn run_until(&mut self, passed: Duration) -> bool {
        let until = (START + passed).min(self.end());
        loop {
            self.wake();
            if self.bulks.iter().all(Bulk::is_over) {
                return false;
            }
            let starts = self.bulks.iter().filter_map(Bulk::next_start);
            let wanted = self.network.next_event().into_iter().chain(starts).chain([self.next_sample]);
            let Some(at) = wanted.min().filter(|&at| at <= until) else {
                self.network.advance(until, &mut self.recorder);
                return until < self.end();
            };
            self.network.advance(at, &mut self.recorder);
            if at >= self.next_sample {
                self.sample();
            }
        }
    }

    /// To the end.
    pub fn run(mut self) -> Outcome {
        while self.run_until(Duration::MAX) {}
        self.finish()
    }

    /// Brings what has happened to the applications, until what they do makes nothing more happen at once.
    fn wake(&mut self) {
        loop {
            for &node in &self.hosts {
                while let Some(ready) = self.network.stack(node).and_then(Stack::poll_ready) {
                    self.bulks.iter_mut().for_each(|bulk| bulk.ready(node, &ready));
                }
            }
            let mut acted = false;
            for bulk in &mut self.bulks {
                acted |= bulk.act(&mut self.network);
            }
            if !acted {
                return;
            }
            self.network.flush(&mut self.recorder);
        }
    }

    fn sample(&mut self) {
        let now = self.network.now();
        let interval = (self.plan.duration / SAMPLES).max(Duration::from_nanos(1));
        while self.next_sample <= now {
            self.next_sample += interval;
        }
        if !self.plan.keep_series {
            return;
        }
        let at = now - START;
        let bytes = self.network.path(self.plan.bottleneck).queued_bytes(now);
        self.line_samples.push(LineSample { at, bytes: bytes as u64 });
        for (number, bulk) in self.bulks.iter().enumerate() {
            if let Some(snapshot) = bulk.snapshot(&mut self.network) {
                self.recorder.flows[number].samples.push(Sample::new(at, &snapshot));
            }
        }
    }

    /// Sums up.
    pub fn finish(mut self) -> Outcome {
        let ended = self.network.now().min(self.end());
        let mut flows = Vec::new();
        for (number, bulk) in self.bulks.iter().enumerate() {
            let plan = &self.plan.flows[number];
            let started = START + plan.start;
            let completed = bulk.completed.map(|at| at - started);
            let statistics = bulk.snapshot(&mut self.network).map(|snapshot| snapshot.statistics);
            flows.push(FlowOutcome {
                congestion: plan.congestion,
                octets: bulk.received,
                active: completed.unwrap_or(ended.saturating_since(started)),
                completed,
                failed: bulk.failed,
                copies: self.recorder.flows[number].copies.counters(),
                timeouts: statistics.map_or(0, |statistics| u64::from(statistics.timeouts)),
                wait: std::mem::take(&mut self.recorder.flows[number].waits),
            });
        }
        let first = self.plan.flows.iter().map(|flow| START + flow.start).min().unwrap_or(START);
        let last = if flows.iter().all(|flow| flow.completed.is_some()) {
            self.plan
                .flows
                .iter()
                .zip(&flows)
                .filter_map(|(plan, flow)| Some(START + plan.start + flow.completed?))
                .max()
        } else {
            None
        };
        let path = self.network.path(self.plan.bottleneck);
        let line = LineOutcome {
            rate: path.impairment().rate_bits_per_second,
            counters: path.counters(),
            carried: path.carried_bytes(),
            observed: last.unwrap_or(ended).saturating_since(first),
            wait: std::mem::take(&mut self.recorder.wait),
        };
        let series = self.plan.keep_series.then(|| Series {
            duration: ended - START,
            flows: self.recorder.flows.iter_mut().map(|flow| flow.take_series()).collect(),
            line: std::mem::take(&mut self.line_samples),
        });
        Outcome { flows, line, series }
    }
}
