//! The usual experiment: senders on the left, receivers on the right, and one bottleneck between two routers.

use std::time::Duration;

use super::experiment::{FlowPlan, Plan};
use super::network::{Direction, LinkPlan, Node, NodeKind, Topology};
use crate::device::impair::{Change, Discipline, Impairment};
use crate::tcp::congestion::Algorithm;

/// How long the queue of the bottleneck is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLength {
    /// So many bytes.
    Bytes(u64),
    /// So many packets.
    Packets(u64),
    /// In a thousandth of what rate and round-trip time hold.
    BandwidthDelay(u64),
}

/// One flow of a dumbbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumbbellFlow {
    /// How its sender controls congestion.
    pub congestion: Algorithm,
    /// Its round-trip time without any queue.
    pub rtt: Duration,
    /// When it begins.
    pub start: Duration,
    /// Octets to send; `None`: until the end.
    pub octets: Option<u64>,
}

/// A dumbbell. Each flow has a sender and a receiver of its own.
#[derive(Clone, Debug)]
pub struct Dumbbell {
    /// Bits per second of the bottleneck, each way.
    pub rate: u64,
    /// The queue before it.
    pub queue: QueueLength,
    /// How that queue is managed.
    pub discipline: Discipline,
    /// What else befalls packets on the bottleneck, towards the receivers; its rate, delay and queue are set by the rest.
    pub forward: Impairment,
    /// The same, back to the senders: what befalls acknowledgments.
    pub backward: Impairment,
    /// What changes on the bottleneck: when, on the way back or forward, and what.
    pub changes: Vec<(Duration, bool, Change)>,
    /// The flows.
    pub flows: Vec<DumbbellFlow>,
    /// The largest packet, in octets.
    pub mtu: usize,
    /// How long it lasts at most.
    pub duration: Duration,
    /// Decides everything that is left to chance.
    pub seed: u64,
}

/// A queue of any rate holds at least so many packets.
const MIN_QUEUE_PACKETS: u64 = 2;

impl Dumbbell {
    /// The bytes that the longest round trip holds at the rate of the bottleneck.
    pub fn bandwidth_delay(&self) -> u64 {
        let rtt = self.flows.iter().map(|flow| flow.rtt).max().unwrap_or_default();
        u64::try_from(u128::from(self.rate) * rtt.as_nanos() / 8_000_000_000).unwrap_or(u64::MAX)
    }

    /// The queue in bytes, where it is not given in packets.
    pub fn queue_bytes(&self) -> Option<u64> {
        match self.queue {
            QueueLength::Bytes(bytes) => Some(bytes),
            QueueLength::Packets(_) => None,
            QueueLength::BandwidthDelay(thousandths) => {
                let bytes = u128::from(self.bandwidth_delay()) * u128::from(thousandths) / 1_000;
                Some(u64::try_from(bytes).unwrap_or(u64::MAX).max(MIN_QUEUE_PACKETS * self.mtu as u64))
            }
        }
    }

    /// The plan. Half of the shortest round trip lies on the bottleneck's link; what a flow has beyond it, on its own links.
    pub fn plan(&self) -> Plan {
        let shortest = self.flows.iter().map(|flow| flow.rtt).min().unwrap_or_default();
        let common = shortest / 4;
        let with_line = |impairment: Impairment| Impairment {
            rate_bits_per_second: Some(self.rate),
            delay: common,
            queue_bytes: self.queue_bytes().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            queue_packets: match self.queue {
                QueueLength::Packets(packets) => Some(usize::try_from(packets).unwrap_or(usize::MAX)),
                _ => None,
            },
            ..impairment
        };
        let forward = Impairment { discipline: self.discipline, ..with_line(self.forward) };
        let mut topology = Topology {
            nodes: vec![("left".into(), NodeKind::Router), ("right".into(), NodeKind::Router)],
            links: vec![LinkPlan {
                ends: [Node(0), Node(1)],
                impairments: [forward, with_line(self.backward)],
                changes: self.changes.clone(),
            }],
        };
        let mut flows = Vec::new();
        for (number, flow) in self.flows.iter().enumerate() {
            let access = Impairment::perfect().delay((flow.rtt / 2).saturating_sub(common) / 2);
            let ends = [("sender", 0), ("receiver", 1)].map(|(role, router)| {
                topology.nodes.push((format!("{role}{number}"), NodeKind::Host));
                let node = Node(topology.nodes.len() - 1);
                let ends = if router == 0 { [node, Node(router)] } else { [Node(router), node] };
                topology.links.push(LinkPlan { ends, impairments: [access; 2], changes: Vec::new() });
                node
            });
            flows.push(FlowPlan {
                from: ends[0],
                to: ends[1],
                congestion: flow.congestion,
                start: flow.start,
                octets: flow.octets,
            });
        }
        Plan {
            topology,
            bottleneck: Direction { link: 0, back: false },
            flows,
            duration: self.duration,
            mtu: self.mtu,
            seed: self.seed,
            keep_series: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Experiment;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn dumbbell(rtts: &[Duration], octets: u64) -> Dumbbell {
        let flow = |&rtt| DumbbellFlow { congestion: Algorithm::default(), rtt, start: 3 * MS, octets: Some(octets) };
        Dumbbell {
            rate: 1_000_000_000,
            queue: QueueLength::BandwidthDelay(1_000),
            discipline: Discipline::DropTail,
            forward: Impairment::perfect(),
            backward: Impairment::perfect(),
            changes: Vec::new(),
            flows: rtts.iter().map(flow).collect(),
            mtu: 1_500,
            duration: Duration::from_secs(10),
            seed: 1,
        }
    }

    #[test]
    fn each_flow_has_its_round_trip() {
        let rtts = [40 * MS, 20 * MS, 100 * MS];
        let outcome = Experiment::new(dumbbell(&rtts, 1).plan(), None).unwrap().run();
        for (flow, rtt) in outcome.flows.iter().zip(rtts) {
            // Half for SYN, half for its answer, half for the octet and the FIN.
            let took = flow.completed.unwrap();
            assert!(took >= rtt * 3 / 2 && took < rtt * 3 / 2 + MS, "{took:?} for {rtt:?}");
        }
    }

    #[test]
    fn a_queue_is_as_long_as_it_is_said() {
        let mut dumbbell = dumbbell(&[20 * MS, 10 * MS], 1);
        assert_eq!(dumbbell.queue_bytes(), Some(2_500_000), "the longest round trip counts");
        dumbbell.queue = QueueLength::BandwidthDelay(1);
        assert_eq!(dumbbell.queue_bytes(), Some(3_000), "but room for two packets");
        dumbbell.queue = QueueLength::Packets(7);
        let bottleneck = dumbbell.plan().topology.links[0].impairments[0];
        assert_eq!((bottleneck.queue_bytes, bottleneck.queue_packets), (None, Some(7)));
    }

    #[test]
    fn a_line_of_limited_rate_takes_its_time() {
        let mut dumbbell = dumbbell(&[20 * MS], 2_000_000);
        dumbbell.rate = 8_000_000;
        dumbbell.queue = QueueLength::BandwidthDelay(50_000);
        let outcome = Experiment::new(dumbbell.plan(), None).unwrap().run();
        let flow = &outcome.flows[0];
        // 2 s for the text alone; headers and slow start on top.
        assert!(flow.completed.unwrap() > Duration::from_millis(2_050), "{:?}", flow.completed);
        assert!(flow.goodput() < 8_000_000 && flow.copies.octets >= 2_000_000);
        assert!(outcome.line.utilisation().unwrap() <= 10_000);
    }
}
