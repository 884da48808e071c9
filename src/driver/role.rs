//! Who drives a shard: reads its device, handles its deadlines, sends what calls have left over.
//!
//! Whoever waits, drives: a thread that would have to sleep until something arrives goes and fetches it. So a request and
//! its answer cost no change of threads. That holds for a thread that waits alone. A crowd is driven by the background
//! thread: among several, the one that drives would have to hand the role on each time that it has got what it waited
//! for, which costs more than to be woken.
//!
//! While nobody waits, nobody drives; the background thread takes over when that has lasted for [`LEFT_ALONE`]. It finds out
//! by looking again and again, so that an application that comes and goes pays nothing for it, and dozes once the same
//! application has been driving for long.

use std::sync::Arc;
use std::time::Duration;

use super::bell::Bell;
use crate::time::Instant;

/// How long nobody may drive before the background thread does.
pub const LEFT_ALONE: Duration = Duration::from_millis(1);

/// Looks of the background thread that find the same application waiting, after which it looks no more until it is woken.
const LOOKS: u32 = 64;

/// Who drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The application is busy and came by not long ago.
    Nobody,
    /// The thread of the shard.
    Background,
    /// A thread of the application that waits.
    Application,
}

/// What the driver sleeps on, for those who may have to wake it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sleep {
    /// It sleeps, or is about to: what changes now, it has not seen.
    pub asleep: bool,
    /// Until when at most.
    pub until: Option<Instant>,
    /// It wakes when the device takes more.
    pub for_room: bool,
}

/// Where the background thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Background {
    /// At work, or about to look who drives.
    Awake,
    /// It waits for the device, as the driver or because it has not noticed yet that it no longer is. It asks before it
    /// reads, so the role may be taken from it at any time; but it knows nothing of deadlines that came later.
    Polling,
    /// The same, but it has been woken.
    Called,
    /// It sleeps, and looks again by itself.
    Watching,
    /// It sleeps until it is woken.
    Dozing,
}

/// The role of the driver.
#[derive(Clone, Debug)]
pub struct Role {
    driver: Driver,
    /// What the driver sleeps on.
    pub sleep: Sleep,
    /// Threads of the application that sleep until somebody else has driven.
    parked: usize,
    /// What the last of them waits for.
    parked_at: Option<Arc<Bell>>,
    /// What the application that drives waits for.
    bell: Option<Arc<Bell>>,
    /// How often the role has changed hands.
    changes: u64,
    background: Background,
}

/// What the background thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It drives.
    Drive,
    /// It looks again after [`LEFT_ALONE`].
    LookAgain,
    /// It sleeps until it is woken.
    Doze,
}

/// What the background thread remembers from look to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookout {
    changes: u64,
    looks: u32,
}

impl Role {
    /// The role at the start, when only the background thread is there.
    pub fn new() -> Role {
        let (sleep, background) = (Sleep::default(), Background::Awake);
        Role { driver: Driver::Background, sleep, parked: 0, parked_at: None, bell: None, changes: 0, background }
    }

    /// Who drives.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// A thread that has to wait takes the role if it may: if it is alone, and the background thread is not at work.
    pub fn take(&mut self, bell: &Arc<Bell>) -> bool {
        let free = match self.driver {
            Driver::Nobody => true,
            Driver::Background => self.background_polls(),
            Driver::Application => false,
        };
        if !free || self.parked > 0 {
            return false;
        }
        self.pass_to(Driver::Application);
        self.bell = Some(Arc::clone(bell));
        true
    }

    /// The application goes back to its own work. True: the background thread is to be woken.
    pub fn release(&mut self) -> bool {
        self.pass_to(Driver::Nobody);
        self.must_wake_background()
    }

    fn pass_to(&mut self, driver: Driver) {
        self.driver = driver;
        self.sleep = Sleep::default();
        self.bell = None;
        self.changes += 1;
    }

