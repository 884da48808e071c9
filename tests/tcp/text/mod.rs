//! Segments, their text and their acknowledgments, and the calls that send and receive it.

mod ack;
mod calls;
mod push;
mod receive;
mod segments;
mod urgent;
mod wrap;
