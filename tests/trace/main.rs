//! What a capture says of each packet, and what is read from captures of any stack.

#[cfg(feature = "trace")]
#[path = "../support/captures.rs"]
mod captures;
#[path = "../support/flow/mod.rs"]
mod flow;

mod note_support;

#[cfg(feature = "trace")]
mod diff;
#[cfg(feature = "trace")]
mod explain;
#[cfg(feature = "trace")]
mod fast_open;
#[cfg(feature = "trace")]
mod lossy_path;
mod note_drops;
mod notes;
#[cfg(feature = "trace")]
mod read;
