//! The simulator: whole stacks in virtual time, decided by one seed.

pub mod app;
pub mod invariant;
pub mod script;
pub mod world;

pub use app::{App, AppPlan, Ending};
pub use invariant::{Pair, Wire};
pub use script::{Script, Sent};
pub use world::{Side, World};
