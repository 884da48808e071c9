//! Two stacks that count marks (RFC 9768), with a bottleneck between them that makes some: what is told is what was made.

use crate::flow::*;
use glasstcp::device::impair::{CoDel, Discipline, Impairment, Red};
use glasstcp::sim::Side;
use glasstcp::tcp::accurate_ecn::AccurateEcn;
use glasstcp::tcp::ecn::{Ecn, EcnMode};

const START: u32 = 5;

fn ecn(flow: &mut Flow, side: Side) -> &Ecn {
    let handle = if side == Side::A { flow.client } else { flow.server };
    let connection = flow.world.stack(side).tcp_connection(handle).expect("the connection is there");
    connection.ecn.as_deref().expect("it does ECN")
}

/// The counters of one side.
fn counters(flow: &mut Flow, side: Side) -> AccurateEcn {
    ecn(flow, side).accurate().expect("it counts").clone()
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

/// 9768-3.2.2, 9768-3.2.3: where text goes both ways, and most ACKs are on text that has no room for the option, neither side takes
/// the other's counters for mangled.
#[test]
fn marks_both_ways() {
    for (seed, offload) in [(1, false), (2, true), (3, false)] {
        let discipline = Discipline::CoDel(CoDel { ecn: true, target: ms(1), interval: ms(1) });
        let path = Impairment::perfect().delay(ms(10)).rate(20_000_000).queue(60_000);
        let mut flow = Flow::open(Impairment { discipline, ..path }, seed, |config| {
            config.tcp.ecn = EcnMode::RequestAccurate;
        });
        for side in [Side::A, Side::B] {
            if offload {
                flow.world.offload(side, 65_536, true);
            }
        }
        let (client, server, back) = (flow.client, flow.server, text(4_000_000));
        let (mut sent, mut read, mut buffer) = (0, 0, vec![0; 1 << 16]);
        assert!(flow.transfer(4_000_000, secs(60), |world| {
            let now = world.now();
            sent += world.stack(Side::B).tcp_send(now, server, &back[sent..]).unwrap_or(0);
            while let Ok(octets @ 1..) = world.stack(Side::A).tcp_receive(now, client, &mut buffer) {
                read += octets;
            }
            world.flush();
        }));
        flow.world.run(secs(2));
        assert!(flow.transfer(1_000, secs(60), |_| {}));
        flow.world.run(secs(1));
        assert!(read > 1_000_000, "{read}");
        for (side, other) in [(Side::A, Side::B), (Side::B, Side::A)] {
            let (told, received) = (counters(&mut flow, side).told, counters(&mut flow, other).received);
            let made = flow.world.link().direction_mut(side).counters().marked;
            assert!(made > 5 && u64::from(received.packets - START) == made, "{side:?} {made} {received:?}");
            assert_eq!(told.packets, received.packets, "{side:?}, seed {seed}");
            assert!(ecn(&mut flow, side).may_be_marked(), "{side:?}, seed {seed}: its text can still be marked");
        }
    }
}
