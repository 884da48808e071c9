//! The steps whose instructions `scripts/instructions.sh` counts under callgrind: the same number on every run, so that
//! small changes show that the clock would hide. By itself it measures nothing.

#[path = "peer/mod.rs"]
mod peer;

use peer::{Bed, MSS};

/// Times that each step runs.
const TIMES: usize = 2_000;
/// Octets of a super-segment of whole segments.
const SUPER: usize = 44 * MSS;

// Callgrind counts while it is inside of functions of this name.

#[inline(never)]
fn measured_packet(bed: &mut Bed, packet: &[u8]) {
    bed.deliver(packet);
}

#[inline(never)]
fn measured_transmit(bed: &mut Bed) -> usize {
    bed.transmit()
}

#[inline(never)]
fn measured_exchange(bed: &mut Bed, packet: &[u8]) {
    bed.answer(0, packet, 100);
}

fn main() {
    let step = std::env::args().nth(1).unwrap_or_default();
    let mut bed = Bed::new(1);
    if step.starts_with("send") {
        bed.stack.set_offload(65_535, step != "send-with-checksum");
    }
    bed.warm_up(10);
    match step.as_str() {
        "receive" => (0..TIMES).for_each(|_| {
            let packet = bed.segment(0, MSS);
            measured_packet(&mut bed, &packet);
            bed.drain_ready();
            bed.read(0);
            bed.transmit();
        }),
        "receive-out-of-order" => (0..TIMES).for_each(|_| {
            let (beyond, missing) = (bed.segment_at(0, MSS as u32, MSS), bed.segment(0, MSS));
            bed.peers[0].seq = bed.peers[0].seq.wrapping_add(MSS as u32);
            measured_packet(&mut bed, &beyond);
            bed.deliver(&missing);
            bed.drain_ready();
            bed.read(0);
            bed.transmit();
        }),
        "acknowledge" => (0..TIMES).for_each(|_| {
            bed.send(0, MSS);
            bed.transmit();
            let packet = bed.ack(0, MSS);
            measured_packet(&mut bed, &packet);
            bed.drain_ready();
            bed.transmit();
        }),
        "send" | "send-with-checksum" => (0..TIMES).for_each(|_| send(&mut bed, MSS)),
        "send-super-segment" => (0..TIMES).for_each(|_| send(&mut bed, SUPER)),
        "exchange" => (0..TIMES).for_each(|_| {
            let packet = bed.request(0, 100);
            measured_exchange(&mut bed, &packet);
        }),
        _ => println!("scripts/instructions.sh runs this"),
    }
}

fn send(bed: &mut Bed, octets: usize) {
    bed.send(0, octets);
    assert_eq!(measured_transmit(bed), 1);
    let packet = bed.ack(0, octets);
    bed.deliver(&packet);
    bed.drain_ready();
    bed.transmit();
}
