//! How two conversations differ in what one end sent: segment by segment, aligned in sequence space, each difference with
//! the name of its kind.
//!
//! One conversation is the reference. Both are best taken at the end that is looked at, since "this was sent before that
//! arrived" is only known there. Times are no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use glasstcp::trace::segment::Side;
use glasstcp::wire::tcp::Flags;

use super::normal::{Conversation, Item, Segment};

/// Defines [`Kind`] with the name and the meaning of each.
macro_rules! kinds {
    ($($variant:ident $name:literal $meaning:literal,)*) => {
        /// What kind of difference it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $meaning] $variant,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)*
                }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Kind::$variant => $meaning,)*
                }
            }
        }
    };
}

kinds! {
    SynFlags "syn-flags" "The SYN has other flags.",
    SynMss "syn-mss" "The SYN has another MSS, or one of them has none.",
    SynWindowScale "syn-window-scale" "The SYN scales windows otherwise, or one of them does not.",
    SynSackPermitted "syn-sack-permitted" "Only one SYN permits SACK.",
    SynTimestamps "syn-timestamps" "Only one SYN has timestamps.",
    SynOptionOrder "syn-option-order" "The options of the SYN have another order or padding.",
    SynWindow "syn-window" "The SYN has another window.",
    SynCopies "syn-copies" "The SYN was sent more or less often.",
    Segmentation "segmentation" "The text is cut in other places.",
    TextEnd "text-end" "Not the same amount of text was sent.",
    Push "push" "PSH stands on other segments of text.",
    Flags "flags" "Other flags than PSH and FIN differ.",
    OptionLayout "option-layout" "Segments after the SYN have other options, SACK blocks not counted.",
    Release "release" "The same text was sent with more or less of what was before it acknowledged.",
    AckOnText "ack-on-text" "The same text acknowledges more or less.",
    Window "window" "The same text or the first ACK of the same number offers another window.",
    WindowShrinks "window-shrinks" "Only one of them moves the right edge of its window to the left.",
    RetransmissionMissing "retransmission-missing" "Text was not sent again that the reference did send again.",
    RetransmissionExtra "retransmission-extra" "Text was sent again that the reference did not send again.",
    RetransmissionCut "retransmission-cut" "Text that both sent again was cut in other places.",
    Probe "probe" "Probes of a window or of a silent peer differ in number or form.",
    AckPoints "ack-points" "Other numbers are acknowledged on the way to the same end.",
    AckCopies "ack-copies" "The same number is acknowledged more or less often.",
    WindowUpdates "window-updates" "The same number is acknowledged with a changed window more or less often.",
    AckEnd "ack-end" "The last acknowledgment is of another number.",
    SackPresence "sack-presence" "Only one of them reports what arrived out of order.",
    SackBlocks "sack-blocks" "What arrived out of order is reported otherwise.",
    FinPlace "fin-place" "The FIN stands on text here, and alone there.",
    FinOrder "fin-order" "Only one of them sent its FIN before that of the peer had come.",
    FinCopies "fin-copies" "The FIN was sent more or less often.",
    Reset "reset" "RSTs differ in number.",
    ResetForm "reset-form" "The first RST has other flags, or stands elsewhere.",
    Other "other" "Something else.",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: Kind,
    /// What the reference has there.
    pub reference: String,
    /// What the other one has.
    pub other: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} | {}", self.kind, self.reference, self.other)
    }
}

/// The options that a segment may carry at any time, in their order.
fn layout(segment: &Segment) -> String {
    let mut names: Vec<&str> = segment.options.iter().map(Item::name).collect();
    if let Some(at) = names.iter().position(|&name| name == "sack") {
        // With the padding before it.
        let start = names[..at].iter().rposition(|&name| name != "nop").map_or(0, |last| last + 1);
        names.drain(start..=at);
    }
    names.join(" ")
}

/// A piece of text when it was sent first.
struct Text<'a> {
    segment: &'a Segment,
    /// How much the peer had acknowledged.
    acknowledged: i64,
}

