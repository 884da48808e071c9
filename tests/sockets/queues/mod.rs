//! One host on several queues: packets that come to the wrong one find their connection, listener or socket all the same.

mod connections;
mod datagrams;
mod limits;
mod world;
