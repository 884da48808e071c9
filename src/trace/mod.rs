//! Traces: what our own captures say of each packet, and what captures of any stack mean.
//!
//! Notes are in no packet's way: a stack that nobody traces ([`Stack::set_traced`](crate::Stack::set_traced)) makes none, and
//! the protocols know of none.
//!
//! | file | what |
//! |---|---|
//! | [`annotate`] | the words: each drop, each thing that a packet does, each reason to send, with its rule |
//! | [`note`] | what is said of one packet, as the comment of a capture |
//! | [`change`] | what a segment has done, by how its connection was before it and is after it |
//! | [`capture`] | the frames of pcap and pcapng files, and where their IP packets begin ([`link`]) |
//! | [`segment`], [`connection`] | segments as a capture shows them, by connection, with relative numbers that do not wrap |
//! | [`describe`] | a segment in a line, and an object of JSON |
//! | [`differ`] | what differs between two captures, by kinds |
//! | [`explain`](mod@explain) | what a correct TCP makes of what an end received, and where the end departs from it |

pub mod annotate;
pub mod change;
pub mod note;

#[cfg(feature = "trace")]
pub mod capture;
#[cfg(feature = "trace")]
pub mod connection;
#[cfg(feature = "trace")]
pub mod describe;
#[cfg(feature = "trace")]
pub mod differ;
#[cfg(feature = "trace")]
pub mod explain;
#[cfg(feature = "trace")]
pub mod link;
#[cfg(feature = "trace")]
pub mod segment;
