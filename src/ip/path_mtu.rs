//! What is known of the path to each destination: the largest packet that passes it (RFC 1191, RFC 8201).
//!
//! Only paths that are narrower than our own link have an entry, and only those of which something that we had sent told.
//! An error lowers an entry and never raises it; what raises it is a larger packet that has arrived, or age.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// The smallest MTU that a link of IPv6 may have (RFC 8200 section 5).
pub const MIN_MTU_V6: u32 = 1_280;

/// The smallest MTU that a link of IPv4 may have (RFC 791 section 3.2).
pub const MIN_LINK_MTU_V4: u32 = 68;

/// The default of [`Settings::floor_v4`].
pub const FLOOR_V4: u32 = 552;

/// The least time after which a larger packet may be tried (RFC 1191 section 6.3, RFC 8201 section 4).
pub const MIN_LIFETIME: Duration = Duration::from_secs(300);

/// Destinations of which something is kept: as many as Linux keeps for two routes. An entry takes about 150 octets.
pub const MAX_ENTRIES: usize = 4_096;

/// Usual MTUs, for routers that do not tell theirs (RFC 1191 section 7.1).
const PLATEAUS: [u32; 9] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296];

/// What a stack is told about path MTU discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The smallest path MTU of IPv4 that an error can bring about, in octets, at least 68. An error that claims less is
    /// taken for this: a forged one then costs little. Default 552.
    // 1191-3-2
    pub floor_v4: u32,
    /// How long an entry lasts, and how long a connection keeps to a size that it has found: at least 5 minutes.
    /// Default 10 minutes.
    // 1191-3-4, 8201-4-4
    pub lifetime: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { floor_v4: FLOOR_V4, lifetime: Duration::from_secs(600) }
    }
}

impl Settings {
    /// The smallest path MTU of a family.
    pub const fn floor(&self, ipv6: bool) -> u32 {
        if ipv6 { MIN_MTU_V6 } else { self.floor_v4 }
    }

    /// What to make of an error that claims this MTU of the next hop, or `None` where no such link can be.
    // 8201-4-2: nothing below 1280, and no fragment headers for it either. 1191-3-2: never below 68.
    pub const fn believable(&self, claimed: u32, ipv6: bool) -> Option<u32> {
        let least = if ipv6 { MIN_MTU_V6 } else { MIN_LINK_MTU_V4 };
        if claimed < least {
            return None;
        }
        let floor = self.floor(ipv6);
        Some(if claimed < floor { floor } else { claimed })
    }
}

/// The MTU to try for a packet of `octets` that did not pass a router which does not tell how much does.
// 1191-3-3
pub fn plateau(octets: u32) -> u32 {
    PLATEAUS.into_iter().find(|&plateau| plateau < octets).unwrap_or(MIN_LINK_MTU_V4)
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    mtu: u32,
    since: Instant,
}

/// The paths that are narrower than our link, by destination.
#[derive(Debug)]
pub struct PathMtus {
    settings: Settings,
    limit: usize,
    entries: BTreeMap<IpAddr, Entry>,
    /// The same by age, oldest first.
    by_age: BTreeSet<(Instant, IpAddr)>,
    changes: u32,
}

impl PathMtus {
    /// Nothing is known.
    pub fn new(settings: Settings) -> PathMtus {
        PathMtus::with_limit(settings, MAX_ENTRIES)
    }

