//! The simulator: whole stacks in virtual time, decided by one seed.

pub mod script;
pub mod world;

pub use script::{Script, Sent};
pub use world::{Side, World};