    /// A thread goes to sleep until somebody else has driven. True: the background thread is to be woken.
    pub fn park(&mut self, bell: &Arc<Bell>) -> bool {
        self.parked += 1;
        self.parked_at = Some(Arc::clone(bell));
        self.driver == Driver::Nobody && self.must_wake_background()
    }

    /// It is awake again.
    pub fn unpark(&mut self) {
        self.parked -= 1;
        self.parked_at = None;
    }

    /// The background thread leaves the role to a thread that came to wait, alone, while it was at work. The answer is the
    /// bell to ring for it.
    #[must_use = "nobody drives before it is rung"]
    pub fn hand_over(&mut self) -> Option<Arc<Bell>> {
        let bell = if self.parked == 1 { self.parked_at.take() } else { None };
        if bell.is_some() {
            self.pass_to(Driver::Nobody);
        }
        bell
    }

    fn must_wake_background(&mut self) -> bool {
        match self.background {
            Background::Polling | Background::Dozing => true,
            Background::Watching => self.parked > 0,
            // It comes and looks anyway.
            Background::Awake | Background::Called => false,
        }
    }

    /// The background thread waits for the device, or is on its way from there: it is woken by an event, and not by a bell.
    pub fn background_polls(&self) -> bool {
        matches!(self.background, Background::Polling | Background::Called)
    }

    /// The background thread is being woken.
    pub fn call_background(&mut self) {
        self.background = if self.background_polls() { Background::Called } else { Background::Awake };
    }

    /// The background thread is about to wait for the device.
    pub fn background_rests(&mut self) {
        self.background = Background::Polling;
    }

    /// It is back from there. True: it still drives, and nobody takes the role before it rests again.
    pub fn background_returns(&mut self) -> bool {
        self.background = Background::Awake;
        let drives = self.driver == Driver::Background;
        self.sleep.asleep &= !drives;
        drives
    }

    /// What the background thread does now, having looked before by `lookout`.
    pub fn look(&mut self, lookout: &mut Lookout) -> Watch {
        let unchanged = lookout.changes == self.changes;
        lookout.looks = if unchanged { lookout.looks + 1 } else { 0 };
        lookout.changes = self.changes;
        let dozes = unchanged && self.driver == Driver::Application && lookout.looks >= LOOKS;
        match self.driver {
            Driver::Background => {
                self.background = Background::Awake;
                return Watch::Drive;
            }
            Driver::Nobody if unchanged || self.parked > 1 || self.parked_at.is_some() => {
                self.pass_to(Driver::Background);
                self.background = Background::Awake;
                return Watch::Drive;
            }
            Driver::Nobody | Driver::Application => {}
        }
        self.background = if dozes { Background::Dozing } else { Background::Watching };
        if dozes { Watch::Doze } else { Watch::LookAgain }
    }

    /// The application that drives was told to look again.
    pub fn is_rung(&self) -> bool {
        self.bell.as_ref().is_some_and(|bell| bell.is_rung())
    }
}

/// For the model in `handover_tests.rs`.
#[cfg(test)]
impl Role {
    pub fn shape(&self) -> String {
        format!("{:?} {}", self.background, self.parked)
    }

    pub fn waits_for(&self, bell: &Arc<Bell>) -> bool {
        self.bell.as_ref().is_some_and(|own| Arc::ptr_eq(own, bell))
    }

    pub fn would_hand_over_to(&self, bell: &Arc<Bell>) -> bool {
        self.parked_at.as_ref().is_some_and(|own| Arc::ptr_eq(own, bell))
    }

    pub fn same_as_at(&self, lookout: &Lookout) -> bool {
        self.changes == lookout.changes
    }
}

