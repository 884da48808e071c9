//! Whole conversations over simulated paths, in virtual time.

#[path = "../support/congestion_model.rs"]
mod congestion_model;
#[path = "../support/flow/mod.rs"]
mod flow;
#[path = "../support/recovery_model.rs"]
mod recovery_model;
#[path = "../support/smoltcp_device.rs"]
mod smoltcp_device;

mod accurate_ecn;
mod congestion;
mod fairness;
mod matrix;
mod recovery;
mod smoltcp;
mod smoltcp_recovery;
mod speed;
mod two_stacks;
