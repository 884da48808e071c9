//! The congestion controllers that an experiment can choose from.

use crate::tcp::congestion::Algorithm;

/// All of them.
pub const ALL: &[Algorithm] = &[Algorithm::Reno];

/// The one of this name, as it is displayed.
pub fn by_name(name: &str) -> Option<Algorithm> {
    ALL.iter().copied().find(|algorithm| algorithm.to_string() == name)
}

/// Their names, for people.
pub fn names() -> String {
    ALL.iter().map(Algorithm::to_string).collect::<Vec<_>>().join(", ")
}
