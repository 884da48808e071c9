//! Where an end departs from Fast Open (RFC 7413), or goes to its limits.

use super::Finding;
use super::fault::Fault;
use super::judge::{Judge, fault, note};
use super::replay::Replay;
use crate::tcp::state::State;
use crate::trace::segment::Seg;
use crate::wire::tcp::Flags;

impl Judge<'_> {
    /// The end sends a segment; the connection is as it was before that.
    pub(super) fn fast_open(&self, seg: &Seg, replay: &Replay<'_>, findings: &mut Vec<Finding>) {
        let cookies = seg.options.cookies();
        if cookies.contains(&None) {
            findings.push(fault(Fault::CookieMalformed, "the receiver ignores it".to_owned()));
        }
        match (seg.has(Flags::SYN), seg.has(Flags::ACK)) {
            (false, _) => {
                if !cookies.is_empty() {
                    findings.push(fault(Fault::LateCookie, "the receiver ignores it".to_owned()));
                }
                self.early_text(seg, replay, findings);
            }
            (true, false) => self.sends_syn(seg, findings),
            (true, true) => {
                let tells = cookies.iter().flatten().any(|cookie| !cookie.is_request());
                if tells && !self.cookie_asked {
                    findings.push(fault(Fault::CookieUnasked, "the client has no use for it".to_owned()));
                }
                self.takes_text(seg, findings);
            }
        }
    }

    fn sends_syn(&self, seg: &Seg, findings: &mut Vec<Finding>) {
        let cookies = seg.options.cookies();
        let known = cookies.iter().flatten().any(|cookie| !cookie.is_request());
        if self.syn_ns.is_some() && seg.at == 0 && (!cookies.is_empty() || seg.text > 0) {
            findings.push(fault(Fault::FastOpenAgain, "a plain SYN would get through".to_owned()));
        } else if seg.text > 0 && !known {
            findings.push(note(format!(
                "{} octets in a SYN without a cookie: only a server that asks for none takes them before the handshake is over",
                seg.text
            )));
        }
    }

    /// A SYN,ACK acknowledges text of the SYN.
    fn takes_text(&self, seg: &Seg, findings: &mut Vec<Finding>) {
        let Some(syn) = self.connection.syn(self.side.other()).filter(|syn| syn.text > 0 && seg.ack_at > 1) else {
            return;
        };
        if !syn.options.cookies().iter().flatten().any(|cookie| !cookie.is_request()) && self.syn_ns.is_none() {
            findings.push(note(
                "the text of a SYN without a cookie is taken: only for services that are immune to forged requests \
                 (RFC 7413 section 7.3)"
                    .to_owned(),
            ));
        }
    }

    /// Text before the handshake is over.
    fn early_text(&self, seg: &Seg, replay: &Replay<'_>, findings: &mut Vec<Finding>) {
        let Some(tcb) = replay.tcb().filter(|tcb| tcb.state() == State::SynReceived) else { return };
        let by_fast_open = self.cookie_asked || tcb.agreed.syn_text;
        if seg.text > 0 && self.near && tcb.opens_early() && !by_fast_open {
            findings.push(fault(Fault::EarlyText, format!("{} octets", seg.text)));
        }
    }
}
