//! The simulator: whole stacks in virtual time, decided by one seed.
//!
//! [`World`] has two stacks and one link, for tests of the protocol; [`Network`] has any number of hosts and routers, and an
//! [`Experiment`] sends flows over it and sums up what came of them.

pub mod app;
pub mod bulk;
pub mod copies;
pub mod dumbbell;
pub mod experiment;
pub mod histogram;
pub mod invariant;
pub mod network;
pub mod outcome;
mod record;
pub mod script;
pub mod sender;
pub mod series;
pub mod world;

pub use app::{App, AppPlan, Ending};
pub use copies::Copies;
pub use dumbbell::Dumbbell;
pub use experiment::{Experiment, FlowPlan, Plan};
pub use invariant::{Pair, Wire};
pub use network::Network;
pub use outcome::Outcome;
pub use record::Spy;
pub use script::{Script, Sent};
pub use world::{Side, World};
