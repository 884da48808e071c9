//! One host on several queues: packets that come to the wrong one find their connection, listener or socket all the same.

#[path = "../kit/mod.rs"]
mod kit;
#[path = "../net_common/mod.rs"]
mod net_common;

mod connections;
mod datagrams;
mod limits;
mod world;