/// ACKs of one number, in their order.
#[derive(Default)]
struct Acks<'a> {
    segments: Vec<&'a Segment>,
}

/// What one end sent, taken apart.
#[derive(Default)]
struct Sent<'a> {
    syns: Vec<&'a Segment>,
    /// By sequence number.
    texts: BTreeMap<i64, Text<'a>>,
    /// Pieces of text that were sent again, by start and end, with how often.
    copies: BTreeMap<(i64, i64), u32>,
    text_end: i64,
    /// By form.
    probes: BTreeMap<String, u32>,
    acks: BTreeMap<i64, Acks<'a>>,
    /// The FINs, and whether the peer's had come before the first.
    fins: Vec<&'a Segment>,
    fin_first: bool,
    resets: Vec<&'a Segment>,
    last_ack: i64,
    shrinks: bool,
    /// A segment of no kind above.
    strange: Vec<&'a Segment>,
}

impl<'a> Sent<'a> {
    fn of(conversation: &'a Conversation, end: Side) -> Sent<'a> {
        let mut sent = Sent { text_end: 1, ..Sent::default() };
        // What the end knows of its peer when it sends, and the edge that it has offered.
        let (mut acknowledged, mut allowed, mut peer_fin, mut edge) = (0, 0, false, i64::MIN);
        for segment in &conversation.segments {
            let right = segment.ack.map(|ack| ack + segment.window as i64);
            if segment.from != end {
                acknowledged = acknowledged.max(segment.ack.unwrap_or(0));
                allowed = allowed.max(right.unwrap_or(0));
                peer_fin |= segment.has(Flags::FIN);
                continue;
            }
            if let (Some(right), false) = (right, segment.has(Flags::RST)) {
                // A window that is scaled cannot say every edge.
                let unit = conversation.unit[usize::from(end == Side::Server)] as i64;
                sent.shrinks |= edge != i64::MIN && right <= edge - unit && !segment.has(Flags::SYN);
                edge = edge.max(right);
                sent.last_ack = sent.last_ack.max(segment.ack.unwrap_or(0));
            }
            sent.segment(segment, acknowledged, allowed, peer_fin);
        }
        sent
    }

    fn segment(&mut self, segment: &'a Segment, acknowledged: i64, allowed: i64, peer_fin: bool) {
        let end = segment.seq + i64::from(segment.len);
        if segment.has(Flags::RST) {
            self.resets.push(segment);
        } else if segment.has(Flags::SYN) {
            self.syns.push(segment);
        } else if segment.len > 0 {
            let beyond = allowed > 0 && segment.seq >= allowed && segment.len == 1;
            if beyond || (segment.len == 1 && end <= acknowledged) {
                *self.probes.entry(format!("{} of text", segment.len)).or_default() += 1;
            } else if segment.seq >= self.text_end {
                self.texts.insert(segment.seq, Text { segment, acknowledged });
                self.text_end = end;
            } else {
                *self.copies.entry((segment.seq, end)).or_default() += 1;
                self.text_end = self.text_end.max(end);
            }
        } else if segment.is_pure_ack() {
            let behind = segment.seq < self.text_end && segment.seq + 1 >= acknowledged && self.fins.is_empty();
            if behind && segment.seq + 1 == self.text_end {
                *self.probes.entry("empty, one behind".to_owned()).or_default() += 1;
            } else {
                self.acks.entry(segment.ack.unwrap_or(0)).or_default().segments.push(segment);
            }
        } else if !segment.has(Flags::FIN) {
            self.strange.push(segment);
        }
        if segment.has(Flags::FIN) && !segment.has(Flags::RST) {
            self.fin_first = if self.fins.is_empty() { !peer_fin } else { self.fin_first };
            self.fins.push(segment);
        }
    }
}

/// What differs in what `end` sent.
pub fn compare(reference: &Conversation, other: &Conversation, end: Side) -> Vec<Difference> {
    let (left, right) = (Sent::of(reference, end), Sent::of(other, end));
    let mut found = Found::default();
    found.syns(&left, &right);
    found.texts(&left, &right);
    found.copies(&left, &right);
    found.acks(&left, &right);
    found.endings(&left, &right);
    found.differences
}

/// The kinds among these, each once.
pub fn kinds(differences: &[Difference]) -> BTreeSet<Kind> {
    differences.iter().map(|difference| difference.kind).collect()
}

#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
}

