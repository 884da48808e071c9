//! Two stacks that count marks (RFC 9768), with a bottleneck between them that makes some: what is told is what was made.

use crate::flow::*;
use glasstcp::device::impair::{CoDel, Discipline, Impairment, Red};
use glasstcp::sim::Side;
use glasstcp::tcp::accurate_ecn::AccurateEcn;
use glasstcp::tcp::ecn::EcnMode;

const START: u32 = 5;

/// The counters of one side.
fn counters(flow: &mut Flow, side: Side) -> AccurateEcn {
    let handle = if side == Side::A { flow.client } else { flow.server };
    let connection = flow.world.stack(side).tcp_connection(handle).expect("the connection is there");
    connection.ecn.as_deref().and_then(|ecn| ecn.accurate()).expect("it counts").clone()
}

/// 9768-3.2.2, 9768-3.2.3: both disciplines, with ACKs lost or not, with options or without, cut by a device or not.
#[test]
fn marks_told_are_marks_made() {
    for discipline in [
        Discipline::CoDel(CoDel { ecn: true, target: ms(1), interval: ms(10) }),
        Discipline::Red(Red { ecn: true, ..Red::for_queue(60_000) }),
    ] {
        for (seed, ack_loss, offload) in [(1, 0, false), (2, 0, true), (3, 100, false), (4, 200, true)] {
            let path = Impairment::perfect().delay(ms(10)).rate(20_000_000).queue(60_000);
            let mut flow = Flow::open(Impairment { discipline, ..path }, seed, |config| {
                config.tcp.ecn = EcnMode::RequestAccurate;
            });
            if offload {
                flow.world.offload(Side::A, 65_536, true);
            }
            let mut dice = glasstcp::rng::KeyedRng::from_seed(seed);
            if ack_loss > 0 {
                tap(&mut flow.world, Side::B, move |_| dice.below(1_000) < ack_loss);
            }
            assert!(flow.transfer(4_000_000, secs(60), |_| {}));
            // The last ACK of a volley may be lost; this one tells all.
            flow.world.link().direction_mut(Side::B).set_drop_if(None);
            assert!(flow.transfer(1_000, secs(60), |_| {}));
            flow.world.run(secs(1));
            let made = flow.world.link().direction_mut(Side::A).counters().marked;
            let (sender, receiver) = (counters(&mut flow, Side::A), counters(&mut flow, Side::B));
            assert!(made > 5, "{discipline:?} has marked {made}");
            assert_eq!(u64::from(receiver.received.packets - START), made, "what has arrived");
            assert_eq!(sender.told, receiver.received, "what is told, {discipline:?}, seed {seed}");
            let reductions = flow.world.stack(Side::A).counters().ecn_reductions;
            assert!(reductions > 0 && reductions < made, "once for each round trip: {reductions} of {made}");
        }
    }
}
