//! TCP through the whole stack, by the packet and in virtual time.

#[path = "../support/flow/mod.rs"]
mod flow;
#[path = "../support/kit/mod.rs"]
mod kit;

mod fsm;

mod attacks;
mod closing;
mod habits;
mod opening;
mod options;
mod path;
mod recovery;
mod text;
mod window;
