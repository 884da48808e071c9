//! The background thread: drives a shard while nobody waits for it, or many do.

use super::Shard;
use super::drive::{Drive, LastWords};
use super::role::{LEFT_ALONE, Lookout, Watch};
use crate::device::poll::wait_exactly;

/// Stands by, and drives where nobody does, until the device is gone or the shard is closed.
pub(super) fn run(shard: &Shard) {
    let _last_words = LastWords(shard);
    wait_exactly();
    let mut lookout = Lookout::default();
    let mut core = shard.lock();
    while core.end().is_none() {
        core = match core.role.look(&mut lookout) {
            Watch::Drive => Drive::new(shard, &shard.background_event).in_background(core),
            Watch::LookAgain => shard.standby.sleep(core, Some(LEFT_ALONE)),
            Watch::Doze => shard.standby.sleep(core, None),
        };
    }
}
