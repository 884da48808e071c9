//! The program `glasstcp`: what its commands print, write and draw, its signals and its exit codes.

#[path = "../support/captures.rs"]
mod captures;

mod common;

mod bench;
mod serve;
mod sim;
mod tools;
mod trace;
