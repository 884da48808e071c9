//! The program against the Linux kernel: real clients that nobody here wrote, in network namespaces that each test makes
//! for itself and removes.
#![cfg(feature = "cli")]

mod captures;
mod clients;
mod memory;
mod namespace;
mod run_script;
mod transfers;
