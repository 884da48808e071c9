//! What path MTU discovery means to a connection: how large its segments may be, and what becomes of those that were too large.
//!
//! ```text
//!   an error of a router     ── about what is in flight ──> lower at once, or once the timer has sent it again
//!   another connection or socket to the same host learned ──> lower from the next segment on
//!   the timer expires again and again for full segments   ──> small segments, and a search upwards
//!   a probe                  ── arrives: raise    ── is lost alone: no sign of congestion
//! ```
//!
//! SND.MSS is a stored number that only these events change. Of a connection whose path is as wide as its link nothing is
//! kept and nothing is asked.

use super::connection::{Connection, Context};
use super::due::Due;
use super::habits::MtuSearch;
use super::mtu_search::Search;
use super::option::{DEFAULT_MSS_V6, MIN_MSS};
use super::recovery::new_reno::{NewReno, Phase};
use super::sequence::SeqNumber;
use crate::counters::DropReason;
use crate::time::Instant;

/// Timeouts in a row, for full segments, after which the path counts as a black hole. It is what Linux calls the first
/// threshold (`tcp_retries1`) and RFC 9293 R1.
// 4821-7.7
const BLACK_HOLE: u8 = 3;

/// Full segments behind a probe that must be there to be sent, so that its loss shows by their arrival, and one more.
// 4821-7.4
const BEHIND_PROBE: u32 = 4;

/// What is kept of a path that is narrower than its ends, or that is said to be.
#[derive(Debug)]
pub struct Path {
    /// The most that SND.MSS may be: what the peer takes and our link carries.
    pub limit: u16,
    /// Whether larger segments pass.
    pub search: Option<Search>,
    /// The probe that is under way.
    probe: Option<(SeqNumber, SeqNumber)>,
    /// A router says of this segment that it was too large, and that this MSS would fit; but segments that were larger have
    /// arrived before.
    claim: Option<(SeqNumber, u16)>,
    /// What SND.UNA was at the last timeout, and the timeouts since it has moved.
    stuck: (SeqNumber, u8),
}

impl Connection {
    /// Octets of the IP and TCP headers without options.
    fn fixed_headers(&self) -> u32 {
        if self.tuple.remote_addr.is_ipv6() { 60 } else { 40 }
    }

    /// The largest packet that is sent, in octets.
    pub fn path_mtu(&self) -> u32 {
        u32::from(self.snd.mss) + self.fixed_headers()
    }

    /// A new connection on a path of which something is known: until then nothing larger is tried.
    pub(crate) fn begin_on_path(&mut self, mtu: u32, until: Instant) {
        let mss = self.mss_for(mtu);
        if mss < self.snd.mss {
            self.narrow_path().search = Some(Search::settled(mss, until));
            self.snd.mss = mss;
        }
    }

    /// A new connection that tries larger segments from the start.
    pub(crate) fn search_path(&mut self, base: u16, now: Instant) {
        let path = self.narrow_path();
        path.search = Some(Search::halving(base.min(path.limit), path.limit, now));
    }

    /// What is kept of the path, from now on if nothing was: then SND.MSS is still what peer and link allow.
    fn narrow_path(&mut self) -> &mut Path {
        let (limit, stuck) = (self.snd.mss, (self.snd.una, 0));
        self.path.get_or_insert_with(|| Box::new(Path { limit, search: None, probe: None, claim: None, stuck }))
    }

    /// Octets of options in each segment.
    fn option_octets(&self) -> u16 {
        self.snd.mss - u16::try_from(self.segment_payload()).unwrap_or(self.snd.mss)
    }

    fn mss_for(&self, mtu: u32) -> u16 {
        u16::try_from(mtu.saturating_sub(self.fixed_headers())).unwrap_or(u16::MAX).max(MIN_MSS)
    }

    /// A router says that the segment at `seq` was larger than the `mtu` octets that the next hop takes.
    ///
    /// # Errors
    /// The error cannot be about what is in flight, or says nothing of use.
    // 5927-4.1, 8201-4-1: only about what is in flight.
    pub(crate) fn packet_too_big(&mut self, seq: SeqNumber, mtu: u32, cx: &mut Context<'_>) -> Result<(), DropReason> {
        if seq.lt(self.snd.una) || seq.ge(self.snd.nxt) {
            return Err(DropReason::IcmpUnmatched);
        }
        let options = u32::from(self.option_octets());
        let text = self.transfer.as_ref().and_then(|transfer| transfer.sent.segment_at(seq)).unwrap_or(0);
        // 5927-7.2: that segment would have passed.
        if mtu >= self.fixed_headers() + options + text {
            return Err(DropReason::IcmpTooBigRefused);
        }
        let mss = self.mss_for(mtu);
        if self.is_probe(seq) && mss >= self.snd.mss {
            self.probe_refused(mss, cx);
        } else if mss >= self.snd.mss {
            // Another one has told already what the path takes. Of a burst the first one looks through all that is in flight.
            let known = self.transfer.as_deref().is_some_and(|transfer| transfer.sent.lost().covers(seq, seq + 1));
            if !known {
                self.resegment();
            }
        } else if mss >= self.snd.mss_acked {
            // 5927-7.2, 8201-4-3: nothing larger has ever arrived.
            self.lower_path(mss, cx);
        } else {
            // 5927-7.2: larger ones have arrived; the timer will tell whether they still do.
            let una = self.snd.una;
            let path = self.narrow_path();
            let live = path.claim.filter(|claim| claim.0.ge(una));
            path.claim = Some(live.filter(|claim| claim.1 >= mss).unwrap_or((seq, mss)));
        }
        Ok(())
    }

