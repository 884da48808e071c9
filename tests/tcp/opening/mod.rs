//! From CLOSED and LISTEN to ESTABLISHED.

mod connect;
mod deferred;
mod fast_open;
mod flood;
mod listeners;
mod open;
mod syn_answered;
mod syn_options;
mod syn_text;
