//! Peers, and things on the way, that say anything at all.

use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::accurate_ecn::{ace_flags, handshake_flags};
use glasstcp::tcp::ecn::{BITS, CE, ECT_0, ECT_1, NOT_ECT};
use glasstcp::tcp::state::State;
use glasstcp::wire::accurate_ecn::{ByteCounters, EcnOption, First, MODULUS};
use glasstcp::wire::option::SackBlocks;
use glasstcp::wire::tcp::Flags;

use super::support::*;
use crate::flow::*;

fn one_of<T: Copy>(dice: &mut KeyedRng, all: &[T]) -> T {
    all[dice.below(all.len() as u64) as usize]
}

/// A segment with any number, any option, any codepoint, anywhere near the windows; sometimes with a SYN, or merged by the device.
fn any_segment(script: &mut Script, dice: &mut KeyedRng, irs: u32, una: u32) {
    let len = one_of(dice, &[0, 0, 0, 1, 100, MSS, 3 * MSS]);
    let syn = if dice.below(10) == 0 { Flags::SYN } else { Flags(0) };
    let mut header = script.header(Flags::ACK | syn | ace_flags(dice.below(8) as u32));
    header.seq = if syn == Flags::SYN {
        irs
    } else {
        script
            .seq
            .wrapping_add(one_of(dice, &[0, 0, 0, 0, 0_u32.wrapping_sub(len as u32), 50_u32.wrapping_neg(), 2_000]))
    };
    header.ack = una.wrapping_add(one_of(dice, &[0, 0, 1, SEGMENT, 3 * SEGMENT, 10 * SEGMENT, 1 << 20]));
    let mut number = || one_of(dice, &[0, 1, 100, 1 << 23, MODULUS - 1, u32::MAX]);
    let counters = ByteCounters { ect_0: number(), ect_1: number(), ce: number() };
    let first = one_of(dice, &[First::Ect0, First::Ect1]);
    header.options.accurate_ecn = one_of(dice, &[None, Some(0), Some(1), Some(2), Some(3)])
        .map(|fields| EcnOption::new(first, fields, &counters));
    if dice.below(8) == 0 {
        header.options.sack = SackBlocks::EMPTY;
        header.options.sack.push(una.wrapping_add(SEGMENT), una.wrapping_add(3 * SEGMENT));
    }
    script.ecn = one_of(dice, &[NOT_ECT, ECT_1, ECT_0, CE, CE]);
    let packet = script.packet(&header, &text(len));
    let gso_size = if len > MSS { MSS as u16 } else { 0 };
    let meta = RxMeta { gso_size, ..RxMeta::plain(packet.len()) };
    script.stack.handle_packet(script.now, &packet, &meta);
}

/// 9768-3.1.5, 9768-3.2.2, 9768-3.2.3: whatever a peer says, all that leaves tells the counters as they are, and what is sent again,
/// or has no text, is not ECN-capable. The code of the handshake is on a bare ACK of a client, and nowhere else.
#[test]
fn whatever_is_said_the_counters_are_told() {
    for (seed, client) in (0..8).map(|seed| (seed, seed % 2 == 0)) {
        let (mut script, handle) = if client { connected() } else { accepted_with(SACK) };
        let mut dice = KeyedRng::from_seed(seed);
        let (irs, mut nxt, mut told) = (script.seq.wrapping_sub(1), script.ack, 0);
        for step in 0..1_500 {
            let una = script.stack.tcp_connection(handle).unwrap().snd.una.0;
            any_segment(&mut script, &mut dice, irs, una);
            if dice.below(2) == 0 {
                script.stack.tcp_send(script.now, handle, &text(dice.below(4_000) as usize)).ok();
            }
            check(&mut script, handle, client, &mut nxt, &mut told);
            script.now += ms(dice.below(400));
            script.stack.handle_deadline(script.now);
            check(&mut script, handle, client, &mut nxt, &mut told);
            script.receive(handle);
            let connection = script.stack.tcp_connection(handle).unwrap();
            assert_eq!(connection.state(), State::Established, "seed {seed}, step {step}");
            script.seq = connection.rcv.nxt.0;
        }
        // The first text of a client was sent again, so it sends none.
        assert_eq!(told > 50, !client, "seed {seed}: {told} options");
    }
}

/// What has left; `nxt` is where new text begins, `told` counts options.
fn check(script: &mut Script, handle: TcpHandle, client: bool, nxt: &mut u32, told: &mut u32) {
    let sent = script.sent();
    let known = state(script, handle).clone();
    for sent in &sent {
        let (flags, options) = (sent.flags(), &sent.header.options);
        assert_eq!(flags.without(BITS).without(Flags::PSH), Flags::ACK, "{sent:?}");
        let number = flags.without(Flags::PSH).without(Flags::ACK);
        let bare = client && sent.text.is_empty() && options.sack.is_empty();
        let fits = number == known.flags() || (bare && number == handshake_flags(known.syn_arrived));
        assert!(fits, "{sent:?} {known:?}");
        if let Some(option) = options.accurate_ecn {
            let ByteCounters { ect_0, ect_1, ce } = known.received.octets;
            for (field, counter) in [(option.ect_0(), ect_0), (option.ect_1(), ect_1), (option.ce(), ce)] {
                assert!(field.is_none_or(|field| field == counter % MODULUS), "{sent:?} {known:?}");
            }
            *told += 1;
        }
        let new = !sent.text.is_empty() && sent.header.seq == *nxt;
        assert!(new || sent.ecn() == NOT_ECT, "{sent:?}");
        if new {
            *nxt = end(std::slice::from_ref(sent));
        }
    }
}
