//! Any bytes as TCP options: what etherparse reads in them, we read too; and what was understood survives writing and reading.

use etherparse::{TcpOptionElement, TcpOptionsIterator};
use glasstcp::wire::accurate_ecn::{ByteCounters, EcnOption, First};
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::option::{self, SackBlocks, TcpOptions, Timestamp};

pub fn play(data: &[u8]) {
    // No header has more.
    let data = &data[..data.len().min(option::MAX_LEN)];
    let ours = option::parse(data).ok();
    assert_eq!(ours, as_etherparse(data), "ours, and that of etherparse");
    let Some(options) = ours else { return };
    let mut buffer = [0xEE; option::MAX_LEN];
    let len = option::emit(&options, &mut buffer);
    assert_eq!(len, option::emitted_len(&options));
    assert!(len.is_multiple_of(4) && len <= option::MAX_LEN);
    let again = option::parse(&buffer[..len]).expect("what is written can be read");
    assert_eq!((again.mss, again.window_scale), (options.mss, options.window_scale));
    assert_eq!((again.timestamp, again.sack_permitted), (options.timestamp, options.sack_permitted));
    assert_eq!(again.fast_open, options.fast_open);
    // It is the one that is left out where the others need all the room.
    let room = option::len_of_others(&options) + options.accurate_ecn.map_or(0, |option| option.padded_len());
    assert_eq!(again.accurate_ecn, options.accurate_ecn.filter(|_| room <= option::MAX_LEN));
    assert!(again.sack.iter().eq(options.sack.iter().take(again.sack.len())), "the first blocks are kept");
}

/// The options as etherparse sees them; `None` for a list that cannot be followed. Etherparse stops where it does not know a
/// kind or its length; RFC 9293 goes on behind it, so here is a step over it.
pub fn as_etherparse(area: &[u8]) -> Option<TcpOptions> {
    let mut options = TcpOptions::default();
    let mut rest = area;
    loop {
        let mut elements = TcpOptionsIterator::from_slice(rest);
        let refused = loop {
            let at = elements.rest();
            match elements.next() {
                None => return Some(options),
                Some(Err(_)) => break at,
                Some(Ok(element)) => note(element, at, &mut options),
            }
        };
        match refused {
            // A kind at the very end has no length that could be wrong.
            [_] => return Some(options),
            [kind, len, ..] if (2..=refused.len()).contains(&usize::from(*len)) => {
                let (option, behind) = refused.split_at(usize::from(*len));
                options.fast_open = cookie(*kind, &option[2..]).or(options.fast_open);
                options.accurate_ecn = counters(*kind, &option[2..]).or(options.accurate_ecn);
                rest = behind;
            }
            _ => return None,
        }
    }
}

/// The Fast Open cookie (RFC 7413 section 4.1.1), which etherparse does not know.
fn cookie(kind: u8, value: &[u8]) -> Option<Cookie> {
    let (octets, experimental) = match (kind, value) {
        (34, octets) => (octets, false),
        (254, [0xF9, 0x89, octets @ ..]) => (octets, true),
        _ => return None,
    };
    let makes_sense = [0, 4, 6, 8, 10, 12, 14, 16].contains(&octets.len());
    makes_sense.then(|| Cookie::new(octets).expect("a cookie").in_experiment(experimental))
}

/// The option of Accurate ECN (RFC 9768 section 3.2.3), which it does not know either.
fn counters(kind: u8, value: &[u8]) -> Option<EcnOption> {
    let fields: Vec<u32> =
        value.chunks_exact(3).map(|three| three.iter().fold(0, |n, &o| n << 8 | u32::from(o))).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0);
    let (first, ect_0, ect_1) = match kind {
        172 => (First::Ect0, field(0), field(2)),
        174 => (First::Ect1, field(2), field(0)),
        _ => return None,
    };
    Some(EcnOption::new(first, fields.len(), &ByteCounters { ect_0, ect_1, ce: field(1) }))
}

fn note(element: TcpOptionElement, bytes: &[u8], options: &mut TcpOptions) {
    match element {
        TcpOptionElement::Noop => {}
        TcpOptionElement::MaximumSegmentSize(mss) => options.mss = Some(mss),
        TcpOptionElement::WindowScale(shift) => options.window_scale = Some(shift),
        TcpOptionElement::SelectiveAcknowledgementPermitted => options.sack_permitted = true,
        TcpOptionElement::Timestamp(value, echo) => options.timestamp = Some(Timestamp { value, echo }),
        TcpOptionElement::SelectiveAcknowledgement(first, others) => {
            let mut sack = SackBlocks::default();
            let blocks = usize::from(bytes[1]) / 8;
            let all = [Some(first), others[0], others[1], others[2]];
            all.into_iter().take(blocks).flatten().for_each(|(left, right)| assert!(sack.push(left, right)));
            options.sack = sack;
        }
    }
}
