//! From options and a scenario file to a plan.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::args::{Kind, Options};
use super::units::{Bursts, Bytes, Chance, Controller, Outage, PathMtu, Queue, Rate, Span};
use crate::cli::Failure;
use crate::device::impair::{Burst, Change, CoDel, Discipline, Impairment, Red};
use crate::sim::dumbbell::{Dumbbell, DumbbellFlow, QueueLength};
use crate::sim::network::{Direction, LinkPlan, Node, NodeKind, Topology};
use crate::sim::{FlowPlan, Plan};
use crate::tcp::config::SocketOptions;

/// One flow of a scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Flow {
    from: Option<String>,
    to: Option<String>,
    congestion: Option<Controller>,
    rtt: Option<Span>,
    start: Option<Span>,
    bytes: Option<Bytes>,
}

/// One link of a scenario, or its other direction.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Link {
    ends: Option<[String; 2]>,
    rate: Option<Rate>,
    delay: Option<Span>,
    queue: Option<Queue>,
    discipline: Option<Kind>,
    ecn: Option<bool>,
    loss: Option<Chance>,
    burst: Option<Bursts>,
    reorder: Option<Chance>,
    reorder_delay: Option<Span>,
    duplicate: Option<Chance>,
    corrupt: Option<Chance>,
    jitter: Option<Span>,
    path_mtu: Option<PathMtu>,
    outage: Vec<Outage>,
    back: Option<Box<Link>>,
}

const RATE: Rate = Rate(100_000_000);
const RTT: Span = Span(Duration::from_millis(20));
const DURATION: Duration = Duration::from_secs(10);
const MTU: usize = 1_500;

/// Reads a scenario and lets options win over it.
pub(super) fn merged(file: Option<&Path>, options: &mut Options) -> Result<(), Failure> {
    let Some(path) = file else { return Ok(()) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file: Options = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    macro_rules! take {
        ($($option:ident)*; $($list:ident)*) => {
            $(options.$option = options.$option.take().or(file.$option);)*
            $(if options.$list.is_empty() { options.$list = file.$list; })*
        };
    }
    take!(rate queue discipline ecn loss burst ack_loss reorder reorder_delay duplicate corrupt jitter path_mtu flows bytes stagger
        mtu duration seed bottleneck; outage route congestion rtt flow link);
    Ok(())
}

/// The plan that the options describe.
pub(super) fn plan(options: &Options) -> Result<Plan, String> {
    if let Some(mtu) = options.mtu.filter(|mtu| !(576..=9_000).contains(mtu)) {
        return Err(format!("an MTU of {mtu} is out of range: 576 to 9000"));
    }
    if options.duration.is_some_and(|duration| duration.0.is_zero()) {
        return Err("a duration of 0 leaves nothing to do".into());
    }
    if options.link.is_empty() { dumbbell(options).map(|dumbbell| dumbbell.plan()) } else { graph(options) }
}

fn burst(bursts: Option<Bursts>) -> Option<Burst> {
    // Nothing gets through within a burst.
    bursts.map(|Bursts(begin, length)| Burst {
        begin_per_million: begin,
        end_per_million: 1_000_000 / length,
        loss_per_million: 1_000_000,
    })
}

fn discipline(kind: Option<Kind>, ecn: Option<bool>, queue_bytes: u64) -> Discipline {
    let ecn = ecn.unwrap_or(false);
    match kind.unwrap_or(Kind::DropTail) {
        Kind::DropTail => Discipline::DropTail,
        Kind::CoDel => Discipline::CoDel(CoDel { ecn, ..CoDel::default() }),
        Kind::Red => Discipline::Red(Red { ecn, ..Red::for_queue(usize::try_from(queue_bytes).unwrap_or(usize::MAX)) }),
    }
}

/// The value of one flow after the other.
fn cycle<T: Copy>(values: &[T], number: usize, default: T) -> T {
    values.get(number % values.len().max(1)).copied().unwrap_or(default)
}

fn chance(chance: Option<Chance>) -> u32 {
    chance.map_or(0, |chance| chance.0)
}

fn span(span: Option<Span>) -> Duration {
    span.map_or(Duration::ZERO, |span| span.0)
}

fn outages(outages: &[Outage], back: bool) -> impl Iterator<Item = (Duration, bool, Change)> + '_ {
    outages.iter().flat_map(move |&Outage(from, lasts)| [(from, back, Change::Down), (from + lasts, back, Change::Up)])
}

