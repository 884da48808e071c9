//! TCP options.

use proptest::prelude::*;

use crate::counters::DropReason;
use crate::wire::accurate_ecn::{ByteCounters, EcnOption, First};
use crate::wire::fast_open::Cookie;
use crate::wire::option::{
    MAX_LEN, OptionOrder, SackBlocks, TcpOptions, Timestamp, emit, emitted_len, len_of_others, parse,
};

/// Options that a segment may carry, in any combination.
pub(super) fn any_options() -> impl Strategy<Value = TcpOptions> {
    let sack = proptest::collection::vec(any::<(u32, u32)>(), 0..=SackBlocks::CAPACITY);
    let timestamp = proptest::option::of(any::<(u32, u32)>());
    let cookie = proptest::option::of((0..=8_usize, any::<[u8; 16]>(), any::<bool>()));
    let counters = proptest::option::of((any::<bool>(), 0..=3_usize, any::<[u32; 3]>()));
    (any::<Option<u16>>(), any::<Option<u8>>(), any::<bool>(), timestamp, sack, cookie, counters).prop_map(
        |(mss, window_scale, sack_permitted, timestamp, blocks, cookie, counters)| {
            let accurate_ecn = counters.map(|(order, fields, [ect_0, ect_1, ce])| {
                let first = if order { First::Ect1 } else { First::Ect0 };
                EcnOption::new(first, fields, &ByteCounters { ect_0, ect_1, ce })
            });
            let fast_open = cookie.and_then(|(pairs, octets, experimental)| {
                Cookie::new(&octets[..2 * pairs]).map(|cookie| cookie.in_experiment(experimental))
            });
            let mut sack = SackBlocks::default();
            blocks.iter().for_each(|&(left, right)| assert!(sack.push(left, right)));
            let timestamp = timestamp.map(|(value, echo)| Timestamp { value, echo });
            let order = OptionOrder::Linux;
            let mut all =
                TcpOptions { mss, window_scale, sack_permitted, timestamp, sack, fast_open, accurate_ecn, order };
            // Where it has no room it is not written, and not read again.
            let room = len_of_others(&all) + all.accurate_ecn.map_or(0, |option| option.padded_len());
            all.accurate_ecn = all.accurate_ecn.filter(|_| room <= MAX_LEN);
            all
        },
    )
}

fn emitted(options: &TcpOptions) -> Vec<u8> {
    let mut buffer = [0xEE; MAX_LEN];
    let length = emit(options, &mut buffer);
    assert!(buffer[length..].iter().all(|&octet| octet == 0xEE), "wrote beyond the length");
    buffer[..length].to_vec()
}

/// Each known option alone, and what it reads as.
fn known() -> Vec<(&'static [u8], TcpOptions)> {
    let mut sack = SackBlocks::default();
    sack.push(1, 2);
    let timestamp = Some(Timestamp { value: 0x0102_0304, echo: 0x0506_0708 });
    vec![
        (&[2, 4, 5, 0xB4], TcpOptions { mss: Some(1460), ..Default::default() }),
        (&[3, 3, 7], TcpOptions { window_scale: Some(7), ..Default::default() }),
        (&[4, 2], TcpOptions { sack_permitted: true, ..Default::default() }),
        (&[5, 10, 0, 0, 0, 1, 0, 0, 0, 2], TcpOptions { sack, ..Default::default() }),
        (&[8, 10, 1, 2, 3, 4, 5, 6, 7, 8], TcpOptions { timestamp, ..Default::default() }),
    ]
}

/// 9293-MUST-4
#[test]
fn padding_before_between_and_after() {
    let expected = Ok(TcpOptions { mss: Some(1460), sack_permitted: true, ..Default::default() });
    assert_eq!(parse(&[1, 1, 2, 4, 5, 0xB4, 1, 4, 2, 1, 1, 1]), expected);
    assert_eq!(parse(&[2, 4, 5, 0xB4, 4, 2, 0, 0]), expected);
    assert_eq!(parse(&[]), Ok(TcpOptions::default()));
    // After the end of the list anything may stand.
    assert_eq!(parse(&[2, 4, 5, 0xB4, 4, 2, 0, 3, 3, 9, 2, 0]), expected);
}

/// 9293-MUST-6
#[test]
fn unknown_kinds_are_stepped_over() {
    for kind in 3..=255u8 {
        for length in 2..=32u8 {
            let mut area = vec![kind, length];
            area.resize(usize::from(length), 0xA5);
            area.extend([2, 4, 5, 0xB4, 4, 2]);
            let options = parse(&area).unwrap();
            assert_eq!((options.mss, options.sack_permitted), (Some(1460), true), "kind {kind} length {length}");
        }
    }
}

