//! What differs between two captures, by kind.

use std::collections::BTreeSet;

use crate::captures::{Talk, timestamp};
use glasstcp::sim::script::packet;
use glasstcp::trace::differ::{Kind, compare, pairs};
use glasstcp::wire::option::{SackBlocks, TcpOptions};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use proptest::prelude::*;

const ACK: Flags = Flags::ACK;
const PUSH: Flags = Flags(Flags::ACK.0 | Flags::PSH.0);
const FIN: Flags = Flags(Flags::ACK.0 | Flags::FIN.0);

/// A request, its answer in two segments, and the close.
fn usual() -> Talk {
    let mut talk = Talk::new();
    talk.handshake().says(0, PUSH, (1, 1), 100).after(1).says(1, ACK, (1, 101), 0);
    talk.says(1, ACK, (1, 101), 1_460).says(1, PUSH, (1_461, 101), 1_460).after(20).says(0, ACK, (101, 2_921), 0);
    talk.says(1, FIN, (2_921, 101), 0).after(20).says(0, FIN, (101, 2_922), 0).says(1, ACK, (2_922, 102), 0);
    talk
}

/// The kinds by which two captures differ, each with how often.
fn kinds(a: &Talk, b: &Talk) -> Vec<(Kind, u64)> {
    let (a, b) = (a.trace(), b.trace());
    let found = compare(a.connections.first(), b.connections.first(), &BTreeSet::new());
    assert_eq!(found.is_same(), found.count().is_empty());
    // Each segment stands in the table once.
    let mut places: Vec<_> = found.rows.iter().filter_map(|row| row.a).collect();
    places.sort_unstable();
    assert!(places.iter().copied().eq(0..a.connections[0].segs.len()));
    let mut places: Vec<_> = found.rows.iter().filter_map(|row| row.b).collect();
    places.sort_unstable();
    assert!(places.iter().copied().eq(0..b.connections[0].segs.len()));
    found.count().into_iter().collect()
}

#[test]
fn the_same_twice_does_not_differ() {
    assert_eq!(kinds(&usual(), &usual()), []);
    // Other ports, other ISSs, other times: still the same.
    let mut other = Talk::new();
    other.client.set_port(50_505);
    other.iss = [u32::MAX - 10, 7];
    other.handshake().after(5).says(0, PUSH, (1, 1), 100).says(1, ACK, (1, 101), 0);
    other.says(1, ACK, (1, 101), 1_460).says(1, PUSH, (1_461, 101), 1_460).says(0, ACK, (101, 2_921), 0);
    other.says(1, FIN, (2_921, 101), 0).after(500).says(0, FIN, (101, 2_922), 0).says(1, ACK, (2_922, 102), 0);
    assert_eq!(kinds(&usual(), &other), []);
}

#[test]
fn segmentation() {
    let mut other = Talk::new();
    other.handshake().says(0, PUSH, (1, 1), 60).says(0, PUSH, (61, 1), 40).says(1, ACK, (1, 101), 0);
    other.says(1, PUSH, (1, 101), 2_920).says(0, ACK, (101, 2_921), 0);
    other.says(1, FIN, (2_921, 101), 0).says(0, FIN, (101, 2_922), 0).says(1, ACK, (2_922, 102), 0);
    let found = kinds(&usual(), &other);
    assert!(found.iter().all(|(kind, _)| *kind == Kind::Segmentation), "{found:?}");
    assert_eq!(found[0].1, 4);
    // A FIN with the text before it, or behind it.
    let mut other = usual();
    other.capture.clear();
    other = Talk::new();
    other.handshake().says(0, PUSH, (1, 1), 100).says(1, ACK, (1, 101), 0).says(1, ACK, (1, 101), 1_460);
    other.says(1, PUSH | Flags::FIN, (1_461, 101), 1_460).says(0, ACK, (101, 2_921), 0);
    other.says(0, FIN, (101, 2_922), 0).says(1, ACK, (2_922, 102), 0);
    assert_eq!(kinds(&usual(), &other), [(Kind::Segmentation, 2)]);
}

/// The usual talk, with something in the place of its one pure ACK of the server.
fn instead(change: impl FnOnce(&mut Talk)) -> Talk {
    let mut talk = Talk::new();
    talk.handshake().says(0, PUSH, (1, 1), 100);
    change(&mut talk);
    talk.says(1, ACK, (1, 101), 1_460).says(1, PUSH, (1_461, 101), 1_460).says(0, ACK, (101, 2_921), 0);
    talk.says(1, FIN, (2_921, 101), 0).says(0, FIN, (101, 2_922), 0).says(1, ACK, (2_922, 102), 0);
    talk
}