    /// The path takes segments of `mss` and no larger ones: what was larger is sent again at once.
    // 1191-3-1, 1191-6.4
    fn lower_path(&mut self, mss: u16, cx: &mut Context<'_>) {
        let mtu = u32::from(mss) + self.fixed_headers();
        cx.paths.lower(self.tuple.remote_addr, mtu, cx.now);
        self.settle_on(mss, cx);
        self.resegment();
    }

    /// Nothing larger than `mss` is sent from now on, nor tried for some time.
    fn settle_on(&mut self, mss: u16, cx: &mut Context<'_>) {
        self.snd.path_changes = cx.paths.changes() as u8;
        let until = cx.now + cx.paths.settings().lifetime;
        let path = self.narrow_path();
        *path = Path { search: Some(Search::settled(mss, until)), probe: None, claim: None, ..*path };
        self.change_mss(mss);
        cx.counters.path_mtu_lowered += 1;
        tracing::debug!(target: "glasstcp::path_mtu", connection = %self.tuple, mss, "the path is narrower");
    }

    fn change_mss(&mut self, mss: u16) {
        let before = self.segment_payload();
        self.snd.mss = mss;
        self.snd.mss_acked = self.snd.mss_acked.min(mss);
        // 5681-3.1-4
        let payload = self.segment_payload();
        self.congestion.get_mut().segment_size_changed(before, payload);
    }

    /// Takes what was sent too large for lost, which is no sign of congestion.
    // 8201-5.4
    fn resegment(&mut self) {
        let payload = self.segment_payload();
        let Some(transfer) = self.transfer.as_mut() else { return };
        if transfer.sent.mark_larger(payload) > 0 {
            self.due.add(Due::RETRANSMISSION);
        }
    }

    /// Some path has become narrower since this connection last looked: was it this one?
    // 8201-5.2: whoever found out. What is in flight is sent again when an error tells of it, or nothing does.
    #[cold]
    pub(crate) fn notice_path(&mut self, cx: &mut Context<'_>) {
        self.snd.path_changes = cx.paths.changes() as u8;
        let known = cx.paths.get(self.tuple.remote_addr, cx.now);
        if let Some(mss) = known.map(|(mtu, _)| self.mss_for(mtu)).filter(|&mss| mss < self.snd.mss) {
            self.settle_on(mss, cx);
        }
    }

    /// What has arrived is not too large, whatever a router says: how large it was, as long as it was not the most that is sent.
    ///
    /// To be asked before the records of what `ack` acknowledges are gone.
    // 5927-7.2: maxsizeacked.
    pub(super) fn note_arrived_size(&mut self, ack: SeqNumber) {
        let Some(sent) = self.transfer.as_ref().map(|transfer| &transfer.sent) else { return };
        let Some(first) = sent.first() else { return };
        let most = first.len.min(u32::from(first.segment)) + u32::from(self.option_octets());
        if most <= u32::from(self.snd.mss_acked) {
            return;
        }
        let text = sent.segment_at(first.seq).unwrap_or(0);
        // Karn's rule: of what was sent twice, perhaps in two sizes, nobody knows which one arrived.
        if !first.is_retransmission() && ack.since(first.seq) >= text {
            let size = u16::try_from(text).unwrap_or(u16::MAX).saturating_add(self.option_octets());
            self.snd.mss_acked = self.snd.mss_acked.max(size.min(self.snd.mss));
        }
    }

