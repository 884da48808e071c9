//! Text that arrives: where it lies, what is thrown away where there is no memory, and how the buffer grows.

use std::net::Shutdown;
use std::time::Duration;

use crate::flow::*;
use glasstcp::buffer::{Chunk, LARGE, SMALL, WORTH_A_CHUNK};
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

/// Hands text over in a chunk that the connection may keep; true if it has kept it.
fn give_chunk(script: &mut Script, offset: u32, text: &[u8]) -> bool {
    let packet = script.packet(&header_at(script, offset), text);
    let mut chunk = Chunk::for_packets();
    chunk.bytes_mut()[..packet.len()].copy_from_slice(&packet);
    let before = chunk.bytes().as_ptr();
    assert_eq!(script.stack.handle_chunk(script.now, &mut chunk, &RxMeta::plain(packet.len())), None);
    script.sent();
    !std::ptr::eq(before, chunk.bytes().as_ptr())
}

fn open() -> (Script, TcpHandle) {
    accepted_over(ms(10), SACK, |config| config.mtu = 65_535)
}

/// 9293-SHLD-31: a chunk with text in order is kept; what begins beyond RCV.NXT is copied to its place, where it waits for what
/// is missing; and nobody keeps what nobody will read.
#[test]
fn a_chunk_is_kept_where_its_text_is_next() {
    let len = WORTH_A_CHUNK + 1_000;
    let data = text(2 * len);
    let (mut script, handle) = open();
    for piece in data.chunks(len) {
        assert!(give_chunk(&mut script, 0, piece));
        script.seq = script.seq.wrapping_add(len as u32);
        assert!(script.receive(handle) == piece);
    }
    let (mut script, handle) = open();
    assert!(!give_chunk(&mut script, 1_000, &data[1_000..len]));
    assert_eq!((look(&script, handle).unread, look(&script, handle).out_of_order), (0, len as u32 - 1_000));
    script.peer_sends(&data[..1_000]);
    assert!(script.receive(handle) == data[..len]);
    let (mut script, handle) = open();
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Read).unwrap();
    assert!(!give_chunk(&mut script, 0, &data[..len]));
    let seen = look(&script, handle);
    assert_eq!((seen.unread, seen.rcv_nxt as usize, script.stack.buffer_memory()), (0, 1 + len, 0));
}

/// 9293-SHLD-31: text out of order that finds no memory throws away nothing of what waits already.
#[test]
fn text_out_of_order_makes_no_room_for_itself() {
    let (mut script, handle) = accepted(|config| config.tcp.buffer_memory = LARGE + SMALL - 1);
    peer_sends_at(&mut script, 5_000, &[2; 1_000]);
    let header = header_at(&script, 1_000);
    assert_eq!(script.deliver(&header, &[3; 500]), Some(DropReason::TcpOutOfOrderFull));
    let seen = look(&script, handle);
    assert_eq!((seen.unread, seen.out_of_order), (0, 1_000));
}

/// 9293-SHLD-31: and text that is next is dropped, and asked for again, where not one octet of it finds memory.
#[test]
fn text_without_any_memory_is_dropped() {
    let (mut script, handle) = accepted(|config| config.tcp.buffer_memory = SMALL - 1);
    let header = header_at(&script, 0);
    assert_eq!(script.deliver(&header, &[1; 1_000]), Some(DropReason::TcpNoMemory));
    assert_eq!(script.sent_one().header.ack, script.seq);
    assert_eq!(look(&script, handle).unread, 0);
}

fn capacity(script: &Script, handle: TcpHandle) -> u32 {
    script.stack.tcp_connection(handle).unwrap().rcv.capacity
}

const FIRST: u32 = 64 << 10;

/// 9293-SHLD-14, 5681-3.2-1: a reader that comes late takes less in a round trip, and needs no larger buffer; one that had to
/// wait for a hole to be filled is not late.
#[test]
fn a_reader_that_waits_for_a_hole_is_not_late() {
    for hole in [false, true] {
        let (mut script, handle) = accepted_over(ms(10), SACK, |config| config.tcp.receive_tuning = FIRST..=8 << 20);
        if hole {
            peer_sends_at(&mut script, 1_000, &text(40_000));
            script.pass(ms(30));
            assert_eq!(script.peer_sends(&text(1_000)).len(), 1, "a filled gap is acknowledged at once");
        } else {
            script.peer_sends(&text(41_000));
            script.pass(ms(30));
        }
        assert_eq!(script.receive(handle).len(), 41_000);
        assert_eq!(capacity(&script, handle) > FIRST, hole);
    }
}

/// 9293-3.10.7.3-6, 9293-SHLD-14: what the buffer's growth is measured by counts from the number behind the peer's SYN, wherever
/// that lies.
#[test]
fn the_buffer_grows_whatever_the_first_number_is() {
    for seq in [1_000, 30_000_u32.wrapping_neg(), (1 << 31) - 30_000] {
        let mut script = Script::with(|config| config.tcp.receive_tuning = FIRST..=8 << 20);
        let (handle, _) = script.connect();
        script.seq = seq;
        let options = TcpOptions { mss: Some(1_460), window_scale: Some(7), ..TcpOptions::default() };
        let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
        script.seq = seq.wrapping_add(1);
        script.now += ms(10);
        script.inject(&header, &[]);
        script.peer_sends(&text(40_000));
        assert_eq!(script.receive(handle).len(), 40_000);
        assert!(capacity(&script, handle) > FIRST, "{seq}");
    }
}

/// 9293-SHLD-14: a buffer that grows by itself comes to light by and by; one that the application has made larger, at once.
#[test]
fn a_buffer_that_was_set_is_shown_at_once() {
    for (set, shown) in [(None, 2 * FIRST), (Some(1 << 20), 1 << 20)] {
        let (mut script, handle) = accepted_over(ms(10), SACK, |config| config.tcp.receive_tuning = FIRST..=8 << 20);
        script.peer_sends(&text(40_000));
        script.receive(handle);
        script.stack.tcp_set_options(script.now, handle, |options| options.receive_capacity = set).unwrap();
        script.peer_sends(&text(1_000));
        script.receive(handle);
        script.sent();
        let window = look(&script, handle).rcv_wnd;
        assert!(window <= shown && window >= shown / 2, "{window} of {shown}");
    }
}

/// 7323-5.3-1, 7323-5.2: TS.Recent protects for 24 days, to the nanosecond.
#[test]
fn a_timestamp_is_old_for_24_days() {
    for (early, dropped) in [(1, Some(DropReason::TcpPaws)), (0, None)] {
        let (mut script, handle) = accepted_with_timestamps(500, |_| {});
        script.now += secs(24 * 24 * 3_600) - Duration::from_nanos(early);
        script.timestamp = Some(499);
        let header = script.header(Flags::ACK);
        assert_eq!(script.deliver(&header, b"text"), dropped);
        assert_eq!(script.receive(handle).is_empty(), dropped.is_some());
    }
}
