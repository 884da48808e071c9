//! Each kind of difference is found, and nothing else with it.

use std::collections::BTreeSet;

use glasstcp::trace::segment::Side;
use glasstcp::trace::segment::Side::{Client, Server};
use glasstcp::wire::tcp::Flags;

use super::shared::compare::{Kind, compare, kinds};
use super::shared::normal::{Conversation, Item, Segment};

const ACK: Flags = Flags::ACK;

fn segment(from: Side, flags: Flags, seq: i64, len: u32, ack: i64) -> Segment {
    let ack = flags.contains(Flags::ACK).then_some(ack);
    Segment { at_ns: 0, from, seq, ack, flags, len, window: 10_000, options: Vec::new() }
}

/// The client sends 3,000 octets in three segments, of which the second is lost; the server closes first.
fn conversation() -> Conversation {
    let syn = vec![Item::Mss(1_000), Item::SackPermitted, Item::Timestamps, Item::Nop, Item::WindowScale(7)];
    let mut segments = vec![
        segment(Client, Flags::SYN, 0, 0, 0),
        segment(Server, Flags::SYN | ACK, 0, 0, 1),
        segment(Client, ACK, 1, 0, 1),
        segment(Client, ACK, 1, 1_000, 1),
        segment(Client, ACK, 1_001, 1_000, 1),
        segment(Server, ACK, 1, 0, 1_001),
        segment(Client, ACK | Flags::PSH, 2_001, 1_000, 1),
        segment(Server, ACK, 1, 0, 1_001),
        segment(Client, ACK, 1_001, 1_000, 1),
        segment(Server, ACK, 1, 0, 3_001),
        segment(Server, ACK | Flags::FIN, 1, 0, 3_001),
        segment(Client, ACK, 3_001, 0, 2),
        segment(Client, ACK | Flags::FIN, 3_001, 0, 2),
        segment(Server, ACK, 2, 0, 3_002),
    ];
    segments[0].options = syn.clone();
    segments[1].options = syn;
    segments[7].options = vec![Item::Nop, Item::Nop, Item::Sack(vec![(2_001, 3_001)])];
    Conversation { segments, unit: [1; 2] }
}

/// The kinds that a change makes in what an end sends; what the other end sends stays the same.
#[track_caller]
fn changed(end: Side, change: impl FnOnce(&mut Vec<Segment>)) -> Vec<Kind> {
    let reference = conversation();
    let mut other = conversation();
    change(&mut other.segments);
    let found = compare(&reference, &other, end);
    // Whichever is the reference.
    let swap = |kind| match kind {
        Kind::RetransmissionMissing => Kind::RetransmissionExtra,
        Kind::RetransmissionExtra => Kind::RetransmissionMissing,
        kind => kind,
    };
    let back: BTreeSet<Kind> = kinds(&compare(&other, &reference, end)).into_iter().map(swap).collect();
    assert_eq!(kinds(&found), back, "{found:?}");
    kinds(&found).into_iter().collect()
}

#[test]
fn what_is_equal_does_not_differ() {
    for end in Side::BOTH {
        assert_eq!(changed(end, |_| ()), []);
        // Nor do times.
        assert_eq!(changed(end, |all| all.iter_mut().for_each(|one| one.at_ns += 5)), []);
    }
}

#[test]
fn the_opening_is_compared() {
    let options = |at: usize, item: Option<Item>| {
        move |all: &mut Vec<Segment>| match item {
            Some(item) => all[0].options[at] = item,
            None => drop(all[0].options.remove(at)),
        }
    };
    assert_eq!(changed(Client, |all| all[0].flags = Flags::SYN | Flags::ECE | Flags::CWR), [Kind::SynFlags]);
    assert_eq!(changed(Client, options(0, Some(Item::Mss(1_001)))), [Kind::SynMss]);
    assert_eq!(changed(Client, options(4, Some(Item::WindowScale(8)))), [Kind::SynWindowScale]);
    assert_eq!(changed(Client, options(1, None)), [Kind::SynSackPermitted]);
    assert_eq!(changed(Client, options(2, None)), [Kind::SynTimestamps]);
    assert_eq!(changed(Client, |all| all[0].options.swap(0, 1)), [Kind::SynOptionOrder]);
    assert_eq!(changed(Client, |all| all[0].options.push(Item::Other(34))), [Kind::Other]);
    assert_eq!(changed(Client, |all| all[0].window = 9_000), [Kind::SynWindow]);
    assert_eq!(changed(Client, |all| all.insert(1, all[0].clone())), [Kind::SynCopies]);
}