    /// The retransmission timer has expired.
    pub(super) fn path_timed_out(&mut self, cx: &mut Context<'_>) {
        let (una, now, pause, options) = (self.snd.una, cx.now, cx.paths.settings().lifetime, self.option_octets());
        if let Some(path) = self.path.as_deref_mut() {
            let (claim, probe) = (path.claim.take(), path.probe.take());
            if let (Some(search), Some((seq, end))) = (path.search.as_mut(), probe) {
                if seq == una { search.lost(options + end.since(seq) as u16, now, pause) } else { search.in_vain(now) }
            }
            // 5927-7.2: it was true. What arrived before says nothing of the path as it is now.
            if let Some((_, mss)) = claim.filter(|claim| claim.0.ge(una) && claim.1 < self.snd.mss) {
                self.snd.mss_acked = 0;
                self.lower_path(mss, cx);
                return;
            }
        }
        let stuck = &mut self.narrow_path().stuck;
        *stuck = (una, if stuck.0 == una { stuck.1.saturating_add(1) } else { 1 });
        if stuck.1.is_multiple_of(BLACK_HOLE) && cx.config.habits.mtu_search != MtuSearch::Never {
            self.leave_black_hole(cx);
        }
    }

    /// Full segments seem to vanish, and nobody says why.
    // 4821-7.7
    fn leave_black_hole(&mut self, cx: &mut Context<'_>) {
        let ipv6 = self.tuple.remote_addr.is_ipv6();
        let floor = self.mss_for(cx.paths.settings().floor(ipv6));
        // IPv6 passes 1,280 octets anywhere.
        let base = if ipv6 { DEFAULT_MSS_V6 } else { cx.config.habits.base_mss.max(floor) };
        let mss = if self.snd.mss > base { base } else { floor };
        let options = self.option_octets();
        let sent = self.transfer.as_ref().and_then(|transfer| transfer.sent.segment_at(self.snd.una));
        let larger = sent.is_some_and(|text| text > u32::from(mss.saturating_sub(options)));
        if mss >= self.snd.mss || !larger || self.snd.wnd == 0 {
            return;
        }
        let high = self
            .path
            .as_deref()
            .and_then(|path| path.search)
            .map_or(self.snd.mss, |search| search.high().max(self.snd.mss));
        self.narrow_path().search = Some(Search::between(mss, high, cx.now));
        self.snd.mss_acked = 0;
        self.change_mss(mss);
        self.resegment();
        cx.counters.path_mtu_black_holes += 1;
        tracing::debug!(target: "glasstcp::path_mtu", connection = %self.tuple, mss, "a black hole for large segments");
    }
}

/// Probes with larger segments.
impl Connection {
    /// Octets of text in a probe that may leave now.
    // 4821-7.4: with enough behind it, and nothing that looks lost.
    pub(super) fn mtu_probe(&self, now: Instant) -> Option<u32> {
        let path = self.path.as_deref().filter(|path| path.probe.is_none())?;
        // 8201-5.4: whatever the path takes, no more than the peer does.
        let size = path.search?.candidate(path.limit, now).filter(|&size| size > self.snd.mss)?;
        let mss = self.segment_payload();
        let octets = u32::from(size - self.option_octets());
        let behind = octets + BEHIND_PROBE * mss;
        let clear = self.recovery.phase == Phase::Open
            && self.recovery.inflation() == 0
            && self.probe.is_none()
            && self.transfer.as_deref().is_none_or(|transfer| transfer.sent.is_plain());
        let room = self.unsent() >= behind
            && self.usable_window() >= behind
            && self.congestion.get().window() >= behind
            && self.usable_congestion_window() >= octets;
        let whole = self.record_rest(self.snd.nxt).is_none_or(|rest| rest >= octets);
        (clear && room && whole && self.snd.syn_acknowledged && self.snd.up.is_none()).then_some(octets)
    }

    /// A probe has left, up to SND.NXT.
    pub(super) fn mtu_probe_sent(&mut self, seq: SeqNumber, cx: &mut Context<'_>) {
        let end = self.snd.nxt;
        if let Some(path) = self.path.as_deref_mut() {
            path.probe = Some((seq, end));
            if let Some(search) = path.search.as_mut() {
                search.begin(path.limit);
            }
        }
        cx.counters.path_mtu_probes += 1;
    }

    fn is_probe(&self, seq: SeqNumber) -> bool {
        let probe = self.path.as_deref().and_then(|path| path.probe);
        probe.is_some_and(|(left, right)| left.le(seq) && seq.lt(right))
    }

    /// Something is sent again: an ACK of the probe would not tell any more which copy arrived.
    #[cold]
    pub(super) fn mtu_probe_resent(&mut self, seq: SeqNumber, end: SeqNumber, now: Instant) {
        let Some(path) = self.path.as_deref_mut() else { return };
        if path.probe.is_some_and(|(left, right)| seq.lt(right) && left.lt(end)) {
            path.probe = None;
            if let Some(search) = path.search.as_mut() {
                search.in_vain(now);
            }
        }
    }