/// 9293-MUST-7
#[test]
fn impossible_lengths_are_refused() {
    for kind in 2..=255u8 {
        let last = parse(&[4, 2, 1, kind]);
        assert_eq!(last, Ok(TcpOptions { sack_permitted: true, ..Default::default() }), "no room for a length");
        for before in 0..36 {
            for length in [0, 1, 5, 40, 255] {
                let mut area = vec![1; before];
                area.extend([kind, length, 0, 0]);
                assert_eq!(parse(&area), Err(DropReason::TcpOption), "kind {kind} length {length}");
            }
        }
    }
}

/// 9293-MUST-64
#[test]
fn options_start_at_any_octet() {
    for (octets, expected) in known() {
        for before in 0..=MAX_LEN - octets.len() {
            let mut area = vec![1; before];
            area.extend(octets);
            area.resize(MAX_LEN, 0);
            assert_eq!(parse(&area), Ok(expected), "at {before}");
        }
    }
}

#[test]
fn a_known_kind_with_a_wrong_length_says_nothing() {
    for wrong in [&[2, 3, 5][..], &[3, 2], &[3, 4, 7, 7], &[4, 3, 0], &[5, 2], &[5, 9, 0, 0, 0, 0, 0, 0, 0], &[8, 2]] {
        let area = [wrong, &[2, 4, 5, 0xB4]].concat();
        assert_eq!(parse(&area), Ok(TcpOptions { mss: Some(1460), ..Default::default() }), "{wrong:?}");
    }
}

#[test]
fn the_last_of_two_counts() {
    assert_eq!(parse(&[2, 4, 0, 1, 2, 4, 0, 2]).unwrap().mss, Some(2));
    let sack = parse(&[5, 10, 0, 0, 0, 1, 0, 0, 0, 2, 5, 10, 0, 0, 0, 3, 0, 0, 0, 4]).unwrap().sack;
    assert_eq!(sack.iter().collect::<Vec<_>>(), [(3, 4)]);
}

/// The options of Linux's SYN, in its order, for all settings of its switches.
#[test]
fn handshake_order_is_that_of_linux() {
    let timestamp = Some(Timestamp { value: 1, echo: 0 });
    let all =
        TcpOptions { mss: Some(1460), window_scale: Some(7), sack_permitted: true, timestamp, ..Default::default() };
    let ts = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
    let (mss, scale) = ([2, 4, 5, 0xB4], [1, 3, 3, 7]);
    assert_eq!(emitted(&all), [&mss[..], &[4, 2], &ts, &scale].concat());
    assert_eq!(emitted(&TcpOptions { sack_permitted: false, ..all }), [&mss[..], &[1, 1], &ts, &scale].concat());
    assert_eq!(emitted(&TcpOptions { timestamp: None, ..all }), [&mss[..], &[1, 1, 4, 2], &scale].concat());
    let bare = TcpOptions { mss: Some(1460), ..Default::default() };
    assert_eq!(emitted(&bare), mss);
    assert_eq!(emitted(&TcpOptions::default()), []);
}

#[test]
fn sack_blocks_as_many_as_fit() {
    let mut options = TcpOptions::default();
    for left in 0..SackBlocks::CAPACITY as u32 {
        assert_eq!(options.sack.len(), left as usize);
        assert!(options.sack.push(left, left + 10));
    }
    assert!(!options.sack.push(9, 9));
    assert_eq!(parse(&emitted(&options)).unwrap().sack.len(), 4);
    options.timestamp = Some(Timestamp { value: 7, echo: 8 });
    let octets = emitted(&options);
    assert_eq!(octets.len(), 40);
    assert_eq!(octets[..4], [1, 1, 8, 10]);
    assert_eq!(octets[12..16], [1, 1, 5, 26]);
    assert_eq!(parse(&octets).unwrap().sack.iter().collect::<Vec<_>>(), [(0, 10), (1, 11), (2, 12)]);
}

/// What a SYN of each system looks like.
#[test]
fn orders() {
    let with = |order, sack_permitted, window_scale, timestamp| {
        emitted(&TcpOptions { mss: Some(1_460), sack_permitted, window_scale, timestamp, order, ..Default::default() })
    };
    let mss = [2, 4, 5, 180];
    let stamp = Some(Timestamp { value: 1, echo: 0 });
    let stamped = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
    let linux = with(OptionOrder::Linux, true, Some(6), stamp);
    assert_eq!(linux, [&mss[..], &[4, 2], &stamped, &[1, 3, 3, 6]].concat());
    let bsd = with(OptionOrder::Bsd, true, Some(6), stamp);
    assert_eq!(bsd, [&mss[..], &[1, 3, 3, 6], &[4, 2], &stamped].concat());
    assert_eq!(with(OptionOrder::Linux, true, None, None), [&mss[..], &[1, 1, 4, 2]].concat());
    assert_eq!(with(OptionOrder::Bsd, true, None, None), [&mss[..], &[4, 2, 0, 0]].concat());
    assert_eq!(with(OptionOrder::Bsd, false, None, stamp), [&mss[..], &[1, 1], &stamped].concat());
    assert_eq!(with(OptionOrder::None, true, Some(6), stamp), []);
}

