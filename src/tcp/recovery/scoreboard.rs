//! Reading the SACK blocks of an ACK (RFC 2018 section 5, RFC 2883 section 4). What they say is kept by
//! [`super::sent::SentRecords`].

use super::ranges::Range;
use crate::tcp::sequence::SeqNumber;
use crate::wire::option::SackBlocks;

/// What the blocks of one ACK say, as far as it can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What has arrived twice.
    pub duplicate: Option<Range>,
    blocks: [Range; SackBlocks::CAPACITY],
    len: usize,
}

impl Report {
    /// The blocks that lie in what is in flight, by their left edges.
    pub fn blocks(&self) -> &[Range] {
        &self.blocks[..self.len]
    }
}

/// Reads the blocks of a segment that acknowledges `ack`, while `una..nxt` is in flight.
///
/// Nonsense is left out: what ends before it begins, was never sent, or holds the very octet that is acknowledged as the
/// next one to come.
// 2018-3
pub fn read(sack: &SackBlocks, ack: SeqNumber, una: SeqNumber, nxt: SeqNumber) -> Report {
    let mut report = Report::default();
    let mut edges = sack.iter().map(|(left, right)| (SeqNumber(left), SeqNumber(right)));
    let second = sack.iter().nth(1).map(|(left, right)| (SeqNumber(left), SeqNumber(right)));
    if let Some(first) = sack.iter().next().map(|(left, right)| (SeqNumber(left), SeqNumber(right))) {
        // 2883-5: against the ACK of the same packet, not SND.UNA, which may have moved on; or inside of the next block.
        let inside = second.is_some_and(|second| second.0.le(first.0) && first.1.le(second.1));
        if first.0.lt(first.1) && first.1.le(nxt) && (first.1.le(ack) || inside) {
            report.duplicate = Some(first);
            edges.next();
        }
    }
    for (left, right) in edges {
        // Of an ACK that was overtaken, what is acknowledged since is no news.
        if left.lt(right) && left.gt(ack.max(una)) && right.le(nxt) {
            report.blocks[report.len] = (left, right);
            report.len += 1;
        }
    }
    report.blocks[..report.len].sort_unstable_by_key(|block| block.0.since(una));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2883-5, 2018-3: what is a duplicate report, what is news, and what is nonsense. Numbers count from `base`; `una` is 100,
    /// `nxt` is 200.
    #[test]
    fn the_blocks_of_one_ack() {
        type Case = (&'static str, i64, &'static [(i64, i64)], Option<(i64, i64)>, &'static [(i64, i64)]);
        let cases: [Case; 14] = [
            ("nothing", 100, &[], None, &[]),
            ("news", 100, &[(110, 120)], None, &[(110, 120)]),
            ("sorted", 100, &[(150, 160), (110, 120), (130, 140)], None, &[(110, 120), (130, 140), (150, 160)]),
            ("below the ACK", 100, &[(90, 100)], Some((90, 100)), &[]),
            ("below the ACK, and news", 100, &[(90, 100), (110, 120)], Some((90, 100)), &[(110, 120)]),
            ("inside the second", 100, &[(120, 130), (110, 140)], Some((120, 130)), &[(110, 140)]),
            ("an old ACK, its duplicate", 50, &[(40, 50), (60, 110)], Some((40, 50)), &[]),
            ("an old ACK, all past, and news", 50, &[(60, 90), (110, 120)], None, &[(110, 120)]),
            ("reversed", 100, &[(120, 110)], None, &[]),
            ("empty", 100, &[(110, 110)], None, &[]),
            ("beyond what was sent", 100, &[(190, 201)], None, &[]),
            ("from the next octet on", 100, &[(100, 110)], None, &[]),
            ("across the ACK", 100, &[(95, 110)], None, &[]),
            ("only the first can be a duplicate", 100, &[(110, 120), (90, 95)], None, &[(110, 120)]),
        ];
        for base in [0, u32::MAX - 150, (1 << 31) - 150, u32::MAX] {
            let at = |offset: i64| SeqNumber(base.wrapping_add(offset as u32));
            for (name, ack, blocks, duplicate, news) in cases {
                let mut sack = SackBlocks::default();
                for &(left, right) in blocks {
                    sack.push(at(left).0, at(right).0);
                }
                let report = read(&sack, at(ack), at(100), at(200));
                assert_eq!(report.duplicate, duplicate.map(|(left, right)| (at(left), at(right))), "{name}");
                let news: Vec<Range> = news.iter().map(|&(left, right)| (at(left), at(right))).collect();
                assert_eq!(report.blocks(), news, "{name}");
            }
        }
    }
}