#[test]
fn what_only_one_of_them_sends() {
    let one = |change: fn(&mut Talk)| kinds(&usual(), &instead(change));
    assert_eq!(one(|_| {}), [(Kind::DelayedAck, 1)]);
    let more = |change: fn(&mut Talk)| {
        let other = instead(|talk| {
            talk.says(1, ACK, (1, 101), 0);
            change(talk);
        });
        let (forth, back) = (kinds(&usual(), &other), kinds(&other, &usual()));
        assert_eq!(forth, back, "it does not matter which is which");
        forth
    };
    assert_eq!(
        more(|talk| {
            talk.says(1, ACK, (1, 101), 0);
        }),
        [(Kind::DuplicateAck, 1)]
    );
    let update = |talk: &mut Talk| {
        talk.with(1, ACK, (1, 101), 0, |header| header.window = 65_000);
    };
    assert_eq!(more(update), [(Kind::WindowUpdate, 1)]);
    assert_eq!(
        more(|talk| {
            talk.says(0, PUSH, (1, 1), 100);
        }),
        [(Kind::Retransmission, 1)]
    );
    assert_eq!(
        more(|talk| {
            talk.says(0, ACK, (100, 1), 0);
        }),
        [(Kind::KeepAlive, 1)]
    );
    assert_eq!(
        more(|talk| {
            talk.says(0, Flags::SYN, (0, 0), 0);
        }),
        [(Kind::Retransmission, 1)]
    );
    let closed = |talk: &mut Talk| {
        talk.with(1, ACK, (1, 101), 0, |header| header.window = 0).says(0, ACK, (100, 1), 0).says(1, ACK, (1, 101), 0);
    };
    assert_eq!(more(closed), [(Kind::WindowUpdate, 2), (Kind::WindowProbe, 1)]);
    assert_eq!(
        more(|talk| {
            talk.says(1, Flags::RST, (1, 0), 0);
        }),
        [(Kind::End, 1), (Kind::Reset, 1)]
    );
}

#[test]
fn what_one_of_them_does_not_do() {
    let mut short = Talk::new();
    short.handshake().says(0, PUSH, (1, 1), 100).says(1, ACK, (1, 101), 0);
    let found = kinds(&usual(), &short);
    let expected =
        [(Kind::StreamLength, 1), (Kind::End, 1), (Kind::MissingText, 2), (Kind::DelayedAck, 2), (Kind::Close, 2)];
    assert_eq!(found, expected);
    let mut refused = Talk::new();
    refused.says(0, Flags::SYN, (0, 0), 0).says(1, Flags::RST | ACK, (0, 1), 0);
    let found = kinds(&usual(), &refused);
    assert!(found.contains(&(Kind::Reset, 1)) && found.contains(&(Kind::Handshake, 1)), "{found:?}");
}

#[test]
fn fields() {
    let changed = |flags: Flags, text: usize, change: fn(&mut TcpHeader)| {
        kinds(
            &usual(),
            &instead(|talk| {
                talk.with(1, flags, (1, 101), text, change);
            }),
        )
    };
    assert_eq!(changed(ACK, 0, |_| {}), []);
    assert_eq!(changed(ACK, 0, |header| header.window = 59_999), [(Kind::Window, 1)]);
    assert_eq!(changed(ACK | Flags::ECE, 0, |_| {}), [(Kind::Ecn, 1)]);
    assert_eq!(changed(PUSH, 0, |_| {}), [(Kind::Push, 1)]);
    assert_eq!(changed(ACK | Flags::URG, 0, |header| header.urgent = 9), [(Kind::Urgent, 1)]);
    let stamped = |header: &mut TcpHeader| header.options.timestamp = timestamp(1, 2);
    assert_eq!(changed(ACK, 0, stamped), [(Kind::Options, 1)]);
    // On text: another acknowledgment number, and other octets.
    let mut early = instead(|_| {});
    let mut late = instead(|_| {});
    early.says(0, ACK, (102, 2_922), 0);
    late.says(0, ACK, (102, 2_922), 0);
    assert_eq!(kinds(&early, &late), []);
    let with_ack = |ack: u32| {
        let mut talk = Talk::new();
        talk.handshake().says(0, PUSH, (1, 1), 100).says(1, PUSH, (1, ack), 50).says(0, ACK, (101, 51), 0);
        talk
    };
    assert_eq!(kinds(&with_ack(101), &with_ack(1)), [(Kind::AckNumber, 1)]);
    let with_text = |text: &[u8]| {
        let mut talk = with_ack(101);
        let header = TcpHeader {
            source_port: talk.client.port(),
            destination_port: talk.server.port(),
            seq: talk.iss[0] + 101,
            ack: talk.iss[1] + 51,
            flags: PUSH,
            window: 60_000,
            urgent: 0,
            options: TcpOptions::default(),
        };
        let bytes = packet(talk.client.ip(), talk.server.ip(), &header, text);
        talk.raw(&bytes);
        talk
    };
    assert_eq!(kinds(&with_text(b"one text"), &with_text(b"one test")), [(Kind::Content, 1)]);
}