/// 7413-4.1.1: each length in either form, and what stands behind it.
#[test]
fn a_cookie_has_none_or_4_to_16_octets_and_an_even_number() {
    for len in 0..=30_u8 {
        let cookie: Vec<u8> = (1..=len).collect();
        let valid = (len == 0 || (4..=16).contains(&len)) && len % 2 == 0;
        let new = [&[34, 2 + len], &cookie[..], &[2, 4, 5, 0xB4]].concat();
        let old = [&[254, 4 + len, 0xF9, 0x89], &cookie[..], &[2, 4, 5, 0xB4]].concat();
        for (area, experimental) in [(new, false), (old, true)] {
            let options = parse(&area).unwrap();
            assert_eq!(options.mss, Some(1_460));
            let expected = valid.then(|| Cookie::new(&cookie).unwrap().in_experiment(experimental));
            assert_eq!(options.fast_open, expected, "{len}");
            if let Some(read) = options.fast_open {
                assert_eq!((read.octets(), read.is_request()), (&cookie[..], len == 0));
                let mut padded = area[..area.len() - 4].to_vec();
                padded.resize(padded.len().next_multiple_of(4), 1);
                assert_eq!(emitted(&options), [&[2, 4, 5, 0xB4], &padded[..]].concat());
            }
        }
    }
    assert_eq!(parse(&[254, 8, 0xF9, 0x88, 1, 2, 3, 4]).unwrap().fast_open, None, "another experiment");
    assert_eq!(parse(&[254, 3, 0xF9]).unwrap().fast_open, None);
}

/// 9768-3.2.3: behind the other options and before the SACK blocks, and not at all where there is no room.
#[test]
fn accurate_ecn_has_the_room_of_sack_blocks_but_not_of_other_options() {
    let counters = ByteCounters { ect_0: 1, ect_1: 1, ce: 0 };
    for (fields, padding) in [(0, &[1, 1][..]), (1, &[1, 1, 1]), (2, &[]), (3, &[1])] {
        let option = EcnOption::new(First::Ect0, fields, &counters);
        let mut options = TcpOptions { accurate_ecn: Some(option), ..Default::default() };
        let octets = emitted(&options);
        let value = [0, 0, 1, 0, 0, 0, 0, 0, 1];
        assert_eq!(octets, [&[172, 2 + 3 * fields as u8], &value[..3 * fields], padding].concat());
        assert_eq!(parse(&octets), Ok(options));
        options.timestamp = Some(Timestamp { value: 1, echo: 2 });
        for left in 0..4 {
            options.sack.push(left, left + 10);
        }
        let octets = emitted(&options);
        assert_eq!(octets[..4], [1, 1, 8, 10]);
        assert_eq!((octets[12], octets[12 + option.padded_len()..][..3].to_vec()), (172, vec![1, 1, 5]));
        assert_eq!(parse(&octets).unwrap().sack.len(), (28 - option.padded_len() - 4) / 8);
        // Eight octets are left.
        options.fast_open = Cookie::new(&[7; 16]).map(|cookie| cookie.in_experiment(true));
        let read = parse(&emitted(&options)).unwrap();
        assert_eq!((read.accurate_ecn, read.sack.len()), (options.accurate_ecn.filter(|_| fields < 3), 0));
    }
}

proptest! {
    /// 9293-MUST-68, 9293-MUST-69
    #[test]
    fn what_is_emitted_is_parsed(options in any_options()) {
        let octets = emitted(&options);
        prop_assert_eq!(octets.len(), emitted_len(&options));
        prop_assert!(octets.len() <= MAX_LEN && octets.len().is_multiple_of(4));
        let parsed = parse(&octets).unwrap();
        prop_assert!(parsed.sack.iter().eq(options.sack.iter().take(parsed.sack.len())));
        prop_assert_eq!(TcpOptions { sack: options.sack, ..parsed }, options);
        // FreeBSD's order says the same in as many octets, and its padding hides nothing.
        let bsd = emitted(&TcpOptions { order: OptionOrder::Bsd, ..options });
        prop_assert_eq!((bsd.len(), parse(&bsd)), (octets.len(), Ok(parsed)));
        let none = emitted(&TcpOptions { order: OptionOrder::None, ..options });
        prop_assert!(none.is_empty());
        // The lengths sum to the whole, and behind the end of a list, which Linux never writes, is nothing but zeros.
        for (octets, ends) in [(&octets, false), (&bsd, true)] {
            let mut rest = &octets[..];
            while let [kind, after @ ..] = rest {
                if *kind == 0 {
                    prop_assert!(ends && rest.len() < 4 && rest.iter().all(|&octet| octet == 0), "{octets:?}");
                    break;
                }
                rest = if *kind == 1 { after } else { &rest[usize::from(rest[1])..] };
            }
        }
    }

    /// 9293-MUST-7
    #[test]
    fn any_bytes_terminate(area in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&area);
    }
}