impl Found {
    fn add(&mut self, kind: Kind, reference: impl fmt::Display, other: impl fmt::Display) {
        self.differences.push(Difference { kind, reference: reference.to_string(), other: other.to_string() });
    }

    fn check<T: PartialEq + fmt::Debug>(&mut self, kind: Kind, reference: T, other: T) {
        if reference != other {
            self.add(kind, format!("{reference:?}"), format!("{other:?}"));
        }
    }

    fn syns(&mut self, left: &Sent<'_>, right: &Sent<'_>) {
        self.check(Kind::SynCopies, left.syns.len(), right.syns.len());
        let (Some(left), Some(right)) = (left.syns.first(), right.syns.first()) else { return };
        if left.flags != right.flags {
            self.add(Kind::SynFlags, left, right);
        }
        self.check(Kind::SynWindow, left.window, right.window);
        let value = |segment: &Segment, name: &str| segment.options.iter().find(|item| item.name() == name).cloned();
        let mut same_options = true;
        for (name, kind) in [
            ("mss", Kind::SynMss),
            ("ws", Kind::SynWindowScale),
            ("sack-ok", Kind::SynSackPermitted),
            ("ts", Kind::SynTimestamps),
            ("other", Kind::Other),
            ("broken", Kind::Other),
        ] {
            let (left, right) = (value(left, name), value(right, name));
            same_options &= left.is_some() == right.is_some();
            self.check(kind, left, right);
        }
        if same_options {
            self.check(Kind::SynOptionOrder, left.layout(), right.layout());
        }
    }

    fn texts(&mut self, left: &Sent<'_>, right: &Sent<'_>) {
        self.check(Kind::TextEnd, left.text_end, right.text_end);
        let starts: BTreeSet<i64> = left.texts.keys().chain(right.texts.keys()).copied().collect();
        for start in starts {
            match (left.texts.get(&start), right.texts.get(&start)) {
                (Some(left), Some(right)) => self.text(left, right),
                (Some(left), None) => self.add(Kind::Segmentation, left.segment, "-"),
                (None, Some(right)) => self.add(Kind::Segmentation, "-", right.segment),
                (None, None) => {}
            }
        }
    }

    fn text(&mut self, left: &Text<'_>, right: &Text<'_>) {
        let (a, b) = (left.segment, right.segment);
        let fin = [a, b].map(|segment| segment.has(Flags::FIN));
        if a.len != b.len {
            self.add(Kind::Segmentation, a, b);
        } else if fin[0] != fin[1] {
            self.add(Kind::FinPlace, a, b);
        }
        if a.len == b.len && a.has(Flags::PSH) != b.has(Flags::PSH) {
            self.add(Kind::Push, a, b);
        }
        self.common(a, b);
        if left.acknowledged != right.acknowledged {
            self.add(Kind::Release, left.acknowledged, right.acknowledged);
        }
        self.check(Kind::AckOnText, a.ack, b.ack);
        if a.ack == b.ack && a.window != b.window {
            self.add(Kind::Window, a, b);
        }
    }

    /// What is compared of all segments that stand in the same place.
    fn common(&mut self, left: &Segment, right: &Segment) {
        let rest = |segment: &Segment| segment.flags.without(Flags::PSH | Flags::FIN);
        if rest(left) != rest(right) {
            self.add(Kind::Flags, left, right);
        }
        self.check(Kind::OptionLayout, layout(left), layout(right));
    }