#[test]
fn options_and_their_order() {
    let with = |change: fn(&mut TcpOptions)| {
        let mut talk = Talk::new();
        talk.with(0, Flags::SYN, (0, 0), 0, |header| change(&mut header.options));
        talk
    };
    let plain = with(|_| {});
    assert_eq!(kinds(&plain, &with(|options| options.mss = Some(1_400))), [(Kind::OptionValue, 1)]);
    assert_eq!(kinds(&plain, &with(|options| options.sack_permitted = false)), [(Kind::Options, 1)]);
    // By hand: SACK-permitted first, then two NOPs, then the MSS.
    let mut turned = Talk::new();
    let mut bytes = packet(
        turned.client.ip(),
        turned.server.ip(),
        &TcpHeader {
            source_port: 40_000,
            destination_port: 80,
            seq: 1_000,
            flags: Flags::SYN,
            window: 60_000,
            options: TcpOptions { mss: Some(1_460), sack_permitted: true, ..TcpOptions::default() },
            ..TcpHeader::default()
        },
        &[],
    );
    let options = bytes.len() - 8;
    bytes[options..].rotate_left(4);
    turned.raw(&bytes);
    assert_eq!(kinds(&plain, &turned), [(Kind::OptionOrder, 1)]);
    let sack = |right: u32| {
        let mut talk = Talk::new();
        talk.handshake().with(1, ACK, (1, 1), 0, |header| {
            let mut blocks = SackBlocks::EMPTY;
            blocks.push(1_100, right);
            header.options.sack = blocks;
        });
        talk
    };
    assert_eq!(kinds(&sack(1_200), &sack(1_300)), [(Kind::Sack, 1)]);
}

#[test]
fn order() {
    let mut other = Talk::new();
    other.handshake().says(0, PUSH, (1, 1), 100).says(1, ACK, (1, 101), 0);
    other.says(1, PUSH, (1_461, 101), 1_460).says(1, ACK, (1, 101), 1_460).says(0, ACK, (101, 2_921), 0);
    other.says(1, FIN, (2_921, 101), 0).says(0, FIN, (101, 2_922), 0).says(1, ACK, (2_922, 102), 0);
    let found = kinds(&usual(), &other);
    // What comes behind is sent first, so it is text; and what it overtook looks like a retransmission.
    assert!(
        !found.is_empty()
            && found
                .iter()
                .all(|(kind, _)| matches!(kind, Kind::Order | Kind::Retransmission | Kind::Segmentation | Kind::Push)),
        "{found:?}"
    );
    // Of two directions: the same segments, crossed.
    let crossed = |client_first: bool| {
        let mut talk = Talk::new();
        talk.handshake();
        for client in [client_first, !client_first] {
            talk.says(usize::from(!client), PUSH, (1, 1), 10);
        }
        talk
    };
    assert_eq!(kinds(&crossed(true), &crossed(false)), [(Kind::Order, 1)]);
}

#[test]
fn what_is_ignored_is_no_difference() {
    let (a, b) = (usual().trace(), instead(|_| {}).trace());
    let ignored = BTreeSet::from([Kind::DelayedAck]);
    assert!(compare(a.connections.first(), b.connections.first(), &ignored).is_same());
    assert!(!compare(a.connections.first(), None, &ignored).is_same());
    assert!(compare(a.connections.first(), None, &BTreeSet::from([Kind::Connection])).is_same());
}

#[test]
fn connections_find_each_other() {
    let talk = |ends: &[(u16, u16)]| {
        let mut talk = Talk::new();
        for &(client, server) in ends {
            talk.client.set_port(client);
            talk.server.set_port(server);
            talk.says(0, Flags::SYN, (0, 0), 0);
        }
        talk.trace()
    };
    let (a, b) = (talk(&[(1, 80), (2, 443), (3, 80)]), talk(&[(9, 443), (3, 80), (8, 80), (7, 22)]));
    let found = pairs(&a, &b);
    let ports: Vec<_> = found.iter().map(|(a, b)| (a.map(|a| a.client.port()), b.map(|b| b.client.port()))).collect();
    assert_eq!(ports, [(Some(1), Some(8)), (Some(2), Some(9)), (Some(3), Some(3)), (None, Some(7))]);
}

proptest! {
    /// Whatever the traces are: each segment stands in the table once, and a trace does not differ from itself.
    #[test]
    fn any_traces(
        says in prop::collection::vec((0..2_usize, any::<u8>(), 0..6_u32, 0..6_u32, 0..3_usize), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let talk = |says: &[(usize, u8, u32, u32, usize)]| {
            let mut talk = Talk::new();
            talk.handshake();
            for &(who, flags, seq, ack, text) in says {
                talk.says(who, Flags(u16::from(flags) & !Flags::SYN.0), (1 + seq * 10, 1 + ack * 10), text * 10);
            }
            talk
        };
        let (a, b) = (talk(&says), talk(&says[cut.index(says.len() + 1)..]));
        prop_assert_eq!(kinds(&a, &a), []);
        let both = (kinds(&a, &b), kinds(&b, &a));
        prop_assert_eq!(both.0.is_empty(), both.1.is_empty());
    }
}
