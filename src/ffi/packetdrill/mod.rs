//! The C side of [`crate::packetdrill`]: what packetdrill loads with `--so_filename`, and what it calls without knowing that
//! it does where the same library is preloaded.
//!
//! | file | holds |
//! |---|---|
//! | `interface` | the one symbol that packetdrill looks up, and the struct that it gets |
//! | `machine` | the one host of this process: its lock, its clock, and how calls wait |
//! | `calls` | the functions in the struct that are calls on sockets |
//! | `files` | those that are about other descriptors: epoll, pipe, splice |
//! | `device` | those that carry packets and time |
//! | `memory` | what lies behind the pointers of a caller |
//! | `mirror` | listeners for those who look into `/proc/net/tcp` |
//! | `preload` | functions of libc, for the descriptors of the host |

mod calls;
mod device;
mod files;
mod interface;
mod machine;
mod memory;
mod mirror;
mod preload;
