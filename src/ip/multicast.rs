//! Which groups this host is in, and what it owes to the multicast routers of the link: the host's part of IGMPv3 (RFC 3376)
//! and MLDv2 (RFC 3810), for members that want all sources.
//!
//! Both protocols are the same machine over other bytes (`wire/igmp.rs`, `wire/mld.rs`): it is told of joins, leaves and
//! queries, and says which reports are due. Where a router of an older version asks, reports have its form (IGMPv2, IGMPv1,
//! MLDv1).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::rng::KeyedRng;
use crate::time::Instant;

/// Groups of one stack at most.
pub const MAX_GROUPS: usize = 256;

/// Sources that are remembered of a query about some of them; with more it is answered like one about the whole group.
// RFC 3376 section 5.2 leaves this to the host.
pub const MAX_SOURCES: usize = 64;

/// How often a change is told, as each report may be lost (RFC 3376 section 8.1, RFC 3810 section 9.1).
const ROBUSTNESS: u8 = 2;

/// Within which time a change is told again (RFC 3376 section 8.11, RFC 3810 section 9.11).
const UNSOLICITED_INTERVAL: Duration = Duration::from_secs(1);

/// The same in the older versions (RFC 2236 section 8.10, RFC 2710 section 7.10).
const OLD_UNSOLICITED_INTERVAL: Duration = Duration::from_secs(10);

/// How long an older router is taken to be there: twice its query interval and one response (RFC 3376 section 8.12, RFC
/// 3810 section 9.12).
const OLDER_QUERIER_PRESENT: Duration = Duration::from_secs(2 * 125 + 10);

/// Queries that want an answer sooner get it within this time, and not sooner than this after the answer before, so that a
/// flood of them is answered by few reports.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);

/// 224.0.0.1, of which every IPv4 host is a member (RFC 1112).
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// ff02::1, of which every IPv6 node is a member (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Versions of the protocols, by the numbers of IGMP: MLDv1 is version 2, MLDv2 is version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// IGMPv1 (RFC 1112).
    V1,
    /// IGMPv2 (RFC 2236), MLDv1 (RFC 2710).
    V2,
    /// IGMPv3, MLDv2.
    V3,
}

/// What a router asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// In which form.
    pub version: Version,
    /// About which group; `None`: all.
    pub group: Option<IpAddr>,
    /// About which of its sources; none: the whole group.
    pub sources: Vec<IpAddr>,
    /// Within which time it is to be answered.
    pub max_response: Duration,
}

/// What a record of a report says (RFC 3376 section 4.2.12, RFC 3810 section 5.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// These sources are wanted: the answer to a question about some.
    IsInclude = 1,
    /// All but these sources (none) are wanted.
    IsExclude = 2,
    /// From now on these sources (none) are wanted: the group was left.
    ToInclude = 3,
    /// From now on all but these sources (none) are wanted: the group was joined.
    ToExclude = 4,
}

/// A group in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub kind: RecordKind,
    /// About which group.
    pub group: IpAddr,
    /// And which sources.
    pub sources: Vec<IpAddr>,
}

/// A report that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// In the newest version, about groups of one family; to be divided among as many packets as it takes.
    Records(Vec<Record>),
    /// In an older version: we are in this group.
    Member(Version, IpAddr),
    /// In version 2: we have left this group.
    Leave(IpAddr),
}

/// A change that is still to be told.
#[derive(Clone, Copy, Debug)]
struct Change {
    at: Instant,
    left: u8,
}

/// An answer that is still to be given: about some sources, or the whole group.
#[derive(Clone, Debug)]
struct Response {
    at: Instant,
    sources: Vec<IpAddr>,
}

/// One group. Without members it is one that was left, as long as that is still to be told.
#[derive(Debug, Default)]
struct Group {
    members: u32,
    /// When it was last answered for.
    answered: Option<Instant>,
    change: Option<Change>,
    response: Option<Response>,
}

impl Group {
    /// The whole group is answered for by then.
    fn answers_by(&self, at: Instant) -> bool {
        self.response.as_ref().is_some_and(|response| response.sources.is_empty() && response.at <= at)
    }

    /// A question about the group is answered at this time, or earlier if an answer is due anyway.
    fn ask(&mut self, address: IpAddr, at: Instant, sources: &[IpAddr]) {
        if self.members == 0 || !is_reported(address) {
            return;
        }
        let at = not_before(at, self.answered);
        let response = match self.response.take() {
            None => Response { at, sources: sources.to_vec() },
            Some(pending) => {
                let at = pending.at.min(at);
                let mut all = pending.sources;
                if all.is_empty() || sources.is_empty() {
                    all.clear();
                } else {
                    all.extend(sources.iter().filter(|source| !all.contains(source)).copied().collect::<Vec<_>>());
                    if all.len() > MAX_SOURCES {
                        all.clear();
                    }
                }
                Response { at, sources: all }
            }
        };
        self.response = Some(response);
    }
}