    /// After an ACK: has the probe arrived?
    pub(super) fn mtu_probe_acknowledged(&mut self, cx: &mut Context<'_>) {
        let una = self.snd.una;
        let over = |path: &Path| path.search.is_none() && path.claim.is_none_or(|claim| claim.0.lt(una));
        if self.path.as_deref().is_some_and(|path| over(path) && path.stuck.0 != una) {
            // There were timeouts, or a claim, and nothing came of it.
            self.path = None;
        }
        let Some((seq, end)) = self.path.as_deref().and_then(|path| path.probe) else { return };
        let reported = || self.transfer.as_deref().is_some_and(|transfer| transfer.sent.sacked().covers(seq, end));
        if end.le(una) || (una.le(seq) && reported()) {
            self.probe_arrived(end.since(seq), cx);
        }
    }

    fn probe_arrived(&mut self, octets: u32, cx: &mut Context<'_>) {
        let (before, size) = (self.segment_payload(), self.option_octets() + octets as u16);
        let Some(path) = self.path.as_deref_mut() else { return };
        path.probe = None;
        if let Some(search) = path.search.as_mut() {
            search.passed(size, cx.now, cx.paths.settings().lifetime);
        }
        self.snd.mss = self.snd.mss.max(size);
        self.snd.mss_acked = self.snd.mss_acked.max(size);
        let payload = self.segment_payload();
        self.congestion.get_mut().segment_size_changed(before, payload);
        let link = self.path.as_deref().map_or(0, |path| u32::from(path.limit)) + self.fixed_headers();
        cx.paths.raise(self.tuple.remote_addr, self.path_mtu(), link);
        tracing::debug!(target: "glasstcp::path_mtu", connection = %self.tuple, mss = self.snd.mss, "a probe has arrived");
        self.search_went_on(cx);
    }

    /// What a search has found is for others too, and one that has found everything is over.
    fn search_went_on(&mut self, cx: &mut Context<'_>) {
        if self.path.as_deref().is_some_and(|path| self.snd.mss >= path.limit) {
            self.path = None;
        } else if self.path.as_deref().and_then(|path| path.search).is_some_and(|search| search.is_settled()) {
            cx.paths.lower(self.tuple.remote_addr, self.path_mtu(), cx.now);
            self.snd.path_changes = cx.paths.changes() as u8;
        }
    }

    /// Losses were found. True if it is the probe that is lost and nothing else: that is no sign of congestion.
    // 4821-4, 8201-5.4
    #[cold]
    pub(super) fn mtu_probe_lost(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((seq, end)) = self.path.as_deref().and_then(|path| path.probe) else { return false };
        let sent = self.transfer.as_deref().map(|transfer| &transfer.sent);
        let alone = self.recovery.phase == Phase::Open && sent.is_some_and(|sent| sent.is_lost_alone(seq, end));
        if alone {
            self.give_probe_up(seq, end, cx);
        }
        alone
    }

    /// The same without SACK: duplicate ACKs ask for the probe, and have begun a recovery.
    pub(super) fn mtu_probe_asked_for(&mut self, cx: &mut Context<'_>) -> bool {
        let probe = self.path.as_deref().and_then(|path| path.probe);
        let Some((seq, end)) = probe.filter(|probe| probe.0 == self.snd.una) else { return false };
        // 6582-3.2-1: more of them for what is in flight begin no other one.
        self.recovery = NewReno::new(self.snd.nxt - 1);
        self.give_probe_up(seq, end, cx);
        true
    }

    fn give_probe_up(&mut self, seq: SeqNumber, end: SeqNumber, cx: &mut Context<'_>) {
        let size = self.option_octets() + end.since(seq) as u16;
        self.send_probe_again(seq, end);
        if let Some(search) = self.path.as_deref_mut().and_then(|path| path.search.as_mut()) {
            search.lost(size, cx.now, cx.paths.settings().lifetime);
        }
        cx.counters.path_mtu_probes_lost += 1;
        tracing::debug!(target: "glasstcp::path_mtu", connection = %self.tuple, size, "a probe is lost");
        self.search_went_on(cx);
    }

    /// A router says how much of the probe would have passed.
    fn probe_refused(&mut self, mss: u16, cx: &mut Context<'_>) {
        let Some((seq, end)) = self.path.as_deref().and_then(|path| path.probe) else { return };
        self.send_probe_again(seq, end);
        if let Some(search) = self.path.as_deref_mut().and_then(|path| path.search.as_mut()) {
            search.told(mss, cx.now, cx.paths.settings().lifetime);
        }
        self.search_went_on(cx);
    }

    /// The text of the probe leaves in segments that pass.
    fn send_probe_again(&mut self, seq: SeqNumber, end: SeqNumber) {
        if let Some(path) = self.path.as_deref_mut() {
            path.probe = None;
        }
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.sent.mark_lost(seq, end);
            transfer.sent.take_lost_parts().for_each(drop);
            self.due.add(Due::RETRANSMISSION);
        }
    }
}