fn dumbbell_flows(options: &Options) -> Result<Vec<DumbbellFlow>, String> {
    let count = options.flows.unwrap_or(options.flow.len().max(options.congestion.len()).max(options.rtt.len()).max(1));
    if count == 0 || count > crate::sim::experiment::MAX_FLOWS {
        return Err(format!("{count} flows: 1 to {} are possible", crate::sim::experiment::MAX_FLOWS));
    }
    if options.flow.iter().any(|flow| flow.from.is_some() || flow.to.is_some()) {
        return Err(
            "from and to of a flow need links: without any, each flow has a sender and a receiver of its own".into()
        );
    }
    let default = SocketOptions::default().congestion;
    let flow = |number: usize| {
        let own = options.flow.get(number).cloned().unwrap_or_default();
        let number32 = u32::try_from(number).unwrap_or(u32::MAX);
        DumbbellFlow {
            congestion: own.congestion.unwrap_or(cycle(&options.congestion, number, Controller(default))).0,
            rtt: own.rtt.unwrap_or(cycle(&options.rtt, number, RTT)).0,
            start: own.start.map_or(span(options.stagger) * number32, |start| start.0),
            octets: own.bytes.or(options.bytes).map(|bytes| bytes.0),
        }
    };
    Ok((0..count).map(flow).collect())
}

fn dumbbell(options: &Options) -> Result<Dumbbell, String> {
    let flows = dumbbell_flows(options)?;
    let shortest = flows.iter().map(|flow| flow.rtt).min().unwrap_or_default();
    let reorder_delay = options.reorder_delay.map_or(shortest / 4, |delay| delay.0);
    let forward = Impairment {
        burst: burst(options.burst),
        narrow: options.path_mtu.map(|narrow| narrow.0),
        ..Impairment::perfect()
            .loss(chance(options.loss))
            .reorder(chance(options.reorder), reorder_delay)
            .duplicate(chance(options.duplicate))
            .corrupt(chance(options.corrupt))
            .jitter(span(options.jitter))
    };
    let mut changes: Vec<_> = [false, true].into_iter().flat_map(|back| outages(&options.outage, back)).collect();
    for route in &options.route {
        // The bottleneck's link has half of the shortest round trip; all of what changes is on it.
        let delay = (route.1 / 2).saturating_sub(shortest / 4);
        changes.extend([false, true].map(|back| (route.0, back, Change::Delay(delay))));
    }
    let mut dumbbell = Dumbbell {
        rate: options.rate.unwrap_or(RATE).0,
        queue: options.queue.map_or(QueueLength::BandwidthDelay(1_000), |queue| queue.0),
        discipline: Discipline::DropTail,
        forward,
        backward: Impairment::perfect().loss(chance(options.ack_loss)),
        changes,
        flows,
        mtu: options.mtu.unwrap_or(MTU),
        duration: options.duration.map_or(DURATION, |duration| duration.0),
        seed: options.seed.unwrap_or(1),
    };
    let queue = match dumbbell.queue {
        QueueLength::Packets(packets) => packets.saturating_mul(dumbbell.mtu as u64),
        _ => dumbbell.queue_bytes().unwrap_or(u64::MAX),
    };
    dumbbell.discipline = discipline(options.discipline, options.ecn, queue);
    Ok(dumbbell)
}

impl Link {
    fn impairment(&self) -> Result<Impairment, String> {
        let delay = span(self.delay);
        let (queue_bytes, queue_packets) = match self.queue.map(|queue| queue.0) {
            None => (None, None),
            Some(QueueLength::Bytes(bytes)) => (Some(usize::try_from(bytes).unwrap_or(usize::MAX)), None),
            Some(QueueLength::Packets(packets)) => (None, Some(usize::try_from(packets).unwrap_or(usize::MAX))),
            Some(QueueLength::BandwidthDelay(_)) => {
                return Err(
                    "a link has no round trip of its own: its queue is in packets (100p) or bytes (150kb)".into()
                );
            }
        };
        let red_queue = queue_bytes.or(queue_packets.map(|packets| packets.saturating_mul(MTU)));
        if self.discipline == Some(Kind::Red) && red_queue.is_none() {
            return Err("RED needs a queue of some length".into());
        }
        Ok(Impairment {
            rate_bits_per_second: self.rate.map(|rate| rate.0),
            delay,
            jitter: span(self.jitter),
            loss_per_million: chance(self.loss),
            burst: burst(self.burst),
            reorder_per_million: chance(self.reorder),
            reorder_delay: self.reorder_delay.map_or(delay / 2, |delay| delay.0),
            duplicate_per_million: chance(self.duplicate),
            corrupt_per_million: chance(self.corrupt),
            queue_bytes,
            queue_packets,
            discipline: discipline(self.discipline, self.ecn, red_queue.unwrap_or(0) as u64),
            narrow: self.path_mtu.map(|narrow| narrow.0),
        })
    }

    /// The other direction: as this one, but for what is said of it.
    fn other(&self) -> Link {
        let Some(back) = &self.back else { return Link { discipline: None, ..self.clone() } };
        let mut back = (**back).clone();
        macro_rules! inherit {
            ($($field:ident)*) => { $(back.$field = back.$field.or(self.$field);)* };
        }
        inherit!(rate delay queue path_mtu);
        back
    }
}

