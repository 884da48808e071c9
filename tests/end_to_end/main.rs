//! The program against the Linux kernel: real clients that nobody here wrote, in network namespaces that each test makes
//! for itself and removes.
#![cfg(feature = "cli")]

mod any_address;
mod big_tcp;
mod captures;
mod clients;
mod crowd;
mod differential;
mod differential_kernel;
mod ecn;
mod explained;
mod fast_open;
mod fragments;
mod memory;
mod namespace;
mod notes;
mod path_mtu;
mod queues;
mod run_script;
mod transfers;
mod udp;