    fn with_limit(settings: Settings, limit: usize) -> PathMtus {
        PathMtus { settings, limit, entries: BTreeMap::new(), by_age: BTreeSet::new(), changes: 0 }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many entries there are, also of those that are too old.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Counts the times that a path has become narrower: whoever has seen another number looks again.
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// The largest packet to `destination`, in octets, and until when to believe it; `None` where nothing is known.
    pub fn get(&self, destination: IpAddr, now: Instant) -> Option<(u32, Instant)> {
        // Most hosts never meet a narrow path.
        let entry = self.entries.get(&destination)?;
        let until = entry.since + self.settings.lifetime;
        (until > now).then_some((entry.mtu, until))
    }

    /// The path to `destination` takes packets of `mtu` octets and no larger ones. True if that is news.
    // 1191-3-1, 8201-4-3: at once, and it never raises what is known.
    pub fn lower(&mut self, destination: IpAddr, mtu: u32, now: Instant) -> bool {
        let known = self.get(destination, now).map(|(known, _)| known);
        if known.is_some_and(|known| known < mtu) {
            return false;
        }
        self.remove(destination);
        self.make_room(now);
        self.entries.insert(destination, Entry { mtu, since: now });
        self.by_age.insert((now, destination));
        let news = known != Some(mtu);
        self.changes = self.changes.wrapping_add(u32::from(news));
        news
    }

    /// A packet of `mtu` octets has arrived at `destination`; `link` is as much as our own link takes.
    pub fn raise(&mut self, destination: IpAddr, mtu: u32, link: u32) {
        if mtu >= link {
            self.remove(destination);
        } else if let Some(entry) = self.entries.get_mut(&destination) {
            entry.mtu = entry.mtu.max(mtu);
        }
    }

    fn remove(&mut self, destination: IpAddr) {
        if let Some(entry) = self.entries.remove(&destination) {
            self.by_age.remove(&(entry.since, destination));
        }
    }

    /// Takes away what is too old, and the oldest one where there are too many.
    fn make_room(&mut self, now: Instant) {
        while let Some(&(since, destination)) = self.by_age.first() {
            if self.entries.len() < self.limit && since + self.settings.lifetime > now {
                break;
            }
            self.remove(destination);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    /// 1191-3-2, 8201-4-2
    #[test]
    fn what_no_link_can_be_is_not_believed() {
        let settings = Settings::default();
        for (claimed, v4, v6) in [
            (0, None, None),
            (1, None, None),
            (20, None, None),
            (67, None, None),
            (68, Some(552), None),
            (551, Some(552), None),
            (552, Some(552), None),
            (553, Some(553), None),
            (1_279, Some(1_279), None),
            (1_280, Some(1_280), Some(1_280)),
            (1_400, Some(1_400), Some(1_400)),
            (65_535, Some(65_535), Some(65_535)),
            (u32::MAX, Some(u32::MAX), Some(u32::MAX)),
        ] {
            assert_eq!(
                (settings.believable(claimed, false), settings.believable(claimed, true)),
                (v4, v6),
                "{claimed}"
            );
        }
        let low = Settings { floor_v4: 68, ..settings };
        assert_eq!((low.believable(68, false), low.believable(67, false)), (Some(68), None));
    }

    /// 1191-3-3
    #[test]
    fn the_next_plateau_is_below_the_packet() {
        for (octets, expected) in [
            (65_535, 32_000),
            (9_000, 8_166),
            (1_500, 1_492),
            (1_492, 1_006),
            (1_491, 1_006),
            (576, 508),
            (508, 296),
            (296, 68),
            (68, 68),
            (0, 68),
        ] {
            assert_eq!(plateau(octets), expected, "{octets}");
        }
    }

    /// 8201-4-3, 1191-3-1: an error lowers and never raises; what has arrived raises.
    #[test]
    fn an_entry_only_falls_by_errors() {
        let mut paths = PathMtus::new(Settings::default());
        let known = |paths: &PathMtus, now| paths.get(address(1), now).map(|(mtu, _)| mtu);
        assert_eq!((known(&paths, at(0)), paths.changes()), (None, 0));
        for (mtu, news, after) in [(1_400, true, 1_400), (1_500, false, 1_400), (1_400, false, 1_400), (552, true, 552)]
        {
            assert_eq!((paths.lower(address(1), mtu, at(0)), known(&paths, at(0))), (news, Some(after)));
        }
        assert_eq!((paths.changes(), paths.len(), paths.by_age.len()), (2, 1, 1));
        paths.raise(address(1), 500, 1_500);
        assert_eq!(known(&paths, at(0)), Some(552));
        paths.raise(address(1), 1_300, 1_500);
        assert_eq!(known(&paths, at(0)), Some(1_300));
        paths.raise(address(2), 1_300, 1_500);
        assert_eq!(paths.get(address(2), at(0)), None, "no entry where nothing is narrow");
        paths.raise(address(1), 1_500, 1_500);
        assert!(paths.is_empty() && paths.by_age.is_empty());
        assert_eq!(paths.changes(), 2, "nobody needs to hear that a path has become wider");
    }

    /// 1191-3-4
    #[test]
    fn entries_age() {
        let mut paths = PathMtus::new(Settings::default());
        paths.lower(address(1), 1_400, at(0));
        assert_eq!(paths.get(address(1), at(599)), Some((1_400, at(600))));
        assert_eq!(paths.get(address(1), at(600)), None);
        // The same again makes it younger; a larger one does not.
        paths.lower(address(1), 1_400, at(300));
        paths.lower(address(1), 1_450, at(500));
        assert_eq!(paths.get(address(1), at(800)), Some((1_400, at(900))));
        // What is too old does not hold a new one back.
        paths.lower(address(1), 1_450, at(1_000));
        assert_eq!(paths.get(address(1), at(1_000)), Some((1_450, at(1_600))));
        paths.lower(address(2), 1_450, at(5_000));
        assert_eq!(paths.len(), 1, "what is too old goes");
    }

    #[test]
    fn a_flood_leaves_the_youngest() {
        let mut paths = PathMtus::with_limit(Settings::default(), 100);
        for number in 0..10_000 {
            paths.lower(address(number), 600, Instant::from_millis(u64::from(number)));
            assert!(paths.len() <= 100 && paths.by_age.len() == paths.len());
        }
        let now = Instant::from_millis(10_000);
        assert!((9_900..10_000).all(|number| paths.get(address(number), now).is_some()));
        assert!((0..9_900).all(|number| paths.get(address(number), now).is_none()));
        assert_eq!(PathMtus::new(Settings::default()).limit, MAX_ENTRIES);
    }
}