#[test]
fn text_is_compared() {
    assert_eq!(
        changed(Client, |all| {
            let mut rest = all[3].clone();
            (all[3].len, rest.seq, rest.len) = (400, 401, 600);
            all.insert(4, rest);
        }),
        [Kind::Segmentation]
    );
    assert_eq!(changed(Client, |all| all[4].flags = ACK | Flags::PSH), [Kind::Push]);
    assert_eq!(changed(Client, |all| all[4].flags = ACK | Flags::CWR), [Kind::Flags]);
    assert_eq!(changed(Client, |all| all[4].options = vec![Item::Timestamps]), [Kind::OptionLayout]);
    assert_eq!(changed(Client, |all| all.swap(5, 6)), [Kind::Release]);
    assert_eq!(changed(Client, |all| all[4].window = 9_000), [Kind::Window, Kind::WindowShrinks]);
    let wider = |all: &mut Vec<Segment>| all[4..].iter_mut().for_each(|one| one.window = 12_000);
    assert_eq!(changed(Client, wider), [Kind::Window]);
    assert_eq!(changed(Client, |all| all[4].window = 11_000), [Kind::Window, Kind::WindowShrinks]);
    assert_eq!(changed(Client, |all| all[6].ack = Some(0)), [Kind::AckOnText, Kind::WindowShrinks]);
    assert_eq!(changed(Client, |all| drop(all.remove(6))), [Kind::Segmentation, Kind::TextEnd]);
}

#[test]
fn what_is_sent_again_is_compared() {
    assert_eq!(changed(Client, |all| drop(all.remove(8))), [Kind::RetransmissionMissing]);
    assert_eq!(changed(Client, |all| all.insert(8, all[8].clone())), [Kind::RetransmissionExtra]);
    assert_eq!(changed(Client, |all| all[8].len = 900), [Kind::RetransmissionCut]);
    let probe = segment(Client, ACK, 3_000, 0, 1);
    assert_eq!(changed(Client, |all| all.insert(8, probe)), [Kind::Probe]);
}

#[test]
fn acknowledgments_are_compared() {
    assert_eq!(changed(Server, |all| all.insert(9, segment(Server, ACK, 1, 0, 2_001))), [Kind::AckPoints]);
    assert_eq!(changed(Server, |all| all.insert(8, all[7].clone())), [Kind::AckCopies, Kind::SackBlocks]);
    assert_eq!(changed(Server, |all| all.insert(6, all[5].clone())), [Kind::AckCopies]);
    let mut update = segment(Server, ACK, 1, 0, 3_001);
    update.window = 12_000;
    let updated = |all: &mut Vec<Segment>| {
        all.insert(11, update);
        all[14].window = 12_000;
    };
    assert_eq!(changed(Server, updated), [Kind::Window, Kind::WindowUpdates]);
    assert_eq!(changed(Server, |all| all[9].window = 11_000), [Kind::Window, Kind::WindowShrinks]);
    assert_eq!(changed(Server, |all| all[7].options.clear()), [Kind::SackPresence]);
    let block = Item::Sack(vec![(2_002, 3_001)]);
    assert_eq!(changed(Server, |all| all[7].options[2] = block), [Kind::SackBlocks]);
    assert_eq!(changed(Server, |all| drop(all.remove(13))), [Kind::AckPoints, Kind::AckEnd]);
}

#[test]
fn endings_are_compared() {
    assert_eq!(changed(Client, |all| all.insert(13, all[12].clone())), [Kind::FinCopies]);
    assert_eq!(changed(Client, |all| drop(all.remove(12))), [Kind::FinCopies]);
    assert_eq!(changed(Server, |all| all.swap(10, 12)), [Kind::FinOrder]);
    assert_eq!(changed(Client, |all| all[12].flags = ACK | Flags::FIN | Flags::PSH), [Kind::Push]);
    let reset = segment(Client, Flags::RST, 3_001, 0, 0);
    assert_eq!(changed(Client, |all| all.push(reset.clone())), [Kind::Reset]);
    let (mut reference, mut other) = (conversation(), conversation());
    reference.segments.push(reset.clone());
    other.segments.push(Segment { flags: Flags::RST | ACK, ..reset });
    assert_eq!(kinds(&compare(&reference, &other, Client)), [Kind::ResetForm].into());
    // The FIN stands on the last text.
    let place = |all: &mut Vec<Segment>| {
        all.remove(12);
        all[6].flags = ACK | Flags::PSH | Flags::FIN;
    };
    assert_eq!(changed(Client, place), [Kind::FinPlace, Kind::FinOrder]);
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
    assert!(Kind::ALL.iter().all(|kind| kind.meaning().ends_with('.')));
}