/// Options of a dumbbell that mean nothing where the links are given.
fn refuse_dumbbell_options(options: &Options) -> Result<(), String> {
    let given = [
        ("rate", options.rate.is_some()),
        ("queue", options.queue.is_some()),
        ("discipline", options.discipline.is_some()),
        ("ecn", options.ecn.is_some()),
        ("loss", options.loss.is_some()),
        ("burst", options.burst.is_some()),
        ("ack-loss", options.ack_loss.is_some()),
        ("reorder", options.reorder.is_some()),
        ("duplicate", options.duplicate.is_some()),
        ("corrupt", options.corrupt.is_some()),
        ("jitter", options.jitter.is_some()),
        ("path-mtu", options.path_mtu.is_some()),
        ("outage", !options.outage.is_empty()),
        ("route", !options.route.is_empty()),
        ("rtt", !options.rtt.is_empty()),
        ("flows", options.flows.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((name, _)) => {
            Err(format!("{name} belongs to a dumbbell: with links of its own, say it of a [[link]] or [[flow]]"))
        }
        None => Ok(()),
    }
}

fn graph(options: &Options) -> Result<Plan, String> {
    refuse_dumbbell_options(options)?;
    let mut topology = Topology::default();
    for (number, link) in options.link.iter().enumerate() {
        let names = link.ends.as_ref().ok_or_else(|| format!("link {number}: no ends = [\"a\", \"b\"]"))?;
        if names[0] == names[1] {
            return Err(format!("link {number} leads from {} to itself", names[0]));
        }
        let ends = [node(&mut topology, &names[0])?, node(&mut topology, &names[1])?];
        let back = link.other();
        let told = |error: String| format!("link {}-{}: {error}", names[0], names[1]);
        let impairments = [link.impairment().map_err(told)?, back.impairment().map_err(told)?];
        let changes = outages(&link.outage, false).chain(outages(&back.outage, true)).collect();
        topology.links.push(LinkPlan { ends, impairments, changes });
    }
    let mut flows = Vec::new();
    for (number, flow) in options.flow.iter().enumerate() {
        let mut end = |name: &Option<String>, role: &str| {
            let name = name.as_ref().ok_or_else(|| format!("flow {number}: no {role} = \"NODE\""))?;
            let found = topology.nodes.iter().position(|(other, _)| other == name);
            let number = found.ok_or_else(|| format!("flow {number}: no link leads to {name}"))?;
            topology.nodes[number].1 = NodeKind::Host;
            Ok::<_, String>(Node(number))
        };
        let default = Controller(SocketOptions::default().congestion);
        flows.push(FlowPlan {
            from: end(&flow.from, "from")?,
            to: end(&flow.to, "to")?,
            congestion: flow.congestion.unwrap_or(cycle(&options.congestion, number, default)).0,
            start: span(flow.start),
            octets: flow.bytes.or(options.bytes).map(|bytes| bytes.0),
        });
        if flow.from == flow.to {
            return Err(format!("flow {number} leads from a node to itself"));
        }
    }
    let bottleneck = bottleneck(&topology, options.bottleneck.as_ref())?;
    Ok(Plan {
        topology,
        bottleneck,
        flows,
        duration: options.duration.map_or(DURATION, |duration| duration.0),
        mtu: options.mtu.unwrap_or(MTU),
        seed: options.seed.unwrap_or(1),
        keep_series: false,
    })
}

/// The node of this name, which may be new.
fn node(topology: &mut Topology, name: &str) -> Result<Node, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
        return Err(format!("'{name}' is not a name of a node: up to 32 letters, digits, - and _"));
    }
    if let Some(number) = topology.nodes.iter().position(|(other, _)| other == name) {
        return Ok(Node(number));
    }
    topology.nodes.push((name.to_owned(), NodeKind::Router));
    Ok(Node(topology.nodes.len() - 1))
}

/// The direction that is named, or the slowest link from its first end on.
fn bottleneck(topology: &Topology, named: Option<&[String; 2]>) -> Result<Direction, String> {
    let name = |node: Node| topology.nodes[node.0].0.as_str();
    if let Some([from, to]) = named {
        for (link, plan) in topology.links.iter().enumerate() {
            for back in [false, true] {
                let side = usize::from(back);
                if name(plan.ends[side]) == from && name(plan.ends[1 - side]) == to {
                    return Ok(Direction { link, back });
                }
            }
        }
        return Err(format!("bottleneck: there is no link from {from} to {to}"));
    }
    let rate = |plan: &LinkPlan| plan.impairments[0].rate_bits_per_second.unwrap_or(u64::MAX);
    let slowest = topology.links.iter().enumerate().min_by_key(|(_, plan)| rate(plan));
    slowest.map(|(link, _)| Direction { link, back: false }).ok_or_else(|| "there is no link".into())
}