    fn copies(&mut self, left: &Sent<'_>, right: &Sent<'_>) {
        for (one, two, kind) in [(left, right, Kind::RetransmissionMissing), (right, left, Kind::RetransmissionExtra)] {
            for (&(start, end), &times) in &one.copies {
                let there = two.copies.get(&(start, end)).copied().unwrap_or(0);
                if there >= times {
                    continue;
                }
                let overlaps = there == 0 && two.copies.keys().any(|&(from, to)| from < end && start < to);
                let kind = if overlaps { Kind::RetransmissionCut } else { kind };
                let text = [format!("{start}..{end} {times} times"), format!("{there} times")];
                let [here, there] = &text;
                if std::ptr::eq(one, left) { self.add(kind, here, there) } else { self.add(kind, there, here) }
            }
        }
        self.check(Kind::Probe, &left.probes, &right.probes);
    }

    fn acks(&mut self, left: &Sent<'_>, right: &Sent<'_>) {
        self.check(Kind::AckEnd, left.last_ack, right.last_ack);
        self.check(Kind::WindowShrinks, left.shrinks, right.shrinks);
        let numbers: BTreeSet<i64> = left.acks.keys().chain(right.acks.keys()).copied().collect();
        for number in numbers {
            let (a, b) = (left.acks.get(&number), right.acks.get(&number));
            let (Some(a), Some(b)) = (a, b) else {
                let shown = |acks: Option<&Acks<'_>>| acks.map_or("-".to_owned(), |acks| acks.segments[0].to_string());
                self.add(Kind::AckPoints, shown(a), shown(b));
                continue;
            };
            let (first, second) = (a.segments[0], b.segments[0]);
            self.common(first, second);
            if first.window != second.window {
                self.add(Kind::Window, first, second);
            }
            let updates =
                |acks: &Acks<'_>| acks.segments.windows(2).filter(|two| two[0].window != two[1].window).count();
            let updates = [updates(a), updates(b)];
            self.check(Kind::WindowUpdates, updates[0], updates[1]);
            self.check(Kind::AckCopies, a.segments.len() - updates[0], b.segments.len() - updates[1]);
            let blocks = |acks: &Acks<'_>| -> Vec<Vec<(i64, i64)>> {
                acks.segments
                    .iter()
                    .map(|segment| segment.sack().to_vec())
                    .filter(|blocks| !blocks.is_empty())
                    .collect()
            };
            let (a, b) = (blocks(a), blocks(b));
            if a.is_empty() != b.is_empty() {
                self.add(Kind::SackPresence, format!("{a:?}"), format!("{b:?}"));
            } else {
                self.check(Kind::SackBlocks, a, b);
            }
        }
    }

    fn endings(&mut self, left: &Sent<'_>, right: &Sent<'_>) {
        self.check(Kind::FinCopies, left.fins.len(), right.fins.len());
        if let (Some(a), Some(b)) = (left.fins.first(), right.fins.first()) {
            self.check(Kind::FinOrder, left.fin_first, right.fin_first);
            if (a.len == 0) != (b.len == 0) && left.text_end == right.text_end {
                self.add(Kind::FinPlace, a, b);
            } else if a.len == 0 && b.len == 0 {
                self.check(Kind::AckOnText, a.ack, b.ack);
                self.check(Kind::Push, a.has(Flags::PSH), b.has(Flags::PSH));
                self.common(a, b);
                if a.ack == b.ack && a.window != b.window {
                    self.add(Kind::Window, a, b);
                }
            }
        }
        self.check(Kind::Reset, left.resets.len(), right.resets.len());
        if let (Some(a), Some(b)) = (left.resets.first(), right.resets.first())
            && (a.flags != b.flags || a.seq != b.seq || a.len != b.len)
        {
            self.add(Kind::ResetForm, a, b);
        }
        for segment in &left.strange {
            self.add(Kind::Other, segment, "-");
        }
        for segment in &right.strange {
            self.add(Kind::Other, "-", segment);
        }
    }
}
