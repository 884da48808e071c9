//! From ESTABLISHED to CLOSED, and the state machine as a whole.

mod abort;
mod close;
mod end;
mod keep_alive;
mod states;
mod time_wait;
