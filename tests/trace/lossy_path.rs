//! Captures of transfers over a path that marks and loses, explained: what the stack does about it breaks no rule, and the bits and
//! options of Accurate ECN (RFC 9768) have words.

use crate::flow::*;
use glasstcp::device::impair::{Discipline, Impairment, Red};
use glasstcp::sim::{Side, World};
use glasstcp::tcp::ecn::EcnMode;
use glasstcp::trace::connection::{self, Trace};
use glasstcp::trace::describe;
use glasstcp::trace::explain::explain;
use glasstcp::trace::segment::Side as End;

/// A transfer over a bottleneck that marks, with losses, from the first SYN on; the captures of both sides, and marks made.
fn captured(modes: [EcnMode; 2], loss: u32, seed: u64) -> ([Trace; 2], u64) {
    let queue = Discipline::Red(Red { ecn: true, ..Red::for_queue(60_000) });
    let path = Impairment::perfect().delay(ms(10)).rate(20_000_000).queue(60_000).loss(loss);
    let configs = [host(1, |config| config.tcp.ecn = modes[0]), host(2, |config| config.tcp.ecn = modes[1])];
    let mut world = World::new(configs, [Impairment { discipline: queue, ..path }; 2], seed).unwrap();
    world.capture().unwrap();
    let to = "10.0.0.2:80".parse().unwrap();
    let (now, options) = (world.now(), glasstcp::tcp::config::SocketOptions::default());
    let listener = world.stack(Side::B).tcp_listen(to, 8, options).unwrap();
    let client = world.stack(Side::A).tcp_connect(now, None, to, options).unwrap();
    let mut server = None;
    assert!(world.run_until(secs(60), |world| {
        server = world.stack(Side::B).tcp_accept(listener).ok();
        server.is_some()
    }));
    let mut flow = Flow { world, client, server: server.unwrap().0, read: Vec::new() };
    assert!(flow.transfer(1_000_000, secs(60), |_| {}));
    flow.world.run(secs(1));
    let made = flow.world.link().direction_mut(Side::A).counters().marked;
    let captures = flow.world.take_captures().unwrap().unwrap();
    (captures.map(|capture| connection::read(&capture[..]).unwrap()), made)
}

/// What is to be said of the only connection, line by line, and how many faults there are.
fn lines(trace: &Trace, end: End) -> (Vec<String>, usize) {
    let connection = &trace.connections[0];
    let explanation = explain(connection, end);
    let lines = connection.segs.iter().zip(&explanation.lines).map(|(seg, line)| {
        let findings: Vec<_> = line.findings.iter().map(|finding| finding.text.clone()).collect();
        format!("{} {} {}", describe::segment(connection, seg, true), line.acts.join(" "), findings.join("; "))
    });
    (lines.collect(), explanation.faults())
}

/// 9768-3.1.1-1, 9768-3.2.2, 9768-3.2.3: the handshake, the counters and the option have names, and break no rule; also where
/// one end knows less, and the other falls back.
#[test]
fn what_counts_breaks_no_rule() {
    for (modes, loss, counts) in [
        ([EcnMode::RequestAccurate; 2], 0, true),
        ([EcnMode::RequestAccurate; 2], 5_000, true),
        ([EcnMode::RequestAccurate, EcnMode::Accept], 5_000, false),
        ([EcnMode::AcceptAccurateRequestClassic; 2], 5_000, false),
    ] {
        let (traces, made) = captured(modes, loss, 5);
        assert!(made > 3, "{modes:?}: {made}");
        for (trace, end) in traces.iter().zip([End::Client, End::Server]) {
            let (lines, faults) = lines(trace, end);
            assert_eq!(faults, 0, "{modes:?} {end}: {lines:#?}");
            assert!(lines[0].starts_with(if modes[0] == EcnMode::RequestAccurate {
                "> SYN,ECE,CWR,AE "
            } else {
                "> SYN,ECE,CWR "
            }));
            let answer = lines.iter().find(|line| line.starts_with("< SYN")).unwrap();
            assert_eq!(answer.contains("< SYN,CWR 0"), counts, "{answer}");
            assert_eq!(answer.contains("accecn e0b 1 ceb 0 e1b 1"), counts, "{answer}");
            let told = lines.iter().filter(|line| line.contains("accecn e0b ") && line.contains(" ceb "));
            assert_eq!(told.count() > 3, counts);
        }
    }
}

/// 6298-5.0: what is sent again is sent again for a reason, also where the loss of a retransmission is found by what left after it.
#[test]
fn what_is_lost_is_sent_again_for_a_reason() {
    for (modes, loss) in [([EcnMode::RequestAccurate, EcnMode::Off], 5_000), ([EcnMode::Off; 2], 30_000)] {
        for seed in 0..12 {
            let (traces, _) = captured(modes, loss, seed);
            let sent = traces[0].connections[0].segs.iter().filter(|seg| seg.from == End::Client && seg.text > 0);
            assert!(!sent.is_sorted_by_key(|seg| seg.text_at()), "nothing was lost");
            let (lines, faults) = lines(&traces[0], End::Client);
            assert_eq!(faults, 0, "{modes:?} {seed}: {lines:#?}");
        }
    }
}