/// What is known of the routers of one family.
#[derive(Debug, Default)]
struct Querier {
    v1_until: Option<Instant>,
    v2_until: Option<Instant>,
    /// When a general query is answered.
    general: Option<Instant>,
    /// When one was last answered.
    answered: Option<Instant>,
}

impl Querier {
    /// In which version to speak.
    fn version(&self, now: Instant) -> Version {
        let present = |until: Option<Instant>| until.is_some_and(|until| now < until);
        match (present(self.v1_until), present(self.v2_until)) {
            (true, _) => Version::V1,
            (false, true) => Version::V2,
            (false, false) => Version::V3,
        }
    }
}

/// All groups of a host, both families.
#[derive(Debug)]
pub struct Groups {
    groups: BTreeMap<IpAddr, Group>,
    /// Of IPv4 and of IPv6.
    queriers: [Querier; 2],
    rng: KeyedRng,
    /// The earliest of all times.
    due: Option<Instant>,
}

/// Whether membership of this group is ever reported.
// 3376-5.1, 3810-6: not of the group of all, nor of those that never leave the host.
fn is_reported(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group != ALL_SYSTEMS,
        IpAddr::V6(group) => group != ALL_NODES && group.octets()[1] & 0xf > 1,
    }
}

/// Whether every host is a member without joining.
pub fn is_everybody(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group == ALL_SYSTEMS,
        IpAddr::V6(group) => group == ALL_NODES,
    }
}

/// The group that a node is in for this address of its own (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

impl Groups {
    /// Of a host that has joined none.
    pub fn new(rng: KeyedRng) -> Groups {
        Groups { groups: BTreeMap::new(), queriers: Default::default(), rng, due: None }
    }

    /// Somebody on this host has joined the group.
    pub fn contains(&self, group: IpAddr) -> bool {
        self.groups.get(&group).is_some_and(|group| group.members > 0)
    }

    /// How many groups have members.
    pub fn len(&self) -> usize {
        self.groups.values().filter(|group| group.members > 0).count()
    }

    /// Nobody has joined any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more member; false where there are too many groups. The first one is told to the routers.
    pub fn join(&mut self, address: IpAddr, now: Instant) -> bool {
        if !self.groups.contains_key(&address) && self.groups.len() >= MAX_GROUPS {
            return false;
        }
        let group = self.groups.entry(address).or_default();
        group.members += 1;
        if group.members == 1 && is_reported(address) {
            // 3376-5.1: at once, and again in case it is lost. What was to be told of the past is not.
            group.change = Some(Change { at: now, left: ROBUSTNESS });
            self.look_at(now);
        }
        true
    }

    /// One member less. That of the last one is told to the routers.
    pub fn leave(&mut self, address: IpAddr, now: Instant) {
        let Some(group) = self.groups.get_mut(&address).filter(|group| group.members > 0) else { return };
        group.members -= 1;
        if group.members > 0 {
            return;
        }
        group.response = None;
        if is_reported(address) {
            group.change = Some(Change { at: now, left: ROBUSTNESS });
            self.look_at(now);
        } else {
            self.groups.remove(&address);
        }
    }