#[cfg(test)]
impl Lookout {
    /// As after many looks that found the same, or none.
    pub fn pretend_looks(&mut self, many: bool) {
        self.looks = if many { LOOKS } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The background thread waits for the device.
    fn asleep(role: &mut Role) {
        role.sleep.asleep = true;
        role.background_rests();
    }

    #[test]
    fn a_lone_thread_takes_the_role_from_a_sleeping_background() {
        let (mut role, bell) = (Role::new(), Arc::default());
        assert!(!role.take(&bell), "it is at work");
        asleep(&mut role);
        assert!(role.take(&bell));
        assert_eq!((role.driver(), role.sleep.asleep), (Driver::Application, false));
        assert!(!role.take(&Arc::default()), "no second application takes it");
        assert!(!role.is_rung());
        bell.ring();
        assert!(role.is_rung());
    }

    #[test]
    fn a_crowd_is_driven_by_the_background() {
        let (mut role, bell) = (Role::new(), Arc::default());
        asleep(&mut role);
        assert!(role.take(&bell));
        assert!(!role.park(&Arc::default()), "the application drives for the other");
        assert!(role.release(), "somebody is parked, and nobody drives");
        role.call_background();
        assert!(!role.background_returns());
        let mut lookout = Lookout::default();
        assert_eq!(role.look(&mut lookout), Watch::Drive);
        asleep(&mut role);
        assert!(!role.take(&bell), "with another one waiting it is better woken");
        role.unpark();
        assert!(role.take(&bell));
    }

    #[test]
    fn the_background_hands_over_to_one_who_came_while_it_was_at_work() {
        let (mut role, bell) = (Role::new(), Arc::default());
        assert!(!role.take(&bell) && !role.park(&bell));
        assert!(role.hand_over().is_some_and(|rung| Arc::ptr_eq(&rung, &bell)) && role.driver() == Driver::Nobody);
        role.unpark();
        assert!(role.take(&bell));

        let mut role = Role::new();
        assert!(!role.park(&bell) && !role.park(&Arc::default()));
        assert!(role.hand_over().is_none() && role.driver() == Driver::Background, "two are a crowd");
    }

    #[test]
    fn the_background_takes_over_what_was_left_alone_between_two_looks() {
        let (mut role, bell) = (Role::new(), Arc::default());
        asleep(&mut role);
        let mut lookout = Lookout::default();
        assert!(role.take(&bell));
        assert!(role.release(), "it still waits for the device, and knows no deadline");
        role.call_background();
        assert!(role.take(&bell));
        assert!(!role.release(), "once is enough");
        assert!(!role.background_returns());
        assert_eq!(role.look(&mut lookout), Watch::LookAgain);
        assert!(
            role.take(&bell) && !role.park(&Arc::default()) && role.release(),
            "it looks soon, but somebody waits now"
        );
        role.call_background();
        role.unpark();
        assert_eq!(role.look(&mut lookout), Watch::LookAgain);
        for _ in 0..10 {
            assert!(role.take(&bell));
            assert!(!role.release());
            assert_eq!(role.look(&mut lookout), Watch::LookAgain, "somebody came by");
        }
        assert_eq!(role.look(&mut lookout), Watch::Drive);
        assert_eq!(role.driver(), Driver::Background);
    }

    #[test]
    fn the_role_is_taken_from_a_background_that_was_woken_and_has_not_come_yet() {
        let (mut role, bell) = (Role::new(), Arc::default());
        asleep(&mut role);
        role.sleep.asleep = false;
        role.call_background();
        assert!(role.take(&bell));
        let (mut role, bell) = (Role::new(), Arc::default());
        asleep(&mut role);
        assert!(role.background_returns());
        assert!(!role.take(&bell), "it is about to read");
    }

    #[test]
    fn the_background_dozes_while_one_application_waits_and_is_woken_when_it_leaves() {
        let (mut role, bell) = (Role::new(), Arc::default());
        asleep(&mut role);
        assert!(role.take(&bell));
        assert!(!role.background_returns());
        let mut lookout = Lookout::default();
        let looks = std::iter::repeat_with(|| role.look(&mut lookout)).take_while(|&watch| watch != Watch::Doze);
        assert_eq!(looks.count() as u32, LOOKS);
        assert!(role.release(), "it dozes");
        role.call_background();
        assert!(!role.release(), "once is enough");
        assert_eq!(role.look(&mut lookout), Watch::LookAgain);
        assert_eq!(role.look(&mut lookout), Watch::Drive);
    }
}
