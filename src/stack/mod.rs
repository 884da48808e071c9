//! Being written.

pub mod flow_table;
pub mod port;
pub mod slab;
pub mod timer_wheel;