    fn look_at(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When [`Groups::reports`] is next needed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// A router of a family asks.
    // 3376-5.2, 3810-6.2
    pub fn query(&mut self, ipv6: bool, query: &Query, now: Instant) {
        let querier = &mut self.queriers[usize::from(ipv6)];
        let before = querier.version(now);
        // 3376-7.2.1
        match query.version {
            Version::V1 => querier.v1_until = Some(now + OLDER_QUERIER_PRESENT),
            Version::V2 => querier.v2_until = Some(now + OLDER_QUERIER_PRESENT),
            Version::V3 => {}
        }
        let version = querier.version(now);
        if version != before {
            // What was to be told in the other form is not told any more: this query is answered.
            querier.general = None;
            let of_family = self.groups.iter_mut().filter(|(group, _)| group.is_ipv6() == ipv6);
            for (_, group) in of_family {
                (group.response, group.change) = (None, None);
            }
            self.groups.retain(|_, group| group.members > 0);
        }
        let most = query.max_response.max(SHORTEST_DELAY);
        match query.group {
            None if version == Version::V3 => {
                let at = delayed(&mut self.rng, now, most);
                let querier = &mut self.queriers[usize::from(ipv6)];
                let at = not_before(at, querier.answered);
                querier.general = Some(querier.general.map_or(at, |pending| pending.min(at)));
            }
            None => {
                // Each by itself, and each at a time of its own.
                for (&address, group) in self.groups.iter_mut().filter(|(group, _)| group.is_ipv6() == ipv6) {
                    // RFC 2236 section 3: an answer that is due in time stays where it is.
                    if !group.answers_by(now + most) {
                        group.ask(address, delayed(&mut self.rng, now, most), &[]);
                    }
                }
            }
            Some(address) => {
                let at = delayed(&mut self.rng, now, most);
                let sources = if version == Version::V3 { &query.sources[..] } else { &[] };
                // What answers for all groups earlier does for this one.
                let answered = self.queriers[usize::from(ipv6)].general.is_some_and(|general| general <= at);
                if let Some(group) = self.groups.get_mut(&address).filter(|_| !answered) {
                    group.ask(address, at, sources);
                }
            }
        }
        self.find_due();
    }

    /// Another member has reported, which serves for us too in the older versions (RFC 2236 section 3).
    pub fn heard_report(&mut self, address: IpAddr, now: Instant) {
        if self.queriers[usize::from(address.is_ipv6())].version(now) == Version::V3 {
            return;
        }
        if let Some(group) = self.groups.get_mut(&address).filter(|group| group.members > 0) {
            (group.response, group.change) = (None, None);
            self.find_due();
        }
    }

    /// The reports that are due.
    pub fn reports(&mut self, now: Instant) -> Vec<Report> {
        let mut reports = Vec::new();
        if self.due.is_none_or(|due| now < due) {
            return reports;
        }
        for ipv6 in [false, true] {
            let querier = &mut self.queriers[usize::from(ipv6)];
            let version = querier.version(now);
            let everything = querier.general.take_if(|at| *at <= now).is_some();
            if everything {
                querier.answered = Some(now);
            }
            let (mut states, mut changes) = (Vec::new(), Vec::new());
            for (&address, group) in self.groups.iter_mut().filter(|(group, _)| group.is_ipv6() == ipv6) {
                let asked = group.response.take_if(|response| response.at <= now);
                let told = group.members > 0 && is_reported(address);
                if told && (everything || asked.is_some()) {
                    group.answered = Some(now);
                    let sources = asked.filter(|_| !everything).map_or_else(Vec::new, |asked| asked.sources);
                    // RFC 3376 section 5.2: who wants all sources wants these.
                    let kind = if sources.is_empty() { RecordKind::IsExclude } else { RecordKind::IsInclude };
                    match version {
                        Version::V3 => states.push(Record { kind, group: address, sources }),
                        older => reports.push(Report::Member(older, address)),
                    }
                }
                if let Some(change) = group.change.take_if(|change| change.at <= now) {
                    group.change = again(version, group.members > 0, change, now, &mut self.rng);
                    changes.extend(changed(version, address, group.members > 0, &mut reports));
                }
            }
            for records in [states, changes] {
                if !records.is_empty() {
                    reports.push(Report::Records(records));
                }
            }
        }
        self.groups.retain(|_, group| group.members > 0 || group.change.is_some());
        self.find_due();
        reports
    }

    fn find_due(&mut self) {
        let of_groups = self.groups.values().flat_map(|group| {
            let change = group.change.map(|change| change.at);
            change.into_iter().chain(group.response.as_ref().map(|response| response.at))
        });
        self.due = of_groups.chain(self.queriers.iter().filter_map(|querier| querier.general)).min();
    }
}

/// A time within `most` from now, at random, so that not all hosts answer at once.
fn delayed(rng: &mut KeyedRng, now: Instant, most: Duration) -> Instant {
    now + Duration::from_nanos(rng.below(u64::try_from(most.as_nanos()).unwrap_or(u64::MAX)))
}

/// Answers keep their distance, however many queries there are: the earliest of many random times is at once.
fn not_before(at: Instant, answered: Option<Instant>) -> Instant {
    answered.map_or(at, |answered| at.max(answered + SHORTEST_DELAY))
}

/// How a change is told now: the record of it, or a report of an older version.
fn changed(version: Version, address: IpAddr, joined: bool, reports: &mut Vec<Report>) -> Option<Record> {
    let kind = if joined { RecordKind::ToExclude } else { RecordKind::ToInclude };
    match (version, joined) {
        (Version::V3, _) => return Some(Record { kind, group: address, sources: Vec::new() }),
        (older, true) => reports.push(Report::Member(older, address)),
        (Version::V2, false) => reports.push(Report::Leave(address)),
        // Version 1 falls silent.
        (Version::V1, false) => {}
    }
    None
}

/// What of a change is to be told again after now.
fn again(version: Version, joined: bool, change: Change, now: Instant, rng: &mut KeyedRng) -> Option<Change> {
    let interval = match (version, joined) {
        (Version::V3, _) => UNSOLICITED_INTERVAL,
        (_, true) => OLD_UNSOLICITED_INTERVAL,
        (_, false) => return None,
    };
    let left = change.left.saturating_sub(1);
    let nanos = interval.as_nanos() as u64;
    (left > 0).then(|| Change { at: now + Duration::from_nanos(rng.below(nanos)), left })
}
